/*
 * Entry points of what remoting can't carry: native kernels, and sharing with graphics interfaces.
 *
 * Each returns the error that the specification gives for a platform or device without the feature.
 */
#include "guest.h"
#include "icd.h"

/* Most arguments are never looked at. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* For functions without a prototype here. */
cl_int gcl_absent_command(void)
{
	return CL_INVALID_OPERATION;
}

void *gcl_absent_object(void)
{
	return NULL;
}

/* ------------------------------------------------------------ native kernels */

CL_API_ENTRY cl_int CL_API_CALL clEnqueueNativeKernel(
	cl_command_queue queue, void(CL_CALLBACK *user_func)(void *), void *args, size_t cb_args,
	cl_uint num_mem_objects, const cl_mem *mem_list, const void **args_mem_loc, cl_uint count,
	const cl_event *list, cl_event *event)
{
	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	REFUSE_IF(!user_func, CL_INVALID_VALUE);
	REFUSE_IF(!args && (cb_args > 0 || num_mem_objects > 0), CL_INVALID_VALUE);
	REFUSE_IF(args && cb_args == 0, CL_INVALID_VALUE);
	REFUSE_IF(num_mem_objects > 0 && (!mem_list || !args_mem_loc), CL_INVALID_VALUE);
	REFUSE_IF(num_mem_objects == 0 && (mem_list || args_mem_loc), CL_INVALID_VALUE);
	return CL_INVALID_OPERATION;
}

/* ------------------------------------------------------------ device fission before 1.2 */

CL_API_ENTRY cl_int CL_API_CALL
clCreateSubDevicesEXT(cl_device_id device, const cl_device_partition_property_ext *properties,
		      cl_uint num_entries, cl_device_id *out_devices, cl_uint *num_devices)
{
	REFUSE_IF(!gcl_valid(device, GCL_KIND_DEVICE), CL_INVALID_DEVICE);
	return CL_INVALID_VALUE;
}

CL_API_ENTRY cl_int CL_API_CALL clRetainDeviceEXT(cl_device_id device)
{
	return clRetainDevice(device);
}

CL_API_ENTRY cl_int CL_API_CALL clReleaseDeviceEXT(cl_device_id device)
{
	return clReleaseDevice(device);
}

/* ------------------------------------------------------------ OpenGL: no context was made from one
 */

CL_API_ENTRY cl_mem CL_API_CALL clCreateFromGLBuffer(cl_context context, cl_mem_flags flags,
						     cl_GLuint buffer, cl_int *errcode_ret)
{
	REFUSE_NULL_IF(true, CL_INVALID_CONTEXT);
}

CL_API_ENTRY cl_mem CL_API_CALL clCreateFromGLTexture(cl_context context, cl_mem_flags flags,
						      cl_GLenum target, cl_GLint level,
						      cl_GLuint texture, cl_int *errcode_ret)
{
	REFUSE_NULL_IF(true, CL_INVALID_CONTEXT);
}

CL_API_ENTRY cl_mem CL_API_CALL clCreateFromGLTexture2D(cl_context context, cl_mem_flags flags,
							cl_GLenum target, cl_GLint level,
							cl_GLuint texture, cl_int *errcode_ret)
{
	REFUSE_NULL_IF(true, CL_INVALID_CONTEXT);
}

CL_API_ENTRY cl_mem CL_API_CALL clCreateFromGLTexture3D(cl_context context, cl_mem_flags flags,
							cl_GLenum target, cl_GLint level,
							cl_GLuint texture, cl_int *errcode_ret)
{
	REFUSE_NULL_IF(true, CL_INVALID_CONTEXT);
}

CL_API_ENTRY cl_mem CL_API_CALL clCreateFromGLRenderbuffer(cl_context context, cl_mem_flags flags,
							   cl_GLuint renderbuffer,
							   cl_int *errcode_ret)
{
	REFUSE_NULL_IF(true, CL_INVALID_CONTEXT);
}

CL_API_ENTRY cl_int CL_API_CALL clGetGLObjectInfo(cl_mem mem, cl_gl_object_type *type,
						  cl_GLuint *name)
{
	REFUSE_IF(!gcl_valid(mem, GCL_KIND_MEM), CL_INVALID_MEM_OBJECT);
	return CL_INVALID_GL_OBJECT;
}

CL_API_ENTRY cl_int CL_API_CALL clGetGLTextureInfo(cl_mem mem, cl_gl_texture_info param_name,
						   size_t param_value_size, void *param_value,
						   size_t *param_value_size_ret)
{
	REFUSE_IF(!gcl_valid(mem, GCL_KIND_MEM), CL_INVALID_MEM_OBJECT);
	return CL_INVALID_GL_OBJECT;
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueAcquireGLObjects(cl_command_queue queue,
							  cl_uint num_objects,
							  const cl_mem *mem_objects, cl_uint count,
							  const cl_event *list, cl_event *event)
{
	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	return CL_INVALID_CONTEXT;
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueReleaseGLObjects(cl_command_queue queue,
							  cl_uint num_objects,
							  const cl_mem *mem_objects, cl_uint count,
							  const cl_event *list, cl_event *event)
{
	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	return CL_INVALID_CONTEXT;
}

CL_API_ENTRY cl_int CL_API_CALL clGetGLContextInfoKHR(const cl_context_properties *properties,
						      cl_gl_context_info param_name,
						      size_t param_value_size, void *param_value,
						      size_t *param_value_size_ret)
{
	return CL_INVALID_GL_SHAREGROUP_REFERENCE_KHR;
}

CL_API_ENTRY cl_event CL_API_CALL clCreateEventFromGLsyncKHR(cl_context context, cl_GLsync sync,
							     cl_int *errcode_ret)
{
	REFUSE_NULL_IF(true, CL_INVALID_CONTEXT);
}

/* ------------------------------------------------------------ EGL */

CL_API_ENTRY cl_mem CL_API_CALL clCreateFromEGLImageKHR(
	cl_context context, CLeglDisplayKHR display, CLeglImageKHR image, cl_mem_flags flags,
	const cl_egl_image_properties_khr *properties, cl_int *errcode_ret)
{
	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_NULL_IF(true, CL_INVALID_OPERATION);
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueAcquireEGLObjectsKHR(cl_command_queue queue,
							      cl_uint num_objects,
							      const cl_mem *mem_objects,
							      cl_uint count, const cl_event *list,
							      cl_event *event)
{
	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	return CL_INVALID_OPERATION;
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueReleaseEGLObjectsKHR(cl_command_queue queue,
							      cl_uint num_objects,
							      const cl_mem *mem_objects,
							      cl_uint count, const cl_event *list,
							      cl_event *event)
{
	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	return CL_INVALID_OPERATION;
}

CL_API_ENTRY cl_event CL_API_CALL clCreateEventFromEGLSyncKHR(cl_context context, CLeglSyncKHR sync,
							      CLeglDisplayKHR display,
							      cl_int *errcode_ret)
{
	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_NULL_IF(true, CL_INVALID_OPERATION);
}
