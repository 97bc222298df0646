// SPDX-License-Identifier: MIT
/*
 * guestcl trace: a session's messages as they pass.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "control.h"

struct command {
	struct gcl_command common;
	uint64_t count; /* of messages, then end; 0: go on */
	uint64_t seen;
	uint64_t first; /* ns: time of the first */
};

static void call_print(struct command *command, struct json_object *call)
{
	struct json_object *name = NULL, *back = NULL;
	bool to_guest;

	if (command->common.json) {
		puts(json_object_to_json_string_ext(call, JSON_C_TO_STRING_PLAIN));
		return;
	}
	json_object_object_get_ex(call, "call", &name);
	json_object_object_get_ex(call, "to_guest", &back);
	to_guest = json_object_get_boolean(back);
	if (!command->first)
		command->first = gcl_json_number(call, "time_ns");
	printf("%12.6f  %s %-24s",
	       (double)(int64_t)(gcl_json_number(call, "time_ns") - command->first) * 1e-9,
	       to_guest ? "<-" : "->", name ? json_object_get_string(name) : "?");
	if (!to_guest)
		printf(" %10.1f us", (double)gcl_json_number(call, "took_ns") * 1e-3);
	else
		printf(" %13s", "");
	printf(" %10ju B\n", (uintmax_t)gcl_json_number(call, "bytes"));
}

/* Return: whether to go on. */
static bool calls_print(struct command *command, struct json_object *line)
{
	struct json_object *calls;
	uint64_t lost = gcl_json_number(line, "lost");

	if (lost)
		fprintf(stderr, "guestcl: %ju messages were too many, and are not shown\n",
			(uintmax_t)lost);
	if (json_object_object_get_ex(line, "ended", NULL)) {
		fprintf(stderr, "guestcl: the session has ended\n");
		return false;
	}
	if (!json_object_object_get_ex(line, "calls", &calls) ||
	    !json_object_is_type(calls, json_type_array))
		return true;
	for (size_t i = 0; i < json_object_array_length(calls); i++) {
		call_print(command, json_object_array_get_idx(calls, i));
		if (++command->seen == command->count)
			return false;
	}
	fflush(stdout);
	return true;
}

/* Return: an exit status. */
static int follow(struct command *command, struct gcl_control_client *client)
{
	const struct timeval forever = {0};
	struct json_object *line;
	bool more = true;
	int err = 0;

	/* A session may say nothing for long. */
	setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
	while (more && err == 0) {
		err = gcl_control_read(client, &line);
		if (err == 0)
			more = calls_print(command, line);
		json_object_put(line);
	}
	if (err == 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "guestcl: %s\n", client->error);
	return EX_UNAVAILABLE;
}

/* ------------------------------------------------------------ the command line */

static const struct argp_option options[] = {
	{"json", GCL_COMMAND_JSON, NULL, 0, "Print each message as a JSON object in a line", 0},
	{"count", 'n', "NUMBER", 0, "End after so many messages", 0},
	{0},
};

static error_t option_parse(int key, char *arg, struct argp_state *state)
{
	struct command *command = state->input;
	char *end;

	if (key == ARGP_KEY_ARG && (!*arg || arg[strspn(arg, "0123456789")]))
		argp_error(state, "name one session, by its number");
	if (key != 'n')
		return gcl_command_parse(key, arg, state);
	command->count = strtoull(arg, &end, 10);
	if (*end || !command->count)
		argp_error(state, "\"%s\" is no count", arg);
	return 0;
}

int gcl_trace_run(int argc, char **argv)
{
	static const struct argp parser = {
		.options = options,
		.parser = option_parse,
		.args_doc = "SESSION",
		.doc = "Shows a session's messages as they pass: calls of the guest (->) with the "
		       "time "
		       "that the worker took for them, and what goes back (<-).",
		.children = gcl_command_children,
	};
	_cleanup_(gcl_control_fini) struct gcl_control_client client;
	struct json_object *request = gcl_control_request("trace"), *answer = NULL;
	struct command command = {.common.takes = "session"};
	int err;

	argp_parse(&parser, argc, argv, 0, NULL, &command);
	gcl_control_init(&client);
	json_object_object_add(request, "session",
			       json_object_new_uint64(strtoull(command.common.whom, NULL, 10)));
	err = gcl_control_connect(&client, gcl_control_path(command.common.path));
	if (err == 0)
		err = gcl_control_ask(&client, request, &answer);
	json_object_put(request);
	json_object_put(answer);
	if (err == 0)
		return follow(&command, &client);
	fprintf(stderr, "guestcl: %s\n", client.error);
	return err == -ECANCELED ? EXIT_FAILURE : EX_UNAVAILABLE;
}
