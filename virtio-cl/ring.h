/*
 * A single-producer, single-consumer byte ring of frames in shared memory.
 *
 * Theory of operation: head and tail count bytes and only grow (32 bit, wrapping); each, and each
 * side's sleep flag, has a cache line of its own. A record is a struct gcl_frame and its body,
 * padded to 8 bytes, always contiguous: where the end of the data area is too near, a skip record
 * (length 0 in the frame's place) fills it up. The consumer copies a record out before it looks at
 * it, since the peer may change it, and never trusts an index of the peer's: distance and alignment
 * are checked on every read.
 *
 * Sleeping: the sleeper sets its flag, looks again, then sleeps; the waker publishes, then looks at
 * the flag, and if it is set clears it and rings the doorbell. These accesses are seq_cst, so that
 * at least one of the two sees the other. A producer that waits for room is woken when half the
 * ring is free. virtio-cl/tests/ring.pml checks all this.
 */
#ifndef GCL_RING_H
#define GCL_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "session-limits.h"

/* In shared memory, one for each direction. */
struct gcl_ring_shared {
	_Alignas(64) _Atomic uint32_t head;	       /* written by the producer */
	_Alignas(64) _Atomic uint32_t tail;	       /* written by the consumer */
	_Alignas(64) _Atomic uint32_t consumer_sleeps; /* waits for frames */
	_Alignas(64) _Atomic uint32_t producer_sleeps; /* waits for room */
};

_Static_assert(sizeof(struct gcl_ring_shared) == 256,
	       "the ring's control block is part of the wire format");

/* One side's private view. */
struct gcl_ring {
	struct gcl_ring_shared *shared;
	uint8_t *data;
	uint32_t size;	   /* of data, a power of two */
	uint32_t own;	   /* producer: head; consumer: tail; the private truth */
	uint32_t seen;	   /* what was last read of the other's index, checked */
	uint32_t reserved; /* producer: where the reserved record begins */
	uint32_t room;	   /* producer: bytes of body reserved */
};

/** gcl_ring_size_valid() - may a ring have @size bytes of data? */
static inline bool gcl_ring_size_valid(uint32_t size)
{
	return size >= GCL_RING_SIZE_MIN && size <= GCL_RING_SIZE_MAX && !(size & (size - 1));
}

void gcl_ring_init(struct gcl_ring *ring, struct gcl_ring_shared *shared, void *data,
		   uint32_t size);

/** gcl_ring_reserve() - contiguous room for a frame's body. Return: 0, -EAGAIN when full,
 * -EMSGSIZE, -EPROTO (bad tail). */
int gcl_ring_reserve(struct gcl_ring *ring, size_t body_max, void **body);

/** gcl_ring_commit() - publish the reserved frame. Return: true when the consumer sleeps and must
 * be woken. */
bool gcl_ring_commit(struct gcl_ring *ring, const struct gcl_frame *head, size_t body_size);

/**
 * gcl_ring_receive() - copy the next frame out.
 * Return: 1, 0 when empty, -EPROTO when index or length break the rules. @wake is set when the
 * producer waits for room.
 */
int gcl_ring_receive(struct gcl_ring *ring, struct gcl_frame *head, void *body, size_t body_max,
		     bool *wake);

/** gcl_ring_readable() / gcl_ring_writable() - is there a frame / room for the largest frame? */
bool gcl_ring_readable(struct gcl_ring *ring);
bool gcl_ring_writable(struct gcl_ring *ring);

/**
 * gcl_ring_sleep_begin() - announce sleep as consumer (or producer) and look once more.
 * Return: true when the caller may sleep now, false when there is work (the flag is cleared again).
 */
bool gcl_ring_sleep_begin(struct gcl_ring *ring, bool producer);
void gcl_ring_sleep_end(struct gcl_ring *ring, bool producer);

#endif
