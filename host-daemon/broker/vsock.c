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
 * Must not: accept (entrance.c does).
 */
#include "vsock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* After the socket's own types, which it needs. */
#include <linux/vm_sockets.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "entrance.h"
#include "vm.h"

#define BACKLOG 128

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

int gcl_vsock_open_vm(struct gcl_vm *vm)
{
	const struct gcl_config *config = &vm->broker->config;
	char path[sizeof vm->socket.path];
	const struct gcl_socket_place place = {
		.path = path,
		.mode = config->vm_socket_mode,
		.group = config->vm_socket_group,
		.initial_group = gcl_setting_initial("vm-socket-group"),
		.setting = "socket",
		.group_setting = "vm-socket-group",
	};

	if (!path_make(vm->socket.path, path, sizeof path)) {
		gcl_log_error(vm,
			      "VM %s: %s is too long for a socket for vsock beside it: set a "
			      "shorter one",
			      vm->config.name, vm->socket.path);
		return -ENAMETOOLONG;
	}
	return gcl_entrance_open(&vm->vsock, vm, GCL_GREETING_STREAM, "vsock", &place);
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

void gcl_vsock_open(struct gcl_broker *broker)
{
	const struct gcl_config *config = &broker->config;
	int fd;

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
	gcl_entrance_listen(&broker->vsock, broker, fd);
	gcl_log_info(vm, "guests of VMs with a cid are served on vsock port %u",
		     config->vsock_port);
}
