/*
 * The guest's way to a local channel: make the memory, find the daemon, greet it.
 *
 * Must not: block longer than the timeout, raise a signal in the program, use descriptors
 * 0 to 2 (a program may have closed them and will open them for itself), print anything: what went
 * wrong is one line for the caller.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

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

static int heap_make(struct attempt *attempt)
{
	struct gcl_hello *hello = &attempt->greeting.hello;
	uint64_t size;

	for (size = heap_size_wanted(); size >= HEAP_MIN;
	     size = size / 2 / GCL_HEAP_CHUNK * GCL_HEAP_CHUNK) {
		_cleanup_close_ int fd = memfd_make("guestcl-heap", size);

		if (fd < 0)
			return fd;
		attempt->heap = gcl_local_heap_map(fd, size);
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
	struct gcl_hello *hello = &attempt->greeting.hello;
	int err;

	hello->magic = GCL_HELLO_MAGIC;
	hello->version = GCL_HELLO_VERSION;
	hello->commands_size = GCL_RING_COMMANDS_SIZE;
	hello->completions_size = GCL_RING_COMPLETIONS_SIZE;
	hello->pid = (uint32_t)getpid();
	snprintf(hello->program, sizeof hello->program, "%s", program_invocation_short_name);
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

static void connect_reason(const char *path, int err, char *reason, size_t size)
{
	switch (err) {
	case -ENOENT:
		snprintf(reason, size,
			 "no daemon at %s: start guestcld on the host, or set GUESTCL_SOCKET",
			 path);
		break;
	case -ECONNREFUSED:
		snprintf(reason, size,
			 "no daemon listens at %s: start guestcld on the host, or set "
			 "GUESTCL_SOCKET",
			 path);
		break;
	case -EACCES:
	case -EPERM:
		snprintf(reason, size,
			 "no permission for %s: let this user write to the daemon's socket", path);
		break;
	case -ENAMETOOLONG:
		snprintf(reason, size,
			 "%s is too long for a socket (%zu bytes): set GUESTCL_SOCKET to a shorter "
			 "path",
			 path, sizeof((struct sockaddr_un *)NULL)->sun_path - 1);
		break;
	case -EAGAIN:
	case -ETIMEDOUT:
		snprintf(reason, size,
			 "the daemon at %s does not answer: look whether guestcld is stopped or "
			 "overloaded",
			 path);
		break;
	default:
		snprintf(reason, size, "cannot connect to the daemon at %s: %s", path,
			 strerror(-err));
		break;
	}
}

static int daemon_connect(const char *path, int timeout_ms)
{
	struct timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = -1;
	int n;

	if (!*path)
		return -ENOENT;
	if (strlen(path) >= sizeof address.sun_path)
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	fd = gcl_shm_fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	if (fd < 0)
		return -errno;
	/* Connecting waits for as long as the daemon's backlog is full. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
	do
		n = connect(fd, (struct sockaddr *)&address, sizeof address);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : steal_fd(&fd);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits for the whole reply. Return: 0, -ETIMEDOUT, -EPIPE when the daemon hung up, -errno. */
static int reply_read(int conn, struct gcl_hello_reply *reply, int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms;
	struct pollfd in = {.fd = conn, .events = POLLIN};
	size_t got = 0;

	while (got < sizeof *reply) {
		int64_t left = end - now_ms();
		ssize_t n;

		if (left <= 0)
			return -ETIMEDOUT;
		n = poll(&in, 1, (int)left);
		if (n > 0)
			n = recv(conn, (char *)reply + got, sizeof *reply - got, MSG_DONTWAIT);
		else if (n == 0)
			continue;
		if (n == 0)
			return -EPIPE;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return errno == ECONNRESET ? -EPIPE : -errno;
		got += n > 0 ? (size_t)n : 0;
	}
	reply->text[sizeof reply->text - 1] = '\0';
	return 0;
}

/* Sends the greeting and reads the answer. Return: 0, or -errno and @reason. */
static int daemon_greet(const char *path, int timeout_ms, struct attempt *attempt, char *reason,
			size_t size)
{
	struct gcl_hello_reply reply = {0};
	int err = gcl_greeting_send(&attempt->greeting, attempt->greeting.conn);

	/* A daemon that refuses may have answered and hung up before it read the greeting. */
	if (!err || err == -EPIPE)
		err = reply_read(attempt->greeting.conn, &reply, timeout_ms);
	if (err == -EPIPE) {
		snprintf(reason, size, "the daemon at %s hung up: its log says why", path);
		return -ECONNREFUSED;
	}
	if (err) {
		connect_reason(path, err, reason, size);
		return err;
	}
	if (reply.magic != GCL_HELLO_MAGIC) {
		snprintf(reason, size, "what listens at %s is not guestcld: set GUESTCL_SOCKET",
			 path);
		return -EPROTO;
	}
	if (reply.status != GCL_HELLO_OK) {
		snprintf(reason, size, "the daemon at %s refused: %s", path, reply.text);
		return reply.status == GCL_HELLO_VERSION_MISMATCH ? -EPROTONOSUPPORT
								  : -ECONNREFUSED;
	}
	return 0;
}

int gcl_local_connect_within(const char *path, int timeout_ms, struct gcl_channel **out,
			     char *reason, size_t reason_size)
{
	_cleanup_(attempt_fini) struct attempt attempt = {0};
	int err;

	gcl_greeting_init(&attempt.greeting);
	err = daemon_connect(path, timeout_ms);
	if (err < 0) {
		connect_reason(path, err, reason, reason_size);
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
	err = daemon_greet(path, timeout_ms, &attempt, reason, reason_size);
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
