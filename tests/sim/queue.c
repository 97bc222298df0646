// SPDX-License-Identifier: MIT
/*
 * Events in the order of their time: a binary heap. Those at the same time come in the order in
 * which they were added.
 */
#include "sim.h"

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at < b->at || (a->at == b->at && a->order < b->order);
}

void sim_queue_add(struct sim_queue *queue, double at, enum sim_event_kind kind, uint32_t index,
		   uint32_t version)
{
	struct sim_event event = {at, queue->order++, kind, index, version};
	uint32_t i = queue->count;

	queue->events = sim_grow(queue->events, queue->count, &queue->room, sizeof event);
	queue->count++;
	for (; i > 0 && before(&event, &queue->events[(i - 1) / 2]); i = (i - 1) / 2)
		queue->events[i] = queue->events[(i - 1) / 2];
	queue->events[i] = event;
}

bool sim_queue_take(struct sim_queue *queue, struct sim_event *event)
{
	struct sim_event last;
	uint32_t i = 0;

	if (!queue->count)
		return false;
	*event = queue->events[0];
	last = queue->events[--queue->count];
	while (2 * i + 1 < queue->count) {
		uint32_t child = 2 * i + 1;

		if (child + 1 < queue->count &&
		    before(&queue->events[child + 1], &queue->events[child]))
			child++;
		if (!before(&queue->events[child], &last))
			break;
		queue->events[i] = queue->events[child];
		i = child;
	}
	queue->events[i] = last;
	return true;
}
