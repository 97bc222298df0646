// SPDX-License-Identifier: MIT
/*
 * Sessions that move by themselves: a daemon with two sessions, whose workers say that they keep
 * its only device busy, and another one that is a server. No test moves more than figures.
 */
#include <string.h>
#include <sys/wait.h>

#include "daemon.h"
#include "fake-load.h"
#include "move.h"

#define GUESTS 2

/* The least. */
#define STAY "placement-stay = 5s\n"

static struct {
	struct daemon far, home;
	struct gcl_channel *guests[GUESTS];
} test;

/* Percent that the device works for each session, and that this waits. */
static void load(unsigned busy, unsigned waits)
{
	char path[128], temporary[136];
	FILE *file;

	snprintf(path, sizeof path, "%s.load", test.home.plan);
	snprintf(temporary, sizeof temporary, "%s.new", path);
	file = fopen(temporary, "we");
	assert_non_null(file);
	fprintf(file, "%u %u\n", busy, waits);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(rename(temporary, path), 0);
}

/* @more: lines of the home's configuration. */
static void start(const char *plan, const char *more)
{
	char text[2048];

	daemon_start_ready(&test.far, "serve", NULL);
	daemon_init(&test.home, plan);
	load(50, 50);
	snprintf(text, sizeof text,
		 "client-library = \"%s\"\n"
		 "server \"near\" {\n address = \"unix:%s\"\n memory = 8GiB\n}\n"
		 "%s",
		 getenv("GUESTCLD"), test.far.socket, more);
	daemon_config(&test.home, text);
	daemon_start(&test.home, NULL);
	daemon_expect(&test.home, "ready");
	for (int i = 0; i < GUESTS; i++)
		test.guests[i] = guest_connect(&test.home);
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < GUESTS; i++) {
		if (test.guests[i])
			gcl_channel_close(test.guests[i]);
	}
	daemon_fini(&test.home);
	daemon_fini(&test.far);
	memset(&test, 0, sizeof test);
	return 0;
}

static unsigned logged(const char *text)
{
	return daemon_log_count(&test.home, text);
}

/* What guestcl says; lent. */
static const char *tool(const char *words, int *status)
{
	static char output[1 << 17];
	char command[4096];
	FILE *pipe;
	size_t size;

	snprintf(command, sizeof command, "%s %s --control %s/control.sock 2>&1", getenv("GUESTCL"),
		 words, test.home.folder);
	/* NOLINTNEXTLINE(cert-env33-c): words of this test's own */
	pipe = popen(command, "re");
	assert_non_null(pipe);
	size = fread(output, 1, sizeof output - 1, pipe);
	*status = WEXITSTATUS(pclose(pipe));
	output[size] = '\0';
	return output;
}

static void tool_expect(const char *words, int status, const char *text)
{
	int ended;
	const char *output = tool(words, &ended);

	if (ended != status || !strstr(output, text))
		fail_msg("%s: status %d instead of %d, or \"%s\" is missing in: %s", words, ended,
			 status, text, output);
}

static bool tool_has(const char *words, const char *text)
{
	int status;

	return strstr(tool(words, &status), text) != NULL;
}

/* The number of the session that has gone. */
static unsigned gone(void)
{
	return tool_has("why 1", "Decided") ? 1 : 2;
}

static void why_expect(unsigned session, const char *options, const char *text)
{
	char words[64];

	snprintf(words, sizeof words, "why %u%s", session, options);
	tool_expect(words, 0, text);
}

/* ------------------------------------------------------------ going and coming */

/* One of two that wait for each other goes, and comes back when there is room. */
static void test_there_and_back(void **state)
{
	unsigned who;

	(void)state;
	start("move well", STAY);
	daemon_expect(&test.home, "goes from home/0 to near/0 (waiting)");
	daemon_expect(&test.home, "moved to near, device 0");
	who = gone();
	why_expect(who, "", ": goes from home/0 to near/0: it waits longer than a move costs");
	why_expect(who, "", "stays in near/0");
	why_expect(3 - who, "", "stays in home/0: its place isn't busy");
	why_expect(who, " --json", "\"why\": \"waiting\"");
	/* The other one doesn't wait any more, and neither has a reason to go. */
	sleep_ms(5000);
	assert_int_equal(logged("goes from"), 1);
	load(5, 0);
	daemon_expect(&test.home, "goes from near/0 to home/0 (home)");
	daemon_expect(&test.home, "moved to home");
	why_expect(who, "", "stays in home/0");
	daemon_stop(&test.home, 5000);
}

/* However the load changes, no session moves more often than it may. */
static void test_flapping(void **state)
{
	unsigned moved;

	(void)state;
	start("move well", STAY "placement-moves = 2\nplacement-margin = 0\n");
	for (int i = 0; i < 3; i++) {
		load(50, 50);
		sleep_ms(7000);
		load(2, 0);
		sleep_ms(7000);
	}
	moved = logged("goes from");
	assert_in_range(moved, 1, 2 * GUESTS);
	/* The last that one may make is none home. */
	assert_true(tool_has("why 1", "moved often enough") ||
		    tool_has("why 2", "moved often enough"));
}

static void test_stay(void **state)
{
	(void)state;
	start("move well", STAY "placement = stay\n");
	sleep_ms(10000);
	assert_int_equal(logged("goes from"), 0);
	why_expect(1, "", "Now (placement = stay):");
	tool_expect("why 7", 1, "there is no session 7");
	tool_expect("why x", 64, "no session");
}

/* ------------------------------------------------------------ operators */

static void test_by_hand(void **state)
{
	(void)state;
	start("move well", STAY);
	tool_expect("move 1 near", 0, "moved to near");
	why_expect(1, "", "It was moved there by hand");
	load(2, 0);
	sleep_ms(5000);
	assert_int_equal(logged("goes from"), 0);
	tool_expect("move 1 home", 0, "moved home");
	why_expect(1, " --json", "\"pinned\": false");
}

static void test_drain(void **state)
{
	(void)state;
	start("move well", STAY);
	daemon_expect(&test.home, "moved to near, device 0");
	tool_expect("drain near", 0, "moved home");
	sleep_ms(8000);
	assert_int_equal(logged("goes from"), 1);
	tool_expect("drain --undo near", 0, "");
	daemon_expect(&test.home, "moved to near, device 0");
	eventually(logged("to near/0") == 2);
}

static void test_takeover(void **state)
{
	unsigned who;

	(void)state;
	start("move well", STAY);
	daemon_expect(&test.home, "moved to near, device 0");
	who = gone();
	tool_expect("restart", 0, "");
	daemon_expect(&test.home, "took over");
	why_expect(who, "", ": goes from home/0 to near/0: it waits longer than a move costs");
	why_expect(who, "", "stays in near/0");
	load(5, 0);
	daemon_expect(&test.home, "goes from near/0 to home/0 (home)");
	daemon_expect(&test.home, "moved to home");
}

/* ------------------------------------------------------------ failures */

/* Moves end like that, and one of the sessions is told @why. */
static void refused_with(enum gcl_move_result result, unsigned rest_ms, const char *why)
{
	char plan[64];

	snprintf(plan, sizeof plan, "move result %u", (unsigned)result);
	start(plan, STAY);
	daemon_expect(&test.home, "not moved to near");
	sleep_ms(rest_ms);
	assert_in_range(logged("goes from"), 1, GUESTS);
	assert_true(tool_has("why 1", why) || tool_has("why 2", why));
}

/* One that can't move at all isn't asked again. */
static void test_unfit(void **state)
{
	(void)state;
	refused_with(GCL_MOVE_RESIDENT, 6000, "can't move at all");
}

/* A device that lacks something is no place for that session. */
static void test_refused(void **state)
{
	(void)state;
	refused_with(GCL_MOVE_LACKS, 6000, "can't run on near/0");
}

/* Another try comes after a while, not at once. */
static void test_fails(void **state)
{
	(void)state;
	refused_with(GCL_MOVE_WAITS, 8000, "no other is tried");
}

static void test_server_gone(void **state)
{
	(void)state;
	start("move well", STAY);
	daemon_stop(&test.far, 5000);
	daemon_expect(&test.home, "not moved to near");
	sleep_ms(8000);
	/* Nobody else tries either. */
	assert_int_equal(logged("goes from"), 1);
	load(0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_there_and_back, teardown),
		cmocka_unit_test_teardown(test_flapping, teardown),
		cmocka_unit_test_teardown(test_stay, teardown),
		cmocka_unit_test_teardown(test_by_hand, teardown),
		cmocka_unit_test_teardown(test_drain, teardown),
		cmocka_unit_test_teardown(test_takeover, teardown),
		cmocka_unit_test_teardown(test_unfit, teardown),
		cmocka_unit_test_teardown(test_refused, teardown),
		cmocka_unit_test_teardown(test_fails, teardown),
		cmocka_unit_test_teardown(test_server_gone, teardown),
	};

	return cmocka_run_group_tests_name("placing", tests, NULL, NULL);
}
