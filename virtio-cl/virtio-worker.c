// SPDX-License-Identifier: MIT
/*
 * The worker's end of a virtio channel: its memory comes and goes as the broker says.
 *
 * The rings are there before the session begins. Everything else that is asked for on the link is
 * done by the thread that watches it, while the session's threads use the channel.
 *
 * Must not: block on the link, trust a message of the broker's, keep a descriptor of guest memory
 * once it is mapped.
 */
#include "virtio.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/log.h"
#include "shm.h"
#include "virtio-space.h"

/* One message of the broker's. */
struct request {
	const struct gcl_link_map *map; /* in bytes */
	_Alignas(struct gcl_link_map) char bytes[GCL_LINK_SIZE_MAX];
	int fds[GCL_LINK_FDS_MAX];
	unsigned fd_count;
};

_Static_assert(GCL_LINK_FDS_MAX <= GCL_FDS_MAX, "a message of the broker's can be received");

struct virtio_worker {
	struct gcl_shm shm;
	struct gcl_space space;
	struct request request; /* of the thread that serves */
};

static struct virtio_worker *worker_of(struct gcl_channel *channel)
{
	return gcl_container_of(channel, struct virtio_worker, shm.channel);
}

/* ------------------------------------------------------------ the link */

static void request_fini(struct request *request)
{
	while (request->fd_count)
		close(request->fds[--request->fd_count]);
}

/* Return: 1 and a message whose segments are all there, -EAGAIN, -EPIPE at the end, -EPROTO,
 * -errno. */
static int request_receive(struct request *request, int conn)
{
	ssize_t n;

	request->map = (const struct gcl_link_map *)(const void *)request->bytes;
	do
		n = gcl_fds_receive(conn, request->bytes, sizeof request->bytes, MSG_DONTWAIT,
				    request->fds, GCL_LINK_FDS_MAX, &request->fd_count);
	while (n == -EINTR);
	if (n > 0 && (size_t)n >= sizeof *request->map &&
	    request->map->segment_count <= VIRTIO_CL_SEGMENTS_MAX &&
	    (size_t)n == sizeof *request->map +
				 request->map->segment_count * sizeof *request->map->segments)
		return 1;
	request_fini(request);
	return n == 0 ? -EPIPE : n < 0 ? (int)n : -EPROTO;
}

static struct gcl_space_memory request_memory(const struct request *request)
{
	return (struct gcl_space_memory){
		.segments = request->map->segments,
		.segment_count = request->map->segment_count,
		.fds = request->fds,
		.fd_count = request->fd_count,
	};
}

static int answer(int conn, uint32_t op, int error)
{
	const struct gcl_link_answer answer = {.op = op, .error = error};

	/* A broker that does not read its answers has none of its own to wait for. */
	if (send(conn, &answer, sizeof answer, MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof answer)
		return -EPIPE;
	return 0;
}

static int door_set(struct virtio_worker *worker, struct request *request)
{
	int err;

	if (request->fd_count != 1 || request->map->segment_count)
		return -EINVAL;
	err = gcl_shm_door_set(&worker->shm, request->fds[0]);
	if (!err)
		request->fd_count = 0;
	return err;
}

static int request_do(struct virtio_worker *worker, struct request *request)
{
	const struct gcl_link_map *map = request->map;
	struct gcl_space_memory memory = request_memory(request);

	switch (map->op) {
	case GCL_LINK_MAP:
		return gcl_space_map(&worker->space, map->offset, map->length, &memory);
	case GCL_LINK_UNMAP:
		if (map->segment_count)
			return -EINVAL;
		return gcl_space_unmap(&worker->space, map->offset, map->length);
	case GCL_LINK_DOORBELL:
		return door_set(worker, request);
	default:
		return -EPROTO;
	}
}

static int virtio_serve(struct gcl_channel *channel)
{
	struct virtio_worker *worker = worker_of(channel);
	struct request *request = &worker->request;
	int err;

	while ((err = request_receive(request, worker->shm.conn)) > 0) {
		err = request_do(worker, request);
		gcl_log_debug(mem, "link: op %u, 0x%llx bytes at 0x%llx in %u segments: %d",
			      request->map->op, (unsigned long long)request->map->length,
			      (unsigned long long)request->map->offset, request->map->segment_count,
			      err);
		request_fini(request);
		if (err == -EPROTO)
			break;
		err = answer(worker->shm.conn, request->map->op, err);
		if (err)
			break;
	}
	if (err == -EPROTO)
		gcl_log_error(session, "the broker sent what is no message about memory");
	return err == -EAGAIN ? 0 : err;
}

/* ------------------------------------------------------------ the channel */

static void *virtio_heap_ptr(const struct gcl_channel *channel, uint64_t offset, uint64_t size)
{
	const struct virtio_worker *worker =
		gcl_container_of(channel, const struct virtio_worker, shm.channel);

	return gcl_space_ptr(&worker->space, offset, size);
}

static void virtio_heap_trim(struct gcl_channel *channel, uint64_t offset, uint64_t size)
{
	/* It is the guest's heap. */
	(void)channel;
	(void)offset;
	(void)size;
}

static void virtio_close(struct gcl_channel *channel)
{
	struct virtio_worker *worker = worker_of(channel);

	gcl_shm_fini(&worker->shm);
	gcl_space_fini(&worker->space);
	free(worker);
}

static const struct gcl_channel_ops virtio_ops = {
	.name = "virtio",
	GCL_SHM_OPS,
	.serves = true,
	.heap_ptr = virtio_heap_ptr,
	.heap_trim = virtio_heap_trim,
	.serve = virtio_serve,
	.kill = gcl_shm_shutdown,
	.abandon = gcl_shm_abandon,
	.close = virtio_close,
};

/* ------------------------------------------------------------ the beginning */

static const char *hello_check(const struct gcl_greeting *greeting)
{
	const struct gcl_hello *hello = &greeting->hello;

	if (hello->magic != GCL_HELLO_MAGIC || hello->version != GCL_HELLO_VERSION)
		return "another version of the protocol";
	if (!gcl_ring_size_valid(hello->commands_size) ||
	    !gcl_ring_size_valid(hello->completions_size))
		return "ring sizes that are not allowed";
	if (!hello->heap_size || hello->heap_size > VIRTIO_CL_HEAP_MAX ||
	    hello->heap_size % VIRTIO_CL_CHUNK)
		return "a heap size that is not allowed";
	if (greeting->fds[GCL_FD_WAKE_GUEST] < 0 || greeting->fds[GCL_FD_WAKE_WORKER] < 0 ||
	    greeting->conn < 0)
		return "a descriptor missing";
	return NULL;
}

static int rings_receive(struct request *request, int conn, uint64_t size, void **rings)
{
	struct pollfd in = {.fd = conn, .events = POLLIN};
	struct gcl_space_memory memory;
	int err;

	if (poll(&in, 1, GCL_HELLO_TIMEOUT_MS) <= 0)
		return -ETIMEDOUT;
	err = request_receive(request, conn);
	if (err < 0)
		return err;
	memory = request_memory(request);
	if (request->map->op == GCL_LINK_MAP_RINGS && request->map->offset == 0 &&
	    request->map->length == size)
		err = gcl_space_rings(size, &memory, rings);
	else
		err = -EPROTO;
	request_fini(request);
	return err;
}

/* Return: 0 with the channel's struct filled in and all descriptors taken over, or -errno. */
static int worker_init(struct virtio_worker *worker, struct gcl_greeting *greeting, void *rings)
{
	struct gcl_shm_setup setup = {
		.ops = &virtio_ops,
		.commands_size = greeting->hello.commands_size,
		.completions_size = greeting->hello.completions_size,
		.rings = rings,
		.conn = greeting->conn,
		.conn_events = EPOLLRDHUP,
		.own_bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.door = greeting->fds[GCL_FD_WAKE_WORKER],
		.peer_bell = greeting->fds[GCL_FD_WAKE_GUEST],
	};
	int err = setup.own_bell < 0 ? -errno : gcl_shm_init(&worker->shm, &setup);

	if (err) {
		gcl_cleanup_close(&setup.own_bell);
		return err;
	}
	steal_fd(&greeting->conn);
	steal_fd(&greeting->fds[GCL_FD_WAKE_WORKER]);
	steal_fd(&greeting->fds[GCL_FD_WAKE_GUEST]);
	worker->shm.channel.heap = worker->space.base;
	worker->shm.channel.heap_size = greeting->hello.heap_size;
	return 0;
}

static int accept_rings(struct virtio_worker *worker, struct gcl_greeting *greeting)
{
	const struct gcl_hello *hello = &greeting->hello;
	uint64_t size = gcl_shm_rings_size(hello->commands_size, hello->completions_size);
	void *rings = NULL;
	int err = gcl_space_init(&worker->space, hello->heap_size);

	if (!err)
		err = rings_receive(&worker->request, greeting->conn, size, &rings);
	if (!err)
		err = worker_init(worker, greeting, rings);
	if (err) {
		if (rings)
			munmap(rings, size);
		gcl_space_fini(&worker->space);
	}
	return err;
}

int gcl_virtio_accept(struct gcl_greeting *greeting, struct gcl_channel **out)
{
	_cleanup_free_ struct virtio_worker *worker = calloc(1, sizeof *worker);
	const char *wrong = hello_check(greeting);
	int err = worker ? 0 : -ENOMEM;

	if (wrong) {
		gcl_log_error(session, "the broker passed on %s", wrong);
		return -EINVAL;
	}
	if (!err)
		err = accept_rings(worker, greeting);
	if (err) {
		gcl_log_error(session, "cannot map the guest's rings: errno %d", -err);
		answer(greeting->conn, GCL_LINK_MAP_RINGS, err);
		return err;
	}
	err = answer(worker->shm.conn, GCL_LINK_MAP_RINGS, 0);
	if (err) {
		virtio_close(&steal_pointer(&worker)->shm.channel);
		return err;
	}
	*out = &steal_pointer(&worker)->shm.channel;
	gcl_greeting_fini(greeting);
	return 0;
}
