/*
 * Log lines on stderr.
 *
 * Must not: allocate, take locks, change errno. A line is put together on the stack and written
 * with one write(), so that lines of several threads and processes don't mix. Control characters
 * are written as '?', since part of the text may come from a peer.
 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"

#define LINE_MAX_BYTES	 1024
#define LINES_PER_SECOND 10

static const char *const area_names[] = {
#define AREA_NAME(name) [GCL_LOG_##name] = #name,
	GCL_LOG_AREAS(AREA_NAME)
#undef AREA_NAME
};
_Static_assert(GCL_ARRAY_SIZE(area_names) == GCL_LOG_AREA_COUNT, "one name for each area");
_Static_assert(GCL_LOG_AREA_COUNT <= 32, "debug_areas has a bit for each area");

static const char *const level_names[] = {
	[GCL_LOG_ERROR] = "error",
	[GCL_LOG_WARN] = "warning",
	[GCL_LOG_INFO] = "info",
	[GCL_LOG_DEBUG] = "debug",
};

static _Atomic uint32_t debug_areas;
static _Atomic int max_level = GCL_LOG_INFO;

/* Set while a process starts, before it has threads. */
static char program_name[32] = "guestcl";
static char context_text[64];

static uint32_t areas_parse(const char *list)
{
	uint32_t areas = 0;

	while (*list) {
		size_t length = strcspn(list, ",");

		if (length == 3 && strncmp(list, "all", 3) == 0)
			areas = UINT32_MAX;
		for (unsigned i = 0; i < GCL_LOG_AREA_COUNT; i++) {
			if (length == strlen(area_names[i]) &&
			    strncmp(list, area_names[i], length) == 0)
				areas |= 1u << i;
		}
		list += length;
		list += *list == ',';
	}
	return areas;
}

void gcl_log_init(const char *program)
{
	const char *list = getenv("GUESTCL_DEBUG");

	snprintf(program_name, sizeof program_name, "%s", program);
	atomic_store_explicit(&debug_areas, list ? areas_parse(list) : 0, memory_order_relaxed);
}

void gcl_log_level_set(enum gcl_log_level level)
{
	atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

void gcl_log_context_set(const char *context)
{
	snprintf(context_text, sizeof context_text, "%s", context);
}

bool gcl_log_enabled(enum gcl_log_level level, enum gcl_log_area area)
{
	if ((int)level <= atomic_load_explicit(&max_level, memory_order_relaxed))
		return true;
	return level == GCL_LOG_DEBUG &&
	       atomic_load_explicit(&debug_areas, memory_order_relaxed) >> area & 1;
}

static void line_write(char *line, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	}
	line[length++] = '\n';
	for (size_t done = 0; done < length;) {
		ssize_t n = write(STDERR_FILENO, line + done, length - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		done += (size_t)n;
	}
}

void gcl_log_line(enum gcl_log_level level, enum gcl_log_area area, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	size_t length;
	va_list args;
	int saved_errno = errno;
	int n;

	n = snprintf(line, sizeof line, "%s[%d]: %s: %s: %s%s", program_name, (int)getpid(),
		     level_names[level], area_names[area], context_text,
		     context_text[0] ? ": " : "");
	length = n > 0 ? (size_t)n : 0;
	va_start(args, fmt);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is, one line above */
	n = vsnprintf(line + length, sizeof line - length, fmt, args);
	va_end(args);
	length += n > 0 ? (size_t)n : 0;
	if (length > sizeof line - 1) {
		length = sizeof line - 1;
		memset(line + length - 3, '.', 3);
	}
	line_write(line, length);
	errno = saved_errno;
}

bool gcl_log_allow(struct gcl_log_limit *limit)
{
	struct timespec now;

	/* Threads that race here may let a line too many through, which does no harm. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (__atomic_load_n(&limit->second, __ATOMIC_RELAXED) != now.tv_sec) {
		__atomic_store_n(&limit->second, now.tv_sec, __ATOMIC_RELAXED);
		__atomic_store_n(&limit->count, 0, __ATOMIC_RELAXED);
	}
	return __atomic_fetch_add(&limit->count, 1, __ATOMIC_RELAXED) < LINES_PER_SECOND;
}
