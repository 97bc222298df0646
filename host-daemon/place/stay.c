// SPDX-License-Identifier: MIT
/*
 * stay: nothing moves but by the operator's order. What all others are compared with.
 */
#include "place.h"

const struct gcl_place_policy gcl_place_stay = {
	.name = "stay",
	.about = "nothing moves, allocations that don't fit fail",
};
