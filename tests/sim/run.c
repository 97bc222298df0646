// SPDX-License-Identifier: MIT
/*
 * One run: hosts and servers are made, and events happen until all tasks are done.
 */
#include <math.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "sim.h"

#define DEAD_FOR 60. /* s */

static void devices_make(struct sim *sim)
{
	const struct sim_world *world = sim->world;
	uint64_t state = sim->seed ^ 0x5e21e5;

	sim->device_count = world->hosts + world->servers;
	sim->devices = sim_alloc(sim->device_count, sizeof *sim->devices);
	for (uint32_t i = 0; i < sim->device_count; i++) {
		struct sim_device *device = &sim->devices[i];

		device->remote = i >= world->hosts;
		device->memory = world->memory;
		device->speed = 1.;
		device->bandwidth = 12e9;
		snprintf(device->name, sizeof device->name, device->remote ? "server%u" : "host%u",
			 device->remote ? i - world->hosts : i);
		if (device->remote) {
			device->memory = (uint64_t)((double)world->memory * world->server_room);
			device->speed = sim_uniform(&state, world->speed[0], world->speed[1]);
			/* What it says of itself is about right. */
			device->said_speed = device->speed * sim_uniform(&state, 0.8, 1.25);
			device->lies = i - world->hosts < world->liars * world->servers;
			if (device->lies) {
				device->speed /= 10.;
				device->said_speed = 5.;
			}
			device->rtt = sim_uniform(&state, world->rtt[0], world->rtt[1]);
			device->bandwidth =
				sim_uniform(&state, world->bandwidth[0], world->bandwidth[1]);
		}
		device->free = device->said_free = device->memory;
	}
}

static uint32_t most_tasks(const struct sim_trace *trace, uint32_t host)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < trace->count; i++)
		count += trace->specs[i].host == host;
	return count;
}

static void hosts_make(struct sim *sim)
{
	uint32_t places = sim->world->servers + 1;

	sim->hosts = sim_alloc(sim->world->hosts, sizeof *sim->hosts);
	for (uint32_t i = 0; i < sim->world->hosts; i++) {
		struct sim_host *host = &sim->hosts[i];
		uint32_t tasks = most_tasks(sim->trace, i);

		if (gcl_place_plan_create(tasks, places, sim->trace->vms, &host->plan))
			abort();
		host->places = sim_alloc(places, sizeof *host->places);
		host->view_tasks = sim_alloc(tasks, sizeof *host->view_tasks);
		host->seen = sim_alloc(places, sizeof *host->seen);
		host->avoid = sim_alloc(places, sizeof *host->avoid);
	}
}

static double death_next(struct sim *sim, uint64_t *state)
{
	return sim->now - log(1. - sim_uniform(state, 0., 1.)) / sim->world->deaths;
}

static void events_make(struct sim *sim)
{
	const struct sim_world *world = sim->world;
	uint64_t state = sim->seed ^ 0xdead;

	for (uint32_t i = 0; i < sim->trace->count; i++) {
		sim->tasks[i].spec = &sim->trace->specs[i];
		sim->tasks[i].slot = sim->tasks[i].move = SIM_NONE;
		sim_queue_add(&sim->queue, sim->trace->specs[i].at, SIM_ARRIVE, i, 0);
	}
	for (uint32_t i = 0; i < world->hosts; i++)
		sim_queue_add(&sim->queue, 1. + SIM_TICK * i / world->hosts, SIM_HOST, i, 0);
	for (uint32_t i = 0; i < world->servers; i++) {
		sim_queue_add(&sim->queue, SIM_ANNOUNCE * i / world->servers, SIM_SERVER,
			      world->hosts + i, 0);
		if (world->deaths > 0.)
			sim_queue_add(&sim->queue, death_next(sim, &state), SIM_DIE,
				      world->hosts + i, 0);
	}
}

static void announce(struct sim *sim, uint32_t index)
{
	struct sim_device *device = &sim->devices[index];

	if (!device->dead) {
		device->said_at = sim->now;
		device->said_demand = device->lies ? 0. : device->demand;
		device->said_free = device->lies ? device->memory : device->free;
	}
	sim_queue_add(&sim->queue, sim->now + SIM_ANNOUNCE, SIM_SERVER, index, 0);
}

static void die(struct sim *sim, uint32_t index)
{
	sim->devices[index].dead = true;
	sim_moves_fail(sim, index);
	for (uint32_t i = 0; i < sim->trace->count; i++) {
		struct sim_task *task = &sim->tasks[i];

		if (task->device != index || task->state == SIM_AWAITED || task->state == SIM_DONE)
			continue;
		sim_device_remove(sim, i);
		if (task->spec->kept)
			task->state = task->asks ? SIM_BLOCKED : SIM_LOST;
		else
			sim_task_fail(sim, i);
	}
	sim_queue_add(&sim->queue, sim->now + DEAD_FOR, SIM_RISE, index, 0);
}

static void rise(struct sim *sim, uint32_t index)
{
	uint64_t state = sim->seed ^ sim->queue.order;

	/* Who is still there has been given up. */
	for (uint32_t i = 0; i < sim->trace->count; i++) {
		const struct sim_task *task = &sim->tasks[i];

		if (task->device == index && task->state != SIM_AWAITED && task->state != SIM_DONE)
			sim_task_fail(sim, i);
	}
	sim->devices[index].dead = false;
	sim_queue_add(&sim->queue, death_next(sim, &state), SIM_DIE, index, 0);
}

static void happen(struct sim *sim, const struct sim_event *event)
{
	switch (event->kind) {
	case SIM_ARRIVE:
		sim_task_arrive(sim, event->index);
		break;
	case SIM_DEVICE:
		if (event->version == sim->devices[event->index].version)
			sim_device_event(sim, event->index);
		break;
	case SIM_HOST:
		sim_host_tick(sim, event->index);
		sim_queue_add(&sim->queue, sim->now + SIM_TICK, SIM_HOST, event->index, 0);
		break;
	case SIM_SERVER:
		announce(sim, event->index);
		break;
	case SIM_MOVES:
		if (event->version == sim->moves_version)
			sim_moves_event(sim);
		break;
	case SIM_DIE:
		die(sim, event->index);
		break;
	case SIM_RISE:
		rise(sim, event->index);
		break;
	}
}

static void fini(struct sim *sim)
{
	for (uint32_t i = 0; i < sim->world->hosts; i++) {
		struct sim_host *host = &sim->hosts[i];

		gcl_place_plan_destroy(host->plan);
		free(host->places);
		free(host->view_tasks);
		free(host->avoid);
		free(host->seen);
		free(host->active);
	}
	for (uint32_t i = 0; i < sim->device_count; i++)
		free(sim->devices[i].tasks);
	free(sim->hosts);
	free(sim->devices);
	free(sim->tasks);
	free(sim->moves);
	free(sim->vm_counts);
	free(sim->task_moves);
	free(sim->queue.events);
}

struct sim_result sim_run(const struct sim_trace *trace, const struct sim_world *world,
			  const struct gcl_place_policy *policy,
			  const struct gcl_place_settings *settings, uint64_t seed, FILE *log)
{
	struct sim sim = {.trace = trace,
			  .world = world,
			  .policy = policy,
			  .settings = settings,
			  .log = log,
			  .seed = seed};
	struct sim_event event;

	sim.tasks = sim_alloc(trace->count, sizeof *sim.tasks);
	sim.vm_counts = sim_alloc(trace->vms, sizeof *sim.vm_counts);
	sim.task_moves = sim_alloc(trace->count, sizeof *sim.task_moves);
	devices_make(&sim);
	hosts_make(&sim);
	events_make(&sim);
	while (sim.done < trace->count && sim_queue_take(&sim.queue, &event) &&
	       event.at <= SIM_END) {
		sim.now = event.at;
		happen(&sim, &event);
	}
	sim_result_sum(&sim);
	fini(&sim);
	return sim.result;
}
