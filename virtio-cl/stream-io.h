/* SPDX-License-Identifier: MIT */
/*
 * The seam below a stream channel: bytes in order, both ways, over anything that can be polled.
 *
 * One thread reads while another writes; nobody else does either. Nothing here blocks.
 */
#ifndef GCL_STREAM_IO_H
#define GCL_STREAM_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct gcl_stream_io;

struct gcl_stream_io_ops {
	/* Bytes moved (at least one), 0 at the end of what the peer sent, -EAGAIN, or -errno. */
	ssize_t (*read)(struct gcl_stream_io *io, const struct iovec *iov, int count);
	/* Bytes taken (at least one), -EAGAIN, -EPIPE when the peer is gone, or -errno. */
	ssize_t (*write)(struct gcl_stream_io *io, const struct iovec *iov, int count);
	/* Can read() give something that poll() does not tell of? */
	bool (*pending)(struct gcl_stream_io *io);
};

/* What is below embeds it as its first member. */
struct gcl_stream_io {
	const struct gcl_stream_io_ops *ops;
	int fd; /* POLLIN: read() is worth trying; POLLOUT: write() is. Owned by the channel. */
};

/** gcl_stream_socket_init() - bytes as they are over a connected stream socket, which need not be
 * non-blocking. */
void gcl_stream_socket_init(struct gcl_stream_io *io, int fd);

#endif
