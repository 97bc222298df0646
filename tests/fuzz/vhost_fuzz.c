// SPDX-License-Identifier: MIT
/*
 * Fuzzes what a VMM says: messages of vhost-user with descriptors, and what its guest does at the
 * same time.
 *
 * An input is a list of records. The first byte of each says what it is: below 0x80 a message (its
 * request number, then a struct vhost_fuzz_message, then the body), else a step of the device's
 * workers, or one of those below. A message's body may be cut off: the rest never comes.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "device-stub.h"

#define RAM (1u << 20)

enum { STEP_KICK_CONTROL = 0x80 + STUB_STEPS, STEP_KICK_EVENT, STEP_CUT, STEP_RAW, STEP_REOPEN };

struct vhost_fuzz_message {
	uint8_t flags;	   /* of the header */
	uint8_t fds;	   /* number, and in the upper half which kind */
	uint8_t body_size; /* bytes that come, */
	uint8_t size_more; /* and those that the header says beside */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t size;
};

static int ram = -1, event = -1, null = -1, ends[2] = {-1, -1};

static const uint8_t *take(struct input *input, size_t size)
{
	const uint8_t *at = input->data;

	if (input->size < size)
		return NULL;
	input->data += size;
	input->size -= size;
	return at;
}

static void resources_init(void)
{
	if (ram < 0) {
		ram = memfd_create("fuzz", MFD_CLOEXEC);
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
	}
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	(void)!ftruncate(ram, 0);
	(void)!ftruncate(ram, RAM);
}

static void connection_open(struct device_stub *stub)
{
	(void)!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends);
	gcl_device_connected(&stub->device, ends[1], 1);
}

static void connection_close(struct device_stub *stub)
{
	gcl_device_disconnected(&stub->device);
	gcl_cleanup_close(&ends[0]);
	gcl_cleanup_close(&ends[1]);
	ends[0] = ends[1] = -1;
}

static void send_with(const struct iovec *iov, size_t iov_count, unsigned fds, unsigned kind)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))] = {0};
	const int kinds[] = {ram, event, null, ends[0]};
	struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = iov_count};

	if (fds) {
		struct cmsghdr *cmsg = (struct cmsghdr *)(void *)control;

		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(fds * sizeof(int));
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(fds * sizeof(int));
		for (unsigned i = 0; i < fds; i++)
			memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &kinds[kind % 4], sizeof(int));
	}
	(void)!sendmsg(ends[0], &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void message_send(uint8_t request, struct input *input)
{
	const struct vhost_fuzz_message *head = (const void *)take(input, sizeof *head);
	struct gcl_vhost_header header = {.request = request};
	struct iovec iov[] = {{&header, sizeof header}, {NULL, 0}};

	if (!head)
		return;
	iov[1].iov_len = GCL_MIN((size_t)head->body_size, input->size);
	iov[1].iov_base = (void *)take(input, iov[1].iov_len);
	header.flags = head->flags;
	header.size = (uint32_t)head->body_size + head->size_more;
	send_with(iov, GCL_ARRAY_SIZE(iov), head->fds & 15, head->fds >> 4);
}

static void raw_send(struct input *input)
{
	const uint8_t *size = take(input, 1);
	struct iovec iov;

	if (!size)
		return;
	iov.iov_len = GCL_MIN((size_t)*size, input->size);
	iov.iov_base = (void *)take(input, iov.iov_len);
	send_with(&iov, 1, 0, 0);
}

static void step(struct device_stub *stub, uint8_t which, struct input *input)
{
	switch (which) {
	case STEP_KICK_CONTROL:
	case STEP_KICK_EVENT:
		gcl_device_kicked(&stub->device, which - STEP_KICK_CONTROL);
		break;
	case STEP_CUT:
		(void)!ftruncate(ram, 4096);
		break;
	case STEP_RAW:
		raw_send(input);
		break;
	case STEP_REOPEN:
		connection_close(stub);
		connection_open(stub);
		break;
	default:
		device_stub_step(stub, (which - 0x80u) % STUB_STEPS);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct device_stub stub;
	struct input input = {data, size};
	const uint8_t *which;
	char answers[512];

	resources_init();
	device_stub_init(&stub);
	connection_open(&stub);
	while ((which = take(&input, 1))) {
		int n = 1;

		if (*which < 0x80)
			message_send(*which, &input);
		else
			step(&stub, *which, &input);
		while (n > 0)
			n = gcl_backend_receive(&stub.device.backend);
		while (recv(ends[0], answers, sizeof answers, MSG_DONTWAIT) > 0)
			;
		if (n < 0) {
			connection_close(&stub);
			connection_open(&stub);
		}
	}
	connection_close(&stub);
	device_stub_fini(&stub);
	gcl_cleanup_close(&event);
	return 0;
}
