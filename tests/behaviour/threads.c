/* SPDX-License-Identifier: MIT */
/*
 * Several threads in one program: objects shared, a queue each or one for all, callbacks that call
 * OpenCL. Threads report what they saw; the first thread prints it.
 */
#include "harness.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { THREADS = 4, ROUNDS = 100, SIZE = 4096, LINKS = 100 };

/* What one thread works on, and the first error it met. */
struct worker {
	const struct fixture *fix;
	cl_command_queue queue;
	cl_program program;
	cl_mem shared;
	unsigned number;
	cl_int code;
	uint64_t sum;
	unsigned done;
};

#define TRY(worker, call)                                                                          \
	do {                                                                                       \
		cl_int try_code_ = (call);                                                         \
                                                                                                   \
		if (try_code_ != CL_SUCCESS) {                                                     \
			(worker)->code = try_code_;                                                \
			return NULL;                                                               \
		}                                                                                  \
	} while (0)

/* Runs `body` in all threads at once and prints what came of it. */
static void together(const char *name, struct worker *workers, void *(*body)(void *))
{
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].code = CL_SUCCESS;
		workers[i].sum = 0;
		workers[i].done = 0;
		pthread_create(&threads[i], NULL, body, &workers[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < THREADS; i++) {
		check_code(named("%s thread %u", name, i), workers[i].code);
		check_number(named("%s thread %u rounds", name, i), workers[i].done);
		check_number(named("%s thread %u sum", name, i), workers[i].sum);
	}
}

/* Buffers, transfers and a kernel of the thread's own, on its queue, which may be shared. */
static void *work(void *data)
{
	struct worker *w = data;
	const size_t global = SIZE / sizeof(cl_uint);
	cl_uint numbers[SIZE / sizeof(cl_uint)];
	cl_kernel kernel;

	kernel = clCreateKernel(w->program, "advance", &call_err);
	TRY(w, call_err);
	for (unsigned i = 0; i < ROUNDS; i++) {
		cl_uint add = w->number * 1000 + i;
		cl_mem buffer;

		pattern(numbers, SIZE, add);
		buffer = clCreateBuffer(w->fix->context, CL_MEM_COPY_HOST_PTR, SIZE, numbers,
					&call_err);
		TRY(w, call_err);
		TRY(w, clSetKernelArg(kernel, 0, sizeof(buffer), &buffer));
		TRY(w, clSetKernelArg(kernel, 1, sizeof(add), &add));
		TRY(w, clEnqueueNDRangeKernel(w->queue, kernel, 1, NULL, &global, NULL, 0, NULL,
					      NULL));
		TRY(w, clEnqueueReadBuffer(w->queue, buffer, CL_TRUE, 0, SIZE, numbers, 0, NULL,
					   NULL));
		TRY(w, clReleaseMemObject(buffer));
		w->sum = w->sum * 31 + sum(numbers, SIZE);
		w->done++;
	}
	TRY(w, clReleaseKernel(kernel));
	return NULL;
}

/* A context of the thread's own, each time anew. */
static void *contexts(void *data)
{
	struct worker *w = data;

	for (unsigned i = 0; i < 10; i++) {
		cl_device_id device = w->fix->device;
		cl_context context = clCreateContext(NULL, 1, &device, NULL, NULL, &call_err);
		cl_command_queue queue;
		cl_uint number = w->number + i;
		cl_uint answer = 0;
		cl_mem buffer;

		TRY(w, call_err);
		queue = clCreateCommandQueue(context, device, 0, &call_err);
		TRY(w, call_err);
		buffer = clCreateBuffer(context, 0, sizeof(number), NULL, &call_err);
		TRY(w, call_err);
		TRY(w, clEnqueueWriteBuffer(queue, buffer, CL_FALSE, 0, sizeof(number), &number, 0,
					    NULL, NULL));
		TRY(w, clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, sizeof(number), &answer, 0,
					   NULL, NULL));
		TRY(w, clReleaseMemObject(buffer));
		TRY(w, clReleaseCommandQueue(queue));
		TRY(w, clReleaseContext(context));
		w->sum = w->sum * 31 + answer;
		w->done++;
	}
	return NULL;
}

/* References to one buffer, taken and dropped, while it is read. */
static void *references(void *data)
{
	struct worker *w = data;

	for (unsigned i = 0; i < ROUNDS * 10; i++) {
		cl_uint word = 0;

		TRY(w, clRetainMemObject(w->shared));
		if (i % 100 == 0)
			TRY(w, clEnqueueReadBuffer(w->queue, w->shared, CL_TRUE, i % 1000,
						   sizeof(word), &word, 0, NULL, NULL));
		TRY(w, clReleaseMemObject(w->shared));
		w->sum = w->sum * 31 + word;
		w->done++;
	}
	return NULL;
}

/* Mappings of a buffer of the thread's own: PoCL does not stand several threads on one. */
static void *mappings(void *data)
{
	struct worker *w = data;
	cl_mem buffer = buffer_patterned(w->fix, SIZE, w->number);

	for (unsigned i = 0; i < ROUNDS; i++) {
		void *mapped = clEnqueueMapBuffer(w->queue, buffer, CL_TRUE, CL_MAP_READ, 0, SIZE,
						  0, NULL, NULL, &call_err);

		TRY(w, call_err);
		w->sum = w->sum * 31 + sum(mapped, SIZE);
		TRY(w, clEnqueueUnmapMemObject(w->queue, buffer, mapped, 0, NULL, NULL));
		w->done++;
	}
	TRY(w, clFinish(w->queue));
	TRY(w, clReleaseMemObject(buffer));
	return NULL;
}

static void sharing_check(const struct fixture *fix)
{
	static const char source[] =
		"kernel void advance(global uint *a, uint add) { a[get_global_id(0)] += add; }";
	struct worker workers[THREADS] = {0};
	cl_program program = program_built(fix, source, "");
	cl_mem shared = buffer_patterned(fix, SIZE, 1);

	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].fix = fix;
		workers[i].number = i;
		workers[i].program = program;
		workers[i].shared = shared;
		workers[i].queue =
			MUST_MAKE(clCreateCommandQueue(fix->context, fix->device, 0, &call_err));
	}
	together("queue each", workers, work);
	together("references", workers, references);
	together("mappings", workers, mappings);
	together("contexts", workers, contexts);
	for (unsigned i = 0; i < THREADS; i++) {
		MUST(clReleaseCommandQueue(workers[i].queue));
		workers[i].queue = fix->queue;
	}
	together("one queue", workers, work);
	check_buffer_sum("shared buffer in the end", fix->queue, shared, SIZE);
	MUST(clReleaseMemObject(shared));
	MUST(clReleaseProgram(program));
}

static void *gate_open(void *gate)
{
	const struct timespec nap = {.tv_nsec = 20000000};

	nanosleep(&nap, NULL);
	clSetUserEventStatus(gate, CL_COMPLETE);
	return NULL;
}

static void *event_wait(void *data)
{
	return clWaitForEvents(1, data) == CL_SUCCESS ? data : NULL;
}

/* Threads that wait for one event, which another thread's user event lets go. */
static void waiting_check(const struct fixture *fix)
{
	cl_event gate = MUST_MAKE(clCreateUserEvent(fix->context, &call_err));
	cl_mem buffer = buffer_patterned(fix, SIZE, 2);
	pthread_t threads[THREADS + 1];
	unsigned woken = 0;
	cl_event done;

	MUST(clEnqueueFillBuffer(fix->queue, buffer, "a", 1, 0, SIZE, 1, &gate, &done));
	MUST(clFlush(fix->queue));
	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, event_wait, i % 2 ? &done : &gate);
	pthread_create(&threads[THREADS], NULL, gate_open, gate);
	for (unsigned i = 0; i < THREADS; i++) {
		void *fine;

		pthread_join(threads[i], &fine);
		woken += fine != NULL;
	}
	pthread_join(threads[THREADS], NULL);
	check_number("woken", woken);
	check_code("finish beside other threads", clFinish(fix->queue));
	check_buffer_sum("content after the gate", fix->queue, buffer, SIZE);
	MUST(clReleaseEvent(gate));
	MUST(clReleaseEvent(done));
	MUST(clReleaseMemObject(buffer));
}

/* A chain of commands, each enqueued by the callback of the one before it. */
struct chain {
	cl_command_queue queue;
	cl_mem buffer;
	unsigned length;
	atomic_int code;
	sem_t end;
};

static cl_int chain_next(struct chain *chain);

static void CL_CALLBACK chain_step(cl_event event, cl_int status, void *data)
{
	struct chain *chain = data;
	cl_command_type type = 0;
	cl_int code = status;

	if (code == CL_COMPLETE)
		code = clGetEventInfo(event, CL_EVENT_COMMAND_TYPE, sizeof(type), &type, NULL);
	if (code == CL_SUCCESS && type != CL_COMMAND_FILL_BUFFER)
		code = CL_INVALID_EVENT;
	if (code == CL_SUCCESS)
		code = clReleaseEvent(event);
	if (code == CL_SUCCESS && chain->length < LINKS)
		code = chain_next(chain);
	else
		sem_post(&chain->end);
	if (code != CL_SUCCESS) {
		atomic_store(&chain->code, code);
		sem_post(&chain->end);
	}
}

static cl_int chain_next(struct chain *chain)
{
	cl_uint link = chain->length++;
	cl_event event;
	cl_int code = clEnqueueFillBuffer(chain->queue, chain->buffer, &link, sizeof(link),
					  link * sizeof(link), sizeof(link), 0, NULL, &event);

	if (code == CL_SUCCESS)
		code = clSetEventCallback(event, CL_COMPLETE, chain_step, chain);
	if (code == CL_SUCCESS)
		code = clFlush(chain->queue);
	return code;
}

static void callback_check(const struct fixture *fix)
{
	struct chain chain = {.queue = fix->queue};
	struct timespec until;

	chain.buffer = buffer_patterned(fix, SIZE, 3);
	sem_init(&chain.end, 0, 0);
	check_code("first of the chain", chain_next(&chain));
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	check_yes("chain came to its end", sem_timedwait(&chain.end, &until) == 0);
	check_code("chain", atomic_load(&chain.code));
	check_number("chain length", chain.length);
	MUST(clFinish(fix->queue));
	check_buffer_sum("chain content", fix->queue, chain.buffer, SIZE);
	MUST(clReleaseMemObject(chain.buffer));
}

/* With a reference of its own: what waits for the gate goes on while this is still in the call. */
static void CL_CALLBACK gate_of_callback(cl_event event, cl_int status, void *gate)
{
	(void)event;
	(void)status;
	clSetUserEventStatus(gate, CL_COMPLETE);
	clReleaseEvent(gate);
}

/* A callback opens the gate of what waits in another queue. */
static void callback_gate_check(const struct fixture *fix)
{
	cl_command_queue second =
		MUST_MAKE(clCreateCommandQueue(fix->context, fix->device, 0, &call_err));
	cl_event gate = MUST_MAKE(clCreateUserEvent(fix->context, &call_err));
	cl_mem buffer = buffer_patterned(fix, SIZE, 4);
	cl_event first;
	cl_event held;

	MUST(clEnqueueFillBuffer(second, buffer, "b", 1, 0, 100, 1, &gate, &held));
	MUST(clFlush(second));
	MUST(clEnqueueFillBuffer(fix->queue, buffer, "a", 1, 200, 100, 0, NULL, &first));
	MUST(clRetainEvent(gate));
	MUST(clSetEventCallback(first, CL_COMPLETE, gate_of_callback, gate));
	MUST(clFlush(fix->queue));
	check_code("wait for what a callback lets go", clWaitForEvents(1, &held));
	check_buffer_sum("content after a callback's gate", second, buffer, SIZE);
	MUST(clFinish(fix->queue));
	MUST(clReleaseEvent(first));
	MUST(clReleaseEvent(held));
	MUST(clReleaseEvent(gate));
	MUST(clReleaseMemObject(buffer));
	MUST(clReleaseCommandQueue(second));
}

int main(void)
{
	struct fixture fix;

	transcript_begin("threads");
	fixture_open(&fix);
	sharing_check(&fix);
	waiting_check(&fix);
	callback_check(&fix);
	callback_gate_check(&fix);
	fixture_close(&fix);
	return transcript_end();
}
