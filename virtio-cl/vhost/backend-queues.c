// SPDX-License-Identifier: MIT
/*
 * Messages about queues: where they are, and when they start and stop.
 */
#include "backend-queues.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Return: NULL, with the reason set, if there is none. */
static struct gcl_queue *queue_find(struct gcl_backend *backend, uint32_t index)
{
	if (index >= GCL_BACKEND_QUEUES_MAX) {
		gcl_backend_fail(backend, -EINVAL, "there is no queue %u", index);
		return NULL;
	}
	if (backend->queues_seen <= index)
		backend->queues_seen = index + 1;
	return &backend->queues[index];
}

/* A queue that runs is not changed, except for its descriptors. */
static struct gcl_queue *queue_find_idle(struct gcl_backend *backend, uint32_t index)
{
	struct gcl_queue *queue = queue_find(backend, index);

	if (!queue || !queue->running)
		return queue;
	gcl_backend_fail(backend, -EBUSY, "queue %u runs", index);
	return NULL;
}

/* Starts the queue once there is all that it needs. */
static int maybe_start(struct gcl_backend *backend, uint32_t index)
{
	struct gcl_queue *queue = &backend->queues[index];

	if (queue->running || !queue->addressed || !queue->enabled || queue->kick < 0)
		return 0;
	if (gcl_queue_start(queue) < 0)
		return gcl_backend_fail(backend, -EINVAL,
					"queue %u of %u descriptors is not in the VM's memory",
					index, queue->place.size);
	backend->ops->started(backend, index);
	return 0;
}

void gcl_backend_queues_remap(struct gcl_backend *backend)
{
	for (unsigned i = 0; i < GCL_BACKEND_QUEUES_MAX; i++) {
		if (backend->queues[i].running)
			gcl_queue_map(&backend->queues[i]);
	}
}

bool gcl_backend_queue_stop(struct gcl_backend *backend, unsigned index)
{
	struct gcl_queue *queue = &backend->queues[index];
	bool ran = queue->running;

	gcl_queue_stop(queue);
	queue->addressed = false;
	gcl_cleanup_close(&queue->kick);
	queue->kick = -1;
	return ran && backend->ops->stopped(backend, index);
}

int gcl_backend_set_vring_num(struct gcl_backend *backend, struct gcl_vhost_message *message)
{
	const struct gcl_vhost_vring_state *state = &message->body.state;
	struct gcl_queue *queue = queue_find_idle(backend, state->index);

	if (!queue)
		return -EINVAL;
	queue->place.size = state->number;
	return 0;
}

int gcl_backend_set_vring_addr(struct gcl_backend *backend, struct gcl_vhost_message *message)
{
	const struct gcl_vhost_vring_address *address = &message->body.address;
	struct gcl_queue *queue = queue_find_idle(backend, address->index);

	if (!queue)
		return -EINVAL;
	queue->place.descriptors = address->descriptors;
	queue->place.available = address->available;
	queue->place.used = address->used;
	queue->addressed = true;
	return maybe_start(backend, address->index);
}

int gcl_backend_set_vring_base(struct gcl_backend *backend, struct gcl_vhost_message *message)
{
	const struct gcl_vhost_vring_state *state = &message->body.state;
	struct gcl_queue *queue = queue_find_idle(backend, state->index);

	if (!queue)
		return -EINVAL;
	queue->next_available = (uint16_t)state->number;
	return 0;
}

int gcl_backend_vring_base_answer(struct gcl_backend *backend)
{
	const struct gcl_vhost_vring_state *asked = &backend->message.body.state;
	struct gcl_vhost_vring_state state = {
		.index = asked->index,
		.number = backend->queues[asked->index].next_available,
	};

	return gcl_vhost_reply(backend->socket, &backend->message, &state, sizeof state);
}

int gcl_backend_get_vring_base(struct gcl_backend *backend, struct gcl_vhost_message *message)
{
	if (!queue_find(backend, message->body.state.index))
		return -EPROTO;
	if (gcl_backend_queue_stop(backend, message->body.state.index)) {
		backend->held = true;
		return 0;
	}
	return gcl_backend_vring_base_answer(backend);
}

/* The descriptor that such a message brings, the caller's; -1 for none. Return: the queue, or NULL
 * with the reason set. */
static struct gcl_queue *fd_take(struct gcl_backend *backend, struct gcl_vhost_message *message,
				 int *fd)
{
	uint64_t value = message->body.u64;
	bool none = value & GCL_VHOST_FD_NONE;
	struct gcl_queue *queue = queue_find(backend, value & GCL_VHOST_FD_INDEX);

	if (queue && message->fd_count != (none ? 0 : 1)) {
		gcl_backend_fail(backend, -EINVAL, "%u descriptors for queue %u", message->fd_count,
				 (unsigned)(value & GCL_VHOST_FD_INDEX));
		return NULL;
	}
	if (queue && !none)
		*fd = gcl_vhost_message_take_fd(message);
	return queue;
}

/* Neither reading nor writing it may block us: an eventfd that doesn't, as VMMs have them. */
static int fd_check(struct gcl_backend *backend, int fd)
{
	static const char kind[] = "anon_inode:[eventfd]";
	int flags = fcntl(fd, F_GETFL);
	char path[32], target[64];
	ssize_t n;

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof target);
	if (n != sizeof kind - 1 || memcmp(target, kind, sizeof kind - 1) != 0)
		return gcl_backend_fail(backend, -EINVAL, "a queue's descriptor is no eventfd");
	if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
		return gcl_backend_fail(backend, -EINVAL, "a queue's descriptor blocks");
	return 0;
}

int gcl_backend_set_vring_kick(struct gcl_backend *backend, struct gcl_vhost_message *message)
{
	_cleanup_close_ int fd = -1;
	struct gcl_queue *queue = fd_take(backend, message, &fd);
	int err;

	if (!queue)
		return -EINVAL;
	if (fd < 0)
		return gcl_backend_fail(backend, -EINVAL, "polling queues is not supported");
	if (queue->running)
		return gcl_backend_fail(backend, -EBUSY, "a queue that runs gets no new kick");
	err = fd_check(backend, fd);
	if (err < 0)
		return err;
	gcl_cleanup_close(&queue->kick);
	queue->kick = steal_fd(&fd);
	return maybe_start(backend, message->body.u64 & GCL_VHOST_FD_INDEX);
}

int gcl_backend_set_vring_call(struct gcl_backend *backend, struct gcl_vhost_message *message)
{
	_cleanup_close_ int fd = -1;
	struct gcl_queue *queue = fd_take(backend, message, &fd);
	int err = 0;

	if (!queue)
		return -EINVAL;
	if (fd >= 0)
		err = fd_check(backend, fd);
	if (err < 0)
		return err;
	gcl_cleanup_close(&queue->call);
	queue->call = steal_fd(&fd);
	if (queue->running)
		gcl_queue_call(queue); /* one that came to the old descriptor may be lost */
	return 0;
}

/* A disabled queue is not looked at; only GET_VRING_BASE stops it. */
int gcl_backend_set_vring_enable(struct gcl_backend *backend, struct gcl_vhost_message *message)
{
	const struct gcl_vhost_vring_state *state = &message->body.state;
	struct gcl_queue *queue = queue_find(backend, state->index);

	if (!queue)
		return -EINVAL;
	queue->enabled = state->number != 0;
	if (queue->running && queue->enabled)
		backend->ops->enabled(backend, state->index);
	return maybe_start(backend, state->index);
}
