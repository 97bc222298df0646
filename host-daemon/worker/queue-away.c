// SPDX-License-Identifier: MIT
/*
 * Queues that are at a server: how they come there, go home, and how new ones follow those that are
 * there already.
 */
#include "worker.h"

void gcl_sides_queue_enter(struct gcl_worker *worker, struct gcl_queue *queue, unsigned side,
			   cl_command_queue twin)
{
	queue->handle = twin;
	queue->side = side;
	queue->page_index = GCL_PAGE_DEVICES_MAX;
	worker->sides.side[side].queues++;
	atomic_fetch_add_explicit(&worker->page->move.away, 1, memory_order_relaxed);
}

void gcl_sides_queue_leave(struct gcl_worker *worker, struct gcl_queue *queue)
{
	if (queue->side == GCL_HOME)
		return;
	if (queue->handle)
		clReleaseCommandQueue(queue->handle);
	worker->sides.side[queue->side].queues--;
	atomic_fetch_sub_explicit(&worker->page->move.away, 1, memory_order_relaxed);
	queue->handle = queue->home;
	queue->side = GCL_HOME;
	queue->page_index = queue->home_index;
}

cl_command_queue gcl_sides_queue_twin(struct gcl_worker *worker, const struct gcl_queue *queue,
				      unsigned side)
{
	return clCreateCommandQueue(queue->context->handles[side], worker->sides.side[side].device,
				    queue->properties | CL_QUEUE_PROFILING_ENABLE, NULL);
}

/* The side where all others of the same device and context are that were made before; or GCL_HOME.
 */
static unsigned others_side(const struct gcl_worker *worker, const struct gcl_queue *queue)
{
	unsigned side = GCL_SIDES;

	gcl_list_for_each (it, &worker->queues) {
		const struct gcl_queue *other = gcl_container_of(it, struct gcl_queue, link);

		if (other == queue || other->follows || !other->handle ||
		    other->context != queue->context || other->device != queue->device)
			continue;
		if (side < GCL_SIDES && other->side != side)
			return GCL_HOME;
		side = other->side;
	}
	return side < GCL_SIDES ? side : GCL_HOME;
}

void gcl_sides_queue_follow(struct gcl_worker *worker, struct gcl_queue *queue)
{
	const struct gcl_sides *sides = &worker->sides;
	cl_command_queue twin;
	unsigned side;

	queue->follows = sides->move;
	if (!sides->active || sides->move || sides->replaying || !queue->handle || queue->side)
		return;
	side = others_side(worker, queue);
	if (side == GCL_HOME || sides->side[side].lost || gcl_side_lost(&sides->side[side]))
		return;
	twin = gcl_sides_queue_twin(worker, queue, side);
	if (twin)
		gcl_sides_queue_enter(worker, queue, side, twin);
}

void gcl_sides_queues_follow(struct gcl_worker *worker)
{
	gcl_list_for_each (it, &worker->queues) {
		struct gcl_queue *queue = gcl_container_of(it, struct gcl_queue, link);

		if (queue->follows)
			gcl_sides_queue_follow(worker, queue);
	}
}
