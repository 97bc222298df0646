// SPDX-License-Identifier: MIT
/*
 * What each message of the front end does.
 *
 * A handler returns 0, or -errno with the reason set. Those of the requests that have an answer of
 * their own send it themselves.
 */
#include "backend-queues.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FEATURE_VERSION_1 32u

#define PROTOCOL_FEATURES                                                                          \
	(1ull << GCL_VHOST_P_MQ | 1ull << GCL_VHOST_P_REPLY_ACK | 1ull << GCL_VHOST_P_CONFIG |     \
	 1ull << GCL_VHOST_P_CONFIGURE_MEM_SLOTS)

static uint64_t features_offered(const struct gcl_backend *backend)
{
	return backend->device_features | 1ull << FEATURE_VERSION_1 |
	       1ull << GCL_VHOST_F_PROTOCOL_FEATURES;
}

int gcl_backend_fail(struct gcl_backend *backend, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(backend->reason, sizeof backend->reason, format, args);
	va_end(args);
	return err;
}

static int reply_u64(const struct gcl_backend *backend, uint64_t value)
{
	return gcl_vhost_reply(backend->socket, &backend->message, &value, sizeof value);
}

static int get_features(struct gcl_backend *backend, struct gcl_vhost_message *message)
{
	(void)message;
	return reply_u64(backend, features_offered(backend));
}

static int set_features(struct gcl_backend *backend, struct gcl_vhost_message *message)
{
	uint64_t features = message->body.u64;

	if (features & ~features_offered(backend))
		return gcl_backend_fail(
			backend, -EINVAL, "features 0x%llx were not offered",
			(unsigned long long)(features & ~features_offered(backend)));
	backend->features = features;
	if (!(features & 1ull << GCL_VHOST_F_PROTOCOL_FEATURES)) {
		for (unsigned i = 0; i < GCL_BACKEND_QUEUES_MAX; i++)
			backend->queues[i].enabled = true;
	}
	return 0;
}

static int get_protocol_features(struct gcl_backend *backend, struct gcl_vhost_message *message)
{
	(void)message;
	return reply_u64(backend, PROTOCOL_FEATURES);
}

static int set_protocol_features(struct gcl_backend *backend, struct gcl_vhost_message *message)
{
	if (message->body.u64 & ~PROTOCOL_FEATURES)
		return gcl_backend_fail(backend, -EINVAL,
					"protocol features 0x%llx were not offered",
					(unsigned long long)message->body.u64);
	backend->protocol_features = message->body.u64;
	return 0;
}

static int get_queue_num(struct gcl_backend *backend, struct gcl_vhost_message *message)
{
	(void)message;
	return reply_u64(backend, GCL_BACKEND_QUEUES_MAX);
}

static int get_max_mem_slots(struct gcl_backend *backend, struct gcl_vhost_message *message)
{
	(void)message;
	return reply_u64(backend, GCL_GUEST_REGIONS_MAX);
}

/* Nobody else can own a connection of their own. */
static int nothing(struct gcl_backend *backend, struct gcl_vhost_message *message)
{
	(void)backend;
	(void)message;
	return 0;
}

static int region_add(struct gcl_backend *backend, const struct gcl_vhost_region *place, int *fd)
{
	int err;

	if (*fd < 0)
		return gcl_backend_fail(backend, -EINVAL,
					"a memory region came without descriptor");
	err = gcl_guest_memory_add(&backend->memory, place, *fd, backend->reason,
				   sizeof backend->reason);
	if (err == 0)
		*fd = -1;
	return err;
}

static int set_mem_table(struct gcl_backend *backend, struct gcl_vhost_message *message)
{
	const struct gcl_vhost_memory_table *table = &message->body.table;
	size_t head = offsetof(struct gcl_vhost_memory_table, regions);
	int err = 0;

	if (table->count > GCL_VHOST_REGIONS_MAX || table->count != message->fd_count ||
	    message->header.size != head + table->count * sizeof *table->regions)
		return gcl_backend_fail(backend, -EINVAL,
					"a memory table of %u regions and %u descriptors",
					table->count, message->fd_count);
	gcl_guest_memory_clear(&backend->memory);
	for (unsigned i = 0; i < table->count && err == 0; i++)
		err = region_add(backend, &table->regions[i], &message->fds[i]);
	gcl_backend_queues_remap(backend);
	return err;
}

static int add_mem_reg(struct gcl_backend *backend, struct gcl_vhost_message *message)
{
	int err;

	if (message->fd_count != 1)
		return gcl_backend_fail(backend, -EINVAL, "a memory region of %u descriptors",
					message->fd_count);
	err = region_add(backend, &message->body.single.region, &message->fds[0]);
	gcl_backend_queues_remap(backend);
	return err;
}

static int rem_mem_reg(struct gcl_backend *backend, struct gcl_vhost_message *message)
{
	if (!gcl_guest_memory_remove(&backend->memory, &message->body.single.region))
		return gcl_backend_fail(
			backend, -EINVAL, "no memory region is at 0x%llx",
			(unsigned long long)message->body.single.region.guest_address);
	gcl_backend_queues_remap(backend);
	return 0;
}

static int get_config(struct gcl_backend *backend, struct gcl_vhost_message *message)
{
	struct gcl_vhost_config *config = &message->body.config;
	size_t head = offsetof(struct gcl_vhost_config, bytes);

	if (config->size > GCL_VHOST_CONFIG_MAX ||
	    config->offset > GCL_VHOST_CONFIG_MAX - config->size ||
	    message->header.size != head + config->size)
		return gcl_backend_fail(backend, -EPROTO, "configuration of %u bytes at %u",
					config->size, config->offset);
	memset(config->bytes, 0, config->size);
	backend->ops->config(backend, config->offset, config->bytes, config->size);
	return gcl_vhost_reply(backend->socket, message, config, message->header.size);
}

/* There is nothing to set. The block shell's driver may try to, so it is no error. */
static int set_config(struct gcl_backend *backend, struct gcl_vhost_message *message)
{
	return nothing(backend, message);
}

/* The queues stopped before; what is left is that they are as they were at first. */
static int reset_device(struct gcl_backend *backend, struct gcl_vhost_message *message)
{
	(void)message;
	for (unsigned i = 0; i < GCL_BACKEND_QUEUES_MAX; i++)
		gcl_backend_queue_stop(backend, i);
	backend->features = 0;
	return 0;
}

static const struct handler {
	int (*run)(struct gcl_backend *backend, struct gcl_vhost_message *message);
	uint32_t size; /* of the body; 0: the handler looks itself */
	bool answers;
} handlers[GCL_VHOST_REQUESTS] = {
	[GCL_VHOST_GET_FEATURES] = {get_features, 0, true},
	[GCL_VHOST_SET_FEATURES] = {set_features, sizeof(uint64_t), false},
	[GCL_VHOST_SET_OWNER] = {nothing, 0, false},
	[GCL_VHOST_RESET_OWNER] = {reset_device, 0, false},
	[GCL_VHOST_SET_MEM_TABLE] = {set_mem_table, 0, false},
	[GCL_VHOST_SET_VRING_NUM] = {gcl_backend_set_vring_num,
				     sizeof(struct gcl_vhost_vring_state), false},
	[GCL_VHOST_SET_VRING_ADDR] = {gcl_backend_set_vring_addr,
				      sizeof(struct gcl_vhost_vring_address), false},
	[GCL_VHOST_SET_VRING_BASE] = {gcl_backend_set_vring_base,
				      sizeof(struct gcl_vhost_vring_state), false},
	[GCL_VHOST_GET_VRING_BASE] = {gcl_backend_get_vring_base,
				      sizeof(struct gcl_vhost_vring_state), true},
	[GCL_VHOST_SET_VRING_KICK] = {gcl_backend_set_vring_kick, sizeof(uint64_t), false},
	[GCL_VHOST_SET_VRING_CALL] = {gcl_backend_set_vring_call, sizeof(uint64_t), false},
	[GCL_VHOST_SET_VRING_ERR] = {nothing, sizeof(uint64_t), false},
	[GCL_VHOST_GET_PROTOCOL_FEATURES] = {get_protocol_features, 0, true},
	[GCL_VHOST_SET_PROTOCOL_FEATURES] = {set_protocol_features, sizeof(uint64_t), false},
	[GCL_VHOST_GET_QUEUE_NUM] = {get_queue_num, 0, true},
	[GCL_VHOST_SET_VRING_ENABLE] = {gcl_backend_set_vring_enable,
					sizeof(struct gcl_vhost_vring_state), false},
	[GCL_VHOST_GET_CONFIG] = {get_config, 0, true},
	[GCL_VHOST_SET_CONFIG] = {set_config, 0, false},
	[GCL_VHOST_RESET_DEVICE] = {reset_device, 0, false},
	[GCL_VHOST_GET_MAX_MEM_SLOTS] = {get_max_mem_slots, 0, true},
	[GCL_VHOST_ADD_MEM_REG] = {add_mem_reg, sizeof(struct gcl_vhost_single_region), false},
	[GCL_VHOST_REM_MEM_REG] = {rem_mem_reg, sizeof(struct gcl_vhost_single_region), false},
};

static const struct handler *handler_find(uint32_t request)
{
	return request < GCL_VHOST_REQUESTS && handlers[request].run ? &handlers[request] : NULL;
}

/* Return: what is left to say about the message's success: 0 or -errno. */
static int message_run(struct gcl_backend *backend, const struct handler *handler)
{
	struct gcl_vhost_message *message = &backend->message;

	if (!handler)
		return gcl_backend_fail(backend, -EOPNOTSUPP, "message %u is unknown",
					message->header.request);
	if (handler->size && handler->size != message->header.size)
		return gcl_backend_fail(backend, -EPROTO, "message %u of %u bytes",
					message->header.request, message->header.size);
	return handler->run(backend, message);
}

static int message_finish(struct gcl_backend *backend, const struct handler *handler, int err)
{
	bool asked = backend->protocol_features & 1ull << GCL_VHOST_P_REPLY_ACK &&
		     backend->message.header.flags & GCL_VHOST_NEED_REPLY;

	if (asked && (!handler || !handler->answers))
		err = reply_u64(backend, err < 0);
	gcl_vhost_message_fini(&backend->message);
	gcl_vhost_message_init(&backend->message);
	if (err < 0)
		return err;
	return 1;
}

int gcl_backend_receive(struct gcl_backend *backend)
{
	const struct handler *handler;
	int err;

	if (backend->held)
		return 0;
	backend->reason[0] = '\0';
	err = gcl_vhost_message_receive(&backend->message, backend->socket);
	if (err == -EPROTO)
		return gcl_backend_fail(backend, err, "what it sends is no vhost-user message");
	if (err <= 0)
		return err;
	handler = handler_find(backend->message.header.request);
	err = message_run(backend, handler);
	if (backend->held)
		return 0;
	return message_finish(backend, handler, err);
}

int gcl_backend_release(struct gcl_backend *backend)
{
	int err;

	if (!backend->held)
		return 0;
	backend->held = false;
	err = message_finish(backend, handler_find(backend->message.header.request),
			     gcl_backend_vring_base_answer(backend));
	return err < 0 ? err : 0;
}

void gcl_backend_init(struct gcl_backend *backend, const struct gcl_backend_ops *ops,
		      uint64_t device_features)
{
	memset(backend, 0, sizeof *backend);
	backend->ops = ops;
	backend->device_features = device_features;
	backend->socket = -1;
	gcl_guest_memory_init(&backend->memory);
	gcl_vhost_message_init(&backend->message);
	for (unsigned i = 0; i < GCL_BACKEND_QUEUES_MAX; i++)
		gcl_queue_init(&backend->queues[i], &backend->memory);
}

void gcl_backend_open(struct gcl_backend *backend, int socket)
{
	backend->socket = socket;
}

void gcl_backend_close(struct gcl_backend *backend)
{
	for (unsigned i = 0; i < GCL_BACKEND_QUEUES_MAX; i++)
		gcl_queue_fini(&backend->queues[i]);
	gcl_guest_memory_clear(&backend->memory);
	gcl_vhost_message_fini(&backend->message);
	gcl_vhost_message_init(&backend->message);
	backend->socket = -1;
	backend->features = backend->protocol_features = 0;
	backend->queues_seen = 0;
	backend->held = false;
}

void gcl_backend_fini(struct gcl_backend *backend)
{
	gcl_backend_close(backend);
	gcl_guest_memory_fini(&backend->memory);
}
