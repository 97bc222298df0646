/*
 * Checks of what a guest says about places in memory, safe against overflow.
 *
 * A layout is a box of rows and slices inside some memory: everything that the worker hands to the
 * runtime lies between its start and its end, and the end is compared with the memory's size.
 */
#ifndef GCL_RANGE_H
#define GCL_RANGE_H

#include "worker.h"

/** gcl_range_inside() - do @size bytes at @offset lie within @limit? */
static inline bool gcl_range_inside(uint64_t offset, uint64_t size, uint64_t limit)
{
	return size <= limit && offset <= limit - size;
}

/* @box may be missing in a message: all zero then. */
static inline void gcl_box_get(const Gcl__Box *box, size_t out[3])
{
	out[0] = box ? box->x : 0;
	out[1] = box ? box->y : 0;
	out[2] = box ? box->z : 0;
}

/* *@sum += a * b, or false. */
static inline bool gcl_sum_product(uint64_t *sum, uint64_t a, uint64_t b)
{
	uint64_t product;

	return !__builtin_mul_overflow(a, b, &product) &&
	       !__builtin_add_overflow(*sum, product, sum);
}

/**
 * gcl_layout_end() - where a box ends in memory of the given pitches.
 * @origin: in bytes, rows, slices; NULL for the start
 * @region: in bytes, rows, slices
 * @row, @slice: pitches; 0 is replaced by the dense pitch
 * @end: set to the first byte behind the box
 *
 * Return: false when the region is empty, rows or slices overlap, or a number overflows.
 */
static inline bool gcl_layout_end(const size_t origin[3], const size_t region[3], size_t *row,
				  size_t *slice, uint64_t *end)
{
	static const size_t start[3];
	uint64_t dense = 0;

	if (!origin)
		origin = start;
	if (!region[0] || !region[1] || !region[2])
		return false;
	if (!*row)
		*row = region[0];
	if (!gcl_sum_product(&dense, *row, region[1]))
		return false;
	if (!*slice)
		*slice = dense;
	if (*row < region[0] || *slice < dense)
		return false;

	*end = 0;
	return gcl_sum_product(end, origin[2], *slice) && gcl_sum_product(end, origin[1], *row) &&
	       gcl_sum_product(end, origin[0], 1) && gcl_sum_product(end, region[2] - 1, *slice) &&
	       gcl_sum_product(end, region[1] - 1, *row) && gcl_sum_product(end, region[0], 1);
}

/*
 * Enqueue with the runtime and end the command with what it said; when the command has failed
 * already, with that instead. Everything must have been checked.
 */
#define GCL_ENQUEUE(worker, command, function, ...)                                                \
	(gcl_gate_pass(worker, command), gcl_settle(worker, command),                              \
	 gcl_command_end(worker, command,                                                          \
			 (command)->failed ? (command)->failed                                     \
			 : gcl_command_skipped(command)                                            \
				 ? gcl_command_mark(command)                                       \
				 : function((command)->queue->handle, __VA_ARGS__,                 \
					    (command)->wait_count, (command)->waits,               \
					    &(command)->event),                                    \
			 #function))

#endif
