/* SPDX-License-Identifier: MIT */
/*
 * Accounts: what each owner may have, all its sessions together, and what they have used.
 *
 * An owner (a VM, a user) gets an account with its first worker. What running sessions use stands
 * in their pages; what an ended one has used is added to its account, which is kept for a while
 * when it has no workers.
 */
#ifndef GCL_BROKER_ACCOUNT_H
#define GCL_BROKER_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "config.h"
#include "lease.h"
#include "ledger.h"
#include "owner.h"
#include "page.h"

struct gcl_broker;

/* A copy of a page's counters, or a sum of some. */
struct gcl_counts {
	uint64_t calls, errors, bytes_from_guest, bytes_to_guest;
	uint64_t device_time[GCL_PAGE_DEVICES_MAX], wait_time[GCL_PAGE_DEVICES_MAX]; /* ns */
	uint64_t held[GCL_PAGE_DEVICES_MAX]; /* bytes, now */
	uint64_t heap;			     /* bytes, now */
};

struct gcl_account {
	struct gcl_list link; /* in broker.accounts */
	struct gcl_owner owner;
	struct gcl_vm_config limits; /* in force; what isn't a limit is not set */
	struct gcl_ledger ledger;
	struct gcl_lease_account lease;
	struct gcl_counts ended; /* of sessions that have ended; nothing is held any more */
	struct gcl_counts now;	 /* scratch of status.c: all of its sessions */
	unsigned sessions;	 /* the same */
	uint32_t number;	 /* scratch of place-view.c */
	unsigned workers;	 /* processes that belong to it */
	uint64_t heap_given;	 /* bytes that its sessions' heaps may grow to */
	double rate_used; /* sessions begun lately: what session_rate allows has been taken off */
	double rate_at;	  /* when, gcl_clock() */
	bool paused;	  /* by the operator: its sessions begin nothing new */
	bool cache_full;  /* its sessions are being ended for that */
};

/** gcl_account_take() - the account of @owner, made if there is none, for one more worker.
 * Return: NULL without memory. */
struct gcl_account *gcl_account_take(struct gcl_broker *broker, const struct gcl_owner *owner);

/** gcl_account_get() - the same without a worker. */
struct gcl_account *gcl_account_get(struct gcl_broker *broker, const struct gcl_owner *owner);

/** gcl_account_drop() - a worker that had it is gone, and had used what @page says; NULL is
 * accepted for both. */
void gcl_account_drop(struct gcl_account *account, const struct gcl_page *page);

/** gcl_account_find() - the account of @owner, lent, or NULL. */
struct gcl_account *gcl_account_find(struct gcl_broker *broker, const struct gcl_owner *owner);

/** gcl_counts_add() - add what stands in a worker's page. */
void gcl_counts_add(struct gcl_counts *counts, const struct gcl_page *page);

/** gcl_account_begin() - one more session begins now. Return: false when there have been too many
 * lately. */
bool gcl_account_begin(struct gcl_account *account, double now);

/**
 * gcl_account_heap_take() - let a session's heap grow to @wanted bytes, or as many as there may be.
 *
 * Half of what is left, so that there is some for others. Return: bytes, which
 * gcl_account_heap_give() takes back; 0 when there are too few to work with.
 */
uint64_t gcl_account_heap_take(struct gcl_account *account, uint64_t wanted);
void gcl_account_heap_give(struct gcl_account *account, uint64_t bytes);

/** gcl_accounts_configure() - put the limits of all accounts and VMs into force. */
void gcl_accounts_configure(struct gcl_broker *broker);

/** gcl_accounts_fini() - forget all; their workers are gone. */
void gcl_accounts_fini(struct gcl_broker *broker);

#endif
