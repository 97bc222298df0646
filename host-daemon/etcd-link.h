/* SPDX-License-Identifier: MIT */
/*
 * What guestcld and guestcl-etcd say to each other: records over a SOCK_SEQPACKET socket, which is
 * guestcl-etcd's standard input.
 *
 * guestcld says which etcd there is (GCL_ETCD_SETUP, with the files' descriptors, in the order of
 * the bits of @files), again whenever that may have changed, and what to announce (GCL_ETCD_OWN).
 * guestcl-etcd tells of every server that etcd has, of each change, and whether etcd can be
 * reached. The end of the socket tells guestcl-etcd to take back what it announced, and to go.
 */
#ifndef GCL_ETCD_LINK_H
#define GCL_ETCD_LINK_H

#include <stdint.h>

#include "server-info.h"

#define GCL_ETCD_URLS_MAX   512u
#define GCL_ETCD_PREFIX_MAX 128u

enum gcl_etcd_file {
	GCL_ETCD_CA,
	GCL_ETCD_CERTIFICATE,
	GCL_ETCD_KEY,
	GCL_ETCD_PASSWORD,
	GCL_ETCD_FILES
};

struct gcl_etcd_setup {
	char urls[GCL_ETCD_URLS_MAX]; /* separated by ',' */
	char prefix[GCL_ETCD_PREFIX_MAX];
	char user[64];	    /* of etcd's; empty: none */
	uint32_t files;	    /* bits of enum gcl_etcd_file */
	uint32_t lease_ms;  /* how long what is announced stays without us */
	uint32_t log_level; /* enum gcl_log_level */
};

enum gcl_etcd_order_kind {
	GCL_ETCD_SETUP,
	GCL_ETCD_OWN, /* announce this, in place of what was before; without a name: nothing */
};

/* guestcld's. */
struct gcl_etcd_order {
	uint32_t kind;
	uint32_t unused;
	union {
		struct gcl_etcd_setup setup;
		struct gcl_server_info own;
	};
};

enum gcl_etcd_said_kind {
	GCL_ETCD_SERVER, /* there is this one, or it says something new of itself */
	GCL_ETCD_GONE,	 /* the one of that name is no more */
	GCL_ETCD_LISTED, /* all have been told of; others are gone. etcd can be reached */
	GCL_ETCD_DOWN,	 /* none of the addresses answers: @reason */
};

/* guestcl-etcd's. */
struct gcl_etcd_said {
	uint32_t kind;
	char reason[196];
	struct gcl_server_info server;
};

#endif
