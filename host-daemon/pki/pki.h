/* SPDX-License-Identifier: MIT */
/*
 * guestcl pki: a small certificate authority, for those who have none.
 *
 * Theory of operation. All is in one folder: the authority (ca.pem, ca-key.pem), and below servers/
 * and clients/ a folder for each machine with the three files that it is to have: ca.pem,
 * certificate.pem, key.pem. Nothing is ever overwritten, each file is for its owner alone, and what
 * can't be made whole is not made at all. Keys are ECDSA over P-256.
 *
 * A copy of each certificate stays in issued/, by its serial number: that is what is known when the
 * machine's own files are gone. crl.pem lists the revoked ones, is made with the authority, and is
 * the one file that is replaced. It is good for as long as the authority, unless --days says less:
 * it is made anew with each revocation, and who brings it to servers by hand needn't do so for
 * nothing.
 */
#ifndef GCL_PKI_H
#define GCL_PKI_H

#include <gnutls/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define GCL_PKI_FOLDER "/etc/guestcl/pki"

/* Files of each machine's folder. */
#define GCL_PKI_CA	    "ca.pem"
#define GCL_PKI_CA_KEY	    "ca-key.pem"
#define GCL_PKI_CERTIFICATE "certificate.pem"
#define GCL_PKI_KEY	    "key.pem"
#define GCL_PKI_PSK	    "psk"
#define GCL_PKI_CRL	    "crl.pem"
#define GCL_PKI_ISSUED	    "issued"

#define GCL_PKI_NAMES_MAX 32u

/* Days that certificates are good for. */
#define GCL_PKI_DAYS	 825u
#define GCL_PKI_DAYS_CA	 3650u
#define GCL_PKI_DAYS_MAX 36500u

/* A certificate and its key. */
struct gcl_pki_pair {
	gnutls_x509_crt_t certificate;
	gnutls_x509_privkey_t key;
};

/* What certificates are asked for. */
struct gcl_pki_wish {
	const char *folder;
	const char *const *names; /* the first is the common name */
	size_t name_count;
	unsigned days;
};

/* All return 0, or -errno; errors are on stderr. */

/** gcl_pki_init() - make the authority. */
int gcl_pki_init(const struct gcl_pki_wish *wish);

/** gcl_pki_server() - a certificate for a server that is known by all of the names, which are those
 * of DNS, or addresses. */
int gcl_pki_server(const struct gcl_pki_wish *wish);

/** gcl_pki_client() - a certificate for one VM or machine. */
int gcl_pki_client(const struct gcl_pki_wish *wish);

/** gcl_pki_psk() - a pre-shared key in place of a certificate. */
int gcl_pki_psk(const struct gcl_pki_wish *wish);

/** gcl_pki_revoke() - certificates of names, or in files (what has a "/" in it), are good no more.
 * The list is signed anew in any case. */
int gcl_pki_revoke(const struct gcl_pki_wish *wish);

/** gcl_pki_list() - print what was made. */
int gcl_pki_list(const struct gcl_pki_wish *wish);

/* ------------------------------------------------------------ what was made (issued.c) */

#define GCL_PKI_SERIAL_MAX 64u

struct gcl_pki_issued {
	gnutls_x509_crt_t certificate;
	char name[256]; /* "?": it has none */
	unsigned char serial[GCL_PKI_SERIAL_MAX];
	size_t serial_size;
};

/** gcl_pki_issued_note() - keep a copy. Return: 0 or -errno; errors are on stderr. */
int gcl_pki_issued_note(const char *folder, gnutls_x509_crt_t certificate);

/** gcl_pki_issued_forget() - what was noted was not made after all. */
void gcl_pki_issued_forget(const char *folder, gnutls_x509_crt_t certificate);

/** gcl_pki_issued_of() - what is known of a certificate, which is lent. Return: 0 or GnuTLS's
 * error. */
int gcl_pki_issued_of(gnutls_x509_crt_t certificate, struct gcl_pki_issued *issued);

/** gcl_pki_issued_each() - call for each that was noted, until one returns an error. Return: that,
 * or 0. */
int gcl_pki_issued_each(const char *folder,
			int (*each)(const struct gcl_pki_issued *issued, void *data), void *data);

/** gcl_pki_serial_text() - in hex. */
void gcl_pki_serial_text(const struct gcl_pki_issued *issued,
			 char text[2 * GCL_PKI_SERIAL_MAX + 1]);

/* ------------------------------------------------------------ revoked ones (revoke.c) */

/** gcl_pki_crl_make() - a list with nothing in it. Return: 0 or -errno; errors are on stderr. */
int gcl_pki_crl_make(const char *folder, const struct gcl_pki_pair *ca);

/** gcl_pki_crl_load() - the list; an empty one if there is none. Return: 0 and a list that the
 * caller frees, or -errno; errors are on stderr. */
int gcl_pki_crl_load(const char *folder, gnutls_x509_crl_t *crl);

/** gcl_pki_crl_has() - Return: since when it is in the list; 0: it isn't. */
time_t gcl_pki_crl_has(gnutls_x509_crl_t crl, const struct gcl_pki_issued *issued);

/* ------------------------------------------------------------ files (files.c) */

/* Both print what can't be done, and return -errno. */
int gcl_pki_failed(const char *what, const char *path, int err);
int gcl_pki_failed_tls(const char *what, int err);

/* What follows returns 0 or -errno; but for gcl_pki_read() errors are on stderr. */

/** gcl_pki_path() - @path: PATH_MAX bytes */
int gcl_pki_path(char *path, const char *folder, const char *name);

/** gcl_pki_folder_make() - with those above it. */
int gcl_pki_folder_make(const char *path);

/** gcl_pki_files_make() - all files of the folder or none; none of them was there. */
int gcl_pki_files_make(const char *folder, const char *const *names, const gnutls_datum_t *data,
		       size_t count);

/** gcl_pki_replace() - a file, whole or not at all. */
int gcl_pki_replace(const char *folder, const char *name, const gnutls_datum_t *data);

void gcl_pki_remove(const char *folder, const char *name);

/** gcl_pki_read() - @data is the caller's to free. */
int gcl_pki_read(const char *path, gnutls_datum_t *data);

/** gcl_pki_lock() - wait until no other one changes the list. Return: a descriptor, at whose end
 * the next may, or -1. */
int gcl_pki_lock(const char *folder);

int gcl_pki_authority_load(const char *folder, struct gcl_pki_pair *ca);

void gcl_pki_datum_fini(gnutls_datum_t *data);
#define _cleanup_datum_ _cleanup_(gcl_pki_datum_fini)

/* ------------------------------------------------------------ certificates (certificate.c) */

enum gcl_pki_use { GCL_PKI_AUTHORITY, GCL_PKI_SERVER, GCL_PKI_CLIENT, GCL_PKI_ANY };

/**
 * gcl_pki_pair_make() - a key, and a certificate for it.
 * @issuer: who signs; NULL: it signs itself
 *
 * Return: 0, or GnuTLS's error.
 */
int gcl_pki_pair_make(struct gcl_pki_pair *pair, enum gcl_pki_use use,
		      const struct gcl_pki_wish *wish, const struct gcl_pki_pair *issuer);

void gcl_pki_pair_fini(struct gcl_pki_pair *pair);

/** gcl_pki_name_valid() - whether a certificate for that use may have it. */
bool gcl_pki_name_valid(enum gcl_pki_use use, const char *name);

#endif
