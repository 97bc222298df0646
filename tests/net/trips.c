// SPDX-License-Identifier: MIT
/*
 * trips: what a program waits for, in microseconds, one line each: the beginning of its session, a
 * build, a program from its binary and the build of that, commands that are posted, a kernel with
 * clFinish, a blocking read. The least of several times where it can be done again.
 */
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REPEATS 5
#define POSTED	1000

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void check(cl_int err, const char *what)
{
	if (err == CL_SUCCESS)
		return;
	fprintf(stderr, "trips: %s: error %d\n", what, err);
	exit(1);
}

static void tell(const char *what, double us)
{
	printf("%s %.0f\n", what, us);
	fflush(stdout);
}

static cl_device_id begin(void)
{
	double start = now_us();
	cl_platform_id platform;
	cl_device_id device;

	check(clGetPlatformIDs(1, &platform, NULL), "platform");
	check(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL), "device");
	tell("start", now_us() - start);
	return device;
}

/* A source that was never built before, so that no cache has it: compiling is told apart. */
static cl_kernel build(cl_context context, cl_device_id device)
{
	char source[256];
	const char *text = source;
	double least = 1e12;
	cl_kernel kernel = NULL;
	cl_int err;

	snprintf(source, sizeof source, "kernel void one(global int *p) { p[0] += 1; }");
	for (int i = 0; i < REPEATS; i++) {
		double start = now_us();
		cl_program program = clCreateProgramWithSource(context, 1, &text, NULL, &err);

		check(err, "program");
		check(clBuildProgram(program, 1, &device, "", NULL, NULL), "build");
		if (kernel)
			clReleaseKernel(kernel);
		kernel = clCreateKernel(program, "one", &err);
		check(err, "kernel");
		if (now_us() - start < least)
			least = now_us() - start;
		clReleaseProgram(program);
	}
	tell("build", least);
	return kernel;
}

/* From the binary of the kernel's program. */
static void rebuild(cl_context context, cl_device_id device, cl_kernel kernel)
{
	double made = 1e12, built = 1e12;
	const unsigned char *binary;
	cl_program program;
	size_t size;
	cl_int err;

	check(clGetKernelInfo(kernel, CL_KERNEL_PROGRAM, sizeof program, &program, NULL),
	      "the kernel's program");
	check(clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL), "size");
	binary = malloc(size);
	check(clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof(void *), &binary, NULL),
	      "binary");
	for (int i = 0; i < REPEATS; i++) {
		double start = now_us(), between;

		program =
			clCreateProgramWithBinary(context, 1, &device, &size, &binary, NULL, &err);
		check(err, "program of a binary");
		between = now_us();
		check(clBuildProgram(program, 1, &device, "", NULL, NULL), "build of a binary");
		if (between - start < made)
			made = between - start;
		if (now_us() - between < built)
			built = now_us() - between;
		clReleaseProgram(program);
	}
	free((void *)binary);
	tell("binary", made);
	tell("binary-build", built);
}

int main(void)
{
	cl_device_id device = begin();
	double post = 0, finish = 1e12, read = 1e12, start;
	size_t one = 1;
	cl_command_queue queue;
	cl_context context;
	cl_kernel kernel;
	cl_mem buffer;
	int32_t value = 0;
	cl_int err;

	context = clCreateContext(NULL, 1, &device, NULL, NULL, &err);
	check(err, "context");
	queue = clCreateCommandQueue(context, device, 0, &err);
	check(err, "queue");
	kernel = build(context, device);
	rebuild(context, device, kernel);
	buffer = clCreateBuffer(context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, sizeof value,
				&value, &err);
	check(err, "buffer");
	check(clSetKernelArg(kernel, 0, sizeof buffer, &buffer), "argument");
	for (int i = 0; i < REPEATS; i++) {
		start = now_us();
		check(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &one, NULL, 0, NULL, NULL),
		      "launch");
		check(clFinish(queue), "finish");
		if (now_us() - start < finish)
			finish = now_us() - start;
		start = now_us();
		check(clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, sizeof value, &value, 0, NULL,
					  NULL),
		      "read");
		if (now_us() - start < read)
			read = now_us() - start;
	}
	start = now_us();
	for (int i = 0; i < POSTED; i++)
		check(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &one, NULL, 0, NULL, NULL),
		      "launch");
	post = now_us() - start;
	check(clFinish(queue), "finish");
	tell("finish", finish);
	tell("read", read);
	tell("posted", post / POSTED);
	check(clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, sizeof value, &value, 0, NULL, NULL),
	      "read");
	return value == POSTED + REPEATS ? 0 : 1;
}
