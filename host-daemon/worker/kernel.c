/*
 * Kernels: creating them and asking the runtime what it would take as an argument.
 *
 * The kernel's signature is looked up once, when it is created: launches are checked against it, so
 * that the runtime never takes a value for an object.
 */
#include "program.h"
#include "svm.h"

#include <errno.h>

void gcl_kernel_release(struct gcl_worker *worker, struct gcl_entry *entry)
{
	struct gcl_kernel *kernel = entry->detail;

	(void)worker;
	if (entry->handle)
		clReleaseKernel(entry->handle);
	if (!kernel)
		return;
	gcl_kernel_twins_fini(kernel);
	gcl_svm_kernel_fini(kernel);
	gcl_recipe_put(kernel->recipe);
	gcl_context_put(kernel->owner);
	gcl_program_put(kernel->program);
	free(kernel);
}

static void arg_inspect(const struct gcl_worker *worker, struct gcl_kernel_arg *arg,
			cl_kernel kernel, cl_uint index)
{
	arg->kind = gcl_arg_kind(kernel, index);
	if (worker->client)
		arg->access = gcl_arg_access(kernel, index);
}

/* Return: the signature of @handle, or NULL and *@status. */
static struct gcl_kernel *kernel_inspect(const struct gcl_worker *worker, cl_kernel handle,
					 cl_int *status)
{
	struct gcl_kernel *kernel;
	cl_context context;
	cl_uint arg_count;

	*status = clGetKernelInfo(handle, CL_KERNEL_NUM_ARGS, sizeof arg_count, &arg_count, NULL);
	if (*status == CL_SUCCESS)
		*status =
			clGetKernelInfo(handle, CL_KERNEL_CONTEXT, sizeof context, &context, NULL);
	if (*status != CL_SUCCESS)
		return NULL;
	kernel = calloc(1, sizeof *kernel + arg_count * sizeof kernel->args[0]);
	if (!kernel) {
		*status = CL_OUT_OF_HOST_MEMORY;
		return NULL;
	}
	kernel->handle = handle;
	kernel->context = context;
	kernel->arg_count = arg_count;
	for (cl_uint i = 0; i < arg_count; i++)
		arg_inspect(worker, &kernel->args[i], handle, i);
	return kernel;
}

/* The launches of a clone bring its arguments. */
static int kernel_clone(struct gcl_worker *worker, struct gcl_kernel *kernel, uint64_t original)
{
	const struct gcl_entry *entry = gcl_table_find(worker, original, GCL_KIND_KERNEL);

	if (!entry)
		return -EPROTO;
	return entry->detail ? gcl_svm_reach_clone(worker, kernel, entry->detail) : 0;
}

int gcl_handle_kernel_create(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__KernelCreate *message = (const Gcl__KernelCreate *)call->message;
	struct gcl_entry *program = gcl_program_find(worker, message->program);
	struct gcl_kernel *kernel = NULL;
	cl_kernel handle = NULL;
	struct gcl_entry *entry;
	cl_int status;

	if (!program)
		return -EPROTO;
	entry = gcl_table_add(worker, message->id, GCL_KIND_KERNEL);
	if (!entry)
		return -EPROTO;

	status = program->failed;
	if (status == CL_SUCCESS)
		handle = clCreateKernel(program->handle, message->name, &status);
	if (status == CL_SUCCESS && handle)
		kernel = kernel_inspect(worker, handle, &status);
	if (handle && !kernel) {
		clReleaseKernel(handle);
		handle = NULL;
	}
	if (kernel) {
		kernel->program = gcl_program_get(program->detail);
		kernel->recipe = gcl_program_recipe(program->detail);
		kernel->owner = gcl_context_get(kernel->program->context);
	}
	entry->detail = kernel;
	gcl_object_made(worker, entry, handle, status);
	return kernel && message->clone ? kernel_clone(worker, kernel, message->clone) : 0;
}

/* A kernel just like @kernel whose arguments nobody minds, or NULL and *@status. */
static cl_kernel kernel_scratch(cl_kernel kernel, cl_int *status)
{
	_cleanup_free_ char *name = NULL;
	cl_program program;
	size_t size;

	*status = clGetKernelInfo(kernel, CL_KERNEL_PROGRAM, sizeof program, &program, NULL);
	if (*status == CL_SUCCESS)
		*status = clGetKernelInfo(kernel, CL_KERNEL_FUNCTION_NAME, 0, NULL, &size);
	if (*status != CL_SUCCESS)
		return NULL;
	name = malloc(size);
	*status = CL_OUT_OF_HOST_MEMORY;
	if (name)
		*status = clGetKernelInfo(kernel, CL_KERNEL_FUNCTION_NAME, size, name, NULL);
	if (*status != CL_SUCCESS)
		return NULL;
	return clCreateKernel(program, name, status);
}

/* Try a value of zeros. Kinds that are not values have their sizes by definition, and a zero there
 * would be an object that isn't. */
static cl_int arg_probe(const struct gcl_kernel *kernel, cl_uint index, uint64_t size)
{
	static const max_align_t zeros[GCL_INLINE_MAX / sizeof(max_align_t)];
	enum gcl_arg_kind kind = kernel->args[index].kind;
	cl_kernel scratch;
	cl_int status;

	if (!size || size > sizeof zeros)
		return CL_INVALID_ARG_SIZE;
	if (kind == GCL_ARG_LOCAL)
		return CL_SUCCESS;
	if (kind != GCL_ARG_VALUE && kind != GCL_ARG_UNKNOWN)
		return size == sizeof(cl_mem) ? CL_SUCCESS : CL_INVALID_ARG_SIZE;
	scratch = kernel_scratch(kernel->handle, &status);
	if (!scratch)
		return status;
	status = clSetKernelArg(scratch, index, size, zeros);
	clReleaseKernel(scratch);
	return status;
}

int gcl_handle_arg_probe(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__ArgProbe *message = (const Gcl__ArgProbe *)call->message;
	struct gcl_entry *entry = gcl_table_find(worker, message->kernel, GCL_KIND_KERNEL);
	const struct gcl_kernel *kernel = entry ? entry->detail : NULL;
	Gcl__ArgProbeAnswer answer = GCL__ARG_PROBE_ANSWER__INIT;

	if (!entry || (kernel && message->index >= kernel->arg_count))
		return -EPROTO;
	answer.request = call->head->sequence;
	answer.status = kernel ? arg_probe(kernel, message->index, message->size) : entry->failed;
	gcl_send(worker, GCL_ANSWER_ARG_PROBE, &answer.base, 0, 0);
	return 0;
}
