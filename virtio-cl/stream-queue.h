/* SPDX-License-Identifier: MIT */
/*
 * What a stream channel still has to send: frames in a ring of bytes, payloads by reference.
 *
 * One producer at a time (reserve, commit), one consumer at a time (gather, consumed); the two may
 * run at once. The memory is this side's own, so nothing in it is checked.
 */
#ifndef GCL_STREAM_QUEUE_H
#define GCL_STREAM_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "frame.h"

struct gcl_stream_queue {
	uint8_t *data;
	uint64_t size;			    /* of data, a power of two */
	_Alignas(64) _Atomic uint64_t head; /* bytes ever committed */
	uint64_t reserved;		    /* producer: where the reserved record begins */
	_Alignas(64) _Atomic uint64_t tail; /* bytes ever sent */
	uint64_t done; /* consumer: bytes of the record at tail that are sent */
};

/** gcl_stream_queue_init() - @size: a power of two, room for at least two of the largest frames.
 * Return: 0 or -ENOMEM. */
int gcl_stream_queue_init(struct gcl_stream_queue *queue, uint64_t size);
void gcl_stream_queue_fini(struct gcl_stream_queue *queue);

/** gcl_stream_queue_reserve() - contiguous room for a frame's body. Return: 0 or -EAGAIN. */
int gcl_stream_queue_reserve(struct gcl_stream_queue *queue, size_t body_max, void **body);

/**
 * gcl_stream_queue_commit() - append the reserved frame.
 * @payload: head->payload_size bytes that follow it on the wire, lent until they are sent; NULL:
 * none follow
 */
void gcl_stream_queue_commit(struct gcl_stream_queue *queue, const struct gcl_frame *head,
			     size_t body_size, const void *payload);

/**
 * gcl_stream_queue_gather() - the next bytes to send, in order.
 * @iov: filled with at most @count ranges and about @limit bytes in all
 *
 * Return: how many ranges.
 */
int gcl_stream_queue_gather(struct gcl_stream_queue *queue, struct iovec *iov, int count,
			    uint64_t limit);

/** gcl_stream_queue_consumed() - the first @bytes of what gather gave are sent. */
void gcl_stream_queue_consumed(struct gcl_stream_queue *queue, uint64_t bytes);

/** gcl_stream_queue_between() - consumer: has no record been sent in part? */
static inline bool gcl_stream_queue_between(const struct gcl_stream_queue *queue)
{
	return queue->done == 0;
}

bool gcl_stream_queue_empty(const struct gcl_stream_queue *queue);

/** gcl_stream_queue_used() - about how many bytes wait, without payloads. */
uint64_t gcl_stream_queue_used(const struct gcl_stream_queue *queue);

/** gcl_stream_queue_writable() - is there room for the largest frame? */
bool gcl_stream_queue_writable(const struct gcl_stream_queue *queue);

#endif
