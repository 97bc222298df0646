/* SPDX-License-Identifier: MIT */
/*
 * The back end of the vhost-user protocol: one front end (a VMM) on one socket.
 *
 * Theory of operation. The VMM's messages set up memory and queues, start and stop them; each is
 * carried out at once, and the device is told through its ops. A message that can't be carried out
 * is answered as such if the VMM has asked for an answer, else it ends the connection: a VMM that
 * waits for what doesn't come would hang with its guest.
 *
 * A queue runs as soon as it has an address, a kick descriptor, and is enabled; it stops when the
 * VMM asks for its base. The device may hold that answer back until what it does in the guest's
 * memory has come to rest, since the VMM takes the answer as that word.
 *
 * Must not: block, know what the device is.
 */
#ifndef GCL_VHOST_BACKEND_H
#define GCL_VHOST_BACKEND_H

#include "guest-memory.h"
#include "message.h"
#include "queue.h"

#define GCL_BACKEND_QUEUES_MAX 8u

struct gcl_backend;

struct gcl_backend_ops {
	/* The queue has started: its memory and kick are there. */
	void (*started)(struct gcl_backend *backend, unsigned index);

	/* The queue, which was disabled while it ran, is to be looked at again. */
	void (*enabled)(struct gcl_backend *backend, unsigned index);

	/* The queue has stopped. Return: true to hold the answer back, which takes all of the
	 * protocol along, until gcl_backend_release(). */
	bool (*stopped)(struct gcl_backend *backend, unsigned index);

	/* Fill in @size bytes of the configuration space, from @offset on. */
	void (*config)(struct gcl_backend *backend, uint32_t offset, void *bytes, uint32_t size);
};

struct gcl_backend {
	const struct gcl_backend_ops *ops;
	uint64_t device_features; /* offered beside those of the protocol */
	int socket;		  /* lent; -1 while no VMM is there */
	uint64_t features;	  /* what the driver and the VMM have chosen */
	uint64_t protocol_features;
	struct gcl_guest_memory memory;
	struct gcl_queue queues[GCL_BACKEND_QUEUES_MAX];
	unsigned queues_seen; /* that the VMM has spoken of so far: those that it has */
	struct gcl_vhost_message message;
	bool held;	  /* the answer to @message */
	char reason[192]; /* of the last failure, for the log */
};

void gcl_backend_init(struct gcl_backend *backend, const struct gcl_backend_ops *ops,
		      uint64_t device_features);

/** gcl_backend_open() - a VMM has connected; @socket is lent, and non-blocking. */
void gcl_backend_open(struct gcl_backend *backend, int socket);

/** gcl_backend_close() - the VMM is gone: no queue runs, no memory is mapped. No ops are called. */
void gcl_backend_close(struct gcl_backend *backend);

/** gcl_backend_fini() - closes, too. */
void gcl_backend_fini(struct gcl_backend *backend);

/**
 * gcl_backend_receive() - the socket is readable: carry out one message, if it is complete.
 *
 * Return: 1 when there may be more, 0 to wait until the socket is readable, or (while an answer is
 * held) until it is released. -EPIPE: the VMM is gone. Another -errno: close the connection;
 * reason says why.
 */
int gcl_backend_receive(struct gcl_backend *backend);

/** gcl_backend_release() - give the answer that was held. Return: 0 or -errno: close. */
int gcl_backend_release(struct gcl_backend *backend);

#endif
