/*
 * Gathering events of two contexts, which other threads complete.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/cleanup.h"
#include "gather.h"

#define EVENTS	24u
#define THREADS 4u

static cl_context contexts[2];
static cl_device_id device;

/* What gcl_gather() is given to call. */
struct end {
	_Atomic unsigned calls;
	_Atomic cl_int status;
};

static void end_done(void *arg, cl_int status)
{
	struct end *end = arg;

	atomic_store(&end->status, status);
	atomic_fetch_add(&end->calls, 1);
}

static void nap(long ns)
{
	nanosleep(&(struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000}, NULL);
}

/* It has to come, but once. */
static void end_expect(struct end *end, cl_int status)
{
	for (unsigned i = 0; i < 10000 && !atomic_load(&end->calls); i++)
		nap(1000000);
	assert_int_equal(atomic_load(&end->calls), 1);
	assert_int_equal(atomic_load(&end->status), status);
}

static int setup(void **state)
{
	cl_platform_id platform;

	(void)state;
	assert_int_equal(clGetPlatformIDs(1, &platform, NULL), CL_SUCCESS);
	assert_int_equal(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL),
			 CL_SUCCESS);
	for (unsigned i = 0; i < 2; i++)
		contexts[i] = clCreateContext(NULL, 1, &device, NULL, NULL, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++)
		clReleaseContext(contexts[i]);
	return 0;
}

static void events_create(cl_event events[EVENTS])
{
	for (unsigned i = 0; i < EVENTS; i++) {
		events[i] = clCreateUserEvent(contexts[i % 2], NULL);
		assert_non_null(events[i]);
	}
}

static void events_release(cl_event events[EVENTS])
{
	for (unsigned i = 0; i < EVENTS; i++)
		clReleaseEvent(events[i]);
}

static void nothing_is_over_at_once(void **state)
{
	struct end end = {0};

	(void)state;
	assert_int_equal(gcl_gather(NULL, 0, end_done, &end), 0);
	assert_int_equal(atomic_load(&end.calls), 1);
	assert_int_equal(atomic_load(&end.status), CL_COMPLETE);
}

static void what_is_over_is_seen_at_once(void **state)
{
	static const cl_int statuses[] = {CL_COMPLETE, -5};
	cl_event events[EVENTS];

	(void)state;
	for (unsigned i = 0; i < GCL_ARRAY_SIZE(statuses); i++) {
		struct end end = {0};

		events_create(events);
		for (unsigned j = 0; j < EVENTS; j++)
			clSetUserEventStatus(events[j], j == 7 ? statuses[i] : CL_COMPLETE);
		assert_int_equal(gcl_gather(events, EVENTS, end_done, &end), 0);
		assert_int_equal(atomic_load(&end.calls), 1);
		assert_int_equal(atomic_load(&end.status), statuses[i]);
		events_release(events);
	}
}

static void the_last_one_ends_it(void **state)
{
	cl_event events[EVENTS];
	struct end end = {0};

	(void)state;
	events_create(events);
	assert_int_equal(gcl_gather(events, EVENTS, end_done, &end), 0);
	for (unsigned i = 0; i < EVENTS; i++) {
		gcl_gather_sweep();
		nap(1000000);
		assert_int_equal(atomic_load(&end.calls), 0);
		clSetUserEventStatus(events[i], CL_COMPLETE);
	}
	end_expect(&end, CL_COMPLETE);
	events_release(events);
}

static void events_may_be_released_meanwhile(void **state)
{
	cl_event event = clCreateUserEvent(contexts[0], NULL), after;
	cl_command_queue queue = clCreateCommandQueue(contexts[0], device, 0, NULL);
	struct end end = {0};

	(void)state;
	assert_int_equal(clEnqueueMarkerWithWaitList(queue, 1, &event, &after), CL_SUCCESS);
	assert_int_equal(gcl_gather(&after, 1, end_done, &end), 0);
	clReleaseEvent(after);
	clFlush(queue);
	clSetUserEventStatus(event, CL_COMPLETE);
	end_expect(&end, CL_COMPLETE);
	clReleaseEvent(event);
	clReleaseCommandQueue(queue);
}

/* A command that fails because another did: its callback may never come. */
static void forgotten_callbacks_are_swept(void **state)
{
	cl_event event = clCreateUserEvent(contexts[0], NULL), after;
	cl_command_queue queue = clCreateCommandQueue(contexts[0], device, 0, NULL);
	struct end end = {0};

	(void)state;
	assert_int_equal(clEnqueueMarkerWithWaitList(queue, 1, &event, &after), CL_SUCCESS);
	assert_int_equal(gcl_gather(&after, 1, end_done, &end), 0);
	clFlush(queue);
	clSetUserEventStatus(event, -7);
	for (unsigned i = 0; i < 1000 && !atomic_load(&end.calls); i++) {
		gcl_gather_sweep();
		nap(1000000);
	}
	assert_int_equal(atomic_load(&end.calls), 1);
	assert_true(atomic_load(&end.status) < 0);
	nap(1100000000); /* until the references are given back */
	gcl_gather_sweep();
	assert_int_equal(atomic_load(&end.calls), 1);
	clReleaseEvent(after);
	clReleaseEvent(event);
	clReleaseCommandQueue(queue);
}

static void what_is_no_event_is_a_failure(void **state)
{
	cl_event event = NULL;
	struct end end = {0};

	(void)state;
	assert_int_equal(gcl_gather(&event, 1, end_done, &end), 0);
	end_expect(&end, CL_INVALID_EVENT);
}

/* ------------------------------------------------------------ many threads */

struct completer {
	pthread_t thread;
	cl_event *events;
	unsigned first;
	cl_int last; /* of the last event */
};

static void *complete_some(void *arg)
{
	struct completer *completer = arg;

	for (unsigned i = completer->first; i < EVENTS; i += THREADS)
		clSetUserEventStatus(completer->events[i],
				     i == EVENTS - 1 ? completer->last : CL_COMPLETE);
	return NULL;
}

static _Atomic bool sweeping;

static void *sweep_all_the_time(void *arg)
{
	(void)arg;
	while (atomic_load(&sweeping))
		gcl_gather_sweep();
	return NULL;
}

/* Threads complete events while they are gathered, twice. */
static void round_of_threads(cl_int last)
{
	struct completer completers[THREADS];
	struct end ends[2] = {0};
	cl_event events[EVENTS];

	events_create(events);
	for (unsigned i = 0; i < THREADS; i++) {
		completers[i] = (struct completer){.events = events, .first = i, .last = last};
		assert_int_equal(
			pthread_create(&completers[i].thread, NULL, complete_some, &completers[i]),
			0);
	}
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(gcl_gather(events, EVENTS, end_done, &ends[i]), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(completers[i].thread, NULL);
	for (unsigned i = 0; i < 2; i++)
		end_expect(&ends[i], last);
	events_release(events);
}

static void threads_may_complete_at_any_time(void **state)
{
	pthread_t sweeper;

	(void)state;
	atomic_store(&sweeping, true);
	assert_int_equal(pthread_create(&sweeper, NULL, sweep_all_the_time, NULL), 0);
	for (unsigned i = 0; i < 200; i++)
		round_of_threads(i % 2 ? -6 : CL_COMPLETE);
	atomic_store(&sweeping, false);
	pthread_join(sweeper, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_over_at_once),
		cmocka_unit_test(what_is_over_is_seen_at_once),
		cmocka_unit_test(the_last_one_ends_it),
		cmocka_unit_test(events_may_be_released_meanwhile),
		cmocka_unit_test(forgotten_callbacks_are_swept),
		cmocka_unit_test(what_is_no_event_is_a_failure),
		cmocka_unit_test(threads_may_complete_at_any_time),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
