// SPDX-License-Identifier: MIT
/*
 * The list of revoked certificates (CRL), which the authority signs.
 */
#include <errno.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "pki.h"

#define DAY_SECONDS  86400
#define NUMBER_BYTES 8

/* Clocks differ. */
#define EARLIER_SECONDS 3600

static void cleanup_crl(gnutls_x509_crl_t *crl)
{
	if (*crl)
		gnutls_x509_crl_deinit(*crl);
}

static void cleanup_certificate(gnutls_x509_crt_t *certificate)
{
	if (*certificate)
		gnutls_x509_crt_deinit(*certificate);
}

/* ------------------------------------------------------------ the file */

int gcl_pki_crl_load(const char *folder, gnutls_x509_crl_t *crl)
{
	_cleanup_datum_ gnutls_datum_t text = {0};
	char path[PATH_MAX];
	int err = gcl_pki_path(path, folder, GCL_PKI_CRL);

	if (err)
		return err;
	err = gcl_pki_read(path, &text);
	if (err && err != -ENOENT)
		return gcl_pki_failed("read", path, err);
	if (gnutls_x509_crl_init(crl) < 0)
		return -ENOMEM;
	if (err == -ENOENT)
		return 0;
	err = gnutls_x509_crl_import(*crl, &text, GNUTLS_X509_FMT_PEM);
	if (err < 0) {
		gnutls_x509_crl_deinit(*crl);
		*crl = NULL;
		return gcl_pki_failed_tls("read the list of revoked certificates", err);
	}
	return 0;
}

time_t gcl_pki_crl_has(gnutls_x509_crl_t crl, const struct gcl_pki_issued *issued)
{
	unsigned char serial[GCL_PKI_SERIAL_MAX];
	gnutls_x509_crl_iter_t it = NULL;
	size_t size = sizeof serial;
	time_t since = 0, found = 0;

	while (!found && gnutls_x509_crl_iter_crt_serial(crl, &it, serial, &size, &since) == 0) {
		if (size == issued->serial_size && memcmp(serial, issued->serial, size) == 0)
			found = since;
		size = sizeof serial;
	}
	gnutls_x509_crl_iter_deinit(it);
	return found;
}

/* Each list has a greater number than the one before. */
static int number_set(gnutls_x509_crl_t crl)
{
	unsigned char number[NUMBER_BYTES] = {0}, before[NUMBER_BYTES];
	size_t size = sizeof before;

	if (gnutls_x509_crl_get_number(crl, before, &size, NULL) == 0 && size <= sizeof number)
		memcpy(number + sizeof number - size, before, size);
	for (size_t i = sizeof number; i-- > 0 && ++number[i] == 0;)
		;
	return gnutls_x509_crl_set_number(crl, number, sizeof number);
}

static int crl_sign(gnutls_x509_crl_t crl, const struct gcl_pki_pair *ca, unsigned days)
{
	time_t now = time(NULL);
	time_t until = days ? now + (time_t)days * DAY_SECONDS
			    : gnutls_x509_crt_get_expiration_time(ca->certificate);
	unsigned char id[64];
	size_t size = sizeof id;
	int err = gnutls_x509_crl_set_version(crl, 2);

	if (err == 0)
		err = gnutls_x509_crl_set_this_update(crl, now - EARLIER_SECONDS);
	if (err == 0)
		err = gnutls_x509_crl_set_next_update(crl, until);
	if (err == 0)
		err = number_set(crl);
	if (err == 0)
		err = gnutls_x509_crt_get_key_id(ca->certificate, 0, id, &size);
	if (err == 0)
		err = gnutls_x509_crl_set_authority_key_id(crl, id, size);
	return err ? err
		   : gnutls_x509_crl_sign2(crl, ca->certificate, ca->key, GNUTLS_DIG_SHA256, 0);
}

static int crl_save(gnutls_x509_crl_t crl, const char *folder, const struct gcl_pki_pair *ca,
		    unsigned days)
{
	_cleanup_datum_ gnutls_datum_t text = {0};
	int err = crl_sign(crl, ca, days);

	if (err == 0)
		err = gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &text);
	if (err < 0)
		return gcl_pki_failed_tls("sign the list of revoked certificates", err);
	return gcl_pki_replace(folder, GCL_PKI_CRL, &text);
}

int gcl_pki_crl_make(const char *folder, const struct gcl_pki_pair *ca)
{
	_cleanup_(cleanup_crl) gnutls_x509_crl_t crl = NULL;

	if (gnutls_x509_crl_init(&crl) < 0)
		return -ENOMEM;
	return crl_save(crl, folder, ca, 0);
}

/* ------------------------------------------------------------ revoking */

struct revoking {
	gnutls_x509_crl_t crl;
	const struct gcl_pki_pair *ca;
	const char *name; /* of those that are meant */
	unsigned found;
};

static int certificate_revoke(struct revoking *revoking, const struct gcl_pki_issued *issued)
{
	char serial[2 * GCL_PKI_SERIAL_MAX + 1];
	int err;

	gcl_pki_serial_text(issued, serial);
	revoking->found++;
	if (gcl_pki_crl_has(revoking->crl, issued)) {
		printf("The certificate %s of \"%s\" was revoked before.\n", serial, issued->name);
		return 0;
	}
	err = gnutls_x509_crl_set_crt_serial(revoking->crl, issued->serial, issued->serial_size,
					     time(NULL));
	if (err < 0)
		return gcl_pki_failed_tls("revoke the certificate", err);
	printf("Revoked: the certificate %s of \"%s\".\n", serial, issued->name);
	return 0;
}

static int issued_revoke(const struct gcl_pki_issued *issued, void *data)
{
	struct revoking *revoking = data;

	if (strcmp(issued->name, revoking->name) != 0)
		return 0;
	return certificate_revoke(revoking, issued);
}

static int name_revoke(struct revoking *revoking, const char *folder, const char *name)
{
	int err;

	revoking->name = name;
	revoking->found = 0;
	err = gcl_pki_issued_each(folder, issued_revoke, revoking);
	if (err || revoking->found)
		return err;
	fprintf(stderr,
		"guestcl pki: %s has made no certificate called \"%s\": \"guestcl pki list\" shows "
		"what there is; a file is told by a \"/\", as in ./%s\n",
		folder, name, name);
	return -ENOENT;
}

/* It may have been made elsewhere, with this authority's key: then it is noted now. */
static int file_revoke(struct revoking *revoking, const char *folder, const char *path)
{
	_cleanup_datum_ gnutls_datum_t text = {0};
	_cleanup_(cleanup_certificate) gnutls_x509_crt_t certificate = NULL;
	struct gcl_pki_issued issued = {0};
	unsigned status = 0;
	int err = gcl_pki_read(path, &text);

	if (err)
		return gcl_pki_failed("read", path, err);
	err = gnutls_x509_crt_init(&certificate);
	if (err == 0)
		err = gnutls_x509_crt_import(certificate, &text, GNUTLS_X509_FMT_PEM);
	if (err == 0)
		err = gnutls_x509_crt_verify(certificate, &revoking->ca->certificate, 1,
					     GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status);
	if (err == 0)
		err = gcl_pki_issued_of(certificate, &issued);
	if (err < 0)
		return gcl_pki_failed_tls(path, err);
	if (status) {
		fprintf(stderr, "guestcl pki: %s is not by the authority of %s\n", path, folder);
		return -EINVAL;
	}
	err = gcl_pki_issued_note(folder, certificate);
	return err ? err : certificate_revoke(revoking, &issued);
}

int gcl_pki_revoke(const struct gcl_pki_wish *wish)
{
	_cleanup_(gcl_pki_pair_fini) struct gcl_pki_pair ca = {0};
	_cleanup_(cleanup_crl) gnutls_x509_crl_t crl = NULL;
	_cleanup_close_ int lock = gcl_pki_lock(wish->folder);
	struct revoking revoking = {.ca = &ca};
	int err = gcl_pki_authority_load(wish->folder, &ca);

	(void)lock; /* until the end */
	if (err == 0)
		err = gcl_pki_crl_load(wish->folder, &crl);
	revoking.crl = crl;
	for (size_t i = 0; err == 0 && i < wish->name_count; i++) {
		if (strchr(wish->names[i], '/'))
			err = file_revoke(&revoking, wish->folder, wish->names[i]);
		else
			err = name_revoke(&revoking, wish->folder, wish->names[i]);
	}
	if (err == 0)
		err = crl_save(crl, wish->folder, &ca, wish->days);
	if (err) {
		fprintf(stderr, "guestcl pki: nothing was revoked\n");
		return err;
	}
	printf("The list is %s/" GCL_PKI_CRL ". On each server: copy it to where tls-crl of its "
	       "guestcld.conf says,\nand \"systemctl reload guestcld\".\n",
	       wish->folder);
	return 0;
}
