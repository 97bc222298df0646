/* SPDX-License-Identifier: MIT */
/*
 * Formulas of cost.h on numbers that can be reckoned by hand, and who goes for waiting, and
 * comes home, in states of a few tasks.
 */
#include <string.h>

#include "state.h"

static struct state state;

static int setup(void **unused)
{
	(void)unused;
	state_init(&state);
	return 0;
}

static int teardown(void **unused)
{
	(void)unused;
	state_fini(&state);
	return 0;
}

static enum gcl_place_why considered(uint32_t task, struct gcl_place_decision *decision)
{
	assert_int_equal(
		gcl_place_consider(&gcl_place_balance, &state.view, task, state.plan, decision), 0);
	return decision->why;
}

static const struct gcl_place_decision *decision(unsigned i)
{
	assert_true(i < state.plan->count);
	return &state.plan->decisions[i];
}

/* ------------------------------------------------------------ formulas */

static void near(double value, double expected, double most)
{
	if (!(value >= expected - most && value <= expected + most))
		fail_msg("%.12g is not %.12g", value, expected);
}

static void a_command_takes_what_the_formula_says(void **unused)
{
	struct gcl_place_task *task = state_task(&state, 0, GIB);
	struct gcl_place_decision found;

	(void)unused;
	for (uint32_t i = 3; i < STATE_PLACES; i++)
		state.places[i].lost = true;
	state_task(&state, 1, GIB);
	state_shortage(&state, 3.);
	state.places[2].demand = 0.5;
	state.places[2].speed = 2.;
	task->carried = 1.25e5; /* 0.1 ms */
	considered(0, &found);
	assert_int_equal(found.to, 2);
	/* 1 ms, 9 ms, 18 ms of waiting */
	near(found.figures.here, 28e-3, 1e-9);
	near(found.figures.waiting, 18e-3, 1e-9);
	near(found.figures.link, 0.15e-3, 1e-9);
	/* 1 ms, 4.5 ms, 0.15 ms, and 0.5 + 4.5 / 5.65 times wanted */
	near(found.figures.there, 5.65e-3 + 4.5e-3 * (0.5 + 4.5 / 5.65 - 1.), 1e-9);
	near(found.figures.horizon, 300., 1e-9);
	near(found.figures.saved, 300. * (1. - found.figures.there / found.figures.here), 1e-9);
}

static void kernels_are_taken_as_measured_there(void **unused)
{
	struct gcl_place_task *task = state_task(&state, 0, GIB);
	struct gcl_place_decision found;

	(void)unused;
	for (uint32_t i = 3; i < STATE_PLACES; i++)
		state.places[i].lost = true;
	state_shortage(&state, 3.);
	task->trips = task->carried = 0.;
	task->kernel_there = 2e-3;
	task->there = 2;
	considered(0, &found);
	near(found.figures.there, 3e-3, 1e-9);
	/* Kernels were faster there than its speed says, which is believed of another to the half.
	 */
	task->there = 3;
	state.places[3].speed_seen = 3.;
	state.places[2].speed = 2.;
	considered(0, &found);
	near(found.figures.there, 1e-3 + 4.5e-3 * 2. / 3., 1e-9);
	state.places[3].speed_seen = 0.1;
	considered(0, &found);
	near(found.figures.there, 1e-3 + 4.5e-3 / 2., 1e-9);
	/* What a server says of itself is believed to the double, what it has shown entirely. */
	task->kernel_there = 0.;
	state.places[2].speed = 500.;
	considered(0, &found);
	near(found.figures.there, 1e-3 + 4.5e-3, 1e-9);
	state.places[2].speed_seen = 9.;
	considered(0, &found);
	near(found.figures.there, 1e-3 + 1e-3, 1e-9);
}

static void a_move_costs_what_the_formula_says(void **unused)
{
	struct gcl_place_task *task = state_task(&state, 0, 4 * GIB);
	struct gcl_place_decision found;

	(void)unused;
	state_shortage(&state, 3.);
	state.places[1].draining = true;
	task->bytes = 1250000000; /* 1 s */
	task->dirty = 1.25e8;	  /* then 0.1 s, then 0.01 s */
	task->build = 0.5;
	considered(0, &found);
	assert_int_equal(found.figures.rounds, 3);
	near(found.figures.copied, 1.25e9 * 1.11, 1.);
	near(found.figures.copying, 1.1 + 0.5, 1e-9);
	near(found.figures.pause, 0.01 + 3 * 5e-4, 1e-9);
	near(found.figures.lost, 0.0115 + 0.16, 1e-9);
	/* What is written as fast as it is copied gets no smaller. */
	task->dirty = 1.2e9;
	considered(0, &found);
	assert_int_equal(found.figures.rounds, 1);
	near(found.figures.pause, 1. + 3 * 5e-4, 1e-9);
	/* Another move shares the link. */
	state.view.moving = 1;
	considered(0, &found);
	near(found.figures.pause, 2. + 3 * 5e-4, 1e-9);
}

/* ------------------------------------------------------------ waiting */

static void who_waits_goes_and_no_more_than_needed(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < 3; i++)
		state_task(&state, i, GIB);
	state_shortage(&state, 2.7);
	/* Two that go leave a device for the third. */
	assert_int_equal(state_decide(&state, &gcl_place_balance, GCL_PLACE_TICK), 2);
	assert_int_equal(decision(0)->why, GCL_PLACE_GO_WAITING);
	assert_int_not_equal(decision(0)->to, decision(1)->to);
	assert_int_equal(state_decide(&state, &gcl_place_two, GCL_PLACE_TICK), 2);
	assert_int_equal(state_decide(&state, &gcl_place_memory, GCL_PLACE_TICK), 0);
	assert_int_equal(state_decide(&state, &gcl_place_stay, GCL_PLACE_TICK), 0);
}

static void the_cheapest_goes_first(void **unused)
{
	(void)unused;
	state_task(&state, 0, 4 * GIB);
	state_task(&state, 1, 64 * MIB);
	state_task(&state, 2, 2 * GIB);
	state_shortage(&state, 2.7);
	state_decide(&state, &gcl_place_balance, GCL_PLACE_TICK);
	assert_int_equal(decision(0)->task, 1);
}

static void nobody_goes_to_its_own_disadvantage(void **unused)
{
	struct gcl_place_task *task = state_task(&state, 0, 64 * MIB);
	struct gcl_place_decision found;

	(void)unused;
	state_shortage(&state, 2.);
	/* A round trip for each command, of 100 ms. */
	task->trips = 1.;
	state.places[1].demand = 5.;
	for (uint32_t i = 2; i < STATE_PLACES; i++)
		state.places[i].rtt = 0.1;
	assert_int_equal(considered(0, &found), GCL_PLACE_STAY_NO_FASTER);
	assert_int_equal(state_decide(&state, &gcl_place_balance, GCL_PLACE_TICK), 0);
	assert_int_equal(state_decide(&state, &gcl_place_greedy, GCL_PLACE_TICK), 1);
}

static void nobody_goes_where_others_lose_more(void **unused)
{
	struct gcl_place_task *task = state_task(&state, 0, 64 * MIB);
	struct gcl_place_decision found;

	(void)unused;
	state_shortage(&state, 1.2);
	task->waited = task->kernel * 7.;
	for (uint32_t i = 1; i < STATE_PLACES; i++)
		state.places[i].demand = 0.9;
	assert_int_equal(considered(0, &found), GCL_PLACE_STAY_COST);
	assert_true(found.figures.saved > 10. * found.figures.lost);
	assert_true(found.figures.score < 0.);
}

static void a_slow_server_is_left_whatever_it_says(void **unused)
{
	struct gcl_place_task *task = state_task(&state, 0, 64 * MIB);

	(void)unused;
	gcl_place_moved(task, 2, state.view.now - 100.);
	state.places[0].demand = 1.5;
	state.places[2].speed = 100.;
	task->there = 2;
	task->kernel_there = 20. * task->kernel;
	assert_int_equal(state_decide(&state, &gcl_place_balance, GCL_PLACE_TICK), 1);
	assert_int_equal(decision(0)->from, 2);
	/* Even if home is the only place, and busy. */
	for (uint32_t i = 1; i < STATE_PLACES; i++)
		state.places[i].draining = i != 2;
	assert_int_equal(state_decide(&state, &gcl_place_balance, GCL_PLACE_TICK), 1);
	assert_int_equal(decision(0)->to, 0);
	state.places[0].demand = 30.;
	assert_int_equal(state_decide(&state, &gcl_place_balance, GCL_PLACE_TICK), 0);
}

static void a_task_goes_only_where_the_device_can_do_it(void **unused)
{
	struct gcl_place_task *task = state_task(&state, 0, GIB);
	struct gcl_place_decision found;

	(void)unused;
	state_shortage(&state, 3.);
	task->wants = 5;
	for (uint32_t i = 1; i < STATE_PLACES; i++)
		state.places[i].can = 3;
	assert_int_equal(considered(0, &found), GCL_PLACE_STAY_NOWHERE);
	state.places[4].can = 7;
	assert_int_equal(considered(0, &found), GCL_PLACE_GO_WAITING);
	assert_int_equal(found.to, 4);
	assert_int_equal(state_decide(&state, &gcl_place_two, GCL_PLACE_TICK), 1);
	assert_int_equal(decision(0)->to, 4);
}

static void who_stays_knows_why(void **unused)
{
	struct gcl_place_task *task = state_task(&state, 0, 2 * GIB);
	struct gcl_place_decision found;

	(void)unused;
	assert_int_equal(considered(0, &found), GCL_PLACE_STAY_CALM);
	state_shortage(&state, 3.);
	state.places[1].draining = true;
	assert_int_equal(considered(0, &found), GCL_PLACE_GO_WAITING);
	task->started = state.view.now - 0.1;
	assert_int_equal(considered(0, &found), GCL_PLACE_STAY_COST);
	task->started = 0.;
	state.view.moving = 4;
	assert_int_equal(considered(0, &found), GCL_PLACE_STAY_SLOTS);
	assert_int_equal(state_decide(&state, &gcl_place_balance, GCL_PLACE_TICK), 0);
	state.view.moving = 0;
	task->moved[0] = task->since = state.view.now - 10.;
	assert_int_equal(considered(0, &found), GCL_PLACE_STAY_NEW);
	task->since = state.view.now - 100.;
	for (unsigned i = 0; i < 4; i++)
		task->moved[i] = state.view.now - 100. * (i + 1);
	assert_int_equal(considered(0, &found), GCL_PLACE_STAY_MOVED);
	task->hold = GCL_PLACE_PINNED;
	assert_int_equal(considered(0, &found), GCL_PLACE_STAY_HELD);
	task->kernel = -1.;
	assert_int_equal(considered(0, &found), GCL_PLACE_STAY_ODD);
	memset(task->moved, 0, sizeof task->moved);
	task->hold = GCL_PLACE_FREE;
	task->kernel = 9e-3;
	for (uint32_t i = 1; i < STATE_PLACES; i++)
		state.places[i].free = GIB;
	assert_int_equal(considered(0, &found), GCL_PLACE_STAY_NOWHERE);
}

static void it_comes_home_when_there_is_room(void **unused)
{
	struct gcl_place_task *task = state_task(&state, 0, GIB);
	struct gcl_place_decision found;

	(void)unused;
	gcl_place_moved(task, 2, state.view.now - 100.);
	state.places[0].demand = 0.5;
	assert_int_equal(considered(0, &found), GCL_PLACE_STAY_AWAY);
	state.places[0].demand = 0.;
	assert_int_equal(considered(0, &found), GCL_PLACE_GO_HOME);
	assert_int_equal(state_decide(&state, &gcl_place_balance, GCL_PLACE_TICK), 1);
	assert_int_equal(decision(0)->to, 0);
	/* With a reserve besides. */
	state.places[0].free = GIB + 16 * GIB / 10 - 1;
	assert_int_equal(considered(0, &found), GCL_PLACE_STAY_AWAY);
	state.places[0].free++;
	assert_int_equal(considered(0, &found), GCL_PLACE_GO_HOME);
	/* One move must be left for going again. */
	for (unsigned i = 0; i < 3; i++)
		task->moved[i] = state.view.now - 200.;
	assert_int_equal(considered(0, &found), GCL_PLACE_STAY_MOVED);
	memset(task->moved, 0, sizeof task->moved);
	task->since = state.view.now - 10.;
	assert_int_equal(considered(0, &found), GCL_PLACE_STAY_NEW);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_command_takes_what_the_formula_says),
		TEST(kernels_are_taken_as_measured_there),
		TEST(a_move_costs_what_the_formula_says),
		TEST(who_waits_goes_and_no_more_than_needed),
		TEST(the_cheapest_goes_first),
		TEST(nobody_goes_to_its_own_disadvantage),
		TEST(nobody_goes_where_others_lose_more),
		TEST(a_slow_server_is_left_whatever_it_says),
		TEST(a_task_goes_only_where_the_device_can_do_it),
		TEST(who_stays_knows_why),
		TEST(it_comes_home_when_there_is_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
