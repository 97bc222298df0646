// SPDX-License-Identifier: MIT
/*
 * The worker processes together: which to start, which to keep, what to do when starts fail.
 *
 * A worker is prepared for one owner, whose kernel cache it uses, and serves one guest. Spares are
 * kept for the owner of the last guest. A start that comes to nothing delays the next one, twice as
 * long each time; after SPARE_FAILURES of them in a row only the arrival of a guest makes another
 * try. So a broken runtime costs neither CPU nor a log full of lines.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "broker.h"

#define BACKOFF_FIRST	 0.1
#define BACKOFF_MOST	 10.
#define SPARE_FAILURES	 6u
#define GUEST_FAILURES	 3u    /* after these, guests are refused without waiting for another try */
#define SPARE_DELAY	 0.05  /* the guest that has just come goes first */
#define SPARE_SHORTAGE	 5.    /* the next try when descriptors or memory are short */
#define TEND_AGAIN	 0.001 /* timers count from the last event, so they may come early */
#define STARTS_AT_A_TIME 2l    /* or the number of CPUs, if there are more */

/* What processes of @owner that are gone have left in the cache. */
static void cache_sweep(struct gcl_workers *workers, const struct gcl_owner *owner)
{
	bool busy = false;

	gcl_list_for_each (it, &workers->list) {
		const struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		busy |= gcl_owner_same(&worker->owner, owner) && worker->state != GCL_WORKER_IDLE;
	}
	gcl_cache_sweep(&workers->cache, owner, busy);
}

static void tend_after(struct gcl_workers *workers, ev_tstamp delay)
{
	struct ev_loop *loop = workers->broker->loop;

	if (workers->broker->stopping ||
	    (ev_is_active(&workers->tend) && ev_timer_remaining(loop, &workers->tend) <= delay))
		return;
	ev_timer_stop(loop, &workers->tend);
	ev_timer_set(&workers->tend, GCL_MAX(delay, TEND_AGAIN), 0.);
	ev_timer_start(loop, &workers->tend);
}

/* A start came to nothing. */
void gcl_workers_start_failed(struct gcl_workers *workers, const char *reason, bool hopeless)
{
	struct gcl_broker *broker = workers->broker;
	unsigned doublings = GCL_MIN(workers->failures, 16u);
	ev_tstamp delay = GCL_MIN(BACKOFF_FIRST * (1u << doublings), BACKOFF_MOST);

	if (workers->failures == 0 || strcmp(reason, workers->reason) != 0)
		gcl_log_error(broker, "%s", reason);
	snprintf(workers->reason, sizeof workers->reason, "%s", reason);
	workers->failures++;
	workers->hopeless = hopeless || workers->failures >= GUEST_FAILURES;
	workers->not_before = gcl_clock() + delay;
	gcl_broker_announce(broker, reason);
	if (workers->hopeless)
		gcl_guests_refuse(broker, GCL_HELLO_FAILED, reason);
	if (workers->failures < SPARE_FAILURES)
		tend_after(workers, delay);
	gcl_guests_serve(broker);
}

void gcl_workers_start_done(struct gcl_workers *workers, const struct gcl_owner *owner)
{
	if (workers->failures)
		gcl_log_info(broker, "workers start again");
	workers->failures = 0;
	workers->hopeless = false;
	workers->not_before = 0.;
	cache_sweep(workers, owner);
	gcl_broker_announce(workers->broker, NULL);
	gcl_guests_serve(workers->broker);
	tend_after(workers, SPARE_DELAY);
}

void gcl_workers_served(struct gcl_workers *workers, const struct gcl_owner *owner)
{
	workers->spare_owner = *owner;
	tend_after(workers, SPARE_DELAY);
	gcl_cache_guard_wake(&workers->broker->cache_guard);
}

/* Whether @owner has a worker. */
static bool owned(const struct gcl_workers *workers, const struct gcl_owner *owner)
{
	gcl_list_for_each (it, &workers->list) {
		if (gcl_owner_same(&gcl_container_of(it, struct gcl_worker_process, link)->owner,
				   owner))
			return true;
	}
	return false;
}

void gcl_workers_gone(struct gcl_workers *workers, const struct gcl_owner *owner)
{
	cache_sweep(workers, owner);
	gcl_cache_guard_gone(&workers->broker->cache_guard, owner);
	if (!owned(workers, owner))
		gcl_cgroup_leave(&workers->broker->cgroup, owner);
	gcl_broker_worker_gone(workers->broker);
}

static size_t state_count(const struct gcl_workers *workers, enum gcl_worker_state state)
{
	size_t count = 0;

	gcl_list_for_each (it, &workers->list)
		count += gcl_container_of(it, struct gcl_worker_process, link)->state == state;
	return count;
}

/* gcl_worker_create() as far as back-off and the number of CPUs let it. Return: also -EAGAIN. */
static int worker_start(struct gcl_workers *workers, const struct gcl_owner *owner,
			struct gcl_worker_process **out, char *reason, size_t reason_size)
{
	ev_tstamp left = workers->not_before - gcl_clock();
	long limit = GCL_MAX(sysconf(_SC_NPROCESSORS_ONLN), STARTS_AT_A_TIME);

	if (left > 0.) {
		if (workers->failures < SPARE_FAILURES)
			tend_after(workers, left);
		snprintf(reason, reason_size, "%s", workers->reason);
		return workers->hopeless ? -ECANCELED : -EAGAIN;
	}
	if (state_count(workers, GCL_WORKER_STARTING) >= (size_t)limit)
		return -EAGAIN;
	return gcl_worker_create(workers, owner, out, reason, reason_size);
}

int gcl_workers_promise(struct gcl_workers *workers, const struct gcl_owner *owner, char *reason,
			size_t reason_size)
{
	struct gcl_worker_process *worker;
	int err;

	gcl_list_for_each (it, &workers->list) {
		worker = gcl_container_of(it, struct gcl_worker_process, link);
		if (worker->state == GCL_WORKER_STARTING && gcl_owner_same(&worker->owner, owner) &&
		    !worker->promised) {
			worker->promised = true;
			return 0;
		}
	}
	err = worker_start(workers, owner, &worker, reason, reason_size);
	if (err == 0)
		worker->promised = true;
	return err;
}

void gcl_workers_unpromise(struct gcl_workers *workers)
{
	gcl_list_for_each (it, &workers->list)
		gcl_container_of(it, struct gcl_worker_process, link)->promised = false;
}

struct gcl_worker_process *gcl_workers_idle(struct gcl_workers *workers,
					    const struct gcl_owner *owner)
{
	gcl_list_for_each (it, &workers->list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (worker->state == GCL_WORKER_IDLE && gcl_owner_same(&worker->owner, owner))
			return worker;
	}
	return NULL;
}

static void spare_start(struct gcl_workers *workers)
{
	struct gcl_worker_process *worker;
	char reason[GCL_REASON_MAX];
	int err = worker_start(workers, &workers->spare_owner, &worker, reason, sizeof reason);

	if (err == 0 || err == -EAGAIN || err == -ECANCELED)
		return;
	gcl_log_error(broker, "%s", reason);
	gcl_broker_announce(workers->broker, reason);
	tend_after(workers, SPARE_SHORTAGE);
}

/* Spares of other owners make room; then one spare is started if there are too few. */
static void tend(struct gcl_workers *workers)
{
	size_t spares = 0;

	gcl_guests_serve(workers->broker);
	gcl_list_for_each_safe (it, next, &workers->list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (worker->state == GCL_WORKER_STARTING && !worker->promised &&
		    gcl_owner_same(&worker->owner, &workers->spare_owner))
			return; /* one at a time; its end brings us back */
		if (worker->state != GCL_WORKER_IDLE)
			continue;
		if (gcl_owner_same(&worker->owner, &workers->spare_owner) &&
		    spares < workers->broker->config.spare_workers)
			spares++;
		else
			gcl_worker_end(worker);
	}
	if (spares < workers->broker->config.spare_workers)
		spare_start(workers);
}

static void on_tend(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	tend(timer->data);
}

size_t gcl_workers_sessions(const struct gcl_workers *workers, const struct gcl_owner *owner)
{
	size_t count = 0;

	gcl_list_for_each (it, &workers->list) {
		const struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		count += worker->state == GCL_WORKER_SERVING &&
			 (!owner || gcl_owner_same(&worker->owner, owner));
	}
	return count;
}

struct gcl_worker_process *gcl_workers_find(struct gcl_workers *workers, uint64_t session)
{
	gcl_list_for_each (it, &workers->list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (worker->session == session && worker->state == GCL_WORKER_SERVING)
			return worker;
	}
	return NULL;
}

bool gcl_workers_owns(const struct gcl_workers *workers, pid_t pid)
{
	gcl_list_for_each (it, &workers->list) {
		if (gcl_container_of(it, struct gcl_worker_process, link)->pid == pid)
			return true;
	}
	return false;
}

void gcl_workers_renew(struct gcl_workers *workers)
{
	gcl_list_for_each_safe (it, next, &workers->list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (worker->state == GCL_WORKER_IDLE)
			gcl_worker_end(worker);
	}
	workers->failures = 0;
	workers->hopeless = false;
	workers->not_before = 0.;
	tend_after(workers, 0.);
}

void gcl_workers_prepare(struct gcl_workers *workers, ev_tstamp delay)
{
	tend_after(workers, delay);
}

void gcl_workers_init(struct gcl_workers *workers, struct gcl_broker *broker)
{
	memset(workers, 0, sizeof *workers);
	workers->broker = broker;
	workers->cache.fd = -1;
	workers->spare_owner = gcl_owner_user(geteuid());
	gcl_list_init(&workers->list);
	ev_timer_init(&workers->tend, on_tend, 0., 0.);
	workers->tend.data = workers;
}

void gcl_workers_end_owner(struct gcl_workers *workers, const struct gcl_owner *owner)
{
	gcl_list_for_each (it, &workers->list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (worker->state != GCL_WORKER_ENDING && gcl_owner_same(&worker->owner, owner))
			gcl_worker_end(worker);
	}
}

void gcl_workers_end(struct gcl_workers *workers)
{
	ev_timer_stop(workers->broker->loop, &workers->tend);
	gcl_list_for_each_safe (it, next, &workers->list)
		gcl_worker_end(gcl_container_of(it, struct gcl_worker_process, link));
}

void gcl_workers_end_of(struct gcl_workers *workers, const struct gcl_owner *owner)
{
	gcl_list_for_each_safe (it, next, &workers->list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (worker->state != GCL_WORKER_ENDING && gcl_owner_same(&worker->owner, owner))
			gcl_worker_end(worker);
	}
	if (gcl_owner_same(&workers->spare_owner, owner))
		workers->spare_owner = gcl_owner_user(geteuid());
	tend_after(workers, SPARE_DELAY);
}

void gcl_workers_kill(struct gcl_workers *workers)
{
	gcl_list_for_each (it, &workers->list)
		kill(gcl_container_of(it, struct gcl_worker_process, link)->pid, SIGKILL);
}

void gcl_workers_fini(struct gcl_workers *workers)
{
	gcl_cache_fini(&workers->cache);
}
