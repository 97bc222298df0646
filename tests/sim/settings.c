// SPDX-License-Identifier: MIT
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sim.h"

#define SETTING(name)                                                                              \
	{                                                                                          \
#name, offsetof(struct gcl_place_settings, name)                                   \
	}

static const struct {
	const char *name;
	size_t at;
} numbers[] = {
	SETTING(stay_min),   SETTING(span),	  SETTING(go_demand),	 SETTING(go_ratio),
	SETTING(flee_ratio), SETTING(go_margin),  SETTING(back_demand),	 SETTING(back_idle),
	SETTING(back_ratio), SETTING(back_worth), SETTING(back_reserve), SETTING(horizon),
	SETTING(stale),
};

static const struct {
	const char *name;
	size_t at;
} counts[] = {
	SETTING(moves_at_once),
	SETTING(moves_in_span),
};

bool sim_set(struct gcl_place_settings *settings, const char *text)
{
	const char *equals = strchr(text, '=');
	size_t length = equals ? (size_t)(equals - text) : 0;
	double value;
	char *end;

	if (!equals || !equals[1])
		return false;
	value = strtod(equals + 1, &end);
	if (*end || !(value >= 0. && value <= 1e9))
		return false;
	for (unsigned i = 0; i < GCL_ARRAY_SIZE(numbers); i++) {
		if (strlen(numbers[i].name) == length && !strncmp(numbers[i].name, text, length)) {
			*(double *)(void *)((char *)settings + numbers[i].at) = value;
			return true;
		}
	}
	for (unsigned i = 0; i < GCL_ARRAY_SIZE(counts); i++) {
		if (strlen(counts[i].name) == length && !strncmp(counts[i].name, text, length)) {
			*(unsigned *)(void *)((char *)settings + counts[i].at) = (unsigned)value;
			return true;
		}
	}
	return false;
}
