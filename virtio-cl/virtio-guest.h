/* SPDX-License-Identifier: MIT */
/*
 * The guest's end of a virtio channel, for the files that make it.
 */
#ifndef GCL_VIRTIO_GUEST_H
#define GCL_VIRTIO_GUEST_H

#include <pthread.h>

#include "shm.h"
#include "uapi/virtio_cl.h"
#include "virtio-device.h"

#define GCL_VIRTIO_CHUNKS (GCL_HEAP_MAX / VIRTIO_CL_CHUNK)

_Static_assert(GCL_VIRTIO_CHUNKS *VIRTIO_CL_CHUNK <= VIRTIO_CL_HEAP_MAX,
	       "the driver takes the heap that sessions may have");

/* Memory of the program's that the host sees, too. */
struct gcl_virtio_window {
	uint64_t offset; /* where in the session's space; 0: free */
	uint64_t size;
	uint8_t *address;
};

struct gcl_virtio_guest {
	struct gcl_shm shm;
	const struct gcl_virtio_calls *calls;
	pthread_mutex_t lock; /* of what follows, and of changes to the heap's memory */
	uint64_t chunks;      /* those beyond were never populated */
	uint64_t populated[GCL_VIRTIO_CHUNKS / 64];
	pthread_mutex_t windows_lock; /* a leaf */
	struct gcl_virtio_window windows[VIRTIO_CL_WINDOWS];
};

extern const struct gcl_channel_ops gcl_virtio_guest_ops;

void gcl_virtio_bell_ring(struct gcl_shm *shm);

/** gcl_virtio_ask() - an ioctl of the device file. Return: 0 or -errno. */
int gcl_virtio_ask(const struct gcl_virtio_calls *calls, int fd, unsigned long request,
		   void *argument);

#endif
