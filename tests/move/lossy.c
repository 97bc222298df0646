// SPDX-License-Identifier: MIT
/*
 * Two queues with buffers of their own, of which one may be lost with a server: what fails is told
 * ("failed QUEUE CODE"), what is read must be right all the same. What a queue had is written anew
 * then, and it goes on; "renewed QUEUE CODE" tells whether that could be done.
 *
 * Variants do what can't be done again after a loss: "lossy-shared" writes to the first queue's
 * data by the second one, "lossy-prints" has a program that can print, in "lossy-fails" a command
 * fails on the first queue, and is waited for without a word.
 */
#include <stdlib.h>

#include "workload.h"

#define QUEUES 2u
#define WORDS  65536u

enum variant { PLAIN, SHARED, PRINTS, FAILS };

struct lossy {
	enum variant variant;
	cl_command_queue queues[QUEUES];
	cl_kernel stir[QUEUES];
	cl_mem data[QUEUES], from[QUEUES];
	uint32_t *mirror[QUEUES], *from_mirror[QUEUES], *read;
};

static void init(struct workload *w, void *data)
{
	struct lossy *self = data;
	cl_int err;

	self->read = allocate(WORDS, sizeof(uint32_t));
	self->queues[0] = w->queue;
	self->queues[1] = clCreateCommandQueue(w->context, w->device, 0, &err);
	must("clCreateCommandQueue", err);
	for (unsigned i = 0; i < QUEUES; i++) {
		self->stir[i] = kernel_make(w, "stir");
		self->mirror[i] = allocate(WORDS, sizeof(uint32_t));
		self->from_mirror[i] = allocate(WORDS, sizeof(uint32_t));
		words_random(w, self->mirror[i], WORDS);
		words_random(w, self->from_mirror[i], WORDS);
		self->data[i] = buffer_make(w, WORDS, self->mirror[i]);
		self->from[i] = buffer_make(w, WORDS, self->from_mirror[i]);
	}
}

static void init_shared(struct workload *w, void *data)
{
	init(w, data);
	((struct lossy *)data)->variant = SHARED;
}

static void init_prints(struct workload *w, void *data)
{
	init(w, data);
	clReleaseProgram(program_make(w, "kernel void tell(void) { printf(\"told\\n\"); }", ""));
}

static void init_fails(struct workload *w, void *data)
{
	init(w, data);
	((struct lossy *)data)->variant = FAILS;
}

/* By the other queue, which knows that the first one has nothing to do. */
static void share(struct workload *w, struct lossy *self)
{
	self->from_mirror[0][0] = chance(w, 1u << 20);
	must("clEnqueueWriteBuffer",
	     clEnqueueWriteBuffer(self->queues[1], self->from[0], CL_TRUE, 0, sizeof(uint32_t),
				  self->from_mirror[0], 0, NULL, NULL));
}

/* What waits for an event that the program lets fail. */
static void fail(struct workload *w, struct lossy *self)
{
	cl_int err;
	cl_event held = clCreateUserEvent(w->context, &err), failed = NULL;

	must("clCreateUserEvent", err);
	err = clEnqueueMarkerWithWaitList(self->queues[0], 1, &held, &failed);
	clFlush(self->queues[0]);
	must("clSetUserEventStatus", clSetUserEventStatus(held, -1));
	if (!err) {
		clWaitForEvents(1, &failed);
		clReleaseEvent(failed);
	}
	clReleaseEvent(held);
}

static cl_int write_all(struct lossy *self, unsigned i, cl_mem buffer, uint32_t *mirror)
{
	return clEnqueueWriteBuffer(self->queues[i], buffer, CL_TRUE, 0, WORDS * sizeof *mirror,
				    mirror, 0, NULL, NULL);
}

/* Return: what failed first. */
static cl_int step(struct workload *w, struct lossy *self, unsigned i)
{
	const size_t items = WORDS, group = GROUP;
	uint32_t number = chance(w, 1u << 20);
	cl_int err, later;

	stir_set(self->stir[i], self->data[i], self->from[i], WORDS - 1, number);
	err = clEnqueueNDRangeKernel(self->queues[i], self->stir[i], 1, NULL, &items, &group, 0,
				     NULL, NULL);
	stir_follow(self->mirror[i], self->from_mirror[i], WORDS - 1, number, WORDS);
	later = clEnqueueReadBuffer(self->queues[i], self->data[i], CL_TRUE, 0,
				    WORDS * sizeof(uint32_t), self->read, 0, NULL, NULL);
	err = err ? err : later;
	later = clFinish(self->queues[i]);
	err = err ? err : later;
	if (!err)
		words_check(w, "lossy", self->read, self->mirror[i], WORDS);
	return err;
}

static void renew(struct lossy *self, unsigned i)
{
	cl_int err = write_all(self, i, self->data[i], self->mirror[i]);

	if (!err)
		err = write_all(self, i, self->from[i], self->from_mirror[i]);
	say("renewed %u %d", i, err);
}

static void round_do(struct workload *w, void *data, unsigned number)
{
	struct lossy *self = data;

	(void)number;
	if (self->variant == SHARED)
		share(w, self);
	if (self->variant == FAILS)
		fail(w, self);
	for (unsigned i = 0; i < QUEUES; i++) {
		cl_int err = step(w, self, i);

		if (!err)
			continue;
		say("failed %u %d", i, err);
		renew(self, i);
	}
}

static void fini(struct workload *w, void *data)
{
	struct lossy *self = data;

	(void)w;
	for (unsigned i = 0; i < QUEUES; i++) {
		clFinish(self->queues[i]);
		clReleaseKernel(self->stir[i]);
		clReleaseMemObject(self->data[i]);
		clReleaseMemObject(self->from[i]);
		free(self->mirror[i]);
		free(self->from_mirror[i]);
	}
	clReleaseCommandQueue(self->queues[1]);
	free(self->read);
}

const struct mode mode_lossy = {"lossy", sizeof(struct lossy), init, round_do, fini};
const struct mode mode_lossy_shared = {"lossy-shared", sizeof(struct lossy), init_shared, round_do,
				       fini};
const struct mode mode_lossy_prints = {"lossy-prints", sizeof(struct lossy), init_prints, round_do,
				       fini};
const struct mode mode_lossy_fails = {"lossy-fails", sizeof(struct lossy), init_fails, round_do,
				      fini};
