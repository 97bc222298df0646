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
 * command. What is found to be the same where it is (copy-look.c) isn't read either, and memory of
 * this host's is used in its place, if it doesn't change meanwhile: then there is nothing to read,
 * or to write.
 *
 * A runtime may have no room for a command before others are over (libguestcl's heap): then these
 * are waited for, and if there are none, the command waits in the call.
 *
 * The first failure ends it; what is under way is waited for, since it uses the slots. Events of
 * failed commands are kept until the room is used next: PoCL 3.1 touches them after they have
 * failed.
 */
#include "copying.h"

#include <string.h>

/* ------------------------------------------------------------ commands */

static cl_int event_status(cl_event event)
{
	cl_int status = CL_COMPLETE;
	cl_int err = clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status,
				    &status, NULL);

	return err ? err : status;
}

/* Waits for the end of the commands. Events are let go unless they failed. */
static cl_int events_end(cl_event *events, unsigned count)
{
	cl_int result = CL_SUCCESS;

	for (unsigned i = 0; i < count; i++) {
		cl_int waited, status;

		if (!events[i])
			continue;
		waited = clWaitForEvents(1, &events[i]);
		status = GCL_MIN(event_status(events[i]), CL_COMPLETE);
		status = status ? status : waited;
		if (!status)
			clReleaseEvent(steal_pointer(&events[i]));
		result = result ? result : status;
	}
	return result;
}

static struct gcl_slot *slot_of(const struct gcl_copying *copying, size_t index)
{
	return &copying->room->slots[index % copying->room->count];
}

static void fail(struct gcl_copying *copying, cl_int status)
{
	if (!copying->status)
		copying->status = status;
}

static cl_int slot_end(struct gcl_slot *slot)
{
	cl_int read = events_end(slot->reads, slot->read_count);
	cl_int written = events_end(slot->writes, slot->write_count);

	return read ? read : written;
}

/* Where a run of the slot's blocks may begin. */
static size_t runs_begin(const struct gcl_copying *copying, const struct gcl_slot *slot)
{
	return copying->copy->sums ? slot->block : 0;
}

/* The next run of blocks that are wanted, of one line, at *@index or behind it, which is set to
 * where the one after it may begin. Without sums it is all of the chunk. */
static bool run_next(const struct gcl_copying *copying, const struct gcl_slot *slot, size_t *index,
		     struct gcl_copy_box *run)
{
	unsigned axis = copying->blocks.axis;
	struct gcl_copy_box block;

	*run = (struct gcl_copy_box){.size = 0};
	if (!copying->copy->sums) {
		if (*index == 0)
			*run = slot->box;
		return (*index)++ == 0;
	}
	for (; gcl_copy_block_next(copying, &slot->box, *index, &block); ++*index) {
		bool first = *index % copying->blocks.per_line == 0;
		bool wanted = slot->wanted[*index - slot->block];

		if (run->size && (first || !wanted))
			return true;
		if (wanted && run->size) {
			run->region[axis] += block.region[axis];
			run->size += block.size;
		} else if (wanted) {
			*run = block;
		}
	}
	return run->size;
}

/* ------------------------------------------------------------ reading */

static cl_int read_enqueue(const struct gcl_copy *copy, struct gcl_slot *slot,
			   const struct gcl_copy_box *box, cl_bool blocking)
{
	char *bytes = slot->at + (box->offset - slot->box.offset);
	cl_event *event = &slot->reads[slot->read_count];

	if (copy->type == CL_MEM_OBJECT_BUFFER)
		return clEnqueueReadBuffer(copy->from_queue, copy->from, blocking, box->offset,
					   box->size, bytes, 0, NULL, event);
	return clEnqueueReadImage(copy->from_queue, copy->from, blocking, box->origin, box->region,
				  0, 0, bytes, 0, NULL, event);
}

/* Return: false: there is no room for it before something is over. */
static bool run_read(struct gcl_copying *copying, struct gcl_slot *slot,
		     const struct gcl_copy_box *run)
{
	const struct gcl_copy *copy = copying->copy;
	cl_int status;

	if (copy->from_far)
		gcl_copy_pace_wait(copying);
	status = read_enqueue(copy, slot, run, CL_FALSE);
	if (status == CL_MEM_OBJECT_ALLOCATION_FAILURE) {
		if (!slot->read_count && copying->reads != copying->ends)
			return false;
		status = read_enqueue(copy, slot, run, CL_TRUE);
	}
	if (status == CL_SUCCESS) {
		slot->read_count++;
		if (copy->from_far)
			gcl_copy_pace_charge(copying, run->size);
	}
	fail(copying, status);
	return true;
}

static void runs_read(struct gcl_copying *copying, struct gcl_slot *slot)
{
	size_t index = runs_begin(copying, slot);
	struct gcl_copy_box run;

	while (!copying->status && run_next(copying, slot, &index, &run)) {
		copying->full = !run_read(copying, slot, &run);
		if (copying->full)
			return;
	}
	if (slot->read_count)
		fail(copying, clFlush(copying->copy->from_queue));
}

/* Out of mapped memory. */
static void runs_take(const struct gcl_copying *copying, const struct gcl_slot *slot)
{
	size_t index = runs_begin(copying, slot);
	struct gcl_copy_box run;

	while (run_next(copying, slot, &index, &run))
		memcpy(slot->at + (run.offset - slot->box.offset), copying->from + run.offset,
		       run.size);
}

static char *slot_place(const struct gcl_copying *copying, const struct gcl_slot *slot)
{
	if (copying->from && (copying->copy->still || !copying->copy->sums))
		return copying->from + slot->box.offset;
	if (copying->to)
		return copying->to + slot->box.offset;
	return slot->bytes;
}

static void read_begin(struct gcl_copying *copying)
{
	struct gcl_slot *slot = slot_of(copying, copying->reads);
	size_t block = copying->block;

	gcl_copy_grid_box(&copying->chunks, copying->chunk, &slot->box);
	slot->at = slot_place(copying, slot);
	slot->sent = 0;
	slot->read_count = slot->write_count = 0;
	if (!gcl_copy_look(copying, slot)) {
		copying->copy->same += slot->box.size;
		copying->chunk++;
		return;
	}
	if (!copying->from)
		runs_read(copying, slot);
	else if (slot->at == slot->bytes)
		runs_take(copying, slot);
	if (copying->full) {
		copying->block = block;
		return;
	}
	copying->chunk++;
	copying->reads++;
}

/* ------------------------------------------------------------ writing */

static cl_int write_enqueue(const struct gcl_copy *copy, struct gcl_slot *slot,
			    const struct gcl_copy_box *box, cl_bool blocking)
{
	const char *bytes = slot->at + (box->offset - slot->box.offset);
	cl_event *event = &slot->writes[slot->write_count];

	if (copy->type == CL_MEM_OBJECT_BUFFER)
		return clEnqueueWriteBuffer(copy->to_queue, copy->to, blocking, box->offset,
					    box->size, bytes, 0, NULL, event);
	return clEnqueueWriteImage(copy->to_queue, copy->to, blocking, box->origin, box->region, 0,
				   0, bytes, 0, NULL, event);
}

/* Waits for the oldest chunk that is being written. */
static void chunk_end(struct gcl_copying *copying)
{
	struct gcl_copy *copy = copying->copy;
	struct gcl_slot *slot = slot_of(copying, copying->ends++);
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

/* Writes @run out of @slot, of the last chunk. */
static void run_write(struct gcl_copying *copying, struct gcl_slot *slot,
		      const struct gcl_copy_box *run)
{
	const struct gcl_copy *copy = copying->copy;
	cl_int status;

	if (!copy->from_far)
		gcl_copy_pace_wait(copying);
	status = write_enqueue(copy, slot, run, CL_FALSE);
	while (status == CL_MEM_OBJECT_ALLOCATION_FAILURE && copying->ends + 1 < copying->writes) {
		chunk_end(copying);
		status = write_enqueue(copy, slot, run, CL_FALSE);
	}
	if (status == CL_MEM_OBJECT_ALLOCATION_FAILURE)
		status = write_enqueue(copy, slot, run, CL_TRUE);
	if (!status) {
		slot->write_count++;
		slot->sent += run->size;
		if (!copy->from_far)
			gcl_copy_pace_charge(copying, run->size);
	}
	fail(copying, status);
}

/* What was read is known now. */
static void changes_find(struct gcl_copying *copying, struct gcl_slot *slot)
{
	struct gcl_copy_box block;

	for (size_t i = slot->block; gcl_copy_block_next(copying, &slot->box, i, &block); i++) {
		bool *wanted = &slot->wanted[i - slot->block];

		if (*wanted)
			*wanted = gcl_copy_sums_changed(
				copying->copy->sums, i,
				slot->at + (block.offset - slot->box.offset), block.size);
	}
}

static void write_begin(struct gcl_copying *copying)
{
	struct gcl_slot *slot = slot_of(copying, copying->writes);
	const struct gcl_copy *copy = copying->copy;
	size_t index = runs_begin(copying, slot);
	struct gcl_copy_box run;

	fail(copying, events_end(slot->reads, slot->read_count));
	if (copying->status)
		return;
	copying->full = false;
	copying->writes++;
	if (copy->sums && !(copying->from && copy->still))
		changes_find(copying, slot);
	while (!copying->status && run_next(copying, slot, &index, &run)) {
		if (copying->to)
			slot->sent += run.size;
		else
			run_write(copying, slot, &run);
	}
	if (slot->write_count)
		fail(copying, clFlush(copy->to_queue));
}

/* ------------------------------------------------------------ the whole */

/* The queue is in order: when its last write is over, so are the others. */
static bool slot_over(const struct gcl_slot *slot)
{
	return !slot->write_count || event_status(slot->writes[slot->write_count - 1]) <= 0;
}

/* Return: false when there is nothing left to do. */
static bool step(struct gcl_copying *copying)
{
	while (copying->ends < copying->writes && slot_over(slot_of(copying, copying->ends)))
		chunk_end(copying);
	if (gcl_copy_cancelled(copying->copy))
		fail(copying, GCL_COPY_CANCELLED);
	if (copying->status)
		return false;

	if (copying->chunk < copying->chunks.count && !copying->full &&
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
static void settle(struct gcl_copying *copying)
{
	struct gcl_copy *copy = copying->copy;
	bool lost = copying->status != GCL_COPY_CANCELLED;

	/* What was looked at is said to be there, but it isn't. */
	if (copying->from && copying->writes < copying->reads)
		gcl_copy_sums_forget(copy->sums);
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

static bool copying_init(struct gcl_copying *copying, struct gcl_copy *copy,
			 struct gcl_copy_room *room)
{
	*copying = (struct gcl_copying){.copy = copy, .room = room};
	if (!gcl_copy_grid_init(&copying->chunks, copy, room->chunk) ||
	    !gcl_copy_grid_init(&copying->blocks, copy, GCL_COPY_BLOCK))
		return false;
	gcl_copy_grid_align(&copying->chunks, &copying->blocks);
	return !copy->sums || gcl_copy_sums_fit(copy->sums, &copying->blocks);
}

void gcl_copy_run(struct gcl_copy *copy, struct gcl_copy_room *room)
{
	struct gcl_copying copying;
	cl_int ended;

	copy->sent = copy->same = 0;
	copy->status = CL_INVALID_VALUE;
	gcl_copy_room_clean(room);
	if (!copying_init(&copying, copy, room))
		return;
	gcl_copy_look_begin(&copying);
	while (step(&copying))
		;
	if (copying.status)
		settle(&copying);
	ended = gcl_copy_look_end(&copying);
	if (ended != CL_SUCCESS) {
		gcl_copy_sums_forget(copy->sums);
		fail(&copying, ended);
	}
	copy->status = copying.status;
}
