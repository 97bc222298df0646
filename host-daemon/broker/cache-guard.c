// SPDX-License-Identifier: MIT
/*
 * The size of the kernel caches: an owner whose workers write more than cache-limit loses its
 * sessions, since a worker that was taken over would fill the disk, and then its cache.
 *
 * While there are sessions, the folders of owners with workers are looked through, each second as
 * many as CHECK_SECONDS lets; the next time it goes on from there. A cache is removed when no
 * worker uses it; another process does that, since it may take long. What a worker has removed and
 * keeps open is not seen: only the file system's own quota bounds that.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "broker.h"

#define TICK_SECONDS  1.
#define CHECK_SECONDS 0.01

/* Ends the sessions of @owner. Return: whether a worker of it can still be writing. */
static bool writers_end(struct gcl_broker *broker, const struct gcl_owner *owner)
{
	bool any = false;

	gcl_list_for_each_safe (it, next, &broker->workers.list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (!gcl_owner_same(&worker->owner, owner) || worker->state == GCL_WORKER_IDLE)
			continue;
		any = true;
		if (worker->state == GCL_WORKER_SERVING)
			gcl_worker_end_because(worker, GCL_END_CACHE_SIZE,
					       broker->config.cache_limit);
	}
	return any;
}

static void cache_shrink(struct gcl_broker *broker, struct gcl_account *account)
{
	account->cache_full = writers_end(broker, &account->owner);
	if (account->cache_full)
		return;
	/* A spare one has the folder that is taken away. */
	gcl_list_for_each_safe (it, next, &broker->workers.list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (gcl_owner_same(&worker->owner, &account->owner))
			gcl_worker_end(worker);
	}
	gcl_log_info(broker, "the kernel cache of %s is larger than cache-limit: removed",
		     account->owner.name);
	gcl_cache_remove(&broker->workers.cache, &account->owner);
}

static void account_check(struct gcl_broker *broker, struct gcl_account *account)
{
	uint64_t limit = broker->config.cache_limit;

	if (account->workers && gcl_cache_exceeds(&broker->workers.cache, &account->owner, limit))
		cache_shrink(broker, account);
}

static void on_tick(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_cache_guard *guard = timer->data;
	struct gcl_broker *broker = guard->broker;
	ev_tstamp begin = gcl_clock();
	size_t n = 0, first = guard->next;

	(void)events;
	guard->next = 0;
	gcl_list_for_each (it, &broker->accounts) {
		if (n++ < first)
			continue;
		account_check(broker, gcl_container_of(it, struct gcl_account, link));
		if (gcl_clock() - begin < CHECK_SECONDS)
			continue;
		guard->next = n;
		return;
	}
	if (gcl_workers_sessions(&broker->workers, NULL) == 0)
		ev_timer_stop(loop, timer);
}

void gcl_cache_guard_init(struct gcl_cache_guard *guard, struct gcl_broker *broker)
{
	guard->broker = broker;
	ev_timer_init(&guard->tick, on_tick, TICK_SECONDS, TICK_SECONDS);
	guard->tick.data = guard;
}

void gcl_cache_guard_wake(struct gcl_cache_guard *guard)
{
	if (guard->broker->config.cache_limit && !guard->broker->stopping)
		ev_timer_start(guard->broker->loop, &guard->tick);
}

void gcl_cache_guard_gone(struct gcl_cache_guard *guard, const struct gcl_owner *owner)
{
	struct gcl_account *account = gcl_account_find(guard->broker, owner);

	if (account && account->cache_full)
		cache_shrink(guard->broker, account);
}

void gcl_cache_guard_fini(struct gcl_cache_guard *guard)
{
	ev_timer_stop(guard->broker->loop, &guard->tick);
}
