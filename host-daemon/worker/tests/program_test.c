/*
 * Programs: builds and their answers, compiling and linking, binaries.
 */
#include "guest.h"
#include "program.h"

#include <errno.h>
#include <string.h>

static const char two_kernels[] =
	"typedef float real;\n"
	"struct pair { int a, b; };\n"
	"__attribute__((reqd_work_group_size(4, 2, 1)))\n"
	"__kernel void first(__global float *out, uint n, real x, float3 v, struct pair p,\n"
	"                    __local int *scratch, __constant int *table)\n"
	"{ out[get_global_id(0)] = n * x + v.x + p.a + scratch[0] + table[0]; }\n"
	"__kernel void second(read_only image2d_t image, sampler_t s, const __global int *in)\n"
	"{ }\n";

static void type_sizes(void **state)
{
	(void)state;
	assert_int_equal(gcl_type_size("char"), 1);
	assert_int_equal(gcl_type_size("ushort"), 2);
	assert_int_equal(gcl_type_size("half"), 2);
	assert_int_equal(gcl_type_size("unsigned int"), 4);
	assert_int_equal(gcl_type_size("ulong16"), 128);
	assert_int_equal(gcl_type_size("float3"), 16);
	assert_int_equal(gcl_type_size("double2"), 16);
	assert_int_equal(gcl_type_size("float5"), 0);
	assert_int_equal(gcl_type_size("float*"), 0);
	assert_int_equal(gcl_type_size("struct pair"), 0);
	assert_int_equal(gcl_type_size("size_t"), 0);
	assert_int_equal(gcl_type_size("16"), 0);
	assert_int_equal(gcl_type_size(""), 0);
}

static const Gcl__KernelInfo *kernel_info(const Gcl__BuildAnswer *answer, const char *name)
{
	for (size_t i = 0; i < answer->n_kernels; i++) {
		if (!strcmp(answer->kernels[i]->name, name))
			return answer->kernels[i];
	}
	fail_msg("no kernel %s in the answer", name);
	return NULL;
}

static void signatures(void **state)
{
	static const struct {
		const char *name, *type;
		enum gcl_arg_kind kind;
		size_t size;
	} expected[] = {
		{"out", "float*", GCL_ARG_BUFFER, 0},	{"n", "uint", GCL_ARG_VALUE, 4},
		{"x", "real", GCL_ARG_VALUE, 0},	{"v", "float3", GCL_ARG_VALUE, 16},
		{"p", "struct pair", GCL_ARG_VALUE, 0}, {"scratch", "int*", GCL_ARG_LOCAL, 0},
		{"table", "int*", GCL_ARG_BUFFER, 0},
	};
	struct guest *guest = *state;
	uint64_t program = guest_program(guest, two_kernels);
	const Gcl__BuildAnswer *answer = guest_build(guest, program, "-DX=1");
	const Gcl__KernelInfo *first = kernel_info(answer, "first");
	const Gcl__KernelInfo *second = kernel_info(answer, "second");

	assert_int_equal(answer->status, CL_SUCCESS);
	assert_true(answer->exists);
	assert_int_equal(answer->n_devices, 1);
	assert_int_equal(answer->devices[0]->device, guest->device);
	assert_int_equal(answer->devices[0]->build_status, CL_BUILD_SUCCESS);
	assert_int_equal(answer->devices[0]->binary_type, CL_PROGRAM_BINARY_TYPE_EXECUTABLE);
	assert_int_equal(answer->n_kernels, 2);

	assert_int_equal(first->n_args, GCL_ARRAY_SIZE(expected));
	for (size_t i = 0; i < first->n_args; i++) {
		assert_string_equal(first->args[i]->name, expected[i].name);
		assert_string_equal(first->args[i]->type_name, expected[i].type);
		assert_int_equal(first->args[i]->kind, expected[i].kind);
		assert_int_equal(first->args[i]->size, expected[i].size);
		assert_true(first->args[i]->has_info);
	}
	assert_int_equal(first->n_devices, 1);
	assert_true(first->devices[0]->work_group_size > 0);
	assert_int_equal(first->devices[0]->n_compile_work_group_size, 3);
	assert_int_equal(first->devices[0]->compile_work_group_size[1], 2);
	assert_int_equal(second->args[0]->kind, GCL_ARG_IMAGE);
	assert_int_equal(second->args[0]->access, CL_KERNEL_ARG_ACCESS_READ_ONLY);
	assert_int_equal(second->args[1]->kind, GCL_ARG_SAMPLER);
	assert_int_equal(second->args[2]->type_qualifier, CL_KERNEL_ARG_TYPE_CONST);
	guest_release(guest, program);
}

static void failures(void **state)
{
	struct guest *guest = *state;
	uint64_t program = guest_program(guest, "__kernel void k() { nonsense; }");
	const Gcl__BuildAnswer *answer = guest_build(guest, program, "");
	uint64_t kernel;

	assert_int_equal(answer->status, CL_BUILD_PROGRAM_FAILURE);
	assert_true(answer->exists);
	assert_int_equal(answer->devices[0]->build_status, CL_BUILD_ERROR);
	assert_non_null(
		memmem(answer->devices[0]->log.data, answer->devices[0]->log.len, "nonsense", 8));
	assert_int_equal(answer->n_kernels, 0);
	kernel = guest_kernel(guest, program, "k");
	assert_int_equal(guest_failed(guest, kernel), CL_INVALID_PROGRAM_EXECUTABLE);
	guest_release(guest, kernel);

	answer = guest_build(guest, program, "-no-such-option");
	assert_int_equal(answer->status, CL_INVALID_BUILD_OPTIONS);
	guest_release(guest, program);
}

static void released_while_building(void **state)
{
	struct guest *guest = *state;
	uint64_t program = guest_program(guest, two_kernels);
	Gcl__ProgramBuild message = GCL__PROGRAM_BUILD__INIT;
	uint64_t request;

	message.program = program;
	message.options = (char *)"-DY=2";
	assert_int_equal(guest_send(guest, GCL_PROGRAM_BUILD, &message), 0);
	request = guest->sequence;
	guest_release(guest, program);
	assert_non_null(guest_wait(guest, GCL_ANSWER_BUILD, request, 60));
}

/* Kernels that were made for the answer are gone: the program can be built again. */
static void built_again(void **state)
{
	struct guest *guest = *state;
	uint64_t program = guest_program(guest, two_kernels);

	assert_int_equal(guest_build(guest, program, "")->status, CL_SUCCESS);
	assert_int_equal(guest_build(guest, program, "-DZ=3")->status, CL_SUCCESS);
	guest_release(guest, program);
}

/* More builds than the pool has threads; each answer tells of its own program. */
static void at_once(void **state)
{
	enum { BUILDS = 8 };
	struct guest *guest = *state;
	uint64_t programs[BUILDS], requests[BUILDS];
	char text[64];

	for (int i = 0; i < BUILDS; i++) {
		Gcl__ProgramBuild message = GCL__PROGRAM_BUILD__INIT;

		snprintf(text, sizeof text, "__kernel void k%d() { }", i);
		programs[i] = guest_program(guest, text);
		message.program = programs[i];
		assert_int_equal(guest_send(guest, GCL_PROGRAM_BUILD, &message), 0);
		requests[i] = guest->sequence;
	}
	for (int i = 0; i < BUILDS; i++) {
		const struct mail *mail = guest_wait(guest, GCL_ANSWER_BUILD, requests[i], 60);
		const Gcl__BuildAnswer *answer;

		assert_non_null(mail);
		answer = (const Gcl__BuildAnswer *)mail->message;
		assert_int_equal(answer->status, CL_SUCCESS);
		snprintf(text, sizeof text, "k%d", i);
		assert_string_equal(answer->kernels[0]->name, text);
		guest_release(guest, programs[i]);
	}
}

/* The session ends with builds under way and builds that have not begun. */
static void left_behind(void **state)
{
	void *other;

	(void)state;
	guest_setup(&other);
	for (int i = 0; i < 8; i++) {
		Gcl__ProgramBuild message = GCL__PROGRAM_BUILD__INIT;

		message.program = guest_program(other, two_kernels);
		assert_int_equal(guest_send(other, GCL_PROGRAM_BUILD, &message), 0);
	}
	guest_teardown(&other);
}

static const Gcl__BuildAnswer *compile(struct guest *guest, uint64_t program, uint64_t *header,
				       char **name)
{
	Gcl__ProgramCompile message = GCL__PROGRAM_COMPILE__INIT;

	message.program = program;
	message.headers = header;
	message.header_names = name;
	message.n_headers = message.n_header_names = header ? 1 : 0;
	assert_int_equal(guest_send(guest, GCL_PROGRAM_COMPILE, &message), 0);
	return guest_answer(guest, GCL_ANSWER_BUILD);
}

static void compile_and_link(void **state)
{
	struct guest *guest = *state;
	uint64_t header = guest_program(guest, "int twice(int x);\n#define FIVE 5\n");
	uint64_t inputs[] = {
		guest_program(guest, "#include \"twice.h\"\n"
				     "__kernel void k(__global int *a) { *a = twice(FIVE); }"),
		guest_program(guest, "int twice(int x) { return 2 * x; }"),
	};
	Gcl__ProgramLink message = GCL__PROGRAM_LINK__INIT;
	char *name = (char *)"twice.h";
	const Gcl__BuildAnswer *answer;
	uint64_t kernel;

	answer = compile(guest, inputs[0], &header, &name);
	assert_int_equal(answer->status, CL_SUCCESS);
	assert_int_equal(answer->devices[0]->binary_type, CL_PROGRAM_BINARY_TYPE_COMPILED_OBJECT);
	assert_int_equal(answer->n_kernels, 0);
	assert_int_equal(compile(guest, inputs[1], NULL, NULL)->status, CL_SUCCESS);

	message.id = guest_id(guest, GCL_KIND_PROGRAM);
	message.context = guest->context;
	message.inputs = inputs;
	message.n_inputs = 2;
	assert_int_equal(guest_send(guest, GCL_PROGRAM_LINK, &message), 0);
	answer = guest_answer(guest, GCL_ANSWER_BUILD);
	assert_int_equal(answer->status, CL_SUCCESS);
	assert_true(answer->exists);
	assert_int_equal(answer->n_kernels, 1);
	assert_int_equal(answer->kernels[0]->args[0]->kind, GCL_ARG_BUFFER);
	kernel = guest_kernel(guest, message.id, "k");
	assert_int_equal(guest_failed(guest, kernel), CL_SUCCESS);
	guest_release(guest, kernel);
	guest_release(guest, message.id);

	/* Without the function that it calls. */
	message.id = guest_id(guest, GCL_KIND_PROGRAM);
	message.n_inputs = 1;
	assert_int_equal(guest_send(guest, GCL_PROGRAM_LINK, &message), 0);
	answer = guest_answer(guest, GCL_ANSWER_BUILD);
	if (!answer->exists)
		assert_true(answer->status < 0);
	guest_release(guest, message.id);
}

static void hostile(void **state)
{
	struct guest *guest = *state;
	Gcl__ProgramLink message = GCL__PROGRAM_LINK__INIT;
	Gcl__ProgramCompile compile_message = GCL__PROGRAM_COMPILE__INIT;
	Gcl__KernelCreate kernel = GCL__KERNEL_CREATE__INIT;
	uint64_t input = guest_program(guest, "int f(void) { return 1; }");
	uint64_t request;

	assert_int_equal(compile(guest, input, NULL, NULL)->status, CL_SUCCESS);
	message.id = guest_id(guest, GCL_KIND_PROGRAM);
	message.context = guest->context;
	assert_int_equal(guest_send(guest, GCL_PROGRAM_LINK, &message), -EPROTO);
	message.inputs = &input;
	message.n_inputs = 1;
	assert_int_equal(guest_send(guest, GCL_PROGRAM_LINK, &message), 0);
	request = guest->sequence;
	/* Released before anyone saw it. */
	guest_release(guest, message.id);
	assert_non_null(guest_wait(guest, GCL_ANSWER_BUILD, request, 60));

	compile_message.program = input;
	compile_message.headers = &input;
	compile_message.n_headers = 1;
	assert_int_equal(guest_send(guest, GCL_PROGRAM_COMPILE, &compile_message), -EPROTO);
	kernel.id = guest_id(guest, GCL_KIND_KERNEL);
	kernel.program = guest->context;
	assert_int_equal(guest_send(guest, GCL_KERNEL_CREATE, &kernel), -EPROTO);
}

static const Gcl__BinariesAnswer *binaries(struct guest *guest, uint64_t program)
{
	Gcl__ProgramBinaries message = GCL__PROGRAM_BINARIES__INIT;

	message.program = program;
	assert_int_equal(guest_send(guest, GCL_PROGRAM_BINARIES, &message), 0);
	return guest_answer(guest, GCL_ANSWER_BINARIES);
}

static void from_binary(void **state)
{
	struct guest *guest = *state;
	uint64_t source = guest_program(guest, "__kernel void k(__global int *a) { *a = 3; }");
	Gcl__ProgramCreateBinary message = GCL__PROGRAM_CREATE_BINARY__INIT;
	const Gcl__BinariesAnswer *answer;
	const Gcl__BuildAnswer *created;

	assert_int_equal(guest_build(guest, source, "")->status, CL_SUCCESS);
	answer = binaries(guest, source);
	assert_int_equal(answer->status, CL_SUCCESS);
	assert_int_equal(answer->n_binaries, 1);
	assert_int_equal(answer->devices[0], guest->device);
	assert_true(answer->binaries[0].len > 0);

	message.id = guest_id(guest, GCL_KIND_PROGRAM);
	message.context = guest->context;
	message.devices = &guest->device;
	message.n_devices = 1;
	message.binaries = answer->binaries;
	message.n_binaries = 1;
	assert_int_equal(guest_send(guest, GCL_PROGRAM_CREATE_BINARY, &message), 0);
	created = guest_answer(guest, GCL_ANSWER_BUILD);
	assert_int_equal(created->status, CL_SUCCESS);
	assert_int_equal(created->devices[0]->binary_status, CL_SUCCESS);
	created = guest_build(guest, message.id, "");
	assert_int_equal(created->status, CL_SUCCESS);
	assert_int_equal(created->n_kernels, 1);
	assert_int_equal(created->kernels[0]->args[0]->kind, GCL_ARG_BUFFER);
	assert_true(guest->worker.may_print);

	message.n_binaries = 0;
	message.id = guest_id(guest, GCL_KIND_PROGRAM);
	assert_int_equal(guest_send(guest, GCL_PROGRAM_CREATE_BINARY, &message), -EPROTO);
}

static uint64_t held(const struct guest *guest)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++)
		sum += gcl_page_read(&guest->worker.page->held[i]);
	return sum;
}

/* Nobody is there to ask for more: beyond a limit everything is refused. */
static void limit_set(struct guest *guest, uint64_t limit)
{
	guest->worker.quota.limit = limit;
}

/* What is built is counted, until the program and its kernels have gone. */
static void counted(void **state)
{
	struct guest *guest = *state;
	uint64_t program = guest_program(guest, "__kernel void k() { }"), kernel;
	uint64_t before = held(guest), with;

	guest->worker.program_sizes = GCL_PROGRAM_SIZES_ALWAYS;
	assert_int_equal(guest_build(guest, program, "")->status, CL_SUCCESS);
	with = held(guest);
	assert_true(with > before);
	kernel = guest_kernel(guest, program, "k");
	guest_release(guest, program);
	assert_int_equal(held(guest), with);
	guest_release(guest, kernel);
	assert_int_equal(held(guest), before);
	guest->worker.program_sizes = GCL_PROGRAM_SIZES_AUTO;
}

/* Too large a one is as good as not built, and can be built when there is room. */
static void too_large(void **state)
{
	struct guest *guest = *state;
	uint64_t program = guest_program(guest, "__kernel void k() { }"), kernel;
	Gcl__ProgramLink link = GCL__PROGRAM_LINK__INIT;
	uint64_t before = held(guest);
	const Gcl__BuildAnswer *answer;

	guest->worker.program_sizes = GCL_PROGRAM_SIZES_ALWAYS;
	limit_set(guest, 1);
	for (int i = 0; i < 2; i++) {
		answer = guest_build(guest, program, "");
		assert_int_equal(answer->status, CL_OUT_OF_RESOURCES);
		assert_int_equal(answer->n_kernels, 0);
		assert_int_equal(answer->devices[0]->build_status, CL_BUILD_NONE);
		assert_int_equal(held(guest), before);
	}
	kernel = guest_kernel(guest, program, "k");
	assert_int_equal(guest_failed(guest, kernel), CL_INVALID_PROGRAM_EXECUTABLE);
	guest_release(guest, kernel);
	limit_set(guest, 0);
	assert_int_equal(compile(guest, program, NULL, NULL)->status, CL_SUCCESS);

	limit_set(guest, 1);
	link.id = guest_id(guest, GCL_KIND_PROGRAM);
	link.context = guest->context;
	link.inputs = &program;
	link.n_inputs = 1;
	assert_int_equal(guest_send(guest, GCL_PROGRAM_LINK, &link), 0);
	answer = guest_answer(guest, GCL_ANSWER_BUILD);
	assert_int_equal(answer->status, CL_OUT_OF_RESOURCES);
	assert_false(answer->exists);
	guest_release(guest, link.id);
	limit_set(guest, 0);
	assert_int_equal(guest_build(guest, program, "")->n_kernels, 1);
	guest_release(guest, program);
	assert_int_equal(held(guest), before);
	guest->worker.program_sizes = GCL_PROGRAM_SIZES_AUTO;
}

static void bad_binary(void **state)
{
	struct guest *guest = *state;
	Gcl__ProgramCreateBinary message = GCL__PROGRAM_CREATE_BINARY__INIT;
	ProtobufCBinaryData binary = {.data = (uint8_t *)"rubbish", .len = 7};
	const Gcl__BuildAnswer *answer;

	message.id = guest_id(guest, GCL_KIND_PROGRAM);
	message.context = guest->context;
	message.devices = &guest->device;
	message.n_devices = 1;
	message.binaries = &binary;
	message.n_binaries = 1;
	assert_int_equal(guest_send(guest, GCL_PROGRAM_CREATE_BINARY, &message), 0);
	answer = guest_answer(guest, GCL_ANSWER_BUILD);
	assert_int_equal(answer->status, CL_INVALID_BINARY);
	assert_int_equal(answer->devices[0]->binary_status, CL_INVALID_BINARY);
	assert_false(answer->exists);
	assert_int_equal(guest_failed(guest, message.id), CL_INVALID_BINARY);
	/* A tombstone answers as what it is. */
	assert_int_equal(guest_build(guest, message.id, "")->status, CL_INVALID_BINARY);
	assert_int_equal(binaries(guest, message.id)->status, CL_INVALID_BINARY);
	guest_release(guest, message.id);
}

static void built_in(void **state)
{
	struct guest *guest = *state;
	Gcl__ProgramCreateBuiltIn message = GCL__PROGRAM_CREATE_BUILT_IN__INIT;
	const Gcl__BuildAnswer *answer;

	message.id = guest_id(guest, GCL_KIND_PROGRAM);
	message.context = guest->context;
	message.devices = &guest->device;
	message.n_devices = 1;
	message.names = (char *)"no.such.kernel";
	assert_int_equal(guest_send(guest, GCL_PROGRAM_CREATE_BUILT_IN, &message), 0);
	answer = guest_answer(guest, GCL_ANSWER_BUILD);
	assert_true(answer->status < 0);
	assert_false(answer->exists);
	guest_release(guest, message.id);
}

static void printing(void **state)
{
	struct guest *guest = *state;
	uint64_t program;

	guest->worker.may_print = false;
	guest_program(guest, "__kernel void quiet() { }");
	assert_false(guest->worker.may_print);
	guest_program(guest, "__kernel void loud() { printf(\"!\"); }");
	assert_true(guest->worker.may_print);

	guest->worker.may_print = false;
	program = guest_program(guest, "__kernel void hidden() { P(\"!\"); }");
	assert_false(guest->worker.may_print);
	assert_int_equal(guest_build(guest, program, "-DP=printf")->status, CL_SUCCESS);
	assert_true(guest->worker.may_print);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(type_sizes),  cmocka_unit_test(signatures),
		cmocka_unit_test(failures),    cmocka_unit_test(released_while_building),
		cmocka_unit_test(built_again), cmocka_unit_test(compile_and_link),
		cmocka_unit_test(hostile),     cmocka_unit_test(from_binary),
		cmocka_unit_test(bad_binary),  cmocka_unit_test(counted),
		cmocka_unit_test(too_large),   cmocka_unit_test(built_in),
		cmocka_unit_test(printing),    cmocka_unit_test(at_once),
		cmocka_unit_test(left_behind),
	};

	return cmocka_run_group_tests(tests, guest_setup, guest_teardown);
}
