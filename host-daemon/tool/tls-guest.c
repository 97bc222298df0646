// SPDX-License-Identifier: MIT
/*
 * guestcl doctor: the way to a GPU server, step by step, as virtio-cl/tls/client.c takes it; up to
 * where the server knows who is there. The session itself is tried like that of any channel.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "relay.h"
#include "tls-look.h"
#include "tls.h"

#define CONNECT_MS   5000
#define HANDSHAKE_MS 10000
#define PATH_SIZE    4096

struct way {
	struct gcl_doctor *doctor;
	char host[GCL_TLS_HOST_MAX], port[GCL_TLS_PORT_MAX];
	const char *folder;
	struct gcl_tls_files files;
	struct gcl_tls_credentials credentials;
	int fd;
};

/* ------------------------------------------------------------ files */

static void path_of(const struct way *way, const char *name, char path[PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "%s/%s", way->folder, name);
}

static bool there(const struct way *way, const char *name)
{
	char path[PATH_SIZE];

	path_of(way, name, path);
	return access(path, F_OK) == 0;
}

static void fix_files(const struct way *way, char fix[256])
{
	snprintf(fix, 256,
		 "guestcl pki client NAME where the authority is; copy what it makes to %s, or set "
		 "GUESTCL_TLS",
		 way->folder);
}

static bool file_look(struct way *way, const char *name, gnutls_datum_t *data)
{
	char path[PATH_SIZE], fix[256];

	path_of(way, name, path);
	fix_files(way, fix);
	return gcl_look_file(way->doctor, path, fix,
			     "let a group of its users read it: chgrp, and chmod g+r", data);
}

static void secret_look(const struct way *way, const char *name)
{
	char path[PATH_SIZE];

	path_of(way, name, path);
	gcl_look_secret(way->doctor, path);
}

/* As the module: a pre-shared key takes the place of certificates. */
static bool files_read(struct way *way)
{
	struct gcl_tls_files *files = &way->files;

	if (there(way, "psk"))
		return file_look(way, "psk", &files->psk);
	return file_look(way, "ca.pem", &files->ca) &&
	       file_look(way, "certificate.pem", &files->certificate) &&
	       file_look(way, "key.pem", &files->private_key) &&
	       (!there(way, "crl.pem") || file_look(way, "crl.pem", &files->crl));
}

/* Return: whether there is something to show to a server. */
static bool files_look(struct way *way)
{
	char reason[256] = "", fix[256], path[PATH_SIZE];

	if (!files_read(way))
		return false;
	fix_files(way, fix);
	if (gcl_tls_credentials_init(&way->credentials, false, &way->files, reason, sizeof reason) <
	    0) {
		gcl_find(way->doctor, "tls-files", GCL_FOUND_BAD, fix, "%s: %s", way->folder,
			 reason);
		return false;
	}
	gcl_find(way->doctor, "tls-files", GCL_FOUND_GOOD, NULL, "%s has %s", way->folder,
		 way->files.psk.data ? "a pre-shared key" : "a certificate and its key");
	secret_look(way, way->files.psk.data ? "psk" : "key.pem");
	if (way->files.psk.data)
		return true;
	gcl_look_certificate(way->doctor, &way->files.certificate, &way->files.ca, fix);
	path_of(way, "crl.pem", path);
	if (way->files.crl.data)
		gcl_look_list(way->doctor, path, way->credentials.revoked_until);
	return true;
}

/* ------------------------------------------------------------ the network */

/* Return: 0 or -errno. */
static int connect_wait(int fd, const struct addrinfo *address)
{
	struct pollfd connected = {.fd = fd, .events = POLLOUT};
	socklen_t size = sizeof(int);
	int err = 0;

	if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	if (poll(&connected, 1, CONNECT_MS) <= 0)
		return -ETIMEDOUT;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size) < 0)
		return -errno;
	return -err;
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void port_found(struct way *way, int err, const char *address, double seconds)
{
	char fix[256];

	if (err == 0) {
		gcl_find(way->doctor, "tls-port", GCL_FOUND_GOOD, NULL,
			 "%s port %s answers: a round trip takes %.3f ms", address, way->port,
			 seconds * 1e3);
		return;
	}
	if (err == -ECONNREFUSED)
		snprintf(fix, sizeof fix,
			 "on the server: listen-tls = \":%s\" in guestcld.conf, systemctl reload "
			 "guestcld",
			 way->port);
	else
		snprintf(fix, sizeof fix, "let port %s of the server through (TCP)", way->port);
	gcl_find(way->doctor, "tls-port", GCL_FOUND_BAD, fix, "can't connect to %s port %s: %s",
		 address, way->port, strerror(-err));
}

/* The first address that answers. Return: whether one does. */
static bool addresses_look(struct way *way, const struct addrinfo *found)
{
	int err = -ENOENT;

	for (const struct addrinfo *it = found; it; it = it->ai_next) {
		char address[64] = "?";
		double begin = seconds_now();

		getnameinfo(it->ai_addr, it->ai_addrlen, address, sizeof address, NULL, 0,
			    NI_NUMERICHOST);
		way->fd = socket(it->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		err = way->fd < 0 ? -errno : connect_wait(way->fd, it);
		port_found(way, err, address, seconds_now() - begin);
		if (err == 0)
			return true;
		gcl_cleanup_close(&way->fd);
		way->fd = -1;
	}
	return false;
}

static bool network_look(struct way *way)
{
	static const struct addrinfo hints = {.ai_flags = AI_ADDRCONFIG,
					      .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	int err = getaddrinfo(way->host, way->port, &hints, &found);
	bool good;

	if (err) {
		gcl_find(way->doctor, "tls-host", GCL_FOUND_BAD,
			 "look at GUESTCL_CHANNEL, /etc/hosts and DNS", "can't find %s: %s",
			 way->host, gai_strerror(err));
		return false;
	}
	good = addresses_look(way, found);
	freeaddrinfo(found);
	return good;
}

/* ------------------------------------------------------------ who is there */

/* The names of the server's certificate, whatever it is worth; "" if it shows none. */
static void server_names(const struct gcl_tls *tls, char *names, size_t size)
{
	unsigned count = 0;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(tls->session, &count);
	gnutls_x509_crt_t certificate;

	*names = '\0';
	if (!chain || !count || gnutls_x509_crt_init(&certificate) < 0)
		return;
	if (gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER) == 0)
		gcl_look_names(certificate, names, size);
	gnutls_x509_crt_deinit(certificate);
}

static void server_refused(struct way *way, const struct gcl_tls *tls, const char *reason)
{
	unsigned status = gnutls_session_get_verify_cert_status(tls->session);
	char names[160], fix[256];

	server_names(tls, names, sizeof names);
	if (*names && (status & GNUTLS_CERT_UNEXPECTED_OWNER))
		snprintf(fix, sizeof fix, "set GUESTCL_CHANNEL to one of its names: %s", names);
	else if (*names && (status & GNUTLS_CERT_SIGNER_NOT_FOUND))
		snprintf(fix, sizeof fix, "copy ca.pem of the server's authority to %s",
			 way->folder);
	else
		snprintf(fix, sizeof fix, "look at the server's log");
	gcl_find(way->doctor, "tls-server", GCL_FOUND_BAD, fix, "%s port %s: %s", way->host,
		 way->port, *reason ? reason : "it doesn't answer");
}

static void server_look(struct way *way)
{
	struct gcl_tls tls;
	struct gcl_relay relay = {.tls = &tls, .plain = -1, .wake = -1};
	char names[160];

	if (gcl_tls_init(&tls, false, way->fd, &way->credentials, way->host) < 0)
		return;
	if (gcl_relay_handshake(&relay, gcl_relay_now() + HANDSHAKE_MS) < 0) {
		server_refused(way, &tls, relay.reason);
	} else {
		server_names(&tls, names, sizeof names);
		gcl_find(way->doctor, "tls-server", GCL_FOUND_GOOD, NULL, "the server %s%s",
			 *names ? "has proved to be " : "has the same key", names);
	}
	gcl_tls_fini(&tls);
}

void gcl_doctor_tls_guest(struct gcl_doctor *doctor, const char *where)
{
	const char *folder = getenv("GUESTCL_TLS");
	struct way way = {
		.doctor = doctor, .folder = folder && *folder ? folder : GCL_TLS_FOLDER, .fd = -1};

	if (!gcl_tls_where(where, way.host, way.port))
		return; /* what the channel says of it is enough */
	if (files_look(&way) && network_look(&way))
		server_look(&way);
	gcl_cleanup_close(&way.fd);
	gcl_tls_credentials_fini(&way.credentials);
	gcl_tls_files_fini(&way.files);
}
