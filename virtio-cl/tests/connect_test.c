/*
 * What a guest program is told when it can't have a channel, and what connecting leaves behind.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "local-channel.h"
#include "pair.h"
#include "test.h"

struct fixture {
	int fds_before;
	int listener;
	char path[64];
	pthread_t thread;
	void (*serve)(int conn); /* what the daemon does with the guest */
};

static int setup(void **state)
{
	struct fixture *fix = calloc(1, sizeof *fix);

	fix->fds_before = fds_open();
	fix->listener = listener_open(fix->path, sizeof fix->path);
	*state = fix;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fix = *state;
	int leaked;

	listener_close(fix->listener, fix->path);
	leaked = fds_open() - fix->fds_before;
	free(fix);
	return leaked;
}

static void *serve_thread(void *arg)
{
	struct fixture *fix = arg;
	int conn = accept(fix->listener, NULL, NULL);

	fix->serve(conn);
	close(conn);
	return NULL;
}

static void serve(struct fixture *fix, void (*how)(int conn))
{
	fix->serve = how;
	assert_int_equal(pthread_create(&fix->thread, NULL, serve_thread, fix), 0);
}

/* Connecting fails with @err, and the user reads something with @because in it, in one line. */
static void expect_failure(const char *path, int err, const char *because)
{
	struct gcl_channel *channel = NULL;
	char reason[300] = "";

	assert_int_equal(gcl_local_connect_within(path, 200, &channel, reason, sizeof reason), err);
	assert_null(channel);
	if (!strstr(reason, because) || strchr(reason, '\n'))
		fail_msg("\"%s\" instead of \"%s\"", reason, because);
}

static void test_no_socket(void **state)
{
	char path[200];

	(void)state;
	expect_failure("/nonexistent/guestcl.sock", -ENOENT,
		       "no daemon at /nonexistent/guestcl.sock: start guestcld on the host, or set "
		       "GUESTCL_SOCKET");
	memset(path, 'x', sizeof path);
	path[sizeof path - 1] = '\0';
	expect_failure(path, -ENAMETOOLONG, "set GUESTCL_SOCKET");
	expect_failure("", -ENOENT, "no daemon at");
}

static void test_refused(void **state)
{
	struct fixture *fix = *state;

	close(fix->listener);
	fix->listener = -1;
	expect_failure(fix->path, -ECONNREFUSED, "start guestcld");
}

static void test_no_permission(void **state)
{
	struct fixture *fix = *state;
	char reason[300] = "";
	int status;
	pid_t child = fork();

	if (child == 0) {
		struct gcl_channel *channel;
		int err;

		if (geteuid() == 0 && setuid(65534) < 0)
			_exit(1);
		chmod(fix->path, 0);
		err = gcl_local_connect(fix->path, &channel, reason, sizeof reason);
		_exit(err == -EACCES && strstr(reason, "no permission for") ? 0 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_no_answer(void **state)
{
	struct fixture *fix = *state;
	int fds[16];
	unsigned count = 0;

	/* It takes the connection, as the kernel does for a stopped daemon, and is silent. */
	expect_failure(fix->path, -ETIMEDOUT, "does not answer");
	/* Nor is there room in its backlog. */
	for (unsigned i = 0; i < 16; i++) {
		struct sockaddr_un address = {.sun_family = AF_UNIX};

		strcpy(address.sun_path, fix->path);
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (connect(fds[i], (struct sockaddr *)&address, sizeof address) < 0)
			count++;
	}
	assert_int_not_equal(count, 0);
	expect_failure(fix->path, -EAGAIN, "does not answer");
	for (unsigned i = 0; i < 16; i++)
		close(fds[i]);
}

static void hang_up_at_once(int conn)
{
	(void)conn;
}

static void read_and_hang_up(int conn)
{
	struct gcl_hello hello;

	recv(conn, &hello, sizeof hello, 0);
}

static void answer_version(int conn)
{
	gcl_hello_answer(conn, GCL_HELLO_VERSION_MISMATCH, "update the guest library");
}

static void answer_busy(int conn)
{
	struct gcl_hello hello;

	recv(conn, &hello, sizeof hello, 0);
	gcl_hello_answer(conn, GCL_HELLO_BUSY, "64 of 64 sessions in use");
}

static void answer_half(int conn)
{
	struct gcl_hello_reply reply = {.magic = GCL_HELLO_MAGIC};

	send(conn, &reply, sizeof reply / 2, 0);
}

static void answer_noise(int conn)
{
	char noise[sizeof(struct gcl_hello_reply)];

	memset(noise, 'n', sizeof noise);
	send(conn, noise, sizeof noise, 0);
}

static void test_refusals(void **state)
{
	static const struct {
		void (*serve)(int conn);
		int err;
		const char *because;
	} cases[] = {
		{hang_up_at_once, -ECONNREFUSED, "hung up"},
		{read_and_hang_up, -ECONNREFUSED, "hung up"},
		{answer_version, -EPROTONOSUPPORT, "refused: update the guest library"},
		{answer_busy, -EREMOTEIO, "refused: 64 of 64 sessions in use"},
		{answer_half, -ECONNREFUSED, "hung up"},
		{answer_noise, -EPROTO, "is not guestcld"},
	};
	struct fixture *fix = *state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		serve(fix, cases[i].serve);
		expect_failure(fix->path, cases[i].err, cases[i].because);
		pthread_join(fix->thread, NULL);
	}
}

static void test_descriptors(void **state)
{
	struct pair pair = pair_open();
	struct fixture *fix = *state;
	char path[32];

	for (int fd = 3; fd < 64; fd++) {
		struct stat st;

		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		if (fd != fix->listener && lstat(path, &st) == 0 &&
		    !(fcntl(fd, F_GETFD) & FD_CLOEXEC) && fstat(fd, &st) == 0 &&
		    S_ISSOCK(st.st_mode))
			fail_msg("descriptor %d survives exec", fd);
	}
	pair_close(&pair);
}

/* Runs @body in a child, since it changes what belongs to the process. */
static void in_child(void (*body)(const char *path), struct fixture *fix)
{
	struct gcl_channel *worker;
	pid_t child = fork();
	int status;

	if (child == 0) {
		body(fix->path);
		_exit(0);
	}
	worker = listener_accept(fix->listener);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	gcl_channel_close(worker);
}

static void connect_or_exit(const char *path, struct gcl_channel **channel)
{
	char reason[300];

	if (gcl_local_connect(path, channel, reason, sizeof reason))
		_exit(10);
}

static void without_stdio(const char *path)
{
	struct gcl_channel *channel;

	close(0);
	close(1);
	close(2);
	connect_or_exit(path, &channel);
	for (int fd = 0; fd < 3; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			_exit(11);
	}
	gcl_channel_close(channel);
}

static void with_limits(const char *path)
{
	const struct rlimit address_space = {8ull << 30, 8ull << 30};
	const struct rlimit file_size = {1ull << 30, 1ull << 30};
	struct gcl_channel *channel;

	if (!TEST_SANITIZED)
		setrlimit(RLIMIT_AS, &address_space);
	setrlimit(RLIMIT_FSIZE, &file_size);
	connect_or_exit(path, &channel);
	if (channel->heap_size > 1ull << 30 || channel->heap_size < 64ull << 20)
		_exit(12);
	memset(channel->heap + channel->heap_size - 4096, 1, 4096);
	gcl_channel_close(channel);
}

/* No room for a ring, nor for descriptors: an error, no signal. */
static void test_tight_limits(void **state)
{
	struct fixture *fix = *state;
	struct rlimit before, tight;

	getrlimit(RLIMIT_FSIZE, &before);
	tight = (struct rlimit){100000, before.rlim_max};
	setrlimit(RLIMIT_FSIZE, &tight);
	expect_failure(fix->path, -EFBIG, "ulimit");
	setrlimit(RLIMIT_FSIZE, &before);

	getrlimit(RLIMIT_NOFILE, &before);
	for (rlim_t spare = 0; spare < 5; spare++) {
		tight = (struct rlimit){(rlim_t)dup(fix->listener) + spare, before.rlim_max};
		close((int)(tight.rlim_cur - spare));
		setrlimit(RLIMIT_NOFILE, &tight);
		expect_failure(fix->path, -EMFILE, spare ? "ulimit" : "Too many open files");
		setrlimit(RLIMIT_NOFILE, &before);
	}
}

static void test_without_stdio(void **state)
{
	in_child(without_stdio, *state);
}

static void test_limits(void **state)
{
	in_child(with_limits, *state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_socket, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_permission, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tight_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_stdio, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
	};

	return cmocka_run_group_tests_name("connect", tests, NULL, NULL);
}
