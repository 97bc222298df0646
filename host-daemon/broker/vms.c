// SPDX-License-Identifier: MIT
/*
 * Which VMs there are: those of the configuration, and those that come and go at run time.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "vm.h"
#include "vsock.h"

size_t gcl_vms_count(const struct gcl_broker *broker)
{
	return gcl_list_count(&broker->vms);
}

struct gcl_vm *gcl_vms_find(struct gcl_broker *broker, const char *id)
{
	gcl_list_for_each (it, &broker->vms) {
		struct gcl_vm *vm = gcl_container_of(it, struct gcl_vm, link);

		if (!vm->removed && strcmp(vm->config.id, id) == 0)
			return vm;
	}
	return NULL;
}

struct gcl_vm *gcl_vms_find_owner(struct gcl_broker *broker, const struct gcl_owner *owner)
{
	gcl_list_for_each (it, &broker->vms) {
		struct gcl_vm *vm = gcl_container_of(it, struct gcl_vm, link);

		if (!vm->removed && gcl_owner_same(&vm->owner, owner))
			return vm;
	}
	return NULL;
}

struct gcl_vm *gcl_vms_find_cid(struct gcl_broker *broker, unsigned cid)
{
	gcl_list_for_each (it, &broker->vms) {
		struct gcl_vm *vm = gcl_container_of(it, struct gcl_vm, link);

		if (!vm->removed && vm->config.cid && vm->config.cid == cid)
			return vm;
	}
	return NULL;
}

/* Whether the VM keeps the socket of its VMM with the new configuration. */
static bool socket_kept(const struct gcl_vm *vm, const struct gcl_vm_config *config)
{
	char path[sizeof vm->broker->config.socket];

	if (*config->socket)
		return strcmp(config->socket, vm->socket.path) == 0;
	snprintf(path, sizeof path, "%s/%s.sock", vm->broker->config.vm_dir, config->id);
	return strcmp(path, vm->socket.path) == 0;
}

/* A VM that was removed still has workers: its owner's limits count them. */
int gcl_vms_add(struct gcl_broker *broker, const struct gcl_vm_config *config)
{
	struct gcl_vm *vm = gcl_vms_find(broker, config->id);
	int err;

	if (vm && !socket_kept(vm, config)) {
		gcl_vm_remove(vm);
		vm = NULL;
	}
	if (vm) {
		if (strcmp(vm->config.name, config->name) != 0)
			gcl_log_info(vm, "VM %s: is called %s now", vm->config.name, config->name);
		gcl_vm_configure(vm, config);
		gcl_accounts_configure(broker);
		return 0;
	}
	err = gcl_vm_create(broker, config, &vm);
	if (err < 0) {
		gcl_log_error(vm, "VM %s: is not served: %s", config->name, strerror(-err));
		return err;
	}
	gcl_list_append(&broker->vms, &vm->link);
	gcl_accounts_configure(broker);
	gcl_broker_files_raise(broker);
	return 0;
}

bool gcl_vms_remove(struct gcl_broker *broker, const char *id)
{
	struct gcl_vm *vm = gcl_vms_find(broker, id);

	if (!vm)
		return false;
	gcl_log_info(vm, "VM %s: is no longer served", vm->config.name);
	gcl_vm_remove(vm);
	return true;
}

static bool configured(const struct gcl_config *config, const char *id)
{
	for (size_t i = 0; i < config->vm_count; i++) {
		if (strcmp(config->vms[i].id, id) == 0)
			return true;
	}
	return false;
}

void gcl_vms_configure(struct gcl_broker *broker)
{
	const struct gcl_config *config = &broker->config;

	gcl_list_for_each_safe (it, next, &broker->vms) {
		struct gcl_vm *vm = gcl_container_of(it, struct gcl_vm, link);

		if (vm->configured && !vm->removed && !configured(config, vm->config.id))
			gcl_vms_remove(broker, vm->config.id);
	}
	for (size_t i = 0; i < config->vm_count; i++) {
		if (gcl_vms_add(broker, &config->vms[i]) == 0)
			gcl_vms_find(broker, config->vms[i].id)->configured = true;
	}
}

void gcl_vms_stop(struct gcl_broker *broker)
{
	gcl_list_for_each (it, &broker->vms)
		gcl_vm_deafen(gcl_container_of(it, struct gcl_vm, link));
}

void gcl_vms_fini(struct gcl_broker *broker)
{
	gcl_list_for_each_safe (it, next, &broker->vms)
		gcl_vm_destroy(gcl_container_of(it, struct gcl_vm, link));
}
