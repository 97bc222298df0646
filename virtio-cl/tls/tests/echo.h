/* SPDX-License-Identifier: MIT */
/*
 * For tests: a server by TLS in this process, whose sessions give back what they get, and whose
 * connections can be dropped.
 *
 * Guests have the pre-shared key that echo_key() writes.
 */
#ifndef GCL_ECHO_H
#define GCL_ECHO_H

#include <pthread.h>
#include <stdbool.h>

#include "base/list.h"
#include "link.h"

#define ECHO_CONNECTIONS 64u

/* How long a session waits for its guest to come back. */
#define ECHO_RESUME_MS 60000

struct echo_connection {
	struct echo_server *server;
	int net; /* -1: free */
};

struct echo_server {
	int listener;
	unsigned short port;
	struct gcl_tls_credentials credentials;
	pthread_t acceptor;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct echo_connection connections[ECHO_CONNECTIONS];
	unsigned count;		  /* of connections in use */
	struct gcl_list sessions; /* that may be resumed, or are busy */
	uint64_t last;		  /* token */
	bool refusing;		  /* sessions: they say ECHO_REFUSAL, and end */
	unsigned resumed;
};

#define ECHO_REFUSAL "no, thank you"

/** echo_key() - write the guests' key into the folder. */
void echo_key(const char *folder);

void echo_start(struct echo_server *server);

/** echo_drop() - of the connections, the one that @number picks, if there is one. */
void echo_drop(struct echo_server *server, unsigned number);

/** echo_stop() - end all that is under way. */
void echo_stop(struct echo_server *server);

#endif
