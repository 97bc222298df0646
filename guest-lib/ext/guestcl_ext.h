/* SPDX-License-Identifier: MIT */
/*
 * What libguestcl.so can do beside OpenCL: sessions on connections that the caller has made.
 *
 * A program that takes part of its work to another host loads the library by itself (dlopen), asks
 * clGetExtensionFunctionAddress() for these functions by their names, and works with the platform
 * like with any other: its objects dispatch by themselves, also through an ICD loader that has
 * never heard of it. The loader's list of platforms is not changed.
 */
#ifndef GUESTCL_EXT_H
#define GUESTCL_EXT_H

#include <CL/cl.h>

/**
 * clGuestclOpenPlatform() - the first platform of the host at the other end of a stream.
 * @fd: a connected stream socket, taken over in any case
 * @platform: set to the platform, which has a session of its own
 * @reason: set to one line for people when it fails
 *
 * Waits for the host's greeting, 10 s at most. Every platform of the host's is reachable by the
 * list of devices: clGetDeviceIDs() gives all devices of all of its platforms, in the host's order.
 * Return: CL_SUCCESS, CL_OUT_OF_HOST_MEMORY, CL_DEVICE_NOT_AVAILABLE.
 */
typedef cl_int(CL_API_CALL *clGuestclOpenPlatform_fn)(int fd, cl_platform_id *platform,
						      char *reason, size_t reason_size);

/** clGuestclPlatformLost() - CL_TRUE once the host can't be reached any more: what was under way
 * has failed, and all else will. */
typedef cl_bool(CL_API_CALL *clGuestclPlatformLost_fn)(cl_platform_id platform);

/**
 * clGuestclClosePlatform() - end the session and free all that belongs to it, threads and
 * descriptors included; accepts NULL.
 *
 * The caller has released every object of it. Callbacks that have not run yet run before, with a
 * failure if need be.
 */
typedef void(CL_API_CALL *clGuestclClosePlatform_fn)(cl_platform_id platform);

#endif
