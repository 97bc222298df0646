/*
 * Buffers: creating them, and what memory objects of every kind have in common.
 *
 * A resident object is the heap's own memory; its range belongs to the object until the runtime has
 * let go of it, which the guest is told by MEM_FREED. The guest keeps the program's flags about the
 * host's access and checks them; the runtime never hears of them, since the worker's own transfers
 * must not be refused.
 */
#include "svm.h"

#include <errno.h>
#include <inttypes.h>

#define MEM_FLAGS (CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY)

/* What is to be done on the runtime's thread when it has let go of an object. */
struct freed {
	struct gcl_worker *worker;
	uint64_t id; /* the guest is told MEM_FREED; 0: it isn't */
	struct gcl_charge charge;
};

struct gcl_mem *gcl_mem_use(struct gcl_worker *worker, uint64_t id, struct gcl_command *command,
			    enum gcl_access access)
{
	struct gcl_entry *entry = gcl_table_find(worker, id, GCL_KIND_MEM);
	struct gcl_mem *mem = entry ? entry->detail : NULL;

	if (!mem) {
		gcl_log_peer(call, "no memory object %" PRIx64, id);
		return NULL;
	}
	if (command->failed)
		return mem;
	if (worker->client && gcl_use_note(worker, command, mem, access))
		return NULL;
	if (mem->failed)
		command->failed = mem->failed;
	else if (mem->context != command->queue->context)
		command->failed = CL_INVALID_CONTEXT;
	return mem;
}

struct gcl_mem *gcl_mem_get(struct gcl_mem *mem)
{
	mem->refs++;
	return mem;
}

void gcl_mem_haunt(struct gcl_mem *mem)
{
	for (unsigned i = 1; i < GCL_SIDES && mem->ghost && mem->refs == 1; i++)
		if (mem->handles[i])
			clReleaseMemObject(steal_pointer(&mem->handles[i]));
}

void gcl_mem_put(struct gcl_mem *mem)
{
	if (!mem)
		return;
	if (--mem->refs) {
		gcl_mem_haunt(mem);
		return;
	}
	for (unsigned i = 0; i < GCL_SIDES; i++)
		if (mem->handles[i])
			clReleaseMemObject(mem->handles[i]);
	gcl_contents_fini(&mem->contents);
	gcl_list_remove(&mem->twins);
	gcl_list_remove(&mem->svm_link);
	gcl_context_put(mem->context);
	gcl_mem_put(mem->parent);
	free(mem);
}

void gcl_mem_release(struct gcl_worker *worker, struct gcl_entry *entry)
{
	(void)worker;
	gcl_mem_put(entry->detail);
}

struct gcl_mem *gcl_mem_add(struct gcl_worker *worker, uint64_t id, struct gcl_entry **out)
{
	struct gcl_mem *mem;

	*out = gcl_table_add(worker, id, GCL_KIND_MEM);
	if (!*out)
		return NULL;
	mem = calloc(1, sizeof *mem);
	if (mem) {
		mem->refs = 1;
		gcl_list_init(&mem->twins);
		gcl_list_init(&mem->svm_link);
	}
	(*out)->detail = mem;
	return mem;
}

void gcl_mem_made(struct gcl_worker *worker, struct gcl_entry *entry, cl_mem handle, cl_int status)
{
	struct gcl_mem *mem = entry->detail;

	gcl_object_made(worker, entry, handle, status);
	/* One that was made elsewhere is there already. */
	if (!gcl_mem_away(mem))
		mem->handles[GCL_HOME] = entry->handle;
	mem->failed = entry->failed;
}

void gcl_mem_freed(struct gcl_worker *worker, uint64_t id)
{
	Gcl__MemFreed message = GCL__MEM_FREED__INIT;

	message.id = id;
	gcl_send(worker, GCL_MEM_FREED, &message.base, 0, 0);
}

cl_mem_flags gcl_mem_flags(uint64_t flags)
{
	return flags & MEM_FLAGS;
}

static void CL_CALLBACK mem_freed(cl_mem handle, void *data)
{
	struct freed *freed = data;
	struct gcl_worker *worker = freed->worker;

	(void)handle;
	gcl_quota_give(freed->worker, freed->charge);
	if (freed->id)
		gcl_mem_freed(freed->worker, freed->id);
	free(freed);
	gcl_quota_watch(&worker->quota, false);
}

/* What the runtime says that it holds is charged: more than was expected, or less. */
static cl_int charge_correct(struct gcl_worker *worker, cl_mem handle, struct gcl_charge *charge)
{
	struct gcl_charge difference = *charge;
	size_t size = charge->bytes;
	cl_int status = CL_SUCCESS;

	if (clGetMemObjectInfo(handle, CL_MEM_SIZE, sizeof size, &size, NULL) ||
	    size == charge->bytes)
		return CL_SUCCESS;
	if (size > charge->bytes) {
		difference.bytes = size - charge->bytes;
		status = gcl_quota_take(worker, difference);
	} else {
		difference.bytes = charge->bytes - size;
		gcl_quota_give(worker, difference);
	}
	if (status == CL_SUCCESS)
		charge->bytes = size;
	return status;
}

cl_int gcl_mem_watch(struct gcl_worker *worker, cl_mem *handle, struct gcl_charge charge,
		     uint64_t id)
{
	struct freed *freed = malloc(sizeof *freed);
	cl_int status = freed ? charge_correct(worker, *handle, &charge) : CL_OUT_OF_HOST_MEMORY;

	if (status == CL_SUCCESS) {
		*freed = (struct freed){.worker = worker, .id = id, .charge = charge};
		gcl_quota_watch(&worker->quota, true);
		status = clSetMemObjectDestructorCallback(*handle, mem_freed, freed);
		if (status != CL_SUCCESS)
			gcl_quota_watch(&worker->quota, false);
	}
	if (status != CL_SUCCESS) {
		free(freed);
		clReleaseMemObject(*handle);
		*handle = NULL;
		gcl_quota_give(worker, charge);
	}
	return status;
}

static cl_int buffer_make(struct gcl_worker *worker, const Gcl__BufferCreate *message,
			  const struct gcl_entry *context, cl_mem_flags flags, void *host,
			  cl_mem *handle)
{
	const struct gcl_context *detail = context->detail;
	const struct gcl_charge charge = {.bytes = message->size, .devices = detail->devices};
	cl_int status = context->failed;

	if (status == CL_SUCCESS)
		status = gcl_quota_take(worker, charge);
	if (status != CL_SUCCESS)
		return status;
	*handle = clCreateBuffer(context->handle, flags, message->size, host, &status);
	if (status != CL_SUCCESS)
		gcl_quota_give(worker, charge);
	else
		status = gcl_mem_watch(worker, handle, charge, message->resident ? message->id : 0);
	return status;
}

/* Here; or, if there is no room here, or had none lately, where its queues are. */
static cl_int buffer_make_somewhere(struct gcl_worker *worker, const struct gcl_call *call,
				    struct gcl_mem *mem, const struct gcl_entry *context,
				    cl_mem_flags flags, void *host, cl_mem *handle)
{
	const Gcl__BufferCreate *message = (const Gcl__BufferCreate *)call->message;
	cl_int status;

	if (gcl_context_lean(worker, mem->context) && gcl_mem_elsewhere(worker, mem, host, handle))
		return CL_SUCCESS;
	status = buffer_make(worker, message, context, flags, host, handle);
	if (status == CL_MEM_OBJECT_ALLOCATION_FAILURE && gcl_journal_yield(worker))
		status = buffer_make(worker, message, context, flags, host, handle);
	if (status == CL_MEM_OBJECT_ALLOCATION_FAILURE &&
	    gcl_mem_elsewhere(worker, mem, host, handle))
		status = CL_SUCCESS;
	return status;
}

/* Where the contents come from, or live. Return: 0 or -EPROTO. */
static int buffer_memory(struct gcl_worker *worker, const struct gcl_call *call,
			 cl_mem_flags *flags, void **host)
{
	const Gcl__BufferCreate *message = (const Gcl__BufferCreate *)call->message;
	const struct gcl_frame *head = call->head;

	*host = NULL;
	*flags = gcl_mem_flags(message->flags);
	if (message->resident) {
		/* Beyond the heap lies what is the program's, as it has laid it out. */
		if (!worker->resident || (message->heap_offset < GCL_HEAP_MAX &&
					  message->heap_offset % GCL_RESIDENT_ALIGN))
			return -EPROTO;
		*flags |= CL_MEM_USE_HOST_PTR;
		*host = gcl_channel_heap_ptr(worker->channel, message->heap_offset, message->size);
		return *host ? 0 : -EPROTO;
	}
	if (!head->payload_size)
		return 0;
	*flags |= CL_MEM_COPY_HOST_PTR;
	if (head->payload_size < message->size)
		return -EPROTO;
	*host = gcl_channel_heap_ptr(worker->channel, head->payload_offset, message->size);
	return *host ? 0 : -EPROTO;
}

int gcl_handle_buffer_create(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__BufferCreate *message = (const Gcl__BufferCreate *)call->message;
	struct gcl_entry *context = gcl_table_find(worker, message->context, GCL_KIND_CONTEXT);
	struct gcl_entry *entry;
	cl_mem_flags flags;
	cl_mem handle = NULL;
	cl_int status;
	struct gcl_mem *mem;
	void *host;
	int err;

	if (!context)
		return -EPROTO;
	if (message->svm)
		return gcl_svm_buffer_create(worker, message);
	err = buffer_memory(worker, call, &flags, &host);
	if (err)
		return err;
	mem = gcl_mem_add(worker, message->id, &entry);
	if (!mem)
		return entry ? -ENOMEM : -EPROTO;

	mem->context = gcl_context_get(context->detail);
	mem->type = CL_MEM_OBJECT_BUFFER;
	mem->size = message->size;
	mem->flags = gcl_mem_flags(message->flags);
	gcl_contents_init(&mem->contents, host);
	mem->resident = message->resident;
	status = buffer_make_somewhere(worker, call, mem, context, flags, host, &handle);
	gcl_mem_made(worker, entry, handle, status);
	if (message->resident ? status != CL_SUCCESS : call->head->payload_size != 0)
		gcl_mem_freed(worker, message->id);
	return 0;
}

int gcl_handle_sub_buffer_create(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__SubBufferCreate *message = (const Gcl__SubBufferCreate *)call->message;
	struct gcl_entry *parent_entry = gcl_table_find(worker, message->parent, GCL_KIND_MEM);
	struct gcl_mem *parent = parent_entry ? parent_entry->detail : NULL;
	cl_buffer_region region = {.origin = message->origin, .size = message->size};
	struct gcl_entry *entry;
	cl_mem handle = NULL;
	unsigned side;
	cl_int status;
	struct gcl_mem *mem;
	bool sound;

	if (!parent || gcl_mem_is_image(parent) ||
	    !gcl_range_inside(message->origin, message->size, parent->size))
		return -EPROTO;
	mem = gcl_mem_add(worker, message->id, &entry);
	if (!mem)
		return entry ? -ENOMEM : -EPROTO;

	mem->context = gcl_context_get(parent->context);
	/* There are no parts of parts, but of a buffer that is a part of SVM. */
	sound = !parent->parent || (parent->svm && !parent->parent->parent);
	if (sound)
		mem->parent = gcl_mem_get(parent);
	mem->type = CL_MEM_OBJECT_BUFFER;
	mem->size = message->size;
	mem->flags = gcl_mem_flags(message->flags);
	mem->origin = message->origin;
	status = sound ? parent->failed : CL_INVALID_MEM_OBJECT;
	side = gcl_mem_away(parent);
	if (status == CL_SUCCESS && side)
		handle = gcl_mem_on(worker, mem, side, &status);
	else if (status == CL_SUCCESS)
		handle = clCreateSubBuffer(parent->handles[GCL_HOME], gcl_mem_flags(message->flags),
					   CL_BUFFER_CREATE_TYPE_REGION, &region, &status);
	gcl_mem_made(worker, entry, handle, status);
	return 0;
}

int gcl_handle_migrate(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__Migrate *message = (const Gcl__Migrate *)call->message;
	struct gcl_command command;
	struct gcl_mem **mems;
	cl_mem *handles;
	int err;

	err = gcl_command_begin(worker, message->command, &command);
	if (err)
		return err;
	if (!message->n_mems || message->n_mems > UINT32_MAX)
		return -EPROTO;
	handles = gcl_arena_alloc(&worker->arena, message->n_mems * sizeof(cl_mem));
	mems = gcl_arena_alloc(&worker->arena, message->n_mems * sizeof *mems);
	if (!handles || !mems)
		return -ENOMEM;
	for (size_t i = 0; i < message->n_mems; i++) {
		mems[i] = gcl_mem_use(worker, message->mems[i], &command, GCL_ACCESS_READ);
		if (!mems[i])
			return -EPROTO;
	}
	gcl_settle(worker, &command);
	for (size_t i = 0; i < message->n_mems; i++)
		handles[i] = mems[i]->handles[command.side];
	return GCL_ENQUEUE(worker, &command, clEnqueueMigrateMemObjects, (cl_uint)message->n_mems,
			   handles, message->flags);
}
