// SPDX-License-Identifier: MIT
/*
 * The rest of a move: the session thread stands, queues are drained to the end of a command, what
 * was written since the last round is copied, and then they are on the other side. Objects of which
 * nearly all was written are sent when the program has gone on.
 *
 * Commands may wait for what the program does next, which nobody reads meanwhile: then it goes on,
 * and the end is tried again somewhat later.
 */
#include "moving.h"

#include <stdlib.h>

/* How long the queues may take to the end of their commands; and how often that is tried. */
#define DRAIN_MS  1000u
#define TRIES_MAX 12u

/* The same, while the program has user events to set: it may be that which they wait for. */
#define DRAIN_UNSET_MS 50u

/* Without a byte for so long copying is given up; and so long that takes when there is a
 * connection. */
#define STILL_MS  5000u
#define CANCEL_MS 1000u

/* Everything that the queues have to do, and all that writes to what they have used. */
static bool drain_await(struct gcl_move *move)
{
	size_t count = 0, markers = 0, room = move->queue_count;
	_cleanup_free_ cl_event *events = NULL;
	bool good;

	for (size_t i = 0; i < move->item_count; i++)
		room += gcl_contents_writers_max(&move->items[i].root->contents);
	events = calloc(room + 1, sizeof *events);
	for (size_t i = 0; events && i < move->queue_count; i++) {
		const struct gcl_queue *queue = gcl_move_queue(move, i);

		if (!queue || clEnqueueMarkerWithWaitList(queue->handle, 0, NULL, &events[count]))
			continue;
		clFlush(queue->handle);
		count++;
	}
	markers = count;
	for (size_t i = 0; events && i < move->item_count; i++)
		count += gcl_contents_writers(move->items[i].root, events + count);
	move->clock = move->worker->sides.clock;
	good = events && gcl_move_await(move, events, count);
	for (size_t i = 0; i < markers; i++)
		clReleaseEvent(events[i]);
	return good;
}

static bool drain(struct gcl_move *move)
{
	unsigned most = move->worker->sides.unset ? DRAIN_UNSET_MS : DRAIN_MS;

	if (!drain_await(move)) {
		move->result = GCL_MOVE_MEMORY_HERE;
		return false;
	}
	if (gcl_move_wait(move, most))
		return true;
	gcl_completions_sweep(move->worker);
	move->result = GCL_MOVE_WAITS;
	move->value = most;
	return gcl_move_wait(move, 0);
}

void gcl_move_cut(const struct gcl_move *move)
{
	struct gcl_sides *sides = &move->worker->sides;

	for (unsigned i = 1; i < GCL_SIDES; i++)
		if (sides->side[i].open && (move->to == GCL_HOME || move->to == i))
			gcl_side_cut(&sides->side[i]);
}

/* No byte comes through: the program has to go on, and what may be lost with the server is. */
static void copy_give_up(struct gcl_move *move)
{
	atomic_store(&move->cancel, true);
	if (gcl_move_wait(move, CANCEL_MS))
		return;
	gcl_move_cut(move);
	while (!gcl_move_wait(move, STILL_MS))
		;
}

/* Contents may only be where they come from when the program goes on. Not if they are to be given
 * back there; nor if they come home while other queues stay away, which would need them there. */
static bool behind_allowed(const struct gcl_move *move)
{
	if (move->to != GCL_HOME)
		return !(move->note.extra & GCL_MOVE_FREE);
	return !move->note.value && !GCL_MOVE_PLACE(move->note.extra);
}

/* Copies what is missing. */
static bool rest_copy(struct gcl_move *move)
{
	cl_int bad;
	size_t count;

	move->still = true;
	move->behind = behind_allowed(move);
	count = gcl_move_fill(move, &bad);

	if (bad != CL_SUCCESS) {
		move->result = GCL_MOVE_COPY;
		move->value = (uint64_t) - (int64_t)bad;
		return false;
	}
	if (!count)
		return true;
	if (!gcl_move_work(move, gcl_move_copy)) {
		move->result = GCL_MOVE_MEMORY_HERE;
		return false;
	}
	if (!gcl_move_wait(move, STILL_MS))
		copy_give_up(move);
	move->result = gcl_move_copied(move);
	atomic_store_explicit(&move->worker->page->move.rest, move->sent, memory_order_relaxed);
	return move->result == GCL_MOVE_DONE;
}

/* ------------------------------------------------------------ the switch; it can't fail */

static void queue_switch(struct gcl_move *move, size_t index)
{
	struct gcl_worker *worker = move->worker;
	struct gcl_queue *queue = gcl_move_queue(move, index);

	if (!queue)
		return;
	if (queue->last)
		clReleaseEvent(steal_pointer(&queue->last));
	gcl_sides_queue_leave(worker, queue);
	if (move->to == GCL_HOME)
		return;
	gcl_sides_queue_enter(worker, queue, move->to, steal_pointer(&move->queues[index].twin));
}

static void contents_switch(struct gcl_move *move)
{
	for (size_t i = 0; i < move->item_count; i++) {
		struct gcl_moving_item *item = &move->items[i];
		struct gcl_contents *contents = &item->root->contents;

		if (!item->copied || contents->written > item->ahead)
			continue;
		contents->valid |= GCL_SIDE_BIT(move->to);
		/* All sides that have the contents hold the same. */
		if (contents->summed & GCL_SIDE_BIT(move->to))
			contents->summed = contents->valid;
	}
}

/* Only what no other queue uses: the rest would soon be lent home again. */
static void home_free(struct gcl_move *move)
{
	uint64_t others = ~gcl_move_bits(move);

	gcl_list_for_each (it, &move->worker->queues) {
		const struct gcl_queue *queue = gcl_container_of(it, struct gcl_queue, link);

		if (queue->side != GCL_HOME)
			others &= ~gcl_queue_bit(queue->id);
	}
	for (size_t i = 0; i < move->item_count; i++) {
		struct gcl_mem *root = move->items[i].root;

		/* Shared virtual memory might not be had at its address again. */
		if (!root->svm && !(root->contents.users & others) &&
		    root->contents.valid & GCL_SIDE_BIT(move->to))
			gcl_mem_leave(move->worker, root, GCL_HOME);
	}
}

/* What can't be sent is when a command needs it. */
static void left_send(struct gcl_move *move)
{
	struct gcl_page_move *page = &move->worker->page->move;

	for (size_t i = 0; i < move->item_count; i++) {
		struct gcl_mem *root = move->items[i].root;

		if (move->items[i].left && gcl_contents_send(move->worker, root, move->to))
			atomic_fetch_add_explicit(&page->behind, gcl_mem_bytes(root),
						  memory_order_relaxed);
	}
}

static void switch_all(struct gcl_move *move)
{
	contents_switch(move);
	for (size_t i = 0; i < move->queue_count; i++)
		queue_switch(move, i);
	left_send(move);
	gcl_journal_begin(move->worker);
	if (move->to == GCL_HOME || !(move->note.extra & GCL_MOVE_FREE))
		return;
	move->worker->sides.side[move->to].lean = true;
	home_free(move);
}

/* Return: whether it can be said how it ended; else it is tried again. */
static bool stopped(struct gcl_move *move)
{
	if (gcl_move_injected(move, 6))
		return true;
	if (!drain(move))
		return move->result != GCL_MOVE_WAITS || ++move->tries >= TRIES_MAX;
	move->result = GCL_MOVE_DONE;
	if (gcl_move_injected(move, 7) || !rest_copy(move) || gcl_move_injected(move, 8))
		return true;
	switch_all(move);
	return true;
}

void gcl_move_stop(struct gcl_move *move)
{
	struct gcl_worker *worker = move->worker;
	bool over;

	gcl_move_step(move, GCL_MOVE_STEP_STOP);
	gcl_gate_leave(worker);
	gcl_progress(worker, false);
	move->stopped = gcl_trace_now();
	over = stopped(move);
	gcl_progress(worker, true);
	gcl_completions_reap(worker);
	if (over) {
		gcl_move_ends(move, move->result, move->value);
		return;
	}
	/* The session goes on; gcl_move_rounds() comes back when the events do, which is when it
	 * makes sense. */
	move->result = GCL_MOVE_DONE;
	gcl_move_step(move, GCL_MOVE_STEP_COPY);
}
