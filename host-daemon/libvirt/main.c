// SPDX-License-Identifier: MIT
/*
 * guestcl-libvirt: the command line of guestcl attach, detach and list, and of guestcld's follower.
 *
 * Status: enum gcl_exit, and 64 for a wrong command line.
 */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "libvirt.h"

/* The longest that libvirt may take; where it can't use KVM, defining a domain takes it 45 s. */
#define ANSWER_SECONDS 180

/* What libvirt's domain metadata and guestcld.conf take for a weight. */
#define WEIGHT_MAX 10000

const char *argp_program_version = "guestcl " GUESTCL_VERSION;

enum {
	KEY_CONNECT = 'c',
	KEY_MEMORY = 'm',
	KEY_WEIGHT = 'w',
	KEY_DRY_RUN = 'n',
	KEY_CHANNEL = 256,
	KEY_VM_DIR,
	KEY_LIVE,
	KEY_JSON,
};

#define OPTION_CONNECT                                                                             \
	{                                                                                          \
		"connect", KEY_CONNECT, "URI", 0,                                                  \
			"Which libvirt, such as qemu:///system (default: as virsh has it)", 0      \
	}
#define OPTION_DRY_RUN                                                                             \
	{                                                                                          \
		"dry-run", KEY_DRY_RUN, NULL, 0,                                                   \
			"Show how the definition would change, and change nothing", 0              \
	}

static const struct argp_option attach_options[] = {
	OPTION_CONNECT,
	{"memory", KEY_MEMORY, "SIZE", 0,
	 "How much device memory the domain may have: 512M, 4G, or none for no limit", 0},
	{"weight", KEY_WEIGHT, "N", 0,
	 "Its share of a busy device's time, 1 to 10000, or none for guestcld's default", 0},
	{"channel", KEY_CHANNEL, "KIND", 0,
	 "How guests reach the host: auto, virtio or vsock (default auto)", 0},
	{"vm-dir", KEY_VM_DIR, "DIR", 0,
	 "vm-dir of guestcld.conf, if it isn't the default; for the virtio channel", 0},
	OPTION_DRY_RUN,
	{"live", KEY_LIVE, NULL, 0, "Plug the device into the running domain as well", 0},
	{0},
};

static const struct argp_option detach_options[] = {
	OPTION_CONNECT,
	OPTION_DRY_RUN,
	{"live", KEY_LIVE, NULL, 0, "Unplug the device from the running domain as well", 0},
	{0},
};

static const struct argp_option list_options[] = {
	OPTION_CONNECT,
	{"json", KEY_JSON, NULL, 0, "Print a JSON array", 0},
	{0},
};

static const struct argp_option follow_options[] = {
	OPTION_CONNECT,
	{"vm-dir", KEY_VM_DIR, "DIR", 0, "Where guestcld has the sockets", 0},
	{0},
};

static void memory_parse(struct argp_state *state, const char *text)
{
	struct gcl_command *command = state->input;
	static const char units[] = "KMGT";
	const char *unit;
	char *end;
	unsigned long long value;

	command->has_memory = true;
	if (strcmp(text, "none") == 0)
		return;
	errno = 0;
	value = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		unsigned shift = 10u * (unsigned)(unit - units + 1);

		if (value > UINT64_MAX >> shift)
			errno = ERANGE;
		value <<= shift;
		end++;
		if (strcmp(end, "iB") == 0)
			end += 2;
	}
	if (errno || *end || *text < '0' || *text > '9' || value < 1u << 20)
		argp_error(state,
			   "\"%s\" is no size: a number of bytes from 1 MiB on, or one with K, M, "
			   "G or T behind it",
			   text);
	command->limits.memory = value;
}

static void weight_parse(struct argp_state *state, const char *text)
{
	struct gcl_command *command = state->input;
	unsigned long value;
	char *end;

	command->has_weight = true;
	if (strcmp(text, "none") == 0)
		return;
	value = strtoul(text, &end, 10);
	if (*end || *text < '0' || *text > '9' || value < 1 || value > WEIGHT_MAX)
		argp_error(state, "\"%s\" is no weight: 1 to %d", text, WEIGHT_MAX);
	command->limits.weight = (unsigned)value;
}

static void channel_parse(struct argp_state *state, const char *text)
{
	struct gcl_command *command = state->input;

	if (strcmp(text, "auto") != 0 && strcmp(text, "virtio") != 0 && strcmp(text, "vsock") != 0)
		argp_error(state, "\"%s\" is no channel: auto, virtio or vsock", text);
	command->channel = text;
}

static error_t option_parse(int key, char *arg, struct argp_state *state)
{
	struct gcl_command *command = state->input;

	switch (key) {
	case KEY_CONNECT:
		command->uri = arg;
		return 0;
	case KEY_MEMORY:
		memory_parse(state, arg);
		return 0;
	case KEY_WEIGHT:
		weight_parse(state, arg);
		return 0;
	case KEY_CHANNEL:
		channel_parse(state, arg);
		return 0;
	case KEY_VM_DIR:
		command->vm_dir = arg;
		return 0;
	case KEY_DRY_RUN:
		command->dry_run = true;
		return 0;
	case KEY_LIVE:
		command->live = true;
		return 0;
	case KEY_JSON:
		command->json = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t domain_parse(int key, char *arg, struct argp_state *state)
{
	struct gcl_command *command = state->input;

	if (key == ARGP_KEY_ARG && !command->domain) {
		command->domain = arg;
		return 0;
	}
	if (key == ARGP_KEY_NO_ARGS)
		argp_error(state, "name a domain; virsh list --all shows them");
	return option_parse(key, arg, state);
}

static const struct {
	const char *name;
	struct argp parser;
	enum gcl_exit (*run)(const struct gcl_command *command);
} commands[] = {
	{"attach",
	 {attach_options, domain_parse, "DOMAIN",
	  "Gives a libvirt domain the host's OpenCL devices, or other limits.", NULL, NULL, NULL},
	 gcl_attach},
	{"detach",
	 {detach_options, domain_parse, "DOMAIN", "Takes back what attach did to a domain.", NULL,
	  NULL, NULL},
	 gcl_detach},
	{"list",
	 {list_options, option_parse, NULL, "Lists the domains that are attached.", NULL, NULL,
	  NULL},
	 gcl_list},
	{"follow",
	 {follow_options, option_parse, NULL,
	  "Tells guestcld which domains are attached; it starts this by itself.", NULL, NULL, NULL},
	 gcl_follow},
};

static void on_alarm(int signal_number)
{
	static const char text[] = "guestcl: libvirt doesn't answer: restart libvirtd\n";

	(void)signal_number;
	(void)!write(STDERR_FILENO, text, sizeof text - 1);
	_exit(GCL_EXIT_NO_CONNECTION);
}

static int usage(FILE *out)
{
	fprintf(out, "usage: guestcl attach|detach DOMAIN [OPTION]..., guestcl list [OPTION]...\n"
		     "--help after the command lists its options.\n");
	return out == stdout ? EXIT_SUCCESS : EX_USAGE;
}

int main(int argc, char **argv)
{
	struct gcl_command command = {.channel = "auto"};
	char name[32];

	if (argc < 2)
		return usage(stderr);
	if (strcmp(argv[1], "--help") == 0)
		return usage(stdout);
	if (strcmp(argv[1], "--version") == 0) {
		puts(argp_program_version);
		return EXIT_SUCCESS;
	}
	for (size_t i = 0; i < GCL_ARRAY_SIZE(commands); i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		/* Users call it by way of guestcl. */
		snprintf(name, sizeof name, "guestcl %s", commands[i].name);
		argv[1] = name;
		argp_parse(&commands[i].parser, argc - 1, argv + 1, 0, NULL, &command);
		if (commands[i].run != gcl_follow) {
			signal(SIGALRM, on_alarm);
			alarm(ANSWER_SECONDS);
		}
		return commands[i].run(&command);
	}
	fprintf(stderr, "guestcl: there is no command \"%s\"\n", argv[1]);
	return usage(stderr);
}
