// SPDX-License-Identifier: MIT
/*
 * Going home when the pressure is gone.
 *
 * Home must have room for the task and a reserve besides, and no more demand with it than is well
 * below what sends tasks away; the task must have been away for a while; and of the moves that it
 * may make in a span the last is not used for coming: one is left for going again. So a task that
 * came home and is sent away again stays there.
 */
#include "base/cleanup.h"
#include "plan.h"

static enum gcl_place_why room(const struct gcl_place_plan *plan, const struct gcl_place_task *task)
{
	const struct gcl_place_settings *set = plan->view->settings;
	double demand = plan->left[task->home].demand;

	if (!plan->left[task->home].usable)
		return GCL_PLACE_STAY_NOWHERE;
	if (demand > set->back_idle &&
	    demand + gcl_cost_use(plan, task, task->home) > set->back_demand)
		return GCL_PLACE_STAY_AWAY;
	if (!gcl_plan_home_takes(plan, task, set->back_reserve))
		return GCL_PLACE_STAY_AWAY;
	if (plan->view->now - task->since < set->stay_min)
		return GCL_PLACE_STAY_NEW;
	if (gcl_plan_moves(plan->view, task) + 2 > set->moves_in_span)
		return GCL_PLACE_STAY_MOVED;
	return GCL_PLACE_GO_HOME;
}

void gcl_plan_home_judge(struct gcl_place_plan *plan, uint32_t index,
			 struct gcl_place_decision *decision)
{
	const struct gcl_place_settings *set = plan->view->settings;
	const struct gcl_place_task *task = &plan->view->tasks[index];
	const struct gcl_place_figures *figures = &decision->figures;

	decision->to = task->home;
	gcl_plan_figures(plan, index, task->memory, decision);
	decision->why = gcl_plan_held(plan, index);
	if (!gcl_place_goes(decision->why))
		return;
	decision->why = room(plan, task);
	if (!gcl_place_goes(decision->why))
		return;
	if (figures->here < figures->there * set->back_ratio)
		decision->why = GCL_PLACE_STAY_NO_FASTER;
	else if (figures->saved + set->back_worth * figures->horizon <
		 set->go_margin * figures->lost)
		decision->why = GCL_PLACE_STAY_COST;
}

static bool away(const struct gcl_place_plan *plan, uint32_t index)
{
	const struct gcl_place_task *task = &plan->view->tasks[index];

	return plan->marks[index] == GCL_PLAN_FREE && task->where != task->home &&
	       !plan->view->places[task->where].lost;
}

void gcl_plan_home(struct gcl_place_plan *plan)
{
	struct gcl_plan_best best = {.count = 0};

	for (uint32_t i = 0; i < plan->view->task_count && plan->slots; i++) {
		struct gcl_place_decision decision = {0};

		if (!away(plan, i) || room(plan, &plan->view->tasks[i]) != GCL_PLACE_GO_HOME)
			continue;
		gcl_plan_home_judge(plan, i, &decision);
		if (gcl_place_goes(decision.why))
			gcl_plan_best_add(&best, i, decision.figures.score);
	}
	for (unsigned i = 0; i < best.count && plan->slots; i++) {
		struct gcl_place_decision decision = {0};

		gcl_plan_home_judge(plan, best.tasks[i], &decision);
		if (gcl_place_goes(decision.why) && !gcl_plan_add(plan, &decision))
			return;
	}
}
