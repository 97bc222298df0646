/* SPDX-License-Identifier: MIT */
/*
 * Programs: source, building, what they tell of themselves, binaries, built-in kernels.
 * Compiling and linking apart is link.c's.
 */
#include "harness.h"

#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

INFO_QUERY(clGetProgramInfo, cl_program)

static const char good_source[] = "kernel void first(global int *a) { a[0] = VALUE; }\n"
				  "kernel void second(global int *a) { a[1] = VALUE + 1; }\n";
static const char bad_source[] = "kernel void broken(global int *a) { a[0] = undeclared_thing; }\n";

static cl_program source_program(const struct fixture *fix, const char *source)
{
	return MUST_MAKE(clCreateProgramWithSource(fix->context, 1, &source, NULL, &call_err));
}

/* Runs kernel `name` and prints what it wrote. */
static void run_check(const struct fixture *fix, const char *what, cl_program program,
		      const char *name)
{
	cl_mem buffer = buffer_patterned(fix, 64, 1);
	cl_kernel kernel = clCreateKernel(program, name, &call_err);

	check_made(named("%s kernel", what), kernel != NULL);
	if (kernel && call_err == CL_SUCCESS) {
		MUST(clSetKernelArg(kernel, 0, sizeof(buffer), &buffer));
		check_code(named("%s run", what), clEnqueueTask(fix->queue, kernel, 0, NULL, NULL));
		check_buffer_sum(named("%s result", what), fix->queue, buffer, 64);
		MUST(clReleaseKernel(kernel));
	}
	MUST(clReleaseMemObject(buffer));
}

static void source_check(const struct fixture *fix)
{
	const char *parts[] = {"kernel void joined(glo", "bal int *a) {xxxx", " a[0] = 7; }zzz"};
	const size_t lengths[] = {0, 13, 12};
	const char *with_null[] = {good_source, NULL};
	const char *one = good_source;
	char text[256] = "";
	cl_program program;

	program = clCreateProgramWithSource(fix->context, 3, parts, lengths, &call_err);
	check_made("of three parts", program != NULL);
	MUST(clGetProgramInfo(program, CL_PROGRAM_SOURCE, sizeof(text), text, NULL));
	check_text("of three parts source", text);
	check_code("of three parts build", clBuildProgram(program, 0, NULL, NULL, NULL, NULL));
	run_check(fix, "of three parts", program, "joined");
	MUST(clReleaseProgram(program));
	WRONG_MADE("source count 0",
		   clCreateProgramWithSource(fix->context, 0, &one, NULL, &call_err));
	WRONG_MADE("a source NULL",
		   clCreateProgramWithSource(fix->context, 2, with_null, NULL, &call_err));
	WRONG_MADE("source of context NULL",
		   clCreateProgramWithSource(NULL, 1, &one, NULL, &call_err));
}

static void build_info_check(const struct fixture *fix, const char *what, cl_program program)
{
	static const struct info infos[] = {
		INFO(CL_PROGRAM_BUILD_STATUS, INFO_UINT),
		INFO(CL_PROGRAM_BUILD_OPTIONS, INFO_TEXT),
		INFO(CL_PROGRAM_BINARY_TYPE, INFO_UINT),
	};

	for (size_t i = 0; i < ARRAY_SIZE(infos); i++) {
		char value[256] = "";
		cl_uint number = 0;
		size_t size = 0;
		cl_int code = clGetProgramBuildInfo(program, fix->device, infos[i].param,
						    sizeof(value), value, &size);

		memcpy(&number, value, sizeof(number));
		if (code != CL_SUCCESS)
			check_code(named("%s %s", what, infos[i].name), code);
		else if (infos[i].kind == INFO_TEXT)
			check_text(named("%s %s", what, infos[i].name), value);
		else
			check_text(named("%s %s", what, infos[i].name),
				   named("%d (%zu bytes)", (int)number, size));
	}
}

static void info_check(const struct fixture *fix)
{
	const struct info infos[] = {
		INFO_IS(CL_PROGRAM_CONTEXT, fix->context),
		INFO(CL_PROGRAM_NUM_DEVICES, INFO_UINT),
		INFO_IS(CL_PROGRAM_DEVICES, fix->device),
		INFO(CL_PROGRAM_REFERENCE_COUNT, INFO_UINT),
		INFO(CL_PROGRAM_NUM_KERNELS, INFO_SIZE),
		INFO(CL_PROGRAM_KERNEL_NAMES, INFO_TEXT),
		INFO(CL_PROGRAM_IL, INFO_VARIES),
		INFO(CL_PROGRAM_SCOPE_GLOBAL_CTORS_PRESENT, INFO_UINT),
		INFO(CL_PROGRAM_SCOPE_GLOBAL_DTORS_PRESENT, INFO_UINT),
	};
	cl_program program = source_program(fix, good_source);
	size_t size = 0;

	check_infos("before build", query_clGetProgramInfo, program, infos, ARRAY_SIZE(infos));
	build_info_check(fix, "before build", program);
	wrong_infos("program", query_clGetProgramInfo, program, CL_PROGRAM_SOURCE, true);
	WRONG_MADE("kernel before build", clCreateKernel(program, "first", &call_err));
	check_code("build", clBuildProgram(program, 1, &fix->device, "-D VALUE=5", NULL, NULL));
	check_infos("after build", query_clGetProgramInfo, program, infos, ARRAY_SIZE(infos));
	build_info_check(fix, "after build", program);
	run_check(fix, "first", program, "first");
	run_check(fix, "second", program, "second");
	check_code("build again",
		   clBuildProgram(program, 1, &fix->device, "-D VALUE=11", NULL, NULL));
	build_info_check(fix, "after another build", program);
	run_check(fix, "first of another build", program, "first");
	wrong_code(
		"build info of program NULL",
		clGetProgramBuildInfo(NULL, fix->device, CL_PROGRAM_BUILD_STATUS, 0, NULL, &size));
	wrong_code("build info of device NULL",
		   clGetProgramBuildInfo(program, NULL, CL_PROGRAM_BUILD_STATUS, 0, NULL, &size));
	wrong_code("build info of unknown parameter",
		   clGetProgramBuildInfo(program, fix->device, 0x7dea, 0, NULL, &size));
	wrong_code("build info one byte too small",
		   clGetProgramBuildInfo(program, fix->device, CL_PROGRAM_BUILD_STATUS, 3, &size,
					 NULL));
	check_code("retain", clRetainProgram(program));
	check_infos("retained", query_clGetProgramInfo, program, &infos[3], 1);
	check_code("release", clReleaseProgram(program));
	check_code("release for good", clReleaseProgram(program));
	wrong_code("retain NULL", clRetainProgram(NULL));
	wrong_code("release NULL", clReleaseProgram(NULL));
}

static void CL_CALLBACK built(cl_program program, void *data)
{
	(void)program;
	sem_post(data);
}

static void options_check(const struct fixture *fix)
{
	static const char *const options[] = {
		NULL,
		"",
		"-DVALUE=3 -w",
		"-D VALUE=3 -cl-fast-relaxed-math -cl-mad-enable",
		"-DVALUE=3 -cl-std=CL1.1",
		"-DVALUE=3 -cl-std=CL1.2 -Werror",
		"-DVALUE=3 -cl-opt-disable",
		"  -DVALUE=3   -cl-single-precision-constant ",
		"-DVALUE=3 -cl-denorms-are-zero -cl-no-signed-zeros -cl-finite-math-only",
		"-DVALUE=3 -I /nonexistent",
		"-DVALUE=3 -cl-std=CL3.0",
		"-DVALUE=3 -cl-std=CL2.0",
	};
	static const char *const wrong[] = {
		"-DVALUE=3 -nonsense",
		"-DVALUE=3 -cl-nonsense",
		"-DVALUE=3 nonsense",
		"-DVALUE=3 -cl-std=CL9.9",
	};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		cl_program program = source_program(fix, good_source);

		check_code(named("options %zu", i),
			   clBuildProgram(program, 1, &fix->device, options[i], NULL, NULL));
		build_info_check(fix, named("options %zu", i), program);
		MUST(clReleaseProgram(program));
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		cl_program program = source_program(fix, good_source);

		wrong_code(named("wrong options %zu", i),
			   clBuildProgram(program, 1, &fix->device, wrong[i], NULL, NULL));
		build_info_check(fix, named("wrong options %zu", i), program);
		MUST(clReleaseProgram(program));
	}
}

static void build_wrong(const struct fixture *fix)
{
	cl_program program = source_program(fix, good_source);
	cl_kernel kernel;
	sem_t done;

	sem_init(&done, 0, 0);
	wrong_code("build of NULL", clBuildProgram(NULL, 0, NULL, NULL, NULL, NULL));
	wrong_code("build for 0 devices",
		   clBuildProgram(program, 0, &fix->device, NULL, NULL, NULL));
	wrong_code("build, devices NULL", clBuildProgram(program, 1, NULL, NULL, NULL, NULL));
	wrong_code("build, data without callback",
		   clBuildProgram(program, 0, NULL, NULL, NULL, &done));
	MUST(clBuildProgram(program, 0, NULL, "-DVALUE=1", NULL, NULL));
	kernel = kernel_made(program, "first");
	wrong_code("build while there is a kernel",
		   clBuildProgram(program, 0, NULL, "-DVALUE=2", NULL, NULL));
	MUST(clReleaseKernel(kernel));
	check_code("build when the kernel is gone",
		   clBuildProgram(program, 0, NULL, "-DVALUE=2", NULL, NULL));
	MUST(clReleaseProgram(program));
}

static bool told(sem_t *done)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	return sem_timedwait(done, &until) == 0;
}

static void failure_check(const struct fixture *fix)
{
	cl_program program = source_program(fix, bad_source);
	char log[4096] = "";
	size_t size = 0;
	sem_t done;

	sem_init(&done, 0, 0);
	check_code("broken build", clBuildProgram(program, 0, NULL, "-DTHIS", NULL, NULL));
	build_info_check(fix, "broken", program);
	check_code("broken log", clGetProgramBuildInfo(program, fix->device, CL_PROGRAM_BUILD_LOG,
						       sizeof(log), log, &size));
	check_yes("broken log names the mistake", strstr(log, "undeclared_thing") != NULL);
	check_yes("broken log has its size", size == strlen(log) + 1);
	WRONG_MADE("broken kernel", clCreateKernel(program, "broken", &call_err));
	/* Whether the call or the callback tells of the failure is the implementation's choice. */
	(void)clBuildProgram(program, 0, NULL, "-DTHAT", built, &done);
	check_yes("broken callback came", told(&done));
	build_info_check(fix, "broken with callback", program);
	MUST(clReleaseProgram(program));

	program = source_program(fix, good_source);
	check_code("callback build", clBuildProgram(program, 0, NULL, "-DVALUE=1", built, &done));
	check_yes("callback came", told(&done));
	build_info_check(fix, "callback", program);
	run_check(fix, "callback", program, "first");
	MUST(clReleaseProgram(program));
}

/* Takes the binary of a program with one device; the caller frees it. */
static unsigned char *binary_of(cl_program program, size_t *size)
{
	unsigned char *binary;

	MUST(clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof(*size), size, NULL));
	binary = malloc(*size);
	MUST(clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof(binary), &binary, NULL));
	return binary;
}

static void binary_wrong(const struct fixture *fix, const unsigned char *binary, size_t size)
{
	const unsigned char *list[] = {binary};
	const unsigned char *null[] = {NULL};
	const unsigned char *junk[] = {(const unsigned char *)"this is not a program at all"};
	const cl_device_id no_device[] = {NULL};
	const cl_device_id *device = &fix->device;
	cl_context context = fix->context;
	const size_t nothing = 0;
	const size_t junk_size = 28;
	cl_int status = 1;

	WRONG_MADE("binary of context NULL",
		   clCreateProgramWithBinary(NULL, 1, device, &size, list, &status, &call_err));
	WRONG_MADE("binary for 0 devices",
		   clCreateProgramWithBinary(context, 0, device, &size, list, &status, &call_err));
	WRONG_MADE("binary, devices NULL",
		   clCreateProgramWithBinary(context, 1, NULL, &size, list, &status, &call_err));
	WRONG_MADE("binary, a device NULL", clCreateProgramWithBinary(context, 1, no_device, &size,
								      list, &status, &call_err));
	WRONG_MADE("binary, sizes NULL",
		   clCreateProgramWithBinary(context, 1, device, NULL, list, &status, &call_err));
	WRONG_MADE("binary of size 0", clCreateProgramWithBinary(context, 1, device, &nothing, list,
								 &status, &call_err));
	WRONG_MADE("a binary NULL",
		   clCreateProgramWithBinary(context, 1, device, &size, null, &status, &call_err));
	WRONG_MADE("binary of junk", clCreateProgramWithBinary(context, 1, device, &junk_size, junk,
							       &status, &call_err));
	check_code("binary of junk status", status);
}

static void binary_check(const struct fixture *fix)
{
	cl_program program = program_built(fix, good_source, "-DVALUE=21");
	size_t size;
	unsigned char *binary = binary_of(program, &size);
	const unsigned char *list[] = {binary};
	cl_int status = 1;
	cl_program again;

	MUST(clReleaseProgram(program));
	check_yes("binary is not empty", size > 0);
	again = clCreateProgramWithBinary(fix->context, 1, &fix->device, &size, list, &status,
					  &call_err);
	check_made("from binary", again != NULL);
	check_code("from binary status", status);
	WRONG_MADE("kernel of a binary before build", clCreateKernel(again, "first", &call_err));
	check_code("from binary build", clBuildProgram(again, 0, NULL, "", NULL, NULL));
	build_info_check(fix, "from binary", again);
	run_check(fix, "from binary", again, "second");
	MUST(clReleaseProgram(again));
	MADE("from binary without status", clCreateProgramWithBinary(fix->context, 1, &fix->device,
								     &size, list, NULL, &call_err));
	binary_wrong(fix, binary, size);
	free(binary);
}

static void built_in_check(const struct fixture *fix)
{
	char names[1024] = "";
	cl_program program;
	cl_context context = fix->context;

	MUST(clGetDeviceInfo(fix->device, CL_DEVICE_BUILT_IN_KERNELS, sizeof(names), names, NULL));
	program = clCreateProgramWithBuiltInKernels(context, 1, &fix->device, names, &call_err);
	check_made("of built-in kernels", program != NULL);
	if (program && call_err == CL_SUCCESS) {
		check_infos("of built-in kernels", query_clGetProgramInfo, program,
			    (const struct info[]){INFO(CL_PROGRAM_KERNEL_NAMES, INFO_TEXT)}, 1);
		build_info_check(fix, "of built-in kernels", program);
		names[strcspn(names, ";")] = '\0';
		MADE("built-in kernel", clCreateKernel(program, names, &call_err));
		check_code("build of built-in kernels",
			   clBuildProgram(program, 0, NULL, NULL, NULL, NULL));
		MADE("built-in kernel after a build", clCreateKernel(program, names, &call_err));
		MUST(clReleaseProgram(program));
	}
	WRONG_MADE("built-in, unknown name",
		   clCreateProgramWithBuiltInKernels(context, 1, &fix->device, "guestcl.nonsense",
						     &call_err));
	WRONG_MADE("built-in, names NULL",
		   clCreateProgramWithBuiltInKernels(context, 1, &fix->device, NULL, &call_err));
	WRONG_MADE("built-in, 0 devices",
		   clCreateProgramWithBuiltInKernels(context, 0, &fix->device, names, &call_err));
	WRONG_MADE("built-in, devices NULL",
		   clCreateProgramWithBuiltInKernels(context, 1, NULL, names, &call_err));
	WRONG_MADE("built-in, context NULL",
		   clCreateProgramWithBuiltInKernels(NULL, 1, &fix->device, names, &call_err));
}

/* No device here takes any: what comes of wrong arguments, and of programs from source. */
static void il_wrong(const struct fixture *fix)
{
	static const unsigned char il[] = {3, 2, 0x23, 7, 0, 0, 1, 0};

	WRONG_MADE("IL of context NULL", clCreateProgramWithIL(NULL, il, sizeof(il), &call_err));
	WRONG_MADE("IL", clCreateProgramWithIL(fix->context, il, sizeof(il), &call_err));
	WRONG_MADE("IL NULL", clCreateProgramWithIL(fix->context, NULL, sizeof(il), &call_err));
	WRONG_MADE("IL of length 0", clCreateProgramWithIL(fix->context, il, 0, &call_err));
	wrong_code("constant of program NULL",
		   clSetProgramSpecializationConstant(NULL, 1, sizeof(int), il));
}

int main(void)
{
	struct fixture fix;

	transcript_begin("program");
	fixture_open(&fix);
	source_check(&fix);
	info_check(&fix);
	options_check(&fix);
	build_wrong(&fix);
	failure_check(&fix);
	binary_check(&fix);
	built_in_check(&fix);
	il_wrong(&fix);
	fixture_close(&fix);
	return transcript_end();
}
