/*
 * The build pool: threads on which the runtime compiles, so that the session goes on meanwhile.
 *
 * Threads are started when there is work for them and stay. Lock order: builder.lock is a leaf; no
 * call of the runtime is made under it.
 */
#include "program.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>

/* Compilers recurse deeply: twice what a program's main thread has. */
#define STACK_SIZE (16u << 20)

/* Builds that a guest may have waiting; beyond, CL_OUT_OF_RESOURCES. */
#define PENDING_MAX 65536u

struct gcl_builder {
	struct gcl_worker *worker;
	pthread_mutex_t lock;
	pthread_cond_t wake; /* pending or stopping has changed */
	struct gcl_list pending;
	size_t pending_count;
	unsigned thread_max, thread_count, idle;
	bool stopping;
	pthread_t threads[GCL_BUILD_THREADS_MAX];
};

static struct gcl_job *job_take_locked(struct gcl_builder *builder)
{
	struct gcl_job *job;

	if (gcl_list_empty(&builder->pending))
		return NULL;
	job = gcl_list_first(&builder->pending, struct gcl_job, link);
	gcl_list_remove(&job->link);
	builder->pending_count--;
	return job;
}

static void *builder_thread(void *arg)
{
	struct gcl_builder *builder = arg;

	pthread_setname_np(pthread_self(), "build");
	pthread_mutex_lock(&builder->lock);
	while (!builder->stopping) {
		struct gcl_job *job = job_take_locked(builder);
		int build;

		if (job) {
			pthread_mutex_unlock(&builder->lock);
			build = gcl_timing_build_begin(builder->worker);
			job->run(job);
			gcl_timing_build_end(builder->worker, build);
			pthread_mutex_lock(&builder->lock);
			continue;
		}
		builder->idle++;
		pthread_cond_wait(&builder->wake, &builder->lock);
		builder->idle--;
	}
	pthread_mutex_unlock(&builder->lock);
	return NULL;
}

/* Signals stay with the threads that expect them. */
static int thread_start_locked(struct gcl_builder *builder)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int err;

	err = pthread_attr_init(&attr);
	if (err)
		return -err;
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&builder->threads[builder->thread_count], &attr, builder_thread,
			     builder);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (!err)
		builder->thread_count++;
	return -err;
}

static unsigned cpu_count(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof set, &set) < 0)
		return 1;
	return (unsigned)CPU_COUNT(&set);
}

static struct gcl_builder *builder_create(struct gcl_worker *worker)
{
	struct gcl_builder *builder = calloc(1, sizeof *builder);

	if (!builder)
		return NULL;
	builder->worker = worker;
	pthread_mutex_init(&builder->lock, NULL);
	pthread_cond_init(&builder->wake, NULL);
	gcl_list_init(&builder->pending);
	builder->thread_max = GCL_MIN(GCL_MAX(cpu_count(), 1u), GCL_BUILD_THREADS_MAX);
	return builder;
}

/* A thread for one more job, unless one is free. Without any thread the job could never run. */
static int thread_ensure_locked(struct gcl_builder *builder)
{
	int err;

	if (builder->pending_count < builder->idle || builder->thread_count == builder->thread_max)
		return 0;
	err = thread_start_locked(builder);
	return builder->thread_count ? 0 : err;
}

int gcl_builder_post(struct gcl_worker *worker, struct gcl_job *job)
{
	struct gcl_builder *builder;
	int err = -EAGAIN;

	if (!worker->builder)
		worker->builder = builder_create(worker);
	builder = worker->builder;
	if (!builder)
		return -ENOMEM;

	pthread_mutex_lock(&builder->lock);
	if (builder->pending_count < PENDING_MAX)
		err = thread_ensure_locked(builder);
	if (!err) {
		gcl_list_append(&builder->pending, &job->link);
		builder->pending_count++;
		pthread_cond_signal(&builder->wake);
	}
	pthread_mutex_unlock(&builder->lock);
	return err;
}

void gcl_builder_destroy(struct gcl_builder *builder)
{
	struct gcl_job *job;

	if (!builder)
		return;
	pthread_mutex_lock(&builder->lock);
	builder->stopping = true;
	while ((job = job_take_locked(builder)))
		job->drop(job);
	pthread_cond_broadcast(&builder->wake);
	pthread_mutex_unlock(&builder->lock);
	for (unsigned i = 0; i < builder->thread_count; i++)
		pthread_join(builder->threads[i], NULL);
	pthread_cond_destroy(&builder->wake);
	pthread_mutex_destroy(&builder->lock);
	free(builder);
}
