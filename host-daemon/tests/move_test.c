// SPDX-License-Identifier: MIT
/*
 * Moves as far as they are the broker's, with workers that only say that they move: connections to
 * servers, what operators are told, what is left behind.
 *
 * There are two daemons: "far", which is a server by TLS and by its socket, and "home", whose
 * session moves. No test moves more than figures.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "daemon.h"

static struct {
	struct daemon far, home;
	struct gcl_channel *guest;
	int silent; /* a socket that listens, and behind it nobody */
	unsigned far_port, silent_port;
} test;

/* ------------------------------------------------------------ fixture */

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void run(const char *format, ...)
{
	char command[4096];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof command, format, arguments);
	va_end(arguments);
	/* NOLINTNEXTLINE(cert-env33-c): words of this test's own */
	assert_int_equal(system(command), 0);
}

/* A listening socket at a port of the system's choice. */
static int port_open(unsigned *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	*port = ntohs(address.sin_port);
	return fd;
}

static void far_start(void)
{
	struct daemon *far = &test.far;
	char text[2048], pki[128];

	daemon_init(far, "serve");
	snprintf(pki, sizeof pki, "%s/pki", far->folder);
	for (int i = 0; i < 3; i++)
		run("%s %s --folder %s >/dev/null", getenv("GUESTCL_PKI"),
		    (const char *const[]){"init", "server 127.0.0.1", "client home"}[i], pki);
	close(port_open(&test.far_port));
	snprintf(text, sizeof text,
		 "listen-tls = \"127.0.0.1:%u\"\ntls-program = \"%s\"\n"
		 "tls-certificate = \"%s/servers/127.0.0.1/certificate.pem\"\n"
		 "tls-key = \"%s/servers/127.0.0.1/key.pem\"\n"
		 "tls-ca = \"%s/servers/127.0.0.1/ca.pem\"\n"
		 "vm-dir = \"%s/vm\"\nvm-socket-group = \"\"\nvm \"home\" {}\n",
		 test.far_port, getenv("GUESTCL_TLS_PROGRAM"), pki, pki, pki, far->folder);
	daemon_config(far, text);
	daemon_start(far, NULL);
	daemon_expect(far, "ready");
}

/* @link: the program; @plan: what workers do; @more: lines of its configuration. */
static void home_start(const char *plan, const char *link, const char *more)
{
	char text[4096];

	daemon_init(&test.home, plan);
	test.silent = port_open(&test.silent_port);
	snprintf(text, sizeof text,
		 "client-library = \"%s\"\nlink-program = \"%s\"\n"
		 "servers-tls = \"%s/pki/clients/home\"\n"
		 "server \"far\" { address = \"127.0.0.1:%u\" }\n"
		 "server \"near\" { address = \"unix:%s\" }\n"
		 "server \"dead\" { address = \"127.0.0.1:1\" }\n"
		 "server \"gone\" { address = \"unix:%s.none\" }\n"
		 "server \"silent\" { address = \"127.0.0.1:%u\" }\n%s",
		 getenv("GUESTCLD"), link, test.far.folder, test.far_port, test.far.socket,
		 test.far.socket, test.silent_port, more);
	daemon_config(&test.home, text);
	daemon_start(&test.home, NULL);
	daemon_expect(&test.home, "ready");
	test.guest = guest_connect(&test.home);
}

static void start(const char *plan)
{
	far_start();
	home_start(plan, getenv("GUESTCL_LINK"), "");
}

static int teardown(void **state)
{
	(void)state;
	if (test.guest)
		gcl_channel_close(test.guest);
	if (test.silent)
		close(test.silent);
	daemon_fini(&test.home);
	daemon_fini(&test.far);
	memset(&test, 0, sizeof test);
	return 0;
}

static FILE *tool_open(const char *words)
{
	char command[4096];
	FILE *pipe;

	snprintf(command, sizeof command, "%s %s --control %s/control.sock 2>&1", getenv("GUESTCL"),
		 words, test.home.folder);
	/* NOLINTNEXTLINE(cert-env33-c): the same */
	pipe = popen(command, "re");
	assert_non_null(pipe);
	return pipe;
}

/* It has to end with @status, and say @text. */
static void tool_expect(FILE *pipe, int status, const char *text)
{
	static char output[65536];
	size_t size = fread(output, 1, sizeof output - 1, pipe);
	int ended = pclose(pipe);

	output[size] = '\0';
	if (!strstr(output, text) || !WIFEXITED(ended) || WEXITSTATUS(ended) != status)
		fail_msg("status %d instead of %d, or \"%s\" is missing in: %s", WEXITSTATUS(ended),
			 status, text, output);
}

static void tool(const char *words, int status, const char *text)
{
	tool_expect(tool_open(words), status, text);
}

/* Whether its guestcl status has it. */
static bool status_has(const char *text)
{
	static char output[1 << 17];
	FILE *pipe = tool_open("status --json");
	size_t size = fread(output, 1, sizeof output - 1, pipe);

	pclose(pipe);
	output[size] = '\0';
	return strstr(output, text) != NULL;
}

static unsigned far_sessions(void)
{
	return daemon_log_count(&test.far, "served by worker");
}

/* A child of "home" of that name; 0: there is none. */
static pid_t child_find(const char *name)
{
	char path[64], text[32];
	FILE *children, *comm;
	int pid, found = 0;

	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)test.home.pid,
		 (int)test.home.pid);
	children = fopen(path, "re");
	assert_non_null(children);
	while (!found && fscanf(children, "%d", &pid) == 1) {
		snprintf(path, sizeof path, "/proc/%d/comm", pid);
		comm = fopen(path, "re");
		if (!comm)
			continue;
		if (fscanf(comm, "%31s", text) == 1 && strcmp(text, name) == 0)
			found = pid;
		fclose(comm);
	}
	fclose(children);
	return found;
}

/* ------------------------------------------------------------ moves */

static void there_and_back(const char *server, unsigned links)
{
	char words[64], text[128];

	snprintf(words, sizeof words, "move 1 %s", server);
	snprintf(text, sizeof text,
		 "session 1: moved to %s in 1.50 s; it stood for 2.5 ms (copied 2.0M before, "
		 "1.0M then, 3.0M behind)",
		 server);
	tool(words, 0, text);
	assert_int_equal(far_sessions(), 1);
	assert_int_equal(child_find("guestcl-link") != 0, links);
	/* It has a session there: no other connection is made. */
	tool(words, 0, "moved to");
	assert_int_equal(far_sessions(), 1);
	/* Another device is another place. */
	snprintf(words, sizeof words, "move 1/0x1f %s/3", server);
	tool(words, 0, "moved to");
	assert_int_equal(far_sessions(), 2);
	assert_true(status_has("\"device\": 3"));
	tool("move 1 home", 0, "session 1: moved home");
	assert_false(status_has("\"places\": [\n        {"));
	eventually(daemon_log_count(&test.far, "ended after") == 2);
	eventually(!child_find("guestcl-link"));
	/* Which is forgotten by then. */
	tool("move 1 home --json", 0, "\"state\": \"moved\"");
}

static void test_unix(void **state)
{
	(void)state;
	start("move well");
	there_and_back("near", 0);
	daemon_stop(&test.home, 5000);
}

static void test_tls(void **state)
{
	(void)state;
	start("move well");
	there_and_back("far", 1);
	daemon_stop(&test.home, 5000);
}

/* A connection that dies takes nothing with it; the session is told by its own end of it. */
static void test_link_dies(void **state)
{
	pid_t pid;

	(void)state;
	start("move well");
	tool("move 1 far", 0, "moved to far");
	pid = child_find("guestcl-link");
	assert_true(pid > 0);
	kill(pid, SIGKILL);
	eventually(!child_find("guestcl-link"));
	tool("move 1 home", 0, "moved home");
	tool("move 1 far", 0, "moved to far");
	/* The end of guestcld is theirs, too. */
	daemon_stop(&test.home, 5000);
}

/* ------------------------------------------------------------ failures */

static void test_refused(void **state)
{
	int64_t since = now_ms();

	(void)state;
	start("move well");
	tool("move 1 dead", 1, "nobody listens at 127.0.0.1 port 1");
	tool("move 1 gone", 1, "No such file or directory");
	tool("move 1 nowhere", 1, "there is no server \"nowhere\"");
	tool("move 2 near", 1, "there is no session 2");
	tool("move 1 near/99", 1, "near has no device 99");
	tool("move 1x near", 64, "no session");
	tool("move 1 near/x", 64, "no place");
	tool("move 1", 64, "where to");
	assert_true(now_ms() - since < PATIENCE_MS);
	assert_int_equal(far_sessions(), 0);
	assert_true(status_has("\"failed\": 2"));
}

/* It takes connections, and says nothing. */
static void test_silent(void **state)
{
	int64_t since;

	(void)state;
	start("move well");
	since = now_ms();
	tool("move 1 silent", 1, "session 1 is not moved: ");
	assert_in_range(now_ms() - since, 1000, 20000);
	tool("move 1 far", 0, "moved to far");
}

static void test_files(void **state)
{
	(void)state;
	start("move well");
	run("rm %s/pki/clients/home/key.pem", test.far.folder);
	tool("move 1 far", 1, "key.pem: No such file or directory; guestcl pki client makes");
	run("echo rubbish >%s/pki/clients/home/key.pem", test.far.folder);
	tool("move 1 far", 1, "the certificate and its key");
	eventually(!child_find("guestcl-link"));
}

static void test_no_program(void **state)
{
	(void)state;
	far_start();
	home_start("move well", "/nonexistent/guestcl-link", "");
	tool("move 1 far", 1, "can't start /nonexistent/guestcl-link: No such file");
	tool("move 1 near", 0, "moved to near");
}

static void test_program_fails(void **state)
{
	(void)state;
	far_start();
	home_start("move well", "/bin/false", "");
	tool("move 1 far", 1, "guestcl-link failed");
}

static void test_results(void **state)
{
	(void)state;
	start("move result 10"); /* LACKS, with a number */
	tool("move 1 near", 1, "the server's device lacks what this one has (CL_DEVICE_* 0x7)");
	tool("move 1 near --json", 1, "\"state\": \"failed\"");
	/* What is there already is no failure. */
	gcl_channel_close(test.guest);
	daemon_plan(&test.home, "move result 1");
	gcl_channel_close(guest_connect(&test.home)); /* one that was prepared before */
	test.guest = guest_connect(&test.home);
	tool("move 3 home", 0, "session 3: it is there already");
	assert_true(status_has("\"failed\": 2"));
}

static void test_nothing_leaks(void **state)
{
	unsigned files, children;

	(void)state;
	start("move result 8"); /* LINK, whatever is handed over */
	tool("move 1 far", 1, "the server can be reached, but gives no session");
	eventually(!child_find("guestcl-link"));
	children = daemon_children(&test.home);
	files = daemon_files_settled(&test.home);
	for (int i = 0; i < 50; i++)
		tool((const char *const[]){"move 1 far", "move 1 dead", "move 1 near"}[i % 3], 1,
		     "not moved");
	eventually(!child_find("guestcl-link"));
	eventually(daemon_children(&test.home) == children);
	assert_int_equal(daemon_files_settled(&test.home), files);
	assert_true(status_has("\"links\": 0"));
	assert_true(status_has("\"under_way\": 0"));
}

/* ------------------------------------------------------------ hostile workers */

static void test_worker_lies(void **state)
{
	(void)state;
	start("move result 4000000000");
	tool("move 1 near", 1, "session 1");
	daemon_expect(&test.home, "breaks the rules");
}

static void test_worker_surplus(void **state)
{
	(void)state;
	start("move surplus");
	tool("move 1 near", 0, "moved to near");
	tool("move 1 near", 0, "moved to near");
	tool("move 1 home", 0, "moved home");
	assert_int_equal(daemon_log_count(&test.home, "breaks the rules"), 0);
}

/* It keeps its own move, and lets others go on. */
static void test_worker_silent(void **state)
{
	struct gcl_channel *other;
	FILE *pipe;

	(void)state;
	start("move never");
	pipe = tool_open("move 1 near");
	eventually(status_has("\"state\": \"copying\""));
	tool("move 1 near", 1, "another move of this session is under way");
	daemon_plan(&test.home, "move well");
	gcl_channel_close(guest_connect(&test.home)); /* one that was prepared before */
	other = guest_connect(&test.home);
	tool("move 3 near", 0, "session 3: moved to near");
	gcl_channel_close(test.guest);
	test.guest = other;
	tool_expect(pipe, 1, "there is no session 1");
}

/* Nobody waits for it any more, but its session's next move. */
static void test_worker_late(void **state)
{
	(void)state;
	far_start();
	home_start("move never", getenv("GUESTCL_LINK"), "move-patience = 1s\n");
	tool("move 1 near", 1, "the session does not get on with it");
	assert_true(status_has("\"moves_failed\": 1"));
	tool("move 1 home", 1, "another move of this session is under way");
}

/* ------------------------------------------------------------ all away */

static void test_drain(void **state)
{
	(void)state;
	start("move well");
	tool("move 1 near", 0, "moved to near");
	tool("drain near", 0, "session 1: moved home");
	assert_true(status_has("\"drained\": true"));
	tool("move 1 near", 1, "near is drained: guestcl drain --undo near comes first");
	tool("drain --undo near", 0, "");
	tool("move 1 near", 0, "moved to near");
	tool("drain nowhere", 1, "there is no server \"nowhere\"");
	tool("drain 77", 1, "this host has no device 77");
}

/* A move that is under way when its server is drained ends, and goes back. */
static void test_drain_under_way(void **state)
{
	FILE *pipe;

	(void)state;
	start("move slow 1500");
	pipe = tool_open("move 1 near");
	eventually(status_has("\"state\": \"copying\""));
	tool("drain near", 1, "another move of this session is under way");
	tool_expect(pipe, 0, "");
	daemon_expect(&test.home, "moved to home");
	assert_false(status_has("\"places\": [\n        {"));
}

/* ------------------------------------------------------------ a new program */

static void test_takeover(void **state)
{
	FILE *pipe;

	(void)state;
	start("move slow 2000");
	tool("move 1/9 far/1", 0, "moved to far");
	tool("drain dead", 0, "");
	pipe = tool_open("move 1 far/2");
	eventually(status_has("\"state\": \"copying\""));
	tool("restart", 0, "");
	tool_expect(pipe, 0, "session 1: moved to far");
	daemon_expect(&test.home, "took over");
	/* It knows what was before. */
	assert_int_equal(far_sessions(), 2);
	assert_true(status_has("\"links\": 2"));
	assert_true(status_has("\"drained\": true"));
	tool("move 1 far/1", 0, "moved to far");
	assert_int_equal(far_sessions(), 2);
	tool("move 1 home", 0, "moved home");
	eventually(status_has("\"links\": 0"));
	daemon_stop(&test.home, 5000);
}

static void test_takeover_connecting(void **state)
{
	FILE *pipe;

	(void)state;
	start("move well");
	pipe = tool_open("move 1 silent");
	eventually(status_has("\"state\": \"connecting\""));
	tool("restart", 0, "");
	tool_expect(pipe, 1, "session 1 is not moved");
	daemon_expect(&test.home, "took over");
	tool("move 1 far", 0, "moved to far");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_unix, teardown),
		cmocka_unit_test_teardown(test_tls, teardown),
		cmocka_unit_test_teardown(test_link_dies, teardown),
		cmocka_unit_test_teardown(test_refused, teardown),
		cmocka_unit_test_teardown(test_silent, teardown),
		cmocka_unit_test_teardown(test_files, teardown),
		cmocka_unit_test_teardown(test_no_program, teardown),
		cmocka_unit_test_teardown(test_program_fails, teardown),
		cmocka_unit_test_teardown(test_results, teardown),
		cmocka_unit_test_teardown(test_nothing_leaks, teardown),
		cmocka_unit_test_teardown(test_worker_lies, teardown),
		cmocka_unit_test_teardown(test_worker_surplus, teardown),
		cmocka_unit_test_teardown(test_worker_silent, teardown),
		cmocka_unit_test_teardown(test_worker_late, teardown),
		cmocka_unit_test_teardown(test_drain, teardown),
		cmocka_unit_test_teardown(test_drain_under_way, teardown),
		cmocka_unit_test_teardown(test_takeover, teardown),
		cmocka_unit_test_teardown(test_takeover_connecting, teardown),
	};

	return cmocka_run_group_tests_name("move", tests, NULL, NULL);
}
