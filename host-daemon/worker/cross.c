// SPDX-License-Identifier: MIT
/*
 * Events that are waited for on other sides than their own.
 *
 * On each side that waits an event has a proxy, a user event that a callback sets to what became of
 * it. Callbacks run on the runtimes' threads. A runtime may forget the callback when a command
 * fails because another did, as completion.c tells; so the session thread looks after these, too,
 * when it looks after those.
 */
#include <errno.h>
#include <stdlib.h>

#include "worker.h"

/* An event on its way to another side. */
struct crossing {
	struct gcl_list link; /* in sides.crossings */
	struct gcl_worker *worker;
	uint64_t id;	   /* the event's; 0: it is a replay's */
	cl_event event;	   /* a reference */
	cl_event proxy;	   /* a reference */
	unsigned from, to; /* their sides */
	atomic_flag set;   /* the proxy is, or is about to be */
	_Atomic bool called;
};

cl_int gcl_event_status(cl_event event)
{
	cl_int status = CL_COMPLETE;

	if (clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, NULL))
		return CL_INVALID_EVENT;
	return status;
}

/* That its side was lost may come to nothing (replay.c). */
static void proxy_set(struct crossing *crossing, cl_int status)
{
	if (status < 0 && gcl_side_withholds(crossing->worker, crossing->from))
		return;
	if (atomic_flag_test_and_set(&crossing->set))
		return;
	if (crossing->from == GCL_HOME && crossing->id)
		gcl_tell_add(crossing->worker, crossing->to, crossing->id, true);
	clSetUserEventStatus(crossing->proxy, GCL_MIN(status, CL_COMPLETE));
}

static void CL_CALLBACK crossing_completed(cl_event event, cl_int status, void *data)
{
	struct crossing *crossing = data;

	(void)event;
	proxy_set(crossing, status);
	/* The session thread frees it from here on. */
	atomic_store_explicit(&crossing->called, true, memory_order_release);
}

static void crossing_free(struct crossing *crossing)
{
	gcl_list_remove(&crossing->link);
	clReleaseEvent(crossing->event);
	clReleaseEvent(crossing->proxy);
	free(crossing);
}

static void crossings_reap(struct gcl_sides *sides)
{
	gcl_list_for_each_safe (it, next, &sides->crossings) {
		struct crossing *crossing = gcl_container_of(it, struct crossing, link);

		if (atomic_load_explicit(&crossing->called, memory_order_acquire))
			crossing_free(crossing);
	}
}

void gcl_crossings_sweep(struct gcl_worker *worker)
{
	crossings_reap(&worker->sides);
	gcl_list_for_each (it, &worker->sides.crossings) {
		struct crossing *crossing = gcl_container_of(it, struct crossing, link);
		cl_int status = gcl_event_status(crossing->event);

		if (status <= CL_COMPLETE)
			proxy_set(crossing, status);
	}
}

void gcl_crossings_forget(struct gcl_worker *worker, unsigned side)
{
	gcl_list_for_each (it, &worker->sides.crossings) {
		struct crossing *crossing = gcl_container_of(it, struct crossing, link);

		if (crossing->from == side)
			(void)atomic_flag_test_and_set(&crossing->set);
	}
}

bool gcl_crossings_of(struct gcl_worker *worker, unsigned side)
{
	crossings_reap(&worker->sides);
	gcl_list_for_each (it, &worker->sides.crossings) {
		const struct crossing *crossing = gcl_container_of(it, struct crossing, link);

		if (crossing->from == side || crossing->to == side)
			return true;
	}
	return false;
}

/* Without a flush its queue may keep the command for itself. */
static void event_flush(cl_event event)
{
	cl_command_queue queue = NULL;

	if (!clGetEventInfo(event, CL_EVENT_COMMAND_QUEUE, sizeof queue, &queue, NULL) && queue)
		clFlush(queue);
}

/* Return: CL_SUCCESS, and @proxy will be set. */
static cl_int crossing_begin(struct gcl_worker *worker, uint64_t id, cl_event event, unsigned from,
			     cl_event proxy, unsigned to)
{
	struct crossing *crossing = calloc(1, sizeof *crossing);
	cl_int status;

	if (!crossing)
		return CL_OUT_OF_HOST_MEMORY;
	crossings_reap(&worker->sides);
	crossing->worker = worker;
	crossing->id = id;
	crossing->event = event;
	crossing->proxy = proxy;
	crossing->from = from;
	crossing->to = to;
	atomic_flag_clear(&crossing->set);
	clRetainEvent(event);
	clRetainEvent(proxy);
	gcl_list_append(&worker->sides.crossings, &crossing->link);
	event_flush(event);
	status = clSetEventCallback(event, CL_COMPLETE, crossing_completed, crossing);
	if (status != CL_SUCCESS) {
		proxy_set(crossing, status);
		crossing_free(crossing);
	}
	return status;
}

/* ------------------------------------------------------------ entries */

static struct gcl_event_sides *event_detail(struct gcl_entry *entry)
{
	if (!entry->detail)
		entry->detail = calloc(1, sizeof(struct gcl_event_sides));
	return entry->detail;
}

int gcl_event_made(struct gcl_entry *entry, unsigned side)
{
	struct gcl_event_sides *sides = event_detail(entry);

	if (!sides)
		return -ENOMEM;
	sides->side = side;
	return 0;
}

static cl_event proxy_make(struct gcl_worker *worker, struct gcl_entry *entry,
			   struct gcl_context *context, unsigned side, cl_int *status)
{
	struct gcl_event_sides *sides = event_detail(entry);
	cl_context there = sides ? gcl_context_on(worker, context, side, status) : NULL;
	cl_event proxy;

	if (!there) {
		*status = *status ? *status : CL_OUT_OF_HOST_MEMORY;
		return NULL;
	}
	proxy = clCreateUserEvent(there, status);
	if (*status == CL_SUCCESS)
		*status =
			crossing_begin(worker, entry->id, entry->handle, sides->side, proxy, side);
	if (*status == CL_SUCCESS) {
		sides->proxies[side] = proxy;
		return proxy;
	}
	if (proxy)
		clReleaseEvent(proxy);
	return NULL;
}

void gcl_event_renewed(struct gcl_worker *worker, struct gcl_entry *entry)
{
	const struct gcl_event_sides *sides = entry->detail;
	cl_event proxy = sides ? sides->proxies[GCL_HOME] : NULL;

	if (proxy && entry->handle && gcl_event_status(proxy) > CL_COMPLETE)
		crossing_begin(worker, 0, entry->handle, GCL_HOME, proxy, GCL_HOME);
}

cl_int gcl_event_follow(struct gcl_worker *worker, cl_event event, cl_event proxy)
{
	return crossing_begin(worker, 0, event, GCL_HOME, proxy, GCL_HOME);
}

void gcl_event_lose(struct gcl_entry *entry, unsigned side)
{
	const struct gcl_event_sides *sides = entry->detail;
	cl_event proxy = sides && sides->side == side ? sides->proxies[GCL_HOME] : NULL;
	cl_int status = entry->handle ? gcl_event_status(entry->handle) : CL_DEVICE_NOT_AVAILABLE;

	if (proxy && status < 0 && gcl_event_status(proxy) > CL_COMPLETE)
		clSetUserEventStatus(proxy, status);
}

/* What waits at home for an event of a side that was lost, until it is decided what becomes of it.
 */
static cl_event proxy_withheld(struct gcl_event_sides *sides, const struct gcl_context *context,
			       cl_int *status)
{
	cl_event *proxy = &sides->proxies[GCL_HOME];

	if (!*proxy)
		*proxy = clCreateUserEvent(context->handles[GCL_HOME], status);
	return *proxy;
}

cl_event gcl_event_on(struct gcl_worker *worker, struct gcl_entry *entry,
		      struct gcl_context *context, unsigned side, cl_int *status)
{
	struct gcl_event_sides *sides = entry->detail;
	cl_int now;

	if (sides && sides->past && !entry->failed)
		return NULL;
	now = entry->handle && !entry->failed ? gcl_event_status(entry->handle) : -1;
	if (now < 0 && !entry->failed && sides && side == GCL_HOME &&
	    gcl_side_withholds(worker, sides->side))
		return proxy_withheld(sides, context, status);
	/* What waits for an event that has failed already hangs in some runtimes. */
	if (now < 0) {
		*status = CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST;
		return NULL;
	}
	if (side == (sides ? sides->side : GCL_HOME))
		return entry->handle;
	if (now == CL_COMPLETE) {
		/* Before others that wait for it here are told so, as this one won't wait. */
		if (sides && sides->side == GCL_HOME && sides->proxies[side])
			gcl_tell_add(worker, side, entry->id, true);
		return NULL;
	}
	if (sides && sides->proxies[side])
		return sides->proxies[side];
	return proxy_make(worker, entry, context, side, status);
}

static void proxy_drop(struct gcl_event_sides *sides, unsigned side)
{
	if (sides->proxies[side])
		clReleaseEvent(sides->proxies[side]);
	sides->proxies[side] = NULL;
}

void gcl_event_leave(struct gcl_entry *entry, unsigned side)
{
	struct gcl_event_sides *sides = entry->detail;

	if (!sides)
		return;
	for (unsigned i = 0; i < GCL_SIDES; i++)
		if (i == side || side == GCL_SIDES)
			proxy_drop(sides, i);
	if (sides->side != side || !entry->handle)
		return;
	/* Nothing is under way there any more. */
	if (!entry->failed)
		entry->failed = GCL_MIN(gcl_event_status(entry->handle), CL_SUCCESS);
	clReleaseEvent(entry->handle);
	entry->handle = NULL;
	sides->past = true;
}
