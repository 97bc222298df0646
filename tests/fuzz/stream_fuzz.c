// SPDX-License-Identifier: MIT
/*
 * Fuzzing a stream channel's decoder and its queue.
 *
 * An input is a list of steps that put bytes on the wire, as a hostile peer may (raw bytes, frames
 * that are right or nearly so) or as our own queue does when the socket takes them in pieces; and
 * steps that receive them, in pieces of any size. What our own side sent has to arrive as it was
 * sent. The heap ends at a page that can't be touched, and the body that frames are copied to is an
 * allocation of its own, so that every byte too far is seen.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "stream-input.h"
#include "stream-queue.h"

#define HEAP	   (64u << 10)
#define WIRE	   (1u << 20)
#define QUEUE	   GCL_RING_SIZE_MIN
#define STEPS_MAX  4096
#define REQUIRE(c) ((c) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum step {
	STEP_RAW,     /* count, bytes */
	STEP_FRAME,   /* number, flags, sequence, payload, body, how much follows */
	STEP_QUEUE,   /* the same by our own queue, always right */
	STEP_FLUSH,   /* what the socket takes */
	STEP_RECEIVE, /* what a read gives at most */
	STEP_END,     /* the peer hangs up */
	STEPS
};

struct input {
	const uint8_t *data;
	size_t size;
};

struct carrier {
	struct gcl_channel channel;
	struct gcl_stream_io io;
	struct gcl_stream_input input;
	struct gcl_stream_queue queue;
	uint8_t *body;
	uint8_t *wire;
	size_t wire_from, wire_to;
	size_t read_max;
	bool hung_up;
	bool honest;	  /* all that was on the wire came from our own queue */
	uint64_t sent;	  /* by our own queue */
	uint8_t fill;	  /* what its payloads consist of */
	uint8_t *payload; /* never changed while it is queued */
};

static uint64_t take(struct input *input, size_t bytes)
{
	uint64_t value = 0;

	bytes = bytes < input->size ? bytes : input->size;
	memcpy(&value, input->data, bytes);
	input->data += bytes;
	input->size -= bytes;
	return value;
}

static struct carrier *carrier_of(struct gcl_stream_io *io)
{
	return (struct carrier *)(void *)((uint8_t *)io - offsetof(struct carrier, io));
}

static ssize_t wire_read(struct gcl_stream_io *io, const struct iovec *iov, int count)
{
	struct carrier *carrier = carrier_of(io);
	size_t left = carrier->wire_to - carrier->wire_from, done = 0;

	if (!left)
		return carrier->hung_up ? 0 : -EAGAIN;
	left = left < carrier->read_max ? left : carrier->read_max;
	for (int i = 0; i < count && left; i++) {
		size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;

		memcpy(iov[i].iov_base, carrier->wire + carrier->wire_from, part);
		carrier->wire_from += part;
		left -= part;
		done += part;
	}
	REQUIRE(done);
	return (ssize_t)done;
}

static bool wire_pending(struct gcl_stream_io *io)
{
	/* As TLS might: sometimes a short read is not the end. */
	return carrier_of(io)->read_max % 2;
}

static const struct gcl_stream_io_ops wire_ops = {.read = wire_read, .pending = wire_pending};

static void wire_put(struct carrier *carrier, const void *data, size_t size)
{
	if (carrier->wire_from == carrier->wire_to)
		carrier->wire_from = carrier->wire_to = 0;
	if (size > WIRE - carrier->wire_to)
		size = 0;
	if (size)
		memcpy(carrier->wire + carrier->wire_to, data, size);
	carrier->wire_to += size;
}

static int carrier_receive(struct gcl_channel *channel, struct gcl_frame *head, void *body,
			   size_t body_max)
{
	struct carrier *carrier = (struct carrier *)channel;
	int step = gcl_stream_input_step(&carrier->input);

	if (step == GCL_STREAM_FRAME)
		return gcl_stream_input_take(&carrier->input, head, body, body_max);
	return step < 0 ? step : 0;
}

static void carrier_kill(struct gcl_channel *channel)
{
	(void)channel;
}

static const struct gcl_channel_ops carrier_ops = {
	.name = "fuzz",
	.receive = carrier_receive,
	.kill = carrier_kill,
};

static void carrier_reset(struct carrier *carrier, bool trims)
{
	static uint8_t *heap;

	if (!heap) {
		heap = mmap(NULL, HEAP + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
		mprotect(heap + HEAP, 4096, PROT_NONE);
		carrier->body = malloc(GCL_FRAME_BODY_MAX);
		carrier->wire = malloc(WIRE);
		carrier->payload = malloc(HEAP);
		gcl_stream_queue_init(&carrier->queue, QUEUE);
		gcl_log_level_set(GCL_LOG_ERROR);
	}
	carrier->queue.head = carrier->queue.tail = carrier->queue.done = 0;
	carrier->channel = (struct gcl_channel){
		.ops = &carrier_ops,
		.heap = heap,
		.heap_size = HEAP,
	};
	carrier->io = (struct gcl_stream_io){.ops = &wire_ops, .fd = -1};
	gcl_stream_input_init(&carrier->input, &carrier->io, &carrier->channel, trims);
	carrier->wire_from = carrier->wire_to = 0;
	carrier->read_max = SIZE_MAX;
	carrier->hung_up = false;
	carrier->honest = true;
	carrier->sent = 0;
	carrier->fill = 0;
}

static void raw(struct carrier *carrier, struct input *input)
{
	size_t count = take(input, 1);

	count = count < input->size ? count : input->size;
	wire_put(carrier, input->data, count);
	input->data += count;
	input->size -= count;
	carrier->honest = false;
}

/* A frame that may be wrong in any of its fields, with about as many bytes as it promises. */
static void frame(struct carrier *carrier, struct input *input)
{
	static const uint8_t bytes[GCL_FRAME_MAX];
	struct gcl_frame head = {0};
	int8_t difference;

	head.number = (uint16_t)take(input, 1);
	head.flags = (uint16_t)(take(input, 1) | take(input, 1) << 8);
	if (!(head.flags & GCL_FRAME_TRIM))
		head.sequence = carrier->channel.received + (uint64_t)(int8_t)take(input, 1) + 1;
	head.payload_offset = take(input, 3);
	head.payload_size = take(input, 3);
	head.length = (uint32_t)(sizeof head + take(input, 2));
	difference = (int8_t)take(input, 1);
	wire_put(carrier, &head, sizeof head);
	wire_put(carrier, bytes,
		 (head.length - sizeof head + (uint64_t)(int64_t)difference) % sizeof bytes);
	wire_put(carrier, bytes, head.payload_size % sizeof bytes);
	carrier->honest = false;
}

static void queue(struct carrier *carrier, struct input *input)
{
	struct gcl_frame head = {.number = 1};
	size_t size = take(input, 2) % GCL_FRAME_BODY_MAX;
	uint64_t length = take(input, 2) % HEAP;
	bool whole = gcl_stream_queue_empty(&carrier->queue);
	void *body;

	/* Payloads are lent: one content for all that are queued at a time. */
	if (whole)
		memset(carrier->payload, ++carrier->fill, HEAP);
	if (gcl_stream_queue_reserve(&carrier->queue, size, &body))
		return;
	memset(body, carrier->fill, size);
	head.sequence = ++carrier->sent;
	head.payload_offset = take(input, 2) % (HEAP - length);
	head.payload_size = length;
	gcl_stream_queue_commit(&carrier->queue, &head, size, length ? carrier->payload : NULL);
}

static void flush(struct carrier *carrier, struct input *input)
{
	struct iovec iov[8];
	size_t socket = take(input, 3), sent = 0;
	int count = gcl_stream_queue_gather(&carrier->queue, iov, 2 + (int)(take(input, 1) % 7),
					    1 + take(input, 3));

	for (int i = 0; i < count && socket; i++) {
		size_t part = iov[i].iov_len < socket ? iov[i].iov_len : socket;

		REQUIRE(part);
		if (part > WIRE - carrier->wire_to)
			break;
		wire_put(carrier, iov[i].iov_base, part);
		sent += part;
		socket -= part;
		if (part < iov[i].iov_len)
			break;
	}
	gcl_stream_queue_consumed(&carrier->queue, sent);
}

static void same_check(const uint8_t *bytes, size_t size)
{
	for (size_t i = 1; i < size; i++)
		REQUIRE(bytes[i] == bytes[0]);
}

static void receive(struct carrier *carrier)
{
	struct gcl_channel *channel = &carrier->channel;
	struct gcl_frame head;
	int dead = gcl_channel_dead(channel);
	int n = gcl_channel_receive(channel, &head, carrier->body, GCL_FRAME_BODY_MAX);

	REQUIRE(n == 1 || n == 0 || n == -EPROTO || n == -EPIPE);
	REQUIRE(n >= 0 || gcl_channel_dead(channel));
	REQUIRE(!dead || n == -EPIPE);
	REQUIRE(n != -EPROTO || !carrier->honest);
	REQUIRE(carrier->input.begin <= carrier->input.end);
	REQUIRE(carrier->input.end <= sizeof carrier->input.buffer);
	if (n != 1)
		return;
	REQUIRE(head.length >= sizeof head && head.length <= GCL_FRAME_MAX);
	REQUIRE(!(head.flags & ~GCL_FRAME_FLAGS));
	REQUIRE(head.sequence && head.sequence == channel->received);
	REQUIRE(head.payload_size <= HEAP && (!head.payload_size || head.payload_offset < HEAP));
	REQUIRE(channel->part_received <= GCL_MESSAGE_MAX);
	if (!carrier->honest)
		return;
	same_check(carrier->body, head.length - sizeof head);
	same_check(channel->heap + head.payload_offset, head.payload_size);
	if (head.length > sizeof head && head.payload_size)
		REQUIRE(carrier->body[0] == channel->heap[head.payload_offset]);
}

static void step(struct carrier *carrier, struct input *input)
{
	switch ((enum step)(take(input, 1) % STEPS)) {
	case STEP_RAW:
		raw(carrier, input);
		break;
	case STEP_FRAME:
		frame(carrier, input);
		break;
	case STEP_QUEUE:
		queue(carrier, input);
		break;
	case STEP_FLUSH:
		flush(carrier, input);
		break;
	case STEP_RECEIVE:
		carrier->read_max = 1 + take(input, 2);
		receive(carrier);
		break;
	case STEP_END:
		carrier->hung_up = true;
		break;
	case STEPS:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct carrier carrier;
	struct input input = {data, size};

	carrier_reset(&carrier, take(&input, 1) & 1);
	for (unsigned i = 0; i < STEPS_MAX && input.size; i++)
		step(&carrier, &input);
	return 0;
}
