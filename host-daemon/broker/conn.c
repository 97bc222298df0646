// SPDX-License-Identifier: MIT
/*
 * A guest that comes by a socket: its greeting, and its leaving while it waits.
 *
 * Must not: block, read anything but the greeting.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "broker.h"

/* A connection until its guest is passed to a worker. */
struct conn {
	struct gcl_guest guest; /* whose greeting owns the socket and all descriptors */
	struct gcl_list link;	/* while half-open */
	struct ev_io readable;
	struct ev_timer timeout; /* of the greeting */
};

static struct conn *conn_of(struct gcl_guest *guest)
{
	return gcl_container_of(guest, struct conn, guest);
}

/* It has said who it is, or goes. */
static void greeting_end(struct conn *conn)
{
	struct gcl_conns *conns = &conn->guest.broker->conns;

	if (gcl_list_empty(&conn->link))
		return;
	ev_timer_stop(conn->guest.broker->loop, &conn->timeout);
	gcl_list_remove(&conn->link);
	conns->count--;
	if (!conn->guest.broker->stopping)
		gcl_listener_resume(&conn->guest.broker->listener);
}

static void conn_destroy(struct conn *conn)
{
	ev_io_stop(conn->guest.broker->loop, &conn->readable);
	greeting_end(conn);
	gcl_guest_fini(&conn->guest);
	free(conn);
}

static void on_refused(struct gcl_guest *guest, enum gcl_hello_status status, const char *reason)
{
	gcl_hello_answer(guest->greeting.conn, status, reason);
	conn_destroy(conn_of(guest));
}

/* From now on only the worker is known, which answers the guest itself. */
static void on_served(struct gcl_guest *guest, struct gcl_worker_process *worker)
{
	(void)worker;
	conn_destroy(conn_of(guest));
}

static const struct gcl_guest_ops conn_ops = {.refused = on_refused, .served = on_served};

/* Descriptors that find no place are dropped by the kernel, and the greeting looks malformed. */
static bool descriptors_short(void)
{
	_cleanup_close_ int probe = open("/dev/null", O_RDONLY | O_CLOEXEC);

	return probe < 0 && gcl_out_of_resources(-errno);
}

/* Nothing more is said by a guest that waits; it may leave, though. */
static void leave(struct conn *conn)
{
	char byte;
	ssize_t n = recv(conn->guest.greeting.conn, &byte, 1, MSG_DONTWAIT | MSG_PEEK);

	if (n > 0)
		gcl_guest_refuse(&conn->guest, GCL_HELLO_MALFORMED, "data after the greeting");
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		conn_destroy(conn);
}

/* The program's name, as the guest gives it, for the log. */
static void who_complete(struct gcl_guest *guest)
{
	const struct gcl_hello *hello = &guest->greeting.hello;
	size_t length = strlen(guest->who);

	snprintf(guest->who + length, sizeof guest->who - length, ", %.*s",
		 (int)sizeof hello->program, hello->program);
}

/* A user's guest brings shared memory or, where it can't, nothing: then all goes over the socket.
 */
static void kind_tell(struct gcl_greeting *greeting)
{
	bool bare = true;

	for (unsigned i = 0; i < GCL_HELLO_FDS; i++)
		bare &= greeting->fds[i] < 0;
	if (greeting->kind == GCL_GREETING_LOCAL && bare)
		greeting->kind = GCL_GREETING_STREAM;
}

static void greeting_read(struct conn *conn)
{
	struct gcl_guest *guest = &conn->guest;
	char reason[GCL_REASON_MAX] = "";
	int err = gcl_greeting_receive(&guest->greeting, guest->greeting.conn);

	if (err == 0)
		return;
	if (err == -EPIPE || err == -ECONNRESET) {
		conn_destroy(conn);
		return;
	}
	if (gcl_out_of_resources(err) || (err == -EPROTO && descriptors_short())) {
		gcl_guest_refuse(guest, GCL_HELLO_BUSY,
				 "guestcld has no room for the guest's descriptors: end other "
				 "sessions, or raise its limit (LimitNOFILE= in guestcld.service)");
		return;
	}
	if (err > 0)
		kind_tell(&guest->greeting);
	if (err > 0)
		err = gcl_greeting_check(&guest->greeting, reason, sizeof reason);
	if (err == -EPROTONOSUPPORT) {
		gcl_guest_refuse(guest, GCL_HELLO_VERSION_MISMATCH, "%s", reason);
	} else if (err < 0) {
		gcl_guest_refuse(guest, GCL_HELLO_MALFORMED, "malformed greeting: %s",
				 *reason ? reason : strerror(-err));
	} else {
		greeting_end(conn);
		who_complete(guest);
		gcl_guest_admit(guest);
	}
}

static void on_readable(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct conn *conn = io->data;

	(void)loop;
	(void)events;
	if (conn->guest.waiting)
		leave(conn);
	else
		greeting_read(conn);
}

static void on_timeout(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct conn *conn = timer->data;

	(void)loop;
	(void)events;
	gcl_guest_refuse(&conn->guest, GCL_HELLO_MALFORMED, "no greeting within %u ms",
			 conn->guest.broker->config.greeting_timeout);
}

/* An owner may hold only half of the places, so that others always get in. */
static bool crowded(const struct gcl_broker *broker, const struct gcl_owner *owner)
{
	size_t count = 0;

	gcl_list_for_each (it, &broker->conns.greeting)
		count += gcl_owner_same(&gcl_container_of(it, struct conn, link)->guest.owner,
					owner);
	return count > broker->config.max_greetings / 2;
}

static void conn_start(struct conn *conn)
{
	struct gcl_broker *broker = conn->guest.broker;

	if (crowded(broker, &conn->guest.owner)) {
		gcl_guest_refuse(&conn->guest, GCL_HELLO_BUSY,
				 "too many connections of one user or VM without a greeting");
		return;
	}
	if (gcl_conns_wait(broker))
		gcl_listener_hold(&broker->listener);
	ev_io_start(broker->loop, &conn->readable);
	ev_timer_start(broker->loop, &conn->timeout);
	greeting_read(conn); /* mostly it is there already */
}

/* A process of this host must not be one of the workers: its ICD loader found the guest library
 * beside the runtimes, or its guest's code would be another guest. Return: false when it has been
 * refused. */
static bool peer_check(struct conn *conn, struct ucred *peer)
{
	struct gcl_guest *guest = &conn->guest;
	socklen_t size = sizeof *peer;

	if (getsockopt(guest->greeting.conn, SOL_SOCKET, SO_PEERCRED, peer, &size) < 0) {
		gcl_guest_refuse(guest, GCL_HELLO_FAILED, "can't tell who the guest is: %s",
				 strerror(errno));
		return false;
	}
	if (gcl_workers_owns(&guest->broker->workers, peer->pid)) {
		gcl_guest_refuse(guest, GCL_HELLO_FAILED, "a worker can't be its own guest");
		return false;
	}
	return true;
}

/* By vsock comes whoever the host's kernel says, which is no process of this host. */
static bool is_unix(int socket)
{
	int domain = AF_UNSPEC;
	socklen_t size = sizeof domain;

	return getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain == AF_UNIX;
}

static struct conn *conn_create(struct gcl_broker *broker, int socket, enum gcl_greeting_kind kind)
{
	struct conn *conn = calloc(1, sizeof *conn);

	if (!conn) {
		gcl_log_peer(broker, "refused a guest: no memory");
		gcl_hello_answer(socket, GCL_HELLO_BUSY, "guestcld has no memory left");
		close(socket);
		return NULL;
	}
	gcl_guest_init(&conn->guest, broker, &conn_ops, &(struct gcl_owner){""});
	conn->guest.greeting.kind = kind;
	conn->guest.greeting.conn = socket;
	ev_io_init(&conn->readable, on_readable, socket, EV_READ);
	conn->readable.data = conn;
	ev_timer_init(&conn->timeout, on_timeout, broker->config.greeting_timeout / 1000., 0.);
	conn->timeout.data = conn;
	gcl_list_append(&broker->conns.greeting, &conn->link);
	broker->conns.count++;
	return conn;
}

void gcl_conn_accept(struct gcl_broker *broker, int socket)
{
	struct conn *conn = conn_create(broker, socket, GCL_GREETING_LOCAL);
	struct ucred peer = {0};

	if (!conn)
		return;
	snprintf(conn->guest.who, sizeof conn->guest.who, "a guest");
	if (!peer_check(conn, &peer))
		return;
	conn->guest.owner = gcl_owner_user(peer.uid);
	snprintf(conn->guest.who, sizeof conn->guest.who, "uid %u, pid %d", (unsigned)peer.uid,
		 (int)peer.pid);
	conn_start(conn);
}

void gcl_conn_accept_of(struct gcl_broker *broker, int socket, enum gcl_greeting_kind kind,
			const struct gcl_owner *owner, const char *who, const struct gcl_peer *from)
{
	struct conn *conn = conn_create(broker, socket, kind);
	struct ucred peer = {0};

	if (!conn)
		return;
	conn->guest.owner = *owner;
	if (from)
		conn->guest.peer = *from;
	snprintf(conn->guest.who, sizeof conn->guest.who, "%s", who);
	if (is_unix(socket) && !peer_check(conn, &peer))
		return;
	if (kind == GCL_GREETING_LOCAL)
		snprintf(conn->guest.who, sizeof conn->guest.who, "%s, uid %u, pid %d", who,
			 (unsigned)peer.uid, (int)peer.pid);
	conn_start(conn);
}

void gcl_conns_init(struct gcl_conns *conns)
{
	gcl_list_init(&conns->greeting);
	conns->count = 0;
}

void gcl_conns_end(struct gcl_broker *broker, const struct gcl_owner *owner, const char *reason)
{
	gcl_list_for_each_safe (it, next, &broker->conns.greeting) {
		struct gcl_guest *guest = &gcl_container_of(it, struct conn, link)->guest;

		if (gcl_owner_same(&guest->owner, owner))
			gcl_guest_refuse(guest, GCL_HELLO_BUSY, "%s", reason);
	}
	gcl_list_for_each_safe (it, next, &broker->guests.waiting) {
		struct gcl_guest *guest = gcl_container_of(it, struct gcl_guest, link);

		if (guest->ops == &conn_ops && gcl_owner_same(&guest->owner, owner))
			gcl_guest_refuse(guest, GCL_HELLO_BUSY, "%s", reason);
	}
}

bool gcl_conns_wait(const struct gcl_broker *broker)
{
	return broker->takeover.holding || broker->conns.count >= broker->config.max_greetings;
}

void gcl_conns_refuse(struct gcl_broker *broker, const char *reason)
{
	gcl_list_for_each_safe (it, next, &broker->conns.greeting)
		gcl_guest_refuse(&gcl_container_of(it, struct conn, link)->guest, GCL_HELLO_BUSY,
				 "%s", reason);
}
