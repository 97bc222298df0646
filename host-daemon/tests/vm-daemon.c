// SPDX-License-Identifier: MIT
#include "vm-daemon.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

void vm_daemon_config(const struct daemon *daemon, const char *sections)
{
	char text[1024];

	snprintf(text, sizeof text,
		 "vm-dir = \"%s/vm\"\nvm-socket-group = \"\"\nspare-workers = 0\n%s",
		 daemon->folder, sections);
	daemon_config(daemon, text);
}

void vm_daemon_start(struct daemon *daemon, const char *plan)
{
	daemon_init(daemon, plan);
	vm_daemon_config(daemon, "vm \"a\" {\n max-sessions = 2\n}\nvm \"b\" {\n}\n");
	daemon_start(daemon, NULL);
	daemon_expect(daemon, "ready");
}

static void turn(void *data)
{
	(void)data;
	sleep_ms(1);
}

static int vm_socket(const struct daemon *daemon, const char *vm)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%.64s/vm/%.16s.sock", daemon->folder,
		 vm);
	eventually(connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ||
		   errno == EISCONN);
	return fd;
}

void vm_connect(struct vmm *vmm, const struct daemon *daemon, const char *vm)
{
	vmm->turn = turn;
	vmm_attach(vmm, vm_socket(daemon, vm));
	vmm_start(vmm);
}

void vm_boot(struct vmm *vmm, const struct daemon *daemon, const char *vm)
{
	vmm_init(vmm);
	vm_connect(vmm, daemon, vm);
	vmm_fill_events(vmm, 8);
	assert_int_equal(vmm_event(vmm).type, VIRTIO_CL_EVENT_ALL_ENDED);
	vmm_hello(vmm, 7);
}

void vm_reconnect(struct vmm *vmm, const struct daemon *daemon, const char *vm)
{
	vmm_detach(vmm);
	for (unsigned i = 0; i < VMM_QUEUES; i++)
		vmm->queues[i].base = vmm->queues[i].last_used;
	vm_connect(vmm, daemon, vm);
}

uint32_t vm_session(struct vmm *vmm, uint64_t address)
{
	struct virtio_cl_open_response response;
	enum virtio_cl_status status = vmm_open(vmm, address, &response);

	if (status != VIRTIO_CL_OK)
		fail_msg("status %d: %s", (int)status, response.text);
	assert_true(vm_rings(vmm, address)->pid != 0);
	return response.session;
}

const volatile struct fake_rings *vm_rings(const struct vmm *vmm, uint64_t address)
{
	return vmm_at(vmm, address);
}

bool vm_ticks(const struct vmm *vmm, uint64_t address)
{
	uint64_t before = vm_rings(vmm, address)->ticks;

	for (int i = 0; i < 100; i++) {
		if (vm_rings(vmm, address)->ticks != before)
			return true;
		sleep_ms(1);
	}
	return false;
}

struct virtio_cl_event vm_event_but_wakes(struct vmm *vmm)
{
	struct virtio_cl_event event;

	do {
		event = vmm_event(vmm);
		vmm_fill_events(vmm, 1);
	} while (event.type == VIRTIO_CL_EVENT_WAKE);
	return event;
}

bool process_gone(uint32_t pid)
{
	return kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}
