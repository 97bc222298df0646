// SPDX-License-Identifier: MIT
/*
 * What benchmark programs share.
 */
#include "measuring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PLATFORMS_MAX 8u

double now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void require(cl_int status, const char *what)
{
	if (status != CL_SUCCESS) {
		fprintf(stderr, "%s: %d\n", what, status);
		exit(1);
	}
}

void opened_init(struct opened *opened, unsigned platform)
{
	cl_platform_id platforms[PLATFORMS_MAX] = {0};
	cl_int status;
	cl_uint found;

	require(clGetPlatformIDs(PLATFORMS_MAX, platforms, &found), "clGetPlatformIDs");
	require(platform < found && platform < PLATFORMS_MAX ? CL_SUCCESS : CL_INVALID_PLATFORM,
		"platforms");
	require(clGetDeviceIDs(platforms[platform], CL_DEVICE_TYPE_ALL, 1, &opened->device, NULL),
		"clGetDeviceIDs");
	opened->context = clCreateContext(NULL, 1, &opened->device, NULL, NULL, &status);
	require(status, "clCreateContext");
	opened->queue = clCreateCommandQueue(opened->context, opened->device, 0, &status);
	require(status, "clCreateCommandQueue");
}

void opened_fini(struct opened *opened)
{
	clReleaseCommandQueue(opened->queue);
	clReleaseContext(opened->context);
}

cl_kernel kernel_built(const struct opened *opened, const char *source, const char *name)
{
	cl_int status;
	cl_program program = clCreateProgramWithSource(opened->context, 1, &source, NULL, &status);
	cl_kernel kernel;

	require(status, "clCreateProgramWithSource");
	require(clBuildProgram(program, 1, &opened->device, "", NULL, NULL), "clBuildProgram");
	kernel = clCreateKernel(program, name, &status);
	require(status, "clCreateKernel");
	clReleaseProgram(program);
	return kernel;
}

double repeated(void (*once)(void *arg), void *arg, double seconds)
{
	double start, took;
	unsigned count = 0;

	once(arg);
	start = now();
	do {
		once(arg);
		count++;
		took = now() - start;
	} while (took < seconds);
	return took / count;
}

const char *option(int argc, char **argv, const char *name, const char *otherwise)
{
	for (int i = 1; i + 1 < argc; i++)
		if (!strcmp(argv[i], name))
			return argv[i + 1];
	return otherwise;
}
