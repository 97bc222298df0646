/* SPDX-License-Identifier: MIT */
/*
 * Programs that include files: of folders that the options name, of the current one, of each other.
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
	const char *path;
	const char *text;
} files[] = {
	{"one/first.h", "#pragma once\n#include \"beside.h\"\n#define FIRST (BESIDE + 1)\n"},
	{"one/beside.h", "#ifndef B\n#define B\n#include \"first.h\"\n#define BESIDE 40\n#endif\n"},
	{"one/both.h", "#define BOTH 1\n"},
	{"two/both.h", "#define BOTH 2\n"},
	{"two/within/deep.h", "#include \"../both.h\"\n#include <within/deeper.h>\n"},
	{"two/within/deeper.h",
	 "int deeper(int a);\nint deeper(int a) { return a * 3; } // \\\n no"},
	{"here.h", "#define HERE 5\n"},
	{"a folder/spaced.h", "#define SPACED 6\n"},
	{"wrong.h", "int wrong(void) {\n"},
};

static void files_make(void)
{
	static const char *const folders[] = {"one", "two", "two/within", "a folder"};

	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
		mkdir(folders[i], 0700);
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		FILE *file = fopen(files[i].path, "w");

		if (!file || fputs(files[i].text, file) < 0 || fclose(file))
			abort();
	}
}

static void files_remove(void)
{
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		unlink(files[i].path);
	rmdir("two/within");
	rmdir("two");
	rmdir("one");
	rmdir("a folder");
}

/* What the kernel of the program writes; its build may fail. */
static void build_check(const struct fixture *fix, const char *what, cl_program program,
			const char *options)
{
	cl_mem buffer;
	cl_kernel kernel;

	if (clBuildProgram(program, 0, NULL, options, NULL, NULL) != CL_SUCCESS) {
		check_text(what, "does not build");
		return;
	}
	buffer = buffer_patterned(fix, 64, 1);
	kernel = MUST_MAKE(clCreateKernel(program, "use", &call_err));
	MUST(clSetKernelArg(kernel, 0, sizeof buffer, &buffer));
	MUST(clEnqueueTask(fix->queue, kernel, 0, NULL, NULL));
	check_buffer_sum(what, fix->queue, buffer, 64);
	MUST(clReleaseKernel(kernel));
	MUST(clReleaseMemObject(buffer));
}

static cl_program source_program(const struct fixture *fix, const char *source)
{
	return MUST_MAKE(clCreateProgramWithSource(fix->context, 1, &source, NULL, &call_err));
}

static void source_check(const struct fixture *fix, const char *what, const char *source,
			 const char *options)
{
	cl_program program = source_program(fix, source);
	char told[512] = "";

	build_check(fix, what, program, options);
	MUST(clGetProgramInfo(program, CL_PROGRAM_SOURCE, sizeof told, told, NULL));
	check_yes(named("%s, the source is the program's", what), strcmp(told, source) == 0);
	MUST(clReleaseProgram(program));
}

#define KERNEL(value) "kernel void use(global int *a) { a[0] = " value "; }\n"

/* The same program with one header, with another, and without any. */
static void again_check(const struct fixture *fix)
{
	cl_program program = source_program(fix, "#include <both.h>\n" KERNEL("BOTH"));

	build_check(fix, "built with one", program, "-I one");
	build_check(fix, "built with the other", program, "-I two");
	build_check(fix, "built without", program, "");
	build_check(fix, "built with one again", program, "-I one");
	MUST(clReleaseProgram(program));
}

/* The program's own headers come before files of the same name. */
static void compile_check(const struct fixture *fix)
{
	cl_program program =
		source_program(fix, "#include \"both.h\"\n#include \"here.h\"\n" KERNEL("BOTH"));
	cl_program header = source_program(fix, "#define BOTH 7\n");
	const char *name = "both.h";

	check_code("compile",
		   clCompileProgram(program, 0, NULL, "-I one", 1, &header, &name, NULL, NULL));
	check_code("compile without its own",
		   clCompileProgram(program, 0, NULL, "-I one", 0, NULL, NULL, NULL, NULL));
	MUST(clReleaseProgram(header));
	MUST(clReleaseProgram(program));
}

static void sources_check(const struct fixture *fix)
{
	source_check(fix, "folder", "#include \"first.h\"\n" KERNEL("FIRST"), "-I one");
	source_check(fix, "folder without a space", "#include <first.h>\n" KERNEL("FIRST"),
		     "-Ione");
	source_check(fix, "first folder wins", "#include <both.h>\n" KERNEL("BOTH"),
		     "-I two -I one");
	source_check(fix, "folder in a folder",
		     "# include <within/deep.h> /* and\n */\n" KERNEL("deeper(BOTH)"),
		     "-DX=1 -I two -DY=2");
	source_check(fix, "current folder", "#include \"here.h\"\n" KERNEL("HERE"), NULL);
	source_check(fix, "twice", "#include <first.h>\n#include <first.h>\n" KERNEL("FIRST"),
		     "-I one");
	source_check(fix, "left out", "#if 0\n#include <wrong.h>\n#endif\n" KERNEL("3"), "-I .");
	source_check(fix, "in comments",
		     "/*\n#include \"wrong.h\"\n*/\n// \\\n#include \"wrong.h\"\n" KERNEL("4"), "");
	source_check(fix, "line", "#include \"here.h\"\n\n" KERNEL("__LINE__ + HERE"), "");
	source_check(fix, "wrong header", "#include \"wrong.h\"\n" KERNEL("5"), "-I .");
	source_check(fix, "no such header", "#include \"absent.h\"\n" KERNEL("6"), "-I one");
}

int main(void)
{
	char folder[] = "/tmp/guestcl-include-XXXXXX";
	struct fixture fix;

	transcript_begin("include");
	if (!mkdtemp(folder) || chdir(folder))
		abort();
	files_make();
	fixture_open(&fix);
	sources_check(&fix);
	again_check(&fix);
	compile_check(&fix);
	fixture_close(&fix);
	files_remove();
	if (chdir("/") || rmdir(folder))
		abort();
	return transcript_end();
}
