// SPDX-License-Identifier: MIT
/*
 * Accepting connections, also when there is little to accept them with.
 *
 * The listening socket stays readable while a connection can't be accepted, so each failure
 * pauses the listener. A descriptor is held in reserve: without any other one, it is given up for
 * as long as it takes to tell the guest why it is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "broker.h"

/* Connections accepted before other events get their turn. */
#define BATCH 16

#define PAUSE_SECONDS 0.1

static void reserve_fill(struct gcl_listener *listener)
{
	if (listener->reserve < 0)
		listener->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int conn_accept(struct gcl_listener *listener)
{
	int conn = accept4(listener->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	return conn < 0 ? -errno : conn;
}

/* Gives the reserve up for one guest, to tell it why it is refused. Return: whether there was one.
 */
static bool refuse_one(struct gcl_listener *listener)
{
	int conn;

	if (listener->reserve < 0)
		return false;
	close(listener->reserve);
	listener->reserve = -1;
	conn = conn_accept(listener);
	if (conn >= 0) {
		gcl_hello_answer(conn, GCL_HELLO_BUSY,
				 "guestcld has too many open files: end other sessions, or raise "
				 "its limit (LimitNOFILE= in guestcld.service)");
		close(conn);
	}
	reserve_fill(listener);
	return conn >= 0;
}

/* Nothing can be accepted: say so once, tell the guests if possible, and pause. */
static void starve(struct gcl_listener *listener, int err)
{
	if (!listener->starved)
		gcl_log_error(broker,
			      "can't accept guests: %s; they are refused or wait, other sessions "
			      "go on",
			      strerror(-err));
	listener->starved = true;
	if (err == -EMFILE || err == -ENFILE) {
		for (int i = 0; i < BATCH && refuse_one(listener); i++)
			;
	}
	ev_io_stop(listener->broker->loop, &listener->readable);
	ev_timer_set(&listener->pause, PAUSE_SECONDS, 0.);
	ev_timer_start(listener->broker->loop, &listener->pause);
}

static void on_readable(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct gcl_listener *listener = io->data;

	(void)loop;
	(void)events;
	for (int i = 0; i < BATCH && ev_is_active(io); i++) {
		int conn = conn_accept(listener);

		if (conn == -EAGAIN)
			return;
		if (conn == -EINTR || conn == -ECONNABORTED)
			continue;
		if (conn < 0) {
			starve(listener, conn);
			return;
		}
		if (listener->starved)
			gcl_log_info(broker, "guests are accepted again");
		listener->starved = false;
		gcl_conn_accept(listener->broker, conn);
	}
}

static void on_pause_end(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_listener *listener = timer->data;

	(void)loop;
	(void)events;
	reserve_fill(listener);
	gcl_listener_resume(listener);
}

int gcl_listener_open(struct gcl_listener *listener, struct gcl_broker *broker)
{
	const struct gcl_config *config = &broker->config;
	const struct gcl_socket_place place = {
		.path = config->socket,
		.mode = config->socket_mode,
		.group = config->socket_group,
		.initial_group = gcl_setting_initial("socket-group"),
		.setting = "socket",
		.group_setting = "socket-group",
	};
	int err = gcl_socket_open(&listener->socket, &place);

	if (err < 0)
		return err;
	listener->broker = broker;
	listener->starved = false;
	listener->reserve = -1;
	reserve_fill(listener);
	ev_io_init(&listener->readable, on_readable, listener->socket.fd, EV_READ);
	listener->readable.data = listener;
	ev_timer_init(&listener->pause, on_pause_end, 0., 0.);
	listener->pause.data = listener;
	ev_io_start(broker->loop, &listener->readable);
	return 0;
}

void gcl_listener_hold(struct gcl_listener *listener)
{
	ev_io_stop(listener->broker->loop, &listener->readable);
}

void gcl_listener_resume(struct gcl_listener *listener)
{
	if (listener->socket.fd >= 0 && !ev_is_active(&listener->pause) &&
	    !listener->broker->takeover.holding)
		ev_io_start(listener->broker->loop, &listener->readable);
}

void gcl_listener_close(struct gcl_listener *listener)
{
	ev_io_stop(listener->broker->loop, &listener->readable);
	ev_timer_stop(listener->broker->loop, &listener->pause);
	gcl_socket_close(&listener->socket);
	if (listener->reserve >= 0)
		close(listener->reserve);
	listener->reserve = -1;
}
