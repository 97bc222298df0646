/*
 * How copies cut objects into boxes.
 */
#include "copy-box.h"

static size_t round_up_quotient(size_t value, size_t by)
{
	return value / by + (value % by != 0);
}

/* Along the outermost axis of which one step isn't too much. */
static void grid_cut(struct gcl_copy_grid *grid, size_t limit)
{
	size_t row = grid->extent[0] * grid->element, slice = row * grid->extent[1];

	if (slice <= limit) {
		grid->axis = 2;
		grid->step = limit / slice;
	} else if (row <= limit) {
		grid->axis = 1;
		grid->step = limit / row;
	} else {
		grid->axis = 0;
		grid->step = limit / grid->element;
	}
	if (grid->step > grid->extent[grid->axis])
		grid->step = grid->extent[grid->axis];
}

static void grid_count(struct gcl_copy_grid *grid)
{
	grid->per_line = round_up_quotient(grid->extent[grid->axis], grid->step);
	grid->count = grid->per_line;
	for (unsigned axis = grid->axis + 1; axis < 3; axis++)
		grid->count *= grid->extent[axis];
}

bool gcl_copy_grid_init(struct gcl_copy_grid *grid, const struct gcl_copy *copy, size_t limit)
{
	bool image = copy->type != CL_MEM_OBJECT_BUFFER;
	bool empty = false;

	grid->extent[0] = image ? copy->region[0] : copy->size;
	grid->extent[1] = image ? copy->region[1] : 1;
	grid->extent[2] = image ? copy->region[2] : 1;
	grid->element = image ? copy->element_size : 1;
	grid->count = 0;
	for (unsigned axis = 0; axis < 3; axis++)
		empty |= grid->extent[axis] == 0;
	if (empty)
		return true;
	if (grid->element == 0 || grid->element > limit)
		return false;
	grid_cut(grid, limit);
	grid_count(grid);
	return true;
}

void gcl_copy_grid_align(struct gcl_copy_grid *grid, const struct gcl_copy_grid *finer)
{
	/* Where the axes differ, a step of the outer one is whole lines of the inner one. */
	if (grid->count == 0 || grid->axis != finer->axis || grid->per_line == 1)
		return;
	grid->step -= grid->step % finer->step;
	grid_count(grid);
}

void gcl_copy_grid_box(const struct gcl_copy_grid *grid, size_t index, struct gcl_copy_box *box)
{
	size_t line = index / grid->per_line, at = index % grid->per_line * grid->step;

	for (unsigned axis = 0; axis < 3; axis++) {
		box->origin[axis] = 0;
		box->region[axis] = axis < grid->axis ? grid->extent[axis] : 1;
	}
	box->origin[grid->axis] = at;
	box->region[grid->axis] = GCL_MIN(grid->step, grid->extent[grid->axis] - at);
	if (grid->axis == 0) {
		box->origin[1] = line % grid->extent[1];
		box->origin[2] = line / grid->extent[1];
	} else if (grid->axis == 1) {
		box->origin[2] = line;
	}
	box->size = box->region[0] * box->region[1] * box->region[2] * grid->element;
	box->offset = ((box->origin[2] * grid->extent[1] + box->origin[1]) * grid->extent[0] +
		       box->origin[0]) *
		      grid->element;
}
