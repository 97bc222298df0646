/* SPDX-License-Identifier: MIT */
/*
 * Commands on shared virtual memory: map, copy, fill, free.
 */
#include "svm.h"

#include <stdlib.h>
#include <string.h>

INFO_QUERY(clGetEventInfo, cl_event)

#define SIZE 4096

/* ------------------------------------------------------------ map */

static void map_check(const struct fixture *fix)
{
	unsigned char *memory = allocated(fix, SIZE);
	unsigned char *kept = malloc(SIZE);
	cl_event events[2];
	const struct info infos[] = {
		INFO(CL_EVENT_COMMAND_TYPE, INFO_UINT),
		INFO_IS(CL_EVENT_COMMAND_QUEUE, fix->queue),
	};

	mapped(fix->queue, memory, SIZE, CL_MAP_WRITE_INVALIDATE_REGION);
	pattern(memory, SIZE, 1);
	unmapped(fix->queue, memory);
	check_memory("map, overwritten", fix->queue, memory, SIZE);

	mapped(fix->queue, memory + 100, 200, CL_MAP_WRITE);
	pattern(memory + 110, 50, 2);
	unmapped(fix->queue, memory + 100);
	check_memory("map, a part written", fix->queue, memory, SIZE);

	mapped(fix->queue, memory, SIZE, CL_MAP_READ | CL_MAP_WRITE);
	mapped(fix->queue, memory + 1024, 16, CL_MAP_READ);
	check_sum("map, twice", memory + 1024, 16);
	unmapped(fix->queue, memory + 1024);
	memory[0]++;
	unmapped(fix->queue, memory);
	check_memory("map, one added", fix->queue, memory, SIZE);

	check_code("map, not blocking", clEnqueueSVMMap(fix->queue, CL_FALSE, CL_MAP_READ, memory,
							SIZE, 0, NULL, &events[0]));
	MUST(clWaitForEvents(1, events));
	memcpy(kept, memory, SIZE);
	check_sum("map, not blocking, then", kept, SIZE);
	check_infos("map", query_clGetEventInfo, events[0], infos, ARRAY_SIZE(infos));
	check_code("unmap with an event",
		   clEnqueueSVMUnmap(fix->queue, memory, 1, events, &events[1]));
	check_infos("unmap", query_clGetEventInfo, events[1], infos, ARRAY_SIZE(infos));
	MUST(clFinish(fix->queue));
	MUST(clReleaseEvent(events[0]));
	MUST(clReleaseEvent(events[1]));
	free(kept);
	clSVMFree(fix->context, memory);
}

static void map_wrong(const struct fixture *fix)
{
	unsigned char *memory = allocated(fix, SIZE);
	cl_command_queue queue = fix->queue;
	cl_event foreign = clCreateUserEvent(fix->other, &call_err);

	wrong_code("map in queue NULL",
		   clEnqueueSVMMap(NULL, CL_TRUE, CL_MAP_READ, memory, SIZE, 0, NULL, NULL));
	wrong_code("map NULL",
		   clEnqueueSVMMap(queue, CL_TRUE, CL_MAP_READ, NULL, SIZE, 0, NULL, NULL));
	wrong_code("map size 0",
		   clEnqueueSVMMap(queue, CL_TRUE, CL_MAP_READ, memory, 0, 0, NULL, NULL));
	wrong_code("map unknown flags",
		   clEnqueueSVMMap(queue, CL_TRUE, 1 << 20, memory, SIZE, 0, NULL, NULL));
	wrong_code("map list of 0",
		   clEnqueueSVMMap(queue, CL_TRUE, CL_MAP_READ, memory, SIZE, 0, &foreign, NULL));
	wrong_code("map list NULL",
		   clEnqueueSVMMap(queue, CL_TRUE, CL_MAP_READ, memory, SIZE, 1, NULL, NULL));
	wrong_code("map event of another context",
		   clEnqueueSVMMap(queue, CL_FALSE, CL_MAP_READ, memory, SIZE, 1, &foreign, NULL));
	wrong_code("unmap in queue NULL", clEnqueueSVMUnmap(NULL, memory, 0, NULL, NULL));
	wrong_code("unmap NULL", clEnqueueSVMUnmap(queue, NULL, 0, NULL, NULL));
	wrong_code("unmap what isn't mapped", clEnqueueSVMUnmap(queue, memory, 0, NULL, NULL));
	wrong_code("unmap list NULL", clEnqueueSVMUnmap(queue, memory, 1, NULL, NULL));
	MUST(clSetUserEventStatus(foreign, CL_COMPLETE));
	MUST(clReleaseEvent(foreign));
	MUST(clFinish(queue));
	clSVMFree(fix->context, memory);
}

/* ------------------------------------------------------------ copy, fill, migrate */

static void copy_check(const struct fixture *fix)
{
	unsigned char *a = allocated(fix, SIZE), *b = allocated(fix, SIZE);
	unsigned char *here = malloc(SIZE), *there = malloc(SIZE);
	cl_command_queue queue = fix->queue;
	cl_event event;
	const struct info infos[] = {INFO(CL_EVENT_COMMAND_TYPE, INFO_UINT)};

	pattern(here, SIZE, 7);
	check_code("copy to it", clEnqueueSVMMemcpy(queue, CL_TRUE, a, here, SIZE, 0, NULL, NULL));
	check_code("copy within", clEnqueueSVMMemcpy(queue, CL_FALSE, b, a, SIZE, 0, NULL, &event));
	check_infos("copy", query_clGetEventInfo, event, infos, ARRAY_SIZE(infos));
	check_code("copy from it",
		   clEnqueueSVMMemcpy(queue, CL_TRUE, there, b, SIZE, 1, &event, NULL));
	check_yes("copied", memcmp(here, there, SIZE) == 0);
	MUST(clReleaseEvent(event));
	memset(there, 0, SIZE);
	check_code("copy outside",
		   clEnqueueSVMMemcpy(queue, CL_TRUE, there + 5, here, SIZE - 5, 0, NULL, NULL));
	check_sum("copied outside", there, SIZE);
	check_code("copy a part",
		   clEnqueueSVMMemcpy(queue, CL_FALSE, a + 1000, here + 3, 77, 0, NULL, NULL));
	check_code("copy from part to part",
		   clEnqueueSVMMemcpy(queue, CL_FALSE, a, a + 1010, 50, 0, NULL, NULL));
	check_code("copy blocking",
		   clEnqueueSVMMemcpy(queue, CL_TRUE, b + 8, a + 1000, 100, 0, NULL, NULL));
	check_memory("parts copied", queue, a, SIZE);
	check_memory("parts copied to b", queue, b, SIZE);
	free(here);
	free(there);
	clSVMFree(fix->context, a);
	clSVMFree(fix->context, b);
}

static void copy_wrong(const struct fixture *fix)
{
	unsigned char *a = allocated(fix, SIZE), *b = allocated(fix, SIZE);
	cl_command_queue queue = fix->queue;

	wrong_code("copy in queue NULL",
		   clEnqueueSVMMemcpy(NULL, CL_TRUE, a, b, SIZE, 0, NULL, NULL));
	wrong_code("copy to NULL",
		   clEnqueueSVMMemcpy(queue, CL_TRUE, NULL, b, SIZE, 0, NULL, NULL));
	wrong_code("copy from NULL",
		   clEnqueueSVMMemcpy(queue, CL_TRUE, a, NULL, SIZE, 0, NULL, NULL));
	wrong_code("copy overlapping",
		   clEnqueueSVMMemcpy(queue, CL_TRUE, a, a + 10, 20, 0, NULL, NULL));
	wrong_code("copy to itself", clEnqueueSVMMemcpy(queue, CL_TRUE, a, a, 20, 0, NULL, NULL));
	wrong_code("copy size 0", clEnqueueSVMMemcpy(queue, CL_TRUE, a, b, 0, 0, NULL, NULL));
	wrong_code("copy list NULL", clEnqueueSVMMemcpy(queue, CL_TRUE, a, b, SIZE, 1, NULL, NULL));
	MUST(clFinish(queue));
	clSVMFree(fix->context, a);
	clSVMFree(fix->context, b);
}

static void fill_check(const struct fixture *fix)
{
	unsigned char *memory = allocated(fix, SIZE);
	unsigned char bytes[256];
	cl_command_queue queue = fix->queue;
	cl_event event;
	const struct info infos[] = {INFO(CL_EVENT_COMMAND_TYPE, INFO_UINT)};

	pattern(bytes, sizeof bytes, 3);
	for (size_t size = 1; size <= 128; size *= 2) {
		check_code(named("fill by %zu", size),
			   clEnqueueSVMMemFill(queue, memory, bytes, size, SIZE, 0, NULL, &event));
		check_memory(named("filled by %zu", size), queue, memory, SIZE);
		MUST(clReleaseEvent(event));
	}
	check_code("fill a part",
		   clEnqueueSVMMemFill(queue, memory + 256, bytes + 5, 16, 64, 0, NULL, &event));
	check_infos("fill", query_clGetEventInfo, event, infos, ARRAY_SIZE(infos));
	check_memory("filled a part", queue, memory, SIZE);
	MUST(clReleaseEvent(event));
	wrong_code("fill in queue NULL",
		   clEnqueueSVMMemFill(NULL, memory, bytes, 4, SIZE, 0, NULL, NULL));
	wrong_code("fill NULL", clEnqueueSVMMemFill(queue, NULL, bytes, 4, SIZE, 0, NULL, NULL));
	wrong_code("fill by 0", clEnqueueSVMMemFill(queue, memory, bytes, 0, SIZE, 0, NULL, NULL));
	wrong_code("fill by 3", clEnqueueSVMMemFill(queue, memory, bytes, 3, 3, 0, NULL, NULL));
	wrong_code("fill by 256",
		   clEnqueueSVMMemFill(queue, memory, bytes, 256, SIZE, 0, NULL, NULL));
	wrong_code("fill not aligned",
		   clEnqueueSVMMemFill(queue, memory + 2, bytes, 4, 16, 0, NULL, NULL));
	wrong_code("fill not by whole patterns",
		   clEnqueueSVMMemFill(queue, memory, bytes, 4, 18, 0, NULL, NULL));
	wrong_code("fill size 0", clEnqueueSVMMemFill(queue, memory, bytes, 4, 0, 0, NULL, NULL));
	wrong_code("fill list NULL",
		   clEnqueueSVMMemFill(queue, memory, bytes, 4, SIZE, 1, NULL, NULL));
	MUST(clFinish(queue));
	clSVMFree(fix->context, memory);
}

/* ------------------------------------------------------------ free */

struct freed {
	cl_context context;
	cl_command_queue queue;
	cl_uint count;
	void *pointers[2];
	bool sound;
	int calls;
};

static void CL_CALLBACK freed_note(cl_command_queue queue, cl_uint count, void *pointers[],
				   void *data)
{
	struct freed *freed = data;

	freed->calls++;
	freed->sound = queue == freed->queue && count == freed->count &&
		       memcmp(pointers, freed->pointers, count * sizeof *pointers) == 0;
	for (cl_uint i = 0; i < count; i++)
		clSVMFree(freed->context, pointers[i]);
}

static void free_check(const struct fixture *fix)
{
	cl_command_queue queue = fix->queue;
	struct freed freed = {fix->context, queue, 2, {NULL}, false, 0};
	cl_event user = clCreateUserEvent(fix->context, &call_err), event;
	const struct info infos[] = {INFO(CL_EVENT_COMMAND_TYPE, INFO_UINT)};
	void *pointers[2];

	for (int i = 0; i < 2; i++)
		pointers[i] = freed.pointers[i] = allocated(fix, SIZE);
	check_code("free with a function",
		   clEnqueueSVMFree(queue, 2, pointers, freed_note, &freed, 1, &user, &event));
	check_number("free, calls before", (unsigned)freed.calls);
	check_infos("free", query_clGetEventInfo, event, infos, ARRAY_SIZE(infos));
	MUST(clSetUserEventStatus(user, CL_COMPLETE));
	MUST(clWaitForEvents(1, &event));
	check_number("free, calls", (unsigned)freed.calls);
	check_yes("free, arguments", freed.sound);
	MUST(clReleaseEvent(event));
	MUST(clReleaseEvent(user));

	for (int i = 0; i < 2; i++)
		pointers[i] = freed.pointers[i] = allocated(fix, SIZE);
	check_code("free with a function, to be finished",
		   clEnqueueSVMFree(queue, 2, pointers, freed_note, &freed, 0, NULL, NULL));
	MUST(clFinish(queue));
	check_number("free, calls by the finish", (unsigned)freed.calls);
	for (int i = 0; i < 2; i++)
		pointers[i] = allocated(fix, SIZE);
	check_code("free without", clEnqueueSVMFree(queue, 2, pointers, NULL, NULL, 0, NULL, NULL));
	wrong_code("free in queue NULL",
		   clEnqueueSVMFree(NULL, 2, pointers, NULL, NULL, 0, NULL, NULL));
	wrong_code("free 0 of some",
		   clEnqueueSVMFree(queue, 0, pointers, NULL, NULL, 0, NULL, NULL));
	wrong_code("free NULL", clEnqueueSVMFree(queue, 1, NULL, NULL, NULL, 0, NULL, NULL));
	wrong_code("free list NULL",
		   clEnqueueSVMFree(queue, 2, pointers, NULL, NULL, 1, NULL, NULL));
	MUST(clFinish(queue));
}

int main(void)
{
	struct fixture fix;

	transcript_begin("svmcommand");
	fixture_open(&fix);
	map_check(&fix);
	map_wrong(&fix);
	copy_check(&fix);
	copy_wrong(&fix);
	fill_check(&fix);
	free_check(&fix);
	fixture_close(&fix);
	return transcript_end();
}
