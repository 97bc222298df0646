// SPDX-License-Identifier: MIT
/*
 * What has to come out right although a server is lost in the middle: "order" and its like are run
 * as well; here is what they lack. An in-order queue and one out of order work on buffers of their
 * own and on one that they share by events; user events hold commands back; buffers, kernels,
 * events and now and then a queue are released while commands that need them are under way; and
 * arguments that are set once stay.
 */
#include <stdlib.h>
#include <string.h>

#include "workload.h"

#define WORDS 4096u
#define OWN   6u

struct replay {
	cl_kernel stir, sticky;
	cl_mem own[OWN], common;
	uint32_t *mirrors[OWN], *common_mirror;
	uint32_t *read, *source, *fresh_mirror;
	uint32_t sticky_number;
};

static void init(struct workload *w, void *data)
{
	struct replay *self = data;

	self->stir = kernel_make(w, "stir");
	self->sticky = kernel_make(w, "stir");
	self->read = allocate(WORDS, sizeof(uint32_t));
	self->source = allocate(WORDS, sizeof(uint32_t));
	self->fresh_mirror = allocate(WORDS, sizeof(uint32_t));
	for (unsigned i = 0; i < OWN; i++) {
		self->mirrors[i] = allocate(WORDS, sizeof(uint32_t));
		words_random(w, self->mirrors[i], WORDS);
		self->own[i] = buffer_make(w, WORDS, self->mirrors[i]);
	}
	self->common_mirror = allocate(WORDS, sizeof(uint32_t));
	words_random(w, self->common_mirror, WORDS);
	self->common = buffer_make(w, WORDS, self->common_mirror);
	/* Two arguments of it are never set again. */
	stir_set(self->sticky, self->own[0], self->own[1], WORDS - 1, 0);
}

static void read_check(struct workload *w, struct replay *self, cl_command_queue queue, cl_mem mem,
		       const uint32_t *mirror, const char *what)
{
	must("clEnqueueReadBuffer",
	     clEnqueueReadBuffer(queue, mem, CL_TRUE, 0, WORDS * sizeof(uint32_t), self->read, 0,
				 NULL, NULL));
	words_check(w, what, self->read, mirror, WORDS);
}

/* Only the number is set. */
static void step_sticky(struct workload *w, struct replay *self)
{
	uint32_t number = chance(w, 1u << 20);

	must("clSetKernelArg", clSetKernelArg(self->sticky, 3, sizeof number, &number));
	launch(w->queue, self->sticky, WORDS, 0, NULL, NULL);
	stir_follow(self->mirrors[0], self->mirrors[1], WORDS - 1, number, WORDS);
}

/* A buffer that lives for two commands, and a kernel that does for one. */
static void step_fresh(struct workload *w, struct replay *self)
{
	uint32_t number = chance(w, 1u << 20);
	cl_kernel kernel = kernel_make(w, "stir");
	cl_mem fresh;

	words_random(w, self->fresh_mirror, WORDS);
	fresh = buffer_make(w, WORDS, chance(w, 2) ? self->fresh_mirror : NULL);
	must("clEnqueueWriteBuffer",
	     clEnqueueWriteBuffer(w->queue, fresh, CL_TRUE, 0, WORDS * sizeof(uint32_t),
				  self->fresh_mirror, 0, NULL, NULL));
	stir_set(kernel, fresh, self->own[2], WORDS - 1, number);
	launch(w->queue, kernel, WORDS, 0, NULL, NULL);
	stir_follow(self->fresh_mirror, self->mirrors[2], WORDS - 1, number, WORDS);
	must("clEnqueueCopyBuffer", clEnqueueCopyBuffer(w->queue, fresh, self->own[3], 0, 0,
							WORDS * sizeof(uint32_t), 0, NULL, NULL));
	memcpy(self->mirrors[3], self->fresh_mirror, WORDS * sizeof(uint32_t));
	must("clReleaseMemObject", clReleaseMemObject(fresh));
	must("clReleaseKernel", clReleaseKernel(kernel));
}

/* All that the queue in order has to do before. */
static cl_event mark(struct workload *w)
{
	cl_event marked;

	must("clEnqueueMarkerWithWaitList",
	     clEnqueueMarkerWithWaitList(w->queue, 0, NULL, &marked));
	must("clFlush", clFlush(w->queue));
	return marked;
}

/* The same buffer by both queues, in turns; held back by a user event. */
static void step_common(struct workload *w, struct replay *self)
{
	uint32_t first = chance(w, 1u << 20), second = chance(w, 1u << 20);
	cl_event held[2], events[2];
	cl_int err;

	held[0] = clCreateUserEvent(w->context, &err);
	must("clCreateUserEvent", err);
	held[1] = mark(w);
	stir_set(self->stir, self->common, self->own[4], WORDS - 1, first);
	launch(w->loose, self->stir, WORDS, 2, held, &events[0]);
	stir_set(self->stir, self->common, self->own[5], WORDS - 1, second);
	launch(w->queue, self->stir, WORDS, 1, &events[0], &events[1]);
	stir_follow(self->common_mirror, self->mirrors[4], WORDS - 1, first, WORDS);
	stir_follow(self->common_mirror, self->mirrors[5], WORDS - 1, second, WORDS);
	must("clFlush", clFlush(w->loose));
	must("clFlush", clFlush(w->queue));
	must("clSetUserEventStatus", clSetUserEventStatus(held[0], CL_COMPLETE));
	must("clReleaseEvent", clReleaseEvent(events[0]));
	must("clReleaseEvent", clReleaseEvent(held[0]));
	must("clReleaseEvent", clReleaseEvent(held[1]));
	if (chance(w, 2))
		must("clWaitForEvents", clWaitForEvents(1, &events[1]));
	must("clReleaseEvent", clReleaseEvent(events[1]));
}

/* Mapped, changed, unmapped. */
static void step_map(struct workload *w, struct replay *self)
{
	unsigned which = chance(w, OWN);
	uint32_t value = chance(w, 1u << 20), *words;
	cl_int err;

	words = clEnqueueMapBuffer(w->queue, self->own[which], CL_TRUE, CL_MAP_READ | CL_MAP_WRITE,
				   0, WORDS * sizeof *words, 0, NULL, NULL, &err);
	must("clEnqueueMapBuffer", err);
	words_check(w, "map", words, self->mirrors[which], WORDS);
	for (unsigned i = 0; i < WORDS; i += 7)
		words[i] = self->mirrors[which][i] = value + i;
	must("clEnqueueUnmapMemObject",
	     clEnqueueUnmapMemObject(w->queue, self->own[which], words, 0, NULL, NULL));
}

/* Markers and barriers out of order, waited for by the queue that is in order. */
static void step_loose(struct workload *w, struct replay *self)
{
	uint32_t number = chance(w, 1u << 20);
	cl_event before = mark(w), written, marked;

	must("clFinish", clFinish(w->loose));
	words_random(w, self->source, WORDS);
	must("clEnqueueWriteBuffer",
	     clEnqueueWriteBuffer(w->loose, self->own[4], CL_FALSE, 0, WORDS * sizeof(uint32_t),
				  self->source, 1, &before, &written));
	memcpy(self->mirrors[4], self->source, WORDS * sizeof(uint32_t));
	stir_set(self->stir, self->own[4], self->own[4], WORDS - 1, number);
	launch(w->loose, self->stir, WORDS, 1, &written, NULL);
	for (unsigned i = 0; i < WORDS; i++)
		self->mirrors[4][i] =
			self->mirrors[4][i] * 1664525u + self->mirrors[4][i] + number + i;
	must("clEnqueueMarkerWithWaitList",
	     clEnqueueMarkerWithWaitList(w->loose, 0, NULL, &marked));
	must("clEnqueueBarrierWithWaitList",
	     clEnqueueBarrierWithWaitList(w->queue, 1, &marked, NULL));
	must("clFlush", clFlush(w->loose));
	must("clReleaseEvent", clReleaseEvent(before));
	must("clReleaseEvent", clReleaseEvent(written));
	must("clReleaseEvent", clReleaseEvent(marked));
	read_check(w, self, w->queue, self->own[4], self->mirrors[4], "loose");
}

static void round_do(struct workload *w, void *data, unsigned number)
{
	struct replay *self = data;

	step_sticky(w, self);
	switch (chance(w, 4)) {
	case 0:
		step_fresh(w, self);
		break;
	case 1:
		step_map(w, self);
		break;
	case 2:
		step_loose(w, self);
		break;
	default:
		step_common(w, self);
	}
	if (number % 5 == 0)
		read_check(w, self, w->queue, self->common, self->common_mirror, "common");
	if (number % 7 == 0)
		read_check(w, self, w->queue, self->own[number % OWN], self->mirrors[number % OWN],
			   "own");
}

static void fini(struct workload *w, void *data)
{
	struct replay *self = data;

	must("clFinish", clFinish(w->loose));
	for (unsigned i = 0; i < OWN; i++) {
		read_check(w, self, w->queue, self->own[i], self->mirrors[i], "own, at last");
		clReleaseMemObject(self->own[i]);
		free(self->mirrors[i]);
	}
	clReleaseMemObject(self->common);
	clReleaseKernel(self->stir);
	clReleaseKernel(self->sticky);
	free(self->common_mirror);
	free(self->read);
	free(self->source);
	free(self->fresh_mirror);
}

const struct mode mode_replay = {"replay", sizeof(struct replay), init, round_do, fini};
