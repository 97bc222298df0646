// SPDX-License-Identifier: MIT
/*
 * greedy: whoever is in a busy place goes to the least loaded one, whatever that costs, and as
 * often as it likes. A bad one, to compare with: it is what a scheduler does that knows of load
 * alone.
 */
#include "plan.h"

static uint32_t least_loaded(struct gcl_place_plan *plan, uint32_t index, uint64_t needs)
{
	const struct gcl_place_task *task = &plan->view->tasks[index];
	uint32_t best = GCL_PLACE_NONE;

	for (uint32_t i = 0; i < plan->target_count; i++) {
		uint32_t to = plan->targets[i];

		if (to != task->where && gcl_plan_takes(plan, to, task, needs) &&
		    (best == GCL_PLACE_NONE || plan->left[to].demand < plan->left[best].demand))
			best = to;
	}
	return best;
}

static void tick(struct gcl_place_plan *plan)
{
	const struct gcl_place_view *view = plan->view;

	for (uint32_t i = 0; i < view->task_count && plan->slots; i++) {
		const struct gcl_place_task *task = &view->tasks[i];
		struct gcl_place_decision decision = {.why = GCL_PLACE_GO_WAITING};

		if (!gcl_place_goes(gcl_plan_held(plan, i)) || plan->left[task->where].demand <= 1.)
			continue;
		decision.to = least_loaded(plan, i, task->memory);
		if (decision.to == GCL_PLACE_NONE ||
		    plan->left[decision.to].demand >= plan->left[task->where].demand)
			continue;
		if (decision.to == task->home)
			decision.why = GCL_PLACE_GO_HOME;
		gcl_plan_figures(plan, i, task->memory, &decision);
		if (!gcl_plan_add(plan, &decision))
			return;
	}
}

const struct gcl_place_policy gcl_place_greedy = {
	.name = "greedy",
	.about = "from busy places to the least loaded one, whatever it costs: a bad one",
	.tick = tick,
	.allocation = gcl_memory_allocation,
	.choose = least_loaded,
};
