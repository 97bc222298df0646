// SPDX-License-Identifier: MIT
/*
 * Times of commands: in order within each, in the queue's order among them, and in that of the
 * program where it waited, wherever they ran.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "workload.h"

#define WORDS	 16384u
#define COMMANDS 8u

enum { QUEUED, SUBMITTED, STARTED, ENDED, TIMES };

static const char *const names[TIMES] = {"queued", "submitted", "started", "ended"};

struct times {
	cl_kernel stir;
	cl_mem buffers[2];
	uint32_t *mirrors[2], *read;
	cl_ulong last[TIMES]; /* of the command before; after a round, all are its end */
};

static void init(struct workload *w, void *data)
{
	struct times *self = data;

	self->stir = kernel_make(w, "stir");
	self->read = allocate(WORDS, sizeof(uint32_t));
	for (unsigned i = 0; i < 2; i++) {
		self->mirrors[i] = allocate(WORDS, sizeof(uint32_t));
		words_random(w, self->mirrors[i], WORDS);
		self->buffers[i] = buffer_make(w, WORDS, self->mirrors[i]);
	}
}

static cl_event stir_step(struct workload *w, struct times *self, unsigned to)
{
	uint32_t number = chance(w, 1u << 20);
	cl_event event;

	stir_set(self->stir, self->buffers[to], self->buffers[!to], WORDS - 1, number);
	launch(w->queue, self->stir, WORDS, 0, NULL, &event);
	stir_follow(self->mirrors[to], self->mirrors[!to], WORDS - 1, number, WORDS);
	return event;
}

static cl_event fill_step(struct workload *w, struct times *self, unsigned to)
{
	uint32_t value = chance(w, 1u << 20);
	cl_event event;

	must("clEnqueueFillBuffer",
	     clEnqueueFillBuffer(w->queue, self->buffers[to], &value, sizeof value, 0,
				 WORDS / 2 * sizeof value, 0, NULL, &event));
	for (unsigned i = 0; i < WORDS / 2; i++)
		self->mirrors[to][i] = value;
	return event;
}

static cl_event read_step(struct workload *w, struct times *self, unsigned from)
{
	cl_event event;

	must("clEnqueueReadBuffer",
	     clEnqueueReadBuffer(w->queue, self->buffers[from], CL_FALSE, 0,
				 WORDS * sizeof(uint32_t), self->read, 0, NULL, &event));
	return event;
}

static void times_get(cl_event event, cl_ulong *times)
{
	for (unsigned i = 0; i < TIMES; i++)
		must("clGetEventProfilingInfo",
		     clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_QUEUED + i,
					     sizeof times[i], &times[i], NULL));
}

static void times_check(struct times *self, cl_event event, unsigned number, unsigned index)
{
	cl_ulong times[TIMES];

	times_get(event, times);
	for (unsigned i = 1; i < TIMES; i++) {
		if (times[i] < times[i - 1])
			wrong("round %u, command %u: %s %" PRIu64 " ns before %s", number, index,
			      names[i], (uint64_t)(times[i - 1] - times[i]), names[i - 1]);
	}
	if (times[QUEUED] < self->last[QUEUED])
		wrong("round %u, command %u: queued %" PRIu64 " ns before the one before it",
		      number, index, (uint64_t)(self->last[QUEUED] - times[QUEUED]));
	if (times[STARTED] < self->last[ENDED])
		wrong("round %u, command %u: started %" PRIu64 " ns before the end of the one "
		      "before it",
		      number, index, (uint64_t)(self->last[ENDED] - times[STARTED]));
	for (unsigned i = 0; i < TIMES; i++)
		self->last[i] = times[i];
}

static void round_do(struct workload *w, void *data, unsigned number)
{
	struct times *self = data;
	cl_event events[COMMANDS];

	for (unsigned i = 0; i + 1 < COMMANDS; i++)
		events[i] = i % 3 == 1 ? fill_step(w, self, i % 2) : stir_step(w, self, i % 2);
	events[COMMANDS - 1] = read_step(w, self, number % 2);
	must("clWaitForEvents", clWaitForEvents(1, &events[COMMANDS - 1]));
	words_check(w, "timed", self->read, self->mirrors[number % 2], WORDS);
	for (unsigned i = 0; i < COMMANDS; i++) {
		times_check(self, events[i], number, i);
		clReleaseEvent(events[i]);
	}
	/* What the program does now comes after what it has waited for. */
	self->last[QUEUED] = self->last[ENDED];
}

static void fini(struct workload *w, void *data)
{
	struct times *self = data;

	must("clFinish", clFinish(w->queue));
	for (unsigned i = 0; i < 2; i++) {
		clReleaseMemObject(self->buffers[i]);
		free(self->mirrors[i]);
	}
	free(self->read);
	clReleaseKernel(self->stir);
}

const struct mode mode_times = {"times", sizeof(struct times), init, round_do, fini};
