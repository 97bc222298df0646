/*
 * Kernels and probes of their arguments.
 */
#include "guest.h"

#include <errno.h>

static const char source[] = "struct five { char c[5]; };\n"
			     "__kernel void k(__global int *a, int n, struct five s, __local int "
			     "*l) { *a = n + s.c[0]; }";

static cl_int probe(struct guest *guest, uint64_t kernel, uint32_t index, uint64_t size)
{
	Gcl__ArgProbe message = GCL__ARG_PROBE__INIT;

	message.kernel = kernel;
	message.index = index;
	message.size = size;
	assert_int_equal(guest_send(guest, GCL_ARG_PROBE, &message), 0);
	return ((const Gcl__ArgProbeAnswer *)guest_answer(guest, GCL_ANSWER_ARG_PROBE))->status;
}

static void probes(void **state)
{
	struct guest *guest = *state;
	uint64_t program = guest_program(guest, source);
	uint64_t kernel;

	guest_build(guest, program, "");
	kernel = guest_kernel(guest, program, "k");
	assert_int_equal(guest_failed(guest, kernel), CL_SUCCESS);
	assert_int_equal(probe(guest, kernel, 0, sizeof(cl_mem)), CL_SUCCESS);
	assert_int_equal(probe(guest, kernel, 0, 4), CL_INVALID_ARG_SIZE);
	assert_int_equal(probe(guest, kernel, 1, 4), CL_SUCCESS);
	assert_int_equal(probe(guest, kernel, 1, 8), CL_INVALID_ARG_SIZE);
	assert_int_equal(probe(guest, kernel, 1, 0), CL_INVALID_ARG_SIZE);
	assert_int_equal(probe(guest, kernel, 2, 5), CL_SUCCESS);
	assert_int_equal(probe(guest, kernel, 2, GCL_INLINE_MAX + 1), CL_INVALID_ARG_SIZE);
	assert_int_equal(probe(guest, kernel, 3, 1024), CL_SUCCESS);
	assert_int_equal(probe(guest, kernel, 3, 0), CL_INVALID_ARG_SIZE);
	guest_release(guest, kernel);
	guest_release(guest, program);
}

static void tombstones(void **state)
{
	struct guest *guest = *state;
	uint64_t program = guest_program(guest, source);
	uint64_t kernel = guest_kernel(guest, program, "k");

	assert_int_equal(guest_failed(guest, kernel), CL_INVALID_PROGRAM_EXECUTABLE);
	assert_int_equal(probe(guest, kernel, 0, 8), CL_INVALID_PROGRAM_EXECUTABLE);
	guest_release(guest, kernel);

	guest_build(guest, program, "");
	kernel = guest_kernel(guest, program, "absent");
	assert_int_equal(guest_failed(guest, kernel), CL_INVALID_KERNEL_NAME);
	guest_release(guest, kernel);
	guest_release(guest, program);
}

static void hostile(void **state)
{
	struct guest *guest = *state;
	uint64_t program = guest_program(guest, source);
	Gcl__ArgProbe message = GCL__ARG_PROBE__INIT;

	guest_build(guest, program, "");
	message.kernel = guest_kernel(guest, program, "k");
	message.index = 4;
	message.size = 4;
	assert_int_equal(guest_send(guest, GCL_ARG_PROBE, &message), -EPROTO);
	message.kernel = program;
	assert_int_equal(guest_send(guest, GCL_ARG_PROBE, &message), -EPROTO);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(probes),
		cmocka_unit_test(tombstones),
		cmocka_unit_test(hostile),
	};

	return cmocka_run_group_tests(tests, guest_setup, guest_teardown);
}
