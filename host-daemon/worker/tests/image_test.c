/*
 * Images and samplers: creation from payloads, transfers, host layouts, hostile regions.
 */
#include "guest.h"
#include "memory.h"

#include <errno.h>
#include <string.h>

#define WIDTH  8u
#define HEIGHT 4u

static uint8_t *heap(struct guest *guest, uint64_t offset)
{
	return guest->channel.heap + offset;
}

/* An image of bytes; the test changes what it wants to be different. */
static Gcl__ImageCreate image_message(struct guest *guest, cl_mem_object_type type)
{
	Gcl__ImageCreate message = GCL__IMAGE_CREATE__INIT;

	message.id = guest_id(guest, GCL_KIND_MEM);
	message.context = guest->context;
	message.flags = CL_MEM_READ_WRITE;
	message.channel_order = CL_R;
	message.channel_type = CL_UNSIGNED_INT8;
	message.type = type;
	message.width = WIDTH;
	message.height = HEIGHT;
	return message;
}

static Gcl__Box box(uint64_t x, uint64_t y, uint64_t z)
{
	Gcl__Box result = GCL__BOX__INIT;

	result.x = x;
	result.y = y;
	result.z = z;
	return result;
}

static int image_read(struct guest *guest, uint64_t image, Gcl__Box origin, Gcl__Box region,
		      uint64_t row, uint64_t heap_offset)
{
	Gcl__ImageRead message = GCL__IMAGE_READ__INIT;
	Gcl__Command command = guest_command(guest, 0);

	message.command = &command;
	message.image = image;
	message.origin = &origin;
	message.region = &region;
	message.row_pitch = row;
	message.heap_offset = heap_offset;
	return guest_send(guest, GCL_IMAGE_READ, &message);
}

static int image_write(struct guest *guest, uint64_t image, Gcl__Box origin, Gcl__Box region,
		       uint64_t row, uint64_t payload, uint64_t payload_size)
{
	Gcl__ImageWrite message = GCL__IMAGE_WRITE__INIT;
	Gcl__Command command = guest_command(guest, 0);

	message.command = &command;
	message.image = image;
	message.origin = &origin;
	message.region = &region;
	message.row_pitch = row;
	return guest_send_payload(guest, GCL_IMAGE_WRITE, &message, payload, payload_size);
}

/* A 2D image whose pixels count up. */
static uint64_t counting(struct guest *guest)
{
	Gcl__ImageCreate message = image_message(guest, CL_MEM_OBJECT_IMAGE2D);
	uint64_t offset = guest_heap(guest, WIDTH * HEIGHT);

	for (size_t i = 0; i < WIDTH * HEIGHT; i++)
		heap(guest, offset)[i] = (uint8_t)i;
	assert_int_equal(
		guest_send_payload(guest, GCL_IMAGE_CREATE, &message, offset, WIDTH * HEIGHT), 0);
	assert_int_equal(guest_failed(guest, message.id), CL_SUCCESS);
	assert_true(guest_freed(guest, message.id));
	return message.id;
}

static void contents(void **state)
{
	struct guest *guest = *state;
	uint64_t image = counting(guest), to = guest_heap(guest, 4096);

	assert_int_equal(image_read(guest, image, box(2, 1, 0), box(3, 2, 1), 0, to), 0);
	assert_int_equal(guest_finish(guest), CL_SUCCESS);
	assert_memory_equal(heap(guest, to), "\12\13\14\22\23\24", 6);
	/* With a pitch, what lies between the rows stays as it is. */
	assert_int_equal(image_read(guest, image, box(0, 0, 0), box(2, 2, 1), 4, to), 0);
	assert_int_equal(guest_finish(guest), CL_SUCCESS);
	assert_memory_equal(heap(guest, to), "\0\1\14\22\10\11", 6);
}

static void writes(void **state)
{
	struct guest *guest = *state;
	uint64_t image = counting(guest), from = guest_heap(guest, 4096),
		 to = guest_heap(guest, 4096);

	memcpy(heap(guest, from), "abXXcd", 6);
	assert_int_equal(image_write(guest, image, box(1, 1, 0), box(2, 2, 1), 4, from, 6), 0);
	assert_int_equal(image_read(guest, image, box(0, 0, 0), box(WIDTH, 3, 1), 0, to), 0);
	assert_int_equal(guest_finish(guest), CL_SUCCESS);
	assert_memory_equal(heap(guest, to) + 9, "ab\13", 3);
	assert_memory_equal(heap(guest, to) + 17, "cd\23", 3);
	assert_int_equal(image_write(guest, image, box(1, 1, 0), box(2, 2, 1), 4, from, 5),
			 -EPROTO);
	assert_int_equal(image_write(guest, image, box(0, 0, 0), box(WIDTH, HEIGHT, 1), 0,
				     GUEST_HEAP_SIZE - 31, 32),
			 -EPROTO);
}

static void bad_regions(void **state)
{
	struct guest *guest = *state;
	uint64_t image = counting(guest);
	uint64_t buffer = guest_buffer(guest, 64, 0, 0);

	assert_int_equal(image_read(guest, image, box(0, 0, 0), box(WIDTH + 1, 1, 1), 0, 0),
			 -EPROTO);
	assert_int_equal(image_read(guest, image, box(1, 0, 0), box(WIDTH, 1, 1), 0, 0), -EPROTO);
	assert_int_equal(image_read(guest, image, box(0, UINT64_MAX, 0), box(1, 2, 1), 0, 0),
			 -EPROTO);
	assert_int_equal(image_read(guest, image, box(0, 0, 0), box(1, 1, 2), 0, 0), -EPROTO);
	assert_int_equal(image_read(guest, image, box(0, 0, 0), box(1, 1, 0), 0, 0), -EPROTO);
	assert_int_equal(image_read(guest, image, box(0, 0, 0), box(4, 2, 1), 3, 0), -EPROTO);
	assert_int_equal(image_read(guest, image, box(0, 0, 0), box(4, 2, 1), UINT64_MAX, 0),
			 -EPROTO);
	assert_int_equal(
		image_read(guest, image, box(0, 0, 0), box(4, 2, 1), 0, GUEST_HEAP_SIZE - 7),
		-EPROTO);
	assert_int_equal(image_read(guest, buffer, box(0, 0, 0), box(1, 1, 1), 0, 0), -EPROTO);
}

/* Every kind of image takes its contents densely and gives them back. */
static void kinds(void **state)
{
	static const struct {
		cl_mem_object_type type;
		size_t width, height, depth, array_size, extent[3];
	} cases[] = {
		{CL_MEM_OBJECT_IMAGE1D, 8, 0, 0, 0, {8, 1, 1}},
		{CL_MEM_OBJECT_IMAGE1D_ARRAY, 8, 0, 0, 3, {8, 3, 1}},
		{CL_MEM_OBJECT_IMAGE2D, 8, 4, 0, 0, {8, 4, 1}},
		{CL_MEM_OBJECT_IMAGE2D_ARRAY, 8, 4, 0, 2, {8, 4, 2}},
		{CL_MEM_OBJECT_IMAGE3D, 8, 4, 3, 0, {8, 4, 3}},
	};
	struct guest *guest = *state;
	uint64_t from = guest_heap(guest, 4096), to = guest_heap(guest, 4096);

	for (size_t i = 0; i < GCL_ARRAY_SIZE(cases); i++) {
		Gcl__ImageCreate message = image_message(guest, cases[i].type);
		const size_t *extent = cases[i].extent;
		size_t size = 4 * extent[0] * extent[1] * extent[2];

		message.channel_order = CL_RGBA;
		message.width = cases[i].width;
		message.height = cases[i].height;
		message.depth = cases[i].depth;
		message.array_size = cases[i].array_size;
		for (size_t j = 0; j < size; j++)
			heap(guest, from)[j] = (uint8_t)(j + i);
		memset(heap(guest, to), 0, 4096);
		assert_int_equal(guest_send_payload(guest, GCL_IMAGE_CREATE, &message, from, size),
				 0);
		assert_int_equal(guest_failed(guest, message.id), CL_SUCCESS);
		assert_int_equal(image_read(guest, message.id, box(0, 0, 0),
					    box(extent[0], extent[1], extent[2]), 0, to),
				 0);
		assert_int_equal(guest_finish(guest), CL_SUCCESS);
		assert_memory_equal(heap(guest, from), heap(guest, to), size);
		message.id = guest_id(guest, GCL_KIND_MEM);
		assert_int_equal(
			guest_send_payload(guest, GCL_IMAGE_CREATE, &message, from, size - 1),
			-EPROTO);
	}
}

static void layers_of_rows(void **state)
{
	struct gcl_mem image = {
		.type = CL_MEM_OBJECT_IMAGE1D_ARRAY, .element_size = 4, .extent = {8, 3, 1}};
	size_t row = 0, slice = 64;
	uint64_t size;

	(void)state;
	assert_true(gcl_image_layout(&image, image.extent, &row, &slice, &size));
	assert_int_equal(row, 64);
	assert_int_equal(slice, 64);
	assert_int_equal(size, 2 * 64 + 32);
	row = 32;
	slice = 96;
	assert_true(gcl_image_layout(&image, image.extent, &row, &slice, &size));
	assert_int_equal(slice, 32);
	assert_int_equal(size, 96);
}

static void image_of_buffer(void **state)
{
	struct guest *guest = *state;
	Gcl__ImageCreate message = image_message(guest, CL_MEM_OBJECT_IMAGE1D_BUFFER);
	uint64_t from = guest_heap(guest, 4096), to = guest_heap(guest, 4096);

	memcpy(heap(guest, from), "0123456789abcdef", 16);
	message.buffer = guest_buffer(guest, 16, from, 16);
	message.height = 0;
	message.width = 16;
	assert_int_equal(guest_send(guest, GCL_IMAGE_CREATE, &message), 0);
	assert_int_equal(guest_failed(guest, message.id), CL_SUCCESS);
	assert_int_equal(image_read(guest, message.id, box(4, 0, 0), box(4, 1, 1), 0, to), 0);
	assert_int_equal(guest_finish(guest), CL_SUCCESS);
	assert_memory_equal(heap(guest, to), "4567", 4);

	message.id = guest_id(guest, GCL_KIND_MEM);
	message.width = 17;
	assert_int_equal(guest_send(guest, GCL_IMAGE_CREATE, &message), -EPROTO);
	message.width = 16;
	message.buffer = 0;
	assert_int_equal(guest_send(guest, GCL_IMAGE_CREATE, &message), -EPROTO);
	message.buffer = counting(guest);
	assert_int_equal(guest_send(guest, GCL_IMAGE_CREATE, &message), -EPROTO);
	message.type = CL_MEM_OBJECT_IMAGE2D;
	message.height = 1;
	assert_int_equal(guest_send(guest, GCL_IMAGE_CREATE, &message), -EPROTO);
}

static void bad_images(void **state)
{
	struct guest *guest = *state;
	Gcl__ImageCreate message = image_message(guest, CL_MEM_OBJECT_IMAGE2D);

	message.type = CL_MEM_OBJECT_BUFFER;
	assert_int_equal(guest_send(guest, GCL_IMAGE_CREATE, &message), -EPROTO);
	message.type = CL_MEM_OBJECT_IMAGE2D;
	message.channel_order = 0x1234;
	assert_int_equal(guest_send(guest, GCL_IMAGE_CREATE, &message), 0);
	assert_int_equal(guest_failed(guest, message.id), CL_IMAGE_FORMAT_NOT_SUPPORTED);

	message = image_message(guest, CL_MEM_OBJECT_IMAGE2D);
	message.width = 1ull << 40;
	assert_int_equal(guest_send(guest, GCL_IMAGE_CREATE, &message), 0);
	assert_true(guest_failed(guest, message.id) < 0);
	message.id = guest_id(guest, GCL_KIND_MEM);
	message.width = 1ull << 62;
	message.height = 8;
	assert_int_equal(guest_send_payload(guest, GCL_IMAGE_CREATE, &message, 0, 4096), -EPROTO);
}

/* Its memory is the heap's. */
static Gcl__ImageCreate resident_message(struct guest *guest, cl_mem_object_type type)
{
	Gcl__ImageCreate message = image_message(guest, type);

	message.resident = true;
	message.heap_offset = guest_heap(guest, 4096);
	return message;
}

static void resident(void **state)
{
	struct guest *guest = *state;
	Gcl__ImageCreate message = resident_message(guest, CL_MEM_OBJECT_IMAGE2D);
	uint64_t from = guest_heap(guest, 4096), to = guest_heap(guest, 4096);
	uint8_t *memory = heap(guest, message.heap_offset);

	message.row_pitch = WIDTH + 4;
	memset(memory, 'x', 4096);
	assert_int_equal(guest_send(guest, GCL_IMAGE_CREATE, &message), 0);
	assert_int_equal(guest_failed(guest, message.id), CL_SUCCESS);
	memcpy(heap(guest, from), "abcd", 4);
	assert_int_equal(image_write(guest, message.id, box(1, 1, 0), box(2, 2, 1), 0, from, 4), 0);
	assert_int_equal(guest_finish(guest), CL_SUCCESS);
	assert_memory_equal(memory + WIDTH + 4, "xabx", 4);
	assert_memory_equal(memory + (size_t)2 * (WIDTH + 4), "xcdx", 4);
	memset(memory + (size_t)3 * (WIDTH + 4), 7, WIDTH);
	assert_int_equal(image_read(guest, message.id, box(0, 3, 0), box(WIDTH, 1, 1), 0, to), 0);
	assert_int_equal(guest_finish(guest), CL_SUCCESS);
	assert_memory_equal(heap(guest, to), "\7\7\7\7\7\7\7\7", WIDTH);
	assert_null(guest_wait(guest, GCL_MEM_FREED, message.id, 0));
	guest_release(guest, message.id);
	assert_true(guest_freed(guest, message.id));
}

/* What can't be made lets go of its memory at once. */
static void resident_failed(void **state)
{
	struct guest *guest = *state;
	Gcl__ImageCreate message = resident_message(guest, CL_MEM_OBJECT_IMAGE2D);

	message.channel_order = 0x1234;
	assert_int_equal(guest_send(guest, GCL_IMAGE_CREATE, &message), 0);
	assert_int_equal(guest_failed(guest, message.id), CL_IMAGE_FORMAT_NOT_SUPPORTED);
	assert_true(guest_freed(guest, message.id));
	guest_release(guest, message.id);
}

/* Memory up to the end of the last row and slice has to be the heap's, padding and all. */
static void resident_hostile(void **state)
{
	static const struct {
		cl_mem_object_type type;
		uint64_t depth, array_size, row, slice, size; /* size 0: no place will do */
	} cases[] = {
		{CL_MEM_OBJECT_IMAGE1D, 0, 0, 128, 0, 128},
		{CL_MEM_OBJECT_IMAGE1D_ARRAY, 0, 3, 128, 128, 384},
		{CL_MEM_OBJECT_IMAGE2D, 0, 0, 128, 0, 512},
		{CL_MEM_OBJECT_IMAGE2D_ARRAY, 0, 2, 128, 1024, 2048},
		{CL_MEM_OBJECT_IMAGE3D, 3, 0, 128, 512, 1536},
		{CL_MEM_OBJECT_IMAGE2D, 0, 0, 4 * WIDTH - 4, 0, 0},
		{CL_MEM_OBJECT_IMAGE2D, 0, 0, 4 * WIDTH + 2, 0, 0},
		{CL_MEM_OBJECT_IMAGE2D, 0, 0, 1ull << 62, 0, 0},
		{CL_MEM_OBJECT_IMAGE3D, 3, 0, 128, 384, 0},
		{CL_MEM_OBJECT_IMAGE3D, 3, 0, 128, 640 + 4, 0},
		{CL_MEM_OBJECT_IMAGE3D, 4, 0, 128, 1ull << 62, 0},
		{CL_MEM_OBJECT_IMAGE3D, 0, 0, 128, 512, 0},
	};
	struct guest *guest = *state;
	Gcl__ImageCreate message;

	for (size_t i = 0; i < GCL_ARRAY_SIZE(cases); i++) {
		message = resident_message(guest, cases[i].type);
		message.channel_order = CL_RGBA;
		message.depth = cases[i].depth;
		message.array_size = cases[i].array_size;
		message.row_pitch = cases[i].row;
		message.slice_pitch = cases[i].slice;
		if (cases[i].size)
			message.heap_offset = GUEST_HEAP_SIZE - cases[i].size + 128;
		assert_int_equal(guest_send(guest, GCL_IMAGE_CREATE, &message), -EPROTO);
		if (!cases[i].size)
			continue;
		message.heap_offset -= 64;
		assert_int_equal(guest_send(guest, GCL_IMAGE_CREATE, &message), -EPROTO);
		message.heap_offset -= 64;
		assert_int_equal(guest_send(guest, GCL_IMAGE_CREATE, &message), 0);
		assert_int_equal(guest_failed(guest, message.id), CL_SUCCESS);
		guest_release(guest, message.id);
		assert_true(guest_freed(guest, message.id));
	}
	message = resident_message(guest, CL_MEM_OBJECT_IMAGE2D);
	message.heap_offset = GCL_HEAP_MAX;
	assert_int_equal(guest_send(guest, GCL_IMAGE_CREATE, &message), -EPROTO);
	message = resident_message(guest, CL_MEM_OBJECT_IMAGE1D_BUFFER);
	message.buffer = guest_buffer(guest, 64, 0, 0);
	assert_int_equal(guest_send(guest, GCL_IMAGE_CREATE, &message), -EPROTO);
	message = resident_message(guest, CL_MEM_OBJECT_IMAGE2D);
	guest->worker.resident = false;
	assert_int_equal(guest_send(guest, GCL_IMAGE_CREATE, &message), -EPROTO);
	guest->worker.resident = true;
}

static int fill_color(struct guest *guest, uint64_t image, size_t length)
{
	static uint32_t color[4] = {9, 9, 9, 9};
	Gcl__ImageFill message = GCL__IMAGE_FILL__INIT;
	Gcl__Command command = guest_command(guest, 0);
	Gcl__Box origin = box(0, 0, 0), region = box(2, 2, 1);

	message.command = &command;
	message.image = image;
	message.color.data = (uint8_t *)color;
	message.color.len = length;
	message.origin = &origin;
	message.region = &region;
	return guest_send(guest, GCL_IMAGE_FILL, &message);
}

static void copies(void **state)
{
	struct guest *guest = *state;
	uint64_t src = counting(guest), dst = counting(guest), to = guest_heap(guest, 4096);
	Gcl__ImageCopy message = GCL__IMAGE_COPY__INIT;
	Gcl__Command command = guest_command(guest, 0);
	Gcl__Box from = box(1, 1, 0), at = box(0, 0, 0), region = box(2, 1, 1);

	message.command = &command;
	message.src = src;
	message.dst = dst;
	message.src_origin = &from;
	message.dst_origin = &at;
	message.region = &region;
	assert_int_equal(fill_color(guest, dst, 16), 0);
	assert_int_equal(guest_send(guest, GCL_IMAGE_COPY, &message), 0);
	assert_int_equal(image_read(guest, dst, box(0, 0, 0), box(3, 2, 1), 0, to), 0);
	assert_int_equal(guest_finish(guest), CL_SUCCESS);
	assert_memory_equal(heap(guest, to), "\11\12\2\11\11\12", 6);
	assert_int_equal(fill_color(guest, dst, 12), -EPROTO);
	at = box(7, 0, 0);
	assert_int_equal(guest_send(guest, GCL_IMAGE_COPY, &message), -EPROTO);
}

static int to_buffer(struct guest *guest, uint64_t image, uint64_t buffer, uint64_t offset)
{
	Gcl__ImageToBuffer message = GCL__IMAGE_TO_BUFFER__INIT;
	Gcl__Command command = guest_command(guest, 0);
	Gcl__Box origin = box(0, 0, 0), region = box(WIDTH, HEIGHT, 1);

	message.command = &command;
	message.src = image;
	message.dst = buffer;
	message.origin = &origin;
	message.region = &region;
	message.offset = offset;
	return guest_send(guest, GCL_IMAGE_TO_BUFFER, &message);
}

static int from_buffer(struct guest *guest, uint64_t buffer, uint64_t image, uint64_t offset)
{
	Gcl__BufferToImage message = GCL__BUFFER_TO_IMAGE__INIT;
	Gcl__Command command = guest_command(guest, 0);
	Gcl__Box origin = box(0, 0, 0), region = box(WIDTH, HEIGHT, 1);

	message.command = &command;
	message.src = buffer;
	message.dst = image;
	message.origin = &origin;
	message.region = &region;
	message.offset = offset;
	return guest_send(guest, GCL_BUFFER_TO_IMAGE, &message);
}

static void with_buffers(void **state)
{
	struct guest *guest = *state;
	uint64_t image = counting(guest), to = guest_heap(guest, 4096);
	uint64_t buffer = guest_buffer(guest, 64, 0, 0);

	assert_int_equal(to_buffer(guest, image, buffer, 32), 0);
	assert_int_equal(from_buffer(guest, buffer, image, 32), 0);
	assert_int_equal(image_read(guest, image, box(5, 3, 0), box(2, 1, 1), 0, to), 0);
	assert_int_equal(guest_finish(guest), CL_SUCCESS);
	assert_memory_equal(heap(guest, to), "\35\36", 2);
	assert_int_equal(to_buffer(guest, image, buffer, 33), -EPROTO);
	assert_int_equal(from_buffer(guest, buffer, image, UINT64_MAX), -EPROTO);
	assert_int_equal(to_buffer(guest, image, image, 0), -EPROTO);
}

static void samplers(void **state)
{
	struct guest *guest = *state;
	Gcl__SamplerCreate message = GCL__SAMPLER_CREATE__INIT;

	message.id = guest_id(guest, GCL_KIND_SAMPLER);
	message.context = guest->context;
	message.addressing = CL_ADDRESS_CLAMP;
	message.filter = CL_FILTER_NEAREST;
	assert_int_equal(guest_send(guest, GCL_SAMPLER_CREATE, &message), 0);
	assert_int_equal(guest_failed(guest, message.id), CL_SUCCESS);
	guest_release(guest, message.id);
	message.filter = 0;
	assert_int_equal(guest_send(guest, GCL_SAMPLER_CREATE, &message), -EPROTO);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(contents),	    cmocka_unit_test(writes),
		cmocka_unit_test(bad_regions),	    cmocka_unit_test(kinds),
		cmocka_unit_test(layers_of_rows),   cmocka_unit_test(image_of_buffer),
		cmocka_unit_test(bad_images),	    cmocka_unit_test(copies),
		cmocka_unit_test(with_buffers),	    cmocka_unit_test(samplers),
		cmocka_unit_test(resident),	    cmocka_unit_test(resident_failed),
		cmocka_unit_test(resident_hostile),
	};

	return cmocka_run_group_tests(tests, guest_setup, guest_teardown);
}
