/* SPDX-License-Identifier: MIT */
/*
 * A split virtqueue, seen from the device.
 *
 * From "Split Virtqueues" of the virtio specification. The driver's features are VERSION_1 alone:
 * no indirect descriptors, no event index. Whatever is read of the rings is copied first and
 * checked then; a driver that breaks their rules has a queue that is no longer looked at.
 */
#ifndef GCL_VHOST_QUEUE_H
#define GCL_VHOST_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest-memory.h"

#define GCL_QUEUE_SIZE_MAX 1024u

/* Descriptors of one chain, at most; a longer one is refused. */
#define GCL_CHAIN_SPANS_MAX 64u

struct gcl_span {
	uint64_t address; /* guest-physical */
	uint32_t length;
};

/* A descriptor chain, copied: spans that the device may read, then those that it may write. */
struct gcl_chain {
	uint16_t head;
	unsigned readable, writable; /* spans */
	uint64_t readable_size, writable_size;
	struct gcl_span spans[GCL_CHAIN_SPANS_MAX];
};

/* Where a queue lies; addresses are the VMM's. */
struct gcl_queue_place {
	uint32_t size; /* descriptors, a power of two */
	uint64_t descriptors;
	uint64_t available;
	uint64_t used;
};

struct gcl_queue {
	struct gcl_guest_memory *memory; /* lent */
	struct gcl_queue_place place;
	/* In guest memory, while the queue runs. */
	const struct vring_desc *descriptors;
	const struct vring_avail *available;
	struct vring_used *used;
	uint16_t next_available; /* the base, when the queue starts and stops */
	uint16_t next_used;
	int kick; /* eventfd of the driver's notifications; -1 */
	int call; /* eventfd that interrupts the guest; -1 */
	bool enabled;
	bool running;
	bool addressed; /* has a place */
	bool broken;	/* the driver broke the rules: nothing is taken any more */
};

void gcl_queue_init(struct gcl_queue *queue, struct gcl_guest_memory *memory);

/** gcl_queue_fini() - close its descriptors; stops it, too. */
void gcl_queue_fini(struct gcl_queue *queue);

/** gcl_queue_map() - find the rings in the VM's memory (again). Return: false, and a queue without
 * rings, if they are not there. */
bool gcl_queue_map(struct gcl_queue *queue);

/** gcl_queue_start() - go on at next_available. Return: 0 or -EINVAL. */
int gcl_queue_start(struct gcl_queue *queue);
void gcl_queue_stop(struct gcl_queue *queue);

/**
 * gcl_queue_pop() - take the next chain.
 *
 * Return: 1; 0 when there is none; -EPROTO when the driver broke the rules: the queue is broken,
 * and the caller says so once.
 */
int gcl_queue_pop(struct gcl_queue *queue, struct gcl_chain *chain);

/** gcl_queue_push() - give a chain back, with @written bytes in it. Nothing happens when the queue
 * does not run. */
void gcl_queue_push(struct gcl_queue *queue, uint16_t head, uint32_t written);

/** gcl_queue_call() - interrupt the guest, unless it wants none. */
void gcl_queue_call(const struct gcl_queue *queue);

/** gcl_queue_available() - whether there is something to pop. */
bool gcl_queue_available(const struct gcl_queue *queue);

/** gcl_chain_read() - copy what the driver has written, @size bytes of it at most. Return: bytes,
 * or -EFAULT when the chain lies where there is no memory. */
int64_t gcl_chain_read(const struct gcl_guest_memory *memory, const struct gcl_chain *chain,
		       void *data, size_t size);

/** gcl_chain_write() - copy an answer to where the driver wants it, as far as there is room.
 * Return: bytes, or -EFAULT. */
int64_t gcl_chain_write(const struct gcl_guest_memory *memory, const struct gcl_chain *chain,
			const void *data, size_t size);

#endif
