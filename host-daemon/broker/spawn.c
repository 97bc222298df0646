// SPDX-License-Identifier: MIT
/*
 * Starting a worker process: its environment, limits and descriptors.
 *
 * The worker gets stderr and stdout of the daemon, /dev/null as stdin, the socket as descriptor 3,
 * and nothing else. It never outlives the daemon. What goes wrong between fork and exec is told
 * over the socket, since the broker knows better whom to tell.
 */
#include <errno.h>
#include <fcntl.h>
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

#define WORKER_SOCKET	   3
#define WORKER_SOCKET_TEXT "3"

#define ENVIRONMENT_OWN 2

/* What the child needs, made before the fork. */
struct plan {
	const char *program;
	char *cache;		  /* POCL_CACHE_DIR=... */
	char *vendors;		  /* OCL_ICD_VENDORS=..., or NULL */
	const char **environment; /* borrows its strings */
	const char *arguments[6];
	struct rlimit files;
	pid_t parent;
	int socket;
};

static void plan_fini(struct plan *plan)
{
	free(plan->cache);
	free(plan->vendors);
	free(plan->environment);
}

static bool replaced(const struct plan *plan, const char *variable)
{
	return strncmp(variable, "POCL_CACHE_DIR=", 15) == 0 ||
	       (plan->vendors && strncmp(variable, "OCL_ICD_VENDORS=", 16) == 0);
}

static int environment_prepare(struct plan *plan, const struct gcl_config *config)
{
	size_t count = 0, used = 0;

	if (*config->icd_vendors &&
	    asprintf(&plan->vendors, "OCL_ICD_VENDORS=%s", config->icd_vendors) < 0) {
		plan->vendors = NULL;
		return -ENOMEM;
	}
	while (environ[count])
		count++;
	plan->environment = calloc(count + ENVIRONMENT_OWN + 1, sizeof *plan->environment);
	if (!plan->environment)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (!replaced(plan, environ[i]))
			plan->environment[used++] = environ[i];
	}
	plan->environment[used++] = plan->cache;
	if (plan->vendors)
		plan->environment[used++] = plan->vendors;
	return 0;
}

static int plan_init(struct plan *plan, const struct gcl_config *config,
		     const struct gcl_owner *owner)
{
	if (asprintf(&plan->cache, "POCL_CACHE_DIR=%s/%s", config->cache_dir, owner->name) < 0) {
		plan->cache = NULL;
		return -ENOMEM;
	}
	plan->program = config->worker;
	plan->arguments[0] = "guestcl-worker";
	plan->arguments[1] = "--socket-fd";
	plan->arguments[2] = WORKER_SOCKET_TEXT;
	plan->arguments[3] = "--resident";
	plan->arguments[4] = gcl_resident_name(config);
	if (getrlimit(RLIMIT_NOFILE, &plan->files) < 0)
		return -errno;
	plan->files.rlim_cur = GCL_MIN(plan->files.rlim_max, config->worker_open_files);
	plan->files.rlim_max = plan->files.rlim_cur;
	plan->parent = getpid();
	return environment_prepare(plan, config);
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

_Noreturn static void child_run(const struct plan *plan)
{
	static const struct rlimit no_core = {0, 0};
	int null;

	signals_reset();
	setsid(); /* Ctrl-C at the daemon's terminal is for the daemon */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		child_fail(plan->socket, "prctl(PR_SET_PDEATHSIG)");
	if (getppid() != plan->parent)
		_exit(0); /* the daemon died before the kernel knew that we want to follow */
	setrlimit(RLIMIT_CORE, &no_core);
	null = open("/dev/null", O_RDONLY);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		child_fail(plan->socket, "/dev/null");
	if (plan->socket == WORKER_SOCKET)
		fcntl(plan->socket, F_SETFD, 0);
	else if (dup2(plan->socket, WORKER_SOCKET) < 0)
		child_fail(plan->socket, "dup2");
	close_range(WORKER_SOCKET + 1, ~0u, 0);
	if (setrlimit(RLIMIT_NOFILE, &plan->files) < 0)
		child_fail(WORKER_SOCKET, "setrlimit(RLIMIT_NOFILE)");
	execve(plan->program, (char *const *)plan->arguments, (char *const *)plan->environment);
	child_fail(WORKER_SOCKET, plan->program);
}

int gcl_spawn(const struct gcl_config *config, const struct gcl_owner *owner, pid_t *pid,
	      int *socket, char *reason, size_t reason_size)
{
	_cleanup_(plan_fini) struct plan plan = {.socket = -1};
	_cleanup_close_ int ours = -1, theirs = -1;
	sigset_t all, before;
	int ends[2], err = 0;

	err = plan_init(&plan, config, owner);
	if (err == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		err = -errno;
	if (err == 0) {
		ours = ends[0];
		theirs = ends[1];
		plan.socket = theirs;
		fcntl(ours, F_SETFL, O_NONBLOCK);
		/* No handler of ours may run in the child. */
		sigfillset(&all);
		sigprocmask(SIG_SETMASK, &all, &before);
		*pid = fork();
		if (*pid == 0)
			child_run(&plan);
		err = *pid < 0 ? -errno : 0;
		sigprocmask(SIG_SETMASK, &before, NULL);
	}
	if (err < 0)
		snprintf(reason, reason_size, "guestcld can't start a worker: %s", strerror(-err));
	if (err == 0)
		*socket = steal_fd(&ours);
	return err;
}
