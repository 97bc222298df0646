/* SPDX-License-Identifier: MIT */
/*
 * Renders a picture on an OpenCL device and writes it as PNG.
 *
 * It knows nothing of guestcl: it is linked to libOpenCL and uses OpenCL 1.2 as any program does.
 */
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include <png.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "picture.cl.h"

#define DEVICES_MAX 64
#define SAMPLES_MAX 256

struct options {
	const char *file;
	int device; /* index over all platforms' devices, -1: the first GPU, else the first */
	int width, height, samples;
};

struct renderer {
	cl_device_id device;
	cl_context context;
	cl_command_queue queue;
	cl_program program;
	cl_kernel render, develop;
	cl_mem sum, rgb;
};

static void check(cl_int status, const char *what)
{
	if (status == CL_SUCCESS)
		return;
	fprintf(stderr, "picture: %s failed: %d\n", what, status);
	exit(1);
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static cl_uint devices_list(cl_device_id *devices)
{
	cl_platform_id platforms[DEVICES_MAX];
	cl_uint n_platforms = 0, n = 0, found;

	if (clGetPlatformIDs(DEVICES_MAX, platforms, &n_platforms) != CL_SUCCESS)
		return 0;
	for (cl_uint i = 0; i < n_platforms && i < DEVICES_MAX && n < DEVICES_MAX; i++) {
		if (clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, DEVICES_MAX - n, devices + n,
				   &found) != CL_SUCCESS)
			continue;
		n = found < DEVICES_MAX - n ? n + found : DEVICES_MAX;
	}
	return n;
}

static cl_device_id device_choose(int wanted)
{
	cl_device_id devices[DEVICES_MAX];
	cl_uint n = devices_list(devices);
	cl_device_type type;

	if (n == 0 || wanted >= (int)n) {
		fprintf(stderr, "picture: no such OpenCL device (%u found)\n", n);
		exit(1);
	}
	if (wanted >= 0)
		return devices[wanted];
	for (cl_uint i = 0; i < n; i++) {
		check(clGetDeviceInfo(devices[i], CL_DEVICE_TYPE, sizeof type, &type, NULL),
		      "clGetDeviceInfo");
		if (type & CL_DEVICE_TYPE_GPU)
			return devices[i];
	}
	return devices[0];
}

static void device_print(cl_device_id device)
{
	char name[256] = "", platform_name[256] = "";
	cl_platform_id platform;

	check(clGetDeviceInfo(device, CL_DEVICE_NAME, sizeof name, name, NULL), "CL_DEVICE_NAME");
	check(clGetDeviceInfo(device, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL),
	      "CL_DEVICE_PLATFORM");
	check(clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof platform_name, platform_name,
				NULL),
	      "CL_PLATFORM_NAME");
	printf("platform: %s\ndevice:   %s\n", platform_name, name);
	fflush(stdout);
}

static void program_build(struct renderer *r)
{
	static char log[65536];
	const char *source = picture_cl;
	const size_t length = sizeof picture_cl - 1;
	cl_int status;

	r->program = clCreateProgramWithSource(r->context, 1, &source, &length, &status);
	check(status, "clCreateProgramWithSource");
	status = clBuildProgram(r->program, 1, &r->device, "-cl-std=CL1.2", NULL, NULL);
	if (status != CL_SUCCESS) {
		clGetProgramBuildInfo(r->program, r->device, CL_PROGRAM_BUILD_LOG, sizeof log - 1,
				      log, NULL);
		fprintf(stderr, "%s\n", log);
	}
	check(status, "clBuildProgram");
}

static void renderer_init(struct renderer *r, const struct options *o)
{
	const size_t pixels = (size_t)o->width * (size_t)o->height;
	const cl_float4 black = {{0}};
	cl_int status;

	r->context = clCreateContext(NULL, 1, &r->device, NULL, NULL, &status);
	check(status, "clCreateContext");
	r->queue = clCreateCommandQueue(r->context, r->device, CL_QUEUE_PROFILING_ENABLE, &status);
	check(status, "clCreateCommandQueue");
	program_build(r);
	r->render = clCreateKernel(r->program, "render", &status);
	check(status, "clCreateKernel render");
	r->develop = clCreateKernel(r->program, "develop", &status);
	check(status, "clCreateKernel develop");
	r->sum = clCreateBuffer(r->context, CL_MEM_READ_WRITE, pixels * sizeof(cl_float4), NULL,
				&status);
	check(status, "clCreateBuffer");
	r->rgb = clCreateBuffer(r->context, CL_MEM_WRITE_ONLY, pixels * 3, NULL, &status);
	check(status, "clCreateBuffer");
	check(clEnqueueFillBuffer(r->queue, r->sum, &black, sizeof black, 0,
				  pixels * sizeof(cl_float4), 0, NULL, NULL),
	      "clEnqueueFillBuffer");
}

static void renderer_fini(struct renderer *r)
{
	clReleaseMemObject(r->rgb);
	clReleaseMemObject(r->sum);
	clReleaseKernel(r->develop);
	clReleaseKernel(r->render);
	clReleaseProgram(r->program);
	clReleaseCommandQueue(r->queue);
	clReleaseContext(r->context);
}

/* Where in the pixel sample i lies: the n-th digits of i in base 2 and base 3, mirrored. */
static float mirrored(int i, int base)
{
	float value = 0, step = 1;

	while (i > 0) {
		step /= (float)base;
		value += step * (float)(i % base);
		i /= base;
	}
	return value;
}

static double samples_render(struct renderer *r, const struct options *o)
{
	const size_t global[2] = {((size_t)o->width + 15) / 16 * 16,
				  ((size_t)o->height + 15) / 16 * 16};
	const size_t local[2] = {16, 4};
	cl_event events[SAMPLES_MAX];
	double device_seconds = 0;
	cl_ulong start, end;

	check(clSetKernelArg(r->render, 0, sizeof r->sum, &r->sum), "clSetKernelArg");
	check(clSetKernelArg(r->render, 1, sizeof(cl_int), &o->width), "clSetKernelArg");
	check(clSetKernelArg(r->render, 2, sizeof(cl_int), &o->height), "clSetKernelArg");
	for (int i = 0; i < o->samples; i++) {
		const cl_float2 jitter = {{mirrored(i + 1, 2), mirrored(i + 1, 3)}};

		check(clSetKernelArg(r->render, 3, sizeof jitter, &jitter), "clSetKernelArg");
		check(clEnqueueNDRangeKernel(r->queue, r->render, 2, NULL, global, local, 0, NULL,
					     &events[i]),
		      "clEnqueueNDRangeKernel");
	}
	check(clFinish(r->queue), "clFinish");
	for (int i = 0; i < o->samples; i++) {
		check(clGetEventProfilingInfo(events[i], CL_PROFILING_COMMAND_START, sizeof start,
					      &start, NULL),
		      "CL_PROFILING_COMMAND_START");
		check(clGetEventProfilingInfo(events[i], CL_PROFILING_COMMAND_END, sizeof end, &end,
					      NULL),
		      "CL_PROFILING_COMMAND_END");
		device_seconds += 1e-9 * (double)(end - start);
		clReleaseEvent(events[i]);
	}
	return device_seconds;
}

static void picture_read(struct renderer *r, const struct options *o, png_bytep rgb)
{
	const size_t global[2] = {(size_t)o->width, (size_t)o->height};

	check(clSetKernelArg(r->develop, 0, sizeof r->sum, &r->sum), "clSetKernelArg");
	check(clSetKernelArg(r->develop, 1, sizeof r->rgb, &r->rgb), "clSetKernelArg");
	check(clSetKernelArg(r->develop, 2, sizeof(cl_int), &o->width), "clSetKernelArg");
	check(clSetKernelArg(r->develop, 3, sizeof(cl_int), &o->height), "clSetKernelArg");
	check(clEnqueueNDRangeKernel(r->queue, r->develop, 2, NULL, global, NULL, 0, NULL, NULL),
	      "clEnqueueNDRangeKernel");
	check(clEnqueueReadBuffer(r->queue, r->rgb, CL_TRUE, 0, global[0] * global[1] * 3, rgb, 0,
				  NULL, NULL),
	      "clEnqueueReadBuffer");
}

static void picture_write(const struct options *o, png_bytep rgb)
{
	png_image image = {
		.version = PNG_IMAGE_VERSION,
		.width = (png_uint_32)o->width,
		.height = (png_uint_32)o->height,
		.format = PNG_FORMAT_RGB,
	};

	if (!png_image_write_to_file(&image, o->file, 0, rgb, 0, NULL)) {
		fprintf(stderr, "picture: %s: %s\n", o->file, image.message);
		exit(1);
	}
}

/* The number at the front of text, and in end where it ends; 0 if there is none or it is too big.
 */
static int number_parse(const char *text, char **end)
{
	long value = strtol(text, end, 10);

	return value >= 0 && value <= 16384 ? (int)value : 0;
}

static bool option_parse(struct options *o, int option, const char *text)
{
	char *end;

	if (option == 'd')
		o->device = number_parse(text, &end);
	else if (option == 's')
		o->samples = number_parse(text, &end);
	else if (option == 'g')
		o->width = number_parse(text, &end);
	else
		return false;
	if (option == 'g' && *end == 'x')
		o->height = number_parse(end + 1, &end);
	return end != text && *end == 0;
}

static bool options_parse(struct options *o, int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "d:g:s:")) != -1) {
		if (!option_parse(o, option, optarg))
			return false;
	}
	if (optind < argc)
		o->file = argv[optind];
	return o->samples > 0 && o->samples <= SAMPLES_MAX && o->width > 0 && o->height > 0;
}

int main(int argc, char **argv)
{
	struct options o = {
		.file = "picture.png", .device = -1, .width = 1280, .height = 720, .samples = 4};
	struct renderer r = {0};
	double begin = seconds_now(), device_seconds;
	png_bytep rgb;

	if (!options_parse(&o, argc, argv)) {
		fprintf(stderr,
			"usage: picture [-d DEVICE] [-g WIDTHxHEIGHT] [-s SAMPLES] [FILE.png]\n");
		return 2;
	}
	rgb = calloc((size_t)o.width * (size_t)o.height, 3);
	if (!rgb) {
		fprintf(stderr, "picture: out of memory\n");
		return 1;
	}
	r.device = device_choose(o.device);
	device_print(r.device);
	renderer_init(&r, &o);
	device_seconds = samples_render(&r, &o);
	picture_read(&r, &o, rgb);
	renderer_fini(&r);
	picture_write(&o, rgb);
	free(rgb);
	printf("time:     %.2f s on the device, %.2f s in all\n", device_seconds,
	       seconds_now() - begin);
	printf("picture:  %s (%dx%d, %d samples)\n", o.file, o.width, o.height, o.samples);
	return 0;
}
