/* SPDX-License-Identifier: MIT */
/*
 * Why guestcld ends a session before its guest does: one table for broker, worker and log.
 */
#ifndef GCL_END_H
#define GCL_END_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* END(constant, who finds out, kind of the value, text): the text names the limit; its value is put
 * behind. */
#define GCL_ENDS(END)                                                                              \
	END(OPERATOR, BROKER, NONE, "the operator of the host has ended it")                       \
	END(WORKER_TIMEOUT, BROKER, MS,                                                            \
	    "its worker has been at one call for longer than the host's worker-timeout")           \
	END(KERNEL_TIME, WORKER, MS, "a kernel has run for longer than the host's kernel-time")    \
	END(GUEST_TIMEOUT, WORKER, MS,                                                             \
	    "the program has not read what it is sent for longer than the host's guest-timeout")   \
	END(GUEST_BACKLOG, WORKER, BYTES,                                                          \
	    "the program does not read what it is sent, of which the host keeps no more than")     \
	END(BUILD_TIME, WORKER, MS, "a build has taken longer than the host's build-time")         \
	END(BUILD_MEMORY, WORKER, BYTES, "a build has taken more than the host's build-memory")    \
	END(CACHE_SIZE, BROKER, BYTES, "compiled kernels take more than the host's cache-limit")   \
	END(REVOKED, BROKER, NONE, "this machine's certificate has been revoked")

enum gcl_end_reason {
	GCL_END_NONE,
#define GCL_END_CONSTANT(constant, who, kind, text) GCL_END_##constant,
	GCL_ENDS(GCL_END_CONSTANT)
#undef GCL_END_CONSTANT
		GCL_END_LIMIT
};

/* Longer than any text with its value. */
#define GCL_END_TEXT_MAX 160u

enum gcl_end_finder { GCL_END_BY_BROKER, GCL_END_BY_WORKER };
enum gcl_end_kind { GCL_END_VALUE_NONE, GCL_END_VALUE_MS, GCL_END_VALUE_BYTES };

struct gcl_end {
	enum gcl_end_finder finder;
	enum gcl_end_kind kind;
	const char *text;
};

/** gcl_end_get() - what is known of @reason; NULL for a number that is none. */
static inline const struct gcl_end *gcl_end_get(uint64_t reason)
{
	static const struct gcl_end ends[GCL_END_LIMIT] = {
#define GCL_END_ENTRY(constant, who, value, words)                                                 \
	[GCL_END_##constant] = {GCL_END_BY_##who, GCL_END_VALUE_##value, words},
		GCL_ENDS(GCL_END_ENTRY)
#undef GCL_END_ENTRY
	};

	return reason > GCL_END_NONE && reason < GCL_END_LIMIT ? &ends[reason] : NULL;
}

/** gcl_end_describe() - one line: why, and the limit. @value: of it, in ms or bytes. */
static inline void gcl_end_describe(uint64_t reason, uint64_t value, char *text, size_t size)
{
	const struct gcl_end *end = gcl_end_get(reason);
	unsigned long long number = value;

	if (!end)
		snprintf(text, size, "for no known reason");
	else if (end->kind == GCL_END_VALUE_NONE)
		snprintf(text, size, "%s", end->text);
	else if (end->kind == GCL_END_VALUE_MS && value % 1000)
		snprintf(text, size, "%s, %llu ms", end->text, number);
	else if (end->kind == GCL_END_VALUE_MS)
		snprintf(text, size, "%s, %llu s", end->text, number / 1000);
	else if (value % (1u << 20))
		snprintf(text, size, "%s, %llu bytes", end->text, number);
	else
		snprintf(text, size, "%s, %llu MiB", end->text, number >> 20);
}

#endif
