// SPDX-License-Identifier: MIT
#include "account.h"

#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "vm.h"

/* Accounts without workers that are kept; beyond these, the oldest is forgotten. */
#define IDLE_MAX 256u

/* session_rate is of so long, and so much of it may be used at once. */
#define RATE_SECONDS 60.

/* A session with less has no room for its transfers. */
#define HEAP_LEAST (16ull << 20)

struct gcl_account *gcl_account_find(struct gcl_broker *broker, const struct gcl_owner *owner)
{
	gcl_list_for_each (it, &broker->accounts) {
		struct gcl_account *account = gcl_container_of(it, struct gcl_account, link);

		if (gcl_owner_same(&account->owner, owner))
			return account;
	}
	return NULL;
}

/* A VM that was removed keeps its limits until its last worker is gone. */
static bool orphaned(struct gcl_broker *broker, const struct gcl_account *account)
{
	return !gcl_owner_is_user(&account->owner) && !gcl_vms_find_owner(broker, &account->owner);
}

static void limits_set(struct gcl_broker *broker, struct gcl_account *account,
		       const struct gcl_vm_config *limits)
{
	const struct gcl_vm_config *before = &account->limits;
	bool memory = before->memory != limits->memory;
	bool share = before->weight != limits->weight || before->priority != limits->priority ||
		     before->ceiling != limits->ceiling;

	account->limits = *limits;
	gcl_watchdog_configure(broker, account);
	if (memory)
		gcl_ledger_limit_changed(broker, account);
	gcl_cgroup_limit(&broker->cgroup, account);
	if (share)
		gcl_lease_limits_changed(broker, account);
}

void gcl_accounts_configure(struct gcl_broker *broker)
{
	struct gcl_vm_config limits;

	gcl_list_for_each (it, &broker->accounts) {
		struct gcl_account *account = gcl_container_of(it, struct gcl_account, link);

		if (orphaned(broker, account))
			continue;
		gcl_limits_get(broker, &account->owner, &limits);
		limits_set(broker, account, &limits);
	}
	gcl_list_for_each (it, &broker->vms) {
		struct gcl_vm *vm = gcl_container_of(it, struct gcl_vm, link);

		gcl_limits_get(broker, &vm->owner, &limits);
		vm->device.sessions_max = limits.max_sessions;
	}
}

/* Accounts stand in the order of their making. */
static void idle_trim(struct gcl_broker *broker)
{
	struct gcl_account *oldest = NULL;
	size_t idle = 0;

	gcl_list_for_each (it, &broker->accounts) {
		struct gcl_account *account = gcl_container_of(it, struct gcl_account, link);

		if (account->workers || account->paused || account->heap_given)
			continue;
		if (!oldest)
			oldest = account;
		idle++;
	}
	if (idle <= IDLE_MAX)
		return;
	gcl_list_remove(&oldest->link);
	gcl_lease_account_fini(oldest);
	free(oldest);
}

static struct gcl_account *account_create(struct gcl_broker *broker, const struct gcl_owner *owner)
{
	struct gcl_account *account = calloc(1, sizeof *account);

	if (!account)
		return NULL;
	idle_trim(broker);
	account->owner = *owner;
	gcl_limits_get(broker, owner, &account->limits);
	gcl_lease_account_init(account);
	gcl_list_append(&broker->accounts, &account->link);
	return account;
}

struct gcl_account *gcl_account_get(struct gcl_broker *broker, const struct gcl_owner *owner)
{
	struct gcl_account *account = gcl_account_find(broker, owner);

	return account ? account : account_create(broker, owner);
}

struct gcl_account *gcl_account_take(struct gcl_broker *broker, const struct gcl_owner *owner)
{
	struct gcl_account *account = gcl_account_get(broker, owner);

	if (account)
		account->workers++;
	return account;
}

bool gcl_account_begin(struct gcl_account *account, double now)
{
	double rate = account->limits.session_rate;
	double used = account->rate_used - (now - account->rate_at) * rate / RATE_SECONDS;

	if (!rate)
		return true;
	used = GCL_MAX(used, 0.);
	if (used > rate - 1)
		return false;
	account->rate_used = used + 1;
	account->rate_at = now;
	return true;
}

uint64_t gcl_account_heap_take(struct gcl_account *account, uint64_t wanted)
{
	uint64_t limit = account->limits.heap_memory;
	uint64_t left = limit - GCL_MIN(limit, account->heap_given);
	uint64_t given = GCL_MIN(wanted, GCL_MAX(left / 2, HEAP_LEAST));

	if (left < HEAP_LEAST)
		return 0;
	given -= given % GCL_HEAP_CHUNK;
	account->heap_given += given;
	return given;
}

void gcl_account_heap_give(struct gcl_account *account, uint64_t bytes)
{
	account->heap_given -= bytes;
}

void gcl_counts_add(struct gcl_counts *counts, const struct gcl_page *page)
{
	const struct gcl_page_counts *from = &page->counts;

	counts->calls += gcl_page_read(&from->calls);
	counts->errors += gcl_page_read(&from->errors);
	counts->bytes_from_guest += gcl_page_read(&from->bytes_from_guest);
	counts->bytes_to_guest += gcl_page_read(&from->bytes_to_guest);
	counts->heap += gcl_page_read(&page->heap_used);
	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++) {
		counts->device_time[i] += gcl_page_read(&from->device_time[i]);
		counts->wait_time[i] += gcl_page_read(&from->wait_time[i]);
		counts->held[i] += gcl_page_read(&page->held[i]);
	}
}

void gcl_account_drop(struct gcl_account *account, const struct gcl_page *page)
{
	if (!account)
		return;
	account->workers--;
	if (!page)
		return;
	gcl_counts_add(&account->ended, page);
	memset(account->ended.held, 0, sizeof account->ended.held);
	account->ended.heap = 0;
}

void gcl_accounts_fini(struct gcl_broker *broker)
{
	gcl_list_for_each_safe (it, next, &broker->accounts) {
		gcl_list_remove(it);
		free(gcl_container_of(it, struct gcl_account, link));
	}
}
