// SPDX-License-Identifier: MIT
/*
 * What a status answer says. What answers on the socket may be anything, and so are its numbers.
 */
#include "view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* More than guestcld serves. */
#define ROWS_MAX 100000u

static struct json_object *member(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	if (json_object_is_type(object, json_type_object))
		json_object_object_get_ex(object, key, &value);
	return value;
}

static uint64_t number(struct json_object *object, const char *key)
{
	struct json_object *value = member(object, key);

	return json_object_is_type(value, json_type_int) ? json_object_get_uint64(value) : 0;
}

static double seconds(struct json_object *object, const char *key)
{
	double value = json_object_get_double(member(object, key));

	/* Neither NaN nor what no clock has counted. */
	return value > 0. && value < 1e12 ? value : 0.;
}

static void text(struct json_object *object, const char *key, char *copy, size_t size)
{
	struct json_object *value = member(object, key);

	gcl_view_clean(copy, size, value ? json_object_get_string(value) : NULL);
}

static void counts_read(struct gcl_view_counts *counts, struct json_object *object)
{
	counts->memory = number(object, "memory_bytes");
	counts->heap = number(object, "heap_bytes");
	counts->busy = number(object, "device_time_ns");
	counts->wait = number(object, "wait_time_ns");
	counts->from_guest = number(object, "bytes_from_guest");
	counts->to_guest = number(object, "bytes_to_guest");
	counts->calls = number(object, "calls");
	counts->errors = number(object, "errors");
}

/* ------------------------------------------------------------ rows */

static void device_read(struct gcl_view_row *row, struct json_object *object)
{
	text(object, "platform", row->owner, sizeof row->owner);
	text(object, "type", row->state, sizeof row->state);
	row->counts.memory = number(object, "held_bytes");
	row->waiting = number(object, "sessions_waiting");
	row->limit = number(object, "memory_bytes");
}

static void parts_read(struct gcl_view_row *row, struct json_object *list)
{
	size_t count =
		json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	row->part_count = GCL_MIN(count, GCL_VIEW_PARTS_MAX);
	for (size_t i = 0; i < row->part_count; i++) {
		struct json_object *object = json_object_array_get_idx(list, i);

		row->parts[i] = (struct gcl_view_part){
			.device = number(object, "device"),
			.memory = number(object, "memory_bytes"),
			.busy = number(object, "device_time_ns"),
			.wait = number(object, "wait_time_ns"),
		};
	}
}

static void vm_read(struct gcl_view_row *row, struct json_object *object)
{
	struct json_object *limits = member(object, "limits");

	text(object, "state", row->state, sizeof row->state);
	text(object, "kind", row->kind, sizeof row->kind);
	row->limit = number(limits, "memory_bytes");
	row->weight = number(limits, "weight");
	row->sessions = number(object, "sessions");
	parts_read(row, member(object, "devices"));
}

/* Each server once. */
static void places_read(struct gcl_view_row *row, struct json_object *list)
{
	size_t count =
		json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	char name[GCL_VIEW_NAME_MAX], last[GCL_VIEW_NAME_MAX] = "";

	for (size_t i = 0; i < count; i++) {
		size_t used = strlen(row->at);

		text(json_object_array_get_idx(list, i), "server", name, sizeof name);
		if (strcmp(name, last) != 0)
			snprintf(row->at + used, sizeof row->at - used, "%s%s", used ? ", " : "",
				 name);
		memcpy(last, name, sizeof last);
	}
}

static void moves_read(struct gcl_view_row *row, struct json_object *object)
{
	struct json_object *move = member(object, "move");
	char state[16], server[72];

	row->away = number(object, "queues_away");
	if (row->away)
		places_read(row, member(object, "places"));
	if (!move)
		return;
	text(move, "state", state, sizeof state);
	text(move, "server", server, sizeof server);
	snprintf(row->move, sizeof row->move, "moving %s%s (%s)", *server ? "to " : "home", server,
		 state);
}

static void session_read(struct gcl_view_row *row, struct json_object *object)
{
	text(object, "program", row->name, sizeof row->name);
	text(object, "vm", row->owner, sizeof row->owner);
	text(object, "state", row->state, sizeof row->state);
	text(object, "channel", row->kind, sizeof row->kind);
	text(object, "peer", row->peer, sizeof row->peer);
	row->age = seconds(object, "age_s");
	moves_read(row, object);
}

static int rows_read(struct gcl_view_rows *rows, struct json_object *list,
		     void (*read)(struct gcl_view_row *, struct json_object *))
{
	size_t count =
		json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	count = GCL_MIN(count, ROWS_MAX);
	rows->rows = calloc(GCL_MAX(count, 1u), sizeof *rows->rows);
	if (!rows->rows)
		return -ENOMEM;
	rows->count = count;
	for (size_t i = 0; i < count; i++) {
		struct json_object *object = json_object_array_get_idx(list, i);
		struct gcl_view_row *row = &rows->rows[i];

		text(object, "id", row->id, sizeof row->id);
		text(object, "name", row->name, sizeof row->name);
		counts_read(&row->counts, object);
		read(row, object);
	}
	return 0;
}

static void servers_count(struct gcl_view *view, struct json_object *list)
{
	size_t count =
		json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	char state[16];

	for (size_t i = 0; i < count; i++) {
		text(json_object_array_get_idx(list, i), "state", state, sizeof state);
		view->servers_up += strcmp(state, "up") == 0;
		view->servers_stale += strcmp(state, "stale") == 0;
		view->servers_known += strcmp(state, "known") == 0;
	}
}

static void moves_count(struct gcl_view *view, struct json_object *moves)
{
	view->moves = (struct gcl_view_moves){
		.under_way = number(moves, "under_way"),
		.done = number(moves, "done"),
		.failed = number(moves, "failed"),
		.bytes = number(moves, "bytes"),
		.pause = number(moves, "pause_ns"),
		.links = number(moves, "links"),
	};
	for (size_t i = 0; i < view->items.count; i++)
		view->moves.away += view->items.rows[i].away;
}

int gcl_view_read(struct gcl_view *view, struct json_object *status)
{
	struct json_object *etcd = member(status, "etcd");
	struct json_object *daemon = member(status, "daemon");
	int err;

	memset(view, 0, sizeof *view);
	view->time = number(status, "time_ns");
	view->pid = number(daemon, "pid");
	view->workers = number(daemon, "workers");
	view->sessions = number(daemon, "sessions");
	view->served = number(daemon, "sessions_served");
	view->refused = number(daemon, "refused");
	view->memory = number(daemon, "memory_bytes");
	view->left_out = number(daemon, "devices_left_out");
	view->uptime = seconds(daemon, "uptime_s");
	text(daemon, "version", view->version, sizeof view->version);
	text(daemon, "worker_error", view->worker_error, sizeof view->worker_error);
	servers_count(view, member(status, "servers"));
	text(etcd, "state", view->etcd, sizeof view->etcd);
	text(etcd, "error", view->etcd_error, sizeof view->etcd_error);
	view->etcd_age = seconds(etcd, "state_s");
	err = rows_read(&view->devices, member(status, "devices"), device_read);
	if (err == 0)
		err = rows_read(&view->vms, member(status, "vms"), vm_read);
	if (err == 0)
		err = rows_read(&view->items, member(status, "sessions"), session_read);
	if (err == 0)
		moves_count(view, member(status, "moves"));
	return err;
}

void gcl_view_fini(struct gcl_view *view)
{
	free(view->devices.rows);
	free(view->vms.rows);
	free(view->items.rows);
	memset(view, 0, sizeof *view);
}

/* ------------------------------------------------------------ rates */

static double rate(uint64_t now, uint64_t before, double elapsed)
{
	return now > before ? (double)(now - before) / elapsed : 0.;
}

static void row_rate(struct gcl_view_row *row, const struct gcl_view_row *old, double elapsed)
{
	const struct gcl_view_counts *now = &row->counts, *before = &old->counts;

	row->rate.busy = rate(now->busy, before->busy, elapsed) * 1e-9;
	row->rate.wait = rate(now->wait, before->wait, elapsed) * 1e-9;
	row->rate.from_guest = rate(now->from_guest, before->from_guest, elapsed);
	row->rate.to_guest = rate(now->to_guest, before->to_guest, elapsed);
	row->rate.calls = rate(now->calls, before->calls, elapsed);
	row->rate.errors = rate(now->errors, before->errors, elapsed);
}

/* Both are mostly in the same order, so the search begins after the last one found. */
static const struct gcl_view_row *row_find(const struct gcl_view_rows *rows, const char *id,
					   size_t *at)
{
	for (size_t i = 0; i < rows->count; i++) {
		size_t index = (*at + i) % rows->count;

		if (strcmp(rows->rows[index].id, id) == 0) {
			*at = index + 1;
			return &rows->rows[index];
		}
	}
	return NULL;
}

static void rows_rate(struct gcl_view_rows *rows, const struct gcl_view_rows *before,
		      double elapsed)
{
	size_t at = 0;

	for (size_t i = 0; i < rows->count; i++) {
		const struct gcl_view_row *old = row_find(before, rows->rows[i].id, &at);

		if (old)
			row_rate(&rows->rows[i], old, elapsed);
	}
}

void gcl_view_rate(struct gcl_view *view, const struct gcl_view *before)
{
	double elapsed;

	if (view->pid != before->pid || view->time <= before->time || before->time == 0)
		return;
	elapsed = (double)(view->time - before->time) * 1e-9;
	view->rated = true;
	rows_rate(&view->devices, &before->devices, elapsed);
	rows_rate(&view->vms, &before->vms, elapsed);
	rows_rate(&view->items, &before->items, elapsed);
}
