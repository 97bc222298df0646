/*
 * Programs: creating them from source, binaries and built-in kernels, and finding their devices.
 *
 * All of this runs on the session thread; what takes long goes to the build pool (build.c).
 */
#include "program.h"

#include <errno.h>
#include <string.h>

void gcl_link_put(struct gcl_link *link)
{
	if (!link || atomic_fetch_sub_explicit(&link->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (link->handle)
		clReleaseProgram(link->handle);
	free(link);
}

struct gcl_entry *gcl_program_find(struct gcl_worker *worker, uint64_t id)
{
	struct gcl_entry *entry = gcl_table_find(worker, id, GCL_KIND_PROGRAM);
	struct gcl_program *program = entry ? entry->detail : NULL;
	struct gcl_link *link = program ? program->link : NULL;

	gcl_programs_refused_drop(worker);
	if (!link)
		return entry;
	/* Pairs with the release in link_run(). */
	if (!atomic_load_explicit(&link->done, memory_order_acquire))
		return NULL;
	entry->handle = steal_pointer(&link->handle);
	entry->failed = entry->handle ? CL_SUCCESS : link->status;
	program->link = NULL;
	gcl_link_put(link);
	return entry;
}

void gcl_program_release(struct gcl_worker *worker, struct gcl_entry *entry)
{
	struct gcl_program *program = entry->detail;

	(void)worker;
	if (entry->handle)
		clReleaseProgram(entry->handle);
	if (!program)
		return;
	program->entry = NULL;
	gcl_context_put(steal_pointer(&program->context));
	gcl_link_put(steal_pointer(&program->link));
	gcl_program_put(program);
}

/* Devices are few, and this is for builds only. */
static uint64_t device_id_find(const struct gcl_worker *worker, cl_device_id device)
{
	const struct gcl_table *table = &worker->tables[GCL_KIND_DEVICE];

	for (size_t i = 0; i < table->chunk_count; i++) {
		const struct gcl_entry *chunk = table->chunks[i];

		for (size_t j = 0; chunk && j < GCL_TABLE_CHUNK; j++) {
			if (chunk[j].id && chunk[j].handle == device)
				return chunk[j].id;
		}
	}
	return 0;
}

cl_int gcl_devices_of(struct gcl_worker *worker, struct gcl_arena *arena, cl_program program,
		      cl_context context, struct gcl_device_list *list)
{
	size_t size = 0;

	*list = (struct gcl_device_list){0};
	if (program)
		list->handles = (cl_device_id *)GCL_INFO_BYTES(arena, &size, clGetProgramInfo,
							       program, CL_PROGRAM_DEVICES);
	else
		list->handles = (cl_device_id *)GCL_INFO_BYTES(arena, &size, clGetContextInfo,
							       context, CL_CONTEXT_DEVICES);
	list->ids = gcl_arena_alloc(arena, size / sizeof(cl_device_id) * sizeof(uint64_t));
	if (!list->handles || !list->ids)
		return CL_OUT_OF_HOST_MEMORY;
	list->count = (cl_uint)(size / sizeof(cl_device_id));
	for (cl_uint i = 0; i < list->count; i++)
		list->ids[i] = device_id_find(worker, list->handles[i]);
	return CL_SUCCESS;
}

int gcl_devices_named(struct gcl_worker *worker, struct gcl_arena *arena, const uint64_t *ids,
		      size_t count, struct gcl_device_list *list)
{
	*list = (struct gcl_device_list){0};
	if (count > GCL_OBJECTS_MAX)
		return -EPROTO;
	list->handles = gcl_arena_alloc(arena, count * sizeof *list->handles);
	list->ids = gcl_arena_alloc(arena, count * sizeof *list->ids);
	if (!list->handles || !list->ids)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const struct gcl_entry *entry = gcl_table_find(worker, ids[i], GCL_KIND_DEVICE);

		if (!entry || !entry->handle)
			return -EPROTO;
		list->handles[i] = entry->handle;
		list->ids[i] = ids[i];
	}
	list->count = (cl_uint)count;
	return 0;
}

void gcl_program_text_seen(struct gcl_worker *worker, const char *text, size_t length)
{
	/* What a file holds that the host's compiler includes isn't known here. */
	if (memmem(text, length, "printf", strlen("printf")) ||
	    memmem(text, length, "#include", strlen("#include")))
		worker->may_print = true;
}

int gcl_handle_program_create_source(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__ProgramCreateSource *message = (const Gcl__ProgramCreateSource *)call->message;
	struct gcl_entry *context = gcl_table_find(worker, message->context, GCL_KIND_CONTEXT);
	const char *source = (const char *)message->source.data;
	size_t length = message->source.len;
	cl_program handle = NULL;
	struct gcl_entry *entry;
	cl_int status;

	if (!context)
		return -EPROTO;
	entry = gcl_table_add(worker, message->id, GCL_KIND_PROGRAM);
	if (!entry)
		return -EPROTO;
	if (!gcl_program_create(worker, entry, context->detail))
		return -ENOMEM;
	/* The runtime would take a length of 0 for "up to the NUL". */
	if (!length)
		source = "";

	status = context->failed;
	if (status == CL_SUCCESS)
		handle = clCreateProgramWithSource(context->handle, 1, &source, &length, &status);
	gcl_program_text_seen(worker, source, length);
	if (worker->client && handle)
		gcl_program_recipe_set(entry->detail, gcl_recipe_source(source, length));
	gcl_object_made(worker, entry, handle, status);
	return 0;
}

cl_int gcl_program_renew(struct gcl_worker *worker, struct gcl_entry *entry,
			 const ProtobufCBinaryData *source)
{
	const char *text = (const char *)source->data;
	struct gcl_entry before = *entry;
	struct gcl_program *detail = before.detail;
	cl_program program = NULL;
	cl_context context;
	cl_int status;

	if (!source->len || !entry->handle)
		return CL_SUCCESS;
	status =
		clGetProgramInfo(entry->handle, CL_PROGRAM_CONTEXT, sizeof context, &context, NULL);
	if (status == CL_SUCCESS)
		program = clCreateProgramWithSource(context, 1, &text, &source->len, &status);
	if (!program)
		return status ? status : CL_OUT_OF_HOST_MEMORY;
	if (!gcl_program_create(worker, entry, detail->context)) {
		clReleaseProgram(program);
		return CL_OUT_OF_HOST_MEMORY;
	}
	entry->handle = program;
	gcl_program_text_seen(worker, text, source->len);
	if (worker->client)
		gcl_program_recipe_set(entry->detail, gcl_recipe_source(text, source->len));
	gcl_program_release(worker, &before);
	return CL_SUCCESS;
}

/* Create from binaries and answer; the message was checked. */
static cl_int binary_create(const Gcl__ProgramCreateBinary *message, struct gcl_arena *arena,
			    const struct gcl_entry *entry, cl_context context,
			    const struct gcl_device_list *devices, cl_program *handle,
			    cl_int **binary_status)
{
	const unsigned char **binaries = gcl_arena_alloc(arena, devices->count * sizeof *binaries);
	size_t *lengths = gcl_arena_alloc(arena, devices->count * sizeof *lengths);
	struct gcl_program *program = entry->detail;
	cl_int status;

	*binary_status = gcl_arena_alloc(arena, devices->count * sizeof **binary_status);
	if (!binaries || !lengths || !*binary_status)
		return CL_OUT_OF_HOST_MEMORY;
	for (cl_uint i = 0; i < devices->count; i++) {
		binaries[i] = message->binaries[i].data;
		lengths[i] = message->binaries[i].len;
		(*binary_status)[i] = CL_SUCCESS;
	}
	status = gcl_program_charge(program, devices, lengths);
	if (status != CL_SUCCESS)
		return status;
	*handle = clCreateProgramWithBinary(context, devices->count, devices->handles, lengths,
					    binaries, *binary_status, &status);
	if (program->worker->client && *handle)
		gcl_program_recipe_set(program,
				       gcl_recipe_binaries(devices->count, binaries, lengths));
	return status;
}

int gcl_handle_program_create_binary(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__ProgramCreateBinary *message = (const Gcl__ProgramCreateBinary *)call->message;
	struct gcl_entry *context = gcl_table_find(worker, message->context, GCL_KIND_CONTEXT);
	_cleanup_(gcl_arena_fini) struct gcl_arena arena;
	struct gcl_device_list devices;
	cl_int *binary_status = NULL;
	cl_program handle = NULL;
	struct gcl_entry *entry;
	cl_int status;
	int err;

	gcl_arena_init(&arena);
	if (!context || !message->n_devices || message->n_devices != message->n_binaries)
		return -EPROTO;
	for (size_t i = 0; i < message->n_binaries; i++) {
		if (!message->binaries[i].len)
			return -EPROTO;
	}
	err = gcl_devices_named(worker, &arena, message->devices, message->n_devices, &devices);
	if (err)
		return err;
	entry = gcl_table_add(worker, message->id, GCL_KIND_PROGRAM);
	if (!entry)
		return -EPROTO;
	if (!gcl_program_create(worker, entry, context->detail))
		return -ENOMEM;

	status = context->failed;
	if (status == CL_SUCCESS)
		status = binary_create(message, &arena, entry, context->handle, &devices, &handle,
				       &binary_status);
	if (!handle)
		gcl_program_charge(entry->detail, &(struct gcl_device_list){0}, NULL);
	worker->may_print = true;
	gcl_object_made(worker, entry, handle, status);
	gcl_build_answer(worker, &arena, call->head->sequence, entry->handle, &devices, status,
			 binary_status);
	return 0;
}

int gcl_handle_program_create_built_in(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__ProgramCreateBuiltIn *message = (const Gcl__ProgramCreateBuiltIn *)call->message;
	struct gcl_entry *context = gcl_table_find(worker, message->context, GCL_KIND_CONTEXT);
	_cleanup_(gcl_arena_fini) struct gcl_arena arena;
	struct gcl_device_list devices;
	cl_program handle = NULL;
	struct gcl_entry *entry;
	cl_int status;
	int err;

	gcl_arena_init(&arena);
	if (!context || !message->n_devices)
		return -EPROTO;
	err = gcl_devices_named(worker, &arena, message->devices, message->n_devices, &devices);
	if (err)
		return err;
	entry = gcl_table_add(worker, message->id, GCL_KIND_PROGRAM);
	if (!entry)
		return -EPROTO;
	if (!gcl_program_create(worker, entry, context->detail))
		return -ENOMEM;

	status = context->failed;
	if (status == CL_SUCCESS)
		handle = clCreateProgramWithBuiltInKernels(
			context->handle, devices.count, devices.handles, message->names, &status);
	if (worker->client && handle)
		gcl_program_recipe_set(entry->detail, gcl_recipe_built_in(message->names));
	gcl_object_made(worker, entry, handle, status);
	gcl_build_answer(worker, &arena, call->head->sequence, entry->handle, &devices, status,
			 NULL);
	return 0;
}
