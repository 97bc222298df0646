/* SPDX-License-Identifier: MIT */
/*
 * Notes: what broker and worker say to each other while a guest is served.
 *
 * They travel on the socketpair of handover.h, which keeps the bounds of messages, once the guest
 * was passed to the worker. The worker's watch thread takes those of the broker, so a worker whose
 * session thread is stuck hears them too. A note that is malformed, or that nobody expects, ends
 * the worker that sent it.
 */
#ifndef GCL_NOTE_H
#define GCL_NOTE_H

#include <stdint.h>

/* NOTE(constant, name): to the worker, and to the broker. Numbers are not kept from version to
 * version: both ends come from one build. */
#define GCL_NOTES_TO_WORKER(NOTE)                                                                  \
	NOTE(MEMORY_GRANT, memory_grant)   /* the answer: value: bytes more of device, or 0 */     \
	NOTE(MEMORY_SHRINK, memory_shrink) /* give back what isn't used of device's */             \
	NOTE(MEMORY_LIMIT, memory_limit)   /* value: bytes of each device; 0: no limit */          \
	NOTE(END, end)			   /* device: enum gcl_end_reason; value: the limit */     \
	NOTE(LEASE_END, lease_end)	   /* device isn't the session's alone any more: look */   \
	NOTE(MOVE, move) /* value: id of a command queue, 0: all; to the device of a server whose  \
			    number among its devices is device; extra: see move.h; with a          \
			    descriptor, the stream to a new session there, unless the worker has   \
			    a session for that place */                                            \
	NOTE(MOVE_HOME, move_home) /* value: id of a command queue, 0: all of those away */

#define GCL_NOTES_TO_BROKER(NOTE)                                                                  \
	NOTE(MEMORY_WANT, memory_want) /* value: bytes more of device */                           \
	NOTE(MEMORY_GIVE, memory_give) /* value: bytes of device that are given back */            \
	NOTE(MEMORY_HELD, memory_held) /* value: bytes of device, when the first limit came */     \
	NOTE(END_WANT, end_want)       /* as END: what the worker has found out */                 \
	NOTE(LEASE_WANT, lease_want)   /* there is something to do for device */                   \
	NOTE(LEASE_DONE, lease_done)   /* device is given back; value: 1: and wanted again */      \
	NOTE(MOVED, moved) /* the answer to MOVE and MOVE_HOME: device: enum gcl_move_result;      \
			      value: of its text */                                                \
	NOTE(PLACE_LEFT, place_left) /* nothing is left of the session at that place: value */

enum gcl_note_type {
	GCL_NOTE_NONE,
#define GCL_NOTE_CONSTANT(constant, name) GCL_NOTE_##constant,
	GCL_NOTES_TO_WORKER(GCL_NOTE_CONSTANT) GCL_NOTES_TO_BROKER(GCL_NOTE_CONSTANT)
#undef GCL_NOTE_CONSTANT
		GCL_NOTE_LIMIT
};

struct gcl_note {
	uint32_t type;	 /* enum gcl_note_type */
	uint32_t device; /* index in the page, where one is meant */
	uint64_t value;
	uint64_t extra;
};

#endif
