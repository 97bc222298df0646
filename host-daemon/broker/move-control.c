// SPDX-License-Identifier: MIT
/*
 * Requests about moves: one of a session, how it goes, and all away from a server or a device.
 *
 * They begin moves and answer at once; "move-state" tells how far one is.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "control.h"

/* ------------------------------------------------------------ what is asked */

/* Return: false and an error for what is no number. @value stays if it isn't there. */
static bool number_of(struct gcl_control_request *request, const char *key, uint64_t *value)
{
	struct json_object *found;

	if (!json_object_object_get_ex(request->asked, key, &found))
		return true;
	if (!json_object_is_type(found, json_type_int) || json_object_get_int64(found) < 0) {
		snprintf(request->error, sizeof request->error, "\"%s\" is no number", key);
		return false;
	}
	*value = json_object_get_uint64(found);
	return true;
}

/* Return: the text, or NULL. */
static const char *text_of(const struct gcl_control_request *request, const char *key)
{
	struct json_object *found;

	if (!json_object_object_get_ex(request->asked, key, &found) ||
	    !json_object_is_type(found, json_type_string))
		return NULL;
	return json_object_get_string(found);
}

static bool flag_of(const struct gcl_control_request *request, const char *key)
{
	struct json_object *found;

	return json_object_object_get_ex(request->asked, key, &found) &&
	       json_object_get_boolean(found);
}

/* Return: false and an error. */
static bool order_read(struct gcl_control_request *request, struct gcl_move_order *order)
{
	const char *server = text_of(request, "server");
	uint64_t device = 0;

	*order = (struct gcl_move_order){0};
	if (!number_of(request, "queue", &order->queue) || !number_of(request, "device", &device))
		return false;
	if (!server)
		return true;
	order->free = flag_of(request, "free");
	if (!gcl_server_name_valid(server) || device > UINT32_MAX) {
		snprintf(request->error, sizeof request->error,
			 "there is no server \"%.64s\": guestcl servers lists them", server);
		return false;
	}
	snprintf(order->server, sizeof order->server, "%s", server);
	order->device = (uint32_t)device;
	return true;
}

/* ------------------------------------------------------------ one move */

int gcl_control_move(struct gcl_control_request *request)
{
	struct gcl_worker_process *worker = gcl_control_session(request);
	struct gcl_move_order order;
	uint64_t id;
	int err;

	if (!worker)
		return -ENOENT;
	if (!order_read(request, &order))
		return -EINVAL;
	if (*order.server && gcl_server_drained(&request->broker->moves, order.server)) {
		snprintf(request->error, sizeof request->error,
			 "%s is drained: guestcl drain --undo %s comes first", order.server,
			 order.server);
		return -EPERM;
	}
	err = gcl_move_start(worker, &order, NULL, NULL, &id, request->error,
			     sizeof request->error);
	if (err < 0)
		return err;
	json_object_object_add(request->answer, "session", json_object_new_uint64(worker->session));
	json_object_object_add(request->answer, "move", json_object_new_uint64(id));
	return 0;
}

int gcl_control_move_state(struct gcl_control_request *request)
{
	const struct gcl_worker_process *worker = gcl_control_session(request);
	uint64_t id = 0;

	if (!worker)
		return -ENOENT;
	if (!number_of(request, "move", &id))
		return -EINVAL;
	/* One that was given up counts as ended. */
	if (id && worker->moves.last.id == id)
		gcl_move_outcome_status(request->answer, &worker->moves.last);
	else if (worker->moves.now && worker->moves.now->id == id)
		gcl_move_status(request->answer, worker->moves.now);
	else {
		snprintf(request->error, sizeof request->error, "session %ju has moved again since",
			 (uintmax_t)worker->session);
		return -ENOENT;
	}
	return 0;
}

/* ------------------------------------------------------------ all away */

/* One line of the answer. */
static void started_add(struct json_object *list, struct gcl_worker_process *worker,
			const struct gcl_move_order *order)
{
	struct json_object *part = json_object_new_object();
	char reason[256];
	uint64_t id;

	json_object_object_add(part, "session", json_object_new_uint64(worker->session));
	if (gcl_move_start(worker, order, NULL, NULL, &id, reason, sizeof reason) == 0)
		json_object_object_add(part, "move", json_object_new_uint64(id));
	else
		json_object_object_add(part, "error", json_object_new_string(reason));
	if (*order->server)
		json_object_object_add(part, "server", json_object_new_string(order->server));
	json_object_array_add(list, part);
}

/* Whether it has a session at one of the server's devices, or is about to. */
static bool session_at(const struct gcl_worker_process *worker, const char *server)
{
	if (worker->moves.now && strcmp(worker->moves.now->order.server, server) == 0)
		return true;
	for (unsigned i = 0; i < worker->moves.place_count; i++) {
		const struct gcl_move_place *place =
			gcl_place_find(&worker->broker->moves, worker->moves.places[i].number);

		if (place && worker->moves.places[i].used && strcmp(place->server, server) == 0)
			return true;
	}
	return false;
}

static bool is_session(const struct gcl_worker_process *worker)
{
	return worker->state == GCL_WORKER_SERVING && worker->session && !worker->end_reason;
}

static void server_empty(struct gcl_broker *broker, const char *server, struct json_object *list)
{
	gcl_list_for_each_safe (it, next, &broker->workers.list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		const struct gcl_move_order home = {
			.from = gcl_worker_places_of(worker, server),
		};

		if (is_session(worker) && session_at(worker, server))
			started_add(list, worker, &home);
	}
}

/* The next in turn after @last to which something can go; NULL: there is none. */
static const struct gcl_server *server_next(const struct gcl_broker *broker,
					    const struct gcl_server *last)
{
	const struct gcl_list *list = &broker->servers.list, *it = last ? &last->link : list;

	for (size_t i = 0; i <= broker->servers.count; i++) {
		const struct gcl_server *server;

		it = it->next == list ? list->next : it->next;
		if (it == list)
			return NULL;
		server = gcl_container_of((struct gcl_list *)it, struct gcl_server, link);
		if (!gcl_server_drained(&broker->moves, server->name) &&
		    strcmp(server->name, broker->etcd.announcement.info.name) != 0)
			return server;
	}
	return NULL;
}

/* The one that is the least busy, of those that the server tells of. */
static uint32_t device_best(const struct gcl_server_info *info)
{
	uint32_t best = 0;

	for (uint32_t i = 1; i < info->device_count; i++) {
		if (info->devices[i].load < info->devices[best].load)
			best = i;
	}
	return best;
}

static bool uses_device(const struct gcl_worker_process *worker, unsigned device)
{
	return gcl_page_read(&worker->page->held[device]) > 0 ||
	       gcl_page_read(&worker->page->counts.device_time[device]) > 0;
}

/* Return: 0, or -errno and an error. */
static int device_empty(struct gcl_control_request *request, unsigned device,
			struct json_object *list)
{
	struct gcl_broker *broker = request->broker;
	const struct gcl_server *server = server_next(broker, NULL);

	if (!server) {
		snprintf(request->error, sizeof request->error,
			 "there is no server that sessions could move to: guestcl servers lists "
			 "them");
		return -ENOENT;
	}
	gcl_list_for_each_safe (it, next, &broker->workers.list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);
		struct gcl_move_order order = {.device = device_best(&server->info), .own = 1};

		if (!is_session(worker) || !uses_device(worker, device))
			continue;
		snprintf(order.server, sizeof order.server, "%s", server->name);
		started_add(list, worker, &order);
		server = server_next(broker, server);
	}
	return 0;
}

static int device_drain(struct gcl_control_request *request, uint64_t device, bool undo,
			struct json_object *list)
{
	struct gcl_broker *broker = request->broker;
	int err = 0;

	if (device >= broker->devices.count) {
		snprintf(request->error, sizeof request->error,
			 "this host has no device %ju: guestcl status lists them",
			 (uintmax_t)device);
		return -ENOENT;
	}
	if (!undo)
		err = device_empty(request, (unsigned)device, list);
	if (err < 0)
		return err;
	broker->moves.drained_devices &= ~(1u << device);
	broker->moves.drained_devices |= undo ? 0 : 1u << device;
	gcl_log_info(broker, "device %ju %s", (uintmax_t)device,
		     undo ? "is used again" : "is drained");
	return 0;
}

/* One that is gone for now, or is named no more, may have sessions, or be let in again. */
static bool server_known(const struct gcl_broker *broker, const char *server)
{
	if (!gcl_server_name_valid(server))
		return false;
	if (gcl_server_find(&broker->servers, server) || gcl_server_drained(&broker->moves, server))
		return true;
	gcl_list_for_each (it, &broker->moves.places) {
		if (strcmp(gcl_container_of(it, struct gcl_move_place, link)->server, server) == 0)
			return true;
	}
	return false;
}

static int server_drain(struct gcl_control_request *request, const char *server, bool undo,
			struct json_object *list)
{
	struct gcl_moves *moves = &request->broker->moves;
	int err;

	if (!server_known(request->broker, server)) {
		snprintf(request->error, sizeof request->error,
			 "there is no server \"%.64s\": guestcl servers lists them", server);
		return -ENOENT;
	}
	err = gcl_server_drain(moves, server, !undo);
	if (err < 0) {
		snprintf(request->error, sizeof request->error, "%s can't be noted: %s", server,
			 strerror(-err));
		return err;
	}
	gcl_log_info(broker, "server %s %s", server, undo ? "is used again" : "is drained");
	if (!undo)
		server_empty(request->broker, server, list);
	return 0;
}

int gcl_control_drain(struct gcl_control_request *request)
{
	const char *server = text_of(request, "server");
	struct json_object *undo, *list = json_object_new_array();
	bool back = json_object_object_get_ex(request->asked, "undo", &undo) &&
		    json_object_get_boolean(undo);
	uint64_t device = UINT64_MAX;

	json_object_object_add(request->answer, "moves", list);
	if (server)
		return server_drain(request, server, back, list);
	if (!number_of(request, "device", &device))
		return -EINVAL;
	return device_drain(request, device, back, list);
}
