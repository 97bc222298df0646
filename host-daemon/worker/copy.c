/*
 * Copies contents of memory objects from one side to another.
 *
 * Theory of operation. An object is read chunk by chunk into the slots of a room, and written from
 * there. Each slot goes round: reading, writing, free. Reads are started wherever a slot is free,
 * and writes as soon as their read is there, none of which is waited for before the next begins: so
 * the slots share themselves out to whichever side is slower, and a side that is far away costs a
 * round trip in all instead of one a chunk. The thread waits for the oldest read, or if there is
 * none for the oldest write.
 *
 * With sums, only blocks go of which the other side holds something else; neighbours go in one
 * command.
 *
 * A runtime may have no room for a command before others are over (libguestcl's heap): then these
 * are waited for, and if there are none, the command waits in the call.
 *
 * The first failure ends it; what is under way is waited for, since it uses the slots. Events of
 * failed commands are kept until the room is used next: PoCL 3.1 touches them after they have
 * failed.
 */
#include "copy.h"

#include <stdlib.h>
#include <time.h>

#include "copy-box.h"

#define CHUNK ((size_t)4 << 20)
#define COUNT 4u

/* What may go at once after a while of nothing, however slow the pace. */
#define BURST_NS 20000000ll

/* How long it may take until a change of the pace, or *cancel, is seen. */
#define PACE_LOOK_NS 10000000ll

struct slot {
	char *bytes;
	struct gcl_copy_box box;
	size_t sent;
	cl_event read;	  /* under way or, after the copy, failed; or NULL */
	cl_event *writes; /* the same; NULL in between */
	unsigned write_count;
};

struct gcl_copy_room {
	size_t chunk;
	unsigned count;
	_Atomic uint64_t rate; /* bytes/s; 0: any */
	int64_t ready_ns;      /* when what has gone is paid for */
	char *bytes;
	cl_event *writes;
	struct slot slots[];
};

struct copying {
	struct gcl_copy *copy;
	struct gcl_copy_room *room;
	struct gcl_copy_grid chunks, blocks;
	size_t reads, writes, ends; /* chunks of which that has begun, begun, been seen */
	size_t block;		    /* the next one to be looked at */
	bool full;		    /* no room for another read, before something is over */
	cl_int status;
};

/* ------------------------------------------------------------ the room */

static size_t writes_max(const struct gcl_copy_room *room)
{
	return gcl_copy_blocks_max(room->chunk);
}

struct gcl_copy_room *gcl_copy_room_create(size_t chunk, unsigned count)
{
	struct gcl_copy_room *room;

	count = count ? count : COUNT;
	room = calloc(1, sizeof *room + count * sizeof room->slots[0]);
	if (!room)
		return NULL;
	room->count = count;
	room->chunk = chunk ? GCL_MAX(chunk / GCL_COPY_BLOCK, 1u) * GCL_COPY_BLOCK : CHUNK;
	room->bytes = aligned_alloc(GCL_COPY_BLOCK, room->chunk * count);
	room->writes = calloc(writes_max(room) * count, sizeof(cl_event));
	if (!room->bytes || !room->writes) {
		gcl_copy_room_destroy(room);
		return NULL;
	}
	for (unsigned i = 0; i < count; i++) {
		room->slots[i].bytes = room->bytes + i * room->chunk;
		room->slots[i].writes = room->writes + i * writes_max(room);
	}
	return room;
}

static void event_release(cl_event *event)
{
	if (*event)
		clReleaseEvent(*event);
	*event = NULL;
}

/* Lets go of what failed in the copy before. */
static void room_clean(struct gcl_copy_room *room)
{
	for (unsigned i = 0; i < room->count; i++) {
		struct slot *slot = &room->slots[i];

		event_release(&slot->read);
		for (unsigned j = 0; j < slot->write_count; j++)
			event_release(&slot->writes[j]);
		slot->write_count = 0;
	}
}

void gcl_copy_room_destroy(struct gcl_copy_room *room)
{
	if (!room)
		return;
	if (room->bytes && room->writes)
		room_clean(room);
	free(room->bytes);
	free(room->writes);
	free(room);
}

/* ------------------------------------------------------------ pace */

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void gcl_copy_room_pace(struct gcl_copy_room *room, uint64_t rate)
{
	atomic_store_explicit(&room->rate, rate, memory_order_relaxed);
}

static bool cancelled(const struct gcl_copy *copy)
{
	return copy->cancel && atomic_load_explicit(copy->cancel, memory_order_relaxed);
}

/* Waits until what has gone is paid for. */
static void pace_wait(const struct copying *copying)
{
	struct gcl_copy_room *room = copying->room;

	for (;;) {
		uint64_t rate = atomic_load_explicit(&room->rate, memory_order_relaxed);
		int64_t now = now_ns();
		struct timespec look = {0};

		if (!rate || room->ready_ns <= now || cancelled(copying->copy))
			break;
		look.tv_nsec = (long)GCL_MIN(room->ready_ns - now, PACE_LOOK_NS);
		nanosleep(&look, NULL);
	}
}

/* @size bytes go. */
static void pace_charge(const struct copying *copying, size_t size)
{
	struct gcl_copy_room *room = copying->room;
	uint64_t rate = atomic_load_explicit(&room->rate, memory_order_relaxed);

	room->ready_ns = GCL_MAX(room->ready_ns, now_ns() - BURST_NS);
	if (rate)
		room->ready_ns += (int64_t)((double)size * 1e9 / (double)rate);
}

/* ------------------------------------------------------------ commands */

static cl_int event_status(cl_event event)
{
	cl_int status = CL_COMPLETE;
	cl_int err = clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status,
				    &status, NULL);

	return err ? err : status;
}

/* Waits for the end of the command. Its event is let go unless it failed. */
static cl_int event_end(cl_event *event)
{
	cl_int status, waited;

	if (!*event)
		return CL_SUCCESS;
	waited = clWaitForEvents(1, event);
	status = GCL_MIN(event_status(*event), CL_COMPLETE);
	if (!status && !waited)
		event_release(event);
	return status ? status : waited;
}

static struct slot *slot_of(const struct copying *copying, size_t chunk)
{
	return &copying->room->slots[chunk % copying->room->count];
}

static void fail(struct copying *copying, cl_int status)
{
	if (!copying->status)
		copying->status = status;
}

static cl_int slot_end(struct slot *slot)
{
	cl_int status = event_end(&slot->read);

	for (unsigned i = 0; i < slot->write_count; i++) {
		cl_int ended = event_end(&slot->writes[i]);

		status = status ? status : ended;
	}
	return status;
}

static cl_int read_enqueue(const struct gcl_copy *copy, struct slot *slot, cl_bool blocking)
{
	const struct gcl_copy_box *box = &slot->box;

	if (copy->type == CL_MEM_OBJECT_BUFFER)
		return clEnqueueReadBuffer(copy->from_queue, copy->from, blocking, box->offset,
					   box->size, slot->bytes, 0, NULL, &slot->read);
	return clEnqueueReadImage(copy->from_queue, copy->from, blocking, box->origin, box->region,
				  0, 0, slot->bytes, 0, NULL, &slot->read);
}

static void read_begin(struct copying *copying)
{
	const struct gcl_copy *copy = copying->copy;
	struct slot *slot = slot_of(copying, copying->reads);
	bool alone = copying->reads == copying->ends;
	cl_int status;

	gcl_copy_grid_box(&copying->chunks, copying->reads, &slot->box);
	if (copy->from_far)
		pace_wait(copying);
	status = read_enqueue(copy, slot, CL_FALSE);
	copying->full = status == CL_MEM_OBJECT_ALLOCATION_FAILURE && !alone;
	if (copying->full)
		return;
	if (status == CL_MEM_OBJECT_ALLOCATION_FAILURE)
		status = read_enqueue(copy, slot, CL_TRUE);
	if (!status) {
		copying->reads++;
		if (copy->from_far)
			pace_charge(copying, slot->box.size);
		status = clFlush(copy->from_queue);
	}
	fail(copying, status);
}

static cl_int write_enqueue(const struct gcl_copy *copy, struct slot *slot,
			    const struct gcl_copy_box *box, cl_bool blocking)
{
	const char *bytes = slot->bytes + (box->offset - slot->box.offset);
	cl_event *event = &slot->writes[slot->write_count];

	if (copy->type == CL_MEM_OBJECT_BUFFER)
		return clEnqueueWriteBuffer(copy->to_queue, copy->to, blocking, box->offset,
					    box->size, bytes, 0, NULL, event);
	return clEnqueueWriteImage(copy->to_queue, copy->to, blocking, box->origin, box->region, 0,
				   0, bytes, 0, NULL, event);
}

/* Waits for the oldest chunk that is being written. */
static void chunk_end(struct copying *copying)
{
	struct gcl_copy *copy = copying->copy;
	struct slot *slot = slot_of(copying, copying->ends++);
	cl_int status = slot_end(slot);

	copying->full = false;
	fail(copying, status);
	if (status) {
		gcl_copy_sums_forget(copy->sums);
		return;
	}
	copy->sent += slot->sent;
	copy->same += slot->box.size - slot->sent;
	if (copy->progress)
		atomic_fetch_add_explicit(copy->progress, slot->sent, memory_order_relaxed);
}

/* Writes @box out of @slot, of the last chunk. */
static void box_write(struct copying *copying, struct slot *slot, const struct gcl_copy_box *box)
{
	const struct gcl_copy *copy = copying->copy;
	cl_int status;

	if (copying->status || box->size == 0)
		return;
	if (!copy->from_far)
		pace_wait(copying);
	status = write_enqueue(copy, slot, box, CL_FALSE);
	while (status == CL_MEM_OBJECT_ALLOCATION_FAILURE && copying->ends + 1 < copying->writes) {
		chunk_end(copying);
		status = write_enqueue(copy, slot, box, CL_FALSE);
	}
	if (status == CL_MEM_OBJECT_ALLOCATION_FAILURE)
		status = write_enqueue(copy, slot, box, CL_TRUE);
	if (!status) {
		slot->write_count++;
		slot->sent += box->size;
		if (!copy->from_far)
			pace_charge(copying, box->size);
	}
	fail(copying, status);
}

/* The next block of the grid, if it is part of @chunk. */
static bool block_next(const struct copying *copying, const struct gcl_copy_box *chunk,
		       struct gcl_copy_box *block)
{
	if (copying->block == copying->blocks.count)
		return false;
	gcl_copy_grid_box(&copying->blocks, copying->block, block);
	return block->offset < chunk->offset + chunk->size;
}

/* Writes what has changed of the slot's chunk. Blocks of one line that follow each other make a
 * larger box. */
static void changes_write(struct copying *copying, struct slot *slot)
{
	struct gcl_copy_box run = {.size = 0}, block;
	unsigned axis = copying->blocks.axis;

	for (; block_next(copying, &slot->box, &block); copying->block++) {
		bool first = copying->block % copying->blocks.per_line == 0;
		bool changed = gcl_copy_sums_changed(
			copying->copy->sums, copying->block,
			slot->bytes + (block.offset - slot->box.offset), block.size);

		if (changed && !first && run.size) {
			run.region[axis] += block.region[axis];
			run.size += block.size;
			continue;
		}
		box_write(copying, slot, &run);
		run = block;
		run.size = changed ? block.size : 0;
	}
	box_write(copying, slot, &run);
}

static void write_begin(struct copying *copying)
{
	struct slot *slot = slot_of(copying, copying->writes);

	fail(copying, event_end(&slot->read));
	if (copying->status)
		return;
	slot->sent = 0;
	slot->write_count = 0;
	copying->full = false;
	copying->writes++;
	if (copying->copy->sums)
		changes_write(copying, slot);
	else
		box_write(copying, slot, &slot->box);
	if (slot->write_count)
		fail(copying, clFlush(copying->copy->to_queue));
}

/* ------------------------------------------------------------ the whole */

/* The queue is in order: when its last write is over, so are the others. */
static bool slot_over(const struct slot *slot)
{
	return !slot->write_count || event_status(slot->writes[slot->write_count - 1]) <= 0;
}

/* Return: false when there is nothing left to do. */
static bool step(struct copying *copying)
{
	while (copying->ends < copying->writes && slot_over(slot_of(copying, copying->ends)))
		chunk_end(copying);
	if (cancelled(copying->copy))
		fail(copying, GCL_COPY_CANCELLED);
	if (copying->status)
		return false;

	if (copying->reads < copying->chunks.count && !copying->full &&
	    copying->reads - copying->ends < copying->room->count)
		read_begin(copying);
	else if (copying->writes < copying->reads)
		write_begin(copying);
	else if (copying->ends < copying->writes)
		chunk_end(copying);
	else
		return false;
	return true;
}

/* After a failure, or *cancel: nothing is to use the slots any more. */
static void settle(struct copying *copying)
{
	struct gcl_copy *copy = copying->copy;
	bool lost = copying->status != GCL_COPY_CANCELLED;

	while (copying->ends < copying->writes)
		chunk_end(copying);
	for (; copying->ends < copying->reads; copying->ends++)
		slot_end(slot_of(copying, copying->ends));
	if (!lost)
		return;
	/* Whatever it was that waiting failed for. */
	clFinish(copy->from_queue);
	clFinish(copy->to_queue);
	gcl_copy_sums_forget(copy->sums);
}

static bool copying_init(struct copying *copying, struct gcl_copy *copy, struct gcl_copy_room *room)
{
	*copying = (struct copying){.copy = copy, .room = room};
	if (!gcl_copy_grid_init(&copying->chunks, copy, room->chunk) ||
	    !gcl_copy_grid_init(&copying->blocks, copy, GCL_COPY_BLOCK))
		return false;
	gcl_copy_grid_align(&copying->chunks, &copying->blocks);
	return !copy->sums || gcl_copy_sums_fit(copy->sums, &copying->blocks);
}

void gcl_copy_run(struct gcl_copy *copy, struct gcl_copy_room *room)
{
	struct copying copying;

	copy->sent = copy->same = 0;
	copy->status = CL_INVALID_VALUE;
	room_clean(room);
	if (!copying_init(&copying, copy, room))
		return;
	while (step(&copying))
		;
	if (copying.status)
		settle(&copying);
	copy->status = copying.status;
}
