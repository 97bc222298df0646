/*
 * Threads with a queue of jobs: what takes long, so that its caller goes on meanwhile.
 */
#ifndef GCL_JOBS_H
#define GCL_JOBS_H

#include "job.h"

#define GCL_JOBS_THREADS_MAX 4u

struct gcl_jobs;

struct gcl_jobs_kind {
	const char *name;     /* of the threads, 15 characters at most; lent, as all of this */
	unsigned threads;     /* at most, and no more than GCL_JOBS_THREADS_MAX; 0: 1 */
	size_t stack_size;    /* 0: as usual */
	size_t pending_count; /* jobs that may wait; 0: any number */
	void (*run)(struct gcl_job *job, void *arg); /* instead of job->run, which it calls; or
							NULL */
	void *arg;
};

/** gcl_jobs_create() - one thread, started with its first job. Return: NULL without memory. */
struct gcl_jobs *gcl_jobs_create(const char *name);

/** gcl_jobs_create_kind() - the same, of @kind, which is copied. */
struct gcl_jobs *gcl_jobs_create_kind(const struct gcl_jobs_kind *kind);

/** gcl_jobs_post() - have @job run, after those posted before have begun. Return: 0 and it is
 * theirs, or -EAGAIN: no thread, or too many wait. */
int gcl_jobs_post(struct gcl_jobs *jobs, struct gcl_job *job);

/** gcl_jobs_destroy() - drop jobs that have not begun and wait for those that have; NULL is
 * accepted. Not from a job. */
void gcl_jobs_destroy(struct gcl_jobs *jobs);

#endif
