// SPDX-License-Identifier: MIT
/*
 * What one side shows and what it takes: certificates, a list of revoked ones, pre-shared keys; and
 * the files that these are in.
 */
#include <errno.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link.h"

/* The largest file that is read. */
#define FILE_BYTES (1u << 20)

/* ------------------------------------------------------------ files */

int gcl_tls_file_read(int fd, gnutls_datum_t *data)
{
	ssize_t n, size = 0;

	data->data = malloc(FILE_BYTES);
	if (!data->data)
		return -ENOMEM;
	/* The place in the file is not this process's alone. */
	while ((n = pread(fd, data->data + size, FILE_BYTES - (size_t)size, size)) > 0)
		size += n;
	data->size = (unsigned)size;
	if (n < 0)
		return -errno;
	return size == FILE_BYTES ? -EFBIG : 0;
}

void gcl_tls_files_fini(struct gcl_tls_files *files)
{
	gnutls_datum_t *const all[] = {&files->ca, &files->certificate, &files->private_key,
				       &files->crl, &files->psk};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		if (all[i]->data)
			explicit_bzero(all[i]->data, all[i]->size);
		free(all[i]->data);
		*all[i] = (gnutls_datum_t){0};
	}
}

/* ------------------------------------------------------------ credentials */

static int credentials_failed(struct gcl_tls_credentials *credentials, char *reason, size_t size,
			      const char *what, int err)
{
	snprintf(reason, size, "%s: %s", what, gnutls_strerror(err));
	gcl_tls_credentials_fini(credentials);
	return -EINVAL;
}

/* Cuts the lines to strings, without what is behind the last. */
static char *lines_cut(const gnutls_datum_t *text)
{
	char *lines = calloc(1, (size_t)text->size + 2), *to = lines;

	for (unsigned i = 0; lines && i < text->size; i++) {
		char c = (char)text->data[i];

		if (c == '\r')
			continue;
		if (c != '\n')
			*to++ = c;
		else if (to > lines && to[-1])
			*to++ = '\0';
	}
	return lines;
}

static bool line_valid(const char *line)
{
	size_t name = strcspn(line, ":");
	const char *hex = line + name + 1;

	return line[name] && name > 0 && name <= GCL_TLS_NAME_MAX && strlen(hex) >= 32 &&
	       strlen(hex) <= 128 && strlen(hex) % 2 == 0 &&
	       strspn(hex, "0123456789abcdefABCDEF") == strlen(hex);
}

static int key_find(gnutls_session_t session, const char *name, gnutls_datum_t *key)
{
	const struct gcl_tls_credentials *credentials = gnutls_session_get_ptr(session);
	size_t length = strlen(name);

	for (const char *line = credentials->key_lines; *line; line += strlen(line) + 1) {
		gnutls_datum_t hex = {(unsigned char *)line + length + 1, 0};

		if (strncmp(line, name, length) != 0 || line[length] != ':')
			continue;
		hex.size = (unsigned)strlen((const char *)hex.data);
		return gnutls_hex_decode2(&hex, key) < 0 ? -1 : 0;
	}
	return -1;
}

static int keys_load(struct gcl_tls_credentials *credentials, bool server,
		     const gnutls_datum_t *text, char *reason, size_t size)
{
	char name[GCL_TLS_NAME_MAX + 1];
	gnutls_datum_t key;
	int err;

	credentials->key_lines = lines_cut(text);
	if (!credentials->key_lines)
		return credentials_failed(credentials, reason, size, "pre-shared keys",
					  GNUTLS_E_MEMORY_ERROR);
	for (const char *line = credentials->key_lines; *line; line += strlen(line) + 1) {
		if (line_valid(line))
			continue;
		snprintf(reason, size,
			 "a pre-shared key's line is not NAME:HEX with 32 to 128 digits, as "
			 "guestcl pki psk makes it");
		gcl_tls_credentials_fini(credentials);
		return -EINVAL;
	}
	if (server) {
		err = gnutls_psk_allocate_server_credentials(&credentials->keys);
		if (err < 0)
			return credentials_failed(credentials, reason, size, "pre-shared keys",
						  err);
		gnutls_psk_set_server_credentials_function(credentials->keys, key_find);
		return 0;
	}
	snprintf(name, sizeof name, "%.*s", (int)strcspn(credentials->key_lines, ":"),
		 credentials->key_lines);
	key.data = (unsigned char *)credentials->key_lines + strlen(name);
	key.data += *key.data == ':';
	key.size = (unsigned)strlen((const char *)key.data);
	err = gnutls_psk_allocate_client_credentials(&credentials->key);
	if (err == 0)
		err = gnutls_psk_set_client_credentials(credentials->key, name, &key,
							GNUTLS_PSK_KEY_HEX);
	return err < 0 ? credentials_failed(credentials, reason, size, "the pre-shared key", err)
		       : 0;
}

static int certificates_load(struct gcl_tls_credentials *credentials,
			     const struct gcl_tls_files *files, char *reason, size_t size)
{
	int err = gnutls_certificate_allocate_credentials(&credentials->certificates);

	if (err < 0)
		return credentials_failed(credentials, reason, size, "certificates", err);
	err = gnutls_certificate_set_x509_trust_mem(credentials->certificates, &files->ca,
						    GNUTLS_X509_FMT_PEM);
	if (err <= 0)
		return credentials_failed(credentials, reason, size,
					  "the authority's certificate (ca.pem)",
					  err ? err : GNUTLS_E_NO_CERTIFICATE_FOUND);
	err = gnutls_certificate_set_x509_key_mem(credentials->certificates, &files->certificate,
						  &files->private_key, GNUTLS_X509_FMT_PEM);
	if (err < 0)
		return credentials_failed(credentials, reason, size, "the certificate and its key",
					  err);
	if (!files->crl.data)
		return 0;
	err = gcl_tls_revoked_load(credentials, files, reason, size);
	if (err)
		gcl_tls_credentials_fini(credentials);
	return err;
}

int gcl_tls_credentials_init(struct gcl_tls_credentials *credentials, bool server,
			     const struct gcl_tls_files *files, char *reason, size_t reason_size)
{
	int err = 0;

	*credentials = (struct gcl_tls_credentials){0};
	if (files->psk.data)
		err = keys_load(credentials, server, &files->psk, reason, reason_size);
	if (err == 0 && files->certificate.data)
		err = certificates_load(credentials, files, reason, reason_size);
	return err;
}

void gcl_tls_credentials_fini(struct gcl_tls_credentials *credentials)
{
	if (credentials->certificates)
		gnutls_certificate_free_credentials(credentials->certificates);
	if (credentials->keys)
		gnutls_psk_free_server_credentials(credentials->keys);
	if (credentials->key)
		gnutls_psk_free_client_credentials(credentials->key);
	if (credentials->key_lines) {
		for (char *line = credentials->key_lines; *line;) {
			size_t length = strlen(line);

			explicit_bzero(line, length);
			line += length + 1;
		}
		free(credentials->key_lines);
	}
	free(credentials->revoked);
	*credentials = (struct gcl_tls_credentials){0};
}
