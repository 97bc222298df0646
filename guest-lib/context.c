/*
 * Contexts.
 */
#include <stdlib.h>

#include "svm.h"

/* What a notice needs on the notifier thread. */
struct notice {
	cl_context context; /* holds a reference */
	size_t info_size;
	char *info;
	char text[];
};

static void notice_run(void *arg)
{
	struct notice *notice = arg;
	cl_context context = notice->context;

	context->notify(notice->text, notice->info, notice->info_size, context->notify_data);
	gcl_context_put(context);
	free(notice);
}

static void notice_post(cl_context context, const char *text, const void *info, size_t info_size)
{
	size_t text_size = strlen(text) + 1;
	struct notice *notice;

	if (!context->notify)
		return;
	notice = malloc(sizeof *notice + text_size + info_size);
	if (!notice)
		return;
	notice->context = context;
	memcpy(notice->text, text, text_size);
	notice->info_size = info_size;
	notice->info = info_size ? notice->text + text_size : NULL;
	if (info_size)
		memcpy(notice->info, info, info_size);
	gcl_object_get(context);
	if (gcl_notify(context->base.session, notice_run, notice)) {
		gcl_context_put(context);
		free(notice);
	}
}

void gcl_context_notify(cl_context context, const char *text)
{
	notice_post(context, text, NULL, 0);
}

void gcl_on_context_notice(struct gcl_session *session, const struct gcl_frame *head,
			   const Gcl__ContextNotice *message)
{
	cl_context context = gcl_object_lookup(session, message->context, GCL_KIND_CONTEXT);

	(void)head;
	if (!context)
		return;
	notice_post(context, message->text, message->private_info.data, message->private_info.len);
	gcl_context_put(context);
}

/* ------------------------------------------------------------ properties */

struct properties {
	cl_platform_id platform; /* NULL: none given */
	size_t size;		 /* of the list with its final 0, in bytes */
};

static cl_int properties_check(const cl_context_properties *list, struct properties *out)
{
	size_t i;

	*out = (struct properties){0};
	if (!list)
		return CL_SUCCESS;
	for (i = 0; list[i]; i += 2) {
		REFUSE_IF(list[i] != CL_CONTEXT_PLATFORM && list[i] != CL_CONTEXT_INTEROP_USER_SYNC,
			  CL_INVALID_PROPERTY);
		for (size_t j = 0; j < i; j += 2)
			REFUSE_IF(list[j] == list[i], CL_INVALID_PROPERTY);
		if (list[i] != CL_CONTEXT_PLATFORM)
			continue;
		out->platform = (cl_platform_id)list[i + 1];
		REFUSE_IF(!gcl_valid(out->platform, GCL_KIND_PLATFORM), CL_INVALID_PLATFORM);
	}
	out->size = (i + 1) * sizeof *list;
	return CL_SUCCESS;
}

/* ------------------------------------------------------------ creation */

bool gcl_context_has_device(const struct _cl_context *context, const struct _cl_device_id *device)
{
	for (cl_uint i = 0; i < context->device_count; i++)
		if (context->devices[i] == device)
			return true;
	return false;
}

static void context_free(cl_context context)
{
	struct gcl_context_destructor *destructor = context->destructors, *next;

	for (; destructor; destructor = next) {
		next = destructor->next;
		free(destructor);
	}
	for (cl_uint i = 0; i < context->device_count; i++)
		gcl_device_put(context->devices[i]);
	free(context->devices);
	free(context->properties);
	pthread_mutex_destroy(&context->svm_lock);
	gcl_object_free(context);
}

static void destructors_run(void *arg)
{
	cl_context context = arg;

	for (const struct gcl_context_destructor *it = context->destructors; it; it = it->next)
		it->fn(context, it->data);
	context_free(context);
}

/* @released: by the program, on a thread of its own, where its callbacks may run. */
static void context_put(cl_context context, bool released)
{
	if (!context || !gcl_object_put(context))
		return;
	gcl_svm_context_free(context);
	gcl_post_release(context->base.session, context->base.id);
	atomic_store_explicit(&context->base.magic, 0, memory_order_release);
	if (released)
		destructors_run(context);
	else if (!context->destructors ||
		 gcl_notify(context->base.session, destructors_run, context))
		context_free(context);
}

void gcl_context_put(cl_context context)
{
	context_put(context, false);
}

/* A device that is named twice is there once. */
static cl_int context_fill(cl_context context, const cl_context_properties *list, size_t list_size,
			   cl_uint count, const cl_device_id *devices)
{
	context->devices = calloc(count, sizeof(cl_device_id));
	REFUSE_IF(!context->devices, CL_OUT_OF_HOST_MEMORY);
	context->device_count = 0;
	context->resident = context->base.session->resident;
	for (cl_uint i = 0; i < count; i++) {
		if (gcl_context_has_device(context, devices[i]))
			continue;
		gcl_device_get(devices[i]);
		context->devices[context->device_count++] = devices[i];
		context->resident &= devices[i]->unified;
	}
	if (!list)
		return CL_SUCCESS;
	context->properties = malloc(list_size);
	REFUSE_IF(!context->properties, CL_OUT_OF_HOST_MEMORY);
	memcpy(context->properties, list, list_size);
	context->properties_size = list_size;
	return CL_SUCCESS;
}

static cl_int context_post(cl_context context)
{
	_cleanup_free_ uint64_t *ids = calloc(context->device_count, sizeof *ids);
	Gcl__ContextCreate message = GCL__CONTEXT_CREATE__INIT;

	REFUSE_IF(!ids, CL_OUT_OF_HOST_MEMORY);
	for (cl_uint i = 0; i < context->device_count; i++)
		ids[i] = context->devices[i]->base.id;
	message.id = context->base.id;
	message.n_devices = context->device_count;
	message.devices = ids;
	return gcl_post(context->base.session, GCL_CONTEXT_CREATE, &message.base);
}

/* @list was checked, and so were the devices. */
static cl_context context_create(const cl_context_properties *list,
				 const struct properties *properties, cl_uint count,
				 const cl_device_id *devices, cl_int *errcode_ret)
{
	struct gcl_session *session = gcl_device_session(devices[0]);
	cl_context context;
	cl_int status;

	REFUSE_NULL_IF(!session || session->lost, CL_DEVICE_NOT_AVAILABLE);
	for (cl_uint i = 0; i < count; i++)
		REFUSE_NULL_IF(!gcl_device_known(devices[i], session), CL_DEVICE_NOT_AVAILABLE);
	context = gcl_object_new(GCL_KIND_CONTEXT, session);
	REFUSE_NULL_IF(!context, CL_OUT_OF_HOST_MEMORY);
	context->platform = devices[0]->platform;
	pthread_mutex_init(&context->svm_lock, NULL);
	status = context_fill(context, list, properties->size, count, devices);
	if (status == CL_SUCCESS)
		status = context_post(context);
	if (status != CL_SUCCESS)
		context_free(context); /* the host never heard of it */
	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	if (errcode_ret)
		*errcode_ret = CL_SUCCESS;
	return context;
}

CL_API_ENTRY cl_context CL_API_CALL clCreateContext(
	const cl_context_properties *properties, cl_uint num_devices, const cl_device_id *devices,
	void(CL_CALLBACK *pfn_notify)(const char *text, const void *private_info, size_t size,
				      void *user_data),
	void *user_data, cl_int *errcode_ret)
{
	struct properties checked;
	cl_context context;
	cl_int status;

	REFUSE_NULL_IF(num_devices == 0 || !devices, CL_INVALID_VALUE);
	REFUSE_NULL_IF(!pfn_notify && user_data, CL_INVALID_VALUE);
	status = properties_check(properties, &checked);
	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	for (cl_uint i = 0; i < num_devices; i++) {
		REFUSE_NULL_IF(!gcl_valid(devices[i], GCL_KIND_DEVICE), CL_INVALID_DEVICE);
		REFUSE_NULL_IF(devices[i]->platform !=
				       (checked.platform ? checked.platform : devices[0]->platform),
			       CL_INVALID_DEVICE);
		REFUSE_NULL_IF(devices[i]->origin != devices[0]->origin, CL_INVALID_DEVICE);
	}
	context = context_create(properties, &checked, num_devices, devices, errcode_ret);
	if (context) {
		context->notify_data = user_data;
		context->notify = pfn_notify;
	}
	return context;
}

CL_API_ENTRY cl_context CL_API_CALL
clCreateContextFromType(const cl_context_properties *properties, cl_device_type device_type,
			void(CL_CALLBACK *pfn_notify)(const char *text, const void *private_info,
						      size_t size, void *user_data),
			void *user_data, cl_int *errcode_ret)
{
	_cleanup_free_ cl_device_id *devices = NULL;
	const cl_platform_id *platforms;
	struct properties checked;
	cl_uint count;
	cl_int status;

	REFUSE_NULL_IF(!pfn_notify && user_data, CL_INVALID_VALUE);
	status = properties_check(properties, &checked);
	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	if (!checked.platform && gcl_platforms(&platforms) > 0)
		checked.platform = platforms[0];
	REFUSE_NULL_IF(!checked.platform, CL_INVALID_PLATFORM);
	REFUSE_NULL_IF(!gcl_device_type_valid(device_type), CL_INVALID_DEVICE_TYPE);
	count = gcl_platform_find(checked.platform, device_type, 0, NULL);
	REFUSE_NULL_IF(count == 0, CL_DEVICE_NOT_FOUND);
	devices = calloc(count, sizeof(cl_device_id));
	REFUSE_NULL_IF(!devices, CL_OUT_OF_HOST_MEMORY);
	gcl_platform_find(checked.platform, device_type, count, devices);
	return clCreateContext(properties, count, devices, pfn_notify, user_data, errcode_ret);
}

CL_API_ENTRY cl_int CL_API_CALL clRetainContext(cl_context context)
{
	REFUSE_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	gcl_object_get(context);
	return CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL clReleaseContext(cl_context context)
{
	REFUSE_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	context_put(context, true);
	return CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL clSetContextDestructorCallback(
	cl_context context, void(CL_CALLBACK *pfn_notify)(cl_context context, void *user_data),
	void *user_data)
{
	struct gcl_context_destructor *destructor;

	REFUSE_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_IF(!pfn_notify, CL_INVALID_VALUE);
	destructor = malloc(sizeof *destructor);
	REFUSE_IF(!destructor, CL_OUT_OF_HOST_MEMORY);
	*destructor = (struct gcl_context_destructor){
		.next = context->destructors, .fn = pfn_notify, .data = user_data};
	while (!atomic_compare_exchange_weak(&context->destructors, &destructor->next, destructor))
		;
	return CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL clGetContextInfo(cl_context context, cl_context_info param_name,
						 size_t param_value_size, void *param_value,
						 size_t *param_value_size_ret)
{
	REFUSE_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	switch (param_name) {
	case CL_CONTEXT_REFERENCE_COUNT:
		GCL_INFO_VALUE(cl_uint, context->base.refs);
	case CL_CONTEXT_NUM_DEVICES:
		GCL_INFO_VALUE(cl_uint, context->device_count);
	case CL_CONTEXT_DEVICES:
		return gcl_info(context->devices, context->device_count * sizeof(cl_device_id),
				param_value_size, param_value, param_value_size_ret);
	case CL_CONTEXT_PROPERTIES:
		return gcl_info(context->properties, context->properties_size, param_value_size,
				param_value, param_value_size_ret);
	default:
		return CL_INVALID_VALUE;
	}
}
