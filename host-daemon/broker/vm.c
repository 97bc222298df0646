// SPDX-License-Identifier: MIT
/*
 * One VM: its socket, its VMM's connection, and the queues' notifications.
 *
 * Must not: block, read guest memory (the device does).
 */
#include "vm.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "entrance.h"
#include "vsock.h"

/* Messages of a VMM before other events get their turn. */
#define BATCH 64

/* How long workers may take to stop. They do at once, unless they hang in the kernel. */
#define PAUSE_SECONDS 1.

#define REST_SECONDS 0.1

static struct gcl_vm *vm_of(struct gcl_device *device)
{
	return gcl_container_of(device, struct gcl_vm, device);
}

void gcl_vm_disconnect(struct gcl_vm *vm)
{
	struct ev_loop *loop = vm->broker->loop;

	if (vm->conn < 0)
		return;
	ev_io_stop(loop, &vm->readable);
	ev_timer_stop(loop, &vm->pause);
	gcl_device_disconnected(&vm->device);
	close(vm->conn);
	vm->conn = -1;
}

void gcl_vm_settle(struct gcl_vm *vm)
{
	struct ev_loop *loop = vm->broker->loop;

	if (vm->conn >= 0 && gcl_device_broken(&vm->device)) {
		gcl_log_error(vm,
			      "VM %s: its VMM has cut off the memory that it shares: its sessions "
			      "end",
			      vm->config.name);
		gcl_vm_disconnect(vm);
	}
	/* Nothing is read while the VMM waits for workers to pause. */
	if (vm->conn >= 0 && vm->device.backend.held) {
		ev_io_stop(loop, &vm->readable);
		if (!ev_is_active(&vm->pause)) {
			ev_timer_set(&vm->pause, PAUSE_SECONDS, 0.);
			ev_timer_start(loop, &vm->pause);
		}
	} else if (vm->conn >= 0) {
		ev_timer_stop(loop, &vm->pause);
		ev_io_start(loop, &vm->readable);
	}
	if (vm->removed && gcl_list_empty(&vm->device.sessions))
		gcl_vm_destroy(vm);
}

static void on_pause_expired(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_vm *vm = timer->data;

	(void)loop;
	(void)events;
	gcl_log_error(vm, "VM %s: workers that don't pause are killed", vm->config.name);
	if (gcl_device_pause_expired(&vm->device) < 0)
		gcl_vm_disconnect(vm);
	gcl_vm_settle(vm);
}

/* ------------------------------------------------------------ the VMM */

static void on_readable(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct gcl_vm *vm = io->data;
	struct gcl_backend *backend = &vm->device.backend;
	int n = 1;

	(void)loop;
	(void)events;
	for (int i = 0; i < BATCH && n > 0; i++) {
		n = gcl_backend_receive(backend);
		if (backend->reason[0] && n > 0)
			gcl_device_log_peer(&vm->device, "refused its VMM: %s", backend->reason);
	}
	if (n < 0 && n != -EPIPE && n != -ECONNRESET)
		gcl_log_error(vm, "VM %s: its VMM is disconnected: %s", vm->config.name,
			      backend->reason[0] ? backend->reason : strerror(-n));
	else if (n < 0)
		gcl_log_info(vm, "VM %s: its VMM is gone; sessions: %u", vm->config.name,
			     vm->device.session_count);
	if (n < 0)
		gcl_vm_disconnect(vm);
	gcl_vm_settle(vm);
}

static uint32_t epoch_new(void)
{
	uint32_t epoch = 0;

	while (epoch == 0 && getrandom(&epoch, sizeof epoch, GRND_NONBLOCK) != sizeof epoch)
		epoch = (uint32_t)(gcl_clock() * 1e6);
	return epoch;
}

/* Whether the VMM has hung up, which we may not have noticed yet. */
static bool conn_gone(int conn)
{
	char byte;
	ssize_t n = recv(conn, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

/* The socket stays readable while the VMM can't be accepted. */
static void rest(struct gcl_vm *vm, int error)
{
	struct ev_loop *loop = vm->broker->loop;

	gcl_device_log_peer(&vm->device, "can't accept its VMM: %s; it waits", strerror(error));
	ev_io_stop(loop, &vm->connectable);
	ev_timer_set(&vm->rest, REST_SECONDS, 0.);
	ev_timer_start(loop, &vm->rest);
}

static void on_rested(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_vm *vm = timer->data;

	(void)events;
	ev_io_start(loop, &vm->connectable);
}

static void on_connectable(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct gcl_vm *vm = io->data;
	int conn = accept4(vm->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer = {0};
	socklen_t size = sizeof peer;

	(void)events;
	if (conn < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			rest(vm, errno);
		return;
	}
	getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &peer, &size);
	if (gcl_workers_owns(&vm->broker->workers, peer.pid)) {
		gcl_device_log_peer(&vm->device, "refused process %d: a worker can't be a VMM",
				    (int)peer.pid);
		close(conn);
		return;
	}
	if (vm->conn >= 0 && conn_gone(vm->conn))
		gcl_vm_disconnect(vm);
	if (vm->conn >= 0) {
		gcl_device_log_peer(&vm->device,
				    "refused process %d: another VMM is connected to %s",
				    (int)peer.pid, vm->socket.path);
		close(conn);
		return;
	}
	vm->conn = conn;
	gcl_device_connected(&vm->device, conn, epoch_new());
	gcl_log_info(vm, "VM %s: process %d of uid %u is its VMM", vm->config.name, (int)peer.pid,
		     (unsigned)peer.uid);
	ev_io_set(&vm->readable, conn, EV_READ);
	ev_io_start(loop, &vm->readable);
}

void gcl_vm_restart(struct gcl_vm *vm)
{
	ev_io_set(&vm->readable, vm->conn, EV_READ);
	ev_io_start(vm->broker->loop, &vm->readable);
	gcl_device_restart(&vm->device);
	gcl_vm_settle(vm);
}

/* ------------------------------------------------------------ queues */

static void on_kick(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct gcl_vm *vm = io->data;
	eventfd_t ignored;

	(void)loop;
	(void)events;
	(void)eventfd_read(io->fd, &ignored);
	gcl_device_kicked(&vm->device, (unsigned)(io - vm->kicks));
	gcl_vm_settle(vm);
}

void gcl_vm_watch(struct gcl_device *device, unsigned queue, int kick)
{
	struct gcl_vm *vm = vm_of(device);
	struct ev_io *io = &vm->kicks[queue];

	ev_io_stop(vm->broker->loop, io);
	if (kick < 0)
		return;
	ev_io_set(io, kick, EV_READ);
	ev_io_start(vm->broker->loop, io);
}

/* ------------------------------------------------------------ life */

static void sockets_close(struct gcl_vm *vm)
{
	gcl_socket_close(&vm->socket);
	gcl_entrance_close(&vm->vsock);
	gcl_entrance_close(&vm->local);
}

static int socket_open(struct gcl_vm *vm)
{
	const struct gcl_config *config = &vm->broker->config;
	char path[sizeof config->socket];
	struct gcl_socket_place place = {
		.path = vm->config.socket,
		.mode = config->vm_socket_mode,
		.group = config->vm_socket_group,
		.initial_group = gcl_setting_initial("vm-socket-group"),
		.setting = "socket",
		.group_setting = "vm-socket-group",
	};

	if (!*place.path) {
		snprintf(path, sizeof path, "%s/%s.sock", config->vm_dir, vm->config.id);
		place.path = path;
		place.setting = "vm-dir";
	}
	return gcl_socket_open(&vm->socket, &place);
}

/* Processes that may connect there are this VM. */
static int local_open(struct gcl_vm *vm)
{
	const struct gcl_config *config = &vm->broker->config;
	bool own = *vm->config.local_socket_group;
	const struct gcl_socket_place place = {
		.path = vm->config.local_socket,
		.mode = config->vm_socket_mode,
		.group = own ? vm->config.local_socket_group : config->vm_socket_group,
		/* A group that was named must be there. */
		.initial_group = own ? "" : gcl_setting_initial("vm-socket-group"),
		.setting = "local-socket",
		.group_setting = own ? "local-socket-group" : "vm-socket-group",
	};

	if (!*place.path)
		return 0;
	return gcl_entrance_open(&vm->local, vm, GCL_GREETING_LOCAL, "local", &place);
}

static int sockets_open(struct gcl_vm *vm)
{
	int err = socket_open(vm);

	if (err == 0)
		err = gcl_vsock_open_vm(vm);
	if (err == 0)
		err = local_open(vm);
	if (err < 0)
		sockets_close(vm);
	return err;
}

static void watchers_init(struct gcl_vm *vm)
{
	ev_io_init(&vm->connectable, on_connectable, vm->socket.fd, EV_READ);
	vm->connectable.data = vm;
	ev_io_init(&vm->readable, on_readable, -1, EV_READ);
	vm->readable.data = vm;
	ev_timer_init(&vm->rest, on_rested, 0., 0.);
	vm->rest.data = vm;
	ev_timer_init(&vm->pause, on_pause_expired, 0., 0.);
	vm->pause.data = vm;
	for (unsigned i = 0; i < GCL_ARRAY_SIZE(vm->kicks); i++) {
		ev_io_init(&vm->kicks[i], on_kick, -1, EV_READ);
		vm->kicks[i].data = vm;
	}
}

static void local_log(const struct gcl_vm *vm)
{
	if (*vm->config.local_socket)
		gcl_log_info(vm, "VM %s: processes that connect to %s are this VM", vm->config.name,
			     vm->config.local_socket);
}

static void limits_log(const struct gcl_vm *vm)
{
	char memory[32] = "no limit of memory";

	if (vm->config.memory)
		snprintf(memory, sizeof memory, "memory %ju MiB",
			 (uintmax_t)(vm->config.memory >> 20));
	gcl_log_info(vm, "VM %s: its VMM connects to %s; %s, weight %u, up to %u sessions",
		     vm->config.name, vm->socket.path, memory, vm->config.weight,
		     vm->config.max_sessions);
}

int gcl_vm_create(struct gcl_broker *broker, const struct gcl_vm_config *config,
		  struct gcl_vm **out)
{
	_cleanup_free_ struct gcl_vm *vm = calloc(1, sizeof *vm);
	int err;

	if (!vm)
		return -ENOMEM;
	vm->broker = broker;
	vm->config = *config;
	vm->owner = gcl_owner_vm(config->id);
	vm->conn = -1;
	err = sockets_open(vm);
	if (err < 0)
		return err;
	gcl_device_init(&vm->device, &gcl_vm_device_ops, vm->config.name, config->max_sessions);
	watchers_init(vm);
	gcl_list_init(&vm->link);
	ev_io_start(broker->loop, &vm->connectable);
	limits_log(vm);
	local_log(vm);
	*out = steal_pointer(&vm);
	return 0;
}

void gcl_vm_configure(struct gcl_vm *vm, const struct gcl_vm_config *config)
{
	bool moved = strcmp(config->local_socket, vm->config.local_socket) != 0 ||
		     strcmp(config->local_socket_group, vm->config.local_socket_group) != 0;

	vm->config = *config;
	if (!moved)
		return;
	gcl_entrance_close(&vm->local);
	if (local_open(vm) < 0)
		gcl_log_error(vm, "VM %s: processes can't come by %s", vm->config.name,
			      vm->config.local_socket);
	else
		local_log(vm);
}

void gcl_vm_deafen(struct gcl_vm *vm)
{
	ev_io_stop(vm->broker->loop, &vm->connectable);
	ev_timer_stop(vm->broker->loop, &vm->rest);
	sockets_close(vm);
}

void gcl_vm_remove(struct gcl_vm *vm)
{
	vm->removed = true;
	gcl_vm_deafen(vm);
	gcl_conns_end(vm->broker, &vm->owner, "this VM is no longer served");
	gcl_workers_end_of(&vm->broker->workers, &vm->owner);
	gcl_vm_disconnect(vm);
	gcl_vm_settle(vm);
}

void gcl_vm_destroy(struct gcl_vm *vm)
{
	gcl_vm_deafen(vm);
	gcl_vm_disconnect(vm);
	gcl_list_for_each_safe (it, next, &vm->device.sessions)
		vm->device.ops->destroy(gcl_container_of(it, struct gcl_device_session, link));
	gcl_device_fini(&vm->device);
	gcl_list_remove(&vm->link);
	free(vm);
}
