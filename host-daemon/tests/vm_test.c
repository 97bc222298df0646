// SPDX-License-Identifier: MIT
/*
 * VMs as guestcld serves them: sessions, pauses, reboots, limits, VMs that come and go.
 */
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "vm-daemon.h"

#define CHUNK VIRTIO_CL_CHUNK
#define OTHER (VMM_FREE + CHUNK)

static struct daemon daemon_now;
static struct vmm one, two;

static int teardown(void **state)
{
	(void)state;
	vmm_fini(&one);
	vmm_fini(&two);
	daemon_fini(&daemon_now);
	memset(&daemon_now, 0, sizeof daemon_now);
	return 0;
}

static void test_session(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct virtio_cl_event event;
	unsigned files;
	struct stat st;
	char path[160];
	uint32_t id;

	(void)state;
	vm_daemon_start(daemon, "serve");
	vm_boot(&one, daemon, "a");
	assert_int_equal(vmm_close(&one, vm_session(&one, VMM_FREE)), VIRTIO_CL_OK);
	files = daemon_files_settled(daemon); /* with the cache's folder */
	id = vm_session(&one, VMM_FREE);
	daemon_expect(daemon, "session 2: VM a, uid 1000, pid 77, vmm: served by worker");
	snprintf(path, sizeof path, "%.63s/cache/vm-a", daemon->folder);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	/* Doorbell and wake-up. */
	vmm_ring(&one, VIRTIO_CL_QUEUE_DOORBELL);
	vmm_ring(&one, VIRTIO_CL_QUEUE_DOORBELL + 1);
	do {
		event = vmm_event(&one); /* there may be one left about the other session */
		vmm_fill_events(&one, 1);
	} while (event.session != id);
	assert_int_equal(event.type, VIRTIO_CL_EVENT_WAKE);
	assert_true(vm_rings(&one, VMM_FREE)->bells >= 1);
	/* Memory, in both regions. */
	assert_int_equal(vmm_add(&one, id, 3 * CHUNK, VMM_HIGH + CHUNK, CHUNK), VIRTIO_CL_OK);
	assert_int_equal(*(uint64_t *)vmm_at(&one, VMM_HIGH + CHUNK), 3 * CHUNK);
	assert_int_equal(vmm_add(&one, id, VIRTIO_CL_WINDOW_BASE, OTHER, 4096), VIRTIO_CL_OK);
	assert_int_equal(*(uint64_t *)vmm_at(&one, OTHER), VIRTIO_CL_WINDOW_BASE);
	assert_int_equal(vmm_remove(&one, id, 3 * CHUNK, CHUNK), VIRTIO_CL_OK);
	/* When the answer comes the worker is gone. */
	assert_int_equal(vmm_close(&one, id), VIRTIO_CL_OK);
	assert_true(process_gone(vm_rings(&one, VMM_FREE)->pid));
	daemon_expect(daemon, "session 2: VM a, uid 1000, pid 77, vmm: ended after");
	eventually(daemon_files(daemon) == files);
	daemon_stop(daemon, 1000);
	assert_int_equal(access(path, F_OK), 0);
}

/* What VMs can see of each other. */
static void test_two_vms(void **state)
{
	struct daemon *daemon = &daemon_now;
	uint32_t id;

	(void)state;
	vm_daemon_start(daemon, "serve");
	vm_boot(&one, daemon, "a");
	vm_boot(&two, daemon, "b");
	vm_session(&one, VMM_FREE);
	id = vm_session(&two, VMM_FREE);
	assert_int_equal(vmm_close(&one, id), VIRTIO_CL_OK); /* its own of that number */
	assert_true(vm_ticks(&two, VMM_FREE));
	assert_int_equal(vmm_add(&one, id, 0, OTHER, CHUNK), VIRTIO_CL_ERR_NO_SESSION);
	assert_int_equal(vmm_add(&two, id, 0, OTHER, CHUNK), VIRTIO_CL_OK);
	vm_session(&one, VMM_FREE);
	vmm_detach(&one);
	daemon_expect(daemon, "VM a: its VMM is gone; sessions: 1");
	assert_true(vm_ticks(&two, VMM_FREE));
	assert_int_equal(vmm_close(&two, id), VIRTIO_CL_OK);
}

static void test_limits(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct virtio_cl_open_response response;

	(void)state;
	vm_daemon_start(daemon, "serve");
	vm_boot(&one, daemon, "a");
	vm_boot(&two, daemon, "b");
	vm_session(&one, VMM_FREE);
	vm_session(&one, OTHER);
	assert_int_equal(vmm_open(&one, OTHER, &response), VIRTIO_CL_ERR_BUSY);
	assert_non_null(strstr(response.text, "this VM has 2 sessions already"));
	vm_session(&two, VMM_FREE);
	vm_session(&two, OTHER);
	vm_session(&two, OTHER);
}

static void test_no_worker(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct virtio_cl_open_response response;

	(void)state;
	vm_daemon_start(daemon, "fail the runtime is broken");
	vm_boot(&one, daemon, "a");
	assert_int_equal(vmm_open(&one, VMM_FREE, &response), VIRTIO_CL_ERR_FAILED);
	assert_string_equal(response.text, "the runtime is broken");
	assert_int_equal(vmm_ping(&one), VIRTIO_CL_OK);
}

static void test_pause(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct virtio_cl_event event;
	uint32_t id;

	(void)state;
	vm_daemon_start(daemon, "serve");
	vm_boot(&one, daemon, "a");
	id = vm_session(&one, VMM_FREE);
	for (int i = 0; i < 3; i++) {
		vmm_stop(&one);
		assert_false(vm_ticks(&one, VMM_FREE));
		vmm_start(&one);
		assert_true(vm_ticks(&one, VMM_FREE));
		/* A doorbell that was missed is made up for. */
		event = vmm_event(&one);
		assert_int_equal(event.type, VIRTIO_CL_EVENT_WAKE);
		vmm_fill_events(&one, 1);
		while (vmm_event_come(&one, &event, 20))
			vmm_fill_events(&one, 1);
	}
	assert_int_equal(vmm_add(&one, id, 0, OTHER, CHUNK), VIRTIO_CL_OK);
	assert_int_equal(vmm_close(&one, id), VIRTIO_CL_OK);
}

static void test_suspend(void **state)
{
	struct daemon *daemon = &daemon_now;
	uint32_t id;

	(void)state;
	vm_daemon_start(daemon, "serve");
	vm_boot(&one, daemon, "a");
	id = vm_session(&one, VMM_FREE);
	vmm_stop(&one);
	vmm_reboot(&one);
	vmm_start(&one);
	vmm_fill_events(&one, 8);
	assert_false(vm_ticks(&one, VMM_FREE));
	vmm_hello(&one, 7);
	assert_true(vm_ticks(&one, VMM_FREE));
	assert_int_equal(vmm_close(&one, id), VIRTIO_CL_OK);
}

static void test_reboot(void **state)
{
	struct daemon *daemon = &daemon_now;
	uint32_t pid;

	(void)state;
	vm_daemon_start(daemon, "serve");
	vm_boot(&one, daemon, "a");
	vm_session(&one, VMM_FREE);
	pid = vm_rings(&one, VMM_FREE)->pid;
	vmm_stop(&one);
	vmm_reboot(&one);
	vmm_start(&one);
	vmm_fill_events(&one, 8);
	/* What the new guest has there stays as it is. */
	memset(vmm_at(&one, VMM_FREE), 0x55, 4096);
	vmm_hello(&one, 8);
	eventually(process_gone(pid));
	assert_int_equal(*(unsigned char *)vmm_at(&one, VMM_FREE), 0x55);
	assert_int_equal(((unsigned char *)vmm_at(&one, VMM_FREE))[8], 0x55);
	daemon_expect(daemon, "VM a: its driver is a new one; 1 sessions end");
	vm_session(&one, VMM_FREE);
}

static void test_reload(void **state)
{
	struct daemon *daemon = &daemon_now;
	uint32_t pid;

	(void)state;
	vm_daemon_start(daemon, "serve");
	vm_boot(&one, daemon, "a");
	vm_boot(&two, daemon, "b");
	vm_session(&one, VMM_FREE);
	pid = vm_rings(&one, VMM_FREE)->pid;
	vm_session(&two, VMM_FREE);
	vm_daemon_config(daemon, "vm \"b\" {\n}\nvm \"c\" {\n}\n");
	kill(daemon->pid, SIGHUP);
	daemon_expect(daemon, "VM a: is no longer served");
	eventually(process_gone(pid));
	assert_true(vm_ticks(&two, VMM_FREE));
	vmm_fini(&one);
	vm_boot(&one, daemon, "c");
	vm_session(&one, VMM_FREE);
	/* And one comes back. */
	vm_daemon_config(daemon, "vm \"a\" {\n}\nvm \"b\" {\n max-sessions = 1\n}\n");
	kill(daemon->pid, SIGHUP);
	daemon_expect(daemon, "VM c: is no longer served");
	vmm_fini(&one);
	vm_boot(&one, daemon, "a");
	vm_session(&one, VMM_FREE);
	assert_true(vm_ticks(&two, VMM_FREE));
	daemon_stop(daemon, 1000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(test_##name, teardown)
	const struct CMUnitTest tests[] = {
		TEST(session), TEST(two_vms), TEST(limits), TEST(no_worker),
		TEST(pause),   TEST(suspend), TEST(reboot), TEST(reload),
	};

	return cmocka_run_group_tests_name("vm", tests, NULL, NULL);
}
