// SPDX-License-Identifier: MIT
/*
 * The way to guestcld, and the life of the process.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/log.h"
#include "etcd.h"

#define TICK_SECONDS 1.

/* How long taking back what was announced may hold up guestcld's end. */
#define END_SECONDS 1.

void gcl_link_say(struct gcl_etcd *etcd, enum gcl_etcd_said_kind kind, const char *reason,
		  const struct gcl_server_info *server)
{
	struct gcl_etcd_said said = {.kind = kind};

	snprintf(said.reason, sizeof said.reason, "%s", reason);
	if (server)
		said.server = *server;
	/* The end of the socket is found where it is read. */
	(void)gcl_fds_send(etcd->broker, &said, sizeof said, 0, NULL, 0);
}

static int password_read(struct gcl_etcd *etcd, int fd)
{
	ssize_t n = 0;

	memset(etcd->password, 0, sizeof etcd->password);
	if (fd >= 0)
		n = pread(fd, etcd->password, sizeof etcd->password - 1, 0);
	etcd->password[strcspn(etcd->password, "\r\n")] = '\0';
	return n < 0 ? -errno : 0;
}

static void setup_take(struct gcl_etcd *etcd, struct gcl_etcd_setup *setup, int fds[GCL_ETCD_FILES])
{
	int err;

	setup->urls[sizeof setup->urls - 1] = '\0';
	setup->prefix[sizeof setup->prefix - 1] = '\0';
	setup->user[sizeof setup->user - 1] = '\0';
	gcl_log_level_set((enum gcl_log_level)setup->log_level);
	gcl_follow_end(etcd);
	/* Elsewhere our key is another one; where it was it ends with its lease. A lease keeps the
	 * time that it was granted for. */
	if (strcmp(setup->urls, etcd->setup.urls) != 0 ||
	    strcmp(setup->prefix, etcd->setup.prefix) != 0 ||
	    setup->lease_ms != etcd->setup.lease_ms) {
		etcd->announce.lease = 0;
		etcd->announce.dirty = true;
	}
	etcd->setup = *setup;
	err = gcl_http_configure(&etcd->http, setup, fds);
	if (err == 0)
		err = password_read(etcd, fds[GCL_ETCD_PASSWORD]);
	etcd->ready = err == 0;
	if (etcd->ready)
		gcl_follow_begin(etcd);
	else
		gcl_link_say(etcd, GCL_ETCD_DOWN, strerror(-err), NULL);
}

static void on_revoked(void *data, const struct gcl_http_result *result)
{
	struct gcl_etcd *etcd = data;

	(void)result;
	ev_break(etcd->loop, EVBREAK_ALL);
}

static void on_end(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)timer;
	(void)events;
	ev_break(loop, EVBREAK_ALL);
}

static void end(struct gcl_etcd *etcd)
{
	bool down = etcd->follow.down;

	ev_io_stop(etcd->loop, &etcd->readable);
	ev_timer_stop(etcd->loop, &etcd->tick);
	gcl_follow_end(etcd);
	if (etcd->ready && !down && gcl_announce_revoke(etcd, on_revoked))
		ev_timer_start(etcd->loop, &etcd->end);
	else
		ev_break(etcd->loop, EVBREAK_ALL);
}

static void on_readable(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct gcl_etcd *etcd = io->data;
	struct gcl_etcd_order order;
	int came[GCL_ETCD_FILES], fds[GCL_ETCD_FILES];
	unsigned count, next = 0;
	ssize_t n = gcl_fds_receive(etcd->broker, &order, sizeof order, MSG_DONTWAIT, came,
				    GCL_ETCD_FILES, &count);

	(void)loop;
	(void)events;
	if (n == -EAGAIN || n == -EINTR)
		return;
	for (size_t i = 0; i < GCL_ETCD_FILES; i++)
		fds[i] = n == sizeof order && order.kind == GCL_ETCD_SETUP &&
					 order.setup.files & (1u << i) && next < count
				 ? came[next++]
				 : -1;
	if (n != sizeof order)
		end(etcd);
	else if (order.kind == GCL_ETCD_SETUP)
		setup_take(etcd, &order.setup, fds);
	else
		gcl_announce_set(etcd, &order.own);
	for (unsigned i = 0; i < count; i++)
		close(came[i]);
}

static void on_tick(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_etcd *etcd = timer->data;

	(void)loop;
	(void)events;
	if (!etcd->ready)
		return;
	gcl_announce_tick(etcd);
	gcl_follow_tick(etcd);
}

int gcl_etcd_run(int broker)
{
	static struct gcl_etcd etcd;
	int err;

	etcd.loop = ev_default_loop(EVFLAG_NOENV);
	etcd.broker = broker;
	if (!etcd.loop)
		return -ENOMEM;
	err = gcl_http_init(&etcd.http, etcd.loop);
	if (err < 0)
		return err;
	gcl_follow_init(&etcd);
	ev_io_init(&etcd.readable, on_readable, broker, EV_READ);
	ev_timer_init(&etcd.tick, on_tick, TICK_SECONDS, TICK_SECONDS);
	ev_timer_init(&etcd.end, on_end, END_SECONDS, 0.);
	etcd.readable.data = etcd.tick.data = etcd.end.data = &etcd;
	ev_io_start(etcd.loop, &etcd.readable);
	ev_timer_start(etcd.loop, &etcd.tick);
	ev_run(etcd.loop, 0);
	gcl_follow_end(&etcd);
	gcl_http_fini(&etcd.http);
	explicit_bzero(etcd.password, sizeof etcd.password);
	return 0;
}
