// SPDX-License-Identifier: MIT
/*
 * The device's state when the program that serves it is replaced by another one: what the VMM has
 * said, and the sessions. The driver notices nothing.
 */
#include "device-parts.h"

bool gcl_device_quiet(const struct gcl_device *device)
{
	const struct gcl_backend *backend = &device->backend;

	if (backend->held || backend->message.got || device->pausing || device->forgetting ||
	    backend->memory.broken || !gcl_list_empty(&device->hellos) ||
	    !gcl_list_empty(&device->deferred))
		return false;
	gcl_list_for_each (it, &device->sessions) {
		const struct gcl_device_session *session =
			gcl_container_of(it, struct gcl_device_session, link);

		if (session->state != GCL_SESSION_OPEN && session->state != GCL_SESSION_ENDED)
			return false;
		if (session->request || !gcl_list_empty(&session->unsent) ||
		    !gcl_list_empty(&session->unanswered))
			return false;
	}
	return true;
}

/* ------------------------------------------------------------ the VMM's side */

static void queue_save(const struct gcl_queue *queue, struct gcl_state *state)
{
	GCL_STATE_PUT(state, queue->place);
	GCL_STATE_PUT(state, queue->next_available);
	GCL_STATE_PUT(state, queue->enabled);
	GCL_STATE_PUT(state, queue->running);
	GCL_STATE_PUT(state, queue->addressed);
	GCL_STATE_PUT(state, queue->broken);
	gcl_state_put_fd(state, queue->kick);
	gcl_state_put_fd(state, queue->call);
}

/* Return: false for a queue that can't run where it is said to. */
static bool queue_restore(struct gcl_queue *queue, struct gcl_state *state)
{
	bool running, broken;

	GCL_STATE_GET(state, queue->place);
	GCL_STATE_GET(state, queue->next_available);
	GCL_STATE_GET(state, queue->enabled);
	GCL_STATE_GET(state, running);
	GCL_STATE_GET(state, queue->addressed);
	GCL_STATE_GET(state, broken);
	queue->kick = gcl_state_get_fd(state);
	queue->call = gcl_state_get_fd(state);
	if (running && gcl_queue_start(queue) < 0)
		return false;
	queue->broken = broken;
	return true;
}

static void backend_save(const struct gcl_backend *backend, struct gcl_state *state)
{
	GCL_STATE_PUT(state, backend->features);
	GCL_STATE_PUT(state, backend->protocol_features);
	GCL_STATE_PUT(state, backend->queues_seen);
	gcl_state_put_number(state, backend->memory.count);
	for (unsigned i = 0; i < backend->memory.count; i++) {
		GCL_STATE_PUT(state, backend->memory.regions[i].place);
		gcl_state_put_fd(state, backend->memory.regions[i].fd);
	}
	for (unsigned i = 0; i < GCL_BACKEND_QUEUES_MAX; i++)
		queue_save(&backend->queues[i], state);
}

static bool region_restore(struct gcl_backend *backend, struct gcl_state *state)
{
	struct gcl_vhost_region place;
	int fd;

	GCL_STATE_GET(state, place);
	fd = gcl_state_get_fd(state);
	if (fd < 0 || gcl_guest_memory_add(&backend->memory, &place, fd, backend->reason,
					   sizeof backend->reason) < 0) {
		gcl_cleanup_close(&fd);
		return false;
	}
	return true;
}

static bool backend_restore(struct gcl_backend *backend, struct gcl_state *state)
{
	uint64_t regions;
	bool good = true;

	GCL_STATE_GET(state, backend->features);
	GCL_STATE_GET(state, backend->protocol_features);
	GCL_STATE_GET(state, backend->queues_seen);
	regions = gcl_state_get_number(state);
	for (uint64_t i = 0; i < regions && !state->bad; i++)
		good &= region_restore(backend, state);
	for (unsigned i = 0; i < GCL_BACKEND_QUEUES_MAX; i++)
		good &= queue_restore(&backend->queues[i], state);
	return good;
}

/* ------------------------------------------------------------ sessions */

static void ranges_save(const struct gcl_ranges *ranges, struct gcl_state *state)
{
	gcl_state_put_number(state, ranges->heap_size);
	gcl_state_put(state, ranges->chunks,
		      ranges->heap_size / VIRTIO_CL_CHUNK * sizeof *ranges->chunks);
	GCL_STATE_PUT(state, ranges->windows);
	GCL_STATE_PUT(state, ranges->segments);
}

static bool ranges_restore(struct gcl_ranges *ranges, struct gcl_state *state)
{
	uint64_t heap_size = gcl_state_get_number(state);

	if (state->bad || gcl_ranges_init(ranges, heap_size) < 0)
		return false;
	gcl_state_get(state, ranges->chunks, heap_size / VIRTIO_CL_CHUNK * sizeof *ranges->chunks);
	GCL_STATE_GET(state, ranges->windows);
	GCL_STATE_GET(state, ranges->segments);
	return true;
}

static void session_save(const struct gcl_device_session *session, struct gcl_state *state)
{
	GCL_STATE_PUT(state, session->id);
	GCL_STATE_PUT(state, session->state);
	GCL_STATE_PUT(state, session->doorbell);
	GCL_STATE_PUT(state, session->pid);
	GCL_STATE_PUT(state, session->uid);
	GCL_STATE_PUT(state, session->hello);
	GCL_STATE_PUT(state, session->door_stale);
	GCL_STATE_PUT(state, session->wake);
	GCL_STATE_PUT(state, session->ended);
	ranges_save(&session->ranges, state);
}

/* Return: NULL without memory; else part of the device. */
static struct gcl_device_session *session_restore(struct gcl_device *device,
						  struct gcl_state *state)
{
	struct gcl_device_session *session = device->ops->create(device);

	if (!session)
		return NULL;
	session->device = device;
	gcl_list_init(&session->link);
	gcl_list_init(&session->unsent);
	gcl_list_init(&session->unanswered);
	gcl_list_init(&session->pending);
	GCL_STATE_GET(state, session->id);
	GCL_STATE_GET(state, session->state);
	GCL_STATE_GET(state, session->doorbell);
	GCL_STATE_GET(state, session->pid);
	GCL_STATE_GET(state, session->uid);
	GCL_STATE_GET(state, session->hello);
	GCL_STATE_GET(state, session->door_stale);
	GCL_STATE_GET(state, session->wake);
	GCL_STATE_GET(state, session->ended);
	if (!ranges_restore(&session->ranges, state) ||
	    session->doorbell >= GCL_BACKEND_QUEUES_MAX) {
		device->ops->destroy(session);
		return NULL;
	}
	gcl_list_append(&device->sessions, &session->link);
	device->session_count++;
	if (session->wake || session->ended)
		gcl_list_append(&device->pending, &session->pending);
	return session;
}

/* ------------------------------------------------------------ the whole */

void gcl_device_save(const struct gcl_device *device, struct gcl_state *state)
{
	backend_save(&device->backend, state);
	GCL_STATE_PUT(state, device->epoch);
	GCL_STATE_PUT(state, device->instance);
	GCL_STATE_PUT(state, device->greeted);
	GCL_STATE_PUT(state, device->announce);
	GCL_STATE_PUT(state, device->paused);
	GCL_STATE_PUT(state, device->doubtful);
	GCL_STATE_PUT(state, device->stopped_place);
	GCL_STATE_PUT(state, device->stopped_base);
	GCL_STATE_PUT(state, device->last_id);
	GCL_STATE_PUT(state, device->next_doorbell);
	gcl_state_put_number(state, device->session_count);
	gcl_list_for_each (it, &device->sessions)
		session_save(gcl_container_of(it, struct gcl_device_session, link), state);
}

bool gcl_device_restore(struct gcl_device *device, int socket, struct gcl_state *state)
{
	uint64_t sessions;
	bool good;

	gcl_backend_open(&device->backend, socket);
	good = backend_restore(&device->backend, state);
	GCL_STATE_GET(state, device->epoch);
	GCL_STATE_GET(state, device->instance);
	GCL_STATE_GET(state, device->greeted);
	GCL_STATE_GET(state, device->announce);
	GCL_STATE_GET(state, device->paused);
	GCL_STATE_GET(state, device->doubtful);
	GCL_STATE_GET(state, device->stopped_place);
	GCL_STATE_GET(state, device->stopped_base);
	GCL_STATE_GET(state, device->last_id);
	GCL_STATE_GET(state, device->next_doorbell);
	sessions = gcl_state_get_number(state);
	for (uint64_t i = 0; good && i < sessions && !state->bad; i++)
		good = session_restore(device, state) != NULL;
	return good && !state->bad;
}

void gcl_device_restart(struct gcl_device *device)
{
	for (unsigned i = 0; i < VIRTIO_CL_QUEUE_DOORBELL; i++) {
		const struct gcl_queue *queue = &device->backend.queues[i];

		if (!queue->running)
			continue;
		device->ops->watch(device, i, queue->kick);
		gcl_queue_call(queue); /* nobody knows whether the last one was sent */
		gcl_device_kicked(device, i);
	}
}
