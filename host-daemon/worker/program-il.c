/*
 * Programs in an intermediate language, and their constants.
 */
#include "program.h"

#include <errno.h>

/* Create, and note how. Return: the runtime's error, or CL_SUCCESS. */
static cl_int il_create(struct gcl_worker *worker, const Gcl__ProgramCreateIl *message,
			const struct gcl_entry *entry, cl_context context, cl_program *handle)
{
	cl_int status;

	*handle = clCreateProgramWithIL(context, message->il.data, message->il.len, &status);
	if (worker->client && *handle)
		gcl_program_recipe_set(entry->detail,
				       gcl_recipe_il(message->il.data, message->il.len));
	return status;
}

int gcl_handle_program_create_il(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__ProgramCreateIl *message = (const Gcl__ProgramCreateIl *)call->message;
	struct gcl_entry *context = gcl_table_find(worker, message->context, GCL_KIND_CONTEXT);
	_cleanup_(gcl_arena_fini) struct gcl_arena arena;
	struct gcl_device_list devices = {0};
	cl_program handle = NULL;
	struct gcl_entry *entry;
	cl_int status;

	gcl_arena_init(&arena);
	if (!context || !message->il.len)
		return -EPROTO;
	entry = gcl_table_add(worker, message->id, GCL_KIND_PROGRAM);
	if (!entry)
		return -EPROTO;
	if (!gcl_program_create(worker, entry, context->detail))
		return -ENOMEM;

	status = context->failed;
	if (status == CL_SUCCESS)
		status = gcl_devices_of(worker, &arena, NULL, context->handle, &devices);
	if (status == CL_SUCCESS)
		status = il_create(worker, message, entry, context->handle, &handle);
	/* What it calls isn't known here. */
	worker->may_print = true;
	gcl_object_made(worker, entry, handle, status);
	gcl_build_answer(worker, &arena, call->head->sequence, entry->handle, &devices, status,
			 NULL);
	return 0;
}

int gcl_handle_program_specialize(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__ProgramSpecialize *message = (const Gcl__ProgramSpecialize *)call->message;
	const struct gcl_entry *entry = gcl_program_find(worker, message->program);
	Gcl__SpecializeAnswer answer = GCL__SPECIALIZE_ANSWER__INIT;
	struct gcl_recipe *before;

	if (!entry || !message->value.len)
		return -EPROTO;
	answer.request = call->head->sequence;
	answer.status = entry->failed;
	if (answer.status == CL_SUCCESS)
		answer.status = clSetProgramSpecializationConstant(
			entry->handle, message->constant, message->value.len, message->value.data);
	if (answer.status == CL_SUCCESS && worker->client) {
		before = gcl_program_recipe(entry->detail);
		gcl_program_recipe_set(entry->detail,
				       gcl_recipe_specialize(before, message->constant,
							     message->value.data,
							     message->value.len));
		gcl_recipe_put(before);
	}
	gcl_send(worker, GCL_ANSWER_SPECIALIZE, &answer.base, 0, 0);
	return 0;
}
