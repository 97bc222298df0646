// SPDX-License-Identifier: MIT
/*
 * The text format of Prometheus.
 *
 * https://prometheus.io/docs/instrumenting/exposition_formats/: all values of a metric follow its
 * HELP and TYPE.
 */
#include <string.h>

#include "base/cleanup.h"
#include "web.h"

enum unit { COUNT, SECONDS }; /* SECONDS: of ns */

/* A value of a row, or of a VM's part of a device. */
struct metric {
	const char *name, *type, *help;
	enum unit unit;
	size_t offset;
};

#define ROW(text, kind, words, in, field)                                                          \
	{                                                                                          \
		(text), (kind), (words), (in), offsetof(struct gcl_view_row, field)                \
	}
#define PART(text, kind, words, in, field)                                                         \
	{                                                                                          \
		(text), (kind), (words), (in), offsetof(struct gcl_view_part, field)               \
	}
#define ALL(text, kind, words, field)                                                              \
	{                                                                                          \
		(text), (kind), (words), COUNT, offsetof(struct gcl_view, field)                   \
	}

static const struct metric daemon_metrics[] = {
	ALL("guestcl_workers", "gauge", "Worker processes.", workers),
	ALL("guestcl_sessions", "gauge", "Sessions that are served.", sessions),
	ALL("guestcl_sessions_served_total", "counter", "Sessions that have begun.", served),
	ALL("guestcl_guests_refused_total", "counter", "Guests that were refused.", refused),
	ALL("guestcl_resident_memory_bytes", "gauge", "Memory of guestcld itself.", memory),
};

static const struct metric device_metrics[] = {
	ROW("guestcl_device_memory_bytes", "gauge", "Memory of the device.", COUNT, limit),
	ROW("guestcl_device_held_bytes", "gauge", "Memory of the device that sessions hold.", COUNT,
	    counts.memory),
	ROW("guestcl_device_sessions_waiting", "gauge",
	    "Sessions that wait for their turn on the device.", COUNT, waiting),
	ROW("guestcl_device_time_seconds_total", "counter", "Time that the device worked.", SECONDS,
	    counts.busy),
	ROW("guestcl_device_wait_seconds_total", "counter",
	    "Time that commands waited for the device.", SECONDS, counts.wait),
};

static const struct metric vm_metrics[] = {
	ROW("guestcl_vm_sessions", "gauge", "Sessions of the VM.", COUNT, sessions),
	ROW("guestcl_vm_memory_limit_bytes", "gauge",
	    "Memory of each device that it may hold; 0: no limit.", COUNT, limit),
	ROW("guestcl_vm_heap_bytes", "gauge", "Memory that payloads go through.", COUNT,
	    counts.heap),
	ROW("guestcl_vm_weight", "gauge", "Its weight where it shares a device.", COUNT, weight),
	ROW("guestcl_vm_received_bytes_total", "counter", "Bytes from the VM.", COUNT,
	    counts.from_guest),
	ROW("guestcl_vm_sent_bytes_total", "counter", "Bytes to the VM.", COUNT, counts.to_guest),
	ROW("guestcl_vm_calls_total", "counter", "Messages from the VM.", COUNT, counts.calls),
	ROW("guestcl_vm_errors_total", "counter", "Objects and commands that have failed.", COUNT,
	    counts.errors),
};

static const struct metric part_metrics[] = {
	PART("guestcl_vm_memory_bytes", "gauge", "Memory of the device that the VM holds.", COUNT,
	     memory),
	PART("guestcl_vm_device_time_seconds_total", "counter",
	     "Time that the device worked for the VM.", SECONDS, busy),
	PART("guestcl_vm_wait_seconds_total", "counter",
	     "Time that its commands waited for the device.", SECONDS, wait),
};

static void label(FILE *file, const char *name, const char *text)
{
	fprintf(file, "%s=\"", name);
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", file);
		else if (*text == '"' || *text == '\\')
			fprintf(file, "\\%c", *text);
		else
			fputc(*text, file);
	}
	fputc('"', file);
}

static void head(FILE *file, const struct metric *metric)
{
	fprintf(file, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name,
		metric->type);
}

static void value(FILE *file, const struct metric *metric, const void *object)
{
	uint64_t number;

	memcpy(&number, (const char *)object + metric->offset, sizeof number);
	if (metric->unit == SECONDS)
		fprintf(file, " %ju.%09ju\n", (uintmax_t)(number / 1000000000u),
			(uintmax_t)(number % 1000000000u));
	else
		fprintf(file, " %ju\n", (uintmax_t)number);
}

static void vm_labels(FILE *file, const struct gcl_view_row *vm)
{
	label(file, "id", vm->id);
	fputc(',', file);
	label(file, "vm", vm->name);
	fputc(',', file);
	label(file, "kind", vm->kind);
}

static void devices_write(FILE *file, const struct metric *metric, const struct gcl_view *view)
{
	head(file, metric);
	for (size_t i = 0; i < view->devices.count; i++) {
		const struct gcl_view_row *device = &view->devices.rows[i];

		fprintf(file, "%s{", metric->name);
		label(file, "device", device->id);
		fputc(',', file);
		label(file, "name", device->name);
		fputc('}', file);
		value(file, metric, device);
	}
}

static void vms_write(FILE *file, const struct metric *metric, const struct gcl_view *view)
{
	head(file, metric);
	for (size_t i = 0; i < view->vms.count; i++) {
		fprintf(file, "%s{", metric->name);
		vm_labels(file, &view->vms.rows[i]);
		fputc('}', file);
		value(file, metric, &view->vms.rows[i]);
	}
}

static void parts_write(FILE *file, const struct metric *metric, const struct gcl_view *view)
{
	head(file, metric);
	for (size_t i = 0; i < view->vms.count; i++) {
		const struct gcl_view_row *vm = &view->vms.rows[i];

		for (size_t j = 0; j < vm->part_count; j++) {
			fprintf(file, "%s{", metric->name);
			vm_labels(file, vm);
			fprintf(file, ",device=\"%ju\"}", (uintmax_t)vm->parts[j].device);
			value(file, metric, &vm->parts[j]);
		}
	}
}

static void daemon_write(FILE *file, const struct gcl_view *view)
{
	fputs("# HELP guestcl_build_info Version of guestcld.\n# TYPE guestcl_build_info gauge\n"
	      "guestcl_build_info{",
	      file);
	label(file, "version", view->version);
	fprintf(file,
		"} 1\n# HELP guestcl_uptime_seconds How long guestcld has run.\n"
		"# TYPE guestcl_uptime_seconds gauge\nguestcl_uptime_seconds %.3f\n",
		view->uptime);
	for (size_t i = 0; i < GCL_ARRAY_SIZE(daemon_metrics); i++) {
		head(file, &daemon_metrics[i]);
		fputs(daemon_metrics[i].name, file);
		value(file, &daemon_metrics[i], view);
	}
}

static void servers_write(FILE *file, const struct gcl_view *view)
{
	const struct {
		const char *state;
		uint64_t count;
	} counts[] = {
		{"up", view->servers_up},
		{"stale", view->servers_stale},
		{"known", view->servers_known},
	};

	fputs("# HELP guestcl_servers GPU servers that are known: up, stale while etcd can't be "
	      "reached, or of the configuration alone.\n# TYPE guestcl_servers gauge\n",
	      file);
	for (size_t i = 0; i < GCL_ARRAY_SIZE(counts); i++)
		fprintf(file, "guestcl_servers{state=\"%s\"} %ju\n", counts[i].state,
			(uintmax_t)counts[i].count);
	/* Nobody is to be alarmed who has none. */
	if (*view->etcd && strcmp(view->etcd, "off") != 0)
		fprintf(file,
			"# HELP guestcl_etcd_up Whether etcd can be reached.\n"
			"# TYPE guestcl_etcd_up gauge\nguestcl_etcd_up %d\n",
			strcmp(view->etcd, "up") == 0);
}

static const struct metric moves_metrics[] = {
	ALL("guestcl_queues_away", "gauge", "Command queues that are on GPU servers.", moves.away),
	ALL("guestcl_moves_under_way", "gauge", "Moves that have begun, or wait for their turn.",
	    moves.under_way),
	ALL("guestcl_links", "gauge", "Connections to GPU servers by TLS.", moves.links),
	ALL("guestcl_moves_total", "counter", "Moves to servers and back.", moves.done),
	ALL("guestcl_moves_failed_total", "counter", "Moves that came to nothing.", moves.failed),
	ALL("guestcl_moved_bytes_total", "counter", "What went along with moves.", moves.bytes),
	{"guestcl_move_pause_seconds_total", "counter",
	 "Time that sessions stood while they moved.", SECONDS,
	 offsetof(struct gcl_view, moves.pause)},
};

static void moves_write(FILE *file, const struct gcl_view *view)
{
	for (size_t i = 0; i < GCL_ARRAY_SIZE(moves_metrics); i++) {
		head(file, &moves_metrics[i]);
		fputs(moves_metrics[i].name, file);
		value(file, &moves_metrics[i], view);
	}
}

static void paused_write(FILE *file, const struct gcl_view *view)
{
	fputs("# HELP guestcl_vm_paused Whether the VM is paused.\n# TYPE guestcl_vm_paused "
	      "gauge\n",
	      file);
	for (size_t i = 0; i < view->vms.count; i++) {
		fputs("guestcl_vm_paused{", file);
		vm_labels(file, &view->vms.rows[i]);
		fprintf(file, "} %d\n", strcmp(view->vms.rows[i].state, "paused") == 0);
	}
}

char *gcl_web_metrics(struct json_object *status, size_t *size)
{
	_cleanup_(gcl_view_fini) struct gcl_view view;
	_cleanup_free_ char *text = NULL;
	FILE *file;

	if (gcl_view_read(&view, status) < 0)
		return NULL;
	file = open_memstream(&text, size);
	if (!file)
		return NULL;
	daemon_write(file, &view);
	for (size_t i = 0; i < GCL_ARRAY_SIZE(device_metrics); i++)
		devices_write(file, &device_metrics[i], &view);
	for (size_t i = 0; i < GCL_ARRAY_SIZE(vm_metrics); i++)
		vms_write(file, &vm_metrics[i], &view);
	for (size_t i = 0; i < GCL_ARRAY_SIZE(part_metrics); i++)
		parts_write(file, &part_metrics[i], &view);
	paused_write(file, &view);
	servers_write(file, &view);
	moves_write(file, &view);
	return fclose(file) == 0 ? steal_pointer(&text) : NULL;
}
