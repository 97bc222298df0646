// SPDX-License-Identifier: MIT
/*
 * Opening, and everything that can be wrong with a call.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver-test.h"

static void test_info(void)
{
	struct virtio_cl_ioc_info info = {0};
	int fd = device_open();

	check_ioctl(0, fd, VIRTIO_CL_IOC_INFO, &info, "info");
	check(info.version == VIRTIO_CL_VERSION && info.flags == VIRTIO_CL_INFO_PRESENT,
	      "info: version and flags");
	check(info.heap_max && info.heap_max % CHUNK == 0 && info.heap_max <= VIRTIO_CL_HEAP_MAX,
	      "info: the heap's limit is %llu MiB", (unsigned long long)info.heap_max >> 20);
	check(info.pin_max > 0, "info: the limit of pinned memory is %llu MiB",
	      (unsigned long long)info.pin_max >> 20);
	check(info.carrier == VIRTIO_CL_ID || info.carrier == VIRTIO_CL_ID_SHELL,
	      "info: carrier %u", info.carrier);
	close(fd);
}

/* What needs a session says so without one. */
static void test_without_session(void)
{
	struct virtio_cl_ioc_range range = {0, CHUNK};
	struct virtio_cl_ioc_pin pin = {.address = (uintptr_t)&range, .length = 1};
	struct virtio_cl_ioc_unpin unpin = {VIRTIO_CL_WINDOW_BASE};
	int fd = device_open();
	uint64_t count;
	void *map;

	check_ioctl(ENOTCONN, fd, VIRTIO_CL_IOC_POPULATE, &range, "populate without a session");
	check_ioctl(ENOTCONN, fd, VIRTIO_CL_IOC_RELEASE, &range, "release without a session");
	check_ioctl(ENOTCONN, fd, VIRTIO_CL_IOC_PIN, &pin, "pin without a session");
	check_ioctl(ENOTCONN, fd, VIRTIO_CL_IOC_UNPIN, &unpin, "unpin without a session");
	check_ioctl(ENOTCONN, fd, VIRTIO_CL_IOC_DOORBELL, NULL, "doorbell without a session");
	map = mmap(NULL, CHUNK, PROT_READ, MAP_SHARED, fd, 0);
	check(map == MAP_FAILED && errno == ENOTCONN, "mmap without a session");
	check(read(fd, &count, sizeof count) < 0 && errno == ENOTCONN, "read without a session");
	check(write(fd, &count, sizeof count) < 0 && errno == EINVAL, "there is nothing to write");
	check(lseek(fd, 0, SEEK_SET) < 0 && errno == ESPIPE, "there is nowhere to seek");
	close(fd);
}

static void test_bad_pointers(void)
{
	static const unsigned long requests[] = {
		VIRTIO_CL_IOC_INFO, VIRTIO_CL_IOC_OPEN,	 VIRTIO_CL_IOC_POPULATE,
		VIRTIO_CL_IOC_PIN,  VIRTIO_CL_IOC_UNPIN, VIRTIO_CL_IOC_COUNTERS,
	};
	struct session session = session_make();
	long page = sysconf(_SC_PAGESIZE);
	char *edge = mmap(NULL, (size_t)page * 2, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(edge + page, (size_t)page);
	for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
		check_ioctl(EFAULT, session.fd, requests[i], NULL, "NULL argument");
		check_ioctl(EFAULT, session.fd, requests[i], edge + page - 4,
			    "argument at the edge");
		check_ioctl(EFAULT, session.fd, requests[i], (void *)0xffff888000000000,
			    "the kernel's memory as argument");
	}
	check_ioctl(ENOTTY, session.fd, _IO('c', 0x7f), NULL, "an unknown ioctl");
	check_ioctl(ENOTTY, session.fd, _IOWR('c', 0x41, uint32_t), edge, "an ioctl of wrong size");
	munmap(edge, (size_t)page);
	session_end(&session);
}

static void refuse(const char *what, struct virtio_cl_ioc_open ask, int expected)
{
	int fd = device_open();

	check_ioctl(expected, fd, VIRTIO_CL_IOC_OPEN, &ask, what);
	check(memchr(ask.text, 0, sizeof ask.text) && ask.text[0], "%s: it says \"%.100s\"", what,
	      ask.text);
	close(fd);
}

#define REFUSE(field, value, expected)                                                             \
	do {                                                                                       \
		struct virtio_cl_ioc_open wrong = open_default();                                  \
                                                                                                   \
		wrong.field = (value);                                                             \
		refuse("open with " #field " " #value, wrong, expected);                           \
	} while (0)

static void test_open_refused(void)
{
	REFUSE(commands_size, 0, EINVAL);
	REFUSE(completions_size, 0, EINVAL);
	REFUSE(commands_size, COMMANDS_SIZE + 1, EINVAL);
	REFUSE(commands_size, 0xfffff000, EINVAL);
	REFUSE(completions_size, 0xfffff000, EINVAL);
	REFUSE(heap_size, 0, EINVAL);
	REFUSE(heap_size, CHUNK + 4096, EINVAL);
	REFUSE(heap_size, VIRTIO_CL_HEAP_MAX + CHUNK, EINVAL);
	REFUSE(heap_size, ~0ull, EINVAL);
	REFUSE(protocol, 999, EPROTONOSUPPORT);
}

static void test_open(void)
{
	struct virtio_cl_ioc_open ask = open_default();
	int fd = device_open();

	ask.protocol = 999;
	check_ioctl(EPROTONOSUPPORT, fd, VIRTIO_CL_IOC_OPEN, &ask, "open with a wrong protocol");
	ask = open_default();
	memset(ask.program, '\n', sizeof ask.program);
	check_ioctl(0, fd, VIRTIO_CL_IOC_OPEN, &ask, "the next try, with a program without end");
	check(ask.session != 0, "it has number %u", ask.session);
	check_ioctl(EISCONN, fd, VIRTIO_CL_IOC_OPEN, &ask, "open once more");
	check(range_ioctl(fd, VIRTIO_CL_IOC_POPULATE, 0, CHUNK) == 0, "which does it no harm");
	check(sessions_now() == 1, "there is one session");
	close(fd);
	check(sessions_wait(0), "it has ended with close()");
}

static void map_refused(int fd, const char *what, size_t size, int access, int flags,
			uint64_t offset)
{
	void *address = mmap(NULL, size, access, flags, fd, (off_t)offset);

	check(address == MAP_FAILED, "mmap %s: %s", what,
	      address == MAP_FAILED ? strerror(errno) : "");
	if (address != MAP_FAILED)
		munmap(address, size);
}

static void test_map(void)
{
	const int both = PROT_READ | PROT_WRITE;
	struct session session = session_make();

	map_refused(session.fd, "private", CHUNK, both, MAP_PRIVATE, 0);
	map_refused(session.fd, "code", CHUNK, both | PROT_EXEC, MAP_SHARED, 0);
	map_refused(session.fd, "beyond the heap", CHUNK, both, MAP_SHARED, HEAP_SIZE);
	map_refused(session.fd, "over the heap's end", 2 * CHUNK, both, MAP_SHARED,
		    HEAP_SIZE - CHUNK);
	map_refused(session.fd, "between heap and rings", CHUNK, both, MAP_SHARED,
		    VIRTIO_CL_MMAP_RINGS - CHUNK);
	map_refused(session.fd, "more than the rings", RINGS_SIZE + 4096, both, MAP_SHARED,
		    VIRTIO_CL_MMAP_RINGS);
	map_refused(session.fd, "beyond the rings", 4096, both, MAP_SHARED,
		    VIRTIO_CL_MMAP_RINGS + RINGS_SIZE);
	map_refused(session.fd, "another one's slot", 4096, both, MAP_SHARED, 1ull << 41);
	map_refused(session.fd, "far out", 4096, both, MAP_SHARED, INT64_MAX & ~4095ull);
	check(mprotect(session.rings, 4096, PROT_READ | PROT_EXEC) < 0, "rings become no code");
	check(mremap(session.rings, RINGS_SIZE, 2 * RINGS_SIZE, MREMAP_MAYMOVE) == MAP_FAILED,
	      "a mapping does not grow");
	check(peek(session.rings) == 0 && peek(session.rings + RINGS_SIZE - 1) == 0,
	      "rings are zero at first");
	session.rings = mremap(session.rings, RINGS_SIZE, RINGS_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
			       session.heap + HEAP_SIZE / 2);
	check(session.rings != MAP_FAILED && peek(session.rings + 4096) == 0,
	      "a mapping can be moved");
	session_end(&session);
}

static void test_waiting(void)
{
	struct session session = session_make();
	struct pollfd in = {.fd = session.fd, .events = POLLIN | POLLRDHUP};
	uint64_t count;

	check(read(session.fd, &count, 4) < 0 && errno == EINVAL, "a short read is refused");
	check(poll(&in, 1, 50) == 0, "a session at rest has nothing to tell");
	check(ioctl(session.fd, VIRTIO_CL_IOC_DOORBELL) == 0, "the doorbell is rung");
	check(counters_of(session.fd).doorbells == 1, "and counted");
	session_end(&session);
}

void test_session(void)
{
	test_info();
	test_without_session();
	test_bad_pointers();
	test_open_refused();
	test_open();
	test_map();
	test_waiting();
}
