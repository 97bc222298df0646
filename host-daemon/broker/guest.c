// SPDX-License-Identifier: MIT
/*
 * A guest, from its greeting until a worker has it: admission, and waiting its turn.
 *
 * How it came (a socket, a virtio device) is its ops' business. Must not: block, read anything.
 * Every guest that is turned away gets one line that says why; lines for the log about it are
 * limited in rate.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "broker.h"

void gcl_guest_init(struct gcl_guest *guest, struct gcl_broker *broker,
		    const struct gcl_guest_ops *ops, const struct gcl_owner *owner)
{
	memset(guest, 0, sizeof *guest);
	guest->broker = broker;
	guest->ops = ops;
	guest->owner = *owner;
	gcl_list_init(&guest->link);
	gcl_greeting_init(&guest->greeting);
}

/* What it was let in with, unless its worker has it. */
static void heap_give(struct gcl_guest *guest)
{
	if (guest->heap_given)
		gcl_account_heap_give(gcl_account_find(guest->broker, &guest->owner),
				      guest->heap_given);
	guest->heap_given = 0;
}

void gcl_guest_fini(struct gcl_guest *guest)
{
	ev_timer_stop(guest->broker->loop, &guest->timeout);
	gcl_list_remove(&guest->link);
	if (guest->waiting)
		guest->broker->guests.waiting_count--;
	guest->waiting = false;
	heap_give(guest);
	gcl_greeting_fini(&guest->greeting);
}

void gcl_guest_refuse(struct gcl_guest *guest, enum gcl_hello_status status, const char *format,
		      ...)
{
	char text[GCL_REASON_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	guest->broker->refused++;
	gcl_log_peer(broker, "refused %s: %s", guest->who, text);
	guest->ops->refused(guest, status, text);
}

bool gcl_out_of_resources(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM || err == -ENOBUFS ||
	       err == -ENOSPC || err == -EAGAIN || err == -ETOOMANYREFS;
}

static size_t waiting_of(const struct gcl_guests *guests, const struct gcl_owner *owner)
{
	size_t count = 0;

	gcl_list_for_each (it, &guests->waiting)
		count +=
			gcl_owner_same(&gcl_container_of(it, struct gcl_guest, link)->owner, owner);
	return count;
}

/* A heap in a VM's own memory is not the host's to limit. Return: false when the guest has been
 * refused. */
static bool heap_admit(struct gcl_guest *guest, struct gcl_account *account)
{
	uint64_t limit = account->limits.heap_memory;
	bool user = gcl_owner_is_user(&guest->owner);

	if (!limit || guest->greeting.kind == GCL_GREETING_VIRTIO)
		return true;
	guest->heap_given = gcl_account_heap_take(account, guest->greeting.hello.heap_size);
	if (guest->heap_given)
		return true;
	gcl_guest_refuse(
		guest, GCL_HELLO_BUSY,
		"the heaps of this %s's sessions may have %ju MiB together, and too little "
		"of it is left: end one, or raise %s on the host",
		user ? "user" : "VM", (uintmax_t)limit >> 20,
		user ? "user-heap-memory in guestcld.conf" : "the VM's heap-memory");
	return false;
}

/* The last check: it counts. Return: false when the guest has been refused. */
static bool rate_admit(struct gcl_guest *guest, const struct gcl_vm_config *limits)
{
	struct gcl_account *account = gcl_account_get(guest->broker, &guest->owner);
	bool user = gcl_owner_is_user(&guest->owner);

	if (!account) {
		gcl_guest_refuse(guest, GCL_HELLO_BUSY, "guestcld has no memory left");
		return false;
	}
	if (gcl_account_begin(account, gcl_clock()))
		return heap_admit(guest, account);
	gcl_guest_refuse(guest, GCL_HELLO_BUSY,
			 "guestcld begins no more than %u sessions of this %s in a minute: wait, "
			 "or raise %s "
			 "on the host",
			 limits->session_rate, user ? "user" : "VM",
			 user ? "user-session-rate in guestcld.conf" : "the VM's session-rate");
	return false;
}

/* Return: false when the guest has been refused. */
static bool admit(struct gcl_guest *guest)
{
	struct gcl_broker *broker = guest->broker;
	const struct gcl_config *config = &broker->config;
	size_t own = gcl_workers_sessions(&broker->workers, &guest->owner) +
		     waiting_of(&broker->guests, &guest->owner);
	struct gcl_vm_config limits;

	if (gcl_workers_sessions(&broker->workers, NULL) + broker->guests.waiting_count >=
	    config->max_sessions) {
		gcl_guest_refuse(guest, GCL_HELLO_BUSY,
				 "guestcld serves %u sessions already: end one, or raise "
				 "max-sessions in guestcld.conf",
				 config->max_sessions);
		return false;
	}
	gcl_limits_get(broker, &guest->owner, &limits);
	if (own >= limits.max_sessions) {
		bool user = gcl_owner_is_user(&guest->owner);

		gcl_guest_refuse(
			guest, GCL_HELLO_BUSY,
			"guestcld serves %u sessions of this %s already: end one, or raise "
			"%s on the host",
			limits.max_sessions, user ? "user" : "VM",
			user ? "max-sessions-per-user in guestcld.conf" : "the VM's max-sessions");
		return false;
	}
	return rate_admit(guest, &limits);
}

static void on_start_timeout(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_guest *guest = timer->data;
	const struct gcl_broker *broker = guest->broker;

	(void)loop;
	(void)events;
	if (broker->workers.failures)
		gcl_guest_refuse(guest, GCL_HELLO_FAILED, "%s", broker->workers.reason);
	else
		gcl_guest_refuse(guest, GCL_HELLO_BUSY,
				 "no worker came up within %u ms (start-timeout): the host is "
				 "overloaded; try again later",
				 broker->config.start_timeout);
}

void gcl_guest_admit(struct gcl_guest *guest)
{
	struct gcl_broker *broker = guest->broker;

	if (!admit(guest))
		return;
	gcl_list_remove(&guest->link);
	gcl_list_append(&broker->guests.waiting, &guest->link);
	broker->guests.waiting_count++;
	guest->waiting = true;
	ev_timer_init(&guest->timeout, on_start_timeout, broker->config.start_timeout / 1000., 0.);
	guest->timeout.data = guest;
	ev_timer_start(broker->loop, &guest->timeout);
	gcl_guests_serve(broker);
}

/* Passes the guest on, refuses it, or leaves it waiting. */
static void serve(struct gcl_guest *guest)
{
	struct gcl_workers *workers = &guest->broker->workers;
	struct gcl_worker_process *worker;
	char reason[GCL_REASON_MAX];
	int err;

	while ((worker = gcl_workers_idle(workers, &guest->owner))) {
		err = gcl_worker_serve(worker, guest);
		if (err == 0) {
			gcl_guest_fini(guest);
			guest->ops->served(guest, worker);
			return;
		}
		if (gcl_out_of_resources(err)) {
			gcl_guest_refuse(guest, GCL_HELLO_BUSY,
					 "guestcld can't pass the guest on: %s", strerror(-err));
			return;
		}
	}
	err = gcl_workers_promise(workers, &guest->owner, reason, sizeof reason);
	if (err < 0 && err != -EAGAIN)
		gcl_guest_refuse(guest, GCL_HELLO_FAILED, "%s", reason);
}

void gcl_guests_serve(struct gcl_broker *broker)
{
	gcl_workers_unpromise(&broker->workers);
	gcl_list_for_each_safe (it, next, &broker->guests.waiting)
		serve(gcl_container_of(it, struct gcl_guest, link));
}

void gcl_guests_refuse(struct gcl_broker *broker, enum gcl_hello_status status, const char *reason)
{
	gcl_list_for_each_safe (it, next, &broker->guests.waiting)
		gcl_guest_refuse(gcl_container_of(it, struct gcl_guest, link), status, "%s",
				 reason);
}

void gcl_guests_init(struct gcl_guests *guests)
{
	gcl_list_init(&guests->waiting);
	guests->waiting_count = 0;
}
