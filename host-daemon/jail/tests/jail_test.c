// SPDX-License-Identifier: MIT
/*
 * The stages of the jail, one at a time, each in a process of its own: what worked before doesn't
 * any more, and what a worker needs still does.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "jail.h"

static char folder[] = "/tmp/guestcl-jail-XXXXXX";
static char cache[PATH_MAX], secret[PATH_MAX];
static pid_t outside; /* whom the attempts are at */

/* An attempt: 0 or a positive errno. */
typedef int attempt(void);

static int result(long value)
{
	return value < 0 ? errno : 0;
}

static int opened(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int secret_read(void)
{
	return opened(secret, O_RDONLY);
}

static int secret_write(void)
{
	return opened(secret, O_WRONLY);
}

static int secret_remove(void)
{
	return unlink(secret) < 0 ? errno : opened(secret, O_WRONLY | O_CREAT);
}

static int shadow_read(void)
{
	return opened("/etc/shadow", O_RDONLY);
}

static int memory_open(void)
{
	char path[32];

	snprintf(path, sizeof path, "/proc/%d/mem", outside);
	return opened(path, O_RDONLY);
}

static int file_make(void)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/made", folder);
	return opened(path, O_WRONLY | O_CREAT);
}

static int cache_use(void)
{
	char path[PATH_MAX + 8], other[PATH_MAX + 8];
	int err;

	snprintf(path, sizeof path, "%s/made", cache);
	snprintf(other, sizeof other, "%s/other", cache);
	err = opened(path, O_RDWR | O_CREAT | O_TRUNC);
	if (!err)
		err = result(rename(path, other));
	if (!err)
		err = result(unlink(other));
	return err;
}

static int cache_run(void)
{
	char path[PATH_MAX + 8];
	int fd;

	snprintf(path, sizeof path, "%s/tool", cache);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	if (fd >= 0)
		close(fd);
	execl(path, path, NULL);
	return errno == ENOEXEC ? 0 : errno;
}

static int library_read(void)
{
	int err = opened("/usr/lib", O_RDONLY | O_DIRECTORY);

	return err ? err : opened("/proc/self/maps", O_RDONLY);
}

static int node_use(void)
{
	return opened("/dev/null", O_RDWR);
}

static int parent_signal(void)
{
	return result(kill(outside, 0));
}

static int parent_trace(void)
{
	return result(ptrace(PTRACE_SEIZE, outside, NULL, NULL));
}

static int parent_read(void)
{
	char here, there = 0;
	struct iovec local = {&here, 1}, remote = {&there, 1};

	return result(process_vm_readv(outside, &local, 1, &remote, 1, 0));
}

static int internet_reach(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		return errno;
	err = result(connect(fd, (struct sockaddr *)&address, sizeof address));
	close(fd);
	return err == ECONNREFUSED ? 0 : err;
}

static int socket_make(void)
{
	return result(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int namespace_make(void)
{
	return result(unshare(CLONE_NEWUSER));
}

static int namespace_clone(void)
{
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int namespace_clone3(void)
{
	uint64_t arguments[8] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
	long pid = syscall(SYS_clone3, arguments, sizeof arguments);

	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int set_id_make(void)
{
	char path[PATH_MAX + 8];
	int fd;

	snprintf(path, sizeof path, "%s/set-id", cache);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 04755);
	if (fd < 0)
		return errno;
	close(fd);
	return result(unlink(path));
}

static int mode_set(void)
{
	return result(chmod(cache, 0700));
}

static int memory_share(void)
{
	void *memory = mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? errno : 0;
}

static int memory_take(void)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? errno : 0;
}

static int terminal_push(void)
{
	char letter = 'x';
	int err = result(ioctl(STDIN_FILENO, TIOCSTI, &letter));

	return err == ENOTTY || err == EIO || err == EINVAL ? 0 : err;
}

/* The kernel looks at 32 bits of a request, the filter at 64. */
static int terminal_push_wide(void)
{
	char letter = 'x';
	int err = result(syscall(SYS_ioctl, STDIN_FILENO, TIOCSTI | 1l << 32, &letter));

	return err == ENOTTY || err == EIO || err == EINVAL ? 0 : err;
}

/* Of no driver that has STDIN open. */
static int device_ask(void)
{
	int err = result(ioctl(STDIN_FILENO, _IOWR('d', 0x40, int), NULL));

	return err == ENOTTY || err == EINVAL || err == EFAULT ? 0 : err;
}

static int signal_own(void)
{
	int err = result(fcntl(STDIN_FILENO, F_SETOWN, outside));

	return err == EINVAL || err == ENOTTY ? 0 : err;
}

static int program_run(void)
{
	char *const arguments[] = {"true", NULL};
	int status, err;
	pid_t pid;

	err = posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ);
	if (err)
		return err;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : ECHILD;
}

static void *thread_run(void *data)
{
	return data;
}

static int thread_start(void)
{
	pthread_t thread;
	int err = pthread_create(&thread, NULL, thread_run, NULL);

	return err ? err : pthread_join(thread, NULL);
}

static int raise_own(void)
{
	signal(SIGUSR1, SIG_IGN);
	return result(raise(SIGUSR1));
}

static int clock_set(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return result(clock_settime(CLOCK_REALTIME, &now));
}

static int log_read(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {0};

	if (syscall(SYS_capget, &header, sets) < 0)
		return errno;
	return sets[0].permitted | sets[0].effective ? 0 : EPERM;
}

static int first_be(void)
{
	return getpid() == 1 ? 0 : EEXIST;
}

static int temporary_fill(void)
{
	static char block[1 << 20];
	int fd = open("/tmp/fill", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), err = fd < 0 ? errno : 0;

	for (int i = 0; i < 256 && !err; i++)
		err = write(fd, block, sizeof block) < 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	unlink("/tmp/fill");
	return err;
}

/* The first process of a namespace is not ended by signals that it sends itself. */
static int self_abort(void)
{
	signal(SIGABRT, SIG_DFL); /* instead of cmocka's */
	signal(SIGSEGV, SIG_DFL);
	abort();
}

/* ------------------------------------------------------------ in a child */

enum stage { NONE, NAMESPACES, RIGHTS, FILES, CALLS, DRIVER_CALLS };

static int stage_enter(enum stage stage)
{
	struct gcl_jail jail = {.cache = cache};

	switch (stage) {
	case NONE:
	case NAMESPACES:
		return 0;
	case RIGHTS:
		return gcl_jail_rights();
	case FILES:
		return gcl_jail_landlock(&jail);
	case CALLS:
		return gcl_jail_calls(GCL_JAIL_RUNTIME);
	case DRIVER_CALLS:
		return gcl_jail_calls(GCL_JAIL_DRIVER);
	}
	return -EINVAL;
}

#define NO_STAGE  255
#define SIGNALLED 254

/* As the broker forks a worker, whose user stays ours. */
static pid_t apart_fork(void)
{
	struct gcl_jail jail = {.mode = GCL_JAIL_AUTO, .cache = cache};
	struct gcl_jail_user user;
	int sockets[2];
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	gcl_jail_user_find("", &user);
	pid = gcl_jail_fork(&jail, &user, sockets);
	if (pid == 0 && (!jail.apart || gcl_jail_enter(&jail, &user) < 0))
		_exit(NO_STAGE);
	close(sockets[1]);
	if (pid)
		close(sockets[0]);
	return pid;
}

/* Return: what the attempt makes, tried in the stage; -1 when the host lacks it. */
static int outcome(enum stage stage, attempt *try)
{
	pid_t pid = stage == NAMESPACES ? apart_fork() : fork();
	int status = 0;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(stage_enter(stage) < 0 ? NO_STAGE : try());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return SIGNALLED;
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status) == NO_STAGE ? -1 : WEXITSTATUS(status);
}

struct expectation {
	const char *name;
	attempt *try;
	int outcome;
};
#define TRY(name, outcome)                                                                         \
	{                                                                                          \
#name, name, outcome                                                               \
	}

/* What fails without the stage too, on this host or for this user, tells nothing. */
static void expect(enum stage stage, const struct expectation *list, size_t count)
{
	if (outcome(stage, node_use) < 0) {
		print_message("this host lacks the stage\n");
		skip();
	}
	for (size_t i = 0; i < count; i++) {
		int before = outcome(NONE, list[i].try), now = outcome(stage, list[i].try);

		if (before && list[i].outcome)
			continue;
		if (now != list[i].outcome)
			fail_msg("%s: %s instead of %s", list[i].name, strerror(now),
				 strerror(list[i].outcome));
	}
}

static void test_namespaces(void **state)
{
	static const struct expectation list[] = {
		TRY(secret_read, ENOENT),
		TRY(shadow_read, ENOENT),
		TRY(memory_open, ENOENT),
		TRY(parent_signal, ESRCH),
		TRY(internet_reach, ENETUNREACH),
		TRY(cache_use, 0),
		TRY(library_read, 0),
		TRY(node_use, 0),
		TRY(program_run, 0),
		TRY(thread_start, 0),
	};

	(void)state;
	expect(NAMESPACES, list, GCL_ARRAY_SIZE(list));
	assert_int_equal(outcome(NAMESPACES, first_be), 0);
	assert_int_equal(outcome(NAMESPACES, temporary_fill), ENOSPC);
	assert_int_equal(outcome(NAMESPACES, self_abort), SIGNALLED);
}

static void test_rights(void **state)
{
	static const struct expectation list[] = {
		TRY(clock_set, EPERM), TRY(log_read, EPERM), TRY(program_run, 0),
		TRY(thread_start, 0),  TRY(library_read, 0),
	};

	(void)state;
	expect(RIGHTS, list, GCL_ARRAY_SIZE(list));
}

static void test_files(void **state)
{
	static const struct expectation list[] = {
		TRY(secret_read, EACCES), TRY(secret_write, EACCES), TRY(secret_remove, EACCES),
		TRY(shadow_read, EACCES), TRY(file_make, EACCES),    TRY(memory_open, EACCES),
		TRY(cache_run, EACCES),	  TRY(parent_trace, EPERM),  TRY(parent_read, EPERM),
		TRY(cache_use, 0),	  TRY(library_read, 0),	     TRY(node_use, 0),
		TRY(program_run, 0),	  TRY(thread_start, 0),
	};

	(void)state;
	expect(FILES, list, GCL_ARRAY_SIZE(list));
}

/* What Landlock knows since Linux 6.7 and 6.12. */
static void test_outside(void **state)
{
	static const struct expectation list[] = {
		TRY(parent_signal, EPERM),
		TRY(internet_reach, EACCES),
	};
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);

	(void)state;
	if (version < 6)
		skip();
	expect(FILES, list, GCL_ARRAY_SIZE(list));
}

static void test_calls(void **state)
{
	static const struct expectation list[] = {
		TRY(socket_make, EPERM),
		TRY(internet_reach, EPERM),
		TRY(parent_signal, EPERM),
		TRY(parent_trace, EPERM),
		TRY(parent_read, EPERM),
		TRY(namespace_make, EPERM),
		TRY(namespace_clone, ENOSYS),
		TRY(namespace_clone3, ENOSYS),
		TRY(set_id_make, ENOSYS),
		TRY(memory_share, ENOSYS),
		TRY(terminal_push, ENOSYS),
		TRY(terminal_push_wide, ENOSYS),
		TRY(device_ask, ENOSYS),
		TRY(signal_own, ENOSYS),
		TRY(mode_set, 0),
		TRY(memory_take, 0),
		TRY(program_run, 0),
		TRY(thread_start, 0),
		TRY(raise_own, 0),
		TRY(cache_use, 0),
	};

	(void)state;
	expect(CALLS, list, GCL_ARRAY_SIZE(list));
}

static void test_driver_calls(void **state)
{
	static const struct expectation list[] = {
		TRY(socket_make, EPERM),
		TRY(parent_signal, EPERM),
		TRY(parent_trace, EPERM),
		TRY(namespace_make, EPERM),
		TRY(set_id_make, ENOSYS),
		TRY(terminal_push, ENOSYS),
		TRY(terminal_push_wide, ENOSYS),
		TRY(device_ask, 0),
		TRY(memory_share, 0),
		TRY(program_run, 0),
		TRY(thread_start, 0),
	};

	(void)state;
	expect(DRIVER_CALLS, list, GCL_ARRAY_SIZE(list));
}

static void test_lacks(void **state)
{
	struct gcl_jail jail = {.mode = GCL_JAIL_AUTO};

	(void)state;
	gcl_jail_lack(&jail, "one", 0);
	assert_string_equal(jail.lacks, "");
	jail.mode = GCL_JAIL_STRICT;
	assert_true(gcl_jail_holds(&jail));
	gcl_jail_lack(&jail, "one", -ENOSYS);
	gcl_jail_lack(&jail, "two", -EPERM);
	assert_string_equal(jail.lacks, "one (Function not implemented), "
					"two (Operation not permitted)");
	assert_false(gcl_jail_holds(&jail));
	jail.mode = GCL_JAIL_AUTO;
	assert_true(gcl_jail_holds(&jail));
	for (int i = 0; i < 99; i++)
		gcl_jail_lack(&jail, "three", -EPERM);
	assert_in_range(strlen(jail.lacks), 1, GCL_JAIL_LACKS_MAX - 1);
}

static int folders_make(void **state)
{
	int fd;

	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(cache, sizeof cache, "%s/cache", folder);
	snprintf(secret, sizeof secret, "%s/secret", folder);
	fd = open(secret, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	return fd < 0 ? -1 : mkdir(cache, 0700);
}

static int folders_remove(void **state)
{
	const char *const names[] = {"cache/tool", "cache/made", "cache", "secret", "made", ""};
	char path[PATH_MAX + 16];

	(void)state;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		remove(path);
	}
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_namespaces), cmocka_unit_test(test_rights),
		cmocka_unit_test(test_files),	   cmocka_unit_test(test_outside),
		cmocka_unit_test(test_calls),	   cmocka_unit_test(test_driver_calls),
		cmocka_unit_test(test_lacks),
	};

	outside = getpid();
	return cmocka_run_group_tests(tests, folders_make, folders_remove);
}
