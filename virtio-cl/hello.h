/* SPDX-License-Identifier: MIT */
/*
 * The guest's side of a greeting, whatever carries it.
 */
#ifndef GCL_HELLO_H
#define GCL_HELLO_H

#include "local.h"

/** gcl_hello_connect() - guest: connect to a Unix socket; waits at most @timeout_ms for a full
 * backlog. Return: the socket, or -errno. */
int gcl_hello_connect(const char *path, int timeout_ms);

/** gcl_hello_reason() - what to tell the user when the daemon at @where can't be reached. */
void gcl_hello_reason(const char *where, int err, char *reason, size_t size);

/** gcl_hello_exchange() - guest: send the greeting on its connection, and wait for the answer.
 * Return: 0, or -errno and @reason; -EREMOTEIO: the daemon refuses, and @reason has its words. */
int gcl_hello_exchange(const struct gcl_greeting *greeting, const char *where, int timeout_ms,
		       char *reason, size_t size);

/** gcl_hello_fill() - guest: all of a greeting but the size of the heap. */
void gcl_hello_fill(struct gcl_hello *hello);

#endif
