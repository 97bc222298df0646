// SPDX-License-Identifier: MIT
/*
 * A guest program that is inside a blocking call when its daemon or its worker is killed.
 *
 * blocked CALL GATE: what to call, and what keeps the call from returning:
 *   user     a command before it waits for a user event that is never set
 *   kernel   a kernel before it runs for minutes
 *   stopped  faults.py stops the worker; the program asks for that and waits for a line on stdin
 *   none     nothing: the call itself takes long
 *
 * After the call has returned, other calls are made, and the program ends in the ordinary way.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fixture.h"

/* Enough commands to fill any ring. */
#define MANY 2000000u

/* Whose completions are more than any ring and socket hold. */
#define DEAF_EVENTS 30000u

/* Enough functions to keep a compiler busy for seconds. */
#define LONG_FUNCTIONS 5000u

static const size_t origin[3], box[3] = {256, 16, 1}, image_box[3] = {IMAGE_SIDE, IMAGE_SIDE, 1};

static cl_int call_finish(struct fixture *f)
{
	return clFinish(f->queue);
}

static cl_int call_finish_loose(struct fixture *f)
{
	must("clEnqueueMarkerWithWaitList",
	     clEnqueueMarkerWithWaitList(f->loose, 1, f->gated ? &f->gated : &f->gate, NULL));
	return clFinish(f->loose);
}

static cl_int call_wait_gate(struct fixture *f)
{
	return clWaitForEvents(1, &f->gate);
}

static cl_int call_wait_command(struct fixture *f)
{
	cl_int err = clFlush(f->queue);

	return err ? err : clWaitForEvents(1, &f->gated);
}

static cl_int call_wait_both(struct fixture *f)
{
	cl_event events[2] = {f->gate, f->gated};

	return clWaitForEvents(2, events);
}

static cl_int call_read(struct fixture *f)
{
	return clEnqueueReadBuffer(f->queue, f->buffer, CL_TRUE, 0, BUFFER_SIZE, f->memory, 0, NULL,
				   NULL);
}

static cl_int call_read_small(struct fixture *f)
{
	return clEnqueueReadBuffer(f->queue, f->buffer, CL_TRUE, 64, 4, f->memory, 0, NULL, NULL);
}

static cl_int call_read_waits(struct fixture *f)
{
	return clEnqueueReadBuffer(f->loose, f->buffer, CL_TRUE, 0, 4, f->memory, 1, &f->gated,
				   NULL);
}

/* A blocking write may return before the command has run: what follows it blocks. */
static cl_int after_write(struct fixture *f, cl_int err)
{
	return err ? err : clFinish(f->queue);
}

static cl_int call_write(struct fixture *f)
{
	return after_write(f, clEnqueueWriteBuffer(f->queue, f->buffer, CL_TRUE, 0, BUFFER_SIZE,
						   f->memory, 0, NULL, NULL));
}

static cl_int call_write_small(struct fixture *f)
{
	return after_write(f, clEnqueueWriteBuffer(f->queue, f->buffer, CL_TRUE, 64, 4, f->memory,
						   0, NULL, NULL));
}

static cl_int call_read_rect(struct fixture *f)
{
	return clEnqueueReadBufferRect(f->queue, f->buffer, CL_TRUE, origin, origin, box, 512, 0,
				       256, 0, f->memory, 0, NULL, NULL);
}

static cl_int call_write_rect(struct fixture *f)
{
	return after_write(f,
			   clEnqueueWriteBufferRect(f->queue, f->buffer, CL_TRUE, origin, origin,
						    box, 512, 0, 256, 0, f->memory, 0, NULL, NULL));
}

static cl_int call_map(struct fixture *f)
{
	cl_int err;

	clEnqueueMapBuffer(f->queue, f->buffer, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0, BUFFER_SIZE,
			   0, NULL, NULL, &err);
	return err;
}

static cl_int call_read_image(struct fixture *f)
{
	return clEnqueueReadImage(f->queue, f->image, CL_TRUE, origin, image_box, 0, 0, f->memory,
				  0, NULL, NULL);
}

static cl_int call_write_image(struct fixture *f)
{
	return after_write(f, clEnqueueWriteImage(f->queue, f->image, CL_TRUE, origin, image_box, 0,
						  0, f->memory, 0, NULL, NULL));
}

static cl_int call_map_image(struct fixture *f)
{
	size_t pitch;
	cl_int err;

	clEnqueueMapImage(f->queue, f->image, CL_TRUE, CL_MAP_READ, origin, image_box, &pitch, NULL,
			  0, NULL, NULL, &err);
	return err;
}

static cl_program program_long(struct fixture *f)
{
	char *text = long_source(LONG_FUNCTIONS);
	const char *source = text;
	cl_int err;
	cl_program program = clCreateProgramWithSource(f->context, 1, &source, NULL, &err);

	must("clCreateProgramWithSource", err);
	free(text);
	return program;
}

static cl_int call_build(struct fixture *f)
{
	return clBuildProgram(program_long(f), 0, NULL, "", NULL, NULL);
}

static cl_int call_compile(struct fixture *f)
{
	return clCompileProgram(program_long(f), 0, NULL, "", 0, NULL, NULL, NULL, NULL);
}

/* The program to link has to be compiled while the worker still runs. */
static cl_program linkable;

static void prepare_link(struct fixture *f)
{
	const char *source = fixture_source;
	cl_int err;

	linkable = clCreateProgramWithSource(f->context, 1, &source, NULL, &err);
	must("clCreateProgramWithSource", err);
	must("clCompileProgram",
	     clCompileProgram(linkable, 0, NULL, "", 0, NULL, NULL, NULL, NULL));
}

static cl_int call_link(struct fixture *f)
{
	cl_int err;

	clLinkProgram(f->context, 0, NULL, "", 1, &linkable, NULL, NULL, &err);
	return err;
}

static cl_int call_binaries(struct fixture *f)
{
	size_t size = 0;
	unsigned char *binary = NULL;
	cl_int err =
		clGetProgramInfo(f->program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL);

	if (err)
		return err;
	binary = malloc(size ? size : 1);
	err = clGetProgramInfo(f->program, CL_PROGRAM_BINARIES, sizeof binary, (void *)&binary,
			       NULL);
	free(binary);
	/* Who has asked for binaries before may have them at once. */
	return err ? err : clFinish(f->queue);
}

static cl_int call_sub_devices(struct fixture *f)
{
	cl_device_partition_property equally[] = {CL_DEVICE_PARTITION_EQUALLY, 1, 0};
	cl_device_id devices[64];
	cl_uint count;

	return clCreateSubDevices(f->device, equally, 64, devices, &count);
}

static cl_int call_many(struct fixture *f)
{
	cl_int err = CL_SUCCESS;

	for (unsigned i = 0; i < MANY && !err; i++)
		err = clEnqueueFillBuffer(f->queue, f->buffer, "x", 1, i % 1024, 64, 0, NULL, NULL);
	return err ? err : clFinish(f->queue);
}

struct notice {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool given;
	cl_int status;
};

static void CL_CALLBACK on_event(cl_event event, cl_int status, void *data)
{
	struct notice *notice = data;

	(void)event;
	pthread_mutex_lock(&notice->lock);
	notice->given = true;
	notice->status = status;
	pthread_cond_signal(&notice->changed);
	pthread_mutex_unlock(&notice->lock);
}

/* No call of OpenCL blocks here: the program waits for its callback. */
static cl_int call_callback(struct fixture *f)
{
	static struct notice notice = {.lock = PTHREAD_MUTEX_INITIALIZER,
				       .changed = PTHREAD_COND_INITIALIZER};

	must("clSetEventCallback", clSetEventCallback(f->gated, CL_COMPLETE, on_event, &notice));
	must("clFlush", clFlush(f->queue));
	pthread_mutex_lock(&notice.lock);
	while (!notice.given)
		pthread_cond_wait(&notice.changed, &notice.lock);
	pthread_mutex_unlock(&notice.lock);
	return notice.status;
}

/* A program that only asks, again and again, sees the end too. */
static cl_int call_poll(struct fixture *f)
{
	struct timespec pause = {.tv_nsec = 1000000};
	cl_int status = CL_QUEUED, err = clFlush(f->queue);

	while (!err && status > CL_COMPLETE) {
		nanosleep(&pause, NULL);
		err = clGetEventInfo(f->gated, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status,
				     &status, NULL);
	}
	return err ? err : status;
}

/* A sampler is made without an answer: what waits is the next thing that has one. */
static cl_int call_sampler(struct fixture *f)
{
	cl_int err;
	cl_sampler sampler =
		clCreateSampler(f->context, CL_FALSE, CL_ADDRESS_CLAMP, CL_FILTER_NEAREST, &err);

	if (sampler)
		err = clFinish(f->queue);
	if (sampler)
		clReleaseSampler(sampler);
	return err;
}

/* Has more completions come than any ring holds, and stops before it reads one. */
static cl_int call_deaf(struct fixture *f)
{
	cl_event event;

	for (unsigned i = 0; i < DEAF_EVENTS; i++) {
		must("clEnqueueMarkerWithWaitList",
		     clEnqueueMarkerWithWaitList(f->queue, 0, NULL, &event));
		clReleaseEvent(event);
	}
	must("clFlush", clFlush(f->queue));
	must("clSetUserEventStatus", clSetUserEventStatus(f->gate, CL_COMPLETE));
	/* Over a stream a thread of its own sends this. */
	nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
	raise(SIGSTOP);
	return clFinish(f->queue);
}

static const struct {
	const char *name;
	cl_int (*call)(struct fixture *fixture);
	void (*prepare)(struct fixture *fixture);
} calls[] = {
	{"finish", call_finish, NULL},
	{"finish-loose", call_finish_loose, NULL},
	{"wait-gate", call_wait_gate, NULL},
	{"wait-command", call_wait_command, NULL},
	{"wait-both", call_wait_both, NULL},
	{"read", call_read, NULL},
	{"read-small", call_read_small, NULL},
	{"read-waits", call_read_waits, NULL},
	{"write", call_write, NULL},
	{"write-small", call_write_small, NULL},
	{"read-rect", call_read_rect, NULL},
	{"write-rect", call_write_rect, NULL},
	{"map", call_map, NULL},
	{"read-image", call_read_image, NULL},
	{"write-image", call_write_image, NULL},
	{"map-image", call_map_image, NULL},
	{"build", call_build, NULL},
	{"compile", call_compile, NULL},
	{"link", call_link, prepare_link},
	{"binaries", call_binaries, NULL},
	{"sub-devices", call_sub_devices, NULL},
	{"many", call_many, NULL},
	{"callback", call_callback, NULL},
	{"poll", call_poll, NULL},
	{"sampler", call_sampler, NULL},
	{"deaf", call_deaf, NULL},
};

static void gate_close(struct fixture *f, const char *gate)
{
	if (strcmp(gate, "kernel") == 0) {
		must("clEnqueueTask", clEnqueueTask(f->queue, f->kernel, 0, NULL, &f->gated));
		must("clFlush", clFlush(f->queue));
	} else if (strcmp(gate, "user") == 0) {
		must("clEnqueueMarkerWithWaitList",
		     clEnqueueMarkerWithWaitList(f->queue, 1, &f->gate, &f->gated));
		must("clFlush", clFlush(f->queue));
	} else {
		if (strcmp(gate, "stopped") == 0) {
			say("stop");
			hear();
		}
		must("clEnqueueMarkerWithWaitList",
		     clEnqueueMarkerWithWaitList(f->queue, 0, NULL, &f->gated));
	}
}

/* The host is gone: nothing of this may succeed, and nothing may hang. */
static void calls_after(struct fixture *f)
{
	const char *source = fixture_source;
	cl_event event = NULL;
	cl_program program;
	cl_mem buffer;
	cl_int err;

	say("later clFinish %d", clFinish(f->queue));
	say("later clEnqueueReadBuffer %d",
	    clEnqueueReadBuffer(f->queue, f->buffer, CL_TRUE, 0, 4, f->memory, 0, NULL, NULL));
	say("later clEnqueueTask %d", clEnqueueTask(f->queue, f->kernel, 0, NULL, NULL));
	say("later clEnqueueMarkerWithWaitList %d",
	    clEnqueueMarkerWithWaitList(f->loose, 0, NULL, &event));
	say("later clFinish %d", clFinish(f->loose));
	say("later clWaitForEvents %d", clWaitForEvents(1, &f->gate));
	clEnqueueMapBuffer(f->queue, f->buffer, CL_TRUE, CL_MAP_READ, 0, 64, 0, NULL, NULL, &err);
	say("later clEnqueueMapBuffer %d", err);
	buffer = clCreateBuffer(f->context, CL_MEM_READ_WRITE, 4096, NULL, &err);
	say("later clCreateBuffer %d", err);
	if (buffer)
		clReleaseMemObject(buffer);
	program = clCreateProgramWithSource(f->context, 1, &source, NULL, &err);
	say("later clBuildProgram %d",
	    program ? clBuildProgram(program, 0, NULL, NULL, NULL, NULL) : err);
	if (program)
		clReleaseProgram(program);
	if (event)
		clReleaseEvent(event);
}

int main(int argc, char **argv)
{
	struct fixture fixture;
	cl_int err;

	for (size_t i = 0; argc == 3 && i < sizeof calls / sizeof *calls; i++) {
		if (strcmp(argv[1], calls[i].name) != 0)
			continue;
		fixture_init(&fixture);
		if (calls[i].prepare)
			calls[i].prepare(&fixture);
		gate_close(&fixture, argv[2]);
		say("entering %s", argv[1]);
		err = calls[i].call(&fixture);
		say("returned %s %d", argv[1], err);
		calls_after(&fixture);
		fixture_release(&fixture);
		say("ends");
		return EXIT_SUCCESS;
	}
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
		printf("%s\n", calls[i].name);
	return argc == 1 ? EXIT_SUCCESS : 2;
}
