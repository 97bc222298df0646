// SPDX-License-Identifier: MIT
#include "lease.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "broker.h"

/* The end of a lease that needs none yet. */
#define NO_END (GCL_PAGE_LEASE_FREE - 1)

/* How often to look whether an account has stopped using a device. */
#define ACTIVE_LOOK_NS 250000000

static int64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static struct gcl_lease_client *lease_of(struct gcl_share_client *client)
{
	return gcl_container_of(client, struct gcl_lease_client, client);
}

static unsigned device_index(const struct gcl_lease_device *device)
{
	return (unsigned)(device - device->broker->leases);
}

static struct gcl_page_lease *page_lease(const struct gcl_lease_device *device,
					 const struct gcl_lease_client *lease)
{
	return &lease->worker->page->leases[device_index(device)];
}

/* ------------------------------------------------------------ the page */

static void until_tell(const struct gcl_lease_device *device, const struct gcl_lease_client *lease)
{
	uint64_t until = lease->free			    ? GCL_PAGE_LEASE_FREE
			 : lease->client.until == INT64_MAX ? NO_END
							    : (uint64_t)lease->client.until;

	atomic_store(&page_lease(device, lease)->until, until);
}

static void turn_tell(const struct gcl_lease_device *device, const struct gcl_lease_client *lease)
{
	_Atomic uint32_t *turn = &page_lease(device, lease)->turn;

	until_tell(device, lease);
	atomic_fetch_add(turn, 1);
	syscall(SYS_futex, turn, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* ------------------------------------------------------------ what they use */

static bool is_busy(const struct gcl_lease_device *device, const struct gcl_lease_client *lease)
{
	return atomic_load(&lease->worker->page->busy[device_index(device)]) != 0;
}

static uint64_t device_time(const struct gcl_lease_device *device,
			    const struct gcl_lease_client *lease)
{
	return gcl_page_read(&lease->worker->page->counts.device_time[device_index(device)]);
}

static void measure(struct gcl_lease_device *device, int64_t now)
{
	gcl_list_for_each_safe (it, next, &device->share.users) {
		struct gcl_share_client *client =
			gcl_container_of(it, struct gcl_share_client, using);
		/* What it does is counted before it is done. */
		bool busy = is_busy(device, lease_of(client));

		gcl_share_measure(client, now, device_time(device, lease_of(client)), busy);
	}
}

static void take(struct gcl_lease_device *device, struct gcl_lease_client *lease, int64_t now)
{
	lease->free = false;
	gcl_share_done(&device->share, &lease->client, now);
	atomic_store(&page_lease(device, lease)->until, 0);
}

/* ------------------------------------------------------------ who may */

/* There is somebody else: those who thought themselves alone are told. */
static void free_end(struct gcl_lease_device *device, int64_t now)
{
	const struct gcl_note end = {.type = GCL_NOTE_LEASE_END, .device = device_index(device)};

	gcl_list_for_each_safe (it, next, &device->share.holders) {
		struct gcl_lease_client *lease =
			lease_of(gcl_container_of(it, struct gcl_share_client, link));

		if (!lease->free)
			continue;
		lease->free = false;
		atomic_store(&page_lease(device, lease)->contended, 1);
		until_tell(device, lease);
		if (is_busy(device, lease))
			gcl_worker_note(lease->worker, &end);
		else
			take(device, lease, now);
	}
}

/* Somebody waits: holders that do nothing have nothing to give back. */
static void idle_take(struct gcl_lease_device *device, int64_t now)
{
	gcl_list_for_each_safe (it, next, &device->share.holders) {
		struct gcl_lease_client *lease =
			lease_of(gcl_container_of(it, struct gcl_share_client, link));

		atomic_store(&page_lease(device, lease)->contended, 1);
		/* Pairs with the worker's looking at contended after its last command. */
		if (!lease->client.busy && !is_busy(device, lease))
			take(device, lease, now);
	}
}

/* Nobody else wants the device: all sessions of @flow that want it, or have it, have it. */
static void flow_free(struct gcl_lease_device *device, struct gcl_share_flow *flow, int64_t now)
{
	gcl_list_for_each_safe (it, next, &flow->waiting) {
		struct gcl_share_client *client =
			gcl_container_of(it, struct gcl_share_client, link);

		gcl_share_hold(&device->share, client, now);
		lease_of(client)->free = true;
		atomic_store(&page_lease(device, lease_of(client))->contended, 0);
		turn_tell(device, lease_of(client));
	}
	gcl_list_for_each (it, &device->share.holders) {
		struct gcl_share_client *client =
			gcl_container_of(it, struct gcl_share_client, link);

		if (client->flow != flow || lease_of(client)->free)
			continue;
		lease_of(client)->free = true;
		atomic_store(&page_lease(device, lease_of(client))->contended, 0);
		until_tell(device, lease_of(client));
	}
}

/* Without a scheduler. */
static void all_free(struct gcl_lease_device *device, int64_t now)
{
	gcl_list_for_each (it, &device->share.flows)
		flow_free(device, gcl_container_of(it, struct gcl_share_flow, link), now);
}

static void holders_tell(struct gcl_lease_device *device)
{
	bool contended = gcl_share_contended(&device->share);

	gcl_list_for_each (it, &device->share.holders) {
		struct gcl_lease_client *lease =
			lease_of(gcl_container_of(it, struct gcl_share_client, link));

		atomic_store(&page_lease(device, lease)->contended, contended);
		until_tell(device, lease);
	}
}

/* Holders that have long had nothing to do are no reason for others to take turns. */
static void inactive_take(struct gcl_lease_device *device, int64_t now)
{
	gcl_list_for_each_safe (it, next, &device->share.holders) {
		struct gcl_share_client *client =
			gcl_container_of(it, struct gcl_share_client, link);

		if (!lease_of(client)->free && !is_busy(device, lease_of(client)) &&
		    now - client->since > GCL_SHARE_ACTIVE_NS)
			take(device, lease_of(client), now);
	}
}

static void timer_set(struct gcl_lease_device *device, int64_t now, int64_t again)
{
	struct ev_loop *loop = device->broker->loop;

	ev_timer_stop(loop, &device->timer);
	if (again == INT64_MAX)
		return;
	ev_now_update(loop);
	ev_timer_set(&device->timer, 0.0005 + (double)GCL_MAX(again - now, 0) * 1e-9, 0.);
	ev_timer_start(loop, &device->timer);
}

/* Return: when to look again. */
static int64_t turns_give(struct gcl_lease_device *device, int64_t now)
{
	struct gcl_share *share = &device->share;
	struct gcl_share_client *client;
	int64_t again;

	while ((client = gcl_share_pick(share, now, &again)))
		turn_tell(device, lease_of(client));
	if (gcl_share_full(share)) {
		idle_take(device, now);
		while ((client = gcl_share_pick(share, now, &again)))
			turn_tell(device, lease_of(client));
	}
	if (!gcl_list_empty(&share->holders))
		again = GCL_MIN(again, now + GCL_SHARE_LOOK_NS);
	if (!gcl_list_empty(&share->flows))
		again = GCL_MIN(again, now + ACTIVE_LOOK_NS);
	return again;
}

static void schedule(struct gcl_lease_device *device)
{
	int64_t now = now_ns(), again;
	struct gcl_share_flow *only = gcl_share_only(&device->share, now);

	measure(device, now);
	if (!device->broker->config.scheduler) {
		all_free(device, now);
		return;
	}
	if (only) {
		flow_free(device, only, now);
		timer_set(device, now, INT64_MAX);
		return;
	}
	free_end(device, now);
	again = turns_give(device, now);
	holders_tell(device);
	timer_set(device, now, again);
}

static void on_timer(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_lease_device *device = timer->data;

	(void)loop;
	(void)events;
	inactive_take(device, now_ns());
	schedule(device);
}

/* ------------------------------------------------------------ notes */

/* Return: the worker's part of a device, or NULL for one that there isn't. */
static struct gcl_lease_client *noted(struct gcl_worker_process *worker,
				      const struct gcl_note *note)
{
	struct gcl_lease_client *lease;

	if (note->device >= GCL_PAGE_DEVICES_MAX)
		return NULL;
	lease = &worker->leases[note->device];
	return lease->worker ? lease : NULL;
}

/* What it holds, it gives back. */
static void want(struct gcl_lease_device *device, struct gcl_lease_client *lease)
{
	int64_t now = now_ns();

	measure(device, now);
	lease->free = false;
	atomic_store(&page_lease(device, lease)->until, 0);
	gcl_share_want(&device->share, &lease->client, now);
}

int gcl_worker_note_lease_want(struct gcl_worker_process *worker, const struct gcl_note *note)
{
	struct gcl_lease_client *lease = noted(worker, note);
	struct gcl_lease_device *device;

	if (!lease)
		return -EPROTO;
	device = &worker->broker->leases[note->device];
	want(device, lease);
	schedule(device);
	return 0;
}

int gcl_worker_note_lease_done(struct gcl_worker_process *worker, const struct gcl_note *note)
{
	struct gcl_lease_client *lease = noted(worker, note);
	struct gcl_lease_device *device;

	if (!lease)
		return -EPROTO;
	device = &worker->broker->leases[note->device];
	if (note->value)
		want(device, lease);
	else if (lease->client.holding) {
		measure(device, now_ns());
		take(device, lease, now_ns());
	}
	schedule(device);
	return 0;
}

/* ------------------------------------------------------------ beginning and end */

void gcl_leases_init(struct gcl_broker *broker)
{
	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++) {
		struct gcl_lease_device *device = &broker->leases[i];

		device->broker = broker;
		gcl_share_init(&device->share, broker->config.concurrent_turns);
		ev_timer_init(&device->timer, on_timer, 0., 0.);
		device->timer.data = device;
	}
}

void gcl_leases_configure(struct gcl_broker *broker)
{
	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++) {
		broker->leases[i].share.slots = broker->config.concurrent_turns;
		schedule(&broker->leases[i]);
	}
}

void gcl_leases_fini(struct gcl_broker *broker)
{
	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++)
		ev_timer_stop(broker->loop, &broker->leases[i].timer);
}

static void flows_set(struct gcl_account *account)
{
	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++)
		gcl_share_flow_set(&account->lease.flows[i], account->limits.weight,
				   (enum gcl_share_priority)account->limits.priority,
				   account->limits.ceiling);
}

void gcl_lease_account_init(struct gcl_account *account)
{
	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++)
		gcl_share_flow_init(&account->lease.flows[i]);
	flows_set(account);
}

void gcl_lease_account_fini(struct gcl_account *account)
{
	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++)
		gcl_list_remove(&account->lease.flows[i].link);
}

void gcl_lease_limits_changed(struct gcl_broker *broker, struct gcl_account *account)
{
	flows_set(account);
	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++) {
		if (gcl_list_empty(&account->lease.flows[i].link))
			continue;
		/* Those who are free may have got a ceiling. */
		free_end(&broker->leases[i], now_ns());
		schedule(&broker->leases[i]);
	}
}

void gcl_lease_open(struct gcl_worker_process *worker)
{
	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++) {
		struct gcl_lease_client *lease = &worker->leases[i];

		lease->worker = worker;
		gcl_share_client_init(&lease->client, &worker->account->lease.flows[i], now_ns(),
				      device_time(&worker->broker->leases[i], lease));
		/* One that was taken over asks again. */
		turn_tell(&worker->broker->leases[i], lease);
	}
}

void gcl_lease_close(struct gcl_worker_process *worker)
{
	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++) {
		struct gcl_lease_client *lease = &worker->leases[i];
		bool concerned = lease->client.holding || lease->client.waiting;

		if (!lease->worker)
			continue;
		gcl_share_leave(&worker->broker->leases[i].share, &lease->client, now_ns());
		lease->worker = NULL;
		if (concerned)
			schedule(&worker->broker->leases[i]);
	}
}
