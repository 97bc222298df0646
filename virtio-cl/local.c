/*
 * The local channel once it stands: ring and heap are memfds, the connection is a Unix socket, and
 * each side's bell is an eventfd that the other writes to.
 */
#include "local-channel.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/log.h"

static void local_heap_trim(struct gcl_channel *channel, uint64_t offset, uint64_t size)
{
	/* All of it is mapped from the start; memory is taken again when it is touched. */
	if (madvise(channel->heap + offset, size, MADV_REMOVE) < 0)
		gcl_log_debug(mem, "cannot trim the heap: errno %d", errno);
}

static void local_close(struct gcl_channel *channel)
{
	struct gcl_shm *shm = gcl_shm_of(channel);

	gcl_shm_fini(shm);
	munmap(channel->heap, channel->heap_size);
	free(shm);
}

static const struct gcl_channel_ops local_ops = {
	.name = "local",
	.remaps = true,
	GCL_SHM_OPS,
	.heap_trim = local_heap_trim,
	.kill = gcl_shm_shutdown,
	.abandon = gcl_shm_abandon,
	.close = local_close,
};

void *gcl_local_heap_map(int fd, uint64_t size, void *hint)
{
	void *heap = mmap(hint, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	if (heap == MAP_FAILED)
		return NULL;
	gcl_shm_heap_advise(heap, size);
	return heap;
}

int gcl_local_create(bool guest, struct gcl_greeting *greeting, void *rings, void *heap,
		     struct gcl_channel **out)
{
	int *own_bell = &greeting->fds[guest ? GCL_FD_WAKE_GUEST : GCL_FD_WAKE_WORKER];
	int *peer_bell = &greeting->fds[guest ? GCL_FD_WAKE_WORKER : GCL_FD_WAKE_GUEST];
	const struct gcl_shm_setup setup = {
		.ops = &local_ops,
		.guest = guest,
		.commands_size = greeting->hello.commands_size,
		.completions_size = greeting->hello.completions_size,
		.rings = rings,
		.conn = greeting->conn,
		.conn_events = EPOLLRDHUP,
		.own_bell = *own_bell,
		.door = -1,
		.peer_bell = *peer_bell,
	};
	_cleanup_free_ struct gcl_shm *shm = calloc(1, sizeof *shm);
	int err = shm ? gcl_shm_init(shm, &setup) : -ENOMEM;

	if (err)
		return err;
	steal_fd(&greeting->conn);
	steal_fd(own_bell);
	steal_fd(peer_bell);
	shm->channel.heap = heap;
	shm->channel.heap_size = greeting->hello.heap_size;
	*out = &steal_pointer(&shm)->channel;
	return 0;
}
