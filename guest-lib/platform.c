/*
 * Platforms: the host's, under names of their own.
 *
 * They are made once, from the first session's snapshot, and live as long as the process: loaders
 * keep their handles, and so do forks' children, whose sessions are others. Platforms that the
 * program has opened itself (opened.c) are freed when it closes them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "guest.h"
#include "icd.h"
#include "version.h"

#define KNOWN_DEVICE_TYPES                                                                         \
	(CL_DEVICE_TYPE_DEFAULT | CL_DEVICE_TYPE_CPU | CL_DEVICE_TYPE_GPU |                        \
	 CL_DEVICE_TYPE_ACCELERATOR | CL_DEVICE_TYPE_CUSTOM)

static pthread_mutex_t platforms_lock = PTHREAD_MUTEX_INITIALIZER;
static cl_platform_id *_Atomic platforms_made; /* set after platform_count */
static cl_uint platform_count;

const Gcl__Info *gcl_host_info(Gcl__Info *const *infos, size_t count, cl_uint name)
{
	for (size_t i = 0; i < count; i++)
		if (infos[i]->name == name)
			return infos[i];
	return NULL;
}

char *gcl_host_text(Gcl__Info *const *infos, size_t count, cl_uint name)
{
	const Gcl__Info *info = gcl_host_info(infos, count, name);

	return info ? strndup((const char *)info->value.data, info->value.len) : strdup("");
}

static char *platform_text(const struct _cl_platform_id *platform, cl_uint name)
{
	return gcl_host_text(platform->host->infos, platform->host->n_infos, name);
}

/* Appends the devices of one of the host's platforms; there is room for them. */
static cl_int devices_add(cl_platform_id platform, const Gcl__Platform *host,
			  struct gcl_session *session)
{
	for (size_t i = 0; i < host->n_devices; i++) {
		cl_device_id device;

		/* The id's kind decides where the object goes when it is freed. */
		REFUSE_IF(gcl_id_kind(host->devices[i]->id) != GCL_KIND_DEVICE,
			  CL_DEVICE_NOT_AVAILABLE);
		device = gcl_object_new(GCL_KIND_DEVICE, session);
		REFUSE_IF(!device, CL_OUT_OF_HOST_MEMORY);
		platform->devices[platform->device_count++] = device;
		device->origin = host;
		TRY(gcl_device_init(device, platform, host->devices[i]));
	}
	return CL_SUCCESS;
}

/* As much of the host's as there is of devices', whatever they are themselves. */
static cl_version platform_api(const char *host)
{
	cl_version version = gcl_version_shown(gcl_version_of(host, "OpenCL "));

	return version ? version : CL_MAKE_VERSION(1, 2, 0);
}

/* What a platform says behind "OpenCL 3.0", with the space before it. */
static const char *version_rest(const char *host)
{
	size_t prefix = strlen("OpenCL ");

	return strncmp(host, "OpenCL ", prefix) == 0 ? host + prefix + strcspn(host + prefix, " ")
						     : "";
}

/* @devices: how many there will be room for. */
static cl_int platform_prepare(cl_platform_id platform, const Gcl__Platform *host, size_t devices)
{
	_cleanup_free_ char *version = NULL;

	platform->host = host;
	platform->devices = calloc(devices + 1, sizeof(cl_device_id));
	if (!platform->devices)
		return CL_OUT_OF_HOST_MEMORY;
	version = platform_text(platform, CL_PLATFORM_VERSION);
	if (!version)
		return CL_OUT_OF_HOST_MEMORY;
	platform->api = platform_api(version);
	if (asprintf(&platform->version, "OpenCL %u.%u%s" GCL_PLATFORM_MARK GUESTCL_VERSION ")",
		     CL_VERSION_MAJOR(platform->api), CL_VERSION_MINOR(platform->api),
		     version_rest(version)) < 0)
		return CL_OUT_OF_HOST_MEMORY;
	return CL_SUCCESS;
}

cl_int gcl_platform_init(cl_platform_id platform, const Gcl__Platform *host,
			 struct gcl_session *session)
{
	platform->base.id = host->id;
	TRY(platform_prepare(platform, host, host->n_devices));
	return devices_add(platform, host, session);
}

static cl_int opened_init(cl_platform_id platform, struct gcl_session *session)
{
	const Gcl__Welcome *welcome = session->welcome;
	size_t devices = 0;

	for (size_t i = 0; i < welcome->n_platforms; i++)
		devices += welcome->platforms[i]->n_devices;
	REFUSE_IF(devices == 0, CL_DEVICE_NOT_FOUND);
	TRY(platform_prepare(platform, welcome->platforms[0], devices));
	for (size_t i = 0; i < welcome->n_platforms; i++)
		TRY(devices_add(platform, welcome->platforms[i], session));
	return CL_SUCCESS;
}

cl_int gcl_platform_open(struct gcl_session *session, cl_platform_id *out)
{
	cl_platform_id platform = gcl_object_new(GCL_KIND_PLATFORM, session);
	cl_int status;

	REFUSE_IF(!platform, CL_OUT_OF_HOST_MEMORY);
	platform->opened = true;
	status = opened_init(platform, session);
	if (status == CL_SUCCESS)
		*out = platform;
	else
		gcl_platform_free(platform);
	return status;
}

void gcl_platform_free(cl_platform_id platform)
{
	if (!platform)
		return;
	for (cl_uint i = 0; i < platform->device_count; i++)
		gcl_device_free(platform->devices[i]);
	free(platform->devices);
	free(platform->version);
	gcl_object_free(platform);
}

/* Return: the list, or NULL without host or memory. */
static cl_platform_id *platforms_make(void)
{
	struct gcl_session *session = gcl_session_current();
	cl_platform_id *list;

	if (!session)
		return NULL;
	list = calloc(session->welcome->n_platforms + 1, sizeof(cl_platform_id));
	for (size_t i = 0; list && i < session->welcome->n_platforms; i++) {
		cl_platform_id platform = gcl_object_new(GCL_KIND_PLATFORM, session);

		if (platform && gcl_platform_init(platform, session->welcome->platforms[i],
						  session) == CL_SUCCESS)
			list[platform_count++] = platform;
	}
	return list;
}

cl_uint gcl_platforms(const cl_platform_id **platforms)
{
	cl_platform_id *made = atomic_load_explicit(&platforms_made, memory_order_acquire);

	if (!made) {
		pthread_mutex_lock(&platforms_lock);
		made = atomic_load_explicit(&platforms_made, memory_order_relaxed);
		if (!made) {
			made = platforms_make();
			atomic_store_explicit(&platforms_made, made, memory_order_release);
		}
		pthread_mutex_unlock(&platforms_lock);
	}
	*platforms = made;
	return made ? platform_count : 0;
}

/* Since 2.0. Clocks of the guest and of devices are not related. */
static cl_int platform_feature(cl_platform_id platform, cl_platform_info param_name,
			       size_t param_value_size, void *param_value,
			       size_t *param_value_size_ret)
{
	static const cl_name_version extensions[] = {{CL_MAKE_VERSION(1, 0, 0), "cl_khr_icd"}};

	REFUSE_IF(platform->api < CL_MAKE_VERSION(3, 0, 0), CL_INVALID_VALUE);
	switch (param_name) {
	case CL_PLATFORM_NUMERIC_VERSION:
		GCL_INFO_VALUE(cl_version, platform->api);
	case CL_PLATFORM_EXTENSIONS_WITH_VERSION:
		return gcl_info(extensions, sizeof extensions, param_value_size, param_value,
				param_value_size_ret);
	case CL_PLATFORM_HOST_TIMER_RESOLUTION:
		GCL_INFO_VALUE(cl_ulong, 0);
	default:
		return CL_INVALID_VALUE;
	}
}

GCL_EXPORTED CL_API_ENTRY cl_int CL_API_CALL clGetPlatformInfo(cl_platform_id platform,
							       cl_platform_info param_name,
							       size_t param_value_size,
							       void *param_value,
							       size_t *param_value_size_ret)
{
	const Gcl__Info *info;
	const char *text;

	REFUSE_IF(!gcl_valid(platform, GCL_KIND_PLATFORM), CL_INVALID_PLATFORM);
	switch (param_name) {
	case CL_PLATFORM_VERSION:
		text = platform->version;
		break;
	case CL_PLATFORM_EXTENSIONS:
		text = "cl_khr_icd";
		break;
	case CL_PLATFORM_ICD_SUFFIX_KHR:
		text = "GCL";
		break;
	case CL_PLATFORM_NAME:
	case CL_PLATFORM_VENDOR:
	case CL_PLATFORM_PROFILE:
		info = gcl_host_info(platform->host->infos, platform->host->n_infos, param_name);
		REFUSE_IF(!info, CL_INVALID_VALUE);
		return gcl_info(info->value.data, info->value.len, param_value_size, param_value,
				param_value_size_ret);
	default:
		return platform_feature(platform, param_name, param_value_size, param_value,
					param_value_size_ret);
	}
	return gcl_info_string(text, param_value_size, param_value, param_value_size_ret);
}

/* ------------------------------------------------------------ finding devices */

/* CL_DEVICE_TYPE_ALL leaves custom devices out, but for who counts an opened platform's devices as
 * the host does; and the default device is the first that the host
 * calls so, or the first of all. */
static bool device_matches(const struct _cl_platform_id *platform, cl_uint index,
			   cl_device_type type)
{
	cl_device_type own = platform->devices[index]->type;

	if ((type & CL_DEVICE_TYPE_ALL) == CL_DEVICE_TYPE_ALL)
		return own != CL_DEVICE_TYPE_CUSTOM || platform->opened;
	if (own & type & ~(cl_device_type)CL_DEVICE_TYPE_DEFAULT)
		return true;
	if (!(type & CL_DEVICE_TYPE_DEFAULT))
		return false;
	for (cl_uint i = 0; i < platform->device_count; i++)
		if (platform->devices[i]->type & CL_DEVICE_TYPE_DEFAULT)
			return i == index;
	return index == 0;
}

/* CL_DEVICE_TYPE_ALL in an int becomes all bits of a cl_device_type: bindings of Java give that. */
bool gcl_device_type_valid(cl_device_type type)
{
	return type == CL_DEVICE_TYPE_ALL || type == ~(cl_device_type)0 ||
	       (type && !(type & ~(cl_device_type)KNOWN_DEVICE_TYPES));
}

cl_uint gcl_platform_find(cl_platform_id platform, cl_device_type type, cl_uint num_entries,
			  cl_device_id *devices)
{
	cl_uint found = 0;

	for (cl_uint i = 0; i < platform->device_count; i++) {
		if (!device_matches(platform, i, type))
			continue;
		if (devices && found < num_entries)
			devices[found] = platform->devices[i];
		found++;
	}
	return found;
}

CL_API_ENTRY cl_int CL_API_CALL clGetDeviceIDs(cl_platform_id platform, cl_device_type device_type,
					       cl_uint num_entries, cl_device_id *devices,
					       cl_uint *num_devices)
{
	cl_uint found;

	REFUSE_IF(!gcl_valid(platform, GCL_KIND_PLATFORM), CL_INVALID_PLATFORM);
	REFUSE_IF(!gcl_device_type_valid(device_type), CL_INVALID_DEVICE_TYPE);
	REFUSE_IF(num_entries == 0 && devices, CL_INVALID_VALUE);
	REFUSE_IF(!devices && !num_devices, CL_INVALID_VALUE);
	found = gcl_platform_find(platform, device_type, num_entries, devices);
	REFUSE_IF(found == 0, CL_DEVICE_NOT_FOUND);
	if (num_devices)
		*num_devices = found;
	return CL_SUCCESS;
}
