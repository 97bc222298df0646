/*
 * Completions: what the runtime's event callbacks tell the guest, in the right order.
 *
 * Callbacks run on the runtime's threads, or inside clSetEventCallback when the command is done
 * already. Must not: touch tables or the arena, call the runtime with queue.lock held, wait.
 */
#include <errno.h>
#include <stdlib.h>

#include "worker.h"

static struct gcl_completion *completion_get(struct gcl_completion_pool *pool)
{
	struct gcl_completion *completion;

	/* One thread takes, and takes all: no ABA. */
	if (!pool->own)
		pool->own = atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);
	completion = pool->own;
	if (!completion)
		return malloc(sizeof(*completion));
	pool->own = completion->next_free;
	return completion;
}

static void completion_put(struct gcl_completion *completion)
{
	struct gcl_completion_pool *pool = &completion->worker->completions;

	completion->next_free = atomic_load_explicit(&pool->returned, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&pool->returned, &completion->next_free,
						      completion, memory_order_release,
						      memory_order_relaxed))
		;
}

static void completions_free(struct gcl_completion *completion)
{
	while (completion) {
		struct gcl_completion *next = completion->next_free;

		free(completion);
		completion = next;
	}
}

void gcl_completion_pool_fini(struct gcl_completion_pool *pool)
{
	completions_free(pool->own);
	completions_free(atomic_exchange(&pool->returned, NULL));
	pool->own = NULL;
}

static void event_done_send(const struct gcl_completion *completion)
{
	Gcl__EventDone done = GCL__EVENT_DONE__INIT;
	bool filled = completion->status == CL_COMPLETE;

	done.event = completion->event_id;
	done.status = completion->status;
	done.queued = completion->times[0];
	done.submitted = completion->times[1];
	done.started = completion->times[2];
	done.ended = completion->times[3];
	gcl_send(completion->worker, GCL_EVENT_DONE, &done.base,
		 filled ? completion->payload_offset : 0, filled ? completion->payload_size : 0);
}

static void queue_done_send(const struct gcl_completion *completion)
{
	Gcl__QueueDone done = GCL__QUEUE_DONE__INIT;
	struct gcl_queue *queue = completion->queue;

	done.queue = queue->id;
	done.sync = completion->sync;
	done.status = queue->failed;
	queue->failed = CL_SUCCESS;
	gcl_send(completion->worker, GCL_QUEUE_DONE, &done.base, 0, 0);
}

/* Tells the guest and forgets the completion. */
static void deliver_locked(struct gcl_completion *completion)
{
	if (completion->event_id)
		event_done_send(completion);
	else
		queue_done_send(completion);
	gcl_list_remove(&completion->link);
	completion->queue->refs--;
	completion_put(completion);
}

static void queue_fail_locked(struct gcl_worker *worker, struct gcl_queue *queue, cl_int status,
			      const char *text)
{
	Gcl__QueueFailed failed = GCL__QUEUE_FAILED__INIT;

	if (queue->failed == CL_SUCCESS)
		queue->failed = status;
	failed.queue = queue->id;
	failed.status = status;
	failed.text = (char *)text;
	gcl_send(worker, GCL_QUEUE_FAILED, &failed.base, 0, 0);
}

void gcl_queue_fail(struct gcl_worker *worker, struct gcl_queue *queue, cl_int status,
		    const char *text)
{
	pthread_mutex_lock(&queue->lock);
	queue_fail_locked(worker, queue, status, text);
	pthread_mutex_unlock(&queue->lock);
}

static void queue_unlock(struct gcl_queue *queue)
{
	bool unused = queue->refs == 0;

	pthread_mutex_unlock(&queue->lock);
	if (!unused)
		return;
	pthread_mutex_destroy(&queue->lock);
	free(queue);
}

void gcl_queue_put(struct gcl_queue *queue)
{
	if (!queue)
		return;
	pthread_mutex_lock(&queue->lock);
	queue->refs--;
	queue_unlock(queue);
}

static void completion_finish(struct gcl_completion *completion, cl_int status)
{
	struct gcl_queue *queue = completion->queue;

	if (completion->prints)
		gcl_print_flush(completion->worker);
	pthread_mutex_lock(&queue->lock);
	completion->done = true;
	completion->status = status;
	if (status < 0 && completion->event_id)
		queue_fail_locked(completion->worker, queue, status, "a command failed");
	else if (status < 0 && queue->failed == CL_SUCCESS)
		queue->failed = status;
	if (completion->event_id && !queue->in_order)
		deliver_locked(completion);
	while (!gcl_list_empty(&queue->awaited)) {
		completion = gcl_list_first(&queue->awaited, struct gcl_completion, link);
		if (!completion->done)
			break;
		deliver_locked(completion);
	}
	queue_unlock(queue);
}

static void CL_CALLBACK command_completed(cl_event event, cl_int status, void *data)
{
	static const cl_profiling_info infos[] = {
		CL_PROFILING_COMMAND_QUEUED,
		CL_PROFILING_COMMAND_SUBMIT,
		CL_PROFILING_COMMAND_START,
		CL_PROFILING_COMMAND_END,
	};
	struct gcl_completion *completion = data;

	_Static_assert(GCL_ARRAY_SIZE(infos) == GCL_ARRAY_SIZE(completion->times),
		       "one time for each");
	if (completion->queue->profiling && completion->event_id)
		for (size_t i = 0; i < GCL_ARRAY_SIZE(infos); i++)
			clGetEventProfilingInfo(event, infos[i], sizeof(completion->times[i]),
						&completion->times[i], NULL);
	completion_finish(completion, GCL_MIN(status, CL_COMPLETE));
}

int gcl_completion_await(struct gcl_worker *worker, const struct gcl_completion *what,
			 cl_event event)
{
	struct gcl_completion *completion = completion_get(&worker->completions);
	struct gcl_queue *queue = what->queue;

	if (!completion)
		return -ENOMEM;
	*completion = *what;
	completion->worker = worker;
	pthread_mutex_lock(&queue->lock);
	gcl_list_append(&queue->awaited, &completion->link);
	queue->refs++;
	pthread_mutex_unlock(&queue->lock);
	if (!event)
		completion_finish(completion, CL_COMPLETE);
	else if (clSetEventCallback(event, CL_COMPLETE, command_completed, completion))
		completion_finish(completion, CL_OUT_OF_HOST_MEMORY);
	return 0;
}
