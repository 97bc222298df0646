// SPDX-License-Identifier: MIT
/*
 * Memory that comes and goes.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "driver-test.h"

static int populate(const struct session *session, uint64_t offset, uint64_t length)
{
	return range_ioctl(session->fd, VIRTIO_CL_IOC_POPULATE, offset, length);
}

static int release(const struct session *session, uint64_t offset, uint64_t length)
{
	return range_ioctl(session->fd, VIRTIO_CL_IOC_RELEASE, offset, length);
}

static void test_chunks(struct session *session)
{
	uint8_t *heap = session->heap;

	check(peek(heap) < 0, "an empty heap has no memory");
	check(populate(session, 2 * CHUNK, 3 * CHUNK) == 0, "three chunks");
	check(peek(heap + 2 * CHUNK - 1) < 0 && peek(heap + 5 * CHUNK) < 0, "and none beside them");
	check(peek(heap + 2 * CHUNK) == 0 && peek(heap + 5 * CHUNK - 1) == 0, "they are zero");
	memset(heap + 2 * CHUNK, 0xa5, 3 * CHUNK);
	check(populate(session, 0, 6 * CHUNK) == 0, "chunks around them");
	check(heap[2 * CHUNK] == 0xa5 && heap[5 * CHUNK - 1] == 0xa5 && peek(heap) == 0 &&
		      peek(heap + 5 * CHUNK) == 0,
	      "which leaves them alone");
	check(counters_of(session->fd).heap_bytes == 6 * CHUNK, "six chunks are counted");
	check(release(session, 3 * CHUNK, CHUNK) == 0, "one is released");
	check(peek(heap + 3 * CHUNK) < 0 && peek(heap + 4 * CHUNK - 1) < 0, "it is gone");
	check(heap[2 * CHUNK] == 0xa5 && heap[4 * CHUNK] == 0xa5, "its neighbours are not");
	check(populate(session, 3 * CHUNK, CHUNK) == 0 && peek(heap + 3 * CHUNK) == 0,
	      "it comes back as zeros");
	check(release(session, 0, HEAP_SIZE) == 0, "all are released, over holes");
	check(counters_of(session->fd).heap_bytes == 0, "none is counted");
	check(release(session, 0, HEAP_SIZE) == 0, "nothing is released");
}

static void test_bad_ranges(struct session *session)
{
	static const struct virtio_cl_ioc_range ranges[] = {
		{0, 0},
		{0, 1},
		{1, CHUNK},
		{0, CHUNK + 4096},
		{4096, CHUNK},
		{HEAP_SIZE, CHUNK},
		{HEAP_SIZE - CHUNK, 2 * CHUNK},
		{0, HEAP_SIZE + CHUNK},
		{~0ull - CHUNK + 1, CHUNK},
		{CHUNK, ~0ull - CHUNK + 1},
		{VIRTIO_CL_WINDOW_BASE, CHUNK},
		{1ull << 63, 1ull << 63},
	};

	for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
		struct virtio_cl_ioc_range range = ranges[i];

		check_ioctl(EINVAL, session->fd, VIRTIO_CL_IOC_POPULATE, &range,
			    "populate a bad range");
		check_ioctl(EINVAL, session->fd, VIRTIO_CL_IOC_RELEASE, &range,
			    "release a bad range");
	}
}

/* Two mappings, and pages brought in one by one. */
static void test_mappings(struct session *session)
{
	uint8_t *odd =
		mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_SHARED, session->fd, CHUNK / 2);
	uint8_t *read_only = mmap(NULL, 2 * CHUNK, PROT_READ, MAP_SHARED, session->fd, 0);

	if (odd == MAP_FAILED || read_only == MAP_FAILED)
		fatal("cannot map parts of the heap");
	check(populate(session, 0, 2 * CHUNK) == 0, "two chunks");
	odd[0] = 1;
	odd[CHUNK - 1] = 2;
	session->heap[CHUNK] = 3;
	check(session->heap[CHUNK / 2] == 1 && session->heap[CHUNK + CHUNK / 2 - 1] == 2 &&
		      odd[CHUNK / 2] == 3 && read_only[CHUNK / 2] == 1,
	      "mappings show the same memory");
	check(madvise(session->heap, 4096, MADV_DONTNEED) == 0 && peek(session->heap) == 0 &&
		      session->heap[CHUNK / 2] == 1,
	      "a page that was dropped comes back");
	check(release(session, 0, CHUNK) == 0 && peek(odd) < 0 && peek(read_only) < 0 &&
		      peek(odd + CHUNK / 2) == 3,
	      "released memory is gone from all mappings");
	munmap(odd, CHUNK);
	munmap(read_only, 2 * CHUNK);
	release(session, 0, 2 * CHUNK);
}

static void test_limit(struct session *session)
{
	struct virtio_cl_ioc_info info = {0};
	int err;

	if (ioctl(session->fd, VIRTIO_CL_IOC_INFO, &info) < 0)
		fatal("no VIRTIO_CL_IOC_INFO");
	session->heap[0] = 42;
	if (info.heap_max >= HEAP_SIZE) {
		check(true, "the limit of a heap: # SKIP this guest has too much memory");
		return;
	}
	err = populate(session, 0, HEAP_SIZE);
	check(err == ENOMEM, "more than there is: %s", strerror(err));
	check(session->heap[0] == 42, "what was there is there");
	check(counters_of(session->fd).heap_bytes <= info.heap_max, "the limit was kept");
	check(release(session, 0, HEAP_SIZE) == 0, "all is released");
}

void test_heap(void)
{
	struct session session = session_make();

	test_chunks(&session);
	test_bad_ranges(&session);
	test_mappings(&session);
	if (populate(&session, 0, CHUNK))
		fatal("cannot populate");
	test_limit(&session);
	session_end(&session);
}
