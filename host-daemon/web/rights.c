// SPDX-License-Identifier: MIT
/*
 * What guestcl-web gives up before the first request: it may listen, and talk to guestcld, and that
 * is all.
 *
 * guestcld knows its process by its id and tells it nothing but the status; so it must not become
 * another process.
 */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "jail/jail.h"
#include "web.h"

/* What a sanitizer does at the end takes files and another process. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* Nothing of another process's, and no other process; threads are made by clone(). */
static int calls_shut(void)
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

static void told(const char *what, int err)
{
	if (err < 0)
		gcl_log_warn(broker, "guestcl-web keeps %s: %s", what, strerror(-err));
}

void gcl_web_rights_drop(void)
{
	const struct rlimit none = {0};

	setrlimit(RLIMIT_CORE, &none);
	told("its capabilities", gcl_jail_rights());
	if (SANITIZED)
		return;
	told("its files", gcl_jail_shut());
	told("its system calls", calls_shut());
	prctl(PR_SET_DUMPABLE, 0);
}
