/* SPDX-License-Identifier: MIT */
/*
 * What a session's commands take, by the counters of its worker's page: for placing.h.
 *
 * Theory of operation. The counters are looked at about once a second; the means that come of that
 * forget what is older than some seconds. Nothing is said before it was seen for two. All are parts
 * of the time that passes, and divided by the commands of that time they are those of one command.
 *
 *	at home  kernel   device time / spread
 *	         waited   wait time + device time * (1 - 1 / spread)
 *	         think    what is left
 *	away     kernel   device time of the server, by its clock
 *	         think    the time in which the guest waited for nothing
 *	         waited   what is left, without what the link takes
 *
 * @spread is the sum of what all sessions of the device say that it worked for them, in parts of
 * the time: above 1 it works for several at once, and each takes longer by that. The commands of a
 * session that does nothing take nothing.
 *
 * A page's numbers may be anything: they are cut down to what can be before anything is reckoned
 * with them.
 *
 * Must not: read a clock, know what a session is.
 */
#ifndef GCL_BROKER_MEASURE_H
#define GCL_BROKER_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#include "page.h"
#include "place/place.h"

/* Fewer commands a second than that are none. */
#define GCL_MEASURE_COMMANDS_MIN 1e-3

/* Plain data. */
struct gcl_measure {
	double looked; /* moment; 0: never */
	double seen;   /* s that the means are of, or would be if they forgot nothing */
	/* As they were then. */
	uint64_t commands, waits, bytes, idle, away;
	uint64_t device_time[GCL_PAGE_DEVICES_MAX], wait_time[GCL_PAGE_DEVICES_MAX];
	/* Means, each a second. */
	double command_rate, trip_rate, byte_rate;
	double busy, waited, idle_part, away_part; /* s */
	double kernel;				   /* s of a command at home; 0: not known */
	bool lately;				   /* commands came since the look before */
};

/** gcl_measure_look() - at @now. @home: the device of this host that counts */
void gcl_measure_look(struct gcl_measure *measure, const struct gcl_page *page, unsigned home,
		      double now);

/** gcl_measure_anew() - it is somewhere else now: forget the means, but for @kernel. */
void gcl_measure_anew(struct gcl_measure *measure);

/** gcl_measure_use() - the part of a device of this host that it would use, alone there. */
double gcl_measure_use(const struct gcl_measure *measure, double spread);

/** gcl_measure_home() - fills the commands' means of a task at home, and keeps @kernel for later.
 */
void gcl_measure_home(struct gcl_measure *measure, double spread, bool waits,
		      struct gcl_place_task *task);

/** gcl_measure_away() - the same of one on a server. @rtt: s, of the link */
void gcl_measure_away(const struct gcl_measure *measure, double rtt, struct gcl_place_task *task);

/** gcl_measure_trip() - s that one round trip takes at most, of a session on a server; 0: it makes
 * too few to tell. */
double gcl_measure_trip(const struct gcl_measure *measure);

#endif
