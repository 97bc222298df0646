/*
 * The snapshot: everything about platforms and devices that never changes, as the runtime tells it.
 *
 * Made before a guest exists. A question that the runtime doesn't answer is left out; so is a
 * platform without devices. All of it is allocated by malloc, so that protobuf-c can free it.
 */
#include <errno.h>
#include <string.h>

#include "worker.h"

/* A value larger than this is a runtime gone mad. */
#define INFO_SIZE_MAX (1u << 20)

/* Handles and reference counts are missing: they mean nothing to the guest. */
static const cl_platform_info platform_infos[] = {
	CL_PLATFORM_PROFILE, CL_PLATFORM_VERSION,    CL_PLATFORM_NAME,
	CL_PLATFORM_VENDOR,  CL_PLATFORM_EXTENSIONS, CL_PLATFORM_ICD_SUFFIX_KHR,
};

/* clang-format off */
static const cl_device_info device_infos[] = {
	CL_DEVICE_TYPE,
	CL_DEVICE_VENDOR_ID,
	CL_DEVICE_MAX_COMPUTE_UNITS,
	CL_DEVICE_MAX_WORK_ITEM_DIMENSIONS,
	CL_DEVICE_MAX_WORK_GROUP_SIZE,
	CL_DEVICE_MAX_WORK_ITEM_SIZES,
	CL_DEVICE_PREFERRED_VECTOR_WIDTH_CHAR,
	CL_DEVICE_PREFERRED_VECTOR_WIDTH_SHORT,
	CL_DEVICE_PREFERRED_VECTOR_WIDTH_INT,
	CL_DEVICE_PREFERRED_VECTOR_WIDTH_LONG,
	CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT,
	CL_DEVICE_PREFERRED_VECTOR_WIDTH_DOUBLE,
	CL_DEVICE_PREFERRED_VECTOR_WIDTH_HALF,
	CL_DEVICE_MAX_CLOCK_FREQUENCY,
	CL_DEVICE_ADDRESS_BITS,
	CL_DEVICE_MAX_READ_IMAGE_ARGS,
	CL_DEVICE_MAX_WRITE_IMAGE_ARGS,
	CL_DEVICE_MAX_MEM_ALLOC_SIZE,
	CL_DEVICE_IMAGE2D_MAX_WIDTH,
	CL_DEVICE_IMAGE2D_MAX_HEIGHT,
	CL_DEVICE_IMAGE3D_MAX_WIDTH,
	CL_DEVICE_IMAGE3D_MAX_HEIGHT,
	CL_DEVICE_IMAGE3D_MAX_DEPTH,
	CL_DEVICE_IMAGE_SUPPORT,
	CL_DEVICE_MAX_PARAMETER_SIZE,
	CL_DEVICE_MAX_SAMPLERS,
	CL_DEVICE_MEM_BASE_ADDR_ALIGN,
	CL_DEVICE_MIN_DATA_TYPE_ALIGN_SIZE,
	CL_DEVICE_SINGLE_FP_CONFIG,
	CL_DEVICE_GLOBAL_MEM_CACHE_TYPE,
	CL_DEVICE_GLOBAL_MEM_CACHELINE_SIZE,
	CL_DEVICE_GLOBAL_MEM_CACHE_SIZE,
	CL_DEVICE_GLOBAL_MEM_SIZE,
	CL_DEVICE_MAX_CONSTANT_BUFFER_SIZE,
	CL_DEVICE_MAX_CONSTANT_ARGS,
	CL_DEVICE_LOCAL_MEM_TYPE,
	CL_DEVICE_LOCAL_MEM_SIZE,
	CL_DEVICE_ERROR_CORRECTION_SUPPORT,
	CL_DEVICE_PROFILING_TIMER_RESOLUTION,
	CL_DEVICE_ENDIAN_LITTLE,
	CL_DEVICE_AVAILABLE,
	CL_DEVICE_COMPILER_AVAILABLE,
	CL_DEVICE_EXECUTION_CAPABILITIES,
	CL_DEVICE_QUEUE_PROPERTIES,
	CL_DEVICE_NAME,
	CL_DEVICE_VENDOR,
	CL_DRIVER_VERSION,
	CL_DEVICE_PROFILE,
	CL_DEVICE_VERSION,
	CL_DEVICE_EXTENSIONS,
	CL_DEVICE_DOUBLE_FP_CONFIG,
	CL_DEVICE_HALF_FP_CONFIG,
	CL_DEVICE_HOST_UNIFIED_MEMORY,
	CL_DEVICE_NATIVE_VECTOR_WIDTH_CHAR,
	CL_DEVICE_NATIVE_VECTOR_WIDTH_SHORT,
	CL_DEVICE_NATIVE_VECTOR_WIDTH_INT,
	CL_DEVICE_NATIVE_VECTOR_WIDTH_LONG,
	CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT,
	CL_DEVICE_NATIVE_VECTOR_WIDTH_DOUBLE,
	CL_DEVICE_NATIVE_VECTOR_WIDTH_HALF,
	CL_DEVICE_OPENCL_C_VERSION,
	CL_DEVICE_LINKER_AVAILABLE,
	CL_DEVICE_BUILT_IN_KERNELS,
	CL_DEVICE_IMAGE_MAX_BUFFER_SIZE,
	CL_DEVICE_IMAGE_MAX_ARRAY_SIZE,
	CL_DEVICE_PARTITION_MAX_SUB_DEVICES,
	CL_DEVICE_PARTITION_PROPERTIES,
	CL_DEVICE_PARTITION_AFFINITY_DOMAIN,
	CL_DEVICE_PARTITION_TYPE,
	CL_DEVICE_PREFERRED_INTEROP_USER_SYNC,
	CL_DEVICE_PRINTF_BUFFER_SIZE,
	CL_DEVICE_SVM_CAPABILITIES,
	/* Since 2.0, but for what remoting doesn't carry. */
	CL_DEVICE_MAX_READ_WRITE_IMAGE_ARGS,
	CL_DEVICE_MAX_GLOBAL_VARIABLE_SIZE,
	CL_DEVICE_GLOBAL_VARIABLE_PREFERRED_TOTAL_SIZE,
	CL_DEVICE_PREFERRED_PLATFORM_ATOMIC_ALIGNMENT,
	CL_DEVICE_PREFERRED_GLOBAL_ATOMIC_ALIGNMENT,
	CL_DEVICE_PREFERRED_LOCAL_ATOMIC_ALIGNMENT,
	CL_DEVICE_IL_VERSION,
	CL_DEVICE_MAX_NUM_SUB_GROUPS,
	CL_DEVICE_SUB_GROUP_INDEPENDENT_FORWARD_PROGRESS,
	CL_DEVICE_NUMERIC_VERSION,
	CL_DEVICE_OPENCL_C_NUMERIC_VERSION_KHR,
	CL_DEVICE_EXTENSIONS_WITH_VERSION,
	CL_DEVICE_ILS_WITH_VERSION,
	CL_DEVICE_BUILT_IN_KERNELS_WITH_VERSION,
	CL_DEVICE_ATOMIC_MEMORY_CAPABILITIES,
	CL_DEVICE_ATOMIC_FENCE_CAPABILITIES,
	CL_DEVICE_NON_UNIFORM_WORK_GROUP_SUPPORT,
	CL_DEVICE_OPENCL_C_ALL_VERSIONS,
	CL_DEVICE_PREFERRED_WORK_GROUP_SIZE_MULTIPLE,
	CL_DEVICE_WORK_GROUP_COLLECTIVE_FUNCTIONS_SUPPORT,
	CL_DEVICE_GENERIC_ADDRESS_SPACE_SUPPORT,
	CL_DEVICE_OPENCL_C_FEATURES,
	CL_DEVICE_LATEST_CONFORMANCE_VERSION_PASSED,
	/* Of extensions. */
	CL_DEVICE_UUID_KHR,
	CL_DRIVER_UUID_KHR,
	CL_DEVICE_LUID_VALID_KHR,
	CL_DEVICE_LUID_KHR,
	CL_DEVICE_NODE_MASK_KHR,
	CL_DEVICE_INTEGER_DOT_PRODUCT_CAPABILITIES_KHR,
	CL_DEVICE_INTEGER_DOT_PRODUCT_ACCELERATION_PROPERTIES_8BIT_KHR,
	CL_DEVICE_INTEGER_DOT_PRODUCT_ACCELERATION_PROPERTIES_4x8BIT_PACKED_KHR,
	CL_DEVICE_PCI_BUS_INFO_KHR,
};
/* clang-format on */

static const cl_mem_object_type image_types[] = {
	CL_MEM_OBJECT_IMAGE2D, CL_MEM_OBJECT_IMAGE3D,	    CL_MEM_OBJECT_IMAGE2D_ARRAY,
	CL_MEM_OBJECT_IMAGE1D, CL_MEM_OBJECT_IMAGE1D_ARRAY, CL_MEM_OBJECT_IMAGE1D_BUFFER,
};

static const cl_mem_flags image_flags[] = {CL_MEM_READ_WRITE, CL_MEM_WRITE_ONLY, CL_MEM_READ_ONLY,
					   CL_MEM_KERNEL_READ_AND_WRITE};

typedef cl_int get_info(void *object, cl_uint name, size_t size, void *value, size_t *size_ret);

static cl_int platform_info(void *object, cl_uint name, size_t size, void *value, size_t *size_ret)
{
	return clGetPlatformInfo(object, name, size, value, size_ret);
}

static cl_int device_info(void *object, cl_uint name, size_t size, void *value, size_t *size_ret)
{
	return clGetDeviceInfo(object, name, size, value, size_ret);
}

/* Return: the answer to one question, or NULL when there is none. */
static Gcl__Info *info_ask(get_info *get, void *object, cl_uint name)
{
	_cleanup_free_ Gcl__Info *info = malloc(sizeof *info);
	_cleanup_free_ uint8_t *value = NULL;
	size_t size = 0;

	if (!info || get(object, name, 0, NULL, &size) || size > INFO_SIZE_MAX)
		return NULL;
	value = calloc(1, size + 1);
	if (!value || get(object, name, size, value, NULL))
		return NULL;
	gcl__info__init(info);
	info->name = name;
	info->value.len = size;
	/* The empty list is what freeing expects of an empty value. */
	info->value.data = size ? steal_pointer(&value) : NULL;
	return steal_pointer(&info);
}

/* Return: the answers, or NULL without memory. */
static Gcl__Info **infos_ask(get_info *get, void *object, const cl_uint *names, size_t count,
			     size_t *answered)
{
	Gcl__Info **infos = calloc(count, sizeof *infos);

	*answered = 0;
	for (size_t i = 0; infos && i < count; i++) {
		Gcl__Info *info = info_ask(get, object, names[i]);

		if (info)
			infos[(*answered)++] = info;
	}
	return infos;
}

/* Return: the formats of one kind of image, or NULL when there are none. */
static Gcl__ImageFormats *formats_ask(cl_context context, cl_mem_object_type type,
				      cl_mem_flags flags)
{
	_cleanup_free_ Gcl__ImageFormats *formats = malloc(sizeof *formats);
	_cleanup_free_ cl_image_format *list = NULL;
	cl_uint count = 0;

	if (!formats || clGetSupportedImageFormats(context, flags, type, 0, NULL, &count) ||
	    count == 0 || count > INFO_SIZE_MAX / sizeof *list)
		return NULL;
	list = calloc(count, sizeof *list);
	if (!list || clGetSupportedImageFormats(context, flags, type, count, list, NULL))
		return NULL;
	gcl__image_formats__init(formats);
	formats->type = type;
	formats->flags = flags;
	formats->formats.len = count * sizeof *list;
	formats->formats.data = (uint8_t *)steal_pointer(&list);
	return steal_pointer(&formats);
}

/* The runtime tells formats of contexts only, so the device gets one for a moment. */
static int device_formats(cl_device_id device, Gcl__Device *described)
{
	cl_bool images = CL_FALSE;
	cl_context context;
	size_t count = 0;

	clGetDeviceInfo(device, CL_DEVICE_IMAGE_SUPPORT, sizeof images, &images, NULL);
	if (!images)
		return 0;
	described->formats = calloc(GCL_ARRAY_SIZE(image_types) * GCL_ARRAY_SIZE(image_flags),
				    sizeof *described->formats);
	if (!described->formats)
		return -ENOMEM;
	context = clCreateContext(NULL, 1, &device, NULL, NULL, NULL);
	if (!context)
		return 0;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(image_types); i++) {
		for (size_t j = 0; j < GCL_ARRAY_SIZE(image_flags); j++) {
			Gcl__ImageFormats *formats =
				formats_ask(context, image_types[i], image_flags[j]);

			if (formats)
				described->formats[count++] = formats;
		}
	}
	described->n_formats = count;
	clReleaseContext(context);
	return 0;
}

Gcl__Device *gcl_snapshot_device(const struct gcl_worker *worker, cl_device_id device, uint64_t id)
{
	Gcl__Device *described = malloc(sizeof *described);

	if (!described)
		return NULL;
	gcl__device__init(described);
	described->id = id;
	described->infos = infos_ask(device_info, device, device_infos,
				     GCL_ARRAY_SIZE(device_infos), &described->n_infos);
	if (!described->infos || device_formats(device, described)) {
		protobuf_c_message_free_unpacked(&described->base, NULL);
		return NULL;
	}
	gcl_quota_device_limit(worker, described);
	return described;
}

/* Enters a handle under the next id of its kind. Return: the id, or 0. */
static uint64_t handle_enter(struct gcl_worker *worker, enum gcl_kind kind, void *handle)
{
	uint64_t id = gcl_id(kind, 1, (uint32_t)worker->tables[kind].live);
	struct gcl_entry *entry = gcl_table_add(worker, id, kind);

	if (!entry)
		return 0;
	entry->handle = handle;
	return id;
}

static int platform_devices(struct gcl_worker *worker, cl_platform_id platform,
			    Gcl__Platform *described)
{
	_cleanup_free_ cl_device_id *devices = NULL;
	cl_uint count = 0;

	if (clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, NULL, &count) || count == 0)
		return 0;
	devices = calloc(count, sizeof(cl_device_id));
	described->devices = calloc(count, sizeof *described->devices);
	if (!devices || !described->devices)
		return -ENOMEM;
	if (clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, count, devices, NULL))
		return 0;
	for (cl_uint i = 0; i < count; i++) {
		uint64_t id;

		if (!gcl_worker_page_enter(worker, platform, devices[i]))
			continue;
		id = handle_enter(worker, GCL_KIND_DEVICE, devices[i]);
		described->devices[described->n_devices] =
			id ? gcl_snapshot_device(worker, devices[i], id) : NULL;
		if (!described->devices[described->n_devices])
			return -ENOMEM;
		described->n_devices++;
	}
	return 0;
}

/* A guestcl among the host's own platforms would send work round in a circle. */
static bool platform_is_own(const Gcl__Platform *platform)
{
	for (size_t i = 0; i < platform->n_infos; i++) {
		const ProtobufCBinaryData *value = &platform->infos[i]->value;

		if (platform->infos[i]->name == CL_PLATFORM_VERSION && value->len &&
		    memmem(value->data, value->len, GCL_PLATFORM_MARK, strlen(GCL_PLATFORM_MARK)))
			return true;
	}
	return false;
}

static int platform_add(struct gcl_worker *worker, cl_platform_id platform)
{
	Gcl__Welcome *welcome = worker->welcome;
	Gcl__Platform *described = malloc(sizeof *described);
	int err;

	if (!described)
		return -ENOMEM;
	gcl__platform__init(described);
	described->infos = infos_ask(platform_info, platform, platform_infos,
				     GCL_ARRAY_SIZE(platform_infos), &described->n_infos);
	err = described->infos ? 0 : -ENOMEM;
	if (!err && !platform_is_own(described))
		err = platform_devices(worker, platform, described);
	if (!err && described->n_devices) {
		described->id = handle_enter(worker, GCL_KIND_PLATFORM, platform);
		welcome->platforms[welcome->n_platforms++] = described;
		return 0;
	}
	protobuf_c_message_free_unpacked(&described->base, NULL);
	return err;
}

int gcl_snapshot_make(struct gcl_worker *worker)
{
	Gcl__Welcome *welcome = malloc(sizeof *welcome);
	_cleanup_free_ cl_platform_id *platforms = NULL;
	cl_uint count = 0;
	int err = 0;

	if (!welcome)
		return -ENOMEM;
	gcl__welcome__init(welcome);
	worker->welcome = welcome;
	welcome->resident_buffers = worker->resident;
	welcome->resident_images = worker->resident;
	welcome->runtime = strdup(GUESTCL_VERSION);
	if (clGetPlatformIDs(0, NULL, &count) || count == 0)
		return 0;
	platforms = calloc(count, sizeof(cl_platform_id));
	welcome->platforms = calloc(count, sizeof *welcome->platforms);
	if (!platforms || !welcome->platforms || !welcome->runtime)
		return -ENOMEM;
	if (clGetPlatformIDs(count, platforms, NULL))
		return 0;
	for (cl_uint i = 0; i < count && !err; i++)
		err = platform_add(worker, platforms[i]);
	return err;
}
