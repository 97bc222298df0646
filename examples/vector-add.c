/* SPDX-License-Identifier: MIT */
/*
 * The smallest whole OpenCL program: adds two vectors on the first device and checks the sum.
 */
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include <stdio.h>
#include <stdlib.h>

#define COUNT 1024

static const char *source = "__kernel void add(__global const int *a, __global const int *b,\n"
			    "		  __global int *sum)\n"
			    "{\n"
			    "	size_t i = get_global_id(0);\n"
			    "\n"
			    "	sum[i] = a[i] + b[i];\n"
			    "}\n";

static void check(cl_int status, const char *what)
{
	if (status == CL_SUCCESS)
		return;
	fprintf(stderr, "vector-add: %s failed: %d\n", what, status);
	exit(1);
}

static cl_mem buffer_from(cl_context context, const cl_int *values)
{
	cl_int status;
	cl_mem buffer = clCreateBuffer(context, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR,
				       COUNT * sizeof *values, (void *)values, &status);

	check(status, "clCreateBuffer");
	return buffer;
}

static void add(cl_context context, cl_device_id device, cl_mem a, cl_mem b, cl_int *sum)
{
	const size_t global = COUNT;
	cl_int status;
	cl_command_queue queue = clCreateCommandQueue(context, device, 0, &status);
	cl_program program = clCreateProgramWithSource(context, 1, &source, NULL, NULL);
	cl_mem c = clCreateBuffer(context, CL_MEM_WRITE_ONLY, COUNT * sizeof *sum, NULL, NULL);
	cl_kernel kernel;

	check(status, "clCreateCommandQueue");
	check(clBuildProgram(program, 1, &device, "", NULL, NULL), "clBuildProgram");
	kernel = clCreateKernel(program, "add", &status);
	check(status, "clCreateKernel");
	check(clSetKernelArg(kernel, 0, sizeof a, &a), "clSetKernelArg a");
	check(clSetKernelArg(kernel, 1, sizeof b, &b), "clSetKernelArg b");
	check(clSetKernelArg(kernel, 2, sizeof c, &c), "clSetKernelArg sum");
	check(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &global, NULL, 0, NULL, NULL),
	      "clEnqueueNDRangeKernel");
	check(clEnqueueReadBuffer(queue, c, CL_TRUE, 0, COUNT * sizeof *sum, sum, 0, NULL, NULL),
	      "clEnqueueReadBuffer");
	clReleaseKernel(kernel);
	clReleaseMemObject(c);
	clReleaseProgram(program);
	clReleaseCommandQueue(queue);
}

int main(void)
{
	cl_int a[COUNT], b[COUNT], sum[COUNT], status;
	cl_platform_id platform;
	cl_device_id device;
	cl_context context;
	cl_mem buffer_a, buffer_b;

	for (int i = 0; i < COUNT; i++) {
		a[i] = i;
		b[i] = 2 * i;
	}
	check(clGetPlatformIDs(1, &platform, NULL), "clGetPlatformIDs");
	check(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL), "clGetDeviceIDs");
	context = clCreateContext(NULL, 1, &device, NULL, NULL, &status);
	check(status, "clCreateContext");
	buffer_a = buffer_from(context, a);
	buffer_b = buffer_from(context, b);
	add(context, device, buffer_a, buffer_b, sum);
	clReleaseMemObject(buffer_b);
	clReleaseMemObject(buffer_a);
	clReleaseContext(context);
	for (int i = 0; i < COUNT; i++) {
		if (sum[i] != 3 * i) {
			fprintf(stderr, "vector-add: sum[%d] is %d, not %d\n", i, sum[i], 3 * i);
			return 1;
		}
	}
	printf("%d sums are right\n", COUNT);
	return 0;
}
