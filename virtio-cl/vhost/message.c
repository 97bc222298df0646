// SPDX-License-Identifier: MIT
/*
 * Reading messages of the front end, with their descriptors, and answering.
 *
 * Must not: block, read more than one message at a time (descriptors would lose their message),
 * leave a descriptor open that was received.
 */
#include "message.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/cleanup.h"
#include "base/fds.h"

void gcl_vhost_message_init(struct gcl_vhost_message *message)
{
	memset(message, 0, sizeof *message);
	for (unsigned i = 0; i < GCL_VHOST_FDS_MAX; i++)
		message->fds[i] = -1;
}

void gcl_vhost_message_fini(struct gcl_vhost_message *message)
{
	for (unsigned i = 0; i < GCL_VHOST_FDS_MAX; i++) {
		gcl_cleanup_close(&message->fds[i]);
		message->fds[i] = -1;
	}
	message->fd_count = 0;
}

/* Return: bytes read, or as gcl_vhost_message_receive(), with 0 for none now. */
static ssize_t read_some(struct gcl_vhost_message *message, int socket, void *data, size_t size)
{
	unsigned count;
	ssize_t n =
		gcl_fds_receive(socket, data, size, MSG_DONTWAIT, message->fds + message->fd_count,
				GCL_VHOST_FDS_MAX - message->fd_count, &count);

	message->fd_count += count;
	if (n < 0)
		return n == -EAGAIN || n == -EINTR ? 0 : n;
	if (n == 0)
		return -EPIPE;
	message->got += (size_t)n;
	return n;
}

int gcl_vhost_message_receive(struct gcl_vhost_message *message, int socket)
{
	struct gcl_vhost_header *header = &message->header;
	ssize_t n;

	if (message->got < sizeof *header) {
		n = read_some(message, socket, (char *)header + message->got,
			      sizeof *header - message->got);
		if (n <= 0)
			return (int)n;
		if (message->got < sizeof *header)
			return 0;
		if ((header->flags & GCL_VHOST_VERSION_MASK) != GCL_VHOST_VERSION ||
		    header->size > sizeof message->body)
			return -EPROTO;
	}
	if (message->got < sizeof *header + header->size) {
		size_t got = message->got - sizeof *header;

		n = read_some(message, socket, message->body.bytes + got, header->size - got);
		if (n < 0)
			return (int)n;
	}
	return message->got == sizeof *header + header->size;
}

int gcl_vhost_message_take_fd(struct gcl_vhost_message *message)
{
	if (message->fd_count != 1)
		return -1;
	message->fd_count = 0;
	return steal_fd(&message->fds[0]);
}

int gcl_vhost_reply(int socket, const struct gcl_vhost_message *request, const void *body,
		    uint32_t size)
{
	struct gcl_vhost_header header = {
		.request = request->header.request,
		.flags = GCL_VHOST_VERSION | GCL_VHOST_REPLY,
		.size = size,
	};
	struct iovec iov[] = {{&header, sizeof header}, {(void *)body, size}};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = GCL_ARRAY_SIZE(iov)};
	ssize_t n;

	do
		n = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == sizeof header + size ? 0 : -EIO;
}
