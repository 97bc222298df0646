// SPDX-License-Identifier: MIT
/*
 * What needs the host's part: wake-ups, memory that both sides see, and sessions that the host
 * ends.
 *
 * With --loopback the host looks, whenever it is rung, at the first bytes of each session's heap:
 * if they are struct order, it adds up the 64 bit words of a range of the session's address space,
 * replaces them with the value plus each word's offset unless it is 0, writes its answer, and wakes
 * the session.
 *
 * With guestcld's worker, a command ring that cannot be ends the session.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver-test.h"

#define ORDER 0x544553544c4f4f50ull
#define SIZE  (4u << 20)

struct order {
	_Atomic uint64_t magic; /* 0 when done */
	uint64_t offset;
	uint64_t length;
	uint64_t value;
	uint64_t sequence;
	uint64_t reserved;
	uint64_t sum;
	uint64_t answered;
};

static uint64_t sequence;

static int watch(int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET | EPOLLRDHUP};
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		fatal("no epoll");
	return epoll;
}

static uint64_t ask(const struct session *session, int epoll, uint64_t offset, uint64_t length,
		    uint64_t value)
{
	struct order *order = (struct order *)session->heap;
	struct epoll_event event;

	order->offset = offset;
	order->length = length;
	order->value = value;
	order->sequence = ++sequence;
	order->magic = ORDER;
	ioctl(session->fd, VIRTIO_CL_IOC_DOORBELL);
	for (unsigned i = 0; i < 10 && order->magic; i++)
		if (epoll_wait(epoll, &event, 1, 1000) < 0)
			fatal("epoll_wait");
	check(!order->magic && order->answered == sequence, "the host answers order %u",
	      (unsigned)sequence);
	return order->sum;
}

static bool holds(const uint8_t *memory, uint64_t length, uint64_t first)
{
	for (uint64_t i = 0; i < length; i += 8)
		if (*(const uint64_t *)(memory + i) != first + i)
			return false;
	return true;
}

static void test_shared_heap(struct session *session, int epoll)
{
	uint64_t sum = 0, wakes;

	check(range_ioctl(session->fd, VIRTIO_CL_IOC_POPULATE, 0, 4 * CHUNK) == 0, "four chunks");
	for (uint64_t i = 0; i < CHUNK; i += 8)
		sum += *(uint64_t *)(session->heap + CHUNK + i) = i * 3;
	check(ask(session, epoll, CHUNK, CHUNK, 1000) == sum, "it sees what the guest wrote");
	check(holds(session->heap + CHUNK, CHUNK, 1000 + CHUNK), "the guest sees what it wrote");
	check(peek(session->heap + 2 * CHUNK) == 0, "and nothing else");
	range_ioctl(session->fd, VIRTIO_CL_IOC_RELEASE, CHUNK, CHUNK);
	check(ask(session, epoll, CHUNK, 8, 0) == 0xdead, "released memory is gone for it");
	range_ioctl(session->fd, VIRTIO_CL_IOC_POPULATE, CHUNK, CHUNK);
	check(ask(session, epoll, CHUNK, CHUNK, 5) == 0, "new memory is zero for both");
	check(holds(session->heap + CHUNK, CHUNK, 5 + CHUNK), "and the same memory");
	check(read(session->fd, &wakes, sizeof wakes) == sizeof wakes && wakes == sequence,
	      "read() has counted %u wake-ups", (unsigned)wakes);
	check(counters_of(session->fd).wakes == sequence, "and so have the counters");
}

static void test_shared_pages(struct session *session, int epoll)
{
	uint8_t *buffer =
		mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct virtio_cl_ioc_pin pin = {
		.address = (uintptr_t)buffer, .length = SIZE, .flags = VIRTIO_CL_PIN_WRITE};
	struct virtio_cl_ioc_unpin unpin;

	/* Pages one by one, in no order: many segments, in several requests. */
	madvise(buffer, SIZE, MADV_NOHUGEPAGE);
	for (uint64_t i = 0; i < SIZE; i += 4096)
		*(uint64_t *)(buffer + i * 5 % SIZE) = 1;
	check(ioctl(session->fd, VIRTIO_CL_IOC_PIN, &pin) == 0, "4 MiB are pinned");
	check(ask(session, epoll, pin.offset, SIZE, 77) == SIZE / 4096, "the host sees them");
	check(holds(buffer, SIZE, pin.offset + 77), "and writes to them");
	unpin.offset = pin.offset;
	check(ioctl(session->fd, VIRTIO_CL_IOC_UNPIN, &unpin) == 0, "they are unpinned");
	check(ask(session, epoll, pin.offset, 8, 0) == 0xdead, "then they are gone for it");
	munmap(buffer, SIZE);

	buffer = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pin = (struct virtio_cl_ioc_pin){.address = (uintptr_t)buffer, .length = SIZE};
	check(ioctl(session->fd, VIRTIO_CL_IOC_PIN, &pin) == 0, "untouched memory, for reading");
	*(uint64_t *)(buffer + 8) = 99;
	check(ask(session, epoll, pin.offset, SIZE, 0) == 99, "what is written later is seen");
	munmap(buffer, SIZE);
}

void test_loopback(void)
{
	struct session session = session_make();
	int epoll = watch(session.fd);

	test_shared_heap(&session, epoll);
	test_shared_pages(&session, epoll);
	close(epoll);
	session_end(&session);
}

void test_worker(void)
{
	struct session session = session_make();
	int epoll = watch(session.fd);
	struct epoll_event event = {0};
	bool ended = false;

	check(range_ioctl(session.fd, VIRTIO_CL_IOC_POPULATE, 0, CHUNK) == 0, "a chunk of heap");
	session.heap[0] = 1;
	atomic_store((_Atomic uint32_t *)session.rings, 0x12345677); /* no place a head can be */
	for (unsigned i = 0; i < 10 && !ended; i++) {
		ioctl(session.fd, VIRTIO_CL_IOC_DOORBELL);
		ended = epoll_wait(epoll, &event, 1, 1000) > 0 && event.events & EPOLLRDHUP;
	}
	check(ended, "the host ends a session whose ring cannot be");
	check_ioctl(EPIPE, session.fd, VIRTIO_CL_IOC_DOORBELL, NULL, "the doorbell then");
	check(session.heap[0] == 1, "its memory is there still");
	close(epoll);
	session_end(&session);
}
