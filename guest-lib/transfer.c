/*
 * Commands on the bytes of buffers: read, write, copy, fill; and migration.
 */
#include "memory.h"

#include <stdlib.h>

#define PATTERN_MAX 128u

cl_int gcl_buffer_check(cl_command_queue queue, cl_mem buffer)
{
	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	REFUSE_IF(!gcl_mem_is_buffer(buffer), CL_INVALID_MEM_OBJECT);
	REFUSE_IF(buffer->context != queue->context, CL_INVALID_CONTEXT);
	return CL_SUCCESS;
}

cl_int gcl_transfer_check(cl_command_queue queue, cl_mem mem, cl_mem_flags refused, cl_uint count,
			  const cl_event *list)
{
	TRY(gcl_waits_check(queue->context, count, list));
	TRY(gcl_mem_use(queue, mem));
	REFUSE_IF(mem->flags & refused, CL_INVALID_OPERATION);
	REFUSE_IF(queue->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	return CL_SUCCESS;
}

/* Nothing to read or write has been an error up to 2.0. */
static bool size_valid(const struct _cl_command_queue *queue, size_t size)
{
	return size || queue->device->api >= CL_MAKE_VERSION(2, 1, 0);
}

static cl_int transfer_nothing(cl_command_queue queue, cl_command_type type, cl_bool blocking,
			       cl_uint count, const cl_event *list, cl_event *event)
{
	TRY(gcl_enqueue_simple(queue, GCL_MARKER, type, count, list, event));
	return blocking ? gcl_queue_finish(queue) : CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueReadBuffer(cl_command_queue queue, cl_mem buffer,
						    cl_bool blocking, size_t offset, size_t size,
						    void *ptr, cl_uint count, const cl_event *list,
						    cl_event *event)
{
	TRY(gcl_buffer_check(queue, buffer));
	REFUSE_IF(!size_valid(queue, size), CL_INVALID_VALUE);
	REFUSE_IF(!gcl_inside(offset, size, buffer->size), CL_INVALID_VALUE);
	REFUSE_IF(!ptr, CL_INVALID_VALUE);
	TRY(gcl_transfer_check(queue, buffer, CL_MEM_HOST_WRITE_ONLY | CL_MEM_HOST_NO_ACCESS, count,
			       list));
	if (size == 0)
		return transfer_nothing(queue, CL_COMMAND_READ_BUFFER, blocking, count, list,
					event);
	return gcl_transfer_run(&(struct gcl_transfer){
		.queue = queue,
		.mem = buffer,
		.type = CL_COMMAND_READ_BUFFER,
		.shape = GCL_SHAPE_LINEAR,
		.blocking = blocking,
		.origin = {offset},
		.region = {size, 1, 1},
		.host = {.bytes = ptr},
		.wait_count = count,
		.waits = list,
		.event = event,
	});
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueWriteBuffer(cl_command_queue queue, cl_mem buffer,
						     cl_bool blocking, size_t offset, size_t size,
						     const void *ptr, cl_uint count,
						     const cl_event *list, cl_event *event)
{
	TRY(gcl_buffer_check(queue, buffer));
	REFUSE_IF(!size_valid(queue, size), CL_INVALID_VALUE);
	REFUSE_IF(!gcl_inside(offset, size, buffer->size), CL_INVALID_VALUE);
	REFUSE_IF(!ptr, CL_INVALID_VALUE);
	TRY(gcl_transfer_check(queue, buffer, CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS, count,
			       list));
	if (size == 0)
		return transfer_nothing(queue, CL_COMMAND_WRITE_BUFFER, blocking, count, list,
					event);
	return gcl_transfer_run(&(struct gcl_transfer){
		.queue = queue,
		.mem = buffer,
		.type = CL_COMMAND_WRITE_BUFFER,
		.shape = GCL_SHAPE_LINEAR,
		.write = true,
		.blocking = blocking,
		.origin = {offset},
		.region = {size, 1, 1},
		.host = {.bytes = (uint8_t *)ptr},
		.wait_count = count,
		.waits = list,
		.event = event,
	});
}

/* ------------------------------------------------------------ copy */

/* The object whose bytes they are, and where in it. */
static cl_mem root_of(cl_mem mem, size_t *offset)
{
	for (; mem->parent; mem = mem->parent)
		*offset += mem->origin;
	return mem;
}

static bool ranges_overlap(cl_mem src, size_t src_offset, cl_mem dst, size_t dst_offset,
			   size_t size)
{
	if (root_of(src, &src_offset) != root_of(dst, &dst_offset))
		return false;
	return src_offset < dst_offset + size && dst_offset < src_offset + size;
}

static cl_int copy_post(cl_command_queue queue, const Gcl__BufferCopy *copy, cl_uint count,
			const cl_event *list, cl_event *event)
{
	Gcl__BufferCopy message = *copy;
	struct gcl_enqueue enqueue;

	TRY(gcl_enqueue_begin(&enqueue, queue, CL_COMMAND_COPY_BUFFER, count, list, event != NULL));
	message.command = &enqueue.command;
	return gcl_enqueue_post(&enqueue, GCL_BUFFER_COPY, &message.base, 0, 0, event);
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueCopyBuffer(cl_command_queue queue, cl_mem src, cl_mem dst,
						    size_t src_offset, size_t dst_offset,
						    size_t size, cl_uint count,
						    const cl_event *list, cl_event *event)
{
	Gcl__BufferCopy message = GCL__BUFFER_COPY__INIT;
	bool locked = false;

	TRY(gcl_buffer_check(queue, src));
	TRY(gcl_buffer_check(queue, dst));
	REFUSE_IF(size == 0, CL_INVALID_VALUE);
	REFUSE_IF(!gcl_inside(src_offset, size, src->size), CL_INVALID_VALUE);
	REFUSE_IF(!gcl_inside(dst_offset, size, dst->size), CL_INVALID_VALUE);
	TRY(gcl_transfer_check(queue, src, 0, count, list));
	TRY(gcl_mem_use(queue, dst));
	REFUSE_IF(ranges_overlap(src, src_offset, dst, dst_offset, size), CL_MEM_COPY_OVERLAP);
	if (src->resident && dst->resident && size <= GCL_DIRECT_COPY_MAX)
		TRY(gcl_direct_lock(queue, false, count, list, event, &locked));
	if (locked) {
		memcpy(dst->heap + dst_offset, src->heap + src_offset, size);
		return gcl_direct_unlock(queue, CL_COMMAND_COPY_BUFFER, event);
	}
	TRY(gcl_mem_tell(src));
	TRY(gcl_mem_tell(dst));
	message.src = src->base.id;
	message.dst = dst->base.id;
	message.src_offset = src_offset;
	message.dst_offset = dst_offset;
	message.size = size;
	return copy_post(queue, &message, count, list, event);
}

/* ------------------------------------------------------------ fill */

static void fill(uint8_t *memory, size_t size, const void *pattern, size_t pattern_size)
{
	size_t done = pattern_size;

	if (size == 0)
		return;
	memcpy(memory, pattern, pattern_size);
	for (; done < size; done += GCL_MIN(done, size - done))
		memcpy(memory + done, memory, GCL_MIN(done, size - done));
}

static cl_int fill_post(cl_command_queue queue, cl_mem buffer, const void *pattern,
			size_t pattern_size, size_t offset, size_t size, cl_uint count,
			const cl_event *list, cl_event *event)
{
	Gcl__BufferFill message = GCL__BUFFER_FILL__INIT;
	struct gcl_enqueue enqueue;

	TRY(gcl_mem_tell(buffer));
	TRY(gcl_enqueue_begin(&enqueue, queue, CL_COMMAND_FILL_BUFFER, count, list, event != NULL));
	message.command = &enqueue.command;
	message.mem = buffer->base.id;
	message.pattern.data = (uint8_t *)pattern;
	message.pattern.len = pattern_size;
	message.offset = offset;
	message.size = size;
	return gcl_enqueue_post(&enqueue, GCL_BUFFER_FILL, &message.base, 0, 0, event);
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueFillBuffer(cl_command_queue queue, cl_mem buffer,
						    const void *pattern, size_t pattern_size,
						    size_t offset, size_t size, cl_uint count,
						    const cl_event *list, cl_event *event)
{
	bool locked = false;

	TRY(gcl_buffer_check(queue, buffer));
	REFUSE_IF(!gcl_inside(offset, size, buffer->size), CL_INVALID_VALUE);
	REFUSE_IF(!pattern || pattern_size == 0 || pattern_size > PATTERN_MAX ||
			  pattern_size & (pattern_size - 1),
		  CL_INVALID_VALUE);
	REFUSE_IF(offset % pattern_size || size % pattern_size, CL_INVALID_VALUE);
	TRY(gcl_transfer_check(queue, buffer, 0, count, list));
	if (buffer->resident && size <= GCL_DIRECT_FILL_MAX)
		TRY(gcl_direct_lock(queue, false, count, list, event, &locked));
	if (locked) {
		fill(buffer->heap + offset, size, pattern, pattern_size);
		return gcl_direct_unlock(queue, CL_COMMAND_FILL_BUFFER, event);
	}
	if (size == 0)
		return gcl_order(queue, buffer, CL_COMMAND_FILL_BUFFER, false, count, list, NULL,
				 event);
	return fill_post(queue, buffer, pattern, pattern_size, offset, size, count, list, event);
}

/* ------------------------------------------------------------ migration */

CL_API_ENTRY cl_int CL_API_CALL clEnqueueMigrateMemObjects(cl_command_queue queue,
							   cl_uint mem_count, const cl_mem *mems,
							   cl_mem_migration_flags flags,
							   cl_uint count, const cl_event *list,
							   cl_event *event)
{
	const cl_mem_migration_flags known =
		CL_MIGRATE_MEM_OBJECT_HOST | CL_MIGRATE_MEM_OBJECT_CONTENT_UNDEFINED;
	_cleanup_free_ uint64_t *ids = NULL;
	Gcl__Migrate message = GCL__MIGRATE__INIT;
	struct gcl_enqueue enqueue;

	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	REFUSE_IF(mem_count == 0 || !mems, CL_INVALID_VALUE);
	REFUSE_IF(flags & ~known, CL_INVALID_VALUE);
	ids = malloc(mem_count * sizeof *ids);
	REFUSE_IF(!ids, CL_OUT_OF_HOST_MEMORY);
	for (cl_uint i = 0; i < mem_count; i++) {
		REFUSE_IF(!gcl_valid(mems[i], GCL_KIND_MEM), CL_INVALID_MEM_OBJECT);
		REFUSE_IF(mems[i]->context != queue->context, CL_INVALID_CONTEXT);
		REFUSE_IF(mems[i]->base.failed, mems[i]->base.failed);
		ids[i] = mems[i]->base.id;
	}
	TRY(gcl_waits_check(queue->context, count, list));
	for (cl_uint i = 0; i < mem_count; i++)
		TRY(gcl_mem_tell(mems[i]));
	TRY(gcl_enqueue_begin(&enqueue, queue, CL_COMMAND_MIGRATE_MEM_OBJECTS, count, list,
			      event != NULL));
	message.command = &enqueue.command;
	message.mems = ids;
	message.n_mems = mem_count;
	message.flags = flags;
	return gcl_enqueue_post(&enqueue, GCL_MIGRATE, &message.base, 0, 0, event);
}
