// SPDX-License-Identifier: MIT
/*
 * The authority's folder: reading and making files in it.
 *
 * Must not: overwrite a file of a machine's or a key; leave a key where others can read it, even
 * for a moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "pki.h"

#define FILE_MAX (1u << 20)

int gcl_pki_failed(const char *what, const char *path, int err)
{
	fprintf(stderr, "guestcl pki: can't %s %s: %s\n", what, path, strerror(-err));
	return err;
}

int gcl_pki_failed_tls(const char *what, int err)
{
	fprintf(stderr, "guestcl pki: can't %s: %s\n", what, gnutls_strerror(err));
	return -EINVAL;
}

int gcl_pki_path(char *path, const char *folder, const char *name)
{
	if (snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX)
		return 0;
	return gcl_pki_failed("use", folder, -ENAMETOOLONG);
}

int gcl_pki_folder_make(const char *path)
{
	char part[PATH_MAX];

	if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
		return gcl_pki_failed("make", path, -ENAMETOOLONG);
	for (char *slash = part + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
		*slash = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return gcl_pki_failed("make", part, -errno);
	}
	if (mkdir(part, 0700) < 0 && errno != EEXIST)
		return gcl_pki_failed("make", part, -errno);
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
	int err = gcl_pki_path(path, folder, name);

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
		return gcl_pki_failed("make", path, -errno);
	err = bytes_write(fd, data);
	if (err == 0)
		return 0;
	unlink(path);
	return gcl_pki_failed("write", path, err);
}

void gcl_pki_remove(const char *folder, const char *name)
{
	char path[PATH_MAX];

	if (gcl_pki_path(path, folder, name) == 0)
		unlink(path);
}

void gcl_pki_datum_fini(gnutls_datum_t *data)
{
	if (!data->data)
		return;
	gnutls_memset(data->data, 0, data->size);
	gnutls_free(data->data);
}

int gcl_pki_replace(const char *folder, const char *name, const gnutls_datum_t *data)
{
	char path[PATH_MAX], made[PATH_MAX];
	_cleanup_close_ int fd = -1;
	int err = gcl_pki_path(path, folder, name);

	if (err == 0 && snprintf(made, sizeof made, "%s.new", path) >= (int)sizeof made)
		err = gcl_pki_failed("use", path, -ENAMETOOLONG);
	if (err)
		return err;
	fd = open(made, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return gcl_pki_failed("make", made, -errno);
	err = bytes_write(fd, data);
	if (err == 0 && rename(made, path) < 0)
		err = -errno;
	if (err == 0)
		return 0;
	unlink(made);
	return gcl_pki_failed("write", path, err);
}

int gcl_pki_lock(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* Without a folder there is nothing to lock, as who needs it finds. */
	if (fd >= 0)
		flock(fd, LOCK_EX);
	return fd;
}

int gcl_pki_files_make(const char *folder, const char *const *names, const gnutls_datum_t *data,
		       size_t count)
{
	size_t made;
	int err = 0;

	for (made = 0; err == 0 && made < count; made++)
		err = file_make(folder, names[made], &data[made]);
	for (size_t i = 0; err && i + 1 < made; i++)
		gcl_pki_remove(folder, names[i]);
	return err;
}

int gcl_pki_read(const char *path, gnutls_datum_t *data)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0, size = 0;

	if (fd < 0)
		return -errno;
	data->data = gnutls_malloc(FILE_MAX);
	if (!data->data)
		return -ENOMEM;
	while (size < (ssize_t)FILE_MAX &&
	       (n = read(fd, data->data + size, FILE_MAX - (size_t)size)) > 0)
		size += n;
	data->size = (unsigned)size;
	if (n < 0)
		return -errno;
	return size == (ssize_t)FILE_MAX ? -EFBIG : 0;
}

static int authority_read(const char *folder, const char *name, gnutls_datum_t *data)
{
	char path[PATH_MAX];
	int err = gcl_pki_path(path, folder, name);

	if (err)
		return err;
	err = gcl_pki_read(path, data);
	if (err == -ENOENT)
		fprintf(stderr,
			"guestcl pki: there is no %s: make the authority first, with "
			"\"guestcl pki init\"\n",
			path);
	else if (err)
		gcl_pki_failed("read", path, err);
	return err;
}

int gcl_pki_authority_load(const char *folder, struct gcl_pki_pair *ca)
{
	_cleanup_datum_ gnutls_datum_t key = {0};
	_cleanup_datum_ gnutls_datum_t certificate = {0};
	int err = authority_read(folder, GCL_PKI_CA, &certificate);

	if (err == 0)
		err = authority_read(folder, GCL_PKI_CA_KEY, &key);
	if (err)
		return err;
	err = gnutls_x509_crt_init(&ca->certificate);
	if (err == 0)
		err = gnutls_x509_crt_import(ca->certificate, &certificate, GNUTLS_X509_FMT_PEM);
	if (err == 0)
		err = gnutls_x509_privkey_init(&ca->key);
	if (err == 0)
		err = gnutls_x509_privkey_import2(ca->key, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
	return err < 0 ? gcl_pki_failed_tls("read the authority", err) : 0;
}
