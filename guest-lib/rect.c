/*
 * Commands on rectangles of buffers.
 *
 * Boxes are checked against their buffer with pitches made explicit; the program's side is trusted,
 * as memory of the program is.
 */
#include "memory.h"

/* A box in a buffer, as the program names it. */
struct rect {
	cl_mem mem;
	size_t origin[3];
	size_t row_pitch, slice_pitch;
};

/* Are pitches, made explicit, and region right, and does the box lie within @limit bytes? */
static bool rect_valid(struct rect *rect, const size_t *origin, const size_t *region, size_t limit)
{
	size_t end;

	if (!origin || !region[0] || !region[1] || !region[2] ||
	    !gcl_box_pitches(region, &rect->row_pitch, &rect->slice_pitch))
		return false;
	memcpy(rect->origin, origin, sizeof rect->origin);
	return gcl_box_end(origin, region, rect->row_pitch, rect->slice_pitch, &end) &&
	       end <= limit;
}

/* The two sides of a transfer of program's memory. */
static cl_int sides_check(struct rect *object, struct rect *host, const size_t *object_origin,
			  const size_t *host_origin, const size_t *region, const void *ptr)
{
	REFUSE_IF(!region, CL_INVALID_VALUE);
	REFUSE_IF(!rect_valid(object, object_origin, region, object->mem->size), CL_INVALID_VALUE);
	REFUSE_IF(!rect_valid(host, host_origin, region, SIZE_MAX), CL_INVALID_VALUE);
	REFUSE_IF(!ptr, CL_INVALID_VALUE);
	return CL_SUCCESS;
}

/* Fill in the places; a box of whole rows without gaps is plain bytes. */
static void transfer_place(struct gcl_transfer *transfer, const struct rect *object,
			   const struct rect *host, const size_t region[3], const void *ptr)
{
	struct gcl_box start = {(uint8_t *)ptr, host->row_pitch, host->slice_pitch};

	transfer->mem = object->mem;
	transfer->shape = GCL_SHAPE_RECT;
	transfer->host = gcl_box_at(&start, host->origin);
	transfer->row_pitch = object->row_pitch;
	transfer->slice_pitch = object->slice_pitch;
	memcpy(transfer->origin, object->origin, sizeof transfer->origin);
	memcpy(transfer->region, region, sizeof transfer->region);
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueReadBufferRect(
	cl_command_queue queue, cl_mem buffer, cl_bool blocking, const size_t *buffer_origin,
	const size_t *host_origin, const size_t *region, size_t buffer_row_pitch,
	size_t buffer_slice_pitch, size_t host_row_pitch, size_t host_slice_pitch, void *ptr,
	cl_uint count, const cl_event *list, cl_event *event)
{
	struct rect object = {buffer, {0}, buffer_row_pitch, buffer_slice_pitch};
	struct rect host = {NULL, {0}, host_row_pitch, host_slice_pitch};
	struct gcl_transfer transfer = {.queue = queue,
					.type = CL_COMMAND_READ_BUFFER_RECT,
					.blocking = blocking,
					.wait_count = count,
					.waits = list,
					.event = event};

	TRY(gcl_buffer_check(queue, buffer));
	TRY(sides_check(&object, &host, buffer_origin, host_origin, region, ptr));
	TRY(gcl_transfer_check(queue, buffer, CL_MEM_HOST_WRITE_ONLY | CL_MEM_HOST_NO_ACCESS, count,
			       list));
	transfer_place(&transfer, &object, &host, region, ptr);
	return gcl_transfer_run(&transfer);
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueWriteBufferRect(
	cl_command_queue queue, cl_mem buffer, cl_bool blocking, const size_t *buffer_origin,
	const size_t *host_origin, const size_t *region, size_t buffer_row_pitch,
	size_t buffer_slice_pitch, size_t host_row_pitch, size_t host_slice_pitch, const void *ptr,
	cl_uint count, const cl_event *list, cl_event *event)
{
	struct rect object = {buffer, {0}, buffer_row_pitch, buffer_slice_pitch};
	struct rect host = {NULL, {0}, host_row_pitch, host_slice_pitch};
	struct gcl_transfer transfer = {.queue = queue,
					.type = CL_COMMAND_WRITE_BUFFER_RECT,
					.write = true,
					.blocking = blocking,
					.wait_count = count,
					.waits = list,
					.event = event};

	TRY(gcl_buffer_check(queue, buffer));
	TRY(sides_check(&object, &host, buffer_origin, host_origin, region, ptr));
	TRY(gcl_transfer_check(queue, buffer, CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS, count,
			       list));
	transfer_place(&transfer, &object, &host, region, ptr);
	return gcl_transfer_run(&transfer);
}

/* ------------------------------------------------------------ copy */

/* Do @length bytes from @a and from @b lie apart within a @period? */
static bool apart_in(size_t a, size_t b, size_t length, size_t period)
{
	return (b >= a + length && b + length <= a + period) ||
	       (a >= b + length && a + length <= b + period);
}

/*
 * Appendix D of the specification (CL_MEM_COPY_OVERLAP): boxes of equal pitches don't overlap when
 * their spans don't, or when each lies in the gaps between the other's rows or slices.
 */
static bool boxes_overlap(size_t src, size_t dst, const size_t region[3], size_t row, size_t slice)
{
	size_t rows = (region[1] - 1) * row + region[0];
	size_t span = (region[2] - 1) * slice + rows;

	if (dst + span <= src || src + span <= dst)
		return false;
	if (apart_in(src % row, dst % row, region[0], row))
		return false;
	return !apart_in(src % slice, dst % slice, rows, slice);
}

static size_t rect_start(const struct rect *rect)
{
	return rect->mem->origin + rect->origin[2] * rect->slice_pitch +
	       rect->origin[1] * rect->row_pitch + rect->origin[0];
}

static bool rects_overlap(const struct rect *src, const struct rect *dst, const size_t region[3])
{
	size_t from = rect_start(src), to = rect_start(dst);
	size_t from_end, to_end;

	if ((src->mem->parent ? src->mem->parent : src->mem) !=
	    (dst->mem->parent ? dst->mem->parent : dst->mem))
		return false;
	if (src->row_pitch == dst->row_pitch && src->slice_pitch == dst->slice_pitch)
		return boxes_overlap(from, to, region, src->row_pitch, src->slice_pitch);
	/* Sub-buffers of one buffer may have different pitches: then the spans decide. */
	gcl_box_end(NULL, region, src->row_pitch, src->slice_pitch, &from_end);
	gcl_box_end(NULL, region, dst->row_pitch, dst->slice_pitch, &to_end);
	return from < to + to_end && to < from + from_end;
}

static void rects_copy(const struct rect *src, const struct rect *dst, const size_t region[3])
{
	struct gcl_box from = {src->mem->heap, src->row_pitch, src->slice_pitch};
	struct gcl_box to = {dst->mem->heap, dst->row_pitch, dst->slice_pitch};

	from = gcl_box_at(&from, src->origin);
	to = gcl_box_at(&to, dst->origin);
	gcl_box_copy(&to, &from, region);
}

static cl_int rects_post(cl_command_queue queue, const struct rect *src, const struct rect *dst,
			 const size_t region[3], cl_uint count, const cl_event *list,
			 cl_event *event)
{
	Gcl__BufferCopyRect message = GCL__BUFFER_COPY_RECT__INIT;
	Gcl__Box from = gcl_wire_box(src->origin), to = gcl_wire_box(dst->origin),
		 box = gcl_wire_box(region);
	struct gcl_enqueue enqueue;

	TRY(gcl_mem_tell(src->mem));
	TRY(gcl_mem_tell(dst->mem));
	TRY(gcl_enqueue_begin(&enqueue, queue, CL_COMMAND_COPY_BUFFER_RECT, count, list,
			      event != NULL));
	message.command = &enqueue.command;
	message.src = src->mem->base.id;
	message.dst = dst->mem->base.id;
	message.src_origin = &from;
	message.dst_origin = &to;
	message.region = &box;
	message.src_row_pitch = src->row_pitch;
	message.src_slice_pitch = src->slice_pitch;
	message.dst_row_pitch = dst->row_pitch;
	message.dst_slice_pitch = dst->slice_pitch;
	return gcl_enqueue_post(&enqueue, GCL_BUFFER_COPY_RECT, &message.base, 0, 0, event);
}

CL_API_ENTRY cl_int CL_API_CALL
clEnqueueCopyBufferRect(cl_command_queue queue, cl_mem src, cl_mem dst, const size_t *src_origin,
			const size_t *dst_origin, const size_t *region, size_t src_row_pitch,
			size_t src_slice_pitch, size_t dst_row_pitch, size_t dst_slice_pitch,
			cl_uint count, const cl_event *list, cl_event *event)
{
	struct rect from = {src, {0}, src_row_pitch, src_slice_pitch};
	struct rect to = {dst, {0}, dst_row_pitch, dst_slice_pitch};
	bool locked = false;

	TRY(gcl_buffer_check(queue, src));
	TRY(gcl_buffer_check(queue, dst));
	REFUSE_IF(!region, CL_INVALID_VALUE);
	REFUSE_IF(!rect_valid(&from, src_origin, region, src->size), CL_INVALID_VALUE);
	REFUSE_IF(!rect_valid(&to, dst_origin, region, dst->size), CL_INVALID_VALUE);
	REFUSE_IF(src == dst &&
			  (from.row_pitch != to.row_pitch || from.slice_pitch != to.slice_pitch),
		  CL_INVALID_VALUE);
	TRY(gcl_transfer_check(queue, src, 0, count, list));
	TRY(gcl_mem_use(queue, dst));
	REFUSE_IF(rects_overlap(&from, &to, region), CL_MEM_COPY_OVERLAP);
	if (src->resident && dst->resident &&
	    region[0] * region[1] * region[2] <= GCL_DIRECT_COPY_MAX)
		TRY(gcl_direct_lock(queue, false, count, list, event, &locked));
	if (locked) {
		rects_copy(&from, &to, region);
		return gcl_direct_unlock(queue, CL_COMMAND_COPY_BUFFER_RECT, event);
	}
	return rects_post(queue, &from, &to, region, count, list, event);
}
