// SPDX-License-Identifier: MIT
/*
 * What a process waits for its programs: building one, and the first launch of each of its kernels,
 * which is when some runtimes generate code. Runs on any OpenCL platform, the first one's first
 * device.
 *
 * build_bench NAME: once with a small program and once with a large one, prints "name value unit"
 * lines with NAME at the end of their names. CLBENCH_SALT is a number that makes the programs new
 * to every cache; a second process with the same finds what the first has left there.
 */
#include "measuring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOURCE_MAX	65536
#define ITEMS		64u
#define KERNELS_SMALL	1u
#define KERNELS_LARGE	16u
#define STATEMENTS_MANY 192u

static struct opened opened;
static cl_mem buffer;

/* As clpeak's are: kernels that differ in the vectors' width, with many statements in a row. */
static void source_make(char *text, unsigned kernels, unsigned statements)
{
	static const char *const types[] = {"float", "float2", "float4", "float8", "float16"};
	const char *salt = getenv("CLBENCH_SALT");
	char *end = text;

	for (unsigned i = 0; i < kernels; i++) {
		const char *type = types[i % (sizeof types / sizeof *types)];

		end += sprintf(end,
			       "kernel void k%u(global float *out)\n{\n"
			       "	%s x = (%s)(%s.0f + get_global_id(0)), y = x;\n",
			       i, type, type, salt ? salt : "0");
		for (unsigned j = 0; j < statements; j++)
			end += sprintf(end, "	%c = mad(x, y, %c);\n", "xy"[j % 2], "yx"[j % 2]);
		end += sprintf(
			end, "	out[get_global_id(0)] = ((float *)&x)[0] + ((float *)&y)[0];\n"
			     "}\n");
	}
}

static void launch(cl_program program, unsigned index)
{
	const size_t items = ITEMS;
	cl_kernel kernel;
	cl_int status;
	char name[16];

	snprintf(name, sizeof name, "k%u", index);
	kernel = clCreateKernel(program, name, &status);
	require(status, "clCreateKernel");
	require(clSetKernelArg(kernel, 0, sizeof buffer, &buffer), "clSetKernelArg");
	require(clEnqueueNDRangeKernel(opened.queue, kernel, 1, NULL, &items, &items, 0, NULL,
				       NULL),
		"clEnqueueNDRangeKernel");
	require(clFinish(opened.queue), "clFinish");
	clReleaseKernel(kernel);
}

static void measure(const char *size, const char *name, unsigned kernels, unsigned statements)
{
	static char text[SOURCE_MAX];
	const char *source = text;
	double start, built, launched;
	cl_program program;
	cl_int status;

	source_make(text, kernels, statements);
	start = now();
	program = clCreateProgramWithSource(opened.context, 1, &source, NULL, &status);
	require(status, "clCreateProgramWithSource");
	require(clBuildProgram(program, 1, &opened.device, "", NULL, NULL), "clBuildProgram");
	built = now();
	for (unsigned i = 0; i < kernels; i++)
		launch(program, i);
	launched = now();
	clReleaseProgram(program);
	printf("build.%s_program_%s %.4g ms\n", size, name, (built - start) * 1e3);
	printf("build.%s_launches_%s %.4g ms\n", size, name, (launched - built) * 1e3);
	printf("build.%s_%s %.4g ms\n", size, name, (launched - start) * 1e3);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	cl_int status;

	if (argc != 2)
		return 2;
	opened_init(&opened, 0);
	buffer = clCreateBuffer(opened.context, CL_MEM_READ_WRITE, ITEMS * sizeof(float), NULL,
				&status);
	require(status, "clCreateBuffer");
	measure("small", argv[1], KERNELS_SMALL, 2);
	measure("large", argv[1], KERNELS_LARGE, STATEMENTS_MANY);
	clReleaseMemObject(buffer);
	opened_fini(&opened);
	return 0;
}
