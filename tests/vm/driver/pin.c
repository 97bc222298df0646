// SPDX-License-Identifier: MIT
/*
 * The program's own memory in the host's hands.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver-test.h"

#define SIZE (4u << 20)

static int pin(int fd, const void *address, uint64_t length, uint32_t flags, uint64_t *offset)
{
	struct virtio_cl_ioc_pin ask = {
		.address = (uintptr_t)address, .length = length, .flags = flags};

	*offset = 0;
	if (ioctl(fd, VIRTIO_CL_IOC_PIN, &ask) < 0)
		return errno;
	*offset = ask.offset;
	return 0;
}

static int unpin(int fd, uint64_t offset)
{
	struct virtio_cl_ioc_unpin ask = {offset};

	return ioctl(fd, VIRTIO_CL_IOC_UNPIN, &ask) < 0 ? errno : 0;
}

static uint8_t *memory(size_t size, int access)
{
	uint8_t *address = mmap(NULL, size, access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (address == MAP_FAILED)
		fatal("no memory");
	return address;
}

static void test_right(int fd, uint8_t *buffer)
{
	uint64_t offset, other;

	check(pin(fd, buffer, SIZE, VIRTIO_CL_PIN_WRITE, &offset) == 0, "4 MiB are pinned");
	check(offset >= VIRTIO_CL_WINDOW_BASE && offset + SIZE <= VIRTIO_CL_SPACE_END &&
		      offset % 4096 == 0,
	      "at 0x%llx", (unsigned long long)offset);
	check(counters_of(fd).pinned_bytes == SIZE, "and counted");
	check(pin(fd, buffer + 4095, 2, 0, &other) == 0 && other % 4096 == 4095,
	      "two bytes of two pages, once more");
	check(counters_of(fd).pinned_bytes == SIZE + 8192, "are two pages");
	check(unpin(fd, other & ~4095ull) == ENOENT, "they have no other name");
	check(unpin(fd, offset) == 0 && unpin(fd, other) == 0, "all are unpinned");
	check(unpin(fd, offset) == ENOENT, "but once only");
	check(counters_of(fd).pinned_bytes == 0 && counters_of(fd).pins == 2, "none is counted");
}

static void test_wrong(int fd, uint8_t *buffer)
{
	struct virtio_cl_ioc_pin ask = {.address = (uintptr_t)buffer, .length = 1, .reserved = 1};
	uint8_t *hole = memory(3 * 4096, PROT_READ | PROT_WRITE);
	uint8_t *fixed = memory(4096, PROT_READ);
	uint8_t *none = memory(4096, PROT_NONE);
	uint64_t offset;
	int err;

	munmap(hole + 4096, 4096);
	check_ioctl(EINVAL, fd, VIRTIO_CL_IOC_PIN, &ask, "pin with what is reserved");
	check(pin(fd, buffer, 0, 0, &offset) == EINVAL, "pin nothing");
	check(pin(fd, buffer, 1, 2, &offset) == EINVAL, "pin with an unknown flag");
	check(pin(fd, buffer, VIRTIO_CL_WINDOW_SIZE + 1, 0, &offset) == EINVAL,
	      "pin more than a window");
	check(pin(fd, buffer + 1, VIRTIO_CL_WINDOW_SIZE, 0, &offset) == EINVAL,
	      "pin just more than a window");
	check(pin(fd, buffer, ~0ull, 0, &offset) == EINVAL, "pin all there is");
	check(pin(fd, (void *)~4095ull, 8192, 0, &offset) == EINVAL, "pin over the end");
	check(pin(fd, NULL, 4096, 0, &offset) == EFAULT, "pin NULL");
	check(pin(fd, (void *)0xffff888000000000, 4096, 1, &offset) == EFAULT,
	      "pin the kernel's memory");
	check(pin(fd, (void *)0x8000000000000000, 4096, 1, &offset) == EFAULT,
	      "pin what is no address");
	check(pin(fd, hole, 3 * 4096, 0, &offset) == EFAULT, "pin over a hole");
	check(pin(fd, fixed, 4096, VIRTIO_CL_PIN_WRITE, &offset) == EFAULT,
	      "pin for writing what can be read only");
	/* Before Linux 6.2 the driver has to take pages as a debugger would. */
	err = pin(fd, none, 4096, 0, &offset);
	check(err == EFAULT || (!err && !unpin(fd, offset)), "pin what cannot be read: %s",
	      strerror(err));
	check(unpin(fd, 0) == EINVAL && unpin(fd, VIRTIO_CL_SPACE_END) == EINVAL &&
		      unpin(fd, ~0ull) == EINVAL,
	      "unpin what is no window");
	check(unpin(fd, VIRTIO_CL_WINDOW_BASE) == ENOENT, "unpin an empty window");
	check(counters_of(fd).pinned_bytes == 0, "nothing was pinned");
	munmap(hole, 3 * 4096);
	munmap(fixed, 4096);
	munmap(none, 4096);
}

/* What is pinned for reading must be what the program writes later. */
static void test_kinds(struct session *session, uint8_t *buffer)
{
	int fd = session->fd;
	int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	const uint8_t *file = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, self, 0);
	uint64_t offset;
	int err;

	check(pin(fd, buffer, SIZE, 0, &offset) == 0 && unpin(fd, offset) == 0,
	      "memory that was not touched is pinned for reading");
	if (file != MAP_FAILED) {
		err = pin(fd, file, 4096, 0, &offset);
		check(err == 0 || err == EFAULT || err == EINVAL, "a file is pinned, or not: %s",
		      strerror(err));
		check(err || unpin(fd, offset) == 0, "and unpinned");
		munmap((void *)(uintptr_t)file, 4096);
	}
	close(self);
	check(range_ioctl(fd, VIRTIO_CL_IOC_POPULATE, 0, CHUNK) == 0, "a chunk of heap");
	err = pin(fd, session->heap, CHUNK, VIRTIO_CL_PIN_WRITE, &offset);
	check(err == 0 || err == EFAULT, "the heap itself is pinned, or not: %s", strerror(err));
	session->heap[5] = 5;
	check(range_ioctl(fd, VIRTIO_CL_IOC_RELEASE, 0, CHUNK) == 0, "and released");
	check(err || unpin(fd, offset) == 0, "and unpinned");
}

static void test_limits(int fd, uint8_t *buffer)
{
	struct virtio_cl_ioc_info info = {0};
	uint64_t offsets[VIRTIO_CL_WINDOWS + 1];
	unsigned count = 0;
	uint8_t *large;
	uint64_t size;
	int err = 0;

	while (count <= VIRTIO_CL_WINDOWS &&
	       (err = pin(fd, buffer + 4096 * count, 4096, 0, &offsets[count])) == 0)
		count++;
	check(err == ENOSPC && count == VIRTIO_CL_WINDOWS, "%u windows, then: %s", count,
	      strerror(err));
	while (count)
		err |= unpin(fd, offsets[--count]);
	check(!(err & ~ENOSPC), "all are empty again");
	if (ioctl(fd, VIRTIO_CL_IOC_INFO, &info) < 0)
		fatal("no VIRTIO_CL_IOC_INFO");
	size = (info.pin_max & ~4095ull) + 4096;
	if (size > VIRTIO_CL_WINDOW_SIZE) {
		check(true, "the limit of pinned memory: # SKIP this guest has too much memory");
		return;
	}
	large = memory(size, PROT_READ | PROT_WRITE);
	err = pin(fd, large, size, 0, &offsets[0]);
	check(err == ENOMEM, "more than may be pinned: %s", strerror(err));
	check(counters_of(fd).pinned_bytes == 0, "then nothing is");
	munmap(large, size);
}

/* Pages outlive the mapping that they were pinned in, and the pin outlives neither the file. */
static void test_ends(void)
{
	struct session session = session_make();
	uint8_t *buffer = memory(SIZE, PROT_READ | PROT_WRITE);
	uint64_t offset;

	memset(buffer, 7, SIZE);
	check(pin(session.fd, buffer, SIZE, VIRTIO_CL_PIN_WRITE, &offset) == 0, "4 MiB");
	munmap(buffer, SIZE);
	check(unpin(session.fd, offset) == 0, "are unpinned when they are unmapped already");
	buffer = memory(SIZE, PROT_READ | PROT_WRITE);
	check(pin(session.fd, buffer, SIZE, VIRTIO_CL_PIN_WRITE, &offset) == 0, "4 MiB more");
	session_end(&session);
	check(sessions_wait(0), "the session ends while they are pinned");
	memset(buffer, 8, SIZE);
	check(buffer[SIZE - 1] == 8, "the program has them still");
	munmap(buffer, SIZE);
}

void test_pin(void)
{
	struct session session = session_make();
	uint8_t *buffer = memory(SIZE, PROT_READ | PROT_WRITE);

	test_right(session.fd, buffer);
	test_wrong(session.fd, buffer);
	munmap(buffer, SIZE);
	buffer = memory(SIZE, PROT_READ | PROT_WRITE);
	test_kinds(&session, buffer);
	test_limits(session.fd, buffer);
	munmap(buffer, SIZE);
	session_end(&session);
	test_ends();
}
