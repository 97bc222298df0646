// SPDX-License-Identifier: MIT
/*
 * Checking devices: one table of what has to be the same, as much or as fine there.
 *
 * A guest's program never sees its device itself, but what libguestcl.so makes of it (3.0 or
 * 1.2, less what isn't carried), and a device of a server comes through another libguestcl.so. So
 * what counts of
 * @here is only what its program can see.
 *
 * Left out on purpose: what is only advice (preferred and native vector widths, cache sizes,
 * compute units, frequency, timer resolution), what can't be called by a guest (native kernels),
 * how memory is made (local memory's type, unified memory), what is asked of objects that there
 * really are (memory sizes: gcl_mem_check(), built-in kernels: recipes), and partitions, whose
 * queues don't move.
 */
#include "check-device.h"

#include <CL/cl_ext.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "extensions.h"

/* What programs see: 3.0, or 1.2 at most. */
#define VERSION_FULL 300u
#define VERSION_HALF 102u

struct info {
	size_t size; /* 0: the runtime doesn't say */
	char *bytes; /* with a NUL behind it */
};

static void info_fini(struct info *info)
{
	free(info->bytes);
}

static void info_get(struct info *info, cl_device_id device, cl_device_info name)
{
	size_t size = 0;

	*info = (struct info){0};
	if (clGetDeviceInfo(device, name, 0, NULL, &size) != CL_SUCCESS || !size)
		return;
	info->bytes = calloc(1, size + 1);
	if (info->bytes && clGetDeviceInfo(device, name, size, info->bytes, NULL) == CL_SUCCESS)
		info->size = size;
}

static uint64_t number(const struct info *info)
{
	uint64_t value = 0;

	if (info->size)
		memcpy(&value, info->bytes, GCL_MIN(info->size, sizeof value));
	return value;
}

static uint64_t device_number(cl_device_id device, cl_device_info name)
{
	_cleanup_(info_fini) struct info info;

	info_get(&info, device, name);
	return number(&info);
}

/* ------------------------------------------------------------ ways to compare */

static bool equal(const struct info *here, const struct info *there)
{
	return number(here) == number(there);
}

/* Every bit of here, so that it does for a truth as well. */
static bool bits(const struct info *here, const struct info *there)
{
	return !(number(here) & ~number(there));
}

/* Done in software is as good. */
static bool floats(const struct info *here, const struct info *there)
{
	return !(number(here) & ~number(there) & ~(uint64_t)CL_FP_SOFT_FLOAT);
}

static bool as_much(const struct info *here, const struct info *there)
{
	return number(there) >= number(here);
}

/* Coarse-grained shared virtual memory, all of it that programs see. */
static bool svm(const struct info *here, const struct info *there)
{
	return (number(here) & ~number(there) & CL_DEVICE_SVM_COARSE_GRAIN_BUFFER) == 0;
}

static bool as_fine(const struct info *here, const struct info *there)
{
	return number(there) <= number(here);
}

/* A list of as many sizes as there are dimensions. */
static bool sizes(const struct info *here, const struct info *there)
{
	size_t here_size, there_size;

	if (there->size < here->size)
		return false;
	for (size_t i = 0; i + sizeof here_size <= here->size; i += sizeof here_size) {
		memcpy(&here_size, here->bytes + i, sizeof here_size);
		memcpy(&there_size, there->bytes + i, sizeof there_size);
		if (there_size < here_size)
			return false;
	}
	return true;
}

/* "OpenCL C 1.2 rest": 102; 0 for anything else. */
static unsigned long version_number(const struct info *info)
{
	const char *text = info->bytes + strcspn(info->bytes, "0123456789");
	char *end;
	unsigned long major = strtoul(text, &end, 10);

	return *end == '.' ? 100 * major + strtoul(end + 1, NULL, 10) : 100 * major;
}

static unsigned long version_seen(const struct info *info)
{
	unsigned long version = version_number(info);

	return version >= VERSION_FULL ? VERSION_FULL : GCL_MIN(version, VERSION_HALF);
}

static bool version(const struct info *here, const struct info *there)
{
	return version_number(there) >= version_seen(here);
}

/* Is @word one of those of the list? */
static bool listed(const struct info *list, const char *word)
{
	size_t length = strlen(word);
	const char *found = list->size ? list->bytes : "";

	for (const char *start = found; (found = strstr(found, word)); found += length) {
		if ((found == start || found[-1] == ' ') &&
		    (found[length] == ' ' || found[length] == '\0'))
			return true;
	}
	return false;
}

/* Of extensions that programs see. */
static bool extensions(const struct info *here, const struct info *there)
{
#define EXTENSION_NAME(name) #name,
	static const char *const names[] = {GCL_EXTENSIONS(EXTENSION_NAME)};
#undef EXTENSION_NAME

	for (size_t i = 0; i < GCL_ARRAY_SIZE(names); i++)
		if (listed(here, names[i]) && !listed(there, names[i]))
			return false;
	return true;
}

/* Is there an entry of that name, and that version if it matters, in the list? */
static bool entry_listed(const struct info *list, const cl_name_version *wanted, bool versions)
{
	cl_name_version entry;

	for (size_t i = 0; i + sizeof entry <= list->size; i += sizeof entry) {
		memcpy(&entry, list->bytes + i, sizeof entry);
		if (strncmp(entry.name, wanted->name, sizeof entry.name) == 0 &&
		    (!versions || entry.version == wanted->version))
			return true;
	}
	return false;
}

/* Programs see no 2.x, which would need all that isn't carried. */
static bool named_versions(const struct info *here, const struct info *there)
{
	cl_name_version entry;

	for (size_t i = 0; i + sizeof entry <= here->size; i += sizeof entry) {
		memcpy(&entry, here->bytes + i, sizeof entry);
		if (CL_VERSION_MAJOR(entry.version) != 2 && !entry_listed(there, &entry, true))
			return false;
	}
	return true;
}

static bool ils(const struct info *here, const struct info *there)
{
	cl_name_version entry;

	for (size_t i = 0; i + sizeof entry <= here->size; i += sizeof entry) {
		memcpy(&entry, here->bytes + i, sizeof entry);
		if (!entry_listed(there, &entry, true))
			return false;
	}
	return true;
}

static bool feature_seen(const char *name)
{
#define FEATURE_NAME(feature) #feature,
	static const char *const absent[] = {GCL_FEATURES_ABSENT(FEATURE_NAME)};
#undef FEATURE_NAME

	for (size_t i = 0; i < GCL_ARRAY_SIZE(absent); i++)
		if (strcmp(name, absent[i]) == 0)
			return false;
	return true;
}

static bool features(const struct info *here, const struct info *there)
{
	cl_name_version entry;

	for (size_t i = 0; i + sizeof entry <= here->size; i += sizeof entry) {
		memcpy(&entry, here->bytes + i, sizeof entry);
		entry.name[sizeof entry.name - 1] = '\0';
		if (feature_seen(entry.name) && !entry_listed(there, &entry, false))
			return false;
	}
	return true;
}

/* ------------------------------------------------------------ what is compared */

/* What of a device without images, or without half precision, is told means nothing; and what came
 * after 1.2 is told of devices of 3.0 alone. */
enum when { ALWAYS, IMAGES, HALF, LATER };

static const struct {
	cl_device_info name;
	bool (*does)(const struct info *here, const struct info *there);
	enum gcl_move_result refusal;
	enum when when;
} properties[] = {
	{CL_DEVICE_AVAILABLE, bits, GCL_MOVE_LACKS, ALWAYS},
	{CL_DEVICE_COMPILER_AVAILABLE, bits, GCL_MOVE_LACKS, ALWAYS},
	{CL_DEVICE_LINKER_AVAILABLE, bits, GCL_MOVE_LACKS, ALWAYS},
	{CL_DEVICE_ADDRESS_BITS, equal, GCL_MOVE_LACKS, ALWAYS},
	{CL_DEVICE_ENDIAN_LITTLE, equal, GCL_MOVE_LACKS, ALWAYS},
	{CL_DEVICE_VERSION, version, GCL_MOVE_LACKS, ALWAYS},
	{CL_DEVICE_OPENCL_C_VERSION, version, GCL_MOVE_LACKS, ALWAYS},
	{CL_DEVICE_EXTENSIONS, extensions, GCL_MOVE_LACKS, ALWAYS},
	{CL_DEVICE_IMAGE_SUPPORT, bits, GCL_MOVE_LACKS, ALWAYS},
	{CL_DEVICE_SVM_CAPABILITIES, svm, GCL_MOVE_LACKS, ALWAYS},
	{CL_DEVICE_QUEUE_PROPERTIES, bits, GCL_MOVE_LACKS, ALWAYS},
	{CL_DEVICE_SINGLE_FP_CONFIG, floats, GCL_MOVE_LACKS, ALWAYS},
	{CL_DEVICE_DOUBLE_FP_CONFIG, floats, GCL_MOVE_LACKS, ALWAYS},
	{CL_DEVICE_HALF_FP_CONFIG, floats, GCL_MOVE_LACKS, HALF},
	{CL_DEVICE_MAX_WORK_ITEM_DIMENSIONS, as_much, GCL_MOVE_LIMIT, ALWAYS},
	{CL_DEVICE_MAX_WORK_ITEM_SIZES, sizes, GCL_MOVE_LIMIT, ALWAYS},
	{CL_DEVICE_MAX_WORK_GROUP_SIZE, as_much, GCL_MOVE_LIMIT, ALWAYS},
	{CL_DEVICE_LOCAL_MEM_SIZE, as_much, GCL_MOVE_LIMIT, ALWAYS},
	{CL_DEVICE_MAX_PARAMETER_SIZE, as_much, GCL_MOVE_LIMIT, ALWAYS},
	{CL_DEVICE_MAX_CONSTANT_BUFFER_SIZE, as_much, GCL_MOVE_LIMIT, ALWAYS},
	{CL_DEVICE_MAX_CONSTANT_ARGS, as_much, GCL_MOVE_LIMIT, ALWAYS},
	{CL_DEVICE_PRINTF_BUFFER_SIZE, as_much, GCL_MOVE_LIMIT, ALWAYS},
	/* Of sub-buffers' origins. */
	{CL_DEVICE_MEM_BASE_ADDR_ALIGN, as_fine, GCL_MOVE_LIMIT, ALWAYS},
	{CL_DEVICE_MAX_READ_IMAGE_ARGS, as_much, GCL_MOVE_LIMIT, IMAGES},
	{CL_DEVICE_MAX_WRITE_IMAGE_ARGS, as_much, GCL_MOVE_LIMIT, IMAGES},
	{CL_DEVICE_MAX_SAMPLERS, as_much, GCL_MOVE_LIMIT, IMAGES},
	{CL_DEVICE_IMAGE2D_MAX_WIDTH, as_much, GCL_MOVE_LIMIT, IMAGES},
	{CL_DEVICE_IMAGE2D_MAX_HEIGHT, as_much, GCL_MOVE_LIMIT, IMAGES},
	{CL_DEVICE_IMAGE3D_MAX_WIDTH, as_much, GCL_MOVE_LIMIT, IMAGES},
	{CL_DEVICE_IMAGE3D_MAX_HEIGHT, as_much, GCL_MOVE_LIMIT, IMAGES},
	{CL_DEVICE_IMAGE3D_MAX_DEPTH, as_much, GCL_MOVE_LIMIT, IMAGES},
	{CL_DEVICE_IMAGE_MAX_BUFFER_SIZE, as_much, GCL_MOVE_LIMIT, IMAGES},
	{CL_DEVICE_IMAGE_MAX_ARRAY_SIZE, as_much, GCL_MOVE_LIMIT, IMAGES},
	{CL_DEVICE_OPENCL_C_ALL_VERSIONS, named_versions, GCL_MOVE_LACKS, LATER},
	{CL_DEVICE_OPENCL_C_FEATURES, features, GCL_MOVE_LACKS, LATER},
	{CL_DEVICE_ILS_WITH_VERSION, ils, GCL_MOVE_LACKS, LATER},
	{CL_DEVICE_ATOMIC_MEMORY_CAPABILITIES, bits, GCL_MOVE_LACKS, LATER},
	{CL_DEVICE_ATOMIC_FENCE_CAPABILITIES, bits, GCL_MOVE_LACKS, LATER},
	{CL_DEVICE_NON_UNIFORM_WORK_GROUP_SUPPORT, bits, GCL_MOVE_LACKS, LATER},
	{CL_DEVICE_WORK_GROUP_COLLECTIVE_FUNCTIONS_SUPPORT, bits, GCL_MOVE_LACKS, LATER},
	{CL_DEVICE_GENERIC_ADDRESS_SPACE_SUPPORT, bits, GCL_MOVE_LACKS, LATER},
	{CL_DEVICE_SUB_GROUP_INDEPENDENT_FORWARD_PROGRESS, bits, GCL_MOVE_LACKS, LATER},
	{CL_DEVICE_MAX_NUM_SUB_GROUPS, as_much, GCL_MOVE_LIMIT, LATER},
	{CL_DEVICE_MAX_READ_WRITE_IMAGE_ARGS, as_much, GCL_MOVE_LIMIT, LATER},
	{CL_DEVICE_MAX_GLOBAL_VARIABLE_SIZE, as_much, GCL_MOVE_LIMIT, LATER},
};

static bool matters(cl_device_id here, enum when when)
{
	_cleanup_(info_fini) struct info info = {0};

	switch (when) {
	case IMAGES:
		return device_number(here, CL_DEVICE_IMAGE_SUPPORT);
	case HALF:
		info_get(&info, here, CL_DEVICE_EXTENSIONS);
		return listed(&info, "cl_khr_fp16");
	case LATER:
		info_get(&info, here, CL_DEVICE_VERSION);
		return info.size && version_seen(&info) >= VERSION_FULL;
	default:
		return true;
	}
}

enum gcl_move_result gcl_device_check(cl_device_id here, cl_device_id there, uint64_t *value)
{
	for (size_t i = 0; i < GCL_ARRAY_SIZE(properties); i++) {
		_cleanup_(info_fini) struct info of_here, of_there;

		info_get(&of_here, here, properties[i].name);
		info_get(&of_there, there, properties[i].name);
		*value = properties[i].name;
		/* Nobody relies on what isn't told. */
		if (!of_here.size || !matters(here, properties[i].when))
			continue;
		if (!of_there.size)
			return GCL_MOVE_LACKS;
		if (!properties[i].does(&of_here, &of_there))
			return properties[i].refusal;
	}
	return GCL_MOVE_DONE;
}

/* ------------------------------------------------------------ kernels */

struct kernel_limits {
	cl_uint args;
	size_t group, compiled[3];
	cl_ulong local;
};

static cl_int kernel_limits_get(cl_kernel kernel, cl_device_id device, struct kernel_limits *limits)
{
	cl_int status;

	*limits = (struct kernel_limits){0};
	status = clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof limits->args, &limits->args,
				 NULL);
	if (status == CL_SUCCESS)
		status = clGetKernelWorkGroupInfo(kernel, device, CL_KERNEL_WORK_GROUP_SIZE,
						  sizeof limits->group, &limits->group, NULL);
	if (status == CL_SUCCESS)
		status = clGetKernelWorkGroupInfo(kernel, device, CL_KERNEL_COMPILE_WORK_GROUP_SIZE,
						  sizeof limits->compiled, limits->compiled, NULL);
	if (status == CL_SUCCESS)
		status = clGetKernelWorkGroupInfo(kernel, device, CL_KERNEL_LOCAL_MEM_SIZE,
						  sizeof limits->local, &limits->local, NULL);
	return status;
}

/* What variables of a program hold stays where it is. */
static bool variables_held(cl_kernel kernel, cl_device_id device)
{
	cl_program program;
	size_t size = 0;

	return clGetKernelInfo(kernel, CL_KERNEL_PROGRAM, sizeof program, &program, NULL) ==
		       CL_SUCCESS &&
	       clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_GLOBAL_VARIABLE_TOTAL_SIZE,
				     sizeof size, &size, NULL) == CL_SUCCESS &&
	       size;
}

/* Of work-groups that are as large as they can be here; 0 without sub-groups. */
static size_t sub_group_size(cl_kernel kernel, cl_device_id device, size_t group)
{
	size_t size = 0;

	if (!device_number(device, CL_DEVICE_MAX_NUM_SUB_GROUPS))
		return 0;
	clGetKernelSubGroupInfo(kernel, device, CL_KERNEL_MAX_SUB_GROUP_SIZE_FOR_NDRANGE,
				sizeof group, &group, sizeof size, &size, NULL);
	return size;
}

enum gcl_move_result gcl_kernel_check(cl_kernel here, cl_device_id here_device, cl_kernel there,
				      cl_device_id there_device, uint64_t *value)
{
	struct kernel_limits of_here, of_there;
	size_t sub_group;

	*value = 0;
	if (kernel_limits_get(here, here_device, &of_here) != CL_SUCCESS ||
	    kernel_limits_get(there, there_device, &of_there) != CL_SUCCESS ||
	    of_here.args != of_there.args ||
	    memcmp(of_here.compiled, of_there.compiled, sizeof of_here.compiled) != 0 ||
	    variables_held(here, here_device))
		return GCL_MOVE_PROGRAM;
	*value = of_there.group;
	if (of_there.group < of_here.group)
		return GCL_MOVE_KERNEL;
	/* Programs lay out their work by it. */
	*value = CL_DEVICE_MAX_NUM_SUB_GROUPS;
	sub_group = sub_group_size(here, here_device, of_here.group);
	if (sub_group && sub_group != sub_group_size(there, there_device, of_here.group))
		return GCL_MOVE_LIMIT;
	/* That of here knows its arguments. */
	*value = CL_DEVICE_LOCAL_MEM_SIZE;
	if (device_number(there_device, CL_DEVICE_LOCAL_MEM_SIZE) <
	    GCL_MAX(of_here.local, of_there.local))
		return GCL_MOVE_LIMIT;
	return GCL_MOVE_DONE;
}

/* ------------------------------------------------------------ memory objects */

/* What the dimensions of an image can be at most; 0: they have no limit of their own. */
static const struct {
	cl_mem_object_type type;
	cl_device_info most[3];
} extents[] = {
	{CL_MEM_OBJECT_IMAGE1D, {CL_DEVICE_IMAGE2D_MAX_WIDTH}},
	{CL_MEM_OBJECT_IMAGE1D_BUFFER, {CL_DEVICE_IMAGE_MAX_BUFFER_SIZE}},
	{CL_MEM_OBJECT_IMAGE1D_ARRAY,
	 {CL_DEVICE_IMAGE2D_MAX_WIDTH, CL_DEVICE_IMAGE_MAX_ARRAY_SIZE}},
	{CL_MEM_OBJECT_IMAGE2D, {CL_DEVICE_IMAGE2D_MAX_WIDTH, CL_DEVICE_IMAGE2D_MAX_HEIGHT}},
	{CL_MEM_OBJECT_IMAGE2D_ARRAY,
	 {CL_DEVICE_IMAGE2D_MAX_WIDTH, CL_DEVICE_IMAGE2D_MAX_HEIGHT,
	  CL_DEVICE_IMAGE_MAX_ARRAY_SIZE}},
	{CL_MEM_OBJECT_IMAGE3D,
	 {CL_DEVICE_IMAGE3D_MAX_WIDTH, CL_DEVICE_IMAGE3D_MAX_HEIGHT, CL_DEVICE_IMAGE3D_MAX_DEPTH}},
};

static bool extent_fits(cl_device_id device, const struct gcl_mem_wanted *wanted)
{
	for (size_t i = 0; i < GCL_ARRAY_SIZE(extents); i++) {
		if (extents[i].type != wanted->type)
			continue;
		for (int j = 0; j < 3; j++)
			if (extents[i].most[j] &&
			    wanted->extent[j] > device_number(device, extents[i].most[j]))
				return false;
	}
	return true;
}

static bool format_known(cl_context context, const struct gcl_mem_wanted *wanted)
{
	const cl_mem_flags access = CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY;
	cl_mem_flags flags = wanted->flags & access ? wanted->flags & access : CL_MEM_READ_WRITE;
	_cleanup_free_ cl_image_format *formats = NULL;
	cl_uint count = 0;

	if (clGetSupportedImageFormats(context, flags, wanted->type, 0, NULL, &count) != CL_SUCCESS)
		return false;
	formats = calloc(count ? count : 1, sizeof *formats);
	if (!formats || !count ||
	    clGetSupportedImageFormats(context, flags, wanted->type, count, formats, NULL) !=
		    CL_SUCCESS)
		return false;
	for (cl_uint i = 0; i < count; i++)
		if (formats[i].image_channel_order == wanted->format.image_channel_order &&
		    formats[i].image_channel_data_type == wanted->format.image_channel_data_type)
			return true;
	return false;
}

enum gcl_move_result gcl_mem_check(cl_context context, cl_device_id device,
				   const struct gcl_mem_wanted *wanted, uint64_t *value)
{
	*value = wanted->size;
	if (wanted->size > device_number(device, CL_DEVICE_MAX_MEM_ALLOC_SIZE))
		return GCL_MOVE_SIZE;
	if (wanted->type == CL_MEM_OBJECT_BUFFER)
		return GCL_MOVE_DONE;
	if (!format_known(context, wanted))
		return GCL_MOVE_FORMAT;
	return extent_fits(device, wanted) ? GCL_MOVE_DONE : GCL_MOVE_SIZE;
}
