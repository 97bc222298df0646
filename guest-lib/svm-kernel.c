/*
 * Kernels' pointers to shared virtual memory.
 */
#include <stdlib.h>

#include "memory.h"
#include "svm.h"

static cl_int kernel_check(cl_kernel kernel)
{
	REFUSE_IF(!gcl_valid(kernel, GCL_KIND_KERNEL), CL_INVALID_KERNEL);
	REFUSE_IF(!gcl_svm_offered(kernel->program->context), CL_INVALID_OPERATION);
	return CL_SUCCESS;
}

/* What the pointer isn't in an allocation of is the kernel's own affair. */
CL_API_ENTRY cl_int CL_API_CALL clSetKernelArgSVMPointer(cl_kernel kernel, cl_uint index,
							 const void *value)
{
	struct gcl_arg *arg;
	cl_mem mem;

	TRY(kernel_check(kernel));
	REFUSE_IF(index >= kernel->arg_count, CL_INVALID_ARG_INDEX);
	arg = &kernel->args[index];
	REFUSE_IF(arg->wire.kind != GCL_ARG_BUFFER && !arg->unknown, CL_INVALID_ARG_VALUE);
	arg->wire.kind = GCL_ARG_BUFFER;
	mem = gcl_svm_at(kernel->program->context, value);
	arg->wire.svm = true;
	arg->wire.object = mem ? mem->base.id : 0;
	arg->wire.pointer = (uintptr_t)value;
	arg->set = true;
	arg->dirty = true;
	atomic_store_explicit(&kernel->dirty, true, memory_order_release);
	return CL_SUCCESS;
}

static cl_int reach_post(cl_kernel kernel, size_t count, void *const *pointers)
{
	_cleanup_free_ uint64_t *ids = malloc((count + 1) * sizeof *ids);
	Gcl__SvmReach message = GCL__SVM_REACH__INIT;

	REFUSE_IF(!ids, CL_OUT_OF_HOST_MEMORY);
	for (size_t i = 0; i < count; i++) {
		const struct _cl_mem *mem = gcl_svm_at(kernel->program->context, pointers[i]);

		if (mem)
			ids[message.n_mems++] = mem->base.id;
	}
	message.kernel = kernel->base.id;
	message.mems = ids;
	return gcl_post(kernel->base.session, GCL_SVM_REACH, &message.base);
}

CL_API_ENTRY cl_int CL_API_CALL clSetKernelExecInfo(cl_kernel kernel,
						    cl_kernel_exec_info param_name,
						    size_t param_value_size,
						    const void *param_value)
{
	TRY(kernel_check(kernel));
	REFUSE_IF(!param_value, CL_INVALID_VALUE);
	switch (param_name) {
	case CL_KERNEL_EXEC_INFO_SVM_PTRS:
		REFUSE_IF(param_value_size == 0 || param_value_size % sizeof(void *),
			  CL_INVALID_VALUE);
		return reach_post(kernel, param_value_size / sizeof(void *), param_value);
	case CL_KERNEL_EXEC_INFO_SVM_FINE_GRAIN_SYSTEM:
		REFUSE_IF(param_value_size != sizeof(cl_bool), CL_INVALID_VALUE);
		REFUSE_IF(*(const cl_bool *)param_value, CL_INVALID_OPERATION);
		return CL_SUCCESS;
	default:
		return CL_INVALID_VALUE;
	}
}
