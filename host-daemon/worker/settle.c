// SPDX-License-Identifier: MIT
/*
 * That the contents of memory objects are where a command needs them.
 *
 * What a command needs from another side is lent to it: a user event of the command's side stands
 * in its wait list, and is set when the contents have been copied. Copying begins when all has
 * completed that comes before the command, as its wait list and its queue have it, and all that
 * writes to the object on its way, which parts of a buffer may be on different sides: so what
 * programs may do at a time on one device still works on two, one after the other.
 *
 * Must not: wait.
 */
#include <errno.h>
#include <stdlib.h>

#include "copy.h"
#include "gather.h"
#include "hasher.h"
#include "jobs.h"
#include "worker.h"

/* What one command needs, on its way. */
struct loan {
	struct gcl_job job;
	struct gcl_worker *worker;
	cl_event arrival; /* a reference; the user event */
	cl_event marker;  /* a reference, or NULL */
	size_t count;
	struct gcl_copy copies[];
};

/* ------------------------------------------------------------ uses */

int gcl_use_note(struct gcl_worker *worker, struct gcl_command *command, struct gcl_mem *mem,
		 enum gcl_access access)
{
	if (command->use_count == command->use_room) {
		unsigned room = command->use_room ? 2 * command->use_room : 8;
		struct gcl_use *uses = gcl_arena_alloc(&worker->arena, room * sizeof *uses);

		if (!uses)
			return -ENOMEM;
		for (unsigned i = 0; i < command->use_count; i++)
			uses[i] = command->uses[i];
		command->uses = uses;
		command->use_room = room;
	}
	command->uses[command->use_count++] = (struct gcl_use){mem, access};
	return 0;
}

static struct gcl_needs needs_of(const struct gcl_command *command)
{
	return (struct gcl_needs){
		.context = command->queue->context,
		.side = command->side,
		.queue = command->queue->id,
		.uses = command->uses,
		.count = command->use_count,
	};
}

static void use_tell(struct gcl_worker *worker, const struct gcl_needs *needs,
		     const struct gcl_use *use)
{
	struct gcl_contents *contents = &gcl_mem_root(use->mem)->contents;

	if (worker->sides.journal)
		gcl_journal_use(worker, needs->side, use);
	contents->users |= gcl_queue_bit(needs->queue);
	if (use->access & GCL_ACCESS_WRITE) {
		contents->valid = GCL_SIDE_BIT(needs->side);
		contents->summed &= (uint8_t)~GCL_SIDE_BIT(needs->side);
		contents->written = ++worker->sides.clock;
	} else if (contents->valid != GCL_SIDES_ALL) {
		contents->valid |= GCL_SIDE_BIT(needs->side);
	}
}

/* Of one that is gated: that it will. */
static void use_foretell(struct gcl_worker *worker, const struct gcl_needs *needs,
			 const struct gcl_use *use)
{
	if (worker->sides.journal)
		gcl_journal_use(worker, needs->side, use);
	gcl_mem_root(use->mem)->contents.users |= gcl_queue_bit(needs->queue);
}

static int writes_note(const struct gcl_needs *needs, cl_event event)
{
	for (unsigned i = 0; i < needs->count; i++) {
		const struct gcl_use *use = &needs->uses[i];

		if (use->access & GCL_ACCESS_WRITE &&
		    gcl_contents_write(&gcl_mem_root(use->mem)->contents, event, needs->side))
			return -ENOMEM;
	}
	return 0;
}

/* ------------------------------------------------------------ loans */

static void loan_free(struct loan *loan)
{
	for (size_t i = 0; i < loan->count; i++)
		gcl_copy_fini(&loan->copies[i]);
	if (loan->marker)
		clReleaseEvent(loan->marker);
	if (loan->arrival)
		clReleaseEvent(loan->arrival);
	atomic_fetch_sub(&loan->worker->sides.loans, 1);
	free(loan);
}

static void loan_end(struct loan *loan, cl_int status)
{
	if (loan->arrival)
		clSetUserEventStatus(loan->arrival, status < 0 ? status : CL_COMPLETE);
	loan_free(loan);
}

static void loan_run(struct gcl_job *job)
{
	struct loan *loan = gcl_container_of(job, struct loan, job);
	cl_int status = CL_SUCCESS;
	uint64_t sent = 0;

	for (size_t i = 0; i < loan->count && status == CL_SUCCESS; i++) {
		gcl_copy_run(&loan->copies[i], loan->worker->sides.room);
		status = loan->copies[i].status;
		sent += loan->copies[i].sent;
	}
	atomic_fetch_add_explicit(&loan->worker->page->move.lent, sent, memory_order_relaxed);
	loan_end(loan, status);
}

static void loan_drop(struct gcl_job *job)
{
	loan_end(gcl_container_of(job, struct loan, job), CL_OUT_OF_RESOURCES);
}

/* All that comes before it is complete. */
static void loan_begin(void *arg, cl_int status)
{
	struct loan *loan = arg;

	if (status < 0)
		loan_end(loan, CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
	else if (gcl_jobs_post(loan->worker->sides.lending, &loan->job))
		loan_end(loan, CL_OUT_OF_RESOURCES);
}

/* The side that it comes from: home, if it is there. */
static unsigned side_of(uint8_t valid)
{
	unsigned side = GCL_HOME;

	while (side < GCL_SIDES - 1 && !(valid & GCL_SIDE_BIT(side)))
		side++;
	return side;
}

cl_int gcl_copy_fill(struct gcl_worker *worker, struct gcl_mem *root, unsigned from, unsigned to,
		     struct gcl_copy *copy)
{
	cl_int status = CL_SUCCESS;

	*copy = (struct gcl_copy){
		.from = gcl_mem_on(worker, root, from, &status),
		.to = gcl_mem_on(worker, root, to, &status),
		.type = root->type,
		.size = root->size,
		.region = {root->extent[0], root->extent[1], root->extent[2]},
		.element_size = root->element_size,
	};
	if (status == CL_SUCCESS)
		copy->from_queue = gcl_context_copies(worker, root->context, from, &status);
	if (status == CL_SUCCESS)
		copy->to_queue = gcl_context_copies(worker, root->context, to, &status);
	if (status != CL_SUCCESS)
		return status;
	clRetainMemObject(copy->from);
	clRetainMemObject(copy->to);
	clRetainCommandQueue(copy->from_queue);
	clRetainCommandQueue(copy->to_queue);
	copy->from_memory = from == GCL_HOME && root->context->memory;
	copy->to_memory = to == GCL_HOME && root->context->memory;
	/* A kernel must not read what is for writing alone. */
	if (!(root->flags & CL_MEM_WRITE_ONLY))
		copy->hasher = gcl_hasher_get(root->context->hashers[from]);
	root->contents.summed &= (uint8_t)~GCL_SIDE_BIT(to);
	return CL_SUCCESS;
}

void gcl_copy_fini(struct gcl_copy *copy)
{
	clReleaseMemObject(copy->from);
	clReleaseMemObject(copy->to);
	clReleaseCommandQueue(copy->from_queue);
	clReleaseCommandQueue(copy->to_queue);
	gcl_hasher_put(copy->hasher);
}

/* Roots that are needed here and aren't. Return: how many; some may be listed twice. */
static size_t missing_count(const struct gcl_needs *needs)
{
	size_t count = 0;

	for (unsigned i = 0; i < needs->count; i++) {
		struct gcl_mem *root = gcl_mem_root(needs->uses[i].mem);

		count += needs->uses[i].access != GCL_ACCESS_REPLACE &&
			 !gcl_contents_on(root, needs->side);
	}
	return count;
}

static cl_int copies_fill(struct gcl_worker *worker, const struct gcl_needs *needs,
			  struct loan *loan)
{
	for (unsigned i = 0; i < needs->count; i++) {
		struct gcl_mem *root = gcl_mem_root(needs->uses[i].mem);
		struct gcl_contents *contents = &root->contents;
		cl_int status;

		if (needs->uses[i].access == GCL_ACCESS_REPLACE ||
		    contents->valid & GCL_SIDE_BIT(needs->side))
			continue;
		/* It was lost with a server. */
		if (!contents->valid)
			return CL_DEVICE_NOT_AVAILABLE;
		status = gcl_copy_fill(worker, root, side_of(contents->valid), needs->side,
				       &loan->copies[loan->count]);
		if (status != CL_SUCCESS)
			return status;
		loan->count++;
		if (needs->side == GCL_HOME)
			gcl_journal_spoil(worker, root);
		contents->valid |= GCL_SIDE_BIT(needs->side);
		gcl_contents_arrive(contents, needs->side, loan->arrival);
	}
	return CL_SUCCESS;
}

/*
 * What has to be complete before, apart from the command's place in its queue: who writes these
 * objects, and what is on its way: to where it comes from, or to the same place, which would come
 * over it later.
 *
 * Return: events in the arena, each with a reference, *@count of them, and room for one more; NULL
 * without memory.
 */
static cl_event *before_list(struct gcl_worker *worker, const struct gcl_needs *needs,
			     size_t *count)
{
	size_t room = 1;
	cl_event *events;

	for (unsigned i = 0; i < needs->count; i++)
		room += gcl_contents_writers_max(&gcl_mem_root(needs->uses[i].mem)->contents);
	events = gcl_arena_alloc(&worker->arena, room * sizeof *events);
	*count = 0;
	for (unsigned i = 0; events && i < needs->count; i++)
		*count += gcl_contents_writers(gcl_mem_root(needs->uses[i].mem), events + *count);
	for (size_t i = 0; events && i < *count; i++)
		clRetainEvent(events[i]);
	return events;
}

/* Of @missing objects of @context, none of which is in it yet.
 * @arrival: the event to set; NULL: one is made */
static cl_int loan_create(struct gcl_worker *worker, struct gcl_context *context, unsigned side,
			  cl_event arrival, size_t missing, struct loan **out)
{
	struct loan *loan = calloc(1, sizeof *loan + missing * sizeof loan->copies[0]);
	cl_int status = CL_SUCCESS;
	cl_context there;

	*out = loan;
	if (!loan)
		return CL_OUT_OF_HOST_MEMORY;
	loan->worker = worker;
	atomic_fetch_add(&worker->sides.loans, 1);
	loan->job.run = loan_run;
	loan->job.drop = loan_drop;
	if (arrival)
		clRetainEvent(arrival);
	loan->arrival = arrival;
	if (!worker->sides.lending)
		worker->sides.lending = gcl_jobs_create("lend");
	if (!worker->sides.room)
		worker->sides.room = gcl_copy_room_create(0, 0);
	if (!worker->sides.lending || !worker->sides.room)
		return CL_OUT_OF_HOST_MEMORY;
	there = gcl_context_on(worker, context, side, &status);
	if (status == CL_SUCCESS && !arrival)
		loan->arrival = clCreateUserEvent(there, &status);
	return status;
}

bool gcl_contents_send(struct gcl_worker *worker, struct gcl_mem *root, unsigned side)
{
	struct gcl_contents *contents = &root->contents;
	struct loan *loan;
	cl_int status = loan_create(worker, root->context, side, NULL, 1, &loan);

	if (status == CL_SUCCESS)
		status = gcl_copy_fill(worker, root, side_of(contents->valid), side,
				       &loan->copies[0]);
	if (status == CL_SUCCESS) {
		loan->count = 1;
		if (side == GCL_HOME)
			gcl_journal_spoil(worker, root);
		contents->valid |= GCL_SIDE_BIT(side);
		gcl_contents_arrive(contents, side, loan->arrival);
		loan_begin(loan, CL_COMPLETE);
	} else if (loan) {
		loan_end(loan, status);
	}
	return status == CL_SUCCESS;
}

/*
 * Sends what is missing, and sets an event when it has come.
 * @command: that of @needs, whose place in its queue is waited for; NULL: the place is no matter
 * @arrival: that event, which is set to a failure, too; NULL: one is made
 */
static cl_int lend(struct gcl_worker *worker, const struct gcl_needs *needs,
		   const struct gcl_command *command, cl_event arrival, size_t missing)
{
	struct loan *loan = NULL;
	size_t count, held;
	cl_event *before = before_list(worker, needs, &held);
	cl_int status = CL_OUT_OF_HOST_MEMORY;

	if (before)
		status = loan_create(worker, needs->context, needs->side, arrival, missing, &loan);
	count = held;
	if (status == CL_SUCCESS && command) {
		status = clEnqueueMarkerWithWaitList(command->queue->handle, command->wait_count,
						     command->waits, &loan->marker);
		before[count++] = loan->marker;
	}
	if (status == CL_SUCCESS)
		status = copies_fill(worker, needs, loan);
	if (status == CL_SUCCESS && gcl_gather(before, count, loan_begin, loan))
		status = CL_OUT_OF_HOST_MEMORY;
	for (size_t i = 0; before && i < held; i++)
		clReleaseEvent(before[i]);
	if (status == CL_SUCCESS && command)
		clFlush(command->queue->handle);
	if (status != CL_SUCCESS && loan)
		loan_end(loan, status);
	else if (status != CL_SUCCESS && arrival)
		clSetUserEventStatus(arrival, status);
	return status;
}

/* ------------------------------------------------------------ commands */

/* Adds what is on its way to the wait list. */
static cl_int arrivals_await(struct gcl_worker *worker, struct gcl_command *command)
{
	size_t room = (size_t)command->wait_count + command->use_count;
	cl_event *waits = gcl_arena_alloc(&worker->arena, room * sizeof *waits);
	cl_uint count = 0;

	if (!waits)
		return CL_OUT_OF_HOST_MEMORY;
	for (cl_uint i = 0; i < command->wait_count; i++)
		waits[count++] = command->waits[i];
	for (unsigned i = 0; i < command->use_count; i++) {
		struct gcl_contents *contents = &gcl_mem_root(command->uses[i].mem)->contents;

		if (contents->arriving[command->side])
			waits[count++] = contents->arriving[command->side];
	}
	command->wait_count = count;
	command->waits = count ? waits : NULL;
	return CL_SUCCESS;
}

static cl_int settle(struct gcl_worker *worker, struct gcl_command *command)
{
	struct gcl_needs needs = needs_of(command);
	cl_int status = CL_SUCCESS;
	size_t missing;

	for (unsigned i = 0; i < needs.count && status == CL_SUCCESS; i++)
		gcl_mem_on(worker, needs.uses[i].mem, needs.side, &status);
	if (status != CL_SUCCESS)
		return status;
	if (command->gate_count)
		return gcl_gated_hold(worker, command);
	missing = missing_count(&needs);
	if (missing)
		status = lend(worker, &needs, command, NULL, missing);
	return status == CL_SUCCESS ? arrivals_await(worker, command) : status;
}

void gcl_settle(struct gcl_worker *worker, struct gcl_command *command)
{
	struct gcl_needs needs;

	if (!command->use_count || command->failed || command->settled)
		return;
	command->settled = true;
	if (worker->sides.active)
		command->failed = settle(worker, command);
	needs = needs_of(command);
	for (unsigned i = 0; i < needs.count && !command->failed; i++) {
		if (command->gated)
			use_foretell(worker, &needs, &needs.uses[i]);
		else
			use_tell(worker, &needs, &needs.uses[i]);
	}
}

int gcl_settled(struct gcl_worker *worker, const struct gcl_command *command)
{
	struct gcl_needs needs;

	if (!worker->sides.active)
		return 0;
	needs = needs_of(command);
	return writes_note(&needs, command->event);
}

/* Is something on its way to the same place already? */
static bool arrives(const struct gcl_needs *needs)
{
	bool any = false;

	for (unsigned i = 0; i < needs->count; i++)
		any |= gcl_mem_root(needs->uses[i].mem)->contents.arriving[needs->side] != NULL;
	return any;
}

int gcl_settle_late(struct gcl_worker *worker, const struct gcl_needs *needs, cl_event arrival,
		    cl_event event)
{
	size_t missing = missing_count(needs);

	if (!missing && !arrives(needs))
		clSetUserEventStatus(arrival, CL_COMPLETE);
	else if (lend(worker, needs, NULL, arrival, missing) != CL_SUCCESS)
		return 0; /* and the command fails */
	for (unsigned i = 0; i < needs->count; i++)
		use_tell(worker, needs, &needs->uses[i]);
	return writes_note(needs, event);
}
