// SPDX-License-Identifier: MIT
#include "explain.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

struct reason {
	const char *name, *text;
};

static const struct reason reasons[GCL_PLACE_WHYS] = {
	[GCL_PLACE_GO_WAITING] = {"waiting", "it waits longer than a move costs"},
	[GCL_PLACE_GO_ROOM] = {"room", "it makes room for an allocation"},
	[GCL_PLACE_GO_ASKING] = {"asking", "its own allocation doesn't fit"},
	[GCL_PLACE_GO_HOME] = {"home", "there is room at home again"},
	[GCL_PLACE_GO_LOST] = {"lost", "its server is lost"},
	[GCL_PLACE_GO_DRAIN] = {"drain", "its place is being drained"},
	[GCL_PLACE_GO_ORDER] = {"order", "the operator says so"},
	[GCL_PLACE_STAY_HELD] = {"held", "it can't be moved"},
	[GCL_PLACE_STAY_ODD] = {"odd", "its numbers can't be right"},
	[GCL_PLACE_STAY_GONE] = {"gone", "its server is lost, and what it needs with it"},
	[GCL_PLACE_STAY_CALM] = {"calm", "its place isn't busy"},
	[GCL_PLACE_STAY_NEW] = {"new", "it came just now"},
	[GCL_PLACE_STAY_MOVED] = {"moved", "it has been moved often enough lately"},
	[GCL_PLACE_STAY_NOWHERE] = {"nowhere", "no place has room for it"},
	[GCL_PLACE_STAY_NO_FASTER] = {"no-faster", "its commands would not be faster by enough"},
	[GCL_PLACE_STAY_COST] = {"cost", "it would save less than a move costs"},
	[GCL_PLACE_STAY_SLOTS] = {"slots", "it would go, but enough moves are under way"},
	[GCL_PLACE_STAY_AWAY] = {"away", "its home has no room for it yet"},
};

static const char *const holds[] = {
	[GCL_PLACE_FREE] = "",
	[GCL_PLACE_PINNED] = ": pinned by the operator",
	[GCL_PLACE_SHARED] = ": what it uses is shared",
	[GCL_PLACE_UNFIT] = ": what it uses can't be carried",
	[GCL_PLACE_MOVING] = ": it is being moved",
	[GCL_PLACE_FAILED] = ": a move of it failed lately",
	[GCL_PLACE_STANDS] = ": it is paused, or waits for memory",
};
static_assert(GCL_ARRAY_SIZE(holds) == GCL_PLACE_HOLDS, "a hold has no text");

const char *gcl_place_why_name(enum gcl_place_why why)
{
	return (unsigned)why < GCL_PLACE_WHYS ? reasons[why].name : "unknown";
}

/* What a name may look like in text and JSON alike. */
static void name_copy(const struct gcl_place_view *view, uint32_t place, char *out)
{
	const char *name = place < view->place_count ? view->places[place].name : "nowhere";
	unsigned n = 0;

	for (; name && name[n] && n < GCL_EXPLAIN_NAME_MAX; n++) {
		bool plain = name[n] >= ' ' && name[n] <= '~' && name[n] != '"' && name[n] != '\\';

		if (plain)
			out[n] = name[n];
		else
			out[n] = '?';
	}
	out[n] = '\0';
}

struct names {
	char from[GCL_EXPLAIN_NAME_MAX + 1], to[GCL_EXPLAIN_NAME_MAX + 1];
	uint64_t id;
};

static void names_fill(const struct gcl_place_view *view, const struct gcl_place_decision *decision,
		       struct names *names)
{
	name_copy(view, decision->from, names->from);
	name_copy(view, decision->to, names->to);
	names->id = decision->task < view->task_count ? view->tasks[decision->task].id : 0;
}

static const char *hold_text(const struct gcl_place_view *view,
			     const struct gcl_place_decision *decision)
{
	unsigned hold = GCL_PLACE_FREE;

	if (decision->why == GCL_PLACE_STAY_HELD && decision->task < view->task_count)
		hold = view->tasks[decision->task].hold;
	return hold < GCL_PLACE_HOLDS ? holds[hold] : "";
}

/* Puts what snprintf() said behind @used into account. */
static char *rest(char *buffer, size_t size, int used)
{
	return buffer + GCL_MIN((size_t)used, size);
}

static size_t rest_size(size_t size, int used)
{
	return size - GCL_MIN((size_t)used, size);
}

#define MIB 1048576.

int gcl_explain_text(const struct gcl_place_view *view, const struct gcl_place_decision *decision,
		     char *buffer, size_t size)
{
	const struct gcl_place_figures *f = &decision->figures;
	struct names names;
	int n;

	names_fill(view, decision, &names);
	if (gcl_place_goes(decision->why))
		n = snprintf(buffer, size, "%" PRIu64 ": goes from %s to %s: ", names.id,
			     names.from, names.to);
	else
		n = snprintf(buffer, size, "%" PRIu64 ": stays in %s: ", names.id, names.from);
	n += snprintf(rest(buffer, size, n), rest_size(size, n), "%s%s\n",
		      reasons[decision->why].text, hold_text(view, decision));
	n += snprintf(
		rest(buffer, size, n), rest_size(size, n),
		"  a command takes %.3f ms in %s, %.3f ms of it waiting; demand there is %.2f\n"
		"  holds %.1f MiB, was moved %u times lately\n",
		f->here * 1e3, names.from, f->waiting * 1e3, f->demand, (double)f->memory / MIB,
		f->moves);
	if (decision->to == GCL_PLACE_NONE)
		return n;
	n += snprintf(
		rest(buffer, size, n), rest_size(size, n),
		"  and %.3f ms in %s, %.3f ms of it on the link; demand there is %.2f\n"
		"  needs %.1f MiB of %.1f MiB that are free there\n"
		"  a move copies %.1f MiB in %u rounds, %.3f s while it runs and %.3f s while "
		"it doesn't; costs it %.3f s\n"
		"  saves %.3f s in the next %.1f s; score %.3f\n",
		f->there * 1e3, names.to, f->link * 1e3, f->demand_to, (double)f->needs / MIB,
		(double)f->free_to / MIB, f->copied / MIB, f->rounds, f->copying, f->pause, f->lost,
		f->saved, f->horizon, f->score);
	return n;
}

int gcl_explain_json(const struct gcl_place_view *view, const struct gcl_place_decision *decision,
		     char *buffer, size_t size)
{
	const struct gcl_place_figures *f = &decision->figures;
	struct names names;
	int n;

	names_fill(view, decision, &names);
	n = snprintf(buffer, size,
		     "{\"task\": %" PRIu64 ", \"goes\": %s, \"why\": \"%s\", \"text\": \"%s%s\", "
		     "\"from\": \"%s\", \"here\": %.9g, \"waiting\": %.9g, \"demand\": %.9g, "
		     "\"memory\": %" PRIu64 ", \"moves\": %u",
		     names.id, gcl_place_goes(decision->why) ? "true" : "false",
		     gcl_place_why_name(decision->why), reasons[decision->why].text,
		     hold_text(view, decision), names.from, f->here, f->waiting, f->demand,
		     f->memory, f->moves);
	if (decision->to != GCL_PLACE_NONE)
		n += snprintf(rest(buffer, size, n), rest_size(size, n),
			      ", \"to\": \"%s\", \"there\": %.9g, \"link\": %.9g, "
			      "\"demand_to\": %.9g, \"needs\": %" PRIu64 ", \"free_to\": %" PRIu64
			      ", \"copied\": %.0f, \"rounds\": %u, \"copying\": %.9g, "
			      "\"pause\": %.9g, \"lost\": %.9g, \"horizon\": %.9g, "
			      "\"saved\": %.9g, \"score\": %.9g",
			      names.to, f->there, f->link, f->demand_to, f->needs, f->free_to,
			      f->copied, f->rounds, f->copying, f->pause, f->lost, f->horizon,
			      f->saved, f->score);
	n += snprintf(rest(buffer, size, n), rest_size(size, n), "}");
	return n;
}
