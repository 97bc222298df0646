// SPDX-License-Identifier: MIT
/*
 * guestcl doctor: whether OpenCL programs find the guest library: an ICD loader, the file that
 * names the library to it, the library itself.
 *
 * Must not: load the library, which would open a session.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "doctor.h"

#define VENDORS "/etc/OpenCL/vendors"
#define LIBRARY "libguestcl"

/* What the vendor files say. */
struct vendors {
	char ours[512]; /* the library that one of them names, "" for none */
	char file[768]; /* which one */
	unsigned others;
};

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), of = strlen(end);

	return length >= of && strcmp(text + length - of, end) == 0;
}

static void vendor_read(struct vendors *vendors, const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	char line[512];

	if (!file || !fgets(line, sizeof line, file))
		return;
	line[strcspn(line, " \t\r\n")] = '\0';
	if (!strstr(line, LIBRARY)) {
		vendors->others++;
		return;
	}
	snprintf(vendors->ours, sizeof vendors->ours, "%s", line);
	snprintf(vendors->file, sizeof vendors->file, "%s", path);
}

static void vendors_read(struct vendors *vendors, const char *folder)
{
	DIR *entries = opendir(folder);
	struct dirent *entry;
	char path[768];

	while (entries && (entry = readdir(entries))) {
		if (!ends_with(entry->d_name, ".icd"))
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		vendor_read(vendors, path);
	}
	if (entries)
		closedir(entries);
}

static void loader_look(struct gcl_doctor *doctor)
{
	void *loader = dlopen("libOpenCL.so.1", RTLD_LAZY | RTLD_LOCAL);

	if (loader) {
		gcl_find(doctor, "loader", GCL_FOUND_GOOD, NULL,
			 "libOpenCL.so.1, which programs link, is there");
		dlclose(loader);
	} else {
		gcl_find(doctor, "loader", GCL_FOUND_BAD, "apt-get install ocl-icd-libopencl1",
			 "no libOpenCL.so.1 for programs to link");
	}
}

static void library_look(struct gcl_doctor *doctor, const struct vendors *vendors)
{
	const char *ours = vendors->ours;

	if (*ours == '/' && access(gcl_doctor_file(doctor, ours), R_OK) != 0)
		gcl_find(doctor, "library", GCL_FOUND_BAD, "install guestcl's guest library again",
			 "%s names %s, which can't be read: %s", vendors->file, ours,
			 strerror(errno));
	else
		gcl_find(doctor, "library", GCL_FOUND_GOOD, NULL, "%s names %s", vendors->file,
			 ours);
}

void gcl_doctor_loader(struct gcl_doctor *doctor)
{
	const char *set = getenv("OCL_ICD_VENDORS");
	struct vendors vendors = {0};
	const char *folder = set && *set ? set : gcl_doctor_file(doctor, VENDORS);
	struct stat st;

	/* A host needs no guest library. */
	if (doctor->on_host && !doctor->in_vm && !set)
		return;
	loader_look(doctor);
	if (set && *set && stat(folder, &st) == 0 && !S_ISDIR(st.st_mode))
		vendor_read(&vendors, folder);
	else
		vendors_read(&vendors, folder);
	if (*vendors.ours)
		library_look(doctor, &vendors);
	else if (set && *set)
		gcl_find(doctor, "library", GCL_FOUND_BAD, "unset OCL_ICD_VENDORS",
			 "OCL_ICD_VENDORS is %s, where no file names " LIBRARY, set);
	else
		gcl_find(doctor, "library", GCL_FOUND_BAD,
			 "meson install -C build, or the package with libguestcl",
			 "no file in " VENDORS " names " LIBRARY ": programs don't find it");
}
