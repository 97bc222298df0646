/*
 * How copies cut objects into boxes, and which of these have changed.
 *
 * A box is a run of pixels in a row, of rows in a slice, or of slices: what one command can read or
 * write, and what lies in one piece in memory. A buffer is an image of one row, of bytes.
 */
#ifndef GCL_COPY_BOX_H
#define GCL_COPY_BOX_H

#include "copy.h"

/* What has one sum, at most. */
#define GCL_COPY_BLOCK ((size_t)64 << 10)

/* XXH3's 128 bits; zeros: not known. */
struct gcl_copy_hash {
	uint64_t low, high;
};

struct gcl_copy_box {
	size_t origin[3], region[3];
	size_t offset, size; /* bytes, in the object without padding */
};

/* An object cut into boxes along one axis; these are in the order of their offsets. */
struct gcl_copy_grid {
	size_t extent[3];
	size_t element;
	unsigned axis;
	size_t step; /* along the axis */
	size_t per_line, count;
};

/** gcl_copy_grid_init() - cut @copy's object into boxes of @limit bytes at most. Return: whether
 * that is possible; there may be no boxes at all. */
bool gcl_copy_grid_init(struct gcl_copy_grid *grid, const struct gcl_copy *copy, size_t limit);

/** gcl_copy_grid_align() - have each of @grid's boxes be whole boxes of @finer, which was cut with
 * a lower limit. */
void gcl_copy_grid_align(struct gcl_copy_grid *grid, const struct gcl_copy_grid *finer);

void gcl_copy_grid_box(const struct gcl_copy_grid *grid, size_t index, struct gcl_copy_box *box);

/** gcl_copy_blocks_max() - boxes of GCL_COPY_BLOCK that @size bytes are cut into at most. */
static inline size_t gcl_copy_blocks_max(size_t size)
{
	/* Each box but a line's last is more than half of the limit, and a line more than all of
	 * it, unless there is but one. */
	return size / GCL_COPY_BLOCK * 3 + 3;
}

/** gcl_copy_sums_fit() - whether @sums are of an object that is cut so. */
bool gcl_copy_sums_fit(const struct gcl_copy_sums *sums, const struct gcl_copy_grid *blocks);

/** gcl_copy_sums_known() - whether anything is known of any block. */
bool gcl_copy_sums_known(const struct gcl_copy_sums *sums);

/** gcl_copy_sums_has() - whether it is known of this block. */
bool gcl_copy_sums_has(const struct gcl_copy_sums *sums, size_t block);

/** gcl_copy_sums_differ() - whether the block's hash is another one than @hash. */
bool gcl_copy_sums_differ(const struct gcl_copy_sums *sums, size_t block,
			  const struct gcl_copy_hash *hash);

/** gcl_copy_hash() - of a block. */
struct gcl_copy_hash gcl_copy_hash(const void *bytes, size_t size);

/** gcl_copy_sums_changed() - whether the block is another than it was; it is known as the new one
 * from then on. */
bool gcl_copy_sums_changed(struct gcl_copy_sums *sums, size_t block, const void *bytes,
			   size_t size);

#endif
