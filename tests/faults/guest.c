// SPDX-License-Identifier: MIT
/*
 * A guest program for what happens around it, or because of it.
 *
 * guest devices         count platforms and devices
 * guest work            for each line on stdin, run a kernel and check what it did
 * guest build           for each line on stdin, build and run a program that no cache has
 * guest spin            leave a kernel running and a large buffer filled, and wait for stdin
 * guest wild            run a kernel that writes where nothing is
 * guest trap            run a kernel that traps
 * guest mapped          map a buffer, wait for a line on stdin and for the loss of the host, and
 *                       only then touch the buffer
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"

#define ITEMS 1024u

static int mode_devices(void)
{
	cl_platform_id platforms[16];
	cl_uint platform_count = 0, device_count = 0;
	cl_int err = clGetPlatformIDs(16, platforms, &platform_count);

	if (err)
		platform_count = 0;
	for (cl_uint i = 0; i < platform_count && i < 16; i++) {
		cl_uint count = 0;

		if (clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 0, NULL, &count) == CL_SUCCESS)
			device_count += count;
	}
	say("devices %u", device_count);
	return EXIT_SUCCESS;
}

/* Runs "add" of @program over the buffer. Return: the first error, or 1 for a wrong result. */
static cl_int add_run(struct fixture *f, cl_program program, cl_uint value)
{
	cl_uint *data = (cl_uint *)(void *)f->memory;
	size_t items = ITEMS;
	cl_kernel kernel;
	cl_int err, wrong = 0;

	kernel = clCreateKernel(program, "add", &err);
	if (err)
		return err;
	for (cl_uint i = 0; i < ITEMS; i++)
		data[i] = i;
	err = clEnqueueWriteBuffer(f->queue, f->buffer, CL_FALSE, 0, ITEMS * sizeof *data, data, 0,
				   NULL, NULL);
	if (!err)
		err = clSetKernelArg(kernel, 0, sizeof(cl_mem), &f->buffer);
	if (!err)
		err = clSetKernelArg(kernel, 1, sizeof value, &value);
	if (!err)
		err = clEnqueueNDRangeKernel(f->queue, kernel, 1, NULL, &items, NULL, 0, NULL,
					     NULL);
	if (!err)
		err = clEnqueueReadBuffer(f->queue, f->buffer, CL_TRUE, 0, ITEMS * sizeof *data,
					  data, 0, NULL, NULL);
	clReleaseKernel(kernel);
	for (cl_uint i = 0; !err && i < ITEMS; i++)
		wrong |= data[i] != i + value;
	return err ? err : wrong;
}

static cl_int build_run(struct fixture *f)
{
	struct timespec now;
	char *text = NULL;
	const char *source;
	cl_program program;
	cl_int err;

	clock_gettime(CLOCK_REALTIME, &now);
	if (asprintf(&text, "%skernel void k%d_%ld(global int *a) { a[0] = %ld; }\n",
		     fixture_source, (int)getpid(), now.tv_nsec, now.tv_nsec) < 0)
		return CL_OUT_OF_HOST_MEMORY;
	source = text;
	program = clCreateProgramWithSource(f->context, 1, &source, NULL, &err);
	free(text);
	if (err)
		return err;
	err = clBuildProgram(program, 0, NULL, "", NULL, NULL);
	if (!err)
		err = add_run(f, program, 7);
	clReleaseProgram(program);
	return err;
}

static int mode_lines(struct fixture *f, bool build)
{
	char line[64];
	cl_uint value = 1;

	say("prepared");
	while (fgets(line, sizeof line, stdin))
		say("worked %d", build ? build_run(f) : add_run(f, f->program, value++));
	fixture_release(f);
	return EXIT_SUCCESS;
}

static int mode_spin(struct fixture *f)
{
	must("clEnqueueWriteBuffer", clEnqueueWriteBuffer(f->queue, f->buffer, CL_TRUE, 0,
							  BUFFER_SIZE, f->memory, 0, NULL, NULL));
	must("clEnqueueTask", clEnqueueTask(f->queue, f->kernel, 0, NULL, NULL));
	must("clFlush", clFlush(f->queue));
	say("prepared");
	hear();
	return EXIT_SUCCESS;
}

#define LOSS_TRIES 200
#define LOSS_NS	   100000000L

static int mode_mapped(struct fixture *f)
{
	cl_int err;
	char *mapped = clEnqueueMapBuffer(f->queue, f->buffer, CL_TRUE, CL_MAP_WRITE, 0,
					  BUFFER_SIZE, 0, NULL, NULL, &err);

	must("clEnqueueMapBuffer", err);
	say("prepared");
	hear();
	for (int i = 0; i < LOSS_TRIES && !err; i++) {
		nanosleep(&(struct timespec){0, LOSS_NS}, NULL);
		err = clEnqueueMarkerWithWaitList(f->queue, 0, NULL, NULL);
		if (!err)
			err = clFinish(f->queue);
	}
	say("returned clFinish %d", err);
	/* So that the host's side and the driver are done with it, too. */
	sleep(1);
	memset(mapped, 7, BUFFER_SIZE);
	say("touched %d", mapped[BUFFER_SIZE - 1]);
	say("returned clEnqueueUnmapMemObject %d",
	    clEnqueueUnmapMemObject(f->queue, f->buffer, mapped, 0, NULL, NULL));
	fixture_release(f);
	return EXIT_SUCCESS;
}

static int mode_crash(struct fixture *f, const char *name)
{
	size_t items = ITEMS;
	cl_ulong offset = 1ull << 44;
	cl_int value = 12345, err;
	cl_kernel kernel = clCreateKernel(f->program, name, &err);
	bool wild = strcmp(name, "wild") == 0;

	must("clCreateKernel", err);
	must("clSetKernelArg", clSetKernelArg(kernel, 0, sizeof(cl_mem), &f->buffer));
	must("clSetKernelArg", clSetKernelArg(kernel, 1, wild ? sizeof offset : sizeof value,
					      wild ? (void *)&offset : (void *)&value));
	must("clEnqueueNDRangeKernel",
	     clEnqueueNDRangeKernel(f->queue, kernel, 1, NULL, &items, NULL, 0, NULL, NULL));
	say("entering clFinish");
	say("returned clFinish %d", clFinish(f->queue));
	say("later clFinish %d", clFinish(f->queue));
	clReleaseKernel(kernel);
	fixture_release(f);
	say("ends");
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	const char *mode = argc == 2 ? argv[1] : "";
	struct fixture fixture;

	if (strcmp(mode, "devices") == 0)
		return mode_devices();
	fixture_init(&fixture);
	if (strcmp(mode, "work") == 0 || strcmp(mode, "build") == 0)
		return mode_lines(&fixture, mode[0] == 'b');
	if (strcmp(mode, "spin") == 0)
		return mode_spin(&fixture);
	if (strcmp(mode, "mapped") == 0)
		return mode_mapped(&fixture);
	if (strcmp(mode, "wild") == 0 || strcmp(mode, "trap") == 0)
		return mode_crash(&fixture, mode);
	return 2;
}
