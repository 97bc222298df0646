// SPDX-License-Identifier: MIT
/*
 * Recipes: what a guest's programs are is made again in another context, which stands for another
 * side. That is one of another platform where the loader has one with the same device (such as
 * guestcl's, through which the host's comes back).
 */
#include "guest.h"
#include "program.h"
#include "recipe.h"

#include <errno.h>
#include <string.h>

/* The other side. */
static cl_context there;
static cl_device_id device;

static cl_device_id device_elsewhere(cl_device_id home)
{
	cl_platform_id platforms[16];
	char wanted[256] = "", name[256] = "";
	cl_device_id found;
	cl_uint count = 0;

	clGetDeviceInfo(home, CL_DEVICE_NAME, sizeof wanted, wanted, NULL);
	clGetPlatformIDs(16, platforms, &count);
	for (cl_uint i = 0; i < GCL_MIN(count, 16u); i++) {
		if (clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 1, &found, NULL) ||
		    found == home)
			continue;
		clGetDeviceInfo(found, CL_DEVICE_NAME, sizeof name, name, NULL);
		if (strcmp(name, wanted) == 0) {
			print_message("the other side is another platform's\n");
			return found;
		}
	}
	return home;
}

static int setup(void **state)
{
	struct guest *guest;

	if (guest_setup(state))
		return -1;
	guest = *state;
	guest->worker.client = "libguestcl.so";
	device = device_elsewhere(
		gcl_table_find(&guest->worker, guest->device, GCL_KIND_DEVICE)->handle);
	there = clCreateContext(NULL, 1, &device, NULL, NULL, NULL);
	return there ? 0 : -1;
}

static int teardown(void **state)
{
	clReleaseContext(there);
	guest_teardown(state);
	return gcl_recipes_held() ? -1 : 0;
}

static struct gcl_program *detail(struct guest *guest, uint64_t program)
{
	return gcl_table_find(&guest->worker, program, GCL_KIND_PROGRAM)->detail;
}

static const struct gcl_kernel *kernel_detail(struct guest *guest, uint64_t kernel)
{
	return gcl_table_find(&guest->worker, kernel, GCL_KIND_KERNEL)->detail;
}

/* What kernel "k" of @program, of @where, writes. */
static int ran_in(cl_context where, cl_program program)
{
	cl_command_queue queue = clCreateCommandQueue(where, device, 0, NULL);
	cl_mem buffer = clCreateBuffer(where, CL_MEM_READ_WRITE, sizeof(int), NULL, NULL);
	cl_kernel kernel = clCreateKernel(program, "k", NULL);
	size_t one = 1;
	int value = 0;

	assert_non_null(kernel);
	assert_int_equal(clSetKernelArg(kernel, 0, sizeof(cl_mem), (const void *)&buffer), 0);
	assert_int_equal(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &one, NULL, 0, NULL, NULL),
			 0);
	assert_int_equal(
		clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, sizeof value, &value, 0, NULL, NULL),
		0);
	clReleaseKernel(kernel);
	clReleaseMemObject(buffer);
	clReleaseCommandQueue(queue);
	return value;
}

/* What it writes when it is made by @recipe. */
static int ran(struct gcl_recipe *recipe)
{
	cl_program program;
	int value;

	assert_true(gcl_recipe_executable(recipe));
	assert_int_equal(gcl_recipe_make(recipe, there, device, &program), CL_SUCCESS);
	value = ran_in(there, program);
	clReleaseProgram(program);
	return value;
}

static int ran_program(struct guest *guest, uint64_t program)
{
	struct gcl_recipe *recipe = gcl_program_recipe(detail(guest, program));
	int value = ran(recipe);

	gcl_recipe_put(recipe);
	return value;
}

static bool executable(struct guest *guest, uint64_t program)
{
	struct gcl_recipe *recipe = gcl_program_recipe(detail(guest, program));
	bool is = gcl_recipe_executable(recipe);

	gcl_recipe_put(recipe);
	return is;
}

static cl_int made(struct gcl_recipe *recipe)
{
	cl_program program;
	cl_int status = gcl_recipe_make(recipe, there, device, &program);

	assert_true((status == CL_SUCCESS) == (program != NULL));
	if (program)
		clReleaseProgram(program);
	return status;
}

static cl_int compile(struct guest *guest, uint64_t program, const char *options, uint64_t *headers,
		      char **names, size_t count)
{
	Gcl__ProgramCompile message = GCL__PROGRAM_COMPILE__INIT;

	message.program = program;
	message.options = (char *)(uintptr_t)options;
	message.headers = headers;
	message.header_names = names;
	message.n_headers = message.n_header_names = count;
	assert_int_equal(guest_send(guest, GCL_PROGRAM_COMPILE, &message), 0);
	return ((const Gcl__BuildAnswer *)guest_answer(guest, GCL_ANSWER_BUILD))->status;
}

/* The new program, or 0. */
static uint64_t link_with(struct guest *guest, const char *options, uint64_t *inputs, size_t count)
{
	Gcl__ProgramLink message = GCL__PROGRAM_LINK__INIT;
	const Gcl__BuildAnswer *answer;

	message.id = guest_id(guest, GCL_KIND_PROGRAM);
	message.context = guest->context;
	message.options = (char *)(uintptr_t)options;
	message.inputs = inputs;
	message.n_inputs = count;
	assert_int_equal(guest_send(guest, GCL_PROGRAM_LINK, &message), 0);
	answer = guest_answer(guest, GCL_ANSWER_BUILD);
	if (answer->status == CL_SUCCESS && gcl_program_find(&guest->worker, message.id)->handle)
		return message.id;
	guest_release(guest, message.id);
	return 0;
}

static void from_source(void **state)
{
	struct guest *guest = *state;
	uint64_t program = guest_program(guest, "__kernel void k(__global int *a) { *a = X; }");
	uint64_t kernel;

	assert_false(executable(guest, program));
	assert_int_equal(guest_build(guest, program, "-DX=5")->status, CL_SUCCESS);
	assert_int_equal(ran_program(guest, program), 5);

	/* What kernels are made of is what it was then. */
	kernel = guest_kernel(guest, program, "k");
	assert_int_equal(guest_build(guest, program, "-DX=6")->status, CL_INVALID_OPERATION);
	assert_int_equal(ran_program(guest, program), 5);
	assert_int_equal(ran(kernel_detail(guest, kernel)->recipe), 5);
	guest_release(guest, kernel);
	assert_int_equal(guest_build(guest, program, "-D X=6")->status, CL_SUCCESS);
	assert_int_equal(ran_program(guest, program), 6);

	kernel = guest_kernel(guest, program, "k");
	guest_release(guest, program);
	assert_int_equal(ran(kernel_detail(guest, kernel)->recipe), 6);
	guest_release(guest, kernel);
	assert_int_equal(gcl_recipes_held(), 0);
}

static void failed_builds(void **state)
{
	struct guest *guest = *state;
	uint64_t program = guest_program(guest, "__kernel void k(__global int *a) { *a = X; }");
	struct gcl_recipe *recipe;

	assert_int_equal(guest_build(guest, program, "-DX=5")->status, CL_SUCCESS);
	assert_int_equal(guest_build(guest, program, "")->status, CL_BUILD_PROGRAM_FAILURE);
	assert_false(executable(guest, program));
	recipe = gcl_program_recipe(detail(guest, program));
	assert_int_equal(made(recipe), CL_SUCCESS);
	gcl_recipe_put(recipe);
	assert_int_equal(guest_build(guest, program, "-DX=7")->status, CL_SUCCESS);
	assert_int_equal(ran_program(guest, program), 7);
	guest_release(guest, program);
	assert_int_equal(made(NULL), CL_INVALID_PROGRAM);
	assert_false(gcl_recipe_executable(NULL));
}

/* Too large a one is as it was before it was built. */
static void refused(void **state)
{
	struct guest *guest = *state;
	uint64_t program = guest_program(guest, "__kernel void k(__global int *a) { *a = 1; }");

	guest->worker.program_sizes = GCL_PROGRAM_SIZES_ALWAYS;
	guest->worker.quota.limit = 1;
	assert_int_equal(guest_build(guest, program, "")->status, CL_OUT_OF_RESOURCES);
	assert_false(executable(guest, program));
	guest->worker.quota.limit = 0;
	assert_int_equal(guest_build(guest, program, "")->status, CL_SUCCESS);
	assert_int_equal(ran_program(guest, program), 1);
	guest->worker.program_sizes = GCL_PROGRAM_SIZES_AUTO;
	guest_release(guest, program);
}

static void compiled_and_linked(void **state)
{
	struct guest *guest = *state;
	uint64_t headers[] = {
		guest_program(guest, "int twice(int x);\n"),
		guest_program(guest, "#define FIVE 5\n"),
	};
	char *names[] = {(char *)"in/twice.h", (char *)"five.h"};
	uint64_t inputs[] = {
		guest_program(guest, "#include \"in/twice.h\"\n#include <five.h>\n"
				     "__kernel void k(__global int *a) { *a = twice(FIVE) + Y; }"),
		guest_program(guest, "int twice(int x) { return 2 * x; }"),
	};
	uint64_t linked;

	assert_int_equal(compile(guest, inputs[0], "-DY=7", headers, names, 2), CL_SUCCESS);
	assert_int_equal(compile(guest, inputs[1], "", NULL, NULL, 0), CL_SUCCESS);
	assert_false(executable(guest, inputs[0]));
	linked = link_with(guest, "", inputs, 2);
	assert_true(linked);
	assert_int_equal(ran_program(guest, linked), 17);

	/* Inputs are what they were, whatever becomes of them. */
	assert_int_equal(compile(guest, inputs[0], "-DY=8", headers, names, 2), CL_SUCCESS);
	for (int i = 0; i < 2; i++) {
		guest_release(guest, headers[i]);
		guest_release(guest, inputs[i]);
	}
	assert_int_equal(ran_program(guest, linked), 17);
	guest_release(guest, linked);
	assert_int_equal(gcl_recipes_held(), 0);
}

static void libraries(void **state)
{
	struct guest *guest = *state;
	uint64_t inputs[] = {
		guest_program(guest, "int f(void);\n"
				     "__kernel void k(__global int *a) { *a = f(); }"),
		guest_program(guest, "int f(void) { return 11; }"),
	};
	uint64_t linked;

	for (int i = 0; i < 2; i++)
		assert_int_equal(compile(guest, inputs[i], "", NULL, NULL, 0), CL_SUCCESS);
	linked = link_with(guest, "-create-library", &inputs[1], 1);
	if (!linked)
		skip();
	assert_false(executable(guest, linked));
	inputs[1] = linked;
	linked = link_with(guest, "", inputs, 2);
	if (linked)
		assert_int_equal(ran_program(guest, linked), 11);
}

static void from_binary(void **state)
{
	struct guest *guest = *state;
	uint64_t source = guest_program(guest, "__kernel void k(__global int *a) { *a = 3; }");
	Gcl__ProgramBinaries ask = GCL__PROGRAM_BINARIES__INIT;
	Gcl__ProgramCreateBinary message = GCL__PROGRAM_CREATE_BINARY__INIT;
	const Gcl__BinariesAnswer *answer;

	assert_int_equal(guest_build(guest, source, "")->status, CL_SUCCESS);
	ask.program = source;
	assert_int_equal(guest_send(guest, GCL_PROGRAM_BINARIES, &ask), 0);
	answer = guest_answer(guest, GCL_ANSWER_BINARIES);
	message.id = guest_id(guest, GCL_KIND_PROGRAM);
	message.context = guest->context;
	message.devices = &guest->device;
	message.binaries = answer->binaries;
	message.n_devices = message.n_binaries = 1;
	assert_int_equal(guest_send(guest, GCL_PROGRAM_CREATE_BINARY, &message), 0);
	guest_answer(guest, GCL_ANSWER_BUILD);
	assert_false(executable(guest, message.id));
	assert_int_equal(guest_build(guest, message.id, "")->status, CL_SUCCESS);
	assert_int_equal(ran_program(guest, message.id), 3);
	guest_release(guest, message.id);
	guest_release(guest, source);
}

static void bad_binaries(void **state)
{
	static const unsigned char *const rubbish[] = {(const unsigned char *)"rubbish",
						       (const unsigned char *)"more"};
	static const size_t sizes[] = {7, 4};
	struct gcl_recipe *binaries = gcl_recipe_binaries(2, rubbish, sizes);
	struct gcl_recipe *built = gcl_recipe_build(binaries, 1, "");

	(void)state;
	assert_int_equal(made(binaries), CL_INVALID_BINARY);
	assert_int_equal(made(built), CL_INVALID_BINARY);
	gcl_recipe_put(binaries);
	gcl_recipe_put(built);
}

/* The name of a kernel that the device has, or "". */
static void built_in_name(char *name, size_t size)
{
	char *end;

	*name = '\0';
	clGetDeviceInfo(device, CL_DEVICE_BUILT_IN_KERNELS, size, name, NULL);
	end = strchr(name, ';');
	if (end)
		*end = '\0';
}

static void built_in(void **state)
{
	struct guest *guest = *state;
	Gcl__ProgramCreateBuiltIn message = GCL__PROGRAM_CREATE_BUILT_IN__INIT;
	struct gcl_recipe *recipe = gcl_recipe_built_in("no.such.kernel");
	const Gcl__BuildAnswer *answer;
	char name[4096];

	assert_true(made(recipe) < 0);
	gcl_recipe_put(recipe);
	built_in_name(name, sizeof name);
	if (!*name)
		skip();
	message.id = guest_id(guest, GCL_KIND_PROGRAM);
	message.context = guest->context;
	message.devices = &guest->device;
	message.n_devices = 1;
	message.names = name;
	assert_int_equal(guest_send(guest, GCL_PROGRAM_CREATE_BUILT_IN, &message), 0);
	answer = guest_answer(guest, GCL_ANSWER_BUILD);
	assert_int_equal(answer->status, CL_SUCCESS);
	recipe = gcl_program_recipe(detail(guest, message.id));
	assert_true(gcl_recipe_executable(recipe));
	assert_int_equal(made(recipe), CL_SUCCESS);
	gcl_recipe_put(recipe);
	if (guest_build(guest, message.id, "")->status == CL_SUCCESS) {
		recipe = gcl_program_recipe(detail(guest, message.id));
		assert_int_equal(made(recipe), CL_SUCCESS);
		gcl_recipe_put(recipe);
	}
	guest_release(guest, message.id);
}

/* A program's devices can be built for one by one. */
static void mixed(void **state)
{
	struct gcl_recipe *source = gcl_recipe_source("__kernel void k() { }", 21);
	struct gcl_recipe *one = gcl_recipe_build(source, 1, "-DA");
	struct gcl_recipe *same = gcl_recipe_build(one, 2, "-DA");
	struct gcl_recipe *other = gcl_recipe_build(same, 2, "-DB");
	struct gcl_recipe *all = gcl_recipe_build(other, 3, "-DB");
	struct gcl_recipe *object = gcl_recipe_compile(all, 1, "", 0, NULL, NULL);

	(void)state;
	assert_true(gcl_recipe_executable(one));
	assert_true(gcl_recipe_executable(same));
	assert_false(gcl_recipe_executable(other));
	assert_int_equal(made(other), CL_INVALID_PROGRAM_EXECUTABLE);
	assert_true(gcl_recipe_executable(all));
	assert_ptr_equal(gcl_recipe_base(all), source);
	assert_int_equal(made(object), CL_INVALID_PROGRAM_EXECUTABLE);
	gcl_recipe_put(source);
	gcl_recipe_put(one);
	gcl_recipe_put(same);
	gcl_recipe_put(other);
	gcl_recipe_put(all);
	gcl_recipe_put(object);
	assert_int_equal(gcl_recipes_held(), 0);
}

/* No guest can make recipes that are endless, or take all memory. */
static void limits(void **state)
{
	static char text[1 << 20];
	struct gcl_recipe *recipe = gcl_recipe_source("", 0), *many[300] = {0};
	int links = 0, sources = 0;

	(void)state;
	while (recipe) {
		struct gcl_recipe *twice[] = {recipe, recipe};
		struct gcl_recipe *next = gcl_recipe_link("", 2, twice);

		gcl_recipe_put(recipe);
		recipe = next;
		links++;
	}
	assert_in_range(links, 2, 10);
	while (sources < 300 && (many[sources] = gcl_recipe_source(text, sizeof text)))
		sources++;
	assert_in_range(sources, 200, 256);
	assert_null(gcl_recipe_build(NULL, 1, ""));
	assert_null(gcl_recipe_compile(NULL, 1, "", 0, NULL, NULL));
	for (int i = 0; i < sources; i++)
		gcl_recipe_put(many[i]);
	assert_int_equal(gcl_recipes_held(), 0);
}

static void *maker(void *arg)
{
	struct gcl_program *program = arg;
	struct gcl_recipe *recipe = gcl_program_recipe(program);
	cl_program handle;

	if (gcl_recipe_make(recipe, there, device, &handle) == CL_SUCCESS)
		clReleaseProgram(handle);
	gcl_recipe_put(recipe);
	gcl_program_put(program);
	return NULL;
}

/* Makers and builds of the same program at once. */
static void threads(void **state)
{
	enum { MAKERS = 4 };
	struct guest *guest = *state;
	uint64_t program = guest_program(guest, "__kernel void k(__global int *a) { *a = X; }");
	pthread_t makers[MAKERS];

	assert_int_equal(guest_build(guest, program, "-DX=1")->status, CL_SUCCESS);
	for (int i = 0; i < MAKERS; i++)
		assert_int_equal(pthread_create(&makers[i], NULL, maker,
						gcl_program_get(detail(guest, program))),
				 0);
	assert_int_equal(guest_build(guest, program, "-DX=2")->status, CL_SUCCESS);
	guest_build(guest, program, "");
	assert_int_equal(guest_build(guest, program, "-DX=4")->status, CL_SUCCESS);
	assert_int_equal(ran_program(guest, program), 4);
	guest_release(guest, program);
	for (int i = 0; i < MAKERS; i++)
		pthread_join(makers[i], NULL);
	assert_int_equal(gcl_recipes_held(), 0);
}

/* Where sessions can't move, nothing is kept. */
static void without_client(void **state)
{
	struct guest *guest = *state;
	const char *client = steal_pointer(&guest->worker.client);
	uint64_t program = guest_program(guest, "__kernel void k(__global int *a) { *a = 1; }");
	uint64_t kernel;

	assert_int_equal(guest_build(guest, program, "")->status, CL_SUCCESS);
	kernel = guest_kernel(guest, program, "k");
	assert_null(kernel_detail(guest, kernel)->recipe);
	assert_int_equal(gcl_recipes_held(), 0);
	guest_release(guest, kernel);
	guest_release(guest, program);
	guest->worker.client = client;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_source), cmocka_unit_test(failed_builds),
		cmocka_unit_test(refused),     cmocka_unit_test(compiled_and_linked),
		cmocka_unit_test(from_binary), cmocka_unit_test(bad_binaries),
		cmocka_unit_test(mixed),       cmocka_unit_test(limits),
		cmocka_unit_test(threads),     cmocka_unit_test(without_client),
		cmocka_unit_test(built_in),    cmocka_unit_test(libraries),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
