/*
 * Shared virtual memory: coarse-grained allocations at addresses that guest and worker have in
 * common.
 *
 * Theory of operation. An allocation is the runtime's, from clSVMAlloc, and a buffer is made over
 * it (CL_MEM_USE_HOST_PTR), which the specification has show its bytes at all points where they
 * have to agree. So commands, contents on sides, and quotas know nothing but a buffer; what kernels
 * are given is the address. It is given back when the runtime has let go of the buffer.
 *
 * The guest names an address where it has room (placed.h). Where the runtime allocates elsewhere
 * the guest is told where, and gives it back if it can't have that.
 *
 * Addresses that come from the guest reach kernels, which can make up any by themselves; the worker
 * never looks at what is there.
 */
#include "svm.h"

#include <errno.h>

#include "placed.h"

#define MEM_FLAGS (CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY)

/* Programs ask for more pointers than this of a broken guest only. */
#define REACH_MAX GCL_OBJECTS_MAX

/* What is given back behind the buffer. */
struct freed {
	cl_context context; /* a reference */
	void *memory;
};

bool gcl_svm_offered(const cl_device_id *devices, size_t count)
{
	cl_device_svm_capabilities offered = 0;

	for (size_t i = 0; i < count; i++)
		if (clGetDeviceInfo(devices[i], CL_DEVICE_SVM_CAPABILITIES, sizeof offered,
				    &offered, NULL) == CL_SUCCESS &&
		    offered & CL_DEVICE_SVM_COARSE_GRAIN_BUFFER)
			return true;
	return false;
}

static void CL_CALLBACK svm_freed(cl_mem handle, void *data)
{
	struct freed *freed = data;

	(void)handle;
	clSVMFree(freed->context, freed->memory);
	clReleaseContext(freed->context);
	free(freed);
}

/* At @address if the runtime can be led there. @source: memory of the heap that it is to be, and
 * then nowhere else; or NULL */
static void *memory_alloc(cl_context context, const struct gcl_mem *mem, cl_uint alignment,
			  uint64_t address, const void *source)
{
	bool named = address && gcl_placed_begin(address, mem->size, source) == 0;
	void *memory = NULL;

	if (named || !source)
		memory = clSVMAlloc(context, mem->flags, mem->size, alignment);
	if (named && !gcl_placed_end() && source && memory) {
		clSVMFree(context, memory);
		memory = NULL;
	}
	return memory;
}

/* The runtime says the end of @handle: that of the memory under it comes before that is told. */
static cl_int memory_follow(cl_context context, cl_mem handle, void *memory)
{
	struct freed *freed = malloc(sizeof *freed);
	cl_int status = CL_OUT_OF_HOST_MEMORY;

	if (freed) {
		*freed = (struct freed){context, memory};
		clRetainContext(context);
		status = clSetMemObjectDestructorCallback(handle, svm_freed, freed);
	}
	if (status != CL_SUCCESS && freed) {
		clReleaseContext(context);
		free(freed);
	}
	return status;
}

/* The buffer over @memory. Return: NULL and *@status; nothing is charged then. */
static cl_mem buffer_over(struct gcl_worker *worker, const struct gcl_mem *mem, void *memory,
			  struct gcl_charge charge, uint64_t id, cl_int *status)
{
	cl_context context = mem->context->handles[GCL_HOME];
	cl_mem handle = clCreateBuffer(context, mem->flags | CL_MEM_USE_HOST_PTR, mem->size, memory,
				       status);

	if (!handle) {
		gcl_quota_give(worker, charge);
		return NULL;
	}
	*status = gcl_mem_watch(worker, &handle, charge, id);
	if (*status != CL_SUCCESS)
		return NULL;
	*status = memory_follow(context, handle, memory);
	if (*status == CL_SUCCESS)
		return handle;
	clReleaseMemObject(handle);
	return NULL;
}

static cl_mem svm_make(struct gcl_worker *worker, struct gcl_mem *mem,
		       const Gcl__SvmCreate *message, const void *source, cl_int *status)
{
	const struct gcl_charge charge = {.bytes = mem->size, .devices = mem->context->devices};
	cl_context context = mem->context->handles[GCL_HOME];
	void *memory;
	cl_mem handle;

	*status = gcl_quota_take(worker, charge);
	if (*status != CL_SUCCESS)
		return NULL;
	*status = source ? CL_INVALID_HOST_PTR : CL_MEM_OBJECT_ALLOCATION_FAILURE;
	memory = memory_alloc(context, mem, message->alignment, message->address, source);
	if (!memory) {
		gcl_quota_give(worker, charge);
		return NULL;
	}
	handle = buffer_over(worker, mem, memory, charge, source ? message->id : 0, status);
	if (!handle)
		clSVMFree(context, memory);
	else
		mem->svm = memory;
	return handle;
}

/* The heap's memory that it is to be, or NULL. Return: 0, -EPROTO. */
static int source_find(struct gcl_worker *worker, const Gcl__SvmCreate *message,
		       const void **source)
{
	*source = NULL;
	if (!message->resident)
		return 0;
	if (!worker->resident || !worker->channel->ops->remaps ||
	    message->heap_offset >= GCL_HEAP_MAX || message->heap_offset % GCL_RESIDENT_ALIGN)
		return -EPROTO;
	*source = gcl_channel_heap_ptr(worker->channel, message->heap_offset, message->size);
	return *source ? 0 : -EPROTO;
}

int gcl_handle_svm_create(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__SvmCreate *message = (const Gcl__SvmCreate *)call->message;
	struct gcl_entry *context = gcl_table_find(worker, message->context, GCL_KIND_CONTEXT);
	Gcl__SvmAnswer answer = GCL__SVM_ANSWER__INIT;
	struct gcl_entry *entry;
	cl_mem handle = NULL;
	const void *source;
	struct gcl_mem *mem;

	if (!context || !message->size || source_find(worker, message, &source))
		return -EPROTO;
	mem = gcl_mem_add(worker, message->id, &entry);
	if (!mem)
		return entry ? -ENOMEM : -EPROTO;
	mem->context = gcl_context_get(context->detail);
	mem->type = CL_MEM_OBJECT_BUFFER;
	mem->size = message->size;
	mem->flags = message->flags & MEM_FLAGS;
	mem->resident = message->resident;
	gcl_contents_init(&mem->contents, message->resident);
	answer.status = context->failed;
	if (!answer.status && !mem->context->svm)
		answer.status = CL_INVALID_OPERATION;
	if (!answer.status)
		handle = svm_make(worker, mem, message, source, &answer.status);
	gcl_mem_made(worker, entry, handle, answer.status);
	if (handle)
		gcl_list_append(&mem->context->allocations, &mem->svm_link);
	answer.request = call->head->sequence;
	answer.address = (uintptr_t)mem->svm;
	gcl_send(worker, GCL_ANSWER_SVM, &answer.base, 0, 0);
	return 0;
}

/* ------------------------------------------------------------ buffers that are a part of it */

int gcl_svm_buffer_create(struct gcl_worker *worker, const Gcl__BufferCreate *message)
{
	struct gcl_entry *whole_entry = gcl_table_find(worker, message->svm, GCL_KIND_MEM);
	struct gcl_mem *whole = whole_entry ? whole_entry->detail : NULL;
	struct gcl_entry *entry;
	cl_mem handle = NULL;
	struct gcl_mem *mem;
	cl_int status;

	if (!whole || gcl_mem_is_image(whole) || whole->parent || message->resident ||
	    !gcl_range_inside(message->svm_offset, message->size, whole->size))
		return -EPROTO;
	mem = gcl_mem_add(worker, message->id, &entry);
	if (!mem)
		return entry ? -ENOMEM : -EPROTO;
	mem->context = gcl_context_get(whole->context);
	mem->parent = gcl_mem_get(whole);
	mem->type = CL_MEM_OBJECT_BUFFER;
	mem->size = message->size;
	mem->origin = message->svm_offset;
	mem->flags = gcl_mem_flags(message->flags);
	status = whole->failed;
	if (!status && !whole->svm)
		status = CL_INVALID_HOST_PTR;
	if (!status) {
		mem->svm = (uint8_t *)whole->svm + message->svm_offset;
		handle = clCreateBuffer(mem->context->handles[GCL_HOME],
					mem->flags | CL_MEM_USE_HOST_PTR, mem->size, mem->svm,
					&status);
	}
	gcl_mem_made(worker, entry, handle, status);
	return 0;
}

/* ------------------------------------------------------------ kernels */

int gcl_svm_arg_set(struct gcl_worker *worker, struct gcl_kernel *kernel, const Gcl__Argument *arg,
		    cl_int *status)
{
	const void *pointer = (const void *)(uintptr_t)arg->pointer;
	struct gcl_entry *entry;
	struct gcl_mem *mem = NULL;

	if (arg->kind != GCL_ARG_BUFFER)
		return -EPROTO;
	if (arg->object) {
		entry = gcl_table_find(worker, arg->object, GCL_KIND_MEM);
		mem = entry ? entry->detail : NULL;
		/* What was freed since is a pointer all the same. */
		if (mem && (!mem->svm || mem->parent || mem->context != kernel->owner ||
			    arg->pointer - (uintptr_t)mem->svm >= mem->size))
			return -EPROTO;
	}
	if (!kernel->owner->svm)
		*status = CL_INVALID_OPERATION;
	if (*status == CL_SUCCESS)
		*status = clSetKernelArgSVMPointer(kernel->handle, arg->index, pointer);
	if (*status == CL_SUCCESS && worker->client)
		gcl_arg_keep_svm(&kernel->args[arg->index], mem, pointer);
	return 0;
}

void gcl_svm_kernel_fini(struct gcl_kernel *kernel)
{
	free(kernel->reach);
}

/* An allocation that the kernel reaches, or NULL: it has been freed since, or never was one. */
static struct gcl_mem *reach_find(struct gcl_worker *worker, const struct gcl_kernel *kernel,
				  size_t index)
{
	const struct gcl_entry *entry = gcl_table_find(worker, kernel->reach[index], GCL_KIND_MEM);
	struct gcl_mem *mem = entry ? entry->detail : NULL;

	return mem && mem->svm && !mem->parent && mem->context == kernel->owner ? mem : NULL;
}

cl_int gcl_svm_reach_on(struct gcl_worker *worker, const struct gcl_kernel *kernel,
			cl_kernel handle, unsigned side)
{
	_cleanup_free_ void **pointers = calloc(kernel->reach_count + 1, sizeof *pointers);
	cl_int status = CL_SUCCESS;
	size_t count = 0;

	if (!pointers)
		return CL_OUT_OF_HOST_MEMORY;
	for (size_t i = 0; i < kernel->reach_count && status == CL_SUCCESS; i++) {
		struct gcl_mem *mem = reach_find(worker, kernel, i);

		if (mem && gcl_mem_on(worker, mem, side, &status))
			pointers[count++] = mem->svm;
	}
	if (status != CL_SUCCESS || !count)
		return status;
	return clSetKernelExecInfo(handle, CL_KERNEL_EXEC_INFO_SVM_PTRS, count * sizeof *pointers,
				   pointers);
}

static bool points(const struct gcl_kernel *kernel)
{
	for (cl_uint i = 0; i < kernel->arg_count; i++)
		if (kernel->args[i].svm_set)
			return true;
	return false;
}

/* A kernel that is given a pointer, and of which it hasn't been said what it reaches, reaches all
 * there is: where runtimes don't mind, programs may do without saying it. */
int gcl_svm_use(struct gcl_worker *worker, struct gcl_kernel *kernel, struct gcl_command *command)
{
	for (size_t i = 0; i < kernel->reach_count; i++) {
		struct gcl_mem *mem = reach_find(worker, kernel, i);

		if (mem && gcl_use_note(worker, command, mem, GCL_ACCESS_WRITE))
			return -ENOMEM;
	}
	if (kernel->reaches || gcl_list_empty(&kernel->owner->allocations) || !points(kernel))
		return 0;
	gcl_list_for_each (it, &kernel->owner->allocations) {
		struct gcl_mem *mem = gcl_container_of(it, struct gcl_mem, svm_link);

		if (gcl_use_note(worker, command, mem, GCL_ACCESS_WRITE))
			return -ENOMEM;
	}
	return 0;
}

static int reach_set(struct gcl_worker *worker, struct gcl_kernel *kernel, const uint64_t *mems,
		     size_t count)
{
	uint64_t *reach = calloc(count + 1, sizeof *reach);
	cl_int status;

	if (!reach)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		reach[i] = mems[i];
	free(kernel->reach);
	kernel->reach = reach;
	kernel->reach_count = count;
	kernel->reaches = true;
	kernel->reach_stale = GCL_SIDES_ALL & ~(1u << GCL_HOME);
	status = gcl_svm_reach_on(worker, kernel, kernel->handle, GCL_HOME);
	if (status != CL_SUCCESS)
		gcl_log_debug(call, "clSetKernelExecInfo: %d", status);
	return 0;
}

int gcl_svm_reach_clone(struct gcl_worker *worker, struct gcl_kernel *kernel,
			const struct gcl_kernel *original)
{
	if (!original->reaches || original->owner != kernel->owner)
		return 0;
	return reach_set(worker, kernel, original->reach, original->reach_count);
}

int gcl_handle_svm_reach(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__SvmReach *message = (const Gcl__SvmReach *)call->message;
	struct gcl_entry *entry = gcl_table_find(worker, message->kernel, GCL_KIND_KERNEL);
	struct gcl_kernel *kernel = entry ? entry->detail : NULL;

	if (!entry || message->n_mems > REACH_MAX)
		return -EPROTO;
	if (!kernel || !kernel->owner->svm)
		return 0;
	return reach_set(worker, kernel, message->mems, message->n_mems);
}
