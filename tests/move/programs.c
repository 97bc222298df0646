// SPDX-License-Identifier: MIT
/*
 * Programs of all kinds that come and go: from source with options, built by the way, compiled and
 * linked, from binaries; kernels that keep arguments from round to round; arguments of local memory
 * and by value; and what kernels print, a line a round, in order.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workload.h"

#define WORDS	 1024u
#define KEPT	 3u /* programs that live on */
#define VARIANTS 6u /* sources that are different, since compiling takes its time */

struct parcel {
	cl_uint a;
	cl_ushort b;
	cl_uint c[3];
};

struct programs {
	cl_program base, kept[KEPT];
	cl_kernel reduce, parcel, tell, scale[KEPT];
	cl_mem buffer, sums;
	uint32_t *mirror, *sums_mirror, *read;
};

static const char *const base_source =
	"struct parcel { uint a; ushort b; uint c[3]; };\n"
	"kernel void reduce(global const uint *in, global uint *out, local uint *room)\n"
	"{\n"
	"	uint i = get_local_id(0);\n"
	"	room[i] = in[get_global_id(0)];\n"
	"	barrier(CLK_LOCAL_MEM_FENCE);\n"
	"	if (i == 0)\n"
	"		for (uint n = 0; n < get_local_size(0); n++)\n"
	"			out[get_group_id(0)] += room[n];\n"
	"}\n"
	"kernel void unpack(global uint *data, struct parcel p)\n"
	"{\n"
	"	uint i = get_global_id(0);\n"
	"	data[i] += p.a * p.b + p.c[i % 3];\n"
	"}\n"
	"kernel void tell(uint number)\n"
	"{\n"
	"	printf(\"printed %u\\n\", number);\n"
	"}\n";

static const char *const scale_source = "kernel void scale(global uint *data, uint by)\n"
					"{\n"
					"	uint i = get_global_id(0);\n"
					"	data[i] = data[i] * FACTOR + by;\n"
					"}\n";

static cl_kernel kernel_of(cl_program program, const char *name)
{
	cl_int err;
	cl_kernel made = clCreateKernel(program, name, &err);

	must("clCreateKernel", err);
	return made;
}

static void arg(cl_kernel kernel, cl_uint index, size_t size, const void *value)
{
	must("clSetKernelArg", clSetKernelArg(kernel, index, size, value));
}

/* ------------------------------------------------------------ ways to a program */

static void CL_CALLBACK built(cl_program program, void *data)
{
	atomic_int *done = data;

	(void)program;
	atomic_store(done, 1);
}

static cl_program from_source(struct workload *w, const char *options)
{
	return program_make(w, scale_source, options);
}

static cl_program by_the_way(struct workload *w, const char *options)
{
	const char *text = scale_source;
	atomic_int done = 0;
	cl_int err;
	cl_program made = clCreateProgramWithSource(w->context, 1, &text, NULL, &err);

	must("clCreateProgramWithSource", err);
	must("clBuildProgram", clBuildProgram(made, 1, &w->device, options, built, &done));
	while (!atomic_load(&done))
		usleep(1000);
	return made;
}

static cl_program compile(struct workload *w, const char *text, const char *options,
			  cl_program header)
{
	const char *name = "plus.h";
	cl_int err;
	cl_program made = clCreateProgramWithSource(w->context, 1, &text, NULL, &err);

	must("clCreateProgramWithSource", err);
	must("clCompileProgram",
	     clCompileProgram(made, 1, &w->device, options, header ? 1 : 0, header ? &header : NULL,
			      header ? &name : NULL, NULL, NULL));
	return made;
}

static cl_program linked(struct workload *w, const char *options)
{
	const char *header_text = "#define PLUS(x, y) ((x) + (y))\nuint times(uint x);\n";
	cl_int err;
	cl_program header = clCreateProgramWithSource(w->context, 1, &header_text, NULL, &err);
	cl_program parts[2], made;

	must("clCreateProgramWithSource", err);
	parts[0] = compile(w,
			   "#include \"plus.h\"\n"
			   "kernel void scale(global uint *data, uint by)\n"
			   "{\n"
			   "	uint i = get_global_id(0);\n"
			   "	data[i] = PLUS(times(data[i]), by);\n"
			   "}\n",
			   "", header);
	parts[1] = compile(w, "uint times(uint x) { return x * FACTOR; }\n", options, NULL);
	made = clLinkProgram(w->context, 1, &w->device, "", 2, parts, NULL, NULL, &err);
	must("clLinkProgram", err);
	clReleaseProgram(parts[0]);
	clReleaseProgram(parts[1]);
	clReleaseProgram(header);
	return made;
}

static cl_program from_binary(struct workload *w, const char *options)
{
	cl_program first = from_source(w, options), made;
	unsigned char *binary;
	cl_int err, status;
	size_t size;

	must("clGetProgramInfo",
	     clGetProgramInfo(first, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL));
	binary = allocate(1, size);
	must("clGetProgramInfo",
	     clGetProgramInfo(first, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL));
	made = clCreateProgramWithBinary(w->context, 1, &w->device, &size,
					 (const unsigned char **)&binary, &status, &err);
	must("clCreateProgramWithBinary", err);
	must("clBuildProgram", clBuildProgram(made, 1, &w->device, "", NULL, NULL));
	free(binary);
	clReleaseProgram(first);
	return made;
}

/* ------------------------------------------------------------ rounds */

static void init(struct workload *w, void *data)
{
	struct programs *self = data;

	self->base = program_make(w, base_source, "");
	self->reduce = kernel_of(self->base, "reduce");
	self->parcel = kernel_of(self->base, "unpack");
	self->tell = kernel_of(self->base, "tell");
	self->mirror = allocate(WORDS, sizeof(uint32_t));
	self->sums_mirror = allocate(WORDS / GROUP, sizeof(uint32_t));
	self->read = allocate(WORDS, sizeof(uint32_t));
	self->buffer = buffer_make(w, WORDS, self->mirror);
	self->sums = buffer_make(w, WORDS / GROUP, self->sums_mirror);
	/* For good. */
	arg(self->reduce, 0, sizeof(cl_mem), &self->buffer);
	arg(self->reduce, 1, sizeof(cl_mem), &self->sums);
	arg(self->reduce, 2, GROUP * sizeof(cl_uint), NULL);
	arg(self->parcel, 0, sizeof(cl_mem), &self->buffer);
}

static cl_uint factor(unsigned number)
{
	return 3 + 2 * (number / 2 % VARIANTS);
}

static void renew(struct workload *w, struct programs *self, unsigned number)
{
	static cl_program (*const ways[])(struct workload * w, const char *options) = {
		from_source, by_the_way, linked, from_binary};
	unsigned i = number % KEPT;
	char options[32];

	if (self->kept[i]) {
		clReleaseKernel(self->scale[i]);
		clReleaseProgram(self->kept[i]);
	}
	snprintf(options, sizeof options, "-DFACTOR=%u", factor(number));
	self->kept[i] = ways[number / 2 % (sizeof ways / sizeof ways[0])](w, options);
	self->scale[i] = kernel_of(self->kept[i], "scale");
	arg(self->scale[i], 0, sizeof(cl_mem), &self->buffer);
}

/* The factor is that of the round in which the program was made. */
static void scale_step(struct workload *w, struct programs *self, unsigned number, unsigned age)
{
	cl_uint by = chance(w, 1u << 20);
	cl_kernel kernel;

	if (age > number)
		return;
	kernel = self->scale[(number - age) % KEPT];
	arg(kernel, 1, sizeof by, &by);
	launch(w->queue, kernel, WORDS, 0, NULL, NULL);
	for (unsigned i = 0; i < WORDS; i++)
		self->mirror[i] = self->mirror[i] * factor(number - age) + by;
}

static void reduce_step(struct workload *w, struct programs *self)
{
	launch(w->queue, self->reduce, WORDS, 0, NULL, NULL);
	for (unsigned i = 0; i < WORDS; i++)
		self->sums_mirror[i / GROUP] += self->mirror[i];
}

static void parcel_step(struct workload *w, struct programs *self)
{
	const struct parcel parcel = {chance(w, 1u << 20),
				      (cl_ushort)chance(w, 1u << 16),
				      {chance(w, 9), chance(w, 99), chance(w, 999)}};

	arg(self->parcel, 1, sizeof parcel, &parcel);
	launch(w->queue, self->parcel, WORDS, 0, NULL, NULL);
	for (unsigned i = 0; i < WORDS; i++)
		self->mirror[i] += parcel.a * parcel.b + parcel.c[i % 3];
}

static void tell_step(struct workload *w, struct programs *self, cl_uint number)
{
	const size_t one = 1;

	arg(self->tell, 0, sizeof number, &number);
	must("clEnqueueNDRangeKernel",
	     clEnqueueNDRangeKernel(w->queue, self->tell, 1, NULL, &one, NULL, 0, NULL, NULL));
}

static void check(struct workload *w, struct programs *self)
{
	must("clEnqueueReadBuffer",
	     clEnqueueReadBuffer(w->queue, self->sums, CL_TRUE, 0, WORDS / GROUP * sizeof(uint32_t),
				 self->read, 0, NULL, NULL));
	words_check(w, "sums", self->read, self->sums_mirror, WORDS / GROUP);
	must("clEnqueueReadBuffer",
	     clEnqueueReadBuffer(w->queue, self->buffer, CL_TRUE, 0, WORDS * sizeof(uint32_t),
				 self->read, 0, NULL, NULL));
	words_check(w, "scaled", self->read, self->mirror, WORDS);
}

static void round_do(struct workload *w, void *data, unsigned number)
{
	struct programs *self = data;

	if (number % 2 == 0)
		renew(w, self, number);
	for (unsigned age = number % 2; age < KEPT; age += 2)
		scale_step(w, self, number, age);
	tell_step(w, self, number);
	reduce_step(w, self);
	parcel_step(w, self);
	check(w, self);
}

static void fini(struct workload *w, void *data)
{
	struct programs *self = data;

	must("clFinish", clFinish(w->queue));
	for (unsigned i = 0; i < KEPT; i++) {
		if (!self->kept[i])
			continue;
		clReleaseKernel(self->scale[i]);
		clReleaseProgram(self->kept[i]);
	}
	clReleaseKernel(self->reduce);
	clReleaseKernel(self->parcel);
	clReleaseKernel(self->tell);
	clReleaseProgram(self->base);
	clReleaseMemObject(self->buffer);
	clReleaseMemObject(self->sums);
	free(self->mirror);
	free(self->sums_mirror);
	free(self->read);
}

const struct mode mode_programs = {"programs", sizeof(struct programs), init, round_do, fini};
