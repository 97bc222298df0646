// SPDX-License-Identifier: MIT
/*
 * guestcl why: the figures behind a session's being where it is.
 */
#include <inttypes.h>
#include <string.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "control.h"
#include "view.h"

static const char *text_of(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_string(value) : "";
}

static double seconds_of(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_double(value) : 0.;
}

static bool is_true(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) && json_object_get_boolean(value);
}

/* The decision's own lines, each on its own. */
static void lines_print(struct json_object *decision)
{
	_cleanup_free_ char *copy = strdup(text_of(decision, "lines"));
	char *rest = copy, *line, clean[512];

	while (copy && (line = strsep(&rest, "\n")) && *line) {
		gcl_view_clean(clean, sizeof clean, line);
		puts(clean);
	}
}

static void keeps_print(struct json_object *answer)
{
	struct json_object *list;
	char name[96];

	if (is_true(answer, "unfit"))
		puts("It can't move at all: see its last move.");
	if (is_true(answer, "pinned"))
		puts("It was moved there by hand, and stays until it is moved home so.");
	if (seconds_of(answer, "rest_s") > 0.)
		printf("A move of it failed: no other is tried in the next %.0f s.\n",
		       seconds_of(answer, "rest_s"));
	if (!json_object_object_get_ex(answer, "refused_by", &list))
		return;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		gcl_view_clean(name, sizeof name,
			       json_object_get_string(json_object_array_get_idx(list, i)));
		printf("It can't run on %s.\n", name);
	}
}

/* Only while it is away. */
static void replay_print(struct json_object *answer)
{
	const char *replay = text_of(answer, "replay");
	bool possible = strcmp(replay, "possible") == 0;
	char text[256];

	if (!*replay || strcmp(replay, "none") == 0)
		return;
	gcl_view_clean(text, sizeof text, text_of(answer, "replay_text"));
	printf("If its server were lost, what was done there would be %s%s.\n",
	       possible ? "done again here" : "lost: ", possible ? "" : text);
}

static void last_print(struct json_object *answer)
{
	struct json_object *last, *move;
	char text[256];

	if (json_object_object_get_ex(answer, "last", &last)) {
		printf("\nDecided %.0f s ago:\n", seconds_of(last, "ago_s"));
		lines_print(last);
	}
	if (!json_object_object_get_ex(answer, "last_move", &move))
		return;
	gcl_view_clean(text, sizeof text, text_of(move, "text"));
	printf("\nIts last move: %s\n", text);
}

static void why_print(struct json_object *answer)
{
	struct json_object *now;
	char policy[32];

	gcl_view_clean(policy, sizeof policy, text_of(answer, "placement"));
	printf("Now (placement = %s):\n", policy);
	if (json_object_object_get_ex(answer, "now", &now))
		lines_print(now);
	else
		puts("nothing is known of it yet");
	keeps_print(answer);
	replay_print(answer);
	last_print(answer);
}

int gcl_why_run(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"json", GCL_COMMAND_JSON, NULL, 0, "Print JSON", 0},
		{0},
	};
	static const struct argp parser = {
		.options = options,
		.parser = gcl_command_parse,
		.args_doc = "SESSION",
		.doc = "Says why a session is where it is, and why it moved last: what its "
		       "commands "
		       "take there and would take elsewhere, and what a move costs.\v"
		       "SESSION is a number of guestcl status.",
		.children = gcl_command_children,
	};
	struct gcl_command command = {.takes = "session"};
	struct json_object *request = gcl_control_request("why"), *answer = NULL;
	uint64_t number;
	char *end;
	int status = EX_USAGE;

	argp_parse(&parser, argc, argv, 0, NULL, &command);
	number = strtoull(command.whom, &end, 10);
	if (*end || end == command.whom || *command.whom == '-') {
		fprintf(stderr, "guestcl: \"%s\" is no session: give its number\n", command.whom);
	} else {
		json_object_object_add(request, "session", json_object_new_uint64(number));
		status = gcl_control_run(command.path, request, &answer);
	}
	if (status == EXIT_SUCCESS && command.json) {
		json_object_object_del(answer, "ok");
		gcl_json_print(answer);
	} else if (status == EXIT_SUCCESS) {
		why_print(answer);
	}
	json_object_put(answer);
	json_object_put(request);
	return status;
}
