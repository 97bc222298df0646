/*
 * guestcl-worker: runs one guest process's OpenCL.
 *
 * Life of a worker: the broker starts it with a socket; it loads the runtime and takes the snapshot
 * while nobody waits; it says that it is ready with one byte; it gets one guest over the socket and
 * serves it until it goes; it exits. Everything that is slow comes before the guest.
 */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "connect.h"
#include "handover.h"
#include "local.h"
#include "stream.h"
#include "virtio.h"
#include "worker.h"

struct options {
	int socket;
	bool resident;
};

static void usage(FILE *file)
{
	fputs("usage: guestcl-worker --socket-fd N [--resident auto|never]\n"
	      "Runs the OpenCL of one guest process. Started by guestcld, not by hand.\n"
	      "\n"
	      "  --socket-fd N          where the guest comes from\n"
	      "  --resident auto|never  whether buffers of CPU devices live in memory shared with\n"
	      "                         the guest (default: auto)\n"
	      "  --help\n",
	      file);
}

static bool number_parse(const char *text, int *number)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || *end || end == text || value < 0 || value > INT32_MAX)
		return false;
	*number = (int)value;
	return true;
}

static void options_parse(int argc, char **argv, struct options *options)
{
	static const struct option names[] = {
		{"socket-fd", required_argument, NULL, 's'},
		{"resident", required_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	bool good = true;
	int name;

	*options = (struct options){.socket = -1, .resident = true};
	while (good && (name = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (name) {
		case 's':
			good = number_parse(optarg, &options->socket);
			break;
		case 'r':
			options->resident = strcmp(optarg, "never") != 0;
			good = !options->resident || strcmp(optarg, "auto") == 0;
			break;
		case 'h':
			usage(stdout);
			exit(EXIT_SUCCESS);
		default:
			good = false;
		}
	}
	if (good && options->socket >= 0 && optind == argc)
		return;
	usage(stderr);
	exit(2);
}

/* Everything that needs no guest. Return: NULL, or what is wrong. */
static const char *prepare(struct gcl_worker *worker)
{
	/* Writing to a guest that died is not an accident. */
	signal(SIGPIPE, SIG_IGN);
	/* Should the loader find guestcl itself among the host's runtimes, it must not come back
	 * here through the daemon. */
	setenv("GUESTCL_CHANNEL", GCL_NO_CHANNEL, 1);
	setenv("GUESTCL_SOCKET", GCL_NO_CHANNEL, 1);
	if (gcl_print_start(worker))
		return "no pipe for what kernels print";
	if (gcl_snapshot_make(worker))
		return "no memory to describe the host's devices";
	if (worker->welcome->n_platforms == 0)
		return "the host has no OpenCL platform: install a runtime, such as the package "
		       "pocl-opencl-icd, and see that clinfo lists it";
	return NULL;
}

/* Tells the broker, which logs it, how the preparation went. Return: true when it is there. */
static bool broker_tell(int socket, const char *failure)
{
	char text[1 + GCL_HANDOVER_TEXT_MAX] = {GCL_HANDOVER_READY};
	size_t size = 1;

	if (failure)
		size = (size_t)snprintf(text, sizeof text, "%c%s", GCL_HANDOVER_FAILED, failure);
	return send(socket, text, GCL_MIN(size, sizeof text), MSG_NOSIGNAL) > 0;
}

/* Takes the descriptors over on success. */
static int guest_accept(struct gcl_greeting *greeting, struct gcl_channel **channel)
{
	switch (greeting->kind) {
	case GCL_GREETING_LOCAL:
		return gcl_local_accept(greeting, channel);
	case GCL_GREETING_VIRTIO:
		return gcl_virtio_accept(greeting, channel);
	case GCL_GREETING_STREAM:
		return gcl_stream_accept(greeting, channel);
	default:
		gcl_log_error(session, "no channel of kind %d", greeting->kind);
		return -EPROTONOSUPPORT;
	}
}

/* The guest waits for an answer on its socket. One in a VM is answered by the broker, which knows
 * how things stand from the other side of that socket. */
static int guest_answer(enum gcl_greeting_kind kind, int conn, enum gcl_hello_status status,
			const char *text)
{
	return kind == GCL_GREETING_VIRTIO ? 0 : gcl_hello_answer(conn, status, text);
}

/* Return: 1 with a guest, 0 when the broker went first, -errno. */
static int guest_take(struct gcl_worker *worker, int socket)
{
	_cleanup_(gcl_greeting_fini) struct gcl_greeting greeting;
	enum gcl_greeting_kind kind;
	int n, conn;

	gcl_greeting_init(&greeting);
	n = gcl_greeting_take(&greeting, socket);
	if (n <= 0)
		return n;
	kind = greeting.kind;
	n = guest_accept(&greeting, &worker->channel);
	if (n) {
		guest_answer(kind, greeting.conn, GCL_HELLO_FAILED,
			     "the worker can't map this session's memory");
		return n;
	}
	/* The snapshot was made before it was known who comes. */
	worker->resident &= gcl_channel_shared(worker->channel);
	worker->welcome->resident_buffers = worker->resident;
	conn = gcl_channel_conn(worker->channel);
	n = gcl_watch_start(worker, conn, socket);
	if (n) {
		guest_answer(kind, conn, GCL_HELLO_FAILED, "the worker can't start a thread");
		return n;
	}
	n = guest_answer(kind, conn, GCL_HELLO_OK, "");
	return n ? n : 1;
}

/*
 * Builds run on threads of the pool, and a thread's own arena grows page by page: a process's first
 * build made 22,000 mprotect calls, a tenth of its time. With as much room as an arena can have
 * from the beginning it makes none. (One arena for all threads would slow down the runtime's own.)
 */
static void allocator_set(void)
{
	mallopt(M_TOP_PAD, 64 << 20);
}

int main(int argc, char **argv)
{
	/* Not on the stack: it holds a frame. */
	static struct gcl_worker worker;
	struct options options;
	const char *failure;
	int n;

	allocator_set();
	gcl_log_init("guestcl-worker");
	options_parse(argc, argv, &options);
	gcl_worker_init(&worker);
	worker.resident = options.resident;
	failure = prepare(&worker);
	if (!broker_tell(options.socket, failure) || failure)
		return EXIT_FAILURE;
	n = guest_take(&worker, options.socket);
	if (n < 0)
		gcl_log_error(session, "no session: %s", strerror(-n));
	if (n > 0) {
		gcl_send(&worker, GCL_WELCOME, &worker.welcome->base, 0, 0);
		protobuf_c_message_free_unpacked(&steal_pointer(&worker.welcome)->base, NULL);
		n = gcl_session_run(&worker);
	}
	/* Not exit(): destructors of the runtime would wait for kernels that may never end. */
	_exit(n ? EXIT_FAILURE : EXIT_SUCCESS);
}
