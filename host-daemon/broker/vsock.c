// SPDX-License-Identifier: MIT
/*
 * Guests that come by vsock: a stream, from a VM that needs no module of ours.
 *
 * Two ways lead here. Where the VMM itself, or vhost-device-vsock beside it, hands a guest's
 * connections to Unix sockets (a connection to port N of the host arrives at "PATH_N"), each VM has
 * a socket of that name, and whoever may connect to it is that VM. Where the host's kernel has
 * vhost-vsock there is one AF_VSOCK socket for all, and the kernel says which VM (CID) has
 * connected.
 *
 * Must not: block, read anything (conn.c reads the greeting).
 */
#include "vsock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* After the socket's own types, which it needs. */
#include <linux/vm_sockets.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "vm.h"

#define BACKLOG 128

/* Connections accepted before other events get their turn. */
#define BATCH 16

#define PAUSE_SECONDS 0.1

/* ------------------------------------------------------------ who it is */

/* The VM behind a connection; NULL: it has been refused. */
static struct gcl_vm *peer_identify(struct gcl_vsock *vsock, int conn,
				    const struct sockaddr_vm *peer)
{
	struct gcl_vm *vm;
	char text[GCL_REASON_MAX];

	if (vsock->vm)
		return vsock->vm;
	vm = gcl_vms_find_cid(vsock->broker, peer->svm_cid);
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

static void guest_take(struct gcl_vsock *vsock, int conn, const struct sockaddr_vm *peer)
{
	struct gcl_vm *vm = peer_identify(vsock, conn, peer);
	char who[sizeof((struct gcl_guest *)0)->who];

	if (!vm)
		return;
	snprintf(who, sizeof who, "VM %s, vsock", vm->config.name);
	gcl_conn_accept_of(vsock->broker, conn, GCL_GREETING_STREAM, &vm->owner, who,
			   vm->config.max_sessions);
}

/* ------------------------------------------------------------ accepting */

/* The socket stays readable, so that the rest has to wait. */
static void rest(struct gcl_vsock *vsock)
{
	ev_io_stop(vsock->broker->loop, &vsock->readable);
	ev_timer_set(&vsock->pause, PAUSE_SECONDS, 0.);
	ev_timer_start(vsock->broker->loop, &vsock->pause);
}

static void on_readable(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct gcl_vsock *vsock = io->data;
	const struct gcl_broker *broker = vsock->broker;

	(void)loop;
	(void)events;
	for (int i = 0; i < BATCH; i++) {
		struct sockaddr_vm peer = {0};
		socklen_t size = sizeof peer;
		int conn;

		if (broker->conns.count >= broker->config.max_greetings) {
			rest(vsock);
			return;
		}
		conn = accept4(io->fd, vsock->vm ? NULL : (struct sockaddr *)&peer,
			       vsock->vm ? NULL : &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (conn < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (conn < 0 && errno != EAGAIN) {
			gcl_log_peer(vm, "can't accept guests by vsock: %s; they wait",
				     strerror(errno));
			rest(vsock);
		}
		if (conn < 0)
			return;
		guest_take(vsock, conn, &peer);
	}
}

static void on_pause_end(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_vsock *vsock = timer->data;

	(void)events;
	ev_io_start(loop, &vsock->readable);
}

static void listen_start(struct gcl_vsock *vsock, struct gcl_broker *broker, struct gcl_vm *vm)
{
	vsock->broker = broker;
	vsock->vm = vm;
	ev_io_init(&vsock->readable, on_readable, vsock->socket.fd, EV_READ);
	vsock->readable.data = vsock;
	ev_timer_init(&vsock->pause, on_pause_end, 0., 0.);
	vsock->pause.data = vsock;
	ev_io_start(broker->loop, &vsock->readable);
}

/* ------------------------------------------------------------ the two ways */

/* "web1.sock" and "web1.vsock_17228". */
static bool path_make(const char *socket, char *path, size_t size)
{
	static const char suffix[] = ".sock";
	size_t length = strlen(socket), end = sizeof suffix - 1;

	if (length > end && strcmp(socket + length - end, suffix) == 0)
		length -= end;
	return (size_t)snprintf(path, size, "%.*s.vsock_%u", (int)length, socket, GCL_VSOCK_PORT) <
	       size;
}

int gcl_vsock_open_vm(struct gcl_vsock *vsock, struct gcl_vm *vm)
{
	const struct gcl_config *config = &vm->broker->config;
	char path[sizeof vsock->socket.path];
	const struct gcl_socket_place place = {
		.path = path,
		.mode = config->vm_socket_mode,
		.group = config->vm_socket_group,
		.initial_group = gcl_setting_initial("vm-socket-group"),
		.setting = "socket",
		.group_setting = "vm-socket-group",
	};
	int err;

	vsock->socket.fd = -1;
	if (!path_make(vm->socket.path, path, sizeof path)) {
		gcl_log_error(vm,
			      "VM %s: %s is too long for a socket for vsock beside it: set a "
			      "shorter one",
			      vm->config.name, vm->socket.path);
		return -ENAMETOOLONG;
	}
	err = gcl_socket_open(&vsock->socket, &place);
	if (err < 0)
		return err;
	listen_start(vsock, vm->broker, vm);
	return 0;
}

/* Return: a listening socket, or -errno. */
static int vsock_listen(unsigned port)
{
	const struct sockaddr_vm address = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_ANY,
		.svm_port = port,
	};
	_cleanup_close_ int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return -errno;
	return steal_fd(&fd);
}

void gcl_vsock_open(struct gcl_vsock *vsock, struct gcl_broker *broker)
{
	const struct gcl_config *config = &broker->config;
	int fd;

	vsock->socket.fd = -1;
	if (config->vsock == GCL_VSOCK_NEVER ||
	    (config->vsock == GCL_VSOCK_AUTO && access("/dev/vhost-vsock", F_OK) < 0))
		return;
	fd = vsock_listen(config->vsock_port);
	if (fd < 0) {
		gcl_log_warn(vm,
			     "can't listen on vsock port %u: %s: guests by vsock are not served; "
			     "free the port, or set vsock to never",
			     config->vsock_port, strerror(-fd));
		return;
	}
	vsock->socket.fd = fd;
	listen_start(vsock, broker, NULL);
	gcl_log_info(vm, "guests of VMs with a cid are served on vsock port %u",
		     config->vsock_port);
}

void gcl_vsock_close(struct gcl_vsock *vsock)
{
	if (vsock->broker) {
		ev_io_stop(vsock->broker->loop, &vsock->readable);
		ev_timer_stop(vsock->broker->loop, &vsock->pause);
	}
	vsock->broker = NULL;
	gcl_socket_close(&vsock->socket);
}
