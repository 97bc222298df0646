/* SPDX-License-Identifier: MIT */
/*
 * What guestcl doctor knows of files for TLS, on either side.
 */
#ifndef GCL_TLS_LOOK_H
#define GCL_TLS_LOOK_H

#include <gnutls/x509.h>
#include <time.h>

#include "doctor.h"
#include "link.h"

/* Certificates that end so soon are warned of. */
#define GCL_LOOK_DAYS 14

/** gcl_look_file() - read a file; a finding if it can't be. @fix: what makes it. @denied: what to
 * do about its permissions if that is what is wrong; NULL: who asks needn't have them. Return:
 * whether it was read. */
bool gcl_look_file(struct gcl_doctor *doctor, const char *path, const char *fix, const char *denied,
		   gnutls_datum_t *data);

/** gcl_look_secret() - a finding if everybody can read it. */
void gcl_look_secret(struct gcl_doctor *doctor, const char *path);

/** gcl_look_certificate() - the first one of a file: its name and dates, and with @ca whether that
 * vouches for it. @fix: what makes a new one. */
void gcl_look_certificate(struct gcl_doctor *doctor, const gnutls_datum_t *text,
			  const gnutls_datum_t *ca, const char *fix);

/** gcl_look_list() - a finding for a list of revoked certificates, by its date. */
void gcl_look_list(struct gcl_doctor *doctor, const char *path, time_t until);

/** gcl_look_names() - for whom a certificate is: names and addresses of a server, in one line. */
void gcl_look_names(gnutls_x509_crt_t certificate, char *text, size_t size);

/** gcl_look_name() - its common name, "?" without one. */
void gcl_look_name(gnutls_x509_crt_t certificate, char *name, size_t size);

#endif
