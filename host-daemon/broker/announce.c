// SPDX-License-Identifier: MIT
/*
 * What this host announces as a server: its devices, what is free of them, how busy they are.
 *
 * Numbers come from workers' pages and may be anything; what is said of them is in bounds.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "broker.h"

/* The load that is told is the mean over about so long. */
#define LOAD_SECONDS 3.

/* What changed by this much is told at once; less than that, after a while. */
#define LOAD_STEP    5u	 /* percent */
#define FREE_PART    64u /* of the device's memory */
#define LATE_SECONDS 5.

static uint64_t add(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/* Bytes that are held, or promised by the ledger. */
static uint64_t taken(const struct gcl_worker_process *worker, unsigned device)
{
	uint64_t held = gcl_page_read(&worker->page->held[device]);
	int64_t given = worker->allowance.given[device];

	return GCL_MAX(held, given > 0 ? (uint64_t)given : 0u);
}

/* ns that the device has worked, in all. */
static uint64_t busy(const struct gcl_broker *broker, unsigned device)
{
	uint64_t sum = 0;

	gcl_list_for_each (it, &broker->accounts)
		sum += gcl_container_of(it, struct gcl_account, link)->ended.device_time[device];
	gcl_list_for_each (it, &broker->workers.list)
		sum += gcl_page_read(&gcl_container_of(it, struct gcl_worker_process, link)
					      ->page->counts.device_time[device]);
	return sum;
}

static void measure(struct gcl_announcement *announcement, const struct gcl_broker *broker,
		    double now)
{
	double elapsed = now - announcement->measured;
	double part = GCL_MIN(elapsed / LOAD_SECONDS, 1.);

	for (unsigned i = 0; i < broker->devices.count; i++) {
		uint64_t sum = busy(broker, i);
		/* An account that was forgotten takes its time with it. */
		uint64_t more = sum > announcement->busy[i] ? sum - announcement->busy[i] : 0;
		double load = elapsed > 0. ? (double)more * 1e-9 / elapsed : 0.;

		announcement->busy[i] = sum;
		if (announcement->known)
			announcement->load[i] += part * (GCL_MIN(load, 1.) - announcement->load[i]);
	}
	announcement->measured = now;
	announcement->known = true;
}

static uint32_t percent(double load)
{
	return (uint32_t)(load * 100. + 0.5);
}

static void device_tell(struct gcl_server_device *told, const struct gcl_announcement *announcement,
			const struct gcl_broker *broker, unsigned index)
{
	const struct gcl_page_device *device = &broker->devices.list[index];
	uint64_t sum = 0;

	gcl_list_for_each (it, &broker->workers.list)
		sum = add(sum, taken(gcl_container_of(it, struct gcl_worker_process, link), index));
	memcpy(told->name, device->name, sizeof told->name);
	told->memory = device->memory;
	told->free = device->memory > sum ? device->memory - sum : 0;
	told->load = percent(announcement->load[index]);
}

/* What is called by "announce-name", or as the host is up to its first dot. */
static void name_tell(char *name, size_t size, const struct gcl_config *config)
{
	char host[256] = "";

	gethostname(host, sizeof host - 1);
	host[strcspn(host, ".")] = '\0';
	snprintf(name, size, "%.*s", (int)size - 1,
		 *config->announce_name ? config->announce_name : host);
}

static void info_make(struct gcl_server_info *info, const struct gcl_announcement *announcement,
		      const struct gcl_broker *broker)
{
	uint32_t load = 0;

	memset(info, 0, sizeof *info);
	/* Nobody is to come before the devices are known. */
	if (!*broker->config.announce || broker->devices.count == 0 || broker->stopping)
		return;
	name_tell(info->name, sizeof info->name, &broker->config);
	memcpy(info->address, broker->config.announce, sizeof info->address);
	snprintf(info->version, sizeof info->version, "%s", GUESTCL_VERSION);
	info->sessions = (uint32_t)gcl_workers_sessions(&broker->workers, NULL);
	info->device_count = broker->devices.count;
	for (unsigned i = 0; i < info->device_count; i++) {
		device_tell(&info->devices[i], announcement, broker, i);
		load += info->devices[i].load;
	}
	info->load = load / GCL_MAX(info->device_count, 1u);
	if (!gcl_server_info_clean(info))
		info->name[0] = '\0';
}

static bool much(uint64_t now, uint64_t before, uint64_t step)
{
	uint64_t by = now > before ? now - before : before - now;

	return by >= GCL_MAX(step, 1u) || (by && (!now || !before));
}

/* Whether somebody who chooses a server would choose otherwise. */
static bool differs_much(const struct gcl_server_info *now, const struct gcl_server_info *before)
{
	struct gcl_server_info one = *now, other = *before;

	if (much(now->load, before->load, LOAD_STEP))
		return true;
	for (unsigned i = 0; i < now->device_count; i++) {
		if (much(now->devices[i].load, before->devices[i].load, LOAD_STEP) ||
		    much(now->devices[i].free, before->devices[i].free,
			 now->devices[i].memory / FREE_PART))
			return true;
		one.devices[i].load = other.devices[i].load = 0;
		one.devices[i].free = other.devices[i].free = 0;
	}
	one.load = other.load = 0;
	return memcmp(&one, &other, sizeof one) != 0;
}

bool gcl_announcement_update(struct gcl_announcement *announcement, const struct gcl_broker *broker,
			     double now)
{
	struct gcl_server_info info;

	measure(announcement, broker, now);
	info_make(&info, announcement, broker);
	if (memcmp(&info, &announcement->info, sizeof info) == 0)
		return false;
	if (!differs_much(&info, &announcement->info) && now - announcement->told < LATE_SECONDS)
		return false;
	announcement->info = info;
	announcement->told = now;
	return true;
}
