/* SPDX-License-Identifier: MIT */
/*
 * Calls of OpenCL 2.0 to 3.0 of features that the device hasn't: pipes, queues on devices, clocks
 * that are related, destructors of programs' variables.
 */
#include "harness.h"

#include <sys/wait.h>
#include <unistd.h>

static void CL_CALLBACK released(cl_program program, void *data)
{
	(void)program;
	(void)data;
}

static void pipes_wrong(const struct fixture *fix)
{
	cl_mem buffer = buffer_patterned(fix, 64, 1);
	cl_uint value;

	WRONG_MADE("pipe", clCreatePipe(fix->context, CL_MEM_READ_WRITE | CL_MEM_HOST_NO_ACCESS, 4,
					16, NULL, &call_err));
	WRONG_MADE("pipe of context NULL", clCreatePipe(NULL, 0, 4, 16, NULL, &call_err));
	wrong_code("pipe info of a buffer",
		   clGetPipeInfo(buffer, CL_PIPE_PACKET_SIZE, sizeof(value), &value, NULL));
	wrong_code("pipe info of NULL",
		   clGetPipeInfo(NULL, CL_PIPE_PACKET_SIZE, sizeof(value), &value, NULL));
	MUST(clReleaseMemObject(buffer));
}

static void timers_wrong(const struct fixture *fix)
{
	cl_ulong device;
	cl_ulong host;

	wrong_code("timers", clGetDeviceAndHostTimer(fix->device, &device, &host));
	wrong_code("timers of NULL", clGetDeviceAndHostTimer(NULL, &device, &host));
	wrong_code("host timer", clGetHostTimer(fix->device, &host));
	wrong_code("host timer of NULL", clGetHostTimer(NULL, &host));
}

static void queues_wrong(const struct fixture *fix)
{
	wrong_code("default queue",
		   clSetDefaultDeviceCommandQueue(fix->context, fix->device, fix->queue));
	wrong_code("default queue of context NULL",
		   clSetDefaultDeviceCommandQueue(NULL, fix->device, fix->queue));
	wrong_code("default queue of device NULL",
		   clSetDefaultDeviceCommandQueue(fix->context, NULL, fix->queue));
}

static void programs_wrong(const struct fixture *fix)
{
	cl_program program = program_built(fix, "kernel void k(void) {}", "");

	wrong_code("release callback", clSetProgramReleaseCallback(program, released, NULL));
	wrong_code("release callback NULL", clSetProgramReleaseCallback(program, NULL, NULL));
	wrong_code("release callback of NULL", clSetProgramReleaseCallback(NULL, released, NULL));
	MUST(clReleaseProgram(program));
}

/* A runtime may end the program that asks for it. */
static void on_device_wrong(void)
{
	static const cl_queue_properties list[] = {
		CL_QUEUE_PROPERTIES, CL_QUEUE_ON_DEVICE | CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE,
		0};
	pid_t child = fork();
	struct fixture fix;
	int status = 0;

	if (child == 0) {
		fixture_open(&fix);
		clCreateCommandQueueWithProperties(fix.context, fix.device, list, &call_err);
		_exit(call_err == CL_INVALID_QUEUE_PROPERTIES ? 0 : 3);
	}
	waitpid(child, &status, 0);
	check_yes("a queue on the device is refused",
		  WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
	struct fixture fix;

	transcript_begin("later");
	on_device_wrong();
	fixture_open(&fix);
	pipes_wrong(&fix);
	timers_wrong(&fix);
	queues_wrong(&fix);
	programs_wrong(&fix);
	fixture_close(&fix);
	return transcript_end();
}
