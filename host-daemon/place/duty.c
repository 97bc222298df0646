// SPDX-License-Identifier: MIT
/*
 * Moves that are no question of gain: out of a lost place, out of one that is drained, and what the
 * operator says. They count as moves, but are not kept from by the number of these.
 */
#include "base/cleanup.h"
#include "plan.h"

/* Home if it is usable and faster; else what the policy chooses. */
static uint32_t choose(struct gcl_place_plan *plan, uint32_t index)
{
	const struct gcl_place_task *task = &plan->view->tasks[index];
	uint32_t to = plan->policy->choose(plan, index, task->memory);
	struct gcl_cost_time home, there;

	if (task->where == task->home || !plan->left[task->home].usable ||
	    !gcl_plan_home_takes(plan, task, 0.))
		return to;
	if (to == GCL_PLACE_NONE)
		return task->home;
	gcl_cost_time(plan, task, task->home, &home);
	gcl_cost_time(plan, task, to, &there);
	return home.total <= there.total ? task->home : to;
}

static bool leave(struct gcl_place_plan *plan, uint32_t index, bool lost)
{
	const struct gcl_place_task *task = &plan->view->tasks[index];
	struct gcl_place_decision decision = {0};

	if (!gcl_place_goes(gcl_plan_held(plan, index)))
		return true;
	decision.to = choose(plan, index);
	if (decision.to == GCL_PLACE_NONE)
		return true;
	decision.why = lost ? GCL_PLACE_GO_LOST : GCL_PLACE_GO_DRAIN;
	gcl_plan_figures(plan, index, task->memory, &decision);
	return gcl_plan_add(plan, &decision);
}

void gcl_plan_duty(struct gcl_place_plan *plan)
{
	const struct gcl_place_view *view = plan->view;

	if (!plan->policy->choose)
		return;
	/* Who has nowhere to run comes first, and doesn't wait until other moves are done. */
	for (uint32_t i = 0; i < view->task_count; i++) {
		uint32_t where = view->tasks[i].where;

		if (plan->marks[i] == GCL_PLAN_FREE && view->places[where].lost &&
		    !leave(plan, i, true))
			return;
	}
	for (uint32_t i = 0; i < view->task_count && plan->slots; i++) {
		const struct gcl_place *place;

		if (plan->marks[i] != GCL_PLAN_FREE)
			continue;
		place = &view->places[view->tasks[i].where];
		if (place->draining && !place->lost && !leave(plan, i, false))
			return;
	}
}

void gcl_plan_order(struct gcl_place_plan *plan, const struct gcl_place_event *event)
{
	const struct gcl_place_task *task = &plan->view->tasks[event->task];
	const struct gcl_place *to = &plan->view->places[event->to];
	struct gcl_place_decision decision = {.to = event->to, .why = GCL_PLACE_GO_ORDER};

	plan->refused = true;
	if (plan->marks[event->task] == GCL_PLAN_ODD || event->to == task->where)
		return;
	if (task->hold != GCL_PLACE_FREE && task->hold != GCL_PLACE_PINNED)
		return;
	if (plan->view->places[task->where].lost && !task->kept)
		return;
	if (!plan->left[event->to].sane || to->lost ||
	    !gcl_plan_takes(plan, event->to, task, task->memory))
		return;
	plan->refused = false;
	gcl_plan_figures(plan, event->task, task->memory, &decision);
	gcl_plan_add(plan, &decision);
}
