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

#include "worker.h"

/* While messages wait for room in the ring, how often to look whether there is some. */
#define PENDING_POLL_MS 1

/* With so much waiting for the guest already, kernels that print have to wait too. */
#define PRINT_PENDING_MAX (1u << 20)

struct gcl_watch {
	struct gcl_worker *worker;
	int guest, broker;
	int wake; /* eventfd: the outbox is no longer empty */
};

enum { WATCH_GUEST, WATCH_BROKER, WATCH_WAKE, WATCH_PRINT, WATCH_COUNT };

static void *watch_run(void *data)
{
	const struct gcl_watch *watch = data;
	struct gcl_worker *worker = watch->worker;
	const short served = gcl_channel_serves(worker->channel) ? POLLIN : 0;
	const int gone = POLLRDHUP | POLLHUP | POLLERR | POLLNVAL;
	struct pollfd fds[WATCH_COUNT] = {
		[WATCH_GUEST] = {.fd = watch->guest, .events = POLLRDHUP | served},
		[WATCH_BROKER] = {.fd = watch->broker, .events = POLLRDHUP},
		[WATCH_WAKE] = {.fd = watch->wake, .events = POLLIN},
		[WATCH_PRINT] = {.events = POLLIN},
	};
	int dead;

	for (;;) {
		bool all = gcl_outbox_flush(worker);
		bool choked = atomic_load_explicit(&worker->outbox.pending_bytes,
						   memory_order_relaxed) > PRINT_PENDING_MAX;
		eventfd_t ignored;

		fds[WATCH_PRINT].fd = choked ? -1 : gcl_print_fd(worker);
		if (poll(fds, WATCH_COUNT, all ? -1 : PENDING_POLL_MS) < 0 && errno != EINTR)
			break;
		if (((fds[WATCH_GUEST].revents | fds[WATCH_BROKER].revents) & gone))
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
