// SPDX-License-Identifier: MIT
/*
 * The request "status": all that the broker knows, as one object (guestcl-status(1) describes it).
 *
 * Counters are totals that only grow; a client takes rates from two answers and their time_ns.
 */
#include <ctype.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "control.h"
#include "vm.h"

#define VERSION 1

static void add_number(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

static void add_seconds(struct json_object *object, const char *key, double seconds)
{
	char text[32];

	snprintf(text, sizeof text, "%.3f", seconds);
	json_object_object_add(object, key, json_object_new_double_s(seconds, text));
}

/* What a guest called itself may be anything; JSON is UTF-8. */
static void add_text(struct json_object *object, const char *key, const char *text)
{
	char copy[256];
	size_t i;

	for (i = 0; i < sizeof copy - 1 && text[i]; i++)
		copy[i] = (char)(isprint((unsigned char)text[i]) ? text[i] : '?');
	copy[i] = '\0';
	json_object_object_add(object, key, json_object_new_string(copy));
}

/* ------------------------------------------------------------ limits */

static void limit_add(struct json_object *object, const struct gcl_setting *setting,
		      const void *field)
{
	char key[64];
	unsigned number;
	uint64_t size;

	memcpy(&number, field, sizeof number);
	snprintf(key, sizeof key, "%s%s", setting->name,
		 setting->kind == GCL_SETTING_SIZE	 ? "_bytes"
		 : setting->kind == GCL_SETTING_DURATION ? "_ms"
							 : "");
	for (char *c = key; *c; c++)
		*c = (char)(*c == '-' ? '_' : *c);
	switch (setting->kind) {
	case GCL_SETTING_SIZE:
		memcpy(&size, field, sizeof size);
		add_number(object, key, size);
		break;
	case GCL_SETTING_CHOICE:
		add_text(object, key, setting->choices[number]);
		break;
	default:
		add_number(object, key, number);
	}
}

struct json_object *gcl_status_limits(const struct gcl_vm_config *limits)
{
	struct json_object *object = json_object_new_object();

	for (size_t i = 0; i < gcl_vm_setting_count; i++) {
		const struct gcl_setting *setting = &gcl_vm_settings[i];

		if (setting->live)
			limit_add(object, setting, (const char *)limits + setting->offset);
	}
	return object;
}

/* ------------------------------------------------------------ counters */

static uint64_t sum(const uint64_t *values)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++)
		all += values[i];
	return all;
}

static void counts_add(struct json_object *object, const struct gcl_counts *counts)
{
	add_number(object, "memory_bytes", sum(counts->held));
	add_number(object, "heap_bytes", counts->heap);
	add_number(object, "device_time_ns", sum(counts->device_time));
	add_number(object, "wait_time_ns", sum(counts->wait_time));
	add_number(object, "bytes_from_guest", counts->bytes_from_guest);
	add_number(object, "bytes_to_guest", counts->bytes_to_guest);
	add_number(object, "calls", counts->calls);
	add_number(object, "errors", counts->errors);
}

/* One pass over the workers, however many accounts there are. */
static void accounts_sum(struct gcl_broker *broker)
{
	gcl_list_for_each (it, &broker->accounts) {
		struct gcl_account *account = gcl_container_of(it, struct gcl_account, link);

		account->now = account->ended;
		account->sessions = 0;
	}
	gcl_list_for_each (it, &broker->workers.list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		gcl_counts_add(&worker->account->now, worker->page);
		worker->account->sessions += worker->state == GCL_WORKER_SERVING;
	}
}

/* ------------------------------------------------------------ parts */

/* The second number of /proc/self/statm, in pages. */
static uint64_t resident_bytes(void)
{
	_cleanup_fclose_ FILE *statm = fopen("/proc/self/statm", "re");
	char text[128] = "";
	const char *second;

	if (!statm || !fgets(text, sizeof text, statm))
		return 0;
	second = strchr(text, ' ');
	return second ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static struct json_object *daemon_status(const struct gcl_broker *broker)
{
	struct json_object *object = json_object_new_object();

	add_number(object, "pid", (uint64_t)getpid());
	add_text(object, "version", GUESTCL_VERSION);
	add_seconds(object, "uptime_s", gcl_clock() - broker->started);
	add_number(object, "workers", broker->workers.count);
	add_number(object, "sessions", gcl_workers_sessions(&broker->workers, NULL));
	add_number(object, "sessions_served", broker->workers.sessions);
	add_number(object, "generation", broker->takeover.generation);
	add_text(object, "restart_error", broker->takeover.error);
	add_number(object, "refused", broker->refused);
	add_number(object, "devices_left_out", broker->devices.left_out);
	add_text(object, "worker_error", broker->workers.failures ? broker->workers.reason : "");
	add_number(object, "memory_bytes", resident_bytes());
	return object;
}

static const char *device_type(uint64_t type)
{
	/* CL_DEVICE_TYPE_*: the broker has no OpenCL header. */
	return type & 4 ? "gpu" : type & 2 ? "cpu" : type & 8 ? "accelerator" : "other";
}

/* For their turn on the device of that number. */
static uint64_t sessions_waiting(const struct gcl_broker *broker, unsigned index)
{
	uint64_t count = 0;

	gcl_list_for_each (it, &broker->workers.list)
		count += gcl_container_of(it, struct gcl_worker_process, link)
				 ->leases[index]
				 .client.waiting;
	return count;
}

static struct json_object *device_status(const struct gcl_broker *broker, unsigned index)
{
	const struct gcl_page_device *device = &broker->devices.list[index];
	struct json_object *object = json_object_new_object();
	uint64_t held = 0, device_time = 0, wait_time = 0;

	gcl_list_for_each (it, &broker->accounts) {
		const struct gcl_counts *now = &gcl_container_of(it, struct gcl_account, link)->now;

		held += now->held[index];
		device_time += now->device_time[index];
		wait_time += now->wait_time[index];
	}
	add_number(object, "id", index);
	add_text(object, "platform", device->platform);
	add_text(object, "name", device->name);
	add_text(object, "type", device_type(device->type));
	add_number(object, "memory_bytes", device->memory);
	add_number(object, "held_bytes", held);
	add_number(object, "device_time_ns", device_time);
	add_number(object, "wait_time_ns", wait_time);
	add_number(object, "sessions_waiting", sessions_waiting(broker, index));
	json_object_object_add(
		object, "drained",
		json_object_new_boolean((broker->moves.drained_devices >> index & 1) != 0));
	return object;
}

static struct json_object *account_devices(const struct gcl_broker *broker,
					   const struct gcl_counts *now)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < broker->devices.count; i++) {
		struct json_object *part = json_object_new_object();

		add_number(part, "device", i);
		add_number(part, "memory_bytes", now->held[i]);
		add_number(part, "device_time_ns", now->device_time[i]);
		add_number(part, "wait_time_ns", now->wait_time[i]);
		json_object_array_add(list, part);
	}
	return list;
}

static struct json_object *owner_status(struct gcl_broker *broker, const struct gcl_owner *owner,
					const char *name, const struct gcl_account *account)
{
	const struct gcl_counts *now = &account->now;
	struct json_object *object = json_object_new_object();
	struct gcl_vm_config limits;

	gcl_limits_get(broker, owner, &limits);
	add_text(object, "id", owner->name);
	add_text(object, "name", name);
	add_text(object, "kind", gcl_owner_is_user(owner) ? "user" : "vm");
	add_text(object, "state", account->paused ? "paused" : "running");
	add_number(object, "sessions", account->sessions);
	json_object_object_add(object, "limits", gcl_status_limits(&limits));
	counts_add(object, now);
	json_object_object_add(object, "devices", account_devices(broker, now));
	return object;
}

static const char *session_state(const struct gcl_worker_process *worker)
{
	if (worker->state == GCL_WORKER_ENDING || worker->end_reason)
		return "ending";
	return worker->paused || worker->account->paused ? "paused" : "running";
}

static struct json_object *session_status(const struct gcl_worker_process *worker)
{
	static const char *const channels[] = {
		[GCL_GREETING_LOCAL] = "local",
		[GCL_GREETING_VIRTIO] = "virtio",
		[GCL_GREETING_STREAM] = "stream",
	};
	struct json_object *object = json_object_new_object();
	struct gcl_counts counts = {0};

	gcl_counts_add(&counts, worker->page);
	add_number(object, "id", worker->session);
	add_text(object, "vm", worker->owner.name);
	add_text(object, "who", worker->title);
	add_text(object, "program", worker->program);
	add_number(object, "worker_pid", (uint64_t)worker->pid);
	add_text(object, "channel", worker->peer.number ? "tls" : channels[worker->channel]);
	if (worker->peer.number)
		add_text(object, "peer", worker->peer.from);
	add_text(object, "state", session_state(worker));
	add_seconds(object, "age_s", gcl_clock() - worker->serving_since);
	counts_add(object, &counts);
	gcl_moves_session_status(object, worker);
	return object;
}

/* ------------------------------------------------------------ servers */

static const char *etcd_state(const struct gcl_broker *broker)
{
	static const char *const names[] = {
		[GCL_ETCD_STATE_OFF] = "off",
		[GCL_ETCD_STATE_STARTING] = "starting",
		[GCL_ETCD_STATE_UP] = "up",
		[GCL_ETCD_STATE_DOWN] = "down",
	};

	return names[broker->etcd.state];
}

static struct json_object *etcd_status(const struct gcl_broker *broker)
{
	struct json_object *object = json_object_new_object();

	add_text(object, "state", etcd_state(broker));
	if (broker->etcd.state == GCL_ETCD_STATE_OFF)
		return object;
	add_seconds(object, "state_s", gcl_clock() - broker->etcd.since);
	add_text(object, "error", broker->etcd.reason);
	add_text(object, "announced", broker->etcd.announcement.info.name);
	return object;
}

static struct json_object *server_devices(const struct gcl_server_info *info)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < info->device_count; i++) {
		struct json_object *device = json_object_new_object();

		add_text(device, "name", info->devices[i].name);
		add_number(device, "memory_bytes", info->devices[i].memory);
		add_number(device, "free_bytes", info->devices[i].free);
		add_number(device, "load_percent", info->devices[i].load);
		json_object_array_add(list, device);
	}
	return list;
}

/* "known": nothing but its address; "stale": etcd is away, and it was so when that was last heard
 * of.
 */
static const char *server_state(const struct gcl_broker *broker, const struct gcl_server *server)
{
	if (!server->announced)
		return "known";
	return broker->etcd.state == GCL_ETCD_STATE_UP ? "up" : "stale";
}

static struct json_object *server_status(const struct gcl_broker *broker,
					 const struct gcl_server *server)
{
	struct json_object *object = json_object_new_object();
	bool stale = server->announced && broker->etcd.state != GCL_ETCD_STATE_UP;

	add_text(object, "name", server->name);
	add_text(object, "address", gcl_server_address(server));
	add_text(object, "source",
		 !server->announced    ? "static"
		 : *server->configured ? "static+etcd"
				       : "etcd");
	add_text(object, "state", server_state(broker, server));
	json_object_object_add(
		object, "drained",
		json_object_new_boolean(gcl_server_drained(&broker->moves, server->name)));
	if (!server->announced)
		return object;
	json_object_object_add(
		object, "self",
		json_object_new_boolean(strcmp(server->name, broker->etcd.announcement.info.name) ==
					0));
	add_seconds(object, "stale_s", stale ? gcl_clock() - broker->etcd.since : 0.);
	add_text(object, "version", server->info.version);
	add_number(object, "load_percent", server->info.load);
	add_number(object, "sessions", server->info.sessions);
	json_object_object_add(object, "devices", server_devices(&server->info));
	return object;
}

static struct json_object *servers_status(const struct gcl_broker *broker)
{
	struct json_object *list = json_object_new_array();

	gcl_list_for_each (it, &broker->servers.list)
		json_object_array_add(
			list, server_status(broker, gcl_container_of(it, struct gcl_server, link)));
	return list;
}

/* ------------------------------------------------------------ the whole */

static struct json_object *devices_status(const struct gcl_broker *broker)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < broker->devices.count; i++)
		json_object_array_add(list, device_status(broker, i));
	return list;
}

/* VMs first, then users that have had sessions, and VMs that went while they had some. */
static struct json_object *owners_status(struct gcl_broker *broker)
{
	static const struct gcl_account unused; /* of a VM that has had no session yet */
	struct json_object *list = json_object_new_array();

	gcl_list_for_each (it, &broker->vms) {
		const struct gcl_vm *vm = gcl_container_of(it, struct gcl_vm, link);
		const struct gcl_account *account = gcl_account_find(broker, &vm->owner);

		if (!vm->removed)
			json_object_array_add(list,
					      owner_status(broker, &vm->owner, vm->config.name,
							   account ? account : &unused));
	}
	gcl_list_for_each (it, &broker->accounts) {
		const struct gcl_account *account = gcl_container_of(it, struct gcl_account, link);

		if (!gcl_vms_find_owner(broker, &account->owner))
			json_object_array_add(list, owner_status(broker, &account->owner,
								 account->owner.name, account));
	}
	return list;
}

static struct json_object *sessions_status(const struct gcl_broker *broker)
{
	struct json_object *list = json_object_new_array();

	gcl_list_for_each (it, &broker->workers.list) {
		const struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (worker->session)
			json_object_array_add(list, session_status(worker));
	}
	return list;
}

int gcl_control_status(struct gcl_control_request *request)
{
	struct gcl_broker *broker = request->broker;
	struct json_object *answer = request->answer;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	accounts_sum(broker);
	add_number(answer, "version", VERSION);
	add_number(answer, "time_ns", (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	json_object_object_add(answer, "daemon", daemon_status(broker));
	json_object_object_add(answer, "devices", devices_status(broker));
	json_object_object_add(answer, "vms", owners_status(broker));
	json_object_object_add(answer, "sessions", sessions_status(broker));
	json_object_object_add(answer, "etcd", etcd_status(broker));
	json_object_object_add(answer, "servers", servers_status(broker));
	json_object_object_add(answer, "moves", gcl_moves_status(&broker->moves));
	return 0;
}
