/* SPDX-License-Identifier: MIT */
/*
 * Leases of devices: the compute share, put to work.
 *
 * Theory of operation. A session whose account is the only one with work on a device is free to use
 * it: its page says so, and nobody asks anybody. When a second account wants the device, sessions
 * take turns: one that has something to do and no lease sends LEASE_WANT and sleeps on its page's
 * turn; share.h tells who is next and for how long; the page says until when. The worker stops
 * enqueuing then, and sends LEASE_DONE when what it has begun is about to end, or as soon as it has
 * nothing to do while others wait. What is charged is the device time that its page counts; one
 * that doesn't give back is passed over after a while (GCL_SHARE_OVERDUE_NS). A holder that is idle
 * when somebody comes is not asked.
 */
#ifndef GCL_BROKER_LEASE_H
#define GCL_BROKER_LEASE_H

#include <ev.h>
#include <stdbool.h>

#include "page.h"
#include "share.h"

struct gcl_account;
struct gcl_broker;
struct gcl_worker_process;

/* A device's, in the broker. */
struct gcl_lease_device {
	struct gcl_broker *broker;
	struct gcl_share share;
	struct ev_timer timer;
};

/* An account's. */
struct gcl_lease_account {
	struct gcl_share_flow flows[GCL_PAGE_DEVICES_MAX];
};

/* A worker's. */
struct gcl_lease_client {
	struct gcl_share_client client;
	struct gcl_worker_process *worker; /* NULL: it serves nobody */
	bool free;			   /* it may use the device as it likes */
};

void gcl_leases_init(struct gcl_broker *broker);

/** gcl_leases_configure() - the scheduler may have been turned on or off. */
void gcl_leases_configure(struct gcl_broker *broker);

void gcl_leases_fini(struct gcl_broker *broker);

void gcl_lease_account_init(struct gcl_account *account);

/** gcl_lease_account_fini() - it has no workers any more, and is about to be freed. */
void gcl_lease_account_fini(struct gcl_account *account);

/** gcl_lease_limits_changed() - account->limits may say another weight, priority or ceiling. */
void gcl_lease_limits_changed(struct gcl_broker *broker, struct gcl_account *account);

/** gcl_lease_open() - @worker is about to get a guest, or was taken over with one. */
void gcl_lease_open(struct gcl_worker_process *worker);

/** gcl_lease_close() - @worker is gone; may be called twice, and without an open one. */
void gcl_lease_close(struct gcl_worker_process *worker);

#endif
