/* SPDX-License-Identifier: MIT */
/*
 * Events: user events, waiting, wait lists across queues, callbacks, markers, barriers, profiling.
 */
#include "harness.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

INFO_QUERY(clGetEventInfo, cl_event)
INFO_QUERY(clGetEventProfilingInfo, cl_event)

#define SIZE 4096

static cl_int status_of(cl_event event)
{
	cl_int status = CL_QUEUED;

	MUST(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status,
			    NULL));
	return status;
}

static cl_event user_event(const struct fixture *fix)
{
	return MUST_MAKE(clCreateUserEvent(fix->context, &call_err));
}

static void user_check(const struct fixture *fix)
{
	const struct info infos[] = {
		INFO_IS(CL_EVENT_COMMAND_QUEUE, NULL),
		INFO_IS(CL_EVENT_CONTEXT, fix->context),
		INFO(CL_EVENT_COMMAND_TYPE, INFO_BITS),
		INFO(CL_EVENT_REFERENCE_COUNT, INFO_UINT),
	};
	cl_event event = user_event(fix);

	check_infos("user", query_clGetEventInfo, event, infos, ARRAY_SIZE(infos));
	check_status("user status", status_of(event));
	wrong_infos("event", query_clGetEventInfo, event, CL_EVENT_COMMAND_TYPE, true);
	wrong_code("user status CL_QUEUED", clSetUserEventStatus(event, CL_QUEUED));
	wrong_code("user status CL_SUBMITTED", clSetUserEventStatus(event, CL_SUBMITTED));
	wrong_code("user status CL_RUNNING", clSetUserEventStatus(event, CL_RUNNING));
	wrong_code("user status 77", clSetUserEventStatus(event, 77));
	check_status("user status after wrong ones", status_of(event));
	check_code("user status CL_COMPLETE", clSetUserEventStatus(event, CL_COMPLETE));
	check_status("user status then", status_of(event));
	wrong_code("user status a second time", clSetUserEventStatus(event, CL_COMPLETE));
	wrong_code("user status a second time, negative", clSetUserEventStatus(event, -1));
	check_code("user wait", clWaitForEvents(1, &event));
	check_code("retain", clRetainEvent(event));
	check_infos("retained", query_clGetEventInfo, event, &infos[3], 1);
	check_code("release", clReleaseEvent(event));
	check_code("release for good", clReleaseEvent(event));
	WRONG_MADE("user event of context NULL", clCreateUserEvent(NULL, &call_err));
	wrong_code("user status of NULL", clSetUserEventStatus(NULL, CL_COMPLETE));
	wrong_code("retain NULL", clRetainEvent(NULL));
	wrong_code("release NULL", clReleaseEvent(NULL));
}

static void wait_wrong(const struct fixture *fix)
{
	cl_event one = user_event(fix);
	cl_event other = MUST_MAKE(clCreateUserEvent(fix->other, &call_err));
	const cl_event mixed[] = {one, other};
	const cl_event with_null[] = {one, NULL};

	MUST(clSetUserEventStatus(one, CL_COMPLETE));
	MUST(clSetUserEventStatus(other, CL_COMPLETE));
	wrong_code("wait for 0 events", clWaitForEvents(0, &one));
	wrong_code("wait for 0 events, list NULL", clWaitForEvents(0, NULL));
	wrong_code("wait, list NULL", clWaitForEvents(1, NULL));
	wrong_code("wait, NULL in the list", clWaitForEvents(2, with_null));
	wrong_code("wait for events of two contexts", clWaitForEvents(2, mixed));
	MUST(clReleaseEvent(one));
	MUST(clReleaseEvent(other));
}

/* write (queue a) -> copy (queue b) -> read (queue a), all behind one user event. */
static void chain_check(const struct fixture *fix, const char *name,
			cl_command_queue_properties properties)
{
	cl_command_queue a =
		MUST_MAKE(clCreateCommandQueue(fix->context, fix->device, properties, &call_err));
	cl_command_queue b =
		MUST_MAKE(clCreateCommandQueue(fix->context, fix->device, properties, &call_err));
	cl_mem from = MUST_MAKE(clCreateBuffer(fix->context, 0, SIZE, NULL, &call_err));
	cl_mem to = MUST_MAKE(clCreateBuffer(fix->context, 0, SIZE, NULL, &call_err));
	cl_event gate = user_event(fix);
	unsigned char data[SIZE];
	unsigned char answer[SIZE] = {0};
	cl_event steps[3];

	pattern(data, SIZE, 1);
	MUST(clEnqueueWriteBuffer(a, from, CL_FALSE, 0, SIZE, data, 1, &gate, &steps[0]));
	MUST(clEnqueueCopyBuffer(b, from, to, 0, 0, SIZE, 1, &steps[0], &steps[1]));
	MUST(clEnqueueReadBuffer(a, to, CL_FALSE, 0, SIZE, answer, 1, &steps[1], &steps[2]));
	check_code(named("%s flush a", name), clFlush(a));
	check_code(named("%s flush b", name), clFlush(b));
	for (size_t i = 0; i < 3; i++)
		check_yes(named("%s step %zu waits", name, i), status_of(steps[i]) > CL_RUNNING);
	check_code(named("%s open the gate", name), clSetUserEventStatus(gate, CL_COMPLETE));
	check_code(named("%s wait for the last", name), clWaitForEvents(1, &steps[2]));
	for (size_t i = 0; i < 3; i++) {
		check_status(named("%s step %zu", name, i), status_of(steps[i]));
		MUST(clReleaseEvent(steps[i]));
	}
	check_yes(named("%s data", name), !memcmp(data, answer, SIZE));
	MUST(clReleaseEvent(gate));
	MUST(clReleaseMemObject(from));
	MUST(clReleaseMemObject(to));
	MUST(clReleaseCommandQueue(a));
	MUST(clReleaseCommandQueue(b));
}

/* Out of order, only wait lists order commands: what has none may pass what waits. */
static void passing_check(const struct fixture *fix)
{
	cl_command_queue queue = MUST_MAKE(clCreateCommandQueue(
		fix->context, fix->device, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &call_err));
	cl_mem buffer = buffer_patterned(fix, SIZE, 2);
	cl_event gate = user_event(fix);
	cl_event held;
	cl_event free_one;
	cl_event marker;
	cl_event behind;

	MUST(clEnqueueFillBuffer(queue, buffer, "a", 1, 0, 16, 1, &gate, &held));
	MUST(clEnqueueFillBuffer(queue, buffer, "b", 1, 16, 16, 0, NULL, &free_one));
	MUST(clFlush(queue));
	check_code("passing wait", clWaitForEvents(1, &free_one));
	check_yes("passing held one waits", status_of(held) > CL_RUNNING);
	MUST(clEnqueueMarkerWithWaitList(queue, 0, NULL, &marker));
	MUST(clEnqueueBarrierWithWaitList(queue, 0, NULL, NULL));
	MUST(clEnqueueFillBuffer(queue, buffer, "c", 1, 8, 16, 0, NULL, &behind));
	MUST(clFlush(queue));
	check_yes("marker waits for all before it", status_of(marker) > CL_RUNNING);
	check_yes("barrier holds what is behind it", status_of(behind) > CL_RUNNING);
	MUST(clSetUserEventStatus(gate, CL_COMPLETE));
	check_code("passing finish", clFinish(queue));
	check_status("held", status_of(held));
	check_status("marker", status_of(marker));
	check_status("behind the barrier", status_of(behind));
	check_buffer_sum("passing data", queue, buffer, SIZE);
	MUST(clReleaseEvent(gate));
	MUST(clReleaseEvent(held));
	MUST(clReleaseEvent(free_one));
	MUST(clReleaseEvent(marker));
	MUST(clReleaseEvent(behind));
	MUST(clReleaseMemObject(buffer));
	MUST(clReleaseCommandQueue(queue));
}

/* The calls of OpenCL 1.1 that programs still make. PoCL ends a program that calls
 * clEnqueueWaitForEvents(), so there is nothing to compare it with. */
static void deprecated_check(const struct fixture *fix)
{
	cl_event marker = NULL;

	check_code("old marker", clEnqueueMarker(fix->queue, &marker));
	check_code("old barrier", clEnqueueBarrier(fix->queue));
	check_code("old finish", clFinish(fix->queue));
	check_status("old marker status", status_of(marker));
	wrong_code("old marker of queue NULL", clEnqueueMarker(NULL, &marker));
	wrong_code("old marker without event", clEnqueueMarker(fix->queue, NULL));
	wrong_code("old barrier of queue NULL", clEnqueueBarrier(NULL));
	MUST(clReleaseEvent(marker));
}

/* What a callback was told, and that it was. */
struct notice {
	sem_t told;
	cl_event event;
	cl_int status;
	atomic_uint count;
};

static void CL_CALLBACK noticed(cl_event event, cl_int status, void *data)
{
	struct notice *notice = data;

	notice->event = event;
	notice->status = status;
	notice->count++;
	sem_post(&notice->told);
}

static bool notice_wait(struct notice *notice)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	return sem_timedwait(&notice->told, &until) == 0;
}

static void callback_check(const struct fixture *fix)
{
	static const cl_int types[] = {CL_SUBMITTED, CL_RUNNING, CL_COMPLETE};
	cl_mem buffer = buffer_patterned(fix, SIZE, 3);
	cl_event gate = user_event(fix);
	struct notice notices[4] = {0};
	cl_event done;

	for (size_t i = 0; i < ARRAY_SIZE(notices); i++)
		sem_init(&notices[i].told, 0, 0);
	MUST(clEnqueueFillBuffer(fix->queue, buffer, "d", 1, 0, SIZE, 1, &gate, &done));
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		check_code(named("callback at %s", status_name(types[i])),
			   clSetEventCallback(done, types[i], noticed, &notices[i]));
	check_number("callbacks at CL_COMPLETE before the gate opens", notices[2].count);
	MUST(clSetUserEventStatus(gate, CL_COMPLETE));
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		const char *name = status_name(types[i]);

		check_yes(named("callback at %s came", name), notice_wait(&notices[i]));
		check_status(named("callback at %s status", name), notices[i].status);
		check_yes(named("callback at %s event", name), notices[i].event == done);
	}
	MUST(clFinish(fix->queue));
	check_code("callback after completion",
		   clSetEventCallback(done, CL_COMPLETE, noticed, &notices[3]));
	check_yes("callback after completion came", notice_wait(&notices[3]));
	check_status("callback after completion status", notices[3].status);
	for (size_t i = 0; i < ARRAY_SIZE(notices); i++)
		check_number(named("callback %zu count", i), notices[i].count);
	MUST(clReleaseEvent(gate));
	MUST(clReleaseEvent(done));
	MUST(clReleaseMemObject(buffer));
}

static void callback_user_check(const struct fixture *fix)
{
	struct notice notice = {0};
	cl_event event = user_event(fix);

	sem_init(&notice.told, 0, 0);
	check_code("user callback", clSetEventCallback(event, CL_COMPLETE, noticed, &notice));
	MUST(clSetUserEventStatus(event, CL_COMPLETE));
	check_yes("user callback came", notice_wait(&notice));
	check_status("user callback status", notice.status);
	wrong_code("callback NULL", clSetEventCallback(event, CL_COMPLETE, NULL, NULL));
	wrong_code("callback at CL_QUEUED", clSetEventCallback(event, CL_QUEUED, noticed, &notice));
	wrong_code("callback at 77", clSetEventCallback(event, 77, noticed, &notice));
	wrong_code("callback at -5", clSetEventCallback(event, -5, noticed, &notice));
	wrong_code("callback of NULL", clSetEventCallback(NULL, CL_COMPLETE, noticed, &notice));
	check_number("user callback count", notice.count);
	MUST(clReleaseEvent(event));
}

static void profiling_check(const struct fixture *fix)
{
	static const cl_profiling_info params[] = {
		CL_PROFILING_COMMAND_QUEUED, CL_PROFILING_COMMAND_SUBMIT,
		CL_PROFILING_COMMAND_START, CL_PROFILING_COMMAND_END,
		CL_PROFILING_COMMAND_COMPLETE};
	static const char *const names[] = {"queued", "submit", "start", "end", "complete"};
	cl_command_queue queue = MUST_MAKE(clCreateCommandQueue(
		fix->context, fix->device, CL_QUEUE_PROFILING_ENABLE, &call_err));
	cl_mem buffer = buffer_patterned(fix, SIZE, 4);
	cl_ulong times[5] = {0};
	cl_event done;
	cl_event next;

	MUST(clEnqueueFillBuffer(queue, buffer, "e", 1, 0, SIZE, 0, NULL, &done));
	MUST(clEnqueueFillBuffer(queue, buffer, "f", 1, 0, SIZE, 0, NULL, &next));
	MUST(clFinish(queue));
	for (size_t i = 0; i < 5; i++) {
		size_t size = 0;

		check_code(named("profiling %s", names[i]),
			   clGetEventProfilingInfo(done, params[i], sizeof(times[i]), &times[i],
						   &size));
		check_number(named("profiling %s size", names[i]), size);
	}
	for (size_t i = 1; i < 5; i++)
		check_yes(named("profiling %s not before %s", names[i], names[i - 1]),
			  times[i] >= times[i - 1]);
	check_yes("profiling times are not 0", times[0] > 0);
	MUST(clGetEventProfilingInfo(next, CL_PROFILING_COMMAND_START, sizeof(times[0]), &times[0],
				     NULL));
	check_yes("profiling next starts after the end", times[0] >= times[3]);
	wrong_infos("profiling", query_clGetEventProfilingInfo, done, CL_PROFILING_COMMAND_END,
		    true);
	MUST(clReleaseEvent(done));
	MUST(clReleaseEvent(next));
	MUST(clReleaseMemObject(buffer));
	MUST(clReleaseCommandQueue(queue));
}

static void profiling_wrong(const struct fixture *fix)
{
	cl_command_queue queue = MUST_MAKE(clCreateCommandQueue(
		fix->context, fix->device, CL_QUEUE_PROFILING_ENABLE, &call_err));
	cl_mem buffer = buffer_patterned(fix, SIZE, 5);
	cl_event gate = user_event(fix);
	cl_ulong time;
	cl_event plain;
	cl_event held;

	MUST(clEnqueueFillBuffer(fix->queue, buffer, "e", 1, 0, SIZE, 0, NULL, &plain));
	MUST(clFinish(fix->queue));
	MUST(clEnqueueFillBuffer(queue, buffer, "f", 1, 0, SIZE, 1, &gate, &held));
	MUST(clFlush(queue));
	wrong_code("profiling without a profiling queue",
		   clGetEventProfilingInfo(plain, CL_PROFILING_COMMAND_END, sizeof(time), &time,
					   NULL));
	wrong_code(
		"profiling of a command that waits",
		clGetEventProfilingInfo(held, CL_PROFILING_COMMAND_END, sizeof(time), &time, NULL));
	wrong_code(
		"profiling of a user event",
		clGetEventProfilingInfo(gate, CL_PROFILING_COMMAND_END, sizeof(time), &time, NULL));
	wrong_code("user status of a command's event", clSetUserEventStatus(plain, CL_COMPLETE));
	MUST(clSetUserEventStatus(gate, CL_COMPLETE));
	MUST(clFinish(queue));
	MUST(clReleaseEvent(gate));
	MUST(clReleaseEvent(plain));
	MUST(clReleaseEvent(held));
	MUST(clReleaseMemObject(buffer));
	MUST(clReleaseCommandQueue(queue));
}

int main(void)
{
	struct fixture fix;

	transcript_begin("event");
	fixture_open(&fix);
	user_check(&fix);
	wait_wrong(&fix);
	chain_check(&fix, "in order", 0);
	chain_check(&fix, "out of order", CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
	passing_check(&fix);
	deprecated_check(&fix);
	callback_check(&fix);
	callback_user_check(&fix);
	profiling_check(&fix);
	profiling_wrong(&fix);
	fixture_close(&fix);
	return transcript_end();
}
