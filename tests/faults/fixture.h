/* SPDX-License-Identifier: MIT */
/*
 * What the guest programs of the fault tests share: one of each kind of object, and lines on
 * stdout by which faults.py follows what the program is doing.
 *
 * "entering NAME" before a call, "returned NAME CODE" after it. Codes are numbers as CL/cl.h has
 * them. The first thread alone prints.
 */
#ifndef GCL_TESTS_FAULTS_FIXTURE_H
#define GCL_TESTS_FAULTS_FIXTURE_H

#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#include <CL/cl.h>

#include <stdbool.h>
#include <stddef.h>

#define BUFFER_SIZE (4u << 20)
#define IMAGE_SIDE  256u

struct fixture {
	cl_platform_id platform;
	cl_device_id device;
	cl_context context;
	cl_command_queue queue; /* in order */
	cl_command_queue loose; /* out of order */
	cl_program program;
	cl_kernel kernel; /* takes long; arguments are set */
	cl_mem buffer;
	cl_mem image;	/* NULL if the device has none */
	cl_event gate;	/* user event */
	cl_event gated; /* a command that waits for it */
	char *memory;	/* BUFFER_SIZE bytes of the program's own */
};

extern const char *const fixture_source;

/** fixture_init() - make everything but the gated command. Ends the program on failure. */
void fixture_init(struct fixture *fixture);

/** fixture_release() - release everything; no call of it may block for long. */
void fixture_release(struct fixture *fixture);

/** must() - end the program with a line on stderr unless @code is CL_SUCCESS. */
void must(const char *what, cl_int code);

/** say() - print a line and flush. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** hear() - wait for a line on stdin. */
void hear(void);

/** long_source() - a program text that takes seconds to compile; freed by the caller. */
char *long_source(unsigned functions);

#endif
