/* SPDX-License-Identifier: MIT */
/*
 * Programs that end in unusual places, or leave everything as it is, and callbacks that call
 * OpenCL. Each is a child of its own, forked before OpenCL is first called; its exit status is the
 * check. PoCL does not always stand exit() beside a callback that stays and commands behind
 * it, nor a copy that a callback enqueues on the queue of its event.
 */
#include "harness.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 65536, STATUS = 3 };

static struct fixture fix;
static sem_t ended;

static void wait_for(sem_t *sem)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 100;
	if (sem_timedwait(sem, &until) < 0)
		fatal(__FILE__, __LINE__, "no callback came", CL_SUCCESS);
}

/* A command with a callback; there is more behind it. */
static cl_event command(void(CL_CALLBACK *callback)(cl_event, cl_int, void *))
{
	cl_mem buffer = MUST_MAKE(clCreateBuffer(fix.context, 0, SIZE, NULL, &call_err));
	cl_event event;

	MUST(clEnqueueFillBuffer(fix.queue, buffer, "a", 1, 0, SIZE, 0, NULL, &event));
	MUST(clSetEventCallback(event, CL_COMPLETE, callback, buffer));
	for (unsigned i = 0; i < 100; i++)
		MUST(clEnqueueFillBuffer(fix.queue, buffer, "b", 1, 0, SIZE, 0, NULL, NULL));
	MUST(clFlush(fix.queue));
	return event;
}

static void CL_CALLBACK exit_here(cl_event event, cl_int status, void *data)
{
	(void)event;
	(void)status;
	(void)data;
	exit(STATUS);
}

static void CL_CALLBACK leave_here(cl_event event, cl_int status, void *data)
{
	(void)event;
	(void)status;
	(void)data;
	_exit(STATUS);
}

static void end_in_callback(void)
{
	command(exit_here);
	wait_for(&ended);
}

static void leave_in_callback(void)
{
	command(leave_here);
	wait_for(&ended);
}

/* It goes on while the program ends, and calls OpenCL. */
static void CL_CALLBACK stay_here(cl_event event, cl_int status, void *data)
{
	const struct timespec nap = {.tv_nsec = 500000};
	cl_command_type type;

	(void)status;
	(void)data;
	sem_post(&ended);
	for (unsigned i = 0; i < 100; i++) {
		nanosleep(&nap, NULL);
		clReleaseMemObject(clCreateBuffer(fix.context, 0, SIZE, NULL, NULL));
		clGetEventInfo(event, CL_EVENT_COMMAND_TYPE, sizeof(type), &type, NULL);
	}
}

/* The end of main() is no other thing than this. */
static void end_beside_callback(void)
{
	cl_mem buffer = MUST_MAKE(clCreateBuffer(fix.context, 0, SIZE, NULL, &call_err));
	cl_event event;

	MUST(clEnqueueFillBuffer(fix.queue, buffer, "a", 1, 0, SIZE, 0, NULL, &event));
	MUST(clSetEventCallback(event, CL_COMPLETE, stay_here, NULL));
	MUST(clFlush(fix.queue));
	wait_for(&ended);
	exit(STATUS);
}

static void CL_CALLBACK nothing_here(cl_event event, cl_int status, void *data)
{
	(void)event;
	(void)status;
	(void)data;
}

/* Nothing is waited for, nothing released. */
static void end_at_once(void)
{
	for (unsigned i = 0; i < 20; i++) {
		MUST_MAKE(clCreateUserEvent(fix.context, &call_err));
		command(nothing_here);
	}
	exit(STATUS);
}

/* In callbacks no call may wait; all others may be made. */
static void CL_CALLBACK use_here(cl_event event, cl_int status, void *data)
{
	cl_mem made = MUST_MAKE(clCreateBuffer(fix.context, 0, SIZE, NULL, &call_err));
	cl_command_type type = 0;
	cl_uint count = 0;

	(void)data;
	MUST(status);
	MUST(clReleaseMemObject(made));
	MUST(clGetEventInfo(event, CL_EVENT_COMMAND_TYPE, sizeof(type), &type, NULL));
	MUST(clGetContextInfo(fix.context, CL_CONTEXT_NUM_DEVICES, sizeof(count), &count, NULL));
	if (count == 1 && type == CL_COMMAND_FILL_BUFFER)
		sem_post(&ended);
}

static void CL_CALLBACK memory_here(cl_mem mem, void *data)
{
	cl_mem made = MUST_MAKE(clCreateBuffer(fix.context, 0, SIZE, NULL, &call_err));

	(void)mem;
	(void)data;
	MUST(clReleaseMemObject(made));
	sem_post(&ended);
}

static void CL_CALLBACK svm_here(cl_command_queue queue, cl_uint count, void *pointers[],
				 void *data)
{
	cl_context context = data;

	(void)queue;
	for (cl_uint i = 0; i < count; i++)
		clSVMFree(context, pointers[i]);
	sem_post(&ended);
}

static void CL_CALLBACK built_here(cl_program program, void *data)
{
	cl_kernel kernel = MUST_MAKE(clCreateKernel(program, "set", &call_err));
	const size_t one = 1;

	MUST(clSetKernelArg(kernel, 0, sizeof(cl_mem), data));
	MUST(clEnqueueNDRangeKernel(fix.queue, kernel, 1, NULL, &one, &one, 0, NULL, NULL));
	MUST(clFlush(fix.queue));
	MUST(clReleaseKernel(kernel));
	sem_post(&ended);
}

static void use_in_callbacks(void)
{
	const char *source = "kernel void set(global uint *a) { *a = 5; }";
	cl_event event = command(use_here);
	cl_mem buffer;
	cl_program program;
	cl_uint word = 0;
	void *shared;

	wait_for(&ended);
	MUST(clFinish(fix.queue));
	MUST(clReleaseEvent(event));
	buffer = MUST_MAKE(clCreateBuffer(fix.context, 0, SIZE, NULL, &call_err));
	MUST(clSetMemObjectDestructorCallback(buffer, memory_here, NULL));
	MUST(clReleaseMemObject(buffer));
	wait_for(&ended);
	shared = clSVMAlloc(fix.context, CL_MEM_READ_WRITE, SIZE, 0);
	MUST(clEnqueueSVMFree(fix.queue, 1, &shared, svm_here, fix.context, 0, NULL, NULL));
	MUST(clFlush(fix.queue));
	wait_for(&ended);
	buffer = MUST_MAKE(clCreateBuffer(fix.context, 0, SIZE, NULL, &call_err));
	program = MUST_MAKE(clCreateProgramWithSource(fix.context, 1, &source, NULL, &call_err));
	MUST(clBuildProgram(program, 1, &fix.device, "", built_here, &buffer));
	wait_for(&ended);
	MUST(clEnqueueReadBuffer(fix.queue, buffer, CL_TRUE, 0, sizeof(word), &word, 0, NULL,
				 NULL));
	MUST(clReleaseMemObject(buffer));
	MUST(clReleaseProgram(program));
	fixture_close(&fix);
	exit(word == 5 ? STATUS : 1);
}

static void child(const char *name, void (*body)(void))
{
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		alarm(120);
		sem_init(&ended, 0, 0);
		fixture_open(&fix);
		body();
		_exit(1);
	}
	waitpid(pid, &status, 0);
	check_number(named("%s exit status", name), (unsigned)WEXITSTATUS(status));
	check_number(named("%s signal", name), (unsigned)WTERMSIG(status));
}

int main(void)
{
	transcript_begin("ending");
	child("exit() in a callback", end_in_callback);
	child("_exit() in a callback", leave_in_callback);
	child("exit() with all under way", end_at_once);
	child("exit() beside a callback", end_beside_callback);
	child("callbacks that call OpenCL", use_in_callbacks);
	return transcript_end();
}
