/*
 * Commands that move the contents of buffers.
 *
 * The host's side of a transfer lies in the heap: payload of the message for data that goes to the
 * device, heap_offset for data that comes back. Both sides are checked against their memory before
 * the runtime sees them; whether regions overlap, and what sizes of 0 mean, is left to it.
 */
#include "range.h"

#include <errno.h>

#define PATTERN_MAX 128u

/* A buffer's rectangle: the buffer, and where in it. */
struct rect {
	struct gcl_mem *mem;
	size_t origin[3];
	size_t row, slice;
};

static struct gcl_mem *buffer_use(struct gcl_worker *worker, uint64_t id,
				  struct gcl_command *command, enum gcl_access access)
{
	struct gcl_mem *mem = gcl_mem_use(worker, id, command, access);

	return mem && !gcl_mem_is_image(mem) ? mem : NULL;
}

/* What is written wholly needs nothing of what it held, which may have been lost with a server. */
static void replace_note(const struct gcl_command *command, const struct gcl_mem *mem,
			 uint64_t size)
{
	if (mem && !mem->parent && size == mem->size && command->use_count)
		command->uses[command->use_count - 1].access = GCL_ACCESS_REPLACE;
}

int gcl_handle_buffer_read(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__BufferRead *message = (const Gcl__BufferRead *)call->message;
	struct gcl_command command;
	const struct gcl_mem *mem;
	void *host;
	int err;

	err = gcl_command_begin(worker, message->command, &command);
	if (err)
		return err;
	mem = buffer_use(worker, message->mem, &command, GCL_ACCESS_READ);
	host = gcl_channel_heap_ptr(worker->channel, message->heap_offset, message->size);
	if (!mem || !host || !gcl_range_inside(message->offset, message->size, mem->size))
		return -EPROTO;

	command.payload_offset = message->heap_offset;
	command.payload_size = message->size;
	command.work = gcl_meter_move(message->size);
	return GCL_ENQUEUE(worker, &command, clEnqueueReadBuffer, mem->handles[command.side],
			   CL_FALSE, message->offset, message->size, host);
}

int gcl_handle_buffer_write(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__BufferWrite *message = (const Gcl__BufferWrite *)call->message;
	struct gcl_command command;
	const struct gcl_mem *mem;
	const void *host;
	int err;

	err = gcl_command_begin(worker, message->command, &command);
	if (err)
		return err;
	mem = buffer_use(worker, message->mem, &command, GCL_ACCESS_WRITE);
	replace_note(&command, mem, message->size);
	host = gcl_call_payload(worker, call, message->size);
	if (!mem || !host || message->size > call->head->payload_size ||
	    !gcl_range_inside(message->offset, message->size, mem->size))
		return -EPROTO;

	command.work = gcl_meter_move(message->size);
	return GCL_ENQUEUE(worker, &command, clEnqueueWriteBuffer, mem->handles[command.side],
			   CL_FALSE, message->offset, message->size, host);
}

/* Fill @rect, with its pitches made explicit. Return: false when it isn't inside the buffer. */
static bool rect_get(struct gcl_worker *worker, struct gcl_command *command, uint64_t id,
		     enum gcl_access access, const Gcl__Box *origin, const size_t region[3],
		     struct rect *rect)
{
	uint64_t end;

	gcl_box_get(origin, rect->origin);
	rect->mem = buffer_use(worker, id, command, access);
	return rect->mem && gcl_layout_end(rect->origin, region, &rect->row, &rect->slice, &end) &&
	       end <= rect->mem->size;
}

int gcl_handle_buffer_read_rect(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__BufferReadRect *message = (const Gcl__BufferReadRect *)call->message;
	struct rect rect = {.row = message->row_pitch, .slice = message->slice_pitch};
	size_t origin[3] = {0}, region[3], row = 0, slice = 0;
	struct gcl_command command;
	uint64_t size;
	void *host;
	int err;

	err = gcl_command_begin(worker, message->command, &command);
	if (err)
		return err;
	gcl_box_get(message->region, region);
	if (!rect_get(worker, &command, message->mem, GCL_ACCESS_READ, message->origin, region,
		      &rect) ||
	    !gcl_layout_end(NULL, region, &row, &slice, &size))
		return -EPROTO;
	host = gcl_channel_heap_ptr(worker->channel, message->heap_offset, size);
	if (!host)
		return -EPROTO;

	command.payload_offset = message->heap_offset;
	command.payload_size = size;
	command.work = gcl_meter_move(size);
	return GCL_ENQUEUE(worker, &command, clEnqueueReadBufferRect,
			   rect.mem->handles[command.side], CL_FALSE, rect.origin, origin, region,
			   rect.row, rect.slice, row, slice, host);
}

int gcl_handle_buffer_write_rect(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__BufferWriteRect *message = (const Gcl__BufferWriteRect *)call->message;
	struct rect rect = {.row = message->row_pitch, .slice = message->slice_pitch};
	size_t origin[3] = {0}, region[3], row = 0, slice = 0;
	struct gcl_command command;
	const void *host;
	uint64_t size;
	int err;

	err = gcl_command_begin(worker, message->command, &command);
	if (err)
		return err;
	gcl_box_get(message->region, region);
	if (!rect_get(worker, &command, message->mem, GCL_ACCESS_WRITE, message->origin, region,
		      &rect) ||
	    !gcl_layout_end(NULL, region, &row, &slice, &size) || size > call->head->payload_size)
		return -EPROTO;
	host = gcl_call_payload(worker, call, size);
	if (!host)
		return -EPROTO;

	command.work = gcl_meter_move(size);
	return GCL_ENQUEUE(worker, &command, clEnqueueWriteBufferRect,
			   rect.mem->handles[command.side], CL_FALSE, rect.origin, origin, region,
			   rect.row, rect.slice, row, slice, host);
}

int gcl_handle_buffer_copy(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__BufferCopy *message = (const Gcl__BufferCopy *)call->message;
	const struct gcl_mem *src, *dst;
	struct gcl_command command;
	int err;

	err = gcl_command_begin(worker, message->command, &command);
	if (err)
		return err;
	src = buffer_use(worker, message->src, &command, GCL_ACCESS_READ);
	dst = buffer_use(worker, message->dst, &command, GCL_ACCESS_WRITE);
	if (!src || !dst || !gcl_range_inside(message->src_offset, message->size, src->size) ||
	    !gcl_range_inside(message->dst_offset, message->size, dst->size))
		return -EPROTO;

	command.work = gcl_meter_move(message->size);
	return GCL_ENQUEUE(worker, &command, clEnqueueCopyBuffer, src->handles[command.side],
			   dst->handles[command.side], message->src_offset, message->dst_offset,
			   message->size);
}

int gcl_handle_buffer_copy_rect(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__BufferCopyRect *message = (const Gcl__BufferCopyRect *)call->message;
	struct rect src = {.row = message->src_row_pitch, .slice = message->src_slice_pitch};
	struct rect dst = {.row = message->dst_row_pitch, .slice = message->dst_slice_pitch};
	struct gcl_command command;
	size_t region[3];
	int err;

	err = gcl_command_begin(worker, message->command, &command);
	if (err)
		return err;
	gcl_box_get(message->region, region);
	if (!rect_get(worker, &command, message->src, GCL_ACCESS_READ, message->src_origin, region,
		      &src) ||
	    !rect_get(worker, &command, message->dst, GCL_ACCESS_WRITE, message->dst_origin, region,
		      &dst))
		return -EPROTO;

	command.work = gcl_meter_move(region[0] * region[1] * region[2]);
	return GCL_ENQUEUE(worker, &command, clEnqueueCopyBufferRect,
			   src.mem->handles[command.side], dst.mem->handles[command.side],
			   src.origin, dst.origin, region, src.row, src.slice, dst.row, dst.slice);
}

int gcl_handle_buffer_fill(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__BufferFill *message = (const Gcl__BufferFill *)call->message;
	size_t length = message->pattern.len;
	struct gcl_command command;
	const struct gcl_mem *mem;
	int err;

	err = gcl_command_begin(worker, message->command, &command);
	if (err)
		return err;
	mem = buffer_use(worker, message->mem, &command, GCL_ACCESS_WRITE);
	replace_note(&command, mem, message->size);
	if (!mem || !length || length > PATTERN_MAX || length & (length - 1) ||
	    !gcl_range_inside(message->offset, message->size, mem->size) ||
	    message->offset % length || message->size % length)
		return -EPROTO;

	command.work = gcl_meter_move(message->size);
	return GCL_ENQUEUE(worker, &command, clEnqueueFillBuffer, mem->handles[command.side],
			   message->pattern.data, length, message->offset, message->size);
}
