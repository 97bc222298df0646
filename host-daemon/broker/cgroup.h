/* SPDX-License-Identifier: MIT */
/*
 * Control groups (version 2): what all workers of an owner take from the host together.
 *
 * Where a cgroup is delegated to the daemon (Delegate= in its unit), each owner with workers has
 * one of its own below it, with limits of memory and processes and a weight for the CPU. Without,
 * the log says so once, and workers are limited one by one.
 */
#ifndef GCL_BROKER_CGROUP_H
#define GCL_BROKER_CGROUP_H

#include <sys/types.h>

struct gcl_account;
struct gcl_config;
struct gcl_owner;

struct gcl_cgroup {
	int fd; /* folder of owners' cgroups; -1: there is none */
};

/** gcl_cgroup_open() - use the cgroup that the configuration names. What is missing is logged. */
void gcl_cgroup_open(struct gcl_cgroup *cgroup, const struct gcl_config *config);

/** gcl_cgroup_join() - put the process @pid into the cgroup of @account, made if there is none. */
void gcl_cgroup_join(const struct gcl_cgroup *cgroup, const struct gcl_account *account, pid_t pid);

/** gcl_cgroup_limit() - have the limits of @account kept; it may have no cgroup. */
void gcl_cgroup_limit(const struct gcl_cgroup *cgroup, const struct gcl_account *account);

/** gcl_cgroup_leave() - the last worker of @owner has been reaped. */
void gcl_cgroup_leave(const struct gcl_cgroup *cgroup, const struct gcl_owner *owner);

void gcl_cgroup_close(struct gcl_cgroup *cgroup);

#endif
