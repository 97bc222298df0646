// SPDX-License-Identifier: MIT
/*
 * How two texts differ, by diff(1), which every Debian system has.
 *
 * The texts lie in memory files: a definition can hold secrets, and /tmp is no place for them.
 */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "libvirt.h"

static int memory_file(const char *name, const char *text)
{
	_cleanup_close_ int fd = memfd_create(name, 0); /* diff inherits it */
	size_t length = strlen(text);

	if (fd < 0)
		return -errno;
	while (length > 0) {
		ssize_t n = write(fd, text, length);

		if (n < 0)
			return -errno;
		text += n;
		length -= (size_t)n;
	}
	return steal_fd(&fd);
}

int gcl_diff(const char *before, const char *after, const char *name)
{
	_cleanup_close_ int old = memory_file("before", before);
	_cleanup_close_ int new = memory_file("after", after);
	_cleanup_free_ char *old_label = NULL, *new_label = NULL;
	char old_path[32], new_path[32];
	int err, status;
	pid_t pid;

	if (old < 0 || new < 0)
		return old < 0 ? old : new;
	if (asprintf(&old_label, "%s (now)", name) < 0 ||
	    asprintf(&new_label, "%s (then)", name) < 0)
		return -ENOMEM;
	snprintf(old_path, sizeof old_path, "/dev/fd/%d", old);
	snprintf(new_path, sizeof new_path, "/dev/fd/%d", new);
	fflush(stdout);
	err = posix_spawnp(&pid, "diff", NULL, NULL,
			   (char *[]){"diff", "-u", "--label", old_label, "--label", new_label,
				      old_path, new_path, NULL},
			   environ);
	if (err)
		return -err;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	/* 1: they differ. */
	return WIFEXITED(status) && WEXITSTATUS(status) <= 1 ? 0 : -EIO;
}
