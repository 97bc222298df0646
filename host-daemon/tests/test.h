/* SPDX-License-Identifier: MIT */
/*
 * For tests: cmocka and what it wants included before it.
 */
#ifndef GCL_DAEMON_TEST_H
#define GCL_DAEMON_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Of doubles: the same but for 2%. */
#define ABOUT(is, wanted) assert_in_range((is)*1e9, (wanted)*1e9 * 0.98, (wanted)*1e9 * 1.02 + 1.)

#endif
