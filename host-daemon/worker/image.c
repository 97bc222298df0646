/*
 * Images: creating them, and how they lie in host memory.
 */
#include "memory.h"

#include <errno.h>
#include <string.h>

/* Of OpenCL 2.0 and later: newer runtimes list such formats for every program. */
enum {
	ORDER_SRGB = 0x10bf,
	ORDER_SRGBX = 0x10c0,
	ORDER_SRGBA = 0x10c1,
	ORDER_SBGRA = 0x10c2,
	ORDER_ABGR = 0x10c3,
	TYPE_UNORM_INT_101010_2 = 0x10e0
};

/* Channels of an order that is stored channel by channel, or 0. */
static size_t order_channels(cl_channel_order order)
{
	switch (order) {
	case CL_R:
	case CL_A:
	case CL_Rx:
	case CL_INTENSITY:
	case CL_LUMINANCE:
	case CL_DEPTH:
		return 1;
	case CL_RG:
	case CL_RA:
	case CL_RGx:
		return 2;
	case CL_RGB:
	case ORDER_SRGB:
		return 3;
	case CL_RGBx:
	case ORDER_SRGBX:
	case CL_RGBA:
	case ORDER_SRGBA:
	case CL_BGRA:
	case ORDER_SBGRA:
	case CL_ARGB:
	case ORDER_ABGR:
		return 4;
	default:
		return 0;
	}
}

/* Bytes of a pixel, or 0 for a format that no runtime has. */
static size_t pixel_size(cl_channel_order order, cl_channel_type type)
{
	size_t channels = order_channels(order);

	switch (type) {
	case CL_SNORM_INT8:
	case CL_UNORM_INT8:
	case CL_SIGNED_INT8:
	case CL_UNSIGNED_INT8:
		return channels;
	case CL_SNORM_INT16:
	case CL_UNORM_INT16:
	case CL_SIGNED_INT16:
	case CL_UNSIGNED_INT16:
	case CL_HALF_FLOAT:
		return 2 * channels;
	case CL_UNORM_SHORT_565:
	case CL_UNORM_SHORT_555:
		return channels ? 2 : 0;
	case CL_UNORM_INT_101010:
	case TYPE_UNORM_INT_101010_2:
		return channels ? 4 : 0;
	case CL_SIGNED_INT32:
	case CL_UNSIGNED_INT32:
	case CL_FLOAT:
		return 4 * channels;
	default:
		return 0;
	}
}

/* Fill in type, extent and pixel size. Return: false for a type that there isn't. */
static bool image_describe(const Gcl__ImageCreate *message, struct gcl_mem *mem)
{
	size_t height = 1, depth = 1;

	switch (message->type) {
	case CL_MEM_OBJECT_IMAGE1D:
	case CL_MEM_OBJECT_IMAGE1D_BUFFER:
		break;
	case CL_MEM_OBJECT_IMAGE1D_ARRAY:
		height = message->array_size;
		break;
	case CL_MEM_OBJECT_IMAGE2D:
		height = message->height;
		break;
	case CL_MEM_OBJECT_IMAGE2D_ARRAY:
		height = message->height;
		depth = message->array_size;
		break;
	case CL_MEM_OBJECT_IMAGE3D:
		height = message->height;
		depth = message->depth;
		break;
	default:
		return false;
	}
	mem->type = message->type;
	mem->extent[0] = message->width;
	mem->extent[1] = height;
	mem->extent[2] = depth;
	mem->element_size = pixel_size(message->channel_order, message->channel_type);
	return true;
}

bool gcl_image_layout(const struct gcl_mem *image, const size_t region[3], size_t *row,
		      size_t *slice, uint64_t *size)
{
	size_t bytes[3] = {0, region[1], region[2]};

	if (__builtin_mul_overflow(region[0], image->element_size, &bytes[0]))
		return false;
	switch (image->type) {
	case CL_MEM_OBJECT_IMAGE2D_ARRAY:
	case CL_MEM_OBJECT_IMAGE3D:
		return gcl_layout_end(NULL, bytes, row, slice, size);
	case CL_MEM_OBJECT_IMAGE1D_ARRAY:
		/* A layer is a row: runtimes differ in which pitch they go by, so both say it. */
		if (!*row)
			*row = *slice;
		*slice = 0;
		if (!gcl_layout_end(NULL, bytes, row, slice, size))
			return false;
		*slice = *row;
		return true;
	default:
		*slice = 0;
		if (!gcl_layout_end(NULL, bytes, row, slice, size))
			return false;
		*slice = 0;
		return true;
	}
}

/* The buffer that a 1D image buffer shows. Return: false when the guest broke the protocol. */
static bool image_buffer(struct gcl_worker *worker, const Gcl__ImageCreate *message,
			 const struct gcl_mem *mem, struct gcl_mem **out)
{
	struct gcl_entry *entry;
	struct gcl_mem *buffer;
	uint64_t size;

	*out = NULL;
	if (mem->type != CL_MEM_OBJECT_IMAGE1D_BUFFER)
		return !message->buffer;
	entry = gcl_table_find(worker, message->buffer, GCL_KIND_MEM);
	buffer = entry ? entry->detail : NULL;
	if (!buffer || gcl_mem_is_image(buffer) ||
	    __builtin_mul_overflow(mem->extent[0], mem->element_size, &size) || size > buffer->size)
		return false;
	*out = buffer;
	return true;
}

/* Up to the end of the last row or slice: the runtime may use what pads them, too. The pitches are
 * as gcl_image_layout() leaves them, whose rows or slices lie apart. Return: false for too much. */
static bool image_padded_bytes(const struct gcl_mem *mem, size_t row, size_t slice, uint64_t *size)
{
	if (mem->type == CL_MEM_OBJECT_IMAGE2D_ARRAY || mem->type == CL_MEM_OBJECT_IMAGE3D)
		return !__builtin_mul_overflow(slice, mem->extent[2], size);
	return !__builtin_mul_overflow(row, mem->extent[1], size);
}

/* Memory of the heap that the image is to have, with pitches in @desc. Return: false for what can't
 * be.
 */
static bool image_resident(struct gcl_worker *worker, const Gcl__ImageCreate *message,
			   const struct gcl_mem *mem, cl_image_desc *desc, void **host)
{
	size_t *row = &desc->image_row_pitch, *slice = &desc->image_slice_pitch;
	uint64_t size;

	*host = NULL;
	if (!worker->resident || mem->type == CL_MEM_OBJECT_IMAGE1D_BUFFER ||
	    message->heap_offset >= GCL_HEAP_MAX || message->heap_offset % GCL_RESIDENT_ALIGN)
		return false;
	if (!mem->element_size)
		return true;
	if (!gcl_image_layout(mem, mem->extent, row, slice, &size) || *row % mem->element_size ||
	    *slice % *row || !image_padded_bytes(mem, *row, *slice, &size))
		return false;
	*host = gcl_channel_heap_ptr(worker->channel, message->heap_offset, size);
	return *host;
}

/* Initial contents from the payload, with pitches in @desc. Return: false when it is too small. */
static bool image_payload(struct gcl_worker *worker, const struct gcl_frame *head,
			  const struct gcl_mem *mem, cl_image_desc *desc, void **host)
{
	uint64_t size;

	*host = NULL;
	if (!head->payload_size || !mem->element_size) {
		desc->image_row_pitch = 0;
		desc->image_slice_pitch = 0;
		return true;
	}
	if (!gcl_image_layout(mem, mem->extent, &desc->image_row_pitch, &desc->image_slice_pitch,
			      &size) ||
	    size > head->payload_size)
		return false;
	*host = gcl_channel_heap_ptr(worker->channel, head->payload_offset, size);
	return *host;
}

/* Bytes without padding; an image of a buffer has none of its own. */
static uint64_t image_bytes(const struct gcl_mem *image, const struct gcl_mem *buffer)
{
	size_t row = 0, slice = 0;
	uint64_t size = 0;

	if (buffer || !gcl_image_layout(image, image->extent, &row, &slice, &size))
		return 0;
	return size;
}

/* @freed: what MEM_FREED says when the runtime has let go of it; 0: nothing is said */
static cl_int image_make(struct gcl_worker *worker, const struct gcl_entry *context,
			 struct gcl_charge charge, cl_mem_flags flags,
			 const cl_image_format *format, const cl_image_desc *desc, void *host,
			 uint64_t freed, cl_mem *handle)
{
	cl_int status = gcl_quota_take(worker, charge);

	if (status != CL_SUCCESS && gcl_journal_yield(worker))
		status = gcl_quota_take(worker, charge);
	if (status != CL_SUCCESS)
		return status;
	*handle = clCreateImage(context->handle, flags, format, desc, host, &status);
	if (status != CL_SUCCESS)
		gcl_quota_give(worker, charge);
	else if (!desc->buffer)
		status = gcl_mem_watch(worker, handle, charge, freed);
	return status;
}

int gcl_handle_image_create(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__ImageCreate *message = (const Gcl__ImageCreate *)call->message;
	struct gcl_entry *context = gcl_table_find(worker, message->context, GCL_KIND_CONTEXT);
	cl_image_format format = {.image_channel_order = message->channel_order,
				  .image_channel_data_type = message->channel_type};
	cl_image_desc desc = {.image_type = message->type,
			      .image_width = message->width,
			      .image_height = message->height,
			      .image_depth = message->depth,
			      .image_array_size = message->array_size,
			      .image_row_pitch = message->row_pitch,
			      .image_slice_pitch = message->slice_pitch};
	cl_mem_flags flags = gcl_mem_flags(message->flags);
	struct gcl_mem *buffer = NULL;
	const struct gcl_context *detail;
	struct gcl_mem described = {0}, *mem;
	struct gcl_entry *entry;
	cl_mem handle = NULL;
	cl_int status;
	void *host;

	if (!context || !image_describe(message, &described) ||
	    !image_buffer(worker, message, &described, &buffer) ||
	    !(message->resident ? image_resident(worker, message, &described, &desc, &host)
				: image_payload(worker, call->head, &described, &desc, &host)))
		return -EPROTO;
	mem = gcl_mem_add(worker, message->id, &entry);
	if (!mem)
		return entry ? -ENOMEM : -EPROTO;

	mem->type = described.type;
	mem->element_size = described.element_size;
	memcpy(mem->extent, described.extent, sizeof mem->extent);
	mem->context = gcl_context_get(context->detail);
	mem->flags = flags;
	mem->format = format;
	gcl_contents_init(&mem->contents, host);
	mem->resident = message->resident;
	if (buffer)
		mem->parent = gcl_mem_get(buffer);
	status = context->failed;
	if (status == CL_SUCCESS && buffer)
		status = buffer->context != mem->context ? CL_INVALID_CONTEXT : buffer->failed;
	if (status == CL_SUCCESS && !mem->element_size)
		status = CL_IMAGE_FORMAT_NOT_SUPPORTED;
	if (status == CL_SUCCESS && buffer)
		desc.buffer = gcl_mem_on(worker, buffer, GCL_HOME, &status);
	if (status == CL_SUCCESS) {
		if (host)
			flags |= message->resident ? CL_MEM_USE_HOST_PTR : CL_MEM_COPY_HOST_PTR;
		detail = context->detail;
		status = image_make(worker, context,
				    (struct gcl_charge){image_bytes(mem, buffer), detail->devices},
				    flags, &format, &desc, host,
				    message->resident ? message->id : 0, &handle);
	}
	gcl_mem_made(worker, entry, handle, status);
	if (message->resident ? status != CL_SUCCESS : call->head->payload_size != 0)
		gcl_mem_freed(worker, message->id);
	return 0;
}
