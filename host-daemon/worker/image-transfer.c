/*
 * Commands that move the contents of images.
 *
 * Regions are checked against the image's extent and host layouts against the heap before the
 * runtime sees them.
 */
#include "memory.h"

#include <errno.h>

#define COLOR_SIZE 16u

/* Where in which image. */
struct area {
	const struct gcl_mem *image;
	size_t origin[3];
	size_t region[3];
};

/* Return: false when there is no such image or the area isn't wholly inside it. */
static bool area_get(struct gcl_worker *worker, struct gcl_command *command, uint64_t id,
		     enum gcl_access access, const Gcl__Box *origin, const Gcl__Box *region,
		     struct area *area)
{
	area->image = gcl_mem_use(worker, id, command, access);
	if (!area->image || !gcl_mem_is_image(area->image))
		return false;
	gcl_box_get(origin, area->origin);
	gcl_box_get(region, area->region);
	for (int i = 0; i < 3; i++) {
		if (!area->region[i] ||
		    !gcl_range_inside(area->origin[i], area->region[i], area->image->extent[i]))
			return false;
	}
	return true;
}

/* In bytes. */
static uint64_t area_size(const struct area *area)
{
	return (uint64_t)area->region[0] * area->region[1] * area->region[2] *
	       area->image->element_size;
}

/* Where the area's pixels lie in a buffer, densely. Return: false when they don't fit. */
static bool area_fits(const struct area *area, const struct gcl_mem *buffer, uint64_t offset)
{
	size_t row = 0, slice = 0;
	uint64_t size;

	return buffer && !gcl_mem_is_image(buffer) &&
	       gcl_image_layout(area->image, area->region, &row, &slice, &size) &&
	       gcl_range_inside(offset, size, buffer->size);
}

int gcl_handle_image_read(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__ImageRead *message = (const Gcl__ImageRead *)call->message;
	size_t row = message->row_pitch, slice = message->slice_pitch;
	struct gcl_command command;
	struct area area;
	uint64_t size;
	void *host;
	int err;

	err = gcl_command_begin(worker, message->command, &command);
	if (err)
		return err;
	if (!area_get(worker, &command, message->image, GCL_ACCESS_READ, message->origin,
		      message->region, &area) ||
	    !gcl_image_layout(area.image, area.region, &row, &slice, &size))
		return -EPROTO;
	host = gcl_channel_heap_ptr(worker->channel, message->heap_offset, size);
	if (!host)
		return -EPROTO;

	command.payload_offset = message->heap_offset;
	command.payload_size = size;
	command.work = gcl_meter_move(size);
	return GCL_ENQUEUE(worker, &command, clEnqueueReadImage, area.image->handles[command.side],
			   CL_FALSE, area.origin, area.region, row, slice, host);
}

int gcl_handle_image_write(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__ImageWrite *message = (const Gcl__ImageWrite *)call->message;
	size_t row = message->row_pitch, slice = message->slice_pitch;
	struct gcl_command command;
	struct area area;
	const void *host;
	uint64_t size;
	int err;

	err = gcl_command_begin(worker, message->command, &command);
	if (err)
		return err;
	if (!area_get(worker, &command, message->image, GCL_ACCESS_WRITE, message->origin,
		      message->region, &area) ||
	    !gcl_image_layout(area.image, area.region, &row, &slice, &size) ||
	    size > call->head->payload_size)
		return -EPROTO;
	host = gcl_call_payload(worker, call, size);
	if (!host)
		return -EPROTO;

	command.work = gcl_meter_move(size);
	return GCL_ENQUEUE(worker, &command, clEnqueueWriteImage, area.image->handles[command.side],
			   CL_FALSE, area.origin, area.region, row, slice, host);
}

int gcl_handle_image_copy(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__ImageCopy *message = (const Gcl__ImageCopy *)call->message;
	struct gcl_command command;
	struct area src, dst;
	int err;

	err = gcl_command_begin(worker, message->command, &command);
	if (err)
		return err;
	if (!area_get(worker, &command, message->src, GCL_ACCESS_READ, message->src_origin,
		      message->region, &src) ||
	    !area_get(worker, &command, message->dst, GCL_ACCESS_WRITE, message->dst_origin,
		      message->region, &dst) ||
	    src.image->element_size != dst.image->element_size)
		return -EPROTO;

	command.work = gcl_meter_move(area_size(&src));
	return GCL_ENQUEUE(worker, &command, clEnqueueCopyImage, src.image->handles[command.side],
			   dst.image->handles[command.side], src.origin, dst.origin, src.region);
}

int gcl_handle_image_fill(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__ImageFill *message = (const Gcl__ImageFill *)call->message;
	struct gcl_command command;
	struct area area;
	int err;

	err = gcl_command_begin(worker, message->command, &command);
	if (err)
		return err;
	if (message->color.len != COLOR_SIZE ||
	    !area_get(worker, &command, message->image, GCL_ACCESS_WRITE, message->origin,
		      message->region, &area))
		return -EPROTO;

	command.work = gcl_meter_move(area_size(&area));
	return GCL_ENQUEUE(worker, &command, clEnqueueFillImage, area.image->handles[command.side],
			   message->color.data, area.origin, area.region);
}

int gcl_handle_image_to_buffer(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__ImageToBuffer *message = (const Gcl__ImageToBuffer *)call->message;
	const struct gcl_mem *buffer;
	struct gcl_command command;
	struct area area;
	int err;

	err = gcl_command_begin(worker, message->command, &command);
	if (err)
		return err;
	buffer = gcl_mem_use(worker, message->dst, &command, GCL_ACCESS_WRITE);
	if (!area_get(worker, &command, message->src, GCL_ACCESS_READ, message->origin,
		      message->region, &area) ||
	    !area_fits(&area, buffer, message->offset))
		return -EPROTO;

	command.work = gcl_meter_move(area_size(&area));
	return GCL_ENQUEUE(worker, &command, clEnqueueCopyImageToBuffer,
			   area.image->handles[command.side], buffer->handles[command.side],
			   area.origin, area.region, message->offset);
}

int gcl_handle_buffer_to_image(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__BufferToImage *message = (const Gcl__BufferToImage *)call->message;
	const struct gcl_mem *buffer;
	struct gcl_command command;
	struct area area;
	int err;

	err = gcl_command_begin(worker, message->command, &command);
	if (err)
		return err;
	buffer = gcl_mem_use(worker, message->src, &command, GCL_ACCESS_READ);
	if (!area_get(worker, &command, message->dst, GCL_ACCESS_WRITE, message->origin,
		      message->region, &area) ||
	    !area_fits(&area, buffer, message->offset))
		return -EPROTO;

	command.work = gcl_meter_move(area_size(&area));
	return GCL_ENQUEUE(worker, &command, clEnqueueCopyBufferToImage,
			   buffer->handles[command.side], area.image->handles[command.side],
			   message->offset, area.origin, area.region);
}
