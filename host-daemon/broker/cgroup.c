// SPDX-License-Identifier: MIT
/*
 * A cgroup that has processes can't give controllers to others, so the daemon goes into one below
 * its own first. Whether its own is delegated, and not the service manager's business any more, the
 * manager tells by an extended attribute.
 */
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "account.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "config.h"
#include "jail/jail.h"

/* The daemon's own, below the one that is delegated. */
#define OWN "broker"

static const char *const controllers[] = {"memory", "pids", "cpu"};

static int file_write(int folder, const char *name, const char *text)
{
	_cleanup_close_ int fd = openat(folder, name, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	return n < 0 ? -errno : 0;
}

/* ------------------------------------------------------------ where it is */

/* Where version 2 is mounted, "" if it isn't. */
static void mount_find(char *path, size_t size)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[2 * PATH_MAX], point[PATH_MAX];

	*path = '\0';
	while (file && fgets(line, sizeof line, file)) {
		if (!strstr(line, " - cgroup2 ") ||
		    sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1)
			continue;
		snprintf(path, size, "%s", point);
		return;
	}
}

/* The daemon's own as the kernel names it, without what we went into before. */
static void own_find(char *path, size_t size)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/self/cgroup", "re");
	char line[PATH_MAX];
	char *end;

	*path = '\0';
	while (file && fgets(line, sizeof line, file)) {
		if (strncmp(line, "0::", 3) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		end = strrchr(line, '/');
		if (end && strcmp(end, "/" OWN) == 0)
			*end = '\0';
		snprintf(path, size, "%s", line + 3);
	}
}

static bool delegated(int fd)
{
	char value[2] = "";

	return (fgetxattr(fd, "trusted.delegate", value, 1) == 1 ||
		fgetxattr(fd, "user.delegate", value, 1) == 1) &&
	       *value == '1';
}

/* Return: it, or -errno. */
static int delegated_open(void)
{
	char mount[PATH_MAX], own[PATH_MAX], path[2 * PATH_MAX];
	_cleanup_close_ int fd = -1;

	mount_find(mount, sizeof mount);
	own_find(own, sizeof own);
	if (!*mount || !*own)
		return -ENOENT;
	snprintf(path, sizeof path, "%s%s", mount, own);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return delegated(fd) ? steal_fd(&fd) : -EPERM;
}

/* ------------------------------------------------------------ the daemon's */

static int own_enter(int fd)
{
	char pid[16];

	if (mkdirat(fd, OWN, 0755) < 0 && errno != EEXIST)
		return -errno;
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	return file_write(fd, OWN "/cgroup.procs", pid);
}

/* Names those that can't be had. */
static void controllers_enable(int fd)
{
	char missing[64] = "", text[16];

	for (size_t i = 0; i < GCL_ARRAY_SIZE(controllers); i++) {
		size_t used = strlen(missing);

		snprintf(text, sizeof text, "+%s", controllers[i]);
		if (file_write(fd, "cgroup.subtree_control", text) < 0)
			snprintf(missing + used, sizeof missing - used, "%s%s", used ? ", " : "",
				 controllers[i]);
	}
	if (*missing)
		gcl_log_warn(
			broker,
			"the cgroup has no controllers for: %s; workers are limited one by one",
			missing);
}

void gcl_cgroup_open(struct gcl_cgroup *cgroup, const struct gcl_config *config)
{
	bool found = strcmp(config->cgroup, "auto") == 0;
	int err = 0;

	cgroup->fd = -1;
	if (config->jail == GCL_JAIL_OFF || strcmp(config->cgroup, "off") == 0)
		return;
	if (found)
		cgroup->fd = delegated_open();
	else
		cgroup->fd = open(config->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup->fd < 0)
		err = found ? cgroup->fd : -errno;
	else if (found)
		err = own_enter(cgroup->fd);
	if (err == 0) {
		controllers_enable(cgroup->fd);
		return;
	}
	gcl_cgroup_close(cgroup);
	gcl_log_info(broker,
		     "no cgroup is delegated to guestcld (%s): workers are limited one by one; "
		     "see \"cgroup\" in guestcld.conf(5)",
		     strerror(-err));
}

void gcl_cgroup_close(struct gcl_cgroup *cgroup)
{
	gcl_cleanup_close(&cgroup->fd);
	cgroup->fd = -1;
}

/* ------------------------------------------------------------ an owner's */

static void number_write(int folder, const char *name, uint64_t value, const char *none)
{
	char text[32];

	snprintf(text, sizeof text, "%ju", (uintmax_t)value);
	/* A controller that is missing has been logged. */
	(void)file_write(folder, name, value ? text : none);
}

void gcl_cgroup_limit(const struct gcl_cgroup *cgroup, const struct gcl_account *account)
{
	const struct gcl_vm_config *limits = &account->limits;
	_cleanup_close_ int fd = -1;

	if (cgroup->fd < 0)
		return;
	fd = openat(cgroup->fd, account->owner.name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	number_write(fd, "memory.max", limits->host_memory, "max");
	number_write(fd, "pids.max", limits->host_processes, "max");
	number_write(fd, "cpu.weight", limits->weight, "1");
}

void gcl_cgroup_join(const struct gcl_cgroup *cgroup, const struct gcl_account *account, pid_t pid)
{
	char path[sizeof account->owner.name + 32], text[16];
	int err = 0;

	if (cgroup->fd < 0)
		return;
	if (mkdirat(cgroup->fd, account->owner.name, 0755) == 0)
		gcl_cgroup_limit(cgroup, account);
	else if (errno != EEXIST)
		err = -errno;
	snprintf(path, sizeof path, "%s/cgroup.procs", account->owner.name);
	snprintf(text, sizeof text, "%d", (int)pid);
	if (err == 0)
		err = file_write(cgroup->fd, path, text);
	if (err < 0)
		gcl_log_warn(broker, "worker %d is not in the cgroup of %s: %s", (int)pid,
			     account->owner.name, strerror(-err));
}

void gcl_cgroup_leave(const struct gcl_cgroup *cgroup, const struct gcl_owner *owner)
{
	if (cgroup->fd >= 0)
		unlinkat(cgroup->fd, owner->name, AT_REMOVEDIR);
}
