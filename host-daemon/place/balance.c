// SPDX-License-Identifier: MIT
/*
 * balance: who waits for a busy device goes where its commands are faster, if that saves more than
 * the move costs; allocations as in memory.c.
 *
 * Theory of operation. A task goes when its place is busy, its commands would be faster there by
 * go_ratio, and it saves go_margin times what the move costs it. So nobody is moved to its own
 * disadvantage. One that is away may also go home so, though that is busy, if it is slower
 * by flee_ratio where it is. Which goes first is what all gain together: who keeps the
 * device busiest for the others, and has least to carry (score, of gcl_cost_gain()). After each
 * decision the others are judged again, with what it changed.
 *
 * two: the same, but a place is chosen from two that are drawn, the better of these. What servers
 * announce is old when it is read; hosts that all choose the best send all to the same one, which
 * is the best no longer. Two choices are nearly as good as all, and don't herd (Mitzenmacher, The
 * Power of Two Choices in Randomized Load Balancing, 2001, and How Useful Is Old Information?,
 * 2000).
 */
#include "base/cleanup.h"
#include "plan.h"

/* Draws before all places are looked at: when most are full. */
#define DRAWS_MAX 8

/* A server can call itself calm and be slow: whoever is there goes by what was measured. */
static bool calm(const struct gcl_place_plan *plan, const struct gcl_place_task *task)
{
	const struct gcl_place_settings *set = plan->view->settings;
	struct gcl_cost_time home, here;

	if (plan->left[task->where].demand > set->go_demand)
		return false;
	if (task->where == task->home)
		return true;
	gcl_cost_time(plan, task, task->where, &here);
	gcl_cost_time(plan, task, task->home, &home);
	return here.total < set->flee_ratio * home.alone;
}

static enum gcl_place_why may_go(const struct gcl_place_plan *plan, uint32_t index)
{
	const struct gcl_place_settings *set = plan->view->settings;
	const struct gcl_place_task *task = &plan->view->tasks[index];
	enum gcl_place_why why = gcl_plan_held(plan, index);
	unsigned moves;

	if (!gcl_place_goes(why))
		return why;
	/* Nobody would have it: see duty.c. */
	if (plan->view->places[task->where].lost)
		return GCL_PLACE_STAY_NOWHERE;
	if (calm(plan, task))
		return GCL_PLACE_STAY_CALM;
	moves = gcl_plan_moves(plan->view, task);
	if (moves && plan->view->now - task->since < set->stay_min)
		return GCL_PLACE_STAY_NEW;
	return moves < set->moves_in_span ? GCL_PLACE_GO_WAITING : GCL_PLACE_STAY_MOVED;
}

/* Whether a task that is away had better go home, though that is busy, than to @to. */
static bool flees(const struct gcl_place_plan *plan, const struct gcl_place_task *task, uint32_t to)
{
	const struct gcl_place_settings *set = plan->view->settings;
	struct gcl_cost_time home, time;

	if (task->where == task->home || !plan->left[task->home].usable ||
	    !gcl_plan_home_takes(plan, task, set->back_reserve) ||
	    gcl_plan_moves(plan->view, task) + 2 > set->moves_in_span)
		return false;
	gcl_cost_time(plan, task, task->home, &home);
	gcl_cost_time(plan, task, task->where, &time);
	if (time.total < set->flee_ratio * home.total)
		return false;
	if (to == GCL_PLACE_NONE)
		return true;
	gcl_cost_time(plan, task, to, &time);
	return home.total <= time.total;
}

static uint32_t choose(struct gcl_place_plan *plan, uint32_t index)
{
	const struct gcl_place_task *task = &plan->view->tasks[index];
	uint32_t to = plan->policy->choose(plan, index, task->memory);

	return flees(plan, task, to) ? task->home : to;
}

static void go_judge(struct gcl_place_plan *plan, uint32_t index,
		     struct gcl_place_decision *decision)
{
	const struct gcl_place_settings *set = plan->view->settings;
	const struct gcl_place_figures *figures = &decision->figures;
	uint64_t needs = plan->view->tasks[index].memory;

	decision->why = may_go(plan, index);
	decision->to = GCL_PLACE_NONE;
	if (gcl_place_goes(decision->why)) {
		decision->to = choose(plan, index);
		if (decision->to == GCL_PLACE_NONE)
			decision->why = GCL_PLACE_STAY_NOWHERE;
	}
	gcl_plan_figures(plan, index, needs, decision);
	if (!gcl_place_goes(decision->why))
		return;
	if (figures->here < set->go_ratio * figures->there)
		decision->why = GCL_PLACE_STAY_NO_FASTER;
	else if (figures->saved < set->go_margin * figures->lost || figures->score <= 0.)
		decision->why = GCL_PLACE_STAY_COST;
}

/* Who doesn't wait at home can gain nothing elsewhere. */
static bool may_gain(const struct gcl_place_plan *plan, uint32_t index)
{
	const struct gcl_place_task *task = &plan->view->tasks[index];

	return plan->marks[index] == GCL_PLAN_FREE &&
	       (task->waited > 0. || task->where != task->home) &&
	       gcl_place_goes(may_go(plan, index));
}

static void go(struct gcl_place_plan *plan)
{
	struct gcl_plan_best best = {.count = 0};
	struct gcl_place_decision decision = {0}, chosen;

	for (uint32_t i = 0; i < plan->view->task_count && plan->slots; i++) {
		if (!may_gain(plan, i))
			continue;
		go_judge(plan, i, &decision);
		if (gcl_place_goes(decision.why))
			gcl_plan_best_add(&best, i, decision.figures.score);
	}
	while (plan->slots) {
		chosen.to = GCL_PLACE_NONE;
		for (unsigned i = 0; i < best.count; i++) {
			go_judge(plan, best.tasks[i], &decision);
			if (gcl_place_goes(decision.why) &&
			    (chosen.to == GCL_PLACE_NONE ||
			     decision.figures.score > chosen.figures.score))
				chosen = decision;
		}
		if (chosen.to == GCL_PLACE_NONE || !gcl_plan_add(plan, &chosen))
			return;
	}
}

static void tick(struct gcl_place_plan *plan)
{
	go(plan);
	gcl_plan_home(plan);
}

static void judge(struct gcl_place_plan *plan, uint32_t index, struct gcl_place_decision *decision)
{
	const struct gcl_place_task *task = &plan->view->tasks[index];

	go_judge(plan, index, decision);
	if (!gcl_place_goes(decision->why) && task->where != task->home)
		gcl_plan_home_judge(plan, index, decision);
}

/* splitmix64: Steele, Lea, Flood, Fast Splittable Pseudorandom Number Generators, 2014. */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint32_t fastest_of_two(struct gcl_place_plan *plan, uint32_t index, uint64_t needs)
{
	const struct gcl_place_task *task = &plan->view->tasks[index];
	/* Of its own for each task, so that judging one doesn't change what another draws. */
	uint64_t state = plan->draw ^ (index * UINT64_C(0xd1342543de82ef95));
	struct gcl_cost_time time, least;
	uint32_t best = GCL_PLACE_NONE;
	unsigned found = 0;

	for (unsigned i = 0; i < DRAWS_MAX && found < 2 && plan->target_count; i++) {
		uint32_t to = plan->targets[draw(&state) % plan->target_count];

		if (to == task->where || to == task->home || to == best ||
		    !gcl_plan_takes(plan, to, task, needs))
			continue;
		gcl_cost_time(plan, task, to, &time);
		if (!found++ || time.total < least.total) {
			best = to;
			least = time;
		}
	}
	return found ? best : gcl_plan_fastest(plan, index, needs);
}

const struct gcl_place_policy gcl_place_balance = {
	.name = "balance",
	.about = "who waits longer than a move costs goes to the best place; memory as in memory",
	.tick = tick,
	.allocation = gcl_memory_allocation,
	.choose = gcl_plan_fastest,
	.judge = judge,
};

const struct gcl_place_policy gcl_place_two = {
	.name = "two",
	.about = "the same, to the better of two places that are drawn",
	.tick = tick,
	.allocation = gcl_memory_allocation,
	.choose = fastest_of_two,
	.judge = judge,
};
