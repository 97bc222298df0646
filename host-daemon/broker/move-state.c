// SPDX-License-Identifier: MIT
/*
 * What of moves goes into the state that a new program takes over. Save and restore have one order,
 * which MEANING of takeover-state.c stands for as well.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "broker.h"

/* ------------------------------------------------------------ places */

static void places_save(const struct gcl_list *list, struct gcl_state *state)
{
	gcl_state_put_number(state, gcl_list_count(list));
	gcl_list_for_each (it, list) {
		const struct gcl_move_place *place =
			gcl_container_of(it, struct gcl_move_place, link);

		GCL_STATE_PUT(state, place->server);
		GCL_STATE_PUT(state, place->device);
	}
}

/* In their order they get the numbers that they had. */
static void place_load(struct gcl_moves *moves, struct gcl_state *state, bool drained)
{
	char server[sizeof((struct gcl_move_place *)0)->server] = "";
	uint32_t device = 0;

	GCL_STATE_GET(state, server);
	GCL_STATE_GET(state, device);
	server[sizeof server - 1] = '\0';
	if (state->bad)
		return;
	if (drained)
		gcl_server_drain(moves, server, true);
	else
		gcl_place_get(moves, server, device);
}

static void places_load(struct gcl_moves *moves, struct gcl_state *state, bool drained)
{
	uint64_t count = gcl_state_get_number(state);

	for (uint64_t i = 0; i < count && !state->bad; i++)
		place_load(moves, state, drained);
}

/* ------------------------------------------------------------ moves */

static void move_save(const struct gcl_move *move, struct gcl_state *state)
{
	GCL_STATE_PUT(state, move->worker->session);
	GCL_STATE_PUT(state, move->id);
	GCL_STATE_PUT(state, move->order);
	GCL_STATE_PUT(state, move->phase);
	GCL_STATE_PUT(state, move->place);
	GCL_STATE_PUT(state, move->linked);
}

static void move_load(struct gcl_moves *moves, struct gcl_state *state)
{
	struct gcl_move *move = calloc(1, sizeof *move), scratch = {0};
	struct gcl_move *to = move ? move : &scratch;
	uint64_t session = 0;

	GCL_STATE_GET(state, session);
	GCL_STATE_GET(state, to->id);
	GCL_STATE_GET(state, to->order);
	GCL_STATE_GET(state, to->phase);
	GCL_STATE_GET(state, to->place);
	GCL_STATE_GET(state, to->linked);
	if (!move)
		return;
	move->worker = session ? gcl_workers_find(&moves->broker->workers, session) : NULL;
	if (state->bad || !move->worker || move->worker->moves.now) {
		free(move);
		return;
	}
	gcl_moves_add(moves, move);
}

void gcl_moves_save(const struct gcl_moves *moves, struct gcl_state *state)
{
	GCL_STATE_PUT(state, moves->ids);
	GCL_STATE_PUT(state, moves->done);
	GCL_STATE_PUT(state, moves->failed);
	GCL_STATE_PUT(state, moves->bytes);
	GCL_STATE_PUT(state, moves->pause);
	GCL_STATE_PUT(state, moves->drained_devices);
	places_save(&moves->places, state);
	places_save(&moves->drained, state);
	gcl_state_put_number(state, moves->count);
	gcl_list_for_each (it, &moves->list)
		move_save(gcl_container_of(it, struct gcl_move, link), state);
	gcl_links_save(moves, state);
}

void gcl_moves_restore(struct gcl_moves *moves, struct gcl_state *state)
{
	uint64_t count;

	GCL_STATE_GET(state, moves->ids);
	GCL_STATE_GET(state, moves->done);
	GCL_STATE_GET(state, moves->failed);
	GCL_STATE_GET(state, moves->bytes);
	GCL_STATE_GET(state, moves->pause);
	GCL_STATE_GET(state, moves->drained_devices);
	places_load(moves, state, false);
	places_load(moves, state, true);
	count = gcl_state_get_number(state);
	for (uint64_t i = 0; i < count && !state->bad; i++)
		move_load(moves, state);
	gcl_links_restore(moves, state);
	gcl_moves_settle(moves);
}

/* ------------------------------------------------------------ of one session */

void gcl_worker_moves_save(const struct gcl_worker_moves *moves, struct gcl_state *state)
{
	GCL_STATE_PUT(state, moves->places);
	GCL_STATE_PUT(state, moves->place_count);
	GCL_STATE_PUT(state, moves->done);
	GCL_STATE_PUT(state, moves->failed);
	GCL_STATE_PUT(state, moves->last);
}

void gcl_worker_moves_restore(struct gcl_worker_moves *moves, struct gcl_state *state)
{
	GCL_STATE_GET(state, moves->places);
	GCL_STATE_GET(state, moves->place_count);
	GCL_STATE_GET(state, moves->done);
	GCL_STATE_GET(state, moves->failed);
	GCL_STATE_GET(state, moves->last);
	moves->place_count = GCL_MIN(moves->place_count, GCL_MOVE_PLACES_MAX);
}
