/* SPDX-License-Identifier: MIT */
/*
 * Who may use a device next, and for how long: deficit scheduling of accounts, in plain numbers.
 *
 * Theory of operation. Clients (sessions) hold the device's lease, one of each flow, and of as many
 * flows at one time as there are slots: what the first leaves unused the next uses. The time that
 * the device works for a client is charged to its flow (its account), divided by the flow's weight;
 * the flow that has had least that way has the largest deficit and is next. Among clients of a flow
 * it goes in turn. A lease lasts until its flow is ahead of the next by a quantum, so that in the
 * long run every flow has its share, to a quantum or one command that took long. Beside another one
 * only a flow holds the device that isn't ahead of that.
 *
 * How long the device worked is known when a command ends, which may be long after it began.
 * Meanwhile what passes is charged, and set right then: nothing that is told late is lost, and a
 * flow with a long command isn't taken for one that has had nothing.
 *
 * A flow that had nothing to do can't save what it didn't use: when it comes back, its deficit is
 * that of the others and a quantum more, so that it goes first. What it owed it still owes. The
 * same is true of one that is content: it holds the device all the time and still doesn't keep it
 * busy. Nobody else need wait for it: shares are fair as max-min fairness has it (Bertsekas and
 * Gallager, Data Networks, 6.5.2). A flow with a ceiling has no turn while it has had more than its
 * part of the time. A lease that isn't given back in time is overdue: the next is given out, and it
 * goes on being charged.
 *
 * Must not: know of processes, read a clock. Times are ns of any clock that doesn't go back.
 */
#ifndef GCL_BROKER_SHARE_H
#define GCL_BROKER_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

/* What a flow of average weight may be ahead of the next when its lease ends, for each that may
 * hold the device at one time: the more they are, the longer each takes for the same work. */
#define GCL_SHARE_QUANTUM_NS 4000000

/* Shorter leases aren't worth their beginning; longer ones (for each slot) are never needed while
 * others wait. */
#define GCL_SHARE_LEASE_MIN_NS 500000
#define GCL_SHARE_LEASE_MAX_NS 20000000

/* A client that holds the device may have nothing on it for so long, between two commands or before
 * the first. */
#define GCL_SHARE_HOLE_NS 1000000

/* How long after a lease's end its holder may take for the command that it began last, before the
 * next one is let in beside it. */
#define GCL_SHARE_OVERDUE_NS 2000000000

/* A flow that wants nothing for less than this just thinks: it keeps its place. */
#define GCL_SHARE_PAUSE_NS 5000000

/* One that holds the device for so long without having to wait, and keeps it busy for less than
 * this part of its share of the time, has all that it can use. */
#define GCL_SHARE_CONTENT_NS   200000000
#define GCL_SHARE_CONTENT_PART 0.5

/* How often to look how much holders have used, while it matters. */
#define GCL_SHARE_LOOK_NS 10000000

/* A flow that has not wanted anything for so long is not counted any more. */
#define GCL_SHARE_ACTIVE_NS 500000000

enum gcl_share_priority {
	GCL_SHARE_HIGH,
	GCL_SHARE_NORMAL,
	GCL_SHARE_LOW,
};

/* An account's part. */
struct gcl_share_flow {
	struct gcl_list link;	 /* in share.flows; a list of its own: it has no clients there */
	struct gcl_list waiting; /* struct gcl_share_client, in the order of their turn */
	double weight;		 /* as it counts, with its priority */
	unsigned ceiling;	 /* percent; 0: none */
	double had;		 /* ns it was charged, divided by the weight; starts anywhere */
	double rate;		 /* the part of the time that it holds the device that it uses it */
	double usual;		 /* the same over GCL_SHARE_CONTENT_NS */
	double allowed;		 /* ns that its ceiling leaves now */
	int64_t allowed_at;
	int64_t last;	    /* when it last waited for or held something */
	int64_t wants;	    /* since when it waits, and holds nothing */
	int64_t unhindered; /* since when it holds what it wants, but for moments */
	unsigned holding;
};

/* A session's part. */
struct gcl_share_client {
	struct gcl_list link;  /* in flow.waiting or share.holders */
	struct gcl_list using; /* in share.users */
	struct gcl_share_flow *flow;
	bool waiting, holding;
	bool overdue;
	bool busy; /* commands of it are on the device, as far as the last look saw, or will be */
	int64_t since;	 /* it got the lease */
	int64_t until;	 /* the lease ends; INT64_MAX: no end is needed yet */
	int64_t opened;	 /* the session began */
	uint64_t told;	 /* ns of device time, all that the last look saw */
	int64_t used;	 /* ns of that which have been charged */
	int64_t guess;	 /* ns charged for what has not ended yet */
	int64_t told_at; /* since when a guess is needed */
	int64_t looked;	 /* when it was last looked at */
	int64_t used_at; /* when something of it was last seen there, or it got the lease */
};

/* A device. */
struct gcl_share {
	struct gcl_list flows;
	struct gcl_list holders;
	struct gcl_list users; /* clients that hold the device, or still may be working on it */
	unsigned slots;	       /* flows that may hold it at one time */
	double weights;	       /* of the flows that have something to do */
	double least;	       /* what the flow that had least has had; never goes back */
};

/** gcl_share_init() - of a device that @slots flows may hold at one time, 1 at least. */
void gcl_share_init(struct gcl_share *share, unsigned slots);
void gcl_share_flow_init(struct gcl_share_flow *flow);

/** gcl_share_client_init() - @told: ns of device time of @client before this */
void gcl_share_client_init(struct gcl_share_client *client, struct gcl_share_flow *flow,
			   int64_t now, uint64_t told);

/** gcl_share_flow_set() - what the operator wants it to have. @ceiling: percent, 0: none */
void gcl_share_flow_set(struct gcl_share_flow *flow, unsigned weight,
			enum gcl_share_priority priority, unsigned ceiling);

/** gcl_share_want() - @client has something to do; it gives back what it holds. Leases of others
 * may end earlier for it: look at their @until. */
void gcl_share_want(struct gcl_share *share, struct gcl_share_client *client, int64_t now);

/**
 * gcl_share_measure() - look at one of share->users; to be done before all others that follow.
 * @total: ns that the device worked for @client, of commands that have ended: all since it began
 * @busy: commands of it have not ended
 *
 * Charges what is new. A client can't have used more than the time that passed, whatever it says;
 * one that says nothing of a command is charged all the time that it holds the device for it.
 */
void gcl_share_measure(struct gcl_share_client *client, int64_t now, uint64_t total, bool busy);

/** gcl_share_done() - @client has given back what it held, or doesn't want it any more. */
void gcl_share_done(struct gcl_share *share, struct gcl_share_client *client, int64_t now);

/** gcl_share_leave() - the same, and it does not come back. */
void gcl_share_leave(struct gcl_share *share, struct gcl_share_client *client, int64_t now);

/** gcl_share_hold() - @client has the lease from now on, whoever else has it. */
void gcl_share_hold(struct gcl_share *share, struct gcl_share_client *client, int64_t now);

/**
 * gcl_share_pick() - give the lease to who is next.
 * @again: set to when to ask again, though nobody wants or gives back anything; INT64_MAX: then
 *
 * Return: the new holder, or NULL: there is one, or nobody may have it.
 */
struct gcl_share_client *gcl_share_pick(struct gcl_share *share, int64_t now, int64_t *again);

/** gcl_share_contended() - whether somebody waits. */
bool gcl_share_contended(const struct gcl_share *share);

/** gcl_share_full() - whether somebody waits, and as many as may already hold the device. */
bool gcl_share_full(const struct gcl_share *share);

/** gcl_share_only() - the one flow that is active, if it has no ceiling; or NULL. */
struct gcl_share_flow *gcl_share_only(const struct gcl_share *share, int64_t now);

#endif
