// SPDX-License-Identifier: MIT
/*
 * guestcl doctor: files with certificates and keys.
 */
#include "tls-look.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define DAY_SECONDS 86400

bool gcl_look_file(struct gcl_doctor *doctor, const char *path, const char *fix, const char *denied,
		   gnutls_datum_t *data)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int err = fd < 0 ? -errno : gcl_tls_file_read(fd, data);

	if (err == 0)
		return true;
	if (err == -EACCES)
		fix = denied ? denied : "ask again as root";
	gcl_find(doctor, "tls-files", err == -EACCES && !denied ? GCL_FOUND_ABSENT : GCL_FOUND_BAD,
		 fix, "can't read %s: %s", path, strerror(-err));
	return false;
}

void gcl_look_secret(struct gcl_doctor *doctor, const char *path)
{
	struct stat st;
	char fix[256];

	if (stat(path, &st) < 0 || !(st.st_mode & S_IRWXO))
		return;
	snprintf(fix, sizeof fix, "chmod o= %s", path);
	gcl_find(doctor, "tls-key", GCL_FOUND_WARNING, fix,
		 "%s is open to every user of this machine, who can pretend to be it", path);
}

/* ------------------------------------------------------------ certificates */

void gcl_look_name(gnutls_x509_crt_t certificate, char *name, size_t size)
{
	size_t length = size;

	if (gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name,
					  &length) < 0)
		snprintf(name, size, "?");
	/* It is printed. */
	for (char *c = name; *c; c++)
		*c = (char)((unsigned char)*c < ' ' ? '?' : *c);
}

void gcl_look_names(gnutls_x509_crt_t certificate, char *text, size_t size)
{
	char name[256], address[INET6_ADDRSTRLEN];
	size_t used = 0, length;
	int type;

	*text = '\0';
	for (unsigned i = 0; used < size; i++) {
		length = sizeof name - 1;
		type = gnutls_x509_crt_get_subject_alt_name(certificate, i, name, &length, NULL);
		if (type < 0)
			return;
		name[length] = '\0';
		if (type == GNUTLS_SAN_IPADDRESS &&
		    inet_ntop(length == 4 ? AF_INET : AF_INET6, name, address, sizeof address))
			snprintf(name, sizeof name, "%s", address);
		used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "", name);
	}
}

static void day_text(time_t when, char text[16])
{
	struct tm parts;

	if (!gmtime_r(&when, &parts) || !strftime(text, 16, "%Y-%m-%d", &parts))
		snprintf(text, 16, "?");
}

/* Return: whether it is good for some time. */
static bool dates_look(struct gcl_doctor *doctor, gnutls_x509_crt_t certificate, const char *what,
		       const char *name, const char *fix)
{
	time_t from = gnutls_x509_crt_get_activation_time(certificate);
	time_t until = gnutls_x509_crt_get_expiration_time(certificate), now = time(NULL);
	char day[16];

	day_text(from > now ? from : until, day);
	if (from > now)
		gcl_find(doctor, "tls-cert", GCL_FOUND_BAD, "set this machine's clock",
			 "%s \"%s\" is good from %s on only", what, name, day);
	else if (until < now)
		gcl_find(doctor, "tls-cert", GCL_FOUND_BAD, fix, "%s \"%s\" has ended, at %s", what,
			 name, day);
	else if (until < now + GCL_LOOK_DAYS * DAY_SECONDS)
		gcl_find(doctor, "tls-cert", GCL_FOUND_WARNING, fix,
			 "%s \"%s\" ends in %ld days, at %s", what, name,
			 (long)((until - now) / DAY_SECONDS), day);
	else
		return true;
	return false;
}

/* Return: whether one of @text's vouches for it, whenever. */
static bool vouched(gnutls_x509_crt_t certificate, const gnutls_datum_t *text)
{
	gnutls_x509_crt_t *list = NULL;
	unsigned count = 0, status = 1;
	int err = gnutls_x509_crt_list_import2(&list, &count, text, GNUTLS_X509_FMT_PEM, 0);

	if (err < 0)
		return false;
	err = gnutls_x509_crt_verify(certificate, list, count, GNUTLS_VERIFY_DISABLE_TIME_CHECKS,
				     &status);
	for (unsigned i = 0; i < count; i++)
		gnutls_x509_crt_deinit(list[i]);
	gnutls_free(list);
	return err == 0 && status == 0;
}

/* A file may hold a chain; then who vouches for its first one is in it. */
static void chain_look(struct gcl_doctor *doctor, gnutls_x509_crt_t *list, unsigned count,
		       const gnutls_datum_t *ca, const char *fix)
{
	char name[128], day[16];

	gcl_look_name(list[0], name, sizeof name);
	if (ca && !vouched(list[count - 1], ca)) {
		gcl_find(doctor, "tls-cert", GCL_FOUND_BAD, fix,
			 "the certificate \"%s\" is not by the authority in ca.pem", name);
		return;
	}
	if (!dates_look(doctor, list[0], "the certificate", name, fix))
		return;
	day_text(gnutls_x509_crt_get_expiration_time(list[0]), day);
	gcl_find(doctor, "tls-cert", GCL_FOUND_GOOD, NULL,
		 "this machine shows the certificate \"%s\", good until %s", name, day);
}

void gcl_look_certificate(struct gcl_doctor *doctor, const gnutls_datum_t *text,
			  const gnutls_datum_t *ca, const char *fix)
{
	gnutls_x509_crt_t *list = NULL;
	unsigned count = 0;
	int err = gnutls_x509_crt_list_import2(&list, &count, text, GNUTLS_X509_FMT_PEM, 0);

	if (err < 0 || !count) {
		gcl_find(doctor, "tls-cert", GCL_FOUND_BAD, fix,
			 "the certificate can't be read: %s", gnutls_strerror(err));
		return;
	}
	chain_look(doctor, list, count, ca, fix);
	for (unsigned i = 0; i < count; i++)
		gnutls_x509_crt_deinit(list[i]);
	gnutls_free(list);
}

/* ------------------------------------------------------------ revoked ones */

void gcl_look_list(struct gcl_doctor *doctor, const char *path, time_t until)
{
	static const char fix[] = "guestcl pki revoke (without names) makes it anew; copy it here";
	time_t now = time(NULL);
	char day[16];

	day_text(until, day);
	if (until && until < now)
		gcl_find(doctor, "tls-crl", GCL_FOUND_WARNING, fix,
			 "%s is out of date since %s: what it revokes stays revoked, newer ones "
			 "may be "
			 "missing",
			 path, day);
	else if (until && until < now + GCL_LOOK_DAYS * DAY_SECONDS)
		gcl_find(doctor, "tls-crl", GCL_FOUND_WARNING, fix,
			 "%s should be followed by a newer list before %s", path, day);
	else
		gcl_find(doctor, "tls-crl", GCL_FOUND_GOOD, NULL, "certificates in %s are refused",
			 path);
}
