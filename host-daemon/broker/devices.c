// SPDX-License-Identifier: MIT
/*
 * The host's devices, as the broker knows them: it loads no OpenCL, so the workers describe them.
 */
#include <ctype.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "broker.h"

static void left_out_take(struct gcl_devices *devices, const struct gcl_page *page)
{
	const uint32_t count = *(const volatile uint32_t *)&page->left_out_count;
	char names[GCL_PAGE_LEFT_OUT_MAX];

	if (count == devices->left_out)
		return;
	devices->left_out = count;
	memcpy(names, page->left_out, sizeof names);
	names[sizeof names - 1] = '\0';
	for (char *c = names; *c; c++)
		*c = (char)(isprint((unsigned char)*c) ? *c : '?');
	if (count)
		gcl_log_warn(broker,
			     "not offered, as no more than %u devices can be limited and shared: "
			     "%s%s (%u in all)",
			     GCL_PAGE_DEVICES_MAX, names,
			     strlen(names) == sizeof names - 1 ? "..." : "", count);
}

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
	left_out_take(devices, page);
}
