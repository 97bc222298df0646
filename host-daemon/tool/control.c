// SPDX-License-Identifier: MIT
#include "control.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>

#include "base/cleanup.h"

#define SECONDS 10

/* An answer is longer with every session; this is room for a hundred thousand. */
#define LINE_MAX_SIZE (64u << 20)

#define LINE_FIRST 65536u

const char *gcl_control_path(const char *option)
{
	const char *variable = getenv(GCL_CONTROL_VARIABLE);

	if (option)
		return option;
	return variable && *variable ? variable : GCL_CONTROL_DEFAULT;
}

void gcl_control_init(struct gcl_control_client *client)
{
	memset(client, 0, sizeof *client);
	client->fd = -1;
}

void gcl_control_fini(struct gcl_control_client *client)
{
	gcl_cleanup_close(&client->fd);
	free(client->line);
	gcl_control_init(client);
}

static int fail(struct gcl_control_client *client, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct gcl_control_client *client, int err, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(client->error, sizeof client->error, format, arguments);
	va_end(arguments);
	gcl_cleanup_close(&client->fd);
	client->fd = -1;
	return err;
}

static int connect_fail(struct gcl_control_client *client, const char *path)
{
	int err = -errno;

	if (err == -EACCES || err == -EPERM)
		return fail(client, err,
			    "you may not use %s: be root, or one of control-socket-group in "
			    "guestcld.conf",
			    path);
	return fail(client, err,
		    "can't reach guestcld at %s: %s; is it running, and is this its control "
		    "socket (--control, %s)?",
		    path, strerror(-err), GCL_CONTROL_VARIABLE);
}

int gcl_control_connect(struct gcl_control_client *client, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const struct timeval limit = {.tv_sec = SECONDS};

	gcl_cleanup_close(&client->fd);
	client->used = 0;
	if (strlen(path) >= sizeof address.sun_path)
		return fail(client, -ENAMETOOLONG, "%.80s... is too long for a socket", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0)
		return fail(client, -errno, "can't make a socket: %s", strerror(errno));
	setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	if (connect(client->fd, (const struct sockaddr *)&address, sizeof address) < 0)
		return connect_fail(client, path);
	return 0;
}

/* ------------------------------------------------------------ lines */

static int line_send(struct gcl_control_client *client, const char *text)
{
	size_t size = strlen(text), done = 0;

	while (done < size + 1) {
		ssize_t n = done < size ? send(client->fd, text + done, size - done, MSG_NOSIGNAL)
					: send(client->fd, "\n", 1, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return 0; /* it may have said why before */
		if (n < 0)
			return fail(client, -errno, "guestcld doesn't take the request: %s",
				    strerror(errno));
		done += (size_t)n;
	}
	return 0;
}

static int room_make(struct gcl_control_client *client)
{
	size_t room = client->room ? client->room * 2 : LINE_FIRST;
	char *line = room <= LINE_MAX_SIZE ? realloc(client->line, room) : NULL;

	if (!line)
		return fail(client, -E2BIG, "guestcld's answer is too long");
	client->line = line;
	client->room = room;
	return 0;
}

/* Return: the length of the first line, with its end; -errno. */
static ssize_t line_read(struct gcl_control_client *client)
{
	size_t seen = 0;

	for (;;) {
		const char *end = client->used > seen
					  ? memchr(client->line + seen, '\n', client->used - seen)
					  : NULL;
		ssize_t n;

		if (end)
			return end + 1 - client->line;
		seen = client->used;
		if (client->used == client->room && room_make(client) < 0)
			return -E2BIG;
		n = recv(client->fd, client->line + client->used, client->room - client->used, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return fail(client, -ETIMEDOUT, "guestcld doesn't answer within %d s",
				    SECONDS);
		if (n <= 0)
			return fail(client, n < 0 ? -errno : -EPIPE,
				    "guestcld ended the connection without an answer");
		client->used += (size_t)n;
	}
}

static int refused(struct gcl_control_client *client, struct json_object *answer)
{
	struct json_object *text;

	if (json_object_object_get_ex(answer, "error", &text) &&
	    json_object_is_type(text, json_type_string))
		snprintf(client->error, sizeof client->error, "%s", json_object_get_string(text));
	else
		snprintf(client->error, sizeof client->error,
			 "guestcld refuses, and doesn't say "
			 "why");
	return -ECANCELED;
}

int gcl_control_read(struct gcl_control_client *client, struct json_object **answer)
{
	ssize_t size = line_read(client);
	struct json_object *object, *good;

	*answer = NULL;
	if (size < 0)
		return (int)size;
	client->line[size - 1] = '\0';
	object = json_tokener_parse(client->line);
	client->used -= (size_t)size;
	memmove(client->line, client->line + size, client->used);
	if (!json_object_is_type(object, json_type_object) ||
	    !json_object_object_get_ex(object, "ok", &good)) {
		json_object_put(object);
		return fail(client, -EPROTO, "what answers there is no guestcld");
	}
	if (!json_object_get_boolean(good)) {
		int err = refused(client, object);

		json_object_put(object);
		return err;
	}
	*answer = object;
	return 0;
}

int gcl_control_ask(struct gcl_control_client *client, struct json_object *request,
		    struct json_object **answer)
{
	int err =
		line_send(client, json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN));

	*answer = NULL;
	return err < 0 ? err : gcl_control_read(client, answer);
}

/* ------------------------------------------------------------ for commands */

struct json_object *gcl_control_request(const char *name)
{
	struct json_object *request = json_object_new_object();

	json_object_object_add(request, "do", json_object_new_string(name));
	return request;
}

int gcl_control_run(const char *path, struct json_object *request, struct json_object **answer)
{
	_cleanup_(gcl_control_fini) struct gcl_control_client client;
	int err;

	*answer = NULL;
	gcl_control_init(&client);
	err = gcl_control_connect(&client, gcl_control_path(path));
	if (err == 0)
		err = gcl_control_ask(&client, request, answer);
	if (err == 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "guestcl: %s\n", client.error);
	return err == -ECANCELED ? EXIT_FAILURE : EX_UNAVAILABLE;
}

uint64_t gcl_json_number(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_uint64(value) : 0;
}

void gcl_json_print(struct json_object *object)
{
	puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
							    JSON_C_TO_STRING_SPACED |
							    JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* ------------------------------------------------------------ command lines */

/* NOLINTNEXTLINE(readability-non-const-parameter): as argp has it */
error_t gcl_command_parse(int key, char *arg, struct argp_state *state)
{
	struct gcl_command *command = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = command;
		return 0;
	case GCL_COMMAND_JSON:
		command->json = true;
		return 0;
	case ARGP_KEY_ARG:
		if (!command->takes)
			return ARGP_ERR_UNKNOWN;
		if (command->whom)
			argp_error(state, "more than one %s is named", command->takes);
		command->whom = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		if (command->takes && !command->optional)
			argp_error(state, "name a %s: guestcl status lists them", command->takes);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* NOLINTNEXTLINE(readability-non-const-parameter): as argp has it */
static error_t control_parse(int key, char *arg, struct argp_state *state)
{
	struct gcl_command *command = state->input;

	if (key != 'C')
		return ARGP_ERR_UNKNOWN;
	command->path = arg;
	return 0;
}

static const struct argp_option control_options[] = {
	{"control", 'C', "PATH", 0,
	 "guestcld's control socket (initially $" GCL_CONTROL_VARIABLE ", or " GCL_CONTROL_DEFAULT
	 ")",
	 0},
	{0},
};

static const struct argp control_argp = {.options = control_options, .parser = control_parse};

const struct argp_child gcl_command_children[] = {{&control_argp, 0, NULL, 0}, {0}};
