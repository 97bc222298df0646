// SPDX-License-Identifier: MIT
#include "beside.h"

#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <sysexits.h>

const char *argp_program_version;

/* NOLINTNEXTLINE(readability-non-const-parameter): as argp has it */
static error_t option_parse(int key, char *arg, struct argp_state *state)
{
	const char **user = state->input;

	if (key != 'u')
		return ARGP_ERR_UNKNOWN;
	*user = arg;
	return 0;
}

const char *gcl_beside_begin(int argc, char **argv, const char *name, const char *doc)
{
	static const struct argp_option options[] = {
		{"user", 'u', "NAME", 0, "Be this user, if started by root", 0},
		{0},
	};
	const struct argp parser = {.options = options, .parser = option_parse, .doc = doc};
	static char version[64];
	const char *user = "";

	snprintf(version, sizeof version, "%s " GUESTCL_VERSION, name);
	argp_program_version = version;
	argp_err_exit_status = EX_USAGE;
	argp_parse(&parser, argc, argv, 0, NULL, &user);
	signal(SIGPIPE, SIG_IGN);
	/* Ctrl-C and the like are for guestcld, whose end is ours. */
	signal(SIGINT, SIG_IGN);
	return user;
}
