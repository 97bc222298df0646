// SPDX-License-Identifier: MIT
#include "ledger.h"

#include <errno.h>

#include "account.h"
#include "base/cleanup.h"
#include "broker.h"

/* What is granted beyond a wish, so that small buffers don't ask one by one; less when little is
 * left. */
#define CHUNK_MAX (16 << 20)

/* More than any device has; sums of these for all workers don't overflow. */
#define BYTES_MAX (1ll << 48)

static void give(struct gcl_worker_process *worker, unsigned device, int64_t bytes)
{
	worker->allowance.given[device] += bytes;
	worker->account->ledger.given[device] += bytes;
}

static void note_send(struct gcl_worker_process *worker, enum gcl_note_type type, unsigned device,
		      uint64_t value)
{
	const struct gcl_note note = {.type = type, .device = device, .value = value};

	/* One that doesn't read what it is told can't be relied on. */
	if (gcl_worker_note(worker, &note) == -EAGAIN)
		gcl_worker_kill(worker);
}

/* Answers the worker's wish. */
static void answer(struct gcl_worker_process *worker, int64_t bytes)
{
	unsigned device = worker->allowance.wanted_device;

	worker->allowance.wanted = 0;
	if (worker->account->limits.memory) {
		give(worker, device, bytes);
		if (worker->allowance.counting)
			worker->allowance.granted[device] += bytes;
	}
	note_send(worker, GCL_NOTE_MEMORY_GRANT, device, (uint64_t)bytes);
}

static bool shares(const struct gcl_worker_process *worker, const struct gcl_account *account)
{
	return worker->account == account && worker->state == GCL_WORKER_SERVING;
}

/* Whether other workers of the account have yet to say what they don't need. */
static bool others_shrink(const struct gcl_worker_process *worker, unsigned device)
{
	gcl_list_for_each (it, &worker->broker->workers.list) {
		const struct gcl_worker_process *other =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (other != worker && shares(other, worker->account) &&
		    other->allowance.shrinking[device])
			return true;
	}
	return false;
}

static void others_ask(struct gcl_worker_process *worker, unsigned device)
{
	gcl_list_for_each_safe (it, next, &worker->broker->workers.list) {
		struct gcl_worker_process *other =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (other == worker || !shares(other, worker->account) ||
		    other->allowance.shrinking[device] || other->allowance.given[device] <= 0)
			continue;
		other->allowance.shrinking[device] = true;
		note_send(other, GCL_NOTE_MEMORY_SHRINK, device, 0);
	}
}

/* Grants the worker's wish if it fits. */
static bool fits(struct gcl_worker_process *worker)
{
	const struct gcl_account *account = worker->account;
	unsigned device = worker->allowance.wanted_device;
	int64_t wanted = (int64_t)worker->allowance.wanted;
	int64_t limit = (int64_t)GCL_MIN(account->limits.memory, (uint64_t)BYTES_MAX);
	int64_t left = limit - account->ledger.given[device];
	int64_t chunk = GCL_MIN(limit / 64, CHUNK_MAX);

	if (limit && left < wanted)
		return false;
	if (!limit)
		answer(worker, 0);
	else
		answer(worker, left / 2 >= wanted + chunk ? wanted + chunk : wanted);
	return true;
}

/* Memory came back, or an answer did: see to who waits for it. */
static bool overdrawn(const struct gcl_account *account)
{
	for (unsigned i = 0; account->limits.memory && i < GCL_PAGE_DEVICES_MAX; i++) {
		if (account->ledger.given[i] >
		    (int64_t)GCL_MIN(account->limits.memory, (uint64_t)BYTES_MAX))
			return true;
	}
	return false;
}

/* While more is given than the limit that was lowered, what becomes free is given back at once. */
static void thrift_tell(struct gcl_broker *broker, struct gcl_account *account)
{
	bool thrift = overdrawn(account);

	if (account->ledger.thrift == thrift)
		return;
	account->ledger.thrift = thrift;
	gcl_list_for_each_safe (it, next, &broker->workers.list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (!shares(worker, account))
			continue;
		atomic_store_explicit(&worker->page->thrift, thrift, memory_order_relaxed);
		for (unsigned i = 0; thrift && i < GCL_PAGE_DEVICES_MAX; i++) {
			if (worker->allowance.given[i] > 0 && !worker->allowance.shrinking[i]) {
				worker->allowance.shrinking[i] = true;
				note_send(worker, GCL_NOTE_MEMORY_SHRINK, i, 0);
			}
		}
	}
}

/* What doesn't fit, and nobody shrinks for: others may make room by moving, or it is refused. So is
 * who moves itself, which can't go on while it waits; and others may wait for that move. */
static void refuse(struct gcl_worker_process *worker)
{
	if (worker->moves.now || !gcl_placing_room(worker))
		answer(worker, 0);
}

static void waiting_serve(struct gcl_broker *broker, struct gcl_account *account)
{
	thrift_tell(broker, account);
	gcl_list_for_each_safe (it, next, &broker->workers.list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (!shares(worker, account) || !worker->allowance.wanted)
			continue;
		if (!fits(worker) && !others_shrink(worker, worker->allowance.wanted_device))
			refuse(worker);
	}
}

/* Who has moved gives back what it had here when it is told to. */
void gcl_ledger_again(struct gcl_worker_process *worker)
{
	unsigned device = worker->allowance.wanted_device;

	if (!worker->allowance.wanted || fits(worker))
		return;
	others_ask(worker, device);
	if (!others_shrink(worker, device))
		refuse(worker);
}

int gcl_worker_note_memory_want(struct gcl_worker_process *worker, const struct gcl_note *note)
{
	if (note->device >= GCL_PAGE_DEVICES_MAX || !note->value)
		return -EPROTO;
	if (worker->allowance.wanted)
		answer(worker, 0); /* it has given that up */
	worker->allowance.wanted = GCL_MIN(note->value, (uint64_t)BYTES_MAX);
	worker->allowance.wanted_device = note->device;
	if (fits(worker))
		return 0;
	others_ask(worker, note->device);
	if (!others_shrink(worker, note->device))
		refuse(worker);
	return 0;
}

int gcl_worker_note_memory_give(struct gcl_worker_process *worker, const struct gcl_note *note)
{
	struct gcl_allowance *allowance = &worker->allowance;
	uint64_t given;

	if (note->device >= GCL_PAGE_DEVICES_MAX)
		return -EPROTO;
	/* More than it has: a limit that was lifted has taken it already. */
	given = (uint64_t)GCL_MAX(allowance->given[note->device], 0);
	give(worker, note->device, -(int64_t)GCL_MIN(note->value, given));
	allowance->shrinking[note->device] = false;
	waiting_serve(worker->broker, worker->account);
	return 0;
}

int gcl_worker_note_memory_held(struct gcl_worker_process *worker, const struct gcl_note *note)
{
	struct gcl_allowance *allowance = &worker->allowance;
	int64_t held = (int64_t)GCL_MIN(note->value, (uint64_t)BYTES_MAX);

	if (note->device >= GCL_PAGE_DEVICES_MAX || !allowance->counting)
		return -EPROTO;
	/* Only the answer to the last of several changes counts. */
	if (allowance->limited && allowance->counting <= GCL_PAGE_DEVICES_MAX)
		give(worker, note->device,
		     held + allowance->granted[note->device] - allowance->given[note->device]);
	allowance->counting--;
	waiting_serve(worker->broker, worker->account);
	return 0;
}

void gcl_ledger_open(struct gcl_worker_process *worker)
{
	uint64_t limit = worker->account->limits.memory;

	atomic_store_explicit(&worker->page->memory_limit, limit, memory_order_relaxed);
	atomic_store_explicit(&worker->page->thrift, worker->account->ledger.thrift,
			      memory_order_relaxed);
	worker->allowance.limited = limit != 0;
}

static void allowance_take(struct gcl_worker_process *worker)
{
	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++) {
		give(worker, i, -worker->allowance.given[i]);
		worker->allowance.granted[i] = 0;
	}
}

void gcl_ledger_close(struct gcl_worker_process *worker)
{
	allowance_take(worker);
	worker->allowance = (struct gcl_allowance){0};
	waiting_serve(worker->broker, worker->account);
}

/* What it holds is its allowance, as it says itself soon; until then as its page has it. */
static void counting_begin(struct gcl_worker_process *worker)
{
	allowance_take(worker);
	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++) {
		uint64_t held = atomic_load_explicit(&worker->page->held[i], memory_order_relaxed);

		give(worker, i, (int64_t)GCL_MIN(held, (uint64_t)BYTES_MAX));
	}
	worker->allowance.counting += GCL_PAGE_DEVICES_MAX;
}

void gcl_ledger_limit_changed(struct gcl_broker *broker, struct gcl_account *account)
{
	uint64_t limit = account->limits.memory;

	gcl_list_for_each_safe (it, next, &broker->workers.list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (!shares(worker, account))
			continue;
		atomic_store_explicit(&worker->page->memory_limit, limit, memory_order_relaxed);
		if (!limit)
			allowance_take(worker);
		else if (!worker->allowance.limited)
			counting_begin(worker);
		worker->allowance.limited = limit != 0;
		note_send(worker, GCL_NOTE_MEMORY_LIMIT, 0, limit);
	}
	waiting_serve(broker, account);
}

void gcl_ledger_adopt(struct gcl_worker_process *worker)
{
	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++)
		worker->account->ledger.given[i] += worker->allowance.given[i];
}
