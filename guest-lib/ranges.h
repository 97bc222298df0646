/* SPDX-License-Identifier: MIT */
/*
 * Ranges of addresses that don't overlap, in order. Who has them locks.
 */
#ifndef GCL_RANGES_H
#define GCL_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gcl_range {
	uintptr_t first, end; /* not empty */
	void *owner;
};

struct gcl_ranges {
	struct gcl_range *list;
	size_t count, room;
};

/** gcl_ranges_add() - Return: false: it is empty, overlaps another one, or memory is short. */
bool gcl_ranges_add(struct gcl_ranges *ranges, uintptr_t first, size_t size, void *owner);

/** gcl_ranges_remove() - the one that begins at @first. Return: its owner, or NULL: there is none.
 */
void *gcl_ranges_remove(struct gcl_ranges *ranges, uintptr_t first);

/** gcl_ranges_at() - the one that @address is in, lent, or NULL. */
const struct gcl_range *gcl_ranges_at(const struct gcl_ranges *ranges, uintptr_t address);

/** gcl_ranges_touch() - is any byte between @first and @end in one of them? */
bool gcl_ranges_touch(const struct gcl_ranges *ranges, uintptr_t first, uintptr_t end);

void gcl_ranges_fini(struct gcl_ranges *ranges);

#endif
