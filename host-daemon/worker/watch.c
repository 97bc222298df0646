/*
 * The watch thread: ends the process when guest or broker is gone, does what is asked for beside
 * the session's messages, and keeps what flows to the guest flowing while the session thread is
 * busy or asleep.
 *
 * A kernel may run forever and the session thread may be stuck inside the runtime, so nobody is
 * asked: the process exits, and the kernel of the host takes everything back. Must not: call the
 * runtime, take a lock that is held while it is called.
 */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>

#include "worker.h"

/* While messages wait for room in the ring, how often to look whether there is some. */
#define PENDING_POLL_MS 1

/* What one look at a guest that doesn't read counts for, at most. */
#define LOOK_MAX_MS 100

/* How long a guest may take to read why its session ends, and to go; the broker waits longer. */
#define END_MS 500

/* With so much waiting for the guest already, kernels that print have to wait too. */
#define PRINT_PENDING_MAX (1u << 20)

struct gcl_watch {
	struct gcl_worker *worker;
	int guest, broker;
	int wake;	   /* eventfd: the outbox is no longer empty */
	uint64_t pushed;   /* by the outbox, when it was last looked at */
	int64_t looked_ms; /* when that was */
	int64_t waited_ms; /* nothing has been pushed for so long, and something waits */
	int64_t end_ms;	   /* the guest was told that the session ends: exit then; 0 */
};

enum { WATCH_GUEST, WATCH_BROKER, WATCH_WAKE, WATCH_PRINT, WATCH_COUNT };

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void gcl_watch_end(struct gcl_worker *worker)
{
	if (worker->watch && !worker->watch->end_ms)
		worker->watch->end_ms = now_ms() + END_MS;
}

/* Something waits for the guest: how long has it taken nothing? A look counts for no more than
 * LOOK_MAX_MS, so that a process that was stopped is not mistaken for a guest that doesn't read. */
static void choked_look(struct gcl_watch *watch)
{
	struct gcl_worker *worker = watch->worker;
	uint64_t limit = gcl_page_read(&worker->page->limits.guest_timeout);
	uint64_t pushed = worker->outbox.pushed;
	int64_t now = now_ms();

	if (pushed != watch->pushed || watch->waited_ms < 0)
		watch->waited_ms = 0;
	else
		watch->waited_ms += GCL_MIN(now - watch->looked_ms, LOOK_MAX_MS);
	watch->pushed = pushed;
	watch->looked_ms = now;
	if (!limit || watch->waited_ms < (int64_t)limit)
		return;
	watch->waited_ms = 0;
	gcl_worker_end_want(worker, GCL_END_GUEST_TIMEOUT, limit);
}

/* @idle: nothing waits for the guest. Return: how long to sleep, in ms. */
static int patience(const struct gcl_watch *watch, bool idle)
{
	int64_t left = watch->end_ms - now_ms();

	if (watch->end_ms && (left <= 0 || idle))
		return (int)GCL_MAX(left, (int64_t)0);
	return idle ? -1 : PENDING_POLL_MS;
}

static bool ended(const struct gcl_watch *watch)
{
	return watch->end_ms && now_ms() >= watch->end_ms;
}

static void *watch_run(void *data)
{
	struct gcl_watch *watch = data;
	struct gcl_worker *worker = watch->worker;
	const short served = gcl_channel_serves(worker->channel) ? POLLIN : 0;
	const int gone = POLLRDHUP | POLLHUP | POLLERR | POLLNVAL;
	struct pollfd fds[WATCH_COUNT] = {
		[WATCH_GUEST] = {.fd = watch->guest, .events = POLLRDHUP | served},
		[WATCH_BROKER] = {.fd = watch->broker, .events = POLLRDHUP | POLLIN},
		[WATCH_WAKE] = {.fd = watch->wake, .events = POLLIN},
		[WATCH_PRINT] = {.events = POLLIN},
	};
	int dead;

	while (!ended(watch)) {
		bool all = gcl_outbox_flush(worker);
		bool choked = atomic_load_explicit(&worker->outbox.pending_bytes,
						   memory_order_relaxed) > PRINT_PENDING_MAX;
		eventfd_t ignored;

		if (all)
			watch->waited_ms = -1;
		else
			choked_look(watch);
		fds[WATCH_PRINT].fd = choked ? -1 : gcl_print_fd(worker);
		if (poll(fds, WATCH_COUNT, patience(watch, all)) < 0 && errno != EINTR)
			break;
		if (((fds[WATCH_GUEST].revents | fds[WATCH_BROKER].revents) & gone))
			break;
		if (fds[WATCH_BROKER].revents & POLLIN && gcl_note_receive(worker) < 0)
			break;
		if (fds[WATCH_GUEST].revents & served && gcl_channel_serve(worker->channel))
			break;
		if (fds[WATCH_WAKE].revents & POLLIN)
			(void)eventfd_read(watch->wake, &ignored);
		if (fds[WATCH_PRINT].fd >= 0 && fds[WATCH_PRINT].revents & POLLIN)
			gcl_print_drain(worker);
	}
	/* A session that was ended for a reason is no guest that left. */
	dead = gcl_channel_dead(worker->channel);
	gcl_log_debug(session, "%s is gone",
		      fds[WATCH_GUEST].revents & gone ? "the guest" : "the broker");
	_exit(dead && dead != -EPIPE ? EXIT_FAILURE : EXIT_SUCCESS);
}

int gcl_watch_start(struct gcl_worker *worker, int guest, int broker)
{
	struct gcl_watch *watch = calloc(1, sizeof *watch);
	pthread_t thread;
	int err;

	if (!watch)
		return -ENOMEM;
	watch->worker = worker;
	watch->guest = guest;
	watch->broker = broker;
	watch->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (watch->wake < 0) {
		err = -errno;
		free(watch);
		return err;
	}
	worker->watch = watch;
	err = pthread_create(&thread, NULL, watch_run, watch);
	if (err) {
		worker->watch = NULL;
		close(watch->wake);
		free(watch);
		return -err;
	}
	return -pthread_detach(thread);
}

void gcl_watch_wake(struct gcl_worker *worker)
{
	if (worker->watch)
		(void)eventfd_write(worker->watch->wake, 1);
}
