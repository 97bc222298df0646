// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * VIRTIO_CL_IOC_OPEN: a session is asked for.
 */
#include <linux/cred.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/user_namespace.h>

#include "vcl.h"

/* With the device's lock. The session is the host's from here on, or it was refused. */
static void session_opened(struct vcl_device *device, struct vcl_request *request)
{
	const struct virtio_cl_open_response *response = request->in;
	struct vcl_session *session = request->session;
	u32 id = le32_to_cpu(response->session);
	u32 doorbell = le32_to_cpu(response->doorbell) - VIRTIO_CL_QUEUE_DOORBELL;

	if (request->error == -ECONNRESET) {
		session->state = VCL_CLOSING; /* perhaps; the next HELLO tells */
	} else if (request->error == -EPROTO ||
		   (!request->error && (!id || doorbell >= device->doorbell_count ||
					vcl_session_find_locked(device, id)))) {
		dev_err_ratelimited(device->dev,
				    "the host opened a session that cannot be: starting anew\n");
		request->error = -EPROTO;
		session->state = VCL_CLOSING;
		session->close_sent = true; /* by what name? */
		vcl_host_news(device, VCL_NEWS_RESET);
	} else if (request->error) {
		session->state = VCL_CLOSED;
	} else {
		session->id = id;
		session->doorbell = doorbell;
		session->state = VCL_OPEN;
		hash_add(device->by_id, &session->by_id, id);
	}
	vcl_session_queue(session);
}

static struct vcl_request *open_request(struct vcl_session *session,
					const struct virtio_cl_ioc_open *open)
{
	u32 max = session->device->max_segments;
	struct virtio_cl_open *out;
	struct vcl_request *request;
	unsigned int added;

	request = vcl_request_alloc(VIRTIO_CL_SESSION_OPEN, 0, struct_size(out, segments, max),
				    sizeof(struct virtio_cl_open_response), GFP_KERNEL);
	if (!request)
		return NULL;
	out = request->out;
	out->protocol = cpu_to_le32(open->protocol);
	out->commands_size = cpu_to_le32(open->commands_size);
	out->completions_size = cpu_to_le32(open->completions_size);
	out->pid = cpu_to_le32(session->pid);
	out->uid = cpu_to_le32(session->uid);
	out->heap_size = cpu_to_le64(open->heap_size);
	memcpy(out->program, session->program, sizeof(out->program));
	max = vcl_segments_add(out->segments, 0, max, session->rings, 0, &added);
	if (added < session->rings->count) {
		vcl_request_put(request);
		return NULL; /* too scattered */
	}
	out->segment_count = cpu_to_le32(max);
	request->out_size = struct_size(out, segments, max);
	request->session = session;
	request->answered = session_opened;
	return request;
}

/* Makes it one of the device's. */
static int session_enlist(struct vcl_session *session)
{
	struct vcl_device *device = session->device;
	int err = 0;

	spin_lock_irq(&device->lock);
	if (device->removed)
		err = -ENODEV;
	else if (device->session_count >= device->max_sessions)
		err = -EMFILE;
	else if (session->leaving)
		err = -EPIPE;
	if (!err) {
		session->state = VCL_OPENING;
		session->generation = device->generation;
		device->session_count++;
		list_add_tail(&session->link, &device->sessions);
		kref_get(&session->ref);
	}
	spin_unlock_irq(&device->lock);
	return err;
}

/* The host refused, or was not asked: another try may follow. */
static void session_delist(struct vcl_session *session)
{
	struct vcl_device *device = session->device;
	bool listed;

	if (cancel_work_sync(&session->settle))
		vcl_session_put(session);
	spin_lock_irq(&device->lock);
	listed = !list_empty(&session->link);
	if (listed) {
		list_del_init(&session->link);
		device->session_count--;
	}
	if (!session->leaving) {
		session->state = VCL_IDLE;
		WRITE_ONCE(session->ended, false);
	}
	spin_unlock_irq(&device->lock);
	if (listed)
		vcl_session_finish(session);
}

static void session_describe(struct vcl_session *session, const struct virtio_cl_ioc_open *open)
{
	size_t i;

	put_pid(session->opener);
	session->opener = get_pid(task_tgid(current));
	session->pid = task_tgid_nr(current);
	session->uid = from_kuid_munged(&init_user_ns, current_uid());
	strscpy(session->program, open->program, sizeof(session->program));
	for (i = 0; session->program[i]; i++)
		if (session->program[i] < ' ' || session->program[i] > '~')
			session->program[i] = '?';
}

static int session_ask(struct vcl_session *session, struct virtio_cl_ioc_open *open)
{
	const struct virtio_cl_open_response *response;
	struct vcl_request *request = open_request(session, open);
	int err;

	if (!request) {
		session_delist(session);
		return -ENOMEM;
	}
	err = vcl_request_call(session, request, VCL_TICKS_OPEN);
	if (!err) {
		open->session = session->id;
	} else if (!vcl_request_is_unsure(request)) {
		response = request->in;
		strscpy(open->text, response->text, sizeof(open->text));
		session_delist(session);
	} else if (!request->sent) {
		session_delist(session);
	}
	vcl_request_put(request);
	return err;
}

/*
 * vcl_session_open() - ask the host for a session
 * @open: sizes are checked; what the host says when it refuses is left in @open->text
 *
 * Return: 0, -errno.
 */
int vcl_session_open(struct vcl_session *session, struct virtio_cl_ioc_open *open)
{
	u64 size = VIRTIO_CL_PAGE + (u64)open->commands_size + open->completions_size;
	int err;

	if (!open->commands_size || !open->completions_size || size > VCL_RINGS_MAX ||
	    !IS_ALIGNED(open->commands_size, VIRTIO_CL_PAGE) ||
	    !IS_ALIGNED(open->completions_size, VIRTIO_CL_PAGE))
		return -EINVAL;
	if (!open->heap_size || open->heap_size > VIRTIO_CL_HEAP_MAX ||
	    !IS_ALIGNED(open->heap_size, VIRTIO_CL_CHUNK))
		return -EINVAL;
	if (session->state != VCL_IDLE)
		return session->leaving ? -EPIPE : -EISCONN;
	err = vcl_host_wait(session);
	if (err)
		return err;
	session_describe(session, open);
	err = session_enlist(session);
	if (err)
		return err;
	session->heap_size = open->heap_size;
	session->rings = vcl_pages_alloc(PAGE_ALIGN(size) >> PAGE_SHIFT);
	if (IS_ERR(session->rings)) {
		err = PTR_ERR(session->rings);
		session->rings = NULL;
		session_delist(session);
		return err;
	}
	return session_ask(session, open);
}
