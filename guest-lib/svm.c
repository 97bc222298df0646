/*
 * Shared virtual memory: allocations, and which one a pointer is in.
 *
 * Theory of operation. An allocation is a buffer that the program doesn't see, whose host pointer
 * is its address, the same as on the host. There, memory of the runtime's is at this address; here,
 * pages that the program sees, whose contents follow when it maps and unmaps, as those of any
 * buffer with CL_MEM_USE_HOST_PTR do. So maps, copies and fills are a buffer's.
 *
 * An address is found here first and asked for; where the runtime has its own way, its address is
 * taken here if it is free, or else it is asked again.
 *
 * Allocations don't hold their context: what is left when that ends is given back.
 */
#include "svm.h"

#include "memory.h"
#include "opened.h"
#include "svm-space.h"

#define ACCESS_FLAGS (CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY)

/* The largest OpenCL type: no more can be asked for. */
#define ALIGNMENT_MAX 128u

#define PAGE 4096u

/* Addresses of the runtime's choice that are in use here; each is kept until one is found that
 * isn't. */
#define ALLOC_TRIES 16

cl_device_svm_capabilities gcl_svm_device(const struct _cl_device_id *device)
{
	const Gcl__Info *info = gcl_host_info(device->host->infos, device->host->n_infos,
					      CL_DEVICE_SVM_CAPABILITIES);
	cl_device_svm_capabilities offered = 0;

	if (info)
		memcpy(&offered, info->value.data, GCL_MIN(info->value.len, sizeof offered));
	/* Anything finer needs memory that both sides see at any time. */
	return offered & CL_DEVICE_SVM_COARSE_GRAIN_BUFFER;
}

bool gcl_svm_offered(const struct _cl_context *context)
{
	for (cl_uint i = 0; i < context->device_count; i++)
		if (gcl_svm_device(context->devices[i]))
			return true;
	return false;
}

/* ------------------------------------------------------------ which one */

cl_mem gcl_svm_at(cl_context context, const void *pointer)
{
	const struct gcl_range *range;
	cl_mem mem = NULL;

	if (!atomic_load_explicit(&context->svm_used, memory_order_acquire))
		return NULL;
	pthread_mutex_lock(&context->svm_lock);
	range = gcl_ranges_at(&context->svm, (uintptr_t)pointer);
	if (range)
		mem = range->owner;
	pthread_mutex_unlock(&context->svm_lock);
	return mem;
}

cl_mem gcl_svm_of(cl_context context, const void *pointer, size_t size)
{
	cl_mem mem = gcl_svm_at(context, pointer);

	if (!mem || !gcl_inside(gcl_svm_offset(mem, pointer), size, mem->size))
		return NULL;
	return mem;
}

/* ------------------------------------------------------------ allocating */

/* Asks the host for memory at @wish, or anywhere if that is NULL. */
static cl_int host_alloc(cl_mem mem, cl_uint alignment, void *wish)
{
	Gcl__SvmCreate message = GCL__SVM_CREATE__INIT;
	const Gcl__SvmAnswer *answer;
	ProtobufCMessage *reply;
	cl_int status;

	message.id = mem->base.id;
	message.context = mem->context->base.id;
	message.flags = mem->flags & ACCESS_FLAGS;
	message.size = mem->size;
	message.alignment = alignment;
	message.address = (uintptr_t)wish;
	message.resident = mem->resident;
	if (mem->resident)
		message.heap_offset = mem->heap_offset;
	TRY(gcl_ask(mem->base.session, GCL_SVM_CREATE, &message.base, GCL_ANSWER_SVM, &reply));
	atomic_store_explicit(&mem->told, true, memory_order_release);
	answer = (const Gcl__SvmAnswer *)reply;
	status = answer->status;
	mem->host_ptr = (void *)(uintptr_t)answer->address;
	protobuf_c_message_free_unpacked(reply, NULL);
	return status;
}

static cl_mem svm_new(cl_context context, cl_svm_mem_flags flags, size_t size)
{
	cl_mem mem = gcl_mem_new(context, CL_MEM_OBJECT_BUFFER, flags & ACCESS_FLAGS, NULL);

	if (!mem)
		return NULL;
	mem->svm = true;
	mem->size = size;
	return mem;
}

/* The program has no handle to it. */
static void svm_hide(cl_mem mem)
{
	/* Not the last reference: the program has one. */
	(void)gcl_object_put(mem->context);
	mem->hidden = true;
}

/* One try. @mem->svm_space is set when it has its address here, too. */
static cl_int svm_alloc(cl_mem mem, cl_uint alignment)
{
	void *wish = gcl_svm_space_find(mem->size);
	cl_int status = host_alloc(mem, alignment, wish);

	if (status == CL_SUCCESS && wish && mem->host_ptr == wish) {
		mem->svm_space = true;
		return CL_SUCCESS;
	}
	if (wish)
		gcl_svm_space_free(wish);
	if (status == CL_SUCCESS)
		mem->svm_space = gcl_svm_space_take(mem->host_ptr, mem->size);
	return status;
}

/* Return: an allocation that has its address on both sides, or NULL. */
static cl_mem svm_find(cl_context context, cl_svm_mem_flags flags, size_t size, cl_uint alignment)
{
	cl_mem refused[ALLOC_TRIES];
	cl_mem mem = NULL;
	size_t count = 0;
	cl_int status = CL_SUCCESS;

	while (!mem && count < ALLOC_TRIES && status == CL_SUCCESS) {
		mem = svm_new(context, flags, size);
		if (!mem)
			break;
		svm_hide(mem);
		status = svm_alloc(mem, alignment);
		if (status == CL_SUCCESS && mem->svm_space)
			break;
		if (status == CL_SUCCESS)
			gcl_log_debug(mem, "%zu bytes at %p are in use here", size, mem->host_ptr);
		refused[count++] = mem;
		mem = NULL;
	}
	while (count)
		gcl_mem_put(refused[--count]);
	return mem;
}

/* Can its memory be the heap's? That of its own has to be mapped on both sides. */
static bool heap_fits(const struct _cl_context *context)
{
	const struct gcl_channel *channel = context->base.session->channel;
	uintptr_t heap = (uintptr_t)channel->heap;

	return context->resident && channel->ops->remaps && !channel->heap_limit &&
	       heap >= GCL_SVM_HEAP_FIRST && heap < GCL_SVM_HEAP_END &&
	       channel->heap_size <= GCL_SVM_HEAP_END - heap &&
	       !atomic_load_explicit(&context->svm_apart, memory_order_relaxed);
}

/* Memory of the heap, which is mapped in the worker at its address here, a second time. Return:
 * NULL: it has to be done without. */
static cl_mem svm_resident(cl_context context, cl_svm_mem_flags flags, size_t size,
			   cl_uint alignment)
{
	uint8_t *memory;
	cl_int status;
	cl_mem mem;

	if (!heap_fits(context))
		return NULL;
	mem = svm_new(context, flags, size);
	if (!mem)
		return NULL;
	svm_hide(mem);
	/* Whole pages: no other allocation is in them. */
	mem->heap_offset = gcl_block_alloc(context->base.session, GCL_MAX(size, PAGE), &memory);
	mem->resident = true;
	status = mem->heap_offset == GCL_HEAP_NONE ? CL_MEM_OBJECT_ALLOCATION_FAILURE
						   : host_alloc(mem, alignment, memory);
	if (status == CL_SUCCESS && mem->host_ptr == memory) {
		mem->heap = memory;
		return mem;
	}
	/* A runtime that can't be led there never can. */
	if (status == CL_INVALID_HOST_PTR)
		atomic_store_explicit(&context->svm_apart, true, memory_order_relaxed);
	gcl_mem_put(mem);
	return NULL;
}

static bool svm_enter(cl_context context, cl_mem mem)
{
	bool entered;

	pthread_mutex_lock(&context->svm_lock);
	entered = gcl_ranges_add(&context->svm, (uintptr_t)mem->host_ptr, mem->size, mem);
	pthread_mutex_unlock(&context->svm_lock);
	if (entered)
		atomic_store_explicit(&context->svm_used, true, memory_order_release);
	return entered;
}

static bool flags_valid(cl_svm_mem_flags flags)
{
	cl_svm_mem_flags access = flags & ACCESS_FLAGS;

	return !(flags & ~(cl_svm_mem_flags)ACCESS_FLAGS) && (access & (access - 1)) == 0;
}

/* No device takes less than it says. */
static bool size_valid(const struct _cl_context *context, size_t size)
{
	for (cl_uint i = 0; i < context->device_count; i++)
		if (size > context->devices[i]->max_alloc)
			return false;
	return size;
}

CL_API_ENTRY void *CL_API_CALL clSVMAlloc(cl_context context, cl_svm_mem_flags flags, size_t size,
					  cl_uint alignment)
{
	cl_mem mem;

	if (!gcl_valid(context, GCL_KIND_CONTEXT) || !gcl_svm_offered(context) ||
	    !flags_valid(flags) || !size_valid(context, size) || alignment & (alignment - 1) ||
	    alignment > ALIGNMENT_MAX || context->base.session->lost)
		return NULL;
	mem = svm_resident(context, flags, size, alignment);
	if (!mem)
		mem = svm_find(context, flags, size, alignment);
	if (mem && !svm_enter(context, mem)) {
		gcl_mem_put(mem);
		return NULL;
	}
	return mem ? mem->host_ptr : NULL;
}

/* ------------------------------------------------------------ freeing */

void gcl_svm_free(cl_context context, const void *pointer)
{
	cl_mem mem;

	pthread_mutex_lock(&context->svm_lock);
	mem = gcl_ranges_remove(&context->svm, (uintptr_t)pointer);
	pthread_mutex_unlock(&context->svm_lock);
	gcl_mem_put(mem);
}

void gcl_svm_forget(cl_mem mem)
{
	cl_context context = mem->context;
	const struct gcl_range *range;

	/* clSVMFree() and the context's end have done so already. */
	if (mem->hidden)
		return;
	pthread_mutex_lock(&context->svm_lock);
	range = gcl_ranges_at(&context->svm, (uintptr_t)mem->host_ptr);
	if (range && range->owner == mem)
		gcl_ranges_remove(&context->svm, range->first);
	pthread_mutex_unlock(&context->svm_lock);
}

CL_API_ENTRY void CL_API_CALL clSVMFree(cl_context context, void *pointer)
{
	if (gcl_valid(context, GCL_KIND_CONTEXT) && pointer)
		gcl_svm_free(context, pointer);
}

void gcl_svm_context_free(cl_context context)
{
	for (size_t i = 0; i < context->svm.count; i++)
		gcl_mem_put(context->svm.list[i].owner);
	gcl_ranges_fini(&context->svm);
}

/* ------------------------------------------------------------ for who has the memory already */

/* At @address, or not at all. */
static cl_int svm_at_just(cl_mem mem, void *address)
{
	TRY(host_alloc(mem, 0, address));
	REFUSE_IF(mem->host_ptr != address, CL_INVALID_HOST_PTR);
	return svm_enter(mem->context, mem) ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY;
}

CL_API_ENTRY cl_mem CL_API_CALL clGuestclCreateSVMBuffer(cl_context context, cl_mem_flags flags,
							 size_t size, void *address,
							 cl_int *errcode_ret)
{
	cl_int status;
	cl_mem mem;

	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_NULL_IF(!gcl_svm_offered(context), CL_INVALID_OPERATION);
	REFUSE_NULL_IF(!flags_valid(flags), CL_INVALID_VALUE);
	REFUSE_NULL_IF(!size_valid(context, size), CL_INVALID_BUFFER_SIZE);
	REFUSE_NULL_IF(!address, CL_INVALID_HOST_PTR);
	mem = svm_new(context, flags, size);
	REFUSE_NULL_IF(!mem, CL_OUT_OF_HOST_MEMORY);
	status = svm_at_just(mem, address);
	if (status != CL_SUCCESS)
		gcl_mem_put(mem);
	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	gcl_set_error(errcode_ret, CL_SUCCESS);
	return mem;
}
