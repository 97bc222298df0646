// SPDX-License-Identifier: MIT
/*
 * The listener: connections in, and a process for each of them (process.c).
 *
 * Must not: read from the network, block.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/log.h"
#include "listener.h"

#define BATCH	      16
#define PAUSE_SECONDS 0.1

/* ------------------------------------------------------------ connections */

void gcl_listener_update(struct listener *listener)
{
	bool wanted = listener->listener >= 0 && listener->ready &&
		      listener->handshakes < listener->setup.handshakes &&
		      !ev_is_active(&listener->pause);

	if (wanted && !ev_is_active(&listener->connectable)) {
		ev_io_set(&listener->connectable, listener->listener, EV_READ);
		ev_io_start(listener->loop, &listener->connectable);
	} else if (!wanted) {
		ev_io_stop(listener->loop, &listener->connectable);
	}
}

static void address_tell(const struct sockaddr_storage *peer, socklen_t size,
			 struct session *session)
{
	char port[16] = "";

	if (getnameinfo((const struct sockaddr *)peer, size, session->host, sizeof session->host,
			port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(session->host, sizeof session->host, "?");
	snprintf(session->from, sizeof session->from, "%.*s port %s", 52, session->host, port);
}

/* One address may hold only half of the places, so that others always get in. */
static bool crowded(const struct listener *listener, const char *host)
{
	unsigned count = 0;

	gcl_list_for_each (it, &listener->sessions) {
		const struct session *session = gcl_container_of(it, struct session, link);

		count += session->state == HANDSHAKE && strcmp(session->host, host) == 0;
	}
	return count >= GCL_MAX(listener->setup.handshakes / 2, 1u);
}

static void rest(struct listener *listener)
{
	ev_timer_set(&listener->pause, PAUSE_SECONDS, 0.);
	ev_timer_start(listener->loop, &listener->pause);
	gcl_listener_update(listener);
}

static void connection_take(struct listener *listener, int net, const struct sockaddr_storage *peer,
			    socklen_t size)
{
	_cleanup_free_ struct session *session = calloc(1, sizeof *session);
	int err = -ENOMEM;

	if (session) {
		session->listener = listener;
		session->control = -1;
		address_tell(peer, size, session);
		if (crowded(listener, session->host)) {
			gcl_log_peer(session,
				     "refused %s: too many connections of one address "
				     "that have not said who they are",
				     session->from);
			return;
		}
		err = gcl_process_make(session, net);
	}
	if (err) {
		gcl_log_peer(session, "can't take a connection: %s", strerror(-err));
		rest(listener);
		return;
	}
	gcl_list_append(&listener->sessions, &session->link);
	listener->handshakes++;
	steal_pointer(&session);
}

static void on_connectable(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct listener *listener = io->data;

	(void)loop;
	(void)events;
	for (int i = 0; i < BATCH && ev_is_active(io); i++) {
		struct sockaddr_storage peer = {0};
		socklen_t size = sizeof peer;
		_cleanup_close_ int net = accept4(listener->listener, (struct sockaddr *)&peer,
						  &size, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (net < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (net < 0 && errno != EAGAIN) {
			gcl_log_peer(session, "can't accept a connection: %s; they wait",
				     strerror(errno));
			rest(listener);
		}
		if (net < 0)
			return;
		connection_take(listener, net, &peer, size);
		gcl_listener_update(listener);
	}
}

static void on_pause_end(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	gcl_listener_update(timer->data);
}

/* ------------------------------------------------------------ what guestcld says */

static void revoked_look(struct listener *listener)
{
	time_t until = listener->credentials.revoked_until;

	if (until && until < time(NULL))
		gcl_log_warn(config,
			     "the list of revoked certificates (tls-crl) is out of date: it stays "
			     "in force, but newer ones may be missing in it; guestcl pki revoke "
			     "makes it anew");
	gcl_list_for_each (it, &listener->sessions)
		gcl_revoked_end(gcl_container_of(it, struct session, link));
}

/* What was before stays in use if this is no good. */
static void credentials_take(struct listener *listener, const int fds[GCL_FRONT_FILES])
{
	_cleanup_(gcl_tls_files_fini) struct gcl_tls_files files = {0};
	gnutls_datum_t *const data[GCL_FRONT_FILES] = {
		[GCL_FRONT_CERTIFICATE] = &files.certificate,
		[GCL_FRONT_KEY] = &files.private_key,
		[GCL_FRONT_CA] = &files.ca,
		[GCL_FRONT_PSK] = &files.psk,
		[GCL_FRONT_CRL] = &files.crl,
	};
	struct gcl_tls_credentials credentials;
	char reason[256] = "";
	int err = 0;

	for (size_t i = 0; i < GCL_FRONT_FILES && err == 0; i++) {
		if (data[i] && fds[i] >= 0)
			err = gcl_tls_file_read(fds[i], data[i]);
	}
	if (err)
		snprintf(reason, sizeof reason, "%s", strerror(-err));
	else
		err = gcl_tls_credentials_init(&credentials, true, &files, reason, sizeof reason);
	if (err) {
		gcl_log_error(config, "guests that come by TLS are %s: %s",
			      listener->ready ? "shown what they were before" : "not served",
			      reason);
		return;
	}
	gcl_tls_credentials_fini(&listener->credentials);
	listener->credentials = credentials;
	listener->ready = true;
	revoked_look(listener);
}

static void setup_take(struct listener *listener, int fds[GCL_FRONT_FILES])
{
	gcl_log_level_set((enum gcl_log_level)listener->setup.log_level);
	if (fds[GCL_FRONT_LISTENER] >= 0) {
		ev_io_stop(listener->loop, &listener->connectable);
		gcl_cleanup_close(&listener->listener);
		listener->listener = steal_fd(&fds[GCL_FRONT_LISTENER]);
	}
	credentials_take(listener, fds);
	gcl_listener_update(listener);
}

static void on_broker(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct listener *listener = io->data;
	int came[GCL_FRONT_FILES], fds[GCL_FRONT_FILES];
	struct gcl_front_setup setup = {0};
	unsigned count, next = 0;
	ssize_t n = gcl_fds_receive(listener->broker, &setup, sizeof setup, MSG_DONTWAIT, came,
				    GCL_FRONT_FILES, &count);

	(void)events;
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n != sizeof setup) {
		ev_break(loop, EVBREAK_ALL);
		return;
	}
	for (size_t i = 0; i < GCL_FRONT_FILES; i++)
		fds[i] = setup.files & (1u << i) && next < count ? came[next++] : -1;
	listener->setup = setup;
	setup_take(listener, fds);
	for (size_t i = 0; i < GCL_FRONT_FILES; i++)
		gcl_cleanup_close(&fds[i]);
}

int gcl_tls_listener_run(void)
{
	static struct listener listener = {.broker = STDIN_FILENO, .listener = -1};

	/* The default loop is the one that reaps children. */
	listener.loop = ev_default_loop(EVFLAG_NOENV);
	if (!listener.loop)
		return -ENOMEM;
	gcl_list_init(&listener.sessions);
	ev_io_init(&listener.said, on_broker, listener.broker, EV_READ);
	ev_io_init(&listener.connectable, on_connectable, -1, EV_READ);
	ev_timer_init(&listener.pause, on_pause_end, 0., 0.);
	listener.said.data = listener.connectable.data = listener.pause.data = &listener;
	ev_io_start(listener.loop, &listener.said);
	ev_run(listener.loop, 0);
	/* Sessions go on without us: each ends with its worker. */
	return 0;
}
