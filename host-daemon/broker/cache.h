/* SPDX-License-Identifier: MIT */
/*
 * Kernels that the workers' runtime has compiled: a folder for each owner, and its limit.
 */
#ifndef GCL_CACHE_H
#define GCL_CACHE_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "config.h"
#include "owner.h"

struct gcl_broker;

/* ------------------------------------------------------------ kernel cache (cache.c) */

struct gcl_cache {
	int fd; /* its folder, locked (shared); -1 before the first user */
};

/** gcl_cache_prepare() - see to it that @owner has a folder in the cache at @path, which @user can
 * write. Return: 0 or -errno. */
int gcl_cache_prepare(struct gcl_cache *cache, const char *path, const struct gcl_owner *owner,
		      uid_t user);

/** gcl_cache_sweep() - remove what was left in the folder of @owner; @busy if workers may be
 * compiling for it. */
void gcl_cache_sweep(struct gcl_cache *cache, const struct gcl_owner *owner, bool busy);

/** gcl_cache_exceeds() - whether the folder of @owner holds more than @limit bytes (0: any), or
 * more files than are worth counting. */
bool gcl_cache_exceeds(const struct gcl_cache *cache, const struct gcl_owner *owner,
		       uint64_t limit);

/** gcl_cache_remove() - take the folder of @owner away; another process empties it. */
void gcl_cache_remove(struct gcl_cache *cache, const struct gcl_owner *owner);
void gcl_cache_fini(struct gcl_cache *cache);

/* ------------------------------------------------------------ its limit (cache-guard.c) */

struct gcl_cache_guard {
	struct gcl_broker *broker;
	size_t next; /* account that is looked at next */
	struct ev_timer tick;
};

void gcl_cache_guard_init(struct gcl_cache_guard *guard, struct gcl_broker *broker);

/** gcl_cache_guard_wake() - there is a session: look after the caches. */
void gcl_cache_guard_wake(struct gcl_cache_guard *guard);

/** gcl_cache_guard_gone() - a worker of @owner has been reaped. */
void gcl_cache_guard_gone(struct gcl_cache_guard *guard, const struct gcl_owner *owner);
void gcl_cache_guard_fini(struct gcl_cache_guard *guard);

#endif
