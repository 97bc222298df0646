// SPDX-License-Identifier: MIT
/*
 * The life of a task: it comes, asks for memory, runs, asks for more, ends; or fails, and is begun
 * again.
 */
#include "sim.h"

static void active_add(struct sim *sim, uint32_t index)
{
	struct sim_task *task = &sim->tasks[index];
	struct sim_host *host = &sim->hosts[task->spec->host];

	host->active = sim_grow(host->active, host->active_count, &host->active_room,
				sizeof *host->active);
	task->active = host->active_count;
	host->active[host->active_count++] = index;
}

static void active_remove(struct sim *sim, uint32_t index)
{
	struct sim_task *task = &sim->tasks[index];
	struct sim_host *host = &sim->hosts[task->spec->host];
	uint32_t last = host->active[--host->active_count];

	host->active[task->active] = last;
	sim->tasks[last].active = task->active;
}

void sim_task_arrive(struct sim *sim, uint32_t index)
{
	struct sim_task *task = &sim->tasks[index];
	const struct sim_spec *spec = task->spec;

	task->device = spec->host;
	task->done = 0.;
	task->grown = false;
	task->measured = 0.;
	task->slot = task->move = SIM_NONE;
	task->seen = (struct gcl_place_task){
		.id = index,
		.vm = spec->vm,
		.weight = 1.,
		.home = 0,
		.where = 0,
		.kept = spec->kept,
		.started = sim->now,
		.since = sim->now,
		.dirty = spec->dirty,
		.build = spec->build,
		.kernel = spec->kernel,
		.think = spec->think,
		.trips = spec->trips,
		.carried = spec->carried,
	};
	active_add(sim, index);
	sim_task_ask(sim, index, spec->memory);
}

void sim_task_proceed(struct sim *sim, uint32_t index)
{
	struct sim_task *task = &sim->tasks[index];
	struct sim_device *device = &sim->devices[task->device];

	if (task->asks) {
		if (device->free < task->asks)
			return;
		device->free -= task->asks;
		task->held += task->asks;
		task->asks = 0;
	}
	task->state = SIM_RUNS;
	sim_device_add(sim, task->device, index);
}

void sim_task_ask(struct sim *sim, uint32_t index, uint64_t bytes)
{
	struct sim_task *task = &sim->tasks[index];

	sim_device_remove(sim, index);
	task->asks = bytes;
	task->state = SIM_BLOCKED;
	sim_task_proceed(sim, index);
	/* One that is being moved waits for the end of that. */
	if (task->asks && task->move == SIM_NONE && !sim_host_allocation(sim, index))
		sim_task_fail(sim, index);
}

void sim_task_freed(struct sim *sim, uint32_t device)
{
	uint32_t home = device < sim->world->hosts ? device : SIM_NONE;

	for (uint32_t i = 0; home != SIM_NONE && i < sim->hosts[home].active_count; i++) {
		uint32_t index = sim->hosts[home].active[i];
		const struct sim_task *task = &sim->tasks[index];

		if (task->state == SIM_BLOCKED && task->device == device && task->move == SIM_NONE)
			sim_task_proceed(sim, index);
	}
}

static void let_go(struct sim *sim, uint32_t index)
{
	struct sim_task *task = &sim->tasks[index];

	sim_move_cancel(sim, index);
	sim_device_remove(sim, index);
	sim->devices[task->device].free += task->held;
	task->held = 0;
	task->asks = 0;
	active_remove(sim, index);
}

void sim_task_end(struct sim *sim, uint32_t index)
{
	struct sim_task *task = &sim->tasks[index];

	let_go(sim, index);
	task->state = SIM_DONE;
	task->end = sim->now;
	sim->done++;
	sim_task_freed(sim, task->device);
}

void sim_task_fail(struct sim *sim, uint32_t index)
{
	struct sim_task *task = &sim->tasks[index];

	let_go(sim, index);
	task->state = SIM_AWAITED;
	sim->result.failures++;
	/* Not all at the same moment. */
	sim_queue_add(&sim->queue, sim->now + SIM_RETRY * (1. + (index % 16) / 16.), SIM_ARRIVE,
		      index, 0);
	sim_task_freed(sim, task->device);
}
