// SPDX-License-Identifier: MIT
/*
 * A channel over shared memory once it stands: rings, doorbells, waiting, and the end of the peer.
 *
 * Theory of operation: each side has one doorbell, but may have two sleepers, one that waits for
 * frames and one that waits for room. Each sleeps on an epoll descriptor of its own, where the
 * doorbell is edge-triggered: every ring wakes both, nobody drains it, and none can take the
 * other's wake-up away. The connection's end is watched in both, and once seen it is remembered, so
 * that it is never missed, whichever side caused it.
 *
 * A waiter first looks for a while, then sleeps; nobody wakes up periodically. It keeps its CPU
 * while it looks: giving it up between looks (sched_yield) makes the scheduler count time that was
 * never used, and a yielding waiter loses whole slices to whatever else runs. A side that knows
 * that others work for it doesn't look at all (gcl_channel_patient()).
 */
#include "shm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"

#define LOOK_INTERVAL_MS 100
#define LOOKS_PER_CLOCK	 16
#define BLOCK		 64u /* waits that are measured together */
#define TRIAL_EVERY	 16u /* one block in so many is waited the dearer way */
#define LEARN_MAX_NS	 200000
#define CONN_GONE	 (EPOLLRDHUP | EPOLLHUP | EPOLLERR)

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool peer_gone(struct gcl_shm *shm)
{
	return atomic_load_explicit(&shm->peer_gone, memory_order_acquire);
}

/* Looks at the connection now and then, for callers that never sleep. */
static bool peer_gone_look(struct gcl_shm *shm, struct gcl_shm_end *end)
{
	int64_t now = clock_ns(CLOCK_MONOTONIC_COARSE) / 1000000;
	struct pollfd conn = {.fd = shm->conn, .events = POLLRDHUP};

	if (now - end->looked_ms >= LOOK_INTERVAL_MS) {
		end->looked_ms = now;
		if (poll(&conn, 1, 0) > 0)
			atomic_store_explicit(&shm->peer_gone, true, memory_order_release);
	}
	return peer_gone(shm);
}

static void bell_write(struct gcl_shm *shm)
{
	uint64_t one = 1;

	/* A full counter means that the peer was rung 2^64 times, or writes to it itself. */
	if (write(shm->peer_bell, &one, sizeof one) < 0 && errno != EAGAIN)
		gcl_log_peer(ring, "cannot ring the other side's bell: errno %d", errno);
}

int gcl_shm_reserve(struct gcl_channel *channel, size_t body_max, void **body)
{
	struct gcl_shm *shm = gcl_shm_of(channel);

	if (peer_gone_look(shm, &shm->out))
		return -EPIPE;
	return gcl_ring_reserve(&shm->out.ring, body_max, body);
}

void gcl_shm_commit(struct gcl_channel *channel, const struct gcl_frame *head, size_t body_size)
{
	struct gcl_shm *shm = gcl_shm_of(channel);

	if (gcl_ring_commit(&shm->out.ring, head, body_size))
		shm->bell_ring(shm);
}

int gcl_shm_receive(struct gcl_channel *channel, struct gcl_frame *head, void *body,
		    size_t body_max)
{
	struct gcl_shm *shm = gcl_shm_of(channel);
	struct gcl_ring *ring = &shm->in.ring;
	bool wake = false;
	int n = gcl_ring_receive(ring, head, body, body_max, &wake);

	/* What was sent before the end is only sure to be seen by a look after it. */
	if (n == 0 && peer_gone_look(shm, &shm->in)) {
		n = gcl_ring_receive(ring, head, body, body_max, &wake);
		if (n == 0)
			return -EPIPE;
	}
	if (wake)
		shm->bell_ring(shm);
	return n;
}

/* Is there an end to waiting, other than the peer's? */
static bool end_ready(struct gcl_shm *shm, bool producer)
{
	if (producer)
		return gcl_ring_writable(&shm->out.ring);
	return gcl_ring_readable(&shm->in.ring) ||
	       atomic_load_explicit(&shm->interrupted, memory_order_acquire);
}

static void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/*
 * Whether to look before sleeping. On CPUs of one's own that saves a wake-up; where the peer, the
 * runtime or another program wants this CPU it delays what is waited for. So both ways are
 * measured, in blocks of waits, since each changes what the scheduler does next, and the cheaper
 * one is taken. Long waits count little: they say nothing about how they should have begun.
 */
static void look_learn(struct gcl_shm_end *end, int64_t waited_ns)
{
	end->block_ns += GCL_MIN(waited_ns, LEARN_MAX_NS);
	if (++end->waits % BLOCK)
		return;
	end->cost_ns[end->look] = end->block_ns;
	end->block_ns = 0;
	if (end->cost_ns[!end->look] == 0 || end->waits % (TRIAL_EVERY * BLOCK) == 0)
		end->look = !end->look;
	else
		end->look = end->cost_ns[true] <= end->cost_ns[false];
}

/* Its CPU is free for others then. */
static bool peer_sleeps(struct gcl_shm *shm)
{
	return atomic_load_explicit(&shm->out.ring.shared->consumer_sleeps, memory_order_relaxed);
}

/* Looks until there is something, from @start on, for as long as this end does. */
static bool end_spin(struct gcl_shm *shm, const struct gcl_shm_end *end, bool producer,
		     int64_t start)
{
	do {
		for (unsigned i = 0; i < LOOKS_PER_CLOCK; i++) {
			if (end_ready(shm, producer))
				return true;
			cpu_relax();
		}
	} while (clock_ns(CLOCK_MONOTONIC) - start < end->spin_ns);
	return false;
}

/* Sleeps until the bell rings, the connection ends, or @timeout_ms passes; may return early. */
static void end_sleep(struct gcl_shm *shm, struct gcl_shm_end *end, bool producer, int timeout_ms)
{
	struct epoll_event event;
	int n;

	if (!gcl_ring_sleep_begin(&end->ring, producer))
		return;
	n = epoll_wait(end->poll, &event, 1, timeout_ms);
	gcl_ring_sleep_end(&end->ring, producer);
	if ((n > 0 && event.data.fd == shm->conn && event.events & CONN_GONE) ||
	    (n < 0 && errno != EINTR))
		atomic_store_explicit(&shm->peer_gone, true, memory_order_release);
}

int gcl_shm_wait(struct gcl_channel *channel, bool producer, int timeout_ms)
{
	struct gcl_shm *shm = gcl_shm_of(channel);
	struct gcl_shm_end *end = producer ? &shm->out : &shm->in;
	int64_t start, passed_ms;
	bool ready = end_ready(shm, producer);

	if (!ready && timeout_ms == 0 && !peer_gone_look(shm, end))
		return -ETIMEDOUT;
	if (!ready && !peer_gone(shm)) {
		start = clock_ns(CLOCK_MONOTONIC);
		if (end->look && !(channel->patient && !peer_sleeps(shm)))
			ready = end_spin(shm, end, producer, start);
		while (!ready && !gcl_channel_dead(channel) && !peer_gone(shm)) {
			passed_ms = (clock_ns(CLOCK_MONOTONIC) - start) / 1000000;
			if (timeout_ms >= 0 && passed_ms >= timeout_ms)
				return -ETIMEDOUT;
			end_sleep(shm, end, producer,
				  timeout_ms < 0 ? -1 : timeout_ms - (int)passed_ms);
			ready = end_ready(shm, producer);
		}
		if (end->learns)
			look_learn(end, clock_ns(CLOCK_MONOTONIC) - start);
	}
	/* Whoever returns from here looks at everything, so an interrupt has served its purpose. */
	if (!producer && atomic_load_explicit(&shm->interrupted, memory_order_relaxed))
		atomic_exchange(&shm->interrupted, false);
	if (gcl_channel_dead(channel))
		return -EPIPE;
	if (!peer_gone(shm) || (!producer && gcl_ring_readable(&shm->in.ring)))
		return 0;
	/* All that came before the end has been read. A writer leaves that to the reader to say. */
	if (!producer)
		gcl_channel_kill(channel, -EPIPE);
	return -EPIPE;
}

void gcl_shm_interrupt(struct gcl_channel *channel)
{
	struct gcl_shm *shm = gcl_shm_of(channel);
	uint64_t one = 1;

	atomic_store_explicit(&shm->interrupted, true, memory_order_release);
	if (write(shm->own_bell, &one, sizeof one) < 0 && errno != EAGAIN)
		gcl_log_error(ring, "cannot ring the own bell: errno %d", errno);
}

int gcl_shm_conn(const struct gcl_channel *channel)
{
	return gcl_container_of(channel, const struct gcl_shm, channel)->conn;
}

/* ------------------------------------------------------------ beginning and end */

void gcl_shm_shutdown(struct gcl_channel *channel)
{
	shutdown(gcl_shm_of(channel)->conn, SHUT_RDWR);
}

static void fds_close(struct gcl_shm *shm)
{
	int *const fds[] = {&shm->in.poll, &shm->out.poll,  &shm->own_bell,
			    &shm->door,	   &shm->peer_bell, &shm->conn};

	for (unsigned i = 0; i < GCL_ARRAY_SIZE(fds); i++) {
		gcl_cleanup_close(fds[i]);
		*fds[i] = -1;
	}
}

void gcl_shm_abandon(struct gcl_channel *channel)
{
	fds_close(gcl_shm_of(channel));
}

void gcl_shm_fini(struct gcl_shm *shm)
{
	/* In a forked child the connection is the parent's to end. (Not a socket: closing ends it.)
	 */
	if (shm->pid == getpid())
		gcl_shm_shutdown(&shm->channel);
	fds_close(shm);
	munmap(shm->rings, shm->rings_size);
}

void gcl_shm_heap_advise(void *memory, uint64_t size)
{
	/* Wishes: what the kernel can't fulfil does no harm. */
	madvise(memory, size, MADV_DONTDUMP);
	madvise(memory, size, MADV_HUGEPAGE);
}

int gcl_shm_fd(int fd)
{
	int moved, err;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	err = errno;
	close(fd);
	errno = err;
	return moved;
}

static int watch(int poll, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	if (fd >= 0 && epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	return 0;
}

static int poll_create(const struct gcl_shm_setup *setup)
{
	_cleanup_close_ int fd = gcl_shm_fd(epoll_create1(EPOLL_CLOEXEC));
	int err = fd < 0 ? -errno : 0;

	if (!err)
		err = watch(fd, setup->conn, setup->conn_events);
	if (!err)
		err = watch(fd, setup->own_bell, EPOLLIN | EPOLLET);
	if (!err)
		err = watch(fd, setup->door, EPOLLIN | EPOLLET);
	return err ? err : steal_fd(&fd);
}

int gcl_shm_door_set(struct gcl_shm *shm, int door)
{
	int err;

	/* One that was rung already wakes its sleepers at once. */
	err = watch(shm->in.poll, door, EPOLLIN | EPOLLET);
	if (err)
		return err;
	err = watch(shm->out.poll, door, EPOLLIN | EPOLLET);
	if (err) {
		epoll_ctl(shm->in.poll, EPOLL_CTL_DEL, door, NULL);
		return err;
	}
	epoll_ctl(shm->in.poll, EPOLL_CTL_DEL, shm->door, NULL);
	epoll_ctl(shm->out.poll, EPOLL_CTL_DEL, shm->door, NULL);
	close(shm->door);
	shm->door = door;
	return 0;
}

/* Where it can't be told there are many. */
static bool one_cpu(void)
{
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) == 1;
}

static void end_init(struct gcl_shm_end *end, bool guest, int poll)
{
	end->poll = poll;
	end->spin_ns = guest ? GCL_SPIN_GUEST_NS : GCL_SPIN_WORKER_NS;
	/* With one CPU the peer can't do anything while we hold on to it. */
	end->look = !one_cpu();
	/* The guest's waits are what its program feels; the worker's say how busy the guest is. */
	end->learns = end->look && guest;
}

int gcl_shm_init(struct gcl_shm *shm, const struct gcl_shm_setup *setup)
{
	_cleanup_close_ int poll_in = poll_create(setup);
	_cleanup_close_ int poll_out = poll_create(setup);
	struct gcl_ring_shared *shared = setup->rings;
	uint8_t *data = (uint8_t *)setup->rings + GCL_SHM_DATA_OFFSET;

	if (poll_in < 0 || poll_out < 0)
		return poll_in < 0 ? poll_in : poll_out;
	shm->channel.ops = setup->ops;
	gcl_ring_init(setup->guest ? &shm->out.ring : &shm->in.ring, &shared[0], data,
		      setup->commands_size);
	gcl_ring_init(setup->guest ? &shm->in.ring : &shm->out.ring, &shared[1],
		      data + setup->commands_size, setup->completions_size);
	end_init(&shm->in, setup->guest, steal_fd(&poll_in));
	end_init(&shm->out, setup->guest, steal_fd(&poll_out));
	shm->conn = setup->conn;
	shm->own_bell = setup->own_bell;
	shm->door = setup->door;
	shm->peer_bell = setup->peer_bell;
	shm->bell_ring = setup->bell_ring ? setup->bell_ring : bell_write;
	shm->pid = getpid();
	shm->rings = setup->rings;
	shm->rings_size = gcl_shm_rings_size(setup->commands_size, setup->completions_size);
	return 0;
}
