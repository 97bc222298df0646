// SPDX-License-Identifier: MIT
/*
 * The token, and whom the header Host may name.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "web.h"

#define SECRET_BYTES 32u

/* ------------------------------------------------------------ the token */

/* @text: of two characters a byte, and the end. */
static int secret_make(char *text)
{
	unsigned char bytes[SECRET_BYTES];

	if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
		return -EIO;
	for (size_t i = 0; i < sizeof bytes; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

/* One line of what can stand in a header and in a URL. */
static bool token_valid(const char *token)
{
	size_t length = strlen(token);

	for (const char *c = token; *c; c++) {
		if (!isalnum((unsigned char)*c) && !strchr("-._~", *c))
			return false;
	}
	return length >= GCL_WEB_TOKEN_MIN && length <= GCL_WEB_TOKEN_MAX;
}

/* Whole or not at all, whoever else does the same. */
static int token_make(const char *path)
{
	char secret[2 * SECRET_BYTES + 1], draft[4096];
	_cleanup_close_ int fd = -1;
	int err = secret_make(secret);

	if (err < 0)
		return err;
	if (snprintf(draft, sizeof draft, "%s", path) >= (int)sizeof draft)
		return -ENAMETOOLONG;
	mkdir(dirname(draft), 0700);
	if (snprintf(draft, sizeof draft, "%s.%d", path, (int)getpid()) >= (int)sizeof draft)
		return -ENAMETOOLONG;
	fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	err = dprintf(fd, "%s\n", secret) < 0 || fsync(fd) < 0 ? -errno : 0;
	if (err == 0 && link(draft, path) < 0 && errno != EEXIST)
		err = -errno;
	unlink(draft);
	return err;
}

static int token_read(struct gcl_web_access *access, const char *path, char *error, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char text[GCL_WEB_TOKEN_MAX + 2];
	struct stat stat;
	ssize_t n;

	if (fd < 0 || fstat(fd, &stat) < 0) {
		snprintf(error, size, "can't read the token in %s: %s", path, strerror(errno));
		return -errno;
	}
	if (!S_ISREG(stat.st_mode) || (stat.st_mode & 077)) {
		snprintf(error, size,
			 "%s holds the token: it must be a file that its owner alone can read "
			 "(chmod 600)",
			 path);
		return -EPERM;
	}
	n = read(fd, text, sizeof text - 1);
	text[GCL_MAX(n, 0)] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	if (!token_valid(text)) {
		snprintf(error, size,
			 "%s holds no token: that is a line of %u to %u letters, digits, "
			 "\"-\", \".\", \"_\" and \"~\"; remove it, and one is made",
			 path, GCL_WEB_TOKEN_MIN, GCL_WEB_TOKEN_MAX);
		return -EINVAL;
	}
	snprintf(access->token, sizeof access->token, "%s", text);
	return 0;
}

int gcl_web_access_init(struct gcl_web_access *access, const char *path, char *error, size_t size)
{
	int err = secret_make(access->cookie);

	if (err == 0 && faccessat(AT_FDCWD, path, F_OK, AT_EACCESS) < 0 && errno == ENOENT)
		err = token_make(path);
	if (err < 0) {
		snprintf(error, size, "can't make a token in %s: %s", path, strerror(-err));
		return err;
	}
	return token_read(access, path, error, size);
}

/* Takes as long for every text of a length. */
static bool secret_is(const char *secret, const char *text)
{
	size_t length = strlen(secret), given = text ? strlen(text) : 0;
	unsigned char differ = given != length;

	for (size_t i = 0; i < given && length; i++)
		differ |= (unsigned char)(secret[i % length] ^ text[i]);
	return !differ && length > 0;
}

bool gcl_web_token_is(const struct gcl_web_access *access, const char *text)
{
	return secret_is(access->token, text);
}

bool gcl_web_bearer_is(const struct gcl_web_access *access, const char *header)
{
	static const char scheme[] = "Bearer ";

	return header && strncasecmp(header, scheme, sizeof scheme - 1) == 0 &&
	       secret_is(access->token, header + sizeof scheme - 1);
}

bool gcl_web_cookie_is(const struct gcl_web_access *access, const char *value)
{
	return secret_is(access->cookie, value);
}

/* ------------------------------------------------------------ the header Host */

static bool port_is(const char *text)
{
	size_t digits = *text == ':' ? strspn(text + 1, "0123456789") : 0;

	return !*text || (digits > 0 && digits <= 5 && !text[1 + digits]);
}

static bool bracketed_is(const char *header)
{
	const char *end = strchr(header, ']');
	struct in6_addr address;
	char text[INET6_ADDRSTRLEN];

	if (!end || end - header > (ptrdiff_t)sizeof text)
		return false;
	snprintf(text, sizeof text, "%.*s", (int)(end - header - 1), header + 1);
	return inet_pton(AF_INET6, text, &address) == 1 && port_is(end + 1);
}

bool gcl_web_host_is(const struct gcl_web_access *access, const char *header)
{
	struct in_addr address;
	char name[256];
	size_t length;

	if (!header)
		return false;
	if (*header == '[')
		return bracketed_is(header);
	length = strcspn(header, ":");
	if (length >= sizeof name || !port_is(header + length))
		return false;
	snprintf(name, sizeof name, "%.*s", (int)length, header);
	if (inet_pton(AF_INET, name, &address) == 1 || strcasecmp(name, "localhost") == 0)
		return true;
	for (size_t i = 0; i < access->host_count; i++) {
		if (strcasecmp(name, access->hosts[i]) == 0)
			return true;
	}
	return false;
}
