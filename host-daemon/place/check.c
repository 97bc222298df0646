// SPDX-License-Identifier: MIT
#include "check.h"

#define SECONDS_MAX 1e5
#define MOMENT_MAX  1e12
#define BYTES_S_MAX 1e13

static bool within(double x, double least, double most)
{
	return x >= least && x <= most;
}

bool gcl_place_sane(const struct gcl_place *place)
{
	return place->memory <= GCL_PLACE_BYTES_MAX && place->free <= place->memory &&
	       within(place->demand, 0., GCL_PLACE_DEMAND_MAX) && within(place->speed, 1e-3, 1e3) &&
	       within(place->speed_seen, 0., 1e6) && within(place->rtt, 0., 60.) &&
	       within(place->bandwidth, 1e3, BYTES_S_MAX) && within(place->age, 0., MOMENT_MAX) &&
	       within(place->avoid_until, 0., MOMENT_MAX) && place->moves <= GCL_PLACE_TASKS_MAX;
}

static bool where_sane(const struct gcl_place_view *view, const struct gcl_place_task *task)
{
	if (task->home >= view->place_count || task->where >= view->place_count)
		return false;
	if (task->hold == GCL_PLACE_MOVING && task->to >= view->place_count)
		return false;
	return !view->places[task->home].remote && (unsigned)task->hold < GCL_PLACE_HOLDS;
}

static bool moments_sane(const struct gcl_place_view *view, const struct gcl_place_task *task)
{
	for (unsigned i = 0; i < GCL_PLACE_HISTORY; i++) {
		if (!within(task->moved[i], 0., view->now))
			return false;
	}
	return within(task->started, 0., view->now) && within(task->since, 0., view->now);
}

static bool commands_sane(const struct gcl_place_task *task)
{
	return within(task->kernel, 0., SECONDS_MAX) &&
	       within(task->kernel_there, 0., SECONDS_MAX) &&
	       within(task->think, 0., SECONDS_MAX) && within(task->waited, 0., SECONDS_MAX) &&
	       within(task->trips, 0., 1e6) && within(task->carried, 0., 1e15);
}

bool gcl_place_task_sane(const struct gcl_place_view *view, const struct gcl_place_task *task,
			 uint32_t vms)
{
	return task->vm < vms && within(task->weight, 1e-3, 1e6) && where_sane(view, task) &&
	       moments_sane(view, task) && commands_sane(task) &&
	       task->memory <= GCL_PLACE_BYTES_MAX && task->bytes <= task->memory &&
	       task->bytes_home <= task->memory && within(task->dirty, 0., BYTES_S_MAX) &&
	       within(task->build, 0., SECONDS_MAX);
}

bool gcl_place_settings_sane(const struct gcl_place_view *view)
{
	const struct gcl_place_settings *set = view->settings;

	return within(view->now, 0., MOMENT_MAX) && within(view->uplink, 1e3, BYTES_S_MAX) &&
	       set->moves_in_span <= GCL_PLACE_HISTORY && within(set->stay_min, 0., MOMENT_MAX) &&
	       within(set->span, 0., MOMENT_MAX) && within(set->go_demand, 0., 1e4) &&
	       within(set->go_ratio, 0., 1e4) && within(set->flee_ratio, 0., 1e4) &&
	       within(set->go_margin, 0., 1e4) && within(set->back_demand, 0., 1e4) &&
	       within(set->back_idle, 0., 1e4) && within(set->back_ratio, 0., 1e4) &&
	       within(set->back_worth, 0., 1.) && within(set->back_reserve, 0., 1.) &&
	       within(set->horizon, 0., MOMENT_MAX) && within(set->stale, 0., MOMENT_MAX);
}
