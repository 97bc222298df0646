/*
 * Log lines: which are written, and what they look like.
 */
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

static int stderr_saved;
static FILE *captured;

static int setup(void **state)
{
	(void)state;
	unsetenv("GUESTCL_DEBUG");
	gcl_log_init("prog");
	gcl_log_level_set(GCL_LOG_INFO);
	gcl_log_context_set("");
	captured = tmpfile();
	stderr_saved = dup(STDERR_FILENO);
	return dup2(fileno(captured), STDERR_FILENO) < 0;
}

static int teardown(void **state)
{
	(void)state;
	dup2(stderr_saved, STDERR_FILENO);
	close(stderr_saved);
	fclose(captured);
	return 0;
}

/* What has been written, with the number of the process cut out, in memory that the next use
 * overwrites. */
static const char *written(void)
{
	static char text[16384];
	char *number;
	size_t n;

	rewind(captured);
	n = fread(text, 1, sizeof text - 1, captured);
	text[n] = '\0';
	number = strchr(text, '[');
	if (number)
		memmove(number, strchr(number, ']') + 1, strlen(strchr(number, ']')));
	return text;
}

static unsigned lines(void)
{
	unsigned count = 0;

	for (const char *c = written(); *c; c++)
		count += *c == '\n';
	return count;
}

static void test_line(void **state)
{
	(void)state;
	errno = ENOENT;
	gcl_log_warn(mem, "%d of %s", 3, "four");
	assert_int_equal(errno, ENOENT);
	assert_string_equal(written(), "prog: warning: mem: 3 of four\n");
}

static void test_context(void **state)
{
	(void)state;
	gcl_log_context_set("session 7");
	gcl_log_error(ring, "text");
	assert_string_equal(written(), "prog: error: ring: session 7: text\n");
}

static void test_levels(void **state)
{
	(void)state;
	assert_true(gcl_log_enabled(GCL_LOG_INFO, GCL_LOG_ring));
	assert_false(gcl_log_enabled(GCL_LOG_DEBUG, GCL_LOG_ring));
	gcl_log_level_set(GCL_LOG_ERROR);
	gcl_log_warn(mem, "no");
	gcl_log_error(mem, "yes");
	assert_string_equal(written(), "prog: error: mem: yes\n");
}

static void test_areas(void **state)
{
	(void)state;
	setenv("GUESTCL_DEBUG", "ring,,nonsense,memory,call", 1);
	gcl_log_init("prog");
	assert_true(gcl_log_enabled(GCL_LOG_DEBUG, GCL_LOG_ring));
	assert_true(gcl_log_enabled(GCL_LOG_DEBUG, GCL_LOG_call));
	assert_false(gcl_log_enabled(GCL_LOG_DEBUG, GCL_LOG_mem));
	setenv("GUESTCL_DEBUG", "all", 1);
	gcl_log_init("prog");
	assert_true(gcl_log_enabled(GCL_LOG_DEBUG, GCL_LOG_mem));
	gcl_log_level_set(GCL_LOG_ERROR);
	/* What was asked for by area is written at any level. */
	assert_true(gcl_log_enabled(GCL_LOG_DEBUG, GCL_LOG_mem));
}

/* What a peer sent can't forge a line, move the cursor, or fill the disk. */
static void test_hostile_text(void **state)
{
	char text[5000];

	(void)state;
	gcl_log_warn(session, "a\nb\033[2J\x7f \xc3\xbc");
	assert_string_equal(written(), "prog: warning: session: a?b?[2J? \xc3\xbc\n");
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	rewind(captured);
	gcl_log_warn(session, "%s", text);
	assert_true(strlen(written()) < 1200);
	assert_non_null(strstr(written(), "xxx...\n"));
}

static void test_rate(void **state)
{
	struct gcl_log_limit other = {0};

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		gcl_log_peer(session, "again");
	/* A second may have ended in between. */
	assert_true(lines() >= 10 && lines() <= 20);
	assert_true(gcl_log_allow(&other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_context, setup, teardown),
		cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_areas, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rate, setup, teardown),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
