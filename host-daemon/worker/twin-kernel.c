// SPDX-License-Identifier: MIT
/*
 * Twins of programs, which are made again from their recipes, and of kernels, whose arguments are
 * set when they are about to run there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"
#include "svm.h"

/* Where a program was made again. */
struct program_twin {
	struct gcl_list link;	   /* in sides.programs */
	struct gcl_recipe *recipe; /* a reference */
	cl_program handles[GCL_SIDES];
};

/* ------------------------------------------------------------ kernels' arguments */

void gcl_arg_forget(struct gcl_kernel_arg *arg)
{
	gcl_mem_put(steal_pointer(&arg->mem));
	arg->svm = NULL;
	arg->svm_set = false;
	gcl_sampler_put(steal_pointer(&arg->sampler));
	free(steal_pointer(&arg->data));
	arg->size = 0;
	arg->stale = GCL_SIDES_ALL & (uint8_t)~GCL_SIDE_BIT(GCL_HOME);
}

void gcl_arg_keep_mem(struct gcl_kernel_arg *arg, struct gcl_mem *mem)
{
	if (mem)
		gcl_mem_get(mem);
	gcl_arg_forget(arg);
	arg->mem = mem;
	arg->size = sizeof(cl_mem);
	if (mem && !mem->handles[GCL_HOME])
		arg->stale |= GCL_SIDE_BIT(GCL_HOME);
}

void gcl_arg_keep_svm(struct gcl_kernel_arg *arg, struct gcl_mem *mem, const void *pointer)
{
	gcl_arg_keep_mem(arg, mem);
	arg->svm = pointer;
	arg->svm_set = true;
}

void gcl_arg_keep_sampler(struct gcl_kernel_arg *arg, struct gcl_sampler *sampler)
{
	sampler->refs++;
	gcl_arg_forget(arg);
	arg->sampler = sampler;
	arg->size = sizeof(cl_sampler);
}

int gcl_arg_keep_value(struct gcl_kernel_arg *arg, uint64_t size, const void *data)
{
	void *kept = NULL;

	/* Most are set again and again, to values of one size. */
	if (data && arg->data && arg->size == size) {
		memcpy(arg->data, data, size);
		arg->stale = GCL_SIDES_ALL & (uint8_t)~GCL_SIDE_BIT(GCL_HOME);
		return 0;
	}
	if (data) {
		kept = malloc(size);
		if (!kept)
			return -ENOMEM;
		memcpy(kept, data, size);
	}
	gcl_arg_forget(arg);
	arg->data = kept;
	arg->size = size;
	return 0;
}

static cl_int arg_set_on(struct gcl_worker *worker, struct gcl_kernel_arg *arg, cl_kernel kernel,
			 cl_uint index, unsigned side)
{
	cl_int status = CL_SUCCESS;
	cl_sampler sampler;
	cl_mem mem = NULL;

	if (arg->svm_set) {
		if (arg->mem)
			gcl_mem_on(worker, arg->mem, side, &status);
		return status ? status : clSetKernelArgSVMPointer(kernel, index, arg->svm);
	}
	if (arg->sampler) {
		sampler = gcl_sampler_on(worker, arg->sampler, side, &status);
		return status ? status : clSetKernelArg(kernel, index, sizeof sampler, &sampler);
	}
	if (!arg->mem)
		return clSetKernelArg(kernel, index, arg->size, arg->data);
	mem = gcl_mem_on(worker, arg->mem, side, &status);
	return status ? status : clSetKernelArg(kernel, index, sizeof mem, &mem);
}

/* ------------------------------------------------------------ programs and kernels */

static struct program_twin *program_find(struct gcl_worker *worker, const struct gcl_recipe *recipe)
{
	gcl_list_for_each (it, &worker->sides.programs) {
		struct program_twin *twin = gcl_container_of(it, struct program_twin, link);

		if (twin->recipe == recipe)
			return twin;
	}
	return NULL;
}

bool gcl_program_there(struct gcl_worker *worker, const struct gcl_recipe *recipe, unsigned side)
{
	const struct program_twin *twin = program_find(worker, recipe);

	return twin && twin->handles[side];
}

static void program_free(struct program_twin *twin)
{
	for (unsigned i = 0; i < GCL_SIDES; i++)
		if (twin->handles[i])
			clReleaseProgram(twin->handles[i]);
	gcl_list_remove(&twin->link);
	gcl_recipe_put(twin->recipe);
	free(twin);
}

/* Those whose programs and kernels the guest has released: nobody can ask for them any more. Done
 * when another one comes, there are few of them. */
static void programs_prune(struct gcl_worker *worker)
{
	gcl_list_for_each_safe (it, next, &worker->sides.programs) {
		struct program_twin *twin = gcl_container_of(it, struct program_twin, link);

		if (gcl_recipe_lone(twin->recipe))
			program_free(twin);
	}
}

int gcl_program_enter(struct gcl_worker *worker, struct gcl_recipe *recipe, unsigned side,
		      cl_program handle)
{
	struct program_twin *twin = program_find(worker, recipe);

	if (!twin)
		twin = calloc(1, sizeof *twin);
	if (!twin || twin->handles[side]) {
		clReleaseProgram(handle);
		return twin ? 0 : -ENOMEM;
	}
	if (!twin->recipe) {
		programs_prune(worker);
		twin->recipe = gcl_recipe_get(recipe);
		gcl_list_append(&worker->sides.programs, &twin->link);
	}
	twin->handles[side] = handle;
	return 0;
}

cl_program gcl_program_on(struct gcl_worker *worker, struct gcl_recipe *recipe,
			  struct gcl_context *context, unsigned side, cl_int *status)
{
	const struct program_twin *twin = program_find(worker, recipe);
	cl_context there = gcl_context_on(worker, context, side, status);
	cl_program handle = NULL;

	if (twin && twin->handles[side])
		return twin->handles[side];
	if (!there)
		return NULL;
	*status = gcl_recipe_make(recipe, there, worker->sides.side[side].device, &handle);
	if (*status == CL_SUCCESS && gcl_program_enter(worker, recipe, side, handle)) {
		*status = CL_OUT_OF_HOST_MEMORY;
		return NULL;
	}
	return handle;
}

static cl_kernel kernel_create_on(struct gcl_worker *worker, struct gcl_kernel *kernel,
				  unsigned side, cl_int *status)
{
	cl_program program = gcl_program_on(worker, kernel->recipe, kernel->owner, side, status);
	size_t length;
	char *name;

	if (!program)
		return NULL;
	name = GCL_INFO_BYTES(&worker->arena, &length, clGetKernelInfo, kernel->handle,
			      CL_KERNEL_FUNCTION_NAME);
	if (!name)
		*status = CL_OUT_OF_HOST_MEMORY;
	return name ? clCreateKernel(program, name, status) : NULL;
}

cl_kernel gcl_kernel_twin(struct gcl_worker *worker, struct gcl_kernel *kernel, unsigned side,
			  cl_int *status)
{
	*status = CL_SUCCESS;
	if (side == GCL_HOME)
		return kernel->handle;
	if (!kernel->twins[side])
		kernel->twins[side] = kernel_create_on(worker, kernel, side, status);
	return kernel->twins[side];
}

cl_kernel gcl_kernel_on(struct gcl_worker *worker, struct gcl_kernel *kernel, unsigned side,
			cl_int *status)
{
	cl_kernel handle = gcl_kernel_twin(worker, kernel, side, status);

	for (cl_uint i = 0; handle && i < kernel->arg_count; i++) {
		struct gcl_kernel_arg *arg = &kernel->args[i];

		/* Sizes are those of what was set; 0: nothing was. */
		if (!(arg->stale & GCL_SIDE_BIT(side)) || !arg->size)
			continue;
		*status = arg_set_on(worker, arg, handle, i, side);
		if (*status != CL_SUCCESS)
			return NULL;
		arg->stale &= (uint8_t)~GCL_SIDE_BIT(side);
	}
	if (handle && kernel->reach_stale & GCL_SIDE_BIT(side)) {
		*status = gcl_svm_reach_on(worker, kernel, handle, side);
		if (*status != CL_SUCCESS)
			return NULL;
		kernel->reach_stale &= (uint8_t)~GCL_SIDE_BIT(side);
	}
	return handle;
}

void gcl_kernel_twins_fini(struct gcl_kernel *kernel)
{
	for (unsigned i = 0; i < GCL_SIDES; i++)
		if (kernel->twins[i])
			clReleaseKernel(kernel->twins[i]);
	for (cl_uint i = 0; i < kernel->arg_count; i++)
		gcl_arg_forget(&kernel->args[i]);
}

void gcl_kernel_leave(struct gcl_kernel *kernel, unsigned side)
{
	if (kernel->twins[side])
		clReleaseKernel(kernel->twins[side]);
	kernel->twins[side] = NULL;
	for (cl_uint i = 0; i < kernel->arg_count; i++)
		kernel->args[i].stale |= GCL_SIDE_BIT(side);
	if (kernel->reach_count)
		kernel->reach_stale |= GCL_SIDE_BIT(side);
}

void gcl_kernels_drop(struct gcl_worker *worker, unsigned side)
{
	gcl_table_for_each (entry, &worker->tables[GCL_KIND_KERNEL])
		if (entry->detail)
			gcl_kernel_leave(entry->detail, side);
}

void gcl_programs_drop(struct gcl_worker *worker, unsigned side)
{
	gcl_list_for_each_safe (it, next, &worker->sides.programs) {
		struct program_twin *twin = gcl_container_of(it, struct program_twin, link);
		bool used = false;

		if (twin->handles[side])
			clReleaseProgram(twin->handles[side]);
		twin->handles[side] = NULL;
		for (unsigned i = 0; i < GCL_SIDES; i++)
			used |= twin->handles[i] != NULL;
		if (!used)
			program_free(twin);
	}
}
