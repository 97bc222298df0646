/*
 * Launches: arguments of every kind, what is refused, and what stays refused.
 */
#include "guest.h"

#include <errno.h>
#include <string.h>

#define COUNT 64u

static const char source[] =
	"__kernel void add(__global int *out, __global const int *a, int b)\n"
	"{ size_t i = get_global_id(0); out[i] = (a ? a[i] : 1000) + b; }\n"
	"__kernel void sum(__global int *out, __local int *scratch)\n"
	"{ scratch[get_local_id(0)] = 1; barrier(CLK_LOCAL_MEM_FENCE);\n"
	"  if (!get_local_id(0)) { int s = 0; for (int i = 0; i < get_local_size(0); i++)\n"
	"    s += scratch[i]; *out = s; } }\n"
	"__kernel void pixel(__global uint *out, read_only image2d_t image, sampler_t s)\n"
	"{ *out = read_imageui(image, s, (int2)(1, 0)).x; }\n"
	"__kernel void where(__global int *out) { out[0] = get_global_offset(0); }\n";

struct fixture {
	struct guest *guest;
	uint64_t program, out, heap; /* out: a resident buffer at heap */
};

static struct fixture fixture_get(void **state)
{
	static struct fixture fixture;
	Gcl__BufferCreate message = GCL__BUFFER_CREATE__INIT;

	if (fixture.guest)
		return fixture;
	fixture.guest = *state;
	fixture.program = guest_program(fixture.guest, source);
	assert_int_equal(guest_build(fixture.guest, fixture.program, "")->status, CL_SUCCESS);
	fixture.heap = guest_heap(fixture.guest, COUNT * sizeof(cl_int));
	fixture.out = guest_id(fixture.guest, GCL_KIND_MEM);
	message.id = fixture.out;
	message.context = fixture.guest->context;
	message.size = COUNT * sizeof(cl_int);
	message.resident = true;
	message.heap_offset = fixture.heap;
	assert_int_equal(guest_send(fixture.guest, GCL_BUFFER_CREATE, &message), 0);
	return fixture;
}

static const cl_int *out(const struct fixture *fixture)
{
	return (const cl_int *)(fixture->guest->channel.heap + fixture->heap);
}

static Gcl__Argument object(uint32_t index, enum gcl_arg_kind kind, uint64_t id)
{
	Gcl__Argument arg = GCL__ARGUMENT__INIT;

	arg.index = index;
	arg.kind = kind;
	arg.object = id;
	return arg;
}

static Gcl__Argument value(uint32_t index, cl_int *data)
{
	Gcl__Argument arg = GCL__ARGUMENT__INIT;

	arg.index = index;
	arg.kind = GCL_ARG_VALUE;
	arg.data.data = (uint8_t *)data;
	arg.data.len = sizeof *data;
	return arg;
}

/* One dimension of @global items. */
static int launch(struct guest *guest, uint64_t kernel, Gcl__Argument *args, size_t count,
		  uint64_t global)
{
	Gcl__Launch message = GCL__LAUNCH__INIT;
	Gcl__Command command = guest_command(guest, 0);
	Gcl__Argument *pointers[8];

	for (size_t i = 0; i < count; i++)
		pointers[i] = &args[i];
	message.command = &command;
	message.kernel = kernel;
	message.args = pointers;
	message.n_args = count;
	message.dims = 1;
	message.global = &global;
	message.n_global = 1;
	return guest_send(guest, GCL_LAUNCH, &message);
}

static void vector_add(void **state)
{
	struct fixture f = fixture_get(state);
	uint64_t from = guest_heap(f.guest, COUNT * sizeof(cl_int));
	cl_int *in = (cl_int *)(f.guest->channel.heap + from), b = 100;
	uint64_t kernel = guest_kernel(f.guest, f.program, "add"), a;
	Gcl__Argument args[3];

	for (cl_int i = 0; i < (cl_int)COUNT; i++)
		in[i] = i * i;
	a = guest_buffer(f.guest, COUNT * sizeof(cl_int), from, COUNT * sizeof(cl_int));
	args[0] = object(0, GCL_ARG_BUFFER, f.out);
	args[1] = object(1, GCL_ARG_BUFFER, a);
	args[2] = value(2, &b);
	assert_int_equal(launch(f.guest, kernel, args, 3, COUNT), 0);
	assert_int_equal(guest_finish(f.guest), CL_SUCCESS);
	for (cl_int i = 0; i < (cl_int)COUNT; i++)
		assert_int_equal(out(&f)[i], i * i + 100);

	/* Only what has changed is sent. */
	b = -1;
	args[0] = value(2, &b);
	assert_int_equal(launch(f.guest, kernel, args, 1, COUNT), 0);
	assert_int_equal(guest_finish(f.guest), CL_SUCCESS);
	assert_int_equal(out(&f)[5], 24);
	/* A buffer may be NULL. */
	args[0] = object(1, GCL_ARG_BUFFER, 0);
	assert_int_equal(launch(f.guest, kernel, args, 1, COUNT), 0);
	assert_int_equal(guest_finish(f.guest), CL_SUCCESS);
	assert_int_equal(out(&f)[5], 999);
	guest_release(f.guest, kernel);
}

static void refused_argument(void **state)
{
	struct fixture f = fixture_get(state);
	uint64_t kernel = guest_kernel(f.guest, f.program, "add");
	uint64_t bad = guest_buffer(f.guest, 1ull << 60, 0, 0);
	uint64_t good = guest_buffer(f.guest, COUNT * sizeof(cl_int), 0, 0);
	cl_int b = 0;
	Gcl__Argument args[3] = {
		object(0, GCL_ARG_BUFFER, f.out),
		object(1, GCL_ARG_BUFFER, good),
		value(2, &b),
	};

	assert_int_equal(launch(f.guest, kernel, args, 3, COUNT), 0);
	assert_int_equal(guest_finish(f.guest), CL_SUCCESS);
	args[0] = object(1, GCL_ARG_BUFFER, bad);
	assert_int_equal(launch(f.guest, kernel, args, 1, COUNT), 0);
	assert_int_equal(guest_finish(f.guest), CL_INVALID_BUFFER_SIZE);
	/* It stays refused, rather than run with what was set before. */
	assert_int_equal(launch(f.guest, kernel, args, 0, COUNT), 0);
	assert_int_equal(guest_finish(f.guest), CL_INVALID_BUFFER_SIZE);
	args[0] = object(1, GCL_ARG_BUFFER, good);
	assert_int_equal(launch(f.guest, kernel, args, 1, COUNT), 0);
	assert_int_equal(guest_finish(f.guest), CL_SUCCESS);
}

static void unset_arguments(void **state)
{
	struct fixture f = fixture_get(state);
	uint64_t kernel = guest_kernel(f.guest, f.program, "add");

	assert_int_equal(launch(f.guest, kernel, NULL, 0, COUNT), 0);
	assert_int_equal(guest_finish(f.guest), CL_INVALID_KERNEL_ARGS);
}

static void local_memory(void **state)
{
	struct fixture f = fixture_get(state);
	uint64_t kernel = guest_kernel(f.guest, f.program, "sum"), sizes[] = {16};
	Gcl__Argument args[2] = {object(0, GCL_ARG_BUFFER, f.out), GCL__ARGUMENT__INIT};
	Gcl__Argument *pointers[2] = {&args[0], &args[1]};
	Gcl__Launch message = GCL__LAUNCH__INIT;
	Gcl__Command command = guest_command(f.guest, 0);

	args[1].index = 1;
	args[1].kind = GCL_ARG_LOCAL;
	args[1].local_size = 16 * sizeof(cl_int);
	message.command = &command;
	message.kernel = kernel;
	message.args = pointers;
	message.n_args = 2;
	message.dims = 1;
	message.global = sizes;
	message.n_global = 1;
	message.local = sizes;
	message.n_local = 1;
	assert_int_equal(guest_send(f.guest, GCL_LAUNCH, &message), 0);
	assert_int_equal(guest_finish(f.guest), CL_SUCCESS);
	assert_int_equal(out(&f)[0], 16);
}

static void images_and_samplers(void **state)
{
	struct fixture f = fixture_get(state);
	uint64_t from = guest_heap(f.guest, 4096);
	uint64_t kernel = guest_kernel(f.guest, f.program, "pixel");
	Gcl__SamplerCreate sampler = GCL__SAMPLER_CREATE__INIT;
	Gcl__ImageCreate image = GCL__IMAGE_CREATE__INIT;
	Gcl__Argument args[3];

	memcpy(f.guest->channel.heap + from, "\1\2\3\4\5\6\7\10", 8);
	image.id = guest_id(f.guest, GCL_KIND_MEM);
	image.context = f.guest->context;
	image.channel_order = CL_RGBA;
	image.channel_type = CL_UNSIGNED_INT8;
	image.type = CL_MEM_OBJECT_IMAGE2D;
	image.width = 2;
	image.height = 1;
	assert_int_equal(guest_send_payload(f.guest, GCL_IMAGE_CREATE, &image, from, 8), 0);
	sampler.id = guest_id(f.guest, GCL_KIND_SAMPLER);
	sampler.context = f.guest->context;
	sampler.addressing = CL_ADDRESS_CLAMP;
	sampler.filter = CL_FILTER_NEAREST;
	assert_int_equal(guest_send(f.guest, GCL_SAMPLER_CREATE, &sampler), 0);

	args[0] = object(0, GCL_ARG_BUFFER, f.out);
	args[1] = object(1, GCL_ARG_IMAGE, image.id);
	args[2] = object(2, GCL_ARG_SAMPLER, sampler.id);
	assert_int_equal(launch(f.guest, kernel, args, 3, 1), 0);
	assert_int_equal(guest_finish(f.guest), CL_SUCCESS);
	assert_int_equal(out(&f)[0], 5);

	args[0] = object(0, GCL_ARG_BUFFER, image.id);
	assert_int_equal(launch(f.guest, kernel, args, 1, 1), 0);
	assert_int_equal(guest_finish(f.guest), CL_INVALID_ARG_VALUE);
	args[0] = object(1, GCL_ARG_IMAGE, 0);
	assert_int_equal(launch(f.guest, kernel, args, 1, 1), 0);
	assert_int_equal(guest_finish(f.guest), CL_INVALID_ARG_VALUE);
	args[0] = object(2, GCL_ARG_SAMPLER, image.id);
	assert_int_equal(launch(f.guest, kernel, args, 1, 1), -EPROTO);
}

static void task_and_offset(void **state)
{
	struct fixture f = fixture_get(state);
	uint64_t kernel = guest_kernel(f.guest, f.program, "where"), one = 1, offset = 42;
	Gcl__Argument arg = object(0, GCL_ARG_BUFFER, f.out), *args = &arg;
	Gcl__Command command = guest_command(f.guest, 0);
	Gcl__Launch message = GCL__LAUNCH__INIT;

	message.command = &command;
	message.kernel = kernel;
	message.args = &args;
	message.n_args = 1;
	message.task = true;
	assert_int_equal(guest_send(f.guest, GCL_LAUNCH, &message), 0);
	assert_int_equal(guest_finish(f.guest), CL_SUCCESS);
	assert_int_equal(out(&f)[0], 0);
	message.task = false;
	message.dims = 1;
	message.n_global = 1;
	message.global = &one;
	message.n_offset = 1;
	message.offset = &offset;
	assert_int_equal(guest_send(f.guest, GCL_LAUNCH, &message), 0);
	assert_int_equal(guest_finish(f.guest), CL_SUCCESS);
	assert_int_equal(out(&f)[0], 42);
}

static void hostile_arguments(void **state)
{
	struct fixture f = fixture_get(state);
	uint64_t kernel = guest_kernel(f.guest, f.program, "add");
	static uint8_t large[GCL_INLINE_MAX + 1];
	cl_int b = 0;
	Gcl__Argument arg;

	arg = object(3, GCL_ARG_BUFFER, f.out);
	assert_int_equal(launch(f.guest, kernel, &arg, 1, COUNT), -EPROTO);
	arg = object(2, GCL_ARG_BUFFER, f.out);
	assert_int_equal(launch(f.guest, kernel, &arg, 1, COUNT), -EPROTO);
	arg = value(0, &b);
	assert_int_equal(launch(f.guest, kernel, &arg, 1, COUNT), -EPROTO);
	arg = object(0, GCL_ARG_BUFFER, f.program);
	assert_int_equal(launch(f.guest, kernel, &arg, 1, COUNT), -EPROTO);
	arg = object(0, GCL_ARG_LOCAL, 0);
	assert_int_equal(launch(f.guest, kernel, &arg, 1, COUNT), -EPROTO);
	arg = object(0, GCL_ARG_KIND_COUNT, 0);
	assert_int_equal(launch(f.guest, kernel, &arg, 1, COUNT), -EPROTO);
	arg = value(2, &b);
	arg.data.len = 0;
	assert_int_equal(launch(f.guest, kernel, &arg, 1, COUNT), -EPROTO);
	arg.data.data = large;
	arg.data.len = sizeof large;
	assert_int_equal(launch(f.guest, kernel, &arg, 1, COUNT), -EPROTO);
}

static int launch_dims(struct fixture *f, uint64_t kernel, uint32_t dims, size_t n_offset,
		       size_t n_global, size_t n_local)
{
	static uint64_t ones[4] = {1, 1, 1, 1};
	Gcl__Launch message = GCL__LAUNCH__INIT;
	Gcl__Command command = guest_command(f->guest, 0);

	message.command = &command;
	message.kernel = kernel;
	message.dims = dims;
	message.offset = ones;
	message.n_offset = n_offset;
	message.global = ones;
	message.n_global = n_global;
	message.local = ones;
	message.n_local = n_local;
	return guest_send(f->guest, GCL_LAUNCH, &message);
}

static void hostile_ranges(void **state)
{
	struct fixture f = fixture_get(state);
	uint64_t kernel = guest_kernel(f.guest, f.program, "where");

	assert_int_equal(launch_dims(&f, kernel, 0, 0, 0, 0), -EPROTO);
	assert_int_equal(launch_dims(&f, kernel, 4, 0, 4, 0), -EPROTO);
	assert_int_equal(launch_dims(&f, kernel, 3, 0, 2, 0), -EPROTO);
	assert_int_equal(launch_dims(&f, kernel, 2, 1, 2, 0), -EPROTO);
	assert_int_equal(launch_dims(&f, kernel, 2, 2, 2, 3), -EPROTO);
	assert_int_equal(launch_dims(&f, f.out, 1, 0, 1, 0), -EPROTO);
}

static void dead_kernel(void **state)
{
	struct fixture f = fixture_get(state);
	uint64_t kernel = guest_kernel(f.guest, f.program, "absent");

	assert_int_equal(launch(f.guest, kernel, NULL, 0, 1), 0);
	assert_int_equal(guest_finish(f.guest), CL_INVALID_KERNEL_NAME);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(vector_add),	       cmocka_unit_test(refused_argument),
		cmocka_unit_test(unset_arguments),     cmocka_unit_test(local_memory),
		cmocka_unit_test(images_and_samplers), cmocka_unit_test(task_and_offset),
		cmocka_unit_test(hostile_arguments),   cmocka_unit_test(hostile_ranges),
		cmocka_unit_test(dead_kernel),
	};

	return cmocka_run_group_tests(tests, guest_setup, guest_teardown);
}
