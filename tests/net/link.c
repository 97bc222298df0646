// SPDX-License-Identifier: MIT
/*
 * link PID-A PID-B DELAY-US MBIT: a network between the network namespaces of two processes, as
 * long and as wide as told, for kernels without netem.
 *
 * A packet of SIZE bytes leaves SIZE / rate after the one before, and arrives DELAY later, as on a
 * wire; there is a queue of a fixed size before it, and what finds it full is lost. MBIT 0: as fast
 * as this program is. Both ends are called "link0"; who starts this gives them addresses.
 *
 * SIGUSR1 cuts the wire, or mends it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define PACKET_MAX 65536u
#define QUEUE_SIZE (64u << 20)

struct packet {
	int64_t due; /* when it arrives, ns */
	uint32_t size;
};

/* One direction. */
struct way {
	int from, to;
	uint8_t *queue; /* packets with their data, in a ring that wraps between packets */
	size_t begin, end, wrap, held;
	int64_t free_at; /* when the wire has taken what came before */
};

static volatile sig_atomic_t cut;

static void on_signal(int number)
{
	(void)number;
	cut = !cut;
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "link: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int end_open(const char *pid)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	char path[64];
	int space, tun;

	snprintf(path, sizeof path, "/proc/%s/ns/net", pid);
	space = open(path, O_RDONLY | O_CLOEXEC);
	if (space < 0 || setns(space, CLONE_NEWNET) < 0)
		fail(path);
	close(space);
	tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (tun < 0)
		fail("/dev/net/tun");
	memcpy(request.ifr_name, "link0", sizeof "link0");
	if (ioctl(tun, TUNSETIFF, &request) < 0)
		fail("TUNSETIFF");
	return tun;
}

/* Room for a packet at the end, or NULL. */
static struct packet *room(struct way *way, size_t size)
{
	if (way->held + 2 * size > QUEUE_SIZE - PACKET_MAX)
		return NULL;
	if (way->end + size > QUEUE_SIZE) {
		way->wrap = way->end;
		way->end = 0;
	}
	return (struct packet *)(void *)(way->queue + way->end);
}

static void take(struct way *way, int64_t delay, int64_t mbit)
{
	const size_t most = sizeof(struct packet) + PACKET_MAX;
	static uint8_t lost[PACKET_MAX];

	for (int i = 0; i < 64; i++) {
		struct packet *packet = room(way, most);
		ssize_t n = read(way->from, packet ? (uint8_t *)(packet + 1) : lost, PACKET_MAX);
		int64_t now = now_ns();

		if (n <= 0)
			return;
		if (!packet || cut)
			continue;
		if (way->free_at < now)
			way->free_at = now;
		if (mbit)
			way->free_at += (int64_t)n * 8000 / mbit;
		packet->due = way->free_at + delay;
		packet->size = (uint32_t)n;
		n = (ssize_t)((sizeof *packet + (size_t)n + 7) & ~(size_t)7);
		way->end += (size_t)n;
		way->held += (size_t)n;
	}
}

/* Return: when the next is due, or 0. */
static int64_t give(struct way *way)
{
	while (way->held) {
		const struct packet *packet;
		size_t size;

		if (way->begin == way->wrap && way->wrap) {
			way->begin = 0;
			way->wrap = 0;
		}
		packet = (const struct packet *)(const void *)(way->queue + way->begin);
		if (packet->due > now_ns())
			return packet->due;
		if (!cut && write(way->to, packet + 1, packet->size) < 0 && errno == EAGAIN)
			return now_ns() + 10000;
		size = (sizeof *packet + packet->size + 7) & ~(size_t)7;
		way->begin += size;
		way->held -= size;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct way ways[2] = {{0}};
	struct pollfd fds[2];
	int64_t delay, mbit;

	if (argc != 5) {
		fprintf(stderr, "usage: link PID-A PID-B DELAY-US MBIT\n");
		return 64;
	}
	delay = strtoll(argv[3], NULL, 10) * 1000;
	mbit = strtoll(argv[4], NULL, 10);
	prctl(PR_SET_TIMERSLACK, 1000);
	signal(SIGUSR1, on_signal);
	for (int i = 0; i < 2; i++) {
		ways[i].queue = malloc(QUEUE_SIZE);
		if (!ways[i].queue)
			fail("memory");
		ways[i].from = ways[!i].to = end_open(argv[1 + i]);
		fds[i] = (struct pollfd){.fd = ways[i].from, .events = POLLIN};
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		int64_t next = 0, left;
		struct timespec until;

		for (int i = 0; i < 2; i++) {
			int64_t due;

			take(&ways[i], delay, mbit);
			due = give(&ways[i]);
			if (due && (!next || due < next))
				next = due;
		}
		left = next ? next - now_ns() : 0;
		if (next && left <= 0)
			continue;
		until = (struct timespec){left / 1000000000, left % 1000000000};
		ppoll(fds, 2, next ? &until : NULL, NULL);
	}
}
