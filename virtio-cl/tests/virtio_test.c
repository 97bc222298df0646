// SPDX-License-Identifier: MIT
/*
 * What is special about the virtio channel: memory that comes and goes, bells, and what the broker
 * may say. channel_test.c has what it shares with others.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "heap.h"
#include "pair.h"
#include "shm.h"
#include "test.h"
#include "virtio-twin.h"

#define CHUNK	VIRTIO_CL_CHUNK
#define MIB	(1ull << 20)
#define MANY_MS 10000

static int setup(void **state)
{
	static struct pair pair;

	pair = pair_open();
	*state = &pair;
	return 0;
}

static int teardown(void **state)
{
	pair_close(*state);
	return 0;
}

/* ------------------------------------------------------------ bells */

static void post(struct pair *pair, unsigned count)
{
	const struct gcl_frame head = {.number = 1};

	for (unsigned i = 0; i < count; i++)
		assert_true(gcl_channel_send(pair->guest, &head, NULL, 0, 0) > 0);
}

static void drain(struct pair *pair, unsigned count)
{
	uint8_t body[8];
	struct gcl_frame head;

	for (unsigned i = 0; i < count; i++)
		assert_int_equal(gcl_channel_receive(pair->worker, &head, body, sizeof body), 1);
}

static void *wait_for_frames(void *channel)
{
	return (void *)(intptr_t)gcl_channel_wait(channel, false, MANY_MS);
}

static void sleeper_start(pthread_t *thread, struct gcl_channel *channel)
{
	const struct gcl_shm *shm = gcl_shm_of(channel);

	assert_int_equal(pthread_create(thread, NULL, wait_for_frames, channel), 0);
	while (!shm->in.ring.shared->consumer_sleeps)
		poll(NULL, 0, 1);
	poll(NULL, 0, 20);
}

static void sleeper_end(pthread_t thread)
{
	time_t start = time(NULL);
	void *result;

	pthread_join(thread, &result);
	assert_null(result);
	/* Woken, that is, and not at the end of its patience. */
	assert_in_range(time(NULL) - start, 0, MANY_MS / 1000 / 2);
}

/* A worker that is awake is not woken; one that sleeps is, once. */
static void test_doorbells(void **state)
{
	struct pair *pair = *state;
	pthread_t thread;

	post(pair, 1000);
	assert_int_equal(pair->twin->doorbells, 0);
	drain(pair, 1000);
	sleeper_start(&thread, pair->worker);
	post(pair, 1000);
	sleeper_end(thread);
	assert_in_range(pair->twin->doorbells, 1, 2);
	assert_int_equal(pair->twin->wakes, 0);
}

static void test_wakes(void **state)
{
	const struct gcl_frame head = {.number = 1};
	struct pair *pair = *state;
	pthread_t thread;

	for (unsigned i = 0; i < 100; i++)
		assert_true(gcl_channel_send(pair->worker, &head, NULL, 0, 0) > 0);
	assert_int_equal(pair->twin->wakes, 0);
	for (unsigned round = 1; round < 400; round++) {
		uint8_t body[8];
		struct gcl_frame got;

		while (gcl_channel_receive(pair->guest, &got, body, sizeof body) == 1)
			;
		/* More wake-ups than fit into what nobody reads. */
		if (round < 20)
			sleeper_start(&thread, pair->guest);
		else
			assert_int_equal(
				pthread_create(&thread, NULL, wait_for_frames, pair->guest), 0);
		assert_true(gcl_channel_send(pair->worker, &head, NULL, 0, 0) > 0);
		sleeper_end(thread);
	}
	assert_in_range(pair->twin->wakes, 10, 500);
}

/* The VMM stopped and went on: there is another doorbell, which may have rung already. */
static void test_new_doorbell(void **state)
{
	struct pair *pair = *state;
	struct virtio_twin *twin = pair->twin;
	int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_t thread;

	sleeper_start(&thread, pair->worker);
	close(twin->kick);
	twin->kick = bell;
	post(pair, 1);
	assert_int_equal(virtio_twin_ask(twin, GCL_LINK_DOORBELL, 0, 0, NULL, 0, bell), 0);
	sleeper_end(thread);
	drain(pair, 1);
	sleeper_start(&thread, pair->worker);
	post(pair, 1);
	sleeper_end(thread);
	/* None, or what can't be waited for: the old one stays. */
	assert_int_equal(virtio_twin_ask(twin, GCL_LINK_DOORBELL, 0, 0, NULL, 0, -1), -EINVAL);
	assert_int_not_equal(virtio_twin_ask(twin, GCL_LINK_DOORBELL, 0, 0, NULL, 0, twin->ram), 0);
	drain(pair, 1);
	sleeper_start(&thread, pair->worker);
	post(pair, 1);
	sleeper_end(thread);
}

/* ------------------------------------------------------------ memory */

#define BLOCKS 150u

/* What is freed goes back to the guest in whole chunks, and is there again when it is needed. */
static void test_release_and_populate(void **state)
{
	struct pair *pair = *state;
	struct virtio_twin *twin = pair->twin;
	uint64_t offsets[BLOCKS];
	struct gcl_heap *heap;

	assert_int_equal(gcl_heap_create(pair->guest, &heap), 0);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < BLOCKS; i++) {
			uint8_t *here, *there;

			offsets[i] = gcl_heap_alloc(heap, 5 * MIB);
			assert_int_not_equal(offsets[i], GCL_HEAP_NONE);
			here = gcl_channel_heap_ptr(pair->guest, offsets[i], 5 * MIB);
			there = gcl_channel_heap_ptr(pair->worker, offsets[i], 5 * MIB);
			assert_non_null(here);
			assert_non_null(there);
			memset(here, (int)i, 5 * MIB);
			assert_int_equal(there[5 * MIB - 1], i);
		}
		assert_in_range(twin->chunks, BLOCKS * 5 / 2, BLOCKS * 5 / 2 + BLOCKS + 8);
		for (unsigned i = 0; i < BLOCKS; i++)
			gcl_heap_free(heap, offsets[i]);
		/* 256 MiB are kept. */
		assert_in_range(twin->chunks, 100, 128 + 40);
	}
	assert_int_not_equal(twin->releases, 0);
	gcl_heap_destroy(heap);
}

/* Small blocks take little more than they need, and few requests. */
static void test_ahead(void **state)
{
	struct pair *pair = *state;
	struct virtio_twin *twin = pair->twin;
	struct gcl_heap *heap;

	assert_int_equal(gcl_heap_create(pair->guest, &heap), 0);
	assert_int_not_equal(gcl_heap_alloc(heap, 1), GCL_HEAP_NONE);
	assert_int_equal(twin->chunks, 1);
	for (unsigned i = 0; i < 1600; i++)
		assert_int_not_equal(gcl_heap_alloc(heap, 65536), GCL_HEAP_NONE);
	assert_in_range(twin->chunks, 50, 58);
	assert_in_range(twin->populates, 2, 30);
	gcl_heap_destroy(heap);
}

static void test_short_of_memory(void **state)
{
	struct pair *pair = *state;
	struct virtio_twin *twin = pair->twin;
	struct gcl_heap *heap;
	uint64_t offset;

	twin->chunks_max = 20;
	assert_int_equal(gcl_heap_create(pair->guest, &heap), 0);
	offset = gcl_heap_alloc(heap, 38 * MIB);
	assert_int_not_equal(offset, GCL_HEAP_NONE);
	assert_int_equal(gcl_heap_alloc(heap, 38 * MIB), GCL_HEAP_NONE);
	assert_int_equal(gcl_heap_alloc(heap, 38 * MIB), GCL_HEAP_NONE);
	/* What there is can be used to the last chunk. */
	assert_int_not_equal(gcl_heap_alloc(heap, MIB), GCL_HEAP_NONE);
	assert_int_equal(twin->chunks, 20);
	gcl_heap_free(heap, offset);
	assert_int_equal(gcl_heap_alloc(heap, 38 * MIB), offset);
	gcl_heap_destroy(heap);
	assert_int_equal(gcl_channel_dead(pair->guest), 0);
}

/* A message may not name memory that is not there. */
static void test_payload_in_a_hole(void **state)
{
	struct gcl_frame head = {.number = 1, .payload_offset = CHUNK, .payload_size = 8};
	struct pair *pair = *state;
	uint8_t body[8];

	assert_int_equal(gcl_channel_heap_populate(pair->guest, 0, 3 * CHUNK), 0);
	assert_true(gcl_channel_send(pair->guest, &head, NULL, 0, 0) > 0);
	assert_int_equal(gcl_channel_receive(pair->worker, &head, body, sizeof body), 1);
	gcl_channel_heap_trim(pair->guest, CHUNK - 4096, 2 * CHUNK - 4096);
	assert_int_equal(pair->twin->chunks, 2);
	head = (struct gcl_frame){.number = 1, .payload_offset = CHUNK - 1, .payload_size = 2};
	assert_true(gcl_channel_send(pair->guest, &head, NULL, 0, 0) > 0);
	assert_int_equal(gcl_channel_receive(pair->worker, &head, body, sizeof body), -EPROTO);
}

/* ------------------------------------------------------------ windows */

/* The program's memory, at any address, is where the worker sees it, and goes when it is told to.
 */
static void test_pin(void **state)
{
	struct pair *pair = *state;
	uint8_t *memory = virtio_twin_program(pair->twin, MIB);
	struct gcl_frame head, back;
	uint64_t offset, other;
	uint8_t *there;
	uint8_t body[8];

	for (unsigned i = 0; i < MIB; i++)
		memory[i] = (uint8_t)(i * 7 + (i >> 12));
	assert_true(gcl_channel_pins(pair->guest));
	assert_int_equal(gcl_channel_pin(pair->guest, memory + 5000, 300000, true, &offset), 0);
	assert_true(offset >= GCL_HEAP_MAX);
	assert_int_equal(offset % 4096, 5000 % 4096);
	there = gcl_channel_heap_ptr(pair->worker, offset, 300000);
	assert_non_null(there);
	assert_memory_equal(there, memory + 5000, 300000);
	there[299999] ^= 0xff;
	assert_memory_equal(there, memory + 5000, 300000);
	assert_ptr_equal(gcl_channel_heap_ptr(pair->guest, offset + 7, 299993), memory + 5007);
	assert_null(gcl_channel_heap_ptr(pair->guest, offset + 7, 299994));
	assert_null(gcl_channel_heap_ptr(pair->guest, offset - 1, 1));
	assert_int_equal(gcl_channel_pin(pair->guest, memory + 5000, 1, false, &other), 0);
	assert_int_not_equal(other, offset);

	/* Messages name it both ways. */
	head = (struct gcl_frame){.number = 1, .payload_offset = offset, .payload_size = 300000};
	assert_true(gcl_channel_send(pair->guest, &head, NULL, 0, 0) > 0);
	assert_int_equal(gcl_channel_receive(pair->worker, &back, body, sizeof body), 1);
	assert_true(gcl_channel_send(pair->worker, &head, NULL, 0, 0) > 0);
	assert_int_equal(gcl_channel_receive(pair->guest, &back, body, sizeof body), 1);

	gcl_channel_unpin(pair->guest, offset);
	assert_null(gcl_channel_heap_ptr(pair->worker, offset, 1));
	assert_null(gcl_channel_heap_ptr(pair->guest, offset, 1));
	assert_non_null(gcl_channel_heap_ptr(pair->worker, other, 1));
	gcl_channel_unpin(pair->guest, offset);
	assert_true(gcl_channel_send(pair->guest, &head, NULL, 0, 0) > 0);
	assert_int_equal(gcl_channel_receive(pair->worker, &back, body, sizeof body), -EPROTO);
	gcl_channel_unpin(pair->guest, other);
}

static void test_no_pin(void **state)
{
	static uint8_t mine[8192];
	struct pair *pair = *state;
	uint8_t *memory = virtio_twin_program(pair->twin, MIB);
	uint64_t offsets[VIRTIO_CL_WINDOWS], offset;

	assert_int_equal(gcl_channel_pin(pair->guest, mine, sizeof mine, true, &offset), -EFAULT);
	for (unsigned i = 0; i < VIRTIO_CL_WINDOWS; i++)
		assert_int_equal(
			gcl_channel_pin(pair->guest, memory + i, MIB - i, true, offsets + i), 0);
	assert_int_equal(gcl_channel_pin(pair->guest, memory, 1, true, &offset), -ENOSPC);
	gcl_channel_unpin(pair->guest, offsets[17]);
	assert_int_equal(gcl_channel_pin(pair->guest, memory, 1, true, &offset), 0);
	gcl_channel_kill(pair->guest, -EIO);
	assert_int_equal(gcl_channel_pin(pair->guest, memory, 1, true, &offset), -EPIPE);
	gcl_channel_unpin(pair->guest, offsets[1]);
}

/* ------------------------------------------------------------ the link */

static void test_bad_messages(void **state)
{
	struct gcl_link_map map = {.op = GCL_LINK_UNMAP, .length = CHUNK};
	struct {
		size_t size;
		uint32_t op, count;
		const char *what;
	} cases[] = {
		{sizeof map - 1, GCL_LINK_UNMAP, 0, "short"},
		{sizeof map, GCL_LINK_MAP, 1, "segments missing"},
		{sizeof map, GCL_LINK_MAP, UINT32_MAX, "too many segments"},
		{sizeof map + 1, GCL_LINK_UNMAP, 0, "long"},
		{sizeof map, 99, 0, "unknown"},
		{sizeof map, GCL_LINK_MAP_RINGS, 0, "rings again"},
	};
	char bytes[sizeof map + 1] = {0};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct pair pair = pair_open();

		map.op = cases[i].op;
		map.segment_count = cases[i].count;
		memcpy(bytes, &map, sizeof map);
		assert_int_equal(send(pair.twin->link, bytes, cases[i].size, 0), cases[i].size);
		assert_int_equal(gcl_channel_wait(pair.guest, false, MANY_MS), -EPIPE);
		if (gcl_channel_dead(pair.worker) != -EPROTO)
			fail_msg("accepted: %s", cases[i].what);
		pair_close(&pair);
	}
}

static void test_refused_messages(void **state)
{
	struct gcl_link_segment segment = {.length = CHUNK};
	struct pair *pair = *state;
	struct virtio_twin *twin = pair->twin;
	int fds = fds_open();

	assert_int_equal(virtio_twin_ask(twin, GCL_LINK_MAP, 1, CHUNK, &segment, 1, twin->ram),
			 -EINVAL);
	assert_int_equal(virtio_twin_ask(twin, GCL_LINK_MAP, 0, CHUNK, &segment, 1, -1), -EINVAL);
	assert_int_equal(virtio_twin_ask(twin, GCL_LINK_UNMAP, 0, CHUNK, &segment, 1, twin->ram),
			 -EINVAL);
	assert_int_equal(virtio_twin_ask(twin, GCL_LINK_MAP, 0, CHUNK, &segment, 1, twin->ram), 0);
	assert_int_equal(virtio_twin_ask(twin, GCL_LINK_MAP, 0, CHUNK, &segment, 1, twin->ram),
			 -EEXIST);
	assert_int_equal(virtio_twin_ask(twin, GCL_LINK_UNMAP, 0, CHUNK, NULL, 0, -1), 0);
	/* None of the descriptors was kept. */
	assert_int_equal(fds_open(), fds);
	assert_int_equal(gcl_channel_dead(pair->worker), 0);
}

/* ------------------------------------------------------------ connecting */

static void expect_failure(const char *path, int err, const char *because)
{
	struct gcl_channel *channel = NULL;
	char reason[300] = "";
	int fds = fds_open();

	assert_int_equal(gcl_virtio_connect(path, &channel, reason, sizeof reason), err);
	assert_null(channel);
	assert_int_equal(fds_open(), fds);
	if (!strstr(reason, because) || strchr(reason, '\n'))
		fail_msg("\"%s\" instead of \"%s\"", reason, because);
}

static void test_no_device(void **state)
{
	(void)state;
	expect_failure("/nonexistent/virtio-cl", -ENOENT, "modprobe virtio_cl");
	expect_failure("/dev/null", -ENOTTY, "is not a virtio-cl device");
	expect_failure("/", -EISDIR, "cannot use /");
}

static void test_refusal(void **state)
{
	struct virtio_twin *twin;
	struct gcl_channel *channel = NULL;
	char reason[300] = "";

	(void)state;
	twin = virtio_twin_init(-1);
	twin->refusal = "64 of 64 sessions in use";
	assert_int_equal(gcl_virtio_connect_with(virtio_twin_calls(), "twin", &channel, reason,
						 sizeof reason),
			 -EBUSY);
	assert_string_equal(reason, "the host refused a session through twin: 64 of 64 sessions in "
				    "use");
	virtio_twin_fini();
}

/* Descriptors: what a session takes, it gives back. */
static void test_descriptors(void **state)
{
	int fds = fds_open();

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct pair pair = pair_open();

		if (i == 1)
			gcl_channel_kill(pair.guest, -EIO);
		if (i == 2)
			gcl_channel_kill(pair.worker, -EIO);
		pair_close(&pair);
		assert_int_equal(fds_open(), fds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_doorbells, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wakes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_new_doorbell, setup, teardown),
		cmocka_unit_test_setup_teardown(test_release_and_populate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ahead, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short_of_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_payload_in_a_hole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pin, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_pin, setup, teardown),
		cmocka_unit_test(test_bad_messages),
		cmocka_unit_test_setup_teardown(test_refused_messages, setup, teardown),
		cmocka_unit_test(test_no_device),
		cmocka_unit_test(test_refusal),
		cmocka_unit_test(test_descriptors),
	};

	pair_kind_set("virtio");
	return cmocka_run_group_tests_name("virtio", tests, NULL, NULL);
}
