/*
 * Copies between two contexts of the host's OpenCL, that know nothing of each other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "hasher.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

struct side {
	cl_device_id device;
	cl_context context;
	cl_command_queue queue;
};

struct sides {
	struct side from, to;
	struct gcl_copy_room *room;
	struct gcl_hasher *hasher;
};

/* How contents are got at. */
static const struct way {
	bool from_memory, still, to_memory, hasher;
} ways[] = {
	{.still = false},
	{.from_memory = true},
	{.from_memory = true, .still = true},
	{.to_memory = true},
	{.hasher = true},
	{.hasher = true, .to_memory = true},
	{.hasher = true, .still = true},
};

static unsigned way; /* of the test that runs */

static void side_init(struct side *side)
{
	cl_platform_id platform;
	cl_int status;

	assert_int_equal(clGetPlatformIDs(1, &platform, NULL), CL_SUCCESS);
	assert_int_equal(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &side->device, NULL),
			 CL_SUCCESS);
	side->context = clCreateContext(NULL, 1, &side->device, NULL, NULL, &status);
	assert_int_equal(status, CL_SUCCESS);
	side->queue = clCreateCommandQueue(side->context, side->device, 0, &status);
	assert_int_equal(status, CL_SUCCESS);
}

static void side_fini(struct side *side)
{
	clReleaseCommandQueue(side->queue);
	clReleaseContext(side->context);
}

static void in_all_ways(void **state, void (*test)(void **state))
{
	for (way = 0; way < GCL_ARRAY_SIZE(ways); way++)
		test(state);
	way = 0;
}

static int setup(void **state)
{
	static struct sides sides;

	side_init(&sides.from);
	side_init(&sides.to);
	sides.room = gcl_copy_room_create(0, 0);
	assert_non_null(sides.room);
	sides.hasher = gcl_hasher_create(sides.from.context, sides.from.device);
	assert_non_null(sides.hasher);
	*state = &sides;
	return 0;
}

static int teardown(void **state)
{
	struct sides *sides = *state;

	gcl_hasher_put(sides->hasher);
	gcl_copy_room_destroy(sides->room);
	side_fini(&sides->from);
	side_fini(&sides->to);
	return 0;
}

/* Bytes that repeat nowhere near. */
static void fill(unsigned char *bytes, size_t size, unsigned seed)
{
	uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i < size; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = (unsigned char)(state >> 56);
	}
}

static cl_mem buffer_create(const struct side *side, size_t size)
{
	cl_int status;
	cl_mem mem = clCreateBuffer(side->context, CL_MEM_READ_WRITE, size, NULL, &status);

	assert_int_equal(status, CL_SUCCESS);
	return mem;
}

static void buffer_put(const struct side *side, cl_mem mem, const void *bytes, size_t size)
{
	assert_int_equal(
		clEnqueueWriteBuffer(side->queue, mem, CL_TRUE, 0, size, bytes, 0, NULL, NULL),
		CL_SUCCESS);
}

static void buffer_expect(const struct side *side, cl_mem mem, const void *bytes, size_t size)
{
	_cleanup_free_ char *there = malloc(size);

	assert_non_null(there);
	assert_int_equal(
		clEnqueueReadBuffer(side->queue, mem, CL_TRUE, 0, size, there, 0, NULL, NULL),
		CL_SUCCESS);
	assert_true(memcmp(there, bytes, size) == 0);
}

/* A copy of a buffer with known contents, and what may be asked of it. */
struct buffers {
	struct sides *sides;
	unsigned char *bytes;
	struct gcl_copy copy;
};

static void buffers_init(struct buffers *buffers, struct sides *sides, size_t size)
{
	buffers->sides = sides;
	buffers->bytes = malloc(size);
	assert_non_null(buffers->bytes);
	fill(buffers->bytes, size, 1);
	buffers->copy = (struct gcl_copy){
		.from = buffer_create(&sides->from, size),
		.to = buffer_create(&sides->to, size),
		.from_queue = sides->from.queue,
		.to_queue = sides->to.queue,
		.type = CL_MEM_OBJECT_BUFFER,
		.size = size,
		.hasher = ways[way].hasher ? sides->hasher : NULL,
		.from_memory = ways[way].from_memory,
		.to_memory = ways[way].to_memory,
		.still = ways[way].still,
	};
	buffer_put(&sides->from, buffers->copy.from, buffers->bytes, size);
}

static void buffers_fini(struct buffers *buffers)
{
	gcl_copy_sums_destroy(buffers->copy.sums);
	clReleaseMemObject(buffers->copy.from);
	clReleaseMemObject(buffers->copy.to);
	free(buffers->bytes);
}

/* One more round, after which @to has to hold what @from does. */
static void buffers_round(struct buffers *buffers, uint64_t sent)
{
	struct gcl_copy *copy = &buffers->copy;

	gcl_copy_run(copy, buffers->sides->room);
	assert_int_equal(copy->status, CL_SUCCESS);
	assert_int_equal(copy->sent, sent);
	assert_int_equal(copy->same, copy->size - sent);
	buffer_expect(&buffers->sides->to, copy->to, buffers->bytes, copy->size);
}

/* The program writes to its buffer. */
static void buffers_change(struct buffers *buffers, size_t offset, size_t size)
{
	for (size_t i = offset; i < offset + size; i++)
		buffers->bytes[i] ^= 0x5a;
	buffer_put(&buffers->sides->from, buffers->copy.from, buffers->bytes, buffers->copy.size);
}

static const size_t sizes[] = {
	1,	 2,	      64 * KIB - 1,    64 * KIB,     64 * KIB + 1, 4 * MIB - 1,
	4 * MIB, 4 * MIB + 1, 5 * MIB + 12345, 16 * MIB + 1, 23 * MIB,
};

/* The large ones take a while. */
static size_t sizes_count(void)
{
	return way ? GCL_ARRAY_SIZE(sizes) - 2 : GCL_ARRAY_SIZE(sizes);
}

static void sizes_arrive(void **state)
{
	for (size_t i = 0; i < sizes_count(); i++) {
		struct buffers buffers;

		buffers_init(&buffers, *state, sizes[i]);
		buffers_round(&buffers, sizes[i]);
		buffers_fini(&buffers);
	}
}

static void buffers_of_all_sizes_arrive(void **state)
{
	in_all_ways(state, sizes_arrive);
}

static void nothing_goes_twice(void **state)
{
	for (size_t i = 0; i < sizes_count(); i++) {
		struct buffers buffers;

		buffers_init(&buffers, *state, sizes[i]);
		buffers.copy.sums = gcl_copy_sums_create(sizes[i]);
		assert_non_null(buffers.copy.sums);
		buffers_round(&buffers, sizes[i]);
		buffers_round(&buffers, 0);
		gcl_copy_sums_forget(buffers.copy.sums);
		buffers_round(&buffers, sizes[i]);
		buffers_fini(&buffers);
	}
}

static void with_sums_nothing_goes_twice(void **state)
{
	in_all_ways(state, nothing_goes_twice);
}

static void blocks_go_that_changed(void **state)
{
	const size_t size = 9 * MIB + 100;
	struct buffers buffers;

	buffers_init(&buffers, *state, size);
	buffers.copy.sums = gcl_copy_sums_create(size);
	buffers_round(&buffers, size);
	buffers_change(&buffers, 0, 1);
	buffers_round(&buffers, GCL_COPY_BLOCK);
	buffers_change(&buffers, size - 1, 1); /* the last one is short */
	buffers_round(&buffers, 100);
	buffers_change(&buffers, GCL_COPY_BLOCK - 1, 2);
	buffers_round(&buffers, 2 * GCL_COPY_BLOCK);
	buffers_change(&buffers, 4 * MIB - 1, 2); /* of two chunks */
	buffers_round(&buffers, 2 * GCL_COPY_BLOCK);
	buffers_change(&buffers, 3 * GCL_COPY_BLOCK, GCL_COPY_BLOCK * 5);
	buffers_round(&buffers, 5 * GCL_COPY_BLOCK);
	for (size_t at = 0; at < 9 * MIB; at += 2 * GCL_COPY_BLOCK) /* as many pieces as can be */
		buffers_change(&buffers, at, 1);
	buffers_round(&buffers, 9 * MIB / 2);
	buffers_fini(&buffers);
}

static void with_sums_blocks_go_that_changed(void **state)
{
	in_all_ways(state, blocks_go_that_changed);
}

static void blocks_that_change_back_go_again(void **state)
{
	const size_t size = 40 * MIB;
	struct buffers buffers;
	struct gcl_copy *copy = &buffers.copy;

	way = 1;
	buffers_init(&buffers, *state, size);
	copy->sums = gcl_copy_sums_create(size);
	buffers_round(&buffers, size);
	for (size_t at = 0; at < size; at += MIB)
		buffers_change(&buffers, at, 1);
	buffers_round(&buffers, size / MIB * GCL_COPY_BLOCK);
	for (size_t at = 0; at < size; at += MIB)
		buffers_change(&buffers, at, 1); /* back to what it was */
	buffers_round(&buffers, size / MIB * GCL_COPY_BLOCK);
	buffers_fini(&buffers);
	way = 0;
}

static void changes_are_estimated(void **state)
{
	static const size_t large = 16 * MIB;
	struct buffers buffers;
	uint64_t changed;

	for (way = 0; way < GCL_ARRAY_SIZE(ways); way++) {
		bool can = ways[way].from_memory || ways[way].hasher;

		buffers_init(&buffers, *state, large + 1);
		assert_false(gcl_copy_estimate(&buffers.copy, &changed));
		buffers.copy.sums = gcl_copy_sums_create(large + 1);
		assert_false(gcl_copy_estimate(&buffers.copy, &changed));
		buffers_round(&buffers, large + 1);
		assert_int_equal(gcl_copy_estimate(&buffers.copy, &changed), can);
		assert_int_equal(changed, 0);
		buffers_change(&buffers, 4 * MIB, 4 * MIB);
		assert_int_equal(gcl_copy_estimate(&buffers.copy, &changed), can);
		assert_int_equal(changed, can ? 4 * MIB : 0);
		buffers_fini(&buffers);
	}
	way = 0;
}

static void small_buffers_are_taken_for_changed(void **state)
{
	struct buffers buffers;
	uint64_t changed;

	buffers_init(&buffers, *state, GCL_COPY_BLOCK - 1);
	buffers.copy.sums = gcl_copy_sums_create(GCL_COPY_BLOCK - 1);
	buffers_round(&buffers, GCL_COPY_BLOCK - 1);
	assert_true(gcl_copy_estimate(&buffers.copy, &changed));
	assert_int_equal(changed, GCL_COPY_BLOCK - 1);
	buffers_fini(&buffers);
}

static void devices_hash_as_the_library_does(void **state)
{
	static const size_t count = 37, step = 3;
	struct gcl_copy_hash hashes[37];
	struct sides *sides = *state;
	struct buffers buffers;

	buffers_init(&buffers, sides, 111 * GCL_COPY_BLOCK + 5);
	assert_int_equal(gcl_hasher_run(sides->hasher, sides->from.queue, buffers.copy.from, count,
					step, hashes),
			 CL_SUCCESS);
	for (size_t i = 0; i < count; i++) {
		const struct gcl_copy_hash hash =
			gcl_copy_hash(buffers.bytes + i * step * GCL_COPY_BLOCK, GCL_COPY_BLOCK);

		assert_memory_equal(&hash, &hashes[i], sizeof hash);
	}
	assert_int_equal(
		gcl_hasher_run(sides->hasher, sides->from.queue, buffers.copy.from, 0, 1, NULL),
		CL_SUCCESS);
	buffers_fini(&buffers);
}

/* ------------------------------------------------------------ images */

struct shape {
	cl_image_desc desc;
	size_t region[3];
};

static const struct shape shapes[] = {
	{{.image_type = CL_MEM_OBJECT_IMAGE1D, .image_width = 777}, {777, 1, 1}},
	{{.image_type = CL_MEM_OBJECT_IMAGE1D, .image_width = 5000}, {5000, 1, 1}},
	{{.image_type = CL_MEM_OBJECT_IMAGE1D_ARRAY, .image_width = 300, .image_array_size = 77},
	 {300, 77, 1}},
	{{.image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = 1, .image_height = 1}, {1, 1, 1}},
	{{.image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = 1023, .image_height = 601},
	 {1023, 601, 1}},
	{{.image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = 5000, .image_height = 130},
	 {5000, 130, 1}},
	{{.image_type = CL_MEM_OBJECT_IMAGE2D_ARRAY,
	  .image_width = 129,
	  .image_height = 65,
	  .image_array_size = 11},
	 {129, 65, 11}},
	{{.image_type = CL_MEM_OBJECT_IMAGE3D,
	  .image_width = 9,
	  .image_height = 7,
	  .image_depth = 500},
	 {9, 7, 500}},
	{{.image_type = CL_MEM_OBJECT_IMAGE3D,
	  .image_width = 111,
	  .image_height = 99,
	  .image_depth = 51},
	 {111, 99, 51}},
};

static const struct {
	cl_image_format format;
	size_t size;
} formats[] = {
	{{CL_RGBA, CL_FLOAT}, 16},
	{{CL_RGBA, CL_UNORM_INT8}, 4},
	{{CL_R, CL_UNSIGNED_INT8}, 1},
};

static cl_mem image_create(const struct side *side, const cl_image_format *format,
			   const cl_image_desc *desc)
{
	cl_int status;
	cl_mem mem = clCreateImage(side->context, CL_MEM_READ_WRITE, format, desc, NULL, &status);

	assert_int_equal(status, CL_SUCCESS);
	return mem;
}

static void image_transfer(const struct side *side, cl_mem mem, const struct shape *shape,
			   unsigned char *bytes, bool put)
{
	const size_t origin[3] = {0};
	cl_int status;

	if (put)
		status = clEnqueueWriteImage(side->queue, mem, CL_TRUE, origin, shape->region, 0, 0,
					     bytes, 0, NULL, NULL);
	else
		status = clEnqueueReadImage(side->queue, mem, CL_TRUE, origin, shape->region, 0, 0,
					    bytes, 0, NULL, NULL);
	assert_int_equal(status, CL_SUCCESS);
}

/* Three rounds: all of it, nothing, and where the last byte changed. */
static void image_rounds(struct sides *sides, const struct shape *shape, struct gcl_copy *copy,
			 size_t size)
{
	_cleanup_free_ unsigned char *bytes = malloc(size), *there = malloc(size);

	assert_non_null(bytes);
	assert_non_null(there);
	fill(bytes, size, 3);
	for (unsigned round = 0; round < 3; round++) {
		bytes[size - 1] ^= round == 2;
		memset(there, 0, size);
		image_transfer(&sides->from, copy->from, shape, bytes, true);
		gcl_copy_run(copy, sides->room);
		assert_int_equal(copy->status, CL_SUCCESS);
		assert_int_equal(copy->sent + copy->same, size);
		if (round == 0)
			assert_int_equal(copy->sent, size);
		if (round == 1)
			assert_int_equal(copy->sent, 0);
		if (round == 2)
			assert_in_range(copy->sent, 1, GCL_COPY_BLOCK);
		image_transfer(&sides->to, copy->to, shape, there, false);
		assert_true(memcmp(there, bytes, size) == 0);
	}
}

static void image_copy(struct sides *sides, const struct shape *shape, unsigned format)
{
	size_t size = shape->region[0] * shape->region[1] * shape->region[2] * formats[format].size;
	struct gcl_copy copy = {
		.from = image_create(&sides->from, &formats[format].format, &shape->desc),
		.to = image_create(&sides->to, &formats[format].format, &shape->desc),
		.from_queue = sides->from.queue,
		.to_queue = sides->to.queue,
		.type = shape->desc.image_type,
		.region = {shape->region[0], shape->region[1], shape->region[2]},
		.element_size = formats[format].size,
		.sums = gcl_copy_sums_create(size),
	};

	image_rounds(sides, shape, &copy, size);
	gcl_copy_sums_destroy(copy.sums);
	clReleaseMemObject(copy.from);
	clReleaseMemObject(copy.to);
}

static void images_of_all_kinds_arrive(void **state)
{
	for (size_t i = 0; i < GCL_ARRAY_SIZE(shapes); i++)
		for (unsigned format = 0; format < GCL_ARRAY_SIZE(formats); format++)
			image_copy(*state, &shapes[i], format);
}

/* Boxes follow each other without gaps, none is too large, and chunks consist of whole blocks. */
static void grid_check(const struct gcl_copy *copy, size_t size)
{
	struct gcl_copy_grid grids[2];
	size_t block = 0;
	struct gcl_copy_box boxes[2];

	assert_true(gcl_copy_grid_init(&grids[0], copy, 256 * KIB));
	assert_true(gcl_copy_grid_init(&grids[1], copy, GCL_COPY_BLOCK));
	gcl_copy_grid_align(&grids[0], &grids[1]);
	assert_true(grids[1].count <= gcl_copy_blocks_max(size));
	for (size_t i = 0, at = 0; i < grids[0].count; i++, at += boxes[0].size) {
		size_t first = block, in = 0;

		gcl_copy_grid_box(&grids[0], i, &boxes[0]);
		assert_int_equal(boxes[0].offset, at);
		assert_in_range(boxes[0].size, 1, 256 * KIB);
		for (; in < boxes[0].size; in += boxes[1].size, block++) {
			gcl_copy_grid_box(&grids[1], block, &boxes[1]);
			assert_int_equal(boxes[1].offset, at + in);
			assert_in_range(boxes[1].size, 1, GCL_COPY_BLOCK);
		}
		assert_int_equal(in, boxes[0].size);
		assert_true(block - first <= gcl_copy_blocks_max(256 * KIB));
	}
	assert_int_equal(block, grids[1].count);
}

static void grids_have_no_gaps(void **state)
{
	static const size_t extents[] = {1, 2, 3, 31, 64, 4097, 16383, 65537, 100000};
	static const size_t elements[] = {1, 2, 4, 8, 16};
	const size_t count = GCL_ARRAY_SIZE(extents);
	struct gcl_copy copy = {.type = CL_MEM_OBJECT_IMAGE3D};

	(void)state;
	for (size_t i = 0; i < count * count * count * GCL_ARRAY_SIZE(elements); i++) {
		copy.region[0] = extents[i % count];
		copy.region[1] = extents[i / count % count];
		copy.region[2] = extents[i / count / count % count];
		copy.element_size = elements[i / count / count / count];
		size_t size = copy.region[0] * copy.region[1] * copy.region[2] * copy.element_size;
		if (size <= 64 * MIB)
			grid_check(&copy, size);
	}
}

/* ------------------------------------------------------------ failures */

static void failures_are_told(void **state)
{
	struct sides *sides = *state;
	struct buffers buffers;
	cl_mem small = buffer_create(&sides->to, 3 * MIB), to;

	buffers_init(&buffers, sides, 30 * MIB);
	buffers.copy.sums = gcl_copy_sums_create(30 * MIB);
	to = buffers.copy.to;
	buffers.copy.to = small; /* too small, and refused in the middle */
	gcl_copy_run(&buffers.copy, sides->room);
	assert_int_equal(buffers.copy.status, CL_INVALID_VALUE);
	assert_true(buffers.copy.sent < 30 * MIB);
	buffers.copy.to = NULL;
	gcl_copy_run(&buffers.copy, sides->room);
	assert_int_equal(buffers.copy.status, CL_INVALID_MEM_OBJECT);
	buffers.copy.to = to;
	buffers.copy.to_queue = sides->from.queue; /* of another context */
	gcl_copy_run(&buffers.copy, sides->room);
	assert_int_equal(buffers.copy.status, CL_INVALID_CONTEXT);
	buffers.copy.to_queue = sides->to.queue;
	buffers_round(&buffers, 30 * MIB); /* the sums have forgotten what never arrived */
	buffers_round(&buffers, 0);
	clReleaseMemObject(small);
	buffers_fini(&buffers);
}

static void failures_of_reading_are_told(void **state)
{
	struct sides *sides = *state;
	struct buffers buffers;
	cl_mem from, small = buffer_create(&sides->from, 9 * MIB);

	buffers_init(&buffers, sides, 30 * MIB);
	from = buffers.copy.from;
	buffers.copy.from = small;
	gcl_copy_run(&buffers.copy, sides->room);
	assert_int_equal(buffers.copy.status, CL_INVALID_VALUE);
	buffers.copy.from = NULL;
	gcl_copy_run(&buffers.copy, sides->room);
	assert_int_equal(buffers.copy.status, CL_INVALID_MEM_OBJECT);
	buffers.copy.from = from;
	buffers_round(&buffers, 30 * MIB);
	clReleaseMemObject(small);
	buffers_fini(&buffers);
}

static void what_cannot_be_is_refused(void **state)
{
	struct sides *sides = *state;
	struct gcl_copy copy = {.type = CL_MEM_OBJECT_IMAGE2D, .region = {4, 4, 1}};

	gcl_copy_run(&copy, sides->room); /* elements of no size */
	assert_int_equal(copy.status, CL_INVALID_VALUE);
	copy.element_size = 4;
	copy.region[1] = 0; /* nothing to do */
	gcl_copy_run(&copy, sides->room);
	assert_int_equal(copy.status, CL_SUCCESS);
	copy = (struct gcl_copy){.type = CL_MEM_OBJECT_BUFFER, .size = 100 * MIB};
	copy.sums = gcl_copy_sums_create(1); /* another object's */
	gcl_copy_run(&copy, sides->room);
	assert_int_equal(copy.status, CL_INVALID_VALUE);
	gcl_copy_sums_destroy(copy.sums);
}

/* ------------------------------------------------------------ cancel, progress, pace */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct canceller {
	_Atomic bool cancel;
	_Atomic uint64_t progress;
};

/* Cancels once something has arrived. */
static void *cancel_soon(void *arg)
{
	struct canceller *canceller = arg;

	while (!atomic_load(&canceller->progress))
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	atomic_store(&canceller->cancel, true);
	return NULL;
}

static void cancelled_copies_end(void **state)
{
	struct sides *sides = *state;
	struct canceller canceller = {.cancel = true};
	struct buffers buffers;
	pthread_t thread;
	uint64_t sent;

	buffers_init(&buffers, sides, 30 * MIB);
	buffers.copy.sums = gcl_copy_sums_create(30 * MIB);
	buffers.copy.cancel = &canceller.cancel;
	buffers.copy.progress = &canceller.progress;
	gcl_copy_run(&buffers.copy, sides->room);
	assert_int_equal(buffers.copy.status, GCL_COPY_CANCELLED);
	assert_int_equal(buffers.copy.sent, 0);

	atomic_store(&canceller.cancel, false);
	gcl_copy_room_pace(sides->room, 4 * MIB); /* 7 s, if nobody cancels */
	assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &canceller), 0);
	gcl_copy_run(&buffers.copy, sides->room);
	pthread_join(thread, NULL);
	assert_int_equal(buffers.copy.status, GCL_COPY_CANCELLED);
	assert_in_range(buffers.copy.sent, 1, 30 * MIB - 1);
	assert_int_equal(buffers.copy.sent, atomic_load(&canceller.progress));

	/* The rest. */
	sent = buffers.copy.sent;
	atomic_store(&canceller.cancel, false);
	gcl_copy_room_pace(sides->room, 0);
	buffers_round(&buffers, 30 * MIB - sent);
	assert_int_equal(atomic_load(&canceller.progress), 30 * MIB);
	buffers_fini(&buffers);
}

static void the_pace_is_kept(void **state)
{
	struct sides *sides = *state;
	struct buffers buffers;

	buffers_init(&buffers, sides, 32 * MIB);
	gcl_copy_room_pace(sides->room, 80 * MIB);
	for (unsigned far = 0; far < 2; far++) {
		int64_t start = now_ms(), took;

		buffers.copy.from_far = far;
		buffers_round(&buffers, 32 * MIB);
		took = now_ms() - start;
		/* 400 ms, of which the last chunk's 50 and a burst of 20 aren't waited for. */
		assert_in_range(took, 300, 5000);
	}
	gcl_copy_room_pace(sides->room, 0);
	buffers_fini(&buffers);
}

static void rooms_may_be_of_other_sizes(void **state)
{
	static const size_t chunks[] = {1, 64 * KIB, 300 * KIB, 16 * MIB};
	struct sides *sides = *state;
	struct gcl_copy_room *room = sides->room;

	for (unsigned i = 0; i < GCL_ARRAY_SIZE(chunks) * 3; i++) {
		struct buffers buffers;

		sides->room = gcl_copy_room_create(chunks[i / 3], i % 3 + 1);
		assert_non_null(sides->room);
		buffers_init(&buffers, sides, 3 * MIB + 5);
		buffers.copy.sums = gcl_copy_sums_create(3 * MIB + 5);
		buffers_round(&buffers, 3 * MIB + 5);
		buffers_change(&buffers, 2 * MIB, 1);
		buffers_round(&buffers, GCL_COPY_BLOCK);
		buffers_fini(&buffers);
		gcl_copy_room_destroy(sides->room);
	}
	sides->room = room;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grids_have_no_gaps),
		cmocka_unit_test(buffers_of_all_sizes_arrive),
		cmocka_unit_test(with_sums_nothing_goes_twice),
		cmocka_unit_test(with_sums_blocks_go_that_changed),
		cmocka_unit_test(blocks_that_change_back_go_again),
		cmocka_unit_test(changes_are_estimated),
		cmocka_unit_test(small_buffers_are_taken_for_changed),
		cmocka_unit_test(devices_hash_as_the_library_does),
		cmocka_unit_test(images_of_all_kinds_arrive),
		cmocka_unit_test(failures_are_told),
		cmocka_unit_test(failures_of_reading_are_told),
		cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(cancelled_copies_end),
		cmocka_unit_test(the_pace_is_kept),
		cmocka_unit_test(rooms_may_be_of_other_sizes),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
