/* SPDX-License-Identifier: MIT */
/*
 * Moves of sessions' queues to GPU servers and back, as far as they are the broker's.
 *
 * Theory of operation. A place is a device of a server; it has a number, by which broker and
 * workers call it, for as long as the daemon lives (move-place.c). A move (move.c) waits for its
 * turn; unless the worker has a session at that place already, a connection is made for one
 * (link.c: by TLS in a process of its own, which relays until either end ends). Then the worker is
 * told, and does the work. It answers with a note. What it has shown meanwhile in its page is taken
 * for numbers that may be anything.
 *
 * A worker that never answers keeps its own move for good, and nobody else's. Connections are
 * bounded by session, and those that are being made by moves at one time.
 *
 * What is asked for by operators is in move-control.c; all of it outlives the program
 * (move-state.c), but for what is to be called when a move ends.
 */
#ifndef GCL_BROKER_MOVES_H
#define GCL_BROKER_MOVES_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/state.h"
#include "helper.h"
#include "move.h"
#include "server-info.h"

struct gcl_broker;
struct gcl_worker_process;
struct json_object;

/* Places that one session can have sessions at, as far as the broker is concerned. */
#define GCL_MOVE_PLACES_MAX 8u

/* Moves that are made at one time; others wait. */
#define GCL_MOVES_AT_ONCE 8u

/* All that wait. */
#define GCL_MOVES_MAX 4096u

/* Place numbers that are given, and servers that are drained. */
#define GCL_PLACES_MAX	4096u
#define GCL_DRAINED_MAX 256u

/* ------------------------------------------------------------ one move (move.c) */

/* What is to move where. Plain data. */
struct gcl_move_order {
	uint64_t queue;			      /* 0: all of the session's */
	char server[GCL_SERVER_NAME_MAX + 1]; /* empty: home */
	uint32_t device;		      /* number of the server's */
	uint32_t free;			      /* GCL_MOVE_FREE is said */
	uint32_t own;			      /* decided by no operator (placing.h) */
	uint32_t from; /* home only from the place of this number; 0: from all */
};

/* How it ended. Plain data; figures are the worker's word. */
struct gcl_move_outcome {
	uint64_t id; /* 0: there was none */
	struct gcl_move_order order;
	uint32_t result; /* enum gcl_move_result; its limit: the worker said nothing */
	char text[256];	 /* one line: how it ended */
	uint64_t bytes, ahead, rest, behind;
	uint64_t took, prepared, pause; /* ns; @prepared: of @took, until it began to copy */
};

typedef void gcl_move_done(void *data, const struct gcl_move_outcome *outcome);

enum gcl_move_phase {
	GCL_MOVE_WAITING, /* for its turn */
	GCL_MOVE_LINKING, /* for the server */
	GCL_MOVE_TOLD,	  /* for the worker */
	GCL_MOVE_LATE,	  /* the same, and nobody else does */
};

struct gcl_link;

struct gcl_move {
	struct gcl_list link; /* in order */
	struct gcl_worker_process *worker;
	uint64_t id;
	struct gcl_move_order order;
	enum gcl_move_phase phase;
	uint32_t place;	       /* number; 0: home */
	bool linked;	       /* the worker got a connection */
	struct gcl_link *made; /* it is being; or NULL */
	uint64_t seen;	       /* of the worker's figures, when they last changed */
	ev_tstamp changed;
	gcl_move_done *done; /* may be NULL */
	void *data;
	struct ev_timer tick;
};

/* Where a worker has a session. It may keep one for a while that it doesn't use. */
struct gcl_worker_place {
	uint32_t number;
	bool used; /* queues moved there, and not all of them home since */
};

/* What the broker knows of one worker's. */
struct gcl_worker_moves {
	struct gcl_move *now; /* or NULL */
	struct gcl_worker_place places[GCL_MOVE_PLACES_MAX];
	unsigned place_count;
	uint64_t done, failed;
	struct gcl_move_outcome last;
};

struct gcl_moves {
	struct gcl_broker *broker;
	struct gcl_list list; /* struct gcl_move */
	size_t count;
	size_t active;	       /* of these, LINKING or TOLD */
	struct gcl_list links; /* struct gcl_link */
	struct gcl_list places;
	size_t place_count;
	struct gcl_list drained;
	size_t drained_count;
	uint32_t drained_devices; /* of this host, bits by their numbers */
	uint64_t ids;
	uint64_t done, failed; /* of all sessions */
	uint64_t bytes, pause; /* that moved, ns that sessions stood for it: their workers' word */
	struct ev_timer turn;  /* somebody's may have come */
};

void gcl_moves_init(struct gcl_moves *moves, struct gcl_broker *broker);

/** gcl_moves_fini() - forget all of it, and end connections that are left. */
void gcl_moves_fini(struct gcl_moves *moves);

/**
 * gcl_move_start() - move queues of a session, as soon as it is its turn.
 * @done: called once, but not before this returns, nor after a new program took over; may be NULL
 * @reason: why it can't be, one line
 *
 * Return: 0 and @id (may be NULL), -EBUSY when the session moves already, or another -errno.
 */
int gcl_move_start(struct gcl_worker_process *worker, const struct gcl_move_order *order,
		   gcl_move_done *done, void *data, uint64_t *id, char *reason, size_t reason_size);

/** gcl_moves_forget() - the worker is gone. */
void gcl_moves_forget(struct gcl_worker_process *worker);

/** gcl_moves_add() - a move that is to be made, or goes on; taken over. */
void gcl_moves_add(struct gcl_moves *moves, struct gcl_move *move);

/** gcl_moves_settle() - all that was restored is there: what lacks its connection begins again. */
void gcl_moves_settle(struct gcl_moves *moves);

/** gcl_move_check() - whether that can be (move-check.c). Return: 0 and the number of the place (0:
 * home), or as gcl_move_start(). */
int gcl_move_check(struct gcl_worker_process *worker, const struct gcl_move_order *order,
		   uint32_t *place, char *reason, size_t reason_size);

/* ------------------------------------------------------------ places (move-place.c) */

struct gcl_move_place {
	struct gcl_list link;
	uint32_t number; /* from 1 */
	uint32_t device;
	char server[GCL_SERVER_NAME_MAX + 1];
};

/** gcl_place_get() - the number of a server's device, a new one if need be; 0: there are too many,
 * or no memory. */
uint32_t gcl_place_get(struct gcl_moves *moves, const char *server, uint32_t device);

/** gcl_place_find() - what that number means, lent; or NULL. */
const struct gcl_move_place *gcl_place_find(const struct gcl_moves *moves, uint32_t number);

/** gcl_worker_place_has() - whether the session has one at that place. */
bool gcl_worker_place_has(const struct gcl_worker_moves *moves, uint32_t number);

/** gcl_worker_place_moved() - a queue, or all of them, moved to the place @number; 0: home. */
void gcl_worker_place_moved(struct gcl_worker_moves *moves, const struct gcl_move_order *order,
			    uint32_t number);

/** gcl_worker_places_of() - where an order home has to be from to bring home what the session has
 * at
 * @server: its only place there; 0: all of its places, as there are several. */
uint32_t gcl_worker_places_of(const struct gcl_worker_process *worker, const char *server);

/** gcl_worker_place_remove() - the session has none there any more. */
void gcl_worker_place_remove(struct gcl_worker_moves *moves, uint32_t number);

/** gcl_server_drained() - whether nothing is to be placed there. */
bool gcl_server_drained(const struct gcl_moves *moves, const char *server);

/** gcl_server_drain() - have it so, or not. Return: 0, -ENOSPC or -ENOMEM. */
int gcl_server_drain(struct gcl_moves *moves, const char *server, bool drained);

/* ------------------------------------------------------------ connections (link.c) */

/**
 * gcl_link_start() - connect to the server at @address for @move.
 * @fd: set to a connection that was made at once; else -1, and gcl_move_linked() is called
 *
 * Return: 0 or -errno and @reason.
 */
int gcl_link_start(struct gcl_move *move, const char *address, int *fd, char *reason,
		   size_t reason_size);

/** gcl_move_linked() - move.c's: @fd: a connection, the callee's; or -1 and @reason. */
void gcl_move_linked(struct gcl_move *move, int fd, const char *reason);

/** gcl_link_cancel() - nobody waits for it any more; NULL: nothing. */
void gcl_link_cancel(struct gcl_link *link);

/** gcl_links_own() - whether the process is one of them. */
bool gcl_links_own(const struct gcl_moves *moves, pid_t pid);

/** gcl_links_count() - connections that there are or that are being made, by processes. */
size_t gcl_links_count(const struct gcl_moves *moves);

void gcl_links_fini(struct gcl_moves *moves);

/** gcl_links_save(), gcl_links_restore() - over exec; when the moves are there. */
void gcl_links_save(const struct gcl_moves *moves, struct gcl_state *state);
void gcl_links_restore(struct gcl_moves *moves, struct gcl_state *state);

/* ------------------------------------------------------------ over exec (move-state.c) */

void gcl_moves_save(const struct gcl_moves *moves, struct gcl_state *state);

/** gcl_moves_restore() - when the workers are there. */
void gcl_moves_restore(struct gcl_moves *moves, struct gcl_state *state);

/** gcl_worker_moves_save(), gcl_worker_moves_restore() - of one session, before that. */
void gcl_worker_moves_save(const struct gcl_worker_moves *moves, struct gcl_state *state);
void gcl_worker_moves_restore(struct gcl_worker_moves *moves, struct gcl_state *state);

/* ------------------------------------------------------------ status (move-status.c) */

/** gcl_move_state() - where a move is, in a word; lent. */
const char *gcl_move_state(const struct gcl_move *move);

/** gcl_move_status() - how far it is, into an object. */
void gcl_move_status(struct json_object *object, const struct gcl_move *move);

/** gcl_replay_status() - whether what it does at a server could be done again here, into an object.
 */
void gcl_replay_status(struct json_object *object, const struct gcl_page_move *page);

/** gcl_moves_session_status() - a session's places and moves, into its object. */
void gcl_moves_session_status(struct json_object *object, const struct gcl_worker_process *worker);

/** gcl_moves_status() - of all; the caller's. */
struct json_object *gcl_moves_status(const struct gcl_moves *moves);

/** gcl_move_outcome_status() - how a move ended, into an object. */
void gcl_move_outcome_status(struct json_object *object, const struct gcl_move_outcome *outcome);

#endif
