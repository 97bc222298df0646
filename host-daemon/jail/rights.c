// SPDX-License-Identifier: MIT
/*
 * The stage "rights": no capability is left, and none comes back by exec.
 *
 * The bounding set can't be emptied without CAP_SETPCAP, and needs not then: there is nothing in
 * the permitted set that exec could take from it, and no-new-privs keeps set-user-ID files from
 * adding to it.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "jail.h"

/* More than any kernel has; the first that it doesn't know ends the loop. */
#define CAPABILITIES_MAX 64

static int capabilities_drop(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (int i = 0; i < CAPABILITIES_MAX && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == 0; i++)
		;
	/* Root is a user like any other, for good. */
	prctl(PR_SET_SECUREBITS,
	      SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
		      SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
		      SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
	      0, 0, 0);
	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

int gcl_jail_rights(void)
{
	/* A file that gets too large is an error of the call that writes. */
	signal(SIGXFSZ, SIG_IGN);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return capabilities_drop();
}
