/*
 * The messages: one table from which numbers, names, descriptors and handlers come.
 *
 * GCL_MESSAGES_TO_WORKER and GCL_MESSAGES_TO_GUEST list (number, constant, protobuf-c type name).
 * Numbers are part of the wire format: they are never used again.
 */
#ifndef GCL_MESSAGES_H
#define GCL_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "context.pb-c.h"
#include "device.pb-c.h"
#include "event.pb-c.h"
#include "image.pb-c.h"
#include "kernel.pb-c.h"
#include "memory.pb-c.h"
#include "program.pb-c.h"
#include "queue.pb-c.h"
#include "session.pb-c.h"
#include "svm.pb-c.h"

/* Behind a platform's own CL_PLATFORM_VERSION, before guestcl's: what tells it from the same
 * platform without guestcl. Its name is the host's, as programs look for it. */
#define GCL_PLATFORM_MARK " (guestcl "

/* clang-format off */
#define GCL_MESSAGES_TO_WORKER(X)                                  \
	X(1,  RELEASE, release)                                    \
	X(2,  SUB_DEVICES_CREATE, sub_devices_create)              \
	X(3,  CONTEXT_CREATE, context_create)                      \
	X(4,  QUEUE_CREATE, queue_create)                          \
	X(5,  QUEUE_FLUSH, queue_flush)                            \
	X(6,  QUEUE_SYNC, queue_sync)                              \
	X(7,  MARKER, marker)                                      \
	X(8,  BARRIER, barrier)                                    \
	X(9,  USER_EVENT_CREATE, user_event_create)                \
	X(10, USER_EVENT_SET, user_event_set)                      \
	X(11, BUFFER_CREATE, buffer_create)                        \
	X(12, SUB_BUFFER_CREATE, sub_buffer_create)                \
	X(13, BUFFER_READ, buffer_read)                            \
	X(14, BUFFER_WRITE, buffer_write)                          \
	X(15, BUFFER_READ_RECT, buffer_read_rect)                  \
	X(16, BUFFER_WRITE_RECT, buffer_write_rect)                \
	X(17, BUFFER_COPY, buffer_copy)                            \
	X(18, BUFFER_COPY_RECT, buffer_copy_rect)                  \
	X(19, BUFFER_FILL, buffer_fill)                            \
	X(20, MIGRATE, migrate)                                    \
	X(21, IMAGE_CREATE, image_create)                          \
	X(22, IMAGE_READ, image_read)                              \
	X(23, IMAGE_WRITE, image_write)                            \
	X(24, IMAGE_COPY, image_copy)                              \
	X(25, IMAGE_FILL, image_fill)                              \
	X(26, IMAGE_TO_BUFFER, image_to_buffer)                    \
	X(27, BUFFER_TO_IMAGE, buffer_to_image)                    \
	X(28, SAMPLER_CREATE, sampler_create)                      \
	X(29, PROGRAM_CREATE_SOURCE, program_create_source)        \
	X(30, PROGRAM_CREATE_BINARY, program_create_binary)        \
	X(31, PROGRAM_CREATE_BUILT_IN, program_create_built_in)    \
	X(32, PROGRAM_BUILD, program_build)                        \
	X(33, PROGRAM_COMPILE, program_compile)                    \
	X(34, PROGRAM_LINK, program_link)                          \
	X(35, PROGRAM_BINARIES, program_binaries)                  \
	X(36, KERNEL_CREATE, kernel_create)                        \
	X(37, ARG_PROBE, arg_probe)                                \
	X(38, LAUNCH, launch)                                      \
	X(39, SVM_CREATE, svm_create)                              \
	X(40, SVM_REACH, svm_reach)                                \
	X(41, SUB_GROUP_ASK, sub_group_ask)                        \
	X(42, PROGRAM_CREATE_IL, program_create_il)                \
	X(43, PROGRAM_SPECIALIZE, program_specialize)              \
	X(44, LOCAL_SIZE_ASK, local_size_ask)

#define GCL_MESSAGES_TO_GUEST(X)                                   \
	X(129, WELCOME, welcome)                                   \
	X(130, CONTEXT_NOTICE, context_notice)                     \
	X(131, PRINT, print)                                       \
	X(132, OBJECT_FAILED, object_failed)                       \
	X(133, QUEUE_DONE, queue_done)                             \
	X(134, QUEUE_FAILED, queue_failed)                         \
	X(135, EVENT_DONE, event_done)                             \
	X(136, MEM_FREED, mem_freed)                               \
	X(137, ANSWER_SUB_DEVICES, sub_devices_answer)             \
	X(138, ANSWER_BUILD, build_answer)                         \
	X(139, ANSWER_BINARIES, binaries_answer)                   \
	X(140, ANSWER_ARG_PROBE, arg_probe_answer)                 \
	X(141, SESSION_ENDED, session_ended)                       \
	X(142, ANSWER_SVM, svm_answer)                             \
	X(143, ANSWER_SIZES, sizes_answer)                 \
	X(144, ANSWER_SPECIALIZE, specialize_answer)
/* clang-format on */

#define GCL_MESSAGES(X) GCL_MESSAGES_TO_WORKER(X) GCL_MESSAGES_TO_GUEST(X)

enum gcl_message {
#define GCL_MESSAGE_ENUM(number, constant, type) GCL_##constant = (number),
	GCL_MESSAGES(GCL_MESSAGE_ENUM)
#undef GCL_MESSAGE_ENUM
		GCL_MESSAGE_LIMIT = 160
};

/* What a kernel argument is; sent in ArgInfo.kind and Argument.kind. */
enum gcl_arg_kind {
	GCL_ARG_UNKNOWN,
	GCL_ARG_VALUE,
	GCL_ARG_BUFFER, /* __global or __constant pointer */
	GCL_ARG_IMAGE,
	GCL_ARG_SAMPLER,
	GCL_ARG_LOCAL,
	GCL_ARG_KIND_COUNT
};

/* Object ids: kind in the top 8 bits, generation in the next 24, index in the low 32. */
enum gcl_kind {
	GCL_KIND_NONE,
	GCL_KIND_PLATFORM,
	GCL_KIND_DEVICE,
	GCL_KIND_CONTEXT,
	GCL_KIND_QUEUE,
	GCL_KIND_MEM,
	GCL_KIND_SAMPLER,
	GCL_KIND_PROGRAM,
	GCL_KIND_KERNEL,
	GCL_KIND_EVENT,
	GCL_KIND_COUNT
};

static inline uint64_t gcl_id(enum gcl_kind kind, uint32_t generation, uint32_t index)
{
	return (uint64_t)kind << 56 | (uint64_t)(generation & 0xffffffu) << 32 | index;
}

static inline enum gcl_kind gcl_id_kind(uint64_t id)
{
	return (enum gcl_kind)(id >> 56);
}

static inline uint32_t gcl_id_generation(uint64_t id)
{
	return (uint32_t)(id >> 32) & 0xffffffu;
}

static inline uint32_t gcl_id_index(uint64_t id)
{
	return (uint32_t)id;
}

/** gcl_message_descriptor() - how to unpack a message, or NULL when there is none of that number.
 */
const ProtobufCMessageDescriptor *gcl_message_descriptor(unsigned number);

/** gcl_message_name() - "launch", or "unknown". */
const char *gcl_message_name(unsigned number);

/**
 * struct gcl_arena - memory that an unpacked message lies in; reset drops all of it at once.
 *
 * A message may take at most @limit bytes when unpacked: a small frame can describe very many empty
 * parts.
 */
struct gcl_arena {
	struct gcl_arena_block *blocks;
	size_t used;  /* in the first block */
	size_t total; /* handed out since the last reset */
	size_t limit;
	ProtobufCAllocator allocator;
};

/* Unpacked size allowed for a packed message of n bytes. */
#define GCL_ARENA_LIMIT(n) (65536u + 32u * (size_t)(n))

void gcl_arena_init(struct gcl_arena *arena);
void gcl_arena_reset(struct gcl_arena *arena);
void gcl_arena_fini(struct gcl_arena *arena);

/** gcl_arena_alloc() - 16-byte aligned memory, or NULL beyond the limit or without memory. */
void *gcl_arena_alloc(struct gcl_arena *arena, size_t size);

/**
 * gcl_message_unpack() - unpack a body (private memory, not shared) into @arena, which is reset
 * first. Return: the message, valid until the next reset, or NULL when number or body are
 * malformed.
 */
ProtobufCMessage *gcl_message_unpack(struct gcl_arena *arena, unsigned number, const void *body,
				     size_t size);

#endif
