// SPDX-License-Identifier: MIT
#include "vmm.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "base/cleanup.h"
#include "local.h"
#include "test.h"

/* Each queue's rings lie in pages of their own, and its buffers in others. */
#define RINGS(i)	 (0x10000ull + (i)*0x4000ull)
#define BUFFERS(i)	 (0x100000ull + (i)*0x100000ull)
#define OUT_BUFFER(i, s) (BUFFERS(i) + (s)*0x8000ull)
#define IN_BUFFER(i, s)	 (OUT_BUFFER(i, s) + 0x7000ull)
#define SLOTS		 (VMM_QUEUE_SIZE / 2)
#define OUT_MAX		 0x7000u
#define IN_MAX		 0x1000u

int64_t vmm_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void *vmm_at(const struct vmm *vmm, uint64_t address)
{
	if (address >= VMM_HIGH)
		address -= VMM_HIGH - VMM_RAM_HALF;
	assert_true(address < 2ull * VMM_RAM_HALF);
	return vmm->memory + address;
}

void vmm_reboot(struct vmm *vmm)
{
	for (unsigned i = 0; i < VMM_QUEUES; i++) {
		struct vmm_queue *queue = &vmm->queues[i];

		queue->descriptors = RINGS(i);
		queue->available = RINGS(i) + 0x1000;
		queue->used = RINGS(i) + 0x2000;
		queue->next_available = queue->last_used = queue->base = 0;
		queue->busy = queue->done = 0;
		memset(vmm_at(vmm, RINGS(i)), 0, 0x4000);
	}
}

void vmm_init(struct vmm *vmm)
{
	memset(vmm, 0, sizeof *vmm);
	vmm->socket = -1;
	vmm->patience_ms = 5000;
	vmm->ram = memfd_create("guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(vmm->ram >= 0);
	assert_int_equal(ftruncate(vmm->ram, 2ll * VMM_RAM_HALF), 0);
	vmm->memory =
		mmap(NULL, 2ull * VMM_RAM_HALF, PROT_READ | PROT_WRITE, MAP_SHARED, vmm->ram, 0);
	assert_ptr_not_equal(vmm->memory, MAP_FAILED);
	for (unsigned i = 0; i < VMM_QUEUES; i++) {
		vmm->queues[i].kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		vmm->queues[i].call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	vmm_reboot(vmm);
}

void vmm_detach(struct vmm *vmm)
{
	gcl_cleanup_close(&vmm->socket);
	vmm->socket = -1;
}

void vmm_fini(struct vmm *vmm)
{
	if (!vmm->memory)
		return;
	vmm_detach(vmm);
	munmap(vmm->memory, 2ull * VMM_RAM_HALF);
	close(vmm->ram);
	for (unsigned i = 0; i < VMM_QUEUES; i++) {
		close(vmm->queues[i].kick);
		close(vmm->queues[i].call);
	}
	memset(vmm, 0, sizeof *vmm);
	vmm->socket = -1;
}

/* ------------------------------------------------------------ messages */

void vmm_say(struct vmm *vmm, enum gcl_vhost_request request, uint32_t flags, const void *body,
	     uint32_t size, const int *fds, unsigned fd_count)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))] = {0};
	struct gcl_vhost_header header = {request, GCL_VHOST_VERSION | flags, size};
	struct iovec iov[] = {{&header, sizeof header}, {(void *)body, size}};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};

	if (fd_count) {
		struct cmsghdr *cmsg = (struct cmsghdr *)(void *)control;

		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, fd_count * sizeof(int));
	}
	(void)!sendmsg(vmm->socket, &message, MSG_NOSIGNAL);
}

static bool readable(const struct vmm *vmm)
{
	struct pollfd in = {.fd = vmm->socket, .events = POLLIN};

	return poll(&in, 1, 0) > 0;
}

int vmm_hear(struct vmm *vmm, enum gcl_vhost_request request, void *body, size_t size)
{
	struct gcl_vhost_header header;

	vmm_until(vmm, readable(vmm));
	if (recv(vmm->socket, &header, sizeof header, MSG_WAITALL) != sizeof header)
		return -1;
	assert_int_equal(header.request, request);
	assert_int_equal(header.flags, GCL_VHOST_VERSION | GCL_VHOST_REPLY);
	assert_true(header.size <= size);
	if (header.size)
		assert_int_equal(recv(vmm->socket, body, header.size, MSG_WAITALL), header.size);
	return (int)header.size;
}

uint64_t vmm_ack(struct vmm *vmm, enum gcl_vhost_request request, const void *body, uint32_t size,
		 const int *fds, unsigned fd_count)
{
	uint64_t value = ~0ull;

	vmm_say(vmm, request, GCL_VHOST_NEED_REPLY, body, size, fds, fd_count);
	assert_int_equal(vmm_hear(vmm, request, &value, sizeof value), sizeof value);
	return value;
}

static uint64_t ask(struct vmm *vmm, enum gcl_vhost_request request)
{
	uint64_t value = 0;

	vmm_say(vmm, request, 0, NULL, 0, NULL, 0);
	assert_int_equal(vmm_hear(vmm, request, &value, sizeof value), sizeof value);
	return value;
}

void vmm_share_memory(struct vmm *vmm)
{
	const struct gcl_vhost_memory_table table = {
		.count = 2,
		.regions =
			{
				{0, VMM_RAM_HALF, VMM_USER, 0},
				{VMM_HIGH, VMM_RAM_HALF, VMM_USER + VMM_HIGH, VMM_RAM_HALF},
			},
	};
	const int fds[] = {vmm->ram, vmm->ram};
	uint32_t size = offsetof(struct gcl_vhost_memory_table, regions[2]);

	assert_int_equal(vmm_ack(vmm, GCL_VHOST_SET_MEM_TABLE, &table, size, fds, 2), 0);
}

void vmm_attach(struct vmm *vmm, int socket)
{
	uint64_t features, protocol;

	vmm->socket = socket;
	features = ask(vmm, GCL_VHOST_GET_FEATURES);
	assert_true(features >> GCL_VHOST_F_PROTOCOL_FEATURES & 1);
	protocol = ask(vmm, GCL_VHOST_GET_PROTOCOL_FEATURES);
	vmm_say(vmm, GCL_VHOST_SET_PROTOCOL_FEATURES, 0, &protocol, sizeof protocol, NULL, 0);
	assert_true(ask(vmm, GCL_VHOST_GET_QUEUE_NUM) >= VMM_QUEUES);
	vmm_say(vmm, GCL_VHOST_SET_OWNER, 0, NULL, 0, NULL, 0);
	vmm_say(vmm, GCL_VHOST_SET_FEATURES, 0, &features, sizeof features, NULL, 0);
	vmm_share_memory(vmm);
}

void vmm_start(struct vmm *vmm)
{
	for (uint32_t i = 0; i < VMM_QUEUES; i++) {
		const struct vmm_queue *queue = &vmm->queues[i];
		struct gcl_vhost_vring_state state = {i, VMM_QUEUE_SIZE};
		struct gcl_vhost_vring_address address = {
			.index = i,
			.descriptors = VMM_USER + queue->descriptors,
			.available = VMM_USER + queue->available,
			.used = VMM_USER + queue->used,
		};
		uint64_t index = i;

		vmm_say(vmm, GCL_VHOST_SET_VRING_NUM, 0, &state, sizeof state, NULL, 0);
		state.number = queue->base;
		vmm_say(vmm, GCL_VHOST_SET_VRING_BASE, 0, &state, sizeof state, NULL, 0);
		vmm_say(vmm, GCL_VHOST_SET_VRING_ADDR, 0, &address, sizeof address, NULL, 0);
		vmm_say(vmm, GCL_VHOST_SET_VRING_KICK, 0, &index, sizeof index, &queue->kick, 1);
		vmm_say(vmm, GCL_VHOST_SET_VRING_CALL, 0, &index, sizeof index, &queue->call, 1);
	}
	for (uint32_t i = 0; i < VMM_QUEUES; i++) {
		struct gcl_vhost_vring_state state = {i, 1};

		assert_int_equal(
			vmm_ack(vmm, GCL_VHOST_SET_VRING_ENABLE, &state, sizeof state, NULL, 0), 0);
	}
}

void vmm_stop(struct vmm *vmm)
{
	for (uint32_t i = 0; i < VMM_QUEUES; i++) {
		struct gcl_vhost_vring_state state = {i, 0};

		vmm_say(vmm, GCL_VHOST_SET_VRING_ENABLE, 0, &state, sizeof state, NULL, 0);
	}
	for (uint32_t i = 0; i < VMM_QUEUES; i++) {
		struct gcl_vhost_vring_state state = {i, 0};

		vmm_say(vmm, GCL_VHOST_GET_VRING_BASE, 0, &state, sizeof state, NULL, 0);
		assert_int_equal(vmm_hear(vmm, GCL_VHOST_GET_VRING_BASE, &state, sizeof state),
				 sizeof state);
		vmm->queues[i].base = (uint16_t)state.number;
	}
}

/* ------------------------------------------------------------ queues */

static void available_add(struct vmm *vmm, struct vmm_queue *queue, uint16_t head)
{
	struct vring_avail *available = vmm_at(vmm, queue->available);

	available->ring[queue->next_available++ % VMM_QUEUE_SIZE] = head;
	__atomic_store_n(&available->idx, queue->next_available, __ATOMIC_RELEASE);
	(void)eventfd_write(queue->kick, 1);
}

static void used_collect(struct vmm *vmm, struct vmm_queue *queue)
{
	const struct vring_used *used = vmm_at(vmm, queue->used);

	while (__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) != queue->last_used) {
		struct vring_used_elem element = used->ring[queue->last_used++ % VMM_QUEUE_SIZE];

		assert_true(element.id / 2 < SLOTS && element.id % 2 == 0);
		assert_true(queue->busy >> (element.id / 2) & 1);
		queue->done |= 1u << (element.id / 2);
		queue->lengths[element.id / 2] = element.len;
	}
}

static unsigned slot_take(struct vmm_queue *queue)
{
	unsigned slot = 0;

	while (queue->busy >> slot & 1)
		slot++;
	assert_true(slot < SLOTS);
	queue->busy |= 1u << slot;
	queue->done &= ~(1u << slot);
	return slot;
}

unsigned vmm_post(struct vmm *vmm, const void *out, uint32_t out_size, uint32_t in_size)
{
	struct vmm_queue *queue = &vmm->queues[VIRTIO_CL_QUEUE_CONTROL];
	struct vring_desc *descriptors = vmm_at(vmm, queue->descriptors);
	unsigned slot = slot_take(queue);
	uint16_t head = (uint16_t)(2 * slot);

	assert_true(out_size <= OUT_MAX && in_size <= IN_MAX);
	memcpy(vmm_at(vmm, OUT_BUFFER(0, slot)), out, out_size);
	descriptors[head] = (struct vring_desc){OUT_BUFFER(0, slot), out_size, VRING_DESC_F_NEXT,
						(uint16_t)(head + 1)};
	descriptors[head + 1] =
		(struct vring_desc){IN_BUFFER(0, slot), in_size, VRING_DESC_F_WRITE, 0};
	memset(vmm_at(vmm, IN_BUFFER(0, slot)), 0xee, in_size);
	available_add(vmm, queue, head);
	return slot;
}

bool vmm_done(struct vmm *vmm, unsigned slot, void *in, uint32_t in_size, uint32_t *length)
{
	struct vmm_queue *queue = &vmm->queues[VIRTIO_CL_QUEUE_CONTROL];

	used_collect(vmm, queue);
	if (!(queue->done >> slot & 1))
		return false;
	queue->busy &= ~(1u << slot);
	queue->done &= ~(1u << slot);
	memcpy(in, vmm_at(vmm, IN_BUFFER(0, slot)), in_size);
	*length = queue->lengths[slot];
	return true;
}

uint32_t vmm_finish(struct vmm *vmm, unsigned slot, void *in, uint32_t in_size)
{
	uint32_t length;

	vmm_until(vmm, vmm_done(vmm, slot, in, in_size, &length));
	return length;
}

enum virtio_cl_status vmm_request(struct vmm *vmm, const void *out, uint32_t out_size, void *in,
				  uint32_t in_size)
{
	const struct virtio_cl_response *response = in;
	unsigned slot = vmm_post(vmm, out, out_size, in_size);

	assert_true(vmm_finish(vmm, slot, in, in_size) >= sizeof *response);
	return response->status;
}

void vmm_fill_events(struct vmm *vmm, unsigned count)
{
	struct vmm_queue *queue = &vmm->queues[VIRTIO_CL_QUEUE_EVENT];
	struct vring_desc *descriptors = vmm_at(vmm, queue->descriptors);

	while (count--) {
		unsigned slot = slot_take(queue);

		descriptors[2 * slot] = (struct vring_desc){
			IN_BUFFER(1, slot), sizeof(struct virtio_cl_event), VRING_DESC_F_WRITE, 0};
		available_add(vmm, queue, (uint16_t)(2 * slot));
	}
}

/* Events are taken in the order of the used ring. */
static bool event_take(struct vmm *vmm, struct virtio_cl_event *event)
{
	struct vmm_queue *queue = &vmm->queues[VIRTIO_CL_QUEUE_EVENT];
	const struct vring_used *used = vmm_at(vmm, queue->used);
	struct vring_used_elem element;

	if (__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) == queue->last_used)
		return false;
	element = used->ring[queue->last_used++ % VMM_QUEUE_SIZE];
	assert_true(element.id / 2 < SLOTS && queue->busy >> (element.id / 2) & 1);
	assert_int_equal(element.len, sizeof *event);
	queue->busy &= ~(1u << (element.id / 2));
	memcpy(event, vmm_at(vmm, IN_BUFFER(1, element.id / 2)), sizeof *event);
	return true;
}

struct virtio_cl_event vmm_event(struct vmm *vmm)
{
	struct virtio_cl_event event;

	vmm_until(vmm, event_take(vmm, &event));
	return event;
}

bool vmm_event_come(struct vmm *vmm, struct virtio_cl_event *event, unsigned ms)
{
	int64_t end = vmm_clock_ms() + ms;

	do {
		if (event_take(vmm, event))
			return true;
		vmm->turn(vmm->turn_data);
	} while (vmm_clock_ms() < end);
	return false;
}

void vmm_ring(struct vmm *vmm, unsigned queue)
{
	assert_int_equal(eventfd_write(vmm->queues[queue].kick, 1), 0);
}

/* ------------------------------------------------------------ the driver's requests */

uint32_t vmm_hello(struct vmm *vmm, uint64_t instance)
{
	struct virtio_cl_hello hello = {{VIRTIO_CL_HELLO, 0}, instance};
	struct virtio_cl_hello_response response;

	assert_int_equal(vmm_request(vmm, &hello, sizeof hello, &response, sizeof response),
			 VIRTIO_CL_OK);
	return response.epoch;
}

enum virtio_cl_status vmm_ping(struct vmm *vmm)
{
	const struct virtio_cl_request request = {VIRTIO_CL_PING, 0};
	struct virtio_cl_response response;

	return vmm_request(vmm, &request, sizeof request, &response, sizeof response);
}

void vmm_open_fill(struct vmm_open *request, uint64_t address)
{
	struct virtio_cl_open *open = vmm_open_of(request);

	*open = (struct virtio_cl_open){
		.head = {VIRTIO_CL_SESSION_OPEN, 0},
		.protocol = GCL_HELLO_VERSION,
		.commands_size = 131072,
		.completions_size = 131072,
		.pid = 77,
		.uid = 1000,
		.segment_count = 1,
		.heap_size = 64 * VIRTIO_CL_CHUNK,
		.program = "vmm",
	};
	open->segments[0] = (struct virtio_cl_segment){address, VMM_RINGS_SIZE};
}

enum virtio_cl_status vmm_open(struct vmm *vmm, uint64_t address,
			       struct virtio_cl_open_response *response)
{
	struct vmm_open request;

	vmm_open_fill(&request, address);
	return vmm_request(vmm, &request, sizeof request, response, sizeof *response);
}

enum virtio_cl_status vmm_close(struct vmm *vmm, uint32_t session)
{
	struct virtio_cl_request request = {VIRTIO_CL_SESSION_CLOSE, session};
	struct virtio_cl_response response;

	return vmm_request(vmm, &request, sizeof request, &response, sizeof response);
}

void vmm_add_fill(struct vmm_memory *request, uint32_t session, uint64_t offset, uint64_t address,
		  uint64_t length)
{
	struct virtio_cl_memory *memory = vmm_memory_of(request);

	*memory = (struct virtio_cl_memory){
		.head = {VIRTIO_CL_MEMORY_ADD, session},
		.offset = offset,
		.length = length,
		.segment_count = 1,
	};
	memory->segments[0] = (struct virtio_cl_segment){address, length};
}

enum virtio_cl_status vmm_add(struct vmm *vmm, uint32_t session, uint64_t offset, uint64_t address,
			      uint64_t length)
{
	struct vmm_memory request;
	struct virtio_cl_response response;

	vmm_add_fill(&request, session, offset, address, length);
	return vmm_request(vmm, &request, VMM_MEMORY_SIZE, &response, sizeof response);
}

enum virtio_cl_status vmm_remove(struct vmm *vmm, uint32_t session, uint64_t offset,
				 uint64_t length)
{
	struct virtio_cl_memory request = {
		.head = {VIRTIO_CL_MEMORY_REMOVE, session}, .offset = offset, .length = length};
	struct virtio_cl_response response;

	return vmm_request(vmm, &request, sizeof request, &response, sizeof response);
}
