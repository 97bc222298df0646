// SPDX-License-Identifier: MIT
/*
 * Fuzzing what decides where tasks run.
 *
 * An input begins with policy and event; then come steps, each of which puts any bytes into a field
 * of a state that was all right. Whatever stands there, decisions have to be carried out in places
 * that can be, their figures have to be numbers, and what is said of them has to fit.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "check.h"
#include "explain.h"
#include "place.h"

#define PLACES	   6
#define TASKS	   12
#define VMS	   3
#define STEPS_MAX  256
#define REQUIRE(c) ((c) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t size;
};

struct field {
	size_t at, size;
};

static struct gcl_place places[PLACES];
static struct gcl_place_task tasks[TASKS];
static struct gcl_place_settings settings;

#define P(name)                                                                                    \
	{                                                                                          \
		offsetof(struct gcl_place, name), sizeof places[0].name                            \
	}
static const struct field place_fields[] = {
	P(remote), P(lost),  P(draining),   P(age), P(avoid_until), P(memory), P(free),
	P(demand), P(speed), P(speed_seen), P(rtt), P(bandwidth),   P(moves),  P(can),
};

#define T(name)                                                                                    \
	{                                                                                          \
		offsetof(struct gcl_place_task, name), sizeof tasks[0].name                        \
	}
static const struct field task_fields[] = {
	T(vm),		 T(wants), T(weight),	  T(hold),  T(home),	 T(where),
	T(to),		 T(kept),  T(started),	  T(since), T(moved[0]), T(moved[7]),
	T(memory),	 T(bytes), T(bytes_home), T(dirty), T(build),	 T(kernel),
	T(kernel_there), T(there), T(think),	  T(trips), T(carried),	 T(waited),
};

#define S(name)                                                                                    \
	{                                                                                          \
		offsetof(struct gcl_place_settings, name), sizeof settings.name                    \
	}
static const struct field settings_fields[] = {
	S(moves_at_once), S(stay_min),	 S(span),	  S(moves_in_span), S(go_demand),
	S(go_ratio),	  S(flee_ratio), S(go_margin),	  S(back_demand),   S(back_idle),
	S(back_ratio),	  S(back_worth), S(back_reserve), S(horizon),	    S(stale),
};

static uint64_t take(struct input *input, size_t bytes)
{
	uint64_t value = 0;

	bytes = GCL_MIN(bytes, input->size);
	memcpy(&value, input->data, bytes);
	input->data += bytes;
	input->size -= bytes;
	return value;
}

static void state_reset(void)
{
	settings = gcl_place_settings;
	for (uint32_t i = 0; i < PLACES; i++)
		places[i] = (struct gcl_place){.name = "place",
					       .remote = i > 0,
					       .memory = UINT64_C(1) << 34,
					       .free = UINT64_C(1) << 33,
					       .demand = i ? 0.1 : 4.,
					       .speed = 1.,
					       .rtt = 1e-3,
					       .bandwidth = 1e9};
	for (uint32_t i = 0; i < TASKS; i++)
		tasks[i] = (struct gcl_place_task){.id = i,
						   .vm = i % VMS,
						   .weight = 1.,
						   .where = i < TASKS / 2 ? 0 : i % PLACES,
						   .kept = true,
						   .started = 100.,
						   .since = 100.,
						   .memory = UINT64_C(1) << 30,
						   .bytes = UINT64_C(1) << 29,
						   .dirty = 1e7,
						   .kernel = 1e-3,
						   .think = 1e-4,
						   .waited = 3e-3};
}

static void field_set(void *at, const struct field *field, struct input *input)
{
	uint64_t value = take(input, field->size);

	/* Other bools can't be. */
	if (field->size == sizeof(bool))
		value &= 1;
	memcpy((uint8_t *)at + field->at, &value, field->size);
}

static void step(struct input *input)
{
	uint8_t kind = (uint8_t)take(input, 1), which = (uint8_t)take(input, 1);

	switch (kind % 8) {
	case 0:
	case 1:
	case 2:
		field_set(&places[kind / 8 % PLACES],
			  &place_fields[which % GCL_ARRAY_SIZE(place_fields)], input);
		break;
	case 3:
		field_set(&settings, &settings_fields[which % GCL_ARRAY_SIZE(settings_fields)],
			  input);
		break;
	default:
		field_set(&tasks[kind / 8 % TASKS],
			  &task_fields[which % GCL_ARRAY_SIZE(task_fields)], input);
		break;
	}
}

static void figures_check(const struct gcl_place_figures *f)
{
	const double numbers[] = {f->here,   f->there,	 f->waiting, f->link, f->demand,
				  f->copied, f->copying, f->pause,   f->lost, f->demand_to,
				  f->saved,  f->score,	 f->horizon};

	for (unsigned i = 0; i < GCL_ARRAY_SIZE(numbers); i++)
		REQUIRE(isfinite(numbers[i]));
}

static void decision_check(const struct gcl_place_view *view,
			   const struct gcl_place_decision *decision)
{
	char text[GCL_EXPLAIN_MAX];
	const struct gcl_place *to;

	REQUIRE(decision->task < TASKS && decision->from < PLACES && decision->to < PLACES);
	REQUIRE(decision->from != decision->to && gcl_place_goes(decision->why));
	REQUIRE(gcl_place_task_sane(view, &tasks[decision->task], VMS));
	to = &places[decision->to];
	REQUIRE(gcl_place_sane(to) && !to->lost && decision->figures.needs <= to->free);
	REQUIRE(!(tasks[decision->task].wants & ~to->can));
	REQUIRE(decision->why == GCL_PLACE_GO_ORDER || !to->draining);
	figures_check(&decision->figures);
	REQUIRE(gcl_explain_text(view, decision, text, sizeof text) < GCL_EXPLAIN_MAX);
	REQUIRE(gcl_explain_json(view, decision, text, sizeof text) < GCL_EXPLAIN_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct gcl_place_plan *plan;
	struct input input = {data, size};
	const struct gcl_place_policy *policy = gcl_place_policies()[take(&input, 1) % 5];
	struct gcl_place_event event = {.kind = (enum gcl_place_event_kind)(take(&input, 1) % 6)};
	struct gcl_place_decision decision;
	struct gcl_place_view view = {.now = 1000.,
				      .places = places,
				      .tasks = tasks,
				      .place_count = PLACES,
				      .task_count = TASKS,
				      .settings = &settings,
				      .uplink = 1e9};

	if (!plan && gcl_place_plan_create(TASKS, PLACES, VMS, &plan))
		abort();
	event.task = (uint32_t)take(&input, 1);
	event.to = (uint32_t)take(&input, 1);
	event.quota = take(&input, 1) & 1;
	event.bytes = take(&input, 8);
	event.quota_left = event.quota ? take(&input, 8) : 0;
	view.moving = (unsigned)take(&input, 1) % 8;
	view.draw = take(&input, 8);
	state_reset();
	for (unsigned i = 0; i < STEPS_MAX && input.size; i++)
		step(&input);
	if (!gcl_place_decide(policy, &view, &event, plan)) {
		for (unsigned i = 0; i < plan->count; i++)
			decision_check(&view, &plan->decisions[i]);
	}
	for (uint32_t i = 0; i < TASKS; i++) {
		if (!gcl_place_consider(policy, &view, i, plan, &decision))
			figures_check(&decision.figures);
	}
	return 0;
}
