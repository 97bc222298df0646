// SPDX-License-Identifier: MIT
#include "quota.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "worker.h"

/* What was granted may be asked back before it is used. */
#define TRIES_MAX 8

/* How long the broker may take to answer, and the account's other sessions to make room, which they
 * may do by moving elsewhere. */
#define ANSWER_S 30

/* How long objects that were released may take to go. */
#define GONE_S 1

void gcl_quota_init(struct gcl_quota *quota)
{
	pthread_condattr_t monotonic;

	memset(quota, 0, sizeof *quota);
	pthread_mutex_init(&quota->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&quota->answered, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

void gcl_quota_watch(struct gcl_quota *quota, bool more)
{
	pthread_mutex_lock(&quota->lock);
	if (more)
		quota->watched++;
	else if (--quota->watched == 0)
		pthread_cond_broadcast(&quota->answered);
	pthread_mutex_unlock(&quota->lock);
}

void gcl_quota_fini(struct gcl_quota *quota)
{
	struct timespec end;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += GONE_S;
	pthread_mutex_lock(&quota->lock);
	while (quota->watched && !err)
		err = pthread_cond_timedwait(&quota->answered, &quota->lock, &end);
	pthread_mutex_unlock(&quota->lock);
}

/* ------------------------------------------------------------ what the guest is told */

void gcl_quota_device_limit(const struct gcl_worker *worker, Gcl__Device *described)
{
	uint64_t limit = atomic_load_explicit(&worker->page->memory_limit, memory_order_relaxed);
	cl_ulong value;

	for (size_t i = 0; limit && i < described->n_infos; i++) {
		const Gcl__Info *info = described->infos[i];

		if ((info->name != CL_DEVICE_GLOBAL_MEM_SIZE &&
		     info->name != CL_DEVICE_MAX_MEM_ALLOC_SIZE) ||
		    info->value.len != sizeof value)
			continue;
		memcpy(&value, info->value.data, sizeof value);
		value = GCL_MIN(value, limit);
		memcpy(info->value.data, &value, sizeof value);
	}
}

void gcl_quota_begin(struct gcl_worker *worker)
{
	const Gcl__Welcome *welcome = worker->welcome;

	pthread_mutex_lock(&worker->quota.lock);
	worker->quota.limit =
		atomic_load_explicit(&worker->page->memory_limit, memory_order_relaxed);
	pthread_mutex_unlock(&worker->quota.lock);
	for (size_t i = 0; i < welcome->n_platforms; i++) {
		for (size_t j = 0; j < welcome->platforms[i]->n_devices; j++)
			gcl_quota_device_limit(worker, welcome->platforms[i]->devices[j]);
	}
}

/* ------------------------------------------------------------ counting */

uint32_t gcl_quota_devices(const struct gcl_worker *worker, const cl_device_id *devices,
			   size_t count)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < count; i++) {
		unsigned index = gcl_worker_page_index(worker, devices[i]);

		if (index < GCL_PAGE_DEVICES_MAX)
			bits |= 1u << index;
	}
	return bits;
}

static uint64_t held(const struct gcl_worker *worker, unsigned device)
{
	return atomic_load_explicit(&worker->page->held[device], memory_order_relaxed);
}

static void hold_locked(struct gcl_worker *worker, unsigned device, uint64_t bytes)
{
	atomic_store_explicit(&worker->page->held[device], held(worker, device) + bytes,
			      memory_order_relaxed);
}

/* Asks for what is missing, and waits. Return: false when it is refused. */
static bool ask_locked(struct gcl_worker *worker, unsigned device, uint64_t missing)
{
	struct gcl_quota *quota = &worker->quota;
	struct gcl_note note = {.type = GCL_NOTE_MEMORY_WANT, .device = device, .value = missing};
	struct timespec end;
	uint64_t asked;
	int err = 0;

	/* An answer doesn't say whose it is. */
	while (quota->asking)
		pthread_cond_wait(&quota->answered, &quota->lock);
	quota->asking = true;
	asked = ++quota->asked;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += ANSWER_S;
	if (gcl_note_send(worker, &note) < 0)
		err = EPIPE;
	while (!err && quota->told < asked && quota->limit)
		err = pthread_cond_timedwait(&quota->answered, &quota->lock, &end);
	quota->asking = false;
	pthread_cond_broadcast(&quota->answered);
	if (err == ETIMEDOUT)
		gcl_log_error(mem, "guestcld did not answer within %d s how much memory there is",
			      ANSWER_S);
	return !err && (quota->granted || !quota->limit);
}

static bool device_take(struct gcl_worker *worker, unsigned device, uint64_t bytes)
{
	struct gcl_quota *quota = &worker->quota;
	bool taken = true;
	uint64_t wanted;

	pthread_mutex_lock(&quota->lock);
	for (unsigned tries = 0; quota->limit; tries++) {
		if (__builtin_add_overflow(held(worker, device), bytes, &wanted) ||
		    bytes > quota->limit || tries == TRIES_MAX)
			taken = false;
		if (!taken || wanted <= quota->allowed[device])
			break;
		taken = ask_locked(worker, device, wanted - quota->allowed[device]);
		if (!taken)
			break;
	}
	if (taken)
		hold_locked(worker, device, bytes);
	pthread_mutex_unlock(&quota->lock);
	return taken;
}

/* Return: what isn't used of the allowance, which is ours no longer. */
static uint64_t unused_take_locked(struct gcl_worker *worker, unsigned device)
{
	uint64_t *allowed = &worker->quota.allowed[device];
	uint64_t unused = *allowed - GCL_MIN(*allowed, held(worker, device));

	*allowed -= unused;
	return unused;
}

void gcl_quota_give(struct gcl_worker *worker, struct gcl_charge charge)
{
	bool thrift = atomic_load_explicit(&worker->page->thrift, memory_order_relaxed);
	struct gcl_note give = {.type = GCL_NOTE_MEMORY_GIVE};

	pthread_mutex_lock(&worker->quota.lock);
	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++) {
		if (!(charge.devices >> i & 1))
			continue;
		hold_locked(worker, i, -charge.bytes);
		give.device = i;
		give.value = thrift && worker->quota.limit ? unused_take_locked(worker, i) : 0;
		if (give.value)
			gcl_note_send(worker, &give);
	}
	pthread_mutex_unlock(&worker->quota.lock);
}

cl_int gcl_quota_take(struct gcl_worker *worker, struct gcl_charge charge)
{
	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++) {
		if (!(charge.devices >> i & 1) || device_take(worker, i, charge.bytes))
			continue;
		charge.devices &= (1u << i) - 1;
		gcl_quota_give(worker, charge);
		return CL_MEM_OBJECT_ALLOCATION_FAILURE;
	}
	return CL_SUCCESS;
}

/* ------------------------------------------------------------ what the broker says; watch thread
 */

int gcl_note_memory_grant(struct gcl_worker *worker, const struct gcl_note *note)
{
	struct gcl_quota *quota = &worker->quota;

	if (note->device >= GCL_PAGE_DEVICES_MAX)
		return -EPROTO;
	pthread_mutex_lock(&quota->lock);
	quota->told++;
	quota->granted = note->value;
	quota->allowed[note->device] += note->value;
	pthread_cond_broadcast(&quota->answered);
	pthread_mutex_unlock(&quota->lock);
	return 0;
}

int gcl_note_memory_shrink(struct gcl_worker *worker, const struct gcl_note *note)
{
	struct gcl_note give = {.type = GCL_NOTE_MEMORY_GIVE, .device = note->device};

	if (note->device >= GCL_PAGE_DEVICES_MAX)
		return -EPROTO;
	pthread_mutex_lock(&worker->quota.lock);
	give.value = unused_take_locked(worker, note->device);
	pthread_mutex_unlock(&worker->quota.lock);
	return gcl_note_send(worker, &give);
}

int gcl_note_memory_limit(struct gcl_worker *worker, const struct gcl_note *note)
{
	struct gcl_quota *quota = &worker->quota;
	struct gcl_note answers[GCL_PAGE_DEVICES_MAX] = {0};
	bool first;
	int err = 0;

	pthread_mutex_lock(&quota->lock);
	first = !quota->limit;
	quota->limit = note->value;
	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++) {
		answers[i].type = first ? GCL_NOTE_MEMORY_HELD : GCL_NOTE_MEMORY_GIVE;
		answers[i].device = i;
		if (!note->value || first)
			quota->allowed[i] = note->value ? held(worker, i) : 0;
		answers[i].value = first ? quota->allowed[i] : unused_take_locked(worker, i);
	}
	pthread_cond_broadcast(&quota->answered);
	pthread_mutex_unlock(&quota->lock);
	for (unsigned i = 0; note->value && !err && i < GCL_PAGE_DEVICES_MAX; i++)
		err = gcl_note_send(worker, &answers[i]);
	return err;
}
