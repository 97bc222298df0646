// SPDX-License-Identifier: MIT
/*
 * VMs when something goes wrong: VMM, guest, worker, daemon.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* Killed, or shut down: its sessions end, and nothing of it is left. */
static void test_vmm_dies(void **state)
{
	struct daemon *daemon = &daemon_now;
	unsigned files = 0;
	uint32_t pid;

	(void)state;
	vm_daemon_start(daemon, "serve");
	for (int i = 0; i < 3; i++) {
		vm_boot(&one, daemon, "a");
		vm_session(&one, VMM_FREE);
		pid = vm_rings(&one, VMM_FREE)->pid;
		if (i == 2)
			vmm_stop(&one);
		vmm_fini(&one);
		eventually(process_gone(pid));
		eventually(daemon_log_count(daemon, "its VMM is gone") == (unsigned)i + 1);
		sleep_ms(20);
		if (i == 0)
			files = daemon_files_settled(daemon); /* with the cache's folder */
		eventually(daemon_files(daemon) == files);
	}
	daemon_stop(daemon, 1000);
}

static void test_second_vmm(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct pollfd end = {.events = POLLIN | POLLRDHUP};
	struct daemon other;
	char byte;

	(void)state;
	vm_daemon_start(daemon, "serve");
	vm_boot(&one, daemon, "a");
	vm_session(&one, VMM_FREE);
	other = *daemon;
	snprintf(other.socket, sizeof other.socket, "%.64s/vm/a.sock", daemon->folder);
	end.fd = guest_socket(&other);
	assert_int_equal(poll(&end, 1, 60000), 1);
	assert_true(recv(end.fd, &byte, 1, 0) <= 0);
	close(end.fd);
	daemon_expect(daemon, "another VMM is connected to");
	assert_true(vm_ticks(&one, VMM_FREE));
}

static void test_garbage(void **state)
{
	struct daemon *daemon = &daemon_now;
	char garbage[4096];
	uint32_t pid;

	(void)state;
	vm_daemon_start(daemon, "serve");
	vm_boot(&one, daemon, "a");
	vm_boot(&two, daemon, "b");
	vm_session(&one, VMM_FREE);
	pid = vm_rings(&one, VMM_FREE)->pid;
	vm_session(&two, VMM_FREE);
	memset(garbage, 'x', sizeof garbage);
	(void)!send(one.socket, garbage, sizeof garbage, MSG_NOSIGNAL);
	daemon_expect(daemon, "VM a: its VMM is disconnected: what it sends is no vhost-user "
			      "message");
	eventually(process_gone(pid));
	assert_true(vm_ticks(&two, VMM_FREE));
	vmm_fini(&one);
	vm_boot(&one, daemon, "a");
	vm_session(&one, VMM_FREE);
}

static void test_memory_cut(void **state)
{
	struct daemon *daemon = &daemon_now;
	const struct virtio_cl_request ping = {VIRTIO_CL_PING, 0};

	(void)state;
	vm_daemon_start(daemon, "serve");
	vm_boot(&one, daemon, "a");
	vm_boot(&two, daemon, "b");
	vm_session(&two, VMM_FREE);
	vmm_post(&one, &ping, sizeof ping, sizeof(struct virtio_cl_response));
	assert_int_equal(ftruncate(one.ram, 4096), 0);
	vmm_ring(&one, VIRTIO_CL_QUEUE_CONTROL);
	daemon_expect(daemon, "VM a: its VMM has cut off the memory that it shares");
	assert_true(vm_ticks(&two, VMM_FREE));
	daemon_stop(daemon, 1000);
}

/* The guest sees it by the epoch; what it had is gone. */
static void test_daemon_dies(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct virtio_cl_open_response response;
	struct virtio_cl_event event;
	uint32_t pid, id;

	(void)state;
	vm_daemon_start(daemon, "serve");
	vm_boot(&one, daemon, "a");
	id = vm_session(&one, VMM_FREE);
	pid = vm_rings(&one, VMM_FREE)->pid;
	kill(daemon->pid, SIGKILL);
	daemon_wait(daemon, 1000);
	eventually(process_gone(pid));
	daemon_start(daemon, NULL);
	eventually(daemon_log_count(daemon, "ready") == 2);
	vm_reconnect(&one, daemon, "a");
	event = vmm_event(&one);
	assert_int_equal(event.type, VIRTIO_CL_EVENT_ALL_ENDED);
	assert_int_equal(vmm_open(&one, VMM_FREE, &response), VIRTIO_CL_ERR_BUSY);
	assert_string_equal(response.text, "guestcld has restarted: try again");
	assert_int_equal(vmm_close(&one, id), VIRTIO_CL_OK);
	assert_int_equal(vmm_hello(&one, 7), event.session);
	vm_session(&one, VMM_FREE);
}

static void test_daemon_stops(void **state)
{
	struct daemon *daemon = &daemon_now;
	char path[96];

	(void)state;
	vm_daemon_start(daemon, "serve");
	vm_boot(&one, daemon, "a");
	vm_session(&one, VMM_FREE);
	vm_session(&one, OTHER);
	vmm_stop(&one); /* paused workers are ended, too */
	daemon_stop(daemon, 3000);
	snprintf(path, sizeof path, "%.64s/vm/a.sock", daemon->folder);
	assert_int_equal(access(path, F_OK), -1);
	assert_true(process_gone(vm_rings(&one, VMM_FREE)->pid));
}

/* A worker that dies while it has something to do for the guest. */
static void test_worker_dies(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct virtio_cl_event event;
	uint32_t id;

	(void)state;
	vm_daemon_start(daemon, "link-crash");
	vm_boot(&one, daemon, "a");
	id = vm_session(&one, VMM_FREE);
	assert_int_equal(vmm_add(&one, id, 0, OTHER, CHUNK), VIRTIO_CL_ERR_NO_SESSION);
	event = vm_event_but_wakes(&one);
	assert_int_equal(event.type, VIRTIO_CL_EVENT_SESSION_ENDED);
	assert_int_equal(event.session, id);
	daemon_expect(daemon, "was ended by signal 9 (Killed); other sessions go on");
	assert_int_equal(vmm_close(&one, id), VIRTIO_CL_OK);
	daemon_plan(daemon, "serve");
	vm_session(&one, VMM_FREE);
}

static void test_worker_lies(void **state)
{
	struct daemon *daemon = &daemon_now;
	uint32_t id;

	(void)state;
	vm_daemon_start(daemon, "link-garbage");
	vm_boot(&one, daemon, "a");
	id = vm_session(&one, VMM_FREE);
	assert_int_equal(vmm_add(&one, id, 0, OTHER, CHUNK), VIRTIO_CL_ERR_NO_SESSION);
	daemon_expect(daemon, "the worker answers what it was not asked: it is killed");
	assert_int_equal(vm_event_but_wakes(&one).type, VIRTIO_CL_EVENT_SESSION_ENDED);
	assert_int_equal(vmm_close(&one, id), VIRTIO_CL_OK);
}

static void test_worker_has_no_memory(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct virtio_cl_open_response response;
	uint32_t id;

	(void)state;
	vm_daemon_start(daemon, "link-error");
	vm_boot(&one, daemon, "a");
	id = vm_session(&one, VMM_FREE);
	assert_int_equal(vmm_add(&one, id, 0, OTHER, CHUNK), VIRTIO_CL_ERR_NO_MEMORY);
	assert_true(vm_ticks(&one, VMM_FREE));
	assert_int_equal(vmm_close(&one, id), VIRTIO_CL_OK);
	daemon_plan(daemon, "link-no-rings");
	assert_int_equal(vmm_open(&one, VMM_FREE, &response), VIRTIO_CL_ERR_NO_MEMORY);
	eventually(daemon_children(daemon) == 0);
}

/* One that hangs is no reason to wait for when its session is closed. */
static void test_worker_deaf(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct vmm_memory request;
	struct virtio_cl_response response;
	unsigned slot;
	uint32_t id;

	(void)state;
	vm_daemon_start(daemon, "link-deaf");
	vm_boot(&one, daemon, "a");
	id = vm_session(&one, VMM_FREE);
	vmm_add_fill(&request, id, 0, OTHER, CHUNK);
	slot = vmm_post(&one, &request, VMM_MEMORY_SIZE, sizeof response);
	assert_int_equal(vmm_ping(&one), VIRTIO_CL_OK);
	assert_int_equal(vmm_close(&one, id), VIRTIO_CL_OK);
	vmm_finish(&one, slot, &response, sizeof response);
	assert_int_equal(response.status, VIRTIO_CL_ERR_NO_SESSION);
}

/* Without a free descriptor a VMM waits, and costs no CPU. */
static void test_no_descriptors(void **state)
{
	struct daemon *daemon = &daemon_now;
	struct rlimit before, none;
	struct daemon other;
	unsigned cpu;
	int conn;

	(void)state;
	vm_daemon_start(daemon, "serve");
	vm_boot(&one, daemon, "a");
	assert_int_equal(prlimit(daemon->pid, RLIMIT_NOFILE, NULL, &before), 0);
	none = (struct rlimit){daemon_files(daemon), before.rlim_max};
	assert_int_equal(prlimit(daemon->pid, RLIMIT_NOFILE, &none, NULL), 0);
	other = *daemon;
	snprintf(other.socket, sizeof other.socket, "%.64s/vm/b.sock", daemon->folder);
	conn = guest_socket(&other);
	daemon_expect(daemon, "VM b: can't accept its VMM: Too many open files; it waits");
	cpu = daemon_cpu_ms(daemon);
	sleep_ms(300);
	assert_true(daemon_cpu_ms(daemon) - cpu < 100);
	assert_int_equal(vmm_ping(&one), VIRTIO_CL_OK);
	assert_int_equal(prlimit(daemon->pid, RLIMIT_NOFILE, &before, NULL), 0);
	eventually(daemon_log_count(daemon, "is its VMM") == 2);
	close(conn);
}

/* A guest that breaks its queue has none until it starts it anew. */
static void test_queue_broken(void **state)
{
	struct daemon *daemon = &daemon_now;
	const struct virtio_cl_request ping = {VIRTIO_CL_PING, 0};
	uint16_t *available;

	(void)state;
	vm_daemon_start(daemon, "serve");
	vm_boot(&one, daemon, "a");
	vm_session(&one, VMM_FREE);
	available = vmm_at(&one, one.queues[0].available);
	available[1] += 1000;
	vmm_ring(&one, VIRTIO_CL_QUEUE_CONTROL);
	daemon_expect(daemon, "VM a: the driver broke its control queue");
	vmm_post(&one, &ping, sizeof ping, sizeof(struct virtio_cl_response));
	assert_true(vm_ticks(&one, VMM_FREE));
	vmm_stop(&one);
	vmm_reboot(&one);
	vmm_start(&one);
	vmm_fill_events(&one, 8);
	vmm_hello(&one, 9);
	vm_session(&one, VMM_FREE);
	assert_in_range(daemon_cpu_ms(daemon), 0, 500);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(test_##name, teardown)
	const struct CMUnitTest tests[] = {
		TEST(vmm_dies),	   TEST(second_vmm),	 TEST(garbage),
		TEST(memory_cut),  TEST(daemon_dies),	 TEST(daemon_stops),
		TEST(worker_dies), TEST(worker_lies),	 TEST(worker_has_no_memory),
		TEST(worker_deaf), TEST(no_descriptors), TEST(queue_broken),
	};

	return cmocka_run_group_tests_name("vm-faults", tests, NULL, NULL);
}
