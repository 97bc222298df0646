// SPDX-License-Identifier: MIT
/*
 * The program that tests/bench/migration moves about:
 *
 *   migrant work MIB LOOPS COUNT PAUSE-US
 *     COUNT kernels with MIB of buffers, and nothing for PAUSE-US after each
 *   migrant write MIB PART PERMILLE LOOPS
 *     buffers of PART MiB; each round kernels write PERMILLE of them, the first ones first
 *   migrant launch LOOPS
 *     a small kernel and clFinish, again and again
 *   migrant speed
 *     what commands cost where it is
 *
 * It says "ready" and waits for a line, which begins the work. "write" and "launch" go on until the
 * next line; then they say how long their rounds took in ns (all of them, the median, the 99th
 * percentile, the longest), and begin anew with the line after that, as "speed" does. Who doesn't
 * get memory says "short", waits and tries again, from the beginning. What was computed is checked.
 */
#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS

#include <CL/cl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MIB	    ((size_t)1 << 20)
#define PARTS_MAX   1024u
#define ROUNDS_MAX  2000000u
#define RETRY_NS    100000000
#define SPEED_COUNT 400u

/* Arithmetic and memory: each item does LOOPS rounds, and leaves the last in its word. */
static const char source[] =
	"__kernel void spin(__global uint *out, uint loops, uint round) {"
	"  uint x = get_global_id(0) + round;"
	"  for (uint i = 0; i < loops; i++) x = x * 1664525u + (x >> 7) + 1013904223u;"
	"  out[get_global_id(0)] = x;"
	"}";

static cl_context context;
static cl_command_queue queue;
static cl_kernel kernel;
static cl_mem parts[PARTS_MAX];
static size_t part_count, part_bytes;
static cl_uint round_of[PARTS_MAX]; /* which wrote to it last; 0: none */
static size_t written[PARTS_MAX];   /* how many bytes at its beginning */

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

static void say(const char *text)
{
	puts(text);
	fflush(stdout);
}

static void line_await(void)
{
	char line[16];

	/* Its end is the end. */
	if (!fgets(line, sizeof line, stdin))
		exit(EXIT_SUCCESS);
}

static bool line_there(void)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&input, 1, 0) > 0;
}

static void prepare(void)
{
	const char *text = source;
	cl_platform_id platform;
	cl_device_id device;
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
}

/* ------------------------------------------------------------ kernels */

static void launch(size_t part, size_t bytes, cl_uint loops, cl_uint round)
{
	const size_t global = bytes / 4;
	/* Few and large groups, for devices that are slow to begin one. */
	const size_t local = global % 1024 == 0 ? 1024 : 64;

	must("argument", clSetKernelArg(kernel, 0, sizeof parts[part], &parts[part]));
	must("argument", clSetKernelArg(kernel, 1, sizeof loops, &loops));
	must("argument", clSetKernelArg(kernel, 2, sizeof round, &round));
	must("launch",
	     clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &global, &local, 0, NULL, NULL));
	round_of[part] = round;
	written[part] = bytes;
}

static cl_uint expected(size_t item, cl_uint loops, cl_uint round)
{
	cl_uint x = (cl_uint)item + round;

	for (cl_uint i = 0; i < loops; i++)
		x = x * 1664525u + (x >> 7) + 1013904223u;
	return x;
}

/* The first and the last word that was written, of each part. */
static void results_check(cl_uint loops)
{
	for (size_t i = 0; i < part_count; i++) {
		const size_t items[2] = {0, written[i] / 4 - 1};

		for (size_t j = 0; round_of[i] && j < 2; j++) {
			cl_uint value;

			must("read", clEnqueueReadBuffer(queue, parts[i], CL_TRUE, items[j] * 4, 4,
							 &value, 0, NULL, NULL));
			must("result", value != expected(items[j], loops, round_of[i]));
		}
	}
}

/* ------------------------------------------------------------ memory */

static void parts_release(void)
{
	for (size_t i = 0; i < part_count; i++)
		clReleaseMemObject(parts[i]);
	part_count = 0;
	clFinish(queue);
}

/* Return: what an allocation that doesn't fit says. */
static cl_int parts_create(size_t bytes, cl_uint loops)
{
	const size_t count = bytes / part_bytes;
	cl_int err = CL_SUCCESS;

	while (part_count < count && !err) {
		parts[part_count] =
			clCreateBuffer(context, CL_MEM_READ_WRITE, part_bytes, NULL, &err);
		if (err)
			break;
		launch(part_count++, part_bytes, loops, 1);
		err = clFinish(queue);
	}
	if (err)
		parts_release();
	return err;
}

static void parts_ensure(size_t bytes, cl_uint loops)
{
	const struct timespec pause = {.tv_nsec = RETRY_NS};

	for (;;) {
		cl_int err = parts_create(bytes, loops);

		if (!err)
			return;
		if (err != CL_MEM_OBJECT_ALLOCATION_FAILURE && err != CL_OUT_OF_RESOURCES)
			must("buffer", err);
		say("short");
		nanosleep(&pause, NULL);
	}
}

/* ------------------------------------------------------------ work */

static int work(char **words)
{
	const size_t bytes = strtoul(words[0], NULL, 10) * MIB;
	const cl_uint loops = (cl_uint)strtoul(words[1], NULL, 10);
	const cl_uint count = (cl_uint)strtoul(words[2], NULL, 10);
	const struct timespec pause = {.tv_nsec = strtol(words[3], NULL, 10) * 1000};

	part_bytes = bytes > 16 * MIB ? 16 * MIB : bytes;
	say("ready");
	line_await();
	parts_ensure(bytes, 1);
	say("began");
	for (cl_uint round = 2; round < count + 2; round++) {
		launch(round % part_count, 65536, loops, round);
		/* Two are under way, of those that are busy. */
		if (round % 2 == 0 || pause.tv_nsec)
			must("finish", clFinish(queue));
		if (pause.tv_nsec)
			nanosleep(&pause, NULL);
	}
	must("finish", clFinish(queue));
	for (size_t i = 0; i < part_count; i++)
		if (round_of[i] == 1)
			round_of[i] = 0; /* of other loops */
	results_check(loops);
	parts_release();
	say("done");
	line_await();
	return EXIT_SUCCESS;
}

/* ------------------------------------------------------------ rounds */

static int64_t *times; /* how long each round took */

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void times_say(size_t count, int64_t took)
{
	qsort(times, count, sizeof *times, compare);
	printf("rounds %zu took %" PRId64 " usual %" PRId64 " late %" PRId64 " gap %" PRId64 "\n",
	       count, took, times[count / 2], times[count * 99 / 100], times[count - 1]);
	fflush(stdout);
}

/* Of PERMILLE of everything; whole parts first. */
static void round_write(size_t left, cl_uint loops, cl_uint round)
{
	for (size_t i = 0; left && i < part_count; i++) {
		size_t bytes = left < part_bytes ? left : part_bytes;

		launch(i, bytes, loops, round);
		left -= bytes;
	}
	must("finish", clFinish(queue));
}

/* Rounds until there is a line. */
static cl_uint rounds_run(size_t bytes, cl_uint loops, cl_uint round)
{
	int64_t begin = now_ns(), last = begin;
	size_t count = 0;

	do {
		int64_t now;

		round_write(bytes, loops, ++round);
		now = now_ns();
		times[count] = now - last;
		last = now;
		if (count + 1 < ROUNDS_MAX)
			count++;
	} while (!line_there());
	line_await();
	times_say(count, last - begin);
	return round;
}

static int rounds(size_t bytes, cl_uint loops)
{
	cl_uint round = 1;

	times = calloc(ROUNDS_MAX, sizeof *times);
	if (!times)
		return EXIT_FAILURE;
	round_write(bytes, loops, round);
	say("ready");
	for (;;) {
		line_await();
		round = rounds_run(bytes, loops, round);
		results_check(loops);
	}
}

static int write_parts(char **words)
{
	const size_t bytes = strtoul(words[0], NULL, 10) * MIB;
	const size_t permille = strtoul(words[2], NULL, 10);
	const cl_uint loops = (cl_uint)strtoul(words[3], NULL, 10);

	part_bytes = strtoul(words[1], NULL, 10) * MIB;
	parts_ensure(bytes, loops);
	return rounds((bytes / 1000 * permille + 4095) & ~(size_t)4095, loops);
}

static int launches(char **words)
{
	part_bytes = 4096;
	parts_ensure(part_bytes, 1);
	return rounds(4096, (cl_uint)strtoul(words[0], NULL, 10));
}

/* ------------------------------------------------------------ speed */

static void median_say(const char *name, size_t count, double scale, const char *unit)
{
	size_t middle = count / 2;
	double median;

	qsort(times, count, sizeof *times, compare);
	median = (double)times[middle];
	printf("%s %.6g %s\n", name, scale > 0 ? scale / median : median / 1e3, unit);
}

static void speed_finish(void)
{
	for (size_t i = 0; i < SPEED_COUNT; i++) {
		int64_t begin = now_ns();

		launch(0, 4096, 1, 1);
		must("finish", clFinish(queue));
		times[i] = now_ns() - begin;
	}
	median_say("kernel+finish", SPEED_COUNT, 0, "us");
}

static void speed_posted(void)
{
	int64_t begin = now_ns();

	for (size_t i = 0; i < SPEED_COUNT * 10; i++)
		launch(0, 4096, 1, 1);
	must("finish", clFinish(queue));
	times[0] = (now_ns() - begin) / (SPEED_COUNT * 10);
	median_say("kernel,posted", 1, 0, "us");
}

static void transfer(size_t bytes, void *data, bool write)
{
	cl_int err = write ? clEnqueueWriteBuffer(queue, parts[0], CL_TRUE, 0, bytes, data, 0, NULL,
						  NULL)
			   : clEnqueueReadBuffer(queue, parts[0], CL_TRUE, 0, bytes, data, 0, NULL,
						 NULL);

	must("transfer", err);
}

static void speed_transfer(const char *name, size_t bytes, void *data, bool write)
{
	size_t count = bytes > MIB ? 7 : SPEED_COUNT;

	transfer(bytes, data, write);
	for (size_t i = 0; i < count; i++) {
		int64_t begin = now_ns();

		transfer(bytes, data, write);
		times[i] = now_ns() - begin;
	}
	median_say(name, count, bytes > MIB ? (double)bytes : 0, bytes > MIB ? "GB/s" : "us");
}

static int speed(void)
{
	char *data = malloc(64 * MIB);

	times = calloc(ROUNDS_MAX, sizeof *times);
	if (!times || !data)
		return EXIT_FAILURE;
	memset(data, 1, 64 * MIB);
	part_bytes = 64 * MIB;
	parts_ensure(part_bytes, 1);
	say("ready");
	for (;;) {
		line_await();
		speed_finish();
		speed_posted();
		speed_transfer("read,4B", 4, data, false);
		speed_transfer("write,4B", 4, data, true);
		speed_transfer("read,64MiB", 64 * MIB, data, false);
		speed_transfer("write,64MiB", 64 * MIB, data, true);
		say("done");
	}
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	prepare();
	if (argc == 6 && strcmp(mode, "work") == 0)
		return work(argv + 2);
	if (argc == 6 && strcmp(mode, "write") == 0)
		return write_parts(argv + 2);
	if (argc == 3 && strcmp(mode, "launch") == 0)
		return launches(argv + 2);
	if (argc == 2 && strcmp(mode, "speed") == 0)
		return speed();
	fprintf(stderr, "usage: migrant work|write|launch|speed ...\n");
	return 64;
}
