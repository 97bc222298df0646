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
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "pair.h"
#include "shm.h"
#include "test.h"

#define LOST_MS 5000

/* One direction, in memory that both sides use at the same address. */
struct way {
	struct gcl_ring_shared shared;
	_Alignas(8) uint8_t data[GCL_RING_SIZE_MIN];
};

struct side {
	struct gcl_ring in;
	struct gcl_ring out;
	int own_bell;
	int peer_bell;
	uint64_t random;
	uint64_t sleeps[2]; /* for frames, for room */
};

static struct way ways[2];

static void sides_init(struct side sides[2])
{
	memset(ways, 0, sizeof ways);
	for (unsigned i = 0; i < 2; i++) {
		sides[i] = (struct side){.own_bell = eventfd(0, 0), .random = i + 1};
		gcl_ring_init(&sides[i].out, &ways[i].shared, ways[i].data, GCL_RING_SIZE_MIN);
		gcl_ring_init(&sides[i].in, &ways[!i].shared, ways[!i].data, GCL_RING_SIZE_MIN);
	}
	sides[0].peer_bell = sides[1].own_bell;
	sides[1].peer_bell = sides[0].own_bell;
}

static void sides_fini(struct side sides[2])
{
	for (unsigned i = 0; i < 2; i++) {
		print_message("slept %llu times for frames, %llu for room\n",
			      (unsigned long long)sides[i].sleeps[0],
			      (unsigned long long)sides[i].sleeps[1]);
		close(sides[i].own_bell);
	}
}

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

/* So that the two sides meet at every step of each other's: mostly for a moment, sometimes for
 * about as long as it takes to be woken. */
static void dawdle(uint64_t *random)
{
	for (volatile unsigned i = test_random(random) % (2u << test_random(random) % 14); i > 0;)
		i = i - 1;
}

static void side_sleep(struct side *side, bool producer)
{
	struct gcl_ring *ring = producer ? &side->out : &side->in;
	struct pollfd bell = {.fd = side->own_bell, .events = POLLIN};
	uint64_t count;

	dawdle(&side->random);
	if (!gcl_ring_sleep_begin(ring, producer))
		return;
	side->sleeps[producer]++;
	if (poll(&bell, 1, LOST_MS) != 1) {
		fprintf(stderr, "lost wake-up of the %s\n", producer ? "producer" : "consumer");
		abort();
	}
	gcl_ring_sleep_end(ring, producer);
	if (read(side->own_bell, &count, sizeof count) < 0)
		abort();
}

static void side_ring(struct side *side)
{
	uint64_t one = 1;

	if (write(side->peer_bell, &one, sizeof one) < 0)
		abort();
}

static void side_send(struct side *side, struct gcl_frame head, size_t size)
{
	void *body;

	while (gcl_ring_reserve(&side->out, size, &body))
		side_sleep(side, true);
	memset(body, (int)(head.sequence & 0xff), size);
	dawdle(&side->random);
	if (gcl_ring_commit(&side->out, &head, size))
		side_ring(side);
}

/* Return: the flags of the frame, which must be the one with this sequence. */
static uint16_t side_receive(struct side *side, uint64_t sequence)
{
	static _Thread_local uint8_t body[GCL_FRAME_BODY_MAX];
	struct gcl_frame head;
	bool wake = false;
	size_t size;
	int n;

	while ((n = gcl_ring_receive(&side->in, &head, body, sizeof body, &wake)) == 0)
		side_sleep(side, false);
	if (wake)
		side_ring(side);
	size = head.length - sizeof head;
	if (n != 1 || head.sequence != sequence ||
	    (size && (body[0] != (sequence & 0xff) || body[size - 1] != (sequence & 0xff)))) {
		fprintf(stderr, "frame %llu came damaged\n", (unsigned long long)sequence);
		abort();
	}
	return head.flags;
}

#define LAST 1 /* flag of the last frame */

/* One frame there, one back: whoever isn't woken stops both for good. */
static void *ping(void *arg)
{
	struct side *side = arg;
	double end = now() + stress_seconds();
	struct gcl_frame head = {0};

	while (!head.flags) {
		head.sequence++;
		if (head.sequence % 64 == 0 && now() > end)
			head.flags = LAST;
		side_send(side, head, 8);
		side_receive(side, head.sequence);
	}
	return NULL;
}

static void pong(struct side *side)
{
	struct gcl_frame head = {0};
	bool last;

	do {
		head.sequence++;
		last = side_receive(side, head.sequence);
		side_send(side, head, 8);
	} while (!last);
}

/* As much as the ring takes, in frames of very different sizes. */
static void *flood(void *arg)
{
	struct side *side = arg;
	double end = now() + stress_seconds();
	struct gcl_frame head = {0};

	while (!head.flags) {
		bool large = test_random(&side->random) % 128 == 0;

		head.sequence++;
		if (head.sequence % 64 == 0 && now() > end)
			head.flags = LAST;
		side_send(side, head, large ? 30000 : test_random(&side->random) % 64);
	}
	return NULL;
}

static void drain(struct side *side)
{
	uint64_t sequence = 0;

	while (!side_receive(side, ++sequence)) {
		/* Now and then so slow that the ring fills up. */
		if (test_random(&side->random) % 8192 == 0)
			nanosleep(&(struct timespec){0, 300000}, NULL);
	}
}

/* Where they share a CPU the two are never at work at the same time. */
static void cpu_choose(pthread_t thread, unsigned which)
{
	cpu_set_t all, one;

	CPU_ZERO(&one);
	if (sched_getaffinity(0, sizeof all, &all) < 0)
		return;
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &all) && which-- == 0) {
			CPU_SET(cpu, &one);
			pthread_setaffinity_np(thread, sizeof one, &one);
			return;
		}
	}
}

static void threads_run(void *(*one)(void *), void (*other)(struct side *))
{
	struct side sides[2];
	cpu_set_t before;
	pthread_t thread;

	sides_init(sides);
	pthread_getaffinity_np(pthread_self(), sizeof before, &before);
	assert_int_equal(pthread_create(&thread, NULL, one, &sides[0]), 0);
	cpu_choose(thread, 0);
	cpu_choose(pthread_self(), 1);
	other(&sides[1]);
	pthread_join(thread, NULL);
	pthread_setaffinity_np(pthread_self(), sizeof before, &before);
	sides_fini(sides);
}

static void test_ping(void **state)
{
	(void)state;
	threads_run(ping, pong);
}

static void test_flood(void **state)
{
	(void)state;
	threads_run(flood, drain);
}

/* Waits go to sleep at once. */
static void impatience(struct gcl_channel *channel)
{
	struct gcl_shm *local = (struct gcl_shm *)channel;

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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ping),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_processes),
	};

	pair_kind_set(argc > 1 ? argv[1] : "local");
	return cmocka_run_group_tests_name("stress", tests, NULL, NULL);
}
