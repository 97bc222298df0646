/*
 * The guest's end of a virtio channel: a session of the driver's device file.
 *
 * Theory of operation: the file is the session. It is watched for wake-ups and for the session's
 * end, an ioctl of it rings the worker's bell, and closing it ends the session; so it is never
 * duplicated, and where a session ends while other threads may be using the descriptor, something
 * harmless is put in its place. Heap memory is guest memory that the host maps: it is taken in
 * chunks when the allocator first hands out a part of one, a little ahead of what is asked for
 * (each request costs the host's attention), and whole chunks are given back.
 *
 * Must not: use descriptors 0 to 2, print anything, take much more of the guest's memory than the
 * program uses.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "shm.h"
#include "uapi/virtio_cl.h"
#include "virtio-device.h"

#define CHUNKS_MAX (GCL_HEAP_MAX / VIRTIO_CL_CHUNK)
#define HEAP_MIN   (64ull << 20)

/* Memory taken ahead: one part in so many of what there is, and no more chunks than this. */
#define AHEAD_PART 8u
#define AHEAD_MAX  8u

_Static_assert(CHUNKS_MAX *VIRTIO_CL_CHUNK <= VIRTIO_CL_HEAP_MAX,
	       "the driver takes the heap that sessions may have");

struct virtio_guest {
	struct gcl_shm shm;
	const struct gcl_virtio_calls *calls;
	pthread_mutex_t lock; /* of what follows, and of changes to the heap's memory */
	uint64_t chunks;      /* those beyond were never populated */
	uint64_t populated[CHUNKS_MAX / 64];
};

static struct virtio_guest *guest_of(struct gcl_channel *channel)
{
	return gcl_container_of(channel, struct virtio_guest, shm.channel);
}

/* Return: 0 or -errno. */
static int ask(const struct gcl_virtio_calls *calls, int fd, unsigned long request, void *argument)
{
	int n;

	do
		n = calls->ioctl(fd, request, argument);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* ------------------------------------------------------------ heap memory; all with the lock held
 */

static bool chunk_there(const struct virtio_guest *guest, uint64_t chunk)
{
	return guest->populated[chunk / 64] >> chunk % 64 & 1;
}

static void chunks_mark(struct virtio_guest *guest, uint64_t first, uint64_t end, bool there)
{
	for (uint64_t chunk = first; chunk < end; chunk++) {
		if (there)
			guest->populated[chunk / 64] |= 1ull << chunk % 64;
		else
			guest->populated[chunk / 64] &= ~(1ull << chunk % 64);
	}
}

/* The end of the chunks from @first on, up to @end, that are as @first is. */
static uint64_t chunks_alike(const struct virtio_guest *guest, uint64_t first, uint64_t end)
{
	uint64_t chunk = first + 1;

	while (chunk < end && chunk_there(guest, chunk) == chunk_there(guest, first))
		chunk++;
	return chunk;
}

static int range_ask(struct virtio_guest *guest, unsigned long request, uint64_t first,
		     uint64_t end)
{
	struct virtio_cl_ioc_range range = {
		.offset = first * VIRTIO_CL_CHUNK,
		.length = (end - first) * VIRTIO_CL_CHUNK,
	};
	int err = ask(guest->calls, guest->shm.conn, request, &range);

	if (!err)
		chunks_mark(guest, first, end, request == VIRTIO_CL_IOC_POPULATE);
	return err;
}

/* Chunks never used before, and some ahead if there is memory. */
static int chunks_extend(struct virtio_guest *guest, uint64_t first, uint64_t end)
{
	uint64_t limit = guest->shm.channel.heap_size / VIRTIO_CL_CHUNK;
	uint64_t ahead = GCL_MIN(guest->chunks / AHEAD_PART, AHEAD_MAX);
	uint64_t further = GCL_MIN(end + ahead, limit);
	int err = range_ask(guest, VIRTIO_CL_IOC_POPULATE, first, further);

	if (err == -ENOMEM && further > end) {
		further = end;
		err = range_ask(guest, VIRTIO_CL_IOC_POPULATE, first, further);
	}
	if (!err)
		guest->chunks = further;
	return err;
}

static int chunks_populate(struct virtio_guest *guest, uint64_t first, uint64_t end)
{
	uint64_t known = GCL_MIN(end, guest->chunks);

	for (uint64_t chunk = first, next; chunk < known; chunk = next) {
		int err;

		next = chunks_alike(guest, chunk, known);
		if (chunk_there(guest, chunk))
			continue;
		err = range_ask(guest, VIRTIO_CL_IOC_POPULATE, chunk, next);
		if (err)
			return err;
	}
	return end > guest->chunks ? chunks_extend(guest, GCL_MAX(first, guest->chunks), end) : 0;
}

static int virtio_heap_populate(struct gcl_channel *channel, uint64_t offset, uint64_t size)
{
	struct virtio_guest *guest = guest_of(channel);
	int err;

	pthread_mutex_lock(&guest->lock);
	err = chunks_populate(guest, offset / VIRTIO_CL_CHUNK,
			      (offset + size + VIRTIO_CL_CHUNK - 1) / VIRTIO_CL_CHUNK);
	pthread_mutex_unlock(&guest->lock);
	if (err)
		gcl_log_debug(mem, "no heap memory (%llu bytes at 0x%llx): errno %d",
			      (unsigned long long)size, (unsigned long long)offset, -err);
	return err;
}

static void virtio_heap_trim(struct gcl_channel *channel, uint64_t offset, uint64_t size)
{
	struct virtio_guest *guest = guest_of(channel);
	uint64_t end = (offset + size) / VIRTIO_CL_CHUNK;

	pthread_mutex_lock(&guest->lock);
	end = GCL_MIN(end, guest->chunks);
	for (uint64_t chunk = (offset + VIRTIO_CL_CHUNK - 1) / VIRTIO_CL_CHUNK, next; chunk < end;
	     chunk = next) {
		next = chunks_alike(guest, chunk, end);
		if (chunk_there(guest, chunk) &&
		    range_ask(guest, VIRTIO_CL_IOC_RELEASE, chunk, next))
			gcl_log_debug(mem, "cannot release heap memory");
	}
	pthread_mutex_unlock(&guest->lock);
}

/* ------------------------------------------------------------ the channel */

static void virtio_bell_ring(struct gcl_shm *shm)
{
	int err = ask(guest_of(&shm->channel)->calls, shm->conn, VIRTIO_CL_IOC_DOORBELL, NULL);

	/* A session that has ended is noticed otherwise. */
	if (err)
		gcl_log_debug(ring, "cannot ring the host's bell: errno %d", -err);
}

/*
 * Other threads may be about to use the descriptor, so its number must not become another file's.
 * What takes its place here can be watched, and refuses the rest.
 */
static void virtio_kill(struct gcl_channel *channel)
{
	struct gcl_shm *shm = gcl_shm_of(channel);

	if (dup3(shm->own_bell, shm->conn, O_CLOEXEC) < 0)
		gcl_log_error(session, "cannot end the session: errno %d", errno);
	gcl_shm_interrupt(channel);
}

static void virtio_close(struct gcl_channel *channel)
{
	struct virtio_guest *guest = guest_of(channel);

	gcl_shm_fini(&guest->shm);
	munmap(channel->heap, channel->heap_size);
	pthread_mutex_destroy(&guest->lock);
	free(guest);
}

static const struct gcl_channel_ops virtio_ops = {
	.name = "virtio",
	GCL_SHM_OPS,
	.heap_populate = virtio_heap_populate,
	.heap_trim = virtio_heap_trim,
	.kill = virtio_kill,
	.abandon = gcl_shm_abandon,
	.close = virtio_close,
};

/* ------------------------------------------------------------ connecting */

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
	err = ask(attempt->calls, attempt->fd, VIRTIO_CL_IOC_INFO, &info);
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
	attempt->open.heap_size = GCL_MIN(GCL_HEAP_MAX, info.heap_max);
	return 0;
}

/* Address space for the largest heap that can be had: where the program lives under a limit, it
 * needs its share of it. */
static int heap_reserve(struct attempt *attempt)
{
	uint64_t size = attempt->open.heap_size;
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
	err = ask(attempt->calls, attempt->fd, VIRTIO_CL_IOC_OPEN, open);
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
		.ops = &virtio_ops,
		.guest = true,
		.commands_size = attempt->open.commands_size,
		.completions_size = attempt->open.completions_size,
		.rings = attempt->rings,
		.conn = attempt->fd,
		.conn_events = EPOLLIN | EPOLLET | EPOLLRDHUP,
		.own_bell = attempt->bell,
		.door = -1,
		.peer_bell = -1,
		.bell_ring = virtio_bell_ring,
	};
	_cleanup_free_ struct virtio_guest *guest = calloc(1, sizeof *guest);
	int err = guest ? gcl_shm_init(&guest->shm, &setup) : -ENOMEM;

	if (err)
		return err;
	guest->calls = attempt->calls;
	guest->shm.channel.heap = attempt->heap;
	guest->shm.channel.heap_size = attempt->open.heap_size;
	pthread_mutex_init(&guest->lock, NULL);
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
