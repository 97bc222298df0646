/* SPDX-License-Identifier: MIT */
/*
 * What comes in on a stream channel: frames put together from whatever pieces the bytes come in,
 * payloads at their place in the heap.
 *
 * A frame is checked before a byte of its payload is written. Memory is bounded by the buffer; the
 * heap's is the channel's to bound.
 */
#ifndef GCL_STREAM_INPUT_H
#define GCL_STREAM_INPUT_H

#include "channel.h"
#include "stream-io.h"

/* A frame must fit, with room to read on behind it. */
#define GCL_STREAM_BUFFER (4u * GCL_FRAME_MAX)

enum gcl_stream_step {
	GCL_STREAM_STARVED, /* nothing to do until the stream has more */
	GCL_STREAM_GOES_ON, /* call again */
	GCL_STREAM_FRAME,   /* a whole frame is there, with its payload */
};

struct gcl_stream_input {
	struct gcl_stream_io *io;    /* lent */
	struct gcl_channel *channel; /* lent: what frames are checked against */
	bool trims;		     /* the peer may give heap memory back */
	bool whole;		     /* the frame is complete */
	bool begun;		     /* head is valid, its body is complete, its payload comes in */
	bool bad;		     /* head breaks the rules; its body and payload are not read */
	bool short_read;	     /* the last read took all there was */
	bool ended;		     /* the peer will send no more */
	bool heard;		     /* something was read; the reader clears it */
	unsigned beats;		     /* signs of life that came in, wrapping */
	struct gcl_frame head;
	uint64_t payload_done;
	size_t begin; /* of the frame in the buffer */
	size_t next;  /* of what comes behind it */
	size_t end;   /* of what was read */
	uint8_t buffer[GCL_STREAM_BUFFER];
};

void gcl_stream_input_init(struct gcl_stream_input *input, struct gcl_stream_io *io,
			   struct gcl_channel *channel, bool trims);

/** gcl_stream_input_step() - go on with the next frame, with at most one read from the stream.
 * Return: enum gcl_stream_step, -EPIPE at the stream's end, -EPROTO, or -errno. */
int gcl_stream_input_step(struct gcl_stream_input *input);

/** gcl_stream_input_take() - copy the whole frame out. Return: 1, or -EPROTO when it is longer than
 * @body_max. */
int gcl_stream_input_take(struct gcl_stream_input *input, struct gcl_frame *head, void *body,
			  size_t body_max);

#endif
