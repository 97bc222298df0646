// SPDX-License-Identifier: MIT
/*
 * Moves and places, for those who ask (guestcl-status(1) describes it).
 */
#include <json-c/json.h>

#include "base/cleanup.h"
#include "broker.h"
#include "replay.h"

static void add_number(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

static void add_text(struct json_object *object, const char *key, const char *text)
{
	json_object_object_add(object, key, json_object_new_string(text));
}

static void where_add(struct json_object *object, const char *server, uint32_t device)
{
	if (!*server)
		return;
	add_text(object, "server", server);
	add_number(object, "device", device);
}

/* ------------------------------------------------------------ one move */

const char *gcl_move_state(const struct gcl_move *move)
{
	static const char *const phases[] = {
		[GCL_MOVE_WAITING] = "waiting",
		[GCL_MOVE_LINKING] = "connecting",
		[GCL_MOVE_TOLD] = "told",
		[GCL_MOVE_LATE] = "late",
	};
	static const char *const steps[] = {
#define STEP_NAME(constant, name) [GCL_MOVE_STEP_##constant] = (name),
		GCL_MOVE_STEPS(STEP_NAME)
#undef STEP_NAME
	};
	uint32_t step = atomic_load_explicit(&move->worker->page->move.step, memory_order_relaxed);

	if (move->phase != GCL_MOVE_TOLD || step == GCL_MOVE_STEP_NONE ||
	    step >= GCL_MOVE_STEP_LIMIT)
		return phases[move->phase];
	return steps[step];
}

/* The last move's figures stand in the page until the worker begins. */
static void figures_add(struct json_object *object, const struct gcl_move *move)
{
	const struct gcl_page_move *page = &move->worker->page->move;
	uint32_t step = atomic_load_explicit(&page->step, memory_order_relaxed);

	if (move->phase != GCL_MOVE_TOLD || step == GCL_MOVE_STEP_NONE)
		return;
	add_number(object, "bytes", gcl_page_read(&page->bytes));
	add_number(object, "ahead_bytes", gcl_page_read(&page->ahead));
	add_number(object, "rest_bytes", gcl_page_read(&page->rest));
	add_number(object, "rounds", gcl_page_read(&page->rounds));
}

void gcl_move_status(struct json_object *object, const struct gcl_move *move)
{
	add_number(object, "move", move->id);
	add_number(object, "queue", move->order.queue);
	where_add(object, move->order.server, move->order.device);
	add_text(object, "state", gcl_move_state(move));
	figures_add(object, move);
}

void gcl_move_outcome_status(struct json_object *object, const struct gcl_move_outcome *outcome)
{
	add_number(object, "move", outcome->id);
	add_number(object, "queue", outcome->order.queue);
	where_add(object, outcome->order.server, outcome->order.device);
	add_text(object, "state",
		 outcome->result == GCL_MOVE_DONE || outcome->result == GCL_MOVE_THERE ? "moved"
										       : "failed");
	add_text(object, "text", outcome->text);
	if (outcome->result != GCL_MOVE_DONE)
		return;
	add_number(object, "bytes", outcome->bytes);
	add_number(object, "ahead_bytes", outcome->ahead);
	add_number(object, "rest_bytes", outcome->rest);
	add_number(object, "behind_bytes", outcome->behind);
	add_number(object, "took_ns", outcome->took);
	add_number(object, "prepared_ns", outcome->prepared);
	add_number(object, "pause_ns", outcome->pause);
}

/* ------------------------------------------------------------ one session */

static struct json_object *places_status(const struct gcl_worker_process *worker)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < worker->moves.place_count; i++) {
		const struct gcl_move_place *place =
			gcl_place_find(&worker->broker->moves, worker->moves.places[i].number);
		struct json_object *part;

		if (!place || !worker->moves.places[i].used)
			continue;
		part = json_object_new_object();
		where_add(part, place->server, place->device);
		json_object_array_add(list, part);
	}
	return list;
}

void gcl_replay_status(struct json_object *object, const struct gcl_page_move *page)
{
	uint32_t replay = atomic_load_explicit(&page->replay, memory_order_relaxed);

	add_text(object, "replay", gcl_replay_name(replay));
	add_text(object, "replay_text", gcl_replay_text(replay));
	add_number(object, "replay_bytes", gcl_page_read(&page->journal));
	add_number(object, "replays", gcl_page_read(&page->replays));
}

void gcl_moves_session_status(struct json_object *object, const struct gcl_worker_process *worker)
{
	const struct gcl_page_move *page = &worker->page->move;
	struct json_object *part;

	add_number(object, "queues_away", atomic_load_explicit(&page->away, memory_order_relaxed));
	json_object_object_add(object, "places", places_status(worker));
	add_number(object, "moves", worker->moves.done);
	add_number(object, "moves_failed", worker->moves.failed);
	add_number(object, "lent_bytes", gcl_page_read(&page->lent));
	gcl_replay_status(object, page);
	if (worker->moves.now) {
		part = json_object_new_object();
		gcl_move_status(part, worker->moves.now);
		json_object_object_add(object, "move", part);
	}
	if (worker->moves.last.id) {
		part = json_object_new_object();
		gcl_move_outcome_status(part, &worker->moves.last);
		json_object_object_add(object, "last_move", part);
	}
}

/* ------------------------------------------------------------ all of them */

struct json_object *gcl_moves_status(const struct gcl_moves *moves)
{
	struct json_object *object = json_object_new_object();

	add_number(object, "under_way", moves->count);
	add_number(object, "done", moves->done);
	add_number(object, "failed", moves->failed);
	add_number(object, "bytes", moves->bytes);
	add_number(object, "pause_ns", moves->pause);
	add_number(object, "links", gcl_links_count(moves));
	return object;
}
