// SPDX-License-Identifier: MIT
/*
 * The commands against libvirt's test driver, which takes, checks and prints definitions as the
 * real one does, and lives in this process.
 */
#include <unistd.h>

#include "domains.h"

#define URI    "test:///default"
#define INSIDE VIR_DOMAIN_XML_INACTIVE

/* Keeps the driver's domains alive from one command to the next. */
static virConnect *conn;

static int group_setup(void **state)
{
	(void)state;
	conn = gcl_connect(URI, false, false);
	return conn ? 0 : -1;
}

static int group_teardown(void **state)
{
	(void)state;
	virConnectClose(conn);
	return 0;
}

/* Runs a command and returns what it printed, on stdout and on stderr. */
static char *run(enum gcl_exit (*call)(const struct gcl_command *), struct gcl_command command,
		 enum gcl_exit wanted)
{
	_cleanup_fclose_ FILE *file = tmpfile();
	int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
	char *text = calloc(1, 65536);
	enum gcl_exit status;

	assert_true(file && text && out >= 0 && err >= 0);
	fflush(stdout);
	dup2(fileno(file), STDOUT_FILENO);
	dup2(fileno(file), STDERR_FILENO);
	if (!command.uri)
		command.uri = URI;
	if (!command.channel)
		command.channel = "auto";
	status = call(&command);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	rewind(file);
	assert_int_equal(fread(text, 1, 65535, file) > 0, 1);
	if (status != wanted)
		fail_msg("%d, not %d: %s", status, wanted, text);
	return text;
}

static void expect(enum gcl_exit (*call)(const struct gcl_command *), struct gcl_command command,
		   enum gcl_exit wanted, const char *part)
{
	_cleanup_free_ char *text = run(call, command, wanted);

	holds(command.domain ? command.domain : "command", text, part, 1);
}

static virDomain *domain_define(const char *name)
{
	_cleanup_free_ char *text = domain_text(name);
	virDomain *domain = virDomainDefineXML(conn, text);

	if (!domain)
		fail_msg("%s: %s", name, virGetLastErrorMessage());
	return domain;
}

static void domain_remove(virDomain *domain)
{
	assert_int_equal(virDomainUndefine(domain), 0);
	virDomainFree(domain);
}

static void test_kinds(void **state)
{
	static const char *const names[] = {
		"plain",	   "no-disk",	    "no-devices",	 "disks-to-z",
		"disk-b-only",	   "backing-empty", "backing-locked",	 "backing-shared",
		"backing-private", "backing-file",  "backing-anonymous", "numa-mixed",
		"numa-shared",	   "numa-silent",   "modules",		 "metadata",
		"aarch64",	   "vsock",	    "emulated",
	};

	(void)state;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(names); i++) {
		struct gcl_command command = {.domain = names[i]};
		virDomain *domain = domain_define(names[i]);
		_cleanup_free_ char *before = virDomainGetXMLDesc(domain, INSIDE), *after = NULL;
		_cleanup_free_ char *again = NULL, *back = NULL;

		expect(gcl_attach, command, GCL_EXIT_OK, "is attached by virtio");
		after = virDomainGetXMLDesc(domain, INSIDE);
		holds(names[i], after, "<alias name='ua-guestcl'/>", 1);
		holds(names[i], after, "<guestcl:domain", 1);
		expect(gcl_attach, command, GCL_EXIT_OK, "nothing has changed");
		again = virDomainGetXMLDesc(domain, INSIDE);
		assert_string_equal(again, after);
		expect(gcl_detach, command, GCL_EXIT_OK, "is detached");
		back = virDomainGetXMLDesc(domain, INSIDE);
		assert_string_equal(back, before);
		expect(gcl_detach, command, GCL_EXIT_OK, "nothing has changed");
		domain_remove(domain);
	}
}

static void test_dry_run(void **state)
{
	virDomain *domain = domain_define("plain");
	struct gcl_command command = {.domain = "plain", .dry_run = true};
	_cleanup_free_ char *before = virDomainGetXMLDesc(domain, INSIDE), *after = NULL;
	_cleanup_free_ char *shown = run(gcl_attach, command, GCL_EXIT_OK), *back = NULL;

	(void)state;
	holds("dry run", shown, "--- plain (now)\n+++ plain (then)\n@@ ", 1);
	holds("dry run", shown, "\n+    <disk type='vhostuser' device='disk' snapshot='no'>\n", 1);
	holds("dry run", shown, "\n-", 0);
	after = virDomainGetXMLDesc(domain, INSIDE);
	assert_string_equal(after, before);

	expect(gcl_attach, (struct gcl_command){.domain = "plain"}, GCL_EXIT_OK, "attached");
	back = run(gcl_detach, command, GCL_EXIT_OK);
	holds("dry run", back, "\n-    <disk type='vhostuser' device='disk' snapshot='no'>\n", 1);
	expect(gcl_detach, (struct gcl_command){.domain = "plain"}, GCL_EXIT_OK, "detached");
	domain_remove(domain);
}

static void test_limits(void **state)
{
	virDomain *domain = domain_define("plain");
	struct gcl_command command = {.domain = "plain",
				      .has_memory = true,
				      .limits = {.memory = 4ull << 30, .weight = 7}};
	_cleanup_(gcl_record_fini) struct gcl_record record = {0};
	_cleanup_free_ char *json = NULL;

	(void)state;
	expect(gcl_list, (struct gcl_command){0}, GCL_EXIT_OK, "no domain is attached");
	expect(gcl_attach, command, GCL_EXIT_OK, "attached by virtio");
	command.has_memory = false;
	command.has_weight = true;
	expect(gcl_attach, command, GCL_EXIT_OK, "new limits");
	assert_int_equal(gcl_record_of(domain, &record), 0);
	assert_int_equal(record.limits.memory, 4ull << 30);
	assert_int_equal(record.limits.weight, 7);
	assert_int_equal(record.change_count, 2);
	expect(gcl_list, (struct gcl_command){0}, GCL_EXIT_OK, "4096 MiB       7");
	json = run(gcl_list, (struct gcl_command){.json = true}, GCL_EXIT_OK);
	holds("json", json, "\"memory\":4294967296", 1);
	holds("json", json, "\"state\":\"shut off\"", 1);
	expect(gcl_detach, command, GCL_EXIT_OK, "detached");
	domain_remove(domain);
}

/* The domain "test" of the driver runs. */
static void test_running(void **state)
{
	struct gcl_command command = {.domain = "test"};

	(void)state;
	expect(gcl_attach, (struct gcl_command){.domain = "test", .live = true},
	       GCL_EXIT_UNSUITABLE, "attach it without --live");
	expect(gcl_detach, command, GCL_EXIT_OK, "isn't attached");
	expect(gcl_attach, command, GCL_EXIT_OK, "from its next start on");
	command.has_weight = true;
	command.limits.weight = 3;
	expect(gcl_attach, command, GCL_EXIT_OK, "new limits");
	expect(gcl_detach, command, GCL_EXIT_OK, "keeps the device until");
}

static void test_errors(void **state)
{
	static const char transient[] = "<domain type='test'><name>passing</name><memory>1024"
					"</memory><os><type>hvm</type></os></domain>";
	virDomain *domain = virDomainCreateXML(conn, transient, 0);
	virDomain *small = domain_define("emulated-one-cpu");

	(void)state;
	assert_non_null(domain);
	expect(gcl_attach, (struct gcl_command){.domain = "no such"}, GCL_EXIT_NO_DOMAIN,
	       "guestcl: there is no domain \"no such\"; there are: ");
	expect(gcl_attach, (struct gcl_command){.domain = "test", .uri = "nonsense:///x"},
	       GCL_EXIT_NO_CONNECTION, "guestcl: can't connect to nonsense:///x: ");
	expect(gcl_list, (struct gcl_command){.uri = "test:///nonexistent"}, GCL_EXIT_NO_CONNECTION,
	       "guestcl: can't connect to test:///nonexistent: ");
	expect(gcl_attach, (struct gcl_command){.domain = "passing"}, GCL_EXIT_UNSUITABLE,
	       "guestcl: passing is transient");
	expect(gcl_attach, (struct gcl_command){.domain = "emulated-one-cpu"}, GCL_EXIT_UNSUITABLE,
	       "guestcl: emulated-one-cpu can't be attached: it is emulated");
	expect(gcl_attach, (struct gcl_command){.domain = "test", .vm_dir = "relative"},
	       GCL_EXIT_FAILED, "not absolute: set --vm-dir");
	/* By its UUID as well. */
	expect(gcl_detach, (struct gcl_command){.domain = "6695eb01-f6a4-8304-79aa-97f2502e193f"},
	       GCL_EXIT_OK, "test isn't attached");
	assert_int_equal(virDomainDestroy(domain), 0);
	virDomainFree(domain);
	domain_remove(small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),  cmocka_unit_test(test_dry_run),
		cmocka_unit_test(test_limits), cmocka_unit_test(test_running),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests_name("commands", tests, group_setup, group_teardown);
}
