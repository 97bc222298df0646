/*
 * The face towards the ICD loader: the dispatch table, and the only functions that the library
 * exports.
 */
#include "icd.h"
#include "guest.h"
#include "opened.h"

/* Not in the headers' C prototypes everywhere. */
#ifndef CL_PLATFORM_NOT_FOUND_KHR
#define CL_PLATFORM_NOT_FOUND_KHR -1001
#endif

GCL_EXPORTED CL_API_ENTRY cl_int CL_API_CALL clIcdGetPlatformIDsKHR(cl_uint num_entries,
								    cl_platform_id *platforms,
								    cl_uint *num_platforms)
{
	const cl_platform_id *found;
	cl_uint count;

	REFUSE_IF(!platforms && !num_platforms, CL_INVALID_VALUE);
	REFUSE_IF(platforms && num_entries == 0, CL_INVALID_VALUE);
	count = gcl_platforms(&found);
	if (num_platforms)
		*num_platforms = count;
	REFUSE_IF(count == 0, CL_PLATFORM_NOT_FOUND_KHR);
	for (cl_uint i = 0; platforms && i < GCL_MIN(count, num_entries); i++)
		platforms[i] = found[i];
	return CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL clGetPlatformIDs(cl_uint num_entries, cl_platform_id *platforms,
						 cl_uint *num_platforms)
{
	return clIcdGetPlatformIDsKHR(num_entries, platforms, num_platforms);
}

static const struct {
	const char *name;
	void *function;
} extension_functions[] = {
	{"clIcdGetPlatformIDsKHR", (void *)clIcdGetPlatformIDsKHR},
	{"clGetPlatformInfo", (void *)clGetPlatformInfo},
	{"clCreateCommandQueueWithPropertiesKHR", (void *)clCreateCommandQueueWithProperties},
	{"clCreateProgramWithILKHR", (void *)clCreateProgramWithIL},
	{"clGetKernelSubGroupInfoKHR", (void *)clGetKernelSubGroupInfoKHR},
	{"clGetKernelSuggestedLocalWorkSizeKHR", (void *)clGetKernelSuggestedLocalWorkSizeKHR},
	{"clGuestclOpenPlatform", (void *)clGuestclOpenPlatform},
	{"clGuestclPlatformLost", (void *)clGuestclPlatformLost},
	{"clGuestclClosePlatform", (void *)clGuestclClosePlatform},
	{"clGuestclCreateSVMBuffer", (void *)clGuestclCreateSVMBuffer},
};

GCL_EXPORTED CL_API_ENTRY void *CL_API_CALL clGetExtensionFunctionAddress(const char *name)
{
	for (size_t i = 0; name && i < GCL_ARRAY_SIZE(extension_functions); i++)
		if (strcmp(name, extension_functions[i].name) == 0)
			return extension_functions[i].function;
	return NULL;
}

CL_API_ENTRY void *CL_API_CALL clGetExtensionFunctionAddressForPlatform(cl_platform_id platform,
									const char *name)
{
	return gcl_valid(platform, GCL_KIND_PLATFORM) ? clGetExtensionFunctionAddress(name) : NULL;
}

/* Functions of the Windows interfaces have no prototype here: the table holds plain pointers. */
const struct _cl_icd_dispatch gcl_dispatch = {
	.clGetPlatformIDs = clGetPlatformIDs,
	.clGetPlatformInfo = clGetPlatformInfo,
	.clGetDeviceIDs = clGetDeviceIDs,
	.clGetDeviceInfo = clGetDeviceInfo,
	.clCreateContext = clCreateContext,
	.clCreateContextFromType = clCreateContextFromType,
	.clRetainContext = clRetainContext,
	.clReleaseContext = clReleaseContext,
	.clGetContextInfo = clGetContextInfo,
	.clCreateCommandQueue = clCreateCommandQueue,
	.clRetainCommandQueue = clRetainCommandQueue,
	.clReleaseCommandQueue = clReleaseCommandQueue,
	.clGetCommandQueueInfo = clGetCommandQueueInfo,
	.clSetCommandQueueProperty = clSetCommandQueueProperty,
	.clCreateBuffer = clCreateBuffer,
	.clCreateImage2D = clCreateImage2D,
	.clCreateImage3D = clCreateImage3D,
	.clRetainMemObject = clRetainMemObject,
	.clReleaseMemObject = clReleaseMemObject,
	.clGetSupportedImageFormats = clGetSupportedImageFormats,
	.clGetMemObjectInfo = clGetMemObjectInfo,
	.clGetImageInfo = clGetImageInfo,
	.clCreateSampler = clCreateSampler,
	.clRetainSampler = clRetainSampler,
	.clReleaseSampler = clReleaseSampler,
	.clGetSamplerInfo = clGetSamplerInfo,
	.clCreateProgramWithSource = clCreateProgramWithSource,
	.clCreateProgramWithBinary = clCreateProgramWithBinary,
	.clRetainProgram = clRetainProgram,
	.clReleaseProgram = clReleaseProgram,
	.clBuildProgram = clBuildProgram,
	.clUnloadCompiler = clUnloadCompiler,
	.clGetProgramInfo = clGetProgramInfo,
	.clGetProgramBuildInfo = clGetProgramBuildInfo,
	.clCreateKernel = clCreateKernel,
	.clCreateKernelsInProgram = clCreateKernelsInProgram,
	.clRetainKernel = clRetainKernel,
	.clReleaseKernel = clReleaseKernel,
	.clSetKernelArg = clSetKernelArg,
	.clGetKernelInfo = clGetKernelInfo,
	.clGetKernelWorkGroupInfo = clGetKernelWorkGroupInfo,
	.clWaitForEvents = clWaitForEvents,
	.clGetEventInfo = clGetEventInfo,
	.clRetainEvent = clRetainEvent,
	.clReleaseEvent = clReleaseEvent,
	.clGetEventProfilingInfo = clGetEventProfilingInfo,
	.clFlush = clFlush,
	.clFinish = clFinish,
	.clEnqueueReadBuffer = clEnqueueReadBuffer,
	.clEnqueueWriteBuffer = clEnqueueWriteBuffer,
	.clEnqueueCopyBuffer = clEnqueueCopyBuffer,
	.clEnqueueReadImage = clEnqueueReadImage,
	.clEnqueueWriteImage = clEnqueueWriteImage,
	.clEnqueueCopyImage = clEnqueueCopyImage,
	.clEnqueueCopyImageToBuffer = clEnqueueCopyImageToBuffer,
	.clEnqueueCopyBufferToImage = clEnqueueCopyBufferToImage,
	.clEnqueueMapBuffer = clEnqueueMapBuffer,
	.clEnqueueMapImage = clEnqueueMapImage,
	.clEnqueueUnmapMemObject = clEnqueueUnmapMemObject,
	.clEnqueueNDRangeKernel = clEnqueueNDRangeKernel,
	.clEnqueueTask = clEnqueueTask,
	.clEnqueueNativeKernel = clEnqueueNativeKernel,
	.clEnqueueMarker = clEnqueueMarker,
	.clEnqueueWaitForEvents = clEnqueueWaitForEvents,
	.clEnqueueBarrier = clEnqueueBarrier,
	.clGetExtensionFunctionAddress = clGetExtensionFunctionAddress,
	.clCreateFromGLBuffer = clCreateFromGLBuffer,
	.clCreateFromGLTexture2D = clCreateFromGLTexture2D,
	.clCreateFromGLTexture3D = clCreateFromGLTexture3D,
	.clCreateFromGLRenderbuffer = clCreateFromGLRenderbuffer,
	.clGetGLObjectInfo = clGetGLObjectInfo,
	.clGetGLTextureInfo = clGetGLTextureInfo,
	.clEnqueueAcquireGLObjects = clEnqueueAcquireGLObjects,
	.clEnqueueReleaseGLObjects = clEnqueueReleaseGLObjects,
	.clGetGLContextInfoKHR = clGetGLContextInfoKHR,
	.clGetDeviceIDsFromD3D10KHR = (void *)gcl_absent_command,
	.clCreateFromD3D10BufferKHR = (void *)gcl_absent_object,
	.clCreateFromD3D10Texture2DKHR = (void *)gcl_absent_object,
	.clCreateFromD3D10Texture3DKHR = (void *)gcl_absent_object,
	.clEnqueueAcquireD3D10ObjectsKHR = (void *)gcl_absent_command,
	.clEnqueueReleaseD3D10ObjectsKHR = (void *)gcl_absent_command,
	.clSetEventCallback = clSetEventCallback,
	.clCreateSubBuffer = clCreateSubBuffer,
	.clSetMemObjectDestructorCallback = clSetMemObjectDestructorCallback,
	.clCreateUserEvent = clCreateUserEvent,
	.clSetUserEventStatus = clSetUserEventStatus,
	.clEnqueueReadBufferRect = clEnqueueReadBufferRect,
	.clEnqueueWriteBufferRect = clEnqueueWriteBufferRect,
	.clEnqueueCopyBufferRect = clEnqueueCopyBufferRect,
	.clCreateSubDevicesEXT = clCreateSubDevicesEXT,
	.clRetainDeviceEXT = clRetainDeviceEXT,
	.clReleaseDeviceEXT = clReleaseDeviceEXT,
	.clCreateEventFromGLsyncKHR = clCreateEventFromGLsyncKHR,
	.clCreateSubDevices = clCreateSubDevices,
	.clRetainDevice = clRetainDevice,
	.clReleaseDevice = clReleaseDevice,
	.clCreateImage = clCreateImage,
	.clCreateProgramWithBuiltInKernels = clCreateProgramWithBuiltInKernels,
	.clCompileProgram = clCompileProgram,
	.clLinkProgram = clLinkProgram,
	.clUnloadPlatformCompiler = clUnloadPlatformCompiler,
	.clGetKernelArgInfo = clGetKernelArgInfo,
	.clEnqueueFillBuffer = clEnqueueFillBuffer,
	.clEnqueueFillImage = clEnqueueFillImage,
	.clEnqueueMigrateMemObjects = clEnqueueMigrateMemObjects,
	.clEnqueueMarkerWithWaitList = clEnqueueMarkerWithWaitList,
	.clEnqueueBarrierWithWaitList = clEnqueueBarrierWithWaitList,
	.clGetExtensionFunctionAddressForPlatform = clGetExtensionFunctionAddressForPlatform,
	.clCreateFromGLTexture = clCreateFromGLTexture,
	.clGetDeviceIDsFromD3D11KHR = (void *)gcl_absent_command,
	.clCreateFromD3D11BufferKHR = (void *)gcl_absent_object,
	.clCreateFromD3D11Texture2DKHR = (void *)gcl_absent_object,
	.clCreateFromD3D11Texture3DKHR = (void *)gcl_absent_object,
	.clCreateFromDX9MediaSurfaceKHR = (void *)gcl_absent_object,
	.clEnqueueAcquireD3D11ObjectsKHR = (void *)gcl_absent_command,
	.clEnqueueReleaseD3D11ObjectsKHR = (void *)gcl_absent_command,
	.clGetDeviceIDsFromDX9MediaAdapterKHR = (void *)gcl_absent_command,
	.clEnqueueAcquireDX9MediaSurfacesKHR = (void *)gcl_absent_command,
	.clEnqueueReleaseDX9MediaSurfacesKHR = (void *)gcl_absent_command,
	.clCreateFromEGLImageKHR = clCreateFromEGLImageKHR,
	.clEnqueueAcquireEGLObjectsKHR = clEnqueueAcquireEGLObjectsKHR,
	.clEnqueueReleaseEGLObjectsKHR = clEnqueueReleaseEGLObjectsKHR,
	.clCreateEventFromEGLSyncKHR = clCreateEventFromEGLSyncKHR,
	.clCreateCommandQueueWithProperties = clCreateCommandQueueWithProperties,
	.clCreatePipe = clCreatePipe,
	.clGetPipeInfo = clGetPipeInfo,
	.clSVMAlloc = clSVMAlloc,
	.clSVMFree = clSVMFree,
	.clEnqueueSVMFree = clEnqueueSVMFree,
	.clEnqueueSVMMemcpy = clEnqueueSVMMemcpy,
	.clEnqueueSVMMemFill = clEnqueueSVMMemFill,
	.clEnqueueSVMMap = clEnqueueSVMMap,
	.clEnqueueSVMUnmap = clEnqueueSVMUnmap,
	.clCreateSamplerWithProperties = clCreateSamplerWithProperties,
	.clSetKernelArgSVMPointer = clSetKernelArgSVMPointer,
	.clSetKernelExecInfo = clSetKernelExecInfo,
	.clGetKernelSubGroupInfoKHR = clGetKernelSubGroupInfoKHR,
	.clCloneKernel = clCloneKernel,
	.clCreateProgramWithIL = clCreateProgramWithIL,
	.clEnqueueSVMMigrateMem = clEnqueueSVMMigrateMem,
	.clGetDeviceAndHostTimer = clGetDeviceAndHostTimer,
	.clGetHostTimer = clGetHostTimer,
	.clGetKernelSubGroupInfo = clGetKernelSubGroupInfo,
	.clSetDefaultDeviceCommandQueue = clSetDefaultDeviceCommandQueue,
	.clSetProgramReleaseCallback = clSetProgramReleaseCallback,
	.clSetProgramSpecializationConstant = clSetProgramSpecializationConstant,
	.clCreateBufferWithProperties = clCreateBufferWithProperties,
	.clCreateImageWithProperties = clCreateImageWithProperties,
	.clSetContextDestructorCallback = clSetContextDestructorCallback,
};
