// SPDX-License-Identifier: MIT
/*
 * Room for an allocation that the account's limit doesn't hold: other sessions of the account move
 * to servers, and give back what they had here.
 *
 * The program waits meanwhile, in the worker's session thread (worker/quota.c), so the session that
 * asks can't move itself, nor can another one that asks at the same time. After ROOM_SECONDS it is
 * refused as before, or sooner if worker-timeout is short.
 *
 * A device whose memory is used up without a limit is none of this: nobody asks for that.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "broker.h"

/* Less than the worker waits for the answer. */
#define ROOM_SECONDS 20.

/* Moves may fail, or free less than they should. */
#define TRIES_MAX 3u

/* Its session thread is at one call meanwhile, which worker-timeout limits. */
static double patience(const struct gcl_broker *broker)
{
	unsigned limit = broker->config.worker_timeout;

	return limit ? GCL_MIN(ROOM_SECONDS, limit / 2e3) : ROOM_SECONDS;
}

/* Whether somebody of the account is on the way. */
static bool others_move(const struct gcl_worker_process *worker)
{
	gcl_list_for_each (it, &worker->broker->workers.list) {
		const struct gcl_worker_process *other =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (other != worker && other->account == worker->account && other->moves.now &&
		    other->moves.now->order.free)
			return true;
	}
	return false;
}

/* Return: the wish as the policies take it. */
static struct gcl_place_event event_of(struct gcl_view *view, struct gcl_worker_process *worker,
				       uint32_t task)
{
	const struct gcl_allowance *allowance = &worker->allowance;
	unsigned device = allowance->wanted_device;
	int64_t left = (int64_t)GCL_MIN(worker->account->limits.memory, UINT64_C(1) << 48) -
		       worker->account->ledger.given[device];

	/* It is about this device, whichever it uses most. */
	view->tasks[task].home = view->tasks[task].where = device;
	return (struct gcl_place_event){
		.kind = GCL_PLACE_ALLOCATION,
		.task = task,
		.bytes = allowance->wanted,
		.quota = true,
		.quota_left = left > 0 ? (uint64_t)left : 0,
	};
}

static bool room_make(struct gcl_worker_process *worker)
{
	struct gcl_placing *placing = &worker->broker->placing;
	struct gcl_place_event event;
	uint32_t task;

	if (worker->placed.tries++ >= TRIES_MAX || gcl_placing_view(placing) < 0)
		return false;
	task = gcl_view_task(&placing->view, worker);
	if (task == GCL_PLACE_NONE ||
	    worker->allowance.wanted_device >= worker->broker->devices.count)
		return false;
	event = event_of(&placing->view, worker, task);
	if (gcl_placing_decide(placing, &event) < 0 || placing->plan->refused)
		return false;
	return gcl_placing_apply(placing) > 0;
}

bool gcl_placing_room(struct gcl_worker_process *worker)
{
	const struct gcl_broker *broker = worker->broker;
	struct gcl_placed *placed = &worker->placed;
	double now;

	if (!broker->placing.broker || broker->stopping || !gcl_config_moves(&broker->config))
		return false;
	now = gcl_clock();
	if (placed->room <= 0.) {
		placed->room = now + patience(broker);
		placed->tries = 0;
	}
	if (now < placed->room && (others_move(worker) || room_make(worker)))
		return true;
	placed->room = 0.;
	return false;
}

void gcl_placing_rooms_see(struct gcl_placing *placing)
{
	gcl_list_for_each_safe (it, next, &placing->broker->workers.list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (worker->state == GCL_WORKER_SERVING && worker->allowance.wanted)
			gcl_ledger_again(worker);
		else
			worker->placed.room = 0.;
	}
}
