// SPDX-License-Identifier: MIT
/*
 * Twins: the same objects on another side; contexts, memory objects and samplers.
 *
 * They are made when something there needs them. A runtime behind a network says later that it
 * couldn't make an object, and then the commands fail that use it; a move looks at that before it
 * ends.
 */
#include <stdlib.h>

#include "hasher.h"
#include "memory.h"

static void twins_note(struct gcl_list *list, struct gcl_list *link)
{
	if (gcl_list_empty(link))
		gcl_list_append(list, link);
}

/* ------------------------------------------------------------ contexts */

cl_context gcl_context_on(struct gcl_worker *worker, struct gcl_context *context, unsigned side,
			  cl_int *status)
{
	const struct gcl_side *there = &worker->sides.side[side];

	if (!context->handles[side] && side != GCL_HOME && there->open) {
		context->handles[side] =
			clCreateContext(NULL, 1, &there->device, NULL, NULL, status);
		twins_note(&worker->sides.contexts, &context->twins);
	}
	if (!context->handles[side] && *status == CL_SUCCESS)
		*status = CL_INVALID_CONTEXT;
	return context->handles[side];
}

void gcl_context_enter(struct gcl_worker *worker, struct gcl_context *context, unsigned side,
		       cl_context there)
{
	context->handles[side] = there;
	twins_note(&worker->sides.contexts, &context->twins);
}

/* Return: how many, at most GCL_PAGE_DEVICES_MAX. */
static size_t context_devices(cl_context context, cl_device_id *devices, cl_int *status)
{
	size_t size = 0;

	*status = clGetContextInfo(context, CL_CONTEXT_DEVICES, 0, NULL, &size);
	if (*status == CL_SUCCESS && size > GCL_PAGE_DEVICES_MAX * sizeof *devices)
		*status = CL_OUT_OF_RESOURCES;
	if (*status == CL_SUCCESS)
		*status = clGetContextInfo(context, CL_CONTEXT_DEVICES, size, devices, NULL);
	return *status == CL_SUCCESS ? size / sizeof *devices : 0;
}

/* The first of its devices is as good as another one: all of them see its memory. */
static cl_device_id context_device(const struct gcl_context *context, cl_int *status)
{
	cl_device_id devices[GCL_PAGE_DEVICES_MAX];

	return context_devices(context->handles[GCL_HOME], devices, status) ? devices[0] : NULL;
}

bool gcl_context_memory(cl_context context)
{
	cl_device_id devices[GCL_PAGE_DEVICES_MAX];
	cl_int status;
	size_t count = context_devices(context, devices, &status);
	bool memory = count;

	for (size_t i = 0; i < count; i++) {
		cl_device_type type = 0;
		cl_bool unified = CL_FALSE;

		clGetDeviceInfo(devices[i], CL_DEVICE_TYPE, sizeof type, &type, NULL);
		clGetDeviceInfo(devices[i], CL_DEVICE_HOST_UNIFIED_MEMORY, sizeof unified, &unified,
				NULL);
		memory &= type & CL_DEVICE_TYPE_CPU && unified;
	}
	return memory;
}

cl_command_queue gcl_context_copies(struct gcl_worker *worker, struct gcl_context *context,
				    unsigned side, cl_int *status)
{
	cl_context handle = gcl_context_on(worker, context, side, status);
	cl_device_id device = worker->sides.side[side].device;

	if (!handle || context->copies[side])
		return context->copies[side];
	if (side == GCL_HOME)
		device = context_device(context, status);
	if (side == GCL_HOME)
		context->memory = gcl_context_memory(handle);
	if (device)
		context->copies[side] = clCreateCommandQueue(handle, device, 0, status);
	return context->copies[side];
}

/* ------------------------------------------------------------ memory objects */

static cl_mem image_create(const struct gcl_mem *mem, cl_context context, cl_mem buffer,
			   cl_int *status)
{
	cl_image_desc desc = {
		.image_type = mem->type,
		.image_width = mem->extent[0],
		.buffer = buffer,
	};

	switch (mem->type) {
	case CL_MEM_OBJECT_IMAGE1D_ARRAY:
		desc.image_array_size = mem->extent[1];
		break;
	case CL_MEM_OBJECT_IMAGE2D:
		desc.image_height = mem->extent[1];
		break;
	case CL_MEM_OBJECT_IMAGE2D_ARRAY:
		desc.image_height = mem->extent[1];
		desc.image_array_size = mem->extent[2];
		break;
	case CL_MEM_OBJECT_IMAGE3D:
		desc.image_height = mem->extent[1];
		desc.image_depth = mem->extent[2];
		break;
	default:
		break;
	}
	return clCreateImage(context, mem->flags, &mem->format, &desc, NULL, status);
}

static cl_mem mem_create(const struct gcl_mem *mem, cl_context context, cl_mem parent,
			 cl_int *status)
{
	const cl_buffer_region region = {mem->origin, mem->size};

	if (gcl_mem_is_image(mem))
		return image_create(mem, context, parent, status);
	if (mem->svm && parent)
		return clCreateBuffer(context, mem->flags | CL_MEM_USE_HOST_PTR, mem->size,
				      mem->svm, status);
	if (mem->svm)
		return gcl_side_svm(context, mem->flags, mem->size, mem->svm, status);
	if (parent)
		return clCreateSubBuffer(parent, mem->flags, CL_BUFFER_CREATE_TYPE_REGION, &region,
					 status);
	return clCreateBuffer(context, mem->flags, mem->size, NULL, status);
}

uint64_t gcl_mem_bytes(const struct gcl_mem *mem)
{
	size_t row = 0, slice = 0;
	uint64_t size = 0;

	if (!gcl_mem_is_image(mem))
		return mem->size;
	return gcl_image_layout(mem, mem->extent, &row, &slice, &size) ? size : 0;
}

/* One of home's that was given back: it is charged again. */
static cl_mem home_create(struct gcl_worker *worker, const struct gcl_mem *mem, cl_mem parent,
			  cl_int *status)
{
	const struct gcl_charge charge = {gcl_mem_bytes(mem), mem->context->devices};
	cl_context context = mem->context->handles[GCL_HOME];
	cl_mem handle;

	if (parent)
		return mem_create(mem, context, parent, status);
	*status = gcl_quota_take(worker, charge);
	if (*status != CL_SUCCESS)
		return NULL;
	handle = mem_create(mem, context, NULL, status);
	if (!handle)
		gcl_quota_give(worker, charge);
	else
		*status = gcl_mem_watch(worker, &handle, charge, 0);
	return handle;
}

cl_mem gcl_mem_on(struct gcl_worker *worker, struct gcl_mem *mem, unsigned side, cl_int *status)
{
	cl_mem parent = NULL;
	cl_context context;

	if (mem->handles[side])
		return mem->handles[side];
	*status = mem->failed;
	if (*status == CL_SUCCESS && mem->parent)
		parent = gcl_mem_on(worker, mem->parent, side, status);
	if (*status != CL_SUCCESS)
		return NULL;
	context = gcl_context_on(worker, mem->context, side, status);
	if (!context)
		return NULL;
	mem->handles[side] = side == GCL_HOME ? home_create(worker, mem, parent, status)
					      : mem_create(mem, context, parent, status);
	if (!mem->parent)
		mem->contents.summed &= (uint8_t)~GCL_SIDE_BIT(side);
	twins_note(&worker->sides.mems, &mem->twins);
	return mem->handles[side];
}

unsigned gcl_mem_away(const struct gcl_mem *mem)
{
	for (unsigned i = GCL_SIDES; !mem->handles[GCL_HOME] && --i;)
		if (mem->handles[i])
			return i;
	return GCL_HOME;
}

/* Where some queue of @context is, if that isn't home. */
static unsigned queues_side(const struct gcl_worker *worker, const struct gcl_context *context)
{
	unsigned side = GCL_HOME;

	gcl_list_for_each (it, &worker->queues) {
		const struct gcl_queue *queue = gcl_container_of(it, struct gcl_queue, link);

		if (queue->context == context && queue->side != GCL_HOME)
			side = queue->side;
	}
	return worker->sides.side[side].lost ? GCL_HOME : side;
}

bool gcl_context_lean(const struct gcl_worker *worker, const struct gcl_context *context)
{
	return worker->sides.active && worker->sides.side[queues_side(worker, context)].lean;
}

bool gcl_mem_elsewhere(struct gcl_worker *worker, struct gcl_mem *mem, const void *host,
		       cl_mem *handle)
{
	unsigned side = worker->sides.active ? queues_side(worker, mem->context) : GCL_HOME;
	cl_command_queue copies = NULL;
	cl_int status = CL_SUCCESS;

	if (side == GCL_HOME)
		return false;
	*handle = gcl_mem_on(worker, mem, side, &status);
	if (status == CL_SUCCESS && host)
		copies = gcl_context_copies(worker, mem->context, side, &status);
	if (copies)
		status = clEnqueueWriteBuffer(copies, *handle, CL_FALSE, 0, mem->size, host, 0,
					      NULL, &mem->contents.arriving[side]);
	if (status == CL_SUCCESS && host) {
		clFlush(copies);
		mem->contents.valid = GCL_SIDE_BIT(side);
	}
	if (status == CL_SUCCESS)
		return true;
	if (mem->handles[side])
		clReleaseMemObject(steal_pointer(&mem->handles[side]));
	*handle = NULL;
	return false;
}

/* ------------------------------------------------------------ samplers */

cl_sampler gcl_sampler_on(struct gcl_worker *worker, struct gcl_sampler *sampler, unsigned side,
			  cl_int *status)
{
	cl_context context;

	if (sampler->handles[side])
		return sampler->handles[side];
	context = gcl_context_on(worker, sampler->context, side, status);
	if (context)
		sampler->handles[side] = clCreateSampler(
			context, sampler->normalized, sampler->addressing, sampler->filter, status);
	twins_note(&worker->sides.samplers, &sampler->twins);
	return sampler->handles[side];
}

/* Sessions leave sides one at a time, so this may look at all there is. */
static void mem_stale(struct gcl_worker *worker, const struct gcl_mem *mem, unsigned side)
{
	gcl_table_for_each (entry, &worker->tables[GCL_KIND_KERNEL]) {
		struct gcl_kernel *kernel = entry->detail;

		for (cl_uint i = 0; kernel && i < kernel->arg_count; i++)
			if (kernel->args[i].mem == mem)
				kernel->args[i].stale |= GCL_SIDE_BIT(side);
	}
}

static void mem_drop(struct gcl_worker *worker, struct gcl_mem *mem, unsigned side)
{
	if (!mem->handles[side])
		return;
	clReleaseMemObject(mem->handles[side]);
	mem->handles[side] = NULL;
	mem_stale(worker, mem, side);
}

void gcl_mem_leave(struct gcl_worker *worker, struct gcl_mem *root, unsigned side)
{
	if (side == GCL_HOME)
		gcl_journal_spoil(worker, root);
	gcl_table_for_each (entry, &worker->tables[GCL_KIND_MEM]) {
		struct gcl_mem *mem = entry->detail;

		if (mem && mem != root && gcl_mem_root(mem) == root)
			mem_drop(worker, mem, side);
	}
	mem_drop(worker, root, side);
	root->contents.valid &= (uint8_t)~GCL_SIDE_BIT(side);
}

/* ------------------------------------------------------------ all of them */

static void mems_drop(struct gcl_worker *worker, unsigned side)
{
	gcl_list_for_each (it, &worker->sides.mems) {
		struct gcl_mem *mem = gcl_container_of(it, struct gcl_mem, twins);

		if (mem->handles[side])
			clReleaseMemObject(mem->handles[side]);
		mem->handles[side] = NULL;
		gcl_contents_leave(&mem->contents, side);
	}
}

static void samplers_drop(struct gcl_worker *worker, unsigned side)
{
	gcl_list_for_each (it, &worker->sides.samplers) {
		struct gcl_sampler *sampler = gcl_container_of(it, struct gcl_sampler, twins);

		if (sampler->handles[side])
			clReleaseSampler(sampler->handles[side]);
		sampler->handles[side] = NULL;
	}
}

void gcl_context_leave(struct gcl_context *context, unsigned side)
{
	if (context->copies[side])
		clReleaseCommandQueue(context->copies[side]);
	gcl_hasher_put(steal_pointer(&context->hashers[side]));
	if (context->handles[side])
		clReleaseContext(context->handles[side]);
	context->copies[side] = NULL;
	context->handles[side] = NULL;
}

void gcl_twins_drop(struct gcl_worker *worker, unsigned side)
{
	gcl_table_for_each (entry, &worker->tables[GCL_KIND_EVENT])
		gcl_event_leave(entry, side);
	gcl_kernels_drop(worker, side);
	gcl_programs_drop(worker, side);
	mems_drop(worker, side);
	samplers_drop(worker, side);
	gcl_list_for_each (it, &worker->sides.contexts)
		gcl_context_leave(gcl_container_of(it, struct gcl_context, twins), side);
}
