/* SPDX-License-Identifier: MIT */
/*
 * Moving texels: regions, pitches and origins of reads, writes, copies, fills and mappings of
 * images, and what is wrong with them.
 */
#include "harness.h"

#include <string.h>

enum { WIDTH = 16, HEIGHT = 8, DEPTH = 4, TEXEL = 4, ROW = WIDTH * TEXEL, SLICE = ROW * HEIGHT };

#define BYTES ((size_t)SLICE * DEPTH)

/* What the calls are made with. */
struct parties {
	const struct fixture *fix;
	cl_mem flat;
	cl_mem second;
	cl_mem volume;
	cl_mem layers;
	cl_mem wide;
	cl_mem floats;
	cl_mem other;
	cl_mem host_reads;
	cl_mem host_writes;
	cl_mem no_host;
	cl_mem buffer;
	cl_mem small;
};

static unsigned char host[4 * SLICE * DEPTH];
static const size_t zero[3];

/* Each image that is read has known texels from its start. */
static void image_clear(const struct parties *p, cl_mem image, bool deep)
{
	static const cl_float color[4] = {0.25F, 0.5F, 0.75F, 1};
	const size_t region[3] = {WIDTH, HEIGHT, deep ? DEPTH : 1};

	MUST(clEnqueueFillImage(p->fix->queue, image, color, zero, region, 0, NULL, NULL));
}

static cl_mem image_made(cl_context context, cl_mem_flags flags, cl_mem_object_type type,
			 cl_channel_type channels)
{
	const cl_image_format format = {CL_RGBA, channels};
	const cl_image_desc desc = {.image_type = type,
				    .image_width = WIDTH,
				    .image_height = HEIGHT,
				    .image_depth = DEPTH,
				    .image_array_size = DEPTH};

	return MUST_MAKE(clCreateImage(context, flags, &format, &desc, NULL, &call_err));
}

static void parties_open(struct parties *p, const struct fixture *fix)
{
	cl_context context = fix->context;
	const cl_mem_object_type flat = CL_MEM_OBJECT_IMAGE2D;

	p->fix = fix;
	p->flat = image_made(context, 0, flat, CL_UNORM_INT8);
	p->second = image_made(context, 0, flat, CL_UNORM_INT8);
	p->volume = image_made(context, 0, CL_MEM_OBJECT_IMAGE3D, CL_UNORM_INT8);
	p->layers = image_made(context, 0, CL_MEM_OBJECT_IMAGE2D_ARRAY, CL_UNORM_INT8);
	p->wide = image_made(context, 0, flat, CL_UNSIGNED_INT8);
	p->floats = image_made(context, 0, flat, CL_FLOAT);
	p->other = image_made(fix->other, 0, flat, CL_UNORM_INT8);
	p->host_reads = image_made(context, CL_MEM_HOST_READ_ONLY, flat, CL_UNORM_INT8);
	p->host_writes = image_made(context, CL_MEM_HOST_WRITE_ONLY, flat, CL_UNORM_INT8);
	p->no_host = image_made(context, CL_MEM_HOST_NO_ACCESS, flat, CL_UNORM_INT8);
	p->buffer = buffer_patterned(fix, BYTES, 1);
	p->small = buffer_patterned(fix, 64, 1);
	image_clear(p, p->flat, false);
	image_clear(p, p->second, false);
	image_clear(p, p->volume, true);
	image_clear(p, p->layers, true);
}

static void parties_close(struct parties *p)
{
	const cl_mem all[] = {p->flat,	 p->second, p->volume,	    p->layers,
			      p->wide,	 p->floats, p->other,	    p->host_reads,
			      p->buffer, p->small,  p->host_writes, p->no_host};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		MUST(clReleaseMemObject(all[i]));
}

static cl_int read(const struct parties *p, cl_mem image, const size_t *origin,
		   const size_t *region, size_t row, size_t slice, void *to)
{
	return clEnqueueReadImage(p->fix->queue, image, CL_TRUE, origin, region, row, slice, to, 0,
				  NULL, NULL);
}

static cl_int write(const struct parties *p, cl_mem image, const size_t *origin,
		    const size_t *region, size_t row, size_t slice, const void *from)
{
	return clEnqueueWriteImage(p->fix->queue, image, CL_TRUE, origin, region, row, slice, from,
				   0, NULL, NULL);
}

static void image_sum(const struct parties *p, const char *name, cl_mem image, bool deep)
{
	const size_t region[3] = {WIDTH, HEIGHT, deep ? DEPTH : 1};

	MUST(read(p, image, zero, region, 0, 0, host));
	check_sum(name, host, deep ? BYTES : SLICE);
}

static void regions_check(const struct parties *p)
{
	static const struct {
		const char *name;
		bool deep;
		size_t origin[3];
		size_t region[3];
		size_t row;
		size_t slice;
	} cases[] = {
		{"whole", false, {0}, {WIDTH, HEIGHT, 1}, 0, 0},
		{"one texel", false, {5, 3, 0}, {1, 1, 1}, 0, 0},
		{"inner", false, {2, 1, 0}, {7, 4, 1}, 0, 0},
		{"inner with a pitch", false, {2, 1, 0}, {7, 4, 1}, 40, 0},
		{"last column", false, {WIDTH - 1, 0, 0}, {1, HEIGHT, 1}, 12, 0},
		{"whole volume", true, {0}, {WIDTH, HEIGHT, DEPTH}, 0, 0},
		{"inner volume", true, {3, 2, 1}, {5, 4, 2}, 0, 0},
		{"inner volume with pitches", true, {3, 2, 1}, {5, 4, 2}, 32, 160},
		{"one slice", true, {0, 0, 2}, {WIDTH, HEIGHT, 1}, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const cl_mem images[] = {cases[i].deep ? p->volume : p->flat, p->layers};

		for (size_t j = 0; j < (cases[i].deep ? 2 : 1); j++) {
			const char *name = named("%s%s", cases[i].name, j ? " of layers" : "");

			pattern(host, sizeof(host), (unsigned)i);
			check_code(named("write %s", name),
				   write(p, images[j], cases[i].origin, cases[i].region,
					 cases[i].row, cases[i].slice, host));
			image_sum(p, named("written %s", name), images[j], cases[i].deep);
			memset(host, 0, sizeof(host));
			check_code(named("read %s", name),
				   read(p, images[j], cases[i].origin, cases[i].region,
					cases[i].row, cases[i].slice, host));
			check_sum(named("was read %s", name), host, sizeof(host));
		}
	}
}

static void moves_check(const struct parties *p)
{
	static const size_t from[3] = {1, 2, 0};
	static const size_t to[3] = {4, 1, 0};
	static const size_t deep[3] = {4, 1, 2};
	static const size_t region[3] = {6, 5, 1};
	static const cl_float color[4] = {1, 0.5F, 0.25F, 0};
	cl_command_queue queue = p->fix->queue;

	check_code("copy",
		   clEnqueueCopyImage(queue, p->flat, p->second, from, to, region, 0, NULL, NULL));
	image_sum(p, "copied", p->second, false);
	check_code("copy into a volume", clEnqueueCopyImage(queue, p->flat, p->volume, from, deep,
							    region, 0, NULL, NULL));
	image_sum(p, "copied into a volume", p->volume, true);
	check_code("copy from a layer", clEnqueueCopyImage(queue, p->layers, p->flat, deep, from,
							   region, 0, NULL, NULL));
	image_sum(p, "copied from a layer", p->flat, false);
	check_code("copy within an image",
		   clEnqueueCopyImage(queue, p->flat, p->flat, zero, (const size_t[]){8, 0, 0},
				      region, 0, NULL, NULL));
	image_sum(p, "copied within an image", p->flat, false);
	check_code("image to buffer", clEnqueueCopyImageToBuffer(queue, p->flat, p->buffer, from,
								 region, 100, 0, NULL, NULL));
	check_buffer_sum("image in buffer", queue, p->buffer, BYTES);
	check_code("buffer to image", clEnqueueCopyBufferToImage(queue, p->buffer, p->second, 36,
								 to, region, 0, NULL, NULL));
	image_sum(p, "buffer in image", p->second, false);
	check_code("fill", clEnqueueFillImage(queue, p->second, color, to, region, 0, NULL, NULL));
	image_sum(p, "filled", p->second, false);
}

static void mappings_check(const struct parties *p)
{
	static const size_t origin[3] = {2, 1, 0};
	static const size_t region[3] = {5, 3, 1};
	static const size_t deep[3] = {5, 3, 2};
	cl_command_queue queue = p->fix->queue;
	size_t row = 0;
	size_t slice = 0;
	unsigned char *mapped;

	mapped = clEnqueueMapImage(queue, p->flat, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, origin,
				   region, &row, NULL, 0, NULL, NULL, &call_err);
	check_made("map", mapped != NULL);
	for (size_t y = 0; y < 3; y++)
		pattern(mapped + y * row, 5UL * TEXEL, (unsigned)y);
	check_code("unmap", clEnqueueUnmapMemObject(queue, p->flat, mapped, 0, NULL, NULL));
	image_sum(p, "mapped and written", p->flat, false);
	mapped = clEnqueueMapImage(queue, p->volume, CL_TRUE, CL_MAP_WRITE_INVALIDATE_REGION,
				   origin, deep, &row, &slice, 0, NULL, NULL, &call_err);
	check_made("map a volume", mapped != NULL);
	check_yes("pitches of a mapping hold the region", row >= 20 && slice >= 3 * row);
	for (size_t z = 0; z < 2; z++)
		for (size_t y = 0; y < 3; y++)
			pattern(mapped + z * slice + y * row, 5UL * TEXEL, (unsigned)(y + z));
	check_code("unmap a volume",
		   clEnqueueUnmapMemObject(queue, p->volume, mapped, 0, NULL, NULL));
	image_sum(p, "mapped volume", p->volume, true);
}

static void regions_wrong(const struct parties *p)
{
	static const struct {
		const char *name;
		bool deep;
		size_t origin[3];
		size_t region[3];
		size_t row;
		size_t slice;
	} cases[] = {
		{"region without width", false, {0}, {0, 1, 1}, 0, 0},
		{"region without height", false, {0}, {1, 0, 1}, 0, 0},
		{"region without depth", false, {0}, {1, 1, 0}, 0, 0},
		{"region too wide", false, {0}, {WIDTH + 1, 1, 1}, 0, 0},
		{"region too high", false, {0}, {1, HEIGHT + 1, 1}, 0, 0},
		{"region too deep", true, {0}, {1, 1, DEPTH + 1}, 0, 0},
		{"region across the side", false, {1, 0, 0}, {WIDTH, 1, 1}, 0, 0},
		{"region across the bottom", false, {0, 1, 0}, {1, HEIGHT, 1}, 0, 0},
		{"origin beyond the side", false, {WIDTH, 0, 0}, {1, 1, 1}, 0, 0},
		{"origin behind a flat image", false, {0, 0, 1}, {1, 1, 1}, 0, 0},
		{"region behind a flat image", false, {0}, {1, 1, 2}, 0, 0},
		{"row pitch too small", false, {0}, {WIDTH, HEIGHT, 1}, ROW - 4, 0},
		{"slice pitch of a flat image", false, {0}, {WIDTH, HEIGHT, 1}, 0, SLICE},
		{"slice pitch too small", true, {0}, {WIDTH, HEIGHT, 2}, ROW, SLICE - ROW},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cl_mem image = cases[i].deep ? p->volume : p->flat;

		wrong_code(named("read %s", cases[i].name),
			   read(p, image, cases[i].origin, cases[i].region, cases[i].row,
				cases[i].slice, host));
		wrong_code(named("write %s", cases[i].name),
			   write(p, image, cases[i].origin, cases[i].region, cases[i].row,
				 cases[i].slice, host));
	}
}

static void images_wrong(const struct parties *p)
{
	static const size_t region[3] = {2, 2, 1};

	wrong_code("read to NULL", read(p, p->flat, zero, region, 0, 0, NULL));
	wrong_code("write from NULL", write(p, p->flat, zero, region, 0, 0, NULL));
	wrong_code("read image NULL", read(p, NULL, zero, region, 0, 0, host));
	wrong_code("write image NULL", write(p, NULL, zero, region, 0, 0, host));
	wrong_code("read origin NULL", read(p, p->flat, NULL, region, 0, 0, host));
	wrong_code("read region NULL", read(p, p->flat, zero, NULL, 0, 0, host));
	wrong_code("read a buffer", read(p, p->buffer, zero, region, 0, 0, host));
	wrong_code("write a buffer", write(p, p->buffer, zero, region, 0, 0, host));
	wrong_code("read of another context", read(p, p->other, zero, region, 0, 0, host));
	wrong_code("write of another context", write(p, p->other, zero, region, 0, 0, host));
	wrong_code("read HOST_WRITE_ONLY", read(p, p->host_writes, zero, region, 0, 0, host));
	wrong_code("write HOST_READ_ONLY", write(p, p->host_reads, zero, region, 0, 0, host));
	wrong_code("read HOST_NO_ACCESS", read(p, p->no_host, zero, region, 0, 0, host));
	wrong_code("write HOST_NO_ACCESS", write(p, p->no_host, zero, region, 0, 0, host));
}

static void copies_wrong(const struct parties *p)
{
	static const size_t region[3] = {4, 4, 1};
	static const size_t near[3] = {2, 2, 0};
	static const size_t behind[3] = {0, 0, 1};
	const struct {
		const char *name;
		cl_mem from;
		cl_mem to;
		const size_t *from_origin;
		const size_t *to_origin;
	} cases[] = {
		{"source NULL", NULL, p->second, zero, zero},
		{"target NULL", p->flat, NULL, zero, zero},
		{"source buffer", p->buffer, p->second, zero, zero},
		{"target buffer", p->flat, p->buffer, zero, zero},
		{"other channels", p->flat, p->wide, zero, zero},
		{"larger channels", p->flat, p->floats, zero, zero},
		{"source of another context", p->other, p->second, zero, zero},
		{"target of another context", p->flat, p->other, zero, zero},
		{"onto itself", p->flat, p->flat, zero, zero},
		{"overlapping", p->flat, p->flat, zero, near},
		{"source behind a flat image", p->flat, p->second, behind, zero},
		{"target behind a flat image", p->flat, p->second, zero, behind},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		wrong_code(named("copy %s", cases[i].name),
			   clEnqueueCopyImage(p->fix->queue, cases[i].from, cases[i].to,
					      cases[i].from_origin, cases[i].to_origin, region, 0,
					      NULL, NULL));
	wrong_code("copy region without height",
		   clEnqueueCopyImage(p->fix->queue, p->flat, p->second, zero, zero,
				      (const size_t[]){4, 0, 1}, 0, NULL, NULL));
}

static void buffers_wrong(const struct parties *p)
{
	static const size_t region[3] = {4, 4, 1};
	static const size_t side[3] = {WIDTH - 2, 0, 0};
	const struct {
		const char *name;
		cl_mem image;
		cl_mem buffer;
		const size_t *origin;
		size_t offset;
	} cases[] = {
		{"image NULL", NULL, p->buffer, zero, 0},
		{"two buffers", p->small, p->buffer, zero, 0},
		{"image of another context", p->other, p->buffer, zero, 0},
		{"buffer too small", p->flat, p->small, zero, 4},
		{"buffer's end", p->flat, p->buffer, zero, BYTES},
		{"offset that wraps", p->flat, p->buffer, zero, SIZE_MAX - 8},
		{"across the side", p->flat, p->buffer, side, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		wrong_code(named("image to buffer, %s", cases[i].name),
			   clEnqueueCopyImageToBuffer(p->fix->queue, cases[i].image,
						      cases[i].buffer, cases[i].origin, region,
						      cases[i].offset, 0, NULL, NULL));
		wrong_code(named("buffer to image, %s", cases[i].name),
			   clEnqueueCopyBufferToImage(p->fix->queue, cases[i].buffer,
						      cases[i].image, cases[i].offset,
						      cases[i].origin, region, 0, NULL, NULL));
	}
}

static void fills_wrong(const struct parties *p)
{
	static const size_t region[3] = {4, 4, 1};
	static const size_t side[3] = {WIDTH - 2, 0, 0};
	static const size_t flat[3] = {4, 0, 1};
	static const cl_float color[4];
	const struct {
		const char *name;
		cl_mem image;
		const void *color;
		const size_t *origin;
		const size_t *region;
	} cases[] = {
		{"color NULL", p->flat, NULL, zero, region},
		{"image NULL", NULL, color, zero, region},
		{"image of another context", p->other, color, zero, region},
		{"buffer", p->buffer, color, zero, region},
		{"across the side", p->flat, color, side, region},
		{"region without height", p->flat, color, zero, flat},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		wrong_code(named("fill %s", cases[i].name),
			   clEnqueueFillImage(p->fix->queue, cases[i].image, cases[i].color,
					      cases[i].origin, cases[i].region, 0, NULL, NULL));
}

static void mappings_wrong(const struct parties *p)
{
	static const size_t region[3] = {4, 4, 1};
	static const size_t side[3] = {WIDTH - 2, 0, 0};
	static size_t row;
	static size_t slice;
	const struct {
		const char *name;
		cl_mem image;
		cl_map_flags flags;
		const size_t *origin;
		size_t *row;
		size_t *slice;
	} cases[] = {
		{"image NULL", NULL, CL_MAP_READ, zero, &row, &slice},
		{"buffer", p->buffer, CL_MAP_READ, zero, &row, &slice},
		{"image of another context", p->other, CL_MAP_READ, zero, &row, &slice},
		{"unknown flags", p->flat, 1 << 10, zero, &row, &slice},
		{"read and overwrite", p->flat, CL_MAP_READ | CL_MAP_WRITE_INVALIDATE_REGION, zero,
		 &row, &slice},
		{"no place for the row pitch", p->flat, CL_MAP_READ, zero, NULL, &slice},
		{"no place for the slice pitch", p->volume, CL_MAP_READ, zero, &row, NULL},
		{"across the side", p->flat, CL_MAP_READ, side, &row, &slice},
		{"to write HOST_READ_ONLY", p->host_reads, CL_MAP_WRITE, zero, &row, &slice},
		{"to read HOST_WRITE_ONLY", p->host_writes, CL_MAP_READ, zero, &row, &slice},
		{"to read HOST_NO_ACCESS", p->no_host, CL_MAP_READ, zero, &row, &slice},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		void *mapped;

		call_err = 1;
		mapped = clEnqueueMapImage(p->fix->queue, cases[i].image, CL_TRUE, cases[i].flags,
					   cases[i].origin, region, cases[i].row, cases[i].slice, 0,
					   NULL, NULL, &call_err);
		wrong_made(named("map %s", cases[i].name), mapped != NULL);
		if (mapped && call_err == CL_SUCCESS)
			MUST(clEnqueueUnmapMemObject(p->fix->queue, cases[i].image, mapped, 0, NULL,
						     NULL));
	}
	MUST(clFinish(p->fix->queue));
}

int main(void)
{
	struct fixture fix;
	struct parties parties;

	transcript_begin("texel");
	fixture_open(&fix);
	parties_open(&parties, &fix);
	regions_check(&parties);
	moves_check(&parties);
	mappings_check(&parties);
	regions_wrong(&parties);
	images_wrong(&parties);
	copies_wrong(&parties);
	buffers_wrong(&parties);
	fills_wrong(&parties);
	mappings_wrong(&parties);
	parties_close(&parties);
	fixture_close(&fix);
	return transcript_end();
}
