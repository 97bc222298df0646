// SPDX-License-Identifier: MIT
/*
 * guestcl: the command line tool. some commands are here, others are programs of libexec.
 */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "control.h"
#include "doctor.h"

static const struct {
	const char *name;
	const char *program; /* of libexec, which has the command; NULL: here */
	const char *library; /* that this program can't be built without */
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"doctor", NULL, NULL, gcl_doctor_run,
	 "say which way to the host is used, what is missing and what mends it"},
	{"status", NULL, NULL, gcl_status_run, "show what guestcld serves: devices, VMs, sessions"},
	{"servers", NULL, NULL, gcl_servers_run,
	 "show the GPU servers that guestcld knows, and how busy they are"},
	{"top", NULL, NULL, gcl_top_run, "show what they do now, refreshed each second"},
	{"set", NULL, NULL, gcl_set_run, "change what a VM may have, while guestcld runs"},
	{"pause", NULL, NULL, gcl_pause_run, "have a VM's sessions, or one, begin nothing new"},
	{"resume", NULL, NULL, gcl_resume_run, "let them go on"},
	{"end", NULL, NULL, gcl_end_run, "end a session, or all of a VM's"},
	{"move", NULL, NULL, gcl_move_run,
	 "move a session's queues to a GPU server, or home, while its program runs"},
	{"drain", NULL, NULL, gcl_drain_run,
	 "move all sessions away from a server, or a device of this host"},
	{"why", NULL, NULL, gcl_why_run,
	 "say why a session is where it is, here or on a GPU server"},
	{"trace", NULL, NULL, gcl_trace_run, "show a session's messages as they pass"},
	{"restart", NULL, NULL, gcl_restart_run,
	 "have an upgraded guestcld take over; sessions go on"},
	{"attach", "guestcl-libvirt", "libvirt-dev", NULL,
	 "give a libvirt domain a way to this host"},
	{"detach", "guestcl-libvirt", "libvirt-dev", NULL, "take it away again"},
	{"pki", "guestcl-pki", "libgnutls28-dev", NULL,
	 "make certificates for remote servers and their clients"},
	{"list", "guestcl-libvirt", "libvirt-dev", NULL,
	 "show libvirt's domains and whether they are attached"},
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
static int command_exec(const char *program, const char *library, char **argv)
{
	const char *folder = getenv("GUESTCL_LIBEXEC");
	char path[4096];

	snprintf(path, sizeof path, "%s/%s", folder ? folder : GUESTCL_LIBEXECDIR, program);
	execv(path, argv);
	if (errno == ENOENT)
		fprintf(stderr,
			"guestcl: no %s: this guestcl was built without it; install %s and build "
			"it again\n",
			path, library);
	else
		fprintf(stderr, "guestcl: %s: %s\n", path, strerror(errno));
	return EX_UNAVAILABLE;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	static char title[32];

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
			return command_exec(commands[i].program, commands[i].library, argv);
		snprintf(title, sizeof title, "guestcl %s", name);
		argv[1] = title;
		return commands[i].run(argc - 1, argv + 1);
	}
	if (*name)
		fprintf(stderr, "guestcl: no command \"%s\"\n", name);
	usage(stderr);
	return EX_USAGE;
}
