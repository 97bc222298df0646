/*
 * Building, compiling, linking, and fetching binaries: on the build pool, each with an answer.
 *
 * The session thread checks the message, copies it and takes references into a struct build; from
 * then on the build needs nothing of the session's tables, and a RELEASE meanwhile is harmless.
 */
#include "program.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define ARG_INFO_OPTION "-cl-kernel-arg-info"

/* How often, and after how long, a program that still has kernels is built again. */
#define BUSY_TRIES    100
#define BUSY_PAUSE_NS 1000000

struct build {
	struct gcl_job job;
	struct gcl_worker *worker;
	struct gcl_arena arena; /* for everything that is copied, and for the answer */
	uint64_t request;
	cl_program program; /* a reference; NULL for a link */
	cl_context context; /* of a link: a reference */
	struct gcl_link *link;
	struct gcl_program *detail;    /* a reference */
	struct gcl_device_list all;    /* that the answer tells of */
	struct gcl_device_list chosen; /* that the guest named, may be none */
	const char *options;
	const char *link_options; /* as the guest gave them */
	cl_uint input_count;
	cl_program *inputs;	     /* headers or linked programs: references */
	struct gcl_recipe **recipes; /* theirs: references */
	const char **names;
	struct gcl_recipe *before, *after; /* the program's: what it was, and will be */
};

static void build_recipes_put(struct build *build)
{
	for (cl_uint i = 0; i < build->input_count; i++)
		gcl_recipe_put(steal_pointer(&build->recipes[i]));
	gcl_recipe_put(steal_pointer(&build->before));
	gcl_recipe_put(steal_pointer(&build->after));
}

static void build_free(struct build *build)
{
	if (!build)
		return;
	for (cl_uint i = 0; i < build->input_count; i++)
		clReleaseProgram(build->inputs[i]);
	build_recipes_put(build);
	if (build->program)
		clReleaseProgram(build->program);
	if (build->context)
		clReleaseContext(build->context);
	gcl_link_put(build->link);
	gcl_program_put(build->detail);
	gcl_arena_fini(&build->arena);
	free(build);
}

static void build_free_cleanup(struct build **build)
{
	build_free(*build);
}

static void build_drop(struct gcl_job *job)
{
	build_free(gcl_container_of(job, struct build, job));
}

static struct build *build_new(struct gcl_worker *worker, const struct gcl_call *call,
			       void (*run)(struct gcl_job *job))
{
	struct build *build = calloc(1, sizeof *build);

	if (!build)
		return NULL;
	gcl_arena_init(&build->arena);
	build->worker = worker;
	build->request = call->head->sequence;
	build->job.run = run;
	build->job.drop = build_drop;
	return build;
}

/* Answer without having called the runtime. */
static int build_refuse(struct build *build, cl_int status)
{
	gcl_build_answer(build->worker, &build->arena, build->request, build->program, &build->all,
			 status, NULL);
	return 0;
}

/* Which of the program's devices it is built for. */
static uint64_t build_mask(const struct build *build)
{
	uint64_t mask = 0;

	for (cl_uint i = 0; i < build->all.count; i++) {
		bool chosen = !build->chosen.count;

		for (cl_uint j = 0; j < build->chosen.count; j++)
			chosen |= build->chosen.handles[j] == build->all.handles[i];
		if (chosen)
			mask |= 1ull << GCL_MIN(i, 63);
	}
	return mask;
}

/* Of what kernels are that are created while it is built, nobody could say. */
static void build_recipe_begin(struct build *build)
{
	build->before = gcl_program_recipe(build->detail);
	gcl_program_unbuilt(build->detail);
}

/* Before the answer. What the runtime would not begin has changed nothing. */
static void build_recipe_end(struct build *build, cl_int status)
{
	struct gcl_recipe **recipe = NULL;

	if (status == CL_SUCCESS)
		recipe = &build->after;
	else if (status == CL_INVALID_OPERATION)
		recipe = &build->before;
	if (recipe && *recipe)
		gcl_program_recipe_set(build->detail, steal_pointer(recipe));
	build_recipes_put(build);
}

/* Hand over to the pool. Return: 0; what goes wrong is answered. */
static int build_post(struct build **build)
{
	int err = gcl_builder_post((*build)->worker, &(*build)->job);

	if (err) {
		build_recipe_end(*build, CL_INVALID_OPERATION);
		return build_refuse(*build, CL_OUT_OF_RESOURCES);
	}
	*build = NULL;
	return 0;
}

static const cl_device_id *build_devices(const struct build *build)
{
	return build->chosen.count ? build->chosen.handles : NULL;
}

/* @entry is the program to build: take a reference and find its devices. */
static cl_int build_program_get(struct build *build, const struct gcl_entry *entry)
{
	if (!entry->handle)
		return entry->failed;
	clRetainProgram(entry->handle);
	build->program = entry->handle;
	build->detail = gcl_program_get(entry->detail);
	return gcl_devices_of(build->worker, &build->arena, build->program, NULL, &build->all);
}

/*
 * With the option that makes the runtime keep the kernels' signatures, which the guest is told. It
 * goes in front, where no unfinished option can swallow it.
 */
static cl_int options_with_arg_info(struct build *build, const char *options)
{
	size_t size = strlen(ARG_INFO_OPTION) + strlen(options) + 2;
	char *copy = gcl_arena_alloc(&build->arena, size);

	if (!copy)
		return CL_OUT_OF_HOST_MEMORY;
	gcl_program_text_seen(build->worker, options, strlen(options));
	if (strstr(options, ARG_INFO_OPTION))
		snprintf(copy, size, "%s", options);
	else
		snprintf(copy, size, ARG_INFO_OPTION "%s%s", *options ? " " : "", options);
	build->options = copy;
	return CL_SUCCESS;
}

static const char *build_string(struct build *build, const char *string)
{
	size_t size = strlen(string) + 1;
	char *copy = gcl_arena_alloc(&build->arena, size);

	return copy ? memcpy(copy, string, size) : NULL;
}

/* References to the programs that @ids name. Return: 0, -EPROTO, -ENOMEM; *@status of a tombstone.
 */
static int build_inputs_get(struct build *build, const uint64_t *ids, size_t count, cl_int *status)
{
	if (count > GCL_OBJECTS_MAX)
		return -EPROTO;
	build->inputs = gcl_arena_alloc(&build->arena, count * sizeof *build->inputs);
	build->recipes = gcl_arena_alloc(&build->arena, count * sizeof *build->recipes);
	if (!build->inputs || !build->recipes)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct gcl_entry *entry = gcl_program_find(build->worker, ids[i]);

		if (!entry)
			return -EPROTO;
		if (!entry->handle) {
			*status = entry->failed;
			continue;
		}
		clRetainProgram(entry->handle);
		build->recipes[build->input_count] = gcl_program_recipe(entry->detail);
		build->inputs[build->input_count++] = entry->handle;
	}
	return 0;
}

/*
 * A runtime may hold a finished command's kernel for a moment after it has told of the end. The
 * guest knows that no kernel is left, so CL_INVALID_OPERATION is looked into again for a while.
 */
static bool busy_pause(cl_int status, int *tries)
{
	const struct timespec pause = {.tv_nsec = BUSY_PAUSE_NS};

	if (status != CL_INVALID_OPERATION || ++*tries > BUSY_TRIES)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

/* Before the answer: once the guest has that, what it releases is given back at once. */
static void build_weighed(struct build *build)
{
	gcl_program_put(steal_pointer(&build->detail));
}

/* Tells the guest what came of it: of one that is too large nothing. */
static void build_end(struct build *build, cl_int status)
{
	cl_program program = build->program;

	if (status == CL_SUCCESS) {
		status = gcl_program_weigh(build->detail, program, &build->arena, &build->all);
		if (status != CL_SUCCESS) {
			gcl_program_refuse(build->detail);
			program = NULL;
		}
	}
	build_recipe_end(build, status);
	build_weighed(build);
	gcl_build_answer(build->worker, &build->arena, build->request, program, &build->all, status,
			 NULL);
	build_free(build);
}

static void build_run(struct gcl_job *job)
{
	struct build *build = gcl_container_of(job, struct build, job);
	cl_int status;
	int tries = 0;

	do {
		status = clBuildProgram(build->program, build->chosen.count, build_devices(build),
					build->options, NULL, NULL);
	} while (busy_pause(status, &tries));
	build_end(build, status);
}

int gcl_handle_program_build(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__ProgramBuild *message = (const Gcl__ProgramBuild *)call->message;
	struct gcl_entry *entry = gcl_program_find(worker, message->program);
	_cleanup_(build_free_cleanup) struct build *build = build_new(worker, call, build_run);
	cl_int status;
	int err;

	if (!entry)
		return -EPROTO;
	if (!build)
		return -ENOMEM;
	err = gcl_devices_named(worker, &build->arena, message->devices, message->n_devices,
				&build->chosen);
	if (err)
		return err;
	status = gcl_program_renew(worker, entry, &message->source);
	if (status == CL_SUCCESS)
		status = build_program_get(build, entry);
	if (status == CL_SUCCESS)
		status = options_with_arg_info(build, message->options);
	if (status != CL_SUCCESS)
		return build_refuse(build, status);
	build_recipe_begin(build);
	build->after = gcl_recipe_build(build->before, build_mask(build), message->options);
	return build_post(&build);
}

static void compile_run(struct gcl_job *job)
{
	struct build *build = gcl_container_of(job, struct build, job);
	bool headers = build->input_count;
	cl_int status;
	int tries = 0;

	do {
		status = clCompileProgram(build->program, build->chosen.count, build_devices(build),
					  build->options, build->input_count,
					  headers ? build->inputs : NULL,
					  headers ? build->names : NULL, NULL, NULL);
	} while (busy_pause(status, &tries));
	build_end(build, status);
}

static cl_int header_names_copy(struct build *build, char *const *names, size_t count)
{
	build->names = gcl_arena_alloc(&build->arena, count * sizeof *build->names);
	if (!build->names)
		return CL_OUT_OF_HOST_MEMORY;
	for (size_t i = 0; i < count; i++) {
		build->names[i] = build_string(build, names[i]);
		if (!build->names[i])
			return CL_OUT_OF_HOST_MEMORY;
	}
	return CL_SUCCESS;
}

int gcl_handle_program_compile(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__ProgramCompile *message = (const Gcl__ProgramCompile *)call->message;
	struct gcl_entry *entry = gcl_program_find(worker, message->program);
	_cleanup_(build_free_cleanup) struct build *build = build_new(worker, call, compile_run);
	cl_int status = CL_SUCCESS;
	int err;

	if (!entry || message->n_headers != message->n_header_names)
		return -EPROTO;
	if (!build)
		return -ENOMEM;
	err = gcl_devices_named(worker, &build->arena, message->devices, message->n_devices,
				&build->chosen);
	if (!err)
		err = build_inputs_get(build, message->headers, message->n_headers, &status);
	if (err)
		return err;
	if (status == CL_SUCCESS)
		status = gcl_program_renew(worker, entry, &message->source);
	if (status == CL_SUCCESS)
		status = build_program_get(build, entry);
	if (status == CL_SUCCESS)
		status = header_names_copy(build, message->header_names, message->n_header_names);
	if (status == CL_SUCCESS)
		status = options_with_arg_info(build, message->options);
	if (status != CL_SUCCESS)
		return build_refuse(build, status);
	build_recipe_begin(build);
	build->after = gcl_recipe_compile(build->before, build_mask(build), message->options,
					  build->input_count, build->recipes, build->names);
	return build_post(&build);
}

static cl_program link_call(const struct build *build, const char *options, cl_int *status)
{
	return clLinkProgram(build->context, build->chosen.count, build_devices(build), options,
			     build->input_count, build->inputs, NULL, NULL, status);
}

static void link_run(struct gcl_job *job)
{
	struct build *build = gcl_container_of(job, struct build, job);
	struct gcl_link *link = build->link;
	cl_int status = CL_SUCCESS;

	link->handle = link_call(build, build->options, &status);
	/* It is an option of compilers only, but some linkers drop the signatures without it. */
	if (status == CL_INVALID_LINKER_OPTIONS)
		link->handle = link_call(build, build->link_options, &status);
	if (!link->handle && status == CL_SUCCESS)
		status = CL_OUT_OF_HOST_MEMORY;
	if (link->handle && status == CL_SUCCESS) {
		status = gcl_program_weigh(build->detail, link->handle, &build->arena, &build->all);
		if (status != CL_SUCCESS)
			clReleaseProgram(steal_pointer(&link->handle));
	}
	build_recipe_end(build, status);
	build_weighed(build);
	link->status = status;
	build->program = link->handle;
	if (build->program)
		clRetainProgram(build->program);
	/* Before the answer, since the guest may use the program as soon as it has that. Pairs with
	 * gcl_program_find(). */
	atomic_store_explicit(&link->done, true, memory_order_release);
	gcl_build_answer(build->worker, &build->arena, build->request, build->program, &build->all,
			 status, NULL);
	build_free(build);
}

/* Context, devices and the place for the result; inputs are there. */
static cl_int link_prepare(struct build *build, const struct gcl_entry *context,
			   const Gcl__ProgramLink *message)
{
	if (context->failed)
		return context->failed;
	clRetainContext(context->handle);
	build->context = context->handle;
	build->link_options = build_string(build, message->options);
	build->link = calloc(1, sizeof *build->link);
	if (!build->link_options || !build->link || options_with_arg_info(build, message->options))
		return CL_OUT_OF_HOST_MEMORY;
	build->link->refs = 1;
	if (!build->chosen.count)
		return gcl_devices_of(build->worker, &build->arena, NULL, build->context,
				      &build->all);
	build->all = build->chosen;
	return CL_SUCCESS;
}

int gcl_handle_program_link(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__ProgramLink *message = (const Gcl__ProgramLink *)call->message;
	struct gcl_entry *context = gcl_table_find(worker, message->context, GCL_KIND_CONTEXT);
	_cleanup_(build_free_cleanup) struct build *build = build_new(worker, call, link_run);
	cl_int status = CL_SUCCESS;
	struct gcl_entry *entry;
	struct gcl_link *link;
	int err;

	if (!context || !message->n_inputs)
		return -EPROTO;
	if (!build)
		return -ENOMEM;
	err = gcl_devices_named(worker, &build->arena, message->devices, message->n_devices,
				&build->chosen);
	if (!err)
		err = build_inputs_get(build, message->inputs, message->n_inputs, &status);
	if (err)
		return err;
	entry = gcl_table_add(worker, message->id, GCL_KIND_PROGRAM);
	if (!entry)
		return -EPROTO;
	build->detail = gcl_program_get(gcl_program_create(worker, entry, context->detail));
	if (!build->detail)
		return -ENOMEM;

	if (status == CL_SUCCESS)
		status = link_prepare(build, context, message);
	if (status != CL_SUCCESS) {
		gcl_object_made(worker, entry, NULL, status);
		return build_refuse(build, status);
	}
	build->after = gcl_recipe_link(message->options, build->input_count, build->recipes);
	link = build->link;
	link->refs++;
	((struct gcl_program *)entry->detail)->link = link;
	err = build_post(&build);
	if (build) {
		build->detail->link = NULL;
		gcl_link_put(link);
		gcl_object_made(worker, entry, NULL, CL_OUT_OF_RESOURCES);
	}
	return err;
}

static void binaries_run(struct gcl_job *job)
{
	struct build *build = gcl_container_of(job, struct build, job);

	gcl_binaries_answer(build->worker, &build->arena, build->request, build->program,
			    steal_pointer(&build->detail), &build->all, CL_SUCCESS);
	build_free(build);
}

int gcl_handle_program_binaries(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__ProgramBinaries *message = (const Gcl__ProgramBinaries *)call->message;
	struct gcl_entry *entry = gcl_program_find(worker, message->program);
	_cleanup_(build_free_cleanup) struct build *build = build_new(worker, call, binaries_run);
	cl_int status;

	if (!entry)
		return -EPROTO;
	if (!build)
		return -ENOMEM;
	status = build_program_get(build, entry);
	if (status == CL_SUCCESS && gcl_builder_post(worker, &build->job))
		status = CL_OUT_OF_RESOURCES;
	if (status == CL_SUCCESS)
		build = NULL;
	else
		gcl_binaries_answer(worker, &build->arena, build->request, NULL, NULL, &build->all,
				    status);
	return 0;
}
