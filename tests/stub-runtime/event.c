/*
 * Events: those of commands end when all that they wait for has ended.
 *
 * A command waits for its wait list and, so that order is simple, for the command before it on its
 * queue, be the queue in order or not. Belongs to one thread, as the worker's session does.
 */
#include <string.h>

#include "stub.h"

/* Every event that is not complete. */
static struct gcl_list incomplete = GCL_LIST_INIT(incomplete);

static cl_event event_new(cl_context context, bool user)
{
	cl_event event = stub_new(STUB_EVENT, sizeof *event);

	if (!event)
		return NULL;
	stub_retain(context, STUB_CONTEXT);
	event->context = context;
	event->user = user;
	event->status = user ? CL_SUBMITTED : CL_QUEUED;
	gcl_list_init(&event->callbacks);
	gcl_list_append(&incomplete, &event->link);
	return event;
}

cl_int clRetainEvent(cl_event event)
{
	STUB_REFUSE(!event, CL_INVALID_EVENT);
	stub_retain(event, STUB_EVENT);
	return CL_SUCCESS;
}

cl_int clReleaseEvent(cl_event event)
{
	STUB_REFUSE(!event, CL_INVALID_EVENT);
	if (!stub_unref(event, STUB_EVENT))
		return CL_SUCCESS;
	gcl_list_for_each_safe (it, next, &event->callbacks)
		free(gcl_container_of(it, struct stub_callback, link));
	for (cl_uint i = 0; i < event->wait_count; i++)
		clReleaseEvent(event->waits[i]);
	free(event->waits);
	gcl_list_remove(&event->link);
	clReleaseContext(event->context);
	free(event);
	return CL_SUCCESS;
}

/* Ends @event: tells the callbacks, lets go of what it waited for. */
static void event_end(cl_event event, cl_int status)
{
	struct gcl_list callbacks;

	gcl_list_init(&callbacks);
	event->status = status;
	gcl_list_remove(&event->link);
	gcl_list_take_all(&callbacks, &event->callbacks);
	gcl_list_for_each_safe (it, next, &callbacks) {
		struct stub_callback *callback = gcl_container_of(it, struct stub_callback, link);

		callback->notify(event, status, callback->data);
		free(callback);
	}
	for (cl_uint i = 0; i < event->wait_count; i++)
		clReleaseEvent(event->waits[i]);
	event->wait_count = 0;
	if (!event->user)
		clReleaseEvent(event);
}

/* Return: CL_QUEUED while @event has to wait, else how it ends. */
static cl_int event_outcome(cl_event event)
{
	cl_int outcome = CL_COMPLETE;

	for (cl_uint i = 0; i < event->wait_count; i++) {
		if (event->waits[i]->status > CL_COMPLETE)
			return CL_QUEUED;
		if (event->waits[i]->status < 0)
			outcome = CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST;
	}
	return outcome;
}

/* Ends one event that can end. Return: false when there is none. */
static bool events_advance(void)
{
	gcl_list_for_each (it, &incomplete) {
		cl_event event = gcl_container_of(it, struct _cl_event, link);
		cl_int outcome = event->user ? CL_QUEUED : event_outcome(event);

		if (outcome != CL_QUEUED) {
			event_end(event, outcome);
			return true;
		}
	}
	return false;
}

void stub_events_fail(void)
{
	bool found = true;

	while (found) {
		found = false;
		gcl_list_for_each (it, &incomplete) {
			cl_event event = gcl_container_of(it, struct _cl_event, link);

			if (!event->user)
				continue;
			found = true;
			event_end(event, CL_OUT_OF_RESOURCES);
			break;
		}
		while (events_advance())
			;
	}
}

cl_event clCreateUserEvent(cl_context context, cl_int *status)
{
	if (!stub_get(context, STUB_CONTEXT))
		return stub_make(NULL, status, CL_INVALID_CONTEXT);
	return stub_make(event_new(context, true), status, CL_SUCCESS);
}

cl_int clSetUserEventStatus(cl_event event, cl_int status)
{
	STUB_REFUSE(!stub_get(event, STUB_EVENT) || !event->user, CL_INVALID_EVENT);
	STUB_REFUSE(status > CL_COMPLETE, CL_INVALID_VALUE);
	STUB_REFUSE(event->status <= CL_COMPLETE, CL_INVALID_OPERATION);
	event_end(event, status);
	while (events_advance())
		;
	return CL_SUCCESS;
}

/* What has not ended waits for a user event, which nobody sets meanwhile: waiting is an error. */
cl_int clWaitForEvents(cl_uint count, const cl_event *events)
{
	STUB_REFUSE(!count || !events, CL_INVALID_VALUE);
	for (cl_uint i = 0; i < count; i++) {
		STUB_REFUSE(!stub_get(events[i], STUB_EVENT), CL_INVALID_EVENT);
		STUB_REFUSE(events[i]->status != CL_COMPLETE,
			    CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
	}
	return CL_SUCCESS;
}

cl_int clGetEventInfo(cl_event event, cl_event_info name, size_t size, void *value,
		      size_t *size_ret)
{
	STUB_REFUSE(!stub_get(event, STUB_EVENT), CL_INVALID_EVENT);
	STUB_REFUSE(name != CL_EVENT_COMMAND_EXECUTION_STATUS, CL_INVALID_VALUE);
	return stub_answer(&event->status, sizeof event->status, size, value, size_ret);
}

cl_int clGetEventProfilingInfo(cl_event event, cl_profiling_info name, size_t size, void *value,
			       size_t *size_ret)
{
	cl_ulong time = name;

	STUB_REFUSE(!stub_get(event, STUB_EVENT), CL_INVALID_EVENT);
	STUB_REFUSE(event->status != CL_COMPLETE, CL_PROFILING_INFO_NOT_AVAILABLE);
	return stub_answer(&time, sizeof time, size, value, size_ret);
}

cl_int clSetEventCallback(cl_event event, cl_int type,
			  void(CL_CALLBACK *notify)(cl_event, cl_int, void *), void *data)
{
	struct stub_callback *callback;

	STUB_REFUSE(!stub_get(event, STUB_EVENT), CL_INVALID_EVENT);
	STUB_REFUSE(!notify || type != CL_COMPLETE, CL_INVALID_VALUE);
	if (event->status <= CL_COMPLETE) {
		notify(event, event->status, data);
		return CL_SUCCESS;
	}
	callback = calloc(1, sizeof *callback);
	STUB_REFUSE(!callback, CL_OUT_OF_HOST_MEMORY);
	callback->notify = notify;
	callback->data = data;
	gcl_list_append(&event->callbacks, &callback->link);
	return CL_SUCCESS;
}

cl_int stub_waits_check(cl_command_queue queue, cl_uint count, const cl_event *waits)
{
	STUB_REFUSE(!stub_get(queue, STUB_QUEUE), CL_INVALID_COMMAND_QUEUE);
	STUB_REFUSE(!count != !waits, CL_INVALID_EVENT_WAIT_LIST);
	for (cl_uint i = 0; i < count; i++) {
		STUB_REFUSE(!stub_get(waits[i], STUB_EVENT), CL_INVALID_EVENT_WAIT_LIST);
		STUB_REFUSE(waits[i]->context != queue->context, CL_INVALID_CONTEXT);
	}
	return CL_SUCCESS;
}

cl_int stub_enqueue(cl_command_queue queue, cl_uint count, const cl_event *waits, cl_event *out)
{
	cl_event event = event_new(queue->context, false);

	STUB_REFUSE(!event, CL_OUT_OF_HOST_MEMORY);
	event->waits = calloc((size_t)count + 1, sizeof *event->waits);
	if (!event->waits)
		abort();
	for (cl_uint i = 0; i < count; i++)
		event->waits[event->wait_count++] = waits[i];
	if (queue->last && queue->last->status != CL_COMPLETE)
		event->waits[event->wait_count++] = queue->last;
	for (cl_uint i = 0; i < event->wait_count; i++)
		stub_retain(event->waits[i], STUB_EVENT);
	if (queue->last)
		clReleaseEvent(queue->last);
	queue->last = NULL;
	/* One reference for the caller, one until it ends. */
	stub_retain(event, STUB_EVENT);
	if (event_outcome(event) != CL_QUEUED) {
		event_end(event, event_outcome(event));
	} else {
		stub_retain(event, STUB_EVENT);
		queue->last = event;
	}
	if (out)
		*out = event;
	else
		clReleaseEvent(event);
	return CL_SUCCESS;
}
