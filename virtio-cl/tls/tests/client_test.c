// SPDX-License-Identifier: MIT
/*
 * The module that guests load, in a program that does to it what programs do: several threads open
 * sessions, close them in the middle, fork, and exit, while connections drop.
 *
 * Runs for GUESTCL_STRESS_SECONDS (default 2). Both ends live in this process, so that a thread
 * checker sees them; only the exit is another process's, which this program is as well.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "echo.h"
#include "relay.h"
#include "test.h"
#include "tls.h"

extern const struct gcl_tls_module gcl_tls_module;

#define THREADS	   4u
#define PIECE	   16384u
#define BYTES_MAX  (1u << 20)
#define OPEN_MS	   20000
#define PATIENT_MS 60000
#define EXITS	   4
#define REFUSALS   100

/* Descriptors that a forked child looks at. */
#define DESCRIPTORS 512

static struct echo_server server;
static char folder[] = "/tmp/gcl-client-XXXXXX";
static int64_t end;
static _Atomic unsigned served, forked;
static _Atomic bool stop;

/* In the process whose exit is what is tried: at the end all its sessions end. */
static const char *exit_files;
static unsigned exit_port;

static void fail_now(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	abort();
}

/* ------------------------------------------------------------ one session */

struct guest {
	struct gcl_tls_client *client;
	int plain;
	uint64_t random;
};

static uint8_t byte_at(uint64_t seed, uint64_t position)
{
	return (uint8_t)((seed + position) * 0x9e3779b97f4a7c15ull >> 56);
}

/* Return: whether there is a session: a connection that drops before there is one is the end of it.
 */
static bool guest_open(struct guest *guest, const char *files, unsigned port)
{
	char number[8], reason[256] = "";
	struct gcl_tls_place place = {
		.host = "127.0.0.1", .port = number, .folder = files, .timeout_ms = OPEN_MS};

	snprintf(number, sizeof number, "%u", port);
	return gcl_tls_module.open(&place, &guest->plain, &guest->client, reason, sizeof reason) ==
	       0;
}

/* Some of what is left goes out. */
static void some_send(const struct guest *guest, uint64_t seed, uint64_t *sent, uint64_t all)
{
	uint8_t bytes[PIECE] = {0};
	size_t size = GCL_MIN(sizeof bytes, (size_t)(all - *sent));
	ssize_t n;

	for (size_t i = 0; i < size; i++)
		bytes[i] = byte_at(seed, *sent + i);
	n = send(guest->plain, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	*sent += n > 0 ? (uint64_t)n : 0;
}

/* Return: false at the end. */
static bool some_receive(const struct guest *guest, uint64_t seed, uint64_t *received)
{
	uint8_t bytes[PIECE];
	ssize_t n = recv(guest->plain, bytes, sizeof bytes, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	for (ssize_t i = 0; i < n; i++) {
		if (bytes[i] != byte_at(seed, *received + (uint64_t)i))
			fail_now("a byte", "is another one");
	}
	*received += n > 0 ? (uint64_t)n : 0;
	return n > 0;
}

/* @all: there and back; @enough: then it is left. Return: bytes that came back. */
static uint64_t guest_talk(struct guest *guest, uint64_t all, uint64_t enough)
{
	uint64_t seed = test_random(&guest->random), sent = 0, received = 0;
	char reason[256];

	while (received < enough) {
		struct pollfd fd = {.fd = guest->plain,
				    .events = sent < all ? POLLIN | POLLOUT : POLLIN};

		if (poll(&fd, 1, PATIENT_MS) == 0)
			fail_now("a session", "nothing comes");
		if (fd.revents & POLLOUT)
			some_send(guest, seed, &sent, all);
		if ((fd.revents & ~POLLOUT) && !some_receive(guest, seed, &received)) {
			/* Who has heard of the server can come back to it. */
			gcl_tls_module.reason(guest->client, reason, sizeof reason);
			if (received && !exit_files)
				fail_now("a session has ended", reason);
			break;
		}
	}
	return received;
}

static void guest_close(struct guest *guest)
{
	bool first = test_random(&guest->random) % 2;

	if (first)
		gcl_tls_module.release(guest->client);
	close(guest->plain);
	if (!first)
		gcl_tls_module.release(guest->client);
}

/* ------------------------------------------------------------ threads */

static void *guests_run(void *data)
{
	struct guest guest = {.random = (uintptr_t)data * 77 + 1};

	while (gcl_relay_now() < end) {
		uint64_t all = 1 + test_random(&guest.random) % BYTES_MAX;
		uint64_t enough = test_random(&guest.random) % 4 ? all : all / 2;

		if (!guest_open(&guest, folder, server.port))
			continue;
		if (guest_talk(&guest, all, enough) >= enough)
			served++;
		guest_close(&guest);
	}
	return NULL;
}

static void *drops_run(void *data)
{
	uint64_t random = 5;

	(void)data;
	while (!stop) {
		echo_drop(&server, (unsigned)test_random(&random));
		usleep(500 + test_random(&random) % 2000);
	}
	return NULL;
}

/* In a child: the connections are not its own. */
static void child_look(void)
{
	for (int fd = 3; fd < DESCRIPTORS; fd++) {
		struct sockaddr_in peer = {0};
		socklen_t size = sizeof peer;

		if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0 &&
		    peer.sin_family == AF_INET && ntohs(peer.sin_port) == server.port)
			_exit(1);
	}
	_exit(0);
}

static void *forks_run(void *data)
{
	(void)data;
	while (!stop) {
		int status;
		pid_t pid = fork();

		if (pid == 0)
			child_look();
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			fail_now("a child", "has kept a connection of its parent's");
		forked++;
		usleep(2000);
	}
	return NULL;
}

static void threads(void **state)
{
	pthread_t guests[THREADS], drops, forks;
	unsigned resumed;

	(void)state;
	assert_int_equal(pthread_create(&drops, NULL, drops_run, NULL), 0);
	assert_int_equal(pthread_create(&forks, NULL, forks_run, NULL), 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&guests[i], NULL, guests_run, (void *)i), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(guests[i], NULL);
	stop = true;
	pthread_join(drops, NULL);
	pthread_join(forks, NULL);
	pthread_mutex_lock(&server.lock);
	resumed = server.resumed;
	pthread_mutex_unlock(&server.lock);
	print_message("# %u sessions served, %u resumed, %u forks\n", served, resumed, forked);
	assert_true(served > 0);
	assert_true(forked > 0);
}

/* ------------------------------------------------------------ what is said last */

/* Says something all the time until it has heard the end. */
static void refusal_hear(struct guest *guest)
{
	char heard[64] = "";
	size_t size = 0;
	ssize_t n = 1;

	while (n > 0 && size < sizeof heard) {
		struct pollfd fd = {.fd = guest->plain, .events = POLLIN};

		(void)!send(guest->plain, heard, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (poll(&fd, 1, 0) == 0)
			continue;
		n = recv(guest->plain, heard + size, sizeof heard - size, 0);
		size += n > 0 ? (size_t)n : 0;
	}
	assert_int_equal(size, sizeof ECHO_REFUSAL);
	assert_memory_equal(heard, ECHO_REFUSAL, size);
}

static void refusals(void **state)
{
	struct guest guest = {.random = 3};

	(void)state;
	pthread_mutex_lock(&server.lock);
	server.refusing = true;
	pthread_mutex_unlock(&server.lock);
	for (int i = 0; i < REFUSALS; i++) {
		assert_true(guest_open(&guest, folder, server.port));
		refusal_hear(&guest);
		guest_close(&guest);
	}
	pthread_mutex_lock(&server.lock);
	server.refusing = false;
	pthread_mutex_unlock(&server.lock);
}

/* ------------------------------------------------------------ exit */

static _Atomic unsigned talking;

/* Until the process ends. */
static void *talker_run(void *data)
{
	struct guest guest = {.random = (uintptr_t)data * 3 + 1};

	while (!guest_open(&guest, exit_files, exit_port))
		;
	guest_talk(&guest, PIECE, PIECE);
	talking++;
	guest_talk(&guest, UINT64_MAX, UINT64_MAX);
	return NULL;
}

/* One more opens sessions all the time. */
static void *opener_run(void *data)
{
	struct guest guest = {.random = 9};

	(void)data;
	for (;;) {
		if (guest_open(&guest, exit_files, exit_port))
			guest_close(&guest);
	}
	return NULL;
}

static int exit_run(const char *port, const char *files)
{
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	exit_files = files;
	exit_port = (unsigned)strtoul(port, NULL, 10);
	alarm(PATIENT_MS / 1000);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&thread, &attributes, talker_run, (void *)i);
	pthread_create(&thread, &attributes, opener_run, NULL);
	while (talking < THREADS)
		usleep(1000);
	return 0;
}

static void exits(void **state)
{
	char port[8];
	char *arguments[] = {"client_test", "exit", port, folder, NULL};

	(void)state;
	/* Its threads are stopped wherever they are, with what they have. */
	setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	snprintf(port, sizeof port, "%u", server.port);
	for (int i = 0; i < EXITS; i++) {
		int status = -1;
		pid_t pid;

		assert_int_equal(
			posix_spawn(&pid, "/proc/self/exe", NULL, NULL, arguments, environ), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

/* ------------------------------------------------------------ */

static int begin(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	echo_key(folder);
	echo_start(&server);
	return 0;
}

static int finish(void **state)
{
	char path[sizeof folder + 8];

	(void)state;
	echo_stop(&server);
	snprintf(path, sizeof path, "%s/psk", folder);
	unlink(path);
	rmdir(folder);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads),
		cmocka_unit_test(refusals),
		cmocka_unit_test(exits),
	};
	const char *seconds = getenv("GUESTCL_STRESS_SECONDS");

	if (argc == 4 && strcmp(argv[1], "exit") == 0)
		return exit_run(argv[2], argv[3]);
	end = gcl_relay_now() + (seconds ? strtol(seconds, NULL, 10) : 2) * 1000;
	return cmocka_run_group_tests_name("tls-client", tests, begin, finish);
}
