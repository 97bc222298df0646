/* SPDX-License-Identifier: MIT */
/*
 * How a guest program finds its host: which channel, and what the user is told when there is none.
 *
 * GUESTCL_CHANNEL says which: "virtio", "virtio:PATH", "vsock", "vsock:CID", "vsock:CID:PORT",
 * "stream:PATH", "tls://HOST", "tls://HOST:PORT", "local", "local:PATH", "none", or "auto", which
 * is what it is when it isn't set: the first of virtio, vsock and local that is there.
 * GUESTCL_SOCKET, a path or "none", stands for local at that path, unless GUESTCL_CHANNEL says
 * another.
 */
#ifndef GCL_CONNECT_H
#define GCL_CONNECT_H

#include "channel.h"

#define GCL_NO_CHANNEL "none" /* no host is wanted, and nothing is said */

/* Room for a reason that names every channel that was tried. */
#define GCL_CONNECT_REASON_MAX 1024u

/* A way to a host. */
struct gcl_carrier {
	const char *name; /* in GUESTCL_CHANNEL */

	/* Is it there, so that "auto" should try it? Quick, and without a trace. @where as below.
	 * NULL: only for those who ask for it. */
	bool (*there)(const char *where);

	/* @where: what GUESTCL_CHANNEL says behind the colon, "" for nothing. -ENOENT: it isn't
	 * there after all. As gcl_local_connect() otherwise. */
	int (*connect)(const char *where, struct gcl_channel **out, char *reason,
		       size_t reason_size);
};

/** gcl_carriers() - all of them, in the order in which "auto" tries them; ends with a NULL name. */
const struct gcl_carrier *gcl_carriers(void);

/** gcl_carrier_wanted() - the one that the environment asks for, and where; NULL for "auto" and for
 * names that are none (@reason is set then), which is told by @auto_wanted. */
const struct gcl_carrier *gcl_carrier_wanted(const char **where, bool *auto_wanted, char *reason,
					     size_t reason_size);

/** gcl_connect_wanted() - false if the environment says that there is to be no host. */
bool gcl_connect_wanted(void);

/** gcl_connect_auto() - the first of @table that works; gcl_connect() without anything in the
 * environment. */
int gcl_connect_auto(const struct gcl_carrier *table, struct gcl_channel **out, char *reason,
		     size_t reason_size);

/**
 * gcl_connect() - guest side: a channel as the environment asks for.
 * @reason: one line for the user when it fails: what is wrong and what to do
 *
 * Return: 0 and a channel, or a negative errno.
 */
int gcl_connect(struct gcl_channel **out, char *reason, size_t reason_size);

#endif
