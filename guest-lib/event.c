/*
 * Events: those of commands, those of the program, waiting for them and asking about them.
 *
 * An event's status only moves towards its end, and reaches it once: by EVENT_DONE, by
 * clSetUserEventStatus(), by the loss of the session, or by a post that failed. Before it does, the
 * command's completion has run, so whoever sees CL_COMPLETE finds the data in place.
 */
#include <stdlib.h>
#include <time.h>

#include "svm.h"

static inline cl_int event_status(const struct _cl_event *event)
{
	return atomic_load_explicit(&event->status, memory_order_acquire);
}

static bool event_ended(const void *event)
{
	return event_status(event) <= CL_COMPLETE;
}

/* The status is stored last: until then gcl_events_lose() takes the event for a complete one. */
static cl_event event_new(cl_context context, cl_command_queue queue, cl_command_type type,
			  cl_int status)
{
	cl_event event = gcl_object_new(GCL_KIND_EVENT, context->base.session);

	if (!event)
		return NULL;
	event->context = context;
	event->queue = queue;
	event->type = type;
	gcl_list_init(&event->callbacks);
	pthread_mutex_init(&event->lock, NULL);
	/* The queue holds the context. */
	if (queue)
		gcl_object_get(queue);
	else
		gcl_object_get(context);
	atomic_store_explicit(&event->status, status, memory_order_release);
	return event;
}

cl_event gcl_event_new(cl_context context, cl_command_queue queue, cl_command_type type)
{
	return event_new(context, queue, type, CL_QUEUED);
}

void gcl_event_put(cl_event event)
{
	if (!event || !gcl_object_put(event))
		return;
	if (event->on_host)
		gcl_post_release(event->base.session, event->base.id);
	if (event->queue)
		gcl_queue_put(event->queue);
	else
		gcl_context_put(event->context);
	pthread_mutex_destroy(&event->lock);
	gcl_object_free(event);
}

/* ------------------------------------------------------------ the end of an event */

static void callback_free(struct gcl_event_callback *callback)
{
	gcl_event_put(callback->event);
	free(callback);
}

/* On the notifier thread. */
static void callback_run(void *arg)
{
	struct gcl_event_callback *callback = arg;

	callback->fn(callback->event, callback->reached, callback->data);
	callback_free(callback);
}

static void callback_due(struct gcl_event_callback *callback, cl_int status)
{
	callback->reached = status < 0 ? status : callback->status;
	if (gcl_notify(callback->event->base.session, callback_run, callback)) {
		gcl_log_error(event, "no memory to run an event's callback");
		callback_free(callback);
	}
}

/* Return: was it this call that ended the event? */
static bool event_end(cl_event event, cl_int status)
{
	struct gcl_list due = GCL_LIST_INIT(due);
	bool ends;

	pthread_mutex_lock(&event->lock);
	ends = !event_ended(event);
	if (ends) {
		atomic_store_explicit(&event->status, status, memory_order_release);
		gcl_list_take_all(&due, &event->callbacks);
	}
	pthread_mutex_unlock(&event->lock);
	gcl_list_for_each_safe (it, next, &due) {
		callback_due(gcl_container_of(it, struct gcl_event_callback, link), status);
		gcl_notifier_disarm(event->base.session);
	}
	return ends;
}

/* Host, loss and failed post may come at the same time: one of them gets the completion. */
static void event_finish(cl_event event, cl_int status)
{
	struct gcl_completion *completion =
		__atomic_exchange_n(&event->completion, NULL, __ATOMIC_ACQ_REL);

	if (completion)
		completion->fn(completion, status);
	if (event->queue && event->queue->in_order)
		gcl_queue_done(event->queue,
			       atomic_load_explicit(&event->sequence, memory_order_relaxed));
	event_end(event, status);
	if (completion)
		gcl_event_put(event);
}

void gcl_event_posting(cl_event event, bool waits)
{
	if (event->completion)
		gcl_object_get(event);
	/* What has nothing to wait for is the host's from now on, flushed or not. */
	if (!waits)
		atomic_store_explicit(&event->status, CL_SUBMITTED, memory_order_relaxed);
	atomic_store(&event->on_host, true); /* pairs with event_lose() */
}

void gcl_event_unposted(cl_event event, cl_int status)
{
	struct gcl_completion *completion =
		__atomic_exchange_n(&event->completion, NULL, __ATOMIC_ACQ_REL);
	bool posting = atomic_exchange(&event->on_host, false);

	if (completion)
		completion->fn(completion, status);
	if (completion && posting)
		gcl_event_put(event);
	event_end(event, status);
	gcl_event_put(event);
}

void gcl_on_event_done(struct gcl_session *session, const struct gcl_frame *head,
		       const Gcl__EventDone *message)
{
	cl_event event = gcl_object_lookup(session, message->event, GCL_KIND_EVENT);

	(void)head;
	if (!event)
		return;
	/* on_host first: all that the posting thread wrote before is seen after it. */
	if (event->on_host && event->queue && !event_ended(event)) {
		event->queued = message->queued;
		event->submitted = message->submitted;
		event->started = message->started;
		event->ended = message->ended;
		if (message->ended > event->queue->ended)
			event->queue->ended = message->ended;
		event_finish(event, GCL_MIN(message->status, CL_COMPLETE));
	}
	gcl_event_put(event);
}

/*
 * An event that isn't on the host yet belongs to a thread that is about to post it, and will find
 * the session lost: lost was set before this, and is looked at after on_host was.
 */
static void event_lose(void *object, void *unused)
{
	cl_event event = object;

	(void)unused;
	if (atomic_load(&event->on_host) && !event_ended(event))
		event_finish(event, CL_DEVICE_NOT_AVAILABLE);
	gcl_event_put(event);
}

void gcl_events_lose(struct gcl_session *session)
{
	gcl_object_each(session, GCL_KIND_EVENT, event_lose, NULL);
}

/* ------------------------------------------------------------ commands done in the guest */

/* The clock that CPU devices show in their events, so that times can be compared. */
static cl_ulong clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return (cl_ulong)now.tv_sec * 1000000000u + (cl_ulong)now.tv_nsec;
}

void gcl_event_here_begin(cl_command_queue queue)
{
	if (queue->properties & CL_QUEUE_PROFILING_ENABLE)
		queue->here = clock_ns();
}

/* A device whose clock is ahead of this one still sees its commands in order. */
static void event_times_here(cl_event event, cl_command_queue queue)
{
	cl_ulong start = GCL_MAX(queue->here, queue->ended);
	cl_ulong end = GCL_MAX(clock_ns(), start);

	event->queued = event->submitted = event->started = start;
	event->ended = end;
	queue->ended = end;
}

cl_int gcl_event_done_here(cl_command_queue queue, cl_command_type type, cl_event *event)
{
	cl_event made;

	if (!event)
		return CL_SUCCESS;
	made = event_new(queue->context, queue, type, CL_COMPLETE);
	REFUSE_IF(!made, CL_OUT_OF_HOST_MEMORY);
	if (queue->properties & CL_QUEUE_PROFILING_ENABLE)
		event_times_here(made, queue);
	*event = made;
	return CL_SUCCESS;
}

/* ------------------------------------------------------------ waiting */

cl_int gcl_event_wait(cl_event event)
{
	struct gcl_session *session = event->base.session;

	if (!event_ended(event)) {
		if (event->queue)
			TRY(gcl_queue_flush(event->queue));
		TRY(gcl_session_wait(session, event_ended, event));
	}
	gcl_svm_settle(session);
	return event_status(event) < 0 && session->lost ? CL_DEVICE_NOT_AVAILABLE : CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL clWaitForEvents(cl_uint count, const cl_event *list)
{
	bool failed = false;

	REFUSE_IF(count == 0 || !list, CL_INVALID_VALUE);
	for (cl_uint i = 0; i < count; i++) {
		REFUSE_IF(!gcl_valid(list[i], GCL_KIND_EVENT), CL_INVALID_EVENT);
		REFUSE_IF(list[i]->context != list[0]->context, CL_INVALID_CONTEXT);
	}
	/* All are under way before the first is waited for. */
	for (cl_uint i = 0; i < count; i++)
		if (list[i]->queue && !event_ended(list[i]))
			TRY(gcl_queue_flush(list[i]->queue));
	for (cl_uint i = 0; i < count; i++) {
		TRY(gcl_event_wait(list[i]));
		failed |= event_status(list[i]) < 0;
	}
	REFUSE_IF(failed, CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
	return CL_SUCCESS;
}

/* ------------------------------------------------------------ references and information */

CL_API_ENTRY cl_int CL_API_CALL clRetainEvent(cl_event event)
{
	REFUSE_IF(!gcl_valid(event, GCL_KIND_EVENT), CL_INVALID_EVENT);
	gcl_object_get(event);
	return CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL clReleaseEvent(cl_event event)
{
	REFUSE_IF(!gcl_valid(event, GCL_KIND_EVENT), CL_INVALID_EVENT);
	gcl_event_put(event);
	return CL_SUCCESS;
}

/* Programs that poll the status make the guest look for what the host says. */
static cl_int event_status_now(cl_event event)
{
	if (!event_ended(event))
		gcl_session_drain(event->base.session);
	return event_status(event);
}

CL_API_ENTRY cl_int CL_API_CALL clGetEventInfo(cl_event event, cl_event_info param_name,
					       size_t param_value_size, void *param_value,
					       size_t *param_value_size_ret)
{
	REFUSE_IF(!gcl_valid(event, GCL_KIND_EVENT), CL_INVALID_EVENT);
	switch (param_name) {
	case CL_EVENT_COMMAND_QUEUE:
		GCL_INFO_VALUE(cl_command_queue, event->queue);
	case CL_EVENT_CONTEXT:
		GCL_INFO_VALUE(cl_context, event->context);
	case CL_EVENT_COMMAND_TYPE:
		GCL_INFO_VALUE(cl_command_type, event->type);
	case CL_EVENT_COMMAND_EXECUTION_STATUS:
		GCL_INFO_VALUE(cl_int, event_status_now(event));
	case CL_EVENT_REFERENCE_COUNT:
		GCL_INFO_VALUE(cl_uint, event->base.refs);
	default:
		return CL_INVALID_VALUE;
	}
}

CL_API_ENTRY cl_int CL_API_CALL clGetEventProfilingInfo(cl_event event,
							cl_profiling_info param_name,
							size_t param_value_size, void *param_value,
							size_t *param_value_size_ret)
{
	REFUSE_IF(!gcl_valid(event, GCL_KIND_EVENT), CL_INVALID_EVENT);
	REFUSE_IF(!event->queue, CL_PROFILING_INFO_NOT_AVAILABLE);
	REFUSE_IF(!(event->queue->properties & CL_QUEUE_PROFILING_ENABLE),
		  CL_PROFILING_INFO_NOT_AVAILABLE);
	REFUSE_IF(event_status_now(event) != CL_COMPLETE, CL_PROFILING_INFO_NOT_AVAILABLE);
	switch (param_name) {
	case CL_PROFILING_COMMAND_QUEUED:
		GCL_INFO_VALUE(cl_ulong, event->queued);
	case CL_PROFILING_COMMAND_SUBMIT:
		GCL_INFO_VALUE(cl_ulong, event->submitted);
	case CL_PROFILING_COMMAND_START:
		GCL_INFO_VALUE(cl_ulong, event->started);
	case CL_PROFILING_COMMAND_END:
	case CL_PROFILING_COMMAND_COMPLETE: /* kernels enqueue none of their own */
		GCL_INFO_VALUE(cl_ulong, event->ended);
	default:
		return CL_INVALID_VALUE;
	}
}

/* ------------------------------------------------------------ user events and callbacks */

CL_API_ENTRY cl_event CL_API_CALL clCreateUserEvent(cl_context context, cl_int *errcode_ret)
{
	Gcl__UserEventCreate message = GCL__USER_EVENT_CREATE__INIT;
	cl_event event;
	cl_int status;

	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_NULL_IF(context->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	event = event_new(context, NULL, CL_COMMAND_USER, CL_SUBMITTED);
	REFUSE_NULL_IF(!event, CL_OUT_OF_HOST_MEMORY);
	message.id = event->base.id;
	message.context = context->base.id;
	gcl_event_posting(event, false);
	status = gcl_post(event->base.session, GCL_USER_EVENT_CREATE, &message.base);
	if (status != CL_SUCCESS)
		gcl_event_unposted(event, status);
	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	if (errcode_ret)
		*errcode_ret = CL_SUCCESS;
	return event;
}

CL_API_ENTRY cl_int CL_API_CALL clSetUserEventStatus(cl_event event, cl_int execution_status)
{
	Gcl__UserEventSet message = GCL__USER_EVENT_SET__INIT;
	cl_int status;

	REFUSE_IF(!gcl_valid(event, GCL_KIND_EVENT), CL_INVALID_EVENT);
	REFUSE_IF(event->type != CL_COMMAND_USER, CL_INVALID_EVENT);
	REFUSE_IF(execution_status > CL_COMPLETE, CL_INVALID_VALUE);
	REFUSE_IF(event->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	REFUSE_IF(!event_end(event, execution_status), CL_INVALID_OPERATION);
	message.id = event->base.id;
	message.status = execution_status;
	status = gcl_post(event->base.session, GCL_USER_EVENT_SET, &message.base);
	gcl_session_wake(event->base.session);
	return status;
}

CL_API_ENTRY cl_int CL_API_CALL clSetEventCallback(
	cl_event event, cl_int command_exec_callback_type,
	void(CL_CALLBACK *pfn_notify)(cl_event event, cl_int event_command_status, void *user_data),
	void *user_data)
{
	struct gcl_event_callback *callback;
	bool reached;

	REFUSE_IF(!gcl_valid(event, GCL_KIND_EVENT), CL_INVALID_EVENT);
	REFUSE_IF(!pfn_notify, CL_INVALID_VALUE);
	REFUSE_IF(command_exec_callback_type != CL_SUBMITTED &&
			  command_exec_callback_type != CL_RUNNING &&
			  command_exec_callback_type != CL_COMPLETE,
		  CL_INVALID_VALUE);
	REFUSE_IF(event->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	callback = malloc(sizeof *callback);
	REFUSE_IF(!callback, CL_OUT_OF_HOST_MEMORY);
	*callback = (struct gcl_event_callback){
		.event = event,
		.status = command_exec_callback_type,
		.fn = pfn_notify,
		.data = user_data,
	};
	gcl_object_get(event);
	pthread_mutex_lock(&event->lock);
	reached = event_status(event) <= command_exec_callback_type;
	if (!reached) {
		/* Armed first: the event may end as soon as the lock is dropped. */
		gcl_notifier_arm(event->base.session);
		gcl_list_append(&event->callbacks, &callback->link);
	}
	pthread_mutex_unlock(&event->lock);
	if (reached)
		callback_due(callback, event_status(event));
	return CL_SUCCESS;
}
