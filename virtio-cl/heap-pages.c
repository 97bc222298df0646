/*
 * Runs of pages: segregated bins by size, coalescing, and memory that is held for reuse.
 *
 * Theory of operation: bins are chosen by the logarithm of the size in eight steps, and bitmaps
 * find the first bin that surely fits, so that allocating and freeing take constant time. A freed
 * run first stays as it is for a while (RECENT), since programs free and allocate the same sizes
 * over and over and its pages are still warm and mapped on both sides; the oldest is coalesced with
 * its neighbours when a newer one needs its place. Fresh pages are taken last of all. Free memory
 * above HELD_MAX goes back to the system, from the largest runs.
 */
#include "heap-pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define CHUNK_PAGES (GCL_HEAP_CHUNK / GCL_HEAP_PAGE)
#define CHUNKS_MAX  (GCL_HEAP_MAX / GCL_HEAP_CHUNK)
#define HELD_MAX    ((256ull << 20) / GCL_HEAP_PAGE)
#define TRIM_MIN    ((16ull << 20) / GCL_HEAP_PAGE)
#define BLOCK_RUNS  63
#define SCAN_MAX    8 /* runs looked at in a bin that holds some too small */

_Static_assert(GCL_HEAP_MAX / GCL_HEAP_PAGE < 1ull << (GCL_RUN_LEVELS + 2),
	       "the largest run has a bin");
_Static_assert(GCL_RUN_LEVELS <= 32 && GCL_RUN_STEPS == 8, "the bitmaps hold a bit for each bin");

struct run_block {
	struct gcl_list link;
	struct gcl_run runs[BLOCK_RUNS];
};

struct bin {
	unsigned level;
	unsigned step;
};

static struct bin bin_of(uint64_t count)
{
	unsigned log = 63 - (unsigned)__builtin_clzll(count);

	if (count < GCL_RUN_STEPS)
		return (struct bin){0, (unsigned)count};
	return (struct bin){log - 2, (unsigned)(count >> (log - 3)) & (GCL_RUN_STEPS - 1)};
}

/* The first bin all of whose runs have @count pages or more. */
static struct bin bin_that_fits(uint64_t count)
{
	unsigned log = 63 - (unsigned)__builtin_clzll(count);

	if (count >= GCL_RUN_STEPS)
		count += (1ull << (log - 3)) - 1;
	return bin_of(count);
}

static struct gcl_run *run_get(struct gcl_pages *pages)
{
	struct gcl_run *run;

	if (gcl_list_empty(&pages->spares)) {
		struct run_block *block = calloc(1, sizeof *block);

		if (!block)
			return NULL;
		gcl_list_append(&pages->blocks, &block->link);
		for (unsigned i = 0; i < BLOCK_RUNS; i++) {
			block->runs[i].state = GCL_RUN_SPARE;
			gcl_list_append(&pages->spares, &block->runs[i].link);
		}
	}
	run = gcl_list_first(&pages->spares, struct gcl_run, link);
	gcl_list_remove(&run->link);
	run->slab = NULL;
	return run;
}

/* Stale pointers to it may remain in the map: gcl_pages_find() tells them from valid ones. */
static void run_put(struct gcl_pages *pages, struct gcl_run *run)
{
	run->state = GCL_RUN_SPARE;
	gcl_list_append(&pages->spares, &run->link);
}

static struct gcl_run **map_slot(const struct gcl_pages *pages, uint64_t page)
{
	return &pages->map[page / CHUNK_PAGES][page % CHUNK_PAGES];
}

static void map_set(struct gcl_pages *pages, struct gcl_run *run)
{
	*map_slot(pages, run->page) = run;
	*map_slot(pages, run->page + run->pages - 1) = run;
}

struct gcl_run *gcl_pages_find(const struct gcl_pages *pages, uint64_t page)
{
	struct gcl_run *run;

	if (page >= pages->frontier)
		return NULL;
	run = *map_slot(pages, page);
	if (!run || run->state == GCL_RUN_SPARE)
		return NULL;
	if (page == run->page || page == run->page + run->pages - 1)
		return run;
	if (run->state == GCL_RUN_SLAB && page > run->page && page < run->page + run->pages)
		return run;
	return NULL;
}

void gcl_pages_slab_set(struct gcl_pages *pages, struct gcl_run *run, struct gcl_slab *slab)
{
	run->state = GCL_RUN_SLAB;
	run->slab = slab;
	for (uint64_t i = 0; i < run->pages; i++)
		*map_slot(pages, run->page + i) = run;
}

static void bin_insert(struct gcl_pages *pages, struct gcl_run *run)
{
	struct bin bin = bin_of(run->pages);
	struct gcl_list *first = pages->bins[bin.level][bin.step].next;

	run->state = GCL_RUN_FREE;
	gcl_list_append(first, &run->link); /* in front of what was the first */
	pages->step_bits[bin.level] |= (uint8_t)(1u << bin.step);
	pages->level_bits |= 1u << bin.level;
	pages->held += run->held;
}

static void bin_remove(struct gcl_pages *pages, struct gcl_run *run)
{
	struct bin bin = bin_of(run->pages);

	gcl_list_remove(&run->link);
	pages->held -= run->held;
	if (!gcl_list_empty(&pages->bins[bin.level][bin.step]))
		return;
	pages->step_bits[bin.level] &= (uint8_t) ~(1u << bin.step);
	if (!pages->step_bits[bin.level])
		pages->level_bits &= ~(1u << bin.level);
}

/* The free run in front of or behind a run, taken out of its bin, or NULL. */
static struct gcl_run *neighbour_take(struct gcl_pages *pages, uint64_t page)
{
	struct gcl_run *run = gcl_pages_find(pages, page);

	if (!run || run->state != GCL_RUN_FREE)
		return NULL;
	bin_remove(pages, run);
	return run;
}

static void run_coalesce(struct gcl_pages *pages, struct gcl_run *run)
{
	struct gcl_run *left = run->page ? neighbour_take(pages, run->page - 1) : NULL;
	struct gcl_run *right = neighbour_take(pages, run->page + run->pages);

	if (left) {
		run->held = run->held ? left->pages + run->held : left->held;
		run->page = left->page;
		run->pages += left->pages;
		run_put(pages, left);
	}
	if (right) {
		run->held = right->held ? run->pages + right->held : run->held;
		run->pages += right->pages;
		run_put(pages, right);
	}
	map_set(pages, run);
	bin_insert(pages, run);
}

/* Cuts @run, which is in no bin, after @count pages. Return: the rest, in no bin, or NULL. */
static struct gcl_run *run_split(struct gcl_pages *pages, struct gcl_run *run, uint64_t count)
{
	struct gcl_run *rest = run_get(pages);

	if (!rest)
		return NULL;
	rest->page = run->page + count;
	rest->pages = run->pages - count;
	rest->held = run->held > count ? run->held - count : 0;
	run->pages = count;
	run->held = GCL_MIN(run->held, count);
	map_set(pages, run);
	map_set(pages, rest);
	return rest;
}

static struct gcl_run *recent_take(struct gcl_pages *pages, unsigned i)
{
	struct gcl_run *run = pages->recent[i];

	pages->recent_count--;
	memmove(&pages->recent[i], &pages->recent[i + 1],
		(pages->recent_count - i) * sizeof(struct gcl_run *));
	pages->held -= run->held;
	return run;
}

static void recent_flush(struct gcl_pages *pages)
{
	while (pages->recent_count)
		run_coalesce(pages, recent_take(pages, pages->recent_count - 1));
}

static struct gcl_run *recent_find(struct gcl_pages *pages, uint64_t count)
{
	for (unsigned i = pages->recent_count; i-- > 0;) {
		if (pages->recent[i]->pages == count)
			return recent_take(pages, i);
	}
	return NULL;
}

static struct gcl_run *bins_find(struct gcl_pages *pages, uint64_t count)
{
	struct bin bin = bin_that_fits(count);
	unsigned steps = pages->step_bits[bin.level] & (0xffu << bin.step);
	uint32_t levels = pages->level_bits & (UINT32_MAX << bin.level << 1);
	unsigned looked = 0;

	if (!steps && levels) {
		bin.level = (unsigned)__builtin_ctz(levels);
		steps = pages->step_bits[bin.level];
	}
	if (steps) {
		bin.step = (unsigned)__builtin_ctz(steps);
		return gcl_list_first(&pages->bins[bin.level][bin.step], struct gcl_run, link);
	}
	bin = bin_of(count);
	gcl_list_for_each (it, &pages->bins[bin.level][bin.step]) {
		struct gcl_run *run = gcl_container_of(it, struct gcl_run, link);

		if (run->pages >= count)
			return run;
		if (++looked == SCAN_MAX)
			break;
	}
	return NULL;
}

/* A run from a bin, cut to size. */
static struct gcl_run *bins_take(struct gcl_pages *pages, uint64_t count)
{
	struct gcl_run *run = bins_find(pages, count);
	struct gcl_run *rest;

	if (!run)
		return NULL;
	bin_remove(pages, run);
	if (run->pages > count) {
		rest = run_split(pages, run, count);
		if (rest)
			bin_insert(pages, rest);
	}
	return run;
}

/* Makes the map cover the pages below @frontier. */
static int frontier_move(struct gcl_pages *pages, uint64_t frontier)
{
	uint64_t chunks = (frontier + CHUNK_PAGES - 1) / CHUNK_PAGES;

	if (chunks > CHUNKS_MAX || frontier * GCL_HEAP_PAGE > gcl_channel_heap_room(pages->channel))
		return -ENOMEM;
	while (pages->chunks < chunks) {
		pages->map[pages->chunks] = calloc(CHUNK_PAGES, sizeof(struct gcl_run *));
		if (!pages->map[pages->chunks])
			return -ENOMEM;
		pages->chunks++;
	}
	pages->frontier = frontier;
	return 0;
}

/* Pages never used before, together with the free run in front of them if there is one. */
static struct gcl_run *frontier_take(struct gcl_pages *pages, uint64_t count)
{
	uint64_t first = pages->frontier;
	struct gcl_run *last = first ? gcl_pages_find(pages, first - 1) : NULL;
	struct gcl_run *run;

	if (last && last->state == GCL_RUN_FREE)
		first = last->page;
	else
		last = NULL;
	run = last ? last : run_get(pages);
	if (!run)
		return NULL;
	if (frontier_move(pages, first + count)) {
		if (!last)
			run_put(pages, run);
		return NULL;
	}
	if (last)
		bin_remove(pages, last);
	else
		run->held = 0;
	run->page = first;
	run->pages = count;
	map_set(pages, run);
	return run;
}

/* Sees to it that there is memory behind all of @run, or gives the run back. */
static struct gcl_run *run_populate(struct gcl_pages *pages, struct gcl_run *run)
{
	/* What it is said to hold is an estimate: it may have coalesced with runs that hold none.
	 */
	if (gcl_channel_heap_populate(pages->channel, run->page * GCL_HEAP_PAGE,
				      run->pages * GCL_HEAP_PAGE)) {
		run_coalesce(pages, run);
		return NULL;
	}
	return run;
}

struct gcl_run *gcl_pages_alloc(struct gcl_pages *pages, uint64_t count)
{
	struct gcl_run *run;

	if (count > GCL_HEAP_MAX / GCL_HEAP_PAGE)
		return NULL;
	run = recent_find(pages, count);
	if (!run) {
		run = bins_take(pages, count);
		if (!run && pages->recent_count) {
			recent_flush(pages);
			run = bins_take(pages, count);
		}
		if (!run)
			run = frontier_take(pages, count);
		if (run)
			run = run_populate(pages, run);
	}
	if (run)
		run->state = GCL_RUN_USED;
	return run;
}

void gcl_pages_free(struct gcl_pages *pages, struct gcl_run *run)
{
	run->slab = NULL;
	if (run->state == GCL_RUN_TRIMMED) {
		run->held = 0;
		run_coalesce(pages, run);
		return;
	}
	run->held = run->pages;
	if (pages->recent_count == GCL_RUN_RECENT)
		run_coalesce(pages, recent_take(pages, 0));
	run->state = GCL_RUN_RECENT;
	pages->recent[pages->recent_count++] = run;
	pages->held += run->held;
}

/* The first run that holds memory, from the largest bin down. */
static struct gcl_run *held_find(struct gcl_pages *pages)
{
	for (unsigned level = GCL_RUN_LEVELS; level-- > 0;) {
		for (unsigned step = GCL_RUN_STEPS; step-- > 0;) {
			gcl_list_for_each (it, &pages->bins[level][step]) {
				struct gcl_run *run = gcl_container_of(it, struct gcl_run, link);

				if (run->held)
					return run;
			}
		}
	}
	return NULL;
}

struct gcl_run *gcl_pages_trim_take(struct gcl_pages *pages)
{
	struct gcl_run *run, *rest;
	uint64_t excess;

	if (pages->held <= HELD_MAX)
		return NULL;
	excess = GCL_MAX(pages->held - HELD_MAX, TRIM_MIN);
	recent_flush(pages);
	run = held_find(pages);
	if (!run)
		return NULL;
	bin_remove(pages, run);
	if (run->held > excess) {
		rest = run_split(pages, run, run->held - excess);
		if (rest) {
			bin_insert(pages, run);
			run = rest;
		}
	}
	run->state = GCL_RUN_TRIMMED;
	return run;
}

int gcl_pages_init(struct gcl_pages *pages, struct gcl_channel *channel)
{
	*pages = (struct gcl_pages){.channel = channel};
	gcl_list_init(&pages->spares);
	gcl_list_init(&pages->blocks);
	for (unsigned level = 0; level < GCL_RUN_LEVELS; level++) {
		for (unsigned step = 0; step < GCL_RUN_STEPS; step++)
			gcl_list_init(&pages->bins[level][step]);
	}
	pages->map = calloc(CHUNKS_MAX, sizeof *pages->map);
	return pages->map ? 0 : -ENOMEM;
}

void gcl_pages_fini(struct gcl_pages *pages)
{
	for (uint64_t i = 0; i < pages->chunks; i++)
		free(pages->map[i]);
	free(pages->map);
	gcl_list_for_each_safe (it, next, &pages->blocks)
		free(gcl_container_of(it, struct run_block, link));
}
