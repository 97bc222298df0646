// SPDX-License-Identifier: MIT
#include "users.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "jail.h"

/* ------------------------------------------------------------ groups of device nodes */

static void group_take(struct gcl_jail_user *user, const struct stat *st)
{
	if (!S_ISCHR(st->st_mode) || !(st->st_mode & 060) || st->st_gid == 0)
		return;
	for (size_t i = 0; i < user->group_count; i++) {
		if (user->groups[i] == st->st_gid)
			return;
	}
	if (user->group_count < GCL_JAIL_GROUPS_MAX)
		user->groups[user->group_count++] = st->st_gid;
}

static void node_look(void *data, const char *path, enum gcl_jail_access access)
{
	const struct dirent *entry;
	struct stat st;
	DIR *folder;

	if (access != GCL_JAIL_DEVICE || stat(path, &st) < 0)
		return;
	if (!S_ISDIR(st.st_mode)) {
		group_take(data, &st);
		return;
	}
	folder = opendir(path);
	while (folder && (entry = readdir(folder))) {
		if (fstatat(dirfd(folder), entry->d_name, &st, 0) == 0)
			group_take(data, &st);
	}
	if (folder)
		closedir(folder);
}

int gcl_jail_user_find(const char *name, struct gcl_jail_user *user)
{
	const struct gcl_jail jail = {0};
	const struct passwd *entry;

	*user = (struct gcl_jail_user){.uid = geteuid(), .gid = getegid()};
	if (!*name || user->uid != 0)
		return 0;
	entry = getpwnam(name);
	if (!entry)
		return -ENOENT;
	user->uid = entry->pw_uid;
	user->gid = entry->pw_gid;
	gcl_jail_files(&jail, node_look, user);
	return 0;
}

/* ------------------------------------------------------------ a namespace's users */

static int file_write(pid_t pid, const char *name, const char *text)
{
	char path[64];
	_cleanup_close_ int fd = -1;
	ssize_t n;

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	return n < 0 ? -errno : 0;
}

/* Only root may name more than itself; anyone else keeps the groups that it has. */
int gcl_jail_user_map(pid_t pid, const struct gcl_jail_user *user)
{
	char text[32 * (GCL_JAIL_GROUPS_MAX + 1)];
	size_t used;
	int err = 0;

	if (geteuid() != 0)
		err = file_write(pid, "setgroups", "deny");
	used = (size_t)snprintf(text, sizeof text, "0 %u 1\n", (unsigned)user->gid);
	for (size_t i = 0; i < user->group_count; i++) {
		if (user->groups[i] != user->gid)
			used += (size_t)snprintf(text + used, sizeof text - used, "%zu %u 1\n",
						 i + 1, (unsigned)user->groups[i]);
	}
	if (err == 0)
		err = file_write(pid, "gid_map", text);
	snprintf(text, sizeof text, "0 %u 1\n", (unsigned)user->uid);
	return err ? err : file_write(pid, "uid_map", text);
}

int gcl_jail_user_become(const struct gcl_jail_user *user)
{
	gid_t groups[GCL_JAIL_GROUPS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < user->group_count; i++) {
		if (user->groups[i] != user->gid)
			groups[count++] = (gid_t)(i + 1);
	}
	/* Refused where the groups were kept. */
	if (setgroups(count, groups) < 0 && errno != EPERM)
		return -errno;
	return setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0 ? -errno : 0;
}

int gcl_jail_user_switch(const struct gcl_jail_user *user)
{
	if (user->uid == geteuid())
		return 0;
	if (setgroups(user->group_count, user->groups) < 0 ||
	    setresgid(user->gid, user->gid, user->gid) < 0 ||
	    setresuid(user->uid, user->uid, user->uid) < 0)
		return -errno;
	return 0;
}
