/*
 * Between program.c, program-il.c, build.c and kernel.c.
 */
#ifndef GCL_PROGRAM_H
#define GCL_PROGRAM_H

#include "guest.h"

void gcl_build_put(struct gcl_build *build);

/** gcl_program_new() - for @count devices of @context, unknown to the host yet; NULL without
 * memory. */
cl_program gcl_program_new(cl_context context, cl_uint count, const cl_device_id *devices);

/** gcl_program_forget() - free a program that the host never heard of. */
void gcl_program_forget(cl_program program);

/** gcl_program_ask() - ask for the program's creation, and take the answer in. Return: the program;
 * NULL on failure, when it is gone. @binary_status: for each device, or NULL */
cl_program gcl_program_ask(cl_program program, enum gcl_message number,
			   const ProtobufCMessage *message, cl_int *binary_status,
			   cl_int *errcode_ret);

void gcl_binaries_drop_locked(cl_program program);

/** gcl_devices_check() - CL_INVALID_VALUE for an empty list, CL_INVALID_DEVICE for devices not of
 * @context. */
cl_int gcl_devices_check(const struct _cl_context *context, cl_uint count,
			 const cl_device_id *devices);

/** gcl_device_ids() - the host's ids of devices, by malloc; NULL without memory. */
uint64_t *gcl_device_ids(cl_uint count, const cl_device_id *devices);

/**
 * gcl_program_answer() - take a build's outcome in.
 * @answer: taken over
 * @options: of the build, for CL_PROGRAM_BUILD_OPTIONS; NULL leaves them as they are
 */
void gcl_program_answer(cl_program program, Gcl__BuildAnswer *answer, const char *options);

#endif
