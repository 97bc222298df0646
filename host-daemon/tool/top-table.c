// SPDX-License-Identifier: MIT
/*
 * The tables of guestcl top, line by line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "base/cleanup.h"
#include "top.h"

#define LINE_MAX_SIZE 1024u

/* A line that is being written. */
struct line {
	char text[LINE_MAX_SIZE];
	size_t used;
	unsigned columns, width;
};

struct table {
	gcl_top_put *put;
	void *data;
	unsigned width;
	size_t lines;
};

/* ------------------------------------------------------------ lines */

/* Columns that a character takes, and its bytes. What this locale can't show is a column. */
static unsigned columns_of(const char *text, size_t *bytes)
{
	mbstate_t state = {0};
	wchar_t wide;
	size_t size = mbrtowc(&wide, text, strlen(text), &state);
	int columns;

	*bytes = 1;
	if (size == 0 || size == (size_t)-1 || size == (size_t)-2)
		return 1;
	*bytes = size;
	columns = wcwidth(wide);
	return columns < 0 ? 1 : (unsigned)columns;
}

/* As much of @text as there is room for, within the line and @width. */
static unsigned text_put(struct line *line, const char *text, unsigned width)
{
	unsigned put = 0, room = GCL_MIN(width, line->width - line->columns);

	while (*text) {
		size_t bytes;
		unsigned columns = columns_of(text, &bytes);

		if (put + columns > room || line->used + bytes >= sizeof line->text)
			break;
		memcpy(line->text + line->used, text, bytes);
		line->used += bytes;
		put += columns;
		text += bytes;
	}
	line->text[line->used] = '\0';
	line->columns += put;
	return put;
}

static void spaces_put(struct line *line, unsigned count)
{
	while (count--)
		text_put(line, " ", 1);
}

static void left(struct line *line, const char *text, unsigned width)
{
	unsigned put = text_put(line, text, width);

	spaces_put(line, width - put + 1);
}

/* Numbers, which are never cut: they push the rest of the line aside. */
static void right(struct line *line, const char *text, unsigned width)
{
	unsigned size = (unsigned)strlen(text);

	spaces_put(line, size < width ? width - size : 0);
	text_put(line, text, size);
	spaces_put(line, 1);
}

static void line_end(struct table *table, struct line *line, enum gcl_top_style style)
{
	while (line->used && line->text[line->used - 1] == ' ')
		line->text[--line->used] = '\0';
	table->put(table->data, style, line->text);
	table->lines++;
	*line = (struct line){.width = table->width};
}

static void head(struct table *table, const char *text)
{
	struct line line = {.width = table->width};

	line_end(table, &line, GCL_TOP_PLAIN);
	text_put(&line, text, table->width);
	line_end(table, &line, GCL_TOP_HEAD);
}

/* ------------------------------------------------------------ tables */

static void bytes(struct line *line, double value, unsigned width)
{
	char copy[32];

	right(line, gcl_view_bytes(value, copy, sizeof copy), width);
}

static void percent(struct line *line, const struct gcl_view *view, double value)
{
	char copy[32];

	right(line, view->rated ? gcl_view_percent(value, copy, sizeof copy) : "-", 7);
}

static void count(struct line *line, double value, unsigned width)
{
	char copy[32];

	right(line, gcl_view_count(value, copy, sizeof copy), width);
}

/* What VMs and sessions have in common. */
static void usage(struct line *line, const struct gcl_view *view, const struct gcl_view_row *row)
{
	bytes(line, (double)row->counts.heap, 7);
	percent(line, view, row->rate.busy);
	percent(line, view, row->rate.wait);
	bytes(line, row->rate.from_guest, 7);
	bytes(line, row->rate.to_guest, 7);
	count(line, row->rate.calls, 7);
	count(line, (double)row->counts.errors, 6);
}

static void device_line(struct table *table, const struct gcl_view *view,
			const struct gcl_view_row *row)
{
	struct line line = {.width = table->width};

	left(&line, row->id, 3);
	left(&line, row->state, 11);
	percent(&line, view, row->rate.busy);
	percent(&line, view, row->rate.wait);
	count(&line, (double)row->waiting, 5);
	bytes(&line, (double)row->counts.memory, 7);
	bytes(&line, (double)row->limit, 7);
	left(&line, row->name, 48);
	text_put(&line, row->owner, table->width);
	line_end(table, &line, GCL_TOP_PLAIN);
}

static void vm_line(struct table *table, const struct gcl_view *view,
		    const struct gcl_view_row *row, const char *selected)
{
	bool paused = strcmp(row->state, "running") != 0;
	struct line line = {.width = table->width};

	left(&line, row->name, 20);
	left(&line, row->state, 8);
	count(&line, (double)row->sessions, 5);
	count(&line, (double)row->weight, 6);
	bytes(&line, (double)row->counts.memory, 7);
	if (row->limit)
		bytes(&line, (double)row->limit, 7);
	else
		right(&line, "-", 7);
	usage(&line, view, row);
	line_end(table, &line,
		 strcmp(row->id, selected) == 0 ? GCL_TOP_SELECTED
		 : paused			? GCL_TOP_TROUBLE
						: GCL_TOP_PLAIN);
}

static void session_line(struct table *table, const struct gcl_view *view,
			 const struct gcl_view_row *row)
{
	struct line line = {.width = table->width};
	char age[32], name[3 * GCL_VIEW_NAME_MAX + 64];

	snprintf(name, sizeof name, "%s%s%s%s%s", row->name, *row->at ? ", on " : "", row->at,
		 *row->move ? ", " : "", row->move);
	left(&line, row->id, 8);
	left(&line, row->owner, 20);
	left(&line, row->state, 8);
	bytes(&line, (double)row->counts.memory, 7);
	usage(&line, view, row);
	right(&line, gcl_view_age(row->age, age, sizeof age), 7);
	text_put(&line, name, table->width);
	line_end(table, &line, GCL_TOP_PLAIN);
}

static void daemon_line(struct table *table, const struct gcl_view *view)
{
	struct line line = {.width = table->width};
	char text[256], age[32], memory[32];

	snprintf(text, sizeof text,
		 "guestcld %s, process %ju, up %s: %ju sessions (%ju so far, %ju refused), %ju "
		 "workers, %s",
		 view->version, (uintmax_t)view->pid, gcl_view_age(view->uptime, age, sizeof age),
		 (uintmax_t)view->sessions, (uintmax_t)view->served, (uintmax_t)view->refused,
		 (uintmax_t)view->workers,
		 gcl_view_bytes((double)view->memory, memory, sizeof memory));
	text_put(&line, text, table->width);
	line_end(table, &line, GCL_TOP_PLAIN);
}

size_t gcl_top_table(const struct gcl_view *view, const struct gcl_top_choice *choice,
		     unsigned width, gcl_top_put *put, void *data)
{
	struct table table = {.put = put, .data = data, .width = width};
	size_t before;

	daemon_line(&table, view);
	head(&table, "DEVICE             BUSY%   WAIT% QUEUE    HELD  MEMORY NAME");
	for (size_t i = 0; i < view->devices.count; i++)
		device_line(&table, view, &view->devices.rows[i]);
	head(&table, "VM                   STATE     SESS WEIGHT  MEMORY   LIMIT    HEAP   BUSY%"
		     "   WAIT%    IN/s   OUT/s CALLS/s ERRORS");
	before = table.lines;
	for (size_t i = 0; i < view->vms.count; i++)
		vm_line(&table, view, &view->vms.rows[i], choice->selected);
	head(&table, "SESSION  VM                   STATE     MEMORY    HEAP   BUSY%   WAIT%"
		     "    IN/s   OUT/s CALLS/s ERRORS     AGE PROGRAM");
	for (size_t i = 0; i < view->items.count; i++)
		session_line(&table, view, &view->items.rows[i]);
	return before;
}

/* ------------------------------------------------------------ order */

static int by_number(double a, double b)
{
	return (a < b) - (a > b); /* most first */
}

static int by_name(const struct gcl_view_row *a, const struct gcl_view_row *b)
{
	int order = strcmp(a->name, b->name);

	/* Ids are numbers or names: the shorter number is the smaller. */
	if (order == 0)
		order = (int)strlen(a->id) - (int)strlen(b->id);
	return order ? order : strcmp(a->id, b->id);
}

static int by_memory(const void *a, const void *b)
{
	const struct gcl_view_row *one = a, *other = b;
	int order = by_number((double)one->counts.memory, (double)other->counts.memory);

	return order ? order : by_name(one, other);
}

static int by_time(const void *a, const void *b)
{
	const struct gcl_view_row *one = a, *other = b;
	int order = by_number(one->rate.busy, other->rate.busy);

	if (order == 0)
		order = by_number((double)one->counts.busy, (double)other->counts.busy);
	return order ? order : by_name(one, other);
}

static int by_bytes(const void *a, const void *b)
{
	const struct gcl_view_row *one = a, *other = b;
	int order = by_number(one->rate.from_guest + one->rate.to_guest,
			      other->rate.from_guest + other->rate.to_guest);

	return order ? order : by_name(one, other);
}

static int by_names(const void *a, const void *b)
{
	return by_name(a, b);
}

void gcl_top_sort(struct gcl_view *view, char sort)
{
	int (*order)(const void *, const void *) = sort == 'm'	 ? by_memory
						   : sort == 'b' ? by_bytes
						   : sort == 'n' ? by_names
								 : by_time;

	qsort(view->vms.rows, view->vms.count, sizeof *view->vms.rows, order);
	qsort(view->items.rows, view->items.count, sizeof *view->items.rows, order);
}
