// SPDX-License-Identifier: MIT
/*
 * Must not: block, change anything that a failure would have to undo.
 */
#include "takeover.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "takeover-state.h"
#include "vm.h"

/* How long the new program may take to answer. */
#define CHECK_SECONDS 10.

/* How long to wait for a moment at which nothing is half done, and how often to look. */
#define QUIET_SECONDS 15.
#define POLL_SECONDS  0.005

/* Guests that come meanwhile wait for so long, and then get their turn for a moment: they don't
 * wait for an answer much longer than a worker may take to start. */
#define HOLD_SECONDS 1.5
#define OPEN_SECONDS 0.5

static void hold_set(struct gcl_broker *broker, bool holding)
{
	struct gcl_takeover *takeover = &broker->takeover;

	takeover->holding = holding;
	takeover->turn = gcl_clock() + (holding ? HOLD_SECONDS : OPEN_SECONDS);
	if (holding)
		gcl_listener_hold(&broker->listener);
	else
		gcl_listener_resume(&broker->listener);
}

static void give_up(struct gcl_broker *broker, const char *why)
{
	struct gcl_takeover *takeover = &broker->takeover;

	ev_timer_stop(broker->loop, &takeover->poll);
	snprintf(takeover->error, sizeof takeover->error, "%s", why);
	gcl_log_error(broker, "this guestcld goes on: %s", why);
	takeover->waiting = false;
	hold_set(broker, false);
}

/* ------------------------------------------------------------ the new program's word */

static void quiet_wait(struct gcl_broker *broker)
{
	struct gcl_takeover *takeover = &broker->takeover;

	takeover->until = gcl_clock() + QUIET_SECONDS;
	takeover->waiting = true;
	hold_set(broker, true);
	ev_timer_set(&takeover->poll, 0., POLL_SECONDS);
	ev_timer_start(broker->loop, &takeover->poll);
}

static void on_checked(struct ev_loop *loop, struct ev_child *child, int events)
{
	struct gcl_broker *broker = child->data;
	int status = child->rstatus;

	(void)events;
	ev_child_stop(loop, child);
	ev_timer_stop(loop, &broker->takeover.overdue);
	broker->takeover.check = 0;
	if (broker->stopping)
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		quiet_wait(broker);
	else
		give_up(broker,
			"the new guestcld can't take its sessions over, or refuses the "
			"configuration (see its lines before): end sessions and restart the "
			"service");
}

static void on_overdue(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	const struct gcl_broker *broker = timer->data;

	(void)loop;
	(void)events;
	kill(broker->takeover.check, SIGKILL); /* on_checked() says the rest */
}

/* The command line with one more option. NULL without memory; the caller frees the array. */
static char **arguments_with(const struct gcl_options *options, char *more)
{
	char **arguments = calloc((size_t)options->argc + 2, sizeof *arguments);

	if (!arguments)
		return NULL;
	memcpy(arguments, options->argv, (size_t)options->argc * sizeof *arguments);
	arguments[options->argc] = more;
	return arguments;
}

static int check_start(struct gcl_broker *broker)
{
	struct gcl_takeover *takeover = &broker->takeover;
	char option[64];
	_cleanup_free_ char **arguments = arguments_with(broker->options, option);
	posix_spawnattr_t attributes;
	sigset_t all, none;
	int err;

	if (!arguments)
		return -ENOMEM;
	snprintf(option, sizeof option, "--take-over-from=%u", gcl_takeover_layout());
	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setsigmask(&attributes, &none);
	err = posix_spawn(&takeover->check, broker->options->program, NULL, &attributes, arguments,
			  environ);
	posix_spawnattr_destroy(&attributes);
	if (err)
		takeover->check = 0;
	return -err;
}

void gcl_takeover_begin(struct gcl_broker *broker)
{
	struct gcl_takeover *takeover = &broker->takeover;
	char text[192];
	int err;

	if (broker->stopping || takeover->waiting || takeover->check)
		return;
	takeover->error[0] = '\0';
	err = check_start(broker);
	if (err < 0) {
		snprintf(text, sizeof text, "can't start %.120s: %s", broker->options->program,
			 strerror(-err));
		give_up(broker, text);
		return;
	}
	gcl_log_info(broker, "asking %s whether it can take over", broker->options->program);
	ev_child_set(&takeover->checked, takeover->check, 0);
	ev_child_start(broker->loop, &takeover->checked);
	ev_timer_set(&takeover->overdue, CHECK_SECONDS, 0.);
	ev_timer_start(broker->loop, &takeover->overdue);
}

/* ------------------------------------------------------------ the moment */

/* What is still half done; NULL: nothing. */
static const char *busy_with(struct gcl_broker *broker)
{
	if (broker->conns.count || broker->guests.waiting_count)
		return "guests that begin";
	gcl_list_for_each (it, &broker->workers.list) {
		if (gcl_container_of(it, struct gcl_worker_process, link)->state ==
		    GCL_WORKER_ENDING)
			return "sessions that end";
	}
	gcl_list_for_each (it, &broker->vms) {
		const struct gcl_vm *vm = gcl_container_of(it, struct gcl_vm, link);

		if (vm->removed || !gcl_device_quiet(&vm->device))
			return "VMs' requests";
	}
	return NULL;
}

/* Returns only if it can't. SIGCHLD waits for the new program. */
static void exec_now(struct gcl_broker *broker, struct gcl_state *state)
{
	char number[16], text[192];
	sigset_t child, before;
	int fd = gcl_state_keep(state);
	int err = fd;

	if (fd >= 0) {
		snprintf(number, sizeof number, "%d", fd);
		setenv(GCL_TAKEOVER_VARIABLE, number, 1);
		sigemptyset(&child);
		sigaddset(&child, SIGCHLD);
		sigprocmask(SIG_BLOCK, &child, &before);
		gcl_log_info(broker, "%s takes over; sessions: %zu", broker->options->program,
			     gcl_workers_sessions(&broker->workers, NULL));
		execv(broker->options->program, broker->options->argv);
		err = -errno;
		sigprocmask(SIG_SETMASK, &before, NULL);
		unsetenv(GCL_TAKEOVER_VARIABLE);
		close(fd);
		gcl_state_unkeep(state);
	}
	snprintf(text, sizeof text, "can't execute %.120s: %s", broker->options->program,
		 strerror(-err));
	give_up(broker, text);
}

static void on_poll(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_broker *broker = timer->data;
	_cleanup_(gcl_state_fini) struct gcl_state state = {0};
	const char *busy = busy_with(broker);
	char text[128];

	(void)events;
	if (broker->stopping) {
		ev_timer_stop(loop, timer);
	} else if (!busy) {
		ev_timer_stop(loop, timer);
		gcl_takeover_save(broker, &state);
		gcl_helper_kill(&broker->libvirt.helper);
		gcl_helper_kill(&broker->web.helper);
		gcl_helper_kill(&broker->etcd.helper);
		exec_now(broker, &state);
	} else if (gcl_clock() > broker->takeover.until) {
		snprintf(text, sizeof text, "there were always %s, for %.0f s: try again", busy,
			 QUIET_SECONDS);
		give_up(broker, text);
	} else if (gcl_clock() > broker->takeover.turn) {
		hold_set(broker, !broker->takeover.holding);
	}
}

void gcl_takeover_init(struct gcl_broker *broker)
{
	struct gcl_takeover *takeover = &broker->takeover;

	ev_child_init(&takeover->checked, on_checked, 0, 0);
	ev_timer_init(&takeover->poll, on_poll, 0., POLL_SECONDS);
	ev_timer_init(&takeover->overdue, on_overdue, CHECK_SECONDS, 0.);
	takeover->checked.data = takeover->poll.data = takeover->overdue.data = broker;
}

/* ------------------------------------------------------------ the other side */

void gcl_takeover_restore(struct gcl_broker *broker)
{
	const char *text = getenv(GCL_TAKEOVER_VARIABLE);
	_cleanup_(gcl_state_fini) struct gcl_state state = {0};
	char *end;
	long fd;
	int err;

	if (!text)
		return;
	fd = strtol(text, &end, 10);
	err = *end || fd < 3 || fd > INT32_MAX ? -EBADF : gcl_state_load(&state, (int)fd);
	unsetenv(GCL_TAKEOVER_VARIABLE);
	if (err == 0)
		err = gcl_takeover_load(broker, &state);
	if (err < 0)
		gcl_log_error(broker,
			      "what the guestcld before has left is no use (%s): sessions "
			      "may be lost",
			      strerror(-err));
	else
		gcl_log_info(broker, "took over; sessions: %zu",
			     gcl_workers_sessions(&broker->workers, NULL));
}

void gcl_takeover_settle(struct gcl_broker *broker)
{
	sigset_t child;

	gcl_sockets_settle();
	gcl_list_for_each (it, &broker->accounts)
		gcl_ledger_limit_changed(broker, gcl_container_of(it, struct gcl_account, link));
	gcl_list_for_each_safe (it, next, &broker->vms) {
		struct gcl_vm *vm = gcl_container_of(it, struct gcl_vm, link);

		if (vm->conn >= 0)
			gcl_vm_restart(vm);
	}
	/* Workers may have ended while no one looked. */
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_UNBLOCK, &child, NULL);
	raise(SIGCHLD);
}
