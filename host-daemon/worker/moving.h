/* SPDX-License-Identifier: MIT */
/*
 * What the files about a move share: move.c, move-prepare.c, move-copy.c, move-switch.c.
 *
 * A move is the session thread's, but for the job under way, which is the mover thread's until it
 * is done: it sees handles that the move holds references to, never tables or objects.
 */
#ifndef GCL_MOVING_H
#define GCL_MOVING_H

#include "copy.h"
#include "job.h"
#include "program.h"
#include "recipe.h"

/* A queue that moves. It may be released meanwhile. */
struct gcl_moving_queue {
	uint64_t id;
	cl_command_queue twin; /* there; a reference; NULL when it goes home */
};

/* A context of these queues. */
struct gcl_moving_context {
	struct gcl_context *context;   /* a reference; for the session thread */
	cl_context there;	       /* a reference; made by the job, unless it was there */
	struct gcl_hasher *hashers[2]; /* at home and there; references; the same */
};

/* A program that kernels of these contexts are of. */
struct gcl_moving_program {
	struct gcl_recipe *recipe; /* a reference */
	size_t context;		   /* index */
	cl_program there;	   /* made by the job, until it is entered */
};

/* A memory object that the queues have used. */
struct gcl_moving_item {
	struct gcl_mem *root; /* a reference; for the session thread */
	struct gcl_copy copy; /* of this round */
	cl_event arrival;     /* there, set when this round's copy is over; or NULL */
	bool copying;	      /* it is in this round */
	bool copied;	      /* once at least */
	bool mostly;	      /* nearly all of it had changed when that was looked at last */
	bool left;	      /* for when the program goes on */
	uint64_t ahead;	      /* there is what it held when sides.clock was this */
};

/* Given back when it ends, but for itself, which may still be awaited for. */
struct gcl_move {
	struct gcl_worker *worker;
	struct gcl_note note;
	int fd;
	unsigned to;
	bool opens; /* the side isn't open yet, or was opened by this move */
	enum gcl_move_step step;
	enum gcl_move_result result;
	uint64_t value;
	struct gcl_side side; /* being opened, by the job */

	struct gcl_moving_queue *queues;
	struct gcl_moving_context *contexts;
	struct gcl_moving_program *programs;
	struct gcl_moving_item *items;
	size_t queue_count, context_count, program_count, item_count;
	cl_device_id homes[GCL_PAGE_DEVICES_MAX]; /* where the queues are at home */
	size_t home_count;

	struct gcl_job job;
	pthread_mutex_t lock; /* protects the rest */
	pthread_cond_t wake;
	bool working;	 /* a job is under way */
	unsigned awaits; /* events are, some earlier ones perhaps in vain */
	bool over;	 /* the last of these frees it */
	cl_int awaited;	 /* what became of them */
	uint64_t since;	 /* ns: when the last of them began to be awaited */
	_Atomic bool cancel;
	_Atomic uint64_t progress; /* bytes that were copied */

	uint64_t clock; /* sides.clock that the round is of */
	bool copying;	/* the job under way is a round's */
	bool still;	/* the program stands */
	bool behind;	/* what has mostly changed goes once the program goes on */
	bool vain;	/* the round wouldn't have left less for the next one, and was none */
	unsigned rounds, tries;
	uint64_t sent, sent_before;
	uint64_t began, stopped; /* ns */
	uint64_t seen, changed;	 /* gcl_move_look()'s: progress, and when it was made, ns */
};

/** gcl_move_ends() - the session thread: it is over; all that it holds is given back, and the
 * broker is told. */
void gcl_move_ends(struct gcl_move *move, enum gcl_move_result result, uint64_t value);

/** gcl_move_want() - any thread: the session thread looks after the move between two messages. */
void gcl_move_want(struct gcl_worker *worker);

/** gcl_move_find() - what moves, and where. Return: GCL_MOVE_DONE, or why that can't be. */
enum gcl_move_result gcl_move_find(struct gcl_move *move);

/** gcl_move_work() - have the mover thread run @run(move). Return: false: it can't. */
bool gcl_move_work(struct gcl_move *move, void (*run)(struct gcl_move *move));

/** gcl_move_await() - be woken when all of @events are complete. Return: false without memory. */
bool gcl_move_await(struct gcl_move *move, const cl_event *events, size_t count);

/** gcl_move_wait() - the session thread stands until the job, and the events, are done. @ms: at
 * most, without progress. Return: false: it took longer. */
bool gcl_move_wait(struct gcl_move *move, unsigned ms);

/** gcl_move_let_go() - it is over; what it waited for in vain may still come, and frees it then. */
void gcl_move_let_go(struct gcl_move *move);

/** gcl_move_busy() - job or events are under way. */
bool gcl_move_busy(struct gcl_move *move);

/** gcl_move_step() - note the step, for the operator too. */
void gcl_move_step(struct gcl_move *move, enum gcl_move_step step);

/** gcl_move_injected() - does a test want it to fail at this point? Sets result and value then. */
bool gcl_move_injected(struct gcl_move *move, unsigned point);

/* What follows the steps: each begins the next. */
void gcl_move_prepare(struct gcl_move *move);  /* job */
void gcl_move_prepared(struct gcl_move *move); /* session thread, when it is done */
void gcl_move_rounds(struct gcl_move *move);   /* after that, and after each round */
void gcl_move_stop(struct gcl_move *move);     /* the rest */

/** gcl_move_cut() - give up the connections that it copies over. */
void gcl_move_cut(const struct gcl_move *move);

/** gcl_move_fill() - list what has to be copied: not there, or written since. Return: how many;
 * *@bad is set when that isn't possible. */
size_t gcl_move_fill(struct gcl_move *move, cl_int *bad);

/** gcl_move_copy() - job: copy what was listed. */
void gcl_move_copy(struct gcl_move *move);

/** gcl_item_arrived() - nothing is written to it there any more. */
void gcl_item_arrived(struct gcl_moving_item *item);

/** gcl_move_copied() - look at what became of it. Return: GCL_MOVE_DONE, or why not. */
enum gcl_move_result gcl_move_copied(struct gcl_move *move);

/** gcl_move_queue() - one of its queues, or NULL: it was released meanwhile. */
struct gcl_queue *gcl_move_queue(const struct gcl_move *move, size_t index);

/** gcl_move_bits() - of its queues, as contents.users has them. */
uint64_t gcl_move_bits(const struct gcl_move *move);

#endif
