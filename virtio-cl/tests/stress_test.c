/*
 * Sleeping and waking, over and over: a lost wake-up shows as a wait that times out.
 *
 * First two threads on one piece of memory, so that a thread checker sees both sides; then a whole
 * channel between two processes that sleep at once instead of looking for a while. Runs for
 * GUESTCL_STRESS_SECONDS each (default 1).
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "local-channel.h"
#include "pair.h"
#include "test.h"

#define LOST_MS 5000

struct side {
	struct gcl_ring ring;
	int own_bell;
	int peer_bell;
	uint64_t random;
};

static struct {
	struct gcl_ring_shared shared;
	_Alignas(8) uint8_t data[GCL_RING_SIZE_MIN];
	_Atomic bool stop;
	uint64_t sleeps[2];
} memory;

static double stress_seconds(void)
{
	const char *seconds = getenv("GUESTCL_STRESS_SECONDS");

	return seconds ? atof(seconds) : 1;
}

static double now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* So that the two sides meet at every step of each other's. */
static void dawdle(uint64_t *random)
{
	for (volatile unsigned i = test_random(random) % 200; i > 0;)
		i = i - 1;
}

static void side_sleep(struct side *side, bool producer)
{
	struct pollfd bell = {.fd = side->own_bell, .events = POLLIN};
	uint64_t count;

	dawdle(&side->random);
	if (!gcl_ring_sleep_begin(&side->ring, producer))
		return;
	memory.sleeps[producer]++;
	if (poll(&bell, 1, LOST_MS) != 1) {
		fprintf(stderr, "lost wake-up of the %s\n", producer ? "producer" : "consumer");
		abort();
	}
	gcl_ring_sleep_end(&side->ring, producer);
	if (read(side->own_bell, &count, sizeof count) < 0)
		abort();
}

static void side_ring(struct side *side)
{
	uint64_t one = 1;

	if (write(side->peer_bell, &one, sizeof one) < 0)
		abort();
}

static void *produce(void *arg)
{
	struct side *side = arg;
	double end = now() + stress_seconds();
	uint64_t count = 0;
	void *body;

	do {
		bool large = test_random(&side->random) % 4096 < 40;
		size_t size = large ? 30000 : 8 + test_random(&side->random) % 64;
		struct gcl_frame head = {.sequence = ++count, .flags = 0};

		while (gcl_ring_reserve(&side->ring, size, &body))
			side_sleep(side, true);
		memset(body, (int)(count & 0xff), size);
		dawdle(&side->random);
		if (count % 64 == 0 && now() > end)
			head.flags = 1;
		if (gcl_ring_commit(&side->ring, &head, size))
			side_ring(side);
		if (head.flags)
			return NULL;
	} while (true);
}

static void consume(struct side *side)
{
	static uint8_t body[GCL_FRAME_BODY_MAX];
	struct gcl_frame head = {0};
	uint64_t count = 0;

	do {
		bool wake = false;
		int n = gcl_ring_receive(&side->ring, &head, body, sizeof body, &wake);

		if (wake)
			side_ring(side);
		if (n == 0) {
			side_sleep(side, false);
			continue;
		}
		assert_int_equal(n, 1);
		assert_int_equal(head.sequence, ++count);
		assert_int_equal(body[0], count & 0xff);
		assert_int_equal(body[head.length - sizeof head - 1], count & 0xff);
		/* Now and then so slow that the ring fills up. */
		if (test_random(&side->random) % 8192 == 0)
			nanosleep(&(struct timespec){0, 300000}, NULL);
		dawdle(&side->random);
	} while (!head.flags);
}

static void test_threads(void **state)
{
	struct side consumer = {.own_bell = eventfd(0, 0), .random = 1};
	struct side producer = {.own_bell = eventfd(0, 0), .random = 2};
	pthread_t thread;

	(void)state;
	consumer.peer_bell = producer.own_bell;
	producer.peer_bell = consumer.own_bell;
	gcl_ring_init(&consumer.ring, &memory.shared, memory.data, sizeof memory.data);
	gcl_ring_init(&producer.ring, &memory.shared, memory.data, sizeof memory.data);
	assert_int_equal(pthread_create(&thread, NULL, produce, &producer), 0);
	consume(&consumer);
	pthread_join(thread, NULL);
	print_message("slept %llu times for frames, %llu for room\n",
		      (unsigned long long)memory.sleeps[0], (unsigned long long)memory.sleeps[1]);
	close(consumer.own_bell);
	close(producer.own_bell);
}

/* Waits go to sleep at once. */
static void impatience(struct gcl_channel *channel)
{
	struct gcl_local *local = (struct gcl_local *)channel;

	local->in.pause_max_ns = local->out.pause_max_ns = 0;
	local->in.pause_ns = local->out.pause_ns = 0;
	local->in.spin_ns = local->out.spin_ns = 0;
}

static void worker_answer(struct gcl_channel *channel)
{
	static uint8_t body[GCL_FRAME_BODY_MAX];
	uint64_t random = 3;
	int n;

	do {
		struct gcl_frame head;
		size_t size;

		impatience(channel);
		dawdle(&random);
		n = message_receive(channel, &head, body, sizeof body, &size, LOST_MS);
		if (n == 1 && gcl_channel_send(channel, &head, body, size, LOST_MS) < 0)
			_exit(1);
	} while (n == 1);
	if (n != -EPIPE)
		_exit(2);
}

static void test_processes(void **state)
{
	static uint8_t body[GCL_FRAME_BODY_MAX];
	struct pair pair = pair_fork(worker_answer);
	double end = now() + stress_seconds();
	uint64_t random = 4, sent = 0, received = 0;

	(void)state;
	while (now() < end) {
		struct gcl_frame head = {.number = 1};
		size_t size;

		/* Sometimes a burst, sometimes one at a time. */
		for (unsigned i = test_random(&random) % 4; i > 0; i--) {
			impatience(pair.guest);
			dawdle(&random);
			assert_int_equal(gcl_channel_send(pair.guest, &head, body,
							  test_random(&random) % 2000, LOST_MS),
					 ++sent);
		}
		while (received < sent) {
			impatience(pair.guest);
			assert_int_equal(message_receive(pair.guest, &head, body, sizeof body,
							 &size, LOST_MS),
					 1);
			assert_int_equal(head.sequence, ++received);
		}
	}
	print_message("%llu messages there and back\n", (unsigned long long)received);
	pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_processes),
	};

	return cmocka_run_group_tests_name("stress", tests, NULL, NULL);
}
