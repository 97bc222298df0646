// SPDX-License-Identifier: MIT
/*
 * The request "why": the figures behind a session's being where it is, and behind its last move.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "control.h"

void gcl_placing_note(const struct gcl_view *view, const struct gcl_place_decision *decision)
{
	struct gcl_placing_decision *last = &view->workers[decision->task]->placed.last;

	last->decision = *decision;
	last->at = view->view.now;
	snprintf(last->from, sizeof last->from, "%s", view->behind[decision->from].name);
	snprintf(last->to, sizeof last->to, "%s",
		 decision->to == GCL_PLACE_NONE ? "" : view->behind[decision->to].name);
}

/* ------------------------------------------------------------ one decision */

static void seconds_add(struct json_object *object, const char *key, double seconds)
{
	char text[32];

	snprintf(text, sizeof text, "%.3f", seconds);
	json_object_object_add(object, key, json_object_new_double_s(seconds, text));
}

/* Return: the decision with its text, the caller's; NULL without memory. */
static struct json_object *explain(const struct gcl_place_view *view,
				   const struct gcl_place_decision *decision)
{
	char text[GCL_EXPLAIN_MAX];
	struct json_object *object;

	gcl_explain_json(view, decision, text, sizeof text);
	object = json_tokener_parse(text);
	if (!object)
		return NULL;
	json_object_object_del(object, "task");
	gcl_explain_text(view, decision, text, sizeof text);
	json_object_object_add(object, "lines", json_object_new_string(text));
	return object;
}

/* Of one that was kept: the view that it was made for is gone. */
static struct json_object *last_explain(const struct gcl_worker_process *worker)
{
	const struct gcl_placing_decision *last = &worker->placed.last;
	const struct gcl_place places[] = {{.name = last->from}, {.name = last->to}};
	const struct gcl_place_task task = {.id = worker->session};
	const struct gcl_place_view view = {
		.places = places, .place_count = 2, .tasks = &task, .task_count = 1};
	struct gcl_place_decision decision = last->decision;

	decision.task = 0;
	decision.from = 0;
	decision.to = decision.to == GCL_PLACE_NONE ? GCL_PLACE_NONE : 1;
	return explain(&view, &decision);
}

static struct json_object *now_explain(struct gcl_placing *placing,
				       const struct gcl_worker_process *worker)
{
	struct gcl_place_decision decision;
	uint32_t task;

	if (gcl_placing_view(placing) < 0)
		return NULL;
	task = gcl_view_task(&placing->view, worker);
	if (task == GCL_PLACE_NONE ||
	    gcl_place_consider(gcl_placing_policy(placing), &placing->view.view, task,
			       placing->plan, &decision) < 0)
		return NULL;
	return explain(&placing->view.view, &decision);
}

/* ------------------------------------------------------------ what keeps it */

/* Servers' devices that it can't be at. */
static struct json_object *refused_list(const struct gcl_broker *broker,
					const struct gcl_placed *placed)
{
	struct json_object *list = json_object_new_array();
	char name[GCL_SERVER_NAME_MAX + 16];

	gcl_list_for_each (it, &broker->servers.list) {
		const struct gcl_server *server = gcl_container_of(it, struct gcl_server, link);

		for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++) {
			unsigned bit = server->known[i].bit;

			if (!bit || !(placed->refused >> (bit - 1) & 1))
				continue;
			snprintf(name, sizeof name, "%s/%u", server->name, i);
			json_object_array_add(list, json_object_new_string(name));
		}
	}
	return list;
}

static void last_add(struct json_object *answer, const struct gcl_worker_process *worker)
{
	struct json_object *last = worker->placed.last.at > 0. ? last_explain(worker) : NULL;
	struct json_object *move;

	if (last) {
		seconds_add(last, "ago_s", gcl_clock() - worker->placed.last.at);
		json_object_object_add(answer, "last", last);
	}
	if (!worker->moves.last.id)
		return;
	move = json_object_new_object();
	gcl_move_outcome_status(move, &worker->moves.last);
	json_object_object_add(answer, "last_move", move);
}

int gcl_control_why(struct gcl_control_request *request)
{
	struct gcl_broker *broker = request->broker;
	struct gcl_worker_process *worker = gcl_control_session(request);
	struct json_object *answer = request->answer, *now;
	double rest;

	if (!worker)
		return -ENOENT;
	if (!gcl_config_moves(&broker->config)) {
		snprintf(request->error, sizeof request->error,
			 "nothing moves here: no server is configured");
		return -ENOTSUP;
	}
	now = now_explain(&broker->placing, worker);
	rest = worker->placed.rest - gcl_clock();
	json_object_object_add(answer, "session", json_object_new_uint64(worker->session));
	json_object_object_add(answer, "placement",
			       json_object_new_string(gcl_placement_name(&broker->config)));
	json_object_object_add(answer, "pinned", json_object_new_boolean(worker->placed.pinned));
	json_object_object_add(answer, "unfit", json_object_new_boolean(worker->placed.unfit));
	seconds_add(answer, "rest_s", GCL_MAX(rest, 0.));
	json_object_object_add(answer, "refused_by", refused_list(broker, &worker->placed));
	if (now)
		json_object_object_add(answer, "now", now);
	gcl_replay_status(answer, &worker->page->move);
	last_add(answer, worker);
	return 0;
}
