// SPDX-License-Identifier: MIT
/*
 * Which channel guestcl doctor says that a program takes that wishes for none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "connect.h"
#include "doctor.h"

static bool there(const char *where)
{
	return *where == '\0';
}

static bool not_there(const char *where)
{
	return *where != '\0';
}

/* NULL is a channel that can be closed. */
static int connects(const char *where, struct gcl_channel **out, char *reason, size_t size)
{
	snprintf(reason, size, "not to be told %s", where);
	*out = NULL;
	return 0;
}

static int refuses(const char *where, struct gcl_channel **out, char *reason, size_t size)
{
	snprintf(reason, size, "mend it %s", where);
	*out = NULL;
	return -EHOSTDOWN;
}

static void test_auto(void **state)
{
	static const struct {
		struct gcl_carrier table[5];
		const char *channel;
		unsigned findings, bad;
	} cases[] = {
		{{{"virtio", there, connects}, {"vsock", there, connects}}, "virtio", 2, 0},
		{{{"virtio", there, refuses}, {"vsock", there, connects}}, "vsock", 2, 1},
		{{{"virtio", not_there, refuses}, {"local", there, connects}}, "local", 2, 0},
		{{{"virtio", not_there, refuses}, {"local", not_there, refuses}}, "", 2, 0},
		/* One that has to be asked for is nobody's choice. */
		{{{"virtio", there, refuses}, {"stream", NULL, connects}}, "", 1, 1},
		{{{0}}, "", 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct gcl_doctor doctor = {.root = "", .in_vm = true};
		unsigned bad = 0;

		gcl_doctor_auto(&doctor, cases[i].table);
		assert_string_equal(doctor.channel, cases[i].channel);
		assert_int_equal(doctor.count, cases[i].findings);
		assert_int_not_equal(strlen(doctor.why), 0);
		for (unsigned k = 0; k < doctor.count; k++) {
			const struct gcl_finding *finding = &doctor.findings[k];

			bad += finding->state == GCL_FOUND_BAD;
			if (finding->state != GCL_FOUND_GOOD)
				assert_non_null(strstr(finding->text, "mend it"));
			if (finding->state == GCL_FOUND_BAD)
				assert_string_equal(finding->fix,
						    "on the host: systemctl start guestcld");
		}
		assert_int_equal(bad, cases[i].bad);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_auto),
	};

	return cmocka_run_group_tests_name("doctor-auto", tests, NULL, NULL);
}
