// SPDX-License-Identifier: MIT
/*
 * Threads that do at the same time what nobody should: the guest has to live, and the memory to be
 * all there at the end.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "driver-test.h"

#define CHUNKS 8

static struct session shared;
static _Atomic bool stop;
static _Atomic unsigned long turns;
static _Atomic int surprise; /* an errno that no race explains */
static _Atomic bool
	closing; /* the descriptor may have become another thread's, without a session */

static void *populates(void *data)
{
	unsigned seed = (unsigned)(uintptr_t)data;

	while (!stop) {
		uint64_t first = (unsigned)rand_r(&seed) % CHUNKS;
		uint64_t count = (unsigned)rand_r(&seed) % (CHUNKS - first) + 1;
		unsigned long request =
			rand_r(&seed) % 2 ? VIRTIO_CL_IOC_POPULATE : VIRTIO_CL_IOC_RELEASE;
		int err = range_ioctl(shared.fd, request, first * CHUNK, count * CHUNK);

		if (err && err != ENOMEM && err != EPIPE && err != EBADF &&
		    !(closing && err == ENOTCONN))
			surprise = err;
		turns++;
	}
	return NULL;
}

static void *touches(void *data)
{
	unsigned seed = (unsigned)(uintptr_t)data;

	while (!stop) {
		peek(shared.heap + (unsigned)rand_r(&seed) % (CHUNKS * CHUNK));
		madvise(shared.heap + (unsigned)rand_r(&seed) % CHUNKS * CHUNK, CHUNK,
			MADV_DONTNEED);
		turns++;
	}
	return NULL;
}

static void *pins(void *data)
{
	unsigned seed = (unsigned)(uintptr_t)data;
	size_t size = 256u << 10;

	while (!stop) {
		void *buffer = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				    -1, 0);
		struct virtio_cl_ioc_pin pin = {.address = (uintptr_t)buffer,
						.length = (unsigned)rand_r(&seed) % size + 1,
						.flags = (unsigned)rand_r(&seed) % 2};
		struct virtio_cl_ioc_unpin unpin;

		if (buffer == MAP_FAILED)
			continue;
		if (pin.length > size)
			pin.length = size;
		if (ioctl(shared.fd, VIRTIO_CL_IOC_PIN, &pin) == 0) {
			unpin.offset = pin.offset;
			if (rand_r(&seed) % 2)
				munmap(buffer, size);
			ioctl(shared.fd, VIRTIO_CL_IOC_UNPIN, &unpin);
		}
		munmap(buffer, size);
		turns++;
	}
	return NULL;
}

static void *rings(void *data)
{
	struct virtio_cl_ioc_counters counters;
	struct virtio_cl_ioc_unpin unpin;
	unsigned seed = (unsigned)(uintptr_t)data;

	while (!stop) {
		ioctl(shared.fd, VIRTIO_CL_IOC_DOORBELL);
		ioctl(shared.fd, VIRTIO_CL_IOC_COUNTERS, &counters);
		unpin.offset =
			VIRTIO_CL_WINDOW_BASE + (unsigned)rand_r(&seed) % 4 * VIRTIO_CL_WINDOW_SIZE;
		ioctl(shared.fd, VIRTIO_CL_IOC_UNPIN, &unpin);
		turns++;
	}
	return NULL;
}

static void *maps(void *data)
{
	(void)data;
	while (!stop) {
		uint8_t *part = mmap(NULL, 2 * CHUNK, PROT_READ, MAP_SHARED, shared.fd, CHUNK);

		if (part == MAP_FAILED)
			continue;
		peek(part);
		peek(part + CHUNK);
		munmap(part, 2 * CHUNK);
		turns++;
	}
	return NULL;
}

static void *opens(void *data)
{
	struct virtio_cl_ioc_open ask = open_default();

	(void)data;
	while (!stop) {
		int fd = device_open();

		if (ioctl(fd, VIRTIO_CL_IOC_OPEN, &ask) == 0)
			range_ioctl(fd, VIRTIO_CL_IOC_POPULATE, 0, CHUNK);
		close(fd);
		turns++;
		usleep(20000);
	}
	return NULL;
}

/* Runs them all for a while. With @early, the session is closed under them. */
static void race(const char *what, bool early)
{
	void *(*const functions[])(void *) = {populates, populates, touches, touches,
					      pins,	 rings,	    maps,    opens};
	pthread_t threads[sizeof functions / sizeof *functions];
	size_t count = sizeof functions / sizeof *functions;
	int spare = dup(shared.fd);

	stop = false;
	turns = 0;
	surprise = 0;
	closing = false;
	close(spare); /* which ends the session: make another */
	session_end(&shared);
	shared = session_make();
	for (size_t i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, functions[i], (void *)(i + 1)))
			fatal("no thread");
	usleep(early ? 300000 : options.seconds * 1000000);
	closing = early;
	if (early)
		close(shared.fd);
	usleep(early ? 300000 : 0);
	stop = true;
	for (size_t i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	check(turns > 100 && !surprise, "%s: %lu turns (%s)", what, turns, strerror(surprise));
}

static int dies_in_the_middle(void *data)
{
	pthread_t threads[4];

	(void)data;
	shared = session_make();
	for (size_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, i % 2 ? populates : pins, (void *)(i + 1));
	usleep(100000);
	_exit(0);
}

void test_races(void)
{
	shared = session_make();
	race("threads race", false);
	check(range_ioctl(shared.fd, VIRTIO_CL_IOC_RELEASE, 0, HEAP_SIZE) == 0 &&
		      range_ioctl(shared.fd, VIRTIO_CL_IOC_POPULATE, 0, CHUNK) == 0 &&
		      peek(shared.heap) == 0,
	      "the session is sound");
	race("threads race with close()", true);
	munmap(shared.rings, RINGS_SIZE);
	munmap(shared.heap, HEAP_SIZE);
	for (unsigned i = 0; i < 5; i++)
		check(in_child(dies_in_the_middle, NULL) == 0, "a process ends amid its threads");
	check(sessions_wait(0), "all sessions are gone");
}
