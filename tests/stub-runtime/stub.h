/*
 * A runtime without a device: what the worker calls of OpenCL, for tests and fuzzers. Linked in
 * place of libOpenCL, or as an ICD that behaves oddly (icd.c).
 *
 * One platform, one CPU device. Commands are done at once, inside the call that enqueues them;
 * their events complete at once too, unless they wait for a user event, and then callbacks come
 * from clSetUserEventStatus. Data is really copied, so that a sanitizer sees what is out of bounds.
 * Handles that were released or never made abort: a worker must not pass any. Arguments that an
 * OpenCL runtime refuses are refused.
 */
#ifndef STUB_RUNTIME_H
#define STUB_RUNTIME_H

#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS

#include <CL/cl.h>
#include <CL/cl_ext.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/list.h"

enum stub_kind {
	STUB_DEVICE = 0x5eed0001,
	STUB_CONTEXT,
	STUB_QUEUE,
	STUB_EVENT,
	STUB_MEM,
	STUB_SAMPLER,
	STUB_PROGRAM,
	STUB_KERNEL
};

/* What an ICD loader finds in every handle; NULL where the functions are linked to. */
extern const void *stub_dispatch;

/* First member of everything. */
struct stub_object {
	const void *dispatch;
	enum stub_kind kind;
	atomic_uint refs;
};

#define STUB_DEVICE_MAX 80

struct _cl_device_id {
	struct stub_object object; /* sub-devices are counted, the root is not */
	cl_device_id parent;
};

struct _cl_context {
	struct stub_object object;
	cl_uint device_count;
	cl_device_id devices[STUB_DEVICE_MAX];
};

struct _cl_command_queue {
	struct stub_object object;
	cl_context context;
	cl_device_id device;
	cl_command_queue_properties properties;
	cl_event last; /* the one that all others of the queue end before; or NULL */
};

struct stub_callback {
	struct gcl_list link;
	void(CL_CALLBACK *notify)(cl_event, cl_int, void *);
	void *data;
};

struct _cl_event {
	struct stub_object object;
	struct gcl_list link; /* in the list of those that are not complete */
	cl_context context;
	bool user;
	cl_int status;
	cl_uint wait_count;
	cl_event *waits;
	struct gcl_list callbacks;
};

struct _cl_mem {
	struct stub_object object;
	cl_context context;
	cl_mem parent; /* of a sub-buffer or a 1D image buffer */
	unsigned char *data;
	bool owned; /* data is ours to free */
	bool image;
	size_t size;
	size_t element;
	size_t extent[3];
	size_t row, slice;
	void(CL_CALLBACK *destroyed[2])(cl_mem, void *);
	void *destroyed_data[2];
};

struct _cl_sampler {
	struct stub_object object;
	cl_context context;
};

struct _cl_program {
	struct stub_object object;
	cl_context context;
	cl_build_status build_status;
	cl_program_binary_type binary_type;
	bool broken; /* does not build */
};

#define STUB_ARGS 5

struct _cl_kernel {
	struct stub_object object;
	cl_program program;
	cl_mem buffer, image; /* arguments, lent as in any runtime */
	cl_sampler sampler;
	cl_int number;
	bool set[STUB_ARGS];
};

/** stub_get() - abort unless @handle is a live object of @kind. Return: false for NULL. */
bool stub_get(const void *handle, enum stub_kind kind);
#define STUB_REFUSE(condition, error)                                                              \
	do {                                                                                       \
		if (condition)                                                                     \
			return (error);                                                            \
	} while (0)

/** stub_new() - a zeroed object with one reference. */
void *stub_new(enum stub_kind kind, size_t size);
void stub_retain(void *handle, enum stub_kind kind);

/** stub_unref() - drop a reference. Return: true when it was the last; the caller frees. */
bool stub_unref(void *handle, enum stub_kind kind);

/** stub_answer() - the usual end of a clGet*Info. */
cl_int stub_answer(const void *value, size_t value_size, size_t size, void *out, size_t *size_ret);

/** stub_make() - set *@status (may be NULL) and return @object. */
void *stub_make(void *object, cl_int *status, cl_int value);

/** stub_waits_check() - what every clEnqueue* checks first. */
cl_int stub_waits_check(cl_command_queue queue, cl_uint count, const cl_event *waits);

/** stub_enqueue() - finish a command whose work is done: make its event. */
cl_int stub_enqueue(cl_command_queue queue, cl_uint count, const cl_event *waits, cl_event *event);

/** stub_events_fail() - let all events that wait for user events fail: the end of a session. */
void stub_events_fail(void);

#endif
