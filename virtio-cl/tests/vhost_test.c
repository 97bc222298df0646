// SPDX-License-Identifier: MIT
/*
 * The back end of vhost-user: messages as a VMM, sane or not, sends them, and guest memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "test.h"
#include "vhost/backend.h"
#include "vmm.h"

#define DEVICE_FEATURES (1ull << 6)

static struct fixture {
	struct vmm vmm;
	struct gcl_backend backend;
	int socket;
	int error;
	unsigned started, stopped, enabled; /* a bit for each queue */
	bool hold;
} now;

static void on_started(struct gcl_backend *backend, unsigned index)
{
	(void)backend;
	now.started |= 1u << index;
}

static void on_enabled(struct gcl_backend *backend, unsigned index)
{
	(void)backend;
	now.enabled |= 1u << index;
}

static bool on_stopped(struct gcl_backend *backend, unsigned index)
{
	(void)backend;
	now.stopped |= 1u << index;
	return now.hold;
}

static void on_config(struct gcl_backend *backend, uint32_t offset, void *bytes, uint32_t size)
{
	(void)backend;
	for (uint32_t i = 0; i < size; i++)
		((uint8_t *)bytes)[i] = (uint8_t)(offset + i);
}

static const struct gcl_backend_ops ops = {on_started, on_enabled, on_stopped, on_config};

static void turn(void *data)
{
	int n = 1;

	(void)data;
	while (n > 0 && now.error == 0)
		n = gcl_backend_receive(&now.backend);
	if (n < 0 && now.error == 0) {
		now.error = n;
		close(now.socket);
		now.socket = -1;
	}
}

static int setup(void **state)
{
	int ends[2];

	(void)state;
	memset(&now, 0, sizeof now);
	vmm_init(&now.vmm);
	now.vmm.turn = turn;
	gcl_backend_init(&now.backend, &ops, DEVICE_FEATURES);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	now.socket = ends[1];
	gcl_backend_open(&now.backend, ends[1]);
	vmm_attach(&now.vmm, ends[0]);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	gcl_backend_fini(&now.backend);
	gcl_cleanup_close(&now.socket);
	vmm_fini(&now.vmm);
	return 0;
}

/* ------------------------------------------------------------ messages */

static void test_piecemeal(void **state)
{
	struct gcl_vhost_header header = {GCL_VHOST_GET_FEATURES, GCL_VHOST_VERSION, 0};
	const struct __attribute__((packed)) {
		struct gcl_vhost_header header;
		uint64_t body;
	} set = {{GCL_VHOST_SET_FEATURES, GCL_VHOST_VERSION, 8}, 0};
	uint64_t features;

	(void)state;
	for (size_t i = 0; i < sizeof set; i++) {
		turn(NULL);
		assert_int_equal(write(now.vmm.socket, (char *)&set + i, 1), 1);
	}
	turn(NULL);
	assert_int_equal(now.backend.features, 0);
	for (size_t i = 0; i < sizeof header; i++) {
		turn(NULL);
		assert_int_equal(write(now.vmm.socket, (char *)&header + i, 1), 1);
	}
	assert_int_equal(vmm_hear(&now.vmm, GCL_VHOST_GET_FEATURES, &features, 8), 8);
	assert_int_equal(features, DEVICE_FEATURES | 1ull << 32 | 1ull << 30);
}

/* What is no message ends the connection, with all that came with it. */
static void test_garbage(void **state)
{
	static const struct gcl_vhost_header cases[] = {
		{GCL_VHOST_GET_FEATURES, 2, 0},	     /* another version */
		{GCL_VHOST_GET_FEATURES, 1, 100000}, /* no message is as long */
		{200, GCL_VHOST_VERSION, 0},	     /* unknown, and no answer is wanted */
		{GCL_VHOST_SET_FEATURES, GCL_VHOST_VERSION, 4},
		{GCL_VHOST_GET_CONFIG, GCL_VHOST_VERSION, 13},
	};
	char body[64] = {1};

	for (size_t i = 0; i < GCL_ARRAY_SIZE(cases); i++) {
		if (i) {
			teardown(state);
			setup(state);
		}
		(void)!write(now.vmm.socket, &cases[i], sizeof cases[i]);
		(void)!write(now.vmm.socket, body, cases[i].size < 64 ? cases[i].size : 64);
		turn(NULL);
		if (now.error == 0 || now.error == -EPIPE || !now.backend.reason[0])
			fail_msg("case %zu: %d, %s", i, now.error, now.backend.reason);
	}
}

static unsigned files_open(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void test_descriptors(void **state)
{
	uint64_t features = 0;
	unsigned files = files_open();
	int fds[12];

	(void)state;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(fds); i++)
		fds[i] = now.vmm.ram;
	/* Some that no one asked for are closed, more than a message may have end it. */
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_FEATURES, &features, 8, fds, 8), 0);
	assert_int_equal(files_open(), files);
	vmm_say(&now.vmm, GCL_VHOST_SET_FEATURES, 0, &features, 8, fds, 12);
	turn(NULL);
	assert_int_equal(now.error, -EPROTO);
	gcl_backend_close(&now.backend);
	assert_true(files_open() < files); /* the connection, memory */
}

static void test_acknowledged(void **state)
{
	uint64_t features = 1ull << 29; /* the event index, which is not offered */
	uint64_t none = 0;

	(void)state;
	assert_int_equal(vmm_ack(&now.vmm, (enum gcl_vhost_request)63, NULL, 0, NULL, 0), 1);
	assert_int_equal(vmm_ack(&now.vmm, (enum gcl_vhost_request)20, NULL, 0, NULL, 0), 1);
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_FEATURES, &features, 8, NULL, 0), 1);
	features = DEVICE_FEATURES | 1ull << 32;
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_FEATURES, &features, 8, NULL, 0), 0);
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_PROTOCOL_FEATURES, &features, 8, NULL, 0),
			 1);
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_RESET_DEVICE, &none, 8, NULL, 0), 0);
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_CONFIG, &none, 8, NULL, 0), 0);
	assert_int_equal(now.error, 0);
}

static void test_config(void **state)
{
	struct gcl_vhost_config config = {.offset = 8, .size = 60};
	uint32_t head = offsetof(struct gcl_vhost_config, bytes);

	(void)state;
	vmm_say(&now.vmm, GCL_VHOST_GET_CONFIG, 0, &config, head + 60, NULL, 0);
	assert_int_equal(vmm_hear(&now.vmm, GCL_VHOST_GET_CONFIG, &config, sizeof config),
			 head + 60);
	assert_int_equal(config.bytes[0], 8);
	assert_int_equal(config.bytes[59], 67);
	config.offset = 250;
	vmm_say(&now.vmm, GCL_VHOST_GET_CONFIG, 0, &config, head + 60, NULL, 0);
	turn(NULL);
	assert_int_equal(now.error, -EPROTO);
}

/* ------------------------------------------------------------ memory */

static uint64_t region_add(uint64_t address, uint64_t size, uint64_t offset, int fd)
{
	const struct gcl_vhost_single_region region = {
		.region = {address, size, VMM_USER + address, offset}};

	return vmm_ack(&now.vmm, GCL_VHOST_ADD_MEM_REG, &region, sizeof region, &fd, fd >= 0);
}

static void test_regions(void **state)
{
	const uint64_t page = 4096, end = 8ull << 30;
	struct gcl_vhost_single_region region = {
		.region = {VMM_HIGH, VMM_RAM_HALF, VMM_USER + VMM_HIGH, 0}};
	_cleanup_close_ int plain = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	_cleanup_close_ int event = eventfd(0, 0);
	_cleanup_close_ int readable = -1;
	char path[32];
	int ram = now.vmm.ram;

	(void)state;
	snprintf(path, sizeof path, "/proc/self/fd/%d", ram);
	readable = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(region_add(end, page, 0, ram), 0);
	assert_int_equal(region_add(end + page, page, 0, -1), 1);
	assert_int_equal(region_add(end + page, page, 0, null), 1);
	assert_int_equal(region_add(end + page, page, 0, event), 1);
	assert_int_equal(region_add(end + page, page, 0, readable), 1);
	assert_int_equal(region_add(end, page, page, ram), 1);
	assert_int_equal(region_add(VMM_RAM_HALF - page, 2 * page, 0, ram), 1);
	assert_int_equal(region_add(end + page, page + 1, 0, ram), 1);
	assert_int_equal(region_add(end + 1, page, 0, ram), 1);
	assert_int_equal(region_add(end + page, 0, 0, ram), 1);
	assert_int_equal(region_add(end + page, page, 2ull * VMM_RAM_HALF, ram), 1);
	assert_int_equal(region_add(end + page, 2ull * VMM_RAM_HALF, page, ram), 1);
	assert_int_equal(region_add(end + page, ~0ull - 4095, 0, ram), 1);
	assert_int_equal(region_add(end + page, page, ~0ull - 4095, ram), 1);
	if (plain >= 0 && ftruncate(plain, 65536) == 0) {
		region_add(end + page, page, 0, plain); /* tmpfs or not */
		assert_true(strstr(now.backend.reason, "share=on") || !now.backend.reason[0]);
	}
	assert_non_null(gcl_guest_memory_at(&now.backend.memory, VMM_HIGH, 8));
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_REM_MEM_REG, &region, sizeof region, NULL, 0),
			 0);
	assert_null(gcl_guest_memory_at(&now.backend.memory, VMM_HIGH, 8));
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_REM_MEM_REG, &region, sizeof region, NULL, 0),
			 1);
	assert_int_equal(now.error, 0);
}

/* Of huge pages no single ones can be mapped, which sessions have to be told. */
static void test_huge(void **state)
{
	const uint64_t end = 8ull << 30, size = 2ull << 20;
	_cleanup_close_ int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);

	(void)state;
	assert_false(gcl_guest_memory_huge(&now.backend.memory));
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0) {
		print_message("SKIPPED: this kernel has no huge pages of 2 MiB\n");
		skip();
	}
	assert_int_equal(region_add(end, size, 0, fd), 0);
	assert_true(gcl_guest_memory_huge(&now.backend.memory));
}

static void test_table(void **state)
{
	struct gcl_vhost_memory_table table = {.count = 1,
					       .regions = {{0, VMM_RAM_HALF, VMM_USER, 0}}};
	const uint32_t size = offsetof(struct gcl_vhost_memory_table, regions[1]);
	const int fds[] = {now.vmm.ram, now.vmm.ram};

	(void)state;
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_MEM_TABLE, &table, size, fds, 2), 1);
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_MEM_TABLE, &table, size, fds, 0), 1);
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_MEM_TABLE, &table, size - 8, fds, 1), 1);
	table.count = 9;
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_MEM_TABLE, &table, size, fds, 1), 1);
	assert_int_equal(now.backend.memory.count, 2);
	table.count = 1;
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_MEM_TABLE, &table, size, fds, 1), 0);
	assert_int_equal(now.backend.memory.count, 1);
}

static void test_translation(void **state)
{
	const struct gcl_guest_memory *memory = &now.backend.memory;
	uint64_t size, offset;
	unsigned region;

	(void)state;
	strcpy(vmm_at(&now.vmm, 0x5000), "low");
	strcpy(vmm_at(&now.vmm, VMM_HIGH + 0x5000), "high");
	assert_string_equal(gcl_guest_memory_at(memory, 0x5000, 4), "low");
	assert_string_equal(gcl_guest_memory_at(memory, VMM_HIGH + 0x5000, 5), "high");
	assert_string_equal(gcl_guest_memory_at_user(memory, VMM_USER + VMM_HIGH + 0x5000, 5),
			    "high");
	assert_non_null(gcl_guest_memory_at(memory, VMM_RAM_HALF - 8, 8));
	assert_null(gcl_guest_memory_at(memory, VMM_RAM_HALF - 8, 9));
	assert_null(gcl_guest_memory_at(memory, VMM_RAM_HALF, 1));
	assert_null(gcl_guest_memory_at(memory, VMM_HIGH - 1, 1));
	assert_null(gcl_guest_memory_at(memory, 8, ~0ull));
	assert_null(gcl_guest_memory_at(memory, ~0ull, 1));
	assert_null(gcl_guest_memory_at_user(memory, VMM_USER - 1, 1));
	assert_null(gcl_guest_memory_at_user(memory, 0, 1));
	size = 1ull << 40;
	assert_true(gcl_guest_memory_file(memory, VMM_HIGH + 0x3000, &size, &region, &offset));
	assert_int_equal(size, VMM_RAM_HALF - 0x3000);
	assert_int_equal(offset, VMM_RAM_HALF + 0x3000);
	assert_false(gcl_guest_memory_file(memory, VMM_RAM_HALF, &size, &region, &offset));
}

/* ------------------------------------------------------------ queues */

static void test_start_and_stop(void **state)
{
	struct gcl_vhost_vring_state vring = {2, 0};
	struct gcl_queue *queue = &now.backend.queues[2];

	(void)state;
	now.vmm.queues[2].base = 1234;
	assert_int_equal(now.started, 0);
	vmm_start(&now.vmm);
	assert_int_equal(now.started, 0xf);
	assert_int_equal(now.backend.queues_seen, 4);
	assert_true(queue->running && queue->kick >= 0 && queue->call >= 0);
	/* Nothing but its descriptors changes while it runs. */
	vring.number = 16;
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_VRING_NUM, &vring, 8, NULL, 0), 1);
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_VRING_BASE, &vring, 8, NULL, 0), 1);
	vmm_share_memory(&now.vmm);
	assert_true(queue->running && queue->available);
	vring.number = 0;
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_VRING_ENABLE, &vring, 8, NULL, 0), 0);
	assert_int_equal(now.enabled, 0);
	vring.number = 1;
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_VRING_ENABLE, &vring, 8, NULL, 0), 0);
	assert_int_equal(now.enabled, 1u << 2);
	vmm_stop(&now.vmm);
	assert_int_equal(now.stopped, 0xf);
	assert_int_equal(now.vmm.queues[2].base, 1234);
	assert_true(!queue->running && queue->kick < 0);
	/* One that doesn't run has a base as well. */
	vmm_stop(&now.vmm);
	assert_int_equal(now.vmm.queues[2].base, 1234);
	now.started = 0;
	vmm_start(&now.vmm);
	assert_int_equal(now.started, 0xf);
}

static void test_held(void **state)
{
	struct gcl_vhost_vring_state vring = {0, 0};
	uint64_t features;

	(void)state;
	vmm_start(&now.vmm);
	now.hold = true;
	vmm_say(&now.vmm, GCL_VHOST_GET_VRING_BASE, 0, &vring, sizeof vring, NULL, 0);
	vmm_say(&now.vmm, GCL_VHOST_GET_FEATURES, 0, NULL, 0, NULL, 0);
	turn(NULL);
	turn(NULL);
	assert_true(now.backend.held);
	assert_int_equal(recv(now.vmm.socket, &vring, 1, MSG_DONTWAIT), -1);
	assert_int_equal(gcl_backend_release(&now.backend), 0);
	assert_int_equal(vmm_hear(&now.vmm, GCL_VHOST_GET_VRING_BASE, &vring, sizeof vring),
			 sizeof vring);
	assert_int_equal(vmm_hear(&now.vmm, GCL_VHOST_GET_FEATURES, &features, 8), 8);
}

static void test_queue_invalid(void **state)
{
	struct gcl_vhost_vring_state vring = {GCL_BACKEND_QUEUES_MAX, 1};
	struct gcl_vhost_vring_address address = {.index = 1};
	uint64_t index = 1;
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	static const struct {
		uint32_t size;
		uint64_t descriptors, available, used;
	} cases[] = {
		{0, 0, 0x1000, 0x2000},
		{33, 0, 0x1000, 0x2000},
		{2048, 0, 0x8000, 0x9000},
		{32, 8, 0x1000, 0x2000},
		{32, 0, 0x1001, 0x2000},
		{32, 0, 0x1000, 0x2002},
		{32, VMM_RAM_HALF, 0x1000, 0x2000},
		{32, 0, VMM_RAM_HALF - 64, 0x2000},
		{32, 0, 0x1000, VMM_HIGH - 128},
		{32, 0, 0x1000, ~0ull - 7},
	};

	(void)state;
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_VRING_NUM, &vring, 8, NULL, 0), 1);
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_VRING_ENABLE, &vring, 8, NULL, 0), 1);
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_VRING_KICK, &index, 8, &null, 1), 1);
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_VRING_CALL, &index, 8, &null, 1), 1);
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_VRING_KICK, &index, 8, NULL, 0), 1);
	index = 1 | GCL_VHOST_FD_NONE;
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_VRING_KICK, &index, 8, NULL, 0), 1);
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_VRING_CALL, &index, 8, NULL, 0), 0);
	index = 1;
	assert_int_equal(
		vmm_ack(&now.vmm, GCL_VHOST_SET_VRING_KICK, &index, 8, &now.vmm.queues[1].kick, 1),
		0);
	vring.index = 1;
	assert_int_equal(vmm_ack(&now.vmm, GCL_VHOST_SET_VRING_ENABLE, &vring, 8, NULL, 0), 0);
	for (size_t i = 0; i < GCL_ARRAY_SIZE(cases); i++) {
		vring.number = cases[i].size;
		vmm_ack(&now.vmm, GCL_VHOST_SET_VRING_NUM, &vring, 8, NULL, 0);
		address.descriptors = VMM_USER + cases[i].descriptors;
		address.available = VMM_USER + cases[i].available;
		address.used = VMM_USER + cases[i].used;
		if (vmm_ack(&now.vmm, GCL_VHOST_SET_VRING_ADDR, &address, sizeof address, NULL,
			    0) != 1)
			fail_msg("case %zu was taken", i);
	}
	assert_int_equal(now.started, 0);
	assert_int_equal(now.error, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(piecemeal),   TEST(garbage), TEST(descriptors),	TEST(acknowledged),
		TEST(config),	   TEST(regions), TEST(huge),		TEST(table),
		TEST(translation), TEST(held),	  TEST(start_and_stop), TEST(queue_invalid),
	};

	return cmocka_run_group_tests_name("vhost", tests, NULL, NULL);
}
