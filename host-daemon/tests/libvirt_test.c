// SPDX-License-Identifier: MIT
/*
 * Lines of the program that follows libvirt's domains, right and wrong ones.
 */
#include "libvirt.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "test.h"

#define UUID "5a1b0c52-6f0e-4d3a-9a51-0d6d4c1f7e01"

static void test_vm(void **state)
{
	struct gcl_libvirt_line line;

	(void)state;
	assert_int_equal(gcl_libvirt_parse("vm " UUID " web1 libvirt-" UUID ".sock", &line), 0);
	assert_int_equal(line.verb, GCL_LIBVIRT_VM);
	assert_string_equal(line.vm.id, UUID);
	assert_string_equal(line.vm.name, "web1");
	assert_string_equal(line.vm.socket, "libvirt-" UUID ".sock");
	assert_int_equal(line.vm.memory, 0);
	assert_int_equal(line.vm.weight, 1);

	assert_int_equal(gcl_libvirt_parse("vm " UUID " a%20b%25%41%0A%zz%4 - cid=7 weight=10000 "
					   "memory=18446744073709551615 later=x",
					   &line),
			 0);
	assert_string_equal(line.vm.name, "a b%A?%zz%4");
	assert_int_equal(line.vm.cid, 7);
	assert_int_equal(line.vm.weight, 10000);
	assert_true(line.vm.memory == UINT64_MAX);
}

static void test_others(void **state)
{
	struct gcl_libvirt_line line;

	(void)state;
	assert_int_equal(gcl_libvirt_parse("stopped " UUID, &line), 0);
	assert_int_equal(line.verb, GCL_LIBVIRT_STOPPED);
	assert_string_equal(line.vm.id, UUID);
	assert_int_equal(gcl_libvirt_parse("gone " UUID, &line), 0);
	assert_int_equal(line.verb, GCL_LIBVIRT_GONE);
	assert_int_equal(gcl_libvirt_parse("listed", &line), 0);
	assert_int_equal(line.verb, GCL_LIBVIRT_LISTED);
}

static void test_wrong(void **state)
{
	static const char *const wrong[] = {
		"",
		" ",
		"vm",
		"vm ",
		"vm " UUID,
		"vm " UUID " ",
		"vm " UUID " name",
		"vm " UUID "  libvirt-" UUID ".sock",
		"vm " UUID " name " UUID ".sock",
		"vm " UUID " name ",
		"vm " UUID " name /etc/passwd",
		"vm " UUID " name ../libvirt-" UUID ".sock",
		"vm " UUID " name libvirt-6a1b0c52-6f0e-4d3a-9a51-0d6d4c1f7e01.sock",
		"vm " UUID " name - cid",
		"vm " UUID " name - cid=x",
		"vm " UUID " name - cid=-1",
		"vm " UUID " name - weight=0",
		"vm " UUID " name - weight=10001",
		"vm " UUID " name - memory=18446744073709551616",
		"vm " UUID " name -  cid=1",
		"vm .a1b0c52-6f0e-4d3a-9a51-0d6d4c1f7e01 name -",
		"vm ../../../../../../../../../../etc/xx name -",
		"vm 5A1B0C52-6F0E-4D3A-9A51-0D6D4C1F7E01 name -",
		"vm short name -",
		"vms " UUID " name -",
		"stopped",
		"stopped " UUID " more",
		"gone x",
		"listed ",
		"listed x",
	};
	struct gcl_libvirt_line line;

	(void)state;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(wrong); i++) {
		if (gcl_libvirt_parse(wrong[i], &line) != -EINVAL)
			fail_msg("\"%s\" was taken", wrong[i]);
	}
}

static void test_long(void **state)
{
	char text[2 * GCL_LIBVIRT_LINE_MAX] = "vm " UUID " ";
	struct gcl_libvirt_line line;

	(void)state;
	/* A name of any length is cut. */
	memset(text + strlen(text), 'x', 500);
	strcat(text, " -");
	assert_int_equal(gcl_libvirt_parse(text, &line), 0);
	assert_int_equal(strlen(line.vm.name), sizeof line.vm.name - 1);
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	assert_int_equal(gcl_libvirt_parse(text, &line), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vm),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests_name("libvirt", tests, NULL, NULL);
}
