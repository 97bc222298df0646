// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The control queue: requests to the host, and its answers, in whatever order they come.
 *
 * What the host writes is copied nowhere before its length is known, and what it did not write is
 * zero. A request that nobody waits for any more stays the queue's until it is answered.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "vcl.h"

/*
 * vcl_request_alloc() - a request with its header filled in, and room for its answer
 * @out_size: of the request, from struct virtio_cl_request on
 * @in_size: of the answer, from struct virtio_cl_response on
 *
 * Return: NULL without memory.
 */
struct vcl_request *vcl_request_alloc(u32 type, u32 session, size_t out_size, size_t in_size,
				      gfp_t gfp)
{
	struct vcl_request *request = kzalloc(sizeof(*request), gfp);
	struct virtio_cl_request *head;

	if (!request)
		return NULL;
	kref_init(&request->ref);
	INIT_LIST_HEAD(&request->link);
	request->out_size = out_size;
	request->in_size = in_size;
	request->out = kzalloc(out_size, gfp);
	request->in = kzalloc(in_size, gfp);
	if (!request->out || !request->in) {
		vcl_request_put(request);
		return NULL;
	}
	head = request->out;
	head->type = cpu_to_le32(type);
	head->session = cpu_to_le32(session);
	return request;
}

static void request_free(struct kref *ref)
{
	struct vcl_request *request = container_of(ref, struct vcl_request, ref);

	kfree(request->out);
	kfree(request->in);
	kfree(request);
}

void vcl_request_put(struct vcl_request *request)
{
	if (request)
		kref_put(&request->ref, request_free);
}

static int status_error(u32 status)
{
	switch (status) {
	case VIRTIO_CL_OK:
		return 0;
	case VIRTIO_CL_ERR_INVALID:
		return -EINVAL;
	case VIRTIO_CL_ERR_UNSUPPORTED:
		return -EOPNOTSUPP;
	case VIRTIO_CL_ERR_VERSION:
		return -EPROTONOSUPPORT;
	case VIRTIO_CL_ERR_BUSY:
		return -EBUSY;
	case VIRTIO_CL_ERR_NO_MEMORY:
		return -ENOMEM;
	case VIRTIO_CL_ERR_NO_SESSION:
		return -EPIPE;
	default:
		return -EIO;
	}
}

/* Takes the queue's reference. */
static void request_done(struct vcl_device *device, struct vcl_request *request, int error)
{
	list_del_init(&request->link);
	request->error = error;
	smp_store_release(&request->done, true); /* pairs with request_is_done() */
	if (request->answered)
		request->answered(device, request);
	vcl_request_put(request);
}

/* When it is, @request->error and what the host wrote can be read. */
static bool request_is_done(struct vcl_request *request)
{
	return smp_load_acquire(&request->done); /* pairs with request_done() */
}

/*
 * vcl_request_is_unsure() - may the host have done what it was asked, and not have said so?
 */
bool vcl_request_is_unsure(struct vcl_request *request)
{
	if (!request->sent)
		return false;
	return !request_is_done(request) || request->error == -ECONNRESET ||
	       request->error == -EPROTO;
}

static void control_push(struct vcl_device *device)
{
	struct vcl_request *request, *next;
	bool pushed = false;

	list_for_each_entry_safe(request, next, &device->waiting, link) {
		struct scatterlist out, in, *list[] = {&out, &in};
		int err;

		sg_init_one(&out, request->out, request->out_size);
		sg_init_one(&in, request->in, request->in_size);
		err = virtqueue_add_sgs(device->control, list, 1, 1, request, GFP_ATOMIC);
		if (err == -ENOSPC)
			break;
		if (err) {
			request_done(device, request, err);
			continue;
		}
		list_move_tail(&request->link, &device->sent);
		pushed = true;
	}
	if (pushed)
		virtqueue_kick(device->control);
}

/*
 * vcl_request_send_locked() - give a request to the queue, which takes a reference
 *
 * Return: 0, -ENOTCONN while there are no queues.
 */
int vcl_request_send_locked(struct vcl_device *device, struct vcl_request *request)
{
	lockdep_assert_held(&device->lock);
	if (!device->running)
		return -ENOTCONN;
	kref_get(&request->ref);
	request->sent = true;
	list_add_tail(&request->link, &device->waiting);
	control_push(device);
	return 0;
}

/*
 * vcl_control_collect_locked() - take the answers that have come
 *
 * Events about a session can follow the answer that made it known: who handles them calls this
 * first.
 */
void vcl_control_collect_locked(struct vcl_device *device)
{
	struct vcl_request *request;
	unsigned int size;

	while ((request = virtqueue_get_buf(device->control, &size)) != NULL) {
		struct virtio_cl_response *response = request->in;
		int error = -EPROTO;

		/* The size is the host's word: of something that fails a short answer is enough. */
		if (size >= sizeof(*response)) {
			error = status_error(le32_to_cpu(response->status));
			if (!error && size < request->in_size)
				error = -EPROTO;
		}
		device->heard = true;
		request_done(device, request, error);
	}
}

void vcl_control_answered(struct virtqueue *vq)
{
	struct vcl_device *device = vq->vdev->priv;
	unsigned long flags;

	spin_lock_irqsave(&device->lock, flags);
	if (device->running) {
		vcl_control_collect_locked(device);
		control_push(device);
		if (virtqueue_is_broken(vq))
			vcl_host_news(device, VCL_NEWS_RESET);
	}
	spin_unlock_irqrestore(&device->lock, flags);
	wake_up_all(&device->answers);
}

/* The device was reset: it will answer nothing of what was asked. */
void vcl_control_fail_locked(struct vcl_device *device)
{
	struct vcl_request *request;

	list_splice_tail_init(&device->waiting, &device->sent);
	while ((request = list_first_entry_or_null(&device->sent, struct vcl_request, link)))
		request_done(device, request, -ECONNRESET);
}

/*
 * vcl_request_call() - send a request and wait for its answer
 * @session: the call's; the wait ends when its file is closed
 * @ticks: how long; without an answer the session is as good as ended
 *
 * Return: what was answered: 0, -errno. Unless @request->done there was no answer: -EINTR, -EPIPE,
 * -ENODEV, -ETIMEDOUT or why it was not sent.
 */
int vcl_request_call(struct vcl_session *session, struct vcl_request *request, unsigned int ticks)
{
	struct vcl_device *device = session->device;
	int err;

	atomic64_inc(&session->requests);
	spin_lock_irq(&device->lock);
	if (device->host != VCL_HOST_PRESENT || session->generation != device->generation)
		err = -EPIPE;
	else
		err = vcl_request_send_locked(device, request);
	spin_unlock_irq(&device->lock);
	if (err)
		return err;
	while (ticks--) {
		long left = wait_event_killable_timeout(device->answers,
							request_is_done(request) ||
								READ_ONCE(session->leaving) ||
								READ_ONCE(session->ended) ||
								READ_ONCE(device->removed),
							VCL_TICK);

		if (request_is_done(request))
			return request->error;
		if (left < 0)
			return -EINTR;
		if (READ_ONCE(device->removed))
			return -ENODEV;
		if (READ_ONCE(session->leaving) || READ_ONCE(session->ended))
			return -EPIPE;
	}
	spin_lock_irq(&device->lock);
	vcl_session_end_locked(session);
	spin_unlock_irq(&device->lock);
	return -ETIMEDOUT;
}
