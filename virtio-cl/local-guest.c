/*
 * The guest's way to a local channel: make the memory, find the daemon, greet it.
 *
 * Must not: block longer than the timeout, raise a signal in the program, use descriptors
 * 0 to 2 (a program may have closed them and will open them for itself), print anything: what went
 * wrong is one line for the caller.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "local-channel.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x8u
#endif

#define HEAP_MIN (64ull << 20)

/* What is being put together; mappings are NULL until made. */
struct attempt {
	struct gcl_greeting greeting;
	void *rings;
	void *heap;
};

static void attempt_fini(struct attempt *attempt)
{
	if (attempt->rings)
		munmap(attempt->rings, gcl_local_rings_size(&attempt->greeting.hello));
	if (attempt->heap)
		munmap(attempt->heap, attempt->greeting.hello.heap_size);
	gcl_greeting_fini(&attempt->greeting);
}

/* The size beyond which ftruncate() would kill the program. */
static uint64_t file_size_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return limit.rlim_cur;
}

static int memfd_make(const char *name, uint64_t size)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	_cleanup_close_ int fd = -1;

	if (size > file_size_limit())
		return -EFBIG;
	fd = gcl_shm_fd(memfd_create(name, flags | MFD_NOEXEC_SEAL));
	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = gcl_shm_fd(memfd_create(name, flags));
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, GCL_LOCAL_SEALS) < 0)
		return -errno;
	return steal_fd(&fd);
}

/* The largest heap to try: where the program lives under a limit, it needs its share of it. */
static uint64_t heap_size_wanted(void)
{
	uint64_t size = GCL_MIN(GCL_HEAP_MAX, file_size_limit());
	struct rlimit limit;

	if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		size = GCL_MIN(size, limit.rlim_cur / 4);
	return size / GCL_HEAP_CHUNK * GCL_HEAP_CHUNK;
}

/* A random place between those where guests like it; nobody has to follow it. */
static void *heap_hint(void)
{
	const uint64_t span = GCL_SVM_HEAP_END - GCL_SVM_HEAP_FIRST - GCL_HEAP_MAX;
	uint64_t random = 0;

	if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
		random = (uintptr_t)&random * GCL_HEAP_CHUNK;
	return (void *)(uintptr_t)(GCL_SVM_HEAP_FIRST +
				   random % span / GCL_HEAP_CHUNK * GCL_HEAP_CHUNK);
}

static int heap_make(struct attempt *attempt)
{
	struct gcl_hello *hello = &attempt->greeting.hello;
	uint64_t size;

	for (size = heap_size_wanted(); size >= HEAP_MIN;
	     size = size / 2 / GCL_HEAP_CHUNK * GCL_HEAP_CHUNK) {
		_cleanup_close_ int fd = memfd_make("guestcl-heap", size);

		if (fd < 0)
			return fd;
		attempt->heap = gcl_local_heap_map(fd, size, heap_hint());
		if (attempt->heap) {
			hello->heap_size = size;
			attempt->greeting.fds[GCL_FD_HEAP] = steal_fd(&fd);
			return 0;
		}
	}
	return -ENOMEM;
}

static int rings_make(struct attempt *attempt)
{
	uint64_t size = gcl_local_rings_size(&attempt->greeting.hello);
	int fd = memfd_make("guestcl-ring", size);
	void *rings;

	if (fd < 0)
		return fd;
	attempt->greeting.fds[GCL_FD_RING] = fd;
	rings = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (rings == MAP_FAILED)
		return -errno;
	attempt->rings = rings;
	return 0;
}

static int memory_make(struct attempt *attempt)
{
	static const enum gcl_hello_fd bells[] = {GCL_FD_WAKE_GUEST, GCL_FD_WAKE_WORKER};
	int err;

	gcl_hello_fill(&attempt->greeting.hello);
	err = rings_make(attempt);
	if (!err)
		err = heap_make(attempt);
	for (unsigned i = 0; !err && i < GCL_ARRAY_SIZE(bells); i++) {
		int *fd = &attempt->greeting.fds[bells[i]];

		*fd = gcl_shm_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
		if (*fd < 0)
			err = -errno;
	}
	return err;
}

int gcl_local_connect_within(const char *path, int timeout_ms, struct gcl_channel **out,
			     char *reason, size_t reason_size)
{
	_cleanup_(attempt_fini) struct attempt attempt = {0};
	int err;

	gcl_greeting_init(&attempt.greeting);
	err = gcl_hello_connect(path, timeout_ms);
	if (err < 0) {
		gcl_hello_reason(path, err, reason, reason_size);
		return err;
	}
	attempt.greeting.conn = err;
	err = memory_make(&attempt);
	if (err) {
		snprintf(reason, reason_size,
			 "cannot make shared memory: %s: raise the limits of this process (ulimit "
			 "-f, -n, -v)",
			 strerror(-err));
		return err;
	}
	err = gcl_hello_exchange(&attempt.greeting, path, timeout_ms, reason, reason_size);
	if (err)
		return err;
	err = gcl_local_create(true, &attempt.greeting, attempt.rings, attempt.heap, out);
	if (err) {
		snprintf(reason, reason_size, "cannot set up the channel: %s", strerror(-err));
		return err;
	}
	attempt.rings = NULL;
	attempt.heap = NULL;
	return 0;
}

int gcl_local_connect(const char *path, struct gcl_channel **out, char *reason, size_t reason_size)
{
	return gcl_local_connect_within(path, GCL_HELLO_TIMEOUT_MS, out, reason, reason_size);
}
