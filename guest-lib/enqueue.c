/*
 * Enqueueing: from a checked call to a message in the ring, and the commands that only order
 * others.
 *
 * The order of a queue's commands is the order in which its lock is taken. What the host needn't
 * wait for (events known to be complete) isn't sent. Must not: wait for anything but room in the
 * ring.
 */
#include <stdlib.h>

#include "guest.h"

static inline cl_int event_status(const struct _cl_event *event)
{
	return atomic_load_explicit(&event->status, memory_order_acquire);
}

cl_int gcl_waits_check(cl_context context, cl_uint count, const cl_event *list)
{
	REFUSE_IF((count == 0) != (list == NULL), CL_INVALID_EVENT_WAIT_LIST);
	for (cl_uint i = 0; i < count; i++) {
		REFUSE_IF(!gcl_valid(list[i], GCL_KIND_EVENT), CL_INVALID_EVENT_WAIT_LIST);
		REFUSE_IF(list[i]->context != context, CL_INVALID_CONTEXT);
	}
	return CL_SUCCESS;
}

static bool waits_complete(cl_uint count, const cl_event *list)
{
	for (cl_uint i = 0; i < count; i++)
		if (event_status(list[i]) != CL_COMPLETE)
			return false;
	return true;
}

bool gcl_waits_done(cl_uint count, const cl_event *list)
{
	if (waits_complete(count, list))
		return true;
	gcl_session_drain(list[0]->base.session);
	return waits_complete(count, list);
}

/* Events that failed are sent as well: the host then fails the command. */
static cl_int waits_collect(struct gcl_enqueue *enqueue, cl_uint count, const cl_event *list)
{
	uint64_t *waits = enqueue->waits_inline;
	size_t waiting = 0;

	if (count > GCL_ARRAY_SIZE(enqueue->waits_inline)) {
		REFUSE_IF(count > GCL_WAITS_MAX, CL_OUT_OF_RESOURCES);
		waits = enqueue->waits_allocated = malloc(count * sizeof *waits);
		REFUSE_IF(!waits, CL_OUT_OF_HOST_MEMORY);
	}
	for (cl_uint i = 0; i < count; i++)
		if (event_status(list[i]) != CL_COMPLETE)
			waits[waiting++] = list[i]->base.id;
	enqueue->command.waits = waits;
	enqueue->command.n_waits = waiting;
	return CL_SUCCESS;
}

/* All that a command needs but the lock. */
static cl_int enqueue_prepare(struct gcl_enqueue *enqueue, cl_command_queue queue,
			      cl_command_type type, cl_uint count, const cl_event *list,
			      bool want_event)
{
	cl_int failed = atomic_load_explicit(&queue->base.failed, memory_order_relaxed);

	REFUSE_IF(queue->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	REFUSE_IF(failed, failed);
	gcl__command__init(&enqueue->command);
	enqueue->command.queue = queue->base.id;
	enqueue->queue = queue;
	enqueue->made = NULL;
	enqueue->waits_allocated = NULL;
	if (count)
		TRY(waits_collect(enqueue, count, list));
	if (!want_event)
		return CL_SUCCESS;
	enqueue->made = gcl_event_new(queue->context, queue, type);
	if (!enqueue->made) {
		free(enqueue->waits_allocated);
		return CL_OUT_OF_HOST_MEMORY;
	}
	enqueue->command.event = enqueue->made->base.id;
	return CL_SUCCESS;
}

cl_int gcl_enqueue_begin(struct gcl_enqueue *enqueue, cl_command_queue queue, cl_command_type type,
			 cl_uint count, const cl_event *list, bool want_event)
{
	TRY(enqueue_prepare(enqueue, queue, type, count, list, want_event));
	pthread_mutex_lock(&queue->lock);
	return CL_SUCCESS;
}

static void enqueue_end(struct gcl_enqueue *enqueue, cl_int status)
{
	pthread_mutex_unlock(&enqueue->queue->lock);
	free(enqueue->waits_allocated);
	if (status != CL_SUCCESS && enqueue->made) {
		gcl_event_unposted(enqueue->made, status);
		enqueue->made = NULL;
	}
}

cl_int gcl_enqueue_post(struct gcl_enqueue *enqueue, enum gcl_message number,
			ProtobufCMessage *message, uint64_t payload_offset, uint64_t payload_size,
			cl_event *event)
{
	cl_command_queue queue = enqueue->queue;
	cl_event made = enqueue->made;
	uint64_t sequence;
	cl_int status;

	if (made)
		gcl_event_posting(made, enqueue->command.n_waits > 0);
	status = gcl_post_payload(queue->base.session, number, message, payload_offset,
				  payload_size, &sequence);
	if (status == CL_SUCCESS) {
		if (made)
			atomic_store_explicit(&made->sequence, sequence, memory_order_relaxed);
		atomic_store_explicit(&queue->posted, sequence, memory_order_release);
		atomic_store_explicit(&queue->unflushed, true, memory_order_release);
	}
	enqueue_end(enqueue, status);
	if (status != CL_SUCCESS || !made)
		return status;
	if (event)
		*event = made;
	else
		gcl_event_put(made);
	return CL_SUCCESS;
}

void gcl_enqueue_abort(struct gcl_enqueue *enqueue)
{
	enqueue_end(enqueue, CL_OUT_OF_RESOURCES);
}

cl_int gcl_enqueue_simple(cl_command_queue queue, enum gcl_message number, cl_command_type type,
			  cl_uint count, const cl_event *list, cl_event *event)
{
	Gcl__Marker message = GCL__MARKER__INIT;
	Gcl__Barrier barrier = GCL__BARRIER__INIT;
	struct gcl_enqueue enqueue;

	TRY(gcl_enqueue_begin(&enqueue, queue, type, count, list, event != NULL));
	if (number == GCL_BARRIER) {
		barrier.command = &enqueue.command;
		return gcl_enqueue_post(&enqueue, number, &barrier.base, 0, 0, event);
	}
	message.command = &enqueue.command;
	return gcl_enqueue_post(&enqueue, number, &message.base, 0, 0, event);
}

/*
 * A marker or barrier with a wait list waits for that list alone, one without for all commands
 * before it. An out-of-order queue where everything on the list is done has nothing to order; sent
 * with the empty list that is left, it would wait for everything.
 */
static cl_int enqueue_ordering(cl_command_queue queue, enum gcl_message number,
			       cl_command_type type, cl_uint count, const cl_event *list,
			       cl_event *event)
{
	if (count && !queue->in_order && waits_complete(count, list))
		return gcl_event_done_here(queue, type, event);
	return gcl_enqueue_simple(queue, number, type, count, list, event);
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueMarkerWithWaitList(cl_command_queue queue, cl_uint count,
							    const cl_event *list, cl_event *event)
{
	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	TRY(gcl_waits_check(queue->context, count, list));
	return enqueue_ordering(queue, GCL_MARKER, CL_COMMAND_MARKER, count, list, event);
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueBarrierWithWaitList(cl_command_queue queue, cl_uint count,
							     const cl_event *list, cl_event *event)
{
	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	TRY(gcl_waits_check(queue->context, count, list));
	return enqueue_ordering(queue, GCL_BARRIER, CL_COMMAND_BARRIER, count, list, event);
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueMarker(cl_command_queue queue, cl_event *event)
{
	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	REFUSE_IF(!event, CL_INVALID_VALUE);
	return gcl_enqueue_simple(queue, GCL_MARKER, CL_COMMAND_MARKER, 0, NULL, event);
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueBarrier(cl_command_queue queue)
{
	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	return gcl_enqueue_simple(queue, GCL_BARRIER, CL_COMMAND_BARRIER, 0, NULL, NULL);
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueWaitForEvents(cl_command_queue queue, cl_uint count,
						       const cl_event *list)
{
	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	REFUSE_IF(count == 0 || !list, CL_INVALID_VALUE);
	for (cl_uint i = 0; i < count; i++) {
		REFUSE_IF(!gcl_valid(list[i], GCL_KIND_EVENT), CL_INVALID_EVENT);
		REFUSE_IF(list[i]->context != queue->context, CL_INVALID_CONTEXT);
	}
	return enqueue_ordering(queue, GCL_BARRIER, CL_COMMAND_BARRIER, count, list, NULL);
}
