// SPDX-License-Identifier: MIT
/*
 * sim: runs policies of placement on made or recorded traces; see usage().
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sim.h"

static const char help[] =
	"usage: sim [OPTIONS]\n"
	"\n"
	"Runs policies that decide where tasks run, on traces of tasks, and prints what came of "
	"it.\n"
	"\n"
	"  --scenario NAME   one of those below (initially all of them)\n"
	"  --policy NAME     one of those below (initially all of them)\n"
	"  --trace FILE      tasks from a file, on the hosts and servers of the scenario\n"
	"  --tasks N         that many, instead of the scenario's own number\n"
	"  --servers N       the same\n"
	"  --memory BYTES    of each host's device, instead of what the scenario's pressure asks "
	"for\n"
	"  --set NAME=VALUE  a setting of placement (struct gcl_place_settings); may come again\n"
	"  --seed N          of all that is random (initially 1)\n"
	"  --print-trace     print the tasks as --trace reads them, and do no more\n"
	"  --log             print each decision with its figures, on stderr\n"
	"  --json            print results as JSON\n"
	"  --help\n"
	"\n"
	"Columns: makespan; waiting, mean and 95th percentile (s); slow-down, mean and 95th "
	"percentile;\n"
	"Jain's fairness of VMs' speeds; moves, those home among them, and the most of one task; "
	"moves\n"
	"that servers refused or that died with them; programs that failed and were begun again; "
	"bytes\n"
	"moved.\n"
	"\n";

struct options {
	const char *scenario, *policy, *trace;
	uint32_t tasks, servers;
	uint64_t memory, seed;
	struct gcl_place_settings settings;
	bool print, log, json;
	bool first; /* nothing has been printed yet */
};

static void usage(FILE *stream)
{
	fputs(help, stream);
	fputs("Scenarios:\n", stream);
	for (const struct sim_world *it = sim_worlds(); it->name; it++)
		fprintf(stream, "  %-10s %s\n", it->name, it->about);
	fputs("Policies:\n", stream);
	for (unsigned i = 0; gcl_place_policies()[i]; i++)
		fprintf(stream, "  %-10s %s\n", gcl_place_policies()[i]->name,
			gcl_place_policies()[i]->about);
}

static uint64_t number(const char *text, uint64_t most)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (*end || end == text || text[0] == '-' || value > most) {
		fprintf(stderr, "sim: %s is no number up to %llu\n", text,
			(unsigned long long)most);
		exit(2);
	}
	return value;
}

static void options_read(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{"scenario", required_argument, NULL, 's'},
		{"policy", required_argument, NULL, 'p'},
		{"trace", required_argument, NULL, 't'},
		{"tasks", required_argument, NULL, 'n'},
		{"servers", required_argument, NULL, 'r'},
		{"memory", required_argument, NULL, 'm'},
		{"seed", required_argument, NULL, 'd'},
		{"print-trace", no_argument, NULL, 'P'},
		{"log", no_argument, NULL, 'l'},
		{"json", no_argument, NULL, 'j'},
		{"set", required_argument, NULL, 'S'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 's':
			options->scenario = optarg;
			break;
		case 'p':
			options->policy = optarg;
			break;
		case 't':
			options->trace = optarg;
			break;
		case 'n':
			options->tasks = (uint32_t)number(optarg, GCL_PLACE_TASKS_MAX);
			break;
		case 'r':
			options->servers = (uint32_t)number(optarg, GCL_PLACE_PLACES_MAX - 1);
			break;
		case 'm':
			options->memory = number(optarg, UINT64_C(1) << 47);
			break;
		case 'd':
			options->seed = number(optarg, UINT64_MAX);
			break;
		case 'P':
			options->print = true;
			break;
		case 'l':
			options->log = true;
			break;
		case 'j':
			options->json = true;
			break;
		case 'S':
			if (!sim_set(&options->settings, optarg)) {
				fprintf(stderr, "sim: %s is no setting\n", optarg);
				exit(2);
			}
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind < argc) {
		usage(stderr);
		exit(2);
	}
}

static void trace_open(const char *path, struct sim_world *world, struct sim_trace *trace)
{
	_cleanup_fclose_ FILE *stream = fopen(path, "r");
	const char *fault;
	unsigned line;

	if (!stream) {
		perror(path);
		exit(1);
	}
	line = sim_trace_read(stream, trace, &fault);
	if (line) {
		fprintf(stderr, "sim: %s: line %u: %s\n", path, line, fault);
		exit(1);
	}
	world->hosts = trace->hosts;
	if (!world->memory)
		sim_trace_fit(world, trace);
}

static void scenario_run(struct options *options, const struct sim_world *given)
{
	struct sim_world world = *given;
	struct sim_trace trace;

	if (options->tasks)
		world.tasks = options->tasks;
	if (options->servers)
		world.servers = options->servers;
	world.memory = options->memory;
	if (options->trace)
		trace_open(options->trace, &world, &trace);
	else
		sim_trace_make(&world, options->seed, &trace);
	if (options->print) {
		sim_trace_write(stdout, &trace);
		free(trace.specs);
		return;
	}
	for (unsigned i = 0; gcl_place_policies()[i]; i++) {
		const struct gcl_place_policy *policy = gcl_place_policies()[i];
		struct sim_result result;

		if (options->policy && strcmp(options->policy, policy->name) != 0)
			continue;
		result = sim_run(&trace, &world, policy, &options->settings, options->seed,
				 options->log ? stderr : NULL);
		sim_result_print(world.name, policy->name, &result, options->json, options->first);
		fflush(stdout);
		options->first = false;
	}
	free(trace.specs);
}

int main(int argc, char **argv)
{
	struct options options = {.seed = 1, .first = true, .settings = gcl_place_settings};
	bool found = false;

	options_read(argc, argv, &options);
	if (options.policy && !gcl_place_policy_find(options.policy)) {
		fprintf(stderr, "sim: there is no policy \"%s\"\n", options.policy);
		return 2;
	}
	if (options.json && !options.print)
		putchar('[');
	for (const struct sim_world *it = sim_worlds(); it->name; it++) {
		if (options.scenario && strcmp(options.scenario, it->name) != 0)
			continue;
		found = true;
		scenario_run(&options, it);
	}
	if (options.json && !options.print)
		puts("\n]");
	if (!found)
		fprintf(stderr, "sim: there is no scenario \"%s\"\n", options.scenario);
	return found ? 0 : 2;
}
