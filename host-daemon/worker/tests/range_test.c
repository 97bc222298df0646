/*
 * Checks of ranges and layouts.
 */
#include "guest.h"
#include "range.h"

#define HUGE_SIZE UINT64_MAX

static void ranges(void **state)
{
	(void)state;
	assert_true(gcl_range_inside(0, 0, 0));
	assert_true(gcl_range_inside(0, 16, 16));
	assert_true(gcl_range_inside(16, 0, 16));
	assert_false(gcl_range_inside(17, 0, 16));
	assert_false(gcl_range_inside(1, 16, 16));
	assert_false(gcl_range_inside(0, 17, 16));
	assert_false(gcl_range_inside(HUGE_SIZE, 2, 16));
	assert_false(gcl_range_inside(8, HUGE_SIZE - 4, 16));
}

static void dense_layouts(void **state)
{
	size_t row = 0, slice = 0;
	uint64_t end = 0;

	(void)state;
	assert_true(gcl_layout_end(NULL, (size_t[]){4, 3, 2}, &row, &slice, &end));
	assert_int_equal(row, 4);
	assert_int_equal(slice, 12);
	assert_int_equal(end, 24);
}

static void pitched_layouts(void **state)
{
	size_t row = 10, slice = 100;
	uint64_t end = 0;

	(void)state;
	assert_true(gcl_layout_end((size_t[]){1, 2, 3}, (size_t[]){4, 3, 2}, &row, &slice, &end));
	assert_int_equal(end, 4 * 100 + 4 * 10 + 1 + 4);
}

static bool layout(size_t x, size_t w, size_t h, size_t d, size_t row, size_t slice)
{
	uint64_t end;

	return gcl_layout_end((size_t[]){x, x, x}, (size_t[]){w, h, d}, &row, &slice, &end);
}

static void bad_layouts(void **state)
{
	(void)state;
	assert_true(layout(0, 1, 1, 1, 0, 0));
	assert_false(layout(0, 0, 1, 1, 0, 0));
	assert_false(layout(0, 1, 0, 1, 0, 0));
	assert_false(layout(0, 1, 1, 0, 0, 0));
	assert_false(layout(0, 4, 1, 1, 3, 0));
	assert_false(layout(0, 4, 4, 1, 4, 15));
	assert_false(layout(0, HUGE_SIZE, 2, 1, 0, 0));
	assert_false(layout(0, 1ull << 32, 1ull << 32, 2, 0, 0));
	assert_false(layout(HUGE_SIZE, 1, 1, 1, 0, 0));
	assert_false(layout(1ull << 63, 1, 1, 1, 2, 2));
	assert_false(layout(0, 1, 1, 1ull << 33, 1, 1ull << 33));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges),
		cmocka_unit_test(dense_layouts),
		cmocka_unit_test(pitched_layouts),
		cmocka_unit_test(bad_layouts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
