// SPDX-License-Identifier: MIT
/*
 * For tests: the device and the broker of a virtio channel, without a VM.
 *
 * The device file is one end of a socketpair: it becomes readable anew with each wake-up, and has
 * an end. Requests are answered within the ioctl, by asking the worker at once.
 */
#include "virtio-twin.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shm.h"
#include "test.h"

#define RAM_SIZE  (16ull << 30)
#define PIECE_MAX 16u /* pages */

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition,  \
				errno);                                                            \
			exit(99);                                                                  \
		}                                                                                  \
	} while (0)

/* Puts a mapping in the place of what is at @at. */
static void place(uint8_t *at, uint64_t length, int prot, int flags, int fd, uint64_t offset)
{
	const void *got =
		mmap(at, length, prot, flags | MAP_FIXED | MAP_NORESERVE, fd, (off_t)offset);

	REQUIRE(got == at);
}

static struct virtio_twin twin_memory;
static struct virtio_twin *the_twin;

unsigned virtio_twin_memory(struct virtio_twin *twin, uint64_t length,
			    struct gcl_link_segment *segments)
{
	unsigned count = 0;

	for (uint64_t left = length / VIRTIO_CL_PAGE; left;) {
		uint64_t pages = 1 + test_random(&twin->random) % PIECE_MAX;

		/* Never next to each other, so that each is a piece of its own. */
		pages = pages < left ? pages : left;
		twin->ram_used += VIRTIO_CL_PAGE;
		segments[count++] = (struct gcl_link_segment){
			.offset = twin->ram_used,
			.length = pages * VIRTIO_CL_PAGE,
		};
		twin->ram_used += pages * VIRTIO_CL_PAGE;
		left -= pages;
	}
	REQUIRE(count <= VIRTIO_CL_SEGMENTS_MAX && twin->ram_used <= RAM_SIZE);
	return count;
}

int virtio_twin_ask(struct virtio_twin *twin, enum gcl_link_op op, uint64_t offset, uint64_t length,
		    const struct gcl_link_segment *segments, unsigned count, int fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct gcl_link_map map = {
		.op = op, .segment_count = count, .offset = offset, .length = length};
	struct iovec iov[] = {{&map, sizeof map}, {(void *)segments, count * sizeof *segments}};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = count ? 2 : 1};
	struct gcl_link_answer answer;
	struct cmsghdr *cmsg;

	if (fd >= 0) {
		message.msg_control = control;
		message.msg_controllen = sizeof control;
		cmsg = CMSG_FIRSTHDR(&message);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(cmsg), &fd, sizeof fd);
	}
	if (sendmsg(twin->link, &message, MSG_NOSIGNAL) < 0 ||
	    recv(twin->link, &answer, sizeof answer, 0) != sizeof answer)
		return -EPIPE;
	REQUIRE(answer.op == op);
	return answer.error;
}

/* ------------------------------------------------------------ the broker */

/* The counter of a socket's wake-ups is what lies in it; what nobody reads has to make room. */
static void guest_wake(struct virtio_twin *twin)
{
	char byte = 0;

	twin->wakes++;
	while (send(twin->host, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EAGAIN)
		if (recv(twin->device, &byte, 1, MSG_DONTWAIT) < 0)
			break;
}

static void *broker_run(void *arg)
{
	struct virtio_twin *twin = arg;
	struct pollfd fds[] = {
		{.fd = twin->wake, .events = POLLIN},
		{.fd = twin->host, .events = POLLRDHUP},
		{.fd = twin->link, .events = POLLRDHUP},
	};

	for (;;) {
		eventfd_t ignored;

		poll(fds, 3, -1);
		if (fds[0].revents && eventfd_read(twin->wake, &ignored) == 0)
			guest_wake(twin);
		if (fds[1].revents || fds[2].revents)
			break;
	}
	shutdown(twin->host, SHUT_RDWR);
	shutdown(twin->link, SHUT_RDWR);
	return NULL;
}

/* ------------------------------------------------------------ the driver */

static int failure(int err)
{
	errno = -err;
	return err ? -1 : 0;
}

static int twin_open(const char *path)
{
	struct virtio_twin *twin = the_twin;
	int ends[2];

	if (strcmp(path, "twin") != 0)
		return failure(-ENOENT);
	REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
	twin->device = ends[0];
	twin->host = ends[1];
	return ends[0];
}

/* Passes the session on to whoever waits at the other end of twin->worker. */
static int session_pass(struct virtio_twin *twin, const struct virtio_cl_ioc_open *open)
{
	struct gcl_greeting greeting;
	int link[2], err;

	gcl_greeting_init(&greeting);
	REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) == 0);
	twin->link = link[0];
	twin->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	twin->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	greeting.kind = GCL_GREETING_VIRTIO;
	greeting.hello = (struct gcl_hello){
		.magic = GCL_HELLO_MAGIC,
		.version = open->protocol,
		.commands_size = open->commands_size,
		.completions_size = open->completions_size,
		.heap_size = open->heap_size,
	};
	greeting.fds[GCL_FD_WAKE_GUEST] = dup(twin->wake);
	greeting.fds[GCL_FD_WAKE_WORKER] = dup(twin->kick);
	greeting.conn = link[1];
	err = gcl_greeting_pass(&greeting, twin->worker);
	gcl_greeting_fini(&greeting);
	return err;
}

static int twin_session_open(struct virtio_twin *twin, struct virtio_cl_ioc_open *open)
{
	uint64_t size = gcl_shm_rings_size(open->commands_size, open->completions_size);
	struct gcl_link_segment segments[VIRTIO_CL_SEGMENTS_MAX];
	unsigned count = virtio_twin_memory(twin, size, segments);
	int err;

	if (twin->refusal) {
		snprintf(open->text, sizeof open->text, "%s", twin->refusal);
		return -EBUSY;
	}
	twin->heap_size = open->heap_size;
	err = session_pass(twin, open);
	if (!err)
		err = virtio_twin_ask(twin, GCL_LINK_MAP_RINGS, 0, size, segments, count,
				      twin->ram);
	if (err)
		return err;
	/* The guest maps them next. */
	twin->heap = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (unsigned i = 0; i < count; i++) {
		place(twin->heap, segments[i].length, PROT_READ | PROT_WRITE, MAP_SHARED, twin->ram,
		      segments[i].offset);
		twin->heap += segments[i].length;
	}
	twin->heap -= size;
	REQUIRE(pthread_create(&twin->broker, NULL, broker_run, twin) == 0);
	twin->broker_runs = true;
	return 0;
}

static int chunk_populate(struct virtio_twin *twin, uint64_t offset)
{
	struct gcl_link_segment segments[VIRTIO_CL_SEGMENTS_MAX];
	unsigned count = virtio_twin_memory(twin, VIRTIO_CL_CHUNK, segments);
	uint8_t *at = twin->heap + offset;
	int err;

	if (twin->chunks_max && twin->chunks == twin->chunks_max)
		return -ENOMEM;
	err = virtio_twin_ask(twin, GCL_LINK_MAP, offset, VIRTIO_CL_CHUNK, segments, count,
			      twin->ram);
	for (unsigned i = 0; i < count && !err; i++) {
		place(at, segments[i].length, PROT_READ | PROT_WRITE, MAP_SHARED, twin->ram,
		      segments[i].offset);
		at += segments[i].length;
	}
	twin->chunks += err ? 0 : 1;
	return err;
}

static int chunk_release(struct virtio_twin *twin, uint64_t offset)
{
	int err = virtio_twin_ask(twin, GCL_LINK_UNMAP, offset, VIRTIO_CL_CHUNK, NULL, 0, -1);

	place(twin->heap + offset, VIRTIO_CL_CHUNK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	twin->chunks--;
	return err;
}

static int range_do(struct virtio_twin *twin, const struct virtio_cl_ioc_range *range,
		    int (*chunk)(struct virtio_twin *twin, uint64_t offset))
{
	uint64_t done;
	int err = 0;

	if (!range->length || (range->offset | range->length) % VIRTIO_CL_CHUNK ||
	    range->offset + range->length > twin->heap_size)
		return -EINVAL;
	for (done = 0; done < range->length && !err; done += VIRTIO_CL_CHUNK)
		err = chunk(twin, range->offset + done);
	/* All or nothing. */
	for (done -= err ? VIRTIO_CL_CHUNK : 0; err && chunk == chunk_populate && done;) {
		done -= VIRTIO_CL_CHUNK;
		chunk_release(twin, range->offset + done);
	}
	return err;
}

uint8_t *virtio_twin_program(struct virtio_twin *twin, uint64_t length)
{
	uint8_t *at;

	twin->program_count = virtio_twin_memory(twin, length, twin->program_segments);
	twin->program_size = length;
	twin->program = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	at = twin->program;
	for (unsigned i = 0; i < twin->program_count; i++) {
		place(at, twin->program_segments[i].length, PROT_READ | PROT_WRITE, MAP_SHARED,
		      twin->ram, twin->program_segments[i].offset);
		at += twin->program_segments[i].length;
	}
	return twin->program;
}

/* The part of the program's pieces that lies in a range of its memory. */
static unsigned program_pieces(const struct virtio_twin *twin, uint64_t first, uint64_t end,
			       struct gcl_link_segment *pieces)
{
	unsigned count = 0;
	uint64_t at = 0;

	for (unsigned i = 0; i < twin->program_count; i++) {
		const struct gcl_link_segment *segment = &twin->program_segments[i];
		uint64_t from = at > first ? at : first;
		uint64_t to = at + segment->length < end ? at + segment->length : end;

		if (from < to)
			pieces[count++] = (struct gcl_link_segment){
				.offset = segment->offset + (from - at), .length = to - from};
		at += segment->length;
	}
	return count;
}

static int twin_pin(struct virtio_twin *twin, struct virtio_cl_ioc_pin *pin)
{
	struct gcl_link_segment pieces[VIRTIO_CL_SEGMENTS_MAX];
	uint64_t lead = pin->address % VIRTIO_CL_PAGE;
	uint64_t first = pin->address - lead - (uintptr_t)twin->program;
	uint64_t length =
		(lead + pin->length + VIRTIO_CL_PAGE - 1) / VIRTIO_CL_PAGE * VIRTIO_CL_PAGE;
	unsigned window = 0;
	unsigned count;
	int err;

	if (first >= twin->program_size || length > twin->program_size - first)
		return -EFAULT;
	while (window < VIRTIO_CL_WINDOWS && twin->windows[window].length)
		window++;
	if (window == VIRTIO_CL_WINDOWS)
		return -ENOSPC;
	pin->offset = VIRTIO_CL_WINDOW_BASE + window * VIRTIO_CL_WINDOW_SIZE + lead;
	count = program_pieces(twin, first, first + length, pieces);
	err = virtio_twin_ask(twin, GCL_LINK_MAP, pin->offset - lead, length, pieces, count,
			      twin->ram);
	if (!err) {
		twin->windows[window].offset = pin->offset;
		twin->windows[window].length = length;
	}
	return err;
}

static int twin_unpin(struct virtio_twin *twin, uint64_t offset)
{
	unsigned window = (unsigned)((offset - VIRTIO_CL_WINDOW_BASE) / VIRTIO_CL_WINDOW_SIZE);
	uint64_t length = twin->windows[window].length;

	if (!length || twin->windows[window].offset != offset)
		return -ENOENT;
	twin->windows[window].length = 0;
	return virtio_twin_ask(twin, GCL_LINK_UNMAP, offset - offset % VIRTIO_CL_PAGE, length, NULL,
			       0, -1);
}

static int request_do(struct virtio_twin *twin, unsigned long request, void *argument)
{
	switch (request) {
	case VIRTIO_CL_IOC_INFO:
		*(struct virtio_cl_ioc_info *)argument = (struct virtio_cl_ioc_info){
			.version = VIRTIO_CL_VERSION,
			.flags = VIRTIO_CL_INFO_PRESENT,
			.heap_max = VIRTIO_CL_HEAP_MAX,
		};
		return 0;
	case VIRTIO_CL_IOC_OPEN:
		return twin_session_open(twin, argument);
	case VIRTIO_CL_IOC_POPULATE:
		twin->populates++;
		return range_do(twin, argument, chunk_populate);
	case VIRTIO_CL_IOC_RELEASE:
		twin->releases++;
		return range_do(twin, argument, chunk_release);
	case VIRTIO_CL_IOC_PIN:
		return twin_pin(twin, argument);
	case VIRTIO_CL_IOC_UNPIN:
		return twin_unpin(twin, ((struct virtio_cl_ioc_unpin *)argument)->offset);
	default:
		return -ENOTTY;
	}
}

static int twin_ioctl(int fd, unsigned long request, void *argument)
{
	struct virtio_twin *twin = the_twin;
	int err;

	REQUIRE(fd == twin->device);
	if (request == VIRTIO_CL_IOC_DOORBELL) {
		twin->doorbells++;
		return eventfd_write(twin->kick, 1);
	}
	pthread_mutex_lock(&twin->lock);
	err = request_do(twin, request, argument);
	pthread_mutex_unlock(&twin->lock);
	return failure(err);
}

static void *twin_map(int fd, void *address, uint64_t size, uint64_t offset)
{
	struct virtio_twin *twin = the_twin;

	(void)size;
	REQUIRE(fd == twin->device && !address == (offset == VIRTIO_CL_MMAP_RINGS));
	if (!address)
		return twin->heap;
	twin->heap = address;
	return address;
}

const struct gcl_virtio_calls *virtio_twin_calls(void)
{
	static const struct gcl_virtio_calls calls = {twin_open, twin_ioctl, twin_map};

	return &calls;
}

struct virtio_twin *virtio_twin_init(int worker)
{
	struct virtio_twin *twin = &twin_memory;

	REQUIRE(!the_twin);
	*twin = (struct virtio_twin){
		.worker = worker,
		.ram = memfd_create("guest-ram", MFD_CLOEXEC),
		.random = 7,
		.device = -1,
		.host = -1,
		.link = -1,
		.kick = -1,
		.wake = -1,
	};
	REQUIRE(twin->ram >= 0 && ftruncate(twin->ram, RAM_SIZE) == 0);
	pthread_mutex_init(&twin->lock, NULL);
	the_twin = twin;
	return twin;
}

void virtio_twin_fini(void)
{
	struct virtio_twin *twin = the_twin;
	const int fds[] = {twin->worker, twin->ram, twin->host, twin->link, twin->kick, twin->wake};

	/* The guest's end is closed by now. */
	if (twin->broker_runs)
		pthread_join(twin->broker, NULL);
	for (unsigned i = 0; i < sizeof fds / sizeof *fds; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (twin->program)
		munmap(twin->program, twin->program_size);
	pthread_mutex_destroy(&twin->lock);
	the_twin = NULL;
}
