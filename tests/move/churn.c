// SPDX-License-Identifier: MIT
/*
 * Objects that are made and given back all the time: buffers and parts of them, kernels, samplers,
 * queues, user events and, seldom, programs. Some are given back while commands use them, others
 * some rounds later.
 */
#include <stdlib.h>

#include "workload.h"

#define WORDS 4096u
#define LATER 5u /* rounds that some live on */

struct kept {
	cl_mem part; /* of a buffer that was given back */
	cl_kernel kernel;
	cl_event event;
	uint32_t *mirror;
};

struct churn {
	struct kept kept[LATER];
	uint32_t *read;
};

static void init(struct workload *w, void *data)
{
	struct churn *self = data;

	(void)w;
	self->read = allocate(WORDS, sizeof(uint32_t));
}

static void kept_release(struct kept *kept)
{
	if (!kept->part)
		return;
	clReleaseMemObject(kept->part);
	clReleaseKernel(kept->kernel);
	clReleaseEvent(kept->event);
	free(kept->mirror);
	*kept = (struct kept){0};
}

/* The second half; it keeps the buffer alive. */
static cl_mem part_make(cl_mem buffer)
{
	const cl_buffer_region region = {WORDS / 2 * sizeof(uint32_t),
					 WORDS / 2 * sizeof(uint32_t)};
	cl_int err;
	cl_mem made = clCreateSubBuffer(buffer, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION,
					&region, &err);

	must("clCreateSubBuffer", err);
	return made;
}

/* What was made some rounds ago is as it was left, though its buffer was given back then. */
static void kept_check(struct workload *w, struct churn *self, struct kept *kept)
{
	if (!kept->part)
		return;
	must("clEnqueueReadBuffer",
	     clEnqueueReadBuffer(w->queue, kept->part, CL_TRUE, 0, WORDS / 2 * sizeof(uint32_t),
				 self->read, 1, &kept->event, NULL));
	words_check(w, "kept", self->read, kept->mirror + WORDS / 2, WORDS / 2);
	kept_release(kept);
}

static void kept_make(struct workload *w, struct kept *kept)
{
	cl_mem buffer;
	uint32_t number = chance(w, 1u << 20);

	kept->mirror = allocate(WORDS, sizeof(uint32_t));
	words_random(w, kept->mirror, WORDS);
	buffer = buffer_make(w, WORDS, kept->mirror);
	kept->part = part_make(buffer);
	kept->kernel = kernel_make(w, "stir");
	stir_set(kept->kernel, kept->part, buffer, 0, number);
	must("clEnqueueFillBuffer", clEnqueueFillBuffer(w->queue, buffer, &number, sizeof number, 0,
							GROUP, 0, NULL, NULL));
	for (unsigned i = 0; i < GROUP / sizeof number; i++)
		kept->mirror[i] = number;
	launch(w->queue, kept->kernel, WORDS / 2, 0, NULL, &kept->event);
	stir_follow(kept->mirror + WORDS / 2, kept->mirror, 0, number, WORDS / 2);
	clReleaseMemObject(buffer);
}

/* Everything is given back while it is under way. */
static void hurry(struct workload *w, struct churn *self)
{
	uint32_t number = chance(w, 1u << 20), *mirror = allocate(WORDS, sizeof(uint32_t));
	cl_kernel kernel = kernel_make(w, "stir");
	cl_mem to, from;
	cl_event gate, done;
	cl_int err;

	gate = clCreateUserEvent(w->context, &err);
	must("clCreateUserEvent", err);
	words_random(w, mirror, WORDS);
	to = buffer_make(w, WORDS, mirror);
	from = buffer_make(w, WORDS, mirror);
	stir_set(kernel, to, from, WORDS - 1, number);
	launch(w->loose, kernel, WORDS, 1, &gate, &done);
	must("clEnqueueReadBuffer",
	     clEnqueueReadBuffer(w->loose, to, CL_FALSE, 0, WORDS * sizeof(uint32_t), self->read, 1,
				 &done, NULL));
	clReleaseKernel(kernel);
	clReleaseMemObject(to);
	clReleaseMemObject(from);
	clReleaseEvent(done);
	must("clSetUserEventStatus", clSetUserEventStatus(gate, CL_COMPLETE));
	clReleaseEvent(gate);
	must("clFinish", clFinish(w->loose));
	for (uint32_t i = 0; i < WORDS; i++)
		mirror[i] = mirror[i] * 1664525u + mirror[i] + number + i;
	words_check(w, "hurried", self->read, mirror, WORDS);
	free(mirror);
}

static void queue_step(struct workload *w, struct churn *self)
{
	uint32_t value = chance(w, 1u << 20);
	cl_mem buffer = buffer_make(w, WORDS, NULL);
	cl_int err;
	cl_command_queue queue = clCreateCommandQueue(w->context, w->device, 0, &err);
	cl_sampler sampler;

	must("clCreateCommandQueue", err);
	sampler = clCreateSampler(w->context, CL_FALSE, CL_ADDRESS_CLAMP, CL_FILTER_NEAREST, &err);
	must("clCreateSampler", err);
	must("clEnqueueFillBuffer", clEnqueueFillBuffer(queue, buffer, &value, sizeof value, 0,
							WORDS * sizeof value, 0, NULL, NULL));
	must("clEnqueueReadBuffer",
	     clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, WORDS * sizeof value, self->read, 0,
				 NULL, NULL));
	if (self->read[0] != value || self->read[WORDS - 1] != value)
		wrong("filled: %u instead of %u", self->read[0], value);
	clReleaseSampler(sampler);
	clReleaseMemObject(buffer);
	clReleaseCommandQueue(queue);
}

/* One that is built and never run. */
static void program_step(struct workload *w, unsigned number)
{
	cl_program program =
		program_make(w,
			     number / 8 % 2 ? "kernel void a(global int *x) { x[0] = 1; }\n"
					    : "kernel void b(global int *x) { x[0] = 2; }\n",
			     "");
	cl_int err;
	cl_kernel kernel = clCreateKernel(program, number / 8 % 2 ? "a" : "b", &err);

	must("clCreateKernel", err);
	clReleaseProgram(program);
	clReleaseKernel(kernel);
}

static void round_do(struct workload *w, void *data, unsigned number)
{
	struct churn *self = data;
	struct kept *kept = &self->kept[number % LATER];

	kept_check(w, self, kept);
	kept_make(w, kept);
	hurry(w, self);
	if (number % 3 == 0)
		queue_step(w, self);
	if (number % 8 == 0)
		program_step(w, number);
}

static void fini(struct workload *w, void *data)
{
	struct churn *self = data;

	must("clFinish", clFinish(w->queue));
	for (unsigned i = 0; i < LATER; i++)
		kept_release(&self->kept[i]);
	free(self->read);
}

const struct mode mode_churn = {"churn", sizeof(struct churn), init, round_do, fini};
