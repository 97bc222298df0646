// SPDX-License-Identifier: MIT
/*
 * The life of the broker: start, signals, configuration read again, orderly end.
 */
#include "broker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "control.h"
#include "entrance.h"
#include "takeover.h"
#include "vm.h"
#include "vsock.h"

/* How long workers may take to go when the broker stops; then they are killed. */
#define STOP_SECONDS 2.

/* Descriptors that the broker needs beside those of guests and workers. */
#define FILES_OWN 64u

/* A waiting guest holds its connection and what it sent; a session one socket. */
void gcl_broker_files_raise(const struct gcl_broker *broker)
{
	const struct gcl_config *config = &broker->config;
	rlim_t wanted = FILES_OWN + config->max_sessions * (2u + GCL_HELLO_FDS) +
			config->max_greetings * (1u + GCL_HELLO_FDS) +
			gcl_vms_count(broker) * GCL_VM_FILES;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = GCL_MIN(wanted, limit.rlim_max);
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < wanted)
		gcl_log_warn(broker,
			     "only %ju open files are allowed, max-sessions may need %ju: raise "
			     "LimitNOFILE in guestcld.service",
			     (uintmax_t)limit.rlim_cur, (uintmax_t)wanted);
}

void gcl_broker_announce(struct gcl_broker *broker, const char *trouble)
{
	if (broker->stopping)
		return;
	if (trouble && !broker->announced) {
		gcl_notify("READY=1\nSTATUS=Refusing guests: %s", trouble);
	} else if (!trouble && !broker->serving) {
		gcl_log_info(broker, "ready: guests are served on %s", broker->config.socket);
		gcl_notify("READY=1\nSTATUS=Serving guests on %s", broker->config.socket);
		broker->serving = true;
	}
	broker->announced = true;
}

void gcl_broker_worker_gone(struct gcl_broker *broker)
{
	if (broker->stopping && broker->workers.count == 0 && !broker->etcd.helper.pid)
		ev_break(broker->loop, EVBREAK_ALL);
}

static void broker_stop(struct gcl_broker *broker, int signal_number)
{
	if (broker->stopping)
		return;
	broker->stopping = true;
	gcl_log_info(broker, "stopping on signal %d; sessions: %zu", signal_number,
		     gcl_workers_sessions(&broker->workers, NULL));
	gcl_notify("STOPPING=1");
	gcl_listener_close(&broker->listener);
	gcl_control_close(&broker->control);
	gcl_entrance_close(&broker->vsock);
	gcl_conns_refuse(broker, "guestcld is stopping");
	gcl_libvirt_fini(&broker->libvirt);
	gcl_web_fini(&broker->web);
	gcl_front_fini(&broker->front);
	gcl_etcd_stop(&broker->etcd);
	gcl_vms_stop(broker);
	gcl_guests_refuse(broker, GCL_HELLO_BUSY, "guestcld is stopping");
	gcl_workers_end(&broker->workers);
	ev_timer_start(broker->loop, &broker->deadline);
	gcl_broker_worker_gone(broker);
}

static void broker_reload(struct gcl_broker *broker)
{
	struct gcl_config config;

	if (gcl_options_config(broker->options, &config) < 0) {
		gcl_log_error(config, "the settings stay as they were");
		return;
	}
	if (strcmp(config.socket, broker->config.socket) != 0 ||
	    strcmp(config.socket_group, broker->config.socket_group) != 0 ||
	    config.socket_mode != broker->config.socket_mode)
		gcl_log_warn(config, "the socket stays as it was: restart guestcld to change it");
	memcpy(config.socket, broker->config.socket, sizeof config.socket);
	memcpy(config.socket_group, broker->config.socket_group, sizeof config.socket_group);
	config.socket_mode = broker->config.socket_mode;
	memcpy(config.control_socket, broker->config.control_socket, sizeof config.control_socket);
	memcpy(config.control_socket_group, broker->config.control_socket_group,
	       sizeof config.control_socket_group);
	config.control_socket_mode = broker->config.control_socket_mode;
	if (config.vsock != broker->config.vsock ||
	    config.vsock_port != broker->config.vsock_port) {
		gcl_entrance_close(&broker->vsock);
		broker->config = config;
		gcl_vsock_open(broker);
	}
	broker->config = config;
	gcl_log_level_set((enum gcl_log_level)config.log_level);
	gcl_broker_files_raise(broker);
	gcl_log_info(config, "settings read again; sessions keep theirs");
	gcl_vms_configure(broker);
	gcl_accounts_configure(broker);
	gcl_leases_configure(broker);
	gcl_libvirt_configure(&broker->libvirt);
	gcl_web_configure(&broker->web);
	gcl_front_configure(&broker->front);
	gcl_servers_configure(&broker->servers, &broker->config);
	gcl_etcd_configure(&broker->etcd);
	gcl_placing_configure(&broker->placing);
	gcl_workers_renew(&broker->workers);
}

static void on_signal(struct ev_loop *loop, struct ev_signal *watcher, int events)
{
	struct gcl_broker *broker = watcher->data;

	(void)loop;
	(void)events;
	if (watcher->signum == SIGHUP)
		broker_reload(broker);
	else if (watcher->signum == SIGUSR2)
		gcl_takeover_begin(broker);
	else
		broker_stop(broker, watcher->signum);
}

/* First for those who don't go, then for those who can't be killed. */
static void on_deadline(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_broker *broker = timer->data;

	(void)events;
	gcl_log_warn(broker, "%zu workers are left after %.0f s: %s", broker->workers.count,
		     STOP_SECONDS, broker->killed ? "left to the system" : "killed");
	if (broker->killed)
		ev_break(loop, EVBREAK_ALL);
	gcl_workers_kill(&broker->workers);
	gcl_helper_kill(&broker->etcd.helper);
	broker->killed = true;
}

static void watchers_init(struct gcl_broker *broker)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR2};

	_Static_assert(GCL_ARRAY_SIZE(numbers) == GCL_ARRAY_SIZE(broker->signals),
		       "one watcher for each signal");
	for (size_t i = 0; i < GCL_ARRAY_SIZE(numbers); i++) {
		ev_signal_init(&broker->signals[i], on_signal, numbers[i]);
		broker->signals[i].data = broker;
		ev_signal_start(broker->loop, &broker->signals[i]);
	}
	ev_timer_init(&broker->deadline, on_deadline, STOP_SECONDS, STOP_SECONDS);
	broker->deadline.data = broker;
}

int gcl_broker_run(const struct gcl_options *options, const struct gcl_config *config)
{
	struct gcl_broker broker = {
		.options = options,
		.config = *config,
		.started = gcl_clock(),
	};
	int err;

	signal(SIGPIPE, SIG_IGN);
	/* The default loop is the one that reaps children. */
	broker.loop = ev_default_loop(EVFLAG_NOENV);
	if (!broker.loop) {
		gcl_log_error(broker, "can't make an event loop: %s", strerror(errno));
		return -ENOMEM;
	}
	gcl_conns_init(&broker.conns);
	gcl_guests_init(&broker.guests);
	gcl_workers_init(&broker.workers, &broker);
	gcl_cache_guard_init(&broker.cache_guard, &broker);
	gcl_cgroup_open(&broker.cgroup, config);
	gcl_leases_init(&broker);
	gcl_list_init(&broker.vms);
	gcl_list_init(&broker.accounts);
	gcl_list_init(&broker.overrides);
	gcl_libvirt_init(&broker.libvirt, &broker);
	gcl_web_init(&broker.web, &broker);
	gcl_front_init(&broker.front, &broker);
	gcl_servers_init(&broker.servers);
	gcl_etcd_init(&broker.etcd, &broker);
	gcl_moves_init(&broker.moves, &broker);
	gcl_placing_init(&broker.placing, &broker);
	gcl_watchdog_init(&broker);
	gcl_broker_files_raise(&broker);
	watchers_init(&broker);
	gcl_takeover_init(&broker);
	gcl_takeover_restore(&broker);
	err = gcl_listener_open(&broker.listener, &broker);
	if (err < 0)
		return err;
	gcl_control_open(&broker.control, &broker);
	gcl_vms_configure(&broker);
	gcl_vsock_open(&broker);
	gcl_takeover_settle(&broker);
	gcl_cache_guard_wake(&broker.cache_guard);
	gcl_libvirt_configure(&broker.libvirt);
	gcl_web_configure(&broker.web);
	gcl_front_configure(&broker.front);
	gcl_servers_configure(&broker.servers, &broker.config);
	gcl_etcd_configure(&broker.etcd);
	gcl_placing_configure(&broker.placing);
	if (config->spare_workers)
		gcl_workers_prepare(&broker.workers, 0.);
	else
		gcl_broker_announce(&broker, NULL);
	ev_run(broker.loop, 0);
	gcl_servers_fini(&broker.servers);
	gcl_vms_fini(&broker);
	gcl_leases_fini(&broker);
	gcl_accounts_fini(&broker);
	gcl_overrides_fini(&broker);
	gcl_cache_guard_fini(&broker.cache_guard);
	gcl_cgroup_close(&broker.cgroup);
	gcl_workers_fini(&broker.workers);
	gcl_moves_fini(&broker.moves);
	gcl_placing_fini(&broker.placing);
	ev_loop_destroy(broker.loop);
	gcl_log_info(broker, "stopped");
	return 0;
}
