/*
 * Heap memory in whole pages: runs of pages, handed out, coalesced and given back to the system.
 *
 * Not thread-safe: heap.c's lock protects it. A run is a range of pages in one state; every page of
 * the heap below the frontier belongs to exactly one run.
 */
#ifndef GCL_HEAP_PAGES_H
#define GCL_HEAP_PAGES_H

#include "base/list.h"
#include "channel.h"

#define GCL_HEAP_PAGE 4096ull

enum gcl_run_state {
	GCL_RUN_USED,	 /* handed out */
	GCL_RUN_SLAB,	 /* handed out to heap.c's size classes; every page finds it */
	GCL_RUN_FREE,	 /* in a bin; its neighbours are not free */
	GCL_RUN_RECENT,	 /* freed a moment ago and not yet coalesced */
	GCL_RUN_TRIMMED, /* on its way back to the system, outside the lock */
	GCL_RUN_SPARE	 /* a struct without pages */
};

struct gcl_run {
	struct gcl_list link; /* in a bin, in the list of spares, or for the user */
	uint64_t page;
	uint64_t pages;
	uint64_t held; /* of a free run: pages at its front that hold memory */
	enum gcl_run_state state;
	struct gcl_slab *slab; /* heap.c's */
};

#define GCL_RUN_LEVELS 24u /* floor(log2(pages)) */
#define GCL_RUN_STEPS  8u  /* bins for each level */
#define GCL_RUN_RECENT 16u

struct gcl_pages {
	struct gcl_channel *channel; /* lent */
	struct gcl_run ***map;	     /* chunk -> page -> run, set for a run's first and last page */
	uint64_t chunks;	     /* entries of @map in use */
	uint64_t frontier;	     /* pages beyond were never handed out */
	uint64_t held;		     /* pages of memory held by free runs, FREE and RECENT */
	struct gcl_list spares;
	struct gcl_list blocks;			/* memory that run structs were cut from */
	struct gcl_run *recent[GCL_RUN_RECENT]; /* newest last */
	unsigned recent_count;
	uint32_t level_bits;
	uint8_t step_bits[GCL_RUN_LEVELS];
	struct gcl_list bins[GCL_RUN_LEVELS][GCL_RUN_STEPS]; /* last freed first */
};

int gcl_pages_init(struct gcl_pages *pages, struct gcl_channel *channel);
void gcl_pages_fini(struct gcl_pages *pages);

/** gcl_pages_alloc() - a run of @count pages in the state USED, or NULL when the heap is full. */
struct gcl_run *gcl_pages_alloc(struct gcl_pages *pages, uint64_t count);

/** gcl_pages_free() - take a USED, SLAB or TRIMMED run back. */
void gcl_pages_free(struct gcl_pages *pages, struct gcl_run *run);

/** gcl_pages_find() - the run that @page is first, last (or, of a slab, any) page of, or NULL. */
struct gcl_run *gcl_pages_find(const struct gcl_pages *pages, uint64_t page);

/** gcl_pages_slab_set() - make a USED run a SLAB that each of its pages finds. */
void gcl_pages_slab_set(struct gcl_pages *pages, struct gcl_run *run, struct gcl_slab *slab);

/**
 * gcl_pages_trim_take() - cut a run off that should go back to the system, or NULL if less than the
 * limit is held. The caller gives its memory back without the lock, then frees it.
 */
struct gcl_run *gcl_pages_trim_take(struct gcl_pages *pages);

#endif
