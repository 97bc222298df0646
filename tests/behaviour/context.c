/* SPDX-License-Identifier: MIT */
/*
 * Contexts.
 */
#include "harness.h"

#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

INFO_QUERY(clGetContextInfo, cl_context)

#define PROPERTIES(...) ((const cl_context_properties[]){__VA_ARGS__})

static void CL_CALLBACK notified(const char *text, const void *info, size_t size, void *data)
{
	(void)text;
	(void)info;
	(void)size;
	(void)data;
}

static void creation_check(const struct fixture *fix)
{
	const cl_context_properties *platform =
		PROPERTIES(CL_CONTEXT_PLATFORM, (intptr_t)fix->platform, 0);
	const cl_context_properties *sync = PROPERTIES(CL_CONTEXT_PLATFORM, (intptr_t)fix->platform,
						       CL_CONTEXT_INTEROP_USER_SYNC, CL_FALSE, 0);
	int data = 0;

	MADE("without properties", clCreateContext(NULL, 1, &fix->device, NULL, NULL, &call_err));
	MADE("of a platform", clCreateContext(platform, 1, &fix->device, NULL, NULL, &call_err));
	MADE("empty properties",
	     clCreateContext(PROPERTIES(0), 1, &fix->device, NULL, NULL, &call_err));
	MADE("user sync", clCreateContext(sync, 1, &fix->device, NULL, NULL, &call_err));
	MADE("with notice", clCreateContext(NULL, 1, &fix->device, notified, NULL, &call_err));
	MADE("with notice and data",
	     clCreateContext(NULL, 1, &fix->device, notified, &data, &call_err));
	MADE("the device twice",
	     clCreateContext(NULL, 2, (cl_device_id[]){fix->device, fix->device}, NULL, NULL,
			     &call_err));
	call_err = CL_SUCCESS;
	MADE("without a place for the code",
	     clCreateContext(NULL, 1, &fix->device, NULL, NULL, (call_err = CL_SUCCESS, NULL)));
}

static void creation_wrong(const struct fixture *fix)
{
	const struct {
		const char *name;
		const cl_context_properties *properties;
	} lists[] = {
		{"unknown property", PROPERTIES(0x7dea, 1, 0)},
		{"platform NULL", PROPERTIES(CL_CONTEXT_PLATFORM, 0, 0)},
		{"platform twice", PROPERTIES(CL_CONTEXT_PLATFORM, (intptr_t)fix->platform,
					      CL_CONTEXT_PLATFORM, (intptr_t)fix->platform, 0)},
		{"user sync neither true nor false",
		 PROPERTIES(CL_CONTEXT_PLATFORM, (intptr_t)fix->platform,
			    CL_CONTEXT_INTEROP_USER_SYNC, 7, 0)},
	};
	int data = 0;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		WRONG_MADE(lists[i].name, clCreateContext(lists[i].properties, 1, &fix->device,
							  NULL, NULL, &call_err));
	WRONG_MADE("0 devices", clCreateContext(NULL, 0, &fix->device, NULL, NULL, &call_err));
	WRONG_MADE("devices NULL", clCreateContext(NULL, 1, NULL, NULL, NULL, &call_err));
	WRONG_MADE("device NULL",
		   clCreateContext(NULL, 1, (cl_device_id[]){NULL}, NULL, NULL, &call_err));
	WRONG_MADE("second device NULL",
		   clCreateContext(NULL, 2, (cl_device_id[]){fix->device, NULL}, NULL, NULL,
				   &call_err));
	WRONG_MADE("data without notice",
		   clCreateContext(NULL, 1, &fix->device, NULL, &data, &call_err));
}

static void type_check(const struct fixture *fix)
{
	const cl_context_properties *platform =
		PROPERTIES(CL_CONTEXT_PLATFORM, (intptr_t)fix->platform, 0);
	const struct {
		const char *name;
		cl_device_type type;
	} types[] = {
		{"all", CL_DEVICE_TYPE_ALL},
		{"cpu", CL_DEVICE_TYPE_CPU},
		{"default", CL_DEVICE_TYPE_DEFAULT},
		{"gpu", CL_DEVICE_TYPE_GPU},
		{"accelerator", CL_DEVICE_TYPE_ACCELERATOR},
		{"custom", CL_DEVICE_TYPE_CUSTOM},
	};
	int data = 0;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		MADE(named("from type %s", types[i].name),
		     clCreateContextFromType(platform, types[i].type, NULL, NULL, &call_err));
	MADE("from type without properties",
	     clCreateContextFromType(NULL, CL_DEVICE_TYPE_ALL, NULL, NULL, &call_err));
	WRONG_MADE("from type 0", clCreateContextFromType(platform, 0, NULL, NULL, &call_err));
	WRONG_MADE("from unknown type",
		   clCreateContextFromType(platform, 1 << 20, NULL, NULL, &call_err));
	WRONG_MADE("from type, data without notice",
		   clCreateContextFromType(platform, CL_DEVICE_TYPE_ALL, NULL, &data, &call_err));
	WRONG_MADE("from type, platform NULL",
		   clCreateContextFromType(PROPERTIES(CL_CONTEXT_PLATFORM, 0, 0),
					   CL_DEVICE_TYPE_ALL, NULL, NULL, &call_err));
	WRONG_MADE("from type, unknown property",
		   clCreateContextFromType(PROPERTIES(0x7dea, 1, 0), CL_DEVICE_TYPE_ALL, NULL, NULL,
					   &call_err));
}

static void info_check(const struct fixture *fix)
{
	const cl_context_properties *platform =
		PROPERTIES(CL_CONTEXT_PLATFORM, (intptr_t)fix->platform, 0);
	const struct info infos[] = {
		INFO(CL_CONTEXT_NUM_DEVICES, INFO_UINT),
		INFO_IS(CL_CONTEXT_DEVICES, fix->device),
		INFO(CL_CONTEXT_PROPERTIES, INFO_VARIES),
		INFO(CL_CONTEXT_REFERENCE_COUNT, INFO_UINT),
	};
	cl_context context =
		MUST_MAKE(clCreateContext(platform, 1, &fix->device, NULL, NULL, &call_err));
	cl_context bare = MUST_MAKE(clCreateContext(NULL, 1, &fix->device, NULL, NULL, &call_err));
	cl_context_properties answer[3] = {0};

	check_infos("info", query_clGetContextInfo, context, infos, ARRAY_SIZE(infos));
	check_infos("bare", query_clGetContextInfo, bare, infos, ARRAY_SIZE(infos));
	wrong_infos("context", query_clGetContextInfo, context, CL_CONTEXT_DEVICES, true);
	check_code("properties",
		   clGetContextInfo(context, CL_CONTEXT_PROPERTIES, sizeof(answer), answer, NULL));
	check_yes("properties as given",
		  answer[0] == platform[0] && answer[1] == platform[1] && answer[2] == 0);
	check_code("retain", clRetainContext(context));
	check_infos("retained", query_clGetContextInfo, context, &infos[3], 1);
	check_code("release", clReleaseContext(context));
	check_infos("released once", query_clGetContextInfo, context, &infos[3], 1);
	check_code("release for good", clReleaseContext(context));
	MUST(clReleaseContext(bare));
	wrong_code("retain NULL", clRetainContext(NULL));
	wrong_code("release NULL", clReleaseContext(NULL));
}

/* What a context made lives on when the program lets go of the context. */
static void lifetime_check(const struct fixture *fix)
{
	cl_context context =
		MUST_MAKE(clCreateContext(NULL, 1, &fix->device, NULL, NULL, &call_err));
	cl_command_queue queue =
		MUST_MAKE(clCreateCommandQueue(context, fix->device, 0, &call_err));
	cl_mem buffer = MUST_MAKE(clCreateBuffer(context, CL_MEM_READ_WRITE, 64, NULL, &call_err));
	unsigned char data[64];

	pattern(data, sizeof(data), 3);
	check_code("release before its objects", clReleaseContext(context));
	check_code("write after release", clEnqueueWriteBuffer(queue, buffer, CL_TRUE, 0,
							       sizeof(data), data, 0, NULL, NULL));
	check_buffer_sum("read after release", queue, buffer, sizeof(data));
	check_code("release buffer", clReleaseMemObject(buffer));
	check_code("release queue", clReleaseCommandQueue(queue));
}

/* Who was called, in which order, one digit a call. */
static atomic_int called;

static void CL_CALLBACK destroyed(cl_context context, void *data)
{
	(void)context;
	atomic_store(&called, 10 * atomic_load(&called) + (int)(intptr_t)data);
}

/* A callback may come a moment later. */
static void called_check(const char *name, int wanted)
{
	const struct timespec moment = {0, 1000000};

	for (int i = 0; i < 5000 && atomic_load(&called) != wanted; i++)
		nanosleep(&moment, NULL);
	check_number(name, (unsigned)atomic_load(&called));
	atomic_store(&called, 0);
}

static void destructor_check(const struct fixture *fix)
{
	cl_context context =
		MUST_MAKE(clCreateContext(NULL, 1, &fix->device, NULL, NULL, &call_err));
	cl_command_queue queue;

	for (intptr_t i = 1; i <= 3; i++)
		check_code(named("destructor %d", (int)i),
			   clSetContextDestructorCallback(context, destroyed, (void *)i));
	wrong_code("destructor NULL", clSetContextDestructorCallback(context, NULL, NULL));
	wrong_code("destructor of NULL", clSetContextDestructorCallback(NULL, destroyed, NULL));
	MUST(clRetainContext(context));
	MUST(clReleaseContext(context));
	check_number("destructors of a context that is there", (unsigned)atomic_load(&called));
	MUST(clReleaseContext(context));
	called_check("destructors", 321);

	context = MUST_MAKE(clCreateContext(NULL, 1, &fix->device, NULL, NULL, &call_err));
	queue = MUST_MAKE(clCreateCommandQueue(context, fix->device, 0, &call_err));
	MUST(clSetContextDestructorCallback(context, destroyed, (void *)(intptr_t)4));
	MUST(clReleaseContext(context));
	check_number("destructor with a queue left", (unsigned)atomic_load(&called));
	MUST(clReleaseCommandQueue(queue));
	called_check("destructor after the queue", 4);
}

int main(void)
{
	struct fixture fix;

	transcript_begin("context");
	fixture_open(&fix);
	creation_check(&fix);
	creation_wrong(&fix);
	type_check(&fix);
	info_check(&fix);
	lifetime_check(&fix);
	destructor_check(&fix);
	fixture_close(&fix);
	return transcript_end();
}
