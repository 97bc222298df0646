// SPDX-License-Identifier: MIT
#include "cost.h"

#include "base/cleanup.h"
#include "check.h"

/* A task can be in a place that says what can't be, and has to get out of it some time. */
static const struct gcl_place nothing_known = {.remote = true, .speed = 1., .bandwidth = 1e6};

static const struct gcl_place *place_of(const struct gcl_place_plan *plan, uint32_t index)
{
	return plan->left[index].sane ? &plan->view->places[index] : &nothing_known;
}

static double speed_of(const struct gcl_place_plan *plan, uint32_t index)
{
	const struct gcl_place *place = place_of(plan, index);

	if (!place->remote)
		return place->speed;
	if (place->speed_seen > 0.)
		return GCL_MIN(GCL_MAX(place->speed_seen, GCL_COST_SPEED_MIN), GCL_COST_SPEED_MAX);
	return GCL_MIN(place->speed, GCL_COST_UNPROVEN);
}

/* How much longer its kernels took there than that place's speed says. A server may have lied about
 * that, so what follows for others is bounded. */
static double unlike(const struct gcl_place_plan *plan, const struct gcl_place_task *task)
{
	double speed = speed_of(plan, task->home), ratio;

	if (task->kernel_there <= 0. || task->kernel <= 0. ||
	    task->there >= plan->view->place_count)
		return 1.;
	ratio = task->kernel_there * speed_of(plan, task->there) / (task->kernel * speed);
	return GCL_MIN(GCL_MAX(ratio, 1. / GCL_COST_UNLIKE), GCL_COST_UNLIKE);
}

static double kernel_time(const struct gcl_place_plan *plan, const struct gcl_place_task *task,
			  uint32_t index)
{
	const struct gcl_place *place = place_of(plan, index);
	double ratio = speed_of(plan, task->home) / speed_of(plan, index);

	if (index == task->home)
		return task->kernel;
	if (!place->remote)
		return task->kernel * ratio;
	if (index == task->there && task->kernel_there > 0.)
		return task->kernel_there;
	return task->kernel * ratio * unlike(plan, task);
}

static void alone(const struct gcl_place_plan *plan, const struct gcl_place_task *task,
		  uint32_t index, struct gcl_cost_time *time)
{
	const struct gcl_place *place = place_of(plan, index);

	time->kernel = kernel_time(plan, task, index);
	time->link =
		place->remote ? task->trips * place->rtt + task->carried / place->bandwidth : 0.;
	time->alone = task->think + time->kernel + time->link;
	time->use = time->alone > 0. ? time->kernel / time->alone : 0.;
}

/* What is left of the waiting that was measured, after what the plan takes away. */
static double waiting_left(double waited, double demand, double left)
{
	if (left >= demand)
		return waited;
	if (demand > 1.)
		return waited * GCL_MAX(left - 1., 0.) / (demand - 1.);
	return waited * GCL_MAX(left, 0.) / demand;
}

void gcl_cost_time(const struct gcl_place_plan *plan, const struct gcl_place_task *task,
		   uint32_t place, struct gcl_cost_time *time)
{
	double left = plan->left[place].demand;

	alone(plan, task, place, time);
	if (place == task->where)
		time->waiting = waiting_left(task->waited, place_of(plan, place)->demand, left);
	else
		time->waiting = time->kernel * (GCL_MAX(1., left + time->use) - 1.);
	time->total = time->alone + time->waiting;
}

double gcl_cost_use(const struct gcl_place_plan *plan, const struct gcl_place_task *task,
		    uint32_t place)
{
	struct gcl_cost_time time;

	alone(plan, task, place, &time);
	return time.use;
}

/* bytes/s of a move beside those that are under way on the same links. */
static double bandwidth(const struct gcl_place_plan *plan, uint32_t from, uint32_t to)
{
	const struct gcl_place_view *view = plan->view;
	const struct gcl_place *ends[] = {place_of(plan, from), place_of(plan, to)};
	const struct gcl_place_left *left[] = {&plan->left[from], &plan->left[to]};
	double least = view->uplink / (1. + view->moving + plan->count);

	bool lost = view->places[from].lost;

	/* Between devices of this host, and from the copy that is here of what a lost server had,
	 * the uplink doesn't matter. */
	if (!ends[1]->remote && (lost || !ends[0]->remote))
		least = ends[1]->bandwidth;
	for (unsigned i = 0; i < GCL_ARRAY_SIZE(ends); i++) {
		if (i == 1 || !lost)
			least = GCL_MIN(least, ends[i]->bandwidth / (1. + left[i]->moves));
	}
	return least;
}

void gcl_cost_move(const struct gcl_place_plan *plan, const struct gcl_place_task *task,
		   uint32_t to, struct gcl_place_figures *figures)
{
	bool lost = plan->view->places[task->where].lost;
	double speed = bandwidth(plan, task->where, to);
	double bytes = (double)(to == task->home ? task->bytes_home : task->bytes);
	/* A task of a lost server doesn't run, so all is the pause. */
	double dirty = lost ? 0. : task->dirty;
	double round = bytes, copied = 0.;
	unsigned rounds = 1;

	while (!lost && rounds < GCL_COST_ROUNDS && round / speed > GCL_COST_PAUSE) {
		double next = GCL_MIN(dirty * round / speed, bytes);

		if (next > round * GCL_COST_SHRINK)
			break;
		copied += round;
		round = next;
		rounds++;
	}
	figures->copied = copied + round;
	figures->rounds = rounds;
	figures->copying = copied / speed;
	figures->pause = round / speed;
	if (lost)
		figures->pause += task->build;
	else
		figures->copying += task->build;
	figures->pause += GCL_COST_TRIPS * plan->view->places[to].rtt;
	figures->lost = figures->pause + GCL_COST_COPYING * figures->copying;
}

double gcl_cost_horizon(const struct gcl_place_view *view, const struct gcl_place_task *task)
{
	return GCL_MIN(view->now - task->started, view->settings->horizon);
}

static double waiters(double demand)
{
	return GCL_MAX(demand - 1., 0.);
}

double gcl_cost_gain(const struct gcl_place_plan *plan, const struct gcl_place_task *task,
		     uint32_t to, const struct gcl_cost_time *here,
		     const struct gcl_cost_time *there)
{
	double from_demand = plan->left[task->where].demand, to_demand = plan->left[to].demand;
	double relief = waiters(from_demand) - waiters(from_demand - here->use);
	double burden = waiters(to_demand + there->use) - waiters(to_demand);
	double slower = there->alone > 0. ? 1. - here->alone / there->alone : 0.;

	double own = here->total > 0. ? 1. - there->total / here->total : 0.;

	return relief - burden - slower + GCL_COST_OWN * own;
}

void gcl_place_learn(struct gcl_place *place, const struct gcl_place *home,
		     const struct gcl_place_task *task)
{
	double seen;

	if (task->kernel_there <= 0. || task->kernel <= 0.)
		return;
	seen = task->kernel * home->speed / task->kernel_there;
	if (!(seen >= GCL_COST_SPEED_MIN && seen <= GCL_COST_SPEED_MAX))
		return;
	if (place->speed_seen > 0.)
		place->speed_seen += (seen - place->speed_seen) * GCL_COST_LEARN;
	else
		place->speed_seen = seen;
}
