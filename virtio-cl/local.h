/*
 * The local channel: rings and heap in memfds, handed over a Unix stream socket.
 *
 * Greeting: the guest connects, sends struct gcl_hello with four descriptors (ring memfd, heap
 * memfd, eventfd that wakes the guest, eventfd that wakes the worker), and gets struct
 * gcl_hello_reply. The broker reads the greeting, checks it, and hands everything on to a worker
 * over a socketpair; the worker maps the memory and replies. Afterwards nothing is sent on the
 * socket: its end is how each side notices that the other died.
 */
#ifndef GCL_LOCAL_H
#define GCL_LOCAL_H

#include "channel.h"

#define GCL_HELLO_MAGIC	   0x4c434755u /* "UGCL" */
#define GCL_HELLO_VERSION  1u
#define GCL_DEFAULT_SOCKET "/run/guestcl/guestcld.sock"

enum gcl_hello_fd {
	GCL_FD_RING,
	GCL_FD_HEAP,
	GCL_FD_WAKE_GUEST,
	GCL_FD_WAKE_WORKER,
	GCL_HELLO_FDS
};

struct gcl_hello {
	uint32_t magic;
	uint32_t version;
	uint32_t commands_size;	   /* data bytes of the ring guest -> worker, a power of two */
	uint32_t completions_size; /* data bytes of the ring worker -> guest */
	uint64_t heap_size;
	uint32_t pid;	  /* for the log only; the broker asks the kernel for the real one */
	char program[60]; /* name of the guest program, for the log only */
};

/* What refuses a guest; the text says what to do about it. */
enum gcl_hello_status {
	GCL_HELLO_OK,
	GCL_HELLO_VERSION_MISMATCH,
	GCL_HELLO_MALFORMED,
	GCL_HELLO_BUSY,
	GCL_HELLO_FAILED
};

struct gcl_hello_reply {
	uint32_t magic;
	uint32_t status; /* enum gcl_hello_status */
	char text[248];	 /* one line, NUL-terminated */
};

/**
 * gcl_local_connect() - guest side: connect, greet, and wait for the reply
 * (GCL_HELLO_TIMEOUT_MS).
 * @path: socket of the daemon
 * @reason: one line for the user when it fails: what is wrong and what to do
 *
 * Return: 0 and a channel, or a negative errno.
 */
int gcl_local_connect(const char *path, struct gcl_channel **out, char *reason, size_t reason_size);

/*
 * How a session's frames travel, which says what a worker is given for it:
 *
 *  - local: all descriptors, and the guest's socket.
 *  - virtio: the two doorbells, and a SOCK_SEQPACKET socket whose other end the broker keeps:
 *    worker-link.h says what is said on it. There are no memfds.
 *  - stream: the guest's socket alone, a stream that carries frames and payloads both ways.
 */
enum gcl_greeting_kind { GCL_GREETING_LOCAL, GCL_GREETING_VIRTIO, GCL_GREETING_STREAM };

/** What a greeting carries, with descriptors; -1 where there is none. fini closes them. */
struct gcl_greeting {
	enum gcl_greeting_kind kind;
	struct gcl_hello hello;
	int fds[GCL_HELLO_FDS];
	int conn;   /* the guest's socket; the broker sets it before it passes the greeting on */
	size_t got; /* bytes of @hello read so far */
};

void gcl_greeting_init(struct gcl_greeting *greeting);
void gcl_greeting_fini(struct gcl_greeting *greeting);

/**
 * gcl_greeting_receive() - broker: read the greeting from @conn (non-blocking), without taking
 * @conn over. Return: 1 when it is complete, 0 when something is still missing, -EPROTO, -EPIPE
 * when the guest hung up, or another errno.
 */
int gcl_greeting_receive(struct gcl_greeting *greeting, int conn);

/** gcl_greeting_check() - broker: sizes, seals (no shrinking or growing), kinds of descriptors.
 * Return: 0, or -errno and @reason: -EPROTONOSUPPORT (GCL_HELLO_VERSION_MISMATCH) or -EINVAL
 * (GCL_HELLO_MALFORMED). */
int gcl_greeting_check(const struct gcl_greeting *greeting, char *reason, size_t reason_size);

/** gcl_greeting_pass() - broker: send greeting, descriptors and the guest's socket to a worker over
 * @socket. Return: 0 or -errno. */
int gcl_greeting_pass(const struct gcl_greeting *greeting, int socket);

/** gcl_greeting_send() - guest: send greeting and descriptors on @conn. Return: 0 or -errno. */
int gcl_greeting_send(const struct gcl_greeting *greeting, int conn);

/** gcl_greeting_take() - worker: wait for a greeting on @socket. Return: 1, 0 at the end of the
 * socket, -errno. */
int gcl_greeting_take(struct gcl_greeting *greeting, int socket);

/** gcl_hello_answer() - send the reply on the guest's socket; never blocks, errors are for the log
 * only. */
int gcl_hello_answer(int conn, enum gcl_hello_status status, const char *text);

/** gcl_local_accept() - worker: check again, map rings and heap; takes the descriptors over on
 * success. The guest waits for gcl_hello_answer(gcl_channel_conn(channel), ...) then. Return: 0 or
 * -errno; the reason is in the log. */
int gcl_local_accept(struct gcl_greeting *greeting, struct gcl_channel **out);

#endif
