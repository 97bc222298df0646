// SPDX-License-Identifier: MIT
/*
 * How a guest program finds its host.
 */
#include "connect.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "local.h"
#include "stream.h"
#include "tls.h"
#include "virtio.h"

static const char *path_or(const char *where, const char *otherwise)
{
	return *where ? where : otherwise;
}

static bool virtio_there(const char *where)
{
	return access(path_or(where, GCL_VIRTIO_DEVICE), F_OK) == 0;
}

static int virtio_connect(const char *where, struct gcl_channel **out, char *reason, size_t size)
{
	return gcl_virtio_connect(path_or(where, GCL_VIRTIO_DEVICE), out, reason, size);
}

static bool local_there(const char *where)
{
	return access(path_or(where, GCL_DEFAULT_SOCKET), F_OK) == 0;
}

static int local_connect(const char *where, struct gcl_channel **out, char *reason, size_t size)
{
	return gcl_local_connect(path_or(where, GCL_DEFAULT_SOCKET), out, reason, size);
}

static bool vsock_there(const char *where)
{
	(void)where;
	return gcl_vsock_in_vm();
}

/* Return: whether the whole of @text up to @end is a number, which is set. */
static bool number_parse(const char *text, const char *end, unsigned *number)
{
	unsigned long value;
	char *parsed;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoul(text, &parsed, 10);
	if (errno || parsed != end || value > UINT_MAX)
		return false;
	*number = (unsigned)value;
	return true;
}

/* "", "CID" or "CID:PORT" */
static bool vsock_parse(const char *where, unsigned *cid, unsigned *port)
{
	const char *colon = where + strcspn(where, ":");

	*cid = GCL_VSOCK_HOST;
	*port = GCL_VSOCK_PORT;
	if (!*where)
		return true;
	if (!number_parse(where, colon, cid))
		return false;
	return !*colon || number_parse(colon + 1, where + strlen(where), port);
}

static int vsock_connect(const char *where, struct gcl_channel **out, char *reason, size_t size)
{
	unsigned cid, port;

	if (!vsock_parse(where, &cid, &port)) {
		snprintf(reason, size,
			 "GUESTCL_CHANNEL is vsock:%s: set it to vsock, vsock:CID or "
			 "vsock:CID:PORT, with numbers",
			 where);
		return -EINVAL;
	}
	return gcl_vsock_connect(cid, port, out, reason, size);
}

static int stream_connect(const char *where, struct gcl_channel **out, char *reason, size_t size)
{
	if (!*where) {
		snprintf(reason, size, "GUESTCL_CHANNEL is stream: set it to stream:PATH");
		return -EINVAL;
	}
	return gcl_stream_connect(where, out, reason, size);
}

/* In the order in which they are tried. */
static const struct gcl_carrier carriers[] = {
	{"virtio", virtio_there, virtio_connect}, {"vsock", vsock_there, vsock_connect},
	{"local", local_there, local_connect},	  {"stream", NULL, stream_connect},
	{"tls", NULL, gcl_tls_connect},		  {0},
};

const struct gcl_carrier *gcl_carriers(void)
{
	return carriers;
}

/* "NAME" or "NAME:WHERE" */
static const struct gcl_carrier *carrier_find(const char *wanted, const char **where)
{
	size_t length = strcspn(wanted, ":");

	*where = wanted[length] ? wanted + length + 1 : "";
	for (const struct gcl_carrier *it = carriers; it->name; it++) {
		if (strlen(it->name) == length && memcmp(it->name, wanted, length) == 0)
			return it;
	}
	return NULL;
}

static const char *environment(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static void names_list(char *list, size_t size)
{
	size_t used = 0;

	for (const struct gcl_carrier *it = carriers; it->name && used < size; it++)
		used += (size_t)snprintf(list + used, size - used, "%s, ", it->name);
}

const struct gcl_carrier *gcl_carrier_wanted(const char **where, bool *auto_wanted, char *reason,
					     size_t reason_size)
{
	const char *wanted = environment("GUESTCL_CHANNEL");
	const char *socket = environment("GUESTCL_SOCKET");
	const struct gcl_carrier *carrier;
	char names[128] = "";

	*auto_wanted = !wanted || strcmp(wanted, "auto") == 0;
	if (*auto_wanted && !socket)
		return NULL;
	if (*auto_wanted)
		wanted = "local";
	*auto_wanted = false;
	carrier = carrier_find(wanted, where);
	if (!carrier) {
		names_list(names, sizeof names);
		snprintf(reason, reason_size,
			 "GUESTCL_CHANNEL is %s: set it to %sauto or none, or leave it away",
			 wanted, names);
		return NULL;
	}
	if (strcmp(carrier->name, "local") == 0 && !**where && socket)
		*where = socket;
	return carrier;
}

bool gcl_connect_wanted(void)
{
	const char *channel = environment("GUESTCL_CHANNEL");
	const char *socket = environment("GUESTCL_SOCKET");

	if (channel && strcmp(channel, "auto") != 0)
		return strcmp(channel, GCL_NO_CHANNEL) != 0;
	return !socket || strcmp(socket, GCL_NO_CHANNEL) != 0;
}

/* Adds what became of a carrier to the line for the user. */
static void reason_add(char *reason, size_t size, const char *name, const char *what)
{
	size_t used = strlen(reason);

	snprintf(reason + used, size - used, "%s%s: %s", used ? "; " : "", name, what);
}

static void reason_end(char *reason, size_t size, const char *text)
{
	size_t used = strlen(reason);

	if (used + strlen(text) < size)
		memcpy(reason + used, text, strlen(text) + 1);
}

/*
 * Tries all that are there, or all that are not. Return: 0, -errno of the first that failed, or
 * -ENOENT if there was none. What turns out not to be there is only worth a word when all fail:
 * @absent gets it.
 */
static int carriers_try(const struct gcl_carrier *table, bool there, struct gcl_channel **out,
			char *reason, char *absent, size_t reason_size)
{
	int result = 0;

	for (const struct gcl_carrier *it = table; it->name; it++) {
		char what[256] = "";
		int err;

		if (!it->there || it->there("") != there)
			continue;
		err = it->connect("", out, what, sizeof what);
		if (!err) {
			if (*reason)
				gcl_log_warn(session, "using %s, since: %s", it->name, reason);
			return 0;
		}
		if (err == -ENOENT && there) {
			reason_add(absent, reason_size, it->name, what);
			continue;
		}
		reason_add(reason, reason_size, it->name, what);
		result = result ? result : err;
	}
	return result ? result : -ENOENT;
}

/* What is there and doesn't work is what has to be mended; only if nothing is there it is all. */
int gcl_connect_auto(const struct gcl_carrier *table, struct gcl_channel **out, char *reason,
		     size_t reason_size)
{
	char absent[GCL_CONNECT_REASON_MAX] = "";
	int err;

	reason_size = GCL_MIN(reason_size, sizeof absent);
	*reason = '\0';
	err = carriers_try(table, true, out, reason, absent, reason_size);
	if (err && !*reason) {
		memcpy(reason, absent, strlen(absent) + 1);
		err = carriers_try(table, false, out, reason, absent, reason_size);
	}
	if (err)
		reason_end(reason, reason_size, " (guestcl doctor tells more)");
	return err;
}

int gcl_connect(struct gcl_channel **out, char *reason, size_t reason_size)
{
	const struct gcl_carrier *carrier;
	const char *where = "";
	bool auto_wanted;

	carrier = gcl_carrier_wanted(&where, &auto_wanted, reason, reason_size);
	if (carrier)
		return carrier->connect(where, out, reason, reason_size);
	if (!auto_wanted)
		return -EINVAL;
	return gcl_connect_auto(carriers, out, reason, reason_size);
}
