/* SPDX-License-Identifier: MIT */
/*
 * What images of every kind hold when kernels, transfers and mappings follow one another, on queues
 * that are idle, busy, or wait for each other.
 */
#include "harness.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WIDTH = 20, HEIGHT = 6, DEPTH = 3, TEXEL = 4, ROW = 112, SLICE = 8 * ROW, BIG = 1024 };

#define TEXELS	 ((size_t)WIDTH * HEIGHT * DEPTH)
#define BIG_SIZE ((size_t)BIG * BIG * TEXEL)
#define RELEASED 20

/* For each type: texels are written by their places, and read to a buffer. */
#define KERNELS(type, at)                                                                          \
	"kernel void put_" type "(write_only " type "_t to, uint value) {\n"                       \
	"	int x = get_global_id(0), y = get_global_id(1), z = get_global_id(2);\n"                 \
	"	write_imageui(to, " at ", (uint4)((value + x + 31 * y) & 255, x, y, z));\n"        \
	"}\n"                                                                                      \
	"kernel void get_" type "(read_only " type "_t from, global uint4 *to) {\n"                \
	"	const sampler_t plain = CLK_NORMALIZED_COORDS_FALSE | CLK_ADDRESS_NONE |\n"              \
	"		CLK_FILTER_NEAREST;\n"                                                                  \
	"	int x = get_global_id(0), y = get_global_id(1), z = get_global_id(2);\n"                 \
	"	to[(z * get_global_size(1) + y) * get_global_size(0) + x] =\n"                           \
	"		read_imageui(from, plain, " at ");\n"                                      \
	"}\n"

static const char source[] = "#pragma OPENCL EXTENSION cl_khr_3d_image_writes : enable\n" KERNELS(
	"image1d", "x") KERNELS("image1d_array", "(int2)(x, y)") KERNELS("image2d", "(int2)(x, y)")
	KERNELS("image2d_array", "(int4)(x, y, z, 0)") KERNELS(
		"image3d",
		"(int4)(x, y, z, 0)") "kernel void get_image1d_buffer(read_only image1d_buffer_t "
				      "from, global uint4 *to) {\n"
				      "	to[get_global_id(0)] = read_imageui(from, "
				      "(int)get_global_id(0));\n"
				      "}\n"
				      "kernel void slow(write_only image2d_t to, uint rounds) {\n"
				      "	int x = get_global_id(0), y = get_global_id(1);\n"
				      "	uint value = x * 7 + y;\n"
				      "	for (uint i = 0; i < rounds; i++)\n"
				      "		value = value * 1664525 + 1013904223;\n"
				      "	write_imageui(to, (int2)(x, y), (uint4)(value & 255, x & "
				      "255, y & 255, 1));\n"
				      "}\n";

static const cl_image_format format = {CL_RGBA, CL_UNSIGNED_INT8};
static const size_t zero[3];

struct kind {
	const char *name;
	cl_mem_object_type type;
	size_t region[3];
};

static const struct kind kinds[] = {
	{"image1d", CL_MEM_OBJECT_IMAGE1D, {WIDTH, 1, 1}},
	{"image1d_array", CL_MEM_OBJECT_IMAGE1D_ARRAY, {WIDTH, HEIGHT, 1}},
	{"image2d", CL_MEM_OBJECT_IMAGE2D, {WIDTH, HEIGHT, 1}},
	{"image2d_array", CL_MEM_OBJECT_IMAGE2D_ARRAY, {WIDTH, HEIGHT, DEPTH}},
	{"image3d", CL_MEM_OBJECT_IMAGE3D, {WIDTH, HEIGHT, DEPTH}},
};

static const struct kind *const flat = &kinds[2];

struct parties {
	struct fixture fix;
	cl_program program;
	cl_command_queue second;
	cl_command_queue unordered;
	cl_mem texels; /* what the get_ kernels read */
};

static unsigned char host[SLICE * DEPTH];

/* ------------------------------------------------------------ parts */

static cl_mem image_made(const struct parties *p, const struct kind *kind, cl_mem_flags flags,
			 bool padded)
{
	bool with_host = flags & (CL_MEM_USE_HOST_PTR | CL_MEM_COPY_HOST_PTR);
	cl_image_desc desc = {.image_type = kind->type,
			      .image_width = WIDTH,
			      .image_height = HEIGHT,
			      .image_depth = DEPTH,
			      .image_array_size =
				      kind->type == CL_MEM_OBJECT_IMAGE1D_ARRAY ? HEIGHT : DEPTH};

	if (padded) {
		desc.image_row_pitch = ROW;
		if (kind->type == CL_MEM_OBJECT_IMAGE1D_ARRAY)
			desc.image_slice_pitch = ROW;
		else if (kind->region[2] > 1)
			desc.image_slice_pitch = SLICE;
	}
	return MUST_MAKE(clCreateImage(p->fix.context, flags, &format, &desc,
				       with_host ? host : NULL, &call_err));
}

static void put(const struct parties *p, cl_command_queue queue, const struct kind *kind,
		cl_mem image, cl_uint value, cl_uint count, const cl_event *list, cl_event *event)
{
	cl_kernel kernel = kernel_made(p->program, named("put_%s", kind->name));

	MUST(clSetKernelArg(kernel, 0, sizeof(cl_mem), &image));
	MUST(clSetKernelArg(kernel, 1, sizeof(value), &value));
	MUST(clEnqueueNDRangeKernel(queue, kernel, 3, NULL, kind->region, NULL, count, list,
				    event));
	MUST(clReleaseKernel(kernel));
}

/* The sum of what a kernel sees, after everything before it in the queue. */
static void get_check(const struct parties *p, const char *name, const struct kind *kind,
		      cl_mem image)
{
	size_t size = kind->region[0] * kind->region[1] * kind->region[2] * sizeof(cl_uint4);
	cl_kernel kernel = kernel_made(p->program, named("get_%s", kind->name));

	MUST(clSetKernelArg(kernel, 0, sizeof(cl_mem), &image));
	MUST(clSetKernelArg(kernel, 1, sizeof(cl_mem), &p->texels));
	MUST(clEnqueueNDRangeKernel(p->fix.queue, kernel, 3, NULL, kind->region, NULL, 0, NULL,
				    NULL));
	check_buffer_sum(name, p->fix.queue, p->texels, size);
	MUST(clReleaseKernel(kernel));
}

static void *mapped(const struct parties *p, cl_mem image, cl_map_flags flags,
		    const size_t origin[3], const size_t region[3], size_t pitches[2])
{
	pitches[0] = pitches[1] = 0;
	return MUST_MAKE(clEnqueueMapImage(p->fix.queue, image, CL_TRUE, flags, origin, region,
					   &pitches[0], &pitches[1], 0, NULL, NULL, &call_err));
}

static void unmap(const struct parties *p, cl_mem image, void *memory)
{
	MUST(clEnqueueUnmapMemObject(p->fix.queue, image, memory, 0, NULL, NULL));
}

/* As regions count rows: those of a 1D image array are its layers. */
static unsigned char *row_at(const struct kind *kind, unsigned char *memory,
			     const size_t pitches[2], size_t y, size_t z)
{
	size_t row = kind->type == CL_MEM_OBJECT_IMAGE1D_ARRAY ? pitches[1] : pitches[0];

	return memory + z * pitches[1] + y * row;
}

static void rows_sum(const char *name, const struct kind *kind, unsigned char *memory,
		     const size_t region[3], const size_t pitches[2])
{
	unsigned char *dense = malloc(TEXELS * TEXEL);
	size_t bytes = region[0] * TEXEL, used = 0;

	for (size_t z = 0; z < region[2]; z++)
		for (size_t y = 0; y < region[1]; y++, used += bytes)
			memcpy(dense + used, row_at(kind, memory, pitches, y, z), bytes);
	check_sum(name, dense, used);
	free(dense);
}

static void read_sum(const struct parties *p, const char *name, const struct kind *kind,
		     cl_mem image)
{
	memset(host, 0, sizeof(host));
	MUST(clEnqueueReadImage(p->fix.queue, image, CL_TRUE, zero, kind->region, 0, 0, host, 0,
				NULL, NULL));
	check_sum(name, host, sizeof(host));
}

/* ------------------------------------------------------------ each kind of image */

/* Kernel, map, change, unmap, kernel: whole, then a part. */
static void kind_check(const struct parties *p, const struct kind *kind, const char *name,
		       cl_mem image)
{
	const size_t part[3] = {3, kind->region[1] > 1, kind->region[2] > 1};
	const size_t region[3] = {5, kind->region[1] > 1 ? 4 : 1, kind->region[2] > 1 ? 2 : 1};
	size_t pitches[2];
	unsigned char *memory;

	put(p, p->fix.queue, kind, image, 1, 0, NULL, NULL);
	memory = mapped(p, image, CL_MAP_READ | CL_MAP_WRITE, zero, kind->region, pitches);
	check_number(named("%s row pitch", name), pitches[0]);
	check_number(named("%s slice pitch", name), pitches[1]);
	rows_sum(named("%s mapped after a kernel", name), kind, memory, kind->region, pitches);
	for (size_t y = 0; y < kind->region[1]; y++)
		pattern(row_at(kind, memory, pitches, y, 0), (size_t)WIDTH * TEXEL, (unsigned)y);
	unmap(p, image, memory);
	get_check(p, named("%s a kernel after unmap", name), kind, image);

	memory = mapped(p, image, CL_MAP_READ, part, region, pitches);
	rows_sum(named("%s part mapped", name), kind, memory, region, pitches);
	unmap(p, image, memory);
	memory = mapped(p, image, CL_MAP_WRITE_INVALIDATE_REGION, part, region, pitches);
	for (size_t z = 0; z < region[2]; z++)
		for (size_t y = 0; y < region[1]; y++)
			memset(row_at(kind, memory, pitches, y, z), (int)(7 + y + z), 5UL * TEXEL);
	unmap(p, image, memory);
	get_check(p, named("%s a kernel after a part's unmap", name), kind, image);
	read_sum(p, named("%s read", name), kind, image);

	pattern(host, sizeof(host), 3);
	MUST(clEnqueueWriteImage(p->fix.queue, image, CL_TRUE, part, region, 0, 0, host, 0, NULL,
				 NULL));
	get_check(p, named("%s a kernel after a write", name), kind, image);
}

static void kinds_check(const struct parties *p)
{
	static const struct {
		const char *name;
		cl_mem_flags flags;
		bool padded;
	} memories[] = {
		{"plain", 0, false},
		{"ALLOC", CL_MEM_ALLOC_HOST_PTR, false},
		{"COPY", CL_MEM_COPY_HOST_PTR, false},
		{"COPY with pitches", CL_MEM_COPY_HOST_PTR, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(memories); j++) {
			const char *name = named("%s %s", kinds[i].name, memories[j].name);
			cl_mem image;

			pattern(host, sizeof(host), (unsigned)j);
			image = image_made(p, &kinds[i], memories[j].flags, memories[j].padded);
			memset(host, 0, sizeof(host));
			if (memories[j].flags & CL_MEM_COPY_HOST_PTR)
				get_check(p, named("%s from the start", name), &kinds[i], image);
			kind_check(p, &kinds[i], name, image);
			MUST(clReleaseMemObject(image));
		}
	}
}

/* The program's memory is where the image is mapped, with its pitches. */
static void own_memory_check(const struct parties *p, const struct kind *kind)
{
	const char *name = named("%s USE with pitches", kind->name);
	size_t pitches[2];
	cl_mem image;
	void *memory;

	pattern(host, sizeof(host), 4);
	image = image_made(p, kind, CL_MEM_USE_HOST_PTR, true);
	get_check(p, named("%s from the start", name), kind, image);
	put(p, p->fix.queue, kind, image, 5, 0, NULL, NULL);
	memory = mapped(p, image, CL_MAP_READ | CL_MAP_WRITE, zero, kind->region, pitches);
	check_yes(named("%s mapped in place", name), memory == host);
	rows_sum(named("%s mapped after a kernel", name), kind, memory, kind->region, pitches);
	pattern(memory, (size_t)WIDTH * TEXEL, 6);
	unmap(p, image, memory);
	get_check(p, named("%s a kernel after unmap", name), kind, image);
	MUST(clFinish(p->fix.queue));
	MUST(clReleaseMemObject(image));
}

/* A 1D image of a buffer is the buffer's memory, whichever is written or mapped. PoCL 3.1 ends in
 * kernels that write to one. */
static void of_buffer_check(const struct parties *p)
{
	static const struct kind kind = {
		"image1d_buffer", CL_MEM_OBJECT_IMAGE1D_BUFFER, {WIDTH, 1, 1}};
	cl_mem buffer = buffer_patterned(&p->fix, (size_t)WIDTH * TEXEL, 7);
	const cl_image_desc desc = {
		.image_type = kind.type, .image_width = WIDTH, .buffer = buffer};
	cl_mem image = MUST_MAKE(clCreateImage(p->fix.context, 0, &format, &desc, NULL, &call_err));
	size_t pitches[2];
	unsigned char *memory;

	pattern(host, sizeof(host), 8);
	MUST(clEnqueueWriteImage(p->fix.queue, image, CL_FALSE, (const size_t[]){4, 0, 0},
				 (const size_t[]){9, 1, 1}, 0, 0, host, 0, NULL, NULL));
	get_check(p, "kernel on an image of a buffer", &kind, image);
	memory = MUST_MAKE(clEnqueueMapBuffer(p->fix.queue, buffer, CL_TRUE, CL_MAP_WRITE, 0,
					      (size_t)WIDTH * TEXEL, 0, NULL, NULL, &call_err));
	check_sum("buffer mapped after a write of its image", memory, (size_t)WIDTH * TEXEL);
	memory[5] ^= 0xff;
	unmap(p, buffer, memory);
	memory = mapped(p, image, CL_MAP_READ, zero, kind.region, pitches);
	check_sum("image mapped after its buffer's unmap", memory, (size_t)WIDTH * TEXEL);
	unmap(p, image, memory);
	get_check(p, "kernel on it after its buffer's unmap", &kind, image);
	MUST(clReleaseMemObject(image));
	MUST(clReleaseMemObject(buffer));
}

/* ------------------------------------------------------------ orders */

/* Nothing waits but the last call. */
static void queued_check(const struct parties *p)
{
	cl_mem image = image_made(p, flat, 0, false);
	unsigned char *from = malloc(sizeof(host)), *to = calloc(1, sizeof(host));
	cl_command_queue queue = p->fix.queue;
	cl_event event;
	size_t pitch;
	void *memory;

	pattern(from, sizeof(host), 8);
	put(p, queue, flat, image, 9, 0, NULL, NULL);
	MUST(clEnqueueWriteImage(queue, image, CL_FALSE, (const size_t[]){4, 2, 0},
				 (const size_t[]){9, 3, 1}, 0, 0, from, 0, NULL, NULL));
	MUST(clEnqueueReadImage(queue, image, CL_FALSE, zero, flat->region, 0, 0, to, 0, NULL,
				NULL));
	put(p, queue, flat, image, 77, 0, NULL, NULL);
	memory = MUST_MAKE(clEnqueueMapImage(queue, image, CL_FALSE, CL_MAP_READ | CL_MAP_WRITE,
					     zero, flat->region, &pitch, NULL, 0, NULL, &event,
					     &call_err));
	MUST(clWaitForEvents(1, &event));
	MUST(clReleaseEvent(event));
	check_sum("read between two kernels", to, sizeof(host));
	rows_sum("mapped behind all", flat, memory, flat->region, (const size_t[]){pitch, 0});
	memset(memory, 3, (size_t)WIDTH * TEXEL);
	unmap(p, image, memory);
	MUST(clEnqueueReadImage(queue, image, CL_FALSE, zero, flat->region, 0, 0, to, 0, NULL,
				NULL));
	put(p, queue, flat, image, 78, 0, NULL, NULL);
	MUST(clFinish(queue));
	check_sum("read behind an unmap", to, sizeof(host));
	get_check(p, "behind the last kernel", flat, image);
	free(from);
	free(to);
	MUST(clReleaseMemObject(image));
}

static bool pending(cl_event event)
{
	cl_int status;

	usleep(20000);
	MUST(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status,
			    NULL));
	return status > CL_COMPLETE;
}

/* A write, a kernel and a map, each on another queue, all behind an event of the program's. */
static void across_check(const struct parties *p)
{
	const cl_command_queue queues[] = {p->fix.queue, p->second, p->unordered};
	cl_mem image = image_made(p, flat, 0, false);
	cl_event gate = MUST_MAKE(clCreateUserEvent(p->fix.context, &call_err));
	cl_event written, put_done, map_done;
	size_t pitch;
	void *memory;

	for (size_t i = 0; i < ARRAY_SIZE(queues); i++) {
		const char *name = named("with the map on queue %zu", i);

		pattern(host, sizeof(host), (unsigned)(10 + i));
		MUST(clEnqueueWriteImage(queues[(i + 1) % 3], image, CL_FALSE, zero, flat->region,
					 0, 0, host, 1, &gate, &written));
		put(p, queues[(i + 2) % 3], &kinds[2], image, (cl_uint)i, 1, &written, &put_done);
		memory = MUST_MAKE(clEnqueueMapImage(queues[i], image, CL_FALSE, CL_MAP_READ, zero,
						     flat->region, &pitch, NULL, 1, &put_done,
						     &map_done, &call_err));
		for (size_t j = 0; j < ARRAY_SIZE(queues); j++)
			MUST(clFlush(queues[j]));
		check_yes(named("%s it waits", name), pending(map_done));
		MUST(clSetUserEventStatus(gate, CL_COMPLETE));
		MUST(clWaitForEvents(1, &map_done));
		rows_sum(named("%s it shows the kernel's", name), flat, memory, flat->region,
			 (const size_t[]){pitch, 0});
		MUST(clEnqueueUnmapMemObject(queues[i], image, memory, 0, NULL, NULL));
		MUST(clFinish(queues[i]));
		MUST(clReleaseEvent(written));
		MUST(clReleaseEvent(put_done));
		MUST(clReleaseEvent(map_done));
		MUST(clReleaseEvent(gate));
		gate = MUST_MAKE(clCreateUserEvent(p->fix.context, &call_err));
	}
	MUST(clSetUserEventStatus(gate, CL_COMPLETE));
	MUST(clReleaseEvent(gate));
	MUST(clReleaseMemObject(image));
}

static void CL_CALLBACK destructor(cl_mem image, void *data)
{
	(void)image;
	atomic_fetch_add((atomic_uint *)data, 1);
}

/* Images are released while a kernel is at them, and others made: none gets another's memory early.
 */
static void released_check(const struct parties *p)
{
	const cl_image_desc desc = {
		.image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = BIG, .image_height = BIG};
	const size_t region[3] = {BIG, BIG, 1};
	unsigned char *from = malloc(BIG_SIZE), *to = malloc(BIG_SIZE);
	cl_kernel slow = kernel_made(p->program, "slow");
	const cl_uint rounds = 20;
	atomic_uint destroyed = 0;
	unsigned same = 0;

	MUST(clSetKernelArg(slow, 1, sizeof(rounds), &rounds));
	for (unsigned i = 0; i < RELEASED; i++) {
		cl_mem first = MUST_MAKE(
			clCreateImage(p->fix.context, 0, &format, &desc, NULL, &call_err));
		cl_mem second;

		pattern(from, BIG_SIZE, i);
		MUST(clSetMemObjectDestructorCallback(first, destructor, &destroyed));
		MUST(clSetKernelArg(slow, 0, sizeof(cl_mem), &first));
		MUST(clEnqueueNDRangeKernel(p->fix.queue, slow, 2, NULL, region, NULL, 0, NULL,
					    NULL));
		MUST(clFlush(p->fix.queue));
		MUST(clReleaseMemObject(first));
		second = MUST_MAKE(clCreateImage(p->fix.context, CL_MEM_COPY_HOST_PTR, &format,
						 &desc, from, &call_err));
		MUST(clFinish(p->fix.queue));
		MUST(clEnqueueReadImage(p->second, second, CL_TRUE, zero, region, 0, 0, to, 0, NULL,
					NULL));
		same += !memcmp(from, to, BIG_SIZE);
		MUST(clReleaseMemObject(second));
	}
	check_number("images that kept what they were made with", same);
	MUST(clReleaseKernel(slow));
	for (int i = 0; i < 1000 && destroyed != RELEASED; i++)
		usleep(5000);
	check_number("images whose destructors have run", destroyed);
	free(from);
	free(to);
}

int main(void)
{
	struct parties p;
	cl_context context;

	transcript_begin("imageorder");
	fixture_open(&p.fix);
	context = p.fix.context;
	p.program = program_built(&p.fix, source, "");
	p.second = MUST_MAKE(clCreateCommandQueue(context, p.fix.device, 0, &call_err));
	p.unordered = MUST_MAKE(clCreateCommandQueue(
		context, p.fix.device, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &call_err));
	p.texels = buffer_patterned(&p.fix, TEXELS * sizeof(cl_uint4), 1);
	kinds_check(&p);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		own_memory_check(&p, &kinds[i]);
	of_buffer_check(&p);
	queued_check(&p);
	across_check(&p);
	released_check(&p);
	MUST(clReleaseMemObject(p.texels));
	MUST(clReleaseCommandQueue(p.unordered));
	MUST(clReleaseCommandQueue(p.second));
	MUST(clReleaseProgram(p.program));
	fixture_close(&p.fix);
	return transcript_end();
}
