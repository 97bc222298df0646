// SPDX-License-Identifier: MIT
/*
 * The named scenarios, and their tasks.
 *
 * Of tasks a few are long and most are short (bounded Pareto, as processes are: Harchol-Balter and
 * Downey, 1997); all else is drawn from wide ranges, evenly on a logarithmic scale. They come at
 * random times over as long as the load says that the hosts' devices need for them.
 */
#include <math.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "sim.h"

#define MIB 1048576.

/* What most of them have. */
#define FOUR_HOSTS .hosts = 4, .servers = 8, .vms = 16, .tasks = 800
#define NEAR_SERVERS                                                                               \
	.speed = {0.8, 1.2}, .rtt = {2e-4, 1e-3}, .bandwidth = {1.25e9, 1.25e9}, .uplink = 1.25e9

static const struct sim_world worlds[] = {
	{.name = "calm",
	 .about = "nothing is short",
	 FOUR_HOSTS,
	 .load = 0.35,
	 .pressure = 0.01,
	 .server_room = 1.,
	 NEAR_SERVERS},
	{.name = "memory",
	 .about = "memory of the hosts is short",
	 FOUR_HOSTS,
	 .load = 0.4,
	 .pressure = 1.1,
	 .server_room = 2.,
	 NEAR_SERVERS},
	{.name = "compute",
	 .about = "the hosts' devices are wanted twice",
	 FOUR_HOSTS,
	 .load = 2.,
	 .pressure = 0.01,
	 .server_room = 1.,
	 NEAR_SERVERS},
	{.name = "mixed",
	 .about = "both are short",
	 FOUR_HOSTS,
	 .load = 1.3,
	 .pressure = 0.3,
	 .server_room = 2.,
	 .speed = {0.7, 1.5},
	 .rtt = {2e-4, 2e-3},
	 .bandwidth = {1.25e8, 1.25e9},
	 .uplink = 1.25e9},
	{.name = "bursty",
	 .about = "little load on average, most of it at once",
	 FOUR_HOSTS,
	 .load = 0.5,
	 .pressure = 0.01,
	 .server_room = 1.,
	 NEAR_SERVERS,
	 .burst = 0.8},
	{.name = "deaths",
	 .about = "servers die every ten minutes or so, and come back",
	 FOUR_HOSTS,
	 .load = 1.5,
	 .pressure = 0.1,
	 .server_room = 2.,
	 NEAR_SERVERS,
	 .deaths = 1. / 600.},
	{.name = "slow",
	 .about = "servers are far, behind slow links",
	 FOUR_HOSTS,
	 .load = 1.2,
	 .pressure = 0.01,
	 .server_room = 2.,
	 .speed = {0.8, 1.2},
	 .rtt = {0.02, 0.05},
	 .bandwidth = {1.25e7, 1.25e7},
	 .uplink = 1.25e7},
	{.name = "few",
	 .about = "the hosts' devices are wanted twice, and so is the only server's",
	 .hosts = 4,
	 .servers = 1,
	 .vms = 16,
	 .tasks = 800,
	 .load = 2.,
	 .pressure = 0.01,
	 .server_room = 1.,
	 .speed = {1., 1.},
	 .rtt = {5e-4, 5e-4},
	 .bandwidth = {1.25e9, 1.25e9},
	 .uplink = 1.25e9},
	{.name = "short",
	 .about = "tasks that are over before a move pays",
	 .hosts = 4,
	 .servers = 8,
	 .vms = 16,
	 .tasks = 2000,
	 .load = 1.,
	 .pressure = 0.01,
	 .server_room = 1.,
	 .speed = {0.8, 1.2},
	 .rtt = {2e-4, 1e-3},
	 .bandwidth = {1.25e8, 1.25e8},
	 .uplink = 1.25e8,
	 .length = {0.5, 5.}},
	{.name = "liars",
	 .about = "a quarter of the servers are slow, and say that they are fast and idle",
	 FOUR_HOSTS,
	 .load = 2.,
	 .pressure = 0.01,
	 .server_room = 1.,
	 NEAR_SERVERS,
	 .liars = 0.25},
	{.name = "many",
	 .about = "many hosts share many servers, and all see them late",
	 .hosts = 50,
	 .servers = 100,
	 .vms = 200,
	 .tasks = 5000,
	 .load = 2.,
	 .pressure = 0.1,
	 .server_room = 2.,
	 .speed = {0.5, 2.},
	 .rtt = {2e-4, 5e-3},
	 .bandwidth = {1.25e8, 1.25e9},
	 .uplink = 1.25e9},
	{.name = NULL},
};

const struct sim_world *sim_worlds(void)
{
	return worlds;
}

/* s that a task takes alone: bounded Pareto. */
static double length(const struct sim_world *world, uint64_t *state)
{
	double least = world->length[0] > 0. ? world->length[0] : 10.;
	double most = world->length[1] > 0. ? world->length[1] : 2000.;
	const double a = 1.1;
	double u = sim_uniform(state, 0., 1.);

	return least / pow(1. - u * (1. - pow(least / most, a)), 1. / a);
}

static void spec_make(const struct sim_world *world, uint64_t *state, struct sim_spec *spec)
{
	double once, grows = sim_uniform(state, 0., 1.);

	spec->vm = (uint32_t)(sim_random(state) % world->vms);
	spec->host = spec->vm % world->hosts;
	spec->kernel = sim_log_uniform(state, 1e-4, 5e-2);
	spec->think = spec->kernel * sim_log_uniform(state, 0.02, 4.);
	once = spec->kernel + spec->think;
	spec->commands = floor(length(world, state) / once) + 1.;
	/* Most programs wait for a command now and then, some for each. */
	spec->trips = sim_log_uniform(state, 0.01, 1.);
	spec->carried = once * sim_log_uniform(state, 1e4, 1e8);
	spec->memory = (uint64_t)(sim_log_uniform(state, 32., 2048.) * MIB);
	spec->grow = grows < 0.5 ? (uint64_t)(sim_log_uniform(state, 32., 1024.) * MIB) : 0;
	spec->grow_at = sim_uniform(state, 0.05, 0.6);
	spec->dirty = sim_log_uniform(state, 1e5, 5e8);
	spec->build = sim_uniform(state, 0., 1.);
	spec->kept = sim_random(state) % 4 != 0;
}

static double alone(const struct sim_spec *spec)
{
	return spec->commands * (spec->kernel + spec->think);
}

static int by_time(const void *a, const void *b)
{
	const struct sim_spec *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

/* Bursts last for a fiftieth of the time, with as long a pause as nine of them. */
static double moment(const struct sim_world *world, uint64_t *state, double span)
{
	double at = sim_uniform(state, 0., span), slot = span / 50.;

	if (sim_uniform(state, 0., 1.) < world->burst) {
		double burst = floor(at / (10. * slot)) * 10. * slot;

		at = burst + (at - burst) / 10.;
	}
	return at;
}

void sim_trace_fit(struct sim_world *world, const struct sim_trace *trace)
{
	double held = 0., most = 0., span = 0.;

	for (uint32_t i = 0; i < trace->count; i++) {
		const struct sim_spec *spec = &trace->specs[i];
		double memory = (double)spec->memory + (double)spec->grow;

		held += alone(spec) * memory;
		most = GCL_MAX(most, memory);
		span = GCL_MAX(span, spec->at);
	}
	/* Of one task, or of all at once, no mean can be told. */
	if (span > 0.)
		most = GCL_MAX(most, held / (span * world->hosts) / world->pressure);
	world->memory = (uint64_t)GCL_MIN(most + 1., (double)(UINT64_C(1) << 47));
}

void sim_trace_make(struct sim_world *world, uint64_t seed, struct sim_trace *trace)
{
	uint64_t state = seed ^ 0x7ace;
	double work = 0., span;

	*trace = (struct sim_trace){.specs = sim_alloc(world->tasks, sizeof *trace->specs),
				    .count = world->tasks,
				    .hosts = world->hosts,
				    .vms = world->vms};
	for (uint32_t i = 0; i < trace->count; i++) {
		struct sim_spec *spec = &trace->specs[i];

		spec_make(world, &state, spec);
		work += spec->commands * spec->kernel;
	}
	span = work / (world->load * world->hosts);
	for (uint32_t i = 0; i < trace->count; i++)
		trace->specs[i].at = moment(world, &state, span);
	qsort(trace->specs, trace->count, sizeof *trace->specs, by_time);
	if (!world->memory)
		sim_trace_fit(world, trace);
}
