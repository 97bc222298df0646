// SPDX-License-Identifier: MIT
/*
 * busy MEGABYTES: keeps a device busy until its standard input ends, and checks what came of it.
 *
 * It says "ready", and at the end "end ROUNDS". For "more N" it makes a buffer of so many megabytes
 * and says "more STATUS".
 */
#define CL_TARGET_OPENCL_VERSION 120

#include <CL/cl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Of a kernel: some 10 ms on a small CPU. */
#define ITEMS 4096u
#define TURNS 4000u

static const char *const source = "kernel void work(global uint *data, uint turns)\n"
				  "{\n"
				  "	uint i = get_global_id(0), x = data[i];\n"
				  "	for (uint n = 0; n < turns; n++)\n"
				  "		x = x * 1664525u + 1013904223u;\n"
				  "	data[i] = x;\n"
				  "}\n";

static struct {
	cl_context context;
	cl_command_queue queue;
	cl_kernel kernel;
	cl_mem data;
	size_t size;
	unsigned rounds;
} busy;

static void must(const char *what, cl_int status)
{
	if (!status)
		return;
	fprintf(stderr, "%s: %d\n", what, status);
	exit(EXIT_FAILURE);
}

/* All of a buffer, so that its memory is really taken. */
static cl_mem buffer_create(size_t size, cl_int *status)
{
	const cl_uint zero = 0;
	cl_mem mem = clCreateBuffer(busy.context, CL_MEM_READ_WRITE, size, NULL, status);

	if (!*status)
		*status = clEnqueueFillBuffer(busy.queue, mem, &zero, sizeof zero, 0, size, 0, NULL,
					      NULL);
	if (!*status)
		*status = clFinish(busy.queue);
	return mem;
}

static void begin(void)
{
	const cl_uint turns = TURNS;
	cl_platform_id platform;
	cl_device_id device;
	cl_program program;
	cl_int status;

	must("platform", clGetPlatformIDs(1, &platform, NULL));
	must("device", clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL));
	busy.context = clCreateContext(NULL, 1, &device, NULL, NULL, &status);
	must("context", status);
	busy.queue = clCreateCommandQueue(busy.context, device, 0, &status);
	must("queue", status);
	program = clCreateProgramWithSource(busy.context, 1, (const char **)&source, NULL, &status);
	must("program", status);
	must("build", clBuildProgram(program, 1, &device, "", NULL, NULL));
	busy.kernel = clCreateKernel(program, "work", &status);
	must("kernel", status);
	clReleaseProgram(program);
	busy.data = buffer_create(busy.size, &status);
	must("buffer", status);
	must("argument", clSetKernelArg(busy.kernel, 0, sizeof(cl_mem), &busy.data));
	must("argument", clSetKernelArg(busy.kernel, 1, sizeof turns, &turns));
}

static void turn(void)
{
	const size_t items = ITEMS;

	must("launch",
	     clEnqueueNDRangeKernel(busy.queue, busy.kernel, 1, NULL, &items, NULL, 0, NULL, NULL));
	must("finish", clFinish(busy.queue));
	busy.rounds++;
}

/* Return: false at the end of the input. */
static bool said(void)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	char line[64];
	unsigned size;
	cl_int status;
	ssize_t n;

	if (poll(&in, 1, 0) <= 0)
		return true;
	n = read(STDIN_FILENO, line, sizeof line - 1);
	if (n <= 0)
		return false;
	line[n] = '\0';
	if (sscanf(line, "more %u", &size) == 1) {
		buffer_create((size_t)size << 20, &status);
		printf("more %d\n", status);
		fflush(stdout);
	}
	return true;
}

/* What the rounds make of 0. */
static uint32_t expected(void)
{
	uint32_t x = 0;

	for (uint64_t n = 0; n < (uint64_t)busy.rounds * TURNS; n++)
		x = x * 1664525u + 1013904223u;
	return x;
}

static void check(void)
{
	uint32_t *words = malloc(busy.size), wanted = expected();

	must("memory", words ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY);
	must("read", clEnqueueReadBuffer(busy.queue, busy.data, CL_TRUE, 0, busy.size, words, 0,
					 NULL, NULL));
	for (size_t i = 0; i < busy.size / sizeof *words; i++)
		must("a word is wrong", words[i] != (i < ITEMS ? wanted : 0));
	free(words);
}

int main(int argc, char **argv)
{
	busy.size = (argc > 1 ? strtoul(argv[1], NULL, 10) : 1) << 20;
	begin();
	puts("ready");
	fflush(stdout);
	while (said())
		turn();
	check();
	printf("end %u\n", busy.rounds);
	return EXIT_SUCCESS;
}
