/*
 * Threads with a queue of jobs.
 *
 * Threads are started when there is work for them and stay. Lock order: jobs.lock is a leaf; no job
 * runs or is dropped under it.
 */
#include "jobs.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

struct gcl_jobs {
	struct gcl_jobs_kind kind;
	pthread_mutex_t lock; /* protects what follows */
	pthread_cond_t wake;  /* pending or stopping has changed */
	struct gcl_list pending;
	size_t pending_count;
	unsigned thread_count, idle;
	bool stopping;
	pthread_t threads[GCL_JOBS_THREADS_MAX];
};

static struct gcl_job *job_take_locked(struct gcl_jobs *jobs)
{
	struct gcl_job *job;

	if (gcl_list_empty(&jobs->pending))
		return NULL;
	job = gcl_list_first(&jobs->pending, struct gcl_job, link);
	gcl_list_remove(&job->link);
	jobs->pending_count--;
	return job;
}

static void job_run(const struct gcl_jobs *jobs, struct gcl_job *job)
{
	if (jobs->kind.run)
		jobs->kind.run(job, jobs->kind.arg);
	else
		job->run(job);
}

static void *jobs_thread(void *arg)
{
	struct gcl_jobs *jobs = arg;

	pthread_setname_np(pthread_self(), jobs->kind.name);
	pthread_mutex_lock(&jobs->lock);
	while (!jobs->stopping) {
		struct gcl_job *job = job_take_locked(jobs);

		if (job) {
			pthread_mutex_unlock(&jobs->lock);
			job_run(jobs, job);
			pthread_mutex_lock(&jobs->lock);
			continue;
		}
		jobs->idle++;
		pthread_cond_wait(&jobs->wake, &jobs->lock);
		jobs->idle--;
	}
	pthread_mutex_unlock(&jobs->lock);
	return NULL;
}

/* Signals stay with the threads that expect them. */
static int thread_start_locked(struct gcl_jobs *jobs)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int err;

	err = pthread_attr_init(&attr);
	if (err)
		return -err;
	if (jobs->kind.stack_size)
		pthread_attr_setstacksize(&attr, jobs->kind.stack_size);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&jobs->threads[jobs->thread_count], &attr, jobs_thread, jobs);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (!err)
		jobs->thread_count++;
	return -err;
}

struct gcl_jobs *gcl_jobs_create_kind(const struct gcl_jobs_kind *kind)
{
	struct gcl_jobs *jobs = calloc(1, sizeof *jobs);

	if (!jobs)
		return NULL;
	jobs->kind = *kind;
	jobs->kind.threads = GCL_MIN(GCL_MAX(kind->threads, 1u), GCL_JOBS_THREADS_MAX);
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_cond_init(&jobs->wake, NULL);
	gcl_list_init(&jobs->pending);
	return jobs;
}

struct gcl_jobs *gcl_jobs_create(const char *name)
{
	return gcl_jobs_create_kind(&(struct gcl_jobs_kind){.name = name});
}

/* A thread for one more job, unless one is free. Without any thread the job could never run. */
static int thread_ensure_locked(struct gcl_jobs *jobs)
{
	int err;

	if (jobs->pending_count < jobs->idle || jobs->thread_count == jobs->kind.threads)
		return 0;
	err = thread_start_locked(jobs);
	return jobs->thread_count ? 0 : err;
}

int gcl_jobs_post(struct gcl_jobs *jobs, struct gcl_job *job)
{
	int err = -EAGAIN;

	pthread_mutex_lock(&jobs->lock);
	if (!jobs->kind.pending_count || jobs->pending_count < jobs->kind.pending_count)
		err = thread_ensure_locked(jobs);
	if (!err) {
		gcl_list_append(&jobs->pending, &job->link);
		jobs->pending_count++;
		pthread_cond_signal(&jobs->wake);
	}
	pthread_mutex_unlock(&jobs->lock);
	return err;
}

/* Jobs that haven't begun won't; the threads end. */
static void jobs_stop(struct gcl_jobs *jobs, struct gcl_list *dropped)
{
	pthread_mutex_lock(&jobs->lock);
	jobs->stopping = true;
	gcl_list_take_all(dropped, &jobs->pending);
	jobs->pending_count = 0;
	pthread_cond_broadcast(&jobs->wake);
	pthread_mutex_unlock(&jobs->lock);
}

void gcl_jobs_destroy(struct gcl_jobs *jobs)
{
	struct gcl_list dropped = GCL_LIST_INIT(dropped);

	if (!jobs)
		return;
	jobs_stop(jobs, &dropped);
	gcl_list_for_each_safe (it, next, &dropped) {
		struct gcl_job *job = gcl_container_of(it, struct gcl_job, link);

		gcl_list_remove(it);
		job->drop(job);
	}
	for (unsigned i = 0; i < jobs->thread_count; i++)
		pthread_join(jobs->threads[i], NULL);
	pthread_cond_destroy(&jobs->wake);
	pthread_mutex_destroy(&jobs->lock);
	free(jobs);
}
