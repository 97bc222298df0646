// SPDX-License-Identifier: MIT
/*
 * The lives of the programs that serve beside the broker: guestcl-libvirt, guestcl-web,
 * guestcl-tls, guestcl-etcd.
 *
 * Must not: wait for them, know what they are for.
 */
#include "helper.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "broker.h"

/* Pauses before what has failed is tried again; a process that ran for long ended for a new reason.
 */
#define PAUSE_FIRST  1.
#define PAUSE_MAX    60.
#define LONG_SECONDS 60.

static void on_reaped(struct ev_loop *loop, struct ev_child *child, int events)
{
	struct gcl_helper *helper = child->data;
	int status = child->rstatus;

	(void)events;
	ev_child_stop(loop, child);
	helper->pid = 0;
	if (!helper->kind->gone(helper) || helper->broker->stopping)
		return;
	if (gcl_clock() - helper->since > LONG_SECONDS)
		helper->pause = PAUSE_FIRST;
	gcl_log_warn(broker, "%s ended with %s %d: tried again after %.0f s%s", helper->kind->name,
		     WIFSIGNALED(status) ? "signal" : "status",
		     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), helper->pause,
		     helper->kind->meanwhile);
	gcl_helper_retry(helper);
}

static void on_retry(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_helper *helper = timer->data;

	(void)loop;
	(void)events;
	helper->kind->again(helper);
}

void gcl_helper_init(struct gcl_helper *helper, const struct gcl_helper_kind *kind,
		     struct gcl_broker *broker)
{
	*helper = (struct gcl_helper){
		.broker = broker, .kind = kind, .socket = -1, .pause = PAUSE_FIRST};
	ev_child_init(&helper->child, on_reaped, 0, 0);
	ev_timer_init(&helper->retry, on_retry, 0., 0.);
	helper->child.data = helper->retry.data = helper;
}

static int spawn(pid_t *pid, const char *program, char *const arguments[], int in, int out)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t all, none;
	int err;

	sigfillset(&all);
	sigemptyset(&none);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
	if (out >= 0)
		posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	posix_spawnattr_init(&attributes);
	/* A session of its own: Ctrl-C at the daemon's terminal is for the daemon. */
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
						      POSIX_SPAWN_SETSID);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setsigmask(&attributes, &none);
	err = posix_spawn(pid, program, &files, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	if (err)
		*pid = 0;
	return -err;
}

int gcl_helper_start(struct gcl_helper *helper, const char *program, char *arguments[], int out)
{
	_cleanup_close_ int ours = -1, its = -1;
	int pair[2], err = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		err = -errno;
	} else {
		ours = pair[0];
		its = pair[1];
		arguments[0] = (char *)helper->kind->name;
		err = spawn(&helper->pid, program, arguments, its, out);
	}
	if (err < 0) {
		gcl_log_error(broker, "can't start %s: %s; install it, or set \"%s\" to \"\"",
			      program, strerror(-err), helper->kind->setting);
		return err;
	}
	helper->socket = steal_fd(&ours);
	gcl_helper_follow(helper);
	return 0;
}

void gcl_helper_follow(struct gcl_helper *helper)
{
	helper->since = gcl_clock();
	ev_child_set(&helper->child, helper->pid, 0);
	ev_child_start(helper->broker->loop, &helper->child);
}

void gcl_helper_retry(struct gcl_helper *helper)
{
	ev_timer_set(&helper->retry, helper->pause, 0.);
	ev_timer_start(helper->broker->loop, &helper->retry);
	helper->pause = GCL_MIN(helper->pause * 2., PAUSE_MAX);
}

void gcl_helper_anew(struct gcl_helper *helper)
{
	ev_timer_stop(helper->broker->loop, &helper->retry);
	helper->pause = PAUSE_FIRST;
}

void gcl_helper_close(struct gcl_helper *helper)
{
	gcl_cleanup_close(&helper->socket);
	helper->socket = -1;
}

void gcl_helper_kill(struct gcl_helper *helper)
{
	if (helper->pid > 0)
		kill(helper->pid, SIGKILL);
}

void gcl_helper_end(struct gcl_helper *helper)
{
	ev_timer_stop(helper->broker->loop, &helper->retry);
	ev_child_stop(helper->broker->loop, &helper->child);
	gcl_helper_close(helper);
	/* It holds nothing that could be lost. libev reaps it. */
	gcl_helper_kill(helper);
	helper->pid = 0;
}
