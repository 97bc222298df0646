// SPDX-License-Identifier: MIT
/*
 * The host's devices, as the broker knows them: it loads no OpenCL, so the workers describe them.
 */
#include "base/cleanup.h"
#include "broker.h"

void gcl_devices_take(struct gcl_devices *devices, const struct gcl_page *page)
{
	/* Read once: the page is shared. */
	const uint32_t count = *(const volatile uint32_t *)&page->device_count;

	devices->count = GCL_MIN(count, GCL_PAGE_DEVICES_MAX);
	for (unsigned i = 0; i < devices->count; i++) {
		struct gcl_page_device *device = &devices->list[i];

		*device = page->devices[i];
		device->platform[sizeof device->platform - 1] = '\0';
		device->name[sizeof device->name - 1] = '\0';
	}
}
