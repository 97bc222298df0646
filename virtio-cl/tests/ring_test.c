/*
 * The ring alone: two views of one piece of memory in one thread, and what a hostile peer may do.
 */
#include "ring.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#define SIZE GCL_RING_SIZE_MIN

struct fixture {
	struct gcl_ring_shared shared;
	struct gcl_ring in;
	struct gcl_ring out;
	_Alignas(8) uint8_t data[SIZE];
	uint8_t body[GCL_FRAME_BODY_MAX];
};

/* A ring whose indices start at @start. */
static void fixture_init(struct fixture *fix, uint32_t start)
{
	memset(fix, 0, sizeof *fix);
	gcl_ring_init(&fix->in, &fix->shared, fix->data, SIZE);
	gcl_ring_init(&fix->out, &fix->shared, fix->data, SIZE);
	fix->in.own = fix->in.seen = fix->out.own = fix->out.seen = start;
	fix->shared.head = fix->shared.tail = start;
}

static int setup(void **state)
{
	*state = malloc(sizeof(struct fixture));
	fixture_init(*state, 0);
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static uint8_t pattern(uint16_t number, size_t i)
{
	return (uint8_t)(number * 31 + i * 7 + (i >> 8));
}

static int put(struct fixture *fix, uint16_t number, size_t size)
{
	struct gcl_frame head = {.number = number, .sequence = number};
	void *body;
	int err = gcl_ring_reserve(&fix->out, size, &body);

	if (err)
		return err;
	for (size_t i = 0; i < size; i++)
		((uint8_t *)body)[i] = pattern(number, i);
	gcl_ring_commit(&fix->out, &head, size);
	return 0;
}

static int take(struct fixture *fix, struct gcl_frame *head)
{
	bool wake = false;

	return gcl_ring_receive(&fix->in, head, fix->body, sizeof fix->body, &wake);
}

static void expect(struct fixture *fix, uint16_t number, size_t size)
{
	struct gcl_frame head;

	assert_int_equal(take(fix, &head), 1);
	assert_int_equal(head.number, number);
	assert_int_equal(head.length, sizeof head + size);
	for (size_t i = 0; i < size; i++) {
		if (fix->body[i] != pattern(number, i))
			fail_msg("byte %zu of frame %u is wrong", i, number);
	}
}

static void test_all_lengths(void **state)
{
	struct fixture *fix = *state;
	uint16_t number = 1;

	for (size_t size = 0; size <= GCL_FRAME_BODY_MAX; number++) {
		assert_int_equal(put(fix, number, size), 0);
		expect(fix, number, size);
		assert_false(gcl_ring_readable(&fix->in));
		/* The last ones of all, and in between steps that meet every alignment. */
		size += size < 1000 || size > GCL_FRAME_BODY_MAX - 100 ? 1 : 61;
	}
}

static void test_too_long(void **state)
{
	struct fixture *fix = *state;
	void *body;

	assert_int_equal(gcl_ring_reserve(&fix->out, GCL_FRAME_BODY_MAX + 1, &body), -EMSGSIZE);
	assert_int_equal(gcl_ring_reserve(&fix->out, SIZE_MAX - 40, &body), -EMSGSIZE);
}

static void test_full(void **state)
{
	struct fixture *fix = *state;
	uint16_t sent = 0, received = 0;

	while (put(fix, sent, 100) == 0)
		sent++;
	assert_int_equal(put(fix, sent, 100), -EAGAIN);
	assert_int_equal(sent, SIZE / 136);
	assert_false(gcl_ring_writable(&fix->out));
	for (; received < sent; received++)
		expect(fix, received, 100);
	assert_true(gcl_ring_writable(&fix->out));
	assert_int_equal(put(fix, 7, GCL_FRAME_BODY_MAX), 0);
	expect(fix, 7, GCL_FRAME_BODY_MAX);
}

/* A record that would cross the end goes to the beginning, and costs what it skips. */
static void test_skip_record(void **state)
{
	struct fixture *fix = *state;
	void *body;

	fixture_init(fix, SIZE - 64);
	assert_int_equal(gcl_ring_reserve(&fix->out, 32, &body), 0);
	assert_ptr_equal(body, fix->data + SIZE - 32);
	assert_int_equal(gcl_ring_reserve(&fix->out, 33, &body), 0);
	assert_ptr_equal(body, fix->data + 32);
	assert_int_equal(put(fix, 1, 33), 0);
	assert_int_equal(fix->shared.head - (SIZE - 64), 64 + 72);
	expect(fix, 1, 33);

	/* Eight bytes to the end hold no header, but a skip record. */
	fixture_init(fix, SIZE - 8);
	assert_int_equal(put(fix, 2, 0), 0);
	expect(fix, 2, 0);
}

static void test_forgotten_reservation(void **state)
{
	struct fixture *fix = *state;
	void *body;

	fixture_init(fix, SIZE - 64);
	for (int i = 0; i < 100; i++)
		assert_int_equal(gcl_ring_reserve(&fix->out, 5000, &body), 0);
	assert_false(gcl_ring_readable(&fix->in));
	assert_int_equal(put(fix, 3, 32), 0);
	expect(fix, 3, 32);
}

/* A commit of less than was reserved; a commit of more is cut, since the rest may be in use. */
static void test_commit_sizes(void **state)
{
	struct fixture *fix = *state;
	struct gcl_frame head = {.number = 1};
	void *body;

	assert_int_equal(gcl_ring_reserve(&fix->out, 1000, &body), 0);
	gcl_ring_commit(&fix->out, &head, 0);
	assert_int_equal(take(fix, &head), 1);
	assert_int_equal(head.length, sizeof head);
	assert_int_equal(gcl_ring_reserve(&fix->out, 64, &body), 0);
	gcl_ring_commit(&fix->out, &head, 1000);
	assert_int_equal(take(fix, &head), 1);
	assert_int_equal(head.length, sizeof head + 64);
}

static void random_traffic(struct fixture *fix, uint32_t start)
{
	uint64_t random = start + 1;
	size_t sizes[8192];
	uint16_t sent = 0, received = 0;

	fixture_init(fix, start);
	while (sent < 8000) {
		for (unsigned i = test_random(&random) % 40; i > 0; i--) {
			size_t size = test_random(&random) % (1u << test_random(&random) % 17);

			if (size > GCL_FRAME_BODY_MAX)
				size = GCL_FRAME_BODY_MAX;
			if (put(fix, sent, size))
				break;
			sizes[sent++] = size;
		}
		for (unsigned i = test_random(&random) % 40; i > 0 && received < sent; i--) {
			expect(fix, received, sizes[received]);
			received++;
		}
	}
	while (received < sent) {
		expect(fix, received, sizes[received]);
		received++;
	}
	assert_false(gcl_ring_readable(&fix->in));
}

static void test_random_traffic(void **state)
{
	random_traffic(*state, 0);
	random_traffic(*state,
		       UINT32_MAX - SIZE / 3 - 7); /* aligned; the indices wrap on the way */
}

/* Each is a head and, at the consumer's position, a length that the producer may never write. */
static void test_hostile_producer(void **state)
{
	static const struct {
		const char *what;
		uint32_t start, head, length;
		int64_t first_of_data; /* length at the beginning of the data, behind a skip */
	} cases[] = {
		{"head not aligned", 0, 41, 41, 0},
		{"head ahead of the ring's size", 0, SIZE + 8, 40, 0},
		{"head far behind", 4096, 4088, 40, 0},
		{"length of less than a header", 0, 4096, 31, 0},
		{"length of more than a frame", 0, SIZE, GCL_FRAME_MAX + 1, 0},
		{"length near 2^32", 0, SIZE, UINT32_MAX, 0},
		{"length of more than there is", 0, 64, 65, 0},
		{"record across the end", SIZE - 64, SIZE + 4096, 72, 0},
		{"skip of the whole ring", 0, SIZE, 0, 0},
		{"skip of more than there is", SIZE - 4096, SIZE - 2048, 0, 0},
		{"skip with nothing behind it", SIZE - 4096, SIZE, 0, 40},
		{"skip behind a skip", SIZE - 4096, SIZE + 4096, 0, 0},
		{"short length behind a skip", SIZE - 4096, SIZE + 4096, 0, 8},
		{"long length behind a skip", SIZE - 4096, SIZE + 64, 0, 72},
	};
	struct fixture *fix = *state;
	struct gcl_frame head;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint32_t first = (uint32_t)cases[i].first_of_data;

		fixture_init(fix, cases[i].start);
		memcpy(fix->data, &first, sizeof first);
		memcpy(fix->data + cases[i].start % SIZE, &cases[i].length, sizeof(uint32_t));
		fix->shared.head = cases[i].head;
		assert_true(gcl_ring_readable(&fix->in));
		if (take(fix, &head) != -EPROTO)
			fail_msg("accepted: %s", cases[i].what);
	}
}

static void test_head_goes_back(void **state)
{
	struct fixture *fix = *state;
	struct gcl_frame head;

	put(fix, 1, 8);
	put(fix, 2, 8);
	expect(fix, 1, 8);
	expect(fix, 2, 8);
	fix->shared.head -= 40;
	assert_int_equal(take(fix, &head), -EPROTO);
}

/* The body must fit the caller's buffer, whatever the frame says. */
static void test_small_buffer(void **state)
{
	struct fixture *fix = *state;
	struct gcl_frame head;
	bool wake = false;

	put(fix, 1, 100);
	assert_int_equal(gcl_ring_receive(&fix->in, &head, fix->body, 99, &wake), -EPROTO);
}

static void test_hostile_consumer(void **state)
{
	static const uint32_t tails[] = {4, 1, SIZE * 2, UINT32_MAX - 7, 0x80000000u, SIZE + 40};
	struct fixture *fix = *state;
	void *body;

	for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
		fixture_init(fix, 0);
		while (put(fix, 1, 32) == 0)
			;
		fix->shared.tail = tails[i];
		assert_true(gcl_ring_writable(&fix->out));
		assert_int_equal(gcl_ring_reserve(&fix->out, 32, &body), -EPROTO);
	}
	/* Back to where it had been before. */
	fixture_init(fix, 0);
	while (put(fix, 1, 32) == 0)
		;
	fix->shared.tail = 64;
	assert_int_equal(put(fix, 1, 32), 0);
	fix->shared.tail = 0;
	assert_int_equal(gcl_ring_reserve(&fix->out, 32, &body), -EPROTO);
}

static void test_consumer_sleeps(void **state)
{
	struct fixture *fix = *state;
	struct gcl_frame head = {0};
	void *body;

	assert_true(gcl_ring_sleep_begin(&fix->in, false));
	assert_int_equal(gcl_ring_reserve(&fix->out, 0, &body), 0);
	assert_true(gcl_ring_commit(&fix->out, &head, 0));
	/* One sleep, one doorbell. */
	assert_int_equal(gcl_ring_reserve(&fix->out, 0, &body), 0);
	assert_false(gcl_ring_commit(&fix->out, &head, 0));
	gcl_ring_sleep_end(&fix->in, false);
	assert_false(gcl_ring_sleep_begin(&fix->in, false));
	assert_int_equal(fix->shared.consumer_sleeps, 0);
}

static void test_producer_sleeps(void **state)
{
	struct fixture *fix = *state;
	struct gcl_frame head;
	bool wake = false;
	uint32_t left;

	assert_false(gcl_ring_sleep_begin(&fix->out, true));
	assert_int_equal(fix->shared.producer_sleeps, 0);
	/* What the consumer knows of head is old by the time the ring is full. */
	put(fix, 1, 100);
	put(fix, 1, 100);
	expect(fix, 1, 100);
	while (put(fix, 1, 100) == 0)
		;
	assert_true(gcl_ring_sleep_begin(&fix->out, true));
	while (!wake)
		assert_int_equal(
			gcl_ring_receive(&fix->in, &head, fix->body, sizeof fix->body, &wake), 1);
	left = fix->shared.head - fix->shared.tail;
	assert_true(left <= SIZE / 2 && left > SIZE / 2 - 136);
	assert_int_equal(fix->shared.producer_sleeps, 0);
}

/* Whatever a producer that sleeps has put in, reading it all wakes it. */
static void test_producer_always_woken(void **state)
{
	struct fixture *fix = *state;
	struct gcl_frame head;

	for (uint32_t start = 0; start < SIZE; start += 4096) {
		for (size_t size = 8; size < GCL_FRAME_BODY_MAX; size = size * 3 + 8) {
			bool wake = false;

			fixture_init(fix, start);
			while (gcl_ring_writable(&fix->out))
				assert_int_equal(put(fix, 1, size), 0);
			assert_true(gcl_ring_sleep_begin(&fix->out, true));
			while (gcl_ring_receive(&fix->in, &head, fix->body, sizeof fix->body,
						&wake) == 1)
				;
			assert_true(wake);
			assert_true(gcl_ring_writable(&fix->out));
		}
	}
}

#define SCRIBBLED 4096u /* bytes at the beginning of the data */

static _Atomic bool scribbler_stop;

/* Writes good and bad lengths wherever a record may begin. */
static void *scribble(void *arg)
{
	static const uint32_t lengths[] = {
		40, 0, 32, 31, 1000, 60000, GCL_FRAME_MAX, GCL_FRAME_MAX + 1, UINT32_MAX, 1u << 31};
	struct fixture *fix = arg;
	uint64_t random = 5;

	while (!scribbler_stop) {
		uint32_t offset = (uint32_t)test_random(&random) % (SCRIBBLED / 8) * 8;
		uint32_t length = lengths[test_random(&random) % 10];

		__atomic_store_n((uint32_t *)(void *)(fix->data + offset), length,
				 __ATOMIC_RELAXED);
	}
	return NULL;
}

/* What is checked must be what is used, though the peer writes all the while. */
static void test_scribbler(void **state)
{
	struct fixture *fix = *state;
	unsigned accepted = 0;
	pthread_t thread;

	if (TEST_THREADS_CHECKED)
		skip();
	scribbler_stop = false;
	assert_int_equal(pthread_create(&thread, NULL, scribble, fix), 0);
	for (uint32_t round = 0; round < 50000 || accepted < 5000; round++) {
		/* In memory of its own, of exactly the size that the call is told. */
		uint8_t *body = malloc(1000);
		struct gcl_frame head;
		bool wake;

		fix->in.own = fix->in.seen = round * 8 % SCRIBBLED;
		fix->shared.head = fix->in.own + SIZE / 2;
		if (gcl_ring_receive(&fix->in, &head, body, 1000, &wake) == 1) {
			accepted++;
			assert_in_range(head.length, sizeof head, sizeof head + 1000);
		}
		free(body);
	}
	scribbler_stop = true;
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_lengths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_skip_record, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forgotten_reservation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_commit_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random_traffic, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_producer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_head_goes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_small_buffer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_consumer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_consumer_sleeps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_producer_sleeps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_producer_always_woken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scribbler, setup, teardown),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
