/*
 * The stages that a message passes: dispatch, trace, the handler.
 *
 * A stage has the signature of gcl_handler, does one thing and calls the next by name. Must not:
 * know what a message means.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "probe.h"
#include "worker.h"

uint64_t gcl_trace_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void gcl_trace_begin(struct gcl_trace_note *note, unsigned number, uint64_t size)
{
	*note = (struct gcl_trace_note){.time = gcl_trace_now(), .size = size};
	snprintf(note->name, sizeof note->name, "%s", gcl_message_name(number));
}

static gcl_handler *const handlers[GCL_MESSAGE_LIMIT] = {
#define HANDLER(number, constant, type) [number] = gcl_handle_##type,
	GCL_MESSAGES_TO_WORKER(HANDLER)
#undef HANDLER
};

int gcl_execute(struct gcl_worker *worker, const struct gcl_call *call)
{
	return handlers[call->head->number](worker, call);
}

/* For who looks at the session (guestcl trace). */
static int stage_note(struct gcl_worker *worker, const struct gcl_call *call)
{
	struct gcl_trace *trace = &worker->page->trace;
	struct gcl_trace_note note;
	int err;

	if (!gcl_trace_wanted(trace))
		return gcl_execute(worker, call);
	gcl_trace_begin(&note, call->head->number, call->head->length + call->head->payload_size);
	err = gcl_execute(worker, call);
	note.took = gcl_trace_now() - note.time;
	gcl_trace_add(trace, &note);
	return err;
}

static int stage_trace(struct gcl_worker *worker, const struct gcl_call *call)
{
	int err;

	gcl_log_debug(call, "%llu: %s", (unsigned long long)call->head->sequence,
		      gcl_message_name(call->head->number));
	GCL_PROBE2(call__begin, call->head->number, call->head->sequence);
	err = stage_note(worker, call);
	GCL_PROBE3(call__end, call->head->number, call->head->sequence, err);
	return err;
}

int gcl_dispatch(struct gcl_worker *worker, const struct gcl_frame *head, const void *body,
		 size_t size)
{
	struct gcl_call call = {.head = head};
	int err;

	if (head->number >= GCL_MESSAGE_LIMIT || !handlers[head->number]) {
		gcl_log_peer(session, "no message to a worker has number %u", head->number);
		return -EPROTO;
	}
	call.message = gcl_message_unpack(&worker->arena, head->number, body, size);
	if (!call.message) {
		gcl_log_peer(session, "malformed: %s of %zu bytes", gcl_message_name(head->number),
			     size);
		return -EPROTO;
	}
	gcl_page_add(&worker->page->counts.calls, 1);
	if (worker->sides.journal)
		gcl_journal_add(worker, &call, body, size);
	err = stage_trace(worker, &call);
	if (err)
		gcl_log_peer(session, "refused: %s: %s", gcl_message_name(head->number),
			     strerror(-err));
	return err;
}
