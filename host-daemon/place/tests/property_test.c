/* SPDX-License-Identifier: MIT */
/*
 * What holds of every plan: random states, thousands of them, some with numbers that can't be.
 */
#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "check.h"
#include "explain.h"
#include "state.h"

#define STATES 20000

static struct state state;

static int setup(void **unused)
{
	(void)unused;
	state_init(&state);
	random_seed();
	return 0;
}

static int teardown(void **unused)
{
	(void)unused;
	state_fini(&state);
	return 0;
}

static struct gcl_place_event event_random(void)
{
	struct gcl_place_event event = {.kind = (enum gcl_place_event_kind)(random_next() % 5)};

	event.task = state.view.task_count ? (uint32_t)(random_next() % state.view.task_count) : 0;
	event.to = (uint32_t)(random_next() % STATE_PLACES);
	event.bytes = 1 + random_next() % (8 * GIB);
	event.quota = random_next() % 4 == 0;
	event.quota_left = random_next() % (2 * GIB);
	if (!state.view.task_count &&
	    (event.kind == GCL_PLACE_ALLOCATION || event.kind == GCL_PLACE_ORDER))
		event.kind = GCL_PLACE_TICK;
	return event;
}

static const struct gcl_place_policy *policy_random(void)
{
	return gcl_place_policies()[random_next() % 5];
}

static void figures_check(const struct gcl_place_figures *f)
{
	const double numbers[] = {f->here,	f->there,  f->waiting, f->link,	 f->demand,
				  f->demand_to, f->copied, f->copying, f->pause, f->lost,
				  f->horizon,	f->saved,  f->score};

	for (unsigned i = 0; i < GCL_ARRAY_SIZE(numbers); i++)
		assert_true(isfinite(numbers[i]));
	assert_true(f->here >= 0. && f->there >= 0. && f->lost >= 0. && f->copied >= 0.);
}

static bool voluntary(enum gcl_place_why why)
{
	return why == GCL_PLACE_GO_WAITING || why == GCL_PLACE_GO_HOME;
}

static unsigned moves_lately(const struct gcl_place_task *task)
{
	unsigned count = 0;

	for (unsigned i = 0; i < GCL_PLACE_HISTORY; i++)
		count += task->moved[i] > 0. &&
			 task->moved[i] >= state.view.now - state.settings.span;
	return count;
}

/* That a policy that isn't greedy keeps what place.h promises of going and coming. */
static void limits_check(const struct gcl_place_decision *decision)
{
	const struct gcl_place_task *task = &state.tasks[decision->task];
	const struct gcl_place_figures *figures = &decision->figures;
	unsigned moves = moves_lately(task);

	assert_int_equal(figures->moves, moves);
	if (moves)
		assert_true(state.view.now - task->since >= state.settings.stay_min);
	if (decision->why == GCL_PLACE_GO_HOME) {
		assert_int_equal(decision->to, task->home);
		assert_true(moves + 2 <= state.settings.moves_in_span);
		assert_true(figures->here >= figures->there);
	} else {
		assert_true(moves + (decision->to == task->home ? 2 : 1) <=
			    state.settings.moves_in_span);
		assert_true(figures->here >= figures->there * state.settings.go_ratio);
		assert_true(figures->saved >= figures->lost * state.settings.go_margin);
	}
}

static void decision_check(const struct gcl_place_policy *policy,
			   const struct gcl_place_decision *decision)
{
	const struct gcl_place_task *task;

	assert_true(decision->task < state.view.task_count);
	assert_true(decision->to < STATE_PLACES);
	assert_true(gcl_place_goes(decision->why));
	task = &state.tasks[decision->task];
	assert_true(gcl_place_task_sane(&state.view, task, STATE_VMS));
	assert_int_equal(decision->from, task->where);
	assert_int_not_equal(decision->to, decision->from);
	assert_true(!(task->wants & ~state.places[decision->to].can));
	if (decision->why == GCL_PLACE_GO_ORDER) {
		assert_true(task->hold == GCL_PLACE_FREE || task->hold == GCL_PLACE_PINNED);
		assert_true(gcl_place_sane(&state.places[decision->to]));
		assert_false(state.places[decision->to].lost);
	} else {
		assert_int_equal(task->hold, GCL_PLACE_FREE);
		assert_true(state_usable(&state, decision->to));
	}
	assert_true(!state.places[decision->from].lost || task->kept);
	if (voluntary(decision->why) && policy != &gcl_place_greedy)
		limits_check(decision);
	figures_check(&decision->figures);
}

/* No task twice, no place gets more than is free, no more moves than there may be at once. */
static void plan_check(const struct gcl_place_policy *policy)
{
	uint64_t needed[STATE_PLACES] = {0};
	bool seen[STATE_TASKS] = {false};
	unsigned begun = 0;

	for (unsigned i = 0; i < state.plan->count; i++) {
		const struct gcl_place_decision *decision = &state.plan->decisions[i];

		decision_check(policy, decision);
		assert_false(seen[decision->task]);
		seen[decision->task] = true;
		needed[decision->to] += decision->figures.needs;
		begun += voluntary(decision->why) || decision->why == GCL_PLACE_GO_DRAIN;
	}
	for (uint32_t i = 0; i < STATE_PLACES; i++)
		assert_true(!needed[i] || needed[i] <= state.places[i].free);
	assert_true(!begun || begun + state.view.moving <= state.settings.moves_at_once);
}

static void allocation_check(const struct gcl_place_event *event)
{
	const struct gcl_place_task *asks = &state.tasks[event->task];
	uint64_t freed;

	if (state.plan->refused) {
		assert_int_equal(state.plan->count, 0);
		return;
	}
	freed = state.places[asks->where].free;
	if (event->quota)
		freed = GCL_MIN(freed, event->quota_left);
	for (unsigned i = 0; i < state.plan->count; i++) {
		const struct gcl_place_decision *decision = &state.plan->decisions[i];
		const struct gcl_place_task *task = &state.tasks[decision->task];

		if (decision->why == GCL_PLACE_GO_ASKING) {
			assert_int_equal(decision->task, event->task);
			assert_int_equal(state.plan->count, 1);
			assert_true(decision->figures.needs == asks->memory + event->bytes);
			return;
		}
		assert_int_equal(task->where, asks->where);
		assert_true(!event->quota || task->vm == asks->vm);
		freed += task->memory;
	}
	/* A place's own tasks that it hasn't announced yet make less of it free. */
	assert_true(!state.plan->count || freed >= event->bytes);
}

static void json_of_plan(char *text, size_t size)
{
	size_t used = 0;

	for (unsigned i = 0; i < state.plan->count && used < size; i++)
		used += (size_t)gcl_explain_json(&state.view, &state.plan->decisions[i],
						 text + used, size - used);
}

static void once(void)
{
	static char first[GCL_PLACE_DECISIONS_MAX * 1024], second[sizeof first];
	const struct gcl_place_policy *policy = policy_random();
	struct gcl_place_event event = event_random();

	first[0] = second[0] = '\0';
	assert_int_equal(gcl_place_decide(policy, &state.view, &event, state.plan), 0);
	plan_check(policy);
	if (event.kind == GCL_PLACE_ALLOCATION)
		allocation_check(&event);
	json_of_plan(first, sizeof first);
	assert_int_equal(gcl_place_decide(policy, &state.view, &event, state.plan), 0);
	json_of_plan(second, sizeof second);
	assert_string_equal(first, second);
}

static void plans_are_valid_and_repeatable(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < STATES; i++) {
		state_random(&state);
		once();
	}
}

static void odd_numbers_decide_nothing(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < STATES; i++) {
		state_random(&state);
		state_spoil(&state);
		once();
	}
}

static void odd_settings_are_refused(void **unused)
{
	static const double odds[] = {NAN, -1., INFINITY, -INFINITY, 1e300};
	struct gcl_place_settings good = state.settings;
	struct gcl_place_event event = {.kind = GCL_PLACE_TICK};

	(void)unused;
	for (unsigned i = 0; i < GCL_ARRAY_SIZE(odds); i++) {
		double *numbers[] = {&state.settings.stay_min,
				     &state.settings.span,
				     &state.settings.flee_ratio,
				     &state.settings.back_reserve,
				     &state.settings.horizon,
				     &state.settings.stale,
				     &state.view.now,
				     &state.view.uplink};
		struct gcl_place_view view = state.view;

		*numbers[random_next() % GCL_ARRAY_SIZE(numbers)] = odds[i];
		assert_true(gcl_place_decide(&gcl_place_two, &state.view, &event, state.plan) < 0);
		state.settings = good;
		state.view = view;
	}
	state.settings.moves_in_span = GCL_PLACE_HISTORY + 1;
	assert_true(gcl_place_decide(&gcl_place_two, &state.view, &event, state.plan) < 0);
}

static uint32_t tasks_in(uint32_t place)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < state.view.task_count; i++)
		count += state.tasks[i].where == place && state.tasks[i].hold == GCL_PLACE_FREE;
	return count;
}

/* Wherever there is room for all, a place that is drained is empty in the end, but for what can't
 * be moved. */
static void drains_empty_a_place(void **unused)
{
	(void)unused;
	for (unsigned round = 0; round < 500; round++) {
		const struct gcl_place_policy *policy = gcl_place_policies()[1 + random_next() % 4];
		uint32_t place = (uint32_t)(random_next() % STATE_PLACES);

		state_random(&state);
		state.view.moving = 0;
		for (uint32_t i = 0; i < STATE_PLACES; i++) {
			struct gcl_place *each = &state.places[i];

			each->lost = false;
			each->draining = i == place;
			each->avoid_until = each->age = 0.;
			each->can = 3;
			each->memory = each->free = 1024 * GIB;
		}
		for (unsigned i = 0; i <= STATE_TASKS && tasks_in(place); i++) {
			assert_true(state_decide(&state, policy, GCL_PLACE_DRAIN) > 0);
			state_apply(&state);
			state.view.now += 1.;
		}
		assert_int_equal(tasks_in(place), 0);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(plans_are_valid_and_repeatable),
		TEST(odd_numbers_decide_nothing),
		TEST(odd_settings_are_refused),
		TEST(drains_empty_a_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
