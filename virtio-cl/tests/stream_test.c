// SPDX-License-Identifier: MIT
/*
 * The stream channel against peers that send their bytes in every possible piece, the wrong bytes,
 * or none; and what it does when the socket is full. What it has in common with other channels is
 * tested by local_test.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pair.h"
#include "stream-channel.h"
#include "test.h"

#define MANY_MS 10000 /* long enough for any machine; reaching it is a failure */
#define HEAP	(64ull << 20)

static uint8_t body[GCL_FRAME_BODY_MAX];

static void doze_ms(long ms)
{
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* One end of a channel over @conn, which is taken over. */
static struct gcl_channel *end_make(bool guest, int conn)
{
	struct gcl_greeting greeting;
	struct gcl_channel *channel = NULL;
	void *heap = gcl_stream_heap_map(HEAP);

	gcl_greeting_init(&greeting);
	gcl_hello_fill(&greeting.hello);
	greeting.kind = GCL_GREETING_STREAM;
	greeting.hello.heap_size = HEAP;
	greeting.conn = conn;
	assert_non_null(heap);
	assert_int_equal(gcl_stream_create(guest, &greeting, heap, &channel), 0);
	return channel;
}

/* A worker's channel whose peer is this test itself, at the other end of a plain socket. */
struct raw {
	struct gcl_channel *channel;
	int peer;
};

static struct raw raw_open(void)
{
	struct raw raw;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	raw.channel = end_make(false, fds[0]);
	raw.peer = fds[1];
	return raw;
}

static void raw_close(struct raw *raw)
{
	gcl_channel_close(raw->channel);
	if (raw->peer >= 0)
		close(raw->peer);
}

static void raw_send(const struct raw *raw, const void *data, size_t size)
{
	assert_int_equal(send(raw->peer, data, size, MSG_NOSIGNAL), size);
}

/* Frame, body and payload as they are on the wire. */
static size_t wire_put(uint8_t *wire, struct gcl_frame head, size_t body_size, const void *payload)
{
	size_t size = sizeof head + body_size;

	head.length = (uint32_t)size;
	memcpy(wire, &head, sizeof head);
	memset(wire + sizeof head, (int)head.sequence, body_size);
	if (payload) {
		memcpy(wire + size, payload, head.payload_size);
		size += head.payload_size;
	}
	return size;
}

/* Two messages with payloads and one without, cut in two at every place. */
static void test_every_cut(void **state)
{
	static uint8_t wire[1000];
	const uint8_t payload[150] = "what follows the frame";
	struct gcl_frame head = {.number = 7, .sequence = 1, .payload_offset = 5000};
	size_t size;

	(void)state;
	head.payload_size = sizeof payload;
	size = wire_put(wire, head, 21, payload);
	head.sequence = 2;
	head.payload_offset = HEAP - sizeof payload;
	size += wire_put(wire + size, head, 0, payload);
	head.sequence = 3;
	head.payload_size = 0;
	size += wire_put(wire + size, head, 100, NULL);
	for (size_t cut = 0; cut <= size; cut++) {
		struct raw raw = raw_open();
		struct gcl_frame got;
		unsigned frames = 0;
		size_t length;

		raw_send(&raw, wire, cut);
		while (gcl_channel_receive(raw.channel, &got, body, sizeof body) == 1)
			frames++;
		raw_send(&raw, wire + cut, size - cut);
		while (frames < 3) {
			assert_int_equal(message_receive(raw.channel, &got, body, sizeof body,
							 &length, MANY_MS),
					 1);
			assert_int_equal(got.sequence, ++frames);
			assert_int_equal(length, frames == 1 ? 21 : frames == 2 ? 0 : 100);
			assert_true(length == 0 || body[length - 1] == frames);
		}
		assert_memory_equal(gcl_channel_heap_ptr(raw.channel, 5000, 150), payload, 150);
		assert_memory_equal(gcl_channel_heap_ptr(raw.channel, HEAP - 150, 150), payload,
				    150);
		assert_int_equal(gcl_channel_receive(raw.channel, &got, body, sizeof body), 0);
		raw_close(&raw);
	}
}

/* Byte by byte, with a wait before each that must not say that there is a frame. */
static void test_single_bytes(void **state)
{
	static uint8_t wire[200];
	const struct gcl_frame head = {.number = 7, .sequence = 1, .payload_size = 33};
	size_t size = wire_put(wire, head, 40, body);
	struct raw raw = raw_open();
	struct gcl_frame got;

	(void)state;
	for (size_t i = 0; i < size; i++) {
		assert_int_equal(gcl_channel_wait(raw.channel, false, 0), -ETIMEDOUT);
		assert_int_equal(gcl_channel_receive(raw.channel, &got, body, sizeof body), 0);
		raw_send(&raw, wire + i, 1);
	}
	assert_int_equal(gcl_channel_wait(raw.channel, false, MANY_MS), 0);
	assert_int_equal(gcl_channel_receive(raw.channel, &got, body, sizeof body), 1);
	raw_close(&raw);
}

/* What a peer may not send; nothing of it may reach the heap. */
static void test_bad_bytes(void **state)
{
	static const struct {
		struct gcl_frame head; /* with its length */
		const char *what;
	} cases[] = {
		{{.length = 0, .sequence = 1}, "no length"},
		{{.length = 31, .sequence = 1}, "short length"},
		{{.length = GCL_FRAME_MAX + 1, .sequence = 1}, "long length"},
		{{.length = UINT32_MAX, .sequence = 1}, "longest length"},
		{{.length = 32, .sequence = 0}, "sequence 0"},
		{{.length = 32, .sequence = 2}, "sequence skipped"},
		{{.length = 32, .sequence = 1, .flags = 2}, "unknown flag"},
		{{.length = 32, .sequence = 1, .payload_offset = HEAP, .payload_size = 1},
		 "behind"},
		{{.length = 32, .sequence = 1, .payload_offset = 1, .payload_size = HEAP}, "over"},
		{{.length = 32, .sequence = 1, .payload_offset = 8, .payload_size = UINT64_MAX},
		 "overflow"},
		{{.length = 32, .sequence = 1, .flags = GCL_FRAME_TRIM, .payload_size = 4096},
		 "trim with a sequence"},
		{{.length = 40, .flags = GCL_FRAME_TRIM, .payload_size = 4096}, "trim with a body"},
		{{.length = 32, .number = 3, .flags = GCL_FRAME_TRIM, .payload_size = 4096},
		 "trim with a number"},
		{{.length = 32, .flags = GCL_FRAME_TRIM, .payload_size = HEAP + 1},
		 "trim too long"},
		{{.length = 32, .flags = GCL_FRAME_TRIM}, "trim of nothing"},
		{{.length = 32, .flags = GCL_FRAME_TRIM | GCL_FRAME_MORE, .payload_size = 4096},
		 "trim that goes on"},
		{{.length = 32, .flags = GCL_FRAME_TRIM | GCL_FRAME_BEAT, .payload_size = 4096},
		 "trim and sign of life"},
		{{.length = 33, .flags = GCL_FRAME_BEAT}, "sign of life with a body"},
		{{.length = 32, .flags = GCL_FRAME_BEAT, .sequence = 1}, "counted sign of life"},
	};

	(void)state;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(cases); i++) {
		struct raw raw = raw_open();
		struct gcl_frame got;
		size_t size;

		memset(body, 0xee, 256);
		raw_send(&raw, &cases[i].head, sizeof cases[i].head);
		raw_send(&raw, body, 256);
		if (message_receive(raw.channel, &got, body, sizeof body, &size, 200) != -EPROTO)
			fail_msg("accepted: %s", cases[i].what);
		assert_int_equal(gcl_channel_dead(raw.channel), -EPROTO);
		assert_int_equal(*(uint8_t *)gcl_channel_heap_ptr(raw.channel, 8, 1), 0);
		/* The peer is told by the end of the connection. */
		while (recv(raw.peer, body, sizeof body, 0) > 0)
			;
		raw_close(&raw);
	}
}

/* The fragments of a message name its payload, which comes with the first. */
static void test_fragments(void **state)
{
	static uint8_t wire[4][100];
	const uint8_t payload[16] = "once";
	struct gcl_frame head = {.number = 7, .sequence = 1, .flags = GCL_FRAME_MORE};
	struct gcl_frame got;
	struct raw raw = raw_open();

	(void)state;
	head.payload_size = sizeof payload;
	raw_send(&raw, wire[0], wire_put(wire[0], head, 10, payload));
	raw_send(&raw, wire[1], wire_put(wire[1], head, 10, NULL));
	head.flags = 0;
	raw_send(&raw, wire[2], wire_put(wire[2], head, 10, NULL));
	for (unsigned i = 0; i < 3; i++) {
		while (gcl_channel_receive(raw.channel, &got, body, sizeof body) == 0)
			assert_int_equal(gcl_channel_wait(raw.channel, false, MANY_MS), 0);
		assert_int_equal(got.flags, i < 2 ? GCL_FRAME_MORE : 0);
	}
	head.sequence = 2;
	head.payload_size = 8; /* of another message: it has bytes of its own */
	raw_send(&raw, wire[3], wire_put(wire[3], head, 10, payload));
	assert_int_equal(gcl_channel_wait(raw.channel, false, MANY_MS), 0);
	assert_int_equal(gcl_channel_receive(raw.channel, &got, body, sizeof body), 1);
	raw_close(&raw);
}

static void test_trim(void **state)
{
	const struct gcl_frame trim = {
		.length = sizeof trim,
		.flags = GCL_FRAME_TRIM,
		.payload_offset = 4096,
		.payload_size = 8192,
	};
	struct gcl_frame got;
	struct raw raw = raw_open();
	uint8_t *heap = gcl_channel_heap_ptr(raw.channel, 0, HEAP);

	(void)state;
	memset(heap, 1, 16384);
	raw_send(&raw, &trim, sizeof trim);
	assert_int_equal(gcl_channel_wait(raw.channel, false, 50), -ETIMEDOUT);
	assert_int_equal(gcl_channel_receive(raw.channel, &got, body, sizeof body), 0);
	assert_int_equal(heap[4095], 1);
	assert_int_equal(heap[4096], 0);
	assert_int_equal(heap[12287], 0);
	assert_int_equal(heap[12288], 1);
	raw_close(&raw);

	/* A guest's own heap is nobody else's to trim. */
	raw = raw_open();
	gcl_channel_close(raw.channel);
	close(raw.peer);
	{
		int fds[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		raw.channel = end_make(true, fds[0]);
		raw.peer = fds[1];
	}
	raw_send(&raw, &trim, sizeof trim);
	assert_int_equal(gcl_channel_wait(raw.channel, false, MANY_MS), 0);
	assert_int_equal(gcl_channel_receive(raw.channel, &got, body, sizeof body), -EPROTO);
	raw_close(&raw);
}

/* A range that is trimmed and used again at once: the new contents must arrive after the trim. */
static void test_trim_and_use(void **state)
{
	struct gcl_frame head = {.number = 1, .payload_size = 100000};
	struct gcl_frame got;
	struct gcl_channel *guest, *worker;
	uint8_t *mine, *yours;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	guest = end_make(true, fds[0]);
	worker = end_make(false, fds[1]);
	mine = gcl_channel_heap_ptr(guest, 0, HEAP);
	yours = gcl_channel_heap_ptr(worker, 0, HEAP);
	for (unsigned i = 1; i < 300; i++) {
		/* Some that lie in the socket, or before it, when the trim comes. */
		for (unsigned k = 0; k < 20; k++) {
			head.payload_offset = (8ull << 20) + k * head.payload_size;
			assert_true(gcl_channel_send(guest, &head, body, 10, MANY_MS) > 0);
		}
		gcl_channel_heap_trim(guest, 0, 4 << 20);
		assert_int_equal(mine[100], 0);
		head.payload_offset = i * 4096;
		memset(mine + head.payload_offset, (int)i, head.payload_size);
		assert_true(gcl_channel_send(guest, &head, body, 10, MANY_MS) > 0);
		for (unsigned k = 0; k < 21; k++) {
			size_t size;

			assert_int_equal(
				message_receive(worker, &got, body, sizeof body, &size, MANY_MS),
				1);
		}
		assert_int_equal(yours[head.payload_offset], (uint8_t)i);
		assert_int_equal(yours[head.payload_offset + head.payload_size - 1], (uint8_t)i);
		assert_int_equal(yours[head.payload_offset + head.payload_size], 0);
	}
	gcl_channel_close(guest);
	gcl_channel_close(worker);
}

/* The peer dies with a frame, a body or a payload half sent: that is an end, not a broken rule. */
static void test_death_at_every_byte(void **state)
{
	static uint8_t wire[200];
	const struct gcl_frame head = {.number = 7, .sequence = 1, .payload_size = 33};
	size_t size = wire_put(wire, head, 40, body);

	(void)state;
	for (size_t cut = 0; cut <= size; cut++) {
		struct raw raw = raw_open();
		struct gcl_frame got;
		size_t length;

		raw_send(&raw, wire, cut);
		close(raw.peer);
		raw.peer = -1;
		if (cut == size)
			assert_int_equal(message_receive(raw.channel, &got, body, sizeof body,
							 &length, MANY_MS),
					 1);
		assert_int_equal(
			message_receive(raw.channel, &got, body, sizeof body, &length, MANY_MS),
			-EPIPE);
		assert_int_equal(gcl_channel_dead(raw.channel), -EPIPE);
		raw_close(&raw);
	}
}

/* A posted command goes without any later call, and large payloads cross in both directions while
 * neither side reads. */
static void test_posting_never_blocks(void **state)
{
	struct gcl_frame head = {.number = 1, .payload_size = 16u << 20};
	struct gcl_channel *ends[2];
	struct timespec before, after;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	for (unsigned i = 0; i < 2; i++) {
		ends[i] = end_make(i == 0, fds[i]);
		memset(gcl_channel_heap_ptr(ends[i], 0, HEAP), (int)i + 1, HEAP);
	}
	clock_gettime(CLOCK_MONOTONIC, &before);
	for (unsigned i = 0; i < 2; i++) {
		head.payload_offset = i * head.payload_size;
		assert_int_equal(gcl_channel_send(ends[i], &head, body, 10, 0), 1);
	}
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true(after.tv_sec - before.tv_sec < 5);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *heap = gcl_channel_heap_ptr(ends[i], 0, HEAP);
		struct gcl_frame got;
		size_t size;

		assert_int_equal(message_receive(ends[i], &got, body, sizeof body, &size, MANY_MS),
				 1);
		assert_int_equal(heap[got.payload_offset], 2 - (int)i);
		assert_int_equal(heap[got.payload_offset + got.payload_size - 1], 2 - (int)i);
	}
	for (unsigned i = 0; i < 2; i++)
		gcl_channel_close(ends[i]);
}

/* What gathers goes all the same, soon, and without a later call: whether there is a thread for it
 * or not, and after a pause again. */
static void test_gathered_posts(void **state)
{
	struct gcl_frame head = {.number = 1};
	struct gcl_channel *guest, *worker;
	uint64_t sent = 0;
	int fds[2];

	(void)state;
	for (unsigned threads = 0; threads < 2; threads++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		guest = end_make(true, fds[0]);
		worker = end_make(false, fds[1]);
		((struct gcl_stream *)guest)->sender.ending = !threads; /* then none is started */
		for (unsigned round = 0; round < 200; round++) {
			unsigned count = 1 + round % 50 * 7;

			for (unsigned i = 0; i < count; i++)
				assert_int_equal(gcl_channel_send(guest, &head, body, i % 60, 0),
						 ++sent);
			for (unsigned i = 0; i < count; i++) {
				struct gcl_frame got;
				size_t size;

				assert_int_equal(message_receive(worker, &got, body, sizeof body,
								 &size, MANY_MS),
						 1);
				assert_int_equal(size, i % 60);
			}
			/* Short and long enough for the thread to sleep meanwhile, and between. */
			nanosleep(&(struct timespec){0, round % 8 * 200000}, NULL);
		}
		gcl_channel_close(guest);
		gcl_channel_close(worker);
		sent = 0;
	}
}

/* A peer that reads slowly costs a bounded queue, then -EAGAIN, and nothing is lost or doubled. */
static void test_slow_reader(void **state)
{
	struct gcl_frame head = {.number = 1};
	struct gcl_channel *guest, *worker;
	uint64_t sent = 0, received = 0;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	guest = end_make(true, fds[0]);
	worker = end_make(false, fds[1]);
	while (received < 20000) {
		struct gcl_frame got;
		size_t size;

		head.payload_offset = sent % 1000 * 4096;
		head.payload_size = sent % 3 ? 0 : sent % 5000;
		while (gcl_channel_send(guest, &head, body, sent % 2000, 0) > 0) {
			sent++;
			head.payload_offset = sent % 1000 * 4096;
			head.payload_size = sent % 3 ? 0 : sent % 5000;
		}
		/* What is queued and what the socket takes is all there is to hold. */
		assert_true(sent - received < 50000);
		for (unsigned i = 0; i < 3000 && received < sent; i++) {
			assert_int_equal(
				message_receive(worker, &got, body, sizeof body, &size, MANY_MS),
				1);
			assert_int_equal(size, received % 2000);
			assert_int_equal(got.sequence, ++received);
		}
	}
	gcl_channel_close(guest);
	gcl_channel_close(worker);
}

/* A child closes its copies; the parent's thread goes on sending what the parent posted. */
static void test_fork_while_sending(void **state)
{
	struct gcl_frame head = {.number = 1, .payload_size = 24u << 20};
	struct gcl_channel *guest, *worker;
	struct gcl_frame got;
	int fds[2], status;
	size_t size;
	pid_t child;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	guest = end_make(true, fds[0]);
	worker = end_make(false, fds[1]);
	memset(gcl_channel_heap_ptr(guest, 0, head.payload_size), 3, head.payload_size);
	assert_int_equal(gcl_channel_send(guest, &head, body, 10, 0), 1);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		gcl_channel_abandon(guest);
		gcl_channel_abandon(worker);
		memset(gcl_channel_heap_ptr(guest, 0, head.payload_size), 4, head.payload_size);
		if (gcl_channel_send(guest, &head, body, 10, 0) != -EPIPE)
			_exit(1);
		gcl_channel_interrupt(guest);
		gcl_channel_close(guest);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(message_receive(worker, &got, body, sizeof body, &size, MANY_MS), 1);
	assert_int_equal(*(uint8_t *)gcl_channel_heap_ptr(worker, head.payload_size - 1, 1), 3);
	gcl_channel_close(guest);
	gcl_channel_close(worker);
}

/* Closing while the thread waits for a socket that nobody reads; and nothing stays open. */
static void test_close_while_sending(void **state)
{
	struct gcl_frame head = {.number = 1, .payload_size = HEAP};
	int before = fds_open();

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		struct raw raw = raw_open();

		assert_int_equal(gcl_channel_send(raw.channel, &head, body, 10, 0), 1);
		if (i % 2)
			doze_ms(5);
		raw_close(&raw);
	}
	assert_int_equal(fds_open(), before);
}

/* Without a thread (the user's limit of processes is reached), whoever waits sends. */
static void test_without_thread(void **state)
{
	struct gcl_frame head = {.number = 1, .payload_size = 24u << 20};
	struct gcl_frame got;
	int fds[2], status;
	pid_t child;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct gcl_channel *guest = end_make(true, fds[0]);

		close(fds[1]);
		((struct gcl_stream *)guest)->sender.ending = true; /* no thread is started then */
		for (unsigned i = 0; i < 3; i++)
			if (gcl_channel_send(guest, &head, body, sizeof body, MANY_MS) < 0)
				_exit(1);
		_exit(gcl_channel_wait(guest, false, MANY_MS) == 0 &&
				      gcl_channel_receive(guest, &got, body, sizeof body) == 1
			      ? 0
			      : 2);
	}
	close(fds[0]);
	{
		struct gcl_channel *worker = end_make(false, fds[1]);
		size_t size;

		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(
				message_receive(worker, &got, body, sizeof body, &size, MANY_MS),
				1);
		head.payload_size = 0;
		assert_true(gcl_channel_send(worker, &head, body, 1, 0) > 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
		gcl_channel_close(worker);
	}
}

#define BEAT_MS 30

/* A worker gives signs of life only when it was asked, and whatever else it does. */
static void test_beats(void **state)
{
	const struct gcl_frame beat = {.length = sizeof beat, .flags = GCL_FRAME_BEAT};
	struct pollfd in = {.events = POLLIN};
	struct gcl_frame got;
	struct raw raw = raw_open();

	(void)state;
	((struct gcl_stream *)raw.channel)->sender.beat_ms = BEAT_MS;
	in.fd = raw.peer;
	assert_int_equal(poll(&in, 1, 5 * BEAT_MS), 0);
	raw_send(&raw, &beat, sizeof beat);
	assert_int_equal(gcl_channel_wait(raw.channel, false, 50), -ETIMEDOUT);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(poll(&in, 1, MANY_MS), 1);
		assert_int_equal(recv(raw.peer, &got, sizeof got, MSG_WAITALL), sizeof got);
		assert_memory_equal(&got, &beat, sizeof beat);
	}
	raw_close(&raw);
}

/* A guest that asked for signs of life takes silence for the end, and nothing else. */
static void test_silence(void **state)
{
	const struct gcl_frame beat = {.length = sizeof beat, .flags = GCL_FRAME_BEAT};

	(void)state;
	for (unsigned polls = 0; polls < 2; polls++) {
		struct gcl_frame got;
		struct raw raw;
		int fds[2], n;

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		raw.channel = end_make(true, fds[0]);
		raw.peer = fds[1];
		((struct gcl_stream *)raw.channel)->sender.beat_ms = BEAT_MS;
		gcl_stream_listen((struct gcl_stream *)raw.channel);
		assert_int_equal(recv(raw.peer, &got, sizeof got, MSG_WAITALL), sizeof got);
		assert_memory_equal(&got, &beat, sizeof beat);
		for (unsigned i = 0; i < 40; i++) {
			raw_send(&raw, &beat, sizeof beat);
			assert_int_equal(gcl_channel_wait(raw.channel, false, BEAT_MS), -ETIMEDOUT);
		}
		/* It has answered, so that the worker goes on. */
		assert_int_equal(recv(raw.peer, &got, sizeof got, MSG_WAITALL), sizeof got);
		/* Away for long: what came meanwhile counts. */
		raw_send(&raw, &beat, sizeof beat);
		doze_ms(20l * BEAT_MS);
		assert_int_equal(gcl_channel_receive(raw.channel, &got, body, sizeof body), 0);
		if (polls) {
			while ((n = gcl_channel_receive(raw.channel, &got, body, sizeof body)) == 0)
				doze_ms(1);
		} else {
			n = gcl_channel_wait(raw.channel, false, MANY_MS);
		}
		assert_int_equal(n, -EPIPE);
		assert_int_equal(gcl_channel_dead(raw.channel), -EPIPE);
		raw_close(&raw);
	}
}

/* What AF_VSOCK says here, where there may be no vsock at all: a line, and soon. */
static void test_vsock_absent(void **state)
{
	struct gcl_channel *channel = NULL;
	char reason[256] = "";

	(void)state;
	/* Port 1 of this very machine: nobody listens there. */
	assert_true(gcl_vsock_connect(1, 1, &channel, reason, sizeof reason) < 0);
	assert_null(channel);
	assert_true(strlen(reason) > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_single_bytes),
		cmocka_unit_test(test_bad_bytes),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_trim),
		cmocka_unit_test(test_trim_and_use),
		cmocka_unit_test(test_death_at_every_byte),
		cmocka_unit_test(test_posting_never_blocks),
		cmocka_unit_test(test_gathered_posts),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_fork_while_sending),
		cmocka_unit_test(test_close_while_sending),
		cmocka_unit_test(test_without_thread),
		cmocka_unit_test(test_beats),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_vsock_absent),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
