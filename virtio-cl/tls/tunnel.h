/* SPDX-License-Identifier: MIT */
/*
 * A tunnel: the bytes of one stream channel, both ways, over connections that may drop.
 *
 * Theory of operation. On each side a relay stands between a plain socket, which the stream channel
 * uses as it does any other, and the network. What it takes from the plain socket it keeps until
 * the other side has handed it on; what comes from the network it keeps until the plain socket
 * takes it. Both lie in rings of a fixed size, and every byte has a number from the stream's
 * beginning, so that after a dropped connection each side says how far it has got and the other
 * goes on there: nothing is lost, and nothing comes twice.
 *
 * On the wire, inside TLS, the client says struct gcl_tunnel_open, the server struct
 * gcl_tunnel_welcome; behind these come chunks both ways. A client that begins need not wait for
 * the welcome. A chunk has at most GCL_TUNNEL_CHUNK bytes of the stream. An acknowledgement says up
 * to where bytes were handed on, and by that, with the window of the one who sends it, how far the
 * other may go: these are the credits.
 *
 * All fields are little-endian. What breaks the rules ends the tunnel.
 *
 * Here is what one side knows, and nothing that blocks or talks: bytes go in and come out.
 */
#ifndef GCL_TUNNEL_H
#define GCL_TUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define GCL_TUNNEL_MAGIC   0x314c4e55544c4347ull /* "GCLTUNL1" */
#define GCL_TUNNEL_VERSION 1u
#define GCL_TUNNEL_TOKEN   16u
#define GCL_TUNNEL_CHUNK   (64u << 10)

/* What may be under way, and so what either side may have to keep. A client that has not heard the
 * server's window yet takes the least that there can be. */
#define GCL_TUNNEL_WINDOW     (16ull << 20)
#define GCL_TUNNEL_WINDOW_MIN (256ull << 10)
#define GCL_TUNNEL_WINDOW_MAX (1ull << 30)

struct gcl_tunnel_open {
	uint64_t magic;
	uint32_t version;
	uint32_t packings; /* that this side can unpack: bits of enum gcl_tunnel_packing */
	uint8_t token[GCL_TUNNEL_TOKEN]; /* zero: a new session */
	uint64_t received;		 /* bytes of the stream that have come so far */
	uint64_t window;
};

/* Ways to pack chunks; bits. */
enum gcl_tunnel_packing {
	GCL_TUNNEL_ZSTD = 1, /* each chunk is a frame of its own */
};

enum gcl_tunnel_status {
	GCL_TUNNEL_OK,
	GCL_TUNNEL_OTHER_VERSION,
	GCL_TUNNEL_GONE, /* there is no session of that token any more */
	GCL_TUNNEL_BUSY, /* try again */
};

struct gcl_tunnel_welcome {
	uint64_t magic;
	uint32_t version;
	uint32_t status; /* enum gcl_tunnel_status */
	uint8_t token[GCL_TUNNEL_TOKEN];
	uint64_t received;
	uint64_t window;
	uint32_t packings;  /* that both sides may use */
	uint32_t resume_ms; /* how long after a drop the session can be resumed */
};

enum gcl_chunk_kind {
	GCL_CHUNK_DATA = 1,   /* bytes of the stream */
	GCL_CHUNK_PACKED = 2, /* uint32_t: how many; then these, packed */
	GCL_CHUNK_ACK = 3,    /* uint64_t: all before this byte was handed on */
	GCL_CHUNK_END = 4,    /* there will be no more bytes; no body */
};

struct gcl_chunk {
	uint16_t kind;
	uint16_t zero;
	uint32_t size; /* of the body */
};

_Static_assert(sizeof(struct gcl_tunnel_open) == 48, "part of the wire format");
_Static_assert(sizeof(struct gcl_tunnel_welcome) == 56, "part of the wire format");
_Static_assert(sizeof(struct gcl_chunk) == 8, "part of the wire format");

/* Who packs sends what didn't get smaller as it is. */
#define GCL_TUNNEL_BODY_MAX   GCL_TUNNEL_CHUNK
#define GCL_TUNNEL_OUTPUT_MAX (2 * sizeof(struct gcl_chunk) + 8 + GCL_TUNNEL_BODY_MAX)

/*
 * What outlives a connection, and (in a memfd) the process that serves it: positions, and behind
 * the struct the two rings. Of a session's own processes; whoever takes it over checks it.
 */
struct gcl_tunnel_state {
	uint8_t token[GCL_TUNNEL_TOKEN];
	uint64_t out_begin; /* the other side has handed on all before this */
	uint64_t out_end;   /* the plain socket gave all before this */
	uint64_t in_begin;  /* handed on to the plain socket */
	uint64_t in_end;    /* came from the other side */
	uint64_t plain_ended;
};

struct gcl_tunnel {
	struct gcl_tunnel_state *state;
	uint8_t *out, *in;  /* rings of GCL_TUNNEL_WINDOW bytes */
	uint64_t sent;	    /* of out, over this connection or one before */
	uint64_t window;    /* of the other side */
	uint64_t told;	    /* the last acknowledgement */
	bool tell;	    /* acknowledge: the other side may not know */
	bool end_sent;	    /* no more chunks but acknowledgements */
	bool ended;	    /* by the other side */
	unsigned packings;  /* that may be used for what is sent */
	unsigned pack_rest; /* chunks that are not worth trying; see pack() */
	unsigned pack_misses;
	size_t head_have, body_have;
	struct gcl_chunk head;	   /* being read */
	uint8_t *body;		   /* of chunks that are needed as a whole; GCL_TUNNEL_BODY_MAX */
	uint8_t *scratch;	   /* to pack from and unpack to; GCL_TUNNEL_CHUNK */
	struct gcl_packer *packer; /* NULL until it is needed */
};

/** gcl_tunnel_size() - of the memory behind @state. */
size_t gcl_tunnel_size(void);

/**
 * gcl_tunnel_init() - a side of a tunnel.
 * @memfd: with the state of one that goes on, or a new, empty one; lent. -1: memory of one's own
 *
 * Return: 0, -EPROTO when the state makes no sense, -errno.
 */
int gcl_tunnel_init(struct gcl_tunnel *tunnel, int memfd);
void gcl_tunnel_fini(struct gcl_tunnel *tunnel);

/**
 * gcl_tunnel_connected() - there is a connection, and nothing was sent or received over it.
 * @window: of the other side
 * @received: bytes that the other side has
 *
 * Return: 0, or -EPROTO when that can't be.
 */
int gcl_tunnel_connected(struct gcl_tunnel *tunnel, uint64_t window, uint64_t received);

/** gcl_tunnel_window() - the other side has said what its window is. Return: 0 or -EPROTO. */
int gcl_tunnel_window(struct gcl_tunnel *tunnel, uint64_t window);

/* ------------------------------------------------------------ the plain socket's side */

/** gcl_tunnel_room() - where to put what the plain socket gives. Return: how many ranges of @iov.
 */
int gcl_tunnel_room(const struct gcl_tunnel *tunnel, struct iovec iov[2]);
void gcl_tunnel_filled(struct gcl_tunnel *tunnel, size_t size);

/** gcl_tunnel_plain_ended() - the plain socket gives no more. */
void gcl_tunnel_plain_ended(struct gcl_tunnel *tunnel);

/** gcl_tunnel_ready() - what the plain socket is to get. Return: how many ranges of @iov. */
int gcl_tunnel_ready(const struct gcl_tunnel *tunnel, struct iovec iov[2]);
void gcl_tunnel_delivered(struct gcl_tunnel *tunnel, size_t size);

/* ------------------------------------------------------------ the connection's side */

/** gcl_tunnel_output() - the next bytes to send, GCL_TUNNEL_OUTPUT_MAX at most. Return: how many.
 */
size_t gcl_tunnel_output(struct gcl_tunnel *tunnel, uint8_t *data);

/** gcl_tunnel_input() - bytes that came. Return: 0, or -EPROTO. */
int gcl_tunnel_input(struct gcl_tunnel *tunnel, const uint8_t *data, size_t size);

/* ------------------------------------------------------------ packing (pack.c) */

/** gcl_tunnel_packings() - bits of what this build can pack and unpack. */
unsigned gcl_tunnel_packings(void);

struct gcl_packer *gcl_packer_create(void);
void gcl_packer_destroy(struct gcl_packer *packer);

/** gcl_packer_pack() - Return: how long it got, or 0 when it doesn't fit into @room. */
size_t gcl_packer_pack(struct gcl_packer *packer, uint8_t *to, size_t room, const uint8_t *from,
		       size_t size);

/** gcl_packer_unpack() - Return: whether it was exactly @to_size bytes. */
bool gcl_packer_unpack(struct gcl_packer *packer, uint8_t *to, size_t to_size, const uint8_t *from,
		       size_t from_size);

#endif
