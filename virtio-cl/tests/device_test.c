// SPDX-License-Identifier: MIT
/*
 * The virtio-cl device: requests, sessions, memory, events, pauses.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "device-twin.h"
#include "test.h"

#define CHUNK VIRTIO_CL_CHUNK

static struct twin twin_now;

static int teardown(void **state)
{
	(void)state;
	twin_fini(&twin_now);
	return 0;
}

/* Opens a session that must be let in. */
static uint32_t session_open(struct twin *twin)
{
	struct virtio_cl_open_response response;

	assert_int_equal(vmm_open(&twin->vmm, VMM_FREE, &response), VIRTIO_CL_OK);
	assert_true(response.session != 0);
	assert_in_range(response.doorbell, VIRTIO_CL_QUEUE_DOORBELL, VMM_QUEUES - 1);
	return response.session;
}

static void test_before_hello(void **state)
{
	struct twin *twin = &twin_now;
	struct virtio_cl_open_response response;

	(void)state;
	twin_init(twin);
	twin_connect(twin);
	assert_int_equal(vmm_ping(&twin->vmm), VIRTIO_CL_ERR_NO_SESSION);
	assert_int_equal(vmm_open(&twin->vmm, VMM_FREE, &response), VIRTIO_CL_ERR_BUSY);
	assert_string_equal(response.text, "guestcld has restarted: try again");
	assert_int_equal(vmm_close(&twin->vmm, 1), VIRTIO_CL_OK);
	assert_int_equal(vmm_add(&twin->vmm, 1, 0, VMM_FREE, CHUNK), VIRTIO_CL_ERR_NO_SESSION);
	assert_int_equal(vmm_hello(&twin->vmm, 1), twin->device.epoch);
	assert_int_equal(vmm_ping(&twin->vmm), VIRTIO_CL_OK);
	assert_int_equal(vmm_open(&twin->vmm, VMM_FREE, &response), VIRTIO_CL_OK);
}

static void test_open_and_close(void **state)
{
	struct twin *twin = &twin_now;
	uint32_t ids[2];

	(void)state;
	twin_ready(twin);
	ids[0] = session_open(twin);
	assert_int_equal(twin->last.op, GCL_LINK_MAP_RINGS);
	assert_int_equal(twin->last.length, VMM_RINGS_SIZE);
	assert_int_equal(twin->last.first.offset, VMM_FREE);
	assert_int_equal(twin->last.first.length, VMM_RINGS_SIZE);
	ids[1] = session_open(twin);
	assert_int_not_equal(ids[0], ids[1]);
	assert_int_equal(vmm_close(&twin->vmm, ids[0]), VIRTIO_CL_OK);
	assert_null(twin_session(twin, ids[0]));
	assert_int_equal(vmm_close(&twin->vmm, ids[0]), VIRTIO_CL_OK);
	assert_int_equal(vmm_close(&twin->vmm, ids[1]), VIRTIO_CL_OK);
	assert_int_equal(twin_count(twin), 0);
}

/* A close is answered when the worker has ended, and not before; other requests are, meanwhile. */
static void test_close_waits(void **state)
{
	struct twin *twin = &twin_now;
	struct virtio_cl_request request = {VIRTIO_CL_SESSION_CLOSE, 0};
	struct virtio_cl_response response;
	uint32_t length;
	unsigned slot;

	(void)state;
	twin_ready(twin);
	request.session = session_open(twin);
	twin->undying = true;
	slot = vmm_post(&twin->vmm, &request, sizeof request, sizeof response);
	assert_int_equal(vmm_ping(&twin->vmm), VIRTIO_CL_OK);
	assert_false(vmm_done(&twin->vmm, slot, &response, sizeof response, &length));
	assert_int_equal(vmm_close(&twin->vmm, request.session), VIRTIO_CL_ERR_INVALID);
	twin->undying = false;
	assert_int_equal(vmm_finish(&twin->vmm, slot, &response, sizeof response), sizeof response);
	assert_int_equal(response.status, VIRTIO_CL_OK);
}

static void test_refused(void **state)
{
	struct twin *twin = &twin_now;
	struct virtio_cl_open_response response;

	(void)state;
	twin_ready(twin);
	twin->refusal = "no worker today";
	assert_int_equal(vmm_open(&twin->vmm, VMM_FREE, &response), VIRTIO_CL_ERR_BUSY);
	assert_string_equal(response.text, "no worker today");
	twin->refusal = NULL;
	twin->device.backend.memory.regions[0].huge = true;
	assert_int_equal(vmm_open(&twin->vmm, VMM_FREE, &response), VIRTIO_CL_ERR_INVALID);
	assert_non_null(strstr(response.text, "huge pages"));
	twin->device.backend.memory.regions[0].huge = false;
	twin->answer = -ENOMEM;
	assert_int_equal(vmm_open(&twin->vmm, VMM_FREE, &response), VIRTIO_CL_ERR_NO_MEMORY);
	vmm_until(&twin->vmm, twin_count(twin) == 0);
	twin->answer = 0;
	for (unsigned i = 0; i < TWIN_SESSIONS_MAX; i++)
		session_open(twin);
	assert_int_equal(vmm_open(&twin->vmm, VMM_FREE, &response), VIRTIO_CL_ERR_BUSY);
	assert_non_null(strstr(response.text, "this VM has 3 sessions already"));
}

static void test_open_invalid(void **state)
{
	struct twin *twin = &twin_now;
	struct virtio_cl_open_response response;
	struct vmm_open good, bad[9];

	(void)state;
	vmm_open_fill(&good, VMM_FREE);
	twin_ready(twin);
	for (size_t i = 0; i < GCL_ARRAY_SIZE(bad); i++)
		bad[i] = good;
	vmm_open_of(&bad[0])->commands_size = 131072 + 4096;
	vmm_open_of(&bad[1])->completions_size = 1u << 31;
	vmm_open_of(&bad[2])->heap_size = 0;
	vmm_open_of(&bad[3])->heap_size = VIRTIO_CL_HEAP_MAX + CHUNK;
	vmm_open_of(&bad[4])->heap_size = CHUNK + 1;
	vmm_open_of(&bad[5])->segments[0].length -= VIRTIO_CL_PAGE;
	vmm_open_of(&bad[6])->segments[0].address = 2ull * VMM_RAM_HALF;
	vmm_open_of(&bad[7])->segments[0].address = ~0ull - 4095;
	vmm_open_of(&bad[8])->segments[0].address += 1;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(bad); i++) {
		if (vmm_request(&twin->vmm, &bad[i], sizeof bad[i], &response, sizeof response) !=
		    VIRTIO_CL_ERR_INVALID)
			fail_msg("case %zu was taken", i);
	}
	vmm_open_of(&good)->protocol = 99;
	assert_int_equal(vmm_request(&twin->vmm, &good, sizeof good, &response, sizeof response),
			 VIRTIO_CL_ERR_VERSION);
	assert_non_null(strstr(response.text, "version 99"));
	vmm_open_of(&good)->protocol = GCL_HELLO_VERSION;
	vmm_open_of(&good)->segment_count = 2;
	assert_int_equal(vmm_request(&twin->vmm, &good, sizeof good, &response, sizeof response),
			 VIRTIO_CL_ERR_INVALID);
	assert_int_equal(twin_count(twin), 0);
}

static void test_requests_invalid(void **state)
{
	struct twin *twin = &twin_now;
	struct {
		struct virtio_cl_request head;
		uint8_t rest[20000];
	} request = {{0, 0}, {0}};
	struct virtio_cl_response response;
	struct virtio_cl_hello hello = {{VIRTIO_CL_HELLO, 0}, 0};

	(void)state;
	twin_ready(twin);
	assert_int_equal(vmm_request(&twin->vmm, &request, 8, &response, 8),
			 VIRTIO_CL_ERR_UNSUPPORTED);
	request.head.type = 99;
	assert_int_equal(vmm_request(&twin->vmm, &request, 8, &response, 8),
			 VIRTIO_CL_ERR_UNSUPPORTED);
	for (uint32_t type = VIRTIO_CL_HELLO; type <= VIRTIO_CL_MEMORY_REMOVE; type++) {
		request.head.type = type;
		assert_int_equal(vmm_request(&twin->vmm, &request, 7, &response, 8),
				 VIRTIO_CL_ERR_INVALID);
		assert_int_equal(vmm_request(&twin->vmm, &request, 20000, &response, 8),
				 VIRTIO_CL_ERR_INVALID);
	}
	assert_int_equal(vmm_request(&twin->vmm, &hello, sizeof hello, &response, 8),
			 VIRTIO_CL_ERR_INVALID);
	/* No room for an answer: the request comes back all the same. */
	request.head.type = VIRTIO_CL_PING;
	assert_int_equal(vmm_finish(&twin->vmm, vmm_post(&twin->vmm, &request, 8, 1), &response, 1),
			 1);
	assert_int_equal(vmm_ping(&twin->vmm), VIRTIO_CL_OK);
}

static void test_memory(void **state)
{
	struct twin *twin = &twin_now;
	struct vmm *vmm = &twin->vmm;
	struct vmm_memory two;
	struct virtio_cl_response response;
	uint32_t id;

	(void)state;
	vmm_add_fill(&two, 0, 8 * CHUNK, VMM_RAM_HALF - VIRTIO_CL_PAGE, CHUNK);
	twin_ready(twin);
	id = session_open(twin);
	assert_int_equal(vmm_add(vmm, id, 2 * CHUNK, VMM_FREE, 2 * CHUNK), VIRTIO_CL_OK);
	assert_int_equal(twin->last.op, GCL_LINK_MAP);
	assert_int_equal(twin->last.offset, 2 * CHUNK);
	assert_int_equal(twin->last.length, 2 * CHUNK);
	assert_int_equal(twin->last.first.offset, VMM_FREE);
	/* In the upper region: another offset in the file. */
	assert_int_equal(vmm_add(vmm, id, 0, VMM_HIGH + CHUNK, CHUNK), VIRTIO_CL_OK);
	assert_int_equal(twin->last.first.offset, VMM_RAM_HALF + CHUNK);
	/* Two segments that go on in both the guest's memory and the file become one. */
	vmm_memory_of(&two)->head.session = id;
	vmm_memory_of(&two)->segment_count = 2;
	vmm_memory_of(&two)->segments[0].address = VMM_FREE;
	vmm_memory_of(&two)->segments[0].length = VIRTIO_CL_PAGE;
	vmm_memory_of(&two)->segments[1].address = VMM_FREE + VIRTIO_CL_PAGE;
	vmm_memory_of(&two)->segments[1].length = CHUNK - VIRTIO_CL_PAGE;
	assert_int_equal(vmm_request(vmm, &two, sizeof two, &response, sizeof response),
			 VIRTIO_CL_OK);
	assert_int_equal(twin->last.segment_count, 1);
	assert_int_equal(twin->last.first.length, CHUNK);

	assert_int_equal(vmm_add(vmm, id, 3 * CHUNK, VMM_FREE, CHUNK), VIRTIO_CL_ERR_INVALID);
	assert_int_equal(vmm_remove(vmm, id, CHUNK, CHUNK), VIRTIO_CL_ERR_INVALID);
	assert_int_equal(vmm_remove(vmm, id, 3 * CHUNK, CHUNK), VIRTIO_CL_OK);
	assert_int_equal(twin->last.op, GCL_LINK_UNMAP);
	assert_int_equal(vmm_add(vmm, id, 3 * CHUNK, VMM_FREE, CHUNK), VIRTIO_CL_OK);
	assert_int_equal(vmm_remove(vmm, id, 2 * CHUNK, 2 * CHUNK), VIRTIO_CL_OK);
	assert_int_equal(vmm_add(vmm, id + 1, 0, VMM_FREE, CHUNK), VIRTIO_CL_ERR_NO_SESSION);
	assert_int_equal(vmm_add(vmm, id, 64 * CHUNK, VMM_FREE, CHUNK), VIRTIO_CL_ERR_INVALID);
	assert_int_equal(vmm_add(vmm, id, 63 * CHUNK, VMM_FREE, CHUNK), VIRTIO_CL_OK);
	assert_int_equal(vmm_add(vmm, id, 4096, VMM_FREE, CHUNK), VIRTIO_CL_ERR_INVALID);
	assert_int_equal(vmm_add(vmm, id, 9 * CHUNK, VMM_FREE, 4096), VIRTIO_CL_ERR_INVALID);
	assert_int_equal(vmm_add(vmm, id, 9 * CHUNK, VMM_RAM_HALF - 4096, CHUNK),
			 VIRTIO_CL_ERR_INVALID);
}

static void test_windows(void **state)
{
	const uint64_t base = VIRTIO_CL_WINDOW_BASE, size = VIRTIO_CL_WINDOW_SIZE;
	struct twin *twin = &twin_now;
	struct vmm *vmm = &twin->vmm;
	uint32_t id;

	(void)state;
	twin_ready(twin);
	id = session_open(twin);
	assert_int_equal(vmm_add(vmm, id, base + 4096, VMM_FREE, 8192), VIRTIO_CL_ERR_INVALID);
	assert_int_equal(vmm_add(vmm, id, base, VMM_FREE, 8192), VIRTIO_CL_OK);
	assert_int_equal(vmm_add(vmm, id, base, VMM_FREE, 4096), VIRTIO_CL_ERR_INVALID);
	assert_int_equal(vmm_add(vmm, id, base + 12288, VMM_FREE, 4096), VIRTIO_CL_ERR_INVALID);
	/* A window is filled in as many steps as it takes. */
	assert_int_equal(vmm_add(vmm, id, base + 8192, VMM_FREE, 4096), VIRTIO_CL_OK);
	assert_int_equal(vmm_remove(vmm, id, base, 8192), VIRTIO_CL_ERR_INVALID);
	assert_int_equal(vmm_remove(vmm, id, base + 4096, 8192), VIRTIO_CL_ERR_INVALID);
	assert_int_equal(vmm_remove(vmm, id, base, 12288), VIRTIO_CL_OK);
	assert_int_equal(vmm_remove(vmm, id, base, 12288), VIRTIO_CL_ERR_INVALID);
	assert_int_equal(vmm_add(vmm, id, base, VMM_FREE, 8191), VIRTIO_CL_ERR_INVALID);
	assert_int_equal(vmm_add(vmm, id, VIRTIO_CL_SPACE_END - size, VMM_FREE, 4096),
			 VIRTIO_CL_OK);
	assert_int_equal(vmm_add(vmm, id, VIRTIO_CL_SPACE_END, VMM_FREE, 4096),
			 VIRTIO_CL_ERR_INVALID);
	/* What did not become memory leaves nothing behind. */
	twin->answer = -ENOMEM;
	assert_int_equal(vmm_add(vmm, id, base, VMM_FREE, 4096), VIRTIO_CL_ERR_NO_MEMORY);
	assert_int_equal(vmm_add(vmm, id, 0, VMM_FREE, CHUNK), VIRTIO_CL_ERR_NO_MEMORY);
	twin->answer = 0;
	assert_int_equal(vmm_add(vmm, id, base, VMM_FREE, 4096), VIRTIO_CL_OK);
	assert_int_equal(vmm_add(vmm, id, 0, VMM_FREE, CHUNK), VIRTIO_CL_OK);
}

/* The guest gets memory back that its worker won't let go of when that has ended. */
static void test_remove_fails(void **state)
{
	struct twin *twin = &twin_now;
	struct virtio_cl_memory request = {{VIRTIO_CL_MEMORY_REMOVE, 0}, 0, CHUNK, 0, 0};
	struct virtio_cl_response response;
	struct virtio_cl_event event;
	uint32_t length;
	unsigned slot;

	(void)state;
	twin_ready(twin);
	request.head.session = session_open(twin);
	assert_int_equal(vmm_add(&twin->vmm, request.head.session, 0, VMM_FREE, CHUNK),
			 VIRTIO_CL_OK);
	twin->answer = -ENOMEM;
	twin->undying = true;
	slot = vmm_post(&twin->vmm, &request, sizeof request, sizeof response);
	vmm_until(&twin->vmm, twin_session(twin, request.head.session)->killed);
	assert_int_equal(vmm_ping(&twin->vmm), VIRTIO_CL_OK);
	assert_false(vmm_done(&twin->vmm, slot, &response, sizeof response, &length));
	twin->undying = false;
	vmm_finish(&twin->vmm, slot, &response, sizeof response);
	assert_int_equal(response.status, VIRTIO_CL_ERR_NO_SESSION);
	event = vmm_event(&twin->vmm);
	assert_int_equal(event.type, VIRTIO_CL_EVENT_SESSION_ENDED);
	assert_int_equal(event.session, request.head.session);
}

static void test_worker_dies(void **state)
{
	struct twin *twin = &twin_now;
	struct vmm_memory request;
	struct virtio_cl_response response;
	struct virtio_cl_event event;
	unsigned slots[2];

	(void)state;
	vmm_add_fill(&request, 0, 0, VMM_FREE, CHUNK);
	twin_ready(twin);
	vmm_memory_of(&request)->head.session = session_open(twin);
	twin->silent = true;
	for (int i = 0; i < 2; i++) {
		vmm_memory_of(&request)->offset = (uint64_t)i * CHUNK;
		slots[i] = vmm_post(&twin->vmm, &request, VMM_MEMORY_SIZE, sizeof response);
	}
	vmm_until(&twin->vmm, twin->sent == 3);
	twin_worker_dies(twin, vmm_memory_of(&request)->head.session);
	for (int i = 0; i < 2; i++) {
		vmm_finish(&twin->vmm, slots[i], &response, sizeof response);
		assert_int_equal(response.status, VIRTIO_CL_ERR_NO_SESSION);
	}
	event = vmm_event(&twin->vmm);
	assert_int_equal(event.type, VIRTIO_CL_EVENT_SESSION_ENDED);
	assert_int_equal(event.session, vmm_memory_of(&request)->head.session);
	assert_int_equal(vmm_add(&twin->vmm, event.session, 0, VMM_FREE, CHUNK),
			 VIRTIO_CL_ERR_NO_SESSION);
	assert_int_equal(vmm_close(&twin->vmm, event.session), VIRTIO_CL_OK);
	assert_int_equal(twin_count(twin), 0);
}

static void test_worker_dies_early(void **state)
{
	struct twin *twin = &twin_now;
	struct vmm_open request;
	struct virtio_cl_open_response response;
	unsigned slot;

	(void)state;
	vmm_open_fill(&request, VMM_FREE);
	twin_ready(twin);
	twin->silent = true;
	slot = vmm_post(&twin->vmm, &request, sizeof request, sizeof response);
	vmm_until(&twin->vmm, twin->sent == 1);
	twin_worker_dies(twin, twin->device.last_id);
	vmm_finish(&twin->vmm, slot, &response, sizeof response);
	assert_int_equal(response.head.status, VIRTIO_CL_ERR_FAILED);
	assert_non_null(strstr(response.text, "the worker ended while the session began"));
	assert_int_equal(twin_count(twin), 0);
}

/* Requests that the link has no room for wait, in order. */
static void test_link_full(void **state)
{
	struct twin *twin = &twin_now;
	struct vmm_memory request;
	struct virtio_cl_response response;
	unsigned slots[3];
	uint32_t id;

	(void)state;
	vmm_add_fill(&request, 0, 0, VMM_FREE, CHUNK);
	twin_ready(twin);
	id = vmm_memory_of(&request)->head.session = session_open(twin);
	twin->choked = true;
	for (int i = 0; i < 3; i++) {
		vmm_memory_of(&request)->offset = (uint64_t)i * CHUNK;
		slots[i] = vmm_post(&twin->vmm, &request, VMM_MEMORY_SIZE, sizeof response);
	}
	assert_int_equal(vmm_ping(&twin->vmm), VIRTIO_CL_OK);
	assert_int_equal(twin->sent, 1);
	twin->choked = false;
	gcl_device_link_writable(&twin_session(twin, id)->session);
	assert_int_equal(twin->sent, 4);
	assert_int_equal(twin->last.offset, 2 * CHUNK);
	for (int i = 0; i < 3; i++) {
		vmm_finish(&twin->vmm, slots[i], &response, sizeof response);
		assert_int_equal(response.status, VIRTIO_CL_OK);
	}
}

static void test_wakes(void **state)
{
	struct twin *twin = &twin_now;
	struct virtio_cl_event event;
	uint32_t one, two;
	eventfd_t calls;

	(void)state;
	twin_ready(twin);
	one = session_open(twin);
	two = session_open(twin);
	(void)eventfd_read(twin->vmm.queues[1].call, &calls);
	/* Three buffers are left; what is sent at once is one event each. */
	gcl_device_wake(&twin_session(twin, one)->session);
	event = vmm_event(&twin->vmm);
	assert_int_equal(event.type, VIRTIO_CL_EVENT_WAKE);
	assert_int_equal(event.session, one);
	assert_int_equal(eventfd_read(twin->vmm.queues[1].call, &calls), 0);
	gcl_device_wake(&twin_session(twin, two)->session);
	gcl_device_wake(&twin_session(twin, two)->session);
	/* Now there is none: many wakes become one. */
	for (int i = 0; i < 5; i++) {
		gcl_device_wake(&twin_session(twin, one)->session);
		gcl_device_wake(&twin_session(twin, two)->session);
	}
	assert_int_equal(vmm_event(&twin->vmm).session, two);
	assert_int_equal(vmm_event(&twin->vmm).session, two);
	assert_false(vmm_event_come(&twin->vmm, &event, 5));
	vmm_fill_events(&twin->vmm, 4);
	assert_int_equal(vmm_event(&twin->vmm).session, one);
	assert_int_equal(vmm_event(&twin->vmm).session, two);
	assert_false(vmm_event_come(&twin->vmm, &event, 5));
	/* One that was closed is not spoken of. */
	vmm_event_come(&twin->vmm, &event, 0);
	assert_int_equal(vmm_close(&twin->vmm, one), VIRTIO_CL_OK);
	assert_false(vmm_event_come(&twin->vmm, &event, 5));
}

/* QMP stop and cont: everything goes on. */
static void test_pause(void **state)
{
	struct twin *twin = &twin_now;
	struct vmm_open request;
	struct virtio_cl_open_response response;
	uint32_t id, epoch = 0;
	eventfd_t rung;
	unsigned slot;

	(void)state;
	vmm_open_fill(&request, VMM_FREE);
	twin_ready(twin);
	epoch = twin->device.epoch;
	id = session_open(twin);
	/* One more is on its way, and its worker comes while the VM is paused. */
	twin->busy = true;
	slot = vmm_post(&twin->vmm, &request, sizeof request, sizeof response);
	assert_int_equal(vmm_ping(&twin->vmm), VIRTIO_CL_OK);
	vmm_stop(&twin->vmm);
	assert_true(twin_session(twin, id)->paused);
	twin->busy = false;
	for (int i = 0; i < 10; i++)
		twin->vmm.turn(twin->vmm.turn_data);
	gcl_device_wake(&twin_session(twin, id)->session);
	assert_int_equal(twin->sent, 1);
	while (eventfd_read(twin->vmm.queues[2].call, &rung) == 0)
		;
	(void)eventfd_read(twin->vmm.queues[2].kick, &rung);
	vmm_start(&twin->vmm);
	assert_false(twin_session(twin, id)->paused);
	assert_int_equal(eventfd_read(twin->vmm.queues[2].kick, &rung), 0);
	vmm_finish(&twin->vmm, slot, &response, sizeof response);
	assert_int_equal(response.head.status, VIRTIO_CL_OK);
	assert_int_equal(vmm_event(&twin->vmm).type, VIRTIO_CL_EVENT_WAKE);
	/* The doorbell may be another descriptor now. */
	vmm_until(&twin->vmm, twin->doors >= 2);
	assert_int_equal(vmm_ping(&twin->vmm), VIRTIO_CL_OK);
	assert_int_equal(twin->device.epoch, epoch);
	assert_int_equal(vmm_close(&twin->vmm, id), VIRTIO_CL_OK);
}

/* An answer that comes while the queue is stopped is given when it goes on. */
static void test_answer_while_paused(void **state)
{
	struct twin *twin = &twin_now;
	struct virtio_cl_request request = {VIRTIO_CL_SESSION_CLOSE, 0};
	struct virtio_cl_response response;
	uint32_t length;
	unsigned slot;

	(void)state;
	twin_ready(twin);
	request.session = session_open(twin);
	twin->undying = true;
	slot = vmm_post(&twin->vmm, &request, sizeof request, sizeof response);
	assert_int_equal(vmm_ping(&twin->vmm), VIRTIO_CL_OK);
	twin->undying = false;
	twin_session(twin, request.session)->served = true;
	vmm_stop(&twin->vmm);
	vmm_until(&twin->vmm, twin_count(twin) == 0);
	assert_false(vmm_done(&twin->vmm, slot, &response, sizeof response, &length));
	vmm_start(&twin->vmm);
	vmm_finish(&twin->vmm, slot, &response, sizeof response);
	assert_int_equal(response.status, VIRTIO_CL_OK);
}

/* The queues are new, the driver is the same: the guest was suspended. */
static void test_suspend(void **state)
{
	struct twin *twin = &twin_now;
	struct virtio_cl_event event;
	uint32_t id;

	(void)state;
	twin_ready(twin);
	id = session_open(twin);
	vmm_stop(&twin->vmm);
	vmm_reboot(&twin->vmm);
	vmm_start(&twin->vmm);
	vmm_fill_events(&twin->vmm, 4);
	assert_false(vmm_event_come(&twin->vmm, &event, 5));
	assert_true(twin_session(twin, id)->paused);
	assert_int_equal(vmm_hello(&twin->vmm, 7), twin->device.epoch);
	assert_false(twin_session(twin, id)->paused);
	/* It may have lost an event. */
	event = vmm_event(&twin->vmm);
	assert_int_equal(event.type, VIRTIO_CL_EVENT_WAKE);
	assert_int_equal(event.session, id);
	assert_int_equal(vmm_add(&twin->vmm, id, 0, VMM_FREE, CHUNK), VIRTIO_CL_OK);
}

/* The queues are new and so is the driver: the sessions are nobody's. */
static void test_reboot(void **state)
{
	const struct virtio_cl_hello hello = {{VIRTIO_CL_HELLO, 0}, 8};
	struct twin *twin = &twin_now;
	struct virtio_cl_hello_response response;
	struct vmm_memory request;
	struct virtio_cl_event event;
	uint32_t id, length;
	unsigned slot;

	(void)state;
	vmm_add_fill(&request, 0, 0, VMM_FREE, CHUNK);
	twin_ready(twin);
	id = vmm_memory_of(&request)->head.session = session_open(twin);
	/* Requests that the old driver waits for are not answered to the new one. */
	twin->silent = true;
	vmm_post(&twin->vmm, &request, VMM_MEMORY_SIZE, 8);
	vmm_until(&twin->vmm, twin->sent == 2);
	vmm_stop(&twin->vmm);
	vmm_reboot(&twin->vmm);
	vmm_start(&twin->vmm);
	vmm_fill_events(&twin->vmm, 4);
	assert_true(twin_session(twin, id)->paused);
	assert_false(twin_session(twin, id)->killed);
	assert_int_equal(vmm_ping(&twin->vmm), VIRTIO_CL_ERR_NO_SESSION);
	twin->undying = true;
	slot = vmm_post(&twin->vmm, &hello, sizeof hello, sizeof response);
	assert_int_equal(vmm_ping(&twin->vmm), VIRTIO_CL_ERR_NO_SESSION);
	assert_true(twin_session(twin, id)->killed);
	assert_int_equal(vmm_close(&twin->vmm, id), VIRTIO_CL_OK);
	/* It is answered when nothing uses the memory of old any more. */
	assert_false(vmm_done(&twin->vmm, slot, &response, sizeof response, &length));
	twin->undying = false;
	twin->silent = false;
	vmm_finish(&twin->vmm, slot, &response, sizeof response);
	assert_int_equal(response.head.status, VIRTIO_CL_OK);
	assert_int_equal(response.epoch, twin->device.epoch);
	assert_int_equal(twin_count(twin), 0);
	assert_false(vmm_event_come(&twin->vmm, &event, 5));
	session_open(twin);
}

/* Where the queue stopped at 0 the first request tells whether it is the same one. */
static void test_stopped_at_zero(void **state)
{
	struct twin *twin = &twin_now;
	uint32_t id;

	(void)state;
	twin_ready(twin);
	id = session_open(twin);
	while (twin->vmm.queues[0].next_available != 0)
		vmm_ping(&twin->vmm);
	vmm_stop(&twin->vmm);
	assert_int_equal(twin->vmm.queues[0].base, 0);
	vmm_start(&twin->vmm);
	assert_true(twin_session(twin, id)->paused);
	assert_int_equal(vmm_ping(&twin->vmm), VIRTIO_CL_OK);
	assert_false(twin_session(twin, id)->paused);
	while (twin->vmm.queues[0].next_available != 0)
		vmm_ping(&twin->vmm);
	vmm_stop(&twin->vmm);
	vmm_reboot(&twin->vmm);
	vmm_start(&twin->vmm);
	vmm_hello(&twin->vmm, 9);
	vmm_until(&twin->vmm, twin_count(twin) == 0);
}

static void test_stubborn_worker(void **state)
{
	struct twin *twin = &twin_now;
	struct gcl_vhost_vring_state vring = {0, 0};
	uint32_t id;

	(void)state;
	twin_ready(twin);
	id = session_open(twin);
	twin->stubborn = true;
	vmm_say(&twin->vmm, GCL_VHOST_GET_VRING_BASE, 0, &vring, sizeof vring, NULL, 0);
	vmm_until(&twin->vmm, twin_session(twin, id)->pausing);
	assert_true(twin->device.backend.held);
	assert_int_equal(gcl_device_pause_expired(&twin->device), 0);
	assert_true(twin_session(twin, id)->killed);
	assert_int_equal(vmm_hear(&twin->vmm, GCL_VHOST_GET_VRING_BASE, &vring, sizeof vring),
			 sizeof vring);
}

/* A new VMM, or a new daemon: the driver learns it by the epoch. */
static void test_reconnect(void **state)
{
	struct twin *twin = &twin_now;
	const struct virtio_cl_request ping = {VIRTIO_CL_PING, 0};
	struct virtio_cl_event event;
	struct virtio_cl_response response;
	uint32_t id, epoch;
	unsigned slot;

	(void)state;
	twin_ready(twin);
	id = session_open(twin);
	epoch = twin->device.epoch;
	vmm_detach(&twin->vmm);
	vmm_until(&twin->vmm, twin->error == -EPIPE && twin_count(twin) == 0);
	/* The guest has seen nothing of it, and its queues go on after what was given back. What
	 * it has asked meanwhile is answered. */
	slot = vmm_post(&twin->vmm, &ping, sizeof ping, sizeof response);
	for (unsigned i = 0; i < VMM_QUEUES; i++)
		twin->vmm.queues[i].base = twin->vmm.queues[i].last_used;
	twin_connect(twin);
	event = vmm_event(&twin->vmm);
	assert_int_equal(event.type, VIRTIO_CL_EVENT_ALL_ENDED);
	assert_int_equal(event.session, twin->device.epoch);
	assert_int_not_equal(twin->device.epoch, epoch);
	assert_int_equal(vmm_close(&twin->vmm, id), VIRTIO_CL_OK);
	assert_int_equal(vmm_hello(&twin->vmm, 7), twin->device.epoch);
	session_open(twin);
	vmm_finish(&twin->vmm, slot, &response, sizeof response);
	assert_int_equal(response.status, VIRTIO_CL_ERR_NO_SESSION);
}

/* A VMM that cuts its memory off costs its VM the device, and nobody else anything. */
static void test_memory_cut(void **state)
{
	struct twin *twin = &twin_now;
	const struct virtio_cl_request request = {VIRTIO_CL_PING, 0};

	(void)state;
	twin_ready(twin);
	assert_false(gcl_device_broken(&twin->device));
	vmm_post(&twin->vmm, &request, sizeof request, sizeof(struct virtio_cl_response));
	assert_int_equal(ftruncate(twin->vmm.ram, 4096), 0);
	for (int i = 0; i < 3; i++)
		twin->vmm.turn(twin->vmm.turn_data);
	assert_true(gcl_device_broken(&twin->device));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(test_##name, teardown)
	const struct CMUnitTest tests[] = {
		TEST(before_hello),
		TEST(open_and_close),
		TEST(close_waits),
		TEST(refused),
		TEST(open_invalid),
		TEST(requests_invalid),
		TEST(memory),
		TEST(windows),
		TEST(remove_fails),
		TEST(worker_dies),
		TEST(worker_dies_early),
		TEST(link_full),
		TEST(wakes),
		TEST(pause),
		TEST(answer_while_paused),
		TEST(suspend),
		TEST(reboot),
		TEST(stopped_at_zero),
		TEST(stubborn_worker),
		TEST(reconnect),
		TEST(memory_cut),
	};

	gcl_log_init("device_test");
	return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
