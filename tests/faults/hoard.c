// SPDX-License-Identifier: MIT
/*
 * A guest program that takes and gives back device memory as it is told, a line at a time:
 *
 * sizes      "sizes GLOBAL MAX", in bytes, as the device has them
 * take KIB   make a buffer of so many KiB and fill it; "worked CODE"
 * free N     release the N-th that is held, counted from 0; "worked CODE"
 * build      make a program, build it, and run its kernel; "worked CODE"; what could not be built
 * is kept for the next line again      build that, and run it; "worked CODE" fetch      the binary
 * of the last program that was built; "worked CODE" load       make a program of that binary;
 * "worked CODE" drop       release all programs; "worked CODE"
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#define HELD_MAX 4096u

static cl_device_id device;
static cl_context context;
static cl_command_queue queue;
static cl_mem held[HELD_MAX];
static size_t count;

static void sizes_say(void)
{
	cl_ulong global = 0, most = 0;

	must("global size",
	     clGetDeviceInfo(device, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof global, &global, NULL));
	must("largest buffer",
	     clGetDeviceInfo(device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof most, &most, NULL));
	say("sizes %" PRIu64 " %" PRIu64, (uint64_t)global, (uint64_t)most);
}

/* What is small may be filled in the guest, and a buffer made when it is first used: a migration is
 * the device's in any case. */
static cl_int take(size_t size)
{
	const cl_uchar pattern = 0x5a;
	cl_uchar last = 0;
	cl_mem buffer;
	cl_int err;

	if (count == HELD_MAX)
		return CL_OUT_OF_HOST_MEMORY;
	buffer = clCreateBuffer(context, CL_MEM_READ_WRITE, size, NULL, &err);
	if (err)
		return err;
	err = clEnqueueFillBuffer(queue, buffer, &pattern, 1, 0, size, 0, NULL, NULL);
	if (!err)
		err = clEnqueueMigrateMemObjects(queue, 1, &buffer, 0, 0, NULL, NULL);
	if (!err)
		err = clFinish(queue);
	if (!err)
		err = clEnqueueReadBuffer(queue, buffer, CL_TRUE, size - 1, 1, &last, 0, NULL,
					  NULL);
	if (!err && last == pattern) {
		held[count++] = buffer;
		return CL_SUCCESS;
	}
	clReleaseMemObject(buffer);
	return err ? err : 1;
}

/* Back when the host has seen it. */
static cl_int give(size_t n)
{
	cl_int err;

	if (n >= count)
		return CL_INVALID_VALUE;
	err = clReleaseMemObject(held[n]);
	held[n] = held[--count];
	if (!err)
		err = clEnqueueMarkerWithWaitList(queue, 0, NULL, NULL);
	return err ? err : clFinish(queue);
}

static cl_program programs[HELD_MAX], refused;
static size_t program_count;
static unsigned char *binary;
static size_t binary_size;

static cl_int run(cl_program program)
{
	const size_t one = 1;
	cl_int err;
	cl_kernel kernel = clCreateKernel(program, "nothing", &err);

	if (!err)
		err = clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &one, NULL, 0, NULL, NULL);
	if (!err)
		err = clFinish(queue);
	if (kernel)
		clReleaseKernel(kernel);
	return err;
}

static cl_int again(void)
{
	cl_int err = clBuildProgram(refused, 1, &device, "", NULL, NULL);

	if (err) {
		/* It is a program without kernels, and no more. */
		if (clCreateKernel(refused, "nothing", NULL))
			return 1;
		return err;
	}
	programs[program_count++] = refused;
	refused = NULL;
	return run(programs[program_count - 1]);
}

static cl_int build(void)
{
	const char *source = "kernel void nothing(void) {}";
	cl_int err;

	if (program_count == HELD_MAX)
		return CL_OUT_OF_HOST_MEMORY;
	if (refused)
		clReleaseProgram(refused);
	refused = clCreateProgramWithSource(context, 1, &source, NULL, &err);
	return err ? err : again();
}

static cl_int fetch(void)
{
	cl_program program = programs[program_count - 1];
	cl_int err = clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof binary_size,
				      &binary_size, NULL);

	if (err)
		return err;
	free(binary);
	binary = calloc(1, binary_size);
	return clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof(binary), &binary, NULL);
}

static cl_int load(void)
{
	const unsigned char *bytes = binary;
	cl_int err;
	cl_program program =
		clCreateProgramWithBinary(context, 1, &device, &binary_size, &bytes, NULL, &err);

	if (!err)
		programs[program_count++] = program;
	return err;
}

static cl_int drop(void)
{
	cl_int err;

	while (program_count)
		clReleaseProgram(programs[--program_count]);
	err = clEnqueueMarkerWithWaitList(queue, 0, NULL, NULL);
	return err ? err : clFinish(queue);
}

int main(void)
{
	cl_platform_id platform;
	char line[64];
	cl_int err;

	must("platform", clGetPlatformIDs(1, &platform, NULL));
	must("device", clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL));
	context = clCreateContext(NULL, 1, &device, NULL, NULL, &err);
	must("context", err);
	queue = clCreateCommandQueue(context, device, 0, &err);
	must("queue", err);
	say("prepared");
	while (fgets(line, sizeof line, stdin)) {
		if (strncmp(line, "take ", 5) == 0)
			say("worked %d", take(strtoul(line + 5, NULL, 10) << 10));
		else if (strncmp(line, "free ", 5) == 0)
			say("worked %d", give(strtoul(line + 5, NULL, 10)));
		else if (strncmp(line, "build", 5) == 0)
			say("worked %d", build());
		else if (strncmp(line, "again", 5) == 0)
			say("worked %d", again());
		else if (strncmp(line, "fetch", 5) == 0)
			say("worked %d", fetch());
		else if (strncmp(line, "load", 4) == 0)
			say("worked %d", load());
		else if (strncmp(line, "drop", 4) == 0)
			say("worked %d", drop());
		else
			sizes_say();
	}
	return EXIT_SUCCESS;
}
