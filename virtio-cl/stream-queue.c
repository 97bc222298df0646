// SPDX-License-Identifier: MIT
/*
 * Records lie one behind the other, each contiguous and padded to 8 bytes; where the end of the
 * ring is too near for one, a record without a frame fills it up.
 */
#include "stream-queue.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "session-limits.h"

#define ALIGN 8u

struct record {
	uint64_t size;	       /* of the record with all that belongs to it, padded */
	const void *payload;   /* or NULL */
	struct gcl_frame head; /* length 0: nothing is to be sent */
			       /* The body follows. */
};

static uint64_t record_size(size_t body_size)
{
	return (sizeof(struct record) + body_size + ALIGN - 1) & ~(uint64_t)(ALIGN - 1);
}

static struct record *record_at(const struct gcl_stream_queue *queue, uint64_t position)
{
	return (struct record *)(void *)(queue->data + (position & (queue->size - 1)));
}

int gcl_stream_queue_init(struct gcl_stream_queue *queue, uint64_t size)
{
	/* Not malloc: only what is used takes memory. */
	void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(queue, 0, sizeof *queue);
	if (data == MAP_FAILED)
		return -ENOMEM;
	queue->data = data;
	queue->size = size;
	return 0;
}

void gcl_stream_queue_fini(struct gcl_stream_queue *queue)
{
	if (queue->data)
		munmap(queue->data, queue->size);
	queue->data = NULL;
}

/* Where a record of @size bytes would begin, behind what has to be skipped. Return: false: no room.
 */
static bool place(const struct gcl_stream_queue *queue, uint64_t size, uint64_t *position)
{
	uint64_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&queue->tail, memory_order_seq_cst);
	uint64_t to_end = queue->size - (head & (queue->size - 1));

	*position = to_end < size ? head + to_end : head;
	return *position + size - tail <= queue->size;
}

int gcl_stream_queue_reserve(struct gcl_stream_queue *queue, size_t body_max, void **body)
{
	if (!place(queue, record_size(body_max), &queue->reserved))
		return -EAGAIN;
	*body = record_at(queue, queue->reserved) + 1;
	return 0;
}

void gcl_stream_queue_commit(struct gcl_stream_queue *queue, const struct gcl_frame *head,
			     size_t body_size, const void *payload)
{
	struct record *record = record_at(queue, queue->reserved);
	uint64_t before = atomic_load_explicit(&queue->head, memory_order_relaxed);

	record->size = record_size(body_size);
	record->payload = payload;
	record->head = *head;
	record->head.length = (uint32_t)(sizeof *head + body_size);
	if (before != queue->reserved) {
		/* What is too near to the end may even be too short for a record's fields. */
		uint64_t gap = queue->reserved - before;

		memcpy(record_at(queue, before), &gap, sizeof gap);
		if (gap >= sizeof *record)
			record_at(queue, before)->head.length = 0;
	}
	/* Pairs with the sender's look after it has let go of its duty (stream-sender.c). */
	atomic_store_explicit(&queue->head, queue->reserved + record->size, memory_order_seq_cst);
}

/* The record at @position, or NULL for a gap; @size: what it takes in the ring. */
static const struct record *record_look(const struct gcl_stream_queue *queue, uint64_t position,
					uint64_t *size)
{
	const struct record *record = record_at(queue, position);
	uint64_t to_end = queue->size - (position & (queue->size - 1));

	memcpy(size, record, sizeof *size);
	return to_end < sizeof *record || record->head.length == 0 ? NULL : record;
}

static uint64_t payload_size(const struct record *record)
{
	return record->payload ? record->head.payload_size : 0;
}

/* Appends the range behind its first *@skip bytes. Return: how many ranges were appended. */
static int range_add(struct iovec *iov, const void *base, uint64_t size, uint64_t *skip)
{
	uint64_t skipped = GCL_MIN(*skip, size);

	*skip -= skipped;
	if (skipped == size)
		return 0;
	*iov = (struct iovec){(uint8_t *)base + skipped, size - skipped};
	return 1;
}

int gcl_stream_queue_gather(struct gcl_stream_queue *queue, struct iovec *iov, int count,
			    uint64_t limit)
{
	uint64_t head = atomic_load_explicit(&queue->head, memory_order_seq_cst);
	uint64_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
	uint64_t skip = queue->done, total = 0, size;
	int used = 0;

	for (; tail != head && used + 2 <= count && total < limit; tail += size) {
		const struct record *record = record_look(queue, tail, &size);
		int first = used;

		if (!record)
			continue;
		used += range_add(&iov[used], &record->head, record->head.length, &skip);
		used += range_add(&iov[used], record->payload, payload_size(record), &skip);
		for (int i = first; i < used; i++)
			total += iov[i].iov_len;
	}
	if (total > limit)
		iov[used - 1].iov_len -= GCL_MIN(total - limit, iov[used - 1].iov_len - 1);
	return used;
}

void gcl_stream_queue_consumed(struct gcl_stream_queue *queue, uint64_t bytes)
{
	uint64_t head = atomic_load_explicit(&queue->head, memory_order_acquire);
	uint64_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
	uint64_t size;

	queue->done += bytes;
	while (tail != head) {
		const struct record *record = record_look(queue, tail, &size);
		uint64_t whole = record ? record->head.length + payload_size(record) : 0;

		if (queue->done < whole)
			break;
		queue->done -= whole;
		tail += size;
	}
	/* Pairs with the look of one that waits for room (stream-sender.c). */
	atomic_store_explicit(&queue->tail, tail, memory_order_seq_cst);
}

bool gcl_stream_queue_empty(const struct gcl_stream_queue *queue)
{
	return atomic_load_explicit(&queue->head, memory_order_seq_cst) ==
	       atomic_load_explicit(&queue->tail, memory_order_seq_cst);
}

uint64_t gcl_stream_queue_used(const struct gcl_stream_queue *queue)
{
	return atomic_load_explicit(&queue->head, memory_order_relaxed) -
	       atomic_load_explicit(&queue->tail, memory_order_relaxed);
}

bool gcl_stream_queue_writable(const struct gcl_stream_queue *queue)
{
	uint64_t position;

	return place(queue, record_size(GCL_FRAME_BODY_MAX), &position);
}
