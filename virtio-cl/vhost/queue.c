// SPDX-License-Identifier: MIT
/*
 * Taking descriptor chains from a split virtqueue, and giving them back.
 *
 * Must not: read guest memory twice where it matters, loop for longer than the queue is.
 */
#include "queue.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>

void gcl_queue_init(struct gcl_queue *queue, struct gcl_guest_memory *memory)
{
	*queue = (struct gcl_queue){.memory = memory, .kick = -1, .call = -1};
}

void gcl_queue_fini(struct gcl_queue *queue)
{
	gcl_cleanup_close(&queue->kick);
	gcl_cleanup_close(&queue->call);
	gcl_queue_init(queue, queue->memory);
}

bool gcl_queue_map(struct gcl_queue *queue)
{
	const struct gcl_queue_place *place = &queue->place;
	const struct gcl_guest_memory *memory = queue->memory;

	queue->descriptors = gcl_guest_memory_at_user(memory, place->descriptors,
						      place->size * sizeof(struct vring_desc));
	queue->available = gcl_guest_memory_at_user(memory, place->available,
						    sizeof(struct vring_avail) +
							    place->size * sizeof(uint16_t));
	queue->used = gcl_guest_memory_at_user(
		memory, place->used,
		sizeof(struct vring_used) + place->size * sizeof(struct vring_used_elem));
	if (queue->descriptors && queue->available && queue->used)
		return true;
	queue->descriptors = NULL;
	queue->available = NULL;
	queue->used = NULL;
	return false;
}

int gcl_queue_start(struct gcl_queue *queue)
{
	const struct gcl_queue_place *place = &queue->place;

	if (!place->size || place->size > GCL_QUEUE_SIZE_MAX || place->size & (place->size - 1) ||
	    place->descriptors % 16 || place->available % 2 || place->used % 4 ||
	    !gcl_queue_map(queue))
		return -EINVAL;
	queue->broken = false;
	/* What the guest sees as given back is what counts. */
	queue->next_used = le16toh(__atomic_load_n(&queue->used->idx, __ATOMIC_RELAXED));
	queue->running = true;
	return 0;
}

void gcl_queue_stop(struct gcl_queue *queue)
{
	queue->running = false;
	queue->descriptors = NULL;
	queue->available = NULL;
	queue->used = NULL;
}

/* Chains that the driver has made available and we have not taken; more than there can be if it
 * lies. Pairs with the driver's release of the index after the chain. */
static uint16_t pending(const struct gcl_queue *queue)
{
	uint16_t end = le16toh(__atomic_load_n(&queue->available->idx, __ATOMIC_ACQUIRE));

	return (uint16_t)(end - queue->next_available);
}

bool gcl_queue_available(const struct gcl_queue *queue)
{
	return queue->running && queue->enabled && !queue->broken && queue->available &&
	       pending(queue) != 0;
}

/* Adds the descriptor to the chain. Return: false for one that breaks the rules. */
static bool span_add(struct gcl_chain *chain, const struct vring_desc *descriptor)
{
	unsigned count = chain->readable + chain->writable;
	uint32_t length = le32toh(descriptor->len);
	uint16_t flags = le16toh(descriptor->flags);

	if (count == GCL_CHAIN_SPANS_MAX || flags & VRING_DESC_F_INDIRECT || !length)
		return false;
	if (flags & VRING_DESC_F_WRITE) {
		chain->writable++;
		chain->writable_size += length;
	} else if (chain->writable) {
		return false; /* what we read comes first */
	} else {
		chain->readable++;
		chain->readable_size += length;
	}
	chain->spans[count] = (struct gcl_span){le64toh(descriptor->addr), length};
	return true;
}

static bool chain_take(const struct gcl_queue *queue, uint16_t head, struct gcl_chain *chain)
{
	struct vring_desc descriptor;
	uint16_t index = head;

	chain->head = head;
	chain->readable = chain->writable = 0;
	chain->readable_size = chain->writable_size = 0;
	do {
		if (index >= queue->place.size)
			return false;
		memcpy(&descriptor, &queue->descriptors[index], sizeof descriptor);
		__asm__ __volatile__("" : : : "memory"); /* it is not read again */
		if (!span_add(chain, &descriptor))
			return false; /* a loop ends here, too */
		index = le16toh(descriptor.next);
	} while (le16toh(descriptor.flags) & VRING_DESC_F_NEXT);
	return true;
}

int gcl_queue_pop(struct gcl_queue *queue, struct gcl_chain *chain)
{
	uint16_t slot = queue->next_available & (uint16_t)(queue->place.size - 1);
	uint16_t count;

	if (!queue->running || !queue->enabled || queue->broken || !queue->available)
		return 0;
	count = pending(queue);
	if (count == 0)
		return 0;
	if (count > queue->place.size ||
	    !chain_take(queue,
			le16toh(__atomic_load_n(&queue->available->ring[slot], __ATOMIC_RELAXED)),
			chain)) {
		queue->broken = true;
		return -EPROTO;
	}
	queue->next_available++;
	return 1;
}

void gcl_queue_push(struct gcl_queue *queue, uint16_t head, uint32_t written)
{
	uint16_t slot = queue->next_used & (uint16_t)(queue->place.size - 1);
	struct vring_used_elem element = {htole32(head), htole32(written)};

	if (!queue->running || !queue->used)
		return;
	memcpy(&queue->used->ring[slot], &element, sizeof element);
	queue->next_used++;
	/* Pairs with the driver's acquire of the index before it reads the element. */
	__atomic_store_n(&queue->used->idx, htole16(queue->next_used), __ATOMIC_RELEASE);
}

void gcl_queue_call(const struct gcl_queue *queue)
{
	uint16_t flags;

	if (!queue->running || !queue->available || queue->call < 0)
		return;
	/* The index before the flags: the driver writes and reads them the other way round. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	flags = le16toh(__atomic_load_n(&queue->available->flags, __ATOMIC_RELAXED));
	if (!(flags & VRING_AVAIL_F_NO_INTERRUPT))
		(void)eventfd_write(queue->call, 1);
}

/* Copies between @data and @spans. Return: bytes or -EFAULT. */
static int64_t spans_copy(const struct gcl_guest_memory *memory, const struct gcl_span *spans,
			  unsigned count, void *data, size_t size, bool write)
{
	size_t done = 0;

	for (unsigned i = 0; i < count && done < size; i++) {
		size_t part = GCL_MIN(size - done, spans[i].length);
		void *at = gcl_guest_memory_at(memory, spans[i].address, part);

		if (!at)
			return -EFAULT;
		if (write)
			memcpy(at, (char *)data + done, part);
		else
			memcpy((char *)data + done, at, part);
		done += part;
	}
	return (int64_t)done;
}

int64_t gcl_chain_read(const struct gcl_guest_memory *memory, const struct gcl_chain *chain,
		       void *data, size_t size)
{
	return spans_copy(memory, chain->spans, chain->readable, data, size, false);
}

int64_t gcl_chain_write(const struct gcl_guest_memory *memory, const struct gcl_chain *chain,
			const void *data, size_t size)
{
	return spans_copy(memory, chain->spans + chain->readable, chain->writable, (void *)data,
			  size, true);
}
