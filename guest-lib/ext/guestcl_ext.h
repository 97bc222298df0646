/* SPDX-License-Identifier: MIT */
/*
 * What libguestcl.so can do beside OpenCL: sessions on connections that the caller has made.
 *
 * A program that takes part of its work to another host loads the library by itself (dlopen), asks
 * clGetExtensionFunctionAddress() for these functions by their names, and works with the platform
 * like with any other: its objects dispatch by themselves, also through an ICD loader that has
 * never heard of it. The loader's list of platforms is not changed, and GUESTCL_CHANNEL does not
 * matter. Once the library is loaded, no file is opened any more.
 *
 * Each platform has threads of its own that send, receive, and run callbacks: these come without
 * anybody waiting in a call, one at a time for each platform, and never out of one of its calls
 * (destructors of memory objects may). One that takes long keeps the next waiting.
 *
 * What waits, and for what:
 * - The host's answer: blocking transfers and maps, clFinish, clWaitForEvents, clBuildProgram,
 *   clCompileProgram and clLinkProgram (without a callback also in the building itself),
 *   programs from binaries and built-in kernels, clGetProgramInfo of binaries, clCreateSubDevices,
 * and clSetKernelArg where it takes the host to tell an argument's size: the first time for each
 * argument of a type that is the program's own.
 * - Room among the messages to be sent (1 MiB, payloads apart), which a network that stands still
 *   does not give: every call that creates, enqueues or releases something.
 * - Room in the heap, 0.1 s at most: transfers and maps that don't block, and buffers and images
 *   with the program's data. They copy what they are given at once, into a block as large as all of
 *   it, and fail with CL_MEM_OBJECT_ALLOCATION_FAILURE while the heap has none: it has when
 * commands under way are done. The heap is as large as the host allows (heap-memory), at most a
 * quarter of RLIMIT_AS and RLIMIT_DATA. Blocking transfers go in pieces of 2 MiB. All of these end
 * when the platform is lost. To have that at once, end the connection: shutdown() on a copy of the
 * descriptor.
 *
 * A write's data are therefore read in the call, whatever the command waits for: what another
 * command reads can be written from its callback at the earliest.
 *
 * A forked child's copy of a platform is lost, and to close it there does nothing.
 */
#ifndef GUESTCL_EXT_H
#define GUESTCL_EXT_H

#include <CL/cl.h>

/**
 * clGuestclOpenPlatform() - the platforms of the host at the other end of a stream, as one.
 * @fd: a connected stream socket, taken over in any case
 * @platform: set to the platform, which has a session of its own; it is called what the host's
 * first is called
 * @reason: set to one line for people when it fails; may be NULL
 *
 * Waits for the host's greeting, 10 s at most. Every platform of the host's is reachable by the
 * list of devices: clGetDeviceIDs() with CL_DEVICE_TYPE_ALL gives all devices of all of its
 * platforms, custom devices included, in the host's order. A context's devices are of one of them.
 * Return: CL_SUCCESS, CL_OUT_OF_HOST_MEMORY, CL_DEVICE_NOT_AVAILABLE.
 */
typedef cl_int(CL_API_CALL *clGuestclOpenPlatform_fn)(int fd, cl_platform_id *platform,
						      char *reason, size_t reason_size);

/** clGuestclPlatformLost() - CL_TRUE once the host can't be reached any more: what was under way
 * has failed, and all else will. Never waits. */
typedef cl_bool(CL_API_CALL *clGuestclPlatformLost_fn)(cl_platform_id platform);

/**
 * clGuestclClosePlatform() - end the session and free all that belongs to it, threads and
 * descriptors included; accepts NULL.
 *
 * The caller has released every object of it, and no other thread uses it. Callbacks that have not
 * run yet run before, with a failure if need be, and are waited for: none of them may call this, or
 * take a lock that the caller holds. If objects are left,
 * the connection ends all the same, a line in the log says how many they are, and they stay, as
 * those of a lost platform: it can be closed again when they have been released.
 */
typedef void(CL_API_CALL *clGuestclClosePlatform_fn)(cl_platform_id platform);

/**
 * clGuestclCreateSVMBuffer() - shared virtual memory of the host's at just this address, and a
 * buffer over it.
 *
 * For who has memory at the address already, and stands between a program and the host: nothing is
 * mapped there in this process. Until it has been released
 * clSetKernelArgSVMPointer() and clSetKernelExecInfo() take addresses in it, and clCreateBuffer()
 * with CL_MEM_USE_HOST_PTR makes a part of it. Waits for the host. Return: NULL and
 * CL_MEM_OBJECT_ALLOCATION_FAILURE: the host has no memory, CL_INVALID_HOST_PTR: not there;
 * CL_INVALID_OPERATION: its devices know no such memory.
 */
typedef cl_mem(CL_API_CALL *clGuestclCreateSVMBuffer_fn)(cl_context context, cl_mem_flags flags,
							 size_t size, void *address,
							 cl_int *errcode_ret);

#endif
