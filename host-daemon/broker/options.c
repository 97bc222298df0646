// SPDX-License-Identifier: MIT
/*
 * The command line, by argp. Options for single settings are short forms of --set.
 *
 * Errors leave with status 64 (EX_USAGE), as argp does by itself.
 */
#include "options.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"

const char *argp_program_version = "guestcld " GUESTCL_VERSION;

enum {
	KEY_CONFIG = 'c',
	KEY_SET = 's',
	KEY_SOCKET = 256,
	KEY_WORKER,
	KEY_CHECK,
	KEY_LEVEL,
	KEY_TAKE
};

static const struct argp_option option_list[] = {
	{"config", KEY_CONFIG, "FILE", 0, "Read settings from FILE (default " GCL_CONFIG_PATH ")",
	 0},
	{"set", KEY_SET, "KEY=VALUE", 0, "Give a setting a value; stronger than the file", 0},
	{"socket", KEY_SOCKET, "PATH", 0, "Listen on PATH (--set socket=PATH)", 0},
	{"worker", KEY_WORKER, "PATH", 0, "Serve guests by this program (--set worker=PATH)", 0},
	{"log-level", KEY_LEVEL, "LEVEL", 0, "What to log (--set log-level=LEVEL)", 0},
	{"take-over-from", KEY_TAKE, "NUMBER", OPTION_HIDDEN, NULL, 0},
	{"check-config", KEY_CHECK, NULL, 0, "Read the settings, say what is wrong, and end", 0},
	{0},
};

/* Keeps the pair for later (SIGHUP applies it again), and refuses it now if it is wrong. */
static void pair_add(struct argp_state *state, const char *key, const char *text)
{
	struct gcl_options *options = state->input;
	struct gcl_config scratch;
	char error[256];
	char **pairs = reallocarray(options->pairs, options->pair_count + 1, sizeof *pairs);

	if (!pairs) {
		argp_failure(state, EXIT_FAILURE, ENOMEM, "command line");
		return;
	}
	options->pairs = pairs;
	if (asprintf(&pairs[options->pair_count], "%s%s%s", key, *key ? "=" : "", text) < 0)
		argp_failure(state, EXIT_FAILURE, ENOMEM, "command line");
	if (gcl_config_set_pair(&scratch, pairs[options->pair_count++], error, sizeof error) < 0)
		argp_error(state, "%s", error);
}

static error_t option_parse(int key, char *arg, struct argp_state *state)
{
	struct gcl_options *options = state->input;

	switch (key) {
	case KEY_CONFIG:
		options->config_path = arg;
		return 0;
	case KEY_SET:
		pair_add(state, "", arg);
		return 0;
	case KEY_SOCKET:
		pair_add(state, "socket", arg);
		return 0;
	case KEY_WORKER:
		pair_add(state, "worker", arg);
		return 0;
	case KEY_LEVEL:
		pair_add(state, "log-level", arg);
		return 0;
	case KEY_TAKE:
		options->take_over_from = (unsigned)strtoul(arg, NULL, 10);
		return 0;
	case KEY_CHECK:
		options->check_config = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument \"%s\"", arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void setting_help(FILE *out, const struct gcl_setting *setting)
{
	char range[128];

	fprintf(out, "\n  %s = %s\n    %s", setting->name,
		*setting->initial ? setting->initial : "\"\"", setting->help);
	if (setting->kind != GCL_SETTING_TEXT || setting->form) {
		gcl_setting_describe(setting, range, sizeof range);
		fprintf(out, "; %s", range);
	}
	if (setting->initial_user)
		fprintf(out, " (without root: %s)",
			*setting->initial_user ? setting->initial_user : "\"\"");
	fputc('\n', out);
}

/* The list of settings below the options, from the table; argp frees it. */
static char *settings_help(void)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fputs("Settings, as \"key = value\" lines of the file or with --set:\n", out);
	for (size_t i = 0; i < gcl_setting_count; i++)
		setting_help(out, &gcl_settings[i]);
	fputs("\nSettings of a VM, in a section vm \"NAME\" { ... } of the file:\n", out);
	for (size_t i = 0; i < gcl_vm_setting_count; i++)
		setting_help(out, &gcl_vm_settings[i]);
	fputs("\nSettings of a GPU server, in a section server \"NAME\" { ... } of the file:\n",
	      out);
	for (size_t i = 0; i < gcl_server_setting_count; i++)
		setting_help(out, &gcl_server_settings[i]);
	fputs("\nSignals: HUP reads the file again, USR2 has a new guestcld take over (guestcl "
	      "restart), TERM and INT end guestcld and all sessions.",
	      out);
	fclose(out);
	return text;
}

static char *help_filter(int key, const char *text, void *input)
{
	(void)input;
	return key == ARGP_KEY_HELP_POST_DOC ? settings_help() : (char *)text;
}

static void program_find(char *path, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", path, size - 1);

	path[n < 0 ? 0 : n] = '\0';
}

void gcl_options_parse(struct gcl_options *options, int argc, char **argv)
{
	static const struct argp parser = {
		.options = option_list,
		.parser = option_parse,
		.doc = "Offers this machine's OpenCL devices to guests.\v ",
		.help_filter = help_filter,
	};

	memset(options, 0, sizeof *options);
	options->argc = argc;
	options->argv = argv;
	program_find(options->program, sizeof options->program);
	argp_parse(&parser, argc, argv, 0, NULL, options);
}

void gcl_options_fini(struct gcl_options *options)
{
	for (size_t i = 0; i < options->pair_count; i++)
		free(options->pairs[i]);
	free(options->pairs);
}

int gcl_options_config(const struct gcl_options *options, struct gcl_config *config)
{
	const char *path = options->config_path ? options->config_path : GCL_CONFIG_PATH;
	const char *worker = getenv("GUESTCL_WORKER");
	char error[256];
	int err, line = 0;

	gcl_config_init(config, geteuid() == 0);
	err = gcl_config_read(config, path, options->config_path != NULL);
	if (err < 0)
		return err;
	if (worker && *worker) {
		err = gcl_config_set(config, "worker", worker, error, sizeof error);
		if (err < 0) {
			gcl_log_error(config, "GUESTCL_WORKER: %s", error);
			return err;
		}
	}
	for (size_t i = 0; i < options->pair_count; i++)
		gcl_config_set_pair(config, options->pairs[i], error, sizeof error);
	err = gcl_config_check(config, &line, error, sizeof error);
	if (err < 0 && line)
		gcl_log_error(config, "%s:%d: %s", path, line, error);
	else if (err < 0)
		gcl_log_error(config, "%s", error);
	return err;
}
