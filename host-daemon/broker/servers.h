/* SPDX-License-Identifier: MIT */
/*
 * GPU servers that this host knows: of the configuration, and of etcd.
 *
 * Theory of operation. guestcld itself talks to no etcd: guestcl-etcd (host-daemon/etcd) does, and
 * tells it of servers in records (host-daemon/etcd-link.h), each of which is copied and checked
 * before it is looked at. What was told stays while etcd, or guestcl-etcd, is away, with the time
 * that it is of. When either is back all servers are told of again, and those go that were not.
 * A server may be in both places: then its address is the configuration's, its numbers are its own.
 */
#ifndef GCL_BROKER_SERVERS_H
#define GCL_BROKER_SERVERS_H

#include "base/list.h"
#include "base/state.h"
#include "etcd-link.h"
#include "placing.h"

struct gcl_broker;
struct gcl_config;

/* More than that aren't taken from etcd. */
#define GCL_SERVERS_MAX 256u

struct gcl_server {
	struct gcl_list link;
	char name[GCL_SERVER_NAME_MAX + 1];
	char configured[GCL_SERVER_ADDRESS_MAX]; /* of guestcld.conf; empty: it isn't there */
	bool announced;				 /* it is in etcd, as far as is known */
	bool listed;				 /* the list that is being told has it */
	double seen;		     /* when it was last told of, gcl_clock(); if announced */
	struct gcl_server_info info; /* what it says of itself; if announced */
	uint64_t memory;	     /* of its first device, as guestcld.conf says; 0: not */
	struct gcl_placing_known known[GCL_PAGE_DEVICES_MAX]; /* of its devices */
};

struct gcl_servers {
	struct gcl_list list; /* struct gcl_server */
	size_t count;
	size_t announced; /* of these */
};

void gcl_servers_init(struct gcl_servers *servers);
void gcl_servers_fini(struct gcl_servers *servers);

/** gcl_server_find() - the server of that name, lent, or NULL. */
struct gcl_server *gcl_server_find(const struct gcl_servers *servers, const char *name);

/** gcl_server_address() - where it is reached; lent. */
const char *gcl_server_address(const struct gcl_server *server);

/** gcl_servers_configure() - those of the configuration, in place of what it said before. */
void gcl_servers_configure(struct gcl_servers *servers, const struct gcl_config *config);

/** gcl_servers_take() - etcd has this one, or it says something new; copied, and may be anything.
 * @now: gcl_clock(). Return: 0, -EINVAL for none, -ENOSPC when there are too many, -ENOMEM. */
int gcl_servers_take(struct gcl_servers *servers, const struct gcl_server_info *info, double now);

/** gcl_servers_gone() - etcd has that one no more; @name may be anything. */
void gcl_servers_gone(struct gcl_servers *servers, const char *name);

/** gcl_servers_unlist() - they are going to be told of from the beginning. */
void gcl_servers_unlist(struct gcl_servers *servers);

/** gcl_servers_listed() - all have been told of: forget the rest of etcd's. */
void gcl_servers_listed(struct gcl_servers *servers);

/** gcl_servers_save(), gcl_servers_restore() - what etcd has told, over exec. */
void gcl_servers_save(const struct gcl_servers *servers, struct gcl_state *state);
void gcl_servers_restore(struct gcl_servers *servers, struct gcl_state *state);

/* ------------------------------------------------------------ what is announced (announce.c) */

/* What this host says of itself, and what it was made of. */
struct gcl_announcement {
	struct gcl_server_info info; /* as last told; without a name: nothing was */
	double told;		     /* when, gcl_clock() */
	double measured;
	uint64_t busy[GCL_PAGE_DEVICES_MAX]; /* ns that devices had worked then */
	double load[GCL_PAGE_DEVICES_MAX];   /* 0 to 1, the mean of the last seconds */
	bool known;			     /* there is a measurement */
};

/** gcl_announcement_update() - measure, once a second. Return: whether info is another one, that
 * has to be told. */
bool gcl_announcement_update(struct gcl_announcement *announcement, const struct gcl_broker *broker,
			     double now);

#endif
