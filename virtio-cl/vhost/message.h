/* SPDX-License-Identifier: MIT */
/*
 * Messages of the vhost-user protocol, as they lie on the socket.
 *
 * From "Vhost-user Protocol" in QEMU's documentation (docs/interop/vhost-user.rst). We are the back
 * end: the front end (the VMM) asks, we answer. Numbers are in the host's byte order.
 */
#ifndef GCL_VHOST_MESSAGE_H
#define GCL_VHOST_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/fds.h"

enum gcl_vhost_request {
	GCL_VHOST_GET_FEATURES = 1,
	GCL_VHOST_SET_FEATURES = 2,
	GCL_VHOST_SET_OWNER = 3,
	GCL_VHOST_RESET_OWNER = 4,
	GCL_VHOST_SET_MEM_TABLE = 5,
	GCL_VHOST_SET_VRING_NUM = 8,
	GCL_VHOST_SET_VRING_ADDR = 9,
	GCL_VHOST_SET_VRING_BASE = 10,
	GCL_VHOST_GET_VRING_BASE = 11,
	GCL_VHOST_SET_VRING_KICK = 12,
	GCL_VHOST_SET_VRING_CALL = 13,
	GCL_VHOST_SET_VRING_ERR = 14,
	GCL_VHOST_GET_PROTOCOL_FEATURES = 15,
	GCL_VHOST_SET_PROTOCOL_FEATURES = 16,
	GCL_VHOST_GET_QUEUE_NUM = 17,
	GCL_VHOST_SET_VRING_ENABLE = 18,
	GCL_VHOST_GET_CONFIG = 24,
	GCL_VHOST_SET_CONFIG = 25,
	GCL_VHOST_RESET_DEVICE = 34,
	GCL_VHOST_GET_MAX_MEM_SLOTS = 36,
	GCL_VHOST_ADD_MEM_REG = 37,
	GCL_VHOST_REM_MEM_REG = 38,
	GCL_VHOST_REQUESTS = 64, /* numbers beyond are unknown */
};

/* Bits of gcl_vhost_header.flags. */
#define GCL_VHOST_VERSION      0x1u
#define GCL_VHOST_VERSION_MASK 0x3u
#define GCL_VHOST_REPLY	       0x4u
#define GCL_VHOST_NEED_REPLY   0x8u

/* Feature and protocol feature bits. */
#define GCL_VHOST_F_PROTOCOL_FEATURES	30u
#define GCL_VHOST_P_MQ			0u
#define GCL_VHOST_P_REPLY_ACK		3u
#define GCL_VHOST_P_CONFIG		9u
#define GCL_VHOST_P_CONFIGURE_MEM_SLOTS 15u

struct gcl_vhost_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of what follows */
};

struct gcl_vhost_vring_state {
	uint32_t index;
	uint32_t number;
};

struct gcl_vhost_vring_address {
	uint32_t index;
	uint32_t flags;
	uint64_t descriptors; /* all in the VMM's address space */
	uint64_t used;
	uint64_t available;
	uint64_t log;
};

/* In the 64 bits that come with a kick, call or err descriptor. */
#define GCL_VHOST_FD_INDEX 0xffu
#define GCL_VHOST_FD_NONE  0x100u /* there is none: poll, or don't tell */

struct gcl_vhost_region {
	uint64_t guest_address;
	uint64_t size;
	uint64_t user_address; /* in the VMM */
	uint64_t file_offset;
};

#define GCL_VHOST_REGIONS_MAX 8u /* in one memory table: what the protocol allows */

struct gcl_vhost_memory_table {
	uint32_t count;
	uint32_t padding;
	struct gcl_vhost_region regions[GCL_VHOST_REGIONS_MAX];
};

struct gcl_vhost_single_region {
	uint64_t padding;
	struct gcl_vhost_region region;
};

#define GCL_VHOST_CONFIG_MAX 256u

struct gcl_vhost_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t bytes[GCL_VHOST_CONFIG_MAX];
};

#define GCL_VHOST_FDS_MAX GCL_FDS_MAX

struct gcl_vhost_message {
	struct gcl_vhost_header header;
	union {
		uint64_t u64;
		struct gcl_vhost_vring_state state;
		struct gcl_vhost_vring_address address;
		struct gcl_vhost_memory_table table;
		struct gcl_vhost_single_region single;
		struct gcl_vhost_config config;
		uint8_t bytes[320];
	} body;
	int fds[GCL_VHOST_FDS_MAX];
	unsigned fd_count;
	size_t got; /* bytes read so far, header included */
};

/** gcl_vhost_message_init() - nothing read so far. */
void gcl_vhost_message_init(struct gcl_vhost_message *message);

/** gcl_vhost_message_fini() - close the descriptors that no one took. */
void gcl_vhost_message_fini(struct gcl_vhost_message *message);

/**
 * gcl_vhost_message_receive() - read on, without blocking and never beyond this message.
 *
 * Return: 1 when it is complete, 0 when more has to come, -EPIPE at the end of the socket, -EPROTO
 * for what is no message, or another errno.
 */
int gcl_vhost_message_receive(struct gcl_vhost_message *message, int socket);

/** gcl_vhost_message_take_fd() - the message's only descriptor, which is the caller's then; -1 if
 * there is not just one. */
int gcl_vhost_message_take_fd(struct gcl_vhost_message *message);

/** gcl_vhost_reply() - answer @request with @size bytes of @body. Return: 0, or -errno: a front end
 * that does not read its answers is not waited for. */
int gcl_vhost_reply(int socket, const struct gcl_vhost_message *request, const void *body,
		    uint32_t size);

#endif
