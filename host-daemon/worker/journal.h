/* SPDX-License-Identifier: MIT */
/*
 * The journal: what queues do on another side, so that it can be done again at home when that side
 * is lost (replay.c). Included by worker.h.
 *
 * Theory of operation. It begins at a consistent point: nothing is under way elsewhere, and all
 * contents are valid at home. From there on it has the messages of commands of queues that are
 * away, with the data that they write, in their order; and those of launches at home, for the
 * arguments that they set. The home copies of what these commands use are the contents to begin
 * from. They stay as they are, since what is written elsewhere is valid there only; whoever writes
 * to one at home, or has newer contents sent there, breaks the journal. What the guest releases
 * meanwhile is kept as a ghost, which only a replay finds.
 *
 * A broken journal is let go of: a loss then costs what was there only. The next one begins at the
 * next consistent point.
 *
 * All this belongs to the session thread, but for what says otherwise.
 */
#ifndef GCL_JOURNAL_H
#define GCL_JOURNAL_H

#include <CL/cl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "frame.h"
#include "replay.h"

struct gcl_call;
struct gcl_command;
struct gcl_context;
struct gcl_entry;
struct gcl_mem;
struct gcl_queue;
struct gcl_use;
struct gcl_worker;

#define GCL_GHOST_BUCKETS 1024u

/* A message, as it came, with a copy of its payload. */
struct gcl_journal_note {
	struct gcl_list link;
	struct gcl_frame head;
	bool away;    /* else only its arguments count */
	size_t tells; /* what was in gcl_tells when it came */
	size_t size;
	uint8_t bytes[]; /* the message, and from gcl_journal_payload() on the payload */
};

static inline size_t gcl_journal_payload(size_t size)
{
	return (size + 127) & ~(size_t)127;
}

/* What a kernel's arguments were before the first of its launches that is in the journal. */
struct gcl_journal_kernel {
	struct gcl_list link;
	uint64_t id;
	cl_uint refused;
	cl_int refused_status;
	cl_uint count;
	struct gcl_kernel_arg *args; /* as copies of their own, and with references */
};

/* An object that the guest has released, or an event that a replay makes. */
struct gcl_ghost {
	struct gcl_ghost *next; /* in its bucket */
	struct gcl_entry *entry;
};

/*
 * What came to the guest's knowledge, in this order: that commands of the journal are complete,
 * since whatever it says after that may count on it; and that events of other commands, or its own,
 * happened for which commands of the journal had waited.
 */
struct gcl_tell {
	uint64_t key; /* an event, or a QUEUE_SYNC's sequence */
	bool outside; /* not the journal's own */
};

struct gcl_tells {
	pthread_mutex_t lock; /* a leaf */
	struct gcl_tell *list;
	size_t count, room;
	bool failed; /* no memory: it isn't complete */
};

struct gcl_journal {
	unsigned side; /* of the queues that are away */
	const struct gcl_context *context;
	uint64_t queue; /* the only one so far, which is in order */
	bool several;	/* or there are more */
	uint64_t epoch; /* gcl_contents.journaled, gcl_kernel.journaled: it has used them */
	uint64_t bytes; /* of messages, payloads, ghosts */
	uint64_t busy;	/* ns that something was under way there */
	struct gcl_list notes, kernels;
	struct gcl_ghost *ghosts[GCL_GHOST_BUCKETS];
};

/** gcl_journal_begin() - queues are away: keep one, if that is possible now. */
void gcl_journal_begin(struct gcl_worker *worker);

/** gcl_journal_break() - let go of it, if there is one: a loss is going to be one. */
void gcl_journal_break(struct gcl_worker *worker, enum gcl_replay reason);

/** gcl_journal_yield() - memory was refused: give up what ghosts hold. Return: there is some more.
 */
bool gcl_journal_yield(struct gcl_worker *worker);

/** gcl_journal_add() - @call is about to be handled, whose message has these bytes. */
void gcl_journal_add(struct gcl_worker *worker, const struct gcl_call *call, const void *body,
		     size_t size);

/** gcl_journal_use() - a command on @side, which is about to be enqueued, does @use. */
void gcl_journal_use(struct gcl_worker *worker, unsigned side, const struct gcl_use *use);

/** gcl_journal_spoil() - the home copy of @root is going to be changed, or to go. */
void gcl_journal_spoil(struct gcl_worker *worker, const struct gcl_mem *root);

/** gcl_journal_keep() - the guest has released @entry. Return: it is a ghost now, which has taken
 * over all of it. */
bool gcl_journal_keep(struct gcl_worker *worker, const struct gcl_entry *entry);

/** gcl_tell_add() - any thread, before the guest is told or the event's proxy on @side is set. */
void gcl_tell_add(struct gcl_worker *worker, unsigned side, uint64_t key, bool outside);

/** gcl_journal_look() - now and then: has it lasted too long, or can one begin? @passed: ns since
 * the last time. */
void gcl_journal_look(struct gcl_worker *worker, uint64_t passed);

/** gcl_journal_free() - with its ghosts. Accepts NULL. */
void gcl_journal_free(struct gcl_worker *worker, struct gcl_journal *journal);

/** gcl_ghost_find() - the entry, or NULL. */
struct gcl_entry *gcl_ghost_find(const struct gcl_journal *journal, uint64_t id);

/** gcl_ghosts_leave() - they have nothing on @side any more. */
void gcl_ghosts_leave(struct gcl_journal *journal, unsigned side);

/** gcl_ghost_add() - a copy of @entry is one from now on. Return: it, or NULL without memory. */
struct gcl_entry *gcl_ghost_add(struct gcl_journal *journal, const struct gcl_entry *entry);

/* ------------------------------------------------------------ replay.c */

/** gcl_replay() - the journal's side is lost, and its queues are at home: do it all again. Return:
 * false without memory, and nothing was done. */
bool gcl_replay(struct gcl_worker *worker);

/** gcl_replay_find() - what was released before the loss, while it is done again; or NULL. */
struct gcl_entry *gcl_replay_find(struct gcl_worker *worker, uint64_t id);

/** gcl_replay_event() - what a command that is done again makes of its event @id. Return: the
 * entry; NULL without memory. *@told: the guest knows that it is complete. */
struct gcl_entry *gcl_replay_event(struct gcl_worker *worker, uint64_t id, bool *told);

/** gcl_replay_outside() - a command that is done again waits for event @id. Return: true: that is
 * another's than the journal's, and happened; then @wait is what to wait for instead, or NULL. */
bool gcl_replay_outside(struct gcl_worker *worker, uint64_t id, cl_event *wait);

/** gcl_replay_frontier() - what a command has to wait for besides, since the guest takes it for
 * complete; into @events, at most @room of them; lent. Return: how many. */
cl_uint gcl_replay_frontier(struct gcl_worker *worker, const struct gcl_context *context,
			    cl_event *events, cl_uint room);

/** gcl_replay_ended() - such a command was enqueued, with an event. Return: 0, -ENOMEM. */
int gcl_replay_ended(struct gcl_worker *worker, const struct gcl_command *command);

/** gcl_replay_failed() - or it couldn't be. */
void gcl_replay_failed(struct gcl_worker *worker, const struct gcl_command *command, cl_int status);

/** gcl_replay_synced() - a QUEUE_SYNC that is done again waits for @event, taken over; or NULL. */
void gcl_replay_synced(struct gcl_worker *worker, const struct gcl_queue *queue, uint64_t sequence,
		       cl_event event);

/** gcl_replay_look() - let go of what was done again and is complete. */
void gcl_replay_look(struct gcl_worker *worker);

/** gcl_replay_fini() - whatever isn't. */
void gcl_replay_fini(struct gcl_worker *worker);

#endif
