// SPDX-License-Identifier: MIT
/*
 * Starting a worker process: its environment, limits and descriptors.
 *
 * The worker gets stderr and stdout of the daemon, /dev/null as stdin, the socket as descriptor 3,
 * the page as descriptor 4, and nothing else. It never outlives the daemon. What goes wrong between
 * fork and exec is told over the socket, since the broker knows better whom to tell.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "broker.h"
#include "handover.h"
#include "jail/jail.h"

#define WORKER_SOCKET	   3
#define WORKER_SOCKET_TEXT "3"
#define WORKER_PAGE	   4
#define WORKER_PAGE_TEXT   "4"

/* Variables that a worker has of its own. */
enum { OWN_CACHE, OWN_VENDORS, OWN_XDG_CACHE, OWN_CUDA_CACHE, OWN_TEMPORARY, OWN_COUNT };

static const char *const own_names[OWN_COUNT] = {
	[OWN_CACHE] = "POCL_CACHE_DIR",	    [OWN_VENDORS] = "OCL_ICD_VENDORS",
	[OWN_XDG_CACHE] = "XDG_CACHE_HOME", [OWN_CUDA_CACHE] = "CUDA_CACHE_PATH",
	[OWN_TEMPORARY] = "TMPDIR",
};

/* What the child needs, made before the fork. */
struct plan {
	struct gcl_jail jail;
	struct gcl_jail_user user;
	char *variables[OWN_COUNT]; /* NAME=VALUE, or NULL */
	const char **environment;   /* borrows its strings */
	const char *arguments[28];
	char replay_memory[24], replay_time[16];
	char program[PATH_MAX];
	char client[PATH_MAX];	 /* empty: its session stays here */
	char read[2 * PATH_MAX]; /* folders, for the jail */
	struct rlimit files;
	int sockets[2]; /* the broker's, the worker's */
	int page;
};

static void plan_fini(struct plan *plan)
{
	for (size_t i = 0; i < OWN_COUNT; i++)
		free(plan->variables[i]);
	free(plan->environment);
	gcl_cleanup_close(&plan->sockets[0]);
	gcl_cleanup_close(&plan->sockets[1]);
}

static bool replaced(const struct plan *plan, const char *variable)
{
	for (size_t i = 0; i < OWN_COUNT; i++) {
		const char *own = plan->variables[i];

		if (own && strncmp(variable, own, strcspn(own, "=") + 1) == 0)
			return true;
	}
	return false;
}

static int variable_set(struct plan *plan, size_t index, const char *value)
{
	if (asprintf(&plan->variables[index], "%s=%s", own_names[index], value) >= 0)
		return 0;
	plan->variables[index] = NULL;
	return -ENOMEM;
}

/* Whatever a runtime or a driver keeps of kernels belongs to their owner. */
static int variables_prepare(struct plan *plan, const struct gcl_config *config, const char *cache)
{
	int err = variable_set(plan, OWN_CACHE, cache);

	if (err == 0 && *config->icd_vendors)
		err = variable_set(plan, OWN_VENDORS, config->icd_vendors);
	if (config->jail == GCL_JAIL_OFF)
		return err;
	if (err == 0)
		err = variable_set(plan, OWN_XDG_CACHE, cache);
	if (err == 0)
		err = variable_set(plan, OWN_CUDA_CACHE, cache);
	return err ? err : variable_set(plan, OWN_TEMPORARY, "/tmp");
}

static int environment_prepare(struct plan *plan)
{
	size_t count = 0, used = 0;

	while (environ[count])
		count++;
	plan->environment = calloc(count + OWN_COUNT + 1, sizeof *plan->environment);
	if (!plan->environment)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (!replaced(plan, environ[i]))
			plan->environment[used++] = environ[i];
	}
	for (size_t i = 0; i < OWN_COUNT; i++) {
		if (plan->variables[i])
			plan->environment[used++] = plan->variables[i];
	}
	return 0;
}

static void jail_prepare(struct plan *plan, const struct gcl_config *config)
{
	plan->jail = (struct gcl_jail){
		.mode = config->jail,
		.calls = config->seccomp,
		.cache = strchr(plan->variables[OWN_CACHE], '=') + 1,
		.read = plan->read,
		.program = plan->program,
		.processes = config->worker_processes,
		.memory = config->worker_memory,
		.file_size = config->worker_file_size,
	};
	if (config->jail != GCL_JAIL_OFF)
		gcl_jail_lack(&plan->jail, "the user of worker-user",
			      gcl_jail_user_find(config->worker_user, &plan->user));
}

/* The library that it moves by, with its folder. That it is missing is told to who moves one. */
static void client_prepare(struct plan *plan, const struct gcl_config *config)
{
	snprintf(plan->read, sizeof plan->read, "%s", config->jail_read);
	if (!gcl_config_moves(config) || !realpath(config->client_library, plan->client)) {
		plan->client[0] = '\0';
		return;
	}
	snprintf(plan->replay_memory, sizeof plan->replay_memory, "%llu",
		 (unsigned long long)config->replay_memory);
	snprintf(plan->replay_time, sizeof plan->replay_time, "%u", config->replay_time);
	snprintf(plan->read, sizeof plan->read, "%s%s%.*s", config->jail_read,
		 *config->jail_read ? ":" : "", (int)(strrchr(plan->client, '/') - plan->client),
		 plan->client);
}

/* When it is known what the jail is like. */
static void arguments_prepare(struct plan *plan, const struct gcl_config *config)
{
	const struct gcl_jail *jail = &plan->jail;
	const char *const arguments[] = {
		"guestcl-worker",
		"--socket-fd",
		WORKER_SOCKET_TEXT,
		"--page-fd",
		WORKER_PAGE_TEXT,
		"--resident",
		gcl_resident_name(config),
		"--program-sizes",
		gcl_program_sizes_name(config),
		"--jail",
		gcl_jail_modes[jail->mode],
		"--seccomp",
		gcl_jail_call_lists[jail->calls],
		"--cache",
		jail->cache,
		"--read",
		jail->read,
		"--lacks",
		jail->lacks,
	};
	const char **more = plan->arguments + GCL_ARRAY_SIZE(arguments);

	static_assert(sizeof arguments + 8 * sizeof *arguments <= sizeof plan->arguments,
		      "with those that may follow, and the end");
	memcpy(plan->arguments, arguments, sizeof arguments);
	if (jail->apart)
		*more++ = "--apart";
	if (*plan->client) {
		*more++ = "--client";
		*more++ = plan->client;
		*more++ = "--replay-memory";
		*more++ = plan->replay_memory;
		*more++ = "--replay-time";
		*more++ = plan->replay_time;
	}
}

static int plan_init(struct plan *plan, const struct gcl_config *config,
		     const struct gcl_owner *owner)
{
	char given[PATH_MAX + sizeof owner->name + 1], cache[PATH_MAX];
	int err;

	snprintf(given, sizeof given, "%s/%s", config->cache_dir, owner->name);
	/* It exists; and another current folder has other relative names. */
	if (!realpath(given, cache))
		return -errno;
	if (!realpath(config->worker, plan->program))
		snprintf(plan->program, sizeof plan->program, "%s", config->worker);
	if (getrlimit(RLIMIT_NOFILE, &plan->files) < 0)
		return -errno;
	plan->files.rlim_cur = GCL_MIN(plan->files.rlim_max, config->worker_open_files);
	plan->files.rlim_max = plan->files.rlim_cur;
	err = variables_prepare(plan, config, cache);
	if (err == 0)
		err = environment_prepare(plan);
	if (err == 0) {
		client_prepare(plan, config);
		jail_prepare(plan, config);
	}
	return err;
}

_Noreturn static void child_fail(int socket, const char *what)
{
	char text[1 + GCL_HANDOVER_TEXT_MAX + 1];
	int n = snprintf(text, sizeof text,
			 "%cguestcld can't start its worker: %.120s: %s; check \"worker\" in "
			 "guestcld.conf",
			 GCL_HANDOVER_FAILED, what, strerror(errno));

	(void)!send(socket, text, GCL_MIN((size_t)n, sizeof text - 1), MSG_NOSIGNAL);
	_exit(127);
}

/* libev's handlers and the ignored SIGPIPE are not for the worker. */
static void signals_reset(void)
{
	struct sigaction initial = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		sigaction(number, &initial, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Both above their places first: either may be in the other's. */
static void files_place(const struct plan *plan)
{
	int socket = fcntl(plan->sockets[1], F_DUPFD, WORKER_PAGE + 1);
	int page = fcntl(plan->page, F_DUPFD, WORKER_PAGE + 1);
	int null = open("/dev/null", O_RDONLY);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		child_fail(plan->sockets[1], "/dev/null");
	if (socket < 0 || page < 0 || dup2(socket, WORKER_SOCKET) < 0 ||
	    dup2(page, WORKER_PAGE) < 0)
		child_fail(plan->sockets[1], "dup2");
	close_range(WORKER_PAGE + 1, ~0u, 0);
}

/* What changes the user makes the kernel forget the signal, and the daemon may die before it is
 * set: the end of the socket tells that, in each PID namespace. */
static void daemon_follow(void)
{
	struct pollfd daemon = {.fd = WORKER_SOCKET, .events = POLLRDHUP};

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		child_fail(WORKER_SOCKET, "prctl(PR_SET_PDEATHSIG)");
	if (poll(&daemon, 1, 0) > 0)
		_exit(0);
}

_Noreturn static void child_run(struct plan *plan, const struct gcl_config *config)
{
	int err;

	signals_reset();
	setsid(); /* Ctrl-C at the daemon's terminal is for the daemon */
	files_place(plan);
	/* The jail looks where this says that the runtimes are. */
	environ = (char **)plan->environment;
	err = gcl_jail_enter(&plan->jail, &plan->user);
	if (err < 0) {
		errno = -err;
		child_fail(WORKER_SOCKET, "the jail (or set jail = off)");
	}
	gcl_jail_limit(&plan->jail);
	if (setrlimit(RLIMIT_NOFILE, &plan->files) < 0)
		child_fail(WORKER_SOCKET, "setrlimit(RLIMIT_NOFILE)");
	daemon_follow();
	arguments_prepare(plan, config);
	execve(plan->jail.program, (char *const *)plan->arguments, environ);
	child_fail(WORKER_SOCKET, plan->jail.program);
}

uid_t gcl_spawn_uid(const struct gcl_config *config)
{
	struct gcl_jail_user user;

	if (config->jail == GCL_JAIL_OFF)
		return geteuid();
	gcl_jail_user_find(config->worker_user, &user);
	return user.uid;
}

/* Return: 0 or -errno. */
static int process_fork(struct plan *plan, const struct gcl_config *config, pid_t *pid)
{
	sigset_t all, before;
	int err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, plan->sockets) < 0)
		return -errno;
	fcntl(plan->sockets[0], F_SETFL, O_NONBLOCK);
	/* No handler of ours may run in the child. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	*pid = gcl_jail_fork(&plan->jail, &plan->user, plan->sockets);
	if (*pid == 0)
		child_run(plan, config);
	err = *pid < 0 ? -errno : 0;
	sigprocmask(SIG_SETMASK, &before, NULL);
	return err;
}

int gcl_spawn(const struct gcl_config *config, const struct gcl_owner *owner, int page, pid_t *pid,
	      int *socket, char *reason, size_t reason_size)
{
	_cleanup_(plan_fini) struct plan plan = {.sockets = {-1, -1}, .page = page};
	int err = plan_init(&plan, config, owner);

	if (err == 0)
		err = process_fork(&plan, config, pid);
	if (err < 0)
		snprintf(reason, reason_size, "guestcld can't start a worker: %s", strerror(-err));
	if (err == 0)
		*socket = steal_fd(&plan.sockets[0]);
	return err;
}
