/* SPDX-License-Identifier: MIT */
/*
 * A plan while it is made: what policies have in common.
 */
#ifndef GCL_PLACE_PLAN_H
#define GCL_PLACE_PLAN_H

#include "cost.h"
#include "place.h"

enum gcl_plan_mark {
	GCL_PLAN_FREE,
	GCL_PLAN_TAKEN, /* the plan moves it already */
	GCL_PLAN_ODD,	/* its numbers can't be */
};

/* The best that were seen, best first: a policy looks at all tasks once, and then again, after each
 * decision, only at these. */
#define GCL_PLAN_BEST 32

struct gcl_plan_best {
	uint32_t tasks[GCL_PLAN_BEST];
	double scores[GCL_PLAN_BEST];
	unsigned count;
};

/** gcl_plan_reset() - empty, with all that the view says. */
void gcl_plan_reset(struct gcl_place_plan *plan);

/** gcl_plan_held() - why a task may not be moved at all, or GCL_PLACE_GO_WAITING. */
enum gcl_place_why gcl_plan_held(const struct gcl_place_plan *plan, uint32_t task);

/** gcl_plan_moves() - of @task in the last span. */
unsigned gcl_plan_moves(const struct gcl_place_view *view, const struct gcl_place_task *task);

/** gcl_plan_takes() - whether @place can do what @task needs and has @bytes free. */
static inline bool gcl_plan_takes(const struct gcl_place_plan *plan, uint32_t place,
				  const struct gcl_place_task *task, uint64_t bytes)
{
	return plan->left[place].free >= bytes && !(task->wants & ~plan->left[place].can);
}

/** gcl_plan_home_takes() - whether its home takes @task, and has @reserve, a part of its memory,
 * besides. */
bool gcl_plan_home_takes(const struct gcl_place_plan *plan, const struct gcl_place_task *task,
			 double reserve);

/** gcl_plan_figures() - a decision's, if @task goes to @decision->to, needing @needs bytes there.
 */
void gcl_plan_figures(const struct gcl_place_plan *plan, uint32_t task, uint64_t needs,
		      struct gcl_place_decision *decision);

/** gcl_plan_add() - puts @decision into the plan and counts it in. Return: false, there is no room.
 */
bool gcl_plan_add(struct gcl_place_plan *plan, const struct gcl_place_decision *decision);

/** gcl_plan_fastest() - of the usable places but home, that in which commands take least. */
uint32_t gcl_plan_fastest(struct gcl_place_plan *plan, uint32_t task, uint64_t needs);

/** gcl_plan_best_add() - if @score is among the best. */
void gcl_plan_best_add(struct gcl_plan_best *best, uint32_t task, double score);

/** gcl_plan_home_judge() - whether a task that is away goes home; see place.h. */
void gcl_plan_home_judge(struct gcl_place_plan *plan, uint32_t task,
			 struct gcl_place_decision *decision);

/** gcl_plan_home() - lets those go home that may. */
void gcl_plan_home(struct gcl_place_plan *plan);

/** gcl_memory_allocation() - who goes for an allocation that doesn't fit: see memory.c. */
void gcl_memory_allocation(struct gcl_place_plan *plan, const struct gcl_place_event *event);

/** gcl_plan_duty() - who is in a lost or draining place leaves it. */
void gcl_plan_duty(struct gcl_place_plan *plan);

/** gcl_plan_order() - the operator's: moves the task, or says in plan->refused that it can't. */
void gcl_plan_order(struct gcl_place_plan *plan, const struct gcl_place_event *event);

#endif
