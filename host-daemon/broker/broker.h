/* SPDX-License-Identifier: MIT */
/*
 * guestcld, the broker: lets guests in and gives each a worker of its own.
 *
 * Theory of operation. Everything happens in one thread, on one libev loop. The listener accepts
 * connections, whose greeting is read and checked within a time limit (conn.c). However it came, a
 * guest that is let in waits for a prepared worker of its owner (guest.c asks workers.c), and is
 * passed to it with all its descriptors: from then on only the worker process is known, until it
 * exits. A spare worker is prepared some time after that, so that it doesn't
 * take the CPU from the guest that has just started.
 *
 * The broker loads no OpenCL and reads nothing of what a guest sends but the greeting. What fails
 * here (descriptors, memory, disk) costs the guest at hand a refusal that says so, and never
 * another guest's session. Nothing is retried without a pause.
 */
#ifndef GCL_BROKER_H
#define GCL_BROKER_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "account.h"
#include "base/list.h"
#include "base/state.h"
#include "cgroup.h"
#include "config.h"
#include "end.h"
#include "helper.h"
#include "local.h"
#include "moves.h"
#include "note.h"
#include "options.h"
#include "override.h"
#include "owner.h"
#include "page.h"
#include "placing.h"
#include "servers.h"
#include "tls-front.h"

struct gcl_broker;
struct gcl_workers;

/* One line for a guest and the log. */
#define GCL_REASON_MAX sizeof(((struct gcl_hello_reply *)0)->text)

/* ------------------------------------------------------------ the socket (socket.c) */

/* A bound and listening socket and its file, which is removed only if it is still ours. */
struct gcl_socket {
	struct gcl_list link; /* all that are open */
	int fd;
	bool lent; /* by the service manager: the file is its own */
	char path[sizeof((struct sockaddr_un *)0)->sun_path];
	dev_t device;
	ino_t inode;
};

/* Where a socket is to be, and who may connect. */
struct gcl_socket_place {
	const char *path;
	unsigned mode;
	const char *group;	   /* empty: the daemon's own */
	const char *initial_group; /* which may be missing on this host */
	const char *setting;	   /* that the path comes from */
	const char *group_setting;
};

/**
 * gcl_socket_open() - bind and listen.
 *
 * One that the service manager has opened at that path is used as it is. A socket file that no one
 * serves is replaced. Return: 0 or -errno; errors are logged.
 */
int gcl_socket_open(struct gcl_socket *sock, const struct gcl_socket_place *place);

/** gcl_sockets_save() - all that are open, for gcl_sockets_restore(). */
void gcl_sockets_save(struct gcl_state *state);

/** gcl_sockets_restore() - gcl_socket_open() finds these; gcl_sockets_settle() closes the rest. */
void gcl_sockets_restore(struct gcl_state *state);
void gcl_sockets_settle(void);

/** gcl_socket_close() - stop listening and remove the file; may be called twice. */
void gcl_socket_close(struct gcl_socket *sock);

/* ------------------------------------------------------------ socket activation (activation.c) */

/** gcl_activation_init() - take note of the sockets that the service manager passes, once, before
 * anything is opened. */
void gcl_activation_init(void);

/** gcl_activation_take() - a listening socket that was passed for @path; owned by the caller.
 * Return: -1 if there is none. */
int gcl_activation_take(const char *path);

/* ------------------------------------------------------------ accepting (listener.c) */

struct gcl_listener {
	struct gcl_broker *broker;
	struct gcl_socket socket;
	int reserve; /* a descriptor to give up, so that a guest can be told there are none */
	bool starved;
	struct ev_io readable;
	struct ev_timer pause;
};

/** gcl_listener_open() - listen and accept. Return: 0 or -errno; errors are logged. */
int gcl_listener_open(struct gcl_listener *listener, struct gcl_broker *broker);
void gcl_listener_close(struct gcl_listener *listener);

/** gcl_listener_hold() - accept no more until gcl_listener_resume(). */
void gcl_listener_hold(struct gcl_listener *listener);
void gcl_listener_resume(struct gcl_listener *listener);

/* ------------------------------------------------------------ operators (control.h) */

struct gcl_control {
	struct gcl_broker *broker;
	struct gcl_socket socket;
	struct ev_io readable;
	struct ev_timer pause; /* while there is nothing to accept with */
	struct gcl_list clients;
	size_t count;
};

/* ------------------------------------------------------------ guests of VMs (entrance.h) */

struct gcl_vm;

/* A socket for guests of one VM, or of all. */
struct gcl_entrance {
	struct gcl_broker *broker; /* NULL: it isn't open */
	struct gcl_vm *vm;	   /* NULL: the peer's CID tells */
	enum gcl_greeting_kind kind;
	const char *name;	  /* how its guests come, for the log */
	struct gcl_socket socket; /* AF_VSOCK has no path */
	struct ev_io readable;
	struct ev_timer pause;
};

/* ------------------------------------------------------------ guests (guest.c) */

struct gcl_guest;
struct gcl_worker_process;

/* What whoever made a guest is told, once: refused or served. The guest is its own again then. */
struct gcl_guest_ops {
	/* Tells the guest. */
	void (*refused)(struct gcl_guest *guest, enum gcl_hello_status status, const char *reason);
	/* The worker has the greeting with all its descriptors. */
	void (*served)(struct gcl_guest *guest, struct gcl_worker_process *worker);
	/* The worker, which was served, has stopped on SIGSTOP, or goes on. May be NULL. */
	void (*stopped)(struct gcl_guest *guest, bool stopped);
	/* The worker, which was served, has been reaped; @status as wait() has it. NULL: the guest
	 * is not kept after it was served. */
	void (*ended)(struct gcl_guest *guest, int status);
};

/* Another machine, as guestcl-tls knows it. */
struct gcl_peer {
	uint64_t number; /* 0: the guest doesn't come from another machine */
	char from[sizeof((struct gcl_front_guest *)0)->from];
};

/* A guest until it is passed to a worker. */
struct gcl_guest {
	struct gcl_list link; /* in waiting */
	struct gcl_broker *broker;
	const struct gcl_guest_ops *ops;
	struct gcl_owner owner;
	struct gcl_peer peer;
	char who[192];		      /* "uid 1000, pid 77, clinfo", for the log */
	struct gcl_greeting greeting; /* owns the connection and all descriptors */
	bool waiting;		      /* greeted and let in */
	uint64_t heap_given;	      /* of its account; 0: no limit */
	struct ev_timer timeout;
};

struct gcl_guests {
	struct gcl_list waiting; /* let in, in the order of their turn */
	size_t waiting_count;
};

void gcl_guests_init(struct gcl_guests *guests);

void gcl_guest_init(struct gcl_guest *guest, struct gcl_broker *broker,
		    const struct gcl_guest_ops *ops, const struct gcl_owner *owner);

/** gcl_guest_fini() - close its descriptors, and let it wait no more; may be called twice. */
void gcl_guest_fini(struct gcl_guest *guest);

/** gcl_guest_admit() - its greeting is complete and checked: refuse it, or let it wait for a
 * worker. Its ops may be called before this returns. */
void gcl_guest_admit(struct gcl_guest *guest);

void gcl_guest_refuse(struct gcl_guest *guest, enum gcl_hello_status status, const char *format,
		      ...) __attribute__((format(printf, 3, 4)));

/** gcl_guests_serve() - give workers to waiting guests as far as there are any; start others. */
void gcl_guests_serve(struct gcl_broker *broker);

/** gcl_guests_refuse() - refuse every waiting guest with @reason. */
void gcl_guests_refuse(struct gcl_broker *broker, enum gcl_hello_status status, const char *reason);

/** gcl_out_of_resources() - whether an error is ours, not the guest's. */
bool gcl_out_of_resources(int err);

/* ------------------------------------------------------------ connections (conn.c) */

struct gcl_conns {
	struct gcl_list greeting; /* half-open */
	size_t count;
};

void gcl_conns_init(struct gcl_conns *conns);

/** gcl_conn_accept() - take @socket over, a Unix socket whose peer's user is the owner, and read
 * its greeting when it comes. */
void gcl_conn_accept(struct gcl_broker *broker, int socket);

/** gcl_conn_accept_of() - the same for a socket that came by a way that tells the @owner; @who
 * is for the log ("VM web1"). @from: NULL for a guest of this machine */
void gcl_conn_accept_of(struct gcl_broker *broker, int socket, enum gcl_greeting_kind kind,
			const struct gcl_owner *owner, const char *who,
			const struct gcl_peer *from);

/** gcl_conns_wait() - whether those who come now have to wait: too many have not greeted, or a new
 * guestcld is about to take over. */
bool gcl_conns_wait(const struct gcl_broker *broker);

/** gcl_conns_end() - refuse those of @owner that have not greeted yet, and those that wait. */
void gcl_conns_end(struct gcl_broker *broker, const struct gcl_owner *owner, const char *reason);

/** gcl_conns_refuse() - refuse all that have not greeted yet. */
void gcl_conns_refuse(struct gcl_broker *broker, const char *reason);

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

/* ------------------------------------------------------------ libvirt's domains (libvirt.c) */

/* The longest line of the follower that is read; names and numbers are shorter. */
#define GCL_LIBVIRT_LINE_MAX 1024u

struct gcl_libvirt {
	struct gcl_helper helper;			   /* the follower */
	char uri[sizeof((struct gcl_config *)0)->libvirt]; /* followed; empty: none */
	char program[PATH_MAX];
	char vm_dir[sizeof((struct gcl_config *)0)->vm_dir];
	struct gcl_list domains; /* that are attached, as far as was told */
	size_t domain_count;
	int out; /* of the follower; -1 */
	struct ev_io readable;
	char buffer[4096];
	size_t used;
	bool skip; /* the rest of a line that is too long */
};

void gcl_libvirt_init(struct gcl_libvirt *libvirt, struct gcl_broker *broker);

/** gcl_libvirt_configure() - follow what the configuration names. Errors are logged. */
void gcl_libvirt_configure(struct gcl_libvirt *libvirt);

/** gcl_libvirt_adopt() - a VM that was restored is a domain's. */
void gcl_libvirt_adopt(struct gcl_libvirt *libvirt, const char *id);

/** gcl_libvirt_fini() - end the follower and forget its domains; their VMs stay. */
void gcl_libvirt_fini(struct gcl_libvirt *libvirt);

/* ------------------------------------------------------------ numbers by HTTP (web.c) */

struct gcl_web {
	struct gcl_helper helper;
	char listen[sizeof((struct gcl_config *)0)->web_listen]; /* empty: there is none */
	char token_file[PATH_MAX];
	char program[PATH_MAX];
};

void gcl_web_init(struct gcl_web *web, struct gcl_broker *broker);

/** gcl_web_configure() - serve as the configuration says. Errors are logged. */
void gcl_web_configure(struct gcl_web *web);

/** gcl_web_fini() - end the process; may be called twice. */
void gcl_web_fini(struct gcl_web *web);

/* ------------------------------------------------------------ guests of other machines (front.c)
 */

struct gcl_front {
	struct gcl_helper helper;
	char listen[sizeof((struct gcl_config *)0)->listen_tls]; /* where it does; empty: nowhere */
	struct ev_io readable;
	struct ev_timer rest;
};

void gcl_front_init(struct gcl_front *front, struct gcl_broker *broker);

/** gcl_front_configure() - serve as the configuration says, with files as they are now. Errors are
 * logged. */
void gcl_front_configure(struct gcl_front *front);

/** gcl_front_save(), gcl_front_restore() - over exec: the process and its sessions go on. */
void gcl_front_save(const struct gcl_front *front, struct gcl_state *state);
void gcl_front_restore(struct gcl_front *front, struct gcl_state *state);

/** gcl_front_fini() - end the process; may be called twice. */
void gcl_front_fini(struct gcl_front *front);

/* ------------------------------------------------------------ etcd's servers (etcd.c) */

enum gcl_etcd_state {
	GCL_ETCD_STATE_OFF,
	GCL_ETCD_STATE_STARTING, /* nothing has been heard of it yet */
	GCL_ETCD_STATE_UP,
	GCL_ETCD_STATE_DOWN, /* what is known goes on being used */
};

struct gcl_etcd {
	struct gcl_helper helper;
	enum gcl_etcd_state state;
	ev_tstamp since;  /* of the state, gcl_clock() */
	char reason[200]; /* why it is down */
	bool full;	  /* some of its servers had no room */
	struct gcl_announcement announcement;
	struct ev_io readable;
	struct ev_timer tick;
};

void gcl_etcd_init(struct gcl_etcd *etcd, struct gcl_broker *broker);

/** gcl_etcd_configure() - follow the etcd of the configuration, with files as they are now. Errors
 * are logged. */
void gcl_etcd_configure(struct gcl_etcd *etcd);

/** gcl_etcd_stop() - have the process take back what it announced, and go; gcl_broker_worker_gone()
 * is called when it has. May be called twice. */
void gcl_etcd_stop(struct gcl_etcd *etcd);

/* ------------------------------------------------------------ a new program (takeover.h) */

struct gcl_takeover {
	bool waiting;	     /* for a moment at which nothing is half done */
	bool holding;	     /* meanwhile: those who come now have to wait */
	ev_tstamp turn;	     /* when that changes */
	uint64_t generation; /* how often it has happened */
	char error[256];     /* why the last try failed; empty: it didn't */
	ev_tstamp until;
	pid_t check; /* asks the new program whether it can; 0 */
	struct ev_child checked;
	struct ev_timer poll, overdue;
};

/* ------------------------------------------------------------ the broker (broker.c) */

struct gcl_broker {
	struct ev_loop *loop;
	const struct gcl_options *options;
	struct gcl_config config;
	struct gcl_listener listener;
	struct gcl_control control;
	struct gcl_takeover takeover;
	ev_tstamp started; /* gcl_clock() */
	uint64_t refused;  /* guests */
	struct gcl_conns conns;
	struct gcl_guests guests;
	struct gcl_workers workers;
	struct gcl_cache_guard cache_guard;
	struct gcl_cgroup cgroup;
	struct gcl_list vms;	   /* struct gcl_vm */
	struct gcl_list accounts;  /* struct gcl_account */
	struct gcl_list overrides; /* struct gcl_override */
	struct gcl_devices devices;
	struct gcl_watchdog watchdog;
	struct gcl_lease_device leases[GCL_PAGE_DEVICES_MAX];
	struct gcl_entrance vsock;
	struct gcl_libvirt libvirt;
	struct gcl_web web;
	struct gcl_front front;
	struct gcl_servers servers;
	struct gcl_etcd etcd;
	struct gcl_moves moves;
	struct gcl_placing placing;
	struct ev_signal signals[4];
	struct ev_timer deadline;
	bool announced; /* the service manager has been told that we serve, or refuse */
	bool serving;	/* a worker has come up */
	bool stopping;
	bool killed;
};

/** gcl_broker_run() - serve until told to stop. Return: 0 or -errno. */
int gcl_broker_run(const struct gcl_options *options, const struct gcl_config *config);

/** gcl_broker_announce() - a worker came up, or (@trouble) failed to: tell, the first time. */
void gcl_broker_announce(struct gcl_broker *broker, const char *trouble);

/** gcl_broker_files_raise() - see to it that as many files may be open as there may have to be. */
void gcl_broker_files_raise(const struct gcl_broker *broker);

/** gcl_broker_worker_gone() - a worker has been reaped; the last one lets a stopping broker end. */
void gcl_broker_worker_gone(struct gcl_broker *broker);

/* ------------------------------------------------------------ service manager (notify.c) */

/** gcl_notify() - tell systemd, if it started us: "READY=1", "STATUS=...". Must not block. */
void gcl_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
