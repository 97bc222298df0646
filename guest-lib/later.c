/*
 * Entry points of OpenCL 2.0 to 3.0 for which there is little to do.
 *
 * Programs call what their headers declare, whatever the device's version. Calls of features that
 * remoting doesn't carry (pipes, queues on devices) return the error that the specification gives
 * for a device without them.
 */
#include "guest.h"

/* Most arguments are never looked at. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* ------------------------------------------------------------ memory objects with properties */

/* There is no property that a memory object can have here. */
static cl_int properties_check(cl_context context, const cl_mem_properties *properties)
{
	REFUSE_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_IF(properties && properties[0], CL_INVALID_PROPERTY);
	return CL_SUCCESS;
}

CL_API_ENTRY cl_mem CL_API_CALL clCreateBufferWithProperties(cl_context context,
							     const cl_mem_properties *properties,
							     cl_mem_flags flags, size_t size,
							     void *host_ptr, cl_int *errcode_ret)
{
	cl_int status = properties_check(context, properties);
	cl_mem mem;

	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	mem = clCreateBuffer(context, flags, size, host_ptr, errcode_ret);
	if (mem)
		mem->listed = properties;
	return mem;
}

CL_API_ENTRY cl_mem CL_API_CALL clCreateImageWithProperties(cl_context context,
							    const cl_mem_properties *properties,
							    cl_mem_flags flags,
							    const cl_image_format *format,
							    const cl_image_desc *desc,
							    void *host_ptr, cl_int *errcode_ret)
{
	cl_int status = properties_check(context, properties);
	cl_mem mem;

	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	mem = clCreateImage(context, flags, format, desc, host_ptr, errcode_ret);
	if (mem)
		mem->listed = properties;
	return mem;
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

CL_API_ENTRY cl_int CL_API_CALL clSetProgramReleaseCallback(
	cl_program program, void(CL_CALLBACK *pfn_notify)(cl_program program, void *user_data),
	void *user_data)
{
	REFUSE_IF(!gcl_valid(program, GCL_KIND_PROGRAM), CL_INVALID_PROGRAM);
	REFUSE_IF(!pfn_notify, CL_INVALID_VALUE);
	return CL_INVALID_OPERATION; /* no device has destructors of programs' variables */
}

/* ------------------------------------------------------------ devices */

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
