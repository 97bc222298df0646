/* SPDX-License-Identifier: MIT */
/*
 * The tasks of the stress test. Each waits for all that it began before memory of its own goes.
 */
#include "stress.h"

#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define WORDS_MAX 16384u
#define EDGE_MAX  64u

/* Work-groups of one size, since runtimes compile kernels for each. */
static const size_t line_group = 16;
static const size_t square_group[] = {4, 4};

#define TEXT_(line)  #line
#define PLACE_(line) "line " TEXT_(line)

/* Notes what is wrong, and ends the task: what it has made is left as it is. */
#define SURE(s, right)                                                                             \
	do {                                                                                       \
		if (!(right)) {                                                                    \
			(s)->failed = PLACE_(__LINE__) ": " #right;                                \
			return;                                                                    \
		}                                                                                  \
	} while (0)
#define DO(s, call) SURE(s, ((s)->code = (call)) == CL_SUCCESS)
#define MAKE(s, made, call)                                                                        \
	do {                                                                                       \
		(made) = (call);                                                                   \
		(s)->code = call_err;                                                              \
		SURE(s, made);                                                                     \
	} while (0)

static unsigned drawn(struct stress *s, unsigned below)
{
	/* splitmix64 */
	uint64_t z = s->state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return (unsigned)((z ^ (z >> 31)) % below);
}

static bool words_are(const cl_uint *words, size_t count, unsigned seed, cl_uint more)
{
	for (size_t i = 0; i < count; i++)
		if (words[i] != seed + (cl_uint)i * 2654435761U + more)
			return false;
	return true;
}

static void words_make(cl_uint *words, size_t count, unsigned seed)
{
	for (size_t i = 0; i < count; i++)
		words[i] = seed + (cl_uint)i * 2654435761U;
}

/* Memory that faults once it has been given back. */
static cl_uint *pages_get(void)
{
	void *at = mmap(NULL, WORDS_MAX * sizeof(cl_uint), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static void pages_put(cl_uint *words)
{
	munmap(words, WORDS_MAX * sizeof(cl_uint));
}

/* A kernel that is there for one launch; it may be a copy of another. */
static cl_kernel add_kernel(struct stress *s, cl_program program, cl_uint value)
{
	cl_kernel kernel = clCreateKernel(program, "add", &call_err);

	if (!kernel)
		return NULL;
	call_err = clSetKernelArg(kernel, 1, sizeof value, &value);
	if (call_err == CL_SUCCESS && drawn(s, 4) == 0) {
		cl_kernel copy = clCloneKernel(kernel, &call_err);

		clReleaseKernel(kernel);
		return copy;
	}
	return kernel;
}

/* Written, worked on, read, without waiting before the end; the pages go at once. */
static void buffer_task(struct stress *s)
{
	size_t count = line_group * (1 + drawn(s, WORDS_MAX / 16)), size = count * sizeof(cl_uint);
	unsigned seed = drawn(s, 1u << 30);
	cl_uint *from = pages_get(), *to = pages_get();
	cl_event written, read;
	cl_kernel kernel;
	cl_mem buffer;

	SURE(s, from && to);
	words_make(from, count, seed);
	MAKE(s, buffer, clCreateBuffer(s->fix->context, 0, size, NULL, &call_err));
	DO(s, clEnqueueWriteBuffer(s->queue, buffer, CL_FALSE, 0, size, from, 0, NULL, &written));
	MAKE(s, kernel, add_kernel(s, s->program, 3));
	DO(s, clSetKernelArg(kernel, 0, sizeof buffer, &buffer));
	DO(s,
	   clEnqueueNDRangeKernel(s->queue, kernel, 1, NULL, &count, &line_group, 0, NULL, NULL));
	DO(s, clReleaseKernel(kernel));
	DO(s, clEnqueueReadBuffer(s->queue, buffer, CL_FALSE, 0, size, to, 0, NULL, &read));
	if (drawn(s, 2)) {
		DO(s, clReleaseMemObject(buffer));
		buffer = NULL;
	}
	DO(s, clWaitForEvents(1, &written));
	pages_put(from);
	DO(s, clWaitForEvents(1, &read));
	SURE(s, words_are(to, count, seed, 3));
	pages_put(to);
	DO(s, clReleaseEvent(written));
	DO(s, clReleaseEvent(read));
	if (buffer)
		DO(s, clReleaseMemObject(buffer));
}

/* The middle of a buffer is filled; what is beside it stays. The whole may be released first. */
static void part_task(struct stress *s)
{
	enum { QUARTER = 1024 };
	cl_buffer_region region = {QUARTER * sizeof(cl_uint), 2 * QUARTER * sizeof(cl_uint)};
	unsigned seed = drawn(s, 1u << 30);
	cl_uint words[4 * QUARTER];
	bool part_first = drawn(s, 2);
	cl_mem whole, part;

	words_make(words, 4 * QUARTER, seed);
	MAKE(s, whole,
	     clCreateBuffer(s->fix->context, CL_MEM_COPY_HOST_PTR, sizeof words, words, &call_err));
	MAKE(s, part,
	     clCreateSubBuffer(whole, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &call_err));
	DO(s,
	   clEnqueueFillBuffer(s->queue, part, &seed, sizeof seed, 0, region.size, 0, NULL, NULL));
	DO(s, clEnqueueReadBuffer(s->queue, whole, CL_TRUE, 0, sizeof words, words, 0, NULL, NULL));
	SURE(s, words_are(words, QUARTER, seed, 0));
	for (unsigned i = QUARTER; i < 3 * QUARTER; i++)
		SURE(s, words[i] == seed);
	SURE(s, words_are(words + 3 * QUARTER, QUARTER, seed + 3 * QUARTER * 2654435761U, 0));
	DO(s, clReleaseMemObject(part_first ? part : whole));
	DO(s, clReleaseMemObject(part_first ? whole : part));
}

static void map_task(struct stress *s)
{
	size_t count = line_group * (1 + drawn(s, WORDS_MAX / 16)), size = count * sizeof(cl_uint);
	unsigned seed = drawn(s, 1u << 30);
	cl_mem buffer;
	cl_uint *words;

	MAKE(s, buffer,
	     clCreateBuffer(s->fix->context, CL_MEM_ALLOC_HOST_PTR, size, NULL, &call_err));
	MAKE(s, words,
	     clEnqueueMapBuffer(s->queue, buffer, CL_TRUE, CL_MAP_WRITE, 0, size, 0, NULL, NULL,
				&call_err));
	words_make(words, count, seed);
	DO(s, clEnqueueUnmapMemObject(s->queue, buffer, words, 0, NULL, NULL));
	MAKE(s, words,
	     clEnqueueMapBuffer(s->queue, buffer, CL_TRUE, CL_MAP_READ, 0, size, 0, NULL, NULL,
				&call_err));
	SURE(s, words_are(words, count, seed, 0));
	DO(s, clEnqueueUnmapMemObject(s->queue, buffer, words, 0, NULL, NULL));
	if (drawn(s, 2))
		DO(s, clFinish(s->queue));
	DO(s, clReleaseMemObject(buffer));
}

/* What an image holds goes to a buffer by a kernel with a sampler, and to a second image. The
 * sampler stays until the kernel is done: PoCL frees it at once. */
static void image_task(struct stress *s)
{
	const cl_image_format format = {CL_R, CL_UNSIGNED_INT32};
	const size_t origin[3] = {0}, size[3] = {4 * (1 + drawn(s, EDGE_MAX / 4)),
						 4 * (1 + drawn(s, EDGE_MAX / 4)), 1};
	const cl_image_desc desc = {.image_type = CL_MEM_OBJECT_IMAGE2D,
				    .image_width = size[0],
				    .image_height = size[1]};
	size_t count = size[0] * size[1], bytes = count * sizeof(cl_uint);
	unsigned seed = drawn(s, 1u << 30);
	cl_uint words[EDGE_MAX * EDGE_MAX], value = 7;
	cl_mem image, other, buffer;
	cl_sampler sampler;
	cl_kernel kernel;

	words_make(words, count, seed);
	MAKE(s, image, clCreateImage(s->fix->context, 0, &format, &desc, NULL, &call_err));
	MAKE(s, other, clCreateImage(s->fix->context, 0, &format, &desc, NULL, &call_err));
	MAKE(s, buffer, clCreateBuffer(s->fix->context, 0, bytes, NULL, &call_err));
	MAKE(s, sampler,
	     clCreateSampler(s->fix->context, CL_FALSE, CL_ADDRESS_CLAMP, CL_FILTER_NEAREST,
			     &call_err));
	MAKE(s, kernel, clCreateKernel(s->program, "take", &call_err));
	DO(s,
	   clEnqueueWriteImage(s->queue, image, CL_TRUE, origin, size, 0, 0, words, 0, NULL, NULL));
	DO(s, clEnqueueCopyImage(s->queue, image, other, origin, origin, size, 0, NULL, NULL));
	DO(s, clSetKernelArg(kernel, 0, sizeof other, &other));
	DO(s, clSetKernelArg(kernel, 1, sizeof sampler, &sampler));
	DO(s, clSetKernelArg(kernel, 2, sizeof buffer, &buffer));
	DO(s, clSetKernelArg(kernel, 3, sizeof value, &value));
	DO(s, clEnqueueNDRangeKernel(s->queue, kernel, 2, NULL, size, square_group, 0, NULL, NULL));
	DO(s, clReleaseMemObject(image));
	DO(s, clEnqueueReadBuffer(s->queue, buffer, CL_TRUE, 0, bytes, words, 0, NULL, NULL));
	SURE(s, words_are(words, count, seed, value));
	DO(s,
	   clEnqueueReadImage(s->queue, other, CL_TRUE, origin, size, 0, 0, words, 0, NULL, NULL));
	SURE(s, words_are(words, count, seed, 0));
	DO(s, clReleaseSampler(sampler));
	DO(s, clReleaseKernel(kernel));
	DO(s, clReleaseMemObject(other));
	DO(s, clReleaseMemObject(buffer));
}

static void CL_CALLBACK told(cl_event event, cl_int status, void *data)
{
	(void)event;
	(void)status;
	sem_post(data);
}

static bool told_in_time(sem_t *sem)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 100;
	return sem_timedwait(sem, &until) == 0;
}

/* Two queues, the second out of order, with a gate before and an event between. */
static void event_task(struct stress *s)
{
	unsigned seed = drawn(s, 1u << 30), later = seed + 1, words[256];
	cl_command_queue second;
	cl_event gate, filled, copied;
	cl_mem one, two;
	sem_t sem;

	sem_init(&sem, 0, 0);
	MAKE(s, one, clCreateBuffer(s->fix->context, 0, sizeof words, NULL, &call_err));
	MAKE(s, two, clCreateBuffer(s->fix->context, 0, sizeof words, NULL, &call_err));
	MAKE(s, second,
	     clCreateCommandQueue(s->fix->context, s->fix->device,
				  CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &call_err));
	MAKE(s, gate, clCreateUserEvent(s->fix->context, &call_err));
	DO(s, clEnqueueFillBuffer(s->queue, one, &seed, sizeof seed, 0, sizeof words, 1, &gate,
				  &filled));
	DO(s, clEnqueueCopyBuffer(second, one, two, 0, 0, sizeof words, 1, &filled, &copied));
	DO(s, clSetEventCallback(copied, CL_COMPLETE, told, &sem));
	DO(s, clFlush(s->queue));
	DO(s, clFlush(second));
	DO(s, clSetUserEventStatus(gate, CL_COMPLETE));
	DO(s, clReleaseEvent(gate));
	if (drawn(s, 2))
		DO(s, clWaitForEvents(1, &copied));
	SURE(s, told_in_time(&sem));
	DO(s, clEnqueueFillBuffer(second, two, &later, sizeof later, 0, 4, 1, &copied, NULL));
	DO(s, clFinish(second));
	DO(s, clReleaseCommandQueue(second));
	DO(s, clReleaseEvent(copied));
	DO(s, clReleaseEvent(filled));
	DO(s, clEnqueueReadBuffer(s->queue, two, CL_TRUE, 0, sizeof words, words, 0, NULL, NULL));
	for (unsigned i = 0; i < 256; i++)
		SURE(s, words[i] == (i ? seed : later));
	DO(s, clReleaseMemObject(one));
	DO(s, clReleaseMemObject(two));
	sem_destroy(&sem);
}

static void svm_task(struct stress *s)
{
	size_t count = line_group * (1 + drawn(s, WORDS_MAX / 16)), size = count * sizeof(cl_uint);
	unsigned seed = drawn(s, 1u << 30);
	cl_uint *shared = clSVMAlloc(s->fix->context, CL_MEM_READ_WRITE, size, 0);
	cl_uint *own = pages_get();
	cl_kernel kernel;

	SURE(s, shared && own);
	words_make(own, count, seed);
	MAKE(s, kernel, add_kernel(s, s->program, 5));
	DO(s, clEnqueueSVMMemcpy(s->queue, CL_TRUE, shared, own, size, 0, NULL, NULL));
	pages_put(own);
	DO(s, clSetKernelArgSVMPointer(kernel, 0, shared));
	DO(s,
	   clEnqueueNDRangeKernel(s->queue, kernel, 1, NULL, &count, &line_group, 0, NULL, NULL));
	DO(s, clEnqueueSVMMap(s->queue, CL_TRUE, CL_MAP_READ, shared, size, 0, NULL, NULL));
	SURE(s, words_are(shared, count, seed, 5));
	DO(s, clEnqueueSVMUnmap(s->queue, shared, 0, NULL, NULL));
	DO(s, clReleaseKernel(kernel));
	if (drawn(s, 2)) {
		void *pointers[] = {shared};

		DO(s, clEnqueueSVMFree(s->queue, 1, pointers, NULL, NULL, 0, NULL, NULL));
		DO(s, clFinish(s->queue));
	} else {
		DO(s, clFinish(s->queue));
		clSVMFree(s->fix->context, shared);
	}
}

/* A context with all that belongs to it, the program too. */
static void context_task(struct stress *s)
{
	cl_device_id device = s->fix->device;
	unsigned seed = drawn(s, 1u << 30);
	const size_t count = 64;
	cl_command_queue queue;
	cl_context context;
	cl_program program;
	cl_kernel kernel;
	cl_uint words[64];
	cl_mem buffer;

	words_make(words, count, seed);
	MAKE(s, context, clCreateContext(NULL, 1, &device, NULL, NULL, &call_err));
	MAKE(s, queue, clCreateCommandQueue(context, device, 0, &call_err));
	MAKE(s, buffer,
	     clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, sizeof words, words, &call_err));
	DO(s, clReleaseContext(context));
	if (drawn(s, 4) == 0) {
		MAKE(s, program,
		     clCreateProgramWithSource(context, 1, &s->source, NULL, &call_err));
		DO(s, clBuildProgram(program, 1, &device, "", NULL, NULL));
		MAKE(s, kernel, add_kernel(s, program, 9));
		DO(s, clReleaseProgram(program));
		DO(s, clSetKernelArg(kernel, 0, sizeof buffer, &buffer));
		DO(s, clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &count, &line_group, 0, NULL,
					     NULL));
		DO(s, clReleaseKernel(kernel));
		seed += 9;
	}
	DO(s, clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, sizeof words, words, 0, NULL, NULL));
	SURE(s, words_are(words, count, seed, 0));
	DO(s, clReleaseMemObject(buffer));
	DO(s, clReleaseCommandQueue(queue));
}

void stress_task(struct stress *s)
{
	static void (*const tasks[])(struct stress *) = {
		buffer_task, part_task, map_task, image_task, event_task, svm_task, context_task,
	};

	tasks[drawn(s, ARRAY_SIZE(tasks))](s);
}
