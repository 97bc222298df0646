// SPDX-License-Identifier: MIT
#include "state.h"

#include <math.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "check.h"
#include "cost.h"

static uint64_t random_state = 1;

void random_seed(void)
{
	const char *seed = getenv("GUESTCL_SEED");

	random_state = seed ? strtoull(seed, NULL, 10) : 20261130;
}

uint64_t random_next(void)
{
	uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

double random_between(double from, double to)
{
	return from + (to - from) * (double)(random_next() >> 11) * 0x1p-53;
}

void state_init(struct state *state)
{
	static const char *const names[STATE_PLACES] = {"gpu0", "gpu1", "s0", "s1",
							"s2",	"s3",	"s4", "s5"};

	*state = (struct state){.settings = gcl_place_settings};
	for (uint32_t i = 0; i < STATE_PLACES; i++)
		state->places[i] = (struct gcl_place){
			.name = names[i],
			.remote = i >= 2,
			.age = i >= 2 ? 1. : 0.,
			.memory = 16 * GIB,
			.free = 16 * GIB,
			.speed = 1.,
			.rtt = i >= 2 ? 5e-4 : 0.,
			.bandwidth = i >= 2 ? 1.25e9 : 12e9,
		};
	state->view = (struct gcl_place_view){
		.now = 10000.,
		.places = state->places,
		.tasks = state->tasks,
		.place_count = STATE_PLACES,
		.settings = &state->settings,
		.uplink = 1.25e9,
	};
	assert_int_equal(gcl_place_plan_create(STATE_TASKS, STATE_PLACES, STATE_VMS, &state->plan),
			 0);
}

void state_fini(struct state *state)
{
	gcl_place_plan_destroy(state->plan);
}

struct gcl_place_task *state_task(struct state *state, uint32_t vm, uint64_t memory)
{
	struct gcl_place_task *task = &state->tasks[state->view.task_count];

	*task = (struct gcl_place_task){
		.id = 100 + state->view.task_count++,
		.vm = vm,
		.weight = 1.,
		.started = state->view.now - 300.,
		.since = state->view.now - 300.,
		.memory = memory,
		.bytes = memory,
		.bytes_home = memory,
		.dirty = 1e6,
		.kernel = 9e-3,
		.think = 1e-3,
		.trips = 0.1,
		.carried = 1e3,
	};
	state->places[0].free -= memory;
	state->places[0].demand += 0.9;
	return task;
}

void state_shortage(struct state *state, double demand)
{
	state->places[0].demand = demand;
	for (uint32_t i = 0; i < state->view.task_count; i++)
		state->tasks[i].waited = state->tasks[i].kernel * (demand - 1.);
}

/* ------------------------------------------------------------ at random */

static bool sometimes(unsigned one_in)
{
	return random_next() % one_in == 0;
}

static void place_random(struct state *state, uint32_t index)
{
	struct gcl_place *place = &state->places[index];

	place->memory = (random_next() % 64 + 1) * GIB / 2;
	place->free = (uint64_t)((double)place->memory * random_between(0., 1.));
	place->demand = sometimes(3) ? 0. : random_between(0., 5.);
	place->can = sometimes(2) ? random_next() & 3 : 3;
	place->lost = index >= 2 && sometimes(10);
	place->draining = sometimes(10);
	place->avoid_until = sometimes(8) ? state->view.now + random_between(-10., 10.) : 0.;
	if (index < 2)
		return;
	place->age = sometimes(8) ? random_between(0., 60.) : random_between(0., 5.);
	place->speed = random_between(0.3, 3.);
	place->speed_seen = sometimes(2) ? random_between(0.1, 10.) : 0.;
	place->rtt = random_between(1e-4, sometimes(3) ? 0.1 : 1e-3);
	place->bandwidth = random_between(1e7, 2e9);
	place->moves = (unsigned)(random_next() % 3);
}

static void task_random(struct state *state, struct gcl_place_task *task)
{
	double now = state->view.now;

	task->vm = (uint32_t)(random_next() % STATE_VMS);
	task->weight = sometimes(3) ? random_between(0.1, 10.) : 1.;
	task->hold = sometimes(5) ? (enum gcl_place_hold)(random_next() % GCL_PLACE_HOLDS)
				  : GCL_PLACE_FREE;
	task->home = (uint32_t)(random_next() % 2);
	task->where = sometimes(2) ? task->home : (uint32_t)(random_next() % STATE_PLACES);
	task->to = (uint32_t)(random_next() % STATE_PLACES);
	task->kept = !sometimes(3);
	task->started = now - random_between(0., 1000.);
	task->since = random_between(task->started, now);
	for (unsigned i = 0; i < random_next() % (GCL_PLACE_HISTORY + 1); i++)
		task->moved[i] = random_between(now - 1000., now);
	task->wants = sometimes(2) ? random_next() & 3 : 0;
	task->memory = random_next() % (4 * GIB);
	task->bytes = (uint64_t)((double)task->memory * random_between(0., 1.));
	task->bytes_home = (uint64_t)((double)task->memory * random_between(0., 1.));
	task->dirty = random_between(0., sometimes(3) ? 5e9 : 1e8);
	task->build = random_between(0., 2.);
	task->kernel = pow(10., random_between(-5., 0.));
	task->kernel_there = sometimes(2) ? task->kernel * random_between(0.3, 3.) : 0.;
	task->there = (uint32_t)(random_next() % (STATE_PLACES + 1));
	task->think = task->kernel * random_between(0., 4.);
	task->trips = random_between(0., 2.);
	task->carried = random_between(0., 1e5);
	task->waited = sometimes(3) ? 0. : task->kernel * random_between(0., 6.);
}

void state_random(struct state *state)
{
	state->view.now = random_between(2000., 1e7);
	state->view.moving = sometimes(3) ? (unsigned)(random_next() % 6) : 0;
	state->view.draw = random_next();
	for (uint32_t i = 0; i < STATE_PLACES; i++)
		place_random(state, i);
	state->view.task_count = 0;
	for (unsigned i = 0; i < random_next() % (STATE_TASKS + 1); i++)
		task_random(state, state_task(state, 0, 0));
}

static double odd(void)
{
	static const double odds[] = {NAN,    INFINITY, -INFINITY, -1.,	 -1e-300, 1e300,
				      -1e300, 0.,	1e-320,	   1e18, 0x1p63,  5.};

	return odds[random_next() % GCL_ARRAY_SIZE(odds)];
}

static uint64_t odd_bytes(void)
{
	static const uint64_t odds[] = {
		0, 1, UINT64_MAX, UINT64_MAX / 2, UINT64_C(1) << 48, (UINT64_C(1) << 48) + 1};

	return odds[random_next() % GCL_ARRAY_SIZE(odds)];
}

static void place_spoil(struct gcl_place *place)
{
	double *numbers[] = {&place->age,      &place->avoid_until, &place->demand,
			     &place->speed,    &place->speed_seen,  &place->rtt,
			     &place->bandwidth};
	uint64_t *bytes[] = {&place->memory, &place->free};

	*numbers[random_next() % GCL_ARRAY_SIZE(numbers)] = odd();
	if (sometimes(3))
		*bytes[random_next() % GCL_ARRAY_SIZE(bytes)] = odd_bytes();
	if (sometimes(8))
		place->moves = UINT32_MAX;
}

static void task_spoil(struct gcl_place_task *task)
{
	double *numbers[] = {&task->weight, &task->started, &task->since,   &task->moved[2],
			     &task->dirty,  &task->build,   &task->kernel,  &task->kernel_there,
			     &task->think,  &task->trips,   &task->carried, &task->waited};
	uint32_t *indexes[] = {&task->vm, &task->home, &task->where, &task->to, &task->there};
	uint64_t *bytes[] = {&task->memory, &task->bytes, &task->bytes_home};

	if (sometimes(2))
		*numbers[random_next() % GCL_ARRAY_SIZE(numbers)] = odd();
	if (sometimes(4))
		*indexes[random_next() % GCL_ARRAY_SIZE(indexes)] = (uint32_t)random_next();
	if (sometimes(4))
		*bytes[random_next() % GCL_ARRAY_SIZE(bytes)] = odd_bytes();
	if (sometimes(8))
		task->hold = (enum gcl_place_hold)(random_next() % 8);
}

void state_spoil(struct state *state)
{
	for (uint32_t i = 2; i < STATE_PLACES; i++) {
		if (sometimes(2))
			place_spoil(&state->places[i]);
	}
	for (uint32_t i = 0; i < state->view.task_count; i++) {
		if (sometimes(4))
			task_spoil(&state->tasks[i]);
	}
}

/* ------------------------------------------------------------ what is done with it */

unsigned state_decide(struct state *state, const struct gcl_place_policy *policy,
		      enum gcl_place_event_kind kind)
{
	struct gcl_place_event event = {.kind = kind};

	assert_int_equal(gcl_place_decide(policy, &state->view, &event, state->plan), 0);
	return state->plan->count;
}

void state_apply(struct state *state)
{
	for (unsigned i = 0; i < state->plan->count; i++) {
		const struct gcl_place_decision *decision = &state->plan->decisions[i];
		struct gcl_place_task *task = &state->tasks[decision->task];

		state->places[decision->from].free =
			GCL_MIN(state->places[decision->from].free + task->memory,
				state->places[decision->from].memory);
		assert_true(state->places[decision->to].free >= decision->figures.needs);
		state->places[decision->to].free -= decision->figures.needs;
		gcl_place_moved(task, decision->to, state->view.now);
	}
}

bool state_usable(const struct state *state, uint32_t index)
{
	const struct gcl_place *place = &state->places[index];

	return gcl_place_sane(place) && !place->lost && !place->draining &&
	       place->avoid_until <= state->view.now &&
	       (!place->remote || place->age <= state->settings.stale);
}
