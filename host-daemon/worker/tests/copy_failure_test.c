/*
 * Copies whose commands fail: at once, later, or for want of room. The functions that enqueue are
 * this program's own, which calls the loader's or does otherwise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "copy-box.h"

#define MIB	((size_t)1 << 20)
#define SIZE	(33 * MIB + 7)
#define COMMAND 5u /* the one to fail */

enum fault { NONE, REFUSED, FAILS, FULL, ALWAYS_FULL, FULL_TWICE };

/* What happens to commands of one kind. */
struct faults {
	enum fault fault;
	unsigned calls, blocking;
	cl_context context;
	pthread_t thread;
	cl_event event;
};

static struct faults reads, writes;

static void *event_fail(void *arg)
{
	struct faults *faults = arg;

	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	clSetUserEventStatus(faults->event, -5);
	clReleaseEvent(faults->event);
	return NULL;
}

/* A command that is under way for a while and then fails. */
static cl_event event_that_fails(struct faults *faults)
{
	faults->event = clCreateUserEvent(faults->context, NULL);
	assert_non_null(faults->event);
	clRetainEvent(faults->event);
	assert_int_equal(pthread_create(&faults->thread, NULL, event_fail, faults), 0);
	return faults->event;
}

/* Return: whether the command is dealt with, with @status. */
static bool fault(struct faults *faults, cl_bool blocking, cl_event *event, cl_int *status)
{
	unsigned call = faults->calls++;

	faults->blocking += blocking;
	*status = CL_SUCCESS;
	switch (faults->fault) {
	case REFUSED:
		*status = call == COMMAND ? CL_OUT_OF_RESOURCES : CL_SUCCESS;
		break;
	case FAILS:
		if (call != COMMAND || !event)
			break;
		*event = event_that_fails(faults);
		return true;
	case FULL:
		*status = blocking ? CL_SUCCESS : CL_MEM_OBJECT_ALLOCATION_FAILURE;
		break;
	case FULL_TWICE:
		*status = !blocking && call % 3 < 2 ? CL_MEM_OBJECT_ALLOCATION_FAILURE : CL_SUCCESS;
		break;
	case ALWAYS_FULL:
		*status = CL_MEM_OBJECT_ALLOCATION_FAILURE;
		break;
	case NONE:
		break;
	}
	return *status != CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueReadBuffer(cl_command_queue queue, cl_mem mem,
						    cl_bool blocking, size_t offset, size_t size,
						    void *bytes, cl_uint count,
						    const cl_event *list, cl_event *event)
{
	cl_int (*real)(cl_command_queue, cl_mem, cl_bool, size_t, size_t, void *, cl_uint,
		       const cl_event *, cl_event *);
	cl_int status;

	if (fault(&reads, blocking, event, &status))
		return status;
	*(void **)&real = dlsym(RTLD_NEXT, "clEnqueueReadBuffer");
	return real(queue, mem, blocking, offset, size, bytes, count, list, event);
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueWriteBuffer(cl_command_queue queue, cl_mem mem,
						     cl_bool blocking, size_t offset, size_t size,
						     const void *bytes, cl_uint count,
						     const cl_event *list, cl_event *event)
{
	cl_int (*real)(cl_command_queue, cl_mem, cl_bool, size_t, size_t, const void *, cl_uint,
		       const cl_event *, cl_event *);
	cl_int status;

	if (fault(&writes, blocking, event, &status))
		return status;
	*(void **)&real = dlsym(RTLD_NEXT, "clEnqueueWriteBuffer");
	return real(queue, mem, blocking, offset, size, bytes, count, list, event);
}

struct fixture {
	cl_context contexts[2];
	struct gcl_copy copy;
	struct gcl_copy_room *room;
	char *bytes, *there;
};

static cl_command_queue queue_create(cl_context *context, cl_mem *mem)
{
	cl_platform_id platform;
	cl_device_id device;

	assert_int_equal(clGetPlatformIDs(1, &platform, NULL), CL_SUCCESS);
	assert_int_equal(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL),
			 CL_SUCCESS);
	*context = clCreateContext(NULL, 1, &device, NULL, NULL, NULL);
	assert_non_null(*context);
	*mem = clCreateBuffer(*context, CL_MEM_READ_WRITE, SIZE, NULL, NULL);
	assert_non_null(*mem);
	return clCreateCommandQueue(*context, device, 0, NULL);
}

static int setup(void **state)
{
	static struct fixture fixture;
	struct gcl_copy *copy = &fixture.copy;

	copy->from_queue = queue_create(&fixture.contexts[0], &copy->from);
	copy->to_queue = queue_create(&fixture.contexts[1], &copy->to);
	copy->type = CL_MEM_OBJECT_BUFFER;
	copy->size = SIZE;
	copy->sums = gcl_copy_sums_create(SIZE);
	fixture.room = gcl_copy_room_create(0, 0);
	fixture.bytes = malloc(SIZE);
	fixture.there = malloc(SIZE);
	assert_true(copy->sums && fixture.room && fixture.bytes && fixture.there);
	reads.context = fixture.contexts[0];
	writes.context = fixture.contexts[1];
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	gcl_copy_room_destroy(fixture->room);
	gcl_copy_sums_destroy(fixture->copy.sums);
	clReleaseMemObject(fixture->copy.from);
	clReleaseMemObject(fixture->copy.to);
	clReleaseCommandQueue(fixture->copy.from_queue);
	clReleaseCommandQueue(fixture->copy.to_queue);
	for (unsigned i = 0; i < 2; i++)
		clReleaseContext(fixture->contexts[i]);
	free(fixture->bytes);
	free(fixture->there);
	return 0;
}

/* A round with new contents, of which each command may have a fault. */
static void round_with(struct fixture *fixture, enum fault read, enum fault write, cl_int status)
{
	struct gcl_copy *copy = &fixture->copy;
	static unsigned seed;

	reads.fault = writes.fault = NONE;
	seed++;
	for (size_t i = 0; i < SIZE; i++)
		fixture->bytes[i] = (char)((i + seed) * 2654435761u >> 11);
	assert_int_equal(clEnqueueWriteBuffer(copy->from_queue, copy->from, CL_TRUE, 0, SIZE,
					      fixture->bytes, 0, NULL, NULL),
			 CL_SUCCESS);
	reads.fault = read;
	writes.fault = write;
	reads.calls = reads.blocking = writes.calls = writes.blocking = 0;
	gcl_copy_run(copy, fixture->room);
	assert_int_equal(copy->status, status);
	if (read == FAILS)
		pthread_join(reads.thread, NULL);
	if (write == FAILS)
		pthread_join(writes.thread, NULL);
	reads.fault = writes.fault = NONE;
}

/* What the fixture's buffer holds has arrived. */
static void expect_there(struct fixture *fixture)
{
	struct gcl_copy *copy = &fixture->copy;

	memset(fixture->there, 0, SIZE);
	assert_int_equal(clEnqueueReadBuffer(copy->to_queue, copy->to, CL_TRUE, 0, SIZE,
					     fixture->there, 0, NULL, NULL),
			 CL_SUCCESS);
	assert_true(memcmp(fixture->there, fixture->bytes, SIZE) == 0);
}

/* After a failure nothing is taken to be there. */
static void expect_all_again(struct fixture *fixture)
{
	gcl_copy_run(&fixture->copy, fixture->room);
	assert_int_equal(fixture->copy.status, CL_SUCCESS);
	assert_int_equal(fixture->copy.sent, SIZE);
	expect_there(fixture);
}

static void refused_commands_end_it(void **state)
{
	round_with(*state, REFUSED, NONE, CL_OUT_OF_RESOURCES);
	expect_all_again(*state);
	round_with(*state, NONE, REFUSED, CL_OUT_OF_RESOURCES);
	expect_all_again(*state);
}

static void commands_that_fail_end_it(void **state)
{
	struct fixture *fixture = *state;

	round_with(fixture, FAILS, NONE, -5);
	assert_true(fixture->copy.sent < SIZE);
	expect_all_again(fixture);
	round_with(fixture, NONE, FAILS, -5);
	assert_true(fixture->copy.sent < SIZE);
	expect_all_again(fixture);
	round_with(fixture, FAILS, FAILS, -5);
	expect_all_again(fixture);
}

static void where_there_is_no_room_it_waits(void **state)
{
	struct fixture *fixture = *state;
	static const enum fault pairs[][2] = {
		{FULL, NONE}, {NONE, FULL}, {FULL, FULL}, {FULL_TWICE, NONE}, {NONE, FULL_TWICE},
	};

	for (size_t i = 0; i < GCL_ARRAY_SIZE(pairs); i++) {
		round_with(fixture, pairs[i][0], pairs[i][1], CL_SUCCESS);
		assert_true(reads.blocking > 0 || pairs[i][0] != FULL);
		assert_true(writes.blocking > 0 || pairs[i][1] != FULL);
		assert_int_equal(fixture->copy.sent + fixture->copy.same, SIZE);
		expect_there(fixture);
	}
}

static void but_not_for_ever(void **state)
{
	round_with(*state, ALWAYS_FULL, NONE, CL_MEM_OBJECT_ALLOCATION_FAILURE);
	expect_all_again(*state);
	round_with(*state, NONE, ALWAYS_FULL, CL_MEM_OBJECT_ALLOCATION_FAILURE);
	expect_all_again(*state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_commands_end_it),
		cmocka_unit_test(commands_that_fail_end_it),
		cmocka_unit_test(where_there_is_no_room_it_waits),
		cmocka_unit_test(but_not_for_ever),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
