/* SPDX-License-Identifier: MIT */
/*
 * A virtio session's address space in the worker: what of it is mapped guest memory, and where.
 *
 * One thread maps and unmaps, others ask at the same time. Whoever asked for a range that is
 * unmapped afterwards touches memory that isn't there and ends the worker: the guest has done that
 * to itself.
 */
#ifndef GCL_VIRTIO_SPACE_H
#define GCL_VIRTIO_SPACE_H

#include <stdatomic.h>
#include <stdint.h>

#include "worker-link.h"

#define GCL_SPACE_CHUNKS (VIRTIO_CL_HEAP_MAX / VIRTIO_CL_CHUNK)

struct gcl_space {
	uint8_t *base;	    /* VIRTIO_CL_SPACE_END bytes */
	uint64_t heap_size; /* of which these are for the heap */
	/* Heap memory that is there, a bit for each chunk. */
	_Atomic uint64_t chunks[GCL_SPACE_CHUNKS / 64];
	/* Of each window: first mapped page << 32 | pages; 0: free. */
	_Atomic uint64_t windows[VIRTIO_CL_WINDOWS];
};

/* The guest memory that a message of the broker's names. */
struct gcl_space_memory {
	const struct gcl_link_segment *segments;
	uint32_t segment_count;
	const int *fds;
	unsigned fd_count;
};

/** gcl_space_init() - reserve the address space. Return: 0 or -errno. */
int gcl_space_init(struct gcl_space *space, uint64_t heap_size);
void gcl_space_fini(struct gcl_space *space);

/**
 * gcl_space_map() - map guest memory at @offset, where nothing is mapped yet.
 *
 * Return: 0, -EINVAL (a range or segment that breaks the rules), -EEXIST, or what mmap() says;
 * nothing is mapped then.
 */
int gcl_space_map(struct gcl_space *space, uint64_t offset, uint64_t length,
		  const struct gcl_space_memory *memory);

/** gcl_space_unmap() - chunks of the heap, mapped or not, or exactly what was mapped in a window.
 * Return: 0, -EINVAL, or what mmap() says. */
int gcl_space_unmap(struct gcl_space *space, uint64_t offset, uint64_t length);

/** gcl_space_ptr() - address of a range, or NULL when it isn't wholly mapped. */
void *gcl_space_ptr(const struct gcl_space *space, uint64_t offset, uint64_t size);

/** gcl_space_rings() - map rings of @size bytes, anywhere. Return: 0 or -errno as above. */
int gcl_space_rings(uint64_t size, const struct gcl_space_memory *memory, void **rings);

#endif
