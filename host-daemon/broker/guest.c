// SPDX-License-Identifier: MIT
/*
 * A guest, from its connection until a worker has it: greeting, admission, waiting its turn.
 *
 * Must not: block, read anything but the greeting. Every guest that is turned away gets one line
 * that says why; lines for the log about it are limited in rate.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "broker.h"

static void guest_destroy(struct gcl_guest *guest)
{
	struct gcl_broker *broker = guest->broker;

	ev_io_stop(broker->loop, &guest->readable);
	ev_timer_stop(broker->loop, &guest->timeout);
	gcl_list_remove(&guest->link);
	if (guest->waiting)
		broker->guests.waiting_count--;
	else
		broker->guests.greeting_count--;
	gcl_greeting_fini(&guest->greeting);
	free(guest);
	if (!broker->stopping)
		gcl_listener_resume(&broker->listener);
}

static void refuse(struct gcl_guest *guest, enum gcl_hello_status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void refuse(struct gcl_guest *guest, enum gcl_hello_status status, const char *format, ...)
{
	char text[GCL_REASON_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	gcl_log_peer(broker, "refused pid %d of uid %u: %s", (int)guest->peer.pid,
		     (unsigned)guest->peer.uid, text);
	gcl_hello_answer(guest->greeting.conn, status, text);
	guest_destroy(guest);
}

/* Errors that are ours, not the guest's. */
static bool out_of_resources(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM || err == -ENOBUFS ||
	       err == -ENOSPC || err == -EAGAIN || err == -ETOOMANYREFS;
}

/* Descriptors that find no place are dropped by the kernel, and the greeting looks malformed. */
static bool descriptors_short(void)
{
	_cleanup_close_ int probe = open("/dev/null", O_RDONLY | O_CLOEXEC);

	return probe < 0 && out_of_resources(-errno);
}

static size_t waiting_of(const struct gcl_guests *guests, uid_t uid)
{
	size_t count = 0;

	gcl_list_for_each (it, &guests->waiting)
		count += gcl_container_of(it, struct gcl_guest, link)->peer.uid == uid;
	return count;
}

static size_t greeting_of(const struct gcl_guests *guests, uid_t uid)
{
	size_t count = 0;

	gcl_list_for_each (it, &guests->greeting)
		count += gcl_container_of(it, struct gcl_guest, link)->peer.uid == uid;
	return count;
}

/* Return: false when the guest has been refused. */
static bool admit(struct gcl_guest *guest)
{
	struct gcl_broker *broker = guest->broker;
	const struct gcl_config *config = &broker->config;
	uid_t uid = guest->peer.uid;

	if (gcl_workers_sessions(&broker->workers, (uid_t)-1) + broker->guests.waiting_count >=
	    config->max_sessions) {
		refuse(guest, GCL_HELLO_BUSY,
		       "guestcld serves %u sessions already: end one, or raise max-sessions in "
		       "guestcld.conf",
		       config->max_sessions);
		return false;
	}
	if (gcl_workers_sessions(&broker->workers, uid) + waiting_of(&broker->guests, uid) >=
	    config->max_sessions_per_user) {
		refuse(guest, GCL_HELLO_BUSY,
		       "guestcld serves %u sessions of user %u already: end one, or raise "
		       "max-sessions-per-user in guestcld.conf",
		       config->max_sessions_per_user, (unsigned)uid);
		return false;
	}
	return true;
}

/* Nothing more is said by a guest that waits; it may leave, though. */
static void leave(struct gcl_guest *guest)
{
	char byte;
	ssize_t n = recv(guest->greeting.conn, &byte, 1, MSG_DONTWAIT | MSG_PEEK);

	if (n > 0)
		refuse(guest, GCL_HELLO_MALFORMED, "data after the greeting");
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		guest_destroy(guest);
}

static void guest_wait(struct gcl_guest *guest)
{
	struct gcl_broker *broker = guest->broker;

	gcl_list_remove(&guest->link);
	broker->guests.greeting_count--;
	gcl_list_append(&broker->guests.waiting, &guest->link);
	broker->guests.waiting_count++;
	guest->waiting = true;
	gcl_listener_resume(&broker->listener);
	ev_timer_stop(broker->loop, &guest->timeout);
	ev_timer_set(&guest->timeout, broker->config.start_timeout / 1000., 0.);
	ev_timer_start(broker->loop, &guest->timeout);
	gcl_guests_serve(broker);
}

static void greeting_read(struct gcl_guest *guest)
{
	char reason[GCL_REASON_MAX] = "";
	int err = gcl_greeting_receive(&guest->greeting, guest->greeting.conn);

	if (err == 0)
		return;
	if (err == -EPIPE || err == -ECONNRESET) {
		guest_destroy(guest);
		return;
	}
	if (out_of_resources(err) || (err == -EPROTO && descriptors_short())) {
		refuse(guest, GCL_HELLO_BUSY,
		       "guestcld has no room for the guest's descriptors: end other sessions, or "
		       "raise its limit (LimitNOFILE= in guestcld.service)");
		return;
	}
	if (err > 0)
		err = gcl_greeting_check(&guest->greeting, reason, sizeof reason);
	if (err == -EPROTONOSUPPORT)
		refuse(guest, GCL_HELLO_VERSION_MISMATCH, "%s", reason);
	else if (err < 0)
		refuse(guest, GCL_HELLO_MALFORMED, "malformed greeting: %s",
		       *reason ? reason : strerror(-err));
	else if (admit(guest))
		guest_wait(guest);
}

static void on_readable(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct gcl_guest *guest = io->data;

	(void)loop;
	(void)events;
	if (guest->waiting)
		leave(guest);
	else
		greeting_read(guest);
}

static void on_timeout(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_guest *guest = timer->data;
	const struct gcl_broker *broker = guest->broker;
	const struct gcl_workers *workers = &broker->workers;

	(void)loop;
	(void)events;
	if (!guest->waiting)
		refuse(guest, GCL_HELLO_MALFORMED, "no greeting within %u ms",
		       broker->config.greeting_timeout);
	else if (workers->failures)
		refuse(guest, GCL_HELLO_FAILED, "%s", workers->reason);
	else
		refuse(guest, GCL_HELLO_BUSY,
		       "no worker came up within %u ms (start-timeout): the host is overloaded; "
		       "try again later",
		       broker->config.start_timeout);
}

/* A user may hold only half of the places, so that others always get in. */
static bool crowded(const struct gcl_broker *broker, uid_t uid)
{
	return greeting_of(&broker->guests, uid) > broker->config.max_greetings / 2;
}

void gcl_guest_accept(struct gcl_broker *broker, int conn)
{
	struct gcl_guest *guest = calloc(1, sizeof *guest);
	socklen_t size = sizeof guest->peer;

	if (!guest) {
		gcl_log_peer(broker, "refused a guest: no memory");
		gcl_hello_answer(conn, GCL_HELLO_BUSY, "guestcld has no memory left");
		close(conn);
		return;
	}
	guest->broker = broker;
	gcl_greeting_init(&guest->greeting);
	guest->greeting.conn = conn;
	ev_io_init(&guest->readable, on_readable, conn, EV_READ);
	guest->readable.data = guest;
	ev_timer_init(&guest->timeout, on_timeout, broker->config.greeting_timeout / 1000., 0.);
	guest->timeout.data = guest;
	gcl_list_append(&broker->guests.greeting, &guest->link);
	broker->guests.greeting_count++;
	if (getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &guest->peer, &size) < 0) {
		refuse(guest, GCL_HELLO_FAILED, "can't tell who the guest is: %s", strerror(errno));
	} else if (gcl_workers_owns(&broker->workers, guest->peer.pid)) {
		/* Its ICD loader found the guest library beside the runtimes. */
		refuse(guest, GCL_HELLO_FAILED, "a worker can't be its own guest");
	} else if (crowded(broker, guest->peer.uid)) {
		refuse(guest, GCL_HELLO_BUSY, "too many connections of user %u without a greeting",
		       (unsigned)guest->peer.uid);
	} else {
		if (broker->guests.greeting_count >= broker->config.max_greetings)
			gcl_listener_hold(&broker->listener);
		ev_io_start(broker->loop, &guest->readable);
		ev_timer_start(broker->loop, &guest->timeout);
		greeting_read(guest); /* mostly it is there already */
	}
}

/* Passes the guest on, refuses it, or leaves it waiting. */
static void serve(struct gcl_guest *guest)
{
	struct gcl_workers *workers = &guest->broker->workers;
	struct gcl_worker_process *worker;
	char reason[GCL_REASON_MAX];
	int err;

	while ((worker = gcl_workers_idle(workers, guest->peer.uid))) {
		err = gcl_worker_serve(worker, guest);
		if (err == 0) {
			guest_destroy(guest);
			return;
		}
		if (out_of_resources(err)) {
			refuse(guest, GCL_HELLO_BUSY, "guestcld can't pass the guest on: %s",
			       strerror(-err));
			return;
		}
	}
	err = gcl_workers_promise(workers, guest->peer.uid, reason, sizeof reason);
	if (err < 0 && err != -EAGAIN)
		refuse(guest, GCL_HELLO_FAILED, "%s", reason);
}

void gcl_guests_serve(struct gcl_broker *broker)
{
	gcl_workers_unpromise(&broker->workers);
	gcl_list_for_each_safe (it, next, &broker->guests.waiting)
		serve(gcl_container_of(it, struct gcl_guest, link));
}

void gcl_guests_refuse(struct gcl_broker *broker, enum gcl_hello_status status, const char *reason)
{
	gcl_list_for_each_safe (it, next, &broker->guests.waiting)
		refuse(gcl_container_of(it, struct gcl_guest, link), status, "%s", reason);
}

void gcl_guests_init(struct gcl_guests *guests)
{
	gcl_list_init(&guests->greeting);
	gcl_list_init(&guests->waiting);
	guests->greeting_count = 0;
	guests->waiting_count = 0;
}

void gcl_guests_fini(struct gcl_broker *broker, const char *reason)
{
	gcl_guests_refuse(broker, GCL_HELLO_BUSY, reason);
	gcl_list_for_each_safe (it, next, &broker->guests.greeting)
		refuse(gcl_container_of(it, struct gcl_guest, link), GCL_HELLO_BUSY, "%s", reason);
}
