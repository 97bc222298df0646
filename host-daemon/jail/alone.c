// SPDX-License-Identifier: MIT
/*
 * Programs that serve beside guestcld: what keeps them from being any other process.
 */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>

#include "base/cleanup.h"
#include "jail.h"

/* Nothing of another process's, and no other process; threads are made by clone(). */
int gcl_jail_alone(void)
{
	static const int denied[] = {
		SCMP_SYS(execve),
		SCMP_SYS(execveat),
		SCMP_SYS(fork),
		SCMP_SYS(vfork),
		SCMP_SYS(ptrace),
		SCMP_SYS(process_vm_readv),
		SCMP_SYS(process_vm_writev),
		SCMP_SYS(kill),
		SCMP_SYS(pidfd_open),
		SCMP_SYS(pidfd_getfd),
	};
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int err = filter ? 0 : -ENOMEM;

	for (size_t i = 0; err == 0 && i < GCL_ARRAY_SIZE(denied); i++)
		err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), denied[i], 0);
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
				       SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
	if (err == 0)
		err = seccomp_load(filter);
	seccomp_release(filter);
	return err;
}
