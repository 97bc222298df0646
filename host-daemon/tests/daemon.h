/* SPDX-License-Identifier: MIT */
/*
 * For tests: a guestcld in a folder of its own, with fake workers, and guests for it.
 *
 * GUESTCLD and FAKE_WORKER_PROGRAM in the environment name the programs. All functions fail the
 * test themselves.
 */
#ifndef GCL_TESTS_DAEMON_H
#define GCL_TESTS_DAEMON_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "channel.h"
#include "local.h"
#include "test.h"

struct daemon {
	pid_t pid;
	char folder[64];
	char socket[96];
	char log[96];
	char plan[96]; /* what the fake worker does */
	char config[96];
};

/** daemon_init() - make the folder; workers will follow @plan. fini kills and removes. */
void daemon_init(struct daemon *daemon, const char *plan);
void daemon_fini(struct daemon *daemon);

/** daemon_plan() - what workers that start from now on do. */
void daemon_plan(const struct daemon *daemon, const char *plan);

/** daemon_config() - write the configuration file. */
void daemon_config(const struct daemon *daemon, const char *text);

/** daemon_start() - start guestcld with the arguments (a NULL-terminated list of --set pairs). */
void daemon_start(struct daemon *daemon, const char *const *settings);

/** daemon_start_ready() - daemon_init() and daemon_start(), until it says that it is ready. */
void daemon_start_ready(struct daemon *daemon, const char *plan, const char *const *settings);

/** daemon_wait() - wait for the daemon's end. Return: its wait status. */
int daemon_wait(struct daemon *daemon, unsigned timeout_ms);

/** daemon_stop() - SIGTERM; it must end with 0 within @timeout_ms and leave no socket behind. */
void daemon_stop(struct daemon *daemon, unsigned timeout_ms);

/** daemon_expect() - wait until the log has @text. */
void daemon_expect(const struct daemon *daemon, const char *text);

/** daemon_log_count() - how often the log has @text. */
unsigned daemon_log_count(const struct daemon *daemon, const char *text);

/** daemon_starts() - how many workers were started so far. */
unsigned daemon_starts(const struct daemon *daemon);

/** daemon_files() - number of descriptors that the daemon has open. */
unsigned daemon_files(const struct daemon *daemon);

/** daemon_files_settled() - the same, once it has not changed for a moment: starting a worker or
 * looking through a cache takes some that are given back. */
unsigned daemon_files_settled(const struct daemon *daemon);

/** daemon_children() - number of its worker processes. */
unsigned daemon_children(const struct daemon *daemon);

/** daemon_cpu_ms() - CPU time used so far. */
unsigned daemon_cpu_ms(const struct daemon *daemon);

/** guest_connect() - a guest that must be let in. */
struct gcl_channel *guest_connect(const struct daemon *daemon);

/** guest_refused() - a guest that must be refused, with @text in the reason. */
void guest_refused(const struct daemon *daemon, const char *text);

/** guest_socket() - a bare connection. */
int guest_socket(const struct daemon *daemon);

/** guest_reply() - wait for the daemon's answer on a bare connection: its status, -1 at its end. */
int guest_reply(int conn, char *text, size_t size);

void sleep_ms(unsigned ms);

/** now_ms() - CLOCK_MONOTONIC. */
int64_t now_ms(void);

/* A busy machine is slow. */
#define PATIENCE_MS 60000

/** eventually() - run @condition again until it is true, for a while. */
#define eventually(condition)                                                                      \
	do {                                                                                       \
		const int64_t start_ = now_ms();                                                   \
		bool met_;                                                                         \
                                                                                                   \
		/* Asked once more it may be false again. */                                       \
		while (!(met_ = (condition)) && now_ms() - start_ < PATIENCE_MS)                   \
			sleep_ms(5);                                                               \
		if (!met_)                                                                         \
			fail_msg("not in time: %s", #condition);                                   \
	} while (0)

#endif
