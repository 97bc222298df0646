// SPDX-License-Identifier: MIT
/*
 * GnuTLS between two buffers, which a socket fills and empties.
 *
 * There is no resumption of TLS sessions and no early data: who comes again proves again who it is.
 */
#include "link.h"

#include <errno.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"

/* Room behind what is sent for headers and tags of records. */
#define OUT_SIZE (GCL_TLS_BUFFER + GCL_TLS_SEND_MAX + 4096u)

/* A pre-shared key is mixed with a fresh exchange, so that a key that gets known later doesn't
 * tell what was said before. */
#define PRIORITY_CERTIFICATES "NORMAL:-VERS-ALL:+VERS-TLS1.3"
#define PRIORITY_KEYS	      PRIORITY_CERTIFICATES ":-KX-ALL:+ECDHE-PSK:+DHE-PSK"
#define PRIORITY_BOTH	      PRIORITY_CERTIFICATES ":+ECDHE-PSK:+DHE-PSK"

/* ------------------------------------------------------------ the two buffers */

static ssize_t pull(gnutls_transport_ptr_t data, void *to, size_t size)
{
	struct gcl_tls *tls = data;
	size_t part = GCL_MIN(size, tls->in.end - tls->in.begin);

	if (part == 0 && tls->ended)
		return 0;
	if (part == 0) {
		gnutls_transport_set_errno(tls->session, EAGAIN);
		return -1;
	}
	memcpy(to, tls->in.data + tls->in.begin, part);
	tls->in.begin += part;
	return (ssize_t)part;
}

/* GnuTLS asks only when pull() has nothing. */
static int pull_timeout(gnutls_transport_ptr_t data, unsigned ms)
{
	const struct gcl_tls *tls = data;

	(void)ms;
	return tls->in.end > tls->in.begin || tls->ended;
}

static ssize_t push(gnutls_transport_ptr_t data, const void *from, size_t size)
{
	struct gcl_tls *tls = data;

	if (tls->out.begin == tls->out.end)
		tls->out.begin = tls->out.end = 0;
	if (OUT_SIZE - tls->out.end < size && tls->out.begin) {
		memmove(tls->out.data, tls->out.data + tls->out.begin,
			tls->out.end - tls->out.begin);
		tls->out.end -= tls->out.begin;
		tls->out.begin = 0;
	}
	if (OUT_SIZE - tls->out.end < size) {
		gnutls_transport_set_errno(tls->session, EAGAIN);
		return -1;
	}
	memcpy(tls->out.data + tls->out.end, from, size);
	tls->out.end += size;
	return (ssize_t)size;
}

/* Return: 0 when something came, -EAGAIN, -EPIPE at the end. */
static int fill(struct gcl_tls *tls)
{
	ssize_t n;

	if (tls->ended)
		return -EPIPE;
	if (tls->in.begin == tls->in.end)
		tls->in.begin = tls->in.end = 0;
	if (tls->in.end == GCL_TLS_BUFFER) {
		memmove(tls->in.data, tls->in.data + tls->in.begin, tls->in.end - tls->in.begin);
		tls->in.end -= tls->in.begin;
		tls->in.begin = 0;
	}
	do
		n = recv(tls->fd, tls->in.data + tls->in.end, GCL_TLS_BUFFER - tls->in.end,
			 MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (n <= 0) {
		tls->ended = true;
		return -EPIPE;
	}
	tls->in.end += (size_t)n;
	return 0;
}

int gcl_tls_flush(struct gcl_tls *tls)
{
	while (tls->out.begin < tls->out.end) {
		ssize_t n = send(tls->fd, tls->out.data + tls->out.begin,
				 tls->out.end - tls->out.begin, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM))
			return -EAGAIN;
		if (n < 0) {
			tls->failed = true;
			return -EPIPE;
		}
		tls->out.begin += (size_t)n;
	}
	return 0;
}

/* ------------------------------------------------------------ a session */

static const char *priority(const struct gcl_tls_credentials *credentials)
{
	if (credentials->keys && credentials->certificates)
		return PRIORITY_BOTH;
	return credentials->certificates ? PRIORITY_CERTIFICATES : PRIORITY_KEYS;
}

static bool is_address(const char *host)
{
	return strchr(host, ':') || strspn(host, "0123456789.") == strlen(host);
}

static int session_set(struct gcl_tls *tls, const struct gcl_tls_credentials *credentials,
		       const char *host)
{
	gnutls_session_t session = tls->session;
	int err = gnutls_priority_set_direct(session, priority(credentials), NULL);

	if (err == 0 && credentials->certificates)
		err = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE,
					     credentials->certificates);
	if (err == 0 && tls->server && credentials->keys)
		err = gnutls_credentials_set(session, GNUTLS_CRD_PSK, credentials->keys);
	if (err == 0 && !tls->server && credentials->key)
		err = gnutls_credentials_set(session, GNUTLS_CRD_PSK, credentials->key);
	if (err == 0 && host && !is_address(host))
		err = gnutls_server_name_set(session, GNUTLS_NAME_DNS, host, strlen(host));
	return err;
}

/* Who has no certificate that this side trusts for the purpose doesn't get through the handshake.
 */
static void verify_set(struct gcl_tls *tls, const char *host)
{
	static char purposes[2][32] = {GNUTLS_KP_TLS_WWW_SERVER, GNUTLS_KP_TLS_WWW_CLIENT};

	tls->wanted[0] = (gnutls_typed_vdata_st){.type = GNUTLS_DT_KEY_PURPOSE_OID,
						 .data = (unsigned char *)purposes[tls->server]};
	tls->wanted[1] = (gnutls_typed_vdata_st){.type = GNUTLS_DT_DNS_HOSTNAME,
						 .data = (unsigned char *)host};
	if (tls->server)
		gnutls_certificate_server_set_request(tls->session, GNUTLS_CERT_REQUIRE);
	/* Lent for the session's life. */
	gnutls_session_set_verify_cert2(tls->session, tls->wanted, host ? 2 : 1, 0);
}

int gcl_tls_init(struct gcl_tls *tls, bool server, int fd,
		 const struct gcl_tls_credentials *credentials, const char *host)
{
	unsigned flags = server ? GNUTLS_SERVER | GNUTLS_NO_TICKETS : GNUTLS_CLIENT;
	int err;

	*tls = (struct gcl_tls){.fd = fd, .server = server};
	tls->in.data = malloc(GCL_TLS_BUFFER);
	tls->out.data = malloc(OUT_SIZE);
	if (!tls->in.data || !tls->out.data ||
	    gnutls_init(&tls->session, flags | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0) {
		gcl_tls_fini(tls);
		return -ENOMEM;
	}
	err = session_set(tls, credentials, host);
	if (err < 0) {
		gcl_tls_fini(tls);
		return -EINVAL;
	}
	if (credentials->certificates)
		verify_set(tls, host);
	gnutls_session_set_ptr(tls->session, (void *)credentials);
	gnutls_handshake_set_timeout(tls->session, GNUTLS_INDEFINITE_TIMEOUT);
	gnutls_transport_set_ptr(tls->session, tls);
	gnutls_transport_set_push_function(tls->session, push);
	gnutls_transport_set_pull_function(tls->session, pull);
	gnutls_transport_set_pull_timeout_function(tls->session, pull_timeout);
	return 0;
}

void gcl_tls_fini(struct gcl_tls *tls)
{
	if (tls->session)
		gnutls_deinit(tls->session);
	free(tls->in.data);
	free(tls->out.data);
	*tls = (struct gcl_tls){.fd = -1};
}

/* The name in the other side's certificate, which only who has verified that believes. */
static int common_name(gnutls_session_t session, char *name, size_t *size)
{
	unsigned count = 0;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
	gnutls_x509_crt_t certificate;
	char second[GCL_TLS_NAME_MAX + 1];
	size_t second_size = sizeof second;
	int err;

	if (!chain || !count || gnutls_x509_crt_init(&certificate) < 0)
		return -EPROTO;
	err = gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER);
	if (err == 0)
		err = gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, 0,
						    name, size);
	/* Two names are none. */
	if (err == 0 &&
	    gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 1, 0, second,
					  &second_size) != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
		err = -1;
	gnutls_x509_crt_deinit(certificate);
	return err < 0 || strlen(name) != *size ? -EPROTO : 0;
}

static void reason_certificate(struct gcl_tls *tls, char *reason, size_t size)
{
	unsigned status = gnutls_session_get_verify_cert_status(tls->session);
	char name[GCL_TLS_NAME_MAX + 1];
	size_t name_size = sizeof name;
	gnutls_datum_t text = {0};

	tls->revoked = status & GNUTLS_CERT_REVOKED;
	if (tls->revoked) {
		/* Its authority has signed that name. */
		if (common_name(tls->session, name, &name_size) < 0)
			snprintf(name, sizeof name, "?");
		snprintf(reason, size, "the certificate of \"%s\" has been revoked", name);
		return;
	}
	gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0);
	snprintf(reason, size, "its certificate is not trusted: %s",
		 text.data ? (const char *)text.data : "");
	gnutls_free(text.data);
	/* Sentences, with a blank behind the last. */
	for (size_t end = strlen(reason); end && strchr(" .", reason[end - 1]);)
		reason[--end] = '\0';
}

/* What GnuTLS says of an error, in words for users. */
static void reason_tell(struct gcl_tls *tls, int err, char *reason, size_t size)
{
	switch (err) {
	case GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR:
		reason_certificate(tls, reason, size);
		break;
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
		tls->revoked = gnutls_alert_get(tls->session) == GNUTLS_A_CERTIFICATE_REVOKED;
		if (tls->revoked)
			snprintf(reason, size,
				 "it refused: this machine's certificate has been "
				 "revoked");
		else
			snprintf(reason, size, "it refused: %s",
				 gnutls_alert_get_name(gnutls_alert_get(tls->session)));
		break;
	case GNUTLS_E_PREMATURE_TERMINATION:
	case GNUTLS_E_PULL_ERROR:
	case GNUTLS_E_PUSH_ERROR:
		snprintf(reason, size, "it hung up");
		break;
	default:
		snprintf(reason, size, "%s", gnutls_strerror(err));
		break;
	}
}

/* GnuTLS calls each certificate that is refused a bad one. */
static void alert_send(struct gcl_tls *tls, int err)
{
	if (err == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR && tls->revoked)
		gnutls_alert_send(tls->session, GNUTLS_AL_FATAL, GNUTLS_A_CERTIFICATE_REVOKED);
	else
		gnutls_alert_send_appropriate(tls->session, err);
	gcl_tls_flush(tls);
}

int gcl_tls_handshake(struct gcl_tls *tls, char *reason, size_t reason_size)
{
	for (;;) {
		int err = gnutls_handshake(tls->session), flushed;

		if (err < 0 && gnutls_error_is_fatal(err)) {
			reason_tell(tls, err, reason, reason_size);
			alert_send(tls, err);
			return -EPROTO;
		}
		flushed = gcl_tls_flush(tls);
		if (err == 0)
			return 0;
		if (flushed == -EPIPE) {
			snprintf(reason, reason_size, "it hung up");
			return -EPROTO;
		}
		if (err == GNUTLS_E_AGAIN && fill(tls) == -EAGAIN)
			return -EAGAIN;
	}
}

static int name_of_certificate(struct gcl_tls *tls, char *name, size_t *size)
{
	unsigned status = 1;

	/* It was checked in the handshake; this is for who changes that. */
	if (gnutls_certificate_verify_peers2(tls->session, &status) < 0 || status)
		return -EPROTO;
	return common_name(tls->session, name, size);
}

int gcl_tls_name(struct gcl_tls *tls, char name[GCL_TLS_NAME_MAX + 1])
{
	size_t size = GCL_TLS_NAME_MAX + 1;
	const char *known;

	*name = '\0';
	switch (gnutls_auth_client_get_type(tls->session)) {
	case GNUTLS_CRD_CERTIFICATE:
		return name_of_certificate(tls, name, &size);
	case GNUTLS_CRD_PSK:
		known = gnutls_psk_server_get_username(tls->session);
		if (!known || !*known || strlen(known) > GCL_TLS_NAME_MAX)
			return -EPROTO;
		memcpy(name, known, strlen(known) + 1);
		return 0;
	default:
		return -EPROTO;
	}
}

ssize_t gcl_tls_receive(struct gcl_tls *tls, void *data, size_t size, char *reason,
			size_t reason_size)
{
	for (;;) {
		ssize_t n = gnutls_record_recv(tls->session, data, size);
		int err;

		if (n > 0)
			return n;
		if (n == 0)
			return 0;
		if (n == GNUTLS_E_PREMATURE_TERMINATION)
			return -EPIPE;
		if (n == GNUTLS_E_INTERRUPTED ||
		    (n != GNUTLS_E_AGAIN && !gnutls_error_is_fatal((int)n)))
			continue;
		if (n != GNUTLS_E_AGAIN) {
			reason_tell(tls, (int)n, reason, reason_size);
			return -EPROTO;
		}
		err = fill(tls);
		if (err == -EAGAIN)
			return -EAGAIN;
	}
}

bool gcl_tls_has_room(const struct gcl_tls *tls)
{
	return tls->out.end - tls->out.begin <= GCL_TLS_BUFFER;
}

int gcl_tls_send(struct gcl_tls *tls, const void *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n =
			gnutls_record_send(tls->session, (const uint8_t *)data + done, size - done);

		if (n < 0)
			return -EPROTO;
		done += (size_t)n;
	}
	return 0;
}

void gcl_tls_bye(struct gcl_tls *tls)
{
	gnutls_bye(tls->session, GNUTLS_SHUT_WR);
}
