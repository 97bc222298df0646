/* SPDX-License-Identifier: MIT */
/*
 * Guests, from their connection on until a worker has them.
 */
#ifndef GCL_GUESTS_H
#define GCL_GUESTS_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "local.h"
#include "owner.h"
#include "tls-front.h"

struct gcl_broker;

/* One line for a guest and the log. */
#define GCL_REASON_MAX sizeof(((struct gcl_hello_reply *)0)->text)

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

#endif
