// SPDX-License-Identifier: MIT
/*
 * Ranges of a session's address space, as a guest adds and removes them.
 */
#include "ranges.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

_Static_assert(VIRTIO_CL_CHUNK / VIRTIO_CL_PAGE <= UINT16_MAX, "a chunk's segments are countable");

int gcl_ranges_init(struct gcl_ranges *ranges, uint64_t heap_size)
{
	memset(ranges, 0, sizeof *ranges);
	ranges->chunks = calloc(heap_size / VIRTIO_CL_CHUNK, sizeof *ranges->chunks);
	if (!ranges->chunks)
		return -ENOMEM;
	ranges->heap_size = heap_size;
	return 0;
}

void gcl_ranges_fini(struct gcl_ranges *ranges)
{
	free(ranges->chunks);
	ranges->chunks = NULL;
}

static bool in_heap(const struct gcl_ranges *ranges, uint64_t offset, uint64_t length)
{
	return length && !((offset | length) % VIRTIO_CL_CHUNK) && offset < ranges->heap_size &&
	       length <= ranges->heap_size - offset;
}

/* Return: the window that holds the range, or -1. */
static int window_of(uint64_t offset, uint64_t length)
{
	uint64_t into;

	if (offset < VIRTIO_CL_WINDOW_BASE || offset >= VIRTIO_CL_SPACE_END || !length ||
	    (offset | length) % VIRTIO_CL_PAGE)
		return -1;
	into = (offset - VIRTIO_CL_WINDOW_BASE) % VIRTIO_CL_WINDOW_SIZE;
	if (length > VIRTIO_CL_WINDOW_SIZE - into)
		return -1;
	return (int)((offset - VIRTIO_CL_WINDOW_BASE) / VIRTIO_CL_WINDOW_SIZE);
}

static uint64_t window_start(int window)
{
	return VIRTIO_CL_WINDOW_BASE + (uint64_t)window * VIRTIO_CL_WINDOW_SIZE;
}

static uint64_t window_end(const struct gcl_ranges *ranges, int window)
{
	return window_start(window) + ranges->windows[window].length;
}

static bool heap_has(const struct gcl_ranges *ranges, uint64_t offset, uint64_t length, bool memory)
{
	for (uint64_t i = offset / VIRTIO_CL_CHUNK; i < (offset + length) / VIRTIO_CL_CHUNK; i++) {
		if ((ranges->chunks[i] != 0) != memory)
			return false;
	}
	return true;
}

/* Counts in each chunk those segments that lie in it, partly or wholly. */
static uint32_t heap_count(struct gcl_ranges *ranges, uint64_t offset,
			   const struct virtio_cl_segment *segments, uint32_t count)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t end = offset + le64toh(segments[i].length);

		for (uint64_t chunk = offset / VIRTIO_CL_CHUNK; chunk * VIRTIO_CL_CHUNK < end;
		     chunk++) {
			ranges->chunks[chunk]++;
			sum++;
		}
		offset = end;
	}
	return sum;
}

static uint32_t heap_clear(struct gcl_ranges *ranges, uint64_t offset, uint64_t length)
{
	uint32_t sum = 0;

	for (uint64_t i = offset / VIRTIO_CL_CHUNK; i < (offset + length) / VIRTIO_CL_CHUNK; i++) {
		sum += ranges->chunks[i];
		ranges->chunks[i] = 0;
	}
	return sum;
}

static int heap_add(struct gcl_ranges *ranges, uint64_t offset, uint64_t length,
		    const struct virtio_cl_segment *segments, uint32_t count)
{
	if (!heap_has(ranges, offset, length, false))
		return -EINVAL;
	ranges->segments += heap_count(ranges, offset, segments, count);
	if (ranges->segments > GCL_RANGES_SEGMENTS_MAX) {
		ranges->segments -= heap_clear(ranges, offset, length);
		return -ENOSPC;
	}
	return 0;
}

int gcl_ranges_add(struct gcl_ranges *ranges, uint64_t offset, uint64_t length,
		   const struct virtio_cl_segment *segments, uint32_t count)
{
	int window;

	if (in_heap(ranges, offset, length))
		return heap_add(ranges, offset, length, segments, count);
	window = window_of(offset, length);
	if (window < 0 || offset != window_end(ranges, window))
		return -EINVAL;
	if (count > GCL_RANGES_SEGMENTS_MAX - ranges->segments)
		return -ENOSPC;
	ranges->windows[window].length += length;
	ranges->windows[window].segments += count;
	ranges->segments += count;
	return 0;
}

void gcl_ranges_undo(struct gcl_ranges *ranges, uint64_t offset, uint64_t length, uint32_t count)
{
	int window = window_of(offset, length);

	if (in_heap(ranges, offset, length)) {
		ranges->segments -= heap_clear(ranges, offset, length);
		return;
	}
	/* If something else has become of the window meanwhile, it goes as a whole or not at all.
	 */
	if (window < 0 || window_end(ranges, window) != offset + length ||
	    ranges->windows[window].segments < count)
		return;
	ranges->windows[window].length -= length;
	ranges->windows[window].segments -= count;
	ranges->segments -= count;
}

int gcl_ranges_remove(struct gcl_ranges *ranges, uint64_t offset, uint64_t length)
{
	int window;

	if (in_heap(ranges, offset, length)) {
		if (!heap_has(ranges, offset, length, true))
			return -EINVAL;
		ranges->segments -= heap_clear(ranges, offset, length);
		return 0;
	}
	window = window_of(offset, length);
	if (window < 0 || offset != window_start(window) ||
	    ranges->windows[window].length != length)
		return -EINVAL;
	ranges->segments -= ranges->windows[window].segments;
	ranges->windows[window].length = 0;
	ranges->windows[window].segments = 0;
	return 0;
}
