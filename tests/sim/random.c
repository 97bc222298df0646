// SPDX-License-Identifier: MIT
#include <math.h>
#include <stdlib.h>

#include "sim.h"

/* splitmix64: Steele, Lea, Flood, Fast Splittable Pseudorandom Number Generators, 2014. */
uint64_t sim_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

double sim_uniform(uint64_t *state, double from, double to)
{
	return from + (to - from) * (double)(sim_random(state) >> 11) * 0x1p-53;
}

double sim_log_uniform(uint64_t *state, double from, double to)
{
	return from * pow(to / from, sim_uniform(state, 0., 1.));
}

void *sim_alloc(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size);

	if (!memory)
		abort();
	return memory;
}

void *sim_grow(void *array, uint32_t count, uint32_t *room, size_t size)
{
	if (count < *room)
		return array;
	*room = *room ? *room * 2 : 16;
	array = realloc(array, *room * size);
	if (!array)
		abort();
	return array;
}
