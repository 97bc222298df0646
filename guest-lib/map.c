/*
 * Mapping buffers and images into the program's memory, and back.
 *
 * What the program gets is the object's own memory where that is in the heap, the program's memory
 * of CL_MEM_USE_HOST_PTR, or else a block of the heap, which the mapping keeps until it is
 * unmapped. In the first case nothing moves, and the commands only keep their order. Mappings of
 * one object may overlap; each is an entry in its list, under the object's lock.
 */
#include "memory.h"

#include <stdlib.h>

#include "svm.h"

#define MAP_FLAGS (CL_MAP_READ | CL_MAP_WRITE | CL_MAP_WRITE_INVALIDATE_REGION)

/* One call to map or unmap. */
struct map {
	cl_command_queue queue;
	cl_mem mem;
	cl_command_type type;
	bool blocking;
	cl_uint count;
	const cl_event *list;
	cl_event *event;
};

static bool map_flags_valid(cl_map_flags flags)
{
	return !(flags & ~(cl_map_flags)MAP_FLAGS) &&
	       !(flags & CL_MAP_WRITE_INVALIDATE_REGION && flags & (CL_MAP_READ | CL_MAP_WRITE));
}

static bool map_writes(cl_map_flags flags)
{
	return flags & (CL_MAP_WRITE | CL_MAP_WRITE_INVALIDATE_REGION);
}

/* Flags of objects that can't be mapped so. */
static cl_mem_flags map_refused(cl_map_flags flags)
{
	cl_mem_flags refused = 0;

	if (flags & CL_MAP_READ)
		refused |= CL_MEM_HOST_WRITE_ONLY | CL_MEM_HOST_NO_ACCESS;
	if (map_writes(flags))
		refused |= CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS;
	return refused;
}

/* ------------------------------------------------------------ what moves */

/* The transfer between the mapped region and the object. */
static struct gcl_transfer mapping_transfer(const struct map *map,
					    const struct gcl_mapping *mapping, bool write)
{
	struct gcl_transfer transfer = {
		.queue = map->queue,
		.mem = map->mem,
		.type = map->type,
		.write = write,
		.blocking = map->blocking,
		.host = {mapping->ptr, mapping->row_pitch, mapping->slice_pitch},
		.wait_count = map->count,
		.waits = map->list,
		.event = map->event,
	};

	memcpy(transfer.origin, mapping->origin, sizeof transfer.origin);
	memcpy(transfer.region, mapping->region, sizeof transfer.region);
	if (map->mem->type == CL_MEM_OBJECT_BUFFER)
		return transfer;
	gcl_image_transfer(&transfer);
	if (transfer.shape == GCL_SHAPE_IMAGE && mapping->staging != GCL_HEAP_NONE) {
		transfer.wire_row = mapping->row_pitch;
		transfer.wire_slice = mapping->slice_pitch;
	}
	return transfer;
}

static cl_int order_run(const struct map *map, struct gcl_completion *completion)
{
	bool locked = false;
	cl_int status = gcl_direct_lock(map->queue, map->blocking, map->count, map->list,
					map->event, &locked);

	if (status == CL_SUCCESS && !locked)
		return gcl_order(map->queue, map->mem, map->type, map->blocking, map->count,
				 map->list, completion, map->event);
	if (completion)
		completion->fn(completion, status == CL_SUCCESS ? CL_COMPLETE : status);
	if (status != CL_SUCCESS)
		return status;
	return gcl_direct_unlock(map->queue, map->type, map->event);
}

/* Data on its way between @mapping's block and the object; the block is freed afterwards if it was
 * given up. */
static cl_int block_run(const struct map *map, const struct gcl_mapping *mapping, bool write,
			struct gcl_completion *completion)
{
	struct gcl_transfer transfer = mapping_transfer(map, mapping, write);

	return gcl_transfer_post(&transfer, mapping->staging, completion);
}

/* ------------------------------------------------------------ map */

/* The object whose bytes they are: a 1D image buffer shows its buffer's. */
static cl_mem contents_of(cl_mem mem)
{
	return mem->type == CL_MEM_OBJECT_IMAGE1D_BUFFER ? mem->parent : mem;
}

/* The program's memory that contents are mapped to, or NULL. Not that of shared virtual memory
 * which only has the address of something else here. */
static uint8_t *host_memory(const struct _cl_mem *contents)
{
	return contents->svm && !contents->svm_space && !contents->resident ? NULL
									    : contents->host_ptr;
}

/* Is the program's memory of CL_MEM_USE_HOST_PTR another than what the device works on? */
static bool has_copy(cl_mem mem)
{
	const struct _cl_mem *contents = contents_of(mem);
	const uint8_t *memory = host_memory(contents);

	return memory && memory != contents->heap;
}

/* Where the program finds the region. */
static cl_int mapping_place(cl_mem mem, struct gcl_mapping *mapping)
{
	cl_mem contents = contents_of(mem);
	struct gcl_box box = {NULL, mapping->row_pitch, mapping->slice_pitch};
	size_t at[3] = {mapping->origin[0], mapping->origin[1], mapping->origin[2]};
	uint8_t *memory;
	size_t size;

	if (mem->type != CL_MEM_OBJECT_BUFFER)
		at[0] *= mem->element_size;
	box.bytes = host_memory(contents);
	if (!box.bytes)
		box.bytes = contents->heap;
	if (box.bytes) {
		mapping->ptr = gcl_box_at(&box, at).bytes;
		return CL_SUCCESS;
	}
	gcl_box_end(NULL, mapping->region, mapping->row_pitch, mapping->slice_pitch, &size);
	mapping->staging = gcl_block_alloc(mem->base.session, size, &memory);
	REFUSE_IF(mapping->staging == GCL_HEAP_NONE, CL_MEM_OBJECT_ALLOCATION_FAILURE);
	mapping->ptr = memory;
	return CL_SUCCESS;
}

static cl_int mapping_fetch(const struct map *map, const struct gcl_mapping *mapping)
{
	struct gcl_session *session = map->mem->base.session;
	struct gcl_completion *completion;
	struct gcl_transfer transfer;

	if (mapping->flags & CL_MAP_WRITE_INVALIDATE_REGION)
		return order_run(map, NULL);
	if (mapping->staging != GCL_HEAP_NONE) {
		/* The program may release the object, and with it the block, before that. */
		completion = gcl_staged_completion(session, GCL_HEAP_NONE);
		REFUSE_IF(!completion, CL_OUT_OF_HOST_MEMORY);
		gcl_staged_keep(completion, map->mem);
		return block_run(map, mapping, false, completion);
	}
	if (!has_copy(map->mem))
		return order_run(map, NULL);
	transfer = mapping_transfer(map, mapping, false);
	return gcl_transfer_run(&transfer);
}

static void mapping_drop(cl_mem mem, struct gcl_mapping *mapping)
{
	gcl_block_free(mem->base.session, mapping->staging);
	free(mapping);
}

/* In the list before its command is posted, so that the program finds it whatever the event says.
 */
static void mapping_enter(cl_mem mem, struct gcl_mapping *mapping)
{
	pthread_mutex_lock(&mem->lock);
	gcl_list_append(&mem->mappings, &mapping->link);
	mem->map_count++;
	pthread_mutex_unlock(&mem->lock);
}

static void mapping_leave(cl_mem mem, struct gcl_mapping *mapping)
{
	pthread_mutex_lock(&mem->lock);
	gcl_list_remove(&mapping->link);
	mem->map_count--;
	pthread_mutex_unlock(&mem->lock);
}

/* @like describes the region. */
static cl_int map_run(const struct map *map, const struct gcl_mapping *like, void **ptr)
{
	struct gcl_mapping *mapping = malloc(sizeof *mapping);
	cl_int status;

	REFUSE_IF(!mapping, CL_OUT_OF_HOST_MEMORY);
	*mapping = *like;
	mapping->staging = GCL_HEAP_NONE;
	status = mapping_place(map->mem, mapping);
	if (status != CL_SUCCESS) {
		free(mapping);
		return status;
	}
	*ptr = mapping->ptr;
	mapping_enter(map->mem, mapping);
	status = mapping_fetch(map, mapping);
	if (status != CL_SUCCESS) {
		mapping_leave(map->mem, mapping);
		mapping_drop(map->mem, mapping);
	}
	return status;
}

static cl_int buffer_map(const struct map *map, cl_map_flags flags, size_t offset, size_t size,
			 void **ptr)
{
	struct gcl_mapping like = {.flags = flags,
				   .origin = {offset},
				   .region = {size, 1, 1},
				   .row_pitch = size,
				   .slice_pitch = size};

	TRY(gcl_buffer_check(map->queue, map->mem));
	REFUSE_IF(size == 0 || !gcl_inside(offset, size, map->mem->size), CL_INVALID_VALUE);
	REFUSE_IF(!map_flags_valid(flags), CL_INVALID_VALUE);
	TRY(gcl_transfer_check(map->queue, map->mem, map_refused(flags), map->count, map->list));
	return map_run(map, &like, ptr);
}

CL_API_ENTRY void *CL_API_CALL clEnqueueMapBuffer(cl_command_queue queue, cl_mem buffer,
						  cl_bool blocking, cl_map_flags flags,
						  size_t offset, size_t size, cl_uint count,
						  const cl_event *list, cl_event *event,
						  cl_int *errcode_ret)
{
	const struct map map = {queue, buffer, CL_COMMAND_MAP_BUFFER, blocking, count, list, event};
	void *ptr = NULL;
	cl_int status = buffer_map(&map, flags, offset, size, &ptr);

	gcl_set_error(errcode_ret, status);
	return status == CL_SUCCESS ? ptr : NULL;
}

static cl_int image_map(const struct map *map, cl_map_flags flags, const size_t *origin,
			const size_t *region, size_t *row_pitch, size_t *slice_pitch, void **ptr)
{
	struct gcl_mapping like = {.flags = flags};
	cl_mem image = map->mem;

	TRY(gcl_image_check(map->queue, image));
	REFUSE_IF(!gcl_image_region_valid(image, origin, region), CL_INVALID_VALUE);
	REFUSE_IF(!map_flags_valid(flags), CL_INVALID_VALUE);
	REFUSE_IF(!row_pitch, CL_INVALID_VALUE);
	REFUSE_IF(image->slice_pitch && !slice_pitch, CL_INVALID_VALUE);
	TRY(gcl_image_device_check(map->queue, image));
	TRY(gcl_transfer_check(map->queue, image, map_refused(flags), map->count, map->list));
	memcpy(like.origin, origin, sizeof like.origin);
	memcpy(like.region, region, sizeof like.region);
	like.region[0] *= image->element_size;
	gcl_image_box_pitches(image, &like.row_pitch, &like.slice_pitch);
	TRY(map_run(map, &like, ptr));
	*row_pitch = image->row_pitch;
	if (slice_pitch)
		*slice_pitch = image->slice_pitch;
	return CL_SUCCESS;
}

CL_API_ENTRY void *CL_API_CALL clEnqueueMapImage(cl_command_queue queue, cl_mem image,
						 cl_bool blocking, cl_map_flags flags,
						 const size_t *origin, const size_t *region,
						 size_t *row_pitch, size_t *slice_pitch,
						 cl_uint count, const cl_event *list,
						 cl_event *event, cl_int *errcode_ret)
{
	const struct map map = {queue, image, CL_COMMAND_MAP_IMAGE, blocking, count, list, event};
	void *ptr = NULL;
	cl_int status = image_map(&map, flags, origin, region, row_pitch, slice_pitch, &ptr);

	gcl_set_error(errcode_ret, status);
	return status == CL_SUCCESS ? ptr : NULL;
}

/* ------------------------------------------------------------ unmap */

/* The newest of those that begin there. */
static struct gcl_mapping *mapping_take(cl_mem mem, const void *ptr)
{
	struct gcl_mapping *found = NULL;

	pthread_mutex_lock(&mem->lock);
	gcl_list_for_each (it, &mem->mappings) {
		struct gcl_mapping *mapping = gcl_container_of(it, struct gcl_mapping, link);

		if (mapping->ptr == ptr)
			found = mapping;
	}
	if (found) {
		gcl_list_remove(&found->link);
		mem->map_count--;
	}
	pthread_mutex_unlock(&mem->lock);
	return found;
}

/* The mapping's block is freed when the command is done: it may still be read into before that. */
static cl_int mapping_return(const struct map *map, const struct gcl_mapping *mapping)
{
	struct gcl_session *session = map->mem->base.session;
	struct gcl_completion *completion = NULL;
	struct gcl_transfer transfer;

	if (mapping->staging != GCL_HEAP_NONE) {
		completion = gcl_staged_completion(session, mapping->staging);
		REFUSE_IF(!completion, CL_OUT_OF_HOST_MEMORY);
	}
	if (!map_writes(mapping->flags))
		return order_run(map, completion);
	if (completion)
		return block_run(map, mapping, true, completion);
	if (!has_copy(map->mem))
		return order_run(map, NULL);
	transfer = mapping_transfer(map, mapping, true);
	return gcl_transfer_run(&transfer);
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueUnmapMemObject(cl_command_queue queue, cl_mem mem,
							void *ptr, cl_uint count,
							const cl_event *list, cl_event *event)
{
	const struct map map = {queue, mem, CL_COMMAND_UNMAP_MEM_OBJECT, false, count, list, event};
	struct gcl_mapping *mapping;
	cl_int status;

	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	REFUSE_IF(!gcl_valid(mem, GCL_KIND_MEM), CL_INVALID_MEM_OBJECT);
	REFUSE_IF(mem->context != queue->context, CL_INVALID_CONTEXT);
	TRY(gcl_waits_check(queue->context, count, list));
	REFUSE_IF(queue->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	mapping = mapping_take(mem, ptr);
	REFUSE_IF(!mapping, CL_INVALID_VALUE);
	status = mapping_return(&map, mapping);
	free(mapping);
	return status;
}

/* ------------------------------------------------------------ shared virtual memory */

CL_API_ENTRY cl_int CL_API_CALL clEnqueueSVMMap(cl_command_queue queue, cl_bool blocking,
						cl_map_flags flags, void *pointer, size_t size,
						cl_uint count, const cl_event *list,
						cl_event *event)
{
	struct map map = {queue, NULL, CL_COMMAND_SVM_MAP, blocking, count, list, event};
	struct gcl_mapping like = {
		.flags = flags, .region = {size, 1, 1}, .row_pitch = size, .slice_pitch = size};
	void *ptr;

	TRY(gcl_svm_command_check(queue));
	REFUSE_IF(!pointer, CL_INVALID_VALUE);
	REFUSE_IF(size == 0 || !map_flags_valid(flags), CL_INVALID_VALUE);
	map.mem = gcl_svm_of(queue->context, pointer, size);
	REFUSE_IF(!map.mem, CL_INVALID_VALUE);
	TRY(gcl_waits_check(queue->context, count, list));
	REFUSE_IF(queue->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	like.origin[0] = gcl_svm_offset(map.mem, pointer);
	return map_run(&map, &like, &ptr);
}

/* What isn't mapped has nothing to be sent, and keeps its place all the same. */
CL_API_ENTRY cl_int CL_API_CALL clEnqueueSVMUnmap(cl_command_queue queue, void *pointer,
						  cl_uint count, const cl_event *list,
						  cl_event *event)
{
	struct map map = {queue, NULL, CL_COMMAND_SVM_UNMAP, false, count, list, event};
	struct gcl_mapping *mapping;
	cl_int status;

	TRY(gcl_svm_command_check(queue));
	REFUSE_IF(!pointer, CL_INVALID_VALUE);
	map.mem = gcl_svm_at(queue->context, pointer);
	REFUSE_IF(!map.mem, CL_INVALID_VALUE);
	TRY(gcl_waits_check(queue->context, count, list));
	REFUSE_IF(queue->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	mapping = mapping_take(map.mem, pointer);
	status = mapping ? mapping_return(&map, mapping) : order_run(&map, NULL);
	free(mapping);
	return status;
}
