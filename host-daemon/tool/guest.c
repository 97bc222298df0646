// SPDX-License-Identifier: MIT
/*
 * guestcl doctor: what a guest needs: a device, its driver, a channel.
 *
 * Must not: change anything, load anything into the kernel.
 */
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "connect.h"
#include "doctor.h"
#include "local.h"
#include "stream.h"
#include "uapi/virtio_cl.h"
#include "virtio.h"

#define MODULE "virtio_cl"

static bool file_there(const struct gcl_doctor *doctor, const char *path)
{
	return access(gcl_doctor_file(doctor, path), F_OK) == 0;
}

/* The first line of a small file, without its end; "" if it can't be read. */
static void line_read(const char *path, char *line, size_t size)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");

	*line = '\0';
	if (file && fgets(line, (int)size, file))
		line[strcspn(line, "\n")] = '\0';
}

static bool cpu_is_virtual(const struct gcl_doctor *doctor)
{
	_cleanup_fclose_ FILE *file = fopen(gcl_doctor_file(doctor, "/proc/cpuinfo"), "re");
	char line[4096];

	while (file && fgets(line, sizeof line, file)) {
		if (strncmp(line, "flags", 5) == 0)
			return strstr(line, " hypervisor");
	}
	return false;
}

void gcl_doctor_machine(struct gcl_doctor *doctor)
{
	doctor->in_vm = cpu_is_virtual(doctor) || file_there(doctor, GCL_VIRTIO_DEVICE);
	doctor->on_host = file_there(doctor, "/usr/sbin/guestcld") ||
			  file_there(doctor, "/usr/local/sbin/guestcld") ||
			  file_there(doctor, "/run/guestcl");
}

/* ------------------------------------------------------------ the device */

/* A device of the generic carrier, or a block device that the kernel's driver of disks left alone.
 */
static bool device_is_ours(const char *folder)
{
	char path[4160], text[256] = "";
	unsigned long id;

	snprintf(path, sizeof path, "%s/device", folder);
	line_read(path, text, sizeof text);
	id = strtoul(text, NULL, 0);
	if (id == VIRTIO_CL_ID)
		return true;
	if (id != VIRTIO_CL_ID_SHELL)
		return false;
	snprintf(path, sizeof path, "%s/driver", folder);
	return access(path, F_OK) != 0;
}

static bool device_bound(const char *folder)
{
	char path[4160], driver[256];
	ssize_t n;

	snprintf(path, sizeof path, "%s/driver", folder);
	n = readlink(path, driver, sizeof driver - 1);
	driver[n > 0 ? n : 0] = '\0';
	return strstr(driver, MODULE);
}

/* Looks at the virtio devices. Return: whether one is ours; @bound: and has our driver. */
static bool device_find(const struct gcl_doctor *doctor, bool *bound)
{
	char root[2048], folder[4096];
	struct dirent *entry;
	bool found = false;
	DIR *devices;

	snprintf(root, sizeof root, "%s", gcl_doctor_file(doctor, "/sys/bus/virtio/devices"));
	devices = opendir(root);
	while (devices && !*bound && (entry = readdir(devices))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(folder, sizeof folder, "%s/%s", root, entry->d_name);
		*bound = device_bound(folder);
		found |= *bound || device_is_ours(folder);
	}
	if (devices)
		closedir(devices);
	return found;
}

/* Is the module among those of the running kernel? depmod's list says. */
static bool module_installed(const struct gcl_doctor *doctor)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[512], line[1024];
	struct utsname name;

	if (uname(&name) < 0)
		return false;
	snprintf(path, sizeof path, "/lib/modules/%s/modules.dep", name.release);
	file = fopen(gcl_doctor_file(doctor, path), "re");
	while (file && fgets(line, sizeof line, file)) {
		const char *at = strstr(line, "/" MODULE ".ko");

		if (at && at < strchrnul(line, ':'))
			return true;
	}
	return false;
}

static void module_look(struct gcl_doctor *doctor, bool needed)
{
	if (file_there(doctor, "/sys/module/" MODULE))
		gcl_find(doctor, "driver", GCL_FOUND_GOOD, NULL, "the module " MODULE " is loaded");
	else if (module_installed(doctor))
		gcl_find(doctor, "driver", needed ? GCL_FOUND_BAD : GCL_FOUND_ABSENT,
			 needed ? "modprobe " MODULE : NULL,
			 "the module " MODULE " is installed, but not loaded");
	else
		gcl_find(doctor, "driver", needed ? GCL_FOUND_BAD : GCL_FOUND_ABSENT,
			 needed ? "dkms install virtio-cl/" GUESTCL_VERSION " && modprobe " MODULE
				: NULL,
			 "the module " MODULE " is not installed for this kernel");
}

void gcl_doctor_driver(struct gcl_doctor *doctor)
{
	bool bound = false;
	bool found = device_find(doctor, &bound);

	if (!found && !doctor->in_vm)
		return;
	if (!found)
		gcl_find(doctor, "device", GCL_FOUND_ABSENT,
			 "on the host: guestcl attach DOMAIN (libvirt), or give QEMU the device as "
			 "in docs/libvirt-and-qemu.md",
			 "this VM has no virtio-cl device");
	else
		gcl_find(doctor, "device", GCL_FOUND_GOOD, NULL, "this VM has a virtio-cl device");
	module_look(doctor, found);
	if (found && !bound && file_there(doctor, "/sys/module/" MODULE))
		gcl_find(doctor, "device", GCL_FOUND_BAD, "look at dmesg",
			 "the driver did not take the device");
}

/* ------------------------------------------------------------ channels */

static void group_of(const struct gcl_doctor *doctor, const char *path, char *name, size_t size)
{
	struct group memory, *group = NULL;
	char buffer[1024];
	struct stat st;

	if (stat(gcl_doctor_file(doctor, path), &st) < 0 ||
	    getgrgid_r(st.st_gid, &memory, buffer, sizeof buffer, &group) != 0)
		group = NULL;
	snprintf(name, size, "%s", group ? group->gr_name : "render");
}

/* The command for what a connection failed with. A daemon that refuses says itself what to do. */
static void fix_of(const struct gcl_doctor *doctor, const char *carrier, int err, char *fix,
		   size_t size)
{
	char group[64];

	*fix = '\0';
	if (strcmp(carrier, "virtio") == 0 && (err == -EACCES || err == -EPERM)) {
		group_of(doctor, GCL_VIRTIO_DEVICE, group, sizeof group);
		snprintf(fix, size, "usermod -aG %s %s, and log in again", group,
			 getenv("USER") ? getenv("USER") : "USER");
	} else if (strcmp(carrier, "tls") == 0) {
		snprintf(fix, size, "look at the lines above, and at the server's log");
	} else if (err == -EREMOTEIO) {
		return;
	} else if (strcmp(carrier, "local") == 0 && doctor->on_host) {
		snprintf(fix, size, "systemctl start guestcld");
	} else if (err == -EHOSTDOWN || err == -ECONNREFUSED || err == -ECONNRESET) {
		snprintf(fix, size, "on the host: systemctl start guestcld");
	}
}

/* Opens a session for a moment. Return: 0 or -errno. */
static int carrier_try(struct gcl_doctor *doctor, const struct gcl_carrier *carrier,
		       const char *where, bool wanted)
{
	struct gcl_channel *channel = NULL;
	char reason[GCL_CONNECT_REASON_MAX] = "", fix[256];
	int err = carrier->connect(where, &channel, reason, sizeof reason);

	gcl_channel_close(channel);
	if (!err) {
		gcl_find(doctor, carrier->name, GCL_FOUND_GOOD, NULL, "the host takes sessions%s%s",
			 *where ? " at " : "", where);
		return 0;
	}
	fix_of(doctor, carrier->name, err, fix, sizeof fix);
	gcl_find(doctor, carrier->name, wanted ? GCL_FOUND_BAD : GCL_FOUND_ABSENT, fix, "%s",
		 reason);
	return err;
}

static void chosen(struct gcl_doctor *doctor, const char *name, const char *why)
{
	snprintf(doctor->channel, sizeof doctor->channel, "%s", name);
	snprintf(doctor->why, sizeof doctor->why, "%s", why);
}

/* What GUESTCL_CHANNEL and GUESTCL_SOCKET say. */
static void environment_text(char *text, size_t size)
{
	const char *channel = getenv("GUESTCL_CHANNEL");
	const char *socket = getenv("GUESTCL_SOCKET");

	if (channel && *channel && strcmp(channel, "auto") != 0)
		snprintf(text, size, "GUESTCL_CHANNEL is %s", channel);
	else
		snprintf(text, size, "GUESTCL_SOCKET is %s", socket ? socket : "");
}

static void wanted_look(struct gcl_doctor *doctor, const struct gcl_carrier *carrier,
			const char *where)
{
	char why[512];

	environment_text(why, sizeof why);
	if (strcmp(carrier->name, "tls") == 0)
		gcl_doctor_tls_guest(doctor, where);
	if (carrier_try(doctor, carrier, where, true) == 0)
		chosen(doctor, carrier->name, why);
	else
		snprintf(doctor->why, sizeof doctor->why, "%s, and it does not work", why);
}

/* As gcl_connect_auto(): those that are there come first. */
void gcl_doctor_auto(struct gcl_doctor *doctor, const struct gcl_carrier *table)
{
	snprintf(doctor->why, sizeof doctor->why, "no channel works");
	for (const struct gcl_carrier *it = table; it->name; it++) {
		bool there = it->there && it->there("");
		bool listed = there || strcmp(it->name, "local") == 0 || doctor->in_vm;

		if (!it->there || !listed)
			continue;
		if (carrier_try(doctor, it, "", there) == 0 && there && !*doctor->channel)
			chosen(doctor, it->name, "the first that works of virtio, vsock and local");
	}
}

void gcl_doctor_channels(struct gcl_doctor *doctor)
{
	const struct gcl_carrier *carrier;
	char reason[512] = "";
	const char *where = "";
	bool auto_wanted;

	if (!gcl_connect_wanted()) {
		environment_text(reason, sizeof reason);
		snprintf(doctor->why, sizeof doctor->why, "%s", reason);
		gcl_find(doctor, "channel", GCL_FOUND_BAD, "unset GUESTCL_CHANNEL GUESTCL_SOCKET",
			 "%s: no host is wanted", reason);
		return;
	}
	carrier = gcl_carrier_wanted(&where, &auto_wanted, reason, sizeof reason);
	if (carrier) {
		wanted_look(doctor, carrier, where);
	} else if (auto_wanted) {
		gcl_doctor_auto(doctor, gcl_carriers());
	} else {
		snprintf(doctor->why, sizeof doctor->why, "%s", reason);
		gcl_find(doctor, "channel", GCL_FOUND_BAD, "unset GUESTCL_CHANNEL", "%s", reason);
	}
}
