// SPDX-License-Identifier: MIT
/*
 * Programs in an intermediate language, their constants, and sub-groups: on a runtime that has
 * none, so that what it doesn't is made up here. The language is OpenCL C behind a word of its own.
 */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "guest.h"
#include "recipe.h"

#define MAGIC "IL: "

static const char il[] = MAGIC "__kernel void k(__global int *a) { *a = 1; }";

/* What the runtime was told last. */
static struct {
	unsigned programs, constants;
	cl_uint constant;
	int value;
	size_t input, input_count;
} told;

/* All three stand before the loader's. */
CL_API_ENTRY cl_program CL_API_CALL clCreateProgramWithIL(cl_context context, const void *text,
							  size_t length, cl_int *status)
{
	const char *source = (const char *)text + strlen(MAGIC);

	if (length <= strlen(MAGIC) || memcmp(text, MAGIC, strlen(MAGIC)) != 0) {
		*status = CL_INVALID_VALUE;
		return NULL;
	}
	told.programs++;
	length -= strlen(MAGIC);
	return clCreateProgramWithSource(context, 1, &source, &length, status);
}

CL_API_ENTRY cl_int CL_API_CALL clSetProgramSpecializationConstant(cl_program program,
								   cl_uint constant, size_t size,
								   const void *value)
{
	(void)program;
	if (constant != 7)
		return CL_INVALID_SPEC_ID;
	if (size != sizeof told.value)
		return CL_INVALID_VALUE;
	told.constants++;
	told.constant = constant;
	memcpy(&told.value, value, size);
	return CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL clGetKernelSubGroupInfo(cl_kernel kernel, cl_device_id device,
							cl_kernel_sub_group_info name,
							size_t input_size, const void *input,
							size_t size, void *value, size_t *size_ret)
{
	const size_t answer[3] = {32, 2, 1};

	(void)kernel;
	(void)device;
	if (name != CL_KERNEL_LOCAL_SIZE_FOR_SUB_GROUP_COUNT)
		return CL_INVALID_VALUE;
	told.input_count = input_size / sizeof told.input;
	memcpy(&told.input, input, sizeof told.input);
	memcpy(value, answer, GCL_MIN(size, sizeof answer));
	if (size_ret)
		*size_ret = sizeof answer;
	return CL_SUCCESS;
}

static uint64_t il_program(struct guest *guest, const char *text, size_t length, cl_int status)
{
	Gcl__ProgramCreateIl message = GCL__PROGRAM_CREATE_IL__INIT;
	const Gcl__BuildAnswer *answer;

	message.id = guest_id(guest, GCL_KIND_PROGRAM);
	message.context = guest->context;
	message.il.data = (uint8_t *)(uintptr_t)text;
	message.il.len = length;
	assert_int_equal(guest_send(guest, GCL_PROGRAM_CREATE_IL, &message), 0);
	answer = guest_answer(guest, GCL_ANSWER_BUILD);
	assert_int_equal(answer->status, status);
	assert_int_equal(answer->exists, status == CL_SUCCESS);
	return message.id;
}

static cl_int specialize(struct guest *guest, uint64_t program, uint32_t constant, size_t size)
{
	static uint8_t value[] = {5, 0, 0, 0};
	Gcl__ProgramSpecialize message = GCL__PROGRAM_SPECIALIZE__INIT;

	message.program = program;
	message.constant = constant;
	message.value.data = value;
	message.value.len = size;
	assert_int_equal(guest_send(guest, GCL_PROGRAM_SPECIALIZE, &message), 0);
	return ((const Gcl__SpecializeAnswer *)guest_answer(guest, GCL_ANSWER_SPECIALIZE))->status;
}

static void programs(void **state)
{
	struct guest *guest = *state;
	uint64_t program = il_program(guest, il, sizeof il - 1, CL_SUCCESS);
	uint64_t kernel;

	assert_int_equal(specialize(guest, program, 8, 4), CL_INVALID_SPEC_ID);
	assert_int_equal(specialize(guest, program, 7, 3), CL_INVALID_VALUE);
	assert_int_equal(specialize(guest, program, 7, 4), CL_SUCCESS);
	assert_int_equal(told.value, 5);
	assert_int_equal(guest_build(guest, program, "")->status, CL_SUCCESS);
	kernel = guest_kernel(guest, program, "k");
	assert_int_equal(guest_failed(guest, kernel), CL_SUCCESS);
	guest_release(guest, kernel);
	guest_release(guest, program);
}

static void tombstones(void **state)
{
	struct guest *guest = *state;
	uint64_t program = il_program(guest, "nonsense", 8, CL_INVALID_VALUE);

	assert_int_equal(specialize(guest, program, 7, 4), CL_INVALID_VALUE);
	guest_release(guest, program);
}

static void sub_groups(void **state)
{
	struct guest *guest = *state;
	uint64_t program = il_program(guest, il, sizeof il - 1, CL_SUCCESS);
	Gcl__SubGroupAsk message = GCL__SUB_GROUP_ASK__INIT;
	uint64_t inputs[] = {64, 0, 0, 0};
	const Gcl__SizesAnswer *answer;

	guest_build(guest, program, "");
	message.kernel = guest_kernel(guest, program, "k");
	message.device = guest->device;
	message.name = CL_KERNEL_LOCAL_SIZE_FOR_SUB_GROUP_COUNT;
	message.inputs = inputs;
	message.n_inputs = 1;
	message.outputs = 3;
	assert_int_equal(guest_send(guest, GCL_SUB_GROUP_ASK, &message), 0);
	answer = guest_answer(guest, GCL_ANSWER_SIZES);
	assert_int_equal(answer->status, CL_SUCCESS);
	assert_int_equal(answer->n_outputs, 3);
	assert_int_equal(answer->outputs[1], 2);
	assert_int_equal(told.input, 64);
	assert_int_equal(told.input_count, 1);
	message.name = 0x7dea;
	assert_int_equal(guest_send(guest, GCL_SUB_GROUP_ASK, &message), 0);
	answer = guest_answer(guest, GCL_ANSWER_SIZES);
	assert_int_equal(answer->status, CL_INVALID_VALUE);
	assert_int_equal(answer->n_outputs, 0);
	guest_release(guest, message.kernel);
	guest_release(guest, program);
}

/* A program made again has the same constants, whatever was built in between. */
static void recipes(void **state)
{
	struct guest *guest = *state;
	const struct gcl_entry *context =
		gcl_table_find(&guest->worker, guest->context, GCL_KIND_CONTEXT);
	const struct gcl_entry *device =
		gcl_table_find(&guest->worker, guest->device, GCL_KIND_DEVICE);
	struct gcl_recipe *source = gcl_recipe_il(il, sizeof il - 1);
	struct gcl_recipe *first = gcl_recipe_build(source, 1, "");
	const int value = 11;
	struct gcl_recipe *special = gcl_recipe_specialize(first, 7, &value, sizeof value);
	struct gcl_recipe *built = gcl_recipe_build(special, 1, "");
	cl_program program = NULL;

	assert_false(gcl_recipe_executable(special));
	assert_true(gcl_recipe_executable(built));
	memset(&told, 0, sizeof told);
	assert_int_equal(gcl_recipe_make(built, context->handle, device->handle, &program),
			 CL_SUCCESS);
	assert_int_equal(told.programs, 1);
	assert_int_equal(told.constants, 1);
	assert_int_equal(told.value, value);
	clReleaseProgram(program);
	gcl_recipe_put(built);
	gcl_recipe_put(special);
	gcl_recipe_put(first);
	gcl_recipe_put(source);
	assert_int_equal(gcl_recipes_held(), 0);
}

/* What no correct guest sends. */
static void hostile(void **state)
{
	struct guest *guest = *state;
	Gcl__SubGroupAsk ask = GCL__SUB_GROUP_ASK__INIT;
	Gcl__ProgramCreateIl create = GCL__PROGRAM_CREATE_IL__INIT;
	Gcl__ProgramSpecialize constant = GCL__PROGRAM_SPECIALIZE__INIT;

	assert_int_equal(guest_send(guest, GCL_SUB_GROUP_ASK, &ask), -EPROTO);
	create.id = guest_id(guest, GCL_KIND_PROGRAM);
	create.context = guest->context;
	assert_int_equal(guest_send(guest, GCL_PROGRAM_CREATE_IL, &create), -EPROTO);
	constant.program = guest->context;
	assert_int_equal(guest_send(guest, GCL_PROGRAM_SPECIALIZE, &constant), -EPROTO);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs),   cmocka_unit_test(tombstones),
		cmocka_unit_test(sub_groups), cmocka_unit_test(recipes),
		cmocka_unit_test(hostile),
	};

	return cmocka_run_group_tests(tests, guest_setup, guest_teardown);
}
