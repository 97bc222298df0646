// SPDX-License-Identifier: MIT
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "cleanup.h"

/* More than any broker has to say. */
#define SIZE_MAX_STATE (1u << 30)

void gcl_state_fini(struct gcl_state *state)
{
	free(state->data);
	free(state->fds);
	memset(state, 0, sizeof *state);
}

static bool grow(struct gcl_state *state, size_t more)
{
	size_t room = state->room ? state->room : 4096;
	uint8_t *data;

	if (more > SIZE_MAX_STATE - state->size)
		return false;
	while (room < state->size + more)
		room *= 2;
	if (room == state->room)
		return true;
	data = realloc(state->data, room);
	if (!data)
		return false;
	state->data = data;
	state->room = room;
	return true;
}

void gcl_state_put(struct gcl_state *state, const void *value, size_t size)
{
	uint64_t head = size;

	if (!grow(state, sizeof head + size)) {
		state->bad = true;
		return;
	}
	memcpy(state->data + state->size, &head, sizeof head);
	if (size)
		memcpy(state->data + state->size + sizeof head, value, size);
	state->size += sizeof head + size;
}

void gcl_state_get(struct gcl_state *state, void *value, size_t size)
{
	uint64_t head = 0;
	size_t left = state->size - state->at;

	memset(value, 0, size);
	if (left >= sizeof head)
		memcpy(&head, state->data + state->at, sizeof head);
	if (state->bad || left < sizeof head + size || head != size) {
		state->bad = true;
		return;
	}
	memcpy(value, state->data + state->at + sizeof head, size);
	state->at += sizeof head + size;
}

void gcl_state_put_number(struct gcl_state *state, uint64_t number)
{
	GCL_STATE_PUT(state, number);
}

uint64_t gcl_state_get_number(struct gcl_state *state)
{
	uint64_t number;

	GCL_STATE_GET(state, number);
	return number;
}

void gcl_state_put_fd(struct gcl_state *state, int fd)
{
	int *fds = reallocarray(state->fds, state->fd_count + 1, sizeof *fds);

	GCL_STATE_PUT(state, fd);
	if (!fds) {
		state->bad = true;
		return;
	}
	state->fds = fds;
	if (fd >= 0)
		state->fds[state->fd_count++] = fd;
}

int gcl_state_get_fd(struct gcl_state *state)
{
	int fd;

	GCL_STATE_GET(state, fd);
	if (state->bad || fd < 0)
		return -1;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		state->bad = true;
		return -1;
	}
	return fd;
}

static void keep(const struct gcl_state *state, int flags)
{
	for (size_t i = 0; i < state->fd_count; i++)
		fcntl(state->fds[i], F_SETFD, flags);
}

int gcl_state_keep(struct gcl_state *state)
{
	_cleanup_close_ int fd = memfd_create("guestcl-state", 0);

	if (state->bad)
		return -ENOMEM;
	if (fd < 0)
		return -errno;
	for (size_t done = 0; done < state->size;) {
		ssize_t n = write(fd, state->data + done, state->size - done);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	keep(state, 0);
	return steal_fd(&fd);
}

void gcl_state_unkeep(const struct gcl_state *state)
{
	keep(state, FD_CLOEXEC);
}

int gcl_state_load(struct gcl_state *state, int fd)
{
	_cleanup_close_ int own = fd;
	struct stat st;

	memset(state, 0, sizeof *state);
	if (fstat(own, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > SIZE_MAX_STATE || !grow(state, (size_t)st.st_size))
		return -EINVAL;
	while (state->size < (size_t)st.st_size) {
		ssize_t n = pread(own, state->data + state->size, (size_t)st.st_size - state->size,
				  (off_t)state->size);

		if (n <= 0)
			return -EIO;
		state->size += (size_t)n;
	}
	return 0;
}
