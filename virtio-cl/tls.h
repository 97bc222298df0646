/* SPDX-License-Identifier: MIT */
/*
 * The way to a GPU server: a stream channel over a plain socket, whose other end a thread of a
 * module's carries through TLS.
 *
 * The module is a file of its own, which is loaded when it is asked for, so that programs that
 * don't need it load no TLS library.
 */
#ifndef GCL_TLS_H
#define GCL_TLS_H

#include "stream.h"

#define GCL_TLS_PORT   "17228"
#define GCL_TLS_FOLDER "/etc/guestcl/tls" /* of what this machine shows; GUESTCL_TLS: another */

/* Raised when module and library would not understand each other. */
#define GCL_TLS_MODULE_VERSION 2u
#define GCL_TLS_MODULE_SYMBOL  "gcl_tls_module"

/* Room for the parts of a place. */
#define GCL_TLS_HOST_MAX 256u
#define GCL_TLS_PORT_MAX 6u

struct gcl_tls_client;

/* What this machine shows and takes, as files of a folder. */
enum gcl_tls_place_file {
	GCL_TLS_PLACE_PSK, /* if it is there the others aren't needed */
	GCL_TLS_PLACE_CA,
	GCL_TLS_PLACE_CERTIFICATE,
	GCL_TLS_PLACE_KEY,
	GCL_TLS_PLACE_CRL, /* may be missing */
	GCL_TLS_PLACE_FILES
};

static const char *const gcl_tls_place_names[GCL_TLS_PLACE_FILES]
	__attribute__((unused)) = {"psk", "ca.pem", "certificate.pem", "key.pem", "crl.pem"};

struct gcl_tls_place {
	const char *host, *port;
	const char *folder; /* where the files are */
	const int *files; /* or these are they, lent, by their kind, -1: none; NULL: the folder's */
	int timeout_ms;
};

struct gcl_tls_module {
	unsigned version;

	/* Connect and say who one is. @plain: set to the socket that the channel uses, the
	 * caller's, at the other end of which is what the server says. Return: 0 and a client,
	 * or -errno and @reason; -ENOENT: nobody listens there. */
	int (*open)(const struct gcl_tls_place *place, int *plain, struct gcl_tls_client **out,
		    char *reason, size_t reason_size);

	/* Why the plain socket has ended, or "". */
	void (*reason)(struct gcl_tls_client *client, char *reason, size_t reason_size);

	/* What carries the bytes goes on until the plain socket ends. */
	void (*release)(struct gcl_tls_client *client);
};

/** gcl_tls_clients_wait() - of a program that has the module in itself: until no client is left. */
void gcl_tls_clients_wait(void);

/** gcl_tls_where() - take "HOST" and the like apart, as below. Return: false if it is no place. */
bool gcl_tls_where(const char *where, char host[GCL_TLS_HOST_MAX], char port[GCL_TLS_PORT_MAX]);

/** gcl_tls_connect() - guest: to the server at "HOST", "HOST:PORT", "[ADDRESS]:PORT", with "//"
 * before it or not. As gcl_stream_connect(). */
int gcl_tls_connect(const char *where, struct gcl_channel **out, char *reason, size_t reason_size);

#endif
