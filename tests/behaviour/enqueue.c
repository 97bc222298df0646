/* SPDX-License-Identifier: MIT */
/*
 * What all calls that enqueue a command have in common: the queue, the wait list, the event.
 *
 * Each command stands once in a table; its own arguments are right in every call made here.
 */
#include "harness.h"

#include <string.h>

INFO_QUERY(clGetEventInfo, cl_event)

#define SIZE 1024

/* The objects that the commands work on, and the wait list and event of the call in hand. */
struct stage {
	struct fixture fix;
	cl_mem from;
	cl_mem to;
	cl_mem image;
	cl_mem second_image;
	cl_kernel kernel;
	cl_command_queue queue;
	cl_uint waits;
	const cl_event *list;
	cl_event *event;
	unsigned char host[SIZE];
};

#define TAIL s->waits, s->list, s->event

static const size_t zero[3];
static const size_t region[3] = {8, 8, 1};

static cl_int read_buffer(struct stage *s)
{
	return clEnqueueReadBuffer(s->queue, s->from, CL_FALSE, 0, SIZE, s->host, TAIL);
}

static cl_int write_buffer(struct stage *s)
{
	return clEnqueueWriteBuffer(s->queue, s->to, CL_FALSE, 0, SIZE, s->host, TAIL);
}

static cl_int read_buffer_blocking(struct stage *s)
{
	return clEnqueueReadBuffer(s->queue, s->from, CL_TRUE, 0, SIZE, s->host, TAIL);
}

static cl_int write_buffer_blocking(struct stage *s)
{
	return clEnqueueWriteBuffer(s->queue, s->to, CL_TRUE, 0, SIZE, s->host, TAIL);
}

static cl_int copy_buffer(struct stage *s)
{
	return clEnqueueCopyBuffer(s->queue, s->from, s->to, 0, 0, SIZE, TAIL);
}

static cl_int fill_buffer(struct stage *s)
{
	return clEnqueueFillBuffer(s->queue, s->to, "abcd", 4, 0, SIZE, TAIL);
}

static cl_int read_buffer_rect(struct stage *s)
{
	return clEnqueueReadBufferRect(s->queue, s->from, CL_FALSE, zero, zero, region, 0, 0, 0, 0,
				       s->host, TAIL);
}

static cl_int write_buffer_rect(struct stage *s)
{
	return clEnqueueWriteBufferRect(s->queue, s->to, CL_FALSE, zero, zero, region, 0, 0, 0, 0,
					s->host, TAIL);
}

static cl_int copy_buffer_rect(struct stage *s)
{
	return clEnqueueCopyBufferRect(s->queue, s->from, s->to, zero, zero, region, 0, 0, 0, 0,
				       TAIL);
}

static cl_int map_buffer(struct stage *s)
{
	void *mapped = clEnqueueMapBuffer(s->queue, s->from, CL_FALSE, CL_MAP_READ, 0, SIZE, TAIL,
					  &call_err);

	if (call_err == CL_SUCCESS)
		MUST(clEnqueueUnmapMemObject(s->queue, s->from, mapped, 0, NULL, NULL));
	return call_err;
}

static cl_int unmap_buffer(struct stage *s)
{
	void *mapped = MUST_MAKE(clEnqueueMapBuffer(s->fix.queue, s->from, CL_TRUE, CL_MAP_READ, 0,
						    SIZE, 0, NULL, NULL, &call_err));
	cl_int code = clEnqueueUnmapMemObject(s->queue, s->from, mapped, TAIL);

	if (code != CL_SUCCESS)
		MUST(clEnqueueUnmapMemObject(s->fix.queue, s->from, mapped, 0, NULL, NULL));
	return code;
}

static cl_int read_image(struct stage *s)
{
	return clEnqueueReadImage(s->queue, s->image, CL_FALSE, zero, region, 0, 0, s->host, TAIL);
}

static cl_int write_image(struct stage *s)
{
	return clEnqueueWriteImage(s->queue, s->image, CL_FALSE, zero, region, 0, 0, s->host, TAIL);
}

static cl_int copy_image(struct stage *s)
{
	return clEnqueueCopyImage(s->queue, s->image, s->second_image, zero, zero, region, TAIL);
}

static cl_int fill_image(struct stage *s)
{
	static const cl_float color[4] = {0, 0.5F, 1, 0};

	return clEnqueueFillImage(s->queue, s->image, color, zero, region, TAIL);
}

static cl_int copy_image_to_buffer(struct stage *s)
{
	return clEnqueueCopyImageToBuffer(s->queue, s->image, s->to, zero, region, 0, TAIL);
}

static cl_int copy_buffer_to_image(struct stage *s)
{
	return clEnqueueCopyBufferToImage(s->queue, s->from, s->image, 0, zero, region, TAIL);
}

static cl_int map_image(struct stage *s)
{
	size_t pitch;
	void *mapped = clEnqueueMapImage(s->queue, s->image, CL_FALSE, CL_MAP_READ, zero, region,
					 &pitch, NULL, TAIL, &call_err);

	if (call_err == CL_SUCCESS)
		MUST(clEnqueueUnmapMemObject(s->queue, s->image, mapped, 0, NULL, NULL));
	return call_err;
}

static cl_int migrate(struct stage *s)
{
	return clEnqueueMigrateMemObjects(s->queue, 1, &s->from, 0, TAIL);
}

static cl_int nd_range(struct stage *s)
{
	const size_t global = SIZE / sizeof(cl_int);

	return clEnqueueNDRangeKernel(s->queue, s->kernel, 1, NULL, &global, NULL, TAIL);
}

static cl_int task(struct stage *s)
{
	return clEnqueueTask(s->queue, s->kernel, TAIL);
}

static cl_int marker(struct stage *s)
{
	return clEnqueueMarkerWithWaitList(s->queue, TAIL);
}

static cl_int barrier(struct stage *s)
{
	return clEnqueueBarrierWithWaitList(s->queue, TAIL);
}

static const struct command {
	const char *name;
	cl_int (*enqueue)(struct stage *stage);
	/* A marker and a barrier fit a queue of any context. */
	bool any_context;
	/* PoCL follows the wait list before it looks whether there is one. */
	bool list_unchecked;
} commands[] = {
	{"read", read_buffer, false, false},
	{"write", write_buffer, false, false},
	{"blocking read", read_buffer_blocking, false, false},
	{"blocking write", write_buffer_blocking, false, false},
	{"copy", copy_buffer, false, false},
	{"fill", fill_buffer, false, false},
	{"read rect", read_buffer_rect, false, false},
	{"write rect", write_buffer_rect, false, false},
	{"copy rect", copy_buffer_rect, false, false},
	{"map", map_buffer, false, false},
	{"unmap", unmap_buffer, false, false},
	{"read image", read_image, false, false},
	{"write image", write_image, false, false},
	{"copy image", copy_image, false, false},
	{"fill image", fill_image, false, false},
	{"copy image to buffer", copy_image_to_buffer, false, false},
	{"copy buffer to image", copy_buffer_to_image, false, false},
	{"map image", map_image, false, false},
	{"migrate", migrate, false, false},
	{"nd range", nd_range, false, true},
	{"task", task, false, true},
	{"marker", marker, true, false},
	{"barrier", barrier, true, false},
};

static void stage_open(struct stage *s)
{
	static const cl_image_format format = {CL_RGBA, CL_UNORM_INT8};
	static const cl_image_desc desc = {
		.image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = 8, .image_height = 8};
	cl_context context;
	cl_program program;

	memset(s, 0, sizeof(*s));
	fixture_open(&s->fix);
	context = s->fix.context;
	s->from = buffer_patterned(&s->fix, SIZE, 1);
	s->to = buffer_patterned(&s->fix, SIZE, 2);
	s->image = MUST_MAKE(clCreateImage(context, 0, &format, &desc, NULL, &call_err));
	s->second_image = MUST_MAKE(clCreateImage(context, 0, &format, &desc, NULL, &call_err));
	program = program_built(&s->fix,
				"kernel void count(global int *a) { a[get_global_id(0)]++; }", "");
	s->kernel = kernel_made(program, "count");
	MUST(clSetKernelArg(s->kernel, 0, sizeof(s->to), &s->to));
	MUST(clReleaseProgram(program));
}

static void stage_close(struct stage *s)
{
	MUST(clReleaseKernel(s->kernel));
	MUST(clReleaseMemObject(s->from));
	MUST(clReleaseMemObject(s->to));
	MUST(clReleaseMemObject(s->image));
	MUST(clReleaseMemObject(s->second_image));
	fixture_close(&s->fix);
}

/* Makes the call with these; returns its code. The stage is left with no list and no event. */
static cl_int enqueue(struct stage *s, const struct command *command, cl_command_queue queue,
		      cl_uint waits, const cl_event *list, cl_event *event)
{
	cl_int code;

	s->queue = queue;
	s->waits = waits;
	s->list = list;
	s->event = event;
	code = command->enqueue(s);
	s->waits = 0;
	s->list = NULL;
	s->event = NULL;
	return code;
}

static void event_check(struct stage *s, const struct command *command)
{
	const struct info infos[] = {
		INFO_IS(CL_EVENT_COMMAND_QUEUE, s->fix.queue),
		INFO_IS(CL_EVENT_CONTEXT, s->fix.context),
		INFO(CL_EVENT_COMMAND_TYPE, INFO_BITS),
	};
	cl_event gate = MUST_MAKE(clCreateUserEvent(s->fix.context, &call_err));
	cl_event done = NULL;
	cl_int status = CL_QUEUED;

	pattern(s->host, SIZE, 3);
	MUST(clEnqueueWriteBuffer(s->fix.queue, s->to, CL_TRUE, 0, SIZE, s->host, 0, NULL, NULL));
	/* The blocking calls would wait for the gate for ever. */
	MUST(clSetUserEventStatus(gate, CL_COMPLETE));
	check_code(named("%s", command->name), enqueue(s, command, s->fix.queue, 1, &gate, &done));
	check_infos(command->name, query_clGetEventInfo, done, infos, ARRAY_SIZE(infos));
	check_code(named("%s wait", command->name), clWaitForEvents(1, &done));
	MUST(clGetEventInfo(done, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status,
			    NULL));
	check_status(named("%s status", command->name), status);
	check_buffer_sum(named("%s content", command->name), s->fix.queue, s->to, SIZE);
	MUST(clReleaseEvent(done));
	MUST(clReleaseEvent(gate));
	MUST(clFinish(s->fix.queue));
}

static void command_wrong(struct stage *s, const struct command *command, cl_event stranger)
{
	const cl_event with_null[] = {NULL};
	cl_command_queue queue = s->fix.queue;
	cl_event event = NULL;
	const char *name = command->name;

	wrong_code(named("%s, queue NULL", name), enqueue(s, command, NULL, 0, NULL, &event));
	if (!command->any_context)
		wrong_code(named("%s, queue of another context", name),
			   enqueue(s, command, s->fix.other_queue, 0, NULL, &event));
	if (!command->list_unchecked)
		wrong_code(named("%s, list NULL of 1", name),
			   enqueue(s, command, queue, 1, NULL, &event));
	wrong_code(named("%s, list of 0", name), enqueue(s, command, queue, 0, &stranger, &event));
	wrong_code(named("%s, NULL in the list", name),
		   enqueue(s, command, queue, 1, with_null, &event));
	wrong_code(named("%s, event of another context", name),
		   enqueue(s, command, queue, 1, &stranger, &event));
	check_yes(named("%s, event in spite of an error", name), event != NULL);
	if (event)
		MUST(clReleaseEvent(event));
	MUST(clFinish(queue));
}

int main(void)
{
	struct stage stage;
	cl_event stranger;

	transcript_begin("enqueue");
	stage_open(&stage);
	stranger = MUST_MAKE(clCreateUserEvent(stage.fix.other, &call_err));
	MUST(clSetUserEventStatus(stranger, CL_COMPLETE));
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		event_check(&stage, &commands[i]);
		command_wrong(&stage, &commands[i], stranger);
	}
	MUST(clReleaseEvent(stranger));
	stage_close(&stage);
	return transcript_end();
}
