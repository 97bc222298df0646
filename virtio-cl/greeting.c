/*
 * The greeting: a struct gcl_hello with descriptors, as the broker and the worker see it.
 *
 * Must not: block on a guest's socket, map or read what a guest's descriptors refer to, leave a
 * descriptor open that was received.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/log.h"
#include "local-channel.h"

/* What travels from the broker to a worker: the greeting, and those descriptors that its kind has,
 * the guest's socket last. */
#define PASS_FDS (GCL_HELLO_FDS + 1)

_Static_assert(PASS_FDS <= GCL_FDS_MAX, "a greeting fits in a message");

struct passed {
	uint32_t kind; /* enum gcl_greeting_kind */
	uint32_t fds;  /* a bit for each that follows, by enum gcl_hello_fd; bit GCL_HELLO_FDS: the
			  socket */
	struct gcl_hello hello;
};

/* How much of a greeting tells its version. */
#define HELLO_VERSION_END (offsetof(struct gcl_hello, version) + sizeof(uint32_t))

void gcl_greeting_init(struct gcl_greeting *greeting)
{
	*greeting = (struct gcl_greeting){.conn = -1};
	for (unsigned i = 0; i < GCL_HELLO_FDS; i++)
		greeting->fds[i] = -1;
}

void gcl_greeting_fini(struct gcl_greeting *greeting)
{
	if (!greeting)
		return;
	for (unsigned i = 0; i < GCL_HELLO_FDS; i++)
		gcl_cleanup_close(&greeting->fds[i]);
	gcl_cleanup_close(&greeting->conn);
	gcl_greeting_init(greeting);
}

/* Gives the received descriptor a place in @greeting; false if it has one too many. */
static bool fd_keep(struct gcl_greeting *greeting, int fd)
{
	for (unsigned i = 0; i < GCL_HELLO_FDS; i++) {
		if (greeting->fds[i] < 0) {
			greeting->fds[i] = fd;
			return true;
		}
	}
	return false;
}

/* One read of what is still missing. Return: 1 complete, 0 not yet, -EPIPE at the end, -errno. */
static int greeting_read(struct gcl_greeting *greeting, int conn)
{
	struct gcl_hello *hello = &greeting->hello;
	int fds[PASS_FDS];
	unsigned count;
	ssize_t n =
		gcl_fds_receive(conn, (char *)hello + greeting->got, sizeof *hello - greeting->got,
				MSG_DONTWAIT, fds, PASS_FDS, &count);
	bool good = true;

	for (unsigned i = 0; i < count; i++) {
		if (!fd_keep(greeting, fds[i])) {
			close(fds[i]);
			good = false;
		}
	}
	if (n < 0)
		return (int)n;
	if (!good)
		return -EPROTO;
	if (n == 0)
		return -EPIPE;
	greeting->got += (size_t)n;
	if (greeting->got < HELLO_VERSION_END)
		return 0;
	if (hello->magic != GCL_HELLO_MAGIC)
		return -EPROTO;
	/* The rest of another version's greeting may be anything: it can be refused now. */
	return hello->version != GCL_HELLO_VERSION || greeting->got == sizeof *hello;
}

int gcl_greeting_receive(struct gcl_greeting *greeting, int conn)
{
	int n = greeting_read(greeting, conn);

	return n == -EAGAIN || n == -EINTR ? 0 : n;
}

/* Descriptors of a greeting, the socket last. */
static int *fd_slot(struct gcl_greeting *greeting, unsigned i)
{
	return i == GCL_HELLO_FDS ? &greeting->conn : &greeting->fds[i];
}

/* What came in one message from the broker. Takes the descriptors over. */
static int passed_keep(struct gcl_greeting *greeting, const struct passed *passed, const int *fds,
		       unsigned count)
{
	unsigned next = 0;

	for (unsigned i = 0; i < PASS_FDS; i++) {
		if (passed->fds >> i & 1 && next < count)
			*fd_slot(greeting, i) = fds[next++];
	}
	for (unsigned i = next; i < count; i++)
		close(fds[i]);
	greeting->kind = (enum gcl_greeting_kind)passed->kind;
	greeting->hello = passed->hello;
	greeting->got = sizeof greeting->hello;
	if (next != count || greeting->conn < 0 || passed->kind > GCL_GREETING_STREAM)
		return -EPROTO;
	return 1;
}

int gcl_greeting_take(struct gcl_greeting *greeting, int socket)
{
	struct passed passed = {0};
	int fds[PASS_FDS];
	unsigned count;
	ssize_t n;

	do
		n = gcl_fds_receive(socket, &passed, sizeof passed, MSG_WAITALL, fds, PASS_FDS,
				    &count);
	while (n == -EINTR);
	if (n == sizeof passed)
		return passed_keep(greeting, &passed, fds, count);
	while (count)
		close(fds[--count]);
	return n > 0 ? -EPROTO : (int)n;
}

int gcl_greeting_send(const struct gcl_greeting *greeting, int conn)
{
	return gcl_fds_send(conn, &greeting->hello, sizeof greeting->hello, 0, greeting->fds,
			    greeting->kind == GCL_GREETING_STREAM ? 0 : GCL_HELLO_FDS);
}

int gcl_greeting_pass(const struct gcl_greeting *greeting, int socket)
{
	struct passed passed = {.kind = greeting->kind, .hello = greeting->hello};
	int fds[PASS_FDS];
	unsigned count = 0;

	for (unsigned i = 0; i < PASS_FDS; i++) {
		int fd = i == GCL_HELLO_FDS ? greeting->conn : greeting->fds[i];

		if (fd < 0)
			continue;
		passed.fds |= 1u << i;
		fds[count++] = fd;
	}
	if (greeting->conn < 0)
		return -EINVAL;
	return gcl_fds_send(socket, &passed, sizeof passed, 0, fds, count);
}

/* A memfd of exactly @size bytes whose size can't change, so that no access to it can fault. */
static const char *memfd_check(int fd, uint64_t size)
{
	struct statfs fs;
	struct stat st;
	int seals;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || fstatfs(fd, &fs) < 0 ||
	    fs.f_type != TMPFS_MAGIC)
		return "is not a memfd";
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & GCL_LOCAL_SEALS) != GCL_LOCAL_SEALS)
		return "is not sealed";
	if ((uint64_t)st.st_size != size)
		return "has the wrong size";
	if ((fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR)
		return "is not writable";
	return NULL;
}

/* A write to it must neither block nor do anything but wake. */
static const char *eventfd_check(int fd)
{
	static const char kind[] = "anon_inode:[eventfd]";
	char path[32], target[64];
	ssize_t n;

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof target);
	/* A jailed worker has no /proc; the broker has looked. */
	if (n >= 0 && ((size_t)n != sizeof kind - 1 || memcmp(target, kind, (size_t)n) != 0))
		return "is not an eventfd";
	if (!(fcntl(fd, F_GETFL) & O_NONBLOCK))
		return "blocks";
	return NULL;
}

int gcl_greeting_check(const struct gcl_greeting *greeting, char *reason, size_t reason_size)
{
	static const char *const fd_names[GCL_HELLO_FDS] = {
		[GCL_FD_RING] = "ring",
		[GCL_FD_HEAP] = "heap",
		[GCL_FD_WAKE_GUEST] = "guest's doorbell",
		[GCL_FD_WAKE_WORKER] = "worker's doorbell",
	};
	const struct gcl_hello *hello = &greeting->hello;
	const char *wrong;

	if (hello->magic != GCL_HELLO_MAGIC || hello->version != GCL_HELLO_VERSION) {
		snprintf(reason, reason_size,
			 "the guest library speaks version %u of the protocol, this host version "
			 "%u: update the older of the two",
			 hello->version, GCL_HELLO_VERSION);
		return -EPROTONOSUPPORT;
	}
	if (!gcl_ring_size_valid(hello->commands_size) ||
	    !gcl_ring_size_valid(hello->completions_size)) {
		snprintf(reason, reason_size, "ring sizes %u and %u are not allowed",
			 hello->commands_size, hello->completions_size);
		return -EINVAL;
	}
	if (hello->heap_size == 0 || hello->heap_size > GCL_HEAP_MAX ||
	    hello->heap_size % GCL_HEAP_CHUNK) {
		snprintf(reason, reason_size, "a heap of %llu bytes is not allowed",
			 (unsigned long long)hello->heap_size);
		return -EINVAL;
	}
	for (unsigned i = 0; i < GCL_HELLO_FDS; i++) {
		if (greeting->kind == GCL_GREETING_STREAM)
			wrong = greeting->fds[i] < 0 ? NULL : "does not belong here";
		else if (greeting->fds[i] < 0)
			wrong = "is missing";
		else if (i == GCL_FD_RING)
			wrong = memfd_check(greeting->fds[i], gcl_local_rings_size(hello));
		else if (i == GCL_FD_HEAP)
			wrong = memfd_check(greeting->fds[i], hello->heap_size);
		else
			wrong = eventfd_check(greeting->fds[i]);
		if (wrong) {
			snprintf(reason, reason_size, "the %s %s", fd_names[i], wrong);
			return -EINVAL;
		}
	}
	return 0;
}

int gcl_hello_answer(int conn, enum gcl_hello_status status, const char *text)
{
	struct gcl_hello_reply reply = {.magic = GCL_HELLO_MAGIC, .status = status};
	ssize_t n;

	snprintf(reply.text, sizeof reply.text, "%s", text ? text : "");
	n = send(conn, &reply, sizeof reply, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n != sizeof reply)
		return n < 0 ? -errno : -EIO;
	return 0;
}
