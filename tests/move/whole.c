// SPDX-License-Identifier: MIT
/*
 * Buffers that are written as a whole again and again, and one of which a little is: what moves
 * copy behind, and what they look for changes in. Each word depends on what it was before.
 */
#include <stdlib.h>

#include "workload.h"

#define WHOLES	    3u
#define WHOLE_WORDS (128u << 10)
#define LARGE_WORDS (1u << 20)
#define FROM_WORDS  4096u
#define SPOTS	    3u
#define SPOT_WORDS  1000u

struct whole {
	cl_kernel stir;
	cl_mem from, wholes[WHOLES], large;
	uint32_t *from_mirror, *mirrors[WHOLES], *large_mirror, *read;
};

static cl_mem made(struct workload *w, uint32_t **mirror, size_t words)
{
	*mirror = allocate(words, sizeof **mirror);
	words_random(w, *mirror, words);
	return buffer_make(w, words, *mirror);
}

static void init(struct workload *w, void *data)
{
	struct whole *self = data;

	self->stir = kernel_make(w, "stir");
	self->from = made(w, &self->from_mirror, FROM_WORDS);
	for (unsigned i = 0; i < WHOLES; i++)
		self->wholes[i] = made(w, &self->mirrors[i], WHOLE_WORDS);
	self->large = made(w, &self->large_mirror, LARGE_WORDS);
	self->read = allocate(LARGE_WORDS, sizeof *self->read);
}

static void wholes_step(struct workload *w, struct whole *self)
{
	uint32_t number = chance(w, 1u << 20);

	for (unsigned i = 0; i < WHOLES; i++) {
		stir_set(self->stir, self->wholes[i], self->from, FROM_WORDS - 1, number);
		launch(w->queue, self->stir, WHOLE_WORDS, 0, NULL, NULL);
		stir_follow(self->mirrors[i], self->from_mirror, FROM_WORDS - 1, number,
			    WHOLE_WORDS);
	}
}

/* Every other time a spot gets back what it had. */
static void spot_step(struct workload *w, struct whole *self)
{
	const size_t at = chance(w, LARGE_WORDS - SPOT_WORDS), size = SPOT_WORDS * sizeof(uint32_t);
	uint32_t value = chance(w, 2) ? chance(w, 1u << 20) : self->large_mirror[at];

	must("clEnqueueFillBuffer", clEnqueueFillBuffer(w->queue, self->large, &value, sizeof value,
							at * sizeof value, size, 0, NULL, NULL));
	for (size_t i = 0; i < SPOT_WORDS; i++)
		self->large_mirror[at + i] = value;
}

static void check(struct workload *w, struct whole *self, cl_mem buffer, const uint32_t *mirror,
		  size_t words)
{
	must("clEnqueueReadBuffer",
	     clEnqueueReadBuffer(w->queue, buffer, CL_TRUE, 0, words * sizeof *mirror, self->read,
				 0, NULL, NULL));
	words_check(w, "whole", self->read, mirror, words);
}

static void round_do(struct workload *w, void *data, unsigned number)
{
	struct whole *self = data;

	for (unsigned i = 0; i < SPOTS; i++) {
		wholes_step(w, self);
		spot_step(w, self);
	}
	check(w, self, self->wholes[number % WHOLES], self->mirrors[number % WHOLES], WHOLE_WORDS);
	if (number % 4 == 0)
		check(w, self, self->large, self->large_mirror, LARGE_WORDS);
}

static void fini(struct workload *w, void *data)
{
	struct whole *self = data;

	check(w, self, self->large, self->large_mirror, LARGE_WORDS);
	for (unsigned i = 0; i < WHOLES; i++) {
		check(w, self, self->wholes[i], self->mirrors[i], WHOLE_WORDS);
		clReleaseMemObject(self->wholes[i]);
		free(self->mirrors[i]);
	}
	clReleaseMemObject(self->from);
	clReleaseMemObject(self->large);
	clReleaseKernel(self->stir);
	free(self->from_mirror);
	free(self->large_mirror);
	free(self->read);
}

const struct mode mode_whole = {"whole", sizeof(struct whole), init, round_do, fini};
