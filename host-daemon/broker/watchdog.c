// SPDX-License-Identifier: MIT
/*
 * Limits of time that sessions are held to: telling them to workers, and ending those whose worker
 * does not go on.
 *
 * What can be seen from outside is looked at here: whether the session thread is at something, and
 * at the same thing since the last look. The rest the worker finds out itself (worker/timing.c,
 * worker/watch.c), and asks for its end. Native code in a worker can keep it from doing so.
 */
#include "broker.h"

/* Looks before worker-timeout can have passed; and the bounds of their period, in seconds. */
#define LOOKS	   10
#define PERIOD_MIN 0.05
#define PERIOD_MAX 1.

static ev_tstamp period(const struct gcl_broker *broker)
{
	ev_tstamp wanted = broker->config.worker_timeout / 1000. / LOOKS;

	return GCL_MIN(GCL_MAX(wanted, PERIOD_MIN), PERIOD_MAX);
}

/* A worker that was stopped, or whose session is paused, does not count. Return: whether it has
 * been at the same thing for too long. */
static bool look(struct gcl_worker_process *worker, ev_tstamp passed)
{
	const struct gcl_page *page = worker->page;
	struct gcl_progress *progress = &worker->progress;
	uint64_t steps = gcl_page_read(&page->steps);
	uint64_t done =
		gcl_page_read(&page->counts.calls) + gcl_page_read(&page->counts.bytes_from_guest);
	bool same = steps == progress->steps && done == progress->done;

	progress->steps = steps;
	progress->done = done;
	progress->stuck = same && steps & 1 && !worker->stopped ? progress->stuck + passed : 0.;
	return progress->stuck * 1000. >= worker->broker->config.worker_timeout;
}

/* A broker that did not run itself for a while has seen nothing. */
static void on_look(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_broker *broker = timer->data;
	unsigned limit = broker->config.worker_timeout;
	ev_tstamp now = gcl_clock(), most = 2. * period(broker);
	ev_tstamp passed = GCL_MIN(now - broker->watchdog.looked, most);
	bool any = false;

	(void)events;
	broker->watchdog.looked = now;
	gcl_list_for_each_safe (it, next, &broker->workers.list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (worker->state != GCL_WORKER_SERVING)
			continue;
		any = true;
		if (look(worker, passed) && limit)
			gcl_worker_end_because(worker, GCL_END_WORKER_TIMEOUT, limit);
	}
	if (!any || broker->stopping)
		ev_timer_stop(loop, timer);
}

static void limits_tell(const struct gcl_worker_process *worker)
{
	const struct gcl_config *config = &worker->broker->config;
	struct gcl_page_limits *limits = &worker->page->limits;

	atomic_store_explicit(&limits->kernel_time, worker->account->limits.kernel_time,
			      memory_order_relaxed);
	atomic_store_explicit(&limits->guest_timeout, config->guest_timeout, memory_order_relaxed);
	atomic_store_explicit(&limits->build_time, config->build_time, memory_order_relaxed);
	atomic_store_explicit(&limits->build_memory, config->build_memory, memory_order_relaxed);
}

void gcl_watchdog_begin(struct gcl_worker_process *worker)
{
	struct gcl_broker *broker = worker->broker;
	struct ev_timer *timer = &broker->watchdog.timer;

	limits_tell(worker);
	worker->progress = (struct gcl_progress){0};
	if (ev_is_active(timer))
		return;
	broker->watchdog.looked = gcl_clock();
	ev_timer_set(timer, period(broker), period(broker));
	ev_timer_start(broker->loop, timer);
}

void gcl_watchdog_configure(struct gcl_broker *broker, const struct gcl_account *account)
{
	struct ev_timer *timer = &broker->watchdog.timer;

	gcl_list_for_each (it, &broker->workers.list) {
		const struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (worker->account == account)
			limits_tell(worker);
	}
	if (!ev_is_active(timer))
		return;
	timer->repeat = period(broker);
	ev_timer_again(broker->loop, timer);
}

void gcl_watchdog_init(struct gcl_broker *broker)
{
	ev_timer_init(&broker->watchdog.timer, on_look, 0., 0.);
	broker->watchdog.timer.data = broker;
}
