/* SPDX-License-Identifier: MIT */
/*
 * Large pieces of the program's own memory: transfers from and to any address and kind of it, and
 * buffers that live in it (CL_MEM_USE_HOST_PTR), of sizes that an implementation may treat
 * otherwise than small ones.
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB  ((size_t)1 << 20)
#define SIZE (40 * MIB + 12)
#define ROWS 40u

static const char source[] =
	"kernel void add(global uint *a, uint v) { a[get_global_id(0)] += v; }";

/* Where the memory comes from. */
struct place {
	const char *name;
	unsigned char *memory; /* SIZE bytes */
	size_t shift;	       /* of the memory's begin, for munmap() */
	bool readable_only;
};

static void place_map(struct place *place, const char *name, int flags, int fd, size_t shift)
{
	void *at = mmap(NULL, SIZE + shift, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (at == MAP_FAILED)
		fatal(__FILE__, __LINE__, "mmap", 0);
	*place =
		(struct place){.name = name, .memory = (unsigned char *)at + shift, .shift = shift};
}

static void place_unmap(const struct place *place)
{
	munmap(place->memory - place->shift, SIZE + place->shift);
}

static void transfers(const struct fixture *fix, const struct place *place, unsigned seed)
{
	cl_mem buffer = MUST_MAKE(clCreateBuffer(fix->context, 0, SIZE, NULL, &call_err));

	pattern(place->memory, SIZE, seed);
	for (int blocking = 0; blocking <= 1; blocking++) {
		const char *how = blocking ? "blocking" : "not blocking";
		cl_bool block = blocking ? CL_TRUE : CL_FALSE;

		check_code(named("write %s, %s", place->name, how),
			   clEnqueueWriteBuffer(fix->queue, buffer, block, 0, SIZE, place->memory,
						0, NULL, NULL));
		MUST(clFinish(fix->queue));
		memset(place->memory, 0, SIZE);
		check_code(named("read %s, %s", place->name, how),
			   clEnqueueReadBuffer(fix->queue, buffer, block, 5, SIZE - 5,
					       place->memory, 0, NULL, NULL));
		MUST(clFinish(fix->queue));
		check_sum(named("was read %s, %s", place->name, how), place->memory, SIZE);
	}
	MUST(clReleaseMemObject(buffer));
}

static void read_only_write(const struct fixture *fix, const struct place *place)
{
	cl_mem buffer = MUST_MAKE(clCreateBuffer(fix->context, 0, SIZE, NULL, &call_err));

	pattern(place->memory, SIZE, 9);
	mprotect(place->memory - place->shift, SIZE + place->shift, PROT_READ);
	check_code("write from memory that is read-only",
		   clEnqueueWriteBuffer(fix->queue, buffer, CL_TRUE, 0, SIZE, place->memory, 0,
					NULL, NULL));
	check_buffer_sum("written from memory that is read-only", fix->queue, buffer, SIZE);
	MUST(clReleaseMemObject(buffer));
	buffer = MUST_MAKE(clCreateBuffer(fix->context, CL_MEM_READ_ONLY | CL_MEM_USE_HOST_PTR,
					  SIZE, place->memory, &call_err));
	check_buffer_sum("buffer of memory that is read-only", fix->queue, buffer, SIZE);
	MUST(clReleaseMemObject(buffer));
	mprotect(place->memory - place->shift, SIZE + place->shift, PROT_READ | PROT_WRITE);
}

/* Rows further apart than they are long: what is between them is the program's. */
static void rows(const struct fixture *fix, const struct place *place)
{
	const cl_image_format format = {CL_RGBA, CL_UNORM_INT8};
	const cl_image_desc desc = {
		.image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = 8000, .image_height = ROWS};
	const size_t origin[3] = {0}, region[3] = {8000, ROWS, 1}, pitch = MIB;
	const size_t area[3] = {999 * 1024, ROWS, 1};
	cl_mem image = MUST_MAKE(clCreateImage(fix->context, 0, &format, &desc, NULL, &call_err));
	cl_mem buffer = MUST_MAKE(clCreateBuffer(fix->context, 0, SIZE, NULL, &call_err));

	pattern(place->memory, SIZE, 4);
	MUST(clEnqueueWriteImage(fix->queue, image, CL_TRUE, origin, region, pitch, 0,
				 place->memory, 0, NULL, NULL));
	MUST(clEnqueueWriteBufferRect(fix->queue, buffer, CL_TRUE, origin, origin, area, 0, 0,
				      pitch, 0, place->memory, 0, NULL, NULL));
	pattern(place->memory, SIZE, 5);
	MUST(clEnqueueReadImage(fix->queue, image, CL_TRUE, origin, region, pitch, 0, place->memory,
				0, NULL, NULL));
	check_sum("rows of an image", place->memory, SIZE);
	pattern(place->memory, SIZE, 6);
	MUST(clEnqueueReadBufferRect(fix->queue, buffer, CL_FALSE, origin, origin, area, 0, 0,
				     pitch, 0, place->memory, 0, NULL, NULL));
	MUST(clFinish(fix->queue));
	check_sum("rows of a buffer", place->memory, SIZE);
	MUST(clReleaseMemObject(image));
	MUST(clReleaseMemObject(buffer));
}

/* ------------------------------------------------------------ buffers of the program's memory */

static void kernel_run(const struct fixture *fix, cl_kernel kernel, cl_mem buffer, cl_uint value)
{
	const size_t items = SIZE / sizeof(cl_uint);

	MUST(clSetKernelArg(kernel, 0, sizeof(cl_mem), &buffer));
	MUST(clSetKernelArg(kernel, 1, sizeof value, &value));
	MUST(clEnqueueNDRangeKernel(fix->queue, kernel, 1, NULL, &items, NULL, 0, NULL, NULL));
}

static void child_run(unsigned char *memory)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		memset(memory, 0xcc, MIB);
		_exit(memory[0] == 0xcc ? 0 : 1);
	}
	waitpid(pid, NULL, 0);
}

static void in_place(const struct fixture *fix, cl_kernel kernel, const struct place *place)
{
	cl_mem buffer, part;
	cl_buffer_region region = {MIB, 2 * MIB};
	unsigned char *mapped;

	pattern(place->memory, SIZE, 7);
	buffer = MUST_MAKE(
		clCreateBuffer(fix->context, CL_MEM_USE_HOST_PTR, SIZE, place->memory, &call_err));
	kernel_run(fix, kernel, buffer, 3);
	mapped = MUST_MAKE(clEnqueueMapBuffer(fix->queue, buffer, CL_TRUE,
					      CL_MAP_READ | CL_MAP_WRITE, 0, SIZE, 0, NULL, NULL,
					      &call_err));
	check_yes(named("in place, %s, mapped where it is", place->name), mapped == place->memory);
	check_sum(named("in place, %s, what the kernel did", place->name), mapped, SIZE);
	child_run(mapped);
	check_sum(named("in place, %s, after a child", place->name), mapped, SIZE);
	memset(mapped + 100, 1, 3 * MIB);
	MUST(clEnqueueUnmapMemObject(fix->queue, buffer, mapped, 0, NULL, NULL));
	kernel_run(fix, kernel, buffer, 5);
	check_buffer_sum(named("in place, %s, what kernel and program did", place->name),
			 fix->queue, buffer, SIZE);

	part = MUST_MAKE(
		clCreateSubBuffer(buffer, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &call_err));
	mapped = MUST_MAKE(clEnqueueMapBuffer(fix->queue, part, CL_TRUE, CL_MAP_WRITE, 64, MIB, 0,
					      NULL, NULL, &call_err));
	check_yes(named("in place, %s, part where it is", place->name),
		  mapped == place->memory + MIB + 64);
	memset(mapped, 2, MIB);
	MUST(clEnqueueUnmapMemObject(fix->queue, part, mapped, 0, NULL, NULL));
	MUST(clEnqueueReadBuffer(fix->queue, buffer, CL_TRUE, 0, SIZE, place->memory, 0, NULL,
				 NULL));
	check_sum(named("in place, %s, read to itself", place->name), place->memory, SIZE);
	MUST(clReleaseMemObject(part));
	MUST(clReleaseMemObject(buffer));
	MUST(clFinish(fix->queue));
}

/* Whatever it takes is given back. */
static void many(const struct fixture *fix, cl_kernel kernel, const struct place *place)
{
	pattern(place->memory, SIZE, 8);
	for (cl_uint i = 0; i < 150; i++) {
		cl_mem buffer = MUST_MAKE(clCreateBuffer(fix->context, CL_MEM_USE_HOST_PTR, 2 * MIB,
							 place->memory + i * sizeof(cl_uint) * 64,
							 &call_err));
		const size_t items = 1000;
		void *mapped;

		MUST(clSetKernelArg(kernel, 0, sizeof(cl_mem), &buffer));
		MUST(clSetKernelArg(kernel, 1, sizeof i, &i));
		MUST(clEnqueueNDRangeKernel(fix->queue, kernel, 1, NULL, &items, NULL, 0, NULL,
					    NULL));
		mapped = MUST_MAKE(clEnqueueMapBuffer(fix->queue, buffer, CL_TRUE, CL_MAP_READ, 0,
						      2 * MIB, 0, NULL, NULL, &call_err));
		MUST(clEnqueueUnmapMemObject(fix->queue, buffer, mapped, 0, NULL, NULL));
		MUST(clReleaseMemObject(buffer));
		MUST(clFinish(fix->queue));
	}
	check_sum("many buffers, one after the other", place->memory, SIZE);
}

static FILE *file_made(void)
{
	FILE *file = tmpfile();

	if (!file || ftruncate(fileno(file), SIZE) < 0)
		fatal(__FILE__, __LINE__, "tmpfile", 0);
	return file;
}

int main(void)
{
	struct fixture fix;
	struct place anonymous, shared, file;
	FILE *temporary = file_made();
	cl_program program;
	cl_kernel kernel;

	transcript_begin("large");
	fixture_open(&fix);
	program = program_built(&fix, source, "");
	kernel = kernel_made(program, "add");
	place_map(&anonymous, "at an odd address", MAP_PRIVATE | MAP_ANONYMOUS, -1, 16);
	place_map(&shared, "shared", MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	place_map(&file, "a file", MAP_SHARED, fileno(temporary), 0);

	transfers(&fix, &anonymous, 1);
	transfers(&fix, &shared, 2);
	transfers(&fix, &file, 3);
	read_only_write(&fix, &anonymous);
	rows(&fix, &anonymous);
	in_place(&fix, kernel, &anonymous);
	in_place(&fix, kernel, &file);
	many(&fix, kernel, &anonymous);

	place_unmap(&anonymous);
	place_unmap(&shared);
	place_unmap(&file);
	fclose(temporary);
	MUST(clReleaseKernel(kernel));
	MUST(clReleaseProgram(program));
	fixture_close(&fix);
	return transcript_end();
}
