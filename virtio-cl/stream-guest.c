// SPDX-License-Identifier: MIT
/*
 * The guest's way to a stream channel once it is connected: a heap, the greeting, the channel.
 *
 * The rules of hello.c hold.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "stream-channel.h"

#define HEAP_MIN (64ull << 20)

/* The largest heap to try: where the program lives under a limit, it needs its share of it. The
 * heap is private memory, so that all of it counts as the program's data, used or not. */
static uint64_t heap_size_wanted(void)
{
	static const int limits[] = {RLIMIT_AS, RLIMIT_DATA};
	uint64_t size = GCL_HEAP_MAX;
	struct rlimit limit;

	for (size_t i = 0; i < GCL_ARRAY_SIZE(limits); i++)
		if (getrlimit(limits[i], &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
			size = GCL_MIN(size, limit.rlim_cur / 4);
	size = GCL_MAX(size, HEAP_MIN);
	return size / GCL_HEAP_CHUNK * GCL_HEAP_CHUNK;
}

static void *heap_make(struct gcl_hello *hello)
{
	uint64_t size = heap_size_wanted();
	void *heap = NULL;

	while (size >= HEAP_MIN && !(heap = gcl_stream_heap_map(size)))
		size = size / 2 / GCL_HEAP_CHUNK * GCL_HEAP_CHUNK;
	hello->heap_size = size;
	return heap;
}

int gcl_stream_greet(int conn, const char *where, int timeout_ms, struct gcl_channel **out,
		     char *reason, size_t reason_size)
{
	_cleanup_(gcl_greeting_fini) struct gcl_greeting greeting;
	void *heap;
	int err;

	gcl_greeting_init(&greeting);
	greeting.kind = GCL_GREETING_STREAM;
	greeting.conn = conn;
	gcl_hello_fill(&greeting.hello);
	heap = heap_make(&greeting.hello);
	if (!heap) {
		snprintf(reason, reason_size,
			 "no address space: raise the limits of this process (ulimit -v)");
		return -ENOMEM;
	}
	err = gcl_hello_exchange(&greeting, where, timeout_ms, reason, reason_size);
	if (!err) {
		err = gcl_stream_create(true, &greeting, heap, out);
		if (err)
			snprintf(reason, reason_size, "cannot set up the channel: %s",
				 strerror(-err));
	}
	if (err)
		munmap(heap, greeting.hello.heap_size);
	return err;
}

int gcl_stream_connect_within(const char *path, int timeout_ms, struct gcl_channel **out,
			      char *reason, size_t reason_size)
{
	int conn = gcl_hello_connect(path, timeout_ms);

	if (conn < 0) {
		gcl_hello_reason(path, conn, reason, reason_size);
		return conn;
	}
	return gcl_stream_greet(conn, path, timeout_ms, out, reason, reason_size);
}

int gcl_stream_connect(const char *path, struct gcl_channel **out, char *reason, size_t reason_size)
{
	return gcl_stream_connect_within(path, GCL_HELLO_TIMEOUT_MS, out, reason, reason_size);
}

int gcl_stream_adopt(int conn, int timeout_ms, struct gcl_channel **out, char *reason,
		     size_t reason_size)
{
	return gcl_stream_greet(conn, "the other end of the socket", timeout_ms, out, reason,
				reason_size);
}
