// SPDX-License-Identifier: MIT
/*
 * What came of a run.
 *
 * Waiting is all that a task took longer than it would have alone on its home: for the device, for
 * memory, in moves, on links, and from a failure until it was as far again. Slow-down is the time
 * it took by the time it would have taken. Fairness is Jain's index of the VMs' speeds, each the
 * mean of its tasks' (Jain, Chiu, Hawe, A Quantitative Measure of Fairness, 1984).
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "sim.h"

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double p95(double *values, uint32_t count)
{
	qsort(values, count, sizeof *values, compare);
	return count ? values[(uint32_t)((count - 1) * 0.95)] : 0.;
}

static double mean(const double *values, uint32_t count)
{
	double sum = 0.;

	for (uint32_t i = 0; i < count; i++)
		sum += values[i];
	return count ? sum / count : 0.;
}

static double fairness(const struct sim *sim)
{
	_cleanup_free_ double *speeds = sim_alloc(sim->trace->vms, sizeof *speeds);
	_cleanup_free_ double *counts = sim_alloc(sim->trace->vms, sizeof *counts);
	double sum = 0., squares = 0., vms = 0.;

	for (uint32_t i = 0; i < sim->trace->count; i++) {
		const struct sim_spec *spec = sim->tasks[i].spec;

		if (sim->tasks[i].state != SIM_DONE)
			continue;
		speeds[spec->vm] += spec->commands * (spec->think + spec->kernel) /
				    (sim->tasks[i].end - spec->at);
		counts[spec->vm] += 1.;
	}
	for (uint32_t i = 0; i < sim->trace->vms; i++) {
		double speed = counts[i] > 0. ? speeds[i] / counts[i] : 0.;

		vms += counts[i] > 0.;
		sum += speed;
		squares += speed * speed;
	}
	return squares > 0. ? sum * sum / (vms * squares) : 1.;
}

void sim_result_sum(struct sim *sim)
{
	struct sim_result *result = &sim->result;
	_cleanup_free_ double *waiting = sim_alloc(sim->trace->count, sizeof *waiting);
	_cleanup_free_ double *slow = sim_alloc(sim->trace->count, sizeof *slow);
	uint32_t count = 0;

	for (uint32_t i = 0; i < sim->trace->count; i++) {
		const struct sim_task *task = &sim->tasks[i];
		double alone = task->spec->commands * (task->spec->think + task->spec->kernel);

		result->most_moves = GCL_MAX(result->most_moves, sim->task_moves[i]);
		if (task->state != SIM_DONE)
			continue;
		result->makespan = GCL_MAX(result->makespan, task->end);
		waiting[count] = task->end - task->spec->at - alone;
		slow[count++] = (task->end - task->spec->at) / alone;
	}
	result->unfinished = sim->trace->count - count;
	result->waiting = mean(waiting, count);
	result->waiting_p95 = p95(waiting, count);
	result->slowdown = mean(slow, count);
	result->slowdown_p95 = p95(slow, count);
	result->fairness = fairness(sim);
}

static void json_print(const char *scenario, const char *policy, const struct sim_result *r,
		       bool first)
{
	printf("%s\n  {\"scenario\": \"%s\", \"policy\": \"%s\", \"makespan\": %.6f, "
	       "\"waiting\": %.6f, \"waiting_p95\": %.6f, \"slowdown\": %.6f, "
	       "\"slowdown_p95\": %.6f, \"fairness\": %.6f, \"moves\": %" PRIu64
	       ", \"home\": %" PRIu64 ", \"most_moves\": %u, \"moves_failed\": %" PRIu64
	       ", \"failures\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"unfinished\": %u}",
	       first ? "" : ",", scenario, policy, r->makespan, r->waiting, r->waiting_p95,
	       r->slowdown, r->slowdown_p95, r->fairness, r->moves, r->home, r->most_moves,
	       r->moves_failed, r->failures, r->bytes, r->unfinished);
}

void sim_result_print(const char *scenario, const char *policy, const struct sim_result *r,
		      bool json, bool first)
{
	if (json) {
		json_print(scenario, policy, r, first);
		return;
	}
	if (first)
		printf("%-10s %-8s %9s %9s %9s %6s %6s %6s %6s %5s %5s %6s %7s %8s\n", "scenario",
		       "policy", "makespan", "waiting", "p95", "slow", "p95", "fair", "moves",
		       "home", "most", "refus.", "fails", "GB moved");
	printf("%-10s %-8s %9.0f %9.1f %9.1f %6.2f %6.2f %6.3f %6" PRIu64 " %5" PRIu64
	       " %5u %6" PRIu64 " %7" PRIu64 " %8.1f\n",
	       scenario, policy, r->makespan, r->waiting, r->waiting_p95, r->slowdown,
	       r->slowdown_p95, r->fairness, r->moves, r->home, r->most_moves, r->moves_failed,
	       r->failures, (double)r->bytes / 1e9);
	if (r->unfinished)
		printf("  %u tasks were not done in the end\n", r->unfinished);
}
