// SPDX-License-Identifier: MIT
/*
 * A device and the tasks on it.
 *
 * VMs share it max-min fairly, and the tasks of a VM share its part: who wants less than its part
 * gets that, and what is left goes to the others.
 */
#include <math.h>

#include "base/cleanup.h"
#include "cost.h"
#include "sim.h"

/* A part of a command; what is left of one that is done by the clock. */
#define NOTHING 1e-6

static double kernel_on(const struct sim_device *device, const struct sim_spec *spec)
{
	return spec->kernel / device->speed;
}

/* s for a command that waits for nobody. */
static double alone_on(const struct sim_device *device, const struct sim_spec *spec)
{
	double alone = spec->think + kernel_on(device, spec);

	if (device->remote)
		alone += spec->trips * device->rtt + spec->carried / device->bandwidth;
	return alone;
}

static double use_on(const struct sim_device *device, const struct sim_spec *spec)
{
	return kernel_on(device, spec) / alone_on(device, spec);
}

/* The next of what a task does by itself: it grows, or ends. */
static double goal(const struct sim_task *task)
{
	const struct sim_spec *spec = task->spec;

	return spec->grow && !task->grown ? spec->commands * spec->grow_at : spec->commands;
}

static void settle(struct sim *sim, struct sim_device *device)
{
	double span = sim->now - device->settled;

	for (uint32_t i = 0; i < device->count; i++) {
		struct sim_task *task = &sim->tasks[device->tasks[i]];

		task->done = GCL_MIN(task->done + task->rate * span, goal(task));
	}
	device->settled = sim->now;
}

/* The part of the device for each unit of weight, when all that want less have what they want. */
static double level_find(const struct sim *sim, const struct sim_device *device)
{
	double level = 0.;

	for (bool more = true; more;) {
		double left = 1., weights = 0., next;

		for (uint32_t i = 0; i < device->count; i++) {
			const struct sim_spec *spec = sim->tasks[device->tasks[i]].spec;
			double weight = 1. / sim->vm_counts[spec->vm];
			double use = use_on(device, spec);

			if (use <= level * weight)
				left -= use;
			else
				weights += weight;
		}
		next = weights > 0. ? left / weights : INFINITY;
		more = next > level * (1. + 1e-12) && next < INFINITY;
		level = next;
	}
	return level;
}

static void vms_count(struct sim *sim, const struct sim_device *device, uint32_t add)
{
	for (uint32_t i = 0; i < device->count; i++) {
		uint32_t *count = &sim->vm_counts[sim->tasks[device->tasks[i]].spec->vm];

		*count = add ? *count + add : 0;
	}
}

static void rates_set(struct sim *sim, struct sim_device *device)
{
	double level;

	device->demand = 0.;
	for (uint32_t i = 0; i < device->count; i++)
		device->demand += use_on(device, sim->tasks[device->tasks[i]].spec);
	vms_count(sim, device, 1);
	level = device->demand > 1. ? level_find(sim, device) : INFINITY;
	for (uint32_t i = 0; i < device->count; i++) {
		struct sim_task *task = &sim->tasks[device->tasks[i]];
		double alone = alone_on(device, task->spec), time = alone;
		double part = level / sim->vm_counts[task->spec->vm];

		if (part < use_on(device, task->spec))
			time = kernel_on(device, task->spec) / part;
		task->waited = time - alone;
		task->rate = 1. / time;
		if (task->move != SIM_NONE)
			task->rate *= 1. - GCL_COST_COPYING;
	}
	vms_count(sim, device, 0);
}

void sim_device_share(struct sim *sim, uint32_t index)
{
	struct sim_device *device = &sim->devices[index];
	double next = INFINITY;

	settle(sim, device);
	rates_set(sim, device);
	device->version++;
	for (uint32_t i = 0; i < device->count; i++) {
		const struct sim_task *task = &sim->tasks[device->tasks[i]];
		double left = GCL_MAX(goal(task) - task->done, 0.);

		next = GCL_MIN(next, left / task->rate);
	}
	if (next < INFINITY)
		sim_queue_add(&sim->queue, sim->now + next, SIM_DEVICE, index, device->version);
}

void sim_device_add(struct sim *sim, uint32_t index, uint32_t task)
{
	struct sim_device *device = &sim->devices[index];

	settle(sim, device);
	device->tasks =
		sim_grow(device->tasks, device->count, &device->room, sizeof *device->tasks);
	sim->tasks[task].slot = device->count;
	device->tasks[device->count++] = task;
	sim_device_share(sim, index);
}

void sim_device_remove(struct sim *sim, uint32_t index)
{
	struct sim_task *task = &sim->tasks[index];
	struct sim_device *device = &sim->devices[task->device];
	uint32_t last;

	if (task->slot == SIM_NONE)
		return;
	settle(sim, device);
	last = device->tasks[--device->count];
	device->tasks[task->slot] = last;
	sim->tasks[last].slot = task->slot;
	task->slot = SIM_NONE;
	task->rate = 0.;
	sim_device_share(sim, task->device);
}

void sim_device_event(struct sim *sim, uint32_t index)
{
	struct sim_device *device = &sim->devices[index];

	settle(sim, device);
	for (uint32_t i = 0; i < device->count; i++) {
		uint32_t found = device->tasks[i];
		struct sim_task *task = &sim->tasks[found];

		if (goal(task) - task->done > NOTHING)
			continue;
		task->done = goal(task);
		if (task->spec->grow && !task->grown) {
			task->grown = true;
			sim_task_ask(sim, found, task->spec->grow);
		} else {
			sim_task_end(sim, found);
		}
		/* The list is another one now; what else is due comes with the next event. */
		return;
	}
	sim_device_share(sim, index);
}
