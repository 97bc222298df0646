/*
 * The byte ring of frames; ring.h says how it works.
 *
 * Must not: block, allocate, trust a byte of the shared memory. The orders that matter:
 *
 *  - head is stored after the record's bytes (release) and loaded before them (acquire); likewise
 *    tail after the bytes have been copied out.
 *  - publishing (storing head or tail) and then looking at the other side's sleep flag, and setting
 *    one's own sleep flag and then looking at head or tail, are all seq_cst: at least one of the
 *    two sides sees the other's store.
 *
 * The waker clears the flag that it saw, so that one sleep costs one doorbell.
 */
#include "ring.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

#define RECORD_ALIGN 8u

static uint32_t record_size(size_t body_size)
{
	return (uint32_t)(sizeof(struct gcl_frame) + body_size + RECORD_ALIGN - 1) &
	       ~(RECORD_ALIGN - 1);
}

static uint32_t *record_length(const struct gcl_ring *ring, uint32_t position)
{
	return (uint32_t *)(void *)(ring->data + (position & (ring->size - 1)));
}

static uint32_t bytes_to_end(const struct gcl_ring *ring, uint32_t position)
{
	return ring->size - (position & (ring->size - 1));
}

void gcl_ring_init(struct gcl_ring *ring, struct gcl_ring_shared *shared, void *data, uint32_t size)
{
	*ring = (struct gcl_ring){.shared = shared, .data = data, .size = size};
}

/* Reads the consumer's index; false if it isn't where it was last seen, at head, or in between. */
static bool tail_update(struct gcl_ring *ring, memory_order order)
{
	uint32_t tail = atomic_load_explicit(&ring->shared->tail, order);

	if (tail % RECORD_ALIGN || ring->own - tail > ring->own - ring->seen)
		return false;
	ring->seen = tail;
	return true;
}

/* Reads the producer's index; false if it went back, or ahead by more than the ring holds. */
static bool head_update(struct gcl_ring *ring, memory_order order)
{
	uint32_t head = atomic_load_explicit(&ring->shared->head, order);

	if (head % RECORD_ALIGN || head - ring->own > ring->size ||
	    head - ring->own < ring->seen - ring->own)
		return false;
	ring->seen = head;
	return true;
}

/* Bytes that a record of @need bytes takes at head, with the skip record before it if any. */
static uint32_t room_needed(const struct gcl_ring *ring, uint32_t need)
{
	uint32_t to_end = bytes_to_end(ring, ring->own);

	return need > to_end ? to_end + need : need;
}

static uint32_t room_free(const struct gcl_ring *ring)
{
	return ring->size - (ring->own - ring->seen);
}

int gcl_ring_reserve(struct gcl_ring *ring, size_t body_max, void **body)
{
	uint32_t need, total;

	if (body_max > GCL_FRAME_BODY_MAX)
		return -EMSGSIZE;
	need = record_size(body_max);
	total = room_needed(ring, need);
	if (room_free(ring) < total) {
		if (!tail_update(ring, memory_order_acquire))
			return -EPROTO;
		if (room_free(ring) < total)
			return -EAGAIN;
	}
	if (total != need)
		__atomic_store_n(record_length(ring, ring->own), 0, __ATOMIC_RELAXED);
	ring->reserved = ring->own + (total - need);
	ring->room = need - (uint32_t)sizeof(struct gcl_frame);
	*body = (uint8_t *)record_length(ring, ring->reserved) + sizeof(struct gcl_frame);
	return 0;
}

bool gcl_ring_commit(struct gcl_ring *ring, const struct gcl_frame *head, size_t body_size)
{
	struct gcl_ring_shared *shared = ring->shared;
	struct gcl_frame frame = *head;

	body_size = GCL_MIN(body_size, ring->room);
	frame.length = (uint32_t)(sizeof frame + body_size);
	memcpy(record_length(ring, ring->reserved), &frame, sizeof frame);
	ring->own = ring->reserved + record_size(body_size);
	ring->room = 0;

	/* Pairs with the consumer's gcl_ring_sleep_begin(). */
	atomic_store_explicit(&shared->head, ring->own, memory_order_seq_cst);
	return atomic_load_explicit(&shared->consumer_sleeps, memory_order_seq_cst) &&
	       atomic_exchange_explicit(&shared->consumer_sleeps, 0, memory_order_relaxed);
}

/*
 * Passes a skip record, which the producer only writes together with the record behind it.
 * Return: the length of the record at ring->own, or 0 when the producer broke the rules.
 */
static uint32_t record_find(struct gcl_ring *ring)
{
	uint32_t length = __atomic_load_n(record_length(ring, ring->own), __ATOMIC_RELAXED);
	uint32_t to_end = bytes_to_end(ring, ring->own);
	uint32_t available = ring->seen - ring->own;

	if (length == 0) {
		if (to_end == ring->size || available <= to_end)
			return 0;
		ring->own += to_end;
		available -= to_end;
		to_end = ring->size;
		length = __atomic_load_n(record_length(ring, ring->own), __ATOMIC_RELAXED);
	}
	if (length < sizeof(struct gcl_frame) || length > GCL_FRAME_MAX)
		return 0;
	if (record_size(length - sizeof(struct gcl_frame)) > GCL_MIN(available, to_end))
		return 0;
	return length;
}

/*
 * The producer is woken when half the ring is free, not for each frame: as long as it sleeps with
 * more in the ring, there is a frame left whose receipt comes here again.
 */
static bool producer_wake(struct gcl_ring *ring)
{
	/* If head is bad, the next look at it says so. */
	if (head_update(ring, memory_order_acquire) && ring->seen - ring->own > ring->size / 2)
		return false;
	return atomic_exchange_explicit(&ring->shared->producer_sleeps, 0, memory_order_relaxed);
}

int gcl_ring_receive(struct gcl_ring *ring, struct gcl_frame *head, void *body, size_t body_max,
		     bool *wake)
{
	struct gcl_ring_shared *shared = ring->shared;
	const uint8_t *record;
	uint32_t length;
	size_t body_size;

	if (ring->seen == ring->own) {
		if (!head_update(ring, memory_order_acquire))
			return -EPROTO;
		if (ring->seen == ring->own)
			return 0;
	}
	length = record_find(ring);
	body_size = length - sizeof *head;
	if (length == 0 || body_size > body_max)
		return -EPROTO;
	record = (const uint8_t *)record_length(ring, ring->own);
	memcpy(head, record, sizeof *head);
	memcpy(body, record + sizeof *head, body_size);
	head->length = length; /* the one that was checked */
	ring->own += record_size(body_size);

	/* Pairs with the producer's gcl_ring_sleep_begin(). */
	atomic_store_explicit(&shared->tail, ring->own, memory_order_seq_cst);
	if (atomic_load_explicit(&shared->producer_sleeps, memory_order_seq_cst))
		*wake = producer_wake(ring);
	return 1;
}

/* An index that breaks the rules counts as work: receive or reserve will say what is wrong. */

static bool readable(struct gcl_ring *ring, memory_order order)
{
	return ring->seen != ring->own || !head_update(ring, order) || ring->seen != ring->own;
}

static bool writable(struct gcl_ring *ring, memory_order order)
{
	uint32_t total = room_needed(ring, GCL_FRAME_MAX);

	return room_free(ring) >= total || !tail_update(ring, order) || room_free(ring) >= total;
}

bool gcl_ring_readable(struct gcl_ring *ring)
{
	return readable(ring, memory_order_acquire);
}

bool gcl_ring_writable(struct gcl_ring *ring)
{
	return writable(ring, memory_order_acquire);
}

static _Atomic uint32_t *sleep_flag(struct gcl_ring *ring, bool producer)
{
	return producer ? &ring->shared->producer_sleeps : &ring->shared->consumer_sleeps;
}

bool gcl_ring_sleep_begin(struct gcl_ring *ring, bool producer)
{
	bool work;

	/* Pairs with gcl_ring_commit() and gcl_ring_receive() of the other side. */
	atomic_store_explicit(sleep_flag(ring, producer), 1, memory_order_seq_cst);
	work = producer ? writable(ring, memory_order_seq_cst)
			: readable(ring, memory_order_seq_cst);
	if (work)
		gcl_ring_sleep_end(ring, producer);
	return !work;
}

void gcl_ring_sleep_end(struct gcl_ring *ring, bool producer)
{
	atomic_store_explicit(sleep_flag(ring, producer), 0, memory_order_relaxed);
}
