/*
 * Between kernel.c, clone.c, launch.c and sub-group.c.
 */
#ifndef GCL_KERNEL_H
#define GCL_KERNEL_H

#include "guest.h"

/** gcl_kernel_create() - the kernel @index of @build, which is not consumed; or NULL and *@status.
 * @original: that it is a copy of, NULL for none */
cl_kernel gcl_kernel_create(cl_program program, struct gcl_build *build, size_t index,
			    const struct _cl_kernel *original, cl_int *status);

/** gcl_kernel_uniform() - must all its work-groups on @device be of one size? No: the host may know
 * better. */
bool gcl_kernel_uniform(const struct _cl_kernel *kernel, const struct _cl_device_id *device);

/** gcl_kernel_device() - what the build told of the kernel on @device; NULL: not built for it. */
const Gcl__KernelDevice *gcl_kernel_device(const struct _cl_kernel *kernel,
					   const struct _cl_device_id *device);

/** gcl_sizes_take() - the host's answer, a SizesAnswer, which is freed: @count sizes. Return:
 * CL_SUCCESS or what the host said. */
cl_int gcl_sizes_take(ProtobufCMessage *reply, size_t count, size_t *sizes);

#endif
