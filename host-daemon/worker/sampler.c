/*
 * Samplers.
 */
#include "worker.h"

#include <errno.h>

void gcl_sampler_release(struct gcl_worker *worker, struct gcl_entry *entry)
{
	(void)worker;
	if (entry->handle)
		clReleaseSampler(entry->handle);
}

int gcl_handle_sampler_create(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__SamplerCreate *message = (const Gcl__SamplerCreate *)call->message;
	struct gcl_entry *context = gcl_table_find(worker, message->context, GCL_KIND_CONTEXT);
	cl_sampler handle = NULL;
	struct gcl_entry *entry;
	cl_int status;

	if (!context || message->normalized > CL_TRUE || message->addressing < CL_ADDRESS_NONE ||
	    message->addressing > CL_ADDRESS_MIRRORED_REPEAT ||
	    (message->filter != CL_FILTER_NEAREST && message->filter != CL_FILTER_LINEAR))
		return -EPROTO;
	entry = gcl_table_add(worker, message->id, GCL_KIND_SAMPLER);
	if (!entry)
		return -EPROTO;

	status = context->failed;
	if (status == CL_SUCCESS)
		handle = clCreateSampler(context->handle, message->normalized, message->addressing,
					 message->filter, &status);
	gcl_object_made(worker, entry, handle, status);
	return 0;
}
