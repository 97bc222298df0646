// SPDX-License-Identifier: MIT
/*
 * Commands that wait for a user event, and others that are given later and run before, on the same
 * buffers: the program sets the event when it has seen the end of those, or their callback does. So
 * they must not wait for what was given first.
 *
 * In some rounds the event isn't set before the next one.
 */
#include <stdlib.h>

#include "workload.h"

#define BUFFERS 3u
#define WORDS	4096u
#define HELD	3u

/* What a command does; done to mirrors when it is due. */
struct op {
	bool fills; /* a half; else it stirs */
	unsigned to, from;
	uint32_t number;
};

struct gates {
	cl_command_queue second; /* in order */
	cl_kernel stir;
	cl_mem buffers[BUFFERS];
	uint32_t *mirrors[BUFFERS];
	uint32_t *read;
	cl_event gate;		     /* not set yet; or NULL */
	cl_command_queue held_queue; /* where what waits for it is */
	cl_event held_last;	     /* the last one of these */
	struct op held[HELD];
	unsigned held_count;
};

static void init(struct workload *w, void *data)
{
	struct gates *self = data;
	cl_int err;

	self->stir = kernel_make(w, "stir");
	self->second = clCreateCommandQueue(w->context, w->device, 0, &err);
	must("clCreateCommandQueue", err);
	self->read = allocate(WORDS, sizeof(uint32_t));
	for (unsigned i = 0; i < BUFFERS; i++) {
		self->mirrors[i] = allocate(WORDS, sizeof(uint32_t));
		words_random(w, self->mirrors[i], WORDS);
		self->buffers[i] = buffer_make(w, WORDS, self->mirrors[i]);
	}
}

static struct op op_random(struct workload *w)
{
	struct op op = {.fills = chance(w, 2), .to = chance(w, BUFFERS)};

	op.from = (op.to + 1 + chance(w, BUFFERS - 1)) % BUFFERS;
	op.number = chance(w, 1u << 20);
	return op;
}

static void op_follow(struct gates *self, const struct op *op)
{
	uint32_t *to = self->mirrors[op->to];

	if (!op->fills)
		stir_follow(to, self->mirrors[op->from], WORDS - 1, op->number, WORDS);
	for (unsigned i = 0; op->fills && i < WORDS / 2; i++)
		to[i] = op->number;
}

static void op_enqueue(struct gates *self, const struct op *op, cl_command_queue queue,
		       cl_uint count, const cl_event *waits, cl_event *event)
{
	if (op->fills) {
		must("clEnqueueFillBuffer",
		     clEnqueueFillBuffer(queue, self->buffers[op->to], &op->number,
					 sizeof op->number, 0, WORDS / 2 * sizeof op->number, count,
					 waits, event));
		return;
	}
	stir_set(self->stir, self->buffers[op->to], self->buffers[op->from], WORDS - 1, op->number);
	launch(queue, self->stir, WORDS, count, waits, event);
}

/* Some wait for the gate directly, others for those. */
static void hold(struct workload *w, struct gates *self)
{
	bool loose = chance(w, 2), barrier = loose && chance(w, 2);
	cl_event wait, event;
	cl_int err;

	self->gate = clCreateUserEvent(w->context, &err);
	must("clCreateUserEvent", err);
	self->held_queue = loose ? w->loose : self->second;
	self->held_count = 1 + chance(w, HELD);
	wait = self->gate;
	for (unsigned i = 0; i < self->held_count; i++) {
		self->held[i] = op_random(w);
		if (barrier)
			must("clEnqueueBarrierWithWaitList",
			     clEnqueueBarrierWithWaitList(self->held_queue, 1, &wait, NULL));
		op_enqueue(self, &self->held[i], self->held_queue,
			   (loose && !barrier) || i == 0 ? 1 : 0,
			   (loose && !barrier) || i == 0 ? &wait : NULL, &event);
		if (i)
			must("clReleaseEvent", clReleaseEvent(wait));
		wait = event;
	}
	self->held_last = wait;
	must("clFlush", clFlush(self->held_queue));
}

static void CL_CALLBACK gate_set(cl_event event, cl_int status, void *gate)
{
	(void)event;
	clSetUserEventStatus(gate, status);
	clReleaseEvent(gate);
}

static void read_check(struct workload *w, struct gates *self, cl_command_queue queue,
		       const char *what, unsigned buffer)
{
	must("clEnqueueReadBuffer",
	     clEnqueueReadBuffer(queue, self->buffers[buffer], CL_TRUE, 0, WORDS * sizeof(uint32_t),
				 self->read, 0, NULL, NULL));
	words_check(w, what, self->read, self->mirrors[buffer], WORDS);
}

/* What runs before; its end opens the gate. */
static void open_after(struct workload *w, struct gates *self)
{
	unsigned count = 1 + chance(w, 3);
	cl_event last = NULL;

	for (unsigned i = 0; i < count; i++) {
		struct op op = op_random(w);

		op_enqueue(self, &op, w->queue, 0, NULL, i + 1 == count ? &last : NULL);
		op_follow(self, &op);
	}
	if (chance(w, 2)) {
		must("clRetainEvent", clRetainEvent(self->gate));
		must("clSetEventCallback",
		     clSetEventCallback(last, CL_COMPLETE, gate_set, self->gate));
		must("clFlush", clFlush(w->queue));
	} else {
		read_check(w, self, w->queue, "before the gate", chance(w, BUFFERS));
		must("clSetUserEventStatus", clSetUserEventStatus(self->gate, CL_COMPLETE));
	}
	clReleaseEvent(last);
	clReleaseEvent(self->gate);
	self->gate = NULL;
}

static void end(struct workload *w, struct gates *self)
{
	open_after(w, self);
	must("clWaitForEvents", clWaitForEvents(1, &self->held_last));
	clReleaseEvent(self->held_last);
	for (unsigned i = 0; i < self->held_count; i++)
		op_follow(self, &self->held[i]);
	for (unsigned i = 0; i < BUFFERS; i++)
		read_check(w, self, chance(w, 2) ? w->queue : self->held_queue, "after the gate",
			   i);
}

static void round_do(struct workload *w, void *data, unsigned number)
{
	struct gates *self = data;

	if (self->gate)
		end(w, self);
	hold(w, self);
	if (number % 4 != 1)
		end(w, self);
}

static void fini(struct workload *w, void *data)
{
	struct gates *self = data;

	if (self->gate)
		end(w, self);
	for (unsigned i = 0; i < BUFFERS; i++) {
		clReleaseMemObject(self->buffers[i]);
		free(self->mirrors[i]);
	}
	free(self->read);
	clReleaseCommandQueue(self->second);
	clReleaseKernel(self->stir);
}

const struct mode mode_gates = {"gates", sizeof(struct gates), init, round_do, fini};
