/*
 * What every channel has in common: checks of what goes in and comes out, sequence numbers,
 * splitting of long messages, and the end of a channel.
 *
 * Must not: know how a carrier works, trust a field of a received frame.
 */
#include "channel.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"

int gcl_channel_reserve(struct gcl_channel *channel, size_t body_max, void **body)
{
	int err;

	if (body_max > GCL_FRAME_BODY_MAX)
		return -EMSGSIZE;
	if (gcl_channel_dead(channel))
		return -EPIPE;
	err = channel->ops->reserve(channel, body_max, body);
	if (err == -EPROTO) {
		gcl_log_peer(ring, "the other side broke the ring (send)");
		gcl_channel_kill(channel, -EPROTO);
		return -EPIPE;
	}
	return err;
}

uint64_t gcl_channel_commit(struct gcl_channel *channel, const struct gcl_frame *head,
			    size_t body_size)
{
	struct gcl_frame frame = *head;

	if (!channel->sent_more)
		channel->sent++;
	channel->sent_more = frame.flags & GCL_FRAME_MORE;
	frame.sequence = channel->sent;
	channel->ops->commit(channel, &frame, body_size);
	return channel->sent;
}

/* Waits for room for a frame of @size bytes; @first: nothing of the message has been sent yet. */
static int send_reserve(struct gcl_channel *channel, size_t size, void **room, bool first,
			int timeout_ms)
{
	int err;

	for (;;) {
		err = gcl_channel_reserve(channel, size, room);
		if (err != -EAGAIN || (first && timeout_ms == 0))
			return err;
		/* With no timeout to go by, a message once begun waits for as long as it takes. */
		err = gcl_channel_wait(channel, true, timeout_ms == 0 ? -1 : timeout_ms);
		if (err)
			return err;
	}
}

int64_t gcl_channel_send(struct gcl_channel *channel, const struct gcl_frame *head,
			 const void *body, size_t body_size, int timeout_ms)
{
	struct gcl_frame frame = *head;
	size_t done = 0;

	if (body_size > GCL_MESSAGE_MAX)
		return -EMSGSIZE;
	frame.flags &= (uint16_t)~GCL_FRAME_MORE;
	do {
		size_t size = GCL_MIN(body_size - done, GCL_FRAME_BODY_MAX);
		void *room;
		int err = send_reserve(channel, size, &room, done == 0, timeout_ms);

		if (err) {
			if (done)
				gcl_channel_kill(channel, err);
			return err;
		}
		if (size)
			memcpy(room, (const char *)body + done, size);
		done += size;
		if (done < body_size)
			frame.flags |= GCL_FRAME_MORE;
		else
			frame.flags &= (uint16_t)~GCL_FRAME_MORE;
		gcl_channel_commit(channel, &frame, size);
	} while (done < body_size);
	return (int64_t)channel->sent;
}

const char *gcl_channel_frame_wrong(const struct gcl_channel *channel, const struct gcl_frame *head)
{
	const struct gcl_frame *part = &channel->part;

	if (head->flags & ~GCL_FRAME_FLAGS)
		return "unknown flags";
	if (head->payload_size &&
	    !gcl_channel_heap_ptr(channel, head->payload_offset, head->payload_size))
		return "payload outside the heap";
	if (!(part->flags & GCL_FRAME_MORE))
		return head->sequence == channel->received + 1 ? NULL : "wrong sequence";
	if (head->sequence != channel->received || head->number != part->number ||
	    head->payload_offset != part->payload_offset ||
	    head->payload_size != part->payload_size)
		return "fragment of another message";
	if (channel->part_received + head->length - sizeof *head > GCL_MESSAGE_MAX)
		return "message too long";
	return NULL;
}

int gcl_channel_receive(struct gcl_channel *channel, struct gcl_frame *head, void *body,
			size_t body_max)
{
	const char *wrong;
	int n;

	if (gcl_channel_dead(channel))
		return -EPIPE;
	n = channel->ops->receive(channel, head, body, body_max);
	if (n == 0)
		return 0;
	if (n < 0) {
		if (n == -EPROTO)
			gcl_log_peer(ring, "the other side broke the ring (receive)");
		gcl_channel_kill(channel, n);
		return n;
	}
	wrong = gcl_channel_frame_wrong(channel, head);
	if (wrong) {
		gcl_log_peer(ring, "bad frame: %s (number %u, sequence %llu, flags 0x%x)", wrong,
			     head->number, (unsigned long long)head->sequence, head->flags);
		gcl_channel_kill(channel, -EPROTO);
		return -EPROTO;
	}
	channel->received = head->sequence;
	channel->part = *head;
	if (head->flags & GCL_FRAME_MORE)
		channel->part_received += head->length - sizeof *head;
	else
		channel->part_received = 0;
	return 1;
}

int gcl_channel_wait(struct gcl_channel *channel, bool writable, int timeout_ms)
{
	if (gcl_channel_dead(channel))
		return -EPIPE;
	return channel->ops->wait(channel, writable, timeout_ms);
}

/* A bit for each chunk of the heap that was used. */
struct gcl_heap_track {
	_Atomic uint64_t *used; /* bytes */
	_Atomic uint64_t chunks[];
};

void gcl_channel_heap_limit(struct gcl_channel *channel, uint64_t size)
{
	if (!channel->ops->heap_ptr && size < channel->heap_size)
		channel->heap_limit = size;
}

int gcl_channel_heap_track(struct gcl_channel *channel, _Atomic uint64_t *used)
{
	uint64_t words = (channel->heap_size / GCL_HEAP_CHUNK + 63) / 64;

	if (channel->ops->heap_ptr)
		return 0;
	channel->track = calloc(1, sizeof *channel->track + words * sizeof(uint64_t));
	if (!channel->track)
		return -ENOMEM;
	channel->track->used = used;
	return 0;
}

static void chunk_mark(struct gcl_heap_track *track, uint64_t chunk, bool used)
{
	_Atomic uint64_t *word = &track->chunks[chunk / 64];
	uint64_t bit = 1ull << chunk % 64, before;

	if (!!(atomic_load_explicit(word, memory_order_relaxed) & bit) == used)
		return;
	before = used ? atomic_fetch_or(word, bit) : atomic_fetch_and(word, ~bit);
	if (!!(before & bit) == used)
		return;
	if (used)
		atomic_fetch_add(track->used, GCL_HEAP_CHUNK);
	else
		atomic_fetch_sub(track->used, GCL_HEAP_CHUNK);
}

static bool heap_inside(const struct gcl_channel *channel, uint64_t offset, uint64_t size)
{
	uint64_t room = gcl_channel_heap_room(channel);

	return offset < room && size <= room - offset;
}

bool gcl_channel_heap_trimmed(struct gcl_channel *channel, uint64_t offset, uint64_t size)
{
	if (!heap_inside(channel, offset, size))
		return false;
	if (!channel->track)
		return true;
	/* Only those that lie in it wholly. */
	for (uint64_t chunk = (offset + GCL_HEAP_CHUNK - 1) / GCL_HEAP_CHUNK;
	     (chunk + 1) * GCL_HEAP_CHUNK <= offset + size; chunk++)
		chunk_mark(channel->track, chunk, false);
	return true;
}

void *gcl_channel_heap_ptr(const struct gcl_channel *channel, uint64_t offset, uint64_t size)
{
	if (channel->ops->heap_ptr)
		return channel->ops->heap_ptr(channel, offset, size);
	if (!heap_inside(channel, offset, size))
		return NULL;
	for (uint64_t chunk = offset / GCL_HEAP_CHUNK;
	     channel->track && size && chunk <= (offset + size - 1) / GCL_HEAP_CHUNK; chunk++)
		chunk_mark(channel->track, chunk, true);
	return channel->heap + offset;
}

int gcl_channel_heap_populate(struct gcl_channel *channel, uint64_t offset, uint64_t size)
{
	if (gcl_channel_dead(channel))
		return -EPIPE;
	if (!heap_inside(channel, offset, size))
		return -ENOMEM;
	return channel->ops->heap_populate ? channel->ops->heap_populate(channel, offset, size) : 0;
}

void gcl_channel_heap_trim(struct gcl_channel *channel, uint64_t offset, uint64_t size)
{
	if (!gcl_channel_dead(channel) && gcl_channel_heap_ptr(channel, offset, size))
		channel->ops->heap_trim(channel, offset, size);
}

int gcl_channel_pin(struct gcl_channel *channel, void *address, uint64_t size, bool write,
		    uint64_t *offset)
{
	if (gcl_channel_dead(channel))
		return -EPIPE;
	if (!gcl_channel_pins(channel))
		return -EOPNOTSUPP;
	return channel->ops->pin(channel, address, size, write, offset);
}

void gcl_channel_unpin(struct gcl_channel *channel, uint64_t offset)
{
	if (!gcl_channel_dead(channel))
		channel->ops->unpin(channel, offset);
}

void gcl_channel_kill(struct gcl_channel *channel, int err)
{
	int alive = 0;

	if (atomic_compare_exchange_strong(&channel->dead, &alive, err ? err : -EPIPE))
		channel->ops->kill(channel);
}

void gcl_channel_interrupt(struct gcl_channel *channel)
{
	channel->ops->interrupt(channel);
}

int gcl_channel_conn(const struct gcl_channel *channel)
{
	return channel->ops->conn(channel);
}

int gcl_channel_serve(struct gcl_channel *channel)
{
	return channel->ops->serve(channel);
}

void gcl_channel_abandon(struct gcl_channel *channel)
{
	atomic_store(&channel->dead, -EPIPE);
	channel->ops->abandon(channel);
}

void gcl_channel_close(struct gcl_channel *channel)
{
	if (!channel)
		return;
	free(channel->track);
	channel->ops->close(channel);
}
