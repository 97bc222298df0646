/* SPDX-License-Identifier: MIT */
/*
 * What is decided of allocations that don't fit, orders, drains and lost places, in states of a few
 * tasks.
 */
#include <errno.h>

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

static int allocate(const struct gcl_place_policy *policy, uint32_t task, uint64_t bytes,
		    bool quota)
{
	struct gcl_place_event event = {
		.kind = GCL_PLACE_ALLOCATION, .task = task, .bytes = bytes, .quota = quota};

	assert_int_equal(gcl_place_decide(policy, &state.view, &event, state.plan), 0);
	return state.plan->refused ? -1 : (int)state.plan->count;
}

static int order(uint32_t task, uint32_t to)
{
	struct gcl_place_event event = {.kind = GCL_PLACE_ORDER, .task = task, .to = to};

	assert_int_equal(gcl_place_decide(&gcl_place_stay, &state.view, &event, state.plan), 0);
	return state.plan->refused ? -1 : (int)state.plan->count;
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

/* ------------------------------------------------------------ memory */

static void the_one_that_frees_most_for_least_makes_room(void **unused)
{
	struct gcl_place_task *task;

	(void)unused;
	state_task(&state, 0, 6 * GIB);
	task = state_task(&state, 0, 4 * GIB);
	state_task(&state, 0, 5 * GIB);
	/* Large, but most of it needn't be carried. */
	task->bytes = 16 * MIB;
	state.places[0].demand = 0.5;
	assert_int_equal(allocate(&gcl_place_memory, 0, 3 * GIB, false), 1);
	assert_int_equal(decision(0)->task, 1);
	assert_int_equal(decision(0)->why, GCL_PLACE_GO_ROOM);
	/* What fits moves nothing. */
	assert_int_equal(allocate(&gcl_place_memory, 0, GIB, false), 0);
	assert_int_equal(allocate(&gcl_place_stay, 0, 3 * GIB, false), -1);
	/* More than any place has. */
	assert_int_equal(allocate(&gcl_place_memory, 0, 40 * GIB, false), -1);
	assert_int_equal(allocate(&gcl_place_memory, 0, UINT64_MAX, false), -1);
}

static void several_make_room_and_no_more_than_needed(void **unused)
{
	uint64_t freed = 0;

	(void)unused;
	state_task(&state, 0, 8 * GIB);
	for (unsigned i = 0; i < 7; i++)
		state_task(&state, 0, GIB);
	state.places[0].demand = 0.5;
	state.tasks[0].bytes = 8 * GIB;
	state.tasks[0].hold = GCL_PLACE_PINNED;
	assert_int_equal(allocate(&gcl_place_balance, 0, 4 * GIB, false), 3);
	for (unsigned i = 0; i < 3; i++)
		freed += decision(i)->figures.memory;
	assert_true(freed == 3 * GIB);
}

static void who_is_not_needed_after_all_stays(void **unused)
{
	(void)unused;
	state_task(&state, 0, 8 * GIB);
	state_task(&state, 0, GIB);
	state_task(&state, 0, 5 * GIB);
	state.places[0].demand = 0.5;
	state.tasks[0].hold = GCL_PLACE_SHARED;
	/* The first that comes to mind, but the other one is needed, and enough. */
	state.tasks[1].bytes = 0;
	assert_int_equal(allocate(&gcl_place_memory, 0, 6 * GIB, false), 1);
	assert_int_equal(decision(0)->task, 2);
}

static void a_quota_is_met_by_its_own_vm(void **unused)
{
	struct gcl_place_event event = {.kind = GCL_PLACE_ALLOCATION,
					.bytes = 4 * GIB,
					.quota = true,
					.quota_left = 3 * GIB};

	(void)unused;
	state_task(&state, 0, 2 * GIB);
	state_task(&state, 0, GIB);
	state_task(&state, 1, 8 * GIB);
	state.places[0].demand = 0.5;
	state.tasks[0].hold = GCL_PLACE_SHARED;
	assert_int_equal(gcl_place_decide(&gcl_place_memory, &state.view, &event, state.plan), 0);
	assert_int_equal(state.plan->count, 1);
	assert_int_equal(decision(0)->task, 1);
	/* What is left of the quota would hold this, and the device does. */
	event.bytes = 3 * GIB;
	assert_int_equal(gcl_place_decide(&gcl_place_memory, &state.view, &event, state.plan), 0);
	assert_int_equal(state.plan->count, 0);
	assert_false(state.plan->refused);
}

static void the_asking_one_goes_if_that_is_least(void **unused)
{
	(void)unused;
	state_task(&state, 0, 64 * MIB);
	state_task(&state, 0, 15 * GIB);
	state.places[0].demand = 0.5;
	assert_int_equal(allocate(&gcl_place_memory, 0, 2 * GIB, false), 1);
	assert_int_equal(decision(0)->task, 0);
	assert_int_equal(decision(0)->why, GCL_PLACE_GO_ASKING);
	assert_true(decision(0)->figures.needs == 2 * GIB + 64 * MIB);
}

static void nobody_is_driven_out_by_a_vm_that_has_more(void **unused)
{
	(void)unused;
	state_task(&state, 0, 10 * GIB);
	state_task(&state, 1, 5 * GIB);
	state.places[0].demand = 0.5;
	state.tasks[0].hold = GCL_PLACE_SHARED;
	assert_int_equal(allocate(&gcl_place_memory, 0, 2 * GIB, false), -1);
	/* The other way round. */
	state.tasks[0].hold = GCL_PLACE_FREE;
	state.tasks[1].hold = GCL_PLACE_SHARED;
	assert_int_equal(allocate(&gcl_place_memory, 1, 2 * GIB, false), 1);
	assert_int_equal(decision(0)->task, 0);
	/* A quota is no matter of others. */
	assert_int_equal(allocate(&gcl_place_memory, 1, 2 * GIB, true), -1);
	/* Nor if it weighs that much more. */
	state.tasks[0].weight = 10.;
	assert_int_equal(allocate(&gcl_place_memory, 1, 2 * GIB, false), -1);
}

/* ------------------------------------------------------------ orders, drains, losses */

static void the_operator_moves_what_can_be_moved(void **unused)
{
	struct gcl_place_task *task = state_task(&state, 0, GIB);

	(void)unused;
	task->hold = GCL_PLACE_PINNED;
	assert_int_equal(order(0, 3), 1);
	assert_int_equal(decision(0)->why, GCL_PLACE_GO_ORDER);
	assert_int_equal(order(0, 0), -1);
	state.places[3].free = GIB - 1;
	assert_int_equal(order(0, 3), -1);
	state.places[4].lost = true;
	assert_int_equal(order(0, 4), -1);
	state.places[5].rtt = -1.;
	assert_int_equal(order(0, 5), -1);
	task->hold = GCL_PLACE_UNFIT;
	assert_int_equal(order(0, 2), -1);
}

static void who_is_in_a_lost_place_goes_if_it_was_kept(void **unused)
{
	struct gcl_place_task *task = state_task(&state, 0, GIB);
	struct gcl_place_decision found;

	(void)unused;
	task->where = 3;
	/* Also one that said what can't be. */
	state.places[3].demand = -1.;
	state.places[3].lost = true;
	assert_int_equal(state_decide(&state, &gcl_place_balance, GCL_PLACE_LOST), 0);
	assert_int_equal(considered(0, &found), GCL_PLACE_STAY_GONE);
	task->kept = true;
	assert_int_equal(state_decide(&state, &gcl_place_balance, GCL_PLACE_LOST), 1);
	assert_int_equal(decision(0)->why, GCL_PLACE_GO_LOST);
	assert_int_equal(state_decide(&state, &gcl_place_stay, GCL_PLACE_LOST), 0);
}

static void what_makes_no_sense_is_refused(void **unused)
{
	struct gcl_place_event event = {.kind = GCL_PLACE_ORDER, .task = 7, .to = 1};
	struct gcl_place_plan *plan;

	(void)unused;
	assert_int_equal(gcl_place_decide(&gcl_place_two, &state.view, &event, state.plan),
			 -EINVAL);
	event.kind = GCL_PLACE_TICK;
	state.view.uplink = 0.;
	assert_int_equal(gcl_place_decide(&gcl_place_two, &state.view, &event, state.plan),
			 -EINVAL);
	state.view.uplink = 1e9;
	state.view.task_count = STATE_TASKS + 1;
	assert_int_equal(gcl_place_decide(&gcl_place_two, &state.view, &event, state.plan), -E2BIG);
	assert_int_equal(gcl_place_plan_create(GCL_PLACE_TASKS_MAX + 1, 1, 1, &plan), -E2BIG);
	assert_null(gcl_place_policy_find("best"));
	assert_ptr_equal(gcl_place_policy_find("two"), &gcl_place_two);
	gcl_place_plan_destroy(NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_one_that_frees_most_for_least_makes_room),
		TEST(several_make_room_and_no_more_than_needed),
		TEST(who_is_not_needed_after_all_stays),
		TEST(a_quota_is_met_by_its_own_vm),
		TEST(the_asking_one_goes_if_that_is_least),
		TEST(nobody_is_driven_out_by_a_vm_that_has_more),
		TEST(the_operator_moves_what_can_be_moved),
		TEST(who_is_in_a_lost_place_goes_if_it_was_kept),
		TEST(what_makes_no_sense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
