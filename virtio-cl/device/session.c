// SPDX-License-Identifier: MIT
/*
 * The sessions of a VM: opened and closed by its guest, ended by either side.
 *
 * A guest's session exists for it until it has closed it; a session without guest goes as soon as
 * its worker has.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "device-parts.h"
#include "shm.h"

struct gcl_device_session *gcl_session_find(struct gcl_device *device, uint32_t id)
{
	gcl_list_for_each (it, &device->sessions) {
		struct gcl_device_session *session =
			gcl_container_of(it, struct gcl_device_session, link);

		if (session->id == id && session->state != GCL_SESSION_DYING)
			return session;
	}
	return NULL;
}

static bool id_used(const struct gcl_device *device, uint32_t id)
{
	gcl_list_for_each (it, &device->sessions) {
		if (gcl_container_of(it, struct gcl_device_session, link)->id == id)
			return true;
	}
	return false;
}

static void session_destroy(struct gcl_device_session *session)
{
	struct gcl_device *device = session->device;

	gcl_link_fini(session);
	gcl_events_forget(session);
	gcl_list_remove(&session->link);
	if (session->state != GCL_SESSION_DYING)
		device->session_count--;
	gcl_ranges_fini(&session->ranges);
	device->ops->destroy(session);
	gcl_device_hellos_answer(device);
}

/* ------------------------------------------------------------ opening */

/* What is wrong with a request, for its sender; NULL if nothing is. */
static const char *open_check(const struct gcl_device *device, const struct gcl_request *request,
			      const struct gcl_hello *hello)
{
	if (!gcl_ring_size_valid(hello->commands_size) ||
	    !gcl_ring_size_valid(hello->completions_size))
		return "these sizes of rings are not allowed";
	if (!hello->heap_size || hello->heap_size > VIRTIO_CL_HEAP_MAX ||
	    hello->heap_size % VIRTIO_CL_CHUNK)
		return "this size of a heap is not allowed";
	if (!request->segment_count ||
	    !gcl_segments_valid(device, request,
				gcl_shm_rings_size(hello->commands_size, hello->completions_size)))
		return "the rings are not in the VM's memory";
	if (gcl_guest_memory_huge(&device->backend.memory))
		return "the VM's memory is on huge pages, of which no single pages can be shared: "
		       "back it by a memfd without them, or use vsock";
	return NULL;
}

static void hello_fill(struct gcl_hello *hello, const struct virtio_cl_open *open)
{
	*hello = (struct gcl_hello){
		.magic = GCL_HELLO_MAGIC,
		.version = GCL_HELLO_VERSION,
		.commands_size = le32toh(open->commands_size),
		.completions_size = le32toh(open->completions_size),
		.heap_size = le64toh(open->heap_size),
		.pid = le32toh(open->pid),
	};
	snprintf(hello->program, sizeof hello->program, "%.*s", (int)sizeof open->program,
		 open->program);
}

/* The next doorbell queue that runs, in turn; -1 if none does. */
static int doorbell_choose(struct gcl_device *device)
{
	const unsigned doors = GCL_BACKEND_QUEUES_MAX - VIRTIO_CL_QUEUE_DOORBELL;

	for (unsigned i = 0; i < doors; i++) {
		unsigned index = VIRTIO_CL_QUEUE_DOORBELL + (device->next_doorbell + i) % doors;

		if (device->backend.queues[index].running) {
			device->next_doorbell = index - VIRTIO_CL_QUEUE_DOORBELL + 1;
			return (int)index;
		}
	}
	return -1;
}

static void session_start(struct gcl_device *device, struct gcl_request *request,
			  const struct gcl_hello *hello, uint32_t uid, unsigned doorbell)
{
	struct gcl_device_session *session = device->ops->create(device);

	if (session && gcl_ranges_init(&session->ranges, hello->heap_size) < 0) {
		gcl_list_init(&session->link);
		device->ops->destroy(session);
		session = NULL;
	}
	if (!session) {
		gcl_request_refuse(device, request, VIRTIO_CL_ERR_NO_MEMORY,
				   "guestcld has no memory left");
		return;
	}
	session->device = device;
	session->hello = *hello;
	session->pid = hello->pid;
	session->uid = uid;
	session->request = request;
	session->doorbell = doorbell;
	gcl_list_init(&session->unsent);
	gcl_list_init(&session->unanswered);
	gcl_list_init(&session->pending);
	do
		session->id = ++device->last_id;
	while (session->id == 0 || id_used(device, session->id));
	gcl_list_append(&device->sessions, &session->link);
	device->session_count++;
	device->ops->open(session, device->backend.queues[doorbell].kick);
}

void gcl_session_open(struct gcl_device *device, struct gcl_request *request,
		      const struct virtio_cl_open *open)
{
	struct gcl_hello hello;
	const char *wrong;
	int doorbell = doorbell_choose(device);
	char text[160];

	if (le32toh(open->protocol) != GCL_HELLO_VERSION) {
		snprintf(text, sizeof text,
			 "the guest library speaks version %u of the protocol, this host version "
			 "%u: update the older of the two",
			 le32toh(open->protocol), GCL_HELLO_VERSION);
		gcl_request_refuse(device, request, VIRTIO_CL_ERR_VERSION, text);
		return;
	}
	hello_fill(&hello, open);
	wrong = open_check(device, request, &hello);
	if (!wrong && doorbell < 0)
		wrong = "the driver has set up no doorbell queue";
	if (wrong) {
		gcl_device_log_peer(device, "refused a session: %s", wrong);
		gcl_request_refuse(device, request, VIRTIO_CL_ERR_INVALID, wrong);
		return;
	}
	if (device->session_count >= device->sessions_max) {
		snprintf(text, sizeof text,
			 "this VM has %u sessions already: end one, or raise the VM's "
			 "max-sessions on the host",
			 device->session_count);
		gcl_device_log_peer(device, "refused a session: %s", text);
		gcl_request_refuse(device, request, VIRTIO_CL_ERR_BUSY, text);
		return;
	}
	session_start(device, request, &hello, le32toh(open->uid), (unsigned)doorbell);
}

void gcl_device_served(struct gcl_device_session *session)
{
	session->state = GCL_SESSION_MAPPING;
	gcl_link_rings(session);
}

void gcl_device_refused(struct gcl_device_session *session, enum gcl_hello_status status,
			const char *text)
{
	static const enum virtio_cl_status statuses[] = {
		[GCL_HELLO_OK] = VIRTIO_CL_ERR_FAILED,
		[GCL_HELLO_VERSION_MISMATCH] = VIRTIO_CL_ERR_VERSION,
		[GCL_HELLO_MALFORMED] = VIRTIO_CL_ERR_INVALID,
		[GCL_HELLO_BUSY] = VIRTIO_CL_ERR_BUSY,
		[GCL_HELLO_FAILED] = VIRTIO_CL_ERR_FAILED,
	};

	if (session->request)
		gcl_request_refuse(session->device, session->request, statuses[status], text);
	session_destroy(session);
}

/* ------------------------------------------------------------ closing and ending */

/* Lets the worker go; without one, the session is gone at once. */
static void session_end(struct gcl_device_session *session, enum gcl_session_state state, bool kill)
{
	if (state == GCL_SESSION_DYING && session->state != GCL_SESSION_DYING)
		session->device->session_count--;
	session->state = state;
	gcl_events_forget(session);
	if (session->device->ops->end(session, kill))
		return;
	if (session->request)
		gcl_request_status(session->device, session->request, VIRTIO_CL_OK);
	session_destroy(session);
}

void gcl_session_close(struct gcl_device *device, struct gcl_request *request, uint32_t id)
{
	struct gcl_device_session *session = gcl_session_find(device, id);

	if (session && session->state == GCL_SESSION_OPEN) {
		session->request = request;
		session_end(session, GCL_SESSION_CLOSING, false);
		return;
	}
	if (session && session->state != GCL_SESSION_ENDED) {
		gcl_device_log_peer(device, "session %u can't be closed now", id);
		gcl_request_status(device, request, VIRTIO_CL_ERR_INVALID);
		return;
	}
	if (session)
		session_destroy(session);
	gcl_request_status(device, request, VIRTIO_CL_OK);
}

void gcl_session_kill(struct gcl_device_session *session)
{
	session->device->ops->end(session, true);
}

void gcl_device_ended(struct gcl_device_session *session)
{
	struct gcl_device *device = session->device;
	struct gcl_request *request = session->request;

	gcl_device_pause_done(session);
	session->request = NULL;
	switch (session->state) {
	case GCL_SESSION_MAPPING:
	case GCL_SESSION_WAITING:
		if (request)
			gcl_request_refuse(
				device, request,
				session->open_error == -ENOMEM ? VIRTIO_CL_ERR_NO_MEMORY
							       : VIRTIO_CL_ERR_FAILED,
				session->open_error
					? "the worker can't map the session's rings: see "
					  "guestcld's log on the host"
					: "the worker ended while the session began: "
					  "see guestcld's log on the host");
		session_destroy(session);
		break;
	case GCL_SESSION_OPEN:
		session->state = GCL_SESSION_ENDED;
		gcl_link_fini(session);
		gcl_events_ended(session);
		gcl_events_run(device);
		break;
	default:
		if (request)
			gcl_request_status(device, request, VIRTIO_CL_OK);
		session_destroy(session);
		break;
	}
}

void gcl_sessions_forget(struct gcl_device *device)
{
	device->forgetting = true;
	gcl_list_for_each_safe (it, next, &device->sessions) {
		struct gcl_device_session *session =
			gcl_container_of(it, struct gcl_device_session, link);

		if (session->request)
			session->request->orphan = true;
		if (session->state == GCL_SESSION_ENDED)
			session_destroy(session);
		else if (session->state != GCL_SESSION_DYING)
			session_end(session, GCL_SESSION_DYING, true);
	}
	device->forgetting = false;
}

static void requests_orphan(struct gcl_list *list)
{
	gcl_list_for_each (it, list)
		gcl_container_of(it, struct gcl_request, link)->orphan = true;
}

void gcl_sessions_orphan(struct gcl_device *device)
{
	gcl_list_for_each_safe (it, next, &device->sessions) {
		struct gcl_device_session *session =
			gcl_container_of(it, struct gcl_device_session, link);

		requests_orphan(&session->unsent);
		requests_orphan(&session->unanswered);
		if (session->request)
			session->request->orphan = true;
		if (session->state == GCL_SESSION_WAITING || session->state == GCL_SESSION_MAPPING)
			session_end(session, GCL_SESSION_DYING, true);
	}
}
