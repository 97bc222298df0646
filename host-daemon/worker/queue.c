/*
 * Command queues, and the commands that only order others.
 */
#include <errno.h>
#include <stdlib.h>

#include "worker.h"

/* A queue's detail, made for tombstones too: commands on them fail one by one. */
static struct gcl_queue *detail_create(const struct gcl_worker *worker,
				       const Gcl__QueueCreate *message,
				       const struct gcl_entry *context,
				       const struct gcl_entry *device)
{
	struct gcl_queue *queue = calloc(1, sizeof *queue);
	pthread_mutexattr_t attributes;

	if (!queue)
		return NULL;
	/* Held for a fraction of a microsecond: looking a moment longer beats sleeping. */
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&queue->lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
	gcl_list_init(&queue->awaited);
	queue->id = message->id;
	queue->context = gcl_context_get(context->detail);
	queue->device = device->handle;
	queue->properties = message->properties;
	queue->in_order = !(message->properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
	queue->home_index = gcl_worker_page_index(worker, queue->device);
	queue->page_index = queue->home_index;
	queue->profiling = message->properties & CL_QUEUE_PROFILING_ENABLE;
	return queue;
}

int gcl_handle_queue_create(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__QueueCreate *message = (const Gcl__QueueCreate *)call->message;
	const struct gcl_entry *context =
		gcl_table_find(worker, message->context, GCL_KIND_CONTEXT);
	const struct gcl_entry *device = gcl_table_find(worker, message->device, GCL_KIND_DEVICE);
	struct gcl_entry *entry;
	struct gcl_queue *queue;
	cl_int status;

	if (!context || !device)
		return -EPROTO;
	entry = gcl_table_add(worker, message->id, GCL_KIND_QUEUE);
	if (!entry)
		return -EPROTO;
	queue = detail_create(worker, message, context, device);
	if (!queue)
		return -ENOMEM;
	gcl_list_append(&worker->queues, &queue->link);
	entry->detail = queue;
	status = context->failed ? context->failed : device->failed;
	if (!status)
		queue->handle = clCreateCommandQueue(
			context->handle, queue->device,
			message->properties | CL_QUEUE_PROFILING_ENABLE, &status);
	queue->home = queue->handle;
	gcl_object_made(worker, entry, queue->handle, status);
	gcl_sides_queue_follow(worker, queue);
	return 0;
}

void gcl_queue_retire(struct gcl_worker *worker, struct gcl_queue *queue, bool keep)
{
	if (queue->last)
		clReleaseEvent(queue->last);
	queue->last = NULL;
	gcl_sides_queue_leave(worker, queue);
	queue->kept = keep;
	gcl_list_remove(&queue->link);
	gcl_list_append(&worker->closing, &queue->link);
}

void gcl_queue_release(struct gcl_worker *worker, struct gcl_entry *entry)
{
	struct gcl_queue *queue = entry->detail;

	if (!queue)
		return;
	gcl_queue_retire(worker, queue, false);
	if (queue->home)
		clReleaseCommandQueue(queue->home);
	gcl_context_put(queue->context);
	gcl_queues_prune(worker, false);
}

void gcl_queues_prune(struct gcl_worker *worker, bool all)
{
	gcl_list_for_each_safe (it, next, &worker->closing) {
		struct gcl_queue *queue = gcl_container_of(it, struct gcl_queue, link);
		bool unused;

		pthread_mutex_lock(&queue->lock);
		unused = all || (queue->outstanding == 0 && !queue->kept);
		pthread_mutex_unlock(&queue->lock);
		if (!unused)
			continue;
		gcl_list_remove(&queue->link);
		pthread_mutex_destroy(&queue->lock);
		free(queue);
	}
}

int gcl_handle_queue_flush(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__QueueFlush *message = (const Gcl__QueueFlush *)call->message;
	const struct gcl_entry *entry = gcl_table_find(worker, message->queue, GCL_KIND_QUEUE);
	const struct gcl_queue *queue;

	if (!entry)
		return -EPROTO;
	queue = entry->detail;
	if (queue->handle)
		clFlush(queue->handle);
	return 0;
}

/*
 * What completes when everything posted since the last sync has: the last command of an in-order
 * queue, a marker on others. Return: an event for the caller, or NULL: nothing to wait for.
 */
static cl_event sync_event(struct gcl_worker *worker, struct gcl_queue *queue)
{
	cl_event marker = NULL;
	cl_int status;

	if (!queue->handle)
		return NULL;
	if (queue->in_order)
		return steal_pointer(&queue->last);
	status = clEnqueueMarkerWithWaitList(queue->handle, 0, NULL, &marker);
	if (status && !gcl_side_withholds(worker, queue->side))
		gcl_queue_fail(worker, queue, status, "clEnqueueMarkerWithWaitList");
	return marker;
}

int gcl_handle_queue_sync(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__QueueSync *message = (const Gcl__QueueSync *)call->message;
	const struct gcl_entry *entry = gcl_table_find(worker, message->queue, GCL_KIND_QUEUE);
	struct gcl_completion done = {.sync = call->head->sequence, .prints = true};
	cl_command_queue flushed;
	cl_event event;
	int err;

	if (!entry)
		return -EPROTO;
	done.queue = entry->detail;
	done.side = done.queue->side;
	event = sync_event(worker, done.queue);
	if (worker->sides.replaying) {
		if (event)
			clFlush(done.queue->handle);
		gcl_replay_synced(worker, done.queue, done.sync, event);
		return 0;
	}
	gcl_page_add(&worker->page->task.waits, 1);
	/* One that was enqueued before the loss fails, and is withheld then. */
	done.withheld = !event && gcl_side_withholds(worker, done.side);
	flushed = event ? done.queue->handle : NULL;
	err = gcl_completion_await(worker, &done, event);
	/* After the callback is set: a runtime may do the command in this call, and forget
	 * callbacks that come later (Oclgrind). */
	if (flushed)
		clFlush(flushed);
	return err;
}

int gcl_handle_marker(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__Marker *message = (const Gcl__Marker *)call->message;
	struct gcl_command command;
	cl_int status = CL_SUCCESS;
	int err = gcl_command_begin(worker, message->command, &command);

	if (!err)
		err = gcl_gated_order(worker, &command, !command.wait_count, false);
	if (err)
		return err;
	if (!command.failed)
		status = clEnqueueMarkerWithWaitList(command.queue->handle, command.wait_count,
						     command.waits, &command.event);
	return gcl_command_end(worker, &command, status, "clEnqueueMarkerWithWaitList");
}

int gcl_handle_barrier(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__Barrier *message = (const Gcl__Barrier *)call->message;
	struct gcl_command command;
	cl_int status = CL_SUCCESS;
	int err = gcl_command_begin(worker, message->command, &command);

	if (!err)
		err = gcl_gated_order(worker, &command, !command.wait_count, true);
	if (err)
		return err;
	if (!command.failed)
		status = clEnqueueBarrierWithWaitList(command.queue->handle, command.wait_count,
						      command.waits, &command.event);
	return gcl_command_end(worker, &command, status, "clEnqueueBarrierWithWaitList");
}
