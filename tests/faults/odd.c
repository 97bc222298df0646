// SPDX-License-Identifier: MIT
/*
 * A guest program for runtimes that behave oddly: what the stub runtime can do, on its kernel "k".
 *
 * odd list              platforms and devices, each with what it says, or the error
 * odd work TIMES        everything once each time, from context to release: the first error of each
 * odd each              the same on each device, and on all of them in one context
 * odd args              what is known of the kernel's arguments
 * odd wild              a number for a buffer
 * odd suggest           which sizes of work-groups the runtime would choose
 * odd fill              on each device, buffers of 1 MiB until one is refused, 16 at most
 * odd events            a write, a kernel, a read, each waited for by its event
 * odd steady            for each line on stdin, write and read a buffer
 * odd touch             one migration of a buffer, by which the stub may be told to die
 *
 * ODD_PLATFORM is how the name of its platform begins; without, it is the first one.
 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLATFORMS_MAX 16u
#define DEVICES_MAX   128u
#define BUFFERS_MAX   16u
#define BYTES	      4096u
#define ARGS	      5u

static cl_device_id devices[DEVICES_MAX];
static cl_uint device_count;
static cl_platform_id platform_found;

struct work {
	cl_context context;
	cl_command_queue queue;
	cl_mem buffer, image;
	cl_sampler sampler;
	cl_program program;
	cl_kernel kernel;
	const char *call; /* the one that failed, or the last */
	cl_int code;
};

static void work_release(struct work *work)
{
	if (work->kernel)
		clReleaseKernel(work->kernel);
	if (work->program)
		clReleaseProgram(work->program);
	if (work->sampler)
		clReleaseSampler(work->sampler);
	if (work->image)
		clReleaseMemObject(work->image);
	if (work->buffer)
		clReleaseMemObject(work->buffer);
	if (work->queue)
		clReleaseCommandQueue(work->queue);
	if (work->context)
		clReleaseContext(work->context);
}

#define TRY(name, expression)                                                                      \
	do {                                                                                       \
		work->call = name;                                                                 \
		expression;                                                                        \
		if (work->code)                                                                    \
			return;                                                                    \
	} while (0)

static void memory_make(struct work *work, cl_uint count, const cl_device_id *on)
{
	static const cl_image_format format = {CL_RGBA, CL_UNORM_INT8};
	const cl_image_desc desc = {
		.image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = 16, .image_height = 16};

	TRY("clCreateContext",
	    work->context = clCreateContext(NULL, count, on, NULL, NULL, &work->code));
	TRY("clCreateCommandQueue",
	    work->queue = clCreateCommandQueue(work->context, on[count - 1], 0, &work->code));
	TRY("clCreateBuffer", work->buffer = clCreateBuffer(work->context, CL_MEM_READ_WRITE, BYTES,
							    NULL, &work->code));
	TRY("clCreateImage", work->image = clCreateImage(work->context, CL_MEM_READ_ONLY, &format,
							 &desc, NULL, &work->code));
	TRY("clCreateSampler",
	    work->sampler = clCreateSampler(work->context, CL_FALSE, CL_ADDRESS_NONE,
					    CL_FILTER_NEAREST, &work->code));
}

static void program_make(struct work *work)
{
	const char *source = "kernel void k(global int *a, int b, local int *c, "
			     "read_only image2d_t d, sampler_t e) { if (b < 0) a[0] = 0; }";
	const size_t length = strlen(source);

	TRY("clCreateProgramWithSource", work->program = clCreateProgramWithSource(
						 work->context, 1, &source, &length, &work->code));
	TRY("clBuildProgram",
	    work->code = clBuildProgram(work->program, 0, NULL, "-cl-kernel-arg-info", NULL, NULL));
	TRY("clCreateKernel", work->kernel = clCreateKernel(work->program, "k", &work->code));
}

static void arguments_set(struct work *work)
{
	const cl_int number = 1;

	TRY("clSetKernelArg",
	    work->code = clSetKernelArg(work->kernel, 0, sizeof(cl_mem), &work->buffer));
	TRY("clSetKernelArg", work->code = clSetKernelArg(work->kernel, 1, sizeof number, &number));
	TRY("clSetKernelArg", work->code = clSetKernelArg(work->kernel, 2, 64, NULL));
	TRY("clSetKernelArg",
	    work->code = clSetKernelArg(work->kernel, 3, sizeof(cl_mem), &work->image));
	TRY("clSetKernelArg",
	    work->code = clSetKernelArg(work->kernel, 4, sizeof(cl_sampler), &work->sampler));
}

/* Data goes there and comes back. */
static void data_pass(struct work *work, char fill)
{
	char out[BYTES], in[BYTES] = {0};

	memset(out, fill, sizeof out);
	TRY("clEnqueueWriteBuffer",
	    work->code = clEnqueueWriteBuffer(work->queue, work->buffer, CL_TRUE, 0, BYTES, out, 0,
					      NULL, NULL));
	TRY("clEnqueueReadBuffer",
	    work->code = clEnqueueReadBuffer(work->queue, work->buffer, CL_TRUE, 0, BYTES, in, 0,
					     NULL, NULL));
	TRY("contents", work->code = memcmp(out, in, BYTES) ? 1 : 0);
}

static void launch(struct work *work)
{
	const size_t items = 64;

	TRY("clEnqueueNDRangeKernel",
	    work->code = clEnqueueNDRangeKernel(work->queue, work->kernel, 1, NULL, &items, NULL, 0,
						NULL, NULL));
	TRY("clFinish", work->code = clFinish(work->queue));
}

static void work_run(cl_uint count, const cl_device_id *on, char fill)
{
	struct work work = {0};

	memory_make(&work, count, on);
	if (!work.code)
		program_make(&work);
	if (!work.code)
		arguments_set(&work);
	if (!work.code)
		launch(&work);
	if (!work.code)
		data_pass(&work, fill);
	work_release(&work);
	say("worked %d %s", work.code, work.call);
}

/* What arguments don't take, each beside what they do. */
static void arguments_refused(const struct work *work)
{
	const cl_ulong wild = 0x123456789abcull;
	cl_mem none = NULL;

	say("buffer %d", clSetKernelArg(work->kernel, 0, 3, &wild));
	say("none %d", clSetKernelArg(work->kernel, 0, sizeof none, &none));
	say("null %d", clSetKernelArg(work->kernel, 0, sizeof none, NULL));
	say("value %d", clSetKernelArg(work->kernel, 1, sizeof wild, &wild));
	say("value %d", clSetKernelArg(work->kernel, 1, 0, &wild));
	say("local %d", clSetKernelArg(work->kernel, 2, 0, NULL));
	say("index %d", clSetKernelArg(work->kernel, ARGS, 4, &wild));
}

static int mode_args(void)
{
	struct work work = {0};
	cl_uint address;
	char name[64];

	memory_make(&work, 1, devices);
	program_make(&work);
	must(work.call, work.code);
	for (cl_uint i = 0; i < ARGS; i++) {
		*name = '\0';
		say("name %d", clGetKernelArgInfo(work.kernel, i, CL_KERNEL_ARG_NAME, sizeof name,
						  name, NULL));
		say("address %d",
		    clGetKernelArgInfo(work.kernel, i, CL_KERNEL_ARG_ADDRESS_QUALIFIER,
				       sizeof address, &address, NULL));
		say("is %s", name);
	}
	arguments_refused(&work);
	arguments_set(&work);
	launch(&work);
	say("launched %d", work.code);
	work_release(&work);
	work_run(1, devices, 1);
	return EXIT_SUCCESS;
}

/* A number where a buffer belongs. */
static int mode_wild(void)
{
	const cl_ulong wild = 0x123456789abcull;
	const size_t items = 64;
	struct work work = {0};
	cl_int code;

	memory_make(&work, 1, devices);
	program_make(&work);
	arguments_set(&work);
	must(work.call, work.code);
	code = clSetKernelArg(work.kernel, 0, sizeof wild, &wild);
	if (!code)
		code = clEnqueueNDRangeKernel(work.queue, work.kernel, 1, NULL, &items, NULL, 0,
					      NULL, NULL);
	if (!code)
		code = clFinish(work.queue);
	say("returned %d", code);
	arguments_set(&work);
	launch(&work);
	say("worked %d %s", work.code, work.call);
	work_release(&work);
	return EXIT_SUCCESS;
}

typedef cl_int(CL_API_CALL *suggest_fn)(cl_command_queue queue, cl_kernel kernel, cl_uint dims,
					const size_t *offset, const size_t *global,
					size_t *suggested);

static void suggestion_say(suggest_fn suggest, const struct work *work, cl_uint dims,
			   const size_t *offset, const size_t *global)
{
	size_t sizes[3] = {0};
	cl_int code = suggest(work->queue, work->kernel, dims, offset, global, sizes);

	say("suggested %d %zu %zu %zu", code, sizes[0], sizes[1], sizes[2]);
}

static void suggestions_refused(suggest_fn suggest, const struct work *work)
{
	static const size_t global[3] = {64, 12, 7}, empty[3] = {64, 0, 7};
	size_t sizes[3];

	say("no dimension %d", suggest(work->queue, work->kernel, 0, NULL, global, sizes));
	say("empty %d", suggest(work->queue, work->kernel, 3, NULL, empty, sizes));
	say("nowhere %d", suggest(work->queue, work->kernel, 1, NULL, global, NULL));
	say("no queue %d", suggest(NULL, work->kernel, 1, NULL, global, sizes));
	say("no kernel %d", suggest(work->queue, NULL, 1, NULL, global, sizes));
}

/* What depends on the kernel's arguments, before and after launches of it. */
static int mode_suggest(void)
{
	static const size_t global[3] = {64, 12, 7}, offset[3] = {8, 0, 1};
	const cl_int number = 5;
	struct work work = {0};
	suggest_fn suggest;

	memory_make(&work, 1, devices);
	program_make(&work);
	must(work.call, work.code);
	suggest = (suggest_fn)clGetExtensionFunctionAddressForPlatform(
		platform_found, "clGetKernelSuggestedLocalWorkSizeKHR");
	must("clGetExtensionFunctionAddressForPlatform", suggest ? 0 : -1);
	suggestion_say(suggest, &work, 1, NULL, global);
	arguments_set(&work);
	suggestion_say(suggest, &work, 3, NULL, global);
	launch(&work);
	must("clSetKernelArg", clSetKernelArg(work.kernel, 1, sizeof number, &number));
	suggestion_say(suggest, &work, 2, offset, global);
	launch(&work);
	suggestion_say(suggest, &work, 1, offset, global);
	suggestions_refused(suggest, &work);
	work_release(&work);
	return EXIT_SUCCESS;
}

/* Return: how many buffers of 1 MiB the device has room for. */
static unsigned fill(cl_device_id device)
{
	cl_mem buffers[BUFFERS_MAX];
	unsigned count = 0;
	cl_command_queue queue;
	cl_context context;
	cl_int code;

	context = clCreateContext(NULL, 1, &device, NULL, NULL, &code);
	must("clCreateContext", code);
	queue = clCreateCommandQueue(context, device, 0, &code);
	must("clCreateCommandQueue", code);
	while (!code && count < BUFFERS_MAX) {
		buffers[count] = clCreateBuffer(context, CL_MEM_READ_WRITE, 1u << 20, NULL, &code);
		if (code)
			break;
		code = clEnqueueMigrateMemObjects(queue, 1, &buffers[count++], 0, 0, NULL, NULL);
		if (!code)
			code = clFinish(queue);
	}
	for (unsigned i = 0; i < count; i++)
		clReleaseMemObject(buffers[i]);
	count -= code != CL_SUCCESS;
	clReleaseCommandQueue(queue);
	clReleaseContext(context);
	return count;
}

static int mode_fill(void)
{
	for (cl_uint i = 0; i < device_count; i++)
		say("filled %u", fill(devices[i]));
	return EXIT_SUCCESS;
}

static void event_wait(struct work *work, const char *call, cl_event event)
{
	cl_int status = CL_QUEUED;
	cl_ulong end = 0;

	work->call = call;
	work->code = clWaitForEvents(1, &event);
	must("clGetEventInfo", clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS,
					      sizeof status, &status, NULL));
	say("%s %d %d", call, work->code, status);
	clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof end, &end, NULL);
	say("ended %llu", (unsigned long long)end);
	clReleaseEvent(event);
}

static int mode_events(void)
{
	const size_t items = 64;
	struct work work = {0};
	char data[BYTES] = {1};
	cl_event event = NULL;

	memory_make(&work, 1, devices);
	program_make(&work);
	arguments_set(&work);
	must(work.call, work.code);
	clReleaseCommandQueue(work.queue);
	work.queue = clCreateCommandQueue(work.context, devices[0], CL_QUEUE_PROFILING_ENABLE,
					  &work.code);
	must("clEnqueueWriteBuffer", clEnqueueWriteBuffer(work.queue, work.buffer, CL_FALSE, 0,
							  BYTES, data, 0, NULL, &event));
	event_wait(&work, "written", event);
	must("clEnqueueNDRangeKernel", clEnqueueNDRangeKernel(work.queue, work.kernel, 1, NULL,
							      &items, NULL, 0, NULL, &event));
	event_wait(&work, "launched", event);
	must("clEnqueueReadBuffer", clEnqueueReadBuffer(work.queue, work.buffer, CL_FALSE, 0, BYTES,
							data, 0, NULL, &event));
	event_wait(&work, "read", event);
	work_release(&work);
	return EXIT_SUCCESS;
}

static int mode_steady(void)
{
	struct work work = {0};
	char line[64];

	memory_make(&work, 1, devices);
	must(work.call, work.code);
	say("prepared");
	while (fgets(line, sizeof line, stdin)) {
		data_pass(&work, line[0]);
		say("worked %d", work.code);
	}
	work_release(&work);
	return EXIT_SUCCESS;
}

static int mode_touch(void)
{
	struct work work = {0};

	memory_make(&work, 1, devices);
	must(work.call, work.code);
	say("entering");
	clEnqueueMigrateMemObjects(work.queue, 1, &work.buffer, 0, 0, NULL, NULL);
	say("returned clFinish %d", clFinish(work.queue));
	/* A thread of the runtime's may yet have to come to it. */
	while (!work.code)
		data_pass(&work, 1);
	say("later %s %d", work.call, work.code);
	work_release(&work);
	say("ends");
	return EXIT_SUCCESS;
}

static void device_say(cl_device_id device)
{
	char name[64] = "";
	cl_int code = clGetDeviceInfo(device, CL_DEVICE_NAME, sizeof name, name, NULL);

	say("device %d %s", code, name);
}

/* Finds the devices of the platform whose name begins so. */
static bool devices_find(const char *start)
{
	cl_platform_id platforms[PLATFORMS_MAX];
	cl_uint count = 0;
	char name[64];

	if (clGetPlatformIDs(PLATFORMS_MAX, platforms, &count))
		return false;
	for (cl_uint i = 0; i < count && i < PLATFORMS_MAX; i++) {
		*name = '\0';
		clGetPlatformInfo(platforms[i], CL_PLATFORM_NAME, sizeof name, name, NULL);
		platform_found = platforms[i];
		if (strncmp(name, start, strlen(start)) == 0)
			return clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, DEVICES_MAX,
					      devices, &device_count) == CL_SUCCESS;
	}
	return false;
}

static int mode_list(void)
{
	cl_platform_id platforms[PLATFORMS_MAX];
	cl_uint count = 0;
	cl_int code = clGetPlatformIDs(PLATFORMS_MAX, platforms, &count);

	say("platforms %d %u", code, count);
	for (cl_uint i = 0; i < count && i < PLATFORMS_MAX; i++) {
		char name[64] = "";

		clGetPlatformInfo(platforms[i], CL_PLATFORM_NAME, sizeof name, name, NULL);
		device_count = 0;
		code = clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, DEVICES_MAX, devices,
				      &device_count);
		say("platform %s", name);
		say("devices %d %u", code, device_count);
		for (cl_uint j = 0; j < device_count; j++)
			device_say(devices[j]);
	}
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	const char *platform = getenv("ODD_PLATFORM");

	if (strcmp(mode, "list") == 0)
		return mode_list();
	if (!devices_find(platform ? platform : ""))
		return 2;
	if (strcmp(mode, "args") == 0)
		return mode_args();
	if (strcmp(mode, "wild") == 0)
		return mode_wild();
	if (strcmp(mode, "suggest") == 0)
		return mode_suggest();
	if (strcmp(mode, "events") == 0)
		return mode_events();
	if (strcmp(mode, "fill") == 0)
		return mode_fill();
	if (strcmp(mode, "steady") == 0)
		return mode_steady();
	if (strcmp(mode, "touch") == 0)
		return mode_touch();
	if (strcmp(mode, "work") == 0)
		for (int i = 0; i < atoi(argv[2]); i++)
			work_run(1, devices, (char)i);
	else
		for (cl_uint i = 0; i < device_count; i++)
			work_run(1, &devices[i], (char)i);
	if (strcmp(mode, "each") == 0)
		work_run(device_count, devices, 1);
	return EXIT_SUCCESS;
}
