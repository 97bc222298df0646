// SPDX-License-Identifier: MIT
/*
 * What copying an object's contents from side to side costs, beside memcpy() and hashing: with and
 * without sums, nothing or all of it being new, for several sizes of chunks; and with memory that
 * is mapped, and blocks that the device hashes.
 *
 * The sides are contexts of the first platform, or of those that --from and --to number. Prints
 * "name value unit" lines.
 */
#include "measuring.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "hasher.h"

#define MIB ((size_t)1 << 20)

struct side {
	struct opened opened;
	cl_mem mem;
};

static size_t size = 512 * MIB;
static char *memory;

static void print(const char *name, size_t chunk, unsigned count, double seconds)
{
	char what[64];

	snprintf(what, sizeof what, chunk ? "%s-%zuMx%u" : "%s", name, chunk / MIB, count);
	printf("%-32s %8.2f GB/s\n", what, (double)size / seconds * 1e-9);
	fflush(stdout);
}

static void side_init(struct side *side, unsigned number)
{
	cl_int status;

	opened_init(&side->opened, number);
	side->mem = clCreateBuffer(side->opened.context, CL_MEM_READ_WRITE, size, NULL, &status);
	require(status, "clCreateBuffer");
	require(clEnqueueWriteBuffer(side->opened.queue, side->mem, CL_TRUE, 0, size, memory, 0,
				     NULL, NULL),
		"clEnqueueWriteBuffer");
}

static void side_fini(struct side *side)
{
	clReleaseMemObject(side->mem);
	opened_fini(&side->opened);
}

/* The best of three. */
static double run(struct gcl_copy *copy, struct gcl_copy_room *room, bool forget)
{
	double best = 0;

	for (unsigned i = 0; i < 3; i++) {
		double start, took;

		if (forget)
			gcl_copy_sums_forget(copy->sums);
		start = now();
		gcl_copy_run(copy, room);
		took = now() - start;
		require(copy->status, "gcl_copy_run");
		best = i && best < took ? best : took;
	}
	return best;
}

static void measure(const struct side *from, const struct side *to, size_t chunk, unsigned count)
{
	struct gcl_copy_room *room = gcl_copy_room_create(chunk, count);
	struct gcl_copy copy = {
		.from = from->mem,
		.to = to->mem,
		.from_queue = from->opened.queue,
		.to_queue = to->opened.queue,
		.type = CL_MEM_OBJECT_BUFFER,
		.size = size,
	};

	require(room ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY, "room");
	print("copy", chunk, count, run(&copy, room, false));
	copy.sums = gcl_copy_sums_create(size);
	print("copy-sums-all-new", chunk, count, run(&copy, room, true));
	print("copy-sums-nothing-new", chunk, count, run(&copy, room, false));
	gcl_copy_sums_destroy(copy.sums);
	gcl_copy_room_destroy(room);
}

/* As moves do it, with memory of this host's, and devices that hash. */
static void measure_ways(const struct side *from, const struct side *to)
{
	struct gcl_hasher *hasher = gcl_hasher_create(from->opened.context, from->opened.device);
	struct gcl_copy_room *room = gcl_copy_room_create(0, 0);
	struct gcl_copy copy = {
		.from = from->mem,
		.to = to->mem,
		.from_queue = from->opened.queue,
		.to_queue = to->opened.queue,
		.type = CL_MEM_OBJECT_BUFFER,
		.size = size,
		.sums = gcl_copy_sums_create(size),
	};

	require(room && hasher ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY, "room");
	copy.from_memory = true;
	print("mapped-all-new", 0, 0, run(&copy, room, true));
	print("mapped-nothing-new", 0, 0, run(&copy, room, false));
	copy.still = true;
	print("mapped-still-all-new", 0, 0, run(&copy, room, true));
	copy.from_memory = copy.still = false;
	copy.to_memory = true;
	print("to-mapped-all-new", 0, 0, run(&copy, room, true));
	copy.hasher = hasher;
	print("device-nothing-new", 0, 0, run(&copy, room, false));
	gcl_copy_sums_destroy(copy.sums);
	gcl_copy_room_destroy(room);
	gcl_hasher_put(hasher);
}

/* What the parts cost, each alone: of memory that no cache holds. */
static void measure_parts(void)
{
	const size_t block = (size_t)64 << 10;
	char *other = malloc(size);
	uint64_t sum = 0;
	double start;

	require(other ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY, "malloc");
	memset(other, 1, size);
	start = now();
	memcpy(other, memory, size);
	print("memcpy", 0, 0, now() - start);
	start = now();
	for (size_t at = 0; at < size; at += block)
		sum += XXH3_128bits(other + at, block).low64;
	print("hash", 0, 0, now() - start);
	start = now();
	for (size_t at = 0; at < size; at += block)
		sum += XXH3_128bits(other + at % (2 * MIB), block).low64;
	print("hash-cached", 0, 0, now() - start);
	if (sum == 1)
		printf("what luck\n");
	free(other);
}

int main(int argc, char **argv)
{
	static const size_t chunks[] = {1, 4, 16};
	struct side from, to;

	size = strtoul(option(argc, argv, "--mib", "512"), NULL, 0) * MIB;
	memory = malloc(size);
	require(memory && size ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY, "malloc");
	for (size_t i = 0; i < size; i++)
		memory[i] = (char)(i * 2654435761u >> 13);
	side_init(&from, (unsigned)atoi(option(argc, argv, "--from", "0")));
	side_init(&to, (unsigned)atoi(option(argc, argv, "--to", "0")));
	measure_parts();
	measure_ways(&from, &to);
	for (unsigned i = 0; i < 3; i++)
		for (unsigned count = 2; count <= 8; count *= 2)
			measure(&from, &to, chunks[i] * MIB, count);
	side_fini(&from);
	side_fini(&to);
	free(memory);
	return 0;
}
