// SPDX-License-Identifier: MIT
/*
 * The device's life: VMM, queues, pauses, and the driver's HELLO.
 */
#include "device.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "device-parts.h"

#define BLK_F_MQ 12u

#define DEVICE_FEATURES (1ull << VIRTIO_CL_SHELL_BIT | 1ull << BLK_F_MQ)

static struct gcl_device *device_of(struct gcl_backend *backend)
{
	return gcl_container_of(backend, struct gcl_device, backend);
}

static bool is_door(unsigned index)
{
	return index >= VIRTIO_CL_QUEUE_DOORBELL;
}

/* ------------------------------------------------------------ pausing */

/* Return: true if the VMM has to wait until all have paused. */
static bool sessions_pause(struct gcl_device *device)
{
	gcl_list_for_each (it, &device->sessions) {
		struct gcl_device_session *session =
			gcl_container_of(it, struct gcl_device_session, link);

		if (!session->pausing && device->ops->pause(session)) {
			session->pausing = true;
			device->pausing++;
		}
	}
	return device->pausing > 0;
}

int gcl_device_pause_done(struct gcl_device_session *session)
{
	struct gcl_device *device = session->device;

	if (!session->pausing)
		return 0;
	session->pausing = false;
	return --device->pausing ? 0 : gcl_backend_release(&device->backend);
}

int gcl_device_paused(struct gcl_device_session *session)
{
	return gcl_device_pause_done(session);
}

int gcl_device_pause_expired(struct gcl_device *device)
{
	gcl_list_for_each_safe (it, next, &device->sessions) {
		struct gcl_device_session *session =
			gcl_container_of(it, struct gcl_device_session, link);

		if (session->pausing) {
			session->pausing = false;
			gcl_session_kill(session);
		}
	}
	device->pausing = 0;
	return gcl_backend_release(&device->backend);
}

/* What was rung while no one listened is rung again. */
static void door_ring(struct gcl_device *device, unsigned index)
{
	int kick = device->backend.queues[index].kick;

	if (kick >= 0)
		(void)eventfd_write(kick, 1);
}

void gcl_device_resume(struct gcl_device *device, bool again)
{
	device->paused = device->doubtful = false;
	gcl_control_flush(device, again);
	gcl_list_for_each_safe (it, next, &device->sessions) {
		struct gcl_device_session *session =
			gcl_container_of(it, struct gcl_device_session, link);

		device->ops->resume(session);
		if (again && session->state == GCL_SESSION_OPEN)
			gcl_events_wake(session);
		else if (again && session->state == GCL_SESSION_ENDED)
			gcl_events_ended(session);
		gcl_link_pump(session);
	}
	for (unsigned i = VIRTIO_CL_QUEUE_DOORBELL; i < GCL_BACKEND_QUEUES_MAX; i++)
		door_ring(device, i);
	gcl_events_run(device);
}

static bool same_place(const struct gcl_device *device, const struct gcl_queue *queue)
{
	const struct gcl_queue_place *now = &queue->place, *then = &device->stopped_place;

	return now->size == then->size && now->descriptors == then->descriptors &&
	       now->available == then->available && now->used == then->used &&
	       queue->next_available == device->stopped_base;
}

/* What was asked by a control queue that is no more needs no answer. */
static void queue_forget(struct gcl_device *device)
{
	gcl_control_flush(device, true);
	gcl_sessions_orphan(device);
	gcl_list_for_each_safe (it, next, &device->hellos) {
		gcl_list_remove(it);
		free(gcl_container_of(it, struct gcl_request, link));
	}
}

/* The control queue starts: is it the one that stopped? */
static void control_started(struct gcl_device *device, const struct gcl_queue *queue)
{
	bool same = same_place(device, queue);

	if (same && queue->next_available != 0) {
		if (device->paused)
			gcl_log_info(vm, "VM %s: goes on", device->name);
		gcl_device_resume(device, false);
	} else if (same) {
		device->doubtful = true;
	} else {
		device->greeted = false;
		queue_forget(device);
	}
}

static bool sessions_dying(const struct gcl_device *device)
{
	gcl_list_for_each (it, &device->sessions) {
		if (gcl_container_of(it, struct gcl_device_session, link)->state ==
		    GCL_SESSION_DYING)
			return true;
	}
	return false;
}

void gcl_device_hellos_answer(struct gcl_device *device)
{
	struct virtio_cl_hello_response response = {.epoch = htole32(device->epoch)};

	if (gcl_list_empty(&device->hellos) || device->forgetting || sessions_dying(device))
		return;
	device->announce = false;
	device->greeted = true;
	gcl_list_for_each_safe (it, next, &device->hellos)
		gcl_request_answer(device, gcl_container_of(it, struct gcl_request, link),
				   &response, sizeof response);
}

void gcl_device_hello(struct gcl_device *device, struct gcl_request *request, uint64_t instance)
{
	bool same = instance == device->instance;

	if (device->doubtful)
		queue_forget(device);
	if (!same) {
		if (device->session_count)
			gcl_log_info(vm, "VM %s: its driver is a new one; %u sessions end",
				     device->name, device->session_count);
		device->greeted = false;
		gcl_sessions_forget(device);
	}
	device->instance = instance;
	gcl_list_append(&device->hellos, &request->link);
	if (device->paused)
		gcl_device_resume(device, true);
	gcl_device_hellos_answer(device);
}

/* ------------------------------------------------------------ queues */

static void on_started(struct gcl_backend *backend, unsigned index)
{
	struct gcl_device *device = device_of(backend);
	struct gcl_queue *queue = &backend->queues[index];

	if (is_door(index)) {
		gcl_list_for_each_safe (it, next, &device->sessions) {
			struct gcl_device_session *session =
				gcl_container_of(it, struct gcl_device_session, link);

			if (session->doorbell == index)
				gcl_link_door(session);
		}
		door_ring(device, index);
		return;
	}
	device->ops->watch(device, index, queue->kick);
	if (index == VIRTIO_CL_QUEUE_CONTROL)
		control_started(device, queue);
	gcl_queue_call(queue); /* an interrupt may have been lost */
	gcl_device_kicked(device, index);
}

static void on_enabled(struct gcl_backend *backend, unsigned index)
{
	gcl_device_kicked(device_of(backend), index);
}

static bool on_stopped(struct gcl_backend *backend, unsigned index)
{
	struct gcl_device *device = device_of(backend);
	const struct gcl_queue *queue = &backend->queues[index];

	if (is_door(index))
		return false;
	device->ops->watch(device, index, -1);
	if (index != VIRTIO_CL_QUEUE_CONTROL)
		return false;
	device->stopped_place = queue->place;
	device->stopped_base = queue->next_available;
	if (gcl_list_empty(&device->sessions))
		return false;
	gcl_log_info(vm, "VM %s: stops; %u sessions are paused", device->name,
		     device->session_count);
	device->paused = true;
	device->doubtful = false;
	return sessions_pause(device);
}

static void on_config(struct gcl_backend *backend, uint32_t offset, void *bytes, uint32_t size)
{
	const struct gcl_device *device = device_of(backend);
	struct virtio_cl_config config = {
		.magic = htole32(VIRTIO_CL_MAGIC),
		.version = htole32(VIRTIO_CL_VERSION),
		.shell_blk_size = htole32(VIRTIO_CL_SHELL_BLK_SIZE),
		.max_sessions = htole32(device->sessions_max),
		.max_segments = htole32(VIRTIO_CL_SEGMENTS_MAX),
		.num_queues = htole16((uint16_t)backend->queues_seen),
	};

	if (offset < sizeof config)
		memcpy(bytes, (char *)&config + offset, GCL_MIN(size, sizeof config - offset));
}

static const struct gcl_backend_ops backend_ops = {
	.started = on_started,
	.enabled = on_enabled,
	.stopped = on_stopped,
	.config = on_config,
};

void gcl_device_kicked(struct gcl_device *device, unsigned queue)
{
	if (queue == VIRTIO_CL_QUEUE_CONTROL)
		gcl_control_run(device);
	gcl_events_run(device);
}

bool gcl_device_broken(const struct gcl_device *device)
{
	return device->backend.memory.broken;
}

/* ------------------------------------------------------------ the VMM */

void gcl_device_init(struct gcl_device *device, const struct gcl_device_ops *ops, const char *name,
		     uint32_t sessions_max)
{
	memset(device, 0, sizeof *device);
	gcl_backend_init(&device->backend, &backend_ops, DEVICE_FEATURES);
	device->ops = ops;
	device->name = name;
	device->sessions_max = sessions_max;
	gcl_list_init(&device->sessions);
	gcl_list_init(&device->hellos);
	gcl_list_init(&device->deferred);
	gcl_list_init(&device->pending);
}

void gcl_device_fini(struct gcl_device *device)
{
	gcl_control_flush(device, true);
	gcl_backend_fini(&device->backend);
}

void gcl_device_connected(struct gcl_device *device, int socket, uint32_t epoch)
{
	gcl_backend_open(&device->backend, socket);
	device->epoch = epoch;
	device->announce = true;
	device->greeted = device->paused = device->doubtful = false;
	device->instance = 0;
	device->stopped_place = (struct gcl_queue_place){0};
}

void gcl_device_disconnected(struct gcl_device *device)
{
	device->paused = device->doubtful = device->greeted = false;
	queue_forget(device);
	gcl_sessions_forget(device);
	gcl_list_for_each (it, &device->sessions)
		gcl_container_of(it, struct gcl_device_session, link)->pausing = false;
	device->pausing = 0;
	for (unsigned i = 0; i < VIRTIO_CL_QUEUE_DOORBELL; i++)
		device->ops->watch(device, i, -1);
	gcl_backend_close(&device->backend);
}
