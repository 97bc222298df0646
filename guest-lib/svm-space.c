/*
 * The process's addresses for shared virtual memory.
 *
 * Found ones go upwards from a random place between GCL_SVM_FIRST and GCL_SVM_END, and are not used
 * again soon: the host may be a little behind with what was given back.
 */
#include "svm-space.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "ranges.h"
#include "session-limits.h"

#define FIND_TRIES 64

static struct {
	pthread_mutex_t lock; /* protects the rest; held around changes of the mappings */
	struct gcl_ranges taken;
	uintptr_t next; /* 0: not drawn yet */
	bool closed;	/* nothing can be there: it isn't tried again */
} space = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void space_lock(void)
{
	pthread_mutex_lock(&space.lock);
}

static void space_unlock(void)
{
	pthread_mutex_unlock(&space.lock);
}

/* A child has copies of the pages, and its books have to be whole. */
static void prepare(void)
{
	pthread_atfork(space_lock, space_unlock, space_unlock);
}

static uintptr_t page_down(uintptr_t address)
{
	return address & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
}

static uintptr_t page_up(uintptr_t address)
{
	return page_down(address + (uintptr_t)sysconf(_SC_PAGESIZE) - 1);
}

static bool pages_map(uintptr_t first, uintptr_t end)
{
	void *wanted = (void *)first;
	void *memory = mmap(wanted, end - first, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	/* A hint is followed where it can be; sanitizers know it, and not MAP_FIXED_NOREPLACE. */
	if (memory == wanted)
		return true;
	if (memory != MAP_FAILED)
		munmap(memory, end - first);
	return false;
}

/* Somewhere in the lower half, since there has to be room above. */
static void next_draw_locked(void)
{
	uint64_t random = 0;

	if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
		random = (uintptr_t)&random;
	space.next = page_down(GCL_SVM_FIRST + random % ((GCL_SVM_END - GCL_SVM_FIRST) / 2));
}

static uintptr_t find_locked(size_t size)
{
	for (int i = 0; i < FIND_TRIES && !space.closed; i++) {
		uintptr_t first;

		if (!space.next || size > GCL_SVM_END - space.next)
			next_draw_locked();
		first = space.next;
		space.next = page_up(first + size);
		if (pages_map(first, space.next))
			return first;
	}
	space.closed = true;
	return 0;
}

void *gcl_svm_space_find(size_t size)
{
	uintptr_t first;

	if (!size || size > (GCL_SVM_END - GCL_SVM_FIRST) / 2)
		return NULL;
	pthread_once(&once, prepare);
	space_lock();
	first = find_locked(size);
	if (first && !gcl_ranges_add(&space.taken, first, size, &space)) {
		munmap((void *)first, page_up(first + size) - first);
		first = 0;
	}
	space_unlock();
	return (void *)first;
}

/* The pages of the range that are its own: not those at its ends where others are, too. */
static void own_pages_locked(uintptr_t *first, uintptr_t *end)
{
	uintptr_t from = page_down(*first), to = page_up(*end);

	if (gcl_ranges_touch(&space.taken, from, *first))
		from = page_up(*first + 1);
	if (gcl_ranges_touch(&space.taken, *end, to))
		to = page_down(*end - 1);
	*first = from;
	*end = to;
}

bool gcl_svm_space_take(void *address, size_t size)
{
	uintptr_t first = (uintptr_t)address, end;
	bool taken = false;

	if (!size || __builtin_add_overflow(first, size, &end) || page_up(end) < end)
		return false;
	pthread_once(&once, prepare);
	space_lock();
	if (gcl_ranges_add(&space.taken, (uintptr_t)address, size, &space)) {
		own_pages_locked(&first, &end);
		taken = first >= end || pages_map(first, end);
		if (!taken)
			gcl_ranges_remove(&space.taken, (uintptr_t)address);
	}
	space_unlock();
	return taken;
}

void gcl_svm_space_free(void *address)
{
	const struct gcl_range *range;
	uintptr_t first, end;

	space_lock();
	range = gcl_ranges_at(&space.taken, (uintptr_t)address);
	if (range && range->first == (uintptr_t)address) {
		first = range->first;
		end = range->end;
		gcl_ranges_remove(&space.taken, first);
		own_pages_locked(&first, &end);
		if (first < end)
			munmap((void *)first, end - first);
	}
	space_unlock();
}
