// SPDX-License-Identifier: MIT
/*
 * Fuzzing the tunnel that carries a stream channel through TLS.
 *
 * An input is a list of steps of two honest sides (bytes into one, over the wire in pieces, out of
 * the other, the connection dropped and made again), or of one side and a hostile other one, which
 * says what it likes. Between honest sides every byte arrives once and in order; a hostile one gets
 * -EPROTO, and touches no memory but the rings.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "tunnel.h"

#define WIRE	   (1u << 20)
#define STEPS_MAX  256
#define GIVEN_MAX  (2u << 20) /* of the stream, so that an input doesn't take long */
#define REQUIRE(c) ((c) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum step {
	STEP_FILL,    /* which side, how much: its plain socket gives bytes */
	STEP_SEND,    /* which side: its next chunk goes on the wire */
	STEP_RECEIVE, /* which side, how much of the wire */
	STEP_DELIVER, /* which side, how much: its plain socket takes bytes */
	STEP_END,     /* which side: its plain socket ends */
	STEP_DROP,    /* what is on the wire is lost */
	STEP_RAW,     /* bytes to the first side, which is not honest any more */
	STEP_CHUNK,   /* the same, of the form of a chunk */
	STEPS
};

struct side {
	struct gcl_tunnel tunnel;
	uint8_t *wire; /* to it */
	size_t from, to;
	uint64_t given, taken; /* of the stream */
	bool dead;
};

struct input {
	const uint8_t *data;
	size_t size;
};

struct pair {
	struct side sides[2];
	bool honest;
};

static uint64_t take(struct input *input, size_t bytes)
{
	uint64_t value = 0;

	bytes = GCL_MIN(bytes, input->size);
	memcpy(&value, input->data, bytes);
	input->data += bytes;
	input->size -= bytes;
	return value;
}

/* Of each direction, as far as it is told apart. */
static uint8_t byte_at(unsigned side, uint64_t position)
{
	return (uint8_t)(position * 31 + (position >> 8) * 7 + side);
}

static void wire_put(struct side *to, const uint8_t *data, size_t size)
{
	if (to->from == to->to)
		to->from = to->to = 0;
	REQUIRE(size <= WIRE - to->to);
	memcpy(to->wire + to->to, data, size);
	to->to += size;
}

static void fill(struct pair *pair, unsigned side, size_t size)
{
	struct side *one = &pair->sides[side];
	struct iovec iov[2];
	int count = one->given < GIVEN_MAX ? gcl_tunnel_room(&one->tunnel, iov) : 0;

	for (int i = 0; i < count && size; i++) {
		size_t part = GCL_MIN(size, iov[i].iov_len);

		for (size_t k = 0; k < part; k++)
			((uint8_t *)iov[i].iov_base)[k] = byte_at(side, one->given + k);
		one->given += part;
		size -= part;
		gcl_tunnel_filled(&one->tunnel, part);
	}
}

static void send_one(struct pair *pair, unsigned side)
{
	static uint8_t data[GCL_TUNNEL_OUTPUT_MAX];
	struct side *other = &pair->sides[!side];
	size_t size;

	if (WIRE - (other->to - other->from) < sizeof data)
		return;
	memmove(other->wire, other->wire + other->from, other->to - other->from);
	other->to -= other->from;
	other->from = 0;
	size = gcl_tunnel_output(&pair->sides[side].tunnel, data);
	REQUIRE(size <= sizeof data);
	if (!other->dead)
		wire_put(other, data, size);
}

static void receive(struct pair *pair, unsigned side, size_t size)
{
	struct side *one = &pair->sides[side];
	const struct gcl_tunnel_state *state = one->tunnel.state;
	size_t part = GCL_MIN(size, one->to - one->from);
	int err;

	if (one->dead)
		return;
	err = gcl_tunnel_input(&one->tunnel, one->wire + one->from, part);
	one->from += part;
	REQUIRE(err == 0 || err == -EPROTO);
	REQUIRE(err == 0 || !pair->honest);
	one->dead = err;
	REQUIRE(state->in_end - state->in_begin <= GCL_TUNNEL_WINDOW);
	REQUIRE(state->out_end - state->out_begin <= GCL_TUNNEL_WINDOW);
}

static void deliver(struct pair *pair, unsigned side, size_t size)
{
	struct side *one = &pair->sides[side];
	struct iovec iov[2];
	int count = gcl_tunnel_ready(&one->tunnel, iov);

	for (int i = 0; i < count && size; i++) {
		size_t part = GCL_MIN(size, iov[i].iov_len);

		for (size_t k = 0; pair->honest && k < part; k++)
			REQUIRE(((uint8_t *)iov[i].iov_base)[k] == byte_at(!side, one->taken + k));
		one->taken += part;
		size -= part;
		gcl_tunnel_delivered(&one->tunnel, part);
	}
}

static void drop(struct pair *pair)
{
	uint64_t received[2];

	if (!pair->honest)
		return;
	for (unsigned i = 0; i < 2; i++) {
		pair->sides[i].from = pair->sides[i].to = 0;
		received[i] = pair->sides[i].tunnel.state->in_end;
	}
	for (unsigned i = 0; i < 2; i++)
		REQUIRE(gcl_tunnel_connected(&pair->sides[i].tunnel, GCL_TUNNEL_WINDOW,
					     received[!i]) == 0);
}

static void raw(struct pair *pair, struct input *input, bool chunk)
{
	size_t size = take(input, 2);
	struct gcl_chunk head = {.kind = 0};

	pair->honest = false;
	pair->sides[0].from = pair->sides[0].to = 0;
	if (chunk) {
		head.kind = (uint16_t)take(input, 1) % 6;
		head.zero = (uint16_t)(take(input, 1) == 255);
		head.size = (uint32_t)take(input, 3);
		wire_put(&pair->sides[0], (const uint8_t *)&head, sizeof head);
	}
	size = GCL_MIN(size, input->size);
	wire_put(&pair->sides[0], input->data, size);
	input->data += size;
	input->size -= size;
}

static void step(struct pair *pair, struct input *input)
{
	uint8_t word = (uint8_t)take(input, 1);
	unsigned side = word >> 7;

	switch ((enum step)(word % 128 % STEPS)) {
	case STEP_FILL:
		fill(pair, side, take(input, 1) << take(input, 1) % 12);
		break;
	case STEP_SEND:
		send_one(pair, side);
		break;
	case STEP_RECEIVE:
		receive(pair, side, take(input, 3));
		break;
	case STEP_DELIVER:
		deliver(pair, side, take(input, 3));
		break;
	case STEP_END:
		gcl_tunnel_plain_ended(&pair->sides[side].tunnel);
		break;
	case STEP_DROP:
		drop(pair);
		break;
	case STEP_RAW:
		raw(pair, input, false);
		break;
	case STEP_CHUNK:
		raw(pair, input, true);
		break;
	case STEPS:
		break;
	}
}

/* Everything that is under way arrives. */
static void finish(struct pair *pair)
{
	bool moved = true;

	while (moved) {
		moved = false;
		for (unsigned i = 0; i < 2; i++) {
			uint64_t before = pair->sides[i].taken + pair->sides[!i].to;

			send_one(pair, !i);
			receive(pair, i, SIZE_MAX);
			deliver(pair, i, SIZE_MAX);
			moved |= pair->sides[i].taken + pair->sides[!i].to != before;
		}
	}
	for (unsigned i = 0; i < 2; i++)
		REQUIRE(pair->sides[i].taken == pair->sides[!i].given);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pair pair;
	struct input input = {data, size};
	unsigned packings = size && data[size - 1] & 1 ? gcl_tunnel_packings() : 0;

	pair.honest = true;
	for (unsigned i = 0; i < 2; i++) {
		struct side *side = &pair.sides[i];

		if (!side->wire)
			side->wire = malloc(WIRE);
		side->from = side->to = 0;
		side->given = side->taken = 0;
		side->dead = false;
		REQUIRE(side->wire && gcl_tunnel_init(&side->tunnel, -1) == 0);
		side->tunnel.packings = packings;
		REQUIRE(gcl_tunnel_window(&side->tunnel,
					  i ? GCL_TUNNEL_WINDOW_MIN : GCL_TUNNEL_WINDOW) == 0);
	}
	for (unsigned i = 0; i < STEPS_MAX && input.size; i++)
		step(&pair, &input);
	if (pair.honest)
		finish(&pair);
	for (unsigned i = 0; i < 2; i++)
		gcl_tunnel_fini(&pair.sides[i].tunnel);
	return 0;
}
