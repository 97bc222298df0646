/* SPDX-License-Identifier: MIT */
/*
 * For tests: the worker's side of a virtio session, which shows in the guest's memory what it does.
 */
#ifndef GCL_TESTS_FAKE_LINK_H
#define GCL_TESTS_FAKE_LINK_H

#include <stdint.h>

#include "local.h"

/* What the worker has at the beginning of the rings. */
struct fake_rings {
	uint32_t pid;
	uint32_t bells; /* how often its doorbell rang */
	uint64_t ticks; /* goes up, as long as it runs */
};

/** fake_link_serve() - until guest or broker is gone; @plan says what it does wrong. */
void fake_link_serve(const struct gcl_greeting *greeting, int broker, const char *plan);

#endif
