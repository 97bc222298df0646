// SPDX-License-Identifier: MIT
/*
 * Guests that come by vsock, as they arrive on a VM's Unix socket: who they are, what they are
 * limited to, and their end. And those that come to the daemon's own socket without memory to
 * share.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "daemon.h"
#include "stream.h"

#define SETTINGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct daemon daemon_now;
static char socket_path[512];

static int teardown(void **state)
{
	(void)state;
	daemon_fini(&daemon_now);
	memset(&daemon_now, 0, sizeof daemon_now);
	return 0;
}

/* A daemon with the VM "web1" and what @vm says about it. */
static void start(const char *vm, const char *const *settings)
{
	struct daemon *daemon = &daemon_now;
	char config[768];

	daemon_init(daemon, "serve");
	snprintf(config, sizeof config, "vm-dir = \"%s\"\nvm-socket-group = \"\"\nvm \"web1\" {%s}",
		 daemon->folder, vm);
	daemon_config(daemon, config);
	daemon_start(daemon, settings);
	daemon_expect(daemon, "ready");
	snprintf(socket_path, sizeof socket_path, "%s/web1.vsock_17228", daemon->folder);
}

static struct gcl_channel *stream_connect(const char *path)
{
	struct gcl_channel *channel = NULL;
	char reason[256];

	if (gcl_stream_connect(path, &channel, reason, sizeof reason) < 0)
		fail_msg("refused: %s", reason);
	return channel;
}

static void stream_refused(const char *text)
{
	struct gcl_channel *channel = NULL;
	char reason[512];

	if (gcl_stream_connect(socket_path, &channel, reason, sizeof reason) >= 0)
		fail_msg("let in, instead of refused with \"%s\"", text);
	if (!strstr(reason, text))
		fail_msg("refused with \"%s\" instead of \"%s\"", reason, text);
}

static int bare_connect(void)
{
	struct daemon other = daemon_now;

	snprintf(other.socket, sizeof other.socket, "%.95s", socket_path);
	return guest_socket(&other);
}

static void test_serves(void **state)
{
	struct daemon *daemon = &daemon_now;
	unsigned files;

	(void)state;
	start("", NULL);
	files = daemon_files_settled(daemon);
	for (int i = 0; i < 5; i++)
		gcl_channel_close(stream_connect(socket_path));
	eventually(daemon_log_count(daemon, ": ended after") == 5);
	/* When there is a spare worker again. */
	eventually(daemon_children(daemon) == 1 && daemon_files(daemon) == files);
	daemon_expect(daemon, "VM web1, vsock, vsock_test: served by worker");
	daemon_stop(daemon, 1000);
	assert_int_equal(access(socket_path, F_OK), -1);
}

/* Its sessions are the VM's, not those of the user that the VMM runs as. */
static void test_limits(void **state)
{
	struct gcl_channel *guests[2], *own;

	(void)state;
	start("max-sessions = 2", SETTINGS("max-sessions-per-user=1"));
	guests[0] = stream_connect(socket_path);
	guests[1] = stream_connect(socket_path);
	stream_refused("2 sessions of this VM already");
	own = guest_connect(&daemon_now);
	gcl_channel_close(own);
	gcl_channel_close(guests[0]);
	gcl_channel_close(guests[1]);
}

static void test_half_open(void **state)
{
	char text[256];
	int conns[3];

	(void)state;
	start("", SETTINGS("greeting-timeout=1500ms", "max-greetings=4"));
	for (int i = 0; i < 3; i++)
		conns[i] = bare_connect();
	assert_int_equal(guest_reply(conns[2], text, sizeof text), GCL_HELLO_BUSY);
	assert_non_null(strstr(text, "without a greeting"));
	/* Others get in meanwhile. */
	gcl_channel_close(guest_connect(&daemon_now));
	assert_int_equal(guest_reply(conns[0], text, sizeof text), GCL_HELLO_MALFORMED);
	assert_non_null(strstr(text, "no greeting within 1500 ms"));
	gcl_channel_close(stream_connect(socket_path));
	for (int i = 0; i < 3; i++)
		close(conns[i]);
}

static struct gcl_hello hello_good(void)
{
	return (struct gcl_hello){
		.magic = GCL_HELLO_MAGIC,
		.version = GCL_HELLO_VERSION,
		.commands_size = GCL_RING_COMMANDS_SIZE,
		.completions_size = GCL_RING_COMPLETIONS_SIZE,
		.heap_size = GCL_HEAP_CHUNK,
	};
}

/* Return: what the daemon says to @hello, with a descriptor if @fd is one. */
static int greet(const struct gcl_hello *hello, int fd, char *text, size_t size)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {0};
	struct iovec iov = {(void *)hello, sizeof *hello};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	int conn = bare_connect();
	int status;

	if (fd >= 0) {
		struct cmsghdr *cmsg = (struct cmsghdr *)(void *)control;

		message.msg_control = control;
		message.msg_controllen = sizeof control;
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(cmsg), &fd, sizeof fd);
	}
	assert_int_equal(sendmsg(conn, &message, 0), sizeof *hello);
	status = guest_reply(conn, text, size);
	close(conn);
	return status;
}

static void test_bad_greetings(void **state)
{
	struct gcl_hello hello = hello_good();
	unsigned files;
	char text[256];

	(void)state;
	start("", NULL);
	files = daemon_files_settled(&daemon_now);
	assert_int_equal(greet(&hello, -1, text, sizeof text), GCL_HELLO_OK);
	hello.version = 99;
	assert_int_equal(greet(&hello, -1, text, sizeof text), GCL_HELLO_VERSION_MISMATCH);
	hello = hello_good();
	hello.heap_size = GCL_HEAP_MAX + GCL_HEAP_CHUNK;
	assert_int_equal(greet(&hello, -1, text, sizeof text), GCL_HELLO_MALFORMED);
	hello = hello_good();
	hello.completions_size = 3;
	assert_int_equal(greet(&hello, -1, text, sizeof text), GCL_HELLO_MALFORMED);
	hello = hello_good();
	assert_int_equal(greet(&hello, STDERR_FILENO, text, sizeof text), GCL_HELLO_MALFORMED);
	assert_non_null(strstr(text, "does not belong here"));
	eventually(daemon_files(&daemon_now) == files);
}

/* What was said of a VM is taken back, with what it has. */
static void test_removed(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct gcl_channel *guest, *other;
	char config[768];
	int half;

	(void)state;
	start("", NULL);
	guest = stream_connect(socket_path);
	half = bare_connect();
	other = guest_connect(daemon);
	snprintf(config, sizeof config, "vm-dir = \"%s\"\n", daemon->folder);
	daemon_config(daemon, config);
	kill(daemon->pid, SIGHUP);
	daemon_expect(daemon, "VM web1: is no longer served");
	assert_int_equal(gcl_channel_wait(guest, false, 5000), -EPIPE);
	assert_int_equal(gcl_channel_wait(other, false, 50), -ETIMEDOUT);
	assert_int_equal(access(socket_path, F_OK), -1);
	{
		char text[256];

		assert_int_equal(guest_reply(half, text, sizeof text), GCL_HELLO_BUSY);
		assert_non_null(strstr(text, "no longer served"));
	}
	close(half);
	gcl_channel_close(guest);
	gcl_channel_close(other);
}

/* A user's guest that has no memory to share comes to the daemon's socket, and is the user's. */
static void test_user_without_memory(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct gcl_channel *guest;

	(void)state;
	start("", SETTINGS("max-sessions-per-user=1"));
	guest = stream_connect(daemon->socket);
	guest_refused(daemon, "max-sessions-per-user");
	gcl_channel_close(guest);
	daemon_expect(daemon, "session 1: uid");
}

/* A path that has no room for the port behind it is said, and nothing else suffers. */
static void test_long_path(void **state)
{
	char vm[160], fill[60];

	(void)state;
	memset(fill, 'x', sizeof fill);
	fill[sizeof fill - 1] = '\0';
	snprintf(vm, sizeof vm, "socket = \"/tmp/guestcl-test-long-path-%s%.11s.s\"", fill, fill);
	start(vm, NULL);
	daemon_expect(&daemon_now, "is too long for a socket for vsock");
	gcl_channel_close(guest_connect(&daemon_now));
}

/* Where the host has no vsock at all, "always" is a warning and no more. */
static void test_vsock_settings(void **state)
{
	(void)state;
	start("cid = 3", SETTINGS("vsock=always", "vsock-port=40123"));
	eventually(daemon_log_count(&daemon_now, "vsock port 40123") == 1);
	gcl_channel_close(stream_connect(socket_path));
	daemon_stop(&daemon_now, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_serves, teardown),
		cmocka_unit_test_teardown(test_limits, teardown),
		cmocka_unit_test_teardown(test_half_open, teardown),
		cmocka_unit_test_teardown(test_bad_greetings, teardown),
		cmocka_unit_test_teardown(test_removed, teardown),
		cmocka_unit_test_teardown(test_user_without_memory, teardown),
		cmocka_unit_test_teardown(test_long_path, teardown),
		cmocka_unit_test_teardown(test_vsock_settings, teardown),
	};

	return cmocka_run_group_tests_name("vsock", tests, NULL, NULL);
}
