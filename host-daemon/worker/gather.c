/*
 * Gathers the ends of events.
 *
 * Each event has a callback, or none when it is over already; the last one that ends calls what
 * waits for all. Callbacks may run inside clSetEventCallback. Must not: call OpenCL, or @done, with
 * the lock held.
 *
 * A runtime may forget the callback when a command fails because another did (PoCL 3.1), or when it
 * was over before. Events that are over are seen before and after the callback is set; of those
 * that end later and are forgotten, only gcl_gather_sweep() will know. So whoever gathers has to
 * have it called while he waits, as gcl_completions_sweep() is.
 *
 * PoCL 3.1 also touches failed events after it has let go of them. Where one failed, references are
 * given back a while later, by the next sweep or gathering. A callback has a number instead of a
 * pointer, so that one that was given up may come at any time.
 */
#include "gather.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "base/list.h"

/* How long after its failure a runtime may still touch an event. */
#define TOUCH_NS 1000000000ll

/* Lists of parts, by their numbers. */
#define BUCKETS 256u

/* An event that is waited for. */
struct part {
	struct part *next; /* in its bucket, until it is over */
	uintptr_t number;
	struct gather *gather;
	cl_event event;
};

struct gather {
	struct gcl_list link;	/* in waiting, later perhaps in failed */
	_Atomic size_t left;	/* parts that aren't over, and 1 until all callbacks are set */
	_Atomic unsigned users; /* of events and memory: 1 until it is over, and sweeps */
	_Atomic cl_int status;
	void (*done)(void *arg, cl_int status);
	void *arg;
	int64_t failed_ns; /* when it got into failed */
	size_t count;
	struct part parts[];
};

/* A leaf; protects what follows. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct gcl_list waiting = GCL_LIST_INIT(waiting);
static struct gcl_list failed = GCL_LIST_INIT(failed); /* in the order of their times */
static struct part *buckets[BUCKETS];
static uintptr_t last_number;

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static cl_int event_status(cl_event event)
{
	cl_int status = CL_COMPLETE;
	cl_int err = clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status,
				    &status, NULL);

	return err ? err : status;
}

static void gather_put(struct gather *gather)
{
	if (atomic_fetch_sub(&gather->users, 1) != 1)
		return;
	for (size_t i = 0; i < gather->count; i++)
		clReleaseEvent(gather->parts[i].event);
	free(gather);
}

static void gather_end(struct gather *gather)
{
	void (*done)(void *arg, cl_int status) = gather->done;
	void *arg = gather->arg;
	cl_int status = atomic_load(&gather->status);

	pthread_mutex_lock(&lock);
	gcl_list_remove(&gather->link);
	if (status) {
		gather->failed_ns = now_ns();
		gcl_list_append(&failed, &gather->link); /* and its events are a sweep's */
	}
	pthread_mutex_unlock(&lock);
	if (!status)
		gather_put(gather);
	done(arg, status);
}

static void gather_count(struct gather *gather, cl_int status)
{
	cl_int none = CL_COMPLETE;

	if (status < 0)
		atomic_compare_exchange_strong(&gather->status, &none, status);
	if (atomic_fetch_sub(&gather->left, 1) == 1)
		gather_end(gather);
}

static void gather_enter(struct gather *gather)
{
	pthread_mutex_lock(&lock);
	gcl_list_append(&waiting, &gather->link);
	for (size_t i = 0; i < gather->count; i++) {
		struct part *part = &gather->parts[i];
		struct part **bucket;

		part->number = ++last_number;
		bucket = &buckets[part->number % BUCKETS];
		part->next = *bucket;
		*bucket = part;
	}
	pthread_mutex_unlock(&lock);
}

/* Return: the part of that number, which is over now; NULL: it was so before. */
static struct part *part_take(uintptr_t number)
{
	struct part **at = &buckets[number % BUCKETS], *part;

	pthread_mutex_lock(&lock);
	while (*at && (*at)->number != number)
		at = &(*at)->next;
	part = *at;
	if (part)
		*at = part->next;
	pthread_mutex_unlock(&lock);
	return part;
}

static void part_end(uintptr_t number, cl_int status)
{
	const struct part *part = part_take(number);

	if (part)
		gather_count(part->gather, status);
}

static void CL_CALLBACK event_over(cl_event event, cl_int status, void *data)
{
	(void)event;
	part_end((uintptr_t)data, GCL_MIN(status, CL_COMPLETE));
}

static void part_watch(const struct part *part)
{
	cl_int status = event_status(part->event), err;

	if (status > CL_COMPLETE) {
		err = clSetEventCallback(part->event, CL_COMPLETE, event_over,
					 (void *)part->number);
		/* It may have failed just before, and this been forgotten. */
		status = err ? err : event_status(part->event);
		if (status > CL_COMPLETE)
			return;
	}
	part_end(part->number, status);
}

static struct gather *gather_create(const cl_event *events, size_t count)
{
	struct gather *gather = calloc(1, sizeof *gather + count * sizeof gather->parts[0]);

	if (!gather)
		return NULL;
	gather->count = count;
	for (size_t i = 0; i < count; i++) {
		gather->parts[i].gather = gather;
		gather->parts[i].event = events[i];
		clRetainEvent(events[i]);
	}
	atomic_store(&gather->users, 1);
	atomic_store(&gather->left, count + 1);
	return gather;
}

/* Of those that have failed, lets go of the ones that no runtime touches any more. */
static void failed_release(void)
{
	int64_t before = now_ns() - TOUCH_NS;

	pthread_mutex_lock(&lock);
	while (!gcl_list_empty(&failed)) {
		struct gather *gather = gcl_list_first(&failed, struct gather, link);

		if (gather->failed_ns > before)
			break;
		gcl_list_remove(&gather->link);
		pthread_mutex_unlock(&lock);
		gather_put(gather);
		pthread_mutex_lock(&lock);
	}
	pthread_mutex_unlock(&lock);
}

int gcl_gather(const cl_event *events, size_t count, void (*done)(void *arg, cl_int status),
	       void *arg)
{
	struct gather *gather;

	failed_release();
	gather = gather_create(events, count);
	if (!gather)
		return -ENOMEM;
	gather->done = done;
	gather->arg = arg;
	gather_enter(gather);
	for (size_t i = 0; i < count; i++)
		part_watch(&gather->parts[i]);
	gather_count(gather, CL_COMPLETE);
	return 0;
}

static void gather_look(const struct gather *gather)
{
	for (size_t i = 0; i < gather->count; i++) {
		cl_int status = event_status(gather->parts[i].event);

		if (status <= CL_COMPLETE)
			part_end(gather->parts[i].number, status);
	}
}

void gcl_gather_sweep(void)
{
	struct gcl_list unseen = GCL_LIST_INIT(unseen);

	failed_release();
	pthread_mutex_lock(&lock);
	gcl_list_take_all(&unseen, &waiting);
	/* Others take out of this list what ends meanwhile, as they would of waiting. */
	while (!gcl_list_empty(&unseen)) {
		struct gather *gather = gcl_list_first(&unseen, struct gather, link);

		gcl_list_remove(&gather->link);
		gcl_list_append(&waiting, &gather->link);
		atomic_fetch_add(&gather->users, 1);
		pthread_mutex_unlock(&lock);
		gather_look(gather);
		gather_put(gather);
		pthread_mutex_lock(&lock);
	}
	pthread_mutex_unlock(&lock);
}
