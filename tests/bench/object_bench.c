// SPDX-License-Identifier: MIT
/*
 * What programs do beside single kernels and buffers: images, chains of events over two queues,
 * callbacks, and threads with a queue each. Runs on any OpenCL platform, the first one's first
 * device.
 *
 * Prints "name value unit" lines. --seconds says how long each measurement may take.
 */
#include "measuring.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EDGE	    1024u
#define CHAIN	    256u
#define BURST	    256u
#define THREADS_MAX 4u

static const char source[] =
	"kernel void add(global int *data) { data[get_global_id(0)] += 1; }\n"
	"kernel void tint(read_only image2d_t from, write_only image2d_t to) {\n"
	"	int2 at = (int2)(get_global_id(0), get_global_id(1));\n"
	"	write_imageui(to, at, read_imageui(from, at) + 1);\n"
	"}\n";

static const size_t origin[3];
static const size_t region[3] = {EDGE, EDGE, 1};
static const size_t items = 64;

static double seconds = 0.3;
static struct opened opened;
static cl_command_queue second;
static cl_kernel add, tint;
static cl_mem image, other, buffer;
static char *memory; /* the program's, as large as an image */
static sem_t told;

static void print(const char *name, double took)
{
	printf("%s %.4g us\n", name, took * 1e6);
	fflush(stdout);
}

static void measure(const char *name, void (*once)(void *arg), void *arg, unsigned each)
{
	print(name, repeated(once, arg, seconds) / each);
}

/* ------------------------------------------------------------ images */

static void image_write(void *arg)
{
	(void)arg;
	require(clEnqueueWriteImage(opened.queue, image, CL_TRUE, origin, region, 0, 0, memory, 0,
				    NULL, NULL),
		"clEnqueueWriteImage");
}

static void image_read(void *arg)
{
	(void)arg;
	require(clEnqueueReadImage(opened.queue, image, CL_TRUE, origin, region, 0, 0, memory, 0,
				   NULL, NULL),
		"clEnqueueReadImage");
}

static void image_map(cl_map_flags flags)
{
	size_t pitch;
	cl_int status;
	void *mapped = clEnqueueMapImage(opened.queue, image, CL_TRUE, flags, origin, region,
					 &pitch, NULL, 0, NULL, NULL, &status);

	require(status, "clEnqueueMapImage");
	require(clEnqueueUnmapMemObject(opened.queue, image, mapped, 0, NULL, NULL),
		"clEnqueueUnmapMemObject");
	require(clFinish(opened.queue), "clFinish");
}

static void image_map_read(void *arg)
{
	(void)arg;
	image_map(CL_MAP_READ);
}

static void image_map_write(void *arg)
{
	(void)arg;
	image_map(CL_MAP_WRITE_INVALIDATE_REGION);
}

static void image_kernel(void *arg)
{
	(void)arg;
	require(clEnqueueNDRangeKernel(opened.queue, tint, 2, NULL, region, NULL, 0, NULL, NULL),
		"clEnqueueNDRangeKernel");
	require(clFinish(opened.queue), "clFinish");
}

static cl_mem image_made(void)
{
	const cl_image_format format = {CL_RGBA, CL_UNSIGNED_INT8};
	const cl_image_desc desc = {
		.image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = EDGE, .image_height = EDGE};
	cl_int status;
	cl_mem made =
		clCreateImage(opened.context, CL_MEM_READ_WRITE, &format, &desc, NULL, &status);

	require(status, "clCreateImage");
	return made;
}

static void images(void)
{
	image = image_made();
	other = image_made();
	require(clSetKernelArg(tint, 0, sizeof image, &image), "clSetKernelArg");
	require(clSetKernelArg(tint, 1, sizeof other, &other), "clSetKernelArg");
	measure("image.write_4MiB", image_write, NULL, 1);
	measure("image.read_4MiB", image_read, NULL, 1);
	measure("image.map_read_4MiB", image_map_read, NULL, 1);
	measure("image.map_write_4MiB", image_map_write, NULL, 1);
	measure("image.kernel_finish", image_kernel, NULL, 1);
	clReleaseMemObject(image);
	clReleaseMemObject(other);
}

/* ------------------------------------------------------------ events */

static void add_enqueue(cl_command_queue queue, const cl_event *after, cl_event *event)
{
	require(clEnqueueNDRangeKernel(queue, add, 1, NULL, &items, &items, after ? 1 : 0, after,
				       event),
		"clEnqueueNDRangeKernel");
}

/* Each kernel waits for the one before, which is in the other queue. */
static cl_event chained[CHAIN];

static void chain_give(unsigned i)
{
	cl_command_queue queue = i % 2 ? second : opened.queue;

	add_enqueue(queue, i ? &chained[i - 1] : NULL, &chained[i]);
	require(clFlush(queue), "clFlush");
}

static void chain_end(unsigned count)
{
	require(clWaitForEvents(1, &chained[count - 1]), "clWaitForEvents");
	for (unsigned i = 0; i < count; i++)
		clReleaseEvent(chained[i]);
}

static void CL_CALLBACK tell(cl_event event, cl_int status, void *data)
{
	(void)status;
	clReleaseEvent(event);
	sem_post(data);
}

static void callback_give(unsigned i)
{
	cl_event event;

	(void)i;
	add_enqueue(opened.queue, NULL, &event);
	require(clSetEventCallback(event, CL_COMPLETE, tell, &told), "clSetEventCallback");
}

static void callback_end(unsigned count)
{
	require(clFlush(opened.queue), "clFlush");
	for (unsigned i = 0; i < count; i++)
		sem_wait(&told);
}

static void kernel_give(unsigned i)
{
	(void)i;
	add_enqueue(opened.queue, NULL, NULL);
}

static void kernel_end(unsigned count)
{
	(void)count;
	require(clFinish(opened.queue), "clFinish");
}

/* So many commands, and the wait for what comes of them. */
struct burst {
	unsigned count;
	void (*give)(unsigned i);
	void (*end)(unsigned count);
};

static const struct burst chain_burst = {CHAIN, chain_give, chain_end};
static const struct burst callback_one = {1, callback_give, callback_end};
static const struct burst callback_burst = {BURST, callback_give, callback_end};
static const struct burst kernel_burst = {BURST, kernel_give, kernel_end};

static void burst_once(void *arg)
{
	const struct burst *burst = arg;

	for (unsigned i = 0; i < burst->count; i++)
		burst->give(i);
	burst->end(burst->count);
}

static void burst_measure(const char *name, const struct burst *burst)
{
	measure(name, burst_once, (void *)burst, burst->count);
}

/* ------------------------------------------------------------ threads */

/* Kernels on a queue of the thread's own, each waited for, or all of a burst. */
struct thread {
	pthread_t id;
	cl_command_queue queue;
	cl_kernel kernel;
	cl_mem buffer;
	unsigned burst;
	double took;
};

static void thread_once(void *arg)
{
	struct thread *thread = arg;

	for (unsigned i = 0; i < thread->burst; i++)
		require(clEnqueueNDRangeKernel(thread->queue, thread->kernel, 1, NULL, &items,
					       &items, 0, NULL, NULL),
			"clEnqueueNDRangeKernel");
	require(clFinish(thread->queue), "clFinish");
}

static void *thread_run(void *arg)
{
	struct thread *thread = arg;

	thread->took = repeated(thread_once, thread, seconds) / thread->burst;
	return NULL;
}

/* What a kernel takes, all threads taken together. */
static void threads(unsigned count, unsigned burst, const char *name)
{
	struct thread all[THREADS_MAX];
	double rate = 0;
	char what[64];

	for (unsigned i = 0; i < count; i++) {
		cl_int status;

		all[i].burst = burst;
		all[i].kernel = kernel_built(&opened, source, "add");
		all[i].queue = clCreateCommandQueue(opened.context, opened.device, 0, &status);
		require(status, "clCreateCommandQueue");
		all[i].buffer =
			clCreateBuffer(opened.context, 0, items * sizeof(cl_int), NULL, &status);
		require(status, "clCreateBuffer");
		require(clSetKernelArg(all[i].kernel, 0, sizeof(cl_mem), &all[i].buffer),
			"clSetKernelArg");
	}
	for (unsigned i = 0; i < count; i++)
		pthread_create(&all[i].id, NULL, thread_run, &all[i]);
	for (unsigned i = 0; i < count; i++) {
		pthread_join(all[i].id, NULL);
		rate += 1 / all[i].took;
		clReleaseKernel(all[i].kernel);
		clReleaseCommandQueue(all[i].queue);
		clReleaseMemObject(all[i].buffer);
	}
	snprintf(what, sizeof what, "threads.%s_%u", name, count);
	print(what, 1 / rate);
}

/* ------------------------------------------------------------ enqueued by another thread */

/* Natively that is what remoting can't do without: the one that enqueues isn't the program's. */
struct relay {
	const struct burst *burst;
	atomic_uint wanted; /* commands so far */
	atomic_bool over;
	sem_t enqueued; /* all that were wanted */
};

static void *relay_run(void *arg)
{
	struct relay *relay = arg;
	const struct burst *burst = relay->burst;
	unsigned given = 0;

	while (!atomic_load(&relay->over)) {
		if (given == atomic_load(&relay->wanted))
			continue;
		burst->give(given++ % burst->count);
		if (given % burst->count == 0)
			sem_post(&relay->enqueued);
	}
	return NULL;
}

static void relay_once(void *arg)
{
	struct relay *relay = arg;

	for (unsigned i = 0; i < relay->burst->count; i++)
		atomic_fetch_add(&relay->wanted, 1);
	sem_wait(&relay->enqueued);
	relay->burst->end(relay->burst->count);
}

static void relay_measure(const char *name, const struct burst *burst)
{
	struct relay relay = {.burst = burst};
	pthread_t thread;

	sem_init(&relay.enqueued, 0, 0);
	pthread_create(&thread, NULL, relay_run, &relay);
	measure(name, relay_once, &relay, burst->count);
	atomic_store(&relay.over, true);
	pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
	cl_int status;

	seconds = atof(option(argc, argv, "--seconds", "0.3"));
	opened_init(&opened, 0);
	second = clCreateCommandQueue(opened.context, opened.device, 0, &status);
	require(status, "clCreateCommandQueue");
	add = kernel_built(&opened, source, "add");
	tint = kernel_built(&opened, source, "tint");
	buffer = clCreateBuffer(opened.context, 0, items * sizeof(cl_int), NULL, &status);
	require(status, "clCreateBuffer");
	require(clSetKernelArg(add, 0, sizeof buffer, &buffer), "clSetKernelArg");
	memory = malloc((size_t)EDGE * EDGE * 4);
	require(memory ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY, "malloc");
	memset(memory, 1, (size_t)EDGE * EDGE * 4);
	sem_init(&told, 0, 0);
	images();
	burst_measure("event.chain_two_queues", &chain_burst);
	burst_measure("event.callback", &callback_one);
	burst_measure("event.callback_of_256", &callback_burst);
	for (unsigned count = 1; count <= THREADS_MAX; count *= 2) {
		threads(count, 1, "kernel_finish");
		threads(count, BURST, "kernel_of_256");
	}
	relay_measure("relayed.chain_two_queues", &chain_burst);
	relay_measure("relayed.callback_of_256", &callback_burst);
	relay_measure("relayed.kernel_of_256", &kernel_burst);
	free(memory);
	clReleaseMemObject(buffer);
	clReleaseKernel(add);
	clReleaseKernel(tint);
	clReleaseCommandQueue(second);
	opened_fini(&opened);
	return 0;
}
