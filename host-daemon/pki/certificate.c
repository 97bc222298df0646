// SPDX-License-Identifier: MIT
/*
 * Certificates of version 3, as TLS wants them: what each may be used for stands in it.
 */
#include <arpa/inet.h>
#include <gnutls/crypto.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "pki.h"

/* Clocks differ. */
#define EARLIER_SECONDS 3600
#define DAY_SECONDS	86400

#define SERIAL_BYTES 16

/* What guestcld takes for the name of a VM. */
#define CLIENT_NAME_MAX 64u

static bool made_of(const char *name, const char *letters)
{
	return *name && strspn(name, letters) == strlen(name);
}

static bool address_parse(const char *name, unsigned char *bytes, unsigned *size)
{
	*size = 4;
	if (inet_pton(AF_INET, name, bytes) == 1)
		return true;
	*size = 16;
	return inet_pton(AF_INET6, name, bytes) == 1;
}

bool gcl_pki_name_valid(enum gcl_pki_use use, const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.-_";
	unsigned char address[16];
	unsigned size;

	if (use == GCL_PKI_SERVER && address_parse(name, address, &size))
		return true;
	return made_of(name, letters) && *name != '.' && *name != '-' &&
	       strlen(name) <= (use == GCL_PKI_CLIENT ? CLIENT_NAME_MAX : 253u);
}

void gcl_pki_pair_fini(struct gcl_pki_pair *pair)
{
	if (pair->certificate)
		gnutls_x509_crt_deinit(pair->certificate);
	if (pair->key)
		gnutls_x509_privkey_deinit(pair->key);
	*pair = (struct gcl_pki_pair){0};
}

static int key_make(gnutls_x509_privkey_t key)
{
	unsigned bits = GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);

	return gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, bits, 0);
}

static int serial_set(gnutls_x509_crt_t certificate)
{
	unsigned char serial[SERIAL_BYTES];
	int err = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof serial);

	serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, and of that length */
	return err ? err : gnutls_x509_crt_set_serial(certificate, serial, sizeof serial);
}

static int times_set(gnutls_x509_crt_t certificate, unsigned days)
{
	time_t now = time(NULL);
	int err = gnutls_x509_crt_set_activation_time(certificate, now - EARLIER_SECONDS);

	return err ? err
		   : gnutls_x509_crt_set_expiration_time(certificate,
							 now + (time_t)days * DAY_SECONDS);
}

static int names_set(gnutls_x509_crt_t certificate, enum gcl_pki_use use,
		     const struct gcl_pki_wish *wish)
{
	int err = gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0,
						wish->names[0], (unsigned)strlen(wish->names[0]));

	for (size_t i = 0; use != GCL_PKI_AUTHORITY && err == 0 && i < wish->name_count; i++) {
		const char *name = wish->names[i];
		unsigned char address[16];
		unsigned size;
		bool is_address = address_parse(name, address, &size);

		err = gnutls_x509_crt_set_subject_alt_name(
			certificate, is_address ? GNUTLS_SAN_IPADDRESS : GNUTLS_SAN_DNSNAME,
			is_address ? (const void *)address : name,
			is_address ? size : (unsigned)strlen(name), GNUTLS_FSAN_APPEND);
	}
	return err;
}

static int use_set(gnutls_x509_crt_t certificate, enum gcl_pki_use use)
{
	const char *purpose =
		use == GCL_PKI_SERVER ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT;
	int err;

	if (use == GCL_PKI_AUTHORITY) {
		err = gnutls_x509_crt_set_basic_constraints(certificate, 1, 0);
		return err ? err
			   : gnutls_x509_crt_set_key_usage(
				     certificate, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
	}
	err = gnutls_x509_crt_set_basic_constraints(certificate, 0, -1);
	if (err == 0)
		err = gnutls_x509_crt_set_key_usage(certificate, GNUTLS_KEY_DIGITAL_SIGNATURE);
	return err ? err : gnutls_x509_crt_set_key_purpose_oid(certificate, purpose, 0);
}

/* By which chains are found. */
static int key_ids_set(gnutls_x509_crt_t certificate, const struct gcl_pki_pair *issuer)
{
	unsigned char id[64];
	size_t size = sizeof id;
	int err = gnutls_x509_crt_get_key_id(certificate, 0, id, &size);

	if (err == 0)
		err = gnutls_x509_crt_set_subject_key_id(certificate, id, size);
	if (err == 0 && issuer) {
		size = sizeof id;
		err = gnutls_x509_crt_get_key_id(issuer->certificate, 0, id, &size);
	}
	return err ? err : gnutls_x509_crt_set_authority_key_id(certificate, id, size);
}

static int fill(struct gcl_pki_pair *pair, enum gcl_pki_use use, const struct gcl_pki_wish *wish,
		const struct gcl_pki_pair *issuer)
{
	gnutls_x509_crt_t certificate = pair->certificate;
	int err = gnutls_x509_crt_set_version(certificate, 3);

	if (err == 0)
		err = gnutls_x509_crt_set_key(certificate, pair->key);
	if (err == 0)
		err = serial_set(certificate);
	if (err == 0)
		err = times_set(certificate, wish->days);
	if (err == 0)
		err = names_set(certificate, use, wish);
	if (err == 0)
		err = use_set(certificate, use);
	return err ? err : key_ids_set(certificate, issuer);
}

int gcl_pki_pair_make(struct gcl_pki_pair *pair, enum gcl_pki_use use,
		      const struct gcl_pki_wish *wish, const struct gcl_pki_pair *issuer)
{
	const struct gcl_pki_pair *signer = issuer ? issuer : pair;
	int err;

	*pair = (struct gcl_pki_pair){0};
	err = gnutls_x509_privkey_init(&pair->key);
	if (err == 0)
		err = gnutls_x509_crt_init(&pair->certificate);
	if (err == 0)
		err = key_make(pair->key);
	if (err == 0)
		err = fill(pair, use, wish, issuer);
	if (err == 0)
		err = gnutls_x509_crt_sign2(pair->certificate, signer->certificate, signer->key,
					    GNUTLS_DIG_SHA256, 0);
	if (err < 0)
		gcl_pki_pair_fini(pair);
	return err;
}
