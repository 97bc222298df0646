// SPDX-License-Identifier: MIT
/*
 * guestcl servers: the GPU servers that this host's guestcld knows, and what they say of
 * themselves.
 */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "control.h"
#include "view.h"

static struct json_object *member(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	if (json_object_is_type(object, json_type_object))
		json_object_object_get_ex(object, key, &value);
	return value;
}

/* A name of another machine's is copied as it may be shown. Return: @copy. */
static const char *text(struct json_object *object, const char *key, char *copy, size_t size)
{
	struct json_object *value = member(object, key);

	gcl_view_clean(copy, size, value ? json_object_get_string(value) : NULL);
	return copy;
}

static size_t length(struct json_object *list)
{
	return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

/* ------------------------------------------------------------ tables */

static void device_print(struct json_object *device)
{
	char name[64], available[32], memory[32], load[32];

	printf("    %-9s free of %-9s %5s%% busy  %s\n",
	       gcl_view_bytes((double)gcl_json_number(device, "free_bytes"), available,
			      sizeof available),
	       gcl_view_bytes((double)gcl_json_number(device, "memory_bytes"), memory,
			      sizeof memory),
	       text(device, "load_percent", load, sizeof load),
	       text(device, "name", name, sizeof name));
}

static void state_print(struct json_object *server)
{
	char state[16], age[32];

	text(server, "state", state, sizeof state);
	if (strcmp(state, "stale") == 0)
		printf("  as of %s ago",
		       gcl_view_age(json_object_get_double(member(server, "stale_s")), age,
				    sizeof age));
	if (json_object_get_boolean(member(server, "self")))
		printf("  this host");
	if (json_object_get_boolean(member(server, "drained")))
		printf("  drained");
	putchar('\n');
}

static void server_print(struct json_object *server)
{
	char name[72], address[272], source[16], state[16], version[32];
	struct json_object *devices = member(server, "devices");

	printf("%-20s %-28s %-12s %-6s", text(server, "name", name, sizeof name),
	       text(server, "address", address, sizeof address),
	       text(server, "source", source, sizeof source),
	       text(server, "state", state, sizeof state));
	if (!devices) {
		puts(json_object_get_boolean(member(server, "drained")) ? "  drained" : "");
		return;
	}
	printf(" %4ju%% %8ju  %-8s", (uintmax_t)gcl_json_number(server, "load_percent"),
	       (uintmax_t)gcl_json_number(server, "sessions"),
	       text(server, "version", version, sizeof version));
	state_print(server);
	for (size_t i = 0; i < length(devices); i++)
		device_print(json_object_array_get_idx(devices, i));
}

/* What has to be known before the table is believed. */
static void etcd_print(struct json_object *etcd)
{
	char state[16], error[256], age[32];

	text(etcd, "state", state, sizeof state);
	if (strcmp(state, "down") == 0)
		printf("etcd can't be reached since %s (%s): what is known from it is as it was "
		       "then\n\n",
		       gcl_view_age(json_object_get_double(member(etcd, "state_s")), age,
				    sizeof age),
		       text(etcd, "error", error, sizeof error));
	else if (strcmp(state, "starting") == 0)
		printf("etcd has not been heard of yet\n\n");
}

static void servers_print(struct json_object *answer)
{
	struct json_object *servers = member(answer, "servers");

	etcd_print(member(answer, "etcd"));
	if (length(servers) == 0) {
		puts("no servers are known: \"server\" and \"etcd\" in guestcld.conf(5) name them");
		return;
	}
	puts("SERVER               ADDRESS                      SOURCE       STATE   LOAD SESSIONS"
	     "  VERSION");
	for (size_t i = 0; i < length(servers); i++)
		server_print(json_object_array_get_idx(servers, i));
}

/* Leaves what is about servers. */
static void servers_json(struct json_object *answer)
{
	static const char *const keys[] = {"etcd", "servers"};
	struct json_object *object = json_object_new_object();

	for (size_t i = 0; i < GCL_ARRAY_SIZE(keys); i++)
		json_object_object_add(object, keys[i], json_object_get(member(answer, keys[i])));
	gcl_json_print(object);
	json_object_put(object);
}

/* ------------------------------------------------------------ the command line */

static const struct argp_option options[] = {
	{"json", GCL_COMMAND_JSON, NULL, 0, "Print JSON", 0},
	{0},
};

int gcl_servers_run(int argc, char **argv)
{
	static const struct argp parser = {
		.options = options,
		.parser = gcl_command_parse,
		.doc = "Shows the GPU servers that guestcld knows, with their devices.",
		.children = gcl_command_children,
	};
	struct gcl_command command = {0};
	struct json_object *request = gcl_control_request("status"), *answer;
	int status;

	argp_parse(&parser, argc, argv, 0, NULL, &command);
	status = gcl_control_run(command.path, request, &answer);
	if (status == EXIT_SUCCESS && command.json)
		servers_json(answer);
	else if (status == EXIT_SUCCESS)
		servers_print(answer);
	json_object_put(answer);
	json_object_put(request);
	return status;
}
