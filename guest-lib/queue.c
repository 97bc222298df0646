/*
 * Command queues: creation, flush, finish, and what the host says about them.
 *
 * A queue is idle when the last sequence posted on it is known to be done. In-order queues learn
 * that from any event's completion, out-of-order queues only from the answer to QUEUE_SYNC, which
 * the host gives after the completions of all commands before it.
 */
#include "svm.h"

#define QUEUE_PROPERTIES (CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE | CL_QUEUE_PROFILING_ENABLE)

/* What a queue is created with. */
struct wanted {
	cl_command_queue_properties properties;
	const cl_queue_properties *list; /* or NULL */
	size_t list_size;		 /* in bytes, with the final 0 */
};

static cl_command_queue queue_new(cl_context context, cl_device_id device,
				  const struct wanted *wanted)
{
	cl_command_queue queue = gcl_object_new(GCL_KIND_QUEUE, context->base.session);

	if (!queue)
		return NULL;
	queue->context = context;
	queue->device = device;
	queue->properties = wanted->properties;
	if (wanted->list)
		memcpy(queue->list, wanted->list, wanted->list_size);
	queue->list_size = wanted->list_size;
	queue->in_order = !(wanted->properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
	pthread_mutex_init(&queue->lock, NULL);
	gcl_object_get(context);
	return queue;
}

/* Context and device were checked. */
static cl_command_queue queue_create(cl_context context, cl_device_id device,
				     const struct wanted *wanted, cl_int *errcode_ret)
{
	Gcl__QueueCreate message = GCL__QUEUE_CREATE__INIT;
	cl_command_queue queue;
	cl_int status;

	REFUSE_NULL_IF(wanted->properties & ~(cl_command_queue_properties)QUEUE_PROPERTIES,
		       CL_INVALID_VALUE);
	REFUSE_NULL_IF(wanted->properties & ~device->queue_properties, CL_INVALID_QUEUE_PROPERTIES);
	REFUSE_NULL_IF(context->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	queue = queue_new(context, device, wanted);
	REFUSE_NULL_IF(!queue, CL_OUT_OF_HOST_MEMORY);
	message.id = queue->base.id;
	message.context = context->base.id;
	message.device = device->base.id;
	message.properties = wanted->properties;
	status = gcl_post(queue->base.session, GCL_QUEUE_CREATE, &message.base);
	if (status != CL_SUCCESS)
		gcl_queue_put(queue);
	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	if (errcode_ret)
		*errcode_ret = CL_SUCCESS;
	return queue;
}

CL_API_ENTRY cl_command_queue CL_API_CALL
clCreateCommandQueue(cl_context context, cl_device_id device,
		     cl_command_queue_properties properties, cl_int *errcode_ret)
{
	const struct wanted wanted = {.properties = properties};

	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_NULL_IF(!gcl_valid(device, GCL_KIND_DEVICE), CL_INVALID_DEVICE);
	REFUSE_NULL_IF(!gcl_context_has_device(context, device), CL_INVALID_DEVICE);
	return queue_create(context, device, &wanted, errcode_ret);
}

/* Queues on devices, which alone have a size, are what no device here has. */
static cl_int on_device_check(cl_command_queue_properties properties, bool sized)
{
	bool on_device = properties & CL_QUEUE_ON_DEVICE;

	REFUSE_IF(!on_device && (sized || properties & CL_QUEUE_ON_DEVICE_DEFAULT),
		  CL_INVALID_VALUE);
	REFUSE_IF(on_device && !(properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE),
		  CL_INVALID_VALUE);
	REFUSE_IF(on_device, CL_INVALID_QUEUE_PROPERTIES);
	return CL_SUCCESS;
}

static cl_int list_get(const cl_queue_properties *list, struct wanted *wanted)
{
	bool sized = false;
	size_t i;

	*wanted = (struct wanted){.list = list};
	if (!list)
		return CL_SUCCESS;
	for (i = 0; list[i]; i += 2) {
		for (size_t j = 0; j < i; j += 2)
			REFUSE_IF(list[j] == list[i], CL_INVALID_VALUE);
		REFUSE_IF(list[i] != CL_QUEUE_PROPERTIES && list[i] != CL_QUEUE_SIZE,
			  CL_INVALID_VALUE);
		if (list[i] == CL_QUEUE_PROPERTIES)
			wanted->properties = list[i + 1];
		else
			sized = true;
	}
	wanted->list_size = (i + 1) * sizeof *list;
	return on_device_check(wanted->properties, sized);
}

CL_API_ENTRY cl_command_queue CL_API_CALL
clCreateCommandQueueWithProperties(cl_context context, cl_device_id device,
				   const cl_queue_properties *properties, cl_int *errcode_ret)
{
	struct wanted wanted;
	cl_int status;

	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_NULL_IF(!gcl_valid(device, GCL_KIND_DEVICE), CL_INVALID_DEVICE);
	REFUSE_NULL_IF(!gcl_context_has_device(context, device), CL_INVALID_DEVICE);
	status = list_get(properties, &wanted);
	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	return queue_create(context, device, &wanted, errcode_ret);
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
	case CL_QUEUE_PROPERTIES_ARRAY:
		return gcl_info(queue->list, queue->list_size, param_value_size, param_value,
				param_value_size_ret);
	case CL_QUEUE_SIZE:
		return CL_INVALID_COMMAND_QUEUE; /* not one on a device */
	case CL_QUEUE_DEVICE_DEFAULT:
		GCL_INFO_VALUE(cl_command_queue, NULL);
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
