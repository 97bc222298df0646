/*
 * Entry points of OpenCL 2.0 to 3.0.
 *
 * Programs call what their headers declare, whatever the platform's version. Calls that mean the
 * same as one of OpenCL 1.2 do what that does; the others return the error that the specification
 * gives for a device without the feature.
 */
#include "guest.h"

/* Most arguments are never looked at. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* ------------------------------------------------------------ the same as in 1.2 */

/* The only property beside CL_QUEUE_PROPERTIES, CL_QUEUE_SIZE, is for queues on devices. */
CL_API_ENTRY cl_command_queue CL_API_CALL
clCreateCommandQueueWithProperties(cl_context context, cl_device_id device,
				   const cl_queue_properties *properties, cl_int *errcode_ret)
{
	cl_command_queue_properties wanted = 0;

	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_NULL_IF(!gcl_valid(device, GCL_KIND_DEVICE), CL_INVALID_DEVICE);
	for (size_t i = 0; properties && properties[i]; i += 2) {
		REFUSE_NULL_IF(properties[i] != CL_QUEUE_PROPERTIES || i > 0, CL_INVALID_VALUE);
		wanted = properties[i + 1];
	}
	return clCreateCommandQueue(context, device, wanted, errcode_ret);
}

CL_API_ENTRY cl_sampler CL_API_CALL clCreateSamplerWithProperties(
	cl_context context, const cl_sampler_properties *properties, cl_int *errcode_ret)
{
	cl_sampler_properties normalized = CL_TRUE;
	cl_sampler_properties addressing = CL_ADDRESS_CLAMP;
	cl_sampler_properties filter = CL_FILTER_NEAREST;

	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	for (size_t i = 0; properties && properties[i]; i += 2) {
		for (size_t j = 0; j < i; j += 2)
			REFUSE_NULL_IF(properties[j] == properties[i], CL_INVALID_VALUE);
		switch (properties[i]) {
		case CL_SAMPLER_NORMALIZED_COORDS:
			normalized = properties[i + 1];
			break;
		case CL_SAMPLER_ADDRESSING_MODE:
			addressing = properties[i + 1];
			break;
		case CL_SAMPLER_FILTER_MODE:
			filter = properties[i + 1];
			break;
		default:
			REFUSE_NULL_IF(true, CL_INVALID_VALUE);
		}
	}
	return clCreateSampler(context, (cl_bool)normalized, (cl_addressing_mode)addressing,
			       (cl_filter_mode)filter, errcode_ret);
}

CL_API_ENTRY cl_mem CL_API_CALL clCreateBufferWithProperties(cl_context context,
							     const cl_mem_properties *properties,
							     cl_mem_flags flags, size_t size,
							     void *host_ptr, cl_int *errcode_ret)
{
	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_NULL_IF(properties && properties[0], CL_INVALID_PROPERTY);
	return clCreateBuffer(context, flags, size, host_ptr, errcode_ret);
}

CL_API_ENTRY cl_mem CL_API_CALL clCreateImageWithProperties(cl_context context,
							    const cl_mem_properties *properties,
							    cl_mem_flags flags,
							    const cl_image_format *format,
							    const cl_image_desc *desc,
							    void *host_ptr, cl_int *errcode_ret)
{
	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_NULL_IF(properties && properties[0], CL_INVALID_PROPERTY);
	return clCreateImage(context, flags, format, desc, host_ptr, errcode_ret);
}

/* ------------------------------------------------------------ pipes */

CL_API_ENTRY cl_mem CL_API_CALL clCreatePipe(cl_context context, cl_mem_flags flags,
					     cl_uint packet_size, cl_uint max_packets,
					     const cl_pipe_properties *properties,
					     cl_int *errcode_ret)
{
	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_NULL_IF(true, CL_INVALID_OPERATION);
}

CL_API_ENTRY cl_int CL_API_CALL clGetPipeInfo(cl_mem pipe, cl_pipe_info param_name,
					      size_t param_value_size, void *param_value,
					      size_t *param_value_size_ret)
{
	return CL_INVALID_MEM_OBJECT;
}

/* ------------------------------------------------------------ programs and kernels */

CL_API_ENTRY cl_program CL_API_CALL clCreateProgramWithIL(cl_context context, const void *il,
							  size_t length, cl_int *errcode_ret)
{
	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_NULL_IF(true, CL_INVALID_OPERATION);
}

CL_API_ENTRY cl_int CL_API_CALL clSetProgramReleaseCallback(
	cl_program program, void(CL_CALLBACK *pfn_notify)(cl_program program, void *user_data),
	void *user_data)
{
	REFUSE_IF(!gcl_valid(program, GCL_KIND_PROGRAM), CL_INVALID_PROGRAM);
	return CL_INVALID_OPERATION;
}

CL_API_ENTRY cl_int CL_API_CALL clSetProgramSpecializationConstant(cl_program program,
								   cl_uint spec_id, size_t size,
								   const void *value)
{
	REFUSE_IF(!gcl_valid(program, GCL_KIND_PROGRAM), CL_INVALID_PROGRAM);
	return CL_INVALID_OPERATION;
}

static cl_int kernel_call(cl_kernel kernel)
{
	REFUSE_IF(!gcl_valid(kernel, GCL_KIND_KERNEL), CL_INVALID_KERNEL);
	return CL_INVALID_OPERATION;
}

CL_API_ENTRY cl_kernel CL_API_CALL clCloneKernel(cl_kernel kernel, cl_int *errcode_ret)
{
	cl_int status = kernel_call(kernel);

	REFUSE_NULL_IF(true, status);
}

CL_API_ENTRY cl_int CL_API_CALL clGetKernelSubGroupInfo(cl_kernel kernel, cl_device_id device,
							cl_kernel_sub_group_info param_name,
							size_t input_value_size,
							const void *input_value,
							size_t param_value_size, void *param_value,
							size_t *param_value_size_ret)
{
	return kernel_call(kernel);
}

CL_API_ENTRY cl_int CL_API_CALL clGetKernelSubGroupInfoKHR(
	cl_kernel kernel, cl_device_id device, cl_kernel_sub_group_info param_name,
	size_t input_value_size, const void *input_value, size_t param_value_size,
	void *param_value, size_t *param_value_size_ret)
{
	return kernel_call(kernel);
}

/* ------------------------------------------------------------ devices and contexts */

static cl_int device_call(cl_device_id device)
{
	REFUSE_IF(!gcl_valid(device, GCL_KIND_DEVICE), CL_INVALID_DEVICE);
	return CL_INVALID_OPERATION;
}

CL_API_ENTRY cl_int CL_API_CALL clGetDeviceAndHostTimer(cl_device_id device,
							cl_ulong *device_timestamp,
							cl_ulong *host_timestamp)
{
	return device_call(device);
}

CL_API_ENTRY cl_int CL_API_CALL clGetHostTimer(cl_device_id device, cl_ulong *host_timestamp)
{
	return device_call(device);
}

CL_API_ENTRY cl_int CL_API_CALL clSetDefaultDeviceCommandQueue(cl_context context,
							       cl_device_id device,
							       cl_command_queue queue)
{
	REFUSE_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	return device_call(device);
}

CL_API_ENTRY cl_int CL_API_CALL clSetContextDestructorCallback(
	cl_context context, void(CL_CALLBACK *pfn_notify)(cl_context context, void *user_data),
	void *user_data)
{
	REFUSE_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	return CL_INVALID_OPERATION;
}
