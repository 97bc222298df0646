// SPDX-License-Identifier: MIT
/*
 * The worker processes: starting, keeping spares, handing over, reaping.
 *
 * A worker is prepared for one user, whose kernel cache it uses, and serves one guest. Spares are
 * kept for the user of the last guest. A start that comes to nothing delays the next one, twice as
 * long each time; after SPARE_FAILURES of them in a row only the arrival of a guest makes another
 * try. So a broken runtime costs neither CPU nor a log full of lines.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "broker.h"
#include "handover.h"

#define BACKOFF_FIRST	 0.1
#define BACKOFF_MOST	 10.
#define SPARE_FAILURES	 6u
#define GUEST_FAILURES	 3u   /* after these, guests are refused without waiting for another try */
#define SPARE_DELAY	 0.05 /* the guest that has just come goes first */
#define SPARE_SHORTAGE	 5.   /* the next try when descriptors or memory are short */
#define START_WATCHDOG	 30.
#define END_WATCHDOG	 2.
#define TEND_AGAIN	 0.001 /* timers count from the last event, so they may come early */
#define STARTS_AT_A_TIME 2l    /* or the number of CPUs, if there are more */

static void tend(struct gcl_workers *workers);

/* ev_now() follows the wall clock, which may be set back. */
static ev_tstamp now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (ev_tstamp)time.tv_sec + (ev_tstamp)time.tv_nsec * 1e-9;
}

static void worker_destroy(struct gcl_worker_process *worker)
{
	struct ev_loop *loop = worker->broker->loop;

	ev_io_stop(loop, &worker->readable);
	ev_child_stop(loop, &worker->child);
	ev_timer_stop(loop, &worker->watchdog);
	gcl_list_remove(&worker->link);
	worker->broker->workers.count--;
	if (worker->socket >= 0)
		close(worker->socket);
	free(worker);
}

static void watch(struct gcl_worker_process *worker, ev_tstamp seconds)
{
	struct ev_loop *loop = worker->broker->loop;

	ev_timer_stop(loop, &worker->watchdog);
	if (seconds > 0.) {
		ev_timer_set(&worker->watchdog, seconds, 0.);
		ev_timer_start(loop, &worker->watchdog);
	}
}

static void state_set(struct gcl_worker_process *worker, enum gcl_worker_state state)
{
	worker->state = state;
	worker->since = now();
}

/* The end of the socket tells it to go. */
static void worker_end(struct gcl_worker_process *worker)
{
	state_set(worker, GCL_WORKER_ENDING);
	ev_io_stop(worker->broker->loop, &worker->readable);
	if (worker->socket >= 0)
		close(worker->socket);
	worker->socket = -1;
	watch(worker, END_WATCHDOG);
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
static void start_failed(struct gcl_workers *workers, const char *reason, bool hopeless)
{
	struct gcl_broker *broker = workers->broker;
	unsigned doublings = GCL_MIN(workers->failures, 16u);
	ev_tstamp delay = GCL_MIN(BACKOFF_FIRST * (1u << doublings), BACKOFF_MOST);

	if (workers->failures == 0 || strcmp(reason, workers->reason) != 0)
		gcl_log_error(broker, "%s", reason);
	snprintf(workers->reason, sizeof workers->reason, "%s", reason);
	workers->failures++;
	workers->hopeless = hopeless || workers->failures >= GUEST_FAILURES;
	workers->not_before = now() + delay;
	gcl_broker_announce(broker, reason);
	if (workers->hopeless)
		gcl_guests_refuse(broker, GCL_HELLO_FAILED, reason);
	if (workers->failures < SPARE_FAILURES)
		tend_after(workers, delay);
	gcl_guests_serve(broker);
}

static void start_done(struct gcl_worker_process *worker)
{
	struct gcl_broker *broker = worker->broker;

	ev_io_stop(broker->loop, &worker->readable);
	watch(worker, 0.);
	gcl_log_debug(broker, "worker %d for uid %u prepared in %.0f ms", (int)worker->pid,
		      (unsigned)worker->uid, 1000. * (now() - worker->since));
	state_set(worker, GCL_WORKER_IDLE);
	worker->promised = false;
	if (broker->workers.failures)
		gcl_log_info(broker, "workers start again");
	broker->workers.failures = 0;
	broker->workers.hopeless = false;
	broker->workers.not_before = 0.;
	gcl_broker_announce(broker, NULL);
	gcl_guests_serve(broker);
	tend_after(&broker->workers, SPARE_DELAY);
}

/* Reads what there is of the worker's one message. */
static void report_read(struct gcl_worker_process *worker)
{
	while (worker->report_size < sizeof worker->report - 1) {
		ssize_t n = recv(worker->socket, worker->report + worker->report_size,
				 sizeof worker->report - 1 - worker->report_size, MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			break; /* the end: why, the exit status tells */
		worker->report_size += (size_t)n;
	}
	ev_io_stop(worker->broker->loop, &worker->readable);
}

static void on_report(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct gcl_worker_process *worker = io->data;

	(void)loop;
	(void)events;
	report_read(worker);
	if (worker->report[0] == GCL_HANDOVER_READY) {
		start_done(worker);
	} else if (worker->report_size && worker->report[0] != GCL_HANDOVER_FAILED) {
		snprintf(worker->report, sizeof worker->report,
			 "%c%.120s is no guestcl-worker: check \"worker\" in guestcld.conf",
			 GCL_HANDOVER_FAILED, worker->broker->config.worker);
		worker->report_size = strlen(worker->report);
		ev_io_stop(worker->broker->loop, &worker->readable);
		kill(worker->pid, SIGKILL);
	}
}

static void status_describe(int status, char *text, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(text, size, "was ended by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(text, size, "ended with status %d", WEXITSTATUS(status));
}

/* Takes @worker down: it died before it could serve. */
static void reaped_starting(struct gcl_worker_process *worker, int status)
{
	struct gcl_workers *workers = &worker->broker->workers;
	char how[96], reason[GCL_REASON_MAX];
	bool hopeless = !WIFSIGNALED(status);

	report_read(worker);
	status_describe(status, how, sizeof how);
	if (worker->report[0] == GCL_HANDOVER_FAILED && worker->report_size > 1) {
		snprintf(reason, sizeof reason, "%s", worker->report + 1);
		hopeless = true;
	} else {
		snprintf(reason, sizeof reason,
			 "guestcl-worker %s %s: see guestcld's log, and whether clinfo runs on the "
			 "host",
			 how,
			 worker->state == GCL_WORKER_IDLE ? "before a guest came"
							  : "while it started");
	}
	worker_destroy(worker);
	start_failed(workers, reason, hopeless);
}

static void reaped_serving(struct gcl_worker_process *worker, int status)
{
	char how[96];

	status_describe(status, how, sizeof how);
	if (status == 0)
		gcl_log_info(broker, "session %ju: %s: ended after %.3f s",
			     (uintmax_t)worker->session, worker->title, now() - worker->since);
	else
		gcl_log_error(broker, "session %ju: %s: worker %d %s; other sessions go on",
			      (uintmax_t)worker->session, worker->title, (int)worker->pid, how);
	worker_destroy(worker);
}

static void on_reaped(struct ev_loop *loop, struct ev_child *child, int events)
{
	struct gcl_worker_process *worker = child->data;
	struct gcl_broker *broker = worker->broker;

	(void)loop;
	(void)events;
	if (WIFSTOPPED(child->rstatus) || WIFCONTINUED(child->rstatus))
		return;
	if (worker->state == GCL_WORKER_ENDING)
		worker_destroy(worker);
	else if (worker->state == GCL_WORKER_SERVING)
		reaped_serving(worker, child->rstatus);
	else
		reaped_starting(worker, child->rstatus);
	gcl_broker_worker_gone(broker);
}

static void on_watchdog(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_worker_process *worker = timer->data;

	(void)loop;
	(void)events;
	if (worker->state == GCL_WORKER_STARTING) {
		snprintf(worker->report, sizeof worker->report,
			 "%cguestcl-worker was not prepared within %.0f s: see whether clinfo runs "
			 "on the host",
			 GCL_HANDOVER_FAILED, START_WATCHDOG);
		worker->report_size = strlen(worker->report);
	} else {
		gcl_log_warn(broker, "worker %d did not go when told to: killed", (int)worker->pid);
	}
	kill(worker->pid, SIGKILL);
}

static size_t state_count(const struct gcl_workers *workers, enum gcl_worker_state state)
{
	size_t count = 0;

	gcl_list_for_each (it, &workers->list)
		count += gcl_container_of(it, struct gcl_worker_process, link)->state == state;
	return count;
}

/* Return: 0 or -errno and @reason. */
static int worker_create(struct gcl_workers *workers, uid_t uid, struct gcl_worker_process **out,
			 char *reason, size_t reason_size)
{
	struct gcl_broker *broker = workers->broker;
	_cleanup_free_ struct gcl_worker_process *worker = calloc(1, sizeof *worker);
	int err = -ENOMEM;

	if (worker)
		err = gcl_spawn(&broker->config, uid, &worker->pid, &worker->socket, reason,
				reason_size);
	else
		snprintf(reason, reason_size, "guestcld has no memory left");
	if (err < 0)
		return err == -EAGAIN ? -ENOBUFS : err; /* fork: too many processes */
	worker->broker = broker;
	worker->uid = uid;
	gcl_list_append(&workers->list, &worker->link);
	workers->count++;
	ev_io_init(&worker->readable, on_report, worker->socket, EV_READ);
	worker->readable.data = worker;
	ev_io_start(broker->loop, &worker->readable);
	ev_child_init(&worker->child, on_reaped, worker->pid, 0);
	worker->child.data = worker;
	ev_child_start(broker->loop, &worker->child);
	ev_timer_init(&worker->watchdog, on_watchdog, 0., 0.);
	worker->watchdog.data = worker;
	state_set(worker, GCL_WORKER_STARTING);
	watch(worker, START_WATCHDOG);
	*out = steal_pointer(&worker);
	return 0;
}

/* worker_create() as far as back-off and the number of CPUs let it. Return: also -EAGAIN. */
static int worker_start(struct gcl_workers *workers, uid_t uid, struct gcl_worker_process **out,
			char *reason, size_t reason_size)
{
	ev_tstamp left = workers->not_before - now();
	long limit = GCL_MAX(sysconf(_SC_NPROCESSORS_ONLN), STARTS_AT_A_TIME);

	if (left > 0.) {
		if (workers->failures < SPARE_FAILURES)
			tend_after(workers, left);
		snprintf(reason, reason_size, "%s", workers->reason);
		return workers->hopeless ? -ECANCELED : -EAGAIN;
	}
	if (state_count(workers, GCL_WORKER_STARTING) >= (size_t)limit)
		return -EAGAIN;
	return worker_create(workers, uid, out, reason, reason_size);
}

int gcl_workers_promise(struct gcl_workers *workers, uid_t uid, char *reason, size_t reason_size)
{
	struct gcl_worker_process *worker;
	int err;

	gcl_list_for_each (it, &workers->list) {
		worker = gcl_container_of(it, struct gcl_worker_process, link);
		if (worker->state == GCL_WORKER_STARTING && worker->uid == uid &&
		    !worker->promised) {
			worker->promised = true;
			return 0;
		}
	}
	err = worker_start(workers, uid, &worker, reason, reason_size);
	if (err == 0)
		worker->promised = true;
	return err;
}

void gcl_workers_unpromise(struct gcl_workers *workers)
{
	gcl_list_for_each (it, &workers->list)
		gcl_container_of(it, struct gcl_worker_process, link)->promised = false;
}

struct gcl_worker_process *gcl_workers_idle(struct gcl_workers *workers, uid_t uid)
{
	gcl_list_for_each (it, &workers->list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (worker->state == GCL_WORKER_IDLE && worker->uid == uid)
			return worker;
	}
	return NULL;
}

int gcl_worker_serve(struct gcl_worker_process *worker, const struct gcl_guest *guest)
{
	struct gcl_workers *workers = &worker->broker->workers;
	const struct gcl_hello *hello = &guest->greeting.hello;
	int err = gcl_greeting_pass(&guest->greeting, worker->socket);

	if (err < 0) {
		gcl_log_warn(broker, "can't pass a guest to worker %d: %s", (int)worker->pid,
			     strerror(-err));
		if (err == -EPIPE || err == -ECONNRESET || err == -EAGAIN)
			worker_end(worker); /* the worker's fault: it is gone or stuck */
		return err == -EAGAIN ? -EPIPE : err;
	}
	worker->session = ++workers->sessions;
	snprintf(worker->title, sizeof worker->title, "uid %u, pid %d, %.*s",
		 (unsigned)guest->peer.uid, (int)guest->peer.pid, (int)sizeof hello->program,
		 hello->program);
	state_set(worker, GCL_WORKER_SERVING);
	gcl_log_info(broker, "session %ju: %s: served by worker %d", (uintmax_t)worker->session,
		     worker->title, (int)worker->pid);
	workers->spare_uid = guest->peer.uid;
	tend_after(workers, SPARE_DELAY);
	return 0;
}

static void spare_start(struct gcl_workers *workers)
{
	struct gcl_worker_process *worker;
	char reason[GCL_REASON_MAX];
	int err = worker_start(workers, workers->spare_uid, &worker, reason, sizeof reason);

	if (err == 0 || err == -EAGAIN || err == -ECANCELED)
		return;
	gcl_log_error(broker, "%s", reason);
	gcl_broker_announce(workers->broker, reason);
	tend_after(workers, SPARE_SHORTAGE);
}

/* Spares of other users make room; then one spare is started if there are too few. */
static void tend(struct gcl_workers *workers)
{
	size_t spares = 0;

	gcl_guests_serve(workers->broker);
	gcl_list_for_each_safe (it, next, &workers->list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (worker->state == GCL_WORKER_STARTING && !worker->promised &&
		    worker->uid == workers->spare_uid)
			return; /* one at a time; its end brings us back */
		if (worker->state != GCL_WORKER_IDLE)
			continue;
		if (worker->uid == workers->spare_uid &&
		    spares < workers->broker->config.spare_workers)
			spares++;
		else
			worker_end(worker);
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

size_t gcl_workers_sessions(const struct gcl_workers *workers, uid_t uid)
{
	size_t count = 0;

	gcl_list_for_each (it, &workers->list) {
		const struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		count += worker->state == GCL_WORKER_SERVING &&
			 (uid == (uid_t)-1 || uid == worker->uid);
	}
	return count;
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
			worker_end(worker);
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
	workers->spare_uid = geteuid();
	gcl_list_init(&workers->list);
	ev_timer_init(&workers->tend, on_tend, 0., 0.);
	workers->tend.data = workers;
}

void gcl_workers_end(struct gcl_workers *workers)
{
	ev_timer_stop(workers->broker->loop, &workers->tend);
	gcl_list_for_each_safe (it, next, &workers->list)
		worker_end(gcl_container_of(it, struct gcl_worker_process, link));
}

void gcl_workers_kill(struct gcl_workers *workers)
{
	gcl_list_for_each (it, &workers->list)
		kill(gcl_container_of(it, struct gcl_worker_process, link)->pid, SIGKILL);
}
