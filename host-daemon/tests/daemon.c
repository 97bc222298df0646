// SPDX-License-Identifier: MIT
#include "daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define ARGUMENTS_MAX 48
#define LOG_MAX	      (1u << 20)

void sleep_ms(unsigned ms)
{
	usleep(ms * 1000);
}

int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void file_write(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	fprintf(file, "%s\n", text);
	assert_int_equal(fclose(file), 0);
}

void daemon_plan(const struct daemon *daemon, const char *plan)
{
	file_write(daemon->plan, plan);
}

void daemon_config(const struct daemon *daemon, const char *text)
{
	file_write(daemon->config, text);
}

void daemon_init(struct daemon *daemon, const char *plan)
{
	memset(daemon, 0, sizeof *daemon);
	snprintf(daemon->folder, sizeof daemon->folder, "/tmp/guestcl-test-XXXXXX");
	assert_non_null(mkdtemp(daemon->folder));
	snprintf(daemon->socket, sizeof daemon->socket, "%s/sock", daemon->folder);
	snprintf(daemon->log, sizeof daemon->log, "%s/log", daemon->folder);
	snprintf(daemon->plan, sizeof daemon->plan, "%s/plan", daemon->folder);
	snprintf(daemon->config, sizeof daemon->config, "%s/guestcld.conf", daemon->folder);
	daemon_plan(daemon, plan);
	daemon_config(daemon, "");
}

static void child_run(const struct daemon *daemon, char *const *arguments)
{
	int log = open(daemon->log, O_WRONLY | O_CREAT | O_APPEND, 0600);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	setenv("FAKE_WORKER", daemon->plan, 1);
	unsetenv("GUESTCL_WORKER");
	execv(arguments[0], arguments);
	_exit(126);
}

void daemon_start(struct daemon *daemon, const char *const *settings)
{
	char *arguments[ARGUMENTS_MAX] = {getenv("GUESTCLD"), "--config", daemon->config,
					  "--socket", daemon->socket};
	char worker[4200], cache[128];
	size_t count = 5;

	assert_non_null(arguments[0]);
	snprintf(worker, sizeof worker, "worker=%s", getenv("FAKE_WORKER_PROGRAM"));
	snprintf(cache, sizeof cache, "cache-dir=%s/cache", daemon->folder);
	arguments[count++] = "--set=socket-group=";
	/* The fake worker reads its orders from a file. */
	arguments[count++] = "--set=jail=off";
	arguments[count++] = "--set";
	arguments[count++] = worker;
	arguments[count++] = "--set";
	arguments[count++] = cache;
	for (; settings && *settings; settings++) {
		assert_true(count + 3 < ARGUMENTS_MAX);
		arguments[count++] = "--set";
		arguments[count++] = (char *)*settings;
	}
	daemon->pid = fork();
	assert_true(daemon->pid >= 0);
	if (daemon->pid == 0)
		child_run(daemon, arguments);
}

void daemon_start_ready(struct daemon *daemon, const char *plan, const char *const *settings)
{
	daemon_init(daemon, plan);
	daemon_start(daemon, settings);
	daemon_expect(daemon, "ready");
}

int daemon_wait(struct daemon *daemon, unsigned timeout_ms)
{
	int status = -1;

	for (unsigned waited = 0; waitpid(daemon->pid, &status, WNOHANG) == 0; waited += 5) {
		if (waited > timeout_ms)
			fail_msg("guestcld did not end within %u ms", timeout_ms);
		sleep_ms(5);
	}
	daemon->pid = 0;
	return status;
}

void daemon_stop(struct daemon *daemon, unsigned timeout_ms)
{
	kill(daemon->pid, SIGTERM);
	assert_int_equal(daemon_wait(daemon, timeout_ms), 0);
	assert_int_equal(access(daemon->socket, F_OK), -1);
}

static int entry_remove(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

void daemon_fini(struct daemon *daemon)
{
	if (daemon->pid) {
		kill(daemon->pid, SIGKILL);
		waitpid(daemon->pid, NULL, 0);
	}
	if (daemon->folder[0])
		nftw(daemon->folder, entry_remove, 8, FTW_DEPTH | FTW_PHYS);
}

/* No more than there is: this is done again and again. */
static char *log_read(const struct daemon *daemon)
{
	_cleanup_close_ int fd = open(daemon->log, O_RDONLY | O_CLOEXEC);
	struct stat st = {0};
	char *text;

	if (fd >= 0)
		assert_int_equal(fstat(fd, &st), 0);
	if (st.st_size >= LOG_MAX)
		fail_msg("the log is too long");
	text = calloc(1, (size_t)st.st_size + 1);
	assert_non_null(text);
	if (st.st_size)
		assert_true(pread(fd, text, (size_t)st.st_size, 0) >= 0);
	return text;
}

unsigned daemon_log_count(const struct daemon *daemon, const char *text)
{
	_cleanup_free_ char *log = log_read(daemon);
	unsigned count = 0;

	for (const char *at = log; (at = strstr(at, text)); at += strlen(text))
		count++;
	return count;
}

void daemon_expect(const struct daemon *daemon, const char *text)
{
	for (int64_t start = now_ms(); now_ms() - start < PATIENCE_MS; sleep_ms(5)) {
		if (daemon_log_count(daemon, text))
			return;
	}
	_cleanup_free_ char *log = log_read(daemon);
	fail_msg("the log never had \"%s\":\n%s", text, log);
}

unsigned daemon_starts(const struct daemon *daemon)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof path, "%s.starts", daemon->plan);
	return stat(path, &st) == 0 ? (unsigned)st.st_size : 0;
}

unsigned daemon_files(const struct daemon *daemon)
{
	char path[64];
	unsigned count = 0;
	DIR *folder;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)daemon->pid);
	folder = opendir(path);
	assert_non_null(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count - 2; /* . and .. */
}

unsigned daemon_files_settled(const struct daemon *daemon)
{
	unsigned count = daemon_files(daemon);

	for (unsigned same = 0; same < 20; same++) {
		unsigned now;

		sleep_ms(5);
		now = daemon_files(daemon);
		same = now == count ? same : 0;
		count = now;
	}
	return count;
}

unsigned daemon_children(const struct daemon *daemon)
{
	char path[64];
	unsigned count = 0;
	int pid;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)daemon->pid,
		 (int)daemon->pid);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fscanf(file, "%d", &pid) == 1)
		count++;
	fclose(file);
	return count;
}

unsigned daemon_cpu_ms(const struct daemon *daemon)
{
	char path[64];
	unsigned long user, system;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)daemon->pid);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file,
				"%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
				&user, &system),
			 2);
	fclose(file);
	return (unsigned)((user + system) * 1000 / (unsigned long)sysconf(_SC_CLK_TCK));
}

struct gcl_channel *guest_connect(const struct daemon *daemon)
{
	struct gcl_channel *channel = NULL;
	char reason[256];

	if (gcl_local_connect(daemon->socket, &channel, reason, sizeof reason) < 0)
		fail_msg("refused: %s", reason);
	return channel;
}

void guest_refused(const struct daemon *daemon, const char *text)
{
	struct gcl_channel *channel = NULL;
	char reason[512];

	if (gcl_local_connect(daemon->socket, &channel, reason, sizeof reason) >= 0)
		fail_msg("let in, instead of refused with \"%s\"", text);
	if (!strstr(reason, text))
		fail_msg("refused with \"%s\" instead of \"%s\"", reason, text);
}

int guest_socket(const struct daemon *daemon)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(address.sun_path, sizeof address.sun_path, "%s", daemon->socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

int guest_reply(int conn, char *text, size_t size)
{
	struct pollfd in = {.fd = conn, .events = POLLIN};
	struct gcl_hello_reply reply;

	assert_int_equal(poll(&in, 1, PATIENCE_MS), 1);
	if (recv(conn, &reply, sizeof reply, MSG_WAITALL) != sizeof reply)
		return -1;
	snprintf(text, size, "%s", reply.text);
	return (int)reply.status;
}
