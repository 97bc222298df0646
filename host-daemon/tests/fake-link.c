// SPDX-License-Identifier: MIT
#include "fake-link.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "worker-link.h"

#define TICK_MS 1

struct fake_link {
	const struct gcl_greeting *greeting;
	const char *plan;
	int epoll;
	volatile struct fake_rings *rings;
	int fds[GCL_LINK_FDS_MAX];
	unsigned fd_count;
	union {
		struct gcl_link_map map;
		char bytes[GCL_LINK_SIZE_MAX];
	} message;
};

static bool planned(const struct fake_link *link, const char *plan)
{
	return strcmp(link->plan, plan) == 0;
}

static void watch(const struct fake_link *link, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	epoll_ctl(link->epoll, EPOLL_CTL_ADD, fd, &event);
}

/* All segments, one after the other. */
static void *map(const struct fake_link *link)
{
	const struct gcl_link_map *message = &link->message.map;
	char *base = mmap(NULL, message->length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t done = 0;

	for (uint32_t i = 0; base != MAP_FAILED && i < message->segment_count; i++) {
		const struct gcl_link_segment *segment = &message->segments[i];

		void *at = mmap(base + done, segment->length, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_FIXED, link->fds[segment->fd],
				(off_t)segment->offset);

		if (at == MAP_FAILED)
			return NULL;
		done += segment->length;
	}
	return base == MAP_FAILED || done != message->length ? NULL : base;
}

static int rings_map(struct fake_link *link)
{
	if (planned(link, "link-no-rings"))
		return -ENOMEM;
	link->rings = map(link);
	if (link->rings)
		link->rings->pid = (uint32_t)getpid();
	return link->rings ? 0 : -EIO;
}

/* Leaves the range's offset in memory that it gets. */
static int memory_map(const struct fake_link *link)
{
	uint64_t *memory;

	if (planned(link, "link-error"))
		return -ENOMEM;
	if (planned(link, "link-crash"))
		kill(getpid(), SIGKILL);
	memory = map(link);
	if (!memory)
		return -EIO;
	*memory = link->message.map.offset;
	munmap(memory, link->message.map.length);
	return 0;
}

static int request_do(struct fake_link *link)
{
	switch (link->message.map.op) {
	case GCL_LINK_MAP_RINGS:
		return rings_map(link);
	case GCL_LINK_MAP:
		return memory_map(link);
	case GCL_LINK_DOORBELL:
		watch(link, dup(link->fds[0]), EPOLLIN | EPOLLET);
		return 0;
	default:
		return 0;
	}
}

static void fds_take(struct fake_link *link, struct msghdr *header)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(header);

	link->fd_count = cmsg ? (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
	if (cmsg)
		memcpy(link->fds, CMSG_DATA(cmsg), link->fd_count * sizeof(int));
}

/* Return: false at the end of the link. */
static bool request_serve(struct fake_link *link)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(GCL_LINK_FDS_MAX * sizeof(int))];
	struct iovec iov = {link->message.bytes, sizeof link->message};
	struct msghdr header = {.msg_iov = &iov,
				.msg_iovlen = 1,
				.msg_control = control,
				.msg_controllen = sizeof control};
	struct gcl_link_answer answer;
	size_t size = sizeof answer;

	if (recvmsg(link->greeting->conn, &header, 0) <= 0)
		return false;
	fds_take(link, &header);
	answer = (struct gcl_link_answer){link->message.map.op, request_do(link)};
	for (unsigned i = 0; i < link->fd_count; i++)
		close(link->fds[i]);
	if (planned(link, "link-deaf") && answer.op == GCL_LINK_MAP)
		return true;
	if (planned(link, "link-garbage") && answer.op == GCL_LINK_MAP)
		size = 1;
	return send(link->greeting->conn, &answer, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static bool turn(struct fake_link *link, int broker)
{
	struct epoll_event event;
	int n = epoll_wait(link->epoll, &event, 1, TICK_MS);

	if (n > 0 && event.data.fd == broker)
		return false;
	if (n > 0 && event.data.fd == link->greeting->conn)
		return request_serve(link);
	if (link->rings)
		link->rings->ticks++;
	if (n > 0 && link->rings) {
		link->rings->bells++;
		(void)eventfd_write(link->greeting->fds[GCL_FD_WAKE_GUEST], 1);
	}
	return true;
}

void fake_link_serve(const struct gcl_greeting *greeting, int broker, const char *plan)
{
	struct fake_link link = {.greeting = greeting, .plan = plan, .epoll = epoll_create1(0)};

	watch(&link, broker, EPOLLRDHUP);
	watch(&link, greeting->conn, EPOLLIN | EPOLLRDHUP);
	watch(&link, greeting->fds[GCL_FD_WAKE_WORKER], EPOLLIN | EPOLLET);
	while (turn(&link, broker))
		;
}
