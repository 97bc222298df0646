/*
 * The allocator's functions that the runtime gets to see; see placed.h.
 *
 * free() is called for everything, by every thread: what isn't within these addresses costs it one
 * comparison.
 *
 * Must not: allocate with the lock held.
 */
#include "placed.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/list.h"
#include "session-limits.h"

/* NOLINTBEGIN(bugprone-reserved-identifier): the names are theirs. */
/* Clang has no macro of its own for that. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)

/* The sanitizer's functions that are replaced have second names. */
void *__interceptor_memalign(size_t alignment, size_t size);
void __interceptor_free(void *memory);

#define LIBC_MEMALIGN __interceptor_memalign
#define LIBC_FREE     __interceptor_free

#elif defined(__GLIBC__) && !defined(__SANITIZE_THREAD__)

/* So have the C library's. */
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

#define LIBC_MEMALIGN __libc_memalign
#define LIBC_FREE     __libc_free

#endif
/* NOLINTEND(bugprone-reserved-identifier) */

#ifndef LIBC_FREE

int gcl_placed_begin(uint64_t address, size_t size, const void *source)
{
	(void)address;
	(void)size;
	(void)source;
	return -ENOTSUP;
}

bool gcl_placed_end(void)
{
	return false;
}

#else

struct placed {
	struct gcl_list link; /* in the list of all */
	void *memory;
	uint8_t *pages;
	size_t size; /* of these */
};

static struct {
	pthread_mutex_t lock; /* a leaf */
	struct gcl_list list;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER, .list = GCL_LIST_INIT(all.list)};

static _Thread_local struct {
	struct placed *placed; /* NULL: nothing is named */
	size_t size;	       /* that is asked for */
	bool taken;
} named;

static inline bool within(const void *memory)
{
	return (uintptr_t)memory - GCL_SVM_FIRST < GCL_SVM_HEAP_END - GCL_SVM_FIRST;
}

/* Free pages at @first; those of @source, if there is one. */
static bool pages_map(uint8_t *first, size_t size, const uint8_t *source)
{
	uint8_t *pages = mmap(first, size, source ? PROT_NONE : PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (pages == first && (!source || mremap((void *)source, 0, size,
						 MREMAP_MAYMOVE | MREMAP_FIXED, first) == first))
		return true;
	if (pages != MAP_FAILED)
		munmap(pages, size);
	return false;
}

int gcl_placed_begin(uint64_t address, size_t size, const void *source)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), into = address % page, whole;
	struct placed *placed;

	if (!size || __builtin_add_overflow(size, into + page - 1, &whole) ||
	    address < GCL_SVM_FIRST || address > GCL_SVM_HEAP_END ||
	    size > GCL_SVM_HEAP_END - address || (source && (uintptr_t)source % page != into))
		return -EINVAL;
	placed = malloc(sizeof *placed);
	if (!placed)
		return -ENOMEM;
	placed->memory = (void *)(uintptr_t)address;
	placed->pages = (uint8_t *)(uintptr_t)(address - into);
	placed->size = whole & ~(page - 1);
	if (!pages_map(placed->pages, placed->size,
		       source ? (const uint8_t *)source - into : NULL)) {
		free(placed);
		return -EEXIST;
	}
	named.placed = placed;
	named.size = size;
	named.taken = false;
	return 0;
}

bool gcl_placed_end(void)
{
	struct placed *placed = named.placed;

	named.placed = NULL;
	if (placed && !named.taken) {
		munmap(placed->pages, placed->size);
		free(placed);
	}
	return placed && named.taken;
}

static void *named_take(size_t size)
{
	struct placed *placed = named.placed;

	if (!placed || named.taken || size < named.size ||
	    size > placed->size - (size_t)((uint8_t *)placed->memory - placed->pages))
		return NULL;
	named.taken = true;
	pthread_mutex_lock(&all.lock);
	gcl_list_append(&all.list, &placed->link);
	pthread_mutex_unlock(&all.lock);
	return placed->memory;
}

static void placed_free(const void *memory)
{
	struct placed *found = NULL;

	pthread_mutex_lock(&all.lock);
	gcl_list_for_each (it, &all.list) {
		struct placed *placed = gcl_container_of(it, struct placed, link);

		if (placed->memory != memory)
			continue;
		found = placed;
		gcl_list_remove(it);
		break;
	}
	pthread_mutex_unlock(&all.lock);
	if (!found)
		return;
	munmap(found->pages, found->size);
	LIBC_FREE(found);
}

#define REPLACES __attribute__((visibility("default")))

REPLACES void *aligned_alloc(size_t alignment, size_t size)
{
	void *memory = named_take(size);

	return memory ? memory : LIBC_MEMALIGN(alignment, size);
}

REPLACES int posix_memalign(void **out, size_t alignment, size_t size)
{
	void *memory;

	if (alignment < sizeof(void *) || alignment & (alignment - 1))
		return EINVAL;
	memory = aligned_alloc(alignment, size);
	if (!memory)
		return ENOMEM;
	*out = memory;
	return 0;
}

REPLACES void free(void *memory)
{
	if (__builtin_expect(within(memory), 0))
		placed_free(memory);
	else
		LIBC_FREE(memory);
}

#endif
