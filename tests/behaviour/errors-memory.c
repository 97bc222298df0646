/* SPDX-License-Identifier: MIT */
/*
 * Wrong arguments to calls that make memory objects and samplers, and that tell about them.
 */
#include "errors.h"

#define BOTH_ACCESSES (CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY)
#define UNKNOWN_FLAG  (1u << 30)

/* ------------------------------------------------------------ buffers */

CALL_MAKES(clCreateBuffer, P(0), U(1), U(2), P(3))
CALL_MAKES(clCreateBufferWithProperties, P(0), P(1), U(2), U(3), P(4))
CALL_MAKES(clCreateSubBuffer, P(0), U(1), (cl_buffer_create_type)U(2), P(3))
CALL(clGetMemObjectInfo, P(0), U(1), U(2), P(3), P(4))
CALL(clSetMemObjectDestructorCallback, P(0), (void(CL_CALLBACK *)(cl_mem, void *))a[1], P(2))

static const cl_mem_properties unknown_properties[] = {0x7dea, 1, 0};

#define FAULTS_FLAGS(arg)                                                                          \
	FAULT("unknown flag", CL_INVALID_VALUE, arg, UNKNOWN_FLAG),                                \
		FAULT("two accesses", CL_INVALID_VALUE, arg, BOTH_ACCESSES)

static void CL_CALLBACK freed(cl_mem mem, void *data)
{
	(void)mem, (void)data;
}

static void buffers(void)
{
	const size_t most = on.max_alloc;

	ROW(clCreateBuffer, RIGHT(V(on.context), CL_MEM_READ_WRITE, HOST_SIZE, 0),
	    FAULTS_CONTEXT(0), FAULTS_FLAGS(1), FAULT("size 0", CL_INVALID_BUFFER_SIZE, 2, 0),
	    FAULT("size of more than can be", CL_INVALID_BUFFER_SIZE, 2, most + 1),
	    FAULT("memory without a flag", CL_INVALID_HOST_PTR, 3, on.host),
	    FAULT_PAIR("flag without memory", CL_INVALID_HOST_PTR, 1, CL_MEM_USE_HOST_PTR, 3, 0));
	ROW(clCreateBufferWithProperties, RIGHT(V(on.context), 0, CL_MEM_READ_WRITE, HOST_SIZE, 0),
	    FAULTS_CONTEXT(0),
	    FAULT("unknown property", CL_INVALID_PROPERTY, 1, unknown_properties), FAULTS_FLAGS(2),
	    FAULT("size 0", CL_INVALID_BUFFER_SIZE, 3, 0),
	    FAULT("memory without a flag", CL_INVALID_HOST_PTR, 4, on.host));
	ROW(clGetMemObjectInfo, RIGHT(V(on.buffer), CL_MEM_SIZE, HOST_SIZE, V(on.host), 0),
	    FAULTS_BUFFER("object", 0), FAULTS_INFO(1));
}

static void sub_buffers(void)
{
	const cl_buffer_region right = {on.align, on.align};
	const cl_buffer_region odd = {1, on.align};
	const cl_buffer_region empty = {on.align, 0};
	const cl_buffer_region beyond = {BUFFER_SIZE, on.align};
	const cl_buffer_region beyond_odd = {BUFFER_SIZE - 1, on.align};
	cl_mem part = MUST_MAKE(
		clCreateSubBuffer(on.buffer, 0, CL_BUFFER_CREATE_TYPE_REGION, &right, &call_err));

	ROW(clCreateSubBuffer, RIGHT(V(on.buffer), 0, CL_BUFFER_CREATE_TYPE_REGION, V(&right)),
	    FAULTS_BUFFER("buffer", 0), FAULT("part of a part", CL_INVALID_MEM_OBJECT, 0, part),
	    FAULT("part of an image", CL_INVALID_MEM_OBJECT, 0, on.image),
	    FAULT("two accesses", CL_INVALID_VALUE, 1, BOTH_ACCESSES),
	    FAULT("unknown type", CL_INVALID_VALUE, 2, 0x7dea),
	    FAULT("region NULL", CL_INVALID_VALUE, 3, 0),
	    FAULT("region beyond the end", CL_INVALID_VALUE, 3, &beyond),
	    FAULT("region beyond the end and odd", CL_INVALID_VALUE, 3, &beyond_odd),
	    FAULT("region empty", CL_INVALID_BUFFER_SIZE, 3, &empty),
	    FAULT("region odd", CL_MISALIGNED_SUB_BUFFER_OFFSET, 3, &odd));
	RELEASE(part);
}

/* Of an object of its own, so that the function is called before the program ends. */
static void destructors(void)
{
	cl_mem mem = MUST_MAKE(clCreateBuffer(on.context, 0, HOST_SIZE, NULL, &call_err));

	ROW(clSetMemObjectDestructorCallback, RIGHT(V(mem), V(freed), 0),
	    FAULTS_BUFFER("object", 0), FAULT("function NULL", CL_INVALID_VALUE, 1, 0));
	RELEASE(mem);
}

/* ------------------------------------------------------------ images */

CALL_MAKES(clCreateImage, P(0), U(1), P(2), P(3), P(4))
CALL_MAKES(clCreateImageWithProperties, P(0), P(1), U(2), P(3), P(4), P(5))
CALL_MAKES(clCreateImage2D, P(0), U(1), P(2), U(3), U(4), U(5), P(6))
CALL_MAKES(clCreateImage3D, P(0), U(1), P(2), U(3), U(4), U(5), U(6), U(7), P(8))
CALL(clGetSupportedImageFormats, P(0), U(1), (cl_mem_object_type)U(2), U(3), P(4), P(5))
CALL(clGetImageInfo, P(0), U(1), U(2), P(3), P(4))

static const cl_image_format format = {CL_RGBA, CL_UNORM_INT8};
static const cl_image_format unknown_format = {0x7dea, 0x7dea};
static const cl_image_format rare_format = {CL_RGB, CL_UNORM_INT8};
static const cl_image_desc desc = {
	.image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = IMAGE_SIDE, .image_height = IMAGE_SIDE};
static const cl_image_desc flat = {.image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = IMAGE_SIDE};
static const cl_image_desc wide = {.image_type = CL_MEM_OBJECT_IMAGE2D,
				   .image_width = (size_t)1 << 40,
				   .image_height = IMAGE_SIDE};
static const cl_image_desc mips = {.image_type = CL_MEM_OBJECT_IMAGE2D,
				   .image_width = IMAGE_SIDE,
				   .image_height = IMAGE_SIDE,
				   .num_mip_levels = 2};

#define FAULTS_IMAGE(arg)                                                                          \
	FAULTS_FLAGS(arg), FAULT("format NULL", CL_INVALID_IMAGE_FORMAT_DESCRIPTOR, (arg) + 1, 0), \
		FAULT("format unknown", CL_INVALID_IMAGE_FORMAT_DESCRIPTOR, (arg) + 1,             \
		      &unknown_format),                                                            \
		FAULT("format of no bytes' order", CL_INVALID_IMAGE_FORMAT_DESCRIPTOR, (arg) + 1,  \
		      &rare_format)

#define FAULTS_DESC(arg)                                                                           \
	FAULT("description NULL", CL_INVALID_IMAGE_DESCRIPTOR, arg, 0),                            \
		FAULT("no height", CL_INVALID_IMAGE_DESCRIPTOR, arg, &flat),                       \
		FAULT_GUEST("mip levels", CL_INVALID_IMAGE_DESCRIPTOR, arg, &mips),                \
		FAULT("too wide", CL_INVALID_IMAGE_SIZE, arg, &wide)

static void images(void)
{
	ROW(clCreateImage, RIGHT(V(on.context), CL_MEM_READ_WRITE, V(&format), V(&desc), 0),
	    FAULTS_CONTEXT(0), FAULTS_IMAGE(1), FAULTS_DESC(3),
	    FAULT("memory without a flag", CL_INVALID_HOST_PTR, 4, on.host));
	ROW(clCreateImageWithProperties,
	    RIGHT(V(on.context), 0, CL_MEM_READ_WRITE, V(&format), V(&desc), 0), FAULTS_CONTEXT(0),
	    FAULT("unknown property", CL_INVALID_PROPERTY, 1, unknown_properties), FAULTS_IMAGE(2),
	    FAULTS_DESC(4), FAULT("memory without a flag", CL_INVALID_HOST_PTR, 5, on.host));
	ROW(clCreateImage2D,
	    RIGHT(V(on.context), CL_MEM_READ_WRITE, V(&format), IMAGE_SIDE, IMAGE_SIDE, 0, 0),
	    FAULTS_CONTEXT(0), FAULTS_IMAGE(1), FAULT("no height", CL_INVALID_IMAGE_SIZE, 4, 0),
	    FAULT("memory without a flag", CL_INVALID_HOST_PTR, 6, on.host));
	ROW(clCreateImage3D,
	    RIGHT(V(on.context), CL_MEM_READ_ONLY, V(&format), IMAGE_SIDE, IMAGE_SIDE, 2, 0, 0, 0),
	    FAULTS_CONTEXT(0), FAULTS_IMAGE(1), FAULT("no height", CL_INVALID_IMAGE_SIZE, 4, 0),
	    FAULT("memory without a flag", CL_INVALID_HOST_PTR, 8, on.host));
	ROW(clGetSupportedImageFormats,
	    RIGHT(V(on.context), CL_MEM_READ_WRITE, CL_MEM_OBJECT_IMAGE2D, 0, 0, V(on.host)),
	    FAULTS_CONTEXT(0), FAULTS_FLAGS(1),
	    FAULT("of buffers", CL_INVALID_VALUE, 2, CL_MEM_OBJECT_BUFFER),
	    FAULT("room for none", CL_INVALID_VALUE, 4, on.host));
	ROW(clGetImageInfo, RIGHT(V(on.image), CL_IMAGE_WIDTH, HOST_SIZE, V(on.host), 0),
	    FAULTS_BUFFER("image", 0), FAULT("of a buffer", CL_INVALID_MEM_OBJECT, 0, on.buffer),
	    FAULTS_INFO(1));
}

/* ------------------------------------------------------------ pipes and samplers */

CALL_MAKES(clCreatePipe, P(0), U(1), U(2), U(3), P(4))
CALL(clGetPipeInfo, P(0), U(1), U(2), P(3), P(4))
CALL_MAKES(clCreateSampler, P(0), U(1), U(2), U(3))
CALL_MAKES(clCreateSamplerWithProperties, P(0), P(1))
CALL(clGetSamplerInfo, P(0), U(1), U(2), P(3), P(4))

static void samplers(void)
{
	static const cl_sampler_properties right[] = {CL_SAMPLER_NORMALIZED_COORDS, CL_FALSE, 0};
	static const cl_sampler_properties unknown[] = {0x7dea, 1, 0};
	static const cl_sampler_properties value[] = {CL_SAMPLER_ADDRESSING_MODE, 0x7dea, 0};
	static const cl_sampler_properties twice[] = {CL_SAMPLER_NORMALIZED_COORDS, CL_FALSE,
						      CL_SAMPLER_NORMALIZED_COORDS, CL_FALSE, 0};

	ROW(clCreateSampler, RIGHT(V(on.context), CL_FALSE, CL_ADDRESS_CLAMP, CL_FILTER_NEAREST),
	    FAULTS_CONTEXT(0), FAULT("addressing unknown", CL_INVALID_VALUE, 2, 0x7dea),
	    FAULT("filter unknown", CL_INVALID_VALUE, 3, 0x7dea));
	ROW(clCreateSamplerWithProperties, RIGHT(V(on.context), V(right)), FAULTS_CONTEXT(0),
	    FAULT("unknown property", CL_INVALID_VALUE, 1, unknown),
	    FAULT("unknown value", CL_INVALID_VALUE, 1, value),
	    FAULT("property twice", CL_INVALID_VALUE, 1, twice));
	ROW(clGetSamplerInfo,
	    RIGHT(V(on.sampler), CL_SAMPLER_FILTER_MODE, HOST_SIZE, V(on.host), 0),
	    FAULTS_OBJECT("sampler", CL_INVALID_SAMPLER, 0, on.buffer, on.gone_sampler),
	    FAULTS_INFO(1));
}

static void pipes(void)
{
	ROW_REFUSED(clCreatePipe, CL_INVALID_OPERATION, RIGHT(V(on.context), 0, 4, 4, 0),
		    FAULTS_CONTEXT(0));
	ROW_REFUSED(clGetPipeInfo, CL_INVALID_MEM_OBJECT,
		    RIGHT(V(on.buffer), CL_PIPE_PACKET_SIZE, HOST_SIZE, V(on.host), 0),
		    FAULTS_BUFFER("pipe", 0));
}

void errors_memory(void)
{
	buffers();
	sub_buffers();
	destructors();
	images();
	pipes();
	samplers();
}
