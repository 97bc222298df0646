/* SPDX-License-Identifier: MIT */
/*
 * Sides: where the objects of a session are. Included by worker.h.
 *
 * Theory of operation. Side 0 is home, the host's own runtime. The others are places: each is a
 * device of a GPU server, reached through libguestcl.so, which is a runtime like any other to the
 * worker. A command queue is on one side at a time; what else a session has gets a twin on each
 * side where it is needed: contexts, memory objects, samplers, programs, kernels. All that a
 * handler has to do is to take the handles of the queue's side.
 *
 * Contents of a memory object belong to its root (what it is a part of), which knows where they are
 * valid. A command that needs them where they aren't makes them be sent first: it waits for a user
 * event that is set when they have arrived (settle.c). They are sent when everything has completed
 * that the command would have waited for, and all writers of that object where they come from.
 *
 * A command that waits for an event of another side waits for a user event of its own side, which a
 * callback sets (cross.c).
 *
 * Contents are sent in the order in which commands were given. One that waits for a user event of
 * the program's may run after others that are given later, even because of them: where its contents
 * come from is decided when the program sets that event (gated.c).
 *
 * All this belongs to the session thread, but for what says otherwise. Where sessions can't move
 * (worker.client is NULL) none of it costs more than a look.
 */
#ifndef GCL_SIDES_H
#define GCL_SIDES_H

#include <CL/cl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "journal.h"
#include "move.h"

struct gcl_command;
struct gcl_context;
struct gcl_copy;
struct gcl_copy_sums;
struct gcl_entry;
struct gcl_gated;
struct gcl_hasher;
struct gcl_jobs;
struct gcl_kernel;
struct gcl_kernel_arg;
struct gcl_mem;
struct gcl_move;
struct gcl_queue;
struct gcl_recipe;
struct gcl_replaying;
struct gcl_sampler;
struct gcl_worker;

#define GCL_SIDES 4u
#define GCL_HOME  0u

#define GCL_SIDES_ALL ((1u << GCL_SIDES) - 1)

/** GCL_SIDE_BIT() - in a set of sides. None is beyond, which the compiler can't know. */
#define GCL_SIDE_BIT(side) ((uint8_t)(1u << (side) % GCL_SIDES))

/* What a command does with a memory object. */
enum gcl_access {
	GCL_ACCESS_READ = 1,
	GCL_ACCESS_WRITE = 2,	/* of a part, or nobody knows of what */
	GCL_ACCESS_REPLACE = 6, /* of all of it, whatever it held */
};

struct gcl_use {
	struct gcl_mem *mem;
	enum gcl_access access;
};

/* What a command needs of memory objects, and where. */
struct gcl_needs {
	struct gcl_context *context;
	unsigned side;
	uint64_t queue; /* id */
	const struct gcl_use *uses;
	unsigned count;
};

/* A command that writes, on its way. */
struct gcl_writer {
	cl_event event; /* a reference */
	unsigned side;
};

/* Where a root's contents are. */
struct gcl_contents {
	uint8_t valid;		      /* a bit for each side; all of them: they are undefined */
	uint64_t written;	      /* sides.clock of the last command that writes */
	uint64_t journaled;	      /* epoch of the last journal that has used it */
	uint64_t users;		      /* a bit for each queue that used it; queues share bits */
	cl_event arriving[GCL_SIDES]; /* a user event there, set when they have come, or when a
				       * move doesn't write there any more; or NULL */
	struct gcl_copy_sums *sums;   /* of a move; or NULL */
	uint8_t summed;		      /* a bit for each side that holds what they say */
	struct gcl_writer *writers;   /* while sides are in use */
	uint32_t writer_count, writer_room;
};

/* A place, and the session there. */
struct gcl_side {
	bool open;
	uint32_t place;		 /* the broker's number for it */
	int socket;		 /* the connection's, beside the library's own; of an open one */
	cl_platform_id platform; /* libguestcl.so's */
	cl_device_id device;
	int64_t shift;		      /* ns to add to its times for times at home */
	unsigned queues;	      /* that are there */
	bool lean;		      /* they came since memory is short at home */
	uint64_t idle;		      /* ns: since when nothing needs it; 0: something does */
	bool lost;		      /* and all has been done about it, but to close it */
	_Atomic unsigned completions; /* and the meter's flights, whose events are of there */
};

struct gcl_sides {
	bool active; /* a side is open, or a move is under way: writers are watched */
	bool lossy;  /* a side was lost once: contents may be nowhere, which is watched for good */
	struct gcl_side side[GCL_SIDES]; /* [GCL_HOME] is not used */
	uint64_t clock;			 /* counts commands that write */
	uint64_t unset;			 /* user events that the guest has not set yet */
	uint64_t looked;		 /* ns: when gcl_sides_look() last did */
	struct gcl_jobs *lending;	 /* thread that sends what commands need; or NULL */
	struct gcl_jobs *moving;	 /* thread of the move under way; or NULL */
	unsigned fails_at;		 /* a point of moving.h, for tests; 0: none */
	struct gcl_copy_room *room;	 /* that thread's */
	struct gcl_list contexts, mems, samplers; /* that have twins, by their links */
	struct gcl_list programs;		  /* struct program_twin of twin.c */
	pthread_mutex_t cross_lock;		  /* a leaf; protects crossings */
	struct gcl_list crossings;		  /* cross.c */
	struct gcl_list gated;			  /* gated.c */
	struct gcl_move *move;			  /* the one under way, or NULL; move.c */
	struct gcl_asked *_Atomic asked;	  /* moves that the watch thread was asked for */
	struct gcl_journal *journal;		  /* or NULL: a loss would be one */
	struct gcl_tells tells;			  /* while there is a journal */
	enum gcl_replay replay;			  /* why there is a journal, or none */
	uint64_t epoch;				  /* counts journals */
	struct gcl_replaying *replaying;	  /* what is done again right now, or NULL */
	struct gcl_list replays;		  /* struct gcl_replaying, still under way */
	_Atomic unsigned withholds; /* the journal's side: that it fails when lost isn't told yet;
				     * GCL_HOME: none does */
	_Atomic bool failed_away;   /* a command failed on a side that isn't lost */
	_Atomic unsigned loans;	    /* that are under way */
	_Atomic bool shifted;	    /* a side was open once: there are clocks that differ */
	_Atomic uint64_t known;	    /* ns: the latest end of a command that the guest was told of */
	_Atomic bool poll;	    /* any thread: gcl_move_poll() has something to do */
};

/** gcl_sides_replaying() - something is done again, or was lately. */
static inline bool gcl_sides_replaying(const struct gcl_sides *sides)
{
	return sides->replaying || !gcl_list_empty(&sides->replays);
}

void gcl_sides_init(struct gcl_sides *sides);

/** gcl_sides_fini() - close all of them; objects have been released. */
void gcl_sides_fini(struct gcl_worker *worker);

/** gcl_sides_load() - before the jail is sealed: load libguestcl.so. Return: NULL, or what is
 * wrong. */
const char *gcl_sides_load(const char *path);

/** gcl_sides_open() - a session at the other end of @fd, which is taken over; any thread; waits.
 * @index: of the device there. Return: GCL_MOVE_DONE, LINK, NO_DEVICE. */
enum gcl_move_result gcl_sides_open(int fd, uint32_t index, struct gcl_side *side);

/** gcl_side_close() - end that session; all its objects have been released. */
void gcl_side_close(struct gcl_side *side);

/** gcl_side_cut() - its connection is no use any more: what is under way there fails at once. */
void gcl_side_cut(const struct gcl_side *side);

/** gcl_side_lost() - the server can't be reached any more. */
bool gcl_side_lost(const struct gcl_side *side);

/** gcl_side_svm() - shared virtual memory there, in the context @there, at @address, as a buffer;
 * waits for the server. Return: NULL and *@status. */
cl_mem gcl_side_svm(cl_context there, cl_mem_flags flags, uint64_t size, void *address,
		    cl_int *status);

/** gcl_sides_any_lost() - one was, and nothing has been done about it. */
bool gcl_sides_any_lost(const struct gcl_sides *sides);

/** gcl_side_withholds() - any thread: @side was lost, and whether what was there has failed will be
 * decided by the session thread. */
bool gcl_side_withholds(const struct gcl_worker *worker, unsigned side);

/* ------------------------------------------------------------ queue-away.c */

/** gcl_sides_queue_twin() - a queue like @queue there, whose context is there. Return: NULL: it
 * can't be had. */
cl_command_queue gcl_sides_queue_twin(struct gcl_worker *worker, const struct gcl_queue *queue,
				      unsigned side);

/** gcl_sides_queue_enter() - @queue, which is at home, is @twin on @side from now on; takes it
 * over. */
void gcl_sides_queue_enter(struct gcl_worker *worker, struct gcl_queue *queue, unsigned side,
			   cl_command_queue twin);

/** gcl_sides_queue_leave() - @queue is released, or goes elsewhere: back to its queue at home. */
void gcl_sides_queue_leave(struct gcl_worker *worker, struct gcl_queue *queue);

/** gcl_sides_queue_follow() - @queue is new: if all others of its device and context are at a
 * server it goes there, too; after the move, if one is under way. */
void gcl_sides_queue_follow(struct gcl_worker *worker, struct gcl_queue *queue);

/** gcl_sides_queues_follow() - a move has ended: those that were made meanwhile. */
void gcl_sides_queues_follow(struct gcl_worker *worker);

/** gcl_sides_inject() - should moves fail, for a test? */
void gcl_sides_inject(struct gcl_sides *sides);

/** gcl_sides_prune() - close those where no queue has been for some time and nothing is left, and
 * tell the broker. */
void gcl_sides_prune(struct gcl_worker *worker);

/** gcl_sides_look() - while sides are in use, again and again: see whether one was lost, and take
 * what was there for lost. */
void gcl_sides_look(struct gcl_worker *worker);

/* ------------------------------------------------------------ twins (twin.c) */

/** gcl_context_on() - the context there, made if need be; NULL and *@status. */
cl_context gcl_context_on(struct gcl_worker *worker, struct gcl_context *context, unsigned side,
			  cl_int *status);

/** gcl_context_enter() - it was made there by somebody else: @there, taken over. */
void gcl_context_enter(struct gcl_worker *worker, struct gcl_context *context, unsigned side,
		       cl_context there);

/** gcl_context_memory() - is what @context has at home memory of this host's, that can be used
 * where it is? From any thread. */
bool gcl_context_memory(cl_context context);

/** gcl_context_leave() - release what it has there. */
void gcl_context_leave(struct gcl_context *context, unsigned side);

/** gcl_context_copies() - the queue there for what goes from side to side; NULL and *@status. */
cl_command_queue gcl_context_copies(struct gcl_worker *worker, struct gcl_context *context,
				    unsigned side, cl_int *status);

/** gcl_mem_on() - the memory object there, made if need be, without contents. A tombstone's is
 * NULL and what it failed with. */
cl_mem gcl_mem_on(struct gcl_worker *worker, struct gcl_mem *mem, unsigned side, cl_int *status);

/** gcl_mem_bytes() - of its contents. */
uint64_t gcl_mem_bytes(const struct gcl_mem *mem);

/** gcl_mem_leave() - release @root there, with all its parts: its contents are elsewhere. */
void gcl_mem_leave(struct gcl_worker *worker, struct gcl_mem *root, unsigned side);

/** gcl_mem_away() - a side where @mem is, which isn't home; GCL_HOME: it is there, or nowhere. */
unsigned gcl_mem_away(const struct gcl_mem *mem);

/** gcl_context_lean() - did the queues of @context go elsewhere since memory is short here? */
bool gcl_context_lean(const struct gcl_worker *worker, const struct gcl_context *context);

/**
 * gcl_mem_elsewhere() - make the buffer @mem where a queue of its context is, instead of at home.
 * @host: its contents, or NULL; copied
 * @handle: set to what it is there, lent
 *
 * Return: false: there is no such queue, or it failed.
 */
bool gcl_mem_elsewhere(struct gcl_worker *worker, struct gcl_mem *mem, const void *host,
		       cl_mem *handle);

/** gcl_program_on() - the program there, built if need be, which may take long; lent. */
cl_program gcl_program_on(struct gcl_worker *worker, struct gcl_recipe *recipe,
			  struct gcl_context *context, unsigned side, cl_int *status);

/** gcl_program_there() - has it been built there? */
bool gcl_program_there(struct gcl_worker *worker, const struct gcl_recipe *recipe, unsigned side);

/** gcl_program_enter() - it was built there by somebody else; @handle is taken over. Return: 0,
 * -ENOMEM. */
int gcl_program_enter(struct gcl_worker *worker, struct gcl_recipe *recipe, unsigned side,
		      cl_program handle);

/** gcl_kernel_twin() - the kernel there, whatever its arguments are; made if need be. */
cl_kernel gcl_kernel_twin(struct gcl_worker *worker, struct gcl_kernel *kernel, unsigned side,
			  cl_int *status);

/** gcl_kernel_on() - the kernel there with all its arguments, made if need be (which may build its
 * program, and take long). */
cl_kernel gcl_kernel_on(struct gcl_worker *worker, struct gcl_kernel *kernel, unsigned side,
			cl_int *status);

/** gcl_kernel_leave() - release what it has there; later it is made anew. */
void gcl_kernel_leave(struct gcl_kernel *kernel, unsigned side);

/** gcl_arg_forget() - let go of what is kept of it. */
void gcl_arg_forget(struct gcl_kernel_arg *arg);

/* A kernel's argument was set, at home: keep what the other sides will be told. The last one
 * returns 0 or -ENOMEM. */
void gcl_arg_keep_mem(struct gcl_kernel_arg *arg, struct gcl_mem *mem);
void gcl_arg_keep_svm(struct gcl_kernel_arg *arg, struct gcl_mem *mem, const void *pointer);
void gcl_arg_keep_sampler(struct gcl_kernel_arg *arg, struct gcl_sampler *sampler);
int gcl_arg_keep_value(struct gcl_kernel_arg *arg, uint64_t size, const void *data);

/** gcl_kernel_twins_fini() - release twins, and what is known of arguments. */
void gcl_kernel_twins_fini(struct gcl_kernel *kernel);

/** gcl_sampler_on() - its twin, made if need be. */
cl_sampler gcl_sampler_on(struct gcl_worker *worker, struct gcl_sampler *sampler, unsigned side,
			  cl_int *status);

/** gcl_kernels_drop() - let go of all there on @side. */
void gcl_kernels_drop(struct gcl_worker *worker, unsigned side);

/** gcl_programs_drop() - the same, of programs. */
void gcl_programs_drop(struct gcl_worker *worker, unsigned side);

/** gcl_twins_drop() - release all that the session has on @side. */
void gcl_twins_drop(struct gcl_worker *worker, unsigned side);

/* ------------------------------------------------------------ contents (settle.c, contents.c) */

/** gcl_use_note() - @command does @access with @mem. Return: 0, -ENOMEM. */
int gcl_use_note(struct gcl_worker *worker, struct gcl_command *command, struct gcl_mem *mem,
		 enum gcl_access access);

/** gcl_settle() - before the runtime's call: see to it that all objects are on the queue's side,
 * and their contents are or will be; adds to the wait list, or sets command->failed. */
void gcl_settle(struct gcl_worker *worker, struct gcl_command *command);

/** gcl_settled() - after it: command->event writes. Return: 0, -ENOMEM. */
int gcl_settled(struct gcl_worker *worker, const struct gcl_command *command);

/** gcl_settle_late() - what gcl_settle() and gcl_settled() do, for a command that has been enqueued
 * already and waits for @arrival, a user event of its side, which will be set.
 * @needs: its objects, each of which is on its side
 * @event: the command's
 *
 * Return: 0, -ENOMEM. */
int gcl_settle_late(struct gcl_worker *worker, const struct gcl_needs *needs, cl_event arrival,
		    cl_event event);

/** gcl_contents_init() - of a root that was made at home. @defined: it has contents. */
void gcl_contents_init(struct gcl_contents *contents, bool defined);
void gcl_contents_fini(struct gcl_contents *contents);

/** gcl_copy_fill() - what is to be copied to bring the contents of @root from side to side; its
 * handles get a reference each. Return: CL_SUCCESS or why not, and nothing is held then. */
cl_int gcl_copy_fill(struct gcl_worker *worker, struct gcl_mem *root, unsigned from, unsigned to,
		     struct gcl_copy *copy);

/** gcl_contents_send() - have the contents of @root, which nothing uses now, sent to @side, where
 * it is made: commands there wait until they have come. Return: false: they aren't on their way. */
bool gcl_contents_send(struct gcl_worker *worker, struct gcl_mem *root, unsigned side);

/** gcl_copy_fini() - let go of them. */
void gcl_copy_fini(struct gcl_copy *copy);

/** gcl_contents_leave() - @side is going to be closed: what was only there is lost. */
void gcl_contents_leave(struct gcl_contents *contents, unsigned side);

/** gcl_contents_on() - are those of @root on @side, as far as is known? Forgets what has arrived.
 */
bool gcl_contents_on(struct gcl_mem *root, unsigned side);

/** gcl_contents_writers() - events of all that is on its way and writes @root; into @events, which
 * has room for gcl_contents_writers_max(). Return: how many. */
size_t gcl_contents_writers(struct gcl_mem *root, cl_event *events);

static inline size_t gcl_contents_writers_max(const struct gcl_contents *contents)
{
	return (size_t)contents->writer_count + GCL_SIDES;
}

/** gcl_contents_arriving() - are they on their way to some side, so that none that is said to have
 * them may be copied from? */
bool gcl_contents_arriving(struct gcl_mem *root);

/** gcl_contents_arrive() - @event is set when nothing writes there any more; it gets a reference.
 */
void gcl_contents_arrive(struct gcl_contents *contents, unsigned side, cl_event event);

/** gcl_contents_write() - the command with @event, of @side, writes. Return: 0, -ENOMEM. */
int gcl_contents_write(struct gcl_contents *contents, cl_event event, unsigned side);

/* ------------------------------------------------------------ commands that wait for the program
 * (gated.c) */

/** gcl_gated_find() - find the user events that @command waits for. Return: 0, -ENOMEM. */
int gcl_gated_find(struct gcl_worker *worker, const Gcl__Command *message,
		   struct gcl_command *command);

/** gcl_gated_order() - @command, of a queue without order, is a marker or a barrier.
 * @after: for all that the queue has been given before
 * @before: before all that it is given later
 *
 * Return: 0, -ENOMEM. */
int gcl_gated_order(struct gcl_worker *worker, struct gcl_command *command, bool after,
		    bool before);

/** gcl_gated_hold() - before the runtime's call: @command, which waits for user events, also waits
 * for what gcl_gated_open() will do. Return: CL_SUCCESS, or why it can't be enqueued. */
cl_int gcl_gated_hold(struct gcl_worker *worker, struct gcl_command *command);

/** gcl_gated_note() - after it. Return: 0, -ENOMEM. */
int gcl_gated_note(struct gcl_worker *worker, struct gcl_command *command);

/** gcl_gated_drop() - the runtime has refused it. */
void gcl_gated_drop(struct gcl_command *command);

/** gcl_gated_open() - the program sets the user event @id: what waited for it alone is settled.
 * Return: 0, -ENOMEM. */
int gcl_gated_open(struct gcl_worker *worker, uint64_t id);

/** gcl_gated_on() - is there any on @side? */
bool gcl_gated_on(const struct gcl_worker *worker, unsigned side);

/** gcl_gated_lose() - @side is lost: those that are there won't run; GCL_SIDES: all of them. */
void gcl_gated_lose(struct gcl_worker *worker, unsigned side);

/* ------------------------------------------------------------ events (cross.c) */

/* Detail of a GCL_KIND_EVENT entry of an event that isn't home's alone; else it is NULL. */
struct gcl_event_sides {
	unsigned side;
	bool past; /* it was complete when its side was closed */
	cl_event proxies[GCL_SIDES];
};

/** gcl_event_made() - @entry's event is one of @side. Return: 0, -ENOMEM. */
int gcl_event_made(struct gcl_entry *entry, unsigned side);

/**
 * gcl_event_on() - what a command on @side waits for instead of @entry's event; lent.
 *
 * Return: NULL: there is nothing to wait for; with *@status negative: it can't be waited for.
 */
cl_event gcl_event_on(struct gcl_worker *worker, struct gcl_entry *entry,
		      struct gcl_context *context, unsigned side, cl_int *status);

/** gcl_event_renewed() - @entry has another event, at home: whoever waited for the old one there
 * waits for it. */
void gcl_event_renewed(struct gcl_worker *worker, struct gcl_entry *entry);

/** gcl_event_follow() - @proxy, a user event at home, is set when @event of home ends. */
cl_int gcl_event_follow(struct gcl_worker *worker, cl_event event, cl_event proxy);

/** gcl_event_lose() - if @entry's event is of @side, which is lost, those that wait for it at home
 * are told what became of it. */
void gcl_event_lose(struct gcl_entry *entry, unsigned side);

/** gcl_event_status() - CL_COMPLETE, CL_QUEUED..., or why it failed. */
cl_int gcl_event_status(cl_event event);

/** gcl_crossings_sweep() - find events that are over and whose callback does not come. */
void gcl_crossings_sweep(struct gcl_worker *worker);

/** gcl_crossings_forget() - what becomes of events of @side is no matter any more. */
void gcl_crossings_forget(struct gcl_worker *worker, unsigned side);

/** gcl_crossings_of() - is an event on its way from or to @side? */
bool gcl_crossings_of(struct gcl_worker *worker, unsigned side);

/** gcl_event_leave() - @side is going to be closed; GCL_SIDES: all of them are, but home. */
void gcl_event_leave(struct gcl_entry *entry, unsigned side);

/* ------------------------------------------------------------ moves (move.c) */

/** gcl_move_look() - now and then: has it waited for too long? @now: ns. */
void gcl_move_look(struct gcl_move *move, uint64_t now);

/** gcl_move_poll() - session thread, between two messages: whatever there is to do about moves and
 * sides. */
void gcl_move_poll(struct gcl_worker *worker);

#endif
