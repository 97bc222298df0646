/* SPDX-License-Identifier: MIT */
/*
 * Many objects at once: contexts, queues, buffers, events, kernels, samplers, programs.
 */
#include "harness.h"

#include <string.h>

enum {
	CONTEXTS = 100,
	QUEUES = 200,
	BUFFERS = 1000,
	EVENTS = 10000,
	USER_EVENTS = 1000,
	KERNELS = 1000,
	SAMPLERS = 1000,
	PROGRAMS = 1000,
	SIZE = 4096,
};

static const char source[] =
	"kernel void set(global uint *a, uint at, uint value) { a[at] = value; }\n"
	"kernel void add(global uint *a, uint at, uint value) { a[at] += value; }\n";

static void contexts_check(const struct fixture *fix)
{
	static cl_context contexts[CONTEXTS];
	static cl_command_queue queues[CONTEXTS];
	static cl_mem buffers[CONTEXTS];
	cl_uint total = 0;

	for (cl_uint i = 0; i < CONTEXTS; i++) {
		contexts[i] =
			MUST_MAKE(clCreateContext(NULL, 1, &fix->device, NULL, NULL, &call_err));
		queues[i] = MUST_MAKE(clCreateCommandQueue(contexts[i], fix->device, 0, &call_err));
		buffers[i] = MUST_MAKE(clCreateBuffer(contexts[i], 0, SIZE, NULL, &call_err));
	}
	for (cl_uint i = 0; i < CONTEXTS; i++)
		MUST(clEnqueueFillBuffer(queues[i], buffers[i], &i, sizeof(i), 0, SIZE, 0, NULL,
					 NULL));
	for (cl_uint i = 0; i < CONTEXTS; i++) {
		cl_uint answer = 0;

		MUST(clEnqueueReadBuffer(queues[i], buffers[i], CL_TRUE, SIZE - 4, 4, &answer, 0,
					 NULL, NULL));
		total += answer;
	}
	for (cl_uint i = 0; i < CONTEXTS; i++) {
		MUST(clReleaseMemObject(buffers[i]));
		MUST(clReleaseCommandQueue(queues[i]));
		MUST(clReleaseContext(contexts[i]));
	}
	check_number("contexts", total);
}

static void queues_check(const struct fixture *fix)
{
	static cl_command_queue queues[QUEUES];
	cl_mem buffer = buffer_patterned(fix, SIZE, 1);

	for (cl_uint i = 0; i < QUEUES; i++)
		queues[i] =
			MUST_MAKE(clCreateCommandQueue(fix->context, fix->device, 0, &call_err));
	for (cl_uint i = 0; i < QUEUES; i++)
		MUST(clEnqueueFillBuffer(queues[i], buffer, &i, sizeof(i), i * sizeof(i), sizeof(i),
					 0, NULL, NULL));
	for (cl_uint i = 0; i < QUEUES; i++) {
		MUST(clFinish(queues[i]));
		MUST(clReleaseCommandQueue(queues[i]));
	}
	check_buffer_sum("queues", fix->queue, buffer, SIZE);
	MUST(clReleaseMemObject(buffer));
}

static void buffers_check(const struct fixture *fix)
{
	static cl_mem buffers[BUFFERS];
	static unsigned char data[BUFFERS * 16];

	for (unsigned i = 0; i < BUFFERS; i++)
		buffers[i] = buffer_patterned(fix, SIZE + i, i);
	for (unsigned i = 0; i < BUFFERS; i++)
		MUST(clEnqueueReadBuffer(fix->queue, buffers[i], CL_FALSE, SIZE - 16 + i,
					 i ? 1 : 16, data + (size_t)16 * i, 0, NULL, NULL));
	MUST(clFinish(fix->queue));
	check_sum("buffers", data, sizeof(data));
	/* Every second one goes and comes back: indices and memory are used again. */
	for (unsigned i = 0; i < BUFFERS; i += 2) {
		MUST(clReleaseMemObject(buffers[i]));
		buffers[i] = buffer_patterned(fix, SIZE + i, i + 1);
	}
	for (unsigned i = 0; i < BUFFERS; i++)
		MUST(clEnqueueReadBuffer(fix->queue, buffers[i], CL_FALSE, SIZE - 16, 16,
					 data + (size_t)16 * i, 0, NULL, NULL));
	MUST(clFinish(fix->queue));
	check_sum("buffers used again", data, sizeof(data));
	for (unsigned i = 0; i < BUFFERS; i++)
		MUST(clReleaseMemObject(buffers[i]));
}

static unsigned complete(const cl_event *events, unsigned count)
{
	unsigned good = 0;

	for (unsigned i = 0; i < count; i++) {
		cl_int status = CL_QUEUED;

		MUST(clGetEventInfo(events[i], CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status),
				    &status, NULL));
		good += status == CL_COMPLETE;
	}
	return good;
}

static void events_check(const struct fixture *fix, const char *name, cl_command_queue queue)
{
	static cl_event events[EVENTS];
	cl_mem buffer = buffer_patterned(fix, EVENTS * sizeof(cl_uint), 2);

	for (cl_uint i = 0; i < EVENTS; i++)
		MUST(clEnqueueFillBuffer(queue, buffer, &i, sizeof(i), i * sizeof(i), sizeof(i), 0,
					 NULL, &events[i]));
	MUST(clWaitForEvents(1, &events[EVENTS - 1]));
	check_code(named("%s wait for all events", name), clWaitForEvents(EVENTS, events));
	check_number(named("%s complete events", name), complete(events, EVENTS));
	check_buffer_sum(named("%s content", name), fix->queue, buffer, EVENTS * sizeof(cl_uint));
	for (cl_uint i = 0; i < EVENTS; i++)
		MUST(clReleaseEvent(events[i]));
	MUST(clReleaseMemObject(buffer));
}

/* User events that are all pending at once, each with a command behind it. */
static void user_events_check(const struct fixture *fix)
{
	static cl_event gates[USER_EVENTS];
	static cl_event held[USER_EVENTS];
	cl_command_queue queue = MUST_MAKE(clCreateCommandQueue(
		fix->context, fix->device, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &call_err));
	cl_mem buffer = buffer_patterned(fix, USER_EVENTS * sizeof(cl_uint), 3);

	for (cl_uint i = 0; i < USER_EVENTS; i++) {
		gates[i] = MUST_MAKE(clCreateUserEvent(fix->context, &call_err));
		MUST(clEnqueueFillBuffer(queue, buffer, &i, sizeof(i), i * sizeof(i), sizeof(i), 1,
					 &gates[i], &held[i]));
	}
	MUST(clFlush(queue));
	check_number("commands that passed their user events", complete(held, USER_EVENTS));
	for (cl_uint i = USER_EVENTS; i-- > 0;)
		MUST(clSetUserEventStatus(gates[i], CL_COMPLETE));
	MUST(clFinish(queue));
	check_number("commands behind user events", complete(held, USER_EVENTS));
	check_buffer_sum("content behind user events", fix->queue, buffer,
			 USER_EVENTS * sizeof(cl_uint));
	for (cl_uint i = 0; i < USER_EVENTS; i++) {
		MUST(clReleaseEvent(gates[i]));
		MUST(clReleaseEvent(held[i]));
	}
	MUST(clReleaseMemObject(buffer));
	MUST(clReleaseCommandQueue(queue));
}

static void kernels_check(const struct fixture *fix)
{
	static cl_kernel kernels[KERNELS];
	cl_program program = program_built(fix, source, "");
	cl_mem buffer = MUST_MAKE(
		clCreateBuffer(fix->context, 0, KERNELS * sizeof(cl_uint), NULL, &call_err));
	const size_t one = 1;

	for (cl_uint i = 0; i < KERNELS; i++) {
		cl_uint value = i * 7 + 1;

		kernels[i] = kernel_made(program, i % 3 ? "set" : "add");
		MUST(clSetKernelArg(kernels[i], 0, sizeof(buffer), &buffer));
		MUST(clSetKernelArg(kernels[i], 1, sizeof(i), &i));
		MUST(clSetKernelArg(kernels[i], 2, sizeof(value), &value));
	}
	MUST(clReleaseProgram(program));
	MUST(clEnqueueFillBuffer(fix->queue, buffer, "\1\2\3\4", 4, 0, KERNELS * sizeof(cl_uint), 0,
				 NULL, NULL));
	for (int round = 0; round < 3; round++)
		for (cl_uint i = 0; i < KERNELS; i++)
			MUST(clEnqueueNDRangeKernel(fix->queue, kernels[i], 1, NULL, &one, &one, 0,
						    NULL, NULL));
	check_buffer_sum("kernels", fix->queue, buffer, KERNELS * sizeof(cl_uint));
	for (cl_uint i = 0; i < KERNELS; i++)
		MUST(clReleaseKernel(kernels[i]));
	MUST(clReleaseMemObject(buffer));
}

static void small_objects_check(const struct fixture *fix)
{
	static cl_sampler samplers[SAMPLERS];
	static cl_program programs[PROGRAMS];
	const char *text = source;

	for (unsigned i = 0; i < SAMPLERS; i++)
		samplers[i] = MUST_MAKE(clCreateSampler(fix->context, i % 2, CL_ADDRESS_NONE,
							CL_FILTER_NEAREST, &call_err));
	for (unsigned i = 0; i < SAMPLERS; i++)
		MUST(clReleaseSampler(samplers[i]));
	check_number("samplers", SAMPLERS);
	for (unsigned i = 0; i < PROGRAMS; i++)
		programs[i] = MUST_MAKE(
			clCreateProgramWithSource(fix->context, 1, &text, NULL, &call_err));
	for (unsigned i = 0; i < PROGRAMS; i++)
		MUST(clReleaseProgram(programs[i]));
	check_number("programs without a build", PROGRAMS);
}

/* The oldest object is as good as the newest after many came and went. */
static void old_object_check(const struct fixture *fix)
{
	cl_mem old = buffer_patterned(fix, SIZE, 4);

	for (unsigned i = 0; i < 20000; i++)
		MUST(clReleaseMemObject(
			MUST_MAKE(clCreateBuffer(fix->context, 0, 64, NULL, &call_err))));
	check_buffer_sum("old buffer", fix->queue, old, SIZE);
	MUST(clReleaseMemObject(old));
}

int main(void)
{
	struct fixture fix;
	cl_command_queue out_of_order;

	transcript_begin("many");
	fixture_open(&fix);
	contexts_check(&fix);
	queues_check(&fix);
	buffers_check(&fix);
	events_check(&fix, "in order", fix.queue);
	out_of_order = MUST_MAKE(clCreateCommandQueue(
		fix.context, fix.device, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &call_err));
	events_check(&fix, "out of order", out_of_order);
	MUST(clReleaseCommandQueue(out_of_order));
	user_events_check(&fix);
	kernels_check(&fix);
	small_objects_check(&fix);
	old_object_check(&fix);
	fixture_close(&fix);
	return transcript_end();
}
