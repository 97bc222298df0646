// SPDX-License-Identifier: MIT
/*
 * Moves: from the broker's note to its answer.
 *
 * The watch thread takes the note and wakes the session thread, which begins between two messages,
 * and goes on there whenever job or events are done: preparing and copying ahead cost the program
 * nothing else. Then it stands for the rest. Until the switch, the last thing that is done, nothing
 * has changed for the program: whatever fails before is told, and forgotten.
 */
#include "moving.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "hasher.h"

/* Commands that a copy waits for may wait for the program themselves; for so long at most. */
#define WAIT_MS 20000u

/* Copying is cancelled that makes no progress, and then its connection is cut. */
#define STILL_NS 10000000000u
#define CUT_NS	 12000000000u

/* For tests: the point at which moves fail. */
#define FAIL_VARIABLE "GUESTCL_MOVE_FAILS_AT"

struct gcl_asked {
	struct gcl_asked *next;
	struct gcl_note note;
	int fd;
};

/* ------------------------------------------------------------ the watch thread */

void gcl_move_want(struct gcl_worker *worker)
{
	atomic_store(&worker->sides.poll, true);
	gcl_channel_interrupt(worker->channel);
}

static int asked_add(struct gcl_worker *worker, const struct gcl_note *note)
{
	struct gcl_asked *asked = calloc(1, sizeof *asked);

	if (!asked)
		return -ENOMEM;
	asked->note = *note;
	asked->fd = worker->note_fd;
	worker->note_fd = -1;
	asked->next = atomic_load(&worker->sides.asked);
	while (!atomic_compare_exchange_weak(&worker->sides.asked, &asked->next, asked))
		;
	gcl_move_want(worker);
	return 0;
}

int gcl_note_move(struct gcl_worker *worker, const struct gcl_note *note)
{
	return asked_add(worker, note);
}

int gcl_note_move_home(struct gcl_worker *worker, const struct gcl_note *note)
{
	return asked_add(worker, note);
}

static void answer(struct gcl_worker *worker, enum gcl_move_result result, uint64_t value)
{
	const struct gcl_note note = {.type = GCL_NOTE_MOVED, .device = result, .value = value};

	gcl_note_send(worker, &note);
}

void gcl_move_step(struct gcl_move *move, enum gcl_move_step step)
{
	move->step = step;
	atomic_store_explicit(&move->worker->page->move.step, step, memory_order_relaxed);
}

bool gcl_move_injected(struct gcl_move *move, unsigned point)
{
	if (move->worker->sides.fails_at != point)
		return false;
	move->result = GCL_MOVE_INJECTED;
	move->value = point;
	return true;
}

void gcl_sides_inject(struct gcl_sides *sides)
{
	const char *text = getenv(FAIL_VARIABLE);

	sides->fails_at = text ? (unsigned)strtoul(text, NULL, 10) : 0;
}

/* ------------------------------------------------------------ the end */

static void items_free(struct gcl_move *move)
{
	for (size_t i = 0; i < move->item_count; i++) {
		struct gcl_moving_item *item = &move->items[i];

		if (item->copying)
			gcl_copy_fini(&item->copy);
		gcl_item_arrived(item);
		gcl_mem_put(item->root);
	}
	free(move->items);
}

static void move_fini(struct gcl_move *move)
{
	items_free(move);
	for (size_t i = 0; i < move->queue_count; i++)
		if (move->queues[i].twin)
			clReleaseCommandQueue(move->queues[i].twin);
	for (size_t i = 0; i < move->program_count; i++) {
		if (move->programs[i].there)
			clReleaseProgram(move->programs[i].there);
		gcl_recipe_put(move->programs[i].recipe);
	}
	for (size_t i = 0; i < move->context_count; i++) {
		if (move->contexts[i].there)
			clReleaseContext(move->contexts[i].there);
		gcl_hasher_put(move->contexts[i].hashers[0]);
		gcl_hasher_put(move->contexts[i].hashers[1]);
		gcl_context_put(move->contexts[i].context);
	}
	free(move->queues);
	free(move->contexts);
	free(move->programs);
	if (move->fd >= 0)
		close(move->fd);
	gcl_side_close(&move->side);
	gcl_move_let_go(move);
}

static void figures_tell(const struct gcl_move *move, enum gcl_move_result result)
{
	struct gcl_page_move *page = &move->worker->page->move;
	uint64_t now = gcl_trace_now();

	atomic_store_explicit(&page->step, GCL_MOVE_STEP_NONE, memory_order_relaxed);
	atomic_store_explicit(&page->rounds, move->rounds, memory_order_relaxed);
	atomic_store_explicit(&page->took, now - move->began, memory_order_relaxed);
	atomic_store_explicit(&page->pause, move->stopped ? now - move->stopped : 0,
			      memory_order_relaxed);
	atomic_fetch_add_explicit(result == GCL_MOVE_DONE ? &page->done : &page->failed, 1,
				  memory_order_relaxed);
}

void gcl_move_ends(struct gcl_move *move, enum gcl_move_result result, uint64_t value)
{
	struct gcl_worker *worker = move->worker;
	char text[GCL_MOVE_TEXT_MAX];

	figures_tell(move, result);
	gcl_move_describe(result, value, text, sizeof text);
	gcl_log_info(session, "move: %s", text);
	worker->sides.move = NULL;
	move_fini(move);
	gcl_sides_queues_follow(worker);
	gcl_sides_prune(worker);
	answer(worker, result, value);
}

/* ------------------------------------------------------------ the beginning */

static enum gcl_move_result move_begin(struct gcl_move *move)
{
	struct gcl_worker *worker = move->worker;
	enum gcl_move_result result;

	if (!worker->client)
		return GCL_MOVE_OFF;
	if (worker->resident)
		return GCL_MOVE_RESIDENT;
	result = gcl_move_find(move);
	if (result != GCL_MOVE_DONE)
		return result;
	worker->sides.active = true;
	gcl_move_step(move, GCL_MOVE_STEP_PREPARE);
	return gcl_move_work(move, gcl_move_prepare) ? GCL_MOVE_DONE : GCL_MOVE_MEMORY_HERE;
}

static void asked_take(struct gcl_worker *worker, const struct gcl_asked *asked)
{
	struct gcl_move *move = worker->sides.move ? NULL : calloc(1, sizeof *move);
	enum gcl_move_result result;

	if (!move) {
		if (asked->fd >= 0)
			close(asked->fd);
		answer(worker, worker->sides.move ? GCL_MOVE_BUSY : GCL_MOVE_MEMORY_HERE, 0);
		return;
	}
	move->worker = worker;
	move->note = asked->note;
	move->fd = asked->fd;
	move->began = gcl_trace_now();
	pthread_mutex_init(&move->lock, NULL);
	pthread_cond_init(&move->wake, NULL);
	worker->sides.move = move;
	result = move_begin(move);
	if (result != GCL_MOVE_DONE)
		gcl_move_ends(move, result, move->value);
}

/* The latest is first. */
static void asked_take_all(struct gcl_worker *worker)
{
	struct gcl_asked *asked = atomic_exchange(&worker->sides.asked, NULL);
	struct gcl_asked *first = NULL;

	while (asked) {
		struct gcl_asked *next = asked->next;

		asked->next = first;
		first = asked;
		asked = next;
	}
	while (first) {
		struct gcl_asked *next = first->next;

		asked_take(worker, first);
		free(first);
		first = next;
	}
}

/* Job or events are done: what is next? */
static void move_go_on(struct gcl_move *move)
{
	if (gcl_move_busy(move))
		return;
	if (move->step == GCL_MOVE_STEP_PREPARE)
		gcl_move_prepared(move);
	else
		gcl_move_rounds(move);
}

/* Copying ahead, of which no byte comes through, must not last either. */
static void copy_look(struct gcl_move *move, uint64_t now)
{
	uint64_t progress = atomic_load(&move->progress);

	if (!move->copying || progress != move->seen || !move->changed) {
		move->seen = progress;
		move->changed = now;
		return;
	}
	if (now - move->changed < STILL_NS)
		return;
	atomic_store(&move->cancel, true);
	if (now - move->changed >= CUT_NS)
		gcl_move_cut(move);
}

void gcl_move_look(struct gcl_move *move, uint64_t now)
{
	unsigned long long waited = (now - move->since) / 1000000;
	bool awaits;

	pthread_mutex_lock(&move->lock);
	awaits = move->awaits && !move->working;
	pthread_mutex_unlock(&move->lock);
	if (awaits && waited >= WAIT_MS)
		gcl_move_ends(move, GCL_MOVE_WAITS, waited);
	else
		copy_look(move, now);
}

void gcl_move_poll(struct gcl_worker *worker)
{
	struct gcl_sides *sides = &worker->sides;

	if (atomic_load_explicit(&sides->poll, memory_order_relaxed)) {
		atomic_store(&sides->poll, false);
		asked_take_all(worker);
		if (sides->move)
			move_go_on(sides->move);
	}
	if (sides->active)
		gcl_sides_look(worker);
}
