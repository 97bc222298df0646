// SPDX-License-Identifier: MIT
/*
 * Whose session it is: children, copies of descriptors, killed programs, and the limit of sessions.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver-test.h"

#define SESSIONS_MAX 8

/* Exit status 0, or the number of what was wrong. */
static int child_uses(void *data)
{
	struct session *session = data;
	struct virtio_cl_ioc_open ask = open_default();
	struct virtio_cl_ioc_pin pin = {.address = (uintptr_t)&ask, .length = sizeof ask};

	if (session->heap[0] != 17)
		return 1;
	session->heap[1] = 18;
	if (ioctl(session->fd, VIRTIO_CL_IOC_PIN, &pin) == 0 || errno != EPERM)
		return 2;
	if (ioctl(session->fd, VIRTIO_CL_IOC_OPEN, &ask) == 0 || errno != EISCONN)
		return 3;
	session_end(session);
	return 0;
}

static void test_fork(void)
{
	struct session session = session_make();
	struct pollfd in = {.fd = session.fd, .events = POLLIN | POLLRDHUP};
	int status;

	check(range_ioctl(session.fd, VIRTIO_CL_IOC_POPULATE, 0, CHUNK) == 0, "a chunk of heap");
	session.heap[0] = 17;
	status = in_child(child_uses, &session);
	check(status == 0, "a child uses and closes its copy (%d)", status);
	check(session.heap[1] == 18, "it shares the heap");
	check(poll(&in, 1, 100) == 0 && ioctl(session.fd, VIRTIO_CL_IOC_DOORBELL) == 0 &&
		      range_ioctl(session.fd, VIRTIO_CL_IOC_POPULATE, CHUNK, CHUNK) == 0,
	      "the session goes on");
	session_end(&session);
	check(sessions_wait(0), "until its process closes it");
}

/* The session's process ends, and leaves a child with everything mapped. */
static int opener(void *data)
{
	struct session session = session_make();
	int *to_parent = data;
	pid_t pid;

	range_ioctl(session.fd, VIRTIO_CL_IOC_POPULATE, 0, CHUNK);
	session.heap[0] = 1;
	pid = fork();
	if (pid < 0)
		return 1;
	if (pid > 0)
		return 0;
	for (unsigned i = 0; i < 1000 && !sessions_wait(0); i++)
		;
	session.heap[0] = 2; /* was mapped: its own now */
	to_parent[0] = session.heap[0] == 2 ? 1 : 2;
	to_parent[1] = peek(session.heap + CHUNK) == 0;
	to_parent[2] = ioctl(session.fd, VIRTIO_CL_IOC_DOORBELL) < 0 && errno == EPIPE;
	to_parent[3] = 1;
	_exit(0);
}

static void test_orphan(void)
{
	volatile int *report =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = in_child(opener, (void *)(uintptr_t)report);

	check(status == 0, "a process leaves a child with its session");
	for (unsigned i = 0; i < 1500 && !report[3]; i++)
		usleep(10000);
	check(report[0] == 1, "memory that is mapped stays mapped");
	check(report[1] == 1, "what else comes is empty, and no signal");
	check(report[2] == 1, "the session is over for the child, too");
	munmap((void *)(uintptr_t)report, 4096);
}

static void test_copies(void)
{
	struct session session = session_make();
	int copy = dup(session.fd);
	struct pollfd in = {.fd = session.fd, .events = POLLIN | POLLRDHUP};
	uint64_t count;

	close(copy);
	check(poll(&in, 1, 1000) == 1 &&
		      (in.revents & (POLLHUP | POLLRDHUP)) == (POLLHUP | POLLRDHUP),
	      "a session ends when its process closes a copy of the descriptor");
	check_ioctl(EPIPE, session.fd, VIRTIO_CL_IOC_DOORBELL, NULL, "the doorbell then");
	check(range_ioctl(session.fd, VIRTIO_CL_IOC_POPULATE, 0, CHUNK) == EPIPE, "memory then");
	check(read(session.fd, &count, sizeof count) == 0, "read() then tells the end");
	session_end(&session);
}

static int victim(void *data)
{
	struct session session = session_make();
	struct virtio_cl_ioc_pin pin = {
		.address = (uintptr_t)data, .length = CHUNK, .flags = VIRTIO_CL_PIN_WRITE};

	if (range_ioctl(session.fd, VIRTIO_CL_IOC_POPULATE, 0, 4 * CHUNK) ||
	    ioctl(session.fd, VIRTIO_CL_IOC_PIN, &pin) < 0)
		return 1;
	memset(session.heap, 1, 4 * CHUNK);
	raise(SIGKILL);
	return 2;
}

static void test_killed(void)
{
	void *memory =
		mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(in_child(victim, memory) == -1, "a program is killed with heap and pinned memory");
	check(sessions_wait(0), "its session is gone");
	munmap(memory, CHUNK);
}

static void test_many(void)
{
	struct session sessions[SESSIONS_MAX];

	for (unsigned i = 0; i < SESSIONS_MAX; i++) {
		sessions[i] = session_make();
		if (range_ioctl(sessions[i].fd, VIRTIO_CL_IOC_POPULATE, i * CHUNK, CHUNK))
			fatal("cannot populate session %u", i);
		sessions[i].heap[i * CHUNK] = (uint8_t)(i + 1);
	}
	check(sessions_now() == SESSIONS_MAX, "%u sessions", SESSIONS_MAX);
	range_ioctl(sessions[3].fd, VIRTIO_CL_IOC_RELEASE, 0, HEAP_SIZE);
	for (unsigned i = 0; i < SESSIONS_MAX; i++) {
		int expected = i == 3 ? -1 : (int)i + 1;

		check(peek(sessions[i].heap + i * CHUNK) == expected, "session %u has its memory",
		      i);
		session_end(&sessions[i]);
	}
	check(sessions_wait(0), "all end");
}

void test_processes(void)
{
	test_fork();
	test_orphan();
	test_copies();
	test_killed();
	test_many();
}
