/* SPDX-License-Identifier: MIT */
/*
 * What the guest's end asks of the system for the driver's device file, so that a test can put
 * something else in its place.
 */
#ifndef GCL_VIRTIO_DEVICE_H
#define GCL_VIRTIO_DEVICE_H

#include "virtio.h"

struct gcl_virtio_calls {
	/* All as the system's: -1 or MAP_FAILED, and errno. */
	int (*open)(const char *path);
	int (*ioctl)(int fd, unsigned long request, void *argument);
	void *(*map)(int fd, void *address, uint64_t size,
		     uint64_t offset); /* address: NULL: any */
};

/** gcl_virtio_connect_with() - gcl_virtio_connect() to what @calls lead to; @calls are lent for as
 * long as the channel lives. */
int gcl_virtio_connect_with(const struct gcl_virtio_calls *calls, const char *path,
			    struct gcl_channel **out, char *reason, size_t reason_size);

#endif
