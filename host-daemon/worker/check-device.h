/* SPDX-License-Identifier: MIT */
/*
 * Whether a device elsewhere can take over what runs on one here: all that a program has been told
 * of its device has to be true there, too.
 *
 * Each function returns GCL_MOVE_DONE when nothing stands in the way, or a refusal with its
 * *@value; from any thread.
 */
#ifndef GCL_CHECK_DEVICE_H
#define GCL_CHECK_DEVICE_H

#define CL_TARGET_OPENCL_VERSION 300

#include <CL/cl.h>
#include <stdint.h>

#include "move.h"

/** gcl_device_check() - can @there run what a program on @here may rely on? Return: LACKS or LIMIT
 * and the number of what it is, AVAILABLE among them. */
enum gcl_move_result gcl_device_check(cl_device_id here, cl_device_id there, uint64_t *value);

/** gcl_kernel_check() - is @there, of @there_device, the same kernel, which can be launched as
 * @here can? Return: KERNEL and its limit there, LIMIT, PROGRAM. */
enum gcl_move_result gcl_kernel_check(cl_kernel here, cl_device_id here_device, cl_kernel there,
				      cl_device_id there_device, uint64_t *value);

/* A memory object that is to be made. */
struct gcl_mem_wanted {
	cl_mem_object_type type;
	cl_mem_flags flags;
	uint64_t size;		/* bytes, of images without padding */
	size_t extent[3];	/* of images, as in struct gcl_mem */
	cl_image_format format; /* of images */
};

/** gcl_mem_check() - can it be made in @context for @device? Return: SIZE and its bytes, FORMAT. */
enum gcl_move_result gcl_mem_check(cl_context context, cl_device_id device,
				   const struct gcl_mem_wanted *wanted, uint64_t *value);

#endif
