/* SPDX-License-Identifier: MIT */
#include "gate.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "worker.h"

/* Work in flight within a lease. */
#define FLIGHT_NS 1000000u

/* The next is enqueued when the device will have done the rest so soon. */
#define AHEAD_NS 500000u

/* So long before the device has done all, the lease is given back: the next one needs that time. */
#define HANDOVER_NS 60000u

/* How long to sleep before looking again. */
#define LOOK_MIN_NS 20000u
#define LOOK_MAX_NS 100000u

/* Nothing runs for so long: what is in flight waits for something that the guest has to do. */
#define STUCK_NS 2000000

/* How long the guest may think before its turn is given to others: a few times of what it mostly
 * takes, unless that is too long to wait for. */
#define PATIENCE_NS	40000
#define PATIENCE_MAX_NS 1000000

/* A note may have been lost while the broker didn't listen. */
#define ASK_AGAIN_NS 100000000

void gcl_gate_init(struct gcl_worker *worker)
{
	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++)
		atomic_store(&worker->own_page.leases[i].until, GCL_PAGE_LEASE_FREE);
}

static uint64_t until_of(const struct gcl_worker *worker, unsigned device)
{
	return atomic_load_explicit(&worker->page->leases[device].until, memory_order_relaxed);
}

/* Returns early when a lease is given. */
static void sleep_ns(struct gcl_worker *worker, unsigned device, uint32_t turn, uint64_t ns)
{
	struct timespec time = {.tv_nsec = (long)ns};

	gcl_progress(worker, false);
	syscall(SYS_futex, &worker->page->leases[device].turn, FUTEX_WAIT, turn, &time, NULL, 0);
	gcl_progress(worker, true);
}

static void tell(struct gcl_worker *worker, enum gcl_note_type type, unsigned device, bool wants)
{
	const struct gcl_note note = {.type = type, .device = device, .value = wants};

	gcl_note_send(worker, &note);
}

static void held_set(struct gcl_worker *worker, unsigned device, bool held)
{
	struct gcl_gate_device *gate = &worker->gate.devices[device];

	if (gate->held == held)
		return;
	gate->held = held;
	worker->gate.held += held ? 1 : -1u;
}

/* ------------------------------------------------------------ turns */

/* Whether a lease has been given that was not noticed yet. */
static bool turn_look(struct gcl_worker *worker, unsigned device)
{
	struct gcl_gate_device *gate = &worker->gate.devices[device];
	uint32_t turn = atomic_load(&worker->page->leases[device].turn);

	if (turn == gate->turn)
		return false;
	gate->turn = turn;
	gate->fresh = true;
	held_set(worker, device, true);
	return true;
}

/* Sleeps until the next turn. What is still in flight is looked at meanwhile, so that its time is
 * counted soon after its end. @pause: ns; grows while there is nothing new */
static void turn_sleep(struct gcl_worker *worker, unsigned device, uint64_t *pause)
{
	size_t count = worker->meter.devices[device].count;

	sleep_ns(worker, device, worker->gate.devices[device].turn, count ? *pause : ASK_AGAIN_NS);
	gcl_meter_look(worker);
	if (worker->meter.devices[device].count == count)
		*pause = GCL_MIN(*pause * 2, ASK_AGAIN_NS);
	else
		*pause = LOOK_MIN_NS;
}

/* Gives back what is held, and waits for the next turn. */
static void turn_wait(struct gcl_worker *worker, unsigned device)
{
	struct gcl_gate_device *gate = &worker->gate.devices[device];
	int64_t start = gcl_meter_clock(), asked = start;
	uint64_t pause = LOOK_MIN_NS;

	gate->turn = atomic_load(&worker->page->leases[device].turn);
	tell(worker, gate->held ? GCL_NOTE_LEASE_DONE : GCL_NOTE_LEASE_WANT, device, true);
	held_set(worker, device, false);
	while (!turn_look(worker, device) && until_of(worker, device) != GCL_PAGE_LEASE_FREE) {
		turn_sleep(worker, device, &pause);
		if (gcl_meter_clock() - asked < ASK_AGAIN_NS)
			continue;
		asked = gcl_meter_clock();
		tell(worker, GCL_NOTE_LEASE_WANT, device, true);
	}
	held_set(worker, device, true);
	gcl_page_add(&worker->page->counts.wait_time[device],
		     (uint64_t)(gcl_meter_clock() - start));
}

/* Whether what is in flight waits for the guest. */
static bool stuck(struct gcl_worker *worker, unsigned device)
{
	struct gcl_gate_device *gate = &worker->gate.devices[device];
	int64_t now;

	if (gcl_meter_runs(&worker->meter, device)) {
		gate->idle = 0;
		return false;
	}
	now = gcl_meter_clock();
	if (!gate->idle)
		gate->idle = now;
	return now - gate->idle >= STUCK_NS;
}

/* Within a lease: whether so much more work may be in flight. */
static bool fits(const struct gcl_worker *worker, unsigned device, uint64_t more)
{
	const struct gcl_meter_device *meter = &worker->meter.devices[device];

	return !meter->count || meter->expected + more <= FLIGHT_NS ||
	       gcl_meter_left(&worker->meter, device) <= AHEAD_NS;
}

/* ------------------------------------------------------------ passing */

static void look_again(struct gcl_worker *worker, unsigned device, uint64_t target)
{
	uint64_t left = gcl_meter_left(&worker->meter, device);
	uint64_t pause = left > target ? left - target : 0, most = LOOK_MAX_NS;

	/* It may end while this is said: then the pause ends it. */
	if (gcl_meter_wake(&worker->meter, device, &worker->page->leases[device].turn))
		most = GCL_MAX(most, pause / 2);
	pause = GCL_MIN(GCL_MAX(pause, LOOK_MIN_NS), most);
	sleep_ns(worker, device, worker->gate.devices[device].turn, pause);
}

/* One look at a device that isn't the session's alone. Return: whether the command may pass. */
static bool try_pass(struct gcl_worker *worker, unsigned device, uint64_t more)
{
	struct gcl_gate_device *gate = &worker->gate.devices[device];
	uint64_t left;

	gcl_meter_look(worker);
	turn_look(worker, device);
	if (gate->held && (gate->fresh || (uint64_t)gcl_meter_clock() < until_of(worker, device))) {
		if (fits(worker, device, more) || stuck(worker, device))
			return true;
		look_again(worker, device, AHEAD_NS);
		return false;
	}
	left = gcl_meter_left(&worker->meter, device);
	if (gate->held && left > HANDOVER_NS && !stuck(worker, device))
		look_again(worker, device, HANDOVER_NS);
	else
		turn_wait(worker, device);
	return false;
}

/* The guest has more to do. */
static void think_learn(struct gcl_gate_device *gate)
{
	int64_t took;

	if (!gate->done)
		return;
	took = GCL_MIN(gcl_meter_clock() - gate->done, 4 * PATIENCE_MAX_NS);
	gate->thinks += (took - gate->thinks) / 8;
	gate->done = 0;
}

static void pass(struct gcl_worker *worker, unsigned device, uint64_t more)
{
	think_learn(&worker->gate.devices[device]);
	while (until_of(worker, device) != GCL_PAGE_LEASE_FREE && !try_pass(worker, device, more))
		;
	worker->gate.devices[device].fresh = false;
	worker->gate.devices[device].idle = 0;
	held_set(worker, device, true);
}

void gcl_gate_pass(struct gcl_worker *worker, const struct gcl_command *command)
{
	unsigned device = command->queue->page_index;

	if (!command->work || command->failed || device >= GCL_PAGE_DEVICES_MAX)
		return;
	if (until_of(worker, device) != GCL_PAGE_LEASE_FREE || !worker->gate.devices[device].held)
		pass(worker, device, gcl_meter_expect(&worker->meter, command->work));
}

void gcl_gate_pass_all(struct gcl_worker *worker)
{
	gcl_meter_look(worker);
	for (unsigned i = 0; i < worker->accounted_count; i++) {
		if (worker->meter.devices[i].count)
			pass(worker, i, 0);
	}
}

/* ------------------------------------------------------------ giving back */

static void give(struct gcl_worker *worker, unsigned device)
{
	worker->gate.devices[device].turn = atomic_load(&worker->page->leases[device].turn);
	tell(worker, GCL_NOTE_LEASE_DONE, device, false);
	held_set(worker, device, false);
}

/* Whether the guest says something before it is others' turn. */
static bool guest_comes(struct gcl_worker *worker, struct gcl_gate_device *gate)
{
	int64_t left = 4 * gate->thinks;

	if (left > PATIENCE_MAX_NS)
		left = gate->thinks < PATIENCE_MAX_NS ? PATIENCE_MAX_NS : 0;
	left = GCL_MAX(left, PATIENCE_NS) - (gcl_meter_clock() - gate->done);
	if (left > 2 * PATIENCE_NS)
		return gcl_channel_wait(worker->channel, false, 1) != -ETIMEDOUT;
	for (int64_t end = gcl_meter_clock() + left; gcl_meter_clock() < end;) {
		if (gcl_channel_wait(worker->channel, false, 0) != -ETIMEDOUT)
			return true;
	}
	return false;
}

/* Return: as gcl_gate_idle(). */
static int device_idle(struct gcl_worker *worker, unsigned device)
{
	const struct gcl_page_lease *lease = &worker->page->leases[device];
	struct gcl_gate_device *gate = &worker->gate.devices[device];

	if (until_of(worker, device) == GCL_PAGE_LEASE_FREE)
		return -1;
	if (worker->meter.devices[device].count && !stuck(worker, device))
		return 1;
	if (!gate->done)
		gate->done = gcl_meter_clock();
	/* Pairs with the broker's looking at busy after having said this. */
	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load(&lease->contended))
		return -1;
	if (guest_comes(worker, gate))
		return 0;
	give(worker, device);
	return -1;
}

int gcl_gate_idle(struct gcl_worker *worker)
{
	int most_ms = -1;

	gcl_meter_look(worker);
	if (!worker->gate.held)
		return -1;
	for (unsigned i = 0; i < worker->accounted_count; i++) {
		int ms = worker->gate.devices[i].held ? device_idle(worker, i) : -1;

		if (ms == 0)
			return 0;
		if (ms > 0)
			most_ms = ms;
	}
	return most_ms;
}

void gcl_gate_leave(struct gcl_worker *worker)
{
	for (unsigned i = 0; i < worker->accounted_count; i++) {
		if (worker->gate.devices[i].held)
			give(worker, i);
	}
}

int gcl_note_lease_end(struct gcl_worker *worker, const struct gcl_note *note)
{
	(void)note;
	gcl_channel_interrupt(worker->channel);
	return 0;
}
