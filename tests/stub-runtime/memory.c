/*
 * Buffers, images and samplers.
 */
#include <string.h>

#include "stub.h"

/* More than this, and there is no memory. */
#define SIZE_LIMIT (16u << 20)

static cl_mem mem_new(cl_context context, size_t size, cl_mem_flags flags, void *host,
		      cl_int *status)
{
	cl_mem mem = NULL;

	if (size == 0)
		return stub_make(NULL, status, CL_INVALID_BUFFER_SIZE);
	if (size <= SIZE_LIMIT || flags & CL_MEM_USE_HOST_PTR)
		mem = stub_new(STUB_MEM, sizeof *mem);
	if (!mem)
		return stub_make(NULL, status, CL_MEM_OBJECT_ALLOCATION_FAILURE);
	mem->data = flags & CL_MEM_USE_HOST_PTR ? host : calloc(1, size);
	if (!mem->data)
		abort();
	mem->owned = !(flags & CL_MEM_USE_HOST_PTR);
	if (flags & CL_MEM_COPY_HOST_PTR)
		memcpy(mem->data, host, size);
	mem->size = size;
	mem->context = context;
	stub_retain(context, STUB_CONTEXT);
	return stub_make(mem, status, CL_SUCCESS);
}

cl_mem clCreateBuffer(cl_context context, cl_mem_flags flags, size_t size, void *host,
		      cl_int *status)
{
	const cl_mem_flags with_host = CL_MEM_USE_HOST_PTR | CL_MEM_COPY_HOST_PTR;

	if (!stub_get(context, STUB_CONTEXT))
		return stub_make(NULL, status, CL_INVALID_CONTEXT);
	if (!host != !(flags & with_host))
		return stub_make(NULL, status, CL_INVALID_HOST_PTR);
	return mem_new(context, size, flags, host, status);
}

cl_mem clCreateSubBuffer(cl_mem parent, cl_mem_flags flags, cl_buffer_create_type type,
			 const void *info, cl_int *status)
{
	const cl_buffer_region *region = info;
	cl_mem mem;

	(void)flags;
	if (!stub_get(parent, STUB_MEM) || parent->image || parent->parent)
		return stub_make(NULL, status, CL_INVALID_MEM_OBJECT);
	if (type != CL_BUFFER_CREATE_TYPE_REGION || region->origin > parent->size ||
	    region->size > parent->size - region->origin)
		return stub_make(NULL, status, CL_INVALID_VALUE);
	mem = mem_new(parent->context, region->size, CL_MEM_USE_HOST_PTR,
		      parent->data + region->origin, status);
	if (mem) {
		mem->parent = parent;
		stub_retain(parent, STUB_MEM);
	}
	return mem;
}

/* The dimensions that @desc means, unused ones 1. */
static bool image_extent(const cl_image_desc *desc, size_t extent[3])
{
	extent[0] = desc->image_width;
	extent[1] = 1;
	extent[2] = 1;
	switch (desc->image_type) {
	case CL_MEM_OBJECT_IMAGE1D:
	case CL_MEM_OBJECT_IMAGE1D_BUFFER:
		break;
	case CL_MEM_OBJECT_IMAGE1D_ARRAY:
		extent[1] = desc->image_array_size;
		break;
	case CL_MEM_OBJECT_IMAGE2D:
		extent[1] = desc->image_height;
		break;
	case CL_MEM_OBJECT_IMAGE2D_ARRAY:
		extent[1] = desc->image_height;
		extent[2] = desc->image_array_size;
		break;
	case CL_MEM_OBJECT_IMAGE3D:
		extent[1] = desc->image_height;
		extent[2] = desc->image_depth;
		break;
	default:
		return false;
	}
	for (int i = 0; i < 3; i++)
		if (extent[i] == 0 || extent[i] > 4096)
			return false;
	return true;
}

/* Host memory has the pitches of the description, the image its own. */
static void image_fill(cl_mem image, const cl_image_desc *desc, const unsigned char *host)
{
	size_t row = desc->image_row_pitch ? desc->image_row_pitch : image->row;
	size_t slice = desc->image_slice_pitch ? desc->image_slice_pitch : row * image->extent[1];

	/* Layers of a 1D array lie a slice pitch apart. */
	if (desc->image_type == CL_MEM_OBJECT_IMAGE1D_ARRAY && desc->image_slice_pitch)
		row = desc->image_slice_pitch;
	for (size_t z = 0; z < image->extent[2]; z++)
		for (size_t y = 0; y < image->extent[1]; y++)
			memcpy(image->data + z * image->slice + y * image->row,
			       host + z * slice + y * row, image->row);
}

cl_mem clCreateImage(cl_context context, cl_mem_flags flags, const cl_image_format *format,
		     const cl_image_desc *desc, void *host, cl_int *status)
{
	size_t extent[3];
	cl_mem image;

	if (!stub_get(context, STUB_CONTEXT))
		return stub_make(NULL, status, CL_INVALID_CONTEXT);
	if (format->image_channel_order != CL_RGBA ||
	    format->image_channel_data_type != CL_UNORM_INT8)
		return stub_make(NULL, status, CL_IMAGE_FORMAT_NOT_SUPPORTED);
	if (!image_extent(desc, extent))
		return stub_make(NULL, status, CL_INVALID_IMAGE_SIZE);
	if (!desc->buffer != (desc->image_type != CL_MEM_OBJECT_IMAGE1D_BUFFER))
		return stub_make(NULL, status, CL_INVALID_IMAGE_DESCRIPTOR);
	if (desc->buffer &&
	    (!stub_get(desc->buffer, STUB_MEM) || desc->buffer->size < extent[0] * 4))
		return stub_make(NULL, status, CL_INVALID_IMAGE_DESCRIPTOR);
	image = mem_new(context, extent[0] * extent[1] * extent[2] * 4,
			desc->buffer ? CL_MEM_USE_HOST_PTR : 0,
			desc->buffer ? desc->buffer->data : NULL, status);
	if (!image)
		return NULL;
	image->image = true;
	image->element = 4;
	memcpy(image->extent, extent, sizeof extent);
	image->row = extent[0] * 4;
	image->slice = image->row * extent[1];
	image->parent = desc->buffer;
	if (desc->buffer)
		stub_retain(desc->buffer, STUB_MEM);
	if (host && flags & CL_MEM_COPY_HOST_PTR)
		image_fill(image, desc, host);
	return image;
}

cl_int clGetMemObjectInfo(cl_mem mem, cl_mem_info name, size_t size, void *value, size_t *size_ret)
{
	if (!stub_get(mem, STUB_MEM))
		return CL_INVALID_MEM_OBJECT;
	if (name != CL_MEM_SIZE || size < sizeof mem->size)
		return CL_INVALID_VALUE;
	memcpy(value, &mem->size, sizeof mem->size);
	if (size_ret)
		*size_ret = sizeof mem->size;
	return CL_SUCCESS;
}

cl_int clSetMemObjectDestructorCallback(cl_mem mem, void(CL_CALLBACK *notify)(cl_mem, void *),
					void *data)
{
	STUB_REFUSE(!stub_get(mem, STUB_MEM) || mem->destroyed[1], CL_INVALID_MEM_OBJECT);
	mem->destroyed[1] = mem->destroyed[0];
	mem->destroyed_data[1] = mem->destroyed_data[0];
	mem->destroyed[0] = notify;
	mem->destroyed_data[0] = data;
	return CL_SUCCESS;
}

cl_int clRetainMemObject(cl_mem mem)
{
	STUB_REFUSE(!mem, CL_INVALID_MEM_OBJECT);
	stub_retain(mem, STUB_MEM);
	return CL_SUCCESS;
}

cl_int clReleaseMemObject(cl_mem mem)
{
	STUB_REFUSE(!mem, CL_INVALID_MEM_OBJECT);
	if (!stub_unref(mem, STUB_MEM))
		return CL_SUCCESS;
	for (int i = 0; i < 2 && mem->destroyed[i]; i++)
		mem->destroyed[i](mem, mem->destroyed_data[i]);
	if (mem->owned)
		free(mem->data);
	if (mem->parent)
		clReleaseMemObject(mem->parent);
	clReleaseContext(mem->context);
	free(mem);
	return CL_SUCCESS;
}

cl_sampler clCreateSampler(cl_context context, cl_bool normalized, cl_addressing_mode addressing,
			   cl_filter_mode filter, cl_int *status)
{
	cl_sampler sampler;

	(void)normalized;
	if (!stub_get(context, STUB_CONTEXT))
		return stub_make(NULL, status, CL_INVALID_CONTEXT);
	if (addressing < CL_ADDRESS_NONE || addressing > CL_ADDRESS_MIRRORED_REPEAT ||
	    filter < CL_FILTER_NEAREST || filter > CL_FILTER_LINEAR)
		return stub_make(NULL, status, CL_INVALID_VALUE);
	sampler = stub_new(STUB_SAMPLER, sizeof *sampler);
	if (sampler) {
		sampler->context = context;
		stub_retain(context, STUB_CONTEXT);
	}
	return stub_make(sampler, status, CL_SUCCESS);
}

cl_int clReleaseSampler(cl_sampler sampler)
{
	STUB_REFUSE(!sampler, CL_INVALID_SAMPLER);
	if (!stub_unref(sampler, STUB_SAMPLER))
		return CL_SUCCESS;
	clReleaseContext(sampler->context);
	free(sampler);
	return CL_SUCCESS;
}

/* ------------------------------------------------------------ shared virtual memory */

void *clSVMAlloc(cl_context context, cl_svm_mem_flags flags, size_t size, cl_uint alignment)
{
	if (!stub_get(context, STUB_CONTEXT) || !size || size > SIZE_LIMIT ||
	    flags & ~(cl_svm_mem_flags)(CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY) ||
	    alignment & (alignment - 1) || alignment > 128)
		return NULL;
	return calloc(1, size);
}

void clSVMFree(cl_context context, void *pointer)
{
	if (!stub_get(context, STUB_CONTEXT))
		abort();
	free(pointer);
}
