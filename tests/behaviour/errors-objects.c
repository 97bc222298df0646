/* SPDX-License-Identifier: MIT */
/*
 * Wrong arguments to calls about platforms, devices, contexts, queues and events.
 */
#define CL_USE_DEPRECATED_OPENCL_1_0_APIS
#include "errors.h"

/* ------------------------------------------------------------ platforms and devices */

CALL(clGetPlatformIDs, U(0), P(1), P(2))
CALL(clGetPlatformInfo, P(0), U(1), U(2), P(3), P(4))
CALL(clUnloadPlatformCompiler, P(0))
CALL(clGetDeviceIDs, P(0), U(1), U(2), P(3), P(4))
CALL(clGetDeviceInfo, P(0), U(1), U(2), P(3), P(4))
CALL(clCreateSubDevices, P(0), P(1), U(2), P(3), P(4))
CALL(clGetDeviceAndHostTimer, P(0), P(1), P(2))
CALL(clGetHostTimer, P(0), P(1))

static cl_int call_clUnloadCompiler(const uintptr_t *a)
{
	(void)a;
	return clUnloadCompiler();
}

static cl_int call_clRetainDevice(const uintptr_t *a)
{
	return clRetainDevice(P(0));
}

static cl_int call_clReleaseDevice(const uintptr_t *a)
{
	return clReleaseDevice(P(0));
}

static cl_int call_clGetExtensionFunctionAddressForPlatform(const uintptr_t *a)
{
	return clGetExtensionFunctionAddressForPlatform(P(0), P(1)) ? CL_SUCCESS : CL_INVALID_VALUE;
}

static cl_int call_clGetExtensionFunctionAddress(const uintptr_t *a)
{
	return clGetExtensionFunctionAddress(P(0)) ? CL_SUCCESS : CL_INVALID_VALUE;
}

static void platforms(void)
{
	static cl_platform_id platform;

	ROW(clGetPlatformIDs, RIGHT(1, V(&platform), 0),
	    FAULT("nothing asked", CL_INVALID_VALUE, 1, 0),
	    FAULT("room for none", CL_INVALID_VALUE, 0, 0));
	ROW(clGetPlatformInfo, RIGHT(V(on.platform), CL_PLATFORM_NAME, HOST_SIZE, V(on.host), 0),
	    FAULT_GUEST("platform of another kind", CL_INVALID_PLATFORM, 0, on.device),
	    FAULTS_INFO(1));
	ROW(clUnloadPlatformCompiler, RIGHT(V(on.platform)),
	    FAULT_GUEST("platform of another kind", CL_INVALID_PLATFORM, 0, on.device));
	ROW(clGetExtensionFunctionAddressForPlatform, RIGHT(V(on.platform), V("clGetPlatformInfo")),
	    FAULT_GUEST("platform of another kind", CL_INVALID_VALUE, 0, on.device),
	    FAULT("unknown function", CL_INVALID_VALUE, 1, "clMadeUp"));
	ROW_REFUSED(clGetExtensionFunctionAddress, CL_INVALID_VALUE, RIGHT(V("clMadeUp")),
		    FAULT("no name", CL_INVALID_VALUE, 0, ""));
	ROW(clUnloadCompiler, RIGHT(0), FAULT("none", CL_SUCCESS, 0, 0));
}

static void devices(void)
{
	static const cl_device_partition_property unknown[] = {0x7dea, 1, 0};
	static const cl_device_partition_property none[] = {0};
	static cl_device_id device;
	static cl_ulong times[2];

	ROW(clGetDeviceIDs, RIGHT(V(on.platform), CL_DEVICE_TYPE_ALL, 1, V(&device), 0),
	    FAULT_GUEST("platform of another kind", CL_INVALID_PLATFORM, 0, on.device),
	    FAULT("unknown type", CL_INVALID_DEVICE_TYPE, 1, 0x7dea000),
	    FAULT("nothing asked", CL_INVALID_VALUE, 3, 0),
	    FAULT("room for none", CL_INVALID_VALUE, 2, 0));
	ROW(clGetDeviceInfo, RIGHT(V(on.device), CL_DEVICE_NAME, HOST_SIZE, V(on.host), 0),
	    FAULTS_DEVICE(0), FAULTS_INFO(1));
	ROW_REFUSED(clCreateSubDevices, CL_INVALID_VALUE,
		    RIGHT(V(on.device), V(none), 1, V(&device), 0), FAULTS_DEVICE(0),
		    FAULT("properties NULL", CL_INVALID_VALUE, 1, 0),
		    FAULT("unknown property", CL_INVALID_VALUE, 1, unknown));
	ROW(clRetainDevice, RIGHT(V(on.device)), FAULTS_DEVICE(0));
	ROW(clReleaseDevice, RIGHT(V(on.device)), FAULTS_DEVICE(0));
	ROW_REFUSED(clGetDeviceAndHostTimer, CL_INVALID_OPERATION,
		    RIGHT(V(on.device), V(&times[0]), V(&times[1])), FAULTS_DEVICE(0));
	ROW_REFUSED(clGetHostTimer, CL_INVALID_OPERATION, RIGHT(V(on.device), V(times)),
		    FAULTS_DEVICE(0));
}

/* ------------------------------------------------------------ contexts */

static void CL_CALLBACK notify(const char *text, const void *info, size_t size, void *data)
{
	(void)text, (void)info, (void)size, (void)data;
}

static void CL_CALLBACK ended(cl_context context, void *data)
{
	(void)context, (void)data;
}

CALL_MAKES(clCreateContext, P(0), U(1), P(2),
	   (void(CL_CALLBACK *)(const char *, const void *, size_t, void *))a[3], P(4))
CALL_MAKES(clCreateContextFromType, P(0), U(1),
	   (void(CL_CALLBACK *)(const char *, const void *, size_t, void *))a[2], P(3))
CALL(clGetContextInfo, P(0), U(1), U(2), P(3), P(4))
CALL(clSetContextDestructorCallback, P(0), (void(CL_CALLBACK *)(cl_context, void *))a[1], P(2))

/* A reference more, or one less, and back again where that went well. */
#define CALLS_COUNT(type)                                                                          \
	static cl_int call_clRetain##type(const uintptr_t *a)                                      \
	{                                                                                          \
		cl_int code = clRetain##type(P(0));                                                \
                                                                                                   \
		if (code == CL_SUCCESS)                                                            \
			MUST(clRelease##type(P(0)));                                               \
		return code;                                                                       \
	}                                                                                          \
	static cl_int call_clRelease##type(const uintptr_t *a)                                     \
	{                                                                                          \
		(void)clRetain##type(P(0));                                                        \
		return clRelease##type(P(0));                                                      \
	}

CALLS_COUNT(Context)
CALLS_COUNT(CommandQueue)
CALLS_COUNT(Event)
CALLS_COUNT(MemObject)
CALLS_COUNT(Sampler)
CALLS_COUNT(Program)
CALLS_COUNT(Kernel)

static void counts(void)
{
	ROW(clRetainContext, RIGHT(V(on.context)), FAULTS_CONTEXT(0));
	ROW(clReleaseContext, RIGHT(V(on.context)), FAULTS_CONTEXT(0));
	ROW(clRetainCommandQueue, RIGHT(V(on.queue)), FAULTS_QUEUE(0));
	ROW(clReleaseCommandQueue, RIGHT(V(on.queue)), FAULTS_QUEUE(0));
	ROW(clRetainEvent, RIGHT(V(on.event)), FAULTS_EVENT("event", CL_INVALID_EVENT, 0));
	ROW(clReleaseEvent, RIGHT(V(on.event)), FAULTS_EVENT("event", CL_INVALID_EVENT, 0));
	ROW(clRetainMemObject, RIGHT(V(on.buffer)), FAULTS_BUFFER("object", 0));
	ROW(clReleaseMemObject, RIGHT(V(on.buffer)), FAULTS_BUFFER("object", 0));
	ROW(clRetainSampler, RIGHT(V(on.sampler)),
	    FAULTS_OBJECT("sampler", CL_INVALID_SAMPLER, 0, on.buffer, on.gone_sampler));
	ROW(clReleaseSampler, RIGHT(V(on.sampler)),
	    FAULTS_OBJECT("sampler", CL_INVALID_SAMPLER, 0, on.buffer, on.gone_sampler));
	ROW(clRetainProgram, RIGHT(V(on.program)), FAULTS_PROGRAM(0));
	ROW(clReleaseProgram, RIGHT(V(on.program)), FAULTS_PROGRAM(0));
	ROW(clRetainKernel, RIGHT(V(on.kernel)), FAULTS_KERNEL(0));
	ROW(clReleaseKernel, RIGHT(V(on.kernel)), FAULTS_KERNEL(0));
}

static void contexts(void)
{
	cl_context_properties unknown[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)on.platform,
					   0x7dea, 1, 0};
	cl_context_properties right[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)on.platform,
					 0};
	cl_context_properties twice[] = {CL_CONTEXT_PLATFORM, right[1], CL_CONTEXT_PLATFORM,
					 right[1], 0};
	static const cl_context_properties no_platform[] = {CL_CONTEXT_PLATFORM, 0, 0};
	cl_device_id with_null[] = {on.device, NULL};
	cl_device_id with_other[] = {on.device, (cl_device_id)(void *)on.buffer};

	ROW(clCreateContext, RIGHT(V(right), 1, V(&on.device), V(notify), 0),
	    FAULT("platform NULL", CL_INVALID_PLATFORM, 0, no_platform),
	    FAULT("devices NULL", CL_INVALID_VALUE, 2, 0),
	    FAULT("no devices", CL_INVALID_VALUE, 1, 0),
	    FAULT_PAIR("data without a function", CL_INVALID_VALUE, 3, 0, 4, on.host),
	    FAULT("unknown property", CL_INVALID_PROPERTY, 0, unknown),
	    FAULT("property twice", CL_INVALID_PROPERTY, 0, twice),
	    FAULT_PAIR("device NULL", CL_INVALID_DEVICE, 1, 2, 2, with_null),
	    FAULT_GUEST_PAIR("device of another kind", CL_INVALID_DEVICE, 1, 2, 2, with_other));
	ROW(clCreateContextFromType, RIGHT(V(right), CL_DEVICE_TYPE_ALL, V(notify), 0),
	    FAULT("platform NULL", CL_INVALID_PLATFORM, 0, no_platform),
	    FAULT_PAIR("data without a function", CL_INVALID_VALUE, 2, 0, 3, on.host),
	    FAULT("unknown property", CL_INVALID_PROPERTY, 0, unknown),
	    FAULT("property twice", CL_INVALID_PROPERTY, 0, twice),
	    FAULT("unknown type", CL_INVALID_DEVICE_TYPE, 1, 0x7dea000));
	ROW(clGetContextInfo,
	    RIGHT(V(on.context), CL_CONTEXT_NUM_DEVICES, HOST_SIZE, V(on.host), 0),
	    FAULTS_CONTEXT(0), FAULTS_INFO(1));
	ROW(clSetContextDestructorCallback, RIGHT(V(on.context), V(ended), 0), FAULTS_CONTEXT(0),
	    FAULT("function NULL", CL_INVALID_VALUE, 1, 0));
}

/* ------------------------------------------------------------ queues */

CALL_MAKES(clCreateCommandQueue, P(0), P(1), U(2))
CALL_MAKES(clCreateCommandQueueWithProperties, P(0), P(1), P(2))
CALL(clGetCommandQueueInfo, P(0), U(1), U(2), P(3), P(4))
CALL(clSetCommandQueueProperty, P(0), U(1), U(2), P(3))
CALL(clSetDefaultDeviceCommandQueue, P(0), P(1), P(2))
CALL(clFlush, P(0))
CALL(clFinish, P(0))

static void queues(void)
{
	static const cl_queue_properties unknown[] = {0x7dea, 1, 0};
	static const cl_queue_properties twice[] = {CL_QUEUE_PROPERTIES, 0, CL_QUEUE_PROPERTIES, 0,
						    0};
	static const cl_queue_properties bits[] = {CL_QUEUE_PROPERTIES, 0x7dea000, 0};

	ROW(clCreateCommandQueue, RIGHT(V(on.context), V(on.device), 0), FAULTS_CONTEXT(0),
	    FAULTS_DEVICE(1), FAULTS_NONE("device", CL_INVALID_DEVICE, 1),
	    FAULT("unknown property", CL_INVALID_VALUE, 2, 0x7dea000));
	ROW(clCreateCommandQueueWithProperties, RIGHT(V(on.context), V(on.device), 0),
	    FAULTS_CONTEXT(0), FAULTS_DEVICE(1), FAULTS_NONE("device", CL_INVALID_DEVICE, 1),
	    FAULT("unknown property", CL_INVALID_VALUE, 2, unknown),
	    FAULT("property twice", CL_INVALID_VALUE, 2, twice),
	    FAULT("unknown bits", CL_INVALID_VALUE, 2, bits));
	ROW(clGetCommandQueueInfo,
	    RIGHT(V(on.queue), CL_QUEUE_PROPERTIES, HOST_SIZE, V(on.host), 0), FAULTS_QUEUE(0),
	    FAULTS_INFO(1));
	ROW_GUEST_REFUSED(clSetCommandQueueProperty, CL_INVALID_OPERATION,
			  RIGHT(V(on.queue), CL_QUEUE_PROFILING_ENABLE, CL_FALSE, 0),
			  FAULTS_QUEUE(0));
	ROW_REFUSED(clSetDefaultDeviceCommandQueue, CL_INVALID_OPERATION,
		    RIGHT(V(on.context), V(on.device), V(on.queue)), FAULTS_CONTEXT(0),
		    FAULTS_DEVICE(1), FAULTS_NONE("device", CL_INVALID_DEVICE, 1));
	ROW(clFlush, RIGHT(V(on.queue)), FAULTS_QUEUE(0));
	ROW(clFinish, RIGHT(V(on.queue)), FAULTS_QUEUE(0));
}

/* ------------------------------------------------------------ events */

static void CL_CALLBACK happened(cl_event event, cl_int status, void *data)
{
	(void)event, (void)status, (void)data;
}

CALL_MAKES(clCreateUserEvent, P(0))
CALL(clWaitForEvents, U(0), P(1))
CALL(clGetEventInfo, P(0), U(1), U(2), P(3), P(4))
CALL(clGetEventProfilingInfo, P(0), U(1), U(2), P(3), P(4))
CALL(clSetEventCallback, P(0), (cl_int)U(1), (void(CL_CALLBACK *)(cl_event, cl_int, void *))a[2],
     P(3))

/* The event that is right is one that still waits for its status. */
static cl_int call_clSetUserEventStatus(const uintptr_t *a)
{
	cl_event waiting;
	cl_int code;

	if (a[0] != 1)
		return clSetUserEventStatus(P(0), (cl_int)a[1]);
	waiting = MUST_MAKE(clCreateUserEvent(on.context, &call_err));
	code = clSetUserEventStatus(waiting, (cl_int)a[1]);
	if (code != CL_SUCCESS)
		MUST(clSetUserEventStatus(waiting, CL_COMPLETE));
	RELEASE(waiting);
	return code;
}

static void events(void)
{
	ROW(clCreateUserEvent, RIGHT(V(on.context)), FAULTS_CONTEXT(0));
	ROW(clSetUserEventStatus, RIGHT(1, CL_COMPLETE), FAULTS_EVENT("event", CL_INVALID_EVENT, 0),
	    FAULT("status running", CL_INVALID_VALUE, 1, CL_RUNNING),
	    FAULT("status set before", CL_INVALID_OPERATION, 0, on.event));
	ROW(clWaitForEvents, RIGHT(1, V(on.events)), FAULT("no events", CL_INVALID_VALUE, 0, 0),
	    FAULT("list NULL", CL_INVALID_VALUE, 1, 0),
	    FAULT_PAIR("event NULL", CL_INVALID_EVENT, 0, 2, 1, on.events_null),
	    FAULT_GUEST_PAIR("event of another kind", CL_INVALID_EVENT, 0, 2, 1, on.events_kind),
	    FAULT_GUEST_PAIR("event that is none", CL_INVALID_EVENT, 0, 2, 1, on.events_none),
	    FAULT_GUEST_PAIR("event released", CL_INVALID_EVENT, 0, 2, 1, on.events_gone),
	    FAULT_PAIR("event of another context", CL_INVALID_CONTEXT, 0, 2, 1, on.events_foreign));
	ROW(clGetEventInfo, RIGHT(V(on.event), CL_EVENT_CONTEXT, HOST_SIZE, V(on.host), 0),
	    FAULTS_EVENT("event", CL_INVALID_EVENT, 0), FAULTS_INFO(1));
	ROW_REFUSED(clGetEventProfilingInfo, CL_PROFILING_INFO_NOT_AVAILABLE,
		    RIGHT(V(on.event), CL_PROFILING_COMMAND_END, HOST_SIZE, V(on.host), 0),
		    FAULTS_EVENT("event", CL_INVALID_EVENT, 0));
	ROW(clSetEventCallback, RIGHT(V(on.event), CL_COMPLETE, V(happened), 0),
	    FAULTS_EVENT("event", CL_INVALID_EVENT, 0),
	    FAULT("function NULL", CL_INVALID_VALUE, 2, 0),
	    FAULT("status unknown", CL_INVALID_VALUE, 1, 7));
}

void errors_objects(void)
{
	platforms();
	devices();
	contexts();
	queues();
	events();
	counts();
}
