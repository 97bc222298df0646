// SPDX-License-Identifier: MIT
#include "plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "check.h"

/* Tried with tests/sim; ARCHITECTURE.md, "Placement", has what they lead to. */
const struct gcl_place_settings gcl_place_settings = {
	.moves_at_once = 4,
	.stay_min = 30.,
	.span = 600.,
	.moves_in_span = 4,
	.go_demand = 1.1,
	.go_ratio = 1.2,
	.flee_ratio = 2.,
	.go_margin = 1.5,
	.back_demand = 0.8,
	.back_idle = 0.05,
	.back_ratio = 1.,
	.back_worth = 0.02,
	.back_reserve = 0.1,
	.horizon = 600.,
	.stale = 15.,
};

/* ------------------------------------------------------------ memory of its own */

int gcl_place_plan_create(uint32_t tasks, uint32_t places, uint32_t vms,
			  struct gcl_place_plan **out)
{
	struct gcl_place_plan *plan;

	if (tasks > GCL_PLACE_TASKS_MAX || vms > GCL_PLACE_TASKS_MAX ||
	    places > GCL_PLACE_PLACES_MAX)
		return -E2BIG;
	plan = calloc(1, sizeof *plan);
	if (!plan)
		return -ENOMEM;
	plan->left = calloc(places + 1, sizeof *plan->left);
	plan->targets = calloc(places + 1, sizeof *plan->targets);
	plan->marks = calloc(tasks + 1, sizeof *plan->marks);
	plan->held = calloc(vms + 1, sizeof *plan->held);
	plan->tasks_max = tasks;
	plan->places_max = places;
	plan->vm_count = vms;
	if (!plan->left || !plan->targets || !plan->marks || !plan->held) {
		gcl_place_plan_destroy(plan);
		return -ENOMEM;
	}
	*out = plan;
	return 0;
}

void gcl_place_plan_destroy(struct gcl_place_plan *plan)
{
	if (!plan)
		return;
	free(plan->left);
	free(plan->targets);
	free(plan->marks);
	free(plan->held);
	free(plan);
}

/* ------------------------------------------------------------ what the view says */

static bool usable(const struct gcl_place_view *view, const struct gcl_place *place)
{
	return !place->lost && !place->draining && view->now >= place->avoid_until &&
	       (!place->remote || place->age <= view->settings->stale);
}

static void places_read(struct gcl_place_plan *plan)
{
	const struct gcl_place_view *view = plan->view;

	plan->target_count = 0;
	for (uint32_t i = 0; i < view->place_count; i++) {
		const struct gcl_place *place = &view->places[i];
		bool sane = gcl_place_sane(place);

		plan->left[i] = (struct gcl_place_left){
			.demand = sane ? place->demand : 0.,
			.free = sane ? place->free : 0,
			.moves = sane ? place->moves : 0,
			.can = place->can,
			.sane = sane,
			.usable = sane && usable(view, place),
		};
		if (plan->left[i].usable)
			plan->targets[plan->target_count++] = i;
	}
}

static void arrives(struct gcl_place_plan *plan, const struct gcl_place_task *task, uint32_t place,
		    uint64_t bytes)
{
	struct gcl_place_left *left = &plan->left[place];

	left->demand += gcl_cost_use(plan, task, place);
	left->free -= GCL_MIN(bytes, left->free);
}

static void leaves(struct gcl_place_plan *plan, const struct gcl_place_task *task)
{
	struct gcl_place_left *left = &plan->left[task->where];

	left->demand = GCL_MAX(left->demand - gcl_cost_use(plan, task, task->where), 0.);
}

/* Of places of this host numbers that can't be are an error, and nothing rests on them. */
static bool believable(const struct gcl_place_plan *plan, const struct gcl_place_task *task)
{
	const struct gcl_place_view *view = plan->view;

	if (!gcl_place_task_sane(view, task, plan->vm_count))
		return false;
	return plan->left[task->home].sane &&
	       (plan->left[task->where].sane || view->places[task->where].remote);
}

/* Whoever waits there knows how often it is wanted, whatever it says. */
static void waits(struct gcl_place_plan *plan, const struct gcl_place_task *task)
{
	struct gcl_place_left *left = &plan->left[task->where];
	struct gcl_cost_time time;

	gcl_cost_time(plan, task, task->where, &time);
	if (time.kernel > 0.)
		left->demand = GCL_MAX(left->demand, GCL_MIN(1. + task->waited / time.kernel,
							     GCL_PLACE_DEMAND_MAX));
}

/* What a server announced is old: tasks of this host that came since aren't in it. */
static void tasks_read(struct gcl_place_plan *plan)
{
	const struct gcl_place_view *view = plan->view;

	for (uint32_t i = 0; i < view->task_count; i++) {
		const struct gcl_place_task *task = &view->tasks[i];
		const struct gcl_place *place;

		plan->marks[i] = believable(plan, task) ? GCL_PLAN_FREE : GCL_PLAN_ODD;
		if (plan->marks[i] == GCL_PLAN_ODD)
			continue;
		place = &view->places[task->where];
		if (task->hold == GCL_PLACE_MOVING) {
			/* Memory here is counted as promised by who fills the view. */
			arrives(plan, task, task->to,
				view->places[task->to].remote ? task->memory : 0);
			leaves(plan, task);
		} else if (plan->left[task->where].sane && place->remote &&
			   task->since > view->now - place->age) {
			arrives(plan, task, task->where, task->memory);
		}
	}
	for (uint32_t i = 0; i < view->task_count; i++) {
		if (plan->marks[i] == GCL_PLAN_FREE && view->places[view->tasks[i].where].remote)
			waits(plan, &view->tasks[i]);
	}
}

void gcl_plan_reset(struct gcl_place_plan *plan)
{
	unsigned most = GCL_MIN(plan->view->settings->moves_at_once, GCL_PLACE_DECISIONS_MAX);

	plan->count = 0;
	plan->refused = false;
	plan->slots = most > plan->view->moving ? most - plan->view->moving : 0;
	plan->draw = plan->view->draw;
	places_read(plan);
	tasks_read(plan);
}

/* ------------------------------------------------------------ what policies ask */

enum gcl_place_why gcl_plan_held(const struct gcl_place_plan *plan, uint32_t task)
{
	const struct gcl_place_task *held = &plan->view->tasks[task];

	if (plan->marks[task] == GCL_PLAN_ODD)
		return GCL_PLACE_STAY_ODD;
	if (plan->marks[task] == GCL_PLAN_TAKEN || held->hold != GCL_PLACE_FREE)
		return GCL_PLACE_STAY_HELD;
	if (plan->view->places[held->where].lost && !held->kept)
		return GCL_PLACE_STAY_GONE;
	return GCL_PLACE_GO_WAITING;
}

unsigned gcl_plan_moves(const struct gcl_place_view *view, const struct gcl_place_task *task)
{
	unsigned count = 0;

	for (unsigned i = 0; i < GCL_PLACE_HISTORY; i++)
		count += task->moved[i] > 0. && task->moved[i] >= view->now - view->settings->span;
	return count;
}

bool gcl_plan_home_takes(const struct gcl_place_plan *plan, const struct gcl_place_task *task,
			 double reserve)
{
	uint64_t kept = (uint64_t)((double)plan->view->places[task->home].memory * reserve);

	/* Neither is more than GCL_PLACE_BYTES_MAX. */
	return gcl_plan_takes(plan, task->home, task, task->memory + kept);
}

void gcl_plan_figures(const struct gcl_place_plan *plan, uint32_t index, uint64_t needs,
		      struct gcl_place_decision *decision)
{
	const struct gcl_place_view *view = plan->view;
	const struct gcl_place_task *task = &view->tasks[index];
	struct gcl_place_figures *figures = &decision->figures;
	struct gcl_cost_time here, there;

	decision->task = index;
	decision->from = task->where;
	gcl_cost_time(plan, task, task->where, &here);
	figures->here = here.total;
	figures->waiting = here.waiting;
	figures->demand = plan->left[task->where].demand;
	figures->horizon = gcl_cost_horizon(view, task);
	figures->memory = task->memory;
	figures->needs = needs;
	figures->moves = gcl_plan_moves(view, task);
	if (decision->to == GCL_PLACE_NONE)
		return;
	gcl_cost_time(plan, task, decision->to, &there);
	figures->there = there.total;
	figures->link = there.link;
	figures->demand_to = plan->left[decision->to].demand;
	figures->free_to = plan->left[decision->to].free;
	gcl_cost_move(plan, task, decision->to, figures);
	figures->saved = here.total > 0. ? figures->horizon * (1. - there.total / here.total) : 0.;
	figures->score =
		(figures->horizon * gcl_cost_gain(plan, task, decision->to, &here, &there) -
		 figures->lost) /
		(figures->copying + figures->pause + GCL_COST_PAUSE);
}

bool gcl_plan_add(struct gcl_place_plan *plan, const struct gcl_place_decision *decision)
{
	const struct gcl_place_task *task = &plan->view->tasks[decision->task];

	if (plan->count == GCL_PLACE_DECISIONS_MAX)
		return false;
	plan->decisions[plan->count++] = *decision;
	plan->marks[decision->task] = GCL_PLAN_TAKEN;
	plan->left[decision->from].moves++;
	plan->left[decision->to].moves++;
	arrives(plan, task, decision->to, decision->figures.needs);
	leaves(plan, task);
	if (plan->slots)
		plan->slots--;
	return true;
}

uint32_t gcl_plan_fastest(struct gcl_place_plan *plan, uint32_t index, uint64_t needs)
{
	const struct gcl_place_task *task = &plan->view->tasks[index];
	uint32_t best = GCL_PLACE_NONE;
	double least = 0.;

	for (uint32_t i = 0; i < plan->target_count; i++) {
		uint32_t to = plan->targets[i];
		struct gcl_cost_time time;

		if (to == task->where || to == task->home || !gcl_plan_takes(plan, to, task, needs))
			continue;
		gcl_cost_time(plan, task, to, &time);
		if (best == GCL_PLACE_NONE || time.total < least) {
			best = to;
			least = time.total;
		}
	}
	return best;
}

void gcl_plan_best_add(struct gcl_plan_best *best, uint32_t task, double score)
{
	unsigned i;

	if (best->count == GCL_PLAN_BEST && score <= best->scores[best->count - 1])
		return;
	if (best->count < GCL_PLAN_BEST)
		best->count++;
	for (i = best->count - 1; i > 0 && best->scores[i - 1] < score; i--) {
		best->scores[i] = best->scores[i - 1];
		best->tasks[i] = best->tasks[i - 1];
	}
	best->scores[i] = score;
	best->tasks[i] = task;
}
