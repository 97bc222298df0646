/*
 * Ranges of addresses, as a sorted array.
 */
#include "ranges.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 16u

/* The index of the first range that ends behind @address. */
static size_t index_of(const struct gcl_ranges *ranges, uintptr_t address)
{
	size_t low = 0, high = ranges->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ranges->list[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool gcl_ranges_touch(const struct gcl_ranges *ranges, uintptr_t first, uintptr_t end)
{
	size_t index = index_of(ranges, first);

	return first < end && index < ranges->count && ranges->list[index].first < end;
}

const struct gcl_range *gcl_ranges_at(const struct gcl_ranges *ranges, uintptr_t address)
{
	size_t index = index_of(ranges, address);

	if (index == ranges->count || ranges->list[index].first > address)
		return NULL;
	return &ranges->list[index];
}

static bool grow(struct gcl_ranges *ranges)
{
	size_t room = ranges->room ? 2 * ranges->room : ROOM_FIRST;
	struct gcl_range *grown;

	if (ranges->count < ranges->room)
		return true;
	grown = reallocarray(ranges->list, room, sizeof *grown);
	if (!grown)
		return false;
	ranges->list = grown;
	ranges->room = room;
	return true;
}

bool gcl_ranges_add(struct gcl_ranges *ranges, uintptr_t first, size_t size, void *owner)
{
	struct gcl_range *at;
	uintptr_t end;
	size_t index;

	if (!size || __builtin_add_overflow(first, size, &end) ||
	    gcl_ranges_touch(ranges, first, end) || !grow(ranges))
		return false;
	index = index_of(ranges, first);
	at = &ranges->list[index];
	memmove(at + 1, at, (ranges->count - index) * sizeof *at);
	*at = (struct gcl_range){first, end, owner};
	ranges->count++;
	return true;
}

void *gcl_ranges_remove(struct gcl_ranges *ranges, uintptr_t first)
{
	size_t index = index_of(ranges, first);
	struct gcl_range *at = &ranges->list[index];
	void *owner;

	if (index == ranges->count || at->first != first)
		return NULL;
	owner = at->owner;
	ranges->count--;
	memmove(at, at + 1, (ranges->count - index) * sizeof *at);
	return owner;
}

void gcl_ranges_fini(struct gcl_ranges *ranges)
{
	free(ranges->list);
	*ranges = (struct gcl_ranges){0};
}
