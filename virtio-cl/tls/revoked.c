// SPDX-License-Identifier: MIT
/*
 * Lists of revoked certificates (CRLs).
 *
 * GnuTLS looks at the list in each handshake. What is kept beside it are the marks of the
 * certificates in the list, by which a session that runs already is found.
 *
 * A list that should have been followed by another one stays in force: what it revokes is revoked,
 * and to refuse everybody because a file is late would be an outage of its own. Who uses it is
 * told.
 */
#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "link.h"

#define SERIAL_MAX 64u

/* What makes a list none of the authority's; its dates don't. */
#define FORGED                                                                                     \
	(GNUTLS_CERT_SIGNER_NOT_FOUND | GNUTLS_CERT_SIGNER_NOT_CA |                                \
	 GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE | GNUTLS_CERT_INSECURE_ALGORITHM |                 \
	 GNUTLS_CERT_SIGNATURE_FAILURE)

struct lists {
	gnutls_x509_crl_t *lists;
	unsigned count;
};

struct authorities {
	gnutls_x509_crt_t *list;
	unsigned count;
};

static void lists_fini(struct lists *lists)
{
	for (unsigned i = 0; i < lists->count; i++)
		gnutls_x509_crl_deinit(lists->lists[i]);
	gnutls_free(lists->lists);
}

static void authorities_fini(struct authorities *authorities)
{
	for (unsigned i = 0; i < authorities->count; i++)
		gnutls_x509_crt_deinit(authorities->list[i]);
	gnutls_free(authorities->list);
}

/* ------------------------------------------------------------ marks */

/* An authority gives no serial number twice. Return: 0, or GnuTLS's error. */
static int mark_make(const gnutls_datum_t *issuer, const void *serial, size_t serial_size,
		     uint8_t mark[GCL_TLS_MARK])
{
	gnutls_hash_hd_t hash;
	int err = gnutls_hash_init(&hash, GNUTLS_DIG_SHA256);

	if (err < 0)
		return err;
	err = gnutls_hash(hash, issuer->data, issuer->size);
	if (err == 0)
		err = gnutls_hash(hash, serial, serial_size);
	gnutls_hash_deinit(hash, mark);
	return err;
}

int gcl_tls_mark(const struct gcl_tls *tls, uint8_t mark[GCL_TLS_MARK])
{
	const gnutls_datum_t *chain;
	gnutls_datum_t issuer = {0};
	gnutls_x509_crt_t certificate;
	uint8_t serial[SERIAL_MAX];
	size_t size = sizeof serial;
	unsigned count = 0;
	int err;

	memset(mark, 0, GCL_TLS_MARK);
	if (gnutls_auth_client_get_type(tls->session) != GNUTLS_CRD_CERTIFICATE)
		return 0;
	chain = gnutls_certificate_get_peers(tls->session, &count);
	if (!chain || !count || gnutls_x509_crt_init(&certificate) < 0)
		return -EPROTO;
	err = gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER);
	if (err == 0)
		err = gnutls_x509_crt_get_serial(certificate, serial, &size);
	if (err == 0)
		err = gnutls_x509_crt_get_raw_issuer_dn(certificate, &issuer);
	if (err == 0)
		err = mark_make(&issuer, serial, size, mark);
	gnutls_free(issuer.data);
	gnutls_x509_crt_deinit(certificate);
	return err < 0 ? -EPROTO : 0;
}

static int marks_compare(const void *one, const void *other)
{
	return memcmp(one, other, GCL_TLS_MARK);
}

bool gcl_tls_revoked(const struct gcl_tls_credentials *credentials,
		     const uint8_t mark[GCL_TLS_MARK])
{
	static const uint8_t none[GCL_TLS_MARK];

	return credentials->revoked_count && memcmp(mark, none, sizeof none) != 0 &&
	       bsearch(mark, credentials->revoked, credentials->revoked_count, GCL_TLS_MARK,
		       marks_compare);
}

/* ------------------------------------------------------------ reading a list */

static int list_marks(struct gcl_tls_credentials *credentials, gnutls_x509_crl_t list)
{
	gnutls_x509_crl_iter_t it = NULL;
	gnutls_datum_t issuer = {0};
	uint8_t serial[SERIAL_MAX];
	size_t size = sizeof serial;
	int err = gnutls_x509_crl_get_raw_issuer_dn(list, &issuer);

	while (err == 0) {
		err = gnutls_x509_crl_iter_crt_serial(list, &it, serial, &size, NULL);
		if (err == 0)
			err = mark_make(&issuer, serial, size,
					credentials->revoked[credentials->revoked_count]);
		credentials->revoked_count += err == 0;
		size = sizeof serial;
	}
	gnutls_x509_crl_iter_deinit(it);
	gnutls_free(issuer.data);
	return err == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE ? 0 : err;
}

static int marks_make(struct gcl_tls_credentials *credentials, const struct lists *lists)
{
	size_t count = 0;
	int err = 0;

	for (unsigned i = 0; i < lists->count; i++)
		count += (size_t)GCL_MAX(gnutls_x509_crl_get_crt_count(lists->lists[i]), 0);
	/* One more: where an entry that isn't there is looked for. */
	credentials->revoked = calloc(count + 1, GCL_TLS_MARK);
	if (!credentials->revoked)
		return GNUTLS_E_MEMORY_ERROR;
	for (unsigned i = 0; err == 0 && i < lists->count; i++)
		err = list_marks(credentials, lists->lists[i]);
	qsort(credentials->revoked, credentials->revoked_count, GCL_TLS_MARK, marks_compare);
	return err;
}

/* Is it by one of those who vouch for the other side? */
static bool list_vouched(gnutls_x509_crl_t list, const struct authorities *authorities)
{
	unsigned status = 0;

	return gnutls_x509_crl_verify(list, authorities->list, authorities->count, 0, &status) ==
		       0 &&
	       !(status & FORGED);
}

static void until_note(struct gcl_tls_credentials *credentials, gnutls_x509_crl_t list)
{
	time_t until = gnutls_x509_crl_get_next_update(list);

	if (until != (time_t)-1 &&
	    (!credentials->revoked_until || until < credentials->revoked_until))
		credentials->revoked_until = until;
}

static int failed(char *reason, size_t size, const char *what)
{
	snprintf(reason, size, "the list of revoked certificates (crl.pem): %s", what);
	return -EINVAL;
}

int gcl_tls_revoked_load(struct gcl_tls_credentials *credentials, const struct gcl_tls_files *files,
			 char *reason, size_t reason_size)
{
	_cleanup_(authorities_fini) struct authorities authorities = {0};
	_cleanup_(lists_fini) struct lists lists = {0};
	int err = gnutls_x509_crt_list_import2(&authorities.list, &authorities.count, &files->ca,
					       GNUTLS_X509_FMT_PEM, 0);

	if (err < 0) {
		authorities.count = 0;
		return failed(reason, reason_size, gnutls_strerror(err));
	}
	err = gnutls_x509_crl_list_import2(&lists.lists, &lists.count, &files->crl,
					   GNUTLS_X509_FMT_PEM, 0);
	if (err < 0) {
		lists.count = 0;
		return failed(reason, reason_size, gnutls_strerror(err));
	}
	for (unsigned i = 0; i < lists.count; i++) {
		if (!list_vouched(lists.lists[i], &authorities))
			return failed(reason, reason_size,
				      "it is not by the authority whose certificate is used");
		until_note(credentials, lists.lists[i]);
	}
	err = gnutls_certificate_set_x509_crl(credentials->certificates, lists.lists,
					      (int)lists.count);
	if (err >= 0)
		err = marks_make(credentials, &lists);
	return err < 0 ? failed(reason, reason_size, gnutls_strerror(err)) : 0;
}
