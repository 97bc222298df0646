// SPDX-License-Identifier: MIT
#include "fake-load.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "base/cleanup.h"
#include "page.h"

#define PAGE 4

static struct gcl_page *page;
static double since;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* Return: false, there is none. */
static bool load_read(double *busy, double *waits)
{
	const char *plan = getenv("FAKE_WORKER");
	char path[4096];
	_cleanup_fclose_ FILE *file = NULL;
	unsigned numbers[2];

	snprintf(path, sizeof path, "%.4000s.load", plan ? plan : "");
	file = fopen(path, "re");
	if (!file || fscanf(file, "%u %u", &numbers[0], &numbers[1]) != 2)
		return false;
	*busy = numbers[0] / 100.;
	*waits = numbers[1] / 100.;
	return true;
}

void fake_load_begin(void)
{
	double busy, waits;
	void *map;

	if (!load_read(&busy, &waits))
		return;
	map = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, PAGE, 0);
	if (map == MAP_FAILED)
		return;
	page = map;
	page->device_count = 1;
	snprintf(page->devices[0].name, sizeof page->devices[0].name, "a device");
	page->devices[0].memory = FAKE_LOAD_MEMORY;
}

static void count(_Atomic uint64_t *counter, double number)
{
	gcl_page_add(counter, (uint64_t)number);
}

void fake_load_go(bool away)
{
	double busy, waits, passed;

	if (!page || !load_read(&busy, &waits))
		return;
	passed = since > 0. ? now() - since : 0.;
	since += passed > 0. ? passed : now();
	page->held[0] = FAKE_LOAD_HELD;
	/* Whole ones: the rest would be lost. */
	count(&page->task.commands, busy * passed * 1e3 / FAKE_LOAD_KERNEL_MS + 0.5);
	count(&page->task.waits, busy * passed * 1e3 / FAKE_LOAD_KERNEL_MS + 0.5);
	count(away ? &page->task.away_time : &page->counts.device_time[0], busy * passed * 1e9);
	if (!away)
		count(&page->counts.wait_time[0], waits * passed * 1e9);
	count(&page->task.idle_time, (1. - busy - (away ? 0. : waits)) * passed * 1e9);
}
