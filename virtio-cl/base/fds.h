/*
 * Messages over a Unix socket: with descriptors (SCM_RIGHTS), and of one size.
 */
#ifndef GCL_FDS_H
#define GCL_FDS_H

#include <stddef.h>
#include <sys/types.h>

/* Descriptors in one message, at most. */
#define GCL_FDS_MAX 8u

/**
 * gcl_fds_receive() - one recvmsg().
 * @flags: MSG_DONTWAIT, MSG_WAITALL or 0
 * @fds: room for @room, GCL_FDS_MAX at most; those that came are the caller's, @count of them, also
 *	when this fails
 *
 * Return: bytes, 0 at the end, -EPROTO when descriptors found no room (or, of a datagram, bytes),
 * -errno.
 */
ssize_t gcl_fds_receive(int socket, void *data, size_t size, int flags, int *fds, unsigned room,
			unsigned *count);

/**
 * gcl_fds_send() - send @data, all of it, with @count descriptors, GCL_FDS_MAX at most; lends them.
 * @flags: MSG_DONTWAIT or 0
 *
 * Return: 0, -EIO when only a part was sent, -errno. Raises no SIGPIPE.
 */
int gcl_fds_send(int socket, const void *data, size_t size, int flags, const int *fds,
		 unsigned count);

/**
 * gcl_record_receive() - take the next message of a socket that keeps their bounds, which has to be
 * of @size bytes; never waits.
 *
 * Return: 1, 0 when there is none now, -EPIPE at the end, -EPROTO for one of another size, -errno.
 */
int gcl_record_receive(int socket, void *data, size_t size);

#endif
