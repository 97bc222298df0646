/*
 * Contexts, and what the runtime says about them.
 */
#include <errno.h>
#include <string.h>

#include "worker.h"

#define NOTICE_TEXT_MAX 4096u
#define NOTICE_INFO_MAX 4096u

/* A context can outlive its id, and its callback with it, so the callback gets no pointer that
 * would have to be freed one day: it gets the id, and the session's worker is here. */
static struct gcl_worker *_Atomic noticed;

static void CL_CALLBACK context_notice(const char *text, const void *private_info, size_t size,
				       void *data)
{
	Gcl__ContextNotice notice = GCL__CONTEXT_NOTICE__INIT;
	char copy[NOTICE_TEXT_MAX];

	snprintf(copy, sizeof copy, "%s", text ? text : "");
	notice.context = (uintptr_t)data;
	notice.text = copy;
	if (private_info) {
		notice.private_info.data = (uint8_t *)private_info;
		notice.private_info.len = GCL_MIN(size, NOTICE_INFO_MAX);
	}
	gcl_send(noticed, GCL_CONTEXT_NOTICE, &notice.base, 0, 0);
}

/* Looks the devices up into @devices. Return: a tombstone's status, 0, or -EPROTO in @err. */
static cl_int devices_find(struct gcl_worker *worker, const Gcl__ContextCreate *message,
			   cl_device_id *devices, int *err)
{
	cl_int failed = CL_SUCCESS;

	for (size_t i = 0; i < message->n_devices; i++) {
		const struct gcl_entry *entry =
			gcl_table_find(worker, message->devices[i], GCL_KIND_DEVICE);

		if (!entry) {
			*err = -EPROTO;
			return CL_SUCCESS;
		}
		devices[i] = entry->handle;
		if (entry->failed)
			failed = entry->failed;
	}
	return failed;
}

int gcl_handle_context_create(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__ContextCreate *message = (const Gcl__ContextCreate *)call->message;
	cl_context_properties properties[3] = {CL_CONTEXT_PLATFORM};
	cl_platform_id platform = NULL;
	cl_context context = NULL;
	struct gcl_context *detail;
	struct gcl_entry *entry;
	cl_device_id *devices;
	cl_int status;
	int err = 0;

	if (message->n_devices == 0)
		return -EPROTO;
	devices = gcl_arena_alloc(&worker->arena, message->n_devices * sizeof(cl_device_id));
	if (!devices)
		return -EPROTO;
	status = devices_find(worker, message, devices, &err);
	if (err)
		return err;
	entry = gcl_table_add(worker, message->id, GCL_KIND_CONTEXT);
	if (!entry)
		return -EPROTO;
	noticed = worker;
	detail = calloc(1, sizeof *detail);
	if (!detail)
		return -ENOMEM;
	detail->refs = 1;
	gcl_list_init(&detail->twins);
	gcl_list_init(&detail->allocations);
	entry->detail = detail;
	if (!status)
		detail->devices = gcl_quota_devices(worker, devices, message->n_devices);
	if (!status)
		status = clGetDeviceInfo(devices[0], CL_DEVICE_PLATFORM, sizeof platform, &platform,
					 NULL);
	properties[1] = (cl_context_properties)platform;
	if (!status)
		context = clCreateContext(properties, (cl_uint)message->n_devices, devices,
					  context_notice, (void *)(uintptr_t)message->id, &status);
	if (context)
		detail->svm = gcl_svm_offered(devices, message->n_devices);
	gcl_object_made(worker, entry, context, status);
	detail->handles[GCL_HOME] = entry->handle;
	return 0;
}

struct gcl_context *gcl_context_get(struct gcl_context *context)
{
	context->refs++;
	return context;
}

void gcl_context_put(struct gcl_context *context)
{
	if (!context || --context->refs)
		return;
	for (unsigned i = 0; i < GCL_SIDES; i++)
		gcl_context_leave(context, i);
	gcl_list_remove(&context->twins);
	free(context);
}

void gcl_context_release(struct gcl_worker *worker, struct gcl_entry *entry)
{
	(void)worker;
	gcl_context_put(entry->detail);
}
