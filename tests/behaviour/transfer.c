/* SPDX-License-Identifier: MIT */
/*
 * Moving bytes: read, write, copy, fill and migrate buffers, whole and in rectangles.
 */
#include "harness.h"

#include <string.h>

#define SIZE 4096

/* What the wrong calls are made with: each call has one thing wrong. */
struct parties {
	const struct fixture *fix;
	cl_mem buffer;
	cl_mem second;
	cl_mem other;
	cl_mem image;
	cl_mem host_reads;
	cl_mem host_writes;
	cl_mem no_host;
};

static unsigned char host[SIZE];

static void parties_open(struct parties *p, const struct fixture *fix)
{
	static const cl_image_format format = {CL_RGBA, CL_UNORM_INT8};
	static const cl_image_desc desc = {
		.image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = 16, .image_height = 16};
	cl_context context = fix->context;

	p->fix = fix;
	p->buffer = buffer_patterned(fix, SIZE, 1);
	p->second = buffer_patterned(fix, SIZE, 2);
	p->other = MUST_MAKE(clCreateBuffer(fix->other, 0, SIZE, NULL, &call_err));
	p->image = MUST_MAKE(clCreateImage(context, 0, &format, &desc, NULL, &call_err));
	p->host_reads =
		MUST_MAKE(clCreateBuffer(context, CL_MEM_HOST_READ_ONLY, SIZE, NULL, &call_err));
	p->host_writes =
		MUST_MAKE(clCreateBuffer(context, CL_MEM_HOST_WRITE_ONLY, SIZE, NULL, &call_err));
	p->no_host =
		MUST_MAKE(clCreateBuffer(context, CL_MEM_HOST_NO_ACCESS, SIZE, NULL, &call_err));
}

static void parties_close(struct parties *p)
{
	const cl_mem all[] = {p->buffer,     p->second,	     p->other,	p->image,
			      p->host_reads, p->host_writes, p->no_host};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		MUST(clReleaseMemObject(all[i]));
}

static void simple_check(const struct parties *p)
{
	cl_command_queue queue = p->fix->queue;

	pattern(host, SIZE, 3);
	for (int blocking = 0; blocking <= 1; blocking++) {
		const char *how = blocking ? "blocking" : "not blocking";

		check_code(named("write %s", how),
			   clEnqueueWriteBuffer(queue, p->buffer, blocking ? CL_TRUE : CL_FALSE,
						(size_t)blocking * 7, 100, host, 0, NULL, NULL));
		check_buffer_sum(named("written %s", how), queue, p->buffer, SIZE);
		memset(host, 0, 200);
		check_code(named("read %s", how),
			   clEnqueueReadBuffer(queue, p->buffer, blocking ? CL_TRUE : CL_FALSE, 3,
					       200, host, 0, NULL, NULL));
		MUST(clFinish(queue));
		check_sum(named("was read %s", how), host, sizeof(host));
	}
	check_code("copy",
		   clEnqueueCopyBuffer(queue, p->buffer, p->second, 10, 2000, 1000, 0, NULL, NULL));
	check_buffer_sum("copied", queue, p->second, SIZE);
	check_code("copy within a buffer",
		   clEnqueueCopyBuffer(queue, p->second, p->second, 0, 2048, 2048, 0, NULL, NULL));
	check_buffer_sum("copied within a buffer", queue, p->second, SIZE);
}

#define READ(queue, buffer, offset, size, to)                                                      \
	clEnqueueReadBuffer(queue, buffer, CL_TRUE, offset, size, to, 0, NULL, NULL)
#define WRITE(queue, buffer, offset, size, from)                                                   \
	clEnqueueWriteBuffer(queue, buffer, CL_TRUE, offset, size, from, 0, NULL, NULL)
#define COPY(queue, from, to, from_offset, to_offset, size)                                        \
	clEnqueueCopyBuffer(queue, from, to, from_offset, to_offset, size, 0, NULL, NULL)

static void simple_wrong(const struct parties *p)
{
	cl_command_queue queue = p->fix->queue;
	const struct {
		const char *name;
		size_t offset;
		size_t size;
		void *host;
	} ranges[] = {
		{"size 0", 0, 0, host},
		{"host NULL", 0, SIZE, NULL},
		{"larger than the buffer", 0, SIZE + 1, host},
		{"across the end", 1, SIZE, host},
		{"from the end", SIZE, 1, host},
		{"beyond the end", SIZE + 1, 1, host},
		{"wrapping", 16, SIZE_MAX - 8, host},
		{"wrapping offset", SIZE_MAX - 8, 16, host},
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		wrong_code(
			named("read %s", ranges[i].name),
			READ(queue, p->buffer, ranges[i].offset, ranges[i].size, ranges[i].host));
		wrong_code(
			named("write %s", ranges[i].name),
			WRITE(queue, p->buffer, ranges[i].offset, ranges[i].size, ranges[i].host));
	}
	wrong_code("read buffer NULL", READ(queue, NULL, 0, SIZE, host));
	wrong_code("write buffer NULL", WRITE(queue, NULL, 0, SIZE, host));
	wrong_code("read buffer of another context", READ(queue, p->other, 0, SIZE, host));
	wrong_code("write buffer of another context", WRITE(queue, p->other, 0, SIZE, host));
	wrong_code("read image as buffer", READ(queue, p->image, 0, 16, host));
	wrong_code("write image as buffer", WRITE(queue, p->image, 0, 16, host));
	wrong_code("read HOST_WRITE_ONLY", READ(queue, p->host_writes, 0, SIZE, host));
	wrong_code("write HOST_READ_ONLY", WRITE(queue, p->host_reads, 0, SIZE, host));
	wrong_code("read HOST_NO_ACCESS", READ(queue, p->no_host, 0, SIZE, host));
	wrong_code("write HOST_NO_ACCESS", WRITE(queue, p->no_host, 0, SIZE, host));
	check_buffer_sum("content after wrong calls", queue, p->buffer, SIZE);
}

static void copy_wrong(const struct parties *p)
{
	cl_command_queue queue = p->fix->queue;
	const struct {
		const char *name;
		cl_mem from;
		cl_mem to;
		size_t from_offset;
		size_t to_offset;
		size_t size;
	} cases[] = {
		{"size 0", p->buffer, p->second, 0, 0, 0},
		{"source across the end", p->buffer, p->second, 1, 0, SIZE},
		{"target across the end", p->buffer, p->second, 0, 1, SIZE},
		{"source beyond the end", p->buffer, p->second, SIZE + 1, 0, 1},
		{"target beyond the end", p->buffer, p->second, 0, SIZE + 1, 1},
		{"larger than both", p->buffer, p->second, 0, 0, SIZE + 1},
		{"wrapping", p->buffer, p->second, 16, 16, SIZE_MAX - 8},
		{"onto itself", p->buffer, p->buffer, 0, 0, 16},
		{"overlapping by one byte", p->buffer, p->buffer, 0, 99, 100},
		{"overlapping backwards", p->buffer, p->buffer, 99, 0, 100},
		{"source NULL", NULL, p->second, 0, 0, 16},
		{"target NULL", p->buffer, NULL, 0, 0, 16},
		{"source of another context", p->other, p->second, 0, 0, 16},
		{"target of another context", p->buffer, p->other, 0, 0, 16},
		{"source image", p->image, p->second, 0, 0, 16},
		{"target image", p->buffer, p->image, 0, 0, 16},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		wrong_code(named("copy %s", cases[i].name),
			   COPY(queue, cases[i].from, cases[i].to, cases[i].from_offset,
				cases[i].to_offset, cases[i].size));
}

/* Two parts of one buffer may share bytes. */
static void copy_parts_check(const struct parties *p)
{
	const cl_buffer_region regions[] = {{0, 1024}, {512, 1024}, {2048, 1024}};
	cl_command_queue queue = p->fix->queue;
	cl_mem parts[3];

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		parts[i] = MUST_MAKE(clCreateSubBuffer(p->buffer, 0, CL_BUFFER_CREATE_TYPE_REGION,
						       &regions[i], &call_err));
	check_code("copy between parts", COPY(queue, parts[0], parts[2], 0, 0, 1024));
	check_code("copy between parts that only touch",
		   COPY(queue, parts[0], parts[1], 0, 0, 512));
	wrong_code("copy between parts that overlap", COPY(queue, parts[0], parts[1], 0, 0, 513));
	wrong_code("copy from a part to its parent, overlapping",
		   COPY(queue, parts[1], p->buffer, 0, 600, 100));
	wrong_code("copy past the end of a part", COPY(queue, parts[0], p->second, 0, 0, 1025));
	wrong_code("read past the end of a part", READ(queue, parts[0], 1000, 100, host));
	check_buffer_sum("parent after copies between parts", queue, p->buffer, SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		MUST(clReleaseMemObject(parts[i]));
}

static void fill_check(const struct parties *p)
{
	cl_command_queue queue = p->fix->queue;

	pattern(host, SIZE, 8);
	for (size_t size = 1; size <= 128; size *= 2) {
		check_code(named("fill by %zu", size),
			   clEnqueueFillBuffer(queue, p->buffer, host, size, size * 2, size * 5, 0,
					       NULL, NULL));
		/* The pattern may be overwritten as soon as the call returned. */
		host[0]++;
		check_buffer_sum(named("filled by %zu", size), queue, p->buffer, SIZE);
	}
}

static void fill_wrong(const struct parties *p)
{
	const struct {
		const char *name;
		cl_mem buffer;
		const void *pattern;
		size_t pattern_size;
		size_t offset;
		size_t size;
	} cases[] = {
		{"pattern NULL", p->buffer, NULL, 4, 0, 16},
		{"pattern size 0", p->buffer, host, 0, 0, 16},
		{"pattern size 3", p->buffer, host, 3, 0, 12},
		{"pattern size 256", p->buffer, host, 256, 0, 256},
		{"offset no multiple", p->buffer, host, 4, 2, 16},
		{"size no multiple", p->buffer, host, 4, 0, 18},
		{"size smaller than the pattern", p->buffer, host, 8, 0, 4},
		{"across the end", p->buffer, host, 4, 4, SIZE},
		{"beyond the end", p->buffer, host, 4, SIZE + 4, 4},
		{"wrapping", p->buffer, host, 4, 16, SIZE_MAX - 11},
		{"buffer NULL", NULL, host, 4, 0, 16},
		{"buffer of another context", p->other, host, 4, 0, 16},
		{"image", p->image, host, 4, 0, 16},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		wrong_code(named("fill %s", cases[i].name),
			   clEnqueueFillBuffer(p->fix->queue, cases[i].buffer, cases[i].pattern,
					       cases[i].pattern_size, cases[i].offset,
					       cases[i].size, 0, NULL, NULL));
}

/* One rectangle on both sides; a pitch of 0 stands for the smallest one. */
struct rect {
	const char *name;
	size_t buffer_origin[3];
	size_t host_origin[3];
	size_t region[3];
	size_t buffer_row, buffer_slice;
	size_t host_row, host_slice;
};

static cl_int rect_read(cl_command_queue queue, cl_mem buffer, const struct rect *r, void *to)
{
	return clEnqueueReadBufferRect(queue, buffer, CL_TRUE, r->buffer_origin, r->host_origin,
				       r->region, r->buffer_row, r->buffer_slice, r->host_row,
				       r->host_slice, to, 0, NULL, NULL);
}

static cl_int rect_write(cl_command_queue queue, cl_mem buffer, const struct rect *r,
			 const void *from)
{
	return clEnqueueWriteBufferRect(queue, buffer, CL_TRUE, r->buffer_origin, r->host_origin,
					r->region, r->buffer_row, r->buffer_slice, r->host_row,
					r->host_slice, from, 0, NULL, NULL);
}

static cl_int rect_copy(cl_command_queue queue, cl_mem from, cl_mem to, const struct rect *r)
{
	return clEnqueueCopyBufferRect(queue, from, to, r->buffer_origin, r->host_origin, r->region,
				       r->buffer_row, r->buffer_slice, r->host_row, r->host_slice,
				       0, NULL, NULL);
}

static const struct rect good_rects[] = {
	{"one row", {3, 0, 0}, {5, 0, 0}, {50, 1, 1}, 0, 0, 0, 0},
	{"tight", {0, 0, 0}, {0, 0, 0}, {16, 4, 2}, 0, 0, 0, 0},
	{"pitched buffer", {4, 2, 1}, {0, 0, 0}, {16, 4, 2}, 64, 640, 0, 0},
	{"pitched host", {0, 0, 0}, {3, 1, 1}, {16, 4, 2}, 0, 0, 32, 256},
	{"both pitched", {1, 2, 1}, {7, 3, 2}, {9, 5, 3}, 20, 200, 33, 330},
	{"wide slices", {0, 0, 0}, {0, 0, 0}, {8, 2, 4}, 8, 1024, 16, 512},
};

static void rect_check(const struct parties *p)
{
	cl_command_queue queue = p->fix->queue;

	/* PoCL has carried out some of the wrong commands before. */
	MUST(clEnqueueFillBuffer(queue, p->second, "", 1, 0, SIZE, 0, NULL, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(good_rects); i++) {
		const struct rect *r = &good_rects[i];

		pattern(host, SIZE, 20 + (unsigned)i);
		check_code(named("rect write %s", r->name), rect_write(queue, p->buffer, r, host));
		check_buffer_sum(named("rect written %s", r->name), queue, p->buffer, SIZE);
		memset(host, 0, SIZE);
		check_code(named("rect read %s", r->name), rect_read(queue, p->buffer, r, host));
		check_sum(named("rect was read %s", r->name), host, SIZE);
		check_code(named("rect copy %s", r->name),
			   rect_copy(queue, p->buffer, p->second, r));
		check_buffer_sum(named("rect copied %s", r->name), queue, p->second, SIZE);
	}
}

static void rect_wrong(const struct parties *p)
{
	static const struct rect rects[] = {
		{"region without width", {0}, {0}, {0, 1, 1}, 0, 0, 0, 0},
		{"region without height", {0}, {0}, {1, 0, 1}, 0, 0, 0, 0},
		{"region without depth", {0}, {0}, {1, 1, 0}, 0, 0, 0, 0},
		{"buffer row pitch too small", {0}, {0}, {16, 4, 2}, 15, 0, 0, 0},
		{"host row pitch too small", {0}, {0}, {16, 4, 2}, 0, 0, 15, 0},
		{"buffer slice pitch too small", {0}, {0}, {16, 4, 2}, 16, 48, 0, 0},
		{"host slice pitch too small", {0}, {0}, {16, 4, 2}, 0, 0, 16, 48},
		{"buffer slice pitch no multiple", {0}, {0}, {16, 4, 2}, 16, 70, 0, 0},
		{"host slice pitch no multiple", {0}, {0}, {16, 4, 2}, 0, 0, 16, 70},
		{"across the end", {1, 0, 0}, {0}, {SIZE, 1, 1}, 0, 0, 0, 0},
		{"last row across the end", {0, 60, 0}, {0}, {16, 5, 1}, 64, 0, 0, 0},
		{"last slice across the end", {0, 0, 3}, {0}, {16, 4, 2}, 64, 1024, 0, 0},
		{"beyond the end", {0, 0, 100}, {0}, {16, 4, 2}, 64, 1024, 0, 0},
	};
	const struct rect *good = &good_rects[1];
	cl_command_queue queue = p->fix->queue;

	for (size_t i = 0; i < ARRAY_SIZE(rects); i++) {
		const struct rect *r = &rects[i];

		wrong_code(named("rect read %s", r->name), rect_read(queue, p->buffer, r, host));
		wrong_code(named("rect write %s", r->name), rect_write(queue, p->buffer, r, host));
		wrong_code(named("rect copy %s", r->name),
			   rect_copy(queue, p->buffer, p->second, r));
	}
	wrong_code("rect read host NULL", rect_read(queue, p->buffer, good, NULL));
	wrong_code("rect write host NULL", rect_write(queue, p->buffer, good, NULL));
	wrong_code("rect read buffer NULL", rect_read(queue, NULL, good, host));
	wrong_code("rect write buffer NULL", rect_write(queue, NULL, good, host));
	wrong_code("rect read another context", rect_read(queue, p->other, good, host));
	wrong_code("rect write another context", rect_write(queue, p->other, good, host));
	wrong_code("rect copy source of another context",
		   rect_copy(queue, p->other, p->second, good));
	wrong_code("rect copy target of another context",
		   rect_copy(queue, p->buffer, p->other, good));
	wrong_code("rect read HOST_WRITE_ONLY", rect_read(queue, p->host_writes, good, host));
	wrong_code("rect write HOST_READ_ONLY", rect_write(queue, p->host_reads, good, host));
	wrong_code("rect copy onto itself", rect_copy(queue, p->buffer, p->buffer, good));
}

/* Rectangles of one buffer: those that interleave without a byte in common are no overlap. */
static void rect_overlap_check(const struct parties *p)
{
	static const struct rect interleaved = {
		"interleaved", {0}, {32, 0, 0}, {16, 4, 1}, 64, 0, 64, 0};
	static const struct rect crossing = {"crossing", {0}, {8, 1, 0}, {16, 4, 1}, 64, 0, 64, 0};
	static const struct rect other_pitch = {
		"other pitches", {0}, {32, 0, 0}, {16, 4, 1}, 64, 0, 128, 0};
	cl_command_queue queue = p->fix->queue;

	check_code("rect copy interleaved", rect_copy(queue, p->buffer, p->buffer, &interleaved));
	wrong_code("rect copy crossing", rect_copy(queue, p->buffer, p->buffer, &crossing));
	wrong_code("rect copy within a buffer with two pitches",
		   rect_copy(queue, p->buffer, p->buffer, &other_pitch));
	check_buffer_sum("after rect copies within a buffer", queue, p->buffer, SIZE);
}

static void migrate_check(const struct parties *p)
{
	const cl_mem two[] = {p->buffer, p->second};
	const cl_mem with_null[] = {p->buffer, NULL};
	const cl_mem with_other[] = {p->buffer, p->other};
	cl_command_queue queue = p->fix->queue;

	check_code("migrate to the device",
		   clEnqueueMigrateMemObjects(queue, 2, two, 0, 0, NULL, NULL));
	check_code("migrate to the host",
		   clEnqueueMigrateMemObjects(queue, 2, two, CL_MIGRATE_MEM_OBJECT_HOST, 0, NULL,
					      NULL));
	check_buffer_sum("migrated", queue, p->buffer, SIZE);
	check_code("migrate without content",
		   clEnqueueMigrateMemObjects(queue, 1, &p->host_reads,
					      CL_MIGRATE_MEM_OBJECT_CONTENT_UNDEFINED, 0, NULL,
					      NULL));
	wrong_code("migrate nothing", clEnqueueMigrateMemObjects(queue, 0, two, 0, 0, NULL, NULL));
	wrong_code("migrate list NULL",
		   clEnqueueMigrateMemObjects(queue, 2, NULL, 0, 0, NULL, NULL));
	wrong_code("migrate NULL among others",
		   clEnqueueMigrateMemObjects(queue, 2, with_null, 0, 0, NULL, NULL));
	wrong_code("migrate one of another context",
		   clEnqueueMigrateMemObjects(queue, 2, with_other, 0, 0, NULL, NULL));
	wrong_code("migrate with unknown flag",
		   clEnqueueMigrateMemObjects(queue, 2, two, 1 << 10, 0, NULL, NULL));
	MUST(clFinish(queue));
}

int main(void)
{
	struct fixture fix;
	struct parties parties;

	transcript_begin("transfer");
	fixture_open(&fix);
	parties_open(&parties, &fix);
	simple_check(&parties);
	simple_wrong(&parties);
	copy_wrong(&parties);
	copy_parts_check(&parties);
	fill_check(&parties);
	fill_wrong(&parties);
	rect_check(&parties);
	rect_wrong(&parties);
	rect_overlap_check(&parties);
	migrate_check(&parties);
	parties_close(&parties);
	fixture_close(&fix);
	return transcript_end();
}
