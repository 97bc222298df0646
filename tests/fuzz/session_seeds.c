/*
 * The seeds of session_fuzz: sessions as a correct guest would have them, one a file.
 *
 * "session_seeds FOLDER" writes them, "session_seeds --check FOLDER" compares what is there with
 * what would be written: the messages may have changed since.
 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "messages.h"
#include "session-limits.h"
#include "session_fuzz.h"

/* OpenCL's numbers, of which messages are full. */
enum {
	QUEUE_OUT_OF_ORDER = 1,
	QUEUE_PROFILING = 2,
	IMAGE2D = 0x10F1,
	IMAGE3D = 0x10F2,
	RGBA = 0x10B5,
	UNORM_INT8 = 0x10D2,
	PARTITION_EQUALLY = 0x1086,
	ADDRESS_CLAMP = 0x1132,
	FILTER_NEAREST = 0x1140,
	MAX_SUB_GROUP_SIZE = 0x2033,
	LOCAL_SIZE_FOR_COUNT = 0x11B8
};

static FILE *out;

static const uint64_t device = (uint64_t)GCL_KIND_DEVICE << 56 | 1ull << 32;
static const uint64_t context = (uint64_t)GCL_KIND_CONTEXT << 56;
static const uint64_t queue = (uint64_t)GCL_KIND_QUEUE << 56;
static const uint64_t sampler = (uint64_t)GCL_KIND_SAMPLER << 56;
static const uint64_t kernel = (uint64_t)GCL_KIND_KERNEL << 56;

static uint64_t mem(uint32_t index)
{
	return gcl_id(GCL_KIND_MEM, 0, index);
}

static uint64_t program(uint32_t index)
{
	return gcl_id(GCL_KIND_PROGRAM, 0, index);
}

static uint64_t event(uint32_t index)
{
	return gcl_id(GCL_KIND_EVENT, 0, index);
}

static void put_payload(enum gcl_message number, const void *message, uint32_t payload_offset,
			uint32_t payload_size)
{
	struct session_fuzz_record record = {
		.number = (uint8_t)number,
		.flags = payload_size ? SESSION_FUZZ_PAYLOAD : 0,
		.payload_offset = payload_offset,
		.payload_size = payload_size,
	};
	size_t size = protobuf_c_message_get_packed_size(message);
	_cleanup_free_ uint8_t *body = malloc(size + 1);

	if (!body)
		abort();
	protobuf_c_message_pack(message, body);
	record.body_size = (uint16_t)size;
	fwrite(&record, sizeof record, 1, out);
	fwrite(body, size, 1, out);
}

/* One message: constant, type and name of its number as in messages.h, payload, fields. */
#define PUT_PAYLOAD(CONSTANT, Type, type, offset, size, ...)                                       \
	do {                                                                                       \
		Gcl__##Type message_ = {                                                           \
			.base = PROTOBUF_C_MESSAGE_INIT(&gcl__##type##__descriptor), __VA_ARGS__}; \
		put_payload(GCL_##CONSTANT, &message_, offset, size);                              \
	} while (0)

#define PUT(CONSTANT, Type, type, ...) PUT_PAYLOAD(CONSTANT, Type, type, 0, 0, __VA_ARGS__)

#define COMMAND(...)                                                                               \
	.command = &(Gcl__Command)                                                                 \
	{                                                                                          \
		.base = PROTOBUF_C_MESSAGE_INIT(&gcl__command__descriptor), .queue = queue,        \
		__VA_ARGS__                                                                        \
	}

#define BOX(field, X, Y, Z)                                                                        \
	.field = &(Gcl__Box)                                                                       \
	{                                                                                          \
		.base = PROTOBUF_C_MESSAGE_INIT(&gcl__box__descriptor), .x = (X), .y = (Y),        \
		.z = (Z)                                                                           \
	}

#define LIST(field, ...)                                                                           \
	.n_##field = sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), .field = (uint64_t[])   \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

#define BYTES(text)                                                                                \
	{                                                                                          \
		.len = sizeof(text) - 1, .data = (uint8_t *)(text)                                 \
	}

static void context_put(uint64_t properties)
{
	PUT(CONTEXT_CREATE, ContextCreate, context_create, .id = context, LIST(devices, device));
	PUT(QUEUE_CREATE, QueueCreate, queue_create, .id = queue, .context = context,
	    .device = device, .properties = properties);
}

static void sync_put(void)
{
	PUT(QUEUE_SYNC, QueueSync, queue_sync, .queue = queue);
}

static void release_put(uint64_t id)
{
	PUT(RELEASE, Release, release, .id = id);
}

static void seed_buffers(void)
{
	context_put(QUEUE_PROFILING);
	PUT_PAYLOAD(BUFFER_CREATE, BufferCreate, buffer_create, 256, 64, .id = mem(0),
		    .context = context, .flags = 1, .size = 64);
	PUT(BUFFER_CREATE, BufferCreate, buffer_create, .id = mem(1), .context = context,
	    .flags = 1, .size = 4096, .resident = true, .heap_offset = 4096);
	PUT(SUB_BUFFER_CREATE, SubBufferCreate, sub_buffer_create, .id = mem(2), .parent = mem(1),
	    .flags = 1, .origin = 128, .size = 256);
	PUT_PAYLOAD(BUFFER_WRITE, BufferWrite, buffer_write, 0, 16, COMMAND(.event = event(0)),
		    .mem = mem(0), .offset = 8, .size = 16);
	PUT(BUFFER_READ, BufferRead, buffer_read, COMMAND(.event = event(1), LIST(waits, event(0))),
	    .mem = mem(1), .offset = 8, .size = 16, .heap_offset = 512);
	PUT(BUFFER_READ_RECT, BufferReadRect, buffer_read_rect, COMMAND(.event = event(2)),
	    .mem = mem(1), BOX(origin, 4, 2, 0), BOX(region, 8, 4, 2), .row_pitch = 16,
	    .slice_pitch = 128, .heap_offset = 1024);
	PUT_PAYLOAD(BUFFER_WRITE_RECT, BufferWriteRect, buffer_write_rect, 0, 64,
		    COMMAND(.event = event(3)), .mem = mem(1), BOX(origin, 0, 0, 0),
		    BOX(region, 8, 4, 2), .row_pitch = 16, .slice_pitch = 128);
	PUT(BUFFER_COPY, BufferCopy, buffer_copy, COMMAND(.event = event(4)), .src = mem(1),
	    .dst = mem(0), .src_offset = 8, .size = 32);
	PUT(BUFFER_COPY_RECT, BufferCopyRect, buffer_copy_rect, COMMAND(.event = 0), .src = mem(2),
	    .dst = mem(0), BOX(src_origin, 0, 0, 0), BOX(dst_origin, 0, 0, 0), BOX(region, 4, 4, 1),
	    .src_row_pitch = 8, .src_slice_pitch = 32, .dst_row_pitch = 4, .dst_slice_pitch = 16);
	PUT(BUFFER_FILL, BufferFill, buffer_fill, COMMAND(.event = 0), .mem = mem(0),
	    .pattern = BYTES("abcd"), .size = 32);
	PUT(MIGRATE, Migrate, migrate, COMMAND(.event = event(5)), LIST(mems, mem(0), mem(1)),
	    .flags = 1);
	sync_put();
	release_put(mem(1));
	release_put(mem(2));
	release_put(event(0));
	release_put(queue);
	release_put(context);
}

static void seed_events(uint64_t properties, int status)
{
	context_put(properties);
	PUT(USER_EVENT_CREATE, UserEventCreate, user_event_create, .id = event(0),
	    .context = context);
	PUT(MARKER, Marker, marker, COMMAND(.event = event(1), LIST(waits, event(0))));
	PUT(BARRIER, Barrier, barrier, COMMAND(.event = event(2)));
	PUT(MARKER, Marker, marker, COMMAND(.event = event(3), LIST(waits, event(1), event(2))));
	PUT(QUEUE_FLUSH, QueueFlush, queue_flush, .queue = queue);
	sync_put();
	if (status <= 0)
		PUT(USER_EVENT_SET, UserEventSet, user_event_set, .id = event(0), .status = status);
	PUT(MARKER, Marker, marker, COMMAND(.event = event(4), LIST(waits, event(0))));
	sync_put();
	release_put(event(1));
	release_put(queue);
}

static void seed_in_order(void)
{
	seed_events(0, 0);
}

static void seed_out_of_order(void)
{
	seed_events(QUEUE_OUT_OF_ORDER, 0);
}

static void seed_poison(void)
{
	seed_events(QUEUE_OUT_OF_ORDER, -5);
}

static void seed_unset(void)
{
	seed_events(0, 1);
}

static void image_put(uint64_t id, uint32_t payload)
{
	PUT_PAYLOAD(IMAGE_CREATE, ImageCreate, image_create, 0, payload, .id = id,
		    .context = context, .flags = 1, .channel_order = RGBA,
		    .channel_type = UNORM_INT8, .type = IMAGE2D, .width = 8, .height = 4);
}

static void seed_images(void)
{
	context_put(0);
	image_put(mem(0), 128);
	image_put(mem(1), 0);
	PUT(BUFFER_CREATE, BufferCreate, buffer_create, .id = mem(2), .context = context,
	    .flags = 1, .size = 256);
	PUT(IMAGE_READ, ImageRead, image_read, COMMAND(.event = event(0)), .image = mem(0),
	    BOX(origin, 1, 1, 0), BOX(region, 4, 2, 1), .heap_offset = 4096);
	PUT_PAYLOAD(IMAGE_WRITE, ImageWrite, image_write, 64, 128, COMMAND(.event = event(1)),
		    .image = mem(1), BOX(origin, 0, 0, 0), BOX(region, 4, 4, 1), .row_pitch = 32);
	PUT(IMAGE_COPY, ImageCopy, image_copy, COMMAND(.event = 0), .src = mem(0), .dst = mem(1),
	    BOX(src_origin, 0, 0, 0), BOX(dst_origin, 2, 1, 0), BOX(region, 4, 2, 1));
	PUT(IMAGE_FILL, ImageFill, image_fill, COMMAND(.event = 0), .image = mem(0),
	    .color = BYTES("0123456789abcdef"), BOX(origin, 0, 0, 0), BOX(region, 8, 4, 1));
	PUT(IMAGE_TO_BUFFER, ImageToBuffer, image_to_buffer, COMMAND(.event = 0), .src = mem(0),
	    .dst = mem(2), BOX(origin, 0, 0, 0), BOX(region, 4, 2, 1), .offset = 16);
	PUT(BUFFER_TO_IMAGE, BufferToImage, buffer_to_image, COMMAND(.event = 0), .src = mem(2),
	    .dst = mem(1), .offset = 16, BOX(origin, 0, 0, 0), BOX(region, 4, 2, 1));
	PUT(SAMPLER_CREATE, SamplerCreate, sampler_create, .id = sampler, .context = context,
	    .normalized = 1, .addressing = ADDRESS_CLAMP, .filter = FILTER_NEAREST);
	sync_put();
	release_put(mem(0));
	release_put(sampler);
}

/* Images whose memory is the heap's, with what pads their rows and slices. Its size is even: the
 * harness lets sessions of an odd one move, and these have no such memory. */
static void seed_resident_images(void)
{
	context_put(0);
	PUT(IMAGE_CREATE, ImageCreate, image_create, .id = mem(0), .context = context, .flags = 1,
	    .channel_order = RGBA, .channel_type = UNORM_INT8, .type = IMAGE2D, .width = 8,
	    .height = 4, .row_pitch = 48, .resident = true, .heap_offset = 4096);
	PUT(IMAGE_CREATE, ImageCreate, image_create, .id = mem(1), .context = context, .flags = 1,
	    .channel_order = RGBA, .channel_type = UNORM_INT8, .type = IMAGE3D, .width = 8,
	    .height = 4, .depth = 2, .row_pitch = 32, .slice_pitch = 160, .resident = true,
	    .heap_offset = 8192);
	PUT_PAYLOAD(IMAGE_WRITE, ImageWrite, image_write, 64, 128, COMMAND(.event = event(0)),
		    .image = mem(0), BOX(origin, 0, 0, 0), BOX(region, 4, 4, 1), .row_pitch = 32);
	PUT(IMAGE_COPY, ImageCopy, image_copy, COMMAND(.event = 0), .src = mem(0), .dst = mem(1),
	    BOX(src_origin, 0, 0, 0), BOX(dst_origin, 2, 1, 1), BOX(region, 4, 2, 1));
	PUT(IMAGE_READ, ImageRead, image_read, COMMAND(.event = event(1)), .image = mem(1),
	    BOX(origin, 1, 1, 0), BOX(region, 4, 2, 2), .heap_offset = 64);
	sync_put();
	release_put(mem(0));
	release_put(mem(1));
	release_put(event(0));
	release_put(queue);
}

static void source_put(uint64_t id, const char *source)
{
	PUT(PROGRAM_CREATE_SOURCE, ProgramCreateSource, program_create_source, .id = id,
	    .context = context, .source = {.len = strlen(source), .data = (uint8_t *)source});
}

#define ARGUMENT(...)                                                                              \
	&(Gcl__Argument)                                                                           \
	{                                                                                          \
		.base = PROTOBUF_C_MESSAGE_INIT(&gcl__argument__descriptor), __VA_ARGS__           \
	}

static void seed_launch(void)
{
	int value = 7;
	Gcl__Argument *args[] = {
		ARGUMENT(.index = 0, .kind = GCL_ARG_BUFFER, .object = mem(0)),
		ARGUMENT(.index = 1, .kind = GCL_ARG_VALUE,
			 .data = {.len = sizeof value, .data = (uint8_t *)&value}),
		ARGUMENT(.index = 2, .kind = GCL_ARG_LOCAL, .local_size = 64),
		ARGUMENT(.index = 3, .kind = GCL_ARG_IMAGE, .object = mem(1)),
		ARGUMENT(.index = 4, .kind = GCL_ARG_SAMPLER, .object = sampler),
	};

	context_put(0);
	source_put(program(0), "kernel void k() { printf(\"\"); }");
	PUT(PROGRAM_BUILD, ProgramBuild, program_build, .program = program(0),
	    LIST(devices, device), .options = "-cl-kernel-arg-info");
	PUT(KERNEL_CREATE, KernelCreate, kernel_create, .id = kernel, .program = program(0),
	    .name = "k");
	PUT(ARG_PROBE, ArgProbe, arg_probe, .kernel = kernel, .index = 1, .size = 4);
	PUT(BUFFER_CREATE, BufferCreate, buffer_create, .id = mem(0), .context = context,
	    .flags = 1, .size = 256);
	image_put(mem(1), 0);
	PUT(SAMPLER_CREATE, SamplerCreate, sampler_create, .id = sampler, .context = context,
	    .addressing = ADDRESS_CLAMP, .filter = FILTER_NEAREST);
	PUT(LAUNCH, Launch, launch, COMMAND(.event = event(0)), .kernel = kernel, .n_args = 5,
	    .args = args, .dims = 2, LIST(offset, 0, 0), LIST(global, 8, 4), LIST(local, 4, 2));
	PUT(LAUNCH, Launch, launch, COMMAND(.event = event(1)), .kernel = kernel, .task = true);
	sync_put();
	release_put(kernel);
	release_put(program(0));
}

static void seed_svm(void)
{
	Gcl__Argument *args[] = {
		ARGUMENT(.index = 0, .kind = GCL_ARG_BUFFER, .svm = true, .pointer = 4096),
	};

	context_put(0);
	PUT(SVM_CREATE, SvmCreate, svm_create, .id = mem(0), .context = context, .flags = 1,
	    .size = 4096, .alignment = 64, .address = GCL_SVM_FIRST);
	PUT(SVM_CREATE, SvmCreate, svm_create, .id = mem(1), .context = context, .size = 100);
	PUT(BUFFER_CREATE, BufferCreate, buffer_create, .id = mem(2), .context = context,
	    .flags = 1, .size = 256, .svm = mem(0), .svm_offset = 3840);
	PUT(SUB_BUFFER_CREATE, SubBufferCreate, sub_buffer_create, .id = mem(3), .parent = mem(2),
	    .flags = 1, .origin = 128, .size = 128);
	PUT_PAYLOAD(BUFFER_WRITE, BufferWrite, buffer_write, 0, 16, COMMAND(.event = event(0)),
		    .mem = mem(0), .offset = 8, .size = 16);
	PUT(BUFFER_COPY, BufferCopy, buffer_copy, COMMAND(.event = event(1)), .src = mem(1),
	    .dst = mem(3), .size = 32);
	source_put(program(0), "kernel void k() { }");
	PUT(PROGRAM_BUILD, ProgramBuild, program_build, .program = program(0),
	    LIST(devices, device), .options = "");
	PUT(KERNEL_CREATE, KernelCreate, kernel_create, .id = kernel, .program = program(0),
	    .name = "k");
	PUT(SVM_REACH, SvmReach, svm_reach, .kernel = kernel, LIST(mems, mem(0), mem(1)));
	PUT(LAUNCH, Launch, launch, COMMAND(.event = event(2)), .kernel = kernel, .n_args = 1,
	    .args = args, .dims = 1, LIST(global, 8));
	sync_put();
	release_put(mem(0));
	release_put(mem(2));
	release_put(mem(3));
	release_put(kernel);
}

static void seed_programs(void)
{
	Gcl__ProgramCreateBinary binary = GCL__PROGRAM_CREATE_BINARY__INIT;
	ProtobufCBinaryData binaries[] = {{.len = 5, .data = (uint8_t *)"STUB"}};
	uint64_t devices[] = {device};
	char *names[] = {"a.h"};

	context_put(0);
	source_put(program(0), "good");
	source_put(program(1), "header");
	source_put(program(2), "error");
	PUT(PROGRAM_COMPILE, ProgramCompile, program_compile, .program = program(0),
	    LIST(devices, device), .options = "-w", LIST(headers, program(1)), .n_header_names = 1,
	    .header_names = names);
	PUT(PROGRAM_LINK, ProgramLink, program_link, .id = program(3), .context = context,
	    LIST(devices, device), .options = "", LIST(inputs, program(0)));
	PUT(PROGRAM_BINARIES, ProgramBinaries, program_binaries, .program = program(3));
	PUT(PROGRAM_BUILD, ProgramBuild, program_build, .program = program(2), .options = "");
	/* What the guest found in its files is in it. */
	PUT(PROGRAM_BUILD, ProgramBuild, program_build, .program = program(2), .options = "",
	    .source = {.len = 4, .data = (uint8_t *)"good"});
	PUT(PROGRAM_COMPILE, ProgramCompile, program_compile, .program = program(1), .options = "",
	    .source = {.len = 5, .data = (uint8_t *)"error"});
	PUT(PROGRAM_CREATE_BUILT_IN, ProgramCreateBuiltIn, program_create_built_in,
	    .id = program(4), .context = context, LIST(devices, device), .names = "k");
	binary.id = program(5);
	binary.context = context;
	binary.n_devices = 1;
	binary.devices = devices;
	binary.n_binaries = 1;
	binary.binaries = binaries;
	put_payload(GCL_PROGRAM_CREATE_BINARY, &binary, 0, 0);
	PUT(PROGRAM_BUILD, ProgramBuild, program_build, .program = program(5), .options = "");
	PUT(KERNEL_CREATE, KernelCreate, kernel_create, .id = kernel, .program = program(5),
	    .name = "k");
	release_put(program(0));
	release_put(program(3));
}

/* What came with OpenCL 2.1 and is core in 3.0. */
static void seed_later(void)
{
	int value = 7;

	context_put(0);
	PUT(PROGRAM_CREATE_IL, ProgramCreateIl, program_create_il, .id = program(0),
	    .context = context, .il = {.len = 5, .data = (uint8_t *)"STUB"});
	PUT(PROGRAM_SPECIALIZE, ProgramSpecialize, program_specialize, .program = program(0),
	    .constant = 1, .value = {.len = sizeof value, .data = (uint8_t *)&value});
	PUT(PROGRAM_BUILD, ProgramBuild, program_build, .program = program(0),
	    LIST(devices, device), .options = "");
	PUT(KERNEL_CREATE, KernelCreate, kernel_create, .id = kernel, .program = program(0),
	    .name = "k");
	PUT(SVM_CREATE, SvmCreate, svm_create, .id = mem(0), .context = context, .size = 100);
	PUT(SVM_REACH, SvmReach, svm_reach, .kernel = kernel, LIST(mems, mem(0)));
	PUT(KERNEL_CREATE, KernelCreate, kernel_create, .id = kernel + 1, .program = program(0),
	    .name = "k", .clone = kernel);
	PUT(SUB_GROUP_ASK, SubGroupAsk, sub_group_ask, .kernel = kernel, .device = device,
	    .name = MAX_SUB_GROUP_SIZE, LIST(inputs, 8, 4), .outputs = 1);
	PUT(SUB_GROUP_ASK, SubGroupAsk, sub_group_ask, .kernel = kernel + 1, .device = device,
	    .name = LOCAL_SIZE_FOR_COUNT, LIST(inputs, 2), .outputs = 3);
	PUT(LOCAL_SIZE_ASK, LocalSizeAsk, local_size_ask, .queue = queue,
	    .launch = &(Gcl__Launch){.base = PROTOBUF_C_MESSAGE_INIT(&gcl__launch__descriptor),
				     .kernel = kernel,
				     .dims = 2,
				     LIST(global, 8, 4)});
	release_put(kernel);
	PUT(LAUNCH, Launch, launch, COMMAND(.event = event(0)), .kernel = kernel + 1, .dims = 1,
	    LIST(global, 8));
	sync_put();
	release_put(kernel + 1);
	release_put(program(0));
}

static void seed_sub_devices(void)
{
	int64_t properties[] = {PARTITION_EQUALLY, 1};
	uint64_t ids[] = {device + 1, device + 2};
	Gcl__SubDevicesCreate create = GCL__SUB_DEVICES_CREATE__INIT;

	create.device = device;
	create.n_properties = 2;
	create.properties = properties;
	create.n_ids = 2;
	create.ids = ids;
	put_payload(GCL_SUB_DEVICES_CREATE, &create, 0, 0);
	PUT(CONTEXT_CREATE, ContextCreate, context_create, .id = context,
	    LIST(devices, device + 1));
	PUT(QUEUE_CREATE, QueueCreate, queue_create, .id = queue, .context = context,
	    .device = device + 1);
	sync_put();
	release_put(device + 2);
}

static int seed_write(const char *path, const void *data, size_t size)
{
	_cleanup_fclose_ FILE *file = fopen(path, "wb");

	if (file && fwrite(data, size, 1, file) == 1 && fflush(file) == 0)
		return 0;
	perror(path);
	return 1;
}

static int seed_check(const char *path, const void *data, size_t size)
{
	_cleanup_fclose_ FILE *file = fopen(path, "rb");
	_cleanup_free_ char *there = malloc(size + 1);

	if (file && there && fread(there, 1, size + 1, file) == size && !memcmp(there, data, size))
		return 0;
	fprintf(stderr, "%s is not what session_seeds writes: write it again\n", path);
	return 1;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*write)(void);
		uint8_t refuse;
	} seeds[] = {
		{"buffers", seed_buffers, 0},
		{"in-order", seed_in_order, 0},
		{"out-of-order", seed_out_of_order, 2},
		{"poison", seed_poison, 0},
		{"unset", seed_unset, 0},
		{"images", seed_images, 0},
		{"resident-images", seed_resident_images, 0},
		{"launch", seed_launch, 0},
		{"programs", seed_programs, 3},
		{"sub-devices", seed_sub_devices, 0},
		{"svm", seed_svm, 2},
		{"later", seed_later, 0},
	};
	bool check = argc == 3 && strcmp(argv[1], "--check") == 0;
	int failed = 0;

	if (argc != 2 && !check) {
		fprintf(stderr, "usage: session_seeds [--check] FOLDER\n");
		return 2;
	}
	for (size_t i = 0; i < GCL_ARRAY_SIZE(seeds); i++) {
		_cleanup_free_ char *data = NULL;
		char path[4096];
		size_t size;

		snprintf(path, sizeof path, "%s/seed-%s", argv[argc - 1], seeds[i].name);
		out = open_memstream(&data, &size);
		if (!out)
			return 1;
		putc(seeds[i].refuse, out);
		seeds[i].write();
		fclose(out);
		failed |= (check ? seed_check : seed_write)(path, data, size);
	}
	return failed;
}
