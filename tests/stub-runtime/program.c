/*
 * Programs and kernels: every program that builds has one kernel, "k", with an argument of each
 * kind. A program whose source contains "error" does not build.
 */
#include <string.h>

#include "stub.h"

static const char binary[] = "STUB";

static cl_program program_new(cl_context context, cl_int *status)
{
	cl_program program;

	if (!stub_get(context, STUB_CONTEXT))
		return stub_make(NULL, status, CL_INVALID_CONTEXT);
	program = stub_new(STUB_PROGRAM, sizeof *program);
	if (!program)
		return stub_make(NULL, status, CL_OUT_OF_HOST_MEMORY);
	program->context = context;
	program->build_status = CL_BUILD_NONE;
	stub_retain(context, STUB_CONTEXT);
	return stub_make(program, status, CL_SUCCESS);
}

cl_program clCreateProgramWithSource(cl_context context, cl_uint count, const char **strings,
				     const size_t *lengths, cl_int *status)
{
	cl_program program;

	if (count != 1 || !strings || !strings[0] || !lengths)
		return stub_make(NULL, status, CL_INVALID_VALUE);
	program = program_new(context, status);
	if (program)
		program->broken = memmem(strings[0], lengths[0], "error", 5);
	return program;
}

cl_program clCreateProgramWithBinary(cl_context context, cl_uint count, const cl_device_id *devices,
				     const size_t *lengths, const unsigned char **binaries,
				     cl_int *binary_status, cl_int *status)
{
	bool valid = true;

	if (!count || !devices || !lengths || !binaries)
		return stub_make(NULL, status, CL_INVALID_VALUE);
	for (cl_uint i = 0; i < count; i++) {
		bool good;

		stub_get(devices[i], STUB_DEVICE);
		if (!lengths[i] || !binaries[i])
			return stub_make(NULL, status, CL_INVALID_VALUE);
		good = lengths[i] == sizeof binary && !memcmp(binaries[i], binary, sizeof binary);
		if (binary_status)
			binary_status[i] = good ? CL_SUCCESS : CL_INVALID_BINARY;
		valid = valid && good;
	}
	return valid ? program_new(context, status) : stub_make(NULL, status, CL_INVALID_BINARY);
}

cl_program clCreateProgramWithBuiltInKernels(cl_context context, cl_uint count,
					     const cl_device_id *devices, const char *names,
					     cl_int *status)
{
	cl_program program;

	if (!count || !devices || !names || strcmp(names, "k") != 0)
		return stub_make(NULL, status, CL_INVALID_VALUE);
	program = program_new(context, status);
	if (program) {
		program->build_status = CL_BUILD_SUCCESS;
		program->binary_type = CL_PROGRAM_BINARY_TYPE_EXECUTABLE;
	}
	return program;
}

cl_program clCreateProgramWithIL(cl_context context, const void *il, size_t length, cl_int *status)
{
	if (!il || length != sizeof binary || memcmp(il, binary, sizeof binary) != 0)
		return stub_make(NULL, status, CL_INVALID_VALUE);
	return program_new(context, status);
}

/* There is one constant, an int. */
cl_int clSetProgramSpecializationConstant(cl_program program, cl_uint constant, size_t size,
					  const void *value)
{
	STUB_REFUSE(!stub_get(program, STUB_PROGRAM), CL_INVALID_PROGRAM);
	STUB_REFUSE(constant != 1, CL_INVALID_SPEC_ID);
	STUB_REFUSE(size != sizeof(cl_int) || !value, CL_INVALID_VALUE);
	return CL_SUCCESS;
}

cl_int clRetainProgram(cl_program program)
{
	STUB_REFUSE(!program, CL_INVALID_PROGRAM);
	stub_retain(program, STUB_PROGRAM);
	return CL_SUCCESS;
}

cl_int clReleaseProgram(cl_program program)
{
	STUB_REFUSE(!program, CL_INVALID_PROGRAM);
	if (!stub_unref(program, STUB_PROGRAM))
		return CL_SUCCESS;
	clReleaseContext(program->context);
	free(program);
	return CL_SUCCESS;
}

static cl_int program_build(cl_program program, cl_program_binary_type type, cl_int failure)
{
	STUB_REFUSE(!stub_get(program, STUB_PROGRAM), CL_INVALID_PROGRAM);
	program->build_status = program->broken ? CL_BUILD_ERROR : CL_BUILD_SUCCESS;
	program->binary_type = program->broken ? CL_PROGRAM_BINARY_TYPE_NONE : type;
	return program->broken ? failure : CL_SUCCESS;
}

cl_int clBuildProgram(cl_program program, cl_uint count, const cl_device_id *devices,
		      const char *options, void(CL_CALLBACK *notify)(cl_program, void *),
		      void *data)
{
	STUB_REFUSE(!count != !devices || notify || data, CL_INVALID_VALUE);
	STUB_REFUSE(options && strstr(options, "-bad"), CL_INVALID_BUILD_OPTIONS);
	return program_build(program, CL_PROGRAM_BINARY_TYPE_EXECUTABLE, CL_BUILD_PROGRAM_FAILURE);
}

cl_int clCompileProgram(cl_program program, cl_uint count, const cl_device_id *devices,
			const char *options, cl_uint header_count, const cl_program *headers,
			const char **names, void(CL_CALLBACK *notify)(cl_program, void *),
			void *data)
{
	STUB_REFUSE(!count != !devices || notify || data, CL_INVALID_VALUE);
	STUB_REFUSE(options && strstr(options, "-bad"), CL_INVALID_COMPILER_OPTIONS);
	STUB_REFUSE(!header_count != !headers || !headers != !names, CL_INVALID_VALUE);
	for (cl_uint i = 0; i < header_count; i++)
		STUB_REFUSE(!stub_get(headers[i], STUB_PROGRAM) || !strlen(names[i]),
			    CL_INVALID_PROGRAM);
	return program_build(program, CL_PROGRAM_BINARY_TYPE_COMPILED_OBJECT,
			     CL_COMPILE_PROGRAM_FAILURE);
}

cl_program clLinkProgram(cl_context context, cl_uint count, const cl_device_id *devices,
			 const char *options, cl_uint input_count, const cl_program *inputs,
			 void(CL_CALLBACK *notify)(cl_program, void *), void *data, cl_int *status)
{
	cl_program program;

	if (!count != !devices || !input_count || !inputs || notify || data)
		return stub_make(NULL, status, CL_INVALID_VALUE);
	for (cl_uint i = 0; i < input_count; i++)
		if (!stub_get(inputs[i], STUB_PROGRAM) || inputs[i]->broken)
			return stub_make(NULL, status, CL_INVALID_PROGRAM);
	program = program_new(context, status);
	if (!program)
		return NULL;
	program->broken = options && strstr(options, "-bad");
	return stub_make(
		program, status,
		program_build(program, CL_PROGRAM_BINARY_TYPE_EXECUTABLE, CL_LINK_PROGRAM_FAILURE));
}

cl_int clGetProgramInfo(cl_program program, cl_program_info name, size_t size, void *value,
			size_t *size_ret)
{
	cl_context context;
	size_t sizes[STUB_DEVICE_MAX];

	STUB_REFUSE(!stub_get(program, STUB_PROGRAM), CL_INVALID_PROGRAM);
	context = program->context;
	switch (name) {
	case CL_PROGRAM_DEVICES:
		return stub_answer(context->devices, context->device_count * sizeof(cl_device_id),
				   size, value, size_ret);
	case CL_PROGRAM_BINARY_SIZES:
		for (cl_uint i = 0; i < context->device_count; i++)
			sizes[i] = program->binary_type ? sizeof binary : 0;
		return stub_answer(sizes, context->device_count * sizeof *sizes, size, value,
				   size_ret);
	case CL_PROGRAM_BINARIES:
		STUB_REFUSE(size < context->device_count * sizeof(void *), CL_INVALID_VALUE);
		for (cl_uint i = 0; i < context->device_count; i++)
			if (program->binary_type && ((unsigned char **)value)[i])
				memcpy(((unsigned char **)value)[i], binary, sizeof binary);
		return CL_SUCCESS;
	default:
		return CL_INVALID_VALUE;
	}
}

cl_int clGetProgramBuildInfo(cl_program program, cl_device_id device, cl_program_build_info name,
			     size_t size, void *value, size_t *size_ret)
{
	static const char log[] = "stub: a line of the log";

	STUB_REFUSE(!stub_get(program, STUB_PROGRAM), CL_INVALID_PROGRAM);
	STUB_REFUSE(!stub_get(device, STUB_DEVICE), CL_INVALID_DEVICE);
	switch (name) {
	case CL_PROGRAM_BUILD_STATUS:
		return stub_answer(&program->build_status, sizeof program->build_status, size,
				   value, size_ret);
	case CL_PROGRAM_BINARY_TYPE:
		return stub_answer(&program->binary_type, sizeof program->binary_type, size, value,
				   size_ret);
	case CL_PROGRAM_BUILD_LOG:
		return stub_answer(log, sizeof log, size, value, size_ret);
	default:
		return CL_INVALID_VALUE;
	}
}

cl_kernel clCreateKernel(cl_program program, const char *name, cl_int *status)
{
	cl_kernel kernel;

	if (!stub_get(program, STUB_PROGRAM))
		return stub_make(NULL, status, CL_INVALID_PROGRAM);
	if (program->binary_type != CL_PROGRAM_BINARY_TYPE_EXECUTABLE)
		return stub_make(NULL, status, CL_INVALID_PROGRAM_EXECUTABLE);
	if (strcmp(name, "k") != 0)
		return stub_make(NULL, status, CL_INVALID_KERNEL_NAME);
	kernel = stub_new(STUB_KERNEL, sizeof *kernel);
	if (kernel) {
		kernel->program = program;
		stub_retain(program, STUB_PROGRAM);
	}
	return stub_make(kernel, status, CL_SUCCESS);
}

cl_int clCreateKernelsInProgram(cl_program program, cl_uint count, cl_kernel *kernels,
				cl_uint *found)
{
	cl_int status = CL_SUCCESS;

	if (found)
		*found = 1;
	if (kernels && count)
		kernels[0] = clCreateKernel(program, "k", &status);
	return status;
}

cl_int clReleaseKernel(cl_kernel kernel)
{
	STUB_REFUSE(!kernel, CL_INVALID_KERNEL);
	if (!stub_unref(kernel, STUB_KERNEL))
		return CL_SUCCESS;
	clReleaseProgram(kernel->program);
	free(kernel);
	return CL_SUCCESS;
}

cl_int clGetKernelInfo(cl_kernel kernel, cl_kernel_info name, size_t size, void *value,
		       size_t *size_ret)
{
	static const cl_uint args = STUB_ARGS;

	STUB_REFUSE(!stub_get(kernel, STUB_KERNEL), CL_INVALID_KERNEL);
	switch (name) {
	case CL_KERNEL_FUNCTION_NAME:
		return stub_answer("k", 2, size, value, size_ret);
	case CL_KERNEL_ATTRIBUTES:
		return stub_answer("", 1, size, value, size_ret);
	case CL_KERNEL_NUM_ARGS:
		return stub_answer(&args, sizeof args, size, value, size_ret);
	case CL_KERNEL_CONTEXT:
		return stub_answer(&kernel->program->context, sizeof(cl_context), size, value,
				   size_ret);
	case CL_KERNEL_PROGRAM:
		return stub_answer(&kernel->program, sizeof(cl_program), size, value, size_ret);
	default:
		return CL_INVALID_VALUE;
	}
}

/* __global int *a, int b, __local int *c, read_only image2d_t d, sampler_t e */
cl_int clGetKernelArgInfo(cl_kernel kernel, cl_uint index, cl_kernel_arg_info name, size_t size,
			  void *value, size_t *size_ret)
{
	static const struct {
		const char *name, *type;
		cl_uint address, access;
	} args[STUB_ARGS] = {
		{"a", "int*", CL_KERNEL_ARG_ADDRESS_GLOBAL, CL_KERNEL_ARG_ACCESS_NONE},
		{"b", "int", CL_KERNEL_ARG_ADDRESS_PRIVATE, CL_KERNEL_ARG_ACCESS_NONE},
		{"c", "int*", CL_KERNEL_ARG_ADDRESS_LOCAL, CL_KERNEL_ARG_ACCESS_NONE},
		{"d", "image2d_t", CL_KERNEL_ARG_ADDRESS_GLOBAL, CL_KERNEL_ARG_ACCESS_READ_ONLY},
		{"e", "sampler_t", CL_KERNEL_ARG_ADDRESS_PRIVATE, CL_KERNEL_ARG_ACCESS_NONE},
	};
	static const cl_kernel_arg_type_qualifier qualifier = CL_KERNEL_ARG_TYPE_NONE;

	STUB_REFUSE(!stub_get(kernel, STUB_KERNEL), CL_INVALID_KERNEL);
	STUB_REFUSE(index >= STUB_ARGS, CL_INVALID_ARG_INDEX);
	switch (name) {
	case CL_KERNEL_ARG_ADDRESS_QUALIFIER:
		return stub_answer(&args[index].address, sizeof(cl_uint), size, value, size_ret);
	case CL_KERNEL_ARG_ACCESS_QUALIFIER:
		return stub_answer(&args[index].access, sizeof(cl_uint), size, value, size_ret);
	case CL_KERNEL_ARG_TYPE_QUALIFIER:
		return stub_answer(&qualifier, sizeof qualifier, size, value, size_ret);
	case CL_KERNEL_ARG_TYPE_NAME:
		return stub_answer(args[index].type, strlen(args[index].type) + 1, size, value,
				   size_ret);
	case CL_KERNEL_ARG_NAME:
		return stub_answer(args[index].name, strlen(args[index].name) + 1, size, value,
				   size_ret);
	default:
		return CL_INVALID_VALUE;
	}
}

cl_int clGetKernelWorkGroupInfo(cl_kernel kernel, cl_device_id device,
				cl_kernel_work_group_info name, size_t size, void *value,
				size_t *size_ret)
{
	static const size_t sizes[3] = {0};
	static const cl_ulong bytes;
	static const size_t group = 64;

	STUB_REFUSE(!stub_get(kernel, STUB_KERNEL), CL_INVALID_KERNEL);
	STUB_REFUSE(!stub_get(device, STUB_DEVICE), CL_INVALID_DEVICE);
	switch (name) {
	case CL_KERNEL_COMPILE_WORK_GROUP_SIZE:
		return stub_answer(sizes, sizeof sizes, size, value, size_ret);
	case CL_KERNEL_WORK_GROUP_SIZE:
	case CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE:
		return stub_answer(&group, sizeof group, size, value, size_ret);
	case CL_KERNEL_LOCAL_MEM_SIZE:
	case CL_KERNEL_PRIVATE_MEM_SIZE:
		return stub_answer(&bytes, sizeof bytes, size, value, size_ret);
	default:
		return CL_INVALID_VALUE;
	}
}

/* Sub-groups of 8. */
cl_int clGetKernelSubGroupInfo(cl_kernel kernel, cl_device_id device, cl_kernel_sub_group_info name,
			       size_t input_size, const void *input, size_t size, void *value,
			       size_t *size_ret)
{
	static const size_t eight = 8;
	size_t local;

	STUB_REFUSE(!stub_get(kernel, STUB_KERNEL), CL_INVALID_KERNEL);
	STUB_REFUSE(!stub_get(device, STUB_DEVICE), CL_INVALID_DEVICE);
	switch (name) {
	case CL_KERNEL_MAX_NUM_SUB_GROUPS:
		return stub_answer(&eight, sizeof eight, size, value, size_ret);
	case CL_KERNEL_SUB_GROUP_COUNT_FOR_NDRANGE:
		STUB_REFUSE(input_size < sizeof local || !input, CL_INVALID_VALUE);
		memcpy(&local, input, sizeof local);
		local = (local + 7) / 8;
		return stub_answer(&local, sizeof local, size, value, size_ret);
	default:
		return CL_INVALID_VALUE;
	}
}

/* From all that it is given, so that it can be told whether that has come. */
static cl_int CL_API_CALL suggest(cl_command_queue queue, cl_kernel kernel, cl_uint dims,
				  const size_t *offset, const size_t *global, size_t *suggested)
{
	STUB_REFUSE(!stub_get(queue, STUB_QUEUE), CL_INVALID_COMMAND_QUEUE);
	STUB_REFUSE(!stub_get(kernel, STUB_KERNEL), CL_INVALID_KERNEL);
	for (size_t i = 0; i < STUB_ARGS; i++)
		STUB_REFUSE(!kernel->set[i], CL_INVALID_KERNEL_ARGS);
	STUB_REFUSE(!dims || dims > 3, CL_INVALID_WORK_DIMENSION);
	for (cl_uint i = 0; i < dims; i++)
		STUB_REFUSE(!global[i], CL_INVALID_GLOBAL_WORK_SIZE);
	STUB_REFUSE(!suggested, CL_INVALID_VALUE);
	for (cl_uint i = 0; i < dims; i++)
		suggested[i] =
			(offset && offset[i] ? 2 : 1) + (size_t)kernel->number + global[i] % 8;
	return CL_SUCCESS;
}

/* The only function of an extension that there is. */
void *clGetExtensionFunctionAddressForPlatform(cl_platform_id of, const char *name)
{
	(void)of;
	return strcmp(name, "clGetKernelSuggestedLocalWorkSizeKHR") == 0 ? (void *)suggest : NULL;
}

cl_int clSetKernelArg(cl_kernel kernel, cl_uint index, size_t size, const void *value)
{
	STUB_REFUSE(!stub_get(kernel, STUB_KERNEL), CL_INVALID_KERNEL);
	switch (index) {
	case 0:
		STUB_REFUSE(size != sizeof(cl_mem), CL_INVALID_ARG_SIZE);
		kernel->buffer = value ? *(const cl_mem *)value : NULL;
		STUB_REFUSE(kernel->buffer && !stub_get(kernel->buffer, STUB_MEM),
			    CL_INVALID_MEM_OBJECT);
		break;
	case 1:
		STUB_REFUSE(!value, CL_INVALID_ARG_VALUE);
		STUB_REFUSE(size != sizeof(cl_int), CL_INVALID_ARG_SIZE);
		memcpy(&kernel->number, value, sizeof kernel->number);
		break;
	case 2:
		STUB_REFUSE(value, CL_INVALID_ARG_VALUE);
		STUB_REFUSE(!size, CL_INVALID_ARG_SIZE);
		break;
	case 3:
		STUB_REFUSE(size != sizeof(cl_mem) || !value, CL_INVALID_ARG_SIZE);
		memcpy(&kernel->image, value, sizeof(cl_mem));
		STUB_REFUSE(!stub_get(kernel->image, STUB_MEM), CL_INVALID_MEM_OBJECT);
		break;
	case 4:
		STUB_REFUSE(size != sizeof(cl_sampler) || !value, CL_INVALID_ARG_SIZE);
		memcpy(&kernel->sampler, value, sizeof(cl_sampler));
		STUB_REFUSE(!stub_get(kernel->sampler, STUB_SAMPLER), CL_INVALID_SAMPLER);
		break;
	default:
		return CL_INVALID_ARG_INDEX;
	}
	kernel->set[index] = true;
	return CL_SUCCESS;
}

cl_int clSetKernelArgSVMPointer(cl_kernel kernel, cl_uint index, const void *value)
{
	(void)value;
	STUB_REFUSE(!stub_get(kernel, STUB_KERNEL), CL_INVALID_KERNEL);
	STUB_REFUSE(index >= STUB_ARGS, CL_INVALID_ARG_INDEX);
	STUB_REFUSE(index, CL_INVALID_ARG_VALUE);
	kernel->buffer = NULL;
	kernel->set[index] = true;
	return CL_SUCCESS;
}

cl_int clSetKernelExecInfo(cl_kernel kernel, cl_kernel_exec_info name, size_t size,
			   const void *value)
{
	STUB_REFUSE(!stub_get(kernel, STUB_KERNEL), CL_INVALID_KERNEL);
	STUB_REFUSE(!value || name != CL_KERNEL_EXEC_INFO_SVM_PTRS || size % sizeof(void *),
		    CL_INVALID_VALUE);
	return CL_SUCCESS;
}

cl_int clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel, cl_uint dims,
			      const size_t *offset, const size_t *global, const size_t *local,
			      cl_uint count, const cl_event *waits, cl_event *event)
{
	cl_int status = stub_waits_check(queue, count, waits);

	(void)offset;
	STUB_REFUSE(status != CL_SUCCESS, status);
	STUB_REFUSE(!stub_get(kernel, STUB_KERNEL), CL_INVALID_KERNEL);
	STUB_REFUSE(kernel->program->context != queue->context, CL_INVALID_CONTEXT);
	for (int i = 0; i < STUB_ARGS; i++)
		STUB_REFUSE(!kernel->set[i], CL_INVALID_KERNEL_ARGS);
	STUB_REFUSE(dims < 1 || dims > 3, CL_INVALID_WORK_DIMENSION);
	for (cl_uint i = 0; i < dims; i++)
		STUB_REFUSE(!global[i] || (local && global[i] % local[i]),
			    CL_INVALID_WORK_GROUP_SIZE);
	return stub_enqueue(queue, count, waits, event);
}

cl_int clEnqueueTask(cl_command_queue queue, cl_kernel kernel, cl_uint count, const cl_event *waits,
		     cl_event *event)
{
	static const size_t one = 1;

	return clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &one, &one, count, waits, event);
}
