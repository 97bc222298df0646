// SPDX-License-Identifier: MIT
/*
 * The event queue: what the device tells the driver by itself.
 *
 * The driver's buffers are few, so what is to be told is kept as flags and not as a queue of its
 * own: a session that was woken ten times while there was no buffer is woken once.
 */
#include <endian.h>

#include "device-parts.h"

/* Puts one event into the next buffer. Return: false when there is none. */
static bool event_send(struct gcl_device *device, enum virtio_cl_event_type type, uint32_t session)
{
	struct gcl_queue *queue = &device->backend.queues[VIRTIO_CL_QUEUE_EVENT];
	struct virtio_cl_event event = {htole32(type), htole32(session)};
	struct gcl_chain chain;
	int64_t written;
	int n = gcl_queue_pop(queue, &chain);

	if (n < 0)
		gcl_device_log_peer(device, "the driver broke its event queue: it gets no more "
					    "events until it is loaded again");
	if (n <= 0)
		return false;
	written = gcl_chain_write(&device->backend.memory, &chain, &event, sizeof event);
	if (written != sizeof event)
		gcl_device_log_peer(device, "an event buffer has no room for an event");
	gcl_queue_push(queue, chain.head, written > 0 ? (uint32_t)written : 0);
	return true;
}

static bool session_send(struct gcl_device_session *session)
{
	struct gcl_device *device = session->device;

	if (session->wake && !event_send(device, VIRTIO_CL_EVENT_WAKE, session->id))
		return false;
	session->wake = false;
	if (session->ended && !event_send(device, VIRTIO_CL_EVENT_SESSION_ENDED, session->id))
		return false;
	session->ended = false;
	return true;
}

void gcl_events_run(struct gcl_device *device)
{
	bool sent = false, room = true;

	/* Sessions that the driver knows of, or is to know of, are those of its queues. */
	if (device->paused)
		return;
	if (device->announce) {
		room = event_send(device, VIRTIO_CL_EVENT_ALL_ENDED, device->epoch);
		device->announce = !room;
		sent = room;
	}
	while (room && !gcl_list_empty(&device->pending)) {
		struct gcl_device_session *session =
			gcl_list_first(&device->pending, struct gcl_device_session, pending);

		room = session_send(session);
		if (room)
			gcl_list_remove(&session->pending);
		sent = true;
	}
	if (sent)
		gcl_queue_call(&device->backend.queues[VIRTIO_CL_QUEUE_EVENT]);
}

static void session_pend(struct gcl_device_session *session)
{
	if (gcl_list_empty(&session->pending))
		gcl_list_append(&session->device->pending, &session->pending);
}

void gcl_events_wake(struct gcl_device_session *session)
{
	session->wake = true;
	session_pend(session);
}

void gcl_events_ended(struct gcl_device_session *session)
{
	session->ended = true;
	session_pend(session);
}

void gcl_events_forget(struct gcl_device_session *session)
{
	session->wake = session->ended = false;
	gcl_list_remove(&session->pending);
}

void gcl_device_wake(struct gcl_device_session *session)
{
	/* Before the guest knows the session's number it is not to hear of it. */
	if (session->state == GCL_SESSION_MAPPING)
		session->wake = true;
	if (session->state != GCL_SESSION_OPEN)
		return;
	gcl_events_wake(session);
	gcl_events_run(session->device);
}
