/*
 * What copies of one thread go through: slots, and the pace.
 */
#include <stdlib.h>
#include <time.h>

#include "copying.h"

#define CHUNK ((size_t)4 << 20)
#define COUNT 4u

/* What may go at once after a while of nothing, however slow the pace. */
#define BURST_NS 20000000ll

/* How long it may take until a change of the pace, or *cancel, is seen. */
#define PACE_LOOK_NS 10000000ll

/* ------------------------------------------------------------ the room */

static size_t blocks_max(const struct gcl_copy_room *room)
{
	return gcl_copy_blocks_max(room->chunk);
}

struct gcl_copy_room *gcl_copy_room_create(size_t chunk, unsigned count)
{
	struct gcl_copy_room *room;

	count = count ? count : COUNT;
	room = calloc(1, sizeof *room + count * sizeof room->slots[0]);
	if (!room)
		return NULL;
	room->count = count;
	room->chunk = chunk ? GCL_MAX(chunk / GCL_COPY_BLOCK, 1u) * GCL_COPY_BLOCK : CHUNK;
	room->bytes = aligned_alloc(GCL_COPY_BLOCK, room->chunk * count);
	room->events = calloc(blocks_max(room) * count * 2, sizeof(cl_event));
	room->wanted = calloc(blocks_max(room) * count, sizeof(bool));
	if (!room->bytes || !room->events || !room->wanted) {
		gcl_copy_room_destroy(room);
		return NULL;
	}
	for (unsigned i = 0; i < count; i++) {
		room->slots[i].bytes = room->bytes + i * room->chunk;
		room->slots[i].wanted = room->wanted + i * blocks_max(room);
		room->slots[i].reads = room->events + 2 * i * blocks_max(room);
		room->slots[i].writes = room->slots[i].reads + blocks_max(room);
	}
	return room;
}

static void events_release(cl_event *events, unsigned *count)
{
	for (unsigned i = 0; i < *count; i++)
		if (events[i])
			clReleaseEvent(events[i]);
	*count = 0;
}

void gcl_copy_room_clean(struct gcl_copy_room *room)
{
	for (unsigned i = 0; i < room->count; i++) {
		struct gcl_slot *slot = &room->slots[i];

		events_release(slot->reads, &slot->read_count);
		events_release(slot->writes, &slot->write_count);
	}
}

void gcl_copy_room_destroy(struct gcl_copy_room *room)
{
	if (!room)
		return;
	if (room->bytes && room->events && room->wanted)
		gcl_copy_room_clean(room);
	free(room->bytes);
	free(room->events);
	free(room->wanted);
	free(room);
}

/* ------------------------------------------------------------ pace */

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void gcl_copy_room_pace(struct gcl_copy_room *room, uint64_t rate)
{
	atomic_store_explicit(&room->rate, rate, memory_order_relaxed);
}

bool gcl_copy_cancelled(const struct gcl_copy *copy)
{
	return copy->cancel && atomic_load_explicit(copy->cancel, memory_order_relaxed);
}

void gcl_copy_pace_wait(const struct gcl_copying *copying)
{
	struct gcl_copy_room *room = copying->room;

	for (;;) {
		uint64_t rate = atomic_load_explicit(&room->rate, memory_order_relaxed);
		int64_t now = now_ns();
		struct timespec look = {0};

		if (!rate || room->ready_ns <= now || gcl_copy_cancelled(copying->copy))
			break;
		look.tv_nsec = (long)GCL_MIN(room->ready_ns - now, PACE_LOOK_NS);
		nanosleep(&look, NULL);
	}
}

void gcl_copy_pace_charge(const struct gcl_copying *copying, size_t size)
{
	struct gcl_copy_room *room = copying->room;
	uint64_t rate = atomic_load_explicit(&room->rate, memory_order_relaxed);

	room->ready_ns = GCL_MAX(room->ready_ns, now_ns() - BURST_NS);
	if (rate)
		room->ready_ns += (int64_t)((double)size * 1e9 / (double)rate);
}
