/*
 * Events: those of commands are made in command.c; here are user events and the end of all.
 */
#include <errno.h>
#include <stdlib.h>

#include "worker.h"

int gcl_handle_user_event_create(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__UserEventCreate *message = (const Gcl__UserEventCreate *)call->message;
	const struct gcl_entry *context =
		gcl_table_find(worker, message->context, GCL_KIND_CONTEXT);
	struct gcl_entry *entry;
	cl_int status;
	cl_event event = NULL;

	if (!context)
		return -EPROTO;
	entry = gcl_table_add(worker, message->id, GCL_KIND_EVENT);
	if (!entry)
		return -EPROTO;
	status = context->failed;
	if (!status)
		event = clCreateUserEvent(context->handle, &status);
	gcl_object_made(worker, entry, event, status);
	worker->sides.unset += event != NULL;
	return 0;
}

/* Whether it is a user event, and whether it was set before, the runtime knows. */
int gcl_handle_user_event_set(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__UserEventSet *message = (const Gcl__UserEventSet *)call->message;
	struct gcl_entry *entry = gcl_table_find(worker, message->id, GCL_KIND_EVENT);
	cl_int status;

	if (!entry || message->status > CL_COMPLETE)
		return -EPROTO;
	if (!entry->handle)
		return 0;
	/* What waits for it begins. */
	gcl_gate_pass_all(worker);
	if (gcl_gated_open(worker, entry->id))
		return -ENOMEM;
	status = clSetUserEventStatus(entry->handle, message->status);
	if (status) {
		gcl_log_peer(event, "clSetUserEventStatus: %d", status);
		return 0;
	}
	worker->sides.unset--;
	entry->failed = message->status;
	if (entry->failed)
		gcl_completions_sweep(worker);
	return 0;
}

void gcl_event_release(struct gcl_worker *worker, struct gcl_entry *entry)
{
	(void)worker;
	if (entry->handle)
		clReleaseEvent(entry->handle);
	gcl_event_leave(entry, GCL_SIDES);
	free(entry->detail);
}
