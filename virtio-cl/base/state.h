/* SPDX-License-Identifier: MIT */
/*
 * A program's state on its way into a program that takes its place by exec: values in the order in
 * which they are written, and descriptors that stay open.
 *
 * Both ends come from builds of the same layout; a reader that runs out, or finds another size than
 * it expects, gets zeros and `bad`, which it looks at when it is done.
 */
#ifndef GCL_BASE_STATE_H
#define GCL_BASE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gcl_state {
	uint8_t *data;
	size_t size, room;
	size_t at; /* of the reader */
	int *fds;
	size_t fd_count;
	bool bad; /* no memory, or not what was expected */
};

/** gcl_state_fini() - free it; descriptors are left alone. */
void gcl_state_fini(struct gcl_state *state);

/** gcl_state_put(), gcl_state_get() - bytes with their size. */
void gcl_state_put(struct gcl_state *state, const void *value, size_t size);
void gcl_state_get(struct gcl_state *state, void *value, size_t size);

#define GCL_STATE_PUT(state, value) gcl_state_put(state, &(value), sizeof(value))
#define GCL_STATE_GET(state, value) gcl_state_get(state, &(value), sizeof(value))

/** gcl_state_put_number(), gcl_state_get_number() - for counts. */
void gcl_state_put_number(struct gcl_state *state, uint64_t number);
uint64_t gcl_state_get_number(struct gcl_state *state);

/** gcl_state_put_fd() - a descriptor, lent, or -1. */
void gcl_state_put_fd(struct gcl_state *state, int fd);

/** gcl_state_get_fd() - the descriptor, which is the caller's and closes on exec; or -1. */
int gcl_state_get_fd(struct gcl_state *state);

/**
 * gcl_state_keep() - write the state into a memfd, and have that and all descriptors survive exec.
 *
 * Return: the memfd, the caller's, or -errno.
 */
int gcl_state_keep(struct gcl_state *state);

/** gcl_state_unkeep() - exec has failed: they close on exec again. */
void gcl_state_unkeep(const struct gcl_state *state);

/** gcl_state_load() - read what gcl_state_keep() wrote; takes @fd over. Return: 0 or -errno. */
int gcl_state_load(struct gcl_state *state, int fd);

#endif
