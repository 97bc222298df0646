// SPDX-License-Identifier: MIT
/*
 * Accepting the guests of VMs.
 *
 * Must not: block, read anything (conn.c reads the greeting).
 */
#include "entrance.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* After the socket's own types, which it needs. */
#include <linux/vm_sockets.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "vm.h"

/* Connections accepted before other events get their turn. */
#define BATCH 16

#define PAUSE_SECONDS 0.1

/* ------------------------------------------------------------ who it is */

/* The VM behind a connection; NULL: it has been refused. */
static struct gcl_vm *peer_identify(struct gcl_entrance *entrance, int conn,
				    const struct sockaddr_vm *peer)
{
	struct gcl_vm *vm;
	char text[GCL_REASON_MAX];

	if (entrance->vm)
		return entrance->vm;
	vm = gcl_vms_find_cid(entrance->broker, peer->svm_cid);
	if (vm)
		return vm;
	snprintf(text, sizeof text,
		 "guestcld knows no VM with CID %u: write vm \"NAME\" { cid = %u } into "
		 "guestcld.conf on the host",
		 peer->svm_cid, peer->svm_cid);
	gcl_log_peer(vm, "refused a guest: %s", text);
	gcl_hello_answer(conn, GCL_HELLO_FAILED, text);
	close(conn);
	return NULL;
}

static void guest_take(struct gcl_entrance *entrance, int conn, const struct sockaddr_vm *peer)
{
	struct gcl_vm *vm = peer_identify(entrance, conn, peer);
	char who[sizeof((struct gcl_guest *)0)->who];

	if (!vm)
		return;
	snprintf(who, sizeof who, "VM %s, %s", vm->config.name, entrance->name);
	gcl_conn_accept_of(entrance->broker, conn, entrance->kind, &vm->owner, who, NULL);
}

/* ------------------------------------------------------------ accepting */

/* The socket stays readable, so that the rest has to wait. */
static void rest(struct gcl_entrance *entrance)
{
	ev_io_stop(entrance->broker->loop, &entrance->readable);
	ev_timer_set(&entrance->pause, PAUSE_SECONDS, 0.);
	ev_timer_start(entrance->broker->loop, &entrance->pause);
}

static void on_readable(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct gcl_entrance *entrance = io->data;
	const struct gcl_broker *broker = entrance->broker;

	(void)loop;
	(void)events;
	for (int i = 0; i < BATCH; i++) {
		struct sockaddr_vm peer = {0};
		socklen_t size = sizeof peer;
		int conn;

		if (gcl_conns_wait(broker)) {
			rest(entrance);
			return;
		}
		conn = accept4(io->fd, entrance->vm ? NULL : (struct sockaddr *)&peer,
			       entrance->vm ? NULL : &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (conn < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (conn < 0 && errno != EAGAIN) {
			gcl_log_peer(vm, "can't accept guests by %s: %s; they wait", entrance->name,
				     strerror(errno));
			rest(entrance);
		}
		if (conn < 0)
			return;
		guest_take(entrance, conn, &peer);
	}
}

static void on_pause_end(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_entrance *entrance = timer->data;

	(void)events;
	ev_io_start(loop, &entrance->readable);
}

static void listen_start(struct gcl_entrance *entrance, struct gcl_broker *broker)
{
	entrance->broker = broker;
	ev_io_init(&entrance->readable, on_readable, entrance->socket.fd, EV_READ);
	entrance->readable.data = entrance;
	ev_timer_init(&entrance->pause, on_pause_end, 0., 0.);
	entrance->pause.data = entrance;
	ev_io_start(broker->loop, &entrance->readable);
}

/* ------------------------------------------------------------ opening */

int gcl_entrance_open(struct gcl_entrance *entrance, struct gcl_vm *vm, enum gcl_greeting_kind kind,
		      const char *name, const struct gcl_socket_place *place)
{
	int err = gcl_socket_open(&entrance->socket, place);

	if (err < 0)
		return err;
	entrance->vm = vm;
	entrance->kind = kind;
	entrance->name = name;
	listen_start(entrance, vm->broker);
	return 0;
}

void gcl_entrance_listen(struct gcl_entrance *entrance, struct gcl_broker *broker, int fd)
{
	entrance->socket.fd = fd;
	entrance->vm = NULL;
	entrance->kind = GCL_GREETING_STREAM;
	entrance->name = "vsock";
	listen_start(entrance, broker);
}

void gcl_entrance_close(struct gcl_entrance *entrance)
{
	if (!entrance->broker)
		return;
	ev_io_stop(entrance->broker->loop, &entrance->readable);
	ev_timer_stop(entrance->broker->loop, &entrance->pause);
	entrance->broker = NULL;
	gcl_socket_close(&entrance->socket);
}
