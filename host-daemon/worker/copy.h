/*
 * Copies the contents of memory objects from one side to another: of any two runtimes, of which one
 * may be at the other end of a network.
 *
 * It knows nothing of sessions, tables or moves: the caller sees to it that nothing writes to
 * either object meanwhile whose bytes matter, and that host access flags allow what is done here.
 */
#ifndef GCL_COPY_H
#define GCL_COPY_H

#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS

#include <CL/cl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

/* A status that no OpenCL call returns: *cancel was seen. */
#define GCL_COPY_CANCELLED (-9001)

/* What one thread copies through: bounce buffers and the pace. */
struct gcl_copy_room;

/* Hashes of an object's contents, block by block. */
struct gcl_copy_sums;

/* What hashes blocks on a device (hasher.h). */
struct gcl_hasher;

/* Contents of one memory object on their way from one side to another. */
struct gcl_copy {
	struct gcl_list link;
	cl_mem from, to;		       /* lent; the caller has retained them */
	cl_command_queue from_queue, to_queue; /* in-order, for nothing but copies; lent */
	cl_mem_object_type type;
	size_t size;		    /* of a buffer, bytes */
	size_t region[3];	    /* of an image: pixels, rows, slices or layers as
				       clEnqueueReadImage has them */
	size_t element_size;	    /* of an image */
	struct gcl_copy_sums *sums; /* what @to held when it was last copied, and will hold; lent.
				       NULL: everything goes */
	struct gcl_hasher *hasher;  /* of from's context and queue; a reference of the caller's.
				       Of a buffer only blocks are read that it finds changed.
				       NULL: all are */
	bool from_memory;	    /* it is memory of this host's, which is mapped */
	bool to_memory;		    /* the same */
	bool still;		    /* nothing writes to @from meanwhile */
	bool from_far;		    /* the pace is that of reads, not of writes */
	const _Atomic bool *cancel; /* looked at between chunks; may be NULL */
	_Atomic uint64_t *progress; /* raised by bytes that went, as they arrive; may be NULL */
	/* results */
	cl_int status; /* CL_SUCCESS, the first failure, GCL_COPY_CANCELLED */
	uint64_t sent; /* bytes that went */
	uint64_t same; /* bytes that were there already */
};

/** gcl_copy_run() - blocks until all of it is there, or it failed; then no command of it is under
 * way any more. Any thread, one per copy and room. */
void gcl_copy_run(struct gcl_copy *copy, struct gcl_copy_room *room);

/** gcl_copy_estimate() - about how many bytes a copy would find changed, from a sample; waits.
 * Return: false: it can't be told. */
bool gcl_copy_estimate(const struct gcl_copy *copy, uint64_t *changed);

/**
 * gcl_copy_room_create() - room for copies of one thread.
 * @chunk: bytes that are read at once; 0: as measured to be best
 * @count: chunks that are under way at once; 0: the same
 *
 * Return: NULL without memory.
 */
struct gcl_copy_room *gcl_copy_room_create(size_t chunk, unsigned count);
void gcl_copy_room_destroy(struct gcl_copy_room *room); /* accepts NULL */

/** gcl_copy_room_pace() - from now on all copies through @room make no more than @rate bytes/s;
 * 0: any. From any thread. */
void gcl_copy_room_pace(struct gcl_copy_room *room, uint64_t rate);

/** gcl_copy_sums_create() - of an object of @size bytes (an image's without padding), of which
 * nothing is known yet. Return: NULL without memory: copies can do without. */
struct gcl_copy_sums *gcl_copy_sums_create(size_t size);
void gcl_copy_sums_destroy(struct gcl_copy_sums *sums); /* accepts NULL */

/** gcl_copy_sums_forget() - something else has written to the object on that side. */
void gcl_copy_sums_forget(struct gcl_copy_sums *sums); /* accepts NULL */

#endif
