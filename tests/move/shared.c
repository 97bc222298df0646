// SPDX-License-Identifier: MIT
/*
 * Queues that share buffers, held together by events alone: two in order, one out of order, and one
 * that has nothing to do with them. Commands wait for the last ones that used their buffers, some
 * for a user event, which the program sets later in the round, or in the next one.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "workload.h"

#define BUFFERS 4u
#define WORDS	4096u
#define QUEUES	3u
#define STEPS	9u

/* A callback comes some time after its event: so many looks of 10 ms. */
#define LOOKS 6000u

struct shared {
	cl_command_queue queues[QUEUES], alone;
	cl_kernel stir;
	cl_mem buffers[BUFFERS + 1]; /* the last one is that of @alone */
	uint32_t *mirrors[BUFFERS + 1];
	cl_event last[BUFFERS]; /* that used it; or NULL */
	cl_event gate;		/* not set yet; or NULL */
	uint32_t *read;
	unsigned asked; /* for callbacks */
	atomic_uint called;
};

static cl_command_queue in_order(struct workload *w)
{
	cl_int err;
	cl_command_queue made = clCreateCommandQueue(w->context, w->device, 0, &err);

	must("clCreateCommandQueue", err);
	return made;
}

static void init(struct workload *w, void *data)
{
	struct shared *self = data;

	self->stir = kernel_make(w, "stir");
	self->queues[0] = w->queue;
	self->queues[1] = in_order(w);
	self->queues[2] = w->loose;
	self->alone = in_order(w);
	self->read = allocate(WORDS, sizeof(uint32_t));
	for (unsigned i = 0; i <= BUFFERS; i++) {
		self->mirrors[i] = allocate(WORDS, sizeof(uint32_t));
		words_random(w, self->mirrors[i], WORDS);
		self->buffers[i] = buffer_make(w, WORDS, self->mirrors[i]);
	}
}

/* Takes over @event. */
static void last_set(struct shared *self, unsigned buffer, cl_event event)
{
	if (self->last[buffer])
		clReleaseEvent(self->last[buffer]);
	self->last[buffer] = event;
}

/* Return: how many are in @waits. */
static cl_uint lasts(const struct shared *self, cl_event *waits)
{
	cl_uint count = 0;

	for (unsigned i = 0; i < BUFFERS; i++)
		if (self->last[i])
			waits[count++] = self->last[i];
	return count;
}

static void step(struct workload *w, struct shared *self)
{
	unsigned to = chance(w, BUFFERS), from = (to + 1 + chance(w, BUFFERS - 1)) % BUFFERS;
	uint32_t number = chance(w, 1u << 20);
	cl_event waits[3], event;
	cl_uint count = 0;

	if (self->last[to])
		waits[count++] = self->last[to];
	if (self->last[from])
		waits[count++] = self->last[from];
	if (self->gate && chance(w, 2))
		waits[count++] = self->gate;
	stir_set(self->stir, self->buffers[to], self->buffers[from], WORDS - 1, number);
	launch(self->queues[chance(w, QUEUES)], self->stir, WORDS, count, count ? waits : NULL,
	       &event);
	stir_follow(self->mirrors[to], self->mirrors[from], WORDS - 1, number, WORDS);
	must("clRetainEvent", clRetainEvent(event));
	last_set(self, to, event);
	last_set(self, from, event);
}

/* What doesn't wait for the others isn't held up by them. */
static void step_alone(struct workload *w, struct shared *self)
{
	uint32_t number = chance(w, 1u << 20), *mirror = self->mirrors[BUFFERS];
	cl_mem buffer = self->buffers[BUFFERS];

	must("clEnqueueFillBuffer",
	     clEnqueueFillBuffer(self->alone, buffer, &number, sizeof number, 0,
				 WORDS / 2 * sizeof number, 0, NULL, NULL));
	for (unsigned i = 0; i < WORDS / 2; i++)
		mirror[i] = number;
	must("clEnqueueReadBuffer",
	     clEnqueueReadBuffer(self->alone, buffer, CL_TRUE, 0, WORDS * sizeof number, self->read,
				 0, NULL, NULL));
	words_check(w, "queue alone", self->read, mirror, WORDS);
}

static void gate_open(struct shared *self)
{
	if (!self->gate)
		return;
	must("clSetUserEventStatus", clSetUserEventStatus(self->gate, CL_COMPLETE));
	clReleaseEvent(self->gate);
	self->gate = NULL;
}

static void CL_CALLBACK count_call(cl_event event, cl_int status, void *data)
{
	struct shared *self = data;

	(void)event;
	if (status == CL_COMPLETE)
		atomic_fetch_add(&self->called, 1);
}

/* A marker of all that is under way, whose event is waited for. */
static void end_marker(struct shared *self)
{
	cl_event waits[BUFFERS], marker;
	cl_uint count = lasts(self, waits);

	must("clEnqueueMarkerWithWaitList",
	     clEnqueueMarkerWithWaitList(self->queues[2], count, count ? waits : NULL, &marker));
	must("clSetEventCallback", clSetEventCallback(marker, CL_COMPLETE, count_call, self));
	self->asked++;
	must("clWaitForEvents", clWaitForEvents(1, &marker));
	clReleaseEvent(marker);
}

/* A barrier in one of the queues, which the reads come after. */
static cl_command_queue end_barrier(struct shared *self, unsigned queue)
{
	cl_event waits[BUFFERS];
	cl_uint count = lasts(self, waits);

	must("clEnqueueBarrierWithWaitList",
	     clEnqueueBarrierWithWaitList(self->queues[queue], count, count ? waits : NULL, NULL));
	return self->queues[queue];
}

static void flush_all(struct shared *self)
{
	for (unsigned i = 0; i < QUEUES; i++)
		must("clFlush", clFlush(self->queues[i]));
}

static void end(struct workload *w, struct shared *self, unsigned how)
{
	cl_command_queue queue = self->queues[0];

	flush_all(self);
	if (how == QUEUES)
		end_marker(self);
	else
		queue = end_barrier(self, how);
	for (unsigned i = 0; i < BUFFERS; i++) {
		must("clEnqueueReadBuffer",
		     clEnqueueReadBuffer(queue, self->buffers[i], CL_TRUE, 0,
					 WORDS * sizeof(uint32_t), self->read, 0, NULL, NULL));
		words_check(w, "shared", self->read, self->mirrors[i], WORDS);
		last_set(self, i, NULL);
	}
}

static void round_do(struct workload *w, void *data, unsigned number)
{
	struct shared *self = data;
	cl_int err = CL_SUCCESS;

	if (self->gate) {
		step_alone(w, self);
		gate_open(self);
	}
	if (number % 3)
		self->gate = clCreateUserEvent(w->context, &err);
	must("clCreateUserEvent", err);
	for (unsigned i = 0; i < STEPS; i++)
		step(w, self);
	if (number % 3 == 1) {
		flush_all(self);
		return;
	}
	step_alone(w, self);
	gate_open(self);
	end(w, self, chance(w, QUEUES + 1));
}

static void callbacks_await(struct shared *self)
{
	unsigned looks = LOOKS;

	while (atomic_load(&self->called) < self->asked) {
		if (!looks--)
			wrong("%u of %u callbacks came", atomic_load(&self->called), self->asked);
		usleep(10000);
	}
}

static void fini(struct workload *w, void *data)
{
	struct shared *self = data;

	gate_open(self);
	end(w, self, 0);
	callbacks_await(self);
	for (unsigned i = 0; i <= BUFFERS; i++) {
		clReleaseMemObject(self->buffers[i]);
		free(self->mirrors[i]);
	}
	free(self->read);
	clReleaseCommandQueue(self->queues[1]);
	clReleaseCommandQueue(self->alone);
	clReleaseKernel(self->stir);
}

const struct mode mode_shared = {"shared", sizeof(struct shared), init, round_do, fini};
