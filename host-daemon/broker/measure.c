// SPDX-License-Identifier: MIT
#include "measure.h"

#include "base/cleanup.h"

/* How long the means remember. */
#define MEMORY_SECONDS 5.

/* What was seen for less long says nothing of what comes. */
#define KNOWN_SECONDS 2.

/* More than anything does in a second: several seconds' work may be counted in one. */
#define WORK_MAX  1e3
#define COUNT_MAX 1e9
#define BYTES_MAX 1e12

/* What the fields of a task may be (place/check.c). */
#define SECONDS_MAX 1e5
#define TRIPS_MAX   1e6
#define CARRIED_MAX 1e15

/* Round trips in a second that are enough to tell how long one takes. */
#define TRIPS_MIN 2.

static double part(double x, double least, double most)
{
	return GCL_MIN(GCL_MAX(x, least), most);
}

/* By how much a counter has grown; one that goes back hasn't. */
static double grown(uint64_t *before, const _Atomic uint64_t *counter)
{
	uint64_t now = gcl_page_read(counter);
	uint64_t more = now > *before ? now - *before : 0;

	*before = now;
	return (double)more;
}

static void mean(double *mean_of, double seen, double weight)
{
	*mean_of += (seen - *mean_of) * weight;
}

/* Messages and payloads, in both directions. */
static double bytes_grown(uint64_t *before, const struct gcl_page *page)
{
	uint64_t now = gcl_page_read(&page->counts.bytes_from_guest) +
		       gcl_page_read(&page->counts.bytes_to_guest);
	uint64_t more = now > *before ? now - *before : 0;

	*before = now;
	return (double)more;
}

struct look {
	double commands, trips, bytes, busy, waited, idle, away;
};

static void page_look(struct gcl_measure *measure, const struct gcl_page *page, unsigned home,
		      struct look *look)
{
	*look = (struct look){
		.commands = grown(&measure->commands, &page->task.commands),
		.trips = grown(&measure->waits, &page->task.waits),
		.bytes = bytes_grown(&measure->bytes, page),
		.idle = grown(&measure->idle, &page->task.idle_time),
		.away = grown(&measure->away, &page->task.away_time),
	};
	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++) {
		double busy = grown(&measure->device_time[i], &page->counts.device_time[i]);
		double waited = grown(&measure->wait_time[i], &page->counts.wait_time[i]);

		if (i != home)
			continue;
		look->busy = busy;
		look->waited = waited;
	}
}

void gcl_measure_look(struct gcl_measure *measure, const struct gcl_page *page, unsigned home,
		      double now)
{
	double passed = now - measure->looked, weight;
	bool first = measure->looked <= 0.;
	struct look look;

	if (!first && passed <= 0.)
		return;
	page_look(measure, page, home, &look);
	measure->looked = now;
	if (first)
		return;
	/* In the beginning they are means of all that was seen. */
	measure->seen += passed;
	weight = passed / GCL_MIN(measure->seen, MEMORY_SECONDS + passed);
	measure->lately = look.commands > 0.;
	mean(&measure->command_rate, part(look.commands / passed, 0., COUNT_MAX), weight);
	mean(&measure->trip_rate, part(look.trips / passed, 0., COUNT_MAX), weight);
	mean(&measure->byte_rate, part(look.bytes / passed, 0., BYTES_MAX), weight);
	mean(&measure->busy, part(look.busy * 1e-9 / passed, 0., WORK_MAX), weight);
	mean(&measure->waited, part(look.waited * 1e-9 / passed, 0., WORK_MAX), weight);
	mean(&measure->away_part, part(look.away * 1e-9 / passed, 0., WORK_MAX), weight);
	/* What it is idle now is counted when that ends. */
	mean(&measure->idle_part, measure->lately ? part(look.idle * 1e-9 / passed, 0., 1.) : 1.,
	     weight);
}

void gcl_measure_anew(struct gcl_measure *measure)
{
	measure->seen = 0.;
	measure->command_rate = measure->trip_rate = measure->byte_rate = 0.;
	measure->busy = measure->waited = measure->away_part = 0.;
	measure->idle_part = 1.;
}

/* ------------------------------------------------------------ parts of the time */

static bool known(const struct gcl_measure *measure)
{
	return measure->seen >= KNOWN_SECONDS;
}

/* What it would need of the device if it was alone there. */
static double busy_alone(const struct gcl_measure *measure, double spread)
{
	return part(measure->busy, 0., 1.) / GCL_MAX(spread, 1.);
}

static double waiting(const struct gcl_measure *measure, double spread, bool waits)
{
	double busy = part(measure->busy, 0., 1.);

	return (waits ? part(measure->waited, 0., 1.) : 0.) + busy - busy_alone(measure, spread);
}

static double thinking(const struct gcl_measure *measure)
{
	return GCL_MAX(1. - part(measure->busy, 0., 1.) - part(measure->waited, 0., 1.), 0.);
}

double gcl_measure_use(const struct gcl_measure *measure, double spread)
{
	double busy = busy_alone(measure, spread), all = busy + thinking(measure);

	return known(measure) && all > 0. ? busy / all : 0.;
}

/* ------------------------------------------------------------ of one command */

/* A task that does nothing uses nothing. */
static void idle_fill(struct gcl_place_task *task)
{
	task->kernel = task->kernel_there = task->think = 0.;
	task->trips = task->carried = task->waited = 0.;
}

static void common_fill(const struct gcl_measure *measure, struct gcl_place_task *task)
{
	task->trips = part(measure->trip_rate / measure->command_rate, 0., TRIPS_MAX);
	task->carried = part(measure->byte_rate / measure->command_rate, 0., CARRIED_MAX);
}

void gcl_measure_home(struct gcl_measure *measure, double spread, bool waits,
		      struct gcl_place_task *task)
{
	double rate = measure->command_rate;

	if (!known(measure) || rate < GCL_MEASURE_COMMANDS_MIN) {
		idle_fill(task);
		return;
	}
	common_fill(measure, task);
	measure->kernel = part(busy_alone(measure, spread) / rate, 0., SECONDS_MAX);
	task->kernel = measure->kernel;
	task->waited = part(waiting(measure, spread, waits) / rate, 0., SECONDS_MAX);
	task->think = part(thinking(measure) / rate, 0., SECONDS_MAX);
}

void gcl_measure_away(const struct gcl_measure *measure, double rtt, struct gcl_place_task *task)
{
	double rate = measure->command_rate, idle = part(measure->idle_part, 0., 1.);
	double away = part(measure->away_part, 0., 1.), link = measure->trip_rate * rtt;

	if (!known(measure) || rate < GCL_MEASURE_COMMANDS_MIN) {
		idle_fill(task);
		return;
	}
	common_fill(measure, task);
	task->kernel = measure->kernel;
	task->kernel_there = part(away / rate, 0., SECONDS_MAX);
	task->think = part(idle / rate, 0., SECONDS_MAX);
	task->waited = part((1. - idle - away - link) / rate, 0., SECONDS_MAX);
}

double gcl_measure_trip(const struct gcl_measure *measure)
{
	double left = 1. - part(measure->idle_part, 0., 1.) - part(measure->away_part, 0., 1.);

	if (measure->trip_rate < TRIPS_MIN)
		return 0.;
	return GCL_MAX(left, 0.) / measure->trip_rate;
}
