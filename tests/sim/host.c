// SPDX-License-Identifier: MIT
/*
 * A host: what its policy sees, and what becomes of the decisions.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "explain.h"
#include "sim.h"

/* Part of what was measured that a tick puts in the place of the old. */
#define MEASURE 0.3

/* Places that turn out to be full, before an allocation is given up. */
#define TRIES 4

static uint32_t device_of(const struct sim *sim, uint32_t host, uint32_t place)
{
	return place ? sim->world->hosts + place - 1 : host;
}

static void place_fill(const struct sim *sim, uint32_t index, uint32_t number)
{
	const struct sim_host *host = &sim->hosts[index];
	const struct sim_device *device = &sim->devices[device_of(sim, index, number)];
	struct gcl_place *place = &host->places[number];

	*place = (struct gcl_place){
		.name = device->name,
		.remote = device->remote,
		.lost = device->dead,
		.memory = device->memory,
		.free = device->free,
		.demand = device->demand,
		.speed = 1.,
		.rtt = device->rtt,
		.bandwidth = device->bandwidth,
	};
	if (!device->remote)
		return;
	place->age = sim->now - device->said_at;
	place->free = device->said_free;
	place->demand = device->said_demand;
	place->speed = device->said_speed;
	place->speed_seen = host->seen[number];
	place->avoid_until = host->avoid[number - 1];
}

static void view_fill(struct sim *sim, uint32_t index, struct gcl_place_view *view)
{
	struct sim_host *host = &sim->hosts[index];
	uint64_t draws = sim->seed ^ (index * UINT64_C(0xd1342543de82ef95)) ^ host->draws++;

	for (uint32_t i = 0; i <= sim->world->servers; i++)
		place_fill(sim, index, i);
	for (uint32_t i = 0; i < sim->move_count; i++) {
		const struct sim_move *move = &sim->moves[i];

		if (move->host == index) {
			host->places[sim->tasks[move->task].seen.where].moves++;
			host->places[sim->tasks[move->task].seen.to].moves++;
		}
	}
	for (uint32_t i = 0; i < host->active_count; i++) {
		struct sim_task *task = &sim->tasks[host->active[i]];

		task->seen.memory = task->seen.bytes = task->seen.bytes_home = task->held;
		task->seen.waited = task->measured;
		host->view_tasks[i] = task->seen;
	}
	*view = (struct gcl_place_view){
		.now = sim->now,
		.places = host->places,
		.tasks = host->view_tasks,
		.place_count = sim->world->servers + 1,
		.task_count = host->active_count,
		.settings = sim->settings,
		.uplink = sim->world->uplink,
		.moving = host->moving,
		.draw = sim_random(&draws),
	};
}

static void log_decision(const struct sim *sim, const struct gcl_place_view *view,
			 const struct gcl_place_decision *decision)
{
	char text[GCL_EXPLAIN_MAX];

	if (!sim->log)
		return;
	gcl_explain_text(view, decision, text, sizeof text);
	fprintf(sim->log, "%.3f: %s", sim->now, text);
}

/* Return: moves that began. */
static unsigned decide(struct sim *sim, uint32_t index, const struct gcl_place_event *event)
{
	struct sim_host *host = &sim->hosts[index];
	struct gcl_place_plan *plan = host->plan;
	struct gcl_place_view view;
	unsigned before = host->moving;

	view_fill(sim, index, &view);
	if (gcl_place_decide(sim->policy, &view, event, plan))
		abort();
	for (unsigned i = 0; i < plan->count; i++) {
		const struct gcl_place_decision *decision = &plan->decisions[i];

		log_decision(sim, &view, decision);
		sim_move_begin(sim, index, (uint32_t)view.tasks[decision->task].id,
			       device_of(sim, index, decision->to), decision->why);
	}
	return host->moving - before;
}

bool sim_host_allocation(struct sim *sim, uint32_t index)
{
	const struct sim_task *task = &sim->tasks[index];
	struct gcl_place_event event = {
		.kind = GCL_PLACE_ALLOCATION, .task = task->active, .bytes = task->asks};

	for (unsigned i = 0; i < TRIES; i++) {
		if (decide(sim, task->spec->host, &event))
			return true;
		if (sim->hosts[task->spec->host].plan->refused)
			return false;
	}
	return false;
}

static bool leaving(const struct sim *sim, uint32_t device)
{
	for (uint32_t i = 0; i < sim->move_count; i++) {
		if (sim->tasks[sim->moves[i].task].device == device)
			return true;
	}
	return false;
}

/* Moves that were to make room may have failed, or another task been faster. */
static void blocked_see(struct sim *sim, uint32_t index)
{
	const struct sim_host *host = &sim->hosts[index];

	for (uint32_t i = host->active_count; i > 0; i--) {
		uint32_t found = host->active[i - 1];
		const struct sim_task *task = &sim->tasks[found];

		if (task->state != SIM_BLOCKED || task->move != SIM_NONE ||
		    leaving(sim, task->device))
			continue;
		sim_task_ask(sim, found, task->asks);
		i = GCL_MIN(i, host->active_count + 1);
	}
}

static void measure(struct sim_host *host, struct sim_task *task)
{
	static const struct gcl_place home = {.speed = 1.};
	uint32_t where = task->seen.where;
	struct gcl_place place = {.speed_seen = host->seen[where]};

	task->measured += (task->waited - task->measured) * MEASURE;
	if (!where)
		return;
	gcl_place_learn(&place, &home, &task->seen);
	host->seen[where] = place.speed_seen;
}

void sim_host_tick(struct sim *sim, uint32_t index)
{
	struct sim_host *host = &sim->hosts[index];
	struct gcl_place_event event = {.kind = GCL_PLACE_TICK};

	for (uint32_t i = 0; i < host->active_count; i++) {
		struct sim_task *task = &sim->tasks[host->active[i]];

		if (task->state == SIM_RUNS)
			measure(host, task);
	}
	blocked_see(sim, index);
	if (host->active_count)
		decide(sim, index, &event);
}
