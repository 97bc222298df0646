/* SPDX-License-Identifier: MIT */
/*
 * TLS over a connected socket: version 1.3, both sides known by certificates or a pre-shared key.
 *
 * Nothing here blocks. What is sent waits in a buffer until the socket takes it.
 */
#ifndef GCL_TLS_LINK_H
#define GCL_TLS_LINK_H

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* Names of clients are those of VMs. */
#define GCL_TLS_NAME_MAX 64u

#define GCL_TLS_BUFFER (256u << 10)

/* What one send may be long at most. */
#define GCL_TLS_SEND_MAX (80u << 10)

/* Of a certificate: by this it is known again. */
#define GCL_TLS_MARK 32u

/* ------------------------------------------------------------ what is shown (credentials.c) */

struct gcl_tls_credentials {
	gnutls_certificate_credentials_t certificates; /* or NULL */
	gnutls_psk_server_credentials_t keys;	       /* of a server; or NULL */
	gnutls_psk_client_credentials_t key;	       /* of a client; or NULL */
	char *key_lines;		  /* "NAME:HEX", each a string, "" at the end */
	uint8_t (*revoked)[GCL_TLS_MARK]; /* in order */
	size_t revoked_count;
	time_t revoked_until; /* when the list should be followed by another one; 0: never */
};

/* Contents of files in PEM; data NULL: there is none. */
struct gcl_tls_files {
	gnutls_datum_t ca, certificate, private_key;
	gnutls_datum_t crl; /* certificates of @ca's that are good no more */
	gnutls_datum_t psk; /* lines of the form NAME:HEX; a client takes the first */
};

/** gcl_tls_file_read() - all of an open file, 1 MiB at most. Return: 0 or -errno; @data is the
 * files' to free either way. */
int gcl_tls_file_read(int fd, gnutls_datum_t *data);

/** gcl_tls_files_fini() - free what was read; nothing of it stays in memory. */
void gcl_tls_files_fini(struct gcl_tls_files *files);

/**
 * gcl_tls_credentials_init() - what this side shows, and what it takes.
 * @reason: what is wrong, in words
 *
 * Return: 0 or -EINVAL.
 */
int gcl_tls_credentials_init(struct gcl_tls_credentials *credentials, bool server,
			     const struct gcl_tls_files *files, char *reason, size_t reason_size);
void gcl_tls_credentials_fini(struct gcl_tls_credentials *credentials);

/* ------------------------------------------------------------ a session (link.c) */

struct gcl_tls_buffer {
	uint8_t *data;
	size_t begin, end;
};

struct gcl_tls {
	gnutls_session_t session;
	int fd; /* lent */
	bool server;
	bool ended;   /* the socket gives no more */
	bool failed;  /* it takes no more */
	bool more;    /* the socket may have more right now */
	bool revoked; /* one side's certificate is good no more, as one of the two has said */
	struct gcl_tls_buffer in, out;
	gnutls_typed_vdata_st wanted[2]; /* of the other side's certificate */
};

/**
 * gcl_tls_init() - begin on a non-blocking socket.
 * @host: of a client: whom the other side must prove to be, a name or an address; lent
 *
 * Return: 0, or -errno.
 */
int gcl_tls_init(struct gcl_tls *tls, bool server, int fd,
		 const struct gcl_tls_credentials *credentials, const char *host);
void gcl_tls_fini(struct gcl_tls *tls);

/** gcl_tls_handshake() - go on. Return: 0 when it is done, -EAGAIN when the socket has to be waited
 * for, -EPROTO and @reason. */
int gcl_tls_handshake(struct gcl_tls *tls, char *reason, size_t reason_size);

/** gcl_tls_name() - of a server: who the client is. Return: 0, or -EPROTO when it shows no name. */
int gcl_tls_name(struct gcl_tls *tls, char name[GCL_TLS_NAME_MAX + 1]);

/** gcl_tls_receive() - Return: bytes, 0 when the other side said that nothing more comes, -EAGAIN,
 * -EPIPE when the connection ended without that, -EPROTO and @reason. */
ssize_t gcl_tls_receive(struct gcl_tls *tls, void *data, size_t size, char *reason,
			size_t reason_size);

/** gcl_tls_has_room() - may gcl_tls_send() be called? */
bool gcl_tls_has_room(const struct gcl_tls *tls);

/** gcl_tls_send() - GCL_TLS_SEND_MAX bytes at most. Return: 0 or -EPROTO. */
int gcl_tls_send(struct gcl_tls *tls, const void *data, size_t size);

/** gcl_tls_flush() - give the socket what it takes. Return: 0, -EAGAIN when something is left, or
 * -EPIPE. */
int gcl_tls_flush(struct gcl_tls *tls);

/** gcl_tls_bye() - tell the other side that nothing more comes; flush afterwards. */
void gcl_tls_bye(struct gcl_tls *tls);

/* ------------------------------------------------------------ revoked certificates (revoked.c) */

/** gcl_tls_revoked_load() - take the list of @files into account, for credentials with
 * certificates. Return: 0, or -EINVAL and @reason. */
int gcl_tls_revoked_load(struct gcl_tls_credentials *credentials, const struct gcl_tls_files *files,
			 char *reason, size_t reason_size);

/** gcl_tls_mark() - of a server: that of the client's certificate; zeroes if it has shown none.
 * Return: 0 or -EPROTO. */
int gcl_tls_mark(const struct gcl_tls *tls, uint8_t mark[GCL_TLS_MARK]);

/** gcl_tls_revoked() - is it in the list? */
bool gcl_tls_revoked(const struct gcl_tls_credentials *credentials,
		     const uint8_t mark[GCL_TLS_MARK]);

#endif
