// SPDX-License-Identifier: MIT
/*
 * What the listener and the processes of its sessions give up.
 */
#include <errno.h>
#include <seccomp.h>

#include "base/cleanup.h"
#include "jail/jail.h"
#include "server.h"

#define NAME "guestcl-tls"

void gcl_tls_rights_drop(const char *user)
{
	gcl_jail_beside(&(struct gcl_jail_beside){.name = NAME, .user = user, .unconnected = true});
}

void gcl_tls_rights_seal(void)
{
	static const int allowed[] = {
		/* bytes */
		SCMP_SYS(read),
		SCMP_SYS(write),
		SCMP_SYS(readv),
		SCMP_SYS(writev),
		SCMP_SYS(recvmsg),
		SCMP_SYS(sendmsg),
		SCMP_SYS(recvfrom),
		SCMP_SYS(sendto),
		SCMP_SYS(shutdown),
		SCMP_SYS(close),
		SCMP_SYS(poll),
		SCMP_SYS(ppoll),
		SCMP_SYS(restart_syscall),
		/* memory */
		SCMP_SYS(mmap),
		SCMP_SYS(munmap),
		SCMP_SYS(mremap),
		SCMP_SYS(mprotect),
		SCMP_SYS(madvise),
		SCMP_SYS(brk),
		SCMP_SYS(futex),
		/* the rest of what glibc and GnuTLS do */
		SCMP_SYS(fstat),
		SCMP_SYS(newfstatat),
		SCMP_SYS(getrandom),
		SCMP_SYS(getpid),
		SCMP_SYS(gettid),
		SCMP_SYS(getrusage),
		SCMP_SYS(clock_gettime),
		SCMP_SYS(clock_getres),
		SCMP_SYS(gettimeofday),
		SCMP_SYS(time),
		SCMP_SYS(lseek),
		SCMP_SYS(rt_sigreturn),
		SCMP_SYS(rt_sigprocmask),
		SCMP_SYS(sigaltstack),
		SCMP_SYS(exit),
		SCMP_SYS(exit_group),
	};
	scmp_filter_ctx filter;
	int err;

	if (GCL_JAIL_SANITIZED)
		return;
	filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	err = filter ? 0 : -ENOMEM;
	for (size_t i = 0; err == 0 && i < GCL_ARRAY_SIZE(allowed); i++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	if (err == 0)
		err = seccomp_load(filter);
	seccomp_release(filter);
	gcl_jail_keeps(NAME, "its system calls", err);
}
