// SPDX-License-Identifier: MIT
#include "takeover-state.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "takeover.h"
#include "tls-link.h"
#include "vm.h"

/* Raised when what is saved means something else though its sizes are the same. */
#define MEANING 6u

/* Sizes tell most changes: of what is saved here, and of what processes of another build share with
 * us. FNV-1a. */
unsigned gcl_takeover_layout(void)
{
	static const size_t sizes[] = {
		MEANING,
		sizeof(struct gcl_page),
		sizeof(struct gcl_note),
		GCL_NOTE_LIMIT,
		GCL_END_LIMIT,
		sizeof(struct gcl_vm_config),
		sizeof(struct gcl_owner),
		sizeof(struct gcl_counts),
		sizeof(struct gcl_allowance),
		sizeof(struct gcl_devices),
		sizeof(struct gcl_device),
		sizeof(struct gcl_device_session),
		sizeof(struct gcl_hello),
		sizeof(struct gcl_worker_process),
		sizeof(struct gcl_override),
		sizeof(struct gcl_socket),
		/* guestcl-tls stays, too. */
		GCL_FRONT_FILES,
		sizeof(struct gcl_front_setup),
		sizeof(struct gcl_front_guest),
		sizeof(struct gcl_server_info),
		sizeof(struct gcl_move),
		sizeof(struct gcl_worker_moves),
		GCL_MOVE_RESULT_LIMIT,
		/* guestcl-link as well. */
		sizeof(struct gcl_link_said),
	};
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < GCL_ARRAY_SIZE(sizes); i++)
		hash = (hash ^ (uint32_t)sizes[i]) * 16777619u;
	return hash;
}

/* ------------------------------------------------------------ lists */

/* How many, and each. */
static void list_save(const struct gcl_list *list, struct gcl_state *state,
		      void (*save)(struct gcl_list *, struct gcl_state *))
{
	gcl_state_put_number(state, gcl_list_count(list));
	gcl_list_for_each (it, list)
		save(it, state);
}

static void list_load(struct gcl_broker *broker, struct gcl_state *state,
		      void (*load)(struct gcl_broker *, struct gcl_state *))
{
	uint64_t count = gcl_state_get_number(state);

	for (uint64_t i = 0; i < count && !state->bad; i++)
		load(broker, state);
}

/* ------------------------------------------------------------ accounts */

static void account_save(struct gcl_list *link, struct gcl_state *state)
{
	const struct gcl_account *account = gcl_container_of(link, struct gcl_account, link);

	GCL_STATE_PUT(state, account->owner);
	GCL_STATE_PUT(state, account->ended);
	GCL_STATE_PUT(state, account->paused);
}

static void account_load(struct gcl_broker *broker, struct gcl_state *state)
{
	struct gcl_account *account, scratch;
	struct gcl_owner owner;

	GCL_STATE_GET(state, owner);
	account = state->bad ? NULL : gcl_account_get(broker, &owner);
	if (!account)
		account = &scratch;
	GCL_STATE_GET(state, account->ended);
	GCL_STATE_GET(state, account->paused);
}

static void override_save(struct gcl_list *link, struct gcl_state *state)
{
	const struct gcl_override *override = gcl_container_of(link, struct gcl_override, link);
	char key[64] = "";

	snprintf(key, sizeof key, "%s", override->setting->name);
	GCL_STATE_PUT(state, override->owner);
	GCL_STATE_PUT(state, key);
	GCL_STATE_PUT(state, override->value);
}

static void override_load(struct gcl_broker *broker, struct gcl_state *state)
{
	char key[64], value[GCL_OVERRIDE_VALUE_MAX], error[256];
	struct gcl_owner owner;

	GCL_STATE_GET(state, owner);
	GCL_STATE_GET(state, key);
	GCL_STATE_GET(state, value);
	if (!state->bad && gcl_override_check(key, value, error, sizeof error) == 0)
		gcl_override_set(broker, &owner, key, value);
}

/* ------------------------------------------------------------ workers */

static void workers_save(const struct gcl_workers *workers, struct gcl_state *state)
{
	gcl_state_put_number(state, workers->sessions);
	GCL_STATE_PUT(state, workers->spare_owner);
	gcl_state_put_number(state, gcl_workers_sessions(workers, NULL));
	gcl_list_for_each (it, &workers->list) {
		const struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (worker->state == GCL_WORKER_SERVING)
			gcl_worker_save(worker, state);
	}
}

static void worker_load(struct gcl_broker *broker, struct gcl_state *state)
{
	if (gcl_worker_restore(&broker->workers, state) < 0)
		gcl_log_error(broker, "a session is lost");
}

static void workers_load(struct gcl_broker *broker, struct gcl_state *state)
{
	broker->workers.sessions = gcl_state_get_number(state);
	GCL_STATE_GET(state, broker->workers.spare_owner);
	list_load(broker, state, worker_load);
}

/* ------------------------------------------------------------ VMs */

static void vm_save(struct gcl_list *link, struct gcl_state *state)
{
	struct gcl_vm *vm = gcl_container_of(link, struct gcl_vm, link);

	GCL_STATE_PUT(state, vm->config);
	GCL_STATE_PUT(state, vm->configured);
	gcl_state_put_fd(state, vm->conn);
	if (vm->conn < 0)
		return;
	gcl_device_save(&vm->device, state);
	gcl_vm_sessions_save(vm, state);
}

static void vm_load(struct gcl_broker *broker, struct gcl_state *state)
{
	struct gcl_vm_config config;
	bool configured, good;
	struct gcl_vm *vm = NULL;
	int conn;

	GCL_STATE_GET(state, config);
	GCL_STATE_GET(state, configured);
	conn = gcl_state_get_fd(state);
	if (!state->bad && gcl_vms_add(broker, &config) == 0)
		vm = gcl_vms_find(broker, config.id);
	if (!vm) {
		/* What follows in the state can't be told apart from other VMs' any more. */
		gcl_cleanup_close(&conn);
		state->bad = true;
		return;
	}
	vm->configured = configured;
	if (!configured)
		gcl_libvirt_adopt(&broker->libvirt, config.id);
	if (conn < 0)
		return;
	vm->conn = conn;
	good = gcl_device_restore(&vm->device, conn, state);
	if (good)
		good = gcl_vm_sessions_restore(vm, state);
	if (good)
		return;
	gcl_log_error(vm, "VM %s: its sessions are lost", config.name);
	gcl_vm_disconnect(vm);
	state->bad = true;
}

/* ------------------------------------------------------------ the whole */

void gcl_takeover_save(struct gcl_broker *broker, struct gcl_state *state)
{
	gcl_state_put_number(state, gcl_takeover_layout());
	gcl_state_put_number(state, broker->takeover.generation);
	GCL_STATE_PUT(state, broker->started);
	GCL_STATE_PUT(state, broker->refused);
	GCL_STATE_PUT(state, broker->devices);
	gcl_sockets_save(state);
	list_save(&broker->overrides, state, override_save);
	list_save(&broker->accounts, state, account_save);
	workers_save(&broker->workers, state);
	list_save(&broker->vms, state, vm_save);
	gcl_front_save(&broker->front, state);
	gcl_servers_save(&broker->servers, state);
	GCL_STATE_PUT(state, broker->etcd.state);
	GCL_STATE_PUT(state, broker->etcd.since);
	gcl_moves_save(&broker->moves, state);
}

int gcl_takeover_load(struct gcl_broker *broker, struct gcl_state *state)
{
	if (gcl_state_get_number(state) != gcl_takeover_layout())
		return -EINVAL;
	broker->takeover.generation = gcl_state_get_number(state) + 1;
	GCL_STATE_GET(state, broker->started);
	GCL_STATE_GET(state, broker->refused);
	GCL_STATE_GET(state, broker->devices);
	gcl_sockets_restore(state);
	list_load(broker, state, override_load);
	list_load(broker, state, account_load);
	workers_load(broker, state);
	list_load(broker, state, vm_load);
	gcl_front_restore(&broker->front, state);
	gcl_servers_restore(&broker->servers, state);
	GCL_STATE_GET(state, broker->etcd.state);
	GCL_STATE_GET(state, broker->etcd.since);
	gcl_moves_restore(&broker->moves, state);
	return state->bad ? -EINVAL : 0;
}
