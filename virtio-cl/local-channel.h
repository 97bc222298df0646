/*
 * What the files of the local channel share: its struct, its memory layout, how it is put together.
 *
 * Layout of the ring memfd: the control blocks of the command ring and of the completion ring, at
 * GCL_LOCAL_DATA_OFFSET the data of the command ring, then that of the completion ring.
 */
#ifndef GCL_LOCAL_CHANNEL_H
#define GCL_LOCAL_CHANNEL_H

#include <fcntl.h>
#include <sys/types.h>

#include "local.h"
#include "ring.h"

#define GCL_LOCAL_DATA_OFFSET 4096u
#define GCL_LOCAL_SEALS	      (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

_Static_assert(2 * sizeof(struct gcl_ring_shared) <= GCL_LOCAL_DATA_OFFSET,
	       "the control blocks fit in front of the data");

/* One direction's end, with what its one user at a time needs to wait. */
struct gcl_local_end {
	struct gcl_ring ring;
	int poll;	    /* epoll: the doorbell (edge-triggered) and the connection's end */
	uint32_t spin_ns;   /* how long it looks before it sleeps */
	bool look;	    /* it does look; not where there is only one CPU */
	bool learns;	    /* look is set by what waits took; see look_learn() */
	unsigned waits;	    /* counts waits, wrapping */
	int64_t block_ns;   /* what those of the present block took */
	int64_t cost_ns[2]; /* what the last block of waits took that slept at once / looked first
			     */
	int64_t looked_ms;  /* when the connection was last looked at */
};

struct gcl_local {
	struct gcl_channel channel;
	struct gcl_local_end in;
	struct gcl_local_end out;
	int conn;
	int own_bell;		  /* rung by the peer */
	int peer_bell;		  /* rung by us */
	_Atomic bool peer_gone;	  /* frames may still be in the ring */
	_Atomic bool interrupted; /* the wait for frames is to return */
	pid_t pid;		  /* who may end the connection for all */
	void *rings;
	size_t rings_size;
};

static inline uint64_t gcl_local_rings_size(const struct gcl_hello *hello)
{
	return GCL_LOCAL_DATA_OFFSET + (uint64_t)hello->commands_size + hello->completions_size;
}

/** gcl_local_fd() - move a new descriptor above standard error; passes errors on, with errno. */
int gcl_local_fd(int fd);

/** gcl_local_heap_map() - map a heap memfd the way both sides do. Return: NULL and errno. */
void *gcl_local_heap_map(int fd, uint64_t size);

/** gcl_local_connect_within() - gcl_local_connect() with a timeout for connecting and one for the
 * answer. */
int gcl_local_connect_within(const char *path, int timeout_ms, struct gcl_channel **out,
			     char *reason, size_t reason_size);

/**
 * gcl_local_create() - a channel over mapped memory.
 * @guest: which side this is
 * @greeting: sizes are read; doorbells and connection are taken over on success
 * @rings: the mapped ring memfd, @heap: the mapped heap memfd; taken over on success
 */
int gcl_local_create(bool guest, struct gcl_greeting *greeting, void *rings, void *heap,
		     struct gcl_channel **out);

#endif
