/*
 * Completions: what the runtime's event callbacks tell the guest, in the right order.
 *
 * Callbacks run on the runtime's threads, or inside clSetEventCallback when the command is done
 * already. Must not: touch tables or the arena, call the runtime with queue.lock held, wait.
 *
 * A runtime may forget the callback when a command fails because another did (PoCL 3.1), or when it
 * was over before it was set (Oclgrind). So the session thread looks after the commands under way
 * when it knows of a failure, and now and then when it has nothing to do. Events are kept alive
 * until it has seen that they are done: PoCL 3.1 touches failed events after having let them go.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gather.h"
#include "worker.h"

/* A completion that needs no callback any more; the session thread will release its event. */
static void completion_put(struct gcl_completion *completion)
{
	struct gcl_completion_pool *pool = &completion->worker->completions;

	completion->next_free = atomic_load_explicit(&pool->returned, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&pool->returned, &completion->next_free,
						      completion, memory_order_release,
						      memory_order_relaxed))
		;
}

void gcl_completions_reap(struct gcl_worker *worker)
{
	struct gcl_completion_pool *pool = &worker->completions;
	struct gcl_completion *completion;

	if (!atomic_load_explicit(&pool->returned, memory_order_relaxed))
		return;
	/* One thread takes, and takes all: no ABA. */
	completion = atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);
	while (completion) {
		struct gcl_completion *next = completion->next_free;

		if (completion->event)
			clReleaseEvent(completion->event);
		atomic_fetch_sub_explicit(&worker->sides.side[completion->side].completions, 1,
					  memory_order_relaxed);
		completion->next_free = pool->own;
		pool->own = completion;
		completion = next;
	}
}

static struct gcl_completion *completion_get(struct gcl_worker *worker)
{
	struct gcl_completion_pool *pool = &worker->completions;
	struct gcl_completion *completion;

	if (!pool->own)
		gcl_completions_reap(worker);
	completion = pool->own;
	if (!completion)
		return malloc(sizeof *completion);
	pool->own = completion->next_free;
	return completion;
}

void gcl_completions_fini(struct gcl_worker *worker)
{
	struct gcl_completion_pool *pool = &worker->completions;

	gcl_completions_reap(worker);
	while (pool->own) {
		struct gcl_completion *completion = pool->own;

		pool->own = completion->next_free;
		free(completion);
	}
}

/*
 * Clocks of several devices agree as far as their distance could be measured: what the guest is
 * told must not be before what it knew when it gave the command, nor out of its queue's order.
 */
static void times_order_locked(struct gcl_completion *completion)
{
	struct gcl_sides *sides = &completion->worker->sides;
	struct gcl_queue *queue = completion->queue;
	cl_ulong *times = completion->times, known;

	if (!atomic_load(&sides->shifted) || !queue->profiling || completion->status < 0)
		return;
	times[0] = GCL_MAX(times[0], completion->known);
	if (queue->in_order) {
		times[0] = GCL_MAX(times[0], queue->queued);
		times[2] = GCL_MAX(times[2], queue->ended);
	}
	for (size_t i = 1; i < GCL_ARRAY_SIZE(completion->times); i++)
		times[i] = GCL_MAX(times[i], times[i - 1]);
	queue->queued = times[0];
	queue->ended = times[3];
	known = atomic_load(&sides->known);
	while (known < times[3] && !atomic_compare_exchange_weak(&sides->known, &known, times[3]))
		;
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

static void queue_done_send_locked(const struct gcl_completion *completion)
{
	Gcl__QueueDone done = GCL__QUEUE_DONE__INIT;
	struct gcl_queue *queue = completion->queue;

	done.queue = queue->id;
	done.sync = completion->sync;
	done.status = queue->failed;
	queue->failed = CL_SUCCESS;
	gcl_send(completion->worker, GCL_QUEUE_DONE, &done.base, 0, 0);
}

static void completion_drop_locked(struct gcl_completion *completion)
{
	completion->queue->outstanding--;
	completion_put(completion);
}

static void tell_locked(struct gcl_completion *completion)
{
	gcl_tell_add(completion->worker, completion->side,
		     completion->event_id ? completion->event_id : completion->sync, false);
	if (completion->event_id) {
		times_order_locked(completion);
		event_done_send(completion);
	} else {
		queue_done_send_locked(completion);
	}
	gcl_list_remove(&completion->link);
	atomic_fetch_sub(&completion->worker->completions.outstanding, 1);
	atomic_fetch_add(&completion->worker->completions.told, 1); /* pairs with frame_wait() */
	/* One that was swept stays for its callback, in case it comes yet. */
	if (!completion->swept || completion->called)
		completion_drop_locked(completion);
}

static void queue_fail_locked(struct gcl_worker *worker, struct gcl_queue *queue, cl_int status,
			      const char *text)
{
	Gcl__QueueFailed failed = GCL__QUEUE_FAILED__INIT;

	gcl_page_count_error(worker->page);
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

/* Notes how @completion ended, and tells the guest as much as is its turn. */
static void finish_locked(struct gcl_completion *completion, cl_int status)
{
	struct gcl_queue *queue = completion->queue;

	completion->done = true;
	completion->status = status;
	if (status < 0 && completion->side != GCL_HOME)
		atomic_store(&completion->worker->sides.failed_away, true);
	if (status < 0 && completion->event_id)
		queue_fail_locked(completion->worker, queue, status, "a command failed");
	else if (status < 0 && queue->failed == CL_SUCCESS)
		queue->failed = status;
	if (completion->event_id && !queue->in_order)
		tell_locked(completion);
	while (!gcl_list_empty(&queue->awaited)) {
		completion = gcl_list_first(&queue->awaited, struct gcl_completion, link);
		if (!completion->done)
			break;
		tell_locked(completion);
	}
}

static void finish_timed_locked(struct gcl_completion *completion, cl_int status,
				const cl_ulong times[4])
{
	memcpy(completion->times, times, sizeof completion->times);
	finish_locked(completion, status);
}

/* The session thread decides what it comes to. */
static void loss_report(struct gcl_worker *worker)
{
	atomic_store(&worker->sides.poll, true);
	gcl_channel_interrupt(worker->channel);
}

static void completion_finish(struct gcl_completion *completion, cl_int status,
			      const cl_ulong times[4])
{
	struct gcl_worker *worker = completion->worker;
	struct gcl_queue *queue = completion->queue;
	bool lost = status < 0 && gcl_side_withholds(worker, completion->side);

	if (completion->prints)
		gcl_print_flush(worker);
	pthread_mutex_lock(&queue->lock);
	completion->called = true;
	completion->withheld |= lost && !completion->done;
	if (completion->done && gcl_list_empty(&completion->link))
		completion_drop_locked(completion);
	else if (!completion->done && !completion->withheld)
		finish_timed_locked(completion, status, times);
	pthread_mutex_unlock(&queue->lock);
	if (lost)
		loss_report(worker);
	/* The guest will have the next command soon. */
	if (worker->channel->patient)
		gcl_channel_interrupt(worker->channel);
}

/* Zeros unless the guest may ask for them. */
static void times_take(const struct gcl_completion *completion, cl_event event, cl_ulong times[4])
{
	static const cl_profiling_info infos[] = {
		CL_PROFILING_COMMAND_QUEUED,
		CL_PROFILING_COMMAND_SUBMIT,
		CL_PROFILING_COMMAND_START,
		CL_PROFILING_COMMAND_END,
	};
	const struct gcl_side *side = &completion->worker->sides.side[completion->side];

	_Static_assert(GCL_ARRAY_SIZE(infos) == GCL_ARRAY_SIZE(completion->times),
		       "one time for each");
	for (size_t i = 0; i < GCL_ARRAY_SIZE(infos); i++) {
		times[i] = 0;
		if (completion->queue->profiling && completion->event_id &&
		    !clGetEventProfilingInfo(event, infos[i], sizeof times[i], &times[i], NULL))
			times[i] += (cl_ulong)side->shift;
	}
}

static void CL_CALLBACK command_completed(cl_event event, cl_int status, void *data)
{
	struct gcl_completion *completion = data;
	cl_ulong times[4];

	times_take(completion, event, times);
	completion_finish(completion, GCL_MIN(status, CL_COMPLETE), times);
}

cl_int gcl_event_failed(cl_event event)
{
	cl_int status = CL_COMPLETE;

	clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, NULL);
	return GCL_MIN(status, CL_SUCCESS);
}

/* One that can't be asked isn't over: its callback will say. */
static cl_int status_now(cl_event event)
{
	cl_int status = CL_QUEUED;

	if (event)
		clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status,
			       NULL);
	return status;
}

static void completion_watch(struct gcl_completion *completion)
{
	static const cl_ulong none[4];
	cl_event event = completion->event;
	/* A sync's event may be an old one, of which runtimes may forget to call back (Oclgrind).
	 */
	cl_int status = completion->event_id ? CL_QUEUED : status_now(event);

	if (event && status > CL_COMPLETE &&
	    clSetEventCallback(event, CL_COMPLETE, command_completed, completion) == CL_SUCCESS)
		return;
	if (status > CL_COMPLETE)
		status = event ? CL_OUT_OF_HOST_MEMORY : CL_SUCCESS;
	completion_finish(completion, status, none);
}

int gcl_completion_await(struct gcl_worker *worker, const struct gcl_completion *what,
			 cl_event event)
{
	struct gcl_completion *completion = completion_get(worker);
	struct gcl_queue *queue = what->queue;

	if (!completion)
		return -ENOMEM;
	*completion = *what;
	completion->worker = worker;
	completion->event = event;
	completion->called = what->withheld;
	completion->known = atomic_load_explicit(&worker->sides.known, memory_order_relaxed);
	atomic_fetch_add_explicit(&worker->completions.outstanding, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&worker->sides.side[what->side].completions, 1,
				  memory_order_relaxed);
	pthread_mutex_lock(&queue->lock);
	gcl_list_append(&queue->awaited, &completion->link);
	queue->outstanding++;
	pthread_mutex_unlock(&queue->lock);
	if (!what->withheld)
		completion_watch(completion);
	return 0;
}

void gcl_completion_renew(struct gcl_worker *worker, struct gcl_completion *completion,
			  cl_event event, cl_int status)
{
	struct gcl_completion *renewed = event ? completion_get(worker) : NULL;
	struct gcl_queue *queue = completion->queue;

	if (event && !renewed) {
		clReleaseEvent(event);
		status = CL_OUT_OF_HOST_MEMORY;
	}
	pthread_mutex_lock(&queue->lock);
	if (!renewed) {
		completion->swept = true;
		finish_locked(completion, status);
		pthread_mutex_unlock(&queue->lock);
		return;
	}
	*renewed = (struct gcl_completion){
		.worker = worker,
		.queue = queue,
		.event = event,
		.event_id = completion->event_id,
		.known = completion->known,
		.sync = completion->sync,
		.payload_offset = completion->payload_offset,
		.payload_size = completion->payload_size,
		.prints = completion->prints,
	};
	gcl_list_append(&completion->link, &renewed->link); /* before it */
	gcl_list_remove(&completion->link);
	queue->outstanding++;
	completion->done = true;
	if (completion->called)
		completion_drop_locked(completion);
	pthread_mutex_unlock(&queue->lock);
	atomic_fetch_add_explicit(&worker->sides.side[GCL_HOME].completions, 1,
				  memory_order_relaxed);
	completion_watch(renewed);
}

static size_t undone_count(struct gcl_queue *queue)
{
	size_t count = 0;

	pthread_mutex_lock(&queue->lock);
	gcl_list_for_each (it, &queue->awaited)
		count += !gcl_container_of(it, struct gcl_completion, link)->done;
	pthread_mutex_unlock(&queue->lock);
	return count;
}

/* Return: how many were listed; there may be fewer by now than were counted, not more. */
static size_t undone_list(struct gcl_queue *queue, struct gcl_completion **list, size_t room)
{
	size_t count = 0;

	pthread_mutex_lock(&queue->lock);
	gcl_list_for_each (it, &queue->awaited) {
		struct gcl_completion *completion =
			gcl_container_of(it, struct gcl_completion, link);

		if (!completion->done && count < room)
			list[count++] = completion;
	}
	pthread_mutex_unlock(&queue->lock);
	return count;
}

/* One that is over, whose callback hasn't come. */
static void completion_sweep(struct gcl_completion *completion, cl_int status)
{
	struct gcl_queue *queue = completion->queue;
	cl_ulong times[4];

	times_take(completion, completion->event, times);
	if (completion->prints)
		gcl_print_flush(completion->worker);
	pthread_mutex_lock(&queue->lock);
	if (!completion->done && !completion->withheld) {
		completion->swept = true;
		finish_timed_locked(completion, status, times);
	}
	pthread_mutex_unlock(&queue->lock);
}

/* The listed completions stay valid, whatever callbacks do: only the session thread reaps. */
static void queue_sweep(struct gcl_queue *queue)
{
	size_t count = undone_count(queue);
	_cleanup_free_ struct gcl_completion **list =
		calloc(count, sizeof(struct gcl_completion *));

	if (!list)
		return;
	count = undone_list(queue, list, count);
	for (size_t i = 0; i < count; i++) {
		cl_int status = status_now(list[i]->event);

		if (status <= CL_COMPLETE &&
		    (status == CL_COMPLETE || !gcl_side_withholds(list[i]->worker, list[i]->side)))
			completion_sweep(list[i], status);
	}
}

static void queue_freeze(struct gcl_queue *queue, unsigned side,
			 void (*each)(struct gcl_completion *completion, void *arg), void *arg)
{
	pthread_mutex_lock(&queue->lock);
	gcl_list_for_each (it, &queue->awaited) {
		struct gcl_completion *completion =
			gcl_container_of(it, struct gcl_completion, link);

		if (completion->done || completion->side != side)
			continue;
		completion->withheld = true;
		each(completion, arg);
	}
	pthread_mutex_unlock(&queue->lock);
}

void gcl_completions_freeze(struct gcl_worker *worker, unsigned side,
			    void (*each)(struct gcl_completion *completion, void *arg), void *arg)
{
	gcl_list_for_each (it, &worker->queues)
		queue_freeze(gcl_container_of(it, struct gcl_queue, link), side, each, arg);
	gcl_list_for_each (it, &worker->closing)
		queue_freeze(gcl_container_of(it, struct gcl_queue, link), side, each, arg);
}

static void queue_lose(struct gcl_queue *queue, unsigned side)
{
	size_t count = undone_count(queue);
	_cleanup_free_ struct gcl_completion **list =
		calloc(count + 1, sizeof(struct gcl_completion *));

	if (!list)
		return;
	count = undone_list(queue, list, count);
	for (size_t i = 0; i < count; i++) {
		cl_int status =
			list[i]->event ? gcl_event_status(list[i]->event) : CL_DEVICE_NOT_AVAILABLE;

		pthread_mutex_lock(&queue->lock);
		if (!list[i]->done && list[i]->withheld && list[i]->side == side) {
			list[i]->swept = true;
			finish_locked(list[i],
				      status > CL_COMPLETE ? CL_DEVICE_NOT_AVAILABLE : status);
		}
		pthread_mutex_unlock(&queue->lock);
	}
}

void gcl_completions_lose(struct gcl_worker *worker, unsigned side)
{
	gcl_list_for_each (it, &worker->queues)
		queue_lose(gcl_container_of(it, struct gcl_queue, link), side);
	gcl_list_for_each (it, &worker->closing)
		queue_lose(gcl_container_of(it, struct gcl_queue, link), side);
}

void gcl_completions_sweep(struct gcl_worker *worker)
{
	gcl_list_for_each (it, &worker->queues)
		queue_sweep(gcl_container_of(it, struct gcl_queue, link));
	gcl_list_for_each (it, &worker->closing)
		queue_sweep(gcl_container_of(it, struct gcl_queue, link));
	gcl_crossings_sweep(worker);
	gcl_gather_sweep();
}
