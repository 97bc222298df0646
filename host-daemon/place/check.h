/* SPDX-License-Identifier: MIT */
/*
 * What may be believed: servers announce numbers, and anything can stand in them.
 *
 * A number is taken only within bounds so wide that nothing real is outside, and so narrow that no
 * formula of cost.h leaves the range of a double, nor a sum of bytes that of an integer. NaN is
 * outside of all bounds.
 */
#ifndef GCL_PLACE_CHECK_H
#define GCL_PLACE_CHECK_H

#include "place.h"

/* Bytes: more than any device has. */
#define GCL_PLACE_BYTES_MAX (UINT64_C(1) << 48)

/* Times that a device is wanted. */
#define GCL_PLACE_DEMAND_MAX 1e4

bool gcl_place_sane(const struct gcl_place *place);

/** gcl_place_task_sane() - @vms: VMs that there are */
bool gcl_place_task_sane(const struct gcl_place_view *view, const struct gcl_place_task *task,
			 uint32_t vms);

/** gcl_place_settings_sane() - and the view's own numbers. */
bool gcl_place_settings_sane(const struct gcl_place_view *view);

#endif
