// SPDX-License-Identifier: MIT
/*
 * How long a policy takes to decide: place_bench [TASKS [SERVERS]].
 *
 * The worst case of each: the host's device is wanted a hundred times, and every task may go
 * everywhere; or an allocation for which only small tasks can make room.
 */
#include <stdlib.h>
#include <time.h>

#include "place.h"
#include "sim.h"

#define SECONDS 0.5
#define ROUNDS	3

static struct gcl_place_view view;
static struct gcl_place *places;
static struct gcl_place_task *tasks;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void view_make(uint32_t task_count, uint32_t servers)
{
	uint64_t state = 1;

	places = sim_alloc(servers + 1, sizeof *places);
	tasks = sim_alloc(task_count, sizeof *tasks);
	for (uint32_t i = 0; i <= servers; i++)
		places[i] = (struct gcl_place){.name = "place",
					       .remote = i > 0,
					       .memory = UINT64_C(1) << 40,
					       .free = UINT64_C(1) << (i ? 39 : 20),
					       .demand = i ? sim_uniform(&state, 0., 1.) : 100.,
					       .speed = sim_uniform(&state, 0.5, 2.),
					       .rtt = i ? sim_uniform(&state, 1e-4, 1e-2) : 0.,
					       .bandwidth = 1e9};
	for (uint32_t i = 0; i < task_count; i++)
		tasks[i] = (struct gcl_place_task){
			.id = i,
			.vm = i % 64,
			.weight = 1.,
			.started = 1.,
			.since = 1.,
			.memory = (uint64_t)sim_log_uniform(&state, 1e6, 1e9),
			.dirty = sim_uniform(&state, 0., 1e8),
			.kernel = sim_log_uniform(&state, 1e-5, 1e-2),
			.think = 1e-4,
			.waited = 1.};
	view = (struct gcl_place_view){.now = 1000.,
				       .places = places,
				       .tasks = tasks,
				       .place_count = servers + 1,
				       .task_count = task_count,
				       .settings = &gcl_place_settings,
				       .uplink = 1e10};
}

/* Return: s, the least of some means. */
static double measure(const struct gcl_place_policy *policy, const struct gcl_place_event *event,
		      struct gcl_place_plan *plan)
{
	double least = 1e9;

	for (unsigned round = 0; round < ROUNDS; round++) {
		double begin = now(), end;
		unsigned count = 0;

		do {
			view.draw = count;
			if (gcl_place_decide(policy, &view, event, plan))
				abort();
			count++;
			end = now();
		} while (end - begin < SECONDS);
		if ((end - begin) / count < least)
			least = (end - begin) / count;
	}
	return least;
}

int main(int argc, char **argv)
{
	uint32_t task_count = argc > 1 ? (uint32_t)atoi(argv[1]) : 4000;
	uint32_t servers = argc > 2 ? (uint32_t)atoi(argv[2]) : 300;
	struct gcl_place_event tick = {.kind = GCL_PLACE_TICK};
	struct gcl_place_event allocation = {.kind = GCL_PLACE_ALLOCATION, .bytes = 2000000000};
	struct gcl_place_plan *plan;

	view_make(task_count, servers);
	if (gcl_place_plan_create(task_count, servers + 1, 64, &plan))
		return 1;
	printf("%u tasks, %u servers: ms for a tick, and for an allocation\n", task_count, servers);
	for (unsigned i = 0; gcl_place_policies()[i]; i++) {
		const struct gcl_place_policy *policy = gcl_place_policies()[i];

		printf("%-10s %10.3f %10.3f\n", policy->name, measure(policy, &tick, plan) * 1e3,
		       measure(policy, &allocation, plan) * 1e3);
	}
	gcl_place_plan_destroy(plan);
	free(places);
	free(tasks);
	return 0;
}
