/*
 * The stages that a message passes: dispatch, trace, the handler.
 *
 * A stage has the signature of gcl_handler, does one thing and calls the next by name. Must not:
 * know what a message means.
 */
#include <errno.h>
#include <string.h>

#include "worker.h"

static gcl_handler *const handlers[GCL_MESSAGE_LIMIT] = {
#define HANDLER(number, constant, type) [number] = gcl_handle_##type,
	GCL_MESSAGES_TO_WORKER(HANDLER)
#undef HANDLER
};

static int stage_execute(struct gcl_worker *worker, const struct gcl_call *call)
{
	return handlers[call->head->number](worker, call);
}

static int stage_trace(struct gcl_worker *worker, const struct gcl_call *call)
{
	gcl_log_debug(call, "%llu: %s", (unsigned long long)call->head->sequence,
		      gcl_message_name(call->head->number));
	return stage_execute(worker, call);
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
	err = stage_trace(worker, &call);
	if (err)
		gcl_log_peer(session, "refused: %s: %s", gcl_message_name(head->number),
			     strerror(-err));
	return err;
}
