// SPDX-License-Identifier: MIT
/*
 * A stream over a plain socket: Unix, vsock, TCP.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* After the socket's own types, which it needs. */
#include <linux/vm_sockets.h>

#include "stream-io.h"

/* How much may be under way in the kernel: a piece of a staged transfer. The kernel gives less
 * where the administrator says so. */
#define BUFFER_WANTED (2 << 20)

static ssize_t socket_read(struct gcl_stream_io *io, const struct iovec *iov, int count)
{
	struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count};
	ssize_t n;

	do
		n = recvmsg(io->fd, &message, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	/* The peer died with something of ours unread; or this side ended the connection. */
	if (errno == ECONNRESET || errno == ENOTCONN || errno == EPIPE)
		return 0;
	return -errno;
}

static ssize_t socket_write(struct gcl_stream_io *io, const struct iovec *iov, int count)
{
	struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count};
	ssize_t n;

	do
		n = sendmsg(io->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno == ECONNRESET || errno == ENOTCONN)
		return -EPIPE;
	/* The kernel has no memory for it right now, which passes. */
	if (errno == ENOBUFS || errno == ENOMEM)
		return -EAGAIN;
	return -errno;
}

static bool socket_pending(struct gcl_stream_io *io)
{
	(void)io;
	return false;
}

static const struct gcl_stream_io_ops socket_ops = {
	.read = socket_read,
	.write = socket_write,
	.pending = socket_pending,
};

void gcl_stream_socket_init(struct gcl_stream_io *io, int fd)
{
	const unsigned long long vm_wanted = BUFFER_WANTED;
	const int wanted = BUFFER_WANTED;
	const int on = 1;
	int domain = AF_UNSPEC;
	socklen_t size = sizeof domain;

	io->ops = &socket_ops;
	io->fd = fd;
	/* All of these are wishes. */
	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
	switch (domain) {
	case AF_UNIX:
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted);
		break;
	case AF_VSOCK:
		setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_MAX_SIZE, &vm_wanted,
			   sizeof vm_wanted);
		setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &vm_wanted, sizeof vm_wanted);
		break;
	case AF_INET:
	case AF_INET6:
		/* A frame must not wait for the peer to acknowledge the one before. */
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		break;
	default:
		break;
	}
}
