// SPDX-License-Identifier: MIT
/*
 * The view of a policy: this host's devices, servers' devices, and sessions, as they are now.
 *
 * Bits of what a task wants of a place: the upper ones are this host's devices, each of which is a
 * place for those whose home it is alone; the lower ones are servers' devices that have refused
 * some session, which wants "not that one" from then on. When these are used up two devices share a
 * bit, and who is refused by one doesn't go to the other.
 *
 * Must not: believe a number, move anything.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "broker.h"
#include "place/check.h"

#define HOME_BIT(device) (UINT64_C(1) << (GCL_PLACING_BITS + (device)))
#define HOME_BITS	 (~UINT64_C(0) << GCL_PLACING_BITS)

_Static_assert(GCL_PAGE_DEVICES_MAX <= 64 - GCL_PLACING_BITS, "a bit for each device of this host");

/* Until a move or a program's waiting has shown more: s, and bytes/s of a device of this host. */
#define RTT_TLS	       500e-6
#define RTT_UNIX       50e-6
#define BANDWIDTH_HERE 8e9
#define BANDWIDTH_MIN  1e5

/* What a server says changes within so long, if it changes (announce.c). */
#define ANNOUNCED_SECONDS 6.

/* s that programs are taken to build, of a session that was on no server yet. */
#define BUILD_SECONDS 1.

/* ------------------------------------------------------------ room */

/* Return: the room of one more element, or NULL. */
static void *room_make(void *array, uint32_t count, uint32_t *room, size_t size)
{
	uint32_t more = count < *room ? *room : 2 * count + 16;
	void *grown = reallocarray(array, more, size);

	if (grown)
		*room = more;
	return grown;
}

/* Return: the index of a new place, or GCL_PLACE_NONE. */
static uint32_t place_add(struct gcl_view *view)
{
	uint32_t room = view->place_room, same = room;
	struct gcl_place *places;
	struct gcl_view_place *behind;

	if (view->place_count == GCL_PLACE_PLACES_MAX)
		return GCL_PLACE_NONE;
	places = room_make(view->places, view->place_count, &room, sizeof *places);
	if (!places)
		return GCL_PLACE_NONE;
	view->places = places;
	behind = room_make(view->behind, view->place_count, &same, sizeof *behind);
	if (!behind)
		return GCL_PLACE_NONE;
	view->behind = behind;
	view->place_room = room;
	memset(&places[view->place_count], 0, sizeof *places);
	memset(&behind[view->place_count], 0, sizeof *behind);
	return view->place_count++;
}

static int task_room_make(struct gcl_view *view)
{
	uint32_t room = view->task_room, same = room;
	struct gcl_place_task *tasks;
	struct gcl_worker_process **workers;

	tasks = room_make(view->tasks, view->task_count, &room, sizeof *tasks);
	if (tasks)
		view->tasks = tasks;
	workers = room_make(view->workers, view->task_count, &same,
			    sizeof(struct gcl_worker_process *));
	if (workers)
		view->workers = workers;
	if (!tasks || !workers)
		return -ENOMEM;
	view->task_room = room;
	return 0;
}

/* ------------------------------------------------------------ this host's devices */

static uint64_t bytes(uint64_t number)
{
	return GCL_MIN(number, GCL_PLACE_BYTES_MAX);
}

static bool is_session(const struct gcl_worker_process *worker)
{
	return worker->state == GCL_WORKER_SERVING && worker->session && !worker->end_reason;
}

static bool at_home(const struct gcl_worker_process *worker)
{
	return !*worker->placed.server;
}

static uint64_t held(const struct gcl_worker_process *worker, unsigned device)
{
	return bytes(gcl_page_read(&worker->page->held[device]));
}

/* What it holds, or may. */
static uint64_t taken(const struct gcl_worker_process *worker, unsigned device)
{
	int64_t given = worker->allowance.given[device];

	return GCL_MAX(held(worker, device), bytes(given > 0 ? (uint64_t)given : 0));
}

/* How many it works for at one time, by what the sessions say. */
static double spread_of(const struct gcl_broker *broker, unsigned device)
{
	double sum = 0.;

	gcl_list_for_each (it, &broker->workers.list) {
		const struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (is_session(worker) && at_home(worker) && worker->placed.home == device)
			sum += GCL_MIN(worker->placed.measure.busy, 1.);
	}
	return GCL_MAX(sum, 1.);
}

static void home_place(struct gcl_view *view, const struct gcl_broker *broker, unsigned device)
{
	uint32_t index = place_add(view);
	struct gcl_place *place;
	uint64_t used = 0;

	if (index == GCL_PLACE_NONE)
		return;
	place = &view->places[index];
	snprintf(view->behind[index].name, sizeof view->behind[index].name, "home/%u", device);
	view->behind[index].device = device;
	view->spread[device] = spread_of(broker, device);
	gcl_list_for_each (it, &broker->workers.list) {
		const struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		/* Who is away gives back what it still has here when that is wanted. */
		if (!at_home(worker))
			continue;
		used = GCL_MIN(used + taken(worker, device), GCL_PLACE_BYTES_MAX);
		if (is_session(worker) && worker->placed.home == device)
			place->demand +=
				gcl_measure_use(&worker->placed.measure, view->spread[device]);
	}
	place->memory = bytes(broker->devices.list[device].memory);
	place->free = place->memory - GCL_MIN(place->memory, used);
	place->demand = GCL_MIN(place->demand, GCL_PLACE_DEMAND_MAX);
	place->draining = (broker->moves.drained_devices >> device & 1) != 0;
	place->speed = 1.;
	place->bandwidth = BANDWIDTH_HERE;
	place->can = HOME_BIT(device);
}

/* ------------------------------------------------------------ servers' devices */

/* s since what it said was so. While etcd is there, that holds as long as nothing else is said. */
static double age_of(const struct gcl_broker *broker, const struct gcl_server *server, double now)
{
	double age = GCL_MIN(now - server->seen, ANNOUNCED_SECONDS);

	if (broker->etcd.state != GCL_ETCD_STATE_UP)
		age += now - broker->etcd.since;
	return GCL_MAX(age, 0.);
}

static double bandwidth_of(const struct gcl_placing_known *known, const struct gcl_config *config)
{
	double most = (double)config->placement.uplink;

	return GCL_MAX(known && known->bandwidth > 0. ? known->bandwidth : most, BANDWIDTH_MIN);
}

/* What is alike in all of them. */
static void remote_fill(struct gcl_view *view, const struct gcl_broker *broker, uint32_t index,
			const struct gcl_placing_known *known, bool near)
{
	struct gcl_place *place = &view->places[index];

	place->remote = true;
	place->speed = 1.;
	place->can = ~UINT64_C(0);
	place->rtt = near ? RTT_UNIX : RTT_TLS;
	place->bandwidth = bandwidth_of(known, &broker->config);
	if (!known)
		return;
	place->speed_seen = known->speed;
	place->avoid_until = known->avoid;
	if (known->rtt > 0.)
		place->rtt = known->rtt;
	if (known->bit)
		place->can &= ~(UINT64_C(1) << (known->bit - 1));
}

static void behind_fill(struct gcl_view_place *behind, const char *server, uint32_t device)
{
	snprintf(behind->server_name, sizeof behind->server_name, "%s", server);
	snprintf(behind->name, sizeof behind->name, "%.50s/%u", server, device);
	behind->device = device;
}

static void server_place(struct gcl_view *view, const struct gcl_broker *broker,
			 struct gcl_server *server, uint32_t device)
{
	const struct gcl_server_device *said = &server->info.devices[device];
	uint32_t index = place_add(view);
	struct gcl_place *place;

	if (index == GCL_PLACE_NONE)
		return;
	place = &view->places[index];
	behind_fill(&view->behind[index], server->name, device);
	view->behind[index].server = server;
	remote_fill(view, broker, index, &server->known[device],
		    gcl_server_path(gcl_server_address(server)) != NULL);
	place->draining = gcl_server_drained(&broker->moves, server->name);
	place->memory = bytes(server->announced ? said->memory : server->memory);
	place->free = server->announced ? said->free : place->memory;
	if (!server->announced)
		return;
	place->demand = said->load / 100.;
	place->age = age_of(broker, server, view->view.now);
}

static void server_places(struct gcl_view *view, const struct gcl_broker *broker,
			  struct gcl_server *server)
{
	uint32_t count = server->announced ? server->info.device_count : server->memory > 0;

	/* This host announces itself as well. */
	if (server->announced && strcmp(server->name, broker->etcd.announcement.info.name) == 0)
		return;
	for (uint32_t i = 0; i < GCL_MIN(count, GCL_PAGE_DEVICES_MAX); i++)
		server_place(view, broker, server, i);
}

/* One of which nothing is known any more, or never was: it is no target, and whoever is there
 * leaves it unless an operator has moved it there. */
static uint32_t unknown_place(struct gcl_view *view, const struct gcl_broker *broker,
			      const char *server, uint32_t device)
{
	struct gcl_server *known = gcl_server_find(&broker->servers, server);
	uint32_t index = place_add(view);

	if (index == GCL_PLACE_NONE)
		return index;
	behind_fill(&view->behind[index], server, device);
	remote_fill(view, broker, index,
		    known && device < GCL_PAGE_DEVICES_MAX ? &known->known[device] : NULL, false);
	view->places[index].draining = !known || gcl_server_drained(&broker->moves, known->name);
	/* No room, but that of those who are there. */
	view->places[index].avoid_until = view->view.now + 1.;
	return index;
}

static uint32_t place_index(struct gcl_view *view, const struct gcl_broker *broker,
			    const char *server, uint32_t device)
{
	for (uint32_t i = 0; i < view->place_count; i++) {
		if (view->behind[i].device == device &&
		    strcmp(view->behind[i].server_name, server) == 0)
			return i;
	}
	return *server ? unknown_place(view, broker, server, device) : GCL_PLACE_NONE;
}

/* ------------------------------------------------------------ sessions */

static enum gcl_place_hold hold_of(const struct gcl_view *view,
				   const struct gcl_worker_process *worker, uint32_t where)
{
	const struct gcl_placed *placed = &worker->placed;

	if (worker->moves.now)
		return GCL_PLACE_MOVING;
	if (placed->unfit)
		return GCL_PLACE_UNFIT;
	if (worker->stopped || worker->paused || worker->account->paused ||
	    worker->allowance.wanted)
		return GCL_PLACE_STANDS;
	if (view->view.now < placed->rest)
		return GCL_PLACE_FAILED;
	if (placed->pinned && !view->places[where].draining)
		return GCL_PLACE_PINNED;
	return GCL_PLACE_FREE;
}

static void commands_fill(struct gcl_view *view, struct gcl_worker_process *worker,
			  struct gcl_place_task *task)
{
	struct gcl_measure *measure = &worker->placed.measure;

	task->there = task->where;
	if (at_home(worker))
		/* Who waits because of a ceiling would wait elsewhere, too. */
		gcl_measure_home(measure, view->spread[worker->placed.home],
				 !worker->account->limits.ceiling, task);
	else
		gcl_measure_away(measure, view->places[task->where].rtt, task);
}

static void memory_fill(const struct gcl_worker_process *worker, struct gcl_place_task *task)
{
	const struct gcl_placed *placed = &worker->placed;

	task->memory = held(worker, placed->home);
	if (!at_home(worker))
		task->memory = bytes(GCL_MAX(placed->memory, 1u));
	task->bytes = task->bytes_home = task->memory;
	task->dirty = placed->dirty;
	/* More than all of it is never missing. */
	if (placed->dirty <= 0. && placed->measure.lately)
		task->dirty = GCL_MIN((double)task->memory, 1e12);
	task->build = worker->moves.place_count ? 0. : BUILD_SECONDS;
}

/* Return: false, there is no room. */
static bool task_places(struct gcl_view *view, const struct gcl_broker *broker,
			const struct gcl_worker_process *worker, struct gcl_place_task *task)
{
	const struct gcl_placed *placed = &worker->placed;
	const struct gcl_move_order *order = worker->moves.now ? &worker->moves.now->order : NULL;

	task->home = placed->home;
	task->where = at_home(worker) ? placed->home
				      : place_index(view, broker, placed->server, placed->device);
	task->to = task->home;
	if (order && *order->server)
		task->to = place_index(view, broker, order->server, order->device);
	return task->where != GCL_PLACE_NONE && task->to != GCL_PLACE_NONE;
}

static int task_add(struct gcl_view *view, const struct gcl_broker *broker,
		    struct gcl_worker_process *worker)
{
	const struct gcl_placed *placed = &worker->placed;
	struct gcl_place_task *task;

	if (view->task_count == GCL_PLACE_TASKS_MAX)
		return 0;
	if (task_room_make(view) < 0)
		return -ENOMEM;
	task = &view->tasks[view->task_count];
	*task = (struct gcl_place_task){
		.id = worker->session,
		.vm = worker->account->number,
		.weight = GCL_MAX(worker->account->lease.flows[0].weight, 1e-3),
		.started = placed->started > 0. ? placed->started : view->view.now,
		.since = placed->since > 0. ? placed->since : worker->serving_since,
		.wants = HOME_BIT(placed->home) | (placed->refused & ~HOME_BITS),
	};
	memcpy(task->moved, placed->moved, sizeof task->moved);
	if (!task_places(view, broker, worker, task))
		return 0;
	task->hold = hold_of(view, worker, task->where);
	memory_fill(worker, task);
	commands_fill(view, worker, task);
	view->workers[view->task_count++] = worker;
	return 0;
}

/* ------------------------------------------------------------ the whole */

static void accounts_number(struct gcl_view *view, const struct gcl_broker *broker)
{
	view->vm_count = 0;
	gcl_list_for_each (it, &broker->accounts)
		gcl_container_of(it, struct gcl_account, link)->number = view->vm_count++;
}

/* Of servers that say nothing, what is known of this host's own sessions there. */
static void unannounced_count(struct gcl_view *view)
{
	for (uint32_t i = 0; i < view->task_count; i++) {
		const struct gcl_place_task *task = &view->tasks[i];
		struct gcl_place *place = &view->places[task->where];
		const struct gcl_view_place *behind = &view->behind[task->where];
		double all = task->kernel_there + task->think;

		if (!place->remote || (behind->server && behind->server->announced))
			continue;
		if (!behind->server)
			place->memory = bytes(place->memory + task->memory);
		else
			place->free -= GCL_MIN(place->free, task->memory);
		if (all > 0.)
			place->demand = GCL_MIN(place->demand + task->kernel_there / all,
						GCL_PLACE_DEMAND_MAX);
	}
}

static void moves_count(struct gcl_view *view)
{
	for (uint32_t i = 0; i < view->task_count; i++) {
		if (view->tasks[i].hold != GCL_PLACE_MOVING)
			continue;
		view->places[view->tasks[i].where].moves++;
		view->places[view->tasks[i].to].moves++;
	}
}

static void places_fill(struct gcl_view *view, struct gcl_broker *broker)
{
	view->place_count = 0;
	for (unsigned i = 0; i < broker->devices.count; i++)
		home_place(view, broker, i);
	gcl_list_for_each (it, &broker->servers.list)
		server_places(view, broker, gcl_container_of(it, struct gcl_server, link));
}

int gcl_view_fill(struct gcl_view *view, struct gcl_broker *broker, double now)
{
	int err = 0;

	gcl_view_settings(&view->settings, &broker->config);
	view->view = (struct gcl_place_view){
		.now = now,
		.settings = &view->settings,
		.uplink = GCL_MAX((double)broker->config.placement.uplink, BANDWIDTH_MIN),
		.moving = (unsigned)broker->moves.count,
	};
	accounts_number(view, broker);
	places_fill(view, broker);
	view->task_count = 0;
	if (view->place_count < GCL_MAX(broker->devices.count, 1u))
		return -ENOMEM;
	gcl_list_for_each (it, &broker->workers.list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (err == 0 && is_session(worker))
			err = task_add(view, broker, worker);
	}
	unannounced_count(view);
	moves_count(view);
	for (uint32_t i = 0; i < view->place_count; i++)
		view->places[i].name = view->behind[i].name;
	view->view.places = view->places;
	view->view.place_count = view->place_count;
	view->view.tasks = view->tasks;
	view->view.task_count = view->task_count;
	return err;
}

void gcl_view_fini(struct gcl_view *view)
{
	free(view->places);
	free(view->behind);
	free(view->tasks);
	free(view->workers);
	*view = (struct gcl_view){0};
}

uint32_t gcl_view_task(const struct gcl_view *view, const struct gcl_worker_process *worker)
{
	for (uint32_t i = 0; i < view->task_count; i++) {
		if (view->workers[i] == worker)
			return i;
	}
	return GCL_PLACE_NONE;
}

void gcl_view_settings(struct gcl_place_settings *settings, const struct gcl_config *config)
{
	const struct gcl_placement_config *set = &config->placement;

	*settings = gcl_place_settings;
	settings->moves_at_once = set->at_once;
	settings->stay_min = set->stay / 1e3;
	settings->span = set->span / 1e3;
	settings->moves_in_span = GCL_MIN(set->moves, GCL_PLACE_HISTORY);
	settings->go_demand = set->busy / 1e2;
	settings->go_ratio = set->faster / 1e2;
	settings->go_margin = set->margin / 1e2;
	settings->back_demand = set->back / 1e2;
	settings->back_reserve = set->reserve / 1e2;
	settings->horizon = set->horizon / 1e3;
	settings->stale = set->stale / 1e3;
}

struct gcl_placing_known *gcl_placing_known(struct gcl_broker *broker, const char *server,
					    uint32_t device)
{
	struct gcl_server *found = gcl_server_find(&broker->servers, server);

	return found && device < GCL_PAGE_DEVICES_MAX ? &found->known[device] : NULL;
}
