// SPDX-License-Identifier: MIT
/*
 * workload MODE: see workload.h. What is said to it on stdin, a line each:
 *
 * N      do N rounds; it answers "did TOTAL SUM"
 * run    do rounds until the next line comes; it answers "running", and when that line has come
 * "did TOTAL SUM"; what the line says is done then
 * queue  go on with a new queue in place of the one that is in order, which stays; it answers
 *        "queue"
 *
 * It says "ready" at first. At the end of stdin it gives all back and says "end TOTAL SUM".
 * Modes may say more; so may kernels.
 */
#include "workload.h"

#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const source =
	"kernel void stir(global uint *to, global const uint *from, uint mask, uint number)\n"
	"{\n"
	"	uint i = get_global_id(0);\n"
	"	to[i] = to[i] * 1664525u + from[i & mask] + number + i;\n"
	"}\n";

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

void wrong(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

void must(const char *what, cl_int code)
{
	if (code != CL_SUCCESS)
		wrong("%s: %d", what, code);
}

void *allocate(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	must("malloc", memory ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY);
	return memory;
}

uint32_t chance(struct workload *w, uint32_t limit)
{
	w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(w->random >> 33) % limit;
}

void sum_add(struct workload *w, const void *data, size_t size)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++)
		w->sum = (w->sum ^ bytes[i]) * 1099511628211ull;
}

void words_check(struct workload *w, const char *what, const uint32_t *got, const uint32_t *wanted,
		 size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (got[i] != wanted[i])
			wrong("%s: word %zu of %zu is %" PRIu32 " instead of %" PRIu32, what, i,
			      count, got[i], wanted[i]);
	}
	sum_add(w, got, count * sizeof *got);
}

void words_random(struct workload *w, uint32_t *words, size_t count)
{
	uint32_t value = chance(w, 1u << 30);

	for (size_t i = 0; i < count; i++)
		words[i] = value = value * 1664525u + 1013904223u;
}

cl_mem buffer_make(struct workload *w, size_t words, const uint32_t *data)
{
	cl_int err;
	cl_mem made =
		clCreateBuffer(w->context, CL_MEM_READ_WRITE | (data ? CL_MEM_COPY_HOST_PTR : 0),
			       words * sizeof *data, (void *)(uintptr_t)data, &err);

	must("clCreateBuffer", err);
	return made;
}

cl_program program_make(struct workload *w, const char *text, const char *options)
{
	char log[4096] = "";
	cl_int err;
	cl_program made = clCreateProgramWithSource(w->context, 1, &text, NULL, &err);

	must("clCreateProgramWithSource", err);
	err = clBuildProgram(made, 1, &w->device, options, NULL, NULL);
	if (err == CL_SUCCESS)
		return made;
	clGetProgramBuildInfo(made, w->device, CL_PROGRAM_BUILD_LOG, sizeof log - 1, log, NULL);
	wrong("clBuildProgram: %d\n%s", err, log);
}

cl_kernel kernel_make(struct workload *w, const char *name)
{
	cl_int err;
	cl_kernel made = clCreateKernel(w->program, name, &err);

	must("clCreateKernel", err);
	return made;
}

void launch(cl_command_queue queue, cl_kernel kernel, size_t items, cl_uint wait_count,
	    const cl_event *waits, cl_event *event)
{
	const size_t group = GROUP;

	must("clEnqueueNDRangeKernel", clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &items,
							      &group, wait_count, waits, event));
}

void stir_set(cl_kernel kernel, cl_mem to, cl_mem from, cl_uint mask, cl_uint number)
{
	must("clSetKernelArg", clSetKernelArg(kernel, 0, sizeof(cl_mem), &to));
	must("clSetKernelArg", clSetKernelArg(kernel, 1, sizeof(cl_mem), &from));
	must("clSetKernelArg", clSetKernelArg(kernel, 2, sizeof mask, &mask));
	must("clSetKernelArg", clSetKernelArg(kernel, 3, sizeof number, &number));
}

void stir_follow(uint32_t *to, const uint32_t *from, uint32_t mask, uint32_t number, size_t items)
{
	for (uint32_t i = 0; i < items; i++)
		to[i] = to[i] * 1664525u + from[i & mask] + number + i;
}

/* ------------------------------------------------------------ the whole */

static cl_command_queue queue_make(const struct workload *w)
{
	cl_int err;
	cl_command_queue made =
		clCreateCommandQueue(w->context, w->device, CL_QUEUE_PROFILING_ENABLE, &err);

	must("clCreateCommandQueue", err);
	return made;
}

/* The old one has nothing to do any more, but stays. */
static void queue_change(struct workload *w)
{
	must("clFinish", clFinish(w->queue));
	if (w->queue_count == QUEUE_CHANGES)
		wrong("too many queues");
	w->queues[w->queue_count++] = w->queue;
	w->queue = queue_make(w);
	say("queue");
}

static void workload_init(struct workload *w)
{
	cl_int err;

	*w = (struct workload){.random = 1, .sum = 14695981039346656037ull};
	must("clGetPlatformIDs", clGetPlatformIDs(1, &w->platform, NULL));
	must("clGetDeviceIDs",
	     clGetDeviceIDs(w->platform, CL_DEVICE_TYPE_ALL, 1, &w->device, NULL));
	w->context = clCreateContext(NULL, 1, &w->device, NULL, NULL, &err);
	must("clCreateContext", err);
	w->queue = queue_make(w);
	w->loose = clCreateCommandQueue(
		w->context, w->device,
		CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE | CL_QUEUE_PROFILING_ENABLE, &err);
	must("clCreateCommandQueue", err);
	w->program = program_make(w, source, "");
}

static void workload_fini(struct workload *w)
{
	clReleaseProgram(w->program);
	for (unsigned i = 0; i < w->queue_count; i++)
		clReleaseCommandQueue(w->queues[i]);
	clReleaseCommandQueue(w->loose);
	clReleaseCommandQueue(w->queue);
	clReleaseContext(w->context);
}

static const struct mode *mode_find(const char *name)
{
	static const struct mode *const modes[] = {
		&mode_order,	    &mode_shared,	&mode_parts,	   &mode_images,
		&mode_programs,	    &mode_times,	&mode_churn,	   &mode_lossy,
		&mode_lossy_shared, &mode_lossy_prints, &mode_lossy_fails, &mode_svm,
		&mode_whole,	    &mode_replay,	&mode_gates,
	};

	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
		if (strcmp(modes[i]->name, name) == 0)
			return modes[i];
	wrong("there is no mode %s", name);
}

/* Without stdio's buffer, so that poll() tells of each line. Return: false at the end. */
static bool hear(char *line, size_t size)
{
	size_t length = 0;
	char c;

	while (read(STDIN_FILENO, &c, 1) == 1) {
		if (c == '\n') {
			line[length] = '\0';
			return true;
		}
		if (length + 1 < size)
			line[length++] = c;
	}
	return false;
}

static bool spoken_to(void)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&input, 1, 0) > 0;
}

int main(int argc, char **argv)
{
	const struct mode *mode = mode_find(argc > 1 ? argv[1] : "order");
	void *self = allocate(1, mode->size);
	unsigned total = 0;
	struct workload w;
	char line[64];

	workload_init(&w);
	mode->init(&w, self);
	say("ready");
	while (hear(line, sizeof line)) {
		bool run = strcmp(line, "run") == 0;
		unsigned wanted = run ? 0 : (unsigned)strtoul(line, NULL, 10);

		if (strcmp(line, "queue") == 0) {
			queue_change(&w);
			continue;
		}
		if (run)
			say("running");
		while (run ? !spoken_to() : wanted-- > 0)
			mode->round(&w, self, total++);
		say("did %u %016" PRIx64, total, w.sum);
	}
	mode->fini(&w, self);
	workload_fini(&w);
	free(self);
	say("end %u %016" PRIx64, total, w.sum);
	return EXIT_SUCCESS;
}
