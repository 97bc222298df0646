// SPDX-License-Identifier: MIT
/*
 * Checking devices: the host's own device against one that says otherwise in one point.
 */
#include "check-device.h"

#include <CL/cl_ext.h>
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

/* A device that is like the host's but for what it says of @name. */
static struct {
	cl_device_info name;
	size_t size; /* 0: it doesn't say */
	unsigned char bytes[8192];
} fake;

static cl_device_id device;
static cl_context context;
static size_t group_less; /* kernels' work-groups are smaller on the fake by so much */
static size_t compiled_more;
static cl_ulong local_used = UINT64_MAX;
static size_t variables_size; /* of the fake's program */

static cl_device_id fake_device(void)
{
	return (cl_device_id)(void *)&fake;
}

/* Both stand before the loader's. */
CL_API_ENTRY cl_int CL_API_CALL clGetDeviceInfo(cl_device_id asked, cl_device_info name,
						size_t size, void *value, size_t *size_ret)
{
	__typeof__(&clGetDeviceInfo) real;

	*(void **)&real = dlsym(RTLD_NEXT, "clGetDeviceInfo");
	if (asked != fake_device())
		return real(asked, name, size, value, size_ret);
	if (name != fake.name)
		return real(device, name, size, value, size_ret);
	if (!fake.size)
		return CL_INVALID_VALUE;
	if (value && size < fake.size)
		return CL_INVALID_VALUE;
	if (value)
		memcpy(value, fake.bytes, fake.size);
	if (size_ret)
		*size_ret = fake.size;
	return CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL clGetKernelWorkGroupInfo(cl_kernel kernel, cl_device_id asked,
							 cl_kernel_work_group_info name,
							 size_t size, void *value, size_t *size_ret)
{
	__typeof__(&clGetKernelWorkGroupInfo) real;
	cl_int status;

	*(void **)&real = dlsym(RTLD_NEXT, "clGetKernelWorkGroupInfo");
	if (asked != fake_device())
		return real(kernel, asked, name, size, value, size_ret);
	status = real(kernel, device, name, size, value, size_ret);
	if (status == CL_SUCCESS && value && name == CL_KERNEL_WORK_GROUP_SIZE)
		*(size_t *)value -= group_less;
	if (status == CL_SUCCESS && value && name == CL_KERNEL_COMPILE_WORK_GROUP_SIZE)
		*(size_t *)value += compiled_more;
	if (status == CL_SUCCESS && value && name == CL_KERNEL_LOCAL_MEM_SIZE &&
	    local_used != UINT64_MAX)
		*(cl_ulong *)value = local_used;
	return status;
}

CL_API_ENTRY cl_int CL_API_CALL clGetProgramBuildInfo(cl_program program, cl_device_id asked,
						      cl_program_build_info name, size_t size,
						      void *value, size_t *size_ret)
{
	__typeof__(&clGetProgramBuildInfo) real;

	*(void **)&real = dlsym(RTLD_NEXT, "clGetProgramBuildInfo");
	if (asked != fake_device())
		return real(program, asked, name, size, value, size_ret);
	if (name != CL_PROGRAM_BUILD_GLOBAL_VARIABLE_TOTAL_SIZE || size < sizeof variables_size)
		return CL_INVALID_VALUE;
	memcpy(value, &variables_size, sizeof variables_size);
	return CL_SUCCESS;
}

static int setup(void **state)
{
	cl_platform_id platform;

	(void)state;
	if (clGetPlatformIDs(1, &platform, NULL) != CL_SUCCESS ||
	    clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL) != CL_SUCCESS)
		return -1;
	context = clCreateContext(NULL, 1, &device, NULL, NULL, NULL);
	return context ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	clReleaseContext(context);
	return 0;
}

static void fake_set(cl_device_info name, size_t size, const void *bytes)
{
	fake.name = name;
	fake.size = size;
	memcpy(fake.bytes, bytes, size);
}

static void fake_text(cl_device_info name, const char *text)
{
	fake_set(name, strlen(text) + 1, text);
}

static uint64_t number_of(cl_device_info name)
{
	uint64_t value = 0;

	clGetDeviceInfo(device, name, sizeof value, &value, NULL);
	return value;
}

/* The fake says @value, in the size of what the device says. */
static void fake_number(cl_device_info name, uint64_t value)
{
	size_t size = 0;

	assert_int_equal(clGetDeviceInfo(device, name, 0, NULL, &size), CL_SUCCESS);
	fake_set(name, size, &value);
}

/* How it ends when the fake, as it is set, is there, and when it is here. */
static void expect(enum gcl_move_result there, enum gcl_move_result here)
{
	uint64_t value = 0;

	assert_int_equal(gcl_device_check(device, fake_device(), &value), there);
	if (there != GCL_MOVE_DONE)
		assert_int_equal(value, fake.name);
	assert_int_equal(gcl_device_check(fake_device(), device, &value), here);
	if (here != GCL_MOVE_DONE)
		assert_int_equal(value, fake.name);
}

static void same(void **state)
{
	uint64_t value;

	(void)state;
	assert_int_equal(gcl_device_check(device, device, &value), GCL_MOVE_DONE);
	fake_number(CL_DEVICE_NATIVE_VECTOR_WIDTH_INT, 1);
	expect(GCL_MOVE_DONE, GCL_MOVE_DONE);
}

static void truths(void **state)
{
	static const cl_device_info names[] = {
		CL_DEVICE_AVAILABLE,
		CL_DEVICE_COMPILER_AVAILABLE,
		CL_DEVICE_LINKER_AVAILABLE,
		CL_DEVICE_IMAGE_SUPPORT,
	};

	(void)state;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(names); i++) {
		if (!number_of(names[i]))
			continue;
		fake_number(names[i], CL_FALSE);
		expect(GCL_MOVE_LACKS, GCL_MOVE_DONE);
	}
	fake_number(CL_DEVICE_ADDRESS_BITS, 32);
	expect(GCL_MOVE_LACKS, GCL_MOVE_LACKS);
	fake_number(CL_DEVICE_ENDIAN_LITTLE, !number_of(CL_DEVICE_ENDIAN_LITTLE));
	expect(GCL_MOVE_LACKS, GCL_MOVE_LACKS);
}

static void limits(void **state)
{
	static const cl_device_info names[] = {
		CL_DEVICE_MAX_WORK_GROUP_SIZE,	    CL_DEVICE_MAX_WORK_ITEM_DIMENSIONS,
		CL_DEVICE_LOCAL_MEM_SIZE,	    CL_DEVICE_MAX_PARAMETER_SIZE,
		CL_DEVICE_MAX_CONSTANT_BUFFER_SIZE, CL_DEVICE_MAX_CONSTANT_ARGS,
		CL_DEVICE_PRINTF_BUFFER_SIZE,	    CL_DEVICE_MAX_SAMPLERS,
		CL_DEVICE_IMAGE2D_MAX_HEIGHT,	    CL_DEVICE_IMAGE3D_MAX_DEPTH,
		CL_DEVICE_IMAGE_MAX_ARRAY_SIZE,	    CL_DEVICE_MAX_WRITE_IMAGE_ARGS,
	};
	size_t sizes[3];

	(void)state;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(names); i++) {
		fake_number(names[i], number_of(names[i]) - 1);
		expect(GCL_MOVE_LIMIT, GCL_MOVE_DONE);
		fake.size = 0;
		expect(GCL_MOVE_LACKS, GCL_MOVE_DONE);
	}
	fake_number(CL_DEVICE_MEM_BASE_ADDR_ALIGN, 2 * number_of(CL_DEVICE_MEM_BASE_ADDR_ALIGN));
	expect(GCL_MOVE_LIMIT, GCL_MOVE_DONE);

	assert_int_equal(
		clGetDeviceInfo(device, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof sizes, sizes, NULL),
		CL_SUCCESS);
	sizes[2]--;
	fake_set(CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof sizes, sizes);
	expect(GCL_MOVE_LIMIT, GCL_MOVE_DONE);
	fake.size = 2 * sizeof *sizes;
	expect(GCL_MOVE_LIMIT, GCL_MOVE_DONE);
}

/* A device without images says of them what it likes. */
static void images(void **state)
{
	uint64_t value;

	(void)state;
	if (!number_of(CL_DEVICE_IMAGE_SUPPORT))
		skip();
	fake_number(CL_DEVICE_IMAGE2D_MAX_WIDTH, UINT32_MAX);
	assert_int_equal(gcl_device_check(fake_device(), device, &value), GCL_MOVE_LIMIT);
	assert_int_equal(value, CL_DEVICE_IMAGE2D_MAX_WIDTH);
	fake_number(CL_DEVICE_IMAGE_SUPPORT, CL_FALSE);
	expect(GCL_MOVE_LACKS, GCL_MOVE_DONE);
}

static void numbers_as_texts(void **state)
{
	(void)state;
	fake_text(CL_DEVICE_VERSION, "OpenCL 1.1 made up");
	expect(GCL_MOVE_LACKS, GCL_MOVE_DONE);
	/* A program sees no more than 3.0, and of 2.x no more than 1.2. */
	fake_text(CL_DEVICE_VERSION, "OpenCL 4.7 made up");
	expect(GCL_MOVE_DONE, GCL_MOVE_DONE);
	fake_text(CL_DEVICE_VERSION, "OpenCL 2.1 made up");
	expect(GCL_MOVE_LACKS, GCL_MOVE_DONE);
	fake_text(CL_DEVICE_VERSION, "OpenCL 1.2 guestcl");
	expect(GCL_MOVE_LACKS, GCL_MOVE_DONE);
	fake_text(CL_DEVICE_OPENCL_C_VERSION, "OpenCL C 1.0 ");
	expect(GCL_MOVE_LACKS, GCL_MOVE_DONE);
	fake_text(CL_DEVICE_OPENCL_C_VERSION, "OpenCL C 10.0");
	expect(GCL_MOVE_DONE, GCL_MOVE_LACKS);
	fake_text(CL_DEVICE_OPENCL_C_VERSION, "OpenCL C 2.0 ");
	expect(GCL_MOVE_DONE, GCL_MOVE_DONE);
	fake_text(CL_DEVICE_OPENCL_C_VERSION, "");
	expect(GCL_MOVE_LACKS, GCL_MOVE_DONE);
}

static void extensions(void **state)
{
	char text[4096], longer[4096 + 64];

	(void)state;
	clGetDeviceInfo(device, CL_DEVICE_EXTENSIONS, sizeof text, text, NULL);
	/* One that no program sees. */
	snprintf(longer, sizeof longer, "%s cl_khr_command_buffer_multi_device", text);
	fake_text(CL_DEVICE_EXTENSIONS, longer);
	expect(GCL_MOVE_DONE, GCL_MOVE_DONE);
	snprintf(longer, sizeof longer, "%s cl_amd_media_ops2", text);
	fake_text(CL_DEVICE_EXTENSIONS, longer);
	expect(GCL_MOVE_DONE, GCL_MOVE_LACKS);
	/* One whose name begins like it is another. */
	fake_text(CL_DEVICE_EXTENSIONS, "cl_khr_byte_addressable_stores xcl_khr_fp64");
	expect(GCL_MOVE_LACKS, GCL_MOVE_DONE);
}

static void fake_entries(cl_device_info name, size_t count, const cl_name_version *entries)
{
	fake_set(name, count * sizeof *entries, entries);
}

/* Lists of names with versions: what isn't carried doesn't count. */
static void lists(void **state)
{
	static cl_name_version entries[64];
	size_t count = 0;

	(void)state;
	assert_int_equal(clGetDeviceInfo(device, CL_DEVICE_OPENCL_C_FEATURES, sizeof entries,
					 entries, &count),
			 CL_SUCCESS);
	count /= sizeof *entries;
	assert_true(count > 0 && count < 60);
	entries[count] = (cl_name_version){CL_MAKE_VERSION(3, 0, 0), "__opencl_c_pipes"};
	fake_entries(CL_DEVICE_OPENCL_C_FEATURES, count + 1, entries);
	expect(GCL_MOVE_DONE, GCL_MOVE_DONE);
	entries[count] = (cl_name_version){CL_MAKE_VERSION(3, 0, 0), "__opencl_c_made_up"};
	fake_entries(CL_DEVICE_OPENCL_C_FEATURES, count + 1, entries);
	expect(GCL_MOVE_DONE, GCL_MOVE_LACKS);
	fake_entries(CL_DEVICE_OPENCL_C_FEATURES, count - 1, entries);
	expect(GCL_MOVE_LACKS, GCL_MOVE_DONE);

	assert_int_equal(clGetDeviceInfo(device, CL_DEVICE_OPENCL_C_ALL_VERSIONS, sizeof entries,
					 entries, &count),
			 CL_SUCCESS);
	count /= sizeof *entries;
	entries[count] = (cl_name_version){CL_MAKE_VERSION(2, 0, 0), "OpenCL C"};
	fake_entries(CL_DEVICE_OPENCL_C_ALL_VERSIONS, count + 1, entries);
	expect(GCL_MOVE_DONE, GCL_MOVE_DONE);
	fake_entries(CL_DEVICE_OPENCL_C_ALL_VERSIONS, 1, entries);
	expect(GCL_MOVE_LACKS, GCL_MOVE_DONE);

	entries[0] = (cl_name_version){CL_MAKE_VERSION(1, 4, 0), "SPIR-V"};
	fake_entries(CL_DEVICE_ILS_WITH_VERSION, 1, entries);
	expect(GCL_MOVE_DONE, GCL_MOVE_LACKS);
	fake_number(CL_DEVICE_ATOMIC_MEMORY_CAPABILITIES, CL_DEVICE_ATOMIC_ORDER_RELAXED);
	expect(GCL_MOVE_LACKS, GCL_MOVE_DONE);
	fake_number(CL_DEVICE_MAX_NUM_SUB_GROUPS, 64);
	expect(GCL_MOVE_DONE, GCL_MOVE_LIMIT);
	fake_number(CL_DEVICE_NON_UNIFORM_WORK_GROUP_SUPPORT, CL_TRUE);
	expect(GCL_MOVE_DONE, GCL_MOVE_LACKS);
}

static void precision(void **state)
{
	uint64_t single = number_of(CL_DEVICE_SINGLE_FP_CONFIG);
	char text[4096];

	(void)state;
	fake_number(CL_DEVICE_SINGLE_FP_CONFIG, single & ~(uint64_t)CL_FP_INF_NAN);
	expect(GCL_MOVE_LACKS, GCL_MOVE_DONE);
	fake_number(CL_DEVICE_SINGLE_FP_CONFIG, single | CL_FP_SOFT_FLOAT);
	expect(GCL_MOVE_DONE, GCL_MOVE_DONE);
	clGetDeviceInfo(device, CL_DEVICE_EXTENSIONS, sizeof text, text, NULL);
	if (strstr(text, "cl_khr_fp16"))
		skip();
	/* Without the extension nobody is told of it. */
	single = CL_FP_INF_NAN;
	fake_set(CL_DEVICE_HALF_FP_CONFIG, sizeof single, &single);
	expect(GCL_MOVE_DONE, GCL_MOVE_DONE);
}

static cl_kernel kernel_new(cl_context where, cl_device_id target, const char *source)
{
	cl_program program = clCreateProgramWithSource(where, 1, &source, NULL, NULL);
	cl_kernel kernel;

	assert_int_equal(clBuildProgram(program, 1, &target, "", NULL, NULL), CL_SUCCESS);
	kernel = clCreateKernel(program, "k", NULL);
	assert_non_null(kernel);
	clReleaseProgram(program);
	return kernel;
}

static void kernels(void **state)
{
	cl_kernel kernel =
		kernel_new(context, device, "__kernel void k(__global int *a) { *a = 1; }");
	cl_kernel other =
		kernel_new(context, device, "__kernel void k(__global int *a, int b) { *a = b; }");
	uint64_t value = 1;

	(void)state;
	fake.name = 0;
	assert_int_equal(gcl_kernel_check(kernel, device, kernel, device, &value), GCL_MOVE_DONE);
	assert_int_equal(gcl_kernel_check(kernel, device, other, device, &value), GCL_MOVE_PROGRAM);
	group_less = 1;
	assert_int_equal(gcl_kernel_check(kernel, device, kernel, fake_device(), &value),
			 GCL_MOVE_KERNEL);
	assert_int_equal(value, number_of(CL_DEVICE_MAX_WORK_GROUP_SIZE) - 1);
	assert_int_equal(gcl_kernel_check(kernel, fake_device(), kernel, device, &value),
			 GCL_MOVE_DONE);
	group_less = 0;
	variables_size = 4;
	assert_int_equal(gcl_kernel_check(kernel, fake_device(), kernel, device, &value),
			 GCL_MOVE_PROGRAM);
	variables_size = 0;
	compiled_more = 1;
	assert_int_equal(gcl_kernel_check(kernel, device, kernel, fake_device(), &value),
			 GCL_MOVE_PROGRAM);
	compiled_more = 0;
	local_used = number_of(CL_DEVICE_LOCAL_MEM_SIZE) + 1;
	assert_int_equal(gcl_kernel_check(kernel, device, kernel, fake_device(), &value),
			 GCL_MOVE_LIMIT);
	assert_int_equal(value, CL_DEVICE_LOCAL_MEM_SIZE);
	local_used = UINT64_MAX;
	clReleaseKernel(kernel);
	clReleaseKernel(other);
}

static void buffers(void **state)
{
	struct gcl_mem_wanted wanted = {.type = CL_MEM_OBJECT_BUFFER};
	uint64_t value;

	(void)state;
	fake.name = 0;
	wanted.size = number_of(CL_DEVICE_MAX_MEM_ALLOC_SIZE);
	assert_int_equal(gcl_mem_check(context, device, &wanted, &value), GCL_MOVE_DONE);
	fake_number(CL_DEVICE_MAX_MEM_ALLOC_SIZE, wanted.size - 1);
	assert_int_equal(gcl_mem_check(context, fake_device(), &wanted, &value), GCL_MOVE_SIZE);
	assert_int_equal(value, wanted.size);
}

static void image_objects(void **state)
{
	struct gcl_mem_wanted wanted = {
		.type = CL_MEM_OBJECT_IMAGE2D_ARRAY,
		.size = 4 * 4 * 4 * 4,
		.extent = {4, 4, 4},
		.format = {CL_RGBA, CL_UNORM_INT8},
	};
	uint64_t value;

	(void)state;
	if (!number_of(CL_DEVICE_IMAGE_SUPPORT))
		skip();
	fake.name = 0;
	assert_int_equal(gcl_mem_check(context, fake_device(), &wanted, &value), GCL_MOVE_DONE);
	fake_number(CL_DEVICE_IMAGE_MAX_ARRAY_SIZE, 3);
	assert_int_equal(gcl_mem_check(context, fake_device(), &wanted, &value), GCL_MOVE_SIZE);
	wanted.extent[2] = 1;
	wanted.type = CL_MEM_OBJECT_IMAGE2D;
	wanted.flags = CL_MEM_WRITE_ONLY | CL_MEM_ALLOC_HOST_PTR;
	assert_int_equal(gcl_mem_check(context, fake_device(), &wanted, &value), GCL_MOVE_DONE);
	wanted.format.image_channel_data_type = CL_UNORM_SHORT_565;
	assert_int_equal(gcl_mem_check(context, fake_device(), &wanted, &value), GCL_MOVE_FORMAT);
}

/* All that is checked, of a device and one that is the same. */
static void pair_check(cl_device_id here, cl_device_id there)
{
	static const char source[] = "__attribute__((reqd_work_group_size(4, 2, 1)))\n"
				     "__kernel void k(__global int *a, __local int *b)\n"
				     "{ __local int c[4]; c[0] = b[0] = 1; *a = c[0]; }";
	struct gcl_mem_wanted wanted = {.type = CL_MEM_OBJECT_IMAGE2D,
					.size = 64,
					.extent = {4, 4, 1},
					.format = {CL_RGBA, CL_UNORM_INT8}};
	cl_context contexts[] = {clCreateContext(NULL, 1, &here, NULL, NULL, NULL),
				 clCreateContext(NULL, 1, &there, NULL, NULL, NULL)};
	cl_kernel pair[] = {kernel_new(contexts[0], here, source),
			    kernel_new(contexts[1], there, source)};
	uint64_t value = 0;

	assert_int_equal(gcl_device_check(here, there, &value), GCL_MOVE_DONE);
	assert_int_equal(clSetKernelArg(pair[0], 1, 1024, NULL), CL_SUCCESS);
	assert_int_equal(gcl_kernel_check(pair[0], here, pair[1], there, &value), GCL_MOVE_DONE);
	if (number_of(CL_DEVICE_IMAGE_SUPPORT))
		assert_int_equal(gcl_mem_check(contexts[1], there, &wanted, &value), GCL_MOVE_DONE);
	for (int i = 0; i < 2; i++) {
		clReleaseKernel(pair[i]);
		clReleaseContext(contexts[i]);
	}
}

/* With every device of the same name that the loader has, such as this one through guestcl. */
static void all_platforms(void **state)
{
	char wanted[256] = "", name[256] = "";
	cl_platform_id platforms[16];
	cl_device_id found;
	cl_uint count = 0;

	(void)state;
	fake.name = 0;
	clGetDeviceInfo(device, CL_DEVICE_NAME, sizeof wanted, wanted, NULL);
	clGetPlatformIDs(16, platforms, &count);
	for (cl_uint i = 0; i < GCL_MIN(count, 16u); i++) {
		if (clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 1, &found, NULL))
			continue;
		clGetDeviceInfo(found, CL_DEVICE_NAME, sizeof name, name, NULL);
		if (strcmp(name, wanted) != 0)
			continue;
		print_message("platform %u\n", i);
		pair_check(device, found);
		pair_check(found, device);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(same),
		cmocka_unit_test(truths),
		cmocka_unit_test(limits),
		cmocka_unit_test(images),
		cmocka_unit_test(numbers_as_texts),
		cmocka_unit_test(extensions),
		cmocka_unit_test(lists),
		cmocka_unit_test(precision),
		cmocka_unit_test(kernels),
		cmocka_unit_test(buffers),
		cmocka_unit_test(image_objects),
		cmocka_unit_test(all_platforms),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
