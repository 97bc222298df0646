/* SPDX-License-Identifier: MIT */
/*
 * What the C programs here have in common: the first device with a queue, and floats that are made
 * and printed the same way in every run.
 */
#ifndef FIRST_DEVICE_H
#define FIRST_DEVICE_H

#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct first_device {
	cl_device_id device;
	cl_context context;
	cl_command_queue queue;
};

static inline void check(int status, const char *what)
{
	if (status == CL_SUCCESS)
		return;
	fprintf(stderr, "%s failed: %d\n", what, status);
	exit(1);
}

static inline struct first_device first_device_open(void)
{
	struct first_device d;
	cl_platform_id platform;
	cl_int status;

	check(clGetPlatformIDs(1, &platform, NULL), "clGetPlatformIDs");
	check(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &d.device, NULL), "clGetDeviceIDs");
	d.context = clCreateContext(NULL, 1, &d.device, NULL, NULL, &status);
	check(status, "clCreateContext");
	d.queue = clCreateCommandQueue(d.context, d.device, 0, &status);
	check(status, "clCreateCommandQueue");
	return d;
}

static inline void first_device_close(struct first_device *d)
{
	check(clReleaseCommandQueue(d->queue), "clReleaseCommandQueue");
	check(clReleaseContext(d->context), "clReleaseContext");
}

static inline cl_mem floats_upload(struct first_device *d, float *values, size_t n)
{
	cl_int status;
	cl_mem buffer =
		clCreateBuffer(d->context, CL_MEM_READ_WRITE, n * sizeof *values, NULL, &status);

	check(status, "clCreateBuffer");
	check(clEnqueueWriteBuffer(d->queue, buffer, CL_TRUE, 0, n * sizeof *values, values, 0,
				   NULL, NULL),
	      "clEnqueueWriteBuffer");
	return buffer;
}

static inline void floats_download(struct first_device *d, cl_mem buffer, float *values, size_t n)
{
	check(clEnqueueReadBuffer(d->queue, buffer, CL_TRUE, 0, n * sizeof *values, values, 0, NULL,
				  NULL),
	      "clEnqueueReadBuffer");
}

/* Numbers between -1 and 1 that depend on the seed and on nothing else. */
static inline float *floats_make(size_t n, uint32_t seed)
{
	float *values = malloc(n * sizeof *values);

	if (!values)
		check(CL_OUT_OF_HOST_MEMORY, "malloc");
	for (size_t i = 0; i < n; i++) {
		seed = 1664525u * seed + 1013904223u;
		values[i] = (float)(seed >> 8) / 8388608.0f - 1.0f;
	}
	return values;
}

/* Every bit of every number goes into the sum: two runs print the same line or computed
 * differently. */
static inline void floats_print(const char *name, const float *values, size_t n)
{
	uint64_t sum = 14695981039346656037u;
	uint32_t bits;

	for (size_t i = 0; i < n; i++) {
		memcpy(&bits, &values[i], sizeof bits);
		sum = (sum ^ bits) * 1099511628211u;
	}
	printf("%s: first %a last %a sum %016llx\n", name, (double)values[0], (double)values[n - 1],
	       (unsigned long long)sum);
}

static inline void floats_check(const char *name, const float *values, const float *expected,
				size_t n, float tolerance)
{
	for (size_t i = 0; i < n; i++) {
		float off = values[i] - expected[i];

		if (off >= -tolerance && off <= tolerance)
			continue;
		fprintf(stderr, "%s[%zu] is %g, not %g\n", name, i, (double)values[i],
			(double)expected[i]);
		exit(1);
	}
}

#endif
