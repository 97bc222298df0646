/*
 * The guest for tests.
 */
#include "guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 60

static struct guest *guest_of(struct gcl_channel *channel)
{
	return gcl_container_of(channel, struct guest, channel);
}

static int reserve(struct gcl_channel *channel, size_t body_max, void **body)
{
	(void)body_max;
	*body = guest_of(channel)->frame;
	return 0;
}

/* The worker's outbox lock is held: one at a time. */
static void commit(struct gcl_channel *channel, const struct gcl_frame *head, size_t body_size)
{
	struct guest *guest = guest_of(channel);
	struct mail *mail;

	guest->parts = realloc(guest->parts, guest->parts_size + body_size + 1);
	assert_non_null(guest->parts);
	memcpy(guest->parts + guest->parts_size, guest->frame, body_size);
	guest->parts_size += body_size;
	if (head->flags & GCL_FRAME_MORE)
		return;

	mail = calloc(1, sizeof *mail);
	assert_non_null(mail);
	mail->head = *head;
	mail->message = protobuf_c_message_unpack(gcl_message_descriptor(head->number), NULL,
						  guest->parts_size, guest->parts);
	assert_non_null(mail->message);
	guest->parts_size = 0;
	pthread_mutex_lock(&guest->lock);
	gcl_list_append(&guest->inbox, &mail->link);
	pthread_cond_broadcast(&guest->arrived);
	pthread_mutex_unlock(&guest->lock);
}

static void kill_channel(struct gcl_channel *channel)
{
	(void)channel;
}

static const struct gcl_channel_ops ops = {
	.name = "memory",
	.shared = true,
	.reserve = reserve,
	.commit = commit,
	.kill = kill_channel,
};

uint64_t guest_id(struct guest *guest, enum gcl_kind kind)
{
	return gcl_id(kind, 1, guest->next_index[kind]++);
}

uint64_t guest_heap(struct guest *guest, uint64_t size)
{
	uint64_t offset = guest->heap_next;

	guest->heap_next += (size + 4095) & ~4095ull;
	assert_true(guest->heap_next <= GUEST_HEAP_SIZE);
	return offset;
}

int guest_send_payload(struct guest *guest, enum gcl_message number, const void *message,
		       uint64_t payload_offset, uint64_t payload_size)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	_cleanup_free_ uint8_t *body = malloc(size + 1);
	struct gcl_frame head = {
		.length = (uint32_t)(sizeof head + size),
		.number = (uint16_t)number,
		.sequence = ++guest->sequence,
		.payload_offset = payload_offset,
		.payload_size = payload_size,
	};

	assert_non_null(body);
	protobuf_c_message_pack(message, body);
	return gcl_dispatch(&guest->worker, &head, body, size);
}

int guest_send(struct guest *guest, enum gcl_message number, const void *message)
{
	return guest_send_payload(guest, number, message, 0, 0);
}

/* What a message is about, for those that tests wait for. */
static uint64_t mail_about(const struct mail *mail)
{
	switch (mail->head.number) {
	case GCL_OBJECT_FAILED:
		return ((const Gcl__ObjectFailed *)mail->message)->id;
	case GCL_QUEUE_DONE:
		return ((const Gcl__QueueDone *)mail->message)->sync;
	case GCL_EVENT_DONE:
		return ((const Gcl__EventDone *)mail->message)->event;
	case GCL_MEM_FREED:
		return ((const Gcl__MemFreed *)mail->message)->id;
	case GCL_ANSWER_BUILD:
		return ((const Gcl__BuildAnswer *)mail->message)->request;
	case GCL_ANSWER_BINARIES:
		return ((const Gcl__BinariesAnswer *)mail->message)->request;
	case GCL_ANSWER_ARG_PROBE:
		return ((const Gcl__ArgProbeAnswer *)mail->message)->request;
	case GCL_ANSWER_SIZES:
		return ((const Gcl__SizesAnswer *)mail->message)->request;
	case GCL_ANSWER_SPECIALIZE:
		return ((const Gcl__SpecializeAnswer *)mail->message)->request;
	default:
		return 0;
	}
}

static const struct mail *find_locked(const struct guest *guest, enum gcl_message number,
				      uint64_t id)
{
	gcl_list_for_each (it, &guest->inbox) {
		const struct mail *mail = gcl_container_of(it, struct mail, link);

		if (mail->head.number == number && mail_about(mail) == id)
			return mail;
	}
	return NULL;
}

const struct mail *guest_wait(struct guest *guest, enum gcl_message number, uint64_t id,
			      int seconds)
{
	const struct mail *mail;
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += seconds;
	pthread_mutex_lock(&guest->lock);
	while (!(mail = find_locked(guest, number, id)) && !err)
		err = pthread_cond_timedwait(&guest->arrived, &guest->lock, &until);
	pthread_mutex_unlock(&guest->lock);
	return mail;
}

const void *guest_answer(struct guest *guest, enum gcl_message number)
{
	const struct mail *mail = guest_wait(guest, number, guest->sequence, PATIENCE_S);

	assert_non_null(mail);
	return mail->message;
}

cl_int guest_finish(struct guest *guest)
{
	Gcl__QueueSync message = GCL__QUEUE_SYNC__INIT;

	message.queue = guest->queue;
	assert_int_equal(guest_send(guest, GCL_QUEUE_SYNC, &message), 0);
	return ((const Gcl__QueueDone *)guest_answer(guest, GCL_QUEUE_DONE))->status;
}

cl_int guest_failed(struct guest *guest, uint64_t id)
{
	const struct mail *mail = guest_wait(guest, GCL_OBJECT_FAILED, id, 0);

	return mail ? ((const Gcl__ObjectFailed *)mail->message)->status : CL_SUCCESS;
}

bool guest_freed(struct guest *guest, uint64_t id)
{
	return guest_wait(guest, GCL_MEM_FREED, id, 2);
}

Gcl__Command guest_command(const struct guest *guest, uint64_t event)
{
	Gcl__Command command = GCL__COMMAND__INIT;

	command.queue = guest->queue;
	command.event = event;
	return command;
}

uint64_t guest_buffer(struct guest *guest, uint64_t size, uint64_t payload_offset,
		      uint64_t payload_size)
{
	Gcl__BufferCreate message = GCL__BUFFER_CREATE__INIT;

	message.id = guest_id(guest, GCL_KIND_MEM);
	message.context = guest->context;
	message.flags = CL_MEM_READ_WRITE;
	message.size = size;
	assert_int_equal(guest_send_payload(guest, GCL_BUFFER_CREATE, &message, payload_offset,
					    payload_size),
			 0);
	return message.id;
}

void guest_release(struct guest *guest, uint64_t id)
{
	Gcl__Release message = GCL__RELEASE__INIT;

	message.id = id;
	assert_int_equal(guest_send(guest, GCL_RELEASE, &message), 0);
}

uint64_t guest_program(struct guest *guest, const char *source)
{
	Gcl__ProgramCreateSource message = GCL__PROGRAM_CREATE_SOURCE__INIT;

	message.id = guest_id(guest, GCL_KIND_PROGRAM);
	message.context = guest->context;
	message.source.data = (uint8_t *)source;
	message.source.len = strlen(source);
	assert_int_equal(guest_send(guest, GCL_PROGRAM_CREATE_SOURCE, &message), 0);
	return message.id;
}

const Gcl__BuildAnswer *guest_build(struct guest *guest, uint64_t program, const char *options)
{
	Gcl__ProgramBuild message = GCL__PROGRAM_BUILD__INIT;

	message.program = program;
	message.options = (char *)options;
	assert_int_equal(guest_send(guest, GCL_PROGRAM_BUILD, &message), 0);
	return guest_answer(guest, GCL_ANSWER_BUILD);
}

uint64_t guest_kernel(struct guest *guest, uint64_t program, const char *name)
{
	Gcl__KernelCreate message = GCL__KERNEL_CREATE__INIT;

	message.id = guest_id(guest, GCL_KIND_KERNEL);
	message.program = program;
	message.name = (char *)name;
	assert_int_equal(guest_send(guest, GCL_KERNEL_CREATE, &message), 0);
	return message.id;
}

/* The guest's own context and queue, on the first device there is. */
static void session_begin(struct guest *guest)
{
	Gcl__ContextCreate context = GCL__CONTEXT_CREATE__INIT;
	Gcl__QueueCreate queue = GCL__QUEUE_CREATE__INIT;

	assert_int_equal(gcl_snapshot_make(&guest->worker), 0);
	if (!guest->worker.welcome->n_platforms)
		return;
	guest->device = guest->worker.welcome->platforms[0]->devices[0]->id;
	guest->context = guest_id(guest, GCL_KIND_CONTEXT);
	guest->queue = guest_id(guest, GCL_KIND_QUEUE);
	context.id = guest->context;
	context.devices = &guest->device;
	context.n_devices = 1;
	assert_int_equal(guest_send(guest, GCL_CONTEXT_CREATE, &context), 0);
	queue.id = guest->queue;
	queue.context = guest->context;
	queue.device = guest->device;
	assert_int_equal(guest_send(guest, GCL_QUEUE_CREATE, &queue), 0);
}

int guest_setup(void **state)
{
	struct guest *guest = calloc(1, sizeof *guest);

	assert_non_null(guest);
	pthread_mutex_init(&guest->lock, NULL);
	pthread_cond_init(&guest->arrived, NULL);
	gcl_list_init(&guest->inbox);
	guest->channel.ops = &ops;
	guest->channel.heap = aligned_alloc(4096, GUEST_HEAP_SIZE);
	assert_non_null(guest->channel.heap);
	memset(guest->channel.heap, 0, GUEST_HEAP_SIZE);
	guest->channel.heap_size = GUEST_HEAP_SIZE;
	gcl_log_init("worker-test");
	gcl_worker_init(&guest->worker);
	guest->worker.channel = &guest->channel;
	guest->worker.resident = true;
	session_begin(guest);
	*state = guest;
	return 0;
}

#ifndef __SANITIZE_ADDRESS__ /* which looks for leaks at the very end */
/* As the worker itself, which never runs the runtime's destructors: its threads may still be busy.
 */
static void leave(int status, void *data)
{
	(void)data;
	fflush(NULL);
	_exit(status);
}
#endif

int guest_teardown(void **state)
{
	struct guest *guest = *state;

	if (guest->queue)
		guest_finish(guest);
	gcl_worker_fini(&guest->worker);
	gcl_list_for_each_safe (it, next, &guest->inbox) {
		struct mail *mail = gcl_container_of(it, struct mail, link);

		protobuf_c_message_free_unpacked(mail->message, NULL);
		free(mail);
	}
	free(guest->parts);
	free(guest->channel.heap);
	free(guest);
#ifndef __SANITIZE_ADDRESS__
	/* Registered last, so that it comes first. */
	on_exit(leave, NULL);
#endif
	return 0;
}

uint64_t guest_queue(struct guest *guest, uint64_t properties)
{
	Gcl__QueueCreate message = GCL__QUEUE_CREATE__INIT;

	message.id = guest_id(guest, GCL_KIND_QUEUE);
	message.context = guest->context;
	message.device = guest->device;
	message.properties = properties;
	assert_int_equal(guest_send(guest, GCL_QUEUE_CREATE, &message), 0);
	return message.id;
}

uint64_t guest_user_event(struct guest *guest)
{
	Gcl__UserEventCreate message = GCL__USER_EVENT_CREATE__INIT;

	message.id = guest_id(guest, GCL_KIND_EVENT);
	message.context = guest->context;
	assert_int_equal(guest_send(guest, GCL_USER_EVENT_CREATE, &message), 0);
	return message.id;
}

void guest_user_event_set(struct guest *guest, uint64_t id, cl_int status)
{
	Gcl__UserEventSet message = GCL__USER_EVENT_SET__INIT;

	message.id = id;
	message.status = status;
	assert_int_equal(guest_send(guest, GCL_USER_EVENT_SET, &message), 0);
}
