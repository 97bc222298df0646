// SPDX-License-Identifier: MIT
/*
 * steps N [MS]: N kernels on one buffer, each of which depends on the one before and changes the
 * result if it runs twice, or not at all, or out of turn; with writes and reads of various sizes
 * between them, and a rest of MS after each 16. Prints a line that is the same wherever all is
 * right.
 */
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WORDS (1u << 20)

static void check(cl_int err, const char *what)
{
	if (err == CL_SUCCESS)
		return;
	fprintf(stderr, "steps: %s: error %d\n", what, err);
	exit(1);
}

static const char *const source = "kernel void advance(global uint *data, uint number)\n"
				  "{\n"
				  "	uint i = get_global_id(0);\n"
				  "	data[i] = data[i] * 1664525u + number + i;\n"
				  "}\n";

/* FNV-1a */
static uint64_t sum(uint64_t hash, const uint32_t *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		hash = (hash ^ words[i]) * 1099511628211ull;
	return hash;
}

int main(int argc, char **argv)
{
	unsigned steps = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 100;
	const struct timespec rest = {.tv_nsec =
					      argc > 2 ? strtol(argv[2], NULL, 10) * 1000000 : 0};
	uint32_t *words = calloc(WORDS, sizeof *words);
	uint64_t hash = 14695981039346656037ull;
	cl_platform_id platform;
	cl_device_id device;
	cl_context context;
	cl_command_queue queue;
	cl_program program;
	cl_kernel kernel;
	cl_mem buffer;
	cl_int err;

	check(clGetPlatformIDs(1, &platform, NULL), "platform");
	check(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL), "device");
	context = clCreateContext(NULL, 1, &device, NULL, NULL, &err);
	check(err, "context");
	queue = clCreateCommandQueue(context, device, 0, &err);
	check(err, "queue");
	program = clCreateProgramWithSource(context, 1, (const char **)&source, NULL, &err);
	check(err, "program");
	check(clBuildProgram(program, 1, &device, "", NULL, NULL), "build");
	kernel = clCreateKernel(program, "advance", &err);
	check(err, "kernel");
	buffer = clCreateBuffer(context, CL_MEM_READ_WRITE, WORDS * sizeof *words, NULL, &err);
	check(err, "buffer");
	check(clEnqueueWriteBuffer(queue, buffer, CL_TRUE, 0, WORDS * sizeof *words, words, 0, NULL,
				   NULL),
	      "first write");
	check(clSetKernelArg(kernel, 0, sizeof buffer, &buffer), "argument");
	for (cl_uint i = 0; i < steps; i++) {
		size_t size = 1024;

		check(clSetKernelArg(kernel, 1, sizeof i, &i), "argument");
		check(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &size, NULL, 0, NULL, NULL),
		      "launch");
		if (i % 16 == 15) {
			size_t part = (size_t)1 << (i / 16 % 20);

			check(clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, part * sizeof *words,
						  words, 0, NULL, NULL),
			      "read");
			hash = sum(hash, words, part);
			for (size_t k = 0; k < part; k += 17)
				words[k] += i;
			check(clEnqueueWriteBuffer(queue, buffer, CL_FALSE, 0, part * sizeof *words,
						   words, 0, NULL, NULL),
			      "write");
			check(clFinish(queue), "finish");
			nanosleep(&rest, NULL);
		}
	}
	check(clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, WORDS * sizeof *words, words, 0, NULL,
				  NULL),
	      "last read");
	printf("%u steps: %016llx\n", steps, (unsigned long long)sum(hash, words, WORDS));
	clReleaseMemObject(buffer);
	clReleaseKernel(kernel);
	clReleaseProgram(program);
	clReleaseCommandQueue(queue);
	clReleaseContext(context);
	free(words);
	return 0;
}
