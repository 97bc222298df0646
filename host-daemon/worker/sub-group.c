/*
 * Sub-groups of a kernel: one question to the runtime.
 */
#include <errno.h>

#include "worker.h"

#define SIZES_MAX 3u

_Static_assert(sizeof(size_t) == sizeof(uint64_t), "sizes of a message are given to the runtime");

int gcl_handle_sub_group_ask(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__SubGroupAsk *message = (const Gcl__SubGroupAsk *)call->message;
	const struct gcl_entry *kernel = gcl_table_find(worker, message->kernel, GCL_KIND_KERNEL);
	const struct gcl_entry *device = gcl_table_find(worker, message->device, GCL_KIND_DEVICE);
	Gcl__SizesAnswer answer = GCL__SIZES_ANSWER__INIT;
	uint64_t outputs[SIZES_MAX] = {0};

	if (!kernel || !device || message->n_inputs > SIZES_MAX || !message->outputs ||
	    message->outputs > SIZES_MAX)
		return -EPROTO;
	answer.request = call->head->sequence;
	answer.status = kernel->failed ? kernel->failed : device->failed;
	if (answer.status == CL_SUCCESS)
		answer.status =
			clGetKernelSubGroupInfo(kernel->handle, device->handle, message->name,
						message->n_inputs * sizeof(size_t),
						message->n_inputs ? message->inputs : NULL,
						message->outputs * sizeof(size_t), outputs, NULL);
	answer.outputs = outputs;
	answer.n_outputs = answer.status == CL_SUCCESS ? message->outputs : 0;
	gcl_send(worker, GCL_ANSWER_SIZES, &answer.base, 0, 0);
	return 0;
}
