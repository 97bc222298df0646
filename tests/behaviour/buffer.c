/* SPDX-License-Identifier: MIT */
/*
 * Buffers and sub-buffers: making them, what they tell of themselves, destructor callbacks.
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

INFO_QUERY(clGetMemObjectInfo, cl_mem)

#define SIZE 4096
#define HOST (CL_MEM_USE_HOST_PTR | CL_MEM_COPY_HOST_PTR)

static _Alignas(4096) unsigned char host[SIZE];

static const struct {
	const char *name;
	cl_mem_flags flags;
} flag_sets[] = {
	{"0", 0},
	{"READ_WRITE", CL_MEM_READ_WRITE},
	{"READ_ONLY", CL_MEM_READ_ONLY},
	{"WRITE_ONLY", CL_MEM_WRITE_ONLY},
	{"ALLOC_HOST_PTR", CL_MEM_ALLOC_HOST_PTR},
	{"USE_HOST_PTR", CL_MEM_USE_HOST_PTR},
	{"COPY_HOST_PTR", CL_MEM_COPY_HOST_PTR},
	{"ALLOC and COPY", CL_MEM_ALLOC_HOST_PTR | CL_MEM_COPY_HOST_PTR},
	{"READ_ONLY and COPY", CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR},
	{"HOST_WRITE_ONLY", CL_MEM_HOST_WRITE_ONLY},
	{"HOST_READ_ONLY and COPY", CL_MEM_HOST_READ_ONLY | CL_MEM_COPY_HOST_PTR},
	{"HOST_NO_ACCESS", CL_MEM_HOST_NO_ACCESS},
};

static void creation_check(const struct fixture *fix)
{
	for (size_t i = 0; i < ARRAY_SIZE(flag_sets); i++) {
		bool with_data = flag_sets[i].flags & HOST;
		const void *kept = flag_sets[i].flags & CL_MEM_USE_HOST_PTR ? host : NULL;
		const struct info infos[] = {
			INFO(CL_MEM_FLAGS, INFO_BITS),
			INFO_IS(CL_MEM_HOST_PTR, kept),
		};
		cl_mem buffer;

		pattern(host, SIZE, (unsigned)i);
		buffer = clCreateBuffer(fix->context, flag_sets[i].flags, SIZE,
					with_data ? host : NULL, &call_err);
		check_made(named("flags %s", flag_sets[i].name), buffer != NULL);
		check_infos(named("flags %s", flag_sets[i].name), query_clGetMemObjectInfo, buffer,
			    infos, ARRAY_SIZE(infos));
		if (with_data)
			check_buffer_sum(named("flags %s content", flag_sets[i].name), fix->queue,
					 buffer, SIZE);
		MUST(clReleaseMemObject(buffer));
	}
}

static void creation_wrong(const struct fixture *fix)
{
	const struct {
		const char *name;
		cl_mem_flags flags;
		size_t size;
		void *host;
	} cases[] = {
		{"size 0", 0, 0, NULL},
		{"size larger than any", 0, SIZE_MAX, NULL},
		{"READ_WRITE and READ_ONLY", CL_MEM_READ_WRITE | CL_MEM_READ_ONLY, SIZE, NULL},
		{"READ_WRITE and WRITE_ONLY", CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY, SIZE, NULL},
		{"READ_ONLY and WRITE_ONLY", CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY, SIZE, NULL},
		{"USE and ALLOC", CL_MEM_USE_HOST_PTR | CL_MEM_ALLOC_HOST_PTR, SIZE, host},
		{"USE and COPY", CL_MEM_USE_HOST_PTR | CL_MEM_COPY_HOST_PTR, SIZE, host},
		{"HOST_READ_ONLY and HOST_WRITE_ONLY",
		 CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_WRITE_ONLY, SIZE, NULL},
		{"HOST_READ_ONLY and HOST_NO_ACCESS", CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS,
		 SIZE, NULL},
		{"HOST_WRITE_ONLY and HOST_NO_ACCESS",
		 CL_MEM_HOST_WRITE_ONLY | CL_MEM_HOST_NO_ACCESS, SIZE, NULL},
		{"unknown flag", 1 << 24, SIZE, NULL},
		{"unknown flag beside a known one", CL_MEM_READ_ONLY | 1 << 6, SIZE, NULL},
		{"host pointer without a flag", CL_MEM_READ_WRITE, SIZE, host},
		{"host pointer with ALLOC", CL_MEM_ALLOC_HOST_PTR, SIZE, host},
		{"USE without host pointer", CL_MEM_USE_HOST_PTR, SIZE, NULL},
		{"COPY without host pointer", CL_MEM_COPY_HOST_PTR, SIZE, NULL},
	};
	cl_ulong largest = 0;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		WRONG_MADE(named("create %s", cases[i].name),
			   clCreateBuffer(fix->context, cases[i].flags, cases[i].size,
					  cases[i].host, &call_err));
	MUST(clGetDeviceInfo(fix->device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(largest), &largest,
			     NULL));
	WRONG_MADE("create one byte too large",
		   clCreateBuffer(fix->context, 0, largest + 1, NULL, &call_err));
	WRONG_MADE("create in context NULL", clCreateBuffer(NULL, 0, SIZE, NULL, &call_err));
}

static void info_check(const struct fixture *fix)
{
	const struct info infos[] = {
		INFO(CL_MEM_TYPE, INFO_UINT),
		INFO(CL_MEM_SIZE, INFO_SIZE),
		INFO(CL_MEM_MAP_COUNT, INFO_UINT),
		INFO_IS(CL_MEM_CONTEXT, fix->context),
		INFO_IS(CL_MEM_ASSOCIATED_MEMOBJECT, NULL),
		INFO(CL_MEM_OFFSET, INFO_SIZE),
		INFO(CL_MEM_REFERENCE_COUNT, INFO_UINT),
	};
	cl_mem buffer = MUST_MAKE(clCreateBuffer(fix->context, 0, SIZE + 1, NULL, &call_err));

	check_infos("info", query_clGetMemObjectInfo, buffer, infos, ARRAY_SIZE(infos));
	wrong_infos("buffer", query_clGetMemObjectInfo, buffer, CL_MEM_SIZE, true);
	wrong_code("image info of a buffer",
		   clGetImageInfo(buffer, CL_IMAGE_WIDTH, SIZE, host, NULL));
	check_code("retain", clRetainMemObject(buffer));
	check_infos("retained", query_clGetMemObjectInfo, buffer, &infos[6], 1);
	check_code("release", clReleaseMemObject(buffer));
	check_infos("released once", query_clGetMemObjectInfo, buffer, &infos[6], 1);
	check_code("release for good", clReleaseMemObject(buffer));
	wrong_code("retain NULL", clRetainMemObject(NULL));
	wrong_code("release NULL", clReleaseMemObject(NULL));
}

static void properties_check(const struct fixture *fix)
{
	static const cl_mem_properties none[] = {0};
	static const cl_mem_properties unknown[] = {0x7dea, 1, 0};
	const struct {
		const char *name;
		const cl_mem_properties *list;
	} lists[] = {{"no properties", NULL}, {"empty properties", none}};
	const struct info infos[] = {
		INFO(CL_MEM_PROPERTIES, INFO_SIZES),
		INFO(CL_MEM_SIZE, INFO_SIZE),
		INFO(CL_MEM_FLAGS, INFO_BITS),
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		cl_mem buffer = clCreateBufferWithProperties(
			fix->context, lists[i].list, CL_MEM_READ_ONLY, SIZE, NULL, &call_err);

		check_made(lists[i].name, buffer != NULL);
		check_infos(lists[i].name, query_clGetMemObjectInfo, buffer, infos,
			    ARRAY_SIZE(infos));
		MUST(clReleaseMemObject(buffer));
	}
	MADE("copied, with properties",
	     clCreateBufferWithProperties(fix->context, none, CL_MEM_COPY_HOST_PTR, SIZE, host,
					  &call_err));
	WRONG_MADE("properties, context NULL",
		   clCreateBufferWithProperties(NULL, none, 0, SIZE, NULL, &call_err));
	WRONG_MADE("unknown property",
		   clCreateBufferWithProperties(fix->context, unknown, 0, SIZE, NULL, &call_err));
	WRONG_MADE("properties, size 0",
		   clCreateBufferWithProperties(fix->context, none, 0, 0, NULL, &call_err));
	WRONG_MADE(
		"properties, unknown flag",
		clCreateBufferWithProperties(fix->context, none, 1 << 20, SIZE, NULL, &call_err));
}

static cl_mem sub_buffer(cl_mem parent, cl_mem_flags flags, size_t origin, size_t size)
{
	const cl_buffer_region region = {origin, size};

	return clCreateSubBuffer(parent, flags, CL_BUFFER_CREATE_TYPE_REGION, &region, &call_err);
}

static void sub_buffer_info_check(const struct fixture *fix, const char *what, cl_mem parent,
				  cl_mem_flags flags, const void *pointer)
{
	const struct info infos[] = {
		INFO(CL_MEM_TYPE, INFO_UINT),	       INFO(CL_MEM_FLAGS, INFO_BITS),
		INFO(CL_MEM_SIZE, INFO_SIZE),	       INFO(CL_MEM_OFFSET, INFO_SIZE),
		INFO_IS(CL_MEM_CONTEXT, fix->context), INFO_IS(CL_MEM_ASSOCIATED_MEMOBJECT, parent),
		INFO_IS(CL_MEM_HOST_PTR, pointer),     INFO(CL_MEM_REFERENCE_COUNT, INFO_UINT),
	};
	cl_mem part = sub_buffer(parent, flags, 1024, 512);

	check_made(what, part != NULL);
	check_infos(what, query_clGetMemObjectInfo, part, infos, ARRAY_SIZE(infos));
	MUST(clReleaseMemObject(part));
}

static void sub_buffer_check(const struct fixture *fix)
{
	cl_mem parent = buffer_patterned(fix, SIZE, 5);
	cl_mem reader =
		MUST_MAKE(clCreateBuffer(fix->context, CL_MEM_READ_ONLY, SIZE, NULL, &call_err));
	cl_mem user =
		MUST_MAKE(clCreateBuffer(fix->context, CL_MEM_USE_HOST_PTR, SIZE, host, &call_err));
	cl_mem part = MUST_MAKE(sub_buffer(parent, 0, 1024, 512));
	unsigned char data[512];

	sub_buffer_info_check(fix, "sub-buffer", parent, 0, NULL);
	sub_buffer_info_check(fix, "sub-buffer READ_ONLY", parent, CL_MEM_READ_ONLY, NULL);
	sub_buffer_info_check(fix, "sub-buffer of READ_ONLY", reader, 0, NULL);
	sub_buffer_info_check(fix, "sub-buffer of USE_HOST_PTR", user, 0, host + 1024);
	check_buffer_sum("sub-buffer content", fix->queue, part, 512);
	pattern(data, sizeof(data), 6);
	MUST(clEnqueueWriteBuffer(fix->queue, part, CL_TRUE, 0, sizeof(data), data, 0, NULL, NULL));
	check_buffer_sum("parent after a write to its part", fix->queue, parent, SIZE);
	MUST(clEnqueueWriteBuffer(fix->queue, parent, CL_TRUE, 1280, sizeof(data), data, 0, NULL,
				  NULL));
	check_buffer_sum("part after a write to its parent", fix->queue, part, 512);
	check_code("release parent before its part", clReleaseMemObject(parent));
	check_buffer_sum("part after release of its parent", fix->queue, part, 512);
	check_code("release part", clReleaseMemObject(part));
	MUST(clReleaseMemObject(reader));
	MUST(clReleaseMemObject(user));
}

static void sub_buffer_wrong(cl_mem parent)
{
	const struct {
		const char *name;
		cl_mem_flags flags;
		size_t origin;
		size_t size;
	} cases[] = {
		{"misaligned", 0, 1, 512},
		{"misaligned by four", 0, 1028, 512},
		{"of size 0", 0, 1024, 0},
		{"beyond the end", 0, SIZE, 512},
		{"across the end", 0, 3584, 1024},
		{"larger than its parent", 0, 0, SIZE + 1},
		{"of a size that wraps", 0, 1024, SIZE_MAX - 512},
		{"READ_ONLY and WRITE_ONLY", CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY, 0, 512},
		{"READ_WRITE and READ_ONLY", CL_MEM_READ_WRITE | CL_MEM_READ_ONLY, 0, 512},
		{"USE_HOST_PTR", CL_MEM_USE_HOST_PTR, 0, 512},
		{"ALLOC_HOST_PTR", CL_MEM_ALLOC_HOST_PTR, 0, 512},
		{"COPY_HOST_PTR", CL_MEM_COPY_HOST_PTR, 0, 512},
		{"HOST_READ_ONLY and HOST_NO_ACCESS", CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS,
		 0, 512},
		{"unknown flag", 1 << 24, 0, 512},
	};
	const cl_buffer_region region = {0, 512};
	cl_mem part;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		WRONG_MADE(named("sub-buffer %s", cases[i].name),
			   sub_buffer(parent, cases[i].flags, cases[i].origin, cases[i].size));
	WRONG_MADE("sub-buffer of NULL", sub_buffer(NULL, 0, 0, 512));
	WRONG_MADE("sub-buffer region NULL",
		   clCreateSubBuffer(parent, 0, CL_BUFFER_CREATE_TYPE_REGION, NULL, &call_err));
	WRONG_MADE("sub-buffer of unknown type",
		   clCreateSubBuffer(parent, 0, 0x7dea, &region, &call_err));
	part = MUST_MAKE(sub_buffer(parent, 0, 0, 1024));
	WRONG_MADE("sub-buffer of a sub-buffer", sub_buffer(part, 0, 0, 512));
	MUST(clReleaseMemObject(part));
}

/* A part may not allow what its parent forbids. */
static void sub_buffer_rights_wrong(const struct fixture *fix)
{
	const struct {
		const char *name;
		cl_mem_flags parent;
		cl_mem_flags part;
	} cases[] = {
		{"READ_WRITE of READ_ONLY", CL_MEM_READ_ONLY, CL_MEM_READ_WRITE},
		{"WRITE_ONLY of READ_ONLY", CL_MEM_READ_ONLY, CL_MEM_WRITE_ONLY},
		{"READ_WRITE of WRITE_ONLY", CL_MEM_WRITE_ONLY, CL_MEM_READ_WRITE},
		{"READ_ONLY of WRITE_ONLY", CL_MEM_WRITE_ONLY, CL_MEM_READ_ONLY},
		{"HOST_READ_ONLY of HOST_WRITE_ONLY", CL_MEM_HOST_WRITE_ONLY,
		 CL_MEM_HOST_READ_ONLY},
		{"HOST_WRITE_ONLY of HOST_READ_ONLY", CL_MEM_HOST_READ_ONLY,
		 CL_MEM_HOST_WRITE_ONLY},
		{"HOST_READ_ONLY of HOST_NO_ACCESS", CL_MEM_HOST_NO_ACCESS, CL_MEM_HOST_READ_ONLY},
		{"HOST_WRITE_ONLY of HOST_NO_ACCESS", CL_MEM_HOST_NO_ACCESS,
		 CL_MEM_HOST_WRITE_ONLY},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cl_mem parent = MUST_MAKE(
			clCreateBuffer(fix->context, cases[i].parent, SIZE, NULL, &call_err));

		WRONG_MADE(named("sub-buffer %s", cases[i].name),
			   sub_buffer(parent, cases[i].part, 0, 512));
		MUST(clReleaseMemObject(parent));
	}
}

static char destroyed[16];

static void CL_CALLBACK destructor(cl_mem buffer, void *data)
{
	(void)buffer;
	strcat(destroyed, data);
}

/* Callbacks run in the reverse of the order in which they were set, at the last release. */
static void destructor_check(const struct fixture *fix)
{
	cl_mem buffer = MUST_MAKE(clCreateBuffer(fix->context, 0, SIZE, NULL, &call_err));

	check_code("destructor a", clSetMemObjectDestructorCallback(buffer, destructor, "a"));
	check_code("destructor b", clSetMemObjectDestructorCallback(buffer, destructor, "b"));
	check_code("destructor c", clSetMemObjectDestructorCallback(buffer, destructor, "c"));
	wrong_code("destructor NULL", clSetMemObjectDestructorCallback(buffer, NULL, NULL));
	wrong_code("destructor of NULL", clSetMemObjectDestructorCallback(NULL, destructor, "x"));
	MUST(clRetainMemObject(buffer));
	MUST(clReleaseMemObject(buffer));
	check_text("destroyed before the last release", destroyed);
	MUST(clReleaseMemObject(buffer));
	check_text("destroyed after the last release", destroyed);
}

/* The memory of USE_HOST_PTR may be freed when the destructor callback has run. */
static void host_memory_check(const struct fixture *fix)
{
	unsigned char *memory = malloc(SIZE);
	cl_mem buffer = MUST_MAKE(
		clCreateBuffer(fix->context, CL_MEM_USE_HOST_PTR, SIZE, memory, &call_err));

	destroyed[0] = '\0';
	MUST(clSetMemObjectDestructorCallback(buffer, destructor, "gone"));
	pattern(host, SIZE, 9);
	MUST(clEnqueueWriteBuffer(fix->queue, buffer, CL_FALSE, 0, SIZE, host, 0, NULL, NULL));
	MUST(clFinish(fix->queue));
	check_buffer_sum("USE_HOST_PTR after a write", fix->queue, buffer, SIZE);
	MUST(clReleaseMemObject(buffer));
	check_text("USE_HOST_PTR memory", destroyed);
	free(memory);
}

/* As many bytes as one may have at most in one buffer, without touching them. */
static void largest_check(const struct fixture *fix)
{
	cl_ulong largest = 0;

	MUST(clGetDeviceInfo(fix->device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(largest), &largest,
			     NULL));
	MADE("largest", clCreateBuffer(fix->context, 0, largest, NULL, &call_err));
	for (size_t size = 1; size <= 1 << 20; size = size * 8 + 1) {
		cl_mem buffer = buffer_patterned(fix, size, (unsigned)size);

		check_buffer_sum(named("content of %zu bytes", size), fix->queue, buffer, size);
		MUST(clReleaseMemObject(buffer));
	}
}

int main(void)
{
	struct fixture fix;
	cl_mem parent;

	transcript_begin("buffer");
	fixture_open(&fix);
	creation_check(&fix);
	creation_wrong(&fix);
	info_check(&fix);
	properties_check(&fix);
	sub_buffer_check(&fix);
	parent = MUST_MAKE(clCreateBuffer(fix.context, 0, SIZE, NULL, &call_err));
	sub_buffer_wrong(parent);
	MUST(clReleaseMemObject(parent));
	sub_buffer_rights_wrong(&fix);
	destructor_check(&fix);
	host_memory_check(&fix);
	largest_check(&fix);
	fixture_close(&fix);
	return transcript_end();
}
