/* SPDX-License-Identifier: MIT */
/*
 * The virtio channel: ring and heap in a guest's memory, which the worker maps.
 *
 * The guest's side is the file /dev/virtio-cl of the driver; uapi/virtio_cl.h says what is asked of
 * it. The worker gets its greeting from the broker as any worker does, and then memory, piece by
 * piece, over the socket that came with it; worker-link.h says how.
 */
#ifndef GCL_VIRTIO_H
#define GCL_VIRTIO_H

#include "local.h"

#define GCL_VIRTIO_DEVICE "/dev/virtio-cl"

/**
 * gcl_virtio_accept() - worker: wait for the rings (GCL_HELLO_TIMEOUT_MS), map them, answer. Takes
 * the descriptors over on success. gcl_channel_serve() then does what the broker asks for.
 *
 * Return: 0 or -errno; the reason is in the log, and the broker has been told.
 */
int gcl_virtio_accept(struct gcl_greeting *greeting, struct gcl_channel **out);

/**
 * gcl_virtio_connect() - guest: open a session through the driver's device file.
 * @path: of the device
 * @reason: one line for the user when it fails: what is wrong and what to do
 *
 * Return: 0 and a channel, or a negative errno: -ENOENT, -ENODEV and -ENXIO where there is no
 * device.
 */
int gcl_virtio_connect(const char *path, struct gcl_channel **out, char *reason,
		       size_t reason_size);

#endif
