// SPDX-License-Identifier: MIT
/*
 * Moves: rounds of copying while the task runs on, then the last one while it doesn't, as cost.h
 * estimates them, but at the bandwidth that there is as other moves come and go, and with the
 * memory that a server really has.
 */
#include <math.h>

#include "base/cleanup.h"
#include "cost.h"
#include "sim.h"

/* What is left of a round that is done by the clock: bytes, s. */
#define NOTHING	     0.5
#define NOTHING_TIME 1e-9

static double move_rate(const struct sim *sim, const struct sim_move *move)
{
	const struct sim_device *from = &sim->devices[sim->tasks[move->task].device];
	const struct sim_device *to = &sim->devices[move->to];
	double rate = to->bandwidth / GCL_MAX(to->moves, 1);

	if (!from->dead)
		rate = GCL_MIN(rate, from->bandwidth / GCL_MAX(from->moves, 1));
	if (to->remote || (from->remote && !from->dead))
		rate = GCL_MIN(rate, sim->world->uplink / sim->hosts[move->host].moving);
	return rate;
}

static void settle(struct sim *sim)
{
	double span = sim->now - sim->moves_settled;

	for (uint32_t i = 0; i < sim->move_count; i++) {
		struct sim_move *move = &sim->moves[i];

		move->left = GCL_MAX(move->left - move->rate * span, 0.);
	}
	sim->moves_settled = sim->now;
}

static void share(struct sim *sim)
{
	double next = INFINITY;

	sim->moves_version++;
	for (uint32_t i = 0; i < sim->move_count; i++) {
		struct sim_move *move = &sim->moves[i];

		move->rate = move_rate(sim, move);
		if (move->left > NOTHING)
			next = GCL_MIN(next, move->left / move->rate);
		else if (move->until < INFINITY)
			next = GCL_MIN(next, GCL_MAX(move->until - sim->now, 0.));
		else
			next = 0.;
	}
	if (next < INFINITY)
		sim_queue_add(&sim->queue, sim->now + next, SIM_MOVES, 0, sim->moves_version);
}

static void round_begin(struct sim *sim, struct sim_move *move, double bytes)
{
	move->round = move->left = bytes;
	move->began = sim->now;
	move->until = INFINITY;
}

/* The move is no more; its memory at the target is for others. */
static void forget(struct sim *sim, uint32_t index)
{
	struct sim_move *move = &sim->moves[index];
	struct sim_task *task = &sim->tasks[move->task];

	sim->devices[move->to].free += move->reserved;
	sim->devices[move->to].moves--;
	sim->devices[task->device].moves--;
	sim->hosts[move->host].moving--;
	task->move = SIM_NONE;
	task->seen.hold = GCL_PLACE_FREE;
	*move = sim->moves[--sim->move_count];
	if (index < sim->move_count)
		sim->tasks[move->task].move = index;
}

static void failed(struct sim *sim, uint32_t host, uint32_t to)
{
	sim->result.moves_failed++;
	if (to >= sim->world->hosts)
		sim->hosts[host].avoid[to - sim->world->hosts] = sim->now + SIM_AVOID;
}

void sim_move_begin(struct sim *sim, uint32_t host, uint32_t index, uint32_t to,
		    enum gcl_place_why why)
{
	struct sim_task *task = &sim->tasks[index];
	struct sim_move *move;
	uint64_t needs = task->held + (why == GCL_PLACE_GO_ASKING ? task->asks : 0);

	if (sim->devices[to].dead || sim->devices[to].free < needs) {
		failed(sim, host, to);
		return;
	}
	settle(sim);
	sim->moves = sim_grow(sim->moves, sim->move_count, &sim->move_room, sizeof *sim->moves);
	task->move = sim->move_count;
	task->seen.hold = GCL_PLACE_MOVING;
	task->seen.to = to < sim->world->hosts ? 0 : to - sim->world->hosts + 1;
	move = &sim->moves[sim->move_count++];
	*move = (struct sim_move){.task = index,
				  .host = host,
				  .to = to,
				  .why = why,
				  .rounds = 1,
				  .reserved = needs,
				  .stopped = task->state != SIM_RUNS,
				  .wait = task->spec->build};
	round_begin(sim, move, (double)task->held);
	sim->devices[to].free -= needs;
	sim->devices[to].moves++;
	sim->devices[task->device].moves++;
	sim->hosts[host].moving++;
	if (task->slot != SIM_NONE)
		sim_device_share(sim, task->device);
	share(sim);
}

void sim_move_cancel(struct sim *sim, uint32_t index)
{
	if (sim->tasks[index].move == SIM_NONE)
		return;
	settle(sim);
	forget(sim, sim->tasks[index].move);
	share(sim);
}

static void commit(struct sim *sim, uint32_t index)
{
	struct sim_move move = sim->moves[index];
	struct sim_task *task = &sim->tasks[move.task];
	uint32_t from = task->device, first = sim->world->hosts;
	bool remote = move.to >= first;

	sim->devices[from].free += task->held;
	forget(sim, index);
	sim->devices[move.to].free -= task->held;
	task->device = move.to;
	task->measured = 0.;
	gcl_place_moved(&task->seen, remote ? move.to - first + 1 : 0, sim->now);
	if (remote) {
		task->seen.kernel_there = task->spec->kernel / sim->devices[move.to].speed;
		task->seen.there = task->seen.where;
	}
	sim->result.moves++;
	sim->result.home += move.why == GCL_PLACE_GO_HOME;
	sim->task_moves[move.task]++;
	/* If it asks for more than there is, it is seen to with its host's next tick. */
	sim_task_proceed(sim, move.task);
	sim_task_freed(sim, from);
}

/* The task's last round, in which it doesn't run. */
static void stop(struct sim *sim, struct sim_move *move, double bytes)
{
	struct sim_task *task = &sim->tasks[move->task];

	sim_device_remove(sim, move->task);
	if (task->state == SIM_RUNS)
		task->state = SIM_STOPPED;
	move->stopped = true;
	move->wait = GCL_COST_TRIPS * sim->devices[move->to].rtt;
	round_begin(sim, move, bytes);
}

/* Return: whether the move is over. */
static bool round_end(struct sim *sim, uint32_t index)
{
	struct sim_move *move = &sim->moves[index];
	const struct sim_task *task = &sim->tasks[move->task];
	double next;

	sim->result.bytes += (uint64_t)move->round;
	if (move->stopped) {
		commit(sim, index);
		return true;
	}
	next = GCL_MIN(task->state == SIM_RUNS ? task->spec->dirty * (sim->now - move->began) : 0.,
		       (double)task->held);
	if (next / move->rate <= GCL_COST_PAUSE || next > move->round * GCL_COST_SHRINK ||
	    ++move->rounds >= GCL_COST_ROUNDS) {
		stop(sim, move, next);
		return false;
	}
	move->wait = 0.;
	round_begin(sim, move, next);
	return false;
}

/* Return: whether the round has come to its end, with what there is to wait for behind it. */
static bool round_over(const struct sim *sim, struct sim_move *move)
{
	if (move->left > NOTHING)
		return false;
	if (move->until == INFINITY) {
		move->left = 0.;
		move->until = sim->now + move->wait;
	}
	return move->until - sim->now <= NOTHING_TIME;
}

void sim_moves_event(struct sim *sim)
{
	settle(sim);
	for (uint32_t i = 0; i < sim->move_count;) {
		/* One that is over makes room for the last. */
		if (!round_over(sim, &sim->moves[i]) || !round_end(sim, i))
			i++;
	}
	share(sim);
}

void sim_moves_fail(struct sim *sim, uint32_t device)
{
	settle(sim);
	for (uint32_t i = 0; i < sim->move_count;) {
		struct sim_move move = sim->moves[i];
		struct sim_task *task = &sim->tasks[move.task];

		if (move.to != device && task->device != device) {
			i++;
			continue;
		}
		failed(sim, move.host, device);
		forget(sim, i);
		/* The source kept everything: it goes on there. */
		if (task->state == SIM_STOPPED && task->device != device)
			sim_task_proceed(sim, move.task);
	}
	share(sim);
}
