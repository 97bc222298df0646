/*
 * Pools of objects, one for each kind, whose memory is never given back.
 *
 * A pool grows by chunks; a slot's number is its index, found by chunk and offset. Free slots are
 * used again last in, first out. Must not: tell the host anything, know what the objects hold.
 */
#include "object.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define CHUNK_OBJECTS 256u
#define CHUNKS_MAX    (GCL_OBJECTS_MAX / CHUNK_OBJECTS)

/* In front of each object, outlives it. */
struct slot {
	uint32_t index;
	uint32_t generation;
	struct slot *next_free;
	struct gcl_object object;
};

#define SLOT_HEADER offsetof(struct slot, object)

struct pool {
	pthread_mutex_t lock;
	size_t slot_size;
	uint32_t chunk_count;
	struct slot *free;
	char *chunks[CHUNKS_MAX];
};

#define POOL(kind, type)                                                                           \
	[kind] = {.lock = PTHREAD_MUTEX_INITIALIZER, .slot_size = SLOT_HEADER + sizeof(type)}

static struct pool pools[GCL_KIND_COUNT] = {
	POOL(GCL_KIND_PLATFORM, struct _cl_platform_id),
	POOL(GCL_KIND_DEVICE, struct _cl_device_id),
	POOL(GCL_KIND_CONTEXT, struct _cl_context),
	POOL(GCL_KIND_QUEUE, struct _cl_command_queue),
	POOL(GCL_KIND_MEM, struct _cl_mem),
	POOL(GCL_KIND_SAMPLER, struct _cl_sampler),
	POOL(GCL_KIND_PROGRAM, struct _cl_program),
	POOL(GCL_KIND_KERNEL, struct _cl_kernel),
	POOL(GCL_KIND_EVENT, struct _cl_event),
};

static size_t slot_stride(const struct pool *pool)
{
	return (pool->slot_size + 63) & ~(size_t)63;
}

static struct slot *slot_at(const struct pool *pool, uint32_t index)
{
	if (index / CHUNK_OBJECTS >= pool->chunk_count)
		return NULL;
	return (struct slot *)(void *)(pool->chunks[index / CHUNK_OBJECTS] +
				       index % CHUNK_OBJECTS * slot_stride(pool));
}

static struct slot *slot_of(void *object)
{
	return gcl_container_of(object, struct slot, object);
}

static int pool_grow_locked(struct pool *pool)
{
	size_t stride = slot_stride(pool);
	uint32_t first = pool->chunk_count * CHUNK_OBJECTS;
	char *chunk;

	if (pool->chunk_count == CHUNKS_MAX)
		return -ENOMEM;
	chunk = aligned_alloc(64, CHUNK_OBJECTS * stride);
	if (!chunk)
		return -ENOMEM;
	memset(chunk, 0, CHUNK_OBJECTS * stride);
	pool->chunks[pool->chunk_count++] = chunk;
	for (uint32_t i = CHUNK_OBJECTS; i-- > 0;) {
		struct slot *slot = (struct slot *)(void *)(chunk + i * stride);

		slot->index = first + i;
		slot->next_free = pool->free;
		pool->free = slot;
	}
	return 0;
}

void *gcl_object_new(enum gcl_kind kind, struct gcl_session *session)
{
	struct pool *pool = &pools[kind];
	struct slot *slot;
	struct gcl_object *object;

	pthread_mutex_lock(&pool->lock);
	if (!pool->free && pool_grow_locked(pool)) {
		pthread_mutex_unlock(&pool->lock);
		return NULL;
	}
	slot = pool->free;
	pool->free = slot->next_free;
	slot->generation = (slot->generation + 1) & 0xffffffu;
	object = &slot->object;
	memset(object, 0, pool->slot_size - SLOT_HEADER);
	object->dispatch = &gcl_dispatch;
	object->id = gcl_id(kind, slot->generation, slot->index);
	object->session = session;
	atomic_store_explicit(&object->refs, 1, memory_order_relaxed);
	atomic_store_explicit(&object->magic, gcl_magic(kind), memory_order_release);
	pthread_mutex_unlock(&pool->lock);
	return object;
}

void gcl_object_free(void *handle)
{
	struct gcl_object *object = handle;
	struct slot *slot = slot_of(handle);
	struct pool *pool = &pools[gcl_id_kind(object->id)];

	pthread_mutex_lock(&pool->lock);
	atomic_store_explicit(&object->magic, 0, memory_order_release);
	slot->next_free = pool->free;
	pool->free = slot;
	pthread_mutex_unlock(&pool->lock);
}

/* An object whose last reference is gone must not come back to life: its owner is tearing it down.
 */
static bool object_get_live_locked(struct gcl_object *object)
{
	uint32_t refs = atomic_load_explicit(&object->refs, memory_order_relaxed);

	while (refs > 0)
		if (atomic_compare_exchange_weak_explicit(&object->refs, &refs, refs + 1,
							  memory_order_relaxed,
							  memory_order_relaxed))
			return true;
	return false;
}

/* Of the slot's live object: a host must not reach the objects that others are hosts of. */
static bool slot_belongs_locked(struct slot *slot, const struct gcl_session *session,
				enum gcl_kind kind)
{
	return slot && gcl_valid(&slot->object, kind) && slot->object.session == session;
}

void *gcl_object_lookup(const struct gcl_session *session, uint64_t id, enum gcl_kind kind)
{
	struct pool *pool = &pools[kind];
	struct slot *slot;
	void *found = NULL;

	if (gcl_id_kind(id) != kind)
		return NULL;
	pthread_mutex_lock(&pool->lock);
	slot = slot_at(pool, gcl_id_index(id));
	if (slot_belongs_locked(slot, session, kind) && slot->object.id == id &&
	    object_get_live_locked(&slot->object))
		found = &slot->object;
	pthread_mutex_unlock(&pool->lock);
	return found;
}

bool gcl_object_exists(const void *address, enum gcl_kind kind)
{
	uintptr_t object = (uintptr_t)address - SLOT_HEADER;
	struct pool *pool = &pools[kind];
	size_t stride = slot_stride(pool);
	bool found = false;

	pthread_mutex_lock(&pool->lock);
	for (uint32_t i = 0; i < pool->chunk_count && !found; i++) {
		uintptr_t offset = object - (uintptr_t)pool->chunks[i];

		found = offset < CHUNK_OBJECTS * stride && offset % stride == 0 &&
			gcl_valid(address, kind);
	}
	pthread_mutex_unlock(&pool->lock);
	return found;
}

/* The object's creation was posted, and the host could not do it: each use fails from here on. */
void gcl_on_object_failed(struct gcl_session *session, const struct gcl_frame *head,
			  const Gcl__ObjectFailed *message)
{
	enum gcl_kind kind = gcl_id_kind(message->id);
	struct pool *pool;
	struct slot *slot;

	(void)head;
	if (kind <= GCL_KIND_NONE || kind >= GCL_KIND_COUNT || message->status >= 0)
		return;
	gcl_log_debug(call, "the host could not make object %#llx: %d",
		      (unsigned long long)message->id, message->status);
	pool = &pools[kind];
	pthread_mutex_lock(&pool->lock);
	slot = slot_at(pool, gcl_id_index(message->id));
	if (slot_belongs_locked(slot, session, kind) && slot->object.id == message->id)
		atomic_store_explicit(&slot->object.failed, message->status, memory_order_relaxed);
	pthread_mutex_unlock(&pool->lock);
}

void gcl_object_each(const struct gcl_session *session, enum gcl_kind kind,
		     void (*visit)(void *object, void *data), void *data)
{
	struct pool *pool = &pools[kind];

	for (uint32_t index = 0;; index++) {
		struct slot *slot;
		bool live;

		pthread_mutex_lock(&pool->lock);
		slot = slot_at(pool, index);
		live = slot_belongs_locked(slot, session, kind) &&
		       object_get_live_locked(&slot->object);
		pthread_mutex_unlock(&pool->lock);
		if (!slot)
			return;
		if (live)
			visit(&slot->object, data);
	}
}

size_t gcl_object_count(const struct gcl_session *session)
{
	size_t count = 0;

	for (enum gcl_kind kind = GCL_KIND_NONE + 1; kind < GCL_KIND_COUNT; kind++) {
		struct pool *pool = &pools[kind];

		pthread_mutex_lock(&pool->lock);
		for (uint32_t i = 0; i < pool->chunk_count * CHUNK_OBJECTS; i++)
			count += slot_belongs_locked(slot_at(pool, i), session, kind);
		pthread_mutex_unlock(&pool->lock);
	}
	return count;
}

void gcl_object_fork_prepare(void)
{
	for (int kind = 1; kind < GCL_KIND_COUNT; kind++)
		pthread_mutex_lock(&pools[kind].lock);
}

void gcl_object_fork_done(void)
{
	for (int kind = GCL_KIND_COUNT - 1; kind > 0; kind--)
		pthread_mutex_unlock(&pools[kind].lock);
}
