/*
 * Boxes in memory: bytes in rows in slices, with pitches.
 *
 * Sizes come from the program: everything that is not known to lie inside one object is computed
 * with checks for overflow.
 */
#include "memory.h"

/* One row may overlap with itself: a program may read a buffer to where the buffer is mapped. */
static void rows_copy(uint8_t *to, size_t to_pitch, const uint8_t *from, size_t from_pitch,
		      size_t bytes, size_t rows)
{
	if (to_pitch == bytes && from_pitch == bytes) {
		memmove(to, from, bytes * rows);
		return;
	}
	for (size_t i = 0; i < rows; i++)
		memmove(to + i * to_pitch, from + i * from_pitch, bytes);
}

void gcl_box_copy(const struct gcl_box *to, const struct gcl_box *from, const size_t size[3])
{
	if (size[1] == 1 && size[2] == 1) {
		memmove(to->bytes, from->bytes, size[0]);
		return;
	}
	for (size_t i = 0; i < size[2]; i++)
		rows_copy(to->bytes + i * to->slice_pitch, to->row_pitch,
			  from->bytes + i * from->slice_pitch, from->row_pitch, size[0], size[1]);
}

struct gcl_box gcl_box_at(const struct gcl_box *box, const size_t at[3])
{
	struct gcl_box part = *box;

	part.bytes += at[2] * box->slice_pitch + at[1] * box->row_pitch + at[0];
	return part;
}

Gcl__Box gcl_wire_box(const size_t values[3])
{
	Gcl__Box box = GCL__BOX__INIT;

	box.x = values[0];
	box.y = values[1];
	box.z = values[2];
	return box;
}

static bool add_product(size_t *sum, size_t a, size_t b)
{
	size_t product;

	return !__builtin_mul_overflow(a, b, &product) &&
	       !__builtin_add_overflow(*sum, product, sum);
}

bool gcl_box_end(const size_t *origin, const size_t region[3], size_t row_pitch, size_t slice_pitch,
		 size_t *end)
{
	static const size_t start[3];

	if (!origin)
		origin = start;
	*end = 0;
	return add_product(end, origin[2], slice_pitch) && add_product(end, origin[1], row_pitch) &&
	       add_product(end, origin[0], 1) && add_product(end, region[2] - 1, slice_pitch) &&
	       add_product(end, region[1] - 1, row_pitch) && add_product(end, region[0], 1);
}

bool gcl_box_pitches(const size_t region[3], size_t *row_pitch, size_t *slice_pitch)
{
	size_t dense = 0;

	if (*row_pitch == 0)
		*row_pitch = region[0];
	if (*row_pitch < region[0] || !add_product(&dense, *row_pitch, region[1]))
		return false;
	if (*slice_pitch == 0)
		*slice_pitch = dense;
	return *slice_pitch >= dense && *slice_pitch % *row_pitch == 0;
}
