/* SPDX-License-Identifier: MIT */
/*
 * A guest program that keeps a device busy, and says how far it got:
 *
 * load steady LOOPS DEPTH SECONDS   one kernel after another, DEPTH of them under way
 * load light LOOPS PAUSE SECONDS    a kernel and clFinish, then PAUSE ms of nothing
 *
 * Kernels take LOOPS rounds of arithmetic each. It says "ready", waits for a line, and then "steady
 * TIME COUNT" for each 20 ms in which kernels ended, TIME of CLOCK_MONOTONIC in ms, or "light NS"
 * for each kernel-and-finish; "end" is the last line, if what the last kernel left is right.
 */
#define CL_TARGET_OPENCL_VERSION 120

#include <CL/cl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEPTH_MAX 256u
#define BUCKET_MS 20
#define ITEMS	  64

static const char source[] =
	"__kernel void spin(__global uint *out, uint loops) {"
	"  uint x = get_global_id(0) + 1u;"
	"  for (uint i = 0; i < loops; i++) x = x * 1664525u + (x >> 7) + 1013904223u;"
	"  out[get_global_id(0)] = x;"
	"}";

static cl_command_queue queue;
static cl_kernel kernel;
static cl_mem out;

static void must(const char *what, cl_int err)
{
	if (!err)
		return;
	fprintf(stderr, "%s: %d\n", what, err);
	exit(EXIT_FAILURE);
}

static int64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void prepare(cl_uint loops)
{
	const char *text = source;
	cl_platform_id platform;
	cl_device_id device;
	cl_context context;
	cl_program program;
	cl_int err;

	must("platform", clGetPlatformIDs(1, &platform, NULL));
	must("device", clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL));
	context = clCreateContext(NULL, 1, &device, NULL, NULL, &err);
	must("context", err);
	queue = clCreateCommandQueue(context, device, 0, &err);
	must("queue", err);
	program = clCreateProgramWithSource(context, 1, &text, NULL, &err);
	must("program", err);
	must("build", clBuildProgram(program, 1, &device, "", NULL, NULL));
	kernel = clCreateKernel(program, "spin", &err);
	must("kernel", err);
	out = clCreateBuffer(context, CL_MEM_READ_WRITE, 4096, NULL, &err);
	must("buffer", err);
	must("argument", clSetKernelArg(kernel, 0, sizeof out, &out));
	must("argument", clSetKernelArg(kernel, 1, sizeof loops, &loops));
}

static void launch(cl_event *event)
{
	const size_t global = ITEMS, local = 8;

	must("launch",
	     clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &global, &local, 0, NULL, event));
}

static void count(int64_t now)
{
	static int64_t bucket;
	static uint64_t sum;
	int64_t in = now / 1000000 / BUCKET_MS;

	if (in != bucket && sum) {
		printf("steady %" PRId64 " %" PRIu64 "\n", bucket * BUCKET_MS, sum);
		sum = 0;
	}
	bucket = in;
	sum++;
}

static void steady(unsigned depth, double seconds)
{
	cl_event events[DEPTH_MAX] = {NULL};
	int64_t end = now_ns() + (int64_t)(seconds * 1e9);
	unsigned at = 0;

	for (int64_t now = now_ns(); now < end; now = now_ns()) {
		if (events[at]) {
			must("wait", clWaitForEvents(1, &events[at]));
			clReleaseEvent(events[at]);
			count(now_ns());
		}
		launch(&events[at]);
		must("flush", clFlush(queue));
		at = (at + 1) % depth;
	}
	must("finish", clFinish(queue));
}

static void results_check(cl_uint loops)
{
	cl_uint results[ITEMS];

	must("read",
	     clEnqueueReadBuffer(queue, out, CL_TRUE, 0, sizeof results, results, 0, NULL, NULL));
	for (cl_uint item = 0; item < ITEMS; item++) {
		cl_uint x = item + 1;

		for (cl_uint i = 0; i < loops; i++)
			x = x * 1664525u + (x >> 7) + 1013904223u;
		must("result", results[item] != x);
	}
}

static void light(unsigned pause_ms, double seconds)
{
	const struct timespec pause = {.tv_sec = pause_ms / 1000,
				       .tv_nsec = (long)(pause_ms % 1000) * 1000000};
	int64_t end = now_ns() + (int64_t)(seconds * 1e9);

	for (int64_t now = now_ns(); now < end; now = now_ns()) {
		launch(NULL);
		must("finish", clFinish(queue));
		printf("light %" PRId64 "\n", now_ns() - now);
		nanosleep(&pause, NULL);
	}
}

int main(int argc, char **argv)
{
	unsigned number;
	cl_uint loops;
	char line[16];

	if (argc != 5)
		return 2;
	loops = (cl_uint)strtoul(argv[2], NULL, 10);
	number = (unsigned)strtoul(argv[3], NULL, 10);
	prepare(loops);
	launch(NULL);
	must("finish", clFinish(queue));
	puts("ready");
	fflush(stdout);
	if (!fgets(line, sizeof line, stdin))
		return EXIT_FAILURE;
	if (strcmp(argv[1], "light") == 0)
		light(number, strtod(argv[4], NULL));
	else
		steady(number < 1	    ? 1
		       : number > DEPTH_MAX ? DEPTH_MAX
					    : number,
		       strtod(argv[4], NULL));
	results_check(loops);
	puts("end");
	return EXIT_SUCCESS;
}
