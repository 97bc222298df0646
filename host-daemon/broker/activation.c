// SPDX-License-Identifier: MIT
/*
 * Sockets that the service manager has opened for us, as sd_listen_fds(3) describes it: from
 * descriptor 3 on, LISTEN_FDS of them, if LISTEN_PID is us.
 *
 * One is known by the path that it is bound to. Those that no setting names stay closed to guests.
 * Must not: remove a socket's file, which is the service manager's.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "broker.h"

#define FIRST	  3
#define FILES_MAX 1024

/* How many descriptors there are, from FIRST on; they stay open. */
static int passed;

/* Return: the variable's value from 0 to @most; else -1. */
static long number_of(const char *variable, long most)
{
	const char *text = getenv(variable);
	char *end;
	long value;

	if (!text || !*text)
		return -1;
	value = strtol(text, &end, 10);
	return *end || value < 0 || value > most ? -1 : value;
}

void gcl_activation_init(void)
{
	long files = number_of("LISTEN_FDS", FILES_MAX);

	if (number_of("LISTEN_PID", INT32_MAX) == getpid() && files > 0)
		passed = (int)files;
	for (int fd = FIRST; fd < FIRST + passed; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	/* Not for workers and helpers. */
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

/* Whether @fd is a Unix stream socket that listens at @path. */
static bool listens_at(int fd, const char *path)
{
	struct sockaddr_un address = {0};
	socklen_t size = sizeof address, number_size = sizeof(int);
	int listening = 0, type = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &number_size) < 0 || !listening ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &number_size) < 0 || type != SOCK_STREAM)
		return false;
	if (getsockname(fd, (struct sockaddr *)&address, &size) < 0 ||
	    address.sun_family != AF_UNIX)
		return false;
	return strncmp(address.sun_path, path, sizeof address.sun_path) == 0;
}

int gcl_activation_take(const char *path)
{
	for (int fd = FIRST; fd < FIRST + passed; fd++) {
		int own;

		if (!listens_at(fd, path))
			continue;
		/* The passed one stays: whoever opens the path again finds it again. */
		own = fcntl(fd, F_DUPFD_CLOEXEC, FIRST);
		if (own >= 0)
			fcntl(own, F_SETFL, fcntl(own, F_GETFL) | O_NONBLOCK);
		return own;
	}
	return -1;
}
