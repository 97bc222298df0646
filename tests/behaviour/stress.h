/* SPDX-License-Identifier: MIT */
/*
 * What a thread of the stress test is, and its tasks.
 */
#ifndef GCL_TESTS_BEHAVIOUR_STRESS_H
#define GCL_TESTS_BEHAVIOUR_STRESS_H

#include "harness.h"

struct stress {
	const struct fixture *fix;
	cl_program program;
	const char *source;
	cl_command_queue queue;
	unsigned seconds;
	uint64_t state; /* of the random numbers */
	unsigned done;	/* tasks */
	/* The first thing that was wrong, by its place in the source, and the call's code. */
	const char *failed;
	cl_int code;
};

/** stress_task() - one task, drawn at random; sets @failed if its outcome is wrong. */
void stress_task(struct stress *s);

#endif
