/* SPDX-License-Identifier: MIT */
/*
 * Every entry point's errors, alone and two at once. The tables are in errors-*.c.
 */
#include "errors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARGS_MAX   16
#define FAULTS_MAX 40
#define SPARES	   8

struct objects on;

static unsigned unlike_table;

static const char source[] =
	"__kernel void k(__global int *p, int n) { p[get_global_id(0)] = n; }\n"
	"__kernel __attribute__((reqd_work_group_size(4, 1, 1)))\n"
	"void fixed(__global int *p) { p[get_global_id(0)] = 1; }\n";

bool errors_guest(void)
{
	static char name[256];

	if (!name[0])
		MUST(clGetPlatformInfo(on.platform, CL_PLATFORM_NAME, sizeof(name), name, NULL));
	return strstr(name, "guestcl");
}

bool errors_right(void)
{
	return unlike_table == 0;
}

/* ------------------------------------------------------------ rows */

static void fault_apply(const struct fault *fault, uintptr_t *args)
{
	for (size_t i = 0; i < FAULT_SETS_MAX; i++)
		args[fault->sets[i].arg] = fault->sets[i].value;
}

static bool faults_share(const struct fault *a, const struct fault *b)
{
	for (size_t i = 0; i < FAULT_SETS_MAX; i++)
		for (size_t j = 0; j < FAULT_SETS_MAX; j++)
			if (a->sets[i].arg == b->sets[j].arg)
				return true;
	return false;
}

static cl_int row_call(const struct row *row, const struct fault *one, const struct fault *two)
{
	uintptr_t args[ARGS_MAX];

	memcpy(args, row->right, row->arg_count * sizeof(*args));
	if (one)
		fault_apply(one, args);
	if (two)
		fault_apply(two, args);
	return row->call(args);
}

/* Tells of a code that is not the table's. */
static const char *code_noted(const char *function, const char *what, cl_int code, cl_int meant)
{
	if (code == meant)
		return code_name(code);
	if (errors_guest()) {
		fprintf(stderr, "%s, %s: %s, not %s\n", function, what, code_name(code),
			code_name(meant));
		unlike_table++;
	}
	return named("%s, not %s", code_name(code), code_name(meant));
}

/* Both faults at once, where each alone is refused with a code of its own. Return: was it the
 * second that was told, or a third? */
static bool pair_otherwise(const struct row *row, const struct fault *first,
			   const struct fault *second, const cl_int *codes)
{
	cl_int one = codes[first - row->faults], two = codes[second - row->faults];
	cl_int code;

	if (faults_share(first, second) || one == CL_SUCCESS || two == CL_SUCCESS || one == two)
		return false;
	if (!errors_guest() &&
	    (row->native != NATIVE_ALL || first->guest_only || second->guest_only))
		return false;
	code = row_call(row, first, second);
	if (code == one)
		return false;
	if (errors_guest()) {
		fprintf(stderr, "%s, %s and %s: %s, not %s\n", row->function, first->name,
			second->name, code_name(code), code_name(one));
		unlike_table++;
	}
	return true;
}

void errors_check(const struct row *row)
{
	cl_int codes[FAULTS_MAX];
	unsigned otherwise = 0;
	bool native = !errors_guest();
	bool absent = native && row->native == NATIVE_NONE;

	if (row->fault_count > FAULTS_MAX || row->arg_count > ARGS_MAX)
		fatal(__FILE__, __LINE__, row->function, CL_SUCCESS);
	check_text(named("%s right", row->function),
		   code_noted(row->function, "right",
			      absent ? row->code : row_call(row, NULL, NULL), row->code));
	for (size_t i = 0; i < row->fault_count; i++) {
		const struct fault *fault = &row->faults[i];

		codes[i] = absent || (native && fault->guest_only) ? fault->code
								   : row_call(row, fault, NULL);
		wrong_text(named("%s %s", row->function, fault->name),
			   code_noted(row->function, fault->name, codes[i], fault->code));
	}
	for (size_t i = 0; i < row->fault_count; i++)
		for (size_t j = i + 1; j < row->fault_count; j++)
			otherwise += pair_otherwise(row, &row->faults[i], &row->faults[j], codes);
	wrong_text(named("%s two at once", row->function),
		   otherwise ? named("%u pairs tell another", otherwise)
			     : "the first in the table");
}

/* ------------------------------------------------------------ objects */

static cl_mem image_of(cl_context context, cl_channel_type type)
{
	const cl_image_format format = {CL_RGBA, type};
	const cl_image_desc desc = {.image_type = CL_MEM_OBJECT_IMAGE2D,
				    .image_width = IMAGE_SIDE,
				    .image_height = IMAGE_SIDE};

	return MUST_MAKE(clCreateImage(context, 0, &format, &desc, NULL, &call_err));
}

static cl_mem buffer_of(cl_context context, cl_mem_flags flags)
{
	return MUST_MAKE(clCreateBuffer(context, flags, BUFFER_SIZE, NULL, &call_err));
}

static cl_program program_of(struct fixture *fix)
{
	return program_built(fix, source, "-cl-std=CL1.2 -cl-kernel-arg-info");
}

static cl_event event_of(cl_context context)
{
	cl_event event = MUST_MAKE(clCreateUserEvent(context, &call_err));

	MUST(clSetUserEventStatus(event, CL_COMPLETE));
	return event;
}

static void memory_make(void)
{
	on.buffer = buffer_of(on.context, 0);
	on.second = buffer_of(on.context, 0);
	on.foreign = buffer_of(on.fix.other, 0);
	on.unreadable = buffer_of(on.context, CL_MEM_HOST_WRITE_ONLY);
	on.unwritable = buffer_of(on.context, CL_MEM_HOST_READ_ONLY);
	on.image = image_of(on.context, CL_UNORM_INT8);
	on.second_image = image_of(on.context, CL_UNORM_INT8);
	on.float_image = image_of(on.context, CL_FLOAT);
	on.foreign_image = image_of(on.fix.other, CL_UNORM_INT8);
	on.sampler = MUST_MAKE(clCreateSampler(on.context, CL_FALSE, CL_ADDRESS_CLAMP,
					       CL_FILTER_NEAREST, &call_err));
	on.svm = clSVMAlloc(on.context, CL_MEM_READ_WRITE, BUFFER_SIZE, 0);
	if (!on.svm)
		fatal(__FILE__, __LINE__, "clSVMAlloc", CL_SUCCESS);
}

static void programs_make(void)
{
	struct fixture other = {.context = on.fix.other, .device = on.device};
	const char *text = source;
	cl_int n = 1;

	on.program = program_of(&on.fix);
	on.foreign_program = program_of(&other);
	on.source = MUST_MAKE(clCreateProgramWithSource(on.context, 1, &text, NULL, &call_err));
	on.kernel = kernel_made(on.program, "k");
	on.unset = kernel_made(on.program, "k");
	on.fixed = kernel_made(on.program, "fixed");
	on.foreign_kernel = kernel_made(on.foreign_program, "k");
	MUST(clSetKernelArg(on.kernel, 0, sizeof(cl_mem), &on.buffer));
	MUST(clSetKernelArg(on.kernel, 1, sizeof(n), &n));
	MUST(clSetKernelArg(on.fixed, 0, sizeof(cl_mem), &on.buffer));
	MUST(clSetKernelArg(on.foreign_kernel, 0, sizeof(cl_mem), &on.foreign));
	MUST(clSetKernelArg(on.foreign_kernel, 1, sizeof(n), &n));
}

static void events_make(void)
{
	on.event = event_of(on.context);
	on.foreign_event = event_of(on.fix.other);
	on.events[0] = on.event;
	on.events_null[0] = on.event;
	on.events_kind[0] = on.event;
	on.events_kind[1] = (cl_event)(void *)on.buffer;
	on.events_none[0] = on.event;
	on.events_none[1] = (cl_event)(void *)on.none;
	on.events_gone[0] = on.event;
	on.events_foreign[0] = on.event;
	on.events_foreign[1] = on.foreign_event;
}

/* Released after the ones that are gone, so that new objects take the places of these. */
static struct {
	cl_mem mems[SPARES];
	cl_program programs[SPARES];
	cl_event events[SPARES];
} spare;

static void spares_make(void)
{
	const char *text = source;

	for (size_t i = 0; i < SPARES; i++) {
		spare.mems[i] = buffer_of(on.context, 0);
		spare.programs[i] =
			MUST_MAKE(clCreateProgramWithSource(on.context, 1, &text, NULL, &call_err));
		spare.events[i] = event_of(on.context);
	}
}

static void spares_release(void)
{
	for (size_t i = 0; i < SPARES; i++) {
		RELEASE(spare.mems[i]);
		RELEASE(spare.programs[i]);
		RELEASE(spare.events[i]);
	}
}

/* Natively nothing that is gone is used. */
static void gone_make(void)
{
	if (!errors_guest())
		return;
	on.gone_context = MUST_MAKE(clCreateContext(NULL, 1, &on.device, NULL, NULL, &call_err));
	on.gone_queue = MUST_MAKE(clCreateCommandQueue(on.context, on.device, 0, &call_err));
	on.gone_buffer = buffer_of(on.context, 0);
	on.gone_sampler = MUST_MAKE(clCreateSampler(on.context, CL_FALSE, CL_ADDRESS_CLAMP,
						    CL_FILTER_NEAREST, &call_err));
	on.gone_program = program_of(&on.fix);
	on.gone_kernel = kernel_made(on.program, "k");
	on.gone_event = event_of(on.context);
	on.events_gone[1] = on.gone_event;
	spares_make();
}

static void gone_release(void)
{
	if (!errors_guest())
		return;
	MUST(clReleaseEvent(on.gone_event));
	MUST(clReleaseKernel(on.gone_kernel));
	MUST(clReleaseProgram(on.gone_program));
	MUST(clReleaseSampler(on.gone_sampler));
	MUST(clReleaseMemObject(on.gone_buffer));
	MUST(clReleaseCommandQueue(on.gone_queue));
	MUST(clReleaseContext(on.gone_context));
	spares_release();
}

static void objects_open(void)
{
	cl_uint bits;
	cl_ulong most;

	fixture_open(&on.fix);
	on.platform = on.fix.platform;
	on.device = on.fix.device;
	on.context = on.fix.context;
	on.queue = on.fix.queue;
	MUST(clGetDeviceInfo(on.device, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof(bits), &bits, NULL));
	MUST(clGetDeviceInfo(on.device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(most), &most, NULL));
	on.align = bits / 8;
	on.max_alloc = most;
	memory_make();
	programs_make();
	events_make();
	gone_make();
	gone_release();
}

static void memory_release(void)
{
	clSVMFree(on.context, on.svm);
	RELEASE(on.sampler);
	RELEASE(on.foreign_image);
	RELEASE(on.float_image);
	RELEASE(on.second_image);
	RELEASE(on.image);
	RELEASE(on.unwritable);
	RELEASE(on.unreadable);
	RELEASE(on.foreign);
	RELEASE(on.second);
	RELEASE(on.buffer);
}

static void objects_close(void)
{
	MUST(clFinish(on.queue));
	RELEASE(on.foreign_event);
	RELEASE(on.event);
	RELEASE(on.foreign_kernel);
	RELEASE(on.fixed);
	RELEASE(on.unset);
	RELEASE(on.kernel);
	RELEASE(on.source);
	RELEASE(on.foreign_program);
	RELEASE(on.program);
	memory_release();
	fixture_close(&on.fix);
}

int main(void)
{
	int status;

	transcript_begin("errors");
	objects_open();
	errors_objects();
	errors_memory();
	errors_programs();
	errors_transfers();
	errors_images();
	errors_commands();
	errors_svm();
	objects_close();
	status = transcript_end();
	return errors_right() ? status : EXIT_FAILURE;
}
