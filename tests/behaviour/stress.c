/* SPDX-License-Identifier: MIT */
/*
 * Many threads that make, use, and release every kind of object, at random.
 *
 * A task is a few commands on objects of its own, whose outcome the thread knows and looks at; what
 * threads share is the context, the program, and the device. Which tasks come, with which sizes and
 * in which order things are released, is drawn from a seed, which is told on standard error:
 * GUESTCL_STRESS_SEED sets it. Each thread makes TASKS tasks, or as many as it can in
 * GUESTCL_STRESS_SECONDS.
 */
#include "stress.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { THREADS = 16, TASKS = 40 };

static const char source[] =
	"constant sampler_t whole = CLK_NORMALIZED_COORDS_FALSE | CLK_ADDRESS_CLAMP |\n"
	"	CLK_FILTER_NEAREST;\n"
	"kernel void add(global uint *a, uint v) { a[get_global_id(0)] += v; }\n"
	"kernel void take(read_only image2d_t image, sampler_t sampler, global uint *a, uint v) {\n"
	"	int2 at = (int2)(get_global_id(0), get_global_id(1));\n"
	"	a[at.y * get_global_size(0) + at.x] = read_imageui(image, sampler, at).x + v;\n"
	"}\n";

static unsigned long long setting(const char *name, unsigned long long otherwise)
{
	const char *value = getenv(name);

	return value ? strtoull(value, NULL, 0) : otherwise;
}

static void *run(void *data)
{
	struct stress *s = data;
	time_t end = time(NULL) + (time_t)s->seconds;

	s->queue = clCreateCommandQueue(s->fix->context, s->fix->device, 0, &call_err);
	if (!s->queue)
		return NULL;
	while (!s->failed && (s->seconds ? time(NULL) < end : s->done < TASKS)) {
		stress_task(s);
		s->done++;
	}
	clFinish(s->queue);
	clReleaseCommandQueue(s->queue);
	return NULL;
}

int main(void)
{
	static struct stress threads[THREADS];
	unsigned long long seed = setting("GUESTCL_STRESS_SEED", (unsigned long long)time(NULL));
	unsigned seconds = (unsigned)setting("GUESTCL_STRESS_SECONDS", 0);
	pthread_t ids[THREADS];
	unsigned long done = 0;
	struct fixture fix;
	cl_program program;

	transcript_begin("stress");
	fprintf(stderr, "GUESTCL_STRESS_SEED=%llu\n", seed);
	fixture_open(&fix);
	program = program_built(&fix, source, "");
	for (unsigned i = 0; i < THREADS; i++) {
		threads[i] = (struct stress){
			.fix = &fix,
			.program = program,
			.source = source,
			.seconds = seconds,
			.state = seed * 1000 + i,
		};
		pthread_create(&ids[i], NULL, run, &threads[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(ids[i], NULL);
	for (unsigned i = 0; i < THREADS; i++) {
		const struct stress *s = &threads[i];

		check_text(named("thread %u", i), s->failed ? s->failed : "all right");
		check_yes(named("thread %u did its tasks", i), s->done >= (seconds ? 1 : TASKS));
		if (s->failed)
			fprintf(stderr, "thread %u, task %u: %s: %s\n", i, s->done, s->failed,
				code_name(s->code));
		done += s->done;
	}
	if (seconds)
		fprintf(stderr, "%lu tasks\n", done);
	MUST(clReleaseProgram(program));
	fixture_close(&fix);
	return transcript_end();
}
