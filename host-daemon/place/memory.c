// SPDX-License-Identifier: MIT
/*
 * memory: an allocation that doesn't fit moves the task that frees most for least.
 *
 * Theory of operation. What a move loses is the cost of the move and what its commands will take
 * longer. Two ways are compared, and the one that loses less is taken: the task that asks goes, or
 * others make room: of all those that may, one after another, that which frees most of what is
 * missing for each second lost (the greedy way to fill a cover, which is never worse than the
 * logarithm of the best: Chvatal, A Greedy Heuristic for the Set-Covering Problem, 1979); those
 * that turn out not to be needed stay. Nobody is driven out by a VM that would then hold more, for
 * its weight, than theirs does (max-min fairness: Bertsekas and Gallager, Data Networks, 6.5.2): a
 * VM can't push all others out by allocating.
 *
 * The program waits meanwhile, so moves that are under way already don't stand in the way.
 */
#include "base/cleanup.h"
#include "plan.h"

#define VICTIMS_MAX 8

/* s; a move that loses nothing, or even gains, isn't worth infinitely much. */
#define LOSS_MIN 1e-3

struct victims {
	struct gcl_place_decision decisions[VICTIMS_MAX];
	unsigned count;
	double loss;
};

static double loss_of(const struct gcl_place_figures *figures)
{
	double slower = figures->here > 0. ? figures->there / figures->here - 1. : 0.;

	return GCL_MAX(figures->lost + figures->horizon * slower, LOSS_MIN);
}

/* Whether the task can leave, and where to. */
static bool candidate(struct gcl_place_plan *plan, uint32_t index, uint64_t needs,
		      enum gcl_place_why why, struct gcl_place_decision *decision)
{
	*decision = (struct gcl_place_decision){.why = why};
	if (!gcl_place_goes(gcl_plan_held(plan, index)))
		return false;
	decision->to = plan->policy->choose(plan, index, needs);
	if (decision->to == GCL_PLACE_NONE)
		return false;
	gcl_plan_figures(plan, index, needs, decision);
	return true;
}

static void held_count(struct gcl_place_plan *plan, uint32_t place)
{
	const struct gcl_place_view *view = plan->view;

	for (uint32_t i = 0; i < plan->vm_count; i++)
		plan->held[i] = 0.;
	for (uint32_t i = 0; i < view->task_count; i++) {
		const struct gcl_place_task *task = &view->tasks[i];

		if (plan->marks[i] != GCL_PLAN_ODD && task->where == place)
			plan->held[task->vm] += (double)task->memory / task->weight;
	}
}

/* Whether @index may be made to go for the asking task. */
static bool may_push(const struct gcl_place_plan *plan, const struct gcl_place_event *event,
		     uint32_t index)
{
	const struct gcl_place_task *asks = &plan->view->tasks[event->task];
	const struct gcl_place_task *task = &plan->view->tasks[index];

	if (index == event->task || plan->marks[index] != GCL_PLAN_FREE ||
	    task->where != asks->where || task->hold != GCL_PLACE_FREE || !task->memory)
		return false;
	if (gcl_plan_moves(plan->view, task) >= plan->view->settings->moves_in_span)
		return false;
	if (task->vm == asks->vm)
		return true;
	return !event->quota &&
	       plan->held[task->vm] > plan->held[asks->vm] + (double)event->bytes / asks->weight;
}

/* What of @missing a task frees for each second that it loses. */
static double worth(const struct gcl_place_decision *decision, uint64_t missing)
{
	return (double)GCL_MIN(decision->figures.memory, missing) / loss_of(&decision->figures);
}

static void best_find(struct gcl_place_plan *plan, const struct gcl_place_event *event,
		      uint64_t missing, struct gcl_plan_best *best)
{
	best->count = 0;
	for (uint32_t i = 0; i < plan->view->task_count; i++) {
		struct gcl_place_decision decision;

		if (may_push(plan, event, i) &&
		    candidate(plan, i, plan->view->tasks[i].memory, GCL_PLACE_GO_ROOM, &decision))
			gcl_plan_best_add(best, i, worth(&decision, missing));
	}
}

/* Takes out of @victims those without whom the others still free enough. */
static void victims_prune(struct victims *victims, uint64_t missing)
{
	uint64_t freed = 0;
	unsigned kept = 0;

	for (unsigned i = 0; i < victims->count; i++)
		freed += victims->decisions[i].figures.memory;
	victims->loss = 0.;
	for (unsigned i = 0; i < victims->count; i++) {
		uint64_t memory = victims->decisions[i].figures.memory;

		if (freed - memory >= missing) {
			freed -= memory;
			continue;
		}
		victims->loss += loss_of(&victims->decisions[i].figures);
		victims->decisions[kept++] = victims->decisions[i];
	}
	victims->count = kept;
}

/* Return: false: they can't free enough. The plan holds them afterwards, and must be reset. */
static bool victims_find(struct gcl_place_plan *plan, const struct gcl_place_event *event,
			 uint64_t missing, struct victims *victims)
{
	struct gcl_plan_best best;
	uint64_t left = missing;

	victims->count = 0;
	best_find(plan, event, missing, &best);
	while (left && victims->count < VICTIMS_MAX) {
		struct gcl_place_decision decision, chosen = {.to = GCL_PLACE_NONE};
		double most = 0.;

		for (unsigned i = 0; i < best.count; i++) {
			uint32_t task = best.tasks[i];

			if (candidate(plan, task, plan->view->tasks[task].memory, GCL_PLACE_GO_ROOM,
				      &decision) &&
			    worth(&decision, left) > most) {
				most = worth(&decision, left);
				chosen = decision;
			}
		}
		if (chosen.to == GCL_PLACE_NONE || !gcl_plan_add(plan, &chosen))
			return false;
		victims->decisions[victims->count++] = chosen;
		left -= GCL_MIN(left, chosen.figures.memory);
	}
	victims_prune(victims, missing);
	return !left;
}

void gcl_memory_allocation(struct gcl_place_plan *plan, const struct gcl_place_event *event)
{
	const struct gcl_place_task *asks = &plan->view->tasks[event->task];
	uint64_t room = plan->left[asks->where].free;
	uint64_t free = event->quota ? GCL_MIN(event->quota_left, room) : room;
	uint64_t missing = event->bytes - GCL_MIN(event->bytes, free);
	struct gcl_place_decision asking;
	struct victims victims;
	bool goes, others;

	if (!missing)
		return;
	held_count(plan, asks->where);
	goes = candidate(plan, event->task, asks->memory + event->bytes, GCL_PLACE_GO_ASKING,
			 &asking);
	others = victims_find(plan, event, missing, &victims);
	gcl_plan_reset(plan);
	if (goes && (!others || loss_of(&asking.figures) <= victims.loss)) {
		gcl_plan_add(plan, &asking);
		return;
	}
	plan->refused = !others;
	for (unsigned i = 0; others && i < victims.count; i++)
		gcl_plan_add(plan, &victims.decisions[i]);
}

static void judge(struct gcl_place_plan *plan, uint32_t index, struct gcl_place_decision *decision)
{
	const struct gcl_place_task *task = &plan->view->tasks[index];

	if (task->where != task->home)
		gcl_plan_home_judge(plan, index, decision);
	else
		gcl_plan_figures(plan, index, task->memory, decision);
}

const struct gcl_place_policy gcl_place_memory = {
	.name = "memory",
	.about = "allocations that don't fit move what frees most for least; waiting moves nothing",
	.tick = gcl_plan_home,
	.allocation = gcl_memory_allocation,
	.choose = gcl_plan_fastest,
	.judge = judge,
};
