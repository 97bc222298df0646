// SPDX-License-Identifier: MIT
/*
 * What shared virtual memory costs: allocating and freeing, mapping to read and to write, copying,
 * and kernels with a pointer. Runs on any OpenCL platform, the first one's first device.
 *
 * Prints "name value unit" lines. --seconds says how long each measurement may take.
 */
#define CL_TARGET_OPENCL_VERSION 200
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char source[] = "kernel void add(global int *data) { data[get_global_id(0)] += 1; }\n";

static double seconds = 0.3;
static cl_context context;
static cl_command_queue queue;
static cl_kernel kernel;
static char *memory; /* the program's */
static char *shared; /* what is measured */
static size_t size;

static double now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void require(cl_int status, const char *what)
{
	if (status != CL_SUCCESS) {
		fprintf(stderr, "%s: %d\n", what, status);
		exit(1);
	}
}

static char *allocated(void)
{
	char *made = clSVMAlloc(context, CL_MEM_READ_WRITE, size, 0);

	require(made ? CL_SUCCESS : CL_OUT_OF_RESOURCES, "clSVMAlloc");
	return made;
}

static void alloc_once(void)
{
	clSVMFree(context, allocated());
}

static void map_once(cl_map_flags flags)
{
	require(clEnqueueSVMMap(queue, CL_TRUE, flags, shared, size, 0, NULL, NULL),
		"clEnqueueSVMMap");
	require(clEnqueueSVMUnmap(queue, shared, 0, NULL, NULL), "clEnqueueSVMUnmap");
	require(clFinish(queue), "clFinish");
}

static void map_read_once(void)
{
	map_once(CL_MAP_READ);
}

static void map_write_once(void)
{
	map_once(CL_MAP_WRITE);
}

static void map_overwrite_once(void)
{
	map_once(CL_MAP_WRITE_INVALIDATE_REGION);
}

static void copy_to_once(void)
{
	require(clEnqueueSVMMemcpy(queue, CL_TRUE, shared, memory, size, 0, NULL, NULL),
		"clEnqueueSVMMemcpy");
}

static void copy_from_once(void)
{
	require(clEnqueueSVMMemcpy(queue, CL_TRUE, memory, shared, size, 0, NULL, NULL),
		"clEnqueueSVMMemcpy");
}

static void copy_within_once(void)
{
	require(clEnqueueSVMMemcpy(queue, CL_TRUE, shared, shared + size / 2, size / 2, 0, NULL,
				   NULL),
		"clEnqueueSVMMemcpy");
}

static void kernel_once(void)
{
	const size_t items = size / sizeof(int);

	require(clSetKernelArgSVMPointer(kernel, 0, shared), "clSetKernelArgSVMPointer");
	require(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &items, NULL, 0, NULL, NULL),
		"clEnqueueNDRangeKernel");
	require(clFinish(queue), "clFinish");
}

static void measure(const char *name, void (*once)(void))
{
	double start, took;
	unsigned count = 0;

	once();
	start = now();
	do {
		once();
		count++;
		took = now() - start;
	} while (took < seconds);
	printf("svm.%s_%zuKiB %.4g us\n", name, size >> 10, took / count * 1e6);
	fflush(stdout);
}

static void kernel_make(cl_device_id device)
{
	const char *text = source;
	cl_int status;
	cl_program program = clCreateProgramWithSource(context, 1, &text, NULL, &status);

	require(status, "clCreateProgramWithSource");
	require(clBuildProgram(program, 1, &device, "", NULL, NULL), "clBuildProgram");
	kernel = clCreateKernel(program, "add", &status);
	require(status, "clCreateKernel");
	clReleaseProgram(program);
}

static void measure_all(void)
{
	shared = allocated();
	memory = calloc(1, size);
	require(memory ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY, "calloc");
	memset(memory, 1, size);
	copy_to_once();
	measure("alloc_free", alloc_once);
	measure("map_read", map_read_once);
	measure("map_write", map_write_once);
	measure("map_overwrite", map_overwrite_once);
	measure("copy_to", copy_to_once);
	measure("copy_from", copy_from_once);
	measure("copy_within", copy_within_once);
	measure("kernel_finish", kernel_once);
	free(memory);
	clSVMFree(context, shared);
}

int main(int argc, char **argv)
{
	cl_platform_id platform;
	cl_device_id device;
	cl_int status;

	if (argc == 3 && strcmp(argv[1], "--seconds") == 0)
		seconds = atof(argv[2]);
	require(clGetPlatformIDs(1, &platform, NULL), "clGetPlatformIDs");
	require(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL), "clGetDeviceIDs");
	context = clCreateContext(NULL, 1, &device, NULL, NULL, &status);
	require(status, "clCreateContext");
	queue = clCreateCommandQueue(context, device, 0, &status);
	require(status, "clCreateCommandQueue");
	kernel_make(device);
	for (size = 4 << 10; size <= 64 << 20; size *= 128)
		measure_all();
	clReleaseKernel(kernel);
	clReleaseCommandQueue(queue);
	clReleaseContext(context);
	return 0;
}
