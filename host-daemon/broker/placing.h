/* SPDX-License-Identifier: MIT */
/*
 * Which sessions are where: what is measured of them (measure.h), the policy that decides by it
 * (place/place.h), and the moves that come of that (moves.h).
 *
 * Theory of operation. Once a second all sessions are looked at, a view is made of them, of this
 * host's devices and of the servers (place-view.c), and the policy of the configuration is asked.
 * Its decisions become moves (placing.c), as those of operators are; how each of them ends, whoever
 * wanted it, comes back to gcl_placing_moved(). A session whose move failed is left alone for a
 * while, longer each time; one that can't be where it was refused is never sent there again; a
 * server that didn't answer, or is full, is nobody's target for a while.
 *
 * A task of the policies is a session with all its queues. Its home is the device of this host that
 * has worked most for it. An operator's move of a session to a server pins it there: only an order,
 * or the end of that server, has it go on.
 *
 * A wish for memory that the ledger would refuse asks the policy first (place-room.c): other
 * sessions of the account may make room by moving. The one that asks can't, since it waits for the
 * answer.
 *
 * What pages and servers say is bounded by measure.c and place/check.c.
 */
#ifndef GCL_BROKER_PLACING_H
#define GCL_BROKER_PLACING_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/state.h"
#include "measure.h"
#include "place/explain.h"
#include "place/place.h"
#include "server-info.h"

struct gcl_broker;
struct gcl_config;
struct gcl_move_order;
struct gcl_move_outcome;
struct gcl_server;
struct gcl_worker_process;
struct json_object;

/* ------------------------------------------------------------ what is known */

/* Of gcl_placed.refused; the bits above them are this host's devices (place-view.c). */
#define GCL_PLACING_BITS 32u

/* Of a server's device. */
struct gcl_placing_known {
	double speed;	   /* as this host's sessions have shown; 0: not known */
	double rtt;	   /* s; 0: not known */
	double bandwidth;  /* bytes/s, of the last moves; 0: not known */
	double avoid;	   /* no session goes there before that moment */
	unsigned failures; /* in a row */
	unsigned bit;	   /* of gcl_placed.refused; 0: it has refused nobody */
};

/* A decision, and what it was about; plain data. */
struct gcl_placing_decision {
	struct gcl_place_decision decision;
	double at; /* moment; 0: there was none */
	char from[GCL_EXPLAIN_NAME_MAX + 1], to[GCL_EXPLAIN_NAME_MAX + 1];
};

/* Of a session; plain data. */
struct gcl_placed {
	struct gcl_measure measure;
	char server[GCL_SERVER_NAME_MAX + 1]; /* where it is; empty: at home */
	uint32_t device;		      /* of that server */
	uint32_t home;			      /* device of this host */
	double started;			      /* moment of its first commands; 0: none yet */
	double since;			      /* moment when it came to where it is */
	double moved[GCL_PLACE_HISTORY];
	uint64_t memory;   /* bytes that went along with the last move */
	double dirty;	   /* bytes/s that it wrote during that; 0: not known */
	bool pinned;	   /* by the operator */
	bool unfit;	   /* it can't move at all */
	uint64_t refused;  /* bits of places that it can't be at */
	unsigned failures; /* moves in a row */
	double rest;	   /* it isn't moved before that moment */
	double room;	   /* until when its wish for memory waits; 0: it doesn't */
	unsigned tries;	   /* to make room for that */
	struct gcl_placing_decision last;
};

/* ------------------------------------------------------------ the view (place-view.c) */

/* What stands behind a place of a view. */
struct gcl_view_place {
	char name[GCL_EXPLAIN_NAME_MAX + 1];	   /* "home/0", "gpu1/0" */
	char server_name[GCL_SERVER_NAME_MAX + 1]; /* empty: this host */
	uint32_t device;
	struct gcl_server *server; /* lent; NULL: this host, or one that is gone */
};

struct gcl_view {
	struct gcl_place_view view;
	struct gcl_place_settings settings;
	struct gcl_place *places;
	struct gcl_view_place *behind; /* of each */
	struct gcl_place_task *tasks;
	struct gcl_worker_process **workers; /* of each; lent */
	uint32_t place_count, place_room, task_count, task_room, vm_count;
	double spread[GCL_PAGE_DEVICES_MAX]; /* see measure.h */
};

/** gcl_view_settings() - what the configuration says. */
void gcl_view_settings(struct gcl_place_settings *settings, const struct gcl_config *config);

/** gcl_view_fill() - as things are @now. Return: 0 or -ENOMEM. fini frees. */
int gcl_view_fill(struct gcl_view *view, struct gcl_broker *broker, double now);
void gcl_view_fini(struct gcl_view *view);

/** gcl_view_task() - which of the tasks is the worker's; GCL_PLACE_NONE: none. */
uint32_t gcl_view_task(const struct gcl_view *view, const struct gcl_worker_process *worker);

/** gcl_placing_known() - of a server's device, lent; NULL: there is no such thing any more. */
struct gcl_placing_known *gcl_placing_known(struct gcl_broker *broker, const char *server,
					    uint32_t device);

/* ------------------------------------------------------------ deciding (placing.c) */

struct gcl_placing {
	struct gcl_broker *broker; /* NULL: there is nothing to be decided */
	struct gcl_view view;
	struct gcl_place_plan *plan;
	uint32_t plan_tasks, plan_places, plan_vms; /* that it has room for */
	uint64_t draw;
	unsigned bits;	      /* of gcl_placing_known.bit, given so far */
	struct ev_timer tick; /* while sessions can move */
	struct ev_timer soon; /* a move has ended: see to wishes for memory */
};

void gcl_placing_init(struct gcl_placing *placing, struct gcl_broker *broker);

/** gcl_placing_configure() - the configuration may say something else. */
void gcl_placing_configure(struct gcl_placing *placing);
void gcl_placing_fini(struct gcl_placing *placing);

/** gcl_placing_moved() - a session's move has ended, or was given up. */
void gcl_placing_moved(struct gcl_worker_process *worker, const struct gcl_move_outcome *outcome);

/**
 * gcl_placing_decide() - the policy's plan for @event, for the view that was just filled.
 *
 * Return: 0, or -errno: the plan is empty. It is in placing->plan.
 */
int gcl_placing_decide(struct gcl_placing *placing, const struct gcl_place_event *event);

/** gcl_placing_view() - fill the view, and have room for a plan. Return: 0 or -errno. */
int gcl_placing_view(struct gcl_placing *placing);

/** gcl_placing_apply() - begin the moves of the plan. Return: how many were. */
unsigned gcl_placing_apply(struct gcl_placing *placing);

/** gcl_placing_policy() - of the configuration. */
const struct gcl_place_policy *gcl_placing_policy(const struct gcl_placing *placing);

/* ------------------------------------------------------------ room (place-room.c) */

/**
 * gcl_placing_room() - the ledger would refuse the worker's wish.
 *
 * Return: whether others are making room, so that the answer can wait; gcl_ledger_again() is
 * called when they have, or haven't in time.
 */
bool gcl_placing_room(struct gcl_worker_process *worker);

/** gcl_placing_rooms_see() - to all that wait. */
void gcl_placing_rooms_see(struct gcl_placing *placing);

/* ------------------------------------------------------------ why (place-why.c) */

/** gcl_placing_note() - keep a decision of the view for "guestcl why". */
void gcl_placing_note(const struct gcl_view *view, const struct gcl_place_decision *decision);

#endif
