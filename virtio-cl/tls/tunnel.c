// SPDX-License-Identifier: MIT
/*
 * The books of a tunnel.
 *
 * Must not: block, trust a number of the other side's, or one of a state that another process had.
 */
#include "tunnel.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define WINDOW	   GCL_TUNNEL_WINDOW
#define STATE_ROOM 4096u /* the rings begin at a page */

/* So much is handed on without an acknowledgement, unless something is sent anyway. */
#define ACK_BYTES (256u << 10)

/* What is smaller is not worth packing. What doesn't get smaller by a sixteenth is sent as it is,
 * and so are the next chunks, more of them each time that this happens. */
#define PACK_MIN	1024u
#define PACK_MISSES_MAX 6u

_Static_assert(sizeof(struct gcl_tunnel_state) <= STATE_ROOM, "there is room for it");
_Static_assert((WINDOW & (WINDOW - 1)) == 0, "positions wrap with it");
_Static_assert(ACK_BYTES <= GCL_TUNNEL_WINDOW_MIN, "who waits for credits gets them");

size_t gcl_tunnel_size(void)
{
	return STATE_ROOM + 2 * WINDOW;
}

static bool range_valid(uint64_t begin, uint64_t end)
{
	return begin <= end && end - begin <= WINDOW;
}

static int memory_map(struct gcl_tunnel *tunnel, int memfd)
{
	int flags = memfd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
	struct stat st;
	uint8_t *data;

	if (memfd >= 0 && (fstat(memfd, &st) < 0 || st.st_size != (off_t)gcl_tunnel_size()))
		return -EPROTO;
	data = mmap(NULL, gcl_tunnel_size(), PROT_READ | PROT_WRITE, flags, memfd, 0);
	if (data == MAP_FAILED)
		return -errno;
	tunnel->state = (struct gcl_tunnel_state *)(void *)data;
	tunnel->out = data + STATE_ROOM;
	tunnel->in = tunnel->out + WINDOW;
	return 0;
}

int gcl_tunnel_init(struct gcl_tunnel *tunnel, int memfd)
{
	const struct gcl_tunnel_state *state;
	int err;

	*tunnel = (struct gcl_tunnel){.window = GCL_TUNNEL_WINDOW_MIN};
	err = memory_map(tunnel, memfd);
	if (err)
		return err;
	tunnel->body = malloc(GCL_TUNNEL_BODY_MAX);
	tunnel->scratch = malloc(GCL_TUNNEL_CHUNK);
	state = tunnel->state;
	if (!tunnel->body || !tunnel->scratch)
		err = -ENOMEM;
	else if (!range_valid(state->out_begin, state->out_end) ||
		 !range_valid(state->in_begin, state->in_end))
		err = -EPROTO;
	if (err)
		gcl_tunnel_fini(tunnel);
	return err;
}

void gcl_tunnel_fini(struct gcl_tunnel *tunnel)
{
	if (tunnel->state)
		munmap(tunnel->state, gcl_tunnel_size());
	free(tunnel->body);
	free(tunnel->scratch);
	gcl_packer_destroy(tunnel->packer);
	*tunnel = (struct gcl_tunnel){0};
}

int gcl_tunnel_window(struct gcl_tunnel *tunnel, uint64_t window)
{
	if (window < GCL_TUNNEL_WINDOW_MIN || window > GCL_TUNNEL_WINDOW_MAX)
		return -EPROTO;
	tunnel->window = window;
	return 0;
}

int gcl_tunnel_connected(struct gcl_tunnel *tunnel, uint64_t window, uint64_t received)
{
	const struct gcl_tunnel_state *state = tunnel->state;

	if (received < state->out_begin || received > state->out_end ||
	    gcl_tunnel_window(tunnel, window) < 0)
		return -EPROTO;
	tunnel->sent = received;
	tunnel->told = state->in_begin;
	tunnel->tell = true; /* the last may have been lost */
	tunnel->end_sent = tunnel->ended = false;
	tunnel->head_have = tunnel->body_have = 0;
	return 0;
}

/* ------------------------------------------------------------ rings */

/* The bytes from @from to @to of a ring. */
static int ring_ranges(uint8_t *ring, uint64_t from, uint64_t to, struct iovec iov[2])
{
	size_t at = from & (WINDOW - 1), size = (size_t)(to - from);
	size_t first = GCL_MIN(size, (size_t)(WINDOW - at));

	if (size == 0)
		return 0;
	iov[0].iov_base = ring + at;
	iov[0].iov_len = first;
	iov[1].iov_base = ring;
	iov[1].iov_len = size - first;
	return first == size ? 1 : 2;
}

static void ring_put(uint8_t *ring, uint64_t at, const uint8_t *data, size_t size)
{
	struct iovec iov[2] = {{0}};
	int count = ring_ranges(ring, at, at + size, iov);

	for (int i = 0; i < count; i++) {
		memcpy(iov[i].iov_base, data, iov[i].iov_len);
		data += iov[i].iov_len;
	}
}

static void ring_get(uint8_t *ring, uint64_t at, uint8_t *data, size_t size)
{
	struct iovec iov[2] = {{0}};
	int count = ring_ranges(ring, at, at + size, iov);

	for (int i = 0; i < count; i++) {
		memcpy(data, iov[i].iov_base, iov[i].iov_len);
		data += iov[i].iov_len;
	}
}

/* ------------------------------------------------------------ the plain socket's side */

int gcl_tunnel_room(const struct gcl_tunnel *tunnel, struct iovec iov[2])
{
	const struct gcl_tunnel_state *state = tunnel->state;

	if (state->plain_ended)
		return 0;
	return ring_ranges(tunnel->out, state->out_end, state->out_begin + WINDOW, iov);
}

void gcl_tunnel_filled(struct gcl_tunnel *tunnel, size_t size)
{
	tunnel->state->out_end += size;
}

void gcl_tunnel_plain_ended(struct gcl_tunnel *tunnel)
{
	tunnel->state->plain_ended = true;
}

int gcl_tunnel_ready(const struct gcl_tunnel *tunnel, struct iovec iov[2])
{
	return ring_ranges(tunnel->in, tunnel->state->in_begin, tunnel->state->in_end, iov);
}

void gcl_tunnel_delivered(struct gcl_tunnel *tunnel, size_t size)
{
	tunnel->state->in_begin += size;
}

/* ------------------------------------------------------------ what is sent */

static size_t chunk_put(uint8_t *data, enum gcl_chunk_kind kind, size_t size)
{
	const struct gcl_chunk head = {.kind = (uint16_t)kind, .size = (uint32_t)size};

	memcpy(data, &head, sizeof head);
	return sizeof head + size;
}

/* How much of the stream the next chunk may have. */
static size_t sendable(const struct gcl_tunnel *tunnel)
{
	const struct gcl_tunnel_state *state = tunnel->state;
	uint64_t to = GCL_MIN(state->out_end, state->out_begin + tunnel->window);

	if (to <= tunnel->sent)
		return 0;
	return (size_t)GCL_MIN(to - tunnel->sent, (uint64_t)GCL_TUNNEL_CHUNK);
}

static bool packer_ready(struct gcl_tunnel *tunnel)
{
	if (!tunnel->packer)
		tunnel->packer = gcl_packer_create();
	return tunnel->packer;
}

/* A chunk with the next @size bytes, packed. Return: how long it is, or 0: send them as they are.
 */
static size_t pack(struct gcl_tunnel *tunnel, uint8_t *data, size_t size)
{
	uint8_t *body = data + sizeof(struct gcl_chunk);
	uint32_t whole = (uint32_t)size;
	size_t packed;

	if (!tunnel->packings || size < PACK_MIN)
		return 0;
	if (tunnel->pack_rest) {
		tunnel->pack_rest--;
		return 0;
	}
	if (!packer_ready(tunnel))
		return 0;
	ring_get(tunnel->out, tunnel->sent, tunnel->scratch, size);
	packed = gcl_packer_pack(tunnel->packer, body + sizeof whole,
				 size - size / 16 - sizeof whole, tunnel->scratch, size);
	if (!packed) {
		if (tunnel->pack_misses < PACK_MISSES_MAX)
			tunnel->pack_misses++;
		tunnel->pack_rest = 1u << tunnel->pack_misses;
		return 0;
	}
	tunnel->pack_misses = 0;
	memcpy(body, &whole, sizeof whole);
	return chunk_put(data, GCL_CHUNK_PACKED, sizeof whole + packed);
}

static size_t plain(struct gcl_tunnel *tunnel, uint8_t *data, size_t size)
{
	ring_get(tunnel->out, tunnel->sent, data + sizeof(struct gcl_chunk), size);
	return chunk_put(data, GCL_CHUNK_DATA, size);
}

size_t gcl_tunnel_output(struct gcl_tunnel *tunnel, uint8_t *data)
{
	const struct gcl_tunnel_state *state = tunnel->state;
	size_t size = sendable(tunnel), used = 0;
	uint64_t untold = state->in_begin - tunnel->told;

	if (tunnel->tell || (untold && (size || untold >= ACK_BYTES))) {
		memcpy(data + sizeof(struct gcl_chunk), &state->in_begin, sizeof state->in_begin);
		used = chunk_put(data, GCL_CHUNK_ACK, sizeof state->in_begin);
		tunnel->told = state->in_begin;
		tunnel->tell = false;
	}
	if (size) {
		size_t packed = pack(tunnel, data + used, size);

		used += packed ? packed : plain(tunnel, data + used, size);
		tunnel->sent += size;
	} else if (state->plain_ended && tunnel->sent == state->out_end && !tunnel->end_sent) {
		used += chunk_put(data + used, GCL_CHUNK_END, 0);
		tunnel->end_sent = true;
	}
	return used;
}

/* ------------------------------------------------------------ what comes */

static int data_take(struct gcl_tunnel *tunnel, const uint8_t *data, size_t size)
{
	struct gcl_tunnel_state *state = tunnel->state;

	if (state->in_end + size - state->in_begin > WINDOW)
		return -EPROTO;
	ring_put(tunnel->in, state->in_end, data, size);
	state->in_end += size;
	return 0;
}

static int ack_take(struct gcl_tunnel *tunnel, uint64_t position)
{
	struct gcl_tunnel_state *state = tunnel->state;

	if (position < state->out_begin || position > tunnel->sent)
		return -EPROTO;
	state->out_begin = position;
	return 0;
}

/* Of @size bytes; the body has them packed. */
static int packed_take(struct gcl_tunnel *tunnel)
{
	size_t packed = tunnel->head.size - sizeof(uint32_t);
	uint32_t size;

	memcpy(&size, tunnel->body, sizeof size);
	if (size == 0 || size > GCL_TUNNEL_CHUNK || !packer_ready(tunnel) ||
	    !gcl_packer_unpack(tunnel->packer, tunnel->scratch, size, tunnel->body + sizeof size,
			       packed))
		return -EPROTO;
	return data_take(tunnel, tunnel->scratch, size);
}

/* The head is there. Return: 0, or -EPROTO when there can be no such chunk now. */
static int head_check(const struct gcl_tunnel *tunnel)
{
	const struct gcl_chunk *head = &tunnel->head;
	bool good = false;

	switch (head->kind) {
	case GCL_CHUNK_DATA:
		good = !tunnel->ended && head->size > 0 && head->size <= GCL_TUNNEL_CHUNK;
		break;
	case GCL_CHUNK_PACKED:
		good = !tunnel->ended && tunnel->packings && head->size > sizeof(uint32_t) &&
		       head->size <= GCL_TUNNEL_BODY_MAX;
		break;
	case GCL_CHUNK_ACK:
		good = head->size == sizeof(uint64_t);
		break;
	case GCL_CHUNK_END:
		good = !tunnel->ended && head->size == 0;
		break;
	default:
		break;
	}
	return good && !head->zero ? 0 : -EPROTO;
}

/* The body is there, of a chunk that is needed as a whole. */
static int body_take(struct gcl_tunnel *tunnel)
{
	uint64_t position;

	switch (tunnel->head.kind) {
	case GCL_CHUNK_ACK:
		memcpy(&position, tunnel->body, sizeof position);
		return ack_take(tunnel, position);
	case GCL_CHUNK_PACKED:
		return packed_take(tunnel);
	case GCL_CHUNK_END:
		tunnel->ended = true;
		return 0;
	default:
		return 0; /* data went to its place as it came */
	}
}

/* Takes from the body what is there. Return: how much, or -EPROTO. */
static ssize_t body_read(struct gcl_tunnel *tunnel, const uint8_t *data, size_t size)
{
	size_t part = GCL_MIN(size, tunnel->head.size - tunnel->body_have);
	int err = 0;

	if (tunnel->head.kind == GCL_CHUNK_DATA)
		err = data_take(tunnel, data, part);
	else if (part)
		memcpy(tunnel->body + tunnel->body_have, data, part);
	tunnel->body_have += part;
	if (err == 0 && tunnel->body_have == tunnel->head.size) {
		err = body_take(tunnel);
		tunnel->head_have = tunnel->body_have = 0;
	}
	return err ? err : (ssize_t)part;
}

static size_t head_read(struct gcl_tunnel *tunnel, const uint8_t *data, size_t size)
{
	size_t part = GCL_MIN(size, sizeof tunnel->head - tunnel->head_have);

	memcpy((uint8_t *)&tunnel->head + tunnel->head_have, data, part);
	tunnel->head_have += part;
	return part;
}

int gcl_tunnel_input(struct gcl_tunnel *tunnel, const uint8_t *data, size_t size)
{
	while (size) {
		ssize_t n = (ssize_t)head_read(tunnel, data, size);

		data += n;
		size -= (size_t)n;
		if (tunnel->head_have < sizeof tunnel->head)
			return 0;
		if (tunnel->body_have == 0 && head_check(tunnel) < 0)
			return -EPROTO;
		n = body_read(tunnel, data, size);
		if (n < 0)
			return (int)n;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}
