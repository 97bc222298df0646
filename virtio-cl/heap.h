/*
 * The guest's allocator for heap offsets: small blocks from size classes, large ones page by page.
 *
 * Its bookkeeping lies in private memory, never in the heap, so that the peer can't damage it.
 * Thread-safe.
 */
#ifndef GCL_HEAP_H
#define GCL_HEAP_H

#include "channel.h"

#define GCL_HEAP_NONE UINT64_MAX

struct gcl_heap;

/** gcl_heap_create() - an allocator over the whole heap of @channel, which it lends (and grows as
 * needed). */
int gcl_heap_create(struct gcl_channel *channel, struct gcl_heap **out);
void gcl_heap_destroy(struct gcl_heap *heap);

/**
 * gcl_heap_alloc() - a block of @size bytes.
 *
 * Aligned to 128 bytes (the largest OpenCL type), those from a page to nearly 1 MiB to a page.
 * Contents are what was there before (blocks never used read as zero). Return: its offset, or
 * GCL_HEAP_NONE when the heap is full.
 */
uint64_t gcl_heap_alloc(struct gcl_heap *heap, uint64_t size);

/** gcl_heap_free() - give a block back; GCL_HEAP_NONE is accepted. Large free memory goes back to
 * the system in part. */
void gcl_heap_free(struct gcl_heap *heap, uint64_t offset);

/** gcl_heap_used() - bytes handed out now. */
uint64_t gcl_heap_used(struct gcl_heap *heap);

#endif
