// SPDX-License-Identifier: MIT
/*
 * What may take too long: kernels and builds, against the limits in the page.
 *
 * Theory of operation. A thread, which is started when there is first something to watch, looks at
 * launches and builds several times before a limit can have passed. A launch's age is counted from
 * when its event was first seen running, not from when it was posted: one that waits (for a gate,
 * for others) takes no time. Time is counted look by look, and one look counts for no more than two
 * should, so that a process that was stopped, with its VM for one, has not grown older.
 *
 * It asks the runtime for the state of events, and may hang in it; so it is no other thread's duty.
 * How much memory builds take is told by the allocator: what the process has in use, less what it
 * had when the first of them began, and less what buffers have taken meanwhile.
 *
 * Must not: call the runtime with the lock held.
 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <time.h>

#include "worker.h"

/* Looks before a limit can have passed; and the bounds of their period. */
#define LOOKS	      10
#define PERIOD_MIN_NS 5000000ll
#define PERIOD_MAX_NS 500000000ll

/* Launches that are over and kept for others. */
#define UNUSED_MAX 4096u

struct launch {
	struct gcl_list link;
	cl_event event;
	uint64_t queue; /* an in-order queue's id; 0 for others */
	int64_t ns;	/* seen running for so long; 0: not seen */
	bool failed;	/* let go at the next look: runtimes touch failed events a little longer */
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t limit_ns(const _Atomic uint64_t *limit)
{
	return (int64_t)GCL_MIN(gcl_page_read(limit), UINT32_MAX) * 1000000;
}

void gcl_timing_init(struct gcl_timing *timing)
{
	pthread_condattr_t monotonic;

	pthread_mutex_init(&timing->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&timing->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	gcl_list_init(&timing->incoming);
	gcl_list_init(&timing->launches);
	gcl_list_init(&timing->over);
	gcl_list_init(&timing->unused);
	for (unsigned i = 0; i < GCL_BUILD_THREADS_MAX; i++)
		timing->build_ns[i] = -1;
}

/* ------------------------------------------------------------ the thread */

static void want_end(struct gcl_worker *worker, enum gcl_end_reason reason, uint64_t limit)
{
	if (!worker->timing.asked)
		gcl_worker_end_want(worker, reason, limit);
	worker->timing.asked = true;
}

/* Return: how long @launch has run; -1: it is over. */
static int64_t launch_look(struct launch *launch, int64_t passed)
{
	cl_int status = CL_COMPLETE;

	if (clGetEventInfo(launch->event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status,
			   NULL))
		status = CL_COMPLETE;
	if (status == CL_COMPLETE || launch->failed)
		return -1;
	launch->failed = status < 0;
	if (status != CL_RUNNING)
		return 0;
	launch->ns += launch->ns ? passed : 1;
	return launch->ns;
}

static void launches_look(struct gcl_worker *worker, int64_t passed)
{
	const _Atomic uint64_t *limit = &worker->page->limits.kernel_time;
	int64_t most = limit_ns(limit);

	uint64_t behind = 0;

	gcl_list_for_each_safe (it, next, &worker->timing.launches) {
		struct launch *launch = gcl_container_of(it, struct launch, link);
		int64_t ns;

		/* Those that wait for an earlier one of their queue need no look. */
		if (behind && launch->queue == behind)
			continue;
		ns = launch_look(launch, passed);
		if (ns > most && most)
			want_end(worker, GCL_END_KERNEL_TIME, (uint64_t)most / 1000000);
		if (ns >= 0) {
			behind = launch->queue;
			continue;
		}
		clReleaseEvent(launch->event);
		gcl_list_remove(&launch->link);
		gcl_list_append(&worker->timing.over, &launch->link);
	}
}

/* Keeps a few for the session thread, which would have to allocate them. */
static void over_keep_locked(struct gcl_timing *timing)
{
	gcl_list_for_each_safe (it, next, &timing->over) {
		gcl_list_remove(it);
		if (timing->unused_count < UNUSED_MAX) {
			gcl_list_append(&timing->unused, it);
			timing->unused_count++;
		} else {
			free(gcl_container_of(it, struct launch, link));
		}
	}
}

static struct launch *launch_get_locked(struct gcl_timing *timing)
{
	struct launch *launch;

	if (!timing->unused_count)
		return malloc(sizeof *launch);
	launch = gcl_list_first(&timing->unused, struct launch, link);
	gcl_list_remove(&launch->link);
	timing->unused_count--;
	return launch;
}

static uint64_t memory_used(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static uint64_t memory_held(const struct gcl_worker *worker)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++)
		sum += gcl_page_read(&worker->page->held[i]);
	return sum;
}

/* What is not buffers'; these may be elsewhere, so it can come out as less than there is. */
static uint64_t memory_others(const struct gcl_worker *worker)
{
	uint64_t used = memory_used();

	return used - GCL_MIN(used, memory_held(worker));
}

static void build_memory_look(struct gcl_worker *worker)
{
	uint64_t limit = gcl_page_read(&worker->page->limits.build_memory);
	uint64_t used = limit ? memory_others(worker) : 0;

	if (limit && used > worker->timing.build_memory &&
	    used - worker->timing.build_memory > limit)
		want_end(worker, GCL_END_BUILD_MEMORY, limit);
}

/* Return: whether builds run. */
static bool builds_look_locked(struct gcl_worker *worker, int64_t passed)
{
	struct gcl_timing *timing = &worker->timing;
	int64_t most = limit_ns(&worker->page->limits.build_time);

	for (unsigned i = 0; i < GCL_BUILD_THREADS_MAX; i++) {
		if (timing->build_ns[i] < 0)
			continue;
		timing->build_ns[i] += passed;
		if (most && timing->build_ns[i] > most)
			want_end(worker, GCL_END_BUILD_TIME, (uint64_t)most / 1000000);
	}
	return timing->builds;
}

/* How long until the next look. */
static int64_t period(const struct gcl_worker *worker)
{
	const struct gcl_page_limits *limits = &worker->page->limits;
	int64_t kernel = limit_ns(&limits->kernel_time), build = limit_ns(&limits->build_time);
	int64_t least = PERIOD_MAX_NS;

	if (kernel)
		least = GCL_MIN(least, kernel / LOOKS);
	if (build)
		least = GCL_MIN(least, build / LOOKS);
	return GCL_MAX(least, PERIOD_MIN_NS);
}

/* Until the next look or, when there is nothing to look at, until there is. */
static void sleep_locked(struct gcl_worker *worker, bool idle)
{
	struct gcl_timing *timing = &worker->timing;
	int64_t until = now_ns() + period(worker);
	const struct timespec end = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};

	timing->idle = idle;
	while (timing->idle && !timing->stopping)
		pthread_cond_wait(&timing->wake, &timing->lock);
	if (!idle && !timing->stopping)
		pthread_cond_timedwait(&timing->wake, &timing->lock, &end);
}

static void *timing_run(void *data)
{
	struct gcl_worker *worker = data;
	struct gcl_timing *timing = &worker->timing;
	int64_t looked = now_ns();

	pthread_setname_np(pthread_self(), "timing");
	pthread_mutex_lock(&timing->lock);
	while (!timing->stopping) {
		int64_t passed = GCL_MIN(now_ns() - looked, 2 * period(worker));
		bool builds = builds_look_locked(worker, passed), idle;

		looked = now_ns();
		gcl_list_take_all(&timing->launches, &timing->incoming);
		idle = !builds && gcl_list_empty(&timing->launches);
		pthread_mutex_unlock(&timing->lock);
		launches_look(worker, passed);
		if (builds)
			build_memory_look(worker);
		pthread_mutex_lock(&timing->lock);
		over_keep_locked(timing);
		/* Only after a look that found nothing, so that a program that launches one kernel
		 * after the other need not wake it for each. */
		idle = idle && !timing->builds && gcl_list_empty(&timing->incoming);
		sleep_locked(worker, idle);
		if (idle)
			looked = now_ns();
	}
	pthread_mutex_unlock(&timing->lock);
	return NULL;
}

/* There is something to look at: wakes the thread, or starts it. One that is not idle sees it. */
static void thread_wake_locked(struct gcl_worker *worker)
{
	struct gcl_timing *timing = &worker->timing;
	sigset_t all, before;

	if (timing->started) {
		if (timing->idle)
			pthread_cond_signal(&timing->wake);
		timing->idle = false;
		return;
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	timing->started = pthread_create(&timing->thread, NULL, timing_run, worker) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!timing->started)
		gcl_log_peer(session, "can't start a thread: kernels and builds are not timed");
}

/* ------------------------------------------------------------ what is watched */

void gcl_timing_launch(struct gcl_worker *worker, const struct gcl_queue *queue, cl_event event)
{
	struct gcl_timing *timing = &worker->timing;
	struct launch *launch;

	if (!gcl_page_read(&worker->page->limits.kernel_time))
		return;
	if (clRetainEvent(event))
		return;
	pthread_mutex_lock(&timing->lock);
	launch = launch_get_locked(timing);
	if (launch) {
		*launch = (struct launch){.event = event, .queue = queue->in_order ? queue->id : 0};
		gcl_list_append(&timing->incoming, &launch->link);
		thread_wake_locked(worker);
	}
	pthread_mutex_unlock(&timing->lock);
	if (!launch)
		clReleaseEvent(event);
}

int gcl_timing_build_begin(struct gcl_worker *worker)
{
	struct gcl_timing *timing = &worker->timing;
	const struct gcl_page_limits *limits = &worker->page->limits;
	uint64_t memory;
	int build = 0;

	if (!gcl_page_read(&limits->build_time) && !gcl_page_read(&limits->build_memory))
		return -1;
	memory = memory_others(worker);
	pthread_mutex_lock(&timing->lock);
	while (timing->build_ns[build] >= 0)
		build++;
	timing->build_ns[build] = 0;
	if (!timing->builds++)
		timing->build_memory = memory;
	thread_wake_locked(worker);
	pthread_mutex_unlock(&timing->lock);
	return build;
}

void gcl_timing_build_end(struct gcl_worker *worker, int build)
{
	if (build < 0)
		return;
	pthread_mutex_lock(&worker->timing.lock);
	worker->timing.build_ns[build] = -1;
	worker->timing.builds--;
	pthread_mutex_unlock(&worker->timing.lock);
}

void gcl_timing_fini(struct gcl_worker *worker)
{
	struct gcl_timing *timing = &worker->timing;

	pthread_mutex_lock(&timing->lock);
	timing->stopping = true;
	pthread_cond_signal(&timing->wake);
	pthread_mutex_unlock(&timing->lock);
	if (timing->started)
		pthread_join(timing->thread, NULL);
	gcl_list_take_all(&timing->launches, &timing->incoming);
	gcl_list_for_each_safe (it, next, &timing->launches) {
		struct launch *launch = gcl_container_of(it, struct launch, link);

		clReleaseEvent(launch->event);
		free(launch);
	}
	gcl_list_for_each_safe (it, next, &timing->unused)
		free(gcl_container_of(it, struct launch, link));
	pthread_cond_destroy(&timing->wake);
	pthread_mutex_destroy(&timing->lock);
}
