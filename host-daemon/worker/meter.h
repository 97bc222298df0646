/* SPDX-License-Identifier: MIT */
/*
 * The meter: how long devices have worked for the session, and how long they have yet to.
 *
 * Theory of operation. Commands that keep a device busy leave their event here. Now and then those
 * that have ended are looked through, oldest first, and what they covered of the device's time is
 * added to the page: time that several covered counts once. How long a command of a kind takes is
 * remembered, so that it is known about how much there is to do. With very many under way,
 * consecutive ones on an in-order queue are taken for one. Devices of servers are one more, whose
 * time is told apart from that of the devices here. The session thread's alone.
 */
#ifndef GCL_METER_H
#define GCL_METER_H

#define CL_TARGET_OPENCL_VERSION 300

#include <CL/cl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "page.h"

/* Commands that are kept one by one. */
#define GCL_METER_ROOM 4096u

/* Stretches of time that are remembered as counted, newest last. */
#define GCL_METER_SPANS 32u

#define GCL_METER_KINDS 512u

/* Stands for all devices of servers. */
#define GCL_METER_AWAY GCL_PAGE_DEVICES_MAX

struct gcl_command;
struct gcl_queue;
struct gcl_worker;

struct gcl_flight {
	cl_event event;
	cl_event first; /* of several commands taken for one; or NULL */
	const struct gcl_queue *queue;
	unsigned device;
	unsigned side;	   /* of the event */
	uint64_t work;	   /* gcl_meter_key() */
	uint64_t expected; /* ns */
	bool wakes;	   /* its end wakes who sleeps */
};

struct gcl_meter_device {
	size_t count;	   /* in flight */
	uint64_t expected; /* ns, of all in flight */
	int64_t since;	   /* by our clock, the oldest of these began at about this time */
	struct {
		cl_ulong from, to;
	} spans[GCL_METER_SPANS]; /* counted, in their order */
	unsigned span_count;
};

/* A kind of work. */
struct gcl_meter_kind {
	uint64_t work;	 /* gcl_meter_key() */
	uint64_t ns;	 /* that it takes, on average */
	uint64_t spread; /* ns that it is off the average, on average */
};

struct gcl_meter {
	struct gcl_flight *flights; /* in the order of their enqueuing */
	size_t count, room;
	size_t look_at; /* look through them when there are as many */
	struct gcl_meter_device devices[GCL_PAGE_DEVICES_MAX + 1];
	struct gcl_meter_kind kinds[GCL_METER_KINDS];
};

void gcl_meter_fini(struct gcl_meter *meter);

/** gcl_meter_key() - a kind of work that takes about as long each time; not 0. */
uint64_t gcl_meter_key(uint64_t what, uint64_t size);

/** gcl_meter_move() - the kind of moving so many bytes, or 0: it isn't worth counting. */
uint64_t gcl_meter_move(uint64_t size);

/** gcl_meter_expect() - ns that such work takes; a millisecond if it isn't known. */
uint64_t gcl_meter_expect(const struct gcl_meter *meter, uint64_t work);

/** gcl_meter_add() - @command was enqueued, and has an event. */
void gcl_meter_add(struct gcl_worker *worker, const struct gcl_command *command);

/** gcl_meter_look() - count what has ended. */
void gcl_meter_look(struct gcl_worker *worker);

/** gcl_meter_left() - ns until @device is expected to have done all that is in flight; 0 only when
 * nothing is. */
uint64_t gcl_meter_left(const struct gcl_meter *meter, unsigned device);

/**
 * gcl_meter_wake() - have the end of the oldest command in flight on @device wake who sleeps on the
 * futex @word, shared or not, if the command isn't too short for that to be worth it.
 *
 * Return: whether it will; it may end, and wake nobody, before the caller sleeps.
 */
bool gcl_meter_wake(struct gcl_meter *meter, unsigned device, _Atomic uint32_t *word);

/** gcl_meter_runs() - whether one of the commands in flight on @device is running. */
bool gcl_meter_runs(const struct gcl_meter *meter, unsigned device);

/** gcl_meter_clock() - ns of CLOCK_MONOTONIC, as in the page. */
int64_t gcl_meter_clock(void);

#endif
