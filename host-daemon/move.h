/* SPDX-License-Identifier: MIT */
/*
 * Moves of command queues between this host and GPU servers: what broker and worker have to agree
 * on, and the texts for people.
 */
#ifndef GCL_MOVE_H
#define GCL_MOVE_H

#include <stdint.h>
#include <stdio.h>

/* RESULT(constant, kind, text): how a move ended; a NUMBER's text has the note's value in it. */
#define GCL_MOVE_RESULTS(RESULT)                                                                   \
	RESULT(DONE, PLAIN, "moved")                                                               \
	RESULT(THERE, PLAIN, "it is there already")                                                \
	RESULT(BUSY, PLAIN, "another move of this session is under way")                           \
	RESULT(NO_QUEUE, PLAIN, "the session has no such command queue")                           \
	RESULT(OFF, PLAIN, "sessions of this host can't move: name a server in its configuration") \
	RESULT(RESIDENT, PLAIN,                                                                    \
	       "its buffers are memory shared with the program: set resident-buffers = never")     \
	RESULT(PLACES, PLAIN, "its queues are on as many servers as those of a session can be")    \
	RESULT(SUB_DEVICE, PLAIN, "its queue is on a part of a device")                            \
	RESULT(LINK, PLAIN, "the server does not answer")                                          \
	RESULT(NO_DEVICE, PLAIN, "the server has no such device")                                  \
	RESULT(LACKS, NUMBER, "the server's device lacks what this one has (CL_DEVICE_* 0x%llx)")  \
	RESULT(LIMIT, NUMBER, "the server's device has a smaller limit (CL_DEVICE_* 0x%llx)")      \
	RESULT(SIZE, NUMBER, "the server's device takes no memory object of %llu bytes")           \
	RESULT(FORMAT, PLAIN, "the server's device lacks an image format that is in use")          \
	RESULT(PROGRAM, PLAIN, "a program can't be built for the server's device")                 \
	RESULT(KERNEL, NUMBER,                                                                     \
	       "a kernel's work-groups can have %llu items only on the server's "                  \
	       "device, fewer than here")                                                          \
	RESULT(MEMORY_THERE, PLAIN, "the memory there is used up")                                 \
	RESULT(MEMORY_HERE, PLAIN, "this host's memory is used up")                                \
	RESULT(WAITS, NUMBER,                                                                      \
	       "its commands wait for the program, which did not go on for %llu "                  \
	       "ms")                                                                               \
	RESULT(COPY, NUMBER, "copying failed (OpenCL error -%llu)")                                \
	RESULT(LOST, PLAIN, "the connection to the server was lost")                               \
	RESULT(INJECTED, NUMBER, "a failure that a test asked for, at step %llu")                  \
	RESULT(SVM, NUMBER, "the server can't have shared virtual memory where it is here (0x%llx)")

#define GCL_MOVE_PRINT_PLAIN(text, size, words, number)	 snprintf(text, size, words)
#define GCL_MOVE_PRINT_NUMBER(text, size, words, number) snprintf(text, size, words, number)

enum gcl_move_result {
#define GCL_MOVE_CONSTANT(constant, kind, text) GCL_MOVE_##constant,
	GCL_MOVE_RESULTS(GCL_MOVE_CONSTANT)
#undef GCL_MOVE_CONSTANT
		GCL_MOVE_RESULT_LIMIT
};

/* Longer than any text with its value. */
#define GCL_MOVE_TEXT_MAX 160u

/** gcl_move_describe() - one line: how it ended. @result and @value may be anything. */
static inline void gcl_move_describe(uint64_t result, uint64_t value, char *text, size_t size)
{
	unsigned long long number = value;

	switch (result) {
#define GCL_MOVE_CASE(constant, kind, words)                                                       \
	case GCL_MOVE_##constant:                                                                  \
		GCL_MOVE_PRINT_##kind(text, size, words, number);                                  \
		return;
		GCL_MOVE_RESULTS(GCL_MOVE_CASE)
#undef GCL_MOVE_CASE
	default:
		snprintf(text, size, "for no known reason");
	}
}

/* STEP(constant, name): where a move is. */
#define GCL_MOVE_STEPS(STEP)                                                                       \
	STEP(NONE, "none")                                                                         \
	STEP(PREPARE, "preparing") /* session there, programs */                                   \
	STEP(COPY, "copying")	   /* ahead, while the program goes on */                          \
	STEP(STOP, "stopped")	   /* the rest, while it stands */

enum gcl_move_step {
#define GCL_MOVE_STEP_CONSTANT(constant, name) GCL_MOVE_STEP_##constant,
	GCL_MOVE_STEPS(GCL_MOVE_STEP_CONSTANT)
#undef GCL_MOVE_STEP_CONSTANT
		GCL_MOVE_STEP_LIMIT
};

/* In the page; the worker's. Of the move under way, or of the last one. */
struct gcl_page_move {
	_Atomic uint32_t step;	/* enum gcl_move_step */
	_Atomic uint32_t away;	/* queues that are on servers now */
	_Atomic uint64_t bytes; /* of all that goes along */
	_Atomic uint64_t ahead; /* copied while the program went on */
	_Atomic uint64_t rest;	/* copied while it stood */
	_Atomic uint64_t rounds;
	_Atomic uint64_t took;	   /* ns, from its beginning to its end */
	_Atomic uint64_t pause;	   /* ns that the program stood */
	_Atomic uint64_t done;	   /* moves that were, in all */
	_Atomic uint64_t failed;   /* that were given up */
	_Atomic uint64_t lent;	   /* bytes that went between sides for commands, beside moves */
	_Atomic uint64_t behind;   /* copied once the program went on there; begun when it did */
	_Atomic uint32_t replay;   /* enum gcl_replay (replay.h), now */
	_Atomic uint64_t journal;  /* bytes of what could be done again here */
	_Atomic uint64_t replays;  /* servers that were lost, and it was */
	_Atomic uint64_t prepared; /* ns of @took, until it began to copy */
};

/* In a MOVE note's extra: number of the place in the low half, and with these. In a MOVE_HOME
 * note's: the place that queues leave; 0: all. */
#define GCL_MOVE_PLACE(extra) ((uint32_t)(extra))
#define GCL_MOVE_FREE	      (1ull << 32) /* give back what it had here: memory is short */

#endif
