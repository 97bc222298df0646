// SPDX-License-Identifier: MIT
/*
 * Preloaded into workers: a runtime that hangs as soon as a sampler is made, and whose linker takes
 * half a GiB and then hangs.
 */
#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#include <CL/cl.h>
#include <stdlib.h>
#include <unistd.h>

#define LINKER_BYTES (512u << 20)

CL_API_ENTRY cl_sampler CL_API_CALL clCreateSampler(cl_context context, cl_bool normalized,
						    cl_addressing_mode addressing,
						    cl_filter_mode filter, cl_int *errcode_ret)
{
	(void)context;
	(void)normalized;
	(void)addressing;
	(void)filter;
	*errcode_ret = CL_SUCCESS;
	for (;;)
		pause();
}

CL_API_ENTRY cl_program CL_API_CALL clLinkProgram(cl_context context, cl_uint count,
						  const cl_device_id *devices, const char *options,
						  cl_uint input_count, const cl_program *inputs,
						  void(CL_CALLBACK *notify)(cl_program, void *),
						  void *data, cl_int *errcode_ret)
{
	volatile char *taken = malloc(LINKER_BYTES);

	(void)context;
	(void)count;
	(void)devices;
	(void)options;
	(void)input_count;
	(void)inputs;
	(void)notify;
	(void)data;
	*errcode_ret = CL_SUCCESS;
	if (taken)
		*taken = 1;
	for (;;)
		pause();
}
