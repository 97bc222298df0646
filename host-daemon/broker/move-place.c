// SPDX-License-Identifier: MIT
/*
 * Numbers of places, which of them sessions have sessions at, and servers that are drained.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "broker.h"

/* ------------------------------------------------------------ numbers */

static struct gcl_move_place *place_of(struct gcl_list *link)
{
	return gcl_container_of(link, struct gcl_move_place, link);
}

static uint32_t place_create(struct gcl_moves *moves, const char *server, uint32_t device)
{
	struct gcl_move_place *place;

	if (moves->place_count == GCL_PLACES_MAX)
		return 0;
	place = calloc(1, sizeof *place);
	if (!place)
		return 0;
	/* None is ever forgotten: they are numbers in a row. */
	place->number = (uint32_t)++moves->place_count;
	place->device = device;
	snprintf(place->server, sizeof place->server, "%s", server);
	gcl_list_append(&moves->places, &place->link);
	return place->number;
}

uint32_t gcl_place_get(struct gcl_moves *moves, const char *server, uint32_t device)
{
	gcl_list_for_each (it, &moves->places) {
		const struct gcl_move_place *place = place_of(it);

		if (place->device == device && strcmp(place->server, server) == 0)
			return place->number;
	}
	return place_create(moves, server, device);
}

const struct gcl_move_place *gcl_place_find(const struct gcl_moves *moves, uint32_t number)
{
	gcl_list_for_each (it, &moves->places) {
		if (place_of(it)->number == number)
			return place_of(it);
	}
	return NULL;
}

/* ------------------------------------------------------------ of one session */

static struct gcl_worker_place *worker_place_find(struct gcl_worker_moves *moves, uint32_t number)
{
	for (unsigned i = 0; i < moves->place_count; i++) {
		if (moves->places[i].number == number)
			return &moves->places[i];
	}
	return NULL;
}

bool gcl_worker_place_has(const struct gcl_worker_moves *moves, uint32_t number)
{
	for (unsigned i = 0; i < moves->place_count; i++) {
		if (moves->places[i].number == number)
			return true;
	}
	return false;
}

void gcl_worker_place_moved(struct gcl_worker_moves *moves, const struct gcl_move_order *order,
			    uint32_t number)
{
	struct gcl_worker_place *place = worker_place_find(moves, number);

	for (unsigned i = 0; !order->queue && i < moves->place_count; i++) {
		if (!order->from || moves->places[i].number == order->from)
			moves->places[i].used = false;
	}
	/* gcl_move_check() has seen to it that there is room. */
	if (!place && number && moves->place_count < GCL_MOVE_PLACES_MAX) {
		place = &moves->places[moves->place_count++];
		place->number = number;
	}
	if (place)
		place->used = true;
}

uint32_t gcl_worker_places_of(const struct gcl_worker_process *worker, const char *server)
{
	const struct gcl_worker_moves *moves = &worker->moves;
	uint32_t found = 0;

	for (unsigned i = 0; i < moves->place_count; i++) {
		const struct gcl_move_place *place =
			gcl_place_find(&worker->broker->moves, moves->places[i].number);

		if (!place || strcmp(place->server, server) != 0)
			continue;
		if (found)
			return 0;
		found = place->number;
	}
	return found;
}

void gcl_worker_place_remove(struct gcl_worker_moves *moves, uint32_t number)
{
	struct gcl_worker_place *place = worker_place_find(moves, number);

	if (place)
		*place = moves->places[--moves->place_count];
}

/* ------------------------------------------------------------ drained servers */

/* By name: one that is restarted meanwhile, and so leaves etcd, stays drained. */
static struct gcl_move_place *drained_find(const struct gcl_moves *moves, const char *server)
{
	gcl_list_for_each (it, &moves->drained) {
		if (strcmp(place_of(it)->server, server) == 0)
			return place_of(it);
	}
	return NULL;
}

bool gcl_server_drained(const struct gcl_moves *moves, const char *server)
{
	return drained_find(moves, server) != NULL;
}

int gcl_server_drain(struct gcl_moves *moves, const char *server, bool drained)
{
	struct gcl_move_place *place = drained_find(moves, server);

	if (drained == (place != NULL))
		return 0;
	if (!drained) {
		gcl_list_remove(&place->link);
		moves->drained_count--;
		free(place);
		return 0;
	}
	if (moves->drained_count == GCL_DRAINED_MAX)
		return -ENOSPC;
	place = calloc(1, sizeof *place);
	if (!place)
		return -ENOMEM;
	snprintf(place->server, sizeof place->server, "%s", server);
	gcl_list_append(&moves->drained, &place->link);
	moves->drained_count++;
	return 0;
}
