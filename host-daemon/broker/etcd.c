// SPDX-License-Identifier: MIT
/*
 * The process that talks to etcd: its start and its end, what it is told, and what it tells.
 *
 * Must not: talk to etcd, block. Servers that were told of stay, whatever becomes of the process.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/log.h"
#include "broker.h"
#include "jail/jail.h"

/* Records taken before other events get their turn. */
#define BATCH 64

/* How often what is announced is looked at. */
#define TICK_SECONDS 1.

static void state_set(struct gcl_etcd *etcd, enum gcl_etcd_state state)
{
	if (etcd->state == state)
		return;
	etcd->state = state;
	etcd->since = gcl_clock();
}

/* ------------------------------------------------------------ what it tells */

static void up(struct gcl_etcd *etcd)
{
	struct gcl_servers *servers = &etcd->helper.broker->servers;

	gcl_servers_listed(servers);
	gcl_helper_anew(&etcd->helper);
	etcd->reason[0] = '\0';
	if (etcd->state != GCL_ETCD_STATE_UP)
		gcl_log_info(broker, "etcd: following %s; servers: %zu",
			     etcd->helper.broker->config.etcd_prefix, servers->announced);
	state_set(etcd, GCL_ETCD_STATE_UP);
}

static void down(struct gcl_etcd *etcd, const char *reason)
{
	snprintf(etcd->reason, sizeof etcd->reason, "%s", reason);
	for (char *c = etcd->reason; *c; c++)
		*c = (char)(isprint((unsigned char)*c) ? *c : '?');
	if (etcd->state != GCL_ETCD_STATE_DOWN)
		gcl_log_warn(
			broker,
			"etcd can't be reached (%s): the %zu servers that are known from it go "
			"on being used as they were; see to %s (\"etcd\" in guestcld.conf)",
			etcd->reason, etcd->helper.broker->servers.announced,
			etcd->helper.broker->config.etcd);
	state_set(etcd, GCL_ETCD_STATE_DOWN);
	/* What will be told is the whole again. */
	gcl_servers_unlist(&etcd->helper.broker->servers);
}

static void server_take(struct gcl_etcd *etcd, const struct gcl_server_info *info)
{
	int err = gcl_servers_take(&etcd->helper.broker->servers, info, gcl_clock());

	if (err == -ENOSPC && !etcd->full)
		gcl_log_warn(broker,
			     "etcd has more than %u servers: \"%.*s\" and others are left out",
			     GCL_SERVERS_MAX, (int)sizeof info->name, info->name);
	etcd->full |= err == -ENOSPC;
	if (err < 0 && err != -ENOSPC)
		gcl_log_peer(broker, "guestcl-etcd told of a server that is none: %s",
			     strerror(-err));
}

static void said_take(struct gcl_etcd *etcd, struct gcl_etcd_said *said)
{
	said->reason[sizeof said->reason - 1] = '\0';
	said->server.name[sizeof said->server.name - 1] = '\0';
	switch (said->kind) {
	case GCL_ETCD_SERVER:
		server_take(etcd, &said->server);
		break;
	case GCL_ETCD_GONE:
		gcl_servers_gone(&etcd->helper.broker->servers, said->server.name);
		break;
	case GCL_ETCD_LISTED:
		up(etcd);
		break;
	case GCL_ETCD_DOWN:
		down(etcd, said->reason);
		break;
	default:
		gcl_log_peer(broker, "guestcl-etcd said something unknown");
	}
}

static void on_readable(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct gcl_etcd *etcd = io->data;
	struct gcl_etcd_said said;

	(void)events;
	for (int i = 0; i < BATCH; i++) {
		int got = gcl_record_receive(etcd->helper.socket, &said, sizeof said);

		if (got == 0)
			return;
		if (got < 0) {
			ev_io_stop(loop, io); /* etcd_gone() does the rest */
			if (got != -EPIPE)
				gcl_helper_kill(&etcd->helper);
			return;
		}
		said_take(etcd, &said);
	}
}

/* ------------------------------------------------------------ what it is told */

static const char *file_of(const struct gcl_config *config, size_t index)
{
	switch (index) {
	case GCL_ETCD_CA:
		return config->etcd_ca;
	case GCL_ETCD_CERTIFICATE:
		return config->etcd_certificate;
	case GCL_ETCD_KEY:
		return config->etcd_key;
	case GCL_ETCD_PASSWORD:
		return config->etcd_password_file;
	default:
		return "";
	}
}

/* Return: 0 or -errno; logged. */
static int files_open(const struct gcl_config *config, int fds[GCL_ETCD_FILES])
{
	for (size_t i = 0; i < GCL_ETCD_FILES; i++) {
		const char *path = file_of(config, i);
		int err;

		if (!*path)
			continue;
		fds[i] = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		if (fds[i] >= 0)
			continue;
		err = -errno;
		gcl_log_error(config, "can't read %s, which etcd needs: %s", path, strerror(-err));
		return err;
	}
	return 0;
}

/* Return: 0 or -errno; logged. */
static int setup_send(struct gcl_etcd *etcd)
{
	const struct gcl_config *config = &etcd->helper.broker->config;
	struct gcl_etcd_order order = {
		.kind = GCL_ETCD_SETUP,
		.setup = {.lease_ms = config->etcd_lease, .log_level = config->log_level},
	};
	int fds[GCL_ETCD_FILES], given[GCL_ETCD_FILES], err;
	unsigned count = 0;

	memcpy(order.setup.urls, config->etcd, sizeof order.setup.urls);
	memcpy(order.setup.prefix, config->etcd_prefix, sizeof order.setup.prefix);
	memcpy(order.setup.user, config->etcd_user, sizeof order.setup.user);
	memset(fds, -1, sizeof fds);
	err = files_open(config, fds);
	for (unsigned i = 0; i < GCL_ETCD_FILES; i++) {
		if (fds[i] < 0)
			continue;
		order.setup.files |= 1u << i;
		given[count++] = fds[i];
	}
	gcl_servers_unlist(&etcd->helper.broker->servers);
	if (err == 0)
		err = gcl_fds_send(etcd->helper.socket, &order, sizeof order, MSG_DONTWAIT, given,
				   count);
	for (size_t i = 0; i < GCL_ETCD_FILES; i++)
		gcl_cleanup_close(&fds[i]);
	return err;
}

static void own_tell(struct gcl_etcd *etcd)
{
	struct gcl_etcd_order order = {.kind = GCL_ETCD_OWN};

	if (!gcl_announcement_update(&etcd->announcement, etcd->helper.broker, gcl_clock()))
		return;
	order.own = etcd->announcement.info;
	/* One that doesn't read is stuck: the next is told as much. */
	if (gcl_fds_send(etcd->helper.socket, &order, sizeof order, MSG_DONTWAIT, NULL, 0) < 0)
		gcl_helper_kill(&etcd->helper);
}

static void on_tick(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_etcd *etcd = timer->data;

	(void)loop;
	(void)events;
	own_tell(etcd);
	/* There is room again for those that were left out: have it tell of all. */
	if (etcd->full && etcd->helper.broker->servers.announced < GCL_SERVERS_MAX) {
		etcd->full = false;
		setup_send(etcd);
	}
}

/* ------------------------------------------------------------ the process */

static struct gcl_etcd *etcd_of(struct gcl_helper *helper)
{
	return gcl_container_of(helper, struct gcl_etcd, helper);
}

/* The process takes back what it announced when it finds this closed. */
static void socket_close(struct gcl_etcd *etcd)
{
	ev_io_stop(etcd->helper.broker->loop, &etcd->readable);
	ev_timer_stop(etcd->helper.broker->loop, &etcd->tick);
	gcl_helper_close(&etcd->helper);
	memset(&etcd->announcement, 0, sizeof etcd->announcement);
}

static bool etcd_gone(struct gcl_helper *helper)
{
	struct gcl_etcd *etcd = etcd_of(helper);

	socket_close(etcd);
	if (helper->broker->stopping)
		gcl_broker_worker_gone(helper->broker);
	if (helper->broker->stopping || !*helper->broker->config.etcd)
		return false;
	snprintf(etcd->reason, sizeof etcd->reason, "guestcl-etcd ended");
	state_set(etcd, GCL_ETCD_STATE_DOWN);
	return true;
}

/* Return: 0 or -errno; logged. */
static int process_start(struct gcl_etcd *etcd)
{
	struct gcl_config *config = &etcd->helper.broker->config;
	struct ev_loop *loop = etcd->helper.broker->loop;
	char *arguments[] = {"guestcl-etcd", "--user",
			     config->jail == GCL_JAIL_OFF ? "" : config->worker_user, NULL};
	int err = gcl_helper_start(&etcd->helper, config->etcd_program, arguments, -1);

	if (err < 0)
		return err;
	ev_io_set(&etcd->readable, etcd->helper.socket, EV_READ);
	ev_io_start(loop, &etcd->readable);
	ev_timer_again(loop, &etcd->tick);
	return 0;
}

/* Has it run, and know what the configuration says. */
static void etcd_try(struct gcl_helper *helper)
{
	struct gcl_etcd *etcd = etcd_of(helper);
	int err = 0;

	if (!etcd->helper.pid)
		err = process_start(etcd);
	if (err == 0)
		err = setup_send(etcd);
	if (err == 0) {
		own_tell(etcd);
		return;
	}
	snprintf(etcd->reason, sizeof etcd->reason, "guestcl-etcd can't be set up");
	state_set(etcd, GCL_ETCD_STATE_DOWN);
	gcl_helper_retry(helper);
}

void gcl_etcd_init(struct gcl_etcd *etcd, struct gcl_broker *broker)
{
	static const struct gcl_helper_kind kind = {
		.name = "guestcl-etcd",
		.setting = "etcd",
		.meanwhile = "; servers stay as they were known",
		.again = etcd_try,
		.gone = etcd_gone,
	};

	*etcd = (struct gcl_etcd){0};
	gcl_helper_init(&etcd->helper, &kind, broker);
	ev_io_init(&etcd->readable, on_readable, -1, EV_READ);
	ev_timer_init(&etcd->tick, on_tick, 0., TICK_SECONDS);
	etcd->readable.data = etcd->tick.data = etcd;
}

void gcl_etcd_stop(struct gcl_etcd *etcd)
{
	gcl_helper_anew(&etcd->helper);
	socket_close(etcd);
	etcd->reason[0] = '\0';
	state_set(etcd, GCL_ETCD_STATE_OFF);
}

void gcl_etcd_configure(struct gcl_etcd *etcd)
{
	struct gcl_broker *broker = etcd->helper.broker;

	gcl_helper_anew(&etcd->helper);
	if (*broker->config.etcd) {
		if (etcd->state == GCL_ETCD_STATE_OFF)
			state_set(etcd, GCL_ETCD_STATE_STARTING);
		if (etcd->helper.pid && etcd->helper.socket < 0)
			/* It is going: the next is started when it is gone. */
			gcl_helper_kill(&etcd->helper);
		else
			etcd_try(&etcd->helper);
		return;
	}
	gcl_etcd_stop(etcd);
	gcl_servers_unlist(&broker->servers);
	gcl_servers_listed(&broker->servers);
}
