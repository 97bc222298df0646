// SPDX-License-Identifier: MIT
/*
 * Recipes: keeping them, and making programs by them.
 *
 * A recipe is one allocation: the step's kind, its pieces (texts and binaries, each with a NUL
 * behind it) and its parts (other recipes).
 *
 *	kind		pieces				parts
 *	SOURCE		text
 *	BINARY		one for each device
 *	BUILT_IN	names
 *	IL		intermediate language
 *	SPECIALIZE	constant's number, value	what it is a constant of
 *	BUILD		options				what is built
 *	COMPILE		options, names of headers	what is compiled, headers
 *	LINK		options				inputs
 */
#include "recipe.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

enum kind { SOURCE, BINARY, BUILT_IN, IL, SPECIALIZE, BUILD, COMPILE, LINK };

struct piece {
	const char *bytes;
	size_t size; /* without the NUL */
};

struct gcl_recipe {
	_Atomic unsigned refs;
	enum kind kind;
	bool mixed;	  /* other devices are built otherwise */
	uint64_t devices; /* that are built this way */
	uint32_t steps;	  /* of parts, too */
	size_t held;	  /* bytes of this allocation */
	size_t piece_count, part_count;
	struct piece *pieces;
	struct gcl_recipe *parts[];
};

/* Of all recipes: a worker has one session. */
static _Atomic size_t held;

size_t gcl_recipes_held(void)
{
	return atomic_load_explicit(&held, memory_order_relaxed);
}

/* Bytes of a recipe, or more than all may have. */
static size_t recipe_size(size_t piece_count, const struct piece *pieces, size_t part_count)
{
	size_t size = sizeof(struct gcl_recipe);

	if (piece_count > GCL_RECIPES_MAX / sizeof *pieces || part_count > GCL_RECIPE_STEPS_MAX)
		return SIZE_MAX;
	size += piece_count * sizeof *pieces + part_count * sizeof(struct gcl_recipe *);
	for (size_t i = 0; i < piece_count; i++) {
		if (__builtin_add_overflow(size, pieces[i].size, &size) ||
		    __builtin_add_overflow(size, 1, &size))
			return SIZE_MAX;
	}
	return size;
}

/* Return: false beyond the limit. */
static bool held_take(size_t size)
{
	size_t before = atomic_load_explicit(&held, memory_order_relaxed);

	do {
		if (size > GCL_RECIPES_MAX || before > GCL_RECIPES_MAX - size)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&held, &before, before + size, memory_order_relaxed, memory_order_relaxed));
	return true;
}

static struct gcl_recipe *recipe_alloc(size_t size)
{
	struct gcl_recipe *recipe;

	if (!held_take(size))
		return NULL;
	recipe = calloc(1, size);
	if (!recipe) {
		atomic_fetch_sub_explicit(&held, size, memory_order_relaxed);
		return NULL;
	}
	recipe->refs = 1;
	recipe->held = size;
	return recipe;
}

static void pieces_copy(struct gcl_recipe *recipe, size_t count, const struct piece *pieces)
{
	char *next;

	recipe->pieces = (struct piece *)(recipe->parts + recipe->part_count);
	recipe->piece_count = count;
	next = (char *)(recipe->pieces + count);
	for (size_t i = 0; i < count; i++) {
		memcpy(next, pieces[i].bytes, pieces[i].size);
		recipe->pieces[i] = (struct piece){.bytes = next, .size = pieces[i].size};
		next += pieces[i].size + 1;
	}
}

/* Return: false when it would have too many steps, or a part isn't there. */
static bool steps_count(size_t count, struct gcl_recipe *const *parts, uint32_t *steps)
{
	*steps = 1;
	for (size_t i = 0; i < count; i++) {
		if (!parts[i])
			return false;
		*steps += parts[i]->steps;
		if (*steps > GCL_RECIPE_STEPS_MAX)
			return false;
	}
	return true;
}

static struct gcl_recipe *recipe_new(enum kind kind, size_t piece_count, const struct piece *pieces,
				     size_t part_count, struct gcl_recipe *const *parts)
{
	struct gcl_recipe *recipe;
	uint32_t steps;

	if (!steps_count(part_count, parts, &steps))
		return NULL;
	recipe = recipe_alloc(recipe_size(piece_count, pieces, part_count));
	if (!recipe)
		return NULL;
	recipe->kind = kind;
	recipe->steps = steps;
	recipe->part_count = part_count;
	for (size_t i = 0; i < part_count; i++)
		recipe->parts[i] = gcl_recipe_get(parts[i]);
	pieces_copy(recipe, piece_count, pieces);
	return recipe;
}

static struct piece piece_text(const char *text)
{
	return (struct piece){.bytes = text, .size = strlen(text)};
}

struct gcl_recipe *gcl_recipe_get(struct gcl_recipe *recipe)
{
	if (recipe)
		atomic_fetch_add_explicit(&recipe->refs, 1, memory_order_relaxed);
	return recipe;
}

void gcl_recipe_put(struct gcl_recipe *recipe)
{
	if (!recipe || atomic_fetch_sub_explicit(&recipe->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < recipe->part_count; i++)
		gcl_recipe_put(recipe->parts[i]);
	atomic_fetch_sub_explicit(&held, recipe->held, memory_order_relaxed);
	free(recipe);
}

bool gcl_recipe_lone(const struct gcl_recipe *recipe)
{
	return atomic_load_explicit(&recipe->refs, memory_order_acquire) == 1;
}

/* ------------------------------------------------------------ steps */

struct gcl_recipe *gcl_recipe_source(const char *text, size_t length)
{
	const struct piece piece = {.bytes = text, .size = length};

	return recipe_new(SOURCE, 1, &piece, 0, NULL);
}

struct gcl_recipe *gcl_recipe_binaries(size_t count, const unsigned char *const *binaries,
				       const size_t *sizes)
{
	_cleanup_free_ struct piece *pieces = calloc(count ? count : 1, sizeof *pieces);

	if (!pieces)
		return NULL;
	for (size_t i = 0; i < count; i++)
		pieces[i] = (struct piece){.bytes = (const char *)binaries[i], .size = sizes[i]};
	return recipe_new(BINARY, count, pieces, 0, NULL);
}

struct gcl_recipe *gcl_recipe_built_in(const char *names)
{
	const struct piece piece = piece_text(names);

	return recipe_new(BUILT_IN, 1, &piece, 0, NULL);
}

struct gcl_recipe *gcl_recipe_il(const void *il, size_t length)
{
	const struct piece piece = {.bytes = il, .size = length};

	return recipe_new(IL, 1, &piece, 0, NULL);
}

static bool is_built(const struct gcl_recipe *recipe)
{
	return recipe->kind == BUILD || recipe->kind == COMPILE;
}

struct gcl_recipe *gcl_recipe_base(struct gcl_recipe *recipe)
{
	return recipe && is_built(recipe) ? recipe->parts[0] : recipe;
}

struct gcl_recipe *gcl_recipe_specialize(struct gcl_recipe *before, uint32_t constant,
					 const void *value, size_t size)
{
	struct gcl_recipe *base = gcl_recipe_base(before);
	const struct piece pieces[] = {
		{.bytes = (const char *)&constant, .size = sizeof constant},
		{.bytes = value, .size = size},
	};

	return recipe_new(SPECIALIZE, GCL_ARRAY_SIZE(pieces), pieces, 1, &base);
}

/* Both are of one program: was it built in the same way? */
static bool same_way(const struct gcl_recipe *a, const struct gcl_recipe *b)
{
	if (a->kind != b->kind || a->piece_count != b->piece_count ||
	    a->part_count != b->part_count)
		return false;
	for (size_t i = 0; i < a->piece_count; i++)
		if (strcmp(a->pieces[i].bytes, b->pieces[i].bytes) != 0)
			return false;
	for (size_t i = 0; i < a->part_count; i++)
		if (a->parts[i] != b->parts[i])
			return false;
	return true;
}

/* @recipe is new: tell which devices it is for, and whether others are still as @before made them.
 */
static struct gcl_recipe *devices_set(struct gcl_recipe *recipe, const struct gcl_recipe *before,
				      uint64_t devices)
{
	if (!recipe)
		return NULL;
	recipe->devices = devices;
	if (!is_built(before) || !(before->devices & ~devices))
		return recipe;
	recipe->devices |= before->devices;
	recipe->mixed = before->mixed || !same_way(before, recipe);
	return recipe;
}

struct gcl_recipe *gcl_recipe_build(struct gcl_recipe *before, uint64_t devices,
				    const char *options)
{
	struct gcl_recipe *base = gcl_recipe_base(before);
	const struct piece piece = piece_text(options);

	return devices_set(recipe_new(BUILD, 1, &piece, 1, &base), before, devices);
}

struct gcl_recipe *gcl_recipe_compile(struct gcl_recipe *before, uint64_t devices,
				      const char *options, size_t count,
				      struct gcl_recipe *const *headers, const char *const *names)
{
	_cleanup_free_ struct piece *pieces = calloc(count + 1, sizeof *pieces);
	_cleanup_free_ struct gcl_recipe **parts = calloc(count + 1, sizeof *parts);

	if (!pieces || !parts)
		return NULL;
	pieces[0] = piece_text(options);
	parts[0] = gcl_recipe_base(before);
	for (size_t i = 0; i < count; i++) {
		pieces[i + 1] = piece_text(names[i]);
		parts[i + 1] = gcl_recipe_base(headers[i]);
	}
	return devices_set(recipe_new(COMPILE, count + 1, pieces, count + 1, parts), before,
			   devices);
}

struct gcl_recipe *gcl_recipe_link(const char *options, size_t count,
				   struct gcl_recipe *const *inputs)
{
	const struct piece piece = piece_text(options);

	return recipe_new(LINK, 1, &piece, count, inputs);
}

bool gcl_recipe_executable(const struct gcl_recipe *recipe)
{
	if (!recipe || recipe->mixed)
		return false;
	switch (recipe->kind) {
	case BUILD:
	case BUILT_IN:
		return true;
	case LINK:
		return !strstr(recipe->pieces[0].bytes, "-create-library");
	default:
		return false;
	}
}

/* ------------------------------------------------------------ making programs */

/* Where a program is made. */
struct place {
	cl_context context;
	cl_device_id device;
};

static cl_program make(const struct gcl_recipe *recipe, const struct place *place, cl_int *status);

static void programs_put(size_t count, cl_program *programs)
{
	for (size_t i = 0; programs && i < count; i++)
		if (programs[i])
			clReleaseProgram(programs[i]);
	free(programs);
}

/* Programs of all parts, or NULL and *@status. */
static cl_program *parts_make(const struct gcl_recipe *recipe, const struct place *place,
			      cl_int *status)
{
	cl_program *programs = calloc(recipe->part_count, sizeof(cl_program));

	*status = programs ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY;
	for (size_t i = 0; i < recipe->part_count && *status == CL_SUCCESS; i++)
		programs[i] = make(recipe->parts[i], place, status);
	if (*status == CL_SUCCESS)
		return programs;
	programs_put(recipe->part_count, programs);
	return NULL;
}

static cl_program source_make(const struct gcl_recipe *recipe, const struct place *place,
			      cl_int *status)
{
	const struct piece *text = &recipe->pieces[0];

	/* A length of 0 is taken for "up to the NUL", and there is one. */
	return clCreateProgramWithSource(place->context, 1, (const char **)&text->bytes,
					 &text->size, status);
}

/* Binaries are for devices at home: whatever the device there takes is right. */
static cl_program binary_make(const struct gcl_recipe *recipe, const struct place *place,
			      cl_int *status)
{
	*status = CL_INVALID_BINARY;
	for (size_t i = 0; i < recipe->piece_count; i++) {
		const unsigned char *bytes = (const unsigned char *)recipe->pieces[i].bytes;
		cl_int taken = CL_SUCCESS;
		cl_program program =
			clCreateProgramWithBinary(place->context, 1, &place->device,
						  &recipe->pieces[i].size, &bytes, &taken, status);

		if (program && *status == CL_SUCCESS && taken == CL_SUCCESS)
			return program;
		if (program)
			clReleaseProgram(program);
		if (*status == CL_SUCCESS)
			*status = CL_INVALID_BINARY;
	}
	return NULL;
}

static cl_program built_in_make(const struct gcl_recipe *recipe, const struct place *place,
				cl_int *status)
{
	return clCreateProgramWithBuiltInKernels(place->context, 1, &place->device,
						 recipe->pieces[0].bytes, status);
}

static cl_program il_make(const struct gcl_recipe *recipe, const struct place *place,
			  cl_int *status)
{
	return clCreateProgramWithIL(place->context, recipe->pieces[0].bytes,
				     recipe->pieces[0].size, status);
}

static cl_program specialize_make(const struct gcl_recipe *recipe, const struct place *place,
				  cl_int *status)
{
	cl_program program = make(recipe->parts[0], place, status);
	uint32_t constant;

	if (!program)
		return NULL;
	memcpy(&constant, recipe->pieces[0].bytes, sizeof constant);
	*status = clSetProgramSpecializationConstant(program, constant, recipe->pieces[1].size,
						     recipe->pieces[1].bytes);
	return program;
}

static cl_int build(const struct gcl_recipe *recipe, const struct place *place, cl_program *parts)
{
	const char *options = recipe->pieces[0].bytes;
	cl_uint headers = (cl_uint)recipe->part_count - 1;
	_cleanup_free_ const char **names = NULL;

	if (recipe->kind == BUILD)
		return clBuildProgram(parts[0], 1, &place->device, options, NULL, NULL);
	if (!headers)
		return clCompileProgram(parts[0], 1, &place->device, options, 0, NULL, NULL, NULL,
					NULL);
	names = calloc(headers, sizeof *names);
	if (!names)
		return CL_OUT_OF_HOST_MEMORY;
	for (cl_uint i = 0; i < headers; i++)
		names[i] = recipe->pieces[i + 1].bytes;
	return clCompileProgram(parts[0], 1, &place->device, options, headers, parts + 1, names,
				NULL, NULL);
}

static cl_program build_make(const struct gcl_recipe *recipe, const struct place *place,
			     cl_int *status)
{
	cl_program *parts = parts_make(recipe, place, status);
	cl_program program = NULL;

	if (!parts)
		return NULL;
	*status = recipe->mixed ? CL_INVALID_PROGRAM_EXECUTABLE : build(recipe, place, parts);
	if (*status == CL_SUCCESS)
		program = steal_pointer(&parts[0]);
	programs_put(recipe->part_count, parts);
	return program;
}

static cl_program link_make(const struct gcl_recipe *recipe, const struct place *place,
			    cl_int *status)
{
	cl_program *parts = parts_make(recipe, place, status);
	cl_program program;

	if (!parts)
		return NULL;
	program = clLinkProgram(place->context, 1, &place->device, recipe->pieces[0].bytes,
				(cl_uint)recipe->part_count, parts, NULL, NULL, status);
	programs_put(recipe->part_count, parts);
	return program;
}

/* Return: NULL and a *@status that is negative, or the program. */
static cl_program make(const struct gcl_recipe *recipe, const struct place *place, cl_int *status)
{
	static cl_program (*const steps[])(const struct gcl_recipe *, const struct place *,
					   cl_int *) = {
		[SOURCE] = source_make,	    [BINARY] = binary_make, [IL] = il_make,
		[BUILT_IN] = built_in_make, [BUILD] = build_make,   [SPECIALIZE] = specialize_make,
		[COMPILE] = build_make,	    [LINK] = link_make,
	};
	cl_program program;

	*status = CL_SUCCESS;
	program = steps[recipe->kind](recipe, place, status);
	if (program && *status != CL_SUCCESS)
		clReleaseProgram(steal_pointer(&program));
	if (!program && *status == CL_SUCCESS)
		*status = CL_OUT_OF_HOST_MEMORY;
	return program;
}

cl_int gcl_recipe_make(struct gcl_recipe *recipe, cl_context context, cl_device_id device,
		       cl_program *out)
{
	const struct place place = {.context = context, .device = device};
	cl_int status = CL_INVALID_PROGRAM;

	*out = recipe ? make(recipe, &place, &status) : NULL;
	return status;
}
