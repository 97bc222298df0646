/* SPDX-License-Identifier: MIT */
/*
 * What the listener's two files share: it, and the sessions whose processes it has.
 */
#ifndef GCL_TLS_LISTENER_H
#define GCL_TLS_LISTENER_H

#include <ev.h>

#include "base/list.h"
#include "server.h"

struct listener {
	struct ev_loop *loop;
	int broker;   /* standard input */
	int listener; /* -1: none yet */
	struct ev_io said, connectable;
	struct ev_timer pause; /* while there is nothing to accept with */
	struct gcl_front_setup setup;
	struct gcl_tls_credentials credentials;
	bool ready;		  /* there are credentials */
	struct gcl_list sessions; /* struct session */
	unsigned handshakes;	  /* of these, that have not said who they are */
};

enum session_state {
	HANDSHAKE, /* nobody knows who it is */
	ASKING,	   /* it waits for another one to yield */
	RELAYING,
	YIELDING,
};

struct session {
	struct gcl_list link;
	struct listener *listener;
	enum session_state state;
	pid_t pid;
	int control;
	char name[GCL_TLS_NAME_MAX + 1];
	char host[64]; /* its address, without port */
	char from[sizeof((struct gcl_front_guest *)0)->from];
	uint64_t number; /* for guestcld; 0: it knows of none */
	uint8_t token[GCL_TUNNEL_TOKEN];
	uint8_t mark[GCL_TLS_MARK]; /* of its certificate */
	bool revoked;
	struct session *heir; /* YIELDING: to this one; ASKING: it is one's own back */
	struct ev_io said;
	struct ev_child child;
	struct ev_timer late;
};

/** gcl_listener_update() - accept connections or not, as it is now. */
void gcl_listener_update(struct listener *listener);

/** gcl_process_make() - the process of @session, which has the connection @net; the caller's
 * descriptor stays. Return: 0, -errno. */
int gcl_process_make(struct session *session, int net);

/** gcl_revoked_end() - end @session if its certificate is revoked. Return: it is. */
bool gcl_revoked_end(struct session *session);

#endif
