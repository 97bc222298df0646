// SPDX-License-Identifier: MIT
/*
 * What the listener and the processes of its sessions give up.
 */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "jail/jail.h"
#include "server.h"

/* What a sanitizer does at the end takes files and another process. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static void told(const char *what, int err)
{
	if (err < 0)
		gcl_log_warn(broker, "guestcl-tls keeps %s: %s", what, strerror(-err));
}

/* Root only; others stay who they are. */
static int user_become(const char *name)
{
	struct gcl_jail_user user;
	int err = gcl_jail_user_find(name, &user);

	if (geteuid() != 0 || err < 0)
		return err;
	/* Device nodes' groups are of no use here. */
	user.group_count = 0;
	return gcl_jail_user_switch(&user);
}

void gcl_tls_rights_drop(const char *user)
{
	const struct rlimit none = {0};

	setrlimit(RLIMIT_CORE, &none);
	/* Sockets that are passed in work where they were made. */
	if (geteuid() == 0 && unshare(CLONE_NEWNET | CLONE_NEWIPC) < 0)
		told("its network", -errno);
	told("its user", user_become(user));
	told("its capabilities", gcl_jail_rights());
	if (SANITIZED)
		return;
	told("its files", gcl_jail_shut());
	prctl(PR_SET_DUMPABLE, 0);
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

	if (SANITIZED)
		return;
	filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	err = filter ? 0 : -ENOMEM;
	for (size_t i = 0; err == 0 && i < GCL_ARRAY_SIZE(allowed); i++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	if (err == 0)
		err = seccomp_load(filter);
	seccomp_release(filter);
	told("its system calls", err);
}
