// SPDX-License-Identifier: MIT
/*
 * Which files a worker needs: one list, for Landlock and for whatever else shuts files away.
 *
 * Readable is what every user of the host can read, the system's programs and libraries and what
 * tells a runtime of the machine, and where the configured runtimes are: the folders of the .icd
 * files and of the libraries that they name.
 */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "jail.h"

#define VENDORS_DEFAULT "/etc/OpenCL/vendors"

static const struct {
	const char *path;
	enum gcl_jail_access access;
} usual[] = {
	{"/usr", GCL_JAIL_READ},
	{"/lib", GCL_JAIL_READ},
	{"/lib32", GCL_JAIL_READ},
	{"/lib64", GCL_JAIL_READ},
	{"/bin", GCL_JAIL_READ},
	{"/opt", GCL_JAIL_READ},
	{"/nix/store", GCL_JAIL_READ},
	{"/gnu/store", GCL_JAIL_READ},
	{"/etc/OpenCL", GCL_JAIL_READ},
	{"/etc/alternatives", GCL_JAIL_READ},
	{"/etc/ld.so.cache", GCL_JAIL_READ},
	{"/etc/ld.so.conf", GCL_JAIL_READ},
	{"/etc/ld.so.conf.d", GCL_JAIL_READ},
	{"/etc/ld.so.preload", GCL_JAIL_READ},
	{"/etc/localtime", GCL_JAIL_READ},
	{"/etc/nvidia", GCL_JAIL_READ},
	{"/proc", GCL_JAIL_READ},
	{"/sys", GCL_JAIL_READ},
	{"/dev/null", GCL_JAIL_DEVICE},
	{"/dev/zero", GCL_JAIL_DEVICE},
	{"/dev/full", GCL_JAIL_DEVICE},
	{"/dev/random", GCL_JAIL_DEVICE},
	{"/dev/urandom", GCL_JAIL_DEVICE},
	{"/dev/dri", GCL_JAIL_DEVICE},
	{"/dev/kfd", GCL_JAIL_DEVICE},
	{"/dev/dxg", GCL_JAIL_DEVICE},
	{"/dev/accel", GCL_JAIL_DEVICE},
	{"/dev/mali0", GCL_JAIL_DEVICE},
	{"/dev/nvidia-caps", GCL_JAIL_DEVICE},
};

/* /dev/nvidia0, /dev/nvidiactl, /dev/nvidia-uvm... */
static void nodes_list(gcl_jail_file *each, void *data)
{
	DIR *folder = opendir("/dev");
	const struct dirent *entry;
	char path[PATH_MAX];

	while (folder && (entry = readdir(folder))) {
		if (strncmp(entry->d_name, "nvidia", 6) != 0)
			continue;
		snprintf(path, sizeof path, "/dev/%s", entry->d_name);
		each(data, path, GCL_JAIL_DEVICE);
	}
	if (folder)
		closedir(folder);
}

/* The folder that @path is in, by that name and with links followed. */
static void parent_list(const char *path, gcl_jail_file *each, void *data)
{
	char real[PATH_MAX], given[PATH_MAX];

	if (path[0] != '/' || !realpath(path, real) || strlen(path) >= sizeof given)
		return;
	snprintf(given, sizeof given, "%s", path);
	*strrchr(given, '/') = '\0';
	*strrchr(real, '/') = '\0';
	/* Not the whole file system. */
	if (*given)
		each(data, given, GCL_JAIL_READ);
	if (*real && strcmp(given, real) != 0)
		each(data, real, GCL_JAIL_READ);
}

/* An .icd file's one line is the path of a library. */
static void vendor_list(const char *path, gcl_jail_file *each, void *data)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	char line[PATH_MAX];

	if (!file || !fgets(line, sizeof line, file))
		return;
	line[strcspn(line, "\r\n")] = '\0';
	parent_list(line, each, data);
}

/* OCL_ICD_VENDORS names a folder, or one .icd file or library. */
static void vendors_list(gcl_jail_file *each, void *data)
{
	const char *vendors = getenv("OCL_ICD_VENDORS");
	const struct dirent *entry;
	char path[PATH_MAX];
	DIR *folder;

	if (!vendors || !*vendors)
		vendors = VENDORS_DEFAULT;
	each(data, vendors, GCL_JAIL_READ);
	folder = opendir(vendors);
	if (!folder) {
		parent_list(vendors, each, data);
		vendor_list(vendors, each, data);
		return;
	}
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%s", vendors, entry->d_name);
		vendor_list(path, each, data);
	}
	closedir(folder);
}

static void paths_list(const char *paths, gcl_jail_file *each, void *data)
{
	char path[PATH_MAX];

	while (paths && *paths) {
		size_t length = strcspn(paths, ":");

		if (length && length < sizeof path && paths[0] == '/') {
			snprintf(path, sizeof path, "%.*s", (int)length, paths);
			each(data, path, GCL_JAIL_READ);
		}
		paths += length + (paths[length] == ':');
	}
}

void gcl_jail_files(const struct gcl_jail *jail, gcl_jail_file *each, void *data)
{
	for (size_t i = 0; i < GCL_ARRAY_SIZE(usual); i++)
		each(data, usual[i].path, usual[i].access);
	nodes_list(each, data);
	vendors_list(each, data);
	paths_list(getenv("LD_LIBRARY_PATH"), each, data);
	paths_list(jail->read, each, data);
	if (jail->program)
		parent_list(jail->program, each, data);
	/* Elsewhere they are everybody's. */
	if (jail->apart) {
		each(data, "/tmp", GCL_JAIL_WRITE);
		each(data, "/dev/shm", GCL_JAIL_WRITE);
	}
	if (jail->cache)
		each(data, jail->cache, GCL_JAIL_WRITE);
}
