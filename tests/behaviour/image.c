/* SPDX-License-Identifier: MIT */
/*
 * Images: making them, what they tell of themselves, limits. Their formats are format.c's, moving
 * texels is texel.c's.
 */
#include "harness.h"

#include <string.h>

INFO_QUERY(clGetImageInfo, cl_mem)
INFO_QUERY(clGetMemObjectInfo, cl_mem)

enum { WIDTH = 16, HEIGHT = 8, DEPTH = 4 };

static const cl_image_format rgba = {CL_RGBA, CL_UNORM_INT8};

static unsigned char host[WIDTH * HEIGHT * DEPTH * 4 * 4];

static cl_mem image_made(const struct fixture *fix, cl_mem_flags flags, const cl_image_desc *desc,
			 void *data)
{
	return clCreateImage(fix->context, flags, &rgba, desc, data, &call_err);
}

#define DESC(kind, ...)                                                                            \
	{                                                                                          \
		.image_type = CL_MEM_OBJECT_IMAGE##kind, .image_width = WIDTH, __VA_ARGS__         \
	}

static void info_check(const struct fixture *fix, const char *name, cl_mem image,
		       const void *buffer)
{
	const struct info image_infos[] = {
		INFO(CL_IMAGE_ELEMENT_SIZE, INFO_SIZE),	  INFO(CL_IMAGE_ROW_PITCH, INFO_SIZE),
		INFO(CL_IMAGE_SLICE_PITCH, INFO_SIZE),	  INFO(CL_IMAGE_WIDTH, INFO_SIZE),
		INFO(CL_IMAGE_HEIGHT, INFO_SIZE),	  INFO(CL_IMAGE_DEPTH, INFO_SIZE),
		INFO(CL_IMAGE_ARRAY_SIZE, INFO_SIZE),	  INFO_IS(CL_IMAGE_BUFFER, buffer),
		INFO(CL_IMAGE_NUM_MIP_LEVELS, INFO_UINT), INFO(CL_IMAGE_NUM_SAMPLES, INFO_UINT),
		INFO(CL_IMAGE_FORMAT, INFO_ULONG),
	};
	const struct info mem_infos[] = {
		INFO(CL_MEM_TYPE, INFO_BITS),
		INFO(CL_MEM_FLAGS, INFO_BITS),
		INFO(CL_MEM_SIZE, INFO_SIZE),
		INFO_IS(CL_MEM_CONTEXT, fix->context),
		INFO_IS(CL_MEM_ASSOCIATED_MEMOBJECT, buffer),
		INFO(CL_MEM_MAP_COUNT, INFO_UINT),
		INFO(CL_MEM_REFERENCE_COUNT, INFO_UINT),
	};

	check_infos(name, query_clGetImageInfo, image, image_infos, ARRAY_SIZE(image_infos));
	check_infos(name, query_clGetMemObjectInfo, image, mem_infos, ARRAY_SIZE(mem_infos));
}

static void types_check(const struct fixture *fix)
{
	const struct {
		const char *name;
		cl_image_desc desc;
		bool backed;
	} types[] = {
		{"1D", DESC(1D, ), false},
		{"1D buffer", DESC(1D_BUFFER, ), true},
		{"1D array", DESC(1D_ARRAY, .image_array_size = 3), false},
		{"2D", DESC(2D, .image_height = HEIGHT), false},
		{"2D array", DESC(2D_ARRAY, .image_height = HEIGHT, .image_array_size = 3), false},
		{"3D", DESC(3D, .image_height = HEIGHT, .image_depth = DEPTH), false},
		/* What the type does not use is not looked at. */
		{"2D with a depth", DESC(2D, .image_height = HEIGHT, .image_depth = 9), false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		cl_mem buffer =
			MUST_MAKE(clCreateBuffer(fix->context, 0, sizeof(host), NULL, &call_err));
		cl_image_desc desc = types[i].desc;
		cl_mem image;

		if (types[i].backed)
			desc.buffer = buffer;
		image = image_made(fix, 0, &desc, NULL);
		check_made(types[i].name, image != NULL);
		info_check(fix, types[i].name, image, types[i].backed ? buffer : NULL);
		check_code(named("%s release", types[i].name), clReleaseMemObject(image));
		MUST(clReleaseMemObject(buffer));
	}
}

/* The content of an image that was made with host memory, in rows as far apart as is said. */
static void host_check(const struct fixture *fix, const char *name, cl_mem_flags flags,
		       size_t row_pitch)
{
	static const size_t region[3] = {WIDTH, HEIGHT, 1};
	static const size_t origin[3];
	const cl_image_desc desc = DESC(2D, .image_height = HEIGHT, .image_row_pitch = row_pitch);
	unsigned char data[WIDTH * HEIGHT * 4];
	size_t pitch = 0;
	cl_mem image;

	pattern(host, sizeof(host), 1);
	image = image_made(fix, flags, &desc, host);
	check_made(name, image != NULL);
	MUST(clGetImageInfo(image, CL_IMAGE_ROW_PITCH, sizeof(pitch), &pitch, NULL));
	check_number(named("%s row pitch", name), pitch);
	check_code(named("%s read", name), clEnqueueReadImage(fix->queue, image, CL_TRUE, origin,
							      region, 0, 0, data, 0, NULL, NULL));
	check_sum(named("%s content", name), data, sizeof(data));
	MUST(clReleaseMemObject(image));
}

static void images_of_host_check(const struct fixture *fix)
{
	host_check(fix, "COPY_HOST_PTR", CL_MEM_COPY_HOST_PTR, 0);
	host_check(fix, "COPY_HOST_PTR with a pitch", CL_MEM_COPY_HOST_PTR, 100);
	host_check(fix, "USE_HOST_PTR", CL_MEM_USE_HOST_PTR, 0);
	host_check(fix, "USE_HOST_PTR with a pitch", CL_MEM_USE_HOST_PTR, 128);
	host_check(fix, "ALLOC and COPY", CL_MEM_ALLOC_HOST_PTR | CL_MEM_COPY_HOST_PTR, 0);
}

/* An image of a buffer shows the buffer's bytes, and keeps it alive. */
static void backed_check(const struct fixture *fix)
{
	static const size_t region[3] = {WIDTH, 1, 1};
	static const size_t origin[3];
	cl_mem buffer = buffer_patterned(fix, sizeof(host), 2);
	const cl_image_desc desc = DESC(1D_BUFFER, .buffer = buffer);
	cl_mem image = MUST_MAKE(image_made(fix, 0, &desc, NULL));

	MUST(clEnqueueReadImage(fix->queue, image, CL_TRUE, origin, region, 0, 0, host, 0, NULL,
				NULL));
	check_sum("image of a buffer", host, WIDTH * 4UL);
	pattern(host, sizeof(host), 3);
	MUST(clEnqueueWriteImage(fix->queue, image, CL_TRUE, origin, region, 0, 0, host, 0, NULL,
				 NULL));
	check_buffer_sum("buffer under an image", fix->queue, buffer, sizeof(host));
	check_code("release of the buffer under an image", clReleaseMemObject(buffer));
	check_code("read after the buffer's release",
		   clEnqueueReadImage(fix->queue, image, CL_TRUE, origin, region, 0, 0, host, 0,
				      NULL, NULL));
	check_sum("image after the buffer's release", host, WIDTH * 4UL);
	MUST(clReleaseMemObject(image));
}

static void sizes_wrong(const struct fixture *fix)
{
	size_t wide = 0;
	size_t deep = 0;
	size_t layers = 0;

	MUST(clGetDeviceInfo(fix->device, CL_DEVICE_IMAGE2D_MAX_WIDTH, sizeof(wide), &wide, NULL));
	MUST(clGetDeviceInfo(fix->device, CL_DEVICE_IMAGE3D_MAX_DEPTH, sizeof(deep), &deep, NULL));
	MUST(clGetDeviceInfo(fix->device, CL_DEVICE_IMAGE_MAX_ARRAY_SIZE, sizeof(layers), &layers,
			     NULL));
	const struct {
		const char *name;
		cl_image_desc desc;
	} cases[] = {
		{"1D without width", {.image_type = CL_MEM_OBJECT_IMAGE1D}},
		{"2D without width", {.image_type = CL_MEM_OBJECT_IMAGE2D, .image_height = 1}},
		{"2D without height", DESC(2D, )},
		{"3D without height", DESC(3D, .image_depth = 1)},
		{"3D without depth", DESC(3D, .image_height = 1)},
		{"1D array without layers", DESC(1D_ARRAY, )},
		{"2D array without layers", DESC(2D_ARRAY, .image_height = 1)},
		{"2D too wide",
		 {.image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = wide + 1, .image_height = 1}},
		{"2D too high", DESC(2D, .image_height = wide + 1)},
		{"3D too deep", DESC(3D, .image_height = 1, .image_depth = deep + 1)},
		{"1D array too long", DESC(1D_ARRAY, .image_array_size = layers + 1)},
		{"2D array too long",
		 DESC(2D_ARRAY, .image_height = 1, .image_array_size = layers + 1)},
		{"2D of SIZE_MAX",
		 {.image_type = CL_MEM_OBJECT_IMAGE2D,
		  .image_width = SIZE_MAX,
		  .image_height = SIZE_MAX}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		WRONG_MADE(cases[i].name, image_made(fix, 0, &cases[i].desc, NULL));
}

static void descriptors_wrong(const struct fixture *fix)
{
	cl_mem buffer = MUST_MAKE(clCreateBuffer(fix->context, 0, 16, NULL, &call_err));
	const struct {
		const char *name;
		cl_image_desc desc;
		void *host;
	} cases[] = {
		{"unknown type", {.image_type = 0x7dea, .image_width = 4, .image_height = 4}, NULL},
		{"type of a buffer",
		 {.image_type = CL_MEM_OBJECT_BUFFER, .image_width = 4, .image_height = 4},
		 NULL},
		{"row pitch without host memory",
		 DESC(2D, .image_height = HEIGHT, .image_row_pitch = 256), NULL},
		{"row pitch too small", DESC(2D, .image_height = HEIGHT, .image_row_pitch = 60),
		 host},
		{"row pitch no multiple", DESC(2D, .image_height = HEIGHT, .image_row_pitch = 66),
		 host},
		{"slice pitch without host memory",
		 DESC(3D, .image_height = HEIGHT, .image_depth = 2, .image_slice_pitch = 1024),
		 NULL},
		{"slice pitch too small",
		 DESC(3D, .image_height = HEIGHT, .image_depth = 2, .image_row_pitch = 64,
		      .image_slice_pitch = 256),
		 host},
		{"slice pitch no multiple",
		 DESC(3D, .image_height = HEIGHT, .image_depth = 2, .image_row_pitch = 64,
		      .image_slice_pitch = 520),
		 host},
		{"2D of a buffer", DESC(2D, .image_height = HEIGHT, .buffer = buffer), NULL},
		{"1D buffer without buffer", DESC(1D_BUFFER, ), NULL},
		{"1D buffer larger than its buffer", DESC(1D_BUFFER, .buffer = buffer), NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		WRONG_MADE(cases[i].name, image_made(fix, cases[i].host ? CL_MEM_COPY_HOST_PTR : 0,
						     &cases[i].desc, cases[i].host));
	MUST(clReleaseMemObject(buffer));
}

static void formats_wrong(const struct fixture *fix)
{
	static const struct {
		const char *name;
		cl_image_format format;
	} cases[] = {
		{"unknown order", {0x7dea, CL_UNORM_INT8}},
		{"unknown channel type", {CL_RGBA, 0x7dea}},
		{"order and type 0", {0, 0}},
		{"RGB of bytes", {CL_RGB, CL_UNORM_INT8}},
		{"RGBA of 565", {CL_RGBA, CL_UNORM_SHORT_565}},
		{"RGBA of 101010", {CL_RGBA, CL_UNORM_INT_101010}},
		{"BGRA of shorts", {CL_BGRA, CL_UNORM_INT16}},
		{"ARGB of floats", {CL_ARGB, CL_FLOAT}},
		{"LUMINANCE of ints", {CL_LUMINANCE, CL_SIGNED_INT32}},
		{"INTENSITY of bytes, signed", {CL_INTENSITY, CL_SIGNED_INT8}},
	};
	const cl_image_desc desc = DESC(2D, .image_height = HEIGHT);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		WRONG_MADE(cases[i].name, clCreateImage(fix->context, 0, &cases[i].format, &desc,
							NULL, &call_err));
	WRONG_MADE("format NULL", clCreateImage(fix->context, 0, NULL, &desc, NULL, &call_err));
	WRONG_MADE("descriptor NULL", clCreateImage(fix->context, 0, &rgba, NULL, NULL, &call_err));
	WRONG_MADE("context NULL", clCreateImage(NULL, 0, &rgba, &desc, NULL, &call_err));
}

static void flags_wrong(const struct fixture *fix)
{
	static const struct {
		const char *name;
		cl_mem_flags flags;
		bool with_host;
	} cases[] = {
		{"READ_ONLY and WRITE_ONLY", CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY, false},
		{"READ_WRITE and READ_ONLY", CL_MEM_READ_WRITE | CL_MEM_READ_ONLY, false},
		{"USE and COPY", CL_MEM_USE_HOST_PTR | CL_MEM_COPY_HOST_PTR, true},
		{"USE and ALLOC", CL_MEM_USE_HOST_PTR | CL_MEM_ALLOC_HOST_PTR, true},
		{"HOST_READ_ONLY and HOST_NO_ACCESS", CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS,
		 false},
		{"unknown flag", 1 << 24, false},
		{"host pointer without a flag", 0, true},
		{"USE without host pointer", CL_MEM_USE_HOST_PTR, false},
		{"COPY without host pointer", CL_MEM_COPY_HOST_PTR, false},
	};
	const cl_image_desc desc = DESC(2D, .image_height = HEIGHT);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		WRONG_MADE(
			named("flags %s", cases[i].name),
			image_made(fix, cases[i].flags, &desc, cases[i].with_host ? host : NULL));
}

/* The calls of OpenCL 1.1 that programs still make. */
static void deprecated_check(const struct fixture *fix)
{
	cl_context context = fix->context;
	cl_mem image;

	image = clCreateImage2D(context, CL_MEM_COPY_HOST_PTR, &rgba, WIDTH, HEIGHT, 0, host,
				&call_err);
	check_made("old 2D", image != NULL);
	info_check(fix, "old 2D", image, NULL);
	MUST(clReleaseMemObject(image));
	image = clCreateImage3D(context, 0, &rgba, WIDTH, HEIGHT, DEPTH, 0, 0, NULL, &call_err);
	check_made("old 3D", image != NULL);
	info_check(fix, "old 3D", image, NULL);
	MUST(clReleaseMemObject(image));
	WRONG_MADE("old 2D without width",
		   clCreateImage2D(context, 0, &rgba, 0, HEIGHT, 0, NULL, &call_err));
	WRONG_MADE("old 2D with a pitch and no host memory",
		   clCreateImage2D(context, 0, &rgba, WIDTH, HEIGHT, 256, NULL, &call_err));
	WRONG_MADE("old 2D, format NULL",
		   clCreateImage2D(context, 0, NULL, WIDTH, HEIGHT, 0, NULL, &call_err));
	WRONG_MADE("old 2D, context NULL",
		   clCreateImage2D(NULL, 0, &rgba, WIDTH, HEIGHT, 0, NULL, &call_err));
	WRONG_MADE("old 3D without depth",
		   clCreateImage3D(context, 0, &rgba, WIDTH, HEIGHT, 0, 0, 0, NULL, &call_err));
	WRONG_MADE("old 3D, context NULL",
		   clCreateImage3D(NULL, 0, &rgba, WIDTH, HEIGHT, DEPTH, 0, 0, NULL, &call_err));
}

static void info_wrong(const struct fixture *fix)
{
	const cl_image_desc desc = DESC(2D, .image_height = HEIGHT);
	cl_mem image = MUST_MAKE(image_made(fix, 0, &desc, NULL));

	wrong_infos("image", query_clGetImageInfo, image, CL_IMAGE_WIDTH, true);
	WRONG_MADE("sub-buffer of an image",
		   clCreateSubBuffer(image, 0, CL_BUFFER_CREATE_TYPE_REGION,
				     &(const cl_buffer_region){0, 16}, &call_err));
	MUST(clReleaseMemObject(image));
}

static void properties_check(const struct fixture *fix)
{
	static const cl_image_format format = {CL_RGBA, CL_FLOAT};
	static const cl_image_desc desc = DESC(2D, .image_height = 4);
	static const cl_mem_properties none[] = {0};
	static const cl_mem_properties unknown[] = {0x7dea, 1, 0};
	const struct {
		const char *name;
		const cl_mem_properties *list;
	} lists[] = {{"no properties", NULL}, {"empty properties", none}};
	const struct info properties = INFO(CL_MEM_PROPERTIES, INFO_SIZES);

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		cl_mem image = clCreateImageWithProperties(fix->context, lists[i].list, 0, &format,
							   &desc, NULL, &call_err);

		check_made(lists[i].name, image != NULL);
		check_infos(lists[i].name, query_clGetMemObjectInfo, image, &properties, 1);
		info_check(fix, lists[i].name, image, NULL);
		MUST(clReleaseMemObject(image));
	}
	WRONG_MADE("properties, context NULL",
		   clCreateImageWithProperties(NULL, none, 0, &format, &desc, NULL, &call_err));
	WRONG_MADE("unknown property",
		   clCreateImageWithProperties(fix->context, unknown, 0, &format, &desc, NULL,
					       &call_err));
	WRONG_MADE(
		"properties, format NULL",
		clCreateImageWithProperties(fix->context, none, 0, NULL, &desc, NULL, &call_err));
}

int main(void)
{
	struct fixture fix;

	transcript_begin("image");
	fixture_open(&fix);
	types_check(&fix);
	images_of_host_check(&fix);
	backed_check(&fix);
	sizes_wrong(&fix);
	descriptors_wrong(&fix);
	formats_wrong(&fix);
	flags_wrong(&fix);
	deprecated_check(&fix);
	info_wrong(&fix);
	properties_check(&fix);
	fixture_close(&fix);
	return transcript_end();
}
