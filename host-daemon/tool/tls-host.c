// SPDX-License-Identifier: MIT
/*
 * guestcl doctor: what a host needs to serve guests of other machines: listen-tls and its files.
 */
#include <dirent.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "broker/config.h"
#include "tls-look.h"

#define PATH_SIZE  4096
#define ISSUED	   "/etc/guestcl/pki/issued"
#define CONNECT_MS 3000

struct serving {
	struct gcl_doctor *doctor;
	const struct gcl_config *config;
	struct gcl_tls_files files;
	struct gcl_tls_credentials credentials;
	gnutls_x509_crl_t *crls;
	unsigned crl_count;
};

/* ------------------------------------------------------------ files */

/* Return: false if it is wanted, but can't be read. */
static bool file_read(struct serving *serving, const char *path, gnutls_datum_t *data)
{
	char copy[PATH_SIZE];

	if (!*path)
		return true;
	snprintf(copy, sizeof copy, "%s", gcl_doctor_file(serving->doctor, path));
	return gcl_look_file(serving->doctor, copy, "guestcl pki makes such files", NULL, data);
}

static void secret_look(struct serving *serving, const char *path)
{
	char copy[PATH_SIZE];

	snprintf(copy, sizeof copy, "%s", gcl_doctor_file(serving->doctor, path));
	if (*path)
		gcl_look_secret(serving->doctor, copy);
}

static bool files_read(struct serving *serving)
{
	const struct gcl_config *config = serving->config;
	struct gcl_tls_files *files = &serving->files;

	return file_read(serving, config->tls_certificate, &files->certificate) &&
	       file_read(serving, config->tls_key, &files->private_key) &&
	       file_read(serving, config->tls_ca, &files->ca) &&
	       file_read(serving, config->tls_crl, &files->crl) &&
	       file_read(serving, config->tls_psk_file, &files->psk);
}

static void list_look(struct serving *serving)
{
	const struct gcl_config *config = serving->config;

	if (*config->tls_crl)
		gcl_look_list(serving->doctor, config->tls_crl, serving->credentials.revoked_until);
	else if (*config->tls_certificate)
		gcl_find(serving->doctor, "tls-crl", GCL_FOUND_ABSENT,
			 "tls-crl in guestcld.conf: crl.pem of guestcl pki",
			 "no list of revoked certificates: who has one is let in until it ends");
}

/* Return: whether guestcl-tls can use them. */
static bool files_look(struct serving *serving)
{
	const struct gcl_config *config = serving->config;
	char reason[256] = "";

	if (!files_read(serving))
		return false;
	secret_look(serving, config->tls_key);
	secret_look(serving, config->tls_psk_file);
	if (gcl_tls_credentials_init(&serving->credentials, true, &serving->files, reason,
				     sizeof reason) < 0) {
		gcl_find(serving->doctor, "tls-files", GCL_FOUND_BAD,
			 "guestcl pki makes such files; then systemctl reload guestcld",
			 "guests of other machines are not served: %s", reason);
		return false;
	}
	if (*config->tls_certificate)
		gcl_look_certificate(serving->doctor, &serving->files.certificate, NULL,
				     "guestcl pki server makes a new one; then systemctl reload "
				     "guestcld");
	list_look(serving);
	return true;
}

/* ------------------------------------------------------------ the port */

static bool connects(const struct addrinfo *address)
{
	_cleanup_close_ int fd =
		socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd connected = {.fd = fd, .events = POLLOUT};
	socklen_t size = sizeof(int);
	int err = 0;

	if (fd < 0)
		return false;
	if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
		return true;
	return errno == EINPROGRESS && poll(&connected, 1, CONNECT_MS) > 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size) == 0 && err == 0;
}

static void port_look(struct serving *serving)
{
	static const struct addrinfo hints = {.ai_flags = AI_NUMERICSERV,
					      .ai_socktype = SOCK_STREAM};
	char host[GCL_ENDPOINT_MAX], port[GCL_ENDPOINT_MAX];
	const char *where = serving->config->listen_tls;
	struct addrinfo *found = NULL;
	bool good = false;

	/* Every address: then loopback's are among them. */
	if (!gcl_endpoint_parse(where, host, port) ||
	    getaddrinfo(*host ? host : NULL, port, &hints, &found) != 0)
		return;
	for (const struct addrinfo *it = found; it && !good; it = it->ai_next)
		good = connects(it);
	freeaddrinfo(found);
	if (good)
		gcl_find(serving->doctor, "tls-port", GCL_FOUND_GOOD, NULL,
			 "guests of other machines are served on %s", where);
	else
		gcl_find(serving->doctor, "tls-port", GCL_FOUND_BAD,
			 "systemctl reload-or-restart guestcld, and look at its log",
			 "nobody listens on %s (listen-tls)", where);
}

/* ------------------------------------------------------------ names without a VM */

static bool is_vm(const struct serving *serving, const char *name)
{
	const struct gcl_config *config = serving->config;
	char path[PATH_SIZE];

	for (size_t i = 0; i < config->vm_count; i++) {
		if (strcmp(config->vms[i].id, name) == 0)
			return true;
	}
	/* Those of libvirt are in no file. */
	snprintf(path, sizeof path, "%s/%s.sock", serving->doctor->vm_dir, name);
	return access(gcl_doctor_file(serving->doctor, path), F_OK) == 0;
}

static void name_look(const struct serving *serving, const char *what, const char *name)
{
	char fix[256];

	if (is_vm(serving, name))
		return;
	snprintf(fix, sizeof fix, "vm \"%s\" {} in guestcld.conf, and systemctl reload guestcld",
		 name);
	gcl_find(serving->doctor, "tls-vm", GCL_FOUND_WARNING, fix,
		 "\"%s\" has a %s, but is no VM: it is refused", name, what);
}

static void keys_look(const struct serving *serving)
{
	const char *lines = serving->credentials.key_lines;
	char name[GCL_TLS_NAME_MAX + 1];

	for (const char *line = lines; line && *line; line += strlen(line) + 1) {
		snprintf(name, sizeof name, "%.*s", (int)strcspn(line, ":"), line);
		name_look(serving, "pre-shared key", name);
	}
}

/* Is it for a client that would be let in? */
static bool in_use(const struct serving *serving, gnutls_x509_crt_t certificate)
{
	char purpose[64] = "";
	size_t size = sizeof purpose;

	gnutls_x509_crt_get_key_purpose_oid(certificate, 0, purpose, &size, NULL);
	return strcmp(purpose, GNUTLS_KP_TLS_WWW_CLIENT) == 0 &&
	       gnutls_x509_crt_get_expiration_time(certificate) > time(NULL) &&
	       gnutls_x509_crt_check_revocation(certificate, serving->crls, serving->crl_count) ==
		       0;
}

static void issued_look(const struct serving *serving, const char *path)
{
	gnutls_datum_t text = {0};
	gnutls_x509_crt_t certificate;
	char name[128];

	if (gnutls_load_file(path, &text) < 0)
		return;
	if (gnutls_x509_crt_init(&certificate) == 0) {
		if (gnutls_x509_crt_import(certificate, &text, GNUTLS_X509_FMT_PEM) == 0 &&
		    in_use(serving, certificate)) {
			gcl_look_name(certificate, name, sizeof name);
			name_look(serving, "certificate", name);
		}
		gnutls_x509_crt_deinit(certificate);
	}
	gnutls_free(text.data);
}

/* Of the authority of this machine, if it is here. */
static void certificates_look(const struct serving *serving)
{
	char folder[PATH_SIZE], path[PATH_SIZE + 256];
	struct dirent *entry;
	DIR *entries;

	snprintf(folder, sizeof folder, "%s", gcl_doctor_file(serving->doctor, ISSUED));
	entries = opendir(folder);
	while (entries && (entry = readdir(entries))) {
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		if (*entry->d_name != '.')
			issued_look(serving, path);
	}
	if (entries)
		closedir(entries);
}

static void names_look(struct serving *serving)
{
	if (serving->files.crl.data &&
	    gnutls_x509_crl_list_import2(&serving->crls, &serving->crl_count, &serving->files.crl,
					 GNUTLS_X509_FMT_PEM, 0) < 0)
		serving->crl_count = 0;
	keys_look(serving);
	if (*serving->config->tls_ca)
		certificates_look(serving);
	for (unsigned i = 0; i < serving->crl_count; i++)
		gnutls_x509_crl_deinit(serving->crls[i]);
	gnutls_free(serving->crls);
}

/* ------------------------------------------------------------ the whole */

static void config_look(struct gcl_doctor *doctor, const struct gcl_config *config)
{
	struct serving serving = {.doctor = doctor, .config = config};

	if (files_look(&serving)) {
		port_look(&serving);
		names_look(&serving);
	}
	gcl_tls_credentials_fini(&serving.credentials);
	gcl_tls_files_fini(&serving.files);
}

void gcl_doctor_tls_host(struct gcl_doctor *doctor)
{
	_cleanup_free_ struct gcl_config *config = malloc(sizeof *config);
	char path[PATH_SIZE];

	snprintf(path, sizeof path, "%s",
		 doctor->config ? doctor->config : gcl_doctor_file(doctor, GCL_CONFIG_PATH));
	if (!config || (access(path, R_OK) != 0 && errno == ENOENT))
		return;
	if (access(path, R_OK) != 0) {
		gcl_find(doctor, "config", GCL_FOUND_ABSENT, "ask again as root", "%s: %s", path,
			 strerror(errno));
		return;
	}
	gcl_config_init(config, geteuid() == 0);
	if (gcl_config_read(config, path, true) < 0)
		gcl_find(doctor, "config", GCL_FOUND_BAD, "guestcld --check-config",
			 "%s can't be used", path);
	else if (*config->listen_tls)
		config_look(doctor, config);
}
