/* SPDX-License-Identifier: MIT */
/*
 * The stream channel: frames and payloads over a connected stream socket, which may be a Unix
 * socket, vsock or, one day, TLS.
 *
 * Greeting: the guest connects, sends struct gcl_hello without descriptors, and gets struct
 * gcl_hello_reply; then frames go both ways. Each side has a heap of its own, of the size that the
 * greeting names. A payload's bytes follow its message's first frame and land at the same offset of
 * the receiver's heap, so whoever sends one keeps the range as it is until the other side has
 * answered to the message.
 */
#ifndef GCL_STREAM_H
#define GCL_STREAM_H

#include "local.h"

/* Where the host listens for guests that come by vsock: "CL" in hexadecimal, near enough. */
#define GCL_VSOCK_PORT 17228u
#define GCL_VSOCK_HOST 2u /* the CID of every VM's host */

/**
 * gcl_stream_connect() - guest side: connect to a stream listener's Unix socket, greet, and wait
 * for the reply (GCL_HELLO_TIMEOUT_MS).
 * @reason: one line for the user when it fails: what is wrong and what to do
 *
 * Return: 0 and a channel, or a negative errno.
 */
int gcl_stream_connect(const char *path, struct gcl_channel **out, char *reason,
		       size_t reason_size);

/**
 * gcl_stream_adopt() - guest side: the same over a socket that someone else has connected.
 * @conn: taken over in any case
 */
int gcl_stream_adopt(int conn, int timeout_ms, struct gcl_channel **out, char *reason,
		     size_t reason_size);

/** gcl_vsock_connect() - the same over AF_VSOCK. -ENOENT when there is no vsock, or nobody listens.
 */
int gcl_vsock_connect(unsigned cid, unsigned port, struct gcl_channel **out, char *reason,
		      size_t reason_size);

/** gcl_vsock_in_vm() - is this a VM with a vsock device? */
bool gcl_vsock_in_vm(void);

/** gcl_stream_accept() - worker: check again, make the heap; takes the socket over on success. The
 * guest waits for gcl_hello_answer(gcl_channel_conn(channel), ...) then. Return: 0 or -errno; the
 * reason is in the log. */
int gcl_stream_accept(struct gcl_greeting *greeting, struct gcl_channel **out);

#endif
