/* SPDX-License-Identifier: MIT */
/*
 * The relay: moves bytes between a plain socket and a TLS connection, by the rules of the tunnel.
 *
 * One thread, which sleeps in poll() when there is nothing to do.
 */
#ifndef GCL_TLS_RELAY_H
#define GCL_TLS_RELAY_H

#include "link.h"
#include "tunnel.h"

enum gcl_relay_result {
	GCL_RELAY_ENDED,   /* one side has ended the session, and the other knows as much */
	GCL_RELAY_DROPPED, /* the connection is gone; the tunnel is not */
	GCL_RELAY_WOKEN,   /* there is something at wake */
};

struct gcl_relay {
	struct gcl_tunnel *tunnel; /* lent, as is the rest */
	struct gcl_tls *tls;
	int plain;
	int wake; /* readable: stop */
	/* What the other side says before its first chunk, if that was not read yet: filled, and
	 * told of once. first_done: 0, or -errno to end it. */
	void *first;
	size_t first_left;
	int (*first_done)(struct gcl_relay *relay);
	char reason[160];
};

/** gcl_relay_socket_prepare() - what the network's socket is to be like: nothing waits for
 * acknowledgements, and the silence of the other side has an end. */
void gcl_relay_socket_prepare(int fd);

/**
 * gcl_relay_run() - move bytes until there is a reason to stop; @reason of the relay has it in
 * words, if it is worth some.
 */
enum gcl_relay_result gcl_relay_run(struct gcl_relay *relay);

/** gcl_relay_finish() - this side has no more to say, and doesn't wait to hear more: what is left
 * goes out as far as the network takes it soon. */
void gcl_relay_finish(struct gcl_relay *relay);

/**
 * gcl_relay_exact() - before gcl_relay_run(): read exactly @size bytes that the other side says
 * first.
 * @deadline: CLOCK_MONOTONIC, ms
 *
 * Return: 0, -ETIMEDOUT, -EPIPE at the end, -EINTR when there is something at wake, -EPROTO.
 */
int gcl_relay_exact(struct gcl_relay *relay, void *data, size_t size, int64_t deadline);

/** gcl_relay_handshake() - TLS's. Return: as gcl_relay_exact(). */
int gcl_relay_handshake(struct gcl_relay *relay, int64_t deadline);

/** gcl_relay_say() - send @size bytes, at once as far as possible. Return: 0 or -EPROTO. */
int gcl_relay_say(struct gcl_relay *relay, const void *data, size_t size);

/** gcl_relay_now() - CLOCK_MONOTONIC, ms. */
int64_t gcl_relay_now(void);

#endif
