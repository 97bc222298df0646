/*
 * Commands on shared virtual memory: copy, fill, migrate, free. Maps are in map.c, kernels'
 * pointers in svm-kernel.c.
 */
#include <stdlib.h>

#include "memory.h"
#include "svm.h"

#define PATTERN_MAX 128u

cl_int gcl_svm_command_check(cl_command_queue queue)
{
	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	REFUSE_IF(!gcl_svm_offered(queue->context), CL_INVALID_OPERATION);
	return CL_SUCCESS;
}

/* ------------------------------------------------------------ copy */

/* Waiting as a blocking call does, behind a command that was posted. */
#define POST_AND_END(post, blocking, count, list, event)                                           \
	do {                                                                                       \
		cl_event made_ = NULL;                                                             \
		cl_event *wanted_ = (blocking) ? &made_ : (event);                                 \
		cl_int posted_ = (post);                                                           \
                                                                                                   \
		if (posted_ != CL_SUCCESS || !(blocking))                                          \
			return posted_;                                                            \
		return gcl_posted_end(made_, true, count, list, event);                            \
	} while (0)

struct copy {
	cl_command_queue queue;
	bool blocking;
	void *to;
	const void *from;
	size_t size;
	cl_uint count;
	const cl_event *list;
	cl_event *event;
};

static cl_int within_post(const struct copy *copy, cl_mem to, cl_mem from, cl_event *event)
{
	Gcl__BufferCopy message = GCL__BUFFER_COPY__INIT;
	struct gcl_enqueue enqueue;

	TRY(gcl_enqueue_begin(&enqueue, copy->queue, CL_COMMAND_SVM_MEMCPY, copy->count, copy->list,
			      event != NULL));
	message.command = &enqueue.command;
	message.src = from->base.id;
	message.dst = to->base.id;
	message.src_offset = gcl_svm_offset(from, copy->from);
	message.dst_offset = gcl_svm_offset(to, copy->to);
	message.size = copy->size;
	return gcl_enqueue_post(&enqueue, GCL_BUFFER_COPY, &message.base, 0, 0, event);
}

/* From allocation to allocation. */
static cl_int within_copy(const struct copy *copy, cl_mem to, cl_mem from)
{
	bool locked = false;

	if (to->resident && from->resident && copy->size <= GCL_DIRECT_COPY_MAX)
		TRY(gcl_direct_lock(copy->queue, copy->blocking, copy->count, copy->list,
				    copy->event, &locked));
	if (locked) {
		memcpy(copy->to, copy->from, copy->size);
		return gcl_direct_unlock(copy->queue, CL_COMMAND_SVM_MEMCPY, copy->event);
	}
	POST_AND_END(within_post(copy, to, from, wanted_), copy->blocking, copy->count, copy->list,
		     copy->event);
}

/* Between an allocation and the program's own memory. */
static cl_int transfer(const struct copy *copy, cl_mem mem, bool write)
{
	const void *inside = write ? copy->to : copy->from;

	return gcl_transfer_run(&(struct gcl_transfer){
		.queue = copy->queue,
		.mem = mem,
		.type = CL_COMMAND_SVM_MEMCPY,
		.shape = GCL_SHAPE_LINEAR,
		.write = write,
		.blocking = copy->blocking,
		.origin = {gcl_svm_offset(mem, inside)},
		.region = {copy->size, 1, 1},
		.host = {.bytes = write ? (uint8_t *)copy->from : copy->to},
		.wait_count = copy->count,
		.waits = copy->list,
		.event = copy->event,
	});
}

/* The program's own memory on both sides: when its turn has come. */
static cl_int outside_copy(const struct copy *copy)
{
	cl_command_queue queue = copy->queue;
	struct gcl_box to = {.bytes = copy->to}, from = {.bytes = (uint8_t *)copy->from};
	const size_t size[3] = {copy->size, 1, 1};
	struct gcl_completion *completion;
	bool locked = false;

	TRY(gcl_direct_lock(queue, copy->blocking, copy->count, copy->list, copy->event, &locked));
	if (locked) {
		memcpy(copy->to, copy->from, copy->size);
		return gcl_direct_unlock(queue, CL_COMMAND_SVM_MEMCPY, copy->event);
	}
	completion = gcl_staged_completion(queue->base.session, GCL_HEAP_NONE);
	REFUSE_IF(!completion, CL_OUT_OF_HOST_MEMORY);
	gcl_staged_copy_to(completion, &to, &from, size, NULL);
	POST_AND_END(gcl_marker_post(queue, CL_COMMAND_SVM_MEMCPY, copy->count, copy->list,
				     completion, wanted_),
		     copy->blocking, copy->count, copy->list, copy->event);
}

static bool overlap(const void *to, const void *from, size_t size)
{
	uintptr_t a = (uintptr_t)to, b = (uintptr_t)from;

	return a < b ? b - a < size : a - b < size;
}

static cl_int copy_run(const struct copy *copy)
{
	cl_context context = copy->queue->context;
	cl_mem to = gcl_svm_at(context, copy->to), from = gcl_svm_at(context, copy->from);

	REFUSE_IF(to && !gcl_svm_of(context, copy->to, copy->size), CL_INVALID_VALUE);
	REFUSE_IF(from && !gcl_svm_of(context, copy->from, copy->size), CL_INVALID_VALUE);
	if (to && from)
		return within_copy(copy, to, from);
	if (to || from)
		return transfer(copy, to ? to : from, to);
	return outside_copy(copy);
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueSVMMemcpy(cl_command_queue queue, cl_bool blocking,
						   void *to, const void *from, size_t size,
						   cl_uint count, const cl_event *list,
						   cl_event *event)
{
	TRY(gcl_svm_command_check(queue));
	REFUSE_IF(!to || !from || size == 0, CL_INVALID_VALUE);
	TRY(gcl_waits_check(queue->context, count, list));
	REFUSE_IF(overlap(to, from, size), CL_MEM_COPY_OVERLAP);
	REFUSE_IF(queue->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	return copy_run(&(struct copy){queue, blocking, to, from, size, count, list, event});
}

/* ------------------------------------------------------------ fill */

static cl_int fill_post(cl_command_queue queue, cl_mem mem, const void *pointer,
			const void *pattern, size_t pattern_size, size_t size, cl_uint count,
			const cl_event *list, cl_event *event)
{
	Gcl__BufferFill message = GCL__BUFFER_FILL__INIT;
	struct gcl_enqueue enqueue;

	TRY(gcl_enqueue_begin(&enqueue, queue, CL_COMMAND_SVM_MEMFILL, count, list, event != NULL));
	message.command = &enqueue.command;
	message.mem = mem->base.id;
	message.pattern.data = (uint8_t *)pattern;
	message.pattern.len = pattern_size;
	message.offset = gcl_svm_offset(mem, pointer);
	message.size = size;
	return gcl_enqueue_post(&enqueue, GCL_BUFFER_FILL, &message.base, 0, 0, event);
}

CL_API_ENTRY cl_int CL_API_CALL clEnqueueSVMMemFill(cl_command_queue queue, void *pointer,
						    const void *pattern, size_t pattern_size,
						    size_t size, cl_uint count,
						    const cl_event *list, cl_event *event)
{
	cl_mem mem;

	TRY(gcl_svm_command_check(queue));
	REFUSE_IF(!pointer || size == 0, CL_INVALID_VALUE);
	REFUSE_IF(!pattern || pattern_size == 0 || pattern_size > PATTERN_MAX ||
			  pattern_size & (pattern_size - 1),
		  CL_INVALID_VALUE);
	REFUSE_IF((uintptr_t)pointer % pattern_size || size % pattern_size, CL_INVALID_VALUE);
	mem = gcl_svm_of(queue->context, pointer, size);
	REFUSE_IF(!mem, CL_INVALID_VALUE);
	TRY(gcl_waits_check(queue->context, count, list));
	REFUSE_IF(queue->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	return fill_post(queue, mem, pointer, pattern, pattern_size, size, count, list, event);
}

/* ------------------------------------------------------------ migration */

CL_API_ENTRY cl_int CL_API_CALL clEnqueueSVMMigrateMem(cl_command_queue queue, cl_uint num_pointers,
						       const void **pointers, const size_t *sizes,
						       cl_mem_migration_flags flags, cl_uint count,
						       const cl_event *list, cl_event *event)
{
	const cl_mem_migration_flags known =
		CL_MIGRATE_MEM_OBJECT_HOST | CL_MIGRATE_MEM_OBJECT_CONTENT_UNDEFINED;
	_cleanup_free_ uint64_t *ids = NULL;
	Gcl__Migrate message = GCL__MIGRATE__INIT;
	struct gcl_enqueue enqueue;

	TRY(gcl_svm_command_check(queue));
	REFUSE_IF(num_pointers == 0 || !pointers, CL_INVALID_VALUE);
	REFUSE_IF(flags & ~known, CL_INVALID_VALUE);
	ids = malloc(num_pointers * sizeof *ids);
	REFUSE_IF(!ids, CL_OUT_OF_HOST_MEMORY);
	for (cl_uint i = 0; i < num_pointers; i++) {
		const struct _cl_mem *mem =
			gcl_svm_of(queue->context, pointers[i], sizes ? sizes[i] : 0);

		REFUSE_IF(!mem, CL_INVALID_VALUE);
		ids[i] = mem->base.id;
	}
	TRY(gcl_waits_check(queue->context, count, list));
	TRY(gcl_enqueue_begin(&enqueue, queue, CL_COMMAND_SVM_MIGRATE_MEM, count, list,
			      event != NULL));
	message.command = &enqueue.command;
	message.mems = ids;
	message.n_mems = num_pointers;
	message.flags = flags;
	return gcl_enqueue_post(&enqueue, GCL_MIGRATE, &message.base, 0, 0, event);
}

/* ------------------------------------------------------------ free */

/* What is freed when its turn has come, by the program if it has given a function for that. */
struct freeing {
	struct gcl_completion completion;
	cl_command_queue queue; /* a reference */
	void(CL_CALLBACK *fn)(cl_command_queue queue, cl_uint count, void *pointers[], void *data);
	void *data;
	cl_uint count;
	void *pointers[];
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A thread that runs such a function: what that waits for can't wait for its end. */
struct caller {
	struct gcl_list link;
	pthread_t thread;
};

/* Functions whose commands are complete, or nearly, and which haven't returned. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t less;
	_Atomic unsigned count; /* changed under lock */
	struct gcl_list callers;
} callbacks = {.lock = PTHREAD_MUTEX_INITIALIZER,
	       .less = PTHREAD_COND_INITIALIZER,
	       .callers = GCL_LIST_INIT(callbacks.callers)};

/* The child has a session of its own, and no thread that is in one of these. */
static void forked(void)
{
	pthread_mutex_init(&callbacks.lock, NULL);
	pthread_cond_init(&callbacks.less, NULL);
	gcl_list_init(&callbacks.callers);
	callbacks.count = 0;
}

static void prepare(void)
{
	pthread_atfork(NULL, NULL, forked);
}

static void callbacks_count(int difference)
{
	pthread_mutex_lock(&callbacks.lock);
	callbacks.count += (unsigned)difference;
	pthread_cond_broadcast(&callbacks.less);
	pthread_mutex_unlock(&callbacks.lock);
}

static bool is_caller_locked(void)
{
	gcl_list_for_each (it, &callbacks.callers)
		if (pthread_equal(gcl_container_of(it, struct caller, link)->thread,
				  pthread_self()))
			return true;
	return false;
}

/* Who waits for the command finds that the function has been called, as it would natively. */
void gcl_svm_settle(struct gcl_session *session)
{
	if (!atomic_load_explicit(&callbacks.count, memory_order_acquire) ||
	    gcl_notifier_self(session))
		return;
	pthread_mutex_lock(&callbacks.lock);
	while (callbacks.count && !is_caller_locked())
		pthread_cond_wait(&callbacks.less, &callbacks.lock);
	pthread_mutex_unlock(&callbacks.lock);
}

static void freeing_free(struct freeing *freeing)
{
	gcl_queue_put(freeing->queue);
	free(freeing);
}

static void callback_run(void *arg)
{
	struct freeing *freeing = arg;
	struct caller caller = {.thread = pthread_self()};

	pthread_mutex_lock(&callbacks.lock);
	gcl_list_append(&callbacks.callers, &caller.link);
	pthread_mutex_unlock(&callbacks.lock);
	freeing->fn(freeing->queue, freeing->count, freeing->pointers, freeing->data);
	pthread_mutex_lock(&callbacks.lock);
	gcl_list_remove(&caller.link);
	pthread_mutex_unlock(&callbacks.lock);
	callbacks_count(-1);
	freeing_free(freeing);
}

static void freeing_done(struct gcl_completion *completion, cl_int status)
{
	struct freeing *freeing = gcl_container_of(completion, struct freeing, completion);
	struct gcl_session *session = freeing->queue->base.session;

	if (freeing->fn) {
		gcl_notifier_disarm(session);
		callbacks_count(1);
		if (status == CL_COMPLETE && gcl_notify(session, callback_run, freeing) == 0)
			return;
		callbacks_count(-1);
	}
	for (cl_uint i = 0; i < freeing->count && !freeing->fn && status == CL_COMPLETE; i++)
		gcl_svm_free(freeing->queue->context, freeing->pointers[i]);
	freeing_free(freeing);
}

CL_API_ENTRY cl_int CL_API_CALL
clEnqueueSVMFree(cl_command_queue queue, cl_uint num_pointers, void *pointers[],
		 void(CL_CALLBACK *pfn_free_func)(cl_command_queue queue, cl_uint num_pointers,
						  void *pointers[], void *user_data),
		 void *user_data, cl_uint count, const cl_event *list, cl_event *event)
{
	struct freeing *freeing;

	TRY(gcl_svm_command_check(queue));
	REFUSE_IF(num_pointers == 0 && pointers, CL_INVALID_VALUE);
	REFUSE_IF(num_pointers > 0 && !pointers, CL_INVALID_VALUE);
	TRY(gcl_waits_check(queue->context, count, list));
	REFUSE_IF(queue->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	freeing = calloc(1, sizeof *freeing + num_pointers * sizeof freeing->pointers[0]);
	REFUSE_IF(!freeing, CL_OUT_OF_HOST_MEMORY);
	freeing->completion.fn = freeing_done;
	freeing->queue = queue;
	gcl_object_get(queue);
	freeing->fn = pfn_free_func;
	freeing->data = user_data;
	freeing->count = num_pointers;
	for (cl_uint i = 0; i < num_pointers; i++)
		freeing->pointers[i] = pointers[i];
	if (freeing->fn) {
		pthread_once(&once, prepare);
		gcl_notifier_arm(queue->base.session);
	}
	return gcl_marker_post(queue, CL_COMMAND_SVM_FREE, count, list, &freeing->completion,
			       event);
}
