/* SPDX-License-Identifier: MIT */
/*
 * The follower: tells guestcld, in lines on a pipe, which domains are attached.
 *
 *   vm UUID NAME SOCKET [KEY=VALUE]...   attached, or something about it has changed
 *   stopped UUID                         it runs no more: its sessions are to end
 *   gone UUID                            detached or undefined
 *   listed                               all domains have been told of; others are gone
 *
 * NAME is what people call it, with spaces, '%' and control characters as %XX. SOCKET is the file
 * in vm-dir, "-" for none. Keys: memory (bytes), weight, cid.
 */
#ifndef GCL_LIBVIRT_FOLLOW_H
#define GCL_LIBVIRT_FOLLOW_H

#include "libvirt.h"

/* What was told of a domain. */
struct gcl_followed {
	char uuid[VIR_UUID_STRING_BUFLEN];
	char *line; /* NULL: of those that guestcld is not told of */
	bool running;
	bool refused; /* it has been said why it gets no devices */
	bool seen;    /* in the list being made */
};

struct gcl_follower {
	const char *uri, *vm_dir;
	FILE *out;
	virConnect *conn; /* NULL while there is none */
	struct gcl_followed *domains;
	size_t count;
	int lifecycle, metadata; /* callbacks */
	int retry;		 /* timer */
	int pause;		 /* ms until the next try */
	bool lost;		 /* it has been said that there is no connection */
	bool stop;
};

/**
 * gcl_follower_init() - connect as soon as possible, and tell of all domains.
 * @vm_dir: where the sockets have to be; NULL: not checked
 *
 * virEventRegisterDefaultImpl() comes first; everything else happens in virEventRunDefaultImpl().
 * Return: 0, or -1 and a line on stderr.
 */
int gcl_follower_init(struct gcl_follower *follower, const char *uri, const char *vm_dir,
		      FILE *out);
void gcl_follower_fini(struct gcl_follower *follower);

#endif
