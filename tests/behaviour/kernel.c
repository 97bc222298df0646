/* SPDX-License-Identifier: MIT */
/*
 * Kernels: making them, what they tell of themselves, and every kind of argument.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

INFO_QUERY(clGetKernelInfo, cl_kernel)

#define SIZE 4096

static const char source[] =
	"typedef struct { int a; float b; char c[7]; } thing;\n"
	"#define VALUE(name, type) kernel void v_##name(global type *out, const type value)\\\n"
	"	{ *out = value; }\n"
	"VALUE(char, char) VALUE(uchar, uchar) VALUE(short, short) VALUE(ushort, ushort)\n"
	"VALUE(int, int) VALUE(uint, uint) VALUE(long, long) VALUE(ulong, ulong)\n"
	"VALUE(float, float) VALUE(double, double)\n"
	"VALUE(char2, char2) VALUE(short4, short4) VALUE(int2, int2) VALUE(int3, int3)\n"
	"VALUE(float4, float4) VALUE(uint8, uint8) VALUE(float16, float16) VALUE(double2, "
	"double2)\n"
	"VALUE(struct, thing)\n"
	"kernel void nulls(global int *out, global int *a, constant int *b, const global float "
	"*c)\n"
	"{ out[0] = a ? 1 : 2; out[1] = b ? 1 : 2; out[2] = c ? 1 : 2; }\n"
	"kernel void locals(global int *out, local int *a, local float4 *b)\n"
	"{ int i = get_local_id(0); a[i] = i * i; b[i] = (float4)(i); "
	"barrier(CLK_LOCAL_MEM_FENCE);\n"
	"  int n = get_local_size(0); out[i] = a[n - 1 - i] + (int)b[n - 1 - i].w; }\n"
	"kernel void mixed(global int *out, constant int *table, int i, local int *scratch, uchar "
	"c)\n"
	"{ scratch[get_local_id(0)] = table[i]; out[get_global_id(0)] = scratch[get_local_id(0)] + "
	"c; }\n"
	"kernel void images(global float4 *out, read_only image2d_t in, sampler_t smp,\n"
	"                   write_only image2d_t to)\n"
	"{ int2 at = (int2)(get_global_id(0), 0); float4 v = read_imagef(in, smp, at);\n"
	"  out[get_global_id(0)] = v; write_imagef(to, at, v.wzyx); }\n"
	"kernel __attribute__((reqd_work_group_size(4, 2, 1))) void fixed(global int *out)\n"
	"{ out[get_global_id(0)] = get_local_size(1); }\n"
	"kernel __attribute__((work_group_size_hint(8, 1, 1))) "
	"__attribute__((vec_type_hint(float4)))\n"
	"void hinted(global int *out) { out[0] = 1; }\n"
	"kernel void told(global const float *restrict in, global volatile int *out,\n"
	"                 constant uint2 *table, local char *scratch, const int number, float4 "
	"vector,\n"
	"                 read_only image2d_t picture, write_only image3d_t volume, sampler_t "
	"smp,\n"
	"                 thing s, unsigned long big)\n"
	"{ *out = number; }\n"
	"kernel void none(void) {}\n";

static void creation_check(const struct fixture *fix, cl_program program)
{
	const struct info infos[] = {
		INFO(CL_KERNEL_FUNCTION_NAME, INFO_TEXT),
		INFO(CL_KERNEL_NUM_ARGS, INFO_UINT),
		INFO_IS(CL_KERNEL_CONTEXT, fix->context),
		INFO_IS(CL_KERNEL_PROGRAM, program),
		INFO(CL_KERNEL_ATTRIBUTES, INFO_TEXT),
		INFO(CL_KERNEL_REFERENCE_COUNT, INFO_UINT),
	};
	static const char *const names[] = {"mixed", "fixed", "hinted", "none"};
	cl_kernel kernel;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		kernel = clCreateKernel(program, names[i], &call_err);
		check_made(names[i], kernel != NULL);
		check_infos(names[i], query_clGetKernelInfo, kernel, infos, ARRAY_SIZE(infos));
		MUST(clReleaseKernel(kernel));
	}
	kernel = kernel_made(program, "mixed");
	wrong_infos("kernel", query_clGetKernelInfo, kernel, CL_KERNEL_FUNCTION_NAME, true);
	check_code("retain", clRetainKernel(kernel));
	check_infos("retained", query_clGetKernelInfo, kernel, &infos[5], 1);
	check_code("release", clReleaseKernel(kernel));
	check_code("release for good", clReleaseKernel(kernel));
	wrong_code("retain NULL", clRetainKernel(NULL));
	wrong_code("release NULL", clReleaseKernel(NULL));
	WRONG_MADE("unknown name", clCreateKernel(program, "nonsense", &call_err));
	WRONG_MADE("empty name", clCreateKernel(program, "", &call_err));
	WRONG_MADE("name of another case", clCreateKernel(program, "Mixed", &call_err));
	WRONG_MADE("name NULL", clCreateKernel(program, NULL, &call_err));
	WRONG_MADE("program NULL", clCreateKernel(NULL, "mixed", &call_err));
}

static int name_compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void all_check(cl_program program)
{
	static char names[64][64];
	cl_kernel kernels[64];
	cl_uint count = 0;

	check_code("kernels of a program", clCreateKernelsInProgram(program, 0, NULL, &count));
	check_number("number of kernels", count);
	check_code("all kernels", clCreateKernelsInProgram(program, count, kernels, NULL));
	for (cl_uint i = 0; i < count; i++) {
		MUST(clGetKernelInfo(kernels[i], CL_KERNEL_FUNCTION_NAME, sizeof(names[i]),
				     names[i], NULL));
		MUST(clReleaseKernel(kernels[i]));
	}
	qsort(names, count, sizeof(names[0]), name_compare);
	check_sum("names of all kernels", names, sizeof(names));
	wrong_code("kernels of NULL", clCreateKernelsInProgram(NULL, 0, NULL, &count));
	wrong_code("kernels, too little room",
		   clCreateKernelsInProgram(program, count - 1, kernels, NULL));
}

static void arg_info_check(cl_kernel kernel)
{
	static const struct {
		cl_kernel_arg_info param;
		const char *name;
		bool text;
	} params[] = {
		{CL_KERNEL_ARG_NAME, "name", true},
		{CL_KERNEL_ARG_TYPE_NAME, "type", true},
		{CL_KERNEL_ARG_ADDRESS_QUALIFIER, "address", false},
		{CL_KERNEL_ARG_ACCESS_QUALIFIER, "access", false},
		{CL_KERNEL_ARG_TYPE_QUALIFIER, "qualifier", false},
	};

	for (cl_uint arg = 0; arg < 11; arg++)
		for (size_t i = 0; i < ARRAY_SIZE(params); i++) {
			const char *name = named("argument %u %s", arg, params[i].name);
			char text[64] = "";
			uint64_t number = 0;
			size_t size = 0;
			cl_int code = clGetKernelArgInfo(kernel, arg, params[i].param, sizeof(text),
							 text, &size);

			memcpy(&number, text, sizeof(number));
			if (code != CL_SUCCESS)
				check_code(name, code);
			else if (params[i].text)
				check_text(name, named("%s (%zu bytes)", text, size));
			else
				check_text(name, named("%#llx (%zu bytes)",
						       (unsigned long long)number, size));
		}
}

static void arg_info_wrong(const struct fixture *fix, cl_kernel kernel)
{
	cl_program plain = program_built(fix, "kernel void bare(global int *a) { a[0] = 1; }", "");
	cl_kernel bare = kernel_made(plain, "bare");
	char text[64];

	wrong_code("argument info of NULL",
		   clGetKernelArgInfo(NULL, 0, CL_KERNEL_ARG_NAME, sizeof(text), text, NULL));
	wrong_code("argument info beyond the last",
		   clGetKernelArgInfo(kernel, 11, CL_KERNEL_ARG_NAME, sizeof(text), text, NULL));
	wrong_code("argument info of unknown parameter",
		   clGetKernelArgInfo(kernel, 0, 0x7dea, sizeof(text), text, NULL));
	wrong_code("argument info with too little room",
		   clGetKernelArgInfo(kernel, 0, CL_KERNEL_ARG_NAME, 2, text, NULL));
	check_code("argument info without the build option",
		   clGetKernelArgInfo(bare, 0, CL_KERNEL_ARG_NAME, sizeof(text), text, NULL));
	MUST(clReleaseKernel(bare));
	MUST(clReleaseProgram(plain));
}

static void work_group_info_check(const struct fixture *fix, cl_program program)
{
	static const char *const names[] = {"mixed", "fixed", "locals", "none"};
	static const struct {
		cl_kernel_work_group_info param;
		const char *name;
	} params[] = {
		{CL_KERNEL_WORK_GROUP_SIZE, "size"},
		{CL_KERNEL_COMPILE_WORK_GROUP_SIZE, "compiled size"},
		{CL_KERNEL_LOCAL_MEM_SIZE, "local memory"},
		{CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE, "multiple"},
		{CL_KERNEL_PRIVATE_MEM_SIZE, "private memory"},
	};
	size_t value[3];
	cl_kernel kernel;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		kernel = kernel_made(program, names[i]);
		for (size_t j = 0; j < ARRAY_SIZE(params); j++) {
			size_t size = 0;
			cl_int code;

			memset(value, 0, sizeof(value));
			code = clGetKernelWorkGroupInfo(kernel, fix->device, params[j].param,
							sizeof(value), value, &size);
			check_text(named("work-group of %s %s", names[i], params[j].name),
				   named("%s %zu %zu %zu (%zu bytes)", code_name(code), value[0],
					 value[1], value[2], size));
		}
		MUST(clReleaseKernel(kernel));
	}
	kernel = kernel_made(program, "fixed");
	check_code("work-group info without device",
		   clGetKernelWorkGroupInfo(kernel, NULL, CL_KERNEL_WORK_GROUP_SIZE, sizeof(value),
					    value, NULL));
	wrong_code("work-group info of NULL",
		   clGetKernelWorkGroupInfo(NULL, fix->device, CL_KERNEL_WORK_GROUP_SIZE,
					    sizeof(value), value, NULL));
	wrong_code(
		"work-group info of unknown parameter",
		clGetKernelWorkGroupInfo(kernel, fix->device, 0x7dea, sizeof(value), value, NULL));
	wrong_code("work-group info with too little room",
		   clGetKernelWorkGroupInfo(kernel, fix->device, CL_KERNEL_COMPILE_WORK_GROUP_SIZE,
					    sizeof(value) - 1, value, NULL));
	wrong_code("work-group info of global size",
		   clGetKernelWorkGroupInfo(kernel, fix->device, CL_KERNEL_GLOBAL_WORK_SIZE,
					    sizeof(value), value, NULL));
	MUST(clReleaseKernel(kernel));
}

/* Each value comes back from the device as it went; one byte less or more is refused. */
static void values_check(const struct fixture *fix, cl_program program)
{
	static const struct {
		const char *type;
		size_t size;
	} types[] = {
		{"char", 1},   {"uchar", 1},	{"short", 2},	 {"ushort", 2},	 {"int", 4},
		{"uint", 4},   {"long", 8},	{"ulong", 8},	 {"float", 4},	 {"double", 8},
		{"char2", 2},  {"short4", 8},	{"int2", 8},	 {"int3", 16},	 {"float4", 16},
		{"uint8", 32}, {"float16", 64}, {"double2", 16}, {"struct", 16},
	};
	unsigned char value[128];

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		const char *type = types[i].type;
		cl_kernel kernel = kernel_made(program, named("v_%s", type));
		cl_mem out = buffer_patterned(fix, 128, 7);

		pattern(value, sizeof(value), (unsigned)i + 1);
		/* int3's fourth part and the structure's last byte are nobody's: the same 0. */
		memset(value + (types[i].size == 16 ? 12 : types[i].size), 0,
		       types[i].size == 16 ? 116 : sizeof(value) - types[i].size);
		check_code(named("set out of %s", type),
			   clSetKernelArg(kernel, 0, sizeof(out), &out));
		wrong_code(named("set %s one byte too small", type),
			   clSetKernelArg(kernel, 1, types[i].size - 1, value));
		wrong_code(named("set %s one byte too large", type),
			   clSetKernelArg(kernel, 1, types[i].size + 1, value));
		check_code(named("set %s", type), clSetKernelArg(kernel, 1, types[i].size, value));
		/* The value was copied: what happens to it now does not matter. */
		value[0] ^= 0xff;
		check_code(named("run %s", type), clEnqueueTask(fix->queue, kernel, 0, NULL, NULL));
		check_buffer_sum(named("result of %s", type), fix->queue, out, types[i].size);
		MUST(clReleaseKernel(kernel));
		MUST(clReleaseMemObject(out));
	}
}

/* NULL may stand for a buffer, as a NULL handle or as no value at all. */
static void nulls_check(const struct fixture *fix, cl_program program)
{
	cl_kernel kernel = kernel_made(program, "nulls");
	cl_mem out = buffer_patterned(fix, 64, 1);
	cl_mem null = NULL;

	MUST(clSetKernelArg(kernel, 0, sizeof(out), &out));
	check_code("set NULL handle", clSetKernelArg(kernel, 1, sizeof(cl_mem), &null));
	check_code("set NULL constant", clSetKernelArg(kernel, 2, sizeof(cl_mem), &null));
	check_code("set no value", clSetKernelArg(kernel, 3, sizeof(cl_mem), NULL));
	check_code("run with NULLs", clEnqueueTask(fix->queue, kernel, 0, NULL, NULL));
	check_buffer_sum("result with NULLs", fix->queue, out, 64);
	MUST(clSetKernelArg(kernel, 1, sizeof(out), &out));
	MUST(clSetKernelArg(kernel, 2, sizeof(out), &out));
	MUST(clSetKernelArg(kernel, 3, sizeof(out), &out));
	check_code("run without NULLs", clEnqueueTask(fix->queue, kernel, 0, NULL, NULL));
	check_buffer_sum("result without NULLs", fix->queue, out, 64);
	MUST(clReleaseKernel(kernel));
	MUST(clReleaseMemObject(out));
}

static void locals_check(const struct fixture *fix, cl_program program)
{
	cl_kernel kernel = kernel_made(program, "locals");
	cl_mem out = buffer_patterned(fix, 64, 1);
	const size_t global = 16;

	MUST(clSetKernelArg(kernel, 0, sizeof(out), &out));
	wrong_code("set local of size 0", clSetKernelArg(kernel, 1, 0, NULL));
	wrong_code("set local with a value", clSetKernelArg(kernel, 1, 64, &global));
	check_code("set local", clSetKernelArg(kernel, 1, 64, NULL));
	check_code("set second local", clSetKernelArg(kernel, 2, 256, NULL));
	check_code("run with locals", clEnqueueNDRangeKernel(fix->queue, kernel, 1, NULL, &global,
							     &global, 0, NULL, NULL));
	check_buffer_sum("result with locals", fix->queue, out, 64);
	MUST(clReleaseKernel(kernel));
	MUST(clReleaseMemObject(out));
}

/* Arguments keep their values between launches; a launch keeps those it was made with. */
static void keeping_check(const struct fixture *fix, cl_program program)
{
	static const int table[] = {10, 20, 30, 40};
	cl_kernel kernel = kernel_made(program, "mixed");
	cl_mem out = buffer_patterned(fix, SIZE, 1);
	cl_mem constants =
		MUST_MAKE(clCreateBuffer(fix->context, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR,
					 sizeof(table), (void *)table, &call_err));
	const size_t one = 1;

	MUST(clSetKernelArg(kernel, 0, sizeof(out), &out));
	MUST(clSetKernelArg(kernel, 1, sizeof(constants), &constants));
	MUST(clSetKernelArg(kernel, 3, 64, NULL));
	for (int i = 0; i < 16; i++) {
		const size_t offset = (size_t)i;
		const int index = i % 4;
		const cl_uchar add = (cl_uchar)i;

		MUST(clSetKernelArg(kernel, 2, sizeof(index), &index));
		if (i % 2)
			MUST(clSetKernelArg(kernel, 4, sizeof(add), &add));
		else if (i == 0)
			MUST(clSetKernelArg(kernel, 4, sizeof(add), "x"));
		MUST(clEnqueueNDRangeKernel(fix->queue, kernel, 1, &offset, &one, &one, 0, NULL,
					    NULL));
	}
	/* The kernel and the table may go while launches wait. */
	check_code("release kernel with launches", clReleaseKernel(kernel));
	check_code("release argument with launches", clReleaseMemObject(constants));
	check_buffer_sum("results of 16 launches", fix->queue, out, SIZE);
	MUST(clReleaseMemObject(out));
}

static cl_mem image_made(const struct fixture *fix)
{
	static const cl_image_format format = {CL_RGBA, CL_FLOAT};
	static const cl_image_desc desc = {
		.image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = 16, .image_height = 1};

	return MUST_MAKE(clCreateImage(fix->context, 0, &format, &desc, NULL, &call_err));
}

static void images_check(const struct fixture *fix, cl_program program)
{
	static const size_t region[3] = {16, 1, 1};
	static const size_t origin[3];
	cl_kernel kernel = kernel_made(program, "images");
	cl_mem out = buffer_patterned(fix, SIZE, 1);
	cl_mem images[2] = {image_made(fix), image_made(fix)};
	cl_sampler sampler = MUST_MAKE(clCreateSampler(fix->context, CL_FALSE, CL_ADDRESS_CLAMP,
						       CL_FILTER_NEAREST, &call_err));
	float texels[64];

	for (int i = 0; i < 64; i++)
		texels[i] = (float)i / 8;
	MUST(clEnqueueWriteImage(fix->queue, images[0], CL_TRUE, origin, region, 0, 0, texels, 0,
				 NULL, NULL));
	MUST(clSetKernelArg(kernel, 0, sizeof(out), &out));
	check_code("set image to read", clSetKernelArg(kernel, 1, sizeof(cl_mem), &images[0]));
	check_code("set sampler", clSetKernelArg(kernel, 2, sizeof(sampler), &sampler));
	check_code("set image to write", clSetKernelArg(kernel, 3, sizeof(cl_mem), &images[1]));
	check_code("run with images", clEnqueueNDRangeKernel(fix->queue, kernel, 1, NULL, region,
							     NULL, 0, NULL, NULL));
	check_buffer_sum("result of image reads", fix->queue, out, SIZE);
	MUST(clEnqueueReadImage(fix->queue, images[1], CL_TRUE, origin, region, 0, 0, texels, 0,
				NULL, NULL));
	check_sum("result of image writes", texels, sizeof(texels));
	MUST(clReleaseSampler(sampler));
	MUST(clReleaseMemObject(images[0]));
	MUST(clReleaseMemObject(images[1]));
	MUST(clReleaseMemObject(out));
	MUST(clReleaseKernel(kernel));
}

/* Arguments that do not fit the kernel's signature. */
static void args_wrong(const struct fixture *fix, cl_program program)
{
	cl_kernel images = kernel_made(program, "images");
	cl_kernel mixed = kernel_made(program, "mixed");
	cl_mem buffer = buffer_patterned(fix, 64, 1);
	cl_mem image = image_made(fix);
	cl_mem stranger = MUST_MAKE(clCreateBuffer(fix->other, 0, 64, NULL, &call_err));
	cl_sampler null_sampler = NULL;
	cl_mem null_mem = NULL;
	const int number = 5;

	wrong_code("set on kernel NULL", clSetKernelArg(NULL, 0, sizeof(buffer), &buffer));
	wrong_code("set beyond the last", clSetKernelArg(mixed, 5, sizeof(number), &number));
	wrong_code("set far beyond the last",
		   clSetKernelArg(mixed, 0xffffffff, sizeof(number), &number));
	wrong_code("set buffer with the size of an int",
		   clSetKernelArg(mixed, 0, sizeof(number), &buffer));
	wrong_code("set buffer with size 0", clSetKernelArg(mixed, 0, 0, &buffer));
	wrong_code("set constant with a large size", clSetKernelArg(mixed, 1, 16, &buffer));
	wrong_code("set int with size 0", clSetKernelArg(mixed, 2, 0, &number));
	wrong_code("set int with the size of a handle",
		   clSetKernelArg(mixed, 2, sizeof(buffer), &buffer));
	wrong_code("set int without value", clSetKernelArg(mixed, 2, sizeof(number), NULL));
	wrong_code("set image with size 4", clSetKernelArg(images, 1, 4, &image));
	wrong_code("set sampler with size 4", clSetKernelArg(images, 2, 4, &null_sampler));
	wrong_code("set image without value", clSetKernelArg(images, 1, sizeof(image), NULL));
	wrong_code("set sampler without value",
		   clSetKernelArg(images, 2, sizeof(null_sampler), NULL));
	wrong_code("set NULL sampler",
		   clSetKernelArg(images, 2, sizeof(null_sampler), &null_sampler));
	wrong_code("set NULL image", clSetKernelArg(images, 1, sizeof(null_mem), &null_mem));
	wrong_code("set image for a buffer", clSetKernelArg(mixed, 0, sizeof(image), &image));
	wrong_code("set buffer for an image", clSetKernelArg(images, 1, sizeof(buffer), &buffer));
	wrong_code("set buffer of another context",
		   clSetKernelArg(mixed, 0, sizeof(stranger), &stranger));
	MUST(clReleaseMemObject(stranger));
	MUST(clReleaseMemObject(image));
	MUST(clReleaseMemObject(buffer));
	MUST(clReleaseKernel(mixed));
	MUST(clReleaseKernel(images));
}

/* A kernel with one argument that was never set does not run, whichever it is. */
static void unset_wrong(const struct fixture *fix, cl_program program)
{
	cl_mem buffer = buffer_patterned(fix, 64, 1);
	const int number = 0;

	for (cl_uint left_out = 0; left_out < 5; left_out++) {
		const struct {
			size_t size;
			const void *value;
		} args[] = {{sizeof(buffer), &buffer},
			    {sizeof(buffer), &buffer},
			    {sizeof(number), &number},
			    {16, NULL},
			    {1, &number}};
		cl_kernel kernel = kernel_made(program, "mixed");

		for (cl_uint i = 0; i < 5; i++)
			if (i != left_out)
				MUST(clSetKernelArg(kernel, i, args[i].size, args[i].value));
		wrong_code(named("run without argument %u", left_out),
			   clEnqueueTask(fix->queue, kernel, 0, NULL, NULL));
		MUST(clReleaseKernel(kernel));
	}
	MUST(clReleaseMemObject(buffer));
}

int main(void)
{
	struct fixture fix;
	cl_program program;
	cl_kernel told;

	transcript_begin("kernel");
	fixture_open(&fix);
	program = program_built(&fix, source, "-cl-kernel-arg-info");
	creation_check(&fix, program);
	all_check(program);
	told = kernel_made(program, "told");
	arg_info_check(told);
	arg_info_wrong(&fix, told);
	MUST(clReleaseKernel(told));
	work_group_info_check(&fix, program);
	values_check(&fix, program);
	nulls_check(&fix, program);
	locals_check(&fix, program);
	keeping_check(&fix, program);
	images_check(&fix, program);
	args_wrong(&fix, program);
	unset_wrong(&fix, program);
	MUST(clReleaseProgram(program));
	fixture_close(&fix);
	return transcript_end();
}
