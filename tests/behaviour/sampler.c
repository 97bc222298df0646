/* SPDX-License-Identifier: MIT */
/*
 * Samplers: every kind the specification knows, and what kernels read through them.
 */
#include "harness.h"

INFO_QUERY(clGetSamplerInfo, cl_sampler)

enum { WIDTH = 8, POINTS = 64 };

static const char source[] =
	"kernel void sample(global float4 *out, read_only image2d_t in, sampler_t smp, float "
	"scale)\n"
	"{ int i = get_global_id(0);\n"
	"  out[i] = read_imagef(in, smp, (float2)((i - 16) * 0.375f * scale, 1.25f * scale)); }\n";

static const struct {
	const char *name;
	cl_addressing_mode mode;
} modes[] = {
	{"NONE", CL_ADDRESS_NONE},
	{"CLAMP_TO_EDGE", CL_ADDRESS_CLAMP_TO_EDGE},
	{"CLAMP", CL_ADDRESS_CLAMP},
	{"REPEAT", CL_ADDRESS_REPEAT},
	{"MIRRORED_REPEAT", CL_ADDRESS_MIRRORED_REPEAT},
};

static const struct {
	const char *name;
	cl_filter_mode mode;
} filters[] = {
	{"NEAREST", CL_FILTER_NEAREST},
	{"LINEAR", CL_FILTER_LINEAR},
};

/* What kernels read: a small picture of floats. */
struct stage {
	struct fixture fix;
	cl_kernel kernel;
	cl_mem image;
	cl_mem out;
};

static void stage_open(struct stage *s)
{
	static const cl_image_format format = {CL_RGBA, CL_FLOAT};
	static const cl_image_desc desc = {
		.image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = WIDTH, .image_height = WIDTH};
	static float texels[WIDTH * WIDTH * 4];
	cl_program program;

	for (size_t i = 0; i < ARRAY_SIZE(texels); i++)
		texels[i] = (float)(i % 97) / 16;
	fixture_open(&s->fix);
	program = program_built(&s->fix, source, "");
	s->kernel = kernel_made(program, "sample");
	MUST(clReleaseProgram(program));
	s->image = MUST_MAKE(clCreateImage(s->fix.context, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR,
					   &format, &desc, texels, &call_err));
	s->out = MUST_MAKE(
		clCreateBuffer(s->fix.context, 0, POINTS * sizeof(cl_float4), NULL, &call_err));
	MUST(clSetKernelArg(s->kernel, 0, sizeof(s->out), &s->out));
	MUST(clSetKernelArg(s->kernel, 1, sizeof(s->image), &s->image));
}

static void stage_close(struct stage *s)
{
	MUST(clReleaseKernel(s->kernel));
	MUST(clReleaseMemObject(s->image));
	MUST(clReleaseMemObject(s->out));
	fixture_close(&s->fix);
}

static void sampler_check(struct stage *s, const char *name, cl_sampler sampler, bool normalized)
{
	const struct info infos[] = {
		INFO_IS(CL_SAMPLER_CONTEXT, s->fix.context),
		INFO(CL_SAMPLER_NORMALIZED_COORDS, INFO_UINT),
		INFO(CL_SAMPLER_ADDRESSING_MODE, INFO_BITS),
		INFO(CL_SAMPLER_FILTER_MODE, INFO_BITS),
	};
	const cl_float scale = normalized ? 1.0F / WIDTH : 1;
	const size_t global = POINTS;

	check_infos(name, query_clGetSamplerInfo, sampler, infos, ARRAY_SIZE(infos));
	MUST(clSetKernelArg(s->kernel, 2, sizeof(sampler), &sampler));
	MUST(clSetKernelArg(s->kernel, 3, sizeof(scale), &scale));
	check_code(named("%s run", name), clEnqueueNDRangeKernel(s->fix.queue, s->kernel, 1, NULL,
								 &global, NULL, 0, NULL, NULL));
	check_buffer_sum(named("%s result", name), s->fix.queue, s->out,
			 POINTS * sizeof(cl_float4));
}

/* Repeating needs normalized coordinates, and none at all lies outside what CL_ADDRESS_NONE allows.
 */
static bool runs(cl_bool normalized, cl_addressing_mode mode)
{
	bool repeats = mode == CL_ADDRESS_REPEAT || mode == CL_ADDRESS_MIRRORED_REPEAT;

	return mode != CL_ADDRESS_NONE && (normalized || !repeats);
}

static void kinds_check(struct stage *s)
{
	for (cl_bool normalized = CL_FALSE; normalized <= CL_TRUE; normalized++)
		for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
			for (size_t j = 0; j < ARRAY_SIZE(filters); j++) {
				const char *name = named("%s %s%s", modes[i].name, filters[j].name,
							 normalized ? " normalized" : "");
				cl_sampler sampler =
					clCreateSampler(s->fix.context, normalized, modes[i].mode,
							filters[j].mode, &call_err);

				check_made(name, sampler != NULL);
				if (!sampler || call_err != CL_SUCCESS)
					continue;
				if (runs(normalized, modes[i].mode))
					sampler_check(s, name, sampler, normalized);
				MUST(clReleaseSampler(sampler));
			}
}

static void sampler_wrong(const struct fixture *fix)
{
	const struct info references = INFO(CL_SAMPLER_REFERENCE_COUNT, INFO_UINT);
	cl_context context = fix->context;
	cl_sampler sampler;

	WRONG_MADE("context NULL",
		   clCreateSampler(NULL, CL_TRUE, CL_ADDRESS_CLAMP, CL_FILTER_NEAREST, &call_err));
	WRONG_MADE("unknown addressing",
		   clCreateSampler(context, CL_TRUE, 0x7dea, CL_FILTER_NEAREST, &call_err));
	WRONG_MADE("addressing 0",
		   clCreateSampler(context, CL_TRUE, 0, CL_FILTER_NEAREST, &call_err));
	WRONG_MADE("unknown filter",
		   clCreateSampler(context, CL_TRUE, CL_ADDRESS_CLAMP, 0x7dea, &call_err));
	WRONG_MADE("filter 0", clCreateSampler(context, CL_TRUE, CL_ADDRESS_CLAMP, 0, &call_err));
	WRONG_MADE("normalized neither true nor false",
		   clCreateSampler(context, 7, CL_ADDRESS_CLAMP, CL_FILTER_NEAREST, &call_err));
	sampler = MUST_MAKE(
		clCreateSampler(context, CL_TRUE, CL_ADDRESS_CLAMP, CL_FILTER_NEAREST, &call_err));
	wrong_infos("sampler", query_clGetSamplerInfo, sampler, CL_SAMPLER_CONTEXT, true);
	check_code("retain", clRetainSampler(sampler));
	check_infos("retained", query_clGetSamplerInfo, sampler, &references, 1);
	check_code("release", clReleaseSampler(sampler));
	check_infos("released once", query_clGetSamplerInfo, sampler, &references, 1);
	check_code("release for good", clReleaseSampler(sampler));
	wrong_code("retain NULL", clRetainSampler(NULL));
	wrong_code("release NULL", clReleaseSampler(NULL));
}

#define LIST(...) ((const cl_sampler_properties[]){__VA_ARGS__, 0})

static void properties_check(struct stage *s)
{
	const struct {
		const char *name;
		const cl_sampler_properties *list;
		bool normalized;
	} lists[] = {
		{"empty properties", (const cl_sampler_properties[]){0}, true},
		{"property normalized", LIST(CL_SAMPLER_NORMALIZED_COORDS, CL_FALSE), false},
		{"property addressing", LIST(CL_SAMPLER_ADDRESSING_MODE, CL_ADDRESS_REPEAT), true},
		{"property filter", LIST(CL_SAMPLER_FILTER_MODE, CL_FILTER_LINEAR), true},
		{"all properties",
		 LIST(CL_SAMPLER_FILTER_MODE, CL_FILTER_LINEAR, CL_SAMPLER_NORMALIZED_COORDS,
		      CL_TRUE, CL_SAMPLER_ADDRESSING_MODE, CL_ADDRESS_CLAMP_TO_EDGE),
		 true},
	};
	const struct info infos[] = {
		INFO(CL_SAMPLER_PROPERTIES, INFO_SIZES),
		INFO(CL_SAMPLER_REFERENCE_COUNT, INFO_UINT),
	};

	MADE("no properties", clCreateSamplerWithProperties(s->fix.context, NULL, &call_err));
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		cl_sampler sampler =
			clCreateSamplerWithProperties(s->fix.context, lists[i].list, &call_err);

		check_made(lists[i].name, sampler != NULL);
		if (!sampler)
			continue;
		check_infos(lists[i].name, query_clGetSamplerInfo, sampler, infos,
			    ARRAY_SIZE(infos));
		sampler_check(s, lists[i].name, sampler, lists[i].normalized);
		MUST(clReleaseSampler(sampler));
	}
}

static void properties_wrong(const struct fixture *fix)
{
	const struct {
		const char *name;
		const cl_sampler_properties *list;
	} lists[] = {
		{"unknown property", LIST(0x7dea, 1)},
		{"property twice", LIST(CL_SAMPLER_FILTER_MODE, CL_FILTER_LINEAR,
					CL_SAMPLER_FILTER_MODE, CL_FILTER_LINEAR)},
		{"property normalized neither true nor false",
		 LIST(CL_SAMPLER_NORMALIZED_COORDS, 7)},
		{"property addressing unknown", LIST(CL_SAMPLER_ADDRESSING_MODE, 0x7dea)},
		{"property filter unknown", LIST(CL_SAMPLER_FILTER_MODE, 0x7dea)},
	};

	WRONG_MADE("properties, context NULL",
		   clCreateSamplerWithProperties(NULL, NULL, &call_err));
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		WRONG_MADE(lists[i].name,
			   clCreateSamplerWithProperties(fix->context, lists[i].list, &call_err));
}

int main(void)
{
	struct stage stage;

	transcript_begin("sampler");
	stage_open(&stage);
	kinds_check(&stage);
	sampler_wrong(&stage.fix);
	properties_check(&stage);
	properties_wrong(&stage.fix);
	stage_close(&stage);
	return transcript_end();
}
