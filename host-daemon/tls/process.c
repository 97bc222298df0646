// SPDX-License-Identifier: MIT
/*
 * The listener's processes, one for each session: what they say, and what is said to them.
 *
 * Must not: read from the network, block.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/log.h"
#include "listener.h"

/* A process is killed when it has not said who it is so long after it should have been. */
#define LATE_SECONDS 1.

/* One whose certificate has been revoked is killed if its session has not ended after so long. */
#define REVOKED_SECONDS 3.

/* ------------------------------------------------------------ sessions */

static void session_deafen(struct session *session)
{
	ev_io_stop(session->listener->loop, &session->said);
	gcl_cleanup_close(&session->control);
	session->control = -1;
}

static void state_set(struct session *session, enum session_state state)
{
	struct listener *listener = session->listener;

	if (session->state == HANDSHAKE && state != HANDSHAKE) {
		listener->handshakes--;
		ev_timer_stop(listener->loop, &session->late);
	}
	session->state = state;
	gcl_listener_update(listener);
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

bool gcl_revoked_end(struct session *session)
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
		if (gcl_revoked_end(session))
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

/* ------------------------------------------------------------ the process */

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

int gcl_process_make(struct session *session, int net)
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
