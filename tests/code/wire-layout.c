/* SPDX-License-Identifier: MIT */
/*
 * Prints everything that both ends of a channel must agree on, from the tables the code itself
 * uses.
 *
 * wire-layout.txt holds what it printed when the layout was last changed on purpose.
 */
#include "messages.h"

#include "local.h"
#include "ring.h"

#include <inttypes.h>
#include <stdio.h>

#define DESCRIPTORS_MAX 256

#define PRINT_FIELD(type, field)                                                                   \
	printf("  %zu %zu " #field "\n", offsetof(struct type, field),                             \
	       sizeof(((struct type *)0)->field))
#define PRINT_STRUCT(type)                                                                         \
	printf("struct " #type " %zu bytes (offset, size, field)\n", sizeof(struct type))
#define PRINT_CONSTANT(constant) printf(#constant " %#" PRIx64 "\n", (uint64_t)(constant))

static const ProtobufCMessageDescriptor *printed[DESCRIPTORS_MAX];
static size_t printed_count;

static const char *const labels[] = {
	[PROTOBUF_C_LABEL_REQUIRED] = "required",
	[PROTOBUF_C_LABEL_OPTIONAL] = "optional",
	[PROTOBUF_C_LABEL_REPEATED] = "repeated",
	[PROTOBUF_C_LABEL_NONE] = "",
};

static const char *const types[] = {
	[PROTOBUF_C_TYPE_INT32] = "int32",	 [PROTOBUF_C_TYPE_SINT32] = "sint32",
	[PROTOBUF_C_TYPE_SFIXED32] = "sfixed32", [PROTOBUF_C_TYPE_INT64] = "int64",
	[PROTOBUF_C_TYPE_SINT64] = "sint64",	 [PROTOBUF_C_TYPE_SFIXED64] = "sfixed64",
	[PROTOBUF_C_TYPE_UINT32] = "uint32",	 [PROTOBUF_C_TYPE_FIXED32] = "fixed32",
	[PROTOBUF_C_TYPE_UINT64] = "uint64",	 [PROTOBUF_C_TYPE_FIXED64] = "fixed64",
	[PROTOBUF_C_TYPE_FLOAT] = "float",	 [PROTOBUF_C_TYPE_DOUBLE] = "double",
	[PROTOBUF_C_TYPE_BOOL] = "bool",	 [PROTOBUF_C_TYPE_ENUM] = "enum",
	[PROTOBUF_C_TYPE_STRING] = "string",	 [PROTOBUF_C_TYPE_BYTES] = "bytes",
	[PROTOBUF_C_TYPE_MESSAGE] = "message",
};

static void print_structs(void)
{
	PRINT_STRUCT(gcl_frame);
	PRINT_FIELD(gcl_frame, length);
	PRINT_FIELD(gcl_frame, number);
	PRINT_FIELD(gcl_frame, flags);
	PRINT_FIELD(gcl_frame, sequence);
	PRINT_FIELD(gcl_frame, payload_offset);
	PRINT_FIELD(gcl_frame, payload_size);
	PRINT_STRUCT(gcl_ring_shared);
	PRINT_FIELD(gcl_ring_shared, head);
	PRINT_FIELD(gcl_ring_shared, tail);
	PRINT_FIELD(gcl_ring_shared, consumer_sleeps);
	PRINT_FIELD(gcl_ring_shared, producer_sleeps);
	PRINT_STRUCT(gcl_hello);
	PRINT_FIELD(gcl_hello, magic);
	PRINT_FIELD(gcl_hello, version);
	PRINT_FIELD(gcl_hello, commands_size);
	PRINT_FIELD(gcl_hello, completions_size);
	PRINT_FIELD(gcl_hello, heap_size);
	PRINT_FIELD(gcl_hello, pid);
	PRINT_FIELD(gcl_hello, program);
	PRINT_STRUCT(gcl_hello_reply);
	PRINT_FIELD(gcl_hello_reply, magic);
	PRINT_FIELD(gcl_hello_reply, status);
	PRINT_FIELD(gcl_hello_reply, text);
}

static void print_constants(void)
{
	PRINT_CONSTANT(GCL_HELLO_MAGIC);
	PRINT_CONSTANT(GCL_HELLO_VERSION);
	PRINT_CONSTANT(GCL_HELLO_VERSION_MISMATCH);
	PRINT_CONSTANT(GCL_HELLO_MALFORMED);
	PRINT_CONSTANT(GCL_HELLO_BUSY);
	PRINT_CONSTANT(GCL_HELLO_FAILED);
	PRINT_CONSTANT(GCL_FD_RING);
	PRINT_CONSTANT(GCL_FD_HEAP);
	PRINT_CONSTANT(GCL_FD_WAKE_GUEST);
	PRINT_CONSTANT(GCL_FD_WAKE_WORKER);
	PRINT_CONSTANT(GCL_FRAME_MORE);
	PRINT_CONSTANT(GCL_FRAME_MAX);
	PRINT_CONSTANT(GCL_ARG_VALUE);
	PRINT_CONSTANT(GCL_ARG_BUFFER);
	PRINT_CONSTANT(GCL_ARG_IMAGE);
	PRINT_CONSTANT(GCL_ARG_SAMPLER);
	PRINT_CONSTANT(GCL_ARG_LOCAL);
	PRINT_CONSTANT(gcl_id(GCL_KIND_PLATFORM, 2, 1));
	PRINT_CONSTANT(gcl_id(GCL_KIND_DEVICE, 2, 1));
	PRINT_CONSTANT(gcl_id(GCL_KIND_CONTEXT, 2, 1));
	PRINT_CONSTANT(gcl_id(GCL_KIND_QUEUE, 2, 1));
	PRINT_CONSTANT(gcl_id(GCL_KIND_MEM, 2, 1));
	PRINT_CONSTANT(gcl_id(GCL_KIND_SAMPLER, 2, 1));
	PRINT_CONSTANT(gcl_id(GCL_KIND_PROGRAM, 2, 1));
	PRINT_CONSTANT(gcl_id(GCL_KIND_KERNEL, 2, 1));
	PRINT_CONSTANT(gcl_id(GCL_KIND_EVENT, 2, 1));
}

/* Each message once, and the messages inside it after it. */
static void print_message(const ProtobufCMessageDescriptor *message)
{
	for (size_t i = 0; i < printed_count; i++) {
		if (printed[i] == message)
			return;
	}
	if (printed_count == DESCRIPTORS_MAX)
		return;
	printed[printed_count++] = message;
	printf("message %s\n", message->name);
	for (unsigned i = 0; i < message->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->fields[i];
		const ProtobufCMessageDescriptor *inner =
			field->type == PROTOBUF_C_TYPE_MESSAGE ? field->descriptor : NULL;

		printf("  %u %s %s%s%s\n", field->id, field->name, labels[field->label],
		       labels[field->label][0] ? " " : "",
		       inner ? inner->name : types[field->type]);
	}
	for (unsigned i = 0; i < message->n_fields; i++) {
		if (message->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
			print_message(message->fields[i].descriptor);
	}
}

int main(void)
{
	print_structs();
	print_constants();
	for (unsigned number = 0; number < GCL_MESSAGE_LIMIT; number++) {
		if (gcl_message_descriptor(number))
			printf("number %u %s\n", number, gcl_message_descriptor(number)->name);
	}
	for (unsigned number = 0; number < GCL_MESSAGE_LIMIT; number++) {
		if (gcl_message_descriptor(number))
			print_message(gcl_message_descriptor(number));
	}
	return 0;
}
