/* SPDX-License-Identifier: MIT */
/*
 * Devices: what they tell of themselves, and sub-devices.
 */
#include "harness.h"

#include <string.h>

INFO_QUERY(clGetDeviceInfo, cl_device_id)

static const struct info device_infos[] = {
	INFO(CL_DEVICE_TYPE, INFO_BITS),
	INFO(CL_DEVICE_VENDOR_ID, INFO_BITS),
	INFO(CL_DEVICE_MAX_COMPUTE_UNITS, INFO_UINT),
	INFO(CL_DEVICE_MAX_WORK_ITEM_DIMENSIONS, INFO_UINT),
	INFO(CL_DEVICE_MAX_WORK_ITEM_SIZES, INFO_SIZES),
	INFO(CL_DEVICE_MAX_WORK_GROUP_SIZE, INFO_SIZE),
	INFO(CL_DEVICE_PREFERRED_VECTOR_WIDTH_CHAR, INFO_UINT),
	INFO(CL_DEVICE_PREFERRED_VECTOR_WIDTH_SHORT, INFO_UINT),
	INFO(CL_DEVICE_PREFERRED_VECTOR_WIDTH_INT, INFO_UINT),
	INFO(CL_DEVICE_PREFERRED_VECTOR_WIDTH_LONG, INFO_UINT),
	INFO(CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT, INFO_UINT),
	INFO(CL_DEVICE_PREFERRED_VECTOR_WIDTH_DOUBLE, INFO_UINT),
	INFO(CL_DEVICE_PREFERRED_VECTOR_WIDTH_HALF, INFO_UINT),
	INFO(CL_DEVICE_NATIVE_VECTOR_WIDTH_CHAR, INFO_UINT),
	INFO(CL_DEVICE_NATIVE_VECTOR_WIDTH_SHORT, INFO_UINT),
	INFO(CL_DEVICE_NATIVE_VECTOR_WIDTH_INT, INFO_UINT),
	INFO(CL_DEVICE_NATIVE_VECTOR_WIDTH_LONG, INFO_UINT),
	INFO(CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, INFO_UINT),
	INFO(CL_DEVICE_NATIVE_VECTOR_WIDTH_DOUBLE, INFO_UINT),
	INFO(CL_DEVICE_NATIVE_VECTOR_WIDTH_HALF, INFO_UINT),
	INFO(CL_DEVICE_MAX_CLOCK_FREQUENCY, INFO_VARIES),
	INFO(CL_DEVICE_ADDRESS_BITS, INFO_UINT),
	INFO(CL_DEVICE_MAX_MEM_ALLOC_SIZE, INFO_ULONG),
	INFO(CL_DEVICE_IMAGE_SUPPORT, INFO_UINT),
	INFO(CL_DEVICE_MAX_READ_IMAGE_ARGS, INFO_UINT),
	INFO(CL_DEVICE_MAX_WRITE_IMAGE_ARGS, INFO_UINT),
	INFO(CL_DEVICE_IMAGE2D_MAX_WIDTH, INFO_SIZE),
	INFO(CL_DEVICE_IMAGE2D_MAX_HEIGHT, INFO_SIZE),
	INFO(CL_DEVICE_IMAGE3D_MAX_WIDTH, INFO_SIZE),
	INFO(CL_DEVICE_IMAGE3D_MAX_HEIGHT, INFO_SIZE),
	INFO(CL_DEVICE_IMAGE3D_MAX_DEPTH, INFO_SIZE),
	INFO(CL_DEVICE_IMAGE_MAX_BUFFER_SIZE, INFO_SIZE),
	INFO(CL_DEVICE_IMAGE_MAX_ARRAY_SIZE, INFO_SIZE),
	INFO(CL_DEVICE_MAX_SAMPLERS, INFO_UINT),
	INFO(CL_DEVICE_MAX_PARAMETER_SIZE, INFO_SIZE),
	INFO(CL_DEVICE_MEM_BASE_ADDR_ALIGN, INFO_UINT),
	INFO(CL_DEVICE_MIN_DATA_TYPE_ALIGN_SIZE, INFO_UINT),
	INFO(CL_DEVICE_SINGLE_FP_CONFIG, INFO_BITS),
	INFO(CL_DEVICE_DOUBLE_FP_CONFIG, INFO_BITS),
	INFO(CL_DEVICE_GLOBAL_MEM_CACHE_TYPE, INFO_UINT),
	INFO(CL_DEVICE_GLOBAL_MEM_CACHELINE_SIZE, INFO_UINT),
	INFO(CL_DEVICE_GLOBAL_MEM_CACHE_SIZE, INFO_ULONG),
	INFO(CL_DEVICE_GLOBAL_MEM_SIZE, INFO_ULONG),
	INFO(CL_DEVICE_MAX_CONSTANT_BUFFER_SIZE, INFO_ULONG),
	INFO(CL_DEVICE_MAX_CONSTANT_ARGS, INFO_UINT),
	INFO(CL_DEVICE_LOCAL_MEM_TYPE, INFO_UINT),
	INFO(CL_DEVICE_LOCAL_MEM_SIZE, INFO_ULONG),
	INFO(CL_DEVICE_ERROR_CORRECTION_SUPPORT, INFO_UINT),
	INFO(CL_DEVICE_HOST_UNIFIED_MEMORY, INFO_UINT),
	INFO(CL_DEVICE_PROFILING_TIMER_RESOLUTION, INFO_SIZE),
	INFO(CL_DEVICE_ENDIAN_LITTLE, INFO_UINT),
	INFO(CL_DEVICE_AVAILABLE, INFO_UINT),
	INFO(CL_DEVICE_COMPILER_AVAILABLE, INFO_UINT),
	INFO(CL_DEVICE_LINKER_AVAILABLE, INFO_UINT),
	INFO(CL_DEVICE_EXECUTION_CAPABILITIES, INFO_BITS),
	INFO(CL_DEVICE_QUEUE_PROPERTIES, INFO_BITS),
	INFO(CL_DEVICE_BUILT_IN_KERNELS, INFO_TEXT),
	INFO(CL_DEVICE_NAME, INFO_TEXT),
	INFO(CL_DEVICE_VENDOR, INFO_TEXT),
	INFO(CL_DRIVER_VERSION, INFO_TEXT),
	INFO(CL_DEVICE_PROFILE, INFO_TEXT),
	INFO(CL_DEVICE_VERSION, INFO_TEXT),
	INFO(CL_DEVICE_OPENCL_C_VERSION, INFO_TEXT),
	INFO(CL_DEVICE_EXTENSIONS, INFO_TEXT),
	INFO(CL_DEVICE_PRINTF_BUFFER_SIZE, INFO_SIZE),
	INFO(CL_DEVICE_PREFERRED_INTEROP_USER_SYNC, INFO_UINT),
	INFO_IS(CL_DEVICE_PARENT_DEVICE, NULL),
	INFO(CL_DEVICE_PARTITION_MAX_SUB_DEVICES, INFO_UINT),
	INFO(CL_DEVICE_PARTITION_PROPERTIES, INFO_SIZES),
	INFO(CL_DEVICE_PARTITION_AFFINITY_DOMAIN, INFO_BITS),
	INFO(CL_DEVICE_PARTITION_TYPE, INFO_SIZES),
	INFO(CL_DEVICE_REFERENCE_COUNT, INFO_UINT),
	INFO(CL_DEVICE_QUEUE_ON_HOST_PROPERTIES, INFO_BITS),
	INFO(CL_DEVICE_IMAGE_PITCH_ALIGNMENT, INFO_UINT),
	INFO(CL_DEVICE_IMAGE_BASE_ADDRESS_ALIGNMENT, INFO_UINT),
	INFO(CL_DEVICE_MAX_READ_WRITE_IMAGE_ARGS, INFO_UINT),
	INFO(CL_DEVICE_MAX_GLOBAL_VARIABLE_SIZE, INFO_SIZE),
	INFO(CL_DEVICE_GLOBAL_VARIABLE_PREFERRED_TOTAL_SIZE, INFO_SIZE),
	INFO(CL_DEVICE_QUEUE_ON_DEVICE_PROPERTIES, INFO_BITS),
	INFO(CL_DEVICE_QUEUE_ON_DEVICE_PREFERRED_SIZE, INFO_UINT),
	INFO(CL_DEVICE_QUEUE_ON_DEVICE_MAX_SIZE, INFO_UINT),
	INFO(CL_DEVICE_MAX_ON_DEVICE_QUEUES, INFO_UINT),
	INFO(CL_DEVICE_MAX_ON_DEVICE_EVENTS, INFO_UINT),
	INFO(CL_DEVICE_DEVICE_ENQUEUE_CAPABILITIES, INFO_UINT),
	INFO(CL_DEVICE_PIPE_SUPPORT, INFO_UINT),
	INFO(CL_DEVICE_MAX_PIPE_ARGS, INFO_UINT),
	INFO(CL_DEVICE_PIPE_MAX_ACTIVE_RESERVATIONS, INFO_UINT),
	INFO(CL_DEVICE_PIPE_MAX_PACKET_SIZE, INFO_UINT),
	INFO(CL_DEVICE_PREFERRED_PLATFORM_ATOMIC_ALIGNMENT, INFO_UINT),
	INFO(CL_DEVICE_PREFERRED_GLOBAL_ATOMIC_ALIGNMENT, INFO_UINT),
	INFO(CL_DEVICE_PREFERRED_LOCAL_ATOMIC_ALIGNMENT, INFO_UINT),
	INFO(CL_DEVICE_IL_VERSION, INFO_TEXT),
	INFO(CL_DEVICE_ILS_WITH_VERSION, INFO_VARIES),
	INFO(CL_DEVICE_MAX_NUM_SUB_GROUPS, INFO_UINT),
	INFO(CL_DEVICE_SUB_GROUP_INDEPENDENT_FORWARD_PROGRESS, INFO_UINT),
	INFO(CL_DEVICE_NUMERIC_VERSION, INFO_BITS),
	INFO(CL_DEVICE_BUILT_IN_KERNELS_WITH_VERSION, INFO_VARIES),
	INFO(CL_DEVICE_ATOMIC_MEMORY_CAPABILITIES, INFO_BITS),
	INFO(CL_DEVICE_ATOMIC_FENCE_CAPABILITIES, INFO_BITS),
	INFO(CL_DEVICE_NON_UNIFORM_WORK_GROUP_SUPPORT, INFO_UINT),
	INFO(CL_DEVICE_OPENCL_C_ALL_VERSIONS, INFO_VARIES),
	INFO(CL_DEVICE_OPENCL_C_FEATURES, INFO_VARIES),
	INFO(CL_DEVICE_PREFERRED_WORK_GROUP_SIZE_MULTIPLE, INFO_SIZE),
	INFO(CL_DEVICE_WORK_GROUP_COLLECTIVE_FUNCTIONS_SUPPORT, INFO_UINT),
	INFO(CL_DEVICE_GENERIC_ADDRESS_SPACE_SUPPORT, INFO_UINT),
	INFO(CL_DEVICE_LATEST_CONFORMANCE_VERSION_PASSED, INFO_TEXT),
};

/* The extensions that OpenCL 1.2 programs look for. */
static const char *const extensions[] = {
	"cl_khr_global_int32_base_atomics",
	"cl_khr_global_int32_extended_atomics",
	"cl_khr_local_int32_base_atomics",
	"cl_khr_local_int32_extended_atomics",
	"cl_khr_byte_addressable_store",
	"cl_khr_fp64",
	"cl_khr_fp16",
	"cl_khr_int64_base_atomics",
	"cl_khr_int64_extended_atomics",
	"cl_khr_3d_image_writes",
};

static void extensions_check(const struct fixture *fix)
{
	char text[2048] = "";

	MUST(clGetDeviceInfo(fix->device, CL_DEVICE_EXTENSIONS, sizeof(text), text, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(extensions); i++)
		check_yes(named("has %s", extensions[i]), strstr(text, extensions[i]) != NULL);
}

/* The list with versions has the names of the list without, in its order. */
static void versions_check(const struct fixture *fix)
{
	static cl_name_version list[256];
	char text[4096] = "";
	char listed[4096] = "";
	char *end = listed;
	char *save = NULL;
	size_t size = 0;
	bool same = true;

	MUST(clGetDeviceInfo(fix->device, CL_DEVICE_EXTENSIONS, sizeof(text), text, NULL));
	MUST(clGetDeviceInfo(fix->device, CL_DEVICE_EXTENSIONS_WITH_VERSION, sizeof(list), list,
			     &size));
	for (size_t i = 0; i < size / sizeof(list[0]); i++)
		end = stpcpy(stpcpy(end, list[i].name), " ");
	end = listed;
	for (const char *name = strtok_r(text, " ", &save); name;
	     name = strtok_r(NULL, " ", &save)) {
		same = same && strncmp(end, name, strlen(name)) == 0 && end[strlen(name)] == ' ';
		end += strlen(name) + 1;
	}
	check_yes("extensions with versions are the extensions", same && *end == '\0');
}

static void root_references_check(const struct fixture *fix)
{
	cl_uint count = 0;

	check_code("retain root", clRetainDevice(fix->device));
	check_code("release root", clReleaseDevice(fix->device));
	check_code("release root once too often", clReleaseDevice(fix->device));
	MUST(clGetDeviceInfo(fix->device, CL_DEVICE_REFERENCE_COUNT, sizeof(count), &count, NULL));
	check_number("references of root", count);
	wrong_code("retain NULL", clRetainDevice(NULL));
	wrong_code("release NULL", clReleaseDevice(NULL));
}

#define PROPERTIES(...) ((const cl_device_partition_property[]){__VA_ARGS__, 0})

static void partitions_check(const struct fixture *fix)
{
	const struct {
		const char *name;
		const cl_device_partition_property *properties;
	} parts[] = {
		{"equally 1", PROPERTIES(CL_DEVICE_PARTITION_EQUALLY, 1)},
		{"equally 2", PROPERTIES(CL_DEVICE_PARTITION_EQUALLY, 2)},
		{"counts 1", PROPERTIES(CL_DEVICE_PARTITION_BY_COUNTS, 1, 0)},
		{"counts 1 1", PROPERTIES(CL_DEVICE_PARTITION_BY_COUNTS, 1, 1, 0)},
		{"counts 2", PROPERTIES(CL_DEVICE_PARTITION_BY_COUNTS, 2, 0)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		cl_device_id devices[64];
		cl_uint units = 0;
		cl_uint count = 0;

		check_code(
			named("partition %s", parts[i].name),
			clCreateSubDevices(fix->device, parts[i].properties, 64, devices, &count));
		check_number(named("partition %s parts", parts[i].name), count);
		for (cl_uint j = 0; j < count; j++) {
			cl_uint part = 0;

			MUST(clGetDeviceInfo(devices[j], CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(part),
					     &part, NULL));
			units += part;
			MUST(clReleaseDevice(devices[j]));
		}
		check_number(named("partition %s units", parts[i].name), units);
	}
}

static void partitions_wrong(const struct fixture *fix)
{
	const struct {
		const char *name;
		const cl_device_partition_property *properties;
	} parts[] = {
		{"NULL properties", NULL},
		{"empty properties", (const cl_device_partition_property[]){0}},
		{"unknown property", PROPERTIES(0x7dea, 1)},
		{"equally 0", PROPERTIES(CL_DEVICE_PARTITION_EQUALLY, 0)},
		{"equally 100000", PROPERTIES(CL_DEVICE_PARTITION_EQUALLY, 100000)},
		{"counts too large", PROPERTIES(CL_DEVICE_PARTITION_BY_COUNTS, 100000, 0)},
		{"counts too large in sum",
		 PROPERTIES(CL_DEVICE_PARTITION_BY_COUNTS, 1, 100000, 0)},
		{"counts none", PROPERTIES(CL_DEVICE_PARTITION_BY_COUNTS, 0)},
		{"affinity NUMA", PROPERTIES(CL_DEVICE_PARTITION_BY_AFFINITY_DOMAIN,
					     CL_DEVICE_AFFINITY_DOMAIN_NUMA)},
		{"affinity next", PROPERTIES(CL_DEVICE_PARTITION_BY_AFFINITY_DOMAIN,
					     CL_DEVICE_AFFINITY_DOMAIN_NEXT_PARTITIONABLE)},
		{"affinity 0", PROPERTIES(CL_DEVICE_PARTITION_BY_AFFINITY_DOMAIN, 0)},
	};
	cl_device_id devices[64];
	cl_uint count;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		wrong_code(
			named("partition %s", parts[i].name),
			clCreateSubDevices(fix->device, parts[i].properties, 64, devices, &count));
	wrong_code("partition of NULL",
		   clCreateSubDevices(NULL, parts[3].properties, 64, devices, &count));
	wrong_code("partition with too little room",
		   clCreateSubDevices(fix->device, PROPERTIES(CL_DEVICE_PARTITION_EQUALLY, 1), 0,
				      devices, NULL));
	wrong_code("partition, nothing asked",
		   clCreateSubDevices(fix->device, PROPERTIES(CL_DEVICE_PARTITION_EQUALLY, 1), 0,
				      NULL, NULL));
}

/* A sub-device is a device: a context, a queue and a buffer on it work. */
static void sub_device_used(cl_device_id part)
{
	cl_context context = MUST_MAKE(clCreateContext(NULL, 1, &part, NULL, NULL, &call_err));
	cl_command_queue queue = MUST_MAKE(clCreateCommandQueue(context, part, 0, &call_err));
	int number = 41;
	int answer = 0;
	cl_mem buffer = MUST_MAKE(
		clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, sizeof(number), &number, &call_err));

	check_code("sub-device read", clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, sizeof(answer),
							  &answer, 0, NULL, NULL));
	check_number("sub-device value", (unsigned)answer);
	MUST(clReleaseMemObject(buffer));
	MUST(clReleaseCommandQueue(queue));
	MUST(clReleaseContext(context));
}

static void sub_device_check(const struct fixture *fix)
{
	const struct info infos[] = {
		INFO_IS(CL_DEVICE_PARENT_DEVICE, fix->device),
		INFO_IS(CL_DEVICE_PLATFORM, fix->platform),
		INFO(CL_DEVICE_TYPE, INFO_BITS),
		INFO(CL_DEVICE_MAX_COMPUTE_UNITS, INFO_UINT),
		INFO(CL_DEVICE_PARTITION_MAX_SUB_DEVICES, INFO_UINT),
		INFO(CL_DEVICE_PARTITION_PROPERTIES, INFO_SIZES),
		INFO(CL_DEVICE_PARTITION_TYPE, INFO_SIZES),
		INFO(CL_DEVICE_REFERENCE_COUNT, INFO_UINT),
		INFO(CL_DEVICE_NAME, INFO_TEXT),
		INFO(CL_DEVICE_MAX_WORK_GROUP_SIZE, INFO_SIZE),
		INFO(CL_DEVICE_GLOBAL_MEM_SIZE, INFO_ULONG),
	};
	cl_device_id part = NULL;
	cl_device_id inner[4];
	cl_uint count = 0;

	MUST(clCreateSubDevices(fix->device, PROPERTIES(CL_DEVICE_PARTITION_BY_COUNTS, 1, 0), 1,
				&part, NULL));
	check_infos("sub-device", query_clGetDeviceInfo, part, infos, ARRAY_SIZE(infos));
	sub_device_used(part);
	check_code("retain sub-device", clRetainDevice(part));
	check_infos("retained sub-device", query_clGetDeviceInfo, part, &infos[7], 1);
	check_code("release sub-device", clReleaseDevice(part));
	wrong_code("partition of a part with one unit",
		   clCreateSubDevices(part, PROPERTIES(CL_DEVICE_PARTITION_EQUALLY, 2), 4, inner,
				      &count));
	check_code("release sub-device for good", clReleaseDevice(part));
}

int main(void)
{
	struct fixture fix;

	transcript_begin("device");
	fixture_open(&fix);
	check_infos("info", query_clGetDeviceInfo, fix.device, device_infos,
		    ARRAY_SIZE(device_infos));
	check_infos("info", query_clGetDeviceInfo, fix.device,
		    (const struct info[]){INFO_IS(CL_DEVICE_PLATFORM, fix.platform)}, 1);
	wrong_infos("device", query_clGetDeviceInfo, fix.device, CL_DEVICE_NAME, true);
	extensions_check(&fix);
	versions_check(&fix);
	root_references_check(&fix);
	partitions_check(&fix);
	partitions_wrong(&fix);
	sub_device_check(&fix);
	fixture_close(&fix);
	return transcript_end();
}
