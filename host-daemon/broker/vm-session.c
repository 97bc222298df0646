// SPDX-License-Identifier: MIT
/*
 * A session of a VM: the worker behind it, and the socket over which that is told of its memory.
 *
 * Must not: block, look at what a guest sends (the device does).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/log.h"
#include "vm.h"

/* How long a worker may take to do what it is asked about its memory. */
#define ANSWER_SECONDS 10.

/* Answers of a worker before other events get their turn. */
#define BATCH 64

struct vm_session {
	struct gcl_device_session session;
	struct gcl_vm *vm;
	struct gcl_guest guest;
	struct gcl_worker_process *worker; /* NULL before it is served and after it was reaped */
	bool stopped;			   /* the worker, by SIGSTOP */
	int door;			   /* our end of worker-link.h's socket; -1 */
	int bell;			   /* eventfd that the worker wakes the guest by; -1 */
	struct ev_io readable, writable, rung;
	struct ev_timer overdue;
};

static struct vm_session *of_session(struct gcl_device_session *session)
{
	return gcl_container_of(session, struct vm_session, session);
}

static struct vm_session *of_guest(struct gcl_guest *guest)
{
	return gcl_container_of(guest, struct vm_session, guest);
}

/* Neither messages nor wake-ups any more. */
static void link_close(struct vm_session *own)
{
	struct ev_loop *loop = own->vm->broker->loop;

	ev_io_stop(loop, &own->readable);
	ev_io_stop(loop, &own->writable);
	ev_io_stop(loop, &own->rung);
	ev_timer_stop(loop, &own->overdue);
	gcl_cleanup_close(&own->door);
	gcl_cleanup_close(&own->bell);
	own->door = own->bell = -1;
}

/* ------------------------------------------------------------ the worker's side */

static void worker_fail(struct vm_session *own, const char *what)
{
	gcl_log_error(vm, "VM %s: session %u: the worker %s: it is killed", own->vm->config.name,
		      own->session.id, what);
	link_close(own);
	if (own->worker)
		gcl_worker_kill(own->worker);
}

static void overdue_set(struct vm_session *own)
{
	struct ev_loop *loop = own->vm->broker->loop;

	ev_timer_stop(loop, &own->overdue);
	if (own->stopped || own->door < 0 || gcl_list_empty(&own->session.unanswered))
		return;
	ev_timer_set(&own->overdue, ANSWER_SECONDS, 0.);
	ev_timer_start(loop, &own->overdue);
}

static void on_overdue(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	worker_fail(timer->data, "does not answer");
}

/* Return: 1, 0 when there is none now, -EPIPE at the end, -errno. */
static int answer_read(struct vm_session *own)
{
	struct gcl_link_answer answer;
	int n = gcl_record_receive(own->door, &answer, sizeof answer);

	if (n <= 0)
		return n;
	return gcl_device_answered(&own->session, &answer) < 0 ? -EPROTO : 1;
}

static void on_answer(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct vm_session *own = io->data;
	struct gcl_vm *vm = own->vm;
	int n = 1;

	(void)loop;
	(void)events;
	for (int i = 0; i < BATCH && n > 0 && own->door >= 0; i++)
		n = answer_read(own);
	if (n == -EPIPE || n == -ECONNRESET) {
		link_close(own); /* it is about to end: why, its exit status tells */
		if (own->worker)
			gcl_worker_expect_end(own->worker);
	} else if (n < 0) {
		worker_fail(own, "answers what it was not asked");
	} else {
		overdue_set(own);
	}
	gcl_vm_settle(vm);
}

static void on_writable(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct vm_session *own = io->data;

	(void)events;
	ev_io_stop(loop, io);
	gcl_device_link_writable(&own->session);
}

static void on_rung(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct vm_session *own = io->data;
	struct gcl_vm *vm = own->vm;
	eventfd_t ignored;

	(void)loop;
	(void)events;
	(void)eventfd_read(io->fd, &ignored);
	gcl_device_wake(&own->session);
	gcl_vm_settle(vm);
}

/* ------------------------------------------------------------ what becomes of the guest */

static void on_refused(struct gcl_guest *guest, enum gcl_hello_status status, const char *reason)
{
	gcl_guest_fini(guest);
	gcl_device_refused(&of_guest(guest)->session, status, reason);
}

static void on_served(struct gcl_guest *guest, struct gcl_worker_process *worker)
{
	struct vm_session *own = of_guest(guest);

	own->worker = worker;
	gcl_device_served(&own->session);
}

static void on_stopped(struct gcl_guest *guest, bool stopped)
{
	struct vm_session *own = of_guest(guest);
	struct gcl_vm *vm = own->vm;

	own->stopped = stopped;
	overdue_set(own);
	if (stopped && gcl_device_paused(&own->session) < 0)
		gcl_vm_disconnect(vm);
	gcl_vm_settle(vm);
}

static void on_ended(struct gcl_guest *guest, int status)
{
	struct vm_session *own = of_guest(guest);
	struct gcl_vm *vm = own->vm;

	(void)status;
	own->worker = NULL;
	link_close(own);
	gcl_device_ended(&own->session);
	gcl_vm_settle(vm);
}

static const struct gcl_guest_ops guest_ops = {
	.refused = on_refused,
	.served = on_served,
	.stopped = on_stopped,
	.ended = on_ended,
};

/* ------------------------------------------------------------ the device's side */

static struct gcl_device_session *session_create(struct gcl_device *device)
{
	struct vm_session *own = calloc(1, sizeof *own);

	if (!own)
		return NULL;
	own->vm = gcl_container_of(device, struct gcl_vm, device);
	own->door = own->bell = -1;
	gcl_guest_init(&own->guest, own->vm->broker, &guest_ops, &own->vm->owner);
	ev_io_init(&own->readable, on_answer, -1, EV_READ);
	ev_io_init(&own->writable, on_writable, -1, EV_WRITE);
	ev_io_init(&own->rung, on_rung, -1, EV_READ);
	ev_timer_init(&own->overdue, on_overdue, 0., 0.);
	own->readable.data = own->writable.data = own->rung.data = own->overdue.data = own;
	return &own->session;
}

static void session_destroy(struct gcl_device_session *session)
{
	struct vm_session *own = of_session(session);

	link_close(own);
	gcl_guest_fini(&own->guest);
	gcl_list_remove(&session->link);
	free(own);
}

/* What the worker gets, and our ends of it. Return: 0 or -errno. */
static int greeting_make(struct vm_session *own, int doorbell)
{
	struct gcl_greeting *greeting = &own->guest.greeting;
	int ends[2];

	greeting->kind = GCL_GREETING_VIRTIO;
	greeting->hello = own->session.hello;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return -errno;
	own->door = ends[0];
	greeting->conn = ends[1];
	own->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (own->bell < 0)
		return -errno;
	greeting->fds[GCL_FD_WAKE_GUEST] = fcntl(own->bell, F_DUPFD_CLOEXEC, 3);
	greeting->fds[GCL_FD_WAKE_WORKER] = fcntl(doorbell, F_DUPFD_CLOEXEC, 3);
	if (greeting->fds[GCL_FD_WAKE_GUEST] < 0 || greeting->fds[GCL_FD_WAKE_WORKER] < 0)
		return -errno;
	return 0;
}

static void link_open(struct vm_session *own)
{
	struct ev_loop *loop = own->vm->broker->loop;

	ev_io_set(&own->readable, own->door, EV_READ);
	ev_io_set(&own->writable, own->door, EV_WRITE);
	ev_io_set(&own->rung, own->bell, EV_READ);
	ev_io_start(loop, &own->readable);
	ev_io_start(loop, &own->rung);
}

static void session_open(struct gcl_device_session *session, int doorbell)
{
	struct vm_session *own = of_session(session);
	struct gcl_vm *vm = own->vm;
	int err = greeting_make(own, doorbell);

	snprintf(own->guest.who, sizeof own->guest.who, "VM %s, uid %u, pid %u, %.*s",
		 vm->config.name, session->uid, session->pid, (int)sizeof session->hello.program,
		 session->hello.program);
	if (err < 0 || vm->broker->stopping) {
		gcl_guest_refuse(&own->guest, GCL_HELLO_BUSY, "guestcld can't begin a session: %s",
				 err < 0 ? strerror(-err) : "it is stopping");
		return;
	}
	link_open(own);
	gcl_guest_admit(&own->guest);
}

static bool session_end(struct gcl_device_session *session, bool kill)
{
	struct vm_session *own = of_session(session);

	link_close(own);
	gcl_guest_fini(&own->guest);
	if (!own->worker)
		return false;
	if (kill)
		gcl_worker_kill(own->worker);
	else
		gcl_worker_end(own->worker);
	return true;
}

static bool session_pause(struct gcl_device_session *session)
{
	struct vm_session *own = of_session(session);

	if (!own->worker || own->stopped)
		return false;
	kill(own->worker->pid, SIGSTOP);
	return true;
}

static void session_resume(struct gcl_device_session *session)
{
	struct vm_session *own = of_session(session);

	if (!own->worker || !own->stopped)
		return;
	own->stopped = false;
	kill(own->worker->pid, SIGCONT);
	overdue_set(own);
}

static int session_send(struct gcl_device_session *session, const struct gcl_link_map *message,
			size_t size, const int *fds, unsigned fd_count)
{
	struct vm_session *own = of_session(session);
	int err;

	if (own->door < 0)
		return -EPIPE;
	err = gcl_fds_send(own->door, message, size, MSG_DONTWAIT, fds, fd_count);
	if (err == 0) {
		if (!ev_is_active(&own->overdue)) {
			ev_timer_set(&own->overdue, ANSWER_SECONDS, 0.);
			ev_timer_start(own->vm->broker->loop, &own->overdue);
		}
		return 0;
	}
	if (err != -EAGAIN)
		return err;
	ev_io_start(own->vm->broker->loop, &own->writable);
	return -EAGAIN;
}

/* ------------------------------------------------------------ over exec */

void gcl_vm_sessions_save(struct gcl_vm *vm, struct gcl_state *state)
{
	gcl_list_for_each (it, &vm->device.sessions) {
		const struct vm_session *own =
			of_session(gcl_container_of(it, struct gcl_device_session, link));

		gcl_state_put_number(state, own->worker ? own->worker->session : 0);
		GCL_STATE_PUT(state, own->stopped);
		GCL_STATE_PUT(state, own->guest.who);
		gcl_state_put_fd(state, own->door);
		gcl_state_put_fd(state, own->bell);
	}
}

/* Its worker was restored before; one that has not been is as good as ended. */
static bool session_restore(struct vm_session *own, struct gcl_state *state)
{
	struct gcl_workers *workers = &own->vm->broker->workers;
	uint64_t number = gcl_state_get_number(state);

	GCL_STATE_GET(state, own->stopped);
	GCL_STATE_GET(state, own->guest.who);
	own->door = gcl_state_get_fd(state);
	own->bell = gcl_state_get_fd(state);
	own->worker = number ? gcl_workers_find(workers, number) : NULL;
	if (!own->worker)
		return number == 0 && !state->bad;
	own->worker->guest = &own->guest;
	if (own->door >= 0 && own->bell >= 0)
		link_open(own);
	return !state->bad;
}

bool gcl_vm_sessions_restore(struct gcl_vm *vm, struct gcl_state *state)
{
	bool good = true;

	gcl_list_for_each (it, &vm->device.sessions)
		good &= session_restore(
			of_session(gcl_container_of(it, struct gcl_device_session, link)), state);
	return good;
}

const struct gcl_device_ops gcl_vm_device_ops = {
	.create = session_create,
	.destroy = session_destroy,
	.open = session_open,
	.end = session_end,
	.pause = session_pause,
	.resume = session_resume,
	.send = session_send,
	.watch = gcl_vm_watch,
};
