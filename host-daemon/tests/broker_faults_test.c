// SPDX-License-Identifier: MIT
/*
 * The broker when things go wrong: workers that crash or can't start, and nothing left to work
 * with. Guests are told, other sessions go on, and no CPU is burnt.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon.h"

static struct daemon daemon_now;

static int teardown(void **state)
{
	(void)state;
	daemon_fini(&daemon_now);
	memset(&daemon_now, 0, sizeof daemon_now);
	return 0;
}

/* The guest still has its worker, or not. */
static bool alive(struct gcl_channel *guest)
{
	return gcl_channel_wait(guest, false, 50) == -ETIMEDOUT;
}

static void assert_calm(const struct daemon *daemon)
{
	unsigned before = daemon_cpu_ms(daemon);

	sleep_ms(1000);
	assert_in_range(daemon_cpu_ms(daemon) - before, 0, 100);
}

static void test_worker_missing(void **state)
{
	struct daemon *daemon = &daemon_now;
	const char *const settings[] = {"worker=/nonexistent/guestcl-worker", NULL};

	(void)state;
	daemon_init(daemon, "serve");
	daemon_start(daemon, settings);
	daemon_expect(daemon, "/nonexistent/guestcl-worker: No such file or directory; check "
			      "\"worker\" in guestcld.conf");
	guest_refused(daemon, "/nonexistent/guestcl-worker: No such file or directory");
	assert_calm(daemon);
	assert_int_equal(daemon_log_count(daemon, "error: broker: guestcld can't start its worker"),
			 1);
	daemon_stop(daemon, 1000);
}

static void test_worker_says_why(void **state)
{
	struct daemon *daemon = &daemon_now;

	(void)state;
	daemon_init(daemon, "fail no OpenCL platform here: install pocl-opencl-icd");
	daemon_start(daemon, NULL);
	daemon_expect(daemon, "no OpenCL platform here: install pocl-opencl-icd");
	guest_refused(daemon, "no OpenCL platform here: install pocl-opencl-icd");
	daemon_plan(daemon, "serve");
	daemon_expect(daemon, "workers start again");
	daemon_expect(daemon, "ready");
	gcl_channel_close(guest_connect(daemon));
}

static void test_worker_exits(void **state)
{
	struct daemon *daemon = &daemon_now;

	(void)state;
	daemon_init(daemon, "exit 7");
	daemon_start(daemon, NULL);
	daemon_expect(daemon, "guestcl-worker ended with status 7 while it started");
	guest_refused(daemon, "guestcl-worker ended with status 7");
}

static void test_worker_garbage(void **state)
{
	struct daemon *daemon = &daemon_now;

	(void)state;
	daemon_init(daemon, "garbage");
	daemon_start(daemon, NULL);
	daemon_expect(daemon, "is no guestcl-worker");
	guest_refused(daemon, "is no guestcl-worker");
}

static void test_crash_loop(void **state)
{
	struct daemon *daemon = &daemon_now;

	(void)state;
	daemon_init(daemon, "crash");
	daemon_start(daemon, NULL);
	daemon_expect(daemon, "was ended by signal 11 (Segmentation fault) while it started");
	guest_refused(daemon, "was ended by signal 11");
	assert_calm(daemon);
	/* 0, 0.1, 0.3, 0.7, 1.5, 3.1 s: six tries, then none without a guest. */
	sleep_ms(3000);
	assert_in_range(daemon_starts(daemon), 4, 7);
	assert_int_equal(daemon_log_count(daemon, "was ended by signal 11"), 1 + 1);
	daemon_stop(daemon, 1000);
}

static void test_crash_while_serving(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct gcl_channel *good, *bad;

	(void)state;
	daemon_start_ready(daemon, "serve", NULL);
	daemon_plan(daemon, "crash-serving");
	good = guest_connect(daemon); /* by the worker prepared before */
	bad = guest_connect(daemon);
	daemon_expect(daemon, "was ended by signal 11 (Segmentation fault); other sessions go on");
	assert_false(alive(bad));
	assert_true(alive(good));
	daemon_plan(daemon, "serve");
	gcl_channel_close(bad);
	gcl_channel_close(good);
}

static void test_idle_worker_dies(void **state)
{
	struct daemon *daemon = &daemon_now;
	char path[96];
	FILE *file;
	int pid;

	(void)state;
	daemon_start_ready(daemon, "serve", NULL);
	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)daemon->pid,
		 (int)daemon->pid);
	file = fopen(path, "re");
	assert_int_equal(fscanf(file, "%d", &pid), 1);
	fclose(file);
	kill(pid, SIGKILL);
	daemon_expect(daemon, "was ended by signal 9 (Killed) before a guest came");
	eventually(daemon_starts(daemon) == 2);
	gcl_channel_close(guest_connect(daemon));
}

/* The limit with which the daemon has just @free descriptors left. */
static rlim_t files_limit(const struct daemon *daemon, unsigned free)
{
	rlim_t limit = 0;

	for (unsigned found = 0;; limit++) {
		char path[64];

		snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)daemon->pid, (int)limit);
		if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && found++ == free)
			return limit;
	}
}

/* Leaves the daemon just @free descriptors, and not those beside that it has for a moment, while it
 * looks at a folder. */
static void limit_files(const struct daemon *daemon, unsigned free, struct rlimit *before)
{
	struct rlimit limit;

	assert_int_equal(prlimit(daemon->pid, RLIMIT_NOFILE, NULL, before), 0);
	limit = (struct rlimit){files_limit(daemon, free), before->rlim_max};
	for (int i = 0; i < 20; i++) {
		usleep(10000);
		limit.rlim_cur = GCL_MIN(limit.rlim_cur, files_limit(daemon, free));
	}
	assert_int_equal(prlimit(daemon->pid, RLIMIT_NOFILE, &limit, NULL), 0);
}

/* With each number of free descriptors another call is the first to fail. */
static void test_no_descriptors(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct gcl_channel *guest;
	struct rlimit before;
	char text[256];

	(void)state;
	daemon_start_ready(daemon, "serve", NULL);
	guest = guest_connect(daemon);
	eventually(daemon_starts(daemon) == 2);
	sleep_ms(100);
	for (unsigned extra = 0; extra < 5; extra++) {
		int conn;

		limit_files(daemon, extra, &before);
		if (extra == 0) {
			conn = guest_socket(daemon);
			assert_int_equal(guest_reply(conn, text, sizeof text), GCL_HELLO_BUSY);
			close(conn);
		}
		guest_refused(daemon, extra == 0 ? "too many open files" : "no room for");
		assert_true(alive(guest));
		assert_int_equal(prlimit(daemon->pid, RLIMIT_NOFILE, &before, NULL), 0);
	}
	/* Room for the greeting, none for the socket of a further worker. */
	limit_files(daemon, 5, &before);
	gcl_channel_close(guest_connect(daemon));
	assert_calm(daemon);
	assert_int_equal(prlimit(daemon->pid, RLIMIT_NOFILE, &before, NULL), 0);
	assert_true(alive(guest));
	gcl_channel_close(guest_connect(daemon));
	gcl_channel_close(guest);
	daemon_expect(daemon, "can't accept guests: Too many open files");
	daemon_stop(daemon, 1000);
}

static void test_no_descriptors_for_worker(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct gcl_channel *guest;
	const char *const settings[] = {"spare-workers=0", NULL};
	struct rlimit before;

	(void)state;
	daemon_start_ready(daemon, "serve", settings);
	guest = guest_connect(daemon);
	limit_files(daemon, 5, &before);
	guest_refused(daemon, "guestcld can't start a worker: Too many open files");
	assert_true(alive(guest));
	assert_int_equal(prlimit(daemon->pid, RLIMIT_NOFILE, &before, NULL), 0);
	gcl_channel_close(guest_connect(daemon));
	gcl_channel_close(guest);
}

/* The cache is on a file system of no room at all. */
static void test_no_disk(void **state)
{
	struct daemon *daemon = &daemon_now;
	char cache[128], setting[160];
	const char *const settings[] = {setting, NULL};

	(void)state;
	daemon_init(daemon, "serve");
	snprintf(cache, sizeof cache, "%.63s/full", daemon->folder);
	snprintf(setting, sizeof setting, "cache-dir=%s/cache", cache);
	assert_int_equal(mkdir(cache, 0755), 0);
	if (mount("none", cache, "tmpfs", 0, "nr_inodes=1") < 0)
		skip();
	daemon_start(daemon, settings);
	daemon_expect(daemon, "No space left on device; make room or set cache-dir");
	guest_refused(daemon, "No space left on device");
	assert_calm(daemon);
	daemon_stop(daemon, 1000);
	umount(cache);
}

/* Another user's folder in the cache may hold that user's code. */
static void test_foreign_cache(void **state)
{
	struct daemon *daemon = &daemon_now;
	char path[128];

	(void)state;
	daemon_init(daemon, "serve");
	if (geteuid() != 0)
		skip();
	snprintf(path, sizeof path, "%.63s/cache", daemon->folder);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(chown(path, 65534, 65534), 0);
	daemon_start(daemon, NULL);
	daemon_expect(daemon, "Operation not permitted; make room or set cache-dir");
	guest_refused(daemon, "Operation not permitted");
}

/* Leaves a file as the runtime does. */
static void leftover(const struct daemon *daemon, const char *name, char *path, size_t size)
{
	FILE *file;

	snprintf(path, size, "%.63s/cache/uid-%u/%s", daemon->folder, (unsigned)geteuid(), name);
	file = fopen(path, "we");
	assert_non_null(file);
	fclose(file);
}

static void test_cache_sweep(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct gcl_channel *guest, *other;
	char temporary[128], kernel[128], folder[128];
	_cleanup_close_ int fd = -1;

	(void)state;
	daemon_start_ready(daemon, "serve", NULL);
	other = guest_connect(daemon);
	guest = guest_connect(daemon);
	leftover(daemon, "tempfile_abcdef.cl", temporary, sizeof temporary);
	leftover(daemon, "program.bc", kernel, sizeof kernel);
	gcl_channel_close(guest);
	eventually(daemon_log_count(daemon, ": ended after") == 1);
	/* It may belong to the session that is left. */
	assert_int_equal(access(temporary, F_OK), 0);
	gcl_channel_close(other);
	eventually(access(temporary, F_OK) < 0);
	assert_int_equal(access(kernel, F_OK), 0);

	/* Another daemon uses the same cache. */
	snprintf(folder, sizeof folder, "%.63s/cache", daemon->folder);
	fd = open(folder, O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_SH), 0);
	guest = guest_connect(daemon);
	leftover(daemon, "tempfile_ghijkl", temporary, sizeof temporary);
	gcl_channel_close(guest);
	eventually(daemon_log_count(daemon, ": ended after") == 3);
	sleep_ms(200);
	assert_int_equal(access(temporary, F_OK), 0);
	daemon_stop(daemon, 1000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(test_##name, teardown)
	const struct CMUnitTest tests[] = {
		TEST(worker_missing),	TEST(worker_says_why), TEST(worker_exits),
		TEST(worker_garbage),	TEST(crash_loop),      TEST(crash_while_serving),
		TEST(idle_worker_dies), TEST(no_descriptors),  TEST(no_descriptors_for_worker),
		TEST(no_disk),		TEST(foreign_cache),   TEST(cache_sweep),
	};

	return cmocka_run_group_tests_name("broker-faults", tests, NULL, NULL);
}
