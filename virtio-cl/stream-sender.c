// SPDX-License-Identifier: MIT
/*
 * The sending side of a stream channel.
 *
 * Theory of operation. What is to be sent lies in a queue (frames) and in the heap (payloads).
 * Whoever puts something there takes the duty of sending (busy) if nobody has it, and gives the
 * socket what it takes at once, up to a limit. Who finds it taken leaves: the one on duty looks at
 * the queue once more after it has laid it down, so nothing is left behind. What the socket does
 * not take is left to a thread of the channel's own, which is started when it is first needed and
 * sleeps otherwise; so a posted command never waits for a later call.
 *
 * One frame a call is the quickest for a program that waits for its answer, and the dearest for one
 * that posts many: each wakes the worker. So after a few frames without a wait in between, the
 * guest's side lets them gather, and the thread, which dozes meanwhile, sends what there is every
 * now and then; so does whoever waits, or finds that enough have gathered. Completions never
 * gather, since somebody may wait for each.
 *
 * Heap memory that was given back is told to the peer by frames of the carrier's own, which are
 * sent between those of messages. A range is entered before it can be used again, and what is
 * entered goes out before what was queued later: the peer never gives up what is in use.
 *
 * A worker that was asked for signs of life gives them from that thread, whatever its others do.
 * They stop when the guest has left many unanswered, so that they don't fill the socket of a
 * program that is away.
 *
 * Must not: block, but in the thread and in gcl_stream_room_wait().
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "stream-channel.h"

/* What is sent with one call at most, and by a thread that has other things to do. */
#define SEND_RANGES 64
#define SEND_BYTES  (256u << 10)

/* How long the thread keeps the duty without looking at the channel's end. */
#define THREAD_WRITES 64

/* So many frames without a wait are the beginning of many more, which gather for so long, or until
 * there are so many bytes. When none came for some time the thread sleeps. */
#define RUN_LONG     8u
#define GATHER_NS    50000
#define GATHER_BYTES (16u << 10)
#define DOZES_IDLE   10u

/* How often one that waits for room tries to send itself, where there is no thread for it. */
#define STUCK_MS 1

enum outcome { SENT_ALL, SENT_SOME, SOCKET_FULL };

static void room_tell(struct gcl_stream_sender *sender)
{
	/* Pairs with gcl_stream_room_wait(): tail, then waiters. */
	if (!atomic_load_explicit(&sender->waiters, memory_order_seq_cst))
		return;
	pthread_mutex_lock(&sender->lock);
	pthread_cond_broadcast(&sender->room);
	pthread_mutex_unlock(&sender->lock);
}

static void fail(struct gcl_stream *stream, int err)
{
	if (err != -EPIPE)
		gcl_log_error(ring, "cannot send to the other side: errno %d", -err);
	atomic_store(&stream->sender.failed, true);
	gcl_stream_sender_wake(stream);
}

/* Takes the ranges that were entered, between two frames of messages. */
static void control_take(struct gcl_stream_sender *sender)
{
	if (sender->control_done < sender->control_size ||
	    !gcl_stream_queue_between(&sender->queue) ||
	    !atomic_load_explicit(&sender->control_count, memory_order_acquire))
		return;
	pthread_mutex_lock(&sender->lock);
	sender->control_size = sender->control_count * sizeof *sender->controls;
	sender->control_done = 0;
	memcpy(sender->control, sender->controls, sender->control_size);
	sender->control_count = 0;
	pthread_mutex_unlock(&sender->lock);
}

/* One write, on duty. Return: 0, -EAGAIN, or -errno. */
static int write_once(struct gcl_stream *stream)
{
	struct gcl_stream_sender *sender = &stream->sender;
	struct iovec iov[1 + SEND_RANGES];
	size_t control;
	int count = 0, queued;
	ssize_t n;

	/* The queue first: a range that one of these uses was entered before it was queued. */
	queued = gcl_stream_queue_gather(&sender->queue, iov + 1, SEND_RANGES, SEND_BYTES);
	control_take(sender);
	/* Where one can't be told yet, nothing that was queued after it may overtake it. */
	if (atomic_load_explicit(&sender->control_count, memory_order_acquire))
		queued = gcl_stream_queue_between(&sender->queue)
				 ? 0
				 : gcl_stream_queue_gather(&sender->queue, iov + 1, 2, SEND_BYTES);
	control = sender->control_size - sender->control_done;
	iov[0] = (struct iovec){(uint8_t *)sender->control + sender->control_done, control};
	count = queued + 1;
	if (!queued && !control)
		return 0;
	n = stream->io.ops->write(&stream->io, control ? iov : iov + 1,
				  control ? count : count - 1);
	if (n < 0)
		return (int)n;
	control = GCL_MIN(control, (size_t)n);
	sender->control_done += control;
	gcl_stream_queue_consumed(&sender->queue, (uint64_t)n - control);
	return 0;
}

static bool nothing_queued(const struct gcl_stream_sender *sender)
{
	return gcl_stream_queue_empty(&sender->queue) &&
	       !atomic_load_explicit(&sender->control_count, memory_order_seq_cst);
}

/* On duty. @writes: how many, at most. */
static enum outcome write_some(struct gcl_stream *stream, unsigned writes)
{
	struct gcl_stream_sender *sender = &stream->sender;

	while (!nothing_queued(sender) || sender->control_done < sender->control_size) {
		int err;

		if (writes-- == 0)
			return SENT_SOME;
		err = write_once(stream);
		if (err == -EAGAIN)
			return SOCKET_FULL;
		if (err) {
			fail(stream, err);
			return SENT_ALL;
		}
		room_tell(sender);
	}
	return SENT_ALL;
}

static void *sender_run(void *data);

/* The program's signals are for the program's threads. */
static bool start_locked(struct gcl_stream *stream)
{
	struct gcl_stream_sender *sender = &stream->sender;
	sigset_t all, before;

	if (sender->started)
		return true;
	if (sender->ending)
		return false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	sender->started = pthread_create(&sender->thread, NULL, sender_run, stream) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return sender->started;
}

/* Without a thread, what is left waits for the next call that sends or waits. */
static void hand_over(struct gcl_stream *stream, bool doze)
{
	struct gcl_stream_sender *sender = &stream->sender;

	pthread_mutex_lock(&sender->lock);
	if (start_locked(stream)) {
		sender->wanted = true;
		sender->doze |= doze; /* dozing promises it */
		pthread_cond_signal(&sender->wake);
	} else {
		gcl_log_peer(ring, "cannot start a thread to send with: raise the limit of "
				   "processes (ulimit -u)");
	}
	pthread_mutex_unlock(&sender->lock);
}

/* Return: false when someone else has the duty, and will see what is queued now. */
static bool duty_take(struct gcl_stream_sender *sender)
{
	bool taken = false;

	return atomic_compare_exchange_strong(&sender->busy, &taken, true);
}

void gcl_stream_send(struct gcl_stream *stream)
{
	struct gcl_stream_sender *sender = &stream->sender;

	do {
		enum outcome outcome;

		if (atomic_load(&sender->failed) || !duty_take(sender))
			return;
		outcome = write_some(stream, 1);
		atomic_store(&sender->busy, false); /* pairs with duty_take() */
		if (outcome != SENT_ALL) {
			hand_over(stream, false);
			return;
		}
	} while (!nothing_queued(sender));
}

void gcl_stream_post(struct gcl_stream *stream)
{
	struct gcl_stream_sender *sender = &stream->sender;
	unsigned run = atomic_fetch_add_explicit(&sender->run, 1, memory_order_relaxed);

	if (!sender->gathers || run < RUN_LONG ||
	    gcl_stream_queue_used(&sender->queue) >= GATHER_BYTES) {
		gcl_stream_send(stream);
		return;
	}
	/* Pairs with doze(): what was queued, then dozing. */
	if (atomic_load(&sender->dozing))
		return;
	atomic_store(&sender->dozing, true);
	hand_over(stream, true);
	if (!sender->started) {
		atomic_store(&sender->dozing, false);
		gcl_stream_send(stream);
	}
}

/* Sends until nothing is left, waiting for the socket in between. */
static void sender_work(struct gcl_stream *stream)
{
	struct gcl_stream_sender *sender = &stream->sender;
	struct pollfd out = {.fd = stream->io.fd, .events = POLLOUT};

	while (!sender->failed && !gcl_channel_dead(&stream->channel)) {
		enum outcome outcome;

		/* Who has it now calls for this thread again if it has to. */
		if (!duty_take(sender))
			return;
		outcome = write_some(stream, THREAD_WRITES);
		atomic_store(&sender->busy, false); /* pairs with duty_take() */
		if (outcome == SENT_ALL && nothing_queued(sender))
			return;
		/* Ends when the connection does, if not before. */
		if (outcome == SOCKET_FULL)
			poll(&out, 1, -1);
	}
}

/* Looks at the queue every now and then, until nothing was queued for a while. */
static void doze(struct gcl_stream *stream)
{
	const struct timespec pause = {.tv_nsec = GATHER_NS};
	struct gcl_stream_sender *sender = &stream->sender;

	for (unsigned idle = 0; idle < DOZES_IDLE; idle++) {
		nanosleep(&pause, NULL);
		if (sender->failed || gcl_channel_dead(&stream->channel))
			break;
		if (nothing_queued(sender))
			continue;
		sender_work(stream);
		idle = 0;
	}
	atomic_store(&sender->dozing, false); /* pairs with gcl_stream_post() */
	sender_work(stream);
}

bool gcl_stream_stuck(struct gcl_stream *stream)
{
	return !stream->sender.started && !nothing_queued(&stream->sender) &&
	       !stream->sender.failed;
}

static void time_after(struct timespec *time, int64_t ms)
{
	clock_gettime(CLOCK_MONOTONIC, time);
	time->tv_sec += ms / 1000;
	time->tv_nsec += ms % 1000 * 1000000;
	time->tv_sec += time->tv_nsec / 1000000000;
	time->tv_nsec %= 1000000000;
}

/* One too many is left out: it costs the other side memory, or patience, nothing else. */
static void control_enter_locked(struct gcl_stream_sender *sender, const struct gcl_frame *frame)
{
	unsigned count = sender->control_count;

	if (count == GCL_STREAM_CONTROLS)
		return;
	sender->controls[count] = *frame;
	sender->controls[count].length = sizeof *frame;
	sender->control_count = count + 1;
}

/* Waits until there is something to do, giving a sign of life if that takes long. */
static void rest_locked(struct gcl_stream_sender *sender)
{
	struct timespec end;

	if (!sender->beats) {
		pthread_cond_wait(&sender->wake, &sender->lock);
		return;
	}
	time_after(&end, sender->beat_ms);
	if (pthread_cond_timedwait(&sender->wake, &sender->lock, &end) != ETIMEDOUT)
		return;
	sender->beats--;
	control_enter_locked(sender, &(struct gcl_frame){.flags = GCL_FRAME_BEAT});
	sender->wanted = true;
}

static void *sender_run(void *data)
{
	struct gcl_stream *stream = data;
	struct gcl_stream_sender *sender = &stream->sender;
	bool may_doze;

	/* A doze is short: the kernel must not make it as long again. */
	prctl(PR_SET_TIMERSLACK, 1000);
	pthread_mutex_lock(&sender->lock);
	while (!sender->ending) {
		if (!sender->wanted) {
			rest_locked(sender);
			continue;
		}
		sender->wanted = false;
		may_doze = sender->doze;
		sender->doze = false;
		pthread_mutex_unlock(&sender->lock);
		if (may_doze)
			doze(stream);
		else
			sender_work(stream);
		pthread_mutex_lock(&sender->lock);
	}
	pthread_mutex_unlock(&sender->lock);
	return NULL;
}

static void control_send(struct gcl_stream *stream, const struct gcl_frame *frame)
{
	pthread_mutex_lock(&stream->sender.lock);
	control_enter_locked(&stream->sender, frame);
	pthread_mutex_unlock(&stream->sender.lock);
	gcl_stream_send(stream);
}

void gcl_stream_trim(struct gcl_stream *stream, uint64_t offset, uint64_t size)
{
	control_send(stream, &(struct gcl_frame){
				     .flags = GCL_FRAME_TRIM,
				     .payload_offset = offset,
				     .payload_size = size,
			     });
}

void gcl_stream_beat(struct gcl_stream *stream)
{
	control_send(stream, &(struct gcl_frame){.flags = GCL_FRAME_BEAT});
}

void gcl_stream_beats_start(struct gcl_stream *stream)
{
	struct gcl_stream_sender *sender = &stream->sender;

	pthread_mutex_lock(&sender->lock);
	sender->beats = GCL_STREAM_BEATS;
	if (start_locked(stream))
		pthread_cond_signal(&sender->wake);
	pthread_mutex_unlock(&sender->lock);
}

/* Return: 0 or -ETIMEDOUT; may be early. */
static int room_sleep(struct gcl_stream *stream, const struct timespec *end)
{
	struct gcl_stream_sender *sender = &stream->sender;
	int err = 0;

	pthread_mutex_lock(&sender->lock);
	atomic_fetch_add(&sender->waiters, 1); /* pairs with room_tell() */
	if (!sender->failed && !gcl_channel_dead(&stream->channel) &&
	    !gcl_stream_queue_writable(&sender->queue))
		err = end ? pthread_cond_timedwait(&sender->room, &sender->lock, end)
			  : pthread_cond_wait(&sender->room, &sender->lock);
	atomic_fetch_sub(&sender->waiters, 1);
	pthread_mutex_unlock(&sender->lock);
	return -err;
}

int gcl_stream_room_wait(struct gcl_stream *stream, int timeout_ms)
{
	struct gcl_stream_sender *sender = &stream->sender;
	struct timespec end, soon;
	int err = 0;

	time_after(&end, GCL_MAX(timeout_ms, 0));
	while (!sender->failed && !gcl_channel_dead(&stream->channel)) {
		if (gcl_stream_queue_writable(&sender->queue))
			return 0;
		if (err && timeout_ms >= 0)
			return err;
		if (gcl_stream_stuck(stream)) {
			gcl_stream_send(stream);
			time_after(&soon, STUCK_MS);
			room_sleep(stream, &soon);
			if (timeout_ms >= 0 && (timeout_ms -= STUCK_MS) <= 0)
				err = -ETIMEDOUT;
		} else {
			err = room_sleep(stream, timeout_ms < 0 ? NULL : &end);
		}
	}
	return -EPIPE;
}

void gcl_stream_sender_wake(struct gcl_stream *stream)
{
	struct gcl_stream_sender *sender = &stream->sender;

	pthread_mutex_lock(&sender->lock);
	pthread_cond_broadcast(&sender->room);
	pthread_cond_broadcast(&sender->wake);
	pthread_mutex_unlock(&sender->lock);
}

int gcl_stream_sender_init(struct gcl_stream *stream, uint64_t queue_size)
{
	struct gcl_stream_sender *sender = &stream->sender;
	pthread_condattr_t attr;

	if (pthread_condattr_init(&attr))
		return -ENOMEM;
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&sender->lock, NULL);
	pthread_cond_init(&sender->wake, &attr);
	pthread_cond_init(&sender->room, &attr);
	pthread_condattr_destroy(&attr);
	sender->beat_ms = GCL_STREAM_BEAT_MS;
	return gcl_stream_queue_init(&sender->queue, queue_size);
}

void gcl_stream_sender_fini(struct gcl_stream *stream, bool own)
{
	struct gcl_stream_sender *sender = &stream->sender;

	/* In a forked child there is no such thread. */
	if (own && sender->started) {
		pthread_mutex_lock(&sender->lock);
		sender->ending = true;
		pthread_cond_signal(&sender->wake);
		pthread_mutex_unlock(&sender->lock);
		pthread_join(sender->thread, NULL);
	}
	gcl_stream_queue_fini(&sender->queue);
}
