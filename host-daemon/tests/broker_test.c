// SPDX-License-Identifier: MIT
/*
 * The broker as guests and operators see it: serving, limits, refusals, signals.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "daemon.h"

#define SETTINGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct daemon daemon_now;

static int teardown(void **state)
{
	(void)state;
	daemon_fini(&daemon_now);
	memset(&daemon_now, 0, sizeof daemon_now);
	return 0;
}

static void test_serves(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct gcl_channel *guest;
	unsigned files;

	(void)state;
	daemon_start_ready(daemon, "serve", NULL);
	files = daemon_files_settled(daemon);
	for (int i = 0; i < 5; i++) {
		guest = guest_connect(daemon);
		gcl_channel_close(guest);
	}
	eventually(daemon_log_count(daemon, ": ended after") == 5);
	eventually(daemon_children(daemon) == 1 && daemon_files(daemon) == files);
	daemon_expect(daemon, "session 5: uid");
	daemon_expect(daemon, "broker_test: served by worker");
	daemon_stop(daemon, 1000);
}

static void test_spare_comes_later(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct gcl_channel *guest;
	int64_t since;

	(void)state;
	daemon_start_ready(daemon, "serve", SETTINGS("spare-workers=3"));
	eventually(daemon_starts(daemon) == 3);
	since = now_ms();
	guest = guest_connect(daemon);
	/* Whether that was at once: here a moment may have passed, too. */
	assert_true(daemon_starts(daemon) == 3 || now_ms() - since >= 50);
	eventually(daemon_starts(daemon) == 4);
	gcl_channel_close(guest);
}

static void test_without_spares(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct gcl_channel *guest;

	(void)state;
	daemon_start_ready(daemon, "serve", SETTINGS("spare-workers=0"));
	assert_int_equal(daemon_starts(daemon), 0);
	guest = guest_connect(daemon);
	sleep_ms(100);
	assert_int_equal(daemon_starts(daemon), 1);
	gcl_channel_close(guest);
	eventually(daemon_children(daemon) == 0);
}

static void test_max_sessions(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct gcl_channel *guests[2];

	(void)state;
	daemon_start_ready(daemon, "serve", SETTINGS("max-sessions=2"));
	guests[0] = guest_connect(daemon);
	guests[1] = guest_connect(daemon);
	guest_refused(daemon, "serves 2 sessions already");
	gcl_channel_close(guests[0]);
	eventually(daemon_log_count(daemon, ": ended after") == 1);
	guests[0] = guest_connect(daemon);
	gcl_channel_close(guests[0]);
	gcl_channel_close(guests[1]);
}

static void test_max_sessions_per_user(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct gcl_channel *guest;

	(void)state;
	daemon_start_ready(daemon, "serve", SETTINGS("max-sessions-per-user=1"));
	guest = guest_connect(daemon);
	guest_refused(daemon, "max-sessions-per-user");
	gcl_channel_close(guest);
}

static void test_garbage(void **state)
{
	struct daemon *daemon = &daemon_now;
	char garbage[4096], text[256];
	struct gcl_hello hello = {.magic = GCL_HELLO_MAGIC, .version = 99};
	unsigned files;
	int conn;

	(void)state;
	daemon_start_ready(daemon, "serve", NULL);
	files = daemon_files_settled(daemon);
	memset(garbage, 'x', sizeof garbage);
	conn = guest_socket(daemon);
	assert_true(send(conn, garbage, sizeof garbage, MSG_NOSIGNAL) > 0);
	assert_int_equal(guest_reply(conn, text, sizeof text), GCL_HELLO_MALFORMED);
	close(conn);

	conn = guest_socket(daemon);
	assert_true(send(conn, &hello, sizeof hello, MSG_NOSIGNAL) > 0);
	assert_int_equal(guest_reply(conn, text, sizeof text), GCL_HELLO_VERSION_MISMATCH);
	close(conn);

	hello.version = GCL_HELLO_VERSION;
	conn = guest_socket(daemon);
	assert_true(send(conn, &hello, sizeof hello, MSG_NOSIGNAL) > 0);
	assert_int_equal(guest_reply(conn, text, sizeof text), GCL_HELLO_MALFORMED);
	close(conn);

	gcl_channel_close(guest_connect(daemon));
	eventually(daemon_log_count(daemon, ": ended after") == 1);
	eventually(daemon_files(daemon) == files);
	eventually(daemon_log_count(daemon, "malformed greeting") == 2);
}

static void test_half_open(void **state)
{
	struct daemon *daemon = &daemon_now;
	char text[256];
	int conns[3];

	(void)state;
	daemon_start_ready(daemon, "serve", SETTINGS("greeting-timeout=1500ms", "max-greetings=4"));
	for (int i = 0; i < 3; i++)
		conns[i] = guest_socket(daemon);
	/* Half of the places may be of one user. */
	assert_int_equal(guest_reply(conns[2], text, sizeof text), GCL_HELLO_BUSY);
	assert_non_null(strstr(text, "without a greeting"));
	guest_refused(daemon, "without a greeting");
	assert_int_equal(guest_reply(conns[0], text, sizeof text), GCL_HELLO_MALFORMED);
	assert_non_null(strstr(text, "no greeting within 1500 ms"));
	gcl_channel_close(guest_connect(daemon));
	for (int i = 0; i < 3; i++)
		close(conns[i]);
}

static void test_waiting_guest_leaves(void **state)
{
	struct daemon *daemon = &daemon_now;
	pid_t child;

	(void)state;
	daemon_start_ready(daemon, "serve", SETTINGS("spare-workers=0", "start-timeout=5s"));
	daemon_plan(daemon, "slow 1000");
	child = fork();
	if (child == 0) {
		guest_connect(daemon);
		_exit(0);
	}
	eventually(daemon_starts(daemon) == 1);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	/* The worker came up for nobody, and went. */
	eventually(daemon_children(daemon) == 0);
	assert_int_equal(daemon_log_count(daemon, "served by worker"), 0);
	daemon_plan(daemon, "serve");
	gcl_channel_close(guest_connect(daemon));
}

static void test_start_timeout(void **state)
{
	struct daemon *daemon = &daemon_now;

	(void)state;
	daemon_start_ready(daemon, "serve", SETTINGS("spare-workers=0", "start-timeout=200ms"));
	daemon_plan(daemon, "hang");
	guest_refused(daemon, "no worker came up within 200 ms");
	daemon_stop(daemon, 3000);
}

static void test_other_user(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct stat st;
	char cache[160];
	int status;
	pid_t child;

	(void)state;
	if (geteuid() != 0)
		skip();
	daemon_start_ready(daemon, "serve", SETTINGS("socket-mode=0666"));
	assert_int_equal(chmod(daemon->folder, 0711), 0);
	child = fork();
	if (child == 0) {
		if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
			_exit(1);
		gcl_channel_close(guest_connect(daemon));
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	daemon_expect(daemon, "uid 65534");
	snprintf(cache, sizeof cache, "%.63s/cache/uid-65534", daemon->folder);
	assert_int_equal(stat(cache, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	/* The worker that was prepared for root makes room for one for that user. */
	eventually(daemon_children(daemon) == 1 && daemon_starts(daemon) == 3);
}

static void test_term(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct gcl_channel *guest;

	(void)state;
	daemon_start_ready(daemon, "serve", NULL);
	guest = guest_connect(daemon);
	daemon_stop(daemon, 500);
	/* The session ends with the daemon. */
	while (gcl_channel_wait(guest, false, 1000) == 0)
		gcl_channel_receive(guest, &(struct gcl_frame){0}, (char[GCL_FRAME_MAX]){0},
				    GCL_FRAME_MAX);
	assert_int_equal(gcl_channel_wait(guest, false, 1000), -EPIPE);
	gcl_channel_close(guest);
}

static void test_term_stubborn(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct gcl_channel *guest;

	(void)state;
	daemon_start_ready(daemon, "stubborn", NULL);
	guest = guest_connect(daemon);
	daemon_stop(daemon, 3500);
	daemon_expect(daemon, "killed");
	gcl_channel_close(guest);
}

static void test_stale_socket(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct daemon second;

	(void)state;
	daemon_start_ready(daemon, "serve", NULL);
	second = *daemon;
	daemon_start(&second, NULL);
	assert_int_equal(daemon_wait(&second, 2000), 1 << 8);
	daemon_expect(daemon, "another guestcld is serving");
	gcl_channel_close(guest_connect(daemon));

	kill(daemon->pid, SIGKILL);
	daemon_wait(daemon, 1000);
	assert_int_equal(access(daemon->socket, F_OK), 0);
	daemon_start(daemon, NULL);
	daemon_expect(daemon, "replacing");
	eventually(daemon_log_count(daemon, "ready") == 2);
	gcl_channel_close(guest_connect(daemon));
	daemon_stop(daemon, 1000);
}

static void test_no_socket_there(void **state)
{
	struct daemon *daemon = &daemon_now;

	(void)state;
	daemon_init(daemon, "serve");
	fclose(fopen(daemon->socket, "w"));
	daemon_start(daemon, NULL);
	assert_int_equal(daemon_wait(daemon, 2000), 1 << 8);
	daemon_expect(daemon, "is no socket");
	assert_int_equal(access(daemon->socket, F_OK), 0);
}

static void test_reload(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct gcl_channel *guest;

	(void)state;
	daemon_init(daemon, "serve");
	daemon_config(daemon, "max-sessions = 1");
	daemon_start(daemon, NULL);
	daemon_expect(daemon, "ready");
	guest = guest_connect(daemon);
	guest_refused(daemon, "serves 1 sessions already");

	daemon_config(daemon, "max-sessions = 1\nmax-sesions = 2");
	kill(daemon->pid, SIGHUP);
	daemon_expect(daemon, "guestcld.conf:2: no such option 'max-sesions'");
	daemon_expect(daemon, "the settings stay as they were");
	guest_refused(daemon, "serves 1 sessions already");

	daemon_config(daemon, "max-sessions = 2\nsocket-mode = 0640");
	kill(daemon->pid, SIGHUP);
	daemon_expect(daemon, "settings read again");
	daemon_expect(daemon, "restart guestcld to change it");
	gcl_channel_close(guest_connect(daemon));
	gcl_channel_close(guest);
}

static void test_notify(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char text[512] = "";

	(void)state;
	daemon_init(daemon, "serve");
	snprintf(address.sun_path, sizeof address.sun_path, "%.80s/notify", daemon->folder);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	daemon_start(daemon, NULL);
	unsetenv("NOTIFY_SOCKET");
	assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
	assert_memory_equal(text, "READY=1\n", 8);
	daemon_stop(daemon, 1000);
	assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
	assert_memory_equal(text, "STOPPING=1", 10);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(test_##name, teardown)
	const struct CMUnitTest tests[] = {
		TEST(serves),
		TEST(spare_comes_later),
		TEST(without_spares),
		TEST(max_sessions),
		TEST(max_sessions_per_user),
		TEST(garbage),
		TEST(half_open),
		TEST(waiting_guest_leaves),
		TEST(start_timeout),
		TEST(other_user),
		TEST(term),
		TEST(term_stubborn),
		TEST(stale_socket),
		TEST(no_socket_there),
		TEST(reload),
		TEST(notify),
	};

	return cmocka_run_group_tests_name("broker", tests, NULL, NULL);
}
