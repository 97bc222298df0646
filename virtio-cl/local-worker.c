/*
 * The worker's way to a local channel: check what the guest brought once more, map it.
 */
#include <errno.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "local-channel.h"

int gcl_local_accept(struct gcl_greeting *greeting, struct gcl_channel **out)
{
	const struct gcl_hello *hello = &greeting->hello;
	uint64_t rings_size = gcl_local_rings_size(hello);
	char reason[128];
	void *rings, *heap;
	int err = gcl_greeting_check(greeting, reason, sizeof reason);

	if (err) {
		gcl_log_error(session, "guest refused: %s", reason);
		return err;
	}
	rings = mmap(NULL, rings_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		     greeting->fds[GCL_FD_RING], 0);
	if (rings == MAP_FAILED) {
		err = -errno;
		gcl_log_error(session, "cannot map the rings: errno %d", -err);
		return err;
	}
	heap = gcl_local_heap_map(greeting->fds[GCL_FD_HEAP], hello->heap_size, NULL);
	err = heap ? gcl_local_create(false, greeting, rings, heap, out) : -errno;
	if (err) {
		gcl_log_error(session, "cannot map a heap of %llu MiB, or watch it: errno %d",
			      (unsigned long long)(hello->heap_size >> 20), -err);
		munmap(rings, rings_size);
		if (heap)
			munmap(heap, hello->heap_size);
		return err;
	}
	/* The mappings keep the memory; the socket and the doorbells have moved to the channel. */
	gcl_greeting_fini(greeting);
	return 0;
}
