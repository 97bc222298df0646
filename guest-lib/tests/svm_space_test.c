/*
 * Addresses for shared virtual memory: ranges, and pages that are got at addresses of others'
 * choice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ranges.h"
#include "svm-space.h"

static void ranges_keep_apart(void **state)
{
	struct gcl_ranges ranges = {0};
	int a, b;

	(void)state;
	assert_false(gcl_ranges_add(&ranges, 100, 0, &a));
	assert_true(gcl_ranges_add(&ranges, 100, 50, &a));
	assert_true(gcl_ranges_add(&ranges, 150, 50, &b));
	assert_false(gcl_ranges_add(&ranges, 149, 1, &b));
	assert_false(gcl_ranges_add(&ranges, 50, 51, &b));
	assert_false(gcl_ranges_add(&ranges, 50, 500, &b));
	assert_true(gcl_ranges_add(&ranges, 50, 50, &b));
	assert_false(gcl_ranges_add(&ranges, UINTPTR_MAX - 5, 10, &b));
	assert_int_equal(ranges.count, 3);
	assert_ptr_equal(gcl_ranges_at(&ranges, 149)->owner, &a);
	assert_ptr_equal(gcl_ranges_at(&ranges, 150)->owner, &b);
	assert_null(gcl_ranges_at(&ranges, 200));
	assert_null(gcl_ranges_at(&ranges, 49));
	assert_true(gcl_ranges_touch(&ranges, 0, 51));
	assert_false(gcl_ranges_touch(&ranges, 0, 50));
	assert_false(gcl_ranges_touch(&ranges, 200, 300));
	assert_false(gcl_ranges_touch(&ranges, 120, 120));
	assert_null(gcl_ranges_remove(&ranges, 101));
	assert_ptr_equal(gcl_ranges_remove(&ranges, 100), &a);
	assert_null(gcl_ranges_at(&ranges, 120));
	assert_null(gcl_ranges_remove(&ranges, 100));
	gcl_ranges_fini(&ranges);
}

static size_t number(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (size_t)(*state >> 33);
}

/* Against an array with a byte for each address. */
static void ranges_at_random(void **state)
{
	struct gcl_ranges ranges = {0};
	static unsigned char taken[1000];
	uint64_t chance = 1;
	size_t count = 0;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		size_t first = number(&chance) % 900, size = 1 + number(&chance) % 60;
		bool free_there = !memchr(taken + first, 1, size);

		assert_int_equal(gcl_ranges_touch(&ranges, first, first + size), !free_there);
		if (i % 3) {
			assert_int_equal(gcl_ranges_add(&ranges, first, size, taken), free_there);
			if (free_there)
				memset(taken + first, 1, size);
			count += free_there;
		} else if (ranges.count) {
			const struct gcl_range range = ranges.list[first % ranges.count];

			assert_ptr_equal(gcl_ranges_remove(&ranges, range.first), taken);
			memset(taken + range.first, 0, range.end - range.first);
			count--;
		}
		assert_int_equal(ranges.count, count);
		assert_int_equal(gcl_ranges_at(&ranges, first) != NULL, taken[first]);
	}
	gcl_ranges_fini(&ranges);
}

static bool mapped(const void *address)
{
	unsigned char there;

	return mincore((void *)((uintptr_t)address & ~(uintptr_t)4095), 1, &there) == 0;
}

static void found_pages(void **state)
{
	char *a = gcl_svm_space_find(100);
	char *b = gcl_svm_space_find(3 << 20);

	(void)state;
	/* Sanitizers keep these addresses for themselves. */
	if (!a || !b) {
		skip();
		return;
	}
	memset(a, 1, 100);
	memset(b, 1, 3 << 20);
	gcl_svm_space_free(a);
	assert_false(mapped(a));
	assert_true(mapped(b));
	gcl_svm_space_free(b);
	assert_false(mapped(b));
	assert_null(gcl_svm_space_find(0));
	assert_null(gcl_svm_space_find(SIZE_MAX));
}

/* Allocations of a runtime that packs them: several in a page, and over its end. */
static void taken_pages(void **state)
{
	char *base = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_not_equal(base, MAP_FAILED);
	assert_false(gcl_svm_space_take(base + 16, 64));
	munmap(base, 1 << 20);
	assert_true(gcl_svm_space_take(base + 16, 64));
	assert_true(gcl_svm_space_take(base + 128, 64));
	assert_true(gcl_svm_space_take(base + 4000, 10000));
	assert_true(gcl_svm_space_take(base + 14000, 100));
	assert_false(gcl_svm_space_take(base + 100, 30));
	memset(base + 16, 1, 64);
	memset(base + 4000, 2, 10000);
	gcl_svm_space_free(base + 16);
	gcl_svm_space_free(base + 17);
	assert_true(mapped(base));
	gcl_svm_space_free(base + 128);
	assert_true(mapped(base));
	gcl_svm_space_free(base + 4000);
	assert_false(mapped(base));
	assert_false(mapped(base + 8192));
	assert_true(mapped(base + 14000));
	gcl_svm_space_free(base + 14000);
	assert_false(mapped(base + 14000));
	assert_false(gcl_svm_space_take(base, 0));
	assert_false(gcl_svm_space_take((void *)(UINTPTR_MAX - 100), 1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_keep_apart),
		cmocka_unit_test(ranges_at_random),
		cmocka_unit_test(found_pages),
		cmocka_unit_test(taken_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
