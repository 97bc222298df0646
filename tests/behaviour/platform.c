/* SPDX-License-Identifier: MIT */
/*
 * Platforms, and finding devices on them.
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>

INFO_QUERY(clGetPlatformInfo, cl_platform_id)

static const struct info platform_infos[] = {
	INFO(CL_PLATFORM_PROFILE, INFO_TEXT),
	INFO(CL_PLATFORM_VERSION, INFO_TEXT),
	INFO(CL_PLATFORM_NAME, INFO_TEXT),
	INFO(CL_PLATFORM_VENDOR, INFO_TEXT),
	INFO(CL_PLATFORM_EXTENSIONS, INFO_TEXT),
	INFO(CL_PLATFORM_NUMERIC_VERSION, INFO_BITS),
	INFO(CL_PLATFORM_HOST_TIMER_RESOLUTION, INFO_ULONG),
};

static const struct {
	cl_device_type type;
	const char *name;
} device_types[] = {
	{CL_DEVICE_TYPE_DEFAULT, "default"},
	{CL_DEVICE_TYPE_CPU, "cpu"},
	{CL_DEVICE_TYPE_GPU, "gpu"},
	{CL_DEVICE_TYPE_ACCELERATOR, "accelerator"},
	{CL_DEVICE_TYPE_CUSTOM, "custom"},
	{CL_DEVICE_TYPE_CPU | CL_DEVICE_TYPE_GPU, "cpu and gpu"},
	{CL_DEVICE_TYPE_GPU | CL_DEVICE_TYPE_ACCELERATOR, "gpu and accelerator"},
	{CL_DEVICE_TYPE_ALL, "all"},
	/* As where an int of all bits becomes longer. */
	{~(cl_device_type)0, "all, of 64 bits"},
};

static void platforms_check(void)
{
	cl_platform_id platforms[8];
	cl_uint count = 0;

	check_code("count", clGetPlatformIDs(0, NULL, &count));
	check_number("number of platforms", count);
	check_code("all", clGetPlatformIDs(ARRAY_SIZE(platforms), platforms, NULL));
	wrong_code("platforms with 0 entries", clGetPlatformIDs(0, platforms, NULL));
	wrong_code("platforms, nothing asked", clGetPlatformIDs(0, NULL, NULL));
}

static void version_check(const struct fixture *fix)
{
	char text[512] = "";
	unsigned major = 0;
	unsigned minor = 0;

	MUST(clGetPlatformInfo(fix->platform, CL_PLATFORM_VERSION, sizeof(text), text, NULL));
	check_number("version parts", (unsigned)sscanf(text, "OpenCL %u.%u ", &major, &minor));
	check_yes("version is 1.2 or later", major * 100 + minor >= 102);
	MUST(clGetPlatformInfo(fix->platform, CL_PLATFORM_EXTENSIONS, sizeof(text), text, NULL));
	check_yes("extensions name the ICD", strstr(text, "cl_khr_icd") != NULL);
	MUST(clGetPlatformInfo(fix->platform, CL_PLATFORM_NAME, sizeof(text), text, NULL));
	check_yes("name is not empty", text[0] != '\0');
}

static void devices_check(const struct fixture *fix)
{
	cl_device_id devices[8];
	cl_uint count;

	for (size_t i = 0; i < ARRAY_SIZE(device_types); i++) {
		count = 77;
		check_code(named("devices of type %s", device_types[i].name),
			   clGetDeviceIDs(fix->platform, device_types[i].type, 8, devices, &count));
		check_number(named("number of devices of type %s", device_types[i].name), count);
	}
	MUST(clGetDeviceIDs(fix->platform, CL_DEVICE_TYPE_ALL, 1, devices, NULL));
	check_yes("the same device each time", devices[0] == fix->device);
}

static void devices_wrong(const struct fixture *fix)
{
	cl_device_id device;
	cl_uint count;

	wrong_code("devices of type 0", clGetDeviceIDs(fix->platform, 0, 1, &device, &count));
	wrong_code("devices of unknown type",
		   clGetDeviceIDs(fix->platform, 1 << 20, 1, &device, &count));
	wrong_code("devices with 0 entries",
		   clGetDeviceIDs(fix->platform, CL_DEVICE_TYPE_ALL, 0, &device, &count));
	wrong_code("devices, nothing asked",
		   clGetDeviceIDs(fix->platform, CL_DEVICE_TYPE_ALL, 0, NULL, NULL));
	wrong_code("devices, entries without room",
		   clGetDeviceIDs(fix->platform, CL_DEVICE_TYPE_ALL, 1, NULL, NULL));
}

static void functions_check(const struct fixture *fix)
{
	check_code("unload compiler", clUnloadCompiler());
	check_code("unload platform compiler", clUnloadPlatformCompiler(fix->platform));
	wrong_code("unload compiler of NULL", clUnloadPlatformCompiler(NULL));
	check_yes("function of an unknown name",
		  clGetExtensionFunctionAddressForPlatform(fix->platform, "clGuestNonsense"));
	check_yes("function of an unknown name, any platform",
		  clGetExtensionFunctionAddress("clGuestNonsense"));
}

int main(void)
{
	struct fixture fix;

	transcript_begin("platform");
	platforms_check();
	fixture_open(&fix);
	check_infos("info", query_clGetPlatformInfo, fix.platform, platform_infos,
		    ARRAY_SIZE(platform_infos));
	wrong_infos("platform", query_clGetPlatformInfo, fix.platform, CL_PLATFORM_NAME, false);
	version_check(&fix);
	devices_check(&fix);
	devices_wrong(&fix);
	functions_check(&fix);
	fixture_close(&fix);
	return transcript_end();
}
