/*
 * What devices tell of OpenCL 2.0 to 3.0.
 *
 * A device that is shown as one of 1.2 knows none of it. Of one that is shown as 3.0 some is the
 * host's, and some says that the device hasn't what remoting doesn't carry.
 */
#include "feature.h"

#include "extensions.h"
#include "version.h"

#define EXTENSION_NAME(name) #name,
static const char *const extensions[] = {GCL_EXTENSIONS(EXTENSION_NAME)};
static const char *const features_absent[] = {GCL_FEATURES_ABSENT(EXTENSION_NAME)};
#undef EXTENSION_NAME

/* Queues on devices and pipes would need what runs there to talk to the guest; images that share
 * memory with buffers or other images, in rows, aren't carried either. */
static const struct {
	cl_device_info name;
	size_t size;
} absent[] = {
	{CL_DEVICE_IMAGE_PITCH_ALIGNMENT, sizeof(cl_uint)},
	{CL_DEVICE_IMAGE_BASE_ADDRESS_ALIGNMENT, sizeof(cl_uint)},
	{CL_DEVICE_QUEUE_ON_DEVICE_PROPERTIES, sizeof(cl_command_queue_properties)},
	{CL_DEVICE_QUEUE_ON_DEVICE_PREFERRED_SIZE, sizeof(cl_uint)},
	{CL_DEVICE_QUEUE_ON_DEVICE_MAX_SIZE, sizeof(cl_uint)},
	{CL_DEVICE_MAX_ON_DEVICE_QUEUES, sizeof(cl_uint)},
	{CL_DEVICE_MAX_ON_DEVICE_EVENTS, sizeof(cl_uint)},
	{CL_DEVICE_DEVICE_ENQUEUE_CAPABILITIES, sizeof(cl_device_device_enqueue_capabilities)},
	{CL_DEVICE_PIPE_SUPPORT, sizeof(cl_bool)},
	{CL_DEVICE_MAX_PIPE_ARGS, sizeof(cl_uint)},
	{CL_DEVICE_PIPE_MAX_ACTIVE_RESERVATIONS, sizeof(cl_uint)},
	{CL_DEVICE_PIPE_MAX_PACKET_SIZE, sizeof(cl_uint)},
};

/* Queries of extensions, which devices of any version may have. */
static const struct {
	cl_device_info first, last;
	const char *extension;
} extension_queries[] = {
	{CL_DEVICE_UUID_KHR, CL_DEVICE_NODE_MASK_KHR, "cl_khr_device_uuid"},
	{CL_DEVICE_INTEGER_DOT_PRODUCT_CAPABILITIES_KHR,
	 CL_DEVICE_INTEGER_DOT_PRODUCT_ACCELERATION_PROPERTIES_4x8BIT_PACKED_KHR,
	 "cl_khr_integer_dot_product"},
	{CL_DEVICE_PCI_BUS_INFO_KHR, CL_DEVICE_PCI_BUS_INFO_KHR, "cl_khr_pci_bus_info"},
	{CL_DEVICE_IL_VERSION_KHR, CL_DEVICE_IL_VERSION_KHR, "cl_khr_il_program"},
};

bool gcl_extension_kept(const char *name)
{
	for (size_t i = 0; i < GCL_ARRAY_SIZE(extensions); i++)
		if (strcmp(name, extensions[i]) == 0)
			return true;
	return false;
}

static bool extension_entry_kept(const cl_name_version *entry)
{
	return gcl_extension_kept(entry->name);
}

static bool feature_kept(const cl_name_version *entry)
{
	for (size_t i = 0; i < GCL_ARRAY_SIZE(features_absent); i++)
		if (strcmp(entry->name, features_absent[i]) == 0)
			return false;
	return true;
}

/* OpenCL C 2.0 has all that is optional in 3.0. */
static bool c_version_kept(const cl_name_version *entry)
{
	return gcl_version_shown(entry->version) == entry->version;
}

static bool any_kept(const cl_name_version *entry)
{
	(void)entry;
	return true;
}

/* Lists of names with versions, and which of them are shown. */
static const struct {
	cl_device_info name;
	bool (*kept)(const cl_name_version *entry);
} lists[] = {
	{CL_DEVICE_EXTENSIONS_WITH_VERSION, extension_entry_kept},
	{CL_DEVICE_ILS_WITH_VERSION, any_kept},
	{CL_DEVICE_BUILT_IN_KERNELS_WITH_VERSION, any_kept},
	{CL_DEVICE_OPENCL_C_ALL_VERSIONS, c_version_kept},
	{CL_DEVICE_OPENCL_C_FEATURES, feature_kept},
};

static const char *query_extension(cl_device_info name)
{
	for (size_t i = 0; i < GCL_ARRAY_SIZE(extension_queries); i++)
		if (name >= extension_queries[i].first && name <= extension_queries[i].last)
			return extension_queries[i].extension;
	return NULL;
}

static bool feature_known(const struct _cl_device_id *device, cl_device_info name)
{
	const char *extension = query_extension(name);

	if (extension && gcl_device_has_extension(device, extension))
		return true;
	return device->api >= CL_MAKE_VERSION(3, 0, 0);
}

cl_int gcl_feature_info(const struct _cl_device_id *device, cl_device_info param_name,
			size_t param_value_size, void *param_value, size_t *param_value_size_ret)
{
	static const uint64_t zero;
	const Gcl__Info *info;

	REFUSE_IF(!feature_known(device, param_name), CL_INVALID_VALUE);
	for (size_t i = 0; i < GCL_ARRAY_SIZE(absent); i++)
		if (absent[i].name == param_name)
			return gcl_info(&zero, absent[i].size, param_value_size, param_value,
					param_value_size_ret);
	if (param_name == CL_DEVICE_NUMERIC_VERSION)
		GCL_INFO_VALUE(cl_version, device->api);
	info = gcl_host_info(device->host->infos, device->host->n_infos, param_name);
	REFUSE_IF(!info, CL_INVALID_VALUE);
	for (size_t i = 0; i < GCL_ARRAY_SIZE(lists); i++)
		if (lists[i].name == param_name)
			return gcl_name_versions(info, lists[i].kept, param_value_size, param_value,
						 param_value_size_ret);
	return gcl_info(info->value.data, info->value.len, param_value_size, param_value,
			param_value_size_ret);
}
