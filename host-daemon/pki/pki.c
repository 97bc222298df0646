// SPDX-License-Identifier: MIT
/*
 * The authority's folder, and what is made in it.
 *
 * Must not: overwrite anything; leave a key where others can read it, even for a moment.
 */
#include "pki.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

#define FILE_MAX (1u << 20)

/* Of a pre-shared key. */
#define PSK_BYTES 32u

static int failed(const char *what, const char *path, int err)
{
	fprintf(stderr, "guestcl pki: can't %s %s: %s\n", what, path, strerror(-err));
	return err;
}

static int failed_tls(const char *what, int err)
{
	fprintf(stderr, "guestcl pki: can't %s: %s\n", what, gnutls_strerror(err));
	return -EINVAL;
}

/* ------------------------------------------------------------ files */

static int path_make(char *path, const char *folder, const char *name)
{
	if (snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX)
		return 0;
	return failed("use", folder, -ENAMETOOLONG);
}

/* With those above it. */
static int folder_make(const char *path)
{
	char part[PATH_MAX];

	if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
		return failed("make", path, -ENAMETOOLONG);
	for (char *slash = part + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
		*slash = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return failed("make", part, -errno);
	}
	if (mkdir(part, 0700) < 0 && errno != EEXIST)
		return failed("make", part, -errno);
	return 0;
}

static int bytes_write(int fd, const gnutls_datum_t *data)
{
	for (size_t done = 0; done < data->size;) {
		ssize_t n = write(fd, data->data + done, data->size - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int file_make(const char *folder, const char *name, const gnutls_datum_t *data)
{
	char path[PATH_MAX];
	_cleanup_close_ int fd = -1;
	int err = path_make(path, folder, name);

	if (err)
		return err;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && errno == EEXIST) {
		fprintf(stderr,
			"guestcl pki: %s is there already: remove it first if it is no use\n",
			path);
		return -EEXIST;
	}
	if (fd < 0)
		return failed("make", path, -errno);
	err = bytes_write(fd, data);
	if (err == 0)
		return 0;
	unlink(path);
	return failed("write", path, err);
}

static void file_remove(const char *folder, const char *name)
{
	char path[PATH_MAX];

	if (path_make(path, folder, name) == 0)
		unlink(path);
}

static void cleanup_datum(gnutls_datum_t *data)
{
	if (!data->data)
		return;
	gnutls_memset(data->data, 0, data->size);
	gnutls_free(data->data);
}

#define _cleanup_datum_ _cleanup_(cleanup_datum)

/* ------------------------------------------------------------ pairs in files */

/* All files of the folder or none. */
static int files_make(const char *folder, const char *const *names, const gnutls_datum_t *data,
		      size_t count)
{
	size_t made;
	int err = 0;

	for (made = 0; err == 0 && made < count; made++)
		err = file_make(folder, names[made], &data[made]);
	for (size_t i = 0; err && i + 1 < made; i++)
		file_remove(folder, names[i]);
	return err;
}

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
		return failed_tls("write the certificate", err);
	return files_make(folder, names, (const gnutls_datum_t[]){key, certificate, ca_certificate},
			  ca ? 3 : 2);
}

/* The caller frees what it gets. */
static int file_read(const char *folder, const char *name, gnutls_datum_t *data)
{
	char path[PATH_MAX];
	_cleanup_close_ int fd = -1;
	ssize_t n;
	int err = path_make(path, folder, name);

	if (err)
		return err;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		fprintf(stderr,
			"guestcl pki: there is no %s: make the authority first, with "
			"\"guestcl pki init\"\n",
			path);
		return -ENOENT;
	}
	data->data = gnutls_malloc(FILE_MAX);
	n = fd < 0 || !data->data ? -1 : read(fd, data->data, FILE_MAX);
	if (n < 0)
		return failed("read", path, fd >= 0 && !data->data ? -ENOMEM : -errno);
	data->size = (unsigned)n;
	return 0;
}

static int authority_load(const char *folder, struct gcl_pki_pair *ca)
{
	_cleanup_datum_ gnutls_datum_t key = {0};
	_cleanup_datum_ gnutls_datum_t certificate = {0};
	int err = file_read(folder, GCL_PKI_CA, &certificate);

	if (err == 0)
		err = file_read(folder, GCL_PKI_CA_KEY, &key);
	if (err)
		return err;
	err = gnutls_x509_crt_init(&ca->certificate);
	if (err == 0)
		err = gnutls_x509_crt_import(ca->certificate, &certificate, GNUTLS_X509_FMT_PEM);
	if (err == 0)
		err = gnutls_x509_privkey_init(&ca->key);
	if (err == 0)
		err = gnutls_x509_privkey_import2(ca->key, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
	return err < 0 ? failed_tls("read the authority", err) : 0;
}

/* ------------------------------------------------------------ what users ask for */

int gcl_pki_init(const struct gcl_pki_wish *wish)
{
	_cleanup_(gcl_pki_pair_fini) struct gcl_pki_pair ca = {0};
	int err = gcl_pki_pair_make(&ca, GCL_PKI_AUTHORITY, wish, NULL);

	if (err < 0)
		return failed_tls("make the authority", err);
	err = folder_make(wish->folder);
	if (err == 0)
		err = pair_save(&ca, wish->folder, GCL_PKI_CA_KEY, GCL_PKI_CA, NULL);
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

	return n < PATH_MAX ? folder_make(folder) : failed("use", wish->folder, -ENAMETOOLONG);
}

static int machine_make(const struct gcl_pki_wish *wish, enum gcl_pki_use use, char *folder)
{
	_cleanup_(gcl_pki_pair_fini) struct gcl_pki_pair ca = {0};
	_cleanup_(gcl_pki_pair_fini) struct gcl_pki_pair pair = {0};
	int err = authority_load(wish->folder, &ca);

	if (err)
		return err;
	err = gcl_pki_pair_make(&pair, use, wish, &ca);
	if (err < 0)
		return failed_tls("make the certificate", err);
	err = machine_folder(wish, use == GCL_PKI_SERVER ? "servers" : "clients", folder);
	return err ? err : pair_save(&pair, folder, GCL_PKI_KEY, GCL_PKI_CERTIFICATE, &ca);
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
	       "tls-ca = %1$s/" GCL_PKI_CA "\n",
	       folder);
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
		return failed_tls("make a key", err);
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
		err = files_make(folder, names, &line, 1);
	if (err)
		return err;
	printf("The server knows who has the line of %1$s/" GCL_PKI_PSK " as \"%2$s\".\n"
	       "Add it to the file that tls-psk-file of its guestcld.conf names, and copy the "
	       "file\n"
	       "to /etc/guestcl/tls of the client, or to a folder that GUESTCL_TLS names.\n",
	       folder, wish->names[0]);
	return 0;
}
