/*
 * Which blocks of a buffer have to be copied: what has changed is found where the contents are.
 *
 * Memory of this host's is mapped, and hashed there; of what is elsewhere the device hashes blocks,
 * and the hashes are read. What neither can do has to be read as a whole.
 *
 * A program may go on writing meanwhile. A block that is taken for the same held, byte by byte as
 * they were looked at, what the other side holds; what was written behind that is a later
 * command's, for which the object is copied again. But what the other side is said to hold has to
 * be the hash of the very bytes that it got: so these are taken out of the mapped memory first,
 * unless nothing writes there.
 */
#include <stdlib.h>

#include "copying.h"

/* An estimate looks at so many blocks of a buffer, if it has them, and at each so many-th of a
 * large one. */
#define SAMPLE_MIN  64u
#define SAMPLE_STEP 8u

static char *map(cl_command_queue queue, cl_mem mem, cl_map_flags flags, size_t size)
{
	cl_int status = CL_SUCCESS;

	return clEnqueueMapBuffer(queue, mem, CL_TRUE, flags, 0, size, 0, NULL, NULL, &status);
}

static cl_int unmap(cl_command_queue queue, cl_mem mem, char *at)
{
	cl_event event = NULL;
	cl_int status = clEnqueueUnmapMemObject(queue, mem, at, 0, NULL, &event);

	if (status == CL_SUCCESS)
		status = clWaitForEvents(1, &event);
	if (event)
		clReleaseEvent(event);
	return status;
}

/* Hashes that can't be had don't matter: then all is read. */
static void device_ask(struct gcl_copying *copying)
{
	const struct gcl_copy *copy = copying->copy;
	size_t count = copy->size / GCL_COPY_BLOCK;

	copying->found = calloc(count + 1, sizeof copying->found[0]);
	if (copying->found && gcl_hasher_run(copy->hasher, copy->from_queue, copy->from, count, 1,
					     copying->found) == CL_SUCCESS)
		return;
	free(steal_pointer(&copying->found));
}

void gcl_copy_look_begin(struct gcl_copying *copying)
{
	const struct gcl_copy *copy = copying->copy;

	if (copy->type != CL_MEM_OBJECT_BUFFER)
		return;
	if (copy->from_memory)
		copying->from = map(copy->from_queue, copy->from, CL_MAP_READ, copy->size);
	else if (copy->hasher && copy->sums && gcl_copy_sums_known(copy->sums))
		device_ask(copying);
	if (copy->to_memory && !copying->from)
		copying->to = map(copy->to_queue, copy->to, CL_MAP_WRITE, copy->size);
}

cl_int gcl_copy_look_end(struct gcl_copying *copying)
{
	const struct gcl_copy *copy = copying->copy;
	cl_int status = CL_SUCCESS;

	if (copying->from)
		status = unmap(copy->from_queue, copy->from, copying->from);
	if (copying->to)
		status = unmap(copy->to_queue, copy->to, copying->to);
	free(copying->found);
	return status;
}

static bool wanted(const struct gcl_copying *copying, const struct gcl_copy_box *block)
{
	struct gcl_copy_sums *sums = copying->copy->sums;
	size_t index = copying->block;
	struct gcl_copy_hash hash;

	if (copying->from && copying->copy->still)
		return gcl_copy_sums_changed(sums, index, copying->from + block->offset,
					     block->size);
	if (!gcl_copy_sums_has(sums, index))
		return true;
	if (copying->from)
		hash = gcl_copy_hash(copying->from + block->offset, block->size);
	else if (copying->found && block->size == GCL_COPY_BLOCK)
		hash = copying->found[index];
	else
		return true;
	return gcl_copy_sums_differ(sums, index, &hash);
}

bool gcl_copy_block_next(const struct gcl_copying *copying, const struct gcl_copy_box *chunk,
			 size_t index, struct gcl_copy_box *block)
{
	if (index >= copying->blocks.count)
		return false;
	gcl_copy_grid_box(&copying->blocks, index, block);
	return block->offset < chunk->offset + chunk->size;
}

bool gcl_copy_look(struct gcl_copying *copying, struct gcl_slot *slot)
{
	struct gcl_copy_box block;
	bool any = false;

	if (!copying->copy->sums)
		return true;
	slot->block = copying->block;
	for (; gcl_copy_block_next(copying, &slot->box, copying->block, &block); copying->block++) {
		bool *it = &slot->wanted[copying->block - slot->block];

		*it = wanted(copying, &block);
		any |= *it;
	}
	return any;
}

/* ------------------------------------------------------------ estimates */

static bool sample_map(const struct gcl_copy *copy, size_t count, size_t step,
		       struct gcl_copy_hash *hashes)
{
	char *from = map(copy->from_queue, copy->from, CL_MAP_READ, copy->size);

	if (!from)
		return false;
	for (size_t i = 0; i < count; i++)
		hashes[i] = gcl_copy_hash(from + i * step * GCL_COPY_BLOCK, GCL_COPY_BLOCK);
	return unmap(copy->from_queue, copy->from, from) == CL_SUCCESS;
}

static bool sample(const struct gcl_copy *copy, size_t count, size_t step,
		   struct gcl_copy_hash *hashes)
{
	if (copy->from_memory)
		return sample_map(copy, count, step, hashes);
	return copy->hasher && gcl_hasher_run(copy->hasher, copy->from_queue, copy->from, count,
					      step, hashes) == CL_SUCCESS;
}

bool gcl_copy_estimate(const struct gcl_copy *copy, uint64_t *changed)
{
	size_t blocks = copy->size / GCL_COPY_BLOCK, count, step;
	_cleanup_free_ struct gcl_copy_hash *hashes = NULL;

	*changed = 0;
	if (copy->type != CL_MEM_OBJECT_BUFFER || !copy->sums || !gcl_copy_sums_known(copy->sums))
		return false;
	/* A small one that was written is taken for another one. */
	if (!blocks) {
		*changed = copy->size;
		return true;
	}
	step = GCL_MIN(GCL_MAX(blocks / SAMPLE_MIN, 1u), SAMPLE_STEP);
	count = (blocks + step - 1) / step;
	hashes = calloc(count + 1, sizeof *hashes);
	if (!hashes || !sample(copy, count, step, hashes))
		return false;
	for (size_t i = 0; i < count; i++)
		if (gcl_copy_sums_differ(copy->sums, i * step, &hashes[i]))
			*changed += step * GCL_COPY_BLOCK;
	return true;
}
