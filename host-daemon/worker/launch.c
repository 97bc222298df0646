/*
 * Kernel launches: the arguments that have changed, then the ND range.
 *
 * This is the path that counts: one lookup and one call for each changed argument, one call for the
 * launch. An argument that the runtime refuses fails this launch and all later ones until it is set
 * again, as the guest has no reason to send it twice.
 */
#include "svm.h"

#include <errno.h>
#include <string.h>

#define DIMS_MAX 3u

/* A memory object as an argument. NULL is a buffer that isn't there. */
static int mem_set(struct gcl_worker *worker, struct gcl_kernel *kernel, const Gcl__Argument *arg,
		   cl_int *status)
{
	const struct gcl_entry *entry;
	struct gcl_mem *mem = NULL;
	cl_mem handle = NULL;

	if (arg->object) {
		entry = gcl_table_find(worker, arg->object, GCL_KIND_MEM);
		mem = entry ? entry->detail : NULL;
		if (!mem)
			return -EPROTO;
		if (mem->failed)
			*status = mem->failed;
		else if (gcl_mem_is_image(mem) != (arg->kind == GCL_ARG_IMAGE))
			*status = CL_INVALID_ARG_VALUE;
		else if (mem->context->handles[GCL_HOME] != kernel->context)
			*status = CL_INVALID_CONTEXT;
		handle = mem->handles[GCL_HOME];
	} else if (arg->kind == GCL_ARG_IMAGE) {
		*status = CL_INVALID_ARG_VALUE;
	}
	/* One that isn't at home is set when it is. */
	if (*status == CL_SUCCESS && (handle || !mem))
		*status = clSetKernelArg(kernel->handle, arg->index, sizeof handle, &handle);
	if (*status == CL_SUCCESS && worker->client)
		gcl_arg_keep_mem(&kernel->args[arg->index], mem);
	return 0;
}

static int sampler_set(struct gcl_worker *worker, struct gcl_kernel *kernel,
		       const Gcl__Argument *arg, cl_int *status)
{
	const struct gcl_entry *entry = gcl_table_find(worker, arg->object, GCL_KIND_SAMPLER);
	cl_sampler handle;

	if (!entry)
		return -EPROTO;
	handle = entry->handle;
	*status = entry->failed;
	if (*status == CL_SUCCESS)
		*status = clSetKernelArg(kernel->handle, arg->index, sizeof handle, &handle);
	if (*status == CL_SUCCESS && worker->client)
		gcl_arg_keep_sampler(&kernel->args[arg->index], entry->detail);
	return 0;
}

/* A value, or local memory. @data: NULL for that. */
static int value_set(struct gcl_worker *worker, struct gcl_kernel *kernel, uint32_t index,
		     size_t size, const void *data, cl_int *status)
{
	*status = clSetKernelArg(kernel->handle, index, size, data);
	if (*status == CL_SUCCESS && worker->client)
		return gcl_arg_keep_value(&kernel->args[index], size, data);
	return 0;
}

/*
 * Is the argument's signature unknown, and a value of a handle's size meant for a pointer? The
 * runtime would take it for an object: that takes NULL, which a value can't be. Zeros are NULL.
 */
static bool value_is_handle(const struct gcl_kernel *kernel, const Gcl__Argument *arg)
{
	static cl_mem none;

	return kernel->args[arg->index].kind == GCL_ARG_UNKNOWN && arg->data.len == sizeof none &&
	       memcmp(arg->data.data, &none, sizeof none) != 0 &&
	       clSetKernelArg(kernel->handle, arg->index, sizeof none, NULL) == CL_SUCCESS;
}

static int arg_set(struct gcl_worker *worker, struct gcl_kernel *kernel, const Gcl__Argument *arg,
		   cl_int *status)
{
	if (arg->svm)
		return gcl_svm_arg_set(worker, kernel, arg, status);
	switch (arg->kind) {
	case GCL_ARG_VALUE:
		if (!arg->data.len || arg->data.len > GCL_INLINE_MAX)
			return -EPROTO;
		if (value_is_handle(kernel, arg)) {
			*status = CL_INVALID_MEM_OBJECT;
			return 0;
		}
		return value_set(worker, kernel, arg->index, arg->data.len, arg->data.data, status);
	case GCL_ARG_BUFFER:
	case GCL_ARG_IMAGE:
		return mem_set(worker, kernel, arg, status);
	case GCL_ARG_SAMPLER:
		return sampler_set(worker, kernel, arg, status);
	case GCL_ARG_LOCAL:
		if (!arg->local_size)
			return -EPROTO;
		return value_set(worker, kernel, arg->index, arg->local_size, NULL, status);
	default:
		return -EPROTO;
	}
}

static int args_set(struct gcl_worker *worker, struct gcl_kernel *kernel,
		    const Gcl__Launch *message)
{
	for (size_t i = 0; i < message->n_args; i++) {
		const Gcl__Argument *arg = message->args[i];
		cl_int status = CL_SUCCESS;
		struct gcl_kernel_arg *known;
		int err;

		if (arg->index >= kernel->arg_count)
			return -EPROTO;
		known = &kernel->args[arg->index];
		if (known->kind != arg->kind && known->kind != GCL_ARG_UNKNOWN)
			return -EPROTO;
		err = arg_set(worker, kernel, arg, &status);
		if (err)
			return err;
		kernel->refused -= known->refused;
		known->refused = status != CL_SUCCESS;
		kernel->refused += known->refused;
		if (known->refused)
			kernel->refused_status = status;
	}
	return 0;
}

/* Sizes that a correct guest can send. What the device can do is left to the runtime. */
static bool range_valid(const Gcl__Launch *message)
{
	size_t dims = message->dims;

	if (message->task)
		return true;
	if (!dims || dims > DIMS_MAX || message->n_global != dims ||
	    (message->n_offset && message->n_offset != dims) ||
	    (message->n_local && message->n_local != dims))
		return false;
	for (size_t i = 0; i < message->n_local; i++) {
		if (!message->local[i])
			return false;
	}
	return true;
}

/* Of the platform of the queue's device, wherever it is. Return: NULL: it hasn't got it. */
static clGetKernelSuggestedLocalWorkSizeKHR_fn suggestion_find(struct gcl_worker *worker,
							       const struct gcl_queue *queue)
{
	cl_device_id device =
		queue->side == GCL_HOME ? queue->device : worker->sides.side[queue->side].device;
	cl_platform_id platform = NULL;

	if (clGetDeviceInfo(device, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL))
		return NULL;
	return (clGetKernelSuggestedLocalWorkSizeKHR_fn)clGetExtensionFunctionAddressForPlatform(
		platform, "clGetKernelSuggestedLocalWorkSizeKHR");
}

static cl_int suggest(struct gcl_worker *worker, const struct gcl_queue *queue,
		      struct gcl_kernel *kernel, const Gcl__Launch *launch, uint64_t *sizes)
{
	clGetKernelSuggestedLocalWorkSizeKHR_fn ask = suggestion_find(worker, queue);
	cl_kernel handle = kernel->handle;
	cl_int status = kernel->refused ? kernel->refused_status : CL_SUCCESS;

	if (status == CL_SUCCESS && worker->client)
		handle = gcl_kernel_on(worker, kernel, queue->side, &status);
	if (status != CL_SUCCESS)
		return status;
	if (!ask)
		return CL_INVALID_OPERATION;
	return ask(queue->handle, handle, launch->dims, launch->n_offset ? launch->offset : NULL,
		   launch->global, sizes);
}

int gcl_handle_local_size_ask(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__LocalSizeAsk *message = (const Gcl__LocalSizeAsk *)call->message;
	const Gcl__Launch *launch = message->launch;
	const struct gcl_entry *queue = gcl_table_find(worker, message->queue, GCL_KIND_QUEUE);
	const struct gcl_entry *kernel =
		launch ? gcl_table_find(worker, launch->kernel, GCL_KIND_KERNEL) : NULL;
	Gcl__SizesAnswer answer = GCL__SIZES_ANSWER__INIT;
	uint64_t sizes[DIMS_MAX] = {0};
	int err;

	if (!queue || !kernel || launch->task || launch->n_local || !range_valid(launch))
		return -EPROTO;
	answer.request = call->head->sequence;
	answer.status = queue->failed ? queue->failed : kernel->failed;
	if (answer.status == CL_SUCCESS) {
		err = args_set(worker, kernel->detail, launch);
		if (err)
			return err;
		answer.status = suggest(worker, queue->detail, kernel->detail, launch, sizes);
	}
	answer.outputs = sizes;
	answer.n_outputs = answer.status == CL_SUCCESS ? launch->dims : 0;
	gcl_send(worker, GCL_ANSWER_SIZES, &answer.base, 0, 0);
	return 0;
}

/* Launches of one kernel over as many items take about as long. Never 0. */
static uint64_t launch_work(const struct gcl_kernel *kernel, const Gcl__Launch *message)
{
	uint64_t items = 1;

	for (size_t i = 0; !message->task && i < message->dims; i++)
		items *= message->global[i];
	return gcl_meter_key((uintptr_t)kernel, items);
}

_Static_assert(sizeof(size_t) == sizeof(uint64_t), "sizes of a message are given to the runtime");

/* What the kernel may do with its arguments' objects; and the kernel of the queue's side. Return:
 * 0, -ENOMEM. */
static int kernel_prepare(struct gcl_worker *worker, struct gcl_kernel *kernel,
			  struct gcl_command *command, cl_kernel *handle)
{
	cl_int status = CL_SUCCESS;

	*handle = kernel->handle;
	if (!worker->client || command->failed)
		return 0;
	for (cl_uint i = 0; i < kernel->arg_count; i++) {
		const struct gcl_kernel_arg *arg = &kernel->args[i];

		enum gcl_access access = arg->access;

		/* By pointers in it a kernel may come back to it, whatever its argument says. */
		if (arg->svm_set)
			access = GCL_ACCESS_WRITE;
		else if (arg->mem && arg->mem->flags & CL_MEM_READ_ONLY)
			access = GCL_ACCESS_READ;
		if (arg->mem && gcl_use_note(worker, command, arg->mem, access))
			return -ENOMEM;
	}
	if (gcl_svm_use(worker, kernel, command))
		return -ENOMEM;
	gcl_settle(worker, command);
	if (!command->failed)
		*handle = gcl_kernel_on(worker, kernel, command->side, &status);
	if (status != CL_SUCCESS)
		command->failed = status;
	return 0;
}

static int launch_enqueue(struct gcl_worker *worker, struct gcl_kernel *kernel,
			  const Gcl__Launch *message, struct gcl_command *command)
{
	cl_kernel handle;
	int err = kernel_prepare(worker, kernel, command, &handle);
	const size_t *offset = message->n_offset ? message->offset : NULL;
	const size_t *local = message->n_local ? message->local : NULL;

	if (err)
		return err;
	if (message->task)
		return GCL_ENQUEUE(worker, command, clEnqueueTask, handle);
	return GCL_ENQUEUE(worker, command, clEnqueueNDRangeKernel, handle, message->dims, offset,
			   message->global, local);
}

int gcl_launch_args(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__Launch *message = (const Gcl__Launch *)call->message;
	const struct gcl_entry *entry = gcl_table_find(worker, message->kernel, GCL_KIND_KERNEL);

	return entry && entry->detail ? args_set(worker, entry->detail, message) : 0;
}

int gcl_handle_launch(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__Launch *message = (const Gcl__Launch *)call->message;
	struct gcl_entry *entry = gcl_table_find(worker, message->kernel, GCL_KIND_KERNEL);
	struct gcl_kernel *kernel = entry ? entry->detail : NULL;
	struct gcl_command command;
	int err;

	if (!entry || !range_valid(message))
		return -EPROTO;
	err = gcl_command_begin(worker, message->command, &command);
	if (err)
		return err;
	if (!kernel)
		return gcl_command_end(worker, &command, entry->failed, "clEnqueueNDRangeKernel");

	err = args_set(worker, kernel, message);
	if (err)
		return err;
	if (!command.failed && kernel->refused)
		command.failed = kernel->refused_status;
	command.prints = worker->may_print;
	command.kernel = true;
	command.work = launch_work(kernel, message);
	return launch_enqueue(worker, kernel, message, &command);
}
