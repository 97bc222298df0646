/*
 * Memory of the runtime's at addresses that the worker names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "placed.h"
#include "session-limits.h"

#define SOMEWHERE (GCL_SVM_FIRST + (5ull << 30))

static void *allocated(size_t size)
{
	void *memory = NULL;

	assert_int_equal(posix_memalign(&memory, 128, size), 0);
	memset(memory, 1, size);
	return memory;
}

static void named_once(void **state)
{
	void *memory, *other;

	(void)state;
	assert_int_equal(gcl_placed_begin(SOMEWHERE, 5000, NULL), 0);
	memory = allocated(5000);
	other = allocated(5000);
	assert_true(gcl_placed_end());
	assert_int_equal((uintptr_t)memory, SOMEWHERE);
	assert_int_not_equal((uintptr_t)other, SOMEWHERE);
	/* Taken until it is given back. */
	assert_int_equal(gcl_placed_begin(SOMEWHERE, 100, NULL), -EEXIST);
	assert_false(gcl_placed_end());
	free(memory);
	free(other);
	assert_int_equal(gcl_placed_begin(SOMEWHERE, 100, NULL), 0);
	assert_false(gcl_placed_end());
	assert_int_equal(gcl_placed_begin(SOMEWHERE, 100, NULL), 0);
	memory = aligned_alloc(64, 128);
	assert_true(gcl_placed_end());
	assert_int_equal((uintptr_t)memory, SOMEWHERE);
	free(memory);
}

static void other_sizes_are_elsewhere(void **state)
{
	void *smaller, *larger;

	(void)state;
	assert_int_equal(gcl_placed_begin(SOMEWHERE, 5000, NULL), 0);
	smaller = allocated(4999);
	larger = allocated(8193);
	assert_false(gcl_placed_end());
	assert_int_not_equal((uintptr_t)smaller, SOMEWHERE);
	assert_int_not_equal((uintptr_t)larger, SOMEWHERE);
	free(smaller);
	free(larger);
	free(NULL);
}

/* One memory at two addresses. */
static void of_shared_memory(void **state)
{
	char *source = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *memory;

	(void)state;
	assert_ptr_not_equal(source, MAP_FAILED);
	assert_int_equal(gcl_placed_begin(SOMEWHERE, 5000, source + 128), -EINVAL);
	assert_int_equal(gcl_placed_begin(SOMEWHERE + 128, 5000, source + 128), 0);
	memory = allocated(5000);
	assert_true(gcl_placed_end());
	assert_int_equal((uintptr_t)memory, SOMEWHERE + 128);
	assert_int_equal(source[128], 1);
	source[129] = 7;
	assert_int_equal(memory[1], 7);
	free(memory);
	assert_int_equal(source[129], 7);
	munmap(source, 16384);
}

static void bad_addresses(void **state)
{
	(void)state;
	assert_int_equal(gcl_placed_begin(0, 100, NULL), -EINVAL);
	assert_int_equal(gcl_placed_begin(GCL_SVM_FIRST - 4096, 100, NULL), -EINVAL);
	assert_int_equal(gcl_placed_begin(GCL_SVM_HEAP_END, 100, NULL), -EINVAL);
	assert_int_equal(gcl_placed_begin(GCL_SVM_HEAP_END - 4096, 4097, NULL), -EINVAL);
	assert_int_equal(gcl_placed_begin(SOMEWHERE, 0, NULL), -EINVAL);
	assert_int_equal(gcl_placed_begin(SOMEWHERE, SIZE_MAX, NULL), -EINVAL);
	assert_false(gcl_placed_end());
	assert_int_equal(posix_memalign(&(void *){NULL}, 3, 100), EINVAL);
}

static void *elsewhere(void *arg)
{
	(void)arg;
	return allocated(100);
}

static void of_its_thread_alone(void **state)
{
	pthread_t thread;
	void *memory;

	(void)state;
	assert_int_equal(gcl_placed_begin(SOMEWHERE, 100, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, elsewhere, NULL), 0);
	pthread_join(thread, &memory);
	assert_false(gcl_placed_end());
	assert_int_not_equal((uintptr_t)memory, SOMEWHERE);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(named_once),	       cmocka_unit_test(other_sizes_are_elsewhere),
		cmocka_unit_test(of_shared_memory),    cmocka_unit_test(bad_addresses),
		cmocka_unit_test(of_its_thread_alone),
	};

	/* Sanitizers' allocators can't be told. */
	if (gcl_placed_begin(SOMEWHERE, 100, NULL) == -ENOTSUP)
		return 77;
	gcl_placed_end();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
