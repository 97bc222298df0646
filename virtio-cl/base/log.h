/*
 * Log lines on stderr: "program[pid]: level: area: text", one write each.
 *
 * Nothing is formatted when the area or the level is off. GUESTCL_DEBUG holds
 * the areas whose debug lines are wanted, separated by commas, or "all".
 * Lines of one call site that a peer can provoke go through gcl_log_peer(), which is limited in
 * rate.
 */
#ifndef GCL_BASE_LOG_H
#define GCL_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#define GCL_LOG_AREAS(X)                                                                           \
	X(ring) X(call) X(mem) X(event) X(build) X(session) X(broker) X(worker) X(config) X(vm)

enum gcl_log_area {
#define GCL_LOG_AREA_ENUM(name) GCL_LOG_##name,
	GCL_LOG_AREAS(GCL_LOG_AREA_ENUM)
#undef GCL_LOG_AREA_ENUM
		GCL_LOG_AREA_COUNT
};

enum gcl_log_level { GCL_LOG_ERROR, GCL_LOG_WARN, GCL_LOG_INFO, GCL_LOG_DEBUG };

struct gcl_log_limit {
	int64_t second; /* the second (CLOCK_MONOTONIC) that @count counts */
	unsigned count;
};

/** gcl_log_init() - set the name that lines begin with and read GUESTCL_DEBUG; may be called again.
 */
void gcl_log_init(const char *program);

/** gcl_log_level_set() - the least urgent level that is printed (default GCL_LOG_INFO). */
void gcl_log_level_set(enum gcl_log_level level);

/** gcl_log_context_set() - text put in front of every line, such as "session 7"; copied, "" for
 * none. */
void gcl_log_context_set(const char *context);

bool gcl_log_enabled(enum gcl_log_level level, enum gcl_log_area area);

void gcl_log_line(enum gcl_log_level level, enum gcl_log_area area, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** gcl_log_allow() - true for the first 10 lines in each second of @limit's call site. */
bool gcl_log_allow(struct gcl_log_limit *limit);

#define gcl_log_at(level, area, ...)                                                               \
	do {                                                                                       \
		if (gcl_log_enabled(level, GCL_LOG_##area))                                        \
			gcl_log_line(level, GCL_LOG_##area, __VA_ARGS__);                          \
	} while (0)

#define gcl_log_error(area, ...) gcl_log_at(GCL_LOG_ERROR, area, __VA_ARGS__)
#define gcl_log_warn(area, ...)	 gcl_log_at(GCL_LOG_WARN, area, __VA_ARGS__)
#define gcl_log_info(area, ...)	 gcl_log_at(GCL_LOG_INFO, area, __VA_ARGS__)
#define gcl_log_debug(area, ...) gcl_log_at(GCL_LOG_DEBUG, area, __VA_ARGS__)

/* A warning about something that a peer sent. */
#define gcl_log_peer(area, ...)                                                                    \
	do {                                                                                       \
		static struct gcl_log_limit limit_;                                                \
		if (gcl_log_allow(&limit_))                                                        \
			gcl_log_warn(area, __VA_ARGS__);                                           \
	} while (0)

#endif
