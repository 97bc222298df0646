// SPDX-License-Identifier: MIT
/*
 * What is made: the authority, servers, clients, keys.
 */
#include "pki.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

/* Of a pre-shared key. */
#define PSK_BYTES 32u

/* @ca: a third file, or NULL. */
static int pair_save(const struct gcl_pki_pair *pair, const char *folder, const char *key_name,
		     const char *certificate_name, const struct gcl_pki_pair *ca)
{
	_cleanup_datum_ gnutls_datum_t key = {0};
	_cleanup_datum_ gnutls_datum_t certificate = {0};
	_cleanup_datum_ gnutls_datum_t ca_certificate = {0};
	const char *const names[] = {key_name, certificate_name, GCL_PKI_CA};
	int err = gnutls_x509_privkey_export2_pkcs8(pair->key, GNUTLS_X509_FMT_PEM, NULL, 0, &key);

	if (err == 0)
		err = gnutls_x509_crt_export2(pair->certificate, GNUTLS_X509_FMT_PEM, &certificate);
	if (err == 0 && ca)
		err = gnutls_x509_crt_export2(ca->certificate, GNUTLS_X509_FMT_PEM,
					      &ca_certificate);
	if (err < 0)
		return gcl_pki_failed_tls("write the certificate", err);
	return gcl_pki_files_make(folder, names,
				  (const gnutls_datum_t[]){key, certificate, ca_certificate},
				  ca ? 3 : 2);
}

/* ------------------------------------------------------------ what users ask for */

int gcl_pki_init(const struct gcl_pki_wish *wish)
{
	_cleanup_(gcl_pki_pair_fini) struct gcl_pki_pair ca = {0};
	int err = gcl_pki_pair_make(&ca, GCL_PKI_AUTHORITY, wish, NULL);

	if (err < 0)
		return gcl_pki_failed_tls("make the authority", err);
	err = gcl_pki_folder_make(wish->folder);
	if (err == 0)
		err = pair_save(&ca, wish->folder, GCL_PKI_CA_KEY, GCL_PKI_CA, NULL);
	if (err == 0)
		err = gcl_pki_crl_make(wish->folder, &ca);
	if (err)
		return err;
	printf("The authority \"%s\" is in %s.\n"
	       "Who has its " GCL_PKI_CA_KEY " can make servers and clients that are trusted: "
	       "keep it to yourself.\n",
	       wish->names[0], wish->folder);
	return 0;
}

/* The folder of one machine's files, which is made. */
static int machine_folder(const struct gcl_pki_wish *wish, const char *kind, char *folder)
{
	int n = snprintf(folder, PATH_MAX, "%s/%s/%s", wish->folder, kind, wish->names[0]);

	return n < PATH_MAX ? gcl_pki_folder_make(folder)
			    : gcl_pki_failed("use", wish->folder, -ENAMETOOLONG);
}

static int machine_make(const struct gcl_pki_wish *wish, enum gcl_pki_use use, char *folder)
{
	_cleanup_(gcl_pki_pair_fini) struct gcl_pki_pair ca = {0};
	_cleanup_(gcl_pki_pair_fini) struct gcl_pki_pair pair = {0};
	int err = gcl_pki_authority_load(wish->folder, &ca);

	if (err)
		return err;
	err = gcl_pki_pair_make(&pair, use, wish, &ca);
	if (err < 0)
		return gcl_pki_failed_tls("make the certificate", err);
	err = machine_folder(wish, use == GCL_PKI_SERVER ? "servers" : "clients", folder);
	if (err == 0)
		err = gcl_pki_issued_note(wish->folder, pair.certificate);
	if (err)
		return err;
	err = pair_save(&pair, folder, GCL_PKI_KEY, GCL_PKI_CERTIFICATE, &ca);
	if (err)
		gcl_pki_issued_forget(wish->folder, pair.certificate);
	return err;
}

int gcl_pki_server(const struct gcl_pki_wish *wish)
{
	char folder[PATH_MAX];
	int err = machine_make(wish, GCL_PKI_SERVER, folder);

	if (err)
		return err;
	printf("In guestcld.conf of the server, with these files there:\n"
	       "\n"
	       "tls-certificate = %1$s/" GCL_PKI_CERTIFICATE "\n"
	       "tls-key = %1$s/" GCL_PKI_KEY "\n"
	       "tls-ca = %1$s/" GCL_PKI_CA "\n"
	       "tls-crl = %2$s/" GCL_PKI_CRL "\n",
	       folder, wish->folder);
	return 0;
}

int gcl_pki_client(const struct gcl_pki_wish *wish)
{
	char folder[PATH_MAX];
	int err = machine_make(wish, GCL_PKI_CLIENT, folder);

	if (err)
		return err;
	printf("The server knows who has the files of %s as \"%s\".\n"
	       "Copy them to /etc/guestcl/tls there, or to a folder that GUESTCL_TLS names.\n",
	       folder, wish->names[0]);
	return 0;
}

static int psk_line(const char *name, gnutls_datum_t *line)
{
	unsigned char key[PSK_BYTES];
	char hex[2 * PSK_BYTES + 1];
	size_t size = sizeof hex;
	int err = gnutls_rnd(GNUTLS_RND_KEY, key, sizeof key);

	if (err == 0)
		err = gnutls_hex_encode(&(gnutls_datum_t){key, sizeof key}, hex, &size);
	gnutls_memset(key, 0, sizeof key);
	if (err < 0)
		return gcl_pki_failed_tls("make a key", err);
	line->data = gnutls_malloc(strlen(name) + sizeof hex + 2);
	if (!line->data)
		return -ENOMEM;
	line->size = (unsigned)sprintf((char *)line->data, "%s:%s\n", name, hex);
	gnutls_memset(hex, 0, sizeof hex);
	return 0;
}

int gcl_pki_psk(const struct gcl_pki_wish *wish)
{
	_cleanup_datum_ gnutls_datum_t line = {0};
	const char *const names[] = {GCL_PKI_PSK};
	char folder[PATH_MAX];
	int err = psk_line(wish->names[0], &line);

	if (err == 0)
		err = machine_folder(wish, "clients", folder);
	if (err == 0)
		err = gcl_pki_files_make(folder, names, &line, 1);
	if (err)
		return err;
	printf("The server knows who has the line of %1$s/" GCL_PKI_PSK " as \"%2$s\".\n"
	       "Add it to the file that tls-psk-file of its guestcld.conf names, and copy the "
	       "file\n"
	       "to /etc/guestcl/tls of the client, or to a folder that GUESTCL_TLS names.\n",
	       folder, wish->names[0]);
	return 0;
}
