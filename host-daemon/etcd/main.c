// SPDX-License-Identifier: MIT
/*
 * guestcl-etcd: started by guestcld, not by hand.
 */
#include <argp.h>
#include <signal.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "etcd.h"

const char *argp_program_version = "guestcl-etcd " GUESTCL_VERSION;

/* NOLINTNEXTLINE(readability-non-const-parameter): as argp has it */
static error_t option_parse(int key, char *arg, struct argp_state *state)
{
	const char **user = state->input;

	if (key != 'u')
		return ARGP_ERR_UNKNOWN;
	*user = arg;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"user", 'u', "NAME", 0, "Be this user, if started by root", 0},
		{0},
	};
	static const struct argp parser = {
		.options = options,
		.parser = option_parse,
		.doc = "Asks etcd for GPU servers, and announces this one. Started by guestcld, "
		       "which is at its standard input.",
	};
	const char *user = "";

	gcl_log_init("guestcl-etcd");
	argp_err_exit_status = EX_USAGE;
	argp_parse(&parser, argc, argv, 0, NULL, &user);
	signal(SIGPIPE, SIG_IGN);
	/* Ctrl-C and the like are for guestcld, whose end is ours. */
	signal(SIGINT, SIG_IGN);
	gcl_etcd_rights_drop(user);
	return gcl_etcd_run(STDIN_FILENO) ? EXIT_FAILURE : EXIT_SUCCESS;
}
