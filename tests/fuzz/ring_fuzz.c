/*
 * Fuzzing a channel over rings whose shared memory belongs to a hostile peer.
 *
 * An input is a list of steps: some write the shared memory, as the peer may, the others use the
 * channel. Both ends' data areas and the body that frames are copied to are allocations of their
 * own, so that an address checker sees every byte too far. After each frame that is accepted, what
 * the layers above rely on is checked.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "channel.h"
#include "ring.h"

#define SIZE	   GCL_RING_SIZE_MIN
#define HEAP	   (1u << 20)
#define STEPS_MAX  4096
#define REQUIRE(c) ((c) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum step {
	STEP_WRITE_DATA,   /* ring, offset, count, bytes */
	STEP_WRITE_LENGTH, /* offset from the consumer's position, length */
	STEP_WRITE_INDEX,  /* which, value */
	STEP_MOVE_INDEX,   /* which, difference */
	STEP_PEER_SENDS,   /* head, size */
	STEP_PEER_RECEIVES,
	STEP_RECEIVE,
	STEP_RESERVE, /* size */
	STEP_COMMIT,  /* size */
	STEP_SEND,    /* size */
	STEP_SLEEP,   /* as producer? */
	STEPS
};

struct input {
	const uint8_t *data;
	size_t size;
};

/* One carrier for all inputs: in is written by the peer, out by us. */
struct carrier {
	struct gcl_channel channel;
	struct gcl_ring_shared *shared; /* of in, of out */
	struct gcl_ring in;
	struct gcl_ring out;
	struct gcl_ring peer_out; /* the peer's view, for what it does right */
	struct gcl_ring peer_in;
	uint8_t *body;
	size_t reserved; /* bytes of the reservation at @room */
	uint8_t *room;
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

static int carrier_reserve(struct gcl_channel *channel, size_t body_max, void **body)
{
	return gcl_ring_reserve(&((struct carrier *)channel)->out, body_max, body);
}

static void carrier_commit(struct gcl_channel *channel, const struct gcl_frame *head,
			   size_t body_size)
{
	gcl_ring_commit(&((struct carrier *)channel)->out, head, body_size);
}

static int carrier_receive(struct gcl_channel *channel, struct gcl_frame *head, void *body,
			   size_t body_max)
{
	bool wake = false;

	return gcl_ring_receive(&((struct carrier *)channel)->in, head, body, body_max, &wake);
}

static int carrier_wait(struct gcl_channel *channel, bool writable, int timeout_ms)
{
	(void)channel;
	(void)writable;
	(void)timeout_ms;
	return -ETIMEDOUT;
}

static void carrier_kill(struct gcl_channel *channel)
{
	(void)channel;
}

static const struct gcl_channel_ops carrier_ops = {
	.name = "fuzz",
	.reserve = carrier_reserve,
	.commit = carrier_commit,
	.receive = carrier_receive,
	.wait = carrier_wait,
	.kill = carrier_kill,
};

static void ring_reset(struct gcl_ring *ring, struct gcl_ring_shared *shared, uint8_t *data,
		       uint32_t start)
{
	gcl_ring_init(ring, shared, data, SIZE);
	ring->own = ring->seen = start;
	shared->head = shared->tail = start;
}

/* Indices start at multiples of 8 of the input's choice, so that they may wrap soon. */
static void carrier_reset(struct carrier *carrier, uint32_t start)
{
	static uint8_t *data[2], *heap;

	if (!carrier->body) {
		carrier->shared = aligned_alloc(64, 2 * sizeof *carrier->shared);
		carrier->body = malloc(GCL_FRAME_BODY_MAX);
		data[0] = malloc(SIZE);
		data[1] = malloc(SIZE);
		heap = malloc(HEAP);
		gcl_log_level_set(GCL_LOG_ERROR);
	}
	memset(carrier->shared, 0, 2 * sizeof *carrier->shared);
	memset(data[0], 0, SIZE);
	memset(data[1], 0, SIZE);
	carrier->channel = (struct gcl_channel){
		.ops = &carrier_ops,
		.heap = heap,
		.heap_size = HEAP,
	};
	start &= ~7u;
	ring_reset(&carrier->in, &carrier->shared[0], data[0], start);
	ring_reset(&carrier->peer_out, &carrier->shared[0], data[0], start);
	ring_reset(&carrier->out, &carrier->shared[1], data[1], start);
	ring_reset(&carrier->peer_in, &carrier->shared[1], data[1], start);
	carrier->reserved = 0;
	carrier->room = NULL;
}

static void write_data(struct carrier *carrier, struct input *input)
{
	uint8_t *data = take(input, 1) & 1 ? carrier->out.data : carrier->in.data;
	size_t offset = take(input, 4) % SIZE;
	size_t count = take(input, 2);

	count = count < SIZE - offset ? count : SIZE - offset;
	count = count < input->size ? count : input->size;
	memcpy(data + offset, input->data, count);
	input->data += count;
	input->size -= count;
}

static void write_length(struct carrier *carrier, struct input *input)
{
	uint32_t offset = (carrier->in.own + (uint32_t)take(input, 2) * 8) % SIZE;
	uint32_t length = (uint32_t)take(input, 4);

	memcpy(carrier->in.data + offset, &length, sizeof length);
}

static _Atomic uint32_t *index_of(struct carrier *carrier, unsigned which)
{
	struct gcl_ring_shared *shared = &carrier->shared[which & 1];

	switch (which >> 1 & 3) {
	case 0:
		return &shared->head;
	case 1:
		return &shared->tail;
	case 2:
		return &shared->consumer_sleeps;
	default:
		return &shared->producer_sleeps;
	}
}

static void peer_sends(struct carrier *carrier, struct input *input)
{
	struct gcl_frame head = {0};
	size_t size;
	void *body;

	head.number = (uint16_t)take(input, 1);
	head.flags = (uint16_t)take(input, 1);
	head.sequence = carrier->channel.received + (int8_t)take(input, 1) + 1;
	head.payload_offset = take(input, 4);
	head.payload_size = take(input, 4);
	size = take(input, 2);
	if (gcl_ring_reserve(&carrier->peer_out, size, &body) == 0)
		gcl_ring_commit(&carrier->peer_out, &head, size);
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
	if (n != 1)
		return;
	REQUIRE(head.length >= sizeof head && head.length <= GCL_FRAME_MAX);
	REQUIRE(!(head.flags & ~GCL_FRAME_FLAGS));
	REQUIRE(head.sequence && head.sequence == channel->received);
	REQUIRE(head.payload_size <= HEAP && (!head.payload_size || head.payload_offset < HEAP));
	REQUIRE(channel->part_received <= GCL_MESSAGE_MAX);
}

static void commit(struct carrier *carrier, size_t size)
{
	struct gcl_frame head = {.number = 1};

	if (!carrier->room)
		return;
	memset(carrier->room, 0xa5, carrier->reserved);
	gcl_channel_commit(&carrier->channel, &head, size % (carrier->reserved + 1));
	carrier->room = NULL;
}

static void reserve(struct carrier *carrier, size_t size)
{
	void *room = NULL;
	int err = gcl_channel_reserve(&carrier->channel, size, &room);

	REQUIRE(err == 0 || err == -EAGAIN || err == -EPIPE || err == -EMSGSIZE);
	REQUIRE((err == -EMSGSIZE) == (size > GCL_FRAME_BODY_MAX));
	carrier->room = room;
	carrier->reserved = size;
}

static void sent(struct carrier *carrier, size_t size)
{
	static uint8_t body[200000];
	struct gcl_frame head = {.number = 2};
	int64_t n = gcl_channel_send(&carrier->channel, &head, body, size % sizeof body, 0);

	REQUIRE(n == (int64_t)carrier->channel.sent || n == -EAGAIN || n == -EPIPE ||
		n == -ETIMEDOUT);
	carrier->room = NULL;
}

static void step(struct carrier *carrier, struct input *input)
{
	struct gcl_frame head;
	_Atomic uint32_t *index;
	bool wake = false;

	switch ((enum step)(take(input, 1) % STEPS)) {
	case STEP_WRITE_DATA:
		write_data(carrier, input);
		break;
	case STEP_WRITE_LENGTH:
		write_length(carrier, input);
		break;
	case STEP_WRITE_INDEX:
		index = index_of(carrier, (unsigned)take(input, 1));
		*index = (uint32_t)take(input, 4);
		break;
	case STEP_MOVE_INDEX:
		index = index_of(carrier, (unsigned)take(input, 1));
		*index += (uint32_t)((int16_t)take(input, 2) * 8);
		break;
	case STEP_PEER_SENDS:
		peer_sends(carrier, input);
		break;
	case STEP_PEER_RECEIVES:
		gcl_ring_receive(&carrier->peer_in, &head, carrier->body, GCL_FRAME_BODY_MAX,
				 &wake);
		break;
	case STEP_RECEIVE:
		receive(carrier);
		break;
	case STEP_RESERVE:
		reserve(carrier, take(input, 3));
		break;
	case STEP_COMMIT:
		commit(carrier, take(input, 2));
		break;
	case STEP_SEND:
		sent(carrier, take(input, 3));
		break;
	case STEP_SLEEP:
		if (take(input, 1) & 1)
			gcl_ring_sleep_begin(&carrier->out, true);
		else
			gcl_ring_sleep_begin(&carrier->in, false);
		break;
	case STEPS:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct carrier carrier;
	struct input input = {data, size};

	carrier_reset(&carrier, (uint32_t)take(&input, 4));
	for (unsigned i = 0; i < STEPS_MAX && input.size; i++)
		step(&carrier, &input);
	return 0;
}
