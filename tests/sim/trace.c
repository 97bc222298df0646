// SPDX-License-Identifier: MIT
/*
 * Recorded traces: a line for each task.
 *
 *     task at=12.5 host=0 vm=3 memory=67108864 grow=1048576 grow-at=0.5 commands=1e5
 *          kernel=2e-4 think=1e-4 trips=0.1 carried=4096 dirty=1e6 build=0.5 kept=1
 *
 * (in one line). Words may come in any order; what is left out is 0, but "commands" and "kernel",
 * which there must be. Times are seconds, sizes bytes; kernel, think, trips and carried are those
 * of one command. A line that is empty or begins with "#" is none.
 */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sim.h"

#define LINE_MAX_	1024
#define BYTES_MOST	(1ull << 47)
#define HOSTS_MOST	1000
#define VMS_MOST	60000
#define WORD_SEPARATORS " \t\r\n"

enum word_kind {
	WORD_DOUBLE,
	WORD_BYTES,
	WORD_COUNT,
	WORD_BOOL,
};

static const struct word {
	const char *name;
	enum word_kind kind;
	size_t at;
	double least, most;
} words[] = {
	{"at", WORD_DOUBLE, offsetof(struct sim_spec, at), 0., SIM_END},
	{"host", WORD_COUNT, offsetof(struct sim_spec, host), 0., HOSTS_MOST - 1},
	{"vm", WORD_COUNT, offsetof(struct sim_spec, vm), 0., VMS_MOST - 1},
	{"memory", WORD_BYTES, offsetof(struct sim_spec, memory), 0., BYTES_MOST},
	{"grow", WORD_BYTES, offsetof(struct sim_spec, grow), 0., BYTES_MOST},
	{"grow-at", WORD_DOUBLE, offsetof(struct sim_spec, grow_at), 0., 1.},
	{"commands", WORD_DOUBLE, offsetof(struct sim_spec, commands), 1., 1e12},
	{"kernel", WORD_DOUBLE, offsetof(struct sim_spec, kernel), 1e-9, 1e4},
	{"think", WORD_DOUBLE, offsetof(struct sim_spec, think), 0., 1e4},
	{"trips", WORD_DOUBLE, offsetof(struct sim_spec, trips), 0., 1e6},
	{"carried", WORD_DOUBLE, offsetof(struct sim_spec, carried), 0., 1e15},
	{"dirty", WORD_DOUBLE, offsetof(struct sim_spec, dirty), 0., 1e12},
	{"build", WORD_DOUBLE, offsetof(struct sim_spec, build), 0., 1e4},
	{"kept", WORD_BOOL, offsetof(struct sim_spec, kept), 0., 1.},
};

static void word_store(const struct word *word, double value, struct sim_spec *spec)
{
	void *at = (char *)spec + word->at;

	switch (word->kind) {
	case WORD_DOUBLE:
		*(double *)at = value;
		break;
	case WORD_BYTES:
		*(uint64_t *)at = (uint64_t)value;
		break;
	case WORD_COUNT:
		*(uint32_t *)at = (uint32_t)value;
		break;
	case WORD_BOOL:
		*(bool *)at = value > 0.;
		break;
	}
}

static double word_value(const struct word *word, const struct sim_spec *spec)
{
	const void *at = (const char *)spec + word->at;

	switch (word->kind) {
	case WORD_DOUBLE:
		return *(const double *)at;
	case WORD_BYTES:
		return (double)*(const uint64_t *)at;
	case WORD_COUNT:
		return *(const uint32_t *)at;
	case WORD_BOOL:
		return *(const bool *)at;
	}
	return 0.;
}

static const char *word_read(char *text, struct sim_spec *spec)
{
	char *equals = strchr(text, '='), *end;
	double value;

	if (!equals || !equals[1])
		return "a word is not NAME=NUMBER";
	*equals = '\0';
	value = strtod(equals + 1, &end);
	if (*end)
		return "a word is not NAME=NUMBER";
	for (unsigned i = 0; i < GCL_ARRAY_SIZE(words); i++) {
		if (strcmp(text, words[i].name) != 0)
			continue;
		/* NaN is not within anything. */
		if (!(value >= words[i].least && value <= words[i].most))
			return "a number is out of range";
		word_store(&words[i], value, spec);
		return NULL;
	}
	return "a word has an unknown name";
}

/* Return: what is wrong; NULL: nothing. @none: the line says nothing. */
static const char *line_read(char *line, struct sim_spec *spec, bool *none)
{
	const char *fault = NULL;
	char *save, *text = strtok_r(line, WORD_SEPARATORS, &save);

	*none = !text || text[0] == '#';
	if (*none)
		return NULL;
	if (strcmp(text, "task") != 0)
		return "a line doesn't begin with \"task\"";
	while (!fault && (text = strtok_r(NULL, WORD_SEPARATORS, &save)))
		fault = word_read(text, spec);
	if (!fault && (spec->commands <= 0. || spec->kernel <= 0.))
		fault = "commands and kernel are missing";
	return fault;
}

unsigned sim_trace_read(FILE *stream, struct sim_trace *trace, const char **fault)
{
	char line[LINE_MAX_];
	uint32_t room = 0;
	unsigned number = 1;

	*trace = (struct sim_trace){.hosts = 1, .vms = 1};
	for (; fgets(line, sizeof line, stream); number++) {
		struct sim_spec spec = {0};
		size_t size = strlen(line);
		bool none = false;

		*fault = "the line is too long, or not text";
		if (!size || (line[size - 1] != '\n' && !feof(stream)))
			return number;
		*fault = line_read(line, &spec, &none);
		if (*fault)
			return number;
		if (none)
			continue;
		*fault = "there are too many tasks";
		if (trace->count == GCL_PLACE_TASKS_MAX)
			return number;
		trace->specs = sim_grow(trace->specs, trace->count, &room, sizeof spec);
		trace->specs[trace->count++] = spec;
		trace->hosts = GCL_MAX(trace->hosts, spec.host + 1);
		trace->vms = GCL_MAX(trace->vms, spec.vm + 1);
	}
	*fault = trace->count ? NULL : "there are no tasks";
	return trace->count ? 0 : number;
}

void sim_trace_write(FILE *stream, const struct sim_trace *trace)
{
	for (uint32_t i = 0; i < trace->count; i++) {
		fputs("task", stream);
		for (unsigned k = 0; k < GCL_ARRAY_SIZE(words); k++)
			fprintf(stream, " %s=%.17g", words[k].name,
				word_value(&words[k], &trace->specs[i]));
		fputc('\n', stream);
	}
}
