/*
 * What the guest's ids stand for.
 *
 * One table for each kind, indexed by the id's index; the rest of the id (kind and generation) has
 * to match exactly, so that an id used after its release finds nothing. Entries never move. Belongs
 * to the session thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "worker.h"

typedef void release_fn(struct gcl_worker *worker, struct gcl_entry *entry);

/* Platforms are never released: they belong to the runtime. */
static release_fn *const release_by_kind[GCL_KIND_COUNT] = {
	[GCL_KIND_DEVICE] = gcl_device_release,	  [GCL_KIND_CONTEXT] = gcl_context_release,
	[GCL_KIND_QUEUE] = gcl_queue_release,	  [GCL_KIND_MEM] = gcl_mem_release,
	[GCL_KIND_SAMPLER] = gcl_sampler_release, [GCL_KIND_PROGRAM] = gcl_program_release,
	[GCL_KIND_KERNEL] = gcl_kernel_release,	  [GCL_KIND_EVENT] = gcl_event_release,
};

/* At the end of the session, users go before what they use. */
static const enum gcl_kind release_order[] = {GCL_KIND_EVENT,	GCL_KIND_KERNEL, GCL_KIND_PROGRAM,
					      GCL_KIND_SAMPLER, GCL_KIND_MEM,	 GCL_KIND_QUEUE,
					      GCL_KIND_CONTEXT, GCL_KIND_DEVICE, GCL_KIND_PLATFORM};

/* The place of @id in its table, or NULL where nothing was ever put. */
static struct gcl_entry *slot(struct gcl_worker *worker, uint64_t id, enum gcl_kind kind)
{
	const struct gcl_table *table = &worker->tables[kind];
	uint32_t index = gcl_id_index(id);
	size_t chunk = index / GCL_TABLE_CHUNK;

	if (chunk >= table->chunk_count || !table->chunks[chunk])
		return NULL;
	return &table->chunks[chunk][index % GCL_TABLE_CHUNK];
}

/* Makes sure that slot() finds a place for @index. */
static bool table_reach(struct gcl_table *table, uint32_t index)
{
	size_t chunk = index / GCL_TABLE_CHUNK;

	if (chunk >= table->chunk_count) {
		size_t count = GCL_MAX(chunk + 1, table->chunk_count * 2);
		struct gcl_entry **chunks =
			reallocarray(table->chunks, count, sizeof *table->chunks);

		if (!chunks)
			return false;
		for (size_t i = table->chunk_count; i < count; i++)
			chunks[i] = NULL;
		table->chunks = chunks;
		table->chunk_count = count;
	}
	if (!table->chunks[chunk])
		table->chunks[chunk] = calloc(GCL_TABLE_CHUNK, sizeof(**table->chunks));
	return table->chunks[chunk] != NULL;
}

struct gcl_entry *gcl_table_add(struct gcl_worker *worker, uint64_t id, enum gcl_kind kind)
{
	struct gcl_entry *entry;

	if (gcl_id_kind(id) != kind || gcl_id_index(id) >= GCL_OBJECTS_MAX ||
	    !table_reach(&worker->tables[kind], gcl_id_index(id)))
		return NULL;
	entry = slot(worker, id, kind);
	if (entry->id)
		return NULL;
	*entry = (struct gcl_entry){.id = id};
	worker->tables[kind].live++;
	return entry;
}

struct gcl_entry *gcl_table_find(struct gcl_worker *worker, uint64_t id, enum gcl_kind kind)
{
	struct gcl_entry *entry;

	/* An id of 0 has no kind, so it never matches a free entry. */
	if (gcl_id_kind(id) != kind)
		return NULL;
	entry = slot(worker, id, kind);
	if (entry && entry->id == id)
		return entry;
	return worker->sides.replaying ? gcl_replay_find(worker, id) : NULL;
}

/* Chunks are found by what lies in them: an entry doesn't say its index when it is free. */
struct gcl_entry *gcl_table_next(const struct gcl_table *table, const struct gcl_entry *entry)
{
	size_t at = entry ? gcl_id_index(entry->id) + (size_t)1 : 0;

	for (; at < table->chunk_count * GCL_TABLE_CHUNK; at++) {
		struct gcl_entry *chunk = table->chunks[at / GCL_TABLE_CHUNK];

		if (!chunk)
			at += GCL_TABLE_CHUNK - 1 - at % GCL_TABLE_CHUNK;
		else if (chunk[at % GCL_TABLE_CHUNK].id)
			return &chunk[at % GCL_TABLE_CHUNK];
	}
	return NULL;
}

void gcl_table_remove(struct gcl_worker *worker, struct gcl_entry *entry)
{
	worker->tables[gcl_id_kind(entry->id)].live--;
	*entry = (struct gcl_entry){0};
}

void gcl_object_made(struct gcl_worker *worker, struct gcl_entry *entry, void *handle,
		     cl_int status)
{
	Gcl__ObjectFailed failed = GCL__OBJECT_FAILED__INIT;

	/* A runtime that says neither is treated as one that failed. */
	if (status == CL_SUCCESS && !handle)
		status = CL_OUT_OF_HOST_MEMORY;
	entry->failed = status;
	if (status == CL_SUCCESS) {
		entry->handle = handle;
		return;
	}
	entry->handle = NULL;
	gcl_page_count_error(worker->page);
	failed.id = entry->id;
	failed.status = status;
	gcl_send(worker, GCL_OBJECT_FAILED, &failed.base, 0, 0);
}

void gcl_object_release(struct gcl_worker *worker, struct gcl_entry *entry)
{
	release_by_kind[gcl_id_kind(entry->id)](worker, entry);
}

int gcl_handle_release(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__Release *message = (const Gcl__Release *)call->message;
	enum gcl_kind kind = gcl_id_kind(message->id);
	struct gcl_entry *entry;

	if (kind >= GCL_KIND_COUNT || !release_by_kind[kind])
		return -EPROTO;
	entry = gcl_table_find(worker, message->id, kind);
	if (!entry)
		return -EPROTO;
	if (!gcl_journal_keep(worker, entry))
		gcl_object_release(worker, entry);
	gcl_table_remove(worker, entry);
	return 0;
}

static void table_fini(struct gcl_worker *worker, enum gcl_kind kind)
{
	struct gcl_table *table = &worker->tables[kind];

	for (size_t i = 0; i < table->chunk_count; i++) {
		struct gcl_entry *chunk = table->chunks[i];

		for (size_t j = 0; chunk && release_by_kind[kind] && j < GCL_TABLE_CHUNK; j++)
			if (chunk[j].id)
				release_by_kind[kind](worker, &chunk[j]);
		free(chunk);
	}
	free(table->chunks);
	*table = (struct gcl_table){0};
}

void gcl_tables_fini(struct gcl_worker *worker)
{
	for (size_t i = 0; i < GCL_ARRAY_SIZE(release_order); i++)
		table_fini(worker, release_order[i]);
}
