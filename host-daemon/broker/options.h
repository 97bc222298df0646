/* SPDX-License-Identifier: MIT */
/*
 * The command line of guestcld.
 */
#ifndef GCL_BROKER_OPTIONS_H
#define GCL_BROKER_OPTIONS_H

#include "config.h"

struct gcl_options {
	const char *config_path; /* NULL: GCL_CONFIG_PATH, which may be missing */
	char **pairs;		 /* KEY=VALUE, in order; owned */
	size_t pair_count;
	bool check_config;
	unsigned take_over_from; /* a layout (takeover.h): say whether it is ours, and end; 0: no */
	int argc;
	char **argv;		/* as main() got them */
	char program[PATH_MAX]; /* this program's file, which may be replaced by a newer one */
};

/** gcl_options_parse() - read the command line; errors and --help end the program. fini frees. */
void gcl_options_parse(struct gcl_options *options, int argc, char **argv);
void gcl_options_fini(struct gcl_options *options);

/**
 * gcl_options_config() - the configuration that built-in values, file, environment and command
 * line make together. Return: 0 or -errno; errors are logged.
 */
int gcl_options_config(const struct gcl_options *options, struct gcl_config *config);

#endif
