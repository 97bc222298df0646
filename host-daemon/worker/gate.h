/* SPDX-License-Identifier: MIT */
/*
 * The gate: the session thread waits here for its turn on a device that others want, too
 * (broker/lease.h tells the rules).
 *
 * While the session's account is alone, passing is one load. Else a command passes within a lease,
 * and with little enough in flight that the device can be given back soon: about a millisecond of
 * work, or one long command and the next when that is about to end. Commands that can't begin,
 * because they wait for the guest, hold nothing up: then one more passes.
 */
#ifndef GCL_GATE_H
#define GCL_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "page.h"

struct gcl_command;
struct gcl_note;
struct gcl_worker;

/* For one device. */
struct gcl_gate_device {
	uint32_t turn;	/* of the last lease that was noticed */
	bool held;	/* it was used since, and not given back */
	bool fresh;	/* nothing has passed in this lease */
	int64_t idle;	/* since when nothing of what is in flight runs; 0: something does */
	int64_t done;	/* when there was nothing left to do; 0: there is */
	int64_t thinks; /* ns that the guest takes to have more to do, on average */
};

struct gcl_gate {
	struct gcl_gate_device devices[GCL_PAGE_DEVICES_MAX];
	unsigned held; /* devices that are */
};

/** gcl_gate_init() - for a worker on its own: every device is its own. */
void gcl_gate_init(struct gcl_worker *worker);

/** gcl_gate_pass() - wait until @command may be enqueued. */
void gcl_gate_pass(struct gcl_worker *worker, const struct gcl_command *command);

/** gcl_gate_pass_all() - the same for what is in flight already, and may be about to begin. */
void gcl_gate_pass_all(struct gcl_worker *worker);

/** gcl_gate_idle() - the session thread has nothing to enqueue: give back what others wait for.
 * Return: 0: the guest has said something meanwhile; or how long to sleep at most, in ms; -1: as
 * long as you like. */
int gcl_gate_idle(struct gcl_worker *worker);

/** gcl_gate_leave() - give everything back, the session is going to stand still. */
void gcl_gate_leave(struct gcl_worker *worker);

#endif
