// SPDX-License-Identifier: MIT
/*
 * guestcl doctor: its command line, and how it says what it found.
 *
 * Status: 0 if a program here would reach a host, 1 if not, 64 for a wrong command line.
 */
#include "doctor.h"

#include <argp.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"

#define VM_DIR "/run/guestcl/vm"

static const char *const state_names[] = {
	[GCL_FOUND_GOOD] = "ok",
	[GCL_FOUND_BAD] = "bad",
	[GCL_FOUND_WARNING] = "warning",
	[GCL_FOUND_ABSENT] = "absent",
};

void gcl_find(struct gcl_doctor *doctor, const char *name, enum gcl_finding_state state,
	      const char *fix, const char *format, ...)
{
	struct gcl_finding *finding = &doctor->findings[doctor->count];
	va_list arguments;

	if (doctor->count == GCL_FINDINGS_MAX)
		return;
	doctor->count++;
	finding->state = state;
	snprintf(finding->name, sizeof finding->name, "%s", name);
	snprintf(finding->fix, sizeof finding->fix, "%s", fix ? fix : "");
	va_start(arguments, format);
	vsnprintf(finding->text, sizeof finding->text, format, arguments);
	va_end(arguments);
}

const char *gcl_doctor_file(const struct gcl_doctor *doctor, const char *path)
{
	static char file[4096];

	snprintf(file, sizeof file, "%s%s", doctor->root, path);
	return file;
}

void gcl_doctor_print(const struct gcl_doctor *doctor, FILE *file)
{
	if (*doctor->channel)
		fprintf(file, "OpenCL programs here reach the host by %s: %s.\n\n", doctor->channel,
			doctor->why);
	else
		fprintf(file, "OpenCL programs here reach no host: %s.\n\n", doctor->why);
	for (unsigned i = 0; i < doctor->count; i++) {
		const struct gcl_finding *finding = &doctor->findings[i];

		fprintf(file, "%-7s %-10s %s\n", state_names[finding->state], finding->name,
			finding->text);
		if (*finding->fix)
			fprintf(file, "%-7s %-10s -> %s\n", "", "", finding->fix);
	}
}

static struct json_object *finding_json(const struct gcl_finding *finding)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "name", json_object_new_string(finding->name));
	json_object_object_add(object, "state",
			       json_object_new_string(state_names[finding->state]));
	json_object_object_add(object, "text", json_object_new_string(finding->text));
	json_object_object_add(object, "fix",
			       *finding->fix ? json_object_new_string(finding->fix) : NULL);
	return object;
}

bool gcl_doctor_print_json(const struct gcl_doctor *doctor, FILE *file)
{
	struct json_object *object = json_object_new_object();
	struct json_object *findings = json_object_new_array();
	const char *text;

	for (unsigned i = 0; i < doctor->count; i++)
		json_object_array_add(findings, finding_json(&doctor->findings[i]));
	json_object_object_add(object, "works", json_object_new_boolean(*doctor->channel != 0));
	json_object_object_add(object, "channel",
			       *doctor->channel ? json_object_new_string(doctor->channel) : NULL);
	json_object_object_add(object, "why", json_object_new_string(doctor->why));
	json_object_object_add(object, "findings", findings);
	text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
							      JSON_C_TO_STRING_SPACED |
							      JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text)
		fprintf(file, "%s\n", text);
	json_object_put(object);
	return text;
}

/* ------------------------------------------------------------ the command line */

enum { KEY_JSON = 256, KEY_VM_DIR, KEY_CONFIG, KEY_ROOT };

struct command {
	struct gcl_doctor doctor;
	bool json;
};

static const struct argp_option options[] = {
	{"json", KEY_JSON, NULL, 0, "Print a JSON object", 0},
	{"vm-dir", KEY_VM_DIR, "DIR", 0, "vm-dir of guestcld.conf, if it isn't the default", 0},
	{"config", KEY_CONFIG, "FILE", 0, "guestcld.conf, if it isn't where it belongs", 0},
	{"root", KEY_ROOT, "DIR", OPTION_HIDDEN, NULL, 0},
	{0},
};

/* NOLINTNEXTLINE(readability-non-const-parameter): as argp has it */
static error_t option_parse(int key, char *arg, struct argp_state *state)
{
	struct command *command = state->input;

	switch (key) {
	case KEY_JSON:
		command->json = true;
		return 0;
	case KEY_VM_DIR:
		command->doctor.vm_dir = arg;
		return 0;
	case KEY_CONFIG:
		command->doctor.config = arg;
		return 0;
	case KEY_ROOT:
		command->doctor.root = arg;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "doctor takes no arguments");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int gcl_doctor_run(int argc, char **argv)
{
	static const struct argp parser = {
		.options = options,
		.parser = option_parse,
		.doc = "Say which way to its host an OpenCL program would take here, what is "
		       "missing, and what mends it.\v"
		       "Works in a guest and on a host; what each needs is only looked for "
		       "there. A session is opened for a moment on each channel that is there. "
		       "The status is 0 if a channel works.",
	};
	static struct command command;

	command.doctor.root = "";
	command.doctor.vm_dir = VM_DIR;
	argp_parse(&parser, argc, argv, 0, NULL, &command);
	/* What goes wrong is a finding. */
	gcl_log_level_set(GCL_LOG_ERROR);
	gcl_doctor_machine(&command.doctor);
	gcl_doctor_driver(&command.doctor);
	gcl_doctor_channels(&command.doctor);
	gcl_doctor_loader(&command.doctor);
	gcl_doctor_host(&command.doctor);
	if (command.doctor.on_host)
		gcl_doctor_tls_host(&command.doctor);
	if (command.json && !gcl_doctor_print_json(&command.doctor, stdout))
		return EXIT_FAILURE;
	if (!command.json)
		gcl_doctor_print(&command.doctor, stdout);
	return *command.doctor.channel ? EXIT_SUCCESS : EXIT_FAILURE;
}
