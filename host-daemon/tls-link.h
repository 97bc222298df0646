/* SPDX-License-Identifier: MIT */
/*
 * What guestcld and guestcl-link say to each other: two records over a SOCK_SEQPACKET socket, which
 * is guestcl-link's standard input.
 *
 * guestcld says where to connect and what to show (struct gcl_link_order, with the files'
 * descriptors, in the order of the bits of @files). guestcl-link answers once: with a stream
 * socket, at whose other end is the server, or with the reason why there is none.
 */
#ifndef GCL_TLS_LINK_ORDER_H
#define GCL_TLS_LINK_ORDER_H

#include <stdint.h>

#include "server-info.h"

struct gcl_link_order {
	uint32_t files; /* bits of enum gcl_tls_place_file, of virtio-cl/tls.h */
	uint32_t timeout_ms;
	uint32_t log_level; /* enum gcl_log_level */
	char host[GCL_SERVER_HOST_MAX];
	char port[8];
};

struct gcl_link_said {
	uint32_t failed;
	char reason[508];
};

#endif
