// SPDX-License-Identifier: MIT
/*
 * The guest's side of a greeting: find the daemon's socket, send the greeting, read the answer.
 *
 * Must not: block longer than the timeout, raise a signal in the program, use descriptors 0 to 2,
 * print anything: what went wrong is one line for the caller.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include "base/cleanup.h"
#include "hello.h"
#include "shm.h"

void gcl_hello_fill(struct gcl_hello *hello)
{
	*hello = (struct gcl_hello){
		.magic = GCL_HELLO_MAGIC,
		.version = GCL_HELLO_VERSION,
		.commands_size = GCL_RING_COMMANDS_SIZE,
		.completions_size = GCL_RING_COMPLETIONS_SIZE,
		.pid = (uint32_t)getpid(),
	};
	snprintf(hello->program, sizeof hello->program, "%s", program_invocation_short_name);
}

void gcl_hello_reason(const char *where, int err, char *reason, size_t size)
{
	switch (err) {
	case -ENOENT:
		snprintf(reason, size,
			 "no daemon at %s: start guestcld on the host, or set GUESTCL_SOCKET",
			 where);
		break;
	case -ECONNREFUSED:
		snprintf(reason, size,
			 "no daemon listens at %s: start guestcld on the host, or set "
			 "GUESTCL_SOCKET",
			 where);
		break;
	case -EACCES:
	case -EPERM:
		snprintf(reason, size,
			 "no permission for %s: let this user write to the daemon's socket", where);
		break;
	case -ENAMETOOLONG:
		snprintf(reason, size,
			 "%s is too long for a socket (%zu bytes): set GUESTCL_SOCKET to a shorter "
			 "path",
			 where, sizeof((struct sockaddr_un *)NULL)->sun_path - 1);
		break;
	case -EAGAIN:
	case -ETIMEDOUT:
		snprintf(reason, size,
			 "the daemon at %s does not answer: look whether guestcld is stopped or "
			 "overloaded",
			 where);
		break;
	default:
		snprintf(reason, size, "cannot connect to the daemon at %s: %s", where,
			 strerror(-err));
		break;
	}
}

int gcl_hello_connect(const char *path, int timeout_ms)
{
	struct timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = -1;
	int n;

	if (!*path)
		return -ENOENT;
	if (strlen(path) >= sizeof address.sun_path)
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	fd = gcl_shm_fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	if (fd < 0)
		return -errno;
	/* Connecting waits for as long as the daemon's backlog is full. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
	do
		n = connect(fd, (struct sockaddr *)&address, sizeof address);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : steal_fd(&fd);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits for the whole reply. Return: 0, -ETIMEDOUT, -EPIPE when the daemon hung up, -errno. */
static int reply_read(int conn, struct gcl_hello_reply *reply, int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms;
	struct pollfd in = {.fd = conn, .events = POLLIN};
	size_t got = 0;

	while (got < sizeof *reply) {
		int64_t left = end - now_ms();
		ssize_t n;

		if (left <= 0)
			return -ETIMEDOUT;
		n = poll(&in, 1, (int)left);
		if (n > 0)
			n = recv(conn, (char *)reply + got, sizeof *reply - got, MSG_DONTWAIT);
		else if (n == 0)
			continue;
		if (n == 0)
			return -EPIPE;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return errno == ECONNRESET ? -EPIPE : -errno;
		got += n > 0 ? (size_t)n : 0;
	}
	reply->text[sizeof reply->text - 1] = '\0';
	return 0;
}

int gcl_hello_exchange(const struct gcl_greeting *greeting, const char *where, int timeout_ms,
		       char *reason, size_t size)
{
	struct gcl_hello_reply reply = {0};
	int err = gcl_greeting_send(greeting, greeting->conn);

	/* A daemon that refuses may have answered and hung up before it read the greeting. */
	if (!err || err == -EPIPE)
		err = reply_read(greeting->conn, &reply, timeout_ms);
	if (err == -EPIPE) {
		snprintf(reason, size, "the daemon at %s hung up: its log says why", where);
		return -ECONNREFUSED;
	}
	if (err) {
		gcl_hello_reason(where, err, reason, size);
		return err;
	}
	if (reply.magic != GCL_HELLO_MAGIC) {
		snprintf(reason, size, "what listens at %s is not guestcld: set GUESTCL_SOCKET",
			 where);
		return -EPROTO;
	}
	if (reply.status != GCL_HELLO_OK) {
		snprintf(reason, size, "the daemon at %s refused: %s", where, reply.text);
		return reply.status == GCL_HELLO_VERSION_MISMATCH ? -EPROTONOSUPPORT : -EREMOTEIO;
	}
	return 0;
}
