/* SPDX-License-Identifier: MIT */
/*
 * Wrong arguments to calls about programs and kernels.
 */
#include "errors.h"

#define WORD 0x07230203u /* what SPIR-V begins with */

typedef void(CL_CALLBACK *program_notify)(cl_program program, void *data);

static const char *const text = "__kernel void n(void) { }\n";
static const char *const no_text = NULL;

static void CL_CALLBACK built(cl_program program, void *data)
{
	(void)program, (void)data;
}

/* ------------------------------------------------------------ making */

CALL_MAKES(clCreateProgramWithSource, P(0), U(1), P(2), P(3))
CALL_MAKES(clCreateProgramWithBinary, P(0), U(1), P(2), P(3), P(4), P(5))
CALL_MAKES(clCreateProgramWithBuiltInKernels, P(0), U(1), P(2), P(3))
CALL_MAKES(clCreateProgramWithIL, P(0), P(1), U(2))

static void sources(void)
{
	static const cl_uint il[] = {WORD, 0, 0, 0};

	ROW(clCreateProgramWithSource, RIGHT(V(on.context), 1, V(&text), 0), FAULTS_CONTEXT(0),
	    FAULT("no texts", CL_INVALID_VALUE, 1, 0),
	    FAULT_GUEST("texts NULL", CL_INVALID_VALUE, 2, 0),
	    FAULT("text NULL", CL_INVALID_VALUE, 2, &no_text));
	ROW_REFUSED(clCreateProgramWithIL, CL_INVALID_OPERATION,
		    RIGHT(V(on.context), V(il), sizeof(il)), FAULTS_CONTEXT(0));
}

/* Devices, of a list that a program is made for. */
#define FAULTS_DEVICES(arg, none_code)                                                             \
	FAULT("no devices", none_code, arg, 0), FAULT("devices NULL", none_code, (arg) + 1, 0),    \
		FAULT_PAIR("device NULL", CL_INVALID_DEVICE, arg, 2, (arg) + 1, with_null),        \
		FAULT_GUEST_PAIR("device of another kind", CL_INVALID_DEVICE, arg, 2, (arg) + 1,   \
				 with_kind)

static void binaries(void)
{
	cl_device_id with_null[] = {on.device, NULL};
	cl_device_id with_kind[] = {on.device, (cl_device_id)(void *)on.buffer};
	static unsigned char binary[1 << 20];
	static const unsigned char nonsense[] = "no program";
	const unsigned char *programs[] = {binary, binary};
	const unsigned char *no_programs[] = {NULL, NULL};
	const unsigned char *wrong_programs[] = {nonsense, nonsense};
	const size_t wrong_sizes[] = {sizeof(nonsense), sizeof(nonsense)};
	const size_t empty[] = {0, 0};
	size_t sizes[2] = {0, 0};
	cl_int states[2] = {0};

	MUST(clGetProgramInfo(on.program, CL_PROGRAM_BINARY_SIZES, sizeof(sizes[0]), sizes, NULL));
	if (sizes[0] > sizeof(binary))
		fatal(__FILE__, __LINE__, "binary", CL_SUCCESS);
	MUST(clGetProgramInfo(on.program, CL_PROGRAM_BINARIES, sizeof(programs), programs, NULL));
	sizes[1] = sizes[0];
	ROW(clCreateProgramWithBinary,
	    RIGHT(V(on.context), 1, V(&on.device), V(sizes), V(programs), V(states)),
	    FAULTS_CONTEXT(0), FAULTS_DEVICES(1, CL_INVALID_VALUE),
	    FAULT("sizes NULL", CL_INVALID_VALUE, 3, 0),
	    FAULT_GUEST("binaries NULL", CL_INVALID_VALUE, 4, 0),
	    FAULT("size 0", CL_INVALID_VALUE, 3, empty),
	    FAULT("binary NULL", CL_INVALID_VALUE, 4, no_programs),
	    FAULT_PAIR("binary of nothing", CL_INVALID_BINARY, 3, wrong_sizes, 4, wrong_programs));
	ROW_SINGLES(clCreateProgramWithBuiltInKernels,
		    RIGHT(V(on.context), 1, V(&on.device), V("")), FAULTS_CONTEXT(0),
		    FAULT("names NULL", CL_INVALID_VALUE, 3, 0),
		    FAULTS_DEVICES(1, CL_INVALID_VALUE),
		    FAULT("names unknown", CL_INVALID_VALUE, 3, "made_up"));
}

/* ------------------------------------------------------------ building */

CALL(clGetProgramInfo, P(0), U(1), U(2), P(3), P(4))
CALL(clGetProgramBuildInfo, P(0), P(1), U(2), U(3), P(4), P(5))
CALL(clSetProgramReleaseCallback, P(0), (program_notify)a[1], P(2))
CALL(clSetProgramSpecializationConstant, P(0), U(1), U(2), P(3))
CALL(clCompileProgram, P(0), U(1), P(2), P(3), U(4), P(5), P(6), (program_notify)a[7], P(8))

static cl_int call_clBuildProgram(const uintptr_t *a)
{
	return clBuildProgram(P(0), (cl_uint)a[1], P(2), P(3), (program_notify)a[4], P(5));
}

static cl_int call_clLinkProgram(const uintptr_t *a)
{
	cl_int code = 1;
	cl_program made = clLinkProgram(P(0), (cl_uint)a[1], P(2), P(3), (cl_uint)a[4], P(5),
					(program_notify)a[6], P(7), &code);

	if (made && code == CL_SUCCESS)
		RELEASE(made);
	return code;
}

/* Devices, of which none at all stands for all of the program's. */
#define FAULTS_BUILD(arg) FAULTS_BUILD_LIST(arg), FAULTS_BUILD_DEVICES(arg)
#define FAULTS_BUILD_LIST(arg)                                                                     \
	FAULT_PAIR("no devices", CL_INVALID_VALUE, arg, 0, (arg) + 1, &on.device),                 \
		FAULT_PAIR("devices NULL", CL_INVALID_VALUE, arg, 1, (arg) + 1, 0)
#define FAULTS_BUILD_DEVICES(arg)                                                                  \
	FAULT_GUEST_PAIR("device NULL", CL_INVALID_DEVICE, arg, 2, (arg) + 1, with_null),          \
		FAULT_GUEST_PAIR("device of another kind", CL_INVALID_DEVICE, arg, 2, (arg) + 1,   \
				 with_kind)

static void builds(void)
{
	cl_device_id with_null[] = {on.device, NULL};
	cl_device_id with_kind[] = {on.device, (cl_device_id)(void *)on.buffer};
	cl_program program = MUST_MAKE(
		clCreateProgramWithSource(on.context, 1, (const char **)&text, NULL, &call_err));
	const char *names[] = {"a.h"};

	ROW(clBuildProgram, RIGHT(V(program), 1, V(&on.device), 0, 0, 0), FAULTS_PROGRAM(0),
	    FAULT("data without a function", CL_INVALID_VALUE, 5, on.host), FAULTS_BUILD(1),
	    FAULT("kernels in use", CL_INVALID_OPERATION, 0, on.program),
	    FAULT("options unknown", CL_INVALID_BUILD_OPTIONS, 3, "-nonsense"));
	ROW(clCompileProgram,
	    RIGHT(V(program), 1, V(&on.device), 0, 1, V(&program), V(names), 0, 0),
	    FAULTS_PROGRAM(0), FAULT("data without a function", CL_INVALID_VALUE, 8, on.host),
	    FAULTS_BUILD(1), FAULT("no headers", CL_INVALID_VALUE, 4, 0),
	    FAULT_GUEST("headers NULL", CL_INVALID_VALUE, 5, 0),
	    FAULT_GUEST("headers' names NULL", CL_INVALID_VALUE, 6, 0),
	    FAULT("kernels in use", CL_INVALID_OPERATION, 0, on.program),
	    FAULT("options unknown", CL_INVALID_COMPILER_OPTIONS, 3, "-nonsense"));
	RELEASE(program);
}

static void links(void)
{
	cl_device_id with_null[] = {on.device, NULL};
	cl_device_id with_kind[] = {on.device, (cl_device_id)(void *)on.buffer};
	cl_program program = MUST_MAKE(
		clCreateProgramWithSource(on.context, 1, (const char **)&text, NULL, &call_err));
	cl_program with_no_program[] = {program, NULL};
	cl_program with_uncompiled[] = {program, on.source};

	MUST(clCompileProgram(program, 0, NULL, NULL, 0, NULL, NULL, NULL, NULL));
	ROW(clLinkProgram, RIGHT(V(on.context), 1, V(&on.device), 0, 1, V(&program), 0, 0),
	    FAULTS_CONTEXT(0), FAULTS_BUILD_LIST(1), FAULT("no programs", CL_INVALID_VALUE, 4, 0),
	    FAULT("programs NULL", CL_INVALID_VALUE, 5, 0),
	    FAULT_GUEST_PAIR("program NULL", CL_INVALID_PROGRAM, 4, 2, 5, with_no_program),
	    FAULT("data without a function", CL_INVALID_VALUE, 7, on.host), FAULTS_BUILD_DEVICES(1),
	    FAULT_PAIR("program not compiled", CL_INVALID_OPERATION, 4, 2, 5, with_uncompiled),
	    FAULT("options unknown", CL_INVALID_LINKER_OPTIONS, 3, "-nonsense"));
	RELEASE(program);
}

static void programs(void)
{
	ROW(clGetProgramInfo,
	    RIGHT(V(on.program), CL_PROGRAM_NUM_DEVICES, HOST_SIZE, V(on.host), 0),
	    FAULTS_PROGRAM(0),
	    FAULT_PAIR("kernels of one not built", CL_INVALID_PROGRAM_EXECUTABLE, 0, on.source, 1,
		       CL_PROGRAM_NUM_KERNELS),
	    FAULTS_INFO(1));
	ROW(clGetProgramBuildInfo,
	    RIGHT(V(on.program), V(on.device), CL_PROGRAM_BUILD_STATUS, HOST_SIZE, V(on.host), 0),
	    FAULTS_PROGRAM(0), FAULTS_DEVICE(1), FAULTS_INFO(2));
	ROW_REFUSED(clSetProgramReleaseCallback, CL_INVALID_OPERATION,
		    RIGHT(V(on.program), V(built), 0), FAULTS_PROGRAM(0));
	ROW_REFUSED(clSetProgramSpecializationConstant, CL_INVALID_PROGRAM,
		    RIGHT(V(on.program), 0, 4, V(on.host)), FAULTS_PROGRAM(0));
}

/* ------------------------------------------------------------ kernels */

CALL_MAKES(clCreateKernel, P(0), P(1))
CALL_MAKES(clCloneKernel, P(0))
CALL(clCreateKernelsInProgram, P(0), U(1), P(2), P(3))
CALL(clGetKernelInfo, P(0), U(1), U(2), P(3), P(4))
CALL(clGetKernelArgInfo, P(0), U(1), U(2), U(3), P(4), P(5))
CALL(clGetKernelWorkGroupInfo, P(0), P(1), U(2), U(3), P(4), P(5))
CALL(clGetKernelSubGroupInfo, P(0), P(1), U(2), U(3), P(4), U(5), P(6), P(7))
CALL(clSetKernelArg, P(0), U(1), U(2), P(3))
CALL(clSetKernelArgSVMPointer, P(0), U(1), P(2))
CALL(clSetKernelExecInfo, P(0), U(1), U(2), P(3))

static void kernels(void)
{
	static cl_uint count;
	cl_kernel room[1] = {NULL};

	ROW(clCreateKernel, RIGHT(V(on.program), V("k")), FAULTS_PROGRAM(0),
	    FAULT("name NULL", CL_INVALID_VALUE, 1, 0),
	    FAULT("program not built", CL_INVALID_PROGRAM_EXECUTABLE, 0, on.source),
	    FAULT("name unknown", CL_INVALID_KERNEL_NAME, 1, "made_up"));
	ROW(clCreateKernelsInProgram, RIGHT(V(on.program), 0, 0, V(&count)), FAULTS_PROGRAM(0),
	    FAULT("program not built", CL_INVALID_PROGRAM_EXECUTABLE, 0, on.source),
	    FAULT_PAIR("room for one", CL_INVALID_VALUE, 1, 1, 2, room));
	ROW(clCloneKernel, RIGHT(V(on.kernel)), FAULTS_KERNEL(0));
	ROW(clGetKernelInfo, RIGHT(V(on.kernel), CL_KERNEL_NUM_ARGS, HOST_SIZE, V(on.host), 0),
	    FAULTS_KERNEL(0), FAULTS_INFO(1));
	ROW(clGetKernelArgInfo,
	    RIGHT(V(on.kernel), 0, CL_KERNEL_ARG_NAME, HOST_SIZE, V(on.host), 0), FAULTS_KERNEL(0),
	    FAULT("no such argument", CL_INVALID_ARG_INDEX, 1, 2), FAULTS_INFO(2));
	ROW(clGetKernelWorkGroupInfo,
	    RIGHT(V(on.kernel), V(on.device), CL_KERNEL_WORK_GROUP_SIZE, HOST_SIZE, V(on.host), 0),
	    FAULTS_KERNEL(0),
	    FAULT_GUEST("device of another kind", CL_INVALID_DEVICE, 1, on.context),
	    FAULTS_INFO(2));
}

static void kernel_args(void)
{
	static const cl_int n = 1;
	static const size_t range[] = {4};
	cl_mem other_kind = (cl_mem)(void *)on.event;

	ROW(clSetKernelArg, RIGHT(V(on.kernel), 0, sizeof(cl_mem), V(&on.buffer)), FAULTS_KERNEL(0),
	    FAULT("no such argument", CL_INVALID_ARG_INDEX, 1, 2),
	    FAULT("size of more", CL_INVALID_ARG_SIZE, 2, sizeof(cl_mem) + 1),
	    FAULT("size 0", CL_INVALID_ARG_SIZE, 2, 0),
	    FAULT_GUEST("buffer of another kind", CL_INVALID_MEM_OBJECT, 3, &other_kind),
	    FAULT_GUEST("buffer released", CL_INVALID_MEM_OBJECT, 3, &on.gone_buffer));
	ROW_REFUSED(clGetKernelSubGroupInfo, CL_INVALID_OPERATION,
		    RIGHT(V(on.kernel), V(on.device), CL_KERNEL_MAX_SUB_GROUP_SIZE_FOR_NDRANGE,
			  sizeof(range), V(range), HOST_SIZE, V(on.host), 0),
		    FAULTS_KERNEL(0),
		    FAULT_GUEST("device of another kind", CL_INVALID_DEVICE, 1, on.context));
	ROW(clSetKernelArgSVMPointer, RIGHT(V(on.kernel), 0, V(on.svm)), FAULTS_KERNEL(0),
	    FAULT("no such argument", CL_INVALID_ARG_INDEX, 1, 2),
	    FAULT("no pointer", CL_INVALID_ARG_VALUE, 1, 1));
	ROW(clSetKernelExecInfo,
	    RIGHT(V(on.kernel), CL_KERNEL_EXEC_INFO_SVM_PTRS, sizeof(void *), V(&on.svm)),
	    FAULTS_KERNEL(0), FAULT("unknown name", CL_INVALID_VALUE, 1, 0x7dea),
	    FAULT("value NULL", CL_INVALID_VALUE, 3, 0), FAULT("size 0", CL_INVALID_VALUE, 2, 0));
	MUST(clSetKernelArg(on.kernel, 0, sizeof(cl_mem), &on.buffer));
	MUST(clSetKernelArg(on.kernel, 1, sizeof(n), &n));
}

void errors_programs(void)
{
	sources();
	binaries();
	builds();
	links();
	programs();
	kernels();
	kernel_args();
}
