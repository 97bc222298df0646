/*
 * Kernels: creation from a build's signatures, arguments, and info. Launches are in launch.c.
 *
 * clSetKernelArg is the hottest entry point there is: it writes straight into what the next launch
 * sends.
 */
#include <stdlib.h>

#include "guest.h"
#include "kernel.h"
#include "program.h"

#define ARG_INLINE 16u

/* No value's. */
#define SIZE_UNKNOWN SIZE_MAX

static void kernel_free(cl_kernel kernel)
{
	for (cl_uint i = 0; kernel->args && i < kernel->arg_count; i++)
		free(kernel->args[i].wire.data.data);
	free(kernel->args);
	free(kernel->wire);
	gcl_build_put(kernel->build);
	pthread_mutex_destroy(&kernel->lock);
	if (kernel->program) {
		atomic_fetch_sub(&kernel->program->kernels, 1);
		gcl_program_put(kernel->program);
	}
	gcl_object_free(kernel);
}

static void kernel_put(cl_kernel kernel)
{
	if (!gcl_object_put(kernel))
		return;
	gcl_post_release(kernel->base.session, kernel->base.id);
	kernel_free(kernel);
}

static int args_init(cl_kernel kernel)
{
	cl_uint count = kernel->arg_count;

	kernel->args = calloc(count + 1, sizeof *kernel->args);
	kernel->wire = calloc(count + 1, sizeof(*kernel->wire));
	if (!kernel->args || !kernel->wire)
		return -1;
	for (cl_uint i = 0; i < count; i++) {
		const Gcl__ArgInfo *info = kernel->info->args[i];
		struct gcl_arg *arg = &kernel->args[i];

		gcl__argument__init(&arg->wire);
		arg->wire.index = i;
		arg->wire.kind = info->kind;
		arg->unknown = info->kind == GCL_ARG_UNKNOWN;
		arg->size = info->size ? info->size : SIZE_UNKNOWN;
		if (info->kind != GCL_ARG_VALUE)
			continue;
		arg->capacity = GCL_MAX(info->size, ARG_INLINE);
		arg->wire.data.data = calloc(1, arg->capacity);
		if (!arg->wire.data.data)
			return -1;
	}
	return 0;
}

/* The kernel @index of @build, which is not consumed. */
static cl_kernel kernel_new(cl_program program, struct gcl_build *build, size_t index)
{
	cl_kernel kernel = gcl_object_new(GCL_KIND_KERNEL, program->base.session);
	size_t before = 0;

	if (!kernel)
		return NULL;
	for (size_t i = 0; i < index; i++)
		before += build->answer->kernels[i]->n_args;
	gcl_object_get(program);
	atomic_fetch_add(&program->kernels, 1);
	kernel->program = program;
	atomic_fetch_add(&build->refs, 1);
	kernel->build = build;
	kernel->info = build->answer->kernels[index];
	kernel->probes = build->probes + before;
	kernel->arg_count = (cl_uint)kernel->info->n_args;
	kernel->complete = kernel->arg_count == 0;
	pthread_mutex_init(&kernel->lock, NULL);
	if (args_init(kernel)) {
		kernel_free(kernel);
		return NULL;
	}
	return kernel;
}

cl_kernel gcl_kernel_create(cl_program program, struct gcl_build *build, size_t index,
			    const struct _cl_kernel *original, cl_int *status)
{
	Gcl__KernelCreate message = GCL__KERNEL_CREATE__INIT;
	cl_kernel kernel = kernel_new(program, build, index);

	*status = CL_OUT_OF_HOST_MEMORY;
	if (!kernel)
		return NULL;
	message.id = kernel->base.id;
	message.program = program->base.id;
	message.name = kernel->info->name;
	message.clone = original ? original->base.id : 0;
	*status = gcl_post(program->base.session, GCL_KERNEL_CREATE, &message.base);
	if (*status == CL_SUCCESS)
		return kernel;
	kernel_free(kernel);
	return NULL;
}

/* The program's build with a reference, if it is executable for some device. */
static cl_int build_get(cl_program program, struct gcl_build **build)
{
	bool executable;

	pthread_mutex_lock(&program->lock);
	/* Built-in kernels are not built: those that the host could make are there. */
	executable = program->origin == GCL_PROGRAM_BUILT_IN && program->build &&
		     program->build->answer->n_kernels > 0;
	for (cl_uint i = 0; i < program->device_count; i++)
		executable |= program->per_device[i].executable;
	*build = executable ? program->build : NULL;
	if (*build)
		atomic_fetch_add(&(*build)->refs, 1);
	pthread_mutex_unlock(&program->lock);
	return *build ? CL_SUCCESS : CL_INVALID_PROGRAM_EXECUTABLE;
}

cl_kernel CL_API_CALL clCreateKernel(cl_program program, const char *kernel_name,
				     cl_int *errcode_ret)
{
	struct gcl_build *build;
	cl_kernel kernel = NULL;
	cl_int status;

	REFUSE_NULL_IF(!gcl_valid(program, GCL_KIND_PROGRAM), CL_INVALID_PROGRAM);
	REFUSE_NULL_IF(!kernel_name, CL_INVALID_VALUE);
	status = build_get(program, &build);
	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	status = CL_INVALID_KERNEL_NAME;
	for (size_t i = 0; i < build->answer->n_kernels; i++)
		if (strcmp(build->answer->kernels[i]->name, kernel_name) == 0) {
			kernel = gcl_kernel_create(program, build, i, NULL, &status);
			break;
		}
	gcl_build_put(build);
	if (errcode_ret)
		*errcode_ret = status;
	return kernel;
}

cl_int CL_API_CALL clCreateKernelsInProgram(cl_program program, cl_uint num_kernels,
					    cl_kernel *kernels, cl_uint *num_kernels_ret)
{
	struct gcl_build *build;
	size_t count;
	cl_int status = CL_SUCCESS;

	REFUSE_IF(!gcl_valid(program, GCL_KIND_PROGRAM), CL_INVALID_PROGRAM);
	TRY(build_get(program, &build));
	count = build->answer->n_kernels;
	if (kernels && num_kernels < count)
		status = CL_INVALID_VALUE;
	for (size_t i = 0; kernels && status == CL_SUCCESS && i < count; i++) {
		kernels[i] = gcl_kernel_create(program, build, i, NULL, &status);
		while (status != CL_SUCCESS && i-- > 0)
			kernel_put(kernels[i]);
	}
	gcl_build_put(build);
	if (status == CL_SUCCESS && num_kernels_ret)
		*num_kernels_ret = (cl_uint)count;
	return status;
}

cl_int CL_API_CALL clRetainKernel(cl_kernel kernel)
{
	REFUSE_IF(!gcl_valid(kernel, GCL_KIND_KERNEL), CL_INVALID_KERNEL);
	gcl_object_get(kernel);
	return CL_SUCCESS;
}

cl_int CL_API_CALL clReleaseKernel(cl_kernel kernel)
{
	REFUSE_IF(!gcl_valid(kernel, GCL_KIND_KERNEL), CL_INVALID_KERNEL);
	kernel_put(kernel);
	return CL_SUCCESS;
}

/* ------------------------------------------------------------ arguments */

/* A value whose type's size only the host knows (a struct): asked once for each argument and size.
 */
static cl_int size_probe(cl_kernel kernel, cl_uint index, size_t size)
{
	Gcl__ArgProbe message = GCL__ARG_PROBE__INIT;
	ProtobufCMessage *reply;
	cl_int status;

	if (atomic_load_explicit(&kernel->probes[index], memory_order_relaxed) == size)
		return CL_SUCCESS;
	REFUSE_IF(size > GCL_INLINE_MAX, CL_INVALID_ARG_SIZE);
	message.kernel = kernel->base.id;
	message.index = index;
	message.size = size;
	TRY(gcl_ask(kernel->base.session, GCL_ARG_PROBE, &message.base, GCL_ANSWER_ARG_PROBE,
		    &reply));
	status = ((Gcl__ArgProbeAnswer *)reply)->status;
	protobuf_c_message_free_unpacked(reply, NULL);
	if (status == CL_SUCCESS)
		atomic_store_explicit(&kernel->probes[index], size, memory_order_relaxed);
	return status;
}

static cl_int value_set(cl_kernel kernel, struct gcl_arg *arg, size_t size, const void *value)
{
	REFUSE_IF(!value, CL_INVALID_ARG_VALUE);
	if (__builtin_expect(arg->size != size, 0)) {
		REFUSE_IF(arg->size != SIZE_UNKNOWN || size == 0, CL_INVALID_ARG_SIZE);
		TRY(size_probe(kernel, arg->wire.index, size));
	}
	if (__builtin_expect(size > arg->capacity, 0)) {
		uint8_t *grown = realloc(arg->wire.data.data, size);

		REFUSE_IF(!grown, CL_OUT_OF_HOST_MEMORY);
		arg->wire.data.data = grown;
		arg->capacity = size;
	}
	if (size == 4)
		memcpy(arg->wire.data.data, value, 4);
	else
		memcpy(arg->wire.data.data, value, size);
	arg->wire.data.len = size;
	return CL_SUCCESS;
}

static cl_int mem_set(cl_kernel kernel, struct gcl_arg *arg, size_t size, const void *value)
{
	cl_mem mem = value ? *(const cl_mem *)value : NULL;
	bool image = arg->wire.kind == GCL_ARG_IMAGE;

	REFUSE_IF(size != sizeof(cl_mem), CL_INVALID_ARG_SIZE);
	if (!mem) {
		REFUSE_IF(image, CL_INVALID_MEM_OBJECT);
		arg->wire.svm = false;
		arg->wire.object = 0;
		return CL_SUCCESS;
	}
	REFUSE_IF(image ? !gcl_mem_is_image(mem) : !gcl_mem_is_buffer(mem), CL_INVALID_MEM_OBJECT);
	REFUSE_IF(mem->context != kernel->program->context, CL_INVALID_MEM_OBJECT);
	TRY(gcl_mem_tell(mem));
	arg->wire.svm = false;
	arg->wire.object = mem->base.id;
	return CL_SUCCESS;
}

static cl_int sampler_set(cl_kernel kernel, struct gcl_arg *arg, size_t size, const void *value)
{
	cl_sampler sampler = value ? *(const cl_sampler *)value : NULL;

	REFUSE_IF(size != sizeof(cl_sampler), CL_INVALID_ARG_SIZE);
	REFUSE_IF(!value, CL_INVALID_ARG_VALUE);
	REFUSE_IF(!gcl_valid(sampler, GCL_KIND_SAMPLER), CL_INVALID_SAMPLER);
	REFUSE_IF(sampler->context != kernel->program->context, CL_INVALID_SAMPLER);
	arg->wire.object = sampler->base.id;
	return CL_SUCCESS;
}

static cl_int local_set(struct gcl_arg *arg, size_t size, const void *value)
{
	REFUSE_IF(value, CL_INVALID_ARG_VALUE);
	REFUSE_IF(size == 0, CL_INVALID_ARG_SIZE);
	arg->wire.local_size = size;
	return CL_SUCCESS;
}

static inline cl_int arg_set(cl_kernel kernel, struct gcl_arg *arg, size_t size, const void *value)
{
	switch (arg->wire.kind) {
	case GCL_ARG_BUFFER:
	case GCL_ARG_IMAGE:
		return mem_set(kernel, arg, size, value);
	case GCL_ARG_SAMPLER:
		return sampler_set(kernel, arg, size, value);
	case GCL_ARG_LOCAL:
		return local_set(arg, size, value);
	default:
		return value_set(kernel, arg, size, value);
	}
}

/* NULL is local memory, or a buffer that isn't there: the same call to the host. So are zeros. */
static enum gcl_arg_kind kind_given(size_t size, const void *value)
{
	void *handle;

	if (!value)
		return GCL_ARG_LOCAL;
	if (size != sizeof handle)
		return GCL_ARG_VALUE;
	memcpy(&handle, value, sizeof handle);
	if (gcl_object_exists(handle, GCL_KIND_SAMPLER))
		return GCL_ARG_SAMPLER;
	if (!gcl_object_exists(handle, GCL_KIND_MEM))
		return GCL_ARG_VALUE;
	return gcl_mem_is_image(handle) ? GCL_ARG_IMAGE : GCL_ARG_BUFFER;
}

/* Some runtimes keep no signatures of some programs, such as those from binaries. */
static cl_int unknown_set(cl_kernel kernel, struct gcl_arg *arg, size_t size, const void *value)
{
	uint32_t before = arg->wire.kind;
	cl_int status;

	arg->wire.kind = kind_given(size, value);
	status = arg_set(kernel, arg, size, value);
	if (status == CL_SUCCESS)
		arg->wire.svm = false;
	else
		arg->wire.kind = before;
	return status;
}

cl_int CL_API_CALL clSetKernelArg(cl_kernel kernel, cl_uint arg_index, size_t arg_size,
				  const void *arg_value)
{
	struct gcl_arg *arg;
	cl_int status;

	REFUSE_IF(!gcl_valid(kernel, GCL_KIND_KERNEL), CL_INVALID_KERNEL);
	REFUSE_IF(arg_index >= kernel->arg_count, CL_INVALID_ARG_INDEX);
	arg = &kernel->args[arg_index];
	if (__builtin_expect(arg->unknown, 0))
		status = unknown_set(kernel, arg, arg_size, arg_value);
	else
		status = arg_set(kernel, arg, arg_size, arg_value);
	if (status == CL_SUCCESS) {
		arg->set = true;
		arg->dirty = true;
		atomic_store_explicit(&kernel->dirty, true, memory_order_release);
	}
	return status;
}

/* ------------------------------------------------------------ info */

cl_int CL_API_CALL clGetKernelInfo(cl_kernel kernel, cl_kernel_info param_name,
				   size_t param_value_size, void *param_value,
				   size_t *param_value_size_ret)
{
	REFUSE_IF(!gcl_valid(kernel, GCL_KIND_KERNEL), CL_INVALID_KERNEL);
	switch (param_name) {
	case CL_KERNEL_FUNCTION_NAME:
		return gcl_info_string(kernel->info->name, param_value_size, param_value,
				       param_value_size_ret);
	case CL_KERNEL_NUM_ARGS:
		GCL_INFO_VALUE(cl_uint, kernel->arg_count);
	case CL_KERNEL_REFERENCE_COUNT:
		GCL_INFO_VALUE(cl_uint, kernel->base.refs);
	case CL_KERNEL_CONTEXT:
		GCL_INFO_VALUE(cl_context, kernel->program->context);
	case CL_KERNEL_PROGRAM:
		GCL_INFO_VALUE(cl_program, kernel->program);
	case CL_KERNEL_ATTRIBUTES:
		return gcl_info_string(kernel->info->attributes, param_value_size, param_value,
				       param_value_size_ret);
	default:
		return CL_INVALID_VALUE;
	}
}

/* The host always has it; a program gets it where it asked for it, or where no option decides. */
static bool arg_info_wanted(cl_program program)
{
	bool wanted = program->origin == GCL_PROGRAM_BINARY ||
		      program->origin == GCL_PROGRAM_BUILT_IN || program->origin == GCL_PROGRAM_IL;

	pthread_mutex_lock(&program->lock);
	for (cl_uint i = 0; i < program->device_count; i++) {
		const char *options = program->per_device[i].options;

		wanted |= options && strstr(options, "-cl-kernel-arg-info");
	}
	pthread_mutex_unlock(&program->lock);
	return wanted;
}

cl_int CL_API_CALL clGetKernelArgInfo(cl_kernel kernel, cl_uint arg_index,
				      cl_kernel_arg_info param_name, size_t param_value_size,
				      void *param_value, size_t *param_value_size_ret)
{
	const Gcl__ArgInfo *info;

	REFUSE_IF(!gcl_valid(kernel, GCL_KIND_KERNEL), CL_INVALID_KERNEL);
	REFUSE_IF(arg_index >= kernel->arg_count, CL_INVALID_ARG_INDEX);
	info = kernel->info->args[arg_index];
	REFUSE_IF(!info->has_info || !arg_info_wanted(kernel->program),
		  CL_KERNEL_ARG_INFO_NOT_AVAILABLE);
	switch (param_name) {
	case CL_KERNEL_ARG_ADDRESS_QUALIFIER:
		GCL_INFO_VALUE(cl_kernel_arg_address_qualifier, info->address);
	case CL_KERNEL_ARG_ACCESS_QUALIFIER:
		GCL_INFO_VALUE(cl_kernel_arg_access_qualifier, info->access);
	case CL_KERNEL_ARG_TYPE_NAME:
		return gcl_info_string(info->type_name, param_value_size, param_value,
				       param_value_size_ret);
	case CL_KERNEL_ARG_TYPE_QUALIFIER:
		GCL_INFO_VALUE(cl_kernel_arg_type_qualifier, info->type_qualifier);
	case CL_KERNEL_ARG_NAME:
		return gcl_info_string(info->name, param_value_size, param_value,
				       param_value_size_ret);
	default:
		return CL_INVALID_VALUE;
	}
}

/* So it is in OpenCL C before 2.0, and where an option asks for it. How a program was compiled that
 * doesn't come from source isn't known here. */
bool gcl_kernel_uniform(const struct _cl_kernel *kernel, const struct _cl_device_id *device)
{
	cl_program program = kernel->program;
	bool uniform = true;

	if (!device->non_uniform)
		return true;
	pthread_mutex_lock(&program->lock);
	for (cl_uint i = 0; i < program->device_count; i++) {
		const char *options = program->per_device[i].options;

		if (program->devices[i] != device)
			continue;
		uniform = program->source && (!options || (!strstr(options, "-cl-std=CL2") &&
							   !strstr(options, "-cl-std=CL3")));
		uniform |= options && strstr(options, "-cl-uniform-work-group-size");
	}
	pthread_mutex_unlock(&program->lock);
	return uniform;
}

const Gcl__KernelDevice *gcl_kernel_device(const struct _cl_kernel *kernel,
					   const struct _cl_device_id *device)
{
	for (size_t i = 0; i < kernel->info->n_devices; i++)
		if (kernel->info->devices[i]->device == device->host->id)
			return kernel->info->devices[i];
	return NULL;
}

/* Three sizes, as the host told them, or zeros. */
static cl_int info_sizes(size_t count, const uint64_t *sizes, size_t param_value_size,
			 void *param_value, size_t *param_value_size_ret)
{
	size_t values[3] = {0, 0, 0};

	for (size_t i = 0; i < count && i < 3; i++)
		values[i] = sizes[i];
	return gcl_info(values, sizeof values, param_value_size, param_value, param_value_size_ret);
}

cl_int CL_API_CALL clGetKernelWorkGroupInfo(cl_kernel kernel, cl_device_id device,
					    cl_kernel_work_group_info param_name,
					    size_t param_value_size, void *param_value,
					    size_t *param_value_size_ret)
{
	const Gcl__KernelDevice *told;

	REFUSE_IF(!gcl_valid(kernel, GCL_KIND_KERNEL), CL_INVALID_KERNEL);
	REFUSE_IF(device && !gcl_valid(device, GCL_KIND_DEVICE), CL_INVALID_DEVICE);
	REFUSE_IF(!device && kernel->info->n_devices != 1, CL_INVALID_DEVICE);
	told = device ? gcl_kernel_device(kernel, device) : kernel->info->devices[0];
	REFUSE_IF(!told, CL_INVALID_DEVICE);
	switch (param_name) {
	case CL_KERNEL_WORK_GROUP_SIZE:
		GCL_INFO_VALUE(size_t, told->work_group_size);
	case CL_KERNEL_COMPILE_WORK_GROUP_SIZE:
		return info_sizes(told->n_compile_work_group_size, told->compile_work_group_size,
				  param_value_size, param_value, param_value_size_ret);
	case CL_KERNEL_LOCAL_MEM_SIZE:
		GCL_INFO_VALUE(cl_ulong, told->local_mem_size);
	case CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE:
		GCL_INFO_VALUE(size_t, told->preferred_multiple);
	case CL_KERNEL_PRIVATE_MEM_SIZE:
		GCL_INFO_VALUE(cl_ulong, told->private_mem_size);
	case CL_KERNEL_GLOBAL_WORK_SIZE:
		REFUSE_IF(told->n_global_work_size == 0, CL_INVALID_VALUE);
		return info_sizes(told->n_global_work_size, told->global_work_size,
				  param_value_size, param_value, param_value_size_ret);
	default:
		return CL_INVALID_VALUE;
	}
}
