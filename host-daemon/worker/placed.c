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

int gcl_placed_begin(uint64_t address, size_t size)
{
	(void)address;
	(void)size;
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
	size_t size; /* whole pages */
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
	return (uintptr_t)memory - GCL_SVM_FIRST < GCL_SVM_END - GCL_SVM_FIRST;
}

int gcl_placed_begin(uint64_t address, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *wanted = (void *)(uintptr_t)address;
	size_t whole = (size + page - 1) & ~(page - 1);
	struct placed *placed;
	void *memory;

	if (address % page || !size || whole < size || address < GCL_SVM_FIRST ||
	    address > GCL_SVM_END || whole > GCL_SVM_END - address)
		return -EINVAL;
	placed = malloc(sizeof *placed);
	if (!placed)
		return -ENOMEM;
	memory = mmap(wanted, whole, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (memory != wanted) {
		if (memory != MAP_FAILED)
			munmap(memory, whole);
		free(placed);
		return -EEXIST;
	}
	placed->memory = memory;
	placed->size = whole;
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
		munmap(placed->memory, placed->size);
		free(placed);
	}
	return placed && named.taken;
}

static void *named_take(size_t size)
{
	struct placed *placed = named.placed;

	if (!placed || named.taken || size < named.size || size > placed->size)
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
	munmap(found->memory, found->size);
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
