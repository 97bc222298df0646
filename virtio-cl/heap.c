/*
 * The guest's heap allocator: size classes for small blocks, runs of pages for all others.
 *
 * Must not: read or write the heap itself, hold the lock while memory goes back to the system.
 * A slab is a run of pages cut in blocks of one size, with a stack of free blocks (the last freed
 * is handed out first) and a bit for each block, which tells a double free from a good one.
 */
#include "heap.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "heap-pages.h"

#define BLOCK_ALIGN 128u
/*
 * Long blocks begin this far into a page. What programs copy into them mostly begins at a page, and
 * a copy between two addresses that agree in their last 12 bits keeps waiting for its own stores:
 * memcpy of 256 MiB ran at 10.1 GB/s at 0, 13.1 at 128 bytes.
 */
#define LONG_SKEW  BLOCK_ALIGN
#define LONG_PAGES 256u /* a run of more than these is skewed */

#define SLAB_PAGES  16u
#define SLAB_BLOCKS (SLAB_PAGES * GCL_HEAP_PAGE / BLOCK_ALIGN)

/* In units of BLOCK_ALIGN: four steps from each power of two to the next. */
static const uint8_t class_units[] = {1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28};

#define CLASSES	    GCL_ARRAY_SIZE(class_units)
#define SMALL_UNITS 28u

struct gcl_slab {
	struct gcl_list link; /* in heap->partial while a block is free */
	struct gcl_run *run;
	uint32_t class;
	uint32_t block_size;
	uint32_t capacity;
	uint32_t free_count;
	uint64_t used[SLAB_BLOCKS / 64];
	uint16_t free[SLAB_BLOCKS];
};

struct gcl_heap {
	pthread_mutex_t lock;
	struct gcl_channel *channel; /* lent */
	uint64_t used;
	struct gcl_pages pages;
	struct gcl_list partial[CLASSES]; /* slabs with free blocks, last freed into first */
	uint8_t class_of[SMALL_UNITS + 1];
};

int gcl_heap_create(struct gcl_channel *channel, struct gcl_heap **out)
{
	_cleanup_free_ struct gcl_heap *heap = calloc(1, sizeof *heap);
	unsigned class = 0;
	int err;

	if (!heap)
		return -ENOMEM;
	err = gcl_pages_init(&heap->pages, channel);
	if (err)
		return err;
	heap->channel = channel;
	pthread_mutex_init(&heap->lock, NULL);
	for (unsigned i = 0; i < CLASSES; i++)
		gcl_list_init(&heap->partial[i]);
	for (unsigned units = 0; units <= SMALL_UNITS; units++) {
		if (units > class_units[class])
			class ++;
		heap->class_of[units] = (uint8_t) class;
	}
	*out = steal_pointer(&heap);
	return 0;
}

void gcl_heap_destroy(struct gcl_heap *heap)
{
	if (!heap)
		return;
	for (uint64_t page = 0; page < heap->pages.frontier;) {
		struct gcl_run *run = gcl_pages_find(&heap->pages, page);

		page += run->pages;
		free(run->slab);
	}
	gcl_pages_fini(&heap->pages);
	pthread_mutex_destroy(&heap->lock);
	free(heap);
}

static struct gcl_slab *slab_create_locked(struct gcl_heap *heap, unsigned class)
{
	struct gcl_slab *slab = calloc(1, sizeof *slab);
	struct gcl_run *run = slab ? gcl_pages_alloc(&heap->pages, SLAB_PAGES) : NULL;

	if (!run) {
		free(slab);
		return NULL;
	}
	slab->run = run;
	slab->class = class;
	slab->block_size = class_units[class] * BLOCK_ALIGN;
	slab->capacity = (uint32_t)(run->pages * GCL_HEAP_PAGE / slab->block_size);
	slab->capacity = GCL_MIN(slab->capacity, SLAB_BLOCKS);
	slab->free_count = slab->capacity;
	for (uint32_t i = 0; i < slab->capacity; i++)
		slab->free[i] = (uint16_t)(slab->capacity - 1 - i);
	gcl_pages_slab_set(&heap->pages, run, slab);
	gcl_list_append(&heap->partial[class], &slab->link);
	return slab;
}

static uint64_t small_alloc_locked(struct gcl_heap *heap, unsigned class)
{
	struct gcl_list *partial = &heap->partial[class];
	struct gcl_slab *slab;
	uint32_t block;

	if (gcl_list_empty(partial))
		slab = slab_create_locked(heap, class);
	else
		slab = gcl_list_first(partial, struct gcl_slab, link);
	if (!slab)
		return GCL_HEAP_NONE;
	block = slab->free[--slab->free_count];
	slab->used[block / 64] |= 1ull << block % 64;
	if (!slab->free_count)
		gcl_list_remove(&slab->link);
	heap->used += slab->block_size;
	return slab->run->page * GCL_HEAP_PAGE + (uint64_t)block * slab->block_size;
}

static bool small_free_locked(struct gcl_heap *heap, struct gcl_run *run, uint64_t offset)
{
	struct gcl_slab *slab = run->slab;
	struct gcl_list *partial = &heap->partial[slab->class];
	uint32_t inside = (uint32_t)(offset - run->page * GCL_HEAP_PAGE);
	uint32_t block = inside / slab->block_size;

	if (inside % slab->block_size || block >= slab->capacity ||
	    !(slab->used[block / 64] >> block % 64 & 1))
		return false;
	slab->used[block / 64] &= ~(1ull << block % 64);
	slab->free[slab->free_count++] = (uint16_t)block;
	heap->used -= slab->block_size;
	if (partial->next != &slab->link) {
		gcl_list_remove(&slab->link);
		gcl_list_append(partial->next, &slab->link);
	}
	if (slab->free_count == slab->capacity && slab->link.next != partial) {
		/* The class has another slab with free blocks: this one may become something else.
		 */
		gcl_list_remove(&slab->link);
		gcl_pages_free(&heap->pages, run);
		free(slab);
	}
	return true;
}

/* Where the one block of a run begins. */
static uint64_t run_block(const struct gcl_run *run)
{
	return run->page * GCL_HEAP_PAGE + (run->pages > LONG_PAGES ? LONG_SKEW : 0);
}

static uint64_t large_alloc_locked(struct gcl_heap *heap, uint64_t size)
{
	struct gcl_run *run;

	if (size > GCL_HEAP_MAX)
		return GCL_HEAP_NONE;
	if (size > LONG_PAGES * GCL_HEAP_PAGE - LONG_SKEW)
		size += LONG_SKEW;
	run = gcl_pages_alloc(&heap->pages, (size + GCL_HEAP_PAGE - 1) / GCL_HEAP_PAGE);
	if (!run)
		return GCL_HEAP_NONE;
	heap->used += run->pages * GCL_HEAP_PAGE;
	return run_block(run);
}

uint64_t gcl_heap_alloc(struct gcl_heap *heap, uint64_t size)
{
	uint64_t offset;

	pthread_mutex_lock(&heap->lock);
	if (size <= SMALL_UNITS * BLOCK_ALIGN)
		offset = small_alloc_locked(heap,
					    heap->class_of[(size + BLOCK_ALIGN - 1) / BLOCK_ALIGN]);
	else
		offset = large_alloc_locked(heap, size);
	pthread_mutex_unlock(&heap->lock);
	return offset;
}

static void trim_locked(struct gcl_heap *heap)
{
	struct gcl_run *run;

	while ((run = gcl_pages_trim_take(&heap->pages))) {
		uint64_t offset = run->page * GCL_HEAP_PAGE;
		uint64_t size = run->pages * GCL_HEAP_PAGE;

		pthread_mutex_unlock(&heap->lock);
		gcl_channel_heap_trim(heap->channel, offset, size);
		pthread_mutex_lock(&heap->lock);
		gcl_pages_free(&heap->pages, run);
	}
}

void gcl_heap_free(struct gcl_heap *heap, uint64_t offset)
{
	struct gcl_run *run;
	bool known = false;

	if (offset == GCL_HEAP_NONE)
		return;
	pthread_mutex_lock(&heap->lock);
	run = gcl_pages_find(&heap->pages, offset / GCL_HEAP_PAGE);
	if (run && run->state == GCL_RUN_SLAB) {
		known = small_free_locked(heap, run, offset);
	} else if (run && run->state == GCL_RUN_USED && run_block(run) == offset) {
		known = true;
		heap->used -= run->pages * GCL_HEAP_PAGE;
		gcl_pages_free(&heap->pages, run);
		trim_locked(heap);
	}
	pthread_mutex_unlock(&heap->lock);
	if (!known)
		gcl_log_peer(mem, "heap: free of 0x%llx, which is not in use",
			     (unsigned long long)offset);
}

uint64_t gcl_heap_used(struct gcl_heap *heap)
{
	uint64_t used;

	pthread_mutex_lock(&heap->lock);
	used = heap->used;
	pthread_mutex_unlock(&heap->lock);
	return used;
}
