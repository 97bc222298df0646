// SPDX-License-Identifier: MIT
/*
 * The process that serves our numbers by HTTP: its start and its end.
 *
 * It asks over the control socket, as any tool does, but can do nothing there (control.c). It ends
 * at the end of its standard input, so that none is left when we die.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "control.h"

/* Pauses before one that has ended is started again; one that ran for long ended for a new reason.
 */
#define PAUSE_FIRST  1.
#define PAUSE_MAX    60.
#define LONG_SECONDS 60.

static void retry_after(struct gcl_web *web)
{
	ev_timer_set(&web->retry, web->pause, 0.);
	ev_timer_start(web->broker->loop, &web->retry);
	web->pause = GCL_MIN(web->pause * 2., PAUSE_MAX);
}

static void on_reaped(struct ev_loop *loop, struct ev_child *child, int events)
{
	struct gcl_web *web = child->data;
	int status = child->rstatus;

	(void)events;
	ev_child_stop(loop, child);
	web->pid = 0;
	gcl_cleanup_close(&web->in);
	web->in = -1;
	if (web->broker->stopping)
		return;
	if (gcl_clock() - web->since > LONG_SECONDS)
		web->pause = PAUSE_FIRST;
	gcl_log_warn(broker, "guestcl-web ended with %s %d: tried again after %.0f s",
		     WIFSIGNALED(status) ? "signal" : "status",
		     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), web->pause);
	retry_after(web);
}

static int process_spawn(struct gcl_web *web, int in)
{
	char control[sizeof web->broker->config.socket + sizeof "/control.sock"];
	char *arguments[] = {"guestcl-web",  "--until-eof",   "--listen",
			     web->listen,    "--control",     control,
			     "--token-file", web->token_file, NULL};

	gcl_control_path(&web->broker->config, control, sizeof control);
	return gcl_helper_spawn(&web->pid, web->program, arguments, in, -1);
}

static int web_start(struct gcl_web *web)
{
	_cleanup_close_ int in_read = -1, in_write = -1;
	int ends[2], err;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	in_read = ends[0];
	in_write = ends[1];
	err = process_spawn(web, in_read);
	if (err < 0)
		return err;
	web->in = steal_fd(&in_write);
	web->since = gcl_clock();
	ev_child_set(&web->child, web->pid, 0);
	ev_child_start(web->broker->loop, &web->child);
	return 0;
}

static void web_try(struct gcl_web *web)
{
	int err = web_start(web);

	if (err == 0)
		return;
	gcl_log_error(broker, "can't start %s: %s; install it, or set \"web-listen\" to \"\"",
		      web->program, strerror(-err));
	retry_after(web);
}

static void on_retry(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	web_try(timer->data);
}

void gcl_web_init(struct gcl_web *web, struct gcl_broker *broker)
{
	*web = (struct gcl_web){.broker = broker, .in = -1};
	ev_child_init(&web->child, on_reaped, 0, 0);
	ev_timer_init(&web->retry, on_retry, 0., 0.);
	web->child.data = web->retry.data = web;
}

void gcl_web_fini(struct gcl_web *web)
{
	struct ev_loop *loop = web->broker->loop;

	ev_timer_stop(loop, &web->retry);
	ev_child_stop(loop, &web->child);
	gcl_cleanup_close(&web->in);
	web->in = -1;
	/* It holds nothing that could be lost. libev reaps it. */
	if (web->pid > 0)
		kill(web->pid, SIGKILL);
	web->pid = 0;
}

void gcl_web_configure(struct gcl_web *web)
{
	const struct gcl_config *config = &web->broker->config;

	if (strcmp(web->listen, config->web_listen) == 0 &&
	    strcmp(web->token_file, config->web_token_file) == 0 &&
	    strcmp(web->program, config->web_program) == 0)
		return;
	gcl_web_fini(web);
	memcpy(web->listen, config->web_listen, sizeof web->listen);
	memcpy(web->token_file, config->web_token_file, sizeof web->token_file);
	memcpy(web->program, config->web_program, sizeof web->program);
	web->pause = PAUSE_FIRST;
	if (*web->listen)
		web_try(web);
}

void gcl_web_suspend(struct gcl_web *web)
{
	if (web->pid > 0)
		kill(web->pid, SIGKILL); /* on_reaped() starts another */
}
