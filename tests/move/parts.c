// SPDX-License-Identifier: MIT
/*
 * Parts of buffers: the halves of one, which two queues work on at a time; rectangles; what is
 * mapped, and stays so for some rounds; and a buffer over the program's own memory.
 */
#include <stdlib.h>
#include <string.h>

#include "workload.h"

#define HALF  8192u
#define WORDS (2 * HALF)
#define SMALL 1024u

/* Of the rectangles: rows of the parent. */
#define PITCH 128u

/* A mapping lasts so many rounds. */
#define HELD 3u

struct parts {
	cl_command_queue queues[2];
	cl_kernel stir;
	cl_mem parent, halves[2], other; /* other: of HALF words */
	cl_mem from[2];			 /* of SMALL words, one a queue */
	cl_mem held, own;		 /* mapped for long; over @own_memory */
	uint32_t *mirror, *other_mirror, *from_mirrors[2], *held_mirror, *own_mirror;
	uint32_t *own_memory, *read, *source, *mapped;
};

static void halves_make(struct parts *self)
{
	for (size_t i = 0; i < 2; i++) {
		const cl_buffer_region region = {i * HALF * sizeof(uint32_t),
						 HALF * sizeof(uint32_t)};
		cl_int err;

		self->halves[i] = clCreateSubBuffer(self->parent, CL_MEM_READ_WRITE,
						    CL_BUFFER_CREATE_TYPE_REGION, &region, &err);
		must("clCreateSubBuffer", err);
	}
}

static void own_make(struct workload *w, struct parts *self)
{
	cl_int err;

	self->own_memory = aligned_alloc(4096, SMALL * sizeof(uint32_t));
	must("malloc", self->own_memory ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY);
	words_random(w, self->own_memory, SMALL);
	self->own_mirror = allocate(SMALL, sizeof(uint32_t));
	memcpy(self->own_mirror, self->own_memory, SMALL * sizeof(uint32_t));
	self->own = clCreateBuffer(w->context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR,
				   SMALL * sizeof(uint32_t), self->own_memory, &err);
	must("clCreateBuffer", err);
}

static cl_mem mirrored(struct workload *w, size_t words, uint32_t **mirror)
{
	*mirror = allocate(words, sizeof **mirror);
	words_random(w, *mirror, words);
	return buffer_make(w, words, *mirror);
}

static void init(struct workload *w, void *data)
{
	struct parts *self = data;
	cl_int err;

	self->stir = kernel_make(w, "stir");
	self->queues[0] = w->queue;
	self->queues[1] = clCreateCommandQueue(w->context, w->device, 0, &err);
	must("clCreateCommandQueue", err);
	self->parent = mirrored(w, WORDS, &self->mirror);
	self->other = mirrored(w, HALF, &self->other_mirror);
	self->held = mirrored(w, SMALL, &self->held_mirror);
	for (unsigned i = 0; i < 2; i++)
		self->from[i] = mirrored(w, SMALL, &self->from_mirrors[i]);
	halves_make(self);
	own_make(w, self);
	self->read = allocate(WORDS, sizeof(uint32_t));
	self->source = allocate(WORDS, sizeof(uint32_t));
}

/* Both at a time, and nothing that holds them together. */
static void halves_step(struct workload *w, struct parts *self, unsigned i)
{
	uint32_t number = chance(w, 1u << 20), *mirror = self->mirror + i * HALF;
	cl_command_queue queue = self->queues[i];

	stir_set(self->stir, self->halves[i], self->from[i], SMALL - 1, number);
	launch(queue, self->stir, HALF, 0, NULL, NULL);
	stir_follow(mirror, self->from_mirrors[i], SMALL - 1, number, HALF);
	if (chance(w, 2))
		return;
	must("clEnqueueFillBuffer",
	     clEnqueueFillBuffer(queue, self->halves[i], &number, sizeof number,
				 SMALL * sizeof number, SMALL * sizeof number, 0, NULL, NULL));
	for (unsigned word = SMALL; word < 2 * SMALL; word++)
		mirror[word] = number;
	stir_set(self->stir, self->from[i], self->halves[i], SMALL - 1, number);
	launch(queue, self->stir, SMALL, 0, NULL, NULL);
	stir_follow(self->from_mirrors[i], mirror, SMALL - 1, number, SMALL);
}

static void parent_check(struct workload *w, struct parts *self, unsigned queue)
{
	must("clEnqueueReadBuffer",
	     clEnqueueReadBuffer(self->queues[queue], self->parent, CL_TRUE, 0,
				 WORDS * sizeof(uint32_t), self->read, 0, NULL, NULL));
	words_check(w, "parent", self->read, self->mirror, WORDS);
}

/* ------------------------------------------------------------ rectangles */

/* Rows of half a pitch, from row @from_row on, at the same place to row @to_row on. */
static void rows_follow(uint32_t *to, size_t to_row, const uint32_t *from, size_t from_row,
			size_t rows)
{
	for (size_t row = 0; row < rows; row++)
		memcpy(to + (to_row + row) * PITCH + 8, from + (from_row + row) * PITCH + 8,
		       PITCH / 2 * sizeof *to);
}

static void rectangles_step(struct workload *w, struct parts *self)
{
	const size_t pitch = PITCH * sizeof(uint32_t), rows = 16;
	size_t row = chance(w, HALF / PITCH - 16), x = 8 * sizeof(uint32_t);
	const size_t at[3] = {x, row, 0}, begin[3] = {x, 0, 0}, region[3] = {pitch / 2, rows, 1};

	words_random(w, self->source, rows * PITCH);
	must("clEnqueueWriteBufferRect",
	     clEnqueueWriteBufferRect(w->queue, self->parent, CL_FALSE, at, begin, region, pitch, 0,
				      pitch, 0, self->source, 0, NULL, NULL));
	rows_follow(self->mirror, row, self->source, 0, rows);
	must("clEnqueueCopyBufferRect",
	     clEnqueueCopyBufferRect(w->queue, self->parent, self->other, at, begin, region, pitch,
				     0, pitch, 0, 0, NULL, NULL));
	rows_follow(self->other_mirror, 0, self->mirror, row, rows);
	memcpy(self->read, self->other_mirror, HALF * sizeof(uint32_t));
	must("clEnqueueReadBufferRect",
	     clEnqueueReadBufferRect(w->queue, self->other, CL_TRUE, begin, begin, region, pitch, 0,
				     pitch, 0, self->read, 0, NULL, NULL));
	words_check(w, "rectangle", self->read, self->other_mirror, HALF);
}

/* ------------------------------------------------------------ mappings */

static uint32_t *map(struct workload *w, cl_mem buffer, cl_map_flags flags)
{
	cl_int err;
	uint32_t *found = clEnqueueMapBuffer(w->queue, buffer, CL_TRUE, flags, 0,
					     SMALL * sizeof(uint32_t), 0, NULL, NULL, &err);

	must("clEnqueueMapBuffer", err);
	return found;
}

static void unmap(struct workload *w, cl_mem buffer, void *mapped)
{
	must("clEnqueueUnmapMemObject",
	     clEnqueueUnmapMemObject(w->queue, buffer, mapped, 0, NULL, NULL));
}

static void held_step(struct workload *w, struct parts *self, unsigned number)
{
	uint32_t value = chance(w, 1u << 20);

	if (!self->mapped) {
		self->mapped = map(w, self->held, CL_MAP_READ | CL_MAP_WRITE);
		words_check(w, "mapped", self->mapped, self->held_mirror, SMALL);
	}
	for (unsigned i = number % HELD; i < SMALL; i += HELD)
		self->held_mirror[i] = self->mapped[i] = value + i;
	if (number % HELD != HELD - 1)
		return;
	unmap(w, self->held, self->mapped);
	self->mapped = NULL;
	stir_set(self->stir, self->held, self->from[0], SMALL - 1, value);
	launch(w->queue, self->stir, SMALL, 0, NULL, NULL);
	stir_follow(self->held_mirror, self->from_mirrors[0], SMALL - 1, value, SMALL);
}

static void own_step(struct workload *w, struct parts *self)
{
	uint32_t value = chance(w, 1u << 20), *mapped;

	stir_set(self->stir, self->own, self->from[0], SMALL - 1, value);
	launch(w->queue, self->stir, SMALL, 0, NULL, NULL);
	stir_follow(self->own_mirror, self->from_mirrors[0], SMALL - 1, value, SMALL);
	mapped = map(w, self->own, CL_MAP_READ | CL_MAP_WRITE);
	if (mapped != self->own_memory)
		wrong("own memory is mapped elsewhere");
	words_check(w, "own", mapped, self->own_mirror, SMALL);
	self->own_mirror[value % SMALL] = mapped[value % SMALL] = value;
	unmap(w, self->own, mapped);
}

/* ------------------------------------------------------------ all of it */

static void round_do(struct workload *w, void *data, unsigned number)
{
	struct parts *self = data;

	for (unsigned i = 0; i < 4; i++)
		halves_step(w, self, i % 2);
	must("clFlush", clFlush(self->queues[1]));
	held_step(w, self, number);
	must("clFinish", clFinish(self->queues[1]));
	must("clFinish", clFinish(self->queues[0]));
	rectangles_step(w, self);
	if (number % 2)
		parent_check(w, self, number / 2 % 2);
	own_step(w, self);
}

static void fini(struct workload *w, void *data)
{
	struct parts *self = data;
	const cl_mem mems[] = {self->halves[0], self->halves[1], self->parent, self->other,
			       self->from[0],	self->from[1],	 self->held,   self->own};
	uint32_t *const memory[] = {
		self->mirror,	       self->other_mirror, self->from_mirrors[0],
		self->from_mirrors[1], self->held_mirror,  self->own_mirror,
		self->own_memory,      self->read,	   self->source};

	if (self->mapped)
		unmap(w, self->held, self->mapped);
	must("clFinish", clFinish(w->queue));
	parent_check(w, self, 1);
	for (size_t i = 0; i < sizeof mems / sizeof mems[0]; i++)
		clReleaseMemObject(mems[i]);
	for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++)
		free(memory[i]);
	clReleaseCommandQueue(self->queues[1]);
	clReleaseKernel(self->stir);
}

const struct mode mode_parts = {"parts", sizeof(struct parts), init, round_do, fini};
