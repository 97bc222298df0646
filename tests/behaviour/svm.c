/* SPDX-License-Identifier: MIT */
/*
 * Shared virtual memory, coarse-grained: pointers that mean the same to program and kernels.
 */
#include "svm.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

INFO_QUERY(clGetMemObjectInfo, cl_mem)
INFO_QUERY(clGetDeviceInfo, cl_device_id)

#define SIZE  4096
#define NODES 100

static const char source[] =
	"struct node { global struct node *next; int value; };\n"
	"kernel void walk(global struct node *first, global int *sum) {\n"
	"	int total = 0;\n"
	"	for (global struct node *it = first; it; it = it->next) {\n"
	"		total += it->value;\n"
	"		it->value = -it->value;\n"
	"	}\n"
	"	*sum = total;\n"
	"}\n"
	"kernel void link(global struct node *nodes, global int *unused, int count) {\n"
	"	int i = get_global_id(0);\n"
	"	nodes[i].next = i + 1 < count ? nodes + i + 1 : 0;\n"
	"	nodes[i].value = 3 * i;\n"
	"}\n"
	"kernel void add(global int *data, int value) { data[get_global_id(0)] += value; }\n"
	"kernel void null(global int *data, global int *out) { *out = data == 0; }\n"
	"kernel void other(local int *scratch, int value, constant int *table) { }\n";

struct node {
	struct node *next;
	int value;
};

static cl_program program;

static void device_check(const struct fixture *fix)
{
	const struct info infos[] = {
		INFO(CL_DEVICE_SVM_CAPABILITIES, INFO_BITS),
	};

	check_infos("device", query_clGetDeviceInfo, fix->device, infos, ARRAY_SIZE(infos));
}

/* ------------------------------------------------------------ allocation */

static void alloc_check(const struct fixture *fix)
{
	const struct {
		const char *name;
		cl_svm_mem_flags flags;
		size_t size;
		cl_uint alignment;
	} cases[] = {
		{"flags 0", 0, SIZE, 0},
		{"READ_WRITE", CL_MEM_READ_WRITE, SIZE, 0},
		{"READ_ONLY", CL_MEM_READ_ONLY, SIZE, 0},
		{"WRITE_ONLY", CL_MEM_WRITE_ONLY, SIZE, 0},
		{"one byte", CL_MEM_READ_WRITE, 1, 0},
		{"large", CL_MEM_READ_WRITE, 64 << 20, 0},
		{"alignment 1", CL_MEM_READ_WRITE, SIZE, 1},
		{"alignment 64", CL_MEM_READ_WRITE, SIZE, 64},
		{"alignment 128", CL_MEM_READ_WRITE, SIZE, 128},
		{"size 0", CL_MEM_READ_WRITE, 0, 0},
		{"size larger than any", CL_MEM_READ_WRITE, SIZE_MAX, 0},
		{"alignment 3", CL_MEM_READ_WRITE, SIZE, 3},
		{"alignment 4096", CL_MEM_READ_WRITE, SIZE, 4096},
		{"READ_ONLY and WRITE_ONLY", CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY, SIZE, 0},
		{"unknown flag", 1 << 24, SIZE, 0},
		{"USE_HOST_PTR", CL_MEM_USE_HOST_PTR, SIZE, 0},
		{"ATOMICS", CL_MEM_READ_WRITE | CL_MEM_SVM_ATOMICS, SIZE, 0},
		{"FINE_GRAIN_BUFFER", CL_MEM_READ_WRITE | CL_MEM_SVM_FINE_GRAIN_BUFFER, SIZE, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		void *memory =
			clSVMAlloc(fix->context, cases[i].flags, cases[i].size, cases[i].alignment);

		check_yes(named("alloc %s", cases[i].name), memory);
		if (memory && cases[i].alignment)
			check_yes(named("alloc %s is aligned", cases[i].name),
				  (uintptr_t)memory % cases[i].alignment == 0);
		clSVMFree(fix->context, memory);
	}
	check_yes("alloc in context NULL", clSVMAlloc(NULL, 0, SIZE, 0));
	clSVMFree(fix->context, NULL);
}

/* ------------------------------------------------------------ pointers inside */

/* A list in allocations of so many nodes each. */
struct list {
	struct node *nodes[NODES]; /* allocations */
	int count, each;
};

static struct node *node_at(const struct list *list, int index)
{
	return list->nodes[index / list->each] + index % list->each;
}

static void list_map(const struct fixture *fix, const struct list *list, cl_map_flags flags)
{
	for (int i = 0; i < list->count; i++)
		mapped(fix->queue, list->nodes[i], (size_t)list->each * sizeof(struct node), flags);
}

static void list_unmap(const struct fixture *fix, const struct list *list)
{
	for (int i = 0; i < list->count; i++)
		unmapped(fix->queue, list->nodes[i]);
}

static void list_make(const struct fixture *fix, struct list *list, int each)
{
	list->each = each;
	list->count = NODES / each;
	for (int i = 0; i < list->count; i++)
		list->nodes[i] = allocated(fix, (size_t)each * sizeof(struct node));
	list_map(fix, list, CL_MAP_WRITE);
	for (int i = 0; i < NODES; i++) {
		node_at(list, i)->value = i * i;
		node_at(list, i)->next = i ? node_at(list, i - 1) : NULL;
	}
	list_unmap(fix, list);
}

/* Built here, walked there. */
static void list_check(const struct fixture *fix, const char *name, int each)
{
	cl_kernel kernel = kernel_made(program, "walk");
	int *total = allocated(fix, sizeof *total);
	const size_t one = 1;
	long behind = 0;
	struct list list;

	list_make(fix, &list, each);
	check_code(named("%s, first", name),
		   clSetKernelArgSVMPointer(kernel, 0, node_at(&list, NODES - 1)));
	check_code(named("%s, sum", name), clSetKernelArgSVMPointer(kernel, 1, total));
	check_code(named("%s, exec info", name),
		   clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_SVM_PTRS,
				       (size_t)list.count * sizeof(void *), list.nodes));
	check_code(named("%s, launch", name),
		   clEnqueueNDRangeKernel(fix->queue, kernel, 1, NULL, &one, NULL, 0, NULL, NULL));
	mapped(fix->queue, total, sizeof *total, CL_MAP_READ);
	check_number(named("%s, total", name), (unsigned)*total);
	unmapped(fix->queue, total);
	list_map(fix, &list, CL_MAP_READ);
	for (struct node *it = node_at(&list, NODES - 1); it; it = it->next)
		behind += it->value;
	check_number(named("%s, total behind", name), (unsigned long long)-behind);
	list_unmap(fix, &list);
	MUST(clFinish(fix->queue));
	for (int i = 0; i < list.count; i++)
		clSVMFree(fix->context, list.nodes[i]);
	clSVMFree(fix->context, total);
	MUST(clReleaseKernel(kernel));
}

/* Built there, walked here. */
static void link_check(const struct fixture *fix)
{
	cl_kernel kernel = kernel_made(program, "link");
	struct node *nodes = allocated(fix, NODES * sizeof *nodes);
	const size_t global = NODES;
	const int count = NODES;
	unsigned long long total = 0;
	bool inside = true;

	MUST(clSetKernelArgSVMPointer(kernel, 0, nodes));
	MUST(clSetKernelArgSVMPointer(kernel, 1, NULL));
	MUST(clSetKernelArg(kernel, 2, sizeof count, &count));
	MUST(clEnqueueNDRangeKernel(fix->queue, kernel, 1, NULL, &global, NULL, 0, NULL, NULL));
	mapped(fix->queue, nodes, NODES * sizeof *nodes, CL_MAP_READ);
	for (struct node *it = nodes; it; it = it->next) {
		inside &= it >= nodes && it < nodes + NODES;
		total += (unsigned)it->value;
	}
	check_yes("link, pointers are into it", inside);
	check_number("link, total", total);
	unmapped(fix->queue, nodes);
	MUST(clFinish(fix->queue));
	clSVMFree(fix->context, nodes);
	MUST(clReleaseKernel(kernel));
}

/* ------------------------------------------------------------ kernels */

static void kernel_check(const struct fixture *fix)
{
	cl_kernel add = kernel_made(program, "add"), null = kernel_made(program, "null");
	int *data = allocated(fix, SIZE);
	const size_t global = 8, one = 1;
	const int zero = 0;

	MUST(clEnqueueSVMMemFill(fix->queue, data, &zero, sizeof zero, SIZE, 0, NULL, NULL));
	for (int i = 0; i < 20; i++) {
		MUST(clSetKernelArgSVMPointer(add, 0, data + 3 * i));
		MUST(clSetKernelArg(add, 1, sizeof i, &i));
		MUST(clEnqueueNDRangeKernel(fix->queue, add, 1, NULL, &global, NULL, 0, NULL,
					    NULL));
	}
	check_memory("kernel, inside", fix->queue, data, SIZE);
	check_code("kernel, NULL", clSetKernelArgSVMPointer(null, 0, NULL));
	MUST(clSetKernelArgSVMPointer(null, 1, data));
	MUST(clEnqueueNDRangeKernel(fix->queue, null, 1, NULL, &one, NULL, 0, NULL, NULL));
	mapped(fix->queue, data, SIZE, CL_MAP_READ);
	check_number("kernel, was NULL", (unsigned)data[0]);
	unmapped(fix->queue, data);
	MUST(clFinish(fix->queue));
	clSVMFree(fix->context, data);
	MUST(clReleaseKernel(add));
	MUST(clReleaseKernel(null));
}

static void kernel_wrong(const struct fixture *fix)
{
	cl_kernel kernel = kernel_made(program, "other");
	void *data = allocated(fix, SIZE);
	const cl_bool yes = CL_TRUE, no = CL_FALSE;

	wrong_code("argument of kernel NULL", clSetKernelArgSVMPointer(NULL, 0, data));
	wrong_code("argument beyond", clSetKernelArgSVMPointer(kernel, 3, data));
	check_code("argument that is constant", clSetKernelArgSVMPointer(kernel, 2, data));
	wrong_code("exec info of kernel NULL",
		   clSetKernelExecInfo(NULL, CL_KERNEL_EXEC_INFO_SVM_PTRS, sizeof data, &data));
	wrong_code("exec info NULL",
		   clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_SVM_PTRS, sizeof data, NULL));
	wrong_code("exec info unknown", clSetKernelExecInfo(kernel, 1, sizeof data, &data));
	wrong_code("exec info size 0",
		   clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_SVM_PTRS, 0, &data));
	wrong_code("exec info odd size",
		   clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_SVM_PTRS, 5, &data));
	check_code("exec info not system",
		   clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_SVM_FINE_GRAIN_SYSTEM, sizeof no,
				       &no));
	wrong_code("exec info system",
		   clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_SVM_FINE_GRAIN_SYSTEM,
				       sizeof yes, &yes));
	wrong_code("exec info system, odd size",
		   clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_SVM_FINE_GRAIN_SYSTEM, 1, &no));
	clSVMFree(fix->context, data);
	MUST(clReleaseKernel(kernel));
}

/* ------------------------------------------------------------ buffers over it */

static void buffer_check(const struct fixture *fix)
{
	unsigned char *memory = allocated(fix, SIZE);
	cl_buffer_region region = {0, 512};
	const struct info infos[] = {
		INFO(CL_MEM_USES_SVM_POINTER, INFO_UINT),   INFO(CL_MEM_FLAGS, INFO_BITS),
		INFO_IS(CL_MEM_HOST_PTR, memory),	    INFO(CL_MEM_OFFSET, INFO_SIZE),
		INFO_IS(CL_MEM_ASSOCIATED_MEMOBJECT, NULL),
	};
	unsigned char bytes[SIZE];
	unsigned char *pointer;
	cl_mem buffer, part, plain;

	pattern(bytes, SIZE, 9);
	buffer = MUST_MAKE(
		clCreateBuffer(fix->context, CL_MEM_USE_HOST_PTR, SIZE, memory, &call_err));
	check_infos("buffer", query_clGetMemObjectInfo, buffer, infos, ARRAY_SIZE(infos));
	plain = MUST_MAKE(
		clCreateBuffer(fix->context, CL_MEM_USE_HOST_PTR, SIZE, bytes, &call_err));
	check_infos("plain buffer", query_clGetMemObjectInfo, plain, infos, 1);
	MUST(clReleaseMemObject(plain));
	MUST(clEnqueueWriteBuffer(fix->queue, buffer, CL_TRUE, 0, SIZE, bytes, 0, NULL, NULL));
	check_memory("buffer, written", fix->queue, memory, SIZE);
	part = MUST_MAKE(
		clCreateSubBuffer(buffer, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &call_err));
	memset(bytes, 5, sizeof bytes);
	MUST(clEnqueueWriteBuffer(fix->queue, part, CL_TRUE, 100, 100, bytes, 0, NULL, NULL));
	check_memory("buffer, part written", fix->queue, memory, SIZE);
	mapped(fix->queue, memory, SIZE, CL_MAP_WRITE);
	memory[17] = 99;
	unmapped(fix->queue, memory);
	check_buffer_sum("buffer, after unmap", fix->queue, buffer, SIZE);
	check_buffer_sum("buffer, the part", fix->queue, part, 512);
	pointer = clEnqueueMapBuffer(fix->queue, buffer, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 16,
				     64, 0, NULL, NULL, &call_err);
	check_yes("buffer, mapped where it is", pointer == memory + 16);
	pointer[3] = 1;
	MUST(clEnqueueUnmapMemObject(fix->queue, buffer, pointer, 0, NULL, NULL));
	check_memory("buffer, written by its map", fix->queue, memory, SIZE);
	MUST(clReleaseMemObject(part));
	MUST(clReleaseMemObject(buffer));
	buffer = MUST_MAKE(
		clCreateBuffer(fix->context, CL_MEM_USE_HOST_PTR, 64, memory + 20, &call_err));
	check_buffer_sum("buffer, from the middle", fix->queue, buffer, 64);
	MUST(clReleaseMemObject(buffer));
	clSVMFree(fix->context, memory);
}

/* ------------------------------------------------------------ other ways to be used */

/* Addresses that are in use here are no use, and others are found. */
static void crowd_check(const struct fixture *fix)
{
	enum { COUNT = 200 };
	unsigned char *memory[COUNT];
	void *others[COUNT / 10];
	bool apart = true;

	for (int i = 0; i < COUNT; i++) {
		memory[i] = allocated(fix, 5000);
		/* Where the next one may want to be. */
		if (i % 10 == 0)
			others[i / 10] = mmap(memory[i] + 65536, 4096, PROT_READ,
					      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		MUST(clEnqueueSVMMemFill(fix->queue, memory[i], &(char){(char)i}, 1, 5000, 0, NULL,
					 NULL));
	}
	for (int i = 0; i < COUNT; i++) {
		mapped(fix->queue, memory[i], 5000, CL_MAP_READ);
		apart &= memory[i][0] == i && memory[i][4999] == i;
		unmapped(fix->queue, memory[i]);
	}
	check_yes("crowd, all apart", apart);
	MUST(clFinish(fix->queue));
	for (int i = 0; i < COUNT; i++)
		clSVMFree(fix->context, memory[i]);
	for (int i = 0; i < COUNT / 10; i++)
		munmap(others[i], 4096);
}

static void out_of_order_check(const struct fixture *fix)
{
	cl_command_queue queue = MUST_MAKE(clCreateCommandQueue(
		fix->context, fix->device, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &call_err));
	int *data = allocated(fix, SIZE);
	int seven = 7;
	cl_event events[3];

	MUST(clEnqueueSVMMemFill(queue, data, &seven, sizeof seven, SIZE, 0, NULL, &events[0]));
	MUST(clEnqueueSVMMap(queue, CL_FALSE, CL_MAP_READ | CL_MAP_WRITE, data, SIZE, 1, events,
			     &events[1]));
	MUST(clWaitForEvents(1, &events[1]));
	check_number("out of order, filled", (unsigned)data[SIZE / 4 - 1]);
	data[5] = 8;
	MUST(clEnqueueSVMUnmap(queue, data, 0, NULL, &events[2]));
	MUST(clWaitForEvents(1, &events[2]));
	check_memory("out of order, written", queue, data, SIZE);
	for (int i = 0; i < 3; i++)
		MUST(clReleaseEvent(events[i]));
	MUST(clEnqueueSVMFree(queue, 1, (void *[]){data}, NULL, NULL, 0, NULL, NULL));
	MUST(clFinish(queue));
	MUST(clReleaseCommandQueue(queue));
}

struct worker {
	const struct fixture *fix;
	unsigned seed;
	bool sound;
};

static void *thread_run(void *arg)
{
	struct worker *worker = arg;
	const struct fixture *fix = worker->fix;
	cl_int err;
	cl_command_queue queue = clCreateCommandQueue(fix->context, fix->device, 0, &err);
	unsigned char here[SIZE], there[SIZE];

	worker->sound = queue != NULL;
	for (int i = 0; i < 100 && worker->sound; i++) {
		void *a = clSVMAlloc(fix->context, 0, SIZE, 0);
		void *b = clSVMAlloc(fix->context, 0, SIZE, 0);

		pattern(here, SIZE, worker->seed * 1000 + (unsigned)i);
		worker->sound =
			a && b &&
			!clEnqueueSVMMemcpy(queue, CL_FALSE, a, here, SIZE, 0, NULL, NULL) &&
			!clEnqueueSVMMemcpy(queue, CL_FALSE, b, a, SIZE, 0, NULL, NULL) &&
			!clEnqueueSVMMemcpy(queue, CL_TRUE, there, b, SIZE, 0, NULL, NULL) &&
			memcmp(here, there, SIZE) == 0;
		clSVMFree(fix->context, a);
		clSVMFree(fix->context, b);
	}
	clReleaseCommandQueue(queue);
	return NULL;
}

static void threads_check(const struct fixture *fix)
{
	enum { COUNT = 4 };
	struct worker workers[COUNT];
	pthread_t threads[COUNT];
	bool sound = true;

	for (unsigned i = 0; i < COUNT; i++) {
		workers[i] = (struct worker){fix, i, false};
		if (pthread_create(&threads[i], NULL, thread_run, &workers[i]))
			fatal(__FILE__, __LINE__, "pthread_create", CL_OUT_OF_HOST_MEMORY);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		pthread_join(threads[i], NULL);
		sound &= workers[i].sound;
	}
	check_yes("threads", sound);
}

/* What is left when its context ends is given back with it. */
static void left_check(const struct fixture *fix)
{
	cl_context context =
		MUST_MAKE(clCreateContext(NULL, 1, &fix->device, NULL, NULL, &call_err));

	check_yes("left behind", clSVMAlloc(context, 0, SIZE, 0));
	check_code("release its context", clReleaseContext(context));
}

static void large_check(const struct fixture *fix)
{
	const size_t size = 1u << 30;
	cl_ulong largest = 0;
	unsigned char *memory;
	const int value = 0x01020304;

	MUST(clGetDeviceInfo(fix->device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof largest, &largest,
			     NULL));
	memory = largest < size ? NULL : clSVMAlloc(fix->context, 0, size, 0);
	if (!memory)
		return;
	check_code("large, fill", clEnqueueSVMMemFill(fix->queue, memory + size - SIZE, &value,
						      sizeof value, SIZE, 0, NULL, NULL));
	check_memory("large, filled", fix->queue, memory + size - SIZE, SIZE);
	clSVMFree(fix->context, memory);
}

int main(void)
{
	struct fixture fix;

	transcript_begin("svm");
	fixture_open(&fix);
	program = program_built(&fix, source, "");
	device_check(&fix);
	alloc_check(&fix);
	list_check(&fix, "list", NODES);
	list_check(&fix, "many", 1);
	link_check(&fix);
	kernel_check(&fix);
	kernel_wrong(&fix);
	buffer_check(&fix);
	crowd_check(&fix);
	out_of_order_check(&fix);
	threads_check(&fix);
	left_check(&fix);
	large_check(&fix);
	MUST(clReleaseProgram(program));
	fixture_close(&fix);
	return transcript_end();
}
