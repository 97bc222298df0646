// SPDX-License-Identifier: MIT
/*
 * One in-order queue and many buffers, from small ones to some that are copied ahead: kernels,
 * writes from memory that stays, copies, fills, reads that nobody waits for; and a read that is
 * waited for.
 */
#include <stdlib.h>
#include <string.h>

#include "workload.h"

#define BUFFERS	  11u
#define WORDS_MAX (64u << (BUFFERS - 1))
#define STEPS	  6u

struct order {
	cl_kernel stir;
	cl_mem buffers[BUFFERS];
	size_t words[BUFFERS];
	uint32_t *mirrors[BUFFERS];
	uint32_t *sources[STEPS]; /* of writes */
	uint32_t *read, *late, *late_wanted;
	size_t late_words;
};

static void init(struct workload *w, void *data)
{
	struct order *self = data;

	self->stir = kernel_make(w, "stir");
	for (unsigned i = 0; i < BUFFERS; i++) {
		self->words[i] = 64u << i;
		self->mirrors[i] = allocate(self->words[i], sizeof(uint32_t));
		words_random(w, self->mirrors[i], self->words[i]);
		self->buffers[i] = buffer_make(w, self->words[i], self->mirrors[i]);
	}
	for (unsigned i = 0; i < STEPS; i++)
		self->sources[i] = allocate(WORDS_MAX, sizeof(uint32_t));
	self->read = allocate(WORDS_MAX, sizeof(uint32_t));
	self->late = allocate(WORDS_MAX, sizeof(uint32_t));
	self->late_wanted = allocate(WORDS_MAX, sizeof(uint32_t));
}

static void step_stir(struct workload *w, struct order *self, unsigned to, unsigned from)
{
	uint32_t mask = (uint32_t)self->words[from] - 1, number = chance(w, 1u << 20);
	size_t items = self->words[to];

	stir_set(self->stir, self->buffers[to], self->buffers[from], mask, number);
	launch(w->queue, self->stir, items, 0, NULL, NULL);
	stir_follow(self->mirrors[to], self->mirrors[from], mask, number, items);
}

/* A part, or all of it. */
static void step_write(struct workload *w, struct order *self, unsigned to, uint32_t *source)
{
	size_t begin = chance(w, 2) ? 0 : self->words[to] / 4, count = self->words[to] - begin;

	words_random(w, source, count);
	must("clEnqueueWriteBuffer",
	     clEnqueueWriteBuffer(w->queue, self->buffers[to], CL_FALSE, begin * sizeof *source,
				  count * sizeof *source, source, 0, NULL, NULL));
	memcpy(self->mirrors[to] + begin, source, count * sizeof *source);
}

static void step_copy(struct workload *w, struct order *self, unsigned to, unsigned from)
{
	size_t count = self->words[to] < self->words[from] ? self->words[to] : self->words[from];
	size_t size = count / 2 * sizeof(uint32_t), offset = chance(w, 2) ? size : 0;

	must("clEnqueueCopyBuffer",
	     clEnqueueCopyBuffer(w->queue, self->buffers[from], self->buffers[to], size - offset,
				 offset, size, 0, NULL, NULL));
	memcpy((char *)self->mirrors[to] + offset, (char *)self->mirrors[from] + size - offset,
	       size);
}

static void step_fill(struct workload *w, struct order *self, unsigned to)
{
	uint32_t value = chance(w, 1u << 30);
	size_t count = self->words[to] / 2, begin = chance(w, 2) ? count : 0;

	must("clEnqueueFillBuffer",
	     clEnqueueFillBuffer(w->queue, self->buffers[to], &value, sizeof value,
				 begin * sizeof value, count * sizeof value, 0, NULL, NULL));
	for (size_t i = begin; i < begin + count; i++)
		self->mirrors[to][i] = value;
}

static void step_late(struct workload *w, struct order *self, unsigned from)
{
	if (self->late_words)
		return;
	self->late_words = self->words[from];
	memcpy(self->late_wanted, self->mirrors[from], self->late_words * sizeof(uint32_t));
	must("clEnqueueReadBuffer",
	     clEnqueueReadBuffer(w->queue, self->buffers[from], CL_FALSE, 0,
				 self->late_words * sizeof(uint32_t), self->late, 0, NULL, NULL));
}

static void step(struct workload *w, struct order *self, uint32_t *source)
{
	unsigned to = chance(w, BUFFERS), from = (to + 1 + chance(w, BUFFERS - 1)) % BUFFERS;

	switch (chance(w, 8)) {
	case 0:
		step_write(w, self, to, source);
		break;
	case 1:
		step_copy(w, self, to, from);
		break;
	case 2:
		step_fill(w, self, to);
		break;
	case 3:
		step_late(w, self, from);
		break;
	default:
		step_stir(w, self, to, from);
	}
}

static void round_do(struct workload *w, void *data, unsigned number)
{
	struct order *self = data;
	unsigned from = number % BUFFERS;

	for (unsigned i = 0; i < STEPS; i++)
		step(w, self, self->sources[i]);
	must("clEnqueueReadBuffer",
	     clEnqueueReadBuffer(w->queue, self->buffers[from], CL_TRUE, 0,
				 self->words[from] * sizeof(uint32_t), self->read, 0, NULL, NULL));
	words_check(w, "read", self->read, self->mirrors[from], self->words[from]);
	words_check(w, "read without waiting", self->late, self->late_wanted, self->late_words);
	self->late_words = 0;
}

static void fini(struct workload *w, void *data)
{
	struct order *self = data;

	must("clFinish", clFinish(w->queue));
	for (unsigned i = 0; i < BUFFERS; i++) {
		clReleaseMemObject(self->buffers[i]);
		free(self->mirrors[i]);
	}
	for (unsigned i = 0; i < STEPS; i++)
		free(self->sources[i]);
	free(self->read);
	free(self->late);
	free(self->late_wanted);
	clReleaseKernel(self->stir);
}

const struct mode mode_order = {"order", sizeof(struct order), init, round_do, fini};
