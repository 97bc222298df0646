// SPDX-License-Identifier: MIT
/*
 * The command line of guestcld, as a user meets it.
 */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "daemon.h"

/* Runs a shell command line; its output in @text. Return: its exit status. */
static int run(const char *command, char *text, size_t size)
{
	FILE *pipe = popen(command, "re"); /* NOLINT(cert-env33-c): made of our own words */
	size_t n;
	int status;

	assert_non_null(pipe);
	n = fread(text, 1, size - 1, pipe);
	text[n] = '\0';
	status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int guestcld(const char *arguments, char *text, size_t size)
{
	char command[4096];

	snprintf(command, sizeof command, "'%s' %s 2>&1", getenv("GUESTCLD"), arguments);
	return run(command, text, size);
}

static void test_wrong(void **state)
{
	static const char *const cases[][2] = {
		{"--set max-sessions", "not of the form KEY=VALUE"},
		{"--set max-sessions=many", "it takes 1 to 65536"},
		{"--set no-such=1", "there is no setting \"no-such\""},
		{"--socket ''", "socket can't be \"\""},
		{"--log-level loud", "error or warning or info or debug"},
		{"--no-such-option", "unrecognized option"},
		{"--config", "requires an argument"},
		{"stray", "unexpected argument \"stray\""},
	};
	char text[4096];

	(void)state;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(cases); i++) {
		assert_int_equal(guestcld(cases[i][0], text, sizeof text), 64);
		if (!strstr(text, cases[i][1]))
			fail_msg("%s gave %s", cases[i][0], text);
	}
}

static void test_config_file(void **state)
{
	char text[4096];

	(void)state;
	assert_int_equal(guestcld("--check-config -c /nonexistent", text, sizeof text), 1);
	assert_non_null(strstr(text, "can't read /nonexistent: No such file or directory"));
	assert_int_equal(guestcld("--check-config -c /dev/null", text, sizeof text), 0);
	assert_non_null(strstr(text, "valid"));
	setenv("GUESTCL_WORKER", "/from/environment", 1);
	assert_int_equal(guestcld("--check-config -c /dev/null", text, sizeof text), 0);
	unsetenv("GUESTCL_WORKER");
}

static void test_help(void **state)
{
	char text[16384];

	(void)state;
	assert_int_equal(guestcld("--help", text, sizeof text), 0);
	assert_non_null(strstr(text, "\n  spare-workers = 1\n"));
	assert_non_null(strstr(text, "--check-config"));
	assert_int_equal(guestcld("--version", text, sizeof text), 0);
	assert_string_equal(text, "guestcld " GUESTCL_VERSION "\n");
}

/* A driver in the broker would take every session with it when it crashes. */
static void test_no_opencl(void **state)
{
	char command[4096], text[4096];

	(void)state;
	snprintf(command, sizeof command, "ldd '%s'", getenv("GUESTCLD"));
	assert_int_equal(run(command, text, sizeof text), 0);
	assert_non_null(strstr(text, "libc.so"));
	assert_null(strstr(text, "libOpenCL"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_config_file),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_no_opencl),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
