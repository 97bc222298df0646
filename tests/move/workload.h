/* SPDX-License-Identifier: MIT */
/*
 * A program whose queues are moved while it runs.
 *
 * Theory of operation. It works in rounds. A round does commands of a kind (its mode), follows in
 * its own memory what they have to do, and compares all that it reads: what is wrong ends it at
 * once, with a line on stderr. Which commands is decided by a number that each round goes on from,
 * so that after so many rounds there is one sum, natively and in any other way.
 *
 * A mode is a file: what it holds between rounds, how a round goes, and how all is given back.
 */
#ifndef GCL_TESTS_MOVE_WORKLOAD_H
#define GCL_TESTS_MOVE_WORKLOAD_H

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#include <CL/cl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How often the queue can be changed. */
#define QUEUE_CHANGES 8u

/* What modes share. */
struct workload {
	cl_platform_id platform;
	cl_device_id device;
	cl_context context;
	cl_command_queue queue;			/* in order, with times */
	cl_command_queue loose;			/* out of order, with times */
	cl_program program;			/* of workload_source */
	cl_command_queue queues[QUEUE_CHANGES]; /* those before @queue */
	unsigned queue_count;
	uint64_t random;
	uint64_t sum;
};

struct mode {
	const char *name;
	size_t size; /* of what it holds, which begins as zeros */
	void (*init)(struct workload *w, void *self);
	void (*round)(struct workload *w, void *self, unsigned number);
	/* Whatever is still under way is waited for before. */
	void (*fini)(struct workload *w, void *self);
};

extern const struct mode mode_order, mode_shared, mode_parts, mode_images, mode_programs,
	mode_times, mode_churn, mode_lossy, mode_lossy_shared, mode_lossy_prints, mode_lossy_fails,
	mode_svm, mode_whole, mode_replay, mode_gates;

/** must() - end the program with a line on stderr unless @code is CL_SUCCESS. */
void must(const char *what, cl_int code);

/** wrong() - end the program: a result isn't what it should be. */
_Noreturn void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** say() - print a line and flush. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** allocate() - zeros; never NULL. */
void *allocate(size_t count, size_t size);

/** chance() - a number below @limit, the same one in each run. */
uint32_t chance(struct workload *w, uint32_t limit);

/** sum_add() - @data is a result. */
void sum_add(struct workload *w, const void *data, size_t size);

/** words_check() - @count words are what they should be; and a result. */
void words_check(struct workload *w, const char *what, const uint32_t *got, const uint32_t *wanted,
		 size_t count);

/** buffer_make() - of @words, with @data, or without (NULL). */
cl_mem buffer_make(struct workload *w, size_t words, const uint32_t *data);

/** program_make() - built; ends the program with the log if it can't be. */
cl_program program_make(struct workload *w, const char *source, const char *options);

/** kernel_make() - of workload_source. */
cl_kernel kernel_make(struct workload *w, const char *name);

/** launch() - @items of @kernel, in groups of GROUP. @event may be NULL. */
void launch(cl_command_queue queue, cl_kernel kernel, size_t items, cl_uint wait_count,
	    const cl_event *waits, cl_event *event);

#define GROUP 64u

/*
 * "stir" of workload_source: to[i] = to[i] * 1664525 + from[i & mask] + number + i. Both forms have
 * one order of arguments.
 */
void stir_set(cl_kernel kernel, cl_mem to, cl_mem from, cl_uint mask, cl_uint number);
void stir_follow(uint32_t *to, const uint32_t *from, uint32_t mask, uint32_t number, size_t items);

/** words_random() - fill with numbers of this run. */
void words_random(struct workload *w, uint32_t *words, size_t count);

#endif
