/* SPDX-License-Identifier: MIT */
/*
 * guestcl-tls: ends the TLS of guests that come from other machines.
 *
 * Theory of operation. guestcld starts it, and gives it a listening socket and the contents of the
 * files with certificates and keys; it has no right to open anything itself. Its first process, the
 * listener (listener.c), accepts connections and parses nothing. It makes a process for each
 * (session.c), which does the handshake, and says who the guest is; if that is a new session the
 * listener makes a socket pair: one end goes to guestcld, where the guest's greeting is read as
 * that of any other guest of that VM, the other to the session's process, which relays
 * (virtio-cl/tls) until the session ends.
 *
 * When the connection drops, the session's process waits for some time. A guest that comes back
 * comes by a new connection, and so to a new process, which asks for the session by its token. The
 * listener tells the old process to yield; what that has (a memfd with all that is under way, and
 * the plain socket) passes to the new one, and the old one ends. A token is good only for the name
 * that it was given to.
 *
 * When a certificate is revoked the listener ends the sessions of who has shown it, which it knows
 * by the certificates' marks.
 *
 * The listener is trusted with names, and so is each process until it has told one: the handshake
 * is done by GnuTLS before it is known who is there. After that a session's process can harm
 * its own session, and nothing else: it can open nothing, connect to nothing, and make no process.
 */
#ifndef GCL_TLS_SERVER_H
#define GCL_TLS_SERVER_H

#include "link.h"
#include "tls-front.h"
#include "tunnel.h"

/* ------------------------------------------------------------ what the two kinds say */

enum gcl_session_said {
	/* The session's process: */
	GCL_SESSION_NEW,     /* of that name */
	GCL_SESSION_RESUME,  /* of that name and token */
	GCL_SESSION_YIELDED, /* with memfd and plain socket */
	/* The listener: */
	GCL_SESSION_START, /* here are an empty memfd and the plain socket, and the token */
	GCL_SESSION_GONE,  /* there is no such session */
	GCL_SESSION_BUSY,  /* it is being taken over already */
	GCL_SESSION_YIELD,
};

struct gcl_session_record {
	uint32_t said;
	char name[GCL_TLS_NAME_MAX + 8];
	uint8_t token[GCL_TUNNEL_TOKEN];
	uint8_t mark[GCL_TLS_MARK]; /* of its certificate; zeroes: it has a key */
};

/* ------------------------------------------------------------ the listener (listener.c) */

/** gcl_tls_listener_run() - until guestcld ends or says so. */
int gcl_tls_listener_run(void);

/* ------------------------------------------------------------ one connection (session.c) */

struct gcl_tls_session {
	int net, control; /* taken over */
	const struct gcl_tls_credentials *credentials;
	uint32_t handshake_ms, resume_ms;
	bool packs;
	char from[sizeof((struct gcl_front_guest *)0)->from];
};

/** gcl_tls_session_run() - in a process of its own. */
_Noreturn void gcl_tls_session_run(const struct gcl_tls_session *session);

/* ------------------------------------------------------------ rights (rights.c) */

/** gcl_tls_rights_drop() - the listener's: be @user, reach no network but by the sockets that it is
 * given, open no file. */
void gcl_tls_rights_drop(const char *user);

/** gcl_tls_rights_seal() - a session's: nothing but to move bytes. */
void gcl_tls_rights_seal(void);

#endif
