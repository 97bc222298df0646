/*
 * Moving data between the program's memory and memory objects, whatever they are.
 *
 * Theory of operation. A resident object on an idle queue is copied right here, under the queue's
 * lock (gcl_direct_lock()). Everything else is a command whose data lies in a block of the heap: a
 * write is copied into it before the command is posted, a read out of it when it is done. A
 * blocking transfer goes in pieces through a few blocks that are used again, so that the copying
 * here overlaps with the device's; one that does not block needs one block for all of it, since
 * nobody is there to use it again. Where the channel can pin memory, large transfers use the
 * program's in place of a block.
 */
#include "memory.h"

#include <stdlib.h>

/* Small enough for the caches, large enough that a message costs nothing beside it. */
#define PIECE (2u << 20)
#define LANES 3u

/* Bytes, rows, slices: a part of a transfer's region. */
struct piece {
	size_t at[3];
	size_t size[3];
};

static void direct_copy(const struct gcl_transfer *transfer)
{
	struct gcl_box box = {transfer->mem->heap, transfer->row_pitch, transfer->slice_pitch};
	size_t at[3] = {transfer->origin[0], transfer->origin[1], transfer->origin[2]};

	if (transfer->shape == GCL_SHAPE_IMAGE) {
		gcl_image_box_pitches(transfer->mem, &box.row_pitch, &box.slice_pitch);
		at[0] *= transfer->mem->element_size;
	}
	box = gcl_box_at(&box, at);
	if (transfer->write)
		gcl_box_copy(&box, &transfer->host, transfer->region);
	else
		gcl_box_copy(&transfer->host, &box, transfer->region);
}

/* ------------------------------------------------------------ what is left to do afterwards */

struct staged {
	struct gcl_completion completion;
	struct gcl_session *session;
	uint64_t blocks[2];
	bool copy;
	struct gcl_box to, from;
	size_t size[3];
	cl_mem mem;
};

static void staged_done(struct gcl_completion *completion, cl_int status)
{
	struct staged *staged = gcl_container_of(completion, struct staged, completion);

	if (staged->copy && status == CL_COMPLETE)
		gcl_box_copy(&staged->to, &staged->from, staged->size);
	for (size_t i = 0; i < GCL_ARRAY_SIZE(staged->blocks); i++)
		gcl_block_free(staged->session, staged->blocks[i]);
	gcl_mem_put(staged->mem);
	free(staged);
}

struct gcl_completion *gcl_staged_completion(struct gcl_session *session, uint64_t block)
{
	struct staged *staged = calloc(1, sizeof *staged);

	if (!staged)
		return NULL;
	staged->completion.fn = staged_done;
	staged->session = session;
	staged->blocks[0] = block;
	staged->blocks[1] = GCL_HEAP_NONE;
	return &staged->completion;
}

void gcl_staged_copy_to(struct gcl_completion *completion, const struct gcl_box *to,
			const struct gcl_box *from, const size_t size[3], cl_mem mem)
{
	struct staged *staged = gcl_container_of(completion, struct staged, completion);

	staged->copy = true;
	staged->to = *to;
	staged->from = *from;
	memcpy(staged->size, size, sizeof staged->size);
	gcl_staged_keep(completion, mem);
}

void gcl_staged_keep(struct gcl_completion *completion, cl_mem mem)
{
	struct staged *staged = gcl_container_of(completion, struct staged, completion);

	if (mem && !staged->mem) {
		gcl_object_get(mem);
		staged->mem = mem;
	}
}

void gcl_staged_also_free(struct gcl_completion *completion, uint64_t block)
{
	gcl_container_of(completion, struct staged, completion)->blocks[1] = block;
}

/* ------------------------------------------------------------ posting */

static cl_int linear_post(const struct gcl_transfer *transfer, struct gcl_enqueue *enqueue,
			  const struct piece *piece, uint64_t block, cl_event *event)
{
	Gcl__BufferWrite to = GCL__BUFFER_WRITE__INIT;
	Gcl__BufferRead from = GCL__BUFFER_READ__INIT;
	size_t offset = transfer->origin[0] + piece->at[0];

	if (transfer->write) {
		to.command = &enqueue->command;
		to.mem = transfer->mem->base.id;
		to.offset = offset;
		to.size = piece->size[0];
		return gcl_enqueue_post(enqueue, GCL_BUFFER_WRITE, &to.base, block, to.size, event);
	}
	from.command = &enqueue->command;
	from.mem = transfer->mem->base.id;
	from.offset = offset;
	from.size = piece->size[0];
	from.heap_offset = block;
	return gcl_enqueue_post(enqueue, GCL_BUFFER_READ, &from.base, 0, 0, event);
}

static cl_int rect_post(const struct gcl_transfer *transfer, struct gcl_enqueue *enqueue,
			const struct piece *piece, uint64_t block, cl_event *event)
{
	Gcl__BufferWriteRect to = GCL__BUFFER_WRITE_RECT__INIT;
	Gcl__BufferReadRect from = GCL__BUFFER_READ_RECT__INIT;
	const size_t at[3] = {transfer->origin[0] + piece->at[0],
			      transfer->origin[1] + piece->at[1],
			      transfer->origin[2] + piece->at[2]};
	Gcl__Box origin = gcl_wire_box(at), region = gcl_wire_box(piece->size);

	if (transfer->write) {
		to.command = &enqueue->command;
		to.mem = transfer->mem->base.id;
		to.origin = &origin;
		to.region = &region;
		to.row_pitch = transfer->row_pitch;
		to.slice_pitch = transfer->slice_pitch;
		return gcl_enqueue_post(enqueue, GCL_BUFFER_WRITE_RECT, &to.base, block,
					piece->size[0] * piece->size[1] * piece->size[2], event);
	}
	from.command = &enqueue->command;
	from.mem = transfer->mem->base.id;
	from.origin = &origin;
	from.region = &region;
	from.row_pitch = transfer->row_pitch;
	from.slice_pitch = transfer->slice_pitch;
	from.heap_offset = block;
	return gcl_enqueue_post(enqueue, GCL_BUFFER_READ_RECT, &from.base, 0, 0, event);
}

/* Bytes that a piece takes in the heap. */
static size_t piece_bytes(const struct gcl_transfer *transfer, const struct piece *piece)
{
	size_t end;

	if (!transfer->wire_row)
		return piece->size[0] * piece->size[1] * piece->size[2];
	gcl_box_end(NULL, piece->size, transfer->wire_row, transfer->wire_slice, &end);
	return end;
}

static cl_int image_post(const struct gcl_transfer *transfer, struct gcl_enqueue *enqueue,
			 const struct piece *piece, uint64_t block, cl_event *event)
{
	Gcl__ImageWrite to = GCL__IMAGE_WRITE__INIT;
	Gcl__ImageRead from = GCL__IMAGE_READ__INIT;
	size_t element = transfer->mem->element_size;
	const size_t at[3] = {transfer->origin[0] + piece->at[0] / element,
			      transfer->origin[1] + piece->at[1],
			      transfer->origin[2] + piece->at[2]};
	const size_t size[3] = {piece->size[0] / element, piece->size[1], piece->size[2]};
	Gcl__Box origin = gcl_wire_box(at), region = gcl_wire_box(size);

	if (transfer->write) {
		to.command = &enqueue->command;
		to.image = transfer->mem->base.id;
		to.origin = &origin;
		to.region = &region;
		to.row_pitch = transfer->wire_row;
		to.slice_pitch = transfer->wire_slice;
		return gcl_enqueue_post(enqueue, GCL_IMAGE_WRITE, &to.base, block,
					piece_bytes(transfer, piece), event);
	}
	from.command = &enqueue->command;
	from.image = transfer->mem->base.id;
	from.origin = &origin;
	from.region = &region;
	from.row_pitch = transfer->wire_row;
	from.slice_pitch = transfer->wire_slice;
	from.heap_offset = block;
	return gcl_enqueue_post(enqueue, GCL_IMAGE_READ, &from.base, 0, 0, event);
}

/* Takes @completion over. */
static cl_int piece_post(const struct gcl_transfer *transfer, const struct piece *piece,
			 uint64_t block, struct gcl_completion *completion, cl_event *event)
{
	struct gcl_enqueue enqueue;
	cl_int status = gcl_mem_tell(transfer->mem);

	if (status == CL_SUCCESS)
		status = gcl_enqueue_begin(&enqueue, transfer->queue, transfer->type,
					   transfer->wait_count, transfer->waits,
					   event || completion);
	if (status != CL_SUCCESS) {
		if (completion)
			completion->fn(completion, status);
		return status;
	}
	if (completion)
		enqueue.made->completion = completion;
	switch (transfer->shape) {
	case GCL_SHAPE_LINEAR:
		return linear_post(transfer, &enqueue, piece, block, event);
	case GCL_SHAPE_RECT:
		return rect_post(transfer, &enqueue, piece, block, event);
	default:
		return image_post(transfer, &enqueue, piece, block, event);
	}
}

cl_int gcl_transfer_post(const struct gcl_transfer *transfer, uint64_t block,
			 struct gcl_completion *completion)
{
	struct piece whole = {
		.size = {transfer->region[0], transfer->region[1], transfer->region[2]}};
	cl_event made;

	if (!transfer->blocking)
		return piece_post(transfer, &whole, block, completion, transfer->event);
	TRY(piece_post(transfer, &whole, block, completion, &made));
	return gcl_posted_end(made, true, transfer->wait_count, transfer->waits, transfer->event);
}

/* ------------------------------------------------------------ staging, without waiting */

static cl_int staged_run(const struct gcl_transfer *transfer)
{
	struct gcl_session *session = transfer->queue->base.session;
	const size_t *size = transfer->region;
	struct gcl_box staging = {NULL, size[0], size[0] * size[1]};
	uint64_t block = gcl_block_alloc(session, size[0] * size[1] * size[2], &staging.bytes);
	struct gcl_completion *completion;

	REFUSE_IF(block == GCL_HEAP_NONE, CL_MEM_OBJECT_ALLOCATION_FAILURE);
	completion = gcl_staged_completion(session, block);
	if (!completion) {
		gcl_block_free(session, block);
		return CL_OUT_OF_HOST_MEMORY;
	}
	if (transfer->write)
		gcl_box_copy(&staging, &transfer->host, size);
	else
		gcl_staged_copy_to(completion, &transfer->host, &staging, size,
				   transfer->mem->svm ? transfer->mem : NULL);
	return gcl_transfer_post(transfer, block, completion);
}

/* ------------------------------------------------------------ staging, piece by piece */

struct lane {
	uint64_t block;
	uint8_t *memory;
	struct piece piece;
	cl_event event; /* NULL: nothing in flight */
};

/* Pieces are whole slices, or whole rows of one slice, or parts of one row. */
static bool piece_next(const size_t region[3], struct piece *piece)
{
	size_t slice = region[0] * region[1];
	int axis = slice <= PIECE ? 2 : region[0] <= PIECE ? 1 : 0;
	size_t unit = axis == 2 ? slice : axis == 1 ? region[0] : 1;

	piece->at[axis] += piece->size[axis];
	for (int i = axis; i < 2 && piece->at[i] == region[i]; i++) {
		piece->at[i] = 0;
		piece->at[i + 1]++;
	}
	if (piece->at[2] == region[2])
		return false;
	for (int i = 0; i < 3; i++)
		piece->size[i] = i < axis ? region[i] : 1;
	piece->size[axis] = GCL_MIN(PIECE / unit, region[axis] - piece->at[axis]);
	return true;
}

static void lane_copy(const struct gcl_transfer *transfer, const struct lane *lane)
{
	const size_t *size = lane->piece.size;
	struct gcl_box staging = {lane->memory, size[0], size[0] * size[1]};
	struct gcl_box host = gcl_box_at(&transfer->host, lane->piece.at);

	if (transfer->write)
		gcl_box_copy(&staging, &host, size);
	else
		gcl_box_copy(&host, &staging, size);
}

/* Wait for the lane's command, if there is one. @last: gets its event, or NULL. */
static cl_int lane_finish(const struct gcl_transfer *transfer, struct lane *lane, cl_event *last)
{
	cl_int status;

	if (!lane->event)
		return CL_SUCCESS;
	status = gcl_blocking_wait(lane->event, transfer->wait_count, transfer->waits);
	if (status == CL_SUCCESS && !transfer->write)
		lane_copy(transfer, lane);
	if (last) {
		gcl_event_put(*last);
		*last = lane->event;
	} else {
		gcl_event_put(lane->event);
	}
	lane->event = NULL;
	return status;
}

static cl_int lane_start(const struct gcl_transfer *transfer, struct lane *lane, size_t size)
{
	if (lane->block == GCL_HEAP_NONE)
		lane->block = gcl_block_alloc(transfer->queue->base.session, size, &lane->memory);
	REFUSE_IF(lane->block == GCL_HEAP_NONE, CL_MEM_OBJECT_ALLOCATION_FAILURE);
	if (transfer->write)
		lane_copy(transfer, lane);
	return piece_post(transfer, &lane->piece, lane->block, NULL, &lane->event);
}

/* Every lane is waited for, whatever failed: the device may still be at its block. */
static cl_int pieces_run(const struct gcl_transfer *transfer)
{
	struct gcl_session *session = transfer->queue->base.session;
	size_t total = transfer->region[0] * transfer->region[1] * transfer->region[2];
	struct lane lanes[LANES] = {0};
	struct piece piece = {0};
	cl_event last = NULL;
	cl_int status = CL_SUCCESS;
	size_t next = 0;

	for (size_t i = 0; i < LANES; i++)
		lanes[i].block = GCL_HEAP_NONE;
	while (status == CL_SUCCESS && piece_next(transfer->region, &piece)) {
		struct lane *lane = &lanes[next++ % LANES];

		status = lane_finish(transfer, lane, NULL);
		lane->piece = piece;
		if (status == CL_SUCCESS)
			status = lane_start(transfer, lane, GCL_MIN(total, PIECE));
	}
	for (size_t i = 0; i < LANES; i++) {
		cl_int ended = lane_finish(transfer, &lanes[next++ % LANES], &last);

		if (status == CL_SUCCESS)
			status = ended;
	}
	for (size_t i = 0; i < LANES; i++)
		gcl_block_free(session, lanes[i].block);
	if (transfer->event && status == CL_SUCCESS)
		*transfer->event = last;
	else
		gcl_event_put(last);
	return status;
}

/* ------------------------------------------------------------ in place */

/*
 * Where the region lies in one piece in the program's memory, or (of images) in rows at the pitches
 * that the host is told, the host can use it there.
 * @size: set to the bytes from its first to its last
 */
static bool host_contiguous(struct gcl_transfer *transfer, size_t *size)
{
	const size_t *region = transfer->region;
	const struct gcl_box *host = &transfer->host;
	size_t rows = region[1] * region[2];

	*size = region[0] * rows;
	if (rows == 1 || (host->row_pitch == region[0] &&
			  (region[2] == 1 || host->slice_pitch == region[0] * region[1])))
		return true;
	if (transfer->shape != GCL_SHAPE_IMAGE)
		return false;
	transfer->wire_row = host->row_pitch;
	transfer->wire_slice = host->slice_pitch;
	return host->row_pitch % transfer->mem->element_size == 0 &&
	       host->slice_pitch % host->row_pitch == 0 &&
	       gcl_box_end(NULL, region, host->row_pitch, host->slice_pitch, size);
}

/* Return: true when it was done, or failed with *@status; false when it can't be done so. */
static bool pinned_run(const struct gcl_transfer *wanted, cl_int *status)
{
	struct gcl_session *session = wanted->queue->base.session;
	struct gcl_transfer transfer = *wanted;
	struct gcl_completion *completion;
	uint64_t block;
	size_t size;

	if (!gcl_channel_pins(session->channel) || !host_contiguous(&transfer, &size) ||
	    !gcl_block_pin(session, transfer.host.bytes, size, GCL_PIN_TRANSFER_MIN,
			   !transfer.write, &block))
		return false;
	completion = gcl_staged_completion(session, block);
	if (!completion) {
		gcl_block_free(session, block);
		return false;
	}
	*status = gcl_transfer_post(&transfer, block, completion);
	return true;
}

cl_int gcl_transfer_run(const struct gcl_transfer *transfer)
{
	bool locked = false;
	cl_int status;

	if (transfer->mem->resident)
		TRY(gcl_direct_lock(transfer->queue, transfer->blocking, transfer->wait_count,
				    transfer->waits, transfer->event, &locked));
	if (locked) {
		direct_copy(transfer);
		return gcl_direct_unlock(transfer->queue, transfer->type, transfer->event);
	}
	if (pinned_run(transfer, &status))
		return status;
	return transfer->blocking ? pieces_run(transfer) : staged_run(transfer);
}
