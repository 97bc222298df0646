// SPDX-License-Identifier: MIT
/*
 * The kernel cache: a folder for each owner, and what the runtime leaves behind in it.
 *
 * A cached kernel is code, so each user and VM has a folder of its own, and one of another user is
 * refused. PoCL leaves files named tempfile_* there: an empty one in each process, and more when
 * it is killed while it compiles. They are removed while no worker of that owner can be writing
 * one. Several daemons may share a cache: each holds a shared lock on it, and only one that is
 * alone (can have the lock to itself) removes files that are younger than SWEEP_AGE_SECONDS.
 *
 * Names in an owner's folder may be chosen by what it ran: no link is followed there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "broker.h"

/* No compilation takes that long. */
#define SWEEP_AGE_SECONDS 3600

#define TEMPORARY_PREFIX "tempfile_"

/* Makes all folders above the last part of @path. */
static int parents_make(const char *path)
{
	char part[PATH_MAX];

	snprintf(part, sizeof part, "%s", path);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return 0;
}

/* Makes and opens the folder @name, which must be the daemon's own. Return: it or -errno. */
static int folder_open(int parent, const char *name, mode_t mode)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (mkdirat(parent, name, mode) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return st.st_uid == geteuid() ? steal_fd(&fd) : -EPERM;
}

int gcl_cache_prepare(struct gcl_cache *cache, const char *path, const struct gcl_owner *owner)
{
	_cleanup_close_ int top = -1, folder = -1;
	int err = parents_make(path);

	if (err < 0)
		return err;
	top = folder_open(AT_FDCWD, path, 0711);
	if (top < 0)
		return top;
	folder = folder_open(top, owner->name, 0700);
	if (folder < 0)
		return folder;
	/* Opened anew each time, since an operator may have removed the folder meanwhile. */
	flock(top, LOCK_SH);
	gcl_cache_fini(cache);
	cache->fd = steal_fd(&top);
	return 0;
}

static bool removable(int folder, const char *name, bool alone)
{
	struct timespec now;
	struct stat st;

	if (strncmp(name, TEMPORARY_PREFIX, sizeof TEMPORARY_PREFIX - 1) != 0 ||
	    fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode))
		return false;
	clock_gettime(CLOCK_REALTIME, &now);
	return alone || st.st_mtime < now.tv_sec - SWEEP_AGE_SECONDS;
}

void gcl_cache_sweep(struct gcl_cache *cache, const struct gcl_owner *owner, bool busy)
{
	const struct dirent *entry;
	unsigned count = 0;
	bool alone;
	DIR *folder;
	int fd;

	fd = openat(cache->fd, owner->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	folder = fd < 0 ? NULL : fdopendir(fd);
	if (!folder) {
		gcl_cleanup_close(&fd);
		return;
	}
	alone = !busy && flock(cache->fd, LOCK_EX | LOCK_NB) == 0;
	while ((entry = readdir(folder))) {
		if (removable(dirfd(folder), entry->d_name, alone))
			count += unlinkat(dirfd(folder), entry->d_name, 0) == 0;
	}
	flock(cache->fd, LOCK_SH);
	closedir(folder);
	if (count)
		gcl_log_debug(broker, "removed %u temporary files from the cache of %s", count,
			      owner->name);
}

void gcl_cache_fini(struct gcl_cache *cache)
{
	gcl_cleanup_close(&cache->fd);
	cache->fd = -1;
}
