/* SPDX-License-Identifier: MIT */
/*
 * Kernels that are copies of others, and sub-groups of kernels.
 */
#include "harness.h"

#define SIZE 256

INFO_QUERY(clGetKernelInfo, cl_kernel)

struct pair {
	int first, second;
};

static const char source[] =
	"struct pair { int first, second; };\n"
	"kernel void mixed(global uchar *out, int value, struct pair pair, local int *room)\n"
	"{ int i = get_global_id(0); room[0] = value; out[i] = (uchar)(room[0] + pair.first * "
	"pair.second + i); }\n"
	"kernel void sampled(global float4 *out, read_only image2d_t in, sampler_t smp)\n"
	"{ int i = get_global_id(0); out[i] = read_imagef(in, smp, (int2)(i, 0)); }\n"
	"struct holder { global uchar *held; };\n"
	"kernel void held(global uchar *out, global struct holder *holder)\n"
	"{ int i = get_global_id(0); out[i] = holder->held[i] + 1; }\n"
	"kernel void plain(void) {}\n";

static void run(const struct fixture *fix, const char *name, cl_kernel kernel, cl_mem out)
{
	const size_t global = 64;
	const size_t local = 1;

	check_code(named("%s run", name), clEnqueueNDRangeKernel(fix->queue, kernel, 1, NULL,
								 &global, &local, 0, NULL, NULL));
	check_buffer_sum(named("%s result", name), fix->queue, out, SIZE);
}

static void info_check(const struct fixture *fix, const char *name, cl_kernel kernel,
		       cl_program program)
{
	const struct info infos[] = {
		INFO(CL_KERNEL_FUNCTION_NAME, INFO_TEXT),   INFO(CL_KERNEL_NUM_ARGS, INFO_UINT),
		INFO_IS(CL_KERNEL_CONTEXT, fix->context),   INFO_IS(CL_KERNEL_PROGRAM, program),
		INFO(CL_KERNEL_REFERENCE_COUNT, INFO_UINT),
	};

	check_infos(name, query_clGetKernelInfo, kernel, infos, ARRAY_SIZE(infos));
}

/* Arguments are the original's at the time, and then each kernel's own. */
static void values_check(const struct fixture *fix, cl_program program)
{
	const struct pair pair = {3, 5};
	const struct pair other = {7, 11};
	const int first = 1;
	const int second = 100;
	cl_kernel kernel = kernel_made(program, "mixed");
	cl_mem out = buffer_patterned(fix, SIZE, 1);
	cl_kernel clone;
	cl_kernel second_clone;

	MUST(clSetKernelArg(kernel, 0, sizeof(out), &out));
	MUST(clSetKernelArg(kernel, 1, sizeof(first), &first));
	MUST(clSetKernelArg(kernel, 2, sizeof(pair), &pair));
	MUST(clSetKernelArg(kernel, 3, 64, NULL));
	clone = clCloneKernel(kernel, &call_err);
	check_made("clone", clone != NULL);
	info_check(fix, "clone", clone, program);
	run(fix, "clone before its original", clone, out);
	run(fix, "original", kernel, out);
	MUST(clSetKernelArg(kernel, 1, sizeof(second), &second));
	run(fix, "original, changed", kernel, out);
	run(fix, "clone, the original changed", clone, out);
	MUST(clSetKernelArg(clone, 2, sizeof(other), &other));
	run(fix, "clone, changed", clone, out);
	run(fix, "original, the clone changed", kernel, out);
	/* What was sent and set meanwhile. */
	second_clone = clCloneKernel(clone, &call_err);
	check_made("clone of a clone", second_clone != NULL);
	check_code("release original", clReleaseKernel(kernel));
	check_code("release clone", clReleaseKernel(clone));
	run(fix, "clone of a clone", second_clone, out);
	check_code("release clone of a clone", clReleaseKernel(second_clone));
	MUST(clReleaseMemObject(out));
}

static void objects_check(const struct fixture *fix, cl_program program)
{
	static const cl_image_format format = {CL_RGBA, CL_UNORM_INT8};
	static const cl_image_desc desc = {
		.image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = 64, .image_height = 1};
	static unsigned char texels[SIZE];
	cl_kernel kernel = kernel_made(program, "sampled");
	cl_sampler sampler = MUST_MAKE(clCreateSampler(
		fix->context, CL_FALSE, CL_ADDRESS_CLAMP_TO_EDGE, CL_FILTER_NEAREST, &call_err));
	cl_mem out = buffer_patterned(fix, 64 * sizeof(cl_float4), 1);
	cl_kernel clone;
	cl_mem image;

	pattern(texels, sizeof(texels), 9);
	image = MUST_MAKE(clCreateImage(fix->context, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR,
					&format, &desc, texels, &call_err));
	MUST(clSetKernelArg(kernel, 0, sizeof(out), &out));
	MUST(clSetKernelArg(kernel, 1, sizeof(image), &image));
	MUST(clSetKernelArg(kernel, 2, sizeof(sampler), &sampler));
	clone = clCloneKernel(kernel, &call_err);
	check_made("clone with an image", clone != NULL);
	MUST(clReleaseKernel(kernel));
	run(fix, "clone with an image", clone, out);
	MUST(clReleaseKernel(clone));
	MUST(clReleaseSampler(sampler));
	MUST(clReleaseMemObject(image));
	MUST(clReleaseMemObject(out));
}

/* Pointers to shared virtual memory, as an argument and in memory, are the clone's, too. */
static void pointers_check(const struct fixture *fix, cl_program program)
{
	cl_kernel kernel = kernel_made(program, "held");
	cl_mem out = buffer_patterned(fix, SIZE, 1);
	unsigned char *held = clSVMAlloc(fix->context, CL_MEM_READ_WRITE, SIZE, 0);
	void **holder = clSVMAlloc(fix->context, CL_MEM_READ_WRITE, sizeof(*holder), 0);
	unsigned char bytes[SIZE];
	cl_kernel clone;

	check_yes("shared memory", held && holder);
	pattern(bytes, sizeof(bytes), 5);
	MUST(clEnqueueSVMMemcpy(fix->queue, CL_TRUE, held, bytes, SIZE, 0, NULL, NULL));
	MUST(clEnqueueSVMMemcpy(fix->queue, CL_TRUE, holder, &held, sizeof(held), 0, NULL, NULL));
	MUST(clSetKernelArg(kernel, 0, sizeof(out), &out));
	MUST(clSetKernelArgSVMPointer(kernel, 1, holder));
	MUST(clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_SVM_PTRS, sizeof(held), &held));
	clone = clCloneKernel(kernel, &call_err);
	check_made("clone with pointers", clone != NULL);
	MUST(clReleaseKernel(kernel));
	run(fix, "clone with pointers", clone, out);
	MUST(clReleaseKernel(clone));
	clSVMFree(fix->context, holder);
	clSVMFree(fix->context, held);
	MUST(clReleaseMemObject(out));
}

static void clone_wrong(const struct fixture *fix, cl_program program)
{
	const size_t one = 1;
	cl_kernel kernel = kernel_made(program, "mixed");
	cl_kernel clone = MUST_MAKE(clCloneKernel(kernel, &call_err));

	WRONG_MADE("clone of NULL", clCloneKernel(NULL, &call_err));
	wrong_code("run of a clone without arguments",
		   clEnqueueNDRangeKernel(fix->queue, clone, 1, NULL, &one, NULL, 0, NULL, NULL));
	wrong_code("argument beyond the clone's last", clSetKernelArg(clone, 4, sizeof(one), &one));
	MUST(clReleaseKernel(kernel));
	MUST(clReleaseKernel(clone));
}

/* The device has no sub-groups. */
static void sub_groups_check(const struct fixture *fix, cl_program program)
{
	static const struct {
		const char *name;
		cl_kernel_sub_group_info info;
	} infos[] = {
		{"largest sub-group", CL_KERNEL_MAX_SUB_GROUP_SIZE_FOR_NDRANGE},
		{"count of sub-groups", CL_KERNEL_SUB_GROUP_COUNT_FOR_NDRANGE},
		{"local size", CL_KERNEL_LOCAL_SIZE_FOR_SUB_GROUP_COUNT},
		{"most sub-groups", CL_KERNEL_MAX_NUM_SUB_GROUPS},
		{"compiled sub-groups", CL_KERNEL_COMPILE_NUM_SUB_GROUPS},
	};
	cl_kernel kernel = kernel_made(program, "plain");
	const size_t input = 16;
	size_t value;

	for (size_t i = 0; i < ARRAY_SIZE(infos); i++)
		check_code(infos[i].name, clGetKernelSubGroupInfo(
						  kernel, fix->device, infos[i].info, sizeof(input),
						  &input, sizeof(value), &value, NULL));
	wrong_code("sub-groups of kernel NULL",
		   clGetKernelSubGroupInfo(NULL, fix->device, CL_KERNEL_MAX_NUM_SUB_GROUPS, 0, NULL,
					   sizeof(value), &value, NULL));
	MUST(clReleaseKernel(kernel));
}

int main(void)
{
	struct fixture fix;
	cl_program program;

	transcript_begin("clone");
	fixture_open(&fix);
	program = program_built(&fix, source, "");
	values_check(&fix, program);
	objects_check(&fix, program);
	pointers_check(&fix, program);
	clone_wrong(&fix, program);
	sub_groups_check(&fix, program);
	MUST(clReleaseProgram(program));
	fixture_close(&fix);
	return transcript_end();
}
