// SPDX-License-Identifier: MIT
/*
 * The first step of a move: a session there, what the device can do, contexts and programs. Then,
 * on the session thread, what moves: kernels, and the memory objects that the queues have used.
 */
#include "moving.h"

#include <stdlib.h>

#include "check-device.h"
#include "hasher.h"
#include "memory.h"

/* Clocks are compared by the quickest of so many round trips. */
#define CLOCK_TRIES 5

/* ------------------------------------------------------------ the job */

/* When a command that does nothing ended, by its device. Return: false: it can't be told. */
static bool marker_time(cl_command_queue queue, cl_ulong *ended)
{
	cl_event marker = NULL;
	cl_int status = clEnqueueMarkerWithWaitList(queue, 0, NULL, &marker);

	if (status == CL_SUCCESS)
		status = clWaitForEvents(1, &marker);
	if (status == CL_SUCCESS)
		status = clGetEventProfilingInfo(marker, CL_PROFILING_COMMAND_END, sizeof *ended,
						 ended, NULL);
	if (marker)
		clReleaseEvent(marker);
	return status == CL_SUCCESS;
}

/* What @device's clock says less CLOCK_MONOTONIC; 0 if that can't be told. */
static int64_t clock_offset(cl_context context, cl_device_id device)
{
	cl_command_queue queue =
		clCreateCommandQueue(context, device, CL_QUEUE_PROFILING_ENABLE, NULL);
	uint64_t best = UINT64_MAX;
	int64_t offset = 0;

	for (int i = 0; queue && i < CLOCK_TRIES; i++) {
		uint64_t before = gcl_trace_now(), took;
		cl_ulong ended = 0;

		if (!marker_time(queue, &ended))
			break;
		took = gcl_trace_now() - before;
		if (took >= best)
			continue;
		best = took;
		offset = (int64_t)(ended - (before + took / 2));
	}
	if (queue)
		clReleaseCommandQueue(queue);
	return offset;
}

static bool side_open(struct gcl_move *move)
{
	int fd = move->fd;

	if (!move->opens) {
		move->side = move->worker->sides.side[move->to];
		return true;
	}
	move->fd = -1;
	move->result = gcl_sides_open(fd, move->note.device, &move->side);
	move->side.place = GCL_MOVE_PLACE(move->note.extra);
	return move->result == GCL_MOVE_DONE;
}

static bool devices_check(struct gcl_move *move)
{
	for (size_t i = 0; i < move->home_count && move->result == GCL_MOVE_DONE; i++)
		move->result = gcl_device_check(move->homes[i], move->side.device, &move->value);
	return move->result == GCL_MOVE_DONE;
}

/* The device isn't known to contexts at home, so a context has to be asked whether it is there. */
static bool contexts_make(struct gcl_move *move)
{
	for (size_t i = 0; i < move->context_count; i++) {
		cl_int status = CL_SUCCESS;

		if (move->contexts[i].there)
			continue;
		move->contexts[i].there =
			clCreateContext(NULL, 1, &move->side.device, NULL, NULL, &status);
		if (status != CL_SUCCESS) {
			move->result = GCL_MOVE_LOST;
			return false;
		}
	}
	if (move->opens && move->context_count)
		move->side.shift =
			clock_offset(move->contexts[0].context->handles[GCL_HOME], move->homes[0]) -
			clock_offset(move->contexts[0].there, move->side.device);
	return true;
}

static bool programs_make(struct gcl_move *move)
{
	for (size_t i = 0; i < move->program_count; i++) {
		struct gcl_moving_program *program = &move->programs[i];
		cl_int status =
			gcl_recipe_make(program->recipe, move->contexts[program->context].there,
					move->side.device, &program->there);

		if (status != CL_SUCCESS) {
			move->result = GCL_MOVE_PROGRAM;
			return false;
		}
	}
	return true;
}

/* What is not memory of this host's is hashed where it is, when it comes back, too. Whatever can't
 * be is read. */
static void hashers_make(struct gcl_move *move)
{
	for (size_t i = 0; i < move->context_count; i++) {
		struct gcl_moving_context *it = &move->contexts[i];
		cl_context home = it->context->handles[GCL_HOME];

		if (!it->hashers[0] && !gcl_context_memory(home))
			it->hashers[0] = gcl_hasher_create(home, move->homes[0]);
		if (!it->hashers[1])
			it->hashers[1] = gcl_hasher_create(it->there, move->side.device);
	}
}

void gcl_move_prepare(struct gcl_move *move)
{
	if (move->to == GCL_HOME || gcl_move_injected(move, 1))
		return;
	if (!side_open(move) || gcl_move_injected(move, 2))
		return;
	if (!devices_check(move) || !contexts_make(move) || gcl_move_injected(move, 3))
		return;
	if (programs_make(move))
		hashers_make(move);
}

/* ------------------------------------------------------------ the session thread */

static void hasher_enter(struct gcl_hasher **place, struct gcl_hasher **made)
{
	if (!*place)
		*place = steal_pointer(made);
}

/* What the job has made is the session's now. Return: false without memory. */
static bool made_enter(struct gcl_move *move)
{
	struct gcl_worker *worker = move->worker;

	if (move->opens) {
		worker->sides.side[move->to] = move->side;
		atomic_store(&worker->sides.shifted, true);
		worker->sides.side[move->to].open = true;
	}
	move->side = (struct gcl_side){0};
	for (size_t i = 0; i < move->context_count; i++) {
		struct gcl_context *context = move->contexts[i].context;

		if (!context->handles[move->to] && move->contexts[i].there)
			gcl_context_enter(worker, context, move->to,
					  steal_pointer(&move->contexts[i].there));
		hasher_enter(&context->hashers[GCL_HOME], &move->contexts[i].hashers[0]);
		hasher_enter(&context->hashers[move->to], &move->contexts[i].hashers[1]);
	}
	for (size_t i = 0; i < move->program_count; i++)
		if (gcl_program_enter(worker, move->programs[i].recipe, move->to,
				      steal_pointer(&move->programs[i].there)))
			return false;
	return true;
}

static bool of_contexts(const struct gcl_move *move, const struct gcl_context *context)
{
	for (size_t i = 0; i < move->context_count; i++)
		if (move->contexts[i].context == context)
			return true;
	return false;
}

static bool kernels_check(struct gcl_move *move)
{
	struct gcl_worker *worker = move->worker;
	cl_device_id there = worker->sides.side[move->to].device;

	gcl_table_for_each (entry, &worker->tables[GCL_KIND_KERNEL]) {
		struct gcl_kernel *kernel = entry->detail;
		cl_int status = CL_SUCCESS;
		cl_kernel twin;

		if (!kernel || !of_contexts(move, kernel->owner))
			continue;
		twin = gcl_kernel_twin(worker, kernel, move->to, &status);
		if (!twin) {
			move->result = GCL_MOVE_PROGRAM;
			return false;
		}
		move->result =
			gcl_kernel_check(kernel->handle, move->homes[0], twin, there, &move->value);
		if (move->result != GCL_MOVE_DONE)
			return false;
	}
	return true;
}

/* Home come all that are only there, too. */
static bool root_moves(const struct gcl_move *move, const struct gcl_mem *root)
{
	if (root->parent || root->failed)
		return false;
	if (root->contents.users & gcl_move_bits(move) && of_contexts(move, root->context))
		return true;
	return move->to == GCL_HOME && !move->note.value && !(root->contents.valid & 1);
}

static bool item_add(struct gcl_move *move, struct gcl_mem *root)
{
	struct gcl_moving_item *grown =
		reallocarray(move->items, move->item_count + 1, sizeof *grown);

	if (!grown)
		return false;
	move->items = grown;
	grown[move->item_count++] = (struct gcl_moving_item){.root = gcl_mem_get(root)};
	return true;
}

static enum gcl_move_result mem_check(struct gcl_move *move, const struct gcl_mem *mem)
{
	const struct gcl_mem_wanted wanted = {
		.type = mem->type,
		.flags = mem->flags,
		.size = gcl_mem_bytes(mem),
		.extent = {mem->extent[0], mem->extent[1], mem->extent[2]},
		.format = mem->format,
	};

	return gcl_mem_check(mem->context->handles[move->to],
			     move->worker->sides.side[move->to].device, &wanted, &move->value);
}

/* With whatever is a part of them. */
static bool mem_prepare(struct gcl_move *move, struct gcl_mem *mem)
{
	struct gcl_worker *worker = move->worker;
	cl_int status = CL_SUCCESS;

	if (!root_moves(move, gcl_mem_root(mem)))
		return true;
	if (move->to != GCL_HOME)
		move->result = mem_check(move, mem);
	if (move->result != GCL_MOVE_DONE)
		return false;
	if (gcl_mem_on(worker, mem, move->to, &status) && (mem->parent || item_add(move, mem)))
		return true;
	move->result = move->to == GCL_HOME ? GCL_MOVE_MEMORY_HERE : GCL_MOVE_MEMORY_THERE;
	if (mem->svm && status == CL_INVALID_HOST_PTR) {
		move->result = GCL_MOVE_SVM;
		move->value = (uintptr_t)mem->svm;
	}
	return false;
}

static bool mems_prepare(struct gcl_move *move)
{
	gcl_table_for_each (entry, &move->worker->tables[GCL_KIND_MEM])
		if (entry->detail && !mem_prepare(move, entry->detail))
			return false;
	return true;
}

static bool queues_prepare(struct gcl_move *move)
{
	for (size_t i = 0; i < move->queue_count && move->to != GCL_HOME; i++) {
		const struct gcl_queue *queue = gcl_move_queue(move, i);

		if (!queue)
			continue;
		move->queues[i].twin = gcl_sides_queue_twin(move->worker, queue, move->to);
		if (!move->queues[i].twin)
			move->result = GCL_MOVE_LOST;
	}
	return move->result == GCL_MOVE_DONE;
}

/* Commands that are on their way already aren't known to their objects as writers: all of them have
 * to be complete before the first copy is one. */
static bool flight_await(struct gcl_move *move)
{
	struct gcl_worker *worker = move->worker;
	size_t count = 0, room = gcl_list_count(&worker->queues);
	_cleanup_free_ cl_event *events = calloc(room + 1, sizeof *events);
	bool good = events;

	gcl_list_for_each (it, &worker->queues) {
		struct gcl_queue *queue = gcl_container_of(it, struct gcl_queue, link);

		if (!good || !queue->handle)
			continue;
		if (clEnqueueMarkerWithWaitList(queue->handle, 0, NULL, &events[count]) ==
		    CL_SUCCESS)
			count++;
		clFlush(queue->handle);
	}
	move->clock = worker->sides.clock;
	good = good && gcl_move_await(move, events, count);
	for (size_t i = 0; i < count; i++)
		clReleaseEvent(events[i]);
	return good;
}

static enum gcl_move_result prepared(struct gcl_move *move)
{
	bool going = move->to != GCL_HOME;

	if (move->result != GCL_MOVE_DONE)
		return move->result;
	if (!made_enter(move))
		return GCL_MOVE_MEMORY_HERE;
	if (gcl_move_injected(move, 4) || (going && !kernels_check(move)) || !mems_prepare(move) ||
	    !queues_prepare(move))
		return move->result;
	return flight_await(move) ? GCL_MOVE_DONE : GCL_MOVE_MEMORY_HERE;
}

void gcl_move_prepared(struct gcl_move *move)
{
	enum gcl_move_result result = prepared(move);

	if (result != GCL_MOVE_DONE) {
		gcl_move_ends(move, result, move->value);
		return;
	}
	atomic_store_explicit(&move->worker->page->move.prepared, gcl_trace_now() - move->began,
			      memory_order_relaxed);
	gcl_move_step(move, GCL_MOVE_STEP_COPY);
}
