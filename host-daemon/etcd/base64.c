// SPDX-License-Identifier: MIT
/*
 * Base64, in which etcd's gateway has keys and values: GnuTLS's.
 */
#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "etcd.h"

char *gcl_base64_encode(const void *data, size_t size)
{
	const gnutls_datum_t plain = {.data = (unsigned char *)data, .size = (unsigned)size};
	gnutls_datum_t coded;
	char *copy;

	if (gnutls_base64_encode2(&plain, &coded) < 0)
		return NULL;
	copy = strndup((const char *)coded.data, coded.size);
	gnutls_free(coded.data);
	return copy;
}

int gcl_base64_decode(const char *text, char *out, size_t size)
{
	gnutls_datum_t coded = {.data = (unsigned char *)text, .size = (unsigned)strlen(text)};
	gnutls_datum_t plain = {0};
	int err = 0;

	if (!coded.size) {
		*out = '\0';
		return 0;
	}
	/* Three bytes in four; what is far too long isn't decoded. */
	if (strlen(text) / 4 * 3 > size + 2)
		return -EMSGSIZE;
	if (gnutls_base64_decode2(&coded, &plain) < 0)
		return -EINVAL;
	if (plain.size >= size)
		err = -EMSGSIZE;
	else if (memchr(plain.data, '\0', plain.size))
		err = -EINVAL;
	if (err == 0) {
		memcpy(out, plain.data, plain.size);
		out[plain.size] = '\0';
	}
	gnutls_free(plain.data);
	return err;
}

ptrdiff_t gcl_base64_decode_bytes(const char *text, void *out, size_t room)
{
	/* Four characters are three bytes; a cut between these is no mistake. */
	size_t length = GCL_MIN(strlen(text), room / 3 * 4);
	const gnutls_datum_t coded = {.data = (unsigned char *)text, .size = (unsigned)length};
	gnutls_datum_t plain = {0};
	ptrdiff_t size;

	if (!length)
		return 0;
	if (gnutls_base64_decode2(&coded, &plain) < 0)
		return -EINVAL;
	size = (ptrdiff_t)GCL_MIN(plain.size, room);
	memcpy(out, plain.data, (size_t)size);
	gnutls_free(plain.data);
	return size;
}
