// SPDX-License-Identifier: MIT
/*
 * guestcl top: what is used now, again and again.
 */
#include "top.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sysexits.h>
#include <time.h>

#include "base/cleanup.h"

/* A user who waits for a key to be heard doesn't wait for long. */
#define ANSWER_SECONDS 2

/* Where lines are read by programs, none is cut off. */
#define BATCH_WIDTH 400u

#define INTERVAL_MIN 0.05
#define INTERVAL_MAX 86400.

struct command {
	struct gcl_command common;
	double interval;
	unsigned count;
	bool batch;
};

/* ------------------------------------------------------------ numbers */

void gcl_top_source_init(struct gcl_top_source *source, const char *path)
{
	memset(source, 0, sizeof *source);
	gcl_control_init(&source->client);
	source->path = path;
}

void gcl_top_source_fini(struct gcl_top_source *source)
{
	json_object_put(source->status);
	gcl_view_fini(&source->view);
	gcl_control_fini(&source->client);
}

static int source_connect(struct gcl_top_source *source)
{
	const struct timeval limit = {.tv_sec = ANSWER_SECONDS};
	int err = gcl_control_connect(&source->client, source->path);

	if (err == 0)
		setsockopt(source->client.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	return err;
}

/* An old connection may be of a daemon that has gone: then there is one more try. */
static int request_do(struct gcl_top_source *source, struct json_object *request,
		      struct json_object **answer)
{
	bool old = source->client.fd >= 0;
	int err = old ? 0 : source_connect(source);

	*answer = NULL;
	if (err == 0)
		err = gcl_control_ask(&source->client, request, answer);
	if (err == 0 || err == -ECANCELED || err == -ETIMEDOUT || !old)
		return err;
	err = source_connect(source);
	return err < 0 ? err : gcl_control_ask(&source->client, request, answer);
}

int gcl_top_ask(struct gcl_top_source *source)
{
	struct json_object *request = gcl_control_request("status"), *answer;
	struct gcl_view view;
	int err = request_do(source, request, &answer);

	json_object_put(request);
	json_object_put(source->status);
	source->status = answer;
	if (err < 0)
		return err;
	err = gcl_view_read(&view, answer);
	if (err < 0) {
		gcl_view_fini(&view);
		return err;
	}
	gcl_view_rate(&view, &source->view);
	gcl_view_fini(&source->view);
	source->view = view;
	source->known = true;
	return 0;
}

int gcl_top_pause(struct gcl_top_source *source, const char *id)
{
	const struct gcl_view_rows *vms = &source->view.vms;
	struct json_object *request, *answer;
	bool paused = false;
	int err;

	for (size_t i = 0; i < vms->count; i++) {
		if (strcmp(vms->rows[i].id, id) == 0)
			paused = strcmp(vms->rows[i].state, "paused") == 0;
	}
	request = gcl_control_request(paused ? "resume" : "pause");
	json_object_object_add(request, "vm", json_object_new_string(id));
	err = request_do(source, request, &answer);
	json_object_put(request);
	json_object_put(answer);
	return err;
}

/* ------------------------------------------------------------ lines for programs */

static void line_print(void *data, enum gcl_top_style style, const char *line)
{
	(void)data;
	(void)style;
	puts(line);
}

static void add_rate(struct json_object *object, const char *key, double value)
{
	json_object_object_add(object, key, json_object_new_double(value));
}

/* In the order of the answer, which rows are in before they are sorted. */
static void rates_add(struct json_object *status, const char *key, const struct gcl_view_rows *rows)
{
	struct json_object *list;

	if (!json_object_object_get_ex(status, key, &list))
		return;
	for (size_t i = 0; i < rows->count; i++) {
		const struct gcl_view_rate *rate = &rows->rows[i].rate;
		struct json_object *item = json_object_array_get_idx(list, i), *rates;

		if (!json_object_is_type(item, json_type_object))
			continue;
		rates = json_object_new_object();
		add_rate(rates, "device_time_percent", rate->busy * 100.);
		add_rate(rates, "wait_time_percent", rate->wait * 100.);
		add_rate(rates, "bytes_from_guest", rate->from_guest);
		add_rate(rates, "bytes_to_guest", rate->to_guest);
		add_rate(rates, "calls", rate->calls);
		add_rate(rates, "errors", rate->errors);
		json_object_object_add(item, "per_second", rates);
	}
}

static void json_print(const struct gcl_top_source *source)
{
	const struct gcl_view *view = &source->view;

	if (view->rated) {
		rates_add(source->status, "devices", &view->devices);
		rates_add(source->status, "vms", &view->vms);
		rates_add(source->status, "sessions", &view->items);
	}
	puts(json_object_to_json_string_ext(
		source->status, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
}

static void wait_seconds(double seconds)
{
	struct timespec time = {.tv_sec = (time_t)seconds,
				.tv_nsec = (long)((seconds - floor(seconds)) * 1e9)};

	while (nanosleep(&time, &time) < 0 && errno == EINTR)
		;
}

static int batch(struct gcl_top_source *source, const struct gcl_top_choice *choice,
		 const struct command *command)
{
	int err = 0;

	for (unsigned i = 1;; i++) {
		if (err < 0) {
			fprintf(stderr, "guestcl: %s\n", source->client.error);
		} else if (command->common.json) {
			json_print(source);
		} else {
			if (i > 1)
				putchar('\n');
			gcl_top_sort(&source->view, choice->sort);
			gcl_top_table(&source->view, choice, BATCH_WIDTH, line_print, NULL);
		}
		if (fflush(stdout) == EOF)
			return EXIT_FAILURE;
		if (i == command->count)
			return err < 0 ? EX_UNAVAILABLE : EXIT_SUCCESS;
		wait_seconds(command->interval);
		err = gcl_top_ask(source);
	}
}

/* ------------------------------------------------------------ the command line */

static const struct argp_option options[] = {
	{"batch", 'b', NULL, 0, "Print lines instead of filling the terminal", 0},
	{"interval", 'i', "SECONDS", 0, "How often (initially 1)", 0},
	{"count", 'n', "COUNT", 0, "End after so many times", 0},
	{"json", GCL_COMMAND_JSON, NULL, 0, "Print guestcld's JSON, with rates, a line each time",
	 0},
	{0},
};

static double interval_parse(const char *text, struct argp_state *state)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= INTERVAL_MIN && value <= INTERVAL_MAX))
		argp_error(state, "--interval takes %g to %g seconds", INTERVAL_MIN, INTERVAL_MAX);
	return value;
}

static unsigned count_parse(const char *text, struct argp_state *state)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end || value < 1 || value > 1000000000 || *text == '-')
		argp_error(state, "--count takes 1 to 1000000000");
	return (unsigned)value;
}

static error_t option_parse(int key, char *arg, struct argp_state *state)
{
	struct command *command = state->input;

	switch (key) {
	case 'b':
		command->batch = true;
		return 0;
	case 'i':
		command->interval = interval_parse(arg, state);
		return 0;
	case 'n':
		command->count = count_parse(arg, state);
		return 0;
	default:
		return gcl_command_parse(key, arg, state);
	}
}

static bool is_terminal(void)
{
	const char *term = getenv("TERM");

	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && *term &&
	       strcmp(term, "dumb") != 0;
}

int gcl_top_run(int argc, char **argv)
{
	static const struct argp parser = {
		.options = options,
		.parser = option_parse,
		.doc = "Shows what devices, VMs and sessions do, refreshed each second. Key h "
		       "lists "
		       "the others.",
		.children = gcl_command_children,
	};
	struct command command = {.interval = 1.};
	struct gcl_top_choice choice = {.sort = 't'};
	_cleanup_(gcl_top_source_fini) struct gcl_top_source source;
	int status = -1;

	setlocale(LC_CTYPE, "");
	gcl_top_source_init(&source, NULL);
	argp_parse(&parser, argc, argv, 0, NULL, &command);
	source.path = gcl_control_path(command.common.path);
	if (gcl_top_ask(&source) < 0) {
		fprintf(stderr, "guestcl: %s\n", source.client.error);
		return EX_UNAVAILABLE;
	}
	if (!command.batch && !command.common.json && is_terminal())
		status = gcl_top_screen(&source, &choice, command.interval, command.count);
	return status < 0 ? batch(&source, &choice, &command) : status;
}
