// SPDX-License-Identifier: MIT
/*
 * What moving data costs: blocking reads and writes of buffers and images, and writes that don't
 * block, at several sizes. Runs on any OpenCL platform, the first one's first device.
 *
 * Prints "name value unit" lines, or one JSON object with --json. --seconds says how long each
 * measurement may take.
 */
#include "measuring.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_MAX_MIB 64u

static double seconds = 0.5;
static bool json;
static struct opened opened;
static char *memory; /* the program's */

static void print(const char *name, size_t size, double bytes_per_second)
{
	static bool more;

	if (json)
		printf("%s\n  \"%s-%zuk\": {\"value\": %.6g, \"unit\": \"MB/s\"}", more ? "," : "{",
		       name, size >> 10, bytes_per_second * 1e-6);
	else
		printf("%-24s %6zu KiB %10.1f MB/s\n", name, size >> 10, bytes_per_second * 1e-6);
	fflush(stdout);
	more = true;
}

enum direction { READ, WRITE, POSTED_WRITE };

static cl_int buffer_once(cl_mem mem, size_t size, enum direction direction)
{
	if (direction == READ)
		return clEnqueueReadBuffer(opened.queue, mem, CL_TRUE, 0, size, memory, 0, NULL,
					   NULL);
	return clEnqueueWriteBuffer(opened.queue, mem, direction == WRITE, 0, size, memory, 0, NULL,
				    NULL);
}

/* Four bytes a pixel, rows of 1 KiB pixels. */
static cl_int image_once(cl_mem mem, size_t size, enum direction direction)
{
	const size_t origin[3] = {0}, region[3] = {1024, size / 4096, 1};

	if (direction == READ)
		return clEnqueueReadImage(opened.queue, mem, CL_TRUE, origin, region, 0, 0, memory,
					  0, NULL, NULL);
	return clEnqueueWriteImage(opened.queue, mem, direction == WRITE, origin, region, 0, 0,
				   memory, 0, NULL, NULL);
}

static void measure(const char *name, cl_mem mem, size_t size, enum direction direction,
		    cl_int (*once)(cl_mem mem, size_t size, enum direction direction))
{
	double start, took;
	unsigned count = 0;

	require(once(mem, size, direction), name);
	clFinish(opened.queue);
	start = now();
	do {
		require(once(mem, size, direction), name);
		if (direction == POSTED_WRITE)
			clFinish(opened.queue);
		count++;
		took = now() - start;
	} while (took < seconds);
	print(name, size, (double)size * count / took);
}

static void measure_all(size_t size)
{
	const cl_image_format format = {CL_RGBA, CL_UNORM_INT8};
	const cl_image_desc desc = {
		.image_type = CL_MEM_OBJECT_IMAGE2D,
		.image_width = 1024,
		.image_height = size / 4096,
	};
	cl_int status;
	cl_mem buffer = clCreateBuffer(opened.context, CL_MEM_READ_WRITE, size, NULL, &status);
	cl_mem image;

	require(status, "clCreateBuffer");
	measure("buffer-read", buffer, size, READ, buffer_once);
	measure("buffer-write", buffer, size, WRITE, buffer_once);
	measure("buffer-write-posted", buffer, size, POSTED_WRITE, buffer_once);
	clReleaseMemObject(buffer);
	if (size < 4096 || size / 4096 > 8192)
		return;
	image = clCreateImage(opened.context, CL_MEM_READ_WRITE, &format, &desc, NULL, &status);
	require(status, "clCreateImage");
	measure("image-read", image, size, READ, image_once);
	measure("image-write", image, size, WRITE, image_once);
	clReleaseMemObject(image);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			json = true;
		} else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
			seconds = atof(argv[++i]);
		} else {
			fprintf(stderr, "usage: %s [--json] [--seconds N]\n", argv[0]);
			return 2;
		}
	}
	opened_init(&opened, 0);
	memory = malloc(SIZE_MAX_MIB << 20);
	if (!memory)
		return 1;
	memset(memory, 1, SIZE_MAX_MIB << 20);
	for (size_t size = 64 << 10; size <= SIZE_MAX_MIB << 20; size *= 4)
		measure_all(size);
	opened_fini(&opened);
	free(memory);
	if (json)
		printf("\n}\n");
	return 0;
}
