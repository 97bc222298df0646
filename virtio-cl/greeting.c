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
#include "base/log.h"
#include "local-channel.h"

/* What travels from the broker to a worker: the guest's descriptors, and its socket behind them. */
#define PASS_FDS (GCL_HELLO_FDS + 1)

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
static bool fd_keep(struct gcl_greeting *greeting, int fd, bool passed)
{
	for (unsigned i = 0; i < GCL_HELLO_FDS; i++) {
		if (greeting->fds[i] < 0) {
			greeting->fds[i] = fd;
			return true;
		}
	}
	if (!passed || greeting->conn >= 0)
		return false;
	greeting->conn = fd;
	return true;
}

static bool fds_keep(struct gcl_greeting *greeting, struct msghdr *message, bool passed)
{
	struct cmsghdr *cmsg;
	bool good = !(message->msg_flags & MSG_CTRUNC);

	for (cmsg = CMSG_FIRSTHDR(message); cmsg; cmsg = CMSG_NXTHDR(message, cmsg)) {
		size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fd;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof fd, sizeof fd);
			if (!fd_keep(greeting, fd, passed)) {
				close(fd);
				good = false;
			}
		}
	}
	return good;
}

/* One read of what is still missing. Return: 1 complete, 0 not yet, -EPIPE at the end, -errno. */
static int greeting_read(struct gcl_greeting *greeting, int socket, bool passed, int flags)
{
	char control[CMSG_SPACE(PASS_FDS * sizeof(int))];
	struct gcl_hello *hello = &greeting->hello;
	struct iovec data = {(char *)hello + greeting->got, sizeof *hello - greeting->got};
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof control,
	};
	ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | flags);

	if (n < 0)
		return -errno;
	if (!fds_keep(greeting, &message, passed))
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
	int n = greeting_read(greeting, conn, false, MSG_DONTWAIT);

	return n == -EAGAIN || n == -EINTR ? 0 : n;
}

int gcl_greeting_take(struct gcl_greeting *greeting, int socket)
{
	int n;

	do
		n = greeting_read(greeting, socket, true, 0);
	while (n == 0 || n == -EINTR);
	if (n == -EPIPE)
		return greeting->got ? -EPROTO : 0;
	if (n == 1 && greeting->conn < 0)
		return -EPROTO;
	return n;
}

static int greeting_write(const struct gcl_greeting *greeting, int socket, unsigned count)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(PASS_FDS * sizeof(int))] = {0};
	struct iovec data = {(void *)&greeting->hello, sizeof greeting->hello};
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(count * sizeof(int)),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
	int fds[PASS_FDS];
	ssize_t n;

	memcpy(fds, greeting->fds, sizeof greeting->fds);
	fds[GCL_HELLO_FDS] = greeting->conn;
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, count * sizeof(int));
	do
		n = sendmsg(socket, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == sizeof greeting->hello ? 0 : -EIO;
}

int gcl_greeting_send(const struct gcl_greeting *greeting, int conn)
{
	return greeting_write(greeting, conn, GCL_HELLO_FDS);
}

int gcl_greeting_pass(const struct gcl_greeting *greeting, int socket)
{
	return greeting_write(greeting, socket, PASS_FDS);
}

static bool ring_size_valid(uint32_t size)
{
	return size >= GCL_RING_SIZE_MIN && size <= GCL_RING_SIZE_MAX && !(size & (size - 1));
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
	if (!ring_size_valid(hello->commands_size) || !ring_size_valid(hello->completions_size)) {
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
		if (greeting->fds[i] < 0)
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
