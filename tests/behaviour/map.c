/* SPDX-License-Identifier: MIT */
/*
 * Mapping buffers. Mapped images are image.c's.
 */
#include "harness.h"

#include <string.h>
#include <unistd.h>

#define SIZE 65536

static _Alignas(4096) unsigned char host[SIZE];

static void *map(const struct fixture *fix, cl_mem buffer, cl_map_flags flags, size_t offset,
		 size_t size)
{
	return clEnqueueMapBuffer(fix->queue, buffer, CL_TRUE, flags, offset, size, 0, NULL, NULL,
				  &call_err);
}

static cl_int unmap(const struct fixture *fix, cl_mem buffer, void *mapped)
{
	return clEnqueueUnmapMemObject(fix->queue, buffer, mapped, 0, NULL, NULL);
}

static cl_uint map_count(cl_mem buffer)
{
	cl_uint count = 0;

	MUST(clGetMemObjectInfo(buffer, CL_MEM_MAP_COUNT, sizeof(count), &count, NULL));
	return count;
}

static void count_check(const char *name, cl_mem buffer)
{
	check_number(name, map_count(buffer));
}

/* Native PoCL 3.1 counts after clFinish(), on a thread of its own, which a busy machine may keep
 * waiting. */
static void count_check_soon(const char *name, cl_mem buffer, cl_uint wanted)
{
	for (int i = 0; i < 1000 && map_count(buffer) != wanted; i++)
		usleep(5000);
	count_check(name, buffer);
}

static const struct {
	const char *name;
	cl_mem_flags flags;
} kinds[] = {
	{"plain", 0},
	{"USE_HOST_PTR", CL_MEM_USE_HOST_PTR},
	{"COPY_HOST_PTR", CL_MEM_COPY_HOST_PTR},
	{"ALLOC_HOST_PTR", CL_MEM_ALLOC_HOST_PTR},
	{"READ_ONLY", CL_MEM_READ_ONLY},
	{"WRITE_ONLY", CL_MEM_WRITE_ONLY},
};

/* What the host writes through a mapping is in the buffer, and the other way round. */
static void kind_check(const struct fixture *fix, const char *name, cl_mem_flags flags)
{
	bool with_host = flags & (CL_MEM_USE_HOST_PTR | CL_MEM_COPY_HOST_PTR);
	unsigned char data[1000];
	unsigned char *mapped;
	cl_mem buffer;

	pattern(host, SIZE, 1);
	buffer = MUST_MAKE(
		clCreateBuffer(fix->context, flags, SIZE, with_host ? host : NULL, &call_err));
	if (!with_host)
		MUST(clEnqueueWriteBuffer(fix->queue, buffer, CL_TRUE, 0, SIZE, host, 0, NULL,
					  NULL));
	mapped = map(fix, buffer, CL_MAP_READ, 100, 1000);
	check_made(named("%s map to read", name), mapped != NULL);
	check_sum(named("%s mapped", name), mapped, 1000);
	if (flags & CL_MEM_USE_HOST_PTR)
		check_yes("mapping of USE_HOST_PTR lies in the host's memory",
			  mapped == host + 100);
	check_code(named("%s unmap", name), unmap(fix, buffer, mapped));

	mapped = map(fix, buffer, CL_MAP_WRITE, 4000, 1000);
	check_made(named("%s map to write", name), mapped != NULL);
	pattern(mapped + 10, 100, 2);
	MUST(unmap(fix, buffer, mapped));
	check_buffer_sum(named("%s written", name), fix->queue, buffer, SIZE);

	mapped = map(fix, buffer, CL_MAP_WRITE_INVALIDATE_REGION, 30000, sizeof(data));
	check_made(named("%s map to overwrite", name), mapped != NULL);
	pattern(mapped, sizeof(data), 3);
	MUST(unmap(fix, buffer, mapped));
	check_buffer_sum(named("%s overwritten", name), fix->queue, buffer, SIZE);

	mapped = map(fix, buffer, CL_MAP_READ | CL_MAP_WRITE, 0, SIZE);
	check_made(named("%s map to read and write", name), mapped != NULL);
	check_sum(named("%s mapped whole", name), mapped, SIZE);
	for (size_t i = 0; i < SIZE; i += 3)
		mapped[i] ^= 0x55;
	MUST(unmap(fix, buffer, mapped));
	check_buffer_sum(named("%s changed", name), fix->queue, buffer, SIZE);
	MUST(clReleaseMemObject(buffer));
}

static void several_check(const struct fixture *fix)
{
	cl_mem buffer = buffer_patterned(fix, SIZE, 4);
	void *mapped[3];

	count_check("count before", buffer);
	mapped[0] = MUST_MAKE(map(fix, buffer, CL_MAP_READ, 0, 4096));
	mapped[1] = MUST_MAKE(map(fix, buffer, CL_MAP_READ, 2048, 4096));
	mapped[2] = MUST_MAKE(map(fix, buffer, CL_MAP_READ, 0, 4096));
	count_check("count of three", buffer);
	check_yes("overlapping mappings show the same",
		  !memcmp((char *)mapped[0] + 2048, mapped[1], 2048));
	check_yes("equal mappings show the same", !memcmp(mapped[0], mapped[2], 4096));
	MUST(unmap(fix, buffer, mapped[1]));
	MUST(clFinish(fix->queue));
	count_check_soon("count of two", buffer, 2);
	check_sum("first after unmap of the second", mapped[0], 4096);
	check_code("unmap first", unmap(fix, buffer, mapped[0]));
	check_code("unmap third", unmap(fix, buffer, mapped[2]));
	MUST(clFinish(fix->queue));
	count_check_soon("count after", buffer, 0);
	wrong_code("unmap once too often", unmap(fix, buffer, mapped[0]));
	MUST(clReleaseMemObject(buffer));
}

/* A mapping sees what was enqueued before it, and its unmapping is seen by what comes after. */
static void order_check(const struct fixture *fix)
{
	cl_mem buffer = buffer_patterned(fix, SIZE, 5);
	cl_mem copy = MUST_MAKE(clCreateBuffer(fix->context, 0, SIZE, NULL, &call_err));
	cl_event ready = NULL;
	unsigned char *mapped;

	pattern(host, SIZE, 6);
	MUST(clEnqueueWriteBuffer(fix->queue, buffer, CL_FALSE, 0, SIZE, host, 0, NULL, NULL));
	mapped = MUST_MAKE(map(fix, buffer, CL_MAP_READ | CL_MAP_WRITE, 0, SIZE));
	check_yes("mapping sees the write before it", !memcmp(mapped, host, SIZE));
	pattern(mapped, SIZE, 7);
	MUST(unmap(fix, buffer, mapped));
	MUST(clEnqueueCopyBuffer(fix->queue, buffer, copy, 0, 0, SIZE, 0, NULL, NULL));
	check_buffer_sum("copy after unmap", fix->queue, copy, SIZE);

	MUST(clEnqueueFillBuffer(fix->queue, buffer, "wxyz", 4, 0, SIZE, 0, NULL, NULL));
	mapped = clEnqueueMapBuffer(fix->queue, buffer, CL_FALSE, CL_MAP_READ, 16, 1024, 0, NULL,
				    &ready, &call_err);
	check_made("map without blocking", mapped != NULL);
	MUST(clWaitForEvents(1, &ready));
	check_sum("mapped when the event is complete", mapped, 1024);
	MUST(clReleaseEvent(ready));
	MUST(unmap(fix, buffer, mapped));
	MUST(clFinish(fix->queue));
	MUST(clReleaseMemObject(buffer));
	MUST(clReleaseMemObject(copy));
}

static void part_check(const struct fixture *fix)
{
	const cl_buffer_region region = {4096, 8192};
	cl_mem buffer = buffer_patterned(fix, SIZE, 8);
	cl_mem part = MUST_MAKE(
		clCreateSubBuffer(buffer, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &call_err));
	unsigned char *mapped = map(fix, part, CL_MAP_READ | CL_MAP_WRITE, 128, 1024);

	check_made("map a part", mapped != NULL);
	check_sum("mapped part", mapped, 1024);
	count_check("count of the part", part);
	count_check("count of the parent", buffer);
	pattern(mapped, 1024, 9);
	check_code("unmap a part", unmap(fix, part, mapped));
	check_buffer_sum("parent after a part was written", fix->queue, buffer, SIZE);
	MUST(clReleaseMemObject(part));
	MUST(clReleaseMemObject(buffer));
}

/* What wrong_made() asks of a mapping: nothing to release. */
static void wrong_map(const char *name, const struct fixture *fix, cl_mem buffer,
		      cl_map_flags flags, size_t offset, size_t size)
{
	void *mapped;

	call_err = 1;
	mapped = map(fix, buffer, flags, offset, size);
	wrong_made(name, mapped != NULL);
	if (mapped)
		MUST(unmap(fix, buffer, mapped));
	MUST(clFinish(fix->queue));
}

static void map_wrong(const struct fixture *fix)
{
	static const struct {
		const char *name;
		cl_map_flags flags;
		size_t offset;
		size_t size;
	} cases[] = {
		{"map of size 0", CL_MAP_READ, 0, 0},
		{"map larger than the buffer", CL_MAP_READ, 0, SIZE + 1},
		{"map across the end", CL_MAP_READ, 1, SIZE},
		{"map beyond the end", CL_MAP_READ, SIZE, 1},
		{"map wrapping", CL_MAP_READ, 16, SIZE_MAX - 8},
		{"map with unknown flags", 1 << 10, 0, SIZE},
		{"map with unknown flags beside known ones", CL_MAP_READ | 1 << 10, 0, SIZE},
		{"map to read and to overwrite", CL_MAP_READ | CL_MAP_WRITE_INVALIDATE_REGION, 0,
		 SIZE},
		{"map to write and to overwrite", CL_MAP_WRITE | CL_MAP_WRITE_INVALIDATE_REGION, 0,
		 SIZE},
	};
	cl_mem buffer = buffer_patterned(fix, SIZE, 10);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		wrong_map(cases[i].name, fix, buffer, cases[i].flags, cases[i].offset,
			  cases[i].size);
	wrong_map("map of NULL", fix, NULL, CL_MAP_READ, 0, SIZE);
	MUST(clReleaseMemObject(buffer));
}

static void rights_wrong(const struct fixture *fix)
{
	static const struct {
		const char *name;
		cl_mem_flags flags;
		cl_map_flags map;
	} cases[] = {
		{"map to write HOST_READ_ONLY", CL_MEM_HOST_READ_ONLY, CL_MAP_WRITE},
		{"map to overwrite HOST_READ_ONLY", CL_MEM_HOST_READ_ONLY,
		 CL_MAP_WRITE_INVALIDATE_REGION},
		{"map to read HOST_WRITE_ONLY", CL_MEM_HOST_WRITE_ONLY, CL_MAP_READ},
		{"map to read and write HOST_WRITE_ONLY", CL_MEM_HOST_WRITE_ONLY,
		 CL_MAP_READ | CL_MAP_WRITE},
		{"map to read HOST_NO_ACCESS", CL_MEM_HOST_NO_ACCESS, CL_MAP_READ},
		{"map to write HOST_NO_ACCESS", CL_MEM_HOST_NO_ACCESS, CL_MAP_WRITE},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cl_mem buffer = MUST_MAKE(
			clCreateBuffer(fix->context, cases[i].flags, SIZE, NULL, &call_err));

		wrong_map(cases[i].name, fix, buffer, cases[i].map, 0, SIZE);
		MUST(clReleaseMemObject(buffer));
	}
}

static void unmap_wrong(const struct fixture *fix)
{
	cl_mem buffer = buffer_patterned(fix, SIZE, 11);
	cl_mem second = buffer_patterned(fix, SIZE, 12);
	unsigned char *mapped = MUST_MAKE(map(fix, buffer, CL_MAP_READ, 0, SIZE));

	wrong_code("unmap pointer NULL", unmap(fix, buffer, NULL));
	wrong_code("unmap of buffer NULL", unmap(fix, NULL, mapped));
	wrong_code("unmap from another buffer", unmap(fix, second, mapped));
	wrong_code("unmap a pointer never mapped", unmap(fix, buffer, host));
	wrong_code("unmap a pointer within a mapping", unmap(fix, buffer, mapped + 1));
	check_code("unmap after wrong ones", unmap(fix, buffer, mapped));
	MUST(clFinish(fix->queue));
	MUST(clReleaseMemObject(buffer));
	MUST(clReleaseMemObject(second));
}

int main(void)
{
	struct fixture fix;

	transcript_begin("map");
	fixture_open(&fix);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		kind_check(&fix, kinds[i].name, kinds[i].flags);
	several_check(&fix);
	order_check(&fix);
	part_check(&fix);
	map_wrong(&fix);
	rights_wrong(&fix);
	unmap_wrong(&fix);
	fixture_close(&fix);
	return transcript_end();
}
