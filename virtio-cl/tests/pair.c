/*
 * For tests: both ends of a channel.
 */
#include "pair.h"

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "virtio-twin.h"

bool pair_stream;

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition,  \
				errno);                                                            \
			exit(99);                                                                  \
		}                                                                                  \
	} while (0)

int listener_open(char *path, size_t path_size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char folder[] = "/tmp/gcl-test-XXXXXX";
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	REQUIRE(fd >= 0 && mkdtemp(folder));
	REQUIRE((size_t)snprintf(path, path_size, "%s/s", folder) < path_size);
	strcpy(address.sun_path, path);
	REQUIRE(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
	REQUIRE(listen(fd, 4) == 0);
	return fd;
}

void listener_close(int fd, const char *path)
{
	char folder[64];

	close(fd);
	unlink(path);
	snprintf(folder, sizeof folder, "%s", path);
	rmdir(dirname(folder));
}

struct gcl_channel *listener_accept(int fd)
{
	struct gcl_greeting greeting, passed;
	struct gcl_channel *channel = NULL;
	struct pollfd in = {.events = POLLIN};
	char reason[128] = "";
	int sockets[2];
	int n;

	gcl_greeting_init(&greeting);
	gcl_greeting_init(&passed);
	greeting.kind = pair_stream ? GCL_GREETING_STREAM : GCL_GREETING_LOCAL;
	in.fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	REQUIRE(in.fd >= 0);
	while ((n = gcl_greeting_receive(&greeting, in.fd)) == 0)
		poll(&in, 1, 5000);
	REQUIRE(n == 1);
	REQUIRE(gcl_greeting_check(&greeting, reason, sizeof reason) == 0);
	REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
	greeting.conn = in.fd;
	REQUIRE(gcl_greeting_pass(&greeting, sockets[0]) == 0);
	gcl_greeting_fini(&greeting);
	REQUIRE(gcl_greeting_take(&passed, sockets[1]) == 1);
	close(sockets[0]);
	close(sockets[1]);
	if (pair_stream)
		REQUIRE(gcl_stream_accept(&passed, &channel) == 0);
	else
		REQUIRE(gcl_local_accept(&passed, &channel) == 0);
	REQUIRE(gcl_hello_answer(gcl_channel_conn(channel), GCL_HELLO_OK, NULL) == 0);
	return channel;
}

static void *accept_thread(void *fd)
{
	return listener_accept(*(int *)fd);
}

static struct gcl_channel *guest_connect(const char *path)
{
	struct gcl_channel *channel = NULL;
	char reason[256] = "";
	int err = pair_stream ? gcl_stream_connect(path, &channel, reason, sizeof reason)
			      : gcl_local_connect(path, &channel, reason, sizeof reason);

	if (err) {
		fprintf(stderr, "%s\n", reason);
		exit(99);
	}
	return channel;
}

static struct pair local_open(void)
{
	struct pair pair = {0};
	pthread_t thread;
	char path[64];
	void *worker;
	int fd = listener_open(path, sizeof path);

	REQUIRE(pthread_create(&thread, NULL, accept_thread, &fd) == 0);
	pair.guest = guest_connect(path);
	pthread_join(thread, &worker);
	pair.worker = worker;
	listener_close(fd, path);
	return pair;
}

static struct pair local_fork(void (*worker)(struct gcl_channel *channel))
{
	struct pair pair = {0};
	char path[64];
	int fd = listener_open(path, sizeof path);

	fflush(NULL);
	pair.pid = fork();
	REQUIRE(pair.pid >= 0);
	if (pair.pid == 0) {
		struct gcl_channel *channel = listener_accept(fd);

		close(fd);
		worker(channel);
		gcl_channel_close(channel);
		_exit(0);
	}
	pair.guest = guest_connect(path);
	listener_close(fd, path);
	return pair;
}

/* ------------------------------------------------------------ virtio */

static void *serve_thread(void *arg)
{
	struct gcl_channel *channel = arg;
	struct pollfd in = {.fd = gcl_channel_conn(channel), .events = POLLIN};
	int err;

	do {
		poll(&in, 1, -1);
		err = gcl_channel_serve(channel);
	} while (err == 0);
	/* Where a worker ends itself. */
	gcl_channel_kill(channel, err);
	return NULL;
}

static void *virtio_accept_thread(void *socket)
{
	struct gcl_channel *channel = NULL;
	struct gcl_greeting greeting;

	gcl_greeting_init(&greeting);
	REQUIRE(gcl_greeting_take(&greeting, *(int *)socket) == 1);
	REQUIRE(gcl_virtio_accept(&greeting, &channel) == 0);
	return channel;
}

static struct gcl_channel *virtio_guest(void)
{
	struct gcl_channel *channel = NULL;
	char reason[256] = "";

	if (gcl_virtio_connect_with(virtio_twin_calls(), "twin", &channel, reason, sizeof reason)) {
		fprintf(stderr, "%s\n", reason);
		exit(99);
	}
	return channel;
}

static struct pair virtio_open(void)
{
	struct pair pair = {0};
	int sockets[2];
	pthread_t thread;
	void *worker;

	REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
	pair.twin = virtio_twin_init(sockets[0]);
	REQUIRE(pthread_create(&thread, NULL, virtio_accept_thread, &sockets[1]) == 0);
	pair.guest = virtio_guest();
	pthread_join(thread, &worker);
	pair.worker = worker;
	close(sockets[1]);
	REQUIRE(pthread_create(&pair.server, NULL, serve_thread, pair.worker) == 0);
	return pair;
}

static struct pair virtio_fork(void (*worker)(struct gcl_channel *channel))
{
	struct pair pair = {0};
	pthread_t server;
	int sockets[2];

	REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
	fflush(NULL);
	pair.pid = fork();
	REQUIRE(pair.pid >= 0);
	if (pair.pid == 0) {
		struct gcl_channel *channel = virtio_accept_thread(&sockets[1]);

		close(sockets[0]);
		REQUIRE(pthread_create(&server, NULL, serve_thread, channel) == 0);
		pthread_detach(server); /* the process may end first */
		worker(channel);
		_exit(0);
	}
	close(sockets[1]);
	pair.twin = virtio_twin_init(sockets[0]);
	pair.guest = virtio_guest();
	return pair;
}

/* ------------------------------------------------------------ any */

static bool virtio;

void pair_kind_set(const char *kind)
{
	virtio = strcmp(kind, "virtio") == 0;
	pair_stream = strcmp(kind, "stream") == 0;
	REQUIRE(virtio || pair_stream || strcmp(kind, "local") == 0);
}

struct pair pair_open(void)
{
	return virtio ? virtio_open() : local_open();
}

struct pair pair_fork(void (*worker)(struct gcl_channel *channel))
{
	return virtio ? virtio_fork(worker) : local_fork(worker);
}

void pair_close(struct pair *pair)
{
	int status;

	gcl_channel_close(pair->guest);
	if (pair->twin && pair->worker) {
		gcl_channel_kill(pair->worker, -EPIPE);
		pthread_join(pair->server, NULL);
	}
	gcl_channel_close(pair->worker);
	if (pair->twin)
		virtio_twin_fini();
	if (pair->pid) {
		REQUIRE(waitpid(pair->pid, &status, 0) == pair->pid);
		REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	*pair = (struct pair){0};
}

int message_receive(struct gcl_channel *channel, struct gcl_frame *head, void *body,
		    size_t body_max, size_t *size, int timeout_ms)
{
	static _Thread_local uint8_t frame[GCL_FRAME_BODY_MAX];
	int n;

	*size = 0;
	do {
		while ((n = gcl_channel_receive(channel, head, frame, sizeof frame)) == 0) {
			n = gcl_channel_wait(channel, false, timeout_ms);
			if (n)
				return n;
		}
		if (n < 0)
			return n;
		n = (int)(head->length - sizeof *head);
		REQUIRE(*size + (size_t)n <= body_max);
		memcpy((uint8_t *)body + *size, frame, (size_t)n);
		*size += (size_t)n;
	} while (head->flags & GCL_FRAME_MORE);
	return 1;
}

int fds_open(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	REQUIRE(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}
