// SPDX-License-Identifier: MIT
/*
 * guestcl: the command line tool. doctor is its own; other commands are programs of libexec.
 */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "doctor.h"

static const struct {
	const char *name, *program, *help; /* program: NULL: here */
} commands[] = {
	{"doctor", NULL, "say which way to the host is used, what is missing and what mends it"},
	{"attach", "guestcl-libvirt", "give a libvirt domain a way to this host"},
	{"detach", "guestcl-libvirt", "take it away again"},
	{"list", "guestcl-libvirt", "show libvirt's domains and whether they are attached"},
};

const char *argp_program_version = "guestcl " GUESTCL_VERSION;

static void usage(FILE *file)
{
	fputs("usage: guestcl COMMAND [OPTION...]\n"
	      "       guestcl COMMAND --help\n"
	      "\n",
	      file);
	for (unsigned i = 0; i < GCL_ARRAY_SIZE(commands); i++)
		fprintf(file, "  %-8s %s\n", commands[i].name, commands[i].help);
}

/* Return: only if it can't be. */
static int command_exec(const char *program, char **argv)
{
	const char *folder = getenv("GUESTCL_LIBEXEC");
	char path[4096];

	snprintf(path, sizeof path, "%s/%s", folder ? folder : GUESTCL_LIBEXECDIR, program);
	execv(path, argv);
	if (errno == ENOENT)
		fprintf(stderr,
			"guestcl: no %s: this guestcl was built without libvirt; install "
			"libvirt-dev "
			"and build it again\n",
			path);
	else
		fprintf(stderr, "guestcl: %s: %s\n", path, strerror(errno));
	return EX_UNAVAILABLE;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
		usage(stdout);
		return EXIT_SUCCESS;
	}
	if (strcmp(name, "--version") == 0) {
		puts(argp_program_version);
		return EXIT_SUCCESS;
	}
	for (unsigned i = 0; i < GCL_ARRAY_SIZE(commands); i++) {
		if (strcmp(name, commands[i].name) != 0)
			continue;
		if (commands[i].program)
			return command_exec(commands[i].program, argv);
		argv[1] = (char *)"guestcl doctor";
		return gcl_doctor_run(argc - 1, argv + 1);
	}
	if (*name)
		fprintf(stderr, "guestcl: no command \"%s\"\n", name);
	usage(stderr);
	return EX_USAGE;
}
