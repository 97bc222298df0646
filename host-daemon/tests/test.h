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

#endif
