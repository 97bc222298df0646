// SPDX-License-Identifier: MIT
/*
 * A guest program that releases nothing: for each line on stdin it makes one of everything, uses
 * it, keeps it, and says "worked CODE"; at the end of stdin it ends with all that it has, with
 * commands under way.
 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#define SIZE ((size_t)1 << 20) /* of the buffer and of the image, bytes */
#define SIDE 512u

static cl_device_id device;

static void CL_CALLBACK nothing(cl_event event, cl_int status, void *data)
{
	(void)event;
	(void)status;
	(void)data;
}

static cl_kernel kernel_make(cl_context context, cl_mem buffer, cl_mem image, cl_int *code)
{
	static const char *source =
		"constant sampler_t s = CLK_FILTER_NEAREST | CLK_ADDRESS_CLAMP;"
		"kernel void add(global uint *a, read_only image2d_t b)"
		"{ a[get_global_id(0)] += read_imageui(b, s, (int2)(0, 0)).x; }";
	cl_program program = clCreateProgramWithSource(context, 1, &source, NULL, code);
	cl_kernel kernel;

	if (*code == CL_SUCCESS)
		*code = clBuildProgram(program, 1, &device, "", NULL, NULL);
	if (*code != CL_SUCCESS)
		return NULL;
	kernel = clCreateKernel(program, "add", code);
	if (*code == CL_SUCCESS)
		*code = clSetKernelArg(kernel, 0, sizeof buffer, &buffer);
	if (*code == CL_SUCCESS)
		*code = clSetKernelArg(kernel, 1, sizeof image, &image);
	return kernel;
}

static cl_int commands_run(cl_context context, cl_command_queue queue, cl_mem buffer, cl_mem image)
{
	static const size_t items = SIDE;
	cl_int code = CL_SUCCESS;
	cl_kernel kernel = kernel_make(context, buffer, image, &code);
	cl_event event, gate;

	if (code == CL_SUCCESS)
		code = clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &items, NULL, 0, NULL,
					      &event);
	if (code == CL_SUCCESS)
		code = clSetEventCallback(event, CL_COMPLETE, nothing, NULL);
	if (code == CL_SUCCESS)
		clEnqueueMapBuffer(queue, buffer, CL_TRUE, CL_MAP_WRITE, 0, SIZE, 0, NULL, NULL,
				   &code);
	if (code != CL_SUCCESS)
		return code;
	/* What waits for this never runs. */
	gate = clCreateUserEvent(context, &code);
	if (code == CL_SUCCESS)
		code = clEnqueueMarkerWithWaitList(queue, 1, &gate, &event);
	return code == CL_SUCCESS ? clFlush(queue) : code;
}

static cl_int all_make(void)
{
	static const cl_image_format format = {CL_RGBA, CL_UNSIGNED_INT8};
	const cl_image_desc desc = {.image_type = CL_MEM_OBJECT_IMAGE2D,
				    .image_width = SIDE,
				    .image_height = SIZE / 4 / SIDE};
	const cl_buffer_region region = {0, SIZE / 2};
	cl_int code;
	cl_context context = clCreateContext(NULL, 1, &device, NULL, NULL, &code);
	cl_command_queue queue = NULL;
	cl_mem buffer = NULL, image = NULL;

	if (code == CL_SUCCESS)
		queue = clCreateCommandQueue(context, device, 0, &code);
	if (code == CL_SUCCESS)
		buffer = clCreateBuffer(context, CL_MEM_READ_WRITE, SIZE, NULL, &code);
	if (code == CL_SUCCESS)
		clCreateSubBuffer(buffer, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
	if (code == CL_SUCCESS)
		image = clCreateImage(context, CL_MEM_READ_ONLY, &format, &desc, NULL, &code);
	if (code == CL_SUCCESS)
		clCreateSampler(context, CL_FALSE, CL_ADDRESS_CLAMP, CL_FILTER_NEAREST, &code);
	return code == CL_SUCCESS ? commands_run(context, queue, buffer, image) : code;
}

int main(void)
{
	cl_platform_id platform;
	char line[64];

	must("clGetPlatformIDs", clGetPlatformIDs(1, &platform, NULL));
	must("clGetDeviceIDs", clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL));
	say("prepared");
	while (fgets(line, sizeof line, stdin))
		say("worked %d", all_make());
	return EXIT_SUCCESS;
}
