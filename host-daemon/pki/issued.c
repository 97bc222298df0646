// SPDX-License-Identifier: MIT
/*
 * Copies of the certificates that were made, and the list of them for users.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "pki.h"

#define SUFFIX ".pem"

#define FILE_NAME_MAX (2 * GCL_PKI_SERIAL_MAX + sizeof SUFFIX)

void gcl_pki_serial_text(const struct gcl_pki_issued *issued, char text[2 * GCL_PKI_SERIAL_MAX + 1])
{
	for (size_t i = 0; i < issued->serial_size; i++)
		sprintf(text + 2 * i, "%02x", issued->serial[i]);
	text[2 * issued->serial_size] = '\0';
}

int gcl_pki_issued_of(gnutls_x509_crt_t certificate, struct gcl_pki_issued *issued)
{
	size_t size = sizeof issued->name;

	*issued = (struct gcl_pki_issued){.certificate = certificate,
					  .serial_size = sizeof issued->serial};
	if (gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, 0,
					  issued->name, &size) < 0)
		snprintf(issued->name, sizeof issued->name, "?");
	return gnutls_x509_crt_get_serial(certificate, issued->serial, &issued->serial_size);
}

/* ------------------------------------------------------------ keeping them */

static int place_of(const char *folder, gnutls_x509_crt_t certificate, char place[PATH_MAX],
		    char name[FILE_NAME_MAX])
{
	char serial[2 * GCL_PKI_SERIAL_MAX + 1];
	struct gcl_pki_issued issued;
	int err = gcl_pki_issued_of(certificate, &issued);

	if (err < 0)
		return gcl_pki_failed_tls("read the certificate", err);
	gcl_pki_serial_text(&issued, serial);
	snprintf(name, FILE_NAME_MAX, "%s" SUFFIX, serial);
	return gcl_pki_path(place, folder, GCL_PKI_ISSUED);
}

int gcl_pki_issued_note(const char *folder, gnutls_x509_crt_t certificate)
{
	char place[PATH_MAX], name[FILE_NAME_MAX];
	_cleanup_datum_ gnutls_datum_t text = {0};
	int err = place_of(folder, certificate, place, name);

	if (err == 0)
		err = gcl_pki_folder_make(place);
	if (err)
		return err;
	err = gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &text);
	if (err < 0)
		return gcl_pki_failed_tls("write the certificate", err);
	/* The same one may be there already. */
	return gcl_pki_replace(place, name, &text);
}

void gcl_pki_issued_forget(const char *folder, gnutls_x509_crt_t certificate)
{
	char place[PATH_MAX], name[FILE_NAME_MAX];

	if (place_of(folder, certificate, place, name) == 0)
		gcl_pki_remove(place, name);
}

static int file_each(const char *place, const char *name,
		     int (*each)(const struct gcl_pki_issued *issued, void *data), void *data)
{
	_cleanup_datum_ gnutls_datum_t text = {0};
	struct gcl_pki_issued issued = {0};
	gnutls_x509_crt_t certificate;
	char path[PATH_MAX];
	int err = gcl_pki_path(path, place, name);

	if (err)
		return err;
	err = gcl_pki_read(path, &text);
	if (err)
		return gcl_pki_failed("read", path, err);
	if (gnutls_x509_crt_init(&certificate) < 0)
		return -ENOMEM;
	err = gnutls_x509_crt_import(certificate, &text, GNUTLS_X509_FMT_PEM);
	if (err == 0)
		err = gcl_pki_issued_of(certificate, &issued);
	err = err < 0 ? gcl_pki_failed_tls(path, err) : each(&issued, data);
	gnutls_x509_crt_deinit(certificate);
	return err;
}

static int entry_wanted(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return length > strlen(SUFFIX) &&
	       strcmp(entry->d_name + length - strlen(SUFFIX), SUFFIX) == 0;
}

int gcl_pki_issued_each(const char *folder,
			int (*each)(const struct gcl_pki_issued *issued, void *data), void *data)
{
	struct dirent **entries = NULL;
	char place[PATH_MAX];
	int err = gcl_pki_path(place, folder, GCL_PKI_ISSUED), count;

	if (err)
		return err;
	count = scandir(place, &entries, entry_wanted, alphasort);
	if (count < 0 && errno != ENOENT)
		return gcl_pki_failed("read", place, -errno);
	for (int i = 0; i < count; i++) {
		if (err == 0)
			err = file_each(place, entries[i]->d_name, each, data);
		free(entries[i]);
	}
	free(entries);
	return err;
}

/* ------------------------------------------------------------ for users */

/* What it is for. */
static const char *purpose_of(gnutls_x509_crt_t certificate)
{
	char purpose[64] = "";
	size_t size = sizeof purpose;

	gnutls_x509_crt_get_key_purpose_oid(certificate, 0, purpose, &size, NULL);
	if (strcmp(purpose, GNUTLS_KP_TLS_WWW_SERVER) == 0)
		return "server";
	return strcmp(purpose, GNUTLS_KP_TLS_WWW_CLIENT) == 0 ? "client" : "?";
}

static void day_text(time_t when, char text[16])
{
	struct tm parts;

	if (!gmtime_r(&when, &parts) || !strftime(text, 16, "%Y-%m-%d", &parts))
		snprintf(text, 16, "?");
}

static int line_print(const struct gcl_pki_issued *issued, void *data)
{
	time_t until = gnutls_x509_crt_get_expiration_time(issued->certificate);
	time_t revoked = gcl_pki_crl_has(data, issued);
	char serial[2 * GCL_PKI_SERIAL_MAX + 1], day[16], state[32] = "good";

	day_text(revoked, day);
	if (revoked)
		snprintf(state, sizeof state, "revoked %s", day);
	else if (until < time(NULL))
		snprintf(state, sizeof state, "expired");
	day_text(until, day);
	gcl_pki_serial_text(issued, serial);
	printf("%-24s %-7s %-11s %-18s %s\n", issued->name, purpose_of(issued->certificate), day,
	       state, serial);
	return 0;
}

int gcl_pki_list(const struct gcl_pki_wish *wish)
{
	gnutls_x509_crl_t crl;
	int err = gcl_pki_crl_load(wish->folder, &crl);

	if (err)
		return err;
	printf("%-24s %-7s %-11s %-18s %s\n", "NAME", "FOR", "UNTIL", "STATE", "SERIAL");
	err = gcl_pki_issued_each(wish->folder, line_print, crl);
	gnutls_x509_crl_deinit(crl);
	return err;
}
