/* SPDX-License-Identifier: MIT */
/*
 * A channel over memory that both sides see: what the local and the virtio channel have in common.
 *
 * Layout of the rings' memory: the control blocks of the command ring and of the completion ring,
 * at GCL_SHM_DATA_OFFSET the data of the command ring, then that of the completion ring.
 *
 * A carrier embeds struct gcl_shm as its first member and has a table of operations of its own,
 * which begins with GCL_SHM_OPS; what it does itself is said there.
 */
#ifndef GCL_SHM_H
#define GCL_SHM_H

#include <sys/types.h>

#include "channel.h"
#include "ring.h"

#define GCL_SHM_DATA_OFFSET 4096u

_Static_assert(2 * sizeof(struct gcl_ring_shared) <= GCL_SHM_DATA_OFFSET,
	       "the control blocks fit in front of the data");

/* One direction's end, with what its one user at a time needs to wait. */
struct gcl_shm_end {
	struct gcl_ring ring;
	int poll;	    /* epoll: the bells (edge-triggered) and the connection's end */
	uint32_t spin_ns;   /* how long it looks before it sleeps */
	bool look;	    /* it does look; not where there is only one CPU */
	bool learns;	    /* look is set by what waits took; see look_learn() */
	unsigned waits;	    /* counts waits, wrapping */
	int64_t block_ns;   /* what those of the present block took */
	int64_t cost_ns[2]; /* what the last block of waits took that slept at once / looked first
			     */
	int64_t looked_ms;  /* when the connection was last looked at */
};

struct gcl_shm {
	struct gcl_channel channel;
	struct gcl_shm_end in;
	struct gcl_shm_end out;
	/* What sleepers of this side sleep on, and what ends it: */
	int conn;     /* its end is the peer's */
	int own_bell; /* an eventfd, for interrupts; may be rung by the peer too */
	int door;     /* one more that the peer rings; -1: there is none */
	/* How the peer is woken: */
	void (*bell_ring)(struct gcl_shm *shm);
	int peer_bell; /* an eventfd; -1 where bell_ring() does without */

	_Atomic bool peer_gone;	  /* frames may still be in the ring */
	_Atomic bool interrupted; /* the wait for frames is to return */
	pid_t pid;		  /* who may end the connection for all */
	void *rings;
	size_t rings_size;
};

/* What a carrier brings; descriptors and @rings are taken over on success. */
struct gcl_shm_setup {
	const struct gcl_channel_ops *ops;
	bool guest; /* which side this is */
	uint32_t commands_size, completions_size;
	void *rings;
	int conn;
	uint32_t conn_events; /* of epoll: how sleepers watch it */
	int own_bell, door, peer_bell;
	void (*bell_ring)(struct gcl_shm *shm); /* NULL: write to peer_bell */
};

#define GCL_SHM_OPS                                                                                \
	.shared = true, .reserve = gcl_shm_reserve, .commit = gcl_shm_commit,                      \
	.receive = gcl_shm_receive, .wait = gcl_shm_wait, .interrupt = gcl_shm_interrupt,          \
	.conn = gcl_shm_conn

static inline uint64_t gcl_shm_rings_size(uint32_t commands_size, uint32_t completions_size)
{
	return GCL_SHM_DATA_OFFSET + (uint64_t)commands_size + completions_size;
}

static inline struct gcl_shm *gcl_shm_of(struct gcl_channel *channel)
{
	return (struct gcl_shm *)(void *)channel;
}

/** gcl_shm_init() - the common part of a zeroed carrier's struct; heap and heap_size are the
 * carrier's to set. Return: 0 or -errno. */
int gcl_shm_init(struct gcl_shm *shm, const struct gcl_shm_setup *setup);

/** gcl_shm_fini() - end the connection, close and unmap all that init took over. */
void gcl_shm_fini(struct gcl_shm *shm);

/** gcl_shm_door_set() - another door in place of the one there was; takes @door over on success.
 * For the thread that serves conn. Return: 0 or -errno. */
int gcl_shm_door_set(struct gcl_shm *shm, int door);

/** gcl_shm_heap_advise() - what the kernel should know about mapped heap memory. */
void gcl_shm_heap_advise(void *memory, uint64_t size);

/** gcl_shm_fd() - move a new descriptor above standard error; passes errors on, with errno. */
int gcl_shm_fd(int fd);

/* Operations of channels. */
int gcl_shm_reserve(struct gcl_channel *channel, size_t body_max, void **body);
void gcl_shm_commit(struct gcl_channel *channel, const struct gcl_frame *head, size_t body_size);
int gcl_shm_receive(struct gcl_channel *channel, struct gcl_frame *head, void *body,
		    size_t body_max);
int gcl_shm_wait(struct gcl_channel *channel, bool producer, int timeout_ms);
void gcl_shm_interrupt(struct gcl_channel *channel);
int gcl_shm_conn(const struct gcl_channel *channel);

/** gcl_shm_abandon() - close the descriptors of a forked child. */
void gcl_shm_abandon(struct gcl_channel *channel);

/** gcl_shm_shutdown() - kill, where conn is a socket: wakes sleepers on both sides. */
void gcl_shm_shutdown(struct gcl_channel *channel);

#endif
