// SPDX-License-Identifier: MIT
/*
 * What the follower tells of domains, by libvirt's test driver, which sends its events in this
 * process.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "domains.h"
#include "follow.h"

#define URI    "test:///default"
#define UUID   "5a1b0c52-6f0e-4d3a-9a51-0d6d4c1f7e01"
#define SOCKET "libvirt-" UUID ".sock"

struct fixture {
	virConnect *conn;
	struct gcl_follower follower;
	FILE *out;
	char *text;
	size_t size, read; /* how far expect() has come */
	bool late;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);

	/* Keeps the driver's domains alive while the follower is without a connection. */
	fixture->conn = gcl_connect(URI, false, false);
	fixture->out = open_memstream(&fixture->text, &fixture->size);
	*state = fixture;
	return fixture->conn && fixture->out &&
			       gcl_follower_init(&fixture->follower, URI, NULL, fixture->out) == 0
		       ? 0
		       : -1;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	gcl_follower_fini(&fixture->follower);
	fclose(fixture->out);
	free(fixture->text);
	virConnectClose(fixture->conn);
	free(fixture);
	return 0;
}

static void on_late(int timer, void *data)
{
	struct fixture *fixture = data;

	(void)timer;
	fixture->late = true;
}

/* Runs events until exactly @line comes next. */
static void expect(struct fixture *fixture, const char *line)
{
	int timer = virEventAddTimeout(5000, on_late, fixture, NULL);
	const char *next, *end;

	fixture->late = false;
	for (;;) {
		fflush(fixture->out);
		next = fixture->text + fixture->read;
		end = strchr(next, '\n');
		if (end || fixture->late)
			break;
		virEventRunDefaultImpl();
	}
	virEventRemoveTimeout(timer);
	if (!end)
		fail_msg("\"%s\" did not come", line);
	if (strlen(line) != (size_t)(end - next) || strncmp(line, next, strlen(line)) != 0)
		fail_msg("\"%.*s\" came, not \"%s\"", (int)(end - next), next, line);
	fixture->read += strlen(line) + 1;
}

/* Lets all events come, none of which may say anything. */
static void expect_nothing(struct fixture *fixture)
{
	int timer = virEventAddTimeout(50, on_late, fixture, NULL);

	fixture->late = false;
	while (!fixture->late)
		virEventRunDefaultImpl();
	virEventRemoveTimeout(timer);
	fflush(fixture->out);
	if (fixture->read != fixture->size)
		fail_msg("\"%s\" came", fixture->text + fixture->read);
}

/* Runs a command with its output hidden. */
static void run(enum gcl_exit (*call)(const struct gcl_command *), struct gcl_command command)
{
	int out = dup(STDOUT_FILENO), null = open("/dev/null", O_WRONLY);
	enum gcl_exit status;

	fflush(stdout);
	dup2(null, STDOUT_FILENO);
	command.uri = URI;
	command.channel = command.channel ? command.channel : "auto";
	status = call(&command);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	close(out);
	close(null);
	assert_int_equal(status, GCL_EXIT_OK);
}

static virDomain *domain_define(const struct fixture *fixture, const char *name)
{
	_cleanup_free_ char *text = domain_text(name);
	virDomain *domain = virDomainDefineXML(fixture->conn, text);

	assert_non_null(domain);
	return domain;
}

/* Starting, ending, other limits, another name. */
static void test_life(void **state)
{
	struct fixture *fixture = *state;
	virDomain *domain = domain_define(fixture, "plain");
	struct gcl_command command = {.domain = "plain"};

	expect(fixture, "listed");
	run(gcl_attach, command);
	expect(fixture, "vm " UUID " plain " SOCKET);
	assert_int_equal(virDomainCreate(domain), 0);
	expect_nothing(fixture);
	command.has_memory = true;
	command.limits.memory = 2ull << 30;
	run(gcl_attach, command);
	expect(fixture, "vm " UUID " plain " SOCKET " memory=2147483648");
	assert_int_equal(virDomainSuspend(domain), 0);
	assert_int_equal(virDomainResume(domain), 0);
	expect_nothing(fixture);
	assert_int_equal(virDomainDestroy(domain), 0);
	expect(fixture, "stopped " UUID);
	/* So fast that it runs again before the follower looks. */
	assert_int_equal(virDomainCreate(domain), 0);
	expect_nothing(fixture);
	assert_int_equal(virDomainDestroy(domain), 0);
	assert_int_equal(virDomainCreate(domain), 0);
	expect(fixture, "stopped " UUID);
	assert_int_equal(virDomainShutdown(domain), 0);
	expect(fixture, "stopped " UUID);
	assert_int_equal(virDomainRename(domain, "two words %", 0), 0);
	expect(fixture, "vm " UUID " two%20words%20%25 " SOCKET " memory=2147483648");
	virDomainFree(domain);
	command.domain = "two words %";
	run(gcl_detach, command);
	expect(fixture, "gone " UUID);
	domain = virDomainLookupByName(fixture->conn, "two words %");
	assert_int_equal(virDomainUndefine(domain), 0);
	expect_nothing(fixture);
	virDomainFree(domain);
}

static void test_undefined(void **state)
{
	struct fixture *fixture = *state;
	virDomain *domain = domain_define(fixture, "vsock");

	expect(fixture, "listed");
	run(gcl_attach, (struct gcl_command){.domain = "vsock", .channel = "vsock"});
	expect(fixture, "vm " UUID " vsock - cid=7");
	assert_int_equal(virDomainCreate(domain), 0);
	assert_int_equal(virDomainUndefine(domain), 0);
	/* It runs on, without a definition: it keeps what it has. */
	expect_nothing(fixture);
	assert_int_equal(virDomainDestroy(domain), 0);
	expect(fixture, "stopped " UUID);
	expect(fixture, "gone " UUID);
	virDomainFree(domain);
}

/* The connection was lost, and all kinds of things have happened meanwhile. */
static void test_again(void **state)
{
	struct fixture *fixture = *state;
	virDomain *one = domain_define(fixture, "plain"), *two;
	_cleanup_free_ char *text = domain_text("no-disk"), *other = NULL;

	other = replaced(text, UUID, "5a1b0c52-6f0e-4d3a-9a51-0d6d4c1f7e02");
	two = virDomainDefineXML(fixture->conn, other);
	assert_non_null(two);
	expect(fixture, "listed");
	run(gcl_attach, (struct gcl_command){.domain = "plain"});
	expect(fixture, "vm " UUID " plain " SOCKET);
	run(gcl_attach, (struct gcl_command){.domain = "no-disk"});
	expect(fixture, "vm 5a1b0c52-6f0e-4d3a-9a51-0d6d4c1f7e02 no-disk "
			"libvirt-5a1b0c52-6f0e-4d3a-9a51-0d6d4c1f7e02.sock");
	assert_int_equal(virDomainCreate(one), 0);
	expect_nothing(fixture);

	gcl_follower_fini(&(struct gcl_follower){.retry = -1,
						 .conn = fixture->follower.conn,
						 .lifecycle = fixture->follower.lifecycle,
						 .metadata = fixture->follower.metadata});
	fixture->follower.conn = NULL;
	assert_int_equal(virDomainDestroy(one), 0);
	assert_int_equal(virDomainUndefine(two), 0);
	expect_nothing(fixture);
	virEventUpdateTimeout(fixture->follower.retry, 0);
	expect(fixture, "stopped " UUID);
	expect(fixture, "gone 5a1b0c52-6f0e-4d3a-9a51-0d6d4c1f7e02");
	expect(fixture, "listed");
	assert_int_equal(virDomainUndefine(one), 0);
	expect(fixture, "gone " UUID);
	virDomainFree(one);
	virDomainFree(two);
}

/* A copy of an attached domain would speak in the other's name. */
static void test_clone(void **state)
{
	struct fixture *fixture = *state;
	virDomain *one = domain_define(fixture, "plain"), *two;
	_cleanup_free_ char *text = NULL, *renamed = NULL, *clone = NULL;
	int err = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY);

	expect(fixture, "listed");
	run(gcl_attach, (struct gcl_command){.domain = "plain"});
	expect(fixture, "vm " UUID " plain " SOCKET);
	text = virDomainGetXMLDesc(one, VIR_DOMAIN_XML_INACTIVE);
	renamed = replaced(text, "<name>plain<", "<name>clone<");
	clone = replaced(renamed, "<uuid>" UUID, "<uuid>5a1b0c52-6f0e-4d3a-9a51-0d6d4c1f7e02");
	dup2(null, STDERR_FILENO);
	two = virDomainDefineXML(fixture->conn, clone);
	assert_non_null(two);
	expect_nothing(fixture);
	dup2(err, STDERR_FILENO);
	close(err);
	close(null);
	run(gcl_attach, (struct gcl_command){.domain = "clone"});
	expect(fixture, "vm 5a1b0c52-6f0e-4d3a-9a51-0d6d4c1f7e02 clone "
			"libvirt-5a1b0c52-6f0e-4d3a-9a51-0d6d4c1f7e02.sock");
	assert_int_equal(virDomainUndefine(one), 0);
	expect(fixture, "gone " UUID);
	assert_int_equal(virDomainUndefine(two), 0);
	expect(fixture, "gone 5a1b0c52-6f0e-4d3a-9a51-0d6d4c1f7e02");
	virDomainFree(one);
	virDomainFree(two);
}

/* The program: a list, and the end when the other side of its input is closed. */
static void test_program(void **state)
{
	const char *program = getenv("GUESTCL_LIBVIRT");
	int in[2] = {-1, -1}, out[2] = {-1, -1}, status;
	char text[64] = "";
	pid_t pid;

	(void)state;
	if (!program || pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0) {
		fail();
		return;
	}
	pid = fork();
	if (pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		execl(program, "guestcl-libvirt", "follow", "-c", URI, NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	alarm(10);
	assert_true(read(out[0], text, sizeof text - 1) > 0);
	assert_string_equal(text, "listed\n");
	close(in[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	alarm(0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(out[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life, setup, teardown),
		cmocka_unit_test_setup_teardown(test_undefined, setup, teardown),
		cmocka_unit_test_setup_teardown(test_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clone, setup, teardown),
		cmocka_unit_test(test_program),
	};

	if (virEventRegisterDefaultImpl() < 0)
		return 1;
	return cmocka_run_group_tests_name("follow", tests, NULL, NULL);
}
