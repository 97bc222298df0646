/* SPDX-License-Identifier: MIT */
/*
 * Compiling and linking programs apart: headers, libraries, callbacks, what goes wrong.
 */
#include "harness.h"

#include <semaphore.h>
#include <string.h>
#include <time.h>

static const char header_source[] = "int twice(int x);\n#define OFFSET 100\n";
static const char library_source[] = "#include \"twice.h\"\nint twice(int x) { return 2 * x; }\n";
static const char main_source[] = "#include \"twice.h\"\n"
				  "kernel void use(global int *a) { a[0] = twice(4) + OFFSET; }\n";

static cl_program source_program(const struct fixture *fix, const char *source)
{
	return MUST_MAKE(clCreateProgramWithSource(fix->context, 1, &source, NULL, &call_err));
}

static void CL_CALLBACK finished(cl_program program, void *data)
{
	(void)program;
	sem_post(data);
}

static bool told(sem_t *done)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	return sem_timedwait(done, &until) == 0;
}

static void type_check(const struct fixture *fix, const char *what, cl_program program)
{
	cl_program_binary_type type = 77;
	cl_build_status status = 77;

	MUST(clGetProgramBuildInfo(program, fix->device, CL_PROGRAM_BINARY_TYPE, sizeof(type),
				   &type, NULL));
	MUST(clGetProgramBuildInfo(program, fix->device, CL_PROGRAM_BUILD_STATUS, sizeof(status),
				   &status, NULL));
	check_text(what, named("type %u status %d", type, status));
}

/* The programs of this file, compiled but not linked. */
struct objects {
	cl_program header;
	cl_program library;
	cl_program user;
};

static void objects_open(const struct fixture *fix, struct objects *o)
{
	const char *name = "twice.h";
	sem_t done;

	sem_init(&done, 0, 0);
	o->header = source_program(fix, header_source);
	o->library = source_program(fix, library_source);
	o->user = source_program(fix, main_source);
	check_code("compile", clCompileProgram(o->library, 1, &fix->device, "", 1, &o->header,
					       &name, NULL, NULL));
	type_check(fix, "compiled", o->library);
	check_code("compile with callback",
		   clCompileProgram(o->user, 0, NULL, NULL, 1, &o->header, &name, finished, &done));
	check_yes("compile callback came", told(&done));
	type_check(fix, "compiled with callback", o->user);
}

static void objects_close(struct objects *o)
{
	MUST(clReleaseProgram(o->header));
	MUST(clReleaseProgram(o->library));
	MUST(clReleaseProgram(o->user));
}

static void run_check(const struct fixture *fix, const char *what, cl_program program)
{
	cl_mem buffer = buffer_patterned(fix, 64, 1);
	cl_kernel kernel = clCreateKernel(program, "use", &call_err);

	check_made(named("%s kernel", what), kernel != NULL);
	MUST(clSetKernelArg(kernel, 0, sizeof(buffer), &buffer));
	check_code(named("%s run", what), clEnqueueTask(fix->queue, kernel, 0, NULL, NULL));
	check_buffer_sum(named("%s result", what), fix->queue, buffer, 64);
	MUST(clReleaseKernel(kernel));
	MUST(clReleaseMemObject(buffer));
}

static void link_check(const struct fixture *fix, const struct objects *o)
{
	const cl_program both[] = {o->user, o->library};
	cl_program library;
	cl_program linked;
	sem_t done;

	sem_init(&done, 0, 0);
	linked = clLinkProgram(fix->context, 1, &fix->device, "", 2, both, NULL, NULL, &call_err);
	check_made("link", linked != NULL);
	type_check(fix, "linked", linked);
	run_check(fix, "linked", linked);
	MUST(clReleaseProgram(linked));

	library = clLinkProgram(fix->context, 0, NULL, "-create-library", 1, &o->library, NULL,
				NULL, &call_err);
	check_made("link a library", library != NULL);
	type_check(fix, "library", library);
	linked = clLinkProgram(fix->context, 0, NULL, NULL, 2,
			       (const cl_program[]){library, o->user}, finished, &done, &call_err);
	check_made("link with a library", linked != NULL);
	check_yes("link callback came", told(&done));
	type_check(fix, "linked with a library", linked);
	run_check(fix, "linked with a library", linked);
	MUST(clReleaseProgram(linked));
	MUST(clReleaseProgram(library));
}

static void compile_wrong(const struct fixture *fix, const struct objects *o)
{
	const char *name = "twice.h";
	cl_program program = source_program(fix, main_source);
	int data = 0;

	wrong_code("compile of NULL",
		   clCompileProgram(NULL, 0, NULL, NULL, 0, NULL, NULL, NULL, NULL));
	wrong_code("compile for 0 devices",
		   clCompileProgram(program, 0, &fix->device, NULL, 0, NULL, NULL, NULL, NULL));
	wrong_code("compile, devices NULL",
		   clCompileProgram(program, 1, NULL, NULL, 0, NULL, NULL, NULL, NULL));
	wrong_code("compile, 0 headers with a list",
		   clCompileProgram(program, 0, NULL, NULL, 0, &o->header, &name, NULL, NULL));
	wrong_code("compile, data without callback",
		   clCompileProgram(program, 0, NULL, NULL, 0, NULL, NULL, NULL, &data));
	wrong_code("compile, unknown option", clCompileProgram(program, 0, NULL, "-nonsense", 1,
							       &o->header, &name, NULL, NULL));
	check_code("compile without the header",
		   clCompileProgram(program, 0, NULL, NULL, 0, NULL, NULL, NULL, NULL));
	type_check(fix, "compiled without the header", program);
	MUST(clReleaseProgram(program));
}

static void link_wrong(const struct fixture *fix, const struct objects *o)
{
	const cl_program both[] = {o->user, o->library};
	cl_program raw = source_program(fix, library_source);
	cl_context context = fix->context;
	int data = 0;

	WRONG_MADE("link in context NULL",
		   clLinkProgram(NULL, 0, NULL, NULL, 2, both, NULL, NULL, &call_err));
	WRONG_MADE("link 0 programs",
		   clLinkProgram(context, 0, NULL, NULL, 0, both, NULL, NULL, &call_err));
	WRONG_MADE("link, programs NULL",
		   clLinkProgram(context, 0, NULL, NULL, 2, NULL, NULL, NULL, &call_err));
	WRONG_MADE("link for 0 devices",
		   clLinkProgram(context, 0, &fix->device, NULL, 2, both, NULL, NULL, &call_err));
	WRONG_MADE("link, devices NULL",
		   clLinkProgram(context, 1, NULL, NULL, 2, both, NULL, NULL, &call_err));
	WRONG_MADE("link, data without callback",
		   clLinkProgram(context, 0, NULL, NULL, 2, both, NULL, &data, &call_err));
	WRONG_MADE("link, unknown option",
		   clLinkProgram(context, 0, NULL, "-nonsense", 2, both, NULL, NULL, &call_err));
	WRONG_MADE("link what was not compiled",
		   clLinkProgram(context, 0, NULL, NULL, 1, &raw, NULL, NULL, &call_err));
	MUST(clReleaseProgram(raw));
}

/* A function that no program defines. */
static void unresolved_check(const struct fixture *fix, const struct objects *o)
{
	cl_program linked =
		clLinkProgram(fix->context, 0, NULL, NULL, 1, &o->user, NULL, NULL, &call_err);

	check_code("link without what it needs", call_err);
	if (linked && call_err == CL_SUCCESS)
		MUST(clReleaseProgram(linked));
}

int main(void)
{
	struct fixture fix;
	struct objects objects;

	transcript_begin("link");
	fixture_open(&fix);
	objects_open(&fix, &objects);
	link_check(&fix, &objects);
	compile_wrong(&fix, &objects);
	link_wrong(&fix, &objects);
	unresolved_check(&fix, &objects);
	objects_close(&objects);
	fixture_close(&fix);
	return transcript_end();
}
