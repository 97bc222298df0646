/* SPDX-License-Identifier: MIT */
/*
 * For tests: the counters of a worker that has something to do, in its page.
 *
 * What it does stands in the file that FAKE_WORKER names with ".load" behind it, which is read
 * again and again: percent of the time that the device works for the session, and that this waits.
 * Each command takes FAKE_LOAD_KERNEL_MS. Without the file there is no device.
 */
#ifndef GCL_TESTS_FAKE_LOAD_H
#define GCL_TESTS_FAKE_LOAD_H

#include <stdbool.h>

#define FAKE_LOAD_KERNEL_MS 5
#define FAKE_LOAD_HELD	    (16ull << 20)
#define FAKE_LOAD_MEMORY    (1ull << 30)

/** fake_load_begin() - before the worker says that it is prepared. */
void fake_load_begin(void);

/** fake_load_go() - count what was done since the last call. @away: the session is on a server */
void fake_load_go(bool away);

#endif
