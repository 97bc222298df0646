// SPDX-License-Identifier: MIT
/*
 * guestcl move, drain: where sessions' queues are to be.
 *
 * guestcld begins a move and answers; how it goes is asked for until it has ended, also of a
 * guestcld that takes over meanwhile.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "control.h"
#include "view.h"

/* How often it is asked, and how long nobody may answer, as between two guestclds. */
#define POLL_MS		100
#define SILENCE_SECONDS 30

struct move_command {
	struct gcl_command common;
	const char *where;
	bool undo, free;
};

struct watch {
	struct gcl_control_client client;
	const char *path;
	uint64_t session, move;
	bool shown; /* there is progress on the terminal's line */
};

/* ------------------------------------------------------------ progress */

static const char *text_of(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_string(value) : "";
}

static void progress_clear(struct watch *watch)
{
	if (watch->shown)
		fputs("\r\033[K", stderr);
	watch->shown = false;
}

static void progress_show(struct watch *watch, struct json_object *answer)
{
	uint64_t copied =
		gcl_json_number(answer, "ahead_bytes") + gcl_json_number(answer, "rest_bytes");
	char done[32], all[32], state[32];

	if (!isatty(STDERR_FILENO))
		return;
	progress_clear(watch);
	gcl_view_clean(state, sizeof state, text_of(answer, "state"));
	fprintf(stderr, "session %" PRIu64 ": %s", watch->session, state);
	if (json_object_object_get_ex(answer, "bytes", NULL))
		fprintf(stderr, ", %s of %s", gcl_view_bytes((double)copied, done, sizeof done),
			gcl_view_bytes((double)gcl_json_number(answer, "bytes"), all, sizeof all));
	watch->shown = true;
}

/* ------------------------------------------------------------ the end */

static bool has_ended(struct json_object *answer)
{
	const char *state = text_of(answer, "state");

	return strcmp(state, "moved") == 0 || strcmp(state, "failed") == 0;
}

static int moved_print(const struct watch *watch, struct json_object *answer)
{
	char text[256], where[96], ahead[32], rest[32], behind[32];

	gcl_view_clean(text, sizeof text, text_of(answer, "text"));
	gcl_view_clean(where, sizeof where, text_of(answer, "server"));
	if (strcmp(text_of(answer, "state"), "moved") != 0) {
		fprintf(stderr, "guestcl: session %" PRIu64 " is not moved: %s\n", watch->session,
			text);
		return EXIT_FAILURE;
	}
	if (!json_object_object_get_ex(answer, "took_ns", NULL)) {
		printf("session %" PRIu64 ": %s\n", watch->session, text);
		return EXIT_SUCCESS;
	}
	printf("session %" PRIu64 ": moved %s%s in %.2f s; it stood for %.1f ms (copied %s before, "
	       "%s then, %s behind)\n",
	       watch->session, *where ? "to " : "home", where,
	       (double)gcl_json_number(answer, "took_ns") / 1e9,
	       (double)gcl_json_number(answer, "pause_ns") / 1e6,
	       gcl_view_bytes((double)gcl_json_number(answer, "ahead_bytes"), ahead, sizeof ahead),
	       gcl_view_bytes((double)gcl_json_number(answer, "rest_bytes"), rest, sizeof rest),
	       gcl_view_bytes((double)gcl_json_number(answer, "behind_bytes"), behind,
			      sizeof behind));
	return EXIT_SUCCESS;
}

static struct json_object *state_ask(struct watch *watch, int *err)
{
	struct json_object *request = gcl_control_request("move-state"), *answer = NULL;

	json_object_object_add(request, "session", json_object_new_uint64(watch->session));
	json_object_object_add(request, "move", json_object_new_uint64(watch->move));
	*err = 0;
	if (watch->client.fd < 0)
		*err = gcl_control_connect(&watch->client, watch->path);
	if (*err == 0)
		*err = gcl_control_ask(&watch->client, request, &answer);
	json_object_put(request);
	return answer;
}

/* Return: the last answer, the caller's; NULL: there is none, and the client's error says why. */
static struct json_object *end_wait(struct watch *watch)
{
	int silent = 0, err;

	while (silent < SILENCE_SECONDS * 1000 / POLL_MS) {
		struct json_object *answer = state_ask(watch, &err);

		if (answer && has_ended(answer))
			return answer;
		if (err == -ECANCELED)
			return NULL; /* guestcld has said why */
		silent = answer ? 0 : silent + 1;
		if (answer)
			progress_show(watch, answer);
		json_object_put(answer);
		nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000}, NULL);
	}
	return NULL;
}

/* @answers: where the last answer goes, for --json; or NULL. Return: the exit status. */
static int move_watch(const char *path, uint64_t session, uint64_t move,
		      struct json_object *answers)
{
	struct watch watch = {.path = gcl_control_path(path), .session = session, .move = move};
	struct json_object *answer;
	int status;

	gcl_control_init(&watch.client);
	answer = end_wait(&watch);
	progress_clear(&watch);
	if (!answer) {
		fprintf(stderr, "guestcl: session %" PRIu64 ": %s\n", session, watch.client.error);
		status = EXIT_FAILURE;
	} else if (answers) {
		status = strcmp(text_of(answer, "state"), "moved") ? EXIT_FAILURE : EXIT_SUCCESS;
		json_object_object_del(answer, "ok");
		json_object_object_add(answer, "session", json_object_new_uint64(session));
		json_object_array_add(answers, json_object_get(answer));
	} else {
		status = moved_print(&watch, answer);
	}
	json_object_put(answer);
	gcl_control_fini(&watch.client);
	return status;
}

/* ------------------------------------------------------------ the command lines */

/* Digits, or 0x and hexadecimal ones. */
static bool number_parse(const char *text, uint64_t *value)
{
	bool hex = strncmp(text, "0x", 2) == 0;
	const char *digits = text + (hex ? 2 : 0);
	size_t length = strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789");

	errno = 0;
	*value = strtoull(digits, NULL, hex ? 16 : 10);
	return length && !digits[length] && !errno;
}

/* "SESSION" or "SESSION/QUEUE". */
static bool whom_add(struct json_object *request, const char *whom)
{
	_cleanup_free_ char *copy = strdup(whom);
	char *queue = copy ? strchr(copy, '/') : NULL;
	uint64_t number;

	if (queue)
		*queue++ = '\0';
	if (!copy || !number_parse(copy, &number))
		return false;
	json_object_object_add(request, "session", json_object_new_uint64(number));
	if (!queue || strcmp(queue, "all") == 0)
		return true;
	if (!number_parse(queue, &number))
		return false;
	json_object_object_add(request, "queue", json_object_new_uint64(number));
	return true;
}

/* "SERVER", "SERVER/DEVICE" or "home". */
static bool where_add(struct json_object *request, const char *where)
{
	_cleanup_free_ char *copy = strdup(where);
	char *device = copy ? strchr(copy, '/') : NULL;
	uint64_t number = 0;

	if (device)
		*device++ = '\0';
	if (!copy || (device && !number_parse(device, &number)))
		return false;
	if (!device && strcmp(copy, "home") == 0)
		return true;
	json_object_object_add(request, "server", json_object_new_string(copy));
	json_object_object_add(request, "device", json_object_new_uint64(number));
	return true;
}

#define KEY_FREE 1025

static error_t move_parse(int key, char *arg, struct argp_state *state)
{
	struct move_command *command = state->input;

	if (key == KEY_FREE) {
		command->free = true;
		return 0;
	}
	if (key == ARGP_KEY_ARG && command->common.whom && !command->where) {
		command->where = arg;
		return 0;
	}
	if (key == ARGP_KEY_END && command->common.whom && !command->where)
		argp_error(state, "name where to, a server or home");
	return gcl_command_parse(key, arg, state);
}

static int move_run(const struct move_command *command, struct json_object *request)
{
	struct json_object *answer, *list = command->common.json ? json_object_new_array() : NULL;
	int status = gcl_control_run(command->common.path, request, &answer);

	if (status == EXIT_SUCCESS)
		status = move_watch(command->common.path, gcl_json_number(answer, "session"),
				    gcl_json_number(answer, "move"), list);
	if (list && json_object_array_length(list))
		gcl_json_print(json_object_array_get_idx(list, 0));
	json_object_put(list);
	json_object_put(answer);
	return status;
}

int gcl_move_run(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"json", GCL_COMMAND_JSON, NULL, 0, "Print JSON", 0},
		{"free", KEY_FREE, NULL, 0, "Give the memory here back", 0},
		{0},
	};
	static const struct argp parser = {
		.options = options,
		.parser = move_parse,
		.args_doc = "SESSION[/QUEUE] SERVER[/DEVICE]|home",
		.doc = "Moves a session's command queues to a GPU server, or home again, while its "
		       "program runs.\v"
		       "SESSION is a number of guestcl status, SERVER a name of guestcl servers. "
		       "Without QUEUE all queues move; without DEVICE they move to the server's "
		       "first.",
		.children = gcl_command_children,
	};
	struct move_command command = {.common.takes = "session"};
	struct json_object *request = gcl_control_request("move");
	int status = EX_USAGE;

	argp_parse(&parser, argc, argv, 0, NULL, &command);
	json_object_object_add(request, "free", json_object_new_boolean(command.free));
	if (!whom_add(request, command.common.whom))
		fprintf(stderr, "guestcl: \"%s\" is no session: give its number, or NUMBER/QUEUE\n",
			command.common.whom);
	else if (!where_add(request, command.where))
		fprintf(stderr, "guestcl: \"%s\" is no place: give SERVER, SERVER/DEVICE or home\n",
			command.where);
	else
		status = move_run(&command, request);
	json_object_put(request);
	return status;
}

/* ------------------------------------------------------------ drain */

#define KEY_UNDO 1024

static error_t drain_parse(int key, char *arg, struct argp_state *state)
{
	struct move_command *command = state->input;

	if (key != KEY_UNDO)
		return gcl_command_parse(key, arg, state);
	command->undo = true;
	return 0;
}

/* Return: the exit status of one that was begun, or wasn't. */
static int one_watch(const struct move_command *command, struct json_object *begun,
		     struct json_object *list)
{
	uint64_t session = gcl_json_number(begun, "session");
	struct json_object *error;
	char text[256];

	if (!json_object_object_get_ex(begun, "error", &error))
		return move_watch(command->common.path, session, gcl_json_number(begun, "move"),
				  list);
	gcl_view_clean(text, sizeof text, json_object_get_string(error));
	if (list)
		json_object_array_add(list, json_object_get(begun));
	else
		fprintf(stderr, "guestcl: session %" PRIu64 " is not moved: %s\n", session, text);
	return EXIT_FAILURE;
}

static int all_watch(const struct move_command *command, struct json_object *answer)
{
	struct json_object *begun = NULL, *list = NULL;
	int status = EXIT_SUCCESS;

	json_object_object_get_ex(answer, "moves", &begun);
	if (!json_object_is_type(begun, json_type_array))
		return EX_PROTOCOL;
	if (command->common.json)
		list = json_object_new_array();
	for (size_t i = 0; i < json_object_array_length(begun); i++) {
		if (one_watch(command, json_object_array_get_idx(begun, i), list) != EXIT_SUCCESS)
			status = EXIT_FAILURE;
	}
	if (list)
		gcl_json_print(list);
	json_object_put(list);
	return status;
}

int gcl_drain_run(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"json", GCL_COMMAND_JSON, NULL, 0, "Print JSON", 0},
		{"undo", KEY_UNDO, NULL, 0, "Let sessions move there again", 0},
		{0},
	};
	static const struct argp parser = {
		.options = options,
		.parser = drain_parse,
		.args_doc = "SERVER|DEVICE",
		.doc = "Moves all sessions away from a GPU server, or from a device of this host, "
		       "and has none move there.\v"
		       "SERVER is a name of guestcl servers, DEVICE a number of guestcl status.",
		.children = gcl_command_children,
	};
	struct move_command command = {.common.takes = "server or device"};
	struct json_object *request = gcl_control_request("drain"), *answer;
	uint64_t device;
	int status;

	argp_parse(&parser, argc, argv, 0, NULL, &command);
	if (number_parse(command.common.whom, &device))
		json_object_object_add(request, "device", json_object_new_uint64(device));
	else
		json_object_object_add(request, "server",
				       json_object_new_string(command.common.whom));
	json_object_object_add(request, "undo", json_object_new_boolean(command.undo));
	status = gcl_control_run(command.common.path, request, &answer);
	if (status == EXIT_SUCCESS)
		status = all_watch(&command, answer);
	json_object_put(answer);
	json_object_put(request);
	return status;
}
