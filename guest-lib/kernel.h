/*
 * Between kernel.c and launch.c.
 */
#ifndef GCL_KERNEL_H
#define GCL_KERNEL_H

#include "guest.h"

/** gcl_kernel_device() - what the build told of the kernel on @device; NULL: not built for it. */
const Gcl__KernelDevice *gcl_kernel_device(const struct _cl_kernel *kernel,
					   const struct _cl_device_id *device);

#endif
