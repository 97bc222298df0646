/*
 * The build pool: threads on which the runtime compiles, so that the session goes on meanwhile.
 */
#include "program.h"

#include <errno.h>
#include <sched.h>

#include "jobs.h"

/* Compilers recurse deeply: twice what a program's main thread has. */
#define STACK_SIZE (16u << 20)

/* Builds that a guest may have waiting; beyond, CL_OUT_OF_RESOURCES. */
#define PENDING_MAX 65536u

_Static_assert(GCL_BUILD_THREADS_MAX <= GCL_JOBS_THREADS_MAX, "as many threads as are timed");

static void build_run(struct gcl_job *job, void *arg)
{
	struct gcl_worker *worker = arg;
	int build = gcl_timing_build_begin(worker);

	job->run(job);
	gcl_timing_build_end(worker, build);
}

static unsigned cpu_count(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof set, &set) < 0)
		return 1;
	return (unsigned)CPU_COUNT(&set);
}

int gcl_builder_post(struct gcl_worker *worker, struct gcl_job *job)
{
	if (!worker->builder)
		worker->builder = gcl_jobs_create_kind(&(struct gcl_jobs_kind){
			.name = "build",
			.threads = GCL_MIN(cpu_count(), GCL_BUILD_THREADS_MAX),
			.stack_size = STACK_SIZE,
			.pending_count = PENDING_MAX,
			.run = build_run,
			.arg = worker,
		});
	if (!worker->builder)
		return -ENOMEM;
	return gcl_jobs_post(worker->builder, job);
}
