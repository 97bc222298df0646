// SPDX-License-Identifier: MIT
/*
 * Follows libvirt's domains: a list at the start and after each loss of the connection, events in
 * between.
 *
 * Every event makes us look at the domain again, by its UUID, and a line is written only if it says
 * something new. So it does not matter which events a version of libvirt sends, or in which order.
 *
 * Must not: change anything; the connection is a read-only one.
 */
#include "follow.h"

#include <ctype.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Pauses between tries to connect, in ms. */
#define PAUSE_FIRST 500
#define PAUSE_MAX   15000

/* libvirt is asked for a sign of life every so many seconds, and given up after so many without. */
#define ALIVE_SECONDS 5
#define ALIVE_COUNT   3

/* How long connecting and listing may take; guestcld starts a new follower then. */
#define CONNECT_SECONDS 60

/* ------------------------------------------------------------ what is known of domains */

static struct gcl_followed *followed_find(struct gcl_follower *follower, const char *uuid)
{
	for (size_t i = 0; i < follower->count; i++) {
		if (strcmp(follower->domains[i].uuid, uuid) == 0)
			return &follower->domains[i];
	}
	return NULL;
}

static struct gcl_followed *followed_add(struct gcl_follower *follower, const char *uuid)
{
	struct gcl_followed *domains =
		reallocarray(follower->domains, follower->count + 1, sizeof *domains);

	if (!domains)
		return NULL;
	follower->domains = domains;
	domains[follower->count] = (struct gcl_followed){0};
	snprintf(domains[follower->count].uuid, sizeof domains->uuid, "%s", uuid);
	return &domains[follower->count++];
}

/* It gets no devices any more. */
static void followed_forget(struct gcl_follower *follower, struct gcl_followed *domain)
{
	if (domain->line)
		fprintf(follower->out, "gone %s\n", domain->uuid);
	free(domain->line);
	domain->line = NULL;
}

static void followed_remove(struct gcl_follower *follower, struct gcl_followed *domain)
{
	followed_forget(follower, domain);
	*domain = follower->domains[--follower->count];
}

static void followed_stopped(struct gcl_follower *follower, struct gcl_followed *domain)
{
	if (domain->line)
		fprintf(follower->out, "stopped %s\n", domain->uuid);
	domain->running = false;
}

/* ------------------------------------------------------------ lines */

static void name_write(FILE *file, const char *name)
{
	for (; *name; name++) {
		unsigned char c = (unsigned char)*name;

		if (c <= ' ' || c == '%' || c == 0x7f)
			fprintf(file, "%%%02X", c);
		else
			fputc(c, file);
	}
}

/* The context id of the domain's vsock device, 0 without one. A running domain has it always. */
static unsigned long cid_find(virDomain *domain, bool running)
{
	_cleanup_(gcl_document_fini) struct gcl_document document = {0};
	_cleanup_free_ char *xml =
		virDomainGetXMLDesc(domain, running ? 0 : VIR_DOMAIN_XML_INACTIVE);
	char address[16];

	if (!xml || gcl_document_read(&document, xml) < 0 ||
	    !gcl_attribute(gcl_path(gcl_document_root(&document), "devices/vsock/cid"), "address",
			   address, sizeof address))
		return 0;
	return strtoul(address, NULL, 10);
}

/* Whether guestcld serves the socket that the domain looks for; if not, that is said once. */
static bool socket_check(const struct gcl_follower *follower, struct gcl_followed *domain,
			 const char *name, const struct gcl_record *record)
{
	const char *slash = strrchr(record->socket, '/');
	size_t length = slash ? (size_t)(slash - record->socket) : 0;
	bool told = domain->refused;
	char file[64];

	snprintf(file, sizeof file, GCL_SOCKET_FORMAT, domain->uuid);
	domain->refused = true;
	if (!slash || strcmp(slash + 1, file) != 0) {
		if (!told)
			gcl_say("%s has the device of the domain it was copied from, and gets no "
				"OpenCL devices: run guestcl attach for it",
				name);
		return false;
	}
	if (follower->vm_dir && (strlen(follower->vm_dir) != length ||
				 strncmp(follower->vm_dir, record->socket, length) != 0)) {
		if (!told)
			gcl_say("%s looks for its socket in %.*s, not in guestcld's vm-dir: run "
				"guestcl attach --vm-dir %s for it",
				name, (int)length, record->socket, follower->vm_dir);
		return false;
	}
	domain->refused = false;
	return true;
}

/* The line for an attached domain; NULL without memory, or if it gets no devices. */
static char *line_make(const struct gcl_follower *follower, struct gcl_followed *domain,
		       virDomain *handle, const struct gcl_record *record, bool running)
{
	const char *name = virDomainGetName(handle);
	unsigned long cid = cid_find(handle, running);
	char *line = NULL;
	size_t size;
	FILE *file;

	if (record->channel == GCL_CHANNEL_VIRTIO && !socket_check(follower, domain, name, record))
		return NULL;
	file = open_memstream(&line, &size);
	if (!file)
		return NULL;
	fprintf(file, "vm %s ", domain->uuid);
	name_write(file, name);
	if (record->channel == GCL_CHANNEL_VIRTIO)
		fprintf(file, " " GCL_SOCKET_FORMAT, domain->uuid);
	else
		fputs(" -", file);
	if (record->limits.memory)
		fprintf(file, " memory=%" PRIu64, record->limits.memory);
	if (record->limits.weight)
		fprintf(file, " weight=%u", record->limits.weight);
	if (cid)
		fprintf(file, " cid=%lu", cid);
	return fclose(file) == 0 ? line : NULL;
}

/* Looks at a domain and tells what is new. */
static void domain_look(struct gcl_follower *follower, virDomain *handle)
{
	_cleanup_(gcl_record_fini) struct gcl_record record = {0};
	_cleanup_free_ char *line = NULL;
	char uuid[VIR_UUID_STRING_BUFLEN];
	struct gcl_followed *domain;
	bool running = virDomainIsActive(handle) == 1;

	if (virDomainGetUUIDString(handle, uuid) < 0 || gcl_record_of(handle, &record) < 0)
		return;
	domain = followed_find(follower, uuid);
	if (!record.attached) {
		if (domain)
			followed_remove(follower, domain);
		return;
	}
	if (!domain)
		domain = followed_add(follower, uuid);
	if (!domain)
		return;
	domain->seen = true;
	line = line_make(follower, domain, handle, &record, running);
	if (domain->running && !running)
		followed_stopped(follower, domain);
	domain->running = running;
	if (!line)
		followed_forget(follower, domain);
	if (!line || (domain->line && strcmp(line, domain->line) == 0))
		return;
	fprintf(follower->out, "%s\n", line);
	free(domain->line);
	domain->line = steal_pointer(&line);
}

/* ------------------------------------------------------------ events */

/* The domain as it is now: an event's handle has the name it had then. */
static void event_look(struct gcl_follower *follower, virDomain *then)
{
	char uuid[VIR_UUID_STRING_BUFLEN];
	_cleanup_(gcl_domain_free) virDomain *now = NULL;
	struct gcl_followed *domain;

	if (virDomainGetUUIDString(then, uuid) < 0)
		return;
	now = virDomainLookupByUUIDString(follower->conn, uuid);
	domain = followed_find(follower, uuid);
	if (now)
		domain_look(follower, now);
	else if (domain && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
		followed_remove(follower, domain);
	fflush(follower->out);
}

static int on_lifecycle(virConnect *conn, virDomain *handle, int event, int detail, void *data)
{
	struct gcl_follower *follower = data;
	char uuid[VIR_UUID_STRING_BUFLEN];
	struct gcl_followed *domain;

	(void)conn;
	(void)detail;
	/* Even if it runs again by the time we look. */
	if ((event == VIR_DOMAIN_EVENT_STOPPED || event == VIR_DOMAIN_EVENT_CRASHED) &&
	    virDomainGetUUIDString(handle, uuid) == 0) {
		domain = followed_find(follower, uuid);
		if (domain && domain->running)
			followed_stopped(follower, domain);
	}
	event_look(follower, handle);
	return 0;
}

static void on_metadata(virConnect *conn, virDomain *handle, int type, const char *uri, void *data)
{
	(void)conn;
	if (type == VIR_DOMAIN_METADATA_ELEMENT && uri && strcmp(uri, GCL_METADATA_URI) == 0)
		event_look(data, handle);
}

/* ------------------------------------------------------------ the connection */

static void connection_drop(struct gcl_follower *follower)
{
	virConnect *conn = steal_pointer(&follower->conn);

	if (!conn)
		return;
	virConnectUnregisterCloseCallback(conn, NULL);
	if (follower->lifecycle >= 0)
		virConnectDomainEventDeregisterAny(conn, follower->lifecycle);
	if (follower->metadata >= 0)
		virConnectDomainEventDeregisterAny(conn, follower->metadata);
	virConnectClose(conn);
}

static void on_close(virConnect *conn, int reason, void *data)
{
	struct gcl_follower *follower = data;

	(void)conn;
	(void)reason;
	/* What is dropped here is closed by on_retry(), outside the connection's own callback. */
	follower->pause = PAUSE_FIRST;
	virEventUpdateTimeout(follower->retry, 0);
}

static void on_alarm(int signal_number)
{
	static const char text[] = "guestcl: libvirt doesn't answer\n";

	(void)signal_number;
	(void)!write(STDERR_FILENO, text, sizeof text - 1);
	_exit(GCL_EXIT_NO_CONNECTION);
}

/* Before the list, so that nothing happens between the two. */
static int events_register(struct gcl_follower *follower)
{
	virConnect *conn = follower->conn;

	follower->lifecycle = virConnectDomainEventRegisterAny(
		conn, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle),
		follower, NULL);
	follower->metadata = virConnectDomainEventRegisterAny(
		conn, NULL, VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
		VIR_DOMAIN_EVENT_CALLBACK(on_metadata), follower, NULL);
	if (follower->lifecycle < 0 || follower->metadata < 0)
		return -1;
	/* Drivers without a daemon behind them have neither. */
	virConnectRegisterCloseCallback(conn, on_close, follower, NULL);
	virConnectSetKeepAlive(conn, ALIVE_SECONDS, ALIVE_COUNT);
	return 0;
}

static int domains_list(struct gcl_follower *follower)
{
	virDomain **handles = NULL;
	int count = virConnectListAllDomains(follower->conn, &handles, 0);

	if (count < 0)
		return -1;
	for (size_t i = 0; i < follower->count; i++)
		follower->domains[i].seen = false;
	for (int i = 0; i < count; i++) {
		domain_look(follower, handles[i]);
		virDomainFree(handles[i]);
	}
	free(handles);
	/* What takes the place of a removed one is looked at next. */
	for (size_t i = 0; i < follower->count;) {
		if (follower->domains[i].seen)
			i++;
		else
			followed_remove(follower, &follower->domains[i]);
	}
	fputs("listed\n", follower->out);
	fflush(follower->out);
	return 0;
}

static bool connection_make(struct gcl_follower *follower)
{
	bool good;

	signal(SIGALRM, on_alarm);
	alarm(CONNECT_SECONDS);
	/* One line for each loss: later failures are the same or follow from it. */
	follower->conn = gcl_connect(follower->uri, true, follower->lost);
	follower->lifecycle = -1;
	follower->metadata = -1;
	good = follower->conn && events_register(follower) == 0 && domains_list(follower) == 0;
	alarm(0);
	if (follower->conn && !good && !follower->lost)
		gcl_say_libvirt("can't follow the domains of %s", follower->uri);
	if (!good)
		connection_drop(follower);
	if (good && follower->lost)
		gcl_say("following the domains of %s again", follower->uri);
	follower->lost = !good;
	return good;
}

static void on_retry(int timer, void *data)
{
	struct gcl_follower *follower = data;
	int pause = follower->pause;

	connection_drop(follower);
	if (connection_make(follower)) {
		virEventUpdateTimeout(timer, -1);
		return;
	}
	follower->pause = GCL_MIN(pause * 2, PAUSE_MAX);
	virEventUpdateTimeout(timer, pause);
}

int gcl_follower_init(struct gcl_follower *follower, const char *uri, const char *vm_dir, FILE *out)
{
	*follower = (struct gcl_follower){
		.uri = uri,
		.vm_dir = vm_dir,
		.out = out,
		.pause = PAUSE_FIRST,
		.lifecycle = -1,
		.metadata = -1,
	};
	follower->retry = virEventAddTimeout(0, on_retry, follower, NULL);
	if (follower->retry < 0) {
		gcl_say_libvirt("can't make a timer");
		return -1;
	}
	return 0;
}

void gcl_follower_fini(struct gcl_follower *follower)
{
	if (follower->retry >= 0)
		virEventRemoveTimeout(follower->retry);
	connection_drop(follower);
	for (size_t i = 0; i < follower->count; i++)
		free(follower->domains[i].line);
	free(follower->domains);
	follower->domains = NULL;
	follower->count = 0;
}

/* ------------------------------------------------------------ the command */

/* guestcld holds the other end, and is gone when this one ends. */
static void on_input(int watch, int fd, int events, void *data)
{
	struct gcl_follower *follower = data;
	char ignored[64];

	(void)events;
	if (read(fd, ignored, sizeof ignored) > 0)
		return;
	virEventRemoveHandle(watch);
	follower->stop = true;
}

enum gcl_exit gcl_follow(const struct gcl_command *command)
{
	struct gcl_follower follower;

	if (virEventRegisterDefaultImpl() < 0) {
		gcl_say_libvirt("can't make an event loop");
		return GCL_EXIT_FAILED;
	}
	if (gcl_follower_init(&follower, command->uri, command->vm_dir, stdout) < 0)
		return GCL_EXIT_FAILED;
	virEventAddHandle(STDIN_FILENO,
			  VIR_EVENT_HANDLE_READABLE | VIR_EVENT_HANDLE_HANGUP |
				  VIR_EVENT_HANDLE_ERROR,
			  on_input, &follower, NULL);
	while (!follower.stop && !ferror(stdout) && virEventRunDefaultImpl() == 0)
		;
	gcl_follower_fini(&follower);
	return follower.stop ? GCL_EXIT_OK : GCL_EXIT_FAILED;
}
