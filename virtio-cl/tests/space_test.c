// SPDX-License-Identifier: MIT
/*
 * The worker's address space: guest memory in pieces comes out in one piece, and nothing else can
 * be had, whatever the messages say.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"
#include "virtio-space.h"

#define PAGE	 VIRTIO_CL_PAGE
#define CHUNK	 VIRTIO_CL_CHUNK
#define RAM_SIZE (16 * CHUNK)
#define WINDOW	 VIRTIO_CL_WINDOW_BASE

struct fixture {
	struct gcl_space space;
	int ram;
	uint8_t *pages; /* as the guest sees them */
};

static int setup(void **state)
{
	struct fixture *fix = calloc(1, sizeof *fix);

	fix->ram = memfd_create("ram", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fix->ram, RAM_SIZE), 0);
	fix->pages = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fix->ram, 0);
	assert_ptr_not_equal(fix->pages, MAP_FAILED);
	for (uint64_t i = 0; i < RAM_SIZE / PAGE; i++)
		memcpy(fix->pages + i * PAGE, &i, sizeof i);
	*state = fix;
	return gcl_space_init(&fix->space, 8 * CHUNK);
}

static int teardown(void **state)
{
	struct fixture *fix = *state;

	gcl_space_fini(&fix->space);
	munmap(fix->pages, RAM_SIZE);
	close(fix->ram);
	free(fix);
	return 0;
}

static int map(struct fixture *fix, uint64_t offset, uint64_t length,
	       const struct gcl_link_segment *segments, unsigned count)
{
	const struct gcl_space_memory memory = {segments, count, &fix->ram, 1};

	return gcl_space_map(&fix->space, offset, length, &memory);
}

static int map_chunks(struct fixture *fix, uint64_t first, uint64_t count)
{
	const struct gcl_link_segment segment = {.offset = first * CHUNK, .length = count * CHUNK};

	return map(fix, first * CHUNK, count * CHUNK, &segment, 1);
}

/* The last page first. */
static void test_scattered(void **state)
{
	struct gcl_link_segment segments[CHUNK / PAGE];
	struct fixture *fix = *state;
	uint8_t *memory;

	for (unsigned i = 0; i < CHUNK / PAGE; i++)
		segments[i] = (struct gcl_link_segment){.offset = (CHUNK / PAGE - 1 - i) * 2 * PAGE,
							.length = PAGE};
	assert_int_equal(map(fix, 3 * CHUNK, CHUNK, segments, CHUNK / PAGE), 0);
	memory = gcl_space_ptr(&fix->space, 3 * CHUNK, CHUNK);
	assert_non_null(memory);
	for (uint64_t i = 0; i < CHUNK / PAGE; i++) {
		const uint64_t page = (CHUNK / PAGE - 1 - i) * 2;

		assert_memory_equal(memory + i * PAGE, &page, sizeof page);
	}
	memory[1] = 0xee;
	assert_int_equal(fix->pages[(CHUNK / PAGE - 1) * 2 * PAGE + 1], 0xee);
}

static void test_holes(void **state)
{
	struct fixture *fix = *state;
	const struct gcl_space *space = &fix->space;

	assert_null(gcl_space_ptr(space, 0, 0));
	assert_int_equal(map_chunks(fix, 0, 2), 0);
	assert_int_equal(map_chunks(fix, 3, 5), 0);
	assert_non_null(gcl_space_ptr(space, 0, 2 * CHUNK));
	assert_non_null(gcl_space_ptr(space, 2 * CHUNK - 1, 1));
	assert_non_null(gcl_space_ptr(space, 3 * CHUNK, 5 * CHUNK));
	assert_non_null(gcl_space_ptr(space, 8 * CHUNK - 1, 1));
	assert_null(gcl_space_ptr(space, 2 * CHUNK - 1, 2));
	assert_null(gcl_space_ptr(space, 2 * CHUNK, 0));
	assert_null(gcl_space_ptr(space, 0, 4 * CHUNK));
	assert_null(gcl_space_ptr(space, 3 * CHUNK, 5 * CHUNK + 1));
	assert_null(gcl_space_ptr(space, 8 * CHUNK, 0));
	assert_null(gcl_space_ptr(space, 1, UINT64_MAX));
	assert_null(gcl_space_ptr(space, UINT64_MAX, 1));
	assert_null(gcl_space_ptr(space, UINT64_MAX, 0));

	/* What was given back is gone, its neighbours are not. */
	assert_int_equal(gcl_space_unmap(&fix->space, 4 * CHUNK, 2 * CHUNK), 0);
	assert_null(gcl_space_ptr(space, 5 * CHUNK, 1));
	assert_non_null(gcl_space_ptr(space, 3 * CHUNK, CHUNK));
	assert_non_null(gcl_space_ptr(space, 6 * CHUNK, 2 * CHUNK));
	assert_int_equal(map_chunks(fix, 4, 2), 0);
	assert_non_null(gcl_space_ptr(space, 3 * CHUNK, 5 * CHUNK));
}

static void test_windows(void **state)
{
	const struct gcl_link_segment segments[] = {
		{.offset = 5 * PAGE, .length = 2 * PAGE},
		{.offset = 0, .length = PAGE},
	};
	const uint64_t at = WINDOW + 7 * VIRTIO_CL_WINDOW_SIZE + 9 * PAGE;
	const uint64_t page = 5;
	struct fixture *fix = *state;

	assert_int_equal(map(fix, at, 3 * PAGE, segments, 2), 0);
	assert_memory_equal(gcl_space_ptr(&fix->space, at, 3 * PAGE), &page, sizeof page);
	assert_non_null(gcl_space_ptr(&fix->space, at + 3 * PAGE - 1, 1));
	assert_null(gcl_space_ptr(&fix->space, at - 1, 1));
	assert_null(gcl_space_ptr(&fix->space, at, 3 * PAGE + 1));
	assert_null(gcl_space_ptr(&fix->space, at + 3 * PAGE, 0));
	assert_null(gcl_space_ptr(&fix->space, WINDOW, 1));
	assert_null(gcl_space_ptr(&fix->space, VIRTIO_CL_SPACE_END, 1));
	/* One range for each window, which goes as it came. */
	assert_int_equal(map(fix, at + 10 * PAGE, 3 * PAGE, segments, 2), -EEXIST);
	assert_int_equal(gcl_space_unmap(&fix->space, at, 2 * PAGE), -EINVAL);
	assert_int_equal(gcl_space_unmap(&fix->space, at + PAGE, 2 * PAGE), -EINVAL);
	assert_int_equal(gcl_space_unmap(&fix->space, at, 3 * PAGE), 0);
	assert_int_equal(gcl_space_unmap(&fix->space, at, 3 * PAGE), -EINVAL);
	assert_null(gcl_space_ptr(&fix->space, at, 1));
	assert_int_equal(map(fix, at + 10 * PAGE, 3 * PAGE, segments, 2), 0);
	/* Up to its last byte, and no further. */
	assert_int_equal(map(fix, VIRTIO_CL_SPACE_END - 3 * PAGE, 3 * PAGE, segments, 2), 0);
	assert_int_equal(map(fix, VIRTIO_CL_SPACE_END - 2 * PAGE, 3 * PAGE, segments, 2), -EINVAL);
}

static void test_bad_messages(void **state)
{
	static const struct {
		uint64_t offset, length;
		struct gcl_link_segment segments[2];
		unsigned count;
		const char *what;
	} cases[] = {
		{0, CHUNK, {{0}}, 0, "no segments"},
		{0, 0, {{0}}, 0, "nothing"},
		{PAGE, CHUNK, {{.length = CHUNK}}, 1, "not at a chunk"},
		{0, PAGE, {{.length = PAGE}}, 1, "not a chunk"},
		{8 * CHUNK, CHUNK, {{.length = CHUNK}}, 1, "behind the heap"},
		{7 * CHUNK, 2 * CHUNK, {{.length = 2 * CHUNK}}, 1, "over the heap's end"},
		{WINDOW - CHUNK, CHUNK, {{.length = CHUNK}}, 1, "between heap and windows"},
		{WINDOW - CHUNK, 2 * CHUNK, {{.length = 2 * CHUNK}}, 1, "into the windows"},
		{UINT64_MAX - CHUNK + 1, CHUNK, {{.length = CHUNK}}, 1, "wrapping"},
		{0, UINT64_MAX - CHUNK + 1, {{.length = UINT64_MAX - CHUNK + 1}}, 1, "endless"},
		{WINDOW + 1, PAGE, {{.length = PAGE}}, 1, "window: not at a page"},
		{WINDOW, PAGE + 1, {{.length = PAGE + 1}}, 1, "window: not pages"},
		{VIRTIO_CL_SPACE_END, PAGE, {{.length = PAGE}}, 1, "behind the windows"},
		{WINDOW + VIRTIO_CL_WINDOW_SIZE - PAGE,
		 2 * PAGE,
		 {{.length = 2 * PAGE}},
		 1,
		 "over a window's end"},
		{0, CHUNK, {{.fd = 1, .length = CHUNK}}, 1, "no such descriptor"},
		{0, CHUNK, {{.offset = 1, .length = CHUNK}}, 1, "segment not at a page"},
		{0, CHUNK, {{.length = CHUNK - PAGE}}, 1, "segments too short"},
		{0, CHUNK, {{.length = CHUNK}, {.length = PAGE}}, 2, "segments too long"},
		{0, CHUNK, {{.length = CHUNK}, {.length = 0}}, 2, "empty segment"},
		{0,
		 CHUNK,
		 {{.length = 2 * CHUNK}, {.length = UINT64_MAX - CHUNK + 1}},
		 2,
		 "sum that wraps"},
		{0,
		 CHUNK,
		 {{.offset = RAM_SIZE - PAGE, .length = CHUNK}},
		 1,
		 "over the file's end"},
		{0, CHUNK, {{.offset = RAM_SIZE, .length = CHUNK}}, 1, "behind the file"},
		{0,
		 CHUNK,
		 {{.offset = UINT64_MAX - PAGE + 1, .length = CHUNK}},
		 1,
		 "far behind the file"},
	};
	struct fixture *fix = *state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (map(fix, cases[i].offset, cases[i].length, cases[i].segments, cases[i].count) !=
		    -EINVAL)
			fail_msg("accepted: %s", cases[i].what);
	for (unsigned i = 0; i < GCL_SPACE_CHUNKS / 64; i++)
		assert_int_equal(fix->space.chunks[i], 0);
	for (unsigned i = 0; i < VIRTIO_CL_WINDOWS; i++)
		assert_int_equal(fix->space.windows[i], 0);
	assert_int_equal(map_chunks(fix, 2, 2), 0);
	assert_int_equal(map_chunks(fix, 1, 2), -EEXIST);
	assert_int_equal(map_chunks(fix, 3, 1), -EEXIST);
	assert_int_equal(gcl_space_unmap(&fix->space, 2 * CHUNK, PAGE), -EINVAL);
	assert_int_equal(gcl_space_unmap(&fix->space, 7 * CHUNK, 2 * CHUNK), -EINVAL);
	assert_int_equal(gcl_space_unmap(&fix->space, 0, 0), -EINVAL);
}

static bool child_dies(void (*body)(const volatile uint8_t *at), const volatile uint8_t *at)
{
	const struct rlimit none = {0, 0};
	pid_t child = fork();
	int status;

	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		setrlimit(RLIMIT_CORE, &none);
		body(at);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void touch(const volatile uint8_t *at)
{
	(void)*at;
}

/* What was unmapped can't be touched any more, even by whoever has an address in it. */
static void test_no_trace(void **state)
{
	struct fixture *fix = *state;
	const uint8_t *at;

	assert_int_equal(map_chunks(fix, 0, 1), 0);
	at = gcl_space_ptr(&fix->space, 0, 1);
	assert_false(child_dies(touch, at));
	assert_int_equal(gcl_space_unmap(&fix->space, 0, CHUNK), 0);
	assert_true(child_dies(touch, at));
	assert_true(child_dies(touch, fix->space.base + CHUNK));
}

static void test_rings(void **state)
{
	const struct gcl_link_segment segments[] = {
		{.offset = 9 * PAGE, .length = PAGE},
		{.offset = 2 * PAGE, .length = 4 * PAGE},
	};
	struct fixture *fix = *state;
	const struct gcl_space_memory memory = {segments, 2, &fix->ram, 1};
	const uint64_t page = 9;
	void *rings = NULL;

	assert_int_equal(gcl_space_rings(4 * PAGE, &memory, &rings), -EINVAL);
	assert_int_equal(gcl_space_rings(5 * PAGE + 1, &memory, &rings), -EINVAL);
	assert_int_equal(gcl_space_rings(0, &memory, &rings), -EINVAL);
	assert_null(rings);
	assert_int_equal(gcl_space_rings(5 * PAGE, &memory, &rings), 0);
	assert_memory_equal(rings, &page, sizeof page);
	munmap(rings, 5 * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_scattered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_holes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_windows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_messages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_trace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rings, setup, teardown),
	};

	return cmocka_run_group_tests_name("space", tests, NULL, NULL);
}
