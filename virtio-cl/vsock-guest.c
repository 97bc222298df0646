// SPDX-License-Identifier: MIT
/*
 * The guest's way to a host over AF_VSOCK, which any Linux kernel has.
 *
 * The rules of hello.c hold.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* After the socket's own types, which it needs. */
#include <linux/vm_sockets.h>

#include "base/cleanup.h"
#include "stream-channel.h"

/* The host is near: it answers soon or not at all. */
#define CONNECT_TIMEOUT_MS 2000

static void vsock_reason(unsigned cid, unsigned port, int err, char *reason, size_t size)
{
	switch (err) {
	case -EAFNOSUPPORT:
	case -ENODEV:
	case -ENETUNREACH:
		snprintf(reason, size,
			 "no vsock here: give the VM a vsock device, and load the module "
			 "vmw_vsock_virtio_transport");
		break;
	case -ECONNRESET:
	case -ECONNREFUSED:
		snprintf(reason, size,
			 "no daemon listens at vsock %u:%u: start guestcld on the host, and name "
			 "this VM in its guestcld.conf",
			 cid, port);
		break;
	case -ETIMEDOUT:
		snprintf(reason, size,
			 "nothing answers at vsock %u:%u: look at the VM's vsock device, and "
			 "whether guestcld runs on the host",
			 cid, port);
		break;
	default:
		snprintf(reason, size, "cannot connect to vsock %u:%u: %s", cid, port,
			 strerror(-err));
		break;
	}
}

/* Is that what it looks like where no host offers guestcl by vsock? */
static bool absent(int err)
{
	return err == -EAFNOSUPPORT || err == -ENODEV || err == -ECONNRESET ||
	       err == -ECONNREFUSED || err == -ENETUNREACH || err == -ETIMEDOUT;
}

/* Waits for a connection that is being made. Return: 0 or -errno. */
static int connected_wait(int fd, int timeout_ms)
{
	struct pollfd out = {.fd = fd, .events = POLLOUT};
	int err = 0;
	socklen_t size = sizeof err;
	int n;

	do
		n = poll(&out, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n ? -errno : -ETIMEDOUT;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size) < 0)
		return -errno;
	return -err;
}

static int vsock_open(unsigned cid, unsigned port, int timeout_ms)
{
	struct sockaddr_vm address = {
		.svm_family = AF_VSOCK,
		.svm_cid = cid,
		.svm_port = port,
	};
	_cleanup_close_ int fd =
		gcl_shm_fd(socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	int err;

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		if (errno != EINPROGRESS && errno != EINTR)
			return -errno;
		err = connected_wait(fd, timeout_ms);
		if (err)
			return err;
	}
	return steal_fd(&fd);
}

int gcl_vsock_connect(unsigned cid, unsigned port, struct gcl_channel **out, char *reason,
		      size_t reason_size)
{
	char where[64];
	int conn = vsock_open(cid, port, CONNECT_TIMEOUT_MS);

	if (conn < 0) {
		vsock_reason(cid, port, conn, reason, reason_size);
		return absent(conn) ? -ENOENT : conn;
	}
	snprintf(where, sizeof where, "vsock %u:%u", cid, port);
	return gcl_stream_greet(conn, where, GCL_HELLO_TIMEOUT_MS, out, reason, reason_size);
}

bool gcl_vsock_in_vm(void)
{
	_cleanup_close_ int fd = gcl_shm_fd(open("/dev/vsock", O_RDONLY | O_CLOEXEC | O_NONBLOCK));
	unsigned cid = 0;

	/* A host has CID 2, and where there is no device it is VMADDR_CID_ANY. */
	return fd >= 0 && ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) == 0 &&
	       cid > GCL_VSOCK_HOST && cid != VMADDR_CID_ANY;
}
