// SPDX-License-Identifier: MIT
/*
 * Owners' cgroups: what is written where, in a folder of plain files, and, where this host has
 * version 2 and lets us, that processes go into a real one and leave nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "broker.h"
#include "test.h"

static struct gcl_config config;
static struct gcl_account account;

static void file_check(const char *folder, const char *name, const char *text)
{
	char path[PATH_MAX], found[128] = "";
	_cleanup_fclose_ FILE *file = NULL;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	file = fopen(path, "re");
	assert_non_null(file);
	(void)!fgets(found, sizeof found, file);
	found[strcspn(found, "\n")] = '\0';
	assert_string_equal(found, text);
}

static void file_make(const char *folder, const char *name)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void test_files(void **state)
{
	static const char *const names[] = {"vm-web/memory.max", "vm-web/pids.max",
					    "vm-web/cpu.weight", "vm-web/cgroup.procs",
					    "cgroup.subtree_control"};
	char folder[] = "/tmp/guestcl-cgroup-XXXXXX", path[PATH_MAX];
	struct gcl_cgroup cgroup;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/vm-web", folder);
	assert_int_equal(mkdir(path, 0700), 0);
	for (size_t i = 0; i < GCL_ARRAY_SIZE(names); i++)
		file_make(folder, names[i]);
	snprintf(config.cgroup, sizeof config.cgroup, "%s", folder);
	gcl_cgroup_open(&cgroup, &config);
	assert_true(cgroup.fd >= 0);
	account.limits.host_memory = 3ull << 30;
	account.limits.host_processes = 100;
	account.limits.weight = 4;
	gcl_cgroup_limit(&cgroup, &account);
	gcl_cgroup_join(&cgroup, &account, 4321);
	file_check(folder, "vm-web/memory.max", "3221225472");
	file_check(folder, "vm-web/pids.max", "100");
	file_check(folder, "vm-web/cpu.weight", "4");
	file_check(folder, "vm-web/cgroup.procs", "4321");
	for (size_t i = 0; i < 3; i++)
		file_make(folder, names[i]);
	account.limits.host_memory = account.limits.host_processes = 0;
	gcl_cgroup_limit(&cgroup, &account);
	file_check(folder, "vm-web/memory.max", "max");
	file_check(folder, "vm-web/pids.max", "max");
	gcl_cgroup_close(&cgroup);
	for (size_t i = 0; i < GCL_ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		unlink(path);
	}
	snprintf(path, sizeof path, "%s/vm-web", folder);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

/* Makes a cgroup to play in, or skips the test. */
static void real_make(char *path, size_t size)
{
	static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
	static const char *const wanted[] = {"+memory", "+pids", "+cpu"};
	struct stat st;
	int fd;

	for (size_t i = 0; i < GCL_ARRAY_SIZE(mounts); i++) {
		snprintf(path, size, "%s/cgroup.procs", mounts[i]);
		if (stat(path, &st) < 0)
			continue;
		for (size_t n = 0; n < GCL_ARRAY_SIZE(wanted); n++) {
			snprintf(path, size, "%s/cgroup.subtree_control", mounts[i]);
			fd = open(path, O_WRONLY | O_CLOEXEC);
			(void)!write(fd, wanted[n], strlen(wanted[n]));
			gcl_cleanup_close(&fd);
		}
		snprintf(path, size, "%s/guestcl-test-%d", mounts[i], (int)getpid());
		if (mkdir(path, 0755) == 0)
			return;
	}
	print_message("no cgroup can be made here\n");
	skip();
}

/* What a real one does, where the kernel has given it the controllers. */
static void limits_check(const struct gcl_cgroup *cgroup, const char *owner)
{
	const size_t most = 32u << 20;
	char path[PATH_MAX + 32];
	int status, joined[2];
	pid_t pid;

	snprintf(path, sizeof path, "%s/memory.max", owner);
	if (access(path, W_OK) < 0) {
		print_message("this cgroup has no controllers\n");
		return;
	}
	account.limits.host_memory = most;
	account.limits.host_processes = 7;
	account.limits.weight = 40;
	gcl_cgroup_limit(cgroup, &account);
	file_check(owner, "memory.max", "33554432");
	file_check(owner, "pids.max", "7");
	file_check(owner, "cpu.weight", "40");
	assert_int_equal(pipe(joined), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char *memory, byte;

		close(joined[1]);
		if (read(joined[0], &byte, 1)) /* until it is in there */
			_exit(1);
		memory = malloc(4 * most);
		for (size_t i = 0; memory && i < 4 * most; i += 4096)
			((volatile char *)memory)[i] = 1;
		_exit(0);
	}
	gcl_cgroup_join(cgroup, &account, pid);
	close(joined[1]);
	close(joined[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_real(void **state)
{
	char path[PATH_MAX], owner[PATH_MAX + 16], pid_text[16];
	struct gcl_cgroup cgroup;
	pid_t pid;

	(void)state;
	real_make(path, sizeof path);
	snprintf(owner, sizeof owner, "%s/vm-web", path);
	snprintf(config.cgroup, sizeof config.cgroup, "%s", path);
	gcl_cgroup_open(&cgroup, &config);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		pause();
		_exit(0);
	}
	gcl_cgroup_join(&cgroup, &account, pid);
	snprintf(pid_text, sizeof pid_text, "%d", (int)pid);
	file_check(owner, "cgroup.procs", pid_text);
	limits_check(&cgroup, owner);
	gcl_cgroup_leave(&cgroup, &account.owner); /* not yet */
	assert_int_equal(access(owner, F_OK), 0);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	gcl_cgroup_leave(&cgroup, &account.owner);
	assert_int_equal(access(owner, F_OK), -1);
	gcl_cgroup_close(&cgroup);
	assert_int_equal(rmdir(path), 0);
}

/* Not delegated to a test, wherever it runs; or there is none at all. */
static void test_none(void **state)
{
	struct gcl_cgroup cgroup;

	(void)state;
	snprintf(config.cgroup, sizeof config.cgroup, "off");
	gcl_cgroup_open(&cgroup, &config);
	assert_int_equal(cgroup.fd, -1);
	snprintf(config.cgroup, sizeof config.cgroup, "/nonexistent");
	gcl_cgroup_open(&cgroup, &config);
	assert_int_equal(cgroup.fd, -1);
	gcl_cgroup_join(&cgroup, &account, getpid());
	gcl_cgroup_limit(&cgroup, &account);
	gcl_cgroup_leave(&cgroup, &account.owner);
	gcl_cgroup_close(&cgroup);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_real),
		cmocka_unit_test(test_none),
	};

	account.owner = gcl_owner_vm("web");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
