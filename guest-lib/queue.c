/*
 * Command queues: creation, flush, finish, and what the host says about them.
 *
 * A queue is idle when the last sequence posted on it is known to be done. In-order queues learn
 * that from any event's completion, out-of-order queues only from the answer to QUEUE_SYNC, which
 * the host gives after the completions of all commands before it.
 */
#include "svm.h"

#define QUEUE_PROPERTIES (CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE | CL_QUEUE_PROFILING_ENABLE)

static cl_command_queue queue_new(cl_context context, cl_device_id device,
				  cl_command_queue_properties properties)
{
	cl_command_queue queue = gcl_object_new(GCL_KIND_QUEUE, context->base.session);

	if (!queue)
		return NULL;
	queue->context = context;
	queue->device = device;
	queue->properties = properties;
	queue->in_order = !(properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
	pthread_mutex_init(&queue->lock, NULL);
	gcl_object_get(context);
	return queue;
}

CL_API_ENTRY cl_command_queue CL_API_CALL
clCreateCommandQueue(cl_context context, cl_device_id device,
		     cl_command_queue_properties properties, cl_int *errcode_ret)
{
	Gcl__QueueCreate message = GCL__QUEUE_CREATE__INIT;
	cl_command_queue queue;
	cl_int status;

	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_NULL_IF(!gcl_valid(device, GCL_KIND_DEVICE), CL_INVALID_DEVICE);
	REFUSE_NULL_IF(!gcl_context_has_device(context, device), CL_INVALID_DEVICE);
	REFUSE_NULL_IF(properties & ~(cl_command_queue_properties)QUEUE_PROPERTIES,
		       CL_INVALID_VALUE);
	REFUSE_NULL_IF(properties & ~device->queue_properties, CL_INVALID_QUEUE_PROPERTIES);
	REFUSE_NULL_IF(context->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	queue = queue_new(context, device, properties);
	REFUSE_NULL_IF(!queue, CL_OUT_OF_HOST_MEMORY);
	message.id = queue->base.id;
	message.context = context->base.id;
	message.device = device->base.id;
	message.properties = properties;
	status = gcl_post(queue->base.session, GCL_QUEUE_CREATE, &message.base);
	if (status != CL_SUCCESS)
		gcl_queue_put(queue);
	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	if (errcode_ret)
		*errcode_ret = CL_SUCCESS;
	return queue;
}

/* A property of a queue can't change: commands that are under way rely on it. */
CL_API_ENTRY cl_int CL_API_CALL clSetCommandQueueProperty(cl_command_queue queue,
							  cl_command_queue_properties properties,
							  cl_bool enable,
							  cl_command_queue_properties *old)
{
	(void)enable;
	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	REFUSE_IF(properties & ~(cl_command_queue_properties)QUEUE_PROPERTIES, CL_INVALID_VALUE);
	if (old)
		*old = queue->properties;
	return CL_INVALID_OPERATION;
}

void gcl_queue_put(cl_command_queue queue)
{
	if (!queue || !gcl_object_put(queue))
		return;
	gcl_post_release(queue->base.session, queue->base.id);
	pthread_mutex_destroy(&queue->lock);
	gcl_context_put(queue->context);
	gcl_object_free(queue);
}

CL_API_ENTRY cl_int CL_API_CALL clRetainCommandQueue(cl_command_queue queue)
{
	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	gcl_object_get(queue);
	return CL_SUCCESS;
}

/* Flushes, as the specification has it; a lost host changes nothing about the reference. */
CL_API_ENTRY cl_int CL_API_CALL clReleaseCommandQueue(cl_command_queue queue)
{
	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	gcl_queue_flush(queue);
	gcl_queue_put(queue);
	return CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL clGetCommandQueueInfo(cl_command_queue queue,
						      cl_command_queue_info param_name,
						      size_t param_value_size, void *param_value,
						      size_t *param_value_size_ret)
{
	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	switch (param_name) {
	case CL_QUEUE_CONTEXT:
		GCL_INFO_VALUE(cl_context, queue->context);
	case CL_QUEUE_DEVICE:
		GCL_INFO_VALUE(cl_device_id, queue->device);
	case CL_QUEUE_REFERENCE_COUNT:
		GCL_INFO_VALUE(cl_uint, queue->base.refs);
	case CL_QUEUE_PROPERTIES:
		GCL_INFO_VALUE(cl_command_queue_properties, queue->properties);
	default:
		return CL_INVALID_VALUE;
	}
}

/* ------------------------------------------------------------ flush and finish */

static bool queue_idle(const struct _cl_command_queue *queue)
{
	return atomic_load_explicit(&queue->done, memory_order_acquire) >=
	       atomic_load_explicit(&queue->posted, memory_order_acquire);
}

void gcl_queue_done(cl_command_queue queue, uint64_t sequence)
{
	uint64_t done = atomic_load_explicit(&queue->done, memory_order_relaxed);

	while (done < sequence &&
	       !atomic_compare_exchange_weak_explicit(&queue->done, &done, sequence,
						      memory_order_release, memory_order_relaxed))
		;
}

bool gcl_queue_lock_idle(cl_command_queue queue, cl_uint count, const cl_event *list)
{
	struct gcl_session *session = queue->base.session;

	if (session->lost || atomic_load_explicit(&queue->base.failed, memory_order_relaxed))
		return false;
	if (count && !gcl_waits_done(count, list))
		return false;
	if (!queue_idle(queue))
		gcl_session_drain(session);
	if (!queue_idle(queue))
		return false;
	pthread_mutex_lock(&queue->lock);
	if (queue_idle(queue)) {
		gcl_event_here_begin(queue);
		return true;
	}
	pthread_mutex_unlock(&queue->lock);
	return false;
}

cl_int gcl_queue_flush(cl_command_queue queue)
{
	Gcl__QueueFlush message = GCL__QUEUE_FLUSH__INIT;

	REFUSE_IF(queue->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	if (!atomic_load_explicit(&queue->unflushed, memory_order_relaxed) ||
	    !atomic_exchange_explicit(&queue->unflushed, false, memory_order_acquire))
		return CL_SUCCESS;
	message.queue = queue->base.id;
	return gcl_post(queue->base.session, GCL_QUEUE_FLUSH, &message.base);
}

struct sync {
	const struct _cl_command_queue *queue;
	uint64_t sequence;
};

static bool sync_done(const void *arg)
{
	const struct sync *sync = arg;

	return atomic_load_explicit(&sync->queue->done, memory_order_acquire) >= sync->sequence;
}

static cl_int queue_sync(cl_command_queue queue)
{
	struct gcl_session *session = queue->base.session;
	Gcl__QueueSync message = GCL__QUEUE_SYNC__INIT;
	struct sync sync = {.queue = queue};

	message.queue = queue->base.id;
	atomic_store_explicit(&queue->unflushed, false, memory_order_relaxed); /* implied */
	TRY(gcl_post_payload(session, GCL_QUEUE_SYNC, &message.base, 0, 0, &sync.sequence));
	return gcl_session_wait(session, sync_done, &sync);
}

cl_int gcl_queue_finish(cl_command_queue queue)
{
	cl_int failed = atomic_load_explicit(&queue->base.failed, memory_order_relaxed);

	REFUSE_IF(queue->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	REFUSE_IF(failed, failed);
	if (!queue_idle(queue))
		TRY(queue_sync(queue));
	gcl_svm_settle(queue->base.session);
	if (atomic_load_explicit(&queue->failed, memory_order_relaxed) == 0)
		return CL_SUCCESS;
	return atomic_exchange_explicit(&queue->failed, 0, memory_order_relaxed);
}

CL_API_ENTRY cl_int CL_API_CALL clFlush(cl_command_queue queue)
{
	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	return gcl_queue_flush(queue);
}

CL_API_ENTRY cl_int CL_API_CALL clFinish(cl_command_queue queue)
{
	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	return gcl_queue_finish(queue);
}

/* ------------------------------------------------------------ from the host */

static void queue_fail(cl_command_queue queue, cl_int status)
{
	cl_int none = 0;

	atomic_compare_exchange_strong_explicit(&queue->failed, &none, status, memory_order_release,
						memory_order_relaxed);
}

void gcl_on_queue_failed(struct gcl_session *session, const struct gcl_frame *head,
			 const Gcl__QueueFailed *message)
{
	cl_command_queue queue = gcl_object_lookup(session, message->queue, GCL_KIND_QUEUE);

	(void)head;
	if (!queue)
		return;
	gcl_log_debug(event, "a command failed with %d: %s", message->status, message->text);
	queue->failure_told = true;
	queue_fail(queue, message->status < 0 ? message->status : CL_OUT_OF_RESOURCES);
	gcl_context_notify(queue->context, message->text);
	gcl_queue_put(queue);
}

/* The status sums up what went wrong since the last one: news only where QUEUE_FAILED didn't say
 * it. */
void gcl_on_queue_done(struct gcl_session *session, const struct gcl_frame *head,
		       const Gcl__QueueDone *message)
{
	cl_command_queue queue = gcl_object_lookup(session, message->queue, GCL_KIND_QUEUE);

	(void)head;
	if (!queue)
		return;
	if (message->status < 0 && !queue->failure_told)
		queue_fail(queue, message->status);
	queue->failure_told = false;
	gcl_queue_done(queue, message->sync);
	gcl_queue_put(queue);
}
