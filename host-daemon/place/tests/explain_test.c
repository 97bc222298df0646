/* SPDX-License-Identifier: MIT */
/*
 * What is said of decisions: complete, and no more than fits, whatever servers call themselves.
 */
#include <string.h>

#include "explain.h"
#include "state.h"

static struct state state;
static char text[GCL_EXPLAIN_MAX];

static int setup(void **unused)
{
	(void)unused;
	state_init(&state);
	state_task(&state, 0, GIB);
	state_task(&state, 1, GIB);
	state_shortage(&state, 3.);
	return 0;
}

static int teardown(void **unused)
{
	(void)unused;
	state_fini(&state);
	return 0;
}

static void consider(struct gcl_place_decision *decision)
{
	assert_int_equal(
		gcl_place_consider(&gcl_place_balance, &state.view, 0, state.plan, decision), 0);
}

static void figures_are_told(void **unused)
{
	static const char *const parts[] = {
		"100: goes from gpu0 to ",
		": it waits longer than a move costs\n",
		"a command takes 28.000 ms in gpu0, 18.000 ms of it waiting;",
		"demand there is 3.00\n",
		"holds 1024.0 MiB, was moved 0 times lately\n",
		"needs 1024.0 MiB of 16384.0 MiB that are free there\n",
		"a move copies 102", /* 4.something MiB */
		"in the next 300.0 s; score ",
	};
	struct gcl_place_decision decision;

	(void)unused;
	consider(&decision);
	gcl_explain_text(&state.view, &decision, text, sizeof text);
	for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++)
		assert_non_null(strstr(text, parts[i]));
	gcl_explain_json(&state.view, &decision, text, sizeof text);
	assert_non_null(strstr(text, "{\"task\": 100, \"goes\": true, \"why\": \"waiting\""));
	assert_non_null(strstr(text, "\"here\": 0.028, \"waiting\": 0.018, \"demand\": 3,"));
}

static void who_stays_is_told_why(void **unused)
{
	static const char line[] =
		"100: stays in gpu0: it can't be moved: pinned by the operator\n";
	struct gcl_place_decision decision;

	(void)unused;
	state.tasks[0].hold = GCL_PLACE_PINNED;
	consider(&decision);
	gcl_explain_text(&state.view, &decision, text, sizeof text);
	assert_int_equal(strncmp(text, line, strlen(line)), 0);
	gcl_explain_json(&state.view, &decision, text, sizeof text);
	assert_non_null(strstr(text, "\"goes\": false, \"why\": \"held\""));
	assert_null(strstr(text, "\"to\""));
}

static void all_reasons_have_words(void **unused)
{
	struct gcl_place_decision decision;

	(void)unused;
	consider(&decision);
	for (unsigned i = 0; i < GCL_PLACE_WHYS; i++) {
		decision.why = (enum gcl_place_why)i;
		assert_non_null(gcl_place_why_name(decision.why));
		assert_null(strstr(gcl_place_why_name(decision.why), "unknown"));
		gcl_explain_text(&state.view, &decision, text, sizeof text);
		assert_null(strstr(text, "(null)"));
	}
	assert_string_equal(gcl_place_why_name(GCL_PLACE_WHYS), "unknown");
}

static void names_can_be_anything(void **unused)
{
	char name[5000];
	struct gcl_place_decision decision;

	(void)unused;
	memset(name, 'x', sizeof name);
	memcpy(name, "\"\\\n\033[2J\xff{}", 10);
	name[sizeof name - 1] = '\0';
	for (uint32_t i = 0; i < STATE_PLACES; i++)
		state.places[i].name = name;
	consider(&decision);
	assert_true(gcl_explain_text(&state.view, &decision, text, sizeof text) < GCL_EXPLAIN_MAX);
	assert_null(strchr(text, '\033'));
	assert_true(gcl_explain_json(&state.view, &decision, text, sizeof text) < GCL_EXPLAIN_MAX);
	assert_null(strchr(text, '\\'));
	assert_null(strchr(text, '\n'));
	assert_non_null(strstr(text, "\"from\": \"????[2J?{}xxx"));
	state.places[0].name = NULL;
	gcl_explain_text(&state.view, &decision, text, sizeof text);
}

static void it_is_cut_off_where_room_ends(void **unused)
{
	struct gcl_place_decision decision;
	char whole[GCL_EXPLAIN_MAX];
	int length;

	(void)unused;
	consider(&decision);
	length = gcl_explain_json(&state.view, &decision, whole, sizeof whole);
	for (size_t size = 1; size < (size_t)length + 2; size++) {
		memset(text, '#', sizeof text);
		assert_int_equal(gcl_explain_json(&state.view, &decision, text, size), length);
		assert_true(strlen(text) < size);
		assert_memory_equal(text, whole, strlen(text));
		assert_int_equal(text[size], '#');
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(figures_are_told),
		TEST(who_stays_is_told_why),
		TEST(all_reasons_have_words),
		TEST(names_can_be_anything),
		TEST(it_is_cut_off_where_room_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
