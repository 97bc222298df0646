// SPDX-License-Identifier: MIT
/*
 * Split virtqueues, of drivers that keep to the rules and of others.
 */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "test.h"
#include "vhost/queue.h"

#define SIZE	    8u
#define RAM	    65536u
#define USER	    0x10000000ull
#define DESCRIPTORS 0x1000u
#define AVAILABLE   0x2000u
#define USED	    0x3000u
#define BUFFER	    0x4000u

static struct fixture {
	struct gcl_guest_memory memory;
	struct gcl_queue queue;
	struct gcl_chain chain;
	char *ram;
	struct vring_desc *descriptors;
	struct vring_avail *available;
	struct vring_used *used;
} now;

static int setup(void **state)
{
	const struct gcl_vhost_region place = {0, RAM, USER, 0};
	char reason[128];
	int fd = memfd_create("queue", MFD_CLOEXEC);

	(void)state;
	memset(&now, 0, sizeof now);
	assert_int_equal(ftruncate(fd, RAM), 0);
	now.ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	gcl_guest_memory_init(&now.memory);
	assert_int_equal(gcl_guest_memory_add(&now.memory, &place, fd, reason, sizeof reason), 0);
	now.descriptors = (void *)(now.ram + DESCRIPTORS);
	now.available = (void *)(now.ram + AVAILABLE);
	now.used = (void *)(now.ram + USED);
	gcl_queue_init(&now.queue, &now.memory);
	now.queue.place =
		(struct gcl_queue_place){SIZE, USER + DESCRIPTORS, USER + AVAILABLE, USER + USED};
	now.queue.enabled = true;
	now.queue.call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_equal(gcl_queue_start(&now.queue), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	gcl_queue_fini(&now.queue);
	gcl_guest_memory_fini(&now.memory);
	munmap(now.ram, RAM);
	return 0;
}

static void describe(unsigned i, uint64_t address, uint32_t length, uint16_t flags, uint16_t next)
{
	now.descriptors[i] = (struct vring_desc){address, length, flags, next};
}

static void offer(uint16_t head)
{
	now.available->ring[now.available->idx % SIZE] = head;
	now.available->idx++;
}

static void test_chain(void **state)
{
	char data[16] = "";

	(void)state;
	assert_int_equal(gcl_queue_pop(&now.queue, &now.chain), 0);
	describe(3, BUFFER, 3, VRING_DESC_F_NEXT, 1);
	describe(1, BUFFER + 0x100, 4, VRING_DESC_F_NEXT, 2);
	describe(2, BUFFER + 0x200, 2, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 0);
	describe(0, BUFFER + 0x300, 5, VRING_DESC_F_WRITE, 0);
	memcpy(now.ram + BUFFER, "abc", 3);
	memcpy(now.ram + BUFFER + 0x100, "defg", 4);
	offer(3);
	assert_true(gcl_queue_available(&now.queue));
	assert_int_equal(gcl_queue_pop(&now.queue, &now.chain), 1);
	assert_false(gcl_queue_available(&now.queue));
	assert_int_equal(now.chain.head, 3);
	assert_int_equal(now.chain.readable, 2);
	assert_int_equal(now.chain.writable, 2);
	assert_int_equal(now.chain.readable_size, 7);
	assert_int_equal(now.chain.writable_size, 7);
	assert_int_equal(gcl_chain_read(&now.memory, &now.chain, data, sizeof data), 7);
	assert_string_equal(data, "abcdefg");
	assert_int_equal(gcl_chain_read(&now.memory, &now.chain, data, 5), 5);
	assert_int_equal(gcl_chain_write(&now.memory, &now.chain, "0123456789", 10), 7);
	assert_memory_equal(now.ram + BUFFER + 0x200, "01", 3);
	assert_memory_equal(now.ram + BUFFER + 0x300, "23456", 6);
	gcl_queue_push(&now.queue, 3, 7);
	assert_int_equal(now.used->idx, 1);
	assert_int_equal(now.used->ring[0].id, 3);
	assert_int_equal(now.used->ring[0].len, 7);
}

/* Many times around, given back in another order than taken. */
static void test_wrap(void **state)
{
	uint16_t heads[3];

	(void)state;
	for (unsigned i = 0; i < SIZE; i++)
		describe(i, BUFFER + i * 16u, 16, VRING_DESC_F_WRITE, 0);
	now.queue.next_available = now.available->idx = 65533;
	now.used->idx = 65533;
	gcl_queue_stop(&now.queue);
	assert_int_equal(gcl_queue_start(&now.queue), 0);
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < 3; i++)
			offer((uint16_t)((round + 2 * i) % SIZE));
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(gcl_queue_pop(&now.queue, &now.chain), 1);
			heads[i] = now.chain.head;
			assert_int_equal(heads[i], (round + 2 * i) % SIZE);
		}
		assert_int_equal(gcl_queue_pop(&now.queue, &now.chain), 0);
		for (unsigned i = 3; i-- > 0;)
			gcl_queue_push(&now.queue, heads[i], i);
		assert_int_equal(now.used->idx, (uint16_t)(65533 + 3 * (round + 1)));
		assert_int_equal(now.used->ring[(uint16_t)(now.used->idx - 1) % SIZE].id, heads[0]);
	}
}

static void test_broken(void **state)
{
	(void)state;
	for (unsigned which = 0; which < 8; which++) {
		if (which) {
			teardown(state);
			setup(state);
		}
		describe(0, BUFFER, 16, VRING_DESC_F_NEXT, 1);
		describe(1, BUFFER, 16, 0, 0);
		if (which == 0)
			describe(1, BUFFER, 16, VRING_DESC_F_NEXT, 0); /* a loop */
		else if (which == 1)
			describe(0, BUFFER, 16, VRING_DESC_F_INDIRECT, 0);
		else if (which == 2)
			describe(1, BUFFER, 0, 0, 0);
		else if (which == 3)
			describe(0, BUFFER, 16, VRING_DESC_F_NEXT, SIZE);
		else if (which == 4)
			describe(0, BUFFER, 16, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
		else if (which == 5)
			describe(0, BUFFER, 16, VRING_DESC_F_NEXT, 0); /* itself */
		offer(which == 6 ? SIZE : 0);
		if (which == 7)
			now.available->idx = SIZE + 1; /* more than there are */
		if (gcl_queue_pop(&now.queue, &now.chain) != -EPROTO)
			fail_msg("case %u was taken", which);
		assert_true(now.queue.broken);
		assert_int_equal(gcl_queue_pop(&now.queue, &now.chain), 0);
	}
	gcl_queue_stop(&now.queue);
	assert_int_equal(gcl_queue_start(&now.queue), 0);
	assert_false(now.queue.broken);
}

/* The ring is in order, but leads to where there is no memory. */
static void test_nowhere(void **state)
{
	char data[64];

	(void)state;
	describe(0, RAM - 8, 16, VRING_DESC_F_NEXT, 1);
	describe(1, ~0ull - 7, 16, VRING_DESC_F_WRITE, 0);
	offer(0);
	assert_int_equal(gcl_queue_pop(&now.queue, &now.chain), 1);
	assert_int_equal(gcl_chain_read(&now.memory, &now.chain, data, sizeof data), -EFAULT);
	assert_int_equal(gcl_chain_read(&now.memory, &now.chain, data, 8), 8);
	assert_int_equal(gcl_chain_write(&now.memory, &now.chain, data, sizeof data), -EFAULT);
	gcl_queue_push(&now.queue, 0, 0);
	assert_int_equal(now.used->idx, 1);
}

static void test_call(void **state)
{
	eventfd_t count;

	(void)state;
	gcl_queue_call(&now.queue);
	assert_int_equal(eventfd_read(now.queue.call, &count), 0);
	now.available->flags = VRING_AVAIL_F_NO_INTERRUPT;
	gcl_queue_call(&now.queue);
	assert_int_equal(eventfd_read(now.queue.call, &count), -1);
}

static void test_stopped(void **state)
{
	(void)state;
	describe(0, BUFFER, 16, 0, 0);
	offer(0);
	now.queue.enabled = false;
	assert_int_equal(gcl_queue_pop(&now.queue, &now.chain), 0);
	now.queue.enabled = true;
	gcl_queue_stop(&now.queue);
	assert_int_equal(gcl_queue_pop(&now.queue, &now.chain), 0);
	assert_false(gcl_queue_available(&now.queue));
	gcl_queue_push(&now.queue, 0, 0);
	assert_int_equal(now.used->idx, 0);
	gcl_queue_call(&now.queue);
	/* The memory goes while it runs. */
	assert_int_equal(gcl_queue_start(&now.queue), 0);
	gcl_guest_memory_clear(&now.memory);
	assert_false(gcl_queue_map(&now.queue));
	assert_int_equal(gcl_queue_pop(&now.queue, &now.chain), 0);
	gcl_queue_push(&now.queue, 0, 0);
	gcl_queue_call(&now.queue);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(chain), TEST(wrap), TEST(broken), TEST(nowhere), TEST(call), TEST(stopped),
	};

	return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
