/* SPDX-License-Identifier: MIT */
/*
 * What guestcld and guestcl-tls say to each other: records over a SOCK_SEQPACKET socket, which is
 * guestcl-tls's standard input.
 *
 * guestcld says what to listen on and which files to show (struct gcl_front_setup, with their
 * descriptors, in the order of the bits of @files); again whenever that has changed. guestcl-tls
 * hands over every guest that has proved who it is (struct gcl_front_guest, with its socket), and
 * says what becomes of it.
 */
#ifndef GCL_TLS_FRONT_H
#define GCL_TLS_FRONT_H

#include <stdint.h>

enum gcl_front_file {
	GCL_FRONT_LISTENER,    /* a listening socket, in place of the one before */
	GCL_FRONT_CERTIFICATE, /* in PEM, as are the two that follow */
	GCL_FRONT_KEY,
	GCL_FRONT_CA,
	GCL_FRONT_PSK, /* lines of the form NAME:HEX */
	GCL_FRONT_CRL, /* in PEM */
	GCL_FRONT_FILES
};

struct gcl_front_setup {
	uint32_t files;	       /* bits of enum gcl_front_file */
	uint32_t handshake_ms; /* how long a connection may take to say who it is */
	uint32_t
		handshakes; /* connections at one time that have not; half of them of one address */
	uint32_t resume_ms; /* how long a session waits for its guest to come back */
	uint32_t packs;	    /* whether chunks may be packed */
	uint32_t log_level; /* enum gcl_log_level */
};

enum gcl_front_said {
	GCL_FRONT_NEW,	   /* a guest, with its socket */
	GCL_FRONT_MOVED,   /* it goes on by another connection */
	GCL_FRONT_REVOKED, /* its certificate is good no more: its session is to end */
};

struct gcl_front_guest {
	uint32_t said;
	uint64_t number; /* by which it is known; 64 random bits, never 0 */
	char name[72];	 /* as its certificate or key has it; a VM's, or nobody's */
	char from[72];	 /* its address, for people */
};

#endif
