/*
 * Memory objects: buffers, sub-buffers, references, and what images share with them.
 *
 * A resident object is a block of the heap that the host's runtime works on in place; its object
 * here knows the block's address. The block is given back when the host says MEM_FREED, after
 * RELEASE was posted. Other contents are only on the device.
 *
 * The host is told of a buffer when the first message names it: one that only the guest reads and
 * writes costs no message at all.
 */
#include "memory.h"

#include <stdlib.h>

#include "svm-space.h"
#include "svm.h"

#define KNOWN_FLAGS (GCL_MEM_ACCESS_FLAGS | GCL_MEM_HOST_PTR_FLAGS | GCL_MEM_HOST_ACCESS_FLAGS)

static bool at_most_one(cl_mem_flags flags, cl_mem_flags of)
{
	flags &= of;
	return (flags & (flags - 1)) == 0;
}

bool gcl_mem_flags_valid(cl_mem_flags flags)
{
	return !(flags & ~(cl_mem_flags)KNOWN_FLAGS) && at_most_one(flags, GCL_MEM_ACCESS_FLAGS) &&
	       at_most_one(flags, GCL_MEM_HOST_ACCESS_FLAGS) &&
	       !(flags & CL_MEM_USE_HOST_PTR &&
		 flags & (CL_MEM_ALLOC_HOST_PTR | CL_MEM_COPY_HOST_PTR));
}

bool gcl_mem_host_ptr_valid(cl_mem_flags flags, const void *host_ptr)
{
	return !host_ptr == !(flags & (CL_MEM_USE_HOST_PTR | CL_MEM_COPY_HOST_PTR));
}

bool gcl_mem_is_buffer(cl_mem mem)
{
	return gcl_valid(mem, GCL_KIND_MEM) && mem->type == CL_MEM_OBJECT_BUFFER;
}

bool gcl_mem_is_image(cl_mem mem)
{
	return gcl_valid(mem, GCL_KIND_MEM) && mem->type != CL_MEM_OBJECT_BUFFER;
}

cl_int gcl_mem_use(cl_command_queue queue, cl_mem mem)
{
	cl_int failed = atomic_load_explicit(&mem->base.failed, memory_order_relaxed);

	REFUSE_IF(mem->type == CL_MEM_OBJECT_BUFFER && mem->parent && !gcl_svm_part(mem) &&
			  mem->origin % queue->device->base_align,
		  CL_MISALIGNED_SUB_BUFFER_OFFSET);
	REFUSE_IF(failed, failed);
	return CL_SUCCESS;
}

/* ------------------------------------------------------------ life and death */

cl_mem gcl_mem_new(cl_context context, cl_mem_object_type type, cl_mem_flags flags, cl_mem parent)
{
	cl_mem mem = gcl_object_new(GCL_KIND_MEM, context->base.session);

	if (!mem)
		return NULL;
	mem->context = context;
	mem->type = type;
	mem->flags = flags ? flags : CL_MEM_READ_WRITE;
	mem->parent = parent;
	mem->heap_offset = GCL_HEAP_NONE;
	pthread_mutex_init(&mem->lock, NULL);
	gcl_list_init(&mem->mappings);
	gcl_object_get(context);
	if (parent)
		gcl_object_get(parent);
	return mem;
}

static void mem_free(cl_mem mem)
{
	while (mem->destructors) {
		struct gcl_destructor *destructor = mem->destructors;

		mem->destructors = destructor->next;
		free(destructor);
	}
	if (mem->svm_space)
		gcl_svm_space_free(mem->host_ptr);
	pthread_mutex_destroy(&mem->lock);
	gcl_object_free(mem);
}

/* The handle is not used again before they have returned. */
static void destructors_run(void *arg)
{
	cl_mem mem = arg;

	for (const struct gcl_destructor *it = mem->destructors; it; it = it->next)
		it->fn(mem, it->data);
	mem_free(mem);
}

void gcl_mem_finish(cl_mem mem)
{
	if (!mem->destructors || gcl_notify(mem->base.session, destructors_run, mem))
		mem_free(mem);
}

static void queue_visit(void *object, void *data)
{
	cl_command_queue queue = object;
	cl_context *busy = data;

	if (queue->context == *busy && queue->posted > queue->done)
		*busy = NULL;
	gcl_queue_put(queue);
}

/* No command of the context can be using any of its objects. */
static bool context_idle(cl_context context)
{
	cl_context busy = context;

	gcl_session_drain(context->base.session);
	gcl_object_each(context->base.session, GCL_KIND_QUEUE, queue_visit, &busy);
	return busy;
}

static void mem_put(cl_mem mem, bool released);

/* What the object holds, but for its own memory. */
static void mem_let_go(cl_mem mem, bool released)
{
	gcl_list_for_each_safe (it, next, &mem->mappings) {
		struct gcl_mapping *mapping = gcl_container_of(it, struct gcl_mapping, link);

		gcl_block_free(mem->base.session, mapping->staging);
		free(mapping);
	}
	mem_put(mem->parent, released);
	if (mem->svm)
		gcl_svm_forget(mem);
	if (!mem->hidden)
		gcl_context_put(mem->context);
}

void gcl_mem_abandon(cl_mem mem)
{
	gcl_block_free(mem->base.session, mem->heap_offset);
	mem_let_go(mem, false);
	mem_free(mem);
}

/*
 * @released: by the program, on a thread of its own: destructors run at once if nothing can be
 * using the object any more. Otherwise they run when the host has let go of it, where it says so.
 */
static void mem_put(cl_mem mem, bool released)
{
	struct gcl_session *session;
	bool told = mem && mem->told;
	bool awaited; /* MEM_FREED comes */
	bool at_once; /* destructors run here */
	bool kept;    /* until MEM_FREED */
	uint64_t id;

	if (!mem || !gcl_object_put(mem))
		return;
	session = mem->base.session;
	id = mem->base.id;
	atomic_store_explicit(&mem->base.magic, 0, memory_order_release);
	at_once = released && mem->destructors && context_idle(mem->context);
	mem_let_go(mem, released);
	/* The host sends no MEM_FREED for what it could not make, or has sent it. */
	awaited = mem->heap_offset != GCL_HEAP_NONE && told && !session->lost && !mem->base.failed;
	kept = awaited && mem->destructors && !at_once;
	if (awaited)
		gcl_block_expect(session, id, mem->heap_offset, kept ? mem : NULL);
	/* Before the slot is given back: another thread's object may have its index at once. */
	if (told)
		gcl_post_release(session, id);
	if (!awaited)
		gcl_block_free(session, mem->heap_offset);
	if (at_once)
		destructors_run(mem);
	else if (!kept)
		gcl_mem_finish(mem);
}

void gcl_mem_put(cl_mem mem)
{
	mem_put(mem, false);
}

CL_API_ENTRY cl_int CL_API_CALL clRetainMemObject(cl_mem mem)
{
	REFUSE_IF(!gcl_valid(mem, GCL_KIND_MEM), CL_INVALID_MEM_OBJECT);
	gcl_object_get(mem);
	return CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL clReleaseMemObject(cl_mem mem)
{
	REFUSE_IF(!gcl_valid(mem, GCL_KIND_MEM), CL_INVALID_MEM_OBJECT);
	mem_put(mem, true);
	return CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL clSetMemObjectDestructorCallback(
	cl_mem mem, void(CL_CALLBACK *fn)(cl_mem mem, void *data), void *data)
{
	struct gcl_destructor *destructor;

	REFUSE_IF(!gcl_valid(mem, GCL_KIND_MEM), CL_INVALID_MEM_OBJECT);
	REFUSE_IF(!fn, CL_INVALID_VALUE);
	destructor = malloc(sizeof *destructor);
	REFUSE_IF(!destructor, CL_OUT_OF_HOST_MEMORY);
	destructor->fn = fn;
	destructor->data = data;
	pthread_mutex_lock(&mem->lock);
	destructor->next = mem->destructors;
	mem->destructors = destructor;
	pthread_mutex_unlock(&mem->lock);
	return CL_SUCCESS;
}

/* ------------------------------------------------------------ buffers */

static size_t max_alloc(const struct _cl_context *context)
{
	cl_ulong max = 0;

	for (cl_uint i = 0; i < context->device_count; i++)
		max = GCL_MAX(max, context->devices[i]->max_alloc);
	return max;
}

/* @block: where the contents are, or GCL_HEAP_NONE */
static cl_int buffer_post(cl_mem mem, uint64_t block)
{
	struct gcl_session *session = mem->base.session;
	Gcl__BufferCreate message = GCL__BUFFER_CREATE__INIT;
	cl_int status;

	message.id = mem->base.id;
	message.context = mem->context->base.id;
	message.flags = mem->flags & ~(cl_mem_flags)GCL_MEM_HOST_PTR_FLAGS;
	message.size = mem->size;
	message.resident = mem->resident && !gcl_svm_part(mem);
	if (message.resident)
		message.heap_offset = mem->heap_offset;
	if (gcl_svm_part(mem)) {
		message.svm = mem->parent->base.id;
		message.svm_offset = mem->origin;
	}
	if (block == GCL_HEAP_NONE)
		return gcl_post(session, GCL_BUFFER_CREATE, &message.base);
	gcl_block_expect(session, mem->base.id, block, NULL);
	status =
		gcl_post_payload(session, GCL_BUFFER_CREATE, &message.base, block, mem->size, NULL);
	if (status != CL_SUCCESS)
		gcl_block_forget(session, mem->base.id);
	return status;
}

/* The program's own memory, if it is to be used and can be. */
static bool buffer_pin(cl_mem mem)
{
	if (!mem->host_ptr || !gcl_block_pin(mem->base.session, mem->host_ptr, mem->size,
					     GCL_PIN_BUFFER_MIN, true, &mem->heap_offset))
		return false;
	mem->heap = mem->host_ptr;
	mem->resident = true;
	return true;
}

/* Gets the memory of a resident buffer. Other buffers with contents are made on the host at once,
 * since there the contents are. A VM, or a heap with a limit, may have no room for what the host
 * can hold: such a buffer is the host's alone. */
static cl_int buffer_place(cl_mem mem, const void *contents)
{
	uint8_t *memory = NULL;
	uint64_t block;
	cl_int status;

	if (!mem->context->resident && !contents)
		return CL_SUCCESS;
	if (mem->context->resident && buffer_pin(mem))
		return CL_SUCCESS;
	if (!contents && !gcl_block_keeps(mem->base.session, mem->size))
		return CL_SUCCESS;
	block = gcl_block_alloc(mem->base.session, mem->size, &memory);
	if (block == GCL_HEAP_NONE && !contents && gcl_channel_pins(mem->base.session->channel))
		return CL_SUCCESS;
	REFUSE_IF(block == GCL_HEAP_NONE, CL_MEM_OBJECT_ALLOCATION_FAILURE);
	if (contents)
		memcpy(memory, contents, mem->size);
	if (mem->context->resident) {
		mem->resident = true;
		mem->heap = memory;
		mem->heap_offset = block;
		return CL_SUCCESS;
	}
	status = buffer_post(mem, block);
	mem->told = status == CL_SUCCESS;
	return status;
}

CL_API_ENTRY cl_mem CL_API_CALL clCreateBuffer(cl_context context, cl_mem_flags flags, size_t size,
					       void *host_ptr, cl_int *errcode_ret)
{
	cl_mem mem, svm;
	cl_int status;

	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_NULL_IF(!gcl_mem_flags_valid(flags), CL_INVALID_VALUE);
	REFUSE_NULL_IF(size == 0 || size > max_alloc(context), CL_INVALID_BUFFER_SIZE);
	REFUSE_NULL_IF(!gcl_mem_host_ptr_valid(flags, host_ptr), CL_INVALID_HOST_PTR);
	REFUSE_NULL_IF(context->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	svm = flags & CL_MEM_USE_HOST_PTR ? gcl_svm_of(context, host_ptr, size) : NULL;
	mem = gcl_mem_new(context, CL_MEM_OBJECT_BUFFER, flags, svm);
	REFUSE_NULL_IF(!mem, CL_OUT_OF_HOST_MEMORY);
	mem->size = size;
	mem->host_ptr = flags & CL_MEM_USE_HOST_PTR ? host_ptr : NULL;
	if (svm) {
		mem->origin = gcl_svm_offset(svm, host_ptr);
		mem->resident = svm->resident;
		mem->heap = svm->resident ? host_ptr : NULL;
	}
	status = svm ? CL_SUCCESS : buffer_place(mem, host_ptr);
	if (status != CL_SUCCESS)
		gcl_mem_abandon(mem);
	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	gcl_set_error(errcode_ret, CL_SUCCESS);
	return mem;
}

/* ------------------------------------------------------------ sub-buffers */

/* A sub-buffer may not do what its buffer may not. */
bool gcl_mem_sub_flags_valid(cl_mem_flags parent, cl_mem_flags flags)
{
	static const struct {
		cl_mem_flags parent, refused;
	} rules[] = {
		{CL_MEM_WRITE_ONLY, CL_MEM_READ_WRITE | CL_MEM_READ_ONLY},
		{CL_MEM_READ_ONLY, CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY},
		{CL_MEM_HOST_WRITE_ONLY, CL_MEM_HOST_READ_ONLY},
		{CL_MEM_HOST_READ_ONLY, CL_MEM_HOST_WRITE_ONLY},
		{CL_MEM_HOST_NO_ACCESS, CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_WRITE_ONLY},
	};

	if (!gcl_mem_flags_valid(flags) || flags & GCL_MEM_HOST_PTR_FLAGS)
		return false;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(rules); i++)
		if (parent & rules[i].parent && flags & rules[i].refused)
			return false;
	return true;
}

cl_mem_flags gcl_mem_sub_flags(cl_mem_flags parent, cl_mem_flags flags)
{
	flags |= parent & GCL_MEM_HOST_PTR_FLAGS;
	if (!(flags & GCL_MEM_ACCESS_FLAGS))
		flags |= parent & GCL_MEM_ACCESS_FLAGS;
	if (!(flags & GCL_MEM_HOST_ACCESS_FLAGS))
		flags |= parent & GCL_MEM_HOST_ACCESS_FLAGS;
	return flags;
}

static bool sub_aligned(const struct _cl_context *context, size_t origin)
{
	for (cl_uint i = 0; i < context->device_count; i++)
		if (origin % context->devices[i]->base_align == 0)
			return true;
	return false;
}

static cl_int sub_buffer_post(cl_mem mem)
{
	Gcl__SubBufferCreate message = GCL__SUB_BUFFER_CREATE__INIT;

	TRY(gcl_mem_tell(mem->parent));
	message.id = mem->base.id;
	message.parent = mem->parent->base.id;
	message.flags = mem->flags & ~(cl_mem_flags)GCL_MEM_HOST_PTR_FLAGS;
	message.origin = mem->origin;
	message.size = mem->size;
	return gcl_post(mem->base.session, GCL_SUB_BUFFER_CREATE, &message.base);
}

CL_API_ENTRY cl_mem CL_API_CALL clCreateSubBuffer(cl_mem buffer, cl_mem_flags flags,
						  cl_buffer_create_type type, const void *info,
						  cl_int *errcode_ret)
{
	const cl_buffer_region *region = info;
	cl_mem mem;

	REFUSE_NULL_IF(!gcl_mem_is_buffer(buffer) || (buffer->parent && !gcl_svm_part(buffer)),
		       CL_INVALID_MEM_OBJECT);
	REFUSE_NULL_IF(!gcl_mem_sub_flags_valid(buffer->flags, flags), CL_INVALID_VALUE);
	REFUSE_NULL_IF(type != CL_BUFFER_CREATE_TYPE_REGION, CL_INVALID_VALUE);
	REFUSE_NULL_IF(!region, CL_INVALID_VALUE);
	REFUSE_NULL_IF(region->size == 0, CL_INVALID_BUFFER_SIZE);
	REFUSE_NULL_IF(!gcl_inside(region->origin, region->size, buffer->size), CL_INVALID_VALUE);
	REFUSE_NULL_IF(!sub_aligned(buffer->context, region->origin),
		       CL_MISALIGNED_SUB_BUFFER_OFFSET);
	REFUSE_NULL_IF(buffer->base.failed, buffer->base.failed);
	REFUSE_NULL_IF(buffer->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	mem = gcl_mem_new(buffer->context, CL_MEM_OBJECT_BUFFER,
			  gcl_mem_sub_flags(buffer->flags, flags), buffer);
	REFUSE_NULL_IF(!mem, CL_OUT_OF_HOST_MEMORY);
	mem->origin = region->origin;
	mem->size = region->size;
	mem->resident = buffer->resident;
	if (buffer->resident)
		mem->heap = buffer->heap + region->origin;
	if (buffer->host_ptr)
		mem->host_ptr = (char *)buffer->host_ptr + region->origin;
	gcl_set_error(errcode_ret, CL_SUCCESS);
	return mem;
}

/* ------------------------------------------------------------ telling the host */

static cl_int mem_tell_locked(cl_mem mem)
{
	cl_int status;

	if (mem->told)
		return CL_SUCCESS;
	status = mem->parent && !gcl_svm_part(mem) ? sub_buffer_post(mem)
						   : buffer_post(mem, GCL_HEAP_NONE);
	if (status == CL_SUCCESS)
		atomic_store_explicit(&mem->told, true, memory_order_release);
	return status;
}

cl_int gcl_mem_tell(cl_mem mem)
{
	cl_int status;

	if (atomic_load_explicit(&mem->told, memory_order_acquire))
		return CL_SUCCESS;
	pthread_mutex_lock(&mem->lock);
	status = mem_tell_locked(mem);
	pthread_mutex_unlock(&mem->lock);
	return status;
}

/* ------------------------------------------------------------ information */

CL_API_ENTRY cl_int CL_API_CALL clGetMemObjectInfo(cl_mem mem, cl_mem_info param_name,
						   size_t param_value_size, void *param_value,
						   size_t *param_value_size_ret)
{
	REFUSE_IF(!gcl_valid(mem, GCL_KIND_MEM), CL_INVALID_MEM_OBJECT);
	switch (param_name) {
	case CL_MEM_TYPE:
		GCL_INFO_VALUE(cl_mem_object_type, mem->type);
	case CL_MEM_FLAGS:
		GCL_INFO_VALUE(cl_mem_flags, mem->flags);
	case CL_MEM_SIZE:
		GCL_INFO_VALUE(size_t, mem->size);
	case CL_MEM_HOST_PTR:
		GCL_INFO_VALUE(void *, mem->host_ptr);
	case CL_MEM_MAP_COUNT:
		GCL_INFO_VALUE(cl_uint, mem->map_count);
	case CL_MEM_REFERENCE_COUNT:
		GCL_INFO_VALUE(cl_uint, mem->base.refs);
	case CL_MEM_CONTEXT:
		GCL_INFO_VALUE(cl_context, mem->context);
	case CL_MEM_ASSOCIATED_MEMOBJECT:
		GCL_INFO_VALUE(cl_mem, gcl_svm_part(mem) ? NULL : mem->parent);
	case CL_MEM_OFFSET:
		GCL_INFO_VALUE(size_t, gcl_svm_part(mem) ? 0 : mem->origin);
	case CL_MEM_USES_SVM_POINTER:
		GCL_INFO_VALUE(cl_bool, gcl_svm_at(mem->context, mem->host_ptr) != NULL);
	case CL_MEM_PROPERTIES:
		return gcl_info(&(cl_mem_properties){0},
				mem->listed ? sizeof(cl_mem_properties) : 0, param_value_size,
				param_value, param_value_size_ret);
	default:
		return CL_INVALID_VALUE;
	}
}
