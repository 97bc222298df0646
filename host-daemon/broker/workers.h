/* SPDX-License-Identifier: MIT */
/*
 * Workers: their processes, and which guest each has.
 */
#ifndef GCL_WORKERS_H
#define GCL_WORKERS_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "account.h"
#include "base/list.h"
#include "base/state.h"
#include "cache.h"
#include "config.h"
#include "end.h"
#include "guests.h"
#include "moves.h"
#include "note.h"
#include "page.h"
#include "placing.h"

struct gcl_broker;
struct gcl_workers;

/* ------------------------------------------------------------ devices (devices.c) */

/* What workers found on this host. */
struct gcl_devices {
	unsigned count;
	struct gcl_page_device list[GCL_PAGE_DEVICES_MAX];
	unsigned left_out; /* that guests aren't offered */
};

/** gcl_devices_take() - a worker that has had no guest yet has described them in @page. Logs which
 * are left out, when there are others than before. */
void gcl_devices_take(struct gcl_devices *devices, const struct gcl_page *page);

/* ------------------------------------------------------------ worker processes (spawn.c) */

/**
 * gcl_spawn() - start a worker process for @owner.
 * @socket: set to the broker's end of the socketpair
 * @page: a memfd with the worker's page, lent
 * @reason: why it failed
 *
 * An error of exec comes back over the socket as GCL_HANDOVER_FAILED. Return: 0 or -errno.
 */
int gcl_spawn(const struct gcl_config *config, const struct gcl_owner *owner, int page, pid_t *pid,
	      int *socket, char *reason, size_t reason_size);

/** gcl_spawn_uid() - the user that its process will be. */
uid_t gcl_spawn_uid(const struct gcl_config *config);

/* ------------------------------------------------------------ one worker (worker.c) */

enum gcl_worker_state {
	GCL_WORKER_STARTING,
	GCL_WORKER_IDLE,
	GCL_WORKER_SERVING,
	GCL_WORKER_ENDING, /* told to go */
};

/* How far its session thread had got when it was last looked at. */
struct gcl_progress {
	uint64_t steps, done;
	ev_tstamp stuck; /* it has been at the same thing for so long */
};

struct gcl_worker_process {
	struct gcl_list link;
	struct gcl_broker *broker;
	enum gcl_worker_state state;
	bool promised; /* starting, and a waiting guest counts on it */
	pid_t pid;
	int socket;		     /* -1 when told to go */
	struct gcl_owner owner;	     /* whose cache it uses */
	struct gcl_account *account; /* of the owner */
	struct gcl_allowance allowance;
	struct gcl_lease_client leases[GCL_PAGE_DEVICES_MAX];
	int page_fd;		 /* behind @page */
	struct gcl_page *page;	 /* shared with the process */
	struct gcl_guest *guest; /* to be told of the end; or NULL */
	uint64_t session;
	uint64_t heap_given; /* of its account; 0: its session's heap is not limited */
	struct gcl_progress progress;
	bool stopped;			/* by SIGSTOP */
	enum gcl_end_reason end_reason; /* it was told to end its session; or GCL_END_NONE */
	char title[sizeof((struct gcl_guest *)0)->who]; /* of the guest, for the log */
	char program[64];				/* as the guest calls itself */
	enum gcl_greeting_kind channel;
	struct gcl_peer peer; /* as the guest's */
	bool paused;	      /* by the operator, this session alone */
	ev_tstamp since;      /* of its state */
	ev_tstamp serving_since;
	struct gcl_worker_moves moves;
	struct gcl_placed placed;
	char report[1 + GCL_REASON_MAX];
	size_t report_size;
	struct ev_io readable;
	struct ev_child child;
	struct ev_timer watchdog;
};

/** gcl_worker_create() - start a worker process for @owner. Return: 0, or -errno and @reason. */
int gcl_worker_create(struct gcl_workers *workers, const struct gcl_owner *owner,
		      struct gcl_worker_process **out, char *reason, size_t reason_size);

/** gcl_worker_serve() - pass the guest to the idle worker. Return: 0 or -errno: try another. */
int gcl_worker_serve(struct gcl_worker_process *worker, struct gcl_guest *guest);

/** gcl_worker_adopt() - go on with one that serves, of which what is saved over exec is known; that
 * has no account if it couldn't be read. Return: 0; -errno: its socket is closed, so that it goes,
 * and @worker is the caller's. */
int gcl_worker_adopt(struct gcl_worker_process *worker);

/** gcl_worker_end() - tell it to go, by the end of its socket. */
void gcl_worker_end(struct gcl_worker_process *worker);

/**
 * gcl_worker_end_because() - end its session with a reason that its guest is told.
 * @value: the limit that was exceeded, in ms or bytes as the reason has it; else 0
 *
 * It goes by itself within a second, or is killed. One that serves nobody, or can't be told, goes
 * as by gcl_worker_end(). Return: 0, or -EALREADY when it is being ended.
 */
int gcl_worker_end_because(struct gcl_worker_process *worker, enum gcl_end_reason reason,
			   uint64_t value);

/** gcl_worker_expect_end() - it seems to be going: see to it that it does. */
void gcl_worker_expect_end(struct gcl_worker_process *worker);

/** gcl_worker_kill() - end it at once; it may be stopped. */
void gcl_worker_kill(struct gcl_worker_process *worker);

/** gcl_worker_pause_tell() - it or its account was paused, or goes on. */
void gcl_worker_pause_tell(struct gcl_worker_process *worker);

/** gcl_worker_note() - tell the worker something, without waiting. Return: 0 or -errno. */
int gcl_worker_note(struct gcl_worker_process *worker, const struct gcl_note *note);

/* What a worker's note does. Return: 0, or -errno: the worker broke the rules, and is killed. */
typedef int gcl_worker_note_handler(struct gcl_worker_process *worker, const struct gcl_note *note);

#define GCL_NOTE_DECLARE(constant, name) gcl_worker_note_handler gcl_worker_note_##name;
GCL_NOTES_TO_BROKER(GCL_NOTE_DECLARE)
#undef GCL_NOTE_DECLARE

/** gcl_clock() - seconds of CLOCK_MONOTONIC; ev_now() follows the wall clock. */
ev_tstamp gcl_clock(void);

/* ------------------------------------------------------------ limits of time (watchdog.c) */

struct gcl_watchdog {
	struct ev_timer timer; /* while there are sessions */
	ev_tstamp looked;
};

void gcl_watchdog_init(struct gcl_broker *broker);

/** gcl_watchdog_begin() - a worker gets its guest, or is taken over with one. */
void gcl_watchdog_begin(struct gcl_worker_process *worker);

/** gcl_watchdog_configure() - settings or limits of @account may have changed: tell its workers. */
void gcl_watchdog_configure(struct gcl_broker *broker, const struct gcl_account *account);

/* ------------------------------------------------------------ over exec (worker-takeover.c) */

/** gcl_worker_save(), gcl_worker_restore() - one that serves. Return: 0, or -errno: its socket is
 * closed, so that it goes. */
void gcl_worker_save(const struct gcl_worker_process *worker, struct gcl_state *state);
int gcl_worker_restore(struct gcl_workers *workers, struct gcl_state *state);

/* ------------------------------------------------------------ workers (workers.c) */

struct gcl_workers {
	struct gcl_broker *broker;
	struct gcl_list list;
	size_t count;
	struct gcl_cache cache;
	struct gcl_owner spare_owner; /* of the last guest */
	uint64_t sessions;	      /* numbers given so far */
	/* Starts that came to nothing, in a row; the next is not tried before @not_before. */
	unsigned failures;
	ev_tstamp not_before;
	bool hopeless; /* waiting for the next try makes no sense: refuse with @reason */
	char reason[GCL_REASON_MAX];
	char lacks[GCL_REASON_MAX]; /* stages of the jail that are missing, as last told */
	struct ev_timer tend;
};

void gcl_workers_init(struct gcl_workers *workers, struct gcl_broker *broker);

/** gcl_workers_idle() - a prepared worker for @owner, or NULL; lends it. */
struct gcl_worker_process *gcl_workers_idle(struct gcl_workers *workers,
					    const struct gcl_owner *owner);

/** gcl_workers_unpromise() - forget which starting workers are counted on. */
void gcl_workers_unpromise(struct gcl_workers *workers);

/**
 * gcl_workers_promise() - count on a starting worker for @owner, starting one if need be.
 *
 * Return: 0, -EAGAIN when it can't be started just yet (gcl_guests_serve() is called when it can),
 * or another -errno and @reason: there will be none.
 */
int gcl_workers_promise(struct gcl_workers *workers, const struct gcl_owner *owner, char *reason,
			size_t reason_size);

/** gcl_workers_sessions() - sessions being served, of @owner or (NULL) of all. */
size_t gcl_workers_sessions(const struct gcl_workers *workers, const struct gcl_owner *owner);

/** gcl_workers_find() - who serves the session of that number, lent; or NULL. */
struct gcl_worker_process *gcl_workers_find(struct gcl_workers *workers, uint64_t session);

/** gcl_workers_owns() - whether the process @pid is one of the workers. */
bool gcl_workers_owns(const struct gcl_workers *workers, pid_t pid);

/* What worker.c tells: a worker is prepared, failed to start (@hopeless: the next one will, too),
 * got a guest, is gone. */
void gcl_workers_start_done(struct gcl_workers *workers, const struct gcl_owner *owner);
void gcl_workers_start_failed(struct gcl_workers *workers, const char *reason, bool hopeless);
void gcl_workers_served(struct gcl_workers *workers, const struct gcl_owner *owner);
void gcl_workers_gone(struct gcl_workers *workers, const struct gcl_owner *owner);

/** gcl_workers_renew() - the configuration has changed: replace idle workers, forget failures. */
void gcl_workers_renew(struct gcl_workers *workers);

/** gcl_workers_prepare() - see to it that spare workers get started, after @delay seconds. */
void gcl_workers_prepare(struct gcl_workers *workers, ev_tstamp delay);

/** gcl_workers_end_owner() - tell the workers of @owner to go, its sessions too. */
void gcl_workers_end_owner(struct gcl_workers *workers, const struct gcl_owner *owner);

/** gcl_workers_end() - tell all workers to go, sessions too. */
void gcl_workers_end(struct gcl_workers *workers);

/** gcl_workers_end_of() - tell the sessions of @owner to go. */
void gcl_workers_end_of(struct gcl_workers *workers, const struct gcl_owner *owner);

/** gcl_workers_kill() - SIGKILL for all that are left. */
void gcl_workers_kill(struct gcl_workers *workers);

void gcl_workers_fini(struct gcl_workers *workers);

#endif
