/*
 * Hashes blocks of buffers where their contents are: on a device, of which no more than the hashes
 * has to be read.
 *
 * They are XXH3's 128 bits, so that it makes no difference who hashes a block.
 */
#ifndef GCL_HASHER_H
#define GCL_HASHER_H

#include "copy-box.h"

/** gcl_hasher_create() - of buffers of @context, on @device; compiles, which may take long. Return:
 * NULL: the device can't, or there is no memory. */
struct gcl_hasher *gcl_hasher_create(cl_context context, cl_device_id device);

/* References; from any thread. Both accept NULL. */
struct gcl_hasher *gcl_hasher_get(struct gcl_hasher *hasher);
void gcl_hasher_put(struct gcl_hasher *hasher);

/**
 * gcl_hasher_run() - hash @count blocks of GCL_COPY_BLOCK bytes of @mem, the first one and each
 * @step-th after it, into @hashes; waits. One thread at a time.
 * @queue: of the device; in-order
 */
cl_int gcl_hasher_run(struct gcl_hasher *hasher, cl_command_queue queue, cl_mem mem, size_t count,
		      size_t step, struct gcl_copy_hash *hashes);

#endif
