/*
 * Tables: ids that match, ids that don't, tombstones, release.
 */
#include "guest.h"

#include <errno.h>

static int setup(void **state)
{
	static struct gcl_worker worker;

	gcl_worker_init(&worker);
	*state = &worker;
	return 0;
}

static int teardown(void **state)
{
	gcl_worker_fini(*state);
	return 0;
}

static void found_by_whole_id(void **state)
{
	uint64_t id = gcl_id(GCL_KIND_MEM, 3, 7);
	struct gcl_entry *entry = gcl_table_add(*state, id, GCL_KIND_MEM);

	assert_non_null(entry);
	assert_ptr_equal(gcl_table_find(*state, id, GCL_KIND_MEM), entry);
	assert_null(gcl_table_find(*state, gcl_id(GCL_KIND_MEM, 4, 7), GCL_KIND_MEM));
	assert_null(gcl_table_find(*state, gcl_id(GCL_KIND_MEM, 3, 8), GCL_KIND_MEM));
	assert_null(gcl_table_find(*state, id, GCL_KIND_EVENT));
	assert_null(gcl_table_find(*state, gcl_id(GCL_KIND_EVENT, 3, 7), GCL_KIND_MEM));
	assert_null(gcl_table_find(*state, 0, GCL_KIND_MEM));
	gcl_table_remove(*state, entry);
	assert_null(gcl_table_find(*state, id, GCL_KIND_MEM));
}

static void index_in_use(void **state)
{
	struct gcl_entry *entry =
		gcl_table_add(*state, gcl_id(GCL_KIND_EVENT, 1, 5), GCL_KIND_EVENT);

	assert_non_null(entry);
	assert_null(gcl_table_add(*state, gcl_id(GCL_KIND_EVENT, 2, 5), GCL_KIND_EVENT));
	gcl_table_remove(*state, entry);
	assert_non_null(gcl_table_add(*state, gcl_id(GCL_KIND_EVENT, 2, 5), GCL_KIND_EVENT));
}

static void bounds(void **state)
{
	uint64_t last = gcl_id(GCL_KIND_MEM, 0, GCL_OBJECTS_MAX - 1);

	assert_null(gcl_table_add(*state, last + 1, GCL_KIND_MEM));
	assert_null(gcl_table_add(*state, gcl_id(GCL_KIND_MEM, 0, UINT32_MAX), GCL_KIND_MEM));
	assert_null(gcl_table_add(*state, last, GCL_KIND_EVENT));
	assert_null(gcl_table_find(*state, gcl_id(GCL_KIND_MEM, 0, UINT32_MAX), GCL_KIND_MEM));
	assert_non_null(gcl_table_add(*state, last, GCL_KIND_MEM));
	assert_non_null(gcl_table_find(*state, last, GCL_KIND_MEM));
}

/* Entries stay where they are while tables grow: handlers hold pointers to them. */
static void entries_never_move(void **state)
{
	struct gcl_entry *first =
		gcl_table_add(*state, gcl_id(GCL_KIND_EVENT, 0, 0), GCL_KIND_EVENT);

	for (uint32_t i = 1; i < 5 * GCL_TABLE_CHUNK; i++)
		assert_non_null(
			gcl_table_add(*state, gcl_id(GCL_KIND_EVENT, 0, i), GCL_KIND_EVENT));
	assert_ptr_equal(gcl_table_find(*state, gcl_id(GCL_KIND_EVENT, 0, 0), GCL_KIND_EVENT),
			 first);
}

static int release(void *worker, uint64_t id)
{
	Gcl__Release message = GCL__RELEASE__INIT;
	struct gcl_call call = {.message = &message.base};

	message.id = id;
	return gcl_handle_release(worker, &call);
}

static void release_twice(void **state)
{
	uint64_t id = gcl_id(GCL_KIND_EVENT, 1, 1);

	assert_non_null(gcl_table_add(*state, id, GCL_KIND_EVENT));
	assert_int_equal(release(*state, id), 0);
	assert_int_equal(release(*state, id), -EPROTO);
}

static void release_nonsense(void **state)
{
	assert_int_equal(release(*state, 0), -EPROTO);
	assert_int_equal(release(*state, UINT64_MAX), -EPROTO);
	assert_int_equal(release(*state, gcl_id(GCL_KIND_COUNT, 0, 0)), -EPROTO);
	assert_non_null(gcl_table_add(*state, gcl_id(GCL_KIND_PLATFORM, 0, 0), GCL_KIND_PLATFORM));
	assert_int_equal(release(*state, gcl_id(GCL_KIND_PLATFORM, 0, 0)), -EPROTO);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(found_by_whole_id, setup, teardown),
		cmocka_unit_test_setup_teardown(index_in_use, setup, teardown),
		cmocka_unit_test_setup_teardown(bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(entries_never_move, setup, teardown),
		cmocka_unit_test_setup_teardown(release_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(release_nonsense, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
