/* SPDX-License-Identifier: MIT */
/*
 * Which parts of a session's address space have memory: what a guest may add and remove.
 *
 * The heap comes and goes in chunks; a window is filled from its beginning to its end, in as many
 * steps as that takes, and removed as a whole. The number of segments is bounded, since each may be
 * a mapping of its own in the worker.
 */
#ifndef GCL_DEVICE_RANGES_H
#define GCL_DEVICE_RANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "uapi/virtio_cl.h"

/* Segments mapped in one session, at most: half of what Linux lets a process map by default. */
#define GCL_RANGES_SEGMENTS_MAX 32768u

struct gcl_ranges {
	uint64_t heap_size;
	uint16_t *chunks; /* segments in each chunk of the heap; 0: no memory */
	struct {
		uint64_t length; /* from its start on; 0: no memory */
		uint32_t segments;
	} windows[VIRTIO_CL_WINDOWS];
	uint32_t segments;
};

/** gcl_ranges_init() - of a heap of @heap_size bytes, which is valid. Return: 0 or -ENOMEM. */
int gcl_ranges_init(struct gcl_ranges *ranges, uint64_t heap_size);
void gcl_ranges_fini(struct gcl_ranges *ranges);

/**
 * gcl_ranges_add() - note that memory is added.
 * @lengths: of the segments that make up @length; all multiples of VIRTIO_CL_PAGE
 *
 * Return: 0, -EINVAL for a range that is none or has memory already, -ENOSPC for too many segments.
 */
int gcl_ranges_add(struct gcl_ranges *ranges, uint64_t offset, uint64_t length,
		   const struct virtio_cl_segment *segments, uint32_t count);

/** gcl_ranges_undo() - what was added last has not become memory. */
void gcl_ranges_undo(struct gcl_ranges *ranges, uint64_t offset, uint64_t length, uint32_t count);

/** gcl_ranges_remove() - note that memory is removed. Return: 0, or -EINVAL if it is not there. */
int gcl_ranges_remove(struct gcl_ranges *ranges, uint64_t offset, uint64_t length);

#endif
