// SPDX-License-Identifier: MIT
/*
 * Commands that wait for a user event which the program has not set yet: directly, or by other
 * commands.
 *
 * When they run is the program's matter: others that are given later may run before, and what the
 * program makes of those may be what sets the event. So nothing that is given later may wait for
 * what such a command needs, or count on what it will have written, unless the program says so.
 * While it is gated nobody knows of its uses of memory objects. It waits for one more user event,
 * of its own side: the arrival of what it needs, which is found out when the program sets the last
 * event that it waits for; from then on it is like one that is given in that moment.
 *
 * Only while sides are in use: at home alone the runtime does all this.
 *
 * Must not: wait.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker.h"

struct gcl_gated {
	struct gcl_list link;	     /* in sides.gated, in the order in which they were given */
	struct gcl_context *context; /* a reference */
	uint64_t queue;		     /* id */
	unsigned side;
	bool bars;	   /* as in struct gcl_command */
	uint64_t event_id; /* 0: the guest has none */
	cl_event event;	   /* a reference; NULL: not enqueued yet, or nothing is used */
	cl_event arrival;  /* a reference; NULL: nothing is used */
	uint64_t *gates;   /* ids; user events that are still to be set */
	unsigned gate_count;
	struct gcl_use *uses; /* with a reference each */
	unsigned use_count;
};

/* ------------------------------------------------------------ what a command waits for */

static bool gates_have(const struct gcl_command *command, uint64_t id)
{
	for (unsigned i = 0; i < command->gate_count; i++)
		if (command->gates[i] == id)
			return true;
	return false;
}

/* Those that it doesn't have yet. */
static int gates_add(struct gcl_worker *worker, struct gcl_command *command, const uint64_t *ids,
		     unsigned count)
{
	unsigned known = 0;
	uint64_t *grown;

	for (unsigned i = 0; i < count; i++)
		known += gates_have(command, ids[i]);
	if (known == count)
		return 0;
	grown = gcl_arena_alloc(&worker->arena,
				((size_t)command->gate_count + count) * sizeof *grown);
	if (!grown)
		return -ENOMEM;
	for (unsigned i = 0; i < command->gate_count; i++)
		grown[i] = command->gates[i];
	command->gates = grown;
	for (unsigned i = 0; i < count; i++)
		if (!gates_have(command, ids[i]))
			grown[command->gate_count++] = ids[i];
	return 0;
}

static bool waits_have(const Gcl__Command *message, uint64_t id)
{
	for (size_t i = 0; i < message->n_waits; i++)
		if (message->waits[i] == id)
			return true;
	return false;
}

static bool unset(struct gcl_worker *worker, uint64_t id)
{
	const struct gcl_entry *entry = gcl_table_find(worker, id, GCL_KIND_EVENT);
	const struct gcl_event_sides *sides = entry ? entry->detail : NULL;
	cl_command_type type = 0;

	if (!entry || !entry->handle || entry->failed || (sides && sides->side != GCL_HOME) ||
	    gcl_event_status(entry->handle) <= CL_COMPLETE)
		return false;
	clGetEventInfo(entry->handle, CL_EVENT_COMMAND_TYPE, sizeof type, &type, NULL);
	return type == CL_COMMAND_USER;
}

int gcl_gated_find(struct gcl_worker *worker, const Gcl__Command *message,
		   struct gcl_command *command)
{
	struct gcl_sides *sides = &worker->sides;
	int err = 0;

	command->bars = command->queue->in_order;
	if (!sides->active || !sides->unset || sides->replaying)
		return 0;
	for (size_t i = 0; i < message->n_waits && !err; i++)
		if (unset(worker, message->waits[i]))
			err = gates_add(worker, command, &message->waits[i], 1);
	gcl_list_for_each (it, &sides->gated) {
		const struct gcl_gated *gated = gcl_container_of(it, struct gcl_gated, link);

		if (!err && ((gated->bars && gated->queue == command->queue->id) ||
			     (gated->event_id && waits_have(message, gated->event_id))))
			err = gates_add(worker, command, gated->gates, gated->gate_count);
	}
	return err;
}

int gcl_gated_order(struct gcl_worker *worker, struct gcl_command *command, bool after, bool before)
{
	int err = 0;

	command->bars |= before;
	gcl_list_for_each (it, &worker->sides.gated) {
		const struct gcl_gated *gated = gcl_container_of(it, struct gcl_gated, link);

		if (after && !err && gated->queue == command->queue->id)
			err = gates_add(worker, command, gated->gates, gated->gate_count);
	}
	return err;
}

/* ------------------------------------------------------------ one command */

static void gated_free(struct gcl_gated *gated)
{
	gcl_list_remove(&gated->link);
	for (unsigned i = 0; i < gated->use_count; i++)
		gcl_mem_put(gated->uses[i].mem);
	if (gated->event)
		clReleaseEvent(gated->event);
	if (gated->arrival)
		clReleaseEvent(gated->arrival);
	gcl_context_put(gated->context);
	free(gated->gates);
	free(gated->uses);
	free(gated);
}

static struct gcl_gated *gated_create(struct gcl_worker *worker, const struct gcl_command *command)
{
	struct gcl_gated *gated = calloc(1, sizeof *gated);

	if (!gated)
		return NULL;
	gcl_list_append(&worker->sides.gated, &gated->link);
	gated->context = gcl_context_get(command->queue->context);
	gated->queue = command->queue->id;
	gated->side = command->side;
	gated->gates = calloc(command->gate_count, sizeof *gated->gates);
	gated->uses = calloc(command->use_count + 1, sizeof *gated->uses);
	if (!gated->gates || !gated->uses) {
		gated_free(gated);
		return NULL;
	}
	gated->gate_count = command->gate_count;
	memcpy(gated->gates, command->gates, command->gate_count * sizeof *gated->gates);
	for (unsigned i = 0; i < command->use_count; i++) {
		gated->uses[gated->use_count++] = command->uses[i];
		gcl_mem_get(command->uses[i].mem);
	}
	return gated;
}

/* @command waits for @event, too. */
static cl_int wait_add(struct gcl_worker *worker, struct gcl_command *command, cl_event event)
{
	cl_event *waits =
		gcl_arena_alloc(&worker->arena, ((size_t)command->wait_count + 1) * sizeof *waits);

	if (!waits)
		return CL_OUT_OF_HOST_MEMORY;
	for (cl_uint i = 0; i < command->wait_count; i++)
		waits[i] = command->waits[i];
	waits[command->wait_count++] = event;
	command->waits = waits;
	return CL_SUCCESS;
}

cl_int gcl_gated_hold(struct gcl_worker *worker, struct gcl_command *command)
{
	struct gcl_gated *gated = gated_create(worker, command);
	cl_int status = gated ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY;
	cl_context there = NULL;

	if (status == CL_SUCCESS)
		there = gcl_context_on(worker, gated->context, gated->side, &status);
	if (status == CL_SUCCESS)
		gated->arrival = clCreateUserEvent(there, &status);
	if (status == CL_SUCCESS)
		status = wait_add(worker, command, gated->arrival);
	if (status == CL_SUCCESS)
		command->gated = gated;
	else if (gated)
		gated_free(gated);
	return status;
}

int gcl_gated_note(struct gcl_worker *worker, struct gcl_command *command)
{
	struct gcl_gated *gated = command->gated;

	if (!gated)
		gated = gated_create(worker, command);
	if (!gated)
		return -ENOMEM;
	gated->bars = command->bars;
	gated->event_id = command->event_entry ? command->event_entry->id : 0;
	if (gated->arrival) {
		clRetainEvent(command->event);
		gated->event = command->event;
	}
	command->gated = NULL;
	return 0;
}

void gcl_gated_drop(struct gcl_command *command)
{
	if (command->gated)
		gated_free(steal_pointer(&command->gated));
}

/* ------------------------------------------------------------ all of them */

static void gate_remove(struct gcl_gated *gated, uint64_t id)
{
	unsigned i = 0;

	while (i < gated->gate_count && gated->gates[i] != id)
		i++;
	if (i < gated->gate_count)
		gated->gates[i] = gated->gates[--gated->gate_count];
}

int gcl_gated_open(struct gcl_worker *worker, uint64_t id)
{
	int err = 0;

	gcl_list_for_each_safe (it, next, &worker->sides.gated) {
		struct gcl_gated *gated = gcl_container_of(it, struct gcl_gated, link);
		const struct gcl_needs needs = {
			.context = gated->context,
			.side = gated->side,
			.queue = gated->queue,
			.uses = gated->uses,
			.count = gated->use_count,
		};

		gate_remove(gated, id);
		if (gated->gate_count)
			continue;
		if (gated->event)
			err |= gcl_settle_late(worker, &needs, gated->arrival, gated->event);
		gated_free(gated);
	}
	return err ? -ENOMEM : 0;
}

bool gcl_gated_on(const struct gcl_worker *worker, unsigned side)
{
	gcl_list_for_each (it, &worker->sides.gated)
		if (gcl_container_of(it, struct gcl_gated, link)->side == side)
			return true;
	return false;
}

void gcl_gated_lose(struct gcl_worker *worker, unsigned side)
{
	gcl_list_for_each_safe (it, next, &worker->sides.gated) {
		struct gcl_gated *gated = gcl_container_of(it, struct gcl_gated, link);

		if (side == GCL_SIDES || gated->side == side)
			gated_free(gated);
	}
}
