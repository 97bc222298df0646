/* SPDX-License-Identifier: MIT */
/*
 * Which user of the host a worker is.
 *
 * The broker is often root, which a worker must not be: even without capabilities root owns the
 * host's files, and has no limit of processes.
 */
#ifndef GCL_JAIL_USERS_H
#define GCL_JAIL_USERS_H

#include <stddef.h>
#include <sys/types.h>

#define GCL_JAIL_GROUPS_MAX 16u

struct gcl_jail_user {
	uid_t uid;
	gid_t gid;
	gid_t groups[GCL_JAIL_GROUPS_MAX]; /* of device nodes */
	size_t group_count;
};

/**
 * gcl_jail_user_find() - the user called @name, with the groups that device nodes belong to.
 *
 * An empty name, or one that can't be taken since we aren't root, is the user that we are.
 * Return: 0, or -ENOENT with the user that we are.
 */
int gcl_jail_user_find(const char *name, struct gcl_jail_user *user);

/** gcl_jail_user_map() - make @user the root of the user namespace that @pid is the first process
 * of. Return: 0 or -errno. */
int gcl_jail_user_map(pid_t pid, const struct gcl_jail_user *user);

/** gcl_jail_user_become() - in that process: be it. Return: 0 or -errno. */
int gcl_jail_user_become(const struct gcl_jail_user *user);

/** gcl_jail_user_switch() - be it where there is no such namespace. Return: 0 or -errno. */
int gcl_jail_user_switch(const struct gcl_jail_user *user);

#endif
