/* SPDX-License-Identifier: MIT */
/*
 * For tests of placement: states made by hand and at random. GUESTCL_SEED repeats a run.
 */
#ifndef GCL_PLACE_STATE_H
#define GCL_PLACE_STATE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"

#define STATE_PLACES 8
#define STATE_TASKS  40
#define STATE_VMS    5
#define MIB	     (UINT64_C(1) << 20)
#define GIB	     (UINT64_C(1) << 30)

/* Two devices here, all others on servers. */
struct state {
	struct gcl_place places[STATE_PLACES];
	struct gcl_place_task tasks[STATE_TASKS];
	struct gcl_place_settings settings;
	struct gcl_place_view view;
	struct gcl_place_plan *plan;
};

/** state_init() - calm: no tasks, all devices free. */
void state_init(struct state *state);
void state_fini(struct state *state);

/** state_task() - another one, in device 0, which keeps a device busy for nine tenths of its time.
 */
struct gcl_place_task *state_task(struct state *state, uint32_t vm, uint64_t memory);

/** state_shortage() - all tasks are in device 0, which is wanted @demand times. */
void state_shortage(struct state *state, double demand);

/** state_random() - anything that may be true. */
void state_random(struct state *state);

/** state_spoil() - some numbers of it become what can't be. */
void state_spoil(struct state *state);

/** state_decide() - which must not fail. Return: decisions. */
unsigned state_decide(struct state *state, const struct gcl_place_policy *policy,
		      enum gcl_place_event_kind kind);

/** state_apply() - all decisions of the plan have been carried out, at once. */
void state_apply(struct state *state);

/** state_usable() - of a place, as place.h promises it. */
bool state_usable(const struct state *state, uint32_t place);

uint64_t random_next(void);
double random_between(double from, double to);
void random_seed(void);

#endif
