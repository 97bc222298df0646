// SPDX-License-Identifier: MIT
/*
 * guestcl-pki: the command line of guestcl pki.
 */
#include <argp.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "pki.h"

const char *argp_program_version = "guestcl " GUESTCL_VERSION;

/* What is asked for, and how many names that takes. */
static const struct action {
	const char *name;
	enum gcl_pki_use use; /* GCL_PKI_ANY: names are taken as they are */
	size_t names_min, names_max;
	unsigned days;
	int (*run)(const struct gcl_pki_wish *wish);
} actions[] = {
	{"init", GCL_PKI_AUTHORITY, 0, 1, GCL_PKI_DAYS_CA, gcl_pki_init},
	{"server", GCL_PKI_SERVER, 1, GCL_PKI_NAMES_MAX, GCL_PKI_DAYS, gcl_pki_server},
	{"client", GCL_PKI_CLIENT, 1, 1, GCL_PKI_DAYS, gcl_pki_client},
	{"psk", GCL_PKI_CLIENT, 1, 1, 0, gcl_pki_psk},
	{"revoke", GCL_PKI_ANY, 0, GCL_PKI_NAMES_MAX, 0, gcl_pki_revoke},
	{"list", GCL_PKI_ANY, 0, 0, 0, gcl_pki_list},
};

struct command {
	const struct action *action;
	struct gcl_pki_wish wish;
	const char *names[GCL_PKI_NAMES_MAX];
};

static const struct argp_option options[] = {
	{"folder", 'f', "FOLDER", 0, "Where the authority is (initially " GCL_PKI_FOLDER ")", 0},
	{"days", 'd', "N", 0,
	 "How long the certificate is good (initially 825, the authority's own 3650), or the list "
	 "of revoked ones (initially as long as the authority)",
	 0},
	{0},
};

static void days_parse(struct argp_state *state, const char *text)
{
	struct command *command = state->input;
	unsigned long value;
	char *end;

	value = strtoul(text, &end, 10);
	if (*end || *text < '0' || *text > '9' || value < 1 || value > GCL_PKI_DAYS_MAX)
		argp_error(state, "\"%s\" is no number of days: 1 to %u", text, GCL_PKI_DAYS_MAX);
	command->wish.days = (unsigned)value;
}

static void action_parse(struct argp_state *state, const char *text)
{
	struct command *command = state->input;

	for (size_t i = 0; i < GCL_ARRAY_SIZE(actions); i++) {
		if (strcmp(actions[i].name, text) == 0)
			command->action = &actions[i];
	}
	if (!command->action)
		argp_error(state,
			   "\"%s\" can't be done: it is init, server, client, psk, revoke or list",
			   text);
}

static void name_parse(struct argp_state *state, const char *text)
{
	struct command *command = state->input;
	struct gcl_pki_wish *wish = &command->wish;

	if (wish->name_count == command->action->names_max)
		argp_error(state, "one name too many: %s", text);
	if (command->action->use != GCL_PKI_ANY && !gcl_pki_name_valid(command->action->use, text))
		argp_error(state,
			   "\"%s\" is no name: letters, digits, \".\", \"_\" and \"-\"; a client's "
			   "has up to 64, a server's may be an address",
			   text);
	command->names[wish->name_count++] = text;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): as argp has it */
static error_t option_parse(int key, char *arg, struct argp_state *state)
{
	struct command *command = state->input;

	switch (key) {
	case 'f':
		command->wish.folder = arg;
		return 0;
	case 'd':
		days_parse(state, arg);
		return 0;
	case ARGP_KEY_ARG:
		if (!command->action)
			action_parse(state, arg);
		else
			name_parse(state, arg);
		return 0;
	case ARGP_KEY_END:
		if (!command->action)
			argp_error(state,
				   "say what to do: init, server, client, psk, revoke or list");
		else if (command->wish.name_count < command->action->names_min)
			argp_error(state, "name the %s", command->action->name);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp parser = {
		.options = options,
		.parser = option_parse,
		.args_doc = "init [NAME]\nserver NAME...\nclient NAME\npsk NAME\nrevoke "
			    "[NAME|FILE]...\nlist",
		.doc = "Makes a small certificate authority, and what servers and clients of "
		       "guestcl need to know each other.",
	};
	static char title[] = "guestcl pki";
	struct command command = {.wish.folder = GCL_PKI_FOLDER};

	/* Called by guestcl, whose first argument is the command. */
	if (argc > 1 && strcmp(argv[1], "pki") == 0) {
		argc--;
		argv++;
	}
	argv[0] = title;
	command.wish.names = command.names;
	argp_err_exit_status = EX_USAGE;
	argp_parse(&parser, argc, argv, 0, NULL, &command);
	if (!command.wish.days)
		command.wish.days = command.action->days;
	if (!command.wish.name_count && command.action->use == GCL_PKI_AUTHORITY)
		command.names[command.wish.name_count++] = "guestcl";
	return command.action->run(&command.wish) ? EXIT_FAILURE : EXIT_SUCCESS;
}
