/*
 * The frame: a fixed header in front of each packed message, the same on every channel.
 *
 * All fields are little-endian. A message that is longer than a frame goes as several frames
 * with the same number, sequence and payload, all but the last with GCL_FRAME_MORE, whose bodies
 * are put together. A payload is a range of the heap that belongs to the message. On channels that
 * share memory it is there already; on streams its bytes follow the frame (of the first fragment).
 */
#ifndef GCL_FRAME_H
#define GCL_FRAME_H

#include <stdint.h>

#define GCL_FRAME_MORE	0x1u	       /* the message goes on in the next frame */
#define GCL_FRAME_FLAGS GCL_FRAME_MORE /* all that a message can have; others are refused */

/*
 * Between stream carriers only, guest to worker, and never handed on: no message, but a range of
 * the heap that the guest doesn't use any more. The receiver gives the memory of its own copy back.
 * No body, no bytes that follow; number and sequence are 0.
 */
#define GCL_FRAME_TRIM 0x8000u

/*
 * Between stream carriers only, and never handed on: a sign of life, all other fields 0. Not every
 * relay between a VM and its host tells the VM of the end of a connection, so a guest that comes by
 * one asks the worker for such signs with its first frame.
 */
#define GCL_FRAME_BEAT 0x4000u

struct gcl_frame {
	uint32_t length; /* of header and body, in bytes, without padding */
	uint16_t number; /* enum gcl_message */
	uint16_t flags;
	uint64_t sequence; /* counts messages in each direction, from 1; never 0 */
	uint64_t payload_offset;
	uint64_t payload_size; /* 0: no payload */
};

_Static_assert(sizeof(struct gcl_frame) == 32, "the frame header is part of the wire format");

#define GCL_FRAME_BODY_MAX (GCL_FRAME_MAX - sizeof(struct gcl_frame))

#endif
