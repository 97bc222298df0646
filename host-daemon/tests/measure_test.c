// SPDX-License-Identifier: MIT
/*
 * What a session's commands take, by counters of its page.
 */
#include <string.h>

#include "broker/measure.h"
#include "test.h"

static struct gcl_page page;

/* What a page says of one second. */
struct second {
	uint64_t commands, waits, idle_ms, away_ms, busy_ms, wait_ms;
};

static void page_add(const struct second *second)
{
	gcl_page_add(&page.task.commands, second->commands);
	gcl_page_add(&page.task.waits, second->waits);
	gcl_page_add(&page.task.idle_time, second->idle_ms * 1000000);
	gcl_page_add(&page.task.away_time, second->away_ms * 1000000);
	gcl_page_add(&page.counts.device_time[0], second->busy_ms * 1000000);
	gcl_page_add(&page.counts.wait_time[0], second->wait_ms * 1000000);
	gcl_page_add(&page.counts.bytes_from_guest, second->commands * 1000);
}

static void measure_for(struct gcl_measure *measure, const struct second *second, unsigned seconds)
{
	for (unsigned i = 0; i < seconds; i++) {
		page_add(second);
		gcl_measure_look(measure, &page, 0,
				 (measure->looked > 0. ? measure->looked : 1.) + 1.);
	}
}

static void test_home(void **state)
{
	const struct second second = {
		.commands = 100, .waits = 50, .busy_ms = 500, .wait_ms = 300, .idle_ms = 100};
	struct gcl_place_task task = {0};
	struct gcl_measure measure = {0};

	(void)state;
	memset(&page, 0, sizeof page);
	measure_for(&measure, &second, 60);
	gcl_measure_home(&measure, 1., true, &task);
	ABOUT(task.kernel, 5e-3);
	ABOUT(task.waited, 3e-3);
	ABOUT(task.think, 2e-3);
	ABOUT(task.trips, 0.5);
	ABOUT(task.carried, 1000.);
	ABOUT(gcl_measure_use(&measure, 1.), 0.5 / 0.7);
	/* The device works for two at once. */
	gcl_measure_home(&measure, 2., true, &task);
	ABOUT(task.kernel, 2.5e-3);
	ABOUT(task.waited, 5.5e-3);
	/* A ceiling has it wait. */
	gcl_measure_home(&measure, 1., false, &task);
	assert_true(task.waited < 1e-9);
}

static void test_away(void **state)
{
	const struct second home = {.commands = 100, .busy_ms = 500};
	const struct second away = {.commands = 100, .waits = 100, .away_ms = 400, .idle_ms = 300};
	struct gcl_place_task task = {0};
	struct gcl_measure measure = {0};

	(void)state;
	memset(&page, 0, sizeof page);
	measure_for(&measure, &home, 60);
	gcl_measure_home(&measure, 1., true, &task);
	gcl_measure_anew(&measure);
	measure_for(&measure, &away, 60);
	gcl_measure_away(&measure, 1e-3, &task);
	ABOUT(task.kernel, 5e-3);
	ABOUT(task.kernel_there, 4e-3);
	ABOUT(task.think, 3e-3);
	ABOUT(task.waited, 2e-3);
	ABOUT(gcl_measure_trip(&measure), 3e-3);
}

static void test_idle(void **state)
{
	const struct second busy = {.commands = 100, .busy_ms = 500}, none = {0};
	struct gcl_place_task task = {0};
	struct gcl_measure measure = {0};

	(void)state;
	memset(&page, 0, sizeof page);
	measure_for(&measure, &busy, 60);
	measure_for(&measure, &none, 300);
	gcl_measure_home(&measure, 1., true, &task);
	assert_true(task.kernel <= 0. && task.waited <= 0.);
	assert_true(gcl_measure_use(&measure, 1.) < 1e-6);
}

/* The first means are of all that was seen, and there are none before that is enough. */
static void test_early(void **state)
{
	const struct second second = {.commands = 100, .waits = 50, .busy_ms = 500, .wait_ms = 300};
	struct gcl_place_task task = {0};
	struct gcl_measure measure = {0};

	(void)state;
	memset(&page, 0, sizeof page);
	measure_for(&measure, &second, 2);
	gcl_measure_home(&measure, 1., true, &task);
	assert_true(task.kernel <= 0. && gcl_measure_use(&measure, 1.) <= 0.);
	measure_for(&measure, &second, 1);
	gcl_measure_home(&measure, 1., true, &task);
	ABOUT(task.kernel, 5e-3);
	ABOUT(task.waited, 3e-3);
	ABOUT(gcl_measure_use(&measure, 1.), 0.5 / 0.7);
	gcl_measure_anew(&measure);
	gcl_measure_home(&measure, 1., true, &task);
	assert_true(task.kernel <= 0.);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_home),
		cmocka_unit_test(test_away),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_early),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
