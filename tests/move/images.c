// SPDX-License-Identifier: MIT
/*
 * Images of two and three dimensions and over a buffer, samplers that come and go, and an image
 * that is mapped for some rounds.
 */
#include <stdlib.h>
#include <string.h>

#include "workload.h"

#define WIDTH  64u
#define HEIGHT 48u
#define PIXELS (WIDTH * HEIGHT)
#define SIDE   16u
#define CUBE   (SIDE * SIDE * SIDE)
#define LINE   1024u

/* A mapping lasts so many rounds. */
#define HELD 3u

struct images {
	cl_program program;
	cl_kernel turn, take, line, stir;
	cl_sampler sampler;
	cl_mem flat[2], held;	   /* RGBA, a byte each */
	cl_mem cube, buffer, over; /* a word each; @over is an image over @buffer */
	cl_mem out;		   /* of CUBE words */
	uint8_t *flat_mirrors[2], *held_mirror, *pixels;
	uint32_t *cube_mirror, *buffer_mirror, *out_mirror, *words;
	uint8_t *mapped;
	size_t mapped_pitch;
};

static const char *const source =
	"kernel void turn(read_only image2d_t in, write_only image2d_t out, sampler_t s, uint n)\n"
	"{\n"
	"	int2 at = (int2)(get_global_id(0), get_global_id(1));\n"
	"	write_imageui(out, at, (read_imageui(in, s, at + (int2)(1, 2)) + n) & 255u);\n"
	"}\n"
	"kernel void take(read_only image3d_t in, sampler_t s, global uint *out)\n"
	"{\n"
	"	int4 at = (int4)(get_global_id(0), get_global_id(1), get_global_id(2), 0);\n"
	"	out[at.x + 16 * (at.y + 16 * at.z)] += read_imageui(in, s, at).x;\n"
	"}\n"
	"kernel void line(read_only image1d_buffer_t in, global uint *out)\n"
	"{\n"
	"	int i = get_global_id(0);\n"
	"	out[i] ^= read_imageui(in, i).x;\n"
	"}\n";

static const size_t origin[3] = {0, 0, 0};
static const size_t flat_region[3] = {WIDTH, HEIGHT, 1};
static const size_t cube_region[3] = {SIDE, SIDE, SIDE};

static cl_mem image_make(struct workload *w, cl_mem_object_type type, const size_t region[3],
			 cl_mem buffer, void *data)
{
	const cl_image_format bytes = {CL_RGBA, CL_UNSIGNED_INT8},
			      words = {CL_R, CL_UNSIGNED_INT32};
	const cl_image_desc desc = {.image_type = type,
				    .image_width = region[0],
				    .image_height = region[1],
				    .image_depth = region[2],
				    .buffer = buffer};
	cl_int err;
	cl_mem made =
		clCreateImage(w->context, CL_MEM_READ_WRITE | (data ? CL_MEM_COPY_HOST_PTR : 0),
			      type == CL_MEM_OBJECT_IMAGE2D ? &bytes : &words, &desc, data, &err);

	must("clCreateImage", err);
	return made;
}

static cl_mem flat_make(struct workload *w, uint8_t **mirror)
{
	*mirror = allocate(PIXELS, 4);
	for (size_t i = 0; i < PIXELS * 4; i++)
		(*mirror)[i] = (uint8_t)chance(w, 256);
	return image_make(w, CL_MEM_OBJECT_IMAGE2D, flat_region, NULL, *mirror);
}

static void sampler_renew(struct workload *w, struct images *self)
{
	cl_int err;

	if (self->sampler)
		clReleaseSampler(self->sampler);
	self->sampler = clCreateSampler(w->context, CL_FALSE, CL_ADDRESS_CLAMP_TO_EDGE,
					CL_FILTER_NEAREST, &err);
	must("clCreateSampler", err);
}

static cl_kernel kernel_of(struct images *self, const char *name)
{
	cl_int err;
	cl_kernel made = clCreateKernel(self->program, name, &err);

	must("clCreateKernel", err);
	return made;
}

static void init(struct workload *w, void *data)
{
	const size_t line_region[3] = {LINE, 0, 0};
	struct images *self = data;

	self->program = program_make(w, source, "");
	self->turn = kernel_of(self, "turn");
	self->take = kernel_of(self, "take");
	self->line = kernel_of(self, "line");
	self->stir = kernel_make(w, "stir");
	sampler_renew(w, self);
	for (unsigned i = 0; i < 2; i++)
		self->flat[i] = flat_make(w, &self->flat_mirrors[i]);
	self->held = flat_make(w, &self->held_mirror);
	self->pixels = allocate(PIXELS, 4);
	self->cube_mirror = allocate(CUBE, sizeof(uint32_t));
	words_random(w, self->cube_mirror, CUBE);
	self->cube = image_make(w, CL_MEM_OBJECT_IMAGE3D, cube_region, NULL, self->cube_mirror);
	self->buffer_mirror = allocate(LINE, sizeof(uint32_t));
	self->buffer = buffer_make(w, LINE, self->buffer_mirror);
	self->over = image_make(w, CL_MEM_OBJECT_IMAGE1D_BUFFER, line_region, self->buffer, NULL);
	self->out_mirror = allocate(CUBE, sizeof(uint32_t));
	self->out = buffer_make(w, CUBE, self->out_mirror);
	self->words = allocate(CUBE, sizeof(uint32_t));
}

static void arg(cl_kernel kernel, cl_uint index, size_t size, const void *value)
{
	must("clSetKernelArg", clSetKernelArg(kernel, index, size, value));
}

/* ------------------------------------------------------------ two dimensions */

static void turn_follow(uint8_t *to, const uint8_t *from, uint32_t number)
{
	for (size_t i = 0; i < PIXELS * 4; i++) {
		size_t x = i / 4 % WIDTH + 1, y = i / 4 / WIDTH + 2;

		x = x < WIDTH ? x : WIDTH - 1;
		y = y < HEIGHT ? y : HEIGHT - 1;
		to[i] = (uint8_t)(from[(y * WIDTH + x) * 4 + i % 4] + number);
	}
}

static void pixels_check(struct workload *w, const char *what, const uint8_t *got,
			 const uint8_t *wanted)
{
	if (memcmp(got, wanted, PIXELS * 4) != 0)
		wrong("%s: pixels differ", what);
	sum_add(w, got, PIXELS * 4);
}

static void flat_fill(struct workload *w, struct images *self, unsigned i)
{
	const cl_uint colour[4] = {chance(w, 256), chance(w, 256), chance(w, 256), chance(w, 256)};
	const size_t at[3] = {4, chance(w, HEIGHT - 8), 0}, region[3] = {WIDTH / 2, 8, 1};

	must("clEnqueueFillImage",
	     clEnqueueFillImage(w->queue, self->flat[i], colour, at, region, 0, NULL, NULL));
	for (size_t y = at[1]; y < at[1] + 8; y++)
		for (size_t x = 4 * at[0]; x < 4 * (at[0] + WIDTH / 2); x++)
			self->flat_mirrors[i][y * WIDTH * 4 + x] = (uint8_t)colour[x % 4];
}

static void flat_step(struct workload *w, struct images *self, unsigned number)
{
	unsigned from = number % 2, to = !from;
	cl_uint value = chance(w, 256);

	arg(self->turn, 0, sizeof(cl_mem), &self->flat[from]);
	arg(self->turn, 1, sizeof(cl_mem), &self->flat[to]);
	arg(self->turn, 2, sizeof(cl_sampler), &self->sampler);
	arg(self->turn, 3, sizeof value, &value);
	must("clEnqueueNDRangeKernel", clEnqueueNDRangeKernel(w->queue, self->turn, 2, NULL,
							      flat_region, NULL, 0, NULL, NULL));
	turn_follow(self->flat_mirrors[to], self->flat_mirrors[from], value);
	flat_fill(w, self, to);
	must("clEnqueueReadImage",
	     clEnqueueReadImage(w->queue, self->flat[to], CL_TRUE, origin, flat_region, 0, 0,
				self->pixels, 0, NULL, NULL));
	pixels_check(w, "flat", self->pixels, self->flat_mirrors[to]);
}

/* Mapped rows may lie further apart than pixels do. */
static void held_follow(struct workload *w, struct images *self, uint32_t value)
{
	for (size_t y = 0; y < HEIGHT; y++) {
		uint8_t *row = self->mapped + y * self->mapped_pitch;
		uint8_t *mirror = self->held_mirror + y * WIDTH * 4;

		if (memcmp(row, mirror, WIDTH * 4) != 0)
			wrong("mapped image: row %zu differs", y);
		sum_add(w, row, WIDTH * 4);
		row[value % WIDTH] = mirror[value % WIDTH] = (uint8_t)(value + y);
	}
}

static void held_step(struct workload *w, struct images *self, unsigned number)
{
	cl_int err = CL_SUCCESS;

	if (!self->mapped)
		self->mapped = clEnqueueMapImage(w->queue, self->held, CL_TRUE,
						 CL_MAP_READ | CL_MAP_WRITE, origin, flat_region,
						 &self->mapped_pitch, NULL, 0, NULL, NULL, &err);
	must("clEnqueueMapImage", err);
	held_follow(w, self, chance(w, 1u << 20));
	if (number % HELD != HELD - 1)
		return;
	must("clEnqueueUnmapMemObject",
	     clEnqueueUnmapMemObject(w->queue, self->held, self->mapped, 0, NULL, NULL));
	self->mapped = NULL;
	must("clEnqueueCopyImage",
	     clEnqueueCopyImage(w->queue, self->flat[0], self->held, origin, origin,
				(const size_t[3]){WIDTH, HEIGHT / 2, 1}, 0, NULL, NULL));
	memcpy(self->held_mirror, self->flat_mirrors[0], PIXELS * 4 / 2);
}

/* ------------------------------------------------------------ the others */

static void cube_step(struct workload *w, struct images *self)
{
	const size_t layer[3] = {0, 0, chance(w, SIDE)}, region[3] = {SIDE, SIDE, 1};
	uint32_t *mirror = self->cube_mirror + layer[2] * SIDE * SIDE;

	words_random(w, mirror, SIDE * SIDE);
	must("clEnqueueWriteImage", clEnqueueWriteImage(w->queue, self->cube, CL_TRUE, layer,
							region, 0, 0, mirror, 0, NULL, NULL));
	arg(self->take, 0, sizeof(cl_mem), &self->cube);
	arg(self->take, 1, sizeof(cl_sampler), &self->sampler);
	arg(self->take, 2, sizeof(cl_mem), &self->out);
	must("clEnqueueNDRangeKernel", clEnqueueNDRangeKernel(w->queue, self->take, 3, NULL,
							      cube_region, NULL, 0, NULL, NULL));
	for (size_t i = 0; i < CUBE; i++)
		self->out_mirror[i] += self->cube_mirror[i];
}

static void line_step(struct workload *w, struct images *self)
{
	uint32_t number = chance(w, 1u << 20);
	size_t items = LINE;

	stir_set(self->stir, self->buffer, self->out, LINE - 1, number);
	launch(w->queue, self->stir, LINE, 0, NULL, NULL);
	stir_follow(self->buffer_mirror, self->out_mirror, LINE - 1, number, LINE);
	arg(self->line, 0, sizeof(cl_mem), &self->over);
	arg(self->line, 1, sizeof(cl_mem), &self->out);
	must("clEnqueueNDRangeKernel",
	     clEnqueueNDRangeKernel(w->queue, self->line, 1, NULL, &items, NULL, 0, NULL, NULL));
	for (size_t i = 0; i < LINE; i++)
		self->out_mirror[i] ^= self->buffer_mirror[i];
}

/* An image's contents from a buffer, and back. */
static void copies_step(struct workload *w, struct images *self, unsigned number)
{
	size_t half = CUBE / 2;

	if (number % 2)
		must("clEnqueueCopyImageToBuffer",
		     clEnqueueCopyImageToBuffer(w->queue, self->flat[0], self->out, origin,
						(const size_t[3]){WIDTH, HEIGHT / 2, 1},
						half * sizeof(uint32_t), 0, NULL, NULL));
	else
		must("clEnqueueCopyBufferToImage",
		     clEnqueueCopyBufferToImage(
			     w->queue, self->out, self->flat[0], half * sizeof(uint32_t), origin,
			     (const size_t[3]){WIDTH, HEIGHT / 2, 1}, 0, NULL, NULL));
	if (number % 2)
		memcpy(self->out_mirror + half, self->flat_mirrors[0], PIXELS * 4 / 2);
	else
		memcpy(self->flat_mirrors[0], self->out_mirror + half, PIXELS * 4 / 2);
}

static void round_do(struct workload *w, void *data, unsigned number)
{
	struct images *self = data;

	cube_step(w, self);
	line_step(w, self);
	copies_step(w, self, number);
	flat_step(w, self, number);
	held_step(w, self, number);
	must("clEnqueueReadBuffer",
	     clEnqueueReadBuffer(w->queue, self->out, CL_TRUE, 0, CUBE * sizeof(uint32_t),
				 self->words, 0, NULL, NULL));
	words_check(w, "of images", self->words, self->out_mirror, CUBE);
	if (number % 4 == 0)
		sampler_renew(w, self);
}

static void fini(struct workload *w, void *data)
{
	struct images *self = data;
	const cl_mem mems[] = {self->flat[0], self->flat[1], self->held, self->cube,
			       self->over,    self->buffer,  self->out};
	void *const memory[] = {
		self->flat_mirrors[0], self->flat_mirrors[1], self->held_mirror, self->pixels,
		self->cube_mirror,     self->buffer_mirror,   self->out_mirror,	 self->words};

	if (self->mapped)
		must("clEnqueueUnmapMemObject",
		     clEnqueueUnmapMemObject(w->queue, self->held, self->mapped, 0, NULL, NULL));
	must("clFinish", clFinish(w->queue));
	for (size_t i = 0; i < sizeof mems / sizeof mems[0]; i++)
		clReleaseMemObject(mems[i]);
	for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++)
		free(memory[i]);
	clReleaseSampler(self->sampler);
	clReleaseKernel(self->turn);
	clReleaseKernel(self->take);
	clReleaseKernel(self->line);
	clReleaseKernel(self->stir);
	clReleaseProgram(self->program);
}

const struct mode mode_images = {"images", sizeof(struct images), init, round_do, fini};
