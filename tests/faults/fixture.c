// SPDX-License-Identifier: MIT
#include "fixture.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* "spin" takes its argument's number of rounds; nothing can be left out by a compiler. */
const char *const fixture_source = "kernel void spin(global volatile uint *data, ulong rounds)\n"
				   "{\n"
				   "	for (ulong i = 0; i < rounds; i++)\n"
				   "		data[i % 1024] = data[(i + 1) % 1024] * 3 + 1;\n"
				   "}\n"
				   "kernel void add(global uint *data, uint value)\n"
				   "{\n"
				   "	data[get_global_id(0)] += value;\n"
				   "}\n"
				   "kernel void wild(global uint *data, ulong offset)\n"
				   "{\n"
				   "	data[offset + get_global_id(0)] = 1;\n"
				   "}\n"
				   "kernel void trap(global int *data, int value)\n"
				   "{\n"
				   "	if (data[get_global_id(0)] != value)\n"
				   "		__builtin_trap();\n"
				   "}\n";

/* Some minutes; the tests end it long before. */
#define LONG_ROUNDS 100000000000ull

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

void hear(void)
{
	char line[64];

	if (!fgets(line, sizeof line, stdin))
		exit(EXIT_FAILURE);
}

void must(const char *what, cl_int code)
{
	if (code == CL_SUCCESS)
		return;
	fprintf(stderr, "%s: %d\n", what, code);
	exit(EXIT_FAILURE);
}

static void image_init(struct fixture *fixture)
{
	cl_image_format format = {CL_RGBA, CL_UNORM_INT8};
	cl_image_desc desc = {.image_type = CL_MEM_OBJECT_IMAGE2D,
			      .image_width = IMAGE_SIDE,
			      .image_height = IMAGE_SIDE};
	cl_bool images = CL_FALSE;
	cl_int err;

	must("clGetDeviceInfo", clGetDeviceInfo(fixture->device, CL_DEVICE_IMAGE_SUPPORT,
						sizeof images, &images, NULL));
	if (!images)
		return;
	fixture->image =
		clCreateImage(fixture->context, CL_MEM_READ_WRITE, &format, &desc, NULL, &err);
	must("clCreateImage", err);
}

/* Why it can't be built, on stderr. */
static void log_tell(cl_program program, cl_device_id device)
{
	char text[4096] = "";

	clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, sizeof text - 1, text, NULL);
	fprintf(stderr, "%s\n", text);
}

static void program_init(struct fixture *fixture)
{
	const char *source = fixture_source;
	cl_ulong rounds = LONG_ROUNDS;
	cl_int err;

	fixture->program = clCreateProgramWithSource(fixture->context, 1, &source, NULL, &err);
	must("clCreateProgramWithSource", err);
	err = clBuildProgram(fixture->program, 0, NULL, NULL, NULL, NULL);
	if (err)
		log_tell(fixture->program, fixture->device);
	must("clBuildProgram", err);
	fixture->kernel = clCreateKernel(fixture->program, "spin", &err);
	must("clCreateKernel", err);
	must("clSetKernelArg",
	     clSetKernelArg(fixture->kernel, 0, sizeof(cl_mem), &fixture->buffer));
	must("clSetKernelArg", clSetKernelArg(fixture->kernel, 1, sizeof rounds, &rounds));
}

void fixture_init(struct fixture *fixture)
{
	cl_int err;

	*fixture = (struct fixture){.memory = calloc(1, BUFFER_SIZE)};
	must("malloc", fixture->memory ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY);
	must("clGetPlatformIDs", clGetPlatformIDs(1, &fixture->platform, NULL));
	must("clGetDeviceIDs",
	     clGetDeviceIDs(fixture->platform, CL_DEVICE_TYPE_ALL, 1, &fixture->device, NULL));
	fixture->context = clCreateContext(NULL, 1, &fixture->device, NULL, NULL, &err);
	must("clCreateContext", err);
	fixture->queue = clCreateCommandQueue(fixture->context, fixture->device, 0, &err);
	must("clCreateCommandQueue", err);
	fixture->loose = clCreateCommandQueue(fixture->context, fixture->device,
					      CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &err);
	must("clCreateCommandQueue", err);
	fixture->buffer =
		clCreateBuffer(fixture->context, CL_MEM_READ_WRITE, BUFFER_SIZE, NULL, &err);
	must("clCreateBuffer", err);
	fixture->gate = clCreateUserEvent(fixture->context, &err);
	must("clCreateUserEvent", err);
	image_init(fixture);
	program_init(fixture);
	must("clFinish", clFinish(fixture->queue));
}

void fixture_release(struct fixture *fixture)
{
	if (fixture->gated)
		clReleaseEvent(fixture->gated);
	clReleaseEvent(fixture->gate);
	clReleaseKernel(fixture->kernel);
	clReleaseProgram(fixture->program);
	if (fixture->image)
		clReleaseMemObject(fixture->image);
	clReleaseMemObject(fixture->buffer);
	clReleaseCommandQueue(fixture->loose);
	clReleaseCommandQueue(fixture->queue);
	clReleaseContext(fixture->context);
	free(fixture->memory);
}

char *long_source(unsigned functions)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (unsigned i = 0; i < functions; i++)
		fprintf(out,
			"kernel void k%u(global float4 *a, float4 b)\n"
			"{\n"
			"	size_t i = get_global_id(0);\n"
			"	for (int n = 0; n < %u; n++)\n"
			"		a[i] = sin(a[i] * b + %u.0f) + cos(a[i]) * native_exp(b);\n"
			"}\n",
			i, 3 + i % 7, i);
	fclose(out);
	return text;
}
