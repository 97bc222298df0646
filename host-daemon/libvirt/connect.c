// SPDX-License-Identifier: MIT
/*
 * Connections to libvirt, and the domain that a command names.
 *
 * Every error is one line on stderr that says what to do.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "libvirt.h"

/* How many names of domains an error lists. */
#define NAMES_LISTED 20

/* Looks for guestcld's socket, 50 ms apart. */
#define SERVED_TRIES 60

static void say(const char *format, va_list arguments, const char *more)
{
	char text[1024];

	vsnprintf(text, sizeof text, format, arguments);
	fprintf(stderr, "guestcl: %s%s%s\n", text, more ? ": " : "", more ? more : "");
}

void gcl_say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(format, arguments, NULL);
	va_end(arguments);
}

void gcl_say_libvirt(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(format, arguments, virGetLastErrorMessage());
	va_end(arguments);
}

void gcl_connection_close(virConnect **conn)
{
	if (*conn)
		virConnectClose(*conn);
}

void gcl_domain_free(virDomain **domain)
{
	if (*domain)
		virDomainFree(*domain);
}

/* What may help when a connection fails; libvirt's own words come before it. */
static const char *advice(void)
{
	const char *text = virGetLastErrorMessage();

	if (strstr(text, "Permission denied") || virGetLastErrorCode() == VIR_ERR_AUTH_FAILED ||
	    virGetLastErrorCode() == VIR_ERR_AUTH_CANCELLED)
		return "run as root, or add yourself to the group libvirt";
	if (virGetLastErrorCode() == VIR_ERR_NO_CONNECT ||
	    virGetLastErrorCode() == VIR_ERR_INVALID_ARG)
		return "name one that libvirt has, such as --connect qemu:///system";
	return "is libvirtd running? systemctl start libvirtd";
}

/* Errors are told by us, once. */
static void on_error(void *data, virError *error)
{
	(void)data;
	(void)error;
}

virConnect *gcl_connect(const char *uri, bool read_only, bool quiet)
{
	const char *shown = uri ? uri : "libvirt's default connection";
	virConnect *conn;

	virSetErrorFunc(NULL, on_error);
	conn = read_only ? virConnectOpenReadOnly(uri)
			 : virConnectOpenAuth(uri, virConnectAuthPtrDefault, 0);
	if (!conn && !quiet)
		gcl_say("can't connect to %s: %s; %s", shown, virGetLastErrorMessage(), advice());
	return conn;
}

static int host_ask(virConnect *conn, struct gcl_host *host)
{
	const char *driver = virConnectGetType(conn);

	*host = (struct gcl_host){0};
	if (!driver || virConnectGetLibVersion(conn, &host->libvirt) < 0)
		return -1;
	snprintf(host->driver, sizeof host->driver, "%s", driver);
	/* Without a QEMU for this machine there is none; the domain may name another. */
	if (virConnectGetVersion(conn, &host->hypervisor) < 0)
		host->hypervisor = 0;
	return 0;
}

/* The names of all domains, for who has mistyped one. */
static void names_say(virConnect *conn, const char *name)
{
	virDomain **domains = NULL;
	int count = virConnectListAllDomains(conn, &domains, 0);
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	for (int i = 0; i < count; i++) {
		if (file && i < NAMES_LISTED)
			fprintf(file, "%s%s", i ? ", " : "", virDomainGetName(domains[i]));
		virDomainFree(domains[i]);
	}
	free(domains);
	if (!file)
		return;
	if (count > NAMES_LISTED)
		fputs(" and others", file);
	fclose(file);
	if (count > 0)
		gcl_say("there is no domain \"%s\"; there are: %s", name, text);
	else
		gcl_say("there is no domain \"%s\", nor any other: see --connect", name);
}

static virDomain *domain_find(virConnect *conn, const char *name)
{
	virDomain *domain = virDomainLookupByName(conn, name);

	if (!domain && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
		domain = virDomainLookupByUUIDString(conn, name);
	if (domain)
		return domain;
	if (virGetLastErrorCode() == VIR_ERR_NO_DOMAIN ||
	    virGetLastErrorCode() == VIR_ERR_INVALID_ARG)
		names_say(conn, name);
	else
		gcl_say_libvirt("can't look for the domain \"%s\"", name);
	return NULL;
}

/* Whether libvirt's domains run on this host, and not in the test driver's fancy. */
static bool is_local(virConnect *conn)
{
	_cleanup_free_ char *uri = virConnectGetURI(conn), *host = virConnectGetHostname(conn);
	char here[256] = "";

	gethostname(here, sizeof here - 1);
	return uri && strncmp(uri, "test", 4) != 0 && host &&
	       strncmp(host, here, strcspn(here, ".")) == 0;
}

enum gcl_exit gcl_target_open(struct gcl_target *target, const struct gcl_command *command)
{
	*target = (struct gcl_target){0};
	target->conn = gcl_connect(command->uri, false, false);
	if (!target->conn)
		return GCL_EXIT_NO_CONNECTION;
	if (host_ask(target->conn, &target->host) < 0) {
		gcl_say_libvirt("can't ask libvirt for its version");
		return GCL_EXIT_NO_CONNECTION;
	}
	target->domain = domain_find(target->conn, command->domain);
	if (!target->domain)
		return GCL_EXIT_NO_DOMAIN;
	target->name = virDomainGetName(target->domain);
	virDomainGetUUIDString(target->domain, target->uuid);
	target->local = is_local(target->conn);
	target->running = virDomainIsActive(target->domain) == 1;
	if (virDomainIsPersistent(target->domain) == 0) {
		gcl_say("%s is transient: it has no definition that outlives it; make it with "
			"\"virsh define\" first",
			target->name);
		return GCL_EXIT_UNSUITABLE;
	}
	return GCL_EXIT_OK;
}

void gcl_target_fini(struct gcl_target *target)
{
	gcl_domain_free(&target->domain);
	gcl_connection_close(&target->conn);
}

enum gcl_exit gcl_target_document(const struct gcl_target *target, unsigned flags,
				  struct gcl_document *document, struct gcl_record *record)
{
	_cleanup_free_ char *xml = virDomainGetXMLDesc(target->domain, flags);
	int err;

	if (!xml) {
		gcl_say_libvirt("can't read the definition of %s", target->name);
		return GCL_EXIT_FAILED;
	}
	err = gcl_document_read(document, xml);
	if (err == 0)
		err = gcl_record_read(record, gcl_record_find(document));
	if (err < 0) {
		gcl_say("can't read the definition of %s: %s", target->name, strerror(-err));
		return GCL_EXIT_FAILED;
	}
	return GCL_EXIT_OK;
}

int gcl_record_of(virDomain *domain, struct gcl_record *record)
{
	_cleanup_(gcl_document_fini) struct gcl_document document = {0};
	_cleanup_free_ char *xml = NULL;
	int err;

	*record = (struct gcl_record){0};
	if (virDomainIsActive(domain) == 1)
		xml = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, GCL_METADATA_URI,
					   VIR_DOMAIN_AFFECT_LIVE);
	if (!xml)
		xml = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, GCL_METADATA_URI,
					   VIR_DOMAIN_AFFECT_CONFIG);
	if (!xml)
		return 0;
	err = gcl_document_read(&document, xml);
	return err < 0 ? err : gcl_record_read(record, gcl_document_root(&document));
}

enum gcl_exit gcl_target_define(struct gcl_target *target, const char *xml)
{
	virDomain *domain = virDomainDefineXML(target->conn, xml);

	if (!domain) {
		gcl_say_libvirt("libvirt refuses the new definition of %s, which stays as it was",
				target->name);
		return GCL_EXIT_FAILED;
	}
	virDomainFree(domain);
	return GCL_EXIT_OK;
}

/*
 * A socket of another kind than the one there is refused in another way than by nobody, and
 * guestcld takes no notice of it: it would take a connection for the VMM's.
 */
static bool is_served(const char *path)
{
	_cleanup_close_ int probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	return probe < 0 ||
	       (connect(probe, (const struct sockaddr *)&address, sizeof address) < 0 &&
		errno != ENOENT && errno != ECONNREFUSED);
}

bool gcl_socket_served(const struct gcl_target *target, const char *path)
{
	static const struct timespec pause = {.tv_nsec = 50000000};

	/* guestcld learns of a new domain by an event. */
	for (int i = 0; target->local && !is_served(path); i++) {
		if (i == SERVED_TRIES)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

/* A user's own libvirt runs QEMU as that user, who has a guestcld of the same kind. */
int gcl_socket_path(const struct gcl_target *target, const char *vm_dir, char *path, size_t size)
{
	_cleanup_free_ char *uri = virConnectGetURI(target->conn);
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	bool session = uri && strstr(uri, "/session");
	int n;

	if (vm_dir)
		n = snprintf(path, size, "%s/" GCL_SOCKET_FORMAT, vm_dir, target->uuid);
	else if (session && runtime && *runtime)
		n = snprintf(path, size, "%s/guestcl/vm/" GCL_SOCKET_FORMAT, runtime, target->uuid);
	else
		n = snprintf(path, size, "/run/guestcl/vm/" GCL_SOCKET_FORMAT, target->uuid);
	if (n < 0 || (size_t)n >= size || *path != '/') {
		gcl_say("the socket's path %s is %s: set --vm-dir", path,
			*path == '/' ? "too long" : "not absolute");
		return -1;
	}
	return 0;
}
