// SPDX-License-Identifier: MIT
/*
 * One worker process, from its start until it is reaped.
 *
 * What a start or an end means for the others is workers.c's business.
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

#define START_WATCHDOG 30.
#define END_WATCHDOG   2.

ev_tstamp gcl_clock(void)
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
	worker->since = gcl_clock();
}

/* The end of the socket tells it to go. */
void gcl_worker_end(struct gcl_worker_process *worker)
{
	state_set(worker, GCL_WORKER_ENDING);
	ev_io_stop(worker->broker->loop, &worker->readable);
	if (worker->socket >= 0)
		close(worker->socket);
	worker->socket = -1;
	watch(worker, END_WATCHDOG);
}

void gcl_worker_expect_end(struct gcl_worker_process *worker)
{
	watch(worker, END_WATCHDOG);
}

void gcl_worker_kill(struct gcl_worker_process *worker)
{
	gcl_worker_end(worker);
	kill(worker->pid, SIGKILL);
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

static void prepared(struct gcl_worker_process *worker)
{
	struct ev_loop *loop = worker->broker->loop;

	ev_io_stop(loop, &worker->readable);
	watch(worker, 0.);
	gcl_log_debug(broker, "worker %d for %s prepared in %.0f ms", (int)worker->pid,
		      worker->owner.name, 1000. * (gcl_clock() - worker->since));
	state_set(worker, GCL_WORKER_IDLE);
	worker->promised = false;
	gcl_workers_start_done(&worker->broker->workers, &worker->owner);
}

static void on_report(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct gcl_worker_process *worker = io->data;

	(void)loop;
	(void)events;
	report_read(worker);
	if (worker->report[0] == GCL_HANDOVER_READY) {
		prepared(worker);
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
	gcl_workers_start_failed(workers, reason, hopeless);
}

static void session_log(const struct gcl_worker_process *worker, int status)
{
	char how[96];

	status_describe(status, how, sizeof how);
	if (status == 0 || worker->state == GCL_WORKER_ENDING)
		gcl_log_info(broker, "session %ju: %s: ended after %.3f s",
			     (uintmax_t)worker->session, worker->title,
			     gcl_clock() - worker->serving_since);
	else
		gcl_log_error(broker, "session %ju: %s: worker %d %s; other sessions go on",
			      (uintmax_t)worker->session, worker->title, (int)worker->pid, how);
}

/* Takes @worker down. Whoever had the session learns of it last, when it can start another. */
static void reaped_serving(struct gcl_worker_process *worker, int status)
{
	struct gcl_guest *guest = worker->guest;

	if (worker->session)
		session_log(worker, status);
	worker_destroy(worker);
	if (guest)
		guest->ops->ended(guest, status);
}

static void on_reaped(struct ev_loop *loop, struct ev_child *child, int events)
{
	struct gcl_worker_process *worker = child->data;
	struct gcl_broker *broker = worker->broker;
	struct gcl_owner owner = worker->owner;

	(void)loop;
	(void)events;
	if (WIFSTOPPED(child->rstatus) || WIFCONTINUED(child->rstatus)) {
		if (worker->guest && worker->guest->ops->stopped)
			worker->guest->ops->stopped(worker->guest, WIFSTOPPED(child->rstatus));
		return;
	}
	if (worker->state == GCL_WORKER_ENDING || worker->state == GCL_WORKER_SERVING)
		reaped_serving(worker, child->rstatus);
	else
		reaped_starting(worker, child->rstatus);
	gcl_workers_gone(&broker->workers, &owner);
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

static int process_start(struct gcl_worker_process *worker, char *reason, size_t reason_size)
{
	const struct gcl_config *config = &worker->broker->config;
	struct gcl_workers *workers = &worker->broker->workers;
	int err = gcl_cache_prepare(&workers->cache, config->cache_dir, &worker->owner);

	if (err == -EMFILE || err == -ENFILE || err == -ENOMEM) {
		snprintf(reason, reason_size, "guestcld can't start a worker: %s", strerror(-err));
		return err;
	}
	if (err < 0) {
		snprintf(reason, reason_size,
			 "guestcld can't make the kernel cache %.90s/%s: %s; make room or set "
			 "cache-dir in guestcld.conf",
			 config->cache_dir, worker->owner.name, strerror(-err));
		return err;
	}
	return gcl_spawn(config, &worker->owner, &worker->pid, &worker->socket, reason,
			 reason_size);
}

int gcl_worker_create(struct gcl_workers *workers, const struct gcl_owner *owner,
		      struct gcl_worker_process **out, char *reason, size_t reason_size)
{
	struct gcl_broker *broker = workers->broker;
	_cleanup_free_ struct gcl_worker_process *worker = calloc(1, sizeof *worker);
	int err;

	if (!worker) {
		snprintf(reason, reason_size, "guestcld has no memory left");
		return -ENOMEM;
	}
	worker->broker = broker;
	worker->owner = *owner;
	err = process_start(worker, reason, reason_size);
	if (err < 0)
		return err == -EAGAIN ? -ENOBUFS : err; /* fork: too many processes */
	gcl_list_append(&workers->list, &worker->link);
	workers->count++;
	ev_io_init(&worker->readable, on_report, worker->socket, EV_READ);
	worker->readable.data = worker;
	ev_io_start(broker->loop, &worker->readable);
	ev_child_init(&worker->child, on_reaped, worker->pid, 1);
	worker->child.data = worker;
	ev_child_start(broker->loop, &worker->child);
	ev_timer_init(&worker->watchdog, on_watchdog, 0., 0.);
	worker->watchdog.data = worker;
	state_set(worker, GCL_WORKER_STARTING);
	watch(worker, START_WATCHDOG);
	*out = steal_pointer(&worker);
	return 0;
}

int gcl_worker_serve(struct gcl_worker_process *worker, struct gcl_guest *guest)
{
	struct gcl_workers *workers = &worker->broker->workers;
	int err = gcl_greeting_pass(&guest->greeting, worker->socket);

	if (err < 0) {
		gcl_log_warn(broker, "can't pass a guest to worker %d: %s", (int)worker->pid,
			     strerror(-err));
		if (err == -EPIPE || err == -ECONNRESET || err == -EAGAIN)
			gcl_worker_end(worker); /* the worker's fault: it is gone or stuck */
		return err == -EAGAIN ? -EPIPE : err;
	}
	worker->session = ++workers->sessions;
	memcpy(worker->title, guest->who, sizeof worker->title);
	worker->guest = guest->ops->ended ? guest : NULL;
	state_set(worker, GCL_WORKER_SERVING);
	worker->serving_since = worker->since;
	gcl_log_info(broker, "session %ju: %s: served by worker %d", (uintmax_t)worker->session,
		     worker->title, (int)worker->pid);
	gcl_workers_served(workers, &guest->owner);
	return 0;
}
