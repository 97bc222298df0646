// SPDX-License-Identifier: MIT
#include "place.h"

#include <errno.h>
#include <string.h>

#include "check.h"
#include "plan.h"

static const struct gcl_place_policy *const policies[] = {
	&gcl_place_stay, &gcl_place_memory, &gcl_place_balance,
	&gcl_place_two,	 &gcl_place_greedy, NULL,
};

const struct gcl_place_policy *const *gcl_place_policies(void)
{
	return policies;
}

const struct gcl_place_policy *gcl_place_policy_find(const char *name)
{
	for (unsigned i = 0; policies[i]; i++) {
		if (strcmp(policies[i]->name, name) == 0)
			return policies[i];
	}
	return NULL;
}

static int view_check(const struct gcl_place_plan *plan, const struct gcl_place_view *view)
{
	if (view->task_count > plan->tasks_max || view->place_count > plan->places_max)
		return -E2BIG;
	return gcl_place_settings_sane(view) ? 0 : -EINVAL;
}

static bool event_sane(const struct gcl_place_view *view, const struct gcl_place_event *event)
{
	switch (event->kind) {
	case GCL_PLACE_TICK:
	case GCL_PLACE_LOST:
	case GCL_PLACE_DRAIN:
		return true;
	case GCL_PLACE_ALLOCATION:
		return event->task < view->task_count && event->bytes > 0;
	case GCL_PLACE_ORDER:
		return event->task < view->task_count && event->to < view->place_count;
	}
	return false;
}

static int begin(const struct gcl_place_policy *policy, const struct gcl_place_view *view,
		 struct gcl_place_plan *plan)
{
	int error = view_check(plan, view);

	plan->count = 0;
	plan->refused = false;
	if (error)
		return error;
	plan->policy = policy;
	plan->view = view;
	gcl_plan_reset(plan);
	return 0;
}

static void allocation(struct gcl_place_plan *plan, const struct gcl_place_event *event)
{
	/* More than any device has, or a task whose numbers can't be: nothing helps. */
	plan->refused = true;
	if (event->bytes > GCL_PLACE_BYTES_MAX || plan->marks[event->task] == GCL_PLAN_ODD ||
	    !plan->policy->allocation)
		return;
	plan->refused = false;
	plan->policy->allocation(plan, event);
}

int gcl_place_decide(const struct gcl_place_policy *policy, const struct gcl_place_view *view,
		     const struct gcl_place_event *event, struct gcl_place_plan *plan)
{
	int error = begin(policy, view, plan);

	if (error)
		return error;
	if (!event_sane(view, event))
		return -EINVAL;
	switch (event->kind) {
	case GCL_PLACE_ALLOCATION:
		allocation(plan, event);
		break;
	case GCL_PLACE_ORDER:
		gcl_plan_order(plan, event);
		break;
	case GCL_PLACE_LOST:
	case GCL_PLACE_DRAIN:
		gcl_plan_duty(plan);
		break;
	case GCL_PLACE_TICK:
		gcl_plan_duty(plan);
		if (policy->tick)
			policy->tick(plan);
		break;
	}
	return 0;
}

int gcl_place_consider(const struct gcl_place_policy *policy, const struct gcl_place_view *view,
		       uint32_t task, struct gcl_place_plan *plan,
		       struct gcl_place_decision *decision)
{
	int error = begin(policy, view, plan);

	if (error)
		return error;
	if (task >= view->task_count)
		return -EINVAL;
	*decision = (struct gcl_place_decision){
		.task = task,
		.from = view->tasks[task].where,
		.to = GCL_PLACE_NONE,
		.why = gcl_plan_held(plan, task),
	};
	if (gcl_place_goes(decision->why)) {
		decision->why = GCL_PLACE_STAY_CALM;
		if (policy->judge)
			policy->judge(plan, task, decision);
		if (gcl_place_goes(decision->why) && !plan->slots)
			decision->why = GCL_PLACE_STAY_SLOTS;
	}
	return 0;
}

void gcl_place_moved(struct gcl_place_task *task, uint32_t place, double now)
{
	unsigned oldest = 0;

	for (unsigned i = 1; i < GCL_PLACE_HISTORY; i++) {
		if (task->moved[i] < task->moved[oldest])
			oldest = i;
	}
	task->moved[oldest] = now;
	task->where = place;
	task->since = now;
}
