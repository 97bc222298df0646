/*
 * A channel between two processes, and between two threads: what is sent arrives, and the end of
 * one side is noticed by the other in every state it may be in. The argument says which channel.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pair.h"
#include "stream-channel.h"
#include "test.h"

#ifdef __SANITIZE_THREAD__
#define NOTICED_MS MANY_MS /* everything takes its time there */
#else
#define NOTICED_MS 150
#endif
#define MANY_MS 10000 /* long enough for any machine; reaching it is a failure */
#define LARGE	(16u * 1024u * 1024u + 17u) /* more than rings and sockets hold */

static uint8_t large[LARGE];
static uint8_t copy[LARGE];

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void doze_ms(long ms)
{
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* Sends every message back, with its payload's bytes turned around, until the guest hangs up. */
static void worker_echo(struct gcl_channel *channel)
{
	struct gcl_frame head;
	size_t size;

	while (message_receive(channel, &head, copy, sizeof copy, &size, -1) == 1) {
		uint8_t *payload =
			gcl_channel_heap_ptr(channel, head.payload_offset, head.payload_size);

		for (uint64_t i = 0; i < head.payload_size; i++)
			payload[i] = (uint8_t)~payload[i];
		if (gcl_channel_send(channel, &head, copy, size, MANY_MS) < 0)
			break;
	}
	if (gcl_channel_dead(channel) != -EPIPE)
		_exit(1);
}

static void test_echo(void **state)
{
	struct pair pair = pair_fork(worker_echo);
	struct gcl_frame head = {.payload_offset = 1ull << 30, .payload_size = 5000};
	uint8_t *payload = gcl_channel_heap_ptr(pair.guest, 1ull << 30, 5000);
	size_t size;

	(void)state;
	assert_non_null(payload);
	assert_int_equal(gcl_channel_heap_populate(pair.guest, 1ull << 30, 5000), 0);
	for (unsigned i = 1; i < 2000; i++) {
		struct gcl_frame back;

		head.number = (uint16_t)i;
		payload[4999] = (uint8_t)i;
		assert_int_equal(gcl_channel_send(pair.guest, &head, large, i, 0), i);
		assert_int_equal(
			message_receive(pair.guest, &back, copy, sizeof copy, &size, MANY_MS), 1);
		assert_int_equal(back.number, i);
		assert_int_equal(back.sequence, i);
		assert_int_equal(size, i);
		assert_int_equal(payload[4999], (uint8_t)~i);
	}
	pair_close(&pair);
}

/* Messages that are longer than either ring. */
static void test_large_messages(void **state)
{
	static const size_t sizes[] = {LARGE, GCL_FRAME_BODY_MAX,     GCL_FRAME_BODY_MAX + 1,
				       0,     2 * GCL_FRAME_BODY_MAX, LARGE - 1};
	struct pair pair = pair_fork(worker_echo);
	struct gcl_frame head = {.number = 9, .payload_offset = 4096, .payload_size = 1};

	(void)state;
	assert_int_equal(gcl_channel_heap_populate(pair.guest, 4096, 1), 0);
	for (size_t i = 0; i < sizeof large; i++)
		large[i] = (uint8_t)(i * 13 + (i >> 9));
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct gcl_frame back;
		size_t size;

		assert_int_equal(gcl_channel_send(pair.guest, &head, large, sizes[i], MANY_MS),
				 i + 1);
		assert_int_equal(
			message_receive(pair.guest, &back, copy, sizeof copy, &size, MANY_MS), 1);
		assert_int_equal(size, sizes[i]);
		assert_int_equal(back.sequence, i + 1);
		assert_int_equal(back.payload_offset, 4096);
		assert_memory_equal(copy, large, size);
	}
	assert_int_equal(gcl_channel_send(pair.guest, &head, large, GCL_MESSAGE_MAX + 1, 0),
			 -EMSGSIZE);
	pair_close(&pair);
}

/* Whether what was sent stays where it is for as long as the peer takes nothing. The socket has to
 * be full, which poll() doesn't tell, and nobody in the middle of sending. */
static bool settled(struct gcl_channel *channel)
{
	int queued = 0, room = 0;
	socklen_t size = sizeof room;

	if (!pair_stream)
		return true;
	assert_int_equal(ioctl(gcl_channel_conn(channel), SIOCOUTQ, &queued), 0);
	assert_int_equal(getsockopt(gcl_channel_conn(channel), SOL_SOCKET, SO_SNDBUF, &room, &size),
			 0);
	return queued >= room && !atomic_load(&gcl_stream_of(channel)->sender.busy);
}

/* Until nothing moves any more, however long the sender's thread waits for a CPU. */
static void fill(struct gcl_channel *channel)
{
	struct gcl_frame head = {.number = 1};
	int64_t start = now_ms(), n;
	bool still;

	do {
		still = settled(channel);
		n = gcl_channel_send(channel, &head, large, 1000, 0);
		if (n < 0 && !still)
			doze_ms(1);
	} while ((n > 0 || !still) && now_ms() - start < MANY_MS);
	assert_int_equal(n, -EAGAIN);
}

static void test_timeouts(void **state)
{
	struct pair pair = pair_open();
	struct gcl_frame head = {.number = 1};
	int64_t start = now_ms();
	uint64_t sent = 0;

	(void)state;
	assert_int_equal(gcl_channel_wait(pair.guest, false, 0), -ETIMEDOUT);
	assert_int_equal(gcl_channel_wait(pair.guest, false, 50), -ETIMEDOUT);
	assert_true(now_ms() - start >= 50);
	assert_int_equal(gcl_channel_wait(pair.guest, true, 50), 0);
	while (gcl_channel_send(pair.guest, &head, large, 1000, 0) > 0)
		sent++;
	assert_true(sent > 900);
	fill(pair.guest);
	assert_int_equal(gcl_channel_send(pair.guest, &head, large, 1000, 0), -EAGAIN);
	start = now_ms();
	assert_int_equal(gcl_channel_send(pair.guest, &head, large, 1000, 50), -ETIMEDOUT);
	assert_true(now_ms() - start >= 50);
	/* Nothing of that message had been sent: the channel goes on. */
	assert_int_equal(gcl_channel_dead(pair.guest), 0);
	pair_close(&pair);

	/* A part of this one had: it can't. */
	pair = pair_open();
	assert_int_equal(gcl_channel_send(pair.guest, &head, large, LARGE, 50), -ETIMEDOUT);
	assert_int_equal(gcl_channel_dead(pair.guest), -ETIMEDOUT);
	assert_int_equal(gcl_channel_send(pair.guest, &head, large, 1, 0), -EPIPE);
	pair_close(&pair);
}

/* Each of these breaks a rule of frames that the ring itself doesn't know. */
static void test_bad_frames(void **state)
{
	static const struct {
		struct gcl_frame frames[2];
		const char *what;
	} cases[] = {
		{{{.sequence = 0}}, "sequence 0"},
		{{{.sequence = 2}}, "sequence skipped"},
		{{{.sequence = 1}, {.sequence = 1}}, "sequence twice"},
		{{{.sequence = 1, .flags = 2}}, "unknown flag"},
		{{{.sequence = 1, .payload_offset = UINT64_MAX, .payload_size = 1}}, "far payload"},
		{{{.sequence = 1, .payload_offset = 8, .payload_size = UINT64_MAX}}, "overflow"},
		{{{.sequence = 1, .payload_offset = GCL_HEAP_MAX - 1, .payload_size = 2}},
		 "payload over the end"},
		{{{.sequence = 1, .flags = 1}, {.sequence = 2}}, "fragment missing"},
		{{{.sequence = 1, .flags = 1}, {.sequence = 1, .number = 1}}, "other message"},
		{{{.sequence = 1, .flags = 1}, {.sequence = 1, .payload_size = 1}},
		 "other payload"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct pair pair = pair_open();
		const struct gcl_channel_ops *ops = pair.guest->ops;
		struct gcl_frame head;
		size_t size;
		int n = 0;

		for (unsigned k = 0; k < 2; k++) {
			void *body;

			assert_int_equal(ops->reserve(pair.guest, 0, &body), 0);
			ops->commit(pair.guest, &cases[i].frames[k], 0);
		}
		for (unsigned k = 0; k < 2 && n >= 0; k++)
			n = message_receive(pair.worker, &head, copy, sizeof copy, &size, MANY_MS);
		if (n != -EPROTO)
			fail_msg("accepted: %s", cases[i].what);
		assert_int_equal(gcl_channel_dead(pair.worker), -EPROTO);
		assert_int_equal(gcl_channel_wait(pair.guest, false, MANY_MS), -EPIPE);
		pair_close(&pair);
	}
}

/* A message may not grow beyond the limit by one fragment after another. */
static void test_endless_message(void **state)
{
	struct pair pair = pair_open();
	struct gcl_frame head = {.flags = GCL_FRAME_MORE};
	struct gcl_frame back;
	uint64_t total = 0;
	void *body;
	int n = 1;

	(void)state;
	while (n == 1 && total <= GCL_MESSAGE_MAX) {
		assert_int_equal(gcl_channel_reserve(pair.guest, GCL_FRAME_BODY_MAX, &body), 0);
		assert_int_equal(gcl_channel_commit(pair.guest, &head, GCL_FRAME_BODY_MAX), 1);
		while ((n = gcl_channel_receive(pair.worker, &back, copy, sizeof copy)) == 0)
			assert_int_equal(gcl_channel_wait(pair.worker, false, MANY_MS), 0);
		total += GCL_FRAME_BODY_MAX;
	}
	assert_int_equal(n, -EPROTO);
	assert_true(total > GCL_MESSAGE_MAX);
	pair_close(&pair);
}

static void worker_crash_at_once(struct gcl_channel *channel)
{
	(void)channel;
	doze_ms(100);
	_exit(0);
}

static void worker_send_and_crash(struct gcl_channel *channel)
{
	struct gcl_frame head = {.number = 3};

	for (unsigned i = 0; i < 100; i++)
		gcl_channel_send(channel, &head, large, i, 0);
	_exit(0);
}

static void test_death_while_reading(void **state)
{
	struct pair pair = pair_fork(worker_crash_at_once);
	struct gcl_frame head;

	(void)state;
	assert_int_equal(gcl_channel_wait(pair.guest, false, -1), -EPIPE);
	assert_int_equal(gcl_channel_receive(pair.guest, &head, copy, sizeof copy), -EPIPE);
	assert_int_equal(gcl_channel_dead(pair.guest), -EPIPE);
	pair_close(&pair);
}

static void test_death_while_writing(void **state)
{
	struct pair pair = pair_fork(worker_crash_at_once);
	struct gcl_frame head = {.number = 1};
	int64_t n;

	(void)state;
	while ((n = gcl_channel_send(pair.guest, &head, large, 60000, -1)) > 0)
		;
	assert_int_equal(n, -EPIPE);
	pair_close(&pair);
}

/* A guest that never sleeps has to notice as well. */
static void test_death_while_busy(void **state)
{
	struct pair pair = pair_fork(worker_crash_at_once);
	int64_t start = now_ms();
	struct gcl_frame head;
	int n;

	(void)state;
	while ((n = gcl_channel_receive(pair.guest, &head, copy, sizeof copy)) == 0 &&
	       now_ms() - start < MANY_MS)
		sched_yield();
	assert_int_equal(n, -EPIPE);
	pair_close(&pair);

	pair = pair_fork(worker_crash_at_once);
	while ((n = gcl_channel_wait(pair.guest, false, 0)) == -ETIMEDOUT &&
	       now_ms() - start < 2 * MANY_MS)
		sched_yield();
	assert_int_equal(n, -EPIPE);
	pair_close(&pair);

	/* One that only posts, less than the ring holds. */
	pair = pair_fork(worker_crash_at_once);
	for (unsigned i = 0; i < MANY_MS && n != 0; i++) {
		n = gcl_channel_send(pair.guest, &head, large, 1, 0) == -EPIPE ? 0 : -1;
		doze_ms(1);
	}
	assert_int_equal(n, 0);
	pair_close(&pair);
}

static void test_last_words(void **state)
{
	struct pair pair = pair_fork(worker_send_and_crash);
	struct gcl_frame head = {.number = 1};
	siginfo_t end;
	size_t size;

	(void)state;
	assert_int_equal(waitid(P_PID, (id_t)pair.pid, &end, WEXITED | WNOWAIT), 0);
	/* It is noticed by trying, and soon. */
	for (unsigned i = 0;
	     i < NOTICED_MS && gcl_channel_send(pair.guest, &head, large, 1, 0) != -EPIPE; i++)
		doze_ms(1);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(
			message_receive(pair.guest, &head, copy, sizeof copy, &size, MANY_MS), 1);
		assert_int_equal(size, i);
		assert_int_equal(gcl_channel_send(pair.guest, &head, copy, 1, 0), -EPIPE);
	}
	assert_int_equal(message_receive(pair.guest, &head, copy, sizeof copy, &size, -1), -EPIPE);
	pair_close(&pair);
}

/* One that is not woken has -ETIMEDOUT for a result. */
struct sleeper {
	pthread_t thread;
	struct gcl_channel *channel;
	bool writable;
	int result;
};

static void *sleeper_run(void *arg)
{
	struct sleeper *sleeper = arg;

	sleeper->result = gcl_channel_wait(sleeper->channel, sleeper->writable, MANY_MS);
	return NULL;
}

static void sleeper_start(struct sleeper *sleeper, struct gcl_channel *channel, bool writable)
{
	*sleeper = (struct sleeper){.channel = channel, .writable = writable};
	assert_int_equal(pthread_create(&sleeper->thread, NULL, sleeper_run, sleeper), 0);
}

static int sleeper_end(struct sleeper *sleeper)
{
	pthread_join(sleeper->thread, NULL);
	return sleeper->result;
}

static void test_kill_wakes_all(void **state)
{
	struct pair pair = pair_open();
	struct sleeper sleepers[4];

	(void)state;
	fill(pair.guest);
	fill(pair.worker);
	pair_close(&pair);
	pair = pair_open();
	fill(pair.guest);
	sleeper_start(&sleepers[0], pair.guest, false);
	sleeper_start(&sleepers[1], pair.guest, true);
	doze_ms(50);
	gcl_channel_kill(pair.guest, -ECANCELED);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(sleeper_end(&sleepers[i]), -EPIPE);
	assert_int_equal(gcl_channel_dead(pair.guest), -ECANCELED);
	gcl_channel_kill(pair.guest, -EIO);
	assert_int_equal(gcl_channel_dead(pair.guest), -ECANCELED);
	pair_close(&pair);

	/* The other side's sleepers. */
	pair = pair_open();
	fill(pair.worker);
	sleeper_start(&sleepers[2], pair.worker, false);
	sleeper_start(&sleepers[3], pair.worker, true);
	doze_ms(50);
	gcl_channel_kill(pair.guest, -ECANCELED);
	for (unsigned i = 2; i < 4; i++)
		assert_int_equal(sleeper_end(&sleepers[i]), -EPIPE);
	pair_close(&pair);
}

/* One that waits for frames and one that waits for room share a doorbell: each gets its own. */
static void test_two_sleepers(void **state)
{
	struct pair pair = pair_open();
	struct sleeper reader, writer;
	struct gcl_frame head = {.number = 2};

	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		fill(pair.guest);
		sleeper_start(&reader, pair.guest, false);
		sleeper_start(&writer, pair.guest, true);
		doze_ms(3);
		/* Both have to be woken; the order in which they look must not matter. */
		assert_true(gcl_channel_send(pair.worker, &head, large, 1, 0) > 0);
		while (gcl_channel_receive(pair.worker, &head, copy, sizeof copy) == 1)
			;
		assert_int_equal(sleeper_end(&writer), 0);
		assert_int_equal(sleeper_end(&reader), 0);
		assert_int_equal(gcl_channel_receive(pair.guest, &head, copy, sizeof copy), 1);
	}
	pair_close(&pair);
}

/* An interrupt is never lost, whether it comes before, while it looks, or while it sleeps. */
static void test_interrupt(void **state)
{
	struct pair pair = pair_open();
	struct sleeper sleeper;

	(void)state;
	gcl_channel_interrupt(pair.guest);
	assert_int_equal(gcl_channel_wait(pair.guest, false, MANY_MS), 0);
	assert_int_equal(gcl_channel_wait(pair.guest, false, 20), -ETIMEDOUT);
	for (long delay_us = 0; delay_us < 300; delay_us++) {
		sleeper_start(&sleeper, pair.guest, false);
		nanosleep(&(struct timespec){0, delay_us * 1000}, NULL);
		gcl_channel_interrupt(pair.guest);
		assert_int_equal(sleeper_end(&sleeper), 0);
	}
	pair_close(&pair);
}

/* Who waits takes no CPU time, and isn't woken for nothing. */
static void test_idle_is_free(void **state)
{
	struct pair pair = pair_open();
	struct rusage before, after;
	int64_t used_us;

	(void)state;
	getrusage(RUSAGE_THREAD, &before);
	assert_int_equal(gcl_channel_wait(pair.guest, false, 400), -ETIMEDOUT);
	getrusage(RUSAGE_THREAD, &after);
	used_us = (after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec -
		   before.ru_stime.tv_sec) *
			  1000000 +
		  after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec -
		  before.ru_stime.tv_usec;
	assert_true(used_us < 10000);
	assert_true(after.ru_nvcsw - before.ru_nvcsw <= 3);
	pair_close(&pair);
}

/* A child that lives on must not keep the parent's connection open, nor end it. */
static void test_fork(void **state)
{
	struct pair pair = pair_open();
	struct gcl_frame head = {.number = 1};
	uint8_t *shared = gcl_channel_heap_ptr(pair.guest, 0, 1);
	int go[2], written[2];
	pid_t child;
	char byte = 0;

	(void)state;
	assert_int_equal(gcl_channel_heap_populate(pair.guest, 0, 1), 0);
	assert_int_equal(pipe(go), 0);
	assert_int_equal(pipe(written), 0);
	child = fork();
	if (child == 0) {
		gcl_channel_abandon(pair.guest);
		*shared = 7;
		if (gcl_channel_send(pair.guest, &head, large, 1, 0) != -EPIPE)
			_exit(1);
		gcl_channel_close(pair.worker);
		close(go[1]);
		if (write(written[1], &byte, 1) != 1)
			_exit(3);
		_exit(read(go[0], &byte, 1) == 0 ? 0 : 2);
	}
	close(written[1]);
	assert_int_equal(read(written[0], &byte, 1), 1);
	close(written[0]);
	assert_int_equal(*shared, pair_stream ? 0 : 7);
	assert_true(gcl_channel_send(pair.guest, &head, large, 1, 0) > 0);
	assert_int_equal(gcl_channel_wait(pair.worker, false, MANY_MS), 0);
	assert_int_equal(gcl_channel_receive(pair.worker, &head, copy, sizeof copy), 1);
	gcl_channel_close(pair.guest);
	pair.guest = NULL;
	assert_int_equal(gcl_channel_wait(pair.worker, false, MANY_MS), -EPIPE);
	close(go[0]);
	close(go[1]);
	pair.pid = child;
	pair_close(&pair);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_large_messages),
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_bad_frames),
		cmocka_unit_test(test_endless_message),
		cmocka_unit_test(test_death_while_reading),
		cmocka_unit_test(test_death_while_writing),
		cmocka_unit_test(test_death_while_busy),
		cmocka_unit_test(test_last_words),
		cmocka_unit_test(test_kill_wakes_all),
		cmocka_unit_test(test_two_sleepers),
		cmocka_unit_test(test_interrupt),
		cmocka_unit_test(test_idle_is_free),
		cmocka_unit_test(test_fork),
	};

	pair_kind_set(argc > 1 ? argv[1] : "local");
	return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
