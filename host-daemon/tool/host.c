// SPDX-License-Identifier: MIT
/*
 * guestcl doctor: what a host needs: a runtime, the daemon, sockets for VMs.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "doctor.h"
#include "local.h"

#define VENDORS "/etc/OpenCL/vendors"

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), of = strlen(end);

	return length >= of && strcmp(text + length - of, end) == 0;
}

/* Vendor files that don't name guestcl's own library. */
static unsigned runtimes_count(const struct gcl_doctor *doctor)
{
	char folder[1024], path[2048], line[512];
	struct dirent *entry;
	unsigned count = 0;
	DIR *entries;

	snprintf(folder, sizeof folder, "%s", gcl_doctor_file(doctor, VENDORS));
	entries = opendir(folder);
	while (entries && (entry = readdir(entries))) {
		_cleanup_fclose_ FILE *file = NULL;

		if (!ends_with(entry->d_name, ".icd"))
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		file = fopen(path, "re");
		if (file && fgets(line, sizeof line, file) && !strstr(line, "libguestcl"))
			count++;
	}
	if (entries)
		closedir(entries);
	return count;
}

static void runtimes_look(struct gcl_doctor *doctor)
{
	unsigned count = runtimes_count(doctor);

	if (count)
		gcl_find(doctor, "runtimes", GCL_FOUND_GOOD, NULL,
			 "%u OpenCL %s of this host's for guests to use", count,
			 count == 1 ? "runtime" : "runtimes");
	else
		gcl_find(doctor, "runtimes", GCL_FOUND_BAD, "apt-get install pocl-opencl-icd",
			 "no OpenCL runtime of this host's for guests to use");
}

#define STATE_FIELD	5 /* from 0 */
#define STATE_CONNECTED "03"

/* Is it a connection's, in the kernel's list of Unix sockets? */
static bool line_connected(const char *line)
{
	for (unsigned field = 0; field < STATE_FIELD; field++) {
		line += strcspn(line, " ");
		line += strspn(line, " ");
	}
	return strncmp(line, STATE_CONNECTED, strlen(STATE_CONNECTED)) == 0;
}

/* How many connections a Unix socket has. */
static unsigned connections(const struct gcl_doctor *doctor, const char *socket)
{
	_cleanup_fclose_ FILE *file = fopen(gcl_doctor_file(doctor, "/proc/net/unix"), "re");
	unsigned count = 0;
	char line[512];

	while (file && fgets(line, sizeof line, file)) {
		const char *path = strchr(line, '/');

		line[strcspn(line, "\n")] = '\0';
		if (path && strcmp(path, socket) == 0 && line_connected(line))
			count++;
	}
	return count;
}

static void vm_look(struct gcl_doctor *doctor, const char *name)
{
	char socket[1024];
	int length = (int)(strlen(name) - strlen(".sock"));

	snprintf(socket, sizeof socket, "%s/%s", doctor->vm_dir, name);
	if (connections(doctor, socket))
		gcl_find(doctor, "vm", GCL_FOUND_GOOD, NULL, "%.*s: its VMM is connected", length,
			 name);
	else
		gcl_find(doctor, "vm", GCL_FOUND_ABSENT, NULL,
			 "%.*s: no VMM is connected to %s; it is off, or has no device for it",
			 length, name, socket);
}

static void vms_look(struct gcl_doctor *doctor)
{
	DIR *entries = opendir(gcl_doctor_file(doctor, doctor->vm_dir));
	struct dirent *entry;
	unsigned count = 0;

	if (!entries && errno == EACCES) {
		gcl_find(doctor, "vm", GCL_FOUND_ABSENT, "ask again as root", "%s can't be read",
			 doctor->vm_dir);
		return;
	}
	while (entries && (entry = readdir(entries))) {
		if (!ends_with(entry->d_name, ".sock"))
			continue;
		count++;
		vm_look(doctor, entry->d_name);
	}
	if (entries)
		closedir(entries);
	if (!count)
		gcl_find(doctor, "vm", GCL_FOUND_ABSENT,
			 "guestcl attach DOMAIN (libvirt), or a section vm \"NAME\" in "
			 "/etc/guestcl/guestcld.conf",
			 "no sockets for VMs in %s", doctor->vm_dir);
}

static void libvirt_look(struct gcl_doctor *doctor)
{
	static const char *const sockets[] = {"/run/libvirt/virtqemud-sock",
					      "/run/libvirt/libvirt-sock"};

	for (unsigned i = 0; i < GCL_ARRAY_SIZE(sockets); i++) {
		if (access(gcl_doctor_file(doctor, sockets[i]), F_OK) == 0) {
			gcl_find(doctor, "libvirt", GCL_FOUND_GOOD, NULL,
				 "libvirt listens at %s: guestcl list shows its domains",
				 sockets[i]);
			return;
		}
	}
	gcl_find(doctor, "libvirt", GCL_FOUND_ABSENT, NULL, "libvirt does not run here");
}

static void vsock_look(struct gcl_doctor *doctor)
{
	if (access(gcl_doctor_file(doctor, "/dev/vhost-vsock"), F_OK) == 0)
		gcl_find(doctor, "vsock", GCL_FOUND_GOOD, NULL,
			 "/dev/vhost-vsock is there: guests can come by vsock");
	else
		gcl_find(doctor, "vsock", GCL_FOUND_ABSENT, "modprobe vhost_vsock",
			 "no /dev/vhost-vsock: guests come by vsock only from VMMs that bring it "
			 "to a Unix socket");
}

void gcl_doctor_host(struct gcl_doctor *doctor)
{
	if (!doctor->on_host)
		return;
	if (access(gcl_doctor_file(doctor, GCL_DEFAULT_SOCKET), F_OK) == 0)
		gcl_find(doctor, "guestcld", GCL_FOUND_GOOD, NULL, "guestcld has its socket at %s",
			 GCL_DEFAULT_SOCKET);
	else
		gcl_find(doctor, "guestcld", GCL_FOUND_BAD, "systemctl start guestcld",
			 "guestcld does not run, or listens elsewhere: no %s", GCL_DEFAULT_SOCKET);
	runtimes_look(doctor);
	vms_look(doctor);
	vsock_look(doctor);
	libvirt_look(doctor);
}
