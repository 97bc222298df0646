/*
 * What all commands have in common: queue and wait list before the runtime's call, event and
 * failure after it.
 */
#include <errno.h>

#include "worker.h"

/* Replays at a time that others wait for; of more, the first are over long since. */
#define FRONTIERS_MAX 8u

/* Translates the ids of the events to wait for. Those of other sides that have completed are left
 * out. */
static int waits_find(struct gcl_worker *worker, const Gcl__Command *message,
		      struct gcl_command *command)
{
	bool after = command->side == GCL_HOME && gcl_sides_replaying(&worker->sides);
	cl_uint count = 0, more = after ? FRONTIERS_MAX : 0;
	cl_event *waits;

	if (message->n_waits == 0 && !more)
		return 0;
	if (message->n_waits > GCL_WAITS_MAX)
		return -EPROTO;
	waits = gcl_arena_alloc(&worker->arena, (message->n_waits + more) * sizeof(cl_event));
	if (!waits)
		return -EPROTO;
	for (size_t i = 0; i < message->n_waits; i++) {
		struct gcl_entry *entry = gcl_table_find(worker, message->waits[i], GCL_KIND_EVENT);
		cl_int status = CL_SUCCESS;

		/* One that was over when it was released. */
		if (worker->sides.replaying &&
		    gcl_replay_outside(worker, message->waits[i], &waits[count])) {
			count += waits[count] != NULL;
			continue;
		}
		if (!entry && worker->sides.replaying)
			continue;
		if (!entry)
			return -EPROTO;
		waits[count] = gcl_event_on(worker, entry, command->queue->context, command->side,
					    &status);
		if (status != CL_SUCCESS)
			command->failed = status;
		else if (waits[count])
			count++;
	}
	if (more)
		count += gcl_replay_frontier(worker, command->queue->context, waits + count, more);
	command->wait_count = count;
	command->waits = count ? waits : NULL;
	return 0;
}

int gcl_command_begin(struct gcl_worker *worker, const Gcl__Command *message,
		      struct gcl_command *command)
{
	const struct gcl_entry *queue;
	int err;

	*command = (struct gcl_command){0};
	if (!message)
		return -EPROTO;
	queue = gcl_table_find(worker, message->queue, GCL_KIND_QUEUE);
	if (!queue)
		return -EPROTO;
	command->queue = queue->detail;
	command->side = command->queue->side;
	command->queue->replayed |= worker->sides.replaying != NULL;
	err = waits_find(worker, message, command);
	if (err)
		return err;
	if (queue->failed)
		command->failed = queue->failed;
	if (gcl_gated_find(worker, message, command))
		return -ENOMEM;
	if (message->event == 0)
		return 0;
	if (worker->sides.replaying) {
		command->event_entry = gcl_replay_event(worker, message->event, &command->told);
		return command->event_entry ? 0 : -ENOMEM;
	}
	command->event_entry = gcl_table_add(worker, message->event, GCL_KIND_EVENT);
	return command->event_entry ? 0 : -EPROTO;
}

void *gcl_call_payload(const struct gcl_worker *worker, const struct gcl_call *call, uint64_t size)
{
	if (call->payload && size <= call->head->payload_size)
		return (void *)(uintptr_t)call->payload;
	return gcl_channel_heap_ptr(worker->channel, call->head->payload_offset, size);
}

bool gcl_command_skipped(const struct gcl_command *command)
{
	return command->told && command->payload_size;
}

cl_int gcl_command_mark(struct gcl_command *command)
{
	return clEnqueueMarkerWithWaitList(command->queue->handle, command->wait_count,
					   command->waits, &command->event);
}

/* The event of a command that the runtime refused: complete with an error from the beginning. */
static void event_fail(const struct gcl_queue *queue, struct gcl_entry *entry, cl_int status)
{
	cl_event event = NULL;

	if (queue->context->handles[GCL_HOME])
		event = clCreateUserEvent(queue->context->handles[GCL_HOME], NULL);
	if (event)
		clSetUserEventStatus(event, status);
	entry->handle = event;
	entry->failed = status;
}

static void event_fail_tell(struct gcl_worker *worker, const struct gcl_entry *entry, cl_int status)
{
	Gcl__EventDone done = GCL__EVENT_DONE__INIT;

	done.event = entry->id;
	done.status = status;
	gcl_send(worker, GCL_EVENT_DONE, &done.base, 0, 0);
}

static int command_fail(struct gcl_worker *worker, const struct gcl_command *command, cl_int status,
			const char *what)
{
	struct gcl_entry *entry = command->event_entry;

	gcl_log_debug(call, "%s: %d", what, status);
	if (entry)
		event_fail(command->queue, entry, status);
	if (worker->sides.replaying) {
		gcl_replay_failed(worker, command, status);
		return 0;
	}
	if (command->side != GCL_HOME)
		gcl_journal_break(worker, GCL_REPLAY_FAILED);
	gcl_queue_fail(worker, command->queue, status, what);
	if (entry)
		event_fail_tell(worker, entry, status);
	return 0;
}

/* Its side is lost: what becomes of it will be decided. */
static int command_withhold(struct gcl_worker *worker, const struct gcl_command *command)
{
	const struct gcl_completion withheld = {
		.queue = command->queue,
		.event_id = command->event_entry ? command->event_entry->id : 0,
		.payload_offset = command->payload_offset,
		.payload_size = command->payload_size,
		.prints = command->prints,
		.withheld = true,
		.side = command->side,
	};

	if (command->event)
		clReleaseEvent(command->event);
	if (!command->event_entry)
		return 0;
	if (gcl_event_made(command->event_entry, command->side))
		return -ENOMEM;
	return gcl_completion_await(worker, &withheld, NULL);
}

int gcl_command_end(struct gcl_worker *worker, struct gcl_command *command, cl_int status,
		    const char *what)
{
	struct gcl_queue *queue = command->queue;
	struct gcl_entry *entry = command->event_entry;

	if (command->failed)
		status = command->failed;
	if (status != CL_SUCCESS || !command->event)
		gcl_gated_drop(command);
	if ((status != CL_SUCCESS || !command->event) && gcl_side_withholds(worker, command->side))
		return command_withhold(worker, command);
	if (status != CL_SUCCESS || !command->event)
		return command_fail(worker, command, status < 0 ? status : CL_OUT_OF_RESOURCES,
				    what);
	if (command->kernel && command->side == GCL_HOME)
		gcl_timing_launch(worker, queue, command->event);
	gcl_meter_add(worker, command);
	/* Most programs wait for what they read. */
	if (command->payload_size && entry)
		gcl_page_add(&worker->page->task.waits, 1);
	if (command->gate_count ? gcl_gated_note(worker, command) : gcl_settled(worker, command))
		return -ENOMEM;
	if (queue->in_order) {
		if (queue->last)
			clReleaseEvent(queue->last);
		queue->last = command->event;
	} else if (!entry) {
		clReleaseEvent(command->event);
	}
	if (!entry)
		return 0;
	if (command->side != GCL_HOME && gcl_event_made(entry, command->side))
		return -ENOMEM;
	/* One reference for the entry, one for the completion, one for the queue. */
	clRetainEvent(command->event);
	if (queue->in_order)
		clRetainEvent(command->event);
	entry->handle = command->event;
	if (worker->sides.replaying)
		return gcl_replay_ended(worker, command);
	return gcl_completion_await(worker,
				    &(struct gcl_completion){
					    .queue = queue,
					    .event_id = entry->id,
					    .payload_offset = command->payload_offset,
					    .payload_size = command->payload_size,
					    .prints = command->prints,
					    .side = command->side,
				    },
				    command->event);
}
