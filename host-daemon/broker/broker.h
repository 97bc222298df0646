/* SPDX-License-Identifier: MIT */
/*
 * guestcld, the broker: lets guests in and gives each a worker of its own.
 *
 * Theory of operation. Everything happens in one thread, on one libev loop. The listener accepts
 * connections, whose greeting is read and checked within a time limit (conn.c). However it came, a
 * guest that is let in waits for a prepared worker of its owner (guest.c asks workers.c), and is
 * passed to it with all its descriptors: from then on only the worker process is known, until it
 * exits. A spare worker is prepared some time after that, so that it doesn't
 * take the CPU from the guest that has just started.
 *
 * The broker loads no OpenCL and reads nothing of what a guest sends but the greeting. What fails
 * here (descriptors, memory, disk) costs the guest at hand a refusal that says so, and never
 * another guest's session. Nothing is retried without a pause.
 */
#ifndef GCL_BROKER_H
#define GCL_BROKER_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "cache.h"
#include "cgroup.h"
#include "config.h"
#include "guests.h"
#include "helpers.h"
#include "moves.h"
#include "options.h"
#include "override.h"
#include "page.h"
#include "placing.h"
#include "servers.h"
#include "sockets.h"
#include "workers.h"

/* ------------------------------------------------------------ a new program (takeover.h) */

struct gcl_takeover {
	bool waiting;	     /* for a moment at which nothing is half done */
	bool holding;	     /* meanwhile: those who come now have to wait */
	ev_tstamp turn;	     /* when that changes */
	uint64_t generation; /* how often it has happened */
	char error[256];     /* why the last try failed; empty: it didn't */
	ev_tstamp until;
	pid_t check; /* asks the new program whether it can; 0 */
	struct ev_child checked;
	struct ev_timer poll, overdue;
};

/* ------------------------------------------------------------ the broker (broker.c) */

struct gcl_broker {
	struct ev_loop *loop;
	const struct gcl_options *options;
	struct gcl_config config;
	struct gcl_listener listener;
	struct gcl_control control;
	struct gcl_takeover takeover;
	ev_tstamp started; /* gcl_clock() */
	uint64_t refused;  /* guests */
	struct gcl_conns conns;
	struct gcl_guests guests;
	struct gcl_workers workers;
	struct gcl_cache_guard cache_guard;
	struct gcl_cgroup cgroup;
	struct gcl_list vms;	   /* struct gcl_vm */
	struct gcl_list accounts;  /* struct gcl_account */
	struct gcl_list overrides; /* struct gcl_override */
	struct gcl_devices devices;
	struct gcl_watchdog watchdog;
	struct gcl_lease_device leases[GCL_PAGE_DEVICES_MAX];
	struct gcl_entrance vsock;
	struct gcl_libvirt libvirt;
	struct gcl_web web;
	struct gcl_front front;
	struct gcl_servers servers;
	struct gcl_etcd etcd;
	struct gcl_moves moves;
	struct gcl_placing placing;
	struct ev_signal signals[4];
	struct ev_timer deadline;
	bool announced; /* the service manager has been told that we serve, or refuse */
	bool serving;	/* a worker has come up */
	bool stopping;
	bool killed;
};

/** gcl_broker_run() - serve until told to stop. Return: 0 or -errno. */
int gcl_broker_run(const struct gcl_options *options, const struct gcl_config *config);

/** gcl_broker_announce() - a worker came up, or (@trouble) failed to: tell, the first time. */
void gcl_broker_announce(struct gcl_broker *broker, const char *trouble);

/** gcl_broker_files_raise() - see to it that as many files may be open as there may have to be. */
void gcl_broker_files_raise(const struct gcl_broker *broker);

/** gcl_broker_worker_gone() - a worker has been reaped; the last one lets a stopping broker end. */
void gcl_broker_worker_gone(struct gcl_broker *broker);

/* ------------------------------------------------------------ service manager (notify.c) */

/** gcl_notify() - tell systemd, if it started us: "READY=1", "STATUS=...". Must not block. */
void gcl_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
