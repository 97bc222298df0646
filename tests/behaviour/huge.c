/* SPDX-License-Identifier: MIT */
/*
 * A buffer of more than 4 GiB, and several that have more together: offsets and sizes are 64 bits
 * wide everywhere. Only little is touched, so that little has to be there. The device has to allow
 * it: with PoCL that takes POCL_MEMORY_LIMIT=20.
 */
#include "harness.h"

#include <string.h>

#define GIB  ((size_t)1 << 30)
#define SIZE (5 * GIB)
#define PART ((size_t)4096)
#define HIGH (SIZE - 4 * PART)

/* 6.25 GiB together. */
#define MANY  8u
#define LARGE ((size_t)800 << 20)

static void part_check(const struct fixture *fix, const char *name, cl_mem buffer, size_t at)
{
	unsigned char data[PART] = {0};

	check_code(named("read %s", name),
		   clEnqueueReadBuffer(fix->queue, buffer, CL_TRUE, at, PART, data, 0, NULL, NULL));
	check_sum(named("content %s", name), data, PART);
}

static void transfer_check(const struct fixture *fix, cl_mem buffer)
{
	unsigned char data[PART];

	pattern(data, PART, 1);
	check_code("write", clEnqueueWriteBuffer(fix->queue, buffer, CL_TRUE, HIGH, PART, data, 0,
						 NULL, NULL));
	part_check(fix, "written", buffer, HIGH);
	check_code("copy up", clEnqueueCopyBuffer(fix->queue, buffer, buffer, HIGH, HIGH + PART,
						  PART, 0, NULL, NULL));
	part_check(fix, "copied up", buffer, HIGH + PART);
	check_code("copy down", clEnqueueCopyBuffer(fix->queue, buffer, buffer, HIGH, PART, PART, 0,
						    NULL, NULL));
	part_check(fix, "copied down", buffer, PART);
	check_code("fill", clEnqueueFillBuffer(fix->queue, buffer, "xy", 2, HIGH + 2 * PART, PART,
					       0, NULL, NULL));
	part_check(fix, "filled", buffer, HIGH + 2 * PART);
}

static void map_check(const struct fixture *fix, cl_mem buffer)
{
	unsigned char *mapped = MUST_MAKE(
		clEnqueueMapBuffer(fix->queue, buffer, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE,
				   HIGH + PART, 2 * PART, 0, NULL, NULL, &call_err));

	check_sum("mapped", mapped, 2 * PART);
	memset(mapped + PART, 7, PART / 2);
	MUST(clEnqueueUnmapMemObject(fix->queue, buffer, mapped, 0, NULL, NULL));
	part_check(fix, "unmapped", buffer, HIGH + 2 * PART);
}

static void sub_check(const struct fixture *fix, cl_mem buffer)
{
	cl_buffer_region region = {SIZE - GIB / 2, 2 * PART};
	cl_mem part = MUST_MAKE(
		clCreateSubBuffer(buffer, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &call_err));

	MUST(clEnqueueFillBuffer(fix->queue, part, "q", 1, 0, 2 * PART, 0, NULL, NULL));
	part_check(fix, "of a part", buffer, SIZE - GIB / 2 + PART);
	MUST(clReleaseMemObject(part));
}

/* Rows of 64 KiB, so that only the number of rows is beyond 4 GiB. */
static void rect_check(const struct fixture *fix, cl_mem buffer)
{
	const size_t row = 65536, from[3] = {HIGH % row, HIGH / row, 0}, to[3] = {0};
	const size_t region[3] = {PART, 1, 1};
	unsigned char data[PART] = {0};

	check_code("read rectangle",
		   clEnqueueReadBufferRect(fix->queue, buffer, CL_TRUE, from, to, region, row, 0,
					   PART, 0, data, 0, NULL, NULL));
	check_sum("content of rectangle", data, PART);
}

static void kernel_check(const struct fixture *fix, cl_mem buffer)
{
	cl_program program = program_built(
		fix,
		"kernel void add(global uchar *a, ulong at) { a[at + get_global_id(0)] += 3; }",
		"");
	cl_kernel kernel = kernel_made(program, "add");
	const cl_ulong at = HIGH;
	const size_t items = 64;

	MUST(clSetKernelArg(kernel, 0, sizeof buffer, &buffer));
	MUST(clSetKernelArg(kernel, 1, sizeof at, &at));
	check_code("launch", clEnqueueNDRangeKernel(fix->queue, kernel, 1, NULL, &items, NULL, 0,
						    NULL, NULL));
	part_check(fix, "of a kernel", buffer, HIGH);
	MUST(clReleaseKernel(kernel));
	MUST(clReleaseProgram(program));
}

/* Each has its own in its first and its last bytes. */
static void many_write(const struct fixture *fix, const cl_mem *buffers)
{
	unsigned char data[PART];

	for (unsigned i = 0; i < MANY; i++) {
		pattern(data, PART, 10 + i);
		MUST(clEnqueueWriteBuffer(fix->queue, buffers[i], CL_TRUE, LARGE - PART, PART, data,
					  0, NULL, NULL));
		MUST(clEnqueueCopyBuffer(fix->queue, buffers[i], buffers[(i + 1) % MANY],
					 LARGE - PART, i * PART, PART, 0, NULL, NULL));
	}
}

static void many_add(const struct fixture *fix, const cl_mem *buffers)
{
	cl_program program =
		program_built(fix,
			      "kernel void add(global uchar *a, global uchar *b, ulong at)"
			      "{ at += get_global_id(0); a[at] += b[at]; }",
			      "");
	cl_kernel kernel = kernel_made(program, "add");
	const cl_ulong at = LARGE - PART;
	const size_t items = PART;

	MUST(clSetKernelArg(kernel, 2, sizeof at, &at));
	for (unsigned i = 0; i < MANY; i++) {
		MUST(clSetKernelArg(kernel, 0, sizeof(cl_mem), &buffers[i]));
		MUST(clSetKernelArg(kernel, 1, sizeof(cl_mem), &buffers[(i + 3) % MANY]));
		check_code(named("launch with %u of many", i),
			   clEnqueueNDRangeKernel(fix->queue, kernel, 1, NULL, &items, NULL, 0,
						  NULL, NULL));
	}
	MUST(clReleaseKernel(kernel));
	MUST(clReleaseProgram(program));
}

static void many_check(const struct fixture *fix)
{
	cl_mem buffers[MANY];

	for (unsigned i = 0; i < MANY; i++) {
		buffers[i] = clCreateBuffer(fix->context, 0, LARGE, NULL, &call_err);
		check_code(named("create %u of many", i), call_err);
	}
	many_write(fix, buffers);
	many_add(fix, buffers);
	for (unsigned i = 0; i < MANY; i++) {
		part_check(fix, named("end of %u of many", i), buffers[i], LARGE - PART);
		part_check(fix, named("copy in %u of many", i), buffers[i],
			   (i + MANY - 1) % MANY * PART);
	}
	for (unsigned i = 0; i < MANY; i++)
		MUST(clReleaseMemObject(buffers[i]));
}

int main(void)
{
	struct fixture fix;
	cl_ulong most = 0;
	cl_mem buffer;

	transcript_begin("huge");
	fixture_open(&fix);
	MUST(clGetDeviceInfo(fix.device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof most, &most, NULL));
	if (most < SIZE)
		fatal(__FILE__, __LINE__, "the device allows less than 5 GiB", CL_SUCCESS);
	buffer = MUST_MAKE(clCreateBuffer(fix.context, 0, SIZE, NULL, &call_err));
	transfer_check(&fix, buffer);
	map_check(&fix, buffer);
	sub_check(&fix, buffer);
	rect_check(&fix, buffer);
	kernel_check(&fix, buffer);
	MUST(clReleaseMemObject(buffer));
	many_check(&fix);
	fixture_close(&fix);
	return transcript_end();
}
