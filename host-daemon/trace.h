/* SPDX-License-Identifier: MIT */
/*
 * The trace of a session: a ring in the page, in which the worker notes messages as they pass while
 * somebody looks (guestcl trace).
 *
 * Any thread of the worker writes; the broker reads, and takes nothing in it for granted. A slot's
 * number is written last, and taken away first, so that a reader that finds the same number before
 * and after it has copied the slot has copied that note. Old notes are overwritten.
 */
#ifndef GCL_TRACE_H
#define GCL_TRACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* A power of two: some hundredths of a second of a program in a hurry. */
#define GCL_TRACE_SLOTS 4096u

#define GCL_TRACE_NAME_MAX 24u

struct gcl_trace_note {
	uint64_t time; /* ns of CLOCK_MONOTONIC: when it began */
	uint64_t took; /* ns; of a message to the guest: 0 */
	uint64_t size; /* bytes, with payload */
	uint32_t to_guest;
	char name[GCL_TRACE_NAME_MAX + 4]; /* of the message, terminated */
};

struct gcl_trace_slot {
	_Atomic uint64_t number; /* from 1 on; 0: being written, or empty */
	struct gcl_trace_note note;
};

struct gcl_trace {
	_Atomic uint32_t wanted;  /* broker's: somebody looks */
	_Atomic uint64_t written; /* worker's: notes so far */
	struct gcl_trace_slot slots[GCL_TRACE_SLOTS];
};

static inline bool gcl_trace_wanted(const struct gcl_trace *trace)
{
	return atomic_load_explicit(&trace->wanted, memory_order_relaxed);
}

/** gcl_trace_add() - from any thread of the worker. */
static inline void gcl_trace_add(struct gcl_trace *trace, const struct gcl_trace_note *note)
{
	uint64_t number = atomic_fetch_add_explicit(&trace->written, 1, memory_order_relaxed) + 1;
	struct gcl_trace_slot *slot = &trace->slots[(number - 1) % GCL_TRACE_SLOTS];

	atomic_store_explicit(&slot->number, 0, memory_order_relaxed);
	/* Pairs with the acquire fence of gcl_trace_read(). */
	atomic_thread_fence(memory_order_release);
	memcpy(&slot->note, note, sizeof *note);
	/* Pairs with the first load of gcl_trace_read(). */
	atomic_store_explicit(&slot->number, number, memory_order_release);
}

/** gcl_trace_read() - copy note @number, from 1 on. Return: false if it is not there (any more). */
static inline bool gcl_trace_read(const struct gcl_trace *trace, uint64_t number,
				  struct gcl_trace_note *note)
{
	const struct gcl_trace_slot *slot = &trace->slots[(number - 1) % GCL_TRACE_SLOTS];

	if (atomic_load_explicit(&slot->number, memory_order_acquire) != number)
		return false;
	memcpy(note, &slot->note, sizeof *note);
	note->name[sizeof note->name - 1] = '\0';
	/* Pairs with the release fence of gcl_trace_add(). */
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&slot->number, memory_order_relaxed) == number;
}

#endif
