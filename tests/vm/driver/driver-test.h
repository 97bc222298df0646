/* SPDX-License-Identifier: MIT */
/*
 * What the files of driver-test share: TAP lines, and sessions to try things on.
 *
 * A check that fails is one "not ok" line and the test goes on; what a test cannot go on without is
 * fatal.
 */
#ifndef DRIVER_TEST_H
#define DRIVER_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "virtio_cl.h"

#define COMMANDS_SIZE	 (1u << 20)
#define COMPLETIONS_SIZE (256u << 10)
#define RINGS_SIZE	 (VIRTIO_CL_PAGE + COMMANDS_SIZE + COMPLETIONS_SIZE)
#define CHUNK		 VIRTIO_CL_CHUNK
#define HEAP_SIZE	 (1ull << 30)

struct options {
	const char *path;
	uint32_t protocol;
	bool loopback; /* the host is a test's: see host.c */
	unsigned seconds;
};
extern struct options options;

struct session {
	int fd;
	uint8_t *rings; /* NULL until mapped */
	uint8_t *heap;	/* all of HEAP_SIZE */
};

/* One line of the report. */
void check(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* An ioctl has to return 0, or fail with an errno; @expected is 0 or that errno. */
void check_ioctl(int expected, int fd, unsigned long request, void *argument, const char *what);
void fatal(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

int device_open(void);
struct virtio_cl_ioc_open open_default(void);
struct session session_make(void);
void session_end(struct session *session);
uint32_t sessions_now(void);
/* Waits up to 10 s until so many sessions are left. */
bool sessions_wait(uint32_t count);
struct virtio_cl_ioc_counters counters_of(int fd);
int range_ioctl(int fd, unsigned long request, uint64_t offset, uint64_t length);

/* Reads a byte; -1 where that ends in SIGBUS or SIGSEGV. */
int peek(const volatile uint8_t *address);
/* Runs @function in a child. Return: its exit status, -1 if it was killed. */
int in_child(int (*function)(void *data), void *data);

void test_session(void);
void test_heap(void);
void test_pin(void);
void test_processes(void);
void test_races(void);
void test_loopback(void);
void test_worker(void);

#endif
