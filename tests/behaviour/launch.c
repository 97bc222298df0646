/* SPDX-License-Identifier: MIT */
/*
 * Launching kernels: ranges, offsets, local sizes, wrong ones, tasks, what kernels print.
 */
#include "harness.h"

#include <string.h>

#define ITEMS 4096

static const char source[] =
	"kernel void where(global uint *a)\n"
	"{ size_t w = get_global_size(0), h = get_global_size(1);\n"
	"  size_t x = get_global_id(0) - get_global_offset(0);\n"
	"  size_t y = get_global_id(1) - get_global_offset(1);\n"
	"  size_t z = get_global_id(2) - get_global_offset(2);\n"
	"  a[(z * h + y) * w + x] = get_global_id(0) * 1000003 + get_global_id(1) * 10007\n"
	"    + get_global_id(2) * 101 + get_work_dim() * 7; }\n"
	"kernel void groups(global uint *a)\n"
	"{ a[get_global_id(0)] = get_local_id(0) * 65536 + get_group_id(0) * 256 + "
	"get_num_groups(0)\n"
	"    + get_local_size(0) * 16777216; }\n"
	"kernel void turn(global uint *a, local uint *l)\n"
	"{ size_t i = get_local_id(0), n = get_local_size(0); l[i] = a[get_global_id(0)];\n"
	"  barrier(CLK_LOCAL_MEM_FENCE); a[get_global_id(0)] = l[n - 1 - i] * 3; }\n"
	"kernel void total(global volatile int *a) { atomic_add(a, (int)get_global_id(0)); }\n"
	"kernel __attribute__((reqd_work_group_size(4, 2, 1))) void fixed(global uint *a)\n"
	"{ a[get_global_id(1) * get_global_size(0) + get_global_id(0)] = get_group_id(1); }\n"
	"kernel void say(global uint *a, int n, float f)\n"
	"{ printf(\"number %d and %5.2f %s %c%%\\n\", n, f, \"text\", 'x');\n"
	"  printf(\"vector %v4hld hex %x long %ld\\n\", (int4)(1, -2, 3, n), 255 + n, 1L << 40); "
	"}\n"
	"kernel void count(global uint *a, int n, float f)\n"
	"{ for (int i = 0; i < n; i++) printf(\"line %d of %d\\n\", i, n); }\n";

struct stage {
	struct fixture fix;
	cl_program program;
	cl_mem buffer;
	cl_kernel where;
	cl_kernel fixed;
};

static cl_kernel stage_kernel(struct stage *s, const char *name)
{
	cl_kernel kernel = kernel_made(s->program, name);

	MUST(clSetKernelArg(kernel, 0, sizeof(s->buffer), &s->buffer));
	return kernel;
}

static void stage_open(struct stage *s)
{
	fixture_open(&s->fix);
	s->program = program_built(&s->fix, source, "");
	s->buffer = buffer_patterned(&s->fix, ITEMS * sizeof(cl_uint), 1);
	s->where = stage_kernel(s, "where");
	s->fixed = stage_kernel(s, "fixed");
}

static void stage_close(struct stage *s)
{
	MUST(clReleaseKernel(s->where));
	MUST(clReleaseKernel(s->fixed));
	MUST(clReleaseMemObject(s->buffer));
	MUST(clReleaseProgram(s->program));
	fixture_close(&s->fix);
}

static void clear(struct stage *s)
{
	MUST(clEnqueueFillBuffer(s->fix.queue, s->buffer, "....", 4, 0, ITEMS * sizeof(cl_uint), 0,
				 NULL, NULL));
}

static cl_int launch(struct stage *s, cl_kernel kernel, cl_uint dims, const size_t *offset,
		     const size_t *global, const size_t *local)
{
	return clEnqueueNDRangeKernel(s->fix.queue, kernel, dims, offset, global, local, 0, NULL,
				      NULL);
}

#define SIZES(...) ((const size_t[]){__VA_ARGS__})

static void ranges_check(struct stage *s)
{
	const struct {
		const char *name;
		cl_uint dims;
		const size_t *offset;
		const size_t *global;
		const size_t *local;
	} ranges[] = {
		{"1 item", 1, NULL, SIZES(1), NULL},
		{"1000 items", 1, NULL, SIZES(1000), NULL},
		{"997 items, a prime", 1, NULL, SIZES(997), NULL},
		{"1024 items in groups of 64", 1, NULL, SIZES(1024), SIZES(64)},
		{"1024 items in one group", 1, NULL, SIZES(1024), SIZES(1024)},
		{"64 items in groups of 1", 1, NULL, SIZES(64), SIZES(1)},
		{"100 items from 50", 1, SIZES(50), SIZES(100), NULL},
		{"128 items from 7 in groups of 16", 1, SIZES(7), SIZES(128), SIZES(16)},
		{"32 by 16", 2, NULL, SIZES(32, 16), NULL},
		{"32 by 16 in groups of 8 by 4", 2, NULL, SIZES(32, 16), SIZES(8, 4)},
		{"7 by 11 from 3, 5", 2, SIZES(3, 5), SIZES(7, 11), NULL},
		{"8 by 4 by 6", 3, NULL, SIZES(8, 4, 6), NULL},
		{"8 by 4 by 6 in groups of 4 by 2 by 3", 3, NULL, SIZES(8, 4, 6), SIZES(4, 2, 3)},
		{"3 by 5 by 7 from 1, 2, 3", 3, SIZES(1, 2, 3), SIZES(3, 5, 7), NULL},
		{"3 by 5 by 7 in groups of 3 by 1 by 7", 3, NULL, SIZES(3, 5, 7), SIZES(3, 1, 7)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		clear(s);
		check_code(ranges[i].name, launch(s, s->where, ranges[i].dims, ranges[i].offset,
						  ranges[i].global, ranges[i].local));
		check_buffer_sum(named("result of %s", ranges[i].name), s->fix.queue, s->buffer,
				 ITEMS * sizeof(cl_uint));
	}
}

static void groups_check(struct stage *s)
{
	cl_kernel groups = stage_kernel(s, "groups");
	cl_kernel turn = stage_kernel(s, "turn");
	cl_kernel total = stage_kernel(s, "total");
	cl_int answer = 0;

	clear(s);
	check_code("groups", launch(s, groups, 1, NULL, SIZES(256), SIZES(32)));
	check_buffer_sum("groups result", s->fix.queue, s->buffer, 1024);
	MUST(clSetKernelArg(turn, 1, 64 * sizeof(cl_uint), NULL));
	check_code("barrier", launch(s, turn, 1, NULL, SIZES(256), SIZES(64)));
	check_buffer_sum("barrier result", s->fix.queue, s->buffer, 1024);
	/* Many launches, each on the result of the one before it. */
	for (int i = 0; i < 200; i++)
		MUST(launch(s, turn, 1, NULL, SIZES(256), SIZES(64)));
	check_buffer_sum("200 launches", s->fix.queue, s->buffer, 1024);
	MUST(clEnqueueWriteBuffer(s->fix.queue, s->buffer, CL_TRUE, 0, 4, &answer, 0, NULL, NULL));
	check_code("atomics", launch(s, total, 1, NULL, SIZES(1000), NULL));
	MUST(clEnqueueReadBuffer(s->fix.queue, s->buffer, CL_TRUE, 0, 4, &answer, 0, NULL, NULL));
	check_number("atomics result", (unsigned)answer);
	MUST(clReleaseKernel(groups));
	MUST(clReleaseKernel(turn));
	MUST(clReleaseKernel(total));
}

static void fixed_check(struct stage *s)
{
	clear(s);
	check_code("fixed group", launch(s, s->fixed, 2, NULL, SIZES(16, 8), SIZES(4, 2)));
	check_buffer_sum("fixed group result", s->fix.queue, s->buffer, 1024);
	wrong_code("fixed group, another size",
		   launch(s, s->fixed, 2, NULL, SIZES(16, 8), SIZES(2, 4)));
	wrong_code("fixed group, fewer dimensions",
		   launch(s, s->fixed, 1, NULL, SIZES(16), SIZES(4)));
	wrong_code("fixed group that does not divide",
		   launch(s, s->fixed, 2, NULL, SIZES(17, 8), SIZES(4, 2)));
	wrong_code("fixed group as a task", clEnqueueTask(s->fix.queue, s->fixed, 0, NULL, NULL));
}

static void task_check(struct stage *s)
{
	clear(s);
	check_code("task", clEnqueueTask(s->fix.queue, s->where, 0, NULL, NULL));
	check_buffer_sum("task result", s->fix.queue, s->buffer, 1024);
	wrong_code("task on queue NULL", clEnqueueTask(NULL, s->where, 0, NULL, NULL));
}

static void ranges_wrong(struct stage *s)
{
	size_t sizes[3] = {0};
	size_t group = 0;
	const struct {
		const char *name;
		cl_uint dims;
		const size_t *offset;
		const size_t *global;
		const size_t *local;
	} ranges[] = {
		{"0 dimensions", 0, NULL, SIZES(16), NULL},
		{"4 dimensions", 4, NULL, SIZES(2, 2, 2, 2), NULL},
		{"global NULL", 1, NULL, NULL, NULL},
		{"global NULL with a local size", 1, NULL, NULL, SIZES(4)},
		{"group that does not divide", 1, NULL, SIZES(100), SIZES(64)},
		{"second group that does not divide", 2, NULL, SIZES(64, 10), SIZES(8, 4)},
		{"group larger than the range", 1, NULL, SIZES(16), SIZES(32)},
		{"group larger than the device's", 1, NULL, SIZES(1 << 20), SIZES(1 << 20)},
		{"group larger than the device's in product", 2, NULL, SIZES(4096, 4096),
		 SIZES(4096, 4096)},
	};

	clear(s);
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		wrong_code(ranges[i].name, launch(s, s->where, ranges[i].dims, ranges[i].offset,
						  ranges[i].global, ranges[i].local));
	wrong_code("queue NULL",
		   clEnqueueNDRangeKernel(NULL, s->where, 1, NULL, SIZES(16), NULL, 0, NULL, NULL));
	wrong_code("queue of another context",
		   clEnqueueNDRangeKernel(s->fix.other_queue, s->where, 1, NULL, SIZES(16), NULL, 0,
					  NULL, NULL));
	check_buffer_sum("result of wrong launches", s->fix.queue, s->buffer, 1024);
	MUST(clGetDeviceInfo(s->fix.device, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof(sizes), sizes,
			     NULL));
	MUST(clGetDeviceInfo(s->fix.device, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof(group), &group,
			     NULL));
	wrong_code("one item more in a group than the device can",
		   launch(s, s->where, 1, NULL, SIZES(group + 1), SIZES(group + 1)));
	wrong_code(
		"one more in the third dimension than the device can",
		launch(s, s->where, 3, NULL, SIZES(1, 1, sizes[2] + 1), SIZES(1, 1, sizes[2] + 1)));
}

/* A range without items: nothing runs. */
static void empty_check(struct stage *s)
{
	clear(s);
	wrong_code("global size 0", launch(s, s->where, 1, NULL, SIZES(0), NULL));
	wrong_code("second global size 0", launch(s, s->where, 2, NULL, SIZES(16, 0), NULL));
	check_buffer_sum("result of empty launches", s->fix.queue, s->buffer, 1024);
}

/* What kernels print stands between the checks. */
static void printf_check(struct stage *s)
{
	cl_kernel say = stage_kernel(s, "say");
	cl_kernel count = stage_kernel(s, "count");
	const float number = 2.5F;

	for (int n = 1; n <= 100; n *= 10) {
		MUST(clSetKernelArg(say, 1, sizeof(n), &n));
		MUST(clSetKernelArg(say, 2, sizeof(number), &number));
		MUST(clEnqueueTask(s->fix.queue, say, 0, NULL, NULL));
		check_code(named("say %d", n), clFinish(s->fix.queue));
	}
	for (int n = 0; n <= 300; n += 150) {
		MUST(clSetKernelArg(count, 1, sizeof(n), &n));
		MUST(clSetKernelArg(count, 2, sizeof(number), &number));
		MUST(clEnqueueTask(s->fix.queue, count, 0, NULL, NULL));
		check_code(named("count %d", n), clFinish(s->fix.queue));
	}
	MUST(clReleaseKernel(say));
	MUST(clReleaseKernel(count));
}

static void CL_CALLBACK native(void *args)
{
	(void)args;
}

static void native_check(struct stage *s)
{
	int args[2] = {0};

	check_code("native kernel", clEnqueueNativeKernel(s->fix.queue, native, args, sizeof(args),
							  0, NULL, NULL, 0, NULL, NULL));
	MUST(clFinish(s->fix.queue));
	wrong_code("native kernel on queue NULL",
		   clEnqueueNativeKernel(NULL, native, args, sizeof(args), 0, NULL, NULL, 0, NULL,
					 NULL));
}

int main(void)
{
	struct stage stage;

	transcript_begin("launch");
	stage_open(&stage);
	ranges_check(&stage);
	groups_check(&stage);
	fixed_check(&stage);
	task_check(&stage);
	ranges_wrong(&stage);
	empty_check(&stage);
	printf_check(&stage);
	native_check(&stage);
	stage_close(&stage);
	return transcript_end();
}
