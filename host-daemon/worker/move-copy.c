// SPDX-License-Identifier: MIT
/*
 * Copying ahead: rounds while the program goes on, until what it writes meanwhile is little.
 *
 * A round begins when all commands are complete that were enqueued before its clock: what an object
 * holds then is there afterwards, unless a later command writes to it, and then it goes again. Of
 * an object that goes again only blocks go that have changed (gcl_copy_sums).
 */
#include "moving.h"

#include <stdlib.h>

#define ROUNDS_MAX 8u

/* So little can as well be copied while the program stands. */
#define REST_BYTES (2u << 20)

/* What is smaller is copied while the program stands, even if all of it has changed. */
#define LEFT_BYTES (256u << 10)

/* Does it have to be copied, or copied again? What a command has lent to another side meanwhile may
 * not be there yet; it is when the program stands. */
static bool item_wanted(const struct gcl_move *move, const struct gcl_moving_item *item)
{
	if (gcl_contents_on(item->root, move->to) || gcl_contents_arriving(item->root))
		return false;
	return !item->copied || item->root->contents.written > item->ahead;
}

/* Other queues that are there may use it, too: not while it is written. */
static cl_int item_announce(struct gcl_move *move, struct gcl_moving_item *item)
{
	struct gcl_worker *worker = move->worker;
	struct gcl_mem *root = item->root;
	cl_int status = CL_SUCCESS;
	cl_context there;

	if (move->to != GCL_HOME && !worker->sides.side[move->to].queues)
		return CL_SUCCESS;
	there = gcl_context_on(worker, root->context, move->to, &status);
	if (status == CL_SUCCESS)
		item->arrival = clCreateUserEvent(there, &status);
	if (status == CL_SUCCESS)
		gcl_contents_arrive(&root->contents, move->to, item->arrival);
	return status;
}

void gcl_item_arrived(struct gcl_moving_item *item)
{
	if (!item->arrival)
		return;
	clSetUserEventStatus(item->arrival, CL_COMPLETE);
	clReleaseEvent(steal_pointer(&item->arrival));
}

/* Has it been copied, nearly all of it for nothing? Then it goes when the program goes on, whose
 * commands begin as soon as what they need has come. */
static bool item_left(const struct gcl_move *move, const struct gcl_moving_item *item)
{
	return move->still && move->behind && item->copied && item->mostly &&
	       item->root->size >= LEFT_BYTES;
}

/* What it holds there, as far as that is known. If nearly all of it has changed it all goes, and is
 * not known any more: what finding out takes comes to the pause. */
static struct gcl_copy_sums *item_sums(const struct gcl_move *move, struct gcl_moving_item *item)
{
	struct gcl_contents *contents = &item->root->contents;
	bool whole = move->still && item->mostly;

	if (!contents->sums)
		contents->sums = gcl_copy_sums_create(gcl_mem_bytes(item->root));
	else if (whole || !(contents->summed & GCL_SIDE_BIT(move->to)))
		gcl_copy_sums_forget(contents->sums);
	return whole ? NULL : contents->sums;
}

static cl_int item_fill(struct gcl_move *move, struct gcl_moving_item *item)
{
	uint8_t valid = item->root->contents.valid;
	struct gcl_copy_sums *sums;
	cl_int status;

	/* What was lost with a server can't be brought back. */
	if (!valid)
		return CL_SUCCESS;
	sums = item_sums(move, item);
	status = gcl_copy_fill(move->worker, item->root, (unsigned)__builtin_ctz(valid), move->to,
			       &item->copy);
	if (status != CL_SUCCESS)
		return status;
	if (move->to == GCL_HOME)
		gcl_journal_spoil(move->worker, item->root);
	item->root->contents.summed = GCL_SIDE_BIT(move->to);
	item->copy.sums = sums;
	item->copy.still = move->still;
	item->copy.cancel = &move->cancel;
	item->copy.progress = &move->progress;
	item->copying = true;
	return item_announce(move, item);
}

size_t gcl_move_fill(struct gcl_move *move, cl_int *bad)
{
	size_t count = 0;

	*bad = CL_SUCCESS;
	for (size_t i = 0; i < move->item_count && *bad == CL_SUCCESS; i++) {
		struct gcl_moving_item *item = &move->items[i];

		if (!item_wanted(move, item))
			continue;
		item->left = item_left(move, item);
		if (item->left)
			continue;
		*bad = item_fill(move, item);
		count += item->copying;
	}
	return count;
}

/* Would another round leave less for the one after it? What has changed while the last one sent its
 * bytes is what will change while as many are sent again. */
static bool round_worth(struct gcl_move *move)
{
	uint64_t changed = 0;

	for (size_t i = 0; i < move->item_count; i++) {
		struct gcl_moving_item *item = &move->items[i];
		uint64_t some;

		if (!item->copying)
			continue;
		if (!gcl_copy_estimate(&item->copy, &some))
			return true;
		item->mostly = some >= item->copy.size / 8 * 7;
		changed += some;
	}
	return changed > REST_BYTES && changed <= move->sent / 4 * 3;
}

static void items_arrived(struct gcl_move *move)
{
	for (size_t i = 0; i < move->item_count; i++)
		gcl_item_arrived(&move->items[i]);
}

void gcl_move_copy(struct gcl_move *move)
{
	struct gcl_copy_room *room = gcl_copy_room_create(0, 0);
	cl_int status = room ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY;

	move->vain = room && move->rounds && !move->still && !round_worth(move);
	if (move->vain) {
		items_arrived(move);
		gcl_copy_room_destroy(room);
		return;
	}
	for (size_t i = 0; i < move->item_count; i++) {
		struct gcl_moving_item *item = &move->items[i];

		if (!item->copying)
			continue;
		item->copy.status = status;
		if (status == CL_SUCCESS)
			gcl_copy_run(&item->copy, room);
		gcl_item_arrived(item);
		status = item->copy.status;
	}
	gcl_copy_room_destroy(room);
}

static enum gcl_move_result copy_result(struct gcl_move *move, cl_int status)
{
	const struct gcl_side *side = &move->worker->sides.side[move->to];

	if (status == CL_SUCCESS)
		return GCL_MOVE_DONE;
	if (gcl_side_lost(side))
		return GCL_MOVE_LOST;
	if (status == CL_MEM_OBJECT_ALLOCATION_FAILURE || status == CL_OUT_OF_RESOURCES)
		return move->to == GCL_HOME ? GCL_MOVE_MEMORY_HERE : GCL_MOVE_MEMORY_THERE;
	move->value = (uint64_t) - (int64_t)status;
	return GCL_MOVE_COPY;
}

/* Of a round that was none. */
static void items_leave(struct gcl_move *move)
{
	for (size_t i = 0; i < move->item_count; i++) {
		struct gcl_moving_item *item = &move->items[i];

		if (item->copying)
			gcl_copy_fini(&item->copy);
		item->copying = false;
	}
}

enum gcl_move_result gcl_move_copied(struct gcl_move *move)
{
	cl_int status = CL_SUCCESS;

	if (move->vain) {
		items_leave(move);
		return GCL_MOVE_DONE;
	}
	move->sent_before = move->sent;
	move->sent = 0;
	for (size_t i = 0; i < move->item_count; i++) {
		struct gcl_moving_item *item = &move->items[i];

		if (!item->copying)
			continue;
		item->copying = false;
		gcl_copy_fini(&item->copy);
		move->sent += item->copy.sent;
		if (item->copy.status == CL_SUCCESS) {
			item->copied = true;
			item->ahead = move->clock;
		} else if (status == CL_SUCCESS) {
			status = item->copy.status;
		}
	}
	return copy_result(move, status);
}

/* ------------------------------------------------------------ rounds */

/* Is there no point in another one? */
static bool rounds_end(const struct gcl_move *move)
{
	return move->rounds &&
	       (move->vain || move->sent <= REST_BYTES || move->rounds >= ROUNDS_MAX ||
		(move->rounds > 1 && move->sent > move->sent_before / 4 * 3));
}

/* All that writes to what is to be copied. Return: false without memory. */
static bool writers_await(struct gcl_move *move)
{
	_cleanup_free_ cl_event *events = NULL;
	size_t count = 0, room = 0;

	for (size_t i = 0; i < move->item_count; i++)
		room += gcl_contents_writers_max(&move->items[i].root->contents);
	events = calloc(room + 1, sizeof *events);
	for (size_t i = 0; events && i < move->item_count; i++)
		count += gcl_contents_writers(move->items[i].root, events + count);
	move->clock = move->worker->sides.clock;
	return events && gcl_move_await(move, events, count);
}

/* Events have come: copy. Or: it was copied. */
static enum gcl_move_result round_go_on(struct gcl_move *move)
{
	enum gcl_move_result result = GCL_MOVE_DONE;
	cl_int bad;

	if (move->copying) {
		move->copying = false;
		result = gcl_move_copied(move);
		if (!move->vain) {
			move->rounds++;
			atomic_fetch_add_explicit(&move->worker->page->move.ahead, move->sent,
						  memory_order_relaxed);
		}
		if (result != GCL_MOVE_DONE || rounds_end(move))
			return result;
		return writers_await(move) ? GCL_MOVE_DONE : GCL_MOVE_MEMORY_HERE;
	}
	if (gcl_move_injected(move, 5))
		return move->result;
	if (!gcl_move_fill(move, &bad) && bad == CL_SUCCESS) {
		move->rounds = ROUNDS_MAX;
		return GCL_MOVE_DONE;
	}
	if (bad != CL_SUCCESS)
		return copy_result(move, bad);
	move->copying = gcl_move_work(move, gcl_move_copy);
	return move->copying ? GCL_MOVE_DONE : GCL_MOVE_MEMORY_HERE;
}

static void bytes_tell(const struct gcl_move *move)
{
	struct gcl_page_move *page = &move->worker->page->move;
	uint64_t bytes = 0;

	for (size_t i = 0; i < move->item_count; i++)
		bytes += gcl_mem_bytes(move->items[i].root);
	atomic_store_explicit(&page->bytes, bytes, memory_order_relaxed);
	atomic_store_explicit(&page->ahead, 0, memory_order_relaxed);
	atomic_store_explicit(&page->rest, 0, memory_order_relaxed);
	atomic_store_explicit(&page->behind, 0, memory_order_relaxed);
}

void gcl_move_rounds(struct gcl_move *move)
{
	enum gcl_move_result result;

	if (!move->rounds && !move->copying)
		bytes_tell(move);
	result = round_go_on(move);
	if (result != GCL_MOVE_DONE)
		gcl_move_ends(move, result, move->value);
	else if (!gcl_move_busy(move) && rounds_end(move))
		gcl_move_stop(move);
}
