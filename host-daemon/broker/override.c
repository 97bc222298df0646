// SPDX-License-Identifier: MIT
#include "override.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vm.h"

/* So that a script that names ever new users doesn't fill the memory. */
#define OVERRIDES_MAX 4096u

static const char back[] = "default";

static struct gcl_override *override_find(struct gcl_broker *broker, const struct gcl_owner *owner,
					  const struct gcl_setting *setting)
{
	gcl_list_for_each (it, &broker->overrides) {
		struct gcl_override *override = gcl_container_of(it, struct gcl_override, link);

		if (override->setting == setting && gcl_owner_same(&override->owner, owner))
			return override;
	}
	return NULL;
}

void gcl_limits_get(struct gcl_broker *broker, const struct gcl_owner *owner,
		    struct gcl_vm_config *limits)
{
	const struct gcl_vm *vm = gcl_vms_find_owner(broker, owner);
	char error[256];

	gcl_vm_config_init(limits, owner->name, error, sizeof error);
	if (vm) {
		*limits = vm->config;
	} else if (gcl_owner_is_user(owner)) {
		limits->memory = broker->config.user_memory;
		limits->max_sessions = broker->config.max_sessions_per_user;
		limits->heap_memory = broker->config.user_heap_memory;
		limits->kernel_time = broker->config.user_kernel_time;
		limits->host_memory = broker->config.user_host_memory;
		limits->host_processes = broker->config.user_host_processes;
		limits->session_rate = broker->config.user_session_rate;
	}
	gcl_list_for_each (it, &broker->overrides) {
		const struct gcl_override *override =
			gcl_container_of(it, struct gcl_override, link);

		if (gcl_owner_same(&override->owner, owner))
			gcl_vm_config_set(limits, override->setting->name, override->value, error,
					  sizeof error);
	}
}

int gcl_override_check(const char *key, const char *value, char *error, size_t error_size)
{
	const struct gcl_setting *setting = gcl_vm_setting_find(key);
	struct gcl_vm_config scratch;

	if (!setting || !setting->live) {
		snprintf(error, error_size, "\"%.40s\" can't be set while guestcld runs", key);
		return -ENOENT;
	}
	if (strlen(value) >= GCL_OVERRIDE_VALUE_MAX) {
		snprintf(error, error_size, "the value of %s is too long", key);
		return -EINVAL;
	}
	if (strcmp(value, back) == 0)
		return 0;
	return gcl_vm_config_set(&scratch, key, value, error, error_size);
}

int gcl_override_set(struct gcl_broker *broker, const struct gcl_owner *owner, const char *key,
		     const char *value)
{
	const struct gcl_setting *setting = gcl_vm_setting_find(key);
	struct gcl_override *override = override_find(broker, owner, setting);

	if (strcmp(value, back) == 0) {
		if (override)
			gcl_list_remove(&override->link);
		free(override);
		return 0;
	}
	if (!override && gcl_list_count(&broker->overrides) >= OVERRIDES_MAX)
		return -E2BIG;
	if (!override) {
		override = calloc(1, sizeof *override);
		if (!override)
			return -ENOMEM;
		override->owner = *owner;
		override->setting = setting;
		gcl_list_append(&broker->overrides, &override->link);
	}
	snprintf(override->value, sizeof override->value, "%s", value);
	return 0;
}

void gcl_overrides_fini(struct gcl_broker *broker)
{
	gcl_list_for_each_safe (it, next, &broker->overrides) {
		gcl_list_remove(it);
		free(gcl_container_of(it, struct gcl_override, link));
	}
}
