/* SPDX-License-Identifier: MIT */
#include "meter.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "worker.h"

/* Before it is known how long a command takes. */
#define UNKNOWN_NS 1000000u

/* Bytes that take the device long enough to move. */
#define MOVE_MIN (1u << 20)

/* For the end of shorter ones nobody is woken. */
#define WAKE_MIN_NS 300000u

/* Commands that come in before the first look. */
#define LOOK_FIRST 32u

int64_t gcl_meter_clock(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* ------------------------------------------------------------ how long things take */

uint64_t gcl_meter_key(uint64_t what, uint64_t size)
{
	uint64_t key = (what ^ (what >> 29)) * 0xbf58476d1ce4e5b9u + size;

	key = (key ^ (key >> 32)) * 0x94d049bb133111ebu;
	return key ^ (key >> 29) ? key ^ (key >> 29) : 1;
}

uint64_t gcl_meter_move(uint64_t size)
{
	return size < MOVE_MIN ? 0 : gcl_meter_key(0, size >> 18);
}

uint64_t gcl_meter_expect(const struct gcl_meter *meter, uint64_t work)
{
	size_t slot = work % GCL_METER_KINDS;

	return meter->kinds[slot].work == work ? meter->kinds[slot].ns : UNKNOWN_NS;
}

static void learn(struct gcl_meter *meter, uint64_t work, uint64_t ns)
{
	struct gcl_meter_kind *kind = &meter->kinds[work % GCL_METER_KINDS];
	uint64_t off = kind->ns > ns ? kind->ns - ns : ns - kind->ns;

	if (kind->work != work) {
		*kind = (struct gcl_meter_kind){.work = work, .ns = ns, .spread = ns / 4};
	} else {
		kind->ns = kind->ns - kind->ns / 4 + ns / 4;
		kind->spread = kind->spread - kind->spread / 4 + off / 4;
	}
}

/* How much longer than expected such work may well take. */
static uint64_t spread_of(const struct gcl_meter *meter, uint64_t work)
{
	const struct gcl_meter_kind *kind = &meter->kinds[work % GCL_METER_KINDS];

	return kind->work == work ? 2 * kind->spread : UNKNOWN_NS;
}

/* ------------------------------------------------------------ time that is counted once */

static void span_remove(struct gcl_meter_device *device, unsigned at)
{
	device->span_count--;
	memmove(&device->spans[at], &device->spans[at + 1],
		(device->span_count - at) * sizeof device->spans[0]);
}

/* Return: how much of the stretch is new. What is older than all that is remembered is. */
static uint64_t span_add(struct gcl_meter_device *device, cl_ulong from, cl_ulong to)
{
	uint64_t covered = 0, whole = to - from;
	unsigned at = 0;

	for (unsigned i = 0; i < device->span_count;) {
		cl_ulong begin = device->spans[i].from, end = device->spans[i].to;

		if (end < from || begin > to) {
			at += end < from;
			i++;
			continue;
		}
		covered += GCL_MIN(end, from + whole) - GCL_MAX(begin, to - whole);
		from = GCL_MIN(from, begin);
		to = GCL_MAX(to, end);
		span_remove(device, i);
	}
	if (device->span_count == GCL_METER_SPANS) {
		span_remove(device, 0);
		at -= at > 0;
	}
	memmove(&device->spans[at + 1], &device->spans[at],
		(device->span_count - at) * sizeof device->spans[0]);
	device->spans[at].from = from;
	device->spans[at].to = to;
	device->span_count++;
	return whole - GCL_MIN(covered, whole);
}

/* ------------------------------------------------------------ commands in flight */

static cl_int status_of(cl_event event)
{
	cl_int status = CL_COMPLETE;

	clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, NULL);
	return status;
}

static cl_ulong time_of(cl_event event, cl_profiling_info what)
{
	cl_ulong time = 0;

	clGetEventProfilingInfo(event, what, sizeof time, &time, NULL);
	return time;
}

/* Where the time of @flight counts. */
static _Atomic uint64_t *time_counter(struct gcl_worker *worker, const struct gcl_flight *flight)
{
	if (flight->device == GCL_METER_AWAY)
		return &worker->page->task.away_time;
	return &worker->page->counts.device_time[flight->device];
}

static void flight_release(struct gcl_worker *worker, const struct gcl_flight *flight)
{
	clReleaseEvent(flight->event);
	if (flight->first)
		clReleaseEvent(flight->first);
	if (flight->device == GCL_METER_AWAY)
		atomic_fetch_sub_explicit(&worker->sides.side[flight->side].completions, 1,
					  memory_order_relaxed);
}

static void flight_end(struct gcl_worker *worker, const struct gcl_flight *flight, int64_t now)
{
	struct gcl_meter_device *device = &worker->meter.devices[flight->device];
	cl_ulong from =
		time_of(flight->first ? flight->first : flight->event, CL_PROFILING_COMMAND_START);
	cl_ulong to = time_of(flight->event, CL_PROFILING_COMMAND_END);

	if (from && to > from) {
		gcl_page_add(time_counter(worker, flight), span_add(device, from, to));
		/* Another device's kernels tell nothing of those here. */
		if (!flight->first && flight->device != GCL_METER_AWAY)
			learn(&worker->meter, flight->work, to - from);
	}
	device->count--;
	device->expected -= GCL_MIN(device->expected, flight->expected);
	device->since = now;
	flight_release(worker, flight);
}

static void busy_tell(struct gcl_worker *worker, unsigned device)
{
	if (device == GCL_METER_AWAY)
		return;
	atomic_store_explicit(&worker->page->busy[device],
			      (uint32_t)worker->meter.devices[device].count, memory_order_release);
}

void gcl_meter_look(struct gcl_worker *worker)
{
	struct gcl_meter *meter = &worker->meter;
	int64_t now;
	size_t kept = 0;

	if (!meter->count)
		return;
	now = gcl_meter_clock();
	for (size_t i = 0; i < meter->count; i++) {
		if (status_of(meter->flights[i].event) > CL_COMPLETE) {
			meter->flights[kept++] = meter->flights[i];
			continue;
		}
		flight_end(worker, &meter->flights[i], now);
		busy_tell(worker, meter->flights[i].device);
	}
	meter->count = kept;
	meter->look_at = 2 * kept + LOOK_FIRST;
}

/* Room for one more. Return: false when there is none. */
static bool room_make(struct gcl_meter *meter)
{
	size_t room = GCL_MIN(2 * meter->room + LOOK_FIRST, GCL_METER_ROOM);
	struct gcl_flight *flights;

	if (meter->count < meter->room)
		return true;
	if (meter->count >= GCL_METER_ROOM)
		return false;
	flights = reallocarray(meter->flights, room, sizeof *flights);
	if (!flights)
		return false;
	meter->flights = flights;
	meter->room = room;
	return true;
}

/* The last command and this one become one, if nothing can come between them. */
static void flight_extend(struct gcl_meter *meter, const struct gcl_command *command)
{
	struct gcl_flight *last = meter->count ? &meter->flights[meter->count - 1] : NULL;

	if (!last || last->queue != command->queue || last->side != command->side ||
	    !last->queue->in_order)
		return;
	if (last->first)
		clReleaseEvent(last->event);
	else
		last->first = last->event;
	clRetainEvent(command->event);
	last->event = command->event;
	last->wakes = false;
}

/* More than GCL_METER_AWAY: the device isn't accounted for. */
static unsigned index_of(const struct gcl_command *command)
{
	if (command->side != GCL_HOME)
		return GCL_METER_AWAY;
	return command->queue->page_index < GCL_PAGE_DEVICES_MAX ? command->queue->page_index
								 : GCL_METER_AWAY + 1;
}

void gcl_meter_add(struct gcl_worker *worker, const struct gcl_command *command)
{
	struct gcl_meter *meter = &worker->meter;
	unsigned index = index_of(command);
	struct gcl_meter_device *device;
	struct gcl_flight *flight;

	if (!command->work || index > GCL_METER_AWAY)
		return;
	gcl_page_add(&worker->page->task.commands, 1);
	if (meter->count >= GCL_MAX(meter->look_at, LOOK_FIRST))
		gcl_meter_look(worker);
	if (!room_make(meter)) {
		flight_extend(meter, command);
		return;
	}
	clRetainEvent(command->event);
	flight = &meter->flights[meter->count++];
	*flight = (struct gcl_flight){
		.event = command->event,
		.queue = command->queue,
		.device = index,
		.side = command->side,
		.work = command->work,
		.expected = gcl_meter_expect(meter, command->work),
	};
	/* Its session there isn't ended before the event is let go. */
	if (index == GCL_METER_AWAY)
		atomic_fetch_add_explicit(&worker->sides.side[command->side].completions, 1,
					  memory_order_relaxed);
	device = &meter->devices[index];
	if (!device->count++)
		device->since = gcl_meter_clock();
	device->expected += flight->expected;
	busy_tell(worker, index);
}

/* On a thread of the runtime's. Nothing is read from @word, which may be gone. */
static void CL_CALLBACK sleeper_wake(cl_event event, cl_int status, void *word)
{
	(void)event;
	(void)status;
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

bool gcl_meter_wake(struct gcl_meter *meter, unsigned device, _Atomic uint32_t *word)
{
	for (size_t i = 0; i < meter->count; i++) {
		struct gcl_flight *flight = &meter->flights[i];

		if (flight->device != device)
			continue;
		if (!flight->wakes && flight->expected >= WAKE_MIN_NS)
			flight->wakes =
				!clSetEventCallback(flight->event, CL_COMPLETE, sleeper_wake, word);
		return flight->wakes;
	}
	return false;
}

uint64_t gcl_meter_left(const struct gcl_meter *meter, unsigned device)
{
	const struct gcl_meter_device *of = &meter->devices[device];
	uint64_t passed = (uint64_t)(gcl_meter_clock() - of->since), oldest = 0, spread = 0;

	if (!of->count)
		return 0;
	for (size_t i = 0; i < meter->count && !oldest; i++) {
		if (meter->flights[i].device != device)
			continue;
		oldest = meter->flights[i].expected;
		spread = spread_of(meter, meter->flights[i].work);
	}
	/* It is done when it is seen to be. */
	spread = GCL_MIN(GCL_MAX(spread, oldest / 64), oldest);
	passed = GCL_MIN(passed, oldest - spread);
	return GCL_MAX(of->expected - GCL_MIN(of->expected, passed), 1u);
}

bool gcl_meter_runs(const struct gcl_meter *meter, unsigned device)
{
	for (size_t i = 0; i < meter->count; i++) {
		if (meter->flights[i].device == device &&
		    status_of(meter->flights[i].event) <= CL_RUNNING)
			return true;
	}
	return false;
}

void gcl_meter_fini(struct gcl_meter *meter)
{
	for (size_t i = 0; i < meter->count; i++) {
		clReleaseEvent(meter->flights[i].event);
		if (meter->flights[i].first)
			clReleaseEvent(meter->flights[i].first);
	}
	free(meter->flights);
	meter->flights = NULL;
	meter->count = meter->room = 0;
}
