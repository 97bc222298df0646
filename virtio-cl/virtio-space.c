// SPDX-License-Identifier: MIT
/*
 * A virtio session's address space in the worker.
 *
 * Theory of operation: all of it is reserved from the start, without access. Segments of guest
 * memory are mapped into it in place, and what is unmapped is reserved again, so that nothing else
 * can come to lie there. What may be touched is in a bitmap of the heap's chunks and in a word for
 * each window.
 *
 * Must not: map a range that the broker's message doesn't account for to the byte.
 */
#include "virtio-space.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/log.h"
#include "shm.h"

#define RESERVE_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

/* ------------------------------------------------------------ ranges */

static bool whole_pages(uint64_t offset, uint64_t length)
{
	return length && (offset | length) % VIRTIO_CL_PAGE == 0;
}

static bool heap_range(const struct gcl_space *space, uint64_t offset, uint64_t length)
{
	return (offset | length) % VIRTIO_CL_CHUNK == 0 && length && offset < space->heap_size &&
	       length <= space->heap_size - offset;
}

static bool window_range(uint64_t offset, uint64_t length)
{
	return whole_pages(offset, length) && offset >= VIRTIO_CL_WINDOW_BASE &&
	       offset < VIRTIO_CL_SPACE_END &&
	       length <= VIRTIO_CL_WINDOW_SIZE - offset % VIRTIO_CL_WINDOW_SIZE;
}

static unsigned window_of(uint64_t offset)
{
	return (unsigned)((offset - VIRTIO_CL_WINDOW_BASE) / VIRTIO_CL_WINDOW_SIZE);
}

static uint64_t window_word(uint64_t offset, uint64_t length)
{
	return (offset % VIRTIO_CL_WINDOW_SIZE / VIRTIO_CL_PAGE) << 32 | length / VIRTIO_CL_PAGE;
}

/* The bits of word @i that stand for the chunks from @first to @last. */
static uint64_t chunk_mask(uint64_t i, uint64_t first, uint64_t last)
{
	uint64_t mask = UINT64_MAX;

	if (i == first / 64)
		mask &= UINT64_MAX << first % 64;
	if (i == last / 64)
		mask &= UINT64_MAX >> (63 - last % 64);
	return mask;
}

/* Are all (@all) or any of the chunks from @first to @last mapped? */
static bool chunks_mapped(const struct gcl_space *space, uint64_t first, uint64_t last, bool all)
{
	for (uint64_t i = first / 64; i <= last / 64; i++) {
		uint64_t mask = chunk_mask(i, first, last);
		uint64_t set = atomic_load_explicit(&space->chunks[i], memory_order_acquire) & mask;

		if (all ? set != mask : set != 0)
			return !all;
	}
	return all;
}

static void chunks_set(struct gcl_space *space, uint64_t first, uint64_t last, bool mapped)
{
	for (uint64_t i = first / 64; i <= last / 64; i++) {
		uint64_t mask = chunk_mask(i, first, last);

		if (mapped)
			atomic_fetch_or_explicit(&space->chunks[i], mask, memory_order_release);
		else
			atomic_fetch_and_explicit(&space->chunks[i], ~mask, memory_order_release);
	}
}

static void *window_ptr(const struct gcl_space *space, uint64_t offset, uint64_t size)
{
	uint64_t word, begin, length, inside;

	if (offset >= VIRTIO_CL_SPACE_END)
		return NULL;
	word = atomic_load_explicit(&space->windows[window_of(offset)], memory_order_acquire);
	begin = (word >> 32) * VIRTIO_CL_PAGE;
	length = (word & UINT32_MAX) * VIRTIO_CL_PAGE;
	inside = offset % VIRTIO_CL_WINDOW_SIZE;
	if (inside < begin || inside - begin >= length || size > length - (inside - begin))
		return NULL;
	return space->base + offset;
}

void *gcl_space_ptr(const struct gcl_space *space, uint64_t offset, uint64_t size)
{
	uint64_t last;

	if (offset >= VIRTIO_CL_WINDOW_BASE)
		return window_ptr(space, offset, size);
	if (offset >= space->heap_size || size > space->heap_size - offset)
		return NULL;
	last = size ? offset + size - 1 : offset;
	if (!chunks_mapped(space, offset / VIRTIO_CL_CHUNK, last / VIRTIO_CL_CHUNK, true))
		return NULL;
	return space->base + offset;
}

/* ------------------------------------------------------------ mapping */

/* Does it lie inside its file? Beyond the end an access would raise SIGBUS. */
static bool segment_inside(const struct gcl_link_segment *segment, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	if (!S_ISREG(st.st_mode))
		return true;
	return segment->offset < (uint64_t)st.st_size &&
	       segment->length <= (uint64_t)st.st_size - segment->offset;
}

static bool memory_valid(const struct gcl_space_memory *memory, uint64_t length)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < memory->segment_count; i++) {
		const struct gcl_link_segment *segment = &memory->segments[i];

		if (segment->fd >= memory->fd_count ||
		    !whole_pages(segment->offset, segment->length) ||
		    segment->length > length - sum ||
		    !segment_inside(segment, memory->fds[segment->fd]))
			return false;
		sum += segment->length;
	}
	return sum == length;
}

/* Puts a mapping in the place of what is at @address. */
static int place(uint8_t *address, uint64_t length, int prot, int flags, int fd, uint64_t offset)
{
	const void *at =
		mmap(address, length, prot, flags | MAP_FIXED | MAP_NORESERVE, fd, (off_t)offset);

	return at == MAP_FAILED ? -errno : 0;
}

static int reserve(uint8_t *address, uint64_t length)
{
	return place(address, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* Maps valid @memory over what is reserved at @address, or leaves it reserved. */
static int segments_map(uint8_t *address, const struct gcl_space_memory *memory)
{
	uint64_t done = 0;

	for (uint32_t i = 0; i < memory->segment_count; i++) {
		const struct gcl_link_segment *segment = &memory->segments[i];
		int err = place(address + done, segment->length, PROT_READ | PROT_WRITE, MAP_SHARED,
				memory->fds[segment->fd], segment->offset);

		if (err) {
			gcl_log_peer(mem, "cannot map guest memory (segment %u of %u): errno %d", i,
				     memory->segment_count, -err);
			if (done)
				reserve(address, done);
			return err;
		}
		done += segment->length;
	}
	gcl_shm_heap_advise(address, done);
	return 0;
}

/* What a window's word becomes with the range at @offset, or 0: a window is filled from its
 * beginning to its end, by as many messages as that takes. */
static uint64_t window_more(const struct gcl_space *space, uint64_t offset, uint64_t length)
{
	uint64_t word = atomic_load(&space->windows[window_of(offset)]);
	uint64_t end = (word >> 32) + (word & UINT32_MAX);

	if (!word)
		return window_word(offset, length);
	if (end != offset % VIRTIO_CL_WINDOW_SIZE / VIRTIO_CL_PAGE)
		return 0;
	return word + length / VIRTIO_CL_PAGE;
}

int gcl_space_map(struct gcl_space *space, uint64_t offset, uint64_t length,
		  const struct gcl_space_memory *memory)
{
	uint64_t first = offset / VIRTIO_CL_CHUNK;
	uint64_t last = first + length / VIRTIO_CL_CHUNK - 1;
	bool heap = heap_range(space, offset, length);
	int err;

	if ((!heap && !window_range(offset, length)) || !memory_valid(memory, length))
		return -EINVAL;
	if (heap ? chunks_mapped(space, first, last, false) : !window_more(space, offset, length))
		return -EEXIST;
	err = segments_map(space->base + offset, memory);
	if (err)
		return err;
	if (heap)
		chunks_set(space, first, last, true);
	else
		atomic_store_explicit(&space->windows[window_of(offset)],
				      window_more(space, offset, length), memory_order_release);
	return 0;
}

int gcl_space_unmap(struct gcl_space *space, uint64_t offset, uint64_t length)
{
	if (heap_range(space, offset, length)) {
		uint64_t first = offset / VIRTIO_CL_CHUNK;

		chunks_set(space, first, first + length / VIRTIO_CL_CHUNK - 1, false);
	} else if (window_range(offset, length) &&
		   atomic_load(&space->windows[window_of(offset)]) == window_word(offset, length)) {
		atomic_store_explicit(&space->windows[window_of(offset)], 0, memory_order_release);
	} else {
		return -EINVAL;
	}
	return reserve(space->base + offset, length);
}

int gcl_space_rings(uint64_t size, const struct gcl_space_memory *memory, void **rings)
{
	void *address;
	int err;

	if (!whole_pages(0, size) || !memory_valid(memory, size))
		return -EINVAL;
	address = mmap(NULL, size, PROT_NONE, RESERVE_FLAGS, -1, 0);
	if (address == MAP_FAILED)
		return -errno;
	err = segments_map(address, memory);
	if (err)
		munmap(address, size);
	else
		*rings = address;
	return err;
}

int gcl_space_init(struct gcl_space *space, uint64_t heap_size)
{
	void *base = mmap(NULL, VIRTIO_CL_SPACE_END, PROT_NONE, RESERVE_FLAGS, -1, 0);

	if (base == MAP_FAILED)
		return -errno;
	space->base = base;
	space->heap_size = heap_size;
	return 0;
}

void gcl_space_fini(struct gcl_space *space)
{
	if (space->base)
		munmap(space->base, VIRTIO_CL_SPACE_END);
}
