// SPDX-License-Identifier: MIT
/*
 * What a move moves, and to which side: queues, their devices and contexts, and the programs whose
 * kernels they may run.
 */
#include "moving.h"

#include <stdlib.h>

#include "hasher.h"

struct gcl_queue *gcl_move_queue(const struct gcl_move *move, size_t index)
{
	struct gcl_entry *entry =
		gcl_table_find(move->worker, move->queues[index].id, GCL_KIND_QUEUE);

	return entry ? entry->detail : NULL;
}

uint64_t gcl_move_bits(const struct gcl_move *move)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < move->queue_count; i++)
		bits |= gcl_queue_bit(move->queues[i].id);
	return bits;
}

/* The side for @place: open, or free for it. Return: GCL_SIDES: there is none. */
static unsigned side_find(const struct gcl_sides *sides, uint32_t place)
{
	for (unsigned i = 1; i < GCL_SIDES; i++)
		if (sides->side[i].open && sides->side[i].place == place)
			return i;
	for (unsigned i = 1; i < GCL_SIDES; i++)
		if (!sides->side[i].open)
			return i;
	return GCL_SIDES;
}

static bool queue_wanted(const struct gcl_move *move, const struct gcl_queue *queue)
{
	const struct gcl_side *sides = move->worker->sides.side;
	uint32_t from = move->to == GCL_HOME ? GCL_MOVE_PLACE(move->note.extra) : 0;

	if (from && (queue->side == GCL_HOME || sides[queue->side].place != from))
		return false;
	return queue->handle && (!move->note.value || queue->id == move->note.value);
}

static bool sub_device(const struct gcl_queue *queue)
{
	cl_device_id parent = NULL;

	return !clGetDeviceInfo(queue->device, CL_DEVICE_PARENT_DEVICE, sizeof parent, &parent,
				NULL) &&
	       parent;
}

static bool context_add(struct gcl_move *move, struct gcl_context *context)
{
	struct gcl_moving_context *grown;

	for (size_t i = 0; i < move->context_count; i++)
		if (move->contexts[i].context == context)
			return true;
	grown = reallocarray(move->contexts, move->context_count + 1, sizeof *grown);
	if (!grown)
		return false;
	move->contexts = grown;
	grown += move->context_count++;
	*grown = (struct gcl_moving_context){
		.context = gcl_context_get(context),
		.there = context->handles[move->to],
		.hashers = {gcl_hasher_get(context->hashers[GCL_HOME]),
			    gcl_hasher_get(context->hashers[move->to])},
	};
	if (grown->there)
		clRetainContext(grown->there);
	return true;
}

static bool queue_add(struct gcl_move *move, const struct gcl_queue *queue)
{
	struct gcl_moving_queue *grown =
		reallocarray(move->queues, move->queue_count + 1, sizeof *grown);
	size_t i = 0;

	if (!grown)
		return false;
	move->queues = grown;
	grown[move->queue_count++] = (struct gcl_moving_queue){.id = queue->id};
	while (i < move->home_count && move->homes[i] != queue->device)
		i++;
	if (i == GCL_PAGE_DEVICES_MAX)
		return false;
	move->homes[i] = queue->device;
	move->home_count = GCL_MAX(move->home_count, i + 1);
	return context_add(move, queue->context);
}

static enum gcl_move_result queues_find(struct gcl_move *move)
{
	bool any = false;

	gcl_list_for_each (it, &move->worker->queues) {
		const struct gcl_queue *queue = gcl_container_of(it, struct gcl_queue, link);

		if (!queue_wanted(move, queue))
			continue;
		any = true;
		if (queue->side == move->to)
			continue;
		if (sub_device(queue))
			return GCL_MOVE_SUB_DEVICE;
		if (!queue_add(move, queue))
			return GCL_MOVE_MEMORY_HERE;
	}
	if (move->queue_count || (move->to == GCL_HOME && !move->note.value))
		return GCL_MOVE_DONE;
	return any ? GCL_MOVE_THERE : GCL_MOVE_NO_QUEUE;
}

static bool program_add(struct gcl_move *move, struct gcl_recipe *recipe, size_t context)
{
	struct gcl_moving_program *grown;

	if (gcl_program_there(move->worker, recipe, move->to))
		return true;
	for (size_t i = 0; i < move->program_count; i++)
		if (move->programs[i].recipe == recipe)
			return true;
	grown = reallocarray(move->programs, move->program_count + 1, sizeof *grown);
	if (!grown)
		return false;
	move->programs = grown;
	grown[move->program_count++] =
		(struct gcl_moving_program){.recipe = gcl_recipe_get(recipe), .context = context};
	return true;
}

/* All kernels of these contexts: whichever the queues may run. */
static enum gcl_move_result kernel_add(struct gcl_move *move, const struct gcl_kernel *kernel)
{
	size_t i = 0;

	while (i < move->context_count && move->contexts[i].context != kernel->owner)
		i++;
	if (i == move->context_count)
		return GCL_MOVE_DONE;
	/* Nobody knows how it was made. */
	if (!gcl_recipe_executable(kernel->recipe))
		return GCL_MOVE_PROGRAM;
	return program_add(move, kernel->recipe, i) ? GCL_MOVE_DONE : GCL_MOVE_MEMORY_HERE;
}

static enum gcl_move_result programs_find(struct gcl_move *move)
{
	enum gcl_move_result result = GCL_MOVE_DONE;

	gcl_table_for_each (entry, &move->worker->tables[GCL_KIND_KERNEL])
		if (entry->detail && result == GCL_MOVE_DONE)
			result = kernel_add(move, entry->detail);
	return result;
}

static enum gcl_move_result target_find(struct gcl_move *move)
{
	struct gcl_sides *sides = &move->worker->sides;

	if (move->note.type == GCL_NOTE_MOVE_HOME)
		return GCL_MOVE_DONE;
	move->to = side_find(sides, GCL_MOVE_PLACE(move->note.extra));
	if (move->to == GCL_SIDES)
		return GCL_MOVE_PLACES;
	move->opens = !sides->side[move->to].open;
	return move->opens && move->fd < 0 ? GCL_MOVE_LINK : GCL_MOVE_DONE;
}

enum gcl_move_result gcl_move_find(struct gcl_move *move)
{
	enum gcl_move_result result = target_find(move);

	if (result == GCL_MOVE_DONE)
		result = queues_find(move);
	if (result == GCL_MOVE_DONE && move->to != GCL_HOME)
		result = programs_find(move);
	return result;
}
