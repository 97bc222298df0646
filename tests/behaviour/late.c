/* SPDX-License-Identifier: MIT */
/*
 * Failures that come after the call that asked for the work: a user event that fails poisons what
 * waits for it.
 */
#include "harness.h"

#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>

#define SIZE  1024
#define STEPS 4

static cl_int status_of(cl_event event)
{
	cl_int status = CL_QUEUED;

	MUST(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status,
			    NULL));
	return status;
}

/* Waits at most five seconds for an event to come to an end, good or bad. */
static cl_int settled(cl_event event)
{
	const struct timespec nap = {.tv_nsec = 1000000};

	for (int i = 0; i < 5000 && status_of(event) > CL_COMPLETE; i++)
		nanosleep(&nap, NULL);
	return status_of(event);
}

static void user_check(const struct fixture *fix)
{
	static const cl_int codes[] = {-1, -5, -9999};

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		cl_event event = MUST_MAKE(clCreateUserEvent(fix->context, &call_err));

		check_code(named("fail with %d", codes[i]), clSetUserEventStatus(event, codes[i]));
		check_number(named("failed with %d", codes[i]), (unsigned)-status_of(event));
		check_code(named("wait for one that failed with %d", codes[i]),
			   clWaitForEvents(1, &event));
		wrong_code(named("complete one that failed with %d", codes[i]),
			   clSetUserEventStatus(event, CL_COMPLETE));
		MUST(clReleaseEvent(event));
	}
}

/* A chain over two queues behind a gate that fails: no link of it runs. */
static void chain_check(const struct fixture *fix, const char *name,
			cl_command_queue_properties properties)
{
	cl_command_queue queues[2];
	cl_mem buffer = buffer_patterned(fix, SIZE, 1);
	cl_event gate = MUST_MAKE(clCreateUserEvent(fix->context, &call_err));
	cl_event steps[STEPS];

	for (size_t i = 0; i < 2; i++)
		queues[i] = MUST_MAKE(
			clCreateCommandQueue(fix->context, fix->device, properties, &call_err));
	for (size_t i = 0; i < STEPS; i++)
		MUST(clEnqueueFillBuffer(queues[i % 2], buffer, "abcd", 1 << (i / 2), 0, SIZE, 1,
					 i ? &steps[i - 1] : &gate, &steps[i]));
	for (size_t i = 0; i < 2; i++)
		MUST(clFlush(queues[i]));
	check_code(named("%s fail the gate", name), clSetUserEventStatus(gate, -7));
	for (size_t i = 0; i < STEPS; i++)
		check_status(named("%s step %zu", name, i), settled(steps[i]));
	check_code(named("%s wait for the last", name), clWaitForEvents(1, &steps[STEPS - 1]));
	for (size_t i = 0; i < 2; i++)
		check_code(named("%s finish queue %zu", name, i), clFinish(queues[i]));
	check_buffer_sum(named("%s buffer is untouched", name), fix->queue, buffer, SIZE);
	for (size_t i = 0; i < STEPS; i++)
		MUST(clReleaseEvent(steps[i]));
	MUST(clReleaseEvent(gate));
	MUST(clReleaseMemObject(buffer));
	for (size_t i = 0; i < 2; i++)
		MUST(clReleaseCommandQueue(queues[i]));
}

/* Many at once: every kind of command that may wait. */
static void fan_check(const struct fixture *fix)
{
	cl_command_queue queue = MUST_MAKE(clCreateCommandQueue(
		fix->context, fix->device, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &call_err));
	cl_mem from = buffer_patterned(fix, SIZE, 2);
	cl_mem to = buffer_patterned(fix, SIZE, 3);
	cl_event gate = MUST_MAKE(clCreateUserEvent(fix->context, &call_err));
	static unsigned char data[SIZE];
	static const char *const names[] = {"read", "write", "copy", "migrate", "marker"};
	cl_event events[5];

	pattern(data, SIZE, 4);
	MUST(clEnqueueReadBuffer(queue, from, CL_FALSE, 0, SIZE / 2, data, 1, &gate, &events[0]));
	MUST(clEnqueueWriteBuffer(queue, to, CL_FALSE, 0, SIZE / 2, data, 1, &gate, &events[1]));
	MUST(clEnqueueCopyBuffer(queue, from, to, 0, 0, SIZE, 1, &gate, &events[2]));
	MUST(clEnqueueMigrateMemObjects(queue, 1, &to, 0, 1, &gate, &events[3]));
	MUST(clEnqueueMarkerWithWaitList(queue, 1, &gate, &events[4]));
	MUST(clFlush(queue));
	MUST(clSetUserEventStatus(gate, -3));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		check_status(named("fan %s", names[i]), settled(events[i]));
		MUST(clReleaseEvent(events[i]));
	}
	check_code("fan finish", clFinish(queue));
	check_sum("fan host memory is untouched", data, SIZE);
	check_buffer_sum("fan buffer is untouched", fix->queue, to, SIZE);
	MUST(clReleaseEvent(gate));
	MUST(clReleaseMemObject(from));
	MUST(clReleaseMemObject(to));
	MUST(clReleaseCommandQueue(queue));
}

struct notice {
	sem_t told;
	cl_int status;
};

static void CL_CALLBACK noticed(cl_event event, cl_int status, void *data)
{
	struct notice *notice = data;

	(void)event;
	notice->status = status;
	sem_post(&notice->told);
}

/* A callback that waits for completion is told of the failure. */
static void callback_check(const struct fixture *fix)
{
	cl_mem buffer = buffer_patterned(fix, SIZE, 5);
	cl_event gate = MUST_MAKE(clCreateUserEvent(fix->context, &call_err));
	struct notice notices[2];
	struct timespec until;
	cl_event done;

	sem_init(&notices[0].told, 0, 0);
	sem_init(&notices[1].told, 0, 0);
	MUST(clEnqueueFillBuffer(fix->queue, buffer, "a", 1, 0, SIZE, 1, &gate, &done));
	MUST(clFlush(fix->queue));
	MUST(clSetEventCallback(gate, CL_COMPLETE, noticed, &notices[0]));
	MUST(clSetEventCallback(done, CL_COMPLETE, noticed, &notices[1]));
	MUST(clSetUserEventStatus(gate, -11));
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 1;
	for (size_t i = 0; i < 2; i++) {
		const char *name = i ? "command" : "user event";
		bool came = sem_timedwait(&notices[i].told, &until) == 0;

		check_text(named("callback of a failed %s", name),
			   came ? status_name(notices[i].status) : "none came");
	}
	check_status("status beside the callback", settled(done));
	MUST(clReleaseEvent(done));
	MUST(clReleaseEvent(gate));
	MUST(clReleaseMemObject(buffer));
}

static void *gate_fail(void *gate)
{
	const struct timespec nap = {.tv_nsec = 50000000};

	nanosleep(&nap, NULL);
	clSetUserEventStatus(gate, -2);
	return NULL;
}

/*
 * A call that blocks on an event that fails says so, and copies nothing. The event fails while the
 * call waits: PoCL waits for ever for one that had failed before.
 */
static void blocking_check(const struct fixture *fix, bool read)
{
	const char *name = read ? "read" : "write";
	cl_mem buffer = buffer_patterned(fix, SIZE, 6);
	cl_event gate = MUST_MAKE(clCreateUserEvent(fix->context, &call_err));
	unsigned char data[SIZE] = {0};
	pthread_t thread;

	pthread_create(&thread, NULL, gate_fail, gate);
	if (read)
		check_code("blocking read behind a failure",
			   clEnqueueReadBuffer(fix->queue, buffer, CL_TRUE, 0, SIZE, data, 1, &gate,
					       NULL));
	else
		check_code("blocking write behind a failure",
			   clEnqueueWriteBuffer(fix->queue, buffer, CL_TRUE, 0, SIZE, data, 1,
						&gate, NULL));
	pthread_join(thread, NULL);
	check_sum(named("blocking %s data", name), data, SIZE);
	check_buffer_sum(named("blocking %s buffer", name), fix->queue, buffer, SIZE);
	MUST(clReleaseEvent(gate));
	MUST(clReleaseMemObject(buffer));
}

/* The queue, the context and everything else go on after a failure. */
static void after_check(const struct fixture *fix)
{
	cl_mem buffer = buffer_patterned(fix, SIZE, 7);
	cl_event done;

	check_code("fill after failures",
		   clEnqueueFillBuffer(fix->queue, buffer, "z", 1, 0, SIZE, 0, NULL, &done));
	check_code("wait after failures", clWaitForEvents(1, &done));
	check_code("finish after failures", clFinish(fix->queue));
	check_buffer_sum("content after failures", fix->queue, buffer, SIZE);
	MUST(clReleaseEvent(done));
	MUST(clReleaseMemObject(buffer));
}

int main(void)
{
	struct fixture fix;

	transcript_begin("late");
	fixture_open(&fix);
	user_check(&fix);
	chain_check(&fix, "in order", 0);
	chain_check(&fix, "out of order", CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
	fan_check(&fix);
	callback_check(&fix);
	blocking_check(&fix, true);
	blocking_check(&fix, false);
	after_check(&fix);
	fixture_close(&fix);
	return transcript_end();
}
