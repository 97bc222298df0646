/*
 * Descriptors over a socket. Must not: leave one open that nobody was told of.
 */
#include "fds.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Return: false if there were more than there is room for. */
static bool fds_take(struct msghdr *message, int *fds, unsigned room, unsigned *count)
{
	bool good = !(message->msg_flags & (MSG_CTRUNC | MSG_TRUNC));

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(message); cmsg;
	     cmsg = CMSG_NXTHDR(message, cmsg)) {
		size_t came = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < came; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof fd, sizeof fd);
			if (*count < room) {
				fds[(*count)++] = fd;
			} else {
				close(fd);
				good = false;
			}
		}
	}
	return good;
}

ssize_t gcl_fds_receive(int socket, void *data, size_t size, int flags, int *fds, unsigned room,
			unsigned *count)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(GCL_FDS_MAX * sizeof(int))];
	struct iovec iov = {data, size};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof control,
	};
	ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | flags);

	*count = 0;
	if (n < 0)
		return -errno;
	return fds_take(&message, fds, room, count) ? n : -EPROTO;
}

int gcl_fds_send(int socket, const void *data, size_t size, int flags, const int *fds,
		 unsigned count)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(GCL_FDS_MAX * sizeof(int))] = {0};
	struct iovec iov = {(void *)data, size};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (count > GCL_FDS_MAX)
		return -EINVAL;
	if (count) {
		struct cmsghdr *cmsg = (struct cmsghdr *)(void *)control;

		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, count * sizeof(int));
	}
	do
		n = sendmsg(socket, &message, MSG_NOSIGNAL | flags);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -EIO;
}

int gcl_record_receive(int socket, void *data, size_t size)
{
	ssize_t n = recv(socket, data, size, MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	return (size_t)n == size ? 1 : -EPROTO;
}
