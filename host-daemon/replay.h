/* SPDX-License-Identifier: MIT */
/*
 * Whether what queues have done at a server could be done again here if the server were lost: what
 * broker and worker have to agree on, and the texts for people.
 */
#ifndef GCL_REPLAY_H
#define GCL_REPLAY_H

#include <stdint.h>

/* REPLAY(constant, name, text) */
#define GCL_REPLAYS(REPLAY)                                                                        \
	REPLAY(NONE, "none", "no queue is away")                                                   \
	REPLAY(POSSIBLE, "possible", "it is possible")                                             \
	REPLAY(OFF, "off", "replay-memory is 0")                                                   \
	REPLAY(MEMORY, "memory", "what was done there takes more than replay-memory")              \
	REPLAY(TIME, "time", "it was at work there for longer than replay-time")                   \
	REPLAY(PLACES, "places", "its queues are or were at more than one server")                 \
	REPLAY(CONTEXTS, "contexts", "its queues there are of more than one context")              \
	REPLAY(SHARED, "shared", "contents that were used there were written or sent here since")  \
	REPLAY(BASE, "base", "contents were used there of which nothing was here")                 \
	REPLAY(SVM, "svm", "shared virtual memory was used there")                                 \
	REPLAY(PRINTS, "prints", "its kernels can print")                                          \
	REPLAY(FAILED, "failed", "a command failed there")                                         \
	REPLAY(MEMORY_HERE, "memory-here", "memory here was needed for something else")

enum gcl_replay {
#define GCL_REPLAY_CONSTANT(constant, name, text) GCL_REPLAY_##constant,
	GCL_REPLAYS(GCL_REPLAY_CONSTANT)
#undef GCL_REPLAY_CONSTANT
		GCL_REPLAY_LIMIT
};

/** gcl_replay_name() - @replay may be anything. */
static inline const char *gcl_replay_name(uint64_t replay)
{
	static const char *const names[] = {
#define GCL_REPLAY_NAME(constant, name, text) name,
		GCL_REPLAYS(GCL_REPLAY_NAME)
#undef GCL_REPLAY_NAME
	};

	return replay < GCL_REPLAY_LIMIT ? names[replay] : "unknown";
}

/** gcl_replay_text() - why it is possible, or isn't. */
static inline const char *gcl_replay_text(uint64_t replay)
{
	static const char *const texts[] = {
#define GCL_REPLAY_TEXT(constant, name, text) text,
		GCL_REPLAYS(GCL_REPLAY_TEXT)
#undef GCL_REPLAY_TEXT
	};

	return replay < GCL_REPLAY_LIMIT ? texts[replay] : "for no known reason";
}

#endif
