/*
 * The local channel once it stands: rings, doorbells, waiting, and the end of the peer.
 *
 * Theory of operation: each side has one doorbell (an eventfd), but may have two sleepers, one
 * that waits for frames and one that waits for room. Each sleeps on an epoll descriptor of its own,
 * where the doorbell is edge-triggered: every ring wakes both, nobody drains it, and none can take
 * the other's wake-up away. The connection is level-triggered in both, so that its end is never
 * missed, whichever side caused it.
 *
 * A waiter first looks for a while, then sleeps; nobody wakes up periodically. It keeps its CPU
 * while it looks: giving it up between looks (sched_yield) makes the scheduler count time that was
 * never used, and a yielding waiter loses whole slices to whatever else runs. A side that knows
 * that others work for it doesn't look at all (gcl_channel_patient()).
 */
#include "local-channel.h"

#include <errno.h>
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

static struct gcl_local *local_of(struct gcl_channel *channel)
{
	return gcl_container_of(channel, struct gcl_local, channel);
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool peer_gone(struct gcl_local *local)
{
	return atomic_load_explicit(&local->peer_gone, memory_order_acquire);
}

/* Looks at the connection now and then, for callers that never sleep. */
static bool peer_gone_look(struct gcl_local *local, struct gcl_local_end *end)
{
	int64_t now = clock_ns(CLOCK_MONOTONIC_COARSE) / 1000000;
	struct pollfd conn = {.fd = local->conn, .events = POLLRDHUP};

	if (now - end->looked_ms >= LOOK_INTERVAL_MS) {
		end->looked_ms = now;
		if (poll(&conn, 1, 0) > 0)
			atomic_store_explicit(&local->peer_gone, true, memory_order_release);
	}
	return peer_gone(local);
}

static void bell_ring(struct gcl_local *local)
{
	uint64_t one = 1;

	/* A full counter means that the peer was rung 2^64 times, or writes to it itself. */
	if (write(local->peer_bell, &one, sizeof one) < 0 && errno != EAGAIN)
		gcl_log_peer(ring, "cannot ring the other side's bell: errno %d", errno);
}

static int local_reserve(struct gcl_channel *channel, size_t body_max, void **body)
{
	struct gcl_local *local = local_of(channel);

	if (peer_gone_look(local, &local->out))
		return -EPIPE;
	return gcl_ring_reserve(&local->out.ring, body_max, body);
}

static void local_commit(struct gcl_channel *channel, const struct gcl_frame *head,
			 size_t body_size)
{
	struct gcl_local *local = local_of(channel);

	if (gcl_ring_commit(&local->out.ring, head, body_size))
		bell_ring(local);
}

static int local_receive(struct gcl_channel *channel, struct gcl_frame *head, void *body,
			 size_t body_max)
{
	struct gcl_local *local = local_of(channel);
	struct gcl_ring *ring = &local->in.ring;
	bool wake = false;
	int n = gcl_ring_receive(ring, head, body, body_max, &wake);

	/* What was sent before the end is only sure to be seen by a look after it. */
	if (n == 0 && peer_gone_look(local, &local->in)) {
		n = gcl_ring_receive(ring, head, body, body_max, &wake);
		if (n == 0)
			return -EPIPE;
	}
	if (wake)
		bell_ring(local);
	return n;
}

/* Is there an end to waiting, other than the peer's? */
static bool end_ready(struct gcl_local *local, bool producer)
{
	if (producer)
		return gcl_ring_writable(&local->out.ring);
	return gcl_ring_readable(&local->in.ring) ||
	       atomic_load_explicit(&local->interrupted, memory_order_acquire);
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
static void look_learn(struct gcl_local_end *end, int64_t waited_ns)
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
static bool peer_sleeps(struct gcl_local *local)
{
	return atomic_load_explicit(&local->out.ring.shared->consumer_sleeps, memory_order_relaxed);
}

/* Looks until there is something, from @start on, for as long as this end does. */
static bool end_spin(struct gcl_local *local, const struct gcl_local_end *end, bool producer,
		     int64_t start)
{
	do {
		for (unsigned i = 0; i < LOOKS_PER_CLOCK; i++) {
			if (end_ready(local, producer))
				return true;
			cpu_relax();
		}
	} while (clock_ns(CLOCK_MONOTONIC) - start < end->spin_ns);
	return false;
}

/* Sleeps until the bell rings, the connection ends, or @timeout_ms passes; may return early. */
static void end_sleep(struct gcl_local *local, struct gcl_local_end *end, bool producer,
		      int timeout_ms)
{
	struct epoll_event event;
	int n;

	if (!gcl_ring_sleep_begin(&end->ring, producer))
		return;
	n = epoll_wait(end->poll, &event, 1, timeout_ms);
	gcl_ring_sleep_end(&end->ring, producer);
	if ((n > 0 && event.data.fd == local->conn) || (n < 0 && errno != EINTR))
		atomic_store_explicit(&local->peer_gone, true, memory_order_release);
}

static int local_wait(struct gcl_channel *channel, bool producer, int timeout_ms)
{
	struct gcl_local *local = local_of(channel);
	struct gcl_local_end *end = producer ? &local->out : &local->in;
	int64_t start, passed_ms;
	bool ready = end_ready(local, producer);

	if (!ready && timeout_ms == 0 && !peer_gone_look(local, end))
		return -ETIMEDOUT;
	if (!ready && !peer_gone(local)) {
		start = clock_ns(CLOCK_MONOTONIC);
		if (end->look && !(channel->patient && !peer_sleeps(local)))
			ready = end_spin(local, end, producer, start);
		while (!ready && !gcl_channel_dead(channel) && !peer_gone(local)) {
			passed_ms = (clock_ns(CLOCK_MONOTONIC) - start) / 1000000;
			if (timeout_ms >= 0 && passed_ms >= timeout_ms)
				return -ETIMEDOUT;
			end_sleep(local, end, producer,
				  timeout_ms < 0 ? -1 : timeout_ms - (int)passed_ms);
			ready = end_ready(local, producer);
		}
		if (end->learns)
			look_learn(end, clock_ns(CLOCK_MONOTONIC) - start);
	}
	/* Whoever returns from here looks at everything, so an interrupt has served its purpose. */
	if (!producer && atomic_load_explicit(&local->interrupted, memory_order_relaxed))
		atomic_exchange(&local->interrupted, false);
	if (gcl_channel_dead(channel))
		return -EPIPE;
	if (!peer_gone(local) || (!producer && gcl_ring_readable(&local->in.ring)))
		return 0;
	/* All that came before the end has been read. A writer leaves that to the reader to say. */
	if (!producer)
		gcl_channel_kill(channel, -EPIPE);
	return -EPIPE;
}

static int local_heap_grow(struct gcl_channel *channel, uint64_t size)
{
	/* All of it is mapped from the start; memory is taken when it is touched. */
	(void)channel;
	(void)size;
	return -ENOMEM;
}

static void local_heap_trim(struct gcl_channel *channel, uint64_t offset, uint64_t size)
{
	if (madvise(channel->heap + offset, size, MADV_REMOVE) < 0)
		gcl_log_debug(mem, "cannot trim the heap: errno %d", errno);
}

static void local_kill(struct gcl_channel *channel)
{
	/* Ends the connection in both directions: that wakes sleepers on both sides. */
	shutdown(local_of(channel)->conn, SHUT_RDWR);
}

static void local_interrupt(struct gcl_channel *channel)
{
	struct gcl_local *local = local_of(channel);
	uint64_t one = 1;

	atomic_store_explicit(&local->interrupted, true, memory_order_release);
	if (write(local->own_bell, &one, sizeof one) < 0 && errno != EAGAIN)
		gcl_log_error(ring, "cannot ring the own bell: errno %d", errno);
}

static void local_abandon(struct gcl_channel *channel)
{
	struct gcl_local *local = local_of(channel);

	close(steal_fd(&local->in.poll));
	close(steal_fd(&local->out.poll));
	close(steal_fd(&local->own_bell));
	close(steal_fd(&local->peer_bell));
	close(steal_fd(&local->conn));
}

static void local_close(struct gcl_channel *channel)
{
	struct gcl_local *local = local_of(channel);

	/* In a forked child the connection is the parent's to end. */
	if (local->pid == getpid())
		shutdown(local->conn, SHUT_RDWR);
	close(local->in.poll);
	close(local->out.poll);
	close(local->own_bell);
	close(local->peer_bell);
	close(local->conn);
	munmap(local->rings, local->rings_size);
	munmap(channel->heap, channel->heap_size);
	free(local);
}

static const struct gcl_channel_ops local_ops = {
	.name = "local",
	.shared = true,
	.reserve = local_reserve,
	.commit = local_commit,
	.receive = local_receive,
	.wait = local_wait,
	.heap_grow = local_heap_grow,
	.heap_trim = local_heap_trim,
	.kill = local_kill,
	.interrupt = local_interrupt,
	.abandon = local_abandon,
	.close = local_close,
};

void *gcl_local_heap_map(int fd, uint64_t size)
{
	void *heap = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	if (heap == MAP_FAILED)
		return NULL;
	/* Wishes: what the kernel can't fulfil does no harm. */
	madvise(heap, size, MADV_DONTDUMP);
	madvise(heap, size, MADV_HUGEPAGE);
	return heap;
}

int gcl_local_fd(int fd)
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

static int poll_create(int bell, int conn)
{
	struct epoll_event on_bell = {.events = EPOLLIN | EPOLLET, .data.fd = bell};
	struct epoll_event on_conn = {.events = EPOLLRDHUP, .data.fd = conn};
	_cleanup_close_ int fd = gcl_local_fd(epoll_create1(EPOLL_CLOEXEC));

	if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, bell, &on_bell) < 0 ||
	    epoll_ctl(fd, EPOLL_CTL_ADD, conn, &on_conn) < 0)
		return -errno;
	return steal_fd(&fd);
}

/* Where it can't be told there are many. */
static bool one_cpu(void)
{
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) == 1;
}

static void end_init(struct gcl_local_end *end, bool guest, int poll)
{
	end->poll = poll;
	end->spin_ns = guest ? GCL_SPIN_GUEST_NS : GCL_SPIN_WORKER_NS;
	/* With one CPU the peer can't do anything while we hold on to it. */
	end->look = !one_cpu();
	/* The guest's waits are what its program feels; the worker's say how busy the guest is. */
	end->learns = end->look && guest;
}

int gcl_local_create(bool guest, struct gcl_greeting *greeting, void *rings, void *heap,
		     struct gcl_channel **out)
{
	const struct gcl_hello *hello = &greeting->hello;
	int own_bell = guest ? GCL_FD_WAKE_GUEST : GCL_FD_WAKE_WORKER;
	int peer_bell = guest ? GCL_FD_WAKE_WORKER : GCL_FD_WAKE_GUEST;
	_cleanup_close_ int poll_in = poll_create(greeting->fds[own_bell], greeting->conn);
	_cleanup_close_ int poll_out = poll_create(greeting->fds[own_bell], greeting->conn);
	struct gcl_ring_shared *shared = rings;
	uint8_t *data = (uint8_t *)rings + GCL_LOCAL_DATA_OFFSET;
	struct gcl_local *local;

	if (poll_in < 0 || poll_out < 0)
		return poll_in < 0 ? poll_in : poll_out;
	local = calloc(1, sizeof *local);
	if (!local)
		return -ENOMEM;
	local->channel.ops = &local_ops;
	local->channel.heap = heap;
	local->channel.heap_size = hello->heap_size;
	gcl_ring_init(guest ? &local->out.ring : &local->in.ring, &shared[0], data,
		      hello->commands_size);
	gcl_ring_init(guest ? &local->in.ring : &local->out.ring, &shared[1],
		      data + hello->commands_size, hello->completions_size);
	end_init(&local->in, guest, steal_fd(&poll_in));
	end_init(&local->out, guest, steal_fd(&poll_out));
	local->conn = steal_fd(&greeting->conn);
	local->own_bell = steal_fd(&greeting->fds[own_bell]);
	local->peer_bell = steal_fd(&greeting->fds[peer_bell]);
	local->pid = getpid();
	local->rings = rings;
	local->rings_size = gcl_local_rings_size(hello);
	*out = &local->channel;
	return 0;
}

int gcl_local_conn(const struct gcl_channel *channel)
{
	return gcl_container_of(channel, const struct gcl_local, channel)->conn;
}
