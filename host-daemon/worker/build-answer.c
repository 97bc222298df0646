/*
 * What the guest is told of a program after a build, and its binaries.
 *
 * One answer carries every kernel's signature and work-group figures, so that the guest answers all
 * later questions itself. CL_PROGRAM_BINARY_SIZES is not among them: some runtimes compile the
 * kernels a second time for it (PoCL takes seconds).
 */
#include "program.h"

#include <string.h>

/* An answer under construction. */
struct answer {
	struct gcl_arena *arena;
	const struct gcl_device_list *devices;
	bool *executable; /* for each device */
	Gcl__BuildAnswer message;
};

/* @count messages of @size in @arena, reached by pointers as protobuf-c wants. NULL without memory.
 */
static void *messages_new(struct gcl_arena *arena, size_t count, size_t size)
{
	char **pointers = gcl_arena_alloc(arena, count * sizeof *pointers);
	char *memory = gcl_arena_alloc(arena, count * size);

	if (!pointers || !memory)
		return NULL;
	for (size_t i = 0; i < count; i++)
		pointers[i] = memory + i * size;
	return pointers;
}

static void device_describe(struct gcl_arena *arena, cl_program program, cl_device_id device,
			    Gcl__ProgramDevice *out)
{
	cl_program_binary_type binary_type = CL_PROGRAM_BINARY_TYPE_NONE;
	cl_build_status build_status = CL_BUILD_NONE;
	size_t length, variables_size = 0;
	char *log;

	clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_STATUS, sizeof build_status,
			      &build_status, NULL);
	clGetProgramBuildInfo(program, device, CL_PROGRAM_BINARY_TYPE, sizeof binary_type,
			      &binary_type, NULL);
	/* Runtimes before 2.0 don't know it. */
	clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_GLOBAL_VARIABLE_TOTAL_SIZE,
			      sizeof variables_size, &variables_size, NULL);
	log = GCL_INFO_BYTES(arena, &length, clGetProgramBuildInfo, program, device,
			     CL_PROGRAM_BUILD_LOG);
	out->build_status = build_status;
	out->binary_type = binary_type;
	out->variables_size = variables_size;
	if (log) {
		out->log.data = (uint8_t *)log;
		out->log.len = strlen(log);
	}
}

static bool devices_describe(struct answer *answer, cl_program program, const cl_int *binary_status)
{
	cl_uint count = answer->devices->count;
	Gcl__ProgramDevice **out = messages_new(answer->arena, count, sizeof **out);

	answer->executable = gcl_arena_alloc(answer->arena, count * sizeof *answer->executable);
	if (!out || !answer->executable)
		return false;
	for (cl_uint i = 0; i < count; i++) {
		gcl__program_device__init(out[i]);
		out[i]->device = answer->devices->ids[i];
		out[i]->build_status = CL_BUILD_NONE;
		if (program)
			device_describe(answer->arena, program, answer->devices->handles[i],
					out[i]);
		if (binary_status)
			out[i]->binary_status = binary_status[i];
		answer->executable[i] = out[i]->build_status == CL_BUILD_SUCCESS &&
					out[i]->binary_type == CL_PROGRAM_BINARY_TYPE_EXECUTABLE;
	}
	answer->message.devices = out;
	answer->message.n_devices = count;
	return true;
}

/* Three sizes as a field of the message, left empty when the runtime has none. */
static void sizes_get(struct gcl_arena *arena, cl_kernel kernel, cl_device_id device,
		      cl_kernel_work_group_info name, uint64_t **field, size_t *field_count)
{
	uint64_t *values = gcl_arena_alloc(arena, 3 * sizeof *values);
	size_t sizes[3];

	if (!values ||
	    clGetKernelWorkGroupInfo(kernel, device, name, sizeof sizes, sizes, NULL) != CL_SUCCESS)
		return;
	for (int i = 0; i < 3; i++)
		values[i] = sizes[i];
	*field = values;
	*field_count = 3;
}

static void kernel_device_describe(struct gcl_arena *arena, cl_kernel kernel, cl_device_id device,
				   Gcl__KernelDevice *out)
{
	cl_ulong local_size = 0, private_size = 0;
	size_t group_size = 0, multiple = 0;

	clGetKernelWorkGroupInfo(kernel, device, CL_KERNEL_WORK_GROUP_SIZE, sizeof group_size,
				 &group_size, NULL);
	clGetKernelWorkGroupInfo(kernel, device, CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE,
				 sizeof multiple, &multiple, NULL);
	clGetKernelWorkGroupInfo(kernel, device, CL_KERNEL_LOCAL_MEM_SIZE, sizeof local_size,
				 &local_size, NULL);
	clGetKernelWorkGroupInfo(kernel, device, CL_KERNEL_PRIVATE_MEM_SIZE, sizeof private_size,
				 &private_size, NULL);
	out->work_group_size = group_size;
	out->preferred_multiple = multiple;
	out->local_mem_size = local_size;
	out->private_mem_size = private_size;
	sizes_get(arena, kernel, device, CL_KERNEL_COMPILE_WORK_GROUP_SIZE,
		  &out->compile_work_group_size, &out->n_compile_work_group_size);
	/* The runtime refuses this one for kernels that are not built in. */
	sizes_get(arena, kernel, device, CL_KERNEL_GLOBAL_WORK_SIZE, &out->global_work_size,
		  &out->n_global_work_size);
}

static bool kernel_devices_describe(const struct answer *answer, cl_kernel kernel,
				    Gcl__KernelInfo *out)
{
	out->devices = messages_new(answer->arena, answer->devices->count, sizeof **out->devices);
	if (!out->devices)
		return false;
	for (cl_uint i = 0; i < answer->devices->count; i++) {
		Gcl__KernelDevice *device = out->devices[out->n_devices];

		if (!answer->executable[i])
			continue;
		gcl__kernel_device__init(device);
		device->device = answer->devices->ids[i];
		kernel_device_describe(answer->arena, kernel, answer->devices->handles[i], device);
		out->n_devices++;
	}
	return true;
}

static bool kernel_describe(const struct answer *answer, cl_kernel kernel, Gcl__KernelInfo *out)
{
	char *name, *attributes;
	cl_uint arg_count = 0;
	size_t length;

	gcl__kernel_info__init(out);
	name = GCL_INFO_BYTES(answer->arena, &length, clGetKernelInfo, kernel,
			      CL_KERNEL_FUNCTION_NAME);
	attributes = GCL_INFO_BYTES(answer->arena, &length, clGetKernelInfo, kernel,
				    CL_KERNEL_ATTRIBUTES);
	clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof arg_count, &arg_count, NULL);
	out->args = messages_new(answer->arena, arg_count, sizeof **out->args);
	if (!name || !out->args)
		return false;
	out->name = name;
	if (attributes)
		out->attributes = attributes;
	for (cl_uint i = 0; i < arg_count; i++) {
		gcl__arg_info__init(out->args[i]);
		gcl_arg_describe(answer->arena, kernel, i, out->args[i]);
	}
	out->n_args = arg_count;
	return kernel_devices_describe(answer, kernel, out);
}

/* Makes each kernel once, looks at it, and lets go of it: a program with kernels can't be rebuilt.
 */
static bool kernels_describe(struct answer *answer, cl_program program)
{
	Gcl__KernelInfo **out;
	cl_kernel *kernels;
	cl_uint count = 0;
	bool good = true;

	if (clCreateKernelsInProgram(program, 0, NULL, &count) != CL_SUCCESS || !count)
		return true;
	kernels = gcl_arena_alloc(answer->arena, count * sizeof(cl_kernel));
	out = messages_new(answer->arena, count, sizeof **out);
	if (!kernels || !out)
		return false;
	if (clCreateKernelsInProgram(program, count, kernels, NULL) != CL_SUCCESS)
		return true;
	for (cl_uint i = 0; i < count; i++) {
		good = good && kernel_describe(answer, kernels[i], out[i]);
		clReleaseKernel(kernels[i]);
	}
	answer->message.kernels = out;
	answer->message.n_kernels = good ? count : 0;
	return good;
}

static bool answer_executable(const struct answer *answer)
{
	for (cl_uint i = 0; i < answer->devices->count; i++) {
		if (answer->executable[i])
			return true;
	}
	return false;
}

void gcl_build_answer(struct gcl_worker *worker, struct gcl_arena *arena, uint64_t request,
		      cl_program program, const struct gcl_device_list *devices, cl_int status,
		      const cl_int *binary_status)
{
	struct answer answer = {.arena = arena, .devices = devices};
	Gcl__BuildAnswer *message = &answer.message;
	bool good;

	gcl__build_answer__init(message);
	message->request = request;
	message->status = status;
	message->exists = program != NULL;
	good = devices_describe(&answer, program, binary_status);
	if (good && program && answer_executable(&answer))
		good = kernels_describe(&answer, program);
	if (!good || gcl__build_answer__get_packed_size(message) > GCL_MESSAGE_MAX) {
		message->status = good ? CL_OUT_OF_RESOURCES : CL_OUT_OF_HOST_MEMORY;
		message->n_devices = 0;
		message->n_kernels = 0;
	}
	gcl_print_flush_all(worker);
	gcl_send(worker, GCL_ANSWER_BUILD, &message->base, 0, 0);
}

/* Return: CL_SUCCESS, or why there are no binaries. */
static cl_int binaries_get(struct gcl_arena *arena, cl_program handle, struct gcl_program *program,
			   const struct gcl_device_list *devices, Gcl__BinariesAnswer *message)
{
	size_t *sizes = gcl_arena_alloc(arena, devices->count * sizeof *sizes);
	unsigned char **binaries = gcl_arena_alloc(arena, devices->count * sizeof *binaries);
	cl_int status;

	message->binaries = gcl_arena_alloc(arena, devices->count * sizeof *message->binaries);
	if (!sizes || !binaries || !message->binaries)
		return CL_OUT_OF_HOST_MEMORY;
	status = clGetProgramInfo(handle, CL_PROGRAM_BINARY_SIZES, devices->count * sizeof *sizes,
				  sizes, NULL);
	/* Now they are known for nothing. */
	if (status == CL_SUCCESS)
		status = gcl_program_charge(program, devices, sizes);
	if (status != CL_SUCCESS)
		return status;
	for (cl_uint i = 0; i < devices->count; i++) {
		binaries[i] = sizes[i] ? gcl_arena_alloc(arena, sizes[i]) : NULL;
		if (sizes[i] && !binaries[i])
			return CL_OUT_OF_HOST_MEMORY;
		message->binaries[i].data = binaries[i];
		message->binaries[i].len = sizes[i];
	}
	status = clGetProgramInfo(handle, CL_PROGRAM_BINARIES, devices->count * sizeof *binaries,
				  binaries, NULL);
	if (status != CL_SUCCESS)
		return status;
	message->devices = devices->ids;
	message->n_devices = devices->count;
	message->n_binaries = devices->count;
	if (gcl__binaries_answer__get_packed_size(message) > GCL_MESSAGE_MAX)
		return CL_OUT_OF_RESOURCES;
	return CL_SUCCESS;
}

void gcl_binaries_answer(struct gcl_worker *worker, struct gcl_arena *arena, uint64_t request,
			 cl_program handle, struct gcl_program *program,
			 const struct gcl_device_list *devices, cl_int status)
{
	Gcl__BinariesAnswer message = GCL__BINARIES_ANSWER__INIT;

	message.request = request;
	if (status == CL_SUCCESS)
		status = binaries_get(arena, handle, program, devices, &message);
	gcl_program_put(program);
	message.status = status;
	if (status != CL_SUCCESS) {
		message.n_devices = 0;
		message.n_binaries = 0;
	}
	gcl_send(worker, GCL_ANSWER_BINARIES, &message.base, 0, 0);
}
