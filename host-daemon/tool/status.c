// SPDX-License-Identifier: MIT
/*
 * guestcl status: what guestcld serves, as tables or as its own JSON.
 */
#include <string.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "control.h"
#include "view.h"

/* ------------------------------------------------------------ tables */

/* Room for a number as people read it; a table's line has several. */
struct text {
	char text[32];
};

#define BYTES(value) gcl_view_bytes((double)(value), (struct text){0}.text, sizeof(struct text))
#define TIME(value)  gcl_view_time((value), (struct text){0}.text, sizeof(struct text))

static void device_print(const struct gcl_view_row *device)
{
	printf("%-3s %-12s %8s of %-8s %10s %10s %6ju  %s\n", device->id, device->state,
	       BYTES(device->counts.memory), BYTES(device->limit), TIME(device->counts.busy),
	       TIME(device->counts.wait), (uintmax_t)device->waiting, device->name);
}

static void vm_print(const struct gcl_view_row *vm)
{
	printf("%-20s %-8s %8ju %6ju %8s of %-8s %10s %10s %8ju\n", vm->name, vm->state,
	       (uintmax_t)vm->sessions, (uintmax_t)vm->weight, BYTES(vm->counts.memory),
	       vm->limit ? BYTES(vm->limit) : "no limit", TIME(vm->counts.busy),
	       TIME(vm->counts.wait), (uintmax_t)vm->counts.errors);
}

static void session_print(const struct gcl_view_row *session)
{
	printf("%-8s %-20s %-8s %-8s %8s %10s %8s %8s %8ju  %s%s%s%s%s%s%s\n", session->id,
	       session->owner, session->kind, session->state, BYTES(session->counts.memory),
	       TIME(session->counts.busy), BYTES(session->counts.from_guest),
	       BYTES(session->counts.to_guest), (uintmax_t)session->counts.calls, session->name,
	       *session->peer ? ", from " : "", session->peer, *session->at ? ", on " : "",
	       session->at, *session->move ? ", " : "", session->move);
}

static void table_print(const struct gcl_view_rows *rows, const char *head,
			void (*print)(const struct gcl_view_row *))
{
	printf("\n%s\n", head);
	for (size_t i = 0; i < rows->count; i++)
		print(&rows->rows[i]);
}

/* One line, where there is something to say. */
static void servers_print(const struct gcl_view *view)
{
	uint64_t servers = view->servers_up + view->servers_stale + view->servers_known;
	char age[32];

	if (strcmp(view->etcd, "down") == 0)
		printf("etcd can't be reached since %s (%s); what is known goes on being used\n",
		       gcl_view_age(view->etcd_age, age, sizeof age), view->etcd_error);
	if (servers)
		printf("%ju GPU servers are known: guestcl servers lists them\n",
		       (uintmax_t)servers);
}

/* Return: an exit status. */
static int status_print(struct json_object *status)
{
	_cleanup_(gcl_view_fini) struct gcl_view view;
	char age[32];

	if (gcl_view_read(&view, status) < 0) {
		fprintf(stderr, "guestcl: no memory is left\n");
		return EX_OSERR;
	}
	printf("guestcld %s, process %ju, up %s: %ju sessions, %ju served so far, %ju refused\n",
	       view.version, (uintmax_t)view.pid, gcl_view_age(view.uptime, age, sizeof age),
	       (uintmax_t)view.sessions, (uintmax_t)view.served, (uintmax_t)view.refused);
	servers_print(&view);
	if (*view.worker_error)
		printf("no worker can be prepared: %s\n", view.worker_error);
	if (view.left_out)
		printf("devices that are not offered: %ju; guestcld's log names them\n",
		       (uintmax_t)view.left_out);
	table_print(&view.devices,
		    "DEVICE             MEMORY HELD          BUSY     WAITED  QUEUE  NAME",
		    device_print);
	table_print(&view.vms,
		    "VM                   STATE    SESSIONS WEIGHT   MEMORY HELD            BUSY"
		    "     WAITED   ERRORS",
		    vm_print);
	table_print(&view.items,
		    "SESSION  VM                   CHANNEL  STATE      MEMORY       BUSY       IN"
		    "      OUT    CALLS  PROGRAM",
		    session_print);
	return EXIT_SUCCESS;
}

/* ------------------------------------------------------------ one VM */

static const char *text_of(struct json_object *object, const char *key)
{
	struct json_object *value;
	const char *text;

	if (!json_object_object_get_ex(object, key, &value))
		return "";
	text = json_object_get_string(value);
	return text ? text : "";
}

static bool is_vm(struct json_object *vm, const char *name)
{
	const char *id = text_of(vm, "id");

	return strcmp(text_of(vm, "name"), name) == 0 || strcmp(id, name) == 0 ||
	       (strncmp(id, "vm-", 3) == 0 && strcmp(id + 3, name) == 0);
}

/* Leaves in the list @key what has @field as @id. */
static void list_filter(struct json_object *status, const char *key, const char *field,
			const char *id)
{
	struct json_object *list, *kept = json_object_new_array();

	if (json_object_object_get_ex(status, key, &list)) {
		for (size_t i = 0; i < json_object_array_length(list); i++) {
			struct json_object *item = json_object_array_get_idx(list, i);

			if (strcmp(text_of(item, field), id) == 0)
				json_object_array_add(kept, json_object_get(item));
		}
	}
	json_object_object_add(status, key, kept);
}

/* Return: false if there is no such VM. */
static bool status_filter(struct json_object *status, const char *name)
{
	struct json_object *vms;
	char id[256] = "";

	if (!json_object_object_get_ex(status, "vms", &vms))
		return false;
	for (size_t i = 0; i < json_object_array_length(vms) && !*id; i++) {
		struct json_object *vm = json_object_array_get_idx(vms, i);

		if (is_vm(vm, name))
			snprintf(id, sizeof id, "%s", text_of(vm, "id"));
	}
	if (!*id)
		return false;
	list_filter(status, "vms", "id", id);
	list_filter(status, "sessions", "vm", id);
	return true;
}

/* ------------------------------------------------------------ the command line */

static const struct argp_option options[] = {
	{"json", GCL_COMMAND_JSON, NULL, 0, "Print guestcld's JSON", 0},
	{0},
};

int gcl_status_run(int argc, char **argv)
{
	static const struct argp parser = {
		.options = options,
		.parser = gcl_command_parse,
		.args_doc = "[VM]",
		.doc = "Shows what guestcld serves: devices, VMs and users, sessions.",
		.children = gcl_command_children,
	};
	struct gcl_command command = {.takes = "VM", .optional = true};
	struct json_object *request = gcl_control_request("status"), *answer;
	int status;

	argp_parse(&parser, argc, argv, 0, NULL, &command);
	status = gcl_control_run(command.path, request, &answer);
	if (status == EXIT_SUCCESS && command.whom && !status_filter(answer, command.whom)) {
		fprintf(stderr, "guestcl: there is no VM \"%s\": guestcl status lists them\n",
			command.whom);
		status = EXIT_FAILURE;
	}
	if (status == EXIT_SUCCESS && command.json)
		gcl_json_print(answer);
	else if (status == EXIT_SUCCESS)
		status = status_print(answer);
	json_object_put(answer);
	json_object_put(request);
	return status;
}
