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
#include "jail/jail.h"
#include "local.h"
#include "stream.h"
#include "virtio.h"
#include "worker.h"

struct options {
	int socket, page;
	bool resident;
	unsigned program_sizes;
	const char *client;
	uint64_t replay_memory, replay_time; /* bytes, ms */
	struct gcl_jail jail;
};

static void usage(FILE *file)
{
	fputs("usage: guestcl-worker --socket-fd N [OPTION...]\n"
	      "Runs the OpenCL of one guest process. Started by guestcld, not by hand.\n"
	      "\n"
	      "  --socket-fd N          where the guest comes from\n"
	      "  --page-fd N            memory shared with guestcld, for limits and counters\n"
	      "  --resident auto|never  whether buffers and images of CPU devices live in memory\n"
	      "                         shared with the guest (default: auto)\n"
	      "  --program-sizes auto|always|never\n"
	      "                         whether the runtime is asked for them after builds "
	      "(default:\n"
	      "                         auto)\n"
	      "  --client FILE          libguestcl.so, by which work can move to GPU servers\n"
	      "  --replay-memory BYTES  how much of what work does there may be kept, to be done\n"
	      "                         again here when the server is lost (default: 0)\n"
	      "  --replay-time MS       how long that may take there at most\n"
	      "  --jail auto|strict|off what to do without a stage of the jail (default: off)\n"
	      "  --seccomp runtime|driver|off\n"
	      "                         which system calls are left (default: runtime)\n"
	      "  --cache FOLDER         where compiled kernels may be written\n"
	      "  --read FOLDER:...      what may be read beside the system's files\n"
	      "  --apart                it is in namespaces of its own\n"
	      "  --lacks TEXT           what the jail lacks so far\n"
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

static bool amount_parse(const char *text, uint64_t *amount)
{
	char *end;

	errno = 0;
	*amount = strtoull(text, &end, 10);
	return !errno && !*end && end != text;
}

static bool name_parse(const char *const *names, const char *text, unsigned *index)
{
	int found = gcl_jail_name_find(names, text);

	*index = (unsigned)found;
	return found >= 0;
}

static bool jail_option_parse(int name, const char *text, struct gcl_jail *jail)
{
	switch (name) {
	case 'j':
		return name_parse(gcl_jail_modes, text, &jail->mode);
	case 'S':
		return name_parse(gcl_jail_call_lists, text, &jail->calls);
	case 'c':
		jail->cache = text;
		return true;
	case 'R':
		jail->read = text;
		return true;
	case 'a':
		jail->apart = true;
		return true;
	case 'l':
		snprintf(jail->lacks, sizeof jail->lacks, "%s", text);
		return true;
	default:
		return false;
	}
}

static void options_parse(int argc, char **argv, struct options *options)
{
	static const struct option names[] = {
		{"socket-fd", required_argument, NULL, 's'},
		{"page-fd", required_argument, NULL, 'p'},
		{"resident", required_argument, NULL, 'r'},
		{"program-sizes", required_argument, NULL, 'P'},
		{"client", required_argument, NULL, 'C'},
		{"replay-memory", required_argument, NULL, 'm'},
		{"replay-time", required_argument, NULL, 't'},
		{"jail", required_argument, NULL, 'j'},
		{"seccomp", required_argument, NULL, 'S'},
		{"cache", required_argument, NULL, 'c'},
		{"read", required_argument, NULL, 'R'},
		{"apart", no_argument, NULL, 'a'},
		{"lacks", required_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	bool good = true;
	int name;

	*options = (struct options){
		.socket = -1, .page = -1, .resident = true, .jail.mode = GCL_JAIL_OFF};
	while (good && (name = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (name) {
		case 's':
			good = number_parse(optarg, &options->socket);
			break;
		case 'p':
			good = number_parse(optarg, &options->page);
			break;
		case 'r':
			options->resident = strcmp(optarg, "never") != 0;
			good = !options->resident || strcmp(optarg, "auto") == 0;
			break;
		case 'P':
			good = name_parse(gcl_program_sizes_names, optarg, &options->program_sizes);
			break;
		case 'C':
			options->client = optarg;
			break;
		case 'm':
			good = amount_parse(optarg, &options->replay_memory);
			break;
		case 't':
			good = amount_parse(optarg, &options->replay_time);
			break;
		case 'h':
			usage(stdout);
			exit(EXIT_SUCCESS);
		default:
			good = jail_option_parse(name, optarg, &options->jail);
		}
	}
	if (good && options->socket >= 0 && optind == argc)
		return;
	usage(stderr);
	exit(2);
}

/* Return: why there is nothing for a guest. */
static const char *devices_lack(void)
{
	static char text[GCL_HANDOVER_TEXT_MAX];
	char name[64] = "?";
	cl_platform_id platform;

	if (clGetPlatformIDs(1, &platform, NULL) != CL_SUCCESS)
		return "the host has no OpenCL platform: install a runtime, such as the package "
		       "pocl-opencl-icd, and see that clinfo lists it";
	clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof name, name, NULL);
	snprintf(text, sizeof text,
		 "the host has no OpenCL device, only platforms without (%.40s): see what clinfo "
		 "lists",
		 name);
	return text;
}

/* Everything that needs no guest. Return: NULL, or what is wrong. */
static const char *prepare(struct gcl_worker *worker)
{
	/* Writing to a guest that died is not an accident. */
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	/* Should the loader find guestcl itself among the host's runtimes, it must not come back
	 * here through the daemon. */
	setenv("GUESTCL_CHANNEL", GCL_NO_CHANNEL, 1);
	setenv("GUESTCL_SOCKET", GCL_NO_CHANNEL, 1);
	if (worker->client) {
		const char *failure = gcl_sides_load(worker->client);

		if (failure)
			return failure;
	}
	gcl_sides_inject(&worker->sides);
	if (gcl_snapshot_make(worker))
		return "no memory to describe the host's devices";
	if (worker->welcome->n_platforms == 0)
		return devices_lack();
	/* What the runtime has printed so far is for the daemon's log. */
	if (gcl_print_start(worker))
		return "no pipe for what kernels print";
	return NULL;
}

/* The last stage, when all is there that the runtime opens. Return: NULL, or what is wrong. */
static const char *seal(struct gcl_jail *jail)
{
	static char text[GCL_JAIL_LACKS_MAX + 64];

	gcl_jail_seal(jail);
	if (gcl_jail_holds(jail))
		return NULL;
	snprintf(text, sizeof text, "jail = strict, and the host lacks: %s", jail->lacks);
	return text;
}

/* Tells the broker, which logs it, how the preparation went. Return: true when it is there. */
static bool broker_tell(int socket, const char *failure, const char *lacks)
{
	char text[1 + GCL_HANDOVER_TEXT_MAX];
	int size = snprintf(text, sizeof text, "%c%s",
			    failure ? GCL_HANDOVER_FAILED : GCL_HANDOVER_READY,
			    failure ? failure : lacks);

	return send(socket, text, GCL_MIN((size_t)size, sizeof text), MSG_NOSIGNAL) > 0;
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

/*
 * The worker itself ends by _exit(): it is a runtime that has called exit(). Nothing else of its
 * ends is waited for. A process that it has forked may end so.
 */
static void on_runtime_exit(int status, void *data)
{
	const struct gcl_worker *worker = data;

	if (getpid() != worker->pid)
		return;
	if (worker->channel)
		gcl_log_error(session, "the host's OpenCL runtime has called exit(%d)", status);
	else
		broker_tell(worker->broker,
			    "the host's OpenCL runtime has ended its process while it was loaded: "
			    "see whether clinfo runs on the host",
			    "");
	_exit(EXIT_FAILURE);
}

/* The guest waits for an answer on its socket. One in a VM is answered by the broker, which knows
 * how things stand from the other side of that socket. */
static int guest_answer(enum gcl_greeting_kind kind, int conn, enum gcl_hello_status status,
			const char *text)
{
	return kind == GCL_GREETING_VIRTIO ? 0 : gcl_hello_answer(conn, status, text);
}

/* How much of the heap may be used, as the broker says; and how much is. */
static int heap_begin(struct gcl_worker *worker)
{
	struct gcl_page *page = worker->page;
	uint64_t limit = gcl_page_read(&page->limits.heap);

	if (limit)
		gcl_channel_heap_limit(worker->channel, limit);
	worker->welcome->heap_limit = worker->channel->heap_limit;
	return gcl_channel_heap_track(worker->channel, &page->heap_used);
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
	worker->welcome->resident_images = worker->resident;
	n = heap_begin(worker);
	if (n) {
		guest_answer(kind, gcl_channel_conn(worker->channel), GCL_HELLO_FAILED,
			     "the worker has no memory left");
		return n;
	}
	gcl_quota_begin(worker);
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
	/* Before anything starts a thread. */
	gcl_jail_close(&options.jail);
	gcl_worker_init(&worker);
	worker.resident = options.resident;
	worker.program_sizes = options.program_sizes;
	worker.client = options.client;
	worker.replay_memory = options.replay_memory;
	worker.replay_time = options.replay_time * 1000000;
	worker.broker = options.socket;
	worker.pid = getpid();
	on_exit(on_runtime_exit, &worker);
	if (options.page >= 0 && gcl_worker_page_map(&worker, options.page) < 0)
		failure = "no memory to share with guestcld";
	else
		failure = prepare(&worker);
	if (!failure)
		failure = seal(&options.jail);
	if (!broker_tell(options.socket, failure, options.jail.lacks) || failure)
		_exit(EXIT_FAILURE);
	gcl_progress(&worker, true);
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
