/* SPDX-License-Identifier: MIT */
/*
 * What memory objects and kernels have to know of shared virtual memory (svm.c).
 */
#ifndef GCL_WORKER_SVM_H
#define GCL_WORKER_SVM_H

#include "memory.h"

/** gcl_svm_buffer_create() - BUFFER_CREATE of a buffer that is a part of an allocation. Return: 0,
 * -EPROTO, -ENOMEM. */
int gcl_svm_buffer_create(struct gcl_worker *worker, const Gcl__BufferCreate *message);

/** gcl_svm_arg_set() - an argument that is a pointer; sets *@status. Return: 0, -EPROTO. */
int gcl_svm_arg_set(struct gcl_worker *worker, struct gcl_kernel *kernel, const Gcl__Argument *arg,
		    cl_int *status);

/** gcl_svm_use() - @command launches @kernel: note what that reaches beside its arguments. Return:
 * 0, -ENOMEM. */
int gcl_svm_use(struct gcl_worker *worker, struct gcl_kernel *kernel, struct gcl_command *command);

/** gcl_svm_reach_clone() - @kernel reaches what @original does. Return: 0 or -ENOMEM. */
int gcl_svm_reach_clone(struct gcl_worker *worker, struct gcl_kernel *kernel,
			const struct gcl_kernel *original);

/** gcl_svm_reach_on() - tell @handle, @kernel's twin on @side, what it reaches beside its
 * arguments, which is made there if need be. */
cl_int gcl_svm_reach_on(struct gcl_worker *worker, const struct gcl_kernel *kernel,
			cl_kernel handle, unsigned side);

/** gcl_svm_kernel_fini() - let go of that. */
void gcl_svm_kernel_fini(struct gcl_kernel *kernel);

#endif
