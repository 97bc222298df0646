/* SPDX-License-Identifier: MIT */
/*
 * Where the runtime's allocator puts memory.
 *
 * Shared virtual memory has to be where the guest has room for it, and on a GPU server where it is
 * at home; clSVMAlloc can't be told. A runtime whose devices use the host's memory allocates it
 * like any other, by posix_memalign() or aligned_alloc(), which are the worker's own here: what is
 * asked for by the thread that has named an address is mapped there. Runtimes that allocate
 * otherwise don't notice, and the caller does.
 */
#ifndef GCL_PLACED_H
#define GCL_PLACED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * gcl_placed_begin() - what this thread allocates next of @size bytes is to be at @address.
 * @address: between GCL_SVM_FIRST and GCL_SVM_HEAP_END, where all pages have to be free
 * @source: shared memory that it is to be, as far into a page as @address; NULL: memory of its own
 *
 * Return: 0 or -errno: there is no room.
 */
int gcl_placed_begin(uint64_t address, size_t size, const void *source);

/** gcl_placed_end() - it has allocated, or hasn't: later allocations are anywhere. Return: is the
 * memory there? It belongs to free() then. */
bool gcl_placed_end(void);

#endif
