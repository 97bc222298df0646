/*
 * Commands on the contents of images.
 *
 * Origins and regions are in pixels, rows and slices, where the layers of a 1D image array are rows
 * and those of a 2D image array are slices; see image.c for how they lie in memory.
 */
#include "memory.h"

#define COLOR_SIZE 16u

cl_int gcl_image_check(cl_command_queue queue, cl_mem image)
{
	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	REFUSE_IF(!gcl_mem_is_image(image), CL_INVALID_MEM_OBJECT);
	REFUSE_IF(image->context != queue->context, CL_INVALID_CONTEXT);
	return CL_SUCCESS;
}

cl_int gcl_image_device_check(cl_command_queue queue, cl_mem image)
{
	REFUSE_IF(!queue->device->image_support, CL_INVALID_OPERATION);
	REFUSE_IF(queue->context->device_count > 1 && !gcl_image_fits(image, queue->device),
		  CL_INVALID_IMAGE_SIZE);
	return CL_SUCCESS;
}

/*
 * A 1D image buffer's pixels are its buffer's bytes: as such they may be moved right here.
 */
void gcl_image_transfer(struct gcl_transfer *transfer)
{
	transfer->shape = GCL_SHAPE_IMAGE;
	if (transfer->mem->type != CL_MEM_OBJECT_IMAGE1D_BUFFER)
		return;
	transfer->shape = GCL_SHAPE_LINEAR;
	transfer->origin[0] *= transfer->mem->element_size;
	transfer->mem = transfer->mem->parent;
}

/* Fill in the places. */
static void transfer_place(struct gcl_transfer *transfer, cl_mem image, const size_t origin[3],
			   const size_t region[3], const struct gcl_box *host)
{
	transfer->mem = image;
	transfer->host = *host;
	memcpy(transfer->origin, origin, sizeof transfer->origin);
	memcpy(transfer->region, region, sizeof transfer->region);
	transfer->region[0] *= image->element_size;
	gcl_image_transfer(transfer);
}

/* The program's side. The pitch between layers of a 1D image array is the slice pitch. */
static bool host_box(cl_mem image, const size_t region[3], size_t row_pitch, size_t slice_pitch,
		     const void *ptr, struct gcl_box *box)
{
	size_t bytes = region[0] * image->element_size;
	size_t rows = image->type == CL_MEM_OBJECT_IMAGE1D_ARRAY ? 1 : region[1];
	size_t dense;

	if (row_pitch == 0)
		row_pitch = bytes;
	if (row_pitch < bytes || __builtin_mul_overflow(row_pitch, rows, &dense))
		return false;
	if (slice_pitch && !image->slice_pitch)
		return false;
	if (slice_pitch == 0)
		slice_pitch = dense;
	if (slice_pitch < dense)
		return false;
	box->bytes = (uint8_t *)ptr;
	box->row_pitch = image->type == CL_MEM_OBJECT_IMAGE1D_ARRAY ? slice_pitch : row_pitch;
	box->slice_pitch = slice_pitch;
	return true;
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueReadImage(cl_command_queue queue, cl_mem image,
						   cl_bool blocking, const size_t *origin,
						   const size_t *region, size_t row_pitch,
						   size_t slice_pitch, void *ptr, cl_uint count,
						   const cl_event *list, cl_event *event)
{
	struct gcl_transfer transfer = {.queue = queue,
					.type = CL_COMMAND_READ_IMAGE,
					.blocking = blocking,
					.wait_count = count,
					.waits = list,
					.event = event};
	struct gcl_box host;

	TRY(gcl_image_check(queue, image));
	REFUSE_IF(!gcl_image_region_valid(image, origin, region), CL_INVALID_VALUE);
	REFUSE_IF(!host_box(image, region, row_pitch, slice_pitch, ptr, &host), CL_INVALID_VALUE);
	REFUSE_IF(!ptr, CL_INVALID_VALUE);
	TRY(gcl_image_device_check(queue, image));
	TRY(gcl_transfer_check(queue, image, CL_MEM_HOST_WRITE_ONLY | CL_MEM_HOST_NO_ACCESS, count,
			       list));
	transfer_place(&transfer, image, origin, region, &host);
	return gcl_transfer_run(&transfer);
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueWriteImage(cl_command_queue queue, cl_mem image,
						    cl_bool blocking, const size_t *origin,
						    const size_t *region, size_t row_pitch,
						    size_t slice_pitch, const void *ptr,
						    cl_uint count, const cl_event *list,
						    cl_event *event)
{
	struct gcl_transfer transfer = {.queue = queue,
					.type = CL_COMMAND_WRITE_IMAGE,
					.write = true,
					.blocking = blocking,
					.wait_count = count,
					.waits = list,
					.event = event};
	struct gcl_box host;

	TRY(gcl_image_check(queue, image));
	REFUSE_IF(!gcl_image_region_valid(image, origin, region), CL_INVALID_VALUE);
	REFUSE_IF(!host_box(image, region, row_pitch, slice_pitch, ptr, &host), CL_INVALID_VALUE);
	REFUSE_IF(!ptr, CL_INVALID_VALUE);
	TRY(gcl_image_device_check(queue, image));
	TRY(gcl_transfer_check(queue, image, CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS, count,
			       list));
	transfer_place(&transfer, image, origin, region, &host);
	return gcl_transfer_run(&transfer);
}

/* ------------------------------------------------------------ on the device alone */

static bool boxes_overlap(const size_t a[3], const size_t b[3], const size_t region[3])
{
	for (int i = 0; i < 3; i++)
		if (a[i] >= b[i] + region[i] || b[i] >= a[i] + region[i])
			return false;
	return true;
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueCopyImage(cl_command_queue queue, cl_mem src, cl_mem dst,
						   const size_t *src_origin,
						   const size_t *dst_origin, const size_t *region,
						   cl_uint count, const cl_event *list,
						   cl_event *event)
{
	Gcl__ImageCopy message = GCL__IMAGE_COPY__INIT;
	struct gcl_enqueue enqueue;
	Gcl__Box from, to, box;

	TRY(gcl_image_check(queue, src));
	TRY(gcl_image_check(queue, dst));
	REFUSE_IF(memcmp(&src->format, &dst->format, sizeof src->format), CL_IMAGE_FORMAT_MISMATCH);
	REFUSE_IF(!gcl_image_region_valid(src, src_origin, region), CL_INVALID_VALUE);
	REFUSE_IF(!gcl_image_region_valid(dst, dst_origin, region), CL_INVALID_VALUE);
	TRY(gcl_image_device_check(queue, src));
	TRY(gcl_image_device_check(queue, dst));
	TRY(gcl_transfer_check(queue, src, 0, count, list));
	TRY(gcl_mem_use(queue, dst));
	REFUSE_IF(src == dst && boxes_overlap(src_origin, dst_origin, region), CL_MEM_COPY_OVERLAP);
	from = gcl_wire_box(src_origin);
	to = gcl_wire_box(dst_origin);
	box = gcl_wire_box(region);
	TRY(gcl_enqueue_begin(&enqueue, queue, CL_COMMAND_COPY_IMAGE, count, list, event != NULL));
	message.command = &enqueue.command;
	message.src = src->base.id;
	message.dst = dst->base.id;
	message.src_origin = &from;
	message.dst_origin = &to;
	message.region = &box;
	return gcl_enqueue_post(&enqueue, GCL_IMAGE_COPY, &message.base, 0, 0, event);
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueFillImage(cl_command_queue queue, cl_mem image,
						   const void *color, const size_t *origin,
						   const size_t *region, cl_uint count,
						   const cl_event *list, cl_event *event)
{
	Gcl__ImageFill message = GCL__IMAGE_FILL__INIT;
	struct gcl_enqueue enqueue;
	Gcl__Box from, box;

	TRY(gcl_image_check(queue, image));
	REFUSE_IF(!color, CL_INVALID_VALUE);
	REFUSE_IF(!gcl_image_region_valid(image, origin, region), CL_INVALID_VALUE);
	TRY(gcl_image_device_check(queue, image));
	TRY(gcl_transfer_check(queue, image, 0, count, list));
	from = gcl_wire_box(origin);
	box = gcl_wire_box(region);
	TRY(gcl_enqueue_begin(&enqueue, queue, CL_COMMAND_FILL_IMAGE, count, list, event != NULL));
	message.command = &enqueue.command;
	message.image = image->base.id;
	message.color.data = (uint8_t *)color;
	message.color.len = COLOR_SIZE;
	message.origin = &from;
	message.region = &box;
	return gcl_enqueue_post(&enqueue, GCL_IMAGE_FILL, &message.base, 0, 0, event);
}

/* The checks of both directions between image and buffer. */
static cl_int with_buffer_check(cl_command_queue queue, cl_mem image, cl_mem buffer,
				const size_t *origin, const size_t *region, size_t offset,
				cl_uint count, const cl_event *list)
{
	size_t size;

	REFUSE_IF(!gcl_image_region_valid(image, origin, region), CL_INVALID_VALUE);
	size = region[0] * image->element_size * region[1] * region[2];
	REFUSE_IF(!gcl_inside(offset, size, buffer->size), CL_INVALID_VALUE);
	TRY(gcl_image_device_check(queue, image));
	TRY(gcl_transfer_check(queue, image, 0, count, list));
	TRY(gcl_mem_use(queue, buffer));
	return gcl_mem_tell(buffer);
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueCopyImageToBuffer(cl_command_queue queue, cl_mem image,
							   cl_mem buffer, const size_t *origin,
							   const size_t *region, size_t offset,
							   cl_uint count, const cl_event *list,
							   cl_event *event)
{
	Gcl__ImageToBuffer message = GCL__IMAGE_TO_BUFFER__INIT;
	struct gcl_enqueue enqueue;
	Gcl__Box from, box;

	TRY(gcl_image_check(queue, image));
	TRY(gcl_buffer_check(queue, buffer));
	TRY(with_buffer_check(queue, image, buffer, origin, region, offset, count, list));
	from = gcl_wire_box(origin);
	box = gcl_wire_box(region);
	TRY(gcl_enqueue_begin(&enqueue, queue, CL_COMMAND_COPY_IMAGE_TO_BUFFER, count, list,
			      event != NULL));
	message.command = &enqueue.command;
	message.src = image->base.id;
	message.dst = buffer->base.id;
	message.origin = &from;
	message.region = &box;
	message.offset = offset;
	return gcl_enqueue_post(&enqueue, GCL_IMAGE_TO_BUFFER, &message.base, 0, 0, event);
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueCopyBufferToImage(cl_command_queue queue, cl_mem buffer,
							   cl_mem image, size_t offset,
							   const size_t *origin,
							   const size_t *region, cl_uint count,
							   const cl_event *list, cl_event *event)
{
	Gcl__BufferToImage message = GCL__BUFFER_TO_IMAGE__INIT;
	struct gcl_enqueue enqueue;
	Gcl__Box to, box;

	TRY(gcl_buffer_check(queue, buffer));
	TRY(gcl_image_check(queue, image));
	TRY(with_buffer_check(queue, image, buffer, origin, region, offset, count, list));
	to = gcl_wire_box(origin);
	box = gcl_wire_box(region);
	TRY(gcl_enqueue_begin(&enqueue, queue, CL_COMMAND_COPY_BUFFER_TO_IMAGE, count, list,
			      event != NULL));
	message.command = &enqueue.command;
	message.src = buffer->base.id;
	message.dst = image->base.id;
	message.offset = offset;
	message.origin = &to;
	message.region = &box;
	return gcl_enqueue_post(&enqueue, GCL_BUFFER_TO_IMAGE, &message.base, 0, 0, event);
}
