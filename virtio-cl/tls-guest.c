// SPDX-License-Identifier: MIT
/*
 * The guest's way to a GPU server: the module that knows TLS, and a stream channel over what it
 * gives.
 */
#include "tls.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "stream-channel.h"

static const char *environment_or(const char *name, const char *otherwise)
{
	const char *value = secure_getenv(name);

	return value && *value ? value : otherwise;
}

/* It stays for the program's life: its threads run in it. Return: NULL and @reason. */
static const struct gcl_tls_module *module_load(char *reason, size_t size)
{
	const char *path = environment_or("GUESTCL_TLS_MODULE", GUESTCL_TLS_MODULE);
	const struct gcl_tls_module *module;
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	if (!library) {
		snprintf(reason, size, "no TLS: %s", dlerror());
		return NULL;
	}
	module = dlsym(library, GCL_TLS_MODULE_SYMBOL);
	if (module && module->version == GCL_TLS_MODULE_VERSION)
		return module;
	snprintf(reason, size,
		 "no TLS: %s is of another version of guestcl: install one of the same", path);
	return NULL;
}

static bool part_copy(char *to, size_t room, const char *from, size_t size)
{
	if (size == 0 || size >= room)
		return false;
	memcpy(to, from, size);
	to[size] = '\0';
	return true;
}

/* "//HOST:PORT"; an address of IPv6 stands in brackets. */
bool gcl_tls_where(const char *where, char host[GCL_TLS_HOST_MAX], char port[GCL_TLS_PORT_MAX])
{
	const char *end;

	if (strncmp(where, "//", 2) == 0)
		where += 2;
	if (*where == '[') {
		end = strchr(++where, ']');
		if (!end || !part_copy(host, GCL_TLS_HOST_MAX, where, (size_t)(end - where)))
			return false;
		end++;
	} else {
		end = where + strcspn(where, ":");
		if (!part_copy(host, GCL_TLS_HOST_MAX, where, (size_t)(end - where)))
			return false;
	}
	if (!*end)
		return part_copy(port, GCL_TLS_PORT_MAX, GCL_TLS_PORT, strlen(GCL_TLS_PORT));
	return *end == ':' && strspn(end + 1, "0123456789") == strlen(end + 1) &&
	       part_copy(port, GCL_TLS_PORT_MAX, end + 1, strlen(end + 1)) &&
	       strtoul(port, NULL, 10) - 1 < 65535;
}

int gcl_tls_connect(const char *where, struct gcl_channel **out, char *reason, size_t reason_size)
{
	char host[GCL_TLS_HOST_MAX], port[GCL_TLS_PORT_MAX],
		name[GCL_TLS_HOST_MAX + GCL_TLS_PORT_MAX + 16], why[192];
	struct gcl_tls_place place = {
		.host = host,
		.port = port,
		.folder = environment_or("GUESTCL_TLS", GCL_TLS_FOLDER),
		.timeout_ms = GCL_HELLO_TIMEOUT_MS,
	};
	const struct gcl_tls_module *module;
	struct gcl_tls_client *client;
	int conn, err;

	if (!gcl_tls_where(where, host, port)) {
		snprintf(reason, reason_size,
			 "GUESTCL_CHANNEL is tls:%s: set it to tls://HOST or tls://HOST:PORT",
			 where);
		return -EINVAL;
	}
	module = module_load(reason, reason_size);
	if (!module)
		return -ENOTSUP;
	err = module->open(&place, &conn, &client, reason, reason_size);
	if (err)
		return err;
	snprintf(name, sizeof name, "%s port %s", host, port);
	err = gcl_stream_greet(conn, name, GCL_HELLO_TIMEOUT_MS, out, reason, reason_size);
	if (err) {
		module->reason(client, why, sizeof why);
		if (*why)
			snprintf(reason, reason_size, "no session with %s: %s", name, why);
	}
	module->release(client);
	return err;
}
