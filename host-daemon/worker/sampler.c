/*
 * Samplers.
 */
#include "worker.h"

#include <errno.h>
#include <stdlib.h>

void gcl_sampler_release(struct gcl_worker *worker, struct gcl_entry *entry)
{
	(void)worker;
	gcl_sampler_put(entry->detail);
}

void gcl_sampler_put(struct gcl_sampler *sampler)
{
	if (!sampler || --sampler->refs)
		return;
	for (unsigned i = 0; i < GCL_SIDES; i++)
		if (sampler->handles[i])
			clReleaseSampler(sampler->handles[i]);
	gcl_context_put(sampler->context);
	gcl_list_remove(&sampler->twins);
	free(sampler);
}

static struct gcl_sampler *sampler_create(const Gcl__SamplerCreate *message,
					  const struct gcl_entry *context)
{
	struct gcl_sampler *sampler = calloc(1, sizeof *sampler);

	if (!sampler)
		return NULL;
	*sampler = (struct gcl_sampler){
		.refs = 1,
		.context = gcl_context_get(context->detail),
		.normalized = message->normalized,
		.addressing = message->addressing,
		.filter = message->filter,
	};
	gcl_list_init(&sampler->twins);
	return sampler;
}

int gcl_handle_sampler_create(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__SamplerCreate *message = (const Gcl__SamplerCreate *)call->message;
	struct gcl_entry *context = gcl_table_find(worker, message->context, GCL_KIND_CONTEXT);
	cl_sampler handle = NULL;
	struct gcl_sampler *sampler;
	struct gcl_entry *entry;
	cl_int status;

	if (!context || message->normalized > CL_TRUE || message->addressing < CL_ADDRESS_NONE ||
	    message->addressing > CL_ADDRESS_MIRRORED_REPEAT ||
	    (message->filter != CL_FILTER_NEAREST && message->filter != CL_FILTER_LINEAR))
		return -EPROTO;
	entry = gcl_table_add(worker, message->id, GCL_KIND_SAMPLER);
	if (!entry)
		return -EPROTO;

	entry->detail = sampler = sampler_create(message, context);
	if (!sampler)
		return -ENOMEM;
	status = context->failed;
	if (status == CL_SUCCESS)
		handle = clCreateSampler(context->handle, message->normalized, message->addressing,
					 message->filter, &status);
	gcl_object_made(worker, entry, handle, status);
	sampler->handles[GCL_HOME] = entry->handle;
	return 0;
}
