/* SPDX-License-Identifier: MIT */
/*
 * What benchmark programs share: the clock, the first device, kernels, and measuring one thing over
 * and over. They run on any OpenCL platform.
 */
#ifndef GCL_TESTS_BENCH_MEASURING_H
#define GCL_TESTS_BENCH_MEASURING_H

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 300
#endif
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>

#include <stddef.h>

/* A device with a context and a queue of it. */
struct opened {
	cl_device_id device;
	cl_context context;
	cl_command_queue queue;
};

/** now() - seconds of a clock that only goes on. */
double now(void);

/** require() - ends the program if @status isn't CL_SUCCESS. */
void require(cl_int status, const char *what);

/** opened_init() - the first device of the platform with this number. */
void opened_init(struct opened *opened, unsigned platform);
void opened_fini(struct opened *opened);

/** kernel_built() - a kernel of a program of its own. */
cl_kernel kernel_built(const struct opened *opened, const char *source, const char *name);

/** repeated() - calls @once for @seconds, and once before. Return: seconds that a call took. */
double repeated(void (*once)(void *arg), void *arg, double seconds);

/** option() - the word behind @name, or @otherwise. */
const char *option(int argc, char **argv, const char *name, const char *otherwise);

#endif
