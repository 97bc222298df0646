/*
 * A guest for tests: hands messages straight to the worker's handlers, with the host's real OpenCL
 * behind them, and keeps what the worker says.
 *
 * Messages are packed and unpacked as on a real channel; what comes back passes through a channel
 * of plain memory.
 */
#ifndef GCL_WORKER_TESTS_GUEST_H
#define GCL_WORKER_TESTS_GUEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker.h"

#define GUEST_HEAP_SIZE (16u << 20)

/* A message from the worker. */
struct mail {
	struct gcl_list link;
	struct gcl_frame head;
	ProtobufCMessage *message;
};

struct guest {
	struct gcl_channel channel; /* first: the channel's functions get at the rest by it */
	struct gcl_worker worker;
	uint64_t device; /* the first one, or 0 */
	uint64_t context, queue;
	uint64_t sequence; /* of the last message sent */
	uint32_t next_index[GCL_KIND_COUNT];
	uint64_t heap_next;
	pthread_mutex_t lock; /* protects what follows */
	pthread_cond_t arrived;
	struct gcl_list inbox; /* struct mail */
	uint8_t *parts;
	size_t parts_size;
	uint8_t frame[GCL_FRAME_MAX];
};

/** guest_setup() / guest_teardown() - fixtures of a cmocka group: *state is the guest, with a
 * context and an in-order queue. */
int guest_setup(void **state);
int guest_teardown(void **state);

uint64_t guest_id(struct guest *guest, enum gcl_kind kind);

/** guest_heap() - a piece of the heap for the rest of the test program, aligned to a page. */
uint64_t guest_heap(struct guest *guest, uint64_t size);

/** guest_send() - have the worker handle a message. Return: what the handler returned. */
int guest_send(struct guest *guest, enum gcl_message number, const void *message);
int guest_send_payload(struct guest *guest, enum gcl_message number, const void *message,
		       uint64_t payload_offset, uint64_t payload_size);

/**
 * guest_wait() - the message @number about @id from the worker; waits for it up to @seconds.
 * @id: of the object or event, sequence of the answered message or QUEUE_SYNC
 *
 * Return: lent until teardown, or NULL.
 */
const struct mail *guest_wait(struct guest *guest, enum gcl_message number, uint64_t id,
			      int seconds);

/** guest_finish() - QUEUE_SYNC and its answer. Return: the queue's status. */
cl_int guest_finish(struct guest *guest);

/** guest_failed() - status of the OBJECT_FAILED for @id that has come so far, or CL_SUCCESS. */
cl_int guest_failed(struct guest *guest, uint64_t id);

/** guest_answer() - answer @number to the last message sent; the test fails without one. */
const void *guest_answer(struct guest *guest, enum gcl_message number);

/** guest_freed() - MEM_FREED for @id; waits a moment for it. */
bool guest_freed(struct guest *guest, uint64_t id);

/** guest_command() - the common part of a command on the guest's queue. @event 0: none. */
Gcl__Command guest_command(const struct guest *guest, uint64_t event);

/* Shorthands; each fails the test when the worker breaks the session over it. */
uint64_t guest_buffer(struct guest *guest, uint64_t size, uint64_t payload_offset,
		      uint64_t payload_size);
void guest_release(struct guest *guest, uint64_t id);
uint64_t guest_queue(struct guest *guest, uint64_t properties);
uint64_t guest_user_event(struct guest *guest);
void guest_user_event_set(struct guest *guest, uint64_t id, cl_int status);
uint64_t guest_program(struct guest *guest, const char *source);

/** guest_build() - build for all devices. Return: the answer. */
const Gcl__BuildAnswer *guest_build(struct guest *guest, uint64_t program, const char *options);
uint64_t guest_kernel(struct guest *guest, uint64_t program, const char *name);

#endif
