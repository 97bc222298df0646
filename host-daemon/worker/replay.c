// SPDX-License-Identifier: MIT
/*
 * Replay: what queues did on a side that was lost is done again at home, from the journal.
 *
 * The same handlers run once more, on queues that are at home by then and contents as they were
 * when the journal began. What the guest has not been told of yet is told when it is complete here:
 * completions were withheld as soon as the side was lost. What it was told of is done silently, and
 * reads of that kind aren't done at all, as their memory may be the guest's again.
 *
 * Must not: wait, but for what the guest took for complete.
 *
 * Messages and their payloads are kept until all of it is complete. Should a command fail here that
 * the guest took for complete, what it wrote is lost, and its queue fails.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gather.h"
#include "worker.h"

/* So much that the guest took for complete may be under way before the thread waits for it, where
 * there is more than one queue in order: what a runtime does for events that wait for each other
 * may grow with the square of their number (PoCL 3.1). It is complete without the guest's help. */
#define UNDER_WAY_MAX 64u

/* Beyond replay-time, for what is done again to get on. */
#define REPLAY_SPARE_NS 5000000000u

/* What the guest was told of, in that order: see struct gcl_tells. */
struct told {
	struct gcl_tell tell;
	cl_event event; /* a reference: done again; or a user event in an outside one's place; or
			 * NULL */
	uint64_t queue; /* its command's */
	size_t next;	/* index + 1 in its bucket; 0: none */
	size_t first;	/* of the bucket of this index */
};

/* What the guest waits for: an event, or a QUEUE_SYNC's sequence. */
struct untold {
	uint64_t key;
	struct gcl_completion *completion; /* NULL: there is none */
};

struct gcl_replaying {
	struct gcl_list link; /* in sides.replays, when all has been enqueued */
	struct gcl_journal *journal;
	struct untold *untold; /* by hash of the key */
	size_t untold_room;    /* a power of 2, more than there are */
	struct told *told;
	size_t told_count;
	size_t waited;	   /* so many are complete */
	size_t passed;	   /* so many of these count for what is enqueued now */
	cl_event frontier; /* it is complete when they all are; or NULL: none is under way */
	bool failed;
	_Atomic bool over;
};

/* ------------------------------------------------------------ what the guest waits for */

static size_t untold_place(const struct gcl_replaying *replaying, uint64_t key)
{
	return (size_t)((key ^ key >> 32) * 0x9e3779b97f4a7c15u >> 20) &
	       (replaying->untold_room - 1);
}

static void untold_count(struct gcl_completion *completion, void *arg)
{
	size_t *count = arg;

	(void)completion;
	++*count;
}

static void untold_add(struct gcl_completion *completion, void *arg)
{
	const struct gcl_replaying *replaying = arg;
	uint64_t key = completion->event_id ? completion->event_id : completion->sync;
	size_t at = untold_place(replaying, key);

	while (replaying->untold[at].completion)
		at = (at + 1) & (replaying->untold_room - 1);
	replaying->untold[at] = (struct untold){key, completion};
}

/* Of a command with an event, or of a sync; sequences aren't as large as ids. Valid until it is
 * renewed. */
static struct gcl_completion *untold_find(const struct gcl_replaying *replaying, uint64_t key)
{
	size_t at = untold_place(replaying, key);

	while (replaying->untold[at].completion && replaying->untold[at].key != key)
		at = (at + 1) & (replaying->untold_room - 1);
	return replaying->untold[at].completion;
}

static int untold_list(struct gcl_worker *worker, struct gcl_replaying *replaying)
{
	unsigned side = replaying->journal->side;
	size_t count = 0;

	gcl_completions_freeze(worker, side, untold_count, &count);
	replaying->untold_room = 16;
	while (replaying->untold_room < 2 * count)
		replaying->untold_room *= 2;
	replaying->untold = calloc(replaying->untold_room, sizeof *replaying->untold);
	if (!replaying->untold)
		return -ENOMEM;
	gcl_completions_freeze(worker, side, untold_add, replaying);
	return 0;
}

struct gcl_entry *gcl_replay_find(struct gcl_worker *worker, uint64_t id)
{
	return gcl_ghost_find(worker->sides.replaying->journal, id);
}

struct gcl_entry *gcl_replay_event(struct gcl_worker *worker, uint64_t id, bool *told)
{
	struct gcl_replaying *replaying = worker->sides.replaying;
	struct gcl_entry *entry = gcl_table_find(worker, id, GCL_KIND_EVENT);
	struct gcl_event_sides *sides;

	*told = !untold_find(replaying, id);
	if (!entry)
		entry = gcl_ghost_add(replaying->journal, &(struct gcl_entry){.id = id});
	if (!entry)
		return NULL;
	if (entry->handle)
		clReleaseEvent(entry->handle);
	entry->handle = NULL;
	entry->failed = CL_SUCCESS;
	sides = entry->detail;
	if (sides) {
		sides->side = GCL_HOME;
		sides->past = false;
	}
	return entry;
}

/* ------------------------------------------------------------ what the guest knows */

static struct told *told_bucket(const struct gcl_replaying *replaying, uint64_t key)
{
	return &replaying->told[(key ^ key >> 32) % replaying->told_count];
}

static struct told *told_find(const struct gcl_replaying *replaying, uint64_t key)
{
	size_t at = replaying->told_count ? told_bucket(replaying, key)->first : 0;

	while (at && replaying->told[at - 1].tell.key != key)
		at = replaying->told[at - 1].next;
	return at ? &replaying->told[at - 1] : NULL;
}

static int told_list(struct gcl_worker *worker, struct gcl_replaying *replaying)
{
	struct gcl_tells *tells = &worker->sides.tells;
	bool failed;

	pthread_mutex_lock(&tells->lock);
	replaying->told = calloc(tells->count + 1, sizeof *replaying->told);
	failed = tells->failed || !replaying->told;
	replaying->told_count = failed ? 0 : tells->count;
	for (size_t i = 0; i < replaying->told_count; i++)
		replaying->told[i].tell = tells->list[i];
	pthread_mutex_unlock(&tells->lock);
	for (size_t i = replaying->told_count; i > 0; i--) {
		struct told *told = &replaying->told[i - 1];
		struct told *bucket = told_bucket(replaying, told->tell.key);

		told->next = bucket->first;
		bucket->first = i;
	}
	return failed ? -ENOMEM : 0;
}

/* Keeps what the guest took for complete. @event: taken over. */
static void told_keep(const struct gcl_replaying *replaying, uint64_t key, uint64_t queue,
		      cl_event event)
{
	struct told *told = told_find(replaying, key);

	if (told && !told->event) {
		told->event = event;
		told->queue = queue;
	} else if (event) {
		clReleaseEvent(event);
	}
}

bool gcl_replay_outside(struct gcl_worker *worker, uint64_t id, cl_event *wait)
{
	struct gcl_replaying *replaying = worker->sides.replaying;
	struct told *told = replaying->journal->several ? told_find(replaying, id) : NULL;
	cl_context context = replaying->journal->context->handles[GCL_HOME];

	*wait = NULL;
	if (!told || !told->tell.outside)
		return false;
	if (told < replaying->told + replaying->passed)
		return true;
	if (!told->event)
		told->event = clCreateUserEvent(context, NULL);
	*wait = told->event;
	return true;
}

/* All of @events, and the frontier, are one event. */
static void frontier_move(struct gcl_worker *worker, struct gcl_replaying *replaying,
			  cl_event *events, cl_uint *count)
{
	struct gcl_context *context = (struct gcl_context *)replaying->journal->context;
	cl_int status = CL_SUCCESS;
	cl_command_queue copies = gcl_context_copies(worker, context, GCL_HOME, &status);
	cl_event moved = NULL;

	if (!*count)
		return;
	if (replaying->frontier)
		events[(*count)++] = replaying->frontier;
	if (status == CL_SUCCESS)
		status = clEnqueueMarkerWithWaitList(copies, *count, events, &moved);
	*count = 0;
	if (status != CL_SUCCESS) {
		replaying->failed = true;
		return;
	}
	clFlush(copies);
	if (replaying->frontier)
		clReleaseEvent(replaying->frontier);
	replaying->frontier = moved;
}

/* Outside events happen again when all has that had been told before them. */
static void outside_happens(struct gcl_worker *worker, const struct gcl_replaying *replaying,
			    const struct told *told)
{
	if (!told->event)
		return;
	if (!replaying->frontier ||
	    gcl_event_follow(worker, replaying->frontier, told->event) != CL_SUCCESS)
		clSetUserEventStatus(told->event, CL_COMPLETE);
}

/* A runtime may never tell of a marker whose command failed: the time that all of it may take is
 * enough for a part. */
static bool frontier_await(const struct gcl_worker *worker, cl_event frontier)
{
	const struct timespec pause = {.tv_nsec = 100000};
	uint64_t end = gcl_trace_now() + worker->replay_time + REPLAY_SPARE_NS;

	while (gcl_event_status(frontier) > CL_COMPLETE) {
		if (gcl_trace_now() > end)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

static void frontier_wait(struct gcl_worker *worker, struct gcl_replaying *replaying)
{
	if (!replaying->journal->several || !replaying->frontier || replaying->failed ||
	    replaying->passed - replaying->waited < UNDER_WAY_MAX)
		return;
	gcl_progress(worker, false);
	replaying->failed = !frontier_await(worker, replaying->frontier);
	gcl_progress(worker, true);
	replaying->waited = replaying->passed;
}

/* What comes next may count on the first @count. */
static void frontier_reach(struct gcl_worker *worker, struct gcl_replaying *replaying, size_t count)
{
	_cleanup_free_ cl_event *events = NULL;
	cl_uint waits = 0;

	if (count <= replaying->passed)
		return;
	events = calloc(count - replaying->passed + 1, sizeof *events);
	if (!events) {
		replaying->failed = true;
		return;
	}
	for (; replaying->passed < count; replaying->passed++) {
		const struct told *told = &replaying->told[replaying->passed];

		if (told->tell.outside) {
			frontier_move(worker, replaying, events, &waits);
			outside_happens(worker, replaying, told);
		} else if (told->event && replaying->journal->several) {
			events[waits++] = told->event;
		} else if (told->event) {
			/* Of a queue in order, the last one says it all. */
			events[0] = told->event;
			waits = 1;
		}
	}
	frontier_move(worker, replaying, events, &waits);
	frontier_wait(worker, replaying);
}

cl_uint gcl_replay_frontier(struct gcl_worker *worker, const struct gcl_context *context,
			    cl_event *events, cl_uint room)
{
	const struct gcl_replaying *now = worker->sides.replaying;
	cl_uint count = 0;

	if (now && now->frontier && room)
		events[count++] = now->frontier;
	gcl_list_for_each (it, &worker->sides.replays) {
		const struct gcl_replaying *replaying =
			gcl_container_of(it, struct gcl_replaying, link);

		if (replaying->frontier && replaying->journal->context == context && count < room)
			events[count++] = replaying->frontier;
	}
	return count;
}

/* ------------------------------------------------------------ commands */

int gcl_replay_ended(struct gcl_worker *worker, const struct gcl_command *command)
{
	struct gcl_replaying *replaying = worker->sides.replaying;
	struct gcl_completion *untold = untold_find(replaying, command->event_entry->id);

	gcl_event_renewed(worker, command->event_entry);
	if (untold)
		gcl_completion_renew(worker, untold, command->event, CL_SUCCESS);
	else
		told_keep(replaying, command->event_entry->id, command->queue->id, command->event);
	return 0;
}

void gcl_replay_failed(struct gcl_worker *worker, const struct gcl_command *command, cl_int status)
{
	struct gcl_entry *entry = command->event_entry;
	struct gcl_completion *untold =
		entry ? untold_find(worker->sides.replaying, entry->id) : NULL;

	if (entry)
		gcl_event_renewed(worker, entry);
	if (untold) {
		gcl_completion_renew(worker, untold, NULL, status);
		return;
	}
	for (unsigned i = 0; i < command->use_count; i++)
		if (command->uses[i].access & GCL_ACCESS_WRITE)
			gcl_mem_root(command->uses[i].mem)->contents.valid = 0;
	worker->sides.lossy = true;
	gcl_queue_fail(worker, command->queue, status, "a command could not be done again");
}

void gcl_replay_synced(struct gcl_worker *worker, const struct gcl_queue *queue, uint64_t sequence,
		       cl_event event)
{
	struct gcl_completion *untold = untold_find(worker->sides.replaying, sequence);

	if (untold)
		gcl_completion_renew(worker, untold, event, CL_SUCCESS);
	else
		told_keep(worker->sides.replaying, sequence, queue->id, event);
}

/* ------------------------------------------------------------ the beginning */

static void contents_restore(struct gcl_worker *worker, const struct gcl_journal *journal)
{
	gcl_list_for_each (it, &worker->sides.mems) {
		struct gcl_contents *contents =
			&gcl_container_of(it, struct gcl_mem, twins)->contents;

		if (contents->journaled == journal->epoch &&
		    !(contents->valid & GCL_SIDE_BIT(GCL_HOME))) {
			contents->valid = GCL_SIDE_BIT(GCL_HOME);
			contents->written = ++worker->sides.clock;
		}
		gcl_contents_leave(contents, journal->side);
	}
}

static void args_restore(struct gcl_kernel *kernel, struct gcl_journal_kernel *note)
{
	for (cl_uint i = 0; i < note->count && i < kernel->arg_count; i++) {
		struct gcl_kernel_arg *arg = &kernel->args[i];

		gcl_arg_forget(arg);
		*arg = note->args[i];
		arg->stale = GCL_SIDES_ALL;
	}
	kernel->refused = note->refused;
	kernel->refused_status = note->refused_status;
	free(steal_pointer(&note->args));
}

/* Arguments are what they were before the first message. */
static void kernels_restore(struct gcl_worker *worker, struct gcl_journal *journal)
{
	gcl_list_for_each (it, &journal->kernels) {
		struct gcl_journal_kernel *note =
			gcl_container_of(it, struct gcl_journal_kernel, link);
		struct gcl_entry *entry = gcl_table_find(worker, note->id, GCL_KIND_KERNEL);

		if (entry && entry->detail)
			args_restore(entry->detail, note);
	}
}

static void note_replay(struct gcl_worker *worker, const struct gcl_journal_note *note)
{
	struct gcl_call call = {
		.head = &note->head,
		.message = gcl_message_unpack(&worker->arena, note->head.number, note->bytes,
					      note->size),
		.payload = note->bytes + gcl_journal_payload(note->size),
	};
	int err = -ENOMEM;

	if (worker->sides.replaying->journal->several)
		frontier_reach(worker, worker->sides.replaying, note->tells);
	if (call.message)
		err = note->away ? gcl_execute(worker, &call) : gcl_launch_args(worker, &call);
	worker->sides.replaying->failed |= err != 0;
}

/* ------------------------------------------------------------ the end */

static void replaying_free(struct gcl_worker *worker, struct gcl_replaying *replaying)
{
	gcl_list_remove(&replaying->link);
	for (size_t i = 0; i < replaying->told_count; i++)
		if (replaying->told[i].event)
			clReleaseEvent(replaying->told[i].event);
	if (replaying->frontier)
		clReleaseEvent(replaying->frontier);
	gcl_journal_free(worker, replaying->journal);
	free(replaying->told);
	free(replaying->untold);
	free(replaying);
}

static void replaying_over(void *arg, cl_int status)
{
	struct gcl_replaying *replaying = arg;

	(void)status;
	atomic_store(&replaying->over, true);
}

/* What was written since the journal began can't be told from what was not. */
static void told_failed(struct gcl_worker *worker, const struct gcl_replaying *replaying,
			const struct told *told, cl_int status)
{
	const struct gcl_entry *entry = gcl_table_find(worker, told->queue, GCL_KIND_QUEUE);

	gcl_log_error(session, "a command that was done again failed: %d", status);
	gcl_list_for_each (it, &worker->sides.mems) {
		struct gcl_contents *contents =
			&gcl_container_of(it, struct gcl_mem, twins)->contents;

		if (contents->journaled == replaying->journal->epoch)
			contents->valid = 0;
	}
	worker->sides.lossy = true;
	if (entry)
		gcl_queue_fail(worker, entry->detail, status, "a command could not be done again");
}

void gcl_replay_look(struct gcl_worker *worker)
{
	gcl_list_for_each_safe (it, next, &worker->sides.replays) {
		struct gcl_replaying *replaying = gcl_container_of(it, struct gcl_replaying, link);
		cl_int failed = CL_SUCCESS;

		if (!atomic_load(&replaying->over))
			continue;
		for (size_t i = 0; i < replaying->told_count && !failed; i++) {
			if (replaying->told[i].event)
				failed = gcl_event_failed(replaying->told[i].event);
			if (failed)
				told_failed(worker, replaying, &replaying->told[i], failed);
		}
		replaying_free(worker, replaying);
	}
}

void gcl_replay_fini(struct gcl_worker *worker)
{
	gcl_list_for_each_safe (it, next, &worker->sides.replays)
		replaying_free(worker, gcl_container_of(it, struct gcl_replaying, link));
}

static size_t markers_add(const struct gcl_list *queues, cl_event *events, size_t room)
{
	size_t count = 0;

	gcl_list_for_each (it, queues) {
		struct gcl_queue *queue = gcl_container_of(it, struct gcl_queue, link);

		if (!queue->replayed)
			continue;
		queue->replayed = false;
		if (count < room &&
		    !clEnqueueMarkerWithWaitList(queue->handle, 0, NULL, &events[count])) {
			clFlush(queue->handle);
			count++;
		}
	}
	return count;
}

/* Lets go of it when all of it is complete. */
static void replaying_watch(struct gcl_worker *worker, struct gcl_replaying *replaying)
{
	size_t room = gcl_list_count(&worker->queues) + gcl_list_count(&worker->closing), count;
	_cleanup_free_ cl_event *events = calloc(room + 1, sizeof *events);

	gcl_list_append(&worker->sides.replays, &replaying->link);
	if (!events)
		return;
	count = markers_add(&worker->queues, events, room);
	count += markers_add(&worker->closing, events + count, room - count);
	(void)gcl_gather(events, count, replaying_over, replaying);
	while (count)
		clReleaseEvent(events[--count]);
}

static struct gcl_replaying *replaying_create(struct gcl_worker *worker)
{
	struct gcl_replaying *replaying = calloc(1, sizeof *replaying);

	if (!replaying)
		return NULL;
	gcl_list_init(&replaying->link);
	replaying->journal = worker->sides.journal;
	/* What isn't told by then will not be. */
	if (!untold_list(worker, replaying) && !told_list(worker, replaying)) {
		worker->sides.journal = NULL;
		return replaying;
	}
	free(replaying->told);
	free(replaying->untold);
	free(replaying);
	return NULL;
}

bool gcl_replay(struct gcl_worker *worker)
{
	struct gcl_replaying *replaying = replaying_create(worker);
	uint64_t began = gcl_trace_now();
	struct gcl_journal *journal;
	size_t count = 0;

	if (!replaying)
		return false;
	journal = replaying->journal;
	gcl_crossings_forget(worker, journal->side);
	atomic_store(&worker->sides.withholds, 0);
	contents_restore(worker, journal);
	worker->sides.replaying = replaying;
	kernels_restore(worker, journal);
	gcl_list_for_each (it, &journal->notes) {
		note_replay(worker, gcl_container_of(it, struct gcl_journal_note, link));
		count++;
	}
	frontier_reach(worker, replaying, replaying->told_count);
	worker->sides.replaying = NULL;
	gcl_ghosts_leave(journal, journal->side);
	replaying_watch(worker, replaying);
	gcl_log_info(session, "%zu messages of the lost server's are done again here%s (%.1f ms)",
		     count, replaying->failed ? ", not all of which could be" : "",
		     (double)(gcl_trace_now() - began) / 1e6);
	atomic_fetch_add_explicit(&worker->page->move.replays, 1, memory_order_relaxed);
	return true;
}
