/* SPDX-License-Identifier: MIT */
/*
 * Images of every type in every format that the device lists: written, read back, copied, filled,
 * exchanged with buffers, mapped, and read and written by kernels. One check a type and format.
 *
 * Images of a buffer are neither filled, copied nor exchanged with buffers: PoCL refuses to copy
 * them, and ends a program that tries the rest.
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 13, HEIGHT = 7, DEPTH = 5, FORMATS_MAX = 256, TEXEL_MAX = 16 };

#define TEXELS_MAX (WIDTH * HEIGHT * DEPTH)
#define BYTES_MAX  (TEXELS_MAX * TEXEL_MAX)

/* KERNELS makes the kernels for one type of image: three to read it and three to write it. */
static const char source[] =
	"#define KERNELS(t, image, at, READ)\\\n"
	"kernel void t##_read_f(global float4 *o, read_only image p)\\\n"
	"{ int i = get_global_id(0); o[i] = read_imagef(p READ, at); }\\\n"
	"kernel void t##_read_i(global int4 *o, read_only image p)\\\n"
	"{ int i = get_global_id(0); o[i] = read_imagei(p READ, at); }\\\n"
	"kernel void t##_read_u(global uint4 *o, read_only image p)\\\n"
	"{ int i = get_global_id(0); o[i] = read_imageui(p READ, at); }\n"
	"#define WRITERS(t, image, at)\\\n"
	"kernel void t##_write_f(global float4 *o, write_only image p)\\\n"
	"{ int i = get_global_id(0); write_imagef(p, at, o[i]); }\\\n"
	"kernel void t##_write_i(global int4 *o, write_only image p)\\\n"
	"{ int i = get_global_id(0); write_imagei(p, at, o[i]); }\\\n"
	"kernel void t##_write_u(global uint4 *o, write_only image p)\\\n"
	"{ int i = get_global_id(0); write_imageui(p, at, o[i]); }\n"
	"#define W 13\n#define H 7\n#define SAMPLER , smp\n"
	"constant sampler_t smp = CLK_NORMALIZED_COORDS_FALSE | CLK_ADDRESS_CLAMP\n"
	"  | CLK_FILTER_NEAREST;\n"
	"KERNELS(one, image1d_t, i, SAMPLER)\n"
	"KERNELS(buffer, image1d_buffer_t, i, )\n"
	"KERNELS(rows, image1d_array_t, (int2)(i % W, i / W), SAMPLER)\n"
	"KERNELS(two, image2d_t, (int2)(i % W, i / W), SAMPLER)\n"
	"KERNELS(stack, image2d_array_t, (int4)(i % W, i / W % H, i / W / H, 0), SAMPLER)\n"
	"KERNELS(three, image3d_t, (int4)(i % W, i / W % H, i / W / H, 0), SAMPLER)\n"
	"WRITERS(two, image2d_t, (int2)(i % W, i / W))\n";

static const struct kind {
	const char *name;
	const char *kernels;
	cl_mem_object_type type;
	size_t region[3];
	bool written;
} kinds[] = {
	{"1D", "one", CL_MEM_OBJECT_IMAGE1D, {WIDTH, 1, 1}, false},
	{"1D buffer", "buffer", CL_MEM_OBJECT_IMAGE1D_BUFFER, {WIDTH, 1, 1}, false},
	{"1D array", "rows", CL_MEM_OBJECT_IMAGE1D_ARRAY, {WIDTH, HEIGHT, 1}, false},
	{"2D", "two", CL_MEM_OBJECT_IMAGE2D, {WIDTH, HEIGHT, 1}, true},
	{"2D array", "stack", CL_MEM_OBJECT_IMAGE2D_ARRAY, {WIDTH, HEIGHT, DEPTH}, false},
	{"3D", "three", CL_MEM_OBJECT_IMAGE3D, {WIDTH, HEIGHT, DEPTH}, false},
};

static const size_t zero[3];

#define NAME(value)                                                                                \
	{                                                                                          \
		value, #value                                                                      \
	}
static const struct {
	cl_uint value;
	const char *name;
} names[] = {
	NAME(CL_R),
	NAME(CL_A),
	NAME(CL_RG),
	NAME(CL_RA),
	NAME(CL_RGB),
	NAME(CL_RGBA),
	NAME(CL_BGRA),
	NAME(CL_ARGB),
	NAME(CL_INTENSITY),
	NAME(CL_LUMINANCE),
	NAME(CL_Rx),
	NAME(CL_RGx),
	NAME(CL_RGBx),
	NAME(CL_DEPTH),
	NAME(CL_SNORM_INT8),
	NAME(CL_SNORM_INT16),
	NAME(CL_UNORM_INT8),
	NAME(CL_UNORM_INT16),
	NAME(CL_UNORM_SHORT_565),
	NAME(CL_UNORM_SHORT_555),
	NAME(CL_UNORM_INT_101010),
	NAME(CL_SIGNED_INT8),
	NAME(CL_SIGNED_INT16),
	NAME(CL_SIGNED_INT32),
	NAME(CL_UNSIGNED_INT8),
	NAME(CL_UNSIGNED_INT16),
	NAME(CL_UNSIGNED_INT32),
	NAME(CL_HALF_FLOAT),
	NAME(CL_FLOAT),
};

static const char *name_of(cl_uint value)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].value == value)
			return names[i].name + strlen("CL_");
	return named("%#x", value);
}

/* 'f', 'i' or 'u': what kernels read the channels as. */
static char class_of(cl_channel_type type)
{
	switch (type) {
	case CL_SIGNED_INT8:
	case CL_SIGNED_INT16:
	case CL_SIGNED_INT32:
		return 'i';
	case CL_UNSIGNED_INT8:
	case CL_UNSIGNED_INT16:
	case CL_UNSIGNED_INT32:
		return 'u';
	default:
		return 'f';
	}
}

struct stage {
	struct fixture fix;
	cl_program program;
	/* What kernels read and write: four floats or ints a texel. */
	cl_mem out;
	/* What images are exchanged with. */
	cl_mem buffer;
	/* The image in hand, its format, and how many bytes it holds. */
	const struct kind *kind;
	cl_image_format format;
	size_t size;
	/* What the check prints, part by part. */
	char text[512];
	unsigned char data[BYTES_MAX];
};

/* Adds `name code` to the text if the code is an error, and `name sum` of the data if not. */
static void note(struct stage *s, const char *name, cl_int code, const void *data, size_t size)
{
	size_t used = strlen(s->text);

	if (code != CL_SUCCESS)
		snprintf(s->text + used, sizeof(s->text) - used, " %s %s", name, code_name(code));
	else
		snprintf(s->text + used, sizeof(s->text) - used, " %s %08x", name,
			 (unsigned)sum(data, size));
}

static void note_image(struct stage *s, const char *name, cl_int code, cl_mem image)
{
	if (code == CL_SUCCESS) {
		memset(s->data, 0, sizeof(s->data));
		code = clEnqueueReadImage(s->fix.queue, image, CL_TRUE, zero, s->kind->region, 0, 0,
					  s->data, 0, NULL, NULL);
	}
	note(s, name, code, s->data, s->size);
}

static cl_mem image_made(struct stage *s, cl_mem backing)
{
	const struct kind *kind = s->kind;
	bool rows = kind->type == CL_MEM_OBJECT_IMAGE1D_ARRAY;
	const cl_image_desc desc = {
		.image_type = kind->type,
		.image_width = WIDTH,
		.image_height = rows ? 0 : kind->region[1],
		.image_depth = kind->region[2],
		.image_array_size = rows ? HEIGHT : DEPTH,
		.buffer = kind->type == CL_MEM_OBJECT_IMAGE1D_BUFFER ? backing : NULL,
	};

	return clCreateImage(s->fix.context, CL_MEM_READ_WRITE, &s->format, &desc, NULL, &call_err);
}

static void images_exchange(struct stage *s, cl_mem image, cl_mem second)
{
	const size_t inner[3] = {WIDTH - 2, s->kind->region[1], s->kind->region[2]};
	const size_t from[3] = {2, 0, 0};
	const size_t to[3] = {1, 0, 0};
	cl_command_queue queue = s->fix.queue;
	cl_int code;

	pattern(s->data, s->size, 1);
	code = clEnqueueWriteImage(queue, image, CL_TRUE, zero, s->kind->region, 0, 0, s->data, 0,
				   NULL, NULL);
	note_image(s, "write", code, image);
	if (s->kind->type == CL_MEM_OBJECT_IMAGE1D_BUFFER)
		return;
	pattern(s->data, s->size, 2);
	MUST(clEnqueueWriteImage(queue, second, CL_TRUE, zero, s->kind->region, 0, 0, s->data, 0,
				 NULL, NULL));
	code = clEnqueueCopyImage(queue, image, second, from, to, inner, 0, NULL, NULL);
	note_image(s, "copy", code, second);
	code = clEnqueueCopyImageToBuffer(queue, image, s->buffer, zero, s->kind->region, 0, 0,
					  NULL, NULL);
	if (code == CL_SUCCESS)
		code = clEnqueueReadBuffer(queue, s->buffer, CL_TRUE, 0, s->size, s->data, 0, NULL,
					   NULL);
	note(s, "to-buffer", code, s->data, s->size);
	pattern(s->data, s->size, 3);
	MUST(clEnqueueWriteBuffer(queue, s->buffer, CL_TRUE, 0, s->size, s->data, 0, NULL, NULL));
	code = clEnqueueCopyBufferToImage(queue, s->buffer, second, 0, to, inner, 0, NULL, NULL);
	note_image(s, "from-buffer", code, second);
}

static void image_fill(struct stage *s, cl_mem image)
{
	static const cl_float floats[4] = {0.25F, 0.5F, 0.75F, 1};
	static const cl_int ints[4] = {-3, 70, 100, -128};
	static const cl_uint uints[4] = {3, 70, 100, 255};
	const size_t inner[3] = {WIDTH - 4, s->kind->region[1], s->kind->region[2]};
	const size_t origin[3] = {3, 0, 0};
	const void *color = floats;
	cl_int code;

	if (class_of(s->format.image_channel_data_type) == 'i')
		color = ints;
	else if (class_of(s->format.image_channel_data_type) == 'u')
		color = uints;
	code = clEnqueueFillImage(s->fix.queue, image, color, origin, inner, 0, NULL, NULL);
	note_image(s, "fill", code, image);
}

/* Takes the texels of a mapping, row by row, for rows may have bytes between them. */
static void mapping_take(struct stage *s, const unsigned char *mapped, size_t row, size_t slice)
{
	const size_t *region = s->kind->region;
	size_t row_bytes = s->size / (region[1] * region[2]);
	bool rows = s->kind->type == CL_MEM_OBJECT_IMAGE1D_ARRAY;
	size_t used = 0;

	for (size_t z = 0; z < region[2]; z++)
		for (size_t y = 0; y < region[1]; y++, used += row_bytes)
			memcpy(s->data + used, mapped + z * slice + y * (rows ? slice : row),
			       row_bytes);
}

static void image_map(struct stage *s, cl_mem image)
{
	size_t row = 0;
	size_t slice = 0;
	unsigned char *mapped =
		clEnqueueMapImage(s->fix.queue, image, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, zero,
				  s->kind->region, &row, &slice, 0, NULL, NULL, &call_err);

	if (call_err == CL_SUCCESS)
		mapping_take(s, mapped, row, slice);
	note(s, "map", call_err, s->data, s->size);
	if (call_err != CL_SUCCESS)
		return;
	pattern(mapped, WIDTH, 4);
	MUST(clEnqueueUnmapMemObject(s->fix.queue, image, mapped, 0, NULL, NULL));
	note_image(s, "unmap", CL_SUCCESS, image);
}

static cl_int kernel_run(struct stage *s, const char *how, cl_mem image)
{
	const size_t global = s->kind->region[0] * s->kind->region[1] * s->kind->region[2];
	cl_kernel kernel =
		kernel_made(s->program, named("%s_%s_%c", s->kind->kernels, how,
					      class_of(s->format.image_channel_data_type)));
	cl_int code;

	MUST(clSetKernelArg(kernel, 0, sizeof(s->out), &s->out));
	MUST(clSetKernelArg(kernel, 1, sizeof(image), &image));
	code = clEnqueueNDRangeKernel(s->fix.queue, kernel, 1, NULL, &global, NULL, 0, NULL, NULL);
	MUST(clReleaseKernel(kernel));
	return code;
}

/* Small whole numbers and halves: they have one representation in every format. */
static void image_kernels(struct stage *s, cl_mem image)
{
	const size_t texels = s->kind->region[0] * s->kind->region[1] * s->kind->region[2];
	static cl_float4 floats[TEXELS_MAX];
	bool is_float = class_of(s->format.image_channel_data_type) == 'f';
	cl_int code;

	code = kernel_run(s, "read", image);
	if (code == CL_SUCCESS)
		code = clEnqueueReadBuffer(s->fix.queue, s->out, CL_TRUE, 0, texels * 16, floats, 0,
					   NULL, NULL);
	note(s, "kernel-read", code, floats, texels * 16);
	if (!s->kind->written)
		return;
	for (size_t i = 0; i < texels * 4; i++) {
		if (is_float)
			((cl_float *)floats)[i] = (cl_float)(i % 5) / 4;
		else
			((cl_int *)floats)[i] = (cl_int)(i % 120);
	}
	MUST(clEnqueueWriteBuffer(s->fix.queue, s->out, CL_TRUE, 0, texels * 16, floats, 0, NULL,
				  NULL));
	code = kernel_run(s, "write", image);
	note_image(s, "kernel-write", code, image);
}

static void format_check(struct stage *s)
{
	const char *name = named("%s %s %s", s->kind->name, name_of(s->format.image_channel_order),
				 name_of(s->format.image_channel_data_type));
	cl_mem backings[2] = {buffer_patterned(&s->fix, BYTES_MAX, 1),
			      buffer_patterned(&s->fix, BYTES_MAX, 2)};
	cl_mem image = image_made(s, backings[0]);
	cl_mem second = image_made(s, backings[1]);
	size_t element = 0;

	if (call_err != CL_SUCCESS) {
		check_code(name, call_err);
	} else {
		MUST(clGetImageInfo(image, CL_IMAGE_ELEMENT_SIZE, sizeof(element), &element, NULL));
		s->size = s->kind->region[0] * s->kind->region[1] * s->kind->region[2] * element;
		snprintf(s->text, sizeof(s->text), "%zu bytes", element);
		images_exchange(s, image, second);
		if (s->kind->type != CL_MEM_OBJECT_IMAGE1D_BUFFER)
			image_fill(s, image);
		image_map(s, second);
		image_kernels(s, second);
		check_text(name, s->text);
		MUST(clReleaseMemObject(image));
		MUST(clReleaseMemObject(second));
	}
	MUST(clReleaseMemObject(backings[0]));
	MUST(clReleaseMemObject(backings[1]));
}

static void kind_check(struct stage *s, const struct kind *kind)
{
	static const struct {
		const char *name;
		cl_mem_flags flags;
	} accesses[] = {
		{"READ_ONLY", CL_MEM_READ_ONLY},
		{"WRITE_ONLY", CL_MEM_WRITE_ONLY},
		{"KERNEL_READ_AND_WRITE", CL_MEM_KERNEL_READ_AND_WRITE},
		{"READ_WRITE", CL_MEM_READ_WRITE},
	};
	cl_image_format formats[FORMATS_MAX];
	cl_uint count = 0;

	s->kind = kind;
	for (size_t i = 0; i < ARRAY_SIZE(accesses); i++) {
		memset(formats, 0, sizeof(formats));
		check_code(named("formats of %s %s", kind->name, accesses[i].name),
			   clGetSupportedImageFormats(s->fix.context, accesses[i].flags, kind->type,
						      FORMATS_MAX, formats, &count));
		check_number(named("number of formats of %s %s", kind->name, accesses[i].name),
			     count);
		check_sum(named("list of formats of %s %s", kind->name, accesses[i].name), formats,
			  sizeof(formats));
	}
	for (cl_uint i = 0; i < count && i < FORMATS_MAX; i++) {
		s->format = formats[i];
		format_check(s);
	}
}

static void formats_wrong(const struct fixture *fix)
{
	cl_image_format format;
	cl_uint count = 77;

	wrong_code("formats of context NULL",
		   clGetSupportedImageFormats(NULL, 0, CL_MEM_OBJECT_IMAGE2D, 1, &format, &count));
	wrong_code("formats of a buffer",
		   clGetSupportedImageFormats(fix->context, CL_MEM_READ_WRITE, CL_MEM_OBJECT_BUFFER,
					      1, &format, &count));
	wrong_code("formats of unknown type",
		   clGetSupportedImageFormats(fix->context, CL_MEM_READ_WRITE, 0x7dea, 1, &format,
					      &count));
	wrong_code("formats, 0 entries with a list",
		   clGetSupportedImageFormats(fix->context, CL_MEM_READ_WRITE,
					      CL_MEM_OBJECT_IMAGE2D, 0, &format, &count));
	wrong_code("formats of two accesses",
		   clGetSupportedImageFormats(fix->context, CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY,
					      CL_MEM_OBJECT_IMAGE2D, 1, &format, &count));
}

int main(void)
{
	static struct stage stage;

	transcript_begin("format");
	fixture_open(&stage.fix);
	stage.program = program_built(&stage.fix, source, "");
	stage.out = buffer_patterned(&stage.fix, TEXELS_MAX * sizeof(cl_float4), 1);
	stage.buffer = buffer_patterned(&stage.fix, BYTES_MAX, 1);
	formats_wrong(&stage.fix);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		kind_check(&stage, &kinds[i]);
	MUST(clReleaseMemObject(stage.buffer));
	MUST(clReleaseMemObject(stage.out));
	MUST(clReleaseProgram(stage.program));
	fixture_close(&stage.fix);
	return transcript_end();
}
