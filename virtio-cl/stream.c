// SPDX-License-Identifier: MIT
/*
 * The stream channel once it stands: frames in and out, waiting, and the end of the peer.
 *
 * stream-input.c takes apart what comes in, stream-sender.c sends. The end of what the peer sends
 * is the end of the channel, once all of it has been handed on; a peer that takes nothing any more
 * is left to the reader to notice.
 *
 * A waiter first looks for a while where that was worth it lately, then sleeps in poll(). Looking
 * is reading: what it finds need not be read again.
 */
#include "stream.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "stream-channel.h"

/* Reads of one call, for a frame whose payload goes on and on. */
#define STEPS_MAX 64

/* One sign of life in so many is answered by the guest. */
#define BEATS_ANSWERED 16u

/* Looking is worth it when it finds what it waits for so many times in LOOKS_MAX. */
#define LOOKS_MAX   64u
#define LOOKS_WORTH 24u
#define TRIAL_EVERY 32u /* where it isn't, one wait in so many looks all the same */

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int stream_reserve(struct gcl_channel *channel, size_t body_max, void **body)
{
	struct gcl_stream_sender *sender = &gcl_stream_of(channel)->sender;

	if (atomic_load_explicit(&sender->failed, memory_order_relaxed))
		return -EPIPE;
	return gcl_stream_queue_reserve(&sender->queue, body_max, body);
}

static void stream_commit(struct gcl_channel *channel, const struct gcl_frame *head,
			  size_t body_size)
{
	struct gcl_stream *stream = gcl_stream_of(channel);
	const void *payload = NULL;

	/* The fragments of a message have the same payload; it goes with the first. */
	if (head->payload_size && stream->begun != head->sequence)
		payload = gcl_channel_heap_ptr(channel, head->payload_offset, head->payload_size);
	stream->begun = head->sequence;
	gcl_stream_queue_commit(&stream->sender.queue, head, body_size, payload);
	if (payload)
		gcl_stream_send(stream);
	else
		gcl_stream_post(stream);
}

/* Where it can't be told there are many. */
static bool one_cpu(void)
{
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) == 1;
}

static bool look_wanted(struct gcl_stream *stream)
{
	stream->waits++;
	if (!stream->spin_ns || stream->channel.patient)
		return false;
	return stream->looks_paid >= LOOKS_WORTH || stream->waits % TRIAL_EVERY == 0;
}

/* A mean over the last looks, the latest counting most. */
static void look_learn(struct gcl_stream *stream, bool paid)
{
	stream->looks_paid -= stream->looks_paid / 8;
	if (paid)
		stream->looks_paid += LOOKS_MAX / 8;
}

static bool interrupted(struct gcl_stream *stream)
{
	return atomic_load_explicit(&stream->interrupted, memory_order_seq_cst);
}

/* Goes on for as long as there is something, but not forever. */
static int advance(struct gcl_stream *stream)
{
	int step = GCL_STREAM_GOES_ON;

	for (unsigned i = 0; i < STEPS_MAX && step == GCL_STREAM_GOES_ON; i++)
		step = gcl_stream_input_step(&stream->input);
	return step;
}

/* What the signs of life that came in ask for. */
static void beats_heed(struct gcl_stream *stream)
{
	if (stream->input.beats - stream->beats_answered < (stream->guest ? BEATS_ANSWERED : 1))
		return;
	stream->beats_answered = stream->input.beats;
	if (stream->guest)
		gcl_stream_beat(stream);
	else
		gcl_stream_beats_start(stream);
}

/*
 * Nothing came in just now. Return: true when that has been so for too long: the peer is gone, and
 * nobody has told. Several periods have to pass, so that a clock that jumps makes no difference.
 */
static bool silent(struct gcl_stream *stream)
{
	int64_t now;

	if (!stream->listens)
		return false;
	now = now_ns();
	if (stream->input.heard) {
		stream->input.heard = false;
		stream->silences = 0;
		stream->silent_since = now;
		return false;
	}
	if (now - stream->silent_since < (int64_t)stream->sender.beat_ms * 1000000)
		return false;
	stream->silent_since = now;
	return ++stream->silences > GCL_STREAM_SILENCES;
}

static int stream_receive(struct gcl_channel *channel, struct gcl_frame *head, void *body,
			  size_t body_max)
{
	struct gcl_stream *stream = gcl_stream_of(channel);
	int step = advance(stream);

	beats_heed(stream);
	if (step == GCL_STREAM_STARVED && silent(stream))
		return -EPIPE;
	if (step == GCL_STREAM_FRAME)
		return gcl_stream_input_take(&stream->input, head, body, body_max);
	return GCL_MIN(step, 0);
}

/* Looks for a while, from @start on. */
static int look(struct gcl_stream *stream, int64_t start)
{
	int step;

	do {
		step = gcl_stream_input_step(&stream->input);
		if (step != GCL_STREAM_STARVED || interrupted(stream))
			break;
	} while (now_ns() - start < stream->spin_ns);
	look_learn(stream, step != GCL_STREAM_STARVED);
	return step;
}

/* Sleeps until the socket or the bell has something, or @timeout_ms passes; may return early. */
static void stream_sleep(struct gcl_stream *stream, int timeout_ms)
{
	struct pollfd fds[] = {
		{.fd = stream->io.fd, .events = POLLIN | POLLRDHUP},
		{.fd = stream->bell, .events = POLLIN},
	};
	eventfd_t ignored;

	if (gcl_stream_stuck(stream))
		fds[0].events |= POLLOUT;
	atomic_store(&stream->sleeps, true); /* pairs with stream_interrupt() */
	if (interrupted(stream) || stream->io.ops->pending(&stream->io))
		timeout_ms = 0;
	if (poll(fds, GCL_ARRAY_SIZE(fds), timeout_ms) > 0) {
		if (fds[1].revents)
			(void)eventfd_read(stream->bell, &ignored);
		if (fds[0].revents)
			stream->input.short_read = false;
		if (fds[0].revents & POLLOUT)
			gcl_stream_send(stream);
	}
	atomic_store_explicit(&stream->sleeps, false, memory_order_relaxed);
}

/* Return: whether to go on waiting; else *@result. */
static bool wait_goes_on(struct gcl_stream *stream, int step, int *result)
{
	if (gcl_channel_dead(&stream->channel)) {
		*result = -EPIPE;
		return false;
	}
	if (step == -EPIPE) {
		/* All that came before the end has been handed on. */
		gcl_channel_kill(&stream->channel, -EPIPE);
		*result = -EPIPE;
		return false;
	}
	/* What else is wrong gcl_channel_receive() will say. */
	*result = 0;
	if (step == GCL_STREAM_FRAME || step < 0)
		return false;
	return !interrupted(stream);
}

/* @timeout_ms, which may be -1, but no longer than @most. */
static int period(int timeout_ms, int most)
{
	return timeout_ms < 0 ? most : GCL_MIN(timeout_ms, most);
}

static int frames_wait(struct gcl_stream *stream, int timeout_ms)
{
	int64_t start = now_ns();
	int left = timeout_ms;
	bool first = true;
	int result, step;

	/* Whoever waits for answers has nothing more to say for now. */
	atomic_store_explicit(&stream->sender.run, 0, memory_order_relaxed);
	if (!gcl_stream_queue_empty(&stream->sender.queue))
		gcl_stream_send(stream);
	/* What there was receive() has found; here the first read is a look, or after the sleep. */
	stream->input.short_read = true;
	for (;;) {
		step = advance(stream);
		beats_heed(stream);
		if (step == GCL_STREAM_STARVED && silent(stream))
			step = -EPIPE;
		if (first && step == GCL_STREAM_STARVED && timeout_ms != 0 && look_wanted(stream))
			step = look(stream, start);
		if (!wait_goes_on(stream, step, &result))
			return result;
		if (!first && left == 0)
			return -ETIMEDOUT;
		first = false;
		if (timeout_ms >= 0)
			left = (int)GCL_MAX(timeout_ms - (now_ns() - start) / 1000000, (int64_t)0);
		if (step == GCL_STREAM_STARVED)
			stream_sleep(stream,
				     stream->listens ? period(left, stream->sender.beat_ms) : left);
	}
}

static int stream_wait(struct gcl_channel *channel, bool writable, int timeout_ms)
{
	struct gcl_stream *stream = gcl_stream_of(channel);
	int result;

	if (writable)
		return gcl_stream_room_wait(stream, timeout_ms);
	result = frames_wait(stream, timeout_ms);
	/* Whoever returns from here looks at everything, so an interrupt has served its purpose. */
	if (result != -ETIMEDOUT && interrupted(stream))
		atomic_store(&stream->interrupted, false);
	return result;
}

static void stream_heap_trim(struct gcl_channel *channel, uint64_t offset, uint64_t size)
{
	if (madvise(channel->heap + offset, size, MADV_DONTNEED) < 0)
		gcl_log_debug(mem, "cannot trim the heap: errno %d", errno);
	gcl_stream_trim(gcl_stream_of(channel), offset, size);
}

static void stream_kill(struct gcl_channel *channel)
{
	struct gcl_stream *stream = gcl_stream_of(channel);

	/* Ends the connection in both directions: that wakes sleepers on both sides. */
	shutdown(stream->io.fd, SHUT_RDWR);
	gcl_stream_sender_wake(stream);
}

static int stream_conn(const struct gcl_channel *channel)
{
	return gcl_container_of(channel, const struct gcl_stream, channel)->io.fd;
}

static void stream_interrupt(struct gcl_channel *channel)
{
	struct gcl_stream *stream = gcl_stream_of(channel);

	atomic_store(&stream->interrupted, true); /* pairs with stream_sleep() */
	if (atomic_load(&stream->sleeps) && eventfd_write(stream->bell, 1) < 0 && errno != EAGAIN)
		gcl_log_error(ring, "cannot ring the own bell: errno %d", errno);
}

static void stream_abandon(struct gcl_channel *channel)
{
	struct gcl_stream *stream = gcl_stream_of(channel);

	close(steal_fd(&stream->io.fd));
	close(steal_fd(&stream->bell));
}

static void stream_close(struct gcl_channel *channel)
{
	struct gcl_stream *stream = gcl_stream_of(channel);
	bool own = stream->pid == getpid();

	/* In a forked child the connection is the parent's to end. */
	if (own)
		gcl_channel_kill(channel, -EPIPE);
	gcl_stream_sender_fini(stream, own);
	gcl_cleanup_close(&stream->io.fd);
	gcl_cleanup_close(&stream->bell);
	munmap(channel->heap, channel->heap_size);
	free(stream);
}

static const struct gcl_channel_ops stream_ops = {
	.name = "stream",
	.shared = false,
	.reserve = stream_reserve,
	.commit = stream_commit,
	.receive = stream_receive,
	.wait = stream_wait,
	.heap_trim = stream_heap_trim,
	.kill = stream_kill,
	.interrupt = stream_interrupt,
	.conn = stream_conn,
	.abandon = stream_abandon,
	.close = stream_close,
};

void *gcl_stream_heap_map(uint64_t size)
{
	void *heap = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (heap == MAP_FAILED)
		return NULL;
	gcl_shm_heap_advise(heap, size);
	return heap;
}

void gcl_stream_listen(struct gcl_stream *stream)
{
	stream->listens = true;
	stream->silent_since = now_ns();
	gcl_stream_beat(stream);
}

/* May there be something between that does not tell of the other side's end? */
static bool stream_relayed(const struct gcl_stream *stream)
{
	int domain = AF_UNSPEC;
	socklen_t size = sizeof domain;

	return getsockopt(stream->io.fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
	       domain == AF_VSOCK;
}

int gcl_stream_create(bool guest, struct gcl_greeting *greeting, void *heap,
		      struct gcl_channel **out)
{
	const struct gcl_hello *hello = &greeting->hello;
	struct gcl_stream *stream = calloc(1, sizeof *stream);
	int err;

	if (!stream)
		return -ENOMEM;
	err = gcl_stream_sender_init(stream,
				     guest ? hello->commands_size : hello->completions_size);
	stream->bell = err ? -1 : gcl_shm_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (stream->bell < 0) {
		err = err ? err : -errno;
		gcl_stream_sender_fini(stream, true);
		free(stream);
		return err;
	}
	stream->channel.ops = &stream_ops;
	stream->channel.heap = heap;
	stream->channel.heap_size = hello->heap_size;
	gcl_stream_socket_init(&stream->io, steal_fd(&greeting->conn));
	gcl_stream_input_init(&stream->input, &stream->io, &stream->channel, !guest);
	if (!one_cpu())
		stream->spin_ns = guest ? GCL_SPIN_GUEST_NS : GCL_SPIN_WORKER_NS;
	stream->looks_paid = LOOKS_MAX / 2;
	stream->sender.gathers = guest;
	stream->pid = getpid();
	stream->guest = guest;
	if (guest && stream_relayed(stream))
		gcl_stream_listen(stream);
	*out = &stream->channel;
	return 0;
}
