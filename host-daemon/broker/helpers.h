/* SPDX-License-Identifier: MIT */
/*
 * Processes that the broker has beside its workers, each for what it is not to do itself.
 */
#ifndef GCL_HELPERS_H
#define GCL_HELPERS_H

#include <ev.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/state.h"
#include "config.h"
#include "helper.h"
#include "servers.h"

struct gcl_broker;

/* ------------------------------------------------------------ libvirt's domains (libvirt.c) */

/* The longest line of the follower that is read; names and numbers are shorter. */
#define GCL_LIBVIRT_LINE_MAX 1024u

struct gcl_libvirt {
	struct gcl_helper helper;			   /* the follower */
	char uri[sizeof((struct gcl_config *)0)->libvirt]; /* followed; empty: none */
	char program[PATH_MAX];
	char vm_dir[sizeof((struct gcl_config *)0)->vm_dir];
	struct gcl_list domains; /* that are attached, as far as was told */
	size_t domain_count;
	int out; /* of the follower; -1 */
	struct ev_io readable;
	char buffer[4096];
	size_t used;
	bool skip; /* the rest of a line that is too long */
};

void gcl_libvirt_init(struct gcl_libvirt *libvirt, struct gcl_broker *broker);

/** gcl_libvirt_configure() - follow what the configuration names. Errors are logged. */
void gcl_libvirt_configure(struct gcl_libvirt *libvirt);

/** gcl_libvirt_adopt() - a VM that was restored is a domain's. */
void gcl_libvirt_adopt(struct gcl_libvirt *libvirt, const char *id);

/** gcl_libvirt_fini() - end the follower and forget its domains; their VMs stay. */
void gcl_libvirt_fini(struct gcl_libvirt *libvirt);

/* ------------------------------------------------------------ numbers by HTTP (web.c) */

struct gcl_web {
	struct gcl_helper helper;
	char listen[sizeof((struct gcl_config *)0)->web_listen]; /* empty: there is none */
	char token_file[PATH_MAX];
	char program[PATH_MAX];
};

void gcl_web_init(struct gcl_web *web, struct gcl_broker *broker);

/** gcl_web_configure() - serve as the configuration says. Errors are logged. */
void gcl_web_configure(struct gcl_web *web);

/** gcl_web_fini() - end the process; may be called twice. */
void gcl_web_fini(struct gcl_web *web);

/* ------------------------------------------------------------ guests of other machines (front.c)
 */

struct gcl_front {
	struct gcl_helper helper;
	char listen[sizeof((struct gcl_config *)0)->listen_tls]; /* where it does; empty: nowhere */
	struct ev_io readable;
	struct ev_timer rest;
};

void gcl_front_init(struct gcl_front *front, struct gcl_broker *broker);

/** gcl_front_configure() - serve as the configuration says, with files as they are now. Errors are
 * logged. */
void gcl_front_configure(struct gcl_front *front);

/** gcl_front_save(), gcl_front_restore() - over exec: the process and its sessions go on. */
void gcl_front_save(const struct gcl_front *front, struct gcl_state *state);
void gcl_front_restore(struct gcl_front *front, struct gcl_state *state);

/** gcl_front_fini() - end the process; may be called twice. */
void gcl_front_fini(struct gcl_front *front);

/* ------------------------------------------------------------ etcd's servers (etcd.c) */

enum gcl_etcd_state {
	GCL_ETCD_STATE_OFF,
	GCL_ETCD_STATE_STARTING, /* nothing has been heard of it yet */
	GCL_ETCD_STATE_UP,
	GCL_ETCD_STATE_DOWN, /* what is known goes on being used */
};

struct gcl_etcd {
	struct gcl_helper helper;
	enum gcl_etcd_state state;
	ev_tstamp since;  /* of the state, gcl_clock() */
	char reason[200]; /* why it is down */
	bool full;	  /* some of its servers had no room */
	struct gcl_announcement announcement;
	struct ev_io readable;
	struct ev_timer tick;
};

void gcl_etcd_init(struct gcl_etcd *etcd, struct gcl_broker *broker);

/** gcl_etcd_configure() - follow the etcd of the configuration, with files as they are now. Errors
 * are logged. */
void gcl_etcd_configure(struct gcl_etcd *etcd);

/** gcl_etcd_stop() - have the process take back what it announced, and go; gcl_broker_worker_gone()
 * is called when it has. May be called twice. */
void gcl_etcd_stop(struct gcl_etcd *etcd);

#endif
