// SPDX-License-Identifier: MIT
#include "side.h"

#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

clGuestclOpenPlatform_fn open_platform;
clGuestclPlatformLost_fn platform_lost;
clGuestclClosePlatform_fn close_platform;

static const char *source = "kernel void add(global uint *items, uint added)\n"
			    "{ items[get_global_id(0)] += added; }\n";

void must(const char *what, cl_int code)
{
	if (code == CL_SUCCESS)
		return;
	fprintf(stderr, "%s: %d\n", what, code);
	exit(1);
}

void check(const char *what, bool holds)
{
	if (holds)
		return;
	fprintf(stderr, "%s: it is not so\n", what);
	exit(1);
}

/* ------------------------------------------------------------ the library and the daemon */

void library_load(const char *path)
{
	const char *vendors = getenv("GUESTCL_HOST_VENDORS");
	void *(CL_API_CALL * find)(const char *name);
	void *library;

	setenv("OCL_ICD_VENDORS", vendors ? vendors : "/etc/OpenCL/vendors", 1);
	setenv("GUESTCL_CHANNEL", "none", 1);
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	check("the library loads", library);
	*(void **)&find = dlsym(library, "clGetExtensionFunctionAddress");
	check("clGetExtensionFunctionAddress", find);
	*(void **)&open_platform = find("clGuestclOpenPlatform");
	*(void **)&platform_lost = find("clGuestclPlatformLost");
	*(void **)&close_platform = find("clGuestclClosePlatform");
	check("the library's functions", open_platform && platform_lost && close_platform);
	check("none is exported", !dlsym(library, "clGuestclOpenPlatform"));
}

int daemon_connect(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s/guestcld.sock",
		 getenv("GUESTCLD_DIR"));
	check("a connection to the daemon",
	      fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
	return fd;
}

/* Is it a worker of the daemon's? Name and parent stand in the process's state. */
static bool is_worker(const char *pid)
{
	char path[300], name[64];
	int parent = 0;
	FILE *stat;
	bool worker;

	snprintf(path, sizeof path, "/proc/%s/stat", pid);
	stat = fopen(path, "r");
	if (!stat)
		return false;
	worker = fscanf(stat, "%*d (%63[^)]) %*c %d", name, &parent) == 2 &&
		 strncmp(name, "guestcl-worker", strlen("guestcl-worker")) == 0;
	fclose(stat);
	return worker && parent == atoi(getenv("GUESTCLD_PID"));
}

void daemon_workers_signal(int number)
{
	DIR *processes = opendir("/proc");
	struct dirent *entry;

	check("/proc", processes);
	while ((entry = readdir(processes)))
		if (is_worker(entry->d_name))
			kill(atoi(entry->d_name), number);
	closedir(processes);
}

/* ------------------------------------------------------------ platforms and their objects */

cl_platform_id platform_open_on(int conn)
{
	char reason[256] = "";
	cl_platform_id platform;
	cl_int code = open_platform(conn, &platform, reason, sizeof reason);

	must(reason, code);
	return platform;
}

cl_platform_id platform_open(void)
{
	return platform_open_on(daemon_connect());
}

cl_platform_id platform_native(void)
{
	cl_platform_id platform;

	must("clGetPlatformIDs", clGetPlatformIDs(1, &platform, NULL));
	return platform;
}

void side_init(struct side *side, cl_platform_id platform)
{
	cl_int code;

	side->platform = platform;
	must("clGetDeviceIDs",
	     clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &side->device, NULL));
	/* Without the platform, the loader goes by the device. */
	side->context = clCreateContext(NULL, 1, &side->device, NULL, NULL, &code);
	must("clCreateContext", code);
	side->queue = clCreateCommandQueue(side->context, side->device, 0, &code);
	must("clCreateCommandQueue", code);
	side->program = clCreateProgramWithSource(side->context, 1, &source, NULL, &code);
	must("clCreateProgramWithSource", code);
	must("clBuildProgram", clBuildProgram(side->program, 0, NULL, "", NULL, NULL));
	side->kernel = clCreateKernel(side->program, "add", &code);
	must("clCreateKernel", code);
	side->buffer = clCreateBuffer(side->context, CL_MEM_READ_WRITE, BYTES, NULL, &code);
	must("clCreateBuffer", code);
}

void side_fini(struct side *side)
{
	must("clReleaseMemObject", clReleaseMemObject(side->buffer));
	must("clReleaseKernel", clReleaseKernel(side->kernel));
	must("clReleaseProgram", clReleaseProgram(side->program));
	must("clReleaseCommandQueue", clReleaseCommandQueue(side->queue));
	must("clReleaseContext", clReleaseContext(side->context));
}

cl_uint *items_make(void)
{
	cl_uint *items = calloc(1, BYTES);

	check("memory", items);
	return items;
}

cl_event side_launch(const struct side *side, cl_uint added, cl_event after)
{
	const size_t items = ITEMS;
	cl_event event;

	must("clSetKernelArg", clSetKernelArg(side->kernel, 0, sizeof side->buffer, &side->buffer));
	must("clSetKernelArg", clSetKernelArg(side->kernel, 1, sizeof added, &added));
	must("clEnqueueNDRangeKernel",
	     clEnqueueNDRangeKernel(side->queue, side->kernel, 1, NULL, &items, NULL, after ? 1 : 0,
				    after ? &after : NULL, &event));
	must("clFlush", clFlush(side->queue));
	return event;
}

void side_check(const struct side *side, cl_uint value)
{
	cl_uint *items = items_make();

	must("clEnqueueReadBuffer", clEnqueueReadBuffer(side->queue, side->buffer, CL_TRUE, 0,
							BYTES, items, 0, NULL, NULL));
	for (size_t i = 0; i < ITEMS; i++)
		check("an item's value", items[i] == value + i);
	free(items);
}

/* ------------------------------------------------------------ gates */

void gate_init(struct gate *gate)
{
	pthread_mutex_init(&gate->lock, NULL);
	pthread_cond_init(&gate->wake, NULL);
	gate->open = false;
}

void gate_open(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->open = true;
	pthread_cond_signal(&gate->wake);
	pthread_mutex_unlock(&gate->lock);
}

void gate_wait(const char *what, struct gate *gate)
{
	struct timespec end;
	bool open;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += PATIENCE_MS / 1000;
	pthread_mutex_lock(&gate->lock);
	while (!gate->open && pthread_cond_timedwait(&gate->wake, &gate->lock, &end) == 0)
		;
	open = gate->open;
	pthread_mutex_unlock(&gate->lock);
	check(what, open);
}
