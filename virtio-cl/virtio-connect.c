// SPDX-License-Identifier: MIT
/*
 * Opening a session of the driver's device file.
 *
 * Must not: use descriptors 0 to 2 (a program may have closed them and will open them for itself),
 * print anything: what went wrong is one line for the caller.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "virtio-guest.h"

#define HEAP_MIN (64ull << 20)

/* What is being put together; mappings are NULL until made. */
struct attempt {
	const struct gcl_virtio_calls *calls;
	const char *path;
	struct virtio_cl_ioc_open open;
	int fd, bell;
	void *rings, *heap;
	char *reason;
	size_t reason_size;
};

static void attempt_fini(struct attempt *attempt)
{
	gcl_cleanup_close(&attempt->fd);
	gcl_cleanup_close(&attempt->bell);
	if (attempt->rings)
		munmap(attempt->rings, gcl_shm_rings_size(attempt->open.commands_size,
							  attempt->open.completions_size));
	if (attempt->heap)
		munmap(attempt->heap, attempt->open.heap_size);
}

static int device_reason(const struct attempt *attempt, int err)
{
	const char *path = attempt->path;

	switch (err) {
	case -ENOENT:
		snprintf(attempt->reason, attempt->reason_size,
			 "no %s: give the VM a virtio-cl device and load its driver (modprobe "
			 "virtio_cl)",
			 path);
		break;
	case -ENXIO:
	case -ENODEV:
		snprintf(attempt->reason, attempt->reason_size,
			 "%s has no device behind it: give the VM a virtio-cl device", path);
		break;
	case -EACCES:
	case -EPERM:
		snprintf(attempt->reason, attempt->reason_size,
			 "no permission for %s: add this user to the group render (usermod -aG "
			 "render USER) and log in again",
			 path);
		break;
	case -ENOTTY:
		snprintf(attempt->reason, attempt->reason_size,
			 "%s is not a virtio-cl device: set GUESTCL_CHANNEL", path);
		break;
	default:
		snprintf(attempt->reason, attempt->reason_size, "cannot use %s: %s", path,
			 strerror(-err));
		break;
	}
	return err;
}

static int device_open(struct attempt *attempt)
{
	struct virtio_cl_ioc_info info = {0};
	int err;

	attempt->fd = gcl_shm_fd(attempt->calls->open(attempt->path));
	if (attempt->fd < 0)
		return device_reason(attempt, -errno);
	err = gcl_virtio_ask(attempt->calls, attempt->fd, VIRTIO_CL_IOC_INFO, &info);
	if (err)
		return device_reason(attempt, err);
	if (info.version != VIRTIO_CL_VERSION) {
		snprintf(attempt->reason, attempt->reason_size,
			 "the driver behind %s speaks version %u, this library version %u: update "
			 "the older of the two",
			 attempt->path, info.version, VIRTIO_CL_VERSION);
		return -EPROTONOSUPPORT;
	}
	if (!(info.flags & VIRTIO_CL_INFO_PRESENT)) {
		snprintf(attempt->reason, attempt->reason_size,
			 "the host's side of %s does not answer: look whether guestcld runs on the "
			 "host",
			 attempt->path);
		return -EHOSTDOWN;
	}
	return 0;
}

/* Address space for the largest heap that can be had: where the program lives under a limit, it
 * needs its share of it. */
static int heap_reserve(struct attempt *attempt)
{
	uint64_t size = GCL_HEAP_MAX;
	struct rlimit limit;

	if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		size = GCL_MIN(size, limit.rlim_cur / 4);
	for (; size >= HEAP_MIN; size /= 2) {
		void *heap;

		size = size / VIRTIO_CL_CHUNK * VIRTIO_CL_CHUNK;
		heap = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			    0);
		if (heap == MAP_FAILED)
			continue;
		attempt->heap = heap;
		attempt->open.heap_size = size;
		return 0;
	}
	snprintf(attempt->reason, attempt->reason_size,
		 "no address space for shared memory: raise the limits of this process (ulimit "
		 "-v)");
	return -ENOMEM;
}

static int session_open(struct attempt *attempt)
{
	struct virtio_cl_ioc_open *open = &attempt->open;
	int err;

	open->protocol = GCL_HELLO_VERSION;
	open->commands_size = GCL_RING_COMMANDS_SIZE;
	open->completions_size = GCL_RING_COMPLETIONS_SIZE;
	snprintf(open->program, sizeof open->program, "%s", program_invocation_short_name);
	err = gcl_virtio_ask(attempt->calls, attempt->fd, VIRTIO_CL_IOC_OPEN, open);
	if (!err)
		return 0;
	open->text[sizeof open->text - 1] = '\0';
	if (*open->text)
		snprintf(attempt->reason, attempt->reason_size,
			 "the host refused a session through %s: %s", attempt->path, open->text);
	else
		snprintf(attempt->reason, attempt->reason_size,
			 "no session through %s: %s: look at the log of guestcld on the host",
			 attempt->path, strerror(-err));
	return err;
}

static int memory_map(struct attempt *attempt)
{
	const struct virtio_cl_ioc_open *open = &attempt->open;
	uint64_t size = gcl_shm_rings_size(open->commands_size, open->completions_size);
	void *rings = attempt->calls->map(attempt->fd, NULL, size, VIRTIO_CL_MMAP_RINGS);

	if (rings == MAP_FAILED)
		return -errno;
	attempt->rings = rings;
	if (attempt->calls->map(attempt->fd, attempt->heap, open->heap_size, 0) == MAP_FAILED)
		return -errno;
	gcl_shm_heap_advise(attempt->heap, open->heap_size);
	attempt->bell = gcl_shm_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	return attempt->bell < 0 ? -errno : 0;
}

static int channel_create(struct attempt *attempt, struct gcl_channel **out)
{
	const struct gcl_shm_setup setup = {
		.ops = &gcl_virtio_guest_ops,
		.guest = true,
		.commands_size = attempt->open.commands_size,
		.completions_size = attempt->open.completions_size,
		.rings = attempt->rings,
		.conn = attempt->fd,
		.conn_events = EPOLLIN | EPOLLET | EPOLLRDHUP,
		.own_bell = attempt->bell,
		.door = -1,
		.peer_bell = -1,
		.bell_ring = gcl_virtio_bell_ring,
	};
	_cleanup_free_ struct gcl_virtio_guest *guest = calloc(1, sizeof *guest);
	int err = guest ? gcl_shm_init(&guest->shm, &setup) : -ENOMEM;

	if (err)
		return err;
	guest->calls = attempt->calls;
	guest->shm.channel.heap = attempt->heap;
	guest->shm.channel.heap_size = attempt->open.heap_size;
	pthread_mutex_init(&guest->lock, NULL);
	pthread_mutex_init(&guest->windows_lock, NULL);
	attempt->fd = attempt->bell = -1;
	attempt->rings = attempt->heap = NULL;
	*out = &steal_pointer(&guest)->shm.channel;
	return 0;
}

int gcl_virtio_connect_with(const struct gcl_virtio_calls *calls, const char *path,
			    struct gcl_channel **out, char *reason, size_t reason_size)
{
	_cleanup_(attempt_fini) struct attempt attempt = {
		.calls = calls,
		.path = path,
		.fd = -1,
		.bell = -1,
		.reason = reason,
		.reason_size = reason_size,
	};
	int err = device_open(&attempt);

	if (!err)
		err = heap_reserve(&attempt);
	if (!err)
		err = session_open(&attempt);
	if (err)
		return err;
	err = memory_map(&attempt);
	if (!err)
		err = channel_create(&attempt, out);
	if (err)
		snprintf(reason, reason_size,
			 "cannot set up a session through %s: %s: raise the limits of this process "
			 "(ulimit -n, -v)",
			 path, strerror(-err));
	return err;
}

/* ------------------------------------------------------------ the system's calls */

static int device_file_open(const char *path)
{
	return open(path, O_RDWR | O_CLOEXEC);
}

static int device_file_ioctl(int fd, unsigned long request, void *argument)
{
	return ioctl(fd, request, argument);
}

static void *device_file_map(int fd, void *address, uint64_t size, uint64_t offset)
{
	return mmap(address, size, PROT_READ | PROT_WRITE, MAP_SHARED | (address ? MAP_FIXED : 0),
		    fd, (off_t)offset);
}

int gcl_virtio_connect(const char *path, struct gcl_channel **out, char *reason, size_t reason_size)
{
	static const struct gcl_virtio_calls calls = {
		.open = device_file_open,
		.ioctl = device_file_ioctl,
		.map = device_file_map,
	};

	return gcl_virtio_connect_with(&calls, path, out, reason, reason_size);
}
