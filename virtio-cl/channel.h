/*
 * The seam between what is said and how it travels.
 *
 * A channel carries frames both ways and gives both sides the same heap (byte offsets that mean the
 * same on both). Everything above this header works unchanged on every channel.
 *
 * Threads: a channel has one producer and one consumer at a time: callers serialise
 * reserve/commit/send among themselves, and receive/wait among themselves; the two groups may run
 * at the same time. Heap functions and gcl_channel_dead() may be called from any thread.
 */
#ifndef GCL_CHANNEL_H
#define GCL_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "session-limits.h"

struct gcl_channel;

/* What stands behind a channel: one table for each carrier. */
struct gcl_channel_ops {
	const char *name;
	bool shared; /* both sides see the same heap memory: payloads need not be sent */
	bool remaps; /* and the worker may map parts of it a second time: nobody takes them back */
	bool serves; /* what comes on conn() is for gcl_channel_serve() */
	int (*reserve)(struct gcl_channel *channel, size_t body_max, void **body);
	void (*commit)(struct gcl_channel *channel, const struct gcl_frame *head, size_t body_size);
	int (*receive)(struct gcl_channel *channel, struct gcl_frame *head, void *body,
		       size_t body_max);
	int (*wait)(struct gcl_channel *channel, bool writable, int timeout_ms);
	/* NULL: all of the heap may be addressed, and is there */
	void *(*heap_ptr)(const struct gcl_channel *channel, uint64_t offset, uint64_t size);
	int (*heap_populate)(struct gcl_channel *channel, uint64_t offset, uint64_t size);
	void (*heap_trim)(struct gcl_channel *channel, uint64_t offset, uint64_t size);
	/* NULL: can't */
	int (*pin)(struct gcl_channel *channel, void *address, uint64_t size, bool write,
		   uint64_t *offset);
	void (*unpin)(struct gcl_channel *channel, uint64_t offset);
	void (*kill)(struct gcl_channel *channel); /* wake all waiters here and on the other side */
	void (*interrupt)(struct gcl_channel *channel);
	int (*conn)(const struct gcl_channel *channel);
	int (*serve)(struct gcl_channel *channel);
	void (*abandon)(struct gcl_channel *channel);
	void (*close)(struct gcl_channel *channel);
};

/* The part of a channel that every carrier has; carriers embed it as their first member. */
struct gcl_channel {
	const struct gcl_channel_ops *ops;
	uint8_t *heap;		      /* address of heap offset 0 here */
	uint64_t heap_size;	      /* bytes of address space */
	uint64_t heap_limit;	      /* of these may be used; 0: all */
	struct gcl_heap_track *track; /* which of them were, or NULL */
	uint64_t sent;		      /* sequence of the last message sent, wholly or in part */
	bool sent_more;		      /* the last frame sent has GCL_FRAME_MORE */
	uint64_t received;	      /* sequence of the last message received, wholly or in part */
	struct gcl_frame part;	      /* the last frame received */
	uint64_t part_received;	      /* bytes of body received of a message that goes on, else 0 */
	_Atomic bool patient;	      /* see gcl_channel_patient() */
	_Atomic int dead;	      /* 0, or the negative errno that ended the channel; sticky */
};

/**
 * gcl_channel_frame_wrong() - for carriers: what is wrong with a frame that would be the next to
 * come in, or NULL. gcl_channel_receive() asks the same of every frame that it is given.
 */
const char *gcl_channel_frame_wrong(const struct gcl_channel *channel,
				    const struct gcl_frame *head);

/**
 * gcl_channel_reserve() - room for one frame's body, straight in the carrier's memory.
 * @body_max: bytes wanted, at most GCL_FRAME_BODY_MAX
 * @body: set to memory that the caller may fill until commit
 *
 * Never blocks. Return: 0, -EAGAIN when the ring is full (gcl_channel_wait(channel, true, ...)
 * waits for room), -EMSGSIZE, -EPIPE when the peer is gone or the channel broke. A reservation not
 * committed is simply forgotten.
 */
int gcl_channel_reserve(struct gcl_channel *channel, size_t body_max, void **body);

/**
 * gcl_channel_commit() - publish the reserved frame and wake the peer if it sleeps.
 * @head: number, flags and payload are read; length and sequence are filled in here
 * @body_size: bytes really used, at most what was reserved
 *
 * Return: the message's sequence number.
 */
uint64_t gcl_channel_commit(struct gcl_channel *channel, const struct gcl_frame *head,
			    size_t body_size);

/**
 * gcl_channel_send() - send a packed message of any size up to GCL_MESSAGE_MAX, split in frames as
 * needed.
 *
 * Waits for room up to @timeout_ms for each frame (0: only if there is room for the first at once;
 * a message once begun is always finished or the channel dies). Return: the sequence number
 * (positive), or -EAGAIN, -EMSGSIZE, -EPIPE, -ETIMEDOUT (the channel is dead then if a part had
 * been sent).
 */
int64_t gcl_channel_send(struct gcl_channel *channel, const struct gcl_frame *head,
			 const void *body, size_t body_size, int timeout_ms);

/**
 * gcl_channel_receive() - copy the next frame out of the carrier's memory.
 * @body: at least GCL_FRAME_BODY_MAX bytes (@body_max says how many)
 *
 * Never blocks. The header is checked: length within bounds, sequence as expected, payload inside
 * the heap. Return: 1 and a frame (body size is head->length - sizeof *head), 0 when there is none,
 * -EPROTO when the peer broke the rules and -EPIPE when it is gone and all it sent has been read;
 * both kill the channel.
 */
int gcl_channel_receive(struct gcl_channel *channel, struct gcl_frame *head, void *body,
			size_t body_max);

/**
 * gcl_channel_wait() - wait until a frame can be received (or, with @writable, sent).
 *
 * Looks for a short time first (GCL_SPIN_GUEST_NS, GCL_SPIN_WORKER_NS), then sleeps. @timeout_ms:
 * -1 for no end but the peer's death, 0 only looks. Return: 0 when it is worth trying again,
 * -ETIMEDOUT, -EPIPE.
 */
int gcl_channel_wait(struct gcl_channel *channel, bool writable, int timeout_ms);

/**
 * gcl_channel_heap_ptr() - address of a heap range, or NULL when it isn't wholly inside the heap.
 * Overflow-safe; a range of size 0 is inside if its offset is.
 */
void *gcl_channel_heap_ptr(const struct gcl_channel *channel, uint64_t offset, uint64_t size);

/** gcl_channel_heap_limit() - no more than @size bytes from the heap's beginning are part of it, on
 * both sides; before it is used. Not on a carrier with a gcl_channel_ops.heap_ptr of its own, whose
 * heap is not the host's memory. */
void gcl_channel_heap_limit(struct gcl_channel *channel, uint64_t size);

/** gcl_channel_heap_room() - bytes of the heap that may be used. */
static inline uint64_t gcl_channel_heap_room(const struct gcl_channel *channel)
{
	return channel->heap_limit ? channel->heap_limit : channel->heap_size;
}

/**
 * gcl_channel_heap_track() - worker side, before the channel is used: keep in @used how many bytes
 * of the heap's chunks have been used and not given back.
 * @used: lent for the life of the channel
 *
 * Return: 0, or -ENOMEM. It has no effect where the heap is not the host's memory.
 */
int gcl_channel_heap_track(struct gcl_channel *channel, _Atomic uint64_t *used);

/** gcl_channel_heap_trimmed() - for carriers: the other side has given a range of the heap back.
 * Return: false if it isn't inside the heap. */
bool gcl_channel_heap_trimmed(struct gcl_channel *channel, uint64_t offset, uint64_t size);

/** gcl_channel_heap_populate() - guest side: see to it that there is memory in a range of the heap
 * that was never used or was trimmed. Return: 0, -ENOMEM, -EPIPE. */
int gcl_channel_heap_populate(struct gcl_channel *channel, uint64_t offset, uint64_t size);

/** gcl_channel_heap_trim() - guest side: give the memory of an unused, page-aligned range back, or
 * as much of it as the carrier can; it must be populated before it is used again, and what was
 * given back reads as zero then. */
void gcl_channel_heap_trim(struct gcl_channel *channel, uint64_t offset, uint64_t size);

static inline bool gcl_channel_pins(const struct gcl_channel *channel)
{
	return channel->ops->pin;
}

/**
 * gcl_channel_pin() - guest side, where gcl_channel_pins(): let the host use the program's memory
 * as if it were a part of the heap.
 * @write: the host may write to it
 * @offset: set to where it is, beyond the heap
 *
 * The memory stays where it is until gcl_channel_unpin() or the channel's end, whatever the program
 * does with its addresses. Waits for the host. Return: 0, or -errno, which is nothing unusual:
 * memory that can't be pinned, a limit of the system's.
 */
int gcl_channel_pin(struct gcl_channel *channel, void *address, uint64_t size, bool write,
		    uint64_t *offset);

/** gcl_channel_unpin() - take it back, when the host is done with it. */
void gcl_channel_unpin(struct gcl_channel *channel, uint64_t offset);

/** gcl_channel_kill() - end the channel with @err (negative errno), from any thread; the peer
 * notices, waiters return. */
void gcl_channel_kill(struct gcl_channel *channel, int err);

/**
 * gcl_channel_interrupt() - make this side's thread in gcl_channel_wait() for frames return 0 now
 * (or, if there is none, the next one at once). Any thread.
 */
void gcl_channel_interrupt(struct gcl_channel *channel);

/** gcl_channel_conn() - a descriptor whose end (POLLRDHUP, POLLHUP) tells that the peer is gone;
 * lent. */
int gcl_channel_conn(const struct gcl_channel *channel);

static inline bool gcl_channel_serves(const struct gcl_channel *channel)
{
	return channel->ops->serves;
}

/**
 * gcl_channel_serve() - where gcl_channel_serves(): do what is asked for on gcl_channel_conn(),
 * when it is readable. Never blocks. One thread, which may be another than those that use the
 * channel. Return: 0, or -errno when nothing more will come, or what came breaks the rules.
 */
int gcl_channel_serve(struct gcl_channel *channel);

/**
 * gcl_channel_abandon() - in a forked child: let go of the parent's descriptors without telling the
 * peer. The channel is dead; heap addresses stay valid. Safe in a pthread_atfork child handler.
 */
void gcl_channel_abandon(struct gcl_channel *channel);

/**
 * gcl_channel_patient() - while @patient, waits of this side sleep at once instead of looking
 * first: others need the CPU more, and when they are done they call gcl_channel_interrupt(). Any
 * thread.
 */
static inline void gcl_channel_patient(struct gcl_channel *channel, bool patient)
{
	channel->patient = patient;
}

static inline bool gcl_channel_shared(const struct gcl_channel *channel)
{
	return channel->ops->shared;
}

static inline int gcl_channel_dead(const struct gcl_channel *channel)
{
	return channel->dead;
}

/** gcl_channel_close() - release everything; accepts NULL. No other thread may be using the
 * channel. */
void gcl_channel_close(struct gcl_channel *channel);

#endif
