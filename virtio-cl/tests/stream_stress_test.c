// SPDX-License-Identifier: MIT
/*
 * Both ends of a stream busy in both directions, with everything at once: messages and payloads of
 * all sizes, memory that is trimmed and used again, threads that are interrupted, a reader that
 * pauses. What arrives is compared byte by byte; a lost wake-up shows as a wait that times out.
 *
 * Runs for GUESTCL_STRESS_SECONDS (default 1); both ends live in this process, so that a thread
 * checker sees them.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "pair.h"
#include "stream-channel.h"
#include "test.h"

#define LOST_MS 20000
#define HEAP	(32ull << 20)

/* Each message uses a block of its own, which is free again when the peer has answered. */
#define BLOCKS	   64u
#define BLOCK_SIZE (256u << 10)

struct side {
	struct gcl_channel *channel;
	bool guest;
	_Atomic unsigned answered; /* of our messages */
	_Atomic unsigned owed;	   /* answers to the peer's */
	_Atomic bool posted_all;
	_Atomic bool peer_posted_all;
	uint64_t random;
	_Atomic unsigned posted;
};

enum { ASK = 1, ANSWER, LAST };

static double end;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* The two directions have halves of the heap of their own. */
static uint64_t block_of(bool guest, unsigned i)
{
	return (guest ? 0 : HEAP / 2) + (uint64_t)(i % BLOCKS) * BLOCK_SIZE;
}

static void stop(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static void side_send(struct side *side, struct gcl_frame head, size_t size)
{
	static const uint8_t text[3 * GCL_FRAME_BODY_MAX];

	if (gcl_channel_send(side->channel, &head, text, size, LOST_MS) < 0)
		stop("cannot send");
}

static uint8_t byte_of(unsigned i)
{
	return (uint8_t)(i * 7 + 1);
}

static void ask(struct side *side)
{
	unsigned i = side->posted;
	struct gcl_frame head = {
		.number = ASK,
		.payload_offset = block_of(side->guest, i),
		.payload_size = test_random(&side->random) %
				(test_random(&side->random) % 4 ? 300 : BLOCK_SIZE),
	};
	bool large = test_random(&side->random) % 50 == 0;

	if (side->guest && test_random(&side->random) % 8 == 0)
		gcl_channel_heap_trim(side->channel, head.payload_offset, BLOCK_SIZE);
	memset(gcl_channel_heap_ptr(side->channel, head.payload_offset, BLOCK_SIZE), byte_of(i),
	       head.payload_size);
	side_send(side, head, (large ? 2 * GCL_FRAME_BODY_MAX : 0) + i % 100);
	side->posted++;
	if (test_random(&side->random) % 64 == 0)
		gcl_channel_interrupt(side->channel);
}

/* Posts messages, using a block again when its last message was answered; and the answers, since
 * one that receives must never wait for room. */
static void *post(void *arg)
{
	struct side *side = arg;

	while (!side->posted_all || !side->peer_posted_all || side->owed) {
		if (side->owed) {
			side_send(side, (struct gcl_frame){.number = ANSWER}, 0);
			side->owed--;
		} else if (!side->posted_all && now() > end) {
			side->posted++; /* it is answered, too */
			side->posted_all = true;
			side_send(side, (struct gcl_frame){.number = LAST}, 0);
		} else if (!side->posted_all && side->posted - side->answered < BLOCKS) {
			ask(side);
		} else {
			sched_yield();
		}
	}
	return NULL;
}

static void payload_check(const struct side *side, const struct gcl_frame *head, unsigned i)
{
	const uint8_t *bytes =
		gcl_channel_heap_ptr(side->channel, head->payload_offset, head->payload_size);

	for (uint64_t k = 0; k < head->payload_size; k++)
		if (bytes[k] != byte_of(i))
			stop("a payload came damaged");
}

/* Receives until both sides have said that nothing more will come. */
static void *receive(void *arg)
{
	static _Thread_local uint8_t body[3 * GCL_FRAME_BODY_MAX];
	struct side *side = arg;
	uint64_t random = side->guest ? 77 : 78;
	unsigned asked = 0;

	while (!side->peer_posted_all || !side->posted_all || side->answered < side->posted) {
		struct gcl_frame head;
		size_t size;
		int n = message_receive(side->channel, &head, body, sizeof body, &size, LOST_MS);

		if (n != 1)
			stop("a message is missing");
		switch (head.number) {
		case ASK:
			payload_check(side, &head, asked++);
			side->owed++;
			break;
		case ANSWER:
			side->answered++;
			break;
		default:
			side->owed++;
			side->peer_posted_all = true;
		}
		if (test_random(&random) % 4096 == 0)
			nanosleep(&(struct timespec){0, 3000000}, NULL);
	}
	return NULL;
}

static struct gcl_channel *end_make(bool guest, int conn)
{
	struct gcl_greeting greeting;
	struct gcl_channel *channel = NULL;
	void *heap = gcl_stream_heap_map(HEAP);

	gcl_greeting_init(&greeting);
	gcl_hello_fill(&greeting.hello);
	greeting.hello.commands_size = GCL_RING_SIZE_MIN * 2;
	greeting.hello.heap_size = HEAP;
	greeting.conn = conn;
	assert_non_null(heap);
	assert_int_equal(gcl_stream_create(guest, &greeting, heap, &channel), 0);
	return channel;
}

static void test_both_ways(void **state)
{
	const char *seconds = getenv("GUESTCL_STRESS_SECONDS");
	struct side sides[2];
	pthread_t threads[4];
	int fds[2], small = 8192;

	(void)state;
	end = now() + (seconds ? atof(seconds) : 1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	for (unsigned i = 0; i < 2; i++) {
		sides[i] = (struct side){.guest = i == 0, .random = i + 1};
		sides[i].channel = end_make(i == 0, fds[i]);
		/* So small that it is full most of the time. */
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	}
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, i < 2 ? post : receive, &sides[i % 2]),
			0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	print_message("%u and %u messages\n", sides[0].posted, sides[1].posted);
	for (unsigned i = 0; i < 2; i++)
		gcl_channel_close(sides[i].channel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_both_ways)};

	return cmocka_run_group_tests_name("stream stress", tests, NULL, NULL);
}
