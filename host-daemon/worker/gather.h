/*
 * When all of these events are complete, run this.
 */
#ifndef GCL_GATHER_H
#define GCL_GATHER_H

#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS

#include <CL/cl.h>
#include <stddef.h>

/**
 * gcl_gather() - call @done(@arg, status) once, on some thread, when all @events are over.
 * @events: of any contexts and runtimes; retained as long as they are needed
 * @status: CL_COMPLETE, or the negative one that was seen first
 *
 * At once, before this returns, when there are none or all are over. @done runs on a runtime's
 * thread: it must not wait. From any thread.
 *
 * Return: 0; -ENOMEM: @done will not be called.
 */
int gcl_gather(const cl_event *events, size_t count, void (*done)(void *arg, cl_int status),
	       void *arg);

/** gcl_gather_sweep() - find events that are over and whose callback does not come, and call what
 * waits for them; from any thread, now and then (see gather.c). */
void gcl_gather_sweep(void);

#endif
