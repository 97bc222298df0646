// SPDX-License-Identifier: MIT
/*
 * Deciding which sessions move, and what follows from how their moves end.
 *
 * Must not: wait, believe a number, begin a move that has just failed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "broker.h"

#define TICK_SECONDS 1.

/* After a move failed: twice as long after each, at most so often. */
#define REST_SECONDS 30.
#define DOUBLINGS    6u

/* What a move tells of a link: of fewer bytes it doesn't. */
#define LINK_BYTES_MIN (4u << 20)

/* Part of what a move or a trip shows that counts beside what was known. */
#define LEARN 0.3
/* The link's part of a trip is the least that was seen lately. */
#define FORGET 0.01

#define RTT_MIN 10e-6
#define RTT_MAX 1.

/* ------------------------------------------------------------ the plan */

const struct gcl_place_policy *gcl_placing_policy(const struct gcl_placing *placing)
{
	const struct gcl_place_policy *policy =
		gcl_place_policy_find(gcl_placement_name(&placing->broker->config));

	return policy ? policy : &gcl_place_stay;
}

static bool plan_fits(const struct gcl_placing *placing)
{
	const struct gcl_view *view = &placing->view;

	return placing->plan && view->task_count <= placing->plan_tasks &&
	       view->place_count <= placing->plan_places && view->vm_count <= placing->plan_vms;
}

static int plan_ensure(struct gcl_placing *placing)
{
	const struct gcl_view *view = &placing->view;
	int err;

	if (plan_fits(placing))
		return 0;
	gcl_place_plan_destroy(placing->plan);
	placing->plan = NULL;
	placing->plan_tasks = GCL_MIN(2 * view->task_count + 16, GCL_PLACE_TASKS_MAX);
	placing->plan_places = GCL_MIN(2 * view->place_count + 16, GCL_PLACE_PLACES_MAX);
	placing->plan_vms = GCL_MIN(2 * view->vm_count + 16, GCL_PLACE_TASKS_MAX);
	err = gcl_place_plan_create(placing->plan_tasks, placing->plan_places, placing->plan_vms,
				    &placing->plan);
	return err < 0 ? err : 0;
}

int gcl_placing_view(struct gcl_placing *placing)
{
	int err;

	if (!placing->broker || !placing->broker->devices.count)
		return -ENODEV;
	err = gcl_view_fill(&placing->view, placing->broker, gcl_clock());
	if (err == 0)
		err = plan_ensure(placing);
	placing->draw = placing->draw * UINT64_C(6364136223846793005) + 1442695040888963407u;
	placing->view.view.draw = placing->draw;
	return err;
}

int gcl_placing_decide(struct gcl_placing *placing, const struct gcl_place_event *event)
{
	int err = gcl_place_decide(gcl_placing_policy(placing), &placing->view.view, event,
				   placing->plan);

	if (err < 0)
		gcl_log_debug(broker, "placement: no plan: %s", strerror(-err));
	return err;
}

/* ------------------------------------------------------------ moves */

static void failed(struct gcl_placed *placed, double now)
{
	unsigned doublings = GCL_MIN(placed->failures, DOUBLINGS);

	placed->failures++;
	placed->rest = now + REST_SECONDS * (1u << doublings);
}

/* What it had here is given back where memory is counted, or is short. */
static bool gives(const struct gcl_worker_process *worker, enum gcl_place_why why)
{
	return why == GCL_PLACE_GO_ROOM || why == GCL_PLACE_GO_ASKING ||
	       worker->account->limits.memory;
}

static bool decision_apply(struct gcl_placing *placing, const struct gcl_place_decision *decision)
{
	const struct gcl_view *view = &placing->view;
	const struct gcl_view_place *to = &view->behind[decision->to];
	struct gcl_worker_process *worker = view->workers[decision->task];
	struct gcl_move_order order = {
		.device = to->device, .free = gives(worker, decision->why), .own = true};
	char reason[256];

	memcpy(order.server, to->server_name, sizeof order.server);
	if (!*order.server)
		order.device = order.free = 0;
	gcl_placing_note(view, decision);
	if (gcl_move_start(worker, &order, NULL, NULL, NULL, reason, sizeof reason) == 0) {
		gcl_log_info(broker, "session %ju: goes from %s to %s (%s)",
			     (uintmax_t)worker->session, view->behind[decision->from].name,
			     to->name, gcl_place_why_name(decision->why));
		return true;
	}
	gcl_log_warn(broker, "session %ju: should go to %s, but: %s", (uintmax_t)worker->session,
		     to->name, reason);
	failed(&worker->placed, view->view.now);
	return false;
}

unsigned gcl_placing_apply(struct gcl_placing *placing)
{
	unsigned begun = 0;

	for (unsigned i = 0; i < placing->plan->count; i++)
		begun += decision_apply(placing, &placing->plan->decisions[i]);
	return begun;
}

/* ------------------------------------------------------------ how they end */

/* Whether a session that was refused so can't move at all. */
static bool is_unfit(uint32_t result)
{
	return result == GCL_MOVE_OFF || result == GCL_MOVE_RESIDENT ||
	       result == GCL_MOVE_SUB_DEVICE;
}

/* Whether it can't be at that place. */
static bool is_refused(uint32_t result)
{
	switch (result) {
	case GCL_MOVE_NO_DEVICE:
	case GCL_MOVE_LACKS:
	case GCL_MOVE_LIMIT:
	case GCL_MOVE_SIZE:
	case GCL_MOVE_FORMAT:
	case GCL_MOVE_PROGRAM:
	case GCL_MOVE_KERNEL:
	case GCL_MOVE_SVM:
		return true;
	default:
		return false;
	}
}

/* Whether nobody had better go there now. */
static bool is_trouble(uint32_t result)
{
	return result == GCL_MOVE_LINK || result == GCL_MOVE_LOST ||
	       result == GCL_MOVE_MEMORY_THERE;
}

static void place_refuses(struct gcl_placing *placing, struct gcl_placed *placed,
			  struct gcl_placing_known *known)
{
	if (!known->bit)
		known->bit = 1 + placing->bits++ % GCL_PLACING_BITS;
	placed->refused |= UINT64_C(1) << (known->bit - 1);
}

static void trouble_note(struct gcl_placing_known *known, double now)
{
	unsigned doublings = GCL_MIN(known->failures, DOUBLINGS);

	known->failures++;
	known->avoid = now + REST_SECONDS * (1u << doublings);
}

static void ended_badly(struct gcl_worker_process *worker, const struct gcl_move_outcome *outcome,
			double now)
{
	struct gcl_placing *placing = &worker->broker->placing;
	struct gcl_placing_known *known =
		gcl_placing_known(worker->broker, outcome->order.server, outcome->order.device);

	failed(&worker->placed, now);
	worker->placed.unfit |= is_unfit(outcome->result);
	if (known && is_refused(outcome->result))
		place_refuses(placing, &worker->placed, known);
	if (known && is_trouble(outcome->result))
		trouble_note(known, now);
}

/* s; what a worker says can be less than none. */
static double copying_time(const struct gcl_move_outcome *outcome)
{
	return ((double)outcome->took - (double)outcome->prepared) * 1e-9;
}

/* What a worker says that it copied is bounded before it is used. */
static void link_learn(struct gcl_placing_known *known, const struct gcl_move_outcome *outcome)
{
	double bytes = (double)outcome->ahead + (double)outcome->rest;
	double took = copying_time(outcome), speed;

	if (bytes < LINK_BYTES_MIN || !(took > 0.))
		return;
	speed = GCL_MIN(GCL_MAX(bytes / took, 1e5), 1e12);
	if (known->bandwidth > 0.)
		known->bandwidth += (speed - known->bandwidth) * LEARN;
	else
		known->bandwidth = speed;
}

/* How fast it writes: what was copied more than once, while it ran. */
static void dirty_learn(struct gcl_placed *placed, const struct gcl_move_outcome *outcome)
{
	double copied = (double)outcome->ahead + (double)outcome->rest + (double)outcome->behind;
	double ran = copying_time(outcome) - (double)outcome->pause * 1e-9;
	double again = copied - (double)outcome->bytes;

	placed->memory = GCL_MIN(outcome->bytes, UINT64_C(1) << 48);
	placed->dirty = 0.;
	if (ran > 0. && again > 0.)
		placed->dirty = GCL_MIN(again / ran, 1e12);
}

static void history_add(struct gcl_placed *placed, double now)
{
	unsigned oldest = 0;

	for (unsigned i = 1; i < GCL_PLACE_HISTORY; i++) {
		if (placed->moved[i] < placed->moved[oldest])
			oldest = i;
	}
	placed->moved[oldest] = now;
	placed->since = now;
}

static void came(struct gcl_placed *placed, const struct gcl_move_order *order, double now)
{
	bool same = strcmp(placed->server, order->server) == 0 && placed->device == order->device;

	memcpy(placed->server, order->server, sizeof placed->server);
	placed->device = order->device;
	if (same)
		return;
	history_add(placed, now);
	gcl_measure_anew(&placed->measure);
}

/* Was that of the session as a whole? A single queue is not, nor what is brought home from a place
 * while the session is at another one. */
static bool is_whole(struct gcl_worker_process *worker, const struct gcl_move_order *order)
{
	const struct gcl_placed *placed = &worker->placed;

	if (order->queue)
		return false;
	return !order->from || !*placed->server ||
	       gcl_place_get(&worker->broker->moves, placed->server, placed->device) == order->from;
}

/* Where an operator has put it, it stays; until the last of its queues came home. */
static bool is_pinned(struct gcl_worker_process *worker, const struct gcl_move_order *order)
{
	if (*order->server)
		return true;
	if (is_whole(worker, order))
		return false;
	return worker->placed.pinned &&
	       atomic_load_explicit(&worker->page->move.away, memory_order_relaxed) > 0;
}

static void ended_well(struct gcl_worker_process *worker, const struct gcl_move_outcome *outcome,
		       double now)
{
	struct gcl_placed *placed = &worker->placed;
	const struct gcl_move_order *order = &outcome->order;
	struct gcl_placing_known *known =
		gcl_placing_known(worker->broker, order->server, order->device);

	placed->failures = 0;
	if (known)
		known->failures = 0;
	if (known && outcome->result == GCL_MOVE_DONE)
		link_learn(known, outcome);
	if (outcome->result == GCL_MOVE_DONE)
		dirty_learn(placed, outcome);
	if (!order->own)
		placed->pinned = is_pinned(worker, order);
	if (is_whole(worker, order))
		came(placed, order, now);
}

void gcl_placing_moved(struct gcl_worker_process *worker, const struct gcl_move_outcome *outcome)
{
	struct gcl_placing *placing = &worker->broker->placing;
	double now = gcl_clock();

	if (outcome->result == GCL_MOVE_DONE || outcome->result == GCL_MOVE_THERE)
		ended_well(worker, outcome, now);
	else
		ended_badly(worker, outcome, now);
	if (placing->broker && !placing->broker->stopping)
		ev_timer_again(placing->broker->loop, &placing->soon);
}

/* ------------------------------------------------------------ measuring */

/* The device that has worked most for it, or holds most of its memory. */
static uint32_t home_of(const struct gcl_worker_process *worker)
{
	const struct gcl_page *page = worker->page;
	uint32_t best = worker->placed.home;

	for (uint32_t i = 0; i < worker->broker->devices.count; i++) {
		uint64_t time = gcl_page_read(&page->counts.device_time[i]);
		uint64_t most = gcl_page_read(&page->counts.device_time[best]);

		if (time > most || (time == most && gcl_page_read(&page->held[i]) >
							    gcl_page_read(&page->held[best])))
			best = i;
	}
	return best;
}

/* The worker has nothing there any more, and nobody told it to leave: what was there came back, or
 * is lost. */
static bool was_left(struct gcl_worker_process *worker)
{
	const struct gcl_placed *placed = &worker->placed;

	if (!*placed->server || worker->moves.now)
		return false;
	return !gcl_worker_place_has(&worker->moves, gcl_place_get(&worker->broker->moves,
								   placed->server, placed->device));
}

static void session_look(struct gcl_worker_process *worker, double now)
{
	static const struct gcl_move_order home;
	struct gcl_placed *placed = &worker->placed;

	if (was_left(worker)) {
		struct gcl_placing_known *known =
			gcl_placing_known(worker->broker, placed->server, placed->device);

		if (known)
			trouble_note(known, now);
		placed->pinned = false;
		came(placed, &home, now);
	}
	/* While it is away its home stays what it was. */
	if (!*placed->server && !worker->moves.now)
		placed->home = home_of(worker);
	gcl_measure_look(&placed->measure, worker->page, placed->home, now);
	if (placed->started <= 0. && placed->measure.lately)
		placed->started = now;
}

static void sessions_look(struct gcl_broker *broker, double now)
{
	gcl_list_for_each (it, &broker->workers.list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (worker->state == GCL_WORKER_SERVING)
			session_look(worker, now);
	}
}

static void trip_learn(struct gcl_placing_known *known, const struct gcl_measure *measure)
{
	double trip = gcl_measure_trip(measure);

	if (trip <= 0.)
		return;
	trip = GCL_MIN(GCL_MAX(trip, RTT_MIN), RTT_MAX);
	if (known->rtt <= 0. || trip < known->rtt)
		known->rtt = trip;
	else
		known->rtt += (trip - known->rtt) * FORGET;
}

/* What sessions on servers show of these. */
static void servers_learn(struct gcl_view *view)
{
	for (uint32_t i = 0; i < view->task_count; i++) {
		const struct gcl_place_task *task = &view->tasks[i];
		const struct gcl_view_place *behind = &view->behind[task->where];
		struct gcl_placed *placed = &view->workers[i]->placed;
		struct gcl_placing_known *known;

		if (!behind->server || task->hold == GCL_PLACE_MOVING || !placed->measure.lately)
			continue;
		known = &behind->server->known[behind->device];
		gcl_place_learn(&view->places[task->where], &view->places[task->home], task);
		known->speed = view->places[task->where].speed_seen;
		trip_learn(known, &placed->measure);
	}
}

static void on_tick(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	static const struct gcl_place_event tick = {.kind = GCL_PLACE_TICK};
	struct gcl_placing *placing = timer->data;

	(void)loop;
	(void)events;
	if (placing->broker->stopping)
		return;
	sessions_look(placing->broker, gcl_clock());
	gcl_placing_rooms_see(placing);
	if (gcl_placing_view(placing) < 0)
		return;
	servers_learn(&placing->view);
	if (gcl_placing_decide(placing, &tick) == 0)
		gcl_placing_apply(placing);
}

static void on_soon(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_placing *placing = timer->data;

	(void)events;
	ev_timer_stop(loop, timer);
	if (!placing->broker->stopping)
		gcl_placing_rooms_see(placing);
}

/* ------------------------------------------------------------ its life */

void gcl_placing_init(struct gcl_placing *placing, struct gcl_broker *broker)
{
	*placing = (struct gcl_placing){.broker = broker};
	ev_timer_init(&placing->tick, on_tick, TICK_SECONDS, TICK_SECONDS);
	ev_timer_init(&placing->soon, on_soon, 0., 1e-3);
	placing->tick.data = placing->soon.data = placing;
	/* Hosts must not all choose alike. */
	placing->draw = (uint64_t)getpid() ^ (uint64_t)(gcl_clock() * 1e9);
}

void gcl_placing_configure(struct gcl_placing *placing)
{
	struct ev_loop *loop = placing->broker->loop;

	if (gcl_config_moves(&placing->broker->config)) {
		if (!ev_is_active(&placing->tick))
			ev_timer_again(loop, &placing->tick);
		return;
	}
	ev_timer_stop(loop, &placing->tick);
}

void gcl_placing_fini(struct gcl_placing *placing)
{
	ev_timer_stop(placing->broker->loop, &placing->tick);
	ev_timer_stop(placing->broker->loop, &placing->soon);
	gcl_view_fini(&placing->view);
	gcl_place_plan_destroy(placing->plan);
	*placing = (struct gcl_placing){0};
}
