/* SPDX-License-Identifier: MIT */
/*
 * Destructor callbacks of memory objects and contexts that call OpenCL: they let go of other
 * objects, whose callbacks come then, make some, and enqueue commands. None waits, nor makes a
 * context or a queue: that is undefined. None of a context's releases anything: PoCL 3.1 holds a
 * lock meanwhile that it takes to release a context, or what is in one, and waits for ever.
 */
#include "harness.h"

#include <semaphore.h>
#include <string.h>
#include <time.h>

enum { SIZE = 4096, LINKS = 5 };

static struct fixture fix;
static sem_t came;

static void wait_for_one(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 100;
	if (sem_timedwait(&came, &until) < 0)
		fatal(__FILE__, __LINE__, "no callback came", CL_SUCCESS);
}

static cl_mem buffer_made(void)
{
	return MUST_MAKE(clCreateBuffer(fix.context, 0, SIZE, NULL, &call_err));
}

/* ------------------------------------------------------------ others are released */

struct link {
	char name;
	cl_mem next;
};

static char order[LINKS + 1];

/* One after the other, whatever thread it is on. */
static void CL_CALLBACK next_release(cl_mem mem, void *data)
{
	const struct link *link = data;

	(void)mem;
	strncat(order, &link->name, 1);
	if (link->next)
		MUST(clReleaseMemObject(link->next));
	else
		sem_post(&came);
}

/* Each has the only reference to the next one. */
static void chain_check(const char *name, bool busy)
{
	static struct link links[LINKS];
	cl_mem mems[LINKS];

	memset(order, 0, sizeof order);
	for (unsigned i = 0; i < LINKS; i++)
		mems[i] = buffer_made();
	for (unsigned i = 0; i < LINKS; i++) {
		links[i] = (struct link){(char)('a' + i), i + 1 < LINKS ? mems[i + 1] : NULL};
		MUST(clSetMemObjectDestructorCallback(mems[i], next_release, &links[i]));
	}
	for (unsigned i = 0; busy && i < 200; i++)
		MUST(clEnqueueFillBuffer(fix.queue, mems[i % LINKS], "a", 1, 0, SIZE, 0, NULL,
					 NULL));
	MUST(clReleaseMemObject(mems[0]));
	MUST(clFlush(fix.queue));
	wait_for_one();
	check_text(name, order);
	MUST(clFinish(fix.queue));
}

/* ------------------------------------------------------------ commands are enqueued */

struct work {
	cl_kernel kernel;
	cl_mem target;
	cl_event done;
};

/* It makes what it needs, and leaves all but the event. */
static void CL_CALLBACK work_enqueue(cl_mem mem, void *data)
{
	struct work *work = data;
	const size_t items = SIZE / sizeof(cl_uint);
	cl_mem more = buffer_made();
	cl_uint pattern_word = 7;

	(void)mem;
	MUST(clEnqueueFillBuffer(fix.queue, more, &pattern_word, sizeof pattern_word, 0, SIZE, 0,
				 NULL, NULL));
	MUST(clSetKernelArg(work->kernel, 0, sizeof(cl_mem), &work->target));
	MUST(clSetKernelArg(work->kernel, 1, sizeof(cl_mem), &more));
	MUST(clEnqueueNDRangeKernel(fix.queue, work->kernel, 1, NULL, &items, NULL, 0, NULL,
				    &work->done));
	MUST(clFlush(fix.queue));
	MUST(clReleaseMemObject(more));
	MUST(clReleaseKernel(work->kernel));
	sem_post(&came);
}

static void enqueue_check(void)
{
	cl_program program = program_built(&fix,
					   "kernel void add(global uint *a, global const uint *b)"
					   "{ a[get_global_id(0)] += b[get_global_id(0)]; }",
					   "");
	struct work work = {kernel_made(program, "add"), buffer_patterned(&fix, SIZE, 4), NULL};
	cl_mem mem = buffer_made();

	MUST(clReleaseProgram(program));
	MUST(clSetMemObjectDestructorCallback(mem, work_enqueue, &work));
	MUST(clReleaseMemObject(mem));
	wait_for_one();
	check_code("wait for what a destructor enqueued", clWaitForEvents(1, &work.done));
	check_buffer_sum("what a destructor enqueued", fix.queue, work.target, SIZE);
	MUST(clReleaseEvent(work.done));
	MUST(clReleaseMemObject(work.target));
}

/* ------------------------------------------------------------ another one is given its callback */

static void CL_CALLBACK last_note(cl_mem mem, void *data)
{
	(void)mem;
	(void)data;
	sem_post(&came);
}

static void CL_CALLBACK callback_set(cl_mem mem, void *data)
{
	cl_mem other = data;

	(void)mem;
	MUST(clSetMemObjectDestructorCallback(other, last_note, NULL));
	MUST(clReleaseMemObject(other));
}

static void later_check(void)
{
	cl_mem mem = buffer_made(), other = buffer_made();

	MUST(clSetMemObjectDestructorCallback(mem, callback_set, other));
	MUST(clReleaseMemObject(mem));
	wait_for_one();
	check_text("destructor set in a destructor", "called");
}

/* ------------------------------------------------------------ contexts */

static cl_mem left;

/* What it makes is of another context. */
static void CL_CALLBACK context_leave(cl_context context, void *data)
{
	(void)context;
	left = buffer_made();
	MUST(clEnqueueFillBuffer(fix.queue, left, data, 1, 0, SIZE, 0, NULL, NULL));
	MUST(clFlush(fix.queue));
	sem_post(&came);
}

static void context_check(void)
{
	cl_context context =
		MUST_MAKE(clCreateContext(NULL, 1, &fix.device, NULL, NULL, &call_err));

	MUST(clSetContextDestructorCallback(context, context_leave, "c"));
	MUST(clReleaseContext(context));
	wait_for_one();
	check_buffer_sum("what a context's destructor left", fix.queue, left, SIZE);
	MUST(clReleaseMemObject(left));
}

int main(void)
{
	transcript_begin("destroy");
	sem_init(&came, 0, 0);
	fixture_open(&fix);
	chain_check("releases in destructors", false);
	chain_check("releases in destructors, with commands under way", true);
	enqueue_check();
	later_check();
	context_check();
	fixture_close(&fix);
	return transcript_end();
}
