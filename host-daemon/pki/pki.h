/* SPDX-License-Identifier: MIT */
/*
 * guestcl pki: a small certificate authority, for those who have none.
 *
 * Theory of operation. All is in one folder: the authority (ca.pem, ca-key.pem), and below servers/
 * and clients/ a folder for each machine with the three files that it is to have: ca.pem,
 * certificate.pem, key.pem. Nothing is ever overwritten, each file is for its owner alone, and what
 * can't be made whole is not made at all. Keys are ECDSA over P-256.
 */
#ifndef GCL_PKI_H
#define GCL_PKI_H

#include <gnutls/x509.h>
#include <stdbool.h>
#include <stddef.h>

#define GCL_PKI_FOLDER "/etc/guestcl/pki"

/* Files of each machine's folder. */
#define GCL_PKI_CA	    "ca.pem"
#define GCL_PKI_CA_KEY	    "ca-key.pem"
#define GCL_PKI_CERTIFICATE "certificate.pem"
#define GCL_PKI_KEY	    "key.pem"
#define GCL_PKI_PSK	    "psk"

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

/* ------------------------------------------------------------ certificates (certificate.c) */

enum gcl_pki_use { GCL_PKI_AUTHORITY, GCL_PKI_SERVER, GCL_PKI_CLIENT };

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
