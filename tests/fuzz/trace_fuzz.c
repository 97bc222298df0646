// SPDX-License-Identifier: MIT
/*
 * Fuzzing the simulator's traces: what is read is within bounds, and is read again as it is
 * written.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sim.h"

#define REQUIRE(c) ((c) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void spec_check(const struct sim_trace *trace, const struct sim_spec *spec)
{
	REQUIRE(spec->host < trace->hosts && spec->vm < trace->vms);
	REQUIRE(spec->commands >= 1. && spec->kernel > 0. && isfinite(spec->commands));
	REQUIRE(spec->at >= 0. && spec->at <= SIM_END && spec->grow_at <= 1.);
}

static void same_check(const struct sim_trace *trace)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_fclose_ FILE *back = NULL;
	struct sim_trace again;
	const char *fault;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	REQUIRE(out);
	sim_trace_write(out, trace);
	fclose(out);
	back = fmemopen(text, size, "r");
	REQUIRE(back && !sim_trace_read(back, &again, &fault) && again.count == trace->count);
	for (uint32_t i = 0; i < trace->count; i++) {
		REQUIRE(again.specs[i].memory == trace->specs[i].memory);
		REQUIRE(again.specs[i].kernel == trace->specs[i].kernel);
		REQUIRE(again.specs[i].vm == trace->specs[i].vm);
		REQUIRE(again.specs[i].kept == trace->specs[i].kept);
	}
	free(again.specs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_fclose_ FILE *stream = NULL;
	_cleanup_free_ uint8_t *copy = malloc(size + 1);
	struct sim_trace trace;
	const char *fault = NULL;
	unsigned line;

	if (!size || !copy)
		return 0;
	memcpy(copy, data, size);
	stream = fmemopen(copy, size, "r");
	REQUIRE(stream);
	line = sim_trace_read(stream, &trace, &fault);
	REQUIRE(!line == !fault);
	for (uint32_t i = 0; i < trace.count; i++)
		spec_check(&trace, &trace.specs[i]);
	if (!line)
		same_check(&trace);
	free(trace.specs);
	return 0;
}
