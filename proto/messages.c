/*
 * Message table and unpacking into arenas.
 */
#include "messages.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_BLOCK_MIN 16384u

struct gcl_arena_block {
	struct gcl_arena_block *next;
	size_t size;
	_Alignas(16) uint8_t data[];
};

static const ProtobufCMessageDescriptor *const descriptors[GCL_MESSAGE_LIMIT] = {
#define GCL_MESSAGE_DESCRIPTOR(number, constant, type) [number] = &gcl__##type##__descriptor,
	GCL_MESSAGES(GCL_MESSAGE_DESCRIPTOR)
#undef GCL_MESSAGE_DESCRIPTOR
};

static const char *const names[GCL_MESSAGE_LIMIT] = {
#define GCL_MESSAGE_NAME(number, constant, type) [number] = #type,
	GCL_MESSAGES(GCL_MESSAGE_NAME)
#undef GCL_MESSAGE_NAME
};

const ProtobufCMessageDescriptor *gcl_message_descriptor(unsigned number)
{
	return number < GCL_MESSAGE_LIMIT ? descriptors[number] : NULL;
}

const char *gcl_message_name(unsigned number)
{
	return number < GCL_MESSAGE_LIMIT && names[number] ? names[number] : "unknown";
}

static void *arena_alloc_cb(void *data, size_t size)
{
	return gcl_arena_alloc(data, size);
}

static void arena_free_cb(void *data, void *pointer)
{
	(void)data;
	(void)pointer;
}

void gcl_arena_init(struct gcl_arena *arena)
{
	memset(arena, 0, sizeof *arena);
	arena->limit = SIZE_MAX;
	arena->allocator.alloc = arena_alloc_cb;
	arena->allocator.free = arena_free_cb;
	arena->allocator.allocator_data = arena;
}

/* Keeps the first block when it is of ordinary size, so that the usual message costs no malloc. */
void gcl_arena_reset(struct gcl_arena *arena)
{
	while (arena->blocks &&
	       (arena->blocks->next || arena->blocks->size > 4 * ARENA_BLOCK_MIN)) {
		struct gcl_arena_block *next = arena->blocks->next;

		free(arena->blocks);
		arena->blocks = next;
	}
	arena->used = 0;
	arena->total = 0;
}

void gcl_arena_fini(struct gcl_arena *arena)
{
	gcl_arena_reset(arena);
	free(arena->blocks);
	arena->blocks = NULL;
}

void *gcl_arena_alloc(struct gcl_arena *arena, size_t size)
{
	struct gcl_arena_block *block = arena->blocks;
	void *result;

	if (size > arena->limit - 15 || arena->total > arena->limit - 15 - size)
		return NULL;
	size = (size + 15) & ~(size_t)15;
	if (!block || size > block->size - arena->used) {
		size_t room = size > ARENA_BLOCK_MIN ? size : ARENA_BLOCK_MIN;

		block = malloc(sizeof *block + room);
		if (!block)
			return NULL;
		block->size = room;
		block->next = arena->blocks;
		arena->blocks = block;
		arena->used = 0;
	}
	result = block->data + arena->used;
	arena->used += size;
	arena->total += size;
	return result;
}

ProtobufCMessage *gcl_message_unpack(struct gcl_arena *arena, unsigned number, const void *body,
				     size_t size)
{
	const ProtobufCMessageDescriptor *descriptor = gcl_message_descriptor(number);

	if (!descriptor)
		return NULL;
	gcl_arena_reset(arena);
	arena->limit = GCL_ARENA_LIMIT(size);
	return protobuf_c_message_unpack(descriptor, &arena->allocator, size, body);
}
