// SPDX-License-Identifier: MIT
/*
 * The stage "calls": the system calls that a worker needs, by libseccomp.
 *
 * The list of a runtime on the CPU was taken from what PoCL, LLVM, ld and glibc do while kernels
 * are built and run, and what stands beside those calls. Compilers start the linker, so processes
 * can be made, but not in namespaces of their own. A driver's list adds what those of GPUs do.
 *
 * What is not listed fails with ENOSYS, which sends libraries to an older call; what is refused for
 * good with EPERM, so that a program that looks for it says so. Sockets that are there can be
 * used, none can be made. Must not: look at what a pointer points to (another thread can change
 * it).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "jail.h"

static const char *const runtime_calls[] = {
	/* files */
	"read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2",
	"pwritev2", "close", "close_range", "lseek", "access", "faccessat", "faccessat2", "stat",
	"fstat", "lstat", "newfstatat", "fstatat64", "statx", "statfs", "fstatfs", "readlink",
	"readlinkat", "getdents", "getdents64", "getcwd", "chdir", "fchdir", "mkdir", "mkdirat",
	"rmdir", "rename", "renameat", "renameat2", "unlink", "unlinkat", "ftruncate", "truncate",
	"fallocate", "fsync", "fdatasync", "flock", "dup", "dup2", "dup3", "pipe", "pipe2", "umask",
	"utime", "utimes", "futimesat", "utimensat", "fadvise64", "sendfile", "copy_file_range",
	/* memory */
	"munmap", "mprotect", "mremap", "madvise", "brk", "msync", "mincore", "mlock", "mlock2",
	"munlock", "membarrier",
	/* threads and processes */
	"futex", "futex_waitv", "set_robust_list", "get_robust_list", "rseq", "set_tid_address",
	"gettid", "getpid", "getppid", "fork", "vfork", "execve", "execveat", "exit", "exit_group",
	"wait4", "waitid", "sched_yield", "sched_getaffinity", "sched_getparam",
	"sched_getscheduler", "sched_get_priority_max", "sched_get_priority_min", "getcpu",
	"getpriority", "arch_prctl", "restart_syscall",
	/* signals */
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigsuspend", "rt_sigpending",
	"rt_sigtimedwait", "sigaltstack", "pause",
	/* time */
	"clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time",
	"times", "timerfd_create", "timerfd_settime", "timerfd_gettime", "setitimer", "getitimer",
	"alarm",
	/* waiting */
	"poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl",
	"epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "signalfd4",
	/* the channel */
	"recvmsg", "recvfrom", "recvmmsg", "sendmsg", "sendto", "sendmmsg", "shutdown",
	"getsockopt", "setsockopt", "getsockname", "getpeername",
	/* who and where we are */
	"getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "getpgrp",
	"getpgid", "getsid", "uname", "sysinfo", "getrandom", "getrlimit", "setrlimit", "getrusage",
	"capget"};

/* mmap, ioctl and sched_setaffinity are allowed as a whole, too. */
static const char *const driver_calls[] = {
	"mmap",		"memfd_create",	    "memfd_secret",    "mbind",
	"mlockall",	"set_mempolicy",    "get_mempolicy",   "sched_setaffinity",
	"link",		"linkat",	    "symlink",	       "symlinkat",
	"setpriority",	"sched_setparam",   "shmget",	       "shmat",
	"shmdt",	"shmctl",	    "semget",	       "semop",
	"semtimedop",	"semctl",	    "timer_create",    "timer_settime",
	"timer_delete", "timer_gettime",    "inotify_init1",   "inotify_add_watch",
	"splice",	"inotify_rm_watch", "timer_getoverrun"};

/* What hostile code looks for first; there is nothing to fall back on. */
static const char *const refused_calls[] = {"socket",
					    "socketpair",
					    "connect",
					    "bind",
					    "listen",
					    "accept",
					    "accept4",
					    "ptrace",
					    "process_vm_readv",
					    "process_vm_writev",
					    "process_madvise",
					    "kill",
					    "tkill",
					    "rt_sigqueueinfo",
					    "pidfd_open",
					    "pidfd_getfd",
					    "pidfd_send_signal",
					    "kcmp",
					    "unshare",
					    "setns",
					    "mount",
					    "umount2",
					    "pivot_root",
					    "chroot",
					    "keyctl",
					    "add_key",
					    "request_key",
					    "bpf",
					    "perf_event_open",
					    "userfaultfd",
					    "chown",
					    "fchown",
					    "lchown",
					    "fchownat",
					    "setuid",
					    "setgid",
					    "setresuid",
					    "setresgid",
					    "setgroups",
					    "capset",
					    "mknod",
					    "mknodat",
					    "reboot",
					    "swapon",
					    "init_module",
					    "finit_module",
					    "kexec_load",
					    "personality",
					    "setsid",
					    "setpgid",
					    "seccomp",
					    "open_by_handle_at"};

static int call_add(scmp_filter_ctx filter, uint32_t action, const char *name, unsigned count,
		    const struct scmp_arg_cmp *arguments)
{
	int number = seccomp_syscall_resolve_name(name);

	/* One that this machine doesn't have can't be made either. */
	if (number == __NR_SCMP_ERROR)
		return 0;
	return seccomp_rule_add_array(filter, action, number, count, arguments);
}

static int allow_if(scmp_filter_ctx filter, const char *name, struct scmp_arg_cmp argument)
{
	return call_add(filter, SCMP_ACT_ALLOW, name, 1, &argument);
}

static int allow_all(scmp_filter_ctx filter, const char *const *names, size_t count)
{
	int err = 0;

	for (size_t i = 0; i < count && err == 0; i++)
		err = call_add(filter, SCMP_ACT_ALLOW, names[i], 0, NULL);
	return err;
}

/* Files that set a user or group ID can't be made, by whatever call takes a mode. */
static int modes_allow(scmp_filter_ctx filter)
{
	static const struct {
		const char *name;
		unsigned argument;
	} calls[] = {{"open", 2},  {"openat", 3}, {"creat", 1},
		     {"chmod", 1}, {"fchmod", 1}, {"fchmodat", 2}};
	int err = 0;

	for (size_t i = 0; i < GCL_ARRAY_SIZE(calls) && err == 0; i++)
		err = allow_if(
			filter, calls[i].name,
			SCMP_CMP(calls[i].argument, SCMP_CMP_MASKED_EQ, S_ISUID | S_ISGID, 0));
	return err;
}

/* Processes without namespaces of their own; what concerns a process concerns the caller. clone3
 * can't be looked into: glibc goes on with clone. */
static int processes_allow(scmp_filter_ctx filter)
{
	const unsigned namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
				    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
	int err = allow_if(filter, "clone", SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces, 0));

	if (err == 0)
		err = allow_if(filter, "tgkill", SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	if (err == 0)
		err = allow_if(filter, "prlimit64", SCMP_A0(SCMP_CMP_EQ, 0));
	return err;
}

/* Not those that have signals sent. */
static int fcntl_allow(scmp_filter_ctx filter)
{
	static const int commands[] = {F_DUPFD,	    F_DUPFD_CLOEXEC, F_GETFD,	   F_SETFD,
				       F_GETFL,	    F_SETFL,	     F_GETLK,	   F_SETLK,
				       F_SETLKW,    F_OFD_GETLK,     F_OFD_SETLK,  F_OFD_SETLKW,
				       F_GET_SEALS, F_ADD_SEALS,     F_GETPIPE_SZ, F_SETPIPE_SZ};
	int err = 0;

	for (size_t i = 0; i < GCL_ARRAY_SIZE(commands) && err == 0; i++)
		err = allow_if(filter, "fcntl", SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)commands[i]));
	return err;
}

static int prctl_allow(scmp_filter_ctx filter)
{
	static const int options[] = {PR_SET_NAME,	 PR_GET_NAME,	      PR_SET_VMA,
				      PR_GET_DUMPABLE,	 PR_GET_NO_NEW_PRIVS, PR_CAPBSET_READ,
				      PR_SET_TIMERSLACK, PR_GET_SECCOMP};
	int err = 0;

	for (size_t i = 0; i < GCL_ARRAY_SIZE(options) && err == 0; i++)
		err = allow_if(filter, "prctl", SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)options[i]));
	return err;
}

/* What libraries ask a pipe or a file for. */
static int terminal_allow(scmp_filter_ctx filter)
{
	static const unsigned long requests[] = {FIONREAD, FIONBIO, FIOCLEX, TCGETS, TIOCGWINSZ};
	int err = 0;

	for (size_t i = 0; i < GCL_ARRAY_SIZE(requests) && err == 0; i++)
		err = allow_if(filter, "ioctl", SCMP_A1(SCMP_CMP_EQ, requests[i]));
	return err;
}

/* Shared memory without a file is not counted as the process's own: there is none but the guest's.
 */
static int cpu_allow(scmp_filter_ctx filter)
{
	static const int kinds[] = {MAP_ANONYMOUS, MAP_SHARED, 0};
	int err = 0;

	for (size_t i = 0; i < GCL_ARRAY_SIZE(kinds) && err == 0; i++)
		err = allow_if(filter, "mmap",
			       SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_SHARED | MAP_ANONYMOUS,
				       (scmp_datum_t)kinds[i]));
	if (err == 0)
		err = allow_if(filter, "sched_setaffinity", SCMP_A0(SCMP_CMP_EQ, 0));
	return err;
}

/* A request's low 32 bits count, so it can't be compared as a whole where it is to differ: that its
 * type is neither of two is told by two of its bits. */
static int ioctl_allow_but(scmp_filter_ctx filter, unsigned type, unsigned other)
{
	int err = 0;

	for (unsigned i = 0; i < 64 && err == 0; i++) {
		unsigned one = 1u << i % 8, two = 1u << i / 8;

		if (one == two && (type & one) != (other & one))
			continue;
		err = allow_if(filter, "ioctl",
			       SCMP_A1(SCMP_CMP_MASKED_EQ, (one | two) << 8,
				       ((~type & one) | (~other & two)) << 8));
	}
	return err;
}

/* A driver's requests are its own; those of terminals and sockets are not among them. */
static int driver_allow(scmp_filter_ctx filter)
{
	int err = ioctl_allow_but(filter, 'T', 0x89);

	return err ? err : allow_all(filter, driver_calls, GCL_ARRAY_SIZE(driver_calls));
}

static int filter_fill(scmp_filter_ctx filter, enum gcl_jail_calls calls)
{
	int err = allow_all(filter, runtime_calls, GCL_ARRAY_SIZE(runtime_calls));

	for (size_t i = 0; i < GCL_ARRAY_SIZE(refused_calls) && err == 0; i++)
		err = call_add(filter, SCMP_ACT_ERRNO(EPERM), refused_calls[i], 0, NULL);
	if (err == 0)
		err = modes_allow(filter);
	if (err == 0)
		err = processes_allow(filter);
	if (err == 0)
		err = prctl_allow(filter);
	if (err == 0)
		err = fcntl_allow(filter);
	if (err == 0)
		err = terminal_allow(filter);
	if (err == 0)
		err = calls == GCL_JAIL_DRIVER ? driver_allow(filter) : cpu_allow(filter);
	return err;
}

int gcl_jail_calls(enum gcl_jail_calls calls)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int err = filter ? 0 : -ENOMEM;

	if (err == 0)
		err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	/* All in the process is one guest's: there is nothing to guess across. */
	if (err == 0)
		err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	if (err == 0)
		err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (err == 0)
		err = filter_fill(filter, calls);
	if (err == 0)
		err = seccomp_load(filter);
	if (filter)
		seccomp_release(filter);
	return err;
}
