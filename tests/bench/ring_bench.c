/*
 * What a channel over shared memory costs: round trips, throughput, posting, the heap; and what
 * memory itself costs, to compare with.
 *
 * A child plays the worker, over the local channel: it answers each frame that has the number ECHO
 * and swallows all others. With --guest the channel is the one that GUESTCL_CHANNEL asks for, and
 * its other end must be this program as well: a guestcld's whose setting "worker" names it.
 *
 * Prints "name value unit" lines, or one JSON object with --json. Medians where single operations
 * are timed. --seconds says how long each measurement may take.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "connect.h"
#include "heap.h"
#include "local.h"
#include "virtio.h"

#define ECHO	    1
#define SWALLOW	    2
#define SAMPLES_MAX 2000000
#define SMALL	    64u
#define LARGE	    16384u

static double seconds = 1;
static bool json;
static double samples[SAMPLES_MAX];
static uint8_t body[GCL_FRAME_BODY_MAX];

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void require(bool good, const char *what)
{
	if (!good) {
		perror(what);
		exit(1);
	}
}

static void print(const char *name, double value, const char *unit)
{
	static bool more;

	if (json)
		printf("%s\n  \"%s\": {\"value\": %.6g, \"unit\": \"%s\"}", more ? "," : "{", name,
		       value, unit);
	else
		printf("%-28s %12.1f %s\n", name, value, unit);
	fflush(stdout);
	more = true;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double quantile(unsigned count, double q)
{
	qsort(samples, count, sizeof *samples, compare);
	return count ? samples[(unsigned)((count - 1) * q)] : 0;
}

static void worker_run(struct gcl_channel *channel)
{
	struct gcl_frame head;
	int n;

	do {
		n = gcl_channel_receive(channel, &head, body, sizeof body);
		if (n == 0)
			n = gcl_channel_wait(channel, false, -1);
		else if (n == 1 && head.number == ECHO)
			gcl_channel_send(channel, &head, body, head.length - sizeof head, -1);
	} while (n >= 0);
	gcl_channel_close(channel);
}

/* What a broker has to say to the worker of a session in a VM. */
static void *worker_serve(void *context)
{
	struct gcl_channel *channel = context;
	struct pollfd in = {.fd = gcl_channel_conn(channel), .events = POLLIN | POLLRDHUP};

	do {
		poll(&in, 1, -1);
	} while (gcl_channel_serve(channel) == 0);
	_exit(0); /* the session's end */
}

/* As the worker that guestcld starts, see handover.h and worker-link.h. */
static void worker_start(int socket)
{
	struct gcl_greeting greeting;
	struct gcl_channel *channel = NULL;
	pthread_t server;

	require(write(socket, "R", 1) == 1, "handover");
	gcl_greeting_init(&greeting);
	if (gcl_greeting_take(&greeting, socket) != 1)
		_exit(0); /* the spare worker of a daemon that stops */
	if (greeting.kind == GCL_GREETING_VIRTIO) {
		require(gcl_virtio_accept(&greeting, &channel) == 0, "rings");
		require(pthread_create(&server, NULL, worker_serve, channel) == 0, "thread");
	} else {
		require(gcl_local_accept(&greeting, &channel) == 0, "memory");
		gcl_hello_answer(gcl_channel_conn(channel), GCL_HELLO_OK, "");
	}
	worker_run(channel);
	_exit(0);
}

static void worker_accept(int listener)
{
	struct gcl_greeting greeting;
	struct gcl_channel *channel = NULL;
	struct pollfd in = {.events = POLLIN};
	int n;

	gcl_greeting_init(&greeting);
	in.fd = accept(listener, NULL, NULL);
	require(in.fd >= 0, "accept");
	while ((n = gcl_greeting_receive(&greeting, in.fd)) == 0)
		poll(&in, 1, -1);
	greeting.conn = in.fd;
	require(n == 1 && gcl_local_accept(&greeting, &channel) == 0, "greeting");
	gcl_hello_answer(gcl_channel_conn(channel), GCL_HELLO_OK, "");
	worker_run(channel);
	_exit(0);
}

/* Over whatever channel the environment asks for. */
static struct gcl_channel *guest_connect(void)
{
	char reason[GCL_CONNECT_REASON_MAX] = "";
	struct gcl_channel *channel = NULL;
	int n = gcl_connect(&channel, reason, sizeof reason);

	errno = -n;
	require(n == 0, reason);
	return channel;
}

static struct gcl_channel *guest_start(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char folder[] = "/tmp/ring-bench-XXXXXX";
	struct gcl_channel *channel = NULL;
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char reason[256] = "";

	require(mkdtemp(folder), folder);
	snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder);
	require(bind(fd, (struct sockaddr *)&address, sizeof address) == 0, "bind");
	require(listen(fd, 1) == 0, "listen");
	if (fork() == 0)
		worker_accept(fd);
	require(gcl_local_connect(address.sun_path, &channel, reason, sizeof reason) == 0, reason);
	unlink(address.sun_path);
	rmdir(folder);
	return channel;
}

static void echo_once(struct gcl_channel *channel, size_t size)
{
	struct gcl_frame head = {.number = ECHO};
	int n;

	require(gcl_channel_send(channel, &head, body, size, -1) > 0, "send");
	while ((n = gcl_channel_receive(channel, &head, body, sizeof body)) == 0)
		gcl_channel_wait(channel, false, -1);
	require(n == 1, "receive");
}

/* Round trips with @pause_ns in between, long enough to send both sides to sleep or not. */
static void bench_echo(struct gcl_channel *channel, const char *name, size_t size, long pause_ns)
{
	double end = now_ns() + seconds * 1e9;
	unsigned count = 0;
	char worst[64];

	while (now_ns() < end && count < SAMPLES_MAX) {
		double start;

		if (pause_ns)
			nanosleep(&(struct timespec){0, pause_ns}, NULL);
		start = now_ns();
		echo_once(channel, size);
		samples[count++] = now_ns() - start;
	}
	snprintf(worst, sizeof worst, "%s-p99", name);
	print(name, quantile(count, 0.5), "ns");
	print(worst, quantile(count, 0.99), "ns");
}

static void bench_throughput(struct gcl_channel *channel, const char *name, size_t size)
{
	struct gcl_frame head = {.number = SWALLOW};
	double start = now_ns(), took;
	uint64_t count = 0;
	char bytes[64];

	do {
		for (unsigned i = 0; i < 256; i++, count++)
			require(gcl_channel_send(channel, &head, body, size, -1) > 0, "send");
		took = now_ns() - start;
	} while (took < seconds * 1e9);
	echo_once(channel, 0);
	took = now_ns() - start;
	snprintf(bytes, sizeof bytes, "%s-bytes", name);
	print(name, (double)count / took * 1e9, "frames/s");
	print(bytes, (double)(count * size) / took * 1e3, "MB/s");
}

/* Notifications of the device so far, as the driver counts them; without a driver, or without the
 * right to ask it, -1. */
static long doorbells(void)
{
	FILE *file = fopen("/sys/kernel/debug/virtio-cl/sessions", "re");
	char line[256];
	long bells = -1;

	while (file && fgets(line, sizeof line, file)) {
		long values[8];

		/* session pid uid state heap pinned doorbells ... */
		if (sscanf(line, "%ld %ld %ld %*s %ld %ld %ld", &values[0], &values[1], &values[2],
			   &values[3], &values[4], &values[5]) == 6 &&
		    values[1] == getpid())
			bells = values[5];
	}
	if (file)
		fclose(file);
	return bells;
}

/* What the poster pays while the worker is awake and the ring has room. */
static void bench_post(struct gcl_channel *channel)
{
	struct gcl_frame head = {.number = SWALLOW};
	double end = now_ns() + seconds * 1e9;
	unsigned count = 0;
	long before = doorbells();

	while (now_ns() < end && count < SAMPLES_MAX) {
		double start;
		void *room;

		echo_once(channel, 0);
		start = now_ns();
		for (unsigned i = 0; i < 64; i++) {
			require(gcl_channel_reserve(channel, SMALL, &room) == 0, "reserve");
			memset(room, 1, SMALL);
			gcl_channel_commit(channel, &head, SMALL);
		}
		samples[count++] = (now_ns() - start) / 64;
	}
	print("post-64", quantile(count, 0.5), "ns");
	if (before >= 0)
		print("post-64-doorbells", (double)(doorbells() - before) / (64.0 * count) * 1e6,
		      "ppm");
}

static void bench_receive_empty(struct gcl_channel *channel)
{
	double start = now_ns();
	struct gcl_frame head;

	for (unsigned i = 0; i < 1000000; i++)
		require(gcl_channel_receive(channel, &head, body, sizeof body) == 0, "receive");
	print("receive-empty", (now_ns() - start) / 1e6, "ns");
}

static void bench_heap(struct gcl_channel *channel, const char *name, uint64_t size)
{
	struct gcl_heap *heap;
	uint64_t offsets[64];
	double start, took;

	require(gcl_heap_create(channel, &heap) == 0, "heap");
	for (unsigned i = 0; i < 64; i++)
		offsets[i] = gcl_heap_alloc(heap, size);
	start = now_ns();
	for (unsigned i = 0; i < 1000000; i++) {
		unsigned k = i * 7 % 64;

		gcl_heap_free(heap, offsets[k]);
		offsets[k] = gcl_heap_alloc(heap, size);
	}
	took = now_ns() - start;
	print(name, took / 1e6, "ns");
	gcl_heap_destroy(heap);
}

/* What moving the bytes costs anyway: once into the ring and once out of it, both warm. */
static void bench_memcpy(const char *name, size_t size)
{
	static uint8_t ring[GCL_FRAME_MAX];
	unsigned times = (64u << 20) / (unsigned)size;
	double start = now_ns();

	for (unsigned i = 0; i < times; i++) {
		memcpy(ring, body, size);
		__asm__ volatile("" ::"r"(ring) : "memory");
		memcpy(body, ring, size);
		__asm__ volatile("" ::"r"(body) : "memory");
	}
	print(name, (now_ns() - start) / times, "ns");
}

static double cpu_seconds(void)
{
	struct rusage self;

	getrusage(RUSAGE_SELF, &self);
	return (double)(self.ru_utime.tv_sec + self.ru_stime.tv_sec) +
	       (double)(self.ru_utime.tv_usec + self.ru_stime.tv_usec) * 1e-6;
}

/* CPU time of a guest that waits and gets nothing, in parts of one CPU. */
static void bench_idle(struct gcl_channel *channel)
{
	double before = cpu_seconds();

	gcl_channel_wait(channel, false, (int)(seconds * 1000));
	print("idle-cpu", (cpu_seconds() - before) / seconds * 1e6, "ppm");
}

int main(int argc, char **argv)
{
	struct gcl_channel *channel;
	bool connect_to_daemon = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			json = true;
		} else if (strcmp(argv[i], "--guest") == 0) {
			connect_to_daemon = true;
		} else if (strcmp(argv[i], "--socket-fd") == 0 && i + 1 < argc) {
			worker_start(atoi(argv[i + 1]));
		} else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
			seconds = atof(argv[++i]);
		} else {
			fprintf(stderr, "usage: %s [--json] [--seconds N] [--guest]\n", argv[0]);
			return 2;
		}
	}
	channel = connect_to_daemon ? guest_connect() : guest_start();
	bench_echo(channel, "round-trip-64", SMALL, 0);
	bench_echo(channel, "round-trip-16k", LARGE, 0);
	bench_echo(channel, "round-trip-64-after-20us", SMALL, 20000);
	bench_echo(channel, "round-trip-64-after-2ms", SMALL, 2000000);
	bench_throughput(channel, "one-way-64", SMALL);
	bench_throughput(channel, "one-way-16k", LARGE);
	bench_post(channel);
	bench_receive_empty(channel);
	bench_idle(channel);
	bench_memcpy("memcpy-64-in-and-out", SMALL);
	bench_memcpy("memcpy-16k-in-and-out", LARGE);
	bench_heap(channel, "heap-64", 64);
	bench_heap(channel, "heap-64k", 65536);
	bench_heap(channel, "heap-5m", 5u << 20);
	gcl_channel_close(channel);
	wait(NULL);
	if (json)
		printf("\n}\n");
	return 0;
}
