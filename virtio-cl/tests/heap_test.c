/*
 * The heap allocator over a carrier that only has memory and counts what is asked of it.
 */
#include "heap.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"

#define SKEW 128ull /* where long blocks begin in their first page */
#define MIB  (1ull << 20)

#define CHUNK	  (2 * MIB)
#define LIMIT_MAX (4096 * MIB)

/* Memory that was not populated, or was given back, can't be touched. */
struct carrier {
	struct gcl_channel channel;
	uint64_t limit; /* of what can be populated */
	uint64_t trimmed;
	unsigned trims;
	bool short_of_memory;
	bool there[LIMIT_MAX / CHUNK];
};

static int carrier_populate(struct gcl_channel *channel, uint64_t offset, uint64_t size)
{
	struct carrier *carrier = (struct carrier *)channel;
	uint64_t first = offset / CHUNK * CHUNK;
	uint64_t end = (offset + size + CHUNK - 1) / CHUNK * CHUNK;

	if (end > carrier->limit)
		return -ENOMEM;
	for (uint64_t i = first / CHUNK; i < end / CHUNK; i++) {
		if (carrier->short_of_memory && !carrier->there[i])
			return -ENOMEM;
		carrier->there[i] = true;
	}
	return mprotect(channel->heap + first, end - first, PROT_READ | PROT_WRITE) ? -errno : 0;
}

static void carrier_trim(struct gcl_channel *channel, uint64_t offset, uint64_t size)
{
	struct carrier *carrier = (struct carrier *)channel;
	uint64_t first = (offset + CHUNK - 1) / CHUNK * CHUNK;
	uint64_t end = (offset + size) / CHUNK * CHUNK;

	assert_int_equal(offset % 4096, 0);
	assert_int_equal(size % 4096, 0);
	carrier->trimmed += size;
	carrier->trims++;
	if (first >= end)
		return;
	memset(&carrier->there[first / CHUNK], 0, (end - first) / CHUNK);
	madvise(channel->heap + first, end - first, MADV_DONTNEED);
	mprotect(channel->heap + first, end - first, PROT_NONE);
}

static const struct gcl_channel_ops carrier_ops = {
	.name = "test",
	.heap_populate = carrier_populate,
	.heap_trim = carrier_trim,
};

struct fixture {
	struct carrier carrier;
	struct gcl_heap *heap;
};

static int setup_sized(void **state, uint64_t limit)
{
	struct fixture *fix = calloc(1, sizeof *fix);

	fix->carrier.channel.ops = &carrier_ops;
	fix->carrier.limit = limit;
	fix->carrier.channel.heap_size = limit;
	fix->carrier.channel.heap =
		mmap(NULL, limit, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	*state = fix;
	return gcl_heap_create(&fix->carrier.channel, &fix->heap);
}

static int setup(void **state)
{
	return setup_sized(state, LIMIT_MAX);
}

static int setup_small(void **state)
{
	return setup_sized(state, 64 * MIB);
}

static int teardown(void **state)
{
	struct fixture *fix = *state;

	gcl_heap_destroy(fix->heap);
	munmap(fix->carrier.channel.heap, fix->carrier.limit);
	free(fix);
	return 0;
}

static void test_alignment(void **state)
{
	struct fixture *fix = *state;

	for (uint64_t size = 0; size < 20000; size += size < 5000 ? 1 : 97) {
		uint64_t offset = gcl_heap_alloc(fix->heap, size);

		assert_int_not_equal(offset, GCL_HEAP_NONE);
		assert_int_equal(offset % (size >= 4096 ? 4096 : 128), 0);
		assert_non_null(gcl_channel_heap_ptr(&fix->carrier.channel, offset, size));
	}
}

/* Long blocks don't begin where pages do. */
static void test_skew(void **state)
{
	struct fixture *fix = *state;

	for (uint64_t size = MIB - 2 * SKEW; size <= MIB + 2 * SKEW; size += SKEW / 2) {
		uint64_t offset = gcl_heap_alloc(fix->heap, size);

		assert_int_equal(offset % 4096, size > MIB - SKEW ? SKEW : 0);
		assert_non_null(gcl_channel_heap_ptr(&fix->carrier.channel, offset, size));
		gcl_heap_free(fix->heap, offset - offset % 4096 + (offset % 4096 ? 0 : SKEW));
		assert_int_not_equal(gcl_heap_used(fix->heap), 0);
		gcl_heap_free(fix->heap, offset);
		assert_int_equal(gcl_heap_used(fix->heap), 0);
	}
}

static void test_last_freed_first(void **state)
{
	static const uint64_t sizes[] = {1, 300, 3000, 4096, 70000, 3 * MIB};
	struct fixture *fix = *state;

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		uint64_t first = gcl_heap_alloc(fix->heap, sizes[i]);
		uint64_t second = gcl_heap_alloc(fix->heap, sizes[i]);
		uint64_t third = gcl_heap_alloc(fix->heap, sizes[i]);

		gcl_heap_free(fix->heap, first);
		gcl_heap_free(fix->heap, third);
		gcl_heap_free(fix->heap, second);
		assert_int_equal(gcl_heap_alloc(fix->heap, sizes[i]), second);
		assert_int_equal(gcl_heap_alloc(fix->heap, sizes[i]), third);
		assert_int_equal(gcl_heap_alloc(fix->heap, sizes[i]), first);
	}
}

/* Whatever way it was cut up, once all is free it is one piece again. */
static void test_coalescing(void **state)
{
	struct fixture *fix = *state;
	uint64_t offsets[64 * 16];
	uint64_t random = 1;
	uint64_t whole;

	for (unsigned i = 0; i < 64 * 16; i++) {
		offsets[i] = gcl_heap_alloc(fix->heap, MIB / 16);
		assert_int_not_equal(offsets[i], GCL_HEAP_NONE);
	}
	assert_int_equal(gcl_heap_alloc(fix->heap, 4096), GCL_HEAP_NONE);
	assert_int_equal(gcl_heap_alloc(fix->heap, 1), GCL_HEAP_NONE);
	assert_int_equal(gcl_heap_used(fix->heap), 64 * MIB);
	for (unsigned left = 64 * 16; left > 0; left--) {
		unsigned i = test_random(&random) % left;

		gcl_heap_free(fix->heap, offsets[i]);
		offsets[i] = offsets[left - 1];
	}
	assert_int_equal(gcl_heap_used(fix->heap), 0);
	whole = gcl_heap_alloc(fix->heap, 64 * MIB - SKEW);
	assert_int_equal(whole, SKEW);
	gcl_heap_free(fix->heap, whole);
}

static void test_full_heap(void **state)
{
	struct fixture *fix = *state;

	assert_int_equal(gcl_heap_alloc(fix->heap, 64 * MIB + 1), GCL_HEAP_NONE);
	assert_int_equal(gcl_heap_alloc(fix->heap, GCL_HEAP_MAX + 1), GCL_HEAP_NONE);
	assert_int_equal(gcl_heap_alloc(fix->heap, UINT64_MAX), GCL_HEAP_NONE);
	assert_int_equal(gcl_heap_alloc(fix->heap, UINT64_MAX - 4095), GCL_HEAP_NONE);
	assert_int_equal(gcl_heap_used(fix->heap), 0);
	assert_int_equal(gcl_heap_alloc(fix->heap, 64 * MIB - SKEW), SKEW);
}

static void test_bad_frees(void **state)
{
	struct fixture *fix = *state;
	uint64_t small = gcl_heap_alloc(fix->heap, 200);
	uint64_t large = gcl_heap_alloc(fix->heap, 5 * MIB);
	uint64_t used = gcl_heap_used(fix->heap);
	const uint64_t unknown[] = {small + 128,     small + 1,	 small + 256,
				    large + 4096,    large + 8,	 large + 5 * MIB - 4096,
				    large + 5 * MIB, 1ull << 40, UINT64_MAX - 1};

	gcl_heap_free(fix->heap, GCL_HEAP_NONE);
	for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
		gcl_heap_free(fix->heap, unknown[i]);
	assert_int_equal(gcl_heap_used(fix->heap), used);
	gcl_heap_free(fix->heap, small);
	gcl_heap_free(fix->heap, large);
	assert_int_equal(gcl_heap_used(fix->heap), 0);
	gcl_heap_free(fix->heap, small);
	gcl_heap_free(fix->heap, large);
	assert_int_equal(gcl_heap_used(fix->heap), 0);
	assert_int_equal(gcl_heap_alloc(fix->heap, 5 * MIB), large);
	assert_int_not_equal(gcl_heap_alloc(fix->heap, 5 * MIB), large);
}

static void test_no_trim_below_limit(void **state)
{
	struct fixture *fix = *state;

	for (unsigned i = 0; i < 1000; i++) {
		uint64_t one = gcl_heap_alloc(fix->heap, 100 * MIB);
		uint64_t two = gcl_heap_alloc(fix->heap, 100 * MIB);

		gcl_heap_free(fix->heap, one);
		gcl_heap_free(fix->heap, two);
	}
	assert_int_equal(fix->carrier.trims, 0);
}

static void test_trim(void **state)
{
	struct fixture *fix = *state;
	uint8_t *heap = fix->carrier.channel.heap;
	uint64_t offset = gcl_heap_alloc(fix->heap, 1024 * MIB - SKEW);
	uint64_t others[64];

	heap[offset] = 1;
	heap[offset + 1024 * MIB - SKEW - 1] = 1;
	gcl_heap_free(fix->heap, offset);
	assert_int_equal(fix->carrier.trimmed, 768 * MIB);
	assert_int_equal(fix->carrier.trims, 1);
	/* What is kept is what is handed out first. */
	assert_int_equal(gcl_heap_alloc(fix->heap, 200 * MIB - SKEW), offset);
	assert_int_equal(heap[offset], 1);
	/* What was given back is there again, and empty. */
	assert_int_equal(gcl_heap_alloc(fix->heap, 824 * MIB - SKEW), offset + 200 * MIB);
	assert_int_equal(heap[offset + 1024 * MIB - SKEW - 1], 0);
	gcl_heap_free(fix->heap, offset + 200 * MIB);

	for (unsigned i = 0; i < 64; i++)
		others[i] = gcl_heap_alloc(fix->heap, 32 * MIB - SKEW);
	for (unsigned i = 0; i < 64; i += 2)
		gcl_heap_free(fix->heap, others[i]);
	for (unsigned i = 1; i < 64; i += 2)
		gcl_heap_free(fix->heap, others[i]);
	assert_true(fix->carrier.trimmed >= (768 + 64 * 32 - 256) * MIB);
	assert_int_equal(gcl_heap_used(fix->heap), 200 * MIB);
}

/* What can't be had is no use taken, and is there when there is memory again. */
static void test_short_of_memory(void **state)
{
	struct fixture *fix = *state;
	uint64_t offset = gcl_heap_alloc(fix->heap, 1024 * MIB - SKEW);

	gcl_heap_free(fix->heap, offset);
	fix->carrier.short_of_memory = true;
	assert_int_equal(gcl_heap_alloc(fix->heap, 200 * MIB - SKEW), offset);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(gcl_heap_alloc(fix->heap, 500 * MIB), GCL_HEAP_NONE);
		assert_int_equal(gcl_heap_alloc(fix->heap, 1000 * MIB), GCL_HEAP_NONE);
	}
	assert_int_equal(gcl_heap_used(fix->heap), 200 * MIB);
	fix->carrier.short_of_memory = false;
	gcl_heap_free(fix->heap, offset);
	assert_int_equal(gcl_heap_alloc(fix->heap, 4096 * MIB - SKEW), SKEW);
}

struct block {
	uint64_t offset;
	uint64_t size;
};

#define BLOCKS_MAX 600

static void block_stamp(struct fixture *fix, const struct block *block, bool check)
{
	uint8_t *begin = fix->carrier.channel.heap + block->offset;
	uint64_t stamp = block->offset ^ block->size;

	if (block->size < 16)
		return;
	if (check) {
		assert_memory_equal(begin, &stamp, sizeof stamp);
		assert_memory_equal(begin + block->size - 8, &stamp, sizeof stamp);
	}
	memcpy(begin, &stamp, sizeof stamp);
	memcpy(begin + block->size - 8, &stamp, sizeof stamp);
}

static uint64_t random_size(uint64_t *random)
{
	uint64_t size = test_random(random) % (1ull << (4 + test_random(random) % 22));

	return test_random(random) % 8 == 0 ? size * 8 : size;
}

/* Random allocations and frees: no two blocks overlap, nothing is lost. */
static void test_random_blocks(void **state)
{
	struct fixture *fix = *state;
	struct block blocks[BLOCKS_MAX];
	unsigned live = 0;
	uint64_t random = 42;

	for (unsigned round = 0; round < 20000; round++) {
		if (live < BLOCKS_MAX && test_random(&random) % 100 < 52) {
			struct block *block = &blocks[live];

			block->size = random_size(&random);
			block->offset = gcl_heap_alloc(fix->heap, block->size);
			if (block->offset == GCL_HEAP_NONE)
				continue;
			for (unsigned i = 0; i < live; i++) {
				if (blocks[i].offset < block->offset + block->size &&
				    block->offset < blocks[i].offset + blocks[i].size)
					fail_msg("blocks overlap in round %u", round);
			}
			block_stamp(fix, block, false);
			live++;
		} else if (live) {
			unsigned i = test_random(&random) % live;

			block_stamp(fix, &blocks[i], true);
			gcl_heap_free(fix->heap, blocks[i].offset);
			blocks[i] = blocks[--live];
		}
	}
	while (live) {
		block_stamp(fix, &blocks[--live], true);
		gcl_heap_free(fix->heap, blocks[live].offset);
	}
	assert_int_equal(gcl_heap_used(fix->heap), 0);
	/* Only one slab for each size class may still stand in the way. */
	assert_int_not_equal(gcl_heap_alloc(fix->heap, fix->carrier.limit / 4), GCL_HEAP_NONE);
}

static void *allocate_much(void *state)
{
	struct fixture *fix = state;
	struct block blocks[64] = {0};
	uint64_t random = (uint64_t)(uintptr_t)&blocks | 1;

	for (unsigned round = 0; round < 20000; round++) {
		struct block *block = &blocks[test_random(&random) % 64];

		if (block->size) {
			block_stamp(fix, block, true);
			gcl_heap_free(fix->heap, block->offset);
		}
		block->size = test_random(&random) % 20000 + 16;
		block->offset = gcl_heap_alloc(fix->heap, block->size);
		block_stamp(fix, block, false);
	}
	for (unsigned i = 0; i < 64; i++) {
		if (blocks[i].size)
			gcl_heap_free(fix->heap, blocks[i].offset);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct fixture *fix = *state;
	pthread_t threads[4];

	for (unsigned i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, allocate_much, fix);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(gcl_heap_used(fix->heap), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_alignment, setup, teardown),
		cmocka_unit_test_setup_teardown(test_skew, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_freed_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_coalescing, setup_small, teardown),
		cmocka_unit_test_setup_teardown(test_full_heap, setup_small, teardown),
		cmocka_unit_test_setup_teardown(test_bad_frees, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_trim_below_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trim, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short_of_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random_blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random_blocks, setup_small, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
	};

	return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
