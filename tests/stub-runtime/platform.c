/*
 * The platform, its device, sub-devices, contexts and queues.
 */
#include <string.h>

#include "stub.h"

static struct _cl_device_id root = {.object = {.kind = STUB_DEVICE, .refs = 1}};
static int platform;

cl_int clGetPlatformIDs(cl_uint count, cl_platform_id *platforms, cl_uint *found)
{
	if (platforms && count)
		platforms[0] = (cl_platform_id)(void *)&platform;
	if (found)
		*found = 1;
	return CL_SUCCESS;
}

cl_int clGetPlatformInfo(cl_platform_id id, cl_platform_info name, size_t size, void *value,
			 size_t *size_ret)
{
	static const char text[] = "Stub";

	(void)id;
	STUB_REFUSE(name == CL_PLATFORM_ICD_SUFFIX_KHR, CL_INVALID_VALUE);
	return stub_answer(text, sizeof text, size, value, size_ret);
}

cl_int clGetDeviceIDs(cl_platform_id id, cl_device_type type, cl_uint count, cl_device_id *devices,
		      cl_uint *found)
{
	(void)id;
	(void)type;
	if (devices && count)
		devices[0] = &root;
	if (found)
		*found = 1;
	return CL_SUCCESS;
}

cl_int clGetDeviceInfo(cl_device_id device, cl_device_info name, size_t size, void *value,
		       size_t *size_ret)
{
	static const cl_ulong one = 1;
	static const char text[] = "stub";
	cl_platform_id id = (cl_platform_id)(void *)&platform;

	STUB_REFUSE(!stub_get(device, STUB_DEVICE), CL_INVALID_DEVICE);
	switch (name) {
	case CL_DEVICE_PLATFORM:
		return stub_answer(&id, sizeof id, size, value, size_ret);
	case CL_DEVICE_NAME:
	case CL_DEVICE_VENDOR:
	case CL_DEVICE_VERSION:
	case CL_DEVICE_EXTENSIONS:
		return stub_answer(text, sizeof text, size, value, size_ret);
	case CL_DEVICE_BUILT_IN_KERNELS:
		return stub_answer("", 1, size, value, size_ret);
	case CL_DEVICE_PARENT_DEVICE:
		return stub_answer(&device->parent, sizeof device->parent, size, value, size_ret);
	case CL_DEVICE_PARTITION_TYPE:
		return stub_answer(NULL, 0, size, value, size_ret);
	case CL_DEVICE_HALF_FP_CONFIG:
		return CL_INVALID_VALUE;
	case CL_DEVICE_GLOBAL_MEM_SIZE:
	case CL_DEVICE_MAX_MEM_ALLOC_SIZE:
		return stub_answer(&one, sizeof one, size, value, size_ret);
	default:
		return stub_answer(&one, sizeof(cl_uint), size, value, size_ret);
	}
}

cl_int clCreateSubDevices(cl_device_id parent, const cl_device_partition_property *properties,
			  cl_uint count, cl_device_id *devices, cl_uint *made)
{
	STUB_REFUSE(!stub_get(parent, STUB_DEVICE), CL_INVALID_DEVICE);
	STUB_REFUSE(!properties || properties[0] != CL_DEVICE_PARTITION_EQUALLY, CL_INVALID_VALUE);
	STUB_REFUSE(properties[1] <= 0 || properties[2], CL_INVALID_VALUE);
	STUB_REFUSE(devices && count < 2, CL_INVALID_VALUE);
	for (int i = 0; devices && i < 2; i++) {
		devices[i] = stub_new(STUB_DEVICE, sizeof *devices[i]);
		if (!devices[i])
			abort();
		devices[i]->parent = parent;
	}
	if (made)
		*made = 2;
	return CL_SUCCESS;
}

cl_int clReleaseDevice(cl_device_id device)
{
	STUB_REFUSE(!stub_get(device, STUB_DEVICE), CL_INVALID_DEVICE);
	if (device->parent && stub_unref(device, STUB_DEVICE))
		free(device);
	return CL_SUCCESS;
}

cl_context clCreateContext(const cl_context_properties *properties, cl_uint count,
			   const cl_device_id *devices,
			   void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *),
			   void *data, cl_int *status)
{
	cl_context context;

	(void)properties;
	if (count == 0 || count > STUB_DEVICE_MAX)
		return stub_make(NULL, status, CL_INVALID_VALUE);
	for (cl_uint i = 0; i < count; i++)
		stub_get(devices[i], STUB_DEVICE);
	context = stub_new(STUB_CONTEXT, sizeof *context);
	if (!context)
		return stub_make(NULL, status, CL_OUT_OF_HOST_MEMORY);
	context->device_count = count;
	for (cl_uint i = 0; i < count; i++) {
		context->devices[i] = devices[i];
		if (devices[i]->parent)
			stub_retain(devices[i], STUB_DEVICE);
	}
	if (notify)
		notify("stub: a context was made", "\1\2", 2, data);
	return stub_make(context, status, CL_SUCCESS);
}

cl_int clRetainContext(cl_context context)
{
	STUB_REFUSE(!context, CL_INVALID_CONTEXT);
	stub_retain(context, STUB_CONTEXT);
	return CL_SUCCESS;
}

cl_int clReleaseContext(cl_context context)
{
	STUB_REFUSE(!context, CL_INVALID_CONTEXT);
	if (!stub_unref(context, STUB_CONTEXT))
		return CL_SUCCESS;
	for (cl_uint i = 0; i < context->device_count; i++)
		clReleaseDevice(context->devices[i]);
	free(context);
	return CL_SUCCESS;
}

cl_int clGetContextInfo(cl_context context, cl_context_info name, size_t size, void *value,
			size_t *size_ret)
{
	STUB_REFUSE(!stub_get(context, STUB_CONTEXT), CL_INVALID_CONTEXT);
	switch (name) {
	case CL_CONTEXT_DEVICES:
		return stub_answer(context->devices, context->device_count * sizeof(cl_device_id),
				   size, value, size_ret);
	case CL_CONTEXT_NUM_DEVICES:
		return stub_answer(&context->device_count, sizeof context->device_count, size,
				   value, size_ret);
	default:
		return CL_INVALID_VALUE;
	}
}

cl_int clGetSupportedImageFormats(cl_context context, cl_mem_flags flags, cl_mem_object_type type,
				  cl_uint count, cl_image_format *formats, cl_uint *found)
{
	static const cl_image_format format = {CL_RGBA, CL_UNORM_INT8};

	(void)flags;
	(void)type;
	STUB_REFUSE(!stub_get(context, STUB_CONTEXT), CL_INVALID_CONTEXT);
	if (formats && count)
		formats[0] = format;
	if (found)
		*found = 1;
	return CL_SUCCESS;
}

static bool context_has(cl_context context, cl_device_id device)
{
	for (cl_uint i = 0; i < context->device_count; i++)
		if (context->devices[i] == device)
			return true;
	return false;
}

cl_command_queue clCreateCommandQueue(cl_context context, cl_device_id device,
				      cl_command_queue_properties properties, cl_int *status)
{
	cl_command_queue queue;

	if (!stub_get(context, STUB_CONTEXT))
		return stub_make(NULL, status, CL_INVALID_CONTEXT);
	if (!stub_get(device, STUB_DEVICE) || !context_has(context, device))
		return stub_make(NULL, status, CL_INVALID_DEVICE);
	if (properties & ~(cl_command_queue_properties)(CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE |
							CL_QUEUE_PROFILING_ENABLE))
		return stub_make(NULL, status, CL_INVALID_VALUE);
	queue = stub_new(STUB_QUEUE, sizeof *queue);
	if (!queue)
		return stub_make(NULL, status, CL_OUT_OF_HOST_MEMORY);
	stub_retain(context, STUB_CONTEXT);
	queue->context = context;
	queue->device = device;
	queue->properties = properties;
	return stub_make(queue, status, CL_SUCCESS);
}

cl_int clRetainCommandQueue(cl_command_queue queue)
{
	STUB_REFUSE(!queue, CL_INVALID_COMMAND_QUEUE);
	stub_retain(queue, STUB_QUEUE);
	return CL_SUCCESS;
}

cl_int clReleaseCommandQueue(cl_command_queue queue)
{
	STUB_REFUSE(!queue, CL_INVALID_COMMAND_QUEUE);
	if (!stub_unref(queue, STUB_QUEUE))
		return CL_SUCCESS;
	if (queue->last)
		clReleaseEvent(queue->last);
	clReleaseContext(queue->context);
	free(queue);
	return CL_SUCCESS;
}

cl_int clFinish(cl_command_queue queue)
{
	STUB_REFUSE(!stub_get(queue, STUB_QUEUE), CL_INVALID_COMMAND_QUEUE);
	return CL_SUCCESS;
}

cl_int clFlush(cl_command_queue queue)
{
	STUB_REFUSE(!stub_get(queue, STUB_QUEUE), CL_INVALID_COMMAND_QUEUE);
	return CL_SUCCESS;
}
