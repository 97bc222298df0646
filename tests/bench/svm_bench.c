// SPDX-License-Identifier: MIT
/*
 * What shared virtual memory costs: allocating and freeing, mapping to read and to write, copying,
 * and kernels with a pointer. Runs on any OpenCL platform, the first one's first device.
 *
 * Prints "name value unit" lines. --seconds says how long each measurement may take.
 */
#include "measuring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char source[] = "kernel void add(global int *data) { data[get_global_id(0)] += 1; }\n";

static double seconds = 0.3;
static struct opened opened;
static cl_kernel kernel;
static char *memory; /* the program's */
static char *shared; /* what is measured */
static size_t size;

static char *allocated(void)
{
	char *made = clSVMAlloc(opened.context, CL_MEM_READ_WRITE, size, 0);

	require(made ? CL_SUCCESS : CL_OUT_OF_RESOURCES, "clSVMAlloc");
	return made;
}

static void alloc_once(void)
{
	clSVMFree(opened.context, allocated());
}

static void map_once(cl_map_flags flags)
{
	require(clEnqueueSVMMap(opened.queue, CL_TRUE, flags, shared, size, 0, NULL, NULL),
		"clEnqueueSVMMap");
	require(clEnqueueSVMUnmap(opened.queue, shared, 0, NULL, NULL), "clEnqueueSVMUnmap");
	require(clFinish(opened.queue), "clFinish");
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
	require(clEnqueueSVMMemcpy(opened.queue, CL_TRUE, shared, memory, size, 0, NULL, NULL),
		"clEnqueueSVMMemcpy");
}

static void copy_from_once(void)
{
	require(clEnqueueSVMMemcpy(opened.queue, CL_TRUE, memory, shared, size, 0, NULL, NULL),
		"clEnqueueSVMMemcpy");
}

static void copy_within_once(void)
{
	require(clEnqueueSVMMemcpy(opened.queue, CL_TRUE, shared, shared + size / 2, size / 2, 0,
				   NULL, NULL),
		"clEnqueueSVMMemcpy");
}

static void kernel_once(void)
{
	const size_t items = size / sizeof(int);

	require(clSetKernelArgSVMPointer(kernel, 0, shared), "clSetKernelArgSVMPointer");
	require(clEnqueueNDRangeKernel(opened.queue, kernel, 1, NULL, &items, NULL, 0, NULL, NULL),
		"clEnqueueNDRangeKernel");
	require(clFinish(opened.queue), "clFinish");
}

static void call(void *arg)
{
	((void (**)(void))arg)[0]();
}

static void measure(const char *name, void (*once)(void))
{
	double took = repeated(call, &once, seconds);

	printf("svm.%s_%zuKiB %.4g us\n", name, size >> 10, took * 1e6);
	fflush(stdout);
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
	clSVMFree(opened.context, shared);
}

int main(int argc, char **argv)
{
	seconds = atof(option(argc, argv, "--seconds", "0.3"));
	opened_init(&opened, 0);
	kernel = kernel_built(&opened, source, "add");
	for (size = 4 << 10; size <= 64 << 20; size *= 128)
		measure_all();
	clReleaseKernel(kernel);
	opened_fini(&opened);
	return 0;
}
