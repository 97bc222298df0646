// SPDX-License-Identifier: MIT
/*
 * The service manager's notification socket: one datagram with lines of the form NAME=value, as
 * sd_notify(3) describes it.
 *
 * Does nothing without NOTIFY_SOCKET in the environment. Errors are ignored: there is no one to
 * tell.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "broker.h"

void gcl_notify(const char *format, ...)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = -1;
	char text[512];
	va_list args;
	socklen_t length;

	if (!path || !*path || strlen(path) >= sizeof address.sun_path)
		return;
	memcpy(address.sun_path, path, strlen(path));
	length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (path[0] == '@')
		address.sun_path[0] = '\0'; /* abstract: no terminator belongs to the name */
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		(void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address,
			      length);
}
