/*
 * Devices: what the host says of them, less what remoting can't carry (feature.c), and sub-devices.
 */
#include <stdlib.h>

#include "feature.h"
#include "svm.h"
#include "version.h"

static const Gcl__Info *device_info(const Gcl__Device *host, cl_uint name)
{
	return gcl_host_info(host->infos, host->n_infos, name);
}

/* A number of up to 8 bytes, 0 where the host gave none. */
static uint64_t device_number(const Gcl__Device *host, cl_uint name)
{
	const Gcl__Info *info = device_info(host, name);
	uint64_t value = 0;

	if (info)
		memcpy(&value, info->value.data, GCL_MIN(info->value.len, sizeof value));
	return value;
}

/* Of the host's text. NULL without memory. */
static char *version_shown(const Gcl__Device *host, cl_uint name, const char *prefix)
{
	_cleanup_free_ char *text = gcl_host_text(host->infos, host->n_infos, name);

	return text ? gcl_version_text(text, prefix) : NULL;
}

static char *extensions_filtered(const Gcl__Device *host)
{
	_cleanup_free_ char *all = gcl_host_text(host->infos, host->n_infos, CL_DEVICE_EXTENSIONS);
	char *kept = all ? calloc(1, strlen(all) + 1) : NULL;
	char *end = kept;
	char *save;

	if (!kept)
		return NULL;
	for (char *name = strtok_r(all, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
		if (!gcl_extension_kept(name))
			continue;
		if (end != kept)
			*end++ = ' ';
		end = stpcpy(end, name);
	}
	return kept;
}

/* Is @name one of the words of the list? */
bool gcl_device_has_extension(const struct _cl_device_id *device, const char *name)
{
	size_t length = strlen(name);
	const char *found = device->extensions;

	while ((found = strstr(found, name))) {
		if ((found == device->extensions || found[-1] == ' ') &&
		    (found[length] == ' ' || found[length] == '\0'))
			return true;
		found += length;
	}
	return false;
}

static void device_limits(cl_device_id device, const Gcl__Device *host)
{
	const Gcl__Info *sizes = device_info(host, CL_DEVICE_MAX_WORK_ITEM_SIZES);

	device->type = device_number(host, CL_DEVICE_TYPE);
	device->unified = device->type & CL_DEVICE_TYPE_CPU &&
			  device_number(host, CL_DEVICE_HOST_UNIFIED_MEMORY);
	device->image_support = device_number(host, CL_DEVICE_IMAGE_SUPPORT);
	device->max_alloc = device_number(host, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
	device->max_dims = (cl_uint)device_number(host, CL_DEVICE_MAX_WORK_ITEM_DIMENSIONS);
	device->max_group = device_number(host, CL_DEVICE_MAX_WORK_GROUP_SIZE);
	device->local_size = device_number(host, CL_DEVICE_LOCAL_MEM_SIZE);
	device->max_parameter = device_number(host, CL_DEVICE_MAX_PARAMETER_SIZE);
	device->base_align = (cl_uint)device_number(host, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8;
	device->queue_properties = device_number(host, CL_DEVICE_QUEUE_PROPERTIES);
	if (sizes)
		memcpy(device->max_items, sizes->value.data,
		       GCL_MIN(sizes->value.len, sizeof device->max_items));
}

cl_int gcl_device_init(cl_device_id device, cl_platform_id platform, const Gcl__Device *host)
{
	device->base.id = host->id;
	device->platform = platform;
	device->host = host;
	for (cl_uint i = 0; i < GCL_DEVICE_INFO_COUNT; i++)
		device->infos[i] = device_info(host, GCL_DEVICE_INFO_FIRST + i);
	device_limits(device, host);
	device->version = version_shown(host, CL_DEVICE_VERSION, "OpenCL ");
	device->c_version = version_shown(host, CL_DEVICE_OPENCL_C_VERSION, "OpenCL C ");
	device->extensions = extensions_filtered(host);
	if (!device->version || !device->c_version || !device->extensions)
		return CL_OUT_OF_HOST_MEMORY;
	device->api = gcl_version_of(device->version, "OpenCL ");
	device->non_uniform = device->api >= CL_MAKE_VERSION(3, 0, 0) &&
			      device_number(host, CL_DEVICE_NON_UNIFORM_WORK_GROUP_SUPPORT);
	return CL_SUCCESS;
}

bool gcl_device_known(const struct _cl_device_id *device, const struct gcl_session *session)
{
	const Gcl__Welcome *welcome = session->welcome;

	if (device->base.session == session)
		return true;
	for (size_t i = 0; i < welcome->n_platforms; i++)
		for (size_t j = 0; j < welcome->platforms[i]->n_devices; j++)
			if (welcome->platforms[i]->devices[j]->id == device->base.id)
				return !device->parent;
	return false;
}

struct gcl_session *gcl_device_session(const struct _cl_device_id *device)
{
	return device->platform->opened ? device->base.session : gcl_session_current();
}

void gcl_device_free(cl_device_id device)
{
	free(device->version);
	free(device->c_version);
	free(device->extensions);
	free(device->partition);
	gcl_object_free(device);
}

void gcl_device_get(cl_device_id device)
{
	if (device->parent)
		gcl_object_get(device);
}

void gcl_device_put(cl_device_id device)
{
	if (!device || !device->parent || !gcl_object_put(device))
		return;
	gcl_post_release(device->base.session, device->base.id);
	gcl_device_put(device->parent);
	gcl__device__free_unpacked(device->owned, NULL);
	gcl_device_free(device);
}

CL_API_ENTRY cl_int CL_API_CALL clRetainDevice(cl_device_id device)
{
	REFUSE_IF(!gcl_valid(device, GCL_KIND_DEVICE), CL_INVALID_DEVICE);
	gcl_device_get(device);
	return CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL clReleaseDevice(cl_device_id device)
{
	REFUSE_IF(!gcl_valid(device, GCL_KIND_DEVICE), CL_INVALID_DEVICE);
	gcl_device_put(device);
	return CL_SUCCESS;
}

/* ------------------------------------------------------------ information */

static cl_int device_host_value(cl_device_id device, cl_device_info param_name,
				size_t param_value_size, void *param_value,
				size_t *param_value_size_ret)
{
	cl_uint index = param_name - GCL_DEVICE_INFO_FIRST;
	const Gcl__Info *info;

	if (index >= GCL_DEVICE_INFO_COUNT)
		return gcl_feature_info(device, param_name, param_value_size, param_value,
					param_value_size_ret);
	info = device->infos[index];
	REFUSE_IF(!info, CL_INVALID_VALUE);
	return gcl_info(info->value.data, info->value.len, param_value_size, param_value,
			param_value_size_ret);
}

CL_API_ENTRY cl_int CL_API_CALL clGetDeviceInfo(cl_device_id device, cl_device_info param_name,
						size_t param_value_size, void *param_value,
						size_t *param_value_size_ret)
{
	REFUSE_IF(!gcl_valid(device, GCL_KIND_DEVICE), CL_INVALID_DEVICE);
	switch (param_name) {
	case CL_DEVICE_PLATFORM:
		GCL_INFO_VALUE(cl_platform_id, device->platform);
	case CL_DEVICE_PARENT_DEVICE:
		GCL_INFO_VALUE(cl_device_id, device->parent);
	case CL_DEVICE_REFERENCE_COUNT:
		GCL_INFO_VALUE(cl_uint, device->base.refs);
	case CL_DEVICE_EXECUTION_CAPABILITIES:
		/* A function of the program can't run on the host. */
		GCL_INFO_VALUE(cl_device_exec_capabilities,
			       device_number(device->host, param_name) &
				       ~(cl_device_exec_capabilities)CL_EXEC_NATIVE_KERNEL);
	case CL_DEVICE_PARTITION_TYPE:
		if (!device->parent)
			break;
		return gcl_info(device->partition, device->partition_size, param_value_size,
				param_value, param_value_size_ret);
	case CL_DEVICE_VERSION:
		return gcl_info_string(device->version, param_value_size, param_value,
				       param_value_size_ret);
	case CL_DEVICE_OPENCL_C_VERSION:
		return gcl_info_string(device->c_version, param_value_size, param_value,
				       param_value_size_ret);
	case CL_DEVICE_EXTENSIONS:
		return gcl_info_string(device->extensions, param_value_size, param_value,
				       param_value_size_ret);
	case CL_DEVICE_SVM_CAPABILITIES:
		GCL_INFO_VALUE(cl_device_svm_capabilities, gcl_svm_device(device));
	case CL_DEVICE_HALF_FP_CONFIG:
		REFUSE_IF(!gcl_device_has_extension(device, "cl_khr_fp16"), CL_INVALID_VALUE);
		break;
	default:
		break;
	}
	return device_host_value(device, param_name, param_value_size, param_value,
				 param_value_size_ret);
}
