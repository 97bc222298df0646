/*
 * Launches: clEnqueueNDRangeKernel and clEnqueueTask; and which size of work-groups the runtime
 * would choose for one.
 *
 * A launch carries the arguments that were set since the kernel's last launch. The kernel's lock is
 * held while it is packed, so that two threads that launch the same kernel don't both think the
 * other sent them.
 */
#include "feature.h"
#include "guest.h"
#include "kernel.h"

/* All arguments set? Looked at once in full, then remembered: an argument never becomes unset. */
static bool args_complete(cl_kernel kernel)
{
	if (kernel->complete)
		return true;
	for (cl_uint i = 0; i < kernel->arg_count; i++)
		if (!kernel->args[i].set)
			return false;
	kernel->complete = true;
	return true;
}

static bool compile_size_differs(const Gcl__KernelDevice *told, cl_uint dims, const size_t *local)
{
	if (told->n_compile_work_group_size != 3 || told->compile_work_group_size[0] == 0)
		return false;
	for (cl_uint i = 0; i < 3; i++)
		if (told->compile_work_group_size[i] != (i < dims ? local[i] : 1))
			return true;
	return false;
}

static cl_int local_check(const struct _cl_kernel *kernel, const struct _cl_device_id *device,
			  const Gcl__KernelDevice *told, cl_uint dims, const size_t *global,
			  const size_t *local)
{
	size_t total = 1;

	for (cl_uint i = 0; i < dims; i++) {
		REFUSE_IF(local[i] == 0, CL_INVALID_WORK_GROUP_SIZE);
		REFUSE_IF(global[i] % local[i] && gcl_kernel_uniform(kernel, device),
			  CL_INVALID_WORK_GROUP_SIZE);
		REFUSE_IF(__builtin_mul_overflow(total, local[i], &total),
			  CL_INVALID_WORK_GROUP_SIZE);
	}
	REFUSE_IF(total > told->work_group_size || total > device->max_group,
		  CL_INVALID_WORK_GROUP_SIZE);
	for (cl_uint i = 0; i < dims; i++)
		REFUSE_IF(local[i] > device->max_items[i], CL_INVALID_WORK_ITEM_SIZE);
	REFUSE_IF(compile_size_differs(told, dims, local), CL_INVALID_WORK_GROUP_SIZE);
	return CL_SUCCESS;
}

static bool range_empty(cl_uint dims, const size_t *global)
{
	bool empty = !global;

	for (cl_uint i = 0; !empty && i < dims; i++)
		empty = global[i] == 0;
	return empty;
}

/* @empty: set where there is nothing to do, which succeeds since 2.1. */
static cl_int range_check(const struct _cl_kernel *kernel, const struct _cl_device_id *device,
			  const Gcl__KernelDevice *told, cl_uint dims, const size_t *offset,
			  const size_t *global, const size_t *local, bool *empty)
{
	size_t end;

	REFUSE_IF(dims < 1 || dims > device->max_dims || dims > 3, CL_INVALID_WORK_DIMENSION);
	*empty = range_empty(dims, global);
	REFUSE_IF(*empty && device->api < CL_MAKE_VERSION(2, 1, 0), CL_INVALID_GLOBAL_WORK_SIZE);
	if (*empty)
		return CL_SUCCESS;
	for (cl_uint i = 0; offset && i < dims; i++)
		REFUSE_IF(__builtin_add_overflow(offset[i], global[i], &end),
			  CL_INVALID_GLOBAL_OFFSET);
	return local ? local_check(kernel, device, told, dims, global, local) : CL_SUCCESS;
}

static cl_int launch_check(cl_command_queue queue, cl_kernel kernel, const Gcl__KernelDevice **told)
{
	REFUSE_IF(!gcl_valid(queue, GCL_KIND_QUEUE), CL_INVALID_COMMAND_QUEUE);
	REFUSE_IF(!gcl_valid(kernel, GCL_KIND_KERNEL), CL_INVALID_KERNEL);
	REFUSE_IF(queue->context != kernel->program->context, CL_INVALID_CONTEXT);
	REFUSE_IF(queue->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	*told = gcl_kernel_device(kernel, queue->device);
	REFUSE_IF(!*told, CL_INVALID_PROGRAM_EXECUTABLE);
	REFUSE_IF(!args_complete(kernel), CL_INVALID_KERNEL_ARGS);
	return CL_SUCCESS;
}

/* Puts the changed arguments in the message. With kernel->lock held. */
static void args_take_locked(cl_kernel kernel, Gcl__Launch *message)
{
	size_t count = 0;

	if (!atomic_exchange_explicit(&kernel->dirty, false, memory_order_acquire))
		return;
	for (cl_uint i = 0; i < kernel->arg_count; i++) {
		struct gcl_arg *arg = &kernel->args[i];

		if (!arg->dirty)
			continue;
		arg->dirty = false;
		kernel->wire[count++] = &arg->wire;
	}
	message->n_args = count;
	message->args = kernel->wire;
}

/* The message did not go out: its arguments still have to. */
static void args_give_back_locked(cl_kernel kernel, const Gcl__Launch *message)
{
	for (size_t i = 0; i < message->n_args; i++)
		gcl_container_of(message->args[i], struct gcl_arg, wire)->dirty = true;
	if (message->n_args)
		atomic_store(&kernel->dirty, true);
}

static cl_int launch_post(cl_command_queue queue, cl_kernel kernel, Gcl__Launch *message,
			  cl_command_type type, cl_uint wait_count, const cl_event *wait_list,
			  cl_event *event)
{
	struct gcl_enqueue enqueue;
	cl_int status;

	TRY(gcl_enqueue_begin(&enqueue, queue, type, wait_count, wait_list, event));
	message->command = &enqueue.command;
	message->kernel = kernel->base.id;
	pthread_mutex_lock(&kernel->lock);
	args_take_locked(kernel, message);
	status = gcl_enqueue_post(&enqueue, GCL_LAUNCH, &message->base, 0, 0, event);
	if (status != CL_SUCCESS)
		args_give_back_locked(kernel, message);
	pthread_mutex_unlock(&kernel->lock);
	return status;
}

/* The range of a message, which has room for it. */
struct range {
	uint64_t offset[3], global[3], local[3];
};

static void range_fill(struct range *range, Gcl__Launch *message, cl_uint dims,
		       const size_t *offset, const size_t *global, const size_t *local)
{
	for (cl_uint i = 0; i < dims; i++) {
		range->offset[i] = offset ? offset[i] : 0;
		range->global[i] = global[i];
		range->local[i] = local ? local[i] : 0;
	}
	message->dims = dims;
	message->n_offset = offset ? dims : 0;
	message->offset = range->offset;
	message->n_global = dims;
	message->global = range->global;
	message->n_local = local ? dims : 0;
	message->local = range->local;
}

cl_int CL_API_CALL clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel,
					  cl_uint work_dim, const size_t *global_work_offset,
					  const size_t *global_work_size,
					  const size_t *local_work_size,
					  cl_uint num_events_in_wait_list,
					  const cl_event *event_wait_list, cl_event *event)
{
	Gcl__Launch message = GCL__LAUNCH__INIT;
	const Gcl__KernelDevice *told;
	struct range range;
	bool empty;

	TRY(launch_check(queue, kernel, &told));
	TRY(range_check(kernel, queue->device, told, work_dim, global_work_offset, global_work_size,
			local_work_size, &empty));
	TRY(gcl_waits_check(queue->context, num_events_in_wait_list, event_wait_list));
	if (empty)
		return gcl_enqueue_simple(queue, GCL_MARKER, CL_COMMAND_NDRANGE_KERNEL,
					  num_events_in_wait_list, event_wait_list, event);
	range_fill(&range, &message, work_dim, global_work_offset, global_work_size,
		   local_work_size);
	return launch_post(queue, kernel, &message, CL_COMMAND_NDRANGE_KERNEL,
			   num_events_in_wait_list, event_wait_list, event);
}

cl_int CL_API_CALL clEnqueueTask(cl_command_queue queue, cl_kernel kernel,
				 cl_uint num_events_in_wait_list, const cl_event *event_wait_list,
				 cl_event *event)
{
	static const size_t one = 1;
	Gcl__Launch message = GCL__LAUNCH__INIT;
	const Gcl__KernelDevice *told;
	uint64_t size = 1;

	TRY(launch_check(queue, kernel, &told));
	REFUSE_IF(compile_size_differs(told, 1, &one), CL_INVALID_WORK_GROUP_SIZE);
	TRY(gcl_waits_check(queue->context, num_events_in_wait_list, event_wait_list));
	message.task = true;
	message.dims = 1;
	message.n_global = 1;
	message.global = &size;
	message.n_local = 1;
	message.local = &size;
	return launch_post(queue, kernel, &message, CL_COMMAND_TASK, num_events_in_wait_list,
			   event_wait_list, event);
}

/* The arguments stay those that the next launch brings: the host keeps what it does again by
 * launches. */
static cl_int local_size_ask(cl_command_queue queue, cl_kernel kernel, Gcl__Launch *launch,
			     size_t *suggested)
{
	Gcl__LocalSizeAsk message = GCL__LOCAL_SIZE_ASK__INIT;
	ProtobufCMessage *reply;
	cl_int status;

	launch->kernel = kernel->base.id;
	message.queue = queue->base.id;
	message.launch = launch;
	pthread_mutex_lock(&kernel->lock);
	args_take_locked(kernel, launch);
	status = gcl_ask(kernel->base.session, GCL_LOCAL_SIZE_ASK, &message.base, GCL_ANSWER_SIZES,
			 &reply);
	args_give_back_locked(kernel, launch);
	pthread_mutex_unlock(&kernel->lock);
	return status == CL_SUCCESS ? gcl_sizes_take(reply, launch->dims, suggested) : status;
}

CL_API_ENTRY cl_int CL_API_CALL clGetKernelSuggestedLocalWorkSizeKHR(
	cl_command_queue queue, cl_kernel kernel, cl_uint work_dim,
	const size_t *global_work_offset, const size_t *global_work_size,
	size_t *suggested_local_work_size)
{
	Gcl__Launch launch = GCL__LAUNCH__INIT;
	const Gcl__KernelDevice *told;
	struct range range;
	bool empty;

	TRY(launch_check(queue, kernel, &told));
	REFUSE_IF(!gcl_device_has_extension(queue->device, "cl_khr_suggested_local_work_size"),
		  CL_INVALID_OPERATION);
	TRY(range_check(kernel, queue->device, told, work_dim, global_work_offset, global_work_size,
			NULL, &empty));
	REFUSE_IF(empty, CL_INVALID_GLOBAL_WORK_SIZE);
	REFUSE_IF(!suggested_local_work_size, CL_INVALID_VALUE);
	range_fill(&range, &launch, work_dim, global_work_offset, global_work_size, NULL);
	return local_size_ask(queue, kernel, &launch, suggested_local_work_size);
}
