// SPDX-License-Identifier: MIT
/*
 * The worker's way to a stream channel: check what the guest brought once more, make the heap.
 */
#include <errno.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "stream-channel.h"

int gcl_stream_accept(struct gcl_greeting *greeting, struct gcl_channel **out)
{
	const struct gcl_hello *hello = &greeting->hello;
	char reason[128];
	void *heap;
	int err = gcl_greeting_check(greeting, reason, sizeof reason);

	if (err) {
		gcl_log_error(session, "guest refused: %s", reason);
		return err;
	}
	heap = gcl_stream_heap_map(hello->heap_size);
	err = heap ? gcl_stream_create(false, greeting, heap, out) : -errno;
	if (err) {
		gcl_log_error(session, "cannot make a heap of %llu MiB: errno %d",
			      (unsigned long long)(hello->heap_size >> 20), -err);
		if (heap)
			munmap(heap, hello->heap_size);
	}
	return err;
}
