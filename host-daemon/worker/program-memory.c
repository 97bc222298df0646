/*
 * What programs hold of the devices' memory, as far as it can be known.
 *
 * Known for nothing are the sizes of binaries that the guest brings, or fetches. After a build the
 * runtime is asked where that is cheap: a runtime for CPUs may compile every kernel for the answer,
 * which it otherwise does when a kernel is first launched (PoCL takes longer for it than for the
 * build), and a CPU's code is memory of the process, which has limits of its own.
 *
 * A program that turns out to be too large has been built already, and holds what it holds until
 * the runtime lets go of it. So the session thread, which alone may touch entries, makes it anew
 * from its source before it handles the next message about a program.
 */
#include <string.h>

#include "program.h"

const char *const gcl_program_sizes_names[] = {"auto", "always", "never", NULL};

struct gcl_program *gcl_program_create(struct gcl_worker *worker, struct gcl_entry *entry,
				       struct gcl_context *context)
{
	struct gcl_program *program = calloc(1, sizeof *program);

	if (!program)
		return NULL;
	program->refs = 1;
	program->worker = worker;
	program->entry = entry;
	program->context = gcl_context_get(context);
	pthread_mutex_init(&program->lock, NULL);
	entry->detail = program;
	return program;
}

struct gcl_program *gcl_program_get(struct gcl_program *program)
{
	if (program)
		atomic_fetch_add_explicit(&program->refs, 1, memory_order_relaxed);
	return program;
}

static void bytes_give(const struct gcl_program *program, unsigned device, uint64_t bytes)
{
	if (bytes)
		gcl_quota_give(program->worker,
			       (struct gcl_charge){.bytes = bytes, .devices = 1u << device});
}

void gcl_program_put(struct gcl_program *program)
{
	if (!program || atomic_fetch_sub_explicit(&program->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < GCL_PAGE_DEVICES_MAX; i++)
		bytes_give(program, i, program->bytes[i]);
	gcl_recipe_put(program->recipe);
	pthread_mutex_destroy(&program->lock);
	free(program);
}

/* From @program->bytes to @bytes of one device. */
static bool bytes_change_locked(struct gcl_program *program, unsigned device, uint64_t bytes)
{
	uint64_t before = program->bytes[device];
	const struct gcl_charge more = {.bytes = bytes - before, .devices = 1u << device};

	if (bytes > before && gcl_quota_take(program->worker, more) != CL_SUCCESS)
		return false;
	if (bytes < before)
		bytes_give(program, device, before - bytes);
	program->bytes[device] = bytes;
	return true;
}

cl_int gcl_program_charge(struct gcl_program *program, const struct gcl_device_list *devices,
			  const size_t *sizes)
{
	uint64_t bytes[GCL_PAGE_DEVICES_MAX] = {0};
	bool good = true;

	for (cl_uint i = 0; i < devices->count; i++) {
		unsigned index = gcl_worker_page_index(program->worker, devices->handles[i]);

		if (index < GCL_PAGE_DEVICES_MAX)
			bytes[index] += sizes[i];
	}
	pthread_mutex_lock(&program->lock);
	for (unsigned i = 0; good && i < GCL_PAGE_DEVICES_MAX; i++)
		good = bytes_change_locked(program, i, bytes[i]);
	pthread_mutex_unlock(&program->lock);
	return good ? CL_SUCCESS : CL_OUT_OF_RESOURCES;
}

static bool asking_is_cheap(const struct gcl_worker *worker, const struct gcl_device_list *devices)
{
	cl_device_type type;

	if (worker->program_sizes != GCL_PROGRAM_SIZES_AUTO)
		return worker->program_sizes == GCL_PROGRAM_SIZES_ALWAYS;
	for (cl_uint i = 0; i < devices->count; i++) {
		type = CL_DEVICE_TYPE_CPU;
		clGetDeviceInfo(devices->handles[i], CL_DEVICE_TYPE, sizeof type, &type, NULL);
		if (type & CL_DEVICE_TYPE_CPU)
			return false;
	}
	return true;
}

cl_int gcl_program_weigh(struct gcl_program *program, cl_program handle, struct gcl_arena *arena,
			 const struct gcl_device_list *devices)
{
	size_t *sizes;

	if (!asking_is_cheap(program->worker, devices))
		return CL_SUCCESS;
	sizes = gcl_arena_alloc(arena, devices->count * sizeof *sizes);
	if (!sizes)
		return CL_OUT_OF_HOST_MEMORY;
	/* One that does not say has none that could be known. */
	if (clGetProgramInfo(handle, CL_PROGRAM_BINARY_SIZES, devices->count * sizeof *sizes, sizes,
			     NULL) != CL_SUCCESS)
		return CL_SUCCESS;
	return gcl_program_charge(program, devices, sizes);
}

/* ------------------------------------------------------------ programs that are too large */

void gcl_program_refuse(struct gcl_program *program)
{
	struct gcl_program *_Atomic *refused = &program->worker->refused;
	struct gcl_program *first;

	if (atomic_exchange(&program->refused, true))
		return;
	gcl_program_get(program);
	first = atomic_load_explicit(refused, memory_order_relaxed);
	do {
		program->next_refused = first;
	} while (!atomic_compare_exchange_weak_explicit(
		refused, &first, program, memory_order_release, memory_order_relaxed));
}

/* The same program, not built. One that was made of binaries is none any more. */
static cl_program remake(cl_program handle, cl_int *status)
{
	_cleanup_free_ char *source = NULL;
	const char *text;
	cl_context context;
	size_t size = 0;

	*status = clGetProgramInfo(handle, CL_PROGRAM_CONTEXT, sizeof context, &context, NULL);
	if (*status == CL_SUCCESS)
		*status = clGetProgramInfo(handle, CL_PROGRAM_SOURCE, 0, NULL, &size);
	if (*status == CL_SUCCESS && size < 2)
		*status = CL_OUT_OF_RESOURCES;
	if (*status != CL_SUCCESS)
		return NULL;
	source = calloc(1, size + 1);
	*status = CL_OUT_OF_HOST_MEMORY;
	if (source)
		*status = clGetProgramInfo(handle, CL_PROGRAM_SOURCE, size, source, NULL);
	if (*status != CL_SUCCESS)
		return NULL;
	text = source;
	return clCreateProgramWithSource(context, 1, &text, NULL, status);
}

static void let_go(struct gcl_program *program)
{
	struct gcl_entry *entry = program->entry;
	cl_program old;

	if (!entry || !entry->handle)
		return;
	old = entry->handle;
	entry->failed = CL_SUCCESS;
	entry->handle = remake(old, &entry->failed);
	clReleaseProgram(old);
	gcl_program_charge(program, &(struct gcl_device_list){0}, NULL);
	gcl_program_unbuilt(program);
}

void gcl_programs_refused_drop(struct gcl_worker *worker)
{
	struct gcl_program *program;

	if (!atomic_load_explicit(&worker->refused, memory_order_relaxed))
		return;
	program = atomic_exchange_explicit(&worker->refused, NULL, memory_order_acquire);
	while (program) {
		struct gcl_program *next = program->next_refused;

		atomic_store(&program->refused, false);
		let_go(program);
		gcl_program_put(program);
		program = next;
	}
}
