// SPDX-License-Identifier: MIT
/*
 * The listener: connections in, processes out, and the way between a session's processes.
 *
 * Must not: read from the network, block.
 */
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/list.h"
#include "base/log.h"
#include "server.h"

#define BATCH	      16
#define PAUSE_SECONDS 0.1

/* A process is killed when it has not said who it is so long after it should have been. */
#define LATE_SECONDS 1.

/* One whose certificate has been revoked is killed if its session has not ended after so long. */
#define REVOKED_SECONDS 3.

struct listener {
	struct ev_loop *loop;
	int broker;   /* standard input */
	int listener; /* -1: none yet */
	struct ev_io said, connectable;
	struct ev_timer pause; /* while there is nothing to accept with */
	struct gcl_front_setup setup;
	struct gcl_tls_credentials credentials;
	bool ready;		  /* there are credentials */
	struct gcl_list sessions; /* struct session */
	unsigned handshakes;	  /* of these, that have not said who they are */
};

enum session_state {
	HANDSHAKE, /* nobody knows who it is */
	ASKING,	   /* it waits for another one to yield */
	RELAYING,
	YIELDING,
};

struct session {
	struct gcl_list link;
	struct listener *listener;
	enum session_state state;
	pid_t pid;
	int control;
	char name[GCL_TLS_NAME_MAX + 1];
	char host[64]; /* its address, without port */
	char from[sizeof((struct gcl_front_guest *)0)->from];
	uint64_t number; /* for guestcld; 0: it knows of none */
	uint8_t token[GCL_TUNNEL_TOKEN];
	uint8_t mark[GCL_TLS_MARK]; /* of its certificate */
	bool revoked;
	struct session *heir; /* YIELDING: to this one; ASKING: it is one's own back */
	struct ev_io said;
	struct ev_child child;
	struct ev_timer late;
};

/* ------------------------------------------------------------ sessions */

static void session_deafen(struct session *session)
{
	ev_io_stop(session->listener->loop, &session->said);
	gcl_cleanup_close(&session->control);
	session->control = -1;
}

static void connectable_update(struct listener *listener)
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

static void state_set(struct session *session, enum session_state state)
{
	struct listener *listener = session->listener;

	if (session->state == HANDSHAKE && state != HANDSHAKE) {
		listener->handshakes--;
		ev_timer_stop(listener->loop, &session->late);
	}
	session->state = state;
	connectable_update(listener);
}

static void answer(struct session *session, enum gcl_session_said said, const int *fds,
		   unsigned count)
{
	struct gcl_session_record record = {.said = said};

	memcpy(record.token, session->token, sizeof record.token);
	if (gcl_fds_send(session->control, &record, sizeof record, MSG_DONTWAIT, fds, count) < 0)
		kill(session->pid, SIGKILL);
}

/* It is not going to be anybody's heir, and nobody its. */
static void heir_forget(struct session *session)
{
	struct session *other = session->heir;

	session->heir = NULL;
	if (!other)
		return;
	other->heir = NULL;
	/* The one that had the session is gone without having passed it on. */
	if (other->state == ASKING) {
		state_set(other, RELAYING);
		memset(other->token, 0, sizeof other->token);
		answer(other, GCL_SESSION_GONE, NULL, 0);
	}
}

static void on_child(struct ev_loop *loop, struct ev_child *child, int events)
{
	struct session *session = child->data;

	(void)events;
	ev_child_stop(loop, child);
	if (WIFSIGNALED(child->rstatus) && !session->revoked)
		gcl_log_warn(session, "the process of %s was ended by signal %d", session->from,
			     WTERMSIG(child->rstatus));
	/* What it said last counts. */
	if (session->control >= 0 && ev_is_active(&session->said))
		ev_invoke(loop, &session->said, EV_READ);
	heir_forget(session);
	state_set(session, RELAYING);
	session_deafen(session);
	ev_timer_stop(loop, &session->late);
	gcl_list_remove(&session->link);
	free(session);
}

static void on_late(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	const struct session *session = timer->data;

	(void)loop;
	(void)events;
	kill(session->pid, SIGKILL);
}

/* ------------------------------------------------------------ what sessions say */

/* @plain: a new guest's socket, or -1. Return: 0 or -errno. */
static int broker_tell(const struct session *session, enum gcl_front_said said, int plain)
{
	struct gcl_front_guest guest = {.said = said, .number = session->number};

	snprintf(guest.name, sizeof guest.name, "%s", session->name);
	snprintf(guest.from, sizeof guest.from, "%s", session->from);
	return gcl_fds_send(session->listener->broker, &guest, sizeof guest, MSG_DONTWAIT, &plain,
			    plain >= 0);
}

static int memory_make(void)
{
	_cleanup_close_ int memfd = memfd_create("guestcl-tunnel", MFD_CLOEXEC);

	if (memfd < 0 || ftruncate(memfd, (off_t)gcl_tunnel_size()) < 0)
		return -errno;
	return steal_fd(&memfd);
}

static int numbers_make(struct session *session)
{
	if (getrandom(session->token, sizeof session->token, 0) != (ssize_t)sizeof session->token ||
	    getrandom(&session->number, sizeof session->number, 0) !=
		    (ssize_t)sizeof session->number)
		return -EIO;
	session->number |= !session->number;
	return 0;
}

static void session_new(struct session *session)
{
	_cleanup_close_ int memfd = memory_make(), one = -1, other = -1;
	int pair[2], err = GCL_MIN(memfd, 0);

	if (err == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		err = -errno;
	if (err == 0) {
		one = pair[0];
		other = pair[1];
		err = numbers_make(session);
	}
	/* The name may be a VM's, or not: guestcld knows. */
	if (err == 0)
		err = broker_tell(session, GCL_FRONT_NEW, one);
	state_set(session, RELAYING);
	if (err) {
		gcl_log_peer(session, "can't take %s: %s", session->from, strerror(-err));
		answer(session, GCL_SESSION_BUSY, NULL, 0);
		return;
	}
	answer(session, GCL_SESSION_START, (const int[]){memfd, other}, 2);
}

static struct session *session_find(const struct listener *listener,
				    const struct gcl_session_record *record)
{
	gcl_list_for_each (it, &listener->sessions) {
		struct session *session = gcl_container_of(it, struct session, link);

		if ((session->state == RELAYING || session->state == YIELDING) &&
		    memcmp(session->token, record->token, sizeof record->token) == 0 &&
		    strcmp(session->name, record->name) == 0)
			return session;
	}
	return NULL;
}

static void session_resume(struct session *session, const struct gcl_session_record *record)
{
	struct session *before = session_find(session->listener, record);

	if (!before || before->control < 0) {
		state_set(session, RELAYING);
		answer(session, GCL_SESSION_GONE, NULL, 0);
	} else if (before->state == YIELDING) {
		state_set(session, RELAYING);
		answer(session, GCL_SESSION_BUSY, NULL, 0);
	} else {
		state_set(session, ASKING);
		state_set(before, YIELDING);
		before->heir = session;
		session->heir = before;
		answer(before, GCL_SESSION_YIELD, NULL, 0);
	}
}

static void session_yielded(struct session *session, const int *fds, unsigned count)
{
	struct session *heir = session->heir;

	if (!heir || count != 2)
		return;
	memcpy(heir->token, session->token, sizeof heir->token);
	memset(session->token, 0, sizeof session->token);
	heir->number = session->number;
	session->number = 0;
	session->heir = heir->heir = NULL;
	state_set(heir, RELAYING);
	broker_tell(heir, GCL_FRONT_MOVED, -1);
	gcl_log_info(session, "%s from %s: the session goes on", heir->name, heir->from);
	answer(heir, GCL_SESSION_START, fds, count);
}

/* guestcld ends its session, of which the guest learns; should that not come through, its process
 * ends. */
static void revoked_end_soon(struct session *session)
{
	broker_tell(session, GCL_FRONT_REVOKED, -1);
	ev_timer_stop(session->listener->loop, &session->late);
	ev_timer_set(&session->late, REVOKED_SECONDS, 0.);
	ev_timer_start(session->listener->loop, &session->late);
}

/* Return: whether its certificate is revoked. */
static bool revoked_end(struct session *session)
{
	if (session->revoked)
		return true;
	if (!gcl_tls_revoked(&session->listener->credentials, session->mark))
		return false;
	gcl_log_warn(session, "%s from %s has to go: its certificate has been revoked",
		     session->name, session->from);
	session->revoked = true;
	if (session->number)
		revoked_end_soon(session);
	else
		kill(session->pid, SIGKILL);
	return true;
}

static void record_take(struct session *session, struct gcl_session_record *record, const int *fds,
			unsigned count)
{
	record->name[sizeof session->name - 1] = '\0';
	switch (record->said) {
	case GCL_SESSION_NEW:
	case GCL_SESSION_RESUME:
		if (session->state != HANDSHAKE)
			break;
		memcpy(session->name, record->name, sizeof session->name);
		memcpy(session->mark, record->mark, sizeof session->mark);
		/* Its handshake may have begun before the list was here. */
		if (revoked_end(session))
			return;
		if (record->said == GCL_SESSION_NEW)
			session_new(session);
		else
			session_resume(session, record);
		return;
	case GCL_SESSION_YIELDED:
		if (session->state != YIELDING)
			break;
		session_yielded(session, fds, count);
		return;
	default:
		break;
	}
	kill(session->pid, SIGKILL);
}

static void on_said(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct session *session = io->data;
	struct gcl_session_record record = {0};
	int fds[2];
	unsigned count;
	ssize_t n = gcl_fds_receive(session->control, &record, sizeof record, MSG_DONTWAIT, fds, 2,
				    &count);

	(void)loop;
	(void)events;
	if (n == sizeof record)
		record_take(session, &record, fds, count);
	else if (n != -EAGAIN && n != -EINTR)
		session_deafen(session); /* on_child() does the rest */
	while (count)
		close(fds[--count]);
}

/* ------------------------------------------------------------ connections */

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

/* In the child: nothing of the listener's but what it needs. */
_Noreturn static void child_run(struct session *session, int net, int control)
{
	struct listener *listener = session->listener;
	struct gcl_tls_session own = {
		.net = net,
		.control = control,
		.credentials = &listener->credentials,
		.handshake_ms = listener->setup.handshake_ms,
		.resume_ms = listener->setup.resume_ms,
		.packs = listener->setup.packs,
	};
	sigset_t none;

	memcpy(own.from, session->from, sizeof own.from);
	/* libev's handlers are the listener's. */
	for (int number = 1; number < NSIG; number++) {
		if (number != SIGPIPE && number != SIGINT)
			signal(number, SIG_DFL);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Two descriptors stay, and standard error. */
	own.control = fcntl(control, F_DUPFD_CLOEXEC, 100);
	own.net = fcntl(net, F_DUPFD_CLOEXEC, 100);
	if (own.control < 0 || own.net < 0)
		_exit(1);
	dup2(own.control, 3);
	dup2(own.net, 4);
	close_range(5, ~0u, 0);
	close(STDIN_FILENO);
	own.control = 3;
	own.net = 4;
	gcl_tls_session_run(&own);
}

static int process_make(struct session *session, int net)
{
	struct listener *listener = session->listener;
	_cleanup_close_ int ours = -1, its = -1;
	sigset_t all, before;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	its = pair[1];
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	session->pid = fork();
	if (session->pid == 0)
		child_run(session, net, its);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (session->pid < 0)
		return -errno;
	session->control = steal_fd(&ours);
	ev_io_init(&session->said, on_said, session->control, EV_READ);
	ev_child_init(&session->child, on_child, session->pid, 0);
	ev_timer_init(&session->late, on_late, listener->setup.handshake_ms / 1000. + LATE_SECONDS,
		      0.);
	session->said.data = session->child.data = session->late.data = session;
	ev_io_start(listener->loop, &session->said);
	ev_child_start(listener->loop, &session->child);
	ev_timer_start(listener->loop, &session->late);
	return 0;
}

static void rest(struct listener *listener)
{
	ev_timer_set(&listener->pause, PAUSE_SECONDS, 0.);
	ev_timer_start(listener->loop, &listener->pause);
	connectable_update(listener);
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
		err = process_make(session, net);
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
		connectable_update(listener);
	}
}

static void on_pause_end(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	connectable_update(timer->data);
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
		revoked_end(gcl_container_of(it, struct session, link));
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
	connectable_update(listener);
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
