/* SPDX-License-Identifier: MIT */
/*
 * Recipes: how a program was made, so that it can be made again on another side.
 *
 * A recipe is a step with what it was done to: other recipes (a build has that of its source, a
 * link those of its inputs). It never changes once it is made, so any thread may use one that it
 * has a reference to. A program's recipe is another one after each build; a kernel keeps the one
 * that its program had when it was created.
 *
 * Recipes are kept only where sessions can move (worker.client).
 */
#ifndef GCL_RECIPE_H
#define GCL_RECIPE_H

#define CL_TARGET_OPENCL_VERSION 300

#include <CL/cl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gcl_program;
struct gcl_recipe;

/* All recipes of the worker hold so many bytes at most; what is created beyond has none, and its
 * queue can't move. */
#define GCL_RECIPES_MAX (256u << 20)

/* Steps of one recipe, those of its parts included: a guest could nest links without end. */
#define GCL_RECIPE_STEPS_MAX 1024u

/*
 * Each copies what it is given, takes references to other recipes, and returns NULL without
 * memory, beyond a limit, or when one of the others is NULL.
 */
struct gcl_recipe *gcl_recipe_source(const char *text, size_t length);
struct gcl_recipe *gcl_recipe_binaries(size_t count, const unsigned char *const *binaries,
				       const size_t *sizes);
struct gcl_recipe *gcl_recipe_built_in(const char *names);

struct gcl_recipe *gcl_recipe_il(const void *il, size_t length);

/** gcl_recipe_specialize() - a constant of what was @before, which has to be built again. */
struct gcl_recipe *gcl_recipe_specialize(struct gcl_recipe *before, uint32_t constant,
					 const void *value, size_t size);

/**
 * gcl_recipe_build() - what was @before is built.
 * @devices: a bit for each of the program's devices that it is built for
 *
 * Where a program has been built in different ways for different devices, nobody could say which
 * way is meant on another side: such a recipe isn't executable.
 */
struct gcl_recipe *gcl_recipe_build(struct gcl_recipe *before, uint64_t devices,
				    const char *options);

/** gcl_recipe_compile() - what was @before is compiled, with the sources of @headers. */
struct gcl_recipe *gcl_recipe_compile(struct gcl_recipe *before, uint64_t devices,
				      const char *options, size_t count,
				      struct gcl_recipe *const *headers, const char *const *names);

struct gcl_recipe *gcl_recipe_link(const char *options, size_t count,
				   struct gcl_recipe *const *inputs);

/** gcl_recipe_lone() - is there no reference but the caller's? Then there never will be another. */
bool gcl_recipe_lone(const struct gcl_recipe *recipe);

/** gcl_recipe_base() - as the program was created, before any build; lent. NULL is accepted. */
struct gcl_recipe *gcl_recipe_base(struct gcl_recipe *recipe);

/* Both accept NULL; any thread. */
struct gcl_recipe *gcl_recipe_get(struct gcl_recipe *recipe);
void gcl_recipe_put(struct gcl_recipe *recipe);

/** gcl_recipe_executable() - can kernels be created of what it makes? No, for NULL. */
bool gcl_recipe_executable(const struct gcl_recipe *recipe);

/**
 * gcl_recipe_make() - make the program in another context.
 * @recipe: NULL: refused
 * @device: of @context; it is built for this one alone
 * @out: set to the program, which the caller gets, or NULL
 *
 * From any thread; blocks for as long as builds take, and uses stack as compilers do. Return:
 * CL_SUCCESS, or what a call of the runtime said; then nothing is left behind.
 */
cl_int gcl_recipe_make(struct gcl_recipe *recipe, cl_context context, cl_device_id device,
		       cl_program *out);

/** gcl_recipes_held() - bytes that all recipes hold; for tests. */
size_t gcl_recipes_held(void);

/* ------------------------------------------------------------ a program's (program-recipe.c) */

/** gcl_program_recipe() - a reference to that of @program, as it is now; any thread. NULL where
 * there is none. */
struct gcl_recipe *gcl_program_recipe(struct gcl_program *program);

/** gcl_program_recipe_set() - it is @recipe from now on, which is taken over. */
void gcl_program_recipe_set(struct gcl_program *program, struct gcl_recipe *recipe);

/** gcl_program_unbuilt() - it is as it was created. */
void gcl_program_unbuilt(struct gcl_program *program);

#endif
