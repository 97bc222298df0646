/* SPDX-License-Identifier: MIT */
/*
 * The page: memory that the broker shares with one worker, for what both look at often.
 *
 * Each field has one writer. The broker takes what a worker wrote for numbers that may be anything:
 * a worker may run its guest's native code. It has only its own page. Counters only grow, and wrap
 * at 2^64.
 */
#ifndef GCL_PAGE_H
#define GCL_PAGE_H

#include <stdatomic.h>
#include <stdint.h>

#include "move.h"
#include "trace.h"

/* Devices that are accounted for, in the order of the snapshot. Others aren't offered: no limit and
 * no turn would hold there. Sets of them are bits of 32. */
#define GCL_PAGE_DEVICES_MAX 32u

#define GCL_PAGE_NAME_MAX 64u

/* Room for the names of devices that aren't offered, as far as they go in. */
#define GCL_PAGE_LEFT_OUT_MAX 256u

/* Worker's, before it says that it is prepared. */
struct gcl_page_device {
	char platform[GCL_PAGE_NAME_MAX]; /* CL_PLATFORM_NAME, cut off, terminated */
	char name[GCL_PAGE_NAME_MAX];	  /* CL_DEVICE_NAME */
	uint64_t type;			  /* CL_DEVICE_TYPE */
	uint64_t memory;		  /* CL_DEVICE_GLOBAL_MEM_SIZE, bytes */
};

/* Worker's: what the session has done so far. */
struct gcl_page_counts {
	_Atomic uint64_t calls;		   /* messages from the guest */
	_Atomic uint64_t errors;	   /* objects and commands that failed */
	_Atomic uint64_t bytes_from_guest; /* messages and payloads */
	_Atomic uint64_t bytes_to_guest;
	_Atomic uint64_t device_time[GCL_PAGE_DEVICES_MAX]; /* ns that the device worked for it */
	_Atomic uint64_t wait_time[GCL_PAGE_DEVICES_MAX];   /* ns that it waited for the device */
};

/* Worker's: what decides where the session had better be (broker/measure.h). */
struct gcl_page_task {
	_Atomic uint64_t commands; /* that keep a device busy, wherever it is */
	_Atomic uint64_t waits;	   /* times that the guest asked for the end of commands, or for
				      what they leave: round trips */
	_Atomic uint64_t
		idle_time; /* ns in which no such answer was due, and the guest said nothing */
	_Atomic uint64_t away_time; /* ns that servers' devices worked for it, by their clocks */
};

/* Broker's: limits that the worker watches itself; 0: none. */
struct gcl_page_limits {
	_Atomic uint64_t kernel_time; /* ms */
	_Atomic uint64_t guest_timeout;
	_Atomic uint64_t build_time;
	_Atomic uint64_t build_memory; /* bytes */
	_Atomic uint64_t heap;	       /* bytes of this session; before it has its guest */
};

/* The broker's: when a session may use a device that others want, too (broker/lease.h). */
struct gcl_page_lease {
	_Atomic uint64_t until; /* ns of CLOCK_MONOTONIC; GCL_PAGE_LEASE_FREE: use it as you like */
	_Atomic uint32_t turn;	/* another one with each lease that is given; a futex */
	_Atomic uint32_t contended; /* not 0 while somebody waits for the device */
};

#define GCL_PAGE_LEASE_FREE UINT64_MAX

struct gcl_page {
	/* Worker's, before it says that it is prepared. */
	uint32_t device_count;
	struct gcl_page_device devices[GCL_PAGE_DEVICES_MAX];
	uint32_t left_out_count;	      /* of the host's devices */
	char left_out[GCL_PAGE_LEFT_OUT_MAX]; /* their names, terminated */
	struct gcl_page_counts counts;
	struct gcl_page_task task;
	/* Worker's: bytes of each device that the runtime holds for this session, now. */
	_Atomic uint64_t held[GCL_PAGE_DEVICES_MAX];
	/* Worker's: bytes of the heap that have been used and not given back, in chunks; 0 in a VM,
	 * whose own memory the heap is. */
	_Atomic uint64_t heap_used;
	/* Worker's: odd while the session thread is at something, and raised whenever that ends. */
	_Atomic uint64_t steps;
	struct gcl_page_limits limits;
	/* Worker's: commands that keep each device busy, as far as it has looked. */
	_Atomic uint32_t busy[GCL_PAGE_DEVICES_MAX];
	/* Broker's. */
	struct gcl_page_lease leases[GCL_PAGE_DEVICES_MAX];
	/* Broker's: not 0 while the session is to begin nothing new; a futex. */
	_Atomic uint32_t paused;
	/* Broker's: not 0 while the worker is to give back at once what becomes free. */
	_Atomic uint32_t thrift;
	/* Broker's: bytes of each device that the account may have; 0: no limit. */
	_Atomic uint64_t memory_limit;
	/* Worker's. */
	struct gcl_page_move move;
	struct gcl_trace trace;
};

/** gcl_page_read() - a counter's value now. */
static inline uint64_t gcl_page_read(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/** gcl_page_add() - add to a counter that one thread writes, or one lock protects. */
static inline void gcl_page_add(_Atomic uint64_t *counter, uint64_t value)
{
	atomic_store_explicit(counter, gcl_page_read(counter) + value, memory_order_relaxed);
}

/** gcl_page_count_error() - from any thread of the worker. */
static inline void gcl_page_count_error(struct gcl_page *page)
{
	atomic_fetch_add_explicit(&page->counts.errors, 1, memory_order_relaxed);
}

#endif
