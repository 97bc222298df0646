/* SPDX-License-Identifier: MIT */
/*
 * What a task's commands take in a place, and what it costs to move it there.
 *
 * Time of a command. The program thinks, the kernel runs, others run before it, and the link takes
 * its part:
 *
 *     time(p)    = think + kernel(p) + waiting(p) + link(p)
 *     kernel(p)  = as measured there, or kernel(home) * speed(home) / speed(p), made longer or
 *                  shorter as it was found to be on another server, to twice or half at most
 *     speed(p)   = what this host's tasks have shown, or what a server says, but
 *                  GCL_COST_UNPROVEN at most
 *     link(p)    = trips * rtt(p) + carried / bandwidth(p); 0 here
 *     use(p)     = kernel(p) / (think + kernel(p) + link(p)): the part of the device that it would
 *                  use, alone there
 *     waiting(p) = kernel(p) * (max(1, demand(p) + use(p)) - 1), demand(p) being that of the
 * others: a device that is shared fairly and wanted n times is n times as slow for each (processor
 * sharing: Kleinrock, Queueing Systems II, 4.4)
 *
 * Where the task is, waiting is not estimated but what was measured, made smaller by what the plan
 * takes away from there already.
 *
 * A move. Memory is copied while the task runs on, then what it wrote meanwhile, and so on, until
 * the rest is small, gets no smaller, or there were enough rounds; then the task stops for the
 * rest (pre-copy: Clark et al., Live Migration of Virtual Machines, NSDI 2005, 3.2):
 *
 *     round 0 = bytes; round i+1 = min(dirty * round i / bandwidth, bytes)
 *     copying = sum of all rounds but the last / bandwidth + build
 *     pause   = last round / bandwidth + GCL_COST_TRIPS * rtt
 *     lost    = pause + GCL_COST_COPYING * copying
 *
 * with the bandwidth that other moves on the same links leave, shared equally.
 *
 * Whether it pays. How long a task goes on is not known; of long-lived tasks the best guess is: as
 * long as it has already (Harchol-Balter and Downey, Exploiting Process Lifetime Distributions for
 * Dynamic Load Balancing, 1997), which also keeps short ones from being moved:
 *
 *     horizon = min(now - started, settings.horizon)
 *     saved   = horizon * (1 - time(to) / time(from))
 *
 * Must not: see place.h. The task and its home must have been checked (check.h): then nothing here
 * overflows. Of a place whose numbers can't be none is used.
 */
#ifndef GCL_PLACE_COST_H
#define GCL_PLACE_COST_H

#include "place.h"

/* Round trips in which a task doesn't run: stop, commit, go on. */
#define GCL_COST_TRIPS 3

/* What copying takes from a task that runs on, as a part of the time. */
#define GCL_COST_COPYING 0.1

/* How far what was measured on one server counts for others. */
#define GCL_COST_UNLIKE 2.

/* The speed of a server that this host hasn't seen yet: a tempting number costs nothing. */
#define GCL_COST_UNPROVEN 2.

/* The part of what was seen that each look puts in the place of the old; and how slow or fast that
 * can make a server. */
#define GCL_COST_LEARN	   0.1
#define GCL_COST_SPEED_MIN 1e-3
#define GCL_COST_SPEED_MAX 1e3

/* What a task's own gain counts beside that of all. */
#define GCL_COST_OWN 0.25

/* Enough for the rest to be small, or never to become so. */
#define GCL_COST_ROUNDS 8

/* A pause that is not worth another round, s; and how much smaller a round must make the rest. */
#define GCL_COST_PAUSE	0.02
#define GCL_COST_SHRINK 0.9

/* Of a command, s. */
struct gcl_cost_time {
	double kernel, waiting, link;
	double alone; /* without waiting */
	double total;
	double use; /* part of the device, alone there */
};

/** gcl_cost_time() - of @task's commands in @place, with what @plan leaves there. */
void gcl_cost_time(const struct gcl_place_plan *plan, const struct gcl_place_task *task,
		   uint32_t place, struct gcl_cost_time *time);

/** gcl_cost_use() - the part of @place that @task would use, alone there. */
double gcl_cost_use(const struct gcl_place_plan *plan, const struct gcl_place_task *task,
		    uint32_t place);

/** gcl_cost_move() - fills copied, rounds, copying, pause and lost of a move to @to. */
void gcl_cost_move(const struct gcl_place_plan *plan, const struct gcl_place_task *task,
		   uint32_t to, struct gcl_place_figures *figures);

/** gcl_cost_horizon() - s that @task is expected to go on. */
double gcl_cost_horizon(const struct gcl_place_view *view, const struct gcl_place_task *task);

/**
 * gcl_cost_gain() - what all tasks together gain each second when @task moves, s.
 * @here, @there: of its commands where it is, and in @to
 *
 * A place that is wanted D times has D - 1 tasks that wait, as time goes by. One that goes takes
 * its use off one of these, adds it to the other, and loses what the link takes. What it gains
 * itself counts for a part: where all places are busy evening out changes no sum, but helps those
 * that are worst off.
 */
double gcl_cost_gain(const struct gcl_place_plan *plan, const struct gcl_place_task *task,
		     uint32_t to, const struct gcl_cost_time *here,
		     const struct gcl_cost_time *there);

#endif
