/*
 * What is known of an object's contents on another side: a hash for each block.
 *
 * XXH3 isn't made to withstand somebody who looks for two blocks with the same hash. Whoever finds
 * them can have his own session take one for the other, and nothing else.
 */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "copy-box.h"

struct gcl_copy_sums {
	size_t count;
	bool known; /* of any block */
	struct gcl_copy_hash blocks[];
};

struct gcl_copy_sums *gcl_copy_sums_create(size_t size)
{
	size_t count = gcl_copy_blocks_max(size);
	struct gcl_copy_sums *sums = calloc(1, sizeof *sums + count * sizeof sums->blocks[0]);

	if (sums)
		sums->count = count;
	return sums;
}

void gcl_copy_sums_destroy(struct gcl_copy_sums *sums)
{
	free(sums);
}

void gcl_copy_sums_forget(struct gcl_copy_sums *sums)
{
	if (!sums)
		return;
	sums->known = false;
	memset(sums->blocks, 0, sums->count * sizeof sums->blocks[0]);
}

bool gcl_copy_sums_fit(const struct gcl_copy_sums *sums, const struct gcl_copy_grid *blocks)
{
	return blocks->count <= sums->count;
}

bool gcl_copy_sums_known(const struct gcl_copy_sums *sums)
{
	return sums->known;
}

bool gcl_copy_sums_has(const struct gcl_copy_sums *sums, size_t block)
{
	return sums->blocks[block].low || sums->blocks[block].high;
}

bool gcl_copy_sums_differ(const struct gcl_copy_sums *sums, size_t block,
			  const struct gcl_copy_hash *hash)
{
	return sums->blocks[block].low != hash->low || sums->blocks[block].high != hash->high;
}

struct gcl_copy_hash gcl_copy_hash(const void *bytes, size_t size)
{
	const XXH128_hash_t hash = XXH3_128bits(bytes, size);

	return (struct gcl_copy_hash){hash.low64, hash.high64};
}

bool gcl_copy_sums_changed(struct gcl_copy_sums *sums, size_t block, const void *bytes, size_t size)
{
	const struct gcl_copy_hash hash = gcl_copy_hash(bytes, size);

	if (!gcl_copy_sums_differ(sums, block, &hash))
		return false;
	sums->blocks[block] = hash;
	sums->known = true;
	return true;
}
