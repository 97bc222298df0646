/* SPDX-License-Identifier: MIT */
/*
 * What the programs about shared virtual memory share. Included in place of harness.h.
 */
#ifndef GCL_TESTS_BEHAVIOUR_SVM_H
#define GCL_TESTS_BEHAVIOUR_SVM_H

#define CL_TARGET_OPENCL_VERSION 200
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include "harness.h"

static inline void *allocated(const struct fixture *fix, size_t size)
{
	void *memory = clSVMAlloc(fix->context, CL_MEM_READ_WRITE, size, 0);

	if (!memory)
		fatal(__FILE__, __LINE__, "clSVMAlloc", CL_OUT_OF_RESOURCES);
	return memory;
}

static inline void mapped(cl_command_queue queue, void *memory, size_t size, cl_map_flags flags)
{
	MUST(clEnqueueSVMMap(queue, CL_TRUE, flags, memory, size, 0, NULL, NULL));
}

static inline void unmapped(cl_command_queue queue, void *memory)
{
	MUST(clEnqueueSVMUnmap(queue, memory, 0, NULL, NULL));
}

static inline void check_memory(const char *name, cl_command_queue queue, void *memory, size_t size)
{
	mapped(queue, memory, size, CL_MAP_READ);
	check_sum(name, memory, size);
	unmapped(queue, memory);
}

#endif
