/*
 * Programs: creation, life, and what clGetProgramInfo and clGetProgramBuildInfo say. Builds are in
 * build.c.
 *
 * Must not: hold program->lock while waiting for the host.
 */
#include "program.h"

#include <stdlib.h>

#include "guest.h"

void gcl_build_put(struct gcl_build *build)
{
	if (!build || atomic_fetch_sub(&build->refs, 1) != 1)
		return;
	gcl__build_answer__free_unpacked(build->answer, NULL);
	free(build->probes);
	free(build);
}

void gcl_binaries_drop_locked(cl_program program)
{
	if (program->binaries)
		gcl__binaries_answer__free_unpacked(program->binaries, NULL);
	program->binaries = NULL;
}

static void program_free(cl_program program)
{
	for (cl_uint i = 0; i < program->device_count; i++) {
		gcl_device_put(program->devices[i]);
		if (program->per_device) {
			free(program->per_device[i].options);
			free(program->per_device[i].log);
		}
	}
	gcl_build_put(program->build);
	gcl_binaries_drop_locked(program);
	free(program->devices);
	free(program->per_device);
	free(program->source);
	free(program->il);
	pthread_mutex_destroy(&program->lock);
	gcl_context_put(program->context);
	gcl_object_free(program);
}

void gcl_program_put(cl_program program)
{
	if (!program || !gcl_object_put(program))
		return;
	gcl_post_release(program->base.session, program->base.id);
	program_free(program);
}

/** gcl_program_new() - for @count devices of @context; NULL without memory. */
cl_program gcl_program_new(cl_context context, cl_uint count, const cl_device_id *devices)
{
	cl_program program = gcl_object_new(GCL_KIND_PROGRAM, context->base.session);

	if (!program)
		return NULL;
	gcl_object_get(context);
	program->context = context;
	pthread_mutex_init(&program->lock, NULL);
	program->devices = calloc(count, sizeof(*program->devices));
	program->per_device = calloc(count, sizeof *program->per_device);
	if (!program->devices || !program->per_device) {
		program_free(program);
		return NULL;
	}
	program->device_count = count;
	for (cl_uint i = 0; i < count; i++) {
		gcl_object_get(devices[i]);
		program->devices[i] = devices[i];
		program->per_device[i].status = CL_BUILD_NONE;
	}
	return program;
}

void gcl_program_forget(cl_program program)
{
	program_free(program);
}

cl_int gcl_devices_check(const struct _cl_context *context, cl_uint count,
			 const cl_device_id *devices)
{
	REFUSE_IF(count == 0 || !devices, CL_INVALID_VALUE);
	for (cl_uint i = 0; i < count; i++)
		REFUSE_IF(!gcl_valid(devices[i], GCL_KIND_DEVICE) ||
				  !gcl_context_has_device(context, devices[i]),
			  CL_INVALID_DEVICE);
	return CL_SUCCESS;
}

uint64_t *gcl_device_ids(cl_uint count, const cl_device_id *devices)
{
	uint64_t *ids = calloc(count, sizeof *ids);

	for (cl_uint i = 0; ids && i < count; i++)
		ids[i] = devices[i]->host->id;
	return ids;
}

/* ------------------------------------------------------------ from source */

static char *sources_join(cl_uint count, const char **strings, const size_t *lengths, size_t *total)
{
	size_t size = 0;
	char *joined;

	for (cl_uint i = 0; i < count; i++)
		size += lengths && lengths[i] ? lengths[i] : strlen(strings[i]);
	joined = malloc(size + 1);
	if (!joined)
		return NULL;
	*total = size + 1;
	size = 0;
	for (cl_uint i = 0; i < count; i++) {
		size_t part = lengths && lengths[i] ? lengths[i] : strlen(strings[i]);

		memcpy(joined + size, strings[i], part);
		size += part;
	}
	joined[size] = '\0';
	return joined;
}

cl_program CL_API_CALL clCreateProgramWithSource(cl_context context, cl_uint count,
						 const char **strings, const size_t *lengths,
						 cl_int *errcode_ret)
{
	Gcl__ProgramCreateSource message = GCL__PROGRAM_CREATE_SOURCE__INIT;
	cl_program program;
	cl_int status;

	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_NULL_IF(count == 0 || !strings, CL_INVALID_VALUE);
	for (cl_uint i = 0; i < count; i++)
		REFUSE_NULL_IF(!strings[i], CL_INVALID_VALUE);
	program = gcl_program_new(context, context->device_count, context->devices);
	REFUSE_NULL_IF(!program, CL_OUT_OF_HOST_MEMORY);
	program->source = sources_join(count, strings, lengths, &program->source_size);
	if (!program->source) {
		gcl_program_forget(program);
		REFUSE_NULL_IF(true, CL_OUT_OF_HOST_MEMORY);
	}
	message.id = program->base.id;
	message.context = context->base.id;
	message.source.data = (uint8_t *)program->source;
	message.source.len = program->source_size - 1;
	status = gcl_post(context->base.session, GCL_PROGRAM_CREATE_SOURCE, &message.base);
	if (status != CL_SUCCESS)
		gcl_program_forget(program);
	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	if (errcode_ret)
		*errcode_ret = CL_SUCCESS;
	return program;
}

/* ------------------------------------------------------------ from binaries and built-in kernels:
 * answered */

static cl_int creation_ask(cl_program program, enum gcl_message number,
			   const ProtobufCMessage *message, cl_int *binary_status)
{
	ProtobufCMessage *reply;
	Gcl__BuildAnswer *answer;
	cl_int status = gcl_ask(program->base.session, number, message, GCL_ANSWER_BUILD, &reply);

	if (status != CL_SUCCESS) {
		gcl_program_forget(program);
		return status;
	}
	answer = (Gcl__BuildAnswer *)reply;
	status = answer->status;
	for (cl_uint i = 0; binary_status && i < program->device_count; i++)
		for (size_t j = 0; j < answer->n_devices; j++)
			if (answer->devices[j]->device == program->devices[i]->host->id)
				binary_status[i] = answer->devices[j]->binary_status;
	if (status == CL_SUCCESS)
		gcl_program_answer(program, answer, NULL);
	else
		gcl__build_answer__free_unpacked(answer, NULL);
	if (status != CL_SUCCESS)
		gcl_program_put(program);
	return status;
}

cl_program gcl_program_ask(cl_program program, enum gcl_message number,
			   const ProtobufCMessage *message, cl_int *binary_status,
			   cl_int *errcode_ret)
{
	cl_int status = creation_ask(program, number, message, binary_status);

	if (errcode_ret)
		*errcode_ret = status;
	return status == CL_SUCCESS ? program : NULL;
}

cl_program CL_API_CALL clCreateProgramWithBinary(cl_context context, cl_uint num_devices,
						 const cl_device_id *device_list,
						 const size_t *lengths,
						 const unsigned char **binaries,
						 cl_int *binary_status, cl_int *errcode_ret)
{
	Gcl__ProgramCreateBinary message = GCL__PROGRAM_CREATE_BINARY__INIT;
	_cleanup_free_ ProtobufCBinaryData *data = NULL;
	_cleanup_free_ uint64_t *ids = NULL;
	cl_program program;
	bool empty = false;
	cl_int status;

	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	status = gcl_devices_check(context, num_devices, device_list);
	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	REFUSE_NULL_IF(!lengths || !binaries, CL_INVALID_VALUE);
	for (cl_uint i = 0; i < num_devices; i++) {
		bool bad = lengths[i] == 0 || !binaries[i];

		if (binary_status)
			binary_status[i] = bad ? CL_INVALID_VALUE : CL_SUCCESS;
		empty |= bad;
	}
	REFUSE_NULL_IF(empty, CL_INVALID_VALUE);
	ids = gcl_device_ids(num_devices, device_list);
	data = calloc(num_devices, sizeof *data);
	program = ids && data ? gcl_program_new(context, num_devices, device_list) : NULL;
	REFUSE_NULL_IF(!program, CL_OUT_OF_HOST_MEMORY);
	for (cl_uint i = 0; i < num_devices; i++) {
		data[i].data = (uint8_t *)(uintptr_t)binaries[i];
		data[i].len = lengths[i];
	}
	program->origin = GCL_PROGRAM_BINARY;
	message.id = program->base.id;
	message.context = context->base.id;
	message.n_devices = num_devices;
	message.devices = ids;
	message.n_binaries = num_devices;
	message.binaries = data;
	return gcl_program_ask(program, GCL_PROGRAM_CREATE_BINARY, &message.base, binary_status,
			       errcode_ret);
}

cl_program CL_API_CALL clCreateProgramWithBuiltInKernels(cl_context context, cl_uint num_devices,
							 const cl_device_id *device_list,
							 const char *kernel_names,
							 cl_int *errcode_ret)
{
	Gcl__ProgramCreateBuiltIn message = GCL__PROGRAM_CREATE_BUILT_IN__INIT;
	_cleanup_free_ uint64_t *ids = NULL;
	cl_program program;
	cl_int status;

	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_NULL_IF(num_devices == 0 || !device_list || !kernel_names, CL_INVALID_VALUE);
	status = gcl_devices_check(context, num_devices, device_list);
	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	ids = gcl_device_ids(num_devices, device_list);
	program = ids ? gcl_program_new(context, num_devices, device_list) : NULL;
	REFUSE_NULL_IF(!program, CL_OUT_OF_HOST_MEMORY);
	program->origin = GCL_PROGRAM_BUILT_IN;
	message.id = program->base.id;
	message.context = context->base.id;
	message.n_devices = num_devices;
	message.devices = ids;
	message.names = (char *)(uintptr_t)kernel_names;
	return gcl_program_ask(program, GCL_PROGRAM_CREATE_BUILT_IN, &message.base, NULL,
			       errcode_ret);
}

cl_int CL_API_CALL clRetainProgram(cl_program program)
{
	REFUSE_IF(!gcl_valid(program, GCL_KIND_PROGRAM), CL_INVALID_PROGRAM);
	gcl_object_get(program);
	return CL_SUCCESS;
}

cl_int CL_API_CALL clReleaseProgram(cl_program program)
{
	REFUSE_IF(!gcl_valid(program, GCL_KIND_PROGRAM), CL_INVALID_PROGRAM);
	gcl_program_put(program);
	return CL_SUCCESS;
}

cl_int CL_API_CALL clUnloadPlatformCompiler(cl_platform_id platform)
{
	REFUSE_IF(!gcl_valid(platform, GCL_KIND_PLATFORM), CL_INVALID_PLATFORM);
	return CL_SUCCESS;
}

cl_int CL_API_CALL clUnloadCompiler(void)
{
	return CL_SUCCESS;
}

/* ------------------------------------------------------------ info */

static bool program_executable(cl_program program)
{
	bool executable = false;

	pthread_mutex_lock(&program->lock);
	for (cl_uint i = 0; i < program->device_count; i++)
		executable |= program->per_device[i].executable;
	pthread_mutex_unlock(&program->lock);
	return executable;
}

static cl_int kernel_names(cl_program program, size_t param_value_size, void *param_value,
			   size_t *param_value_size_ret)
{
	_cleanup_free_ char *names = NULL;
	size_t size = 1;
	char *end;

	pthread_mutex_lock(&program->lock);
	for (size_t i = 0; program->build && i < program->build->answer->n_kernels; i++)
		size += strlen(program->build->answer->kernels[i]->name) + 1;
	names = end = malloc(size);
	for (size_t i = 0; names && program->build && i < program->build->answer->n_kernels; i++) {
		if (i)
			*end++ = ';';
		end = stpcpy(end, program->build->answer->kernels[i]->name);
	}
	pthread_mutex_unlock(&program->lock);
	if (!names)
		return CL_OUT_OF_HOST_MEMORY;
	*end = '\0';
	return gcl_info_string(names, param_value_size, param_value, param_value_size_ret);
}

/* The host's binaries, kept until the next build so that sizes and contents agree. */
static cl_int binaries_fetch(cl_program program)
{
	Gcl__ProgramBinaries message = GCL__PROGRAM_BINARIES__INIT;
	ProtobufCMessage *reply;
	Gcl__BinariesAnswer *answer;
	cl_int status;

	message.program = program->base.id;
	TRY(gcl_ask(program->base.session, GCL_PROGRAM_BINARIES, &message.base, GCL_ANSWER_BINARIES,
		    &reply));
	answer = (Gcl__BinariesAnswer *)reply;
	status = answer->status;
	if (status == CL_SUCCESS && answer->n_devices != answer->n_binaries)
		status = CL_OUT_OF_RESOURCES;
	if (status != CL_SUCCESS) {
		gcl__binaries_answer__free_unpacked(answer, NULL);
		return status;
	}
	pthread_mutex_lock(&program->lock);
	gcl_binaries_drop_locked(program);
	program->binaries = answer;
	pthread_mutex_unlock(&program->lock);
	return CL_SUCCESS;
}

static const ProtobufCBinaryData *binary_of_locked(cl_program program, cl_uint device)
{
	const Gcl__BinariesAnswer *binaries = program->binaries;

	for (size_t i = 0; binaries && i < binaries->n_devices; i++)
		if (binaries->devices[i] == program->devices[device]->host->id)
			return &binaries->binaries[i];
	return NULL;
}

static cl_int binary_sizes(cl_program program, size_t param_value_size, void *param_value,
			   size_t *param_value_size_ret)
{
	_cleanup_free_ size_t *sizes = calloc(program->device_count, sizeof *sizes);

	if (!sizes)
		return CL_OUT_OF_HOST_MEMORY;
	if (param_value)
		TRY(binaries_fetch(program));
	pthread_mutex_lock(&program->lock);
	for (cl_uint i = 0; i < program->device_count; i++) {
		const ProtobufCBinaryData *binary = binary_of_locked(program, i);

		sizes[i] = binary ? binary->len : 0;
	}
	pthread_mutex_unlock(&program->lock);
	return gcl_info(sizes, program->device_count * sizeof *sizes, param_value_size, param_value,
			param_value_size_ret);
}

static cl_int binaries_copy(cl_program program, size_t param_value_size, unsigned char **pointers,
			    size_t *param_value_size_ret)
{
	size_t size = program->device_count * sizeof *pointers;
	bool known;

	REFUSE_IF(pointers && param_value_size < size, CL_INVALID_VALUE);
	if (param_value_size_ret)
		*param_value_size_ret = size;
	if (!pointers)
		return CL_SUCCESS;
	pthread_mutex_lock(&program->lock);
	known = program->binaries;
	pthread_mutex_unlock(&program->lock);
	if (!known)
		TRY(binaries_fetch(program));
	pthread_mutex_lock(&program->lock);
	for (cl_uint i = 0; i < program->device_count; i++) {
		const ProtobufCBinaryData *binary = binary_of_locked(program, i);

		if (pointers[i] && binary && binary->len)
			memcpy(pointers[i], binary->data, binary->len);
	}
	pthread_mutex_unlock(&program->lock);
	return CL_SUCCESS;
}

cl_int CL_API_CALL clGetProgramInfo(cl_program program, cl_program_info param_name,
				    size_t param_value_size, void *param_value,
				    size_t *param_value_size_ret)
{
	REFUSE_IF(!gcl_valid(program, GCL_KIND_PROGRAM), CL_INVALID_PROGRAM);
	switch (param_name) {
	case CL_PROGRAM_REFERENCE_COUNT:
		GCL_INFO_VALUE(cl_uint, program->base.refs);
	case CL_PROGRAM_CONTEXT:
		GCL_INFO_VALUE(cl_context, program->context);
	case CL_PROGRAM_NUM_DEVICES:
		GCL_INFO_VALUE(cl_uint, program->device_count);
	case CL_PROGRAM_DEVICES:
		return gcl_info(program->devices, program->device_count * sizeof(*program->devices),
				param_value_size, param_value, param_value_size_ret);
	case CL_PROGRAM_SOURCE:
		return gcl_info(program->source ? program->source : "",
				program->source ? program->source_size : 1, param_value_size,
				param_value, param_value_size_ret);
	case CL_PROGRAM_BINARY_SIZES:
		return binary_sizes(program, param_value_size, param_value, param_value_size_ret);
	case CL_PROGRAM_BINARIES:
		return binaries_copy(program, param_value_size, param_value, param_value_size_ret);
	case CL_PROGRAM_IL:
		return gcl_info(program->il, program->il_size, param_value_size, param_value,
				param_value_size_ret);
	case CL_PROGRAM_SCOPE_GLOBAL_CTORS_PRESENT:
	case CL_PROGRAM_SCOPE_GLOBAL_DTORS_PRESENT:
		GCL_INFO_VALUE(cl_bool, CL_FALSE);
	case CL_PROGRAM_NUM_KERNELS:
		REFUSE_IF(!program_executable(program), CL_INVALID_PROGRAM_EXECUTABLE);
		GCL_INFO_VALUE(size_t, program->build ? program->build->answer->n_kernels : 0);
	case CL_PROGRAM_KERNEL_NAMES:
		REFUSE_IF(!program_executable(program), CL_INVALID_PROGRAM_EXECUTABLE);
		return kernel_names(program, param_value_size, param_value, param_value_size_ret);
	default:
		return CL_INVALID_VALUE;
	}
}

cl_int CL_API_CALL clGetProgramBuildInfo(cl_program program, cl_device_id device,
					 cl_program_build_info param_name, size_t param_value_size,
					 void *param_value, size_t *param_value_size_ret)
{
	struct gcl_program_device *built = NULL;
	cl_int status = CL_INVALID_VALUE;

	REFUSE_IF(!gcl_valid(program, GCL_KIND_PROGRAM), CL_INVALID_PROGRAM);
	for (cl_uint i = 0; i < program->device_count; i++)
		if (program->devices[i] == device)
			built = &program->per_device[i];
	REFUSE_IF(!built, CL_INVALID_DEVICE);
	pthread_mutex_lock(&program->lock);
	if (param_name == CL_PROGRAM_BUILD_STATUS)
		status = gcl_info(&built->status, sizeof built->status, param_value_size,
				  param_value, param_value_size_ret);
	else if (param_name == CL_PROGRAM_BUILD_OPTIONS)
		status = gcl_info_string(built->options ? built->options : "", param_value_size,
					 param_value, param_value_size_ret);
	else if (param_name == CL_PROGRAM_BUILD_LOG)
		status = gcl_info_string(built->log ? built->log : "", param_value_size,
					 param_value, param_value_size_ret);
	else if (param_name == CL_PROGRAM_BINARY_TYPE)
		status = gcl_info(&built->binary_type, sizeof built->binary_type, param_value_size,
				  param_value, param_value_size_ret);
	else if (param_name == CL_PROGRAM_BUILD_GLOBAL_VARIABLE_TOTAL_SIZE)
		status = gcl_info(&built->variables_size, sizeof built->variables_size,
				  param_value_size, param_value, param_value_size_ret);
	pthread_mutex_unlock(&program->lock);
	return status;
}
