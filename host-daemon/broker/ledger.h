/* SPDX-License-Identifier: MIT */
/*
 * The ledger: how much device memory the workers of an account may hold, together.
 *
 * Theory of operation. Each worker has an allowance of every device and allocates within it without
 * asking. For more it sends MEMORY_WANT, and gets one MEMORY_GRANT for each, with 0 when it is
 * refused. The ledger is the sum of the allowances that were given; only a limit that was lowered
 * is ever below it. When it is full, the account's other workers are told to MEMORY_SHRINK: they
 * give back what they don't use, and the wish is answered when all of them have. Before it is
 * refused others may make room by moving to a server (placing.h). A worker that is gone gives back
 * all it had. Without a limit nobody asks, and the ledger is empty; when a limit is set, workers
 * say what they hold already (MEMORY_HELD), and that is their allowance.
 */
#ifndef GCL_BROKER_LEDGER_H
#define GCL_BROKER_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "page.h"

struct gcl_account;
struct gcl_broker;
struct gcl_worker_process;

/* An account's: bytes of each device that are given to its workers. */
struct gcl_ledger {
	int64_t given[GCL_PAGE_DEVICES_MAX];
	bool thrift; /* more than the limit, which was lowered: nobody keeps what is free */
};

/* A worker's part of it. */
struct gcl_allowance {
	bool limited;	   /* it was told of a limit */
	unsigned counting; /* told of a first limit: as many MEMORY_HELD are due */
	int64_t given[GCL_PAGE_DEVICES_MAX];   /* bytes */
	int64_t granted[GCL_PAGE_DEVICES_MAX]; /* of these, since it was told of a first limit */
	bool shrinking[GCL_PAGE_DEVICES_MAX];  /* it was told to, and has not answered */
	uint64_t wanted; /* bytes that it waits for, of @wanted_device; 0: none */
	unsigned wanted_device;
};

/** gcl_ledger_open() - @worker is about to get a guest: its page says the limit. */
void gcl_ledger_open(struct gcl_worker_process *worker);

/** gcl_ledger_adopt() - @worker has an allowance from before this program took over. */
void gcl_ledger_adopt(struct gcl_worker_process *worker);

/** gcl_ledger_close() - @worker is gone: take its allowance back, and answer who waited for it. */
void gcl_ledger_close(struct gcl_worker_process *worker);

/** gcl_ledger_again() - a worker's wish waits for others who make room: see whether it fits now. */
void gcl_ledger_again(struct gcl_worker_process *worker);

/** gcl_ledger_limit_changed() - account->limits.memory is another: tell its workers. What is held
 * beyond it stays; no more is given until it fits. */
void gcl_ledger_limit_changed(struct gcl_broker *broker, struct gcl_account *account);

#endif
