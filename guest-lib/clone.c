/*
 * Kernels made of others: the same function, with the arguments that the other one has.
 *
 * The host makes a kernel as for clCreateKernel, and gives it what the other one was told of shared
 * virtual memory; the clone's first launch brings all of its arguments.
 */
#include <stdlib.h>

#include "guest.h"
#include "kernel.h"

/* The clone keeps memory of its own for values. */
static cl_int arg_copy(struct gcl_arg *to, const struct gcl_arg *from)
{
	uint8_t *data = to->wire.data.data;
	size_t size = from->wire.data.len;

	if (size > to->capacity) {
		data = realloc(data, size);
		REFUSE_IF(!data, CL_OUT_OF_HOST_MEMORY);
		to->capacity = size;
	}
	if (size)
		memcpy(data, from->wire.data.data, size);
	to->wire = from->wire;
	to->wire.data.data = data;
	to->set = from->set;
	to->dirty = from->set;
	return CL_SUCCESS;
}

static cl_int args_copy(cl_kernel to, const struct _cl_kernel *from)
{
	for (cl_uint i = 0; i < from->arg_count; i++) {
		TRY(arg_copy(&to->args[i], &from->args[i]));
		if (to->args[i].dirty)
			atomic_store_explicit(&to->dirty, true, memory_order_relaxed);
	}
	return CL_SUCCESS;
}

static size_t kernel_index(const struct _cl_kernel *kernel)
{
	size_t index = 0;

	while (kernel->build->answer->kernels[index] != kernel->info)
		index++;
	return index;
}

CL_API_ENTRY cl_kernel CL_API_CALL clCloneKernel(cl_kernel kernel, cl_int *errcode_ret)
{
	cl_kernel clone;
	cl_int status;

	REFUSE_NULL_IF(!gcl_valid(kernel, GCL_KIND_KERNEL), CL_INVALID_KERNEL);
	clone = gcl_kernel_create(kernel->program, kernel->build, kernel_index(kernel), kernel,
				  &status);
	REFUSE_NULL_IF(!clone, status);
	pthread_mutex_lock(&kernel->lock);
	status = args_copy(clone, kernel);
	pthread_mutex_unlock(&kernel->lock);
	if (status != CL_SUCCESS)
		clReleaseKernel(clone);
	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	if (errcode_ret)
		*errcode_ret = CL_SUCCESS;
	return clone;
}
