// SPDX-License-Identifier: MIT
/*
 * Fuzzes what a guest puts into its queues: descriptors, requests, and what becomes of sessions
 * meanwhile.
 *
 * An input is a list of steps of one byte each, ended by 0xff or its first CONTROL_FUZZ_STEPS
 * bytes, and then the beginning of the guest's memory. The queues lie where the enum says.
 */
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "device-stub.h"

#define RAM		   (1u << 20)
#define USER		   0x100000000ull
#define QUEUE_SIZE	   16u
#define CONTROL_FUZZ_STEPS 64u

enum {
	DESCRIPTORS = 0,   /* of the control queue, 256 bytes */
	AVAILABLE = 0x100, /* its index says how many requests there are at first */
	USED = 0x140,
	EVENT_DESCRIPTORS = 0x200,
	EVENT_AVAILABLE = 0x300,
	EVENT_USED = 0x340,
	DOOR = 0x400, /* a queue of one descriptor for each doorbell */
};

enum {
	STEP_KICK_CONTROL = STUB_STEPS,
	STEP_KICK_EVENT,
	STEP_MORE,	  /* one more request is available */
	STEP_MORE_EVENTS, /* one more event buffer */
	STEP_PAUSE,	  /* the queues stop and go on */
	STEP_REBOOT,	  /* they stop, and begin anew */
	STEP_STOP_EVENTS, /* only the event queue does */
	STEP_HANG_UP,	  /* the VMM goes and comes */
	STEPS
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int ram = -1;
static uint8_t *memory;

static void ram_init(const uint8_t *data, size_t size)
{
	if (ram < 0) {
		ram = memfd_create("fuzz", MFD_CLOEXEC);
		(void)!ftruncate(ram, RAM);
		memory = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, ram, 0);
	}
	memset(memory, 0, RAM);
	memcpy(memory, data, GCL_MIN(size, RAM));
}

static void queue_start(struct gcl_backend *backend, unsigned index, uint16_t base)
{
	static const struct gcl_queue_place places[] = {
		{QUEUE_SIZE, USER + DESCRIPTORS, USER + AVAILABLE, USER + USED},
		{QUEUE_SIZE, USER + EVENT_DESCRIPTORS, USER + EVENT_AVAILABLE, USER + EVENT_USED},
		{1, USER + DOOR, USER + DOOR + 32, USER + DOOR + 64},
	};
	struct gcl_queue *queue = &backend->queues[index];

	queue->place = places[GCL_MIN(index, 2u)];
	queue->next_available = base;
	queue->enabled = true;
	if (queue->kick < 0)
		queue->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (gcl_queue_start(queue) == 0)
		backend->ops->started(backend, index);
}

static void queue_stop(struct gcl_backend *backend, unsigned index)
{
	struct gcl_queue *queue = &backend->queues[index];

	if (!queue->running)
		return;
	gcl_queue_stop(queue);
	backend->ops->stopped(backend, index);
}

static void connect(struct device_stub *stub)
{
	const struct gcl_vhost_region place = {0, RAM, USER, 0};
	struct gcl_backend *backend = &stub->device.backend;
	char reason[128];

	gcl_device_connected(&stub->device, -1, 1);
	(void)gcl_guest_memory_add(&backend->memory, &place, dup(ram), reason, sizeof reason);
	for (unsigned i = 0; i < 4; i++)
		queue_start(backend, i, 0);
}

static void more(uint32_t available)
{
	uint16_t index;

	memcpy(&index, memory + available + 2, sizeof index);
	index++;
	memcpy(memory + available + 2, &index, sizeof index);
}

static void all_stop(struct gcl_backend *backend)
{
	for (unsigned i = 0; i < 4; i++)
		queue_stop(backend, i);
}

static void pause_or_go_on(struct gcl_backend *backend)
{
	if (backend->queues[0].running) {
		all_stop(backend);
		return;
	}
	for (unsigned i = 0; i < 4; i++)
		queue_start(backend, i, backend->queues[i].next_available);
}

static void reboot(struct gcl_backend *backend)
{
	all_stop(backend);
	memset(memory + USED, 0, 0x40);
	for (unsigned i = 0; i < 4; i++)
		queue_start(backend, i, 0);
}

static void step(struct device_stub *stub, unsigned which)
{
	struct gcl_backend *backend = &stub->device.backend;

	switch (which % STEPS) {
	case STEP_KICK_CONTROL:
	case STEP_KICK_EVENT:
		gcl_device_kicked(&stub->device, which % STEPS - STEP_KICK_CONTROL);
		break;
	case STEP_MORE:
		more(AVAILABLE);
		break;
	case STEP_MORE_EVENTS:
		more(EVENT_AVAILABLE);
		break;
	case STEP_PAUSE:
		pause_or_go_on(backend);
		break;
	case STEP_REBOOT:
		reboot(backend);
		break;
	case STEP_STOP_EVENTS:
		queue_stop(backend, 1);
		queue_start(backend, 1, backend->queues[1].next_available);
		break;
	case STEP_HANG_UP:
		gcl_device_disconnected(&stub->device);
		connect(stub);
		break;
	default:
		device_stub_step(stub, which % STEPS);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct device_stub stub;
	size_t steps = 0, skip;

	while (steps < size && steps < CONTROL_FUZZ_STEPS && data[steps] != 0xff)
		steps++;
	skip = steps + (steps < size && data[steps] == 0xff);
	ram_init(data + skip, size - skip);
	device_stub_init(&stub);
	connect(&stub);
	for (size_t i = 0; i < steps; i++)
		step(&stub, data[i]);
	device_stub_fini(&stub);
	return 0;
}
