/*
 * Commands that need not go to the host, and those that go there only to keep their place.
 *
 * What may be done here is done under the queue's lock, while nothing is in flight on the queue, so
 * that its order holds. A blocking command waits for that as long as it would have to wait anyway.
 */
#include "memory.h"

/* How often a blocking command waits for its queue to become idle, before it queues up itself. */
#define DIRECT_TRIES 3

/* ------------------------------------------------------------ done in the guest */

static cl_int failure_take(cl_command_queue queue)
{
	if (atomic_load_explicit(&queue->failed, memory_order_relaxed) == 0)
		return CL_SUCCESS;
	return atomic_exchange_explicit(&queue->failed, 0, memory_order_relaxed);
}

static bool waits_failed(cl_uint count, const cl_event *list)
{
	for (cl_uint i = 0; i < count; i++)
		if (atomic_load_explicit(&list[i]->status, memory_order_acquire) < 0)
			return true;
	return false;
}

static cl_int waits_wait(cl_uint count, const cl_event *list)
{
	for (cl_uint i = 0; i < count; i++)
		TRY(gcl_event_wait(list[i]));
	REFUSE_IF(waits_failed(count, list), CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
	return CL_SUCCESS;
}

/*
 * Other threads may keep the queue busy; then the command takes its turn like theirs. Commands of
 * an out-of-order queue don't wait for each other, so only the wait list can be waited for.
 */
static cl_int idle_wait(cl_command_queue queue, cl_uint count, const cl_event *list, bool *locked)
{
	TRY(waits_wait(count, list));
	for (int i = 0; i < DIRECT_TRIES && !*locked; i++) {
		if (queue->in_order)
			TRY(gcl_queue_finish(queue));
		*locked = gcl_queue_lock_idle(queue, 0, NULL);
		if (!queue->in_order)
			break;
	}
	return CL_SUCCESS;
}

cl_int gcl_direct_lock(cl_command_queue queue, bool blocking, cl_uint count, const cl_event *list,
		       const cl_event *event, bool *locked)
{
	cl_int failed;

	*locked = false;
	/* The times that a program asks for are the host's. */
	if (event && queue->properties & CL_QUEUE_PROFILING_ENABLE)
		return CL_SUCCESS;
	*locked = gcl_queue_lock_idle(queue, count, list);
	if (!blocking)
		return CL_SUCCESS;
	if (!*locked) {
		failed = idle_wait(queue, count, list, locked);
		/* A call that fails has told of what failed before it, too. */
		if (failed)
			failure_take(queue);
		TRY(failed);
	}
	if (!*locked)
		return CL_SUCCESS;
	failed = failure_take(queue);
	if (failed) {
		*locked = false;
		pthread_mutex_unlock(&queue->lock);
	}
	return failed;
}

/* ------------------------------------------------------------ the end of blocking commands */

cl_int gcl_blocking_wait(cl_event event, cl_uint count, const cl_event *list)
{
	cl_int failed, status;

	TRY(gcl_event_wait(event));
	failed = failure_take(event->queue);
	status = atomic_load_explicit(&event->status, memory_order_acquire);
	if (status >= 0)
		return failed;
	return waits_failed(count, list) ? CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST : status;
}

cl_int gcl_posted_end(cl_event made, bool blocking, cl_uint count, const cl_event *list,
		      cl_event *event)
{
	cl_int status = blocking ? gcl_blocking_wait(made, count, list) : CL_SUCCESS;

	if (event && status == CL_SUCCESS)
		*event = made;
	else
		gcl_event_put(made);
	return status;
}

/* ------------------------------------------------------------ order alone */

cl_int gcl_marker_post(cl_command_queue queue, cl_command_type type, cl_uint count,
		       const cl_event *list, struct gcl_completion *completion, cl_event *event)
{
	Gcl__Marker message = GCL__MARKER__INIT;
	struct gcl_enqueue enqueue;
	cl_int status = gcl_enqueue_begin(&enqueue, queue, type, count, list, event || completion);

	if (status != CL_SUCCESS) {
		if (completion)
			completion->fn(completion, status);
		return status;
	}
	if (completion)
		enqueue.made->completion = completion;
	message.command = &enqueue.command;
	return gcl_enqueue_post(&enqueue, GCL_MARKER, &message.base, 0, 0, event);
}

/*
 * A marker of an out-of-order queue waits for all commands before it, unless it has a wait list.
 * What waits for the list and for barriers, as a command does, is a command: it reads one element.
 */
static cl_int probe_post(cl_command_queue queue, cl_mem mem, cl_command_type type, cl_uint count,
			 const cl_event *list, struct gcl_completion *completion, cl_event *event)
{
	struct gcl_session *session = queue->base.session;
	struct gcl_transfer probe = {.queue = queue,
				     .mem = mem,
				     .type = type,
				     .shape = GCL_SHAPE_LINEAR,
				     .region = {1, 1, 1},
				     .wait_count = count,
				     .waits = list,
				     .event = event};
	uint64_t block;

	if (mem->type != CL_MEM_OBJECT_BUFFER) {
		probe.shape = GCL_SHAPE_IMAGE;
		probe.region[0] = mem->element_size;
	}
	if (!completion)
		completion = gcl_staged_completion(session, GCL_HEAP_NONE);
	REFUSE_IF(!completion, CL_OUT_OF_HOST_MEMORY);
	block = gcl_block_alloc(session, probe.region[0], NULL);
	if (block == GCL_HEAP_NONE) {
		completion->fn(completion, CL_OUT_OF_RESOURCES);
		return CL_OUT_OF_RESOURCES;
	}
	gcl_staged_also_free(completion, block);
	return gcl_transfer_post(&probe, block, completion);
}

cl_int gcl_order(cl_command_queue queue, cl_mem mem, cl_command_type type, bool blocking,
		 cl_uint count, const cl_event *list, struct gcl_completion *completion,
		 cl_event *event)
{
	cl_event made = NULL;
	cl_event *wanted = blocking ? &made : event;

	if (queue->in_order)
		TRY(gcl_marker_post(queue, type, count, list, completion, wanted));
	else
		TRY(probe_post(queue, mem, type, count, list, completion, wanted));
	return blocking ? gcl_posted_end(made, true, count, list, event) : CL_SUCCESS;
}
