/* SPDX-License-Identifier: MIT */
/*
 * Nothing flaps, whatever the load does: it jumps between nothing and a lot, at random or in step
 * with the policy, which is the worst that there is, while all moves are carried out at once.
 */
#include <math.h>

#include "base/cleanup.h"
#include "state.h"

#define TICKS 20000
#define MOVES 4096

struct record {
	double at[MOVES];
	unsigned count;
};

static struct state state;
static struct record records[STATE_TASKS];

static int setup(void **unused)
{
	(void)unused;
	state_init(&state);
	random_seed();
	for (unsigned i = 0; i < STATE_TASKS; i++) {
		state_task(&state, i % STATE_VMS, 256 * MIB);
		records[i].count = 0;
	}
	return 0;
}

static int teardown(void **unused)
{
	(void)unused;
	state_fini(&state);
	return 0;
}

static void record_moves(void)
{
	for (unsigned i = 0; i < state.plan->count; i++) {
		struct record *record = &records[state.plan->decisions[i].task];

		assert_true(record->count < MOVES);
		record->at[record->count++] = state.view.now;
	}
}

/* No task moves more often in any span, nor sooner after a move, than the settings say. */
static void records_check(unsigned most)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < STATE_TASKS; i++) {
		const struct record *record = &records[i];

		sum += record->count;
		for (unsigned k = 1; k < record->count; k++)
			assert_true(record->at[k] - record->at[k - 1] >= state.settings.stay_min);
		for (unsigned k = most; k < record->count; k++)
			assert_true(record->at[k] - record->at[k - most] > state.settings.span);
	}
	/* They do move. */
	assert_true(sum > STATE_TASKS);
}

static void load_random(void)
{
	for (uint32_t i = 0; i < STATE_PLACES; i++) {
		state.places[i].demand = random_next() % 2 ? 0. : random_between(0., 8.);
		state.places[i].free = random_next() % 4 ? 16 * GIB : 0;
	}
	for (uint32_t i = 0; i < STATE_TASKS; i++)
		state.tasks[i].waited = state.tasks[i].kernel * random_between(0., 8.);
}

/* Half of the places are busy, then the other half, just as soon as a task may go again. */
static void load_worst(void)
{
	bool half = (int64_t)state.view.now / ((int64_t)state.settings.stay_min + 1) % 2;

	for (uint32_t i = 0; i < STATE_PLACES; i++) {
		state.places[i].demand = i % 2 == half ? 8. : 0.;
		state.places[i].free = 16 * GIB;
	}
	for (uint32_t i = 0; i < STATE_TASKS; i++)
		state.tasks[i].waited = state.tasks[i].kernel * 7.;
}

static void run(const struct gcl_place_policy *policy, void (*load)(void))
{
	for (unsigned i = 0; i < TICKS; i++) {
		load();
		state.view.draw = random_next();
		state_decide(&state, policy, GCL_PLACE_TICK);
		record_moves();
		state_apply(&state);
		state.view.now += 1.;
	}
	records_check(state.settings.moves_in_span);
}

static void balance_does_not_flap(void **unused)
{
	(void)unused;
	run(&gcl_place_balance, load_random);
}

static void two_does_not_flap(void **unused)
{
	(void)unused;
	run(&gcl_place_two, load_random);
}

static void balance_does_not_flap_at_worst(void **unused)
{
	(void)unused;
	run(&gcl_place_balance, load_worst);
}

static void two_does_not_flap_at_worst(void **unused)
{
	(void)unused;
	run(&gcl_place_two, load_worst);
}

/* Allocations drive out no task oftener than that, either; the one that asks may go nevertheless.
 */
static void allocations_do_not_flap(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < TICKS; i++) {
		struct gcl_place_event event = {.kind = GCL_PLACE_ALLOCATION, .bytes = GIB};
		struct gcl_place_task *asks;
		enum gcl_place_hold hold;

		load_random();
		state.view.draw = random_next();
		event.task = (uint32_t)(random_next() % STATE_TASKS);
		asks = &state.tasks[event.task];
		hold = asks->hold;
		asks->hold = GCL_PLACE_SHARED;
		assert_int_equal(gcl_place_decide(&gcl_place_two, &state.view, &event, state.plan),
				 0);
		asks->hold = hold;
		record_moves();
		state_apply(&state);
		state_decide(&state, &gcl_place_memory, GCL_PLACE_TICK);
		record_moves();
		state_apply(&state);
		state.view.now += 1.;
	}
	for (unsigned i = 0; i < STATE_TASKS; i++) {
		const struct record *record = &records[i];
		unsigned most = state.settings.moves_in_span;

		for (unsigned k = most; k < record->count; k++)
			assert_true(record->at[k] - record->at[k - most] > state.settings.span);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(balance_does_not_flap),	      TEST(two_does_not_flap),
		TEST(balance_does_not_flap_at_worst), TEST(two_does_not_flap_at_worst),
		TEST(allocations_do_not_flap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
