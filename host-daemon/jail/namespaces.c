// SPDX-License-Identifier: MIT
/*
 * The stage "namespaces", between fork and exec.
 *
 * The process is cloned into its namespaces, since its pid is to be known to the broker and there
 * is to be no process between them: so it is the first of its PID namespace, which the kernel ends
 * with it. Signals that it sends itself don't end it, but what the processor reports does, and
 * abort() comes to that in the end.
 *
 * The new root is an empty tmpfs onto which the files of files.c are mounted, read-only but for the
 * cache, with /tmp and /dev/shm of its own. They are taken up as the user that the broker is, who
 * can reach them, and put down as the worker's.
 *
 * Must not: leave anything of the old root reachable, ask anything that isn't in the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "jail.h"

#define NAMESPACES                                                                                 \
	(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

/* There is always a folder there. */
#define NEW_ROOT "/proc"

#define PIECES_MAX 128u

/* Memory behind a worker's /tmp and /dev/shm, together, and files in each. */
#define TEMPORARY_OPTIONS "mode=1777,size=128m,nr_inodes=4096"

/* ------------------------------------------------------------ clone */

/* A record that the broker sends when the namespace has its users. */
static const char mapped = 'M';

static pid_t clone_into(int flags)
{
	return (pid_t)syscall(SYS_clone, (unsigned long)flags | SIGCHLD, NULL, NULL, NULL, NULL);
}

/* Return: 0 or -errno; then the child is gone. */
static int child_map(pid_t pid, const struct gcl_jail_user *user, int socket)
{
	int err = gcl_jail_user_map(pid, user);

	if (err == 0 && send(socket, &mapped, 1, MSG_NOSIGNAL) == 1)
		return 0;
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return err ? err : -EPIPE;
}

static pid_t plain_fork(const int sockets[2])
{
	pid_t pid = fork();

	if (pid == 0)
		close(sockets[0]);
	return pid;
}

pid_t gcl_jail_fork(struct gcl_jail *jail, const struct gcl_jail_user *user, const int sockets[2])
{
	char letter;
	pid_t pid;
	int err;

	if (jail->mode == GCL_JAIL_OFF)
		return plain_fork(sockets);
	pid = clone_into(NAMESPACES);
	if (pid == 0) {
		close(sockets[0]);
		if (recv(sockets[1], &letter, 1, 0) != 1)
			_exit(0); /* there is no broker, or no namespace */
		jail->apart = true;
		return 0;
	}
	err = pid < 0 ? -errno : child_map(pid, user, sockets[0]);
	if (err == 0)
		return pid;
	gcl_jail_lack(jail, "namespaces", err);
	return plain_fork(sockets);
}

/* ------------------------------------------------------------ the new root */

struct piece {
	int fd; /* a detached mount, or -1: a link */
	bool folder;
	char path[PATH_MAX], target[PATH_MAX];
};

struct pieces {
	struct piece *list;
	size_t count;
	int proc; /* of the host, where there can't be another one */
};

static int attributes_set(int fd, enum gcl_jail_access access)
{
	struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NOSUID};

	if (access == GCL_JAIL_READ)
		attributes.attr_set |= MOUNT_ATTR_RDONLY;
	if (access == GCL_JAIL_DEVICE)
		attributes.attr_set |= MOUNT_ATTR_NOEXEC;
	else
		attributes.attr_set |= MOUNT_ATTR_NODEV;
	return mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes);
}

static bool taken(const struct pieces *pieces, const char *path)
{
	for (size_t i = 0; i < pieces->count; i++) {
		size_t length = strlen(pieces->list[i].path);

		if (strncmp(path, pieces->list[i].path, length) == 0 &&
		    (path[length] == '/' || !path[length]))
			return true;
	}
	return false;
}

/* There are a /proc, a /tmp and a /dev/shm of its own; and a whole file system is no piece. */
static bool takeable(const struct pieces *pieces, const char *path)
{
	return pieces->count < PIECES_MAX && path[0] == '/' && strlen(path) < PATH_MAX &&
	       strspn(path, "/") != strlen(path) && strcmp(path, "/proc") != 0 &&
	       strcmp(path, "/tmp") != 0 && strcmp(path, "/dev/shm") != 0;
}

/* A link is made again, since a path may go back from where it leads. Return: whether it is one. */
static bool link_take(struct pieces *pieces, const char *path)
{
	struct piece *piece = &pieces->list[pieces->count];
	ssize_t n = readlink(path, piece->target, sizeof piece->target - 1);

	if (n < 0)
		return false;
	piece->target[n] = '\0';
	piece->fd = -1;
	snprintf(piece->path, sizeof piece->path, "%s", path);
	pieces->count++;
	return true;
}

/* What can't be taken up is missing in the worker, as what isn't there. */
static void piece_take(void *data, const char *path, enum gcl_jail_access access)
{
	const int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;
	struct pieces *pieces = data;
	struct piece *piece;
	char real[PATH_MAX];
	struct stat st;
	int fd;

	if (!takeable(pieces, path))
		return;
	if (link_take(pieces, path)) {
		if (!realpath(path, real) || taken(pieces, real) || !takeable(pieces, real))
			return;
		path = real;
	}
	fd = open_tree(AT_FDCWD, path, (unsigned)flags);
	if (fd < 0)
		return;
	if (fstat(fd, &st) < 0 || attributes_set(fd, access) < 0) {
		close(fd);
		return;
	}
	piece = &pieces->list[pieces->count++];
	piece->fd = fd;
	piece->folder = S_ISDIR(st.st_mode);
	snprintf(piece->path, sizeof piece->path, "%s", path);
}

static int folder_make(const char *path)
{
	/* Read-only is what was mounted already, which has it. */
	return mkdir(path, 0755) < 0 && errno != EEXIST && errno != EROFS ? -errno : 0;
}

static int parents_make(char *path)
{
	int err = 0;

	for (char *slash = strchr(path + 2, '/'); slash && err == 0;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		err = folder_make(path);
		*slash = '/';
	}
	return err;
}

/* Makes what @path is mounted on, below the new root, which is the current folder. */
static int place_make(const char *path, bool folder)
{
	char part[PATH_MAX + 1];
	int fd, err;

	snprintf(part, sizeof part, ".%s", path);
	err = parents_make(part);
	if (err < 0 || folder)
		return err ? err : folder_make(part);
	fd = open(part, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
	if (fd >= 0)
		close(fd);
	return 0; /* if it isn't there, the mount fails */
}

static int piece_put(const struct piece *piece)
{
	char path[PATH_MAX + 1];
	int err;

	snprintf(path, sizeof path, ".%s", piece->path);
	if (piece->fd < 0) {
		err = parents_make(path);
		/* One that is there already is the same. */
		(void)!symlink(piece->target, path);
		return err;
	}
	err = place_make(piece->path, piece->folder);
	if (err == 0 && move_mount(piece->fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		err = -errno;
	return err;
}

static int temporary_mount(const char *path)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV;
	int err = place_make(path, true);
	char part[64];

	snprintf(part, sizeof part, ".%s", path);
	if (err == 0 && mount("tmpfs", part, "tmpfs", flags, TEMPORARY_OPTIONS) < 0)
		err = -errno;
	return err;
}

/* Where parts of the host's are covered, as in containers, the kernel lets none be mounted. */
static int proc_mount(const struct pieces *pieces)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	int err;

	if (mkdir("./proc", 0555) < 0)
		return -errno;
	if (mount("proc", "./proc", "proc", flags, NULL) == 0)
		return 0;
	err = -errno;
	(void)move_mount(pieces->proc, "", AT_FDCWD, "./proc", MOVE_MOUNT_F_EMPTY_PATH);
	return err;
}

static int root_fill(struct gcl_jail *jail, const struct pieces *pieces)
{
	int err = temporary_mount("/tmp");

	if (err == 0)
		err = temporary_mount("/dev/shm");
	for (size_t i = 0; i < pieces->count && err == 0; i++)
		err = piece_put(&pieces->list[i]);
	if (err == 0)
		gcl_jail_lack(jail, "/proc", proc_mount(pieces));
	return err;
}

/* From here on there is no way back. */
static int root_change(void)
{
	const unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV;

	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
	    chdir("/") < 0 || mount(NULL, "/", NULL, flags, NULL) < 0)
		return -errno;
	return 0;
}

static int root_make(struct gcl_jail *jail, const struct pieces *pieces)
{
	int err;

	if (mount("tmpfs", NEW_ROOT, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m") < 0 ||
	    chdir(NEW_ROOT) < 0)
		return -errno;
	err = root_fill(jail, pieces);
	return err ? err : root_change();
}

static void pieces_fini(struct pieces *pieces)
{
	for (size_t i = 0; i < pieces->count; i++) {
		if (pieces->list[i].fd >= 0)
			close(pieces->list[i].fd);
	}
	gcl_cleanup_close(&pieces->proc);
	free(pieces->list);
}

/* ------------------------------------------------------------ all of it */

/* When memory is short, workers go before VMs do. */
static void oom_offer(void)
{
	_cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!write(fd, "500", 3);
}

static void limit_set(__rlimit_resource_t resource, uint64_t value)
{
	struct rlimit limit;

	if (value == 0 || getrlimit(resource, &limit) < 0)
		return;
	limit.rlim_max = GCL_MIN(limit.rlim_max, value);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(resource, &limit);
}

void gcl_jail_limit(const struct gcl_jail *jail)
{
	static const struct rlimit no_core = {0, 0};

	setrlimit(RLIMIT_CORE, &no_core);
	if (jail->mode == GCL_JAIL_OFF)
		return;
	limit_set(RLIMIT_FSIZE, jail->file_size);
	limit_set(RLIMIT_DATA, jail->memory);
	/* Elsewhere all processes of the user count. */
	if (jail->apart)
		limit_set(RLIMIT_NPROC, jail->processes);
}

int gcl_jail_enter(struct gcl_jail *jail, const struct gcl_jail_user *user)
{
	_cleanup_(pieces_fini) struct pieces pieces = {
		.list = calloc(PIECES_MAX, sizeof *pieces.list), .proc = -1};
	int err;

	if (jail->mode == GCL_JAIL_OFF)
		return 0;
	oom_offer();
	if (!jail->apart)
		return gcl_jail_user_switch(user);
	if (!pieces.list)
		return -ENOMEM;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	pieces.proc =
		open_tree(AT_FDCWD, "/proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	gcl_jail_files(jail, piece_take, &pieces);
	err = gcl_jail_user_become(user);
	return err ? err : root_make(jail, &pieces);
}
