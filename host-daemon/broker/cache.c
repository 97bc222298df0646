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
#include <signal.h>
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

/* Folders in folders that runtimes make. */
#define FOLDERS_DEEP 8u

/* Files and folders of one owner's: more are too much to look through, and no runtime's need. */
#define ENTRIES_MAX 32768u

/* Caches that are on their way out. */
#define REMOVED_PREFIX ".removed-"

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

/* Gives @folder and what is in it to @user. */
static int folder_give(int folder, uid_t user, unsigned depth)
{
	int fd = dup(folder), err = fchown(folder, user, (gid_t)-1) < 0 ? -errno : 0;
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	while (list && err == 0 && (entry = readdir(list))) {
		_cleanup_close_ int sub = -1;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		sub = openat(folder, entry->d_name,
			     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0 && depth)
			err = folder_give(sub, user, depth - 1);
		else if (fchownat(folder, entry->d_name, user, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0)
			err = -errno;
	}
	if (list)
		closedir(list);
	else
		gcl_cleanup_close(&fd);
	return err;
}

/* Makes and opens the folder @name, which must be @user's. Return: it or -errno. */
static int folder_open(int parent, const char *name, mode_t mode, uid_t user)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (mkdirat(parent, name, mode) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return st.st_uid == user ? steal_fd(&fd) : -EPERM;
}

/* The folder of an owner's, in which root alone can have made one: it gives it to whom its workers
 * run as now. */
static int owner_open(int top, const char *name, uid_t user)
{
	_cleanup_close_ int fd = -1;
	int err;

	err = folder_open(top, name, 0700, user);
	if (err != -EPERM || geteuid() != 0)
		return err;
	fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = folder_give(fd, user, FOLDERS_DEEP);
	return err ? err : steal_fd(&fd);
}

int gcl_cache_prepare(struct gcl_cache *cache, const char *path, const struct gcl_owner *owner,
		      uid_t user)
{
	_cleanup_close_ int top = -1, folder = -1;
	int err = parents_make(path);

	if (err < 0)
		return err;
	top = folder_open(AT_FDCWD, path, 0711, geteuid());
	if (top < 0)
		return top;
	folder = owner_open(top, owner->name, user);
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

/* ------------------------------------------------------------ its size */

/* What is left of the limits. */
struct allowance {
	uint64_t bytes;
	unsigned entries;
};

/* Return: whether @folder has no more than @left, which is taken from. */
static bool folder_fits(int folder, struct allowance *left, unsigned depth)
{
	int fd = fcntl(folder, F_DUPFD_CLOEXEC, 0);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	bool fits = true;

	while (list && fits && (entry = readdir(list))) {
		_cleanup_close_ int sub = -1;
		struct stat st;
		uint64_t bytes;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    fstatat(folder, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		bytes = (uint64_t)st.st_blocks * 512;
		fits = left->entries > 0 && bytes <= left->bytes && (!S_ISDIR(st.st_mode) || depth);
		if (!fits)
			continue;
		left->entries--;
		left->bytes -= bytes;
		if (S_ISDIR(st.st_mode))
			sub = openat(folder, entry->d_name,
				     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0)
			fits = folder_fits(sub, left, depth - 1);
	}
	if (list)
		closedir(list);
	else
		gcl_cleanup_close(&fd);
	return fits;
}

bool gcl_cache_exceeds(const struct gcl_cache *cache, const struct gcl_owner *owner, uint64_t limit)
{
	_cleanup_close_ int fd =
		openat(cache->fd, owner->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct allowance left = {.bytes = limit, .entries = ENTRIES_MAX};

	return limit && fd >= 0 && !folder_fits(fd, &left, FOLDERS_DEEP);
}

/* Removes @name and what is in it; deeper than FOLDERS_DEEP as well. */
static void tree_remove(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	while (list && (entry = readdir(list))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(fd, entry->d_name, 0) < 0)
			tree_remove(fd, entry->d_name);
	}
	if (list)
		closedir(list);
	else
		gcl_cleanup_close(&fd);
	unlinkat(parent, name, AT_REMOVEDIR);
}

/* In a process of its own, which must hold nothing of the broker's open: whoever waits for the end
 * of a socket would wait for this. Those too that a daemon did not come to. */
_Noreturn static void removed_remove(int top)
{
	const struct dirent *entry;
	DIR *list;

	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	if (dup2(top, 0) < 0)
		_exit(1);
	close_range(3, ~0u, 0);
	top = openat(0, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	list = top < 0 ? NULL : fdopendir(top);
	while (list && (entry = readdir(list))) {
		if (strncmp(entry->d_name, REMOVED_PREFIX, sizeof REMOVED_PREFIX - 1) == 0)
			tree_remove(top, entry->d_name);
	}
	_exit(0);
}

void gcl_cache_remove(struct gcl_cache *cache, const struct gcl_owner *owner)
{
	char name[sizeof REMOVED_PREFIX + sizeof owner->name + 24];
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(name, sizeof name, REMOVED_PREFIX "%s-%lld", owner->name,
		 (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
	if (renameat(cache->fd, owner->name, cache->fd, name) < 0)
		gcl_log_error(broker, "can't remove the kernel cache of %s: %s", owner->name,
			      strerror(errno));
	/* The event loop reaps it. */
	else if (fork() == 0)
		removed_remove(cache->fd);
}

void gcl_cache_fini(struct gcl_cache *cache)
{
	gcl_cleanup_close(&cache->fd);
	cache->fd = -1;
}
