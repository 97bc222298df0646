/*
 * For tests: cmocka and what it wants included before it.
 */
#ifndef GCL_TEST_H
#define GCL_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Whether a checker of addresses or of threads is built in: they take terabytes of address space.
 */
#if defined(__has_feature)
#define TEST_FEATURE(name) __has_feature(name)
#else
#define TEST_FEATURE(name) 0
#endif
#if defined(__SANITIZE_THREAD__) || TEST_FEATURE(thread_sanitizer)
#define TEST_THREADS_CHECKED 1
#else
#define TEST_THREADS_CHECKED 0
#endif
#if defined(__SANITIZE_ADDRESS__) || TEST_FEATURE(address_sanitizer) || TEST_THREADS_CHECKED
#define TEST_SANITIZED 1
#else
#define TEST_SANITIZED 0
#endif

/* Reproducible random numbers (xorshift64*). */
static inline uint64_t test_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

#endif
