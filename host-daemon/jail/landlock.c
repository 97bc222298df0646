// SPDX-License-Identifier: MIT
/*
 * The stage "files" by Landlock, by the kernel's calls, since no library of Debian 12's has them
 * all. What the kernel at hand doesn't know is left out.
 *
 * The numbers below are the kernel's interface; the headers of older systems lack some.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "jail.h"

#define FS_EXECUTE     (1ull << 0)
#define FS_WRITE_FILE  (1ull << 1)
#define FS_READ_FILE   (1ull << 2)
#define FS_READ_DIR    (1ull << 3)
#define FS_REMOVE_DIR  (1ull << 4)
#define FS_REMOVE_FILE (1ull << 5)
#define FS_MAKE_DIR    (1ull << 7)
#define FS_MAKE_REG    (1ull << 8)
#define FS_REFER       (1ull << 13)
#define FS_TRUNCATE    (1ull << 14)
#define FS_IOCTL_DEV   (1ull << 15)
#define NET_ALL	       (3ull) /* bind and connect TCP */
#define SCOPE_ALL      (3ull) /* abstract Unix sockets, signals */

/* What there is in each version of the interface, from the first on. */
static const struct {
	uint64_t fs, net, scoped;
} versions[] = {
	{(1ull << 13) - 1, 0, 0}, /* Linux 5.13 */
	{(1ull << 14) - 1, 0, 0},	{(1ull << 15) - 1, 0, 0},
	{(1ull << 15) - 1, NET_ALL, 0},						/* 6.7 */
	{(1ull << 16) - 1, NET_ALL, 0}, {(1ull << 16) - 1, NET_ALL, SCOPE_ALL}, /* 6.12 */
};

static const uint64_t accesses[] = {
	[GCL_JAIL_READ] = FS_EXECUTE | FS_READ_FILE | FS_READ_DIR,
	[GCL_JAIL_WRITE] = FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE | FS_REMOVE_DIR |
			   FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_REFER | FS_TRUNCATE,
	[GCL_JAIL_DEVICE] = FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE | FS_TRUNCATE | FS_IOCTL_DEV,
};

/* Of files that aren't folders. */
#define FS_OF_FILE (FS_EXECUTE | FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

struct attribute {
	uint64_t fs, net, scoped;
};

struct ruleset {
	int fd;
	uint64_t fs; /* what it knows */
	int err;     /* the first that stands in the way */
};

static void rule_add(void *data, const char *path, enum gcl_jail_access access)
{
	struct landlock_path_beneath_attr rule = {.parent_fd = -1};
	struct ruleset *ruleset = data;
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;

	/* What a host doesn't have needs no rule. */
	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	rule.parent_fd = fd;
	rule.allowed_access = accesses[access] & ruleset->fs;
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= FS_OF_FILE;
	if (syscall(SYS_landlock_add_rule, ruleset->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 &&
	    !ruleset->err)
		ruleset->err = -errno;
}

int gcl_jail_landlock(const struct gcl_jail *jail)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct attribute attribute;
	struct ruleset ruleset;
	_cleanup_close_ int fd = -1;

	if (version < 1)
		return version < 0 ? -errno : -ENOSYS;
	version = GCL_MIN(version, (long)GCL_ARRAY_SIZE(versions));
	memcpy(&attribute, &versions[version - 1], sizeof attribute);
	/* Older kernels take a longer struct whose end is zero. */
	fd = (int)syscall(SYS_landlock_create_ruleset, &attribute, sizeof attribute, 0);
	if (fd < 0)
		return -errno;
	ruleset = (struct ruleset){.fd = fd, .fs = attribute.fs};
	gcl_jail_files(jail, rule_add, &ruleset);
	if (ruleset.err)
		return ruleset.err;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return -errno;
	return 0;
}

int gcl_jail_shut(const char *const *paths)
{
	const struct landlock_ruleset_attr all = {.handled_access_fs = versions[0].fs};
	_cleanup_close_ int fd =
		(int)syscall(SYS_landlock_create_ruleset, &all, sizeof all.handled_access_fs, 0);
	struct ruleset ruleset = {.fd = fd, .fs = all.handled_access_fs};

	if (fd < 0)
		return -errno;
	for (; *paths; paths++)
		rule_add(&ruleset, *paths, GCL_JAIL_READ);
	if (ruleset.err)
		return ruleset.err;
	return syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
}
