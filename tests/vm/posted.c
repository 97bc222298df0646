/* SPDX-License-Identifier: MIT */
/*
 * How often a guest's program disturbs the host while it posts commands: the driver's counters
 * before and after bursts of them. A posted command takes no system call of its own and no exit of
 * the VM's: the doorbell is rung for a worker that sleeps, once.
 *
 * Prints a line in JSON. Ends with 1 if no burst was posted with at most one doorbell.
 */
#include <CL/cl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "virtio_cl.h"

#define BURSTS 100
#define POSTS  256

static const char source[] = "kernel void nothing(global int *a) { a[0] = 1; }";

static void must(cl_int status, const char *what)
{
	if (status == CL_SUCCESS)
		return;
	fprintf(stderr, "posted: %s: error %d\n", what, status);
	exit(2);
}

/* The session's file, which the library has opened. */
static int session_file(void)
{
	char path[64], target[64];

	for (int fd = 0; fd < 1024; fd++) {
		ssize_t n;

		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		n = readlink(path, target, sizeof target - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		if (strcmp(target, "/dev/virtio-cl") == 0)
			return fd;
	}
	fputs("posted: no session of /dev/virtio-cl is open\n", stderr);
	exit(2);
}

static struct virtio_cl_ioc_counters counters(int fd)
{
	struct virtio_cl_ioc_counters now;

	if (ioctl(fd, VIRTIO_CL_IOC_COUNTERS, &now) == 0)
		return now;
	perror("posted: VIRTIO_CL_IOC_COUNTERS");
	exit(2);
}

static cl_kernel kernel_make(cl_context context, cl_device_id device)
{
	const char *text = source;
	cl_int status;
	cl_program program = clCreateProgramWithSource(context, 1, &text, NULL, &status);
	cl_mem buffer;
	cl_kernel kernel;

	must(status, "program");
	must(clBuildProgram(program, 1, &device, "", NULL, NULL), "build");
	kernel = clCreateKernel(program, "nothing", &status);
	must(status, "kernel");
	buffer = clCreateBuffer(context, CL_MEM_READ_WRITE, sizeof(cl_int), NULL, &status);
	must(status, "buffer");
	must(clSetKernelArg(kernel, 0, sizeof buffer, &buffer), "argument");
	return kernel;
}

static void burst(cl_command_queue queue, cl_kernel kernel)
{
	const size_t one = 1;

	for (int i = 0; i < POSTS; i++)
		must(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &one, NULL, 0, NULL, NULL),
		     "enqueue");
}

int main(void)
{
	unsigned long long least = POSTS, sum = 0, quiet = 0, requests = 0;
	cl_platform_id platform;
	cl_device_id device;
	cl_command_queue queue;
	cl_context context;
	cl_kernel kernel;
	cl_int status;
	int fd;

	must(clGetPlatformIDs(1, &platform, NULL), "platform");
	must(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL), "device");
	context = clCreateContext(NULL, 1, &device, NULL, NULL, &status);
	must(status, "context");
	queue = clCreateCommandQueueWithProperties(context, device, NULL, &status);
	must(status, "queue");
	kernel = kernel_make(context, device);
	burst(queue, kernel);
	must(clFinish(queue), "finish");
	fd = session_file();
	for (int i = 0; i < BURSTS; i++) {
		struct virtio_cl_ioc_counters before = counters(fd), after;
		unsigned long long rung;

		burst(queue, kernel);
		after = counters(fd);
		must(clFinish(queue), "finish");
		rung = after.doorbells - before.doorbells;
		requests += after.requests - before.requests;
		least = rung < least ? rung : least;
		quiet += rung <= 1;
		sum += rung;
	}
	printf("{\"posts\": %d, \"doorbells\": %llu, \"requests\": %llu, \"bursts\": %d, "
	       "\"bursts_with_at_most_one\": %llu, \"least\": %llu}\n",
	       BURSTS * POSTS, sum, requests, BURSTS, quiet, least);
	return least > 1 || requests ? 1 : 0;
}
