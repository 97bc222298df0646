// SPDX-License-Identifier: MIT
/*
 * One worker process, from its start until it is reaped.
 *
 * What a start or an end means for the others is workers.c's business.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/log.h"
#include "broker.h"
#include "handover.h"

#define START_WATCHDOG 30.
#define END_WATCHDOG   2.
#define TOLD_WATCHDOG  1. /* for one that first tells its guest why */

/* Notes of a worker before other events get their turn. */
#define NOTES_AT_A_TIME 64

ev_tstamp gcl_clock(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (ev_tstamp)time.tv_sec + (ev_tstamp)time.tv_nsec * 1e-9;
}

/* What it shares with the process and with its account's others; also for one half made. */
static void shared_fini(struct gcl_worker_process *worker)
{
	if (worker->heap_given && worker->account)
		gcl_account_heap_give(worker->account, worker->heap_given);
	gcl_account_drop(worker->account, worker->page);
	if (worker->page)
		munmap(worker->page, sizeof *worker->page);
	gcl_cleanup_close(&worker->page_fd);
}

static int page_map(struct gcl_worker_process *worker)
{
	void *page = mmap(NULL, sizeof *worker->page, PROT_READ | PROT_WRITE, MAP_SHARED,
			  worker->page_fd, 0);

	if (page == MAP_FAILED)
		return -errno;
	worker->page = page;
	return 0;
}

/* Sealed: a worker that made it shorter would have us die of SIGBUS. Return: 0 or -errno. */
static int page_create(struct gcl_worker_process *worker)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	int fd = memfd_create("guestcl-page", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	worker->page_fd = fd;
	if (fd < 0 || ftruncate(fd, sizeof *worker->page) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0)
		return -errno;
	return page_map(worker);
}

static void worker_destroy(struct gcl_worker_process *worker)
{
	struct ev_loop *loop = worker->broker->loop;

	ev_io_stop(loop, &worker->readable);
	ev_child_stop(loop, &worker->child);
	ev_timer_stop(loop, &worker->watchdog);
	gcl_moves_forget(worker);
	gcl_ledger_close(worker);
	gcl_lease_close(worker);
	gcl_list_remove(&worker->link);
	worker->broker->workers.count--;
	if (worker->socket >= 0)
		close(worker->socket);
	shared_fini(worker);
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

int gcl_worker_end_because(struct gcl_worker_process *worker, enum gcl_end_reason reason,
			   uint64_t value)
{
	const struct gcl_note note = {.type = GCL_NOTE_END, .device = reason, .value = value};
	char text[GCL_END_TEXT_MAX];

	if (worker->state == GCL_WORKER_ENDING || worker->end_reason)
		return -EALREADY;
	gcl_end_describe(reason, value, text, sizeof text);
	if (worker->state == GCL_WORKER_SERVING)
		gcl_log_warn(broker, "session %ju: %s: is ended: %s", (uintmax_t)worker->session,
			     worker->title, text);
	if (worker->state != GCL_WORKER_SERVING || gcl_worker_note(worker, &note) < 0) {
		gcl_worker_end(worker);
		return 0;
	}
	worker->end_reason = reason;
	watch(worker, TOLD_WATCHDOG);
	return 0;
}

/* The worker has found that a limit was exceeded. */
int gcl_worker_note_end_want(struct gcl_worker_process *worker, const struct gcl_note *note)
{
	const struct gcl_end *end = gcl_end_get(note->device);

	if (!end || end->finder != GCL_END_BY_WORKER)
		return -EPROTO;
	gcl_worker_end_because(worker, (enum gcl_end_reason)note->device, note->value);
	return 0;
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

void gcl_worker_pause_tell(struct gcl_worker_process *worker)
{
	_Atomic uint32_t *word = &worker->page->paused;

	atomic_store(word, worker->paused || worker->account->paused);
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
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

/* Each other set of missing stages once. A worker says this before it knows its guest. */
static void lacks_log(struct gcl_worker_process *worker)
{
	struct gcl_workers *workers = &worker->broker->workers;
	const char *lacks = worker->report + 1;

	if (strcmp(lacks, workers->lacks) == 0)
		return;
	snprintf(workers->lacks, sizeof workers->lacks, "%s", lacks);
	if (*lacks)
		gcl_log_warn(broker,
			     "workers are jailed without: %s; SECURITY.md says what that means",
			     lacks);
}

static void prepared(struct gcl_worker_process *worker)
{
	struct ev_loop *loop = worker->broker->loop;

	ev_io_stop(loop, &worker->readable);
	watch(worker, 0.);
	lacks_log(worker);
	gcl_devices_take(&worker->broker->devices, worker->page);
	gcl_log_debug(broker, "worker %d for %s prepared in %.0f ms", (int)worker->pid,
		      worker->owner.name, 1000. * (gcl_clock() - worker->since));
	state_set(worker, GCL_WORKER_IDLE);
	worker->promised = false;
	gcl_workers_start_done(&worker->broker->workers, &worker->owner);
}

/* ------------------------------------------------------------ notes */

static gcl_worker_note_handler *const note_handlers[GCL_NOTE_LIMIT] = {
#define NOTE_HANDLER(constant, name) [GCL_NOTE_##constant] = gcl_worker_note_##name,
	GCL_NOTES_TO_BROKER(NOTE_HANDLER)
#undef NOTE_HANDLER
};

/* Return: 1, 0 when there is none now, -EPIPE at the end, -errno. */
static int note_read(struct gcl_worker_process *worker)
{
	struct gcl_note note;
	int err = gcl_record_receive(worker->socket, &note, sizeof note);

	if (err <= 0)
		return err;
	if (note.type >= GCL_NOTE_LIMIT || !note_handlers[note.type])
		return -EPROTO;
	err = note_handlers[note.type](worker, &note);
	return err < 0 ? err : 1;
}

static void on_note(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct gcl_worker_process *worker = io->data;
	int n = 1;

	(void)loop;
	(void)events;
	/* A note may end the worker, and its socket. */
	for (int i = 0; i < NOTES_AT_A_TIME && n > 0 && worker->socket >= 0; i++)
		n = note_read(worker);
	if (n >= 0)
		return;
	ev_io_stop(worker->broker->loop, &worker->readable);
	if (n == -EPIPE || n == -ECONNRESET)
		return; /* why, the exit status tells */
	gcl_log_error(broker, "session %ju: %s: worker %d breaks the rules (%s): it is killed",
		      (uintmax_t)worker->session, worker->title, (int)worker->pid, strerror(-n));
	gcl_worker_kill(worker);
}

int gcl_worker_note(struct gcl_worker_process *worker, const struct gcl_note *note)
{
	if (worker->socket < 0)
		return -EPIPE;
	if (send(worker->socket, note, sizeof *note, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

/* ------------------------------------------------------------ start and end */

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
	if (status == 0 || worker->state == GCL_WORKER_ENDING || worker->end_reason)
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
		worker->stopped = WIFSTOPPED(child->rstatus);
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
	int err = gcl_cache_prepare(&workers->cache, config->cache_dir, &worker->owner,
				    gcl_spawn_uid(config));

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
	err = page_create(worker);
	if (err < 0) {
		snprintf(reason, reason_size, "guestcld can't start a worker: %s", strerror(-err));
		return err;
	}
	err = gcl_spawn(config, &worker->owner, worker->page_fd, &worker->pid, &worker->socket,
			reason, reason_size);
	if (err == 0)
		gcl_cgroup_join(&worker->broker->cgroup, worker->account, worker->pid);
	return err;
}

/* It has a process: watch that. */
static void worker_begin(struct gcl_worker_process *worker,
			 void (*readable)(struct ev_loop *, struct ev_io *, int))
{
	struct gcl_workers *workers = &worker->broker->workers;
	struct ev_loop *loop = worker->broker->loop;

	gcl_list_append(&workers->list, &worker->link);
	workers->count++;
	ev_io_init(&worker->readable, readable, worker->socket, EV_READ);
	worker->readable.data = worker;
	ev_io_start(loop, &worker->readable);
	ev_child_init(&worker->child, on_reaped, worker->pid, 1);
	worker->child.data = worker;
	ev_child_start(loop, &worker->child);
	ev_timer_init(&worker->watchdog, on_watchdog, 0., 0.);
	worker->watchdog.data = worker;
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
	worker->page_fd = -1;
	worker->account = gcl_account_take(broker, owner);
	err = worker->account ? process_start(worker, reason, reason_size) : -ENOMEM;
	if (err < 0)
		shared_fini(worker);
	if (err < 0)
		return err == -EAGAIN ? -ENOBUFS : err; /* fork: too many processes */
	worker_begin(worker, on_report);
	state_set(worker, GCL_WORKER_STARTING);
	watch(worker, START_WATCHDOG);
	*out = steal_pointer(&worker);
	return 0;
}

int gcl_worker_serve(struct gcl_worker_process *worker, struct gcl_guest *guest)
{
	struct gcl_workers *workers = &worker->broker->workers;
	int err;

	gcl_ledger_open(worker);
	gcl_lease_open(worker);
	gcl_worker_pause_tell(worker);
	gcl_watchdog_begin(worker);
	atomic_store_explicit(&worker->page->limits.heap, guest->heap_given, memory_order_relaxed);
	err = gcl_greeting_pass(&guest->greeting, worker->socket);

	if (err < 0) {
		gcl_log_warn(broker, "can't pass a guest to worker %d: %s", (int)worker->pid,
			     strerror(-err));
		if (err == -EPIPE || err == -ECONNRESET || err == -EAGAIN)
			gcl_worker_end(worker); /* the worker's fault: it is gone or stuck */
		return err == -EAGAIN ? -EPIPE : err;
	}
	worker->heap_given = guest->heap_given;
	guest->heap_given = 0;
	worker->session = ++workers->sessions;
	memcpy(worker->title, guest->who, sizeof worker->title);
	snprintf(worker->program, sizeof worker->program, "%.*s",
		 (int)sizeof guest->greeting.hello.program, guest->greeting.hello.program);
	worker->channel = guest->greeting.kind;
	worker->peer = guest->peer;
	worker->guest = guest->ops->ended ? guest : NULL;
	state_set(worker, GCL_WORKER_SERVING);
	worker->serving_since = worker->since;
	ev_set_cb(&worker->readable, on_note);
	ev_io_start(worker->broker->loop, &worker->readable);
	gcl_log_info(broker, "session %ju: %s: served by worker %d", (uintmax_t)worker->session,
		     worker->title, (int)worker->pid);
	gcl_workers_served(workers, &guest->owner);
	return 0;
}

/* ------------------------------------------------------------ taken over */

/* It may write there before any worker is started: see that the size is looked after, and that
 * other daemons know of us. */
static void cache_adopt(struct gcl_worker_process *worker)
{
	struct gcl_broker *broker = worker->broker;
	int err = gcl_cache_prepare(&broker->workers.cache, broker->config.cache_dir,
				    &worker->owner, gcl_spawn_uid(&broker->config));

	if (err < 0)
		gcl_log_warn(broker, "can't look after the kernel cache %s/%s: %s",
			     broker->config.cache_dir, worker->owner.name, strerror(-err));
	gcl_cache_guard_wake(&broker->cache_guard);
}

int gcl_worker_adopt(struct gcl_worker_process *worker)
{
	int err = worker->account ? page_map(worker) : -EINVAL;

	if (err < 0) {
		gcl_cleanup_close(&worker->socket);
		shared_fini(worker);
		return err;
	}
	worker->state = GCL_WORKER_SERVING;
	gcl_ledger_adopt(worker);
	gcl_lease_open(worker);
	worker_begin(worker, on_note);
	gcl_watchdog_begin(worker);
	cache_adopt(worker);
	if (worker->end_reason)
		watch(worker, TOLD_WATCHDOG);
	return 0;
}
