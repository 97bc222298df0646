// SPDX-License-Identifier: MIT
/*
 * Which recipe a program has: set by the session thread when it is created, and by the pool when it
 * has been built, before the guest is told.
 */
#include "program.h"
#include "recipe.h"

struct gcl_recipe *gcl_program_recipe(struct gcl_program *program)
{
	struct gcl_recipe *recipe;

	if (!program)
		return NULL;
	pthread_mutex_lock(&program->lock);
	recipe = gcl_recipe_get(program->recipe);
	pthread_mutex_unlock(&program->lock);
	return recipe;
}

void gcl_program_recipe_set(struct gcl_program *program, struct gcl_recipe *recipe)
{
	struct gcl_recipe *before;

	pthread_mutex_lock(&program->lock);
	before = program->recipe;
	program->recipe = recipe;
	pthread_mutex_unlock(&program->lock);
	gcl_recipe_put(before);
}

void gcl_program_unbuilt(struct gcl_program *program)
{
	struct gcl_recipe *recipe = gcl_program_recipe(program);

	gcl_program_recipe_set(program, gcl_recipe_get(gcl_recipe_base(recipe)));
	gcl_recipe_put(recipe);
}
