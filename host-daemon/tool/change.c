// SPDX-License-Identifier: MIT
/*
 * guestcl set, pause, resume, end, restart: what an operator changes while guestcld runs.
 */
#include <ctype.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "base/cleanup.h"
#include "broker/config.h"
#include "control.h"

/* Options of "set" are the settings that can be set: their keys, from here on, are their places. */
#define KEY_SETTING 1024

#define SETTINGS_MAX 64u

/* Of "set". */
struct set_command {
	struct gcl_command common;
	struct json_object *values;
};

static bool is_session(const char *whom)
{
	return *whom && strspn(whom, "0123456789") == strlen(whom);
}

/* A name that is a number is a session's. */
static void whom_add(struct json_object *request, const char *whom)
{
	if (is_session(whom))
		json_object_object_add(request, "session",
				       json_object_new_uint64(strtoull(whom, NULL, 10)));
	else
		json_object_object_add(request, "vm", json_object_new_string(whom));
}

/* ------------------------------------------------------------ set */

static const char *kind_name(const struct gcl_setting *setting)
{
	switch (setting->kind) {
	case GCL_SETTING_SIZE:
		return "SIZE";
	case GCL_SETTING_DURATION:
		return "TIME";
	case GCL_SETTING_CHOICE:
		return "WORD";
	default:
		return "NUMBER";
	}
}

static error_t set_parse(int key, char *arg, struct argp_state *state)
{
	const struct set_command *command = state->input;

	if (key < KEY_SETTING || key >= KEY_SETTING + (int)gcl_vm_setting_count)
		return gcl_command_parse(key, arg, state);
	json_object_object_add(command->values, gcl_vm_settings[key - KEY_SETTING].name,
			       json_object_new_string(arg));
	return 0;
}

/* From the table of a VM's settings. @options has room for SETTINGS_MAX. */
static void options_fill(struct argp_option *options)
{
	size_t used = 0;

	for (size_t i = 0; i < gcl_vm_setting_count && used < SETTINGS_MAX - 1; i++) {
		const struct gcl_setting *setting = &gcl_vm_settings[i];

		if (setting->live)
			options[used++] = (struct argp_option){
				.name = setting->name,
				.key = KEY_SETTING + (int)i,
				.arg = kind_name(setting),
				.doc = setting->help,
			};
	}
	options[used] = (struct argp_option){0};
}

static void limits_print(struct json_object *answer)
{
	struct json_object_iterator it, last;
	struct json_object *limits;

	if (!json_object_object_get_ex(answer, "limits", &limits))
		return;
	last = json_object_iter_end(limits);
	for (it = json_object_iter_begin(limits); !json_object_iter_equal(&it, &last);
	     json_object_iter_next(&it))
		printf("%-20s %s\n", json_object_iter_peek_name(&it),
		       json_object_get_string(json_object_iter_peek_value(&it)));
}

int gcl_set_run(int argc, char **argv)
{
	struct argp_option options[SETTINGS_MAX];
	const struct argp parser = {
		.options = options,
		.parser = set_parse,
		.args_doc = "VM",
		.doc = "Changes what a VM may have, while guestcld runs and until it stops.\v"
		       "VM is a name of guestcl status, or uid-N for a user. A value \"default\" "
		       "puts back what the configuration says.",
		.children = gcl_command_children,
	};
	struct set_command command = {.common.takes = "VM", .values = json_object_new_object()};
	struct json_object *request = gcl_control_request("set"), *answer;
	int status;

	options_fill(options);
	argp_parse(&parser, argc, argv, 0, NULL, &command);
	json_object_object_add(request, "vm", json_object_new_string(command.common.whom));
	json_object_object_add(request, "values", command.values);
	status = gcl_control_run(command.common.path, request, &answer);
	if (status == EXIT_SUCCESS)
		limits_print(answer);
	json_object_put(answer);
	json_object_put(request);
	return status;
}

/* ------------------------------------------------------------ pause, resume, end */

static int simple_run(int argc, char **argv, const char *name, const char *doc)
{
	const struct argp parser = {
		.parser = gcl_command_parse,
		.args_doc = "VM|SESSION",
		.doc = doc,
		.children = gcl_command_children,
	};
	struct gcl_command command = {.takes = "VM or session"};
	struct json_object *request = gcl_control_request(name), *answer, *ended;
	int status;

	argp_parse(&parser, argc, argv, 0, NULL, &command);
	whom_add(request, command.whom);
	status = gcl_control_run(command.path, request, &answer);
	if (status == EXIT_SUCCESS && json_object_object_get_ex(answer, "ended", &ended))
		printf("sessions ended: %s\n", json_object_get_string(ended));
	json_object_put(answer);
	json_object_put(request);
	return status;
}

int gcl_pause_run(int argc, char **argv)
{
	return simple_run(argc, argv, "pause",
			  "Has a VM's sessions, or one session, begin nothing new.\v"
			  "What runs on a device ends; programs wait until guestcl resume.");
}

int gcl_resume_run(int argc, char **argv)
{
	return simple_run(argc, argv, "resume", "Lets what guestcl pause has stopped go on.");
}

int gcl_end_run(int argc, char **argv)
{
	return simple_run(argc, argv, "end",
			  "Ends a session, or all of a VM's.\v"
			  "The program's calls fail as if the device had been taken away; others "
			  "go on.");
}

/* ------------------------------------------------------------ restart */

/* The new one's first answer comes when it listens; until then nobody may answer. */
#define RESTART_SECONDS 30

/* Return: 1 when the new program serves, 0 not yet, -1 with the reason in client->error. */
static int restarted(struct gcl_control_client *client, const char *path, uint64_t before)
{
	struct json_object *request = gcl_control_request("status"), *answer = NULL;
	struct json_object *daemon = NULL, *generation = NULL, *error = NULL;
	int result = 0;

	if (gcl_control_connect(client, path) == 0 &&
	    gcl_control_ask(client, request, &answer) == 0 &&
	    json_object_object_get_ex(answer, "daemon", &daemon)) {
		json_object_object_get_ex(daemon, "generation", &generation);
		json_object_object_get_ex(daemon, "restart_error", &error);
		result = json_object_get_uint64(generation) > before;
		if (!result && json_object_get_string_len(error) > 0) {
			snprintf(client->error, sizeof client->error, "%s",
				 json_object_get_string(error));
			result = -1;
		}
	}
	json_object_put(answer);
	json_object_put(request);
	return result;
}

static int restart_wait(const char *path, uint64_t before)
{
	_cleanup_(gcl_control_fini) struct gcl_control_client client;
	int result = 0;

	gcl_control_init(&client);
	for (int i = 0; i < RESTART_SECONDS * 20 && result == 0; i++) {
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
		result = restarted(&client, path, before);
	}
	if (result > 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "guestcl: %s\n",
		result < 0 ? client.error : "guestcld has not restarted: see its log");
	return EXIT_FAILURE;
}

int gcl_restart_run(int argc, char **argv)
{
	static const struct argp parser = {
		.parser = gcl_command_parse,
		.doc = "Has guestcld's program, which may have been upgraded, take over; sessions "
		       "go "
		       "on.\vIf it can't, the running one goes on, and the reason is said.",
		.children = gcl_command_children,
	};
	struct gcl_command command = {0};
	struct json_object *request = gcl_control_request("restart"), *answer, *generation = NULL;
	int status;

	argp_parse(&parser, argc, argv, 0, NULL, &command);
	status = gcl_control_run(command.path, request, &answer);
	if (status == EXIT_SUCCESS) {
		json_object_object_get_ex(answer, "generation", &generation);
		status = restart_wait(gcl_control_path(command.path),
				      json_object_get_uint64(generation));
	}
	json_object_put(answer);
	json_object_put(request);
	return status;
}
