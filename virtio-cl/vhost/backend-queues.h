/* SPDX-License-Identifier: MIT */
/*
 * What the files of the back end share: the messages that are about queues.
 */
#ifndef GCL_VHOST_BACKEND_QUEUES_H
#define GCL_VHOST_BACKEND_QUEUES_H

#include "backend.h"

/** gcl_backend_fail() - note why. Return: @err. */
int gcl_backend_fail(struct gcl_backend *backend, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/** gcl_backend_queues_remap() - the memory has changed: find the rings that run again. */
void gcl_backend_queues_remap(struct gcl_backend *backend);

/** gcl_backend_queue_stop() - stop a queue that runs. Return: whether to hold the answer. */
bool gcl_backend_queue_stop(struct gcl_backend *backend, unsigned index);

/** gcl_backend_vring_base_answer() - answer the message at hand, GET_VRING_BASE. */
int gcl_backend_vring_base_answer(struct gcl_backend *backend);

int gcl_backend_set_vring_num(struct gcl_backend *backend, struct gcl_vhost_message *message);
int gcl_backend_set_vring_addr(struct gcl_backend *backend, struct gcl_vhost_message *message);
int gcl_backend_set_vring_base(struct gcl_backend *backend, struct gcl_vhost_message *message);
int gcl_backend_get_vring_base(struct gcl_backend *backend, struct gcl_vhost_message *message);
int gcl_backend_set_vring_kick(struct gcl_backend *backend, struct gcl_vhost_message *message);
int gcl_backend_set_vring_call(struct gcl_backend *backend, struct gcl_vhost_message *message);
int gcl_backend_set_vring_enable(struct gcl_backend *backend, struct gcl_vhost_message *message);

#endif
