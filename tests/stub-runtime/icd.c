// SPDX-License-Identifier: MIT
/*
 * The stub runtime as an ICD, which a loader finds by an .icd file: its table of functions, and
 * those whose answers depend on how it shall behave (odd.h).
 *
 * Its devices have memory of their own, and answers that a program can count on.
 */
#include "stub.h"

#include <CL/cl_icd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "odd.h"

#define EXPORTED __attribute__((visibility("default")))

#define ODD(call)                                                                                  \
	do {                                                                                       \
		cl_int status_ = odd_enter(call);                                                  \
		STUB_REFUSE(status_ != CL_SUCCESS, status_);                                       \
	} while (0)

#define ODD_MAKE(call, status)                                                                     \
	do {                                                                                       \
		cl_int status_ = odd_enter(call);                                                  \
		if (status_ != CL_SUCCESS)                                                         \
			return stub_make(NULL, status, status_);                                   \
	} while (0)

static struct {
	const void *dispatch;
} platform;

static struct _cl_device_id devices[STUB_DEVICE_MAX];

/* ------------------------------------------------------------ platform and devices */

static cl_int odd_platform_info(cl_platform_id id, cl_platform_info name, size_t size, void *value,
				size_t *size_ret)
{
	const char *text = "Stub";

	(void)id;
	switch (name) {
	case CL_PLATFORM_VERSION:
		text = "OpenCL 1.2 Stub";
		break;
	case CL_PLATFORM_PROFILE:
		text = "FULL_PROFILE";
		break;
	case CL_PLATFORM_EXTENSIONS:
		text = "cl_khr_icd";
		break;
	case CL_PLATFORM_NAME:
	case CL_PLATFORM_VENDOR:
	case CL_PLATFORM_ICD_SUFFIX_KHR:
		break;
	default:
		return CL_INVALID_VALUE;
	}
	return stub_answer(text, strlen(text) + 1, size, value, size_ret);
}

static cl_int odd_device_ids(cl_platform_id id, cl_device_type type, cl_uint count,
			     cl_device_id *list, cl_uint *found)
{
	cl_uint all = odd_number("devices");

	(void)id;
	STUB_REFUSE(odd_has("no-devices"), CL_DEVICE_NOT_FOUND);
	STUB_REFUSE(!(type & (CL_DEVICE_TYPE_ACCELERATOR | CL_DEVICE_TYPE_DEFAULT)),
		    CL_DEVICE_NOT_FOUND);
	STUB_REFUSE(!count != !list, CL_INVALID_VALUE);
	all = all ? GCL_MIN(all, STUB_DEVICE_MAX) : 1;
	for (cl_uint i = 0; i < GCL_MIN(all, count); i++)
		list[i] = &devices[i];
	if (found)
		*found = all;
	return CL_SUCCESS;
}

/* Numbers by their sizes. */
static const struct {
	cl_device_info name;
	size_t size;
	cl_ulong value;
} numbers[] = {
	{CL_DEVICE_TYPE, sizeof(cl_device_type), CL_DEVICE_TYPE_ACCELERATOR},
	{CL_DEVICE_MAX_WORK_ITEM_DIMENSIONS, sizeof(cl_uint), 3},
	{CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof(size_t), 64},
	{CL_DEVICE_MAX_PARAMETER_SIZE, sizeof(size_t), 1024},
	{CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(cl_ulong), 16u << 20},
	{CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(cl_ulong), 64u << 20},
	{CL_DEVICE_GLOBAL_MEM_CACHE_SIZE, sizeof(cl_ulong), 0},
	{CL_DEVICE_MAX_CONSTANT_BUFFER_SIZE, sizeof(cl_ulong), 64u << 10},
	{CL_DEVICE_LOCAL_MEM_SIZE, sizeof(cl_ulong), 32u << 10},
	{CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof(cl_uint), 1024},
	{CL_DEVICE_ADDRESS_BITS, sizeof(cl_uint), 64},
	{CL_DEVICE_SINGLE_FP_CONFIG, sizeof(cl_device_fp_config), CL_FP_ROUND_TO_NEAREST},
	{CL_DEVICE_DOUBLE_FP_CONFIG, sizeof(cl_device_fp_config), 0},
	{CL_DEVICE_EXECUTION_CAPABILITIES, sizeof(cl_device_exec_capabilities), CL_EXEC_KERNEL},
	{CL_DEVICE_QUEUE_PROPERTIES, sizeof(cl_command_queue_properties),
	 CL_QUEUE_PROFILING_ENABLE},
	{CL_DEVICE_PARTITION_PROPERTIES, sizeof(cl_device_partition_property), 0},
	{CL_DEVICE_PARTITION_AFFINITY_DOMAIN, sizeof(cl_device_affinity_domain), 0},
	{CL_DEVICE_HOST_UNIFIED_MEMORY, sizeof(cl_bool), CL_FALSE},
	{CL_DEVICE_PROFILING_TIMER_RESOLUTION, sizeof(size_t), 1},
	{CL_DEVICE_PRINTF_BUFFER_SIZE, sizeof(size_t), 1024},
	{CL_DEVICE_MAX_READ_IMAGE_ARGS, sizeof(cl_uint), 8},
	{CL_DEVICE_MAX_SAMPLERS, sizeof(cl_uint), 8},
	{CL_DEVICE_IMAGE2D_MAX_WIDTH, sizeof(size_t), 4096},
	{CL_DEVICE_IMAGE2D_MAX_HEIGHT, sizeof(size_t), 4096},
	{CL_DEVICE_IMAGE3D_MAX_WIDTH, sizeof(size_t), 4096},
	{CL_DEVICE_IMAGE3D_MAX_HEIGHT, sizeof(size_t), 4096},
	{CL_DEVICE_IMAGE3D_MAX_DEPTH, sizeof(size_t), 4096},
	{CL_DEVICE_IMAGE_MAX_BUFFER_SIZE, sizeof(size_t), 4096},
	{CL_DEVICE_IMAGE_MAX_ARRAY_SIZE, sizeof(size_t), 256},
};

static cl_int odd_device_info(cl_device_id device, cl_device_info name, size_t size, void *value,
			      size_t *size_ret)
{
	static const size_t items[3] = {64, 64, 64};
	cl_platform_id id = (cl_platform_id)(void *)&platform;
	char text[64] = "OpenCL 1.2 Stub";

	for (size_t i = 0; i < GCL_ARRAY_SIZE(numbers); i++)
		if (numbers[i].name == name)
			return stub_answer(&numbers[i].value, numbers[i].size, size, value,
					   size_ret);
	switch (name) {
	case CL_DEVICE_PLATFORM:
		return stub_answer(&id, sizeof id, size, value, size_ret);
	case CL_DEVICE_MAX_WORK_ITEM_SIZES:
		return stub_answer(items, sizeof items, size, value, size_ret);
	case CL_DEVICE_NAME:
		snprintf(text, sizeof text, "stub %d", (int)(device - devices));
		break;
	case CL_DEVICE_VERSION:
		break;
	case CL_DEVICE_OPENCL_C_VERSION:
		snprintf(text, sizeof text, "OpenCL C 1.2");
		break;
	case CL_DEVICE_PROFILE:
		snprintf(text, sizeof text, "FULL_PROFILE");
		break;
	case CL_DEVICE_EXTENSIONS:
		snprintf(text, sizeof text, "cl_khr_suggested_local_work_size");
		break;
	default:
		return clGetDeviceInfo(device, name, size, value, size_ret);
	}
	return stub_answer(text, strlen(text) + 1, size, value, size_ret);
}

/* ------------------------------------------------------------ calls in which something happens */

static cl_context odd_context(const cl_context_properties *properties, cl_uint count,
			      const cl_device_id *list,
			      void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *),
			      void *data, cl_int *status)
{
	ODD_MAKE("clCreateContext", status);
	return clCreateContext(properties, count, list, notify, data, status);
}

static cl_mem odd_buffer(cl_context context, cl_mem_flags flags, size_t size, void *host,
			 cl_int *status)
{
	ODD_MAKE("clCreateBuffer", status);
	return clCreateBuffer(context, flags, size, host, status);
}

static cl_sampler odd_sampler(cl_context context, cl_bool normalized, cl_addressing_mode addressing,
			      cl_filter_mode filter, cl_int *status)
{
	ODD_MAKE("clCreateSampler", status);
	return clCreateSampler(context, normalized, addressing, filter, status);
}

static cl_int odd_build(cl_program program, cl_uint count, const cl_device_id *list,
			const char *options, void(CL_CALLBACK *notify)(cl_program, void *),
			void *data)
{
	ODD("clBuildProgram");
	sleep(odd_number("slow"));
	return clBuildProgram(program, count, list, options, notify, data);
}

static cl_kernel odd_kernel(cl_program program, const char *name, cl_int *status)
{
	ODD_MAKE("clCreateKernel", status);
	return clCreateKernel(program, name, status);
}

static cl_int odd_arg_info(cl_kernel kernel, cl_uint index, cl_kernel_arg_info name, size_t size,
			   void *value, size_t *size_ret)
{
	STUB_REFUSE(odd_has("no-arg-info"), CL_KERNEL_ARG_INFO_NOT_AVAILABLE);
	return clGetKernelArgInfo(kernel, index, name, size, value, size_ret);
}

static cl_int odd_launch(cl_command_queue queue, cl_kernel kernel, cl_uint dims,
			 const size_t *offset, const size_t *global, const size_t *local,
			 cl_uint count, const cl_event *waits, cl_event *event)
{
	ODD("clEnqueueNDRangeKernel");
	return clEnqueueNDRangeKernel(queue, kernel, dims, offset, global, local, count, waits,
				      event);
}

static cl_int odd_read(cl_command_queue queue, cl_mem mem, cl_bool blocking, size_t offset,
		       size_t size, void *host, cl_uint count, const cl_event *waits,
		       cl_event *event)
{
	ODD("clEnqueueReadBuffer");
	return clEnqueueReadBuffer(queue, mem, blocking, offset, size, host, count, waits, event);
}

static cl_int odd_write(cl_command_queue queue, cl_mem mem, cl_bool blocking, size_t offset,
			size_t size, const void *host, cl_uint count, const cl_event *waits,
			cl_event *event)
{
	ODD("clEnqueueWriteBuffer");
	return clEnqueueWriteBuffer(queue, mem, blocking, offset, size, host, count, waits, event);
}

static cl_int odd_migrate(cl_command_queue queue, cl_uint mem_count, const cl_mem *mems,
			  cl_mem_migration_flags flags, cl_uint count, const cl_event *waits,
			  cl_event *event)
{
	ODD("clEnqueueMigrateMemObjects");
	return clEnqueueMigrateMemObjects(queue, mem_count, mems, flags, count, waits, event);
}

static cl_int odd_callback(cl_event event, cl_int type,
			   void(CL_CALLBACK *notify)(cl_event, cl_int, void *), void *data)
{
	if (odd_has("forget") && event->status <= CL_COMPLETE)
		return CL_SUCCESS;
	return clSetEventCallback(event, type, notify, data);
}

/* ------------------------------------------------------------ what the loader takes */

#define STUB(name) .name = name
static const cl_icd_dispatch table = {
	.clGetPlatformInfo = odd_platform_info,
	.clGetDeviceIDs = odd_device_ids,
	.clGetDeviceInfo = odd_device_info,
	STUB(clGetExtensionFunctionAddressForPlatform),
	.clCreateContext = odd_context,
	.clCreateBuffer = odd_buffer,
	.clCreateSampler = odd_sampler,
	.clBuildProgram = odd_build,
	.clCreateKernel = odd_kernel,
	.clGetKernelArgInfo = odd_arg_info,
	.clEnqueueNDRangeKernel = odd_launch,
	.clEnqueueReadBuffer = odd_read,
	.clEnqueueWriteBuffer = odd_write,
	.clEnqueueMigrateMemObjects = odd_migrate,
	.clSetEventCallback = odd_callback,
	STUB(clCompileProgram),
	STUB(clCreateCommandQueue),
	STUB(clCreateImage),
	STUB(clCreateKernelsInProgram),
	STUB(clCreateProgramWithBinary),
	STUB(clCreateProgramWithBuiltInKernels),
	STUB(clCreateProgramWithIL),
	STUB(clCreateProgramWithSource),
	STUB(clCreateSubBuffer),
	STUB(clCreateSubDevices),
	STUB(clCreateUserEvent),
	STUB(clEnqueueBarrierWithWaitList),
	STUB(clEnqueueCopyBuffer),
	STUB(clEnqueueCopyBufferRect),
	STUB(clEnqueueCopyBufferToImage),
	STUB(clEnqueueCopyImage),
	STUB(clEnqueueCopyImageToBuffer),
	STUB(clEnqueueFillBuffer),
	STUB(clEnqueueFillImage),
	STUB(clEnqueueMapBuffer),
	STUB(clEnqueueMarkerWithWaitList),
	STUB(clEnqueueReadBufferRect),
	STUB(clEnqueueReadImage),
	STUB(clEnqueueTask),
	STUB(clEnqueueUnmapMemObject),
	STUB(clEnqueueWriteBufferRect),
	STUB(clEnqueueWriteImage),
	STUB(clFinish),
	STUB(clFlush),
	STUB(clGetContextInfo),
	STUB(clGetEventInfo),
	STUB(clGetEventProfilingInfo),
	STUB(clGetKernelInfo),
	STUB(clGetKernelSubGroupInfo),
	STUB(clGetKernelWorkGroupInfo),
	STUB(clGetMemObjectInfo),
	STUB(clGetProgramBuildInfo),
	STUB(clGetProgramInfo),
	STUB(clGetSupportedImageFormats),
	STUB(clLinkProgram),
	STUB(clReleaseCommandQueue),
	STUB(clReleaseContext),
	STUB(clReleaseDevice),
	STUB(clReleaseEvent),
	STUB(clReleaseKernel),
	STUB(clReleaseMemObject),
	STUB(clReleaseProgram),
	STUB(clReleaseSampler),
	STUB(clRetainCommandQueue),
	STUB(clRetainContext),
	STUB(clRetainEvent),
	STUB(clRetainMemObject),
	STUB(clRetainProgram),
	STUB(clSVMAlloc),
	STUB(clSVMFree),
	STUB(clSetKernelArg),
	STUB(clSetKernelArgSVMPointer),
	STUB(clSetKernelExecInfo),
	STUB(clSetMemObjectDestructorCallback),
	STUB(clSetProgramSpecializationConstant),
	STUB(clSetUserEventStatus),
	STUB(clWaitForEvents),
};
#undef STUB

static cl_int CL_API_CALL odd_platform_ids(cl_uint count, cl_platform_id *platforms, cl_uint *found)
{
	STUB_REFUSE(odd_has("no-platforms"), CL_PLATFORM_NOT_FOUND_KHR);
	if (platforms && count)
		platforms[0] = (cl_platform_id)(void *)&platform;
	if (found)
		*found = 1;
	return CL_SUCCESS;
}

EXPORTED void *CL_API_CALL clGetExtensionFunctionAddress(const char *name)
{
	if (strcmp(name, "clGetPlatformInfo") == 0)
		return (void *)odd_platform_info;
	return strcmp(name, "clIcdGetPlatformIDsKHR") == 0 ? (void *)odd_platform_ids : NULL;
}

__attribute__((constructor)) static void load(void)
{
	stub_dispatch = &table;
	platform.dispatch = &table;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(devices); i++)
		devices[i].object = (struct stub_object){&table, STUB_DEVICE, 1};
	odd_enter("load");
}
