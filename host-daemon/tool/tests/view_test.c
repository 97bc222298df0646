// SPDX-License-Identifier: MIT
/*
 * Names made safe and rates of any two answers.
 */
#include "view.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

/* Random enough, and the same each time (xorshift, Marsaglia 2003). */
static uint32_t seed = 2463534242u;

static unsigned random_below(unsigned limit)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % limit;
}

static void test_clean(void **state)
{
	static const struct {
		const char *text, *clean;
	} names[] = {
		{NULL, ""},
		{"web1", "web1"},
		{"a\033[2Jb\n\t\177", "a?[2Jb???"},
		{"\302\233", "?"}, /* U+009B, CSI */
		{"\303\244\346\227\245\360\237\230\200", "\303\244\346\227\245\360\237\230\200"},
		{"\342\200\256x\342\200\254", "?x?"},	/* turn the direction */
		{"\300\200\355\240\200\377", "??????"}, /* no UTF-8 */
		{"\346\227", "??"},
		{"\364\220\200\200", "????"},
	};
	char copy[64];

	(void)state;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(names); i++) {
		gcl_view_clean(copy, sizeof copy, names[i].text);
		assert_string_equal(copy, names[i].clean);
	}
	/* No half of a character. */
	gcl_view_clean(copy, 4, "ab\303\244");
	assert_string_equal(copy, "ab");
}

/* Any bytes: what comes out is terminated, no longer, and without control characters. */
static void test_clean_random(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		char text[24], copy[16];
		size_t size = random_below(sizeof text), room = 1 + random_below(sizeof copy);

		for (size_t j = 0; j < size; j++)
			text[j] = (char)(random_below(4) ? random_below(256) : 0xe2);
		text[size ? size - 1 : 0] = '\0';
		memset(copy, 'x', sizeof copy);
		gcl_view_clean(copy, room, text);
		assert_true(strlen(copy) < room);
		for (const char *c = copy; *c; c++)
			assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
	}
}

static void test_numbers(void **state)
{
	char text[32];

	(void)state;
	assert_string_equal(gcl_view_bytes(0, text, sizeof text), "0B");
	assert_string_equal(gcl_view_bytes(999, text, sizeof text), "999B");
	assert_string_equal(gcl_view_bytes(1000, text, sizeof text), "1.0K");
	assert_string_equal(gcl_view_bytes(1.5 * (1 << 30), text, sizeof text), "1.5G");
	assert_string_equal(gcl_view_bytes(18446744073709551615., text, sizeof text), "16.0E");
	assert_string_equal(gcl_view_count(9999, text, sizeof text), "9999");
	assert_string_equal(gcl_view_count(12345, text, sizeof text), "12.3k");
	assert_string_equal(gcl_view_percent(0.5, text, sizeof text), "50.0%");
	assert_string_equal(gcl_view_age(3661, text, sizeof text), "1h01m");
	assert_string_equal(gcl_view_age(-1, text, sizeof text), "0s");
}

static uint64_t any_number(void)
{
	static const uint64_t edges[] = {0, 1, 1000000000, INT64_MAX, UINT64_MAX - 1, UINT64_MAX};

	return random_below(2) ? edges[random_below(GCL_ARRAY_SIZE(edges))]
			       : random_below(UINT32_MAX);
}

static void any_view(struct gcl_view *view)
{
	memset(view, 0, sizeof *view);
	view->time = any_number();
	view->pid = random_below(2);
	view->vms.count = random_below(4);
	view->vms.rows = calloc(4, sizeof *view->vms.rows);
	assert_non_null(view->vms.rows);
	for (size_t i = 0; i < view->vms.count; i++) {
		struct gcl_view_row *row = &view->vms.rows[i];

		snprintf(row->id, sizeof row->id, "vm-%u", random_below(4));
		row->counts.busy = any_number();
		row->counts.wait = any_number();
		row->counts.from_guest = any_number();
		row->counts.to_guest = any_number();
		row->counts.calls = any_number();
		row->counts.errors = any_number();
	}
}

static void assert_rate(double rate)
{
	assert_true(isfinite(rate));
	assert_true(rate >= 0.);
}

/* Any two views: no rate is negative, infinite or no number. */
static void test_rates_random(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		struct gcl_view before, after;

		any_view(&before);
		any_view(&after);
		gcl_view_rate(&after, &before);
		for (size_t j = 0; j < after.vms.count; j++) {
			const struct gcl_view_rate *rate = &after.vms.rows[j].rate;

			assert_rate(rate->busy);
			assert_rate(rate->wait);
			assert_rate(rate->from_guest);
			assert_rate(rate->to_guest);
			assert_rate(rate->calls);
			assert_rate(rate->errors);
		}
		gcl_view_fini(&before);
		gcl_view_fini(&after);
	}
}

static void test_rates(void **state)
{
	struct gcl_view_row old[] = {{.id = "a", .counts.busy = 10},
				     {.id = "b", .counts.calls = 5}};
	struct gcl_view_row new[] = {{.id = "b", .counts.calls = 25},
				     {.id = "c", .counts.calls = 5},
				     {.id = "a", .counts.busy = 500000010}};
	struct gcl_view before = {.time = 1000000000, .vms = {old, 2}};
	struct gcl_view after = {.time = 3000000000, .vms = {new, 3}};

	(void)state;
	gcl_view_rate(&after, &before);
	assert_true(after.rated);
	assert_true(fabs(new[0].rate.calls - 10.) < 1e-9);
	assert_true(fabs(new[1].rate.calls) < 1e-9);
	assert_true(fabs(new[2].rate.busy - .25) < 1e-9);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),	     cmocka_unit_test(test_clean_random),
		cmocka_unit_test(test_numbers),	     cmocka_unit_test(test_rates),
		cmocka_unit_test(test_rates_random),
	};

	return cmocka_run_group_tests_name("view", tests, NULL, NULL);
}
