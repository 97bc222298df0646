/* SPDX-License-Identifier: MIT */
/*
 * What the files about shared virtual memory share, and what others have to know of it.
 */
#ifndef GCL_SVM_H
#define GCL_SVM_H

#include "guest.h"

/** gcl_svm_offered() - coarse-grained SVM, by a device of the context? */
bool gcl_svm_offered(const struct _cl_context *context);

/** gcl_svm_device() - what the device is said to do: CL_DEVICE_SVM_CAPABILITIES. */
cl_device_svm_capabilities gcl_svm_device(const struct _cl_device_id *device);

/** gcl_svm_at() - the allocation of the context that @pointer is in, lent, or NULL. */
cl_mem gcl_svm_at(cl_context context, const void *pointer);

/** gcl_svm_of() - the same, if all of @size bytes are. */
cl_mem gcl_svm_of(cl_context context, const void *pointer, size_t size);

/** gcl_svm_offset() - where in its allocation @pointer is. */
static inline size_t gcl_svm_offset(const struct _cl_mem *svm, const void *pointer)
{
	return (uintptr_t)pointer - (uintptr_t)svm->host_ptr;
}

/** gcl_svm_part() - is the buffer a part of an allocation: its memory was given to
 * clCreateBuffer()? */
static inline bool gcl_svm_part(const struct _cl_mem *mem)
{
	return mem->parent && mem->parent->svm;
}

/** gcl_svm_context_free() - the context ends: so do its allocations. */
void gcl_svm_context_free(cl_context context);

/** gcl_svm_free() - give back the allocation that begins at @pointer; nothing if there is none. */
void gcl_svm_free(cl_context context, const void *pointer);

/** gcl_svm_forget() - pointers are in @mem no longer. */
void gcl_svm_forget(cl_mem mem);

/** gcl_svm_settle() - callbacks of clEnqueueSVMFree() whose commands are complete have returned. */
void gcl_svm_settle(struct gcl_session *session);

/** gcl_svm_command_check() - the checks that its commands begin with. */
cl_int gcl_svm_command_check(cl_command_queue queue);

#endif
