// SPDX-License-Identifier: MIT
/*
 * Which channel a program gets, by the environment, and what it is told when it gets none.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connect.h"
#include "test.h"

static void environment(const char *channel, const char *socket)
{
	unsetenv("GUESTCL_CHANNEL");
	unsetenv("GUESTCL_SOCKET");
	if (channel)
		setenv("GUESTCL_CHANNEL", channel, 1);
	if (socket)
		setenv("GUESTCL_SOCKET", socket, 1);
}

static void test_wanted(void **state)
{
	static const struct {
		const char *channel, *socket; /* in the environment */
		const char *name, *where;     /* NULL: auto */
	} cases[] = {
		{NULL, NULL, NULL, ""},
		{"", "", NULL, ""},
		{"auto", NULL, NULL, ""},
		{"auto", "/s", "local", "/s"},
		{NULL, "/s", "local", "/s"},
		{"local", NULL, "local", ""},
		{"local", "/s", "local", "/s"},
		{"local:/t", "/s", "local", "/t"},
		{"local:/t:u", NULL, "local", "/t:u"},
		{"virtio", NULL, "virtio", ""},
		{"virtio", "/s", "virtio", ""},
		{"virtio:/dev/x", NULL, "virtio", "/dev/x"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct gcl_carrier *carrier;
		const char *where = "";
		bool auto_wanted;
		char reason[300];

		environment(cases[i].channel, cases[i].socket);
		assert_true(gcl_connect_wanted());
		carrier = gcl_carrier_wanted(&where, &auto_wanted, reason, sizeof reason);
		assert_int_equal(auto_wanted, !cases[i].name);
		if (cases[i].name)
			assert_string_equal(carrier->name, cases[i].name);
		else
			assert_null(carrier);
		assert_string_equal(where, cases[i].where);
	}
}

static void test_none_wanted(void **state)
{
	(void)state;
	environment("none", NULL);
	assert_false(gcl_connect_wanted());
	environment("none", "/s");
	assert_false(gcl_connect_wanted());
	environment(NULL, "none");
	assert_false(gcl_connect_wanted());
	environment("auto", "none");
	assert_false(gcl_connect_wanted());
	environment("virtio", "none");
	assert_true(gcl_connect_wanted());
}

static void expect_failure(int err, const char *because)
{
	struct gcl_channel *channel = NULL;
	char reason[GCL_CONNECT_REASON_MAX] = "";

	assert_int_equal(gcl_connect(&channel, reason, sizeof reason), err);
	if (!strstr(reason, because) || strchr(reason, '\n'))
		fail_msg("\"%s\" instead of \"%s\"", reason, because);
}

static void test_asked_for(void **state)
{
	(void)state;
	environment("local:/nonexistent/s", NULL);
	expect_failure(-ENOENT, "no daemon at /nonexistent/s: start guestcld");
	environment(NULL, "/nonexistent/s");
	expect_failure(-ENOENT, "no daemon at /nonexistent/s: start guestcld");
	environment("virtio:/nonexistent/d", NULL);
	expect_failure(-ENOENT, "no /nonexistent/d: give the VM");
	environment("virtual", NULL);
	expect_failure(-EINVAL, "GUESTCL_CHANNEL is virtual: set it to virtio, ");
	environment("virt", NULL);
	expect_failure(-EINVAL, "auto or none");
}

/* ------------------------------------------------------------ auto */

static struct gcl_channel *const some_channel = (struct gcl_channel *)&some_channel;

static bool is_there(const char *where)
{
	return strcmp(where, "") == 0;
}

static bool not_there(const char *where)
{
	(void)where;
	return false;
}

static int connects(const char *where, struct gcl_channel **out, char *reason, size_t size)
{
	(void)where;
	snprintf(reason, size, "not to be told");
	*out = some_channel;
	return 0;
}

static int refuses(const char *where, struct gcl_channel **out, char *reason, size_t size)
{
	(void)where;
	(void)out;
	snprintf(reason, size, "mend it");
	return -EACCES;
}

static int is_missing(const char *where, struct gcl_channel **out, char *reason, size_t size)
{
	(void)where;
	(void)out;
	snprintf(reason, size, "get it");
	return -ENOENT;
}

static void test_auto(void **state)
{
	static const struct {
		struct gcl_carrier table[4];
		int err;
		const char *reason; /* its beginning */
	} cases[] = {
		{{{"a", is_there, connects}, {"b", is_there, refuses}}, 0, ""},
		{{{"a", not_there, is_missing}, {"b", is_there, connects}}, 0, ""},
		/* What is there and fails is told, whatever else works. */
		{{{"a", is_there, refuses}, {"b", is_there, connects}}, 0, "a: mend it"},
		{{{"a", not_there, is_missing}, {"b", is_there, refuses}}, -EACCES, "b: mend it ("},
		{{{"a", is_there, refuses}, {"b", is_there, refuses}},
		 -EACCES,
		 "a: mend it; b: mend it (guestcl doctor tells more)"},
		{{{"a", not_there, is_missing}, {"b", not_there, is_missing}},
		 -ENOENT,
		 "a: get it; b: get it (guestcl doctor tells more)"},
		{{{0}}, -ENOENT, " (guestcl doctor"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct gcl_channel *channel = NULL;
		char reason[GCL_CONNECT_REASON_MAX] = "before";

		assert_int_equal(gcl_connect_auto(cases[i].table, &channel, reason, sizeof reason),
				 cases[i].err);
		assert_ptr_equal(channel, cases[i].err ? NULL : some_channel);
		assert_memory_equal(reason, cases[i].reason, strlen(cases[i].reason));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wanted),
		cmocka_unit_test(test_none_wanted),
		cmocka_unit_test(test_asked_for),
		cmocka_unit_test(test_auto),
	};

	return cmocka_run_group_tests_name("choose", tests, NULL, NULL);
}
